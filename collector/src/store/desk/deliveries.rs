//! The delivery log: one row a message, recipient and channel, and one row an attempt. What the queue of `notifier` needs after a crash is all here.
//!
//! A row is written in the same transaction that moves the cursor over the messages, so no message is left out and none is taken twice. The
//! parcel a delivery goes in is written before it is sent: an attempt that was under way at a kill is repeated with the same key.

use event::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;

use super::ROWS_MAX;
use super::sqlite::{Fault, from_json};

pub(super) const SCHEMA: &str = r"
CREATE TABLE delivery (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, message INTEGER NOT NULL, channel TEXT NOT NULL, contact TEXT NOT NULL,
  target TEXT NOT NULL, zh INTEGER NOT NULL, rank INTEGER NOT NULL, exercise INTEGER NOT NULL, unit TEXT NOT NULL, kind TEXT NOT NULL, about TEXT NOT NULL,
  title_zh TEXT NOT NULL, title_en TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, parcel TEXT,
  told INTEGER NOT NULL, queued INTEGER NOT NULL, next INTEGER NOT NULL, ended INTEGER, reason TEXT NOT NULL
);
CREATE INDEX delivery_open ON delivery(rank DESC, number) WHERE ended IS NULL;
CREATE INDEX delivery_parcel ON delivery(parcel) WHERE parcel IS NOT NULL;
CREATE INDEX delivery_about ON delivery(about);
CREATE INDEX delivery_state ON delivery(channel, state);
CREATE TABLE delivery_attempt (
  number INTEGER PRIMARY KEY AUTOINCREMENT, parcel TEXT NOT NULL, channel TEXT NOT NULL, began INTEGER NOT NULL, ended INTEGER, outcome TEXT NOT NULL
);
CREATE INDEX delivery_attempt_parcel ON delivery_attempt(parcel);
CREATE INDEX delivery_attempt_began ON delivery_attempt(began);
";

/// How far messages have been taken, in the table of settings.
const CURSOR: &str = "notify.cursor";

/// One delivery. States: `queued`, `failed` (will be tried again), `sent`, `dead`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeliveryRow {
    pub number: u64,
    pub id: String,
    /// Number of its message.
    pub message: u64,
    pub channel: String,
    /// Name of the person, or what the recipient is where it is no person.
    pub contact: String,
    /// Mail address; empty where the channel is the recipient.
    pub target: String,
    pub zh: bool,
    /// 0 none, 1 blue … 4 red.
    pub rank: u8,
    pub exercise: bool,
    /// Empty: the city's own.
    pub unit: String,
    /// What it is about.
    pub kind: String,
    pub about: String,
    pub title_zh: String,
    pub title_en: String,
    pub state: String,
    pub attempts: u32,
    /// Key of the parcel it goes in, once it is packed.
    pub parcel: Option<String>,
    /// When its message was written.
    pub told: Nanos,
    pub queued: Nanos,
    /// Not before.
    pub next: Nanos,
    pub ended: Option<Nanos>,
    pub reason: String,
}

/// Nanoseconds since 1970 UTC.
pub type Nanos = i64;

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    pub parcel: String,
    pub channel: String,
    pub began: Nanos,
    pub ended: Option<Nanos>,
    pub outcome: String,
}

/// Which deliveries; empty does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryQuery {
    pub state: String,
    pub channel: String,
    pub unit: String,
    /// Id of the matter.
    pub about: String,
    pub before: Option<u64>,
    pub limit: usize,
}

/// What became of deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryEnd<'a> {
    pub numbers: &'a [u64],
    pub parcel: &'a str,
    pub state: &'a str,
    pub reason: &'a str,
    pub next: Timestamp,
    pub now: Timestamp,
}

const COLUMNS: &str = "number, id, message, channel, contact, target, zh, rank, exercise, unit, kind, about, title_zh, title_en, state, attempts, parcel, told, queued, next, ended, reason";

fn row(r: &rusqlite::Row) -> Result<DeliveryRow, rusqlite::Error> {
    Ok(DeliveryRow {
        number: r.get::<_, i64>(0)?.cast_unsigned(),
        id: r.get(1)?,
        message: r.get::<_, i64>(2)?.cast_unsigned(),
        channel: r.get(3)?,
        contact: r.get(4)?,
        target: r.get(5)?,
        zh: r.get(6)?,
        rank: r.get(7)?,
        exercise: r.get(8)?,
        unit: r.get(9)?,
        kind: r.get(10)?,
        about: r.get(11)?,
        title_zh: r.get(12)?,
        title_en: r.get(13)?,
        state: r.get(14)?,
        attempts: r.get(15)?,
        parcel: r.get(16)?,
        told: r.get(17)?,
        queued: r.get(18)?,
        next: r.get(19)?,
        ended: r.get(20)?,
        reason: r.get(21)?,
    })
}

fn cursor(c: &Connection) -> Result<u64, Fault> {
    let text: Option<String> =
        c.prepare_cached("SELECT value FROM setting WHERE key = ?1")?.query_row([CURSOR], |r| r.get(0)).optional()?;
    Ok(text.and_then(|t| t.parse().ok()).unwrap_or(0))
}

/// The next messages nobody has made deliveries of.
pub(super) fn untaken(c: &Connection, limit: usize) -> Result<Vec<(u64, matter::Message)>, Fault> {
    super::matters::messages(c, cursor(c)?, limit)
}

/// Red messages among those nobody has made deliveries of, with a number above `after`: where others are many, these are taken before them.
pub(super) fn untaken_red(c: &Connection, after: u64, limit: usize) -> Result<Vec<(u64, matter::Message)>, Fault> {
    // What a title quotes is found too, and left by who knows the message.
    let mut find = c.prepare_cached(
        "SELECT number, body FROM message WHERE number > ?1 AND instr(body, '\"level\":\"red\"') > 0 ORDER BY number LIMIT ?2",
    )?;
    let from = after.max(cursor(c)?);
    let mut rows = find.query((i64::try_from(from).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX)))?;
    let mut out = Vec::new();
    while let Some(r) = rows.next()? {
        let message: matter::Message = from_json("message", "", &r.get::<_, String>(1)?)?;
        out.push((r.get::<_, i64>(0)?.cast_unsigned(), message));
    }
    out.retain(|(_, m)| m.level == Some(warning::grade::Level::Red));
    Ok(out)
}

/// Writes the deliveries of messages, up to `through` where that is all of them; those that are there already are left. Gives the rows as
/// stored, new ones only.
pub(super) fn take(tx: &Transaction, through: Option<u64>, rows: &[DeliveryRow]) -> Result<Vec<DeliveryRow>, Fault> {
    let mut out = Vec::with_capacity(rows.len());
    {
        let marks = (2..=22).map(|n| format!("?{}", n - 1)).collect::<Vec<_>>().join(", ");
        let columns = COLUMNS.strip_prefix("number, ").unwrap_or(COLUMNS);
        let mut insert = tx.prepare_cached(&format!("INSERT OR IGNORE INTO delivery({columns}) VALUES ({marks})"))?;
        for d in rows {
            let new = insert.execute(params![
                d.id,
                d.message.cast_signed(),
                d.channel,
                d.contact,
                d.target,
                d.zh,
                d.rank,
                d.exercise,
                d.unit,
                d.kind,
                d.about,
                d.title_zh,
                d.title_en,
                d.state,
                d.attempts,
                d.parcel,
                d.told,
                d.queued,
                d.next,
                d.ended,
                d.reason,
            ])?;
            if new > 0 {
                out.push(DeliveryRow { number: tx.last_insert_rowid().cast_unsigned(), ..d.clone() });
            }
        }
    }
    if let Some(through) = through {
        tx.prepare_cached("INSERT INTO setting(key, value) VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET value = ?2")?
            .execute((CURSOR, through.to_string()))?;
    }
    Ok(out)
}

/// Those not ended: the most serious first, then the oldest; with a number above `after` in that order where given.
pub(super) fn open(c: &Connection, limit: usize) -> Result<Vec<DeliveryRow>, Fault> {
    let mut find = c.prepare_cached(&format!("SELECT {COLUMNS} FROM delivery WHERE ended IS NULL ORDER BY rank DESC, number LIMIT ?1"))?;
    let rows = find.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Deliveries by number, the most serious first, then the oldest.
pub(super) fn some(c: &Connection, all: &[u64], limit: usize) -> Result<Vec<DeliveryRow>, Fault> {
    let mut find = c.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM delivery WHERE number IN (SELECT value FROM json_each(?1)) ORDER BY rank DESC, number LIMIT ?2"
    ))?;
    let rows = find.query_map((numbers(all), i64::try_from(limit).unwrap_or(i64::MAX)), row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Attempts begun after that.
pub(super) fn attempts_since(c: &Connection, since: Timestamp) -> Result<Vec<AttemptRow>, Fault> {
    attempts(c, "began > ?1 ORDER BY began LIMIT 100000", &since.ns())
}

fn attempts(c: &Connection, what: &str, value: &dyn rusqlite::ToSql) -> Result<Vec<AttemptRow>, Fault> {
    let mut find = c.prepare_cached(&format!("SELECT parcel, channel, began, ended, outcome FROM delivery_attempt WHERE {what}"))?;
    let rows = find.query_map([value], |r| {
        Ok(AttemptRow { parcel: r.get(0)?, channel: r.get(1)?, began: r.get(2)?, ended: r.get(3)?, outcome: r.get(4)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn numbers(all: &[u64]) -> String {
    serde_json::to_string(all).unwrap_or_else(|_| "[]".to_owned())
}

/// An attempt begins: the parcel is fixed from now on.
pub(super) fn begin(tx: &Transaction, all: &[u64], parcel: &str, channel: &str, attempts: u32, now: Timestamp) -> Result<(), Fault> {
    tx.prepare_cached(
        "UPDATE delivery SET parcel = ?2, attempts = ?3 WHERE number IN (SELECT value FROM json_each(?1)) AND ended IS NULL",
    )?
    .execute((numbers(all), parcel, attempts))?;
    tx.prepare_cached("INSERT INTO delivery_attempt(parcel, channel, began, outcome) VALUES (?1, ?2, ?3, '')")?.execute((
        parcel,
        channel,
        now.ns(),
    ))?;
    Ok(())
}

/// An attempt ended.
pub(super) fn end(tx: &Transaction, what: &DeliveryEnd) -> Result<(), Fault> {
    let ended = matches!(what.state, "sent" | "dead").then(|| what.now.ns());
    tx.prepare_cached(
        "UPDATE delivery SET state = ?2, reason = ?3, next = ?4, ended = ?5 WHERE number IN (SELECT value FROM json_each(?1)) AND ended IS NULL",
    )?
    .execute((numbers(what.numbers), what.state, what.reason, what.next.ns(), ended))?;
    let outcome = if what.reason.is_empty() { what.state } else { what.reason };
    tx.prepare_cached("UPDATE delivery_attempt SET ended = ?2, outcome = ?3 WHERE parcel = ?1 AND ended IS NULL")?.execute((
        what.parcel,
        what.now.ns(),
        outcome,
    ))?;
    Ok(())
}

/// A dead letter goes again; none where there is no such, or it is not dead.
pub(super) fn again(tx: &Transaction, id: &str, now: Timestamp) -> Result<Option<DeliveryRow>, Fault> {
    let done = tx
        .prepare_cached(
            "UPDATE delivery SET state = 'queued', ended = NULL, attempts = 0, parcel = NULL, next = ?2, reason = '' WHERE id = ?1 AND state = 'dead' AND channel <> ''",
        )?
        .execute((id, now.ns()))?;
    if done == 0 { Ok(None) } else { one(tx, id) }
}

pub(super) fn one(c: &Connection, id: &str) -> Result<Option<DeliveryRow>, Fault> {
    Ok(c.prepare_cached(&format!("SELECT {COLUMNS} FROM delivery WHERE id = ?1"))?.query_row([id], row).optional()?)
}

/// Attempts of a parcel, oldest first.
pub(super) fn attempts_of(c: &Connection, parcel: &str) -> Result<Vec<AttemptRow>, Fault> {
    attempts(c, "parcel = ?1 ORDER BY number LIMIT 200", &parcel)
}

/// Newest first.
pub(super) fn list(c: &Connection, query: &DeliveryQuery) -> Result<Vec<DeliveryRow>, Fault> {
    let limit = if query.limit == 0 { 100 } else { query.limit.min(ROWS_MAX) };
    let before = query.before.unwrap_or(i64::MAX.cast_unsigned()).min(i64::MAX.cast_unsigned());
    let mut find = c.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM delivery WHERE number < ?1 AND (?2 = '' OR state = ?2) AND (?3 = '' OR channel = ?3) AND (?4 = '' OR unit = ?4) AND (?5 = '' OR about = ?5) ORDER BY number DESC LIMIT ?6"
    ))?;
    let rows = find.query_map(
        (before.cast_signed(), &query.state, &query.channel, &query.unit, &query.about, i64::try_from(limit).unwrap_or(i64::MAX)),
        row,
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// (channel, state, how many).
pub(super) fn counts(c: &Connection) -> Result<Vec<(String, String, u64)>, Fault> {
    let mut find = c.prepare_cached("SELECT channel, state, count(*) FROM delivery GROUP BY channel, state")?;
    let rows = find.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get::<_, i64>(2)?.cast_unsigned())))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Messages by number, in the order asked for; those that are gone are left out.
pub(super) fn messages_of(c: &Connection, all: &[u64]) -> Result<Vec<(u64, matter::Message)>, Fault> {
    let mut find = c.prepare_cached("SELECT body FROM message WHERE number = ?1")?;
    let mut out = Vec::with_capacity(all.len());
    for number in all {
        let body: Option<String> = find.query_row([number.cast_signed()], |r| r.get(0)).optional()?;
        if let Some(body) = body {
            out.push((*number, from_json("message", &number.to_string(), &body)?));
        }
    }
    Ok(out)
}

/// Lets go what ended before that: deliveries, then attempts, at most so many a call. Says how many deliveries.
pub(super) fn prune(tx: &Transaction, before: Timestamp, limit: usize) -> Result<usize, Fault> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let gone = tx
        .prepare_cached("DELETE FROM delivery WHERE number IN (SELECT number FROM delivery WHERE ended < ?1 ORDER BY number LIMIT ?2)")?
        .execute((before.ns(), limit))?;
    tx.prepare_cached(
        "DELETE FROM delivery_attempt WHERE number IN (SELECT number FROM delivery_attempt WHERE began < ?1 ORDER BY number LIMIT ?2)",
    )?
    .execute((before.ns(), limit))?;
    Ok(gone)
}
