//! The correlation types: a file and a row of `KINDS` for each. A kind says what a window measures; when windows open and
//! close, what is kept and what is told is the same for all of them.

mod event_count;
mod temporal;
mod temporal_ordered;
mod value_count;

use ahash::AHashMap;
use event::{EventId, Finding, Reason};
use rule::Correlation;

use crate::ring::{Entry, Ring};

/// Every correlation type there is. A file and one row here is all it takes to add one.
pub static KINDS: &[&dyn Kind] =
    &[&event_count::EventCount, &value_count::ValueCount, &temporal::Temporal, &temporal_ordered::TemporalOrdered];

/// What was refused and what to write instead.
pub type Refusal = (String, String);

/// A correlation type.
pub trait Kind: Sync {
    /// Its word in a rule's `type:`.
    fn word(&self) -> &'static str;
    /// One line for people.
    fn about(&self) -> &'static str;
    /// Refuses a rule it cannot give meaning to.
    fn check(&self, rule: &Correlation) -> Result<(), Refusal>;
    /// What the measure must reach where the rule says nothing.
    fn default_threshold(&self, rule: &Correlation) -> Option<u64>;
    /// What makes a finding of the rule in `slot` different from others, as text: usually one value, none where nothing is
    /// told apart; `None` if the finding does not count.
    fn samples(&self, rule: &Correlation, slot: usize, finding: &Finding) -> Option<Vec<String>>;
    /// Whether entries with the same value may stand for each other when room is short.
    fn counts_values(&self) -> bool {
        false
    }
    /// Whether the order of entries matters, so that those let go must be remembered as chains.
    fn is_sequence(&self) -> bool {
        false
    }
    #[doc(hidden)]
    fn measure(&self, window: Measured<'_>) -> u64;
    /// Why, in data; `titles` are those of the rules it listens to.
    fn reason(&self, rule: &Correlation, titles: &[String], measured: u64, threshold: u64) -> Reason;
}

/// A ring, and the place in it that changed: a kind answers with the greatest measure of all windows that hold this place.
pub struct Measured<'a> {
    pub(crate) ring: &'a Ring,
    pub(crate) at: usize,
    pub(crate) timespan: i64,
    pub(crate) steps: usize,
    pub(crate) folded: &'a [Step],
}

/// For sequences: the best chain that ends with this step. Best is the one that began last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub start: i64,
    pub last: i64,
    pub id: EventId,
}

pub(crate) fn find(word: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|k| k.word() == word)
}

fn window_s(rule: &Correlation) -> i64 {
    rule.timespan_ns / event::SECOND_NS
}

/// Most entries in one window.
fn most_entries(w: &Measured<'_>) -> u64 {
    let Some(changed) = w.ring.entries.get(w.at) else { return 0 };
    let until = changed.time.saturating_add(w.timespan);
    let mut from = w.ring.lower(changed.time.saturating_sub(w.timespan));
    let mut most = 0;
    let mut end = w.at;
    while let Some(last) = w.ring.entries.get(end).filter(|e| e.time <= until) {
        while w.ring.entries.get(from).is_some_and(|e| e.time < last.time.saturating_sub(w.timespan)) {
            from += 1;
        }
        most = most.max(end + 1 - from);
        end += 1;
    }
    most as u64
}

/// Most different values in one window. The usual case, an entry at the end, is a scan of one window; an entry that came
/// late costs a pass over the windows it falls into.
fn most_values(w: &Measured<'_>) -> u64 {
    let entries = &w.ring.entries;
    let Some(changed) = entries.get(w.at) else { return 0 };
    let from = w.ring.lower(changed.time.saturating_sub(w.timespan));
    if w.at + 1 == entries.len() {
        // What stood before the ring's first entry is forgotten, so nothing may lean on it.
        let start = changed.time.saturating_sub(w.timespan).max(entries.front().map_or(i64::MIN, |e| e.time));
        return entries.range(from..).filter(|e| e.previous < start).count() as u64;
    }
    let until = changed.time.saturating_add(w.timespan);
    let mut held: AHashMap<u64, u32> = AHashMap::new();
    let (mut first, mut most) = (from, 0);
    for end in from..entries.len() {
        let Some(last) = entries.get(end).filter(|e| e.time <= until) else { break };
        *held.entry(last.value).or_insert(0) += 1;
        while let Some(gone) = entries.get(first).filter(|e| e.time < last.time.saturating_sub(w.timespan)) {
            if let Some(n) = held.get_mut(&gone.value) {
                *n -= 1;
                if *n == 0 {
                    held.remove(&gone.value);
                }
            }
            first += 1;
        }
        if end >= w.at {
            most = most.max(held.len());
        }
    }
    most as u64
}

/// Advances chains by the entries of one instant. Equal times count as in order, but one event never fills two steps in a row.
fn advance(chains: &mut [Option<Step>], instant: &[Entry], timespan: i64) {
    let before: Vec<Option<Step>> = chains.to_vec();
    for step in 0..chains.len() {
        for e in instant.iter().filter(|e| step < 32 && e.slots & (1 << step) != 0) {
            let grown = if step == 0 {
                Some(Step { start: e.time, last: e.time, id: e.id })
            } else {
                let lean = |c: &Option<Step>| c.filter(|c| c.id != e.id && c.last <= e.time && e.time.saturating_sub(c.start) <= timespan);
                lean(&chains[step - 1]).or_else(|| lean(&before[step - 1])).map(|c| Step { start: c.start, last: e.time, id: e.id })
            };
            if let Some(grown) = grown.filter(|g| chains[step].is_none_or(|c| g.start >= c.start)) {
                chains[step] = Some(grown);
            }
        }
    }
}

/// Folds an entry that leaves the ring into the chains, so that a long sequence survives a flood of one of its steps.
pub(crate) fn fold(folded: &mut Vec<Step>, steps: usize, gone: &Entry, timespan: i64) {
    let mut chains: Vec<Option<Step>> = (0..steps).map(|n| folded.get(n).copied().filter(|s| s.start != i64::MIN)).collect();
    advance(&mut chains, &[*gone], timespan);
    let none = Step { start: i64::MIN, last: i64::MIN, id: EventId::NONE };
    *folded = chains.into_iter().map(|c| c.unwrap_or(none)).collect();
}

/// Length of the longest run of first steps, in order of time, within one timespan.
fn longest_sequence(w: &Measured<'_>) -> u64 {
    let Some(changed) = w.ring.entries.get(w.at) else { return 0 };
    let mut chains: Vec<Option<Step>> = (0..w.steps).map(|n| w.folded.get(n).copied().filter(|s| s.start != i64::MIN)).collect();
    let mut at = w.ring.lower(changed.time.saturating_sub(w.timespan));
    let until = changed.time.saturating_add(w.timespan);
    let mut instant: Vec<Entry> = Vec::new();
    let mut longest = 0;
    while let Some(first) = w.ring.entries.get(at).filter(|e| e.time <= until) {
        instant.clear();
        instant.extend(w.ring.entries.range(at..).take_while(|e| e.time == first.time));
        at += instant.len();
        advance(&mut chains, &instant, w.timespan);
        if first.time >= changed.time {
            let reached = |(n, c): (usize, &Option<Step>)| c.filter(|c| c.last == first.time).map(|_| n + 1);
            longest = longest.max(chains.iter().enumerate().filter_map(reached).max().unwrap_or(0));
        }
    }
    longest as u64
}
