//! The rule engine beside rsigma-eval 0.23.0: `xtask/oracle`, a workspace of its own, so that the product's build carries none of it.
//!
//! Both engines read the same lines in one process, in turn, and answer with CPU time; loading and memory are measured in a process each.
//! Correlations: the same streams and rules for both, from the line to the finding, a process each, in turn; what the correlations alone
//! cost stands below.
//! Two cores: `vedette match` itself, held to one core and to two in turn.

use std::path::Path;

use anyhow::{Context, Result};

use super::examples::{Said, listen};
use super::process;
use super::report::Report;
use crate::shell;

/// Lane, rules, what the ratio has to be and what it shall be.
const LANES: &[(&str, &str, f64, f64, &str)] = &[
    ("linux", "all", 8.0, 12.0, "all rules, Linux lane, parse included: times rsigma"),
    ("linux", "linux", 5.0, 10.0, "Linux rules only, Linux lane: times rsigma"),
    ("windows", "all", 4.0, 6.0, "all rules, wide Windows lane: times rsigma"),
];
const STREAMS: &[(&str, &str)] = &[("pairs", "20,000 sources x 2,000 hosts"), ("scanners", "50 scanners")];
/// Copies of the Linux lane that are matched in a row, and rounds on each number of cores.
const COPIES: &str = "4";
const ROUNDS: usize = 5;
/// Rounds of each side over a stream of correlations, in turn.
const STREAM_ROUNDS: usize = 3;

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
    let program = |name: &str| target.join("release").join(name).display().to_string();
    let (system, mimalloc) = (program("oracle"), program("oracle_mimalloc"));
    let setting = format!("VEDETTE_DATA={}", data.display());
    let call = |program: &str, words: &[&str]| -> Result<Said> {
        let mut all = vec![setting.as_str(), program];
        all.extend(words);
        listen("env", &all)
    };
    let ask = |words: &[&str]| call(&system, words);
    let ask_mimalloc = |words: &[&str]| call(&mimalloc, words);
    for (lane, rules, minimum, aim, name) in LANES {
        let said = ask(&["speed", lane, rules])?;
        report.aims_up(name, said.figure("ratio")?, *minimum, *aim, "x");
        report.says("  ours", said.figure("ours_us")?, "us/event", "");
        report.says("  rsigma-eval 0.23.0", said.figure("peer_us")?, "us/event", "");
    }
    let (ours, peer) = (ask(&["load", "ours"])?, ask(&["load", "peer"])?);
    let share = |name: &str| -> Result<f64> { Ok(ours.figure(name)? / peer.figure(name)?) };
    report.aims_down("memory with all rules loaded, share of rsigma's", share("load_mib")?, 0.5, 0.25, "x");
    report.aims_down("  and after both lanes", share("used_mib")?, 0.5, 0.25, "x");
    report.aims_down("load time of all rules, share of rsigma's", share("load_s")?, 1.0, 0.5, "x");
    cores(report, &ask)?;
    correlations(report, &ask, &ask_mimalloc)?;
    for (lane, rules, ..) in LANES {
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

/// Four correlations: cost beside rsigma's, each with the allocator its program ships with, then what is missed and how much memory it
/// takes.
fn correlations(report: &mut Report, system: &dyn Fn(&[&str]) -> Result<Said>, mimalloc: &dyn Fn(&[&str]) -> Result<Said>) -> Result<()> {
    let folder = super::scratch("streams")?;
    let city = |words: &[&str]| -> Result<Said> {
        let mut all = vec!["run", "--release", "--locked", "-q", "-p", "correlate", "--example", "city", "--"];
        all.extend(words);
        listen("cargo", &all)
    };
    for (stream, what) in STREAMS {
        city(&[stream, "--write", &folder.display().to_string()])?;
        let file = |name: &str| folder.join(name).display().to_string();
        let mut sides = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..STREAM_ROUNDS {
            for ((who, ask), side) in
                [("ours", mimalloc), ("peer", system), ("ours", system), ("peer", mimalloc)].into_iter().zip(&mut sides)
            {
                let said = ask(&["correlate", who, &file(&format!("{stream}.jsonl")), &file("rules.yml")])?;
                side.push((said.figure("whole_us")?, said.figure("alone_us")?));
            }
        }
        let [ours, peer, ours_system, peer_mimalloc] =
            sides.map(|side| (median(side.iter().map(|r| r.0).collect()), median(side.iter().map(|r| r.1).collect())));
        report.aims_up(&format!("four correlations, line to finding, {what}: times less CPU"), peer.0 / ours.0, 10.0, 20.0, "x");
        let named = [
            ("ours, mimalloc", ours),
            ("rsigma-eval 0.23.0, system's allocator", peer),
            ("ours, system's allocator", ours_system),
            ("rsigma-eval 0.23.0, mimalloc", peer_mimalloc),
        ];
        for (who, side) in named {
            report.says(&format!("  {who}"), side.0, "us/event", &format!("of it correlations alone {:.2}", side.1));
        }
        report.says("  without parse and detection: times less CPU", peer.1 / ours.1, "x", "");
    }
    for (stream, what) in STREAMS {
        let said = city(&[stream])?;
        report.aims_down(&format!("missed groups, {what}"), said.figure("missed_percent")?, 1.0, 0.0, "%");
        report.at_most("  of them with an object of high importance", said.figure("missed_high_risk")?, 0.0, "");
        report.at_most("  groups told that are none", said.figure("false")?, 0.0, "");
        report.at_most("  memory of the process", said.figure("memory_mb")?, 95.0, "MB");
    }
    Ok(())
}

/// `vedette match` on one core and on two, in turn: all rules and four correlations over the Linux lane.
fn cores(report: &mut Report, ask: &dyn Fn(&[&str]) -> Result<Said>) -> Result<()> {
    const NAME: &str = "two cores, all rules and four correlations, Linux lane: times one core";
    if !shell::has("taskset") || std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        report.skipped(NAME, "needs two cores and taskset (util-linux)");
        return Ok(());
    }
    let folder = super::scratch("cores")?;
    ask(&["write", &folder.display().to_string(), COPIES])?;
    listen("cargo", &["build", "--release", "--locked", "-q", "-p", "collector", "--bin", "vedette"])?;
    let program = shell::target_dir().join("release/vedette").display().to_string();
    let (mut walls, mut outputs) = ([Vec::new(), Vec::new()], Vec::new());
    let (mut shares, mut loads) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        for (n, cores) in ["0", "0,1"].into_iter().enumerate() {
            let (figures, found) = matched(&program, cores, &folder)?;
            let of =
                |name: &str| figures.get(name).and_then(serde_json::Value::as_f64).with_context(|| format!("no '{name}' in {figures}"));
            outputs.push(found);
            // The first round reads the files from disk.
            if round > 0 {
                if let Some(walls) = walls.get_mut(n) {
                    walls.push(of("events_per_second")?);
                }
                if n == 1 {
                    shares.push(of("cpu_seconds_matching")? / of("cpu_seconds_busiest")?.max(of("cpu_seconds_matching")? / 2.0));
                    loads.push(process::load());
                }
            }
        }
    }
    let [one, two] = walls.map(median);
    report.aims_up(NAME, two / one, 1.7, 1.9, "x");
    report.says("  one core, two cores, by the clock", two, "events/s", &format!("one core {one:.0}; load {}", loads.join("; ")));
    report.says("  what the split of CPU time would allow on idle cores", median(shares), "x", "all CPU / that of the busier core");
    let same = outputs.iter().all(|o| Some(o) == outputs.first());
    report.at_most("  runs whose findings differ", if same { 0.0 } else { 1.0 }, 0.0, "");
    Ok(())
}

/// One run: its figures, and its findings' hash.
fn matched(program: &str, cores: &str, folder: &Path) -> Result<(serde_json::Value, u64)> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let file = |name: &str| folder.join(name).display().to_string();
    let (sigma, four, lane) = (file("sigma"), file("four.yml"), file("lane.jsonl"));
    let args = ["-c", cores, program, "match", "--rules", &sigma, "--rules", &four, &lane, "-o", "jsonl", "--stats=json"];
    let out = shell::command("taskset").args(args).output().context("cannot start taskset")?;
    let said = String::from_utf8_lossy(&out.stderr);
    let figures = said.lines().find(|l| l.starts_with('{')).with_context(|| format!("no figures: {said}"))?;
    let mut hasher = DefaultHasher::new();
    out.stdout.hash(&mut hasher);
    Ok((serde_json::from_str(figures)?, hasher.finish()))
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn data() -> Option<std::path::PathBuf> {
    let named = std::env::var_os("VEDETTE_DATA").map(std::path::PathBuf::from);
    named.or_else(|| Some(shell::root().join("../shared/data"))).filter(|p| p.join("bench/sigma-lanes").is_dir())
}
