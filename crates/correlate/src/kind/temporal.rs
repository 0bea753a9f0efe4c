//! `temporal`: all the rules within one window, in any order.

use event::{Finding, Reason};
use rule::Correlation;

use super::{Kind, Measured, Refusal, most_values, window_s};

pub(super) struct Temporal;

impl Kind for Temporal {
    fn word(&self) -> &'static str {
        "temporal"
    }
    fn about(&self) -> &'static str {
        "all the rules within a window, in any order"
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
    fn counts_values(&self) -> bool {
        true
    }
    fn measure(&self, window: Measured<'_>) -> u64 {
        most_values(&window)
    }
    fn reason(&self, rule: &Correlation, titles: &[String], _measured: u64, _threshold: u64) -> Reason {
        Reason::new("rules_together").arg("rules", names(titles)).arg("window_s", window_s(rule))
    }
}

pub(super) fn several(rule: &Correlation) -> Result<(), Refusal> {
    match rule.rules.len() {
        2..=32 => Ok(()),
        n => Err((format!("a temporal correlation over {n} rules"), "name 2 to 32 rules".into())),
    }
}

pub(super) fn names(titles: &[String]) -> Vec<event::Value> {
    titles.iter().map(|t| event::Value::text(t)).collect()
}
