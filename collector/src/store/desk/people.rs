//! People, their sessions, and API tokens. Only hashes of secrets are kept.

use event::{SECOND_NS, Timestamp};
use rusqlite::{Connection, Transaction};

use super::sqlite::{Fault, Table};
use super::{SessionRow, TokenRow};

pub(super) const PERSON: Table = Table("person");
pub(super) const SESSION: Table = Table("session");
pub(super) const TOKEN: Table = Table("token");

/// A token's use is written down at most this often.
pub(super) const USE_NOTED_EVERY_NS: i64 = 60 * SECOND_NS;
/// Sessions of one person; the oldest end for new ones.
const SESSIONS_MAX: usize = 32;

pub(super) fn put_session(tx: &Transaction, session: &SessionRow) -> Result<(), Fault> {
    SESSION.put(tx, &session.hash, Some(&session.person), session)?;
    let mut all: Vec<SessionRow> = SESSION.all(tx, |_, person| person == Some(session.person.as_str()))?;
    // What has expired goes with the next log-in.
    let (over, mut live): (Vec<_>, Vec<_>) = all.drain(..).partition(|s| s.expires <= session.created);
    live.sort_by_key(|s| s.created);
    let surplus = live.len().saturating_sub(SESSIONS_MAX);
    for old in over.iter().chain(live.iter().take(surplus)) {
        SESSION.remove(tx, &old.hash)?;
    }
    Ok(())
}

pub(super) fn token(c: &Connection, hash: &str, now: Timestamp) -> Result<Option<TokenRow>, Fault> {
    let row: Option<TokenRow> = TOKEN.by_link(c, hash)?;
    Ok(row.filter(|t| !t.revoked && t.expires.is_none_or(|e| e > now.ns())))
}

pub(super) fn note_use(tx: &Transaction, hash: &str, now: Timestamp) -> Result<Option<TokenRow>, Fault> {
    let Some(mut row) = token(tx, hash, now)? else { return Ok(None) };
    row.last_used = Some(now.ns());
    TOKEN.put(tx, &row.id, Some(hash), &row)?;
    Ok(Some(row))
}

pub(super) fn revoke_token(tx: &Transaction, id: &str) -> Result<bool, Fault> {
    let Some(mut row) = TOKEN.get::<TokenRow>(tx, id)? else { return Ok(false) };
    row.revoked = true;
    let hash = row.hash.clone();
    TOKEN.put(tx, id, Some(&hash), &row)?;
    Ok(true)
}
