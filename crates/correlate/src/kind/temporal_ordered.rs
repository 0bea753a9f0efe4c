//! `temporal_ordered`: the rules one after another within one window. Equal times count as in order, because many logs have
//! whole seconds; one event never counts for two steps in a row.

use event::Reason;
use rule::Correlation;

use super::sequence::Sequence;
use super::temporal::{names, several};
use super::{Full, Kind, Refusal, Tally, Telling};
use crate::ring::Entry;

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
    fn default_threshold(&self, rule: &Correlation) -> Option<f64> {
        Some(rule.rules.len() as f64)
    }
    fn full(&self) -> Full {
        Full::Chains
    }
    fn fixed(&self, _slots: u32) -> Option<u64> {
        Some(0)
    }
    fn tally(&self, rule: &Correlation) -> Box<dyn Tally> {
        Box::new(Sequence::new(rule.rules.len(), rule.timespan_ns))
    }
    /// One event is the first step, or none.
    fn few(&self, window: &[Entry]) -> Option<f64> {
        let [only] = window else { return None };
        Some(f64::from(only.mark & 1))
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        Reason::new("sequence_complete").arg("rules", names(t.titles)).arg("window_s", t.window_s())
    }
}
