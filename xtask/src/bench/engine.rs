//! The rule engine beside rsigma-eval 0.23.0: `xtask/oracle`, a workspace of its own, so that the product's build carries none of it.
//!
//! Both engines read the same lines in one process, in turn, and answer with CPU time; loading and memory are measured in a process each.

use anyhow::Result;

use super::examples::{Said, listen};
use super::report::Report;
use crate::shell;

/// Lane, rules, and what the ratio has to be.
const LANES: &[(&str, &str, f64, &str)] = &[
    ("linux", "all", 8.0, "all rules, Linux lane, parse included: times rsigma"),
    ("linux", "linux", 5.0, "Linux rules only, Linux lane: times rsigma"),
    ("windows", "all", 4.0, "all rules, wide Windows lane: times rsigma"),
];

pub fn run(report: &mut Report) -> Result<()> {
    let Some(data) = data() else {
        report.skipped("the engine beside rsigma", "no data folder: set VEDETTE_DATA");
        return Ok(());
    };
    let folder = shell::root().join("xtask/oracle");
    let target = shell::target_dir().join("oracle");
    let manifest = folder.join("Cargo.toml").display().to_string();
    let target_text = target.display().to_string();
    listen("cargo", &["build", "--release", "--locked", "-q", "--manifest-path", &manifest, "--target-dir", &target_text])?;
    let program = target.join("release/oracle").display().to_string();
    let setting = format!("VEDETTE_DATA={}", data.display());
    let ask = |words: &[&str]| -> Result<Said> {
        let mut all = vec![setting.as_str(), program.as_str()];
        all.extend(words);
        listen("env", &all)
    };
    for (lane, rules, floor, name) in LANES {
        let said = ask(&["speed", lane, rules])?;
        report.at_least(name, said.figure("ratio")?, *floor, "x");
        report.says("  ours", said.figure("ours_us")?, "us/event", "");
        report.says("  rsigma-eval 0.23.0", said.figure("peer_us")?, "us/event", "");
    }
    let (ours, peer) = (ask(&["load", "ours"])?, ask(&["load", "peer"])?);
    let share = |name: &str| -> Result<f64> { Ok(ours.figure(name)? / peer.figure(name)?) };
    report.at_most("memory with all rules loaded, share of rsigma's", share("load_mib")?, 0.5, "x");
    report.at_most("  and after both lanes", share("used_mib")?, 0.5, "x");
    report.at_most("load time of all rules, share of rsigma's", share("load_s")?, 1.0, "x");
    report.at_least("two cores, events shared out (no correlations)", ask(&["cores", "linux", "all"])?.figure("two_cores")?, 1.7, "x");
    for (lane, rules, _, _) in LANES {
        let said = ask(&["equal", lane, rules])?;
        report.at_most(
            &format!("{lane} lane, {rules} rules: events on which the plain scan differs"),
            said.figure("scan_differences")?,
            0.0,
            "",
        );
        report.at_most(&format!("{lane} lane, {rules} rules: differences no sentence explains"), said.figure("unexplained")?, 0.0, "");
    }
    Ok(())
}

fn data() -> Option<std::path::PathBuf> {
    let named = std::env::var_os("VEDETTE_DATA").map(std::path::PathBuf::from);
    named.or_else(|| Some(shell::root().join("../shared/data"))).filter(|p| p.join("bench/sigma-lanes").is_dir())
}
