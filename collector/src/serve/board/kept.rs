//! The board's entries as rows of the desk, so that a restart knows at once who every agent is, what it sees and what it cannot.
//!
//! A row is written when who the agent is or what it sees changed, and otherwise once in `SEEN_EVERY_NS`: a heartbeat alone is not worth
//! a write. What a row of another version does not say stays empty until the agent says it again.

use event::{AgentId, SECOND_NS, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AGENTS_MAX, Board, COVERAGE_MAX, Entry, statements};
use crate::store::desk::AgentRow;

/// How old the time an agent was last seen may be in its row.
pub const SEEN_EVERY_NS: i64 = 60 * SECOND_NS;

/// `AgentRow::facts`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Facts {
    unit: String,
    sector: String,
    os: String,
    kernel: String,
    epoch: u64,
    uptime_s: Option<i64>,
    memory_bytes: Option<i64>,
    cpu_ms: Option<i64>,
    clock_skew_ms: Option<i64>,
    indicator_revision: Option<i64>,
    indicators: Option<i64>,
    changed_ns: Option<i64>,
    ports: Option<Vec<u16>>,
}

impl Board {
    /// Rows of agents whose row is out of date; `all`: also of those that were only heard again. They count as saved from here on.
    pub fn unsaved(&self, all: bool) -> Vec<AgentRow> {
        let mut rows = Vec::new();
        for (id, entry) in self.lock().iter_mut() {
            let Some(seen) = entry.last_seen else { continue };
            let since = entry.saved_seen.map_or(i64::MAX, |saved| seen.since(saved));
            if entry.unsaved || since >= SEEN_EVERY_NS || (all && since > 0) {
                (entry.unsaved, entry.saved_seen) = (false, Some(seen));
                rows.push(row(*id, entry));
            }
        }
        rows
    }

    /// Takes back what was saved, before anything is heard. Rows whose id cannot be read are left out.
    pub fn restore(&self, rows: Vec<AgentRow>) {
        let mut agents = self.lock();
        for row in rows.into_iter().take(AGENTS_MAX) {
            if let Ok(id) = row.id.parse::<AgentId>() {
                agents.insert(id, entry(row));
            }
        }
    }
}

fn row(id: AgentId, entry: &Entry) -> AgentRow {
    let facts = Facts {
        unit: entry.unit.clone(),
        sector: entry.sector.clone(),
        os: entry.os.clone(),
        kernel: entry.kernel.clone(),
        epoch: entry.epoch,
        uptime_s: entry.uptime_s,
        memory_bytes: entry.memory_bytes,
        cpu_ms: entry.cpu_ms,
        clock_skew_ms: entry.clock_skew_ms,
        indicator_revision: entry.indicator_revision,
        indicators: entry.indicators,
        changed_ns: entry.changed.map(Timestamp::ns),
        ports: entry.ports.clone(),
    };
    let ns = |time: Option<Timestamp>| time.map_or(0, Timestamp::ns);
    AgentRow {
        id: id.to_string(),
        unit: (!entry.unit_id.is_empty()).then(|| entry.unit_id.clone()),
        host: entry.host.clone(),
        first_seen: ns(entry.first_seen),
        last_seen: ns(entry.last_seen),
        version: entry.version.clone(),
        addresses: entry.addresses.clone(),
        coverage: serde_json::to_value(statements(entry)).unwrap_or_default(),
        ledger: serde_json::to_value(&entry.ledger).unwrap_or_default(),
        facts: serde_json::to_value(facts).unwrap_or_default(),
    }
}

fn entry(row: AgentRow) -> Entry {
    let facts: Facts = serde_json::from_value(row.facts).unwrap_or_default();
    let coverage: Vec<api::Coverage> = serde_json::from_value(row.coverage).unwrap_or_default();
    let last_seen = Some(Timestamp::from_ns(row.last_seen));
    Entry {
        host: row.host,
        unit_id: row.unit.unwrap_or_default(),
        unit: facts.unit,
        sector: facts.sector,
        last_seen,
        version: row.version,
        os: facts.os,
        kernel: facts.kernel,
        addresses: row.addresses,
        uptime_s: facts.uptime_s,
        memory_bytes: facts.memory_bytes,
        cpu_ms: facts.cpu_ms,
        clock_skew_ms: facts.clock_skew_ms,
        indicator_revision: facts.indicator_revision,
        indicators: facts.indicators,
        coverage: coverage.into_iter().take(COVERAGE_MAX).map(|c| ((c.sensor, c.subject), (c.state, c.reason))).collect(),
        epoch: facts.epoch,
        ports: facts.ports,
        ledger: serde_json::from_value(row.ledger).unwrap_or_default(),
        first_seen: Some(Timestamp::from_ns(row.first_seen)),
        changed: facts.changed_ns.map(Timestamp::from_ns),
        saved_seen: last_seen,
        ..Entry::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Scope;
    use event::{Class, Epoch, Event, EventId, Kind, LogSource, field};
    use std::sync::Arc;

    fn said(board: &Board, service: &'static str, secs: i64, facts: &[(event::Field, &str)]) {
        let mut event = Event::new(Timestamp::from_secs(secs), Kind::ApplicationLifecycle, 99, LogSource::new("vedette", "agent", service))
            .with(field::RECEIVED_TIME, secs * 1_000)
            .with(field::UNIT_ID, "bank");
        for (name, value) in facts {
            event.body.set(*name, *value);
        }
        event.id = EventId { agent: AgentId(7), epoch: Epoch(3), class: Class::Critical, seq: 1 };
        board.observe(&[Arc::new(event)], Timestamp::ZERO);
    }

    #[test]
    fn what_was_said_is_there_again_and_a_heartbeat_alone_is_not_written() {
        let board = Board::default();
        said(&board, "identity", 100, &[(field::DEVICE_HOSTNAME, "db-01"), (field::DEVICE_OS, "Debian"), (field::DEVICE_KERNEL, "6.12")]);
        said(&board, "heartbeat", 100, &[(field::AGENT_VERSION, "1.2.3")]);
        let blind = [(field::COVERAGE_SENSOR, "net"), (field::COVERAGE_STATE, "blind"), (field::COVERAGE_REASON, "no right")];
        said(&board, "coverage", 101, &blind);
        let rows = board.unsaved(false);
        assert_eq!((rows.len(), rows[0].unit.as_deref(), rows[0].version.as_str()), (1, Some("bank"), "1.2.3"));
        said(&board, "heartbeat", 106, &[(field::AGENT_VERSION, "1.2.3")]);
        said(&board, "coverage", 107, &blind);
        assert!(board.unsaved(false).is_empty(), "nothing new was said");
        assert_eq!(board.unsaved(true).len(), 1, "at the end the last time it was seen counts");
        said(&board, "heartbeat", 168, &[]);
        let rows = board.unsaved(false);
        assert_eq!(rows.len(), 1, "a minute later");

        let again = Board::default();
        again.restore(rows);
        let (at, city) = (Timestamp::from_secs(170), Scope::CITY);
        assert_eq!(again.list(&city, at), board.list(&city, at));
        assert!(again.unsaved(true).is_empty(), "what was read is not written back");
        assert!(again.list(&Scope::units(["grid"]), at).is_empty());
    }

    #[test]
    fn a_row_nobody_understands_keeps_its_agent() {
        let board = Board::default();
        let odd =
            AgentRow { id: AgentId(9).to_string(), host: "db-09".into(), coverage: "?".into(), facts: 7.into(), ..AgentRow::default() };
        board.restore(vec![odd, AgentRow { id: "no id".into(), ..AgentRow::default() }]);
        let all = board.list(&Scope::CITY, Timestamp::from_secs(1));
        assert_eq!((all.len(), all[0].host.as_str(), all[0].coverage.len()), (1, "db-09", 0));
    }
}
