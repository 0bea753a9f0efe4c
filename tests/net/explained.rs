//! Differences from tshark's reading that were looked at one by one: which truth, in which file, and why it is not met.
//!
//! A rule of thumb over whole folders stands in `agreement`; here is what needs a name. A row that no longer explains anything is
//! harmless, but should go.

/// (rows, file, why).
const NAMED: &[(&[&str], &str, &str)] = &[
    (TLS, "pcapformat/ndpi__capwap_data.pcapng", "TLS within CAPWAP"),
    (TLS, "proto-other/ndpi__443-opvn.pcap", "TLS within OpenVPN"),
    (TLS, "pcapformat/ndpi__openvpn_nohmac_tcp.pcapng", "TLS within OpenVPN"),
    (TLS, "proto-ssh-rdp-vnc/zeek__rdpeudp2-handshake-success.pcap", "TLS within RDP over UDP"),
    (ALL, "encap/ws__wireguard-ping-tcp-dsb.pcapng", "decrypted by tshark with keys that lie in the file"),
    (ALL, "pcapformat/ws__tls12-dsb.pcapng", "decrypted by tshark with keys that lie in the file"),
    (DNS, "robust/tcpdump__LINKTYPE_PKTAP.pcap", "a link type that is not read (ARCnet, nflog, frame relay, …)"),
    (DNS, "robust/zeek__dns-invalid-names.pcap", "a name of tshark's own for one that cannot be read"),
    (DNS, "attack-exploit/malcolm__dns_caa_records.pcap", "the middle of a message, taken for one by its port"),
    (DNS, "pcapformat/pcpp__SomeIpSd.pcapng", "SOME/IP, taken for multicast DNS by its port"),
    (DNS, "robust/tcpdump__someip1.pcap", "SOME/IP, taken for multicast DNS by its port"),
    (DNS, "robust/ndpi__badpackets.pcap", "datagrams cut within their question"),
    (HTTP, "proto-http/sv__http-protocol-nodup__input.pcap", "tshark cuts a request where a segment ends"),
    (HTTP, "proto-other/sv__bug-5437-01__input.pcap", "a blank within the target: tshark ends it there"),
    (HTTP, "proto-other/sv__bug-5437-02__input.pcap", "a blank within the target: tshark ends it there"),
    (HTTP, "attack-exploit/malcolm__http.pcap", "two Host lines: the first is taken here, both there"),
    (HTTP, "robust/ndpi__fuzz-2006-09-29-28586.pcap", "tshark ends a text at its first zero byte"),
    (HTTP, "pcapformat/libpcap__AH-IPcomp-IPv4.pcap", "compressed by IPComp"),
    (HTTP, "pcapformat/libpcap__AH-IPcomp-IPv6.pcap", "compressed by IPComp"),
    (HTTP, "ics-pmu/icsnppsynchrop__c37118_1100_unclean.pcap", "SSDP: HTTP over UDP"),
    (HTTP, "proto-other/arkime__wireshark-retrans.pcap", "an answer that was sent twice (retransmission)"),
    (HTTP, "pcapformat/pcpp__pcapng-example-2.pcapng", "an answer whose head the capture cut short"),
    (HTTP, "proto-http/sv__http-evader_http-evader-393__input.pcap", "a status line without a status"),
    (HTTP, "proto-http/sv__http-evader_http-evader-462__input.pcap", "a status line without a status"),
    (HTTP, "proto-http/sv__http-evader_http-evader-467__input.pcap", "a status line without a status"),
];

const TLS: &[&str] = &["tls sni", "tls ja3"];
const DNS: &[&str] = &["dns queries", "dns answers"];
const HTTP: &[&str] = &["http requests", "http answers"];
const ALL: &[&str] = &["tls sni", "tls ja3", "dns queries", "dns answers", "http requests", "http answers"];

/// Why this truth is not met, if it was looked at.
pub(super) fn named(row: &str, file: &str, key: &str) -> Option<&'static str> {
    if row == "http answers" && key == "100" {
        return Some("100 Continue is not the answer that is told");
    }
    NAMED.iter().find(|(rows, name, _)| *name == file && rows.contains(&row)).map(|(_, _, why)| *why)
}

/// A name as both readings can be compared: bytes that are no UTF-8 are one mark, however many there are in a row.
pub(super) fn shown(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..3).and_then(|d| std::str::from_utf8(d).ok()?.parse::<u16>().ok()).and_then(|n| u8::try_from(n).ok());
        rest = match (first, digits, tail.first()) {
            (b'\\', Some(byte), _) if byte >= 0x80 => {
                bytes.push(byte);
                &tail[3..]
            }
            (b'\\', _, Some(b'.')) => {
                bytes.push(b'.');
                &tail[1..]
            }
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    let mut out = String::new();
    for c in String::from_utf8_lossy(&bytes).chars() {
        if c != char::REPLACEMENT_CHARACTER || !out.ends_with(char::REPLACEMENT_CHARACTER) {
            out.push(c);
        }
    }
    out
}
