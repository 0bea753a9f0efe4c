//! Grading: what level a warning about a case should have, and why. A pure function of the case and the tables.
//!
//! `level = max(matrix[importance of each object concerned][possible damage], floor of a confirmed incident)`, as GB/T 32924-2016 has it. The
//! result is a recommendation: a person assesses it, an authority issues it; neither is decided here.
//!
//! * **Importance** of an object: CII and its MLPS level; one class higher where several CII objects depend on it.
//! * **Damage**, degrees 0 to 4: the highest row whose tactic or technique is in evidence. Blocked attempts and reconnaissance are degree 0 and
//!   never give a warning. The same in several units or sectors is one degree higher; that is asked once, of the evidence itself.
//! * **Certainty**: one weak source alone takes a degree away, but never where a control system of a CII object is concerned; a high level needs
//!   several sources or a person's word, else it stays one below.
//! * **Priority**, 0 to 100, is the order of work only.
//!
//! Each step that decided something is a reason with its table row.

mod tables;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use tables::{
    Admiralty, AuthorityTable, CertaintyTable, DamageRow, DamageTable, FloorTable, Importance, ImportanceTable, Level, Matrix,
    PriorityTable, Tables,
};

use crate::AlertReason;

/// Objects, pieces of evidence and weaknesses of one case that are looked at; more is refused by `Case::problems`.
pub const CASE_MAX: usize = 10_000;

/// Flaws named in the reasons of one recommendation.
const FLAWS_TOLD: usize = 5;

/// What is known when a warning is graded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(default)]
    pub title: String,
    /// Objects affected or exposed.
    #[serde(default)]
    pub object: Vec<Object>,
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    #[serde(default)]
    pub weakness: Vec<Weakness>,
    /// Grade a confirmed incident has, 1 (特别重大) to 4 (一般).
    #[serde(default)]
    pub incident_grade: Option<u8>,
    /// Grade an incident is expected to reach.
    #[serde(default)]
    pub forecast_grade: Option<u8>,
    /// A person has looked and says it is so.
    #[serde(default)]
    pub confirmed: bool,
}

/// A protected object (保护对象).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    pub id: String,
    pub unit: String,
    pub sector: String,
    /// 1 to 5; none: nobody declared it.
    #[serde(default)]
    pub mlps: Option<u8>,
    #[serde(default)]
    pub cii: bool,
    /// CII objects that depend on it.
    #[serde(default)]
    pub serves_cii: u32,
}

/// One thing seen: an alert, a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    pub id: String,
    /// Id of the object it was seen on.
    pub object: String,
    /// ATT&CK: `TA0011`, `T1486`, `T1562.001`.
    #[serde(default)]
    pub tactics: Vec<String>,
    #[serde(default)]
    pub techniques: Vec<String>,
    #[serde(default)]
    pub outcome: Outcome,
    /// Who says so: a sensor, a tool, a unit. Equal names are one source.
    pub source: String,
    #[serde(default = "usually")]
    pub grade: Admiralty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    #[default]
    Succeeded,
    Blocked,
}

/// A flaw on an object that nobody is known to have used yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weakness {
    pub id: String,
    pub object: String,
    #[serde(default)]
    pub reachable: bool,
    /// In CISA's list of known exploited vulnerabilities.
    #[serde(default)]
    pub kev: bool,
    /// FIRST's estimate that it is exploited within 30 days, 0 to 1.
    #[serde(default)]
    pub epss: f64,
}

/// What is recommended, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// None: nothing to warn of; the bulletin counts it.
    pub level: Option<Level>,
    /// Of the object that decided.
    pub importance: Option<Importance>,
    /// 0 to 4.
    pub damage: u8,
    pub units: usize,
    pub sectors: usize,
    pub priority: u8,
    /// Above what a city issues: propose it upward (建议上报), send members an advisory (风险提示).
    pub propose_upward: bool,
    pub reasons: Vec<AlertReason>,
}

impl Case {
    /// What the types cannot say.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        let known: BTreeSet<&str> = self.object.iter().map(|o| o.id.as_str()).collect();
        if known.len() != self.object.len() {
            out.push(("object".to_owned(), "two objects have the same id".to_owned()));
        }
        let of = self
            .evidence
            .iter()
            .map(|e| ("evidence", &e.id, &e.object))
            .chain(self.weakness.iter().map(|w| ("weakness", &w.id, &w.object)));
        for (key, id, object) in of {
            if !known.contains(object.as_str()) {
                out.push((key.to_owned(), format!("'{id}' is about object '{object}', which is not listed")));
            }
        }
        for object in self.object.iter().filter(|o| o.mlps.is_some_and(|n| !(1..=5).contains(&n))) {
            out.push(("object".to_owned(), format!("'{}': MLPS levels are 1 to 5", object.id)));
        }
        for (key, grade) in [("incident_grade", self.incident_grade), ("forecast_grade", self.forecast_grade)] {
            if let Some(grade) = grade.filter(|g| !(1..=4).contains(g)) {
                out.push((key.to_owned(), format!("{grade}: 1 (特别重大), 2 (重大), 3 (较大) or 4 (一般)")));
            }
        }
        for (key, n) in [("object", self.object.len()), ("evidence", self.evidence.len()), ("weakness", self.weakness.len())] {
            if n > CASE_MAX {
                out.push((key.to_owned(), format!("{n} entries; a case has at most {CASE_MAX}")));
            }
        }
        out
    }
}

/// Degree and the objects on which it was seen.
type Seen<'c> = BTreeMap<u8, BTreeSet<&'c str>>;

impl Tables {
    pub fn recommend(&self, case: &Case) -> Recommendation {
        let mut reasons = Vec::new();
        let mut damage = self.damage(case, &mut reasons);
        let sources: BTreeSet<&str> = case.evidence.iter().filter(|e| e.outcome == Outcome::Succeeded).map(|e| e.source.as_str()).collect();
        damage = self.doubt(case, damage, &sources, &mut reasons);
        let decided = case.object.iter().map(|o| (self.importance_of(o), o)).max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.id.cmp(&a.1.id)));
        let mut level = decided.and_then(|(importance, object)| {
            let level = self.matrix.level(importance, damage)?;
            reasons.push(reason(
                "grade_matrix",
                &[
                    ("object", json!(object.id)),
                    ("importance", word(importance.name())),
                    ("degree", json!(damage)),
                    ("level", word(level.name())),
                    ("source", json!(self.matrix.source)),
                ],
            ));
            Some(level)
        });
        if let Some(high) = level.filter(|l| *l >= self.certainty.from_level && sources.len() < self.certainty.sources && !case.confirmed) {
            level = self.certainty.from_level.below();
            let args = [
                ("level", word(high.name())),
                ("kept", level.map_or(json!("-"), |l| word(l.name()))),
                ("sources", json!(sources.len())),
                ("needed", json!(self.certainty.sources)),
            ];
            reasons.push(reason("grade_needs_sources", &args));
        }
        let floor = case.incident_grade.and_then(|g| self.floor.levels.get(usize::from(g).checked_sub(1)?).map(|l| (g, *l)));
        if let Some((grade, floor)) = floor
            && level.is_none_or(|l| floor > l)
        {
            level = Some(floor);
            reasons.push(reason(
                "grade_floor",
                &[("grade", json!(grade)), ("level", word(floor.name())), ("source", json!(self.floor.source))],
            ));
        }
        if level.is_none() {
            reasons.push(reason("grade_none", &[]));
        }
        let propose_upward = level.is_some_and(|l| self.authority.city.is_none_or(|right| l > right));
        match self.authority.city {
            Some(right) if propose_upward => reasons.push(reason("grade_propose_upward", &[("level", word(right.name()))])),
            None if propose_upward => reasons.push(reason("grade_no_authority", &[])),
            _ => {}
        }
        let units: BTreeSet<&str> = case.object.iter().map(|o| o.unit.as_str()).collect();
        let sectors: BTreeSet<&str> = case.object.iter().map(|o| o.sector.as_str()).collect();
        let importance = decided.map(|(importance, _)| importance);
        let priority = self.priority_of(importance, damage, &units, &sectors, sources.len(), case.confirmed);
        Recommendation { level, importance, damage, units: units.len(), sectors: sectors.len(), priority, propose_upward, reasons }
    }

    /// Class of an object.
    pub fn importance_of(&self, object: &Object) -> Importance {
        let table = &self.importance;
        let graded = match object.mlps {
            Some(level) if level >= table.especially_important_mlps => Importance::EspeciallyImportant,
            Some(level) if level >= table.important_mlps => Importance::Important,
            Some(_) => Importance::Ordinary,
            None => table.unknown,
        };
        let class = if object.cii { graded.max(table.cii) } else { graded };
        if object.serves_cii >= table.serves_cii { class.above() } else { class }
    }

    /// Degree of possible damage before doubts.
    fn damage(&self, case: &Case, reasons: &mut Vec<AlertReason>) -> u8 {
        let table = &self.damage;
        let mut seen = Seen::new();
        let mut best: Option<(u8, String, String)> = None;
        let mut hold = |degree: u8, id: &str, row: String| {
            if best.as_ref().is_none_or(|(d, ..)| degree > *d) {
                best = Some((degree, id.to_owned(), row));
            }
        };
        for row in &table.row {
            let holds = row.holds(case);
            let objects: BTreeSet<&str> = holds.iter().map(|(e, _)| e.object.as_str()).collect();
            if objects.len() < row.objects {
                continue;
            }
            if let Some((first, name)) = holds.first() {
                hold(row.degree, &first.id, (*name).to_owned());
                seen.entry(row.degree).or_default().extend(objects);
            }
        }
        for flaw in case.weakness.iter().filter(|w| w.reachable && (w.kev || w.epss >= table.epss)) {
            hold(1, &flaw.id, if flaw.kev { "KEV".to_owned() } else { format!("EPSS {}", flaw.epss) });
            seen.entry(1).or_default().insert(&flaw.object);
        }
        let mut damage = best.as_ref().map_or(0, |(degree, ..)| *degree);
        self.flaws(case, reasons);
        if let Some((degree, id, row)) = best {
            reasons.push(reason("grade_damage", &[("degree", json!(degree)), ("evidence", json!(id)), ("row", json!(row))]));
        }
        // The same in several places, asked of what was seen and not of what this step itself made of it.
        let places = |degree: u8, of: fn(&Object) -> &str| -> usize {
            let ids: BTreeSet<&str> = seen.range(degree..).flat_map(|(_, objects)| objects.iter().copied()).collect();
            case.object.iter().filter(|o| ids.contains(o.id.as_str())).map(of).collect::<BTreeSet<_>>().len()
        };
        let cii = |degree: u8| -> usize {
            let ids: BTreeSet<&str> = seen.range(degree..).flat_map(|(_, objects)| objects.iter().copied()).collect();
            case.object.iter().filter(|o| o.cii && ids.contains(o.id.as_str())).count()
        };
        let unit: fn(&Object) -> &str = |o| &o.unit;
        let sector: fn(&Object) -> &str = |o| &o.sector;
        for (degree, n, least, what) in [
            (1, places(1, unit), table.units, "units"),
            (2, places(2, sector), table.sectors, "sectors"),
            (3, places(3, sector), table.sectors, "sectors"),
            (3, cii(3), table.cii, "cii_objects"),
        ] {
            if damage == degree && n >= least {
                damage += 1;
                let args = [("degree", json!(damage)), ("n", json!(n)), ("what", word(what)), ("from", json!(degree))];
                reasons.push(reason("grade_spread", &args));
                break;
            }
        }
        let forecast = case.forecast_grade.map_or(0, |grade| match grade {
            1 | 2 => 4,
            3 => 3,
            _ => 0,
        });
        if forecast > damage {
            damage = forecast;
            reasons.push(reason("grade_forecast", &[("degree", json!(damage)), ("grade", json!(case.forecast_grade))]));
        }
        damage
    }

    /// Says which of the flaws are being used, or likely to be; each once, whether it gave a degree or not.
    fn flaws(&self, case: &Case, reasons: &mut Vec<AlertReason>) {
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for flaw in case.weakness.iter().filter(|w| w.kev || w.epss >= self.damage.epss) {
            if told.len() >= FLAWS_TOLD || !told.insert(&flaw.id) {
                continue;
            }
            let id = if flaw.kev { "grade_flaw_used" } else { "grade_flaw_likely" };
            let epss = format!("{:.1} %", flaw.epss * 100.0);
            reasons.push(reason(id, &[("flaw", json!(flaw.id)), ("object", json!(flaw.object)), ("epss", json!(epss))]));
        }
    }

    /// Evidence by what it shows, the gravest first: degree of damage, the tactic or technique of the row that says so, the evidence. The
    /// first is what decides the damage, spread and flaws aside; what was blocked shows nothing.
    pub fn gravest<'c>(&self, case: &'c Case) -> Vec<(u8, String, &'c Evidence)> {
        let mut shown: Vec<(u8, String, &Evidence)> = Vec::new();
        for row in &self.damage.row {
            let holds: Vec<(&Evidence, &str)> = row.holds(case);
            let objects: BTreeSet<&str> = holds.iter().map(|(e, _)| e.object.as_str()).collect();
            if objects.len() >= row.objects {
                shown.extend(holds.into_iter().map(|(e, name)| (row.degree, name.to_owned(), e)));
            }
        }
        shown.sort_by_key(|(degree, ..)| std::cmp::Reverse(*degree));
        shown
    }

    /// One weak source alone.
    fn doubt(&self, case: &Case, damage: u8, sources: &BTreeSet<&str>, reasons: &mut Vec<AlertReason>) -> u8 {
        if damage == 0 || sources.len() != 1 || case.confirmed {
            return damage;
        }
        let weak = case.evidence.iter().filter(|e| e.outcome == Outcome::Succeeded).all(|e| e.grade.is_below(self.certainty.alone_below));
        let control = case.evidence.iter().any(|e| {
            e.outcome == Outcome::Succeeded
                && e.tactics.iter().any(|t| is_control(t))
                && case.object.iter().any(|o| o.cii && o.id == e.object)
        });
        if !weak || control {
            return damage;
        }
        let args = [("degree", json!(damage - 1)), ("below", json!(String::from(self.certainty.alone_below)))];
        reasons.push(reason("grade_weak_source", &args));
        damage - 1
    }

    fn priority_of(
        &self,
        importance: Option<Importance>,
        damage: u8,
        units: &BTreeSet<&str>,
        sectors: &BTreeSet<&str>,
        sources: usize,
        confirmed: bool,
    ) -> u8 {
        let p = &self.priority;
        let spread = spread(units.len(), sectors.len());
        let certainty = if confirmed { 1.0 } else { 1.0 - 0.5_f64.powi(i32::try_from(sources).unwrap_or(i32::MAX)) };
        let other = p.sectors.get("other").copied().unwrap_or(0.0);
        let sector = sectors.iter().map(|s| p.sectors.get(*s).copied().unwrap_or(other)).fold(0.0, f64::max);
        let sum = f64::from(p.importance) * importance.map_or(0.0, |i| f64::from(i as u8)) / 3.0
            + f64::from(p.damage) * f64::from(damage) / 4.0
            + f64::from(p.spread) * spread
            + f64::from(p.certainty) * certainty
            + f64::from(p.sector) * sector;
        sum.round().clamp(0.0, 100.0) as u8
    }
}

/// How far it has spread, 0 (one unit) towards 1: half of what is left with every two further units and with every further sector.
pub fn spread(units: usize, sectors: usize) -> f64 {
    let steps = units.saturating_sub(1) as f64 / 2.0 + sectors.saturating_sub(1) as f64;
    1.0 - 0.5_f64.powf(steps)
}

impl DamageRow {
    /// Evidence that shows it, and by which of its tactics or techniques.
    fn holds<'c, 'r>(&'r self, case: &'c Case) -> Vec<(&'c Evidence, &'r str)> {
        let succeeded = case.evidence.iter().filter(|e| e.outcome == Outcome::Succeeded);
        succeeded.filter_map(|e| self.names(e).map(|name| (e, name))).collect()
    }

    /// The tactic or technique of this row that evidence shows; a sub-technique counts as its technique.
    fn names<'r>(&'r self, evidence: &Evidence) -> Option<&'r str> {
        let technique = |id: &String| evidence.techniques.iter().any(|t| t == id || t.split('.').next() == Some(id));
        let of_technique = self.techniques.iter().find(|id| technique(id));
        of_technique.or_else(|| self.tactics.iter().find(|id| evidence.tactics.contains(id))).map(String::as_str)
    }
}

/// ATT&CK for ICS.
fn is_control(tactic: &str) -> bool {
    matches!(tactic.strip_prefix("TA01").and_then(|n| n.parse::<u8>().ok()), Some(0..=11))
}

fn reason(id: &str, args: &[(&str, Value)]) -> AlertReason {
    AlertReason { id: id.to_owned(), args: args.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect() }
}

/// A word that is shown in the reader's language (`text::WORDS`).
fn word(name: &str) -> Value {
    json!({ "word": name })
}

fn usually() -> Admiralty {
    Admiralty { reliability: 'B', credibility: 2 }
}
