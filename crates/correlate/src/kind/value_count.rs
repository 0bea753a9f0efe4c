//! `value_count`: how many different values of a field (or tuples of several fields) in a window.

use event::{Finding, Reason};
use rule::Correlation;

use super::{Kind, Measured, Refusal, most_values, window_s};
use crate::windows::first_value;

pub(super) struct ValueCount;

impl Kind for ValueCount {
    fn word(&self) -> &'static str {
        "value_count"
    }
    fn about(&self) -> &'static str {
        "how many different values of a field in a window"
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        if rule.fields.is_empty() {
            return Err(("a value_count without a field".into(), "write `field:` under `condition:`".into()));
        }
        if rule.condition.is_empty() {
            return Err(("a value_count without a condition".into(), "write e.g. `condition: {field: x, gte: 10}`".into()));
        }
        Ok(())
    }
    fn default_threshold(&self, _rule: &Correlation) -> Option<u64> {
        None
    }
    /// A finding that lacks one of the fields is not counted.
    fn sample(&self, rule: &Correlation, slot: usize, finding: &Finding) -> Result<Option<String>, ()> {
        let mut text = String::new();
        for (n, key) in rule.fields.iter().enumerate() {
            if n > 0 {
                text.push_str(" | ");
            }
            text.push_str(&first_value(key, slot, finding).ok_or(())?.to_text());
        }
        Ok(Some(text))
    }
    fn counts_values(&self) -> bool {
        true
    }
    fn measure(&self, window: Measured<'_>) -> u64 {
        most_values(&window)
    }
    fn reason(&self, rule: &Correlation, _titles: &[String], measured: u64, threshold: u64) -> Reason {
        let fields: Vec<&str> = rule.fields.iter().map(|k| k.name.as_str()).collect();
        Reason::new("values_reached")
            .arg("count", measured)
            .arg("threshold", threshold)
            .arg("window_s", window_s(rule))
            .arg("field", fields.join(" + "))
    }
}
