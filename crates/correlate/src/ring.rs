//! Entries of one group in order of their own time. Late ones are put where they belong; duplicates are refused.

use crate::names::Lanes;
use crate::spare::Spare;

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

/// Entries that are quicker walked through than halved.
const FEW: usize = 8;

#[derive(Debug, Default, Clone)]
pub(crate) struct Ring {
    pub entries: Entries,
}

/// Entries one after another in memory; a single one lies in place, because most groups never see a second. Those that have left at
/// the front are passed over, and their room is used again once they are as many as those that stay.
#[derive(Debug, Clone)]
pub(crate) enum Entries {
    One(Entry),
    Many { list: Vec<Entry>, from: usize },
}

impl Default for Entries {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl From<Vec<Entry>> for Entries {
    fn from(list: Vec<Entry>) -> Self {
        Self::Many { list, from: 0 }
    }
}

impl std::ops::Deref for Entries {
    type Target = [Entry];
    fn deref(&self) -> &[Entry] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many { list, from } => list.get(*from..).unwrap_or_default(),
        }
    }
}

impl Entries {
    /// Those between two places, as far as they are there.
    pub(crate) fn between(&self, from: usize, to: usize) -> &[Entry] {
        self.get(from.min(to)..to.min(self.len())).unwrap_or_default()
    }

    pub(crate) fn insert(&mut self, at: usize, entry: Entry, spare: &mut Spare) {
        match self {
            Self::One(one) => {
                let mut list = spare.ring();
                list.push(*one);
                list.insert(at.min(1), entry);
                *self = Self::from(list);
            }
            Self::Many { list, .. } if list.capacity() == 0 => *self = Self::One(entry),
            Self::Many { list, from } => {
                if list.len() == list.capacity() {
                    if *from * 2 >= list.len() {
                        list.drain(..std::mem::take(from));
                    } else {
                        list.reserve_exact(list.len() / 2 + 2);
                    }
                }
                let at = *from + at;
                if at < list.len() {
                    list.insert(at, entry);
                } else {
                    list.push(entry);
                }
            }
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<Entry> {
        let gone = *self.first()?;
        match self {
            Self::One(_) => *self = Self::default(),
            Self::Many { from, .. } => *from += 1,
        }
        Some(gone)
    }

    /// Takes out those between two places.
    pub(crate) fn cut(&mut self, from: usize, to: usize, spare: &mut Spare) {
        if from == 0 && to >= self.len() {
            if let Self::Many { list, .. } = std::mem::take(self) {
                spare.keep_ring(list);
            }
        } else if let Self::Many { list, from: gone } = self {
            let end = (*gone + to).min(list.len());
            list.drain((*gone + from).min(end)..end);
        }
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        let mut list = self.take();
        list.retain(keep);
        *self = Self::from(list);
    }

    /// All of them, leaving none.
    pub(crate) fn take(&mut self) -> Vec<Entry> {
        match std::mem::take(self) {
            Self::One(one) => vec![one],
            Self::Many { mut list, from } => {
                list.drain(..from);
                list
            }
        }
    }
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
        self.entries.last().map_or(i64::MIN, |e| e.time)
    }
    /// First place whose time is at least `time`.
    pub(crate) fn lower(&self, time: i64) -> usize {
        let entries: &[Entry] = &self.entries;
        if entries.len() <= FEW { entries.iter().take_while(|e| e.time < time).count() } else { entries.partition_point(|e| e.time < time) }
    }
    /// First place whose time is past `time`.
    pub(crate) fn upper(&self, time: i64) -> usize {
        self.entries.partition_point(|e| e.time <= time)
    }

    /// Puts an entry in its place; `None` if the very same is there already.
    pub(crate) fn insert(&mut self, entry: Entry, lanes: &Lanes, spare: &mut Spare) -> Option<Place> {
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
        self.entries.insert(at, entry, spare);
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn entry(time: i64) -> Entry {
        Entry { time, seq: 0, value: 0, lane: 0, mark: 0 }
    }

    proptest::proptest! {
        #[test]
        fn entries_are_what_a_plain_list_would_be(steps in proptest::collection::vec((0u8..6, 0usize..40, 0usize..40), 0..200)) {
            let (mut ours, mut plain, mut spare) = (Entries::default(), VecDeque::new(), Spare::default());
            for (n, (what, a, b)) in steps.into_iter().enumerate() {
                match what {
                    0..=2 => {
                        let at = a.min(plain.len());
                        ours.insert(at, entry(n as i64), &mut spare);
                        plain.insert(at, entry(n as i64));
                    }
                    3 => proptest::prop_assert_eq!(ours.pop_front(), plain.pop_front()),
                    4 => {
                        let (from, to) = (a.min(b).min(plain.len()), a.max(b).min(plain.len()));
                        ours.cut(from, to, &mut spare);
                        plain.drain(from..to);
                    }
                    _ => {
                        ours.retain(|e| e.time % 3 != 0);
                        plain.retain(|e| e.time % 3 != 0);
                    }
                }
                proptest::prop_assert_eq!(&*ours, &*plain.make_contiguous());
                let (from, to) = (a.min(b).min(plain.len()), a.max(b));
                let between: Vec<Entry> = plain.range(from..to.min(plain.len())).copied().collect();
                proptest::prop_assert_eq!(ours.between(from, to), &*between);
            }
            proptest::prop_assert_eq!(ours.take(), Vec::from(plain));
        }
    }
}
