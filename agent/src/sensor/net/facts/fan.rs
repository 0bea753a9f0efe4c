//! Fan-out: how many hosts, ports and services (host and port) one source tried, how often in vain. Service `fan_out`.
//!
//! Two windows a source and protocol, one minute and one hour, each from its first attempt on. Told when the services tried reach
//! `FIRST`, and each time they have doubled, with all counts as of then.

use std::net::IpAddr;

use event::{Event, SECOND_NS, Timestamp, field};

use super::sketch::{Bounded, Distinct, Spare, Steps};
use super::{Attempt, Hashes, Outcome, Say, fact};

const SPANS: [i64; 2] = [60 * SECOND_NS, 3600 * SECOND_NS];
/// Services tried when it is told first.
const FIRST: u64 = 8;
const SOURCES_MAX: usize = 2048;

pub(super) struct FanOut {
    sources: Bounded<(IpAddr, u8), Source>,
}

#[derive(Default)]
struct Source {
    windows: [Window; 2],
    /// Services tried since a full table asked last.
    lately: u32,
}

#[derive(Default)]
struct Window {
    start: Option<Timestamp>,
    attempts: u64,
    failed: u64,
    hosts: Distinct,
    ports: Distinct,
    services: Distinct,
    /// The one host and the one port, while there is only one.
    host: Option<IpAddr>,
    port: Option<u16>,
    steps: Steps,
}

impl Spare for Source {
    fn spare(&mut self) -> bool {
        std::mem::take(&mut self.lately) > 1
    }
    fn renew(&mut self) {
        self.lately = 0;
        self.windows.iter_mut().for_each(Window::renew);
    }
}

impl Default for FanOut {
    fn default() -> Self {
        Self { sources: Bounded::new(SOURCES_MAX) }
    }
}

impl FanOut {
    pub(super) fn attempt(&mut self, attempt: &Attempt, hash: &Hashes, say: Say<'_>) {
        let Attempt { time, src, dst, port, protocol, outcome } = *attempt;
        let of_host = hash.of(&dst);
        let of_port = hash.of(&port);
        let of_service = hash.of(&(dst, port));
        let source = self.sources.entry((src, protocol));
        source.lately = source.lately.saturating_add(1);
        for (window, span) in source.windows.iter_mut().zip(SPANS) {
            if window.start.is_none_or(|start| time.since(start).saturating_abs() >= span) {
                window.renew();
                (window.start, window.host, window.port) = (Some(time), Some(dst), Some(port));
            }
            window.attempts += 1;
            window.failed += u64::from(outcome == Outcome::Failed);
            window.host = window.host.filter(|h| *h == dst);
            window.port = window.port.filter(|p| *p == port);
            window.hosts.add(of_host);
            window.ports.add(of_port);
            if window.services.add(of_service) && window.steps.reached(window.services.count(), FIRST) {
                say(window.event(attempt, span));
            }
        }
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.sources.forgotten
    }
}

impl Window {
    /// As new, with the memory it has.
    fn renew(&mut self) {
        let [mut hosts, mut ports, mut services] = [&mut self.hosts, &mut self.ports, &mut self.services].map(std::mem::take);
        for counted in [&mut hosts, &mut ports, &mut services] {
            counted.clear();
        }
        *self = Self { hosts, ports, services, ..Self::default() };
    }

    fn event(&self, attempt: &Attempt, span: i64) -> Event {
        let error = self.services.error_pct().max(self.hosts.error_pct()).max(self.ports.error_pct());
        let mut event = fact("fan_out", attempt.time, span)
            .with(field::SRC_IP, attempt.src)
            .with(field::PROTOCOL, super::protocol_name(attempt.protocol))
            .with(field::FAN_HOSTS, self.hosts.count())
            .with(field::FAN_PORTS, self.ports.count())
            .with(field::FAN_SERVICES, self.services.count())
            .with(field::FAN_ATTEMPTS, self.attempts)
            .with(field::FAN_FAILED, self.failed)
            .with(field::FAN_FAILED_SHARE, self.failed * 100 / self.attempts.max(1))
            .with(field::FACT_ERROR, error);
        event.body.set_some(field::DST_IP, self.host);
        event.body.set_some(field::DST_PORT, self.port);
        event.body.set_some(field::START_TIME, self.start.map(Timestamp::ms));
        event
    }
}
