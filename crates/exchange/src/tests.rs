//! Outputs are checked against the published schemas in `tests/desk/exchange.rs`; here is what schemas do not say.

use std::collections::{BTreeMap, BTreeSet};

use event::Timestamp;
use matter::notice::{Certainty, Indicator, Notice, Step};
use matter::{Both, Pap, Revision, Tlp};
use proptest::prelude::*;
use serde_json::{Value, json};
use warning::grade::{Case, Level, Weakness};

use crate::stix::check;
use crate::taxii::{Answer, Bounds, Collection, Fault, Next, Pull, Record, Request, Shelf, serve};
use crate::weakness::Weaknesses;
use crate::{Format, Sender, Told, csv};

const T: Timestamp = Timestamp::from_secs(1_795_435_200);

fn revision(number: u32, step: Step) -> Revision {
    let both = |zh: &str, en: &str| Both::new(zh, en);
    let indicator = |kind: &str, value: &str| Indicator { r#type: kind.into(), value: value.into() };
    let mut revision = Revision {
        warning: "W0123456789abcdef".into(),
        number,
        step,
        level: Some(Level::Orange),
        notice: Notice {
            title: both("勒索软件 <攻击> & 扩散", "Ransomware <attack> & spread"),
            category: "01007".into(),
            event: both("多家单位遭加密", "several units encrypted"),
            threat: both("口令爆破后横向移动", "brute force, then lateral movement"),
            scope: both("金融行业", "finance"),
            impact: both("核心业务中断", "core business stops"),
            measures: vec![both("断开远程桌面", "close remote desktop"), both("核对备份", "check backups")],
            indicators: vec![
                indicator("ipv4-addr", "203.0.113.9"),
                indicator("domain-name", "evil.example"),
                indicator("url", "http://evil.example/a?b='c'"),
                indicator("file:hashes.SHA-256", &"ab".repeat(32)),
                indicator("bitcoin", "1abc"),
            ],
            techniques: vec!["T1486".into(), "T1021.001".into()],
        },
        certainty: Certainty::Likely,
        issuer: both("某市网络安全中心", "City Cyber Centre"),
        drafted_by: "lin".into(),
        approved_by: Some("wang".into()),
        issued: T.plus_secs(i64::from(number) * 3600),
        review: T.plus_secs(86_400),
        expires: T.plus_secs(7 * 86_400),
        receipt_s: 1_800,
        feedback_s: 14_400,
        units: vec!["u-bank".into(), "u-grid".into()],
        sectors: vec!["finance".into()],
        tlp: Tlp::Amber,
        pap: Pap::Amber,
        reasons: vec![],
        disclosed: None,
        exercise: false,
        previous: String::new(),
        hash: String::new(),
        key: "k".into(),
        signature: "s".into(),
    };
    revision.hash = crate::hex(&revision.hash_now());
    revision
}

fn written(revision: &Revision, earlier: &[(u32, Timestamp)], format: Format) -> String {
    let sender = Sender { name: "desk.city.example".into(), ..Sender::default() };
    format.write(&Told { revision, earlier, sender: &sender })
}

#[test]
fn a_cap_alert_names_what_it_follows_and_how_it_ends() {
    let earlier = [(1, T), (2, T.plus_secs(60))];
    let first = written(&revision(1, Step::Issue), &[], Format::Cap);
    for part in [
        "<msgType>Alert</msgType>",
        "<status>Actual</status>",
        "<severity>Severe</severity>",
        "<value>01007</value>",
        "+08:00</sent>",
        "&lt;attack&gt; &amp;",
        "<addresses>u-bank u-grid</addresses>",
        "<valueName>deadline-ack</valueName>",
        "<valueName>revision-hash</valueName>",
    ] {
        assert!(first.contains(part), "{part}\n{first}");
    }
    assert!(!first.contains("<references>") && !first.contains("Z</"), "{first}");
    let lift = written(&revision(3, Step::Lift), &earlier, Format::Cap);
    assert!(lift.contains("<msgType>Cancel</msgType>") && lift.contains("<responseType>AllClear</responseType>"), "{lift}");
    assert_eq!(lift.matches("desk.city.example,W0123456789abcdef-").count(), 2, "{lift}");
    let update = written(&revision(2, Step::Upgrade), &earlier[..1], Format::Cap);
    assert!(
        update.contains("<msgType>Update</msgType>") && update.contains("<references>desk.city.example,W0123456789abcdef-1,"),
        "{update}"
    );
    let drill = written(&Revision { exercise: true, ..revision(1, Step::Issue) }, &[], Format::Cap);
    assert!(drill.contains("<status>Exercise</status>") && drill.contains("【演练】") && drill.contains("EXERCISE: "), "{drill}");
    assert!(!drill.contains("revision-hash"), "what is not what was signed carries no signature");
}

#[test]
fn a_later_revision_is_a_later_version_of_the_same_objects() {
    let ids = |text: &str| -> BTreeSet<String> {
        let bundle: Value = serde_json::from_str(text).unwrap();
        assert_eq!(check::check(text).faults, []);
        bundle["objects"].as_array().unwrap().iter().map(|o| o["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = written(&revision(1, Step::Issue), &[], Format::Stix);
    let second = written(&revision(2, Step::Upgrade), &[(1, T.plus_secs(3600))], Format::Stix);
    assert_eq!(ids(&first), ids(&second));
    let withdrawn: Value = serde_json::from_str(&written(&revision(3, Step::Cancel), &[(1, T.plus_secs(3600))], Format::Stix)).unwrap();
    let of = |kind: &str| withdrawn["objects"].as_array().unwrap().iter().find(|o| o["type"] == kind).unwrap().clone();
    assert_eq!((&of("report")["revoked"], &of("indicator")["revoked"]), (&json!(true), &json!(true)));
    assert!(of("identity")["revoked"].is_null(), "the issuer is still there");
    assert_eq!(of("report")["created"], "2026-11-23T13:00:00.000Z");
}

#[test]
fn what_is_told_is_read_back_by_our_own_readers() {
    let revision = revision(1, Step::Issue);
    for (format, expected) in [(Format::Stix, 4), (Format::Csv, 4), (Format::Misp, 4)] {
        let mut taken = 0;
        let text = written(&revision, &[], format);
        let reading = indicator::read(text.as_bytes(), &indicator::ReadOptions::default(), &mut |_| taken += 1);
        assert_eq!(taken, expected, "{}: {:?}", format.name(), reading.problems);
    }
    assert!(written(&revision, &[], Format::Csv).starts_with(csv::COLUMNS));
}

#[test]
fn the_same_revision_gives_the_same_bytes_in_every_form() {
    for format in Format::ALL {
        let (a, b) = (written(&revision(2, Step::Update), &[(1, T)], format), written(&revision(2, Step::Update), &[(1, T)], format));
        assert_eq!(a, b);
        assert_eq!(Format::from_name(format.name()), Some(format));
    }
}

struct Shown(Vec<Record>);
impl Shelf for Shown {
    fn title(&self) -> String {
        "desk".into()
    }
    fn collections(&self) -> Vec<Collection> {
        let (id, alias) = ("11111111-1111-5111-8111-111111111111".to_owned(), "unit-a".to_owned());
        vec![Collection { id, alias, title: "A".into(), description: String::new() }]
    }
    fn records(&self, _: &str) -> Vec<Record> {
        self.0.clone()
    }
}

fn shown(count: usize) -> Shown {
    let record = |n: usize| {
        let (id, version) = (n / 2, n % 2);
        let kind = if id % 3 == 0 { "report" } else { "indicator" };
        Record {
            // Many at the same moment.
            added: T.plus_secs((n / 5) as i64),
            object: json!({ "type": kind, "spec_version": "2.1", "id": format!("{kind}--{id:08}-1111-4111-8111-111111111111"),
                "created": "2026-01-01T00:00:00.000Z", "modified": format!("2026-01-0{}T00:00:00.000Z", version + 1) }),
        }
    };
    Shown((0..count).map(record).collect())
}

fn get(shelf: &Shown, path: &str, query: &str) -> Answer {
    serve(&Request { method: "GET", path, query, accept: Some(crate::taxii::MEDIA_TYPE) }, shelf)
}

#[test]
fn a_taxii_server_answers_what_is_asked_and_nothing_else() {
    let shelf = shown(20);
    let objects = "desk/collections/unit-a/objects/";
    for (method, path, query, accept, status) in [
        ("GET", "", "", None, 200),
        ("GET", "desk/", "", Some("*/*"), 200),
        ("GET", "desk/collections/", "", Some("application/taxii+json;version=2.1"), 200),
        ("GET", "desk/collections/unit-a/", "", Some("application/taxii+json; version=2.1"), 200),
        ("GET", "desk/collections/unit-a", "", Some("application/taxii+json"), 200),
        ("GET", "desk/collections/unit-b/", "", None, 404),
        ("GET", "desk/collections/unit-b/objects/", "", None, 404),
        ("GET", "other/", "", None, 404),
        ("GET", "desk/status/1/", "", None, 404),
        ("GET", objects, "", Some("application/taxii+json;version=2.0"), 406),
        ("GET", objects, "", Some("text/html"), 406),
        ("POST", objects, "", None, 403),
        ("POST", "desk/collections/unit-b/objects/", "", None, 404),
        ("POST", "desk/collections/", "", None, 405),
        ("DELETE", "desk/collections/unit-a/objects/report--x/", "", None, 403),
        ("GET", objects, "limit=0", None, 400),
        ("GET", objects, "limit=-1", None, 400),
        ("GET", objects, "added_after=yesterday", None, 400),
        ("GET", objects, "next=!!", None, 400),
        ("GET", objects, "match%5Btype%5D=indicator", None, 200),
        ("GET", objects, "match[colour]=red", None, 400),
        ("GET", "desk/collections/unit-a/objects/report--none/", "", None, 404),
        ("GET", "desk/collections/unit-a/manifest/", "match[version]=all", None, 200),
    ] {
        let answer = serve(&Request { method, path, query, accept }, &shelf);
        assert_eq!(answer.status, status, "{method} {path}?{query} {accept:?}: {}", answer.body);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["http_status"].as_str().is_some(), status >= 400, "{body}");
    }
    assert_eq!(
        get(&shelf, "desk/collections/x/", "").body,
        get(&shelf, "desk/collections/y/objects/", "").body,
        "what is not there looks the same"
    );
    let count = |query: &str| {
        let body: Value = serde_json::from_str(&get(&shelf, objects, query).body).unwrap();
        body["objects"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((count(""), count("match[version]=all"), count("match[version]=first"), count("match[type]=report")), (10, 20, 10, 4));
    assert_eq!(count("added_after=2026-11-23T12:00:01Z&match[version]=all"), 10);
    assert_eq!(count("match[id]=report--00000000-1111-4111-8111-111111111111&match[version]=all"), 2);
    assert_eq!(count("match[version]=2026-01-01T00:00:00.000Z"), 10);
    let versions: Value = serde_json::from_str(
        &get(&shelf, "desk/collections/unit-a/objects/report--00000000-1111-4111-8111-111111111111/versions/", "").body,
    )
    .unwrap();
    assert_eq!(versions["versions"], json!(["2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"]));
}

/// Sends what the client asks to the server until it is done.
fn pulled(shelf: &Shown, page: u32) -> Result<Pull, Fault> {
    let mut pull = Pull::new("https://other.example/taxii2/desk/", "unit-a", None, Bounds { page, ..Bounds::default() });
    loop {
        let url = pull.request();
        let (path, query) = url.strip_prefix("https://other.example/taxii2/").unwrap().split_once('?').unwrap();
        let answer = get(shelf, path, query);
        let last = answer.headers.iter().find(|(n, _)| *n == "x-taxii-date-added-last").map(|(_, v)| v.as_str());
        match pull.answer(answer.status, crate::taxii::MEDIA_TYPE, None, last, answer.body.as_bytes())? {
            Next::Ask => {}
            Next::Done => return Ok(pull),
            Next::Wait(_) => unreachable!("this server is never busy"),
        }
    }
}

proptest! {
    #[test]
    fn pages_hold_everything_once_whatever_their_size(count in 0usize..120, page in 1u32..40) {
        let shelf = shown(count);
        let pull = pulled(&shelf, page).unwrap();
        let bundle: Value = serde_json::from_str(&pull.bundle()).unwrap();
        let mut seen = BTreeMap::new();
        for object in bundle["objects"].as_array().unwrap() {
            *seen.entry(object["id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        prop_assert_eq!(seen.len(), count.div_ceil(2));
        prop_assert!(seen.values().all(|n| *n == 1));
    }

    #[test]
    fn no_bytes_stop_a_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,200}") {
        let _ = Weaknesses::default().read(&bytes);
        let _ = Weaknesses::default().read(format!("cve,epss,percentile\n{text}").as_bytes());
        let _ = Weaknesses::default().read(format!("cveID,dueDate\n{text}").as_bytes());
        let _ = check::check(&text);
        let _ = get(&shown(4), &text, &text);
        let mut pull = Pull::new(&text, &text, None, Bounds::default());
        let _ = pull.answer(200, crate::taxii::MEDIA_TYPE, None, None, &bytes);
    }
}

#[test]
fn a_client_ends_whatever_the_server_does() {
    let begin = || Pull::new("http://h/r", "c", None, Bounds { waits_max: 2, objects_max: 3, ..Bounds::default() });
    let say = |pull: &mut Pull, status: u16, body: &str| pull.answer(status, crate::taxii::MEDIA_TYPE, Some("7"), None, body.as_bytes());
    let mut circle = begin();
    assert_eq!(say(&mut circle, 200, r#"{"more":true,"next":"a"}"#), Ok(Next::Ask));
    assert_eq!(say(&mut circle, 200, r#"{"more":true,"next":"a"}"#), Err(Fault::Circle));
    // The same word for every page, as medallion has it: further only while the pages differ.
    let mut alike = begin();
    assert_eq!(say(&mut alike, 200, r#"{"more":true,"next":"a","objects":[{"n":1}]}"#), Ok(Next::Ask));
    assert_eq!(say(&mut alike, 200, r#"{"more":true,"next":"a","objects":[{"n":2}]}"#), Ok(Next::Ask));
    assert_eq!(say(&mut alike, 200, r#"{"more":true,"next":"a","objects":[{"n":2}]}"#), Err(Fault::Circle));
    let mut busy = begin();
    assert_eq!((say(&mut busy, 429, ""), say(&mut busy, 503, "")), (Ok(Next::Wait(7)), Ok(Next::Wait(7))));
    assert_eq!(say(&mut busy, 503, ""), Err(Fault::Patience(3)));
    assert_eq!(say(&mut begin(), 401, ""), Err(Fault::Denied(401)));
    assert_eq!(say(&mut begin(), 404, ""), Err(Fault::Missing));
    assert_eq!(say(&mut begin(), 200, r#"{"more":true}"#), Err(Fault::NoNext));
    assert_eq!(say(&mut begin(), 200, r#"{"objects":[1,2,3,4]}"#), Err(Fault::TooMuch(3, "objects")));
    assert!(matches!(say(&mut begin(), 200, "<html>"), Err(Fault::Envelope(_))));
    assert!(matches!(begin().answer(200, "text/html", None, None, b""), Err(Fault::MediaType(_))));
}

#[test]
fn exploited_flaws_reach_a_case() {
    let mut flaws = Weaknesses::default();
    let kev = r#"{"catalogVersion":"v","count":2,"vulnerabilities":[
        {"cveID":"CVE-2024-3400","dueDate":"2024-04-19","knownRansomwareCampaignUse":"Known"},{"cveID":"nonsense"}]}"#;
    let read = flaws.read(kev.as_bytes()).unwrap();
    assert_eq!((read.kind, read.taken, read.refused), ("kev", 1, 1));
    let epss = "#model_version:v2025.03.14,score_date:2026-11-22T00:00:00+0000\ncve,epss,percentile\nCVE-2024-3400,0.94361,0.99\nCVE-1999-0001,0.01,0.7\nCVE-1999-0002,7,1\n";
    let read = flaws.read(epss.as_bytes()).unwrap();
    assert_eq!((read.kind, read.taken, read.problems.as_slice()), ("epss", 2, &[(5, "epss is no number from 0 to 1".to_owned())][..]));
    assert_eq!((flaws.len(), flaws.exploited()), (2, 1));
    let flaw = flaws.get("cve-2024-3400").unwrap();
    assert!(flaw.kev && flaw.ransomware && flaw.due == 20_240_419 && flaw.epss > 0.9);
    let weakness = |id: &str| Weakness { id: id.into(), object: "o".into(), reachable: true, kev: false, epss: 0.0 };
    let mut case = Case { weakness: vec![weakness("CVE-2024-3400"), weakness("CVE-2030-0001")], ..Case::default() };
    flaws.fill(&mut case);
    assert!(case.weakness[0].kev && case.weakness[0].epss > 0.9 && !case.weakness[1].kev);
    // A newer file of one kind replaces the older and leaves the other kind.
    flaws.read(br#"{"vulnerabilities":[{"cveID":"CVE-2025-0001"}]}"#).unwrap();
    assert!(
        !flaws.get("CVE-2024-3400").unwrap().kev
            && flaws.get("CVE-2024-3400").unwrap().epss > 0.9
            && flaws.get("CVE-2025-0001").unwrap().kev
    );
    for bad in ["", "hello", "{}", "{\"vulnerabilities\":[]}", "cve,epss,percentile\n"] {
        assert!(Weaknesses::default().read(bad.as_bytes()).is_err(), "{bad}");
    }
}
