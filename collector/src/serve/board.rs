//! The agents' board: who is alive, what each sees and cannot see, whether its sums add up. Fed with the same events the
//! engine gets; it judges nothing (rules on `watch`'s events do that) and answers the agents page.
//!
//! What an agent last said outlives a restart: `kept` turns entries into rows of the desk and back. The engine's thread saves those that
//! changed before each of its snapshots, so what is not in a row is in the part of the log that is read again.
//!
//! Limits: `AGENTS_MAX` agents (more are not kept), `COVERAGE_MAX` statements an agent (further ones are not taken). Statements of an
//! agent's earlier run go when a newer run states anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{Agent, Coverage, LedgerRow, Liveness};
use event::{AgentId, Event, SECOND_NS, Timestamp, Value, field};
use matter::reconcile::Heard;

use super::feed::visible;
use crate::store::Scope;

mod kept;

pub const AGENTS_MAX: usize = 100_000;
pub const COVERAGE_MAX: usize = 256;
/// Three heartbeats of five seconds, and a bit.
pub const LATE_AFTER_NS: i64 = 16 * SECOND_NS;
pub const SILENT_AFTER_NS: i64 = 60 * SECOND_NS;

#[derive(Default)]
struct Entry {
    host: String,
    unit_id: String,
    unit: String,
    sector: String,
    remote: Option<String>,
    revoked: bool,
    last_seen: Option<Timestamp>,
    version: String,
    os: String,
    kernel: String,
    addresses: Vec<String>,
    ports: Option<Vec<u16>>,
    uptime_s: Option<i64>,
    memory_bytes: Option<i64>,
    cpu_ms: Option<i64>,
    clock_skew_ms: Option<i64>,
    indicator_revision: Option<i64>,
    indicators: Option<i64>,
    coverage: BTreeMap<(String, String), (String, String)>,
    /// The run of the agent that stated the coverage.
    epoch: u64,
    ledger: Vec<LedgerRow>,
    first_seen: Option<Timestamp>,
    /// When host, system or addresses last became what they are.
    changed: Option<Timestamp>,
    /// Who it is or what it sees changed since it was last saved.
    unsaved: bool,
    /// `last_seen` as saved.
    saved_seen: Option<Timestamp>,
}

/// The board.
#[derive(Default)]
pub struct Board {
    agents: Mutex<BTreeMap<AgentId, Entry>>,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AgentId, Entry>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent the register or the certificate list knows, heard or not.
    pub fn enrolled(&self, agent: AgentId, host: &str, unit: Option<(&str, &str, &str)>, revoked: bool) {
        let mut agents = self.lock();
        let Some(entry) = slot(&mut agents, agent) else { return };
        if entry.host.is_empty() {
            entry.host = host.to_owned();
        }
        if let Some((id, name, sector)) = unit {
            (entry.unit_id, entry.unit, entry.sector) = (id.to_owned(), name.to_owned(), sector.to_owned());
        }
        entry.revoked = revoked;
    }

    /// This agent's identity has ended.
    pub fn revoked(&self, agent: AgentId) {
        if let Some(entry) = self.lock().get_mut(&agent) {
            entry.revoked = true;
        }
    }

    /// All links that stand now; an agent not in the list is not connected.
    pub fn links(&self, up: &[(AgentId, String)]) {
        let mut agents = self.lock();
        for entry in agents.values_mut() {
            entry.remote = None;
        }
        for (agent, remote) in up {
            if let Some(entry) = slot(&mut agents, *agent) {
                entry.remote = Some(remote.clone());
            }
        }
    }

    /// Events as they come from `normalise`, any kind; `now` is the time they were received where they do not say.
    pub fn observe(&self, batch: &[Arc<Event>], now: Timestamp) {
        let mut agents = self.lock();
        for event in batch {
            if event.id.agent == AgentId(0) {
                continue;
            }
            let Some(entry) = slot(&mut agents, event.id.agent) else { continue };
            let received = event.get(field::RECEIVED_TIME).and_then(Value::as_int).map_or(now, Timestamp::from_ms);
            entry.last_seen = Some(entry.last_seen.map_or(received, |seen| seen.max(received)));
            entry.first_seen = entry.first_seen.or(Some(received));
            if let Some(skew) = event.get(field::CLOCK_SKEW_MS).and_then(Value::as_int) {
                entry.clock_skew_ms = Some(skew);
            }
            if event.source.category.as_deref() == Some("agent") {
                match event.source.service.as_deref() {
                    Some("heartbeat" | "identity") => identity(entry, event),
                    Some("coverage") => coverage(entry, event),
                    _ => {}
                }
            }
        }
    }

    /// Agents in scope by unit, host, id.
    pub fn list(&self, scope: &Scope, now: Timestamp) -> Vec<Agent> {
        let mut list: Vec<Agent> =
            self.lock().iter().filter(|(_, e)| visible(scope, unit_of(e))).map(|(id, entry)| show(*id, entry, now)).collect();
        list.sort_by(|a, b| (&a.unit, &a.host, &a.id).cmp(&(&b.unit, &b.host, &b.id)));
        list
    }

    /// Agents in scope as the register is held against them.
    pub fn heard(&self, scope: &Scope) -> Vec<Heard> {
        let agents = self.lock();
        let heard = |(id, e): (&AgentId, &Entry)| Heard {
            agent: id.to_string(),
            unit: e.unit_id.clone(),
            host: e.host.clone(),
            addresses: e.addresses.clone(),
            os: e.os.clone(),
            ports: e.ports.clone(),
            first_seen: e.first_seen,
            last_seen: e.last_seen,
            changed: e.changed,
            revoked: e.revoked,
        };
        agents.iter().filter(|(_, e)| visible(scope, unit_of(e))).map(heard).collect()
    }

    pub fn get(&self, scope: &Scope, id: AgentId, now: Timestamp) -> Option<Agent> {
        let agents = self.lock();
        let entry = agents.get(&id)?;
        visible(scope, unit_of(entry)).then(|| show(id, entry, now))
    }
}

fn unit_of(entry: &Entry) -> Option<&str> {
    (!entry.unit_id.is_empty()).then_some(entry.unit_id.as_str())
}

fn slot(agents: &mut BTreeMap<AgentId, Entry>, id: AgentId) -> Option<&mut Entry> {
    if agents.len() >= AGENTS_MAX && !agents.contains_key(&id) {
        return None;
    }
    Some(agents.entry(id).or_default())
}

/// Who it is and how it does: from heartbeats, and from the statement of identity made when it changes.
fn identity(entry: &mut Entry, event: &Event) {
    let text = |f| event.text(f).into_owned();
    let int = |f| event.get(f).and_then(Value::as_int);
    let before = (entry.host.clone(), entry.os.clone(), entry.addresses.clone());
    let mut changed = false;
    let mut set = |slot: &mut String, value: String| {
        if !value.is_empty() && *slot != value {
            *slot = value;
            changed = true;
        }
    };
    set(&mut entry.host, text(field::DEVICE_HOSTNAME));
    set(&mut entry.unit_id, text(field::UNIT_ID));
    set(&mut entry.unit, text(field::UNIT_NAME));
    set(&mut entry.sector, text(field::UNIT_SECTOR));
    set(&mut entry.version, text(field::AGENT_VERSION));
    set(&mut entry.kernel, text(field::DEVICE_KERNEL));
    set(&mut entry.os, format!("{} {}", event.text(field::DEVICE_OS), event.text(field::DEVICE_OS_VERSION)).trim().to_owned());
    entry.uptime_s = int(field::AGENT_UPTIME_S).or(entry.uptime_s);
    entry.memory_bytes = int(field::AGENT_RSS).or(entry.memory_bytes);
    entry.cpu_ms = int(field::AGENT_CPU_MS).or(entry.cpu_ms);
    entry.indicator_revision = int(field::AGENT_INDICATOR_REVISION).or(entry.indicator_revision);
    entry.indicators = int(field::AGENT_INDICATORS).or(entry.indicators);
    if let Some(Value::List(list)) = event.get(field::DEVICE_IPS) {
        let addresses: Vec<String> = list.iter().take(64).map(|v| v.to_text().into_owned()).collect();
        changed |= addresses != entry.addresses;
        entry.addresses = addresses;
    }
    // A statement of who it is says its ports or that it cannot tell them; a heartbeat says nothing of them.
    if event.source.service.as_deref() == Some("identity") {
        let ports = match event.get(field::DEVICE_PORTS) {
            Some(Value::List(list)) => Some(list.iter().take(256).filter_map(|v| u16::try_from(v.as_int()?).ok()).collect()),
            _ => None,
        };
        changed |= ports != entry.ports;
        entry.ports = ports;
    }
    if let Some(Value::List(rows)) = event.get(field::LEDGER_ROWS) {
        entry.ledger = rows.iter().take(8).filter_map(|row| ledger_row(&row.to_text())).collect();
    }
    if before != (entry.host.clone(), entry.os.clone(), entry.addresses.clone()) {
        entry.changed = entry.last_seen;
    }
    entry.unsaved |= changed;
}

/// `class produced acknowledged spooled lost`, as the heartbeat writes it.
fn ledger_row(text: &str) -> Option<LedgerRow> {
    let mut words = text.split_ascii_whitespace();
    let class = words.next()?.chars().take(16).collect();
    let mut number = || words.next()?.parse().ok();
    Some(LedgerRow { class, produced: number()?, acknowledged: number()?, spooled: number()?, lost: number()? })
}

fn coverage(entry: &mut Entry, event: &Event) {
    let epoch = event.id.epoch.0;
    if epoch < entry.epoch {
        return;
    }
    if epoch > entry.epoch {
        // A new run states everything it sees anew; what only an earlier one saw is seen no more.
        entry.coverage.clear();
        entry.epoch = epoch;
        entry.unsaved = true;
    }
    let key = (event.text(field::COVERAGE_SENSOR).into_owned(), event.text(field::COVERAGE_SUBJECT).into_owned());
    if entry.coverage.len() >= COVERAGE_MAX && !entry.coverage.contains_key(&key) {
        return;
    }
    let said = (event.text(field::COVERAGE_STATE).into_owned(), event.text(field::COVERAGE_REASON).into_owned());
    if entry.coverage.get(&key) != Some(&said) {
        entry.coverage.insert(key, said);
        entry.unsaved = true;
    }
}

fn statements(entry: &Entry) -> Vec<Coverage> {
    let one = |((sensor, subject), (state, reason)): (&(String, String), &(String, String))| Coverage {
        sensor: sensor.clone(),
        subject: subject.clone(),
        state: state.clone(),
        reason: reason.clone(),
    };
    entry.coverage.iter().map(one).collect()
}

fn show(id: AgentId, entry: &Entry, now: Timestamp) -> Agent {
    let age = entry.last_seen.map(|seen| now.since(seen).max(0));
    let liveness = match age {
        _ if entry.revoked => Liveness::Revoked,
        None => Liveness::NeverSeen,
        Some(age) if age > SILENT_AFTER_NS => Liveness::Silent,
        Some(age) if age > LATE_AFTER_NS => Liveness::Late,
        Some(_) => Liveness::Alive,
    };
    Agent {
        id: id.to_string(),
        host: entry.host.clone(),
        unit_id: entry.unit_id.clone(),
        unit: entry.unit.clone(),
        sector: entry.sector.clone(),
        liveness,
        connected: entry.remote.is_some(),
        remote: entry.remote.clone().unwrap_or_default(),
        last_seen: entry.last_seen.map_or_else(String::new, |t| t.to_string()),
        silent_s: age.map(|ns| ns / SECOND_NS),
        version: entry.version.clone(),
        os: entry.os.clone(),
        kernel: entry.kernel.clone(),
        addresses: entry.addresses.clone(),
        uptime_s: entry.uptime_s,
        memory_bytes: entry.memory_bytes,
        cpu_ms: entry.cpu_ms,
        clock_skew_ms: entry.clock_skew_ms,
        indicator_revision: entry.indicator_revision,
        indicators: entry.indicators,
        coverage: statements(entry),
        ledger: entry.ledger.clone(),
        ledger_balanced: entry.ledger.iter().all(LedgerRow::balanced),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Class, Epoch, EventId, Kind, LogSource};

    fn event(agent: u64, service: &'static str) -> Event {
        let mut e = Event::new(Timestamp::from_secs(100), Kind::InventoryInfo, 1, LogSource::new("vedette", "agent", service))
            .with(field::RECEIVED_TIME, 100_000i64)
            .with(field::UNIT_ID, "bank");
        e.id = EventId { agent: AgentId(agent), epoch: Epoch(1), class: Class::Critical, seq: 1 };
        e
    }
    const CITY: Scope = Scope { units: None };

    #[test]
    fn liveness_follows_time_and_the_ledger_is_checked() {
        let board = Board::default();
        board.enrolled(AgentId(2), "db-02", Some(("grid", "Grid", "power")), false);
        let beat = event(1, "heartbeat")
            .with(field::DEVICE_HOSTNAME, "db-01")
            .with(field::LEDGER_ROWS, vec!["normal 10 7 2 1".to_owned(), "bulk 10 7 2 0".to_owned(), "nonsense".to_owned()]);
        let seen = event(1, "coverage")
            .with(field::COVERAGE_SENSOR, "net")
            .with(field::COVERAGE_STATE, "blind")
            .with(field::COVERAGE_REASON, "no right");
        board.observe(&[Arc::new(beat), Arc::new(seen)], Timestamp::ZERO);
        let at = |s| board.list(&CITY, Timestamp::from_secs(s)).into_iter().map(|a| (a.host, a.liveness)).collect::<Vec<_>>();
        assert_eq!(at(105)[1], ("db-02".into(), Liveness::NeverSeen));
        assert_eq!(at(105)[0], ("db-01".into(), Liveness::Alive));
        assert_eq!(at(117)[0].1, Liveness::Late);
        assert_eq!(at(161)[0].1, Liveness::Silent);
        let one = board.get(&CITY, AgentId(1), Timestamp::from_secs(105)).unwrap();
        assert_eq!((one.ledger.len(), one.ledger_balanced), (2, false));
        assert_eq!((one.coverage[0].state.as_str(), one.silent_s), ("blind", Some(5)));
        let grid = Scope { units: Some(["grid".to_owned()].into()) };
        assert_eq!(board.list(&grid, Timestamp::ZERO).len(), 1);
        assert!(board.get(&grid, AgentId(1), Timestamp::ZERO).is_none());
    }

    #[test]
    fn identity_comes_with_a_statement_of_its_own() {
        let board = Board::default();
        let said = event(1, "identity")
            .with(field::DEVICE_HOSTNAME, "db-01")
            .with(field::DEVICE_OS, "Debian GNU/Linux")
            .with(field::DEVICE_OS_VERSION, "13")
            .with(field::DEVICE_KERNEL, "6.12")
            .with(field::DEVICE_IPS, vec!["192.0.2.7".to_owned()]);
        board.observe(&[Arc::new(said)], Timestamp::ZERO);
        let one = board.get(&CITY, AgentId(1), Timestamp::from_secs(101)).unwrap();
        assert_eq!((one.os.as_str(), one.kernel.as_str(), one.addresses), ("Debian GNU/Linux 13", "6.12", vec!["192.0.2.7".to_owned()]));
    }

    #[test]
    fn what_the_register_is_held_against_says_since_when() {
        let board = Board::default();
        let said = |host: &str, secs: i64| {
            let event = event(1, "identity").with(field::DEVICE_HOSTNAME, host).with(field::RECEIVED_TIME, secs * 1_000);
            board.observe(&[Arc::new(event)], Timestamp::ZERO);
            let one = board.heard(&CITY).remove(0);
            (one.host, one.changed.map(Timestamp::secs), one.last_seen.map(Timestamp::secs))
        };
        assert_eq!(said("db-01", 100), ("db-01".into(), Some(100), Some(100)));
        assert_eq!(said("db-01", 160), ("db-01".into(), Some(100), Some(160)));
        assert_eq!(said("db-02", 170), ("db-02".into(), Some(170), Some(170)));
        let again = Board::default();
        again.restore(board.unsaved(true));
        assert_eq!(again.heard(&CITY), board.heard(&CITY));
        assert!(board.heard(&Scope::units(["nobody"])).is_empty());
    }

    #[test]
    fn a_new_run_of_an_agent_ends_what_only_the_old_one_saw() {
        let board = Board::default();
        let state = |epoch, sensor: &str| {
            let mut said = event(1, "coverage").with(field::COVERAGE_SENSOR, sensor).with(field::COVERAGE_STATE, "seeing");
            said.id.epoch = Epoch(epoch);
            board.observe(&[Arc::new(said)], Timestamp::ZERO);
            let one = board.get(&CITY, AgentId(1), Timestamp::from_secs(101)).unwrap();
            one.coverage.into_iter().map(|c| c.sensor).collect::<Vec<_>>()
        };
        assert_eq!(state(1, "net"), ["net"]);
        assert_eq!(state(1, "log"), ["log", "net"]);
        assert_eq!(state(2, "log"), ["log"]);
        assert_eq!(state(1, "net"), ["log"], "a statement that comes late from the run before");
    }
}
