//! Alerts, their evidence and notes, and the engine's position.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use event::{Event, Timestamp, field};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Transaction, params_from_iter};
use warning::{Alert, AlertId, AlertState};

use super::sqlite::{Fault, from_json, to_json};
use super::{
    AlertCounts, AlertCursor, AlertPage, AlertQuery, AuditEntry, DeskError, EngineState, Note, Offset, ROWS_MAX, Scope, Step, Triage,
    audit, follow,
};
use crate::store::codec;

/// Bytes of one note.
const NOTE_BYTES_MAX: usize = 16 * 1024;

pub(super) fn save(tx: &Transaction, step: &Step) -> Result<Vec<Alert>, Fault> {
    let position: Option<i64> = tx.prepare_cached("SELECT position FROM engine")?.query_row([], |r| r.get(0)).optional()?;
    let now_at = i64::try_from(step.position.0).unwrap_or(i64::MAX);
    let mut stored = Vec::new();
    // Steps at the stored position are applied again, since a tick without events may change alerts too; the same content changes nothing.
    if position.is_none_or(|p| now_at >= p) {
        let events: HashMap<String, &Arc<Event>> = step.evidence.iter().map(|e| (e.id.to_string(), e)).collect();
        for alert in step.alerts {
            let alert = merge(tx, alert)?;
            put(tx, &alert)?;
            keep_evidence(tx, &alert, &events)?;
            stored.push(alert);
        }
        tx.prepare_cached("INSERT INTO engine(one, position) VALUES (1, ?1) ON CONFLICT(one) DO UPDATE SET position = ?1")?
            .execute([now_at])?;
    }
    if let Some(snapshot) = step.snapshot {
        tx.prepare_cached("UPDATE engine SET snapshot_position = ?1, snapshot = ?2")?.execute((now_at, snapshot))?;
    }
    Ok(stored)
}

/// The engine's alert with what people have said about it.
fn merge(tx: &Transaction, alert: &Alert) -> Result<Alert, Fault> {
    let mut alert = alert.clone();
    match load(tx, &alert.id)? {
        None => alert.revision = alert.revision.max(1),
        Some(old) => {
            alert.state = old.state;
            alert.owner.clone_from(&old.owner);
            alert.close_reason = old.close_reason;
            alert.revision = old.revision;
            if alert != old {
                alert.revision += 1;
            }
            again(tx, &mut alert, &old)?;
        }
    }
    Ok(alert)
}

/// An acknowledged alert that grows does not come back as new, unless it became graver or reached further units.
fn again(tx: &Transaction, alert: &mut Alert, old: &Alert) -> Result<(), Fault> {
    let graver = alert.severity_id > old.severity_id;
    let further = alert.units.iter().any(|u| !old.units.iter().any(|o| o.id == u.id));
    if old.state != AlertState::Acknowledged || !(graver || further) {
        return Ok(());
    }
    alert.state = AlertState::New;
    let what = if graver { "it became graver" } else { "it reached further units" };
    let detail = format!("acknowledged -> new {what}");
    write_audit(tx, alert, "alert.again", "desk", detail, Timestamp::from_ns(alert.updated_time))
}

fn load(c: &Connection, id: &AlertId) -> Result<Option<Alert>, Fault> {
    let body: Option<String> = c.prepare_cached("SELECT body FROM alert WHERE id = ?1")?.query_row([&id.0], |r| r.get(0)).optional()?;
    body.map(|b| from_json("alert", &id.0, &b)).transpose()
}

fn state_word(state: AlertState) -> &'static str {
    match state {
        AlertState::New => "new",
        AlertState::Acknowledged => "acknowledged",
        AlertState::Investigating => "investigating",
        AlertState::Escalated => "escalated",
        AlertState::Closed => "closed",
    }
}

fn put(tx: &Transaction, alert: &Alert) -> Result<(), Fault> {
    let mut words = format!("{}\n{}\n{}\n{}", alert.id.0, alert.rule_id, alert.title, alert.title_zh);
    for list in [&alert.source_ips, &alert.target_ips, &alert.users, &alert.hosts, &alert.techniques] {
        for word in list {
            words.push('\n');
            words.push_str(word);
        }
    }
    let number = follow::next_number(tx)?;
    tx.prepare_cached(
        "INSERT INTO alert(id, rule, severity, state, owner, first_time, last_time, revision, words, body, changed)
         VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)
         ON CONFLICT(id) DO UPDATE SET rule=?2, severity=?3, state=?4, owner=?5, first_time=?6, last_time=?7, revision=?8, words=?9, body=?10,
           changed = CASE WHEN revision = ?8 THEN changed ELSE ?11 END",
    )?
    .execute((
        &alert.id.0,
        &alert.rule_id,
        alert.severity_id,
        state_word(alert.state),
        &alert.owner,
        alert.first_time,
        alert.last_time,
        i64::try_from(alert.revision).unwrap_or(i64::MAX),
        words.to_ascii_lowercase(),
        to_json(alert)?,
        number,
    ))?;
    for unit in &alert.units {
        tx.prepare_cached("INSERT OR IGNORE INTO alert_unit(alert, unit) VALUES (?1, ?2)")?.execute((&alert.id.0, &unit.id))?;
    }
    for ip in alert.source_ips.iter().chain(&alert.target_ips) {
        tx.prepare_cached("INSERT OR IGNORE INTO alert_ip(alert, ip) VALUES (?1, ?2)")?.execute((&alert.id.0, ip))?;
    }
    Ok(())
}

/// Copies the events that the alert names; those it no longer names stay, up to the bound of the list twice over.
fn keep_evidence(tx: &Transaction, alert: &Alert, events: &HashMap<String, &Arc<Event>>) -> Result<(), Fault> {
    for id in &alert.evidence {
        let Some(event) = events.get(id) else { continue };
        let unit = event.get(field::UNIT_ID).and_then(|v| v.as_str());
        tx.prepare_cached("INSERT OR IGNORE INTO evidence(alert, event, time, unit, bytes) VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
            &alert.id.0,
            id,
            event.time.ns(),
            unit,
            codec::encode_event(event),
        ))?;
    }
    let kept: i64 = tx.prepare_cached("SELECT count(*) FROM evidence WHERE alert = ?1")?.query_row([&alert.id.0], |r| r.get(0))?;
    if kept > 2 * event::EVIDENCE_MAX as i64 {
        let named: BTreeSet<&String> = alert.evidence.iter().collect();
        let all: Vec<String> = tx
            .prepare_cached("SELECT event FROM evidence WHERE alert = ?1")?
            .query_map([&alert.id.0], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for id in all.iter().filter(|id| !named.contains(id)) {
            tx.prepare_cached("DELETE FROM evidence WHERE alert = ?1 AND event = ?2")?.execute((&alert.id.0, id))?;
        }
    }
    Ok(())
}

pub(super) fn engine(c: &Connection) -> Result<EngineState, Fault> {
    type Row = (i64, Option<i64>, Option<Vec<u8>>);
    let row: Option<Row> = c
        .query_row("SELECT position, snapshot_position, snapshot FROM engine", [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .optional()?;
    let at = |n: i64| Offset(u64::try_from(n).unwrap_or(0));
    Ok(row.map_or_else(EngineState::default, |(position, snapshot_at, snapshot)| EngineState {
        position: at(position),
        snapshot: snapshot_at.map(at).zip(snapshot),
    }))
}

pub(super) fn alert(c: &Connection, scope: &Scope, id: &AlertId) -> Result<Option<Alert>, Fault> {
    let Some(alert) = load(c, id)? else { return Ok(None) };
    view(c, scope, alert)
}

/// The alert as this scope may see it: none if no unit of it is allowed; of an alert over several units only what concerns the allowed ones,
/// as far as evidence attributes it. The attacking address, the counts and the rule's words are shared: that is what a warning is for.
pub(super) fn view(c: &Connection, scope: &Scope, mut alert: Alert) -> Result<Option<Alert>, Fault> {
    if scope.is_city() {
        return Ok(Some(alert));
    }
    if !alert.units.iter().any(|u| scope.allows(Some(&u.id))) {
        return Ok(None);
    }
    if alert.units.iter().all(|u| scope.allows(Some(&u.id))) {
        return Ok(Some(alert));
    }
    let hidden: Vec<_> = alert.units.iter().filter(|u| !scope.allows(Some(&u.id))).cloned().collect();
    alert.units.retain(|u| scope.allows(Some(&u.id)));
    let own = evidence_rows(c, scope, &alert.id)?;
    let ids: BTreeSet<String> = own.iter().map(|e| e.id.to_string()).collect();
    let words: BTreeSet<String> = own
        .iter()
        .flat_map(|e| {
            [field::DST_IP, field::DEVICE_HOSTNAME, field::USER_NAME, field::ACTOR_USER, field::DEVICE_IP, field::SRC_IP]
                .map(|f| e.text(f).into_owned())
        })
        .collect();
    alert.evidence.retain(|id| ids.contains(id));
    let secret: BTreeSet<String> = alert
        .target_ips
        .iter()
        .chain(&alert.users)
        .chain(&alert.hosts)
        .filter(|w| !words.contains(*w))
        .cloned()
        .chain(hidden.iter().flat_map(|u| [u.id.clone(), u.name.clone()]))
        .collect();
    for list in [&mut alert.target_ips, &mut alert.users, &mut alert.hosts] {
        list.retain(|w| words.contains(w));
    }
    alert.group_key.retain(|_, v| !secret.contains(v));
    for reason in &mut alert.reasons {
        reason.args.retain(|_, v| !names_one_of(v, &secret));
    }
    Ok(Some(alert))
}

fn names_one_of(value: &serde_json::Value, secret: &BTreeSet<String>) -> bool {
    match value {
        serde_json::Value::String(text) => text.split(", ").any(|w| secret.contains(w)),
        serde_json::Value::Array(list) => list.iter().any(|v| names_one_of(v, secret)),
        serde_json::Value::Object(map) => map.values().any(|v| names_one_of(v, secret)),
        _ => false,
    }
}

pub(super) fn alerts(c: &Connection, scope: &Scope, query: &AlertQuery) -> Result<AlertPage, Fault> {
    let mut sql = String::from("SELECT body FROM alert WHERE 1");
    let mut args: Vec<Sql> = Vec::new();
    let mut list = |sql: &mut String, head: &str, values: &mut dyn Iterator<Item = String>, tail: &str| {
        let values: Vec<String> = values.collect();
        sql.push_str(head);
        sql.push_str(&vec!["?"; values.len()].join(","));
        sql.push_str(tail);
        args.extend(values.into_iter().map(Sql::Text));
    };
    if let Some(units) = &scope.units {
        list(&mut sql, " AND id IN (SELECT alert FROM alert_unit WHERE unit IN (", &mut units.iter().cloned(), "))");
    }
    if let Some(unit) = &query.unit {
        // Asking for a unit outside the scope must not tell whether it is concerned.
        let unit = if scope.allows(Some(unit)) { unit.clone() } else { String::new() };
        list(&mut sql, " AND id IN (SELECT alert FROM alert_unit WHERE unit IN (", &mut std::iter::once(unit), "))");
    }
    if !query.states.is_empty() {
        list(&mut sql, " AND state IN (", &mut query.states.iter().map(|s| state_word(*s).to_owned()), ")");
    }
    if let Some(ip) = &query.ip {
        list(&mut sql, " AND id IN (SELECT alert FROM alert_ip WHERE ip IN (", &mut std::iter::once(ip.clone()), "))");
    }
    if let Some(text) = &query.text {
        list(&mut sql, " AND instr(words, ", &mut std::iter::once(text.to_ascii_lowercase()), ") > 0");
    }
    for (column, value) in [("rule", &query.rule), ("owner", &query.owner)] {
        if let Some(value) = value {
            list(&mut sql, &format!(" AND {column} IN ("), &mut std::iter::once(value.clone()), ")");
        }
    }
    let numbers = [("severity >= ", query.severity_min.map(i64::from)), ("last_time >= ", query.since), ("last_time < ", query.until)];
    for (test, value) in numbers {
        if let Some(value) = value {
            sql.push_str(&format!(" AND {test}?"));
            args.push(Sql::Integer(value));
        }
    }
    if let Some(after) = &query.after {
        sql.push_str(" AND (last_time, id) < (?, ?)");
        args.push(Sql::Integer(after.last_time));
        args.push(Sql::Text(after.id.0.clone()));
    }
    sql.push_str(" ORDER BY last_time DESC, id DESC");
    let limit = if query.limit == 0 { 100 } else { query.limit.min(ROWS_MAX) };
    let mut statement = c.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(args))?;
    let mut page = AlertPage::default();
    while let Some(row) = rows.next()? {
        let alert: Alert = from_json("alert", "", &row.get::<_, String>(0)?)?;
        let Some(alert) = view(c, scope, alert)? else { continue };
        if !visible_match(scope, query, &alert) {
            continue;
        }
        if page.alerts.len() == limit {
            page.next = page.alerts.last().map(|a| AlertCursor { last_time: a.last_time, id: a.id.clone() });
            break;
        }
        page.alerts.push(alert);
    }
    Ok(page)
}

/// What a scoped reader searches for must be in what they may see, or the answer would tell of the rest.
fn visible_match(scope: &Scope, query: &AlertQuery, alert: &Alert) -> bool {
    if scope.is_city() {
        return true;
    }
    let words = || alert.source_ips.iter().chain(&alert.target_ips);
    if let Some(ip) = &query.ip
        && !words().any(|w| w == ip)
    {
        return false;
    }
    let Some(text) = &query.text else { return true };
    let text = text.to_ascii_lowercase();
    let own = [&alert.id.0, &alert.rule_id, &alert.title, &alert.title_zh];
    own.into_iter()
        .chain(words())
        .chain(&alert.users)
        .chain(&alert.hosts)
        .chain(&alert.techniques)
        .any(|w| w.to_ascii_lowercase().contains(&text))
}

pub(super) fn counts(c: &Connection, scope: &Scope) -> Result<AlertCounts, Fault> {
    let mut sql = String::from("SELECT state, severity, count(*) FROM alert");
    let mut args: Vec<&String> = Vec::new();
    if let Some(units) = &scope.units {
        sql.push_str(&format!(" WHERE id IN (SELECT alert FROM alert_unit WHERE unit IN ({}))", vec!["?"; units.len()].join(",")));
        args.extend(units);
    }
    sql.push_str(" GROUP BY state, severity");
    let mut counts = AlertCounts { by_state: BTreeMap::new(), open_by_severity: BTreeMap::new() };
    let mut statement = c.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(args))?;
    while let Some(row) = rows.next()? {
        let (state, severity, count): (String, u8, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let count = u64::try_from(count).unwrap_or(0);
        if state != "closed" {
            *counts.open_by_severity.entry(severity).or_default() += count;
        }
        *counts.by_state.entry(state).or_default() += count;
    }
    Ok(counts)
}

fn evidence_rows(c: &Connection, scope: &Scope, id: &AlertId) -> Result<Vec<Arc<Event>>, Fault> {
    let mut statement = c.prepare_cached("SELECT event, unit, bytes FROM evidence WHERE alert = ?1 ORDER BY time, event")?;
    let mut rows = statement.query([&id.0])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, unit): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        if !scope.allows(unit.as_deref()) {
            continue;
        }
        let event = codec::decode_event(row.get_ref(2)?.as_blob().unwrap_or_default());
        out.push(Arc::new(event.map_err(|e| DeskError::Damaged { what: "event", name, reason: e.to_string() })?));
    }
    Ok(out)
}

pub(super) fn evidence(c: &Connection, scope: &Scope, id: &AlertId) -> Result<Vec<Arc<Event>>, Fault> {
    if alert(c, scope, id)?.is_none() {
        return Ok(Vec::new());
    }
    evidence_rows(c, scope, id)
}

pub(super) fn notes(c: &Connection, scope: &Scope, id: &AlertId) -> Result<Vec<Note>, Fault> {
    if alert(c, scope, id)?.is_none() {
        return Ok(Vec::new());
    }
    let mut statement = c.prepare_cached("SELECT time, who, text FROM note WHERE alert = ?1 ORDER BY number DESC LIMIT ?2")?;
    let mut notes: Vec<Note> = statement
        .query_map((&id.0, ROWS_MAX as i64), |r| Ok(Note { alert: id.clone(), time: r.get(0)?, who: r.get(1)?, text: r.get(2)? }))?
        .collect::<Result<_, _>>()?;
    notes.reverse();
    Ok(notes)
}

fn missing(id: &AlertId) -> Fault {
    DeskError::Missing { what: "alert", name: id.0.clone() }.into()
}

pub(super) fn triage(tx: &Transaction, scope: &Scope, triage: &Triage) -> Result<Alert, Fault> {
    let Some(old) = load(tx, &triage.alert)? else { return Err(missing(&triage.alert)) };
    let Some(seen) = view(tx, scope, old.clone())? else { return Err(missing(&triage.alert)) };
    if old.revision != triage.expected_revision {
        return Err(DeskError::Conflict(Box::new(seen)).into());
    }
    let closing = triage.state == AlertState::Closed;
    if closing != triage.reason.is_some() {
        let why = if closing { super::CLOSE_NEEDS_REASON } else { super::REASON_ONLY_CLOSING };
        return Err(DeskError::Refused(why.into()).into());
    }
    let mut alert = old.clone();
    alert.state = triage.state;
    alert.close_reason = triage.reason;
    if let Some(owner) = &triage.owner {
        alert.owner.clone_from(owner);
    }
    alert.revision += 1;
    alert.updated_time = alert.updated_time.max(triage.now.ns());
    put(tx, &alert)?;
    if let Some(text) = &triage.note {
        insert_note(tx, &alert, &triage.who, text, triage.now)?;
    }
    let reason = triage.reason.map(|r| to_json(&r)).transpose()?.unwrap_or_default();
    let detail = format!("{} -> {} {}", state_word(old.state), state_word(alert.state), reason.trim_matches('"'));
    write_audit(tx, &alert, "alert.triage", &triage.who, detail.trim_end().to_owned(), triage.now)?;
    view(tx, scope, alert)?.ok_or_else(|| missing(&triage.alert))
}

pub(super) fn add_note(tx: &Transaction, scope: &Scope, id: &AlertId, who: &str, text: &str, now: Timestamp) -> Result<Note, Fault> {
    let Some(alert) = alert(tx, scope, id)? else { return Err(missing(id)) };
    insert_note(tx, &alert, who, text, now)?;
    write_audit(tx, &alert, "alert.note", who, String::new(), now)?;
    Ok(Note { alert: id.clone(), time: now.ns(), who: who.to_owned(), text: text.to_owned() })
}

fn insert_note(tx: &Transaction, alert: &Alert, who: &str, text: &str, now: Timestamp) -> Result<(), Fault> {
    if text.is_empty() || text.len() > NOTE_BYTES_MAX {
        return Err(DeskError::Refused(format!("a note has 1 to {NOTE_BYTES_MAX} bytes")).into());
    }
    tx.prepare_cached("INSERT INTO note(alert, time, who, text) VALUES (?1, ?2, ?3, ?4)")?.execute((&alert.id.0, now.ns(), who, text))?;
    Ok(())
}

fn write_audit(tx: &Transaction, alert: &Alert, action: &str, who: &str, detail: String, now: Timestamp) -> Result<(), Fault> {
    let unit = alert.units.first().map(|u| u.id.clone());
    let entry = AuditEntry { time: now.ns(), who: who.to_owned(), action: action.to_owned(), subject: alert.id.0.clone(), unit, detail };
    audit::append(tx, &entry).map(|_| ())
}
