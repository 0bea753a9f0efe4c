//! What lines mean, in few words; the formats one by one are in `formats`, hostile bytes in `hostile`.

use super::*;
use event::Timestamp;

mod formats;
mod hostile;
mod partner;

fn one(line: &str) -> Event {
    let received = Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").expect("a time");
    read(&Line { bytes: line.as_bytes(), received, utc_offset_secs: 0, format: None }).1
}

fn brief(line: &str) -> String {
    let e = one(line);
    let t = |f| e.text(f).into_owned();
    format!(
        "{}/{} {} {} user={} src={}{} {}",
        e.kind.name(),
        e.activity,
        e.source,
        e.time,
        t(field::USER_NAME),
        t(field::SRC_IP),
        t(field::SRC_HOSTNAME),
        t(field::STATUS_ID)
    )
}

#[test]
fn log_ons_are_typed() {
    for (line, want) in [
        (
            "Nov 23 11:00:00 bank sshd[7]: Failed password for invalid user admin from 192.0.2.9 port 4000 ssh2",
            "authentication/1 linux/*/sshd 2026-11-23T11:00:00Z user=admin src=192.0.2.9 2",
        ),
        (
            "2026-11-23T19:00:00.5+08:00 bank sshd-session[7]: Accepted publickey for root from 2001:db8::1 port 1 ssh2: ED25519 SHA256:x",
            "authentication/1 linux/*/sshd 2026-11-23T11:00:00.500Z user=root src=2001:db8::1 1",
        ),
        (
            "<86>1 2026-11-23T11:00:00Z h sshd 7 - - Failed password for root from 192.0.2.9 port 1 ssh2",
            "authentication/1 linux/*/sshd 2026-11-23T11:00:00Z user=root src=192.0.2.9 2",
        ),
        (
            "Dec 31 23:00:00 h sshd[7]: Invalid user a from 192.0.2.9",
            "authentication/1 linux/*/sshd 2025-12-31T23:00:00Z user=a src=192.0.2.9 2",
        ),
        (
            "Nov 23 11:00:00 h vsftpd[1]: [bob] FAIL LOGIN: Client \"::ffff:192.0.2.9\"",
            "authentication/1 linux/*/vsftpd 2026-11-23T11:00:00Z user=bob src=192.0.2.9 2",
        ),
        ("Nov 23 11:00:00 h su: FAILED SU (to root) alice on pts/0", "authentication/1 linux/*/su 2026-11-23T11:00:00Z user=root src= 2"),
        (
            "Nov 23 11:00:00 h cups: pam_unix(cups:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=192.0.2.9  user=root",
            "authentication/1 linux/*/cups 2026-11-23T11:00:00Z user=root src=192.0.2.9 2",
        ),
    ] {
        assert_eq!(brief(line), want, "{line}");
    }
}

#[test]
fn a_user_name_cannot_plant_an_address() {
    for line in [
        "Nov 23 11:00:00 h sshd[1]: Failed password for invalid user from 10.10.1.1 from 192.0.2.9 port 58946 ssh2",
        "Nov 23 11:00:00 h sshd[1]: Failed password for invalid user test from 10.10.1.2 port 55555 ssh2 from 192.0.2.9 port 58946 ssh2",
        "Nov 23 11:00:00 h sshd[1]: Failed password for user from 192.0.2.9 port 20000 ssh1: ruser from 1.2.3.4",
    ] {
        assert_eq!(one(line).text(field::SRC_IP), "192.0.2.9", "{line}");
    }
}

#[test]
fn privilege_and_accounts() {
    let e = one(
        "Nov 23 11:00:00 h sudo:    alice : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/tmp ; USER=root ; COMMAND=/bin/sh -c echo ; USER=bob",
    );
    assert_eq!(
        (e.text(field::ACTOR_USER), e.text(field::USER_NAME), e.text(field::STATUS_ID)),
        ("alice".into(), "root".into(), "2".into())
    );
    assert_eq!(e.text(field::PROCESS_CMD_LINE), "/bin/sh -c echo ; USER=bob");
    let e = one("Nov 23 11:00:00 h useradd[9]: new user: name=eve, UID=0, GID=0, home=/root, shell=/bin/bash, from=/dev/pts/1");
    assert_eq!((e.kind, e.activity, e.text(field::USER_PRIVILEGED)), (Kind::AccountChange, 1, "true".into()));
    let e = one("Nov 23 11:00:00 h usermod[9]: add 'eve' to group 'sudo'");
    assert_eq!((e.kind, e.text(field::GROUP_NAME), e.text(field::USER_PRIVILEGED)), (Kind::GroupManagement, "sudo".into(), "true".into()));
}

#[test]
fn web_lines() {
    let e = one(r#"192.0.2.9 - - [23/Nov/2026:19:00:00 +0800] "GET /../../etc/passwd?a=\"b\" HTTP/1.1" 404 10 "-" "sqlmap/1.0""#);
    assert_eq!((e.kind, e.activity, e.time.to_string().as_str()), (Kind::HttpActivity, 3, "2026-11-23T11:00:00Z"));
    assert_eq!(
        (e.text(field::HTTP_PATH), e.text(field::HTTP_QUERY), e.text(field::HTTP_USER_AGENT)),
        ("/../../etc/passwd".into(), "a=\"b\"".into(), "sqlmap/1.0".into())
    );
    let e = one(
        r"[Sat Jul 20 21:37:32.266605 2013] [auth_basic:error] [pid 1:tid 2] [client [2001:db8::1]:51386] AH01618: user bob not found: /basic",
    );
    assert_eq!((e.kind, e.text(field::SRC_IP), e.text(field::USER_NAME)), (Kind::Authentication, "2001:db8::1".into(), "bob".into()));
}

#[test]
fn any_bytes_give_one_event_with_their_text() {
    for bytes in [
        &b""[..],
        b"\x00\xff\xfe",
        b"<",
        b"<999>x",
        b"<13>1 ",
        b"[",
        b"[[[]]]: ",
        b"Nov 31 99:99:99 a b",
        b"\xe7\x83\xbd\xe7\x87\xa7: x",
        b"GET",
        b"a - - [",
        b"\" \" \"",
    ] {
        let (_, e) = read(&Line { bytes, received: Timestamp::ZERO, utc_offset_secs: 28_800, format: None });
        assert_eq!(e.body.get(field::RAW_DATA), Some(&Value::lossy(bytes)));
    }
}
