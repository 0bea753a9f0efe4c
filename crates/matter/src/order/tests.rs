use serde_json::{Value, json};

use crate::stage::{Stage, lead, of, operator, order};

fn feedback() -> Value {
    json!({"act": "feed_back", "affected": "exposed", "objects": 2, "measures": ["关闭端口"], "evidence": "截图"})
}

#[test]
fn an_order_goes_its_way() {
    let mut stage = Stage::new();
    let id = stage.open(&operator(), "order", order());
    let clinic = of("clinic");
    let steps = [
        (operator(), json!({"act": "verify"}), Err("there is no feedback")),
        (crate::Actor::desk(), json!({"act": "delivered", "channel": "mail", "unit": "clinic"}), Ok("delivered")),
        (clinic.clone(), json!({"act": "close"}), Err("your role may not")),
        (clinic.clone(), json!({"act": "acknowledge"}), Ok("acknowledged")),
        (clinic.clone(), json!({"act": "acknowledge"}), Err("it is signed for already")),
        (crate::Actor::desk(), json!({"act": "delivered", "channel": "sms"}), Ok("acknowledged")),
        (operator(), json!({"act": "close"}), Err("only a verified order")),
        (operator(), json!({"act": "reopen", "reason": "x"}), Err("it is still being worked on")),
        (
            clinic.clone(),
            json!({"act": "feed_back", "affected": "no", "done_at": "2027-01-01T00:00:00Z"}),
            Err("'done_at' lies in the future"),
        ),
        (clinic.clone(), feedback(), Ok("feedback")),
        (operator(), json!({"act": "verify", "note": "看过"}), Ok("verified")),
        (operator(), json!({"act": "close"}), Ok("closed")),
        (clinic.clone(), feedback(), Err("the order is closed")),
        (operator(), json!({"act": "withdraw", "reason": "x"}), Err("the order is closed")),
        (operator(), json!({"act": "reopen", "reason": ""}), Err("'reason' is missing")),
        (operator(), json!({"act": "reopen", "reason": "又开放了"}), Ok("issued")),
        (clinic, feedback(), Ok("feedback")),
        (operator(), json!({"act": "reopen", "reason": "未关闭"}), Ok("issued")),
        (operator(), json!({"act": "withdraw", "reason": "误发"}), Ok("closed")),
    ];
    for (n, (who, act, expect)) in steps.into_iter().enumerate() {
        stage.pass(1);
        match (stage.act(&who, "order", Some(&id), act), expect) {
            (Ok(done), Ok(state)) => assert_eq!(done.changes[0].card.state, state, "step {n}"),
            (Err(refusal), Err(says)) => assert!(refusal.to_string().starts_with(says), "step {n}: {refusal}"),
            (got, expect) => panic!("step {n}: {got:?}, expected {expect:?}"),
        }
    }
    let body = stage.body("order", &id);
    assert_eq!((body["round"].as_u64(), body["feedback"].as_array().unwrap().len()), (Some(3), 2));
    assert_eq!(body["feedback"][0]["for_unit"], false);
}

#[test]
fn nobody_signs_and_the_line_is_told() {
    let mut stage = Stage::new();
    let id = stage.open(&operator(), "order", order());
    stage.pass(3 * 3600);
    assert_eq!(
        stage.told(0),
        [
            "0 clinic/duty: Order: Close the port",
            "15 clinic/substitute: Order not signed for: Close the port",
            "15 city: Order not signed for: Close the port",
            "30 clinic/leader: Order not signed for: Close the port",
            "45 clinic/protection: Order not signed for: Close the port",
            "120 clinic/duty: Order overdue: Close the port",
            "120 clinic/leader: Order overdue: Close the port",
            "120 city: Order overdue: Close the port",
        ]
    );
    assert_eq!(stage.state("order", &id), "overdue");
    stage.does(&of("clinic"), "order", &id, json!({"act": "acknowledge"}));
    assert_eq!(stage.state("order", &id), "overdue", "the feedback is still owed");
    stage.does(&of("clinic"), "order", &id, feedback());
    assert_eq!((stage.state("order", &id), &stage.body("order", &id)["feedback"][0]["late"]), ("feedback", &json!(true)));
    let before = stage.shelf.messages().len();
    stage.pass(30 * 86_400);
    assert_eq!(stage.told(before), [""; 0], "nothing is owed");
}

#[test]
fn signing_in_time_stops_the_line_and_an_extension_moves_the_end() {
    let mut stage = Stage::new();
    let id = stage.open(&operator(), "order", order());
    stage.pass(600);
    stage.does(&of("clinic"), "order", &id, json!({"act": "acknowledge"}));
    let says = stage.refused(&operator(), "order", Some(&id), json!({"act": "extend", "deadline": "2026-11-23T01:00:00Z", "reason": "x"}));
    assert!(says.starts_with("the new deadline must be later"));
    stage.does(&operator(), "order", &id, json!({"act": "extend", "deadline": "2026-11-23T05:00:00Z", "reason": "备件"}));
    let before = stage.shelf.messages().len();
    stage.pass(6 * 3600);
    assert_eq!(stage.told(before).iter().filter(|l| l.starts_with("300 ")).count(), 3);
    assert_eq!(stage.told(before).len(), 3);
}

#[test]
fn several_units_get_one_each_and_learn_nothing_of_each_other() {
    let stage = Stage::new();
    let mut act = order();
    act["units"] = json!(["clinic", "bank", "clinic"]);
    let done = stage.act(&operator(), "order", None, act).unwrap();
    let set = &done.changes[0];
    assert_eq!(done.changes.iter().map(|c| c.card.units.join(",")).collect::<Vec<_>>(), ["", "bank", "clinic"]);
    let listed: Vec<_> = set.body["orders"].as_array().unwrap().iter().map(|m| m["order"].as_str().unwrap()).collect();
    assert_eq!(listed, [&done.changes[1].id, &done.changes[2].id]);
    assert!(!done.changes[2].body.to_string().contains("bank") && !done.changes[2].body.to_string().contains(&set.id));
    assert_eq!(done.changes[2].body["issued_by"], "ma");
    for (unit, id) in [("bank", &listed[0]), ("clinic", &listed[1])] {
        assert_eq!(stage.state("order", &set.id), "issued");
        stage.does(&of(unit), "order", id, feedback());
        stage.does(&operator(), "order", id, json!({"act": "verify"}));
        stage.does(&operator(), "order", id, json!({"act": "close"}));
    }
    assert_eq!(stage.state("order", &set.id), "closed");
    stage.does(&operator(), "order", listed[0], json!({"act": "reopen", "reason": "又开放了"}));
    assert_eq!(stage.state("order", &set.id), "issued");
    assert!(stage.refused(&operator(), "order", Some(&set.id), json!({"act": "close"})).starts_with("this is a set"));
}

#[test]
fn agents_verify_what_they_can() {
    let stage = Stage::new();
    let mut act = order();
    act["checks"] = json!([
        {"check": "port_closed", "address": "his-db", "port": 6379},
        {"check": "package_updated", "host": "his-db", "name": "redis", "version": "7.4.2"}
    ]);
    let id = stage.open(&operator(), "order", act);
    let desk = crate::Actor::desk();
    let checked = |one: &str, two: &str| json!({"act": "checked", "results": [{"check": 1, "holds": two}, {"check": 0, "holds": one}]});
    stage.does(&desk, "order", &id, checked("yes", "yes"));
    assert_eq!(stage.state("order", &id), "issued", "an agent's word alone is no feedback");
    stage.does(&desk, "order", &id, checked("no", "unknown"));
    let before = stage.shelf.messages().len();
    stage.does(&of("clinic"), "order", &id, feedback());
    assert_eq!(stage.state("order", &id), "feedback");
    assert_eq!(
        stage.told(before),
        [
            "0 city: Feedback: Close the port",
            "0 clinic/duty: Check failed: port 6379 of his-db is closed — not so",
            "0 city: Check failed: port 6379 of his-db is closed — not so",
        ]
    );
    stage.does(&desk, "order", &id, checked("no", "unknown"));
    assert_eq!(stage.told(before).len(), 3, "said once");
    stage.does(&desk, "order", &id, checked("yes", "unknown"));
    assert_eq!(stage.state("order", &id), "feedback", "what no agent can see is verified by a person");
    stage.does(&desk, "order", &id, checked("yes", "yes"));
    assert_eq!((stage.state("order", &id), &stage.body("order", &id)["verified"]["how"]), ("verified", &json!("agent")));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_way_out() {
    let stage = Stage::new();
    let table: &[(&str, Value, &str)] = &[
        ("units", json!([]), "name at least one unit"),
        ("units", json!(["nowhere"]), "there is no unit 'nowhere'"),
        ("units", json!((0..70).map(|n| format!("u{n}")).collect::<Vec<_>>()), "'units' has 70 entries; at most 64"),
        ("title", json!({"zh": " ", "en": ""}), "'title' is missing"),
        ("title", json!({"zh": "长".repeat(300), "en": ""}), "'title' has 300 characters"),
        ("todo", json!([]), "say what is to be done"),
        ("deadline", json!("2026-11-22T00:00:00Z"), "the deadline has passed"),
        ("deadline", json!("tomorrow"), "order: 'tomorrow' is no time"),
        ("links", json!(["W0000000000000000"]), "there is no 'W0000000000000000'"),
        ("checks", json!([{"check": "port_closed", "address": "h", "port": 0}]), "port 0"),
        ("checks", json!([{"check": "file_restored", "host": "h", "path": "/etc/x", "hash": "12"}]), "'hash' is a SHA-256"),
        ("checks", json!([{"check": "file_restored", "host": "", "path": "/etc/x", "hash": "12"}]), "'host' is missing"),
        ("level", json!("purple"), "order: unknown variant"),
    ];
    for (key, value, says) in table {
        let mut act = order();
        act[*key] = value.clone();
        let got = stage.refused(&lead(), "order", None, act);
        assert!(got.starts_with(says), "{key} {value}: {got}");
    }
    assert!(stage.refused(&of("clinic"), "order", None, order()).starts_with("your role may not"));
}

#[test]
fn a_drill_and_the_real_are_never_tied() {
    let stage = Stage::new();
    let real = stage.open(&operator(), "order", order());
    let mut act = order();
    act["exercise"] = json!(true);
    let drill = stage.open(&lead(), "order", act.clone());
    assert!(stage.shelf.messages().iter().any(|m| m.exercise && m.id == drill));
    for (links, exercise, ok) in [
        (json!([real]), false, true),
        (json!([real]), true, false),
        (json!([drill]), false, true),
        (json!([drill, real]), false, false),
        (json!(["A0123456789abcdef"]), true, false),
        (json!(["A0123456789abcdef"]), false, true),
    ] {
        let mut act = order();
        act["title"]["en"] = json!(format!("{links} {exercise}"));
        act["links"] = links.clone();
        act["exercise"] = json!(exercise);
        match stage.act(&operator(), "order", None, act) {
            Ok(done) => assert!(ok && done.changes[0].card.exercise == (links == json!([drill])), "{links} {exercise}"),
            Err(refusal) => assert!(!ok && refusal.to_string().contains("on the other side"), "{links} {exercise}: {refusal}"),
        }
    }
}

#[test]
fn the_same_acts_give_the_same_bytes() {
    let story = || {
        let mut stage = Stage::new();
        let mut act = order();
        act["units"] = json!(["clinic", "bank", "grid"]);
        let done = stage.act(&operator(), "order", None, act).unwrap();
        stage.pass(1800);
        stage.does(&of("bank"), "order", &done.changes[1].id, feedback());
        stage.pass(86_400);
        (serde_json::to_string(&stage.shelf.all("order")).unwrap(), serde_json::to_string(&stage.shelf.messages()).unwrap())
    };
    assert_eq!(story(), story());
}
