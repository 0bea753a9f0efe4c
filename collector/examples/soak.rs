//! Endless strangers against the engine: `cargo run --release -p collector --example soak [minutes] [events/s] [fast]`.
//!
//! Every event is one that a shipped rule has as its hit, with values never seen before: sources, targets, accounts, host names,
//! names asked for, URLs, hashes, indicators. Half of them come alone, half in runs of one source, so that correlations fire
//! and alerts open without end. All rules that ship, a snapshot a minute as the collector makes it. Resident memory is printed every minute;
//! past `BOUND_MIB` over what the loaded rules take the program fails. `fast`: the same hours of event time without waiting.
//!
//! The bound is the sum of what is stated: 72 MiB of windows and a third for the allocator (`correlate::Limits`), 50,000 open alerts
//! (`warning::DeskLimits`) of at most 6 KiB each here, and the same again twice while a snapshot of them is made.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use collector::engine::{Engine, EngineOptions, Outcome};
use event::{AgentId, Class, Epoch, Event, EventId, Field, SECOND_NS, Timestamp, Value, field};

/// What may be resident over what was after loading.
const BOUND_MIB: f64 = 96.0 + 3.0 * 293.0;
const START_S: i64 = 1_789_000_000;
const AGENTS: u64 = 200;
/// Events of a run of one source.
const RUN: u64 = 60;
/// Events of one case that serve as patterns.
const PATTERNS_A_CASE: usize = 3;

const TEXTS: &[Field] = &[
    field::USER_NAME,
    field::ACTOR_USER,
    field::DEVICE_HOSTNAME,
    field::HTTP_QUERY,
    field::INDICATOR_VALUE,
    field::FILE_SHA256,
    field::RESULT_SHA256,
];

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: u64| args.get(at).and_then(|a| a.parse().ok()).unwrap_or(usual);
    let (minutes, rate) = (number(0, 60), number(1, 700).max(10));
    let fast = args.iter().any(|a| a == "fast");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let patterns = patterns(&root.join("tests/rules"));
    let options = EngineOptions { rules: vec![root.join("config/rules")], mappings: Some(root.join("config/mappings")) };
    let (mut engine, problems) = Engine::load(&options).expect("the rules can be read");
    assert!(problems.is_empty(), "{problems:?}");
    let loaded = resident_mib();
    println!(
        "{} rules, {} patterns, {rate} events/s for {minutes} min; {loaded:.1} MiB resident after loading, bound {:.0} MiB",
        engine.rules().rules().len(),
        patterns.len(),
        loaded + BOUND_MIB
    );
    println!("minute   resident    peak   events     findings   groups  entries  windows    alerts  snapshot  CPU");
    let (mut chance, mut outcome, mut batch) = (Chance(7), Outcome::default(), Vec::new());
    let (started, mut made, mut worst, mut alerts) = (now(), 0u64, 0.0f64, 0u64);
    for second in 0..minutes * 60 {
        for tenth in 0..10 {
            let time = Timestamp::from_ns(START_S * SECOND_NS + (second as i64 * 10 + tenth) * SECOND_NS / 10);
            batch.clear();
            for _ in 0..rate / 10 {
                made += 1;
                batch.push(Arc::new(stranger(&patterns, made, time, &mut chance)));
            }
            outcome.clear();
            engine.step(&batch, time, &mut outcome);
            alerts += outcome.changes.len() as u64;
            if !fast {
                let due = started + Duration::from_millis(second * 1_000 + tenth as u64 * 100);
                pause(due.saturating_duration_since(now()));
            }
        }
        if second % 60 == 59 {
            let held = resident_mib();
            let snapshot = engine.save().len();
            let after = resident_mib();
            worst = worst.max(held).max(after);
            let (groups, entries, open) = engine.held();
            println!(
                "{:>6} {held:>9.1} M {:>7.1} {made:>9} {:>11} {groups:>8} {entries:>8} {:>6.1} M {open:>7}/{alerts} {:>6.1} M {:>5.1} %",
                second / 60 + 1,
                peak_mib(),
                engine.counters().findings,
                engine.window_bytes() as f64 / f64::from(1 << 20),
                snapshot as f64 / f64::from(1 << 20),
                cpu_s() / (now() - started).as_secs_f64() * 100.0,
            );
            if peak_mib() > loaded + BOUND_MIB {
                println!("FAILED: {:.1} MiB at the peak, more than {:.0} MiB", peak_mib(), loaded + BOUND_MIB);
                std::process::exit(1);
            }
        }
    }
    let counters = engine.counters();
    println!("{counters:?}");
    println!("FIGURE soak_minutes {minutes}");
    println!("FIGURE soak_events {made}");
    println!("FIGURE soak_resident_mib {worst:.1}");
    println!("FIGURE soak_peak_mib {:.1}", peak_mib());
    println!("FIGURE soak_bound_mib {:.1}", loaded + BOUND_MIB);
}

/// Some events of every hit case.
fn patterns(folder: &Path) -> Vec<Event> {
    let cases = collector::rules::case::read(folder).expect("the cases that ship");
    let hits = cases.into_iter().filter(|c| !c.expect.is_empty());
    hits.flat_map(|c| {
        let step = (c.events.len() / PATTERNS_A_CASE).max(1);
        c.events.into_iter().rev().step_by(step).take(PATTERNS_A_CASE)
    })
    .collect()
}

/// A pattern with values nobody has seen.
fn stranger(patterns: &[Event], number: u64, time: Timestamp, chance: &mut Chance) -> Event {
    // In a run the pattern and the source stay, the rest changes.
    let (run, alone) = (number / 2 / RUN, number.is_multiple_of(2));
    let (pattern, source) = if alone { (chance.next(), number) } else { (Chance(run).next(), run) };
    let mut event = patterns[pattern as usize % patterns.len()].clone();
    (event.time, event.observed) = (time, time);
    let host = chance.below(AGENTS);
    event.id = EventId { agent: AgentId(1 + host), epoch: Epoch(1), class: Class::Normal, seq: number };
    let unit = host % 40;
    let known: Vec<Field> = event.body.iter().filter_map(|(n, _)| if let event::Name::Known(f) = n { Some(*f) } else { None }).collect();
    for name in &known {
        if *name == field::SRC_IP {
            event.body.set(*name, address(source ^ u64::from(alone) << 31));
        } else if *name == field::DST_IP && chance.below(2) == 0 {
            event.body.set(*name, address(number.wrapping_mul(0x9e37_79b9)));
        } else if *name == field::DNS_QUERY || *name == field::HTTP_URL {
            let old = event.get(*name).map_or_else(String::new, |v| v.to_text().into_owned());
            event.body.set(*name, if *name == field::DNS_QUERY { format!("{number:x}.{old}") } else { format!("{old}?{number:x}") });
        } else if TEXTS.contains(name) && event.get(*name).and_then(Value::as_str).is_some() && chance.below(4) > 0 {
            event.body.set(*name, format!("{:016x}{number:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        }
    }
    event.body.set(field::AGENT_ID, AgentId(1 + host).to_string());
    event.body.set(field::UNIT_ID, format!("unit{unit}"));
    event.body.set(field::UNIT_NAME, format!("Unit {unit}"));
    event.body.set(field::UNIT_SECTOR, ["power", "finance", "telecom", "transport", "energy"][unit as usize % 5]);
    event.body.set(field::OBJECT_IMPORTANCE, if host.is_multiple_of(20) { 3 } else { 1 });
    event
}

fn address(number: u64) -> IpAddr {
    Ipv4Addr::from((number as u32).rotate_left(8) ^ 0x0b00_0000).into()
}

fn status_mib(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|l| l.strip_prefix(key)?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
fn resident_mib() -> f64 {
    status_mib("VmRSS:")
}
fn peak_mib() -> f64 {
    status_mib("VmHWM:")
}

fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

#[expect(clippy::disallowed_methods, reason = "a soak takes the time it takes")]
fn now() -> Instant {
    Instant::now()
}
#[expect(clippy::disallowed_methods, reason = "a soak keeps to its rate")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
