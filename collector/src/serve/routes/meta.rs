//! Counts, the contract, metrics, health, reload.

use std::collections::BTreeMap;

use api::{Readiness, Stats};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use event::Severity;

use super::{App, agents};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::query;
use crate::serve::reply::{self, Fail};
use crate::store::Scope;

pub fn counts(shared: &Shared, scope: &Scope) -> Result<Stats, Fail> {
    let counts = query::counts(shared, scope)?;
    let mut open_by_severity: BTreeMap<String, u64> = Severity::ALL.iter().map(|s| (s.name().to_owned(), 0)).collect();
    for (severity, n) in counts.open_by_severity {
        if let Some(severity) = Severity::from_u8(severity) {
            open_by_severity.insert(severity.name().to_owned(), n);
        }
    }
    let mut liveness: BTreeMap<String, u64> = BTreeMap::new();
    for agent in agents::all(shared, scope) {
        *liveness.entry(agent.liveness.name().to_owned()).or_default() += 1;
    }
    Ok(Stats { open_by_severity, by_state: counts.by_state, agents: liveness, now: shared.now().to_string() })
}

pub async fn stats(State(shared): State<App>, caller: Caller) -> Result<Response, Fail> {
    let stats = shared.work(move |s| counts(s, &caller.scope)).await?;
    Ok(reply::json(&stats))
}

pub async fn openapi() -> Response {
    reply::typed("application/json", api::document_json())
}

pub async fn metrics(State(shared): State<App>) -> Result<Response, Fail> {
    let text = shared
        .work(|s| {
            s.counts.collect(s, s.now());
            Ok(s.metrics.render())
        })
        .await?;
    Ok(reply::typed(telemetry::CONTENT_TYPE, text))
}

pub async fn healthy() -> Response {
    reply::typed("text/plain; charset=utf-8", "ok\n")
}

pub async fn ready(State(shared): State<App>) -> Response {
    let waiting_for = shared.ready.waiting_for();
    let ready = waiting_for.is_empty();
    let mut response = reply::json(&Readiness { ready, waiting_for });
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

pub async fn reload(State(shared): State<App>, caller: Caller) -> Result<Response, Fail> {
    let done = shared
        .work(move |s| {
            let done = s.backstage.reload();
            s.counts.reloaded(done.successful, s.now());
            s.audit(&caller.name, "reload", "configuration", None, if done.successful { "done" } else { "refused" });
            Ok(done)
        })
        .await?;
    let status = if done.successful { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, reply::json(&done)).into_response())
}
