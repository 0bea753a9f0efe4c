//! Flows: who spoke with whom, how it began and ended, how much each way, and the bytes in order.

mod key;
mod stream;
mod table;
mod tcp;

pub use stream::Chunk;
pub use table::{FlowConfig, FlowStats, FlowTable, WARM_MAX};

use std::cell::OnceCell;
use std::net::IpAddr;

use event::Timestamp;

use crate::community;
use crate::tunnel::Tunnel;
use key::Kind;
use stream::Stream;

/// Which end of a flow; the originator is the one that began it, as far as that can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

/// Packets and bytes (frame length) of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}

/// What is said about a flow, and when. Every packet of a flow is counted in exactly one report other than `Opened`:
/// the sum of `Flow::unreported` over them is the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// A TCP attempt was accepted (SYN and SYN-ACK seen). Takes no counts.
    Opened,
    /// A TCP attempt was refused (RST to SYN).
    Refused,
    /// A TCP attempt, or a first datagram to one host, had no answer for `attempt_wait`.
    Unanswered,
    /// The flow goes on; `active_timeout` has passed since the last report.
    Active,
    /// The flow is over; the last report.
    Ended(EndReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// Both sides closed.
    Fin,
    Rst,
    /// Nothing for the idle timeout.
    Idle,
    /// A new flow took the same addresses and ports.
    Reused,
    /// Pushed out of a full table.
    Evicted,
    /// Capture ended.
    Flushed,
}

impl EndReason {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Idle => "idle",
            Self::Reused => "reused",
            Self::Evicted => "evicted",
            Self::Flushed => "end",
        }
    }
}

/// An observer's answer to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    More,
    /// More, and call `wake` about a second of packet time later.
    Wake,
    /// As `Wake`, and to the end of the flow however long it is: the limit of bytes begins anew with each piece. For protocols that
    /// talk for years over one connection.
    Whole,
    /// No more bytes of this flow, either way.
    Stop,
}

/// Told by a `FlowTable` what it saw. `data` is the observer's own state of the flow.
pub trait Observer<D> {
    fn report(&mut self, flow: &Flow, data: &mut D, report: Report, at: Timestamp);
    /// Bytes of a TCP direction in order, each once, up to the limit.
    fn stream(&mut self, flow: &Flow, data: &mut D, side: Side, chunk: Chunk<'_>, at: Timestamp) -> Want;
    /// Payload of one UDP packet.
    fn datagram(&mut self, flow: &Flow, data: &mut D, side: Side, bytes: &[u8], at: Timestamp) -> Want;
    /// Asked for by `Want::Wake`.
    fn wake(&mut self, flow: &Flow, data: &mut D, at: Timestamp) -> Want;
}

/// One flow.
pub struct Flow {
    /// Counts up within the table, from 1.
    pub serial: u64,
    pub start: Timestamp,
    /// Time of the newest packet.
    pub last: Timestamp,
    pub originator: (IpAddr, u16),
    pub responder: (IpAddr, u16),
    /// IANA number.
    pub protocol: u8,
    /// Outer VLAN id of the first packet.
    pub vlan: Option<u16>,
    /// The tunnel it runs in.
    pub tunnel: Option<Tunnel>,
    /// Link addresses of the first packet, originator's first.
    pub macs: [Option<[u8; 6]>; 2],
    /// Interface the first packet was seen on.
    pub interface: u16,
    /// ICMP type and code of the first packet.
    pub icmp: Option<(u8, u8)>,
    kind: Kind,
    /// Digest of the Community ID, made when first asked for: most flows are told of more than once.
    community: OnceCell<[u8; 20]>,
    pub(crate) one_way: bool,
    sides: [End; 2],
    history: History,
    rst_by: Option<Side>,
    answered: bool,
    outcome_said: bool,
    last_report: Timestamp,
    wake_set: bool,
    wake_asked: bool,
    stopped: bool,
}

/// What is kept of one direction.
#[derive(Default)]
struct End {
    count: Count,
    reported: Count,
    payload: u64,
    flags: u8,
    /// SYN, SYN-ACK, FIN, RST as flags seen, in TCP's bits; SYN with ACK is kept as bit 7.
    syn: bool,
    fin: bool,
    isn: u32,
    interface: u16,
    last: Timestamp,
    stream: Stream,
}

impl Flow {
    pub fn count(&self, side: Side) -> Count {
        self.sides[side as usize].count
    }

    /// What has been counted since the last report.
    pub fn unreported(&self, side: Side) -> Count {
        let end = &self.sides[side as usize];
        Count { packets: end.count.packets - end.reported.packets, bytes: end.count.bytes - end.reported.bytes }
    }

    /// TCP payload or UDP data bytes that were seen of a side, retransmissions included.
    pub fn payload(&self, side: Side) -> u64 {
        self.sides[side as usize].payload
    }

    /// TCP flags seen from either side, or-ed.
    pub fn tcp_flags(&self) -> u8 {
        self.sides[0].flags | self.sides[1].flags
    }

    /// Zeek's history letters: S SYN, H SYN-ACK, A pure ACK, D data, F FIN, R RST, T retransmission, G gap, Q odd flags,
    /// W zero window; capitals from the originator; `^` where the first packet was taken for an answer. Each once a direction.
    pub fn history(&self) -> &str {
        self.history.as_str()
    }

    /// False for a later fragment or a protocol without ports.
    pub fn has_ports(&self) -> bool {
        self.kind == Kind::Ports
    }

    pub fn is_ipv6(&self) -> bool {
        self.originator.0.is_ipv6()
    }

    /// True if the TCP handshake was not seen from its start.
    pub fn midstream(&self) -> bool {
        self.protocol == 6 && !self.sides[0].syn
    }

    pub fn community_id(&self) -> String {
        let ports = (self.kind != Kind::Bare).then_some((self.originator.1, self.responder.1));
        let make = || community::digest(self.protocol, self.originator.0, self.responder.0, ports, self.one_way);
        community::text(self.community.get_or_init(make))
    }

    /// Zeek's words for how a connection went (`S0 S1 S2 S3 SF REJ RSTO RSTR RSTOS0 RSTRH SH SHR OTH`).
    pub fn state(&self) -> &'static str {
        let [o, r] = &self.sides;
        if self.protocol != 6 || self.kind != Kind::Ports {
            return match (self.protocol, o.count.packets > 0, r.count.packets > 0) {
                (17, true, true) => "SF",
                (17, true, false) => "S0",
                (17, false, true) => "SHR",
                _ => "OTH",
            };
        }
        let answer_syn = r.syn;
        match (o.syn, answer_syn, self.rst_by) {
            (true, false, Some(Side::Responder)) => "REJ",
            (true, false, Some(Side::Originator)) => "RSTOS0",
            (true, false, None) if o.fin => "SH",
            (true, false, None) if r.count.packets > 0 => "OTH",
            (true, false, None) => "S0",
            (false, true, Some(Side::Responder)) => "RSTRH",
            (false, true, None) if r.fin && o.count.packets == 0 => "SHR",
            (false, ..) => "OTH",
            (true, true, Some(Side::Originator)) => "RSTO",
            (true, true, Some(Side::Responder)) => "RSTR",
            (true, true, None) => match (o.fin, r.fin) {
                (true, true) => "SF",
                (true, false) => "S2",
                (false, true) => "S3",
                (false, false) => "S1",
            },
        }
    }

    /// True while a TCP attempt waits for its answer.
    pub fn half_open(&self) -> bool {
        self.protocol == 6 && self.sides[0].syn && !self.answered
    }

    /// True while datagrams went to one host and nothing came back. Groups and everybody (multicast, broadcast) answer from addresses of
    /// their own, if at all.
    pub fn unheard(&self) -> bool {
        let one_host = match self.responder.0 {
            IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
            IpAddr::V6(ip) => !ip.is_multicast(),
        };
        self.protocol == 17 && self.has_ports() && one_host && self.sides[0].count.packets > 0 && self.sides[1].count.packets == 0
    }

    /// True while an attempt to reach a service has no answer: `half_open` or `unheard`.
    pub fn waits_for_answer(&self) -> bool {
        self.half_open() || self.unheard()
    }

    fn closed(&self) -> bool {
        self.rst_by.is_some() || (self.sides[0].fin && self.sides[1].fin)
    }
}

/// Letters of `Flow::history`, each once a direction: at most 20 and the mark of a flip.
#[derive(Clone, Copy, Default)]
struct History {
    letters: [u8; 24],
    len: u8,
    seen: [u16; 2],
}

impl History {
    const WORDS: &'static [u8; 10] = b"shadfrtgqw";

    fn add(&mut self, side: Side, letter: u8) {
        let Some(bit) = Self::WORDS.iter().position(|w| *w == letter) else { return };
        let seen = &mut self.seen[side as usize];
        if *seen & (1 << bit) != 0 {
            return;
        }
        *seen |= 1 << bit;
        self.push(if side == Side::Originator { letter.to_ascii_uppercase() } else { letter });
    }

    fn push(&mut self, letter: u8) {
        if let Some(slot) = self.letters.get_mut(usize::from(self.len)) {
            *slot = letter;
            self.len += 1;
        }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.letters[..usize::from(self.len)]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
