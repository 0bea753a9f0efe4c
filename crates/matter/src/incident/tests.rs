//! Transitions as a table, grades from figures, limits that fire, merges undone, and the floor of the campaign.

use serde_json::{Value, json};
use warning::grade::Level;

use super::*;
use crate::campaign::tests::{Play, T, alert, at, city};
use crate::{Actor, Order, Role, Shelf, carry_out, lapse};

fn actor(role: Role, units: Option<&[&str]>) -> Actor {
    Actor { name: "lin".into(), role: Some(role), units: units.map(|u| u.iter().map(|s| (*s).to_owned()).collect()) }
}

fn go(play: &Play, who: &Actor, id: Option<&str>, now: Timestamp, wish: Value) -> Result<String, Refusal> {
    let order = Order { kind: "incident".into(), id: id.map(str::to_owned), expected: None, act: wish, key: None };
    play.shelf.transaction(|s| carry_out(s, &city(), who, now, order)).map(|o| o.changes[0].id.clone())
}

fn incident(play: &Play, id: &str) -> Incident {
    serde_json::from_value(play.shelf.all("incident").into_iter().find(|(i, _)| i == id).unwrap().1).unwrap()
}

const A1: &str = "A0000000000000001";
const A2: &str = "A0000000000000002";
const A3: &str = "A0000000000000003";

#[test]
fn from_suspicion_to_summary() {
    let lin = actor(Role::Operator, None);
    let confirm = json!({"act": "confirm", "category": "01007", "grade": 3, "note": "seen"});
    let close = |reason: &str| json!({"act": "close", "reason": reason, "summary": "cause and lessons"});
    // What was done, what is wanted now, whether it goes, the state after.
    let rows: Vec<(Vec<Value>, Value, bool, &str)> = vec![
        (vec![], confirm.clone(), true, "confirmed"),
        (vec![], json!({"act": "confirm", "grade": 3, "note": "no category"}), false, "suspected"),
        (vec![], json!({"act": "confirm", "category": "01007", "note": "no grade"}), false, "suspected"),
        (vec![], json!({"act": "confirm", "category": "04001", "grade": 3, "note": "content"}), false, "suspected"),
        (vec![], json!({"act": "confirm", "category": "01007", "grade": 5, "note": "x"}), false, "suspected"),
        (vec![], json!({"act": "confirm", "category": "01007", "grade": 3, "note": ""}), false, "suspected"),
        (vec![], json!({"act": "handle"}), false, "suspected"),
        (vec![], json!({"act": "recover", "note": "x"}), false, "suspected"),
        (vec![], json!({"act": "regrade", "grade": 1, "reason": "x"}), false, "suspected"),
        (vec![], close("resolved"), false, "suspected"),
        (vec![], close("false_alarm"), true, "closed"),
        (vec![], close("whatever"), false, "suspected"),
        (vec![], json!({"act": "close", "reason": "false_alarm", "summary": " "}), false, "suspected"),
        (vec![confirm.clone()], confirm.clone(), false, "confirmed"),
        (vec![confirm.clone()], json!({"act": "handle"}), true, "handling"),
        (vec![confirm.clone()], json!({"act": "recover", "note": "up again"}), true, "recovered"),
        (vec![confirm.clone()], close("resolved"), false, "confirmed"),
        (vec![confirm.clone()], close("no_harm"), true, "closed"),
        (vec![confirm.clone(), json!({"act": "handle"})], json!({"act": "recover", "note": "up"}), true, "recovered"),
        (vec![confirm.clone(), json!({"act": "recover", "note": "up"})], close("resolved"), true, "closed"),
        (vec![confirm.clone(), json!({"act": "recover", "note": "up"})], json!({"act": "reopen", "reason": "again"}), true, "handling"),
        (vec![close("false_alarm")], json!({"act": "reopen", "reason": "it was real"}), true, "suspected"),
        (vec![close("false_alarm")], json!({"act": "reopen", "reason": ""}), false, "closed"),
        (vec![close("false_alarm")], close("duplicate"), false, "closed"),
        (vec![], json!({"act": "absorbed", "into": "I1"}), false, "suspected"),
        (vec![], json!({"act": "link", "alerts": ["B1"]}), false, "suspected"),
        (vec![], json!({"act": "link", "alerts": [A1]}), true, "suspected"),
        (vec![], json!({"act": "split", "alerts": [A1], "title": "t"}), false, "suspected"),
    ];
    for (before, wish, fine, state) in rows {
        let play = Play::default();
        let id = go(&play, &lin, None, T, json!({"act": "open", "title": "files encrypted", "units": ["clinic"]})).unwrap();
        for step in &before {
            go(&play, &lin, Some(&id), T, step.clone()).unwrap();
        }
        let said = go(&play, &lin, Some(&id), T, wish.clone());
        assert_eq!((said.is_ok(), incident(&play, &id).state.name()), (fine, state), "{before:?} then {wish}: {said:?}");
    }
}

#[test]
fn figures_give_the_grade_and_the_graver_wins() {
    assert_eq!(city().tables.desk.incident.problems(), []);
    let play = Play::default();
    let lin = actor(Role::Operator, None);
    let id = go(&play, &lin, None, T, json!({"act": "open", "title": "outage", "units": ["grid"]})).unwrap();
    let harm = json!({"cii_main_function_min": 25 * 60});
    go(&play, &lin, Some(&id), T, json!({"act": "confirm", "category": "02008", "grade": 3, "impact": harm, "note": "down"})).unwrap();
    let odd = json!({"act": "regrade", "impact": {"tears": 9}, "reason": "x"});
    assert!(go(&play, &lin, Some(&id), T, odd).unwrap_err().to_string().contains("cii_main_function_min"), "the way out is named");
    let it = incident(&play, &id);
    assert_eq!(it.grade, Some(1), "a person said 3, the figures say 1");
    assert!(it.grade_why.unwrap().en.contains("1500 ≥ 1440"));
}

#[test]
fn a_confirmed_grade_is_the_floor_of_its_campaign() {
    let book = city();
    let mut play = Play::default();
    play.take(&book, T, &[at(alert("A1", "shell", 4, "persistence", "T1505"), "shop", "203.0.113.9")]);
    let campaign = play.placed["A1"].clone();
    let level = |play: &Play| play.of("A1").recommended.and_then(|r| r.level);
    assert_eq!(level(&play), Some(Level::Blue));
    let lin = actor(Role::Operator, None);
    let id = go(&play, &lin, None, T, json!({"act": "open", "title": "shop down", "units": ["shop"], "campaign": campaign})).unwrap();
    assert_eq!(level(&play), Some(Level::Blue), "a suspicion is no floor");
    for (wish, want) in [
        (json!({"act": "confirm", "category": "02005", "grade": 2, "note": "x"}), Level::Orange),
        (json!({"act": "regrade", "impact": {"service_people": 20_000_000}, "reason": "more are hit"}), Level::Red),
        (json!({"act": "recover", "note": "up"}), Level::Red),
        (json!({"act": "close", "reason": "no_harm", "summary": "nothing was lost"}), Level::Blue),
        (json!({"act": "reopen", "reason": "it was"}), Level::Red),
    ] {
        go(&play, &lin, Some(&id), T, wish.clone()).unwrap();
        assert_eq!(level(&play), Some(want), "{wish}");
    }
    let unit = actor(Role::SectorLead, Some(&["shop"]));
    let refused = |c: &str| go(&play, &unit, None, T, json!({"act": "open", "title": "t", "campaign": c})).unwrap_err().to_string();
    assert_eq!(refused(&campaign), refused("C0000000000000000").replace("C0000000000000000", &campaign), "a unit learns of no campaign");
}

#[test]
fn limits_fire_and_climb() {
    let book = city();
    let play = Play::default();
    let lin = actor(Role::Operator, None);
    let id = go(&play, &lin, None, T, json!({"act": "open", "title": "odd logins", "units": ["bank"]})).unwrap();
    let mut fired = Vec::new();
    let mut now = T;
    while let Some((kind, due)) = play.shelf.due(Timestamp::MAX, 1).unwrap().first().cloned() {
        now = incident(&play, &id).card().due.unwrap();
        lapse(&play.shelf, &book, now, &kind, &due).unwrap();
        fired.push(now.since(T) / (60 * event::SECOND_NS));
    }
    println!("judge limit fired after minutes: {fired:?}");
    assert_eq!(fired, [60, 180, 420, 900, 1860, 3780], "twice as long each time, six times");
    let whom: Vec<String> = play.shelf.messages().iter().map(|m| serde_json::to_string(&m.recipient).unwrap()).collect();
    assert_eq!(whom.len(), 12);
    assert!(
        whom[0].contains("incidents_write")
            && whom[1].contains("duty")
            && whom[2].contains("warnings_release")
            && whom[5].contains("leader")
    );
    go(&play, &lin, Some(&id), now, json!({"act": "confirm", "category": "02006", "grade": 2, "note": "x"})).unwrap();
    assert_eq!(incident(&play, &id).card().due, Some(now.plus_secs(30 * 60)), "handling within 30 minutes at grade II");
    go(&play, &lin, Some(&id), now.plus_secs(60), json!({"act": "regrade", "grade": 1, "reason": "worse"})).unwrap();
    assert_eq!(incident(&play, &id).card().due, Some(now.plus_secs(15 * 60)), "the limit is another, the time it runs from is not");
}

#[test]
fn merge_and_split_go_there_and_back() {
    let play = Play::default();
    let lin = actor(Role::Operator, None);
    let open = |title: &str, units: Value, alerts: Value| {
        go(&play, &lin, None, T, json!({"act": "open", "title": title, "units": units, "alerts": alerts})).unwrap()
    };
    let one = open("one", json!(["bank"]), json!([A1, A2]));
    let two = open("two", json!(["bank"]), json!([A2, A3]));
    let other = open("other unit", json!(["grid"]), json!([A1]));
    for (target, fine) in [(other.as_str(), false), (one.as_str(), false), ("I0", false), (two.as_str(), true), (two.as_str(), false)] {
        assert_eq!(go(&play, &lin, Some(&one), T, json!({"act": "merge", "other": target})).is_ok(), fine, "{target}");
    }
    assert_eq!(incident(&play, &one).alerts.len(), 3);
    assert_eq!(incident(&play, &two).card().state, "merged");
    assert!(go(&play, &lin, Some(&two), T, json!({"act": "assign"})).is_err(), "worked on where it went");
    go(&play, &lin, Some(&one), T, json!({"act": "unmerge", "other": two})).unwrap();
    assert_eq!(incident(&play, &one).alerts.iter().cloned().collect::<Vec<_>>(), [A1, A2], "what both had stays");
    assert_eq!((incident(&play, &two).card().state, incident(&play, &two).alerts.len()), ("suspected", 2));
    go(&play, &lin, Some(&one), T, json!({"act": "split", "alerts": [A2], "title": "half"})).unwrap();
    let half = play.shelf.linked("incident", &one).unwrap().remove(0);
    assert_eq!((incident(&play, &half).split_from.as_deref(), incident(&play, &one).alerts.len()), (Some(one.as_str()), 1));
    go(&play, &lin, Some(&one), T, json!({"act": "merge", "other": half})).unwrap();
    assert_eq!(incident(&play, &one).alerts.len(), 2, "a split is undone by a merge");
}

#[test]
fn a_units_people_see_and_open_their_own_only() {
    let play = Play::default();
    let lin = actor(Role::Operator, None);
    let bank = actor(Role::SectorUser, Some(&["bank"]));
    let id = go(&play, &bank, None, T, json!({"act": "open", "title": "ours"})).unwrap();
    assert_eq!(incident(&play, &id).units, ["bank"]);
    let city = go(&play, &lin, None, T, json!({"act": "open", "title": "the city's"})).unwrap();
    for (who, id, fine) in
        [(&bank, &id, true), (&bank, &city, false), (&lin, &id, true), (&actor(Role::SectorUser, Some(&["grid"])), &id, false)]
    {
        assert_eq!(go(&play, who, Some(id), T, json!({"act": "note", "text": "x"})).is_ok(), fine);
    }
    // Whether another unit exists is not told.
    let refused = |unit: &str| go(&play, &bank, None, T, json!({"act": "open", "title": "t", "units": [unit]})).unwrap_err().to_string();
    assert_eq!(refused("grid"), refused("nowhere"));
    let theirs = go(&play, &lin, None, T, json!({"act": "open", "title": "theirs", "units": ["grid"]})).unwrap();
    let merge = |other: &str| go(&play, &bank, Some(&id), T, json!({"act": "merge", "other": other})).unwrap_err().to_string();
    assert_eq!(merge(&theirs).replace(&theirs, "X"), merge("I0").replace("I0", "X"));
}
