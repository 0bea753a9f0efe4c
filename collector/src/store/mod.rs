//! What the collector keeps: the write-ahead log, the events, and the desk (alerts, register, people, audit).
//!
//! | part | file | promise |
//! |---|---|---|
//! | log | `wal/` | a batch is acknowledged only after `fdatasync`; read by offset; released by whole segments |
//! | events | `events.rs` (trait), `memory.rs`, `disk.rs` + `segment/` + `manifest.rs` | the same query gives the same rows wherever the data lies |
//! | desk | `desk/` | SQLite; the engine's position, its snapshot and its alerts change together or not at all |
//!
//! Every read takes a [`Scope`] and filters here, at the store, so that no caller can forget it. Nothing below reads a clock:
//! time is an argument.

pub mod codec;
pub mod desk;
pub mod disk;
pub mod events;
pub mod filter;
mod manifest;
pub mod memory;
pub mod query;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
pub mod wal;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use event::{Event, field};

pub use desk::{DeskError, DeskStore, SqliteDesk};
pub use disk::{DiskConfig, DiskStats, DiskStore};
pub use events::{Count, CountBy, Counts, Cursor, EventStore, Held, HeldClass, Page, Query, Searched};
pub use filter::{Filter, Header, Key, Network, Test};
pub use memory::MemoryStore;
pub use query::{QueryError, parse_query};
pub use segment::{segment_rows, write_segment};
pub use wal::{Entry, Frame, Marks, Ticket, Wal, WalConfig, WalError, WalReader, WalRecovery, WalStats, Watermark};

/// A place in the write-ahead log: bytes since the log began, over all segments ever written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a caller may see. `None` is the whole city; otherwise only records of these units. A record without a unit is
/// seen by the whole city only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    pub units: Option<BTreeSet<String>>,
}

impl Scope {
    /// The whole city: for the engine, the operators' own tools and city-level roles.
    pub const CITY: Self = Self { units: None };

    pub fn units<I: IntoIterator<Item = S>, S: Into<String>>(units: I) -> Self {
        Self { units: Some(units.into_iter().map(Into::into).collect()) }
    }

    pub fn is_city(&self) -> bool {
        self.units.is_none()
    }

    /// True if a record of this unit may be seen.
    pub fn allows(&self, unit: Option<&str>) -> bool {
        match (&self.units, unit) {
            (None, _) => true,
            (Some(units), Some(unit)) => units.contains(unit),
            (Some(_), None) => false,
        }
    }

    pub fn allows_event(&self, event: &Event) -> bool {
        self.units.is_none() || self.allows(event.get(field::UNIT_ID).and_then(|v| v.as_str()))
    }
}

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("segment {file}: {reason}")]
    Segment { file: String, reason: String },
    #[error("database {}: {source}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
    /// Too many events wait in memory for a segment: append again later, from `DiskStore::taken` on.
    #[error("too many events wait for the disk")]
    Behind,
    #[error("{0}")]
    Refused(String),
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
