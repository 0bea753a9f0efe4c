//! The store's figures, as storage-facts.md section 2 asks for them: `cargo run --release -p collector --example bench_store [events] [folder]`.
//!
//! A seeded city of 400 hosts over 7 days (`city/mod.rs`). Ingest goes the whole
//! way: packed wire batch → write-ahead log (`fdatasync`) → read back → unpacked and decoded → memtable → sorted, sealed segments. CPU time is
//! of this process, user and system, from /proc/self/stat; making the batches is not in it. Queries: warm, median of 7, one thread.

mod city;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use collector::indicators::{Bounds, Search, SearchState, hunt};
use collector::store::{CountBy, Cursor, DiskConfig, DiskStore, EventStore, Filter, Frame, Header, Query, Scope, Wal, WalConfig};
use event::{Event, EventId, SECOND_NS, Timestamp, field};

use city::{BATCH, City, Meter, START, batches, cpu, median, status_kb};

const DAYS: i64 = 7;

fn main() {
    let mut args = std::env::args().skip(1);
    let total: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(1_000_000);
    let keep = args.next().map(PathBuf::from);
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = keep.unwrap_or_else(|| temporary.path().to_path_buf());
    let (frames, sample) = batches(City { events: total, hosts: 400, span_s: DAYS * 86_400, joined: true });
    let wire_bytes: usize = frames.iter().map(|f| f.bytes.len()).sum();
    println!("{total} events in {} batches, {:.1} B/event on the wire", frames.len(), wire_bytes as f64 / total as f64);

    let (wal, _) = Wal::open(&folder.join("wal"), WalConfig::default()).expect("the log opens");
    let disk = DiskConfig { thread: false, ..DiskConfig::new(folder.join("events")) };
    let store = DiskStore::open(disk).expect("the store opens");
    let mut meter = Meter::start();
    let mut tickets = std::collections::VecDeque::new();
    for frame in frames {
        tickets.push_back(wal.append(frame));
        // As many batches on the way as agents would have.
        if tickets.len() >= 64
            && let Some(oldest) = tickets.pop_front()
        {
            oldest.wait().expect("the log takes it");
        }
    }
    for ticket in tickets {
        ticket.wait().expect("the log takes it");
    }
    meter.lap("log: append and fdatasync", total);
    println!("    {:?}", wal.stats());
    let mut reader = wal.read(wal.oldest()).expect("the log can be read");
    let (mut decode_s, mut seal_s) = (0.0, 0.0);
    let mut rows = 0;
    while let Some(entry) = reader.next().expect("the log can be read") {
        let before = cpu();
        let events = decode(&entry.frame);
        decode_s += cpu() - before;
        rows += events.len();
        store.append(entry.next, &events).expect("the store takes it");
        if rows >= 262_144 {
            rows = 0;
            let before = cpu();
            store.seal().expect("a segment is sealed");
            seal_s += cpu() - before;
        }
    }
    store.seal().expect("a segment is sealed");
    meter.lap("read, decode, memtable, segments", total);
    println!("    of that: decode {decode_s:.2} CPU-s, sealing (but the last) {seal_s:.2} CPU-s");
    meter.total("INGEST wire batch -> durable -> decoded -> segment", total);
    sizes(&folder, &store, total, "sealed");
    questions(&store, &sample);
    while store.compact(Timestamp::from_secs(START)).expect("segments are joined") {}
    let stats = store.stats();
    println!("after compaction: {} segments, {:.1} B/event", stats.segments, stats.segment_bytes as f64 / total as f64);
    let again = DiskStore::open(DiskConfig { thread: false, ..DiskConfig::new(folder.join("events")) });
    let before = cpu();
    drop(again);
    println!("open: {:.1} CPU-ms", (cpu() - before) * 1e3);
    println!("peak memory: {} MB", status_kb("VmHWM") / 1024);
}

/// The questions of section 2.
fn questions(store: &DiskStore, sample: &Event) {
    let end = Timestamp::from_secs(START + DAYS * 86_400);
    let back = |s: i64| end.plus_secs(-s);
    let week = back(DAYS * 86_400);
    let ask = |from, filter, limit| Query::new(from, end, filter, limit);
    let hashes: Vec<String> = (0..500u64).map(|n| format!("{:064x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c))).collect();
    let some_hash = sample.text(field::FILE_SHA256).into_owned();
    let with_hit: Vec<String> = hashes.iter().cloned().chain([some_hash]).collect();
    let rows = |name: &str, q: Query| {
        let found = store.search(&Scope::CITY, &q).expect("a page");
        let ms = median(|| drop(store.search(&Scope::CITY, &q)));
        println!(
            "{name:<52} {ms:>9.3} ms  {:>6} rows  {} groups read, {} ruled out",
            found.events.len(),
            found.searched.groups_read,
            found.searched.groups_skipped
        );
    };
    let count = |name: &str, q: Query, by: CountBy| {
        let found = store.count_by(&Scope::CITY, &q, &by).expect("a count");
        let ms = median(|| drop(store.count_by(&Scope::CITY, &q, &by)));
        println!("{name:<52} {ms:>9.2} ms  {:>6} groups of {} events", found.groups.len(), found.total);
    };
    rows("Q1  one host, last 15 min", ask(back(900), Filter::eq(field::DEVICE_HOSTNAME, "host-007"), 200));
    rows("Q2a hot address, 7 d, last 200", ask(week, Filter::eq(field::SRC_IP, "203.0.113.1"), 200));
    let rare = "203.0.113.77";
    rows("Q2b rarer address, source or target, 7 d", ask(week, Filter::eq(field::SRC_IP, rare).or(Filter::eq(field::DST_IP, rare)), 200));
    rows("Q3  part of a command line, 7 d", ask(week, Filter::contains(field::PROCESS_CMD_LINE, "nc -e /bin/sh"), 200));
    let by = |keys: &[event::Field], bucket: Option<i64>, top| CountBy {
        keys: keys.iter().map(|k| (*k).into()).collect(),
        bucket_ns: bucket,
        top,
    };
    count("Q4  count by sector and minute, 24 h", ask(back(86_400), Filter::All, 1), by(&[field::UNIT_SECTOR], Some(60 * SECOND_NS), None));
    count("Q5  top-10 refused sources, 7 d", ask(week, Filter::eq(field::CONN_STATE, "REJ"), 1), by(&[field::SRC_IP], None, Some(10)));
    let ms = median(|| assert!(store.get(&Scope::CITY, sample.id).expect("a look-up").is_some()));
    println!("{:<52} {ms:>9.2} ms", "Q6  one event by id");
    rows("Q7  500 hashes, one of them there, 7 d", ask(week, Filter::any_of(field::FILE_SHA256, &with_hit), 200));
    rows("    500 hashes, none there, 7 d", ask(week, Filter::any_of(field::FILE_SHA256, &hashes), 200));
    rows(
        "    absent address, source or target, 7 d",
        ask(week, Filter::eq(field::SRC_IP, "198.18.0.1").or(Filter::eq(field::DST_IP, "198.18.0.1")), 200),
    );
    rows("    absent name, 7 d", ask(week, Filter::eq(field::DNS_QUERY, "evil.example.invalid"), 200));
    for (name, value) in
        [("an absent address, all a search asks", "198.18.0.1"), ("an absent domain, all a search asks", "evil.example.invalid")]
    {
        let (set, search, go_on) = (indicators(value), Search::new("bench"), AtomicBool::new(false));
        let look = || {
            let state = hunt(store, &set, end, Bounds::default(), &search, &go_on, &mut |_| panic!("it is absent")).expect("a search");
            assert_eq!(state, SearchState::Complete);
        };
        println!("    {name:<48} {:>9.3} ms  {} questions", median(look), search.progress().1);
    }
    rows("    newest 100 events", ask(week, Filter::All, 100));
    let middle = Query { cursor: Some(Cursor { time: back(3 * 86_400), id: sample.id }), ..ask(week, Filter::All, 100) };
    rows("    a page from the middle", middle);
    rows("    severity >= high, 7 d", ask(week, Filter::at_least(Header::Severity, 4.0), 200));
    rows("    free text, absent (reads everything)", ask(week, Filter::text("no such words anywhere"), 200));
}

fn indicators(value: &str) -> indicator::Set {
    let mut builder = indicator::SetBuilder::new();
    let options = indicator::ReadOptions { source: "bench".into(), ..Default::default() };
    indicator::read(format!("{value}\n").as_bytes(), &options, &mut |entry| builder.add(entry));
    builder.build()
}

fn sizes(folder: &std::path::Path, store: &DiskStore, total: u64, what: &str) {
    let stats = store.stats();
    let of = |n: u64| n as f64 / total as f64;
    let manifest = ["manifest.db", "manifest.db-wal"]
        .iter()
        .filter_map(|f| std::fs::metadata(folder.join("events").join(f)).ok())
        .map(|m| m.len())
        .sum::<u64>();
    println!(
        "{what}: {} segments, {:.1} B/event + {:.1} B/event manifest with blooms = {:.1} B/event",
        stats.segments,
        of(stats.segment_bytes),
        of(manifest),
        of(stats.segment_bytes + manifest)
    );
}

fn decode(frame: &Frame) -> Vec<Arc<Event>> {
    let unpacked = wire::batch::Batch::from_bytes(frame.bytes.clone()).and_then(|b| b.unpack()).expect("our own batch");
    let mut out = Vec::with_capacity(BATCH);
    for (seq, row) in unpacked.rows() {
        if let wire::batch::Row::Event(bytes) = row {
            let mut event = wire::event::decode(bytes).expect("our own event");
            event.id = EventId { agent: frame.agent, epoch: frame.epoch, class: frame.class, seq };
            out.push(Arc::new(event));
        }
    }
    out
}
