//! What follows an issue: update, upgrade, downgrade, extend, lift, cancel, expire; notes. Every one but a note is a further revision.

use std::collections::BTreeSet;

use event::Timestamp;
use serde_json::json;

use super::content::{after, fill, first_reminder, said, short};
use super::draft::{only_content, person, reason as because, touch};
use super::words::{level_name, listed};
use super::{Draft, NOTES_MAX, Said, State, Verdict, Warning, Wish};
use crate::notice::Step;
use crate::receipt::Receipt;
use crate::{Both, Desk, Effects, Kind, Matter, Refusal, Revision};

impl Warning {
    fn issued(&self) -> Result<(&Revision, Verdict), Refusal> {
        match (self.last(), self.issued_level) {
            (Some(last), Some(level)) => Ok((last, level)),
            _ => Err(Refusal::because("it is not issued yet", "预警尚未发布")),
        }
    }

    /// A draft of the next revision as the last one was.
    pub(super) fn next_draft(&self, step: Step, desk: &Desk) -> Result<Draft, Refusal> {
        let (last, level) = self.issued()?;
        Ok(Draft {
            step,
            stage: State::Assessing,
            notice: last.notice.clone(),
            certainty: last.certainty,
            tlp: last.tlp,
            pap: last.pap,
            units: last.units.clone(),
            sectors: last.sectors.clone(),
            level: Some(level),
            reason: String::new(),
            drafted_by: desk.by.name.clone(),
            drafted_at: desk.now,
            hands: desk.by.role.map(|_| desk.by.name.clone()).into_iter().collect(),
            approved: None,
            returned: None,
            reminder: first_reminder(Some(level), desk),
        })
    }

    /// A revision somebody prepares is not overwritten; the desk's own draft that nobody touched is.
    fn no_draft(&self) -> Result<(), Refusal> {
        if self.draft.as_ref().is_some_and(|d| !d.hands.is_empty()) {
            return Err(Refusal::because("a revision is being prepared: issue or discard it first", "已有正在准备的版本，请先发布或放弃"));
        }
        Ok(())
    }

    pub(super) fn update(&mut self, mut wish: Wish, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        self.no_draft()?;
        let reason = said(&std::mem::take(&mut wish.reason), ("reason", "理由"))?;
        only_content(&wish)?;
        let mut draft = self.next_draft(Step::Update, desk)?;
        fill(&mut draft, &wish, desk, true)?;
        draft.reason = reason;
        self.go(draft, desk, out)
    }

    pub(super) fn upgrade(&mut self, mut wish: Wish, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        self.no_draft()?;
        let (_, issued) = self.issued()?;
        let reason = said(&std::mem::take(&mut wish.reason), ("reason", "理由"))?;
        let level = wish.level.take().ok_or_else(|| Refusal::because("'level' is missing", "缺少新级别"))?;
        if level <= issued {
            return Err(Refusal::because(
                format!("{} is no higher than {}, which is issued", level.name(), issued.name()),
                format!("{}不高于已发布的{}", level_name(level).zh, level_name(issued).zh),
            ));
        }
        only_content(&wish)?;
        let mut draft = self.next_draft(Step::Upgrade, desk)?;
        fill(&mut draft, &wish, desk, true)?;
        draft.level = Some(level);
        draft.reason.clone_from(&reason);
        self.judged_by_hand(level, reason, desk);
        self.go(draft, desk, out)
    }

    pub(super) fn downgrade(&mut self, mut wish: Wish, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        self.no_draft()?;
        let (_, issued) = self.issued()?;
        let reason = said(&std::mem::take(&mut wish.reason), ("reason", "理由"))?;
        only_content(&wish)?;
        let Some(below) = issued.level().and_then(|l| l.below()) else {
            return Err(Refusal::because(
                format!("there is nothing below {}: 'lift' it", issued.name()),
                format!("{}之下没有更低级别，请解除", level_name(issued).zh),
            ));
        };
        let unmet = self.not_yet_down(desk)?;
        if !unmet.is_empty() {
            let unmet = listed(&unmet);
            return Err(Refusal::because(format!("it may not go down yet: {}", unmet.en), format!("尚不能降级：{}", unmet.zh)));
        }
        let mut draft = self.next_draft(Step::Downgrade, desk)?;
        fill(&mut draft, &wish, desk, true)?;
        draft.level = Some(Verdict::of(below));
        draft.reason = reason;
        self.go(draft, desk, out)
    }

    pub(super) fn extend(&mut self, reason: String, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        let mut draft = self.next_draft(Step::Extend, desk)?;
        draft.reason = said(&reason, ("reason", "理由"))?;
        self.room()?;
        let why = self.why(&draft);
        self.publish(&draft, why, desk, out)
    }

    pub(super) fn lift(&mut self, reason: String, override_reason: String, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        let reason = said(&reason, ("reason", "理由"))?;
        short(&override_reason, ("override_reason", "强制解除理由"))?;
        let mut draft = self.next_draft(Step::Lift, desk)?;
        let unmet = self.not_yet_over(desk)?;
        draft.reason.clone_from(&reason);
        let mut why = self.why(&draft);
        if !unmet.is_empty() {
            let unmet = listed(&unmet);
            let text = override_reason.trim();
            if text.is_empty() {
                return Err(Refusal::because(
                    format!("it may not be lifted yet: {}. Say in 'override_reason' why all the same", unmet.en),
                    format!("尚不能解除：{}。如仍须解除，请填写强制解除理由", unmet.zh),
                ));
            }
            why.push(because("lift_override", &[("unmet", json!(unmet.zh)), ("text", json!(text))]));
        }
        self.end(&draft, why, reason, desk, out)
    }

    pub(super) fn cancel(&mut self, reason: String, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        let reason = said(&reason, ("reason", "理由"))?;
        if self.revisions.is_empty() {
            self.draft = None;
            self.ended = Some(Said { by: desk.by.name.clone(), at: desk.now, text: reason });
            return Ok(());
        }
        let mut draft = self.next_draft(Step::Cancel, desk)?;
        draft.reason.clone_from(&reason);
        let why = self.why(&draft);
        self.end(&draft, why, reason, desk, out)
    }

    pub(super) fn expire(&mut self, reason: String, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        person(desk)?;
        let reason = said(&reason, ("reason", "理由"))?;
        let mut draft = self.next_draft(Step::Expire, desk)?;
        if self.overdue.is_none() {
            return Err(Refusal::because("it is still valid: 'lift' it, with its reason", "尚在有效期内，请用“解除”并说明理由"));
        }
        draft.reason.clone_from(&reason);
        let why = self.why(&draft);
        self.end(&draft, why, reason, desk, out)
    }

    /// The last revision.
    pub(super) fn end(
        &mut self,
        draft: &Draft,
        why: Vec<warning::AlertReason>,
        reason: String,
        desk: &Desk,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        self.publish(draft, why, desk, out)?;
        self.draft = None;
        self.ended = Some(Said { by: desk.by.name.clone(), at: desk.now, text: reason });
        Ok(())
    }

    pub(super) fn note(&mut self, text: String, desk: &Desk) -> Result<(), Refusal> {
        let text = said(&text, ("text", "内容"))?;
        self.remember(text, desk);
        Ok(())
    }

    /// The newest notes are kept; all are in the history.
    pub(super) fn remember(&mut self, text: String, desk: &Desk) {
        if self.notes.len() >= NOTES_MAX {
            self.notes.remove(0);
        }
        self.notes.push(Said { by: desk.by.name.clone(), at: desk.now, text });
    }

    /// Out at once, or to the second person.
    fn go(&mut self, mut draft: Draft, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        self.fit_to_send(&draft, desk)?;
        touch(&mut draft, desk)?;
        self.draft = Some(draft);
        if self.needs_second(desk) {
            if let Some(draft) = &mut self.draft {
                draft.stage = State::Approving;
            }
            self.tell_submitted(desk, out);
            return Ok(());
        }
        let Some(draft) = self.draft.take() else { return Ok(()) };
        let why = self.why(&draft);
        self.publish(&draft, why, desk, out)
    }

    /// An upgrade is an assessment too.
    fn judged_by_hand(&mut self, level: Verdict, reason: String, desk: &Desk) {
        let recommended = self.recommended.as_ref().map(super::Recommended::verdict);
        self.settled = self.settled.max(recommended);
        self.judge(level, desk);
        self.assessed = Some(super::Assessed { level, recommended, reason, by: desk.by.name.clone(), at: desk.now });
    }

    /// What still keeps it from going down a step.
    pub fn not_yet_down(&self, desk: &Desk) -> Result<Vec<Both>, Refusal> {
        let (_, issued) = self.issued()?;
        let mut unmet = Vec::new();
        match self.lower {
            None => unmet.push(Both::new(
                format!("研判与推荐均不低于{}", level_name(issued).zh),
                format!("the newest judgement is not below {}; 'assess' it if it should be", issued.name()),
            )),
            Some(lower) => {
                let ready = after(lower.since, desk.book.tables.desk.service.of(issued.level()).dwell_min);
                if ready > desk.now {
                    unmet.push(until(ready, ("降级须持续至", "it must stay lower until")));
                }
            }
        }
        unmet.extend(self.silent_cii(desk)?);
        Ok(unmet)
    }

    /// CII units that were told and neither fed back nor are marked overdue.
    fn silent_cii(&self, desk: &Desk) -> Result<Option<Both>, Refusal> {
        let cii: BTreeSet<&str> = desk.book.objects.values().filter(|o| o.cii).map(|o| o.unit.as_str()).collect();
        let mut silent = Vec::new();
        for unit in self.last().iter().flat_map(|r| &r.units).filter(|u| cii.contains(u.as_str())) {
            let receipt = desk.get::<Receipt>(&Receipt::id(&self.id, unit))?;
            if receipt.is_some_and(|r| r.is_awaited()) {
                silent.push(unit.as_str());
            }
        }
        let shown = silent.iter().take(10).copied().collect::<Vec<_>>().join(", ");
        Ok((!silent.is_empty()).then(|| {
            Both::new(
                format!("{} 家关键信息基础设施单位尚未反馈（{shown}）", silent.len()),
                format!("{} units with critical infrastructure have not fed back ({shown})", silent.len()),
            )
        }))
    }

    /// What still keeps it from being lifted.
    pub fn not_yet_over(&self, desk: &Desk) -> Result<Vec<Both>, Refusal> {
        let (last, issued) = self.issued()?;
        let mut unmet = Vec::new();
        if last.issuer != desk.book.tables.desk.issuer {
            unmet.push(Both::new(
                format!("由{}发布，应由其解除", last.issuer.pick(true)),
                format!("{} issued it and lifts it", last.issuer.pick(false)),
            ));
        }
        if issued > Verdict::Advisory {
            match self.quiet {
                None => unmet.push(Both::new("最近的研判仍达到蓝色或以上", "the newest judgement is still blue or above")),
                Some(quiet) => {
                    let ready = after(quiet.since, desk.book.tables.desk.release.quiet_min);
                    if ready > desk.now {
                        unmet.push(until(ready, ("须持续低于蓝色至", "it must stay below blue until")));
                    }
                }
            }
        }
        let open = self.open_orders(desk)?;
        if open > 0 {
            unmet.push(Both::new(format!("{open} 项处置尚未办结"), format!("{open} orders are still open")));
        }
        Ok(unmet)
    }

    fn open_orders(&self, desk: &Desk) -> Result<usize, Refusal> {
        let Some(kind) = Kind::find("order") else { return Ok(0) };
        let mut open = 0;
        for id in desk.linked(kind.word, &self.id)? {
            let card = desk.shelf.get(kind.word, &id)?.and_then(|stored| (kind.card)(&stored.body));
            open += usize::from(card.is_none_or(|c| !c.closed));
        }
        Ok(open)
    }
}

fn until(time: Timestamp, words: (&str, &str)) -> Both {
    Both::new(format!("{} {time}", words.0), format!("{} {time}", words.1))
}

/// Receipts are found by their name, so a warning need not list them.
impl Warning {
    pub fn receipts(&self) -> Vec<String> {
        self.last().iter().flat_map(|r| &r.units).map(|unit| Receipt::id(&self.id, unit)).collect()
    }
    pub const fn kind() -> &'static str {
        <Self as Matter>::KIND
    }
}
