//! The tables of statutory reporting in `config/desk.toml`: which clocks there are (`[[clock]]`), what an incident's grade follows from
//! (`[[grade_guide.row]]`), and what is shown beside them (`[reporting]`). Data: each row with its source and the day it counts from.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Both;

/// Clocks in the table.
pub const ROWS_MAX: usize = 200;

/// One clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockRow {
    /// E.g. `CN-CII-1`.
    pub id: String,
    /// Kinds of operator it binds: `cii`, `government`, `other`, … The words that occur in the table are the ones there are.
    pub operator: Vec<String>,
    /// Grades of incident it is for: 1 特别重大, 2 重大, 3 较大, 4 一般.
    pub grades: Vec<u8>,
    #[serde(default)]
    pub only_if: Condition,
    pub from: From,
    /// For `from = "received"`: the clock whose report is received.
    #[serde(default)]
    pub after: String,
    /// Who reports, in words, and whom of the unit's line to page.
    pub by: Both,
    #[serde(default = "duty")]
    pub page: String,
    /// Who is reported to.
    pub to: Vec<Both>,
    /// None: "promptly", without a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_min: Option<u32>,
    /// Until handling ends, again every so often; 0: once.
    #[serde(default)]
    pub again_min: u32,
    pub about: Both,
    pub source: String,
    pub effective_from: String,
}

/// What must be so besides operator and grade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    #[default]
    Always,
    SuspectedCrime,
    ProductFlaw,
}

/// What starts a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// Somebody became aware (发现或获知).
    Awareness,
    /// The report of another clock was received.
    Received,
    /// A first report was made that left something open.
    Reported,
    /// Handling ended.
    Handled,
}

/// What is shown beside the clocks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reporting {
    pub source: String,
    pub effective_from: String,
    /// Where to report by telephone.
    pub hotline: String,
    /// What timely reporting is worth, and what silence costs.
    pub hint: Both,
}

/// What an incident's grade follows from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradeGuide {
    pub source: String,
    pub effective_from: String,
    pub row: Vec<GuideRow>,
}

/// From how much on the grade is 1, 2 or 3; the number itself counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuideRow {
    /// E.g. `cii_main_function_min`.
    pub measure: String,
    pub about: Both,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade_1: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade_2: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade_3: Option<f64>,
    /// Where a number stands only in the draft of the rule.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// How far an incident reached, by measure.
pub type Impact = BTreeMap<String, f64>;

/// A grade and the row that gave it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graded {
    pub grade: u8,
    /// None: no row reached, which is grade 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<String>,
    #[serde(default)]
    pub value: f64,
    /// The number that was reached.
    #[serde(default)]
    pub from: f64,
    pub source: String,
}

impl GradeGuide {
    /// The most serious grade any measure reaches. Measures nobody knows are the caller's to refuse ([`GradeGuide::measures`]).
    pub fn grade(&self, impact: &Impact) -> Graded {
        let reached = impact.iter().filter_map(|(measure, value)| {
            let row = self.row.iter().find(|r| r.measure == *measure)?;
            let steps = [(1, row.grade_1), (2, row.grade_2), (3, row.grade_3)];
            steps.into_iter().find_map(|(grade, from)| from.filter(|from| value >= from).map(|from| (grade, measure, *value, from)))
        });
        let source = self.source.clone();
        match reached.min_by_key(|(grade, ..)| *grade) {
            Some((grade, measure, value, from)) => Graded { grade, measure: Some(measure.clone()), value, from, source },
            None => Graded { grade: 4, measure: None, value: 0.0, from: 0.0, source },
        }
    }

    pub fn measures(&self) -> impl Iterator<Item = &str> {
        self.row.iter().map(|r| r.measure.as_str())
    }
}

impl ClockRow {
    pub fn applies(&self, operator: &str, grade: u8, crime: bool, flaw: bool) -> bool {
        let so = match self.only_if {
            Condition::Always => true,
            Condition::SuspectedCrime => crime,
            Condition::ProductFlaw => flaw,
        };
        so && self.operator.iter().any(|o| o == operator) && self.grades.contains(&grade)
    }
}

/// What the types cannot say: key and what is wrong with it.
pub fn problems(rows: &[ClockRow], guide: &GradeGuide) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut say = |id: &str, what: String| out.push(("clock".to_owned(), format!("'{id}': {what}")));
    let ids: BTreeSet<&str> = rows.iter().map(|r| r.id.as_str()).collect();
    if ids.len() != rows.len() {
        say("id", "two clocks have the same id".to_owned());
    }
    if rows.len() > ROWS_MAX {
        say("id", format!("{} clocks; at most {ROWS_MAX}", rows.len()));
    }
    for row in rows {
        if row.operator.is_empty() || row.grades.is_empty() || row.to.is_empty() {
            say(&row.id, "it needs 'operator', 'grades' and 'to'; without them it binds nobody".to_owned());
        }
        if let Some(grade) = row.grades.iter().find(|g| !(1..=4).contains(*g)) {
            say(&row.id, format!("grade {grade}: 1 (特别重大), 2 (重大), 3 (较大) or 4 (一般)"));
        }
        if (row.from == From::Received) == row.after.is_empty() {
            say(&row.id, "'after' names the clock whose report is received, and is there for from = \"received\" only".to_owned());
        }
        if !row.after.is_empty() && !rows.iter().any(|r| r.id == row.after && r.from == From::Awareness) {
            say(&row.id, format!("after = '{}' is no clock that starts with awareness", row.after));
        }
        if row.limit_min == Some(0) {
            say(&row.id, "limit_min = 0: leave it out where the rule says \"promptly\" without a number".to_owned());
        }
        if !["duty", "protection"].contains(&row.page.as_str()) {
            say(&row.id, format!("page = '{}': 'duty' or 'protection'", row.page));
        }
        if row.source.is_empty() || event::Timestamp::parse_rfc3339(&format!("{}T00:00:00Z", row.effective_from)).is_none() {
            say(&row.id, "it needs its 'source' and the day it counts from, e.g. effective_from = \"2025-11-01\"".to_owned());
        }
    }
    for row in &guide.row {
        let steps: Vec<f64> = [row.grade_1, row.grade_2, row.grade_3].into_iter().flatten().collect();
        if steps.is_empty() || !steps.is_sorted_by(|a, b| a > b) {
            let what = "numbers fall from grade_1 to grade_3, and there is at least one";
            out.push(("grade_guide.row".to_owned(), format!("'{}': {what}", row.measure)));
        }
    }
    out
}

fn duty() -> String {
    "duty".to_owned()
}
