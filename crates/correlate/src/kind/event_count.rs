//! `event_count`: how many findings in a window.

use event::{Finding, Reason};
use rule::Correlation;

use super::{Kind, Measured, Refusal, most_entries, window_s};

pub(super) struct EventCount;

impl Kind for EventCount {
    fn word(&self) -> &'static str {
        "event_count"
    }
    fn about(&self) -> &'static str {
        "how many events in a window"
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        if rule.condition.is_empty() {
            return Err(("an event_count without a condition".into(), "write e.g. `condition: {gte: 10}`".into()));
        }
        Ok(())
    }
    fn default_threshold(&self, _rule: &Correlation) -> Option<u64> {
        None
    }
    fn samples(&self, _rule: &Correlation, _slot: usize, _finding: &Finding) -> Option<Vec<String>> {
        Some(Vec::new())
    }
    fn measure(&self, window: Measured<'_>) -> u64 {
        most_entries(&window)
    }
    fn reason(&self, rule: &Correlation, _titles: &[String], measured: u64, threshold: u64) -> Reason {
        Reason::new("count_reached").arg("count", measured).arg("threshold", threshold).arg("window_s", window_s(rule))
    }
}
