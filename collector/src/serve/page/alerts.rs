//! The alert list and one alert with its why.

use api::{Alert, EventRecord, Evidence, Note, Triage, TriageAction};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::Value;

use super::{Page, SafeForm, cases};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::Fail;
use crate::serve::routes::alerts::{ListParams, Seen, evidence, find, judge, list_page, notes};
use crate::serve::routes::why::{by_event, why};
use crate::serve::routes::{App, Params, PathId};

#[derive(Template)]
#[template(path = "alerts.html")]
struct ListView<'a> {
    page: &'a Page,
    alerts: Vec<Alert>,
    feed: String,
    now: String,
    q: String,
    state: String,
    severity: String,
    /// The query cannot be read: what is wrong.
    problem: String,
    next: String,
    first: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PageParams {
    q: String,
    state: String,
    severity: String,
    cursor: String,
}

pub async fn list(State(shared): State<App>, caller: Caller, Params(wish): Params<PageParams>, page: Page) -> Result<Response, Fail> {
    let state = if wish.state.is_empty() { "open".to_owned() } else { wish.state.clone() };
    let params = ListParams {
        q: Some(wish.q.clone()),
        state: Some(state.clone()),
        severity: Some(wish.severity.clone()),
        limit: Some(100),
        cursor: Some(wish.cursor.clone()),
        ..ListParams::default()
    };
    let scope = caller.scope.clone();
    let listed = shared.work(move |s| Ok(list_page(s, &scope, &params))).await?;
    let (listed, problem) = match listed {
        Ok(listed) => (Some(listed), String::new()),
        // A query that cannot be read is not a broken page: the words stay in the box, with what is wrong beside them.
        Err(fail) if fail.0.status == 400 => (None, page.problem(&fail.0)),
        Err(fail) => return Err(fail),
    };
    let feed = listed.as_ref().map_or_else(String::new, |l| l.feed.clone());
    let next = listed.as_ref().and_then(|l| l.next.clone()).unwrap_or_default();
    let alerts = listed.map(|l| l.items).unwrap_or_default();
    // Everything a script needs to start without asking again.
    let first = serde_json::to_string(&alerts).unwrap_or_default().replace('<', "\\u003c");
    let view = ListView {
        page: &page,
        feed,
        now: shared.now().to_string(),
        q: wish.q,
        state,
        severity: wish.severity,
        problem,
        next,
        first,
        alerts,
    };
    Ok(page.answer_ref(StatusCode::OK, &view))
}

/// A threshold and what was seen, for the bar that compares them.
struct Measure {
    count: u64,
    threshold: u64,
    window_s: u64,
    /// Widths out of 100.
    seen_width: u64,
    mark: u64,
}

/// A dot on the time line.
struct Dot {
    x: u64,
    label: String,
}

#[derive(Template)]
#[template(path = "alert.html")]
struct AlertView<'a> {
    page: &'a Page,
    alert: Alert,
    evidence: Option<Evidence>,
    notes: Vec<Note>,
    rule: Option<api::Rule>,
    measures: Vec<Measure>,
    dots: Vec<Dot>,
    conflict: Option<String>,
    /// What the rules in force make of each event, by its id.
    trace: std::collections::BTreeMap<String, Vec<api::WhyVerdict>>,
    window: Option<api::WhyWindow>,
    span_s: i64,
    /// How alerts like it were closed before.
    before: Vec<Alert>,
    belongs: cases::Belongs,
}

fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(n) => n.as_u64().or_else(|| n.as_f64().map(|x| x.max(0.0) as u64)),
        Value::String(s) => s.parse().ok(),
        _ => None,
    }
}

fn measures(alert: &Alert) -> Vec<Measure> {
    alert
        .reasons
        .iter()
        .filter_map(|r| {
            let (count, threshold) = (number(r.args.get("count"))?, number(r.args.get("threshold"))?);
            let most = count.max(threshold).max(1);
            let scale = |n: u64| n.saturating_mul(100) / most;
            Some(Measure {
                count,
                threshold,
                window_s: number(r.args.get("window_s")).unwrap_or(0),
                seen_width: scale(count).max(1),
                mark: scale(threshold),
            })
        })
        .collect()
}

fn dots(page: &Page, evidence: &Evidence) -> Vec<Dot> {
    let times: Vec<i64> = evidence.items.iter().filter_map(|e| event::Timestamp::parse_rfc3339(&e.time)).map(|t| t.ms()).collect();
    let (Some(first), Some(last)) = (times.iter().min().copied(), times.iter().max().copied()) else { return Vec::new() };
    let span = (last - first).max(1);
    evidence
        .items
        .iter()
        .filter_map(|e| {
            let ms = event::Timestamp::parse_rfc3339(&e.time)?.ms();
            Some(Dot { x: u64::try_from(8 + (ms - first).saturating_mul(984) / span).unwrap_or(8), label: page.times.fine(&e.time) })
        })
        .collect()
}

/// What an event says, in one line: its text, else its parties.
pub(super) fn gist(event: &EventRecord) -> String {
    let get = |name: &str| event.fields.iter().find(|f| f.name == name).map(|f| f.value.as_str());
    if !event.raw.is_empty() {
        return event.raw.clone();
    }
    if let Some(message) = get("message") {
        return message.to_owned();
    }
    let end = |ip: &str, port: &str| match (get(ip), get(port)) {
        (Some(ip), Some(port)) if ip.contains(':') => format!("[{ip}]:{port}"),
        (Some(ip), Some(port)) => format!("{ip}:{port}"),
        (Some(ip), None) => ip.to_owned(),
        _ => String::new(),
    };
    let (src, dst) = (end("src_endpoint.ip", "src_endpoint.port"), end("dst_endpoint.ip", "dst_endpoint.port"));
    let mut parts = Vec::new();
    if let Some(protocol) = get("connection_info.protocol_name") {
        parts.push(protocol.to_owned());
    }
    if !src.is_empty() || !dst.is_empty() {
        parts.push(format!("{src} → {dst}"));
    }
    for name in
        ["connection.state", "query.hostname", "http_request.url.url_string", "tls.sni", "file.path", "user.name", "process.cmd_line"]
    {
        if let Some(value) = get(name) {
            parts.push(value.to_owned());
        }
    }
    parts.join("  ")
}

fn view<'a>(shared: &Shared, page: &'a Page, caller: &Caller, id: &str, conflict: Option<String>) -> Result<AlertView<'a>, Fail> {
    let alert = find(shared, &caller.scope, id)?;
    let shown = Shared::show(&alert);
    let evidence = if caller.may(api::Permission::EventsRead) { Some(evidence(shared, &caller.scope, &alert)?) } else { None };
    let rule = if caller.may(api::Permission::RulesRead) {
        shared.backstage.rules().items.into_iter().find(|r| r.id == shown.rule_id)
    } else {
        None
    };
    let why = if caller.may(api::Permission::EventsRead) && caller.may(api::Permission::RulesRead) {
        Some(why(shared, &caller.scope, &alert)?)
    } else {
        None
    };
    Ok(AlertView {
        trace: why.as_ref().map(by_event).unwrap_or_default(),
        window: why.and_then(|w| w.window),
        measures: measures(&shown),
        dots: evidence.as_ref().map(|e| dots(page, e)).unwrap_or_default(),
        notes: notes(shared, &caller.scope, &alert)?,
        span_s: (alert.last_time - alert.first_time) / event::SECOND_NS,
        before: shared
            .desk
            .judged_before(&caller.scope, &alert, crate::serve::routes::bulk::BEFORE_MAX)?
            .iter()
            .map(Shared::show)
            .collect(),
        belongs: cases::belongs(shared, caller, page, &shown)?,
        alert: shown,
        evidence,
        rule,
        conflict,
        page,
    })
}

pub async fn one(State(shared): State<App>, caller: Caller, PathId(id): PathId, page: Page) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let view = view(s, &page, &caller, &id, None)?;
            Ok(page.answer_ref(StatusCode::OK, &view))
        })
        .await
}

#[derive(Debug, Deserialize)]
pub struct TriageForm {
    action: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    note: String,
    revision: u64,
}

/// The same judgement as the API's, from a form.
pub async fn triage(
    State(shared): State<App>,
    caller: Caller,
    PathId(id): PathId,
    page: Page,
    SafeForm(form): SafeForm<TriageForm>,
) -> Result<Response, Fail> {
    let action = TriageAction::from_name(&form.action).ok_or_else(|| Fail::code(api::Code::BadRequest))?;
    shared
        .work(move |s| {
            let wish = Triage { action, reason: Some(form.reason), note: Some(form.note) };
            match judge(s, &caller, &id, Seen::Revision(form.revision), &wish) {
                Ok(_) => Ok(Redirect::to(&format!("/alerts/{}", id.chars().filter(char::is_ascii_alphanumeric).collect::<String>()))
                    .into_response()),
                Err(fail) if fail.0.status == 409 || fail.0.status == 422 => {
                    let words = if page.is_zh() {
                        format!("{}：{}", fail.0.title_zh, fail.0.detail_zh)
                    } else {
                        format!("{}: {}", fail.0.title, fail.0.detail)
                    };
                    let view = view(s, &page, &caller, &id, Some(words))?;
                    Ok(page.answer_ref(StatusCode::from_u16(fail.0.status).unwrap_or(StatusCode::CONFLICT), &view))
                }
                Err(fail) => Err(fail),
            }
        })
        .await
}
