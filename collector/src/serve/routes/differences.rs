//! What was declared against what is heard, what people decide about it, and whom something would concern.
//!
//! A caller of limited scope gets what follows from the register and the agents inside it: nothing outside can change a byte of the answer.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    BothTexts, Code, DifferenceDecision, DifferencePage, RegisterDifference, RegisterDrift, RegisterIgnored, RouteAnswer, RouteQuestion,
    RouteReason, RoutedUnit,
};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use event::Timestamp;
use matter::notice::Indicator;
use matter::reconcile::{Difference, accepted, differences};
use matter::register::Row;
use matter::route::{Concern, concerned};
use matter::{Book, Refusal};
use serde::Deserialize;

use super::register::{Wish, change};
use super::{App, Json, Params, PathId};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};
use crate::store::Scope;
use crate::store::desk::{AuditEntry, DecisionRow};

/// Days a difference may be let stand.
pub const IGNORE_DAYS_MAX: i64 = 366;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DifferenceParams {
    what: Option<String>,
    unit: Option<String>,
    ignored: bool,
}

fn found(shared: &Shared, scope: &Scope) -> Vec<Difference> {
    let assets = shared.backstage.register().all().within(scope.units.as_ref()).assets;
    differences(&assets, &shared.board.heard(scope), shared.now())
}

/// Differences in scope; with `ignored`, also those that people let stand for now.
pub fn difference_list(shared: &Shared, scope: &Scope, ignored: bool) -> Result<Vec<RegisterDifference>, Fail> {
    let now = shared.now().ns();
    let decisions: BTreeMap<String, DecisionRow> =
        shared.desk.decisions(scope)?.into_iter().filter(|d| d.until > now).map(|d| (d.id.clone(), d)).collect();
    let all = found(shared, scope).into_iter().map(|d| {
        let decision = decisions.get(&d.id);
        show(d, decision)
    });
    Ok(all.filter(|d| ignored || d.ignored.is_none()).collect())
}

fn show(d: Difference, decision: Option<&DecisionRow>) -> RegisterDifference {
    let drift = |c: matter::reconcile::Drift| RegisterDrift { key: c.key, declared: c.declared, heard: c.heard };
    RegisterDifference {
        id: d.id,
        what: d.what.name().to_owned(),
        unit_id: d.unit,
        asset: d.asset,
        agent: d.agent,
        host: d.host,
        since: d.since.map(|t| t.to_string()).unwrap_or_default(),
        changes: d.changes.into_iter().map(drift).collect(),
        text: BothTexts { en: d.text.en, zh: d.text.zh },
        ignored: decision.map(|d| RegisterIgnored {
            reason: d.reason.clone(),
            by: d.who.clone(),
            until: Timestamp::from_ns(d.until).to_string(),
        }),
    }
}

pub async fn list(
    State(shared): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<DifferenceParams>,
) -> Result<Response, Fail> {
    let mut items = shared.work(move |s| difference_list(s, &caller.scope, params.ignored)).await?;
    let is = |wish: &Option<String>, value: &str| wish.as_deref().filter(|w| !w.is_empty()).is_none_or(|w| w == value);
    items.retain(|d| is(&params.what, &d.what) && is(&params.unit, &d.unit_id));
    Ok(reply::list(&headers, &DifferencePage { items }))
}

pub async fn decide(
    State(shared): State<App>,
    caller: Caller,
    PathId(id): PathId,
    Json(wish): Json<DifferenceDecision>,
) -> Result<Response, Fail> {
    Ok(reply::json(&shared.work(move |s| settle(s, &caller, &id, &wish)).await?))
}

/// Does what a person decided about a difference; gives the difference as it was, or as it stands.
pub fn settle(shared: &Shared, caller: &Caller, id: &str, wish: &DifferenceDecision) -> Result<RegisterDifference, Fail> {
    if !caller.scope.is_city() {
        return Err(Fail::because(Code::Denied, "the register is kept by the city", "登记表由市级维护"));
    }
    let difference = found(shared, &caller.scope).into_iter().find(|d| d.id == id).ok_or_else(Fail::not_found)?;
    match wish.decision.as_str() {
        "accept" => accept(shared, caller, difference, wish),
        "ignore" => ignore(shared, caller, difference, wish),
        _ => Err(Fail::because(Code::BadRequest, "decision is accept or ignore", "decision 应为 accept 或 ignore")),
    }
}

fn accept(shared: &Shared, caller: &Caller, difference: Difference, wish: &DifferenceDecision) -> Result<RegisterDifference, Fail> {
    let heard = shared.board.heard(&Scope::CITY).into_iter().find(|h| Some(&h.agent) == difference.agent.as_ref());
    change(shared, caller, "accept", false, |register| {
        let all = register.all();
        let known = difference.asset.as_ref().and_then(|id| all.assets.get(id));
        let made = heard.as_ref().and_then(|h| accepted(&difference, known, h, |id| all.assets.contains_key(id)));
        let mut asset = made.ok_or_else(|| {
            Fail::because(
                Code::Unprocessable,
                "nothing is heard that could be taken over; remove the asset, or ignore the difference with a reason",
                "没有可采纳的上报内容；请删除该资产，或说明理由后忽略",
            )
        })?;
        if known.is_none() {
            let given = |t: &String| (!t.is_empty()).then(|| t.clone());
            if let Some(id) = wish.asset.as_ref().and_then(given) {
                if all.assets.contains_key(&id) {
                    let zh = format!("资产“{id}”已存在，请另取标识");
                    return Err(Fail::because(Code::Unprocessable, format!("asset '{id}' is there already; give another id"), zh));
                }
                asset.id = id;
            }
            asset.name = wish.name.trim().to_owned();
            asset.object = given(&wish.object).unwrap_or_default();
            asset.importance = wish.importance.unwrap_or(asset.importance);
        }
        Ok(vec![Wish::Put(Row::Asset(asset))])
    })?;
    Ok(show(difference, None))
}

fn ignore(shared: &Shared, caller: &Caller, difference: Difference, wish: &DifferenceDecision) -> Result<RegisterDifference, Fail> {
    let now = shared.now();
    let reason = wish.reason.trim();
    if !(1..=200).contains(&reason.chars().count()) || reason.chars().any(char::is_control) {
        return Err(Fail::because(
            Code::Unprocessable,
            "to let it stand, say why: 1 to 200 characters",
            "忽略须说明理由（1 至 200 个字符）",
        ));
    }
    let last = now.plus_secs(IGNORE_DAYS_MAX * 86_400);
    let until = Timestamp::parse_rfc3339(&wish.until).filter(|t| *t > now && *t <= last).ok_or_else(|| {
        Fail::because(
            Code::Unprocessable,
            format!("until is a time within {IGNORE_DAYS_MAX} days, e.g. {}", now.plus_secs(30 * 86_400)),
            format!("until 应为 {IGNORE_DAYS_MAX} 天之内的时间，例如 {}", now.plus_secs(30 * 86_400)),
        )
    })?;
    let decision = DecisionRow {
        id: difference.id.clone(),
        unit: difference.unit.clone(),
        reason: reason.to_owned(),
        until: until.ns(),
        who: caller.name.clone(),
        time: now.ns(),
    };
    let audit = AuditEntry {
        time: now.ns(),
        who: caller.name.clone(),
        action: "difference.ignore".to_owned(),
        subject: difference.id.clone(),
        unit: (!difference.unit.is_empty()).then(|| difference.unit.clone()),
        detail: format!("{}; until {until}: {reason}", difference.text.en).chars().take(500).collect(),
    };
    shared.desk.put_decision(&decision, &audit)?;
    Ok(show(difference, Some(&decision)))
}

pub async fn route(State(shared): State<App>, caller: Caller, Json(question): Json<RouteQuestion>) -> Result<Response, Fail> {
    Ok(reply::json(&shared.work(move |s| routed(s, &caller.scope, question)).await?))
}

/// Whom it would concern. Within a limited scope nothing outside it is known, so nothing outside it shows.
pub fn routed(shared: &Shared, scope: &Scope, question: RouteQuestion) -> Result<RouteAnswer, Fail> {
    let RouteQuestion { addresses, domains, indicators, hosts, assets, objects, sectors, units, hops } = question;
    let indicators = indicators.into_iter().map(|i| Indicator { r#type: i.r#type, value: i.value }).collect();
    let concern = Concern { addresses, domains, indicators, hosts, assets, objects, sectors, units, hops };
    concern.check().map_err(|why| match why {
        Refusal::Refused(text) => Fail::because(Code::Unprocessable, text.en, text.zh),
        _ => Fail::code(Code::Internal),
    })?;
    let office = shared.office.book();
    let mut known = shared.backstage.register().all().within(scope.units.as_ref());
    // What one's own objects need of others is not followed there.
    let own: BTreeSet<String> = known.objects.keys().cloned().collect();
    known.objects.values_mut().for_each(|o| o.needs.retain(|n| own.contains(n)));
    let book = Book {
        tables: office.tables.clone(),
        units: known.units,
        objects: known.objects,
        assets: known.assets,
        places: Default::default(),
        signer: office.signer.clone(),
        flaws: office.flaws.clone(),
        pseudonyms: office.pseudonyms,
    };
    let reason = |why: matter::route::Why| RouteReason {
        rule: why.rule,
        distance: why.distance,
        path: why.path,
        text: BothTexts { en: why.text.en, zh: why.text.zh },
    };
    let items = concerned(&book, &concern).into_iter().map(|routed| {
        let unit = book.units.get(&routed.unit).cloned().unwrap_or_default();
        RoutedUnit {
            unit_id: routed.unit,
            unit: unit.name,
            name_en: unit.name_en,
            sector: unit.sector,
            why: routed.why.into_iter().map(reason).collect(),
            more: routed.more,
        }
    });
    Ok(RouteAnswer { items: items.collect() })
}
