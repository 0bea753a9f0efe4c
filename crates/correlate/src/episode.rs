//! A run of entries of one group that never pauses for longer than the timespan: what is told, and how far it has come.

use event::{Evidence, Field, Finding, Value, field};

use crate::bytes::{Reader, Writer};
use crate::state::StateError;

/// Evidence kept from the beginning; as much again is taken from the newest entries when it is told.
pub(crate) const OLDEST_MAX: usize = event::EVIDENCE_MAX / 2;
/// Values of one party field, and samples of what was counted.
pub(crate) const PARTIES_MAX: usize = 32;
const PARTY_BYTES_MAX: usize = 256;

/// Fields whose values are gathered over all entries, so that a finding names everybody concerned and not only the last.
pub(crate) const PARTIES: [Field; 6] =
    [field::SRC_IP, field::DST_IP, field::USER_NAME, field::ACTOR_USER, field::DEVICE_HOSTNAME, field::AGENT_ID];

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Episode {
    pub first: i64,
    pub last: i64,
    /// Entries ever, whether still held or not.
    pub total: u64,
    /// Events behind them: a correlation's finding stands for many.
    pub weight: u64,
    /// Greatest measure of any window.
    pub peak: u64,
    pub told_total: u64,
    pub told_weight: u64,
    pub told_peak: u64,
    pub told_last: i64,
    /// Earliest entries, in order.
    pub oldest: Vec<Evidence>,
    pub parties: Vec<(u8, Box<str>)>,
    /// Unit id, name and sector, together.
    pub units: Vec<[Box<str>; 3]>,
    pub samples: Vec<Box<str>>,
    /// How far the furthest clock was ahead of arrival; 0 where none was.
    pub ahead: i64,
}

impl Episode {
    pub(crate) fn new(time: i64) -> Self {
        Self {
            first: time,
            last: time,
            total: 0,
            weight: 0,
            peak: 0,
            told_total: 0,
            told_weight: 0,
            told_peak: 0,
            told_last: i64::MIN,
            oldest: Vec::new(),
            parties: Vec::new(),
            units: Vec::new(),
            samples: Vec::new(),
            ahead: 0,
        }
    }

    pub(crate) fn told(&self) -> bool {
        self.told_total > 0
    }

    /// Counts an entry in; `first` of its finding, which may give several.
    pub(crate) fn add(&mut self, entry: Evidence, finding: &Finding, sample: Option<&String>, ahead: i64, first: bool) {
        self.first = self.first.min(entry.time.ns());
        self.last = self.last.max(entry.time.ns());
        if first {
            self.total += 1;
            self.weight += finding.count.max(1);
        }
        self.ahead = self.ahead.max(ahead);
        self.keep_oldest(entry);
        for (n, party) in PARTIES.iter().enumerate() {
            each(finding.get(*party), &mut |text| self.keep_party(n as u8, text));
        }
        self.add_units(finding);
        if let Some(sample) = sample
            && self.samples.len() < PARTIES_MAX
            && !self.samples.iter().any(|s| **s == *cut(sample))
        {
            self.samples.push(cut(sample).into());
        }
    }

    fn add_units(&mut self, finding: &Finding) {
        let nth = |field: Field, n: usize| match finding.get(field) {
            Some(Value::List(list)) => list.get(n).map(|v| v.to_text().into_owned()).unwrap_or_default(),
            Some(value) => value.to_text().into_owned(),
            None => String::new(),
        };
        let mut n = 0;
        each(finding.get(field::UNIT_ID), &mut |id| {
            if self.units.len() < PARTIES_MAX && !self.units.iter().any(|u| *u[0] == *id) {
                self.units.push([cut(id).into(), nth(field::UNIT_NAME, n).into(), nth(field::UNIT_SECTOR, n).into()]);
            }
            n += 1;
        });
    }

    fn keep_oldest(&mut self, entry: Evidence) {
        let order = |e: &Evidence| (e.time, e.id);
        let at = self.oldest.partition_point(|e| order(e) < order(&entry));
        if at < OLDEST_MAX && self.oldest.get(at) != Some(&entry) {
            self.oldest.insert(at, entry);
            self.oldest.truncate(OLDEST_MAX);
        }
    }

    fn keep_party(&mut self, kind: u8, text: &str) {
        let text = cut(text);
        let mut same = 0;
        for (k, held) in &self.parties {
            if *k == kind {
                if **held == *text {
                    return;
                }
                same += 1;
            }
        }
        if same < PARTIES_MAX {
            self.parties.push((kind, text.into()));
        }
    }

    /// Two episodes turn out to be one: an entry in between came late.
    pub(crate) fn merge(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.total += other.total;
        self.weight += other.weight;
        self.peak = self.peak.max(other.peak);
        self.told_total += other.told_total;
        self.told_weight += other.told_weight;
        self.told_peak = self.told_peak.max(other.told_peak);
        self.told_last = self.told_last.max(other.told_last);
        self.ahead = self.ahead.max(other.ahead);
        other.oldest.into_iter().for_each(|e| self.keep_oldest(e));
        for (kind, text) in other.parties {
            self.keep_party(kind, &text);
        }
        for unit in other.units {
            if self.units.len() < PARTIES_MAX && !self.units.contains(&unit) {
                self.units.push(unit);
            }
        }
        for sample in other.samples {
            if self.samples.len() < PARTIES_MAX && !self.samples.contains(&sample) {
                self.samples.push(sample);
            }
        }
    }

    pub(crate) fn save(&self, w: &mut Writer) {
        for n in [self.first, self.last, self.told_last, self.ahead] {
            w.i64(n);
        }
        for n in [self.total, self.weight, self.peak, self.told_total, self.told_weight, self.told_peak] {
            w.u64(n);
        }
        w.len(self.oldest.len());
        for e in &self.oldest {
            w.id(e.id);
            w.i64(e.time.ns());
        }
        w.len(self.parties.len());
        for (kind, text) in &self.parties {
            w.u8(*kind);
            w.text(text);
        }
        w.len(self.units.len());
        for unit in &self.units {
            unit.iter().for_each(|part| w.text(part));
        }
        w.len(self.samples.len());
        self.samples.iter().for_each(|s| w.text(s));
    }

    pub(crate) fn load(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut e = Self::new(r.i64()?);
        (e.last, e.told_last, e.ahead) = (r.i64()?, r.i64()?, r.i64()?);
        (e.total, e.weight, e.peak) = (r.u64()?, r.u64()?, r.u64()?);
        (e.told_total, e.told_weight, e.told_peak) = (r.u64()?, r.u64()?, r.u64()?);
        for _ in 0..r.len()? {
            e.oldest.push(Evidence { id: r.id()?, time: event::Timestamp::from_ns(r.i64()?) });
        }
        for _ in 0..r.len()? {
            e.parties.push((r.u8()?, r.text()?));
        }
        for _ in 0..r.len()? {
            e.units.push([r.text()?, r.text()?, r.text()?]);
        }
        for _ in 0..r.len()? {
            e.samples.push(r.text()?);
        }
        Ok(e)
    }
}

/// Each value of a field that may be a list.
fn each(value: Option<&Value>, to: &mut dyn FnMut(&str)) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::List(list)) => list.iter().take(PARTIES_MAX).for_each(|v| to(&v.to_text())),
        Some(one) => to(&one.to_text()),
    }
}

pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(PARTY_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
