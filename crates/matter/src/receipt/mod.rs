//! A unit's receipt of a warning (签收与反馈): sent → delivered → seen → signed → acted → fed back, and ended with the warning.
//!
//! * One for each warning and unit, named after both, opened by the issue; the unit sees this and never the warning. It carries each revision as
//!   the unit may know it: a copy that names no other unit, chained to the unit's copy before and signed by itself. With it stands what was seen
//!   elsewhere and which of the unit's own hosts match (`crate::disclose`), as of that revision.
//! * A receipt binds to a revision. Where a new revision is of a higher level the unit signs again and the limits start anew; an update at the
//!   same level leaves the signature standing.
//! * Not signed in time: the substitute is told, one period later the leader, then the protection department; the city learns of it at the first
//!   step and at the last. No feedback in time: the unit's duty is told again, and the city.
//! * Feedback comes again every so often (`again_min`) unless the unit says it is not affected. Acting or feeding back without having signed
//!   signs: who answers has received.
//! * Nothing is lost: revisions of a warning that is over are kept, and a late signature or feedback is still taken.
//!
//! Limits: `FEEDBACK_MAX` feedbacks of `FEEDBACK_BYTES` in all, `DELIVERIES_MAX` deliveries; a new revision always fits.

mod acts;
mod clock;
#[cfg(test)]
mod tests;
mod words;

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::grade::Level;

pub use acts::{ACTS, Act, Affected, Feedback};

use crate::notice::Step;
use crate::warn::{Broken, Verdict};
use crate::{Book, Both, Card, Desk, Effects, Matter, Refusal, Revision};

pub const FEEDBACK_MAX: usize = 100;
pub const FEEDBACK_BYTES: usize = 160 * 1024;
pub const DELIVERIES_MAX: usize = 100;
pub const TEXT_MAX: usize = 2_000;

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Sent,
    Delivered,
    Seen,
    Signed,
    Acted,
    FedBack,
    /// The warning is over.
    Ended,
}

impl State {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Seen => "seen",
            Self::Signed => "signed",
            Self::Acted => "acted",
            Self::FedBack => "fed_back",
            Self::Ended => "ended",
        }
    }
}

/// A channel got through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub channel: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    /// Revision it was about.
    pub number: u32,
}

/// Who signed, for which revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Person of the unit.
    pub who: String,
    /// Who entered it: the same, or somebody of the city whom they called.
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub number: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// One unit's receipt of one warning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub id: String,
    pub warning: String,
    pub unit: String,
    pub state: State,
    /// Of the newest copy; none: an advisory.
    pub level: Option<Level>,
    #[serde(default)]
    pub exercise: bool,
    /// What the unit was told, oldest first.
    pub copies: Vec<Revision>,
    #[serde(with = "crate::when")]
    pub sent: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Delivery>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
    /// Oldest first; the newest stands if it is of the present level's revisions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed: Vec<Signed>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub acted: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feedback: Vec<Feedback>,
    /// Limits of the present round, which starts with the first revision of this level. None: nothing is awaited.
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub receipt_due: Option<Timestamp>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub feedback_due: Option<Timestamp>,
    /// Since when it is overdue in this round; stays after it came late.
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub receipt_overdue: Option<Timestamp>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub feedback_overdue: Option<Timestamp>,
    /// How far up it went: 0 duty, 1 substitute, 2 leader, 3 protection department.
    #[serde(default)]
    pub escalated: u8,
    /// Reminders of feedback in this round.
    #[serde(default)]
    pub reminded: u32,
    /// First revision of this round: a signature of an earlier one does not count.
    pub round: u32,
}

impl Receipt {
    /// Its name: there is one for each warning and unit.
    pub fn id(warning: &str, unit: &str) -> String {
        crate::id_of(Self::KIND, &[warning, unit])
    }
    /// What the unit was told last.
    pub fn last(&self) -> Option<&Revision> {
        self.copies.last()
    }
    /// The signature that counts now.
    pub fn signature(&self) -> Option<&Signed> {
        self.signed.last().filter(|s| s.number >= self.round)
    }
    /// When it should have been signed for in this round, by the limit its revision states.
    pub fn sign_limit(&self) -> Option<Timestamp> {
        let first = self.copies.iter().find(|c| c.number >= self.round)?;
        (self.state != State::Ended).then(|| self.sent.plus_secs(i64::from(first.receipt_s)))
    }
    /// Words of a person's acts that make sense as it stands, the next step first.
    pub fn sensible(&self) -> Vec<&'static str> {
        let mut words = Vec::new();
        if self.signature().is_none() {
            words.push("sign");
        }
        words.push("feed_back");
        if self.acted.is_none() && self.state != State::Ended {
            words.push("act_on");
        }
        words
    }
    /// Feedback of this round, newest.
    pub fn answer(&self) -> Option<&Feedback> {
        self.feedback.last().filter(|f| f.number >= self.round)
    }
    /// Neither fed back in this round nor marked overdue.
    pub fn is_awaited(&self) -> bool {
        self.state != State::Ended && self.answer().is_none() && self.feedback_overdue.is_none() && self.receipt_overdue.is_none()
    }
    /// Time limits run.
    pub(super) fn running(&self) -> bool {
        self.state != State::Ended
    }

    fn number(&self) -> u32 {
        self.last().map_or(0, |c| c.number)
    }

    /// The next state; never backwards within a round.
    fn reach(&mut self, state: State) {
        if self.state != State::Ended {
            self.state = self.state.max(state);
        }
    }

    /// Takes a copy in: linked to the one before, signed.
    fn take(&mut self, mut copy: Revision, desk: &Desk) {
        copy.previous = self.last().map(|c| c.hash.clone()).unwrap_or_default();
        let copy = crate::warn::sealed(copy, desk.book);
        self.level = copy.level;
        self.copies.push(copy);
    }

    /// Limits as the newest copy states them; everything begins anew.
    fn begin_round(&mut self, desk: &Desk) {
        let Some((number, receipt_s, feedback_s)) = self.last().map(|c| (c.number, c.receipt_s, c.feedback_s)) else { return };
        self.round = number;
        self.state = State::Sent;
        self.sent = desk.now;
        (self.seen, self.acted) = (None, None);
        self.receipt_due = Some(desk.now.plus_secs(i64::from(receipt_s)));
        self.feedback_due = Some(desk.now.plus_secs(i64::from(feedback_s)));
        (self.receipt_overdue, self.feedback_overdue) = (None, None);
        (self.escalated, self.reminded) = (0, 0);
    }

    fn revise(&mut self, copy: Revision, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        if copy.warning != self.warning || copy.units != [self.unit.clone()] {
            return Err(Refusal::because("that revision is another receipt's", "该版本不属于本签收单"));
        }
        if copy.number <= self.number() {
            return Err(Refusal::because("that revision is here already", "该版本已存在"));
        }
        let (before, ends) = (Verdict::issued(self.level), copy.step.ends());
        self.take(copy, desk);
        if ends {
            self.state = State::Ended;
            (self.receipt_due, self.feedback_due) = (None, None);
        } else if Verdict::issued(self.level) > before {
            self.begin_round(desk);
        }
        self.tell_unit(desk, out);
        Ok(())
    }

    /// Nothing was changed in what the unit was told.
    pub fn verify(&self, book: &Book) -> Result<(), Broken> {
        let broken = |(number, why)| Broken { kind: Self::KIND, id: self.id.clone(), number, why };
        crate::warn::chain(&self.copies, &self.warning, false, book).map_err(broken)?;
        match self.copies.iter().find(|c| c.units != [self.unit.clone()]) {
            Some(copy) => Err(broken((copy.number, Both::new("发给了另一单位", "it is addressed to another unit")))),
            None => Ok(()),
        }
    }

    /// The step of the newest copy.
    pub fn step(&self) -> Option<Step> {
        self.last().map(|c| c.step)
    }
}

impl Matter for Receipt {
    const KIND: &'static str = "receipt";
    type Act = Act;

    fn name(act: &Act, desk: &Desk, key: Option<&str>) -> String {
        match act {
            Act::Open { copy } => Self::id(&copy.warning, copy.units.first().map_or("", String::as_str)),
            _ => crate::fresh_id(Self::KIND, act, desk, key),
        }
    }

    fn open(id: &str, act: Act, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal> {
        let Act::Open { copy } = act else {
            return Err(Refusal::because("a receipt is opened by issuing a warning", "签收单由发布预警产生"));
        };
        let [unit] = copy.units.as_slice() else {
            return Err(Refusal::because("a receipt is one unit's", "签收单只属于一个单位"));
        };
        let mut receipt = Self {
            id: id.to_owned(),
            warning: copy.warning.clone(),
            unit: unit.clone(),
            state: State::Sent,
            level: copy.level,
            exercise: copy.exercise,
            copies: Vec::new(),
            sent: desk.now,
            deliveries: Vec::new(),
            seen: None,
            signed: Vec::new(),
            acted: None,
            feedback: Vec::new(),
            receipt_due: None,
            feedback_due: None,
            receipt_overdue: None,
            feedback_overdue: None,
            escalated: 0,
            reminded: 0,
            round: 0,
        };
        receipt.take(*copy, desk);
        receipt.begin_round(desk);
        receipt.tell_unit(desk, out);
        Ok(receipt)
    }

    fn act(&mut self, act: Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        self.carry(act, desk, out)
    }

    fn lapse(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        self.tick(desk, out);
        Ok(())
    }

    fn card(&self) -> Card {
        Card {
            state: self.state.name(),
            closed: self.state == State::Ended,
            level: self.level,
            title: self.last().map(|c| c.notice.title.clone()).unwrap_or_default(),
            units: vec![self.unit.clone()],
            exercise: self.exercise,
            due: self.due(),
            links: vec![self.warning.clone()],
        }
    }
}
