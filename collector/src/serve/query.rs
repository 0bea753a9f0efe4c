//! Which alerts: the query language and the plain parameters, over alerts.
//!
//! One language for events and alerts: an alert is shown to the filter as an event with its words (`sector`, `unit`, `state`,
//! `owner`, `rule`, addresses, users, hosts, title). What the desk store can narrow by itself is pushed down; the rest is
//! tested here, page by page, over at most `SCAN_MAX` alerts a request.

use api::Code;
use event::{Event, Kind, LogSource, Severity, Timestamp, Value, field};
use warning::{Alert, AlertId, AlertState};

use super::reply::Fail;
use super::{Shared, alert_visible};
use crate::store::desk::{AlertCursor, AlertQuery};
use crate::store::{Filter, Query, Scope, parse_query};

/// Alerts one request looks at.
pub const SCAN_MAX: usize = 20_000;

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    pub states: Vec<AlertState>,
    pub severity_min: Option<u8>,
    pub sector: Option<String>,
    pub unit: Option<String>,
    pub query: Option<Query>,
}

/// States by name; `open` is all but closed.
pub fn states(text: &str) -> Result<Vec<AlertState>, Fail> {
    use AlertState as S;
    let mut out = Vec::new();
    for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        match word {
            "open" => out.extend([S::New, S::Acknowledged, S::Investigating, S::Escalated]),
            "all" => out.extend([S::New, S::Acknowledged, S::Investigating, S::Escalated, S::Closed]),
            "new" => out.push(S::New),
            "acknowledged" => out.push(S::Acknowledged),
            "investigating" => out.push(S::Investigating),
            "escalated" => out.push(S::Escalated),
            "closed" => out.push(S::Closed),
            _ => {
                return Err(Fail::because(
                    Code::BadRequest,
                    "state is one or more of new, acknowledged, investigating, escalated, closed, open",
                    "状态应为 new、acknowledged、investigating、escalated、closed、open 中的一个或多个",
                ));
            }
        }
    }
    Ok(out)
}

/// Reads `q=`; the error points at a column.
pub fn parse(text: &str, now: Timestamp) -> Result<Option<Query>, Fail> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    parse_query(text, now).map(Some).map_err(|error| {
        let mut fail = Fail::code(Code::BadQuery);
        let hint = error.suggestion.as_ref().map_or_else(String::new, |s| format!(" (did you mean {s}?)"));
        let hint_zh = error.suggestion.as_ref().map_or_else(String::new, |s| format!("（是否为 {s}？）"));
        fail.0.detail = format!("column {}: {}{hint}", error.column, error.message);
        fail.0.detail_zh = format!("第 {} 列：{}{hint_zh}", error.column, error.message);
        fail.0.column = Some(error.column);
        fail
    })
}

/// The alert as the filter sees it.
pub fn as_event(alert: &Alert) -> Event {
    let texts = |list: &[String]| Value::from(list.to_vec());
    let units = |f: fn(&warning::UnitRef) -> &String| Value::from(alert.units.iter().map(|u| f(u).clone()).collect::<Vec<_>>());
    let mut event = Event::new(Timestamp::from_ns(alert.last_time), Kind::DetectionFinding, 1, LogSource::new("vedette", "alert", "alert"))
        .with(field::FINDING_RULE, alert.rule_id.as_str())
        .with(field::FINDING_TITLE, format!("{} {}", alert.title, alert.title_zh))
        .with(field::MESSAGE, format!("{} {} {}", alert.title, alert.title_zh, alert.id.0))
        .with(field::UNIT_ID, units(|u| &u.id))
        .with(field::UNIT_NAME, units(|u| &u.name))
        .with(field::UNIT_SECTOR, units(|u| &u.sector))
        .with(field::SRC_IP, texts(&alert.source_ips))
        .with(field::DST_IP, texts(&alert.target_ips))
        .with(field::USER_NAME, texts(&alert.users))
        .with(field::DEVICE_HOSTNAME, texts(&alert.hosts));
    event.severity = Severity::from_u8(alert.severity_id).unwrap_or_default();
    let shown = Shared::show(alert);
    for (name, value) in [("state", shown.state), ("owner", shown.owner.unwrap_or_default()), ("rule", alert.rule_id.clone())] {
        if !value.is_empty() {
            event.body.set(name, value);
        }
    }
    event.body.set("technique", texts(&alert.techniques));
    event.body.set("tactic", texts(&alert.tactics));
    event
}

impl AlertFilter {
    pub fn matches(&self, alert: &Alert) -> bool {
        (self.states.is_empty() || self.states.contains(&alert.state))
            && self.severity_min.is_none_or(|min| alert.severity_id >= min)
            && self.sector.as_ref().is_none_or(|s| alert.units.iter().any(|u| u.sector == *s))
            && self.unit.as_ref().is_none_or(|id| alert.units.iter().any(|u| u.id == *id))
            && self.query.as_ref().is_none_or(|q| q.matches(&as_event(alert)))
    }

    fn pushed_down(&self) -> AlertQuery {
        let time = |t: Timestamp, none: Timestamp| (t != none).then_some(t.ns());
        AlertQuery {
            states: self.states.clone(),
            severity_min: self.severity_min,
            unit: self.unit.clone(),
            since: self.query.as_ref().and_then(|q| time(q.from, Timestamp::MIN)),
            until: self.query.as_ref().and_then(|q| time(q.to, Timestamp::MAX)),
            ..AlertQuery::default()
        }
    }
}

/// One page: what matches, and where the next page begins.
pub fn alerts(
    shared: &Shared,
    scope: &Scope,
    filter: &AlertFilter,
    limit: usize,
    after: Option<AlertCursor>,
) -> Result<(Vec<Alert>, Option<AlertCursor>), Fail> {
    let plain = filter.sector.is_none() && filter.query.as_ref().is_none_or(|q| q.filter == Filter::All);
    let mut query = filter.pushed_down();
    query.after = after;
    let mut found = Vec::new();
    let mut looked = 0;
    loop {
        query.limit = if plain { limit - found.len() } else { crate::store::desk::ROWS_MAX };
        let page = shared.desk.alerts(scope, &query)?;
        let rows = page.alerts.len();
        looked += rows;
        for alert in page.alerts {
            let cursor = AlertCursor { last_time: alert.last_time, id: alert.id.clone() };
            if alert_visible(scope, &alert) && filter.matches(&alert) {
                found.push(alert);
                if found.len() == limit {
                    // Full: the next page begins after this one, if there is anything after it at all.
                    let more = page.next.is_some() || found.len() < rows || !plain;
                    return Ok((found, more.then_some(cursor)));
                }
            }
            query.after = Some(cursor);
        }
        match page.next {
            None => return Ok((found, None)),
            Some(next) if looked >= SCAN_MAX => return Ok((found, Some(next))),
            Some(next) => query.after = Some(next),
        }
    }
}

/// A cursor as text and back: `<last_time>.<alert id>`.
pub fn cursor_text(cursor: &AlertCursor) -> String {
    format!("{}.{}", cursor.last_time, cursor.id.0)
}

pub fn read_cursor(text: &str) -> Result<AlertCursor, Fail> {
    let bad = || Fail::code(Code::BadCursor);
    let (time, id) = text.split_once('.').ok_or_else(bad)?;
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return Err(bad());
    }
    Ok(AlertCursor { last_time: time.parse().map_err(|_| bad())?, id: AlertId(id.to_owned()) })
}
