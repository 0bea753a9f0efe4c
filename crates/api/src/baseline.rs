//! What is usual between masters and stations of control protocols: reviewed, frozen and edited by people.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A station: an address and a control protocol within a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Baseline {
    pub id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Address, or link address where there is none.
    pub station: String,
    pub protocol: String,
    /// learning or frozen.
    pub state: String,
    /// Who froze it, when and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<BaselineMark>,
    /// Entries that are usual, and deviations nobody allowed.
    pub entries: u64,
    pub deviations: u64,
    pub first_seen: String,
    pub last_seen: String,
}

/// A person's doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BaselineMark {
    pub by: String,
    pub at: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What one master asks of a station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BaselineEntry {
    pub id: String,
    pub master: String,
    /// Unit id, outstation, common address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    pub function: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sub_function: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object_type: String,
    /// Addresses, first and last of each range.
    pub ranges: Vec<[i64; 2]>,
    /// Names of objects.
    pub names: Vec<String>,
    /// Whatever it addresses is usual.
    pub any: bool,
    /// Ranges and names as people write them.
    pub objects: String,
    pub is_write: bool,
    /// learned, allowed or deviating.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<BaselineMark>,
    pub count: u64,
    pub first_seen: String,
    pub last_seen: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BaselinePage {
    pub items: Vec<Baseline>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A station with its entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BaselineDetail {
    pub baseline: Baseline,
    pub items: Vec<BaselineEntry>,
}

/// An edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BaselineEdit {
    /// freeze, unfreeze, allow, forget.
    pub action: String,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default)]
    pub note: String,
    /// For allow: a deviation; for forget: an entry (none: the whole station).
    #[serde(default)]
    pub entry: Option<String>,
    /// For allow without `entry`: who, what, where; without `from`, any address.
    #[serde(default)]
    pub master: Option<String>,
    #[serde(default)]
    pub number: Option<i64>,
    #[serde(default)]
    pub function: Option<String>,
    #[serde(default)]
    pub sub_function: Option<String>,
    #[serde(default)]
    pub object_type: Option<String>,
    #[serde(default)]
    pub from: Option<i64>,
    #[serde(default)]
    pub to: Option<i64>,
}

/// What an edit did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BaselineChange {
    pub done: String,
    pub dry_run: bool,
    /// As it is then; none: forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
}
