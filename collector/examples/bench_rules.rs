//! The engine alone: `cargo run --release -p collector --example bench_rules [events]`.
//!
//! Events of the seeded city, decoded and joined beforehand, through `Engine::step` in groups of 2,000 with all rules that ship: detection,
//! correlation windows, grouping into alerts. One thread.

mod city;

use std::path::Path;
use std::sync::Arc;

use collector::engine::{Engine, EngineOptions, Outcome};
use collector::normalise::{FrameView, Normaliser};
use collector::register::Register;
use event::{Event, Timestamp};

use city::{City, Meter, batches};

fn main() {
    let total: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(300_000);
    let (frames, _) = batches(City { events: total, hosts: 40, span_s: (total / 20_000).max(1) as i64, joined: false });
    let mut normaliser = Normaliser::new();
    let register = Register::parse("", "bench").expect("an empty register");
    let mut events: Vec<(Timestamp, Arc<Event>)> = Vec::new();
    let mut decoded = Vec::new();
    let meter = Meter::start();
    for f in &frames {
        let view = FrameView {
            agent: f.agent,
            received: f.received,
            class: f.class,
            epoch: f.epoch,
            first_seq: f.first_seq,
            last_seq: f.last_seq,
            bytes: &f.bytes,
        };
        normaliser.frame(view, &register, &mut decoded);
        events.extend(decoded.drain(..).map(|e| (f.received, e)));
    }
    let rate = meter.total("unpack, decode, join", total);
    println!("FIGURE normalise_per_cpu_s {rate:.0}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let options = EngineOptions { rules: vec![root.join("config/rules")], mappings: Some(root.join("config/mappings")) };
    let (mut engine, problems) = Engine::load(&options).expect("the rules can be read");
    assert!(problems.is_empty(), "{problems:?}");
    let mut outcome = Outcome::default();
    let (mut findings, mut changes) = (0, 0);
    let groups: Vec<(Timestamp, Vec<Arc<Event>>)> =
        events.chunks(2_000).map(|c| (c[c.len() - 1].0, c.iter().map(|(_, e)| e.clone()).collect())).collect();
    let meter = Meter::start();
    for (now, group) in &groups {
        outcome.clear();
        engine.step(group, *now, &mut outcome);
        findings += outcome.findings.len();
        changes += outcome.changes.len();
    }
    let rate = meter.total("engine: rules, windows, alerts", total);
    let (groups, entries, open) = engine.held();
    println!(
        "    {} rules; {findings} findings, {changes} changes of alerts; {groups} groups with {entries} entries held, {open} alerts open",
        engine.rules().rules().len()
    );
    println!("FIGURE engine_per_cpu_s {rate:.0}");
}
