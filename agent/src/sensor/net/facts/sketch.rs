//! What facts are kept in: counters of different things that are exact while few and sketched when many, and tables that are full at some point.

use std::net::IpAddr;

use ahash::RandomState;
use packet::Index;

/// Different things counted exactly up to here.
const EXACT_MAX: usize = 32;
/// Registers of the sketch (HyperLogLog, Flajolet 2007), one byte each.
const REGISTERS: usize = 256;
/// Its standard error in percent: 104 / √256.
const ERROR_PCT: f64 = 6.5;

/// How many different hashes were added.
#[derive(Debug, Clone, Default)]
pub(super) struct Distinct {
    /// The first one; most entries of a flood never have another, and touch no memory but their own.
    one: Option<u64>,
    few: Vec<u64>,
    many: Option<Box<Sketch>>,
}

#[derive(Debug, Clone)]
struct Sketch {
    ranks: [u8; REGISTERS],
    /// Of 2 to the power of minus each rank, in units of 2 to the power of minus `RANK_MAX`.
    sum: u128,
    zeros: u32,
}

const RANK_MAX: u32 = 57;
/// Room for exact counts that one entry may hand on to the next.
const KEPT: usize = 8;

impl Distinct {
    /// True if the count may have changed.
    pub(super) fn add(&mut self, hash: u64) -> bool {
        if let Some(sketch) = &mut self.many {
            return sketch.add(hash);
        }
        let Some(one) = self.one else {
            self.one = Some(hash);
            return true;
        };
        if one == hash || self.few.contains(&hash) {
            return false;
        }
        if self.few.len() + 1 < EXACT_MAX {
            self.few.push(hash);
            return true;
        }
        let mut sketch = Box::new(Sketch { ranks: [0; REGISTERS], sum: (REGISTERS as u128) << RANK_MAX, zeros: REGISTERS as u32 });
        for hash in self.few.drain(..).chain([one, hash]) {
            sketch.add(hash);
        }
        self.few = Vec::new();
        self.many = Some(sketch);
        true
    }

    pub(super) fn count(&self) -> u64 {
        self.many.as_ref().map_or((self.few.len() + usize::from(self.one.is_some())) as u64, |sketch| sketch.estimate())
    }

    /// Standard error of `count` in percent.
    pub(super) fn error_pct(&self) -> f64 {
        if self.many.is_none() { 0.0 } else { ERROR_PCT }
    }

    pub(super) fn clear(&mut self) {
        (self.one, self.many) = (None, None);
        self.few.clear();
        self.few.shrink_to(KEPT);
    }
}

impl Sketch {
    fn add(&mut self, hash: u64) -> bool {
        let rank = ((hash << 8).leading_zeros() + 1).min(RANK_MAX);
        match self.ranks.get_mut((hash >> 56) as usize) {
            Some(held) if u32::from(*held) < rank => {
                self.sum -= 1 << (RANK_MAX - u32::from(*held));
                self.sum += 1 << (RANK_MAX - rank);
                self.zeros -= u32::from(*held == 0);
                *held = rank as u8;
                true
            }
            _ => false,
        }
    }

    fn estimate(&self) -> u64 {
        let m = REGISTERS as f64;
        let sum = self.sum as f64 / (1u64 << RANK_MAX) as f64;
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let value = if raw <= 2.5 * m && self.zeros > 0 { m * (m / f64::from(self.zeros)).ln() } else { raw };
        value.round() as u64
    }
}

/// Different things in 256 bits: within a twentieth up to some hundreds, "at least" past a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bits([u64; 4]);

impl Bits {
    pub(super) fn add(&mut self, hash: u64) {
        if let Some(word) = self.0.get_mut((hash >> 62) as usize) {
            *word |= 1 << (hash >> 56 & 63);
        }
    }
    pub(super) fn count(&self) -> u64 {
        let zeros: u32 = self.0.iter().map(|w| w.count_zeros()).sum();
        (256.0 * (256.0 / f64::from(zeros.max(1))).ln()).round() as u64
    }
}

/// Says when a number that only rises is told: at `first`, and each time it has doubled since.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steps(u64);

impl Steps {
    pub(super) fn reached(&mut self, value: u64, first: u64) -> bool {
        if value < self.0.max(first) {
            return false;
        }
        let mut next = self.0.max(first);
        while next <= value {
            next = next.saturating_mul(2);
        }
        self.0 = next;
        true
    }
}

/// What a full table asks of an entry that stood in it longest.
pub(super) trait Spare: Default {
    /// True if it is worth another turn; must become false if nothing happens meanwhile.
    fn spare(&mut self) -> bool;
    /// Makes it what a new one is; may keep its memory.
    fn renew(&mut self) {
        *self = Self::default();
    }
}

/// What a table finds its entries by.
pub(super) trait Key: Copy + Eq {
    /// Everything in it as numbers: few of them hash faster than many parts.
    fn words(&self) -> (u128, u128, u64);
}

/// A map of at most `max` entries. A full one forgets the entry that came first and is not worth a second turn, so that a flood of
/// strangers pushes out strangers and not who has been at it for long. A new entry takes the place of the forgotten one and its memory.
pub(super) struct Bounded<K, V> {
    keys: RandomState,
    index: Index,
    entries: Vec<Entry<K, V>>,
    /// The entry that came first, and the one that came last.
    first: u32,
    last: u32,
    max: usize,
    pub(super) forgotten: u64,
}

struct Entry<K, V> {
    key: K,
    hash: u32,
    /// The entry that came after it.
    next: u32,
    value: V,
}

const NONE: u32 = u32::MAX;

/// Entries asked before one has to go.
const ASKED: usize = 16;

impl<K: Key, V: Spare> Bounded<K, V> {
    pub(super) fn new(max: usize) -> Self {
        let (keys, index) = (RandomState::default(), Index::new());
        Self { keys, index, entries: Vec::new(), first: NONE, last: NONE, max: max.max(1), forgotten: 0 }
    }
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let at = self.find(key, self.hash(key))?;
        self.entries.get(at).map(|entry| &entry.value)
    }
    /// The entry, made if it is not there.
    pub(super) fn entry(&mut self, key: K) -> &mut V {
        let hash = self.hash(&key);
        let at = match self.find(&key, hash) {
            Some(at) => at,
            None => self.make(key, hash),
        };
        &mut self.entries[at].value
    }
    /// All entries, those that came first in front.
    pub(super) fn each(&mut self, mut see: impl FnMut(K, &mut V)) {
        let mut at = self.first;
        while let Some(entry) = self.entries.get_mut(at as usize) {
            see(entry.key, &mut entry.value);
            at = entry.next;
        }
    }

    #[inline]
    fn hash(&self, key: &K) -> u32 {
        (self.keys.hash_one(key.words()) >> 32) as u32
    }

    #[inline]
    fn find(&self, key: &K, hash: u32) -> Option<usize> {
        let at = self.index.find(hash, |at| self.entries.get(at as usize).is_some_and(|entry| entry.key == *key))?;
        Some(at as usize)
    }

    /// A new entry, the last in the order.
    fn make(&mut self, key: K, hash: u32) -> usize {
        let at = if self.entries.len() < self.max {
            self.entries.push(Entry { key, hash, next: NONE, value: V::default() });
            self.entries.len() - 1
        } else {
            let at = self.make_room();
            let entry = &mut self.entries[at];
            self.index.remove(entry.hash, at as u32);
            (entry.key, entry.hash) = (key, hash);
            entry.value.renew();
            self.forgotten += 1;
            at
        };
        self.index.insert(hash, at as u32);
        self.push_last(at as u32);
        at
    }

    /// The entry that has to go, taken out of the order.
    fn make_room(&mut self) -> usize {
        let mut asked = 1;
        loop {
            let at = self.first;
            let entry = &mut self.entries[at as usize];
            self.first = entry.next;
            if asked == ASKED || !entry.value.spare() {
                return at as usize;
            }
            self.push_last(at);
            asked += 1;
        }
    }

    fn push_last(&mut self, at: u32) {
        self.entries[at as usize].next = NONE;
        match self.entries.get_mut(self.last as usize).filter(|_| self.first != NONE) {
            Some(last) => last.next = at,
            None => self.first = at,
        }
        self.last = at;
    }
}

/// An address as a number; those of two versions may be the same, which a table that compares keys can bear.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

impl Key for IpAddr {
    fn words(&self) -> (u128, u128, u64) {
        (number(*self), 0, 0)
    }
}
impl Key for [u8; 6] {
    fn words(&self) -> (u128, u128, u64) {
        let [a, b, c, d, e, f] = *self;
        (0, 0, u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }
}
impl Key for (IpAddr, u8) {
    fn words(&self) -> (u128, u128, u64) {
        (number(self.0), 0, self.1.into())
    }
}
impl Key for (IpAddr, u64) {
    fn words(&self) -> (u128, u128, u64) {
        (number(self.0), 0, self.1)
    }
}
impl Key for (IpAddr, IpAddr) {
    fn words(&self) -> (u128, u128, u64) {
        (number(self.0), number(self.1), 0)
    }
}
impl Key for (IpAddr, IpAddr, u16) {
    fn words(&self) -> (u128, u128, u64) {
        (number(self.0), number(self.1), self.2.into())
    }
}
impl Key for (IpAddr, IpAddr, u64) {
    fn words(&self) -> (u128, u128, u64) {
        (number(self.0), number(self.1), self.2)
    }
}
impl Key for (IpAddr, IpAddr, u16, u8) {
    fn words(&self) -> (u128, u128, u64) {
        (number(self.0), number(self.1), u64::from(self.2) << 8 | u64::from(self.3))
    }
}

/// The middle of numbers, and the middle distance from it; `None` of nothing.
pub(super) fn middle(mut values: Vec<i64>) -> Option<(i64, i64)> {
    let at = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let median = *values.select_nth_unstable(at).1;
    values.iter_mut().for_each(|v| *v = v.saturating_sub(median).saturating_abs());
    let spread = *values.select_nth_unstable(at).1;
    Some((median, spread))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u64 {
        RandomState::with_seeds(1, 2, 3, 4).hash_one(n)
    }

    #[test]
    fn few_are_exact_and_many_within_three_standard_errors() {
        let mut distinct = Distinct::default();
        for n in 0..100_000u64 {
            distinct.add(hash(n));
            distinct.add(hash(n / 2));
            let (counted, real) = (distinct.count() as f64, (n + 1) as f64);
            if n < EXACT_MAX as u64 {
                assert_eq!((counted, distinct.error_pct()), (real, 0.0));
            } else if n.is_power_of_two() {
                assert!((counted - real).abs() <= real * 3.0 * distinct.error_pct() / 100.0, "{counted} of {real}");
            }
        }
    }

    #[test]
    fn bits_count_some_hundreds() {
        let mut bits = Bits::default();
        (0..200).for_each(|n| bits.add(hash(n)));
        assert!((180..=220).contains(&bits.count()), "{}", bits.count());
    }

    #[test]
    fn a_number_is_told_when_it_has_doubled() {
        let mut steps = Steps::default();
        let told: Vec<u64> = (0..100).filter(|n| steps.reached(*n, 8)).collect();
        assert_eq!(told, [8, 16, 32, 64]);
        assert!(steps.reached(5_000, 8) && !steps.reached(5_001, 8) && !steps.reached(8_191, 8) && steps.reached(8_192, 8));
    }

    impl Key for u32 {
        fn words(&self) -> (u128, u128, u64) {
            (0, 0, u64::from(*self))
        }
    }

    #[derive(Default)]
    struct Worth(u32);
    impl Spare for Worth {
        fn spare(&mut self) -> bool {
            std::mem::take(&mut self.0) > 1
        }
    }

    #[test]
    fn a_flood_of_strangers_pushes_out_strangers() {
        let mut table: Bounded<u32, Worth> = Bounded::new(100);
        for n in 0..100_000u32 {
            table.entry(n + 10).0 += 1;
            if n % 50 == 0 {
                table.entry(1).0 += 2;
            }
        }
        assert_eq!(table.len(), 100);
        assert!(table.get(&1).is_some() && table.get(&10).is_none());
        assert_eq!(table.forgotten, 100_001 - 100);
    }

    /// Against a list and the rule in words, with keys that come again.
    #[test]
    fn entries_are_found_and_go_in_their_order() {
        let mut table: Bounded<u32, Worth> = Bounded::new(20);
        let mut model: Vec<(u32, u32)> = Vec::new();
        for n in 0..5_000u32 {
            let key = n.wrapping_mul(n) % 61;
            table.entry(key).0 += 1;
            if let Some((_, count)) = model.iter_mut().find(|(k, _)| *k == key) {
                *count += 1;
            } else {
                for asked in 1..=if model.len() == 20 { ASKED } else { 0 } {
                    let (k, count) = model.remove(0);
                    if asked == ASKED || count <= 1 {
                        break;
                    }
                    model.push((k, 0));
                }
                model.push((key, 1));
            }
            let mut held = Vec::new();
            table.each(|k, worth| held.push((k, worth.0)));
            assert_eq!(held, model, "{n}");
            assert!((0..61).all(|k| table.get(&k).map(|w| w.0) == model.iter().find(|m| m.0 == k).map(|m| m.1)));
        }
    }

    #[test]
    fn a_cleared_count_begins_anew() {
        let mut distinct = Distinct::default();
        for most in [3, 500, 4] {
            (0..most).for_each(|n| _ = distinct.add(hash(n)));
            assert_eq!(distinct.count() == most, most < 500);
            distinct.clear();
            assert_eq!((distinct.count(), distinct.error_pct()), (0, 0.0));
        }
    }

    #[test]
    fn the_middle_and_how_far_from_it() {
        assert_eq!(middle(vec![5, 1, 9, 5, 6]), Some((5, 1)));
        assert_eq!(middle(Vec::new()), None);
    }
}
