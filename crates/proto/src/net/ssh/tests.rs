//! Conversations up to the keys, and log-ins made of sizes.

use super::super::testing::talk;
use super::*;
use Side::{Originator as C, Responder as S};

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() + 2 + 4) as u32;
    [&len.to_be_bytes()[..], &[4, kind], body, &[0; 4]].concat()
}

fn offer_of(lists: [&str; 10]) -> Vec<u8> {
    let lists: Vec<u8> = lists.iter().flat_map(|l| [&(l.len() as u32).to_be_bytes()[..], l.as_bytes()].concat()).collect();
    packet(KEXINIT, &[&[7; 16][..], &lists, &[0; 5]].concat())
}

fn until_keys(name: &str) -> Vec<u8> {
    let offer = offer_of(["kex", "key", "c2s", "s2c", "mac-c2s", "mac-s2c", "none", "zlib", "", ""]);
    [name.as_bytes(), b"\r\n", &offer, &packet(30, b"dh"), &packet(NEWKEYS, b"")].concat()
}

#[test]
fn banners_and_offers_make_one_event_however_they_are_cut() {
    let (client, server) = (until_keys("SSH-2.0-libssh2_1.10"), until_keys("SSH-2.0-OpenSSH_9.2p1 Debian-2"));
    let (hassh, hassh_server) = (md5_hex(b"kex;c2s;mac-c2s;none"), md5_hex(b"kex;s2c;mac-s2c;zlib"));
    for step in [1, 3, 100, 9000] {
        let said = talk(Carrier::Tcp, step, &[(S, &server), (C, &client)]);
        let expected = format!(
            "ssh/1 ssh.client_software=SSH-2.0-libssh2_1.10 ssh.server_software=SSH-2.0-OpenSSH_9.2p1 Debian-2 ssh.client_hassh={hassh} ssh.server_hassh={hassh_server}"
        );
        assert_eq!(said, [expected]);
    }
}

#[test]
fn one_side_alone_is_told_at_the_end_and_zeros_are_cut() {
    assert_eq!(talk(Carrier::Tcp, 9, &[(S, b"SSH-2.0-x \0\0\r\n")]), ["ssh/1 ssh.server_software=SSH-2.0-x"]);
    assert_eq!(talk(Carrier::Tcp, 900, &[(S, b"SSH-1.5-old\n"), (C, b"SSH-1.5-c\n\0\0\x01\x0f")]).len(), 1);
}

/// Sizes of a conversation with chacha20-poly1305: accept 44, success 28, refusal 76.
fn login(sizes: &[(Side, usize)]) -> Vec<String> {
    let (client, server) = (until_keys("SSH-2.0-c"), until_keys("SSH-2.0-s"));
    let zeros = [0u8; 2000];
    let mut says: Vec<(Side, &[u8])> = vec![(S, &server), (C, &client)];
    says.extend(sizes.iter().map(|(side, len)| (*side, &zeros[..*len])));
    talk(Carrier::Tcp, 100_000, &says).split_off(1)
}

#[test]
fn refusals_and_a_success_are_told_each() {
    let said = login(&[(C, 44), (S, 44), (C, 60), (S, 76), (C, 148), (S, 76), (C, 148), (S, 76), (C, 148), (S, 28), (C, 100), (S, 76)]);
    let end = "status_detail=judged by packet sizes";
    let line = |n: u8, status: u8| format!("ssh/1 service.name=ssh is_remote=true ssh.login_attempts={n} status_id={status} {end}");
    assert_eq!(said, [line(1, 2), line(2, 2), line(3, 1)]);
}

#[test]
fn a_banner_before_the_refusal_and_a_question_are_no_outcome() {
    let said = login(&[(C, 44), (S, 44), (C, 60), (S, 700), (S, 76), (C, 148), (S, 92), (C, 60), (S, 28)]);
    assert!(said.len() == 1 && said[0].contains("ssh.login_attempts=1 status_id=1"), "{said:?}");
    assert_eq!(login(&[(C, 44), (S, 44), (C, 60), (S, 28)]).len(), 1, "a user who needs no password");
    assert_eq!(login(&[(C, 44), (S, 44)]).len(), 0);
}

#[test]
fn endless_packets_and_nonsense_are_named() {
    let long = [&b"SSH-2.0-x\n"[..], &[0, 9, 0, 0], &[0; 9]].concat();
    assert!(talk(Carrier::Tcp, 64, &[(S, &long)])[0].starts_with("anomaly ssh_malformed"));
    let preface = [&b"SSH-"[..], &[b'a'; 5000]].concat();
    assert!(talk(Carrier::Tcp, 1000, &[(S, &preface)])[0].starts_with("anomaly ssh_malformed"));
    let short = packet(KEXINIT, &[7; 20]);
    assert!(talk(Carrier::Tcp, 1000, &[(S, &[b"SSH-2.0-x\n", &short[..]].concat())])[0].starts_with("anomaly ssh_malformed an offer"));
}
