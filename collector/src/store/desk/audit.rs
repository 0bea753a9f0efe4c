//! The audit chain: each row's hash covers the hash of the row before it, so a changed, removed or inserted row is named by `verify`.
//!
//! A cut tail leaves a whole, shorter chain: `AuditReport::head` is to be noted elsewhere (it is shown and exported) to see that too.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::sqlite::Fault;
use super::{AuditEntry, AuditReport, AuditRow, ROWS_MAX, Scope};

const ORIGIN: [u8; 32] = [0; 32];

pub(super) fn append(tx: &Transaction, entry: &AuditEntry) -> Result<u64, Fault> {
    let last: Option<(i64, [u8; 32])> = tx
        .prepare_cached("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")?
        .query_row([], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let (before, previous) = last.unwrap_or((0, ORIGIN));
    let row = before + 1;
    let number = row.cast_unsigned();
    let hash = chain(&previous, number, entry);
    tx.prepare_cached("INSERT INTO audit(number, time, who, action, subject, unit, detail, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute((row, entry.time, &entry.who, &entry.action, &entry.subject, &entry.unit, &entry.detail, hash))?;
    Ok(number)
}

/// Every part with its length before it, so that no two rows read the same.
fn chain(previous: &[u8; 32], number: u64, entry: &AuditEntry) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    hasher.update(&number.to_le_bytes());
    hasher.update(&entry.time.to_le_bytes());
    hasher.update(&[u8::from(entry.unit.is_some())]);
    for text in [&entry.who, &entry.action, &entry.subject, entry.unit.as_ref().unwrap_or(&String::new()), &entry.detail] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn row(r: &rusqlite::Row) -> Result<(AuditRow, [u8; 32]), rusqlite::Error> {
    let hash: [u8; 32] = r.get(7)?;
    let entry = AuditEntry { time: r.get(1)?, who: r.get(2)?, action: r.get(3)?, subject: r.get(4)?, unit: r.get(5)?, detail: r.get(6)? };
    Ok((AuditRow { number: r.get::<_, i64>(0)?.cast_unsigned(), entry, hash: blake3::Hash::from_bytes(hash).to_hex().to_string() }, hash))
}

const COLUMNS: &str = "number, time, who, action, subject, unit, detail, hash";

pub(super) fn log(c: &Connection, scope: &Scope, before: Option<u64>, limit: usize) -> Result<Vec<AuditRow>, Fault> {
    let before = before.and_then(|n| i64::try_from(n).ok()).unwrap_or(i64::MAX);
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM audit WHERE number < ?1 ORDER BY number DESC"))?;
    let mut rows = statement.query([before])?;
    let mut out = Vec::new();
    while out.len() < limit.clamp(1, ROWS_MAX) {
        let Some(r) = rows.next()? else { break };
        let (row, _) = row(r)?;
        if scope.allows(row.entry.unit.as_deref()) {
            out.push(row);
        }
    }
    Ok(out)
}

pub(super) fn verify(c: &Connection) -> Result<AuditReport, Fault> {
    let mut statement = c.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY number"))?;
    let mut rows = statement.query([])?;
    let mut report = AuditReport { head: blake3::Hash::from_bytes(ORIGIN).to_hex().to_string(), ..AuditReport::default() };
    let mut previous = ORIGIN;
    while let Some(r) = rows.next()? {
        let expected = report.rows + 1;
        let (row, hash) = match row(r) {
            Ok(read) => read,
            Err(e) => {
                report.broken = Some((expected, format!("row cannot be read: {e}")));
                return Ok(report);
            }
        };
        if row.number != expected {
            report.broken = Some((expected, format!("row {expected} is missing (next is {})", row.number)));
            return Ok(report);
        }
        if chain(&previous, row.number, &row.entry) != hash {
            report.broken = Some((expected, "content does not fit its hash, or the row before it was changed with its hash".into()));
            return Ok(report);
        }
        previous = hash;
        report.rows = expected;
        report.head = row.hash;
    }
    Ok(report)
}
