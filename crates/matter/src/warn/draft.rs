//! From a draft to an issued revision: edit, assess, submit, approve, send back, issue, discard; and what is above one's right: propose it.

use warning::AlertReason;
use warning::grade::Level;

use super::content::{fill, first_reminder, said, short};
use super::words::level_name;
use super::{Answer, Assessed, Authority, Draft, HANDS_MAX, Proposal, Recommended, Said, Since, State, Verdict, Warning, Wish};
use crate::notice::{Certainty, Step};
use crate::{Both, Desk, Effects, Refusal};

impl Warning {
    /// The draft, or why there is none to work on.
    fn open_draft(&mut self) -> Result<&mut Draft, Refusal> {
        self.draft.as_mut().ok_or_else(|| {
            Refusal::because(
                "no revision is being prepared; 'update', 'upgrade' or 'downgrade' begins one",
                "当前没有正在准备的版本，请用“更新”“升级”或“降级”",
            )
        })
    }

    pub(super) fn edit(&mut self, wish: Wish, desk: &Desk) -> Result<(), Refusal> {
        only_content(&wish)?;
        let add = !self.revisions.is_empty();
        let draft = self.open_draft()?;
        not_in_approval(draft)?;
        fill(draft, &wish, desk, add)?;
        touch(draft, desk)
    }

    /// 研判. On an issued warning without a draft it is a judgement of what is out: it starts or ends the dwell time.
    pub(super) fn assess(&mut self, level: Verdict, reason: String, certainty: Option<Certainty>, desk: &Desk) -> Result<(), Refusal> {
        person(desk)?;
        short(&reason, ("reason", "理由"))?;
        let reason = reason.trim().to_owned();
        let recommended = self.recommended.as_ref().map(Recommended::verdict);
        if recommended != Some(level) && reason.is_empty() {
            return Err(match recommended {
                Some(r) => Refusal::because(
                    format!("{} is recommended; say in 'reason' why it is {}", r.name(), level.name()),
                    format!("推荐级别为{}，研判为{}须说明理由", level_name(r).zh, level_name(level).zh),
                ),
                None => Refusal::because("nothing was recommended; say in 'reason' why it is so", "没有推荐级别，请在“理由”中说明研判依据"),
            });
        }
        let assessed = Assessed { level, recommended, reason, by: desk.by.name.clone(), at: desk.now };
        let issued = self.issued_level;
        if let Some(draft) = &mut self.draft {
            not_in_approval(draft)?;
            if let Some(issued) = issued.filter(|i| level < *i) {
                return Err(Refusal::because(
                    format!("{} is issued: discard this draft, then 'assess' and 'downgrade' or 'lift'", issued.name()),
                    format!("已发布{}，请先放弃草稿，再研判并降级或解除", level_name(issued).zh),
                ));
            }
            if issued.is_some() {
                draft.step = if Some(level) > issued { Step::Upgrade } else { Step::Update };
            }
            touch(draft, desk)?;
            draft.level = Some(level);
            draft.stage = State::Assessing;
            draft.reason.clone_from(&assessed.reason);
            draft.certainty = certainty.unwrap_or(draft.certainty);
        }
        self.settled = self.settled.max(recommended);
        self.judge(level, desk);
        self.assessed = Some(assessed);
        Ok(())
    }

    pub(super) fn submit(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        let draft = self.open_draft()?;
        if draft.stage == State::Approving {
            return Err(Refusal::because("it waits for approval already", "已在审批中"));
        }
        self.ready(desk)?;
        let second = self.needs_second(desk);
        let draft = self.open_draft()?;
        touch(draft, desk)?;
        draft.stage = State::Approving;
        draft.returned = None;
        draft.reminder = first_reminder(draft.level, desk);
        if second {
            self.tell_submitted(desk, out);
        }
        Ok(())
    }

    pub(super) fn approve(&mut self, note: String, issue: bool, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        short(&note, ("note", "备注"))?;
        let draft = self.open_draft()?;
        if draft.stage != State::Approving {
            return Err(Refusal::because("it was not submitted for approval", "尚未提交审批"));
        }
        if draft.hands.contains(&desk.by.name) {
            return Err(Refusal::denied("you had a hand in it; a second person must approve", "您参与了起草或研判，须由另一人审批"));
        }
        draft.approved = Some(Said { by: desk.by.name.clone(), at: desk.now, text: note.trim().to_owned() });
        if issue { self.issue(desk, out) } else { Ok(()) }
    }

    /// 退回
    pub(super) fn give_back(&mut self, reason: String, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        let text = said(&reason, ("reason", "理由"))?;
        let draft = self.open_draft()?;
        if draft.stage != State::Approving {
            return Err(Refusal::because("it was not submitted for approval", "尚未提交审批"));
        }
        draft.stage = State::Assessing;
        draft.approved = None;
        draft.returned = Some(Said { by: desk.by.name.clone(), at: desk.now, text });
        draft.reminder = first_reminder(draft.level, desk);
        self.tell_returned(desk, out);
        Ok(())
    }

    pub(super) fn issue(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        self.open_draft()?;
        self.ready(desk)?;
        let second = self.needs_second(desk);
        let draft = self.open_draft()?;
        if second && draft.approved.is_none() {
            return Err(Refusal::denied(
                "this level needs a second person's approval: 'submit' it, and let somebody else 'approve'",
                "该级别须双人审批：请先提交，由另一人批准",
            ));
        }
        let draft = draft.clone();
        let why = self.why(&draft);
        self.publish(&draft, why, desk, out)?;
        self.draft = None;
        Ok(())
    }

    pub(super) fn discard(&mut self, reason: String, desk: &Desk) -> Result<(), Refusal> {
        person(desk)?;
        let text = said(&reason, ("reason", "理由"))?;
        let draft = self.open_draft()?.clone();
        self.draft = None;
        if self.revisions.is_empty() {
            self.ended = Some(Said { by: desk.by.name.clone(), at: desk.now, text });
            return Ok(());
        }
        // Decided: the same recommendation makes no new draft.
        self.settled = self.settled.max(self.recommended.as_ref().map(Recommended::verdict));
        let told: Vec<String> = self.last().map(|r| r.units.clone()).unwrap_or_default();
        self.declined.extend(draft.units.into_iter().filter(|u| !told.contains(u)));
        self.remember(text, desk);
        Ok(())
    }

    /// 建议上报
    pub(super) fn propose(&mut self, reason: String, advisory: bool, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        let reason = said(&reason, ("reason", "理由"))?;
        let right = self.right(desk);
        let draft = self.open_draft()?;
        not_in_approval(draft)?;
        let Some(level) = draft.level.filter(|l| *l > Verdict::Advisory) else {
            return Err(Refusal::because("assess it first: a colour is proposed upward", "请先研判：建议上报须有颜色级别"));
        };
        if level <= right {
            return Err(Refusal::because(
                format!("{} is yours to issue; no need to ask", level.name()),
                format!("{}在发布权限之内，可直接发布", level_name(level).zh),
            ));
        }
        touch(draft, desk)?;
        let to = desk.book.tables.desk.release.superior.clone();
        self.proposal = Some(Proposal { level, to, reason, by: desk.by.name.clone(), at: desk.now, answer: None });
        self.tell_proposed(desk, out);
        if advisory && self.revisions.is_empty() {
            let mut first = self.open_draft()?.clone();
            first.level = Some(Verdict::Advisory);
            first.approved = None;
            self.fit_to_send(&first, desk)?;
            let why = self.why(&first);
            self.publish(&first, why, desk, out)?;
            // What was proposed waits for the answer as the next revision.
            let draft = self.open_draft()?;
            draft.step = Step::Upgrade;
        }
        Ok(())
    }

    /// The superior's answer (批复).
    pub(super) fn answer(
        &mut self,
        accepted: bool,
        level: Option<Verdict>,
        reference: String,
        desk: &Desk,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        person(desk)?;
        let reference = said(&reference, ("reference", "批复文号"))?;
        if reference.chars().count() > 200 {
            return Err(Refusal::because("'reference' has at most 200 characters", "“批复文号”最多 200 字"));
        }
        let Some(proposal) = &mut self.proposal else {
            return Err(Refusal::because("nothing was proposed upward", "没有建议上报的事项"));
        };
        if accepted && level.is_some_and(|l| l <= Verdict::Advisory) {
            return Err(Refusal::because("what is granted is a colour", "批准的级别须为颜色级别"));
        }
        let level = accepted.then(|| level.unwrap_or(proposal.level));
        proposal.answer = Some(Answer { accepted, level, reference, by: desk.by.name.clone(), at: desk.now });
        self.tell_answered(desk, out);
        Ok(())
    }

    /// The highest this warning may be issued as: by the authority table, or as a superior granted.
    pub fn right(&self, desk: &Desk) -> Verdict {
        let table = &desk.book.tables.grading.authority;
        let own = match self.authority {
            Authority::City => table.city,
            Authority::Power => table.power,
        };
        let own = own.map_or(Verdict::Advisory, Verdict::of);
        let granted = self.proposal.as_ref().and_then(|p| p.answer.as_ref()).and_then(|a| a.level);
        granted.map_or(own, |g| g.max(own))
    }

    /// Whether the draft's level, or the one it comes down from, needs a second person.
    pub(super) fn needs_second(&self, desk: &Desk) -> bool {
        let from = desk.book.tables.desk.release.second_person_from;
        let of = |v: Option<Verdict>| v.and_then(Verdict::level).is_some_and(|l: Level| l >= from);
        self.draft.as_ref().is_some_and(|d| of(d.level) || d.step == Step::Downgrade && of(self.issued_level))
    }

    /// Everything a revision needs besides a second person.
    fn ready(&mut self, desk: &Desk) -> Result<(), Refusal> {
        let draft = self.open_draft()?.clone();
        match draft.level {
            None => return Err(Refusal::because("assess it first", "请先研判")),
            Some(Verdict::None) => {
                return Err(Refusal::because(
                    "it was assessed as nothing to warn of: discard it, or assess it again",
                    "研判为无需预警：请放弃草稿或重新研判",
                ));
            }
            Some(_) => {}
        }
        self.fit_to_send(&draft, desk)
    }

    /// Within one's right, to somebody, with something to do.
    pub(super) fn fit_to_send(&self, draft: &Draft, desk: &Desk) -> Result<(), Refusal> {
        let (level, right) = (draft.level.unwrap_or(Verdict::None), self.right(desk));
        if level > right {
            let may = level_name(right);
            return Err(Refusal::denied(
                format!("{} is above what this body may issue ({}): 'propose' it upward; members get an advisory", level.name(), may.en),
                format!("{}超出发布权限（最高{}）：请建议上报，并向成员单位发风险提示", level_name(level).zh, may.zh),
            ));
        }
        if self.authority == Authority::Power
            && let Some(other) = draft.units.iter().find(|u| desk.book.sector_of(u) != "power")
        {
            return Err(Refusal::because(
                format!("unit '{other}' is not of the power sector; issue it by the city's right"),
                format!("单位“{other}”不属于电力行业，请以城市权限发布"),
            ));
        }
        if draft.units.is_empty() {
            return Err(Refusal::because("it goes to nobody: 'edit' its 'units'", "没有发送单位，请在“修改”中填写"));
        }
        if draft.notice.measures.iter().all(Both::is_empty) {
            return Err(Refusal::because("it says nothing to do: 'edit' its 'measures'", "没有防范措施，请在“修改”中填写"));
        }
        self.room()
    }

    /// Reasons of a revision: the recommendation's, where the assessment differs, what a superior granted, why this step.
    pub(super) fn why(&self, draft: &Draft) -> Vec<AlertReason> {
        let mut why: Vec<AlertReason> = self.recommended.iter().flat_map(|r| r.recommendation.reasons.iter().take(20).cloned()).collect();
        if let Some(assessed) = self.assessed.as_ref().filter(|a| a.recommended.is_some_and(|r| r != a.level)) {
            let recommended = assessed.recommended.unwrap_or(Verdict::None);
            why.push(reason(
                "judged",
                &[("recommended", word(recommended)), ("assessed", word(assessed.level)), ("reason", assessed.reason.clone().into())],
            ));
        }
        if let Some((proposal, answer)) = self.proposal.as_ref().and_then(|p| p.answer.as_ref().map(|a| (p, a)))
            && let Some(level) = answer.level
        {
            why.push(reason(
                "granted",
                &[("level", word(level)), ("to", proposal.to.zh.clone().into()), ("reference", answer.reference.clone().into())],
            ));
        }
        if !draft.reason.is_empty() {
            why.push(reason("step_reason", &[("text", draft.reason.clone().into())]));
        }
        why
    }

    /// A judgement of what is out: how long it has been lower than issued, or below blue.
    pub(super) fn judge(&mut self, level: Verdict, desk: &Desk) {
        self.judged = Some(level);
        let Some(issued) = self.issued_level else { return };
        let held = |was: Option<Since>, holds: bool| holds.then(|| was.unwrap_or(Since { since: desk.now, told: false }));
        self.lower = held(self.lower, level < issued);
        self.quiet = held(self.quiet, level < Verdict::Blue);
    }
}

/// A person's hand in a draft; what was approved before is no longer.
pub(super) fn touch(draft: &mut Draft, desk: &Desk) -> Result<(), Refusal> {
    if desk.by.role.is_some() {
        if draft.hands.len() >= HANDS_MAX && !draft.hands.contains(&desk.by.name) {
            return Err(Refusal::because("too many hands in one draft; discard it and begin anew", "参与起草的人过多，请放弃后重新起草"));
        }
        draft.hands.insert(desk.by.name.clone());
    }
    draft.approved = None;
    Ok(())
}

/// Only people assess, approve and issue.
pub(super) fn person(desk: &Desk) -> Result<(), Refusal> {
    if desk.by.role.is_none() {
        return Err(Refusal::denied("only a person may do that", "只有人员可以执行该操作"));
    }
    Ok(())
}

fn not_in_approval(draft: &Draft) -> Result<(), Refusal> {
    if draft.stage == State::Approving {
        return Err(Refusal::because("it is submitted for approval: 'return' it first", "已提交审批，修改前须先退回"));
    }
    Ok(())
}

/// Text and audience only: what a warning belongs to never changes.
pub(super) fn only_content(wish: &Wish) -> Result<(), Refusal> {
    let fixed = [
        ("level", wish.level.is_some()),
        ("reason", !wish.reason.is_empty()),
        ("authority", wish.authority.is_some()),
        ("campaign", wish.campaign.is_some()),
        ("drill", wish.drill.is_some()),
        ("exercise", wish.exercise),
        ("recommended", wish.recommended.is_some()),
        ("case", wish.case.is_some()),
    ];
    match fixed.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Refusal::because(format!("'{name}' cannot be changed here"), format!("“{name}”不能在此修改"))),
        None => Ok(()),
    }
}

pub(super) fn reason(id: &str, args: &[(&str, serde_json::Value)]) -> AlertReason {
    AlertReason { id: id.to_owned(), args: args.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect() }
}

/// A level as an argument that is shown in the reader's language.
fn word(level: Verdict) -> serde_json::Value {
    serde_json::json!({ "word": level.name() })
}
