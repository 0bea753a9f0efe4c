//! `first_seen`: a value of a field that the group has not shown within the timespan, told with the event that shows it.
//!
//! ```yaml
//! type: first_seen
//! group-by: [device.hostname]
//! timespan: 30d                     # how long a value is remembered after it was last seen
//! condition: { field: src_endpoint.ip, learn: 7d }
//! ```
//! Nothing is told within `learn:` of a group's first event (a quarter of the timespan where it is not written). Values are kept
//! as hashes, at most `VALUES_MAX` a group: past it the eighth seen longest ago is forgotten, counted, and would be new again.

use std::borrow::Cow;

use ahash::AHashMap;
use event::Reason;
use rule::Correlation;

use super::{
    Hash, Hit, Input, Judged, Kind, Memory, NO_NAME, NoTally, Pending, Refusal, Sample, Samples, Tally, Telling, first_value, one_field,
    span,
};
use crate::bytes::{Reader, Writer};
use crate::state::StateError;

const VALUES_MAX: usize = 2_048;

pub(super) struct FirstSeen;

fn learn(rule: &Correlation) -> i64 {
    span(rule, "learn", rule.timespan_ns / 4).unwrap_or(rule.timespan_ns)
}

impl Kind for FirstSeen {
    fn word(&self) -> &'static str {
        "first_seen"
    }
    fn about(&self) -> &'static str {
        "a value the group has not shown within the timespan"
    }
    fn parameters(&self) -> &'static [&'static str] {
        &["learn"]
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        one_field(rule, "first_seen")?;
        span(rule, "learn", 1)?;
        without_bounds(rule)
    }
    fn judged(&self) -> Judged {
        Judged::Memory
    }
    fn read<'a>(&self, input: &mut Input<'a, '_>, out: &mut Samples<'a>) {
        one_value(input, out);
    }
    fn tally(&self, _rule: &Correlation) -> Box<dyn Tally> {
        Box::new(NoTally)
    }
    fn memory(&self, rule: &Correlation) -> Option<Box<dyn Memory>> {
        let (timespan, learn) = (rule.timespan_ns, learn(rule));
        Some(Box::new(Seen { timespan, learn, born: i64::MAX, newest: i64::MIN, forgotten: 0, values: AHashMap::new() }))
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        Reason::new("first_seen").arg("field", t.fields()).arg("known", t.note(0)).arg("window_s", t.window_s())
    }
}

pub(super) fn without_bounds(rule: &Correlation) -> Result<(), Refusal> {
    if rule.condition.is_empty() {
        return Ok(());
    }
    Err((format!("a {} with a bound", rule.kind), "leave out gt, gte, lt, lte, eq and neq".into()))
}

pub(super) fn one_value<'a>(input: &mut Input<'a, '_>, out: &mut Samples<'a>) {
    let Some(value) = input.rule.fields.first().and_then(|key| first_value(key, input.slot, input.finding)) else { return };
    let mut hash = Hash::new();
    hash.value(value);
    out.push(Sample { value: hash.get(), mark: input.slots, label: Some(Cow::Borrowed(value)) });
}

/// A hit about one entry alone.
pub(super) fn about(pending: &Pending, measured: f64, notes: Vec<u64>) -> Hit {
    let e = &pending.entry;
    Hit {
        from: e.time,
        time: e.time,
        measured,
        evidence: vec![(e.time, e.lane, e.seq)],
        count: 1,
        tags: pending.tags.clone(),
        labels: if pending.label == NO_NAME { Vec::new() } else { vec![pending.label] },
        notes,
    }
}

struct Seen {
    timespan: i64,
    learn: i64,
    born: i64,
    newest: i64,
    forgotten: u64,
    /// Value → when last seen.
    values: AHashMap<u64, i64>,
}

impl Memory for Seen {
    fn settle(&mut self, pending: &Pending, hits: &mut Vec<Hit>) {
        let time = pending.entry.time;
        // Quiet for longer than anything is remembered: it starts anew, whether or not it was let go meanwhile.
        if self.newest != i64::MIN && time.saturating_sub(self.newest) > self.timespan {
            self.values.clear();
            self.born = time;
        }
        self.born = self.born.min(time);
        self.newest = self.newest.max(time);
        let before = self.values.insert(pending.entry.value, time);
        let known = before.is_some_and(|last| last >= time.saturating_sub(self.timespan));
        if !known && time.saturating_sub(self.born) >= self.learn {
            hits.push(about(pending, 1.0, vec![self.values.len() as u64 - 1]));
        }
        if self.values.len() > VALUES_MAX {
            let mut times: Vec<(i64, u64)> = self.values.iter().map(|(v, t)| (*t, *v)).collect();
            let (_, limit, _) = times.select_nth_unstable(VALUES_MAX / 8);
            let limit = *limit;
            let held = self.values.len();
            self.values.retain(|v, t| (*t, *v) >= limit);
            self.forgotten += (held - self.values.len()) as u64;
        }
    }
    fn pass(&mut self, _mark: i64, _hits: &mut Vec<Hit>) {}
    fn due(&self) -> Option<i64> {
        None
    }
    fn expires(&self) -> i64 {
        self.newest.saturating_add(self.timespan)
    }
    fn worth(&self) -> u32 {
        u32::from(self.newest.saturating_sub(self.born) >= self.learn) * 4 + 2
    }
    fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }
    fn bytes(&self) -> usize {
        self.values.capacity() * 18
    }
    fn names(&self, _each: &mut dyn FnMut(u32)) {}
    fn save(&self, w: &mut Writer) {
        w.i64(self.born);
        w.i64(self.newest);
        let mut all: Vec<_> = self.values.iter().collect();
        all.sort_unstable();
        w.len(all.len());
        for (value, time) in all {
            w.u64(*value);
            w.i64(*time);
        }
    }
    fn load(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        (self.born, self.newest) = (r.i64()?, r.i64()?);
        for _ in 0..r.len()? {
            self.values.insert(r.u64()?, r.i64()?);
        }
        Ok(())
    }
}
