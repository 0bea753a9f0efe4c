//! What the uplink needs of the spool, and no more: committed records in order, and a place to say what the collector holds.

use event::{Class, Epoch, Timestamp};
use std::future::Future;

/// A position in a lane: the record itself, or everything up to and including it. Zero stands before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position {
    pub epoch: Epoch,
    pub seq: u64,
}

/// One committed record of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRecord {
    pub epoch: Epoch,
    /// Its sequence number; for a gap, the first of the lost ones.
    pub seq: u64,
    pub time: Timestamp,
    pub body: SourceBody,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceBody {
    /// One event as `wire::event::encode` wrote it.
    Data(Vec<u8>),
    /// `seq..=last` are gone for good, for this reason.
    Gap { last: u64, reason: String },
}

impl SourceRecord {
    /// Where the lane stands after this record.
    pub fn end(&self) -> Position {
        let seq = match &self.body {
            SourceBody::Data(_) => self.seq,
            SourceBody::Gap { last, .. } => *last,
        };
        Position { epoch: self.epoch, seq }
    }
}

/// The spool could not be read or written; the uplink ends the connection, reports it and tries again.
#[derive(Debug, thiserror::Error)]
#[error("spool: {0}")]
pub struct SourceError(pub String);

/// The spool as the uplink sees it. Implementations may block briefly in `read` (disk); they are called from one task.
pub trait Source: Send + Sync + 'static {
    /// Committed records of a lane after `after`, in order, at most about `bytes_max` (always one if there is one).
    fn read(&self, lane: Class, after: Position, bytes_max: usize) -> Result<Vec<SourceRecord>, SourceError>;
    /// The collector holds everything of this lane up to and including `upto`.
    fn acknowledge(&self, lane: Class, upto: Position) -> Result<(), SourceError>;
    /// Last position acknowledged in a lane, from which sending resumes; zero at the very start.
    fn acknowledged(&self, lane: Class) -> Position;
    /// Resolves when records may have been committed since the last call (spurious wake-ups are fine, lost ones are not:
    /// `tokio::sync::Notify::notified` on a notifier that `notify_one`s after each commit does it).
    fn notified(&self) -> impl Future<Output = ()> + Send;
}

impl<S: Source> Source for std::sync::Arc<S> {
    fn read(&self, lane: Class, after: Position, bytes_max: usize) -> Result<Vec<SourceRecord>, SourceError> {
        (**self).read(lane, after, bytes_max)
    }
    fn acknowledge(&self, lane: Class, upto: Position) -> Result<(), SourceError> {
        (**self).acknowledge(lane, upto)
    }
    fn acknowledged(&self, lane: Class) -> Position {
        (**self).acknowledged(lane)
    }
    fn notified(&self) -> impl Future<Output = ()> + Send {
        (**self).notified()
    }
}
