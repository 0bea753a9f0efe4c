//! What keeps a flood in the network from being a flood of events: so many anomalies of a name, so many records a second. What is not told
//! is counted and told as a number.

use std::collections::HashMap;

use event::{SECOND_NS, Timestamp};

/// Anomalies of one name that are told in `WINDOW_NS` of packet time; the rest is counted into the next one told.
const ANOMALIES_A_WINDOW: u32 = 10;
const WINDOW_NS: i64 = 10 * SECOND_NS;

/// Bounded by the vocabulary of anomaly names.
#[derive(Default)]
pub(super) struct Limiter {
    windows: HashMap<&'static str, Window>,
    pub(super) held: u64,
}

struct Window {
    start: Timestamp,
    told: u32,
    held: u64,
}

impl Limiter {
    /// How many this one stands for, if it is to be told.
    pub(super) fn pass(&mut self, name: &'static str, time: Timestamp) -> Option<u64> {
        let window = self.windows.entry(name).or_insert(Window { start: time, told: 0, held: 0 });
        if !(0..WINDOW_NS).contains(&time.since(window.start)) {
            (window.start, window.told) = (time, 0);
        }
        if window.told >= ANOMALIES_A_WINDOW {
            window.held += 1;
            self.held += 1;
            return None;
        }
        window.told += 1;
        Some(1 + std::mem::take(&mut window.held))
    }

    /// Names with what was held back and not yet counted in, by name.
    pub(super) fn flush(&mut self) -> Vec<(&'static str, u64)> {
        let mut rest: Vec<_> =
            self.windows.iter_mut().filter(|(_, w)| w.held > 0).map(|(name, w)| (*name, std::mem::take(&mut w.held))).collect();
        rest.sort_unstable();
        rest
    }
}

/// So many a second of packet time.
#[derive(Default)]
pub(super) struct Budget {
    max: u32,
    second: i64,
    used: u32,
    left_out: u64,
    pub(super) total: u64,
}

impl Budget {
    pub(super) fn new(max: u32) -> Self {
        Self { max, ..Self::default() }
    }

    pub(super) fn take(&mut self, at: Timestamp) -> bool {
        if at.secs() != self.second {
            (self.second, self.used) = (at.secs(), 0);
        }
        if self.used >= self.max {
            self.left_out += 1;
            self.total += 1;
            return false;
        }
        self.used += 1;
        true
    }

    /// What was left out in a second that is over.
    pub(super) fn settle(&mut self, now: Timestamp) -> Option<(Timestamp, u64)> {
        if self.left_out == 0 || now.secs() == self.second {
            return None;
        }
        Some((Timestamp::from_secs(self.second), std::mem::take(&mut self.left_out)))
    }
}
