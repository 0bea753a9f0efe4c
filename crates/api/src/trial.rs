//! A changed rule tried on what is stored: which alerts it would have raised besides, and which not.
//!
//! The answer of `tryRules` is a stream of JSON lines: any number of `TrialStep` with `progress`, then one with `result`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Alert, EventRecord};

/// What to try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Rule files; a document replaces the one in force that has its id (or name).
    pub sources: Vec<TrialSource>,
    /// How far back, in seconds.
    pub since_s: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialSource {
    pub path: String,
    pub text: String,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrialStep {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<TrialProgress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<TrialResult>,
    /// Why it ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrialProgress {
    pub events: u64,
    /// Seconds of history done and in all.
    pub done_s: u64,
    pub of_s: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrialResult {
    pub rules: Vec<TrialRule>,
    pub from: String,
    pub to: String,
    pub events: u64,
    /// Events left out because too many fell on one second.
    pub left_out: u64,
    pub alerts_before: u64,
    pub alerts_after: u64,
    pub kept: u64,
    pub gained: u64,
    pub lost: u64,
    /// Of the lost ones, how many a person has closed as confirmed, and as a false positive.
    pub lost_confirmed: u64,
    pub lost_false: u64,
    /// The first of them.
    pub gained_alerts: Vec<TrialAlert>,
    pub lost_alerts: Vec<TrialAlert>,
}

/// A rule of the trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrialRule {
    pub id: String,
    pub title: String,
    /// `changed`, `new`, or `feeds` for one in force that listens to a changed one.
    pub role: String,
    pub alerts_before: u64,
    pub alerts_after: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrialAlert {
    pub alert: Alert,
    /// How it was judged, if the same alert was raised and closed in earnest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<String>,
    /// Some of the events behind it.
    pub events: Vec<EventRecord>,
}
