//! An alert: findings of one rule about the same parties, as one thing a person can judge.

use std::collections::BTreeMap;

use event::Severity;
use serde::{Deserialize, Serialize};

/// Name of an alert: `A` and 16 hex digits, the hash of rule, group key and the time it was opened, so that the same
/// events give the same id on any machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(pub String);

/// One alert, as stored, served and shown. Times are nanoseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub id: AlertId,
    pub rule_id: String,
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title_zh: String,
    pub description: String,
    /// OCSF `severity_id`: 1 informational to 5 critical.
    pub severity_id: u8,
    pub state: AlertState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<CloseReason>,
    /// Event time of the first and the newest event behind it.
    pub first_time: i64,
    pub last_time: i64,
    /// When the engine opened and last changed it.
    pub opened_time: i64,
    pub updated_time: i64,
    /// Findings grouped into it, and events behind those.
    pub finding_count: u64,
    pub event_count: u64,
    pub techniques: Vec<String>,
    pub tactics: Vec<String>,
    /// Flaws the rule names in its tags or words, or the findings in their values: `CVE-2021-44228`, bounded by `FLAWS_MAX`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flaws: Vec<String>,
    /// Parties, each list in order of appearance and bounded by `PARTIES_MAX`.
    pub source_ips: Vec<String>,
    pub target_ips: Vec<String>,
    pub users: Vec<String>,
    pub hosts: Vec<String>,
    pub units: Vec<UnitRef>,
    /// Why, newest state of each reason; rendered in the reader's language when shown.
    pub reasons: Vec<AlertReason>,
    /// Ids of events behind it, oldest first, bounded by `event::EVIDENCE_MAX`.
    pub evidence: Vec<String>,
    /// The values that make findings this alert and no other.
    pub group_key: BTreeMap<String, String>,
    /// Rises by one with each change; what `If-Match` compares.
    pub revision: u64,
}

impl Alert {
    pub fn severity(&self) -> Severity {
        Severity::from_u8(self.severity_id).unwrap_or_default()
    }
}

/// Flaws one alert names.
pub const FLAWS_MAX: usize = 8;

/// CVE ids in a text, as `CVE-2021-44228`: also where it is written as a tag of Sigma, `cve.2021-44228` or `cve.2021.44228`.
pub fn flaws_in(text: &str) -> impl Iterator<Item = String> {
    let lower = text.to_ascii_lowercase();
    let found: Vec<String> = lower
        .match_indices("cve")
        .filter_map(|(at, _)| {
            let joint = |c: char| matches!(c, '-' | '.' | '_' | ' ');
            let rest = lower.get(at + 3..)?.strip_prefix(joint)?;
            let (year, rest) = (rest.get(..4)?, rest.get(4..)?.strip_prefix(joint)?);
            let number = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            let digits = year.bytes().all(|b| b.is_ascii_digit()) && (4..=9).contains(&number.len());
            digits.then(|| format!("CVE-{year}-{number}"))
        })
        .collect();
    found.into_iter()
}

/// A unit concerned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnitRef {
    pub id: String,
    pub name: String,
    pub sector: String,
}

/// A reason as data: a fixed word and its arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertReason {
    pub id: String,
    #[serde(default)]
    pub args: BTreeMap<String, serde_json::Value>,
}

/// Where an alert stands with the people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    New,
    Acknowledged,
    Investigating,
    Escalated,
    Closed,
}

/// Why an alert was closed; required, since a judgement without a reason teaches nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    Confirmed,
    AuthorisedActivity,
    FalsePositive,
    Duplicate,
    ExpectedMaintenance,
}

#[cfg(test)]
mod tests {
    use super::flaws_in;

    #[test]
    fn flaws_are_found_however_they_are_written() {
        for (text, found) in [
            ("Log4j exploitation (CVE-2021-44228) and cve-2021-45046.", &["CVE-2021-44228", "CVE-2021-45046"][..]),
            ("cve.2021-44228", &["CVE-2021-44228"]),
            ("cve.2021.44228", &["CVE-2021-44228"]),
            ("主机存在CVE-2024-3400漏洞", &["CVE-2024-3400"]),
            ("CVE-2024-340", &[]),
            ("CVE-24-3400 cve 2024 cve", &[]),
            ("CVE-2024-1234567890123", &[]),
            ("cve-é024-3400 cve", &[]),
        ] {
            assert_eq!(flaws_in(text).collect::<Vec<_>>(), found, "{text}");
        }
    }
}
