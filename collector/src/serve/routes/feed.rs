//! The live feed as server-sent events.
//!
//! The first line is a comment with the server's time, and so is each heartbeat: a reader that hears neither knows that what it
//! shows is old. The body is pulled: while the reader does not read, nothing is made, and what it then missed is one `resync`.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use api::Code;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use serde::Deserialize;

use super::{App, Params};
use crate::serve::Shared;
use crate::serve::feed::{Position, Step, Subscription};
use crate::serve::gate::Caller;
use crate::serve::query;
use crate::serve::reply::{Fail, typed};
use crate::store::Query;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeedParams {
    after: Option<String>,
    q: Option<String>,
}

pub async fn open(
    State(shared): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<FeedParams>,
) -> Result<Response, Fail> {
    // A reader that reconnects says what it has in the header; the address still carries where it once began.
    let sent = headers.get("last-event-id").and_then(|v| v.to_str().ok()).map(str::to_owned).or(params.after);
    let after = match sent.filter(|t| !t.trim().is_empty()) {
        None => None,
        Some(text) => Some(
            text.parse::<Position>()
                .map_err(|()| Fail::because(Code::BadCursor, "a position is <epoch>-<number>", "位置应为 <纪元>-<序号>"))?,
        ),
    };
    let filter = query::parse(params.q.as_deref().unwrap_or(""), shared.now())?;
    let subscription = shared.feed.subscribe(&caller.scope, after).map_err(|_| Fail::code(Code::Unavailable))?;
    let hello = format!("retry: 1000\n: {}\n\n", shared.now());
    let reader = Reader { shared, caller, subscription, filter, hello: Some(hello), idle: 0 };
    let body = Body::from_stream(stream::unfold(reader, |mut reader| async move {
        reader.next().await.map(|chunk| (Ok::<_, Infallible>(chunk), reader))
    }));
    let mut response = typed("text/event-stream", body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

struct Reader {
    shared: Arc<Shared>,
    caller: Caller,
    subscription: Subscription,
    filter: Option<Query>,
    hello: Option<String>,
    idle: u32,
}

/// Heartbeats between two looks at whether the caller's session still stands.
const RECHECK_BEATS: u32 = 3;
/// Bytes of one chunk: what is there is sent together.
const CHUNK_MAX: usize = 64 * 1024;

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(hello) = self.hello.take() {
            return Some(hello.into());
        }
        let beat = Duration::from_secs(self.shared.config.heartbeat_s.max(1));
        let next = tokio::time::timeout(beat, self.subscription.next()).await;
        let mut text = String::new();
        if let Ok(first) = next {
            self.write(&first, &mut text);
            while text.len() < CHUNK_MAX
                && let Some(step) = self.subscription.try_next()
            {
                self.write(&step, &mut text);
            }
        }
        if text.is_empty() {
            self.idle += 1;
            if self.idle.is_multiple_of(RECHECK_BEATS) && !self.still_allowed().await {
                return None;
            }
            // A block without data moves the reader's position past what its filter left out.
            let _ = write!(text, ": {}\nid: {}\n\n", self.shared.now(), self.subscription.position());
        }
        Some(text.into())
    }

    fn write(&self, step: &Step, out: &mut String) {
        match step {
            Step::Item { id, item } => {
                let wanted = match (&self.filter, &item.alert) {
                    (Some(filter), Some(alert)) => filter.matches(&query::as_event(alert)),
                    _ => true,
                };
                if wanted {
                    let _ = write!(out, "id: {id}\nevent: {}\ndata: {}\n\n", item.name, item.data);
                }
            }
            Step::Resync { id } => {
                let _ = write!(out, "id: {id}\nevent: resync\ndata: {{\"kind\":\"resync\"}}\n\n");
            }
        }
    }

    /// A session that ended or a token that was revoked ends its feed too.
    async fn still_allowed(&self) -> bool {
        let (hash, session) = (self.caller.credential.clone(), self.caller.csrf.is_some());
        self.shared
            .work(move |s| Ok(if session { s.desk.session(&hash, s.now())?.is_some() } else { s.desk.token(&hash, s.now())?.is_some() }))
            .await
            .unwrap_or(false)
    }
}
