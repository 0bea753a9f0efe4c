//! Regularity: at what intervals one host begins conversations with one service of another. Service `beacon`.
//!
//! Told at the eighth conversation and each time their number has doubled: the middle interval, how far intervals lie from it (the middle
//! of their distances, in percent), and since when. The newest `KEPT` conversations count.

use std::collections::VecDeque;
use std::net::IpAddr;

use event::{Timestamp, field};

use super::sketch::{Bounded, Spare, Steps, middle};
use super::{Attempt, Say, fact, protocol_name};

const FIRST: u64 = 8;
const KEPT: usize = 33;
const PAIRS_MAX: usize = 2048;

pub(super) struct Beacons {
    pairs: Bounded<(IpAddr, IpAddr, u16, u8), Pair>,
}

#[derive(Default)]
struct Pair {
    /// Empty while there is only the first.
    times: VecDeque<i64>,
    count: u64,
    first: Option<Timestamp>,
    steps: Steps,
    lately: u32,
}

impl Spare for Pair {
    fn spare(&mut self) -> bool {
        std::mem::take(&mut self.lately) > 0 && self.count > 2
    }
    fn renew(&mut self) {
        let mut times = std::mem::take(&mut self.times);
        times.clear();
        *self = Self { times, ..Self::default() };
    }
}

impl Default for Beacons {
    fn default() -> Self {
        Self { pairs: Bounded::new(PAIRS_MAX) }
    }
}

impl Beacons {
    /// `began` is when the conversation began, not when its outcome was known.
    pub(super) fn attempt(&mut self, attempt: &Attempt, began: Timestamp, say: Say<'_>) {
        let pair = self.pairs.entry((attempt.src, attempt.dst, attempt.port, attempt.protocol));
        pair.count += 1;
        pair.lately = pair.lately.saturating_add(1);
        let first = *pair.first.get_or_insert(began);
        if pair.count == 2 {
            pair.times.push_back(first.ns());
        }
        if pair.count > 1 {
            pair.times.push_back(began.ns());
        }
        if pair.times.len() > KEPT {
            pair.times.pop_front();
        }
        if !pair.steps.reached(pair.count, FIRST) {
            return;
        }
        let mut times: Vec<i64> = pair.times.iter().copied().collect();
        times.sort_unstable();
        let intervals: Vec<i64> = times.iter().zip(times.iter().skip(1)).map(|(a, b)| b.saturating_sub(*a) / 1_000_000).collect();
        let Some((interval, spread)) = middle(intervals) else { return };
        let jitter = 100.0 * spread as f64 / interval.max(1) as f64;
        let span = began.since(first).max(0);
        let event = fact("beacon", attempt.time, span)
            .with(field::SRC_IP, attempt.src)
            .with(field::DST_IP, attempt.dst)
            .with(field::DST_PORT, attempt.port)
            .with(field::PROTOCOL, protocol_name(attempt.protocol))
            .with(field::BEACON_COUNT, pair.count)
            .with(field::BEACON_INTERVAL_MS, interval)
            .with(field::BEACON_JITTER, (jitter * 10.0).round() / 10.0)
            .with(field::START_TIME, first.ms());
        say(event);
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.pairs.forgotten
    }
}
