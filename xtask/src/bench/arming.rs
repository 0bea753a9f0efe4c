//! A new indicator at 1,000 connected agents: the real collector with everything as shipped, and `bench_arming`, which is their uplinks.

use anyhow::Result;

use super::examples;
use super::lab::{self, Collector};
use super::report::Report;

const AGENTS: &str = "1000";

pub fn run(report: &mut Report) -> Result<()> {
    let programs = lab::build()?;
    let folder = super::scratch("arming")?;
    let collector = Collector::start(&programs, &folder, "127.0.0.1")?;
    let (pid, at) = (collector.process.pid().to_string(), folder.display().to_string());
    let said = examples::collector("bench_arming", &[&collector.console, &collector.token, "this-host", AGENTS, &pid, &at])?;
    let name = |what: &str| format!("new indicator at {AGENTS} agents, {what}");
    report.says(&name("p50"), said.figure("p50_ms")?, "ms", "");
    report.says(&name("p99"), said.figure("p99_ms")?, "ms", "");
    report.at_most(&name("slowest"), said.figure("slowest_ms")?, 1_000.0, "ms");
    report.says(&name("collector's CPU"), said.figure("cpu_s")?, "CPU-s", "");
    report.says("collector with so many agents at rest (heartbeats), CPU of one core", said.figure("idle_cpu_percent")?, "%", "");
    report.says("collector, resident memory", said.figure("resident_mib")?, "MiB", "");
    report.says("  and before they connected", said.figure("before_mib")?, "MiB", "");
    Ok(())
}
