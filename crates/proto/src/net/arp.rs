//! ARP: who claims which address (RFC 826). One `Watch` per sensor remembers the last claim of each address, so that a
//! second link address claiming it can be seen as such. It states facts; whether a change is an attack is for a rule.
//!
//! Limits: `CLAIMS_MAX` addresses and `SAID_MAX` remembered packets, oldest out first. A packet that says the same as one
//! less than `REPEAT_NS` ago is not told again but counted in the next one that is (`count`).

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;

use event::{Class, Event, Field, Kind, LogSource, SECOND_NS, Timestamp, Value, field};

use super::Emit;

pub static FIELDS: &[Field] = &[
    field::ARP_OPERATION,
    field::ARP_SENDER_IP,
    field::ARP_SENDER_MAC,
    field::ARP_TARGET_IP,
    field::ARP_TARGET_MAC,
    field::ARP_PREVIOUS_MAC,
    field::ARP_GRATUITOUS,
    field::SRC_IP,
    field::SRC_MAC,
    field::DST_IP,
    field::COUNT,
];

const CLAIMS_MAX: usize = 8192;
const SAID_MAX: usize = 4096;
const REPEAT_NS: i64 = SECOND_NS;

/// What an ARP packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    pub operation: u16,
    pub sender_mac: [u8; 6],
    pub sender_ip: Ipv4Addr,
    pub target_mac: [u8; 6],
    pub target_ip: Ipv4Addr,
    /// Source address of the frame, which an honest sender also writes into the packet.
    pub frame_mac: Option<[u8; 6]>,
}

/// The claims seen so far.
#[derive(Default)]
pub struct Watch {
    claims: HashMap<Ipv4Addr, [u8; 6]>,
    claim_order: VecDeque<Ipv4Addr>,
    said: HashMap<Said, (Timestamp, u64)>,
    said_order: VecDeque<Said>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Said {
    operation: u16,
    sender: ([u8; 6], Ipv4Addr),
    target: Ipv4Addr,
}

impl Watch {
    /// Takes a packet; tells it unless it repeats the last second.
    pub fn packet(&mut self, packet: &Packet, time: Timestamp, out: &mut dyn Emit) {
        let previous = self.claim(packet);
        if packet.frame_mac.is_some_and(|m| m != packet.sender_mac) {
            out.anomaly("arp_sender_mismatch", "the frame and the packet name different senders", time);
        }
        let said = Said { operation: packet.operation, sender: (packet.sender_mac, packet.sender_ip), target: packet.target_ip };
        let repeats = match self.said.get_mut(&said) {
            Some((last, held)) if previous.is_none() && (0..REPEAT_NS).contains(&time.since(*last)) => {
                *held += 1;
                return;
            }
            Some((last, held)) => {
                *last = time;
                std::mem::take(held)
            }
            None => {
                if self.said_order.len() >= SAID_MAX
                    && let Some(oldest) = self.said_order.pop_front()
                {
                    self.said.remove(&oldest);
                }
                self.said.insert(said, (time, 0));
                self.said_order.push_back(said);
                0
            }
        };
        let (operation, activity) = match packet.operation {
            1 => ("request", 1),
            2 => ("reply", 2),
            _ => ("other", 99),
        };
        let mut event = Event::new(time, Kind::NetworkActivity, if activity == 99 { 99 } else { 6 }, LogSource::new("", "arp", "arp"))
            .with(field::ARP_OPERATION, operation)
            .with(field::ARP_SENDER_IP, Value::Ip(packet.sender_ip.into()))
            .with(field::ARP_SENDER_MAC, Value::mac(packet.sender_mac))
            .with(field::ARP_TARGET_IP, Value::Ip(packet.target_ip.into()))
            .with(field::ARP_TARGET_MAC, Value::mac(packet.target_mac))
            .with(field::ARP_GRATUITOUS, packet.sender_ip == packet.target_ip)
            .with(field::SRC_IP, Value::Ip(packet.sender_ip.into()))
            .with(field::SRC_MAC, Value::mac(packet.frame_mac.unwrap_or(packet.sender_mac)))
            .with(field::DST_IP, Value::Ip(packet.target_ip.into()));
        event.body.set_some(field::ARP_PREVIOUS_MAC, previous.map(Value::mac));
        if repeats > 0 {
            event.body.set(field::COUNT, repeats + 1);
        }
        out.event(Class::Normal, event);
    }

    /// Remembers a claim; the link address that claimed the same address before, if it was another one.
    fn claim(&mut self, packet: &Packet) -> Option<[u8; 6]> {
        // A probe (RFC 5227) claims nothing.
        if packet.sender_ip.is_unspecified() || !matches!(packet.operation, 1 | 2) {
            return None;
        }
        if let Some(mac) = self.claims.get_mut(&packet.sender_ip) {
            let before = std::mem::replace(mac, packet.sender_mac);
            return (before != packet.sender_mac).then_some(before);
        }
        if self.claim_order.len() >= CLAIMS_MAX
            && let Some(oldest) = self.claim_order.pop_front()
        {
            self.claims.remove(&oldest);
        }
        self.claims.insert(packet.sender_ip, packet.sender_mac);
        self.claim_order.push_back(packet.sender_ip);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Seen;
    use super::*;

    fn reply(mac: u8, ip: u8) -> Packet {
        let sender_mac = [2, 0, 0, 0, 0, mac];
        let (sender_ip, target_ip) = (Ipv4Addr::new(10, 0, 0, ip), Ipv4Addr::new(10, 0, 0, 99));
        Packet { operation: 2, sender_mac, sender_ip, target_mac: [2, 0, 0, 0, 0, 99], target_ip, frame_mac: Some(sender_mac) }
    }

    #[test]
    fn a_second_claimant_is_told_with_the_first() {
        let (mut watch, mut seen) = (Watch::default(), Seen::default());
        watch.packet(&reply(1, 5), Timestamp::from_ms(0), &mut seen);
        watch.packet(&reply(1, 5), Timestamp::from_ms(10), &mut seen);
        watch.packet(&reply(6, 5), Timestamp::from_ms(20), &mut seen);
        watch.packet(&reply(1, 5), Timestamp::from_ms(30), &mut seen);
        watch.packet(&reply(1, 5), Timestamp::from_ms(5000), &mut seen);
        assert_eq!(seen.0.len(), 4);
        assert!(!seen.0[0].contains("previous_mac"));
        assert!(seen.0[1].contains("arp.previous_mac=02:00:00:00:00:01"));
        assert!(seen.0[2].contains("arp.previous_mac=02:00:00:00:00:06") && seen.0[2].ends_with("count=2"));
        assert!(!seen.0[3].contains("previous_mac"));
    }

    #[test]
    fn a_probe_claims_nothing_and_a_gratuitous_one_is_marked() {
        let (mut watch, mut seen) = (Watch::default(), Seen::default());
        let probe = Packet { operation: 1, sender_ip: Ipv4Addr::UNSPECIFIED, ..reply(1, 5) };
        watch.packet(&probe, Timestamp::ZERO, &mut seen);
        let own = Packet { operation: 1, target_ip: Ipv4Addr::new(10, 0, 0, 5), ..reply(1, 5) };
        watch.packet(&own, Timestamp::ZERO, &mut seen);
        assert!(seen.0[1].contains("is_gratuitous=true") && seen.0[0].contains("is_gratuitous=false"));
        assert_eq!(watch.claims.len(), 1);
    }

    #[test]
    fn the_tables_are_bounded() {
        let (mut watch, mut seen) = (Watch::default(), Seen::default());
        for n in 0..20_000u32 {
            let packet = Packet { sender_ip: Ipv4Addr::from_bits(n + 1), frame_mac: Some([9; 6]), ..reply(1, 1) };
            watch.packet(&packet, Timestamp::from_us(n.into()), &mut seen);
        }
        assert_eq!((watch.claims.len(), watch.said.len()), (CLAIMS_MAX, SAID_MAX));
        assert!(seen.0[0].starts_with("anomaly arp_sender_mismatch"));
    }
}
