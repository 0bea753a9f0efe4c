//! Benches that are one program of cargo: its output is shown, its `FIGURE name value` lines and known sentences become rows.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::report::Report;
use crate::shell;

/// What a program printed, and its `FIGURE` lines by name.
pub struct Said {
    pub lines: Vec<String>,
    pub figures: BTreeMap<String, f64>,
}

impl Said {
    pub fn figure(&self, name: &str) -> Result<f64> {
        self.figures.get(name).copied().with_context(|| format!("it printed no figure '{name}'"))
    }
}

/// Runs a program to its end, showing what it prints.
pub fn listen(program: &str, args: &[&str]) -> Result<Said> {
    println!("$ {program} {}", args.join(" "));
    let mut child = shell::command(program).args(args).stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {program}"))?;
    let mut said = Said { lines: Vec::new(), figures: BTreeMap::new() };
    for line in BufReader::new(child.stdout.take().context("the child has an output")?).lines() {
        let line = line?;
        println!("  {line}");
        let mut words = line.split_whitespace();
        if let (Some("FIGURE"), Some(name), Some(value)) = (words.next(), words.next(), words.next()) {
            said.figures.insert(name.to_owned(), value.parse()?);
        }
        said.lines.push(line);
    }
    let status = child.wait()?;
    ensure!(status.success(), "{program} {} failed ({status})", args.join(" "));
    Ok(said)
}

/// An example of the collector.
pub fn collector(example: &str, args: &[&str]) -> Result<Said> {
    let mut all = vec!["run", "--release", "--locked", "-q", "-p", "collector", "--example", example, "--"];
    all.extend(args);
    listen("cargo", &all)
}

/// ClickHouse on the same events, without an index.
const CLICKHOUSE_BYTES: f64 = 42.0;
/// An absent indicator over seven days; over a million events it costs DuckDB 35 to 51 ms.
const ABSENT_MS: f64 = 0.1;

/// Queries of storage-facts.md section 2: how the line begins, and milliseconds there.
const QUERIES: &[(&str, &str)] = &[
    ("Q1 ", "prototype 2.3, DuckDB 4.6"),
    ("Q2a ", "prototype 60, DuckDB 13"),
    ("Q2b ", "prototype 44, DuckDB 36"),
    ("Q3 ", "prototype 33, DuckDB 13"),
    ("Q4 ", "prototype 9, DuckDB 12"),
    ("Q5 ", "prototype 62, DuckDB 8"),
    ("Q6 ", "prototype 4.3, DuckDB 4.2"),
    ("Q7 ", "prototype 24, DuckDB 24"),
];

pub fn store(report: &mut Report) -> Result<()> {
    let folder = super::scratch("store")?;
    let said = collector("bench_store", &["1000000", &folder.display().to_string()])?;
    let find = |start: &str| said.lines.iter().find(|l| l.starts_with(start)).with_context(|| format!("no line '{start}'"));
    let before = |line: &str, unit: &str| {
        let head = line.split_once(unit)?.0.trim_end();
        head.rsplit([' ', '=']).next()?.parse::<f64>().ok()
    };
    let ingest = before(find("INGEST")?, " events/CPU-s").context("no ingest rate")?;
    report.says("wire to durable to columns, no register, no engine", ingest, "events/CPU-s", "prototype 316,000, DuckDB 86,000-92,000");
    let sealed = find("sealed:")?;
    let bytes = sealed.rsplit_once("= ").and_then(|(_, n)| before(n, " B/event")).context("no bytes")?;
    report.at_most("disk with blooms and manifest, sealed", bytes, CLICKHOUSE_BYTES, "B/event");
    let compacted = before(find("after compaction")?, " B/event").context("no bytes")?;
    report.at_most("disk, compacted", compacted, 0.7 * CLICKHOUSE_BYTES, "B/event");
    // `{name:<52} {ms} ms`
    let name = |line: &str| line.chars().take(52).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    for (start, beside) in QUERIES {
        let line = find(start)?;
        report.says(&name(line), before(line, " ms").context("no time")?, "ms", beside);
    }
    for start in ["    500 hashes, none", "    absent address", "    absent name"] {
        let line = find(start)?;
        report.at_most(&name(line), before(line, " ms").context("no time")?, ABSENT_MS, "ms");
    }
    for start in ["    an absent address, all", "    an absent domain, all"] {
        let line = find(start)?;
        report.says(&name(line), before(line, " ms").context("no time")?, "ms", "");
    }
    Ok(())
}

pub fn rules(report: &mut Report) -> Result<()> {
    let said = collector("bench_rules", &["300000"])?;
    report.says("unpack, decode, join", said.figure("normalise_per_cpu_s")?, "events/CPU-s", "OTLP through prost 370,000 for decoding");
    report.says("rules, windows, alerts", said.figure("engine_per_cpu_s")?, "events/CPU-s", "Flink 200,000, one rule, JSON in");
    Ok(())
}

pub fn road(report: &mut Report) -> Result<()> {
    let said = listen("cargo", &["bench", "--locked", "-q", "-p", "wire", "--bench", "codec"])?;
    let costs = said.lines.iter().find(|l| l.starts_with("encode")).context("no line 'encode'")?;
    for (part, name) in costs.split(", ").zip(["encode", "decode", "walk without copying"]) {
        let ns: f64 =
            part.split_whitespace().rev().nth(1).and_then(|n| n.parse().ok()).with_context(|| format!("no figure in '{part}'"))?;
        let beside = if name == "decode" { "prototype 285 (3.5 M/s), OTLP through prost 2,700" } else { "" };
        report.says(&format!("{name}, best of 7"), ns, "ns/event", beside);
    }
    for line in said.lines.iter().filter(|l| l.starts_with("zstd")) {
        let (name, rest) = line.split_once(": ").context("a line of zstd")?;
        let bytes: f64 = rest.split_whitespace().next().and_then(|n| n.parse().ok()).context("bytes")?;
        report.says(name, bytes, "B/event", "");
    }
    Ok(())
}
