//! The write-ahead log: the durability promise, and the queue from which engine and store read by offset.
//!
//! An accepted batch becomes one frame, written as received. One thread commits: it gathers what all agents bring within a few
//! milliseconds, writes it in one go, and calls `fdatasync` once; only then do the tickets resolve, and only then can readers see the frames.
//! A write that fails (disk full) refuses the batches of that group, cuts back, and goes on; the agents keep them. A failed `fdatasync` makes
//! the segment suspect for good: the group is written again to a new segment. A torn last frame is cut at open; anything else torn is damage:
//! declared, skipped, never silently joined over. The disk is never trusted with silence about what was acknowledged: see `frame.rs`.
//!
//! Bounds: `queue_bytes` waiting for the commit thread (then `WalError::Busy`), one payload `frame::PAYLOAD_MAX`.

pub mod disk;
pub mod frame;
mod read;
mod recover;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use event::{AgentId, Class, Epoch, Timestamp};
use tokio::sync::oneshot;

use super::Offset;
use disk::{Folder, LogDisk, LogFile};
pub use read::{Entry, WalReader};

/// One accepted batch, as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub agent: AgentId,
    pub received: Timestamp,
    pub class: Class,
    pub epoch: Epoch,
    pub first_seq: u64,
    pub last_seq: u64,
    /// The wire batch.
    pub bytes: Bytes,
}

/// The last thing taken from one agent in one class; ordered by epoch, then number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Watermark {
    pub epoch: Epoch,
    pub seq: u64,
}

pub type Marks = BTreeMap<(AgentId, Class), Watermark>;

pub(crate) fn raise(marks: &mut Marks, frame: &Frame) {
    let mark = marks.entry((frame.agent, frame.class)).or_default();
    *mark = (*mark).max(Watermark { epoch: frame.epoch, seq: frame.last_seq });
}

pub(crate) fn merge(marks: &mut Marks, other: &Marks) {
    for (key, mark) in other {
        let slot = marks.entry(*key).or_default();
        *slot = (*slot).max(*mark);
    }
}

#[derive(Debug, Clone)]
pub struct WalConfig {
    /// A segment is closed once it is this long.
    pub segment_bytes: u64,
    /// How long a group waits for others to join it.
    pub group_wait: Duration,
    /// A group this large does not wait.
    pub group_bytes: usize,
    /// Frames waiting for the commit thread; past it `append` answers `Busy`.
    pub queue_bytes: usize,
    /// The log goes on no lower than this, even if its folder was emptied: the highest offset that store or engine know.
    pub begin_at: Offset,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            group_wait: Duration::from_millis(5),
            group_bytes: 1024 * 1024,
            queue_bytes: 64 * 1024 * 1024,
            begin_at: Offset(0),
        }
    }
}

/// What opening the log on this disk would find. Like opening, it cuts a torn tail; unlike it, nothing is written after that.
pub fn survey(disk: &dyn LogDisk) -> Result<WalRecovery, WalError> {
    recover::recover(disk).map(|found| found.recovery)
}

/// What was found at open.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WalRecovery {
    pub frames: u64,
    /// Bytes after the last whole frame that had never been acknowledged; cut.
    pub torn_bytes: u64,
    /// Ranges that had been acknowledged and cannot be read: an alarm.
    pub damaged: Vec<Damage>,
    pub watermarks: Marks,
    /// First offset that can still be read.
    pub oldest: Offset,
    pub end: Offset,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub segment: String,
    pub from: Offset,
    pub to: Offset,
}

/// Why a frame was not taken, or the log cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalError {
    /// The disk is full: the batch was refused and left no trace; the agent keeps it.
    #[error("write-ahead log {path}: no space left; free some, or move it ([store] path)")]
    Full { path: String },
    #[error("write-ahead log {path}: failed to {action}: {reason}")]
    Io { action: &'static str, path: String, reason: String },
    /// Too much is waiting for the disk: try again.
    #[error("write-ahead log: too much is waiting for the disk")]
    Busy,
    #[error("batch of {bytes} bytes is larger than {max}")]
    Oversize { bytes: usize, max: usize },
    #[error("write-ahead log is closed")]
    Closed,
    /// Asked for what has been released.
    #[error("offset {from} has been released; the log begins at {oldest}")]
    Released { from: Offset, oldest: Offset },
}

impl WalError {
    pub(crate) fn io(action: &'static str, path: &Path, e: &io::Error) -> Self {
        let path = path.display().to_string();
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { action, path, reason: e.to_string() },
        }
    }
}

/// Resolves once the frame is on disk, with the offset after it.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<Result<Offset, WalError>>);

impl Ticket {
    /// Waits on this thread; not to be called from async code.
    pub fn wait(self) -> Result<Offset, WalError> {
        self.0.blocking_recv().unwrap_or(Err(WalError::Closed))
    }
}

impl Future for Ticket {
    type Output = Result<Offset, WalError>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|r| r.unwrap_or(Err(WalError::Closed)))
    }
}

/// Figures for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalStats {
    pub frames: u64,
    pub bytes: u64,
    pub syncs: u64,
    pub failures: u64,
    pub refused: u64,
    /// Bytes readers skipped because no frame could be read there.
    pub skipped_bytes: u64,
}

#[derive(Default)]
struct Counters {
    frames: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    failures: AtomicU64,
    refused: AtomicU64,
    skipped: AtomicU64,
}

/// What the commit thread has published.
struct Published {
    segments: BTreeMap<u64, Arc<dyn LogFile>>,
    durable: u64,
    marks: Marks,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    pending: Vec<Pending>,
    bytes: usize,
    closed: bool,
}

struct Pending {
    frame: Frame,
    done: oneshot::Sender<Result<Offset, WalError>>,
}

struct Shared {
    disk: Box<dyn LogDisk>,
    config: WalConfig,
    queue: Mutex<Queue>,
    arrived: Condvar,
    published: Mutex<Published>,
    advanced: Condvar,
    counters: Counters,
    sync_seconds: OnceLock<telemetry::Histogram>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Wal {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Wal {
    /// Opens the log in a folder (made if missing) and starts its commit thread.
    pub fn open(path: &Path, config: WalConfig) -> Result<(Self, WalRecovery), WalError> {
        let folder = Folder::open(path).map_err(|e| WalError::io("open", path, &e))?;
        Self::open_on(Box::new(folder), config)
    }

    /// The same on any disk.
    pub fn open_on(disk: Box<dyn LogDisk>, config: WalConfig) -> Result<(Self, WalRecovery), WalError> {
        let found = recover::recover(disk.as_ref())?;
        let mut recovery = found.recovery;
        recovery.end = recovery.end.max(config.begin_at);
        if found.segments.is_empty() {
            recovery.oldest = recovery.end;
        }
        let writer = write::Writer::new(&found.segments, found.end, config.begin_at.0, found.marks.clone());
        let shared = Arc::new(Shared {
            disk,
            config,
            queue: Mutex::default(),
            arrived: Condvar::new(),
            published: Mutex::new(Published { segments: found.segments, durable: recovery.end.0, marks: found.marks, closed: false }),
            advanced: Condvar::new(),
            counters: Counters::default(),
            sync_seconds: OnceLock::new(),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            let spawned = std::thread::Builder::new().name("wal-commit".into()).spawn(move || writer.run(&shared));
            spawned.map_err(|e| WalError::io("start the commit thread of", Path::new("wal"), &e))?
        };
        Ok((Self { shared, thread: Some(thread) }, recovery))
    }

    /// Hands a frame to the commit thread; never waits. The ticket resolves after `fdatasync`.
    pub fn append(&self, frame: Frame) -> Ticket {
        let (done, ticket) = oneshot::channel();
        let size = frame.bytes.len();
        let refusal = if size > frame::PAYLOAD_MAX {
            Some(WalError::Oversize { bytes: size, max: frame::PAYLOAD_MAX })
        } else {
            let mut queue = self.shared.queue();
            if queue.closed {
                Some(WalError::Closed)
            } else if queue.bytes + size > self.shared.config.queue_bytes && !queue.pending.is_empty() {
                Some(WalError::Busy)
            } else {
                queue.bytes += size + frame::FRAME_HEAD + frame::BODY_HEAD;
                queue.pending.push(Pending { frame, done });
                self.shared.arrived.notify_one();
                return Ticket(ticket);
            }
        };
        if let Some(refusal) = refusal {
            self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            let _ = done.send(Err(refusal));
        }
        Ticket(ticket)
    }

    /// A reader from an offset on; sees durable frames only, past and to come.
    pub fn read(&self, from: Offset) -> Result<WalReader, WalError> {
        WalReader::new(Arc::clone(&self.shared), from)
    }

    /// The offset after the last durable frame.
    pub fn end(&self) -> Offset {
        Offset(self.shared.published().durable)
    }

    /// The first offset that can be read.
    pub fn oldest(&self) -> Offset {
        let published = self.shared.published();
        Offset(published.segments.keys().next().copied().unwrap_or(published.durable))
    }

    /// What had been taken before an offset, by agent and class: the marks at the head of its segment, and the frames from there on.
    pub fn marks_before(&self, offset: Offset) -> Result<Marks, WalError> {
        let base = {
            let published = self.shared.published();
            let at = published.segments.range(..=offset.0).next_back().or_else(|| published.segments.first_key_value());
            at.map_or(offset.0, |(base, _)| *base)
        };
        let mut reader = WalReader::gathering(Arc::clone(&self.shared), Offset(base))?;
        while let Some(entry) = reader.next()?
            && entry.offset < offset
        {
            reader.gather(&entry.frame);
        }
        Ok(reader.gathered())
    }

    /// From now on the time of each `fdatasync` goes there; the first one given stays.
    pub fn time_syncs(&self, histogram: telemetry::Histogram) {
        let _ = self.shared.sync_seconds.set(histogram);
    }

    /// What has been taken durably, by agent and class.
    pub fn watermarks(&self) -> Marks {
        self.shared.published().marks.clone()
    }

    /// Removes closed segments that lie wholly before an offset; returns how many. The one being written stays.
    pub fn release(&self, before: Offset) -> Result<usize, WalError> {
        let gone: Vec<u64> = {
            let mut published = self.shared.published();
            let bases: Vec<u64> = published.segments.keys().copied().collect();
            let gone: Vec<u64> =
                bases.windows(2).filter(|w| matches!(w, [_, next] if *next <= before.0)).filter_map(|w| w.first().copied()).collect();
            for base in &gone {
                published.segments.remove(base);
            }
            gone
        };
        // Oldest first, so that a crash in between leaves no hole.
        for base in &gone {
            let name = recover::segment_name(*base);
            self.shared.disk.remove(&name).map_err(|e| WalError::io("release", &self.shared.disk.path().join(&name), &e))?;
        }
        if !gone.is_empty() {
            self.shared.disk.sync().map_err(|e| WalError::io("sync", self.shared.disk.path(), &e))?;
        }
        Ok(gone.len())
    }

    pub fn stats(&self) -> WalStats {
        let c = &self.shared.counters;
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        WalStats {
            frames: get(&c.frames),
            bytes: get(&c.bytes),
            syncs: get(&c.syncs),
            failures: get(&c.failures),
            refused: get(&c.refused),
            skipped_bytes: get(&c.skipped),
        }
    }

    /// Commits what waits, then stops; readers end after the last frame.
    pub fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.arrived.notify_all();
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
