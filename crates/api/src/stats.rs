//! Counts for the head of the console, the shape of a feed event, and readiness.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// Alerts that are not closed, by severity.
    pub open_by_severity: BTreeMap<String, u64>,
    pub by_state: BTreeMap<String, u64>,
    /// Agents by liveness.
    pub agents: BTreeMap<String, u64>,
    pub now: String,
}

/// What one event of `/api/v1/feed` carries in `data`. Event names: `alert` (an alert as it is now), `matter` (something people
/// work on changed), `resync` (what came in
/// between is no longer held: read the list again).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FeedEvent {
    Alert {
        alert: Box<crate::Alert>,
    },
    /// A warning, a receipt, an order …: `matter` is its kind; read it by its id.
    Matter {
        matter: String,
        id: String,
        revision: u64,
        state: String,
        level: Option<String>,
        exercise: bool,
    },
    Resync,
}

/// Whether the collector does its work, and what keeps it from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    pub waiting_for: Vec<String>,
}
