//! Rules that are loaded, and those that were refused with the reason.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rule {
    pub id: String,
    pub title: String,
    pub title_zh: String,
    pub description: String,
    pub severity: String,
    /// detection or correlation.
    pub kind: String,
    pub log_source: String,
    pub techniques: Vec<String>,
    pub tags: Vec<String>,
    pub author: String,
    pub path: String,
    /// False for a rule that only feeds correlations.
    pub alerts: bool,
    /// On trial: its findings are counted and kept, and raise no alert.
    #[serde(default)]
    pub shadow: bool,
    /// The rule as written, where it is at hand.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// A rule that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleFault {
    pub path: String,
    pub line: u32,
    pub column: u32,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RulePage {
    pub items: Vec<Rule>,
    pub faults: Vec<RuleFault>,
    /// When the set in use was loaded.
    pub loaded: String,
}

/// What a reload did. On failure the old configuration and rules stay in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    pub successful: bool,
    pub rules: u64,
    pub faults: Vec<RuleFault>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}
