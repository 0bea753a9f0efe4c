//! `rare`: a value of a field that makes up hardly any of what the group shows. The share is taken over the present and the
//! last half of the timespan, so old habits fade:
//!
//! ```yaml
//! type: rare
//! group-by: [device.hostname]
//! timespan: 14d
//! condition: { field: process.name, lte: 0.5, minimum: 1000 }   # at most half a percent of at least a thousand
//! ```
//! The event itself is counted in. Values are kept as hashes with a count, at most `VALUES_MAX` a half; a value past it is counted in
//! the total only, is never told and is counted as forgotten.

use ahash::AHashMap;
use event::Reason;
use rule::{Bound, Correlation};

use super::first_seen::{about, one_value};
use super::{
    Hit, Input, Judged, Kind, Memory, NoTally, Pending, Refusal, Samples, Tally, Telling, checked, one_field, shown, whole, with_condition,
};
use crate::bytes::{Reader, Writer};
use crate::state::StateError;

const VALUES_MAX: usize = 4_096;

pub(super) struct Rare;

impl Kind for Rare {
    fn word(&self) -> &'static str {
        "rare"
    }
    fn about(&self) -> &'static str {
        "a value that is hardly any of what the group shows"
    }
    fn parameters(&self) -> &'static [&'static str] {
        &["minimum"]
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        one_field(rule, "rare")?;
        whole(rule, "minimum", 100, 10, 1_000_000_000)?;
        with_condition(rule, "field: process.name, lte: 1")
    }
    fn judged(&self) -> Judged {
        Judged::Memory
    }
    fn is_count(&self) -> bool {
        false
    }
    fn read<'a>(&self, input: &mut Input<'a, '_>, out: &mut Samples<'a>) {
        one_value(input, out);
    }
    fn tally(&self, _rule: &Correlation) -> Box<dyn Tally> {
        Box::new(NoTally)
    }
    fn memory(&self, rule: &Correlation) -> Option<Box<dyn Memory>> {
        Some(Box::new(Habit {
            half: (rule.timespan_ns / 2).max(1),
            minimum: checked(rule, "minimum", 100),
            bounds: rule.condition.clone(),
            began: i64::MIN,
            newest: i64::MIN,
            now: Half::default(),
            before: Half::default(),
            forgotten: 0,
        }))
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        Reason::new("rare_value")
            .arg("percent", shown(t.measured))
            .arg("threshold", shown(t.threshold))
            .arg("field", t.fields())
            .arg("all", t.note(0))
            .arg("window_s", t.window_s())
    }
}

#[derive(Default)]
struct Half {
    all: u64,
    counts: AHashMap<u64, u32>,
}

struct Habit {
    half: i64,
    minimum: u64,
    bounds: Vec<Bound>,
    began: i64,
    newest: i64,
    now: Half,
    before: Half,
    forgotten: u64,
}

impl Memory for Habit {
    fn settle(&mut self, pending: &Pending, hits: &mut Vec<Hit>) {
        let time = pending.entry.time;
        // Quiet for longer than anything is remembered: it starts anew, whether or not it was let go meanwhile.
        if self.newest != i64::MIN && time.saturating_sub(self.newest) > self.half.saturating_add(self.half) {
            (self.now, self.before, self.began) = (Half::default(), Half::default(), time);
        }
        self.newest = self.newest.max(time);
        if self.began == i64::MIN {
            self.began = time;
        }
        let halves = time.saturating_sub(self.began) / self.half;
        if halves > 0 {
            self.before = if halves == 1 { std::mem::take(&mut self.now) } else { Half::default() };
            self.now = Half::default();
            self.began = self.began.saturating_add(halves.saturating_mul(self.half));
        }
        let value = pending.entry.value;
        self.now.all = self.now.all.saturating_add(1);
        if self.now.counts.len() >= VALUES_MAX && !self.now.counts.contains_key(&value) {
            self.forgotten += 1;
            return;
        }
        let count = self.now.counts.entry(value).or_insert(0);
        *count = count.saturating_add(1);
        let shown = u64::from(*count) + u64::from(self.before.counts.get(&value).copied().unwrap_or(0));
        let all = self.now.all.saturating_add(self.before.all);
        let percent = shown as f64 * 100.0 / all as f64;
        if all >= self.minimum && self.bounds.iter().all(|b| b.holds(percent)) {
            hits.push(about(pending, percent, vec![all]));
        }
    }
    fn pass(&mut self, _mark: i64, _hits: &mut Vec<Hit>) {}
    fn due(&self) -> Option<i64> {
        None
    }
    fn expires(&self) -> i64 {
        self.newest.saturating_add(self.half).saturating_add(self.half)
    }
    fn worth(&self) -> u32 {
        u32::from(self.now.all.saturating_add(self.before.all) >= self.minimum) * 4 + 2
    }
    fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }
    fn bytes(&self) -> usize {
        (self.now.counts.capacity() + self.before.counts.capacity()) * 14
    }
    fn names(&self, _each: &mut dyn FnMut(u32)) {}
    fn save(&self, w: &mut Writer) {
        w.i64(self.began);
        w.i64(self.newest);
        for half in [&self.now, &self.before] {
            w.u64(half.all);
            let mut all: Vec<_> = half.counts.iter().collect();
            all.sort_unstable();
            w.len(all.len());
            for (value, count) in all {
                w.u64(*value);
                w.u32(*count);
            }
        }
    }
    fn load(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        (self.began, self.newest) = (r.i64()?, r.i64()?);
        for half in [&mut self.now, &mut self.before] {
            half.all = r.u64()?;
            for _ in 0..r.len()? {
                half.counts.insert(r.u64()?, r.u32()?);
            }
        }
        Ok(())
    }
}
