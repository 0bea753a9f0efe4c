//! Sets of numbers as sorted ranges: few in practice (one a run of losses), so a short vector.

/// Disjoint, sorted, not touching.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Adds `first..=last`; an empty range is nothing.
    pub fn add(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        if let Some(end) = self.0.last_mut()
            && first == end.1.saturating_add(1)
        {
            end.1 = last;
            return;
        }
        let from = self.0.partition_point(|r| r.1.saturating_add(1) < first);
        let to = self.0.partition_point(|r| r.0 <= last.saturating_add(1));
        let (mut first, mut last) = (first, last);
        if let (Some(a), Some(b)) = (self.0.get(from), to.checked_sub(1).and_then(|t| self.0.get(t)))
            && from < to
        {
            (first, last) = (first.min(a.0), last.max(b.1));
        }
        self.0.splice(from..to, [(first, last)]);
    }

    /// How many numbers of `first..=last` are in the set.
    pub fn count_in(&self, first: u64, last: u64) -> u64 {
        let from = self.0.partition_point(|r| r.1 < first);
        let overlap = |r: &(u64, u64)| (r.1.min(last) + 1).saturating_sub(r.0.max(first));
        self.0.iter().skip(from).take_while(|r| r.0 <= last).map(overlap).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_plain_set() {
        let mut chance = 1u64;
        for _ in 0..300 {
            let (mut ranges, mut set) = (Ranges::default(), std::collections::BTreeSet::new());
            for _ in 0..20 {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let first = (chance >> 33) % 40;
                let last = first + (chance >> 50) % 5;
                ranges.add(first, last);
                set.extend(first..=last);
                assert_eq!(ranges.count_in(10, 25), set.range(10..=25).count() as u64);
                assert_eq!(ranges.count_in(0, u64::MAX - 1), set.len() as u64);
                assert!(ranges.0.windows(2).all(|w| w[0].1 + 1 < w[1].0), "{ranges:?}");
            }
        }
    }
}
