//! Entries of one group in order of their own time. Late ones are put where they belong; duplicates are refused.

use std::collections::VecDeque;

use crate::names::Lanes;

/// One finding that counts, in 32 bytes: agent, epoch and class are a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub time: i64,
    pub seq: u64,
    /// What the kind made of the finding: hash of a value, bits of a number, two names.
    pub value: u64,
    pub lane: u32,
    /// Bit `n`: a finding of the `n`-th rule; or what the kind keeps here (tactics, how many were merged).
    pub mark: u32,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Ring {
    pub entries: VecDeque<Entry>,
}

/// Where an entry came to lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub at: usize,
    /// Something with a later time was there already.
    pub late: bool,
}

impl Ring {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
    pub(crate) fn newest(&self) -> i64 {
        self.entries.back().map_or(i64::MIN, |e| e.time)
    }
    /// First place whose time is at least `time`.
    pub(crate) fn lower(&self, time: i64) -> usize {
        self.entries.partition_point(|e| e.time < time)
    }
    /// First place whose time is past `time`.
    pub(crate) fn upper(&self, time: i64) -> usize {
        self.entries.partition_point(|e| e.time <= time)
    }

    /// Puts an entry in its place; `None` if the very same is there already.
    pub(crate) fn insert(&mut self, entry: Entry, lanes: &Lanes) -> Option<Place> {
        let newest = self.newest();
        let mut at = self.entries.len();
        if entry.time <= newest {
            let order = |e: &Entry| (e.time, lanes.id(e.lane, e.seq), e.mark, e.value);
            let wanted = order(&entry);
            at = self.entries.partition_point(|e| e.time < entry.time || e.time == entry.time && order(e) < wanted);
            if self.entries.get(at) == Some(&entry) {
                return None;
            }
        }
        if self.entries.capacity() == 0 {
            // Most groups never see a second entry.
            self.entries.reserve_exact(1);
        }
        self.entries.insert(at, entry);
        Some(Place { at, late: entry.time < newest })
    }

    /// Whether the event is here under whatever time: its clock may have been held at arrival before.
    pub(crate) fn has(&self, lane: u32, seq: u64) -> bool {
        self.entries.iter().any(|e| e.lane == lane && e.seq == seq)
    }

    /// Lets go of entries that a newer one with the same value stands for, where no late entry can fall between the two
    /// any more (`settled`: times up to here are complete). Distinct counts of windows still open stay what they were. With
    /// `first`, the oldest of each value stays too (for paths, the time a host was first reached matters).
    pub(crate) fn keep_one_per_value(&mut self, settled: i64, first: bool, gone: &mut dyn FnMut(&Entry)) {
        let mut newest: ahash::AHashMap<(u64, u32), i64> = ahash::AHashMap::new();
        for e in self.entries.iter().filter(|e| e.time <= settled) {
            newest.insert((e.value, e.mark), e.time);
        }
        let mut met = ahash::AHashSet::new();
        self.entries.retain(|e| {
            let one = (e.value, e.mark);
            let keep = e.time > settled || newest.get(&one).is_none_or(|n| *n == e.time) || (first && met.insert(one));
            if !keep {
                gone(e);
            }
            keep
        });
    }
}
