//! The longest run of first steps, in order of time, within one timespan: per step the chain that began last.

use super::Tally;
use crate::ring::Entry;

/// The best chain that ends with this step. Best is the one that began last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub start: i64,
    pub last: i64,
    pub lane: u32,
    pub seq: u64,
}

/// No chain has come this far.
const NONE: Step = Step { start: i64::MIN, last: i64::MIN, lane: u32::MAX, seq: 0 };

/// Entries of one instant with the same mark that can matter: two, since one event never fills two steps in a row.
const ALIKE_MAX: usize = 2;

pub(super) struct Sequence {
    timespan: i64,
    chains: Vec<Step>,
    /// As they were before the newest instant: all its entries count as in order with each other.
    before: Vec<Step>,
    instant: Vec<Entry>,
    time: i64,
}

impl Sequence {
    pub(super) fn new(steps: usize, timespan: i64) -> Self {
        let steps = steps.min(32);
        Self { timespan, chains: vec![NONE; steps], before: vec![NONE; steps], instant: Vec::new(), time: i64::MIN }
    }

    fn advance(&mut self) {
        self.chains.copy_from_slice(&self.before);
        for step in 0..self.chains.len() {
            for e in self.instant.iter().filter(|e| e.mark & (1 << step) != 0) {
                let own = Step { start: e.time, last: e.time, lane: e.lane, seq: e.seq };
                let grown = match step.checked_sub(1) {
                    None => Some(own),
                    Some(earlier) => {
                        let leans = |c: &&Step| {
                            c.start != i64::MIN && (c.lane, c.seq) != (e.lane, e.seq) && e.time.saturating_sub(c.start) <= self.timespan
                        };
                        let on = self.chains.get(earlier).filter(leans).or_else(|| self.before.get(earlier).filter(leans));
                        on.map(|c| Step { start: c.start, ..own })
                    }
                };
                if let (Some(grown), Some(chain)) = (grown, self.chains.get_mut(step))
                    && grown.start >= chain.start
                {
                    *chain = grown;
                }
            }
        }
    }
}

impl Tally for Sequence {
    fn clear(&mut self, folded: &[Step]) {
        self.chains.fill(NONE);
        for (chain, folded) in self.chains.iter_mut().zip(folded) {
            *chain = *folded;
        }
        self.instant.clear();
        self.time = i64::MIN;
    }
    fn enter(&mut self, entry: &Entry) {
        if entry.time != self.time {
            self.time = entry.time;
            self.instant.clear();
            self.before.copy_from_slice(&self.chains);
        }
        if self.instant.iter().filter(|e| e.mark == entry.mark).count() < ALIKE_MAX {
            // Those that fill one step only come last: they are the ones others can lean on.
            let at = self.instant.partition_point(|e| e.mark.count_ones() >= entry.mark.count_ones());
            self.instant.insert(at, *entry);
        }
        self.advance();
    }
    /// A chain that began too early is passed over by whoever would lean on it.
    fn leave(&mut self, _entry: &Entry) {}
    fn measure(&self) -> Option<f64> {
        let longest = self.chains.iter().rposition(|c| c.start != i64::MIN && c.last == self.time);
        Some(longest.map_or(0, |n| n + 1) as f64)
    }
}

/// Folds an entry that leaves the ring into the chains, so that a long sequence survives a flood of one of its steps.
pub(crate) fn fold(folded: &mut Vec<Step>, steps: usize, gone: &Entry, timespan: i64) {
    let mut sequence = Sequence::new(steps, timespan);
    sequence.clear(folded);
    sequence.enter(gone);
    *folded = sequence.chains;
}
