//! `vedette replay FILE…`: captures, logs and JSON lines through the very engine that serves.

use std::io::Write;
use std::path::PathBuf;

use warning::Alert;

use crate::engine::EngineOptions;

/// What to replay and how.
#[derive(Debug, Clone, Default)]
pub struct ReplayArgs {
    pub files: Vec<PathBuf>,
    pub engine: EngineOptions,
    /// Units and assets to join, if wanted.
    pub register: Option<PathBuf>,
    /// Log format to assume instead of finding out (`syslog`, `access`, …).
    pub format: Option<String>,
    /// Print alerts as JSON lines (OCSF detection findings) at the end, newest state of each.
    pub jsonl: bool,
    /// Events handed to the engine at once; changes nothing but speed.
    pub batch: usize,
}

/// Figures of a replay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReplaySummary {
    pub files: u64,
    pub bytes: u64,
    pub events: u64,
    pub findings: u64,
    pub alerts: Vec<Alert>,
    /// Rules that were left out and files that were damaged, in words.
    pub problems: Vec<String>,
}

/// Runs it; alerts go to `out`, progress (bytes done of all) to `progress`.
pub fn run(_args: &ReplayArgs, _out: &mut dyn Write, _progress: &mut dyn FnMut(u64, u64)) -> anyhow::Result<ReplaySummary> {
    Ok(ReplaySummary::default())
}

/// An alert as one OCSF detection finding (class 2004); used by `-o jsonl`, the API and exports alike.
pub fn alert_ocsf_json(_alert: &Alert) -> String {
    String::new()
}
