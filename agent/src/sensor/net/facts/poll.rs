//! Polling: how often a master asks a station, and whether that has changed. Service `poll_interval`.
//!
//! Requests are counted in slots of ten seconds. What is usual is the middle of up to `USUAL` slots before, known from six on. Told when a slot
//! holds twice as many or half as many as usual, or none, or half as steady; not again until it is as usual once more or has doubled again.
//! A slot without any is told when time has passed it: the next packet of the link tells the time.

use std::collections::VecDeque;
use std::net::IpAddr;

use event::{Event, SECOND_NS, Timestamp, field};

use super::sketch::{Bounded, Spare, middle};
use super::{Say, fact};

const SLOT_NS: i64 = 10 * SECOND_NS;
const USUAL: usize = 30;
const KNOWN: usize = 6;
const PAIRS_MAX: usize = 1024;
/// Intervals of one slot that are looked at.
const INTERVALS_MAX: usize = 64;

pub(super) struct Polls {
    pairs: Bounded<(IpAddr, IpAddr, u16), Pair>,
    slot: i64,
    /// Where the slot begins: asked for every packet, so that nothing is divided for most.
    begins: i64,
}

#[derive(Default)]
struct Pair {
    protocol: &'static str,
    last: Option<Timestamp>,
    requests: u64,
    intervals: Vec<i64>,
    usual: VecDeque<i64>,
    /// Level told: 0 as usual, n twice as often n times, -n half as often.
    told: i64,
    lately: bool,
}

impl Spare for Pair {
    fn spare(&mut self) -> bool {
        std::mem::take(&mut self.lately)
    }
}

impl Default for Polls {
    fn default() -> Self {
        Self { pairs: Bounded::new(PAIRS_MAX), slot: i64::MIN, begins: i64::MIN }
    }
}

impl Polls {
    /// The master sent something to the station.
    pub(super) fn request(&mut self, src: IpAddr, dst: IpAddr, port: u16, protocol: &'static str, time: Timestamp) {
        let pair = self.pairs.entry((src, dst, port));
        pair.protocol = protocol;
        pair.lately = true;
        pair.requests += 1;
        let before = pair.last.replace(time);
        if let Some(before) = before
            && pair.intervals.len() < INTERVALS_MAX
        {
            pair.intervals.push(time.since(before).max(0) / 1_000);
        }
    }

    /// Time has come to `now`: slots that are over are judged. Cheap until the next slot begins.
    pub(super) fn tick(&mut self, now: Timestamp, say: Say<'_>) {
        if self.slot != i64::MIN && (0..SLOT_NS).contains(&now.ns().wrapping_sub(self.begins)) {
            return;
        }
        let slot = now.ns().div_euclid(SLOT_NS);
        // The first slot began somewhere; a clock that jumped tells nothing of polls.
        let judged = slot == self.slot.saturating_add(1);
        let end = Timestamp::from_ns(slot.saturating_mul(SLOT_NS));
        (self.slot, self.begins) = (slot, end.ns());
        self.pairs.each(|(src, dst, port), pair| {
            if judged && let Some(event) = pair.close(end) {
                say(event.with(field::SRC_IP, src).with(field::DST_IP, dst).with(field::DST_PORT, port));
            }
            pair.requests = 0;
            pair.intervals.clear();
        });
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.pairs.forgotten
    }
}

impl Pair {
    fn close(&mut self, end: Timestamp) -> Option<Event> {
        let requests = i64::try_from(self.requests).unwrap_or(i64::MAX);
        let usual = (self.usual.len() >= KNOWN).then(|| middle(self.usual.iter().copied().collect())).flatten();
        // The slot in which it began is not whole.
        if !self.usual.is_empty() || self.last.is_some_and(|last| end.since(last) < SLOT_NS) {
            self.usual.push_back(requests);
        }
        if self.usual.len() > USUAL {
            self.usual.pop_front();
        }
        let (usual, _) = usual.filter(|(usual, _)| *usual > 0)?;
        let level = level(requests, usual);
        let told = std::mem::replace(&mut self.told, level);
        if level == 0 || (told != 0 && told.signum() == level.signum() && level.abs() <= told.abs()) {
            self.told = if level == 0 { 0 } else { told };
            return None;
        }
        let interval = middle(self.intervals.clone());
        let mut event = fact("poll_interval", end, SLOT_NS)
            .with(field::OT_PROTOCOL, self.protocol)
            .with(field::POLL_REQUESTS, requests)
            .with(field::POLL_USUAL, usual)
            .with(field::POLL_CHANGE, (requests - usual).saturating_mul(100) / usual);
        if let Some((interval, spread)) = interval {
            event.body.set(field::POLL_INTERVAL_MS, interval / 1_000);
            event.body.set(field::POLL_JITTER, (1_000.0 * spread as f64 / interval.max(1) as f64).round() / 10.0);
        }
        Some(event)
    }
}

/// How many times twice as often (or half as often) as usual; none at all is as far as it goes.
fn level(requests: i64, usual: i64) -> i64 {
    match (requests, usual) {
        (0, _) => -62,
        (r, u) if r >= u => i64::from((r / u).ilog2()),
        (r, u) => -i64::from((u / r).ilog2()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_that_falls_silent_or_hurries_is_told_once() {
        let (mut polls, mut told) = (Polls::default(), Vec::new());
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut ask = |from: i64, to: i64, every_ms: i64| {
            let mut at = from * 1000;
            while at < to * 1000 {
                let time = Timestamp::from_ms(at);
                polls.tick(time, &mut |e: Event| {
                    told.push((e.time.secs(), e.get(field::POLL_CHANGE).and_then(event::Value::as_int).unwrap()))
                });
                if every_ms > 0 {
                    polls.request(ip(1), ip(2), 502, "modbus", time);
                }
                at += if every_ms > 0 { every_ms } else { 1000 };
            }
        };
        ask(0, 120, 1000);
        ask(120, 160, 100);
        ask(160, 200, 1000);
        ask(200, 240, 0);
        assert_eq!(told, [(130, 900), (210, -100)]);
    }
}
