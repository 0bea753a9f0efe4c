//! The demo city: enrols a host for each unit of the register and plays `story` through the real link, so that every page has something to show.
//!
//! Each host is an agent without sensors: its identity, its certificate, its spool and its uplink are the agent's own. Only the events are made up.

mod client;
pub mod story;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent::identity::{Identity, Invitation};
use agent::uplink::{SharedSpool, UplinkConfig, UplinkStatus};
use anyhow::{Context, Result};
use event::{Class, Event, Kind, LogSource, Timestamp, field};
use spool::{RealDisk, Spool};
use tokio::sync::Notify;

use crate::clock;
use client::Client;
use story::{Host, STORY_SECS};

/// Hosts at most; one a unit.
const HOSTS_MAX: usize = 30;

/// Plays until the program is stopped.
pub fn run(server: &str, token: &str, state: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(play(server, token, state))
}

async fn play(server: &str, token: &str, state: &Path) -> Result<()> {
    let client = Client::new(server, token);
    let units = client.get("/api/v1/units").await?;
    let mut city = Vec::new();
    let mut lanes = Vec::new();
    for (n, unit) in units["items"].as_array().into_iter().flatten().enumerate().take(HOSTS_MAX) {
        let (id, sector) = (unit["id"].as_str().unwrap_or_default(), unit["sector"].as_str().unwrap_or_default());
        if id == "this-host" {
            continue;
        }
        let host = Host {
            name: format!("{id}-srv01"),
            unit: id.to_owned(),
            sector: sector.to_owned(),
            ip: Ipv4Addr::new(192, 0, 2, u8::try_from(n + 10).unwrap_or(250)),
        };
        let identity = identity(&client, &host, &state.join(id)).await.with_context(|| format!("host of unit {id}"))?;
        let lane = Lane::open(&state.join(id), clock::now())?;
        let cfg = UplinkConfig { state_dir: state.join(id), ..UplinkConfig::default() };
        tokio::spawn(agent::uplink::run(cfg, identity, lane.source(), Arc::new(UplinkStatus::default()), std::future::pending::<()>()));
        city.push(host);
        lanes.push(lane);
    }
    anyhow::ensure!(!city.is_empty(), "the register has no units to play; see config/register.toml");
    eprintln!("demo: {} hosts, one story every {STORY_SECS} s", city.len());
    let mut readers: Vec<_> = lanes.iter().map(|_| proto::log::Reader::new()).collect();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    for second in 0.. {
        tick.tick().await;
        let now = clock::now();
        for (n, (lane, reader)) in lanes.iter().zip(&mut readers).enumerate() {
            let mut events = story::second(&city, n, second, now, reader);
            if second % 5 == 0 {
                events.push((Class::Critical, heartbeat(&city[n], lane, now)));
            }
            lane.push(&events)?;
        }
    }
    Ok(())
}

/// The host's identity from an earlier run, or a new one.
async fn identity(client: &Client, host: &Host, dir: &Path) -> Result<Identity> {
    if let Ok(identity) = Identity::load(dir) {
        return Ok(identity);
    }
    let answer = client.post("/api/v1/enrolment-tokens", &serde_json::json!({ "unit_id": host.unit, "note": "demo" })).await?;
    let invitation: Invitation = answer["enrolment"].as_str().context("no enrolment string in the answer")?.parse()?;
    Ok(agent::identity::enrol(dir, &invitation, true).await?)
}

fn heartbeat(host: &Host, lane: &Lane, now: Timestamp) -> Event {
    Event::new(now, Kind::InventoryInfo, 2, LogSource::new("vedette", "agent", "heartbeat"))
        .with(field::DEVICE_HOSTNAME, host.name.as_str())
        .with(field::DEVICE_IP, std::net::IpAddr::V4(host.ip))
        .with(field::AGENT_VERSION, env!("CARGO_PKG_VERSION"))
        .with(field::LEDGER_ROWS, lane.ledger())
}

/// A host's spool, as small as a spool may be; what a demo host had not sent when it was stopped is sent by the next run.
struct Lane {
    spool: Arc<Mutex<Spool<RealDisk>>>,
    committed: Arc<Notify>,
}

impl Lane {
    fn open(dir: &Path, now: Timestamp) -> Result<Self> {
        let disk = RealDisk::open(dir.join("spool"))?;
        let (spool, _) = Spool::open(disk, spool::Config::sized(spool::BYTES_MIN), u64::try_from(now.secs()).unwrap_or(0))?;
        Ok(Self { spool: Arc::new(Mutex::new(spool)), committed: Arc::new(Notify::new()) })
    }

    fn source(&self) -> SharedSpool<RealDisk> {
        SharedSpool::new(self.spool.clone(), self.committed.clone())
    }

    /// Makes the events durable, then lets the uplink have them.
    fn push(&self, events: &[(Class, Event)]) -> Result<()> {
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::new();
        for (class, event) in events {
            bytes.clear();
            wire::event::encode(event, &mut bytes);
            spool.append(*class as u8, event.time.ns(), &bytes)?;
        }
        spool.commit()?;
        self.committed.notify_one();
        Ok(())
    }

    /// `class produced acknowledged spooled lost`, a row a class.
    fn ledger(&self) -> Vec<String> {
        let rows = self.spool.lock().unwrap_or_else(PoisonError::into_inner).ledger();
        Class::ALL
            .iter()
            .zip(rows)
            .map(|(class, l)| format!("{} {} {} {} {}", class.name(), l.produced, l.acknowledged, l.spooled, l.lost))
            .collect()
    }
}
