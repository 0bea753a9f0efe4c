//! The score of a drill: what was expected against what the matters of the drill say happened. Read, never told: a warning's assessment, its
//! revisions, the receipts' signatures. What a player did outside the system is what they noted in the drill.

use event::{SECOND_NS, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use warning::grade::Level;

use super::scenario::{Part, Wanted};
use super::{Drill, Put};
use crate::{Desk, Refusal, id_of};

/// Points got and points there were, whole and by part.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Score {
    pub points: u32,
    pub of: u32,
    pub parts: Vec<PartScore>,
    /// In the order of the scenario's expectations.
    pub results: Vec<Scored>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartScore {
    pub part: Part,
    pub points: u32,
    pub of: u32,
}

/// One expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub met: bool,
    /// Seconds it took; none: it did not happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_s: Option<i64>,
    /// What counted: an id, an inject.
    #[serde(default)]
    pub by: String,
}

/// What the drill's warnings say, as far as a score asks.
#[derive(Default)]
struct Seen {
    /// Warning, level, when.
    assessed: Vec<(String, Option<Level>, Timestamp)>,
    issued: Vec<(String, Option<Level>, Timestamp)>,
    /// Unit, sent, signed, fed back.
    receipts: Vec<(String, Timestamp, Option<Timestamp>, Option<Timestamp>)>,
}

impl Drill {
    pub(super) fn scored(&self, desk: &Desk) -> Result<Score, Refusal> {
        let seen = self.seen(desk)?;
        let results: Vec<Scored> = self.scenario.expect.iter().map(|e| self.look(&e.what, &seen)).collect();
        let mut score = Score { results, ..Score::default() };
        for part in [Part::Detection, Part::Judgement, Part::SignFor] {
            let mine = || self.scenario.expect.iter().zip(&score.results).filter(move |(e, _)| e.what.part() == part);
            let of = mine().map(|(e, _)| e.points).sum();
            let points = mine().filter(|(_, r)| r.met).map(|(e, _)| e.points).sum();
            score.parts.push(PartScore { part, points, of });
        }
        score.points = score.parts.iter().map(|p| p.points).sum();
        score.of = score.parts.iter().map(|p| p.of).sum();
        Ok(score)
    }

    fn put(&self, inject: &str) -> Option<&Put> {
        self.put.iter().find(|p| p.inject == inject)
    }

    fn look(&self, wanted: &Wanted, seen: &Seen) -> Scored {
        let none = Scored { met: false, took_s: None, by: String::new() };
        let took = |from: Timestamp, at: Timestamp, within_min: u32, by: &str| {
            let took = at.since(from) / SECOND_NS;
            Scored { met: took <= 60 * i64::from(within_min), took_s: Some(took), by: by.to_owned() }
        };
        match wanted {
            Wanted::Detect { inject, within_min } => {
                let Some(put) = self.put(inject) else { return none };
                let noticed = put.noticed.iter().map(|n| (n.at, n.by.as_str()));
                // Work on a warning shows that what was in it by then was seen; only an alert gets into a warning.
                let alert = self.scenario.inject(inject).is_some_and(|i| matches!(i.what, super::scenario::What::Alert { .. }))
                    || !put.found.is_empty();
                let found = put.found.iter().map(|f| (f.at, f.alert.as_str()));
                let worked =
                    seen.assessed.iter().chain(&seen.issued).filter(|(.., at)| alert && *at >= put.at).map(|(w, _, at)| (*at, w.as_str()));
                noticed.chain(worked).chain(found).min().map_or(none, |(at, by)| took(put.at, at, *within_min, by))
            }
            Wanted::Judge { inject, level, within_min } => {
                let Some(put) = self.put(inject) else { return none };
                let right = seen.assessed.iter().filter(|(_, l, at)| *l == Some(*level) && *at >= put.at);
                right.min_by_key(|(.., at)| *at).map_or(none, |(w, _, at)| took(put.at, *at, *within_min, w))
            }
            Wanted::Issue { inject, level, within_min } => {
                let Some(put) = self.put(inject) else { return none };
                let right = seen.issued.iter().filter(|(_, l, at)| l.is_some_and(|l| l >= *level) && *at >= put.at);
                right.min_by_key(|(.., at)| *at).map_or(none, |(w, _, at)| took(put.at, *at, *within_min, w))
            }
            Wanted::Sign { role, within_min } | Wanted::FeedBack { role, within_min } => {
                let Some(unit) = self.cast.get(role) else { return none };
                let signs = matches!(wanted, Wanted::Sign { .. });
                let times = seen.receipts.iter().filter(|(u, ..)| u == unit);
                let done = times.filter_map(|(_, sent, signed, fed)| Some((if signs { *signed } else { *fed }?, *sent)));
                done.min().map_or(none, |(at, sent)| took(sent, at, *within_min, unit))
            }
            Wanted::Answer { inject, within_min, any_of } => {
                let Some(put) = self.put(inject) else { return none };
                let right = |text: &str| any_of.is_empty() || any_of.iter().any(|w| text.to_lowercase().contains(&w.to_lowercase()));
                let answer = put.answers.iter().filter(|a| right(&a.text)).min_by_key(|a| a.at);
                answer.map_or(none, |a| took(put.at, a.at, *within_min, &a.by))
            }
            Wanted::Quiet { at_most } => {
                let loud = seen.issued.iter().find(|(_, level, _)| *level > *at_most);
                Scored { met: loud.is_none(), took_s: None, by: loud.map_or_else(String::new, |(w, ..)| w.clone()) }
            }
        }
    }

    fn seen(&self, desk: &Desk) -> Result<Seen, Refusal> {
        let mut seen = Seen::default();
        for id in desk.linked("warning", &self.id)? {
            let Some(stored) = desk.shelf.get("warning", &id)? else { continue };
            let body = &stored.body;
            if let Some(at) = time(body.pointer("/assessed/at")) {
                seen.assessed.push((id.clone(), level(body.pointer("/assessed/level")), at));
            }
            for revision in list(body.get("revisions")) {
                if let Some(at) = time(revision.get("issued")) {
                    seen.issued.push((id.clone(), level(revision.get("level")), at));
                }
            }
            for unit in self.cast.values() {
                let Some(receipt) = desk.shelf.get("receipt", &id_of("receipt", &[&id, unit]))? else { continue };
                let Some(sent) = time(receipt.body.get("sent")) else { continue };
                let first = |key: &str| list(receipt.body.get(key)).iter().filter_map(|s| time(s.get("at"))).min();
                seen.receipts.push((unit.clone(), sent, first("signed"), first("feedback")));
            }
        }
        Ok(seen)
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn time(value: Option<&Value>) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(value?.as_str()?)
}

/// None: no colour.
fn level(value: Option<&Value>) -> Option<Level> {
    serde_json::from_value(value?.clone()).ok()
}
