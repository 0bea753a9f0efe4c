//! One frame to what it says: no allocation, no panic, no trust in stated lengths.
//!
//! etherparse's lax slices do the walking (Ethernet, VLAN, MACsec, IPv4, IPv6 and extension headers); cooked captures,
//! loopback, PPP, PPPoE, MPLS, E-tags and VN-tags are skipped by hand in front of it. Of a tunnel only the outermost addresses are read
//! here (`tunnel` looks inside). Fragments after the first have no ports; the first fragment has; `Ip::piece` is what `fragment` needs to
//! put them together. Of a cut packet everything that is there is used.

mod plain;

use std::net::{IpAddr, Ipv4Addr};

use etherparse::err::Layer;
use etherparse::{EtherType, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, LinkSlice, TcpSlice, TransportSlice, UdpSlice};

use crate::anomaly::{Anomalies, Anomaly};
use crate::frame::{Frame, LinkType};
use crate::tunnel::Tunnel;

/// What a frame says.
#[derive(Debug, Clone, Copy)]
pub struct Decoded<'a> {
    pub src_mac: Option<[u8; 6]>,
    pub dst_mac: Option<[u8; 6]>,
    /// Outer VLAN id.
    pub vlan: Option<u16>,
    /// How the frame came, if it lay inside another packet; set by whoever unpacked it.
    pub tunnel: Option<Tunnel>,
    pub body: Body<'a>,
    pub anomalies: Anomalies,
}

impl Decoded<'_> {
    /// What is left of a frame that says nothing.
    pub const NOTHING: Self = Self { src_mac: None, dst_mac: None, vlan: None, tunnel: None, body: Body::None, anomalies: Anomalies::NONE };
}

#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// Nothing that can be read.
    None,
    /// Neither IP nor ARP: what lies behind the ether type.
    Other {
        ether_type: u16,
        payload: &'a [u8],
    },
    Arp(Arp),
    Ip(Ip<'a>),
}

/// An ARP packet about Ethernet and IPv4 (RFC 826).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply, others as on the wire.
    pub operation: u16,
    pub sender_mac: [u8; 6],
    pub sender_ip: Ipv4Addr,
    pub target_mac: [u8; 6],
    pub target_ip: Ipv4Addr,
}

#[derive(Debug, Clone, Copy)]
pub struct Ip<'a> {
    pub src: IpAddr,
    pub dst: IpAddr,
    /// IANA number of what the IP packet carries, behind its extension headers.
    pub protocol: u8,
    pub ttl: u8,
    pub fragment: Fragment,
    pub transport: Transport<'a>,
    /// Of a fragment: where it belongs.
    pub piece: Option<Piece<'a>>,
}

/// A fragment as `fragment` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    pub id: u32,
    /// Bytes from the start of what was cut.
    pub offset: u32,
    /// More come behind it.
    pub more: bool,
    /// IANA number of what was cut (of IPv6: what the fragment header names).
    pub protocol: u8,
    /// The IP header: of IPv4 with its options, of IPv6 the fixed part.
    pub header: &'a [u8],
    pub payload: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    No,
    First,
    Later,
}

#[derive(Debug, Clone, Copy)]
pub enum Transport<'a> {
    Tcp(Tcp<'a>),
    Udp(Udp<'a>),
    Icmp(Icmp<'a>),
    /// Another protocol, a later fragment, or a header that is cut; ports where they could still be read.
    Other {
        ports: Option<(u16, u16)>,
        /// What the IP packet carries.
        payload: &'a [u8],
    },
}

#[derive(Debug, Clone, Copy)]
pub struct Tcp<'a> {
    pub src_port: u16,
    pub dst_port: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: TcpFlags,
    pub window: u16,
    pub payload: &'a [u8],
    /// True if bytes of the payload are missing at its end (snap length).
    pub cut: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Udp<'a> {
    pub src_port: u16,
    pub dst_port: u16,
    pub payload: &'a [u8],
    pub cut: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Icmp<'a> {
    pub v6: bool,
    pub kind: u8,
    pub code: u8,
    pub payload: &'a [u8],
}

/// TCP flags as on the wire: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    pub const fn fin(self) -> bool {
        self.0 & 1 != 0
    }
    pub const fn syn(self) -> bool {
        self.0 & 2 != 0
    }
    pub const fn rst(self) -> bool {
        self.0 & 4 != 0
    }
    pub const fn ack(self) -> bool {
        self.0 & 16 != 0
    }
    /// Flags that no TCP stack sends.
    pub const fn odd(self) -> bool {
        let f = self.0;
        f & 0x3f == 0 || (f & 2 != 0 && f & 5 != 0) || (f & 1 != 0 && f & 16 == 0)
    }
}

const ETHER_IPV4: u16 = 0x0800;
const ETHER_IPV6: u16 = 0x86dd;
const ETHER_ARP: u16 = 0x0806;
const ETHER_MPLS: u16 = 0x8847;
const ETHER_MPLS_MULTICAST: u16 = 0x8848;
const ETHER_PPPOE_SESSION: u16 = 0x8864;
const ETHER_ETAG: u16 = 0x893f;
const ETHER_VNTAG: u16 = 0x8926;
const MPLS_LABELS_MAX: usize = 8;

/// Reads one frame.
pub fn decode<'a>(frame: &Frame<'a>) -> Decoded<'a> {
    let mut out = Decoded::NOTHING;
    decode_into(frame, &mut out);
    out
}

/// As `decode`, written where it is to lie: what a frame says is long enough for a copy to show.
#[inline]
pub fn decode_into<'a>(frame: &Frame<'a>, out: &mut Decoded<'a>) {
    if frame.link != LinkType::Ethernet || plain::read(frame, out).is_none() {
        *out = decode_slowly(frame);
    }
}

/// As `decode`, always the long way: what the short one is held against.
#[doc(hidden)]
pub fn decode_slowly<'a>(frame: &Frame<'a>) -> Decoded<'a> {
    let mut out = Decoded { vlan: frame.vlan, ..Decoded::NOTHING };
    let bytes = frame.bytes;
    match frame.link {
        LinkType::Ethernet => match LaxSlicedPacket::from_ethernet(bytes) {
            Ok(sliced) => packet(&sliced, frame, &mut out, 0),
            Err(_) => out.anomalies.add(Anomaly::LinkTruncated),
        },
        LinkType::LinuxSll => match (mac(bytes, 6), be16(bytes, 14), bytes.get(16..)) {
            (source, Some(ether), Some(rest)) => {
                out.src_mac = source;
                ether_type(ether, rest, frame, &mut out);
            }
            _ => out.anomalies.add(Anomaly::LinkTruncated),
        },
        LinkType::LinuxSll2 => match (be16(bytes, 0), bytes.get(20..)) {
            (Some(ether), Some(rest)) => {
                out.src_mac = mac(bytes, 12);
                ether_type(ether, rest, frame, &mut out);
            }
            _ => out.anomalies.add(Anomaly::LinkTruncated),
        },
        LinkType::Raw => ip(bytes, frame, &mut out),
        LinkType::EtherType(ether) => ether_type(ether, bytes, frame, &mut out),
        LinkType::Null => match bytes.get(4..) {
            Some(rest) => ip(rest, frame, &mut out),
            None => out.anomalies.add(Anomaly::LinkTruncated),
        },
        LinkType::Ppp => ppp(bytes.strip_prefix(&[0xff, 0x03]).unwrap_or(bytes), frame, &mut out),
        LinkType::CiscoHdlc => match (be16(bytes, 2), bytes.get(4..)) {
            (Some(ether), Some(rest)) => ether_type(ether, rest, frame, &mut out),
            _ => out.anomalies.add(Anomaly::LinkTruncated),
        },
        LinkType::Other(_) => out.anomalies.add(Anomaly::LinkUnknown),
    }
    out
}

fn ether_type<'a>(ether: u16, rest: &'a [u8], frame: &Frame<'a>, out: &mut Decoded<'a>) {
    packet(&LaxSlicedPacket::from_ether_type(EtherType(ether), rest), frame, out, 0);
}

fn ip<'a>(bytes: &'a [u8], frame: &Frame<'a>, out: &mut Decoded<'a>) {
    let ether = match bytes.first().map(|b| b >> 4) {
        Some(4) => 0x0800,
        Some(6) => 0x86dd,
        Some(_) => return out.anomalies.add(Anomaly::IpBadHeader),
        None => return out.anomalies.add(Anomaly::LinkTruncated),
    };
    ether_type(ether, bytes, frame, out);
}

/// PPP: protocol in two bytes, or one where it is compressed.
fn ppp<'a>(bytes: &'a [u8], frame: &Frame<'a>, out: &mut Decoded<'a>) {
    let (protocol, rest) = match bytes {
        [p, rest @ ..] if p & 1 == 1 => (u16::from(*p), rest),
        [hi, lo, rest @ ..] => (u16::from_be_bytes([*hi, *lo]), rest),
        _ => return out.anomalies.add(Anomaly::LinkTruncated),
    };
    if matches!(protocol, 0x0021 | 0x0057) {
        ip(rest, frame, out);
    }
}

/// MPLS: labels up to the bottom of the stack, then IP by its first half byte (or a pseudo wire, which is left alone).
fn mpls<'a>(mut rest: &'a [u8], frame: &Frame<'a>, out: &mut Decoded<'a>) {
    for _ in 0..MPLS_LABELS_MAX {
        let Some((label, tail)) = rest.split_at_checked(4) else { return out.anomalies.add(Anomaly::LinkTruncated) };
        rest = tail;
        if label.get(2).is_some_and(|b| b & 1 == 1) {
            match rest.first().map(|b| b >> 4) {
                Some(4 | 6) => ip(rest, frame, out),
                // A pseudo wire with its control word: Ethernet behind it (RFC 4448).
                Some(0) if rest.get(..4) == Some(&[0; 4]) => {
                    if let Ok(sliced) = LaxSlicedPacket::from_ethernet(rest.get(4..).unwrap_or_default()) {
                        packet(&sliced, frame, out, 1);
                    }
                }
                _ => {}
            }
            return;
        }
    }
}

fn packet<'a>(sliced: &LaxSlicedPacket<'a>, frame: &Frame<'a>, out: &mut Decoded<'a>, depth: u8) {
    if let Some(LinkSlice::Ethernet2(link)) = &sliced.link {
        out.src_mac = Some(link.source());
        out.dst_mac = Some(link.destination());
    }
    for ext in &sliced.link_exts {
        if let LaxLinkExtSlice::Vlan(tag) = ext
            && out.vlan.is_none()
        {
            out.vlan = Some(tag.vlan_identifier().value());
        }
    }
    if let Some((_, layer)) = &sliced.stop_err {
        note_stop(*layer, &mut out.anomalies);
    }
    match &sliced.net {
        Some(LaxNetSlice::Arp(arp)) => match read_arp(arp.slice()) {
            Some(arp) => out.body = Body::Arp(arp),
            None => out.anomalies.add(Anomaly::ArpMalformed),
        },
        Some(net) => {
            if let Some(ip) = read_ip(net, sliced, frame, &mut out.anomalies) {
                out.body = Body::Ip(ip);
            }
        }
        None if depth == 0 => {
            // What etherparse does not walk: labels and session headers with IP behind them.
            let Some(payload) = sliced.ether_payload() else { return };
            match payload.ether_type.0 {
                ETHER_MPLS | ETHER_MPLS_MULTICAST => mpls(payload.payload, frame, out),
                ETHER_PPPOE_SESSION => match payload.payload.get(6..) {
                    Some(rest) => ppp(rest, frame, out),
                    None => out.anomalies.add(Anomaly::LinkTruncated),
                },
                // Tags of port extenders: so many bytes, then the type of what follows.
                tag @ (ETHER_ETAG | ETHER_VNTAG) => {
                    let len = if tag == ETHER_ETAG { 6 } else { 4 };
                    match (be16(payload.payload, len), payload.payload.get(len + 2..)) {
                        (Some(ether), Some(rest)) => packet(&LaxSlicedPacket::from_ether_type(EtherType(ether), rest), frame, out, 1),
                        _ => out.anomalies.add(Anomaly::LinkTruncated),
                    }
                }
                ETHER_ARP => out.anomalies.add(Anomaly::ArpMalformed),
                0x8100 | 0x88a8 | 0x9100 => out.anomalies.add(Anomaly::VlanDeep),
                // Of these too little is there to be read.
                ETHER_IPV4 | ETHER_IPV6 => {}
                other => out.body = Body::Other { ether_type: other, payload: payload.payload },
            }
        }
        None => {}
    }
}

fn note_stop(layer: Layer, anomalies: &mut Anomalies) {
    anomalies.add(match layer {
        Layer::LinuxSllHeader
        | Layer::Ethernet2Header
        | Layer::EtherPayload
        | Layer::VlanHeader
        | Layer::MacsecHeader
        | Layer::MacsecPacket => Anomaly::LinkTruncated,
        Layer::IpHeader | Layer::Ipv4Header | Layer::Ipv6Header => Anomaly::IpBadHeader,
        Layer::Ipv4Packet | Layer::Ipv6Packet => Anomaly::IpLength,
        Layer::IpAuthHeader
        | Layer::Ipv6ExtHeader
        | Layer::Ipv6HopByHopHeader
        | Layer::Ipv6DestOptionsHeader
        | Layer::Ipv6RouteHeader
        | Layer::Ipv6FragHeader => Anomaly::IpExtension,
        Layer::UdpHeader | Layer::UdpPayload => Anomaly::UdpLength,
        Layer::TcpHeader => Anomaly::TcpBadHeader,
        Layer::Icmpv4 | Layer::Icmpv4Timestamp | Layer::Icmpv4TimestampReply | Layer::Icmpv6 => Anomaly::IcmpTruncated,
        Layer::Arp => Anomaly::ArpMalformed,
    });
}

fn read_arp(b: &[u8]) -> Option<Arp> {
    if b.get(..6)? != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let ip = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(b.get(at..at + 4)?).ok()?));
    Some(Arp { operation: be16(b, 6)?, sender_mac: mac(b, 8)?, sender_ip: ip(14)?, target_mac: mac(b, 18)?, target_ip: ip(24)? })
}

fn read_ip<'a>(net: &LaxNetSlice<'a>, sliced: &LaxSlicedPacket<'a>, frame: &Frame<'a>, anomalies: &mut Anomalies) -> Option<Ip<'a>> {
    let (src, dst, ttl, payload, offset): (IpAddr, IpAddr, u8, _, u32) = match net {
        LaxNetSlice::Ipv4(v4) => {
            let header = v4.header();
            let offset = u32::from(header.fragments_offset().value()) * 8;
            (header.source_addr().into(), header.destination_addr().into(), header.ttl(), v4.payload(), offset)
        }
        LaxNetSlice::Ipv6(v6) => {
            let header = v6.header();
            let offset = v6_fragment_offset(v6.extensions().slice(), header.next_header().0);
            (header.source_addr().into(), header.destination_addr().into(), header.hop_limit(), v6.payload(), offset)
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let protocol = payload.ip_number.0;
    let bytes = payload.payload;
    let snapped = (frame.bytes.len() as u64) < u64::from(frame.len);
    if payload.incomplete && !snapped {
        anomalies.add(Anomaly::IpLength);
    }
    let fragment = match (payload.fragmented, offset) {
        (_, 1..) => Fragment::Later,
        (true, 0) => Fragment::First,
        (false, 0) => Fragment::No,
    };
    if offset as usize + bytes.len() > 65_535 {
        anomalies.add(Anomaly::FragmentOverlong);
    }
    let cut = payload.incomplete;
    let transport = match (&sliced.transport, fragment, protocol) {
        (_, Fragment::Later, _) => Transport::Other { ports: None, payload: bytes },
        (Some(TransportSlice::Tcp(tcp)), ..) => Transport::Tcp(read_tcp(tcp, cut)),
        (Some(TransportSlice::Udp(udp)), ..) => Transport::Udp(read_udp(udp, cut)),
        (Some(TransportSlice::Icmpv4(icmp)), ..) => {
            Transport::Icmp(Icmp { v6: false, kind: icmp.type_u8(), code: icmp.code_u8(), payload: icmp.payload() })
        }
        (Some(TransportSlice::Icmpv6(icmp)), ..) => {
            Transport::Icmp(Icmp { v6: true, kind: icmp.type_u8(), code: icmp.code_u8(), payload: icmp.payload() })
        }
        // etherparse leaves fragments and cut headers alone; the first bytes still say whom they are for.
        (None, _, 6) => match TcpSlice::from_slice(bytes) {
            Ok(tcp) => Transport::Tcp(read_tcp(&tcp, cut || fragment == Fragment::First)),
            Err(_) => {
                if fragment == Fragment::First && !snapped {
                    anomalies.add(Anomaly::FragmentTiny);
                }
                Transport::Other { ports: first_ports(bytes), payload: bytes }
            }
        },
        (None, _, 17) => match UdpSlice::from_slice_lax(bytes) {
            Ok(udp) => Transport::Udp(read_udp(&udp, cut || fragment == Fragment::First)),
            Err(_) => Transport::Other { ports: first_ports(bytes), payload: bytes },
        },
        (None, _, number @ (1 | 58)) => match bytes {
            [kind, code, rest @ ..] => {
                Transport::Icmp(Icmp { v6: number == 58, kind: *kind, code: *code, payload: rest.get(6..).unwrap_or_default() })
            }
            _ => Transport::Other { ports: None, payload: bytes },
        },
        // SCTP, DCCP and UDP-Lite keep their ports where TCP has them.
        (None, _, 132 | 33 | 136) => Transport::Other { ports: first_ports(bytes), payload: bytes },
        (None, ..) => Transport::Other { ports: None, payload: bytes },
    };
    match transport {
        Transport::Tcp(tcp) => {
            if tcp.flags.odd() {
                anomalies.add(Anomaly::TcpFlags);
            }
            if src == dst && tcp.src_port == tcp.dst_port && !src.is_loopback() {
                anomalies.add(Anomaly::SameEndpoint);
            }
        }
        Transport::Udp(_) if fragment == Fragment::No => {
            // The header states more than the IP packet holds, or less than itself.
            let stated = be16(bytes, 4).map_or(0, usize::from);
            if stated != 0 && (stated < 8 || (stated > bytes.len() && !cut && !snapped)) {
                anomalies.add(Anomaly::UdpLength);
            }
        }
        _ => {}
    }
    // A piece that is cut by the snap length cannot be put together.
    let piece = if fragment == Fragment::No || cut { None } else { read_piece(net, frame, offset) };
    Some(Ip { src, dst, protocol, ttl, fragment, transport, piece })
}

fn read_piece<'a>(net: &LaxNetSlice<'a>, frame: &Frame<'a>, offset: u32) -> Option<Piece<'a>> {
    match net {
        LaxNetSlice::Ipv4(v4) => {
            let header = v4.header();
            // An authentication header stands in front of what was cut: rare enough to be left alone.
            if v4.extensions().auth.is_some() {
                return None;
            }
            Some(Piece {
                id: header.identification().into(),
                offset,
                more: header.more_fragments(),
                protocol: header.protocol().0,
                header: within(frame, header.slice())?,
                payload: v4.payload().payload,
            })
        }
        LaxNetSlice::Ipv6(v6) => {
            let exts = v6.extensions().slice();
            let (at, protocol, more, id) = v6_fragment(exts, v6.header().next_header().0)?;
            // The extensions and what follows them lie behind each other in the frame; what was cut begins right after the fragment header.
            let begin = (exts.as_ptr() as usize).checked_sub(frame.bytes.as_ptr() as usize)? + at + 8;
            let len = exts.len().checked_sub(at + 8)? + v6.payload().payload.len();
            let header = within(frame, v6.header().slice())?;
            Some(Piece { id, offset, more, protocol, header, payload: frame.bytes.get(begin..begin + len)? })
        }
        LaxNetSlice::Arp(_) => None,
    }
}

/// A part of the frame, for as long as the frame lives.
fn within<'a>(frame: &Frame<'a>, part: &[u8]) -> Option<&'a [u8]> {
    let begin = (part.as_ptr() as usize).checked_sub(frame.bytes.as_ptr() as usize)?;
    frame.bytes.get(begin..begin.checked_add(part.len())?)
}

fn read_tcp<'a>(tcp: &TcpSlice<'a>, cut: bool) -> Tcp<'a> {
    Tcp {
        src_port: tcp.source_port(),
        dst_port: tcp.destination_port(),
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        flags: TcpFlags(tcp.header_slice().get(13).copied().unwrap_or(0)),
        window: tcp.window_size(),
        payload: tcp.payload(),
        cut,
    }
}

fn read_udp<'a>(udp: &UdpSlice<'a>, cut: bool) -> Udp<'a> {
    Udp { src_port: udp.source_port(), dst_port: udp.destination_port(), payload: udp.payload(), cut }
}

/// Offset of an IPv6 fragment, bytes; 0 if there is no fragment header among the extensions.
fn v6_fragment_offset(exts: &[u8], next: u8) -> u32 {
    v6_fragment(exts, next).and_then(|(at, ..)| be16(exts, at + 2)).map_or(0, |word| u32::from(word & 0xfff8))
}

/// Where the fragment header lies among the extensions, what it says comes next, whether more follow, and the packet's number.
fn v6_fragment(exts: &[u8], mut next: u8) -> Option<(usize, u8, bool, u32)> {
    let mut at = 0;
    while let Some([following, len, hi, lo, a, b, c, d]) = exts.get(at..).and_then(|e| e.first_chunk::<8>()) {
        if next == 44 {
            let more = u16::from_be_bytes([*hi, *lo]) & 1 == 1;
            return Some((at, *following, more, u32::from_be_bytes([*a, *b, *c, *d])));
        }
        at += if next == 51 { (usize::from(*len) + 2) * 4 } else { (usize::from(*len) + 1) * 8 };
        next = *following;
    }
    None
}

fn first_ports(bytes: &[u8]) -> Option<(u16, u16)> {
    Some((be16(bytes, 0)?, be16(bytes, 2)?))
}

fn be16(b: &[u8], at: usize) -> Option<u16> {
    b.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

fn mac(b: &[u8], at: usize) -> Option<[u8; 6]> {
    b.get(at..at + 6)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{eth_tcp, eth_udp};
    use event::Timestamp;

    fn frame(bytes: &[u8]) -> Frame<'_> {
        Frame::new(Timestamp::ZERO, LinkType::Ethernet, 0, bytes)
    }

    /// Every frame of these tests, cut at each length and with each byte changed: the short way reads what the long one reads, or nothing.
    #[test]
    fn both_ways_read_the_same() {
        let plain = [
            eth_tcp("10.0.0.1:1000", "10.0.0.2:80", 7, 0, 0x18, b"hello"),
            eth_udp("10.0.0.1:1111", "10.0.0.1:53", b"0123456789"),
            [&[0; 12][..], &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 16, 58, 64], &[1; 32], &[128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4]]
                .concat(),
            [&[0; 12][..], &[8, 0, 0x45, 0, 0, 30, 0, 0, 0, 0, 64, 1, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], &[8, 0, 1, 2, 3, 4, 5, 6, 7, 8]]
                .concat(),
        ];
        let mut tagged = plain[0].clone();
        tagged.splice(12..12, [0x81, 0x00, 0x00, 0x2a]);
        let short = |frame: &Frame<'_>| {
            let mut out = Decoded::NOTHING;
            plain::read(frame, &mut out).map(|()| format!("{out:?}"))
        };
        for whole in plain.iter().chain([&tagged]) {
            assert!(short(&frame(whole)).is_some());
            let mut cases: Vec<Vec<u8>> = (0..=whole.len()).map(|n| whole[..n].to_vec()).collect();
            for at in 0..whole.len() {
                for value in [0, 1, 5, 0x0f, 0x20, 0x40, 0x45, 0x46, 0x60, 0x81, 0xff] {
                    cases.push(whole.clone());
                    cases.last_mut().unwrap()[at] = value;
                }
            }
            for bytes in cases {
                for len in [bytes.len() as u32, 2000] {
                    let frame = Frame { len, ..frame(&bytes) };
                    if let Some(read) = short(&frame) {
                        assert_eq!(read, format!("{:?}", decode_slowly(&frame)), "{bytes:02x?}");
                    }
                }
            }
        }
    }

    /// What a host captures of its own sending: one frame of 60 KB and more, no length in the header, a checksum that is not made yet.
    #[test]
    fn frames_of_offload_engines_are_read_whole() {
        let payload = vec![7; 70_000];
        let mut v4 = eth_tcp("10.0.0.1:1000", "10.0.0.2:80", 7, 0, 0x18, b"");
        v4.extend_from_slice(&payload);
        v4[16..18].fill(0);
        let mut v6 = [&[0; 12][..], &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 6, 64], &[1; 32]].concat();
        v6.extend_from_slice(&v4[34..]);
        for bytes in [v4, v6] {
            let d = decode(&frame(&bytes));
            let Body::Ip(Ip { transport: Transport::Tcp(tcp), .. }) = d.body else { panic!("{:?}", d.anomalies) };
            assert_eq!((tcp.payload.len(), tcp.cut, d.anomalies), (70_000, false, Anomalies::NONE));
        }
    }

    #[test]
    fn tcp_under_two_vlan_tags() {
        let mut bytes = eth_tcp("10.0.0.1:1000", "10.0.0.2:80", 7, 0, 2, b"hi");
        bytes.splice(12..12, [0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0x00, 0xc8]);
        let d = decode(&frame(&bytes));
        assert_eq!((d.vlan, d.src_mac), (Some(100), Some([2, 0, 0, 0, 0, 1])));
        let Body::Ip(Ip { transport: Transport::Tcp(tcp), .. }) = d.body else { panic!("{d:?}") };
        assert_eq!((tcp.src_port, tcp.dst_port, tcp.seq, tcp.payload, tcp.flags.syn()), (1000, 80, 7, &b"hi"[..], true));
    }

    #[test]
    fn a_tag_the_kernel_took_out_is_the_outer_one() {
        let bytes = eth_udp("10.0.0.1:1", "10.0.0.2:2", b"");
        let d = decode(&Frame { vlan: Some(9), ..frame(&bytes) });
        assert_eq!(d.vlan, Some(9));
    }

    #[test]
    fn other_links_lead_to_the_same_packet() {
        let eth = eth_udp("10.0.0.1:1", "10.0.0.2:2", b"x");
        let ip = &eth[14..];
        let cases: [(LinkType, Vec<u8>); 6] = [
            (LinkType::Raw, vec![]),
            (LinkType::Null, vec![2, 0, 0, 0]),
            (LinkType::LinuxSll, [&[0u8; 14][..], &[8, 0]].concat()),
            (LinkType::LinuxSll2, [&[8u8, 0][..], &[0; 18]].concat()),
            (LinkType::Ppp, vec![0xff, 3, 0, 0x21]),
            (LinkType::CiscoHdlc, vec![0x0f, 0, 8, 0]),
        ];
        for (link, mut head) in cases {
            head.extend_from_slice(ip);
            let d = decode(&Frame { link, ..frame(&head) });
            let Body::Ip(Ip { transport: Transport::Udp(udp), .. }) = d.body else { panic!("{link:?} {d:?}") };
            assert_eq!((udp.src_port, udp.payload), (1, &b"x"[..]), "{link:?}");
        }
    }

    #[test]
    fn what_is_neither_ip_nor_arp_is_handed_on_behind_its_tags() {
        let mac: &[u8] = &[1; 12];
        let bytes = [mac, &[0x81, 0x00, 0x80, 0x01, 0x88, 0xb8], b"goose"].concat();
        let d = decode(&frame(&bytes));
        assert!(matches!(d.body, Body::Other { ether_type: 0x88b8, payload: b"goose" }), "{d:?}");
        assert_eq!((d.vlan, d.src_mac), (Some(1), Some([1; 6])));
    }

    #[test]
    fn mpls_and_pppoe_are_looked_through() {
        let eth = eth_udp("10.0.0.1:1", "10.0.0.2:2", b"x");
        let mut mpls = eth[..12].to_vec();
        mpls.extend([0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64]);
        mpls.extend_from_slice(&eth[14..]);
        let mut pppoe = eth[..12].to_vec();
        pppoe.extend([0x88, 0x64, 0x11, 0, 0, 1, 0, 31, 0, 0x21]);
        pppoe.extend_from_slice(&eth[14..]);
        for bytes in [mpls, pppoe] {
            let d = decode(&frame(&bytes));
            assert!(matches!(d.body, Body::Ip(Ip { transport: Transport::Udp(_), .. })), "{d:?}");
        }
    }

    #[test]
    fn a_later_fragment_has_no_ports_and_a_first_one_has() {
        let mut bytes = eth_udp("10.0.0.1:1111", "10.0.0.2:53", b"0123456789");
        bytes[20] = 0x20; // more fragments
        let Body::Ip(ip) = decode(&frame(&bytes)).body else { panic!() };
        assert_eq!(ip.fragment, Fragment::First);
        assert!(matches!(ip.transport, Transport::Udp(Udp { src_port: 1111, cut: true, .. })));
        bytes[21] = 2;
        let Body::Ip(ip) = decode(&frame(&bytes)).body else { panic!() };
        assert_eq!(ip.fragment, Fragment::Later);
        assert!(matches!(ip.transport, Transport::Other { ports: None, .. }));
    }

    #[test]
    fn every_cut_of_a_packet_is_read_as_far_as_it_goes() {
        let bytes = eth_tcp("10.0.0.1:1000", "10.0.0.2:80", 7, 0, 0x18, b"hello");
        for n in 0..bytes.len() {
            let d = decode(&Frame { len: bytes.len() as u32, ..frame(&bytes[..n]) });
            match n {
                0..14 => assert!(d.anomalies.contains(Anomaly::LinkTruncated), "{n}"),
                14..34 => assert!(matches!(d.body, Body::None), "{n}"),
                38..54 => {
                    let Body::Ip(ip) = d.body else { panic!("{n}") };
                    assert!(matches!(ip.transport, Transport::Other { ports: Some((1000, 80)), .. }), "{n} {ip:?}");
                }
                54.. => assert!(matches!(d.body, Body::Ip(Ip { transport: Transport::Tcp(Tcp { cut: true, .. }), .. })), "{n}"),
                _ => {}
            }
        }
    }

    #[test]
    fn arp_and_its_cuts() {
        let mut bytes = vec![0xff; 6];
        bytes.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
        let Body::Arp(arp) = decode(&frame(&bytes)).body else { panic!() };
        assert_eq!((arp.operation, arp.sender_ip, arp.target_ip), (1, [10, 0, 0, 1].into(), [10, 0, 0, 2].into()));
        let d = decode(&frame(&bytes[..30]));
        assert!(d.anomalies.contains(Anomaly::ArpMalformed) && matches!(d.body, Body::None));
    }

    #[test]
    fn flags_no_stack_sends_are_named() {
        for (flags, odd) in
            [(0u8, true), (3, true), (6, true), (1, true), (0x29, true), (2, false), (0x12, false), (0x11, false), (4, false)]
        {
            let bytes = eth_tcp("10.0.0.1:1", "10.0.0.2:2", 0, 0, flags, b"");
            assert_eq!(decode(&frame(&bytes)).anomalies.contains(Anomaly::TcpFlags), odd, "{flags:#x}");
        }
    }
}
