//! Cases with their level, in a line each; properties that hold for every case.
//!
//! Objects: `id/unit/sector` and words: `m1`–`m5` MLPS level, `cii`, `s3` serves so many. Evidence: `what@object` and words: a source, `blocked`,
//! an Admiralty grade; `KEV@object`, `EPSS0.7@object` are weaknesses (`hidden`: not reachable). More: `confirmed`, `grade1`, `forecast2`.

use super::*;
use crate::{Lang, render};

const TABLES: &str = include_str!("../../../../config/grading.toml");

fn tables() -> Tables {
    toml::from_str(TABLES).unwrap()
}

fn case(objects: &str, evidence: &str, more: &str) -> Case {
    let list = |text: &str| -> Vec<Vec<String>> {
        let parts = text.split(';').map(|p| p.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        parts.filter(|p| !p.is_empty()).collect()
    };
    let mut case = Case::default();
    for words in list(objects) {
        let mut names = words[0].split('/').map(str::to_owned);
        let mut object = Object {
            id: names.next().unwrap(),
            unit: names.next().unwrap(),
            sector: names.next().unwrap(),
            mlps: None,
            cii: false,
            serves_cii: 0,
        };
        for word in &words[1..] {
            match word.split_at(1) {
                ("m", n) => object.mlps = Some(n.parse().unwrap()),
                ("s", n) => object.serves_cii = n.parse().unwrap(),
                _ => object.cii = word == "cii",
            }
        }
        case.object.push(object);
    }
    for (n, words) in list(evidence).into_iter().enumerate() {
        let (what, object) = words[0].split_once('@').unwrap();
        let has = |word: &str| words.iter().any(|w| w == word);
        if what == "KEV" || what.starts_with("EPSS") {
            let epss = what.strip_prefix("EPSS").map_or(0.0, |n| n.parse().unwrap());
            case.weakness.push(Weakness {
                id: format!("w{n}"),
                object: object.to_owned(),
                reachable: !has("hidden"),
                kev: what == "KEV",
                epss,
            });
            continue;
        }
        let (tactics, techniques) = if what.starts_with("TA") { (vec![what.to_owned()], vec![]) } else { (vec![], vec![what.to_owned()]) };
        let grade = words.iter().skip(1).find_map(|w| Admiralty::try_from(w.clone()).ok()).unwrap_or_else(usually);
        let source = words.iter().skip(1).find(|w| *w != "blocked" && Admiralty::try_from((*w).clone()).is_err());
        case.evidence.push(Evidence {
            id: format!("e{n}"),
            object: object.to_owned(),
            tactics,
            techniques,
            outcome: if has("blocked") { Outcome::Blocked } else { Outcome::Succeeded },
            source: source.cloned().unwrap_or_else(|| "agent".to_owned()),
            grade,
        });
    }
    for word in more.split_whitespace() {
        match word.split_at(5.min(word.len())) {
            ("grade", n) => case.incident_grade = Some(n.parse().unwrap()),
            ("forec", n) => case.forecast_grade = Some(n.trim_start_matches("ast").parse().unwrap()),
            _ => case.confirmed = word == "confirmed",
        }
    }
    assert_eq!(case.problems(), [], "{objects} | {evidence} | {more}");
    case
}

const FORTY_SCANNED: &str = "a/u1/finance cii; b/u2/power cii; c/u3/telecom m3; d/u4/energy m2; e/u5/transport";
const FIVE_CII: &str = "a/u1/finance cii; b/u2/power cii; c/u3/telecom cii; d/u4/energy cii; e/u5/transport cii";

/// (what, objects, evidence, more, level, damage)
#[rustfmt::skip]
const CASES: &[(&str, &str, &str, &str, &str, u8)] = &[
    // The golden cases of the design.
    ("many units scanned, blocked", FORTY_SCANNED, "TA0043@a; TA0043@b; TA0043@c; T1190@d blocked; TA0001@e blocked", "", "none", 0),
    ("a web shell on a small web server", "web/u1/health m2", "TA0001@web; T1505.003@web", "", "blue", 1),
    ("the same with persistence confirmed", "web/u1/health m2", "TA0003@web", "confirmed", "blue", 2),
    ("lateral movement in a clinic", "his/u1/health m3", "TA0008@his", "", "yellow", 2),
    ("the same beacon at a bank and a telecom, both CII", "core/bank/finance cii m3; sig/tel/telecom cii m3", "TA0011@core a; TA0011@sig b", "", "orange", 3),
    ("ransomware on a water works' billing core", "bill/water/water m3", "T1486@bill a; T1490@bill b", "", "orange", 4),
    ("process control impaired in a substation", "sub/grid/power cii m3", "TA0106@sub a; T0855@sub b", "", "red", 4),
    ("a listed flaw reachable on five CII of five units", FIVE_CII, "KEV@a; KEV@b; KEV@c; KEV@d; KEV@e", "", "yellow", 2),
    ("a CII main function down for a day", "main/u1/telecom cii", "", "grade1 confirmed", "red", 0),
    // Importance.
    ("ordinary, degree 1", "o/u/other m1", "TA0002@o", "", "blue", 1),
    ("MLPS 2 is ordinary", "o/u/other m2", "TA0002@o", "", "blue", 1),
    ("MLPS 3 is important", "o/u/other m3", "TA0002@o", "", "blue", 1),
    ("MLPS 4 is especially important", "o/u/other m4", "TA0002@o", "", "yellow", 1),
    ("MLPS 5 too", "o/u/other m5", "TA0002@o", "", "yellow", 1),
    ("CII outweighs MLPS 2", "o/u/other m2 cii", "TA0002@o", "", "yellow", 1),
    ("not declared counts as important", "o/u/other", "TA0008@o", "", "yellow", 2),
    ("an ordinary object that serves three CII", "o/u/other m2 s3", "TA0008@o", "", "yellow", 2),
    ("one that serves two does not", "o/u/other m2 s2", "TA0008@o", "", "blue", 2),
    ("an important one that serves three CII", "o/u/other m3 s3", "TA0002@o", "", "yellow", 1),
    ("CII that serves CII goes no higher", "o/u/other cii s9", "TA0002@o", "", "yellow", 1),
    ("the most important object decides", "a/u/other m1; b/u/other cii", "TA0002@a", "", "yellow", 1),
    ("exposed only, with the attack next door", "a/u/other m1; b/v/other m4", "T1486@a x; T1486@a y", "", "red", 4),
    // The matrix, row by row.
    ("especially important, 1", "o/u/other m4", "TA0001@o", "", "yellow", 1),
    ("especially important, 2", "o/u/other m4", "TA0003@o", "", "yellow", 2),
    ("especially important, 3", "o/u/other m4", "TA0010@o x; TA0010@o y", "", "orange", 3),
    ("especially important, 4", "o/u/other m4", "T1485@o x; T1485@o y", "", "red", 4),
    ("important, 2", "o/u/other m3", "TA0006@o", "", "yellow", 2),
    ("important, 3", "o/u/other m3", "TA0009@o", "", "yellow", 3),
    ("important, 4", "o/u/other m3", "T1498@o x; T1498@o y", "", "orange", 4),
    ("ordinary, 2", "o/u/other m1", "TA0011@o", "", "blue", 2),
    ("ordinary, 3", "o/u/other m1", "TA0010@o", "", "yellow", 3),
    ("ordinary, 4", "o/u/other m1", "T1486@o", "", "yellow", 4),
    // Rows of damage.
    ("reconnaissance is no damage", "o/u/other cii", "TA0043@o; TA0042@o", "", "none", 0),
    ("discovery on a host", "o/u/other m1", "TA0007@o", "", "blue", 1),
    ("service stop", "o/u/other m3", "T1489@o", "", "yellow", 3),
    ("a sub-technique counts as its technique", "o/u/other m1", "T1498.001@o", "", "yellow", 4),
    ("a technique whose number begins alike does not", "o/u/other m1", "T14980@o", "", "none", 0),
    ("defences impaired on one object", "a/u/other m3", "T1562.001@a", "", "none", 0),
    ("on three", "a/u/other m3; b/u/other m3; c/u/other m3", "T1562@a; T1562.001@b; T1562.004@c", "", "yellow", 3),
    ("disk wipe", "o/u/other m1", "T1561.002@o", "", "yellow", 4),
    ("control system discovered", "o/u/power m3", "TA0102@o", "", "yellow", 3),
    ("control system entered", "o/u/power m3", "TA0108@o", "", "blue", 1),
    ("control system commanded", "o/u/power m3", "TA0101@o", "", "yellow", 2),
    ("safety inhibited", "o/u/power m2", "TA0107@o", "", "yellow", 4),
    ("blocked ransomware", "o/u/finance cii", "T1486@o blocked", "", "none", 0),
    ("the highest row wins", "o/u/other m1", "TA0001@o; TA0008@o; T1486@o", "", "yellow", 4),
    // Weaknesses.
    ("listed and reachable", "o/u/other m4", "KEV@o", "", "yellow", 1),
    ("listed and not reachable", "o/u/other m4", "KEV@o hidden", "", "none", 0),
    ("likely exploited", "o/u/other m4", "EPSS0.5@o", "", "yellow", 1),
    ("hardly likely", "o/u/other m4", "EPSS0.49@o", "", "none", 0),
    ("listed in two units", "a/u/other m3; b/v/other m3", "KEV@a; KEV@b", "", "blue", 1),
    ("listed in three units", "a/u/other m3; b/v/other m3; c/w/other m3", "KEV@a; KEV@b; KEV@c", "", "yellow", 2),
    ("three objects of one unit are one unit", "a/u/other m3; b/u/other m3; c/u/other m3", "KEV@a; KEV@b; KEV@c", "", "blue", 1),
    // Spread.
    ("execution in three units", "a/u/finance m1; b/v/finance m1; c/w/finance m1", "TA0002@a; TA0002@b; TA0002@c", "", "blue", 2),
    ("credentials in two units of one sector", "a/u/finance m3; b/v/finance m3", "TA0006@a; TA0006@b", "", "yellow", 2),
    ("credentials in two sectors", "a/u/finance m1; b/v/power m1", "TA0006@a; TA0006@b", "", "yellow", 3),
    ("exfiltration in two sectors", "a/u/finance m3; b/v/power m3", "TA0010@a x; TA0010@b y", "", "orange", 4),
    ("exfiltration from three CII of one sector", "a/u/finance cii; b/v/finance cii; c/w/finance cii", "TA0010@a x; TA0010@b y; TA0010@c z", "", "red", 4),
    ("degree 4 goes no higher", "a/u/finance m1; b/v/power m1", "T1486@a; T1486@b", "", "yellow", 4),
    ("a higher degree elsewhere counts as the lower one too", "a/u/finance m1; b/v/power m1", "TA0006@a; TA0010@b", "", "yellow", 3),
    ("units that are only exposed are no spread", "a/u/finance m1; b/v/power m1; c/w/telecom m1", "TA0006@a", "", "blue", 2),
    // Forecast and confirmed incidents.
    ("a relatively serious incident is expected", "o/u/other m3", "TA0002@o", "forecast3", "yellow", 3),
    ("a serious one", "o/u/other m3", "TA0002@o x; TA0002@o y", "forecast2", "orange", 4),
    ("a general one changes nothing", "o/u/other m3", "TA0002@o", "forecast4", "blue", 1),
    ("grade 4 confirmed: blue at least", "o/u/other m1", "", "grade4 confirmed", "blue", 0),
    ("grade 3 confirmed: yellow", "o/u/other m1", "TA0002@o", "grade3 confirmed", "yellow", 1),
    ("grade 2 confirmed: orange", "o/u/other m1", "TA0002@o", "grade2 confirmed", "orange", 1),
    ("the floor never lowers", "o/u/other m4", "T1486@o x; T1486@o y", "grade4 confirmed", "red", 4),
    // Certainty.
    ("red from one source stays below orange", "o/u/other m4", "T1486@o", "", "yellow", 4),
    ("with a person's word it is red", "o/u/other m4", "T1486@o", "confirmed", "red", 4),
    ("two findings of one source are one source", "o/u/other m4", "T1486@o x; T1485@o x", "", "yellow", 4),
    ("a weak source alone", "o/u/other m3", "TA0008@o D4", "", "blue", 1),
    ("a weak source alone, at degree 1", "o/u/other m3", "TA0002@o C4", "", "none", 0),
    ("C3 is not below C3", "o/u/other m3", "TA0008@o C3", "", "yellow", 2),
    ("two weak sources support each other", "o/u/other m3", "TA0008@o x E5; TA0008@o y E5", "", "yellow", 2),
    ("weak, but a control system of a CII object", "o/u/power cii", "TA0102@o F6", "confirmed", "orange", 3),
    ("weak and unconfirmed, a control system of a CII object", "o/u/power cii", "TA0102@o F6", "", "yellow", 3),
    ("weak, and a control system of an ordinary object", "o/u/power m1", "TA0102@o F6", "", "blue", 2),
    ("a blocked attempt is no second source", "o/u/other m4", "T1486@o x; T1486@o y blocked", "", "yellow", 4),
    ("nothing at all", "", "", "", "none", 0),
];

#[test]
fn every_case_has_its_level_and_its_damage() {
    let tables = tables();
    assert!(CASES.len() >= 69, "{}", CASES.len());
    for (what, objects, evidence, more, level, damage) in CASES {
        let said = tables.recommend(&case(objects, evidence, more));
        let reasons: Vec<String> = said.reasons.iter().map(|r| render(r, Lang::En)).collect();
        assert_eq!((said.level.map_or("none", Level::name), said.damage), (*level, *damage), "{what}: {reasons:#?}");
        assert!(!reasons.is_empty(), "{what}: no reason");
        for reason in &said.reasons {
            let chinese = render(reason, Lang::Zh);
            assert!(!chinese.contains('?') && !chinese.contains('{') && !chinese.contains("word"), "{what}: {chinese}");
        }
    }
}

#[test]
fn the_tables_that_ship_are_sound_and_every_mistake_is_named() {
    assert_eq!(tables().problems(), []);
    for (from, to, word) in [
        ("ordinary = [\"blue\"", "ordinary = [\"red\"", "never give a lower"),
        (
            "important = [\"blue\", \"yellow\", \"yellow\", \"orange\"]",
            "important = [\"red\", \"red\", \"red\", \"red\"]",
            "more important object",
        ),
        ("levels = [\"red\", \"orange\", \"yellow\", \"blue\"]", "levels = [\"blue\", \"orange\", \"yellow\", \"blue\"]", "most serious"),
        ("important_mlps = 3", "important_mlps = 4", "MLPS"),
        ("units = 3", "units = 1", "2 or more"),
        ("epss = 0.5", "epss = 1.5", "0 to 1"),
        ("degree = 1", "degree = 7", "1 to 4"),
        ("\"TA0110\"", "\"T0110\"", "no tactic"),
        ("\"T1489\"", "\"1489\"", "no technique"),
        ("importance = 35", "importance = 36", "101"),
        ("power = 1.0", "power = 2.0", "from 0 to 1"),
    ] {
        let text = TABLES.replacen(from, to, 1);
        assert_ne!(text, TABLES, "{from}");
        let problems = toml::from_str::<Tables>(&text).unwrap().problems();
        assert!(problems.iter().any(|(_, what)| what.contains(word)), "{to}: {problems:?}");
    }
    assert!(toml::from_str::<Tables>(&TABLES.replace("alone_below = \"C3\"", "alone_below = \"G3\"")).is_err());
}

#[test]
fn a_case_that_makes_no_sense_is_refused_with_its_reason() {
    let mut wrong = case("a/u/other m3", "TA0008@a", "");
    wrong.evidence[0].object = "b".to_owned();
    wrong.object[0].mlps = Some(9);
    wrong.incident_grade = Some(0);
    wrong.object.push(wrong.object[0].clone());
    let said: Vec<String> = wrong.problems().into_iter().map(|(key, what)| format!("{key}: {what}")).collect();
    for word in ["not listed", "1 to 5", "same id", "0: 1"] {
        assert!(said.iter().any(|s| s.contains(word)), "{word}: {said:?}");
    }
}

#[test]
fn what_is_above_a_citys_right_is_proposed_upward() {
    let tables = tables();
    for (what, objects, evidence, more, ..) in CASES {
        let said = tables.recommend(&case(objects, evidence, more));
        assert_eq!(said.propose_upward, said.level > tables.authority.city, "{what}");
    }
}

#[test]
fn priority_orders_work_and_is_bounded() {
    let tables = tables();
    let of = |objects: &str, evidence: &str| tables.recommend(&case(objects, evidence, "")).priority;
    assert_eq!(of("", ""), 0);
    let power = of("o/u/power cii", "T1486@o x; T1486@o y");
    assert_eq!(power, 83, "35 + 35 + 0 + 10 * 3/4 + 5, rounded");
    assert!(of("o/u/other cii", "T1486@o x; T1486@o y") < power, "another sector");
    assert!(of("o/u/power cii; p/v/telecom cii", "T1486@o x; T1486@p y") > power, "more sectors");
}

proptest::proptest! {
    /// More evidence, a more important object, a second source: never a lower level.
    #[test]
    fn more_of_anything_never_lowers_the_level(
        seen in proptest::collection::vec((0usize..8, 0usize..4, 0usize..3), 0..6),
        extra in (0usize..8, 0usize..4, 0usize..3),
    ) {
        const WHAT: [&str; 8] = ["TA0043", "TA0001", "TA0002", "TA0008", "TA0010", "T1486", "TA0106", "T1562"];
        let objects = "a/u/finance m2; b/v/power cii; c/w/telecom m3; d/x/energy";
        let one = |(what, object, source): &(usize, usize, usize)| format!("{}@{} {}", WHAT[*what], ["a", "b", "c", "d"][*object], ["x", "y", "z"][*source]);
        let text = |list: &[(usize, usize, usize)]| list.iter().map(one).collect::<Vec<_>>().join(";");
        let tables = tables();
        let fewer = tables.recommend(&case(objects, &text(&seen), ""));
        let more = [seen, vec![extra]].concat();
        let after = tables.recommend(&case(objects, &text(&more), ""));
        proptest::prop_assert!(after.level >= fewer.level && after.damage >= fewer.damage, "{fewer:?} {after:?}");
        let sure = tables.recommend(&case(objects, &text(&more), "confirmed"));
        proptest::prop_assert!(sure.level >= after.level);
    }
}
