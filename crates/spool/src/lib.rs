//! A durable, bounded queue of opaque records: what an agent saw waits here until its collector has it on disk.
//!
//! Three lanes by delivery class, each a log of segment files, and one control log (`control`) that says what is committed,
//! acknowledged, given up, and where the sources resume. The files are the only truth: `open` walks them (`recover`).
//!
//! ```text
//! append ─▶ memory ─ commit ─▶ 0-…seg 1-…seg 2-…seg   write + fdatasync, one lane after the other
//!                        └───▶ ctl-…log                the commit record: all of it counts from here on, or none
//! read ◀── committed records in order, missing numbers as gaps        acknowledge ─▶ cursor ─▶ segments removed
//! ```
//!
//! Must stay true:
//! - Nothing can be read for sending before it is durable.
//! - Records and the checkpoints given after them become durable together; a crash leaves all or none of a commit.
//! - `produced = acknowledged + spooled + lost`, per lane, after every call and after every recovery. Whatever is lost is declared:
//!   evicted, oversize, full, refused, damaged, unreadable, or the word given to `declare`.
//! - All files together stay below `bytes_max` plus one control file; space is reserved when a segment is begun, so a full disk is met
//!   there. Room is made by giving up the oldest segment of the lowest lane; lane 0 keeps `critical_bytes` to itself.
//! - A failed sync poisons its file: records are written anew elsewhere. A damaged record costs itself, never its neighbours.
//! - Memory: an index entry a segment, not a record; what waits for `commit` is bounded by `pending_bytes_max`.
//!
//! Not here: what the bytes mean, time (an argument), threads (one owner), sockets.

mod control;
mod disk;
mod lane;
mod ranges;
mod read;
mod record;
mod recover;
mod sim;
mod spool;

pub use control::{CHECKPOINT_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use disk::{Disk, RealDisk};
pub use sim::{Faults, SimDisk};
pub use spool::Spool;

use std::borrow::Cow;

/// Lanes, by delivery class: 0 critical, 1 normal, 2 bulk. The higher number is evicted first.
pub const LANES: usize = 3;

/// A place in a lane: everything up to and including it. Ordered by epoch, then sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    pub epoch: u64,
    pub seq: u64,
}

impl Position {
    /// Before everything.
    pub const START: Self = Self { epoch: 0, seq: 0 };

    pub const fn new(epoch: u64, seq: u64) -> Self {
        Self { epoch, seq }
    }
}

/// One record as it is read for sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub lane: u8,
    pub epoch: u64,
    /// Of a gap: the first number that is gone.
    pub seq: u64,
    /// As given to `append`; 0 for a gap that was found, not declared.
    pub time_ns: i64,
    pub kind: RecordKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordKind {
    Data(Vec<u8>),
    /// `count` numbers from `seq` on are gone for good.
    Gap {
        count: u64,
        reason: Cow<'static, str>,
    },
}

impl Record {
    /// The last number the record stands for.
    pub fn last(&self) -> u64 {
        match &self.kind {
            RecordKind::Data(_) => self.seq,
            RecordKind::Gap { count, .. } => self.seq + (count - 1),
        }
    }
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.last() }
    }
}

/// Account of one lane over the life of the spool: `produced = acknowledged + spooled + lost`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Numbers given out.
    pub produced: u64,
    /// Records the collector acknowledged.
    pub acknowledged: u64,
    /// Records here, committed or not.
    pub spooled: u64,
    /// Numbers that are gone and declared.
    pub lost: u64,
}

impl Ledger {
    pub const fn balances(&self) -> bool {
        self.produced == self.acknowledged + self.spooled + self.lost
    }
}

/// Limits of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// All files of the spool together.
    pub bytes_max: u64,
    /// One segment file; reserved on disk when the segment is begun.
    pub segment_bytes: u32,
    /// Of `bytes_max`, kept free of lanes 1 and 2 for lane 0.
    pub critical_bytes: u64,
    /// Longest payload; a longer one is refused and declared lost.
    pub payload_bytes_max: u32,
    /// Records held in memory between commits; reaching it commits.
    pub pending_bytes_max: u32,
}

/// Smallest `bytes_max` an operator may set.
pub const BYTES_MIN: u64 = 8 * 1024 * 1024;

impl Config {
    /// Sizes for a spool of `bytes_max` bytes (raised to `BYTES_MIN`): segments of 1 to 8 MiB.
    pub fn sized(bytes_max: u64) -> Self {
        const MIB: u64 = 1024 * 1024;
        let bytes_max = bytes_max.max(BYTES_MIN);
        Self {
            bytes_max,
            segment_bytes: (bytes_max / 32).clamp(MIB, 8 * MIB) as u32,
            critical_bytes: bytes_max / 4,
            payload_bytes_max: 256 * 1024,
            pending_bytes_max: MIB as u32,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::sized(256 * 1024 * 1024)
    }
}

/// What `open` found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Epoch of the records appended from now on.
    pub epoch: u64,
    /// Records that still wait to be sent.
    pub records: u64,
    /// Bytes after the last good record, cut off: never committed.
    pub torn_bytes: u64,
    /// Damage in what was committed; each is declared by a gap.
    pub damaged: Vec<Damage>,
    /// Newest value by key.
    pub checkpoints: Vec<(String, Vec<u8>)>,
    /// Cursor and checkpoints were damaged: some may be older than they should be (re-sent, re-read; never lost).
    pub control_damaged: bool,
}

/// A range that was committed and cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// File name within the spool's folder; a file without one good record is renamed to `….bad`.
    pub file: String,
    pub lane: u8,
    pub epoch: u64,
    pub first: u64,
    pub last: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("spool folder is in use by another process")]
    Locked,
    #[error(
        "spool of {bytes_max} bytes with segments of {segment_bytes} cannot work: at least 8 segments, and a segment twice the longest payload"
    )]
    Config { bytes_max: u64, segment_bytes: u32 },
    #[error("failed to {what} in the spool folder")]
    Io { what: &'static str, source: std::io::Error },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The number was given out and is declared lost with reason `oversize`.
    #[error("payload of {bytes} bytes is longer than {bytes_max}")]
    Oversize { seq: u64, bytes: usize, bytes_max: u32 },
    /// The disk takes nothing and memory is full: the number was given out and is declared lost.
    #[error("spool takes nothing now: disk failing or full")]
    Refused { seq: u64 },
    #[error("lane {0} does not exist")]
    Lane(u8),
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("checkpoint key of {0} bytes, limit 255")]
    Key(usize),
    #[error("checkpoint value of {0} bytes, limit 4096")]
    Value(usize),
    #[error("more than {0} bytes of checkpoints")]
    Full(usize),
}

/// The disk would not; nothing is lost by it, try again. What was not committed is kept and written again.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} in the spool folder")]
pub struct IoError {
    pub what: &'static str,
    pub source: std::io::Error,
}

/// Walks bytes as a segment file and says how many records count and how many holes there are: the door for fuzzing the walk.
pub fn walk_segment(bytes: &[u8]) -> (usize, usize) {
    let walk = record::walk(bytes, record::Owner { lane: 0, epoch: 1 }, 1, u64::MAX - 1);
    (walk.bytes, walk.lost.len())
}

#[cfg(test)]
mod tests;
