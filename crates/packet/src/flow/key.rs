//! What makes packets one flow: both addresses, both ports, the protocol; the same for either direction.

use std::net::{IpAddr, Ipv4Addr};

use ahash::RandomState;

use crate::community::icmp_ports;
use crate::decode::{Fragment, Ip, Transport};
use crate::tunnel::Tunnel;

/// What the port numbers of a key are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Ports,
    /// ICMP type and its partner, as Community ID has them.
    Icmp,
    /// No ports: another protocol, or a fragment after the first.
    Bare,
}

/// The ends of one packet as it travelled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub src: (IpAddr, u16),
    pub dst: (IpAddr, u16),
    pub protocol: u8,
    pub kind: Kind,
    pub one_way: bool,
    /// `Tunnel::mark`: the same addresses in two tunnels are two hosts.
    pub tunnel: u32,
}

impl Ends {
    pub(super) fn of(ip: &Ip<'_>, tunnel: Option<Tunnel>) -> Self {
        let (sp, dp, kind, one_way) = match &ip.transport {
            Transport::Tcp(t) => (t.src_port, t.dst_port, Kind::Ports, false),
            Transport::Udp(u) => (u.src_port, u.dst_port, Kind::Ports, false),
            Transport::Icmp(i) if ip.fragment != Fragment::Later => {
                let (s, d, one_way) = icmp_ports(i.v6, i.kind, i.code);
                (s, d, Kind::Icmp, one_way)
            }
            Transport::Other { ports: Some((s, d)), .. } => (*s, *d, Kind::Ports, false),
            _ => (0, 0, Kind::Bare, false),
        };
        Self { src: (ip.src, sp), dst: (ip.dst, dp), protocol: ip.protocol, kind, one_way, tunnel: Tunnel::mark(tunnel) }
    }

    /// The same for both directions, keyed. One-way ICMP keeps its direction, so that it is a flow of its own each way.
    #[inline]
    pub(super) fn hash(&self, keys: &RandomState) -> u32 {
        let rest = u64::from(self.protocol) << 8 | self.kind as u64;
        let hash = match (self.src.0, self.dst.0) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let end = |ip: Ipv4Addr, port: u16| u64::from(ip.to_bits()) << 16 | u64::from(port);
                let (a, b) = self.in_order(end(a, self.src.1), end(b, self.dst.1));
                keys.hash_one((a, b ^ rest << 48, self.tunnel))
            }
            (a, b) => {
                let (a, b) = self.in_order((number(a), self.src.1), (number(b), self.dst.1));
                keys.hash_one((a, b, rest | 1 << 16, self.tunnel))
            }
        };
        (hash >> 32) as u32 ^ hash as u32
    }

    #[inline]
    fn in_order<T: PartialOrd>(&self, a: T, b: T) -> (T, T) {
        if !self.one_way && b < a { (b, a) } else { (a, b) }
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// How much a port looks like a service's: the lower-risk guess when no SYN says who began.
pub(super) fn service_rank(port: u16) -> u8 {
    const REGISTERED: &[u16] = &[
        1433, 1521, 1883, 2222, 2404, 3128, 3306, 3389, 4840, 5060, 5222, 5353, 5432, 5671, 5672, 5900, 5985, 5986, 6379, 6443, 6881, 8000,
        8080, 8081, 8443, 8883, 8888, 9000, 9042, 9092, 9200, 9300, 11211, 20000, 27017, 44818, 47808, 50000,
    ];
    match port {
        0 => 0,
        1..1024 => 2,
        _ if REGISTERED.binary_search(&port).is_ok() => 1,
        _ => 0,
    }
}
