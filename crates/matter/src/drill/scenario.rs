//! A drill as a file: who plays, what is put in when, what is expected of the players. TOML under `config/drills/`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use warning::grade::{Admiralty, Level, Outcome};

use crate::Both;

pub const ROLES_MAX: usize = 64;
pub const INJECTS_MAX: usize = 200;
pub const EXPECTS_MAX: usize = 100;
/// A drill lasts at most this long.
pub const LENGTH_MIN_MAX: u32 = 7 * 24 * 60;
/// Lines of one inject, bytes of one, and events they make together with their repetitions.
pub const LINES_MAX: usize = 200;
pub const LINE_BYTES_MAX: usize = 8 * 1024;
pub const EVENTS_MAX: usize = 1_000;
const TEXT_MAX: usize = 4_000;

/// `after_s`, `repeat`, `every_s` of a line.
pub(super) fn timing(line: &serde_json::Map<String, serde_json::Value>) -> (i64, usize, i64) {
    let number = |key: &str, or: u64| line.get(key).and_then(serde_json::Value::as_u64).unwrap_or(or);
    let secs = |n: u64| i64::from(u32::try_from(n).unwrap_or(u32::MAX));
    (secs(number("after_s", 0)), usize::try_from(number("repeat", 1)).unwrap_or(usize::MAX), secs(number("every_s", 1)))
}

/// A scenario (脚本).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A word: `ransomware-across-sectors`.
    pub name: String,
    pub title: Both,
    pub about: Both,
    /// After so many minutes it ends by itself and is scored.
    pub length_min: u32,
    /// Parts units play; who plays them is said when the drill is planned. A part nobody plays is told to the city's own people.
    #[serde(default)]
    pub role: Vec<Role>,
    pub inject: Vec<Inject>,
    pub expect: Vec<Expect>,
}

/// A part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    pub id: String,
    pub name: Both,
    pub sector: String,
    #[serde(default)]
    pub mlps: Option<u8>,
    #[serde(default)]
    pub cii: bool,
}

/// Something put in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inject {
    pub id: String,
    /// Minutes after the start.
    pub at_min: u32,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// Something seen at a part: graded with all before it, and where that gives a level a warning is drafted, all of it marked.
    Alert {
        role: String,
        title: Both,
        #[serde(default)]
        tactics: Vec<String>,
        #[serde(default)]
        techniques: Vec<String>,
        #[serde(default)]
        outcome: Outcome,
        source: String,
        #[serde(default = "usually")]
        grade: Admiralty,
    },
    /// News: a call, a rumour, a report.
    Notice { to: String, text: Both },
    /// A question that wants an answer.
    Question { to: String, text: Both },
    /// Lines of events for the drill's own engine (`marked.rs` says how a line reads); none: news that something is to be seen.
    Event {
        role: String,
        text: Both,
        #[serde(default)]
        lines: Vec<serde_json::Value>,
    },
}

/// What is expected. Times count from the inject, the receipt, or the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    pub about: Both,
    #[serde(default = "ten")]
    pub points: u32,
    #[serde(flatten)]
    pub what: Wanted,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Wanted {
    /// Detection: a rule finds the inject's events, somebody says they saw it (`noticed`), or works on the warning after it.
    Detect { inject: String, within_min: u32 },
    /// Judgement: the warning is assessed at this level, counted from the inject.
    Judge { inject: String, level: Level, within_min: u32 },
    /// It is issued at this level or a higher one, counted from the inject. A part of an advisory counts for none.
    Issue { inject: String, level: Level, within_min: u32 },
    /// The unit of a part signs for the warning, counted from its receipt.
    Sign { role: String, within_min: u32 },
    /// The same for feedback.
    FeedBack { role: String, within_min: u32 },
    /// A question is answered; with `any_of`, by one of these words.
    Answer {
        inject: String,
        within_min: u32,
        #[serde(default)]
        any_of: Vec<String>,
    },
    /// Nothing above this level is issued (a benign twin); none: nothing at all.
    Quiet {
        #[serde(default)]
        at_most: Option<Level>,
    },
}

impl Wanted {
    /// What a score is counted under.
    pub const fn part(&self) -> Part {
        match self {
            Self::Detect { .. } => Part::Detection,
            Self::Judge { .. } | Self::Issue { .. } | Self::Answer { .. } | Self::Quiet { .. } => Part::Judgement,
            Self::Sign { .. } | Self::FeedBack { .. } => Part::SignFor,
        }
    }
}

/// Parts of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Detection,
    Judgement,
    SignFor,
}

impl Scenario {
    pub fn role(&self, id: &str) -> Option<&Role> {
        self.role.iter().find(|r| r.id == id)
    }
    pub fn inject(&self, id: &str) -> Option<&Inject> {
        self.inject.iter().find(|i| i.id == id)
    }

    /// What the types cannot say: key and what is wrong with it.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        let mut say = |key: &str, what: String| out.push((key.to_owned(), what));
        let word = |s: &str| !s.is_empty() && s.len() <= 64 && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !word(&self.name) {
            say("name", format!("'{}': a word of letters, digits, '-', '_' and '.', at most 64", self.name));
        }
        if self.length_min == 0 || self.length_min > LENGTH_MIN_MAX {
            say("length_min", format!("{}: 1 to {LENGTH_MIN_MAX} minutes", self.length_min));
        }
        for (key, n, max) in
            [("role", self.role.len(), ROLES_MAX), ("inject", self.inject.len(), INJECTS_MAX), ("expect", self.expect.len(), EXPECTS_MAX)]
        {
            if n > max {
                say(key, format!("{n} entries; at most {max}"));
            }
        }
        if self.inject.is_empty() || self.expect.is_empty() {
            say("inject", "a drill needs at least one inject and one expectation".to_owned());
        }
        let roles: BTreeSet<&str> = self.role.iter().map(|r| r.id.as_str()).collect();
        let injects: BTreeSet<&str> = self.inject.iter().map(|i| i.id.as_str()).collect();
        if roles.len() != self.role.len() || injects.len() != self.inject.len() {
            say("inject", "two roles or two injects have the same id".to_owned());
        }
        for text in [&self.title, &self.about].into_iter().chain(self.inject.iter().map(|i| i.what.text())) {
            if text.is_empty() || text.zh.chars().count().max(text.en.chars().count()) > TEXT_MAX {
                say("title", format!("texts are there in one language at least, with at most {TEXT_MAX} characters"));
            }
        }
        for inject in &self.inject {
            if !word(&inject.id) {
                say("inject", format!("id '{}': a word", inject.id));
            }
            if inject.at_min > self.length_min {
                say("inject", format!("'{}' comes at minute {}, after the end", inject.id, inject.at_min));
            }
            let to = match &inject.what {
                What::Alert { role, .. } | What::Event { role, .. } => role,
                What::Notice { to, .. } | What::Question { to, .. } => to,
            };
            let city = to == "city" && !matches!(inject.what, What::Alert { .. });
            if !city && !roles.contains(to.as_str()) {
                say("inject", format!("'{}' goes to '{to}', which is neither a role nor 'city'", inject.id));
            }
        }
        for inject in &self.inject {
            let What::Event { role, lines, .. } = &inject.what else { continue };
            let objects: Vec<_> = lines.iter().filter_map(serde_json::Value::as_object).collect();
            let large = lines.iter().any(|l| l.to_string().len() > LINE_BYTES_MAX);
            if objects.len() != lines.len() || lines.len() > LINES_MAX || large {
                say("inject", format!("'{}': lines are objects of at most {LINE_BYTES_MAX} bytes, at most {LINES_MAX} of them", inject.id));
            }
            let timed = ["after_s", "repeat", "every_s"];
            let wrong =
                objects.iter().flat_map(|o| timed.iter().filter_map(|key| o.get(*key))).any(|n| n.as_u64().is_none_or(|n| n > 86_400));
            let events: usize = objects.iter().map(|o| timing(o).1).fold(0, usize::saturating_add);
            if wrong || events > EVENTS_MAX {
                say(
                    "inject",
                    format!(
                        "'{}': {events} events; at most {EVENTS_MAX}, with 'after_s', 'repeat' and 'every_s' from 0 to 86400",
                        inject.id
                    ),
                );
            }
            if !lines.is_empty() && !roles.contains(role.as_str()) {
                say("inject", format!("'{}': events happen at a role", inject.id));
            }
        }
        for expect in &self.expect {
            let wrong = match &expect.what {
                Wanted::Detect { inject, .. } | Wanted::Judge { inject, .. } | Wanted::Issue { inject, .. } => {
                    !injects.contains(inject.as_str())
                }
                Wanted::Answer { inject, .. } => !self.inject(inject).is_some_and(|i| matches!(i.what, What::Question { .. })),
                Wanted::Sign { role, .. } | Wanted::FeedBack { role, .. } => !roles.contains(role.as_str()),
                Wanted::Quiet { .. } => false,
            };
            if wrong {
                say(
                    "expect",
                    format!("'{}' names an inject or role that is not there (an answer needs a question)", expect.about.pick(false)),
                );
            }
        }
        out
    }
}

impl What {
    /// What it says.
    pub const fn text(&self) -> &Both {
        match self {
            Self::Alert { title, .. } => title,
            Self::Notice { text, .. } | Self::Question { text, .. } | Self::Event { text, .. } => text,
        }
    }
}

const fn ten() -> u32 {
    10
}

fn usually() -> Admiralty {
    Admiralty { reliability: 'B', credibility: 2 }
}
