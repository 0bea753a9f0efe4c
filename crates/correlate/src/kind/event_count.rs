//! `event_count`: how many findings in a window.

use event::Reason;
use rule::Correlation;

use super::{Kind, Refusal, Step, Tally, Telling, shown, with_condition};
use crate::ring::Entry;

pub(super) struct EventCount;

impl Kind for EventCount {
    fn word(&self) -> &'static str {
        "event_count"
    }
    fn about(&self) -> &'static str {
        "how many events in a window"
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        with_condition(rule, "gte: 10")
    }
    fn fixed(&self, _slots: u32) -> Option<u64> {
        Some(0)
    }
    fn reversible(&self) -> bool {
        true
    }
    fn tally(&self, _rule: &Correlation) -> Box<dyn Tally> {
        Box::new(Number(0))
    }
    fn few(&self, window: &[Entry]) -> Option<f64> {
        Some(window.len() as f64)
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        Reason::new("count_reached").arg("count", shown(t.measured)).arg("threshold", shown(t.threshold)).arg("window_s", t.window_s())
    }
}

struct Number(u64);

impl Tally for Number {
    fn clear(&mut self, _folded: &[Step]) {
        self.0 = 0;
    }
    fn enter(&mut self, _entry: &Entry) {
        self.0 += 1;
    }
    fn leave(&mut self, _entry: &Entry) {
        self.0 = self.0.saturating_sub(1);
    }
    fn measure(&self) -> Option<f64> {
        Some(self.0 as f64)
    }
}
