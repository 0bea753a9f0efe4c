//! A warning (预警): draft → assessing → approving → issued → lifted | expired | cancelled.
//!
//! * Three levels are kept apart: what the tables recommend, what a person assessed (研判) with the reason where they differ, what was issued.
//! * What is issued is a [`Revision`]: signed, numbered, chained to the one before, never changed. Updates, upgrades, downgrades, extensions and
//!   the end are further revisions. Each goes to the units as a receipt of their own (`crate::receipt`), with what that unit may learn.
//! * Orange and red (`[release]`) need a second person: one who neither drafted, edited, assessed nor submitted it. So does any step down from
//!   there. An extension changes nothing that was approved and needs none; an end needs the right to release.
//! * The authority table says how high this body may issue. Above it a person proposes upward (建议上报) and the members get an advisory; a
//!   superior's answer may grant more for this one warning. Without an authority only advisories leave the house.
//! * Up at once: a higher recommendation makes the next revision's draft, which a person confirms. Down by one step, after the judgement has
//!   stayed lower for the dwell time of the level and every CII unit told has fed back or is overdue. The newest judgement counts, the tables'
//!   or a person's; a recommendation that only repeats itself is none.
//! * Lifted by the body that issued it (谁发布谁解除), when nothing worth a warning was seen for the quiet time and no order is open, or with a
//!   reason that says why all the same. Past its validity it stays issued, marked overdue, and reminds ever less often; only an advisory or a
//!   blue one ends by itself, after as long again. Yellow and above never end without a person.
//!
//! Limits: `UNITS_MAX` units, a notice of `NOTICE_BYTES_MAX`, `ROOM_BYTES` of revisions: then the way out is a new warning. An end always fits.

mod acts;
mod clock;
mod content;
mod draft;
mod elsewhere;
mod issued;
mod publish;
mod recommend;
#[cfg(test)]
pub(crate) mod tests;
mod words;

use std::collections::BTreeSet;

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::grade::{Case, Level, Recommendation};

pub use acts::{ACTS, Act};
pub use content::Wish;
pub use publish::{Broken, accord, verify};
pub(crate) use publish::{chain, sealed};
pub use words::level_name;

use crate::notice::{Certainty, Step};
use crate::{Both, Card, Desk, Effects, Matter, Notice, Pap, Refusal, Revision, Tlp};

/// Units one warning goes to.
pub const UNITS_MAX: usize = 1_000;
/// A notice as JSON.
pub const NOTICE_BYTES_MAX: usize = 24 * 1024;
/// All revisions as JSON; past it only an end is accepted.
pub const ROOM_BYTES: usize = 600 * 1024;
/// A text a person gives: a reason, a note; characters.
pub const TEXT_MAX: usize = 2_000;
/// Notes; persons with a hand in one revision; changes of the recommendation that are remembered.
pub const NOTES_MAX: usize = 100;
pub const HANDS_MAX: usize = 64;
pub const MARKS_MAX: usize = 100;
/// A case as JSON that is kept with the recommendation; of a larger one its hash.
pub const CASE_BYTES_MAX: usize = 64 * 1024;

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Draft,
    Assessing,
    Approving,
    Issued,
    Lifted,
    Expired,
    Cancelled,
}

impl State {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Assessing => "assessing",
            Self::Approving => "approving",
            Self::Issued => "issued",
            Self::Lifted => "lifted",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
    pub const fn closed(self) -> bool {
        matches!(self, Self::Lifted | Self::Expired | Self::Cancelled)
    }
}

/// What somebody judges it to be, the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to warn of.
    None,
    /// 风险提示
    Advisory,
    Blue,
    Yellow,
    Orange,
    Red,
}

impl Verdict {
    pub const fn level(self) -> Option<Level> {
        match self {
            Self::None | Self::Advisory => None,
            Self::Blue => Some(Level::Blue),
            Self::Yellow => Some(Level::Yellow),
            Self::Orange => Some(Level::Orange),
            Self::Red => Some(Level::Red),
        }
    }
    pub const fn of(level: Level) -> Self {
        match level {
            Level::Blue => Self::Blue,
            Level::Yellow => Self::Yellow,
            Level::Orange => Self::Orange,
            Level::Red => Self::Red,
        }
    }
    /// What the tables recommend; nothing is nothing to warn of.
    pub const fn recommended(level: Option<Level>) -> Self {
        match level {
            Some(level) => Self::of(level),
            None => Self::None,
        }
    }
    /// What a revision was issued as; no colour is an advisory.
    pub const fn issued(level: Option<Level>) -> Self {
        match level {
            Some(level) => Self::of(level),
            None => Self::Advisory,
        }
    }
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Advisory => "advisory",
            Self::Blue => "blue",
            Self::Yellow => "yellow",
            Self::Orange => "orange",
            Self::Red => "red",
        }
    }
}

/// Whose right it is issued by (`[authority]` of the grading tables).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authority {
    #[default]
    City,
    /// The power sector's office, to units of its sector.
    Power,
}

/// What the tables recommend, newest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommended {
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    #[serde(flatten)]
    pub recommendation: Recommendation,
    /// Units concerned as far as known then.
    pub concerned: Vec<String>,
    /// What was graded, where it is small enough to keep, and the BLAKE3 of its JSON, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<Box<Case>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub case_hash: String,
}

impl Recommended {
    pub fn verdict(&self) -> Verdict {
        Verdict::recommended(self.recommendation.level)
    }
}

/// A change of the recommended level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub level: Verdict,
}

/// What a person made of it (研判).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessed {
    pub level: Verdict,
    /// Recommended at that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommended: Option<Verdict>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
}

/// The next revision while people work on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    pub step: Step,
    /// draft, assessing or approving.
    pub stage: State,
    pub notice: Notice,
    pub certainty: Certainty,
    pub tlp: Tlp,
    pub pap: Pap,
    pub units: Vec<String>,
    pub sectors: Vec<String>,
    /// As assessed for this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Verdict>,
    /// Why there is this revision.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub drafted_by: String,
    #[serde(with = "crate::when")]
    pub drafted_at: Timestamp,
    /// Persons who had a hand in it: none of them is the second person.
    pub hands: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Said>,
    /// Why it came back from approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<Said>,
    /// When the people it waits for are reminded.
    pub reminder: Reminder,
}

/// Something a person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// The next reminder; each waits twice as long as the one before, up to 64 times the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminder {
    #[serde(with = "crate::when")]
    pub next: Timestamp,
    pub sent: u32,
}

/// Since when something holds, and whether people were told that it has held long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    #[serde(with = "crate::when")]
    pub since: Timestamp,
    pub told: bool,
}

/// A proposal upward (建议上报) and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub level: Verdict,
    pub to: Both,
    pub reason: String,
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// What the superior said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub accepted: bool,
    /// Highest level granted for this warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Verdict>,
    /// Document or call it rests on.
    pub reference: String,
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
}

/// One warning with all its revisions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    pub id: String,
    pub state: State,
    pub authority: Authority,
    /// What it is about, where the desk found it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
    #[serde(default)]
    pub exercise: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommended: Option<Recommended>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recommendations: Vec<Mark>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assessed: Option<Assessed>,
    /// As the newest revision has it; none: never issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_level: Option<Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<Draft>,
    /// Oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// The newest judgement, and since when it has been lower than issued, or below blue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<Since>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Since>,
    /// The highest recommendation a person has decided on, and units they decided not to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Verdict>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub declined: BTreeSet<String>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub review_due: Option<Timestamp>,
    /// When people are told that it has been lower, or quiet, for long enough.
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub told_due: Option<Timestamp>,
    /// Past its validity: the next reminder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<Reminder>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Said>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Said>,
}

impl Warning {
    /// The newest revision.
    pub fn last(&self) -> Option<&Revision> {
        self.revisions.last()
    }
    /// The text as it is, or will be.
    pub fn title(&self) -> Both {
        let newest = self.last().map(|r| &r.notice).or(self.draft.as_ref().map(|d| &d.notice));
        newest.map(|n| n.title.clone()).unwrap_or_default()
    }
    /// The level shown in lists: issued, else assessed, else recommended.
    pub fn shown(&self) -> Option<Level> {
        let judged = || self.assessed.as_ref().map(|a| a.level).or_else(|| self.recommended.as_ref().map(Recommended::verdict));
        self.issued_level.or_else(judged).and_then(Verdict::level)
    }
    /// Words of the acts that make sense as it stands, the next step first. Whether they are accepted is still decided when they are done.
    pub fn sensible(&self) -> Vec<&'static str> {
        let mut words: Vec<&'static str> = Vec::new();
        let issued = !self.revisions.is_empty();
        match &self.draft {
            _ if self.state.closed() => return vec!["note"],
            Some(draft) if draft.stage == State::Approving => {
                words.extend(["approve", "return", "issue", "discard"]);
            }
            Some(draft) if draft.level.is_some() => words.extend(["issue", "submit", "propose", "assess", "edit", "discard"]),
            Some(_) => words.extend(["assess", "edit", "discard"]),
            None => words.extend(["assess", "update", "upgrade", "downgrade"]),
        }
        if self.proposal.as_ref().is_some_and(|p| p.answer.is_none()) {
            words.push("answer");
        }
        if issued {
            words.push("extend");
            words.extend(self.overdue.map(|_| "expire"));
            words.push("lift");
        }
        words.extend(["cancel", "note"]);
        words
    }
    /// After each act: the state follows from draft and revisions.
    fn settle(&mut self) {
        self.state = match (self.last().map(|r| r.step), &self.draft) {
            (Some(Step::Lift), _) => State::Lifted,
            (Some(Step::Expire), _) => State::Expired,
            (Some(Step::Cancel), _) | (None, None) => State::Cancelled,
            (Some(_), _) => State::Issued,
            (None, Some(draft)) => draft.stage,
        };
    }
}

impl Matter for Warning {
    const KIND: &'static str = "warning";
    type Act = Act;

    fn name(act: &Act, desk: &Desk, key: Option<&str>) -> String {
        match act {
            Act::Draft(wish) => content::name(wish, desk, act, key),
            _ => crate::fresh_id(Self::KIND, act, desk, key),
        }
    }

    fn open(id: &str, act: Act, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal> {
        let Act::Draft(wish) = act else {
            return Err(Refusal::because("only 'draft' opens a warning", "只有“草拟”可以新建预警"));
        };
        Self::begin(id, *wish, desk, out)
    }

    fn act(&mut self, act: Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        // What the desk learns of a warning that is over changes nothing and stops nobody.
        if self.state.closed() && !matches!(act, Act::Note { .. } | Act::Recommend(_)) {
            return Err(Refusal::because(
                format!("the warning is {}; draft a new one", self.state.name()),
                format!("预警{}，请另行草拟", words::state_zh(self.state)),
            ));
        }
        match act {
            Act::Draft(_) => return Err(Refusal::because("'draft' only opens a new warning", "“草拟”只能新建预警")),
            Act::Recommend(wish) => self.recommend(*wish, desk, out)?,
            Act::Edit(wish) => self.edit(*wish, desk)?,
            Act::Assess { level, reason, certainty } => self.assess(level, reason, certainty, desk)?,
            Act::Submit {} => self.submit(desk, out)?,
            Act::Approve { note, issue } => self.approve(note, issue, desk, out)?,
            Act::Return { reason } => self.give_back(reason, desk, out)?,
            Act::Issue {} => self.issue(desk, out)?,
            Act::Discard { reason } => self.discard(reason, desk)?,
            Act::Propose { reason, no_advisory } => self.propose(reason, !no_advisory, desk, out)?,
            Act::Answer { accepted, level, reference } => self.answer(accepted, level, reference, desk, out)?,
            Act::Update(wish) => self.update(*wish, desk, out)?,
            Act::Upgrade(wish) => self.upgrade(*wish, desk, out)?,
            Act::Downgrade(wish) => self.downgrade(*wish, desk, out)?,
            Act::Extend { reason } => self.extend(reason, desk, out)?,
            Act::Lift { reason, override_reason } => self.lift(reason, override_reason, desk, out)?,
            Act::Cancel { reason } => self.cancel(reason, desk, out)?,
            Act::Expire { reason } => self.expire(reason, desk, out)?,
            Act::Note { text } => self.note(text, desk)?,
        }
        self.plan(desk);
        self.settle();
        Ok(())
    }

    fn lapse(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        self.tick(desk, out)?;
        self.plan(desk);
        self.settle();
        Ok(())
    }

    fn card(&self) -> Card {
        Card {
            state: self.state.name(),
            closed: self.state.closed(),
            level: self.shown(),
            title: self.title(),
            // The city's business: what a unit learns of it is in its receipt.
            units: Vec::new(),
            exercise: self.exercise,
            due: self.due(),
            links: self.campaign.iter().chain(&self.drill).cloned().collect(),
        }
    }
}
