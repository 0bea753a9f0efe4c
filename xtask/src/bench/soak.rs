//! `cargo xtask bench soak [--minutes N] [--rate N]`: endless strangers against the engine, resident memory every minute.
//!
//! The collector's example `soak` does it with all rules that ship; it fails when its stated bound is passed, and so does this.

use anyhow::{Result, bail};

use super::examples::collector;
use super::report::Report;

pub fn run(report: &mut Report, args: &[String]) -> Result<()> {
    let (mut minutes, mut rate) = ("60", "700");
    for pair in args.chunks(2) {
        match pair {
            [name, value] if name == "--minutes" && value.parse::<u64>().is_ok_and(|n| n > 0) => minutes = value,
            [name, value] if name == "--rate" && value.parse::<u64>().is_ok_and(|n| n >= 10) => rate = value,
            _ => bail!("soak knows --minutes N and --rate N (events a second, 10 or more), not '{}'", pair.join(" ")),
        }
    }
    let said = collector("soak", &[minutes, rate])?;
    let events = format!("{} events in {minutes} min", said.figure("soak_events")?);
    report.at_most("peak memory, endless strangers", said.figure("soak_peak_mib")?, said.figure("soak_bound_mib")?, "MiB");
    report.says("  resident, the worst minute", said.figure("soak_resident_mib")?, "MiB", &events);
    Ok(())
}
