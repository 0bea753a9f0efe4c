//! The net sensor: packets of this host's interfaces (or of a tap) to events.
//!
//! One thread, one flow table over all interfaces: a packet that crosses several of them (a bridge, a container's pair)
//! is counted on the first. Interfaces that come and go are followed when `interfaces = "auto"`. What may not be opened is
//! stated as blind with the way out; what the kernel dropped is declared lost to the packet.

pub mod evidence;
pub mod explain;
mod facts;
mod limits;
pub mod pipeline;
pub mod replay;
mod voice;
pub mod zeek;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use capture::{CaptureError, Interface, LiveConfig, PacketSource};
use event::{Class, Event, Field, SECOND_NS, Timestamp, field};
use proto::net::{Enabled, PROTOCOLS};
use serde::Deserialize;

use self::evidence::{Evidence, When};
pub use self::pipeline::{Pipeline, PipelineConfig, PipelineStats, Sink};
pub use self::replay::{ReplayStats, is_capture, replay, replay_watched, replay_with};
use super::{Coverage, CoverageState, HostFacts, Output, Sensor, SensorError, SensorKind};

/// `[sensor.net]`.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub enabled: bool,
    pub interfaces: Interfaces,
    pub loopback: bool,
    pub promiscuous: bool,
    pub buffer: settings::Bytes,
    pub flows_max: usize,
    pub stream_bytes: settings::Bytes,
    pub idle_tcp: settings::Duration,
    pub idle_udp: settings::Duration,
    pub active: settings::Duration,
    pub records_per_second: u32,
    pub facts: bool,
    pub evidence: Vec<String>,
    pub evidence_per_hour: u32,
    pub protocols: Vec<String>,
}

/// `"auto"` or a list of names.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Interfaces {
    Word(String),
    Names(Vec<String>),
}

impl Default for Config {
    fn default() -> Self {
        let seconds = |n| settings::Duration(Duration::from_secs(n));
        Self {
            enabled: true,
            interfaces: Interfaces::Word("auto".to_owned()),
            loopback: false,
            promiscuous: false,
            buffer: settings::Bytes(2 << 20),
            flows_max: 65_536,
            stream_bytes: settings::Bytes(64 << 10),
            idle_tcp: seconds(600),
            idle_udp: seconds(30),
            active: seconds(300),
            records_per_second: 2000,
            facts: true,
            evidence: Vec::new(),
            evidence_per_hour: 60,
            protocols: vec![ALL.to_owned()],
        }
    }
}

const SAMPLE: &str = r#"# Watch packets. Needs CAP_NET_RAW; without it the other sensors run on and this one is stated as blind.
enabled = true
# "auto": every interface that is up, now and later; or a list: ["eth0", "span0"].
interfaces = "auto"
# With "auto": the loopback interface too.
loopback = false
# Take frames that are not for this host (a mirror port, a tap).
promiscuous = false
# Kernel buffer of each interface; it counts as memory of the agent. What it cannot hold is counted and declared: more for a tap or a busy host.
buffer = "2 MiB"
# Flows remembered at once. A full table gives up closed flows first, then attempts without an answer.
flows_max = 65536
# Bytes of each TCP direction that the protocol readers get.
stream_bytes = "64 KiB"
# A flow without packets for so long is over.
idle_tcp = "10 m"
idle_udp = "30 s"
# A flow that goes on is reported so often.
active = "5 m"
# Flow records told in one second; more are counted. Keeps a flood in the network from being one of events.
records_per_second = 2000
# Facts over time: fan-out, packet rates, regularity, DNS by domain, address claims, new devices and pairs, volumes, poll intervals.
facts = true
# Packets around an event, sent along as evidence: a log source and, if wanted, a field with its value: ["ot ot.is_write=true", "anomaly"]. Nobody
# but this file can ask for them. Eight packets before and after, 256 bytes of each, twice a flow, so often an hour.
evidence = []
evidence_per_hour = 60
# Protocols that are read, found by content on any port: "all", or some by name ("vedette-agent print protocols" lists them; "link" is
# GOOSE, sampled values and PROFINET DCP, straight on Ethernet).
protocols = ["all"]
"#;

pub static NET: NetKind = NetKind;
pub struct NetKind;

/// Interfaces are looked up again so often.
const RESCAN_NS: i64 = 5 * SECOND_NS;
const STATS_NS: i64 = SECOND_NS;
/// A frame may lie so long in the kernel's ring; timers must not run ahead of it.
const BLOCK_WAIT: Duration = Duration::from_millis(20);
const SLACK_NS: i64 = 100_000_000;
/// Least wait between two looks when nothing arrives: a block of the ring takes as long to be handed over.
const LEAST_WAIT_NS: i64 = 20_000_000;
/// Frames taken from one interface before the next one has its turn.
const TURN_FRAMES: usize = 2048;
const INTERFACES_MAX: usize = 256;

impl NetKind {
    fn config(section: &toml::Table) -> Result<Config, String> {
        let config: Config = settings::section(section)?;
        let mut problems = Vec::new();
        if let Interfaces::Word(word) = &config.interfaces
            && word != "auto"
        {
            problems.push(format!("key 'interfaces': value \"{word}\": \"auto\" or a list of names, such as [\"{word}\"]"));
        }
        let mut range = |key: &str, value: u64, shown: String, from: u64, to: u64, words: &str| {
            if !(from..=to).contains(&value) {
                problems.push(format!("key '{key}': value {shown}: {words}"));
            }
        };
        range("buffer", config.buffer.0, config.buffer.to_string(), 1 << 20, 1 << 30, "from 1 MiB to 1 GiB");
        range("flows_max", config.flows_max as u64, config.flows_max.to_string(), 1024, 4 << 20, "from 1024 to 4194304");
        range("stream_bytes", config.stream_bytes.0, config.stream_bytes.to_string(), 4 << 10, 16 << 20, "from 4 KiB to 16 MiB");
        range(
            "records_per_second",
            config.records_per_second.into(),
            config.records_per_second.to_string(),
            10,
            1 << 20,
            "from 10 to 1048576",
        );
        for (key, value) in [("idle_tcp", config.idle_tcp), ("idle_udp", config.idle_udp), ("active", config.active)] {
            range(key, value.0.as_secs(), value.to_string(), 1, 86_400, "from 1 s to 1 d");
        }
        if let Err(name) = config.enabled_protocols() {
            let known: Vec<&str> = [ALL].into_iter().chain(protocols().map(|(name, _)| name)).collect();
            problems.push(format!("key 'protocols': value \"{name}\": one of {}", known.join(", ")));
        }
        problems.extend(config.evidence.iter().filter_map(|line| line.parse::<When>().err()).map(|e| format!("key 'evidence': {e}")));
        if problems.is_empty() { Ok(config) } else { Err(problems.join("\n")) }
    }
}

/// Every protocol that can be named in the configuration, with a line about it.
pub fn protocols() -> impl Iterator<Item = (&'static str, &'static str)> {
    let layer_2 =
        [("link", "GOOSE, sampled values and PROFINET DCP, straight on Ethernet"), ("arp", "address resolution: who claims which address")];
    PROTOCOLS.iter().map(|p| (p.name, p.about)).chain(layer_2)
}

/// Stands for every protocol.
const ALL: &str = "all";

impl Config {
    fn enabled_protocols(&self) -> Result<Enabled, &str> {
        let named = Enabled::only(self.protocols.iter().map(String::as_str).filter(|n| !matches!(*n, ALL | "link" | "arp")))?;
        Ok(if self.reads(ALL) { Enabled::ALL } else { named })
    }

    fn reads(&self, name: &str) -> bool {
        self.protocols.iter().any(|n| n == name || n == ALL)
    }

    fn pipeline(&self) -> PipelineConfig {
        let mut config = PipelineConfig::default();
        config.flows.flows_max = self.flows_max;
        config.flows.stream_bytes = u32::try_from(self.stream_bytes.0).unwrap_or(u32::MAX);
        config.flows.idle_tcp_ns = self.idle_tcp.as_ns();
        config.flows.idle_udp_ns = self.idle_udp.as_ns();
        config.flows.active_ns = self.active.as_ns();
        config.records_per_second = self.records_per_second;
        config.protocols = self.enabled_protocols().unwrap_or(Enabled::ALL);
        config.link = self.reads("link");
        config.arp = self.reads("arp");
        // A key that no stranger knows: the hasher's own chance.
        config.facts = self.facts.then(|| std::hash::BuildHasher::hash_one(&ahash::RandomState::new(), 0u64));
        config
    }

    /// Interfaces to watch out of those there are.
    fn choose(&self, found: Vec<Interface>) -> Vec<Interface> {
        let mut chosen: Vec<Interface> = match &self.interfaces {
            Interfaces::Word(_) => found.into_iter().filter(|i| i.up && (!i.loopback || self.loopback)).collect(),
            Interfaces::Names(names) => found.into_iter().filter(|i| i.up && names.contains(&i.name)).collect(),
        };
        chosen.truncate(INTERFACES_MAX);
        chosen
    }
}

impl SensorKind for NetKind {
    fn name(&self) -> &'static str {
        "net"
    }
    fn about(&self) -> &'static str {
        "watches packets: flows, connection attempts, DNS, TLS, HTTP, SSH, control protocols, ARP, oddities"
    }
    fn fields(&self) -> &'static [Field] {
        static ALL: std::sync::LazyLock<Vec<Field>> = std::sync::LazyLock::new(|| {
            let protocols = PROTOCOLS.iter().flat_map(|p| p.fields.iter());
            let mut all: Vec<Field> = pipeline::FLOW_FIELDS
                .iter()
                .chain(protocols)
                .chain(proto::net::arp::FIELDS)
                .chain(proto::net::link::FIELDS)
                .chain(facts::FIELDS)
                .chain(evidence::FIELDS)
                .copied()
                .collect();
            all.push(field::STATUS_ID);
            all.sort_unstable();
            all.dedup();
            all
        });
        &ALL
    }
    fn sample(&self) -> &'static str {
        SAMPLE
    }
    fn check(&self, section: &toml::Table) -> Result<(), String> {
        Self::config(section).map(|_| ())
    }
    fn open(&self, section: &toml::Table, host: &HostFacts) -> Result<Box<dyn Sensor>, SensorError> {
        let config = Self::config(section).map_err(SensorError::new)?;
        Ok(Box::new(NetSensor::open(config, host)?))
    }
}

/// An interface that is open.
struct Port {
    source: Box<dyn PacketSource>,
    /// Number within the pipeline.
    number: u16,
    /// Drops declared so far.
    declared: u64,
}

struct NetSensor {
    config: Config,
    hostname: String,
    uplink: Option<SocketAddr>,
    pipeline: Pipeline,
    evidence: Option<Evidence>,
    ports: Vec<Port>,
    /// (interface, why it is not watched).
    blind: Vec<(String, String)>,
    rescan_at: Timestamp,
    stats_at: Timestamp,
    turn: usize,
}

impl NetSensor {
    fn open(config: Config, host: &HostFacts) -> Result<Self, SensorError> {
        let mut sensor = Self {
            pipeline: Pipeline::new(config.pipeline()),
            evidence: Evidence::new(config.evidence.iter().filter_map(|line| line.parse().ok()).collect(), config.evidence_per_hour),
            hostname: host.hostname.clone(),
            uplink: host.own_uplink,
            ports: Vec::new(),
            blind: Vec::new(),
            rescan_at: host.now.plus_ns(RESCAN_NS),
            stats_at: host.now.plus_ns(STATS_NS),
            turn: 0,
            config,
        };
        sensor.rescan();
        if sensor.ports.is_empty()
            && let Some((_, reason)) = sensor.blind.iter().find(|(_, r)| r.contains("CAP_NET_RAW"))
        {
            return Err(SensorError::new(reason.clone()));
        }
        Ok(sensor)
    }

    /// Opens interfaces that are new, forgets those that are gone.
    fn rescan(&mut self) {
        let found = capture::interfaces();
        self.pipeline.set_local(found.iter().flat_map(|i| i.addresses.iter().copied()).collect());
        let wanted = self.config.choose(found);
        self.blind.clear();
        if let Interfaces::Names(names) = &self.config.interfaces {
            for name in names {
                if !wanted.iter().any(|i| i.name == *name) {
                    self.blind.push((name.clone(), "no interface of this name is up; it is waited for".to_owned()));
                }
            }
        }
        self.ports.retain(|p| wanted.iter().any(|i| i.name == p.source.name()));
        for interface in wanted {
            if self.ports.iter().any(|p| p.source.name() == interface.name) {
                continue;
            }
            let live = LiveConfig {
                buffer_bytes: self.config.buffer.as_usize(),
                block_wait: BLOCK_WAIT,
                promiscuous: self.config.promiscuous,
                exclude: self.uplink,
            };
            match capture::open(&interface, &live) {
                Ok(source) => {
                    let number = self.pipeline.interface(&interface.name);
                    self.ports.push(Port { source, number, declared: 0 });
                }
                Err(e) => self.blind.push((interface.name, in_words(&e))),
            }
        }
    }

    /// Takes what waits on every interface, a turn each; true if there was anything.
    fn drain(&mut self, out: &mut dyn Output) -> bool {
        let mut any = false;
        let hostname = self.hostname.as_str();
        let mut gone = Vec::new();
        let count = self.ports.len();
        for n in 0..count {
            let at = (self.turn + n) % count;
            let Some(port) = self.ports.get_mut(at) else { continue };
            for _ in 0..TURN_FRAMES {
                match port.source.next(Duration::ZERO) {
                    Ok(Some(mut frame)) => {
                        any = true;
                        frame.interface = port.number;
                        take(&mut self.pipeline, self.evidence.as_mut(), &frame, hostname, out);
                    }
                    Ok(None) => break,
                    Err(e) => {
                        gone.push((port.source.name().to_owned(), in_words(&e)));
                        break;
                    }
                }
            }
        }
        self.turn = self.turn.wrapping_add(1);
        for (name, reason) in gone {
            self.ports.retain(|p| p.source.name() != name);
            self.blind.push((name, reason));
        }
        any
    }

    fn declare_drops(&mut self, out: &mut dyn Output) {
        for port in &mut self.ports {
            let drops = port.source.stats().kernel_drops;
            if drops > port.declared {
                out.lost(Class::Bulk, drops - port.declared, "kernel_drop");
                port.declared = drops;
            }
        }
    }
}

/// One frame through the pipeline; where it is asked for, with the packets around what it told.
fn take(pipeline: &mut Pipeline, evidence: Option<&mut Evidence>, frame: &packet::Frame<'_>, hostname: &str, out: &mut dyn Output) {
    let Some(evidence) = evidence else {
        return pipeline.frame(frame, &mut |class, event| out.event(class, of_host(event, hostname)));
    };
    evidence.frame(frame);
    pipeline.frame(frame, &mut |class, event| {
        evidence.event(&event);
        out.event(class, of_host(event, hostname));
    });
    evidence.take(frame.time).for_each(|event| out.event(Class::Normal, of_host(event, hostname)));
}

fn of_host(mut event: Event, hostname: &str) -> Event {
    if !hostname.is_empty() {
        event.body.set(field::DEVICE_HOSTNAME, hostname);
    }
    event
}

/// The error and its cause in one line, for a coverage statement.
fn in_words(error: &CaptureError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Sensor for NetSensor {
    fn poll(&mut self, now: Timestamp, wait: Duration, out: &mut dyn Output) -> Result<(), SensorError> {
        if now >= self.rescan_at || now < self.rescan_at.minus_ns(2 * RESCAN_NS) {
            self.rescan_at = now.plus_ns(RESCAN_NS);
            self.declare_drops(out);
            self.rescan();
        }
        if now >= self.stats_at || now < self.stats_at.minus_ns(2 * STATS_NS) {
            self.stats_at = now.plus_ns(STATS_NS);
            self.declare_drops(out);
        }
        if !self.drain(out) {
            // Nothing waits: let the timers run, then wait for a packet.
            let hostname = self.hostname.as_str();
            let mut told = false;
            self.pipeline.tick(now.minus_ns(SLACK_NS), &mut |class, event| {
                told = true;
                out.event(class, of_host(event, hostname));
            });
            for event in self.evidence.iter_mut().flat_map(|e| e.take(now.minus_ns(SLACK_NS))) {
                told = true;
                out.event(Class::Normal, of_host(event, hostname));
            }
            if told {
                // Handed on before the wait, not after it.
                return Ok(());
            }
            // Not past the moment when an attempt counts as unanswered, so that it is told then; nor shorter than a block of the ring takes.
            let until = self.pipeline.due().map_or(i64::MAX, |due| due.plus_ns(SLACK_NS).since(now).max(LEAST_WAIT_NS));
            let wait = wait.min(Duration::from_nanos(until.unsigned_abs()));
            let sources: Vec<i32> = self.ports.iter().filter_map(|p| p.source.descriptor()).collect();
            // A source without a descriptor waits by itself while it is drained.
            if sources.len() == self.ports.len() {
                capture::wait_descriptors(&sources, wait);
            }
            self.drain(out);
        }
        Ok(())
    }

    fn coverage(&self, out: &mut Vec<Coverage>) {
        let mut say =
            |subject: &str, state, reason: String| out.push(Coverage { sensor: "net", subject: subject.to_owned(), state, reason });
        for port in &self.ports {
            if port.source.method() == "ring" {
                say(port.source.name(), CoverageState::Seeing, String::new());
            } else {
                say(port.source.name(), CoverageState::Partial, "no kernel ring here: frames may be dropped uncounted".to_owned());
            }
        }
        for (name, reason) in &self.blind {
            say(name, CoverageState::Blind, reason.clone());
        }
        if self.ports.is_empty() && self.blind.is_empty() {
            say("interfaces", CoverageState::Off, "no interface is up; one that comes up is watched".to_owned());
        }
    }

    fn close(&mut self, _now: Timestamp, out: &mut dyn Output) {
        self.drain(out);
        self.declare_drops(out);
        let hostname = self.hostname.as_str();
        self.pipeline.flush(&mut |class, event| out.event(class, of_host(event, hostname)));
        for event in self.evidence.iter_mut().flat_map(Evidence::end) {
            out.event(Class::Normal, of_host(event, hostname));
        }
    }
}
