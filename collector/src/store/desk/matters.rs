//! Matters on disk: the state of each, the acts that made it, who may see it, and the messages they caused; all of one act in one transaction.
//!
//! What a scoped reader sees of a list, a page or a cursor depends on matters whose units all lie in the scope, and on nothing else.

use std::cell::RefCell;

use event::Timestamp;
use matter::disclose::Own;
use matter::{Card, Entry, Message, Refusal, Shelf, Stored};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Transaction, params_from_iter};
use serde_json::Value;
use warning::Alert;
use warning::grade::Level;

use super::sqlite::{Fault, SqliteDesk, from_json, to_json};
use super::{AlertQuery, AuditEntry, DeskError, ROWS_MAX, Scope, alerts, audit};

pub(super) const SCHEMA: &str = r"
CREATE TABLE matter (
  kind TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, state TEXT NOT NULL, closed INTEGER NOT NULL, level INTEGER NOT NULL,
  exercise INTEGER NOT NULL, due INTEGER, opened INTEGER NOT NULL, updated INTEGER NOT NULL, words TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX matter_due ON matter(due) WHERE due IS NOT NULL;
CREATE INDEX matter_time ON matter(kind, updated DESC, id DESC);
CREATE TABLE matter_unit (kind TEXT NOT NULL, id TEXT NOT NULL, unit TEXT NOT NULL, PRIMARY KEY (unit, kind, id)) WITHOUT ROWID;
CREATE INDEX matter_unit_matter ON matter_unit(kind, id);
CREATE TABLE matter_link (kind TEXT NOT NULL, id TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY (kind, target, id)) WITHOUT ROWID;
CREATE INDEX matter_link_matter ON matter_link(kind, id);
CREATE TABLE matter_act (
  kind TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, time INTEGER NOT NULL, who TEXT NOT NULL, act TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (kind, id, revision)
) WITHOUT ROWID;
CREATE TABLE message (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, time INTEGER NOT NULL, body TEXT NOT NULL);
";

/// Kinds whose own doings (not people's) leave no audit row each: there may be thousands a minute, and all that follows from them does.
const QUIET: &[&str] = &["campaign"];
/// Hosts of one alert that are held against a warning's indicators.
const HOSTS_MAX: usize = 16;
/// Characters of an act's fields that the audit trail repeats; the whole is in the matter's history.
const AUDIT_DETAIL_MAX: usize = 2_000;

/// A matter as it lies there.
#[derive(Debug, Clone, PartialEq)]
pub struct MatterRow {
    pub kind: String,
    pub id: String,
    pub revision: u64,
    pub opened: Timestamp,
    pub updated: Timestamp,
    pub body: Value,
}

/// Which matters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MatterQuery {
    pub kind: String,
    /// Fixed words; empty: any.
    pub states: Vec<String>,
    /// Only those something may still happen to.
    pub open: bool,
    pub level_min: Option<Level>,
    /// Drills' matters in place of the real ones; never both.
    pub exercise: bool,
    pub unit: Option<String>,
    /// Something it names in a link.
    pub link: Option<String>,
    /// Part of id or title, ASCII case aside.
    pub text: Option<String>,
    pub limit: usize,
    /// `MatterPage::next` of the page before.
    pub after: Option<(i64, String)>,
}

/// Newest change first, then by id falling.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MatterPage {
    pub matters: Vec<MatterRow>,
    pub next: Option<(i64, String)>,
}

impl SqliteDesk {
    /// One transaction over matters: what `f` put is kept if it returns `Ok`, else nothing of it.
    pub(super) fn transact(&self, f: &mut dyn FnMut(&dyn Shelf) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let refusal = RefCell::new(None);
        let done = self.write(|tx| {
            f(&Drawer { tx }).map_err(|why| {
                *refusal.borrow_mut() = Some(why);
                Fault::Desk(Box::new(DeskError::Refused(String::new())))
            })
        });
        match (done, refusal.into_inner()) {
            (_, Some(why)) => Err(why),
            (Err(error), None) => Err(Refusal::Storage(error.to_string())),
            (Ok(()), None) => Ok(()),
        }
    }
}

/// The shelf within a transaction.
pub(super) struct Drawer<'a, 'c> {
    pub(super) tx: &'a Transaction<'c>,
}

fn sql(e: rusqlite::Error) -> Refusal {
    Refusal::Storage(e.to_string())
}

fn fault(fault: Fault) -> Refusal {
    match fault {
        Fault::Sql(e) => sql(e),
        Fault::Desk(e) => Refusal::Storage(e.to_string()),
    }
}

impl Shelf for Drawer<'_, '_> {
    fn get(&self, kind: &str, id: &str) -> Result<Option<Stored>, Refusal> {
        let row: Option<(i64, String)> = self
            .tx
            .prepare_cached("SELECT revision, body FROM matter WHERE kind = ?1 AND id = ?2")
            .map_err(sql)?
            .query_row((kind, id), |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()
            .map_err(sql)?;
        let Some((revision, body)) = row else { return Ok(None) };
        let body = from_json("matter", id, &body).map_err(fault)?;
        Ok(Some(Stored { revision: revision.cast_unsigned(), body }))
    }

    fn linked(&self, kind: &str, target: &str) -> Result<Vec<String>, Refusal> {
        let find = || -> Result<Vec<String>, rusqlite::Error> {
            let both = "SELECT id FROM matter_link WHERE kind = ?1 AND target = ?2 UNION SELECT id FROM matter_unit WHERE kind = ?1 AND unit = ?2 ORDER BY id";
            self.tx.prepare_cached(both)?.query_map((kind, target), |r| r.get(0))?.collect()
        };
        find().map_err(sql)
    }

    fn put(&self, card: &Card, body: &Value, entry: &Entry) -> Result<(), Refusal> {
        put(self.tx, card, body, entry).map_err(fault)
    }

    fn tell(&self, message: &Message) -> Result<bool, Refusal> {
        let put = || -> Result<bool, Fault> {
            let mut insert = self.tx.prepare_cached("INSERT OR IGNORE INTO message(key, time, body) VALUES (?1, ?2, ?3)")?;
            Ok(insert.execute((&message.key, message.time.ns(), to_json(message)?))? > 0)
        };
        put().map_err(fault)
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<(String, String)>, Refusal> {
        due(self.tx, now, limit).map_err(fault)
    }

    /// What the unit's own people would see, and nothing else: the same query, the same scope.
    fn own(&self, unit: &str, limit: usize) -> Result<Vec<Own>, Refusal> {
        let query = AlertQuery { limit, ..AlertQuery::default() };
        let page = alerts::alerts(self.tx, &Scope::units([unit]), &query).map_err(fault)?;
        Ok(page.alerts.iter().flat_map(owned).collect())
    }
}

/// An alert as something of the unit's own, once for each host it names.
fn owned(alert: &Alert) -> Vec<Own> {
    let values: Vec<String> = alert.source_ips.iter().chain(&alert.target_ips).chain(alert.group_key.values()).cloned().collect();
    let own = |host: &String| Own {
        host: host.clone(),
        alert: alert.id.0.clone(),
        values: values.clone(),
        time: Some(Timestamp::from_ns(alert.last_time)),
    };
    match alert.hosts.as_slice() {
        // Seen on the wire only: the address is all there is to call it by.
        [] => alert.target_ips.iter().chain(&alert.source_ips).take(1).map(own).collect(),
        hosts => hosts.iter().take(HOSTS_MAX).map(own).collect(),
    }
}

fn put(tx: &Transaction, card: &Card, body: &Value, entry: &Entry) -> Result<(), Fault> {
    let (kind, id) = (&entry.kind, &entry.id);
    let words = format!("{id}\n{}\n{}", card.title.zh, card.title.en).to_ascii_lowercase();
    let number = i64::try_from(entry.revision).unwrap_or(i64::MAX);
    tx.prepare_cached(
        "INSERT INTO matter(kind, id, revision, state, closed, level, exercise, due, opened, updated, words, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11)
         ON CONFLICT(kind, id) DO UPDATE SET revision=?3, state=?4, closed=?5, level=?6, exercise=?7, due=?8, updated=?9, words=?10, body=?11",
    )?
    .execute(rusqlite::params![
        kind,
        id,
        number,
        card.state,
        card.closed,
        level_number(card.level),
        card.exercise,
        card.due.map(Timestamp::ns),
        entry.time.ns(),
        words,
        to_json(body)?,
    ])?;
    for (table, column, values) in [("matter_unit", "unit", &card.units), ("matter_link", "target", &card.links)] {
        tx.prepare_cached(&format!("DELETE FROM {table} WHERE kind = ?1 AND id = ?2"))?.execute((kind, id))?;
        for value in values {
            tx.prepare_cached(&format!("INSERT OR IGNORE INTO {table}(kind, id, {column}) VALUES (?1, ?2, ?3)"))?
                .execute((kind, id, value))?;
        }
    }
    tx.prepare_cached("INSERT INTO matter_act(kind, id, revision, time, who, act, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute((kind, id, number, entry.time.ns(), &entry.who, &entry.act, to_json(&entry.body)?))?;
    if entry.who == "desk" && QUIET.contains(&kind.as_str()) {
        return Ok(());
    }
    let unit = if let [one] = card.units.as_slice() { Some(one.clone()) } else { None };
    let detail: String = to_json(&entry.body)?.chars().take(AUDIT_DETAIL_MAX).collect();
    let row = AuditEntry {
        time: entry.time.ns(),
        who: entry.who.clone(),
        action: format!("{kind}.{}", entry.act),
        subject: id.clone(),
        unit,
        detail,
    };
    audit::append(tx, &row).map(|_| ())
}

/// 0: none.
/// How a level is kept and counted: 0 is none, then from blue upward.
pub fn level_number(level: Option<Level>) -> u8 {
    level.map_or(0, |l| l as u8 + 1)
}

pub(super) fn due(c: &Connection, now: Timestamp, limit: usize) -> Result<Vec<(String, String)>, Fault> {
    let mut find = c.prepare_cached("SELECT kind, id FROM matter WHERE due IS NOT NULL AND due <= ?1 ORDER BY due, kind, id LIMIT ?2")?;
    let rows = find.query_map((now.ns(), i64::try_from(limit).unwrap_or(i64::MAX)), |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The moment the next matter falls due.
pub(super) fn next_due(c: &Connection) -> Result<Option<Timestamp>, Fault> {
    let due: Option<i64> = c.prepare_cached("SELECT min(due) FROM matter WHERE due IS NOT NULL")?.query_row([], |r| r.get(0))?;
    Ok(due.map(Timestamp::from_ns))
}

const COLUMNS: &str = "kind, id, revision, opened, updated, body";

fn row(r: &rusqlite::Row) -> Result<MatterRow, Fault> {
    let id: String = r.get(1)?;
    Ok(MatterRow {
        kind: r.get(0)?,
        revision: r.get::<_, i64>(2)?.cast_unsigned(),
        opened: Timestamp::from_ns(r.get(3)?),
        updated: Timestamp::from_ns(r.get(4)?),
        body: from_json("matter", &id, &r.get::<_, String>(5)?)?,
        id,
    })
}

/// All its units inside, and at least one: else it is not there.
fn inside(scope: &Scope, args: &mut Vec<Sql>) -> String {
    let Some(units) = &scope.units else { return String::new() };
    let marks = vec!["?"; units.len()].join(",");
    args.extend(units.iter().chain(units).cloned().map(Sql::Text));
    format!(
        " AND EXISTS (SELECT 1 FROM matter_unit u WHERE u.kind = matter.kind AND u.id = matter.id AND u.unit IN ({marks}))
          AND NOT EXISTS (SELECT 1 FROM matter_unit u WHERE u.kind = matter.kind AND u.id = matter.id AND u.unit NOT IN ({marks}))"
    )
}

pub(super) fn one(c: &Connection, scope: &Scope, kind: &str, id: &str) -> Result<Option<MatterRow>, Fault> {
    let mut args = vec![Sql::Text(kind.to_owned()), Sql::Text(id.to_owned())];
    let text = format!("SELECT {COLUMNS} FROM matter WHERE kind = ? AND id = ?{}", inside(scope, &mut args));
    let mut statement = c.prepare_cached(&text)?;
    let mut rows = statement.query(params_from_iter(args))?;
    rows.next()?.map(row).transpose()
}

pub(super) fn list(c: &Connection, scope: &Scope, query: &MatterQuery) -> Result<MatterPage, Fault> {
    let mut args = vec![Sql::Text(query.kind.clone()), Sql::Integer(i64::from(query.exercise))];
    let mut text = format!("SELECT {COLUMNS} FROM matter WHERE kind = ? AND exercise = ?");
    text.push_str(&inside(scope, &mut args));
    if !query.states.is_empty() {
        text.push_str(&format!(" AND state IN ({})", vec!["?"; query.states.len()].join(",")));
        args.extend(query.states.iter().cloned().map(Sql::Text));
    }
    if query.open {
        text.push_str(" AND closed = 0");
    }
    if let Some(level) = query.level_min {
        text.push_str(" AND level >= ?");
        args.push(Sql::Integer(i64::from(level_number(Some(level)))));
    }
    if let Some(unit) = &query.unit {
        text.push_str(" AND EXISTS (SELECT 1 FROM matter_unit u WHERE u.kind = matter.kind AND u.id = matter.id AND u.unit = ?)");
        args.push(Sql::Text(unit.clone()));
    }
    if let Some(link) = &query.link {
        text.push_str(" AND EXISTS (SELECT 1 FROM matter_link l WHERE l.kind = matter.kind AND l.id = matter.id AND l.target = ?)");
        args.push(Sql::Text(link.clone()));
    }
    if let Some(part) = &query.text {
        text.push_str(" AND instr(words, ?) > 0");
        args.push(Sql::Text(part.to_ascii_lowercase()));
    }
    if let Some((updated, id)) = &query.after {
        text.push_str(" AND (updated, id) < (?, ?)");
        args.push(Sql::Integer(*updated));
        args.push(Sql::Text(id.clone()));
    }
    let limit = if query.limit == 0 { 100 } else { query.limit.min(ROWS_MAX) };
    text.push_str(" ORDER BY updated DESC, id DESC LIMIT ?");
    args.push(Sql::Integer(limit as i64 + 1));
    let mut statement = c.prepare(&text)?;
    let mut rows = statement.query(params_from_iter(args))?;
    let mut page = MatterPage::default();
    while let Some(r) = rows.next()? {
        if page.matters.len() == limit {
            page.next = page.matters.last().map(|m| (m.updated.ns(), m.id.clone()));
            break;
        }
        page.matters.push(row(r)?);
    }
    Ok(page)
}

/// What was done with it, oldest first.
pub(super) fn history(c: &Connection, kind: &str, id: &str) -> Result<Vec<Entry>, Fault> {
    let mut find = c.prepare_cached(
        "SELECT revision, time, who, act, body FROM matter_act WHERE kind = ?1 AND id = ?2 ORDER BY revision DESC LIMIT ?3",
    )?;
    let mut rows = find.query((kind, id, ROWS_MAX as i64))?;
    let mut out = Vec::new();
    while let Some(r) = rows.next()? {
        out.push(Entry {
            kind: kind.to_owned(),
            id: id.to_owned(),
            revision: r.get::<_, i64>(0)?.cast_unsigned(),
            time: Timestamp::from_ns(r.get(1)?),
            who: r.get(2)?,
            act: r.get(3)?,
            body: from_json("act", id, &r.get::<_, String>(4)?)?,
        });
    }
    out.reverse();
    Ok(out)
}

/// Matters by state: (state, closed, level, how many). Real or drills'.
pub(super) fn counts(c: &Connection, scope: &Scope, kind: &str, exercise: bool) -> Result<Vec<(String, bool, u8, u64)>, Fault> {
    let mut args = vec![Sql::Text(kind.to_owned()), Sql::Integer(i64::from(exercise))];
    let inside = inside(scope, &mut args);
    let text =
        format!("SELECT state, closed, level, count(*) FROM matter WHERE kind = ? AND exercise = ?{inside} GROUP BY state, closed, level");
    let mut find = c.prepare_cached(&text)?;
    let rows = find.query_map(params_from_iter(args), |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get::<_, i64>(3)?.cast_unsigned())))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Messages with a number above `after`, in order.
pub(super) fn messages(c: &Connection, after: u64, limit: usize) -> Result<Vec<(u64, Message)>, Fault> {
    let mut find = c.prepare_cached("SELECT number, body FROM message WHERE number > ?1 ORDER BY number LIMIT ?2")?;
    let mut rows = find.query((i64::try_from(after).unwrap_or(i64::MAX), limit.min(ROWS_MAX) as i64))?;
    let mut out = Vec::new();
    while let Some(r) = rows.next()? {
        out.push((r.get::<_, i64>(0)?.cast_unsigned(), from_json("message", "", &r.get::<_, String>(1)?)?));
    }
    Ok(out)
}
