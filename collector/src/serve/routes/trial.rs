//! Changed rules on stored history: the answer is a stream of JSON lines, because a month of events takes longer than a request may.

use std::sync::Arc;

use api::{Code, EventRecord, TrialAlert, TrialProgress, TrialResult, TrialRule, TrialStep};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use event::{EventId, Timestamp};
use futures_util::stream;
use tokio::sync::mpsc::{Sender, channel};
use warning::{Alert, AlertState, CloseReason};

use super::{App, Json};
use crate::rules::trial::{self, Refusal, Trial};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{Fail, typed};
use crate::store::Scope;

/// Alerts of each kind that are shown, events of each, and the farthest back one may go.
const SHOWN_MAX: usize = 50;
const EVENTS_SHOWN: usize = 3;
const SINCE_S_MAX: u64 = 366 * 86_400;

pub async fn run(State(shared): State<App>, caller: Caller, Json(wish): Json<api::Trial>) -> Result<Response, Fail> {
    if !caller.may(api::Permission::EventsRead) {
        return Err(Fail::code(Code::Denied));
    }
    if wish.since_s == 0 || wish.since_s > SINCE_S_MAX {
        return Err(Fail::because(Code::BadRequest, "since_s is 1 to 31622400 (366 days)", "since_s 应为 1 至 31622400（366 天）"));
    }
    let sources: Vec<rule::Source> = wish.sources.into_iter().map(|s| rule::Source { path: s.path, text: s.text }).collect();
    let made = shared.clone().work(move |s| s.backstage.trial(&sources).map_err(refused)).await?;
    let to = shared.now();
    let from = to.plus_secs(-i64::try_from(wish.since_s).unwrap_or(i64::MAX));
    shared.audit(
        &caller.name,
        "rules.try",
        &made.rules.iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>().join(" "),
        None,
        &format!("{from} to {to}"),
    );
    let (lines, taken) = channel::<Bytes>(4);
    tokio::task::spawn_blocking(move || walk(&shared, &caller.scope, *made, from, to, &lines));
    let body = Body::from_stream(stream::unfold(taken, |mut taken| async move {
        taken.recv().await.map(|line| (Ok::<_, std::convert::Infallible>(line), taken))
    }));
    let mut response = typed("application/x-ndjson", body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn refused(refusal: Refusal) -> Fail {
    match refusal {
        Refusal::Busy => {
            Fail::because(Code::Unavailable, "another trial is running; try again when it is done", "已有一个试运行正在进行，请稍后再试")
        }
        Refusal::Empty => Fail::because(Code::Unprocessable, "no rule was sent", "未提交任何规则"),
        Refusal::Faults(faults) => {
            let text = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            Fail::because(Code::Unprocessable, text.clone(), text)
        }
    }
}

fn say(lines: &Sender<Bytes>, step: &TrialStep) -> bool {
    let mut line = serde_json::to_vec(step).unwrap_or_default();
    line.push(b'\n');
    lines.blocking_send(line.into()).is_ok()
}

fn walk(shared: &Arc<Shared>, scope: &Scope, mut made: Trial, from: Timestamp, to: Timestamp, lines: &Sender<Bytes>) {
    let blank = TrialStep { progress: None, result: None, failed: None };
    let of_s = u64::try_from(to.since(from) / event::SECOND_NS).unwrap_or(0);
    let walked = trial::history(&*shared.events, scope, from, to, |events, at| {
        made.step(events);
        let done_s = u64::try_from(at.since(from) / event::SECOND_NS).unwrap_or(0);
        // A reader that went away ends the walk.
        say(lines, &TrialStep { progress: Some(TrialProgress { events: made.events, done_s, of_s }), ..blank.clone() })
    });
    let left_out = match walked {
        Ok(left_out) => left_out,
        Err(error) => {
            tracing::error!(%error, "trial of rules stopped");
            say(lines, &TrialStep { failed: Some("the event store could not be read".to_owned()), ..blank });
            return;
        }
    };
    let (rules, events) = (made.rules.clone(), made.events);
    let difference = made.finish();
    let count = |list: &[Alert], id: &str| list.iter().filter(|a| a.rule_id == id).count() as u64;
    let judged: Vec<Option<CloseReason>> = difference.lost.iter().map(|a| judgement(shared, scope, a)).collect();
    let of_reason = |reason| judged.iter().filter(|j| **j == Some(reason)).count() as u64;
    let show = |list: &[Alert]| list.iter().take(SHOWN_MAX).map(|a| shown(shared, scope, a)).collect::<Vec<_>>();
    let result = TrialResult {
        rules: rules
            .into_iter()
            .map(|(id, title, role)| TrialRule {
                alerts_before: count(&difference.before, &id),
                alerts_after: count(&difference.after, &id),
                role: role.to_owned(),
                id,
                title,
            })
            .collect(),
        from: from.to_string(),
        to: to.to_string(),
        events,
        left_out,
        alerts_before: difference.before.len() as u64,
        alerts_after: difference.after.len() as u64,
        kept: difference.kept as u64,
        gained: difference.gained.len() as u64,
        lost: difference.lost.len() as u64,
        lost_confirmed: of_reason(CloseReason::Confirmed),
        lost_false: of_reason(CloseReason::FalsePositive),
        gained_alerts: show(&difference.gained),
        lost_alerts: show(&difference.lost),
    };
    say(lines, &TrialStep { result: Some(result), ..blank });
}

/// How the same alert was closed in earnest.
fn judgement(shared: &Shared, scope: &Scope, alert: &Alert) -> Option<CloseReason> {
    let real = shared.desk.alert(scope, &alert.id).ok().flatten()?;
    if real.state == AlertState::Closed { real.close_reason } else { None }
}

fn shown(shared: &Shared, scope: &Scope, alert: &Alert) -> TrialAlert {
    let ids: Vec<EventId> = alert.evidence.iter().filter_map(|id| id.parse().ok()).take(EVENTS_SHOWN).collect();
    let mut events = shared.events.find(scope, &ids).unwrap_or_default();
    events.sort_by_key(|e| (e.time, e.id));
    let events = events.iter().map(|e| EventRecord::from(&**e)).collect();
    let judged = judgement(shared, scope, alert).and_then(|r| serde_json::to_value(r).ok()?.as_str().map(str::to_owned));
    TrialAlert { alert: Shared::show(alert), judged, events }
}
