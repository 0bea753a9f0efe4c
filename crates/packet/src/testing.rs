//! Hand-made frames for the tests of this crate.

use std::net::SocketAddrV4;

fn eth_ip(protocol: u8, src: SocketAddrV4, dst: SocketAddrV4, body: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    out.extend([0x45, 0]);
    out.extend((20 + body.len() as u16).to_be_bytes());
    out.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
    out.extend(src.ip().octets());
    out.extend(dst.ip().octets());
    out.extend_from_slice(body);
    out
}

pub(crate) fn eth_tcp(src: &str, dst: &str, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (src, dst): (SocketAddrV4, SocketAddrV4) = (src.parse().unwrap(), dst.parse().unwrap());
    let mut body = Vec::new();
    body.extend(src.port().to_be_bytes());
    body.extend(dst.port().to_be_bytes());
    body.extend(seq.to_be_bytes());
    body.extend(ack.to_be_bytes());
    body.extend([0x50, flags, 0x10, 0, 0, 0, 0, 0]);
    body.extend_from_slice(payload);
    eth_ip(6, src, dst, &body)
}

pub(crate) fn eth_udp(src: &str, dst: &str, payload: &[u8]) -> Vec<u8> {
    let (src, dst): (SocketAddrV4, SocketAddrV4) = (src.parse().unwrap(), dst.parse().unwrap());
    let mut body = Vec::new();
    body.extend(src.port().to_be_bytes());
    body.extend(dst.port().to_be_bytes());
    body.extend((8 + payload.len() as u16).to_be_bytes());
    body.extend([0, 0]);
    body.extend_from_slice(payload);
    eth_ip(17, src, dst, &body)
}
