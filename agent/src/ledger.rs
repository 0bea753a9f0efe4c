//! The spool as the agent's threads share it: sensors append, one thread commits, the uplink reads and acknowledges, the heartbeat and the
//! metrics read the account.
//!
//! What a sensor gives between two checkpoints is appended as one group under one lock, so that no commit falls between events and the position
//! that covers them. Critical records are committed at once, all others within `COMMIT_WAIT`.

use event::{Class, Event, Timestamp};
use spool::{Config, IoError, OpenError, Position, RealDisk, Record, Recovery, Spool};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use telemetry::{Counter, Gauge, Gauges, Histogram, Metrics, Repeated};

use crate::clock;
use crate::sensor::LedgerRow;
use crate::uplink::{Source, SourceError};
use wire::Mark;
use wire::link::Marks;

/// Longest time an event that is not critical waits for the disk.
const COMMIT_WAIT: Duration = Duration::from_millis(50);
/// Wait after a disk that would not.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// What may wait in memory between two commits. A group is at most about a quarter of it.
const PENDING_BYTES: u32 = 2 * 1024 * 1024;

#[derive(Clone)]
pub struct SpoolHandle {
    shared: Arc<Shared>,
}

struct Shared {
    spool: Mutex<Spool<RealDisk>>,
    /// Newest checkpoint by `sensor/key`, for a sensor that is opened again.
    checkpoints: Mutex<BTreeMap<String, Vec<u8>>>,
    wish: Mutex<Wish>,
    wished: Condvar,
    committed: tokio::sync::Notify,
    meters: Meters,
}

#[derive(Default)]
struct Wish {
    dirty: bool,
    urgent: bool,
    stop: bool,
    trouble: Option<String>,
}

struct Meters {
    appended: [Counter; 3],
    refused: Counter,
    checkpoints_refused: Counter,
    commits: Counter,
    commit_failures: Counter,
    commit_seconds: Histogram,
    bytes: Gauge,
    ledger: Gauges,
}

/// What a sensor gave since its last checkpoint.
#[derive(Default)]
pub struct Group {
    bytes: Vec<u8>,
    records: Vec<(Class, i64, usize)>,
    lost: Vec<(Class, u64, &'static str)>,
    checkpoints: Vec<(String, Vec<u8>)>,
}

impl Group {
    pub fn event(&mut self, class: Class, event: &Event) {
        wire::event::encode(event, &mut self.bytes);
        self.records.push((class, event.observed.ns(), self.bytes.len()));
    }
    /// Losses of a kind are one declaration.
    pub fn lost(&mut self, class: Class, count: u64, reason: &'static str) {
        match self.lost.iter_mut().find(|(c, _, r)| *c == class && *r == reason) {
            Some(slot) => slot.1 = slot.1.saturating_add(count),
            None => self.lost.push((class, count, reason)),
        }
    }
    pub fn checkpoint(&mut self, key: String, value: &[u8]) {
        self.checkpoints.push((key, value.to_vec()));
    }
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.lost.is_empty() && self.checkpoints.is_empty()
    }
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
    fn clear(&mut self) {
        self.bytes.clear();
        // A burst does not keep its memory.
        self.bytes.shrink_to(64 * 1024);
        self.records.clear();
        self.lost.clear();
        self.checkpoints.clear();
    }
}

impl SpoolHandle {
    /// Opens the spool in a folder of its own.
    pub fn open(folder: &Path, bytes_max: u64, now: Timestamp, metrics: &Metrics) -> Result<(Self, Recovery), OpenError> {
        let disk = RealDisk::open(folder).map_err(|source| match source.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::Locked,
            _ => OpenError::Io { what: "open", source },
        })?;
        let config = Config { pending_bytes_max: PENDING_BYTES, ..Config::sized(bytes_max) };
        let (spool, recovery) = Spool::open(disk, config, u64::try_from(now.secs()).unwrap_or(0))?;
        let appended = metrics.counters("spool", "records_appended", "records written to the spool", &["class"]);
        let meters = Meters {
            appended: Class::ALL.map(|class| appended.with(&[class.name()])),
            refused: metrics.counter("spool", "records_refused", "records the spool could not take; declared lost"),
            checkpoints_refused: metrics.counter(
                "spool",
                "checkpoints_refused",
                "positions the spool could not take; read again after a restart",
            ),
            commits: metrics.counter("spool", "commits", "commits to disk"),
            commit_failures: metrics.counter("spool", "commit_failures", "commits the disk refused; tried again"),
            commit_seconds: metrics.histogram("spool", "commit_seconds", "time a commit takes", &[0.001, 0.005, 0.02, 0.1, 0.5, 2.0]),
            bytes: metrics.gauge("spool", "bytes", "bytes of all files of the spool"),
            ledger: metrics.gauges(
                "ledger",
                "records",
                "account of each class: produced = acknowledged + spooled + lost",
                &["class", "state"],
            ),
        };
        let shared = Shared {
            spool: Mutex::new(spool),
            checkpoints: Mutex::new(recovery.checkpoints.iter().cloned().collect()),
            wish: Mutex::default(),
            wished: Condvar::new(),
            committed: tokio::sync::Notify::new(),
            meters,
        };
        Ok((Self { shared: Arc::new(shared) }, recovery))
    }

    fn spool(&self) -> MutexGuard<'_, Spool<RealDisk>> {
        self.shared.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn wish(&self) -> MutexGuard<'_, Wish> {
        self.shared.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a group whole and empties it. What the spool cannot take it declares lost itself.
    pub fn append(&self, group: &mut Group, now: Timestamp) {
        if group.is_empty() {
            return;
        }
        let mut urgent = false;
        {
            let mut spool = self.spool();
            if spool.pending_bytes() + group.bytes() > PENDING_BYTES as usize * 3 / 4 {
                // So that the spool does not commit by itself in the middle of the group; what goes wrong is seen by the committing thread.
                let _ = spool.commit();
            }
            let mut start = 0;
            for (class, time_ns, end) in &group.records {
                let payload = group.bytes.get(start..*end).unwrap_or(&[]);
                start = *end;
                match spool.append(*class as u8, *time_ns, payload) {
                    Ok(_) => self.shared.meters.appended.get(*class as usize).into_iter().for_each(Counter::inc),
                    Err(_) => self.shared.meters.refused.inc(),
                }
                urgent |= *class == Class::Critical;
            }
            for (class, count, reason) in &group.lost {
                if spool.declare(*class as u8, now.ns(), *count, reason).is_err() {
                    self.shared.meters.refused.inc();
                }
            }
            for (key, value) in &group.checkpoints {
                if spool.checkpoint(key, value).is_err() {
                    self.shared.meters.checkpoints_refused.inc();
                }
            }
        }
        if !group.checkpoints.is_empty() {
            let mut newest = self.shared.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, value) in group.checkpoints.drain(..) {
                if value.is_empty() {
                    newest.remove(&key)
                } else {
                    newest.insert(key, value)
                };
            }
        }
        group.clear();
        let mut wish = self.wish();
        wish.dirty = true;
        wish.urgent |= urgent;
        drop(wish);
        self.shared.wished.notify_one();
    }

    /// Positions of one sensor, without its name.
    pub fn checkpoints(&self, sensor: &str) -> Vec<(String, Vec<u8>)> {
        let newest = self.shared.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let own = |(key, value): (&String, &Vec<u8>)| Some((key.strip_prefix(sensor)?.strip_prefix('/')?.to_owned(), value.clone()));
        newest.iter().filter_map(own).collect()
    }

    /// The committing thread: runs until `stop`, then commits a last time.
    pub fn commit_loop(&self) {
        let mut told = Repeated::every_secs(60);
        loop {
            let mut wish = self.wish();
            while !wish.dirty && !wish.stop {
                wish = self.shared.wished.wait(wish).unwrap_or_else(PoisonError::into_inner);
            }
            if !wish.urgent && !wish.stop {
                let waited = self.shared.wished.wait_timeout_while(wish, COMMIT_WAIT, |w| !w.urgent && !w.stop);
                wish = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            let stop = wish.stop;
            wish.dirty = false;
            wish.urgent = false;
            drop(wish);
            match self.commit() {
                Ok(()) => self.wish().trouble = None,
                Err(error) => {
                    let now = clock::now();
                    if let Some(held_back) = told.hit(now.ns()) {
                        tracing::error!(%error, cause = %error.source, held_back, "spool cannot be written");
                    }
                    let mut wish = self.wish();
                    wish.trouble = Some(format!("{error}: {}", error.source));
                    wish.dirty = true;
                    if !stop {
                        drop(self.shared.wished.wait_timeout_while(wish, RETRY_WAIT, |w| !w.stop));
                    }
                }
            }
            if stop {
                return;
            }
        }
    }

    /// Makes everything appended durable and wakes the uplink.
    pub fn commit(&self) -> Result<(), IoError> {
        let meters = &self.shared.meters;
        let start = clock::instant();
        let result = self.spool().commit();
        meters.commit_seconds.observe(start.elapsed().as_secs_f64());
        match &result {
            Ok(()) => {
                meters.commits.inc();
                self.shared.committed.notify_one();
            }
            Err(_) => meters.commit_failures.inc(),
        }
        result
    }

    pub fn stop(&self) {
        self.wish().stop = true;
        self.shared.wished.notify_all();
    }

    /// Why the disk cannot be written now.
    pub fn trouble(&self) -> Option<String> {
        self.wish().trouble.clone()
    }

    pub fn ledger(&self, class: Class) -> LedgerRow {
        let all = self.spool().ledger();
        let row = all.get(class as usize).copied().unwrap_or_default();
        LedgerRow { produced: row.produced, acknowledged: row.acknowledged, spooled: row.spooled, lost: row.lost }
    }

    pub fn epoch(&self) -> u64 {
        self.spool().epoch()
    }

    /// Brings the gauges up to date, for a scrape.
    pub fn measure(&self) {
        let meters = &self.shared.meters;
        for class in Class::ALL {
            let row = self.ledger(class);
            for (state, n) in [("produced", row.produced), ("acknowledged", row.acknowledged), ("spooled", row.spooled), ("lost", row.lost)]
            {
                meters.ledger.with(&[class.name(), state]).set_int(n);
            }
        }
        meters.bytes.set_int(self.spool().bytes());
    }
}

impl Source for SpoolHandle {
    fn read(&self, class: Class, after: Mark, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        let after = Position::new(after.epoch.0, after.seq);
        self.spool().read(class as u8, after, bytes_max).map_err(|e| SourceError(format!("{e}: {}", e.source)))
    }

    fn acknowledge(&self, class: Class, upto: Mark) {
        self.spool().acknowledge(class as u8, Position::new(upto.epoch.0, upto.seq));
        // Saved with the next commit.
        self.wish().dirty = true;
        self.shared.wished.notify_one();
    }

    fn acknowledged(&self) -> Marks {
        self.spool().cursors().map(|p| Mark::new(p.epoch, p.seq))
    }

    fn ends(&self) -> Marks {
        self.spool().ends().map(|p| Mark::new(p.epoch, p.seq))
    }

    async fn notified(&self) {
        self.shared.committed.notified().await;
    }
}
