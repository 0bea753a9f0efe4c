//! Who reached whom, and in which order: what `spread` and `stages` share.
//!
//! A finding is an edge from the side that acted to the side it acted upon; a finding about one host alone is an edge from
//! it to itself. A host counts as reached from an origin if there is a path of edges to it whose times do not go back (equal times
//! are in order). More edges only ever reach more hosts, and sooner. Every origin of a window is tried, all in one walk:
//! at most 256 edges in a group, and 256 bits for the origins that reached a host.

use ahash::{AHashMap, AHashSet};
use event::{Field, Finding, Name, Value, field};
use rule::Correlation;

use super::{Input, Sample, Samples};
use crate::names::Names;
use crate::ring::Entry;

/// Edges of one group.
pub(super) const EDGES_MAX: usize = 256;
/// Edges that one finding gives.
const PAIRS_MAX: usize = 32;

const FROM: &[Field] = &[field::SRC_IP, field::DEVICE_IP, field::DEVICE_HOSTNAME, field::AGENT_ID];
const TO: &[Field] = &[field::DST_IP, field::DEVICE_IP, field::DEVICE_HOSTNAME, field::AGENT_ID];

/// The edges of a finding; `mark` is what the kind keeps with each, `own` whether a host that acts upon itself is one.
pub(super) fn read<'a>(input: &mut Input<'a, '_>, mark: u32, own: bool, out: &mut Samples<'a>) {
    let from = side(input.rule, "from", FROM, input.finding, input.names);
    let to = side(input.rule, "to", TO, input.finding, input.names);
    let to = if to.is_empty() { &from } else { &to };
    for f in &from {
        for t in to {
            if out.len() < PAIRS_MAX && (own || f != t) {
                out.push(Sample { value: u64::from(*f) << 32 | u64::from(*t), mark, label: None });
            }
        }
    }
}

fn side(rule: &Correlation, key: &str, usual: &[Field], finding: &Finding, names: &mut Names) -> Vec<u32> {
    let value = match rule.parameters.get(key) {
        Some(name) => finding.get_name(&Name::from(name.as_str())),
        None => usual.iter().find_map(|f| finding.get(*f)),
    };
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(list)) => list.iter().take(PAIRS_MAX).filter_map(|v| names.intern(v)).collect(),
        Some(one) => names.intern(one).into_iter().collect(),
    }
}

/// What one origin reached.
#[derive(Debug)]
pub(super) struct Reached {
    pub origin: u32,
    /// Hosts reached, itself included.
    pub hosts: u32,
    /// Hosts other than the origin that reached on.
    pub spreaders: u32,
    /// Marks of the edges along the way, together.
    pub marks: u32,
}

#[derive(Debug, Default)]
pub(super) struct Edges {
    edges: Vec<Entry>,
}

impl Edges {
    pub(super) fn clear(&mut self) {
        self.edges.clear();
    }
    pub(super) fn push(&mut self, entry: &Entry) {
        if self.edges.len() < EDGES_MAX {
            self.edges.push(*entry);
        }
    }

    /// Tries every origin; `value` says what one is worth, the first of the best is given.
    pub(super) fn best(&self, value: &dyn Fn(&Reached) -> f64) -> Option<(f64, Reached)> {
        let mut best: Option<(f64, Reached)> = None;
        for reached in self.origins() {
            let worth = value(&reached);
            if best.as_ref().is_none_or(|(b, _)| worth > *b) {
                best = Some((worth, reached));
            }
        }
        best
    }

    /// What each origin reached, in the order in which origins first acted.
    ///
    /// One walk over the edges for all origins at once: for each host the set of origins that have reached it.
    fn origins(&self) -> Vec<Reached> {
        let mut numbers: AHashMap<u32, usize> = AHashMap::with_capacity(self.edges.len() * 2);
        let mut origins: Vec<u32> = Vec::new();
        for e in &self.edges {
            numbers.entry(from(e)).or_insert_with(|| {
                origins.push(from(e));
                origins.len() - 1
            });
        }
        for e in &self.edges {
            let next = numbers.len();
            numbers.entry(to(e)).or_insert(next);
        }
        let number = |host: u32| numbers.get(&host).copied().unwrap_or_default();
        let mut reached = vec![Set::default(); numbers.len()];
        let mut spread = vec![Set::default(); origins.len()];
        let mut marked = [Set::default(); 32];
        for (n, set) in reached.iter_mut().enumerate().take(origins.len()) {
            set.insert(n);
        }
        for instant in self.edges.chunk_by(|a, b| a.time == b.time) {
            // Within one instant edges count in whichever order leads furthest.
            loop {
                let mut grown = false;
                for e in instant {
                    let (f, t) = (number(from(e)), number(to(e)));
                    let Some(by) = reached.get(f).copied() else { continue };
                    grown |= reached.get_mut(t).is_some_and(|set| set.join(by));
                    for bit in (0..32).filter(|bit| e.mark >> bit & 1 == 1) {
                        if let Some(set) = marked.get_mut(bit as usize) {
                            set.join(by);
                        }
                    }
                    if f != t
                        && let Some(set) = spread.get_mut(f)
                    {
                        set.join(by.without(f).without(t));
                    }
                }
                if !grown || instant.len() == 1 {
                    break;
                }
            }
        }
        let mut out: Vec<Reached> = origins.into_iter().map(|origin| Reached { origin, hosts: 0, spreaders: 0, marks: 0 }).collect();
        for set in &reached {
            set.each(|n| out.get_mut(n).into_iter().for_each(|r| r.hosts += 1));
        }
        for set in &spread {
            set.each(|n| out.get_mut(n).into_iter().for_each(|r| r.spreaders += 1));
        }
        for (bit, set) in marked.iter().enumerate() {
            set.each(|n| out.get_mut(n).into_iter().for_each(|r| r.marks |= 1 << bit));
        }
        out
    }

    /// When each host that the origin reached was first reached, itself left out unless it was reached again.
    pub(super) fn times(&self, origin: u32) -> AHashMap<u32, i64> {
        let mut times = AHashMap::new();
        let mut reached = AHashSet::from([origin]);
        for instant in self.edges.chunk_by(|a, b| a.time == b.time) {
            loop {
                let before = reached.len();
                for e in instant.iter().filter(|e| to(e) != origin) {
                    if reached.contains(&from(e)) && reached.insert(to(e)) {
                        times.insert(to(e), e.time);
                    }
                }
                if reached.len() == before {
                    break;
                }
            }
        }
        times
    }
    pub(super) fn newest(&self) -> i64 {
        self.edges.last().map_or(i64::MIN, |e| e.time)
    }
}

/// Origins by number, below `EDGES_MAX`.
#[derive(Debug, Clone, Copy, Default)]
struct Set([u64; EDGES_MAX / 64]);

impl Set {
    fn insert(&mut self, n: usize) {
        if let Some(word) = self.0.get_mut(n / 64) {
            *word |= 1 << (n % 64);
        }
    }
    fn without(mut self, n: usize) -> Self {
        if let Some(word) = self.0.get_mut(n / 64) {
            *word &= !(1 << (n % 64));
        }
        self
    }
    /// True if it grew.
    fn join(&mut self, other: Self) -> bool {
        let mut grown = false;
        for (word, more) in self.0.iter_mut().zip(other.0) {
            grown |= more & !*word != 0;
            *word |= more;
        }
        grown
    }
    fn each(&self, mut take: impl FnMut(usize)) {
        for (at, word) in self.0.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                take(at * 64 + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }
}

fn from(e: &Entry) -> u32 {
    (e.value >> 32) as u32
}
fn to(e: &Entry) -> u32 {
    (e.value & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One origin at a time, as the definition says it.
    fn plainly(edges: &[Entry], origin: u32) -> (u32, u32, u32) {
        let (mut hosts, mut spreaders, mut marks) = (AHashSet::from([origin]), AHashSet::new(), 0);
        for instant in edges.chunk_by(|a, b| a.time == b.time) {
            for _ in 0..=instant.len() {
                for e in instant.iter().filter(|e| hosts.contains(&from(e))).copied().collect::<Vec<_>>() {
                    hosts.insert(to(&e));
                    marks |= e.mark;
                    if ![origin, to(&e)].contains(&from(&e)) && to(&e) != origin {
                        spreaders.insert(from(&e));
                    }
                }
            }
        }
        (hosts.len() as u32, spreaders.len() as u32, marks)
    }

    proptest! {
        #[test]
        fn one_walk_for_all_origins_says_what_each_origin_alone_says(
            rows in prop::collection::vec((0i64..12, 0u32..9, 0u32..9, prop::sample::select(vec![1u32, 2, 1 << 31, 5])), 0..40)
        ) {
            let mut rows = rows;
            rows.sort_by_key(|r| r.0);
            let mut edges = Edges::default();
            for (time, f, t, mark) in rows {
                edges.push(&Entry { time, value: u64::from(f) << 32 | u64::from(t), mark, seq: 0, lane: 0 });
            }
            for r in edges.origins() {
                prop_assert_eq!((r.hosts, r.spreaders, r.marks), plainly(&edges.edges, r.origin));
                prop_assert_eq!(edges.times(r.origin).len() as u32 + 1, r.hosts);
            }
        }
    }
}
