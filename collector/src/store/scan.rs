//! The plain scan: what every faster path must agree with. Used by `MemoryStore` and for the memtable of `DiskStore`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use event::{Event, EventId, SECOND_NS, Timestamp};

use super::Scope;
use super::events::{Count, CountBy, Counts, Cursor, GROUPS_MAX, PAGE_MAX, Page, Query, Searched};

/// The newest `limit` rows seen so far.
pub(crate) struct Newest {
    limit: usize,
    heap: BinaryHeap<Reverse<Row>>,
    /// Rows that fitted, and fell out for newer ones.
    dropped: bool,
}

struct Row(Timestamp, EventId, Arc<Event>);

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Row {}
impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Row {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

impl Newest {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.clamp(1, PAGE_MAX), heap: BinaryHeap::new(), dropped: false }
    }

    /// The time below which nothing can enter any more, once the page is full. Rows AT this time may still enter.
    pub(crate) fn floor(&self) -> Option<Timestamp> {
        (self.heap.len() >= self.limit).then(|| self.heap.peek().map(|r| r.0.0)).flatten()
    }

    /// True if a row of this time and id would enter.
    pub(crate) fn wants(&self, time: Timestamp, id: EventId) -> bool {
        self.heap.len() < self.limit || self.heap.peek().is_some_and(|r| (time, id) > (r.0.0, r.0.1))
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Says that a row fitted and was not brought here because `wants` said no.
    pub(crate) fn passed_over(&mut self) {
        self.dropped = true;
    }

    pub(crate) fn push(&mut self, event: Arc<Event>) {
        if !self.wants(event.time, event.id) {
            self.dropped = true;
            return;
        }
        self.heap.push(Reverse(Row(event.time, event.id, event)));
        if self.heap.len() > self.limit {
            self.heap.pop();
            self.dropped = true;
        }
    }

    pub(crate) fn page(self, searched: Searched) -> Page {
        let dropped = self.dropped;
        let events: Vec<_> = self.heap.into_sorted_vec().into_iter().map(|Reverse(row)| row.2).collect();
        let next = if dropped { events.last().map(|e| Cursor::of(e)) } else { None };
        Page { events, next, searched }
    }
}

/// Groups being counted.
pub(crate) struct Groups<'a> {
    by: &'a CountBy,
    map: HashMap<(i64, Vec<Option<String>>), u64>,
    total: u64,
    beyond: u64,
}

impl<'a> Groups<'a> {
    pub(crate) fn new(by: &'a CountBy) -> Self {
        Self { by, map: HashMap::new(), total: 0, beyond: 0 }
    }

    pub(crate) fn bucket(&self, time: Timestamp) -> i64 {
        match self.by.bucket_ns {
            Some(width) if width > 0 => time.ns().div_euclid(width).saturating_mul(width),
            Some(_) => time.ns().div_euclid(SECOND_NS).saturating_mul(SECOND_NS),
            None => 0,
        }
    }

    pub(crate) fn add_event(&mut self, event: &Event) {
        let bucket = self.bucket(event.time);
        let mut rows: Vec<Vec<Option<String>>> = vec![Vec::with_capacity(self.by.keys.len())];
        for key in &self.by.keys {
            let mut texts: Vec<String> = Vec::new();
            key.texts(event, |t| texts.push(t.into_owned()));
            texts.sort_unstable();
            texts.dedup();
            match texts.len() {
                0 => rows.iter_mut().for_each(|r| r.push(None)),
                1 => rows.iter_mut().for_each(|r| r.push(texts.first().cloned())),
                _ => {
                    rows = rows
                        .iter()
                        .flat_map(|r| {
                            texts.iter().map(|t| {
                                let mut r = r.clone();
                                r.push(Some(t.clone()));
                                r
                            })
                        })
                        .take(ELEMENTS_MAX)
                        .collect();
                }
            }
        }
        self.total += 1;
        for row in rows {
            self.add_to(bucket, row, 1);
        }
    }

    /// Adds rows that were counted elsewhere under one group.
    pub(crate) fn add(&mut self, bucket: i64, values: Vec<Option<String>>, count: u64) {
        self.total += count;
        self.add_to(bucket, values, count);
    }

    fn add_to(&mut self, bucket: i64, values: Vec<Option<String>>, count: u64) {
        let room = self.map.len() < GROUPS_MAX;
        match self.map.entry((bucket, values)) {
            std::collections::hash_map::Entry::Occupied(mut slot) => *slot.get_mut() += count,
            std::collections::hash_map::Entry::Vacant(slot) if room => {
                slot.insert(count);
            }
            std::collections::hash_map::Entry::Vacant(_) => self.beyond += count,
        }
    }

    pub(crate) fn finish(self, searched: Searched) -> Counts {
        let timed = self.by.bucket_ns.is_some();
        let mut groups: Vec<Count> = self
            .map
            .into_iter()
            .map(|((bucket, values), count)| Count { bucket: timed.then_some(Timestamp::from_ns(bucket)), values, count })
            .collect();
        groups.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.bucket.cmp(&b.bucket)).then_with(|| a.values.cmp(&b.values)));
        let mut left_off = 0;
        if let Some(top) = self.by.top {
            left_off = groups.len().saturating_sub(top);
            groups.truncate(top);
        }
        Counts { groups, total: self.total, beyond: self.beyond, left_off, searched }
    }
}

/// Groups that one event with several lists may fall into.
const ELEMENTS_MAX: usize = 4_096;

pub(crate) fn search<'e>(events: impl Iterator<Item = &'e Arc<Event>>, scope: &Scope, query: &Query, newest: &mut Newest) -> usize {
    let mut seen = 0;
    for event in events {
        seen += 1;
        if query.matches(event) && scope.allows_event(event) {
            newest.push(Arc::clone(event));
        }
    }
    seen
}

pub(crate) fn count<'e>(events: impl Iterator<Item = &'e Arc<Event>>, scope: &Scope, query: &Query, groups: &mut Groups) -> usize {
    let mut seen = 0;
    for event in events {
        seen += 1;
        if event.time >= query.from && event.time < query.to && query.filter.matches(event) && scope.allows_event(event) {
            groups.add_event(event);
        }
    }
    seen
}
