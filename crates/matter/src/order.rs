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

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::grade::Level;

use crate::ties::{self, Caller, LINE_MAX, TEXT_MAX, at_most, span};
use crate::{ActRow, Actor, Both, Card, Desk, Effects, FieldRow, Input, Matter, Permission, Refusal, field};

pub const UNITS_MAX: usize = 64;
pub const REPORTS_MAX: usize = 50;
pub const CHECKS_MAX: usize = 32;
pub const MEASURES_MAX: usize = 20;
const ROUNDS_MAX: usize = 20;
/// Those told when nobody acknowledges, in order.
const LINE: [&str; 3] = ["substitute", "leader", "protection"];

/// An order to one unit, or the set of those issued together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum WorkOrder {
    One(Box<One>),
    Set(Set),
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Issued,
    Delivered,
    Acknowledged,
    Feedback,
    Verified,
    Closed,
}

/// Who said yes, and for whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signed {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    /// The city entered it for the unit (after a call).
    #[serde(default)]
    pub for_unit: bool,
}

/// What the unit found and did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub round: u32,
    #[serde(default)]
    pub for_unit: bool,
    /// After the deadline.
    #[serde(default)]
    pub late: bool,
    pub affected: Affected,
    /// Objects concerned.
    pub objects: u32,
    #[serde(default)]
    pub measures: Vec<String>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
    #[serde(default)]
    pub evidence: String,
    /// Empty: none.
    #[serde(default)]
    pub help: String,
}

/// How the unit is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Affected {
    No,
    Exposed,
    Attacked,
    Damaged,
}

/// What an agent can look at by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "check", rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// Nothing listens there any more. `address`: host name or address of the host.
    PortClosed { address: String, port: u16 },
    /// The file has this SHA-256 (64 hex digits) again.
    FileRestored { host: String, path: String, hash: String },
    /// The package has this version or a newer one.
    PackageUpdated { host: String, name: String, version: String },
}

/// What an agent's facts say of one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckResult {
    /// Place in `checks`, from 0.
    pub check: usize,
    pub holds: Holds,
    /// When the agent saw it.
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
    /// What it saw.
    #[serde(default)]
    pub detail: Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    Yes,
    No,
    /// No agent there, or it does not report that.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub how: How,
    #[serde(default)]
    pub note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Manual,
    Agent,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    /// False: done. True: taken back, with the reason in `note`.
    pub withdrawn: bool,
    #[serde(default)]
    pub note: String,
}

/// A limit that passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overdue {
    pub what: Owed,
    pub round: u32,
    #[serde(with = "crate::when")]
    pub since: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    Acknowledgement,
    Feedback,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reopened {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub reason: String,
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    Issue(Issue),
    Delivered {
        #[serde(default)]
        channel: String,
        #[serde(default)]
        unit: String,
    },
    Acknowledge {},
    FeedBack {
        affected: Affected,
        #[serde(default)]
        objects: u32,
        #[serde(default)]
        measures: Vec<String>,
        #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
        done_at: Option<Timestamp>,
        #[serde(default)]
        evidence: String,
        #[serde(default)]
        help: String,
    },
    Checked {
        results: Vec<CheckResult>,
    },
    Verify {
        #[serde(default)]
        note: String,
    },
    Extend {
        #[serde(with = "crate::when")]
        deadline: Timestamp,
        reason: String,
    },
    Reopen {
        reason: String,
        #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
    },
    Close {
        #[serde(default)]
        note: String,
    },
    Withdraw {
        reason: String,
    },
    /// The desk's own, to a set: one of its orders was closed or opened again.
    Member {
        order: String,
        closed: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    pub units: Vec<String>,
    pub title: Both,
    pub todo: Vec<Both>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// None: the highest of what it is linked to, else blue's limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    #[serde(default)]
    pub exercise: bool,
    /// Who issued it, where the desk opens it for a set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issued_by: String,
}

const LEVELS: Input = Input::Choice(&["red", "orange", "yellow", "blue"]);
const AFFECTED: Input = Input::Choice(&["no", "exposed", "attacked", "damaged"]);

const ISSUE: &[FieldRow] = &[
    field("units", true, Input::Words, "Units it goes to; each gets an order of its own", "下达单位，每个单位各立一单"),
    field("title", true, Input::Both, "What it is about, in one line", "标题"),
    field("todo", true, Input::Boths, "What to do, one entry a measure", "处置要求，每条一项"),
    field(
        "deadline",
        false,
        Input::Time,
        "Until when there must be feedback; empty: as the level's first feedback",
        "反馈期限，留空则按级别的首次反馈时限",
    ),
    field("level", false, LEVELS, "Level whose limits count; empty: that of the linked warning", "按哪一级别计时限，留空则随所关联的预警"),
    field("links", false, Input::Words, "Ids it belongs to: a warning, an incident, alerts", "关联的预警、安全事件、告警编号"),
    field(
        "checks",
        false,
        Input::Json,
        "What agents verify: [{\"check\":\"port_closed\",\"address\":\"db-1\",\"port\":6379}, {\"check\":\"file_restored\",\"host\":…,\"path\":…,\"hash\":…}, {\"check\":\"package_updated\",\"host\":…,\"name\":…,\"version\":…}]",
        "由探针核查的事项（端口关闭、文件恢复、软件升级），JSON 列表",
    ),
    field("exercise", false, Input::Yes, "It is a drill's", "演练"),
];
const FEEDBACK: &[FieldRow] = &[
    field(
        "affected",
        true,
        AFFECTED,
        "Is the unit affected: no, exposed, attacked, damaged",
        "受影响情况：否、存在风险、受到攻击、造成损害",
    ),
    field("objects", false, Input::Number, "How many objects", "涉及对象数"),
    field("measures", false, Input::Words, "Measures taken, one entry each", "已采取的措施，每条一项"),
    field("done_at", false, Input::Time, "When they were done", "完成时间"),
    field("evidence", false, Input::Text, "Evidence: what shows it", "佐证"),
    field("help", false, Input::Text, "Help wanted; empty: none", "需要的支援，留空为无"),
];
const NOTE: &[FieldRow] = &[field("note", false, Input::Text, "Note", "备注")];
const REASON: &[FieldRow] = &[field("reason", true, Input::Text, "Why", "理由")];

const fn row(
    word: &'static str,
    right: Option<Permission>,
    about: &'static str,
    about_zh: &'static str,
    fields: &'static [FieldRow],
) -> ActRow {
    ActRow { word, opens: false, right, about, about_zh, fields }
}

const WRITE: Option<Permission> = Some(Permission::OrdersWrite);
const ANSWER: Option<Permission> = Some(Permission::OrdersFeedback);

pub const ACTS: &[ActRow] = &[
    ActRow { opens: true, ..row("issue", WRITE, "Issue an order", "下达处置任务", ISSUE) },
    row("acknowledge", ANSWER, "Sign for it", "签收", &[]),
    row("feed_back", ANSWER, "Feed back", "反馈", FEEDBACK),
    row("verify", WRITE, "Verify", "核实", NOTE),
    row(
        "extend",
        WRITE,
        "Extend the deadline",
        "延长期限",
        &[
            field("deadline", true, Input::Time, "New deadline, later than the old one", "新期限，须晚于原期限"),
            field("reason", true, Input::Text, "Why", "理由"),
        ],
    ),
    row(
        "reopen",
        WRITE,
        "Open again",
        "重新处置",
        &[
            field("reason", true, Input::Text, "What is not done yet", "尚未完成的事项"),
            field("deadline", false, Input::Time, "New deadline; empty: as the level's", "新期限，留空则按级别时限"),
        ],
    ),
    row("close", WRITE, "Close", "办结", NOTE),
    row("withdraw", WRITE, "Take back", "撤回", REASON),
    row(
        "delivered",
        None,
        "A channel got through",
        "已送达",
        &[field("channel", false, Input::Line, "Channel", "通道"), field("unit", false, Input::Line, "Unit it reached", "送达单位")],
    ),
    row("checked", None, "What agents' facts say", "探针核查结果", &[field("results", true, Input::Json, "Results by check", "逐项结果")]),
    row(
        "member",
        None,
        "An order of the set was closed or opened again",
        "子任务状态变化",
        &[field("order", true, Input::Line, "Order", "任务编号"), field("closed", true, Input::Yes, "Closed", "已办结")],
    ),
];

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

impl Check {
    fn sound(&self) -> Result<(), Refusal> {
        let line = |value: &str, en: &str, zh: &str| ties::text(value, 1024, en, zh).map(|_| ());
        match self {
            Self::PortClosed { address, port } => {
                line(address, "address", "地址")?;
                if *port == 0 {
                    return Err(Refusal::because("port 0 is no port", "端口不能为 0"));
                }
                Ok(())
            }
            Self::FileRestored { host, path, hash } => {
                line(host, "host", "主机")?;
                line(path, "path", "路径")?;
                if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(Refusal::because("'hash' is a SHA-256: 64 hex digits", "“hash”须为 SHA-256，64 位十六进制"));
                }
                Ok(())
            }
            Self::PackageUpdated { host, name, version } => {
                line(host, "host", "主机")?;
                line(name, "name", "软件包")?;
                line(version, "version", "版本")
            }
        }
    }

    /// In words.
    pub fn about(&self) -> Both {
        match self {
            Self::PortClosed { address, port } => {
                Both::new(format!("{address} 的端口 {port} 已关闭"), format!("port {port} of {address} is closed"))
            }
            Self::FileRestored { host, path, .. } => Both::new(format!("{host} 的 {path} 已恢复"), format!("{path} of {host} is restored")),
            Self::PackageUpdated { host, name, version } => {
                Both::new(format!("{host} 的 {name} 已升级到 {version}"), format!("{name} of {host} is at {version} or newer"))
            }
        }
    }
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

impl One {
    fn issue(id: &str, unit: String, by: String, issue: Issue, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal> {
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

    fn act(&mut self, act: Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
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

    #[expect(clippy::too_many_arguments, reason = "the fields of one form")]
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

    fn state_shown(&self) -> &'static str {
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
    fn due(&self) -> Option<Timestamp> {
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

    fn lapse(&mut self, desk: &Desk, out: &mut Effects) {
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
