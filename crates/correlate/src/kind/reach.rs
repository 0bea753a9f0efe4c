//! `reach`: the same actor at several units of several sectors. Counts the different values of a field (units, where nothing is
//! said) and asks that they lie in at least so many different values of another (sectors):
//!
//! ```yaml
//! type: reach
//! group-by: [src_endpoint.ip]
//! condition: { field: unit.id, gte: 3, across: unit.sector, across_gte: 2 }
//! ```

use std::borrow::Cow;

use event::{Name, Reason, Value};
use rule::Correlation;

use super::{
    Counts, Full, Input, Kind, Refusal, Sample, Samples, Step, Tally, Telling, checked, first_value, one_field, shown, whole,
    with_condition,
};
use crate::ring::Entry;

const VALUES_MAX: usize = 32;

pub(super) struct Reach;

impl Kind for Reach {
    fn word(&self) -> &'static str {
        "reach"
    }
    fn about(&self) -> &'static str {
        "how many units an actor has reached, in at least so many sectors"
    }
    fn parameters(&self) -> &'static [&'static str] {
        &["across", "across_gte"]
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        one_field(rule, "reach")?;
        whole(rule, "across_gte", 2, 1, 64)?;
        with_condition(rule, "field: unit.id, gte: 3, across: unit.sector, across_gte: 2")
    }
    fn full(&self) -> Full {
        Full::OnePerValue
    }
    fn names_in_value(&self) -> bool {
        true
    }
    /// A finding of a correlation carries lists: its units, and beside each the sector.
    fn read<'a>(&self, input: &mut Input<'a, '_>, out: &mut Samples<'a>) {
        let Some(key) = input.rule.fields.first() else { return };
        let across = Name::from(input.rule.parameters.get("across").map_or("unit.sector", String::as_str));
        let Some(member) = first_value(key, input.slot, input.finding) else { return };
        let beyond = input.finding.get_name(&across);
        let nth = |n: usize| match beyond {
            Some(Value::List(list)) => list.get(n),
            one => one,
        };
        let members: &'a [Value] = if let Value::List(list) = member { list } else { std::slice::from_ref(member) };
        for (n, member) in members.iter().enumerate().take(VALUES_MAX) {
            let sector = nth(n).filter(|s| !matches!(s, Value::Null));
            if let (Some(member_name), Some(sector)) = (input.names.intern(member), sector.and_then(|s| input.names.intern(s))) {
                let value = u64::from(member_name) << 32 | u64::from(sector);
                out.push(Sample { value, mark: input.slots, label: Some(Cow::Borrowed(member)) });
            }
        }
    }
    fn tally(&self, rule: &Correlation) -> Box<dyn Tally> {
        let wanted = rule.condition.iter().map(|b| b.value).fold(1.0, f64::max);
        Box::new(Across { members: Counts::default(), sectors: Counts::default(), need: checked(rule, "across_gte", 2) as usize, wanted })
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        Reason::new("actor_reach")
            .arg("count", shown(t.measured))
            .arg("threshold", shown(t.threshold))
            .arg("across_count", t.note(0))
            .arg("window_s", t.window_s())
            .arg("field", t.fields())
            .arg("across", t.rule.parameters.get("across").map_or("unit.sector", String::as_str))
    }
}

struct Across {
    members: Counts,
    sectors: Counts,
    need: usize,
    wanted: f64,
}

impl Tally for Across {
    fn clear(&mut self, _folded: &[Step]) {
        self.members.clear();
        self.sectors.clear();
    }
    fn enter(&mut self, entry: &Entry) {
        self.members.add(entry.value >> 32);
        self.sectors.add(entry.value & 0xffff_ffff);
    }
    fn leave(&mut self, entry: &Entry) {
        self.members.take(entry.value >> 32);
        self.sectors.take(entry.value & 0xffff_ffff);
    }
    /// Held just below the threshold while it lies in too few sectors.
    fn measure(&self) -> Option<f64> {
        let members = self.members.len() as f64;
        Some(if self.sectors.len() >= self.need { members } else { members.min(self.wanted - 1.0) })
    }
    fn notes(&self, out: &mut Vec<u64>) {
        out.push(self.sectors.len() as u64);
    }
}
