//! Neighbours: who claims which address (ARP, IPv6 neighbour discovery), devices that were not there before, and pairs of hosts that did not
//! talk before. Services `address_claim`, `new_device`, `new_pair`.
//!
//! Nothing here knows how long is long enough to know a network: each fact says how many were known, since when the sensor has watched, and
//! how long nothing new had come. Rules decide.
//!
//! Limits: `CARDS_MAX` link addresses, `ADDRESSES_MAX` addresses, `PAIRS_MAX` pairs; full tables forget as `Bounded` does.

use std::net::IpAddr;

use event::{Event, Timestamp, Value, field};

use super::sketch::{Bounded, Spare, Steps};
use super::{Say, fact};

const CARDS_MAX: usize = 4096;
const ADDRESSES_MAX: usize = 4096;
const PAIRS_MAX: usize = 8192;
const STATIONS_MAX: usize = 2048;
/// Link addresses or addresses of one claimant that are named.
const NAMED_MAX: usize = 8;

type Card = [u8; 6];

pub(super) struct Neighbours {
    cards: Bounded<Card, Claimant<IpAddr>>,
    addresses: Bounded<IpAddr, Claimant<Card>>,
    pairs: Bounded<(IpAddr, IpAddr, u64), Met>,
    stations: Bounded<(IpAddr, u64), Station>,
    began: Option<Timestamp>,
    newest: Option<Timestamp>,
    /// A control protocol was spoken on this link.
    control: bool,
}

/// Who claims, and what.
struct Claimant<T> {
    known: bool,
    claims: Vec<T>,
    count: u64,
    steps: Steps,
    lately: bool,
}

impl<T> Default for Claimant<T> {
    fn default() -> Self {
        Self { known: false, claims: Vec::new(), count: 0, steps: Steps::default(), lately: false }
    }
}

impl<T> Spare for Claimant<T> {
    fn spare(&mut self) -> bool {
        std::mem::take(&mut self.lately)
    }
}

impl<T: PartialEq + Copy> Claimant<T> {
    /// True if so many different ones are claimed that it is to be told.
    fn claim(&mut self, what: T) -> bool {
        self.lately = true;
        if self.claims.contains(&what) {
            return false;
        }
        self.count += 1;
        if self.claims.len() < NAMED_MAX {
            self.claims.push(what);
        }
        self.count >= 2 && self.steps.reached(self.count, 2)
    }
}

#[derive(Default)]
struct Met(bool);

impl Spare for Met {
    fn spare(&mut self) -> bool {
        std::mem::take(&mut self.0)
    }
}

/// A station that is asked, by protocol: how many ask it, and when the newest of them came.
#[derive(Default)]
struct Station {
    askers: u64,
    newest: Option<Timestamp>,
    lately: bool,
}

impl Spare for Station {
    fn spare(&mut self) -> bool {
        std::mem::take(&mut self.lately)
    }
}

impl Default for Neighbours {
    fn default() -> Self {
        Self {
            cards: Bounded::new(CARDS_MAX),
            addresses: Bounded::new(ADDRESSES_MAX),
            pairs: Bounded::new(PAIRS_MAX),
            stations: Bounded::new(STATIONS_MAX),
            began: None,
            newest: None,
            control: false,
        }
    }
}

impl Neighbours {
    /// Somebody says that an address is at a link address. `said` is arp or nd.
    pub(super) fn claim(&mut self, card: Card, address: IpAddr, said: &'static str, time: Timestamp, say: Say<'_>) {
        if address.is_unspecified() || address.is_multicast() || card[0] & 1 == 1 {
            return;
        }
        self.device(card, Some(address), time, say);
        let of_address = self.addresses.entry(address);
        if of_address.claim(card) {
            let others: Vec<Value> = of_address.claims.iter().map(|c| Value::mac(*c)).collect();
            let event =
                claim_event(card, address, said, time).with(field::CLAIM_CARDS, of_address.count).with(field::CLAIM_CARD_LIST, others);
            say(event);
        }
        let of_card = self.cards.entry(card);
        if of_card.claim(address) {
            let others: Vec<Value> = of_card.claims.iter().map(|a| Value::Ip(*a)).collect();
            let event =
                claim_event(card, address, said, time).with(field::CLAIM_ADDRESSES, of_card.count).with(field::CLAIM_ADDRESS_LIST, others);
            say(event);
        }
    }

    /// The address a link address claimed first.
    pub(super) fn first_claim(&self, card: &Card) -> Option<IpAddr> {
        self.cards.get(card)?.claims.first().copied()
    }

    /// A device was heard.
    pub(super) fn device(&mut self, card: Card, address: Option<IpAddr>, time: Timestamp, say: Say<'_>) {
        if card[0] & 1 == 1 || card == [0; 6] || self.cards.get(&card).is_some_and(|c| c.known) {
            return;
        }
        let known = self.cards.len();
        self.cards.entry(card).known = true;
        let began = *self.began.get_or_insert(time);
        let quiet = time.since(self.newest.replace(time).unwrap_or(began));
        let mut event = news("new_device", time, known as u64, began, quiet)
            .with(field::SRC_MAC, Value::mac(card))
            .with(field::NEW_ON_CONTROL, self.control);
        event.body.set_some(field::SRC_IP, address);
        say(event);
    }

    /// One host asks a station by a protocol (a control protocol's word, or the port's).
    pub(super) fn pair(&mut self, src: IpAddr, dst: IpAddr, protocol: u64, time: Timestamp, is_control: bool) -> Option<Event> {
        self.control |= is_control;
        let began = *self.began.get_or_insert(time);
        let met = self.pairs.entry((src, dst, protocol));
        if met.0 {
            return None;
        }
        met.0 = true;
        let station = self.stations.entry((dst, protocol));
        let quiet = time.since(station.newest.replace(time).unwrap_or(began));
        station.lately = true;
        station.askers += 1;
        let event = news("new_pair", time, station.askers - 1, began, quiet).with(field::SRC_IP, src).with(field::DST_IP, dst);
        Some(event.with(field::NEW_ON_CONTROL, is_control))
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.cards.forgotten + self.addresses.forgotten + self.pairs.forgotten + self.stations.forgotten
    }
}

fn claim_event(card: Card, address: IpAddr, said: &'static str, time: Timestamp) -> Event {
    fact("address_claim", time, 0).with(field::SRC_MAC, Value::mac(card)).with(field::SRC_IP, address).with(field::CLAIM_PROTOCOL, said)
}

fn news(service: &'static str, time: Timestamp, known: u64, began: Timestamp, quiet_ns: i64) -> Event {
    fact(service, time, time.since(began).max(0)).with(field::NEW_KNOWN, known).with(field::NEW_QUIET_S, quiet_ns.max(0) / event::SECOND_NS)
}

/// Who a neighbour solicitation or advertisement (RFC 4861, types 135 and 136) says is where: from the source or target link address option.
pub(super) fn nd_claim(kind: u8, source: IpAddr, payload: &[u8]) -> Option<(Card, IpAddr)> {
    let (address, wanted) = match kind {
        // An advertisement speaks of its target, a solicitation of its source.
        136 => (IpAddr::from(<[u8; 16]>::try_from(payload.get(4..20)?).ok()?), 2),
        135 => (source, 1),
        _ => return None,
    };
    let mut options = payload.get(20..)?;
    for _ in 0..8 {
        let (option, length) = (*options.first()?, usize::from(*options.get(1)?) * 8);
        if option == wanted && length >= 8 {
            return Some((options.get(2..8)?.try_into().ok()?, address));
        }
        options = options.get(length.max(8)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_is_about_its_target_and_a_solicitation_about_its_source() {
        let source: IpAddr = "fe80::1".parse().unwrap();
        let mut payload = vec![0; 4];
        payload.extend(std::net::Ipv6Addr::LOCALHOST.octets());
        payload.extend([2, 1, 2, 0, 0, 0, 0, 9]);
        assert_eq!(nd_claim(136, source, &payload), Some(([2, 0, 0, 0, 0, 9], "::1".parse().unwrap())));
        assert_eq!(nd_claim(135, source, &payload), None);
        payload[20] = 1;
        assert_eq!(nd_claim(135, source, &payload), Some(([2, 0, 0, 0, 0, 9], source)));
        for n in 0..payload.len() {
            assert_eq!(nd_claim(135, source, &payload[..n]), None);
        }
    }

    #[test]
    fn a_second_claimant_and_a_second_address_are_told() {
        let (mut all, mut told) = (Neighbours::default(), Vec::new());
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let card = |n: u8| [2, 0, 0, 0, 0, n];
        for (c, a) in [(1, 1), (2, 2), (1, 1), (3, 1), (3, 2), (3, 3), (3, 4)] {
            all.claim(card(c), ip(a), "arp", Timestamp::from_secs(9), &mut |e| told.push(e));
        }
        let counts: Vec<_> = told
            .iter()
            .filter_map(|e| {
                Some((e.get(field::CLAIM_CARDS).or(e.get(field::CLAIM_ADDRESSES))?.as_int()?, e.text(field::SRC_IP).into_owned()))
            })
            .collect();
        assert_eq!(
            counts,
            [(2, "10.0.0.1".to_owned()), (2, "10.0.0.2".to_owned()), (2, "10.0.0.2".to_owned()), (4, "10.0.0.4".to_owned())]
        );
        assert_eq!(told.iter().filter(|e| e.source.service.as_deref() == Some("new_device")).count(), 3);
    }

    #[test]
    fn a_new_pair_says_how_long_the_station_had_no_new_one() {
        let mut all = Neighbours::default();
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let first = all.pair(ip(1), ip(9), 502, Timestamp::from_secs(10), true).unwrap();
        assert_eq!(first.get(field::NEW_KNOWN), Some(&Value::Int(0)));
        assert!(all.pair(ip(1), ip(9), 502, Timestamp::from_secs(50), true).is_none());
        let second = all.pair(ip(2), ip(9), 502, Timestamp::from_secs(100), true).unwrap();
        assert_eq!((second.get(field::NEW_KNOWN), second.get(field::NEW_QUIET_S)), (Some(&Value::Int(1)), Some(&Value::Int(90))));
        assert_eq!(second.get(field::FACT_WINDOW), Some(&Value::Int(90)));
    }
}
