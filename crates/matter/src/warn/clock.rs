//! What time does to a warning: reminders of a draft that waits, of a review, of an end that nobody decided, and word that it may go down.

use event::Timestamp;
use warning::grade::Level;

use super::content::after;
use super::draft::reason as because;
use super::{Reminder, State, Verdict, Warning};
use crate::notice::Step;
use crate::{Desk, Effects, Refusal};

/// Shortest time between two reminders that it is past its validity, in minutes.
const REMIND_MIN: u32 = 60;

impl Warning {
    /// When time alone changes it next.
    pub(super) fn due(&self) -> Option<Timestamp> {
        if self.state.closed() {
            return None;
        }
        let last = self.last();
        let expiry = match (self.overdue, last) {
            (Some(reminder), _) => Some(reminder.next),
            (None, Some(last)) => Some(last.expires),
            (None, None) => None,
        };
        let draft = self.draft.as_ref().map(|d| d.reminder.next);
        [draft, self.review_due, expiry, self.told_due].into_iter().flatten().min()
    }

    pub(super) fn tick(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let now = desk.now;
        if let Some(mut reminder) = self.draft.as_ref().map(|d| d.reminder).filter(|r| r.next <= now) {
            let base = desk.book.tables.desk.service.of(self.waiting_level()).receipt_min;
            reminder = again(reminder, base.max(1), now);
            let approving = self.draft.as_ref().is_some_and(|d| d.stage == State::Approving);
            if let Some(draft) = &mut self.draft {
                draft.reminder = reminder;
            }
            self.tell_waiting(approving, reminder.sent, desk, out);
        }
        self.say_when_lower(desk, out);
        let Some((issued, expires, level)) = self.last().map(|r| (r.issued, r.expires, r.level)) else { return Ok(()) };
        let service = *desk.book.tables.desk.service.of(level);
        if self.review_due.is_some_and(|due| due <= now) {
            self.review_due = Some(after(now, service.review_min.max(1)));
            // Past its validity the louder reminder says it all.
            if expires > now {
                self.tell_review(desk, out);
            }
        }
        match self.overdue {
            None if expires <= now => {
                let first = Reminder { next: after(now, service.receipt_min.max(REMIND_MIN)), sent: 0 };
                self.overdue = Some(first);
                self.tell_overdue(0, desk, out);
            }
            Some(reminder) if reminder.next <= now => {
                let ends_alone = level.is_none_or(|l| l == Level::Blue);
                if ends_alone && now.since(expires) >= expires.since(issued) {
                    let draft = self.next_draft(Step::Expire, desk)?;
                    let mut why = self.why(&draft);
                    why.push(because("nobody_extended", &[]));
                    let text = "到期后又满一个有效期，无人延期或解除 / nobody extended or lifted it within another period of validity";
                    return self.end(&draft, why, text.to_owned(), desk, out);
                }
                let reminder = again(reminder, service.receipt_min.max(REMIND_MIN), now);
                self.overdue = Some(reminder);
                self.tell_overdue(reminder.sent, desk, out);
            }
            _ => {}
        }
        Ok(())
    }

    /// Says once that it has been lower, or quiet, for long enough.
    fn say_when_lower(&mut self, desk: &Desk, out: &mut Effects) {
        let (now, issued) = (desk.now, self.issued_level);
        let Some(issued) = issued else { return };
        let tables = &desk.book.tables.desk;
        let dwell = tables.service.of(issued.level()).dwell_min;
        if let Some(mut lower) = self.lower.filter(|l| !l.told && issued > Verdict::Blue && after(l.since, dwell) <= now) {
            lower.told = true;
            self.lower = Some(lower);
            self.tell_may_go_down(desk, out);
        }
        if let Some(mut quiet) =
            self.quiet.filter(|q| !q.told && issued > Verdict::Advisory && after(q.since, tables.release.quiet_min) <= now)
        {
            quiet.told = true;
            self.quiet = Some(quiet);
            self.tell_may_be_lifted(desk, out);
        }
    }

    /// When there is something to say of a lower judgement; kept in the body since a card knows no tables.
    pub(super) fn plan(&mut self, desk: &Desk) {
        let tables = &desk.book.tables.desk;
        let issued = self.issued_level.unwrap_or(Verdict::None);
        let lower = self.lower.filter(|l| !l.told && issued > Verdict::Blue);
        let quiet = self.quiet.filter(|q| !q.told && issued > Verdict::Advisory);
        let lower = lower.map(|l| after(l.since, tables.service.of(issued.level()).dwell_min));
        let quiet = quiet.map(|q| after(q.since, tables.release.quiet_min));
        self.told_due = [lower, quiet].into_iter().flatten().min();
    }

    /// The level a waiting draft is about.
    fn waiting_level(&self) -> Option<Level> {
        let draft = self.draft.as_ref().and_then(|d| d.level);
        draft.or_else(|| self.recommended.as_ref().map(super::Recommended::verdict)).and_then(Verdict::level)
    }
}

/// Twice as long as before.
fn again(reminder: Reminder, base_min: u32, now: Timestamp) -> Reminder {
    let sent = reminder.sent.saturating_add(1);
    Reminder { next: after(now, base_min.saturating_mul(1 << sent.min(6))), sent }
}
