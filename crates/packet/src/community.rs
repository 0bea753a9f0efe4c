//! Community ID v1 (github.com/corelight/community-id-spec): a name for a flow that other sensors give it too.

use std::net::IpAddr;

use sha1::{Digest, Sha1};

/// Community ID of a flow, seed 0. `ports` is `None` where the protocol has none (or a fragment hides them); for ICMP it is
/// `icmp_ports`. Order of the two ends does not matter, except for one-way ICMP types.
pub fn community_id(protocol: u8, src: IpAddr, dst: IpAddr, ports: Option<(u16, u16)>, one_way: bool) -> String {
    text(&digest(protocol, src, dst, ports, one_way))
}

/// What the id is the text of.
pub(crate) fn digest(protocol: u8, src: IpAddr, dst: IpAddr, ports: Option<(u16, u16)>, one_way: bool) -> [u8; 20] {
    let (sp, dp) = ports.unwrap_or((0, 0));
    let in_order = one_way || (src, sp) <= (dst, dp);
    let ((a, ap), (b, bp)) = if in_order { ((src, sp), (dst, dp)) } else { ((dst, dp), (src, sp)) };
    let mut words = [0u8; 40];
    let mut at = 2; // seed, 16 bits, zero
    let mut put = |bytes: &[u8]| {
        words[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    for ip in [a, b] {
        match ip {
            IpAddr::V4(ip) => put(&ip.octets()),
            IpAddr::V6(ip) => put(&ip.octets()),
        }
    }
    put(&[protocol, 0]);
    if ports.is_some() {
        put(&ap.to_be_bytes());
        put(&bp.to_be_bytes());
    }
    Sha1::digest(&words[..at]).into()
}

pub(crate) fn text(digest: &[u8; 20]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Twenty bytes are six groups of three and one of two: 28 characters, the last a filler.
    let mut padded = [0u8; 21];
    padded[..20].copy_from_slice(digest);
    let mut out = *b"1:                            ";
    for ([a, b, c], four) in padded.as_chunks::<3>().0.iter().zip(out[2..].as_chunks_mut::<4>().0) {
        let word = u32::from_be_bytes([0, *a, *b, *c]);
        *four = [18, 12, 6, 0].map(|shift| ALPHABET[(word >> shift & 63) as usize]);
    }
    out[29] = b'=';
    String::from_utf8(out.to_vec()).unwrap_or_default()
}

/// The pseudo ports of an ICMP packet, and whether its type is one-way: the type as one port, the type that answers it (or
/// the code, if nothing does) as the other.
pub(crate) const fn icmp_ports(v6: bool, kind: u8, code: u8) -> (u16, u16, bool) {
    let partner = if v6 {
        match kind {
            128 => 129,
            129 => 128,
            133 => 134,
            134 => 133,
            135 => 136,
            136 => 135,
            130 => 131,
            131 => 130,
            144 => 145,
            145 => 144,
            139 => 140,
            140 => 139,
            _ => return (kind as u16, code as u16, true),
        }
    } else {
        match kind {
            8 => 0,
            0 => 8,
            13 => 14,
            14 => 13,
            15 => 16,
            16 => 15,
            17 => 18,
            18 => 17,
            10 => 9,
            9 => 10,
            _ => return (kind as u16, code as u16, true),
        }
    };
    (kind as u16, partner, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from the reference implementation's baseline.
    #[test]
    fn reference_values() {
        let ip = |t: &str| t.parse::<IpAddr>().unwrap();
        let (a, b) = (ip("128.232.110.120"), ip("66.35.250.204"));
        assert_eq!(community_id(6, a, b, Some((34855, 80)), false), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(community_id(6, b, a, Some((80, 34855)), false), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        let (a, b) = (ip("192.168.1.52"), ip("8.8.8.8"));
        assert_eq!(community_id(17, a, b, Some((54585, 53)), false), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        let (a, b) = (ip("192.168.0.89"), ip("192.168.0.1"));
        let (s, d, one_way) = icmp_ports(false, 8, 0);
        assert_eq!(community_id(1, a, b, Some((s, d)), one_way), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
    }
}
