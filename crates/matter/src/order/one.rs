//! One unit's order: its rounds, its limits, who is told.

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::grade::Level;

use super::parts::{
    Act, Affected, Check, CheckResult, Closed, Feedback, Holds, How, Issue, Overdue, Owed, Reopened, Signed, State, Verified,
};
use super::{MEASURES_MAX, REPORTS_MAX, WorkOrder};
use crate::ties::{self, Caller, LINE_MAX, TEXT_MAX, at_most, span};
use crate::{Both, Desk, Effects, Matter, Permission, Refusal};

const ROUNDS_MAX: usize = 20;
/// Those told when nobody acknowledges, in order.
const LINE: [&str; 3] = ["substitute", "leader", "protection"];

/// An order to one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct One {
    pub id: String,
    pub unit: String,
    pub title: Both,
    /// What to do, one entry a measure.
    pub todo: Vec<Both>,
    pub level: Option<Level>,
    #[serde(default)]
    pub links: Vec<String>,
    #[serde(default)]
    pub exercise: bool,
    pub issued_by: String,
    #[serde(with = "crate::when")]
    pub issued: Timestamp,
    /// Rises with each re-opening; 1 for the first.
    pub round: u32,
    /// When this round began; the limits below count from it.
    #[serde(with = "crate::when")]
    pub round_start: Timestamp,
    #[serde(with = "crate::when")]
    pub acknowledge_by: Timestamp,
    #[serde(with = "crate::when")]
    pub deadline: Timestamp,
    pub state: State,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Timestamp>,
    /// Channel that got through first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub delivered_via: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Signed>,
    #[serde(default)]
    pub feedback: Vec<Feedback>,
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Newest result of each check, by its place in `checks`.
    #[serde(default)]
    pub results: Vec<CheckResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    #[serde(default)]
    pub overdue: Vec<Overdue>,
    /// Steps of the line told in this round.
    #[serde(default)]
    pub escalated: usize,
    #[serde(default)]
    pub reopened: Vec<Reopened>,
}

impl One {
    pub(super) fn issue(id: &str, unit: String, by: String, issue: Issue, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal> {
        let mut one = Self {
            id: id.to_owned(),
            unit,
            title: issue.title,
            todo: issue.todo,
            level: issue.level,
            links: issue.links,
            exercise: issue.exercise,
            issued_by: by,
            issued: desk.now,
            round: 0,
            round_start: desk.now,
            acknowledge_by: desk.now,
            deadline: desk.now,
            state: State::Issued,
            delivered: None,
            delivered_via: String::new(),
            acknowledged: None,
            feedback: Vec::new(),
            checks: issue.checks,
            results: Vec::new(),
            verified: None,
            closed: None,
            overdue: Vec::new(),
            escalated: 0,
            reopened: Vec::new(),
        };
        one.begin(issue.deadline, desk);
        let title = one.title.clone();
        one.say(
            out,
            desk,
            ties::unit(&one.unit, "duty"),
            "issued",
            Both::new(format!("处置任务：{}", title.pick(true)), format!("Order: {}", title.pick(false))),
        );
        Ok(one)
    }

    /// A round with its limits.
    fn begin(&mut self, deadline: Option<Timestamp>, desk: &Desk) {
        let limits = desk.book.tables.desk.service.of(Some(self.level.unwrap_or(Level::Blue)));
        self.round += 1;
        self.round_start = desk.now;
        self.deadline = deadline.unwrap_or_else(|| desk.now.plus_secs(60 * i64::from(limits.feedback_min)));
        self.acknowledge_by = desk.now.plus_secs(60 * i64::from(limits.receipt_min)).min(self.deadline);
        self.state = State::Issued;
        self.escalated = 0;
        (self.delivered, self.acknowledged, self.verified, self.closed) = (None, None, None, None);
        self.delivered_via.clear();
        self.results.clear();
    }

    pub(super) fn act(&mut self, act: Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let open = self.state != State::Closed;
        let over = || Refusal::because("the order is closed; open it again first", "任务已办结，请先重新处置");
        match act {
            Act::Issue(_) | Act::Member { .. } => Err(Refusal::because("an order is issued once", "任务只能下达一次")),
            Act::Delivered { channel, unit } => {
                // Other messages about the order (to the city) are not the unit's.
                if self.state == State::Issued && (unit.is_empty() || unit == self.unit) {
                    self.state = State::Delivered;
                    self.delivered = Some(desk.now);
                    self.delivered_via = channel.chars().take(LINE_MAX).collect();
                }
                Ok(())
            }
            Act::Acknowledge {} => {
                if !open {
                    return Err(over());
                }
                if self.acknowledged.is_some() {
                    return Err(Refusal::because("it is signed for already", "已签收"));
                }
                self.acknowledge(desk);
                Ok(())
            }
            Act::FeedBack { affected, objects, measures, done_at, evidence, help } => {
                if !open {
                    return Err(over());
                }
                let feedback = self.read_feedback(affected, objects, measures, done_at, &evidence, &help, desk)?;
                if self.acknowledged.is_none() {
                    self.acknowledge(desk);
                }
                let wants = feedback.help.clone();
                self.feedback.push(feedback);
                self.state = State::Feedback;
                self.verified = None;
                let what = format!("feedback:{}", self.feedback.len());
                let title = Both::new(format!("处置反馈：{}", self.title.pick(true)), format!("Feedback: {}", self.title.pick(false)));
                let title = match wants.is_empty() {
                    true => title,
                    false => Both::new(format!("{}（请求支援）", title.zh), format!("{} (help wanted)", title.en)),
                };
                self.say(out, desk, city(), &what, title);
                self.settle_checks(desk, out);
                Ok(())
            }
            Act::Checked { results } => {
                if !open {
                    return Err(over());
                }
                self.checked(results, desk, out)
            }
            Act::Verify { note } => {
                if self.state != State::Feedback {
                    return Err(Refusal::because(
                        "there is no feedback to verify yet; wait for it or feed back for the unit",
                        "尚无待核实的反馈",
                    ));
                }
                let note = ties::optional(&note, TEXT_MAX, "note", "备注")?;
                self.verified = Some(Verified { by: desk.by.name.clone(), at: desk.now, how: How::Manual, note });
                self.state = State::Verified;
                Ok(())
            }
            Act::Extend { deadline, reason } => {
                if !open {
                    return Err(over());
                }
                ties::text(&reason, TEXT_MAX, "reason", "理由")?;
                if deadline <= self.deadline || deadline <= desk.now {
                    return Err(Refusal::because(
                        "the new deadline must be later than the old one and than now",
                        "新期限须晚于原期限和当前时间",
                    ));
                }
                self.deadline = deadline;
                let title =
                    Both::new(format!("期限延长：{}", self.title.pick(true)), format!("Deadline extended: {}", self.title.pick(false)));
                self.say(out, desk, ties::unit(&self.unit, "duty"), &format!("extend:{deadline}"), title);
                Ok(())
            }
            Act::Reopen { reason, deadline } => self.reopen(&reason, deadline, desk, out),
            Act::Close { note } => {
                if self.state != State::Verified {
                    return Err(Refusal::because(
                        "only a verified order is closed; verify it, or take it back with a reason",
                        "须先核实才能办结；如不再需要请撤回并说明理由",
                    ));
                }
                let note = ties::optional(&note, TEXT_MAX, "note", "备注")?;
                self.close(false, note, desk, out)
            }
            Act::Withdraw { reason } => {
                if !open {
                    return Err(over());
                }
                let note = ties::text(&reason, TEXT_MAX, "reason", "理由")?;
                let title =
                    Both::new(format!("任务撤回：{}", self.title.pick(true)), format!("Order taken back: {}", self.title.pick(false)));
                self.say(out, desk, ties::unit(&self.unit, "duty"), &format!("withdrawn:{}", self.round), title);
                self.close(true, note, desk, out)
            }
        }
    }

    fn acknowledge(&mut self, desk: &Desk) {
        self.acknowledged = Some(Signed { by: desk.by.name.clone(), at: desk.now, for_unit: desk.by.units.is_none() });
        self.state = self.state.max(State::Acknowledged);
    }

    fn read_feedback(
        &self,
        affected: Affected,
        objects: u32,
        measures: Vec<String>,
        done_at: Option<Timestamp>,
        evidence: &str,
        help: &str,
        desk: &Desk,
    ) -> Result<Feedback, Refusal> {
        if self.feedback.len() >= REPORTS_MAX {
            return Err(Refusal::because(
                format!("there are {REPORTS_MAX} reports already; take the order back and issue another"),
                format!("反馈已达 {REPORTS_MAX} 次，请撤回后另行下达"),
            ));
        }
        at_most(&measures, MEASURES_MAX, "measures", "措施")?;
        let measures = measures.iter().map(|m| ties::text(m, TEXT_MAX, "measures", "措施")).collect::<Result<_, _>>()?;
        if done_at.is_some_and(|done| done > desk.now) {
            return Err(Refusal::because(
                "'done_at' lies in the future; leave it empty until it is done",
                "完成时间晚于当前时间；未完成请留空",
            ));
        }
        Ok(Feedback {
            by: desk.by.name.clone(),
            at: desk.now,
            round: self.round,
            for_unit: desk.by.units.is_none(),
            late: desk.now > self.deadline,
            affected,
            objects,
            measures,
            done_at,
            evidence: ties::optional(evidence, TEXT_MAX, "evidence", "佐证")?,
            help: ties::optional(help, TEXT_MAX, "help", "支援")?,
        })
    }

    fn checked(&mut self, results: Vec<CheckResult>, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        for mut result in results {
            if result.check >= self.checks.len() {
                return Err(Refusal::because(format!("there is no check {}", result.check), format!("没有第 {} 项核查", result.check)));
            }
            for text in [&mut result.detail.zh, &mut result.detail.en] {
                *text = text.chars().take(LINE_MAX).collect();
            }
            match self.results.iter_mut().find(|r| r.check == result.check) {
                Some(there) => *there = result,
                None => self.results.push(result),
            }
        }
        self.results.sort_by_key(|r| r.check);
        self.settle_checks(desk, out);
        Ok(())
    }

    /// Feedback is there and agents have looked: verified, or said that it is not so.
    fn settle_checks(&mut self, desk: &Desk, out: &mut Effects) {
        if self.state != State::Feedback || self.checks.is_empty() {
            return;
        }
        let fails: Vec<usize> = self.results.iter().filter(|r| r.holds == Holds::No).map(|r| r.check).collect();
        if let Some(first) = fails.first().and_then(|at| self.checks.get(*at)) {
            let about = first.about();
            let title = Both::new(format!("核查未通过：{}", about.zh), format!("Check failed: {} — not so", about.en));
            let what = format!("failed:{}:{}:{fails:?}", self.round, self.feedback.len());
            self.say(out, desk, ties::unit(&self.unit, "duty"), &what, title.clone());
            self.say(out, desk, city(), &what, title);
        } else if self.results.iter().filter(|r| r.holds == Holds::Yes).count() == self.checks.len() {
            self.verified = Some(Verified { by: desk.by.name.clone(), at: desk.now, how: How::Agent, note: String::new() });
            self.state = State::Verified;
            let title =
                Both::new(format!("探针核查通过：{}", self.title.pick(true)), format!("Verified by agents: {}", self.title.pick(false)));
            self.say(out, desk, city(), &format!("verified:{}", self.round), title);
        }
    }

    fn reopen(&mut self, reason: &str, deadline: Option<Timestamp>, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        if self.state < State::Feedback {
            return Err(Refusal::because(
                "it is still being worked on; extend the deadline or take it back",
                "任务仍在处置中，可延长期限或撤回",
            ));
        }
        let reason = ties::text(reason, TEXT_MAX, "reason", "理由")?;
        if self.reopened.len() >= ROUNDS_MAX {
            return Err(Refusal::because(
                format!("opened again {ROUNDS_MAX} times; issue another order"),
                format!("已重新处置 {ROUNDS_MAX} 次，请另行下达"),
            ));
        }
        if deadline.is_some_and(|deadline| deadline <= desk.now) {
            return Err(Refusal::because("the deadline has passed already; write a later time", "期限早于当前时间，请填写更晚的时间"));
        }
        let was_closed = self.state == State::Closed;
        self.reopened.push(Reopened { by: desk.by.name.clone(), at: desk.now, reason });
        self.begin(deadline, desk);
        if was_closed {
            self.tell_sets(false, desk, out)?;
        }
        let title = Both::new(format!("重新处置：{}", self.title.pick(true)), format!("Order opened again: {}", self.title.pick(false)));
        self.say(out, desk, ties::unit(&self.unit, "duty"), &format!("reopened:{}", self.round), title);
        Ok(())
    }

    fn close(&mut self, withdrawn: bool, note: String, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        self.closed = Some(Closed { by: desk.by.name.clone(), at: desk.now, withdrawn, note });
        self.state = State::Closed;
        self.tell_sets(true, desk, out)
    }

    fn tell_sets(&self, closed: bool, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        for set in desk.linked(WorkOrder::KIND, &self.id)? {
            out.act::<WorkOrder>(&set, &Act::Member { order: self.id.clone(), closed });
        }
        Ok(())
    }

    /// Something is owed and late.
    pub fn is_overdue(&self) -> bool {
        self.state < State::Feedback
            && self.overdue.iter().any(|o| o.round == self.round && (o.what == Owed::Feedback || self.acknowledged.is_none()))
    }

    pub(super) fn state_shown(&self) -> &'static str {
        match self.state {
            _ if self.is_overdue() => "overdue",
            State::Issued => "issued",
            State::Delivered => "delivered",
            State::Acknowledged => "acknowledged",
            State::Feedback => "feedback",
            State::Verified => "verified",
            State::Closed => "closed",
        }
    }

    /// The next step of the line, then the deadline.
    pub(super) fn due(&self) -> Option<Timestamp> {
        if self.state >= State::Feedback {
            return None;
        }
        let deadline = (!self.is_late(Owed::Feedback)).then_some(self.deadline);
        self.next_step().into_iter().chain(deadline).min()
    }

    fn is_late(&self, what: Owed) -> bool {
        self.overdue.iter().any(|o| o.round == self.round && o.what == what)
    }

    fn next_step(&self) -> Option<Timestamp> {
        if self.state >= State::Acknowledged || self.escalated >= LINE.len() {
            return None;
        }
        let period = self.acknowledge_by.since(self.round_start).max(1);
        Some(self.round_start.plus_ns(period.saturating_mul(self.escalated as i64 + 1)))
    }

    pub(super) fn lapse(&mut self, desk: &Desk, out: &mut Effects) {
        while let Some(step) = self.next_step().filter(|step| *step <= desk.now) {
            let Some(role) = LINE.get(self.escalated) else { break };
            let title = Both::new(
                format!("处置任务无人签收：{}", self.title.pick(true)),
                format!("Order not signed for: {}", self.title.pick(false)),
            );
            let what = format!("unsigned:{}:{role}", self.round);
            self.say(out, desk, ties::unit(&self.unit, role), &what, title.clone());
            if self.escalated == 0 {
                self.overdue.push(Overdue { what: Owed::Acknowledgement, round: self.round, since: step });
                self.say(out, desk, city(), &what, title);
            }
            self.escalated += 1;
        }
        if self.state < State::Feedback && self.deadline <= desk.now && !self.is_late(Owed::Feedback) {
            self.overdue.push(Overdue { what: Owed::Feedback, round: self.round, since: self.deadline });
            let title = Both::new(format!("处置任务超期：{}", self.title.pick(true)), format!("Order overdue: {}", self.title.pick(false)));
            let what = format!("overdue:{}", self.round);
            for recipient in [ties::unit(&self.unit, "duty"), ties::unit(&self.unit, "leader"), city()] {
                self.say(out, desk, recipient, &what, title.clone());
            }
        }
    }

    fn say(&self, out: &mut Effects, desk: &Desk, recipient: crate::Recipient, what: &str, title: Both) {
        let thread = self.links.first().unwrap_or(&self.id);
        let caller = Caller { kind: WorkOrder::KIND, id: &self.id, thread, level: self.level, exercise: self.exercise };
        let left = span(self.deadline.since(desk.now) / event::SECOND_NS);
        let numbered =
            |zh: bool| self.todo.iter().enumerate().map(|(n, t)| format!("{}. {}", n + 1, t.pick(zh))).collect::<Vec<_>>().join("\n");
        let (until_zh, until_en) = match self.deadline > desk.now {
            true => {
                (format!("反馈期限：{}（还有 {}）", self.deadline, left.zh), format!("Feedback until {} ({} left)", self.deadline, left.en))
            }
            false => (format!("反馈期限已过：{}", self.deadline), format!("Feedback was due {}", self.deadline)),
        };
        let text = Both::new(format!("{}\n{until_zh}", numbered(true)), format!("{}\n{until_en}", numbered(false)));
        caller.tell(out, desk, recipient, what, title, text);
    }
}

fn city() -> crate::Recipient {
    crate::Recipient::City { right: Permission::OrdersWrite }
}
