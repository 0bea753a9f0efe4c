//! One made-up line a wording, and what it means: service, outcome, user, source, code. Near misses stand beside them.

use super::one;
use event::{Kind, field};

/// `service status user source code` of a line.
fn said(line: &str) -> String {
    let e = one(line);
    let t = |f| e.text(f).into_owned();
    let source = if e.get(field::SRC_PORT).is_some() { format!("{}:{}", t(field::SRC_IP), t(field::SRC_PORT)) } else { t(field::SRC_IP) };
    format!(
        "{} {} {} {} {}",
        e.source.service.as_deref().unwrap_or(""),
        t(field::STATUS_ID),
        t(field::USER_NAME),
        source,
        t(field::EVENT_CODE)
    )
}

fn check(cases: &[(&str, &str)]) {
    for (line, want) in cases {
        assert_eq!(said(line), *want, "{line}");
    }
}

#[test]
fn telephony() {
    check(&[
        (
            "[2026-11-23 11:00:00] NOTICE[77] chan_sip.c: Registration from '\"9\"<sip:9@pbx.example>' failed for '192.0.2.9:5070' - Wrong password",
            "asterisk 2 9 192.0.2.9:5070 failed",
        ),
        (
            "Nov 23 11:00:00 pbx asterisk[5]: NOTICE[77]: res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '<sip:x' failed for '192.0.2.66:1'@h>' failed for '192.0.2.9:5070' (callid: a) - Failed to authenticate",
            "asterisk 2 x' failed for '192.0.2.66:1' 192.0.2.9:5070 failed",
        ),
        (
            "[2026-11-23 11:00:00] SECURITY[7] res_security_log.c: SecurityEvent=\"InvalidPassword\",AccountID=\"9\",SessionID=\",RemoteAddress=\"IPV4/UDP/192.0.2.66/1\",LocalAddress=\"IPV4/UDP/192.0.2.1/5060\",RemoteAddress=\"IPV4/UDP/192.0.2.9/5070\"",
            "asterisk 2 9 192.0.2.9:5070 security_event",
        ),
        (
            "[Nov 23 11:00:00] NOTICE[7]: res_pjsip_session.c: Call from 'a' (TCP:[2001:db8::9]:61470) to extension '00' rejected because extension not found in context 'x'.",
            "asterisk 2  2001:db8::9:61470 failed",
        ),
        (
            "2026-11-23 11:00:00.5 [WARNING] sofia_reg.c:9 SIP auth failure (REGISTER) on sofia profile 'int' for [7@pbx.example] from ip 192.0.2.9",
            "freeswitch 2 7 192.0.2.9 failed",
        ),
        ("2026-11-23 11:00:00.5 [DEBUG] sofia.c:7 IP 192.0.2.9 Rejected by acl \"x\".", "syslog    "),
        (
            "<W>2026-11-23 11:00:00.5 1 => <4:eve(-1)> Rejected connection from 192.0.2.9:99: Invalid server password",
            "murmur 2 eve 192.0.2.9:99 failed",
        ),
        (
            "2026-11-23 11:00:00.5|INFO    |Query         |   |query from 3 192.0.2.9:99 attempted to login with account \"eve\" and failed!",
            "teamspeak 2 eve 192.0.2.9:99 failed",
        ),
    ]);
}

#[test]
fn mail() {
    check(&[
        (
            "2026-11-23 11:00:00 [42] plain authenticator failed for h.example ([192.0.2.66]) [192.0.2.9]:40000 I=[192.0.2.1]:587: 535 Incorrect authentication data (set_id=bob)",
            "exim 2 bob 192.0.2.9:40000 failed",
        ),
        (
            "Nov 23 11:00:00 mx exim[42]: 2026-11-23 11:00:00 H=(helo) [192.0.2.9] F=<a H=(x) [192.0.2.66]@b> rejected RCPT <c@d>: Unrouteable address",
            "exim 2  192.0.2.9 reject",
        ),
        (
            "2026-11-23 11:00:00 SMTP protocol error in \"AUTH LOGIN\" H=(x) [192.0.2.66]\" H=(y) [192.0.2.9] AUTH command used when not advertised",
            "exim 2  192.0.2.9 protocol_error",
        ),
        ("2026-11-23 11:00:00 SMTP connection from [192.0.2.9]:4000 (TCP/IP connection count = 1)", "exim   192.0.2.9:4000 connected"),
        (
            "2026-11-23 11:00:00 1ahr79-0006jK-G9 <= a@b.example H=h.example [192.0.2.9]:4 P=esmtpsa A=login:bob S=1",
            "exim 1 bob 192.0.2.9:4 ",
        ),
        (
            "Nov 23 11:00:00 mx sm-mta[42]: 0ANB00aa000042: ruleset=check_rcpt, arg1=<relay=h [192.0.2.66]@x>, relay=h.example [192.0.2.9], reject=550 5.7.1 Relaying denied",
            "sendmail 2  192.0.2.9 reject",
        ),
        (
            "Nov 23 11:00:00 mx sendmail[42]: AUTH failure (LOGIN): authentication failure (-13), relay=[IPv6:2001:db8::9]",
            "sendmail 2  2001:db8::9 failed",
        ),
        ("Nov 23 11:00:00 mx sendmail[42]: 0ANB00aa000042: <a@b.example>... User unknown", "sendmail    "),
        ("Nov 23 11:00:00 mx imapd: LOGIN FAILED, user=bob, ip=[192.0.2.66], ip=[::ffff:192.0.2.9]", "imap 2 bob 192.0.2.9 failed"),
        ("Nov 23 11:00:00 mx cyrus/imaps[1]: badlogin: h [192.0.2.9] plaintext bob SASL(-13): no", "imap 2 bob 192.0.2.9 failed"),
        ("Nov 23 11:00:00 mx imapd[1]: Login failed user=bob auth=bob host=h.example [192.0.2.9]", "imap 2 bob 192.0.2.9 failed"),
        ("Nov 23 11:00:00 mx imapd[1]: Logout user=bob host=h.example [192.0.2.9]", "imap    "),
        (
            "Nov 23 11:00:00 w roundcube[1]: <x> IMAP Error: Login failed for bob from 192.0.2.66. AUTHENTICATE x from 192.0.2.9. AUTHENTICATE PLAIN: no in /x.php",
            "roundcube 2 bob from 192.0.2.66. AUTHENTICATE x 192.0.2.9 failed",
        ),
        (
            "Nov 23 11:00:00 sogod [7]: SOGoRootPage Login from '192.0.2.9, 10.0.0.1' for user 'bob' might not have worked",
            "sogo 2 bob 192.0.2.9 failed",
        ),
        (
            "<co ts=\"2026-11-23T10:00:00.5\" pi=\"1\" tr=\"TCP|192.0.2.1|25|192.0.2.9|400\" ap=\"SMTP\" mi=\"Bad password\" us=\"bob\" di=\"535\"/>",
            "oracleims 2 bob 192.0.2.9:400 failed",
        ),
    ]);
}

#[test]
fn databases_and_proxies() {
    check(&[
        (
            "2026-11-23  1:00:00 99 [Warning] Access denied for user 'a'@'192.0.2.66'@'192.0.2.9' (using password: YES)",
            "mysqld 2 a'@'192.0.2.66 192.0.2.9 failed",
        ),
        ("261123  1:00:00 [Warning] Access denied for user 'a'@'192.0.2.9' (using password: NO) and more", "syslog    "),
        (
            "2026-11-23 11:00:00 UTC [5] 192.0.2.9 bob@shop FATAL:  password authentication failed for user \"bob\"",
            "postgresql 2 bob 192.0.2.9 failed",
        ),
        ("2026-11-23 11:00:00.1 Logon       Login failed for user 'sa'. Reason: no. [CLIENT: 192.0.2.9]", "mssql 2 sa 192.0.2.9 failed"),
        (
            "1795431600.123     12 192.0.2.9 TCP_DENIED/403 3000 CONNECT mail.example:25 eve HIER_NONE/- text/html",
            "squid 2 eve 192.0.2.9 TCP_DENIED",
        ),
        (
            "Nov 23 11:00:00 lb haproxy[1]: 192.0.2.9:400 [23/Nov/2026:11:00:00.1] f b/s 0/0/0/0/0 403 21 - - ---- 1/1/0/0/0 0/0 \"GET /x HTTP/1.1\"",
            "haproxy 2  192.0.2.9:400 ",
        ),
        (
            "2026-11-23 11:00:00: (mod_auth.c.1) password doesn't match for /x username: bob, IP: 192.0.2.9",
            "lighttpd 2 bob 192.0.2.9 auth_failed",
        ),
    ]);
    let e = one("1795431600.123     12 192.0.2.9 TCP_MISS/200 3000 GET http://h.example/a - HIER_DIRECT/192.0.2.1 text/html");
    assert_eq!(
        (e.kind, e.time.to_string(), e.text(field::HTTP_URL)),
        (Kind::HttpActivity, "2026-11-23T11:00:00.123Z".to_owned(), "http://h.example/a".into())
    );
}

#[test]
fn applications() {
    check(&[
        (
            "[2026-11-23 11:00:00.5][vaultwarden::api::identity][ERROR] Username or password is incorrect. Try again. IP: 192.0.2.9. Username: IP: 192.0.2.66.",
            "vaultwarden 2 IP: 192.0.2.66 192.0.2.9 failed",
        ),
        ("2026-11-23 11:00:00.5 +08:00 [WRN] Failed login attempt. 192.0.2.9", "bitwarden 2  192.0.2.9 failed"),
        ("2026-11-23T11:00:00.5Z: Failed Login: username=x ip=192.0.2.66 ip=192.0.2.9", "gitlab 2 x 192.0.2.9 failed"),
        (
            "t=2026-11-23T19:00:00+0800 lvl=eror msg=\"Invalid username or password\" uname=bob remote_addr=192.0.2.9",
            "grafana 2 bob 192.0.2.9 failed",
        ),
        ("[2026-11-23 11:00:00] [bob] failed to login from 192.0.2.9:99", "znc 2 bob 192.0.2.9:99 failed"),
        ("[2026-11-23 11:00:00] [bob] connected to ZNC from 192.0.2.9", "syslog    "),
        ("2026:11:23-11:00:00: '192.0.2.9' 2 failed login attempts. Account 'bob'", "directadmin 2 bob 192.0.2.9 failed"),
        ("2026:11:23-11:00:00: '192.0.2.9' successful login to 'bob' after 1 attempts", "syslog    "),
        ("Nov 23 11:00:00 h monit[1]: HttpRequest: access denied -- client 192.0.2.9: unknown user ''", "apps    "),
        ("Nov 23 11:00:00 h monit[1]: HttpRequest: access denied -- client 192.0.2.9: unknown user 'eve'", "monit 2 eve 192.0.2.9 failed"),
        (
            "Nov 23 11:00:00 w shop.example: https://shop.example|1|user|192.0.2.9|https://shop.example/u|https://shop.example/|0||Login attempt failed for eve.",
            "drupal 2 eve 192.0.2.9 failed",
        ),
        (
            "Nov 23 11:00:00 w shop.example: https://shop.example|1|user|192.0.2.9|u|r|0||Login attempt failed for x|2||Session opened for eve.",
            "shop.example    ",
        ),
        (
            "Nov 23 11:00:00 h danted[1]: info: block(1): tcp/accept ]: 192.0.2.9.5000 0.0.0.0.1080: error: system password authentication failed for user \"eve\"",
            "socks 2 eve 192.0.2.9 failed",
        ),
        (
            "Nov 23 11:00:00 fw php-fpm[3]: /index.php: webConfigurator authentication error for user 'eve' from: 192.0.2.9",
            "pfsense 2 eve 192.0.2.9 failed",
        ),
        (
            "2026/11/23 11:00:00 [192.0.2.9:99] authentication for user \"root\" with password \"x\" accepted",
            "sshesame 1 root 192.0.2.9:99 honeypot",
        ),
        (
            "{\"level\":\"error\",\"msg\":\"Unsuccessful 1FA authentication attempt by user 'eve'\",\"remote_ip\":\"192.0.2.9\",\"time\":\"2026-11-23T11:00:00Z\"}",
            "authelia 2 eve 192.0.2.9 failed",
        ),
        ("Nov 23 11:00:00 h scanlogd: 192.0.2.9 to 192.0.2.1 ports 22, 23, 80, ..., fSrpauxy, TOS 00", "scanlogd 2  192.0.2.9 port_scan"),
        ("client @0x7f 192.0.2.9#53 (x.example): query (cache) 'x.example/A/IN' denied", "named 2  192.0.2.9:53 query_denied"),
        (
            "type=USER_LOGIN msg=audit(1795431600.123:9): pid=7 uid=0 msg='op=login acct=\"eve\" exe=\"/usr/sbin/sshd\" hostname=? addr=192.0.2.9 terminal=ssh res=failed'",
            "auditd 2 eve 192.0.2.9 USER_LOGIN",
        ),
    ]);
}

#[test]
fn no_programs_line_is_read_as_anothers() {
    // What a program quotes is its users' text: signs count only in lines without a program.
    for line in [
        "Nov 23 11:00:00 h webapp[1]: comment: Failed Login: username=a ip=192.0.2.66",
        "Nov 23 11:00:00 h sshd[1]: Invalid user Access denied for user 'a'@'192.0.2.66' from 192.0.2.9 port 1",
        "Nov 23 11:00:00 h logger: 2026-11-23 11:00:00 plain authenticator failed for h [192.0.2.66]: 535 Incorrect authentication data",
    ] {
        assert_ne!(one(line).text(field::SRC_IP), "192.0.2.66", "{line}");
    }
}

#[test]
fn an_unknown_access_log_plants_nothing() {
    for words in [
        "Failed Login: username=a ip=192.0.2.66",
        "Access denied for user 'a'@'192.0.2.66'",
        "x authenticator failed for h [192.0.2.66]: 535",
        "SIP auth failure (X) for [a@b] from ip 192.0.2.66",
    ] {
        let e = one(&format!("[10/Feb/2026:21:23:32 +0100] shop.example 192.0.2.9 0.2 \"GET /?{words} HTTP/2.0\" 200 1"));
        assert_eq!(e.get(field::SRC_IP), None, "{words}");
    }
}

#[test]
fn codes_tell_what_is_no_guess() {
    check(&[
        (
            "Nov 23 11:00:00 h sshd[1]: Failed publickey for bob from 192.0.2.9 port 1 ssh2: ED25519 SHA256:x",
            "sshd 2 bob 192.0.2.9:1 key_refused",
        ),
        ("Nov 23 11:00:00 h sshd[1]: Failed publickey for invalid user bob from 192.0.2.9 port 1 ssh2", "sshd 2 bob 192.0.2.9:1 failed"),
        (
            "Nov 23 11:00:00 h sshd[1]: pam_unix(sshd:auth): authentication failure; logname= uid=0 rhost=192.0.2.9  user=bob",
            "sshd 2 bob 192.0.2.9 pam_failure",
        ),
        (
            "Nov 23 11:00:00 h pvedaemon[1]: authentication failure; rhost=[::ffff:192.0.2.9]:47 user=root@pam msg=no",
            "pvedaemon 2 root@pam 192.0.2.9:47 pam_failure",
        ),
    ]);
}

#[test]
fn one_line_may_stand_for_several() {
    for (line, count) in [
        ("Nov 23 11:00:00 h sshd[1]: message repeated 3 times: [ Failed password for root from 192.0.2.9 port 1 ssh2]", "3"),
        (
            "Nov 23 11:00:00 h sshd[1]: PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.9  user=root",
            "2",
        ),
    ] {
        let e = one(line);
        assert_eq!(
            (e.kind, e.text(field::COUNT), e.text(field::SRC_IP)),
            (Kind::Authentication, count.into(), "192.0.2.9".into()),
            "{line}"
        );
        assert_eq!((e.text(field::STATUS_ID), e.text(field::USER_NAME)), ("2".into(), "root".into()));
    }
}

#[test]
fn a_list_of_proxies_ends_with_the_nearest() {
    let e = one("192.0.2.66, 192.0.2.9 - - [23/Nov/2026:11:00:00 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"");
    assert_eq!((e.text(field::SRC_IP), e.text(field::HTTP_X_FORWARDED_FOR)), ("192.0.2.9".into(), "192.0.2.66".into()));
}

#[test]
fn headers_as_they_occur() {
    for (line, want) in [
        ("<13>1 2026-11-23T11:00:00 h p 7 m - x", "h p 7 2026-11-23T11:00:00Z x"),
        ("<13>Nov 23 2026 11:00:00: %ASA-6-302014: x", " %ASA-6-302014  2026-11-23T11:00:00Z x"),
        ("<13>91: *Nov 23 11:00:00: r.example %SYS-5-CONFIG_I: x", "r.example %SYS-5-CONFIG_I  2026-11-23T11:00:00Z x"),
        ("2026-11-23 11:00:00 h p[7]: x", "h p 7 2026-11-23T11:00:00Z x"),
        ("2026-11-23 11:00:00 one two: x", "   2026-11-23T11:00:00Z one two: x"),
        ("2026 Nov 23 11:00:00 h p-7: x", "h p-7  2026-11-23T11:00:00Z x"),
        ("Nov 23 11:00:00 <mail.info> h p[7]: x", "h p 7 2026-11-23T11:00:00Z x"),
        ("Nov 23 11:00:00 [p] x", " p  2026-11-23T11:00:00Z x"),
        ("2026-11-23T11:00:00Z [AUTH] WARN: x", "   2026-11-23T11:00:00Z [AUTH] WARN: x"),
        ("h p[7]: x", "h p 7  x"),
        ("[1795431600] nsd[7]: x", " nsd 7 2026-11-23T11:00:00Z x"),
        ("L 11/23/2026 - 11:00:00: x", "   2026-11-23T11:00:00Z x"),
        ("11-23 11:00:00.5 [WARN] x", "   2026-11-23T11:00:00.500Z [WARN] x"),
        ("Mon Nov 23 11:00:00 CST 2026 x", "   2026-11-23T11:00:00Z x"),
    ] {
        let h = crate::log::header(line, event::Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").expect("a time"), 0);
        let time = h.time.map(|t| t.to_string()).unwrap_or_default();
        let pid = h.pid.map(|p| p.to_string()).unwrap_or_default();
        let got = format!("{} {} {} {} {}", h.host.unwrap_or(""), h.program.unwrap_or(""), pid, time, h.message);
        assert_eq!(got, want, "{line}");
    }
}

#[test]
fn packages() {
    let said = |line: &str| {
        let e = one(line);
        let t = |f| e.text(f).into_owned();
        format!(
            "{}/{} {} {} {}",
            e.kind.name(),
            e.activity,
            e.source.service.as_deref().unwrap_or(""),
            t(field::PACKAGE_NAME),
            t(field::PACKAGE_VERSION)
        )
    };
    for (line, want) in [
        ("2026-11-23 10:00:00 status installed openssl:amd64 3.0.15-1~deb12u1", "application_lifecycle/1 dpkg openssl 3.0.15-1~deb12u1"),
        ("2026-11-23 10:00:00 status installed redis 5:7.4.2-1", "application_lifecycle/1 dpkg redis 5:7.4.2-1"),
        ("2026-11-23 10:00:00 status not-installed telnetd:amd64 <none>", "application_lifecycle/2 dpkg telnetd "),
        (
            "2026-11-23T10:00:00+0800 SUBDEBUG Upgrade: openssl-libs-1:3.0.7-27.el9.x86_64",
            "application_lifecycle/1 dnf openssl-libs 1:3.0.7-27.el9",
        ),
        ("2026-11-23T10:00:00+0800 SUBDEBUG Erase: telnet-0.17-85.el9.x86_64", "application_lifecycle/2 dnf telnet "),
        // Half-way states, other programs' words, and a host of that name.
        ("2026-11-23 10:00:00 status half-installed openssl:amd64 3.0.15-1", "event_log_activity/99 syslog  "),
        ("2026-11-23 10:00:00 upgrade openssl:amd64 3.0.14-1 3.0.15-1", "event_log_activity/99 syslog  "),
        ("Nov 23 10:00:00 web app[7]: status installed openssl:amd64 3.0.15-1", "event_log_activity/99 app  "),
        ("Nov 23 10:00:00 web Upgrade: openssl-libs-1:3.0.7-27.el9.x86_64", "event_log_activity/99 dnf  "),
    ] {
        assert_eq!(said(line), want, "{line}");
    }
}
