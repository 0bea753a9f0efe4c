//! The short way for what nearly every frame is: Ethernet, up to three VLAN tags, IPv4 or IPv6 without fragment and extension, TCP, UDP or ICMP,
//! whole and in order. Anything else is `None`, and etherparse reads it; that both read the same is held by a test over every capture and by
//! a fuzz target.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Body, Decoded, Fragment, Icmp, Ip, Tcp, TcpFlags, Transport, Udp};
use crate::anomaly::{Anomalies, Anomaly};
use crate::frame::Frame;

const TAGS_MAX: usize = 3;

/// Reads into `out`; where that is not possible, what stands there means nothing.
pub(super) fn read<'a>(frame: &Frame<'a>, out: &mut Decoded<'a>) -> Option<()> {
    let (macs, mut rest) = frame.bytes.split_first_chunk::<12>()?;
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *macs;
    let mut vlan = frame.vlan;
    let mut ether = take16(&mut rest)?;
    let mut tags = 0;
    while matches!(ether, 0x8100 | 0x88a8 | 0x9100) {
        let tag = take16(&mut rest)?;
        ether = take16(&mut rest)?;
        vlan = vlan.or(Some(tag & 0x0fff));
        tags += 1;
        if tags > TAGS_MAX {
            return None;
        }
    }
    (out.src_mac, out.dst_mac) = (Some([g, h, i, j, k, l]), Some([a, b, c, d, e, f]));
    (out.vlan, out.tunnel) = (vlan, None);
    match ether {
        0x0800 => v4(rest, out),
        0x86dd => v6(rest, out),
        _ => None,
    }
}

#[inline]
fn v4<'a>(bytes: &'a [u8], out: &mut Decoded<'a>) -> Option<()> {
    let head = bytes.first_chunk::<20>()?;
    let header = usize::from(head[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    // No fragment: offset zero and nothing to follow.
    let fragment = u16::from_be_bytes([head[6], head[7]]) & 0x3fff;
    if head[0] >> 4 != 4 || header < 20 || fragment != 0 {
        return None;
    }
    // Offload engines hand over frames too long for the field, and write nothing into it.
    let payload = bytes.get(header..if total == 0 { bytes.len() } else { total })?;
    let src = Ipv4Addr::new(head[12], head[13], head[14], head[15]);
    let dst = Ipv4Addr::new(head[16], head[17], head[18], head[19]);
    let protocol = head[9];
    let (transport, anomalies) = transport(protocol, payload, src == dst && !src.is_loopback(), false)?;
    out.body = Body::Ip(Ip { src: src.into(), dst: dst.into(), protocol, ttl: head[8], fragment: Fragment::No, transport, piece: None });
    out.anomalies = anomalies;
    Some(())
}

fn v6<'a>(bytes: &'a [u8], out: &mut Decoded<'a>) -> Option<()> {
    let (head, rest) = bytes.split_first_chunk::<40>()?;
    let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
    if head[0] >> 4 != 6 || length == 0 && rest.len() <= usize::from(u16::MAX) {
        return None;
    }
    let length = if length == 0 { rest.len() } else { length };
    let address = |at: usize| -> Option<Ipv6Addr> { Some(Ipv6Addr::from(*head.get(at..)?.first_chunk::<16>()?)) };
    let (src, dst) = (address(8)?, address(24)?);
    let (transport, anomalies) = transport(head[6], rest.get(..length)?, src == dst && !src.is_loopback(), true)?;
    out.body =
        Body::Ip(Ip { src: src.into(), dst: dst.into(), protocol: head[6], ttl: head[7], fragment: Fragment::No, transport, piece: None });
    out.anomalies = anomalies;
    Some(())
}

#[inline(always)]
fn transport(protocol: u8, payload: &[u8], same_address: bool, v6: bool) -> Option<(Transport<'_>, Anomalies)> {
    let mut anomalies = Anomalies::NONE;
    let transport = match protocol {
        6 => {
            let head = payload.first_chunk::<20>()?;
            let header = usize::from(head[12] >> 4) * 4;
            if header < 20 {
                return None;
            }
            let tcp = Tcp {
                src_port: u16::from_be_bytes([head[0], head[1]]),
                dst_port: u16::from_be_bytes([head[2], head[3]]),
                seq: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
                ack: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
                flags: TcpFlags(head[13]),
                window: u16::from_be_bytes([head[14], head[15]]),
                payload: payload.get(header..)?,
                cut: false,
            };
            if tcp.flags.odd() {
                anomalies.add(Anomaly::TcpFlags);
            }
            if same_address && tcp.src_port == tcp.dst_port {
                anomalies.add(Anomaly::SameEndpoint);
            }
            Transport::Tcp(tcp)
        }
        17 => {
            let (head, rest) = payload.split_first_chunk::<8>()?;
            // A length of its own that says something else is for the other way.
            if usize::from(u16::from_be_bytes([head[4], head[5]])) != payload.len() {
                return None;
            }
            Transport::Udp(Udp {
                src_port: u16::from_be_bytes([head[0], head[1]]),
                dst_port: u16::from_be_bytes([head[2], head[3]]),
                payload: rest,
                cut: false,
            })
        }
        // Time stamps have a longer header.
        1 if !v6 && !matches!(payload.first(), Some(13 | 14)) => icmp(payload, false)?,
        58 if v6 => icmp(payload, true)?,
        _ => return None,
    };
    Some((transport, anomalies))
}

fn icmp(payload: &[u8], v6: bool) -> Option<Transport<'_>> {
    let (head, rest) = payload.split_first_chunk::<8>()?;
    Some(Transport::Icmp(Icmp { v6, kind: head[0], code: head[1], payload: rest }))
}

#[inline]
fn take16(rest: &mut &[u8]) -> Option<u16> {
    let (head, tail) = rest.split_first_chunk::<2>()?;
    *rest = tail;
    Some(u16::from_be_bytes(*head))
}
