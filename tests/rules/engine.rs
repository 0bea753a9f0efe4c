//! The engine around the rules: silence becomes an alert, a restart in the middle changes nothing.

use std::sync::Arc;

use collector::engine::{Engine, Outcome};
use collector::replay::event_from_json;
use event::{AgentId, Class, Epoch, Event, EventId, Kind, LogSource, Timestamp, field};
use warning::Change;

use super::harness;

fn heartbeat(agent: u64, at: Timestamp, ledger: &str) -> Arc<Event> {
    let rows: Vec<event::Value> = vec![ledger.into()];
    let mut event = Event::new(at, Kind::ApplicationLifecycle, 3, LogSource::new("vedette", "agent", "heartbeat"))
        .with(field::AGENT_ID, AgentId(agent).to_string())
        .with(field::DEVICE_HOSTNAME, "scada-1")
        .with(field::LEDGER_ROWS, rows)
        .with(field::RECEIVED_TIME, at.ms());
    event.id = EventId { agent: AgentId(agent), epoch: Epoch(1), class: Class::Critical, seq: at.secs() as u64 };
    Arc::new(event)
}

fn opened(engine: &mut Engine, batch: &[Arc<Event>], now: Timestamp, names: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut out = Outcome::default();
    engine.step(batch, now, &mut out);
    let opened = out.changes.iter().filter(|c| matches!(c, Change::Opened(_)));
    opened.map(|c| format!("{} {}", names(&c.alert().rule_id).unwrap_or_default(), c.alert().hosts.join(","))).collect()
}

#[test]
fn an_agent_that_falls_silent_and_a_ledger_that_does_not_add_up_are_alerts() {
    let names = harness::names();
    let mut engine = harness::engine();
    let at = Timestamp::from_secs;
    for s in [100, 105, 110] {
        assert!(opened(&mut engine, &[heartbeat(7, at(s), "critical 10 8 2 0")], at(s), &names).is_empty());
    }
    assert!(opened(&mut engine, &[], at(124), &names).is_empty());
    assert_eq!(opened(&mut engine, &[], at(125), &names), ["agent_silent scada-1"]);
    assert!(opened(&mut engine, &[], at(126), &names).is_empty(), "said once");
    let found = opened(&mut engine, &[heartbeat(7, at(200), "critical 20 8 2 0")], at(200), &names);
    assert_eq!(found, ["ledger_does_not_add_up scada-1"]);
    let state: Vec<(bool, bool)> = engine.agents().map(|a| (a.silent, a.ledger_adds_up)).collect();
    assert_eq!(state, [(false, false)]);
}

/// For every hit case, cut anywhere: saved and restored into a new engine, the changes that follow are the same.
#[test]
fn a_restart_in_the_middle_changes_nothing() {
    for (rule, folder) in harness::stepped().into_iter().step_by(4) {
        let file = folder.join("hit.jsonl");
        let text = std::fs::read_to_string(&file).unwrap();
        let events: Vec<Arc<Event>> = text
            .lines()
            .enumerate()
            .map(|(n, line)| {
                let mut event = event_from_json(line).unwrap();
                event.id = EventId { agent: AgentId(1), epoch: Epoch(1), class: Class::Normal, seq: n as u64 + 1 };
                Arc::new(event)
            })
            .collect();
        let last = events.iter().map(|e| e.time).max().unwrap();
        let changes = |cut: usize| {
            let mut engine = harness::engine_for(&file);
            let mut out = Outcome::default();
            engine.step(&events[..cut], events[..cut].iter().map(|e| e.time).max().unwrap_or(events[0].time), &mut out);
            let saved = engine.save();
            let mut engine = harness::engine_for(&file);
            engine.restore(&saved, Timestamp::MIN).unwrap_or_else(|e| panic!("{e}"));
            assert!(engine.restore(&saved[..saved.len() - 1], Timestamp::MIN).is_err());
            engine.step(&events[cut..], last, &mut out);
            engine.finish(&mut out);
            out.changes
        };
        let whole = changes(events.len());
        assert!(!whole.is_empty(), "{rule}");
        assert_eq!(changes(events.len() / 2), whole, "{rule}");
    }
}
