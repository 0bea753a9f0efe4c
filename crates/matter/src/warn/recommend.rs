//! The desk's own voice: a new recommendation for a warning that is open. Up: a draft at once, for a person to confirm. Down: noted.

use event::Timestamp;

use super::content::{fill, recommended_of};
use super::{MARKS_MAX, Mark, Recommended, State, Verdict, Warning, Wish};
use crate::notice::Step;
use crate::{Desk, Effects, Refusal};

impl Warning {
    pub(super) fn recommend(&mut self, mut wish: Wish, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        if self.state.closed() {
            return Ok(());
        }
        if wish.exercise != self.exercise {
            return Err(Refusal::because("a drill and the real thing do not mix", "演练与真实预警不得混用"));
        }
        let Some(new) = recommended_of(&mut wish, desk)? else {
            return Err(Refusal::because("'recommended' or 'case' is missing", "缺少推荐结果或案例"));
        };
        let before = self.recommended.as_ref().map(Recommended::verdict);
        let level = new.verdict();
        self.recommended = Some(new);
        self.mark(desk.now);
        // A fall forgets what was decided above it: rising again asks again.
        self.settled = self.settled.filter(|s| before.is_none_or(|b| level >= b) || *s <= level);
        if self.revisions.is_empty() {
            self.judged = Some(level);
            if let Some(draft) = self.draft.as_mut().filter(|d| d.stage == State::Draft && d.hands.is_empty()) {
                fill(draft, &wish, desk, true)?;
            }
            if Some(level) > before {
                self.tell_drafted(desk, out);
            }
            return Ok(());
        }
        if before != Some(level) {
            self.judge(level, desk);
        }
        self.next(level, &wish, desk, out)
    }

    /// The draft of the next revision, where the recommendation asks for one nobody has decided on.
    fn next(&mut self, level: Verdict, wish: &Wish, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let Some((issued, told)) = self.issued_level.zip(self.last().map(|r| r.units.clone())) else { return Ok(()) };
        let concerned = self.recommended.as_ref().map(|r| r.concerned.clone()).unwrap_or_default();
        let more: Vec<String> =
            concerned.into_iter().filter(|u| !told.contains(u) && !self.declined.contains(u) && desk.book.units.contains_key(u)).collect();
        let up = level > issued && Some(level) > self.settled;
        if let Some(draft) = &mut self.draft {
            // Somebody works on it: they see the new recommendation beside it.
            if !draft.hands.is_empty() {
                return Ok(());
            }
            let risen = level > issued && draft.step != Step::Upgrade;
            fill(draft, &Wish { units: Some(more), ..wish.clone() }, desk, true)?;
            if risen {
                draft.step = Step::Upgrade;
                self.tell_drafted(desk, out);
            }
            return Ok(());
        }
        if !up && more.is_empty() {
            return Ok(());
        }
        let mut draft = self.next_draft(if up { Step::Upgrade } else { Step::Update }, desk)?;
        draft.stage = State::Draft;
        draft.level = None;
        fill(&mut draft, &Wish { units: Some(more), ..wish.clone() }, desk, true)?;
        draft.reminder = super::content::first_reminder(Some(level), desk);
        self.draft = Some(draft);
        self.tell_drafted(desk, out);
        Ok(())
    }

    /// Remembers a change of the recommended level; the oldest are forgotten first.
    pub(super) fn mark(&mut self, now: Timestamp) {
        let Some(level) = self.recommended.as_ref().map(Recommended::verdict) else { return };
        if self.recommendations.last().is_none_or(|m| m.level != level) {
            if self.recommendations.len() >= MARKS_MAX {
                self.recommendations.remove(0);
            }
            self.recommendations.push(Mark { at: now, level });
        }
    }
}
