//! Initial packets made here with the keys of the RFCs, so that every version, order and cut can be had.

use super::super::hello::tests::client_hello_message;
use super::super::testing::{hex, talk};
use super::*;
use Side::{Originator as C, Responder as S};

const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

fn number(n: usize) -> [u8; 2] {
    (0x4000 | n as u16).to_be_bytes()
}

fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
    [&[6][..], &number(offset), &number(data.len()), data].concat()
}

/// A protected Initial packet of the client (or server) with these frames, padded to 1200 bytes.
fn initial(version: u32, who: &str, id: &[u8], target: &[u8], packet: u8, frames: &[Vec<u8>]) -> Vec<u8> {
    let dialect = dialect(version).unwrap();
    let secret = Salt::new(HKDF_SHA256, &dialect.salt).extract(id);
    let opener = Opener::new(&secret, who, dialect.second).unwrap();
    let mut body = frames.concat();
    body.resize(body.len().max(1100), 0);
    let first = if dialect.second { 0xd0 } else { 0xc0 };
    let mut head = vec![first];
    head.extend(version.to_be_bytes());
    head.push(target.len() as u8);
    head.extend(target);
    head.extend([0, 0]);
    head.extend(number(body.len() + 1 + 16));
    head.push(packet);
    let mut nonce = opener.iv;
    nonce[11] ^= packet;
    opener.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&head), &mut body).unwrap();
    let mask = opener.header.new_mask(&body[3..19]).unwrap();
    let at = head.len() - 1;
    head[0] ^= mask[0] & 15;
    head[at] ^= mask[1];
    [head, body].concat()
}

#[test]
fn keys_of_the_rfcs() {
    for (version, who, key, iv) in [
        (1, "client in", "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c"),
        (1, "server in", "cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e"),
        (0x6b33_43cf, "client in", "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f"),
    ] {
        let dialect = dialect(version).unwrap();
        let secret = expand::<32>(&Salt::new(HKDF_SHA256, &dialect.salt).extract(&ID), who).unwrap();
        let secret = Prk::new_less_safe(HKDF_SHA256, &secret);
        let labels = if dialect.second { ["quicv2 key", "quicv2 iv"] } else { ["quic key", "quic iv"] };
        assert_eq!(expand::<16>(&secret, labels[0]).unwrap().to_vec(), hex(key));
        assert_eq!(expand::<12>(&secret, labels[1]).unwrap().to_vec(), hex(iv));
    }
}

#[test]
fn a_hello_in_pieces_out_of_order_and_over_packets() {
    let hello = client_hello_message();
    let (a, b, c) = (&hello[..20], &hello[20..60], &hello[60..]);
    for version in [1, 0x6b33_43cf, 0xff00_001d, 0xff00_001b, 0x5430_3531] {
        let one = initial(version, "client in", &ID, &ID, 0, &[vec![1, 0, 0], crypto(60, c), vec![2, 0, 0, 0, 0], crypto(0, a)]);
        let two = initial(version, "client in", &ID, b"other", 1, &[crypto(10, &hello[10..60]), crypto(20, b)]);
        let said = talk(Carrier::Udp, 0, &[(C, &one), (C, &two)]);
        assert_eq!(said.len(), 1, "{version:x} {said:?}");
        assert!(
            said[0].starts_with("quic/6 quic.version=") && said[0].contains(" tls.sni=example.org ") && said[0].contains(" tls.ja4=q13d"),
            "{said:?}"
        );
        assert!(said[0].ends_with("status_id=2"));
    }
}

#[test]
fn the_answer_is_joined_even_in_another_version_and_after_a_retry() {
    let hello = client_hello_message();
    let server = [&[2, 0, 0, 46, 3, 3][..], &[7; 32], &[0, 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4]].concat();
    let first = initial(1, "client in", &ID, &ID, 0, &[crypto(0, &hello[..50])]);
    let again = initial(1, "client in", b"retried!", b"retried!", 1, &[crypto(0, &hello)]);
    let answer = initial(1, "server in", b"retried!", b"", 0, &[crypto(0, &server)]);
    let said = talk(Carrier::Udp, 0, &[(C, &first), (C, &again), (S, &answer)]);
    assert!(said.len() == 1 && said[0].ends_with("tls.cipher=TLS_AES_128_GCM_SHA256 tls.version=TLS 1.3 status_id=1"), "{said:?}");
    let whole = initial(1, "client in", &ID, &ID, 0, &[crypto(0, &hello)]);
    let other = initial(0x6b33_43cf, "server in", &ID, b"", 0, &[crypto(0, &server)]);
    let said = talk(Carrier::Udp, 0, &[(C, &whole), (S, &other)]);
    assert!(said.len() == 1 && said[0].starts_with("quic/6 quic.version=2 ") && said[0].ends_with("status_id=1"), "{said:?}");
}

#[test]
fn a_packet_that_nothing_opens_is_named_once() {
    let mut packet = initial(1, "client in", &ID, &ID, 0, &[crypto(0, &client_hello_message())]);
    let at = packet.len() - 1;
    packet[at] ^= 1;
    let said = talk(Carrier::Udp, 0, &[(C, &packet), (C, &packet)]);
    assert_eq!(said, ["anomaly quic_undecryptable an Initial packet that its own connection id does not open"]);
}

#[test]
fn a_connection_without_a_hello_is_left_alone() {
    let packet = initial(1, "server in", &ID, &ID, 0, &[]);
    let says: Vec<(Side, &[u8])> = std::iter::once((S, &packet[..])).chain(std::iter::repeat_n((S, &[0x40; 40][..]), 100)).collect();
    let mut session = super::super::Session::default();
    let mut seen = super::super::testing::Seen::default();
    let wants = says.iter().map(|(side, bytes)| {
        session.feed(Carrier::Udp, super::super::Enabled::ALL, super::super::testing::piece(*side, bytes, 0), &mut seen)
    });
    assert_eq!(wants.filter(|w| *w == Want::Stop).count(), 100 - usize::from(TRIES_MAX) + 1);
    assert_eq!((session.protocol(), seen.0.len()), (Some("quic"), 0));
}

#[test]
fn holes_and_lengths_are_bounded() {
    let mut crypto_stream = Crypto::default();
    assert!((0..RANGES_MAX).all(|n| crypto_stream.add(n as u64 * 3 + 1, b"x")));
    assert!(!crypto_stream.add(30_000, b"x"));
    assert!(!Crypto::default().add(CRYPTO_BYTES_MAX as u64, b"x") && !Crypto::default().add(u64::MAX >> 2, b"x"));
    let mut joined = Crypto::default();
    assert!([(6, "g"), (0, "abc"), (2, "cdef")].iter().all(|(at, text)| joined.add(*at, text.as_bytes())));
    assert_eq!((joined.front(), joined.there.len()), (&b"abcdefg"[..], 1));
}

#[test]
fn cousins_and_noise_are_left_alone() {
    assert_eq!(probe(Carrier::Udp, C, &[0xc0, 0, 0, 0, 1, 8, 1]), Probe::No);
    assert_eq!(probe(Carrier::Udp, C, &[0xc0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0]), Probe::No);
    assert_eq!(probe(Carrier::Tcp, C, &initial(1, "client in", &ID, &ID, 0, &[])), Probe::No);
    assert_eq!(probe(Carrier::Udp, C, &initial(1, "client in", &ID, &ID, 0, &[])), Probe::Yes);
}

proptest::proptest! {
    /// What lies behind the encryption, where a fuzzer does not get by itself.
    #[test]
    fn any_frames_are_survived(role in 0usize..2, google: bool, head in proptest::collection::vec(0u8..9, 0..40), bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let mut quic = Quic::default();
        let mut seen = super::super::testing::Seen::default();
        quic.frames(&[head, bytes].concat(), role, google, Timestamp::ZERO, &mut seen);
        quic.end(Timestamp::ZERO, &mut seen);
    }

    #[test]
    fn pieces_in_any_order_make_the_same_whole(cuts in proptest::collection::vec((0usize..600, 1usize..80), 1..50)) {
        let whole: Vec<u8> = (0..700u32).map(|n| (n * 7 % 251) as u8).collect();
        let (mut crypto, mut there) = (Crypto::default(), [false; 700]);
        for (at, len) in cuts {
            proptest::prop_assert!(crypto.add(at as u64, &whole[at..at + len]));
            there[at..at + len].fill(true);
        }
        let end = there.iter().position(|t| !t).unwrap_or(700);
        proptest::prop_assert_eq!(crypto.front(), &whole[..end]);
        proptest::prop_assert!(crypto.there.windows(2).all(|w| w[0].end < w[1].start));
    }
}
