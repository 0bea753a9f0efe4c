//! Orders (处置): what a unit is told to do until when, what it reports back, and whether that is so.
//!
//! * `issued → delivered → acknowledged → feedback → verified → closed`; `overdue` is shown in place of the state while the unit owes something.
//!   Feedback may come before anybody acknowledged: it says as much and more.
//! * One order belongs to one unit. Issuing to several opens a *set*, which is the city's own: it lists the orders and is closed with the last of
//!   them. An order does not know its set, so that no unit learns whom else it concerns.
//! * Without acknowledgement the substitute is told, then the leader, then the protection department, each after one receipt period of the
//!   level; the city with the first. At the deadline everybody at once, and it stays overdue until there is feedback.
//! * Verification is a person's word, or the agent's: [`Check`]s are data, their results come from the desk itself. All of them holding after
//!   feedback verifies the order; one that does not hold is said to both sides, and the order stays open.
//! * Limits: 64 units in a set, 50 reports, 32 checks, 20 measures; what is older than the newest 50 reports is refused, never dropped.

#[cfg(test)]
mod tests;

mod one;
mod parts;
mod rows;

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::grade::Level;

use crate::ties::{self, LINE_MAX, TEXT_MAX, at_most};
use crate::{Actor, Both, Card, Desk, Effects, Matter, Refusal};

pub use one::One;
pub use parts::{Act, Affected, Check, CheckResult, Closed, Feedback, Holds, How, Issue, Overdue, Owed, Reopened, Signed, State, Verified};
pub use rows::ACTS;

pub const UNITS_MAX: usize = 64;
pub const REPORTS_MAX: usize = 50;
pub const CHECKS_MAX: usize = 32;
pub const MEASURES_MAX: usize = 20;

/// An order to one unit, or the set of those issued together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum WorkOrder {
    One(Box<One>),
    Set(Set),
}

/// Orders issued together; the city's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Set {
    pub id: String,
    pub title: Both,
    pub level: Option<Level>,
    #[serde(default)]
    pub exercise: bool,
    pub issued_by: String,
    #[serde(with = "crate::when")]
    pub issued: Timestamp,
    pub orders: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub unit: String,
    pub order: String,
    pub closed: bool,
}

impl Matter for WorkOrder {
    const KIND: &'static str = "order";
    type Act = Act;

    fn open(id: &str, act: Act, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal> {
        let Act::Issue(mut issue) = act else {
            return Err(Refusal::because("only 'issue' opens an order", "只有“下达”可新建处置任务"));
        };
        check_issue(&mut issue, desk)?;
        let (exercise, linked) = ties::tie(desk, &issue.links, issue.exercise)?;
        issue.exercise = exercise;
        issue.level = issue.level.or(linked);
        let by = if desk.by.role.is_none() && !issue.issued_by.is_empty() { issue.issued_by.clone() } else { desk.by.name.clone() };
        match issue.units.as_slice() {
            [unit] => {
                let unit = unit.clone();
                Ok(Self::One(Box::new(One::issue(id, unit, by, issue, desk, out)?)))
            }
            _ => Ok(Self::Set(Set::issue(id, &by, &issue, desk, out))),
        }
    }

    fn act(&mut self, act: Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        match (self, act) {
            (Self::Set(set), Act::Member { order, closed }) => {
                for member in set.orders.iter_mut().filter(|m| m.order == order) {
                    member.closed = closed;
                }
                Ok(())
            }
            (Self::Set(_), _) => Err(Refusal::because(
                "this is a set of orders; act on the orders listed in it",
                "这是成组下达的任务，请对其中各单位的任务操作",
            )),
            (Self::One(one), act) => one.act(act, desk, out),
        }
    }

    fn lapse(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        if let Self::One(one) = self {
            one.lapse(desk, out);
        }
        Ok(())
    }

    fn card(&self) -> Card {
        match self {
            Self::One(one) => Card {
                state: one.state_shown(),
                closed: one.state == State::Closed,
                level: one.level,
                title: one.title.clone(),
                units: vec![one.unit.clone()],
                exercise: one.exercise,
                due: one.due(),
                links: one.links.clone(),
            },
            Self::Set(set) => {
                let closed = set.orders.iter().all(|m| m.closed);
                Card {
                    state: if closed { "closed" } else { "issued" },
                    closed,
                    level: set.level,
                    title: set.title.clone(),
                    units: Vec::new(),
                    exercise: set.exercise,
                    due: None,
                    links: set.orders.iter().map(|m| m.order.clone()).collect(),
                }
            }
        }
    }
}

fn check_issue(issue: &mut Issue, desk: &Desk) -> Result<(), Refusal> {
    issue.units.sort();
    issue.units.dedup();
    if issue.units.is_empty() {
        return Err(Refusal::because("name at least one unit", "请至少选择一个单位"));
    }
    at_most(&issue.units, UNITS_MAX, "units", "下达单位")?;
    issue.units.iter().try_for_each(|unit| ties::known_unit(desk, unit))?;
    issue.title = ties::both(&issue.title, LINE_MAX, "title", "标题")?;
    if issue.todo.is_empty() {
        return Err(Refusal::because("say what is to be done ('todo')", "请填写处置要求"));
    }
    at_most(&issue.todo, MEASURES_MAX, "todo", "处置要求")?;
    for todo in &mut issue.todo {
        *todo = ties::both(todo, TEXT_MAX, "todo", "处置要求")?;
    }
    if issue.deadline.is_some_and(|deadline| deadline <= desk.now) {
        return Err(Refusal::because("the deadline has passed already; write a later time", "期限早于当前时间，请填写更晚的时间"));
    }
    at_most(&issue.checks, CHECKS_MAX, "checks", "核查事项")?;
    issue.checks.iter().try_for_each(Check::sound)
}

impl Set {
    /// The orders are opened by the desk, right after.
    fn issue(id: &str, by: &str, issue: &Issue, desk: &Desk, out: &mut Effects) -> Self {
        let itself = Actor::desk();
        let then = Desk { book: desk.book, shelf: desk.shelf, by: &itself, now: desk.now };
        let orders = issue
            .units
            .iter()
            .map(|unit| {
                let act = Act::Issue(Issue { units: vec![unit.clone()], issued_by: by.to_owned(), ..issue.clone() });
                let order = WorkOrder::name(&act, &then, None);
                out.open::<WorkOrder>(&act);
                Member { unit: unit.clone(), order, closed: false }
            })
            .collect();
        Self {
            id: id.to_owned(),
            title: issue.title.clone(),
            level: issue.level,
            exercise: issue.exercise,
            issued_by: by.to_owned(),
            issued: desk.now,
            orders,
        }
    }
}
