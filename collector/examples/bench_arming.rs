//! How long a new indicator takes to be in force at every connected agent: `bench_arming CONSOLE TOKEN UNIT AGENTS PID FOLDER`.
//!
//! The collector is a program of its own (`cargo xtask bench arming` starts it). Here are AGENTS agents' uplinks in one process: each with
//! a key and a certificate of its own, a mutual TLS 1.3 connection, the agent's own state machine, signature check and indicator set; in
//! place of sensors and spool a heartbeat every five seconds from memory. Time runs from just before the upload is sent to the collector's API to the
//! moment an agent has the set in force, for each agent by itself. Both programs share the machine's cores.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agent::identity::message::Invitation;
use agent::identity::{Identity, enrol};
use agent::uplink::{Source, SourceError, UplinkConfig, UplinkStatus};
use event::{Class, Event, Kind, LogSource, field};
use spool::{Record, RecordKind};
use tokio::sync::{Notify, Semaphore, mpsc};
use wire::Mark;
use wire::link::Marks;

const ROUNDS: usize = 10;
const BEAT: Duration = Duration::from_secs(5);
/// Handshakes at once, well below what the doors allow one source.
const AT_ONCE: usize = 12;
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let mut next =
        |what: &str| args.next().unwrap_or_else(|| panic!("usage: bench_arming CONSOLE TOKEN UNIT AGENTS PID FOLDER; no {what}"));
    let api = Arc::new(Api { console: next("console"), token: next("token") });
    let unit = next("unit");
    let count: usize = next("number of agents").parse().expect("a number of agents");
    let collector = Process(next("pid").parse().expect("a process id"));
    let folder = PathBuf::from(next("folder"));
    let before = collector.resident_mib();
    println!("collector before: {before:.0} MiB");

    let begun = instant();
    let (told, mut armed) = mpsc::unbounded_channel();
    let mut agents = Vec::new();
    for n in 0..count {
        agents.push(tokio::spawn(join(n, api.clone(), unit.clone(), folder.clone(), told.clone())));
    }
    let mut beating = Vec::new();
    for agent in agents {
        beating.push(agent.await.expect("an agent joins"));
    }
    wait_for(&mut armed, count, 0, begun).await;
    println!("{count} agents enrolled and connected in {:.1} s", begun.elapsed().as_secs_f64());
    tokio::spawn(beat(beating));
    tokio::time::sleep(2 * BEAT).await;
    println!("collector with {count} agents: {:.0} MiB", collector.resident_mib());
    let idle = (instant(), collector.cpu_s());
    tokio::time::sleep(2 * BEAT).await;
    let idle = (collector.cpu_s() - idle.1) / idle.0.elapsed().as_secs_f64();
    println!("FIGURE idle_cpu_percent {:.2}", idle * 100.0);

    let (mut all, mut slowest, mut cpu) = (Vec::new(), Vec::new(), 0.0);
    for round in 1..=ROUNDS {
        let (before, begun) = (collector.cpu_s(), instant());
        let body = format!("c2-{round}.beacon.example\n192.0.2.{round}\n");
        let (asked, source) = (api.clone(), format!("round-{round}"));
        let answer = tokio::task::spawn_blocking(move || asked.post(&format!("/api/v1/indicators?source={source}"), &body));
        let times = wait_for(&mut armed, count, 2 * round as u64, begun).await;
        answer.await.expect("the upload is answered");
        let spent = collector.cpu_s() - before;
        cpu += spent;
        let mut ms: Vec<f64> = times.iter().map(|t| t.duration_since(begun).as_secs_f64() * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        println!(
            "round {round}: p50 {:.0} ms, p99 {:.0} ms, slowest {:.0} ms; collector {spent:.2} CPU-s",
            at(&ms, 0.5),
            at(&ms, 0.99),
            at(&ms, 1.0)
        );
        slowest.push(at(&ms, 1.0));
        all.extend(ms);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    all.sort_by(f64::total_cmp);
    println!("FIGURE p50_ms {:.1}", at(&all, 0.5));
    println!("FIGURE p99_ms {:.1}", at(&all, 0.99));
    println!("FIGURE slowest_ms {:.1}", slowest.iter().copied().fold(0.0, f64::max));
    println!("FIGURE cpu_s {:.3}", cpu / ROUNDS as f64);
    println!("FIGURE resident_mib {:.1}", collector.resident_mib());
    println!("FIGURE before_mib {before:.1}");
    std::process::exit(0);
}

fn at(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len().saturating_sub(1)) as f64 * share;
    sorted.get(place.round() as usize).copied().unwrap_or(f64::NAN)
}

/// Waits until all agents hold so many indicators; when each of them did.
async fn wait_for(armed: &mut mpsc::UnboundedReceiver<(usize, u64, Instant)>, count: usize, entries: u64, begun: Instant) -> Vec<Instant> {
    let mut times = Vec::with_capacity(count);
    while times.len() < count {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        let heard = tokio::time::timeout(left, armed.recv()).await;
        let Ok(Some((_, held, at))) = heard else {
            panic!("{} of {count} agents hold {entries} indicators after {PATIENCE:?}", times.len())
        };
        if held == entries {
            times.push(at);
        }
    }
    times
}

/// Enrols and connects one agent; says each set that comes into force.
async fn join(n: usize, api: Arc<Api>, unit: String, folder: PathBuf, told: mpsc::UnboundedSender<(usize, u64, Instant)>) -> Arc<Memory> {
    static DOOR: Semaphore = Semaphore::const_new(AT_ONCE);
    let dir = folder.join(format!("agent-{n}"));
    let source = Arc::new(Memory::default());
    let status = Arc::new(UplinkStatus::default());
    let mut seen = status.subscribe();
    let turn = DOOR.acquire().await.expect("never closed");
    let asked = tokio::task::spawn_blocking(move || api.post("/api/v1/enrolment-tokens", &format!("{{\"unit_id\":\"{unit}\"}}")));
    let answer: serde_json::Value = serde_json::from_str(&asked.await.expect("an answer")).expect("JSON");
    let invitation: Invitation = answer["enrolment"].as_str().and_then(|s| s.parse().ok()).expect("an enrolment string");
    let identity: Identity = enrol(&dir, &invitation, false).await.expect("the collector takes the agent");
    let config = UplinkConfig { state_dir: dir, ..UplinkConfig::default() };
    tokio::spawn(agent::uplink::run(config, identity, source.clone(), status.clone(), std::future::pending()));
    let _ = seen.wait_for(|s| s.connected_since.is_some()).await;
    drop(turn);
    tokio::spawn(async move {
        let mut revision = 0;
        while let Ok(held) = seen.wait_for(|s| s.indicators_revision > revision).await.map(|s| (s.indicators_revision, s.indicators)) {
            revision = held.0;
            let _ = told.send((n, held.1, instant()));
        }
    });
    source
}

/// A heartbeat of each agent every five seconds, evenly spread.
async fn beat(agents: Vec<Arc<Memory>>) {
    let mut tick = tokio::time::interval(BEAT / u32::try_from(agents.len().max(1)).expect("not so many"));
    for agent in agents.iter().cycle() {
        tick.tick().await;
        agent.add();
    }
}

/// Heartbeats that wait to be acknowledged.
#[derive(Default)]
struct Memory {
    held: Mutex<Held>,
    committed: Notify,
}

#[derive(Default)]
struct Held {
    records: Vec<Record>,
    produced: u64,
    acknowledged: Marks,
}

impl Memory {
    fn add(&self) {
        let now = collector::clock::now();
        let mut held = self.held.lock().expect("not poisoned");
        held.produced += 1;
        let event = Event::new(now, Kind::ApplicationLifecycle, 99, LogSource::new("vedette", "agent", "heartbeat"))
            .with(field::DEVICE_HOSTNAME, "bench")
            .with(field::STATUS_DETAIL, "running")
            .with(field::AGENT_UPTIME_S, 5 * held.produced)
            .with(field::AGENT_RSS, 12u64 << 20);
        let mut bytes = Vec::new();
        wire::event::encode(&event, &mut bytes);
        let seq = held.produced;
        held.records.push(Record { lane: Class::Critical as u8, epoch: 1, seq, time_ns: now.ns(), kind: RecordKind::Data(bytes) });
        drop(held);
        self.committed.notify_one();
    }
}

impl Source for Memory {
    fn read(&self, class: Class, after: Mark, _: usize) -> Result<Vec<Record>, SourceError> {
        let held = self.held.lock().expect("not poisoned");
        Ok(held.records.iter().filter(|r| r.lane == class as u8 && Mark::new(r.epoch, r.seq) > after).take(100).cloned().collect())
    }
    fn acknowledge(&self, class: Class, upto: Mark) {
        let mut held = self.held.lock().expect("not poisoned");
        held.acknowledged[class as usize] = upto;
        held.records.retain(|r| r.lane != class as u8 || Mark::new(r.epoch, r.seq) > upto);
    }
    fn acknowledged(&self) -> Marks {
        self.held.lock().expect("not poisoned").acknowledged
    }
    fn ends(&self) -> Marks {
        let mut ends = Marks::default();
        let held = self.held.lock().expect("not poisoned");
        if held.produced > 0 {
            ends[Class::Critical as usize] = Mark::new(1, held.produced);
        }
        ends
    }
    fn notified(&self) -> impl Future<Output = ()> + Send {
        self.committed.notified()
    }
}

/// The collector's API over plain HTTP on loopback.
struct Api {
    console: String,
    token: String,
}

impl Api {
    fn post(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.console).expect("the console answers");
        let kind = if body.starts_with('{') { "application/json" } else { "application/octet-stream" };
        let (token, length) = (&self.token, body.len());
        let head = format!(
            "POST {path} HTTP/1.0\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).expect("a request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.split(' ').nth(1).is_some_and(|s| s.starts_with('2')), "POST {path}: {answer}");
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }
}

/// Another process, by what /proc says.
struct Process(u32);

impl Process {
    fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("the process lives");
        let ticks: u64 =
            stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        ticks as f64 / 100.0
    }
    fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).expect("the process lives");
        let kb = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
        kb.expect("resident memory") / 1024.0
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn instant() -> Instant {
    Instant::now()
}
