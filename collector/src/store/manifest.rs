//! The manifest: the only truth about segments. One SQLite database, `synchronous=FULL`.
//!
//! A segment exists once its row is committed; the offset of the log up to which events lie in segments is part of the same transaction, so
//! after a crash the rest of the log gives exactly the events that are missing. A file without a row is a leftover and is removed at open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use event::{Class, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::segment::bloom::Bloom;
use super::segment::write::Written;
use super::segment::{Group, Meta};
use super::{Offset, StoreError};

pub(crate) struct Manifest {
    path: PathBuf,
    connection: Connection,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS segment (
  id INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, class INTEGER NOT NULL, day INTEGER NOT NULL, min_ts INTEGER NOT NULL, max_ts INTEGER NOT NULL,
  rows INTEGER NOT NULL, bytes INTEGER NOT NULL, hash TEXT NOT NULL, tier INTEGER NOT NULL, hold INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL CHECK (state IN ('live', 'gone')), gone_at INTEGER
);
CREATE TABLE IF NOT EXISTS row_group (
  segment INTEGER NOT NULL, number INTEGER NOT NULL, rows INTEGER NOT NULL, min_ts INTEGER NOT NULL, max_ts INTEGER NOT NULL,
  odd INTEGER NOT NULL, present BLOB NOT NULL, bloom BLOB NOT NULL, PRIMARY KEY (segment, number)
);
CREATE TABLE IF NOT EXISTS segment_unit (
  segment INTEGER NOT NULL, unit TEXT NOT NULL, rows INTEGER NOT NULL, min_ts INTEGER NOT NULL, max_ts INTEGER NOT NULL, PRIMARY KEY (segment, unit)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sealed (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL);
";

impl Manifest {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let fault = |source| StoreError::Database { path: path.to_path_buf(), source };
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(std::time::Duration::from_secs(10))?;
            connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        Ok(Self { path: path.to_path_buf(), connection: open().map_err(fault)? })
    }

    fn run<T>(&mut self, f: impl FnOnce(&rusqlite::Transaction) -> Result<T, rusqlite::Error>) -> Result<T, StoreError> {
        let path = &self.path;
        let run = || {
            let tx = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let answer = f(&tx)?;
            tx.commit()?;
            Ok(answer)
        };
        run().map_err(|source| StoreError::Database { path: path.clone(), source })
    }

    /// Everything below lies in segments.
    pub(crate) fn sealed(&mut self) -> Result<Offset, StoreError> {
        let position: Option<i64> = self.run(|tx| tx.query_row("SELECT position FROM sealed", [], |r| r.get(0)).optional())?;
        Ok(Offset(position.map_or(0, i64::cast_unsigned)))
    }

    /// New segments instead of old ones, and the offset they reach to, in one transaction. Fills in the new ids.
    pub(crate) fn commit(&mut self, new: &mut [Written], old: &[i64], sealed: Option<Offset>, now: Timestamp) -> Result<(), StoreError> {
        self.run(|tx| {
            for written in new.iter_mut() {
                insert(tx, written)?;
            }
            for id in old {
                tx.execute("UPDATE segment SET state = 'gone', gone_at = ?2 WHERE id = ?1", params![id, now.ns()])?;
            }
            if let Some(sealed) = sealed {
                tx.execute(
                    "INSERT INTO sealed(one, position) VALUES (1, ?1) ON CONFLICT(one) DO UPDATE SET position = ?1",
                    [sealed.0.cast_signed()],
                )?;
            }
            Ok(())
        })
    }

    /// All live segments.
    pub(crate) fn live(&mut self) -> Result<Vec<Meta>, StoreError> {
        self.run(|tx| {
            let mut groups: BTreeMap<i64, Vec<Group>> = BTreeMap::new();
            let mut statement = tx.prepare("SELECT segment, rows, min_ts, max_ts, odd, present FROM row_group ORDER BY segment, number")?;
            let mut rows = statement.query([])?;
            while let Some(r) = rows.next()? {
                let present: [u8; 16] = r.get(5)?;
                let group = Group {
                    rows: count(r.get(1)?),
                    min: Timestamp::from_ns(r.get(2)?),
                    max: Timestamp::from_ns(r.get(3)?),
                    odd: count(r.get(4)?),
                    present: u128::from_le_bytes(present),
                };
                groups.entry(r.get(0)?).or_default().push(group);
            }
            let mut units: BTreeMap<i64, BTreeMap<String, (u64, i64, i64)>> = BTreeMap::new();
            let mut statement = tx.prepare("SELECT segment, unit, rows, min_ts, max_ts FROM segment_unit")?;
            let mut rows = statement.query([])?;
            while let Some(r) = rows.next()? {
                units.entry(r.get(0)?).or_default().insert(r.get(1)?, (count(r.get(2)?) as u64, r.get(3)?, r.get(4)?));
            }
            let mut statement = tx.prepare(
                "SELECT id, file, class, day, min_ts, max_ts, rows, bytes, hash, tier, hold FROM segment WHERE state = 'live' ORDER BY id",
            )?;
            let mut rows = statement.query([])?;
            let mut live = Vec::new();
            while let Some(r) = rows.next()? {
                let id: i64 = r.get(0)?;
                live.push(Meta {
                    id,
                    file: r.get(1)?,
                    class: Class::from_u8(r.get(2)?).unwrap_or_default(),
                    day: r.get(3)?,
                    min: Timestamp::from_ns(r.get(4)?),
                    max: Timestamp::from_ns(r.get(5)?),
                    rows: count(r.get(6)?) as u64,
                    bytes: count(r.get(7)?) as u64,
                    hash: r.get(8)?,
                    tier: r.get(9)?,
                    hold: r.get(10)?,
                    groups: groups.remove(&id).unwrap_or_default(),
                    units: units.remove(&id).unwrap_or_default(),
                });
            }
            Ok(live)
        })
    }

    pub(crate) fn bloom(&mut self, segment: i64, group: usize) -> Result<Option<Bloom>, StoreError> {
        let path = &self.path;
        let read = || {
            let mut statement = self.connection.prepare_cached("SELECT bloom FROM row_group WHERE segment = ?1 AND number = ?2")?;
            statement.query_row(params![segment, group as i64], |r| r.get::<_, Vec<u8>>(0)).optional()
        };
        Ok(read().map_err(|source| StoreError::Database { path: path.clone(), source })?.map(Bloom::from_bytes))
    }

    pub(crate) fn hold(&mut self, ids: &[i64], hold: bool) -> Result<(), StoreError> {
        self.run(|tx| {
            for id in ids {
                tx.execute("UPDATE segment SET hold = ?2 WHERE id = ?1", params![id, hold])?;
            }
            Ok(())
        })
    }

    /// Segments that are no more but whose files may still lie there: (id, file, when they went).
    pub(crate) fn gone(&mut self) -> Result<Vec<(i64, String, Timestamp)>, StoreError> {
        self.run(|tx| {
            let mut statement = tx.prepare("SELECT id, file, gone_at FROM segment WHERE state = 'gone' ORDER BY id")?;
            let rows =
                statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, Timestamp::from_ns(r.get::<_, Option<i64>>(2)?.unwrap_or(0)))))?;
            rows.collect()
        })
    }

    /// Forgets a segment whose file has been removed.
    pub(crate) fn forget(&mut self, id: i64) -> Result<(), StoreError> {
        self.run(|tx| {
            for sql in [
                "DELETE FROM row_group WHERE segment = ?1",
                "DELETE FROM segment_unit WHERE segment = ?1",
                "DELETE FROM segment WHERE id = ?1",
            ] {
                tx.execute(sql, [id])?;
            }
            Ok(())
        })
    }
}

fn insert(tx: &rusqlite::Transaction, written: &mut Written) -> Result<(), rusqlite::Error> {
    let m = &mut written.meta;
    tx.prepare_cached("INSERT INTO segment(file, class, day, min_ts, max_ts, rows, bytes, hash, tier, hold, state) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,'live')")?
        .execute(params![m.file, m.class as u8, m.day, m.min.ns(), m.max.ns(), m.rows.cast_signed(), m.bytes.cast_signed(), m.hash, m.tier, m.hold])?;
    m.id = tx.last_insert_rowid();
    for (number, (g, bloom)) in m.groups.iter().zip(&written.blooms).enumerate() {
        tx.prepare_cached(
            "INSERT INTO row_group(segment, number, rows, min_ts, max_ts, odd, present, bloom) VALUES (?1,?2,?3,?4,?5,?6,?7,?8)",
        )?
        .execute(params![
            m.id,
            number as i64,
            g.rows as i64,
            g.min.ns(),
            g.max.ns(),
            g.odd as i64,
            g.present.to_le_bytes(),
            bloom.bytes()
        ])?;
    }
    for (unit, (rows, min, max)) in &m.units {
        tx.prepare_cached("INSERT INTO segment_unit(segment, unit, rows, min_ts, max_ts) VALUES (?1,?2,?3,?4,?5)")?.execute(params![
            m.id,
            unit,
            rows.cast_signed(),
            min,
            max
        ])?;
    }
    Ok(())
}

fn count(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}
