//! The events of a technical drill: which, when, at which part. Pure; whoever owns the drill's engine makes events of them and steps it.
//!
//! A line is an event as `vedette replay` reads it, without a time: it happens with its inject. Three keys say more and are no fields of it:
//! `after_s` seconds later, `repeat` times, `every_s` seconds apart.

use event::Timestamp;
use serde_json::Value;
use warning::grade::Object;

use super::Drill;
use super::scenario::{EVENTS_MAX, Role, What, timing};

/// An event to be put into the drill's engine.
#[derive(Debug, Clone)]
pub struct Marked<'d> {
    pub at: Timestamp,
    pub inject: &'d str,
    /// Tells it from every other of this drill; the same after a restart.
    pub number: u64,
    pub role: &'d Role,
    /// Place of the part in the scenario.
    pub place: usize,
    /// Unit that plays it, or `drill-ROLE` where nobody does.
    pub unit: String,
    pub line: &'d serde_json::Map<String, Value>,
}

impl Drill {
    /// Events of the injects that were put in so far, by time.
    pub fn events(&self) -> Vec<Marked<'_>> {
        let mut all = Vec::new();
        for (n, put) in self.put.iter().enumerate() {
            let Some(What::Event { role, lines, .. }) = self.scenario.inject(&put.inject).map(|i| &i.what) else { continue };
            let Some((place, part)) = self.scenario.role.iter().enumerate().find(|(_, r)| r.id == *role) else { continue };
            let mut number = (n as u64) << 32;
            for line in lines.iter().filter_map(Value::as_object) {
                let (after, repeat, every) = timing(line);
                for time in (0..i64::MAX).take(repeat.min(EVENTS_MAX)) {
                    number += 1;
                    let at = put.at.plus_secs(after.saturating_add(every.saturating_mul(time)));
                    all.push(Marked { at, inject: &put.inject, number, role: part, place, unit: self.unit_of(role), line });
                }
            }
        }
        all.sort_by_key(|m| (m.at, m.number));
        all
    }

    /// Who plays a part.
    fn unit_of(&self, role: &str) -> String {
        self.cast.get(role).cloned().unwrap_or_else(|| format!("drill-{role}"))
    }

    /// An object of a part, as the scenario declares it; `unit` is who plays it.
    pub fn graded(&self, object: &str, unit: &str) -> Option<Object> {
        let role = self.scenario.role.iter().find(|r| self.unit_of(&r.id) == unit)?;
        Some(Object {
            id: object.to_owned(),
            unit: unit.to_owned(),
            sector: role.sector.clone(),
            mlps: role.mlps,
            cii: role.cii,
            serves_cii: 0,
        })
    }
}
