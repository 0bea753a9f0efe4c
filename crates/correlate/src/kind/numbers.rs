//! Numbers of a field, kept so that sums do not drift: in millionths, as whole numbers.

use event::Value;

use super::{Input, Sample, Samples, Step, Tally, first_value};
use crate::ring::Entry;

/// Largest number that is taken; anything beyond is no measurement.
const NUMBER_MAX: f64 = 1e18;
const MILLIONTHS: f64 = 1e6;

/// The numbers of the finding: one, or each element of a list.
pub(super) fn read<'a>(input: &mut Input<'a, '_>, out: &mut Samples<'a>) {
    let Some(value) = input.rule.fields.first().and_then(|key| first_value(key, input.slot, input.finding)) else { return };
    let mut push = |value: &Value| {
        if let Some(x) = value.as_f64().filter(|x| x.is_finite() && x.abs() <= NUMBER_MAX) {
            out.push(Sample { value: x.to_bits(), mark: 1, label: None });
        }
    };
    match value {
        Value::List(list) => list.iter().take(32).for_each(&mut push),
        one => push(one),
    }
}

pub(super) fn number(entry: &Entry) -> f64 {
    f64::from_bits(entry.value)
}

/// The number in millionths; the short way for all but huge ones.
fn millionths(entry: &Entry) -> i128 {
    let x = number(entry) * MILLIONTHS;
    if x.abs() < 9e15 { i128::from(x as i64) } else { x as i128 }
}

/// Two neighbours as one: the sum and how many they were, at the later one's place.
pub(crate) fn added(older: &Entry, newer: &Entry) -> Entry {
    Entry { value: (number(older) + number(newer)).to_bits(), mark: older.mark.saturating_add(newer.mark), ..*newer }
}

/// Sum and count of a window.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub millionths: i128,
    pub count: u64,
}

impl Sum {
    pub(super) fn total(&self) -> f64 {
        self.millionths as f64 / MILLIONTHS
    }
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
    pub(super) fn add(&mut self, entry: &Entry) {
        self.millionths = self.millionths.saturating_add(millionths(entry));
        self.count = self.count.saturating_add(u64::from(entry.mark));
    }
    pub(super) fn take(&mut self, entry: &Entry) {
        self.millionths = self.millionths.saturating_sub(millionths(entry));
        self.count = self.count.saturating_sub(u64::from(entry.mark));
    }
}

/// What a sum becomes at the end.
pub(super) struct Summed {
    pub sum: Sum,
    pub average: bool,
    pub minimum: u64,
}

impl Tally for Summed {
    fn clear(&mut self, _folded: &[Step]) {
        self.sum.clear();
    }
    fn enter(&mut self, entry: &Entry) {
        self.sum.add(entry);
    }
    fn leave(&mut self, entry: &Entry) {
        self.sum.take(entry);
    }
    fn measure(&self) -> Option<f64> {
        if self.sum.count < self.minimum.max(1) {
            return None;
        }
        Some(if self.average { self.sum.total() / self.sum.count as f64 } else { self.sum.total() })
    }
}
