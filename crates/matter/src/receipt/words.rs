//! What a unit and the city are told of a receipt, in both languages.

use std::collections::BTreeSet;

use super::clock::LINE;
use super::{Affected, Receipt};
use crate::notice::Step;
use crate::warn::{Verdict, level_name};
use crate::{Both, Desk, Effects, Matter, Message, Permission, Recipient, Revision};

/// Own hosts named in a message; all are on the receipt.
const HOSTS_SHOWN: usize = 5;

/// A span for people: `15 min`, `2 h`, `5 d`.
fn span(seconds: u32) -> Both {
    let (n, zh, en) = match seconds {
        s if s >= 86_400 && s % 86_400 == 0 => (s / 86_400, "天", "d"),
        s if s >= 3_600 && s % 3_600 == 0 => (s / 3_600, "小时", "h"),
        s => (s / 60, "分钟", "min"),
    };
    Both::new(format!("{n} {zh}"), format!("{n} {en}"))
}

/// `红色预警·升级` / `RED WARNING, upgrade`.
fn headline(copy: &Revision) -> Both {
    let level = level_name(Verdict::issued(copy.level));
    let step_zh = match copy.step {
        Step::Issue => "发布",
        Step::Update => "更新",
        Step::Upgrade => "升级",
        Step::Downgrade => "降级",
        Step::Extend => "延期",
        Step::Lift => "解除",
        Step::Cancel => "撤销",
        Step::Expire => "到期",
    };
    let (zh, en) = match copy.level {
        Some(_) => (format!("{}预警", level.zh), format!("{} WARNING", level.en.to_uppercase())),
        None => (level.zh, "ADVISORY".to_owned()),
    };
    let step_en = if copy.step == Step::Issue { String::new() } else { format!(", {}", copy.step.name()) };
    Both::new(format!("{zh}·{step_zh}"), format!("{en}{step_en}"))
}

/// What, where, how bad, what to do, by when.
fn body(copy: &Revision, sign: bool) -> Both {
    let notice = &copy.notice;
    let mut zh: Vec<String> = Vec::new();
    let mut en: Vec<String> = Vec::new();
    let parts = [
        ("", "", &notice.event),
        ("威胁方式：", "How it works: ", &notice.threat),
        ("影响范围：", "Where: ", &notice.scope),
        ("可能影响：", "Possible impact: ", &notice.impact),
    ];
    for (head_zh, head_en, text) in parts.into_iter().filter(|(.., t)| !t.is_empty()) {
        zh.push(format!("{head_zh}{}", text.pick(true)));
        en.push(format!("{head_en}{}", text.pick(false)));
    }
    if let Some(told) = &copy.disclosed {
        let hosts: BTreeSet<&str> = told.hosts.iter().map(|m| m.host.as_str()).collect();
        let more = hosts.len().saturating_sub(HOSTS_SHOWN) + told.beyond;
        let shown = hosts.into_iter().take(HOSTS_SHOWN).collect::<Vec<_>>();
        let list = |comma: &str, rest: &str| {
            let rest = if more > 0 { rest.to_owned() } else { String::new() };
            if shown.is_empty() { String::new() } else { format!(" ({}{rest})", shown.join(comma)) }
        };
        zh.push(format!("关联情况：{}{}", told.text.zh, list("、", " 等")));
        en.push(format!("Elsewhere and here: {}{}", told.text.en, list(", ", ", …")));
    }
    if !copy.step.ends() {
        for (at, measure) in notice.measures.iter().enumerate() {
            zh.push(format!("{}. {}", at + 1, measure.pick(true)));
            en.push(format!("{}. {}", at + 1, measure.pick(false)));
        }
        if sign {
            let (receipt, feedback) = (span(copy.receipt_s), span(copy.feedback_s));
            zh.push(format!("请在 {}内签收，{}内反馈。", receipt.zh, feedback.zh));
            en.push(format!("Sign for it within {}, feed back within {}.", receipt.en, feedback.en));
        }
    }
    zh.push(format!("发布单位：{}；第 {} 版；{}", copy.issuer.pick(true), copy.number, copy.issued));
    en.push(format!("Issued by {}; revision {}; {}", copy.issuer.pick(false), copy.number, copy.issued));
    Both::new(zh.join("\n"), en.join("\n"))
}

impl Receipt {
    fn message(&self, recipient: Recipient, once: &str, what: Both, text: Both, desk: &Desk) -> Message {
        let title = self.last().map(|c| c.notice.title.clone()).unwrap_or_default();
        let mark = |zh: bool| match (self.exercise, zh) {
            (true, true) => "【演练】",
            (true, false) => "[EXERCISE] ",
            _ => "",
        };
        Message {
            key: format!("{}:{}:{once}", self.id, self.last().map_or(0, |c| c.number)),
            recipient,
            level: self.level,
            kind: Self::KIND.to_owned(),
            id: self.id.clone(),
            thread: self.warning.clone(),
            title: Both::new(
                format!("{}【{}】{}", mark(true), what.zh, title.pick(true)),
                format!("{}[{}] {}", mark(false), what.en, title.pick(false)),
            ),
            text,
            revision: None,
            exercise: self.exercise,
            time: desk.now,
        }
    }

    fn to_unit(&self, role: &str) -> Recipient {
        Recipient::Unit { unit: self.unit.clone(), role: role.to_owned() }
    }

    /// The newest copy, to whoever is on duty.
    pub(super) fn tell_unit(&self, desk: &Desk, out: &mut Effects) {
        let Some(copy) = self.last() else { return };
        let mut message = self.message(self.to_unit(LINE[0]), "copy", headline(copy), body(copy, self.signature().is_none()), desk);
        message.revision = Some(Box::new(copy.clone()));
        out.tell(message);
    }

    /// Nobody signed: the next in line, with the warning itself.
    pub(super) fn tell_up(&self, desk: &Desk, out: &mut Effects) {
        let Some(copy) = self.last() else { return };
        let role = LINE.get(usize::from(self.escalated)).copied().unwrap_or(LINE[3]);
        let (head, text) = (headline(copy), body(copy, true));
        let what = Both::new(format!("未签收·{}", head.zh), format!("NOT SIGNED FOR: {}", head.en));
        let text = Both::new(
            format!("值班人员未按时签收，请立即处理。\n{}", text.zh),
            format!("Whoever is on duty did not sign for it in time; please see to it now.\n{}", text.en),
        );
        let mut message = self.message(self.to_unit(role), &format!("up:{}:{}", self.round, self.escalated), what, text, desk);
        message.revision = Some(Box::new(copy.clone()));
        out.tell(message);
    }

    pub(super) fn tell_city_unsigned(&self, last: bool, desk: &Desk, out: &mut Effects) {
        let unit = self.named(desk);
        let text = if last {
            Both::new(
                format!("{}无人签收，已通知至保护工作部门，请电话联系。", unit.zh),
                format!("Nobody at {} has signed for it; its protection department was told. Call them.", unit.en),
            )
        } else {
            Both::new(
                format!("{}未按时签收，已通知替补联系人。", unit.zh),
                format!("{} did not sign for it in time; the substitute was told.", unit.en),
            )
        };
        let to = Recipient::City { right: Permission::WarningsDraft };
        let what = Both::new("逾期未签收", "not signed for");
        out.tell(self.message(to, &format!("unsigned:{}:{}", self.round, self.escalated), what, text, desk));
    }

    pub(super) fn tell_no_feedback(&self, desk: &Desk, out: &mut Effects) {
        let once = format!("nofeedback:{}:{}:{}", self.round, self.feedback.len(), self.reminded);
        let what = Both::new("逾期未反馈", "no feedback");
        let ask = Both::new(
            "请反馈是否受影响、涉及数量、已采取的措施和需要的支援。",
            "Say whether you are affected, how many, what you did and what help you need.",
        );
        out.tell(self.message(self.to_unit(LINE[0]), &once, what.clone(), ask, desk));
        let unit = self.named(desk);
        let text = Both::new(format!("{}未按时反馈。", unit.zh), format!("{} did not feed back in time.", unit.en));
        let to = Recipient::City { right: Permission::WarningsDraft };
        out.tell(self.message(to, &format!("city:{once}"), what, text, desk));
    }

    /// The city hears at once of an attack, of damage, of a call for help.
    pub(super) fn tell_feedback(&self, desk: &Desk, out: &mut Effects) {
        let Some(given) = self.feedback.last() else { return };
        if given.affected < Affected::Attacked && given.help.trim().is_empty() {
            return;
        }
        let unit = self.named(desk);
        let (zh, en) = match given.affected {
            Affected::No => ("未受影响", "not affected"),
            Affected::Exposed => ("存在风险", "exposed"),
            Affected::Attacked => ("遭受攻击", "attacked"),
            Affected::Damaged => ("造成损害", "damaged"),
        };
        let help = given.help.trim();
        let asks = |zh: bool| match (help.is_empty(), zh) {
            (true, _) => String::new(),
            (false, true) => format!("请求支援：{help}"),
            (false, false) => format!(" Asks for help: {help}"),
        };
        let text = Both::new(
            format!("{}反馈：{zh}，涉及 {} 个对象。{}", unit.zh, given.objects, asks(true)),
            format!("{} feeds back: {en}, {} objects.{}", unit.en, given.objects, asks(false)),
        );
        let to = Recipient::City { right: Permission::WarningsDraft };
        let once = format!("feedback:{}", self.feedback.len());
        out.tell(self.message(to, &once, Both::new("单位反馈", "feedback"), text, desk));
    }

    /// The unit's name.
    fn named(&self, desk: &Desk) -> Both {
        let unit = desk.book.units.get(&self.unit);
        let name = |zh: bool| unit.map(|u| if zh || u.name_en.is_empty() { &u.name } else { &u.name_en }).filter(|n| !n.is_empty());
        Both::new(name(true).unwrap_or(&self.unit).clone(), name(false).unwrap_or(&self.unit).clone())
    }
}
