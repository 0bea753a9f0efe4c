//! When groups are looked at again, by second of event time.
//!
//! Nearly all are due within the hour: those lie in a list a second, found without a search. What is further off, or earlier than what lies
//! there, is in a map. Bounded by the groups held: each has one entry, and those of groups that are gone are taken out by `retain`.

use std::collections::{BTreeMap, VecDeque};

use event::SECOND_NS;

/// Seconds that have a list of their own.
const NEAR_S: i64 = 4_096;
/// Emptied lists that are kept, and how large they may be.
const SPARE_MAX: usize = 16;
const SPARE_PLACES_MAX: usize = 4_096;

/// Place and serial of a group.
pub(crate) type Place = (u32, u64);

#[derive(Default)]
pub(crate) struct Due {
    /// The seconds from `base` on.
    near: VecDeque<Vec<Place>>,
    base: i64,
    rest: BTreeMap<i64, Vec<Place>>,
    /// The newest second that was taken out.
    passed: i64,
    /// Lists that were emptied.
    spare: Vec<Vec<Place>>,
}

impl Due {
    pub(crate) fn push(&mut self, second: i64, place: Place) {
        if self.near.is_empty() {
            self.base = second;
        } else if second < self.base && second > self.passed {
            self.spill();
            self.base = second;
        }
        match second.checked_sub(self.base).filter(|n| (0..NEAR_S).contains(n)) {
            Some(n) => {
                let n = n as usize;
                if self.near.len() <= n {
                    self.near.resize_with(n + 1, Vec::new);
                }
                if let Some(list) = self.near.get_mut(n) {
                    if list.capacity() == 0
                        && let Some(spare) = self.spare.pop()
                    {
                        *list = spare;
                    }
                    list.push(place);
                }
            }
            None => self.rest.entry(second).or_default().push(place),
        }
    }

    /// The earliest second that `mark` has come to, and all that are due in it.
    pub(crate) fn pop(&mut self, mark: i64) -> Option<(i64, Vec<Place>)> {
        let come = |second: i64| second.saturating_mul(SECOND_NS) <= mark;
        while come(self.base) && self.near.front().is_some_and(Vec::is_empty) {
            self.near.pop_front();
            self.base = self.base.saturating_add(1);
        }
        let near = self.near.front().filter(|list| !list.is_empty() && come(self.base)).map(|_| self.base);
        let rest = self.rest.first_key_value().map(|(second, _)| *second).filter(|second| come(*second));
        let second = near.into_iter().chain(rest).min()?;
        let mut all = if rest == Some(second) { self.rest.remove(&second).unwrap_or_default() } else { Vec::new() };
        if near == Some(second) {
            let mut list = self.near.pop_front().unwrap_or_default();
            self.base = self.base.saturating_add(1);
            if all.is_empty() {
                all = list;
            } else {
                all.append(&mut list);
            }
        }
        self.passed = self.passed.max(second);
        Some((second, all))
    }

    /// Takes a list back that `pop` gave.
    pub(crate) fn give_back(&mut self, mut list: Vec<Place>) {
        if list.capacity() <= SPARE_PLACES_MAX && self.spare.len() < SPARE_MAX {
            list.clear();
            self.spare.push(list);
        }
    }

    pub(crate) fn retain(&mut self, stands: impl Fn(&Place) -> bool) {
        for list in self.near.iter_mut().chain(self.rest.values_mut()) {
            list.retain(&stands);
            list.shrink_to_fit();
        }
        self.rest.retain(|_, list| !list.is_empty());
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Something is due before all that lies near: the near seconds begin anew with it.
    fn spill(&mut self) {
        for (list, second) in self.near.drain(..).zip(self.base..).filter(|(list, _)| !list.is_empty()) {
            self.rest.entry(second).or_default().extend(list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn they_come_as_from_a_map(steps in proptest::collection::vec((0u8..4, -20_000i64..20_000), 0..300)) {
            let (mut due, mut map) = (Due::default(), BTreeMap::<i64, Vec<Place>>::new());
            for (n, (what, second)) in steps.into_iter().enumerate() {
                let place = (n as u32, n as u64);
                match what {
                    0 | 1 => {
                        // Most within the hour, some anywhere.
                        let second = if what == 0 { second } else { second.rem_euclid(300) + n as i64 };
                        due.push(second, place);
                        map.entry(second).or_default().push(place);
                    }
                    2 => {
                        let stands = |p: &Place| p.1 as i64 % 3 != second.rem_euclid(3);
                        due.retain(stands);
                        map.values_mut().for_each(|l| l.retain(stands));
                        map.retain(|_, l| !l.is_empty());
                    }
                    _ => loop {
                        let mark = second.saturating_mul(SECOND_NS);
                        let expected = map.first_key_value().map(|(s, _)| *s).filter(|s| *s <= second).and_then(|s| map.remove_entry(&s));
                        let got = due.pop(mark).map(|(s, mut all)| { all.sort_unstable(); (s, all) });
                        proptest::prop_assert_eq!(&got, &expected);
                        if got.is_none() {
                            break;
                        }
                    },
                }
            }
        }
    }
}
