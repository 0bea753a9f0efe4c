//! Matters of every kind: list, one, history, and the acts on them. One handler for all kinds; what differs is in `matter::KINDS`.

use api::{BothTexts, Code, Matter, MatterEntry, MatterHistory, MatterOutcome, MatterPage, MatterRoute, MatterWhat};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::{get, post};
use event::Timestamp;
use matter::{ActRow, Actor, Both, Card, Change, Kind, Order, Outcome, Refusal};
use serde::Deserialize;
use serde_json::Value;
use warning::grade::Level;

use super::alerts::Seen;
use super::{App, Json, Paging, Params, PathId};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};
use crate::store::desk::{MatterQuery, MatterRow};

/// All addresses of `api::matter_routes`.
pub fn mount(mut router: Router<App>) -> Router<App> {
    for MatterRoute { path, kind, what, .. } in api::matter_routes() {
        let handler = match what {
            MatterWhat::List => get(move |shared, caller, headers, params| list(shared, caller, headers, params, kind)),
            MatterWhat::One => get(move |shared, caller, id| one(shared, caller, id, kind)),
            MatterWhat::History => get(move |shared, caller, id| history(shared, caller, id, kind)),
            MatterWhat::Open(act) => {
                post(move |shared, caller, headers, params, body| open(shared, caller, headers, params, body, kind, act))
            }
            MatterWhat::Act(act) => {
                post(move |shared, caller, id, headers, params, body| carry_out(shared, caller, id, headers, params, body, kind, act))
            }
        };
        router = router.route(&path, handler);
    }
    router
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListParams {
    pub state: Option<String>,
    pub level: Option<String>,
    pub unit: Option<String>,
    pub link: Option<String>,
    pub q: Option<String>,
    pub exercise: Option<bool>,
    pub full: Option<bool>,
    pub limit: Option<usize>,
    pub cursor: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActParams {
    dry_run: bool,
}

impl Caller {
    /// As the desk knows them.
    pub fn actor(&self) -> Actor {
        Actor { name: self.name.clone(), role: Some(self.role), units: self.scope.units.as_ref().map(|u| u.iter().cloned().collect()) }
    }
}

async fn list(
    State(shared): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<ListParams>,
    kind: &'static Kind,
) -> Result<Response, Fail> {
    let page = shared.work(move |s| page_of(s, &caller, kind, &params)).await?;
    Ok(reply::list(&headers, &page))
}

/// One page; also what the pages for people show.
pub fn page_of(shared: &Shared, caller: &Caller, kind: &'static Kind, params: &ListParams) -> Result<MatterPage, Fail> {
    let given = |t: &Option<String>| t.clone().filter(|t| !t.is_empty());
    let states: Vec<String> = given(&params.state).map(|t| t.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let after = match given(&params.cursor) {
        None => None,
        Some(text) => {
            let (time, id) = text.split_once('-').ok_or_else(|| Fail::code(Code::BadCursor))?;
            Some((time.parse().map_err(|_| Fail::code(Code::BadCursor))?, id.to_owned()))
        }
    };
    let query = MatterQuery {
        kind: kind.word.to_owned(),
        open: states.iter().any(|s| s == "open"),
        states: states.into_iter().filter(|s| s != "open" && s != "all").collect(),
        level_min: given(&params.level).map(|word| level(&word)).transpose()?,
        // A drill is never real: its list is of drills, asked for or not.
        exercise: params.exercise.unwrap_or(false) || kind.word == "drill",
        unit: given(&params.unit),
        link: given(&params.link),
        text: given(&params.q),
        limit: Paging { limit: params.limit, cursor: None }.limit()?,
        after,
    };
    let found = shared.desk.matters(&caller.scope, &query)?;
    Ok(MatterPage {
        items: found.matters.into_iter().filter_map(|row| show(row, kind, params.full.unwrap_or(false))).collect(),
        next: found.next.map(|(time, id)| format!("{time}-{id}")),
    })
}

fn level(word: &str) -> Result<Level, Fail> {
    serde_json::from_value(Value::String(word.to_owned()))
        .map_err(|_| Fail::because(Code::BadRequest, "level is blue, yellow, orange or red", "预警级别应为 blue、yellow、orange 或 red"))
}

/// None: a body that cannot be read any more; that is in the log.
fn show(row: MatterRow, kind: &Kind, full: bool) -> Option<Matter> {
    let Some(card) = (kind.card)(&row.body) else {
        tracing::error!(kind = kind.word, id = row.id, "stored matter cannot be read");
        return None;
    };
    let MatterRow { id, revision, opened, updated, body, .. } = row;
    Some(shown(kind, id, revision, opened, updated, card, full.then_some(body)))
}

fn shown(kind: &Kind, id: String, revision: u64, opened: Timestamp, updated: Timestamp, card: Card, body: Option<Value>) -> Matter {
    Matter {
        kind: kind.word.to_owned(),
        id,
        revision,
        state: card.state.to_owned(),
        closed: card.closed,
        level: card.level.map(|l| l.name().to_owned()),
        title: BothTexts { en: card.title.en, zh: card.title.zh },
        units: card.units,
        exercise: card.exercise,
        opened: opened.to_string(),
        updated: updated.to_string(),
        due: card.due.map(|d| d.to_string()),
        links: card.links,
        acts: Vec::new(),
        body,
    }
}

/// The whole matter if it is in scope.
pub fn find(shared: &Shared, caller: &Caller, kind: &'static Kind, id: &str) -> Result<Matter, Fail> {
    let row = shared.desk.matter(&caller.scope, kind.word, id)?.ok_or_else(Fail::not_found)?;
    let mut matter = show(row, kind, true).ok_or_else(|| Fail::code(Code::Internal))?;
    let may = kind.acts.iter().filter(|a| !a.opens && a.right.is_some_and(|right| caller.may(right)));
    matter.acts = may.map(|a| a.word.to_owned()).collect();
    Ok(matter)
}

async fn one(State(shared): State<App>, caller: Caller, PathId(id): PathId, kind: &'static Kind) -> Result<Response, Fail> {
    let matter = shared.work(move |s| find(s, &caller, kind, &id)).await?;
    Ok(with_etag(reply::json(&matter), matter.revision))
}

async fn history(State(shared): State<App>, caller: Caller, PathId(id): PathId, kind: &'static Kind) -> Result<Response, Fail> {
    let items = shared.work(move |s| entries(s, &caller, kind, &id)).await?;
    Ok(reply::json(&MatterHistory { items }))
}

/// What was done with a matter in scope.
pub fn entries(shared: &Shared, caller: &Caller, kind: &'static Kind, id: &str) -> Result<Vec<MatterEntry>, Fail> {
    find(shared, caller, kind, id)?;
    let entries = shared.desk.matter_history(kind.word, id)?;
    Ok(entries
        .into_iter()
        .map(|e| MatterEntry { revision: e.revision, time: e.time.to_string(), by: e.who, act: e.act, body: e.body })
        .collect())
}

async fn open(
    State(shared): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<ActParams>,
    Json(body): Json<Value>,
    kind: &'static Kind,
    act: &'static ActRow,
) -> Result<Response, Fail> {
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok()).map(|k| k.chars().take(200).collect());
    let outcome =
        shared.clone().work(move |s| do_it(s, &caller, Wish { kind, act, id: None, expected: None, key, body }, params.dry_run)).await?;
    Ok(with_etag(reply::json(&outcome), outcome.matter.revision))
}

async fn carry_out(
    State(shared): State<App>,
    caller: Caller,
    axum::extract::Path(id): axum::extract::Path<String>,
    headers: HeaderMap,
    Params(params): Params<ActParams>,
    Json(body): Json<Value>,
    kind: &'static Kind,
    act: &'static ActRow,
) -> Result<Response, Fail> {
    let expected = match super::alerts::seen(&headers)? {
        Seen::Revision(n) => Some(n),
        Seen::Any => None,
    };
    let wish = Wish { kind, act, id: Some(id), expected, key: None, body };
    let outcome = shared.clone().work(move |s| do_it(s, &caller, wish, params.dry_run)).await?;
    Ok(with_etag(reply::json(&outcome), outcome.matter.revision))
}

/// What a caller wants done.
pub struct Wish {
    pub kind: &'static Kind,
    pub act: &'static ActRow,
    pub id: Option<String>,
    /// The revision they saw.
    pub expected: Option<u64>,
    pub key: Option<String>,
    pub body: Value,
}

/// Carries it out, or says what that would do.
pub fn do_it(shared: &Shared, caller: &Caller, wish: Wish, dry_run: bool) -> Result<MatterOutcome, Fail> {
    let Wish { kind, act, id, expected, key, mut body } = wish;
    if body.is_null() {
        body = Value::Object(serde_json::Map::new());
    }
    let Some(fields) = body.as_object_mut() else {
        return Err(Fail::because(Code::BadRequest, "the body is an object with the act's fields", "请求体应为包含各字段的对象"));
    };
    fields.insert("act".to_owned(), Value::String(act.word.to_owned()));
    let order = Order { kind: kind.word.to_owned(), id: id.clone(), expected, act: body, key };
    let actor = caller.actor();
    let done = if dry_run { shared.office.preview(&actor, shared.now(), order) } else { shared.office.act(&actor, shared.now(), order) };
    let outcome = done.map_err(|why| fail(shared, caller, kind, id.as_deref(), why))?;
    told(outcome, kind, shared.now(), dry_run)
}

fn told(outcome: Outcome, kind: &'static Kind, now: Timestamp, dry_run: bool) -> Result<MatterOutcome, Fail> {
    let (changed, messages) = (outcome.changes.len() as u64, outcome.messages as u64);
    let first = outcome.changes.into_iter().next().ok_or_else(|| Fail::code(Code::Internal))?;
    let Change { id, revision, card, body, opened, .. } = first;
    Ok(MatterOutcome { matter: shown(kind, id, revision, now, now, card, Some(body)), opened, dry_run, changed, messages })
}

/// A refusal as a problem; a conflict brings the matter as it is now.
fn fail(shared: &Shared, caller: &Caller, kind: &'static Kind, id: Option<&str>, why: Refusal) -> Fail {
    let say = |code, text: Both| Fail::because(code, text.en, text.zh);
    match why {
        Refusal::Missing { .. } => Fail::not_found(),
        Refusal::Denied(text) => say(Code::Denied, text),
        Refusal::Refused(text) => say(Code::Unprocessable, text),
        Refusal::Conflict { revision } => {
            shared.counts.conflicts.inc();
            let problem = api::Problem::new(Code::Conflict).detail(format!("now at revision {revision}"), format!("现为第 {revision} 版"));
            let current = id.and_then(|id| find(shared, caller, kind, id).ok());
            Fail(Box::new(match current {
                Some(current) => problem.current(&current),
                None => problem,
            }))
        }
        Refusal::Storage(why) => {
            tracing::error!(kind = kind.word, why, "act failed");
            Fail::code(Code::Internal)
        }
    }
}

fn with_etag(mut response: Response, revision: u64) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}
