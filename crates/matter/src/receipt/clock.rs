//! What time does to a receipt: up the line where nobody signs, reminders where nobody feeds back.

use event::Timestamp;

use super::{Receipt, State};
use crate::notice::Step;
use crate::{Desk, Effects};

/// The line of people of a unit, in order.
pub(super) const LINE: [&str; 4] = ["duty", "substitute", "leader", "protection"];

impl Receipt {
    pub(super) fn due(&self) -> Option<Timestamp> {
        if self.state == State::Ended {
            return None;
        }
        [self.receipt_due, self.feedback_due].into_iter().flatten().min()
    }

    pub(super) fn tick(&mut self, desk: &Desk, out: &mut Effects) {
        let now = desk.now;
        if self.receipt_due.is_some_and(|due| due <= now) {
            self.receipt_overdue.get_or_insert(now);
            self.escalated = self.escalated.saturating_add(1);
            let last = usize::from(self.escalated) + 1 >= LINE.len();
            self.tell_up(desk, out);
            if self.escalated == 1 || last {
                self.tell_city_unsigned(last, desk, out);
            }
            let period = i64::from(self.round_limits().0.max(60));
            self.receipt_due = (!last).then(|| now.plus_secs(period));
        }
        if self.feedback_due.is_some_and(|due| due <= now) {
            self.feedback_overdue.get_or_insert(now);
            self.reminded = self.reminded.saturating_add(1);
            self.tell_no_feedback(desk, out);
            // Each reminder waits twice as long as the one before.
            let again = i64::from(desk.book.tables.desk.service.of(self.level).again_min) * 60;
            let period = if again > 0 { again } else { i64::from(self.round_limits().1) };
            self.feedback_due = Some(now.plus_secs(period.max(60).saturating_mul(1 << self.reminded.min(6))));
        }
    }

    /// Seconds to sign and to feed back, of the revision this round began with.
    fn round_limits(&self) -> (u32, u32) {
        let first = self.copies.iter().find(|c| c.number >= self.round && c.step != Step::Lift).or(self.last());
        first.map_or((0, 0), |c| (c.receipt_s, c.feedback_s))
    }
}
