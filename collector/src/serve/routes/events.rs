//! Events: search and one.

use api::{Code, EventPage, EventRecord};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use event::{EventId, Timestamp};
use serde::Deserialize;

use super::{App, Paging, Params, PathId};
use crate::serve::gate::Caller;
use crate::serve::query;
use crate::serve::reply::{self, Fail};
use crate::store::{Cursor, Query};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchParams {
    q: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

fn time(text: Option<&str>) -> Result<Option<Timestamp>, Fail> {
    match text.filter(|t| !t.is_empty()) {
        None => Ok(None),
        Some(t) => Timestamp::parse_rfc3339(t).map(Some).ok_or_else(|| {
            Fail::because(
                Code::BadRequest,
                "a time is RFC 3339, e.g. 2026-11-23T08:00:00Z",
                "时间应为 RFC 3339 格式，例如 2026-11-23T08:00:00Z",
            )
        }),
    }
}

pub async fn list(
    State(shared): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<SearchParams>,
) -> Result<Response, Fail> {
    let page = shared
        .work(move |s| {
            let mut q = query::parse(params.q.as_deref().unwrap_or(""), s.now())?.unwrap_or_else(Query::default);
            if let Some(from) = time(params.from.as_deref())? {
                q.from = from;
            }
            if let Some(to) = time(params.to.as_deref())? {
                q.to = to;
            }
            q.limit = Paging { limit: params.limit, cursor: None }.limit()?;
            q.cursor = match params.cursor.as_deref().filter(|c| !c.is_empty()) {
                None => None,
                Some(text) => Some(text.parse::<Cursor>().map_err(|_| Fail::code(Code::BadCursor))?),
            };
            let page = s.events.search(&caller.scope, &q)?;
            let items = page.events.iter().filter(|e| caller.scope.allows_event(e)).map(|e| EventRecord::from(&**e)).collect();
            Ok(EventPage { items, next: page.next.map(|c| c.to_string()) })
        })
        .await?;
    Ok(reply::list(&headers, &page))
}

pub async fn one(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    let id: EventId = id.parse().map_err(|_| Fail::not_found())?;
    let event =
        shared.work(move |s| s.events.get(&caller.scope, id)?.filter(|e| caller.scope.allows_event(e)).ok_or_else(Fail::not_found)).await?;
    Ok(reply::json(&EventRecord::from(&*event)))
}
