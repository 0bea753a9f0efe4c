//! The counting rule of bulletins, as one pure function over facts.
//!
//! In the spirit of GB/T 37027-2025, which keeps attacks and incidents apart and counts each once:
//! * **Attack**: a campaign counts once, in the period in which it began, whatever number of alerts, hosts and units it has. Alerts are counted
//!   beside it as the desk's work, never added to it. For each sector it counts once in every sector it reached.
//! * **Incident**: counts once, when it was confirmed, under the grade and category it has at the time of counting.
//! * **Warning**: counts once, when it was first issued, under that level; later revisions are counted as steps.
//! * **Receipts, orders, clocks**: asked of those whose limit fell into the period: in time, late, still owed at its end.
//! * **Times** are of what was finished in the period: first evidence → issued (to warn), issued → delivered (to notice), sent → signed, sent → fed
//!   back. p50 and p90 by nearest rank; none where nothing was finished.
//! * **False**: warnings cancelled in the period (撤销: issued in error).
//! * What belongs to a drill is left out of everything but the number of drills.

use std::collections::BTreeMap;

use event::{SECOND_NS, Timestamp};
use serde::{Deserialize, Serialize};

use super::period::Period;
use crate::Both;

/// Rows of a list in a bulletin; what is beyond is counted.
pub const LIST_MAX: usize = 200;
/// Keys of a table by sector, category, technique.
pub const KEYS_MAX: usize = 64;

/// What is counted. Everything the desk has that touches the period or the one before; more does no harm.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    pub alerts: Vec<AlertFact>,
    pub campaigns: Vec<CampaignFact>,
    /// Event time of the first evidence of each campaign, by id.
    pub began: BTreeMap<String, Timestamp>,
    pub incidents: Vec<IncidentFact>,
    pub warnings: Vec<WarningFact>,
    pub receipts: Vec<ReceiptFact>,
    pub orders: Vec<OrderFact>,
    pub clocks: Vec<ClockFact>,
    pub drills: Vec<DrillFact>,
    /// As of now: the desk keeps no history of it.
    pub coverage: Coverage,
    pub blind: Vec<Blind>,
    pub gaps: Vec<Gap>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlertFact {
    pub opened: Timestamp,
    pub exercise: bool,
    /// Empty: not closed.
    pub close_reason: String,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct CampaignFact {
    pub first: Timestamp,
    pub exercise: bool,
    pub sectors: Vec<String>,
    pub units: usize,
    pub techniques: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct IncidentFact {
    pub confirmed: Option<Timestamp>,
    pub closed: Option<Timestamp>,
    pub exercise: bool,
    pub grade: u8,
    pub category: String,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct WarningFact {
    pub id: String,
    pub exercise: bool,
    pub first_evidence: Option<Timestamp>,
    /// Step and level of each revision, oldest first; an advisory's level is `advisory`.
    pub steps: Vec<(Timestamp, String, String)>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReceiptFact {
    pub exercise: bool,
    pub unit: String,
    pub sent: Timestamp,
    pub delivered: Option<Timestamp>,
    pub sign_by: Option<Timestamp>,
    pub signed: Option<Timestamp>,
    pub feedback_by: Option<Timestamp>,
    pub fed_back: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct OrderFact {
    pub exercise: bool,
    pub issued: Timestamp,
    pub deadline: Timestamp,
    pub fed_back: Option<Timestamp>,
    pub closed: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClockFact {
    pub exercise: bool,
    pub id: String,
    pub deadline: Option<Timestamp>,
    pub met: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct DrillFact {
    pub ended: Timestamp,
    pub points: u32,
    pub of: u32,
}

/// Who is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    pub units: u64,
    pub units_watched: u64,
    pub assets: u64,
    pub assets_watched: u64,
    pub agents: u64,
    pub agents_silent: u64,
}

/// A unit nothing is seen of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blind {
    pub unit: String,
    pub why: Both,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Records that should be held and are not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    pub unit: String,
    pub what: Both,
}

/// What a bulletin says, with the period before beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub now: Counts,
    pub before: Counts,
    pub coverage: Coverage,
    pub blind: Vec<Blind>,
    pub blind_beyond: u64,
    pub gaps: Vec<Gap>,
    pub gaps_beyond: u64,
}

/// Figures of one period.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Counts {
    pub alerts: u64,
    pub alerts_closed: BTreeMap<String, u64>,
    /// Campaigns: an attack counts once.
    pub attacks: u64,
    pub attacks_by_sector: BTreeMap<String, u64>,
    pub attacks_by_technique: BTreeMap<String, u64>,
    pub attacks_across_units: u64,
    pub incidents: u64,
    /// Grades 1 to 4.
    pub incidents_by_grade: [u64; 4],
    pub incidents_by_category: BTreeMap<String, u64>,
    pub incidents_closed: u64,
    pub warnings: u64,
    pub warnings_by_level: BTreeMap<String, u64>,
    /// Revisions by step: upgrade, downgrade, lift, …
    pub steps: BTreeMap<String, u64>,
    pub warnings_false: u64,
    pub sign: Owed,
    pub feedback: Owed,
    pub orders: u64,
    pub orders_closed: u64,
    pub order_feedback: Owed,
    pub clocks: Owed,
    pub drills: u64,
    pub drill_points: u64,
    pub drill_of: u64,
    pub to_warn: Times,
    pub to_notice: Times,
    pub to_sign: Times,
    pub to_feed_back: Times,
}

/// Things with a limit in the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Owed {
    pub due: u64,
    pub in_time: u64,
    pub late: u64,
    /// Still owed at the period's end.
    pub missing: u64,
}

impl Owed {
    fn add(&mut self, period: &Period, by: Option<Timestamp>, done: Option<Timestamp>) {
        let Some(by) = by.filter(|by| period.holds(*by)) else { return };
        self.due += 1;
        match done.filter(|done| *done < period.to) {
            Some(done) if done <= by => self.in_time += 1,
            Some(_) => self.late += 1,
            None => self.missing += 1,
        }
    }
    /// In tenths of a percent; none where nothing was due.
    pub fn rate_permille(&self) -> Option<u64> {
        (self.in_time * 1000).checked_div(self.due)
    }
}

/// Seconds something took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Times {
    pub n: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_s: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90_s: Option<i64>,
}

impl Times {
    fn of(mut seconds: Vec<i64>) -> Self {
        seconds.sort_unstable();
        let rank = |percent: usize| seconds.get((seconds.len() * percent).div_ceil(100).max(1) - 1).copied();
        Self { n: seconds.len() as u64, p50_s: rank(50), p90_s: rank(90) }
    }
}

impl Facts {
    pub fn figures(&self, period: Period) -> Figures {
        let mut blind = self.blind.clone();
        let mut gaps = self.gaps.clone();
        blind.sort();
        gaps.sort();
        let beyond = |n: usize| n.saturating_sub(LIST_MAX) as u64;
        let (blind_beyond, gaps_beyond) = (beyond(blind.len()), beyond(gaps.len()));
        blind.truncate(LIST_MAX);
        gaps.truncate(LIST_MAX);
        Figures {
            now: self.counts(&period),
            before: self.counts(&period.before()),
            coverage: self.coverage,
            blind,
            blind_beyond,
            gaps,
            gaps_beyond,
        }
    }

    /// One period.
    pub fn counts(&self, period: &Period) -> Counts {
        let mut c = Counts::default();
        for alert in self.alerts.iter().filter(|a| !a.exercise && period.holds(a.opened)) {
            c.alerts += 1;
            if !alert.close_reason.is_empty() {
                tally(&mut c.alerts_closed, &alert.close_reason);
            }
        }
        for campaign in self.campaigns.iter().filter(|c| !c.exercise && period.holds(c.first)) {
            c.attacks += 1;
            c.attacks_across_units += u64::from(campaign.units > 1);
            distinct(&campaign.sectors).for_each(|s| tally(&mut c.attacks_by_sector, s));
            distinct(&campaign.techniques).for_each(|t| tally(&mut c.attacks_by_technique, t));
        }
        for incident in self.incidents.iter().filter(|i| !i.exercise) {
            c.incidents_closed += u64::from(incident.closed.is_some_and(|t| period.holds(t)));
            if incident.confirmed.is_some_and(|t| period.holds(t)) {
                c.incidents += 1;
                if let Some(n) = usize::from(incident.grade).checked_sub(1).and_then(|at| c.incidents_by_grade.get_mut(at)) {
                    *n += 1;
                }
                if !incident.category.is_empty() {
                    tally(&mut c.incidents_by_category, &incident.category);
                }
            }
        }
        let mut to_warn = Vec::new();
        for warning in self.warnings.iter().filter(|w| !w.exercise) {
            for (at, step, level) in warning.steps.iter().filter(|(at, ..)| period.holds(*at)) {
                tally(&mut c.steps, step);
                c.warnings_false += u64::from(step == "cancel");
                if warning.steps.first().is_some_and(|first| first.0 == *at && first.1 == *step) {
                    c.warnings += 1;
                    tally(&mut c.warnings_by_level, level);
                    to_warn.extend(warning.first_evidence.map(|first| seconds(first, *at)));
                }
            }
        }
        let (mut to_notice, mut to_sign, mut to_feed_back) = (Vec::new(), Vec::new(), Vec::new());
        for receipt in self.receipts.iter().filter(|r| !r.exercise) {
            c.sign.add(period, receipt.sign_by, receipt.signed);
            c.feedback.add(period, receipt.feedback_by, receipt.fed_back);
            for (times, at) in [(&mut to_notice, receipt.delivered), (&mut to_sign, receipt.signed), (&mut to_feed_back, receipt.fed_back)]
            {
                times.extend(at.filter(|at| period.holds(*at)).map(|at| seconds(receipt.sent, at)));
            }
        }
        for order in self.orders.iter().filter(|o| !o.exercise) {
            c.orders += u64::from(period.holds(order.issued));
            c.orders_closed += u64::from(order.closed.is_some_and(|t| period.holds(t)));
            // Taken back before it was answered: nothing is owed.
            if order.fed_back.is_some() || order.closed.is_none() {
                c.order_feedback.add(period, Some(order.deadline), order.fed_back);
            }
        }
        for clock in self.clocks.iter().filter(|k| !k.exercise) {
            c.clocks.add(period, clock.deadline, clock.met);
        }
        for drill in self.drills.iter().filter(|d| period.holds(d.ended)) {
            c.drills += 1;
            c.drill_points += u64::from(drill.points);
            c.drill_of += u64::from(drill.of);
        }
        c.to_warn = Times::of(to_warn);
        c.to_notice = Times::of(to_notice);
        c.to_sign = Times::of(to_sign);
        c.to_feed_back = Times::of(to_feed_back);
        c
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    (to.since(from) / SECOND_NS).max(0)
}

/// Adds one; the 65th key and those after it count as `other`.
fn tally(table: &mut BTreeMap<String, u64>, key: &str) {
    let key = if table.len() >= KEYS_MAX && !table.contains_key(key) { "other" } else { key };
    *table.entry(key.to_owned()).or_default() += 1;
}

fn distinct(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().enumerate().filter(|(at, item)| !list[..*at].contains(item)).map(|(_, item)| item.as_str())
}
