//! What facts are kept in: counters of different things that are exact while few and sketched when many, and tables that are full at some point.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use ahash::RandomState;

/// Different things counted exactly up to here.
const EXACT_MAX: usize = 32;
/// Registers of the sketch (HyperLogLog, Flajolet 2007), one byte each.
const REGISTERS: usize = 256;
/// Its standard error in percent: 104 / √256.
const ERROR_PCT: f64 = 6.5;

/// How many different hashes were added.
#[derive(Debug, Clone)]
pub(super) enum Distinct {
    Few(Vec<u64>),
    Many(Box<[u8; REGISTERS]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Distinct {
    /// True if the count may have changed.
    pub(super) fn add(&mut self, hash: u64) -> bool {
        match self {
            Self::Few(all) if all.contains(&hash) => false,
            Self::Few(all) if all.len() < EXACT_MAX => {
                all.push(hash);
                true
            }
            Self::Few(all) => {
                let mut registers = Box::new([0; REGISTERS]);
                for hash in all.iter().chain([&hash]) {
                    register(&mut registers, *hash);
                }
                *self = Self::Many(registers);
                true
            }
            Self::Many(registers) => register(registers, hash),
        }
    }

    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Few(all) => all.len() as u64,
            Self::Many(registers) => estimate(registers),
        }
    }

    /// Standard error of `count` in percent.
    pub(super) fn error_pct(&self) -> f64 {
        if matches!(self, Self::Few(_)) { 0.0 } else { ERROR_PCT }
    }
}

fn register(registers: &mut [u8; REGISTERS], hash: u64) -> bool {
    let rank = ((hash << 8).leading_zeros() + 1).min(57) as u8;
    match registers.get_mut((hash >> 56) as usize) {
        Some(held) if *held < rank => {
            *held = rank;
            true
        }
        _ => false,
    }
}

fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let m = REGISTERS as f64;
    let sum: f64 = registers.iter().map(|r| (-f64::from(*r)).exp2()).sum();
    let zeros = registers.iter().filter(|r| **r == 0).count();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
    let value = if raw <= 2.5 * m && zeros > 0 { m * (m / zeros as f64).ln() } else { raw };
    value.round() as u64
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
pub(super) trait Spare {
    /// True if it is worth another turn; must become false if nothing happens meanwhile.
    fn spare(&mut self) -> bool;
}

/// A map of at most `max` entries. A full one forgets the entry that came first and is not worth a second turn, so that a flood of
/// strangers pushes out strangers and not who has been at it for long.
pub(super) struct Bounded<K, V> {
    map: HashMap<K, V, RandomState>,
    order: VecDeque<K>,
    max: usize,
    pub(super) forgotten: u64,
}

/// Entries asked before one has to go.
const ASKED: usize = 16;

impl<K: Hash + Eq + Copy, V: Default + Spare> Bounded<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self { map: HashMap::default(), order: VecDeque::new(), max, forgotten: 0 }
    }
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }
    /// The entry, made if it is not there.
    pub(super) fn entry(&mut self, key: K) -> &mut V {
        if !self.map.contains_key(&key) {
            if self.map.len() >= self.max {
                self.make_room();
            }
            self.order.push_back(key);
        }
        self.map.entry(key).or_default()
    }
    /// All entries, those that came first in front.
    pub(super) fn each(&mut self, mut see: impl FnMut(K, &mut V)) {
        for key in &self.order {
            if let Some(value) = self.map.get_mut(key) {
                see(*key, value);
            }
        }
    }
    fn make_room(&mut self) {
        for asked in 1..=ASKED {
            let Some(key) = self.order.pop_front() else { return };
            if asked < ASKED && self.map.get_mut(&key).is_some_and(Spare::spare) {
                self.order.push_back(key);
                continue;
            }
            self.map.remove(&key);
            self.forgotten += 1;
            return;
        }
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

    #[test]
    fn the_middle_and_how_far_from_it() {
        assert_eq!(middle(vec![5, 1, 9, 5, 6]), Some((5, 1)));
        assert_eq!(middle(Vec::new()), None);
    }
}
