//! Ranges of object addresses, kept apart and in order.

use serde::{Deserialize, Serialize};

/// Ranges of one entry; past it the two that lie nearest to each other become one, which takes in what lies between them.
pub const RANGES_MAX: usize = 64;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    pub fn of(from: i64, to: i64) -> Self {
        Self(vec![(from.min(to), from.max(to))])
    }

    pub fn covers(&self, from: i64, to: i64) -> bool {
        self.0.iter().any(|(a, b)| *a <= from && to <= *b)
    }

    /// Takes a range in; touching ones become one.
    pub fn add(&mut self, from: i64, to: i64) {
        let (mut from, mut to) = (from.min(to), from.max(to));
        self.0.retain(|(a, b)| {
            let apart = *a > to.saturating_add(1) || b.saturating_add(1) < from;
            if !apart {
                (from, to) = (from.min(*a), to.max(*b));
            }
            apart
        });
        let at = self.0.partition_point(|(a, _)| *a < from);
        self.0.insert(at, (from, to));
        if self.0.len() > RANGES_MAX {
            let gaps = self.0.iter().zip(self.0.iter().skip(1)).map(|((_, end), (start, _))| start.saturating_sub(*end));
            if let Some((at, _)) = gaps.enumerate().min_by_key(|(_, gap)| *gap)
                && let Some((_, end)) = (at + 1 < self.0.len()).then(|| self.0.remove(at + 1))
                && let Some(range) = self.0.get_mut(at)
            {
                range.1 = end;
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(from, to)| self.add(*from, *to));
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `0-9, 40-49, 100`.
    pub fn text(&self) -> String {
        let one = |(from, to): &(i64, i64)| if from == to { from.to_string() } else { format!("{from}-{to}") };
        self.0.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_ranges_become_one_and_others_stay_apart() {
        let mut ranges = Ranges::default();
        for (from, to) in [(10, 19), (30, 39), (20, 21), (5, 3), (29, 29)] {
            ranges.add(from, to);
        }
        assert_eq!(ranges.text(), "3-5, 10-21, 29-39");
        assert!(ranges.covers(11, 20) && !ranges.covers(21, 29) && !ranges.covers(6, 6));
        ranges.add(i64::MIN, i64::MAX);
        assert_eq!(ranges.0.len(), 1);
    }

    #[test]
    fn past_the_limit_the_nearest_two_become_one() {
        let mut ranges = Ranges::default();
        for n in 0..500 {
            ranges.add(n * 100, n * 100 + 1);
        }
        assert_eq!(ranges.0.len(), RANGES_MAX);
        assert!((0..500).all(|n| ranges.covers(n * 100, n * 100 + 1)));
    }
}
