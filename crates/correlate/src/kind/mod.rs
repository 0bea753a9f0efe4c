//! The correlation types: a file and a row of `KINDS` for each. A kind says what it reads from a finding and what a window
//! measures; when windows open and close, what is kept and what is told is the same for all of them.
//!
//! Three ways to judge, by what a late event can do to the measure:
//! * `AtOnce`: more events can only raise it. Judged with every entry, so a warning never waits.
//! * `Settled`: it can fall again (an average). A window is judged when the watermark has passed its end, in order of time.
//! * `Memory`: it is about what was before (first seen, baseline, silence). Entries are handed over in order when the watermark
//!   has passed them, and are told one by one.

mod deviation;
mod edges;
mod event_count;
mod first_seen;
mod numbers;
mod rare;
mod reach;
mod sequence;
mod silence;
mod spread;
mod stages;
mod temporal;
mod temporal_ordered;
mod value_avg;
mod value_count;
mod value_percentile;
mod value_sum;

use std::borrow::Cow;

use ahash::AHashMap;
use event::{Finding, Reason, Value};
use rule::{Correlation, GroupKey};

use crate::bytes::{Reader, Writer};
use crate::names::Names;
use crate::ring::Entry;
use crate::state::StateError;

pub(crate) use numbers::added;
pub(crate) use sequence::{Step, fold};

/// Every correlation type there is. A file and one row here is all it takes to add one.
pub(crate) static KINDS: &[&dyn Kind] = &[
    &event_count::EventCount,
    &value_count::ValueCount,
    &temporal::Temporal,
    &temporal_ordered::TemporalOrdered,
    &value_sum::ValueSum,
    &value_avg::ValueAvg,
    &value_percentile::ValuePercentile,
    &reach::Reach,
    &spread::Spread,
    &stages::Stages,
    &first_seen::FirstSeen,
    &rare::Rare,
    &deviation::Deviation,
    &silence::Silence,
];

/// What was refused and what to write instead.
pub(crate) type Refusal = (String, String);

/// When a window is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    AtOnce,
    Settled,
    Memory,
}

/// What becomes of entries past a group's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The oldest go.
    Oldest,
    /// First those a newer one with the same value stands for, then the oldest.
    OnePerValue,
    /// The oldest go and are remembered as chains.
    Chains,
    /// Neighbours are added up: sums stay what they are, the older one stays for as long as the newer.
    Added,
}

/// A correlation type.
pub(crate) trait Kind: Sync {
    /// Its word in a rule's `type:`.
    fn word(&self) -> &'static str;
    /// One line for people.
    fn about(&self) -> &'static str;
    /// Refuses a rule it cannot give meaning to.
    fn check(&self, rule: &Correlation) -> Result<(), Refusal>;
    /// Further keys it understands; any other is refused.
    fn parameters(&self) -> &'static [&'static str] {
        &[]
    }
    /// What the measure must reach where the rule says nothing.
    fn default_threshold(&self, _rule: &Correlation) -> Option<f64> {
        None
    }
    fn judged(&self) -> Judged {
        Judged::AtOnce
    }
    /// Whether the measure is a whole number of things.
    fn is_count(&self) -> bool {
        true
    }
    fn full(&self) -> Full {
        Full::Oldest
    }
    /// Entries of one group, given the limit for all.
    fn entries_max(&self, limit: usize) -> usize {
        limit
    }
    /// Whether a window must be measured from its beginning each time.
    fn rescans(&self) -> bool {
        false
    }
    /// Whether the measure is the same in whatever order entries enter and leave, and has no notes.
    fn reversible(&self) -> bool {
        false
    }
    /// Whether `Entry::value` holds two names, high and low half.
    fn names_in_value(&self) -> bool {
        false
    }
    /// Whether the `n`-th note is a name.
    fn note_is_name(&self, _n: usize) -> bool {
        false
    }
    /// The value of every sample, for a kind that reads nothing of a finding but which rules it is of.
    fn fixed(&self, _slots: u32) -> Option<u64> {
        None
    }
    /// Whether the one sample's label is the value of the rule's one field.
    fn labels_field(&self) -> bool {
        false
    }
    /// What the finding gives to count; not asked where `fixed` says it; nothing pushed: it does not count.
    fn read<'a>(&self, _input: &mut Input<'a, '_>, _out: &mut Samples<'a>) {}
    fn tally(&self, rule: &Correlation) -> Box<dyn Tally>;
    /// What `tally` would measure of a window that is this short and has no chains before it, where that is quickly said.
    fn few(&self, _window: &[Entry]) -> Option<f64> {
        None
    }
    fn memory(&self, _rule: &Correlation) -> Option<Box<dyn Memory>> {
        None
    }
    /// Why, in data.
    fn reason(&self, telling: &Telling<'_>) -> Reason;
}

/// A finding, as a kind sees it.
pub(crate) struct Input<'a, 'n> {
    pub rule: &'n Correlation,
    /// First rule of the correlation that the finding is of, and all of them as bits.
    pub slot: usize,
    pub slots: u32,
    pub finding: &'a Finding,
    pub names: &'n mut Names,
}

/// One thing to count.
pub(crate) struct Sample<'a> {
    pub value: u64,
    pub mark: u32,
    /// What people are shown of it.
    pub label: Option<Cow<'a, Value>>,
}

/// What a finding gives; a single one without an allocation, because there is hardly ever a second.
#[derive(Default)]
pub(crate) struct Samples<'a> {
    one: Option<Sample<'a>>,
    /// All of them, where they are several.
    many: Vec<Sample<'a>>,
}

impl<'a> Samples<'a> {
    pub(crate) fn push(&mut self, sample: Sample<'a>) {
        if self.one.is_none() && self.many.is_empty() {
            self.one = Some(sample);
        } else {
            self.many.extend(self.one.take());
            self.many.push(sample);
        }
    }
    pub(crate) fn as_slice(&self) -> &[Sample<'a>] {
        if self.many.is_empty() { self.one.as_slice() } else { &self.many }
    }
    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }
}

impl<'a> Extend<Sample<'a>> for Samples<'a> {
    fn extend<I: IntoIterator<Item = Sample<'a>>>(&mut self, samples: I) {
        samples.into_iter().for_each(|s| self.push(s));
    }
}

/// What is told, for the reason.
pub(crate) struct Telling<'a> {
    pub rule: &'a Correlation,
    /// Titles of the rules it listens to.
    pub titles: &'a [String],
    pub measured: f64,
    pub threshold: f64,
    /// What the tally had to add when the measure was at its peak.
    pub notes: &'a [u64],
    pub names: &'a Names,
}

impl Telling<'_> {
    pub(crate) fn window_s(&self) -> i64 {
        self.rule.timespan_ns / event::SECOND_NS
    }
    pub(crate) fn note(&self, n: usize) -> u64 {
        self.notes.get(n).copied().unwrap_or(0)
    }
    pub(crate) fn named(&self, n: usize) -> Value {
        self.names.get(u32::try_from(self.note(n)).unwrap_or(u32::MAX))
    }
    pub(crate) fn fields(&self) -> String {
        self.rule.fields.iter().map(|k| k.name.as_str()).collect::<Vec<_>>().join(" + ")
    }
}

/// A running measure of one window. Entries enter in order of time; those that leave are the oldest.
pub(crate) trait Tally: Send {
    /// Nothing has entered; `folded` are chains of entries let go earlier.
    fn clear(&mut self, folded: &[Step]);
    fn enter(&mut self, entry: &Entry);
    fn leave(&mut self, entry: &Entry);
    /// `None` while there is too little to say anything.
    fn measure(&self) -> Option<f64>;
    /// More about the measure, for the reason.
    fn notes(&self, _out: &mut Vec<u64>) {}
}

/// What a group remembers for longer than its entries.
pub(crate) trait Memory: Send {
    /// An entry whose time is complete, in order.
    fn settle(&mut self, pending: &Pending, hits: &mut Vec<Hit>);
    /// Event time has come to `mark` and everything before it is settled.
    fn pass(&mut self, mark: i64, hits: &mut Vec<Hit>);
    /// When `pass` has something to do although nothing arrives.
    fn due(&self) -> Option<i64>;
    /// Event time from which on nothing is worth keeping.
    fn expires(&self) -> i64;
    /// How much there is to lose, for admission: 0 to 8.
    fn worth(&self) -> u32;
    fn bytes(&self) -> usize;
    /// Every name it holds.
    fn names(&self, each: &mut dyn FnMut(u32));
    fn lanes(&self, _each: &mut dyn FnMut(u32)) {}
    /// How much it had to let go since it was last asked.
    fn take_forgotten(&mut self) -> u64 {
        0
    }
    /// The program was away until `now`: what was not heard meanwhile is nobody's fault.
    fn resumed(&mut self, _now: i64) {}
    fn save(&self, w: &mut Writer);
    fn load(&mut self, r: &mut Reader<'_>) -> Result<(), StateError>;
}

/// An entry that waits until its time is complete.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub entry: Entry,
    /// Who is concerned, see `episode`.
    pub tags: Box<[u32]>,
    /// Shown value, or `NO_NAME`.
    pub label: u32,
}

pub(crate) const NO_NAME: u32 = u32::MAX;

/// Something a memory tells.
pub(crate) struct Hit {
    pub from: i64,
    pub time: i64,
    pub measured: f64,
    /// Events behind it, how many there were, and who is concerned.
    pub evidence: Vec<(i64, u32, u64)>,
    pub count: u64,
    pub tags: Box<[u32]>,
    /// Values to show.
    pub labels: Vec<u32>,
    /// For the reason.
    pub notes: Vec<u64>,
}

pub(crate) fn save_evidence(w: &mut Writer, evidence: &[(i64, u32, u64)]) {
    w.len(evidence.len());
    for (time, lane, seq) in evidence {
        w.i64(*time);
        w.u32(*lane);
        w.u64(*seq);
    }
}

pub(crate) fn load_evidence(r: &mut Reader<'_>) -> Result<Vec<(i64, u32, u64)>, StateError> {
    (0..r.len()?).map(|_| Ok((r.i64()?, r.u32()?, r.u64()?))).collect()
}

pub(crate) fn save_tags(w: &mut Writer, tags: &[u32]) {
    w.len(tags.len());
    tags.iter().for_each(|t| w.u32(*t));
}

pub(crate) fn load_tags(r: &mut Reader<'_>) -> Result<Vec<u32>, StateError> {
    (0..r.len()?).map(|_| r.u32()).collect()
}

pub(crate) fn find(word: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|k| k.word() == word)
}

/// The first present value of a key for the rule in `slot`; null counts as absent.
pub(crate) fn first_value<'a>(key: &GroupKey, slot: usize, finding: &'a Finding) -> Option<&'a Value> {
    key.names_for(slot).iter().find_map(|name| finding.get_name(name)).filter(|v| !matches!(v, Value::Null))
}

/// A measured number for people: whole where it is whole, else with two decimals.
pub(crate) fn shown(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 9e15 { Value::Int(x as i64) } else { Value::Float((x * 100.0).round() / 100.0) }
}

/// A whole-number parameter within bounds.
pub(crate) fn whole(rule: &Correlation, key: &str, default: u64, min: u64, max: u64) -> Result<u64, Refusal> {
    let Some(text) = rule.parameters.get(key) else { return Ok(default) };
    let number = text.parse::<u64>().ok().filter(|n| (min..=max).contains(n));
    number.ok_or_else(|| (format!("'{key}: {text}'"), format!("a whole number from {min} to {max}")))
}

/// `whole` after `check` has passed.
pub(crate) fn checked(rule: &Correlation, key: &str, default: u64) -> u64 {
    whole(rule, key, default, 0, u64::MAX).unwrap_or(default)
}

/// A length of time like `7d`, in nanoseconds.
pub(crate) fn span(rule: &Correlation, key: &str, default: i64) -> Result<i64, Refusal> {
    let Some(text) = rule.parameters.get(key) else { return Ok(default) };
    let unit = |c: char| match c {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        _ => None,
    };
    let read = || {
        let unit: i64 = unit(text.chars().last()?)?;
        let number: i64 = text.get(..text.len() - 1)?.parse().ok().filter(|n| *n > 0)?;
        number.checked_mul(unit)?.checked_mul(event::SECOND_NS)
    };
    read().ok_or_else(|| (format!("'{key}: {text}'"), "a number and one of s, m, h, d, e.g. '7d'".into()))
}

pub(crate) fn one_field(rule: &Correlation, what: &str) -> Result<(), Refusal> {
    match rule.fields.len() {
        1 => Ok(()),
        0 => Err((format!("a {what} without a field"), "write `field:` under `condition:`".into())),
        n => Err((format!("a {what} over {n} fields"), "name one field; several are for value_count".into())),
    }
}

pub(crate) fn with_condition(rule: &Correlation, example: &str) -> Result<(), Refusal> {
    if rule.condition.is_empty() {
        return Err((format!("a {} without a condition", rule.kind), format!("write e.g. `condition: {{{example}}}`")));
    }
    Ok(())
}

/// How often each value is there; few values without a map.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    few: Vec<(u64, u32)>,
    many: AHashMap<u64, u32>,
}

const FEW: usize = 12;

impl Counts {
    pub(crate) fn clear(&mut self) {
        self.few.clear();
        self.many.clear();
    }
    pub(crate) fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }
    pub(crate) fn get(&self, value: u64) -> u32 {
        let few = self.few.iter().find(|(v, _)| *v == value).map(|(_, n)| *n);
        few.or_else(|| self.many.get(&value).copied()).unwrap_or(0)
    }
    pub(crate) fn add(&mut self, value: u64) {
        if let Some((_, n)) = self.few.iter_mut().find(|(v, _)| *v == value) {
            *n += 1;
        } else if self.few.len() < FEW && !self.many.contains_key(&value) {
            self.few.push((value, 1));
        } else {
            *self.many.entry(value).or_insert(0) += 1;
        }
    }
    pub(crate) fn take(&mut self, value: u64) {
        if let Some(at) = self.few.iter().position(|(v, _)| *v == value) {
            if let Some((_, n)) = self.few.get_mut(at) {
                *n -= 1;
                if *n == 0 {
                    self.few.swap_remove(at);
                }
            }
        } else if let Some(n) = self.many.get_mut(&value) {
            *n -= 1;
            if *n == 0 {
                self.many.remove(&value);
            }
        }
    }
}

/// Different values in the window.
#[derive(Debug, Default)]
pub(crate) struct Distinct(Counts);

impl Tally for Distinct {
    fn clear(&mut self, _folded: &[Step]) {
        self.0.clear();
    }
    fn enter(&mut self, entry: &Entry) {
        self.0.add(entry.value);
    }
    fn leave(&mut self, entry: &Entry) {
        self.0.take(entry.value);
    }
    fn measure(&self) -> Option<f64> {
        Some(self.0.len() as f64)
    }
}

/// Stands where a kind with a memory has no windows.
pub(crate) struct NoTally;

impl Tally for NoTally {
    fn clear(&mut self, _folded: &[Step]) {}
    fn enter(&mut self, _entry: &Entry) {}
    fn leave(&mut self, _entry: &Entry) {}
    fn measure(&self) -> Option<f64> {
        None
    }
}

/// FNV-1a over the text of values, without making the text.
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    }
    pub(crate) fn value(&mut self, value: &Value) {
        use std::fmt::Write;
        // Writing into a hash cannot fail.
        let _ = match value {
            Value::Text(t) => {
                self.bytes(t.as_bytes());
                Ok(())
            }
            Value::Int(n) => write!(self, "{n}"),
            Value::Ip(ip) => write!(self, "{ip}"),
            other => self.write_str(&other.to_text()),
        };
        self.bytes(&[0x1f]);
    }
    pub(crate) fn get(&self) -> u64 {
        self.0
    }
}

impl std::fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
