//! Entries of one group in order of their own time. Late ones are put where they belong; duplicates are refused.

use std::collections::VecDeque;

use event::EventId;

/// One finding that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub time: i64,
    pub id: EventId,
    /// Bit `n`: the finding is of the `n`-th rule the correlation listens to.
    pub slots: u32,
    /// Hash of what is counted as different; the slots where rules are.
    pub value: u64,
    /// Time of the entry before with the same value, if it is within the timespan.
    pub previous: i64,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Ring {
    pub entries: VecDeque<Entry>,
}

impl Ring {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
    pub(crate) fn newest(&self) -> Option<&Entry> {
        self.entries.back()
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
    pub(crate) fn insert(&mut self, mut entry: Entry, timespan: i64) -> Option<usize> {
        let order = |e: &Entry| (e.time, e.id, e.slots, e.value);
        let at = if self.newest().is_none_or(|n| order(n) < order(&entry)) {
            self.entries.len()
        } else {
            self.entries.partition_point(|e| order(e) < order(&entry))
        };
        if self.entries.get(at).is_some_and(|e| order(e) == order(&entry)) {
            return None;
        }
        let from = entry.time.saturating_sub(timespan);
        entry.previous = i64::MIN;
        for before in self.entries.range(..at).rev() {
            if before.time < from {
                break;
            }
            if before.value == entry.value {
                entry.previous = before.time;
                break;
            }
        }
        let until = entry.time.saturating_add(timespan);
        for after in self.entries.range_mut(at..) {
            if after.time > until {
                break;
            }
            if after.value == entry.value {
                after.previous = entry.time;
                break;
            }
        }
        self.entries.insert(at, entry);
        Some(at)
    }

    /// Lets go of entries that a newer one with the same value stands for, where no late entry can fall between the two
    /// any more (`settled`: times up to here are complete). Distinct counts of windows still open stay what they were.
    pub(crate) fn compact(&mut self, settled: i64) {
        let mut newest: ahash::AHashMap<u64, i64> = ahash::AHashMap::new();
        for e in self.entries.iter().filter(|e| e.time <= settled) {
            newest.insert(e.value, e.time);
        }
        self.entries.retain(|e| e.time > settled || newest.get(&e.value).is_none_or(|n| *n == e.time));
        for e in self.entries.iter_mut().take_while(|e| e.time <= settled) {
            if e.previous < e.time {
                e.previous = i64::MIN;
            }
        }
    }
}
