//! The event store as its users see it: take in, search, count, look up, prove what is held.
//!
//! Order everywhere is newest first: by time, then by id, both falling, which is a total order because an id is unique.
//! Limits: a page has at most `PAGE_MAX` rows, a count at most `GROUPS_MAX` groups (what did not fit is said).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use event::{Class, Event, EventId, Timestamp};

use super::filter::{Filter, Key};
use super::{Offset, Scope, StoreError};

/// Rows of one page at most.
pub const PAGE_MAX: usize = 10_000;
/// Groups of one count at most; rows of further groups are summed in `Counts::beyond`.
pub const GROUPS_MAX: usize = 100_000;
/// Days listed one by one in a proof of what is held.
pub const HELD_DAYS_MAX: usize = 4_000;

/// Where events are kept. Implementations: `MemoryStore` (bounded ring), `DiskStore` (memtable and Parquet segments).
pub trait EventStore: Send + Sync {
    /// Takes in the events of ONE frame of the log; visible to every search that starts after the return. `next` is the
    /// offset after that frame. A frame whose `next` is not beyond what was already taken is ignored, so a replay of the
    /// log after a crash neither loses nor doubles an event.
    fn append(&self, next: Offset, events: &[Arc<Event>]) -> Result<(), StoreError>;

    /// The newest events that fit, a page at a time.
    fn search(&self, scope: &Scope, query: &Query) -> Result<Page, StoreError>;

    /// Events by their ids, in one pass over what is held; those that are not held are left out.
    fn find(&self, scope: &Scope, ids: &[EventId]) -> Result<Vec<Arc<Event>>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(PAGE_MAX) {
            let query = Query { filter: Filter::ids(ids.iter().copied()), limit: ids.len(), ..Query::default() };
            let page = self.search(scope, &query)?;
            if let Some(reason) = page.searched.failed.first().filter(|_| page.events.len() < ids.len()) {
                let missing = ids.iter().find(|id| page.events.iter().all(|e| e.id != **id)).copied().unwrap_or_default();
                let text = format!("event {missing} was not found, but not all segments could be read: {reason}");
                return Err(StoreError::Refused(text));
            }
            found.extend(page.events);
        }
        Ok(found)
    }

    /// One event by its id.
    fn get(&self, scope: &Scope, id: EventId) -> Result<Option<Arc<Event>>, StoreError> {
        Ok(self.find(scope, &[id])?.pop())
    }

    /// How many events fit, by values and time; `query.limit` and `query.cursor` are not looked at.
    fn count_by(&self, scope: &Scope, query: &Query, by: &CountBy) -> Result<Counts, StoreError>;

    /// What is held: oldest and newest record, days and missing days of each class.
    fn held(&self, scope: &Scope) -> Result<Held, StoreError>;

    /// Events below this offset are durable in the store itself: the log may be released up to here.
    fn durable(&self) -> Offset;
}

/// What to look for.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// First instant, inclusive.
    pub from: Timestamp,
    /// Last instant, exclusive.
    pub to: Timestamp,
    pub filter: Filter,
    /// Rows of a page; held at `PAGE_MAX`.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

impl Default for Query {
    fn default() -> Self {
        Self { from: Timestamp::MIN, to: Timestamp::MAX, filter: Filter::All, limit: 100, cursor: None }
    }
}

impl Query {
    pub fn new(from: Timestamp, to: Timestamp, filter: Filter, limit: usize) -> Self {
        Self { from, to, filter, limit, cursor: None }
    }

    /// True if the event is asked for (time, cursor and filter; not the scope).
    pub fn matches(&self, event: &Event) -> bool {
        event.time >= self.from
            && event.time < self.to
            && self.cursor.is_none_or(|c| c.admits(event.time, event.id))
            && self.filter.matches(event)
    }
}

/// The last row of a page: the next page holds what is strictly older. Text form `<nanoseconds>.<event id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub time: Timestamp,
    pub id: EventId,
}

impl Cursor {
    pub fn of(event: &Event) -> Self {
        Self { time: event.time, id: event.id }
    }
    pub fn admits(&self, time: Timestamp, id: EventId) -> bool {
        (time, id) < (self.time, self.id)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.time.ns(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{}' is not a cursor (give back the one of the page before)", text.chars().take(80).collect::<String>());
        let (ns, id) = text.split_once('.').ok_or_else(bad)?;
        Ok(Self { time: Timestamp::from_ns(ns.parse().map_err(|_| bad())?), id: id.parse().map_err(|_| bad())? })
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Newest first.
    pub events: Vec<Arc<Event>>,
    /// Set if there may be more; give it back as `Query::cursor`.
    pub next: Option<Cursor>,
    pub searched: Searched,
}

/// What a search looked at, and what it could not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Searched {
    /// Segments whose time fits.
    pub segments: usize,
    /// Row groups of those that were read; the others were ruled out by their bounds or their filter.
    pub groups_read: usize,
    pub groups_skipped: usize,
    /// Events in memory that were looked at.
    pub in_memory: usize,
    /// Files that could not be read: the answer is not complete, and this says why.
    pub failed: Vec<String>,
}

/// How to count.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CountBy {
    /// Values to group by, in this order; none: one group.
    pub keys: Vec<Key>,
    /// Width of a time bucket; none: no time in the groups.
    pub bucket_ns: Option<i64>,
    /// Only the largest groups.
    pub top: Option<usize>,
}

/// Groups, largest first (ties by bucket and values).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    pub groups: Vec<Count>,
    /// Events that fit, in all groups.
    pub total: u64,
    /// Events of groups beyond `GROUPS_MAX`.
    pub beyond: u64,
    /// Groups left off by `top`.
    pub left_off: usize,
    pub searched: Searched,
}

/// One group. An event without the field has `None`; a list counts once for each of its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Begin of the time bucket.
    pub bucket: Option<Timestamp>,
    pub values: Vec<Option<String>>,
    pub count: u64,
}

/// Proof of what is held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Held {
    pub classes: Vec<HeldClass>,
    /// Bytes of all segments on disk (whole store; scoped callers see 0).
    pub bytes: u64,
    pub segments: usize,
    /// Segments that are damaged or missing on disk, by file name.
    pub damaged: Vec<String>,
}

/// What is held of one delivery class.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldClass {
    pub class: Class,
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
    pub events: u64,
    /// Events by day (days since 1970-01-01 UTC); bounded by `HELD_DAYS_MAX`, newest kept.
    pub days: BTreeMap<i64, u64>,
    /// Days between the oldest and the newest on which nothing is held.
    pub missing_days: Vec<i64>,
    /// Days kept by policy; `None`: for good.
    pub retention_days: Option<u32>,
}

impl HeldClass {
    pub fn new(class: Class) -> Self {
        Self { class, oldest: None, newest: None, events: 0, days: BTreeMap::new(), missing_days: Vec::new(), retention_days: None }
    }

    /// Adds `events` of one day within `oldest..=newest`.
    pub fn add(&mut self, day: i64, oldest: Timestamp, newest: Timestamp, events: u64) {
        self.oldest = Some(self.oldest.map_or(oldest, |t| t.min(oldest)));
        self.newest = Some(self.newest.map_or(newest, |t| t.max(newest)));
        self.events += events;
        *self.days.entry(day).or_default() += events;
        if self.days.len() > HELD_DAYS_MAX {
            self.days.pop_first();
        }
    }

    /// Fills `missing_days` from `days`.
    pub fn finish(&mut self) {
        self.missing_days.clear();
        let mut days = self.days.keys().copied();
        let Some(mut last) = days.next() else { return };
        for day in days {
            let room = HELD_DAYS_MAX.saturating_sub(self.missing_days.len());
            self.missing_days.extend((last + 1..day).take(room));
            last = day;
        }
    }
}

/// Day of an instant: days since 1970-01-01 UTC.
pub fn day_of(time: Timestamp) -> i64 {
    time.secs().div_euclid(86_400)
}
