//! Alerts: list, one, the events behind it, what people did, and judging it.

use std::sync::Arc;

use api::{AlertPage, Code, EventRecord, Evidence, Note, NotePage, TriageAction, TriageOutcome};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use event::{Event, EventId};
use serde::Deserialize;
use warning::{Alert, AlertId, AlertState, CloseReason, Judgement};

use super::{App, Json, Paging, Params, PathId};
use crate::outbox::alert_item;
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::query::{self, AlertFilter};
use crate::serve::reply::{self, Fail};
use crate::store::Scope;
use crate::store::desk::{DeskError, Triage};

/// Characters of a note.
pub const NOTE_MAX: usize = 4_000;

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListParams {
    pub q: Option<String>,
    pub state: Option<String>,
    pub severity: Option<String>,
    pub sector: Option<String>,
    pub unit: Option<String>,
    pub limit: Option<usize>,
    pub cursor: Option<String>,
}

impl ListParams {
    pub fn filter(&self, shared: &Shared) -> Result<AlertFilter, Fail> {
        let given = |t: &Option<String>| t.clone().filter(|t| !t.is_empty());
        let severity_min = match given(&self.severity) {
            None => None,
            Some(word) => Some(word.parse::<event::Severity>().map_err(|()| {
                Fail::because(
                    Code::BadRequest,
                    "severity is informational, low, medium, high or critical",
                    "严重程度应为 informational、low、medium、high 或 critical",
                )
            })? as u8),
        };
        Ok(AlertFilter {
            states: query::states(self.state.as_deref().unwrap_or(""))?,
            severity_min,
            sector: given(&self.sector),
            unit: given(&self.unit),
            query: query::parse(self.q.as_deref().unwrap_or(""), shared.now())?,
        })
    }
}

pub async fn list(
    State(shared): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<ListParams>,
) -> Result<Response, Fail> {
    let page = shared.work(move |s| list_page(s, &caller.scope, &params)).await?;
    Ok(reply::list(&headers, &page))
}

/// One page of alerts; also what the page shell starts from.
pub fn list_page(shared: &Shared, scope: &Scope, params: &ListParams) -> Result<AlertPage, Fail> {
    let filter = params.filter(shared)?;
    let limit = Paging { limit: params.limit, cursor: None }.limit()?;
    let after = params.cursor.as_deref().filter(|c| !c.is_empty()).map(query::read_cursor).transpose()?;
    // The position first: what changes while we read comes again on the feed, and nothing is missed.
    let feed = shared.feed.position(scope).map_err(|_| Fail::code(Code::Unavailable))?;
    let (alerts, next) = query::alerts(shared, scope, &filter, limit, after)?;
    Ok(AlertPage {
        items: alerts.iter().map(Shared::show).collect(),
        next: next.as_ref().map(query::cursor_text),
        feed: feed.to_string(),
        now: shared.now().to_string(),
    })
}

/// The alert if the caller may see it.
pub fn find(shared: &Shared, scope: &Scope, id: &str) -> Result<Alert, Fail> {
    match shared.desk.alert(scope, &AlertId(id.to_owned()))? {
        Some(alert) if query::inside(shared, scope, &alert)? => Ok(alert),
        _ => Err(Fail::not_found()),
    }
}

fn with_etag(mut response: Response, revision: u64) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

pub async fn one(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    let alert = shared.work(move |s| find(s, &caller.scope, &id)).await?;
    Ok(with_etag(reply::json(&Shared::show(&alert)), alert.revision))
}

pub async fn events(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    let evidence = shared.work(move |s| evidence(s, &caller.scope, &find(s, &caller.scope, &id)?)).await?;
    Ok(reply::json(&evidence))
}

/// The events behind an alert, oldest first: the copies kept with it, else from the event store; and the ids of those that are gone.
pub fn evidence_events(shared: &Shared, scope: &Scope, alert: &Alert) -> Result<(Vec<Arc<Event>>, Vec<String>), Fail> {
    let mut events = shared.desk.evidence(scope, &alert.id)?;
    let lacking = |events: &[Arc<Event>]| -> Vec<EventId> {
        let ids = alert.evidence.iter().filter_map(|text| text.parse().ok());
        ids.filter(|id| events.iter().all(|e| e.id != *id)).collect()
    };
    events.extend(shared.events.find(scope, &lacking(&events))?);
    let missing = lacking(&events).iter().map(ToString::to_string).collect();
    events.retain(|e| scope.allows_event(e));
    events.sort_by_key(|e| (e.time, e.id));
    Ok((events, missing))
}

/// The same as the API shows it.
pub fn evidence(shared: &Shared, scope: &Scope, alert: &Alert) -> Result<Evidence, Fail> {
    let (events, missing) = evidence_events(shared, scope, alert)?;
    Ok(Evidence { items: events.iter().map(|e| EventRecord::from(&**e)).collect(), missing, total: alert.event_count })
}

pub async fn history(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    let items = shared
        .work(move |s| {
            let alert = find(s, &caller.scope, &id)?;
            notes(s, &caller.scope, &alert)
        })
        .await?;
    Ok(reply::json(&NotePage { items }))
}

pub fn notes(shared: &Shared, scope: &Scope, alert: &Alert) -> Result<Vec<Note>, Fail> {
    Ok(shared.desk.notes(scope, &alert.id)?.into_iter().map(|n| Note { time: api::time_text(n.time), by: n.who, text: n.text }).collect())
}

/// What `If-Match` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Revision(u64),
    /// `*`: whatever it is now.
    Any,
}

pub fn seen(headers: &HeaderMap) -> Result<Seen, Fail> {
    let text = headers.get(header::IF_MATCH).and_then(|v| v.to_str().ok()).ok_or_else(|| Fail::code(Code::RevisionNeeded))?;
    match text.trim() {
        "*" => Ok(Seen::Any),
        other => other.trim_matches('"').parse().map(Seen::Revision).map_err(|_| Fail::code(Code::RevisionNeeded)),
    }
}

pub async fn triage(
    State(shared): State<App>,
    caller: Caller,
    PathId(id): PathId,
    headers: HeaderMap,
    Json(wish): Json<api::Triage>,
) -> Result<Response, Fail> {
    let seen = seen(&headers)?;
    let (changed, alert) = shared.clone().work(move |s| judge(s, &caller, &id, seen, &wish)).await?;
    let outcome = TriageOutcome { changed, alert: Shared::show(&alert) };
    Ok(with_etag(reply::json(&outcome), alert.revision))
}

/// The reason by its word.
pub fn close_reason(word: &str) -> Option<CloseReason> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}

/// Carries out a judgement: store first (revision checked, audited), then the engine's desk, then the feed. Saying what is so already
/// changes nothing, whatever the revision: a repeated request is harmless.
pub fn judge(shared: &Shared, caller: &Caller, id: &str, seen: Seen, wish: &api::Triage) -> Result<(bool, Alert), Fail> {
    let current = find(shared, &caller.scope, id)?;
    let note = wish.note.as_deref().map(str::trim).filter(|n| !n.is_empty());
    if note.is_some_and(|n| n.chars().count() > NOTE_MAX) {
        return Err(Fail::because(
            Code::Unprocessable,
            format!("a note has at most {NOTE_MAX} characters"),
            format!("备注最多 {NOTE_MAX} 个字符"),
        ));
    }
    let me = || Some(Some(caller.name.clone()));
    let (state, owner) = match wish.action {
        TriageAction::Note => {
            let note = note.ok_or_else(|| Fail::because(Code::Unprocessable, "a note without text", "备注内容为空"))?;
            shared.desk.add_note(&caller.scope, &current.id, &caller.name, note, shared.now())?;
            shared.audit(&caller.name, "alert.note", &current.id.0, single_unit(&current), note);
            return Ok((true, current));
        }
        TriageAction::Acknowledge => (AlertState::Acknowledged, me()),
        TriageAction::Investigate => (AlertState::Investigating, me()),
        TriageAction::Escalate => (AlertState::Escalated, None),
        TriageAction::Close => (AlertState::Closed, None),
        TriageAction::Reopen => (AlertState::New, Some(None)),
    };
    let reason = match (wish.action, wish.reason.as_deref().filter(|r| !r.is_empty())) {
        (TriageAction::Close, Some(word)) => Some(close_reason(word).ok_or_else(|| {
            Fail::because(
                Code::Unprocessable,
                "reason is confirmed, authorised_activity, false_positive, duplicate or expected_maintenance",
                "关闭原因应为 confirmed、authorised_activity、false_positive、duplicate 或 expected_maintenance",
            )
        })?),
        (TriageAction::Close, None) => {
            return Err(Fail::because(Code::Unprocessable, "say why it is closed (reason)", "请给出关闭原因（reason）"));
        }
        _ => None,
    };
    let is_so = |a: &Alert| a.state == state && a.close_reason == reason && owner.as_ref().is_none_or(|o| a.owner == *o);
    if is_so(&current) && note.is_none() {
        return Ok((false, current));
    }
    let expected_revision = match seen {
        Seen::Revision(n) => n,
        Seen::Any => current.revision,
    };
    let triage = Triage {
        alert: current.id.clone(),
        expected_revision,
        state,
        reason,
        owner: owner.clone(),
        note: note.map(str::to_owned),
        who: caller.name.clone(),
        now: shared.now(),
    };
    let alert = match shared.desk.triage(&caller.scope, &triage) {
        Ok(alert) => alert,
        Err(DeskError::Conflict(now)) => {
            shared.counts.conflicts.inc();
            return Err(DeskError::Conflict(now).into());
        }
        Err(other) => return Err(other.into()),
    };
    shared.backstage.judged(Judgement {
        alert: alert.id.clone(),
        state: alert.state,
        owner: alert.owner.clone(),
        close_reason: alert.close_reason,
        revision: alert.revision,
        time: shared.now(),
    });
    shared.feed.publish(alert_item(&alert));
    Ok((true, alert))
}

fn single_unit(alert: &Alert) -> Option<&str> {
    match alert.units.as_slice() {
        [one] => Some(&one.id),
        _ => None,
    }
}
