//! Alerts as the API shows them: times as RFC 3339 text, reasons as data and in both languages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    pub id: String,
    /// Rises by one with each change; send it back in `If-Match`.
    pub revision: u64,
    pub rule_id: String,
    pub title: String,
    /// Title in Chinese; the same as `title` where the rule has none.
    pub title_zh: String,
    pub description: String,
    /// OCSF `severity_id`, 1 informational to 5 critical.
    pub severity_id: u8,
    /// informational, low, medium, high, critical.
    pub severity: String,
    /// new, acknowledged, investigating, escalated, closed.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// confirmed, authorised_activity, false_positive, duplicate, expected_maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<String>,
    /// Event time of the first and the newest event behind it.
    pub first_time: String,
    pub last_time: String,
    /// When the collector opened and last changed it.
    pub opened_time: String,
    pub updated_time: String,
    pub finding_count: u64,
    pub event_count: u64,
    pub techniques: Vec<Technique>,
    pub tactics: Vec<String>,
    pub source_ips: Vec<String>,
    pub target_ips: Vec<String>,
    pub users: Vec<String>,
    pub hosts: Vec<String>,
    pub units: Vec<UnitName>,
    pub reasons: Vec<Reason>,
    /// Ids of events behind it, oldest first.
    pub evidence: Vec<String>,
    pub group_key: BTreeMap<String, String>,
}

/// A unit (单位) concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnitName {
    pub id: String,
    pub name: String,
    pub sector: String,
}

/// An ATT&CK technique.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Technique {
    /// `T1046`, `T1110.001`.
    pub uid: String,
}

/// Why: a fixed word, its arguments, and the sentence in both languages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    pub id: String,
    #[schema(value_type = Object)]
    pub args: BTreeMap<String, serde_json::Value>,
    pub text: BothTexts,
}

/// One sentence, twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BothTexts {
    pub en: String,
    pub zh: String,
}

/// One page of alerts, newest change first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlertPage {
    pub items: Vec<Alert>,
    /// Send back as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Feed position this page agrees with: open the feed with `after=` it and nothing is missed.
    pub feed: String,
    /// Server time of the page.
    pub now: String,
}

/// Events behind an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    pub items: Vec<super::EventRecord>,
    /// Ids named by the alert that the store no longer holds.
    pub missing: Vec<String>,
    /// Events behind the alert in all, shown or not.
    pub total: u64,
}

/// What a person decides about an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Triage {
    pub action: TriageAction,
    /// For `close`: confirmed, authorised_activity, false_positive, duplicate, expected_maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A note kept in the history; at most 4,000 characters. For `note` it is the whole action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriageAction {
    /// Seen, and mine.
    Acknowledge,
    Investigate,
    Escalate,
    Close,
    /// Back to new, without an owner.
    Reopen,
    /// Only a note.
    Note,
}

impl TriageAction {
    pub const ALL: [Self; 6] = [Self::Acknowledge, Self::Investigate, Self::Escalate, Self::Close, Self::Reopen, Self::Note];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Investigate => "investigate",
            Self::Escalate => "escalate",
            Self::Close => "close",
            Self::Reopen => "reopen",
            Self::Note => "note",
        }
    }
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// What the decision did. `changed` is false when it was so already: sending the same decision twice is harmless.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TriageOutcome {
    pub changed: bool,
    pub alert: Alert,
}

/// One step in the history of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    pub time: String,
    pub by: String,
    pub text: String,
}

/// History of one alert, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NotePage {
    pub items: Vec<Note>,
}

impl From<&warning::UnitRef> for UnitName {
    fn from(unit: &warning::UnitRef) -> Self {
        Self { id: unit.id.clone(), name: unit.name.clone(), sector: unit.sector.clone() }
    }
}

impl Alert {
    /// From the alert as stored; `render` says a reason in (English, Chinese).
    pub fn from_stored(alert: &warning::Alert, render: impl Fn(&warning::AlertReason) -> (String, String)) -> Self {
        let title_zh = if alert.title_zh.is_empty() { &alert.title } else { &alert.title_zh };
        Self {
            id: alert.id.0.clone(),
            revision: alert.revision,
            rule_id: alert.rule_id.clone(),
            title: alert.title.clone(),
            title_zh: title_zh.clone(),
            description: alert.description.clone(),
            severity_id: alert.severity_id,
            severity: alert.severity().name().to_owned(),
            state: word(&alert.state),
            owner: alert.owner.clone(),
            close_reason: alert.close_reason.as_ref().map(word),
            first_time: super::time_text(alert.first_time),
            last_time: super::time_text(alert.last_time),
            opened_time: super::time_text(alert.opened_time),
            updated_time: super::time_text(alert.updated_time),
            finding_count: alert.finding_count,
            event_count: alert.event_count,
            techniques: alert.techniques.iter().map(|uid| Technique { uid: uid.clone() }).collect(),
            tactics: alert.tactics.clone(),
            source_ips: alert.source_ips.clone(),
            target_ips: alert.target_ips.clone(),
            users: alert.users.clone(),
            hosts: alert.hosts.clone(),
            units: alert.units.iter().map(UnitName::from).collect(),
            reasons: alert
                .reasons
                .iter()
                .map(|r| {
                    let (en, zh) = render(r);
                    Reason { id: r.id.clone(), args: r.args.clone(), text: BothTexts { en, zh } }
                })
                .collect(),
            evidence: alert.evidence.clone(),
            group_key: alert.group_key.clone(),
        }
    }
}

/// The word serde writes for a plain enum.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

/// A decision about all alerts a query matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkTriage {
    /// The list's own query language.
    #[serde(default)]
    pub q: String,
    /// As the list has it; default `open`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    pub action: TriageAction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BulkOutcome {
    pub dry_run: bool,
    pub matched: u64,
    pub changed: u64,
    /// Alerts that were left as they are, and why.
    pub skipped: Vec<BulkSkip>,
    /// The first ten.
    pub sample: Vec<Alert>,
    /// Token that undoes it, once, within an hour, by the same person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkSkip {
    pub id: String,
    /// Code of the problem.
    pub code: String,
    pub why: String,
    pub why_zh: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkUndo {
    /// `BulkOutcome.undo`.
    pub undo: String,
}
