//! Packet rates: how many packets one address got in one second of packet time, by protocol (ICMP: by type). Service `packet_rate`.
//!
//! Told at `FIRST` packets a second and at each doubling of what was told in the last five minutes, so that steady traffic is told once.
//! Who sent: the address and the link address that more than half of the packets came from, with their share (Boyer and Moore's vote, so at least so
//! much); how many addresses there were, about; how many packets went back to the one named.
//!
//! Limits: `SLOTS` addresses at once; two that fall on one slot take it from each other packet by packet, so the busier one stays and
//! is counted too low by what the other one sent.

use std::net::IpAddr;

use event::{SECOND_NS, Value, field};

use super::sketch::Bits;
use super::{Hashes, Packet, Say, fact, protocol_name};

const SLOTS: usize = 512;
const FIRST: u32 = 256;
/// Sources are counted from this packet of a second on: below, nobody asks, and most seconds of most addresses stay below.
const COUNTED_FROM: u32 = 64;
const TOLD_FOR_NS: i64 = 300 * SECOND_NS;

#[derive(Default)]
pub(super) struct Rates {
    slots: Vec<Slot>,
}

#[derive(Clone, Default)]
struct Slot {
    key: Option<(IpAddr, u8, u8)>,
    second: i64,
    packets: u32,
    attempts: u32,
    bytes: u64,
    sources: Bits,
    source: Vote<IpAddr>,
    card: Vote<[u8; 6]>,
    port: Option<u16>,
    told: u32,
    told_at: i64,
}

/// Who most packets came from.
#[derive(Clone, Copy)]
struct Vote<T> {
    leader: Option<T>,
    lead: u32,
    /// Votes for the leader since it leads.
    votes: u32,
}

impl<T> Default for Vote<T> {
    fn default() -> Self {
        Self { leader: None, lead: 0, votes: 0 }
    }
}

impl<T: PartialEq + Copy> Vote<T> {
    fn add(&mut self, who: T) {
        if self.leader == Some(who) {
            self.lead += 1;
            self.votes += 1;
        } else if self.lead == 0 {
            *self = Self { leader: Some(who), lead: 1, votes: 1 };
        } else {
            self.lead -= 1;
        }
    }
    /// The leader and its share in percent, if it has more than half for certain.
    fn winner(&self, of: u32) -> Option<(T, u32)> {
        let share = u64::from(self.votes) * 100 / u64::from(of.max(1));
        self.leader.filter(|_| share > 50).map(|l| (l, share as u32))
    }
}

impl Rates {
    pub(super) fn packet(&mut self, packet: &Packet, hash: &Hashes, claimed: &dyn Fn([u8; 6]) -> Option<IpAddr>, say: Say<'_>) {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, Slot::default());
        }
        let key = (packet.dst, packet.protocol, packet.icmp_kind);
        let at = index(hash.of(&packet.dst), packet.protocol);
        let Some(slot) = self.slots.get_mut(at) else { return };
        let second = packet.time.secs();
        if slot.key != Some(key) {
            if slot.second == second && slot.packets > 0 {
                slot.packets -= 1;
                return;
            }
            *slot = Slot { key: Some(key), second: i64::MIN, ..Slot::default() };
        }
        if slot.second != second {
            let (told, told_at) = (slot.told, slot.told_at);
            *slot = Slot { key: Some(key), second, port: packet.port, told, told_at, ..Slot::default() };
        }
        slot.packets += 1;
        slot.attempts += u32::from(packet.is_attempt);
        slot.bytes += u64::from(packet.bytes);
        if slot.packets > COUNTED_FROM {
            slot.sources.add(hash.of(&packet.src));
        }
        slot.source.add(packet.src);
        if let Some(card) = packet.card {
            slot.card.add(card);
        }
        slot.port = slot.port.filter(|p| Some(*p) == packet.port);
        if slot.packets < FIRST || !slot.packets.is_power_of_two() {
            return;
        }
        let lately = (0..TOLD_FOR_NS).contains(&packet.time.ns().saturating_sub(slot.told_at));
        if lately && slot.packets <= slot.told {
            return;
        }
        (slot.told, slot.told_at) = (slot.packets, packet.time.ns());
        let slot = slot.clone();
        let (source, card) = (slot.source.winner(slot.packets), slot.card.winner(slot.packets));
        let answers = source.map(|(source, _)| self.sent_back(source, packet, hash));
        let mut event = fact("packet_rate", packet.time, SECOND_NS)
            .with(field::DST_IP, packet.dst)
            .with(field::PROTOCOL, protocol_name(packet.protocol))
            .with(field::RATE_PACKETS, slot.packets)
            .with(field::RATE_BYTES, slot.bytes)
            .with(field::RATE_ATTEMPTS, slot.attempts)
            .with(field::RATE_ATTEMPT_SHARE, u64::from(slot.attempts) * 100 / u64::from(slot.packets.max(1)))
            .with(field::RATE_SOURCES, slot.sources.count().max(1));
        event.body.set_some(field::SRC_IP, source.map(|(s, _)| s));
        event.body.set_some(field::RATE_SOURCE_SHARE, source.map(|(_, share)| share));
        event.body.set_some(field::SRC_MAC, card.map(|(c, _)| Value::mac(c)));
        event.body.set_some(field::RATE_CARD_SHARE, card.map(|(_, share)| share));
        event.body.set_some(field::DST_PORT, slot.port);
        event.body.set_some(field::RATE_CARD_ADDRESS, card.and_then(|(c, _)| claimed(c)));
        event.body.set_some(field::RATE_ANSWERS, answers);
        if matches!(packet.protocol, 1 | 58) {
            event.body.set(field::ICMP_TYPE, packet.icmp_kind);
        }
        say(event);
    }

    /// Packets that went back to the one source in the same second.
    fn sent_back(&self, source: IpAddr, packet: &Packet, hash: &Hashes) -> u32 {
        let slot = self.slots.get(index(hash.of(&source), packet.protocol));
        let back = slot.filter(|s| {
            s.second == packet.time.secs() && s.key.is_some_and(|(to, protocol, _)| to == source && protocol == packet.protocol)
        });
        back.filter(|s| s.source.leader == Some(packet.dst)).map_or(0, |s| s.source.votes)
    }
}

fn index(hash: u64, protocol: u8) -> usize {
    (hash ^ u64::from(protocol).wrapping_mul(0x9e37_79b9)) as usize % SLOTS
}
