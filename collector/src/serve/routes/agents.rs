//! Agents with liveness, coverage and ledger.

use api::AgentPage;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use event::AgentId;
use serde::Deserialize;

use super::{App, Paging, Params, PathId};
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
