//! `stages`: how far an attack has come. Counts the different ATT&CK tactics of the findings along the paths of one origin, over all
//! hosts it reached (so the scan of one, the logon to the next and the command to a controller are one progress), and can ask that
//! both worlds are among them:
//!
//! ```yaml
//! type: stages
//! group-by: []                       # joined by who reached whom; or one asset: [device.hostname]
//! condition: { gte: 3, domains: 2 }  # three tactics, office network and process control
//! ```
//! Tactics are those of the rules' tags; a finding whose rule has none does not count. A technique of the ICS matrix (T0xxx) or a
//! tactic that only that matrix has marks the world of process control. `from:` and `to:` as in `spread`.

use event::{Reason, RuleMeta, Value};
use rule::Correlation;

use super::edges::{self, EDGES_MAX, Edges};
use super::{Full, Input, Kind, Refusal, Samples, Step, Tally, Telling, checked, shown, whole, with_condition};
use crate::ring::Entry;

/// Tactics in the order an attack usually takes, with the word of the tag; the last three only in the ICS matrix.
const TACTICS: [&str; 17] = [
    "reconnaissance",
    "resource-development",
    "initial-access",
    "execution",
    "persistence",
    "privilege-escalation",
    "defense-evasion",
    "credential-access",
    "discovery",
    "lateral-movement",
    "collection",
    "command-and-control",
    "exfiltration",
    "impact",
    "evasion",
    "inhibit-response-function",
    "impair-process-control",
];
const ICS_ONLY: usize = 14;
const OFFICE: u32 = 1 << 30;
const CONTROL: u32 = 1 << 31;
const STAGES: u32 = OFFICE - 1;

pub(super) struct Stages;

/// Tactics of a rule as bits, with its world.
fn bits(rule: &RuleMeta) -> u32 {
    let mut bits = 0;
    for tactic in &rule.tactics {
        let word = tactic.replace('_', "-");
        if let Some(n) = TACTICS.iter().position(|t| *t == word) {
            bits |= 1 << n;
        }
    }
    if bits == 0 {
        return 0;
    }
    let control = bits >> ICS_ONLY != 0 || rule.techniques.iter().any(|t| t.starts_with("T0"));
    let office = !control || rule.techniques.iter().any(|t| t.starts_with("T1"));
    bits | if control { CONTROL } else { 0 } | if office { OFFICE } else { 0 }
}

impl Kind for Stages {
    fn word(&self) -> &'static str {
        "stages"
    }
    fn about(&self) -> &'static str {
        "how many ATT&CK tactics one origin has been through, over all hosts it reached"
    }
    fn parameters(&self) -> &'static [&'static str] {
        &["domains", "hosts", "from", "to"]
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        whole(rule, "domains", 1, 1, 2)?;
        whole(rule, "hosts", 1, 1, 64)?;
        with_condition(rule, "gte: 3")
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
        let mark = bits(&input.finding.rule);
        if mark != 0 {
            edges::read(input, mark, true, out);
        }
    }
    fn tally(&self, rule: &Correlation) -> Box<dyn Tally> {
        let wanted = rule.condition.iter().map(|b| b.value).fold(1.0, f64::max);
        let (domains, hosts) = (checked(rule, "domains", 1), checked(rule, "hosts", 1) as u32);
        Box::new(Progress { edges: Edges::default(), domains: domains as u32, hosts, wanted })
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        let bits = t.note(1);
        let stages: Vec<Value> = TACTICS.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0).map(|(_, t)| Value::text(t)).collect();
        let id = if bits & u64::from(CONTROL) != 0 && bits & u64::from(OFFICE) != 0 { "stages_into_control" } else { "stages_reached" };
        Reason::new(id)
            .arg("count", shown(t.measured))
            .arg("threshold", shown(t.threshold))
            .arg("stages", stages)
            .arg("origin", t.named(0))
            .arg("hosts", t.note(2))
            .arg("window_s", t.window_s())
    }
}

struct Progress {
    edges: Edges,
    domains: u32,
    hosts: u32,
    wanted: f64,
}

impl Progress {
    fn worth(&self, r: &edges::Reached) -> f64 {
        let stages = f64::from((r.marks & STAGES).count_ones());
        let worlds = (r.marks & (OFFICE | CONTROL)).count_ones();
        if worlds >= self.domains && r.hosts >= self.hosts { stages } else { stages.min(self.wanted - 1.0) }
    }
}

impl Tally for Progress {
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
        if let Some((_, r)) = self.edges.best(&|r| self.worth(r)) {
            out.extend([u64::from(r.origin), u64::from(r.marks), u64::from(r.hosts)]);
        }
    }
}
