//! Bytes that nobody meant: cut, stretched, spoiled lines. Every one gives one event that keeps its text, and no reader panics.

use super::*;
use crate::log::Reader;

/// Starts of every family, own words.
const LINES: &[&str] = &[
    "<13>1 2026-11-23T11:00:00.123+08:00 h sshd 7 - [a b=\"c\\\"]\"][d] Failed password for x from 192.0.2.9 port 1 ssh2",
    "Nov 23 11:00:00 h sshd[7]: Disconnecting invalid user a 192.0.2.9 port 1: Too many authentication failures [preauth]",
    "Nov 23 11:00:00 h sshd[7]: SSH: Server;Ltype: Kex;Remote: 192.0.2.9-1780;Enc: x",
    "Nov 23 11:00:00 h sudo:    a : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls",
    "Nov 23 11:00:00 h su: FAILED SU (to root) a on pts/0",
    "Nov 23 11:00:00 h login[1]: FAILED LOGIN (1) on '/dev/tty1' FROM h FOR 'root', Authentication failure",
    "Nov 23 11:00:00 h useradd[1]: new user: name=a, UID=0, GID=0, home=/a, shell=/bin/sh, from=/dev/pts/1",
    "Nov 23 11:00:00 h kernel: [1.2] IN=eth0 OUT= SRC=192.0.2.9 DST=192.0.2.1 PROTO=TCP SPT=1 DPT=2 DROP",
    "0 3 X-IN 23/Nov/2026:11:00:00 +0800 policy DROP: IN=e SRC=192.0.2.9 DST=192.0.2.1 PROTO=UDP SPT=1 DPT=2",
    "Fri Jan 19 12:20:33 2026 [pid 2] [a] FAIL LOGIN: Client \"192.0.2.9\"",
    "Nov 23 11:00:00 h proftpd[1]: h (h[192.0.2.9]) - USER a (Login failed): Incorrect password",
    "Nov 23 11:00:00 h postfix/smtpd[1]: warning: h[192.0.2.9]:1: SASL LOGIN authentication failed: x, sasl_username=a",
    "Nov 23 11:00:00 h dovecot: imap-login: Aborted login (auth failed, 1 attempts): user=<a>, method=PLAIN, rip=192.0.2.9",
    "2026-11-23 11:00:00 [42] 1ahr79-0006jK-G9 H=h (helo) [192.0.2.9]:1 I=[192.0.2.1]:25 F=<a@b> rejected RCPT <c>: no",
    "Nov 23 11:00:00 h sm-mta[1]: 0ANB00aa000042: h [192.0.2.9]: EXPN root [rejected]",
    "23-Nov-2026 11:00:00.1 security: info: client @0x7 192.0.2.9#53 (a): query (cache) 'a/A/IN' denied",
    "[2026-11-23 11:00:00] SECURITY[7] res_security_log.c: SecurityEvent=\"FailedACL\",RemoteAddress=\"IPV4/UDP/192.0.2.9/5\"",
    "[Nov 23 11:00:00] NOTICE[7]: x.c: Call from '' (UDP:192.0.2.9:1) to extension '0' rejected because extension not found in context 'd'. res_pjsip",
    "2026/11/23 11:00:00 [error] 1#0: *1 user \"a\": password mismatch, client: 192.0.2.9, server: h, request: \"GET / HTTP/1.1\"",
    "[Mon Nov 23 11:00:00.1 2026] [auth_basic:error] [pid 1:tid 2] [client [2001:db8::1]:5] AH01618: user a not found: /",
    "\"192.0.2.9, 192.0.2.8\" 192.0.2.7 - - [23/Nov/2026:11:00:00 +0000] \"GET /\\\"x HTTP/1.1\" 200 1 \"-\" \"a\"",
    "1795431600.123 12 192.0.2.9 TCP_DENIED/403 30 GET http://h/ - HIER_NONE/- x",
    "192.0.2.9:1 [23/Nov/2026:11:00:00.1] f b/s 0/0/0 403 2 - - ---- 1/1 0/0 \"GET /x HTTP/1.1\"",
    "[24/Jan/2026:16:51:02 +0000] - 404 404 - GET http h \"/x\" [Client 192.0.2.9] [Length 1] \"a\" \"-\"",
    "1690466804.2161960.0 [27/Jul/2026 16:06:44] a - 192.0.2.9 global miniserv.pl \"failed\" \"-\" \"x\"",
    "{\"timestamp\":\"2026-11-23T11:00:00.1+0000\",\"event_type\":\"alert\",\"src_ip\":\"192.0.2.9\",\"alert\":{\"signature\":\"ET \\u70fd\",\"severity\":1}}",
    "{\"timestamp\":\"2026-11-23T11:00:00.1+0000\",\"rule\":{\"level\":5,\"description\":\"d\",\"groups\":[\"web\"]},\"agent\":{\"name\":\"h\"}}",
    "{\"AnalysisComponent\":{\"AnalysisComponentName\":\"n\"},\"LogData\":{\"Timestamps\":[1795431600.5]},\"AMiner\":{\"ID\":\"h\"}}",
    "{\"event\":\"user.login\",\"success\":false,\"user\":\"a\",\"addr.remote\":\"192.0.2.9:1\"}",
    "Nov 23 11:00:00 w a.example: http://a|1|user|192.0.2.9|b|c|0||Login attempt failed for x.",
    "261123  1:00:00 [Warning] Access denied for user 'a'@'192.0.2.9' (using password: NO)",
    "78017 00cff -- none -- - 2026-11-23T11:00:00+00:00 WARN (4): Login with username a from 192.0.2.9 failed (-1)!",
];

fn keeps(bytes: &[u8], reader: &mut Reader) {
    let received = Timestamp::from_secs(1_795_431_600);
    let (_, e) = reader.read(&Line { bytes, received, utc_offset_secs: 28_800, format: None });
    assert_eq!(e.body.get(field::RAW_DATA), Some(&Value::lossy(bytes)));
}

#[test]
fn cut_and_spoiled_at_every_place() {
    let mut reader = Reader::new();
    for line in LINES {
        let bytes = line.as_bytes();
        for at in 0..=bytes.len() {
            keeps(&bytes[..at], &mut reader);
            keeps(&bytes[at..], &mut reader);
            for spoil in [&b"\x00"[..], b"\xff", b"\x1d", "烽".as_bytes(), b"\"", b"[", b"]", b" ", b": "] {
                keeps(&[&bytes[..at], spoil, &bytes[at..]].concat(), &mut reader);
                // In place of a byte, so that fixed columns move under the reader.
                keeps(&[&bytes[..at], spoil, bytes.get(at + 1..).unwrap_or(b"")].concat(), &mut reader);
            }
        }
    }
}

#[test]
fn long_lines() {
    let mut reader = Reader::new();
    for line in LINES {
        for fill in [&b"A"[..], b" ", b"[", b"\"", b" from 192.0.2.9 port 1 ssh2", "燧".as_bytes(), b"{", b"\\"] {
            let tail = fill.repeat(100_000 / fill.len());
            keeps(&[line.as_bytes(), &tail].concat(), &mut reader);
        }
    }
}

#[test]
fn every_format_by_name_reads_anything() {
    let received = Timestamp::from_secs(1_795_431_600);
    for format in FORMATS {
        for line in LINES {
            let (_, e) = read(&Line { bytes: line.as_bytes(), received, utc_offset_secs: 0, format: Some(format.name) });
            assert_eq!(e.body.get(field::RAW_DATA), Some(&Value::lossy(line.as_bytes())));
        }
    }
}
