//! Why an alert was raised, as the engine itself tells it: recomputed from the events kept with the alert, by the rules in force.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Alert, EventRecord};

/// The trace of one alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Why {
    pub alert: Alert,
    /// The rule, if it is still in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<WhyRule>,
    /// The window, where the rule is a correlation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WhyWindow>,
    /// What the register says of the parties.
    pub register: Vec<WhyUnit>,
    /// The events at hand, oldest first, each with what the rules make of it.
    pub events: Vec<WhyEvent>,
    /// Ids of events that can no longer be found.
    pub missing: Vec<String>,
    /// Events behind it in all.
    pub total: u64,
    /// Every event at hand is matched again by the rules in force, and none is missing.
    pub reproduced: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyRule {
    pub id: String,
    pub title: String,
    pub title_zh: String,
    /// The rule's own level: where the alert's severity comes from.
    pub severity: String,
    pub path: String,
}

/// A correlation's window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyWindow {
    /// event_count, value_count, temporal, …
    pub kind: String,
    /// The condition in one line: `event_count ≥ 8 / 60 s / src_endpoint.ip`.
    pub says: String,
    pub timespan_s: u64,
    /// What the findings were grouped by.
    pub group: BTreeMap<String, String>,
    pub from: String,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct WhyUnit {
    pub unit: String,
    pub name: String,
    pub sector: String,
    /// Importance of the protected object, 1 to 3; 0 where the register says none.
    pub importance: i64,
    pub asset: String,
}

/// An event and the rules that matched it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyEvent {
    pub event: EventRecord,
    pub rules: Vec<WhyVerdict>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyVerdict {
    pub rule: String,
    pub title: String,
    pub title_zh: String,
    pub matched: bool,
    /// For a match the conditions that made it, else those that lack.
    pub conditions: Vec<WhyCondition>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyCondition {
    /// `status_id is '2'`.
    pub condition: String,
    pub holds: bool,
    /// The value seen; absent where the event has no such field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
