//! `value_percentile`, which the specification describes in two ways; both are here and `percentile:` tells them apart.
//!
//! * With `percentile: 95`: that percentile of the field's numbers in a window, by nearest rank (no value is made up between two).
//!   Its hint "median is a percentile 50" is this reading.
//! * Without: how many percent of the window's values the newest one is. Its example ("a process name in the last 24 h than 1 %
//!   of all the processes", on a text field) is this reading.
//!
//! Judged when the watermark has passed; `minimum:` is how many values there must be. Past a group's limit the oldest go.

use event::Reason;
use rule::Correlation;

use super::{
    Counts, Full, Hash, Input, Judged, Kind, Refusal, Sample, Samples, Step, Tally, Telling, checked, first_value, numbers, one_field,
    shown, whole, with_condition,
};
use crate::ring::Entry;

pub(super) struct ValuePercentile;

fn percentile(rule: &Correlation) -> Option<u64> {
    rule.parameters.contains_key("percentile").then(|| checked(rule, "percentile", 50))
}

impl Kind for ValuePercentile {
    fn word(&self) -> &'static str {
        "value_percentile"
    }
    fn about(&self) -> &'static str {
        "a percentile of a number field in a window; without `percentile:`, the share of a value among all"
    }
    fn parameters(&self) -> &'static [&'static str] {
        &["percentile", "minimum"]
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        one_field(rule, "value_percentile")?;
        whole(rule, "percentile", 50, 1, 100)?;
        whole(rule, "minimum", 1, 1, 1_000_000)?;
        with_condition(rule, "field: traffic.bytes, percentile: 95, gt: 1000000")
    }
    fn judged(&self) -> Judged {
        Judged::Settled
    }
    fn is_count(&self) -> bool {
        false
    }
    fn full(&self) -> Full {
        Full::Oldest
    }
    fn entries_max(&self, limit: usize) -> usize {
        limit.saturating_mul(4)
    }
    fn read<'a>(&self, input: &mut Input<'a, '_>, out: &mut Samples<'a>) {
        if percentile(input.rule).is_some() {
            return numbers::read(input, out);
        }
        let Some(value) = input.rule.fields.first().and_then(|key| first_value(key, input.slot, input.finding)) else { return };
        let mut hash = Hash::new();
        hash.value(value);
        out.push(Sample { value: hash.get(), mark: 1, label: Some(std::borrow::Cow::Borrowed(value)) });
    }
    fn tally(&self, rule: &Correlation) -> Box<dyn Tally> {
        let minimum = checked(rule, "minimum", 1);
        match percentile(rule) {
            Some(percent) => Box::new(Ranked { percent, minimum, sorted: Vec::new() }),
            None => Box::new(Share { minimum, ..Share::default() }),
        }
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        let reason = match percentile(t.rule) {
            Some(percent) => Reason::new("percentile_reached").arg("percentile", percent).arg("value", shown(t.measured)),
            None => Reason::new("share_reached").arg("percent", shown(t.measured)),
        };
        reason.arg("threshold", shown(t.threshold)).arg("window_s", t.window_s()).arg("field", t.fields())
    }
}

/// The window's numbers in order.
struct Ranked {
    percent: u64,
    minimum: u64,
    sorted: Vec<f64>,
}

impl Tally for Ranked {
    fn clear(&mut self, _folded: &[Step]) {
        self.sorted.clear();
    }
    fn enter(&mut self, entry: &Entry) {
        let x = numbers::number(entry);
        let at = self.sorted.partition_point(|n| *n < x);
        self.sorted.insert(at, x);
    }
    fn leave(&mut self, entry: &Entry) {
        let x = numbers::number(entry);
        let at = self.sorted.partition_point(|n| *n < x);
        if self.sorted.get(at) == Some(&x) {
            self.sorted.remove(at);
        }
    }
    fn measure(&self) -> Option<f64> {
        let count = self.sorted.len() as u64;
        if count < self.minimum.max(1) {
            return None;
        }
        // Nearest rank: the smallest number that so many percent do not exceed.
        let rank = (self.percent * count).div_ceil(100).max(1);
        self.sorted.get(usize::try_from(rank - 1).ok()?).copied()
    }
}

/// The newest value's share of all, in percent; the smallest where several are equally new.
#[derive(Default)]
struct Share {
    minimum: u64,
    counts: Counts,
    all: u64,
    newest: Vec<u64>,
    time: i64,
}

impl Tally for Share {
    fn clear(&mut self, _folded: &[Step]) {
        self.counts.clear();
        self.newest.clear();
        self.all = 0;
    }
    fn enter(&mut self, entry: &Entry) {
        self.counts.add(entry.value);
        self.all += 1;
        if self.time != entry.time {
            self.time = entry.time;
            self.newest.clear();
        }
        if !self.newest.contains(&entry.value) {
            self.newest.push(entry.value);
        }
    }
    fn leave(&mut self, entry: &Entry) {
        self.counts.take(entry.value);
        self.all = self.all.saturating_sub(1);
    }
    fn measure(&self) -> Option<f64> {
        let least = self.newest.iter().map(|v| self.counts.get(*v)).min()?;
        (self.all >= self.minimum.max(1)).then(|| f64::from(least) * 100.0 / self.all as f64)
    }
}
