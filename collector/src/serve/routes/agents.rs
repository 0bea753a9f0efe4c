//! Agents with liveness, coverage and ledger.

use api::{AgentPage, Code, Revocation};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use event::AgentId;
use serde::Deserialize;

use super::{App, Json, Paging, Params, PathId};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};
use crate::store::Scope;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentParams {
    liveness: Option<String>,
    unit: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// All agents in scope, as they are now.
pub fn all(shared: &Shared, scope: &Scope) -> Vec<api::Agent> {
    shared.board.links(&shared.backstage.links());
    shared.board.list(scope, shared.now())
}

pub async fn list(
    State(shared): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<AgentParams>,
) -> Result<Response, Fail> {
    let mut agents = all(&shared, &caller.scope);
    if let Some(word) = params.liveness.as_deref().filter(|w| !w.is_empty()) {
        agents.retain(|a| word.split(',').any(|w| w == a.liveness.name()));
    }
    if let Some(unit) = params.unit.as_deref().filter(|u| !u.is_empty()) {
        agents.retain(|a| a.unit_id == unit);
    }
    let total = agents.len() as u64;
    let (items, next) = Paging { limit: params.limit, cursor: params.cursor }.cut(agents)?;
    Ok(reply::list(&headers, &AgentPage { items, next, total, now: shared.now().to_string() }))
}

pub async fn one(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    let id: AgentId = id.parse().map_err(|_| Fail::not_found())?;
    shared.board.links(&shared.backstage.links());
    let agent = shared.board.get(&caller.scope, id, shared.now()).ok_or_else(Fail::not_found)?;
    Ok(reply::json(&agent))
}

pub async fn revoke(State(shared): State<App>, caller: Caller, PathId(id): PathId, Json(wish): Json<Revocation>) -> Result<Response, Fail> {
    let agent = shared.work(move |s| end(s, &caller, &id, &wish.reason)).await?;
    Ok(reply::json(&agent))
}

/// Ends an agent's identity; audited with its reason. Doing it twice changes nothing.
pub fn end(shared: &Shared, caller: &Caller, id: &str, reason: &str) -> Result<api::Agent, Fail> {
    let id: AgentId = id.parse().map_err(|_| Fail::not_found())?;
    let now = shared.now();
    let agent = shared.board.get(&caller.scope, id, now).ok_or_else(Fail::not_found)?;
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 200 {
        return Err(Fail::because(Code::Unprocessable, "a reason has 1 to 200 characters", "理由应为 1 至 200 个字符"));
    }
    let fresh = shared.backstage.revoke(id, reason, &caller.name, now).map_err(|why| {
        tracing::error!(why, agent = %id, "agent not revoked");
        Fail::code(Code::Internal)
    })?;
    if fresh {
        shared.audit(&caller.name, "agent.revoke", &id.to_string(), Some(&agent.unit_id), reason);
    }
    shared.board.revoked(id);
    shared.board.get(&caller.scope, id, now).ok_or_else(Fail::not_found)
}
