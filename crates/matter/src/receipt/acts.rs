//! What a unit, its channels and the desk do with a receipt.

use event::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DELIVERIES_MAX, Delivery, FEEDBACK_BYTES, FEEDBACK_MAX, Receipt, Signed, State, TEXT_MAX};
use crate::{ActRow, Desk, Effects, FieldRow, Input, Permission, Refusal, Revision, field};

/// One act; as JSON an object tagged with `act`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// The desk's own: the first copy, and a further one, unsigned; the receipt chains and signs it.
    Open {
        copy: Box<Revision>,
    },
    Revise {
        copy: Box<Revision>,
    },
    /// A channel got through.
    Delivered {
        channel: String,
    },
    See {},
    Sign {
        #[serde(default)]
        who: String,
        #[serde(default)]
        note: String,
    },
    ActOn {
        #[serde(default)]
        note: String,
    },
    FeedBack {
        affected: Affected,
        #[serde(default)]
        objects: u32,
        #[serde(default)]
        measures: String,
        #[serde(default, with = "crate::when::option", skip_serializing_if = "Option::is_none")]
        done_at: Option<Timestamp>,
        #[serde(default)]
        evidence: String,
        #[serde(default)]
        help: String,
        #[serde(default)]
        who: String,
    },
}

/// What a unit found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Affected {
    No,
    Exposed,
    Attacked,
    Damaged,
}

impl Affected {
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Exposed => "exposed",
            Self::Attacked => "attacked",
            Self::Damaged => "damaged",
        }
    }
}

/// One feedback (反馈).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    pub affected: Affected,
    /// Objects or hosts concerned.
    pub objects: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub measures: String,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// Help they ask for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// Person of the unit, and who entered it.
    pub who: String,
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    /// Revision it answers.
    pub number: u32,
}

const NOTE: FieldRow = field("note", false, Input::Text, "Remark", "备注");
const WHO: FieldRow = field(
    "who",
    false,
    Input::Line,
    "Name of the unit's person; required where the city enters it for them",
    "单位人员姓名（由预警台代填时必填）",
);
const SIGN: Option<Permission> = Some(Permission::ReceiptsSign);

const fn row(
    word: &'static str,
    right: Option<Permission>,
    about: &'static str,
    about_zh: &'static str,
    fields: &'static [FieldRow],
) -> ActRow {
    ActRow { word, opens: false, right, about, about_zh, fields }
}

/// Rows of the acts.
pub const ACTS: &[ActRow] = &[
    row("see", SIGN, "Mark as seen", "标记已阅", &[]),
    row("sign", SIGN, "Sign for it", "签收", &[WHO, NOTE]),
    row("act_on", SIGN, "Report that you act", "开始处置", &[NOTE]),
    row(
        "feed_back",
        SIGN,
        "Feed back",
        "反馈",
        &[
            field("affected", true, Input::Choice(&["no", "exposed", "attacked", "damaged"]), "Affected?", "是否受影响"),
            field("objects", false, Input::Number, "How many hosts or systems", "涉及主机或系统数量"),
            field("measures", false, Input::Text, "What you did", "已采取的措施"),
            field("done_at", false, Input::Time, "Done at", "完成时间"),
            field("evidence", false, Input::Text, "Evidence", "佐证"),
            field("help", false, Input::Text, "Help you need", "需要的支援"),
            WHO,
        ],
    ),
    ActRow { word: "open", opens: true, right: None, about: "Open", about_zh: "开立", fields: &[] },
    row("revise", None, "Revise", "更新", &[]),
    row("delivered", None, "Delivered", "送达", &[]),
];

impl Receipt {
    pub(super) fn carry(&mut self, act: Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        match act {
            Act::Open { .. } => return Err(Refusal::because("it is open already", "签收单已存在")),
            Act::Revise { copy } => return self.revise(*copy, desk, out),
            Act::Delivered { channel } => self.delivered(channel, desk),
            Act::See {} => {
                self.seen.get_or_insert(desk.now);
                self.reach(State::Seen);
            }
            Act::Sign { who, note } => {
                if let Some(signed) = self.signature() {
                    return Err(Refusal::because(
                        format!("{} signed at {}", signed.who, signed.at),
                        format!("{} 已于 {} 签收", signed.who, signed.at),
                    ));
                }
                let who = self.person(&who, desk)?;
                limited(&note, ("note", "备注"))?;
                self.sign(who, note, desk);
            }
            Act::ActOn { note } => {
                limited(&note, ("note", "备注"))?;
                if self.acted.is_some() {
                    return Err(Refusal::because("that was reported already", "已登记开始处置"));
                }
                self.imply(desk, note);
                self.acted = Some(desk.now);
                self.reach(State::Acted);
            }
            Act::FeedBack { affected, objects, measures, done_at, evidence, help, who } => {
                for (text, what) in [(&measures, ("measures", "措施")), (&evidence, ("evidence", "佐证")), (&help, ("help", "支援"))]
                {
                    limited(text, what)?;
                }
                if affected != Affected::No && measures.trim().is_empty() && help.trim().is_empty() {
                    return Err(Refusal::because(
                        "say in 'measures' what you did, or in 'help' what you need",
                        "受影响的，请填写已采取的措施或需要的支援",
                    ));
                }
                if done_at.is_some_and(|at| at > desk.now) {
                    return Err(Refusal::because("'done_at' is not over yet; give it when it is done", "完成时间不能晚于当前时间"));
                }
                let who = self.person(&who, desk)?;
                let number = self.last().map_or(0, |c| c.number);
                let given =
                    Feedback { affected, objects, measures, done_at, evidence, help, who, by: desk.by.name.clone(), at: desk.now, number };
                self.fed_back(given, desk, out)?;
            }
        }
        Ok(())
    }

    fn delivered(&mut self, channel: String, desk: &Desk) {
        let number = self.last().map_or(0, |c| c.number);
        if self.deliveries.len() >= DELIVERIES_MAX {
            self.deliveries.remove(0);
        }
        self.deliveries.push(Delivery { channel: channel.chars().take(64).collect(), at: desk.now, number });
        self.reach(State::Delivered);
    }

    /// Who of the unit it was: who is logged in, or whom the city names.
    fn person(&self, who: &str, desk: &Desk) -> Result<String, Refusal> {
        let who = who.trim();
        if who.chars().count() > 64 {
            return Err(Refusal::because("'who' has at most 64 characters", "姓名最多 64 字"));
        }
        match (who.is_empty(), &desk.by.units) {
            (false, _) => Ok(who.to_owned()),
            (true, Some(_)) => Ok(desk.by.name.clone()),
            (true, None) => {
                Err(Refusal::because("name the unit's person in 'who': you enter it for them", "代单位填写时，请在“姓名”中写明单位人员"))
            }
        }
    }

    fn sign(&mut self, who: String, note: String, desk: &Desk) {
        let number = self.last().map_or(0, |c| c.number);
        // As many as there are levels to rise through, many times over.
        if self.signed.len() >= DELIVERIES_MAX {
            self.signed.remove(0);
        }
        self.signed.push(Signed { who, by: desk.by.name.clone(), at: desk.now, number, note });
        self.seen.get_or_insert(desk.now);
        self.receipt_due = None;
        self.reach(State::Signed);
    }

    /// Who answers has received.
    fn imply(&mut self, desk: &Desk, note: String) {
        if self.signature().is_none() {
            self.sign(desk.by.name.clone(), note, desk);
        }
    }

    fn fed_back(&mut self, given: Feedback, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let held: usize = self.feedback.iter().map(|f| serde_json::to_vec(f).map_or(0, |j| j.len())).sum();
        if self.feedback.len() >= FEEDBACK_MAX || held > FEEDBACK_BYTES {
            return Err(Refusal::because(
                "this receipt holds no more feedback; call the city's desk",
                "反馈次数或篇幅已达上限，请电话联系预警台",
            ));
        }
        if self.signature().is_none() {
            self.sign(given.who.clone(), String::new(), desk);
        }
        let again = desk.book.tables.desk.service.of(self.level).again_min;
        // The overdue mark of a first feedback stays; that of a later one is over.
        if self.answer().is_some() {
            self.feedback_overdue = None;
        }
        self.feedback_due =
            (self.running() && again > 0 && given.affected != Affected::No).then(|| desk.now.plus_secs(i64::from(again) * 60));
        self.reminded = 0;
        self.feedback.push(given);
        self.reach(State::FedBack);
        self.tell_feedback(desk, out);
        Ok(())
    }
}

fn limited(text: &str, what: (&str, &str)) -> Result<(), Refusal> {
    let n = text.chars().count();
    if n > TEXT_MAX {
        return Err(Refusal::because(
            format!("'{}' has {n} characters; at most {TEXT_MAX}", what.0),
            format!("“{}”共 {n} 字，最多 {TEXT_MAX} 字", what.1),
        ));
    }
    Ok(())
}
