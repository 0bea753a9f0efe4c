//! A finding: a rule or a window matched. It always carries its reasons, because a grade without them is noise.

use std::borrow::Cow;
use std::sync::Arc;

use crate::fields::Name;
use crate::id::EventId;
use crate::severity::Severity;
use crate::time::Timestamp;
use crate::value::{Fields, Value};
use crate::{Event, Field};

/// What a rule says about itself; shared by all its findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleMeta {
    /// Sigma `id` (a UUID), or its `name` where it has none.
    pub id: String,
    /// Sigma `name`: the short handle correlations refer to.
    pub name: Option<String>,
    pub title: String,
    /// Title in Chinese (`title_zh` in the rule's custom attributes); empty where the rule has none.
    pub title_zh: String,
    pub description: String,
    pub severity: Severity,
    /// ATT&CK technique ids from the tags, upper case: `T1046`, `T1110.001`, `T0855`.
    pub techniques: Vec<String>,
    /// ATT&CK tactics from the tags, as written: `reconnaissance`, `lateral-movement`.
    pub tactics: Vec<String>,
    /// All tags as written.
    pub tags: Vec<String>,
    pub author: String,
    /// Where the rule was read from, for messages.
    pub path: String,
    /// False for a rule that only feeds correlations (it raises no alert of its own).
    pub alerts: bool,
    /// On trial (`shadow: true`): its findings are counted and kept for search, and never become an alert.
    pub shadow: bool,
    /// Fields that make two findings of this rule the same alert; empty: source and destination address.
    pub group_by: Vec<String>,
}

/// Where one condition of a rule held.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// Field as the rule names it; empty for a keyword.
    pub field: String,
    /// Value the event had.
    pub value: Value,
    /// Pattern as the rule writes it, e.g. `contains 'passwd'`.
    pub pattern: String,
}

/// The stretch of event time a correlation looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Why: a message id with its arguments, rendered in the reader's language when it is shown, never before.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// Fixed word, e.g. `matched`, `count_reached`, `values_reached`, `sequence_complete`.
    pub id: Cow<'static, str>,
    pub args: Vec<(Cow<'static, str>, Value)>,
}

impl Reason {
    pub fn new(id: &'static str) -> Self {
        Self { id: Cow::Borrowed(id), args: Vec::new() }
    }
    #[must_use]
    pub fn arg(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.args.push((Cow::Borrowed(name), value.into()));
        self
    }
}

/// An event behind a finding: its id and time; the event itself is found in the store (or travels with the alert).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    pub id: EventId,
    pub time: Timestamp,
}

/// A rule or a window that matched.
#[derive(Debug, Clone)]
pub struct Finding {
    pub rule: Arc<RuleMeta>,
    /// Event time of the deciding event.
    pub time: Timestamp,
    /// The deciding event: the one that matched, or the one that completed the window. None when a window closed without one.
    pub event: Option<Arc<Event>>,
    /// Values by which a correlation grouped, and what it counted; empty for a plain rule.
    pub facts: Fields,
    /// The window, for a correlation.
    pub span: Option<Span>,
    pub matches: Vec<Match>,
    pub reasons: Vec<Reason>,
    /// Oldest first; at most `EVIDENCE_MAX`.
    pub evidence: Vec<Evidence>,
    /// How many events stand behind it, evidence or not.
    pub count: u64,
}

impl Finding {
    /// A value by name: what the correlation grouped by first, then the deciding event's field.
    pub fn get_name(&self, name: &Name) -> Option<&Value> {
        self.facts.get_name(name).or_else(|| self.event.as_ref()?.body.get_name(name))
    }
    pub fn get(&self, field: Field) -> Option<&Value> {
        self.facts.get(field).or_else(|| self.event.as_ref()?.body.get(field))
    }
}
