//! Facts over time, for rules to judge: fan-out, packet rates, regularity, DNS by domain, address claims, new devices and pairs, volumes, poll
//! intervals. Each is an event of category `network_fact`; the service is its kind.
//!
//! No thresholds here: a number that only rises is told at a small value and each time it has doubled, so that a rule of any threshold hears of it
//! within a factor of two, and a flood of a million is twenty events. Counts are exact while few (`fact.error` 0) and sketched when many, with
//! their standard error. Tables are bounded; what a full one forgets is counted. Past `FACTS_A_SECOND` of packet time facts are counted only.

mod beacon;
mod fan;
mod names;
mod neighbours;
mod poll;
mod rate;
mod sketch;
mod volume;

use std::hash::Hash;
use std::net::IpAddr;

use ahash::RandomState;
use event::{Event, Field, Kind, LogSource, Timestamp, Value, field};

/// Where facts go.
pub(super) type Say<'a> = &'a mut dyn FnMut(Event);

/// Facts told in one second of packet time.
const FACTS_A_SECOND: u32 = 200;

/// What the facts add to the fields of events.
pub static FIELDS: &[Field] = &[
    field::FACT_WINDOW,
    field::FACT_ERROR,
    field::FAN_HOSTS,
    field::FAN_PORTS,
    field::FAN_SERVICES,
    field::FAN_ATTEMPTS,
    field::FAN_FAILED,
    field::FAN_FAILED_SHARE,
    field::RATE_PACKETS,
    field::RATE_BYTES,
    field::RATE_SOURCES,
    field::RATE_ATTEMPTS,
    field::RATE_ANSWERS,
    field::RATE_SOURCE_SHARE,
    field::RATE_CARD_SHARE,
    field::RATE_ATTEMPT_SHARE,
    field::RATE_CARD_ADDRESS,
    field::BEACON_COUNT,
    field::BEACON_INTERVAL_MS,
    field::BEACON_JITTER,
    field::NAMES_DISTINCT,
    field::NAMES_QUERIES,
    field::NAMES_BYTES,
    field::NAMES_ENTROPY,
    field::CLAIM_CARDS,
    field::CLAIM_CARD_LIST,
    field::CLAIM_ADDRESSES,
    field::CLAIM_ADDRESS_LIST,
    field::CLAIM_PROTOCOL,
    field::NEW_KNOWN,
    field::NEW_QUIET_S,
    field::NEW_ON_CONTROL,
    field::VOLUME_OUT_SHARE,
    field::POLL_REQUESTS,
    field::POLL_USUAL,
    field::POLL_CHANGE,
    field::POLL_INTERVAL_MS,
    field::POLL_JITTER,
    field::DNS_DOMAIN,
    field::OT_PROTOCOL,
];

/// How an attempt to reach a service went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Opened,
    /// Refused, or not answered.
    Failed,
}

/// An attempt whose outcome is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub time: Timestamp,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub port: u16,
    pub protocol: u8,
    pub outcome: Outcome,
}

/// A packet, for rates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub time: Timestamp,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub icmp_kind: u8,
    pub port: Option<u16>,
    pub card: Option<[u8; 6]>,
    /// The first segment of a TCP connection.
    pub is_attempt: bool,
    pub bytes: u32,
}

/// Hashes with a key of their own, so that nobody outside can choose what collides.
pub(super) struct Hashes(RandomState);

impl Hashes {
    fn of<T: Hash>(&self, what: &T) -> u64 {
        self.0.hash_one(what)
    }
}

/// Everything remembered.
pub(super) struct Facts {
    hash: Hashes,
    fan: fan::FanOut,
    rates: rate::Rates,
    beacons: beacon::Beacons,
    names: names::Names,
    neighbours: neighbours::Neighbours,
    volumes: volume::Volumes,
    polls: poll::Polls,
    second: i64,
    told: u32,
    held: u64,
    /// What `lost` was when it was declared last, and when.
    declared: ((u64, u64), i64),
}

/// What was lost is declared so often.
const DECLARED_S: i64 = 60;

impl Facts {
    /// `key` is chance where packets come from strangers, and fixed where the same file is to give the same facts.
    pub(super) fn new(key: u64) -> Self {
        Self {
            hash: Hashes(RandomState::with_seeds(
                key,
                key.rotate_left(17) ^ 0x9e37,
                key.rotate_left(31) ^ 0x79b9,
                key.rotate_left(47) ^ 0x7f4a,
            )),
            fan: fan::FanOut::default(),
            rates: rate::Rates::default(),
            beacons: beacon::Beacons::default(),
            names: names::Names::default(),
            neighbours: neighbours::Neighbours::default(),
            volumes: volume::Volumes::default(),
            polls: poll::Polls::default(),
            second: i64::MIN,
            told: 0,
            held: 0,
            declared: ((0, 0), i64::MIN),
        }
    }

    /// What was forgotten and what was counted only since this was said last, at most once a minute of packet time: name, words, how many.
    pub(super) fn declare(&mut self, now: Timestamp) -> [Option<(&'static str, &'static str, u64)>; 2] {
        let (before, at) = self.declared;
        if now.secs().saturating_sub(at) < DECLARED_S && at != i64::MIN {
            return [None; 2];
        }
        let lost = self.lost();
        if lost == before {
            return [None; 2];
        }
        self.declared = (lost, now.secs());
        let rise = |now: u64, before: u64| now.checked_sub(before).filter(|n| *n > 0);
        [
            rise(lost.0, before.0).map(|n| ("facts_forgotten", "entries that full tables of facts over time forgot", n)),
            rise(lost.1, before.1).map(|n| ("facts_sampled", "facts past the limit of a second, counted instead of told", n)),
        ]
    }

    /// Entries that full tables forgot, and facts that were counted only.
    pub(super) fn lost(&self) -> (u64, u64) {
        let forgotten = self.fan.forgotten() + self.beacons.forgotten() + self.names.forgotten() + self.neighbours.forgotten();
        (forgotten + self.volumes.forgotten() + self.polls.forgotten(), self.held)
    }

    /// `began` is when the attempt was made.
    pub(super) fn attempt(&mut self, attempt: &Attempt, began: Timestamp, out: Say<'_>) {
        let Self { fan, beacons, neighbours, hash, second, told, held, .. } = self;
        let say = &mut limited(attempt.time, second, told, held, out);
        if attempt.dst.is_multicast() || is_broadcast(attempt.dst) {
            return;
        }
        fan.attempt(attempt, hash, say);
        beacons.attempt(attempt, began, say);
        if attempt.outcome == Outcome::Opened && is_inside(attempt.src) && is_inside(attempt.dst) {
            let word = u64::from(attempt.protocol) << 16 | u64::from(attempt.port);
            if let Some(event) = neighbours.pair(attempt.src, attempt.dst, word, attempt.time, false) {
                say(event.with(field::PROTOCOL, protocol_name(attempt.protocol)).with(field::DST_PORT, attempt.port));
            }
        }
    }

    pub(super) fn packet(&mut self, packet: &Packet, out: Say<'_>) {
        let Self { rates, polls, neighbours, hash, second, told, held, .. } = self;
        let say = &mut limited(packet.time, second, told, held, out);
        polls.tick(packet.time, say);
        if !packet.dst.is_multicast() && !is_broadcast(packet.dst) {
            rates.packet(packet, hash, &|card| neighbours.first_claim(&card), say);
        }
    }

    /// A link address was the source of a conversation's first packet, with an address that lies on the same link.
    pub(super) fn device(&mut self, card: [u8; 6], address: Option<IpAddr>, time: Timestamp, out: Say<'_>) {
        let Self { neighbours, second, told, held, .. } = self;
        neighbours.device(card, address, time, &mut limited(time, second, told, held, out));
    }

    pub(super) fn claim(&mut self, card: [u8; 6], address: IpAddr, said: &'static str, time: Timestamp, out: Say<'_>) {
        let Self { neighbours, second, told, held, .. } = self;
        neighbours.claim(card, address, said, time, &mut limited(time, second, told, held, out));
    }

    /// A neighbour discovery message of IPv6.
    pub(super) fn nd(&mut self, kind: u8, source: IpAddr, payload: &[u8], time: Timestamp, out: Say<'_>) {
        if let Some((card, address)) = neighbours::nd_claim(kind, source, payload) {
            self.claim(card, address, "nd", time, out);
        }
    }

    pub(super) fn volume(&mut self, src: IpAddr, dst: IpAddr, sent: u64, back: u64, time: Timestamp, out: Say<'_>) {
        let Self { volumes, second, told, held, .. } = self;
        volumes.record(src, dst, sent, back, time, &mut limited(time, second, told, held, out));
    }

    /// A side that asks in a control protocol sent something.
    pub(super) fn request(&mut self, src: IpAddr, dst: IpAddr, port: u16, protocol: &'static str, time: Timestamp) {
        self.polls.request(src, dst, port, protocol, time);
    }

    /// An event that a parser told.
    pub(super) fn event(&mut self, event: &Event, out: Say<'_>) {
        let Self { names, neighbours, hash, second, told, held, .. } = self;
        let say = &mut limited(event.time, second, told, held, out);
        match event.source.category.as_deref() {
            Some("dns") => names.query(event, hash, say),
            Some("ot") => {
                let ip = |f| event.get(f).and_then(Value::as_ip);
                let asks = event.get(field::OT_DIRECTION).and_then(Value::as_str).is_some_and(|d| matches!(d, "request" | "both"));
                if let (Some(src), Some(dst), true) = (ip(field::SRC_IP), ip(field::DST_IP), asks) {
                    let word = hash.of(&event.text(field::OT_PROTOCOL)) | 1 << 63;
                    if let Some(news) = neighbours.pair(src, dst, word, event.time, true) {
                        let mut news = news.with(field::OT_PROTOCOL, event.text(field::OT_PROTOCOL).into_owned());
                        for also in [field::DST_PORT, field::OT_FUNCTION_NAME] {
                            news.body.set_some(also, event.get(also).cloned());
                        }
                        say(news);
                    }
                }
            }
            _ => {}
        }
    }

    /// Time passes on a quiet link.
    pub(super) fn tick(&mut self, now: Timestamp, out: Say<'_>) {
        let Self { polls, second, told, held, .. } = self;
        polls.tick(now, &mut limited(now, second, told, held, out));
    }
}

/// Hands facts on, so many a second.
fn limited<'a>(time: Timestamp, second: &'a mut i64, told: &'a mut u32, held: &'a mut u64, out: Say<'a>) -> impl FnMut(Event) + use<'a> {
    move |event| {
        if *second != time.secs() {
            (*second, *told) = (time.secs(), 0);
        }
        if *told >= FACTS_A_SECOND {
            *held += 1;
            return;
        }
        *told += 1;
        out(event);
    }
}

/// The first fields of a fact. `span_ns` is the length of time it is about; 0: since ever.
fn fact(service: &'static str, time: Timestamp, span_ns: i64) -> Event {
    let event = Event::new(time, Kind::NetworkActivity, 99, LogSource::new("", "network_fact", service));
    if span_ns > 0 { event.with(field::FACT_WINDOW, span_ns / event::SECOND_NS) } else { event }
}

fn protocol_name(number: u8) -> Value {
    super::voice::protocol_name(number)
}

fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(ip) if ip.is_broadcast() || ip.octets()[3] == 255)
}

/// Private and link-local addresses.
pub(super) fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
