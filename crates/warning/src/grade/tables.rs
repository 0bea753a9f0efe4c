//! The tables a warning is graded by: data an operator edits, each with its source and the day it counts from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Colour of a warning, the lowest first: 蓝 IV, 黄 III, 橙 II, 红 I (GB/T 32924-2016 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Blue,
    Yellow,
    Orange,
    Red,
}

impl Level {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Yellow => "yellow",
            Self::Orange => "orange",
            Self::Red => "red",
        }
    }

    /// The next lower one.
    pub const fn below(self) -> Option<Self> {
        match self {
            Self::Blue => None,
            Self::Yellow => Some(Self::Blue),
            Self::Orange => Some(Self::Yellow),
            Self::Red => Some(Self::Orange),
        }
    }
}

/// Importance of a protected object: 一般, 重要, 特别重要.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    Ordinary = 1,
    Important = 2,
    EspeciallyImportant = 3,
}

impl Importance {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Important => "important",
            Self::EspeciallyImportant => "especially_important",
        }
    }

    pub(super) const fn above(self) -> Self {
        match self {
            Self::Ordinary => Self::Important,
            Self::Important | Self::EspeciallyImportant => Self::EspeciallyImportant,
        }
    }
}

/// Everything a warning is graded by; the file that ships is `config/grading.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tables {
    pub matrix: Matrix,
    pub importance: ImportanceTable,
    pub damage: DamageTable,
    pub certainty: CertaintyTable,
    pub floor: FloorTable,
    pub priority: PriorityTable,
    pub authority: AuthorityTable,
}

/// Levels by importance and damage; a row is degrees 1 to 4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    pub source: String,
    pub effective_from: String,
    pub especially_important: [Level; 4],
    pub important: [Level; 4],
    pub ordinary: [Level; 4],
}

impl Matrix {
    /// `None` where there is no damage to warn of.
    pub fn level(&self, importance: Importance, degree: u8) -> Option<Level> {
        let row = match importance {
            Importance::EspeciallyImportant => &self.especially_important,
            Importance::Important => &self.important,
            Importance::Ordinary => &self.ordinary,
        };
        row.get(usize::from(degree).checked_sub(1)?).copied()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportanceTable {
    pub source: String,
    pub effective_from: String,
    pub especially_important_mlps: u8,
    pub important_mlps: u8,
    pub cii: Importance,
    pub unknown: Importance,
    pub serves_cii: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DamageTable {
    pub source: String,
    pub effective_from: String,
    pub units: usize,
    pub sectors: usize,
    pub cii: usize,
    pub epss: f64,
    pub row: Vec<DamageRow>,
}

/// One row: evidence of any of these, on at least `objects` objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DamageRow {
    pub degree: u8,
    #[serde(default)]
    pub tactics: Vec<String>,
    #[serde(default)]
    pub techniques: Vec<String>,
    #[serde(default = "one")]
    pub objects: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertaintyTable {
    pub source: String,
    pub effective_from: String,
    pub alone_below: Admiralty,
    pub from_level: Level,
    pub sources: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloorTable {
    pub source: String,
    pub effective_from: String,
    pub levels: [Level; 4],
}

/// Weights that add up to 100, and of each sector from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorityTable {
    pub source: String,
    pub effective_from: String,
    pub importance: u8,
    pub damage: u8,
    pub spread: u8,
    pub certainty: u8,
    pub sector: u8,
    pub sectors: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityTable {
    pub source: String,
    pub effective_from: String,
    /// None: nobody gave this body the right to issue a colour, and only advisories (风险提示) leave the house.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<Level>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Level>,
}

/// Reliability of a source and credibility of what it says (Admiralty code, NATO AJP-2.1): A1 to F6, the better first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Admiralty {
    pub reliability: char,
    pub credibility: u8,
}

impl Admiralty {
    /// Lower in either part.
    pub fn is_below(self, other: Self) -> bool {
        self.reliability > other.reliability || self.credibility > other.credibility
    }
}

impl TryFrom<String> for Admiralty {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_bytes() {
            [letter @ b'A'..=b'F', number @ b'1'..=b'6'] => Ok(Self { reliability: char::from(*letter), credibility: number - b'0' }),
            _ => Err(format!("'{text}' is no grade of the Admiralty code; write A1 (reliable, confirmed) to F6 (cannot be judged)")),
        }
    }
}

impl From<Admiralty> for String {
    fn from(grade: Admiralty) -> Self {
        format!("{}{}", grade.reliability, grade.credibility)
    }
}

impl Tables {
    /// What the types cannot say: key and what is wrong with it.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        let mut say = |key: &str, what: String| out.push((key.to_owned(), what));
        let matrix = &self.matrix;
        for (key, row) in
            [("especially_important", &matrix.especially_important), ("important", &matrix.important), ("ordinary", &matrix.ordinary)]
        {
            if !row.is_sorted() {
                say(
                    &format!("matrix.{key}"),
                    "more damage must never give a lower level; write the levels of degrees 1, 2, 3, 4".to_owned(),
                );
            }
        }
        let rows = [&matrix.ordinary, &matrix.important, &matrix.especially_important];
        if (0..4).any(|at| !rows.is_sorted_by_key(|row| row.get(at))) {
            say("matrix", "a more important object must never have a lower level".to_owned());
        }
        if !self.floor.levels.is_sorted_by(|a, b| a >= b) {
            say("floor.levels", "grade 1 is the most serious: write levels from the highest to the lowest".to_owned());
        }
        let importance = &self.importance;
        if !(1..=5).contains(&importance.important_mlps) || importance.especially_important_mlps <= importance.important_mlps {
            say("importance.especially_important_mlps", "MLPS levels are 1 to 5, and this one must be above 'important_mlps'".to_owned());
        }
        for (key, n) in [("units", self.damage.units), ("sectors", self.damage.sectors), ("cii", self.damage.cii)] {
            if n < 2 {
                say(&format!("damage.{key}"), format!("{n}: several means 2 or more"));
            }
        }
        if !(0.0..=1.0).contains(&self.damage.epss) {
            say("damage.epss", format!("{}: EPSS is from 0 to 1", self.damage.epss));
        }
        for row in &self.damage.row {
            if !(1..=4).contains(&row.degree) {
                say("damage.row", format!("degree {}: 1 to 4", row.degree));
            }
            let is = |id: &str, head: &str| {
                id.strip_prefix(head).is_some_and(|n| n.len() >= 4 && n.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
            };
            for id in row.tactics.iter().filter(|id| !is(id, "TA")) {
                say("damage.row", format!("'{id}' is no tactic of ATT&CK; write e.g. TA0011"));
            }
            for id in row.techniques.iter().filter(|id| !is(id, "T")) {
                say("damage.row", format!("'{id}' is no technique of ATT&CK; write e.g. T1486"));
            }
            if row.tactics.is_empty() && row.techniques.is_empty() {
                say("damage.row", format!("a row of degree {} names neither tactics nor techniques", row.degree));
            }
        }
        let p = &self.priority;
        let sum: u32 = [p.importance, p.damage, p.spread, p.certainty, p.sector].into_iter().map(u32::from).sum();
        if sum != 100 {
            say("priority", format!("the weights add up to {sum}, not to 100"));
        }
        for (sector, weight) in p.sectors.iter().filter(|(_, w)| !(0.0..=1.0).contains(*w)) {
            say(&format!("priority.sectors.{sector}"), format!("{weight}: from 0 to 1"));
        }
        out
    }
}

const fn one() -> usize {
    1
}
