//! What people on the city's side are told of a warning, in both languages.

use super::{Recommended, State, Verdict, Warning};
use crate::{Both, Desk, Effects, Matter, Message, Permission, Recipient};

/// A level for people.
pub fn level_name(level: Verdict) -> Both {
    match level {
        Verdict::None => Both::new("无需预警", "nothing to warn of"),
        Verdict::Advisory => Both::new("风险提示", "advisory"),
        Verdict::Blue => Both::new("蓝色", "blue"),
        Verdict::Yellow => Both::new("黄色", "yellow"),
        Verdict::Orange => Both::new("橙色", "orange"),
        Verdict::Red => Both::new("红色", "red"),
    }
}

pub(super) const fn state_zh(state: State) -> &'static str {
    match state {
        State::Draft => "尚在草拟",
        State::Assessing => "正在研判",
        State::Approving => "正在审批",
        State::Issued => "已发布",
        State::Lifted => "已解除",
        State::Expired => "已到期",
        State::Cancelled => "已撤销",
    }
}

/// `a; b`
pub(super) fn listed(all: &[Both]) -> Both {
    let join = |zh: bool, comma: &str| all.iter().map(|b| b.pick(zh)).collect::<Vec<_>>().join(comma);
    Both::new(join(true, "；"), join(false, "; "))
}

impl Warning {
    /// One message to everybody on the city's side with that right. `once` tells it from others about this warning.
    fn tell(&self, right: Permission, once: &str, what: Both, text: Both, desk: &Desk, out: &mut Effects) {
        let title = self.title();
        let mark = |zh: bool| match (self.exercise, zh) {
            (true, true) => "【演练】",
            (true, false) => "[EXERCISE] ",
            _ => "",
        };
        out.tell(Message {
            key: format!("{}:{once}", self.id),
            recipient: Recipient::City { right },
            level: self.draft.as_ref().and_then(|d| d.level).and_then(Verdict::level).or_else(|| self.highest()),
            kind: Self::KIND.to_owned(),
            id: self.id.clone(),
            thread: self.id.clone(),
            title: Both::new(
                format!("{}{}：{}", mark(true), what.zh, title.pick(true)),
                format!("{}{}: {}", mark(false), what.en, title.pick(false)),
            ),
            text,
            revision: None,
            exercise: self.exercise,
            time: desk.now,
        });
    }

    /// Recommended or issued, whichever is higher: a message is as urgent as what it is about.
    fn highest(&self) -> Option<warning::grade::Level> {
        self.issued_level.max(self.recommended.as_ref().map(Recommended::verdict)).and_then(Verdict::level)
    }

    /// What is recommended, and beside it what is out.
    fn levels(&self) -> Both {
        let recommended = self.recommended.as_ref().map_or_else(|| Both::new("无", "none"), |r| level_name(r.verdict()));
        let issued = self.issued_level.map_or_else(|| Both::new("尚未发布", "not issued"), level_name);
        Both::new(
            format!("推荐级别：{}；已发布：{}。", recommended.zh, issued.zh),
            format!("Recommended: {}; issued: {}.", recommended.en, issued.en),
        )
    }

    fn then(&self, zh: &str, en: &str) -> Both {
        let levels = self.levels();
        Both::new(format!("{}{zh}", levels.zh), format!("{} {en}", levels.en))
    }

    pub(super) fn tell_drafted(&self, desk: &Desk, out: &mut Effects) {
        let level = self.recommended.as_ref().map_or(Verdict::None, Recommended::verdict);
        let what = if self.revisions.is_empty() {
            Both::new("预警待研判", "a warning to assess")
        } else {
            Both::new("预警建议调整，待确认", "a change to a warning to confirm")
        };
        let above = (level > self.right(desk)).then_some(());
        let text = match above {
            Some(()) => {
                self.then("请研判。该级别超出发布权限，须建议上报。", "Assess it. The level is above this body's right: propose it upward.")
            }
            None => self.then("请研判。", "Assess it."),
        };
        let once = format!("{}:{}:drafted", self.revisions.len(), self.recommendations.len());
        self.tell(Permission::WarningsDraft, &once, what, text, desk, out);
    }

    pub(super) fn tell_submitted(&self, desk: &Desk, out: &mut Effects) {
        let text = self.then("请由未参与起草和研判的人员审批。", "Somebody who had no hand in it approves it or sends it back.");
        let once = format!("{}:{}:submitted", self.revisions.len(), desk.now);
        self.tell(Permission::WarningsRelease, &once, Both::new("预警待审批", "a warning to approve"), text, desk, out);
    }

    pub(super) fn tell_returned(&self, desk: &Desk, out: &mut Effects) {
        let why = self.draft.as_ref().and_then(|d| d.returned.as_ref()).map(|r| r.text.clone()).unwrap_or_default();
        let once = format!("{}:{}:returned", self.revisions.len(), desk.now);
        self.tell(Permission::WarningsDraft, &once, Both::new("预警被退回", "a warning came back"), Both::new(why.clone(), why), desk, out);
    }

    pub(super) fn tell_proposed(&self, desk: &Desk, out: &mut Effects) {
        let Some(proposal) = &self.proposal else { return };
        let level = level_name(proposal.level);
        let text = Both::new(
            format!("建议由{}发布{}预警。理由：{}。请上报并登记批复。", proposal.to.pick(true), level.zh, proposal.reason),
            format!(
                "{} should issue it as {}. Why: {}. Pass it on, and record the answer.",
                proposal.to.pick(false),
                level.en,
                proposal.reason
            ),
        );
        let once = format!("{}:{}:proposed", self.revisions.len(), desk.now);
        self.tell(Permission::WarningsRelease, &once, Both::new("建议上报", "proposed upward"), text, desk, out);
    }

    pub(super) fn tell_answered(&self, desk: &Desk, out: &mut Effects) {
        let Some(answer) = self.proposal.as_ref().and_then(|p| p.answer.as_ref()) else { return };
        let text = match answer.level {
            Some(level) => {
                let level = level_name(level);
                Both::new(
                    format!("上级批准发布至{}（{}）。", level.zh, answer.reference),
                    format!("Granted up to {} ({}).", level.en, answer.reference),
                )
            }
            None => Both::new(format!("上级未批准（{}）。", answer.reference), format!("Not granted ({}).", answer.reference)),
        };
        let once = format!("{}:{}:answered", self.revisions.len(), desk.now);
        self.tell(Permission::WarningsDraft, &once, Both::new("上级批复", "the superior's answer"), text, desk, out);
    }

    pub(super) fn tell_waiting(&self, approving: bool, sent: u32, desk: &Desk, out: &mut Effects) {
        let (right, what) = if approving {
            (Permission::WarningsRelease, Both::new("预警仍待审批", "a warning still waits for approval"))
        } else {
            (Permission::WarningsDraft, Both::new("预警仍待研判或发布", "a warning still waits to be assessed or issued"))
        };
        let since = self.draft.as_ref().map(|d| d.drafted_at).unwrap_or(desk.now);
        let text = self.then(&format!("自 {since} 起等待。"), &format!("It has waited since {since}."));
        self.tell(right, &format!("{}:{since}:waiting:{approving}:{sent}", self.revisions.len()), what, text, desk, out);
    }

    pub(super) fn tell_review(&self, desk: &Desk, out: &mut Effects) {
        let text = self.then("请复核：更新、升级、降级、延期或解除。", "Look at it again: update, upgrade, downgrade, extend or lift.");
        let once = format!("{}:{}:review", self.revisions.len(), desk.now);
        self.tell(Permission::WarningsDraft, &once, Both::new("预警待复核", "a warning to review"), text, desk, out);
    }

    pub(super) fn tell_overdue(&self, sent: u32, desk: &Desk, out: &mut Effects) {
        let text = self.then(
            "有效期已过，预警仍然有效，请立即延期、解除或终止。",
            "Its validity is over and it still stands: extend it, lift it or let it end, now.",
        );
        let once = format!("{}:overdue:{sent}", self.revisions.len());
        self.tell(Permission::WarningsRelease, &once, Both::new("预警已过有效期", "a warning is past its validity"), text, desk, out);
    }

    pub(super) fn tell_may_go_down(&self, desk: &Desk, out: &mut Effects) {
        let text = self.then("研判持续较低已满规定时间，可降一级。", "It has been judged lower for long enough: it may go down a step.");
        let once = format!("{}:{}:lower", self.revisions.len(), desk.now);
        self.tell(Permission::WarningsDraft, &once, Both::new("预警可降级", "a warning may go down"), text, desk, out);
    }

    pub(super) fn tell_may_be_lifted(&self, desk: &Desk, out: &mut Effects) {
        let text = self.then("持续低于蓝色已满规定时间，可解除。", "It has been below blue for long enough: it may be lifted.");
        let once = format!("{}:{}:quiet", self.revisions.len(), desk.now);
        self.tell(Permission::WarningsRelease, &once, Both::new("预警可解除", "a warning may be lifted"), text, desk, out);
    }
}
