//! The live feed: what changed, in order, with ids `epoch-number` that a reader can resume from.
//!
//! **One ring per scope.** A caller who sees only some units reads a ring of their own, numbered on its own: ids without
//! holes, so that not even a gap in the numbers tells that something happened elsewhere. What a ring holds was filtered when
//! it was put in, and replay reads the same ring: there is no second path by which foreign data could come.
//!
//! **Readers pull.** A subscription is a position; nothing queues for it. A reader that is too slow (or comes back too late)
//! finds its position gone and is told `resync` once: it reads the list again and goes on from the head.
//!
//! Limits: `capacity` items a ring, `SCOPES_MAX` rings. A position of another life of the server (another epoch) is `resync`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::store::Scope;

/// Distinct scopes that may hold a ring; accounts and tokens are few, and past it the feed says "not ready" to new scopes.
pub const SCOPES_MAX: usize = 4096;

/// Where a reader is: the number of the last item it has, in one life of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub epoch: u64,
    pub number: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

impl FromStr for Position {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, number) = text.trim().split_once('-').ok_or(())?;
        let digits = |t: &str| if t.len() <= 20 && t.bytes().all(|c| c.is_ascii_digit()) { t.parse().map_err(|_| ()) } else { Err(()) };
        Ok(Self { epoch: digits(epoch)?, number: digits(number)? })
    }
}

/// One thing to tell: the event name, the data as one line of JSON, and the units it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub name: &'static str,
    pub data: Arc<str>,
    pub units: Vec<String>,
    /// The alert it tells, for readers that asked for some only.
    pub alert: Option<Arc<warning::Alert>>,
}

/// True if a caller of this scope may see something about these units: everything for the whole city; for a narrower scope
/// only what lies wholly inside. What concerns no unit at all is the city's.
pub fn visible<'a>(scope: &Scope, units: impl IntoIterator<Item = &'a str>) -> bool {
    let Some(mine) = &scope.units else { return true };
    let mut any = false;
    for unit in units {
        if !mine.contains(unit) {
            return false;
        }
        any = true;
    }
    any
}

#[derive(Default)]
struct Ring {
    items: VecDeque<Arc<Item>>,
    /// Number of the newest item; the first ever is 1.
    newest: u64,
}

impl Ring {
    fn push(&mut self, item: Arc<Item>, capacity: usize) {
        if self.items.len() >= capacity {
            self.items.pop_front();
        }
        self.items.push_back(item);
        self.newest += 1;
    }
    /// The item after `number`; `Err` if it is no longer (or never was) held.
    fn after(&self, number: u64) -> Result<Option<(u64, Arc<Item>)>, ()> {
        let oldest = self.newest - self.items.len() as u64 + 1;
        if number > self.newest || number + 1 < oldest {
            return Err(());
        }
        let at = usize::try_from(number + 1 - oldest).map_err(|_| ())?;
        Ok(self.items.get(at).map(|item| (number + 1, item.clone())))
    }
}

struct Rings {
    city: Ring,
    scoped: BTreeMap<BTreeSet<String>, Ring>,
}

/// The feed. Cheap to share; `publish` never blocks on readers.
pub struct Feed {
    epoch: u64,
    capacity: usize,
    rings: Mutex<Rings>,
    head: watch::Sender<u64>,
    published: AtomicU64,
    resyncs: AtomicU64,
    readers: Arc<AtomicU64>,
}

/// The feed holds as many scopes as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the feed already serves {SCOPES_MAX} distinct scopes")]
pub struct TooManyScopes;

/// What a reader gets next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Item {
        id: Position,
        item: Arc<Item>,
    },
    /// What came in between is gone; read the list again, go on from `id`.
    Resync {
        id: Position,
    },
}

impl Feed {
    /// `epoch` must differ between two lives of the server (its start in seconds will do).
    pub fn new(epoch: u64, capacity: usize) -> Self {
        Self {
            epoch,
            capacity: capacity.max(1),
            rings: Mutex::new(Rings { city: Ring::default(), scoped: BTreeMap::new() }),
            head: watch::Sender::new(0),
            published: AtomicU64::new(0),
            resyncs: AtomicU64::new(0),
            readers: Arc::new(AtomicU64::new(0)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rings> {
        // A panic while the lock was held leaves at worst one item missing; the feed goes on.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn publish(&self, item: Item) {
        let item = Arc::new(item);
        {
            let mut rings = self.lock();
            for (scope, ring) in &mut rings.scoped {
                if !item.units.is_empty() && item.units.iter().all(|u| scope.contains(u)) {
                    ring.push(item.clone(), self.capacity);
                }
            }
            rings.city.push(item, self.capacity);
        }
        self.published.fetch_add(1, Ordering::Relaxed);
        self.head.send_modify(|n| *n += 1);
    }

    /// Where the scope's ring stands now; from here on nothing in scope is missed (the ring is made if need be).
    pub fn position(&self, scope: &Scope) -> Result<Position, TooManyScopes> {
        let number = self.with_ring(scope, |ring| ring.newest)?;
        Ok(Position { epoch: self.epoch, number })
    }

    /// Starts reading after `after`, or from now.
    pub fn subscribe(self: &Arc<Self>, scope: &Scope, after: Option<Position>) -> Result<Subscription, TooManyScopes> {
        let head = self.head.subscribe();
        let now = self.position(scope)?;
        self.readers.fetch_add(1, Ordering::Relaxed);
        Ok(Subscription { feed: self.clone(), scope: scope.clone(), at: after.unwrap_or(now), head, _guard: Guard(self.readers.clone()) })
    }

    fn with_ring<T>(&self, scope: &Scope, read: impl FnOnce(&Ring) -> T) -> Result<T, TooManyScopes> {
        let mut rings = self.lock();
        let Some(units) = &scope.units else { return Ok(read(&rings.city)) };
        if let Some(ring) = rings.scoped.get(units) {
            return Ok(read(ring));
        }
        if rings.scoped.len() >= SCOPES_MAX {
            return Err(TooManyScopes);
        }
        Ok(read(rings.scoped.entry(units.clone()).or_default()))
    }

    /// (items published, resyncs told, readers now)
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.published.load(Ordering::Relaxed), self.resyncs.load(Ordering::Relaxed), self.readers.load(Ordering::Relaxed))
    }
}

struct Guard(Arc<AtomicU64>);
impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One reader.
pub struct Subscription {
    feed: Arc<Feed>,
    scope: Scope,
    at: Position,
    head: watch::Receiver<u64>,
    _guard: Guard,
}

impl Subscription {
    pub fn position(&self) -> Position {
        self.at
    }

    /// What is there already, if anything.
    pub fn try_next(&mut self) -> Option<Step> {
        let found = if self.at.epoch == self.feed.epoch {
            self.feed.with_ring(&self.scope, |ring| ring.after(self.at.number).map_err(|()| ring.newest))
        } else {
            self.feed.with_ring(&self.scope, |ring| Err(ring.newest))
        };
        match found.unwrap_or(Ok(None)) {
            Ok(None) => None,
            Ok(Some((number, item))) => {
                self.at.number = number;
                Some(Step::Item { id: self.at, item })
            }
            Err(newest) => {
                self.feed.resyncs.fetch_add(1, Ordering::Relaxed);
                self.at = Position { epoch: self.feed.epoch, number: newest };
                Some(Step::Resync { id: self.at })
            }
        }
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Step {
        loop {
            // Mark before looking, so that what is published in between wakes us.
            self.head.borrow_and_update();
            if let Some(step) = self.try_next() {
                return step;
            }
            if self.head.changed().await.is_err() {
                // The sender lives in the feed we hold; it cannot be gone.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(units: &[&str]) -> Scope {
        Scope { units: Some(units.iter().map(|u| (*u).to_owned()).collect()) }
    }
    fn item(n: u64, units: &[&str]) -> Item {
        Item { name: "alert", data: n.to_string().into(), units: units.iter().map(|u| (*u).to_owned()).collect(), alert: None }
    }
    fn drain(sub: &mut Subscription) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(step) = sub.try_next() {
            out.push(match step {
                Step::Item { id, item } => format!("{id}:{}", item.data),
                Step::Resync { id } => format!("resync {id}"),
            });
        }
        out
    }
    const CITY: Scope = Scope { units: None };

    #[test]
    fn resumes_without_gap_or_duplicate_at_every_cut() {
        let feed = Arc::new(Feed::new(7, 100));
        feed.position(&CITY).unwrap();
        for n in 1..=50 {
            feed.publish(item(n, &["a"]));
        }
        for cut in 0..=50 {
            let got = drain(&mut feed.subscribe(&CITY, Some(Position { epoch: 7, number: cut })).unwrap());
            let want: Vec<String> = (cut + 1..=50).map(|n| format!("7-{n}:{n}")).collect();
            assert_eq!(got, want, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_too_old_or_of_another_life_is_resync_once() {
        let feed = Arc::new(Feed::new(7, 4));
        for n in 1..=10 {
            feed.publish(item(n, &["a"]));
        }
        let mut late = feed.subscribe(&CITY, Some(Position { epoch: 7, number: 5 })).unwrap();
        assert_eq!(drain(&mut late), ["resync 7-10"]);
        feed.publish(item(11, &["a"]));
        assert_eq!(drain(&mut late), ["7-11:11"]);
        assert_eq!(drain(&mut feed.subscribe(&CITY, Some(Position { epoch: 7, number: 7 })).unwrap()).len(), 4);
        for odd in [Position { epoch: 6, number: 3 }, Position { epoch: 7, number: 99 }] {
            assert_eq!(drain(&mut feed.subscribe(&CITY, Some(odd)).unwrap()), ["resync 7-11"]);
        }
    }

    #[test]
    fn a_narrow_scope_sees_the_same_bytes_whether_or_not_others_are_busy() {
        let run = |noise: u64| {
            let feed = Arc::new(Feed::new(7, 8));
            let start = feed.position(&scope(&["b"])).unwrap();
            for n in 1..=6 {
                for _ in 0..noise {
                    feed.publish(item(99, &["a"]));
                    feed.publish(item(98, &["a", "b"]));
                    feed.publish(item(97, &[]));
                }
                feed.publish(item(n, &["b"]));
            }
            drain(&mut feed.subscribe(&scope(&["b"]), Some(start)).unwrap())
        };
        assert_eq!(run(0), run(50));
        assert_eq!(run(0).len(), 6);
    }

    #[test]
    fn positions_are_read_strictly() {
        assert_eq!("12-34".parse(), Ok(Position { epoch: 12, number: 34 }));
        for bad in ["", "-", "1-", "-1", "+1-2", "1-2-3", "a-b", "99999999999999999999999-1"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
