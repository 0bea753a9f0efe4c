//! IP packets put together from their fragments.
//!
//! - Bounded: `DATAGRAMS_MAX` packets that wait, `PIECES_MAX` pieces each, `BYTES_MAX` bytes in all, `WAIT_NS` of packet time. The oldest goes
//!   when there is no room, and is counted; so is what was never whole.
//! - Overlap: IPv4 keeps the bytes that came first (policy "first"); IPv6 drops the packet, as RFC 5722 says. Both are named; a fragment seen
//!   twice in the same words (a mirror port shows doubles) is neither.
//! - Pieces that cannot be of one packet (two ends, bytes past the end, an odd length in the middle) are refused and named.
//!
//! Frames are counted where they are seen, in their flow; what comes out here is content only.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use ahash::RandomState;
use event::{SECOND_NS, Timestamp};

use crate::anomaly::Anomaly;
use crate::decode::{Ip, Piece};

const DATAGRAMS_MAX: usize = 1024;
const PIECES_MAX: usize = 256;
const BYTES_MAX: usize = 4 << 20;
const WAIT_NS: i64 = 30 * SECOND_NS;
const PACKET_MAX: usize = 65_535;

/// Counters, each rising only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FragmentStats {
    /// Fragments that were looked at.
    pub seen: u64,
    /// Packets that became whole.
    pub whole: u64,
    /// Packets given up: never whole, pushed out, or contradictory.
    pub lost: u64,
}

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Others are missing.
    Waits,
    /// The whole packet, from its IP header on, as if it had never been cut.
    Whole(Vec<u8>),
    /// It cannot be used.
    Refused(Anomaly),
    /// It overlaps others; what came first stays (IPv4). The packet may be whole by it.
    Overlaps(Option<Vec<u8>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    protocol: u8,
    tunnel: u32,
}

#[derive(Default)]
struct Datagram {
    serial: u64,
    header: Vec<u8>,
    /// By offset, none over another.
    pieces: Vec<(usize, Box<[u8]>)>,
    bytes: usize,
    total: Option<usize>,
    /// Contradicted itself: what still comes of it is dropped.
    dead: bool,
}

/// Fragments that wait for the rest of their packet.
#[derive(Default)]
pub struct Fragments {
    waiting: HashMap<Key, Datagram, RandomState>,
    /// Oldest first; an entry whose serial is no longer there is stale.
    order: VecDeque<(Timestamp, u64, Key)>,
    bytes: usize,
    serial: u64,
    stats: FragmentStats,
}

impl Fragments {
    pub fn stats(&self) -> FragmentStats {
        self.stats
    }

    /// Takes one fragment; `tunnel` tells packets of different tunnels apart.
    pub fn take(&mut self, ip: &Ip<'_>, piece: &Piece<'_>, tunnel: u32, at: Timestamp) -> Taken {
        self.stats.seen += 1;
        self.expire(at);
        let end = piece.offset as usize + piece.payload.len();
        if piece.header.len() + end > PACKET_MAX {
            return Taken::Refused(Anomaly::FragmentOverlong);
        }
        if piece.payload.is_empty() || piece.more && !piece.payload.len().is_multiple_of(8) {
            return Taken::Refused(Anomaly::FragmentConflict);
        }
        let key = Key { src: ip.src, dst: ip.dst, id: piece.id, protocol: piece.protocol, tunnel };
        if !self.waiting.contains_key(&key) {
            while self.waiting.len() >= DATAGRAMS_MAX || self.bytes + piece.payload.len() > BYTES_MAX {
                if !self.drop_oldest() {
                    return Taken::Waits;
                }
            }
            self.serial += 1;
            self.order.push_back((at, self.serial, key));
            // Packets that became whole leave stale entries; together they are no more than what came in the time of waiting, and never this many.
            if self.order.len() > 4 * DATAGRAMS_MAX {
                let waiting = &self.waiting;
                let newest = self.serial;
                self.order.retain(|(_, serial, key)| *serial == newest || waiting.get(key).is_some_and(|d| d.serial == *serial));
            }
            self.waiting.insert(key, Datagram { serial: self.serial, ..Datagram::default() });
        }
        let Some(datagram) = self.waiting.get_mut(&key) else { return Taken::Waits };
        if datagram.dead {
            return Taken::Waits;
        }
        let before = datagram.bytes;
        let result = datagram.add(piece, end, ip.src.is_ipv6());
        self.bytes = self.bytes + datagram.bytes - before;
        let whole = if datagram.total == Some(datagram.bytes) && !datagram.header.is_empty() { Some(datagram.build()) } else { None };
        if whole.is_some() {
            self.bytes -= datagram.bytes;
            self.waiting.remove(&key);
            self.stats.whole += 1;
        } else if datagram.dead {
            self.stats.lost += 1;
        }
        match (result, whole) {
            (Added::Conflict, _) => Taken::Refused(Anomaly::FragmentConflict),
            (Added::Overlap, whole) => Taken::Overlaps(whole),
            (Added::Fine, Some(whole)) => Taken::Whole(whole),
            (Added::Fine, None) => Taken::Waits,
        }
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((at, serial, key)) = self.order.front().copied() {
            // A clock that was set back far makes everything old.
            if (0..WAIT_NS).contains(&now.since(at)) || (-SECOND_NS..0).contains(&now.since(at)) {
                break;
            }
            self.order.pop_front();
            self.give_up(serial, key);
        }
    }

    fn drop_oldest(&mut self) -> bool {
        while let Some((_, serial, key)) = self.order.pop_front() {
            if self.give_up(serial, key) {
                return true;
            }
        }
        false
    }

    fn give_up(&mut self, serial: u64, key: Key) -> bool {
        let there = self.waiting.get(&key).is_some_and(|d| d.serial == serial);
        if there && let Some(gone) = self.waiting.remove(&key) {
            self.bytes -= gone.bytes;
            self.stats.lost += u64::from(!gone.dead);
        }
        there
    }
}

enum Added {
    Fine,
    Overlap,
    Conflict,
}

impl Datagram {
    fn add(&mut self, piece: &Piece<'_>, end: usize, v6: bool) -> Added {
        let furthest = self.pieces.last().map_or(0, |(at, bytes)| at + bytes.len());
        let contradicts = match self.total {
            Some(total) => end > total || !piece.more && end != total,
            None => !piece.more && furthest > end,
        };
        if contradicts || self.pieces.len() >= PIECES_MAX {
            self.die();
            return Added::Conflict;
        }
        if !piece.more {
            self.total = Some(end);
        }
        if piece.offset == 0 && self.header.is_empty() {
            self.header = piece.header.to_vec();
            // Extensions up to the fragment header fall away; what was cut follows at once.
            if let (true, Some(next)) = (v6, self.header.get_mut(6)) {
                *next = piece.protocol;
            }
        }
        let start = piece.offset as usize;
        let near = |(at, bytes): &&(usize, Box<[u8]>)| *at < end && at + bytes.len() > start;
        let over: Vec<(usize, usize)> = self.pieces.iter().filter(near).map(|(at, bytes)| (*at, at + bytes.len())).collect();
        if over.is_empty() {
            self.put(start, piece.payload);
            return Added::Fine;
        }
        let same = self.pieces.iter().any(|(at, bytes)| *at == start && **bytes == *piece.payload);
        if same {
            return Added::Fine;
        }
        if v6 {
            self.die();
            return Added::Overlap;
        }
        // The holes between what is there are filled; what is there stays.
        let mut from = start;
        for (at, to) in over.iter().copied().chain([(end, end)]) {
            if from < at
                && let Some(fresh) = piece.payload.get(from - start..at - start)
            {
                self.put(from, fresh);
            }
            from = from.max(to);
        }
        Added::Overlap
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let place = self.pieces.partition_point(|(other, _)| *other < at);
        self.pieces.insert(place, (at, bytes.into()));
        self.bytes += bytes.len();
    }

    fn die(&mut self) {
        *self = Self { serial: self.serial, dead: true, ..Self::default() };
    }

    /// Header and pieces, with the lengths that the whole has.
    fn build(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.header.len() + self.bytes);
        out.extend_from_slice(&self.header);
        for (_, bytes) in &self.pieces {
            out.extend_from_slice(bytes);
        }
        let v6 = self.header.first().is_some_and(|b| b >> 4 == 6);
        let length = if v6 { self.bytes } else { out.len() };
        let [hi, lo] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        let changes: &[(usize, u8)] = if v6 { &[(4, hi), (5, lo)] } else { &[(2, hi), (3, lo), (6, 0), (7, 0)] };
        for (at, value) in changes {
            if let Some(byte) = out.get_mut(*at) {
                *byte = *value;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Fragment, Transport};

    struct Bench {
        fragments: Fragments,
        now: Timestamp,
    }

    const HEADER: [u8; 20] = [0x45, 0, 0, 0, 0, 7, 0x20, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];

    impl Bench {
        fn new() -> Self {
            Self { fragments: Fragments::default(), now: Timestamp::from_secs(1000) }
        }
        fn take(&mut self, id: u32, offset: u32, more: bool, payload: &[u8]) -> Taken {
            self.from("10.0.0.1", id, offset, more, payload)
        }
        fn from(&mut self, src: &str, id: u32, offset: u32, more: bool, payload: &[u8]) -> Taken {
            let src: IpAddr = src.parse().unwrap();
            let piece = Piece { id, offset, more, protocol: 17, header: &HEADER, payload };
            let ip = Ip {
                src,
                dst: src,
                protocol: 17,
                ttl: 64,
                fragment: Fragment::Later,
                transport: Transport::Other { ports: None, payload: &[] },
                piece: Some(piece),
            };
            self.fragments.take(&ip, &piece, 0, self.now)
        }
    }

    fn payload(taken: &Taken) -> String {
        match taken {
            Taken::Whole(bytes) | Taken::Overlaps(Some(bytes)) => {
                assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), bytes.len());
                assert_eq!(bytes[6..8], [0, 0]);
                String::from_utf8_lossy(&bytes[20..]).into_owned()
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn pieces_in_any_order_and_twice_give_the_packet_once() {
        let parts = [(0u32, true, "01234567"), (8, true, "89abcdef"), (16, false, "gh")];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut b = Bench::new();
            let mut last = Taken::Waits;
            for n in order {
                assert_eq!(last, Taken::Waits);
                let (offset, more, text) = parts[n];
                last = b.take(1, offset, more, text.as_bytes());
                if n != order[2] {
                    assert_eq!(b.take(1, offset, more, text.as_bytes()), Taken::Waits, "a double");
                }
            }
            assert_eq!(payload(&last), "0123456789abcdefgh");
            assert_eq!((b.fragments.bytes, b.fragments.waiting.len(), b.fragments.stats.whole), (0, 0, 1));
        }
    }

    #[test]
    fn of_overlapping_bytes_the_first_to_come_count() {
        let mut b = Bench::new();
        b.take(1, 8, true, b"BBBBBBBB");
        assert_eq!(b.take(1, 0, true, b"aaaaaaaaaaaaaaaa"), Taken::Overlaps(None));
        assert_eq!(payload(&b.take(1, 8, false, b"cccccccccccc")), "aaaaaaaaBBBBBBBBcccc");
    }

    #[test]
    fn overlapping_pieces_of_ipv6_end_the_packet() {
        let mut b = Bench::new();
        b.from("2001:db8::1", 1, 0, true, b"aaaaaaaabbbbbbbb");
        assert_eq!(b.from("2001:db8::1", 1, 8, false, b"cccccccccccc"), Taken::Overlaps(None));
        assert_eq!(b.from("2001:db8::1", 1, 8, false, b"bbbbbbbb"), Taken::Waits);
        assert_eq!((b.fragments.stats.lost, b.fragments.bytes), (1, 0));
    }

    #[test]
    fn what_cannot_be_of_one_packet_is_refused() {
        let mut b = Bench::new();
        assert_eq!(b.take(1, 0, true, b"12345"), Taken::Refused(Anomaly::FragmentConflict), "an odd length in the middle");
        b.take(2, 0, false, b"12345678");
        b.take(3, 8, false, b"1234");
        assert_eq!(b.take(3, 16, true, b"12345678"), Taken::Refused(Anomaly::FragmentConflict), "past the end");
        b.take(4, 8, false, b"1234");
        assert_eq!(b.take(4, 8, false, b"12345"), Taken::Refused(Anomaly::FragmentConflict), "two ends");
        assert_eq!(b.take(5, 65_528, false, b"12345678"), Taken::Refused(Anomaly::FragmentOverlong));
    }

    #[test]
    fn memory_is_bounded_and_what_was_given_up_is_counted() {
        let mut b = Bench::new();
        for id in 0..20_000 {
            b.take(id, 0, true, &[0; 1400]);
            assert!(
                b.fragments.waiting.len() <= DATAGRAMS_MAX
                    && b.fragments.bytes <= BYTES_MAX
                    && b.fragments.order.len() <= 4 * DATAGRAMS_MAX + 1
            );
        }
        assert_eq!(b.fragments.stats.lost + b.fragments.waiting.len() as u64, 20_000);
        b.now = b.now.plus_secs(31);
        b.take(1, 0, true, &[0; 8]);
        assert_eq!((b.fragments.waiting.len(), b.fragments.bytes), (1, 8));
        for n in 1..1000 {
            b.take(1, n * 16, true, &[0; 8]);
        }
        assert!(b.fragments.bytes <= 8 * PIECES_MAX);
    }
}
