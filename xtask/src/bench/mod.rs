//! `cargo xtask bench [NAME…|all]`: the promised figures, each beside its promise, floor or peer, from release builds.
//!
//! One file a bench. Each gives rows to a [`Report`], which says OK or MISS; a miss is an answer, not an error. Figures depend on what else
//! the machine does: the load before and after stands with them. Scratch data lies in `<target>/bench/NAME`.

mod agent;
mod arming;
mod engine;
mod examples;
mod ingest;
mod lab;
mod latency;
mod network;
mod network_live;
mod notice;
mod process;
mod report;
mod soak;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::shell;
use report::Report;

struct Bench {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Report) -> Result<()>,
}

const BENCHES: &[Bench] = &[
    Bench { name: "agent", about: "size, start, memory and CPU at rest and at 1,000 and 5,000 lines a second", run: agent::run },
    Bench {
        name: "ingest",
        about: "wire batch to durable columns, events a CPU-second, without and with rules; DuckDB beside it",
        run: ingest::run,
    },
    Bench {
        name: "engine",
        about: "rules against events beside rsigma-eval 0.23.0: speed, memory, loading, and whether both find the same",
        run: engine::run,
    },
    Bench { name: "store", about: "bytes an event, the eight queries, an absent indicator over 7 days", run: examples::store },
    Bench { name: "rules", about: "events a CPU-second through the engine with all rules that ship", run: examples::rules },
    Bench { name: "latency", about: "packet on the wire to alert in the operator's feed, real programs in namespaces", run: latency::run },
    Bench {
        name: "network",
        about: "the network sensor beside ndpiReader, Suricata, softflowd and pnet; with --soak ten minutes live at full speed",
        run: network::run,
    },
    Bench {
        name: "notice",
        about: "detection and acts to notices on real peers, and a storm of 10,000 messages in a minute",
        run: notice::run,
    },
    Bench { name: "arming", about: "a new indicator at 1,000 connected agents: the real collector, real mTLS streams", run: arming::run },
    Bench { name: "road", about: "an event's encoding: nanoseconds and bytes", run: examples::road },
];

pub fn bench(args: &[String]) -> Result<()> {
    if args.is_empty() {
        for bench in BENCHES {
            println!("{:<10} {}", bench.name, bench.about);
        }
        println!("{:<10} an hour of endless strangers: memory every minute (--minutes N, --rate N); not part of all", "soak");
        println!("{:<10} every one of them", "all");
        return Ok(());
    }
    if let Some((_, rest)) = args.split_first().filter(|(first, _)| *first == "soak") {
        let mut report = Report::default();
        report.section("soak");
        soak::run(&mut report, rest).context("bench soak")?;
        report.print();
        return Ok(());
    }
    if let [first, second, rest @ ..] = args
        && first == "network"
        && second == "--soak"
    {
        let mut report = Report::default();
        report.section("network");
        network::soak(&mut report, rest).context("bench network --soak")?;
        report.print();
        return Ok(());
    }
    let all = args.iter().any(|a| a == "all");
    if let Some(unknown) = args.iter().find(|a| *a != "all" && !BENCHES.iter().any(|b| b.name == *a)) {
        bail!("there is no bench '{unknown}'; `cargo xtask bench` lists them");
    }
    let mut report = Report::default();
    for bench in BENCHES.iter().filter(|b| all || args.iter().any(|a| a == b.name)) {
        println!("\n== {}: {} (load {})", bench.name, bench.about, process::load());
        report.section(bench.name);
        (bench.run)(&mut report).with_context(|| format!("bench {}", bench.name))?;
    }
    println!("\n== all figures (load {})", process::load());
    report.print();
    Ok(())
}

/// An empty folder for a bench.
fn scratch(name: &str) -> Result<PathBuf> {
    let folder = shell::target_dir().join("bench").join(name);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot empty {}", folder.display()));
        }
        _ => {}
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}
