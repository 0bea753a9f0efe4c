//! The demo city: enrols two or three hosts for each unit of the register and plays `story` through the real link, so that every page has something to show.
//!
//! Each host is an agent without sensors: its identity, its certificate, its spool and its uplink are the agent's own. Only the events are made up.

pub mod story;

use std::collections::BTreeMap;
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

use crate::cli::{Client, Trouble};
use crate::clock;
use story::{Day, Host, RUNS_MAX, STEPS, STORY_SECS};

/// Hosts at most.
const HOSTS_MAX: usize = 96;
/// What the hosts of a unit are for.
const ROLES: [&str; 3] = ["app", "web", "ops"];

/// What is played, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Play {
    pub day: Day,
    /// How long a second of the story takes.
    pub pace: Duration,
    /// Seconds of the story after which it ends, once everything is acknowledged; none: never.
    pub seconds: Option<i64>,
}

/// Plays until the program is stopped, or the story is over.
pub fn run(client: &Client, state: &Path, how: Play) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(play(client, state, how))
}

/// Two or three hosts for each unit (id, sector, its network), in the order given. A unit without a network has hosts in 192.0.2.0/24 (RFC 5737),
/// which the desk takes for addresses outside the city.
pub fn hosts<'a>(units: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Vec<Host> {
    let mut in_sector: BTreeMap<&str, usize> = BTreeMap::new();
    let mut city: Vec<Host> = Vec::new();
    for (n, (unit, sector, network)) in units.into_iter().enumerate() {
        let network = network.split('/').next().and_then(|net| net.parse::<Ipv4Addr>().ok());
        let unit_no = in_sector.entry(sector).or_default();
        for (host_no, role) in ROLES.iter().take(if n % 3 == 2 { 2 } else { 3 }).enumerate() {
            if city.len() >= HOSTS_MAX {
                return city;
            }
            city.push(Host {
                name: format!("{unit}-{role}01"),
                unit: unit.to_owned(),
                sector: sector.to_owned(),
                unit_no: *unit_no,
                host_no,
                ip: match network.map(|net| net.octets()) {
                    Some([a, b, ..]) => Ipv4Addr::new(a, b, 1, 11 + host_no as u8),
                    None => Ipv4Addr::new(192, 0, 2, u8::try_from(city.len() + 10).unwrap_or(250)),
                },
            });
        }
        *unit_no += 1;
    }
    city
}

fn said(trouble: &Trouble) -> anyhow::Error {
    anyhow::anyhow!("{}", trouble.say(crate::cli::Language::En))
}

async fn play(client: &Client, state: &Path, how: Play) -> Result<()> {
    let units = client.get("/api/v1/units", &[]).await.map_err(|t| said(&t))?;
    let units = units["items"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |unit: &'_ serde_json::Value, key: &str| unit[key].as_str().unwrap_or_default().to_owned();
    let network = |unit: &'_ serde_json::Value| unit["networks"][0].as_str().unwrap_or_default().to_owned();
    let mut units: Vec<(String, String, String)> =
        units.iter().map(|u| (text(u, "id"), text(u, "sector"), network(u))).filter(|(id, ..)| id != "this-host").collect();
    units.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    let city = hosts(units.iter().map(|(id, sector, network)| (id.as_str(), sector.as_str(), network.as_str())));
    anyhow::ensure!(!city.is_empty(), "the register has no units to play; see config/register.toml");
    let mut lanes = Vec::new();
    for host in &city {
        let dir = state.join(&host.name);
        let identity = identity(client, host, &dir).await.with_context(|| format!("host {}", host.name))?;
        let lane = Lane::open(&dir, clock::now())?;
        let cfg = UplinkConfig { state_dir: dir, ..UplinkConfig::default() };
        tokio::spawn(agent::uplink::run(cfg, identity, lane.source(), Arc::new(UplinkStatus::default()), std::future::pending::<()>()));
        lanes.push(lane);
    }
    if how.day == Day::Attack {
        eprintln!("demo: {} hosts of {} units; a campaign of {STORY_SECS} s, {RUNS_MAX} times, then quiet", city.len(), units.len());
    } else {
        eprintln!("demo: {} hosts of {} units; a quiet day", city.len(), units.len());
    }
    let mut tick = tokio::time::interval(how.pace);
    for second in 0..how.seconds.unwrap_or(i64::MAX) {
        tick.tick().await;
        let now = clock::now();
        let step = story::scene(second).and_then(|at| STEPS.iter().find(|(begin, _)| *begin == at));
        if let Some((_, step)) = step.filter(|_| how.day == Day::Attack) {
            eprintln!("demo: {step}");
        }
        for (n, (host, lane)) in city.iter().zip(&lanes).enumerate() {
            let mut events = story::second(&city, n, second, now, how.day);
            let mute = how.day == Day::Attack && story::mute(host, second);
            if (second + n as i64) % 5 == 0 && !mute {
                events.push((Class::Critical, heartbeat(host, lane, now)));
            }
            if second % 60 == 0 && !mute {
                events.extend(coverage(host, now));
            }
            if !events.is_empty() {
                lane.push(&events)?;
            }
        }
    }
    // What was said is to arrive: waits until the collector has acknowledged all of it.
    while lanes.iter().any(Lane::waiting) {
        tick.tick().await;
    }
    Ok(())
}

/// What the host's sensors see, said once a minute; one web host in six cannot see its packets, so that blind spots have something to show.
pub fn coverage(host: &Host, now: Timestamp) -> Vec<(Class, Event)> {
    let blind = host.host_no == 1 && host.unit_no == 3;
    let net = if blind { ("blind", "no right to capture: give the service CAP_NET_RAW") } else { ("seeing", "") };
    let rows = [("net", "eth0", net), ("log", "/var/log/auth.log", ("seeing", "")), ("file", "/etc", ("seeing", ""))];
    rows.map(|(sensor, subject, (state, reason))| {
        let event = Event::new(now, Kind::InventoryInfo, 2, LogSource::new("vedette", "agent", "coverage"))
            .with(field::DEVICE_HOSTNAME, host.name.as_str())
            .with(field::COVERAGE_SENSOR, sensor)
            .with(field::COVERAGE_SUBJECT, subject)
            .with(field::COVERAGE_STATE, state)
            .with(field::COVERAGE_REASON, reason);
        (Class::Critical, event)
    })
    .into()
}

/// The host's identity from an earlier run, or a new one.
async fn identity(client: &Client, host: &Host, dir: &Path) -> Result<Identity> {
    if let Ok(identity) = Identity::load(dir) {
        return Ok(identity);
    }
    let wish = serde_json::json!({ "unit_id": host.unit, "note": "demo" });
    let answer = client.post("/api/v1/enrolment-tokens", &[], &wish).await.map_err(|t| said(&t))?;
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

    /// Whether something is not acknowledged yet.
    fn waiting(&self) -> bool {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner).ledger().iter().any(|l| l.spooled > 0)
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
