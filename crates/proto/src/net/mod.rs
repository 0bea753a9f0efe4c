//! Network protocols: bytes of a connection to events, one file a protocol, one row a protocol in `PROTOCOLS`.
//!
//! A protocol is found by content, never by port. A `Session` is the state of one flow: it looks at the first bytes, picks
//! a protocol, and feeds it. Parsers set only what they read; who spoke with whom is added by the caller, which knows
//! flows. Every buffer is bounded; what does not fit is an anomaly and the parser stops. Nothing here panics on any bytes.

pub mod arp;
pub mod bacnet;
mod ber;
pub mod c37118;
mod certificate;
pub mod database;
pub mod dcerpc;
pub mod dhcp;
pub mod dnp3;
pub mod dns;
pub mod enip;
mod frames;
pub mod ftp;
mod hello;
pub mod http;
pub mod http2;
pub mod iec104;
pub mod kerberos;
pub mod known;
pub mod ldap;
pub mod link;
mod login;
pub mod mailbox;
mod md5;
pub mod modbus;
pub mod mqtt;
mod ntlm;
pub mod ntp;
pub mod opcua;
mod ot;
pub mod quic;
pub mod rdp;
pub mod s7comm;
pub mod smb;
pub mod smtp;
pub mod snmp;
pub mod ssh;
pub mod telnet;
pub mod tls;
pub mod vnc;
mod wording;

#[cfg(test)]
pub(crate) mod testing;

use event::{Class, Event, Field, Kind, LogSource, Timestamp, field};

/// Which end of a flow sent the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Originator = 0,
    Responder = 1,
}

impl Side {
    pub const fn other(self) -> Self {
        match self {
            Self::Originator => Self::Responder,
            Self::Responder => Self::Originator,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carrier {
    #[default]
    Tcp,
    Udp,
}

/// A piece of one direction, in order.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    pub side: Side,
    pub bytes: &'a [u8],
    /// Bytes are missing in front of these.
    pub gap: bool,
    /// Time of the packet that completed it.
    pub time: Timestamp,
}

/// What a parser wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    More,
    /// More, and a call of `wake` about a second later: something waits for an answer that may never come.
    Wake,
    /// As `Wake`, and the flow to its end however long it is: for protocols that talk for years over one connection.
    Whole,
    /// Nothing more from this flow.
    Stop,
}

/// Where events and oddities go.
pub trait Emit {
    fn event(&mut self, class: Class, event: Event);
    /// An event of a conversation in which the side `by` asks, whichever side opened the flow: it becomes the event's source.
    fn asked(&mut self, by: Side, class: Class, event: Event) {
        let _ = by;
        self.event(class, event);
    }
    /// An oddity by its fixed name; the receiver limits the rate.
    fn anomaly(&mut self, name: &'static str, detail: &str, time: Timestamp);
}

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    Yes,
    No,
    /// Not enough bytes yet.
    Maybe,
}

/// A protocol: its name, how it is found, how it is read.
pub struct Protocol {
    /// Word in `app_name` and in the configuration.
    pub name: &'static str,
    pub about: &'static str,
    /// Fields its events carry.
    pub fields: &'static [Field],
    /// Names of its anomalies.
    pub anomalies: &'static [&'static str],
    pub probe: fn(Carrier, Side, &[u8]) -> Probe,
    pub open: fn(Carrier) -> Box<dyn Parser>,
}

/// Reads one flow of one protocol.
pub trait Parser: Send {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want;
    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        let _ = (now, out);
        Want::More
    }
    /// The flow is over: say what was held back.
    fn end(&mut self, now: Timestamp, out: &mut dyn Emit);
    /// Asked after `Stop`: whether the connection goes on in another protocol (a tunnel, STARTTLS, an upgrade), and the bytes of
    /// each side that were taken in and belong to it.
    fn handover(&mut self) -> Option<[Vec<u8>; 2]> {
        None
    }
}

/// Every network protocol there is. `mod dnp3;` and one row here is all it takes to add one.
pub static PROTOCOLS: &[&Protocol] = &[
    &dns::DNS,
    &tls::TLS,
    &quic::QUIC,
    &http::HTTP,
    &http2::HTTP2,
    &ssh::SSH,
    &dnp3::DNP3,
    &iec104::IEC104,
    &s7comm::S7COMM,
    &enip::ENIP,
    &opcua::OPCUA,
    &bacnet::BACNET,
    &c37118::C37118,
    &modbus::MODBUS,
    &smb::SMB,
    &dcerpc::DCERPC,
    &ftp::FTP,
    &smtp::SMTP,
    &mailbox::POP3,
    &mailbox::IMAP,
    &telnet::TELNET,
    &vnc::VNC,
    &rdp::RDP,
    &kerberos::KERBEROS,
    &ldap::LDAP,
    &database::MYSQL,
    &database::POSTGRESQL,
    &database::TDS,
    &database::MONGODB,
    &database::REDIS,
    &dhcp::DHCP,
    &ntp::NTP,
    &snmp::SNMP,
    &mqtt::MQTT,
    &known::SIP,
    &known::STUN,
    &known::WIREGUARD,
    &known::OPENVPN,
    &known::BITTORRENT,
];

/// Which rows of `PROTOCOLS` are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enabled(u64);

impl Enabled {
    pub const ALL: Self = Self(u64::MAX);
    pub const NONE: Self = Self(0);
    /// By name; an unknown name comes back as the error.
    pub fn only<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, &'n str> {
        names.into_iter().try_fold(Self(0), |set, name| {
            let at = PROTOCOLS.iter().position(|p| p.name == name).ok_or(name)?;
            Ok(Self(set.0 | 1 << at))
        })
    }
    fn has(self, at: usize) -> bool {
        self.0 & (1 << at) != 0
    }
}

impl Default for Enabled {
    fn default() -> Self {
        Self::ALL
    }
}

const _: () = assert!(PROTOCOLS.len() <= 64);

/// Bytes of a side that are kept while it is not yet clear what is spoken.
const HEAD_BYTES_MAX: usize = 2048;
/// Pieces without a match after which a flow is left alone.
const TRIES_MAX: u8 = 8;

/// Protocols within protocols that are followed: TLS in a proxy's tunnel, and once more.
const DEPTH_MAX: u8 = 3;

/// The protocol state of one flow.
#[derive(Default)]
pub struct Session {
    state: State,
    /// What was spoken before a handover, and how many there were.
    outer: Option<&'static str>,
    depth: u8,
}

#[derive(Default)]
enum State {
    #[default]
    Fresh,
    Probing {
        /// Bytes of each side that were kept; most flows keep none.
        heads: Option<Box<[Vec<u8>; 2]>>,
        tries: u8,
    },
    Speaking(&'static Protocol, Box<dyn Parser>),
    Unknown,
}

impl Session {
    /// Name of the protocol, once it is known: the innermost that was found.
    pub fn protocol(&self) -> Option<&'static str> {
        if let State::Speaking(p, _) = &self.state { Some(p.name) } else { self.outer }
    }

    /// Feeds a piece of a TCP direction, or one UDP datagram.
    pub fn feed(&mut self, carrier: Carrier, enabled: Enabled, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        match &mut self.state {
            State::Speaking(_, parser) => {
                let want = parser.feed(piece, out);
                if want == Want::Stop { self.hand_over(carrier, enabled, piece.time, out) } else { want }
            }
            State::Unknown => Want::Stop,
            State::Fresh => self.probe(carrier, enabled, piece, Vec::new(), 0, out),
            State::Probing { heads, tries } => {
                let mut head = heads.as_mut().map_or_else(Vec::new, |heads| std::mem::take(&mut heads[piece.side as usize]));
                let tries = *tries;
                if piece.gap || carrier == Carrier::Udp {
                    head.clear();
                }
                self.probe(carrier, enabled, piece, head, tries, out)
            }
        }
    }

    pub fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        if let State::Speaking(_, parser) = &mut self.state { parser.wake(now, out) } else { Want::More }
    }

    pub fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if let State::Speaking(_, parser) = &mut self.state {
            parser.end(now, out);
        }
    }

    /// After a parser stopped: begins anew with what belongs to the next protocol, if there is one.
    fn hand_over(&mut self, carrier: Carrier, enabled: Enabled, time: Timestamp, out: &mut dyn Emit) -> Want {
        let State::Speaking(protocol, parser) = &mut self.state else { return Want::Stop };
        let Some(rest) = parser.handover().filter(|_| self.depth < DEPTH_MAX) else { return Want::Stop };
        parser.end(time, out);
        (self.outer, self.depth, self.state) = (Some(protocol.name), self.depth + 1, State::Fresh);
        let mut want = Want::More;
        for (side, bytes) in [Side::Originator, Side::Responder].into_iter().zip(&rest) {
            if !bytes.is_empty() && want != Want::Stop {
                want = self.feed(carrier, enabled, Piece { side, bytes, gap: false, time }, out);
            }
        }
        want
    }

    fn probe(&mut self, carrier: Carrier, enabled: Enabled, piece: Piece<'_>, mut head: Vec<u8>, tries: u8, out: &mut dyn Emit) -> Want {
        let behind = !head.is_empty();
        let seen: &[u8] = if behind {
            head.extend_from_slice(piece.bytes);
            &head
        } else {
            piece.bytes
        };
        let (mut found, mut maybe) = find(carrier, enabled, piece.side, seen);
        let mut seen = seen;
        if found.is_none() && !maybe && behind {
            // What was kept led nowhere (a stream joined in the middle, a keep-alive's byte): this piece may begin something.
            (found, maybe) = find(carrier, enabled, piece.side, piece.bytes);
            seen = piece.bytes;
        }
        if let Some(protocol) = found {
            let mut parser = (protocol.open)(carrier);
            let want = parser.feed(Piece { bytes: seen, ..piece }, out);
            self.state = State::Speaking(protocol, parser);
            return if want == Want::Stop { self.hand_over(carrier, enabled, piece.time, out) } else { want };
        }
        let tries = tries.saturating_add(1);
        let keep = maybe && carrier == Carrier::Tcp && seen.len() < HEAD_BYTES_MAX;
        if !keep && tries >= TRIES_MAX {
            self.state = State::Unknown;
            return Want::Stop;
        }
        let kept = if keep { seen.to_vec() } else { Vec::new() };
        if !matches!(self.state, State::Probing { .. }) {
            self.state = State::Probing { heads: None, tries };
        }
        if let State::Probing { heads, tries: count } = &mut self.state {
            if !kept.is_empty() {
                heads.get_or_insert_default()[piece.side as usize] = kept;
            }
            *count = tries;
        }
        Want::More
    }
}

/// The first protocol that knows these bytes as its own, and whether one might with more of them.
fn find(carrier: Carrier, enabled: Enabled, side: Side, bytes: &[u8]) -> (Option<&'static Protocol>, bool) {
    let mut maybe = false;
    for (at, protocol) in PROTOCOLS.iter().enumerate() {
        if !enabled.has(at) {
            continue;
        }
        match (protocol.probe)(carrier, side, bytes) {
            Probe::Yes => return (Some(protocol), maybe),
            Probe::Maybe => maybe = true,
            Probe::No => {}
        }
    }
    (None, maybe)
}

/// An anomaly as an event, for whoever implements `Emit`.
pub fn anomaly_event(name: &'static str, detail: &str, source: &'static str, time: Timestamp) -> Event {
    Event::new(time, Kind::NetworkActivity, 99, LogSource::new("", "anomaly", "anomaly"))
        .with(field::ANOMALY_NAME, name)
        .with(field::ANOMALY_DETAIL, detail)
        .with(field::ANOMALY_SOURCE, source)
}

/// Room an empty buffer may keep for what comes next: there are two in each of very many flows.
const KEPT_BYTES_MAX: usize = 2048;

/// A bounded buffer that a parser collects an unfinished message in. What is done with is left in place until new bytes come, so
/// that many small messages in one piece cost no more than their bytes.
#[derive(Default)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    /// So many are done with.
    done: usize,
}

impl Held {
    /// Adds bytes; false if that would pass `max`, and then everything is dropped.
    pub(crate) fn add(&mut self, bytes: &[u8], max: usize) -> bool {
        self.bytes.drain(..self.done);
        self.done = 0;
        if self.bytes.len() + bytes.len() > max {
            self.bytes = Vec::new();
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        true
    }
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.done..).unwrap_or_default()
    }
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.split_off(self.done)
    }
    pub(crate) fn eat(&mut self, n: usize) {
        self.done = self.done.saturating_add(n).min(self.bytes.len());
        if self.done == self.bytes.len() {
            self.done = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_BYTES_MAX {
                self.bytes = Vec::new();
            }
        }
    }
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

pub(crate) fn be16(b: &[u8], at: usize) -> Option<u16> {
    b.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

pub(crate) fn be24(b: &[u8], at: usize) -> Option<usize> {
    b.get(at..at + 3).map(|b| usize::from(b[0]) << 16 | usize::from(b[1]) << 8 | usize::from(b[2]))
}

#[cfg(test)]
mod tests {
    use super::{Enabled, Held, PROTOCOLS};

    #[test]
    fn each_protocol_is_switched_on_alone() {
        for (at, protocol) in PROTOCOLS.iter().enumerate() {
            let only = Enabled::only([protocol.name]).unwrap_or_else(|name| panic!("{name} is not in its own table"));
            let on: Vec<usize> = (0..PROTOCOLS.len()).filter(|n| only.has(*n)).collect();
            assert_eq!(on, [at], "{}", protocol.name);
        }
    }

    #[test]
    fn what_is_eaten_is_gone_and_the_bound_is_of_what_is_left() {
        let mut held = Held::default();
        assert!(held.add(b"abcdef", 6));
        held.eat(4);
        assert_eq!(held.bytes(), b"ef");
        assert!(held.add(b"ghij", 6) && !held.add(b"k", 6) && held.bytes().is_empty());
        assert!(held.add(b"xyz", 6));
        held.eat(1);
        assert_eq!(held.into_bytes(), b"yz");
    }

    #[test]
    fn a_piece_of_many_small_messages_costs_its_bytes() {
        let mut held = Held::default();
        let many = vec![0; 1 << 20];
        assert!(held.add(&many, many.len()));
        // Moving what is left after each would be half a terabyte.
        let count = std::iter::from_fn(|| (!held.bytes().is_empty()).then(|| held.eat(1))).count();
        assert_eq!(count, many.len());
    }
}
