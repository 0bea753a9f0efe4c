//! `deviation`: a group does more in one period than in any of the last many. The timespan is the period; periods begin at round
//! multiples of it, and those without an event count as nothing.
//!
//! ```yaml
//! type: deviation
//! group-by: [device.hostname]
//! timespan: 1h
//! condition: { field: traffic.bytes_out, gte: 100000000, one_in: 200, factor: 2 }
//! ```
//! The false-alarm rate is stated by the rule and needs no distribution: if nothing changes, the newest of `one_in` periods is the
//! greatest of them all in at most one of `one_in` cases (exactly one if no two are alike), whatever the numbers look like. So
//! nothing is told before `one_in − 1` periods are known. `factor:` (1 where not written) and the bound only lower the rate. Without
//! `field:` events are counted, with it its numbers are added up.
//!
//! Bounded: `one_in` at most 2,000 numbers a group. A group without an event for as long as all its periods is forgotten.

use std::collections::VecDeque;

use event::Reason;
use rule::{Bound, Correlation};

use super::{
    Hit, Input, Judged, Kind, Memory, NoTally, Pending, Refusal, Sample, Samples, Tally, Telling, checked, numbers, one_field, shown,
    whole, with_condition,
};
use crate::bytes::{Reader, Writer};
use crate::episode::keep_tag;
use crate::state::StateError;

/// Events of a period that are told, the first and the newest.
const EVIDENCE_MAX: usize = 16;

pub(super) struct Deviation;

impl Kind for Deviation {
    fn word(&self) -> &'static str {
        "deviation"
    }
    fn about(&self) -> &'static str {
        "a group does more in one period than in any of the last many"
    }
    fn parameters(&self) -> &'static [&'static str] {
        &["one_in", "factor"]
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        if !rule.fields.is_empty() {
            one_field(rule, "deviation")?;
        }
        whole(rule, "one_in", 200, 10, 2_000)?;
        whole(rule, "factor", 1, 1, 1_000)?;
        with_condition(rule, "gte: 100, one_in: 200")
    }
    fn judged(&self) -> Judged {
        Judged::Memory
    }
    fn is_count(&self) -> bool {
        false
    }
    fn read<'a>(&self, input: &mut Input<'a, '_>, out: &mut Samples<'a>) {
        if input.rule.fields.is_empty() {
            return out.push(Sample { value: 1f64.to_bits(), mark: 1, label: None });
        }
        numbers::read(input, out);
    }
    fn tally(&self, _rule: &Correlation) -> Box<dyn Tally> {
        Box::new(NoTally)
    }
    fn memory(&self, rule: &Correlation) -> Option<Box<dyn Memory>> {
        Some(Box::new(Baseline {
            period: rule.timespan_ns,
            known_max: checked(rule, "one_in", 200) as usize - 1,
            factor: checked(rule, "factor", 1) as f64,
            bounds: rule.condition.clone(),
            number: i64::MIN,
            sum: 0.0,
            count: 0,
            told: false,
            known: VecDeque::new(),
            evidence: Vec::new(),
            tags: Vec::new(),
        }))
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        Reason::new("above_baseline")
            .arg("measured", shown(t.measured))
            .arg("most", shown(f64::from_bits(t.note(0))))
            .arg("periods", t.note(1))
            .arg("one_in", checked(t.rule, "one_in", 200))
            .arg("window_s", t.window_s())
            .arg("field", if t.rule.fields.is_empty() { "events".to_owned() } else { t.fields() })
    }
}

struct Baseline {
    period: i64,
    known_max: usize,
    factor: f64,
    bounds: Vec<Bound>,
    /// Number of the present period; what it holds; whether it was told.
    number: i64,
    sum: f64,
    count: u64,
    told: bool,
    /// Earlier periods, the oldest first.
    known: VecDeque<f64>,
    evidence: Vec<(i64, u32, u64)>,
    tags: Vec<u32>,
}

impl Baseline {
    /// Closes periods up to the one that is now.
    fn turn(&mut self, number: i64) {
        if self.number == i64::MIN {
            self.number = number;
        }
        let gone = number.saturating_sub(self.number);
        if gone <= 0 {
            return;
        }
        if gone > self.known_max as i64 + 1 {
            // Quiet for longer than anything is remembered: it starts anew, whether or not it was let go meanwhile.
            self.known.clear();
        } else {
            self.remember(self.sum);
            (1..gone).for_each(|_| self.remember(0.0));
        }
        (self.number, self.sum, self.count, self.told) = (number, 0.0, 0, false);
        self.evidence.clear();
        self.tags.clear();
    }
    fn remember(&mut self, x: f64) {
        if self.known.len() >= self.known_max {
            self.known.pop_front();
        }
        self.known.push_back(x);
    }
}

impl Memory for Baseline {
    fn settle(&mut self, pending: &Pending, hits: &mut Vec<Hit>) {
        let e = &pending.entry;
        let number = e.time.div_euclid(self.period);
        if self.number != i64::MIN && number < self.number {
            return;
        }
        self.turn(number);
        self.sum += numbers::number(e);
        self.count = self.count.saturating_add(1);
        if self.evidence.len() >= EVIDENCE_MAX {
            self.evidence.remove(EVIDENCE_MAX / 2);
        }
        self.evidence.push((e.time, e.lane, e.seq));
        pending.tags.iter().for_each(|t| keep_tag(&mut self.tags, *t));
        if self.told || self.known.len() < self.known_max {
            return;
        }
        let most = self.known.iter().copied().fold(f64::MIN, f64::max);
        if self.sum > most && self.sum >= most * self.factor && self.bounds.iter().all(|b| b.holds(self.sum)) {
            self.told = true;
            hits.push(Hit {
                from: self.evidence.first().map_or(e.time, |f| f.0),
                time: e.time,
                measured: self.sum,
                evidence: self.evidence.clone(),
                count: self.count,
                tags: self.tags.clone().into(),
                labels: Vec::new(),
                notes: vec![most.to_bits(), self.known.len() as u64],
            });
        }
    }
    fn pass(&mut self, _mark: i64, _hits: &mut Vec<Hit>) {}
    fn due(&self) -> Option<i64> {
        None
    }
    fn expires(&self) -> i64 {
        let last = self.number.saturating_add(1).saturating_mul(self.period);
        last.saturating_add(self.period.saturating_mul(self.known_max as i64 + 1))
    }
    fn worth(&self) -> u32 {
        2 + 4 * u32::from(self.known.len() >= self.known_max)
    }
    fn bytes(&self) -> usize {
        self.known.capacity() * 8 + self.evidence.capacity() * 24 + self.tags.capacity() * 4
    }
    fn names(&self, each: &mut dyn FnMut(u32)) {
        self.tags.iter().for_each(|t| each(crate::episode::tag_name(*t)));
    }
    fn lanes(&self, each: &mut dyn FnMut(u32)) {
        self.evidence.iter().for_each(|e| each(e.1));
    }
    fn save(&self, w: &mut Writer) {
        w.i64(self.number);
        w.u64(self.sum.to_bits());
        w.u64(self.count);
        w.u8(u8::from(self.told));
        w.len(self.known.len());
        self.known.iter().for_each(|x| w.u64(x.to_bits()));
        super::save_evidence(w, &self.evidence);
        super::save_tags(w, &self.tags);
    }
    fn load(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.number = r.i64()?;
        self.sum = f64::from_bits(r.u64()?);
        self.count = r.u64()?;
        self.told = r.u8()? != 0;
        for _ in 0..r.len()? {
            self.known.push_back(f64::from_bits(r.u64()?));
        }
        self.evidence = super::load_evidence(r)?;
        self.tags = super::load_tags(r)?;
        Ok(())
    }
}
