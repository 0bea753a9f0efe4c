//! Agents: alive or not, what each sees and what not, and whether its sums add up.

use api::{Agent, Liveness, Permission};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use event::AgentId;
use serde::Deserialize;

use super::{Page, SafeForm};
use crate::serve::gate::Caller;
use crate::serve::reply::Fail;
use crate::serve::routes::{App, PathId, agents, agents_in_scope};

/// Rows of the page; a larger fleet is read through the API or by unit.
const ROWS_MAX: usize = 2_000;

#[derive(Template)]
#[template(path = "agents.html")]
struct ListView<'a> {
    page: &'a Page,
    agents: Vec<Agent>,
    counts: [(Liveness, usize); 5],
    blind: usize,
    left_off: usize,
    now: String,
}

pub async fn list(State(shared): State<App>, caller: Caller, page: Page) -> Result<Response, Fail> {
    let mut agents = agents_in_scope(&shared, &caller.scope);
    // What needs a look comes first.
    let rank = |a: &Agent| match a.liveness {
        Liveness::Silent => 0,
        Liveness::Late => 1,
        _ if !a.ledger_balanced => 2,
        Liveness::NeverSeen => 3,
        Liveness::Alive if states(a, "blind") + states(a, "partial") > 0 => 4,
        Liveness::Alive => 5,
        Liveness::Revoked => 6,
    };
    agents.sort_by(|a, b| (rank(a), &a.sector, &a.unit, &a.host).cmp(&(rank(b), &b.sector, &b.unit, &b.host)));
    let count = |l: Liveness| (l, agents.iter().filter(|a| a.liveness == l).count());
    let counts =
        [count(Liveness::Alive), count(Liveness::Late), count(Liveness::Silent), count(Liveness::NeverSeen), count(Liveness::Revoked)];
    let blind = agents.iter().filter(|a| a.coverage.iter().any(|c| c.state == "blind" || c.state == "partial")).count();
    let left_off = agents.len().saturating_sub(ROWS_MAX);
    agents.truncate(ROWS_MAX);
    let view = ListView { page: &page, counts, blind, left_off, now: shared.now().to_string(), agents };
    Ok(page.answer_ref(StatusCode::OK, &view))
}

#[derive(Template)]
#[template(path = "agent.html")]
struct AgentView<'a> {
    page: &'a Page,
    agent: Agent,
    /// Whether the reader may end this agent's identity.
    may_revoke: bool,
}

pub async fn one(State(shared): State<App>, caller: Caller, PathId(id): PathId, page: Page) -> Result<Response, Fail> {
    let id: AgentId = id.parse().map_err(|_| Fail::not_found())?;
    shared.board.links(&shared.backstage.links());
    let agent = shared.board.get(&caller.scope, id, shared.now()).ok_or_else(Fail::not_found)?;
    Ok(page.answer_ref(
        StatusCode::OK,
        &AgentView { page: &page, may_revoke: agent.liveness != Liveness::Revoked && caller.role.may(Permission::Enrol), agent },
    ))
}

#[derive(Debug, Deserialize)]
pub struct RevokeForm {
    reason: String,
}

pub async fn revoke(
    State(shared): State<App>,
    caller: Caller,
    PathId(id): PathId,
    SafeForm(form): SafeForm<RevokeForm>,
) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let agent = agents::end(s, &caller, &id, &form.reason)?;
            Ok(Redirect::to(&format!("/agents/{}", agent.id)).into_response())
        })
        .await
}

/// Statements of one state, counted: `seeing` → 3.
fn states(agent: &Agent, state: &str) -> usize {
    agent.coverage.iter().filter(|c| c.state == state).count()
}

fn lost(agent: &Agent) -> u64 {
    agent.ledger.iter().map(|r| r.lost).sum()
}
fn spooled(agent: &Agent) -> u64 {
    agent.ledger.iter().map(|r| r.spooled).sum()
}
