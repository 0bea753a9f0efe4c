//! What a silence covers, who may set it, and that it ends.

use serde_json::{Value, json};
use warning::UnitRef;

use super::*;
use crate::campaign::tests::{Play, T, alert, at, city};
use crate::{Actor, Order, Role, Shelf, carry_out, lapse};

fn actor(role: Role) -> Actor {
    Actor { name: "lin".into(), role: Some(role), units: None }
}

fn act(play: &Play, role: Role, id: Option<&str>, now: Timestamp, wish: Value) -> Result<String, Refusal> {
    let order = Order { kind: "silence".into(), id: id.map(str::to_owned), expected: None, act: wish, key: None };
    play.shelf.transaction(|s| carry_out(s, &city(), &actor(role), now, order)).map(|o| o.changes[0].id.clone())
}

fn silence(play: &Play, id: &str) -> Silence {
    let all = play.shelf.all("silence");
    serde_json::from_value(all.into_iter().find(|(i, _)| i == id).unwrap().1).unwrap()
}

#[test]
fn everything_of_the_alert_must_lie_inside() {
    let mut base = at(alert("A1", "r1", 3, "discovery", "T1046.001"), "bank", "10.1.0.9");
    base.target_ips = vec!["10.1.2.3".into(), "10.1.2.4".into()];
    base.users = vec!["scan".into()];
    let mut two = base.clone();
    two.units.push(UnitRef { id: "grid".into(), name: "g".into(), sector: String::new() });
    let m = |v: Value| -> Matcher { serde_json::from_value(v).unwrap() };
    for (matcher, covers, both) in [
        (json!({}), false, false),
        (json!({"critical": true}), false, false),
        (json!({"rule": "r1"}), true, true),
        (json!({"rule": "r2"}), false, false),
        (json!({"unit": "bank"}), true, false),
        (json!({"unit": "grid"}), false, false),
        (json!({"technique": "T1046"}), true, true),
        (json!({"technique": "T1046.001"}), true, true),
        (json!({"technique": "T1046.002"}), false, false),
        (json!({"source": "10.1.0.9"}), true, true),
        (json!({"source": "10.1.0.0/24"}), true, true),
        (json!({"source": "10.2.0.0/24"}), false, false),
        (json!({"target": "10.1.2.0/24"}), true, true),
        (json!({"target": "10.1.2.3"}), false, false),
        (json!({"host": "BANK-APP01"}), true, true),
        (json!({"user": "root"}), false, false),
        (json!({"rule": "r1", "unit": "bank", "source": "10.1.0.9", "user": "scan"}), true, false),
        (json!({"rule": "r1", "unit": "bank", "source": "10.9.0.9"}), false, false),
    ] {
        assert_eq!(m(matcher.clone()).covers(&base), covers, "{matcher}");
        assert_eq!(m(matcher.clone()).covers(&two), both, "two units: {matcher}");
    }
    let critical = Alert { severity_id: 5, ..base };
    assert!(!m(json!({"rule": "r1"})).covers(&critical) && m(json!({"rule": "r1", "critical": true})).covers(&critical));
    assert!(!m(json!({"user": "scan"})).covers(&Alert { users: vec![], ..critical }), "what an alert lacks is not inside");
}

#[test]
fn who_may_and_for_how_long() {
    let play = Play::default();
    let with = |hours: u32, more: Value| {
        let mut wish = json!({"act": "open", "rule": "r1", "hours": hours, "reason": "scanner of the house"});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wish
    };
    for (n, (role, wish, fine)) in [
        (Role::Operator, with(4, json!({})), true),
        (Role::Operator, with(5, json!({})), false),
        (Role::RuleAuthor, with(1, json!({})), true),
        (Role::RuleAuthor, with(24, json!({})), false),
        (Role::ShiftLead, with(24, json!({})), true),
        (Role::ShiftLead, with(169, json!({})), false),
        (Role::Operator, with(2, json!({"exception": true})), false),
        (Role::ShiftLead, with(8760, json!({"exception": true})), true),
        (Role::ShiftLead, with(8761, json!({"exception": true})), false),
        (Role::Operator, with(1, json!({"critical": true})), false),
        (Role::SectorLead, with(1, json!({})), false),
        (Role::Viewer, with(1, json!({})), false),
        (Role::Operator, with(0, json!({})), false),
        (Role::Operator, with(1, json!({"reason": " "})), false),
        (Role::Operator, with(1, json!({"rule": ""})), false),
        (Role::Operator, with(1, json!({"unit": "nowhere"})), false),
        (Role::Operator, with(1, json!({"source": "10.1.0.0/99"})), false),
        (Role::Operator, json!({"act": "open", "rule": "r1", "reason": "no end"}), false),
    ]
    .into_iter()
    .enumerate()
    {
        let said = act(&play, role, None, T.plus_secs(n as i64), wish.clone());
        assert_eq!(said.is_ok(), fine, "{role:?} {wish}: {said:?}");
    }
}

#[test]
fn it_hides_counts_ends_by_itself_and_says_what_it_hid() {
    let book = city();
    let mut play = Play::default();
    let id = act(&play, Role::Operator, None, T, json!({"act": "open", "rule": "scan", "hours": 2, "reason": "audit"})).unwrap();
    let mut all = Vec::new();
    for n in 0..60 {
        all.push(at(alert(&format!("A{n}"), "scan", 3, "lateral-movement", "T1021"), "shop", &format!("10.5.7.{n}")));
    }
    for one in &all {
        let done = play.take(&book, T.plus_secs(60), std::slice::from_ref(one));
        play.placed.extend(done.hidden);
    }
    // The same alert again is not counted twice; a critical one is not hidden.
    play.take(&book, T.plus_secs(120), &all[..5]);
    play.take(&book, T.plus_secs(120), &[at(alert("GRAVE", "scan", 5, "lateral-movement", "T1021"), "shop", "10.5.7.9")]);
    let held = silence(&play, &id);
    assert_eq!((held.hidden, held.last.len(), play.campaigns().len()), (60, HIDDEN_MAX, 1));
    assert_eq!(play.shelf.due(T.plus_secs(7199), 9).unwrap().iter().filter(|(k, _)| k == "silence").count(), 0);
    lapse(&play.shelf, &book, T.plus_secs(7200), "silence", &id).unwrap();
    assert_eq!(silence(&play, &id).state, State::Expired);
    let told = play.shelf.messages().into_iter().find(|m| m.kind == "silence").unwrap();
    assert!(told.text.en.contains("hid 60 alerts") && told.text.zh.contains("60 条"), "{told:?}");
    // What still grows is heard again, as new.
    play.take(&book, T.plus_secs(7300), &all[..1]);
    assert_eq!(play.of("A0").alerts, 1);
    assert!(act(&play, Role::ShiftLead, Some(&id), T.plus_secs(7400), json!({"act": "extend", "hours": 2, "reason": "more"})).is_err());
}

#[test]
fn a_long_one_reminds_every_week_and_can_be_ended() {
    let book = city();
    let play = Play::default();
    let wish = json!({"act": "open", "host": "bank-app01", "exception": true, "hours": 24 * 30, "reason": "old protocol"});
    let id = act(&play, Role::ShiftLead, None, T, wish).unwrap();
    for week in 1..=4 {
        let (kind, due) = play.shelf.due(T.plus_secs(week * WEEK_S), 9).unwrap().remove(0);
        lapse(&play.shelf, &book, T.plus_secs(week * WEEK_S), &kind, &due).unwrap();
    }
    assert_eq!(play.shelf.messages().len(), 4);
    act(&play, Role::Operator, Some(&id), T.plus_secs(5), json!({"act": "end", "reason": "replaced"})).unwrap();
    assert!(play.shelf.linked("silence", ACTIVE).unwrap().is_empty());
    assert_eq!(silence(&play, &id).history.len(), 2);
}
