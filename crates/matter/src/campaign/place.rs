//! Which group an alert belongs to, so that a desk is never flooded with groups.
//!
//! Three widths. **Fine**: technique, indicator (else the one source address, else the rule), direction. **Coarse**: technique and direction.
//! **Tactic**: one for each tactic. For each width from the finest, an alert joins the open group that
//! fits, else opens one if there is room, else goes on to the next.
//! With the shipped limits that is 20 + 10 + 17 = 47 open groups at most, whatever comes in; six of the fine ones are kept for grave alerts, so that a
//! flood of trifles does not push the one that counts into a wide group. Exercises have places of their own.

use serde::{Deserialize, Serialize};

use super::{CampaignTable, Direction, Sighting};
use crate::attack::{self, Tactic};
use crate::{Both, Refusal, Shelf};

/// Addresses and indicators by which other groups find this one.
pub const LINKED_MAX: usize = 16;

/// What the alerts of a group share; empty: anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub width: Width,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub technique: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tactic: String,
    /// Indicator or source address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub indicator: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exercise: bool,
    /// Two drills at a time share nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub drill: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Width {
    Fine,
    Coarse,
    Tactic,
}

/// Link of all open ones.
pub const fn open_link(exercise: bool) -> &'static str {
    if exercise { "open:exercise" } else { "open" }
}

impl Group {
    /// The link by which groups of the same source find each other, each drill's its own.
    pub fn from_link(&self, value: &str) -> String {
        self.link("from", value)
    }
    /// The same for an object where something was reached.
    pub fn object_link(&self, object: &str) -> String {
        self.link("on", object)
    }
    fn link(&self, word: &str, value: &str) -> String {
        if self.exercise { format!("exercise-{word}:{}:{value}", self.drill) } else { format!("{word}:{value}") }
    }
}

impl Group {
    /// The groups an alert fits into, the finest first.
    pub fn of(s: &Sighting) -> [Self; 3] {
        let technique = s.techniques.first().map_or("", |t| attack::parent(t)).to_owned();
        let tactic = s.tactics.iter().filter_map(|t| Tactic::find(t)).max_by_key(|t| t.stage()).map_or("other", |t| t.word).to_owned();
        let indicator = s.indicator.clone().or_else(|| match s.from.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        });
        let rule = if indicator.is_none() { s.rule.clone() } else { String::new() };
        let empty = Self {
            width: Width::Tactic,
            technique: String::new(),
            tactic: String::new(),
            indicator: String::new(),
            rule: String::new(),
            direction: None,
            exercise: s.exercise,
            drill: s.drill.clone(),
        };
        let head = if technique.is_empty() { tactic.clone() } else { String::new() };
        [
            Self {
                width: Width::Fine,
                technique: technique.clone(),
                tactic: head.clone(),
                indicator: indicator.unwrap_or_default(),
                rule,
                direction: Some(s.direction),
                ..empty.clone()
            },
            Self { width: Width::Coarse, technique, tactic: head, direction: Some(s.direction), ..empty.clone() },
            Self { tactic, ..empty },
        ]
    }

    /// The link an open group is found by.
    pub fn key(&self) -> String {
        let direction = self.direction.map_or("", Direction::name);
        let parts = [&*format!("{:?}", self.width), &self.technique, &self.tactic, &self.indicator, &self.rule, direction];
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(&[u8::from(self.exercise)]);
        hasher.update(self.drill.as_bytes());
        format!("group:{}", &hasher.finalize().to_hex()[..24])
    }

    pub fn title(&self, first: &Sighting) -> Both {
        let tactic = Tactic::find(&self.tactic).map_or_else(|| Both::new("其他活动", "other activity"), Tactic::name);
        match (self.width, self.indicator.is_empty()) {
            (Width::Fine, true) => first.title.clone(),
            (Width::Fine, false) => {
                Both::new(format!("{}：{}", first.title.zh, self.indicator), format!("{}: {}", first.title.en, self.indicator))
            }
            (Width::Coarse, _) if self.technique.is_empty() => {
                Both::new(format!("{}（合并）", tactic.zh), format!("{} (several)", tactic.en))
            }
            (Width::Coarse, _) => Both::new(format!("{}：多来源（合并）", self.technique), format!("{}: several sources", self.technique)),
            (Width::Tactic, _) => Both::new(format!("{}（合并）", tactic.zh), format!("{} (several)", tactic.en)),
        }
    }
}

/// Open groups as they were when a batch began, with those it opened.
pub struct Open {
    fine: usize,
    coarse: usize,
}

impl Open {
    pub fn count(shelf: &dyn Shelf, exercise: bool) -> Result<Self, Refusal> {
        let mut open = Self { fine: 0, coarse: 0 };
        for id in shelf.linked("campaign", open_link(exercise))? {
            let Some(stored) = shelf.get("campaign", &id)? else { continue };
            if let Some(width) = stored.body.pointer("/group/width").and_then(|w| serde_json::from_value(w.clone()).ok()) {
                open.opened(width);
            }
        }
        Ok(open)
    }
    pub const fn opened(&mut self, width: Width) {
        match width {
            Width::Fine => self.fine += 1,
            Width::Coarse => self.coarse += 1,
            Width::Tactic => {}
        }
    }
    /// Whether another of this width may be opened.
    pub const fn room(&self, table: &CampaignTable, width: Width, grave: bool) -> bool {
        match width {
            Width::Fine if grave => self.fine < table.fine_max,
            Width::Fine => self.fine < table.fine_max.saturating_sub(table.kept_free),
            Width::Coarse => self.coarse < table.coarse_max,
            Width::Tactic => true,
        }
    }
}
