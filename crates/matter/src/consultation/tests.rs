use serde_json::{Value, json};

use crate::stage::{Stage, lead, of, operator, order};

fn convene(stage: &Stage) -> (String, Value) {
    let about = stage.open(&operator(), "order", order());
    let act = json!({"act": "convene", "title": {"zh": "是否升级", "en": "Upgrade?"}, "question": {"zh": "定为橙色？", "en": "Orange?"},
        "links": [about], "units": ["bank", "grid"], "invited": ["省网安总队 王工"], "held_at": "2026-11-23T02:00:00Z", "place": "会议室"});
    (about, act)
}

#[test]
fn from_the_invitation_to_the_decision() {
    let mut stage = Stage::new();
    let (_, act) = convene(&stage);
    let before = stage.shelf.messages().len();
    let done = stage.act(&operator(), "consultation", None, act).unwrap();
    let (id, seat) = (done.changes[0].id.clone(), done.changes[1].id.clone());
    assert_eq!(
        done.changes.iter().map(|c| (c.card.state, c.card.units.join(","))).collect::<Vec<_>>(),
        [("convened", String::new()), ("invited", "bank".to_owned()), ("invited", "grid".to_owned()),]
    );
    stage.pass(3 * 3600);
    let told = stage.told(before);
    for line in [
        "0 city: Consultation: Upgrade?",
        "0 bank/duty: Invited to a consultation: Upgrade?",
        "105 city: Consultation soon: Upgrade?",
        "105 grid/duty: Consultation soon: Upgrade?",
    ] {
        assert!(told.iter().any(|l| l == line), "{line}: {told:?}");
    }
    stage.does(&of("bank"), "consultation", &seat, json!({"act": "speak", "text": "同意", "stance": "for", "level": "orange"}));
    stage.does(
        &operator(),
        "consultation",
        &id,
        json!({"act": "speak", "text": "证据不足", "stance": "against", "who": "省网安总队 王工"}),
    );
    assert!(
        stage.refused(&of("bank"), "consultation", Some(&id), json!({"act": "speak", "text": "x"})).starts_with("there is no consultation")
    );
    assert!(
        stage.refused(&of("bank"), "consultation", Some(&seat), json!({"act": "decide", "text": "x"})).starts_with("your role may not")
    );
    assert!(stage.refused(&lead(), "consultation", Some(&id), json!({"act": "close"})).starts_with("decide first"));
    stage.does(&lead(), "consultation", &id, json!({"act": "minutes", "text": "先由银行说明"}));
    assert_eq!(
        stage
            .does(&lead(), "consultation", &id, json!({"act": "decide", "text": "升级为橙色", "level": "orange", "share": true}))
            .card
            .state,
        "decided"
    );
    let body = stage.body("consultation", &id);
    assert_eq!(
        body["opinions"].as_array().unwrap().iter().map(|o| o["who"].as_str().unwrap()).collect::<Vec<_>>(),
        ["bank 单位：bank-duty", "省网安总队 王工"]
    );
    assert_eq!(stage.body("consultation", &seat)["concluded"]["text"], "升级为橙色");
    assert!(
        stage
            .refused(&of("bank"), "consultation", Some(&seat), json!({"act": "speak", "text": "x"}))
            .starts_with("the consultation is over")
    );
    stage.does(&lead(), "consultation", &id, json!({"act": "minutes", "text": "散会"}));
    assert_eq!(stage.does(&lead(), "consultation", &id, json!({"act": "close"})).card.state, "closed");
    assert!(
        stage.refused(&lead(), "consultation", Some(&id), json!({"act": "minutes", "text": "x"})).starts_with("the consultation is over")
    );
}

#[test]
fn a_seat_says_nothing_of_the_others() {
    let seats = |units: Value| {
        let stage = Stage::new();
        let (_, mut act) = convene(&stage);
        act["units"] = units;
        // The consultation's own id, which is the city's act, is given: what remains must not depend on who else is there.
        let order = crate::Order { kind: "consultation".into(), id: None, expected: None, act, key: Some("k".into()) };
        let done = crate::carry_out(&stage.shelf, &stage.book, &operator(), stage.now, order).unwrap();
        let mine = done.changes.iter().find(|c| c.card.units == ["bank"]).unwrap().clone();
        let messages: Vec<_> = stage.shelf.messages().into_iter().filter(|m| m.id == mine.id).collect();
        (mine.body, messages)
    };
    assert_eq!(seats(json!(["bank"])), seats(json!(["bank", "clinic", "grid"])));
}

#[test]
fn a_decision_is_noted_where_notes_are_taken_and_kept_to_itself_unless_shared() {
    let stage = Stage::new();
    let (about, act) = convene(&stage);
    let done = stage.act(&operator(), "consultation", None, act).unwrap();
    stage.does(&lead(), "consultation", &done.changes[0].id, json!({"act": "decide", "text": "不升级"}));
    assert_eq!(stage.body("consultation", &done.changes[1].id)["concluded"]["text"], "");
    let noted = stage.body("consultation", &done.changes[0].id)["decision"]["noted"].clone();
    let expect = crate::Kind::find("order").unwrap().act_row("note").map_or(json!([]), |_| json!([about]));
    assert_eq!(noted, expect);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let stage = Stage::new();
    let (_, base) = convene(&stage);
    for (key, value, says) in [
        ("links", json!([]), "say what it is about"),
        ("links", json!(["W0"]), "there is no 'W0'"),
        ("units", json!(["nowhere"]), "there is no unit"),
        ("question", json!({"zh": ""}), "'question' is missing"),
        ("held_at", json!("2026-11-01T00:00:00Z"), "'held_at' has passed"),
        ("invited", json!(vec!["a"; 65]), "'invited' has 65"),
    ] {
        let mut act = base.clone();
        act[key] = value;
        let got = stage.refused(&operator(), "consultation", None, act);
        assert!(got.starts_with(says), "{key}: {got}");
    }
    let id = stage.open(&operator(), "consultation", base);
    assert_eq!(stage.does(&operator(), "consultation", &id, json!({"act": "cancel", "reason": "已解除"})).card.state, "cancelled");
}
