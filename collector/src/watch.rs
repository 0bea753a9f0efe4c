//! Watches the watchers. From heartbeats: an agent that fell silent, one that came back, a ledger that does not add up.
//! Each becomes an event of category `agent` (service `silence` or `ledger`) that shipped rules turn into alerts, so what a
//! silence is worth is decided in rule text like everything else.
//!
//! * Silence: no heartbeat received for `SILENT_AFTER_S`. One event a silence, one when it ends. Arrival counts, not the
//!   agent's clock; after a restart of the collector everybody gets the full time again.
//! * Ledger, per delivery class: `produced = acknowledged + spooled + lost`, no number below its earlier value within an
//!   epoch, no epoch below an earlier one, no ledger withheld once it was sent. One event a fault until a heartbeat is without it.
//!
//! Pure: time is an argument. Bounded: `AGENTS_MAX` agents; further ones are not watched, and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use event::{AgentId, Class, Epoch, Event, EventId, Field, Kind, LogSource, SECOND_NS, Severity, Timestamp, Value, field};
use serde::{Deserialize, Serialize};

/// Heartbeats come every five seconds; three missed ones are a silence.
pub const SILENT_AFTER_S: i64 = 15;
const AGENTS_MAX: usize = 100_000;

/// What the collector holds about one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    pub agent: AgentId,
    pub last_heard: Timestamp,
    pub silent: bool,
    pub ledger_adds_up: bool,
}

/// All agents ever heard.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Watch {
    agents: BTreeMap<u64, Watched>,
    /// Nobody can be silent before this.
    next_due: i64,
    /// Number of the last event made here.
    made: u64,
    unwatched: u64,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Watched {
    last_heard: i64,
    silent: bool,
    epoch: u64,
    ledger: BTreeMap<String, [u64; 4]>,
    /// Faults that were said and still stand: class and word.
    faults: BTreeSet<(String, String)>,
    /// Host and unit as of the newest heartbeat, carried over to the events made here.
    facts: BTreeMap<u16, String>,
    importance: Option<i64>,
}

const CARRIED: [Field; 6] =
    [field::DEVICE_HOSTNAME, field::UNIT_ID, field::UNIT_NAME, field::UNIT_SECTOR, field::OBJECT_ID, field::ASSET_ID];

impl Watch {
    /// Looks at an event; heartbeats count. Appends what is to be said.
    pub fn observe(&mut self, event: &Event, now: Timestamp, out: &mut Vec<Arc<Event>>) {
        let is = |word: &Option<std::borrow::Cow<'static, str>>, text: &str| word.as_deref() == Some(text);
        if !is(&event.source.service, "heartbeat") || !is(&event.source.category, "agent") {
            return;
        }
        let agent = event.id.agent;
        if !self.agents.contains_key(&agent.0) && self.agents.len() >= AGENTS_MAX {
            self.unwatched += 1;
            return;
        }
        let watched = self.agents.entry(agent.0).or_default();
        let silence = now.ns().saturating_sub(watched.last_heard);
        let returned = std::mem::take(&mut watched.silent);
        watched.last_heard = watched.last_heard.max(now.ns());
        watched.facts = CARRIED.iter().filter_map(|f| Some((f.number(), event.get(*f)?.to_text().into_owned()))).collect();
        watched.importance = event.get(field::OBJECT_IMPORTANCE).and_then(Value::as_int);
        let faults = watched.audit(event);
        self.next_due = self.next_due.min(now.plus_secs(SILENT_AFTER_S).ns());
        if returned {
            let said = self.say(agent, now, "silence", "returned", Severity::Informational);
            out.push(Arc::new(said.with(field::STATUS_ID, 1).with(field::DURATION_MS, silence / 1_000_000)));
        }
        for (class, fault, row) in faults {
            let mut said = self.say(agent, now, "ledger", fault, Severity::High).with(field::STATUS_ID, 2).with(field::LEDGER_CLASS, class);
            if let Some(row) = row {
                let names = [field::LEDGER_PRODUCED, field::LEDGER_ACKED, field::LEDGER_SPOOLED, field::LEDGER_LOST];
                names.into_iter().zip(row).for_each(|(name, n)| said.body.set(name, n));
            }
            out.push(Arc::new(said));
        }
    }

    /// Time passes: says who has fallen silent.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Arc<Event>>) {
        if now.ns() < self.next_due {
            return;
        }
        let deadline = now.plus_secs(-SILENT_AFTER_S).ns();
        let mut fallen = Vec::new();
        let mut next = i64::MAX;
        for (agent, watched) in self.agents.iter_mut().filter(|(_, w)| !w.silent) {
            if watched.last_heard <= deadline {
                watched.silent = true;
                fallen.push((AgentId(*agent), watched.last_heard));
            } else {
                next = next.min(watched.last_heard.saturating_add(SILENT_AFTER_S * SECOND_NS));
            }
        }
        self.next_due = next;
        for (agent, last_heard) in fallen {
            let said = self.say(agent, now, "silence", "silent", Severity::High);
            let since = now.ns().saturating_sub(last_heard) / 1_000_000;
            let start = Timestamp::from_ns(last_heard).ms();
            out.push(Arc::new(said.with(field::STATUS_ID, 2).with(field::DURATION_MS, since).with(field::START_TIME, start)));
        }
    }

    pub fn agents(&self) -> impl Iterator<Item = Liveness> {
        self.agents.iter().map(|(id, w)| Liveness {
            agent: AgentId(*id),
            last_heard: Timestamp::from_ns(w.last_heard),
            silent: w.silent,
            ledger_adds_up: w.faults.is_empty(),
        })
    }

    /// Revoked or retired: its silence is no news.
    pub fn forget(&mut self, agent: AgentId) {
        self.agents.remove(&agent.0);
    }

    /// After a restart: the time nobody listened is no silence.
    pub fn resumed(&mut self, now: Timestamp) {
        for watched in self.agents.values_mut().filter(|w| !w.silent) {
            watched.last_heard = watched.last_heard.max(now.ns());
        }
        self.next_due = now.ns();
    }

    /// Agents not watched because there are too many.
    pub fn unwatched(&self) -> u64 {
        self.unwatched
    }

    fn say(&mut self, agent: AgentId, now: Timestamp, service: &'static str, what: &'static str, severity: Severity) -> Event {
        self.made += 1;
        let mut event = Event::new(now, Kind::ApplicationLifecycle, 99, LogSource::new("vedette", "agent", service))
            .with(field::AGENT_ID, agent.to_string())
            .with(field::STATUS_DETAIL, what);
        event.severity = severity;
        // Agent 0 is the collector itself. Both numbers only rise, so an id is not given twice even if the state is lost.
        event.id =
            EventId { agent: AgentId(0), epoch: Epoch(u64::try_from(now.secs()).unwrap_or(0)), class: Class::Critical, seq: self.made };
        if let Some(watched) = self.agents.get(&agent.0) {
            for (number, text) in &watched.facts {
                if let Some(field) = Field::from_number(*number) {
                    event.body.set(field, text.as_str());
                }
            }
            event.body.set_some(field::OBJECT_IMPORTANCE, watched.importance);
        }
        event
    }
}

type Fault = (String, &'static str, Option<[u64; 4]>);

impl Watched {
    /// Checks a heartbeat's ledger against itself and against the one before; gives the faults not yet said.
    fn audit(&mut self, event: &Event) -> Vec<Fault> {
        let mut found: Vec<Fault> = Vec::new();
        let epoch = event.id.epoch.0;
        if epoch < self.epoch {
            found.push((String::new(), "epoch_went_back", None));
        }
        if epoch != self.epoch {
            self.ledger.clear();
        }
        let withheld_before = self.ledger.len();
        self.epoch = self.epoch.max(epoch);
        let rows: Vec<&str> = match event.get(field::LEDGER_ROWS) {
            Some(Value::List(rows)) => rows.iter().filter_map(Value::as_str).take(Class::ALL.len()).collect(),
            Some(Value::Text(row)) => vec![row],
            _ => Vec::new(),
        };
        if rows.is_empty() && withheld_before > 0 {
            found.push((String::new(), "withheld", None));
        }
        for text in rows {
            let Some((class, row)) = read_row(text) else {
                found.push((text.split(' ').next().unwrap_or("").chars().take(16).collect(), "unreadable", None));
                continue;
            };
            let [produced, acknowledged, spooled, lost] = row;
            if acknowledged.checked_add(spooled).and_then(|n| n.checked_add(lost)) != Some(produced) {
                found.push((class.to_owned(), "does_not_add_up", Some(row)));
            }
            if let Some(before) = self.ledger.insert(class.to_owned(), row)
                && (produced < before[0] || acknowledged < before[1] || lost < before[3])
            {
                found.push((class.to_owned(), "went_back", Some(row)));
            }
        }
        let standing: BTreeSet<(String, String)> = found.iter().map(|(class, fault, _)| (class.clone(), (*fault).to_owned())).collect();
        found.retain(|(class, fault, _)| !self.faults.contains(&(class.clone(), (*fault).to_owned())));
        self.faults = standing;
        found
    }
}

/// `critical 120 100 15 5`: class, produced, acknowledged, spooled, lost.
fn read_row(text: &str) -> Option<(&str, [u64; 4])> {
    let mut words = text.split_ascii_whitespace();
    let class = words.next().filter(|w| Class::ALL.iter().any(|c| c.name() == *w))?;
    let mut row = [0; 4];
    for n in &mut row {
        *n = words.next()?.parse().ok()?;
    }
    words.next().is_none().then_some((class, row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(agent: u64, epoch: u64, rows: &[&str]) -> Event {
        let rows: Vec<Value> = rows.iter().map(|r| Value::text(r)).collect();
        let mut event = Event::new(Timestamp::ZERO, Kind::ApplicationLifecycle, 3, LogSource::new("vedette", "agent", "heartbeat"))
            .with(field::DEVICE_HOSTNAME, "scada-1")
            .with(field::UNIT_ID, "grid");
        if !rows.is_empty() {
            event.body.set(field::LEDGER_ROWS, rows);
        }
        event.id = EventId { agent: AgentId(agent), epoch: Epoch(epoch), class: Class::Critical, seq: 1 };
        event
    }

    fn said(out: &mut Vec<Arc<Event>>) -> Vec<String> {
        out.drain(..)
            .map(|e| format!("{} {}{}", e.source.service.as_deref().unwrap(), e.text(field::STATUS_DETAIL), e.text(field::LEDGER_CLASS)))
            .collect()
    }

    #[test]
    fn a_silence_is_said_once_and_so_is_its_end() {
        let (mut watch, mut out) = (Watch::default(), Vec::new());
        let at = Timestamp::from_secs;
        for s in [100, 105, 110] {
            watch.tick(at(s), &mut out);
            watch.observe(&heartbeat(7, 1, &[]), at(s), &mut out);
            watch.observe(&heartbeat(8, 1, &[]), at(s), &mut out);
        }
        for s in 111..140 {
            watch.tick(at(s), &mut out);
            if s % 5 == 0 {
                watch.observe(&heartbeat(8, 1, &[]), at(s), &mut out);
            }
        }
        assert_eq!(out.len(), 1);
        let silent = &out[0];
        assert_eq!((silent.time, silent.text(field::AGENT_ID).as_ref()), (at(125), "0000000000000007"));
        assert_eq!((silent.text(field::DEVICE_HOSTNAME).as_ref(), silent.text(field::UNIT_ID).as_ref()), ("scada-1", "grid"));
        assert_eq!(said(&mut out), ["silence silent"]);
        watch.observe(&heartbeat(7, 2, &[]), at(200), &mut out);
        assert_eq!(out[0].get(field::DURATION_MS), Some(&Value::Int(90_000)));
        assert_eq!(said(&mut out), ["silence returned"]);
    }

    #[test]
    fn after_a_restart_nobody_is_silent_at_once_and_the_forgotten_never() {
        let (mut watch, mut out) = (Watch::default(), Vec::new());
        watch.observe(&heartbeat(7, 1, &[]), Timestamp::from_secs(100), &mut out);
        watch.observe(&heartbeat(9, 1, &[]), Timestamp::from_secs(100), &mut out);
        watch.resumed(Timestamp::from_secs(5_000));
        watch.forget(AgentId(9));
        watch.tick(Timestamp::from_secs(5_001), &mut out);
        assert!(out.is_empty());
        watch.tick(Timestamp::from_secs(5_015), &mut out);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn a_ledger_that_does_not_add_up_or_goes_back_is_said_once() {
        let (mut watch, mut out) = (Watch::default(), Vec::new());
        let mut beat = |epoch, rows: &[&str]| {
            watch.observe(&heartbeat(7, epoch, rows), Timestamp::from_secs(1), &mut out);
            said(&mut out)
        };
        assert!(beat(1, &["critical 10 4 5 1", "bulk 100 90 10 0"]).is_empty());
        assert_eq!(beat(1, &["critical 20 4 5 1", "bulk 120 90 30 0"]), ["ledger does_not_add_upcritical"]);
        assert!(beat(1, &["critical 21 4 5 1", "bulk 120 90 30 0"]).is_empty(), "said once while it stands");
        assert_eq!(beat(1, &["critical 30 24 5 1", "bulk 110 80 30 0"]), ["ledger went_backbulk"]);
        assert_eq!(beat(1, &[]), ["ledger withheld"]);
        assert!(beat(2, &["critical 1 0 1 0"]).is_empty(), "a new epoch counts from the beginning");
        assert_eq!(beat(1, &["critical 2 0 2 0"]), ["ledger epoch_went_back"]);
        assert_eq!(beat(2, &["critical many 0 2 0"]), ["ledger unreadablecritical"]);
        assert_eq!(beat(2, &["critical 18446744073709551615 18446744073709551615 1 0"]), ["ledger does_not_add_upcritical"]);
    }
}
