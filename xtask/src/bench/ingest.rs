//! The collector from a packed batch to durable columns, and DuckDB on the same events in the same run.
//!
//! The peer starts further down the road: from decoded Arrow rows, without columns that are empty throughout. It commits durably every
//! 2,000 events, as our log does, and ends with a checkpoint, as we end with sealed segments.

use std::path::Path;

use anyhow::{Context, Result};

use super::examples::{collector, listen};
use super::report::Report;
use crate::shell;

const EVENTS: &str = "500000";
const SCRIPT: &str = include_str!("duckdb.py");

pub fn run(report: &mut Report) -> Result<()> {
    let folder = super::scratch("ingest")?;
    let text = folder.display().to_string();
    let ours = collector("bench_ingest", &[EVENTS, &text])?;
    let (plain, rules) = (ours.figure("plain_per_cpu_s")?, ours.figure("rules_per_cpu_s")?);
    report.says("wire to durable to columns, joined, no rules", plain, "events/CPU-s", "");
    report.says("the same with all rules that ship", rules, "events/CPU-s", "");
    match peer(&folder) {
        Ok(peer) => {
            report.says("DuckDB, Arrow to durable to columns", peer, "events/CPU-s", "86,000-92,000 on a quiet machine");
            report.at_least("ratio to DuckDB, no rules", plain / peer, 4.0, "times");
            report.at_least("ratio to DuckDB, with all rules", rules / peer, 4.0, "times");
        }
        Err(error) => {
            eprintln!("THE PEER IS MISSING: {error:#}");
            report.skipped("ratio to DuckDB", "its PyPI package could not be used; see above");
        }
    }
    Ok(())
}

/// DuckDB's events a CPU-second, from our own Parquet segments.
fn peer(folder: &Path) -> Result<f64> {
    let venv = shell::target_dir().join("peers");
    let python = venv.join("bin/python").display().to_string();
    let installed = || shell::command(&python).args(["-c", "import duckdb, pyarrow.parquet"]).output().is_ok_and(|o| o.status.success());
    if !installed() {
        shell::sh("python3", &["-m", "venv", &venv.display().to_string()])?;
        shell::sh(&python, &["-m", "pip", "install", "-q", "duckdb", "pyarrow"])?;
    }
    let script = folder.join("peer.py");
    std::fs::write(&script, SCRIPT)?;
    let args =
        [script.display().to_string(), folder.join("plain/events").display().to_string(), folder.join("peer.duckdb").display().to_string()];
    let said = listen(&python, &args.each_ref().map(String::as_str))?;
    said.figure("duckdb_per_cpu_s").context("DuckDB")
}
