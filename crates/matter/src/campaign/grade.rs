//! From a campaign to a recommended level, and from a level to a draft warning.
//!
//! The case is everything this group heard within the window, with what other open groups heard of the same source or object: an
//! intruder who uses three techniques is one case, and so is an object on which several things were reached. In a wide group, where sources are mixed, each source is a case of its own and the gravest
//! decides; so a flood cannot make "several units" of unrelated trifles. Up at once; a lower level is told too, the warning decides what to do
//! with it.

use std::collections::{BTreeMap, BTreeSet};

use event::{SECOND_NS, Timestamp};
use serde_json::{Value, json};
use warning::grade::{self, Case, Recommendation, Weakness};

use super::{Campaign, State, Trace, Width, draft, place};
use crate::drill::Drill;
use crate::{Both, Desk, Effects, Kind, Message, Permission, Recipient, Refusal};

/// Other groups looked at.
const RELATED_MAX: usize = 8;

impl Campaign {
    pub(super) fn quiet_at(&self, desk: &Desk) -> Timestamp {
        self.heard.plus_secs(i64::from(desk.book.tables.desk.campaign.window_min) * 60)
    }

    /// Grades it again and passes on what changed. `asked`: a person wants a draft whatever is recommended.
    pub(super) fn regrade(&mut self, desk: &Desk, out: &mut Effects, asked: bool) -> Result<(), Refusal> {
        let related = self.related(desk)?;
        let drill = self.drill().map(|id| desk.get::<Drill>(id)).transpose()?.flatten();
        let (case, said) = self.judge(desk, &related, drill.as_ref());
        let news = self.recommended.as_ref().is_none_or(|old| differs(old, &said));
        let ids: Vec<String> = std::iter::once(&self.id).chain(related.iter().map(|c| &c.id)).cloned().collect();
        self.graded = desk.now;
        let review = desk.now.plus_secs(i64::from(desk.book.tables.desk.campaign.review_min) * 60);
        let quiet = self.quiet_at(desk);
        self.next_look =
            if said.level.is_some() { review.min(quiet.max(desk.now.plus_ns(SECOND_NS))) } else { quiet.max(desk.now.plus_ns(SECOND_NS)) };
        if news || asked {
            self.pass_on(desk, out, &ids, &case, &said, asked)?;
        }
        self.recommended = Some(said);
        Ok(())
    }

    /// Tells the open warning, or opens a draft.
    fn pass_on(
        &mut self,
        desk: &Desk,
        out: &mut Effects,
        ids: &[String],
        case: &Case,
        said: &Recommendation,
        asked: bool,
    ) -> Result<(), Refusal> {
        let Some(kind) = Kind::find("warning") else { return Ok(()) };
        let mut ended = false;
        for id in ids {
            for warning in desk.linked(kind.word, id)? {
                let Some(stored) = desk.shelf.get(kind.word, &warning)? else { continue };
                let Some(card) = (kind.card)(&stored.body) else { continue };
                if !card.closed {
                    let mut act = self.proposal(desk, case, said);
                    act["act"] = json!("recommend");
                    out.act_value(kind.word, &warning, act);
                    return Ok(());
                }
                ended |= *id == self.id;
            }
        }
        // What a person has ended comes back by itself only for something worse.
        let worse = !ended || said.level > self.drafted;
        if !asked && (said.level.is_none() || !worse) {
            return Ok(());
        }
        let mut act = self.proposal(desk, case, said);
        act["act"] = json!("draft");
        out.open_value(kind.word, act);
        self.drafted = said.level;
        if let Some(level) = said.level {
            let text = Both::new(
                format!("建议级别：{}；{}", level_zh(level), self.title.zh),
                format!("Recommended level: {}. {}", level.name(), self.title.en),
            );
            out.tell(Message {
                key: format!("campaign {} {}", self.id, level.name()),
                recipient: Recipient::City { right: Permission::WarningsDraft },
                level: Some(level),
                kind: <Self as crate::Matter>::KIND.to_owned(),
                id: self.id.clone(),
                thread: self.id.clone(),
                title: Both::new(format!("待研判：{}", self.title.zh), format!("To be assessed: {}", self.title.en)),
                text,
                revision: None,
                exercise: self.exercise,
                time: desk.now,
            });
        }
        Ok(())
    }

    /// Fields that `draft` and `recommend` of a warning share.
    fn proposal(&self, desk: &Desk, case: &Case, said: &Recommendation) -> Value {
        let units: BTreeSet<&str> = case.object.iter().map(|o| o.unit.as_str()).filter(|u| !u.is_empty()).collect();
        json!({
            "campaign": self.id,
            "notice": draft::notice(self, case, desk.book),
            "recommended": said,
            "case": case,
            "units": units,
            "exercise": self.exercise,
            "drill": self.drill(),
        })
    }

    /// What other groups may have in common with it: source addresses, indicators, and declared objects where something was reached.
    pub(super) fn shared(&self) -> Vec<String> {
        let from = self.from.iter().chain(&self.indicators).take(place::LINKED_MAX).map(|v| self.group.from_link(v));
        let reached = self.traces.iter().filter(|t| !t.attempt && t.object != super::unknown_object(&t.unit));
        let objects: BTreeSet<&str> = reached.map(|t| t.object.as_str()).collect();
        from.chain(objects.into_iter().take(place::LINKED_MAX).map(|o| self.group.object_link(o))).collect()
    }

    /// Other open groups of the same source, or of the same object.
    fn related(&self, desk: &Desk) -> Result<Vec<Self>, Refusal> {
        let mut found: BTreeMap<String, Self> = BTreeMap::new();
        if self.group.width != Width::Fine {
            return Ok(Vec::new());
        }
        for link in self.shared() {
            for id in desk.linked("campaign", &link)? {
                if found.len() >= RELATED_MAX {
                    break;
                }
                if id == self.id || found.contains_key(&id) {
                    continue;
                }
                if let Some(other) = desk.get::<Self>(&id)?.filter(|c| c.state == State::Open && c.group.width == Width::Fine) {
                    found.insert(id, other);
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// The case that decides, and what it recommends.
    fn judge(&self, desk: &Desk, related: &[Self], drill: Option<&Drill>) -> (Case, Recommendation) {
        let oldest = desk.now.plus_secs(-i64::from(desk.book.tables.desk.campaign.window_min) * 60);
        let all = || std::iter::once(self).chain(related);
        let traces = all().flat_map(|c| &c.traces).filter(|t| t.heard > oldest);
        let mut parts: BTreeMap<&str, Vec<&Trace>> = BTreeMap::new();
        for trace in traces {
            let part = match (self.group.width, trace.by.is_empty()) {
                (Width::Fine, _) => "",
                (_, false) => &trace.by,
                (_, true) => &trace.source,
            };
            parts.entry(part).or_default().push(trace);
        }
        // A flood is many times the same: what would be graded alike is graded once.
        let mut distinct: BTreeMap<Vec<String>, Vec<&Trace>> = BTreeMap::new();
        for traces in parts.into_values() {
            let mut shape: Vec<String> = traces.iter().map(|t| shape(t)).collect();
            shape.sort_unstable();
            distinct.entry(shape).or_insert(traces);
        }
        if distinct.is_empty() {
            distinct.insert(Vec::new(), Vec::new());
        }
        let said = all().any(|c| c.confirmed.is_some());
        let incident = all().flat_map(|c| c.incidents.values()).min().copied();
        let forecast = all().filter_map(|c| c.forecast_grade).min();
        let cases = distinct.into_values().map(|traces| self.case(desk, drill, &traces, said, incident, forecast));
        let graded = cases.map(|case| {
            let said = desk.book.tables.grading.recommend(&case);
            (case, said)
        });
        graded.max_by_key(|(_, r)| (r.level, r.priority)).unwrap_or_else(|| {
            let case = Case::default();
            let said = desk.book.tables.grading.recommend(&case);
            (case, said)
        })
    }

    fn case(
        &self,
        desk: &Desk,
        drill: Option<&Drill>,
        traces: &[&Trace],
        said: bool,
        incident_grade: Option<u8>,
        forecast_grade: Option<u8>,
    ) -> Case {
        let mut objects: BTreeMap<&str, grade::Object> = BTreeMap::new();
        for trace in traces {
            objects.entry(&trace.object).or_insert_with(|| {
                let known = desk.book.graded(&trace.object).or_else(|| drill?.graded(&trace.object, &trace.unit));
                known.unwrap_or_else(|| grade::Object {
                    id: trace.object.clone(),
                    unit: trace.unit.clone(),
                    sector: trace.sector.clone(),
                    mlps: None,
                    cii: false,
                    serves_cii: 0,
                })
            });
        }
        Case {
            title: self.title.en.clone(),
            object: objects.into_values().collect(),
            evidence: traces.iter().map(|t| evidence(t)).collect(),
            weakness: weaknesses(traces),
            incident_grade,
            forecast_grade,
            confirmed: said || traces.iter().any(|t| t.confirmed),
        }
    }
}

/// Flaws that were used where something was reached, and those an attempt named: known to be sought, not known to be there.
fn weaknesses(traces: &[&Trace]) -> Vec<Weakness> {
    let mut all: BTreeMap<(&str, &str), Weakness> = BTreeMap::new();
    for trace in traces {
        for flaw in &trace.flaws {
            let weakness = all.entry((&flaw.cve, &trace.object)).or_insert_with(|| Weakness {
                id: flaw.cve.clone(),
                object: trace.object.clone(),
                reachable: false,
                kev: flaw.kev,
                epss: flaw.epss,
            });
            weakness.reachable |= !trace.attempt;
        }
    }
    all.into_values().collect()
}

/// What of a trace counts for its grade.
fn shape(t: &Trace) -> String {
    let (techniques, tactics) = (t.techniques.join(" "), t.tactics.join(" "));
    let flaws = t.flaws.iter().map(|f| f.cve.as_str()).collect::<Vec<_>>().join(" ");
    format!("{}\n{}\n{techniques}\n{tactics}\n{}\n{}\n{}\n{flaws}", t.object, t.source, t.attempt, String::from(t.grade), t.confirmed)
}

fn evidence(trace: &Trace) -> grade::Evidence {
    grade::Evidence {
        id: trace.alert.clone(),
        object: trace.object.clone(),
        tactics: trace.tactics.clone(),
        techniques: trace.techniques.clone(),
        outcome: if trace.attempt { grade::Outcome::Blocked } else { grade::Outcome::Succeeded },
        source: trace.source.clone(),
        grade: trace.grade,
    }
}

/// Whether a warning should hear of it.
fn differs(old: &Recommendation, new: &Recommendation) -> bool {
    (old.level, old.damage, old.importance, old.units, old.sectors, old.propose_upward)
        != (new.level, new.damage, new.importance, new.units, new.sectors, new.propose_upward)
}

pub(super) const fn level_zh(level: grade::Level) -> &'static str {
    match level {
        grade::Level::Blue => "蓝色",
        grade::Level::Yellow => "黄色",
        grade::Level::Orange => "橙色",
        grade::Level::Red => "红色",
    }
}
