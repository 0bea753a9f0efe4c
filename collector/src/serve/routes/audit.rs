//! The audit trail.

use api::{AuditEntry, AuditPage, AuditProof, Code};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::{App, Paging, Params};
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};

pub async fn list(State(shared): State<App>, caller: Caller, headers: HeaderMap, Params(paging): Params<Paging>) -> Result<Response, Fail> {
    let limit = paging.limit()?;
    let before = match paging.cursor.as_deref().filter(|c| !c.is_empty()) {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Fail::code(Code::BadCursor))?),
    };
    let rows = shared.work(move |s| Ok(s.desk.audit_log(&caller.scope, before, limit)?)).await?;
    let next = (rows.len() == limit).then(|| rows.last().map(|r| r.number.to_string())).flatten();
    let items = rows
        .into_iter()
        .map(|r| AuditEntry {
            number: r.number,
            time: api::time_text(r.entry.time),
            actor: r.entry.who,
            action: r.entry.action,
            object: r.entry.subject,
            unit: r.entry.unit.unwrap_or_default(),
            detail: r.entry.detail,
            hash: r.hash,
        })
        .collect();
    Ok(reply::list(&headers, &AuditPage { items, next }))
}

/// The chain is one for all, so only a caller of the whole city may ask how long it is.
pub async fn verify(State(shared): State<App>, caller: Caller) -> Result<Response, Fail> {
    if !caller.scope.is_city() {
        return Err(Fail::code(Code::Denied));
    }
    let report = shared.work(|s| Ok(s.desk.audit_verify()?)).await?;
    Ok(reply::json(&AuditProof {
        intact: report.broken.is_none(),
        entries: report.rows,
        head: report.head,
        broken_at: report.broken.as_ref().map(|(n, _)| *n),
        why: report.broken.map(|(_, why)| why).unwrap_or_default(),
    }))
}
