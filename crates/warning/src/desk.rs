//! (being written) findings → alerts.

use event::{Finding, Timestamp};

use crate::{Alert, AlertId, AlertState, CloseReason};

/// What happened to an alert. The alert inside is complete; `state`, `owner` and `close_reason` are as the desk last heard
/// from `apply`, so a store keeps its own words for those three and takes the rest.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Opened(Alert),
    Updated(Alert),
}

impl Change {
    pub fn alert(&self) -> &Alert {
        match self {
            Self::Opened(a) | Self::Updated(a) => a,
        }
    }
}

/// A person's word on an alert, told to the desk after the store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    pub alert: AlertId,
    pub state: AlertState,
    pub owner: Option<String>,
    pub close_reason: Option<CloseReason>,
    /// Revision the store gave the alert with this judgement.
    pub revision: u64,
    pub time: Timestamp,
}

#[derive(Debug, Clone, Copy)]
pub struct DeskLimits {
    /// An alert takes in findings until this much event time has passed without one.
    pub quiet_s: u32,
    /// Alerts held open at once; past it the one quiet for longest is let go (it stays in the store).
    pub open_max: usize,
}

impl Default for DeskLimits {
    fn default() -> Self {
        Self { quiet_s: 3600, open_max: 50_000 }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeskCounters {
    pub findings: u64,
    pub opened: u64,
    pub updated: u64,
    pub let_go: u64,
}

/// Bytes that are no saved state.
#[derive(Debug, thiserror::Error)]
#[error("read the saved state of the desk: {0}")]
pub struct StateError(pub &'static str);

pub struct Desk {
    _limits: DeskLimits,
}

impl Desk {
    pub fn new(limits: DeskLimits) -> Self {
        Self { _limits: limits }
    }
    /// Groups findings; appends what changed.
    pub fn assess(&mut self, _now: Timestamp, _findings: &[Finding], _changes: &mut Vec<Change>) {}
    /// Time passes: held-back updates that are due go out.
    pub fn tick(&mut self, _now: Timestamp, _changes: &mut Vec<Change>) {}
    /// A person judged an alert.
    pub fn apply(&mut self, _judgement: &Judgement) {}
    pub fn open_count(&self) -> usize {
        0
    }
    pub fn counters(&self) -> DeskCounters {
        DeskCounters::default()
    }
    pub fn save(&self) -> Vec<u8> {
        Vec::new()
    }
    pub fn load(_limits: DeskLimits, _bytes: &[u8]) -> Result<Self, StateError> {
        Err(StateError("not there yet"))
    }
}
