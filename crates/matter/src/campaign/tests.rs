//! From alerts to groups, from groups to a recommended warning.

use std::collections::BTreeMap;

use event::Timestamp;
use warning::grade::Level;
use warning::{Alert, AlertId, AlertState, CloseReason, UnitRef};

use super::*;
use crate::register::{Asset, Object, Unit};
use crate::shelf::Memory;
use crate::tests::book;
use crate::{Actor, Book, Order, Role, Shelf, carry_out, lapse};

pub(crate) const T: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Six units of five sectors; each has a network and one declared object on its first hosts.
pub(crate) fn city() -> Book {
    let mut book = book();
    for (n, (id, sector, mlps, cii)) in [
        ("bank", "finance", Some(4), true),
        ("telco", "telecom", Some(3), true),
        ("grid", "power", Some(4), true),
        ("clinic", "health", Some(3), false),
        ("shop", "other", Some(2), false),
        ("metro", "transport", Some(3), false),
    ]
    .into_iter()
    .enumerate()
    {
        let net = |last: &str| format!("10.{}.{last}", n + 1);
        book.units.insert(
            id.into(),
            Unit { id: id.into(), name: id.to_uppercase(), sector: sector.into(), networks: vec![net("0.0/16")], ..Unit::default() },
        );
        let object = format!("{id}-core");
        book.objects
            .insert(object.clone(), Object { id: object.clone(), unit: id.into(), name: object.clone(), mlps, cii, ..Object::default() });
        let asset = Asset {
            id: format!("{id}-app"),
            unit: id.into(),
            object,
            hostname: Some(format!("{id}-app01")),
            networks: vec![net("1.0/24")],
            ..Asset::default()
        };
        book.assets.insert(asset.id.clone(), asset);
    }
    book
}

pub(crate) fn alert(id: &str, rule: &str, severity: u8, tactic: &str, technique: &str) -> Alert {
    Alert {
        id: AlertId(id.into()),
        rule_id: rule.into(),
        title: format!("rule {rule}"),
        title_zh: format!("规则 {rule}"),
        description: String::new(),
        severity_id: severity,
        state: AlertState::New,
        owner: None,
        close_reason: None,
        first_time: T.ns(),
        last_time: T.ns(),
        opened_time: T.ns(),
        updated_time: T.ns(),
        finding_count: 1,
        event_count: 1,
        techniques: vec![technique.into()],
        tactics: vec![tactic.into()],
        flaws: Vec::new(),
        source_ips: vec![],
        target_ips: vec![],
        users: vec![],
        hosts: vec![],
        units: vec![],
        reasons: vec![],
        evidence: vec![],
        group_key: BTreeMap::new(),
        revision: 1,
    }
}

pub(crate) fn at(mut alert: Alert, unit: &str, from: &str) -> Alert {
    alert.hosts.push(format!("{unit}-app01"));
    alert.units.push(UnitRef { id: unit.into(), name: unit.into(), sector: String::new() });
    if !from.is_empty() {
        alert.source_ips.push(from.into());
    }
    alert
}

/// Alerts to campaigns, with the memory the store keeps.
#[derive(Default)]
pub(crate) struct Play {
    pub shelf: Memory,
    pub placed: BTreeMap<String, String>,
}

impl Play {
    pub fn take(&mut self, book: &Book, now: Timestamp, alerts: &[Alert]) -> Followed {
        let news: Vec<News> =
            alerts.iter().map(|alert| News { alert, placed: self.placed.get(&alert.id.0).cloned(), drill: None }).collect();
        let done = follow(&self.shelf, book, now, &news).unwrap();
        self.placed.extend(done.placed.clone());
        done
    }
    pub fn campaigns(&self) -> Vec<Campaign> {
        self.shelf.all("campaign").into_iter().map(|(_, body)| serde_json::from_value(body).unwrap()).collect()
    }
    pub fn of(&self, alert: &str) -> Campaign {
        let id = &self.placed[alert];
        self.campaigns().into_iter().find(|c| c.id == *id).unwrap()
    }
    pub fn open(&self) -> usize {
        self.campaigns().iter().filter(|c| c.state == State::Open).count()
    }
}

#[test]
fn silent_and_blind_watchers_alone_recommend_nothing_above_blue() {
    let book = city();
    let rules = &book.tables.desk.campaign.watchers;
    assert!(rules.len() >= 5, "{rules:?}");
    let mut quiet = Play::default();
    for (n, rule) in rules.iter().enumerate() {
        for unit in ["bank", "telco", "grid"] {
            quiet.take(&book, T, &[at(alert(&format!("{unit}{n}"), rule, 5, "impact", "T1562.001"), unit, "")]);
        }
    }
    let highest = quiet.campaigns().into_iter().filter_map(|c| c.recommended?.level).max();
    assert!(highest <= Some(Level::Blue), "{highest:?}");
    // The same of a rule that says somebody did it.
    let mut hit = Play::default();
    let alerts = ["bank", "telco", "grid"].map(|unit| at(alert(unit, "audit_stopped", 5, "impact", "T1562.001"), unit, ""));
    hit.take(&book, T, &alerts);
    assert!(level(&hit, "grid") > Some(Level::Yellow));
}

fn level(play: &Play, alert: &str) -> Option<Level> {
    play.of(alert).recommended.and_then(|r| r.level)
}

#[test]
fn the_golden_cases_from_alerts() {
    let book = city();
    type Row = (&'static str, Vec<Alert>, Option<Level>);
    let rows: Vec<Row> = vec![
        (
            "scan of many units, blocked",
            ["bank", "telco", "grid", "clinic", "shop"]
                .into_iter()
                .enumerate()
                .map(|(n, u)| at(alert(&format!("A{n}"), "scan", 3, "reconnaissance", "T1595.001"), u, "203.0.113.9"))
                .collect(),
            None,
        ),
        (
            "ordinary web server, web shell",
            vec![at(alert("A0", "webshell", 4, "persistence", "T1505.003"), "shop", "203.0.113.9")],
            Some(Level::Blue),
        ),
        (
            "important clinic, lateral movement",
            vec![at(alert("A0", "psexec", 4, "lateral-movement", "T1021.002"), "clinic", "10.4.9.9")],
            Some(Level::Yellow),
        ),
        (
            "CII bank, beacon; the same at a telecom within a day",
            vec![
                beacon(at(alert("A0", "c2", 4, "command-and-control", "T1071.001"), "bank", "10.1.1.5")),
                beacon(at(alert("A1", "c2", 4, "command-and-control", "T1071.001"), "telco", "10.2.1.5")),
            ],
            Some(Level::Orange),
        ),
        (
            "important clinic, ransomware, two rules",
            vec![
                at(alert("A0", "crypt", 5, "impact", "T1486"), "clinic", ""),
                at(alert("A1", "notes", 4, "impact", "T1486"), "clinic", ""),
            ],
            Some(Level::Orange),
        ),
        (
            "CII substation, write commands, one source",
            vec![at(alert("A0", "write", 5, "impair-process-control", "T0855"), "grid", "10.3.1.77")],
            Some(Level::Yellow),
        ),
        (
            "CII substation, two rules see it",
            vec![
                at(alert("A0", "write", 5, "impair-process-control", "T0855"), "grid", "10.3.1.77"),
                at(alert("A1", "range", 5, "impair-process-control", "T0836"), "grid", "10.3.1.77"),
            ],
            Some(Level::Red),
        ),
        (
            "a public resolver",
            vec![resolver(at(alert("A0", "indicator", 4, "command-and-control", "T1071.004"), "bank", "10.1.1.5"))],
            None,
        ),
        ("an unknown host of a unit", vec![unknown(alert("A0", "c2", 4, "command-and-control", "T1071"))], Some(Level::Yellow)),
    ];
    println!("{:<60} {:>8}  units", "case", "level");
    for (what, alerts, want) in rows {
        let mut play = Play::default();
        for (n, one) in alerts.iter().enumerate() {
            play.take(&book, T.plus_secs(n as i64 * 60), std::slice::from_ref(one));
        }
        let last = alerts.last().unwrap().id.0.clone();
        let said = play.of(&last);
        println!("{what:<60} {:>8}  {}", want.map_or("none", Level::name), said.units.len());
        assert_eq!(level(&play, &last), want, "{what}: {:#?}", said.recommended);
    }
}

fn beacon(mut a: Alert) -> Alert {
    a.target_ips = vec!["198.51.100.7".into()];
    a
}

fn resolver(mut a: Alert) -> Alert {
    a.target_ips = vec!["8.8.8.8".into()];
    a.group_key.insert("threat.indicator.value".into(), "8.8.8.8".into());
    a
}

fn unknown(mut a: Alert) -> Alert {
    a.hosts = vec!["nobody-knows".into()];
    a.units = vec![UnitRef { id: "shop".into(), name: "SHOP".into(), sector: "other".into() }];
    a
}

#[test]
fn a_persons_word_confirms_and_dismisses() {
    let book = city();
    let mut play = Play::default();
    let one = at(alert("A0", "write", 5, "impair-process-control", "T0855"), "grid", "10.3.1.77");
    play.take(&book, T, std::slice::from_ref(&one));
    assert_eq!(level(&play, "A0"), Some(Level::Yellow), "one source alone");
    let escalated = Alert { state: AlertState::Escalated, revision: 2, ..one.clone() };
    play.take(&book, T.plus_secs(60), &[escalated]);
    assert_eq!(level(&play, "A0"), Some(Level::Red), "a person says it is so");
    let false_one = Alert { state: AlertState::Closed, close_reason: Some(CloseReason::FalsePositive), revision: 3, ..one };
    play.take(&book, T.plus_secs(120), &[false_one]);
    assert_eq!(level(&play, "A0"), None, "dismissed: evidence of nothing");
    assert_eq!((play.of("A0").alerts, play.of("A0").members.len()), (1, 1));
}

#[test]
fn several_techniques_of_one_source_are_one_case() {
    let book = city();
    let mut play = Play::default();
    play.take(&book, T, &[at(alert("A0", "shell", 4, "persistence", "T1505.003"), "clinic", "203.0.113.9")]);
    play.take(&book, T.plus_secs(60), &[at(alert("A1", "wipe", 5, "impact", "T1485"), "clinic", "203.0.113.9")]);
    assert_ne!(play.placed["A0"], play.placed["A1"]);
    assert_eq!(level(&play, "A1"), Some(Level::Orange), "two rules saw it: {:#?}", play.of("A1").recommended);
}

#[test]
fn unrelated_trifles_in_a_wide_group_are_no_spread() {
    let mut book = city();
    let desk = std::sync::Arc::make_mut(&mut book.tables);
    (desk.desk.campaign.fine_max, desk.desk.campaign.kept_free, desk.desk.campaign.coarse_max) = (1, 0, 1);
    let mut play = Play::default();
    for (n, unit) in ["clinic", "shop", "metro", "telco"].into_iter().enumerate() {
        play.take(
            &book,
            T.plus_secs(n as i64),
            &[at(alert(&format!("A{n}"), &format!("r{n}"), 4, "execution", "T1059"), unit, &format!("203.0.113.{n}"))],
        );
    }
    let wide = play.of("A3");
    assert_eq!((wide.group.width, wide.units.len()), (Width::Coarse, 3));
    assert_eq!(wide.recommended.as_ref().map(|r| (r.damage, r.units)), Some((1, 1)), "each source is a case of its own");
}

#[test]
fn a_quiet_group_closes_and_what_comes_later_opens_another() {
    let book = city();
    let mut play = Play::default();
    play.take(&book, T, &[at(alert("A0", "shell", 4, "persistence", "T1505"), "shop", "203.0.113.9")]);
    let first = play.placed["A0"].clone();
    let mut now = T;
    while play.of("A0").state == State::Open {
        let due = play.shelf.due(Timestamp::MAX, 10).unwrap();
        assert_eq!(due.iter().filter(|(kind, _)| kind == "campaign").count(), 1);
        now = play.of("A0").next_look;
        lapse(&play.shelf, &book, now, "campaign", &first).unwrap();
    }
    assert_eq!(now.since(T), 24 * 3600 * event::SECOND_NS);
    assert_eq!(play.of("A0").recommended.and_then(|r| r.level), None, "what is older than the window counts no more");
    play.take(&book, now.plus_secs(5), &[at(alert("A1", "shell", 4, "persistence", "T1505"), "shop", "203.0.113.9")]);
    assert_ne!(play.placed["A1"], first);
}

const TACTICS: [(&str, &str); 17] = [
    ("reconnaissance", "T1595"),
    ("initial-access", "T1190"),
    ("execution", "T1059"),
    ("persistence", "T1543"),
    ("privilege-escalation", "T1068"),
    ("stealth", "T1070"),
    ("defense-impairment", "T1685"),
    ("credential-access", "T1110"),
    ("discovery", "T1046"),
    ("lateral-movement", "T1021"),
    ("collection", "T1119"),
    ("command-and-control", "T1071"),
    ("exfiltration", "T1048"),
    ("impact", "T1499"),
    ("impair-process-control", "T0855"),
    ("inhibit-response-function", "T0814"),
    ("mischief", "T9999"),
];

/// Many rules, techniques, sources, indicators and hosts, of units that somebody wants to hide behind.
fn storm(units: &[&str], severities: &[u8]) -> Vec<Alert> {
    (0..10_000_usize)
        .map(|n| {
            let (tactic, technique) = TACTICS[n % TACTICS.len()];
            let technique = format!("{technique}.{:03}", n % 97);
            let from = format!("{}.{}.{}.{}", 20 + n % 150, n % 251, (n / 7) % 251, n % 253);
            let one = alert(&format!("A{n:05}"), &format!("rule-{}", n % 400), severities[n % severities.len()], tactic, &technique);
            let mut one = at(one, units[n % units.len()], &from);
            if n % 3 == 0 {
                one.group_key.insert("threat.indicator.value".into(), format!("bad-{n}.example"));
            }
            one
        })
        .collect()
}

#[test]
fn ten_thousand_alerts_in_a_minute_stay_under_fifty_groups() {
    let book = city();
    for (what, storm, width) in [
        ("about ordinary objects", storm(&["clinic", "shop", "metro"], &[2, 3, 4]), Width::Fine),
        (
            "critical, and about critical infrastructure too",
            storm(&["bank", "telco", "grid", "clinic", "shop", "metro"], &[2, 3, 4, 5]),
            Width::Tactic,
        ),
    ] {
        let mut play = Play::default();
        let mut most = 0;
        for (n, batch) in storm.chunks(5_000).enumerate() {
            // What the desk is there for comes in the middle of it.
            if n == 1 {
                play.take(&book, T.plus_secs(30), &[at(alert("REAL", "write", 5, "impair-process-control", "T0836"), "grid", "10.3.1.77")]);
            }
            play.take(&book, T.plus_secs(n as i64 * 30), batch);
            most = most.max(play.open());
        }
        let campaigns = play.campaigns();
        let alerts: u64 = campaigns.iter().map(|c| c.alerts).sum();
        let bytes = campaigns.iter().map(|c| serde_json::to_string(c).unwrap().len()).max().unwrap();
        println!("10000 alerts in a minute, {what}: {most} open groups, {alerts} alerts counted, largest group {bytes} bytes");
        assert!(most < 50, "{most}");
        assert_eq!(alerts, 10_001, "none lost, none twice");
        assert_eq!(play.of("REAL").group.width, width, "places are kept for what counts, as long as there are any");
        assert!(level(&play, "REAL") >= Some(Level::Yellow), "and it is graded wherever it lies");
        assert!(bytes < 512 * 1024, "{bytes}");
    }
}

#[test]
fn the_same_alerts_give_the_same_bytes() {
    let book = city();
    let run = || {
        let mut play = Play::default();
        for n in 0..40_i64 {
            let one = at(
                alert(&format!("A{}", n % 13), "r", 3 + (n % 3) as u8, "execution", "T1059"),
                ["bank", "grid"][n as usize % 2],
                "203.0.113.9",
            );
            play.take(&book, T.plus_secs(n), &[Alert { revision: n as u64 + 1, ..one }]);
        }
        (serde_json::to_string(&play.campaigns()).unwrap(), play.shelf.entries().len())
    };
    assert_eq!(run(), run());
    assert_eq!(run().0.matches("\"alerts\":13").count(), 1, "thirteen alerts, many states of each");
}

#[test]
fn a_draft_names_no_victim() {
    let book = city();
    let mut play = Play::default();
    play.take(&book, T, &[beacon(at(alert("A0", "c2", 4, "command-and-control", "T1071.001"), "bank", "10.1.1.5"))]);
    let campaign = play.of("A0");
    let text = serde_json::to_string(&notice(&campaign, &warning::grade::Case::default(), &book)).unwrap();
    for secret in ["bank", "BANK", "10.1.1.5", "finance", "金融", "app01"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(text.contains("198.51.100.7") && text.contains("主机与外部控制端通信"), "{text}");
}

#[test]
fn the_shipped_tables_make_sense_and_every_tactic_has_its_words() {
    let book = city();
    let desk = &book.tables.desk;
    assert_eq!(desk.campaign.problems(), []);
    assert_eq!(Playbook::problems(&desk.playbook), []);
    assert!(desk.playbook.len() >= 25, "{}", desk.playbook.len());
    for tactic in crate::attack::TACTICS.iter().filter(|t| t.word != "resource-development") {
        for id in [tactic.enterprise, tactic.ics].into_iter().filter(|id| !id.is_empty()) {
            assert!(playbook(&desk.playbook, &[], &[id.to_owned()]).is_some(), "{id}");
        }
    }
    assert!(playbook(&desk.playbook, &["T1486".into()], &["TA0005".into()]).unwrap().category == "01007");
}

#[test]
fn people_have_their_say_within_limits() {
    let book = city();
    let mut play = Play::default();
    play.take(&book, T, &[at(alert("A0", "write", 5, "impair-process-control", "T0855"), "grid", "10.3.1.77")]);
    let id = play.placed["A0"].clone();
    let lin = |role| Actor { name: "lin".into(), role: Some(role), units: None };
    let act = |role, act: serde_json::Value| {
        carry_out(
            &play.shelf,
            &book,
            &lin(role),
            T,
            Order { kind: "campaign".into(), id: Some(id.clone()), expected: None, act, key: None },
        )
    };
    use serde_json::json;
    for (role, wish, fine) in [
        (Role::Viewer, json!({"act": "note", "text": "x"}), false),
        (Role::Operator, json!({"act": "note", "text": " "}), false),
        (Role::Operator, json!({"act": "note", "text": "called the shift"}), true),
        (Role::Operator, json!({"act": "take", "new": []}), false),
        (Role::Operator, json!({"act": "forecast", "grade": 7, "note": "x"}), false),
        (Role::Operator, json!({"act": "forecast", "grade": 2, "note": "feeder at risk"}), true),
        (Role::Operator, json!({"act": "confirm", "note": "seen on site"}), true),
        (Role::SectorUser, json!({"act": "close", "reason": "x"}), false),
        (Role::ShiftLead, json!({"act": "close", "reason": "over"}), true),
        (Role::ShiftLead, json!({"act": "confirm", "note": "late"}), false),
    ] {
        assert_eq!(act(role, wish.clone()).is_ok(), fine, "{role:?} {wish}");
    }
    let campaign = play.of("A0");
    assert_eq!((campaign.state, campaign.notes.len()), (State::Closed, 3));
    assert_eq!(campaign.recommended.unwrap().level, Some(Level::Red));
    assert!(play.shelf.linked("campaign", place::open_link(false)).unwrap().is_empty(), "a closed one is found no more");
}

/// A list that names one flaw.
struct Listed;
impl crate::Flaws for Listed {
    fn known(&self, cve: &str) -> Option<crate::Flaw> {
        (cve == "CVE-2024-3400").then(|| crate::Flaw { cve: cve.into(), kev: true, epss: 0.944 })
    }
}

#[test]
fn a_flaw_that_is_known_to_be_used_is_in_the_case_and_in_its_reasons() {
    let mut book = city();
    book.flaws = std::sync::Arc::new(Listed);
    let named = |id: &str, technique: &str, flaw: &str| Alert {
        flaws: vec![flaw.into()],
        tactics: vec![],
        ..at(alert(id, "exploit", 4, "", technique), "bank", "203.0.113.9")
    };
    let reasons = |play: &Play, id: &str| serde_json::to_string(&play.of(id).recommended).unwrap();
    // What the rule says of tactics gives no degree; that the flaw is being used does.
    let mut play = Play::default();
    play.take(&book, T, &[named("A0", "", "CVE-2024-3400")]);
    let said = play.of("A0").recommended.unwrap();
    assert_eq!((said.level, said.damage), (Some(Level::Yellow), 1), "{said:#?}");
    assert!(reasons(&play, "A0").contains("grade_flaw_used") && reasons(&play, "A0").contains("94.4 %"));
    // Nobody knows of it being used: nothing.
    let mut play = Play::default();
    play.take(&book, T, &[named("A0", "", "CVE-2019-0001")]);
    assert_eq!(level(&play, "A0"), None);
    // Sought and not reached: named, and no degree.
    let mut play = Play::default();
    play.take(&book, T, &[named("A0", "T1190", "CVE-2024-3400")]);
    assert_eq!(level(&play, "A0"), None);
    assert!(reasons(&play, "A0").contains("grade_flaw_used"));
    // What was known then stays: the list of another day changes nothing of it.
    book.flaws = std::sync::Arc::new(());
    let id = play.placed["A0"].clone();
    lapse(&play.shelf, &book, T.plus_secs(900), "campaign", &id).unwrap();
    assert!(reasons(&play, "A0").contains("grade_flaw_used"));
}

#[test]
fn a_draft_says_what_its_gravest_evidence_is_until_a_person_has_a_hand_in_it() {
    use serde_json::json;
    let book = city();
    let draft = |play: &Play| {
        let drafts = play.shelf.all("warning");
        assert_eq!(drafts.len(), 1, "one case, one warning");
        (drafts[0].0.clone(), drafts[0].1["draft"]["notice"].clone(), drafts[0].1["recommended"]["level"].clone())
    };
    let out = |id: &str| beacon(at(alert(id, "c2", 4, "command-and-control", "T1071.001"), "grid", "10.1.1.5"));
    // A grid host that talks to a controller; then control commands on the same object.
    let mut play = Play::default();
    play.take(&book, T, &[out("A0")]);
    let (_, before, level) = draft(&play);
    assert_eq!((before["title"]["en"].as_str(), level.as_str()), (Some("Warning: hosts talking to a controller outside"), Some("orange")));
    let command = |id: &str, rule: &str| at(alert(id, rule, 5, "inhibit-response-function", "T0816"), "grid", "10.1.1.5");
    play.take(&book, T.plus_secs(60), &[command("A1", "reset"), command("A2", "restart")]);
    let (id, after, level) = draft(&play);
    let row = playbook(&book.tables.desk.playbook, &["T0816".into()], &[]).unwrap();
    assert_eq!(level, "red");
    assert_eq!(after["title"]["zh"], format!("关于{}的预警", row.event.zh));
    assert_eq!((&after["measures"], &after["impact"]), (&json!(row.measures), &json!(row.impact)));
    assert_eq!((after["category"].as_str(), after["techniques"][0].as_str()), (Some(row.category.as_str()), Some("T0816")));
    // More of the lesser kind changes nothing of it, whichever group it comes by.
    play.take(&book, T.plus_secs(90), &[out("A3"), at(alert("A4", "ssh", 4, "lateral-movement", "T1021.004"), "metro", "10.1.1.5")]);
    assert_eq!(draft(&play).1["title"], after["title"]);
    // A person's words stay.
    let lin = Actor { name: "lin".into(), role: Some(Role::Operator), units: None };
    let edit = json!({"act": "edit", "title": {"zh": "调度主站异常", "en": "Trouble at the control centre"}});
    carry_out(
        &play.shelf,
        &book,
        &lin,
        T.plus_secs(100),
        Order { kind: "warning".into(), id: Some(id), expected: None, act: edit, key: None },
    )
    .unwrap();
    play.take(&book, T.plus_secs(120), &[at(alert("A5", "wipe", 5, "impact", "T1485"), "telco", "10.1.1.5")]);
    assert_eq!(draft(&play).1["title"]["en"], "Trouble at the control centre");
}
