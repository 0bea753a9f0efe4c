//! `[campaign]` and `[[playbook]]` of `config/desk.toml`: how alerts become one thing, and what a draft says about it.

use serde::{Deserialize, Serialize};
use warning::grade::Admiralty;

use crate::{Both, attack};

/// How alerts are grouped and what they count for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignTable {
    pub source: String,
    pub effective_from: String,
    /// A group takes alerts in until so many minutes have passed without one, and what is older counts no more.
    pub window_min: u32,
    /// How often an open group is graded again though nothing new came.
    pub review_min: u32,
    /// Open groups by technique, indicator and direction.
    pub fine_max: usize,
    /// Of those, kept for alerts about important objects or of grave severity.
    pub kept_free: usize,
    /// Open groups by technique and direction, once the fine ones are used up; past these, one by tactic.
    pub coarse_max: usize,
    /// OCSF severity from which an alert is evidence that something was reached; below, it is an attempt.
    pub severity_min: u8,
    /// Techniques that alone show an attempt only.
    pub attempts: Vec<String>,
    /// Rules about the watchers themselves (silent, blind), by id: that nobody looks is no evidence that somebody got in, so alone they show an
    /// attempt too.
    #[serde(default)]
    pub watchers: Vec<String>,
    /// Addresses, networks and domains everybody uses (public resolvers, CDN): an alert about nothing else counts for nothing.
    pub ignored: Vec<String>,
    pub grades: SeverityGrades,
}

impl Default for CampaignTable {
    fn default() -> Self {
        let grade = |reliability, credibility| Admiralty { reliability, credibility };
        Self {
            source: "default".to_owned(),
            effective_from: "2026-11-01".to_owned(),
            window_min: 1440,
            review_min: 15,
            fine_max: 20,
            kept_free: 6,
            coarse_max: 10,
            severity_min: 3,
            attempts: ["T1595", "T1046", "T1110", "T1190"].map(str::to_owned).to_vec(),
            watchers: Vec::new(),
            ignored: Vec::new(),
            grades: SeverityGrades { critical: grade('B', 2), high: grade('B', 3), medium: grade('C', 4), low: grade('D', 4) },
        }
    }
}

/// What an alert of a severity is worth as evidence (Admiralty code).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeverityGrades {
    pub critical: Admiralty,
    pub high: Admiralty,
    pub medium: Admiralty,
    pub low: Admiralty,
}

impl SeverityGrades {
    pub const fn of(&self, severity: u8) -> Admiralty {
        match severity {
            5.. => self.critical,
            4 => self.high,
            3 => self.medium,
            _ => self.low,
        }
    }
}

/// What a draft says about a technique or tactic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// Technique ids (`T1486`; one stands for its sub-techniques) or tactic ids (`TA0011`).
    pub r#for: Vec<String>,
    /// GB/T 20986-2023 code.
    pub category: String,
    pub event: Both,
    pub threat: Both,
    pub impact: Both,
    pub measures: Vec<Both>,
}

/// Measures of one draft.
pub const MEASURES_MAX: usize = 12;

/// The row that fits best: by exact technique, by its parent, by tactic.
pub fn playbook<'t>(rows: &'t [Playbook], techniques: &[String], tactics: &[String]) -> Option<&'t Playbook> {
    let named = |id: &str| rows.iter().find(|row| row.r#for.iter().any(|f| f == id));
    let exact = techniques.iter().find_map(|t| named(t));
    let by_parent = || techniques.iter().find_map(|t| named(attack::parent(t)));
    // The most harmful tactic says what it is about.
    let mut known: Vec<&attack::Tactic> = tactics.iter().filter_map(|t| attack::Tactic::find(t)).collect();
    known.sort_by_key(|t| std::cmp::Reverse(t.stage()));
    let by_tactic =
        || known.iter().find_map(|t| [t.ics, t.enterprise].into_iter().filter(|id| tactics.iter().any(|x| x == id)).find_map(named));
    exact.or_else(by_parent).or_else(by_tactic)
}

impl CampaignTable {
    /// What the types cannot say: key and what is wrong with it.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        let mut say = |key: &str, what: String| out.push((format!("campaign.{key}"), what));
        if !(15..=14 * 1440).contains(&self.window_min) {
            say("window_min", format!("{}: from 15 minutes to 14 days (20160)", self.window_min));
        }
        if self.review_min == 0 || self.review_min > self.window_min {
            say("review_min", format!("{}: from 1 to 'window_min'", self.review_min));
        }
        if self.kept_free >= self.fine_max {
            say("kept_free", format!("{}: must be less than 'fine_max' ({})", self.kept_free, self.fine_max));
        }
        if self.fine_max + self.coarse_max > 200 {
            say("fine_max", format!("{} groups with 'coarse_max'; nobody reads more than 200", self.fine_max + self.coarse_max));
        }
        if !(1..=5).contains(&self.severity_min) {
            say("severity_min", format!("{}: 1 (informational) to 5 (critical)", self.severity_min));
        }
        for id in self.attempts.iter().filter(|id| !is_technique(id)) {
            say("attempts", format!("'{id}' is no technique of ATT&CK; write e.g. T1110"));
        }
        out
    }
}

impl Playbook {
    pub fn problems(rows: &[Self]) -> Vec<(String, String)> {
        let mut out = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for id in rows.iter().flat_map(|r| &r.r#for) {
            if !is_technique(id) && attack::Tactic::find(id).is_none() {
                out.push((
                    "playbook".to_owned(),
                    format!("'{id}' is neither a technique nor a tactic of ATT&CK; write e.g. T1486 or TA0011"),
                ));
            }
            if !seen.insert(id) {
                out.push(("playbook".to_owned(), format!("'{id}' stands in two rows; only the first would ever be used")));
            }
        }
        for row in rows {
            let texts = [&row.event, &row.threat, &row.impact].into_iter().chain(&row.measures);
            if row.measures.is_empty() || row.measures.len() > MEASURES_MAX || texts.clone().any(|t| t.zh.is_empty() || t.en.is_empty()) {
                let name = row.r#for.first().map_or("", String::as_str);
                out.push(("playbook".to_owned(), format!("row '{name}': every text in both languages, and 1 to {MEASURES_MAX} measures")));
            }
        }
        out
    }
}

fn is_technique(id: &str) -> bool {
    id.strip_prefix('T').is_some_and(|n| n.len() >= 4 && n.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}
