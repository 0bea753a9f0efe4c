//! Who reached whom, and in which order: what `spread` and `stages` share.
//!
//! A finding is an edge from the side that acted to the side it acted upon; a finding about one host alone is an edge from
//! it to itself. A host counts as reached from an origin if there is a path of edges to it whose times do not go back (equal times
//! are in order). More edges only ever reach more hosts, and sooner. Every origin of a window is tried: edges at most 256 in a group, so at most 256 × 256 steps a finding.

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
#[derive(Debug, Default)]
pub(super) struct Reached {
    pub origin: u32,
    /// Host → when first reached.
    pub hosts: AHashMap<u32, i64>,
    /// Marks of the edges along the way, together.
    pub marks: u32,
    /// Hosts other than the origin that reached on.
    pub spreaders: AHashSet<u32>,
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
    pub(super) fn newest(&self) -> i64 {
        self.edges.last().map_or(i64::MIN, |e| e.time)
    }

    /// Tries every origin that can have had a part in the newest edges; `better` picks.
    pub(super) fn best(&self, value: &dyn Fn(&Reached) -> f64) -> Option<(f64, Reached)> {
        let mut origins: Vec<u32> = self.edges.iter().map(from).collect();
        let mut seen = AHashSet::new();
        origins.retain(|o| seen.insert(*o));
        let mut best: Option<(f64, Reached)> = None;
        for origin in origins {
            let reached = self.from(origin);
            let worth = value(&reached);
            if best.as_ref().is_none_or(|(b, _)| worth > *b) {
                best = Some((worth, reached));
            }
        }
        best
    }

    fn from(&self, origin: u32) -> Reached {
        let mut reached = Reached { origin, ..Reached::default() };
        reached.hosts.insert(origin, i64::MIN);
        let mut at = 0;
        while let Some(first) = self.edges.get(at) {
            let end = at + self.edges.iter().skip(at).take_while(|e| e.time == first.time).count();
            // Within one instant edges count in whichever order leads furthest.
            loop {
                let before = reached.hosts.len();
                for e in self.edges.get(at..end).unwrap_or_default() {
                    if reached.hosts.contains_key(&from(e)) {
                        reached.marks |= e.mark;
                        reached.hosts.entry(to(e)).or_insert(e.time);
                        if from(e) != origin && to(e) != origin && to(e) != from(e) {
                            reached.spreaders.insert(from(e));
                        }
                    }
                }
                if reached.hosts.len() == before {
                    break;
                }
            }
            at = end;
        }
        reached
    }
}

fn from(e: &Entry) -> u32 {
    (e.value >> 32) as u32
}
fn to(e: &Entry) -> u32 {
    (e.value & 0xffff_ffff) as u32
}
