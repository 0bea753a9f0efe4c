//! What an IP packet carries inside: another packet, in one of the ways in which networks put one into the other.
//!
//! Known: IP in IP and 6in4, GRE (also PPTP's), ERSPAN I to III, VXLAN and its GPE, Geneve, GTP-U, Teredo. Those in UDP are looked for at their
//! ports only and must look like themselves: a false guess would invent a conversation. The outer packet keeps its own flow.

use crate::decode::{Ip, Transport};
use crate::frame::LinkType;

/// The way a packet came: which kind of tunnel, and its number where it has one (VNI, TEID, GRE key, ERSPAN session).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    pub kind: TunnelKind,
    pub id: Option<u32>,
}

macro_rules! kinds {
    ($($variant:ident $word:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum TunnelKind { $($variant),* }
        impl TunnelKind {
            /// The word that `tunnel.type` carries.
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $word),* } }
        }
    };
}

kinds! {
    IpInIp "ip_in_ip";
    SixInFour "6in4";
    Gre "gre";
    Erspan "erspan";
    Vxlan "vxlan";
    Geneve "geneve";
    Gtp "gtp_u";
    Teredo "teredo";
}

impl Tunnel {
    /// A number that tells flows of different tunnels apart; 0 is no tunnel.
    pub(crate) fn mark(tunnel: Option<Self>) -> u32 {
        tunnel.map_or(0, |t| (t.kind as u32 + 1) << 27 ^ t.id.unwrap_or(0))
    }
}

/// The packet inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside<'a> {
    pub tunnel: Tunnel,
    pub link: LinkType,
    pub bytes: &'a [u8],
}

const VXLAN: &[u16] = &[4789, 8472];
const VXLAN_GPE: u16 = 4790;
const GENEVE: u16 = 6081;
const GTP_U: u16 = 2152;
const TEREDO: u16 = 3544;

const BRIDGED: u16 = 0x6558;
const ERSPAN_I_II: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;
const PPP: u16 = 0x880b;

/// Looks into an IP packet.
pub fn inside<'a>(ip: &Ip<'a>) -> Option<Inside<'a>> {
    match &ip.transport {
        Transport::Udp(udp) => {
            let at = |ports: &[u16]| ports.contains(&udp.dst_port) || ports.contains(&udp.src_port);
            // A glance at the ports is all that most packets cost here.
            if udp.dst_port == GENEVE {
                geneve(udp.payload)
            } else if VXLAN.contains(&udp.dst_port) {
                vxlan(udp.payload, false)
            } else if udp.dst_port == VXLAN_GPE {
                vxlan(udp.payload, true)
            } else if at(&[GTP_U]) {
                gtp(udp.payload)
            } else if at(&[TEREDO]) {
                teredo(udp.payload)
            } else {
                None
            }
        }
        Transport::Other { payload, .. } if ip.piece.is_none() => match ip.protocol {
            4 | 41 => {
                let kind = if ip.protocol == 41 && ip.src.is_ipv4() { TunnelKind::SixInFour } else { TunnelKind::IpInIp };
                whole_ip(payload).then_some(Inside { tunnel: Tunnel { kind, id: None }, link: LinkType::Raw, bytes: payload })
            }
            47 => gre(payload),
            _ => None,
        },
        _ => None,
    }
}

/// True if this begins like an IP header.
fn whole_ip(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(first) if first >> 4 == 4 => first & 15 >= 5 && bytes.len() >= 20,
        Some(first) if first >> 4 == 6 => bytes.len() >= 40,
        _ => false,
    }
}

fn gre(bytes: &[u8]) -> Option<Inside<'_>> {
    let (flags, kind) = (be16(bytes, 0)?, be16(bytes, 2)?);
    let mut at = 4;
    let mut id = None;
    let sequenced = flags & 0x1000 != 0;
    match flags & 7 {
        // With source routing (RFC 1701) nobody sends any more, and lengths inside would have to be believed.
        0 if flags & 0x4000 == 0 => {
            if flags & 0x8000 != 0 {
                at += 4;
            }
            if flags & 0x2000 != 0 {
                id = Some(be32(bytes, at)?);
                at += 4;
            }
            if sequenced {
                at += 4;
            }
        }
        1 if kind == PPP && flags & 0x2000 != 0 => {
            // PPTP: payload length and call id where the key was.
            id = Some(be16(bytes, 6)?.into());
            at += 4;
            for bit in [0x1000, 0x0080] {
                if flags & bit != 0 {
                    at += 4;
                }
            }
        }
        _ => return None,
    }
    let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
    let tunnel = Tunnel { kind: TunnelKind::Gre, id };
    match kind {
        ERSPAN_I_II if !sequenced => {
            Some(Inside { tunnel: Tunnel { kind: TunnelKind::Erspan, id: None }, link: LinkType::Ethernet, bytes: rest })
        }
        ERSPAN_I_II => {
            let id = Some(u32::from(be16(rest, 2)? & 0x03ff));
            Some(Inside { tunnel: Tunnel { kind: TunnelKind::Erspan, id }, link: LinkType::Ethernet, bytes: rest.get(8..)? })
        }
        ERSPAN_III => {
            let id = Some(u32::from(be16(rest, 2)? & 0x03ff));
            let last = be16(rest, 10)?;
            let link = match last >> 10 & 0x1f {
                0 => LinkType::Ethernet,
                2 => LinkType::Raw,
                _ => return None,
            };
            let head = if last & 1 == 1 { 20 } else { 12 };
            Some(Inside { tunnel: Tunnel { kind: TunnelKind::Erspan, id }, link, bytes: rest.get(head..)? })
        }
        BRIDGED => Some(Inside { tunnel, link: LinkType::Ethernet, bytes: rest }),
        PPP => Some(Inside { tunnel, link: LinkType::Ppp, bytes: rest }),
        ether => Some(Inside { tunnel, link: LinkType::EtherType(ether), bytes: rest }),
    }
}

fn vxlan(bytes: &[u8], gpe: bool) -> Option<Inside<'_>> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    if head[0] & 0x08 == 0 || rest.is_empty() {
        return None;
    }
    let link = match (gpe && head[0] & 0x04 != 0, head[3]) {
        (false, _) | (true, 3) => LinkType::Ethernet,
        (true, 1 | 2) => LinkType::Raw,
        (true, _) => return None,
    };
    let id = Some(u32::from_be_bytes([0, head[4], head[5], head[6]]));
    Some(Inside { tunnel: Tunnel { kind: TunnelKind::Vxlan, id }, link, bytes: rest })
}

fn geneve(bytes: &[u8]) -> Option<Inside<'_>> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    if head[0] >> 6 != 0 {
        return None;
    }
    let rest = rest.get(usize::from(head[0] & 0x3f) * 4..).filter(|rest| !rest.is_empty())?;
    let link = match u16::from_be_bytes([head[2], head[3]]) {
        BRIDGED => LinkType::Ethernet,
        ether => LinkType::EtherType(ether),
    };
    let id = Some(u32::from_be_bytes([0, head[4], head[5], head[6]]));
    Some(Inside { tunnel: Tunnel { kind: TunnelKind::Geneve, id }, link, bytes: rest })
}

/// GTP-U version 1, user data only (3GPP TS 29.281).
fn gtp(bytes: &[u8]) -> Option<Inside<'_>> {
    const EXTENSIONS_MAX: usize = 8;
    let (head, mut rest) = bytes.split_first_chunk::<8>()?;
    if head[0] & 0xf0 != 0x30 || head[1] != 0xff {
        return None;
    }
    if head[0] & 0x07 != 0 {
        let (options, tail) = rest.split_first_chunk::<4>()?;
        rest = tail;
        let mut next = if head[0] & 0x04 != 0 { options[3] } else { 0 };
        for _ in 0..EXTENSIONS_MAX {
            if next == 0 {
                break;
            }
            let len = usize::from(*rest.first()?) * 4;
            next = *rest.get(len.checked_sub(1)?)?;
            rest = rest.get(len..)?;
        }
    }
    let id = Some(u32::from_be_bytes([head[4], head[5], head[6], head[7]]));
    whole_ip(rest).then_some(Inside { tunnel: Tunnel { kind: TunnelKind::Gtp, id }, link: LinkType::Raw, bytes: rest })
}

/// RFC 4380: an authentication and an origin header may stand in front of the IPv6 packet.
fn teredo(mut bytes: &[u8]) -> Option<Inside<'_>> {
    if let [0, 1, client, auth, ..] = bytes {
        bytes = bytes.get(13 + usize::from(*client) + usize::from(*auth)..)?;
    }
    if let [0, 0, ..] = bytes {
        bytes = bytes.get(8..)?;
    }
    let stated = usize::from(be16(bytes, 4)?) + 40;
    let fits = bytes.first()? >> 4 == 6 && bytes.len() >= 40 && stated <= bytes.len();
    fits.then_some(Inside { tunnel: Tunnel { kind: TunnelKind::Teredo, id: None }, link: LinkType::Raw, bytes })
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::eth_udp;
    use crate::{Body, Frame, decode};
    use event::Timestamp;

    fn said(protocol: u8, src: &str, payload: &[u8]) -> Option<(&'static str, Option<u32>, LinkType, Vec<u8>)> {
        let mut bytes = eth_udp(src, "10.0.0.2:9", &[]);
        bytes.truncate(34);
        bytes[23] = protocol;
        bytes[16..18].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
        bytes.extend_from_slice(payload);
        let frame = Frame::new(Timestamp::ZERO, LinkType::Ethernet, 0, &bytes);
        let Body::Ip(ip) = decode(&frame).body else { panic!() };
        inside(&ip).map(|i| (i.tunnel.kind.name(), i.tunnel.id, i.link, i.bytes.to_vec()))
    }

    fn udp(port: u16, payload: &[u8]) -> Option<(&'static str, Option<u32>, LinkType, Vec<u8>)> {
        let bytes = eth_udp("10.0.0.1:5000", &format!("10.0.0.2:{port}"), payload);
        let frame = Frame::new(Timestamp::ZERO, LinkType::Ethernet, 0, &bytes);
        let Body::Ip(ip) = decode(&frame).body else { panic!() };
        inside(&ip).map(|i| (i.tunnel.kind.name(), i.tunnel.id, i.link, i.bytes.to_vec()))
    }

    #[test]
    fn each_kind_gives_what_is_inside_and_its_number() {
        let v4: Vec<u8> = [&[0x45][..], &[0; 19]].concat();
        let v6: Vec<u8> = [&[0x60][..], &[0; 39]].concat();
        let eth = LinkType::Ethernet;
        let gre = |head: &[u8], rest: &[u8]| said(47, "10.0.0.1:1", &[head, rest].concat());
        assert_eq!(said(4, "10.0.0.1:1", &v4), Some(("ip_in_ip", None, LinkType::Raw, v4.clone())));
        assert_eq!(said(41, "10.0.0.1:1", &v6), Some(("6in4", None, LinkType::Raw, v6.clone())));
        assert_eq!(gre(&[0, 0, 8, 0], &v4), Some(("gre", None, LinkType::EtherType(0x0800), v4.clone())));
        assert_eq!(gre(&[0xb0, 0, 0x65, 0x58, 9, 9, 9, 9, 0, 0, 0, 7, 1, 1, 1, 1], b"e"), Some(("gre", Some(7), eth, b"e".to_vec())));
        assert_eq!(
            gre(&[0x30, 0x81, 0x88, 0x0b, 0, 1, 0, 5, 1, 1, 1, 1, 2, 2, 2, 2], b"p"),
            Some(("gre", Some(5), LinkType::Ppp, b"p".to_vec()))
        );
        assert_eq!(gre(&[0, 0, 0x88, 0xbe], b"e"), Some(("erspan", None, eth, b"e".to_vec())));
        assert_eq!(gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 3, 0, 0, 0, 0], b"e"), Some(("erspan", Some(3), eth, b"e".to_vec())));
        let third = [0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 8, 8, 8, 8, 8, 8, 8, 8];
        assert_eq!(gre(&third, b"e"), Some(("erspan", Some(4), eth, b"e".to_vec())));
        assert_eq!(gre(&[0x40, 0, 8, 0, 0, 0, 0, 0], &v4), None, "source routing");
        assert_eq!(udp(4789, &[8, 0, 0, 0, 0, 0, 42, 0, b'e']), Some(("vxlan", Some(42), eth, b"e".to_vec())));
        assert_eq!(udp(4790, &[0x0c, 0, 0, 1, 0, 0, 42, 0, b'i']), Some(("vxlan", Some(42), LinkType::Raw, b"i".to_vec())));
        let geneve = [1, 0, 0x65, 0x58, 0, 0, 9, 0, 1, 2, 3, 4, b'e'];
        assert_eq!(udp(6081, &geneve), Some(("geneve", Some(9), eth, b"e".to_vec())));
        let gtp = [&[0x34, 0xff, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0x85, 1, 0, 0, 0][..], &v4].concat();
        assert_eq!(udp(2152, &gtp), Some(("gtp_u", Some(6), LinkType::Raw, v4.clone())));
        let teredo = [&[0, 1, 0, 0][..], &[0; 9], &[0, 0, 1, 2, 3, 4, 5, 6], &v6].concat();
        assert_eq!(udp(3544, &teredo), Some(("teredo", None, LinkType::Raw, v6.clone())));
        for (port, whole) in [(4789, &[8, 0, 0, 0, 0, 0, 42, 0, b'e'][..]), (6081, &geneve), (2152, &gtp), (3544, &teredo)] {
            for n in 0..whole.len().min(14) {
                let cut = udp(port, &whole[..n]);
                assert!(cut.is_none() || n > 8, "{port} {n}");
            }
        }
        assert_eq!(udp(53, &gtp), None);
    }
}
