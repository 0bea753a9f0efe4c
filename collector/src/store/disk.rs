//! Events on disk: a memtable (what the log has and no segment yet) and sealed Parquet segments, searched as one.
//!
//! `append` makes events visible at once; a thread of its own seals them into segments after `seal_rows` or `seal_every`. Durability before
//! that is the log's: after a crash whatever lies beyond `durable()` is read from it again. A reader takes a snapshot and keeps it: sealing,
//! compaction and retention change the manifest, then the snapshot of later readers, and a file goes only when no snapshot has it any more
//! and the grace is over. If the disk refuses, events stay in memory up to `memory_rows_max`; past it `append` says `Behind`, nothing is
//! dropped, and the caller goes on from `taken()` when there is room.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use event::{Class, Event, EventId, SECOND_NS, Timestamp};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::events::{CountBy, Counts, EventStore, Held, HeldClass, Page, Query, Searched, day_of};
use super::filter::Filter;
use super::manifest::Manifest;
use super::scan::{self, Groups, Newest};
use super::segment::bloom::Bloom;
use super::segment::eval;
use super::segment::read::{self, Opened};
use super::segment::write::{self, Written};
use super::segment::{COLUMNS, GROUP_ROWS, Meta};
use super::{Offset, Scope, StoreError};

#[derive(Debug, Clone)]
pub struct DiskConfig {
    /// Folder of manifest and segments.
    pub path: PathBuf,
    /// Events in memory at which a segment is sealed.
    pub seal_rows: usize,
    /// Longest time between two seals.
    pub seal_every: Duration,
    /// Events in memory at most; past it `append` answers `Behind`.
    pub memory_rows_max: usize,
    /// zstd level as sealed, and compacted.
    pub level: i32,
    pub compact_level: i32,
    /// Segments smaller than this are joined.
    pub compact_below_rows: u64,
    /// Rows of a compacted segment.
    pub compact_rows: u64,
    /// Days to keep by class; none: for good.
    pub retention_days: BTreeMap<Class, u32>,
    /// A file stays this long after its segment went, for readers from outside.
    pub grace_s: i64,
    /// Bytes of blooms kept in memory.
    pub bloom_bytes: usize,
    /// Off in tests that seal by hand.
    pub thread: bool,
}

impl DiskConfig {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            seal_rows: 262_144,
            seal_every: Duration::from_secs(60),
            memory_rows_max: 2_000_000,
            level: 3,
            compact_level: 9,
            compact_below_rows: 131_072,
            compact_rows: 1_048_576,
            retention_days: BTreeMap::new(),
            grace_s: 600,
            bloom_bytes: 128 * 1024 * 1024,
            thread: true,
        }
    }
}

/// Figures for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskStats {
    pub memory_rows: usize,
    pub segments: usize,
    pub segment_rows: u64,
    pub segment_bytes: u64,
    pub seals: u64,
    pub seal_failures: u64,
    /// Why the last seal failed, while it has not been made good.
    pub last_failure: Option<String>,
    pub compactions: u64,
    pub removed_segments: u64,
    /// Time of the oldest event in segments, by class.
    pub oldest: BTreeMap<Class, Timestamp>,
}

/// UTC days one seal is split into; the events of further days share one file.
const DAYS_MAX: usize = 8;
const FOOTERS_MAX: usize = 512;

/// The events of one frame, and between which ids they lie.
#[derive(Clone)]
struct Chunk {
    events: Arc<[Arc<Event>]>,
    lowest: EventId,
    highest: EventId,
}

impl Chunk {
    fn new(events: &[Arc<Event>]) -> Self {
        let ids = || events.iter().map(|e| e.id);
        Self { events: events.into(), lowest: ids().min().unwrap_or_default(), highest: ids().max().unwrap_or_default() }
    }

    /// False: surely no event of this chunk fits.
    fn may_match(&self, filter: &Filter) -> bool {
        match filter {
            // The first id asked for that is not below the chunk: is it in it or beyond?
            Filter::Ids(ids) => ids.get(ids.partition_point(|id| *id < self.lowest)).is_some_and(|id| *id <= self.highest),
            Filter::And(all) => all.iter().all(|f| self.may_match(f)),
            _ => true,
        }
    }
}

struct Segment {
    meta: Meta,
    path: PathBuf,
}

/// What a reader keeps while it works.
#[derive(Clone, Default)]
struct Snapshot {
    memory: Vec<Chunk>,
    /// Newest `max` first.
    segments: Arc<Vec<Arc<Segment>>>,
}

impl Snapshot {
    /// Events in memory, without the chunks that hold nothing of the filter.
    fn events<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Arc<Event>> {
        self.memory.iter().filter(|c| c.may_match(filter)).flat_map(|c| c.events.iter())
    }
}

#[derive(Default)]
struct State {
    active: Vec<Chunk>,
    active_rows: usize,
    sealing: Vec<Chunk>,
    sealing_rows: usize,
    segments: Arc<Vec<Arc<Segment>>>,
    taken: Offset,
    sealed: Offset,
}

struct Inner {
    config: DiskConfig,
    folder: PathBuf,
    state: RwLock<State>,
    manifest: Mutex<Manifest>,
    /// Held while segments are made or removed: one at a time.
    work: Mutex<Vec<Leaving>>,
    footers: Mutex<Cache<i64, ArrowReaderMetadata>>,
    blooms: Mutex<Cache<(i64, usize), Arc<Bloom>>>,
    wake: Mutex<Wake>,
    called: Condvar,
    seals: AtomicU64,
    seal_failures: AtomicU64,
    compactions: AtomicU64,
    removed: AtomicU64,
    last_failure: Mutex<Option<String>>,
    damaged: Vec<String>,
}

#[derive(Default)]
struct Wake {
    full: bool,
    closed: bool,
}

/// A segment that is no more; its file goes when nobody reads it.
struct Leaving {
    id: i64,
    file: PathBuf,
    since: Timestamp,
    readers: Weak<Segment>,
}

pub struct DiskStore {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

impl DiskStore {
    /// Opens or makes the store. What lies in the folder and not in the manifest is removed; what is in the manifest and not in the folder
    /// is named by `held().damaged`.
    pub fn open(config: DiskConfig) -> Result<Self, StoreError> {
        let folder = config.path.join("segments");
        std::fs::create_dir_all(&folder).map_err(StoreError::io("make folder", &folder))?;
        let mut manifest = Manifest::open(&config.path.join("manifest.db"))?;
        for (id, file, _) in manifest.gone()? {
            remove(&folder.join(&file))?;
            manifest.forget(id)?;
        }
        let live = manifest.live()?;
        clear_leftovers(&folder, &live)?;
        let mut damaged = Vec::new();
        let mut segments = Vec::new();
        for meta in live {
            let path = folder.join(&meta.file);
            if std::fs::metadata(&path).map_or(u64::MAX, |m| m.len()) != meta.bytes {
                damaged.push(meta.file.clone());
            }
            segments.push(Arc::new(Segment { meta, path }));
        }
        sort_segments(&mut segments);
        let sealed = manifest.sealed()?;
        let state = State { segments: Arc::new(segments), taken: sealed, sealed, ..State::default() };
        let inner = Arc::new(Inner {
            footers: Mutex::new(Cache::new(FOOTERS_MAX)),
            blooms: Mutex::new(Cache::new(config.bloom_bytes)),
            config,
            folder,
            state: RwLock::new(state),
            manifest: Mutex::new(manifest),
            work: Mutex::default(),
            wake: Mutex::default(),
            called: Condvar::new(),
            seals: AtomicU64::new(0),
            seal_failures: AtomicU64::new(0),
            compactions: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            last_failure: Mutex::default(),
            damaged,
        });
        let thread = if inner.config.thread {
            let inner = Arc::clone(&inner);
            let spawned = std::thread::Builder::new().name("store-seal".into()).spawn(move || inner.run());
            Some(spawned.map_err(StoreError::io("start the sealing thread for", "store"))?)
        } else {
            None
        };
        Ok(Self { inner, thread })
    }

    /// Everything below this offset has been taken in: the log is to be read on from here after `Behind`.
    pub fn taken(&self) -> Offset {
        self.inner.state().taken
    }

    /// Seals what is in memory now.
    pub fn seal(&self) -> Result<(), StoreError> {
        self.inner.seal()
    }

    /// Joins small segments of one class and day; false if there was nothing to join.
    pub fn compact(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.inner.compact(now)
    }

    /// Lets go what retention no longer asks for, and removes files nobody reads any more; returns how many segments went.
    pub fn retain(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.inner.retain(now)
    }

    /// Legal hold: retention passes over segments that touch this time; returns how many.
    pub fn hold(&self, from: Timestamp, to: Timestamp, hold: bool) -> Result<usize, StoreError> {
        self.inner.hold(from, to, hold)
    }

    /// Reads every segment and compares its hash; the files that do not fit.
    pub fn verify(&self) -> Vec<String> {
        let segments = Arc::clone(&self.inner.state().segments);
        let fits = |s: &Segment| std::fs::read(&s.path).is_ok_and(|b| blake3::hash(&b).to_hex().as_str() == s.meta.hash);
        segments.iter().filter(|s| !fits(s)).map(|s| s.meta.file.clone()).collect()
    }

    pub fn stats(&self) -> DiskStats {
        let inner = &self.inner;
        let state = inner.state();
        let mut oldest: BTreeMap<Class, Timestamp> = BTreeMap::new();
        for segment in state.segments.iter() {
            oldest.entry(segment.meta.class).and_modify(|t| *t = (*t).min(segment.meta.min)).or_insert(segment.meta.min);
        }
        DiskStats {
            oldest,
            memory_rows: state.active_rows + state.sealing_rows,
            segments: state.segments.len(),
            segment_rows: state.segments.iter().map(|s| s.meta.rows).sum(),
            segment_bytes: state.segments.iter().map(|s| s.meta.bytes).sum(),
            seals: inner.seals.load(Ordering::Relaxed),
            seal_failures: inner.seal_failures.load(Ordering::Relaxed),
            last_failure: lock(&inner.last_failure).clone(),
            compactions: inner.compactions.load(Ordering::Relaxed),
            removed_segments: inner.removed.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
impl DiskStore {
    /// What a search holds while it works.
    pub(crate) fn inner_snapshot_for_test(&self) -> impl Sized {
        self.inner.snapshot()
    }
}

impl Drop for DiskStore {
    /// What is in memory stays the log's: nothing is sealed in haste.
    fn drop(&mut self) {
        lock(&self.inner.wake).closed = true;
        self.inner.called.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn change(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Snapshot {
        let state = self.state();
        let mut memory = state.sealing.clone();
        memory.extend_from_slice(&state.active);
        Snapshot { memory, segments: Arc::clone(&state.segments) }
    }

    /// The sealing thread.
    fn run(&self) {
        loop {
            {
                let wake = lock(&self.wake);
                let waited = self.called.wait_timeout_while(wake, self.config.seal_every, |w| !w.full && !w.closed);
                let mut wake = waited.unwrap_or_else(PoisonError::into_inner).0;
                if wake.closed {
                    return;
                }
                wake.full = false;
            }
            // A failure is counted, shown, and tried again at the next turn.
            let _ = self.seal();
        }
    }

    fn seal(&self) -> Result<(), StoreError> {
        let work = lock(&self.work);
        let (chunks, upto) = {
            let mut state = self.change();
            if state.active_rows == 0 && state.taken == state.sealed {
                return Ok(());
            }
            state.sealing = std::mem::take(&mut state.active);
            state.sealing_rows = std::mem::take(&mut state.active_rows);
            (state.sealing.clone(), state.taken)
        };
        let events: Vec<Arc<Event>> = chunks.iter().flat_map(|c| c.events.iter().cloned()).collect();
        let sealed = self.write_parts(events, &format!("{:016x}", upto.0), self.config.level, 0).and_then(|mut new| {
            lock(&self.manifest).commit(&mut new, &[], Some(upto), Timestamp::ZERO)?;
            Ok(new)
        });
        let mut state = self.change();
        let answer = match sealed {
            Ok(new) => {
                state.sealing.clear();
                state.sealing_rows = 0;
                state.sealed = upto;
                self.adopt(&mut state, new, &[]);
                self.seals.fetch_add(1, Ordering::Relaxed);
                *lock(&self.last_failure) = None;
                Ok(())
            }
            Err(e) => {
                let mut back = std::mem::take(&mut state.sealing);
                back.append(&mut state.active);
                state.active = back;
                state.active_rows += std::mem::take(&mut state.sealing_rows);
                self.seal_failures.fetch_add(1, Ordering::Relaxed);
                *lock(&self.last_failure) = Some(e.to_string());
                Err(e)
            }
        };
        drop(state);
        drop(work);
        answer
    }

    /// Writes events as segment files by class and day; on an error none of the files is left.
    fn write_parts(&self, events: Vec<Arc<Event>>, tag: &str, level: i32, tier: u8) -> Result<Vec<Written>, StoreError> {
        let mut days: HashMap<i64, usize> = HashMap::new();
        for e in &events {
            *days.entry(day_of(e.time)).or_default() += 1;
        }
        // A host with a broken clock may name any day: only the common ones get a file of their own.
        let mut common: Vec<(usize, i64)> = days.into_iter().map(|(d, n)| (n, d)).collect();
        common.sort_unstable_by(|a, b| b.cmp(a));
        common.truncate(DAYS_MAX);
        let mut parts: BTreeMap<(Class, Option<i64>), Vec<Arc<Event>>> = BTreeMap::new();
        for e in events {
            let day = Some(day_of(e.time)).filter(|d| common.iter().any(|c| c.1 == *d));
            parts.entry((e.id.class, day)).or_default().push(e);
        }
        let mut written: Vec<Written> = Vec::new();
        let mut failed = None;
        for ((class, day), mut events) in parts {
            write::sort(&mut events);
            let (min, max) = (events.iter().map(|e| e.time.ms()).min().unwrap_or(0), events.iter().map(|e| e.time.ms()).max().unwrap_or(0));
            let name = format!("{}-{}-{min}-{max}-{tag}.parquet", class.name(), day.map_or_else(|| "stray".to_owned(), |d| d.to_string()));
            let path = self.folder.join(name);
            match write::write(&path, class, &events, level, tier) {
                Ok(w) => written.push(w),
                Err(source) => {
                    let _ = std::fs::remove_file(&path);
                    failed = Some(StoreError::Io { action: "write segment", path, source });
                    break;
                }
            }
        }
        if failed.is_none()
            && let Err(e) = std::fs::File::open(&self.folder).and_then(|f| f.sync_all())
        {
            failed = Some(StoreError::Io { action: "sync folder", path: self.folder.clone(), source: e });
        }
        if let Some(e) = failed {
            for w in &written {
                let _ = std::fs::remove_file(self.folder.join(&w.meta.file));
            }
            return Err(e);
        }
        Ok(written)
    }

    /// Shows new segments to later readers, and hides old ones.
    fn adopt(&self, state: &mut State, new: Vec<Written>, old: &[i64]) {
        let mut segments: Vec<Arc<Segment>> = state.segments.iter().filter(|s| !old.contains(&s.meta.id)).cloned().collect();
        for w in new {
            let mut blooms = lock(&self.blooms);
            for (number, bloom) in w.blooms.into_iter().enumerate() {
                let size = bloom.bytes().len();
                blooms.put((w.meta.id, number), Arc::new(bloom), size);
            }
            let path = self.folder.join(&w.meta.file);
            segments.push(Arc::new(Segment { meta: w.meta, path }));
        }
        sort_segments(&mut segments);
        state.segments = Arc::new(segments);
    }

    fn compact(&self, now: Timestamp) -> Result<bool, StoreError> {
        let mut work = lock(&self.work);
        let all = Arc::clone(&self.state().segments);
        let mut by_part: BTreeMap<(Class, i64, bool), Vec<Arc<Segment>>> = BTreeMap::new();
        for s in all.iter().filter(|s| s.meta.rows < self.config.compact_below_rows) {
            by_part.entry((s.meta.class, s.meta.day, s.meta.hold)).or_default().push(Arc::clone(s));
        }
        drop(all);
        let Some(mut part) = by_part.into_values().find(|p| p.len() > 1) else { return Ok(false) };
        let mut rows = 0;
        part.retain(|s| {
            rows += s.meta.rows;
            rows <= self.config.compact_rows
        });
        if part.len() < 2 {
            return Ok(false);
        }
        let mut events = Vec::new();
        for s in &part {
            let opened = self.open_segment(s).map_err(|e| StoreError::Segment { file: s.meta.file.clone(), reason: e.to_string() })?;
            for group in 0..s.meta.groups.len() {
                let read = opened.all(group).map_err(|e| StoreError::Segment { file: s.meta.file.clone(), reason: e.to_string() })?;
                events.extend(read.into_iter().map(Arc::new));
            }
        }
        let old: Vec<i64> = part.iter().map(|s| s.meta.id).collect();
        let tag = format!("c{:x}", old.iter().max().copied().unwrap_or(0));
        let mut new = self.write_parts(events, &tag, self.config.compact_level, 1)?;
        for w in &mut new {
            w.meta.hold = part.iter().any(|s| s.meta.hold);
        }
        if let Err(e) = lock(&self.manifest).commit(&mut new, &old, None, now) {
            for w in &new {
                let _ = std::fs::remove_file(self.folder.join(&w.meta.file));
            }
            return Err(e);
        }
        self.adopt(&mut self.change(), new, &old);
        self.leave(&mut work, part, now);
        self.compactions.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    fn leave(&self, work: &mut Vec<Leaving>, segments: Vec<Arc<Segment>>, now: Timestamp) {
        for s in segments {
            lock(&self.footers).remove(&s.meta.id);
            work.push(Leaving { id: s.meta.id, file: s.path.clone(), since: now, readers: Arc::downgrade(&s) });
        }
    }

    fn retain(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut work = lock(&self.work);
        let over = |m: &Meta| {
            let days = self.config.retention_days.get(&m.class);
            !m.hold && days.is_some_and(|d| m.max < now.plus_secs(-i64::from(*d) * 86_400))
        };
        let gone: Vec<Arc<Segment>> = self.state().segments.iter().filter(|s| over(&s.meta)).cloned().collect();
        let count = gone.len();
        if count > 0 {
            let ids: Vec<i64> = gone.iter().map(|s| s.meta.id).collect();
            lock(&self.manifest).commit(&mut [], &ids, None, now)?;
            self.adopt(&mut self.change(), Vec::new(), &ids);
            self.leave(&mut work, gone, now);
            self.removed.fetch_add(count as u64, Ordering::Relaxed);
        }
        let mut stay = Vec::new();
        for l in work.drain(..) {
            if l.readers.strong_count() > 0 || now.since(l.since) < self.config.grace_s.saturating_mul(SECOND_NS) {
                stay.push(l);
                continue;
            }
            remove(&l.file)?;
            lock(&self.manifest).forget(l.id)?;
        }
        *work = stay;
        Ok(count)
    }

    fn hold(&self, from: Timestamp, to: Timestamp, hold: bool) -> Result<usize, StoreError> {
        let _work = lock(&self.work);
        let mut state = self.change();
        let touched = |m: &Meta| m.max >= from && m.min < to;
        let ids: Vec<i64> = state.segments.iter().filter(|s| touched(&s.meta)).map(|s| s.meta.id).collect();
        lock(&self.manifest).hold(&ids, hold)?;
        let changed = state.segments.iter().map(|s| {
            if touched(&s.meta) { Arc::new(Segment { meta: Meta { hold, ..s.meta.clone() }, path: s.path.clone() }) } else { Arc::clone(s) }
        });
        state.segments = Arc::new(changed.collect());
        Ok(ids.len())
    }

    fn open_segment(&self, segment: &Segment) -> Result<Opened, read::ReadError> {
        let id = segment.meta.id;
        let known = lock(&self.footers).get(&id);
        let footer = match known {
            Some(footer) => footer,
            None => {
                let footer = read::footer(&segment.path)?;
                lock(&self.footers).put(id, footer.clone(), 1);
                footer
            }
        };
        Opened::new(&segment.path, footer, segment.meta.class)
    }

    fn bloom(&self, segment: i64, group: usize) -> Option<Arc<Bloom>> {
        if let Some(bloom) = lock(&self.blooms).get(&(segment, group)) {
            return Some(bloom);
        }
        // A bloom that cannot be read rules nothing out.
        let bloom = Arc::new(lock(&self.manifest).bloom(segment, group).ok()??);
        lock(&self.blooms).put((segment, group), Arc::clone(&bloom), bloom.bytes().len());
        Some(bloom)
    }

    /// Row groups of a segment that may hold something, or none if the segment as a whole cannot.
    fn groups(&self, segment: &Segment, scope: &Scope, query: &Query, floor: Option<Timestamp>, searched: &mut Searched) -> Vec<usize> {
        let meta = &segment.meta;
        if let Some(units) = &scope.units
            && meta.units.len() < write::UNITS_MAX
            && !units.iter().any(|u| meta.units.contains_key(u))
        {
            return Vec::new();
        }
        let mut groups = Vec::new();
        for (at, group) in meta.groups.iter().enumerate() {
            let in_time = group.max >= query.from && group.min < query.to && floor.is_none_or(|f| group.max >= f);
            if in_time && eval::may_match(&query.filter, group, &|| self.bloom(meta.id, at)) {
                groups.push(at);
                searched.groups_read += 1;
            } else {
                searched.groups_skipped += 1;
            }
        }
        groups
    }
}

impl EventStore for DiskStore {
    fn append(&self, next: Offset, events: &[Arc<Event>]) -> Result<(), StoreError> {
        let full = {
            let mut state = self.inner.change();
            if next <= state.taken {
                return Ok(());
            }
            if state.active_rows + state.sealing_rows + events.len() > self.inner.config.memory_rows_max && state.active_rows > 0 {
                drop(state);
                lock(&self.inner.wake).full = true;
                self.inner.called.notify_all();
                return Err(StoreError::Behind);
            }
            state.taken = next;
            if !events.is_empty() {
                state.active.push(Chunk::new(events));
                state.active_rows += events.len();
            }
            state.active_rows >= self.inner.config.seal_rows
        };
        if full {
            lock(&self.inner.wake).full = true;
            self.inner.called.notify_all();
        }
        Ok(())
    }

    fn search(&self, scope: &Scope, query: &Query) -> Result<Page, StoreError> {
        let snapshot = self.inner.snapshot();
        let mut newest = Newest::new(query.limit);
        let in_memory = scan::search(snapshot.events(&query.filter), scope, query, &mut newest);
        // Ids asked for may all be found before the oldest segment is looked at.
        let wanted = if let Filter::Ids(ids) = &query.filter { ids.len() } else { usize::MAX };
        let mut searched = Searched { in_memory, ..Searched::default() };
        let latest = query.cursor.map_or(query.to, |c| query.to.min(c.time.plus_ns(1)));
        for segment in snapshot.segments.iter().filter(|s| s.meta.max >= query.from && s.meta.min < latest) {
            if newest.len() >= wanted {
                break;
            }
            let floor = newest.floor();
            if floor.is_some_and(|f| segment.meta.max < f) {
                // All that follow are older still; whether they hold more is the next page's to find.
                newest.passed_over();
                break;
            }
            searched.segments += 1;
            let groups = self.inner.groups(segment, scope, query, floor, &mut searched);
            if groups.len() < segment.meta.groups.len() && floor.is_some() {
                newest.passed_over();
            }
            if groups.is_empty() {
                continue;
            }
            let read = self.inner.open_segment(segment).and_then(|o| o.search(&segment.meta, &groups, scope, query, &mut newest));
            if let Err(e) = read {
                searched.failed.push(format!("{}: {e}", segment.meta.file));
            }
        }
        Ok(newest.page(searched))
    }

    fn count_by(&self, scope: &Scope, query: &Query, by: &CountBy) -> Result<Counts, StoreError> {
        let snapshot = self.inner.snapshot();
        let mut groups = Groups::new(by);
        let in_memory = scan::count(snapshot.events(&query.filter), scope, query, &mut groups);
        let mut searched = Searched { in_memory, ..Searched::default() };
        for segment in snapshot.segments.iter().filter(|s| s.meta.max >= query.from && s.meta.min < query.to) {
            searched.segments += 1;
            let chosen = self.inner.groups(segment, scope, query, None, &mut searched);
            if chosen.is_empty() {
                continue;
            }
            let read = self.inner.open_segment(segment).and_then(|o| o.count(&segment.meta, &chosen, scope, query, by, &mut groups));
            if let Err(e) = read {
                searched.failed.push(format!("{}: {e}", segment.meta.file));
            }
        }
        Ok(groups.finish(searched))
    }

    fn held(&self, scope: &Scope) -> Result<Held, StoreError> {
        let snapshot = self.inner.snapshot();
        let mut classes: Vec<HeldClass> = Class::ALL.into_iter().map(HeldClass::new).collect();
        for held in &mut classes {
            let class = held.class;
            held.retention_days = self.inner.config.retention_days.get(&class).copied();
            for meta in snapshot.segments.iter().map(|s| &s.meta).filter(|m| m.class == class) {
                if scope.is_city() {
                    held.add(meta.day, meta.min, meta.max, meta.rows);
                }
                for (unit, (rows, min, max)) in meta.units.iter().filter(|_| !scope.is_city()) {
                    if !unit.is_empty() && scope.allows(Some(unit)) {
                        held.add(meta.day, Timestamp::from_ns(*min), Timestamp::from_ns(*max), *rows);
                    }
                }
            }
            for event in snapshot.events(&Filter::All).filter(|e| e.id.class == class && scope.allows_event(e)) {
                held.add(day_of(event.time), event.time, event.time, 1);
            }
            held.finish();
        }
        let city = scope.is_city();
        Ok(Held {
            classes,
            bytes: if city { snapshot.segments.iter().map(|s| s.meta.bytes).sum() } else { 0 },
            segments: if city { snapshot.segments.len() } else { 0 },
            damaged: if city { self.inner.damaged.clone() } else { Vec::new() },
        })
    }

    fn durable(&self) -> Offset {
        self.inner.state().sealed
    }
}

fn sort_segments(segments: &mut [Arc<Segment>]) {
    segments.sort_by(|a, b| b.meta.max.cmp(&a.meta.max).then(b.meta.id.cmp(&a.meta.id)));
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Io { action: "remove segment", path: path.to_path_buf(), source: e })
        }
        _ => Ok(()),
    }
}

fn clear_leftovers(folder: &Path, live: &[Meta]) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(folder).map_err(StoreError::io("list folder", folder))? {
        let entry = entry.map_err(StoreError::io("list folder", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".parquet") && !live.iter().any(|m| m.file == name) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// First in, first out, by total size.
struct Cache<K, V> {
    room: usize,
    used: usize,
    map: HashMap<K, (V, usize)>,
    order: VecDeque<K>,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    fn new(room: usize) -> Self {
        Self { room, used: 0, map: HashMap::new(), order: VecDeque::new() }
    }
    fn get(&self, key: &K) -> Option<V> {
        self.map.get(key).map(|v| v.0.clone())
    }
    fn put(&mut self, key: K, value: V, size: usize) {
        if size > self.room || self.map.contains_key(&key) {
            return;
        }
        while self.used + size > self.room {
            let Some(old) = self.order.pop_front() else { break };
            self.used -= self.map.remove(&old).map_or(0, |v| v.1);
        }
        self.used += size;
        self.order.push_back(key.clone());
        self.map.insert(key, (value, size));
    }
    fn remove(&mut self, key: &K) {
        if let Some((_, size)) = self.map.remove(key) {
            self.used -= size;
            self.order.retain(|k| k != key);
        }
    }
}

const _: () = assert!(COLUMNS.len() <= 128 && GROUP_ROWS >= 1_024);
