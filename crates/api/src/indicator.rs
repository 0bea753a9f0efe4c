//! Indicators of compromise: their sources, what is known of a value, and the search of history.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An entry that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorProblem {
    pub line: u64,
    pub value: String,
    pub reason: String,
}

/// How far the search of stored events has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorSearch {
    /// running, complete, bounded (the oldest events were not looked at), failed.
    pub state: String,
    pub asked: u64,
    pub to_ask: u64,
    /// Events the store handed over, and events that held an indicator.
    pub looked: u64,
    pub found: u64,
}

/// A source of indicators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorSource {
    pub name: String,
    /// upload or configuration.
    pub origin: String,
    pub format: String,
    pub entries: u64,
    /// Objects of the feed that are no values to look for.
    pub passed_over: u64,
    pub refused: u64,
    /// The first entries that were refused.
    pub problems: Vec<IndicatorProblem>,
    /// TLP where the feed does not say.
    pub tlp: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub added: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expires: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<IndicatorSearch>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorPage {
    pub items: Vec<IndicatorSource>,
    /// Entries in force, all sources together; the same value of two sources counts twice.
    pub entries: u64,
    pub bytes: u64,
    /// Entries refused for want of room.
    pub refused: u64,
    /// Events marked since the collector's start.
    pub events_marked: u64,
}

/// Values to be looked up, at most 1,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndicatorQuestion {
    pub values: Vec<String>,
}

/// An indicator a value meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorMatch {
    pub indicator: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub source: String,
    pub tlp: String,
    pub confidence: u8,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub valid_from: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub valid_until: String,
    /// In force now.
    pub valid: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorAnswer {
    pub value: String,
    /// Why the value could not be looked up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    pub matches: Vec<IndicatorMatch>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorAnswers {
    pub items: Vec<IndicatorAnswer>,
}

/// What is known of a flaw. Where neither list names it, all is false and zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Weakness {
    pub id: String,
    /// In CISA's list of known exploited vulnerabilities.
    pub exploited: bool,
    /// Known of ransomware campaigns.
    pub ransomware: bool,
    /// Day it must be mended by after that list, `yyyy-mm-dd`; empty: none.
    pub due: String,
    /// FIRST's chance that it is exploited within 30 days, and its rank among all, 0 to 1.
    pub epss: f32,
    pub percentile: f32,
    /// Flaws known in all.
    pub known: u64,
}
