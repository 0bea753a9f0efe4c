//! What the uplink needs of the spool, and no more: committed records in order, and a place to say what the collector holds.

use event::Class;
use spool::{Disk, Position, Record, Spool};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use wire::Mark;
use wire::link::Marks;

/// The spool could not be read or written; the uplink ends the connection, reports it and tries again.
#[derive(Debug, thiserror::Error)]
#[error("spool: {0}")]
pub struct SourceError(pub String);

/// The spool as the uplink sees it. Implementations may block briefly in `read` (disk); they are called from one task.
pub trait Source: Send + Sync + 'static {
    /// Committed records of a lane after `after`, in order, at most about `bytes_max` (always one if there is one).
    fn read(&self, class: Class, after: Mark, bytes_max: usize) -> Result<Vec<Record>, SourceError>;
    /// The collector holds everything of this lane up to and including `upto`.
    fn acknowledge(&self, class: Class, upto: Mark);
    /// Last position acknowledged in each lane, from which sending resumes.
    fn acknowledged(&self) -> Marks;
    /// Last number ever given out in each lane: what the collector may claim to hold at most.
    fn ends(&self) -> Marks;
    /// Resolves when records may have been committed since the last call. Spurious wake-ups are fine, lost ones are not:
    /// `tokio::sync::Notify::notified` on a notifier that is told `notify_one` after each commit does it.
    fn notified(&self) -> impl Future<Output = ()> + Send;
}

impl<S: Source> Source for Arc<S> {
    fn read(&self, class: Class, after: Mark, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        (**self).read(class, after, bytes_max)
    }
    fn acknowledge(&self, class: Class, upto: Mark) {
        (**self).acknowledge(class, upto);
    }
    fn acknowledged(&self) -> Marks {
        (**self).acknowledged()
    }
    fn ends(&self) -> Marks {
        (**self).ends()
    }
    fn notified(&self) -> impl Future<Output = ()> + Send {
        (**self).notified()
    }
}

/// A spool shared with the thread that fills it.
pub struct SharedSpool<D: Disk> {
    spool: Arc<Mutex<Spool<D>>>,
    committed: Arc<Notify>,
}

impl<D: Disk> SharedSpool<D> {
    /// `committed` must be told `notify_one` after each `Spool::commit`.
    pub fn new(spool: Arc<Mutex<Spool<D>>>, committed: Arc<Notify>) -> Self {
        Self { spool, committed }
    }
    fn lock(&self) -> MutexGuard<'_, Spool<D>> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Disk + Send + 'static> Source for SharedSpool<D>
where
    D::File: Send,
{
    fn read(&self, class: Class, after: Mark, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.lock()
            .read(class as u8, Position::new(after.epoch.0, after.seq), bytes_max)
            .map_err(|e| SourceError(format!("{e}: {}", e.source)))
    }
    fn acknowledge(&self, class: Class, upto: Mark) {
        self.lock().acknowledge(class as u8, Position::new(upto.epoch.0, upto.seq));
    }
    fn acknowledged(&self) -> Marks {
        marks(self.lock().cursors())
    }
    fn ends(&self) -> Marks {
        marks(self.lock().ends())
    }
    fn notified(&self) -> impl Future<Output = ()> + Send {
        self.committed.notified()
    }
}

fn marks(positions: [Position; spool::LANES]) -> Marks {
    positions.map(|p| Mark::new(p.epoch, p.seq))
}
