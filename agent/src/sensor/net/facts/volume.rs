//! Volumes: bytes one host sent to another in an hour, and what came back. Service `volume`.
//!
//! Told when what was sent reaches a mebibyte and each time it has doubled, as flow records add up: a conversation that goes on is counted as often
//! as it is reported.

use std::net::IpAddr;

use event::{SECOND_NS, Timestamp, field};

use super::sketch::{Bounded, Spare, Steps};
use super::{Say, fact};

const WINDOW_NS: i64 = 3600 * SECOND_NS;
const FIRST: u64 = 1 << 20;
const PAIRS_MAX: usize = 2048;

pub(super) struct Volumes {
    pairs: Bounded<(IpAddr, IpAddr), Volume>,
}

#[derive(Default)]
struct Volume {
    start: Option<Timestamp>,
    sent: u64,
    back: u64,
    records: u64,
    steps: Steps,
    lately: u64,
}

impl Spare for Volume {
    fn spare(&mut self) -> bool {
        std::mem::take(&mut self.lately) > FIRST / 16
    }
}

impl Default for Volumes {
    fn default() -> Self {
        Self { pairs: Bounded::new(PAIRS_MAX) }
    }
}

impl Volumes {
    pub(super) fn record(&mut self, src: IpAddr, dst: IpAddr, sent: u64, back: u64, time: Timestamp, say: Say<'_>) {
        let volume = self.pairs.entry((src, dst));
        volume.lately = volume.lately.saturating_add(sent);
        if volume.start.is_none_or(|start| time.since(start).saturating_abs() >= WINDOW_NS) {
            *volume = Volume { start: Some(time), lately: volume.lately, ..Volume::default() };
        }
        volume.sent = volume.sent.saturating_add(sent);
        volume.back = volume.back.saturating_add(back);
        volume.records += 1;
        if !volume.steps.reached(volume.sent, FIRST) {
            return;
        }
        let share = volume.sent as f64 * 100.0 / (volume.sent.saturating_add(volume.back)).max(1) as f64;
        let mut event = fact("volume", time, WINDOW_NS)
            .with(field::SRC_IP, src)
            .with(field::DST_IP, dst)
            .with(field::BYTES_OUT, volume.sent)
            .with(field::BYTES_IN, volume.back)
            .with(field::VOLUME_OUT_SHARE, (share * 10.0).round() / 10.0)
            .with(field::COUNT, volume.records);
        event.body.set_some(field::START_TIME, volume.start.map(Timestamp::ms));
        say(event);
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.pairs.forgotten
    }
}
