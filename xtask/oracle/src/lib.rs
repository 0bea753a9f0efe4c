//! Our engine beside rsigma-eval 0.23.0: same rules, same events, one process, rounds in turn, CPU time of the thread.
//!
//! `oracle speed LANE RULES`, `oracle equal LANE RULES`: LANE is `linux` or `windows`, RULES `all` or `linux`.
//! `oracle load ours|peer`: CPU time and memory of loading all rules, in a process of its own.
//! `oracle correlate ours|peer EVENTS RULES`: a stream through detection and correlations, both sides from the line to the finding. The
//! program `oracle_mimalloc` is the same with the allocator `vedette` ships with; rsigma ships with the system's.
//! `oracle write FOLDER COPIES`: the Linux lane in order of time, all rules and four correlations over it as files. Data: the folder in VEDETTE_DATA. Answers are `FIGURE name value` lines.

mod correlated;
mod equal;
mod lane;
mod peer;

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use event::LogSource;
use rule::{Mappings, Options, Routing, RuleSet, Source};

/// Rounds of each engine; figures are medians.
const ROUNDS: usize = 9;
/// Events of a round.
const ROUND_EVENTS: usize = 20_000;

/// One rule of the public repository.
pub struct RuleText {
    pub path: String,
    pub yaml: String,
    pub source: LogSource,
}

/// Does what the command line says.
pub fn run() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["speed", lane, rules] => speed(lane, rules),
        ["equal", lane, rules] => equal::equal(lane, rules),
        ["correlate", who @ ("ours" | "peer"), events, rules] => correlated::correlate(who, events, rules),
        ["write", folder, copies] => lane::write(std::path::Path::new(folder), copies.parse().expect("a number of copies")),
        ["load", who] => load(who),
        ["ours", lane, rules] => ours_only(lane, rules),
        _ => {
            eprintln!(
                "oracle speed|equal|ours linux|windows all|linux, oracle correlate ours|peer EVENTS RULES, oracle write FOLDER COPIES, or oracle load ours|peer"
            );
            std::process::exit(2);
        }
    }
}

fn data(path: &str) -> Vec<u8> {
    let root = std::env::var("VEDETTE_DATA").expect("VEDETTE_DATA names the data folder");
    std::fs::read(format!("{root}/{path}")).unwrap_or_else(|e| panic!("{root}/{path}: {e}"))
}

/// The active rules without those that wait for placeholder values; `linux`: only those about Linux.
pub fn rules(which: &str) -> Vec<RuleText> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(data("sigma/all-rules.jsonl.gz").as_slice()).read_to_string(&mut text).expect("gzip of UTF-8");
    let mut all = Vec::new();
    for line in text.lines() {
        let json: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        let word = |key: &str| json[key].as_str().map(str::to_owned);
        let path = word("path").unwrap_or_default();
        if ["deprecated/", "unsupported/", "rules-placeholder/"].iter().any(|p| path.starts_with(p)) {
            continue;
        }
        let source = LogSource::owned(json["product"].as_str(), json["category"].as_str(), json["service"].as_str());
        if which == "all" || source.product.as_deref() == Some(which) {
            all.push(RuleText { path, yaml: word("yaml").unwrap_or_default(), source });
        }
    }
    all
}

pub fn lane(name: &str) -> Vec<Vec<u8>> {
    let text = zstd::decode_all(data(&format!("bench/sigma-lanes/{name}.jsonl.zst")).as_slice()).expect("zstd");
    text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect()
}

pub fn ours(rules: &[RuleText]) -> RuleSet {
    let sources: Vec<Source> = rules.iter().map(|r| Source { path: r.path.clone(), text: r.yaml.clone() }).collect();
    let (set, errors) = RuleSet::from_sources(&sources, &Mappings::none(), &Options::default());
    assert_eq!(errors, [], "rules that do not load");
    set
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.expect("VmRSS") / 1024.0
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Events of round `n`, as if the lane went round.
fn round(lane: &[Vec<u8>], n: usize) -> impl Iterator<Item = &Vec<u8>> {
    lane.iter().cycle().skip(n * ROUND_EVENTS % lane.len()).take(ROUND_EVENTS)
}

fn speed(lane_name: &str, which: &str) {
    let (texts, lane) = (rules(which), lane(lane_name));
    let (set, peer) = (ours(&texts), peer::engine(&texts));
    let (mut scratch, mut hits, routing) = (set.scratch(), Vec::new(), Routing::default());
    let mut rows = Vec::new();
    let mut found = (0usize, 0usize);
    for n in 0..=ROUNDS {
        let mut mine = || {
            let start = cpu();
            for line in round(&lane, n) {
                set.matches_json(line, &routing, &mut scratch, &mut hits).expect("an event");
                found.0 += hits.len();
            }
            (cpu() - start).as_secs_f64() / ROUND_EVENTS as f64 * 1e6
        };
        let mut theirs = || {
            let start = cpu();
            for line in round(&lane, n) {
                found.1 += peer::matches(&peer, line).len();
            }
            (cpu() - start).as_secs_f64() / ROUND_EVENTS as f64 * 1e6
        };
        // Each goes first in turn.
        let row = if n % 2 == 0 {
            let first = mine();
            (first, theirs())
        } else {
            let first = theirs();
            (mine(), first)
        };
        // The first round fills caches and makes plans.
        if n > 0 {
            println!("round {n}: ours {:.2} us/event, rsigma {:.2} us/event, ratio {:.2}", row.0, row.1, row.1 / row.0);
            rows.push(row);
        }
    }
    let events = ((ROUNDS + 1) * ROUND_EVENTS) as f64;
    println!(
        "matches an event: ours {:.4}, rsigma {:.4} (its routing also asks rules whose log source the event does not name)",
        found.0 as f64 / events,
        found.1 as f64 / events
    );
    println!("FIGURE ours_us {:.3}", median(rows.iter().map(|r| r.0).collect()));
    println!("FIGURE peer_us {:.3}", median(rows.iter().map(|r| r.1).collect()));
    println!("FIGURE ratio {:.3}", median(rows.iter().map(|r| r.1 / r.0).collect()));
}

/// Ours alone, for a profiler.
fn ours_only(lane_name: &str, which: &str) {
    let (texts, lane) = (rules(which), lane(lane_name));
    let set = ours(&texts);
    let (mut scratch, mut hits, routing) = (set.scratch(), Vec::new(), Routing::default());
    let mut rows = Vec::new();
    for n in 0..40 {
        let start = cpu();
        for line in round(&lane, n) {
            set.matches_json(line, &routing, &mut scratch, &mut hits).expect("an event");
        }
        rows.push((cpu() - start).as_secs_f64() / ROUND_EVENTS as f64 * 1e6);
    }
    let (events, woken) = scratch.woken();
    println!("{:.3} rules woken an event", woken as f64 / events as f64);
    rows.sort_by(f64::total_cmp);
    println!("ours: best {:.3}, median {:.3} us/event, {:.1} MiB resident", rows[0], rows[rows.len() / 2], resident_mib());
}

fn load(who: &str) {
    let texts = rules("all");
    let sources: Vec<Source> =
        if who == "ours" { texts.iter().map(|r| Source { path: r.path.clone(), text: r.yaml.clone() }).collect() } else { Vec::new() };
    let before = resident_mib();
    let start = cpu();
    let (count, kept): (usize, Box<dyn std::any::Any>) = if who == "ours" {
        let (set, errors) = RuleSet::from_sources(&sources, &Mappings::none(), &Options::default());
        assert_eq!(errors, []);
        (set.rules().len(), Box::new(set))
    } else {
        let engine = peer::engine(&texts);
        (engine.rule_count(), Box::new(engine))
    };
    let time = (cpu() - start).as_secs_f64();
    println!(
        "{who}: {count} rules in {time:.3} s of CPU, {:.1} MiB more than the {before:.1} MiB with the texts alone",
        resident_mib() - before
    );
    println!("FIGURE load_s {time:.4}");
    println!("FIGURE load_mib {:.2}", resident_mib() - before);
    // Both lanes, line by line, so that what is built when first needed counts too.
    for name in ["linux", "windows"] {
        let root = std::env::var("VEDETTE_DATA").expect("VEDETTE_DATA names the data folder");
        let file = std::fs::File::open(format!("{root}/bench/sigma-lanes/{name}.jsonl.zst")).expect("the lane");
        let lines = BufReader::new(zstd::Decoder::new(file).expect("zstd")).split(b'\n').map(|l| l.expect("a line"));
        if let Some(set) = kept.downcast_ref::<RuleSet>() {
            let (mut scratch, mut hits) = (set.scratch(), Vec::new());
            lines.for_each(|line| set.matches_json(&line, &Routing::default(), &mut scratch, &mut hits).expect("an event"));
        } else if let Some(engine) = kept.downcast_ref::<rsigma_eval::Engine>() {
            lines.for_each(|line| drop(peer::matches(engine, &line)));
        }
    }
    let held = resident_mib() - before;
    println!("{who}: {held:.1} MiB more after both lanes");
    println!("FIGURE used_mib {held:.2}");
}
