//! Owns rules, windows and alerts. Pure: no clock, no I/O after loading. Live traffic, replay and simulation all come through `step`.

use std::path::PathBuf;
use std::sync::Arc;

use event::{Event, Finding, Timestamp};
use warning::{Change, Desk, DeskLimits, Judgement};

use crate::watch::{Liveness, Watch};

/// What one step gave. Reuse it: `clear` keeps the memory.
#[derive(Default)]
pub struct Outcome {
    pub findings: Vec<Finding>,
    pub changes: Vec<Change>,
    /// Events the engine itself made (an agent fell silent, a ledger does not add up); to be stored like any other.
    pub events: Vec<Arc<Event>>,
}

impl Outcome {
    pub fn clear(&mut self) {
        self.findings.clear();
        self.changes.clear();
        self.events.clear();
    }
}

/// Where the rules lie.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Files or folders of Sigma YAML.
    pub rules: Vec<PathBuf>,
    /// Folder of field mappings.
    pub mappings: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub String);

pub struct Engine {
    desk: Desk,
    watch: Watch,
}

impl Engine {
    /// Loads the rules. A bad rule is named in the second value and left out; the others run.
    pub fn load(_options: &EngineOptions) -> Result<(Self, Vec<String>), EngineError> {
        Ok((Self { desk: Desk::new(DeskLimits::default()), watch: Watch::default() }, Vec::new()))
    }

    /// One step: events in the order they were received; `now` is when (the frame's `received`, or the wall clock on an idle
    /// tick with an empty batch; call at least once a second so that silence is seen). Never earlier than the last `now`.
    pub fn step(&mut self, _batch: &[Arc<Event>], now: Timestamp, out: &mut Outcome) {
        self.desk.tick(now, &mut out.changes);
    }

    /// A person judged an alert.
    pub fn apply(&mut self, judgement: &Judgement) {
        self.desk.apply(judgement);
    }
    pub fn agents(&self) -> impl Iterator<Item = Liveness> {
        self.watch.agents()
    }
    pub fn forget(&mut self, agent: event::AgentId) {
        self.watch.forget(agent);
    }
    /// Everything a restart needs besides the rules: windows, open alerts, liveness. Stored together with the offset it stands for.
    pub fn save(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Takes a saved state back; parts that belong to changed rules are left out.
    pub fn restore(&mut self, _bytes: &[u8], _now: Timestamp) -> Result<(), EngineError> {
        Ok(())
    }
}
