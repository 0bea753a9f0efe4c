//! Channels by table and the queue by random stories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use event::Timestamp;
use matter::{Both, Message, Permission, Recipient};
use proptest::prelude::*;
use warning::grade::Level;

use crate::kind::CHANNELS;
use crate::queue::{Patience, Quiet, RED};
use crate::{Answer, Configured, Delivery, Letter, Limits, Queue, Request, Settled, Verdict, Zone, open, text};

const T: Timestamp = Timestamp::from_secs(1_795_478_400);

pub(crate) fn message(level: Option<Level>, n: u32) -> Message {
    Message {
        key: format!("m{n}"),
        recipient: Recipient::City { right: Permission::WarningsDraft },
        level,
        kind: "warning".into(),
        id: format!("W{n:016x}"),
        thread: "W0123456789abcdef".into(),
        title: Both::new(format!("变电站远动异常 {n}"), format!("Odd telecontrol at a substation {n}")),
        text: Both::new("请立即核查。\n第二行 <b>", "Check at once.\nSecond line <b>"),
        revision: None,
        exercise: false,
        time: T,
    }
}

fn letter<'a>(messages: &'a [&'a Message], key: &'a str) -> Letter<'a> {
    Letter { messages, more: 0, key, to: "duty@grid.example", zh: true, zone: Zone::BEIJING, test: false, console: "https://v.example/" }
}

fn configured(text: &str) -> Result<Configured, String> {
    let read = |path: &Path| match path.to_str() {
        Some("/secret") => Ok("SEC123\n".to_owned()),
        Some("/url") => Ok("https://robot.example/send?key=abc\n".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    open(&text.parse().expect("TOML"), &read)
}

fn made(text: &str) -> Configured {
    configured(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn http(request: Request) -> (String, BTreeMap<&'static str, String>, serde_json::Value) {
    let Request::Http { path, headers, body } = request else { panic!("no HTTP request") };
    (path, headers.into_iter().collect(), serde_json::from_slice(&body).expect("JSON"))
}

#[test]
fn sections_are_checked_and_secrets_never_print() {
    for (section, told) in [
        ("kind = 'mail'", "key 'name': missing"),
        ("name = 'a'", "key 'kind': missing"),
        ("name = 'a'\nkind = 'mial'", "did you mean 'mail'"),
        ("name = 'a b'\nkind = 'mail'", "key 'name'"),
        ("name = 'a'\nkind = 'mail'\nserver = 'mx.example'\nfrom = 'a@b.example'\ntls = 'none'", "in the clear"),
        ("name = 'a'\nkind = 'mail'\nserver = 'mx.example'\nfrom = 'nobody'", "key 'from'"),
        ("name = 'a'\nkind = 'mail'\nserver = 'mx.example'\nfrom = 'a@b.example'\nuser = 'u'", "password_file"),
        ("name = 'a'\nkind = 'mail'\nserver = 'mx.example'\nfrom = 'a@b.example'\nsubject = 'x'", "subject"),
        ("name = 'a'\nkind = 'webhook'\nurl = 'http://elsewhere.example/x'", "in the clear"),
        ("name = 'a'\nkind = 'webhook'\nurl = 'https://h.example/x'\nsecret_file = '/none'", "no such file"),
        ("name = 'a'\nkind = 'dingtalk'\nurl_file = '/secret'", "key 'url_file'"),
        ("name = 'a'\nkind = 'syslog'\naddress = 'h:514'\nfacility = 24", "key 'facility'"),
        ("name = 'a'\nkind = 'wecom'\nurl_file = '/url'\nper_minute = 0", "key 'per_minute'"),
        ("name = 'a'\nkind = 'wecom'\nurl_file = '/url'\nred_reserve = 20", "key 'red_reserve'"),
        ("name = 'a'\nkind = 'alertmanager'\nurl = 'http://127.0.0.1:9093'\nlabels = { 'a-b' = 'x' }", "key 'labels'"),
    ] {
        let error = configured(section).err().unwrap_or_else(|| panic!("accepted: {section}"));
        assert!(error.contains(told), "{section}: {error}");
        assert!(!error.contains("SEC123"), "{error}");
    }
    let mail = made("name = 'm'\nkind = 'mail'\nserver = 'mx.example'\nfrom = 'a@b.example'\nuser = 'u'\npassword_file = '/secret'");
    assert!(!format!("{:?}", mail.channel.route()).contains("SEC123"));
}

#[test]
fn a_mail_is_the_same_bytes_each_time_and_threads() {
    let mail = made("name = 'm'\nkind = 'mail'\nserver = '127.0.0.1:25'\ntls = 'none'\nfrom = '烽燧 <v@city.example>'");
    let mut one = message(Some(Level::Red), 1);
    one.exercise = true;
    one.title.zh = "标题\r\nBcc: x@evil.example".into();
    let messages = [&one];
    let letter = letter(&messages, "D0001");
    let first = mail.channel.render(&letter, T);
    assert_eq!(first, mail.channel.render(&letter, T.plus_secs(999)));
    let Request::Mail { from, to, data } = first else { panic!() };
    let data = String::from_utf8(data).unwrap();
    let (head, _) = data.split_once("\r\n\r\n").unwrap();
    assert_eq!((from.as_str(), to.as_str()), ("v@city.example", "duty@grid.example"));
    for wanted in [
        "Message-ID: <D0001@city.example>",
        "References: <thread.W0123456789abcdef@city.example>",
        "Auto-Submitted: auto-generated",
        "X-Vedette-Exercise: true",
        "Date: Tue, 24 Nov 2026",
    ] {
        assert!(head.contains(wanted), "{wanted} in\n{head}");
    }
    assert!(!head.contains("Bcc"), "no header comes from a title");
    assert!(data.is_ascii() && data.split("\r\n").all(|l| l.len() <= 78 && !l.contains(['\r', '\n'])), "{data}");
    use base64::Engine;
    let decoded: String = head
        .split("=?UTF-8?B?")
        .skip(1)
        .filter_map(|w| base64::engine::general_purpose::STANDARD.decode(w.split('?').next()?).ok())
        .map(|b| String::from_utf8(b).expect("words are cut at characters"))
        .collect();
    assert!(decoded.contains("[演练 EXERCISE] [红 RED] "), "{decoded}");
}

#[test]
fn smtp_goes_its_way_and_gives_up_with_reason() {
    use crate::smtp::{Session, Step};
    use crate::{Login, MailTls};
    let login = Login { user: "u".into(), password: settings::Secret::new("p") };
    // (tls, with login, server's lines each answered by what the client writes next).
    let walk = |tls: MailTls, login: Option<&Login>, lines: &[&str]| {
        let mut session = Session::new(tls, login, "city.example", "a@b", "c@d", b"x\r\n.y\r\n");
        let mut said = Vec::new();
        for line in lines {
            match session.read(line.as_bytes()) {
                Step::Write(bytes) => said.push(String::from_utf8(bytes).unwrap()),
                Step::StartTls => {
                    said.push("(tls)".into());
                    if let Step::Write(bytes) = session.secured() {
                        said.push(String::from_utf8(bytes).unwrap());
                    }
                }
                Step::End { code, text, .. } => said.push(format!("end {code} {text}")),
                Step::Read => {}
            }
        }
        said
    };
    let all = walk(
        MailTls::Starttls,
        Some(&login),
        &[
            "220 mx\r\n",
            "250-mx\r\n250 STARTTLS\r\n",
            "220 go\r\n",
            "250-mx\r\n250 AUTH LOGIN PLAIN\r\n",
            "235 ok\r\n",
            "250 ok\r\n",
            "250 ok\r\n",
            "354 go\r\n",
            "250 2.0.0 queued as 1\r\n",
        ],
    );
    let wanted = [
        "EHLO city.example\r\n",
        "STARTTLS\r\n",
        "(tls)",
        "EHLO city.example\r\n",
        "AUTH PLAIN AHUAcA==\r\n",
        "MAIL FROM:<a@b>\r\n",
        "RCPT TO:<c@d>\r\n",
        "DATA\r\n",
        "x\r\n..y\r\n.\r\n",
        "end 250 2.0.0 queued as 1",
    ];
    assert_eq!(all, wanted);
    let login_only =
        walk(MailTls::None, Some(&login), &["220 mx\r\n", "250 AUTH=LOGIN\r\n", "334 VXNlcm5hbWU6\r\n", "334 UGFzcw==\r\n", "235 ok\r\n"]);
    assert_eq!(login_only[1..], ["AUTH LOGIN\r\n", "dQ==\r\n", "cA==\r\n", "MAIL FROM:<a@b>\r\n"]);
    for (tls, lines, end) in [
        (MailTls::Starttls, vec!["220 mx\r\n", "250 mx\r\n"], "end 454 the server offers no STARTTLS"),
        (MailTls::None, vec!["220 mx\r\n", "250 mx\r\n", "250 ok\r\n", "550 5.1.1 no such user\r\n"], "end 550 5.1.1 no such user"),
        (MailTls::None, vec!["554 go away\r\n"], "end 421 go away"),
        (MailTls::None, vec!["220 mx\r\n250 early\r\n"], "end 421 the server speaks before"),
        (MailTls::None, vec!["HTTP/1.1 400 Bad\r\n"], "end 421 what answers is no mail server"),
    ] {
        let said = walk(tls, None, &lines);
        assert!(said.last().is_some_and(|l| l.starts_with(end)), "{lines:?}: {said:?}");
    }
}

#[test]
fn webhooks_are_signed_over_time_and_body() {
    let hook = made("name = 'w'\nkind = 'webhook'\nurl = 'https://h.example/in?x=1'\nsecret_file = '/secret'");
    let one = message(Some(Level::Orange), 1);
    let messages = [&one];
    let Request::Http { path, headers, body } = hook.channel.render(&letter(&messages, "D7"), T) else { panic!() };
    let headers: BTreeMap<_, _> = headers.into_iter().collect();
    assert_eq!((path.as_str(), headers["idempotency-key"].as_str()), ("/in?x=1", "D7"));
    let signed = [format!("{}.", T.secs()).into_bytes(), body.clone()].concat();
    assert_eq!(headers["x-vedette-signature"], format!("v1={}", crate::hex(&crate::hmac_sha256(b"SEC123", &signed))));
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((body["level"].as_str(), body["messages"][0]["thread"].as_str()), (Some("orange"), Some("W0123456789abcdef")));
    // RFC 4231, test case 2.
    assert_eq!(
        crate::hex(&crate::hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}

#[test]
fn alertmanager_ends_what_is_lifted() {
    use matter::notice::Certainty;
    use matter::{Notice, Pap, Revision, Tlp, notice::Step};
    let manager = made("name = 'a'\nkind = 'alertmanager'\nurl = 'http://127.0.0.1:9093/am'\nlabels = { city = 'x' }");
    let mut lifted = message(Some(Level::Red), 1);
    let (_, _, open) = http(manager.channel.render(&letter(&[&lifted], "D1"), T));
    assert_eq!((open[0]["labels"]["level"].as_str(), open[0].get("endsAt")), (Some("red"), None));
    lifted.revision = Some(Box::new(Revision {
        warning: "W0123456789abcdef".into(),
        number: 2,
        step: Step::Lift,
        level: Some(Level::Red),
        notice: Notice::default(),
        certainty: Certainty::Likely,
        issuer: Both::new("台", "desk"),
        drafted_by: "lin".into(),
        approved_by: None,
        issued: T,
        review: T,
        expires: T,
        receipt_s: 900,
        feedback_s: 7_200,
        units: vec!["grid".into()],
        sectors: Vec::new(),
        tlp: Tlp::Amber,
        pap: Pap::Amber,
        reasons: Vec::new(),
        disclosed: None,
        exercise: false,
        previous: String::new(),
        hash: "ab".repeat(32),
        key: "k".into(),
        signature: "s".into(),
    }));
    let messages = [&lifted];
    let (path, _, ended) = http(manager.channel.render(&letter(&messages, "D2"), T));
    assert_eq!(path, "/am/api/v2/alerts");
    let ended = ended.as_array().unwrap();
    assert_eq!(ended.len(), 5, "every level's alert ends");
    assert!(ended.iter().all(|a| a["endsAt"].is_string()));
    assert!(ended.iter().any(|a| a["labels"] == open[0]["labels"]), "the one that was opened is among them");
    // What a unit reads: deadlines in its own time.
    let plain = text::plain(&letter(&messages, "D2"));
    assert!(plain.contains("签收时限：") && plain.contains("+08:00"), "{plain}");
}

#[test]
fn syslog_and_cef_escape_by_their_own_rules() {
    let mut one = message(Some(Level::Red), 1);
    one.title = Both::new("a|b\\c]\"d", "");
    one.text = Both::new("x=1\ny\\z", "");
    one.key = "k\"]\\".into();
    let messages = [&one];
    let said = |section: &str| {
        let channel = made(section);
        let Request::Syslog(lines) = channel.channel.render(&letter(&messages, "D1"), T) else { panic!() };
        String::from_utf8(lines[0].clone()).unwrap()
    };
    let plain = said("name = 's'\nkind = 'syslog'\naddress = '127.0.0.1:514'\nfacility = 4");
    assert!(plain.starts_with(&format!("<33>1 {T} vedette vedette - notice [vedette@32473 key=\"k\\\"\\]\\\\\" level=\"red\"")), "{plain}");
    assert!(!plain.contains('\n'));
    let cef = said("name = 's'\nkind = 'syslog'\naddress = '127.0.0.1:514'\nformat = 'cef'");
    assert!(cef.contains("CEF:0|Vedette|Vedette|"), "{cef}");
    assert!(cef.contains("|[红 RED] a\\|b\\\\c]\"d|10|"), "{cef}");
    assert!(cef.ends_with("msg=x\\=1\\ny\\\\z"), "{cef}");
}

#[test]
fn robots_sign_keep_their_size_and_mean_what_they_answer() {
    // Signatures computed with Python's hmac, hashlib and base64.
    assert_eq!(crate::kind::dingtalk_sign(1_700_000_000_000, "SEC123"), "lkcPI1uoxBY1gUnCnnPH1Kkru0Hqjo7rFpA3haIVhEQ=");
    assert_eq!(crate::kind::feishu_sign(1_700_000_000, "SEC123"), "j/tImR0k8vYXRsYw0+GHVQkV1v/J/8obOuMU7PE/KDo=");
    let mut long = message(Some(Level::Red), 1);
    long.text.zh = "长".repeat(30_000);
    let messages = [&long];
    for (kind, bytes_max) in [("wecom", 4_096 + 200), ("dingtalk", 20_000), ("feishu", 20_480)] {
        let secret = if kind == "wecom" { "" } else { "secret_file = '/secret'" };
        let robot = made(&format!("name = 'r'\nkind = '{kind}'\nurl_file = '/url'\n{secret}"));
        let Request::Http { body, path, .. } = robot.channel.render(&letter(&messages, "D1"), T) else { panic!() };
        assert!(body.len() <= bytes_max, "{kind}: {}", body.len());
        assert!(String::from_utf8(body).unwrap().contains("[红 RED]"), "{kind}");
        assert!(path.starts_with("/send?key=abc") && (kind != "dingtalk" || path.contains("&sign=")), "{path}");
        let says = |status: u16, body: &str| robot.channel.classify(&Answer::Http { status, retry_after: None, body: body.as_bytes() });
        let zero = if kind == "feishu" { r#"{"code":0,"msg":"success","data":{}}"# } else { r#"{"errcode":0,"errmsg":"ok"}"# };
        assert_eq!(says(200, zero), Verdict::Done, "{kind}");
        assert!(matches!(says(200, "<html>login</html>"), Verdict::Retry { .. }), "{kind}");
        assert!(matches!(says(502, "bad gateway"), Verdict::Retry { .. }), "{kind}");
        let (often, after, never) = match kind {
            "wecom" => (r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#, 60, r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#),
            "dingtalk" => (
                r#"{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}"#,
                600,
                r#"{"errcode":310000,"errmsg":"sign not match"}"#,
            ),
            _ => (
                r#"{"code":11232,"msg":"frequency limited psm"}"#,
                60,
                r#"{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}"#,
            ),
        };
        assert!(matches!(says(200, often), Verdict::Retry { after_s: Some(s), .. } if s == after), "{kind}");
        assert!(matches!(says(200, never), Verdict::Reject { .. }), "{kind}");
    }
}

#[test]
fn http_answers_mean_what_their_status_says() {
    let hook = made("name = 'w'\nkind = 'webhook'\nurl = 'https://h.example/'");
    let says = |status, retry_after| hook.channel.classify(&Answer::Http { status, retry_after, body: b"why" });
    assert_eq!(says(204, None), Verdict::Done);
    assert!(matches!(says(503, Some("30")), Verdict::Retry { after_s: Some(30), .. }));
    assert!(matches!(says(429, Some("999999")), Verdict::Retry { after_s: Some(crate::RETRY_AFTER_S_MAX), .. }));
    assert!(matches!(says(500, Some("Mon, 1 Jan")), Verdict::Retry { after_s: None, .. }));
    assert!(matches!(says(401, None), Verdict::Retry { .. }));
    assert!(matches!(says(403, None), Verdict::Reject { .. }));
    assert!(matches!(says(302, None), Verdict::Reject { .. }));
    assert!(matches!(hook.channel.classify(&Answer::Broken("refused")), Verdict::Retry { .. }));
}

#[test]
fn digests_say_how_many_and_the_worst_first() {
    let (red, blue) = (message(Some(Level::Yellow), 1), message(Some(Level::Blue), 2));
    let messages = [&red, &blue];
    let digest = Letter { more: 40, ..letter(&messages, "G1") };
    assert_eq!(text::subject(&digest), "[黄 YELLOW] 42 条通知：变电站远动异常 1 等");
    assert!(text::plain(&digest).contains("另有 40 条"));
    assert!(text::html(&digest).contains("&lt;") || !text::html(&digest).contains("<b>"));
}

#[test]
fn local_time_and_quiet_hours() {
    assert_eq!(Zone::BEIJING.rfc3339(T), "2026-11-24T08:00:00+08:00");
    assert_eq!(Zone::parse("-03:30").map(|z| z.people(T)).as_deref(), Some("2026-11-23 20:30:00 -03:30"));
    assert_eq!((Zone::parse("8"), Zone::parse("+8:00"), Zone::parse("+15:00")), (None, None, None));
    let quiet = Quiet::parse("22:00-07:30").unwrap();
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let until = |rank, text: &str| quiet.not_before(rank, Zone::BEIJING, at(text));
    assert_eq!(until(1, "2026-11-24T23:15:20+08:00"), at("2026-11-25T07:30:00+08:00"));
    assert_eq!(until(2, "2026-11-24T07:29:59+08:00"), at("2026-11-24T07:30:00+08:00"));
    assert_eq!(until(2, "2026-11-24T07:30:00+08:00"), Timestamp::from_ns(0));
    assert_eq!(until(RED, "2026-11-24T23:15:20+08:00"), Timestamp::from_ns(0), "never red");
    assert_eq!(until(3, "2026-11-24T23:15:20+08:00"), Timestamp::from_ns(0), "nor orange");
    assert_eq!((Quiet::parse("7-9"), Quiet::parse("07:00-07:00"), Quiet::parse("25:00-07:00")), (None, None, None));
}

#[test]
fn every_kind_has_both_languages_and_sane_limits() {
    let words: BTreeSet<_> = CHANNELS.iter().map(|k| k.word).collect();
    assert_eq!(words.len(), CHANNELS.len());
    for kind in CHANNELS {
        assert!(!kind.about.is_empty() && !kind.about_zh.is_ascii() && kind.limits.reserve < kind.limits.most, "{}", kind.word);
    }
}

const ROBOT: Limits = Limits { window_s: 61, most: 20, reserve: 5, digest_max: 5_000, whole: false };

fn waiting(number: u64, rank: u8) -> Delivery {
    Delivery { number, id: format!("D{number}"), rank, target: String::new(), not_before: Timestamp::from_ns(0) }
}

#[test]
fn a_red_goes_first_in_a_storm_of_blues_and_the_robot_is_never_asked_too_often() {
    let mut queue = Queue::new(Patience::default());
    queue.configure(Patience::default(), [("robot".to_owned(), ROBOT)]);
    for n in 0..10_000 {
        assert!(queue.add("robot", waiting(n, 1)));
    }
    let mut now = T;
    let first = queue.next(now).unwrap();
    assert_eq!((first.members.len(), first.rank), (5_000, 1), "one digest for what cannot go alone");
    // While that request hangs, a red comes and goes.
    queue.add("robot", waiting(10_001, RED));
    let red = queue.next(now).unwrap();
    assert_eq!((red.rank, red.members.as_slice()), (RED, [10_001].as_slice()));
    assert!(matches!(queue.settle("robot", &red.key, &Verdict::Done, now, 0), Settled::Sent(_)));
    assert!(matches!(queue.settle("robot", &first.key, &Verdict::Done, now, 0), Settled::Sent(_)));
    let mut sent = 2;
    // A storm that goes on: blues one by one use 15 slots a window, reds what is left of 20.
    for n in 20_000..20_100 {
        queue.add("robot", waiting(n, 1));
        while let Some(parcel) = queue.next(now) {
            sent += 1;
            queue.settle("robot", &parcel.key, &Verdict::Done, now, 0);
        }
    }
    assert_eq!(sent, 15, "{sent}: blues stop at most - reserve");
    for n in 30_000..30_009 {
        queue.add("robot", waiting(n, RED));
    }
    let mut reds = 0;
    while let Some(parcel) = queue.next(now) {
        assert_eq!(parcel.rank, RED);
        reds += parcel.members.len();
        sent += 1;
        queue.settle("robot", &parcel.key, &Verdict::Done, now, 0);
    }
    assert!(sent <= 20 && reds == 9, "{sent} requests carried {reds} reds");
    now = queue.due(now).expect("blues wait for the window");
    assert_eq!(now, T.plus_secs(61));
    assert!(queue.next(now).is_some());
}

#[test]
fn where_nothing_is_lost_by_it_what_waits_goes_together_and_reds_by_themselves() {
    let mut queue = Queue::new(Patience::default());
    queue.configure(Patience::default(), [("siem".to_owned(), Limits::per_minute(6_000, 600).whole())]);
    for n in 0..500 {
        queue.add("siem", waiting(n, if n % 100 == 7 { RED } else { 1 }));
    }
    let mut sizes = Vec::new();
    while let Some(parcel) = queue.next(T) {
        sizes.push((parcel.rank, parcel.members.len()));
        queue.settle("siem", &parcel.key, &Verdict::Done, T, 0);
    }
    assert_eq!(sizes, [(RED, 5), (1, 200), (1, 200), (1, 95)]);
}

#[test]
fn a_named_time_silences_the_channel_and_attempts_end() {
    let patience = Patience { attempts_max: 3, first_s: 2, ceiling_s: 600, red_ceiling_s: 60 };
    let mut queue = Queue::new(patience);
    queue.configure(patience, [("c".to_owned(), Limits::per_minute(100, 10))]);
    queue.add("c", waiting(1, RED));
    let parcel = queue.next(T).unwrap();
    queue.settle("c", &parcel.key, &Verdict::retry_after(600, "often"), T, 0);
    queue.add("c", waiting(2, RED));
    assert_eq!((queue.next(T.plus_secs(599)), queue.due(T)), (None, Some(T.plus_secs(600))));
    let mut now = T.plus_secs(600);
    let again = queue.next(now).unwrap();
    assert_eq!((again.key.as_str(), again.attempts), (parcel.key.as_str(), 2));
    assert!(matches!(queue.settle("c", &again.key, &Verdict::retry("down"), now, u64::MAX), Settled::Failed { .. }));
    now = now.plus_secs(60);
    let last = queue.next(now).unwrap();
    assert_eq!((last.members.as_slice(), last.attempts), ([1].as_slice(), 3));
    assert!(matches!(queue.settle("c", &last.key, &Verdict::retry("down"), now, 0), Settled::Dead { .. }));
    assert_eq!(queue.held(), 1);
}

#[derive(Debug, Clone)]
enum Deed {
    Add { channel: u8, rank: u8, target: u8 },
    Next,
    Settle { which: usize, how: u8, chance: u64 },
    Pass(u16),
    Crash,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let one = prop_oneof![
        4 => (0u8..2, 0u8..5, 0u8..2).prop_map(|(channel, rank, target)| Deed::Add { channel, rank, target }),
        4 => Just(Deed::Next),
        4 => (any::<usize>(), 0u8..8, any::<u64>()).prop_map(|(which, how, chance)| Deed::Settle { which, how, chance }),
        2 => (0u16..200).prop_map(Deed::Pass),
        1 => Just(Deed::Crash),
    ];
    proptest::collection::vec(one, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Nothing is lost, nothing is given out after it was confirmed, limits hold in every window, red goes before the rest; crashes included.
    #[test]
    fn no_story_loses_or_doubles(story in deeds()) {
        let limits = Limits { window_s: 60, most: 6, reserve: 2, digest_max: 50, whole: false };
        let patience = Patience { attempts_max: 3, first_s: 2, ceiling_s: 600, red_ceiling_s: 60 };
        let fresh = || {
            let mut queue = Queue::new(patience);
            queue.configure(patience, ["c0".to_owned(), "c1".to_owned()].map(|c| (c, limits)));
            queue
        };
        let (mut queue, mut now, mut number) = (fresh(), T, 0u64);
        // What a store would know: every delivery, its parcel once it has one, its end.
        let mut rows: BTreeMap<u64, (String, Delivery)> = BTreeMap::new();
        let mut parcels: BTreeMap<String, crate::Parcel> = BTreeMap::new();
        let mut ended: BTreeSet<u64> = BTreeSet::new();
        let mut flying: Vec<crate::Parcel> = Vec::new();
        let mut attempts: Vec<(String, Timestamp, u8)> = Vec::new();
        let end = |queue: &mut Queue, parcel: &crate::Parcel, verdict: &Verdict, now, chance, parcels: &mut BTreeMap<String, crate::Parcel>, ended: &mut BTreeSet<u64>| {
            match queue.settle(&parcel.channel, &parcel.key, verdict, now, chance) {
                Settled::Sent(p) | Settled::Dead { parcel: p, .. } => {
                    parcels.remove(&p.key);
                    for m in p.members { assert!(ended.insert(m), "ended twice"); }
                }
                Settled::Failed { parcel: p, .. } => { parcels.insert(p.key.clone(), p); }
                Settled::Unknown => panic!("what is under way is known"),
            }
        };
        for deed in story {
            match deed {
                Deed::Add { channel, rank, target } => {
                    number += 1;
                    let delivery = Delivery { target: format!("t{target}"), ..waiting(number, rank) };
                    rows.insert(number, (format!("c{channel}"), delivery.clone()));
                    let taken = queue.add(&format!("c{channel}"), delivery);
                    prop_assert!(taken);
                }
                Deed::Next => if let Some(parcel) = queue.next(now) {
                    for m in &parcel.members { prop_assert!(!ended.contains(m), "given out after its end"); }
                    if let Some(before) = parcels.get(&parcel.key) { prop_assert_eq!(&before.members, &parcel.members); }
                    prop_assert!(!flying.iter().any(|f| f.channel == parcel.channel && (f.rank == RED) == (parcel.rank == RED)));
                    let recent: Vec<_> = attempts.iter().filter(|(c, t, _)| *c == parcel.channel && now.since(*t) < 60 * event::SECOND_NS).collect();
                    prop_assert!(recent.len() < if parcel.rank == RED { 6 } else { 4 }, "limits");
                    if parcel.rank != RED && !flying.iter().any(|f| f.channel == parcel.channel && f.rank == RED) {
                        let packed: BTreeSet<u64> = parcels.values().flat_map(|p| p.members.clone()).collect();
                        prop_assert!(!rows.iter().any(|(n, (c, d))| *c == parcel.channel && d.rank == RED && !ended.contains(n) && !packed.contains(n)), "a new red waits");
                    }
                    attempts.push((parcel.channel.clone(), now, parcel.rank));
                    parcels.insert(parcel.key.clone(), parcel.clone());
                    flying.push(parcel);
                },
                Deed::Settle { which, how, chance } => if !flying.is_empty() {
                    let parcel = flying.swap_remove(which % flying.len());
                    let verdict = match how { 0..=3 => Verdict::Done, 4 | 5 => Verdict::retry("x"), 6 => Verdict::retry_after(90, "x"), _ => Verdict::reject("x") };
                    end(&mut queue, &parcel, &verdict, now, chance, &mut parcels, &mut ended);
                },
                Deed::Pass(s) => now = now.plus_secs(i64::from(s)),
                Deed::Crash => {
                    queue = fresh();
                    flying.clear();
                    let packed: BTreeSet<u64> = parcels.values().flat_map(|p| p.members.clone()).collect();
                    for parcel in parcels.values() { queue.restore(parcel.clone()); }
                    for (n, (c, d)) in rows.iter().filter(|(n, _)| !ended.contains(n) && !packed.contains(n)) { let _ = n; queue.add(c, d.clone()); }
                    for (c, t, _) in &attempts { queue.remember(c, *t); }
                }
            }
        }
        prop_assert_eq!(queue.held(), rows.len() - ended.len(), "conservation");
        // Given time and a peer that answers, everything ends.
        for parcel in std::mem::take(&mut flying) { end(&mut queue, &parcel, &Verdict::Done, now, 0, &mut parcels, &mut ended); }
        while ended.len() < rows.len() {
            match queue.next(now) {
                Some(parcel) => end(&mut queue, &parcel, &Verdict::Done, now, 0, &mut parcels, &mut ended),
                None => {
                    let due = queue.due(now);
                    prop_assert!(due.is_some_and(|d| d > now), "stuck at {:?}: {:?}", now, due);
                    now = due.unwrap();
                }
            }
        }
    }

    /// Answers are anybody's bytes.
    #[test]
    fn answers_never_break_a_channel(status in 0u16..1000, body in proptest::collection::vec(any::<u8>(), 0..200), after in ".{0,20}") {
        for section in ["kind = 'wecom'\nurl_file = '/url'", "kind = 'dingtalk'\nurl_file = '/url'", "kind = 'feishu'\nurl_file = '/url'", "kind = 'webhook'\nurl = 'https://h.example/'"] {
            let channel = made(&format!("name = 'x'\n{section}"));
            let _ = channel.channel.classify(&Answer::Http { status, retry_after: Some(&after), body: &body });
        }
    }
}
