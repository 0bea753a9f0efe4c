//! The demo city: enrols a host for each unit of the register and plays `story` through the real link, so that every page has something to show.
//!
//! Each host is an agent without sensors: its identity is real, its certificate is real, its events go through `agent::uplink` and are
//! acknowledged like any other. Only the events are made up.

pub mod story;

use std::collections::VecDeque;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::identity::{Identity, Invitation};
use agent::uplink::{Position, Source, SourceBody, SourceError, SourceRecord, UplinkConfig, UplinkStatus};
use anyhow::{Context, Result};
use event::{Class, Epoch, Event, Kind, LogSource, Timestamp, field};
use tokio::sync::Notify;

use crate::cli::client::Client;
use crate::clock;
use story::{Host, STORY_SECS};

/// Hosts at most; one a unit.
const HOSTS_MAX: usize = 30;
/// Records a host keeps when the collector is away; older ones are not sent (a demo has no spool).
const HELD_MAX: usize = 50_000;

/// Plays until the program is stopped.
pub fn run(server: &str, token: &str, state: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(play(server, token, state))
}

async fn play(server: &str, token: &str, state: &Path) -> Result<()> {
    let client = Client::new(server, Some(token.to_owned()))?;
    let units = client.get_json("/api/v1/units").await?;
    let mut city = Vec::new();
    let mut lanes = Vec::new();
    for (n, unit) in units["items"].as_array().into_iter().flatten().enumerate().take(HOSTS_MAX) {
        let (id, sector) = (unit["id"].as_str().unwrap_or_default(), unit["sector"].as_str().unwrap_or_default());
        if id == "this-host" {
            continue;
        }
        let host = Host { name: format!("{id}-srv01"), unit: id.to_owned(), sector: sector.to_owned(), ip: Ipv4Addr::new(192, 0, 2, u8::try_from(n + 10).unwrap_or(250)) };
        let identity = identity(&client, &host, &state.join(id)).await.with_context(|| format!("host of unit {id}"))?;
        let lane = Arc::new(Lane::new(clock::now()));
        let cfg = UplinkConfig { state_dir: state.join(id), ..UplinkConfig::default() };
        tokio::spawn(agent::uplink::run(cfg, identity, lane.clone(), Arc::new(UplinkStatus::default()), std::future::pending::<()>()));
        city.push(host);
        lanes.push(lane);
    }
    anyhow::ensure!(!city.is_empty(), "the register has no units to play; see config/register.toml");
    eprintln!("demo: {} hosts, one story every {STORY_SECS} s", city.len());
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    for second in 0.. {
        tick.tick().await;
        let now = clock::now();
        for (n, lane) in lanes.iter().enumerate() {
            for (class, event) in story::second(&city, n, second, now) {
                lane.push(class, &event);
            }
            if second % 5 == 0 {
                lane.push(Class::Critical, &heartbeat(&city[n], lane, now));
            }
        }
    }
    Ok(())
}

/// The host's identity from an earlier run, or a new one.
async fn identity(client: &Client, host: &Host, dir: &Path) -> Result<Identity> {
    if let Ok(identity) = Identity::load(dir) {
        return Ok(identity);
    }
    let answer = client.post_json("/api/v1/enrolment-tokens", &serde_json::json!({ "unit": host.unit, "note": "demo" })).await?;
    let invitation: Invitation = answer["enrolment"].as_str().context("no enrolment string in the answer")?.parse()?;
    Ok(agent::identity::enrol(dir, &invitation, true).await?)
}

fn heartbeat(host: &Host, lane: &Lane, now: Timestamp) -> Event {
    let rows: Vec<String> = Class::ALL.iter().map(|class| lane.ledger(*class)).collect();
    Event::new(now, Kind::InventoryInfo, 2, LogSource::new("vedette", "agent", "heartbeat"))
        .with(field::DEVICE_HOSTNAME, host.name.as_str())
        .with(field::DEVICE_IP, std::net::IpAddr::V4(host.ip))
        .with(field::AGENT_VERSION, env!("CARGO_PKG_VERSION"))
        .with(field::LEDGER_ROWS, rows)
}

/// Records of one host, by class, in memory.
struct Lane {
    inner: Mutex<[Queue; 3]>,
    changed: Notify,
    epoch: Epoch,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<SourceRecord>,
    produced: u64,
    lost: u64,
    acknowledged: Position,
}

impl Lane {
    fn new(now: Timestamp) -> Self {
        Self { inner: Mutex::default(), changed: Notify::new(), epoch: Epoch(u64::try_from(now.secs()).unwrap_or(1)) }
    }

    fn lock(&self) -> MutexGuard<'_, [Queue; 3]> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, class: Class, event: &Event) {
        let mut bytes = Vec::new();
        wire::event::encode(event, &mut bytes);
        let mut queues = self.lock();
        let queue = &mut queues[class as usize];
        if queue.records.len() >= HELD_MAX {
            return;
        }
        queue.produced += 1;
        queue.records.push_back(SourceRecord { epoch: self.epoch, seq: queue.produced, time: event.time, body: SourceBody::Data(bytes) });
        drop(queues);
        self.changed.notify_one();
    }

    /// `class produced acknowledged spooled lost`
    fn ledger(&self, class: Class) -> String {
        let queues = self.lock();
        let queue = &queues[class as usize];
        let spooled = queue.records.len() as u64;
        format!("{} {} {} {spooled} {}", class.name(), queue.produced, queue.produced - spooled - queue.lost, queue.lost)
    }
}

impl Source for Lane {
    fn read(&self, lane: Class, after: Position, bytes_max: usize) -> Result<Vec<SourceRecord>, SourceError> {
        let mut size = 0;
        let queues = self.lock();
        let fits = |r: &&SourceRecord| {
            let first = size == 0;
            size += match &r.body {
                SourceBody::Data(bytes) => bytes.len(),
                SourceBody::Gap { .. } => 16,
            };
            first || size <= bytes_max
        };
        Ok(queues[lane as usize].records.iter().filter(|r| r.end() > after).take_while(fits).cloned().collect())
    }

    fn acknowledge(&self, lane: Class, upto: Position) -> Result<(), SourceError> {
        let mut queues = self.lock();
        let queue = &mut queues[lane as usize];
        queue.acknowledged = queue.acknowledged.max(upto);
        while queue.records.front().is_some_and(|r| r.end() <= upto) {
            queue.records.pop_front();
        }
        Ok(())
    }

    fn acknowledged(&self, lane: Class) -> Position {
        self.lock()[lane as usize].acknowledged
    }

    fn notified(&self) -> impl Future<Output = ()> + Send {
        self.changed.notified()
    }
}
