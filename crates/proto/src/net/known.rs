//! Protocols that are only recognised: the flow gets their name (`app_name`), nothing is read. Each is named only where its content leaves no doubt: a
//! fixed mark, or fields that must hold what they hold. Ports say nothing.

use event::Timestamp;

use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, be16, wording};

struct Name;

impl Parser for Name {
    fn feed(&mut self, _: Piece<'_>, _: &mut dyn Emit) -> Want {
        Want::Stop
    }
    fn end(&mut self, _: Timestamp, _: &mut dyn Emit) {}
}

macro_rules! known {
    ($($constant:ident $name:literal $about:literal $probe:ident;)*) => {
        $(pub static $constant: Protocol =
            Protocol { name: $name, about: $about, fields: &[], anomalies: &[], probe: $probe, open: |_| Box::new(Name) };)*
    };
}

known! {
    SIP "sip" "recognised: signalling of calls" sip;
    STUN "stun" "recognised: the way through NAT of calls" stun;
    WIREGUARD "wireguard" "recognised: a tunnel" wireguard;
    OPENVPN "openvpn" "recognised: a tunnel" openvpn;
    BITTORRENT "bittorrent" "recognised: file sharing and its distributed table" bittorrent;
}

/// Whether bytes begin with a mark, or may with more of them (in a stream).
fn mark(carrier: Carrier, bytes: &[u8], mark: &[u8]) -> Probe {
    match () {
        () if bytes.starts_with(mark) => Probe::Yes,
        () if carrier == Carrier::Tcp && !bytes.is_empty() && mark.starts_with(bytes) => Probe::Maybe,
        () => Probe::No,
    }
}

fn sip(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    const METHODS: [&[u8]; 10] = [
        b"INVITE sip",
        b"REGISTER sip",
        b"OPTIONS sip",
        b"BYE sip",
        b"ACK sip",
        b"CANCEL sip",
        b"SUBSCRIBE sip",
        b"NOTIFY sip",
        b"MESSAGE sip",
        b"INFO sip",
    ];
    match bytes.first() {
        Some(b'S') if bytes.starts_with(b"SIP/2.0 ") => Probe::Yes,
        Some(b'I' | b'R' | b'O' | b'B' | b'A' | b'C' | b'S' | b'N' | b'M') if METHODS.iter().any(|m| bytes.starts_with(m)) => Probe::Yes,
        Some(b'S') if carrier == Carrier::Tcp && bytes.len() < 8 && b"SIP/2.0 ".starts_with(bytes) => Probe::Maybe,
        _ => Probe::No,
    }
}

/// RFC 8489: two zero bits, a length in fours, the cookie.
fn stun(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match bytes {
        [0..=3, _, _, l, 0x21, 0x12, 0xa4, 0x42, ..]
            if carrier == Carrier::Udp && l & 3 == 0 && be16(bytes, 2).is_some_and(|n| usize::from(n) + 20 <= bytes.len()) =>
        {
            Probe::Yes
        }
        _ => Probe::No,
    }
}

/// The two messages of a handshake have sizes of their own.
fn wireguard(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match (carrier, bytes, bytes.len()) {
        (Carrier::Udp, [1, 0, 0, 0, ..], 148) | (Carrier::Udp, [2, 0, 0, 0, ..], 92) => Probe::Yes,
        _ => Probe::No,
    }
}

/// A client's hard reset (operation 7, or 10 with a key of the client): session, then without a key the empty list of acknowledgements and
/// packet 0; with one a digest of 16 to 64 bytes, packet 1, a time, and then the same.
fn openvpn(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    let message = match carrier {
        Carrier::Udp => bytes,
        Carrier::Tcp => match be16(bytes, 0) {
            Some(14 | 38 | 42 | 54 | 86) => {
                let Some(message) = bytes.get(2..) else { return Probe::No };
                if message.first().is_some_and(|b| *b != 0x38) {
                    return Probe::No;
                }
                if message.len() < usize::from(be16(bytes, 0).unwrap_or(0)) {
                    return Probe::Maybe;
                }
                message
            }
            _ => return Probe::No,
        },
    };
    let Some(0x38) = message.first() else { return Probe::No };
    let empty = |at: usize| message.get(at..at + 5) == Some(&[0; 5]);
    let known = match message.len() {
        14 => empty(9),
        n @ (38 | 42 | 54 | 86) => message.get(n - 13..n - 9) == Some(&[0, 0, 0, 1]) && empty(n - 5),
        _ => false,
    };
    if known { Probe::Yes } else { Probe::No }
}

fn bittorrent(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match bytes.first() {
        Some(0x13) => mark(carrier, bytes, b"\x13BitTorrent protocol"),
        Some(b'd') if carrier == Carrier::Udp => {
            let known = [&b"d1:ad2:id20:"[..], b"d1:rd2:id20:"].iter().any(|m| bytes.starts_with(m))
                || bytes.starts_with(b"d2:ip") && wording::find(bytes.get(..40).unwrap_or(bytes), b"2:id20:").is_some();
            if known { Probe::Yes } else { Probe::No }
        }
        _ => Probe::No,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{hex, piece};
    use super::super::{Enabled, Session};
    use super::*;

    fn spoken(carrier: Carrier, bytes: &[u8]) -> Option<&'static str> {
        let mut session = Session::default();
        session.feed(carrier, Enabled::ALL, piece(Side::Originator, bytes, 0), &mut super::super::testing::Seen::default());
        session.protocol()
    }

    #[test]
    fn each_is_known_by_its_mark_and_by_nothing_less() {
        let sized = |head: &str, size: usize| {
            let mut bytes = hex(head);
            bytes.resize(size, 0xa5);
            bytes
        };
        assert_eq!(spoken(Carrier::Udp, b"INVITE sip:a@b SIP/2.0\r\n"), Some("sip"));
        assert_eq!(spoken(Carrier::Udp, &sized("0001 0000 2112a442", 20)), Some("stun"));
        assert_eq!(spoken(Carrier::Udp, &sized("01000000", 148)), Some("wireguard"));
        assert_eq!(spoken(Carrier::Udp, &sized("01000000", 147)), None);
        assert_eq!(spoken(Carrier::Udp, &hex("38 0102030405060708 00 00000000")), Some("openvpn"));
        assert_eq!(spoken(Carrier::Udp, &hex("38 0102030405060708 00 00000001")), None);
        assert_eq!(spoken(Carrier::Tcp, b"\x13BitTorrent protocolxx"), Some("bittorrent"));
        assert_eq!(spoken(Carrier::Udp, b"d1:ad2:id20:abcdefghij"), Some("bittorrent"));
    }
}
