//! Oddities of frames and streams, as fixed words. Oddity is data: it may be the attack.

macro_rules! anomalies {
    ($($variant:ident $word:literal $about:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Anomaly { $(#[doc = $about] $variant),* }
        impl Anomaly {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The word that `anomaly.name` carries.
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $word),* } }
            pub const fn about(self) -> &'static str { match self { $(Self::$variant => $about),* } }
        }
    };
}

anomalies! {
    LinkTruncated "link_truncated" "the frame ends within its link header";
    LinkUnknown "link_unknown" "a link type that is not read";
    VlanDeep "vlan_deep" "more than three VLAN tags";
    ArpMalformed "arp_malformed" "an ARP packet that is cut or not about Ethernet and IPv4";
    IpTruncated "ip_truncated" "the packet ends within its IP header or options";
    IpBadHeader "ip_bad_header" "IP version or header length make no sense";
    IpLength "ip_length_mismatch" "the IP header states more bytes than the frame had on the wire";
    IpExtension "ip_extension_bad" "an IP extension header that is cut or out of order";
    FragmentTiny "fragment_tiny" "a first fragment too small to hold its TCP header";
    FragmentOverlong "fragment_overlong" "a fragment that would end past 65,535 bytes";
    FragmentOverlap "fragment_overlap" "fragments that overlap: of IPv4 the bytes that came first count, of IPv6 the packet is dropped";
    FragmentConflict "fragment_conflict" "a fragment that cannot belong with the others: a second end, bytes past the end, or an odd length in the middle";
    TunnelDeep "tunnel_deep" "packets inside packets, deeper than is read";
    TcpBadHeader "tcp_bad_header" "a TCP header whose length makes no sense";
    TcpFlags "tcp_flags_odd" "TCP flags that no stack sends: none at all, SYN with FIN or RST, or FIN without ACK";
    UdpLength "udp_length_mismatch" "the UDP header states a length that does not fit";
    IcmpTruncated "icmp_truncated" "an ICMP packet that ends within its header";
    SameEndpoint "same_endpoint" "source and destination are the same address and port";
}

/// A set of anomalies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Anomalies(u32);

impl Anomalies {
    pub const NONE: Self = Self(0);
    pub const fn of(anomaly: Anomaly) -> Self {
        Self(1 << anomaly as u8)
    }
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    pub const fn contains(self, a: Anomaly) -> bool {
        self.0 & (1 << a as u8) != 0
    }
    pub const fn add(&mut self, a: Anomaly) {
        self.0 |= 1 << a as u8;
    }
    pub fn iter(self) -> impl Iterator<Item = Anomaly> {
        Anomaly::ALL.iter().copied().filter(move |a| self.contains(*a))
    }
}

const _: () = assert!(Anomaly::ALL.len() <= 32);
