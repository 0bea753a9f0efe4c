//! Which alerts: the query language and the plain parameters, over alerts.
//!
//! One language for events and alerts: an alert is shown to the filter as an event with its words (`sector`, `unit`, `state`,
//! `owner`, `rule`, addresses, users, hosts, title). What the desk store can narrow by itself is pushed down; the rest is
//! tested here, page by page, over at most `SCAN_MAX` alerts a request.

use api::Code;
use event::{Event, Kind, LogSource, Severity, Timestamp, Value, field};
use warning::{Alert, AlertId, AlertState};

use super::i18n::{Lang, sector};
use super::reply::Fail;
use super::{Shared, alert_visible};
use crate::store::desk::{AlertCounts, AlertCursor, AlertQuery, ROWS_MAX};
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
            other => {
                let word: String = other.chars().filter(|c| !c.is_control()).take(40).collect();
                return Err(Fail::because(
                    Code::BadRequest,
                    format!("'{word}' is no state: one or more of new, acknowledged, investigating, escalated, closed, open, all"),
                    format!("“{word}”不是状态：应为 new、acknowledged、investigating、escalated、closed、open、all 中的一个或多个"),
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
        fail.0.detail_zh = format!("第 {} 列：{}{hint_zh}", error.column, error.message_zh);
        fail.0.column = Some(error.column);
        fail
    })
}

/// The alert as the filter sees it.
pub fn as_event(alert: &Alert) -> Event {
    let texts = |list: &[String]| Value::from(list.to_vec());
    let units = |f: fn(&warning::UnitRef) -> &String| Value::from(alert.units.iter().map(|u| f(u).clone()).collect::<Vec<_>>());
    // A sector is found by its id and by its name in either language.
    let mut sectors: Vec<String> = Vec::new();
    for id in alert.units.iter().map(|u| &u.sector) {
        for word in [id.clone(), sector(Lang::En, id), sector(Lang::Zh, id)] {
            if !sectors.contains(&word) {
                sectors.push(word);
            }
        }
    }
    let mut event = Event::new(Timestamp::from_ns(alert.last_time), Kind::DetectionFinding, 1, LogSource::new("vedette", "alert", "alert"))
        .with(field::FINDING_RULE, alert.rule_id.as_str())
        .with(field::FINDING_TITLE, format!("{} {}", alert.title, alert.title_zh))
        .with(field::MESSAGE, format!("{} {} {}", alert.title, alert.title_zh, alert.id.0))
        .with(field::UNIT_ID, units(|u| &u.id))
        .with(field::UNIT_NAME, units(|u| &u.name))
        .with(field::UNIT_SECTOR, sectors)
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

    /// True if the store can do all of it.
    fn is_pushed_down(&self) -> bool {
        self.sector.is_none() && self.query.as_ref().is_none_or(|q| q.filter == Filter::All)
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

/// True if the alert lies wholly inside the scope. The store shows a scoped caller the own part of an alert over several units; that such
/// an alert exists already tells of the others, so it is not shown here: it reaches a unit as a warning, by the rules of disclosure.
pub fn inside(shared: &Shared, scope: &Scope, alert: &Alert) -> Result<bool, Fail> {
    if scope.is_city() {
        return Ok(true);
    }
    Ok(shared.desk.alert(&Scope::CITY, &alert.id)?.is_some_and(|whole| alert_visible(scope, &whole)))
}

/// One page: what matches, and where the next page begins. For a scoped caller the answer depends on nothing outside the scope, so it
/// looks until the page is full or there is no more; for the city it looks at `SCAN_MAX` alerts and then gives what it has.
pub fn alerts(
    shared: &Shared,
    scope: &Scope,
    filter: &AlertFilter,
    limit: usize,
    after: Option<AlertCursor>,
) -> Result<(Vec<Alert>, Option<AlertCursor>), Fail> {
    let mut query = filter.pushed_down();
    query.after = after;
    let mut found: Vec<Alert> = Vec::new();
    let mut looked = 0;
    let exact = scope.is_city() && filter.is_pushed_down();
    query.limit = if exact { limit + 1 } else { ROWS_MAX };
    loop {
        let page = shared.desk.alerts(scope, &query)?;
        looked += page.alerts.len();
        for alert in page.alerts {
            if filter.matches(&alert) && inside(shared, scope, &alert)? {
                found.push(alert);
                if found.len() > limit {
                    // One more than asked for: there is a next page, and it begins after the last one given.
                    found.pop();
                    let next = found.last().map(|a| AlertCursor { last_time: a.last_time, id: a.id.clone() });
                    return Ok((found, next));
                }
            }
        }
        match page.next {
            None => return Ok((found, None)),
            Some(next) if looked >= SCAN_MAX && scope.is_city() => return Ok((found, Some(next))),
            Some(next) => query.after = Some(next),
        }
    }
}

/// Counts of what a scoped caller may see; the city's come from the store's index.
pub fn counts(shared: &Shared, scope: &Scope) -> Result<AlertCounts, Fail> {
    if scope.is_city() {
        return Ok(shared.desk.alert_counts(scope)?);
    }
    let mut counts = AlertCounts::default();
    let mut after = None;
    loop {
        let (alerts, next) = alerts(shared, scope, &AlertFilter::default(), ROWS_MAX, after)?;
        for alert in alerts {
            if alert.state != AlertState::Closed {
                *counts.open_by_severity.entry(alert.severity_id).or_default() += 1;
            }
            *counts.by_state.entry(Shared::show(&alert).state).or_default() += 1;
        }
        match next {
            None => return Ok(counts),
            next => after = next,
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
