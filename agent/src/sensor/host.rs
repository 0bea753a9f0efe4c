//! The agent's own statements: a heartbeat with the ledger, who the host is, what all sensors see and cannot see.
//!
//! A silence of three heartbeats is a fact the collector acts on, so the heartbeat is sent whatever else happens; the last one says
//! `stopping`, which tells an orderly stop from a cut.

pub mod facts;

use event::{Class, Event, Field, Kind, LogSource, Severity, Timestamp, Value, field};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use self::facts::{Identity, Usage};
use super::{Coverage, CoverageState, HostFacts, LedgerRow, Output, Sensor, SensorError, SensorKind};

/// `[sensor.host]`.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub heartbeat: settings::Duration,
    pub coverage: settings::Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { heartbeat: settings::Duration::secs(5), coverage: settings::Duration::secs(600) }
    }
}

const SAMPLE: &str = r#"# The collector takes three missing heartbeats for silence.
heartbeat = "5 s"
# How often everything that is and is not seen is stated; changes are stated at once.
coverage = "10 min"
"#;

const FIELDS: &[Field] = &[
    field::DEVICE_HOSTNAME,
    field::DEVICE_IPS,
    field::DEVICE_PORTS,
    field::DEVICE_MAC,
    field::DEVICE_OS,
    field::DEVICE_OS_VERSION,
    field::DEVICE_KERNEL,
    field::DEVICE_BOOT_TIME,
    field::DEVICE_UID,
    field::AGENT_RSS,
    field::AGENT_CPU_MS,
    field::AGENT_UPTIME_S,
    field::AGENT_VERSION,
    field::AGENT_INDICATOR_REVISION,
    field::AGENT_INDICATORS,
    field::LEDGER_ROWS,
    field::LEDGER_PRODUCED,
    field::LEDGER_ACKED,
    field::LEDGER_SPOOLED,
    field::LEDGER_LOST,
    field::COVERAGE_SENSOR,
    field::COVERAGE_SUBJECT,
    field::COVERAGE_STATE,
    field::COVERAGE_REASON,
    field::STATUS_DETAIL,
    field::PRODUCT_NAME,
];

/// How often the host's identity is looked at for changes.
const IDENTITY_NS: i64 = 60 * event::SECOND_NS;
/// Statements kept; a sensor that names more subjects is cut, and the cut is one of the statements.
const COVERAGE_MAX: usize = 512;

pub static HOST: HostKind = HostKind;
pub struct HostKind;

impl HostKind {
    fn config(section: &toml::Table) -> Result<Config, String> {
        let config: Config = settings::section(section)?;
        let mut problems = Vec::new();
        if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&config.heartbeat.0) {
            problems.push(format!("key 'heartbeat': value {}: from 1 s to 60 s", config.heartbeat));
        }
        if config.coverage.0 < Duration::from_secs(10) {
            problems.push(format!("key 'coverage': value {}: at least 10 s", config.coverage));
        }
        if problems.is_empty() { Ok(config) } else { Err(problems.join("\n")) }
    }
}

impl SensorKind for HostKind {
    fn name(&self) -> &'static str {
        "host"
    }
    fn about(&self) -> &'static str {
        "heartbeat with the ledger, identity of the host, coverage"
    }
    fn fields(&self) -> &'static [Field] {
        FIELDS
    }
    fn sample(&self) -> &'static str {
        SAMPLE
    }
    fn check(&self, section: &toml::Table) -> Result<(), String> {
        Self::config(section).map(|_| ())
    }
    fn open(&self, section: &toml::Table, host: &HostFacts) -> Result<Box<dyn Sensor>, SensorError> {
        let config = Self::config(section).map_err(SensorError::new)?;
        Ok(Box::new(HostSensor::new(config, host, Identity::read)))
    }
}

struct HostSensor {
    config: Config,
    hostname: String,
    started: Timestamp,
    read_identity: fn() -> Identity,
    identity: Option<Identity>,
    identity_at: Timestamp,
    beat_at: Option<Timestamp>,
    coverage_at: Option<Timestamp>,
    /// What was last stated, by sensor and subject.
    stated: BTreeMap<(&'static str, String), (CoverageState, String)>,
    never: Receiver<()>,
    _never: Sender<()>,
}

impl HostSensor {
    fn new(config: Config, host: &HostFacts, read_identity: fn() -> Identity) -> Self {
        let (sender, never) = channel();
        Self {
            config,
            hostname: host.hostname.clone(),
            started: host.now,
            read_identity,
            identity: None,
            identity_at: Timestamp::MIN,
            beat_at: None,
            coverage_at: None,
            stated: BTreeMap::new(),
            never,
            _never: sender,
        }
    }

    /// True if anything was told.
    fn step(&mut self, now: Timestamp, out: &mut dyn Output) -> bool {
        let mut told = false;
        if self.identity.is_none() || now.since(self.identity_at) >= IDENTITY_NS || now < self.identity_at {
            self.identity_at = now;
            let identity = (self.read_identity)();
            if self.identity.as_ref() != Some(&identity) {
                out.event(Class::Critical, identity_event(&identity, now));
                self.identity = Some(identity);
                told = true;
            }
        }
        told |= self.state_coverage(now, out);
        let due = self.beat_at.is_none_or(|at| now.since(at) >= self.config.heartbeat.as_ns() || now < at);
        if due {
            let word = if self.beat_at.is_none() { "started" } else { "running" };
            // Kept on the grid, so that a late beat does not shift all that follow; after a jump the grid begins anew.
            let next = self.beat_at.map(|at| at.plus_ns(self.config.heartbeat.as_ns()));
            self.beat_at = Some(next.filter(|n| now.since(*n) < self.config.heartbeat.as_ns() && *n <= now).unwrap_or(now));
            out.event(Class::Critical, self.heartbeat(now, word, out));
        }
        told || due
    }

    fn heartbeat(&self, now: Timestamp, word: &'static str, out: &dyn Output) -> Event {
        let activity = match word {
            "started" => 3,
            "stopping" => 4,
            _ => 99,
        };
        let usage = Usage::read();
        let mut event = Event::new(now, Kind::ApplicationLifecycle, activity, LogSource::new("vedette", "agent", "heartbeat"))
            .with(field::PRODUCT_NAME, "vedette-agent")
            .with(field::DEVICE_HOSTNAME, self.hostname.as_str())
            .with(field::STATUS_DETAIL, word)
            .with(field::AGENT_VERSION, env!("CARGO_PKG_VERSION"))
            .with(field::AGENT_UPTIME_S, now.since(self.started).max(0) / event::SECOND_NS)
            .with(field::AGENT_RSS, usage.memory_bytes)
            .with(field::AGENT_CPU_MS, usage.cpu_ms);
        if let Some(agent) = out.agent() {
            let mut total = LedgerRow::default();
            let mut rows = Vec::new();
            for class in Class::ALL {
                let row = agent.ledger(class);
                total.produced += row.produced;
                total.acknowledged += row.acknowledged;
                total.spooled += row.spooled;
                total.lost += row.lost;
                rows.push(Value::from(format!("{} {} {} {} {}", class.name(), row.produced, row.acknowledged, row.spooled, row.lost)));
            }
            event.body.set(field::LEDGER_ROWS, rows);
            event.body.set(field::LEDGER_PRODUCED, total.produced);
            event.body.set(field::LEDGER_ACKED, total.acknowledged);
            event.body.set(field::LEDGER_SPOOLED, total.spooled);
            event.body.set(field::LEDGER_LOST, total.lost);
            event.body.set(field::MESSAGE, agent.link());
            let (revision, indicators) = agent.indicators();
            event.body.set(field::AGENT_INDICATOR_REVISION, i64::try_from(revision).unwrap_or(i64::MAX));
            event.body.set(field::AGENT_INDICATORS, indicators);
        }
        event
    }

    fn state_coverage(&mut self, now: Timestamp, out: &mut dyn Output) -> bool {
        let Some(mut rows) = out.agent().map(|agent| agent.coverage()) else { return false };
        let all = self.coverage_at.is_none_or(|at| now.since(at) >= self.config.coverage.as_ns() || now < at);
        if all {
            self.coverage_at = Some(now);
        }
        if rows.len() > COVERAGE_MAX {
            rows.truncate(COVERAGE_MAX);
            let reason = format!("more than {COVERAGE_MAX} subjects; the rest is not stated");
            rows.push(Coverage { sensor: "host", subject: "coverage".to_owned(), state: CoverageState::Partial, reason });
        }
        let (mut stated, mut told) = (BTreeMap::new(), false);
        for row in rows {
            let key = (row.sensor, row.subject);
            let value = (row.state, row.reason);
            if all || self.stated.get(&key) != Some(&value) {
                out.event(Class::Critical, coverage_event(&self.hostname, key.0, &key.1, value.0, &value.1, now));
                told = true;
            }
            stated.insert(key, value);
        }
        for (key, _) in self.stated.iter().filter(|(key, _)| !stated.contains_key(*key)) {
            out.event(Class::Critical, coverage_event(&self.hostname, key.0, &key.1, CoverageState::Off, "no longer watched", now));
            told = true;
        }
        self.stated = stated;
        told
    }
}

impl Sensor for HostSensor {
    fn poll(&mut self, now: Timestamp, wait: Duration, out: &mut dyn Output) -> Result<(), SensorError> {
        if self.step(now, out) {
            // What was told is handed on before the wait, not after it.
            return Ok(());
        }
        let next = self.beat_at.map_or(0, |at| self.config.heartbeat.as_ns() - now.since(at)).max(0);
        let _ = self.never.recv_timeout(wait.min(Duration::from_nanos(next.unsigned_abs())));
        Ok(())
    }

    fn coverage(&self, out: &mut Vec<Coverage>) {
        out.push(Coverage { sensor: "host", subject: "heartbeat".to_owned(), state: CoverageState::Seeing, reason: String::new() });
    }

    fn close(&mut self, now: Timestamp, out: &mut dyn Output) {
        out.event(Class::Critical, self.heartbeat(now, "stopping", out));
    }
}

fn identity_event(identity: &Identity, now: Timestamp) -> Event {
    let mut event = Event::new(now, Kind::InventoryInfo, 2, LogSource::new("vedette", "agent", "identity"))
        .with(field::PRODUCT_NAME, "vedette-agent")
        .with(field::DEVICE_HOSTNAME, identity.hostname.as_str())
        .with(field::DEVICE_OS, identity.os.as_str())
        .with(field::DEVICE_OS_VERSION, identity.os_version.as_str())
        .with(field::DEVICE_KERNEL, identity.kernel.as_str())
        .with(field::DEVICE_BOOT_TIME, identity.boot_ms)
        .with(field::DEVICE_BOOT_ID, identity.boot_id.as_str())
        .with(field::DEVICE_UID, identity.machine.as_str())
        .with(field::DEVICE_MAC, identity.mac.as_str())
        .with(field::DEVICE_IPS, identity.addresses.iter().map(|ip| Value::Ip(*ip)).collect::<Vec<_>>());
    event.body.set_some(field::DEVICE_IP, identity.addresses.first().copied());
    if let Some(ports) = &identity.ports {
        event.body.set(field::DEVICE_PORTS, ports.iter().map(|port| Value::Int(i64::from(*port))).collect::<Vec<_>>());
    }
    event
}

fn coverage_event(hostname: &str, sensor: &str, subject: &str, state: CoverageState, reason: &str, now: Timestamp) -> Event {
    let mut event = Event::new(now, Kind::ApplicationLifecycle, 99, LogSource::new("vedette", "agent", "coverage"))
        .with(field::PRODUCT_NAME, "vedette-agent")
        .with(field::DEVICE_HOSTNAME, hostname)
        .with(field::COVERAGE_SENSOR, sensor)
        .with(field::COVERAGE_SUBJECT, subject)
        .with(field::COVERAGE_STATE, state.name())
        .with(field::COVERAGE_REASON, reason);
    if state == CoverageState::Blind {
        event.severity = Severity::Low;
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::AgentView;
    use std::cell::RefCell;

    #[derive(Default)]
    struct Agent {
        coverage: RefCell<Vec<Coverage>>,
    }
    impl AgentView for Agent {
        fn ledger(&self, class: Class) -> LedgerRow {
            let n = class as u64 + 1;
            LedgerRow { produced: 10 * n, acknowledged: 6 * n, spooled: 3 * n, lost: n }
        }
        fn coverage(&self) -> Vec<Coverage> {
            self.coverage.borrow().clone()
        }
        fn link(&self) -> String {
            "connected".to_owned()
        }
        fn indicators(&self) -> (u64, u64) {
            (1_700_000_000_000_000_000, 42)
        }
    }

    #[derive(Default)]
    struct Out {
        events: Vec<Event>,
        agent: Agent,
    }
    impl Output for Out {
        fn event(&mut self, class: Class, event: Event) {
            assert_eq!(class, Class::Critical);
            self.events.push(event);
        }
        fn checkpoint(&mut self, _key: &str, _value: &[u8]) {}
        fn lost(&mut self, _class: Class, _count: u64, _reason: &'static str) {}
        fn agent(&self) -> Option<&dyn AgentView> {
            Some(&self.agent)
        }
    }

    fn sensor() -> HostSensor {
        let facts = HostFacts {
            hostname: "h".into(),
            checkpoints: Vec::new(),
            own_paths: Vec::new(),
            own_uplink: None,
            now: Timestamp::from_secs(100),
        };
        HostSensor::new(Config::default(), &facts, || Identity { hostname: "h".into(), kernel: "6".into(), ..Identity::default() })
    }

    fn services(out: &mut Out) -> Vec<String> {
        out.events
            .drain(..)
            .map(|e| {
                format!(
                    "{}:{}",
                    e.source.service.unwrap_or_default(),
                    e.body.get(field::STATUS_DETAIL).map(|v| v.to_text().into_owned()).unwrap_or_default()
                )
            })
            .collect()
    }

    #[test]
    fn a_heartbeat_every_five_seconds_on_the_grid_and_a_last_word() {
        let mut host = sensor();
        let mut out = Out::default();
        let mut beats = Vec::new();
        for tenth in 0..200 {
            let now = Timestamp::from_ms(100_000 + tenth * 100 + 37);
            host.step(now, &mut out);
            if out.events.drain(..).any(|e| e.source.service.as_deref() == Some("heartbeat")) {
                beats.push(tenth);
            }
        }
        assert_eq!(beats, [0, 50, 100, 150]);
        host.close(Timestamp::from_secs(200), &mut out);
        assert_eq!(services(&mut out), ["heartbeat:stopping"]);
    }

    #[test]
    fn the_ledger_adds_up_in_every_row_and_in_total() {
        let mut host = sensor();
        let mut out = Out::default();
        host.step(Timestamp::from_secs(105), &mut out);
        let beat = out.events.iter().find(|e| e.source.service.as_deref() == Some("heartbeat")).unwrap();
        assert_eq!(beat.text(field::LEDGER_ROWS), "critical 10 6 3 1, normal 20 12 6 2, bulk 30 18 9 3");
        let n = |f| beat.get(f).and_then(Value::as_int).unwrap();
        assert_eq!(n(field::LEDGER_PRODUCED), n(field::LEDGER_ACKED) + n(field::LEDGER_SPOOLED) + n(field::LEDGER_LOST));
        assert_eq!(n(field::AGENT_UPTIME_S), 5);
        assert!(n(field::AGENT_RSS) > 0);
    }

    #[test]
    fn coverage_is_stated_at_start_on_change_and_every_ten_minutes() {
        let mut host = sensor();
        let mut out = Out::default();
        let row = |state, reason: &str| Coverage { sensor: "log", subject: "/a".into(), state, reason: reason.into() };
        let told = |host: &mut HostSensor, out: &mut Out, secs| {
            host.step(Timestamp::from_secs(secs), out);
            let rows: Vec<String> = out
                .events
                .drain(..)
                .filter(|e| e.source.service.as_deref() == Some("coverage"))
                .map(|e| e.text(field::COVERAGE_STATE).into_owned())
                .collect();
            rows
        };
        out.agent.coverage.replace(vec![row(CoverageState::Seeing, "")]);
        assert_eq!(told(&mut host, &mut out, 100), ["seeing"]);
        assert!(told(&mut host, &mut out, 110).is_empty());
        out.agent.coverage.replace(vec![row(CoverageState::Blind, "gone")]);
        assert_eq!(told(&mut host, &mut out, 120), ["blind"]);
        assert!(told(&mut host, &mut out, 699).is_empty());
        assert_eq!(told(&mut host, &mut out, 700), ["blind"]);
        out.agent.coverage.replace(Vec::new());
        assert_eq!(told(&mut host, &mut out, 710), ["off"]);
    }

    #[test]
    fn identity_is_told_once_and_on_change() {
        let mut host = sensor();
        let mut out = Out::default();
        let identities = |out: &mut Out| out.events.drain(..).filter(|e| e.kind == Kind::InventoryInfo).count();
        host.step(Timestamp::from_secs(100), &mut out);
        assert_eq!(identities(&mut out), 1);
        host.step(Timestamp::from_secs(300), &mut out);
        assert_eq!(identities(&mut out), 0);
        host.read_identity = || Identity { hostname: "h2".into(), ..Identity::default() };
        host.step(Timestamp::from_secs(310), &mut out);
        assert_eq!(identities(&mut out), 0);
        host.step(Timestamp::from_secs(360), &mut out);
        assert_eq!(identities(&mut out), 1);
    }
}
