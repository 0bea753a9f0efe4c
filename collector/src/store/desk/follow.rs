//! From alerts to the desk: each change of an alert has a number; what follows takes the changed alerts in order of it.
//!
//! Numbers rise with every change, within the transaction that changes the alert. The position of the follower, where each alert went, and
//! everything made of it are one transaction: a crash at any point neither loses a change nor takes one twice. An alert that changed again
//! before it was taken is taken once, as it is now.

use rusqlite::{Connection, Transaction};
use warning::{Alert, AlertState};

use super::matters::Drawer;
use super::sqlite::{Fault, from_json};
use super::{DeskError, Scope};

pub(super) const SCHEMA: &str = r"
ALTER TABLE alert ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX alert_changed ON alert(changed);
CREATE INDEX alert_rule ON alert(rule, state, last_time DESC);
CREATE TABLE alert_place (alert TEXT PRIMARY KEY, place TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE following (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL, last INTEGER NOT NULL);
INSERT INTO following(one, position, last) VALUES (1, 0, 0);
CREATE TABLE undo (token TEXT PRIMARY KEY, who TEXT NOT NULL, time INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
";

/// An alert to be taken in, and where it went before.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    pub number: u64,
    pub alert: Alert,
    pub place: Option<String>,
}

/// What takes them in: gives each alert that went somewhere and where.
pub type Taker<'t> = dyn FnMut(&dyn matter::Shelf, &[Changed]) -> Result<Vec<(String, String)>, matter::Refusal> + 't;

/// The number of the next change.
pub(super) fn next_number(tx: &Transaction) -> Result<i64, Fault> {
    Ok(tx.prepare_cached("UPDATE following SET last = last + 1 RETURNING last")?.query_row([], |r| r.get(0))?)
}

/// Whether there is anything to take.
pub(super) fn waiting(c: &Connection) -> Result<u64, Fault> {
    let n: i64 =
        c.prepare_cached("SELECT count(*) FROM alert WHERE changed > (SELECT position FROM following)")?.query_row([], |r| r.get(0))?;
    Ok(n.cast_unsigned())
}

/// Takes up to `limit` in; says how many. An `Err` of `take` leaves everything as it was.
pub(super) fn follow(tx: &Transaction, limit: usize, take: &mut Taker) -> Result<Result<usize, matter::Refusal>, Fault> {
    let changed = {
        let mut find = tx.prepare_cached(
            "SELECT a.changed, a.id, a.body, p.place FROM alert a LEFT JOIN alert_place p ON p.alert = a.id
             WHERE a.changed > (SELECT position FROM following) ORDER BY a.changed LIMIT ?1",
        )?;
        let mut rows = find.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut changed = Vec::new();
        while let Some(row) = rows.next()? {
            let id: String = row.get(1)?;
            let alert = from_json("alert", &id, &row.get::<_, String>(2)?)?;
            changed.push(Changed { number: row.get::<_, i64>(0)?.cast_unsigned(), alert, place: row.get(3)? });
        }
        changed
    };
    let Some(last) = changed.last().map(|c| c.number.cast_signed()) else { return Ok(Ok(0)) };
    let placed = match take(&Drawer { tx }, &changed) {
        Ok(placed) => placed,
        Err(why) => return Ok(Err(why)),
    };
    for (alert, place) in placed {
        tx.prepare_cached("INSERT INTO alert_place(alert, place) VALUES (?1, ?2) ON CONFLICT(alert) DO UPDATE SET place = ?2")?
            .execute((alert, place))?;
    }
    tx.prepare_cached("UPDATE following SET position = ?1")?.execute([last])?;
    Ok(Ok(changed.len()))
}

/// Campaign or silence an alert went to.
pub(super) fn place(c: &Connection, alert: &str) -> Result<Option<String>, Fault> {
    use rusqlite::OptionalExtension;
    Ok(c.prepare_cached("SELECT place FROM alert_place WHERE alert = ?1")?.query_row([alert], |r| r.get(0)).optional()?)
}

/// Alerts of the same rule about the same values that people have closed, newest first: "seen before, judged like this".
pub(super) fn judged_before(
    c: &Connection,
    scope: &Scope,
    alert: &Alert,
    limit: usize,
    view: impl Fn(Alert) -> Result<Option<Alert>, Fault>,
) -> Result<Vec<Alert>, Fault> {
    /// Alerts looked at.
    const LOOKED_MAX: usize = 2_000;
    let mut find = c.prepare_cached("SELECT id, body FROM alert WHERE rule = ?1 AND state = 'closed' ORDER BY last_time DESC LIMIT ?2")?;
    let mut rows = find.query((&alert.rule_id, LOOKED_MAX as i64))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let other: Alert = from_json("alert", &id, &row.get::<_, String>(1)?)?;
        if other.id == alert.id || other.state != AlertState::Closed {
            continue;
        }
        // Compared as the reader may see them, so that what is hidden decides nothing.
        let Some(other) = view(other)? else { continue };
        let own = |u: &warning::UnitRef| scope.allows(Some(&u.id));
        if other.group_key == alert.group_key && other.units.iter().any(own) | scope.is_city() {
            out.push(other);
            if out.len() >= limit {
                break;
            }
        }
    }
    Ok(out)
}

/// Keeps what would undo something; old ones are let go.
pub(super) fn put_undo(tx: &Transaction, token: &str, who: &str, now: i64, oldest: i64, body: &str) -> Result<(), Fault> {
    tx.prepare_cached("DELETE FROM undo WHERE time < ?1")?.execute([oldest])?;
    tx.prepare_cached("INSERT OR REPLACE INTO undo(token, who, time, body) VALUES (?1, ?2, ?3, ?4)")?.execute((token, who, now, body))?;
    Ok(())
}

/// Uses it up, if it is this person's and not too old.
pub(super) fn take_undo(tx: &Transaction, token: &str, who: &str, oldest: i64) -> Result<String, Fault> {
    use rusqlite::OptionalExtension;
    let body: Option<String> = tx
        .prepare_cached("DELETE FROM undo WHERE token = ?1 AND who = ?2 AND time >= ?3 RETURNING body")?
        .query_row((token, who, oldest), |r| r.get(0))
        .optional()?;
    body.ok_or_else(|| DeskError::Missing { what: "undo", name: token.to_owned() }.into())
}
