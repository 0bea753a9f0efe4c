//! `value_count`: how many different values of a field (or tuples of several fields) in a window.

use std::borrow::Cow;

use event::{Reason, Value};
use rule::Correlation;

use super::{Distinct, Full, Hash, Input, Kind, Refusal, Sample, Samples, Tally, Telling, first_value, shown, with_condition};
use crate::ring::Entry;

/// Elements of a list that count.
const VALUES_MAX: usize = 32;

pub(super) struct ValueCount;

impl Kind for ValueCount {
    fn word(&self) -> &'static str {
        "value_count"
    }
    fn about(&self) -> &'static str {
        "how many different values of a field, or of several fields together, in a window"
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        if rule.fields.is_empty() {
            return Err(("a value_count without a field".into(), "write `field:` under `condition:`".into()));
        }
        with_condition(rule, "field: x, gte: 10")
    }
    fn full(&self) -> Full {
        Full::OnePerValue
    }
    fn labels_field(&self) -> bool {
        true
    }
    /// A finding that lacks one of the fields is not counted. Where one field is counted and it is a list (a correlation over
    /// correlations: the units an attack was seen at), each element counts.
    fn read<'a>(&self, input: &mut Input<'a, '_>, out: &mut Samples<'a>) {
        let one = |value: &'a Value| {
            let mut hash = Hash::new();
            hash.value(value);
            Sample { value: hash.get(), mark: input.slots, label: Some(Cow::Borrowed(value)) }
        };
        if let [key] = input.rule.fields.as_slice() {
            match first_value(key, input.slot, input.finding) {
                Some(Value::List(list)) => out.extend(list.iter().take(VALUES_MAX).map(one)),
                Some(value) => out.push(one(value)),
                None => {}
            }
            return;
        }
        let mut hash = Hash::new();
        let mut label = String::new();
        for key in &input.rule.fields {
            let Some(value) = first_value(key, input.slot, input.finding) else { return };
            hash.value(value);
            if !label.is_empty() {
                label.push_str(" | ");
            }
            label.push_str(&value.to_text());
        }
        out.push(Sample { value: hash.get(), mark: input.slots, label: Some(Cow::Owned(Value::from(label))) });
    }
    fn reversible(&self) -> bool {
        true
    }
    fn tally(&self, _rule: &Correlation) -> Box<dyn Tally> {
        Box::new(Distinct::default())
    }
    fn few(&self, window: &[Entry]) -> Option<f64> {
        let first = |(n, e): &(usize, &Entry)| !window.iter().take(*n).any(|other| other.value == e.value);
        Some(window.iter().enumerate().filter(first).count() as f64)
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        Reason::new("values_reached")
            .arg("count", shown(t.measured))
            .arg("threshold", shown(t.threshold))
            .arg("window_s", t.window_s())
            .arg("field", t.fields())
    }
}
