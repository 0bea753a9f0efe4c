//! Judging many alerts at once: by a query, previewed, undone with a token; and how alerts like this one were judged before.
//!
//! * A query is the list's own. A preview says how many match, how many would change, and shows the first ten; nothing is done.
//! * What is done is done alert by alert as by hand: revision checked, audited, told. One that somebody changed meanwhile is skipped and named.
//! * The token undoes it within the hour, once, by the same person: each alert goes back to what it was unless it changed since.
//! * At most `BULK_MAX` alerts; a query that matches more is refused, so that nobody closes what they never saw.

use api::{AlertPage, BulkOutcome, BulkSkip, BulkTriage, BulkUndo, Code, TriageAction};
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use warning::{Alert, AlertId, AlertState, CloseReason, Judgement};

use super::alerts::{ListParams, Seen, find, judge};
use super::{App, Json, PathId};
use crate::outbox::alert_item;
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::query;
use crate::serve::reply::{self, Fail};
use crate::store::desk::{DeskError, Triage};

pub const BULK_MAX: usize = 1_000;
const SAMPLE: usize = 10;
const UNDO_S: i64 = 3_600;
/// Earlier judgements shown.
pub const BEFORE_MAX: usize = 10;

/// What an alert was, and the revision that changed it.
#[derive(Debug, Serialize, Deserialize)]
struct Was {
    id: String,
    after: u64,
    state: AlertState,
    owner: Option<String>,
    reason: Option<CloseReason>,
}

pub async fn triage(State(shared): State<App>, caller: Caller, Json(wish): Json<BulkTriage>) -> Result<Response, Fail> {
    let outcome = shared.work(move |s| judge_all(s, &caller, &wish)).await?;
    Ok(reply::json(&outcome))
}

pub fn judge_all(shared: &Shared, caller: &Caller, wish: &BulkTriage) -> Result<BulkOutcome, Fail> {
    let params = ListParams {
        q: Some(wish.q.clone()),
        state: Some(wish.state.clone().unwrap_or_else(|| "open".to_owned())),
        severity: wish.severity.clone(),
        unit: wish.unit.clone(),
        sector: wish.sector.clone(),
        ..ListParams::default()
    };
    let (alerts, more) = query::alerts(shared, &caller.scope, &params.filter(shared)?, BULK_MAX, None)?;
    if more.is_some() {
        return Err(Fail::because(
            Code::Unprocessable,
            format!("more than {BULK_MAX} alerts match; narrow the query (since:, rule:, unit:)"),
            format!("匹配的告警超过 {BULK_MAX} 条，请缩小查询范围（since:、rule:、unit:）"),
        ));
    }
    let matched = alerts.len() as u64;
    let sample = alerts.iter().take(SAMPLE).map(Shared::show).collect();
    let one = api::Triage { action: wish.action, reason: wish.reason.clone(), note: wish.note.clone() };
    if wish.dry_run {
        // The same checks as when it is done, once.
        check(wish)?;
        let target = state_after(wish.action);
        let changed = alerts.iter().filter(|a| wish.action == TriageAction::Note || target != Some(a.state)).count() as u64;
        return Ok(BulkOutcome { dry_run: true, matched, changed, skipped: Vec::new(), sample, undo: None });
    }
    check(wish)?;
    let mut skipped = Vec::new();
    let mut was: Vec<Was> = Vec::new();
    let mut changed = 0;
    for alert in &alerts {
        match judge(shared, caller, &alert.id.0, Seen::Revision(alert.revision), &one) {
            Ok((false, _)) => {}
            Ok((true, now)) => {
                changed += 1;
                if wish.action != TriageAction::Note {
                    was.push(Was {
                        id: alert.id.0.clone(),
                        after: now.revision,
                        state: alert.state,
                        owner: alert.owner.clone(),
                        reason: alert.close_reason,
                    });
                }
            }
            Err(fail) => skipped.push(skip(&alert.id, &fail)),
        }
    }
    let undo = if was.is_empty() { None } else { Some(keep(shared, caller, &was)?) };
    Ok(BulkOutcome { dry_run: false, matched, changed, skipped, sample, undo })
}

/// What holds for all of them.
fn check(wish: &BulkTriage) -> Result<(), Fail> {
    let reason = wish.reason.as_deref().filter(|r| !r.is_empty());
    match (wish.action, reason) {
        (TriageAction::Close, None) => {
            Err(Fail::because(Code::Unprocessable, "say why they are closed (reason)", "请给出关闭原因（reason）"))
        }
        (TriageAction::Close, Some(word)) if super::alerts::close_reason(word).is_none() => Err(Fail::because(
            Code::Unprocessable,
            "reason is confirmed, authorised_activity, false_positive, duplicate or expected_maintenance",
            "关闭原因应为 confirmed、authorised_activity、false_positive、duplicate 或 expected_maintenance",
        )),
        (TriageAction::Note, _) if wish.note.as_deref().is_none_or(|n| n.trim().is_empty()) => {
            Err(Fail::because(Code::Unprocessable, "a note without text", "备注内容为空"))
        }
        _ => Ok(()),
    }
}

const fn state_after(action: TriageAction) -> Option<AlertState> {
    match action {
        TriageAction::Acknowledge => Some(AlertState::Acknowledged),
        TriageAction::Investigate => Some(AlertState::Investigating),
        TriageAction::Escalate => Some(AlertState::Escalated),
        TriageAction::Close => Some(AlertState::Closed),
        TriageAction::Reopen => Some(AlertState::New),
        TriageAction::Note => None,
    }
}

fn skip(id: &AlertId, fail: &Fail) -> BulkSkip {
    BulkSkip { id: id.0.clone(), code: fail.0.code.clone(), why: fail.0.detail.clone(), why_zh: fail.0.detail_zh.clone() }
}

fn keep(shared: &Shared, caller: &Caller, was: &[Was]) -> Result<String, Fail> {
    let body = serde_json::to_string(was).map_err(|_| Fail::code(Code::Internal))?;
    let now = shared.now();
    let token = blake3::hash(format!("{} {} {body}", caller.name, now.ns()).as_bytes()).to_hex()[..24].to_owned();
    shared.desk.put_undo(&token, &caller.name, now, now.plus_secs(-UNDO_S), &body)?;
    Ok(token)
}

pub async fn undo(State(shared): State<App>, caller: Caller, Json(wish): Json<BulkUndo>) -> Result<Response, Fail> {
    let outcome = shared.work(move |s| take_back(s, &caller, &wish.undo)).await?;
    Ok(reply::json(&outcome))
}

pub fn take_back(shared: &Shared, caller: &Caller, token: &str) -> Result<BulkOutcome, Fail> {
    let now = shared.now();
    let body = match shared.desk.take_undo(token, &caller.name, now.plus_secs(-UNDO_S)) {
        Ok(body) => body,
        Err(DeskError::Missing { .. }) => {
            return Err(Fail::because(
                Code::NotFound,
                "nothing to undo under this token: it was used, is older than an hour, or is somebody else's",
                "该令牌无可撤销的操作：已使用、超过一小时或属于他人",
            ));
        }
        Err(other) => return Err(other.into()),
    };
    let was: Vec<Was> = serde_json::from_str(&body).map_err(|_| Fail::code(Code::Internal))?;
    let mut outcome =
        BulkOutcome { dry_run: false, matched: was.len() as u64, changed: 0, skipped: Vec::new(), sample: Vec::new(), undo: None };
    for one in was {
        let id = AlertId(one.id.clone());
        let triage = Triage {
            alert: id.clone(),
            expected_revision: one.after,
            state: one.state,
            reason: one.reason,
            owner: Some(one.owner),
            note: None,
            who: caller.name.clone(),
            now,
        };
        let done = find(shared, &caller.scope, &one.id).and_then(|_| Ok(shared.desk.triage(&caller.scope, &triage)?));
        match done {
            Ok(alert) => {
                tell(shared, &alert);
                outcome.changed += 1;
                if outcome.sample.len() < SAMPLE {
                    outcome.sample.push(Shared::show(&alert));
                }
            }
            Err(fail) => outcome.skipped.push(skip(&id, &fail)),
        }
    }
    Ok(outcome)
}

/// The engine's desk and the feed hear of it.
fn tell(shared: &Shared, alert: &Alert) {
    shared.backstage.judged(Judgement {
        alert: alert.id.clone(),
        state: alert.state,
        owner: alert.owner.clone(),
        close_reason: alert.close_reason,
        revision: alert.revision,
        time: shared.now(),
    });
    shared.feed.publish(alert_item(alert));
}

/// Closed alerts of the same rule about the same values, newest first.
pub async fn before(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    let page = shared
        .work(move |s| {
            let alert = find(s, &caller.scope, &id)?;
            let alerts = s.desk.judged_before(&caller.scope, &alert, BEFORE_MAX)?;
            let feed = s.feed.position(&caller.scope).map_err(|_| Fail::code(Code::Unavailable))?;
            Ok(AlertPage { items: alerts.iter().map(Shared::show).collect(), next: None, feed: feed.to_string(), now: s.now().to_string() })
        })
        .await?;
    Ok(reply::json(&page))
}
