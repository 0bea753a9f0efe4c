//! `value_count`: how many different values of a field (or tuples of several fields) in a window.

use event::{Finding, Reason, Value};
use rule::Correlation;

use super::{Kind, Measured, Refusal, most_values, window_s};
use crate::windows::first_value;

/// Elements of a list that count.
const VALUES_MAX: usize = 32;

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
    /// A finding that lacks one of the fields is not counted. Where one field is counted and it is a list (a correlation over
    /// correlations: the units an attack was seen at), each element counts.
    fn samples(&self, rule: &Correlation, slot: usize, finding: &Finding) -> Option<Vec<String>> {
        let values: Vec<&Value> = rule.fields.iter().map(|key| first_value(key, slot, finding)).collect::<Option<_>>()?;
        if let [Value::List(list)] = values.as_slice() {
            return Some(list.iter().take(VALUES_MAX).map(|v| v.to_text().into_owned()).collect()).filter(|l: &Vec<_>| !l.is_empty());
        }
        Some(vec![values.iter().map(|v| v.to_text()).collect::<Vec<_>>().join(" | ")])
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
