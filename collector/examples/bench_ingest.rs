//! The collector's road at full speed: `cargo run --release -p collector --example bench_ingest [events] [folder]`.
//!
//! Packed wire batches → write-ahead log (`fdatasync` before each 2,000 events are taken as kept) → the real pipeline thread: unpacked, decoded,
//! joined with a register of 40 units, stepped through the engine, stored, sealed as columns; alerts with their evidence in SQLite. Once without
//! rules and once with all that ship, the same events. CPU time is of this process, user and system; making the batches is not in it.
//!
//! Lines `FIGURE name value` are for `cargo xtask bench`; `<folder>/plain/events` stays as Parquet for the peer.

mod city;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use collector::engine::{Engine, EngineOptions};
use collector::outbox::Outbox;
use collector::pipeline::{Pipeline, PipelineMetrics};
use collector::register::Register;
use collector::serve::{Board, Feed};
use collector::store::{DiskConfig, DiskStore, Frame, SqliteDesk, Wal, WalConfig};

use city::{City, Meter, SECTORS, UNITS, batches};

/// Batches of 500 events that one `fdatasync` may make durable together.
const TOGETHER: usize = 4;

fn main() {
    let mut args = std::env::args().skip(1);
    let total: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(1_000_000);
    let keep = args.next().map(PathBuf::from);
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = keep.unwrap_or_else(|| temporary.path().to_path_buf());
    // 20,000 events a second, so that windows fill.
    let (frames, _) = batches(City { events: total, hosts: 40, span_s: (total / 20_000).max(1) as i64, joined: false });
    let wire_bytes: usize = frames.iter().map(|f| f.bytes.len()).sum();
    println!("{total} events in {} batches, {:.1} B/event on the wire", frames.len(), wire_bytes as f64 / total as f64);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shipped = EngineOptions { rules: vec![root.join("config/rules")], mappings: Some(root.join("config/mappings")) };
    for (name, options) in [("plain", EngineOptions::default()), ("rules", shipped)] {
        let (engine, problems) = Engine::load(&options).expect("the rules can be read");
        assert!(problems.is_empty(), "{problems:?}");
        run(name, &folder.join(name), &frames, engine, total);
    }
    println!("FIGURE peak_mb {}", city::status_kb("VmHWM") / 1024);
}

fn run(name: &str, folder: &Path, frames: &[Frame], engine: Engine, total: u64) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).expect("a folder");
    let (wal, _) = Wal::open(&folder.join("wal"), WalConfig::default()).expect("the log opens");
    let wal = Arc::new(wal);
    let store = Arc::new(DiskStore::open(DiskConfig::new(folder.join("events"))).expect("the store opens"));
    let desk = Arc::new(SqliteDesk::open(&folder.join("desk.db")).expect("the desk opens"));
    let metrics = telemetry::Metrics::new("bench");
    let figures = PipelineMetrics::new(&metrics);
    let (events, findings, changes) = (figures.events.clone(), figures.findings.clone(), figures.changes.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let (_orders, inbox) = std::sync::mpsc::channel();
    let pipeline = Pipeline {
        wal: wal.clone(),
        events: store.clone(),
        desk,
        outbox: Outbox::new(Arc::new(Feed::new(1, 10_000))),
        board: Arc::new(Board::default()),
        register: Arc::new(RwLock::new(Arc::new(register()))),
        indicators: collector::indicators::Indicators::open(&folder.join("indicators"), &[]),
        unit_of: Box::new(|agent| Some(format!("unit-{:02}", (agent.0 - 1) % UNITS))),
        metrics: figures,
        orders: inbox,
        stop: stop.clone(),
        clock: collector::clock::now,
    };
    let meter = Meter::start();
    let thread = std::thread::spawn(move || pipeline.run(engine));
    for group in frames.chunks(TOGETHER) {
        let tickets: Vec<_> = group.iter().map(|f| wal.append(f.clone())).collect();
        for ticket in tickets {
            ticket.wait().expect("the log takes it");
        }
    }
    while store.taken() < wal.end() {
        assert!(!thread.is_finished(), "the pipeline ended early");
        pause();
    }
    stop.store(true, Ordering::Release);
    thread.join().expect("no panic").expect("the pipeline ends well");
    store.seal().expect("the last segment is sealed");
    let rate = meter.total(&format!("{name}: wire batch -> durable -> joined -> engine -> columns"), total);
    assert!(events.get() >= total, "{} of {total} events went through", events.get());
    let sum = |counters: &telemetry::Counters, words: &[&str]| words.iter().map(|w| counters.with(&[w]).get()).sum::<u64>();
    let found = sum(&findings, &["informational", "low", "medium", "high", "critical", "fatal"]);
    println!(
        "    {found} findings, {} alerts opened, {} updates; {:?}",
        sum(&changes, &["opened"]),
        sum(&changes, &["updated"]),
        wal.stats()
    );
    println!("FIGURE {name}_per_cpu_s {rate:.0}");
}

/// 40 units in 5 sectors.
fn register() -> Register {
    let units: String = (0..UNITS)
        .map(|u| format!("[[unit]]\nid = \"unit-{u:02}\"\nname = \"第{u}单位\"\nsector = \"{}\"\n", SECTORS[u as usize % SECTORS.len()]))
        .collect();
    Register::parse(&units, "bench").expect("a register")
}

#[expect(clippy::disallowed_methods, reason = "waits for another thread's files")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}
