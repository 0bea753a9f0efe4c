//! Who may knock, and how often: at most so many strangers at once, in all and per source address, and after too many
//! failures from an address it must wait. Constant work per knock, bounded memory, no disk.
//!
//! A source is an IPv4 address or an IPv6 /64 (whoever has one address there has them all). Failures are kept for one to two
//! windows in two generations of a map: when a window ends, or a generation is full, the older one is forgotten at once. A flood
//! from very many addresses can therefore make the guard forget, never make it grow; what it then lets through is still bounded
//! by the number of places.

use event::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Clone, Copy)]
pub struct GuardConfig {
    /// Strangers at once.
    pub places: usize,
    /// Strangers at once from one source.
    pub places_per_source: usize,
    /// Failures within a window after which a source is turned away.
    pub failures_max: u32,
    pub window_secs: i64,
    /// Sources remembered per generation.
    pub sources_max: usize,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self { places: 256, places_per_source: 32, failures_max: 20, window_secs: 600, sources_max: 8192 }
    }
}

/// Why a stranger was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// All places are taken.
    Full,
    /// This source has its share of places, or failed too often.
    Source,
}

/// Shared by all connections of one port.
#[derive(Debug)]
pub struct Guard {
    config: GuardConfig,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    inside: usize,
    per_source: HashMap<Source, usize>,
    current: HashMap<Source, u32>,
    previous: HashMap<Source, u32>,
    since: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => Self::V6((v6.to_bits() >> 64) as u64),
        }
    }
}

/// A place inside, given back when dropped.
#[derive(Debug)]
pub struct Pass {
    guard: Arc<Guard>,
    source: Source,
}

impl Guard {
    pub fn new(config: GuardConfig) -> Arc<Self> {
        Arc::new(Self { config, book: Mutex::default() })
    }

    /// Lets a stranger in, or says why not.
    pub fn enter(self: &Arc<Self>, address: IpAddr, now: Timestamp) -> Result<Pass, Turned> {
        let source = Source::from(address);
        let mut book = self.lock();
        book.turn(now, &self.config);
        if book.failures(source) >= self.config.failures_max {
            return Err(Turned::Source);
        }
        if book.inside >= self.config.places {
            return Err(Turned::Full);
        }
        let here = book.per_source.entry(source).or_insert(0);
        if *here >= self.config.places_per_source {
            return Err(Turned::Source);
        }
        *here += 1;
        book.inside += 1;
        Ok(Pass { guard: self.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn failures(&self, source: Source) -> u32 {
        let of = |map: &HashMap<Source, u32>| map.get(&source).copied().unwrap_or(0);
        of(&self.current).saturating_add(of(&self.previous))
    }

    fn turn(&mut self, now: Timestamp, config: &GuardConfig) {
        // A clock set back must not keep anyone out for longer than a window.
        let age = now.since(self.since);
        let window = config.window_secs.saturating_mul(event::SECOND_NS);
        if age >= window || age < 0 {
            let old = std::mem::take(&mut self.current);
            self.previous = if age >= window.saturating_mul(2) || age < 0 { HashMap::new() } else { old };
            self.since = now;
        } else if self.current.len() >= config.sources_max {
            self.previous = std::mem::take(&mut self.current);
        }
    }
}

impl Pass {
    /// The visit was a failure: no TLS, no request, or one that was refused for good.
    pub fn failed(&self, now: Timestamp) {
        let mut book = self.guard.lock();
        book.turn(now, &self.guard.config);
        let count = book.current.entry(self.source).or_insert(0);
        *count = count.saturating_add(1);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut book = self.guard.lock();
        book.inside = book.inside.saturating_sub(1);
        if let Some(here) = book.per_source.get_mut(&self.source) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                book.per_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
    const CONFIG: GuardConfig = GuardConfig { places: 4, places_per_source: 3, failures_max: 2, window_secs: 60, sources_max: 3 };

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let guard = Guard::new(CONFIG);
        let mut passes: Vec<_> = (0..3).map(|_| guard.enter(ip(1), NOW).unwrap()).collect();
        assert_eq!(guard.enter(ip(1), NOW).unwrap_err(), Turned::Source);
        passes.push(guard.enter(ip(2), NOW).unwrap());
        assert_eq!(guard.enter(ip(3), NOW).unwrap_err(), Turned::Full);
        passes.clear();
        assert!(guard.enter(ip(3), NOW).is_ok());
        assert!(guard.lock().per_source.is_empty());
    }

    #[test]
    fn failures_keep_a_source_out_for_a_while_and_only_that_one() {
        let guard = Guard::new(CONFIG);
        let v6 = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..2 {
            guard.enter(ip(1), NOW).unwrap().failed(NOW);
            guard.enter(v6("2001:db8::1"), NOW).unwrap().failed(NOW);
        }
        assert_eq!(guard.enter(ip(1), NOW).unwrap_err(), Turned::Source);
        assert_eq!(guard.enter(v6("2001:db8::ffff"), NOW).unwrap_err(), Turned::Source, "the same /64");
        assert_eq!(guard.enter(v6("::ffff:10.0.0.1"), NOW).unwrap_err(), Turned::Source, "the same address in IPv6 clothes");
        assert!(guard.enter(v6("2001:db8:1::1"), NOW).is_ok() && guard.enter(ip(2), NOW).is_ok());
        assert!(guard.enter(ip(1), NOW.plus_secs(120)).is_ok(), "two windows later it is forgotten");
    }

    #[test]
    fn a_flood_of_sources_does_not_grow_the_book() {
        let guard = Guard::new(CONFIG);
        for n in 0..200 {
            guard.enter(ip(n), NOW).unwrap().failed(NOW);
        }
        let book = guard.lock();
        assert!(book.current.len() <= 4 && book.previous.len() <= 4);
    }
}
