//! `spread`: something moves from host to host (A → B → C). Counts the hosts that the same origin, patient zero, has reached over
//! edges whose times do not go back, itself included, and asks that so many of them reached on themselves: one host that reaches many
//! is an administrator or a scanner, hosts that were reached and then reach others are a worm or an intruder.
//!
//! ```yaml
//! type: spread
//! group-by: []                          # all edges of these rules together
//! condition: { gte: 4, spreaders: 1 }   # four hosts, one of them reached over another
//! ```
//! `from:` and `to:` name the two sides; where they are not written: source address, destination address, else the host.

use event::Reason;
use rule::Correlation;

use super::edges::{self, EDGES_MAX, Edges};
use super::{Full, Input, Kind, Refusal, Samples, Step, Tally, Telling, checked, shown, whole, with_condition};
use crate::ring::Entry;

pub(super) struct Spread;

impl Kind for Spread {
    fn word(&self) -> &'static str {
        "spread"
    }
    fn about(&self) -> &'static str {
        "how many hosts one origin has reached, from host to host"
    }
    fn parameters(&self) -> &'static [&'static str] {
        &["spreaders", "from", "to"]
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        whole(rule, "spreaders", 1, 1, 64)?;
        with_condition(rule, "gte: 4, spreaders: 1")
    }
    fn entries_max(&self, limit: usize) -> usize {
        limit.min(EDGES_MAX)
    }
    fn full(&self) -> Full {
        Full::OnePerValue
    }
    fn rescans(&self) -> bool {
        true
    }
    fn names_in_value(&self) -> bool {
        true
    }
    fn note_is_name(&self, n: usize) -> bool {
        n == 0
    }
    fn read<'a>(&self, input: &mut Input<'a, '_>, out: &mut Samples<'a>) {
        edges::read(input, input.slots, false, out);
    }
    fn tally(&self, rule: &Correlation) -> Box<dyn Tally> {
        let wanted = rule.condition.iter().map(|b| b.value).fold(1.0, f64::max);
        Box::new(Hosts { edges: Edges::default(), spreaders: checked(rule, "spreaders", 1) as u32, wanted })
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        Reason::new("spread_reached")
            .arg("count", shown(t.measured))
            .arg("threshold", shown(t.threshold))
            .arg("patient_zero", t.named(0))
            .arg("spreaders", t.note(1))
            .arg("recent", t.note(2))
            .arg("window_s", t.window_s())
    }
}

struct Hosts {
    edges: Edges,
    spreaders: u32,
    wanted: f64,
}

impl Hosts {
    fn worth(&self, reached: &edges::Reached) -> f64 {
        let hosts = f64::from(reached.hosts);
        if reached.spreaders >= self.spreaders { hosts } else { hosts.min(self.wanted - 1.0) }
    }
}

impl Tally for Hosts {
    fn clear(&mut self, _folded: &[Step]) {
        self.edges.clear();
    }
    fn enter(&mut self, entry: &Entry) {
        self.edges.push(entry);
    }
    fn leave(&mut self, _entry: &Entry) {}
    fn measure(&self) -> Option<f64> {
        self.edges.best(&|r| self.worth(r)).map(|(worth, _)| worth)
    }
    fn notes(&self, out: &mut Vec<u64>) {
        let Some((_, r)) = self.edges.best(&|r| self.worth(r)) else { return };
        // Growth: how many of them came in the newer half of the time it took.
        let times = self.edges.times(r.origin);
        let first = times.values().copied().min().unwrap_or(i64::MIN);
        let middle = first.saturating_add(self.edges.newest().saturating_sub(first) / 2);
        let recent = times.values().filter(|t| **t > middle).count();
        out.extend([u64::from(r.origin), u64::from(r.spreaders), recent as u64]);
    }
}
