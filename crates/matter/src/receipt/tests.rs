//! A unit's receipt: what may follow what, the line it goes up, and the time limits.

use serde_json::json;
use warning::grade::Level;

use super::Receipt;
use crate::warn::tests::{T, Town};
use crate::{Matter, Recipient};

const RED: &str = "desk draft red; lin agree red; lin submit; wang approve issue";

fn after(script: &str) -> Town {
    let town = Town::new(Some(Level::Red));
    for step in script.split("; ") {
        town.step(step).unwrap_or_else(|e| panic!("{step}: {e}"));
    }
    town
}

/// (script after a red issue, state of the bank's receipt or a refusal)
#[rustfmt::skip]
const CASES: &[(&str, &str)] = &[
    ("", "sent"),
    ("bank see", "seen"),
    ("bank sign", "signed"),
    ("bank sign; bank see", "signed"),
    ("bank sign; bank sign", "! bank signed at"),
    ("bank act_on", "acted"),
    ("bank act_on; bank act_on", "! already"),
    ("bank act_on; bank sign", "! bank signed at"),
    ("bank sign; bank act_on", "acted"),
    ("bank feed_back no", "fed_back"),
    ("bank feed_back damaged; bank feed_back no", "fed_back"),
    ("bank sign; bank act_on; bank feed_back exposed", "fed_back"),
    ("bank sign; wang cancel", "ended"),
    ("wang cancel; bank sign", "ended"),
    ("wang cancel; bank feed_back no", "ended"),
    ("wait 10000; bank sign", "signed"),
    ("bank sign; lin extend", "signed"),
];

#[test]
fn what_may_follow_what() {
    for (script, end) in CASES {
        let town = after(RED);
        let mut got = String::new();
        for step in script.split("; ").filter(|s| !s.is_empty()) {
            if let Err(refused) = town.step(step) {
                got = format!("! {refused}");
            }
        }
        if got.is_empty() {
            got = town.receipt("bank").state.name().to_owned();
        }
        assert!(end.strip_prefix("! ").map_or(got == *end, |word| got.starts_with("! ") && got.contains(word)), "{script}: {got}");
    }
}

#[test]
fn nobody_signs_and_it_goes_up_the_line_each_after_one_period() {
    let town = after(RED);
    town.wait(119);
    let id = Receipt::id(&town.warning.borrow(), "bank");
    let told: Vec<(i64, String)> = town
        .shelf
        .messages()
        .iter()
        .filter(|m| m.id == id)
        .map(|m| {
            let to = match &m.recipient {
                Recipient::Unit { role, .. } => role.clone(),
                Recipient::City { .. } => "city".to_owned(),
            };
            assert_eq!(m.revision.is_some(), to != "city", "who is asked to sign gets the warning itself");
            (m.time.since(T) / 60_000_000_000, to)
        })
        .collect();
    let expected = [(0, "duty"), (15, "substitute"), (15, "city"), (30, "leader"), (45, "protection"), (45, "city")];
    assert_eq!(told, expected.map(|(at, who)| (at, who.to_owned())));
    let receipt = town.receipt("bank");
    assert_eq!(receipt.receipt_overdue, Some(T.plus_secs(900)));
    assert_eq!((receipt.escalated, receipt.receipt_due), (3, None));
}

#[test]
fn a_signature_stops_the_climb() {
    let town = after(RED);
    town.wait(20);
    town.step("bank sign").unwrap();
    town.wait(60);
    assert_eq!(town.receipt("bank").escalated, 1);
    assert_eq!(town.receipt("grid").escalated, 3);
}

#[test]
fn feedback_is_asked_for_in_time_and_again() {
    let town = after(&format!("{RED}; bank sign; grid sign"));
    town.wait(119);
    assert_eq!(town.receipt("bank").feedback_overdue, None);
    town.wait(1);
    assert_eq!(town.receipt("bank").feedback_overdue, Some(T.plus_secs(7_200)));
    town.step("bank feed_back exposed").unwrap();
    let receipt = town.receipt("bank");
    assert_eq!(receipt.feedback_due, Some(T.plus_secs(7_200 + 240 * 60)), "red: every four hours");
    assert_eq!(receipt.feedback_overdue, Some(T.plus_secs(7_200)), "it came late, and that stays");
    town.wait(240);
    let count = |word: &str| town.shelf.messages().iter().filter(|m| m.id == receipt.id && m.title.en.contains(word)).count();
    assert_eq!(count("no feedback"), 4, "twice, to the unit and to the city");
    town.step("bank feed_back no").unwrap();
    assert_eq!(town.receipt("bank").feedback_due, None, "not affected: nothing more is asked");
}

#[test]
fn a_higher_level_is_signed_for_again_and_a_lower_one_is_not() {
    let town = after("lin draft; lin assess yellow; lin issue; bank sign; bank feed_back no; lin update x");
    assert_eq!(town.receipt("bank").state.name(), "fed_back");
    town.step("lin upgrade red").unwrap();
    town.step("wang approve issue").unwrap();
    let receipt = town.receipt("bank");
    assert_eq!((receipt.state.name(), receipt.signature(), receipt.signed.len(), receipt.round), ("sent", None, 1, 3));
    assert_eq!(receipt.receipt_due, Some(T.plus_secs(900)));
    town.step("bank sign").unwrap();
    assert_eq!(town.receipt("bank").signature().map(|s| s.number), Some(3));
    town.step("bank feed_back no").unwrap();
    town.step("grid feed_back no").unwrap();
    town.step("lin assess blue").unwrap();
    town.wait(720);
    town.step("lin downgrade").unwrap();
    town.step("wang approve issue").unwrap();
    assert_eq!(town.receipt("bank").state.name(), "fed_back");
}

#[test]
fn the_city_signs_for_somebody_who_called_and_says_who() {
    let town = after(RED);
    let id = Receipt::id(&town.warning.borrow(), "bank");
    let sign = |who: &str| town.order("lin", "receipt", Some(&id), json!({"act": "sign", "who": who}));
    assert!(sign("").unwrap_err().to_string().contains("'who'"));
    sign("老王").unwrap();
    let receipt = town.receipt("bank");
    let signed = receipt.signature().unwrap();
    assert_eq!((signed.who.as_str(), signed.by.as_str()), ("老王", "lin"));
    // Another unit cannot even see it.
    assert!(matches!(town.order("grid", "receipt", Some(&id), json!({"act": "see"})), Err(crate::Refusal::Missing { .. })));
    // Nobody but the desk opens, revises or reports delivery.
    for act in ["delivered", "revise"] {
        assert!(matches!(town.order("bank", "receipt", Some(&id), json!({ "act": act })), Err(crate::Refusal::Denied(_))), "{act}");
    }
}

#[test]
fn feedback_says_something_and_help_is_heard_at_once() {
    let town = after(RED);
    let id = Receipt::id(&town.warning.borrow(), "bank");
    let feed = |more: serde_json::Value| {
        let mut act = json!({"act": "feed_back", "affected": "attacked"});
        for (key, value) in more.as_object().unwrap() {
            act[key] = value.clone();
        }
        town.order("bank", "receipt", Some(&id), act).map(drop).map_err(|e| e.to_string())
    };
    assert!(feed(json!({})).unwrap_err().contains("what you did"));
    assert!(feed(json!({"measures": "x".repeat(2_001)})).unwrap_err().contains("2000"));
    assert!(feed(json!({"measures": "x", "done_at": "2099-01-01T00:00:00Z"})).unwrap_err().contains("not over"));
    assert!(feed(json!({"measures": "x", "affected": "perhaps"})).is_err());
    feed(json!({"measures": "cut off", "objects": 3, "help": "an expert", "done_at": "2026-01-01T00:00:00Z"})).unwrap();
    let told = town.shelf.messages().into_iter().rfind(|m| m.id == id).unwrap();
    assert!(matches!(told.recipient, Recipient::City { .. }));
    assert!(told.text.en.contains("attacked, 3 objects. Asks for help: an expert"), "{}", told.text.en);
}

#[test]
fn deliveries_are_the_desks_and_bounded() {
    let town = after(RED);
    let id = Receipt::id(&town.warning.borrow(), "bank");
    for n in 0..150 {
        town.order("desk", "receipt", Some(&id), json!({"act": "delivered", "channel": format!("mail{n}")})).unwrap();
    }
    let receipt = town.receipt("bank");
    assert_eq!((receipt.state.name(), receipt.deliveries.len()), ("delivered", super::DELIVERIES_MAX));
}

#[test]
fn the_unit_is_told_all_it_needs_in_both_languages() {
    let town = after(RED);
    let id = Receipt::id(&town.warning.borrow(), "bank");
    let message = town.shelf.messages().into_iter().find(|m| m.id == id).unwrap();
    assert_eq!(message.title.zh, "【红色预警·发布】勒索软件");
    assert_eq!(message.title.en, "[RED WARNING] Ransomware");
    assert!(message.text.zh.contains("1. 断网") && message.text.zh.contains("请在 15 分钟内签收，2 小时内反馈"), "{}", message.text.zh);
    assert!(message.text.en.contains("1. Unplug it") && message.text.en.contains("Sign for it within 15 min, feed back within 2 h."));
    assert_eq!((message.thread, message.kind.as_str()), (town.warning.borrow().clone(), Receipt::KIND));
}
