//! Events in memory only: a bounded ring, for tests, replays and a collector that keeps nothing.
//!
//! The oldest arrivals leave first; how many have left is counted and shown.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event::{Class, Event};

use super::events::{CountBy, Counts, EventStore, Held, HeldClass, Page, Query, Searched, day_of};
use super::scan::{self, Groups, Newest};
use super::{Offset, Scope, StoreError};

pub struct MemoryStore {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<Arc<Event>>,
    taken: Offset,
    evicted: u64,
}

impl MemoryStore {
    /// Holds at most `capacity` events.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), inner: Mutex::default() }
    }

    /// Events that left for newer ones.
    pub fn evicted(&self) -> u64 {
        self.lock().evicted
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventStore for MemoryStore {
    fn append(&self, next: Offset, events: &[Arc<Event>]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if next <= inner.taken {
            return Ok(());
        }
        inner.taken = next;
        for event in events {
            if inner.events.len() >= self.capacity {
                inner.events.pop_front();
                inner.evicted += 1;
            }
            inner.events.push_back(Arc::clone(event));
        }
        Ok(())
    }

    fn search(&self, scope: &Scope, query: &Query) -> Result<Page, StoreError> {
        let inner = self.lock();
        let mut newest = Newest::new(query.limit);
        let in_memory = scan::search(inner.events.iter(), scope, query, &mut newest);
        Ok(newest.page(Searched { in_memory, ..Searched::default() }))
    }

    fn count_by(&self, scope: &Scope, query: &Query, by: &CountBy) -> Result<Counts, StoreError> {
        let inner = self.lock();
        let mut groups = Groups::new(by);
        let in_memory = scan::count(inner.events.iter(), scope, query, &mut groups);
        Ok(groups.finish(Searched { in_memory, ..Searched::default() }))
    }

    fn held(&self, scope: &Scope) -> Result<Held, StoreError> {
        let inner = self.lock();
        let mut classes: Vec<_> = Class::ALL.into_iter().map(HeldClass::new).collect();
        for event in inner.events.iter().filter(|e| scope.allows_event(e)) {
            if let Some(held) = classes.iter_mut().find(|h| h.class == event.id.class) {
                held.add(day_of(event.time), event.time, event.time, 1);
            }
        }
        classes.iter_mut().for_each(HeldClass::finish);
        Ok(Held { classes, ..Held::default() })
    }

    fn durable(&self) -> Offset {
        self.lock().taken
    }
}
