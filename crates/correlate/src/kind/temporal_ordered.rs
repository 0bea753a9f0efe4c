//! `temporal_ordered`: the rules one after another within one window. Equal times count as in order, because many logs have
//! whole seconds; one event never counts for two steps in a row.

use event::{Finding, Reason};
use rule::Correlation;

use super::temporal::{names, several};
use super::{Kind, Measured, Refusal, longest_sequence, window_s};

pub(super) struct TemporalOrdered;

impl Kind for TemporalOrdered {
    fn word(&self) -> &'static str {
        "temporal_ordered"
    }
    fn about(&self) -> &'static str {
        "the rules one after another within a window"
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        several(rule)
    }
    fn default_threshold(&self, rule: &Correlation) -> Option<u64> {
        Some(rule.rules.len() as u64)
    }
    fn samples(&self, _rule: &Correlation, _slot: usize, _finding: &Finding) -> Option<Vec<String>> {
        Some(Vec::new())
    }
    fn is_sequence(&self) -> bool {
        true
    }
    fn measure(&self, window: Measured<'_>) -> u64 {
        longest_sequence(&window)
    }
    fn reason(&self, rule: &Correlation, titles: &[String], _measured: u64, _threshold: u64) -> Reason {
        Reason::new("sequence_complete").arg("rules", names(titles)).arg("window_s", window_s(rule))
    }
}
