//! Why an alert was raised: the rules in force asked again about the events kept with it.

use std::collections::{BTreeMap, BTreeSet};

use api::{Why, WhyCondition, WhyEvent, WhyRule, WhyUnit, WhyVerdict, WhyWindow};
use axum::extract::State;
use axum::response::Response;
use event::{Event, RuleMeta, field};
use rule::{Correlation, RuleSet};
use warning::Alert;

use super::alerts::{evidence_events, find};
use super::{App, PathId};
use crate::explain::{says, verdicts};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};
use crate::store::Scope;

pub async fn one(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    let why = shared.work(move |s| why(s, &caller.scope, &find(s, &caller.scope, &id)?)).await?;
    Ok(reply::json(&why))
}

/// The trace of an alert, as far as its events are at hand and its rule is in force.
pub fn why(shared: &Shared, scope: &Scope, alert: &Alert) -> Result<Why, Fail> {
    let (events, missing) = evidence_events(shared, scope, alert)?;
    let rules = shared.backstage.rule_set();
    let correlation = rules.as_deref().and_then(|r| r.correlations().iter().find(|c| c.meta.id == alert.rule_id));
    let meta = match (&rules, correlation) {
        (_, Some(c)) => Some(&c.meta),
        (Some(rules), None) => rules.rules().iter().find(|m| m.id == alert.rule_id),
        (None, None) => None,
    };
    let asked: BTreeSet<&str> = match (&rules, correlation) {
        (Some(rules), Some(c)) => below(rules, c),
        _ => [alert.rule_id.as_str()].into(),
    };
    let traced: Vec<WhyEvent> = events
        .iter()
        .map(|event| WhyEvent {
            event: api::EventRecord::from(&**event),
            rules: rules.as_deref().map(|r| traced(r, event, &asked)).unwrap_or_default(),
        })
        .collect();
    let reproduced = !traced.is_empty() && missing.is_empty() && traced.iter().all(|e| e.rules.iter().any(|r| r.matched));
    Ok(Why {
        alert: Shared::show(alert),
        rule: meta.map(|m| rule(m)),
        window: correlation.map(|c| WhyWindow {
            kind: c.kind.clone(),
            says: says(c),
            timespan_s: u64::try_from(c.timespan_ns / event::SECOND_NS).unwrap_or(0),
            group: alert.group_key.clone(),
            from: api::time_text(alert.first_time),
            to: api::time_text(alert.last_time),
        }),
        register: register(&events),
        events: traced,
        missing,
        total: alert.event_count,
        reproduced,
    })
}

/// Verdicts of each event by its id, for the console.
pub fn by_event(why: &Why) -> BTreeMap<String, Vec<WhyVerdict>> {
    why.events.iter().map(|e| (e.event.id.clone(), e.rules.clone())).collect()
}

/// Detection rules a correlation listens to, through others if need be.
fn below<'r>(rules: &'r RuleSet, correlation: &'r Correlation) -> BTreeSet<&'r str> {
    let mut found = BTreeSet::new();
    let mut open = vec![correlation];
    let mut seen = BTreeSet::new();
    while let Some(one) = open.pop() {
        if !seen.insert(one.meta.id.as_str()) {
            continue;
        }
        for reference in &one.rules {
            if reference.correlation {
                open.extend(rules.correlations().iter().find(|c| c.meta.id == reference.id));
            } else {
                found.insert(reference.id.as_str());
            }
        }
    }
    found
}

/// The rules that matched; where none did, the one that lacks least, so that it can be seen why.
fn traced(rules: &RuleSet, event: &Event, asked: &BTreeSet<&str>) -> Vec<WhyVerdict> {
    let mut all: Vec<_> = asked.iter().flat_map(|id| verdicts(rules, event, Some(id))).collect();
    all.sort_by_key(|v| (!v.explanation.matched, !v.explanation.source_fits, v.short));
    let hits = all.iter().filter(|v| v.explanation.matched).count();
    all.into_iter()
        .take(hits.max(1))
        .map(|v| WhyVerdict {
            rule: v.explanation.rule.id.clone(),
            title: v.explanation.rule.title.clone(),
            title_zh: v.explanation.rule.title_zh.clone(),
            matched: v.explanation.matched,
            conditions: v
                .conditions
                .into_iter()
                .map(|c| WhyCondition { condition: c.label, holds: c.holds, value: c.value.map(|v| v.to_text().into_owned()) })
                .collect(),
        })
        .collect()
}

fn rule(meta: &RuleMeta) -> WhyRule {
    WhyRule {
        id: meta.id.clone(),
        title: meta.title.clone(),
        title_zh: meta.title_zh.clone(),
        severity: meta.severity.name().to_owned(),
        path: meta.path.clone(),
    }
}

fn register(events: &[std::sync::Arc<Event>]) -> Vec<WhyUnit> {
    let unit = |e: &Event| WhyUnit {
        unit: e.text(field::UNIT_ID).into_owned(),
        name: e.text(field::UNIT_NAME).into_owned(),
        sector: e.text(field::UNIT_SECTOR).into_owned(),
        importance: e.get(field::OBJECT_IMPORTANCE).and_then(event::Value::as_int).unwrap_or(0),
        asset: e.text(field::ASSET_ID).into_owned(),
    };
    let all: BTreeSet<WhyUnit> = events.iter().map(|e| unit(e)).filter(|u| !u.unit.is_empty() || !u.asset.is_empty()).collect();
    all.into_iter().collect()
}
