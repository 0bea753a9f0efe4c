use serde_json::{Value, json};

use super::scenario::Scenario;
use crate::stage::{Stage, lead, of, operator, order};

const SHIPPED: [&str; 4] = ["guessed-password", "maintenance-night", "ransomware-across-sectors", "substation-control"];

fn shipped(name: &str) -> Scenario {
    let text = std::fs::read_to_string(format!("{}/../../config/drills/{name}.toml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    toml::from_str(&text).unwrap()
}

fn small() -> Value {
    json!({"name": "small", "title": {"zh": "小演练", "en": "Small"}, "about": {"zh": "说明", "en": "about"}, "length_min": 30,
        "role": [{"id": "bank", "name": {"zh": "银行", "en": "bank"}, "sector": "finance", "mlps": 4, "cii": true}],
        "inject": [
            {"id": "c2", "at_min": 0, "kind": "alert", "role": "bank", "title": {"zh": "外联", "en": "beacon"}, "tactics": ["TA0011"], "source": "s1"},
            {"id": "call", "at_min": 5, "kind": "notice", "to": "bank", "text": {"zh": "来电", "en": "a call"}},
            {"id": "q", "at_min": 10, "kind": "question", "to": "city", "text": {"zh": "时限？", "en": "By when?"}}],
        "expect": [
            {"about": {"zh": "发现", "en": "seen"}, "kind": "detect", "inject": "c2", "within_min": 5},
            {"about": {"zh": "发现", "en": "seen"}, "kind": "detect", "inject": "call", "within_min": 5, "points": 5},
            {"about": {"zh": "答", "en": "answer"}, "kind": "answer", "inject": "q", "within_min": 5, "any_of": ["1 小时", "1 h"]},
            {"about": {"zh": "签", "en": "sign"}, "kind": "sign", "role": "bank", "within_min": 15},
            {"about": {"zh": "不误报", "en": "quiet"}, "kind": "quiet"}]})
}

fn plan(stage: &Stage, scenario: &Value, cast: Value) -> String {
    stage.open(&lead(), "drill", json!({"act": "plan", "scenario": scenario, "cast": cast}))
}

#[test]
fn what_ships_is_sound_and_runs_to_its_end() {
    for name in SHIPPED {
        let scenario = shipped(name);
        assert_eq!(scenario.problems(), [], "{name}");
        assert_eq!(scenario.name, name);
        let mut stage = Stage::new();
        let id = plan(&stage, &json!(scenario), json!({}));
        stage.does(&lead(), "drill", &id, json!({"act": "run"}));
        stage.pass(8 * 86_400);
        assert_eq!(stage.state("drill", &id), "finished");
        let body = stage.body("drill", &id);
        assert_eq!(body["put"].as_array().unwrap().len(), scenario.inject.len());
        assert!(stage.shelf.messages().iter().all(|m| m.exercise), "{name}: a message without its mark");
        for (kind, made) in crate::KINDS.iter().flat_map(|k| stage.shelf.all(k.word).into_iter().map(move |(_, b)| (k, b))) {
            assert!((kind.card)(&made).unwrap().exercise, "{name}: a {} without its mark", kind.word);
        }
    }
}

/// The levels the tables recommend after each alert.
#[test]
fn alerts_add_up_as_the_tables_say() {
    for (name, levels) in [
        (
            "ransomware-across-sectors",
            vec![("beacon-bank", json!("yellow")), ("beacon-telecom", json!("orange")), ("encrypted", json!("red"))],
        ),
        ("substation-control", vec![("scan", Value::Null), ("foothold", json!("yellow")), ("commands", json!("red"))]),
        ("maintenance-night", vec![("scan", Value::Null)]),
    ] {
        let mut stage = Stage::new();
        let id = plan(&stage, &json!(shipped(name)), json!({}));
        stage.does(&lead(), "drill", &id, json!({"act": "run"}));
        stage.pass(3 * 3600);
        let body = stage.body("drill", &id);
        for (inject, level) in levels {
            let put = body["put"].as_array().unwrap().iter().find(|p| p["inject"] == inject).unwrap();
            assert_eq!(put.get("level").unwrap_or(&Value::Null), &level, "{name} {inject}");
        }
    }
}

#[test]
fn injects_come_at_their_minute_to_whom_they_are_for() {
    let mut stage = Stage::new();
    let id = plan(&stage, &small(), json!({"bank": "bank"}));
    assert_eq!(stage.told(0), [""; 0], "a plan tells nobody");
    stage.does(&lead(), "drill", &id, json!({"act": "run"}));
    stage.pass(3600);
    let told: Vec<String> = stage.shelf.messages().iter().zip(stage.told(0)).filter(|(m, _)| m.kind == "drill").map(|(_, l)| l).collect();
    assert_eq!(
        told,
        [
            "0 bank/duty: Drill begins: Small",
            "0 city: Drill begins: Small",
            "0 city: Drill: alert",
            "5 bank/duty: Drill: news",
            "10 city: Drill: question q",
            "30 bank/duty: Drill is over: Small",
            "30 city: Drill is over: Small",
        ]
    );
}

#[test]
fn it_is_scored_by_what_people_did() {
    let mut stage = Stage::new();
    let id = plan(&stage, &small(), json!({"bank": "bank"}));
    stage.does(&lead(), "drill", &id, json!({"act": "run"}));
    let noticed = |inject: &str| json!({"act": "noticed", "inject": inject, "note": "外联"});
    assert!(stage.refused(&operator(), "drill", Some(&id), noticed("call")).starts_with("no inject 'call' has come yet"));
    stage.pass(4 * 60);
    stage.does(&operator(), "drill", &id, noticed("c2"));
    stage.pass(7 * 60);
    stage.does(&operator(), "drill", &id, noticed("call"));
    stage.does(&operator(), "drill", &id, json!({"act": "answer", "inject": "q", "text": "4 小时"}));
    stage.does(&operator(), "drill", &id, json!({"act": "answer", "inject": "q", "text": "更正：1 小时", "who": "张"}));
    assert!(stage.refused(&operator(), "drill", Some(&id), json!({"act": "answer", "inject": "c2", "text": "x"})).contains("no question"));
    stage.does(&lead(), "drill", &id, json!({"act": "finish"}));
    let score = stage.body("drill", &id)["score"].clone();
    let met: Vec<_> = score["results"].as_array().unwrap().iter().map(|r| (r["met"].as_bool().unwrap(), r["took_s"].as_i64())).collect();
    assert_eq!(met, [(true, Some(240)), (false, Some(360)), (true, Some(60)), (false, None), (true, None)]);
    assert_eq!((score["points"].as_u64(), score["of"].as_u64()), (Some(30), Some(45)));
    assert_eq!(score["parts"][0], json!({"part": "detection", "points": 10, "of": 15}));
    assert!(stage.refused(&lead(), "drill", Some(&id), json!({"act": "run"})).starts_with("a drill is run once"));
    assert!(stage.refused(&operator(), "drill", Some(&id), noticed("c2")).starts_with("the drill is not running"));
}

#[test]
fn it_can_be_aborted_and_nothing_comes_after() {
    let mut stage = Stage::new();
    let id = plan(&stage, &small(), json!({"bank": "bank"}));
    stage.does(&lead(), "drill", &id, json!({"act": "run"}));
    stage.pass(60);
    stage.does(&lead(), "drill", &id, json!({"act": "abort", "reason": "发生真实事件"}));
    let before = stage.shelf.messages().iter().filter(|m| m.kind == "drill").count();
    stage.pass(86_400);
    assert_eq!(stage.shelf.messages().iter().filter(|m| m.kind == "drill").count(), before);
    assert!(stage.body("drill", &id).get("score").is_none());
}

#[test]
fn nothing_real_can_be_tied_to_a_drill() {
    let stage = Stage::new();
    let drill = plan(&stage, &small(), json!({}));
    let real = stage.open(&operator(), "order", order());
    let mut act = order();
    act["links"] = json!([drill]);
    let made = stage.open(&operator(), "order", act.clone());
    assert_eq!(stage.body("order", &made)["exercise"], true, "what is tied to a drill is the drill's");
    act["links"] = json!([drill, real]);
    assert!(stage.refused(&operator(), "order", None, act).contains("on the other side"));
}

#[test]
fn who_may_do_what() {
    let stage = Stage::new();
    let act = json!({"act": "plan", "scenario": small()});
    assert!(stage.refused(&operator(), "drill", None, act.clone()).starts_with("your role may not"));
    assert!(stage.refused(&of("bank"), "drill", None, act).starts_with("your role may not"));
    let id = plan(&stage, &small(), json!({}));
    assert!(stage.refused(&of("bank"), "drill", Some(&id), json!({"act": "noticed", "inject": "c2"})).starts_with("there is no drill"));
}

#[test]
fn a_scenario_that_makes_no_sense_is_refused() {
    let stage = Stage::new();
    for (pointer, value, says) in [
        ("/name", json!("two words"), "'name'"),
        ("/length_min", json!(0), "'length_min'"),
        ("/inject/0/role", json!("mill"), "goes to 'mill'"),
        ("/inject/2/to", json!("mill"), "goes to 'mill'"),
        ("/inject/1/id", json!("c2"), "same id"),
        ("/inject/1/at_min", json!(31), "after the end"),
        ("/expect/0/inject", json!("nothing"), "names an inject or role"),
        ("/expect/2/inject", json!("call"), "an answer needs a question"),
        ("/expect/3/role", json!("mill"), "names an inject or role"),
        ("/expect", json!([]), "at least one"),
        ("/inject/0/kind", json!("bomb"), "unknown variant"),
    ] {
        let mut scenario = small();
        *scenario.pointer_mut(pointer).unwrap() = value;
        let got = stage.refused(&lead(), "drill", None, json!({"act": "plan", "scenario": scenario}));
        assert!(got.contains(says), "{pointer}: {got}");
    }
    let cast = json!({"act": "plan", "scenario": small(), "cast": {"mill": "bank"}});
    assert!(stage.refused(&lead(), "drill", None, cast).contains("no role 'mill'"));
    let cast = json!({"act": "plan", "scenario": small(), "cast": {"bank": "nowhere"}});
    assert!(stage.refused(&lead(), "drill", None, cast).contains("no unit 'nowhere'"));
}

/// A drill's warning goes its whole way, marked, and its receipts count.
#[test]
fn a_unit_that_signs_scores() {
    let mut stage = Stage::new();
    let id = plan(&stage, &small(), json!({"bank": "bank"}));
    stage.does(&lead(), "drill", &id, json!({"act": "run"}));
    let (warning, body) = stage.shelf.all("warning").remove(0);
    assert_eq!((&body["exercise"], &body["drill"]), (&json!(true), &json!(id)));
    stage.pass(120);
    stage.does(&operator(), "warning", &warning, json!({"act": "edit", "measures": [{"zh": "封堵", "en": "block"}]}));
    stage.does(&operator(), "warning", &warning, json!({"act": "assess", "level": "yellow", "reason": "外联"}));
    stage.does(&operator(), "warning", &warning, json!({"act": "issue"}));
    stage.pass(300);
    let receipt = crate::id_of("receipt", &[&warning, "bank"]);
    assert_eq!(stage.body("receipt", &receipt)["exercise"], true);
    stage.does(&of("bank"), "receipt", &receipt, json!({"act": "sign"}));
    stage.does(&lead(), "drill", &id, json!({"act": "finish"}));
    let score = stage.body("drill", &id)["score"].clone();
    assert_eq!(score["results"][0], json!({"met": true, "took_s": 120, "by": warning}), "work on the warning is detection");
    assert_eq!(score["results"][3], json!({"met": true, "took_s": 300, "by": "bank"}));
    assert_eq!(score["results"][4]["met"], false, "quiet was expected: {score}");
    assert!(stage.shelf.messages().iter().all(|m| m.exercise));
}

fn technical() -> Value {
    let mut scenario = small();
    scenario["inject"][1] = json!({"id": "logons", "at_min": 5, "kind": "event", "role": "bank", "text": {"zh": "登录", "en": "logons"},
        "lines": [{"status_id": 2, "repeat": 3, "every_s": 10}, {"status_id": 1, "after_s": 15}]});
    scenario["expect"][1]["inject"] = json!("logons");
    scenario
}

#[test]
fn events_happen_with_their_inject_at_the_part_that_plays_them() {
    let mut stage = Stage::new();
    let id = plan(&stage, &technical(), json!({"bank": "bank"}));
    let events = |stage: &Stage| -> Vec<(i64, String, u64)> {
        let drill: super::Drill = serde_json::from_value(stage.body("drill", &id)).unwrap();
        let at = |t: event::Timestamp| t.since(crate::stage::T) / event::SECOND_NS;
        drill.events().iter().map(|m| (at(m.at), m.unit.clone(), m.line["status_id"].as_u64().unwrap())).collect()
    };
    stage.does(&lead(), "drill", &id, json!({"act": "run"}));
    assert!(events(&stage).is_empty(), "none before its inject");
    stage.pass(300);
    let bank = |at: i64, status: u64| (at, "bank".to_owned(), status);
    assert_eq!(events(&stage), [bank(300, 2), bank(310, 2), bank(315, 1), bank(320, 2)]);
    assert!(!stage.told(0).iter().any(|line| line.contains("Drill: events")), "nobody is told what is to be detected");
    // What the drill's engine finds is the desk's to say, counts as detection, and is told to the city once.
    let found = |n: u32| {
        json!({"act": "found", "inject": "logons", "alerts": [{"alert": format!("A{n}"), "rule": "r", "title": {"zh": "猜测", "en": "guessing"},
            "severity": 4, "hosts": ["vpn"], "at": "2026-11-23T00:06:00Z", "campaign": "C1"}]})
    };
    assert!(stage.refused(&lead(), "drill", Some(&id), found(1)).starts_with("your role may not"));
    let desk = crate::Actor::desk();
    stage.does(&desk, "drill", &id, found(1));
    stage.does(&desk, "drill", &id, found(1));
    assert_eq!(stage.told(0).iter().filter(|line| line.contains("Drill: alert: guessing")).count(), 1);
    for n in 2..=super::FOUND_MAX as u32 + 7 {
        stage.does(&desk, "drill", &id, found(n));
    }
    let put = stage.body("drill", &id)["put"][1].clone();
    assert_eq!((put["found"].as_array().unwrap().len(), put["found_beyond"].as_u64()), (super::FOUND_MAX, Some(7)));
    stage.does(&lead(), "drill", &id, json!({"act": "finish"}));
    let score = stage.body("drill", &id)["score"].clone();
    assert_eq!(score["results"][1], json!({"met": true, "took_s": 60, "by": "A1"}));
    stage.does(&desk, "drill", &id, found(1));
    assert!(stage.shelf.messages().iter().all(|m| m.exercise));
}

#[test]
fn events_that_make_no_sense_are_refused() {
    let stage = Stage::new();
    for (line, says) in [
        (json!("text"), "lines are objects"),
        (json!({"x": "y".repeat(9_000)}), "lines are objects"),
        (json!({"repeat": 5_000}), "5001 events; at most 1000"),
        (json!({"after_s": -1}), "from 0 to 86400"),
        (json!({"every_s": "soon"}), "from 0 to 86400"),
    ] {
        let mut scenario = technical();
        scenario["inject"][1]["lines"][0] = line;
        let got = stage.refused(&lead(), "drill", None, json!({"act": "plan", "scenario": scenario}));
        assert!(got.contains(says), "{says}: {got}");
    }
    let mut scenario = technical();
    scenario["inject"][1]["role"] = json!("city");
    assert!(stage.refused(&lead(), "drill", None, json!({"act": "plan", "scenario": scenario})).contains("events happen at a role"));
}
