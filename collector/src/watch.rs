//! Watches the watchers: silence and ledgers, from heartbeats. Pure.

use std::sync::Arc;

use event::{AgentId, Event, Timestamp};

/// What the collector holds about one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    pub agent: AgentId,
    pub last_heard: Timestamp,
    pub silent: bool,
    pub ledger_adds_up: bool,
}

#[derive(Default)]
pub struct Watch {}

impl Watch {
    pub fn observe(&mut self, _event: &Event, _now: Timestamp, _out: &mut Vec<Arc<Event>>) {}
    pub fn tick(&mut self, _now: Timestamp, _out: &mut Vec<Arc<Event>>) {}
    pub fn agents(&self) -> impl Iterator<Item = Liveness> {
        std::iter::empty()
    }
    /// Revoked or retired: its silence is no news.
    pub fn forget(&mut self, _agent: AgentId) {}
}
