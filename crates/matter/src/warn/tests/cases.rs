//! What may follow what: each row is a script and how it ends; `! word` is a refusal that says so.

use warning::grade::Level;

use super::{Town, standing};

const YELLOW: &str = "lin draft; lin assess yellow; lin issue";
const RED: &str = "desk draft red; lin agree red; lin submit; wang approve issue";

/// (the city's right, script, end)
#[rustfmt::skip]
const CASES: &[(Option<Level>, &str, &str)] = &[
    // Draft and assess.
    (Some(Level::Red), "lin draft", "draft - 0"),
    (Some(Level::Red), "desk draft orange", "draft - 0"),
    (Some(Level::Red), "ying draft", "! your role may not"),
    (Some(Level::Red), "lin draft; lin edit other", "draft - 0"),
    (Some(Level::Red), "lin draft; lin edit empty", "! needs a 'title'"),
    (Some(Level::Red), "lin draft; lin edit moon", "! 'moon' is not in the register"),
    (Some(Level::Red), "lin draft; lin edit level", "! 'level' cannot be changed here"),
    (Some(Level::Red), "lin draft; lin issue", "! assess it first"),
    (Some(Level::Red), "lin draft; lin submit", "! assess it first"),
    (Some(Level::Red), "lin draft; lin assess yellow", "assessing - 0"),
    (Some(Level::Red), "lin draft; lin agree yellow", "! nothing was recommended"),
    (Some(Level::Red), "desk draft yellow; lin agree yellow", "assessing - 0"),
    (Some(Level::Red), "desk draft yellow; lin agree orange", "! yellow is recommended"),
    (Some(Level::Red), "desk draft yellow; lin assess orange", "assessing - 0"),
    (Some(Level::Red), "desk draft yellow; desk assess yellow", "! only a person"),
    (Some(Level::Red), "lin draft; lin assess none; lin issue", "! nothing to warn of"),
    (Some(Level::Red), "lin draft; lin assess none; lin discard", "cancelled - 0"),
    (Some(Level::Red), "lin draft; lin recommend", "! your role may not"),
    (Some(Level::Red), "lin draft; lin expire", "! your role may not"),
    (Some(Level::Red), "lin draft; wang expire", "! not issued yet"),
    (Some(Level::Red), "lin draft; wang lift", "! not issued yet"),
    (Some(Level::Red), "lin draft; lin update x", "! being prepared"),
    (Some(Level::Red), "desk draft blue; lin update x", "! not issued yet"),
    (Some(Level::Red), "lin draft; wang cancel", "cancelled - 0"),
    (Some(Level::Red), "lin draft; wang cancel; lin edit x", "! is cancelled"),
    (Some(Level::Red), "lin draft; wang cancel; lin note x", "cancelled - 0"),
    // Issue, with and without a second person.
    (Some(Level::Red), YELLOW, "issued yellow 1"),
    (Some(Level::Red), "lin draft nobody; lin assess blue; lin issue", "! goes to nobody"),
    (Some(Level::Red), "lin draft; lin edit idle; lin assess blue; lin issue", "! nothing to do"),
    (Some(Level::Red), "lin draft; lin assess advisory; lin issue", "issued advisory 1"),
    (Some(Level::Red), "lin draft; lin assess orange; lin issue", "! second person"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit; lin issue", "! second person"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit; lin approve", "! your role may not"),
    (Some(Level::Red), "wang draft; wang assess orange; wang submit; wang approve", "! had a hand"),
    (Some(Level::Red), "lin draft; wang assess orange; lin submit; wang approve", "! had a hand"),
    (Some(Level::Red), "lin draft; wang edit x; lin assess orange; lin submit; wang approve", "! had a hand"),
    (Some(Level::Red), "lin draft; lin assess orange; wang submit; wang approve", "! had a hand"),
    (Some(Level::Red), "desk draft orange; wang agree orange; wang submit; wang approve", "! had a hand"),
    (Some(Level::Red), "lin draft; lin assess orange; wang approve", "! not submitted"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit", "approving - 0"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit; lin submit", "! already"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit; lin edit x", "! 'return' it first"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit; lin assess red", "! 'return' it first"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit; wang approve", "approving - 0"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit; wang approve; lin issue", "issued orange 1"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit; wang approve issue", "issued orange 1"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit; wang return", "assessing - 0"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit; wang approve; wang return; lin issue", "! second person"),
    (Some(Level::Red), "lin draft; lin assess orange; lin submit; wang return; lin edit x; lin submit; wang approve issue", "issued orange 1"),
    (Some(Level::Red), "lin draft; lin assess yellow; wang return", "! not submitted"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin submit; lin issue", "issued yellow 1"),
    (Some(Level::Red), RED, "issued red 1"),
    // Authority.
    (Some(Level::Yellow), "lin draft; lin assess orange; lin submit", "! 'propose' it upward"),
    (Some(Level::Yellow), "lin draft; lin propose", "! assess it first"),
    (Some(Level::Yellow), "lin draft; lin assess yellow; lin propose", "! yours to issue"),
    (Some(Level::Yellow), "lin draft; lin assess orange; lin propose", "issued advisory 1"),
    (Some(Level::Yellow), "lin draft; lin assess orange; lin propose quietly", "assessing - 0"),
    (Some(Level::Yellow), "lin draft; lin assess orange; lin propose; wang answer no; lin submit", "! 'propose' it upward"),
    (Some(Level::Yellow), "lin draft; lin assess orange; lin propose; wang answer orange; lin submit; zhao approve issue", "issued orange 2"),
    (Some(Level::Yellow), "lin draft; lin assess red; lin propose; wang answer orange; lin submit", "! 'propose' it upward"),
    (Some(Level::Yellow), "lin draft; wang answer orange", "! nothing was proposed"),
    (None, "lin draft; lin assess blue; lin issue", "! 'propose' it upward"),
    (None, "lin draft; lin assess advisory; lin issue", "issued advisory 1"),
    (None, "desk draft blue; lin agree blue; lin propose", "issued advisory 1"),
    // Further revisions.
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin update x", "issued yellow 2"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin update metro", "issued yellow 2"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin edit x", "! no revision is being prepared"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin issue", "! no revision is being prepared"),
    (Some(Level::Red), "lin draft; lin assess blue; lin issue; lin upgrade yellow", "issued yellow 2"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin upgrade yellow", "! no higher"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin upgrade red", "issued yellow 1"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin upgrade red; lin update x", "! being prepared"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin upgrade red; wang approve issue", "issued red 2"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin upgrade red; lin discard", "issued yellow 1"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin extend", "issued yellow 2"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; wang extend; wang cancel", "cancelled yellow 3"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin lift", "! your role may not"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; wang cancel; wang lift", "! is cancelled"),
    // The desk's own voice on an issued one.
    (Some(Level::Red), "desk draft yellow; lin agree yellow; lin issue; desk rec red", "issued yellow 1"),
    (Some(Level::Red), "desk draft yellow; lin agree yellow; lin issue; desk rec red; lin issue", "! assess it first"),
    (Some(Level::Red), "desk draft yellow; lin agree yellow; lin issue; desk rec red; lin agree red; lin issue", "! second person"),
    (Some(Level::Red), "desk draft yellow; lin agree yellow; lin issue; desk rec red; lin agree red; lin submit; wang approve issue", "issued red 2"),
    (Some(Level::Red), "desk draft blue; lin agree blue; lin issue; desk rec yellow; lin agree yellow; lin issue", "issued yellow 2"),
    (Some(Level::Red), "desk draft blue; lin agree blue; lin issue; desk rec yellow; lin assess blue; lin issue", "issued blue 2"),
    (Some(Level::Red), "desk draft yellow; lin agree yellow; lin issue; desk rec red; lin assess blue", "! discard this draft"),
    (Some(Level::Red), "desk draft yellow; lin agree yellow; lin issue; desk rec red; lin extend", "issued yellow 2"),
    (Some(Level::Red), "desk draft yellow; lin agree yellow; lin issue; wang cancel; desk rec red", "cancelled yellow 2"),
    // Down: only after the dwell time, and only with feedback of the CII units.
    (Some(Level::Red), "desk draft red; lin agree red; lin submit; wang approve issue; lin downgrade", "! not below red"),
    (Some(Level::Red), "desk draft red; lin agree red; lin submit; wang approve issue; desk rec yellow; lin downgrade", "! must stay lower until"),
    (Some(Level::Red), "desk draft red; lin agree red; lin submit; wang approve issue; desk rec yellow; wait 719; lin downgrade", "! must stay lower until"),
    (Some(Level::Red), "desk draft red; lin agree red; lin submit; wang approve issue; bank sign; grid sign; desk rec yellow; wait 100; lin downgrade", "! (bank, grid)"),
    (Some(Level::Red), "desk draft red; lin agree red; lin submit; wang approve issue; bank feed_back no; grid feed_back exposed; desk rec yellow; wait 720; lin downgrade", "issued red 1"),
    (Some(Level::Red), "desk draft red; lin agree red; lin submit; wang approve issue; bank feed_back no; grid feed_back no; desk rec yellow; wait 720; lin downgrade; wang approve issue", "issued orange 2"),
    (Some(Level::Red), "desk draft red; lin agree red; lin submit; wang approve issue; desk rec yellow; wait 720; lin downgrade; lin approve", "! your role may not"),
    (Some(Level::Red), "desk draft red; lin agree red; lin submit; wang approve issue; desk rec yellow; wait 720; wang downgrade; wang approve", "! had a hand"),
    (Some(Level::Red), "desk draft red; lin agree red; lin submit; wang approve issue; desk rec yellow; wait 400; desk rec red; desk rec yellow; wait 400; lin downgrade", "! must stay lower until"),
    (Some(Level::Red), "desk draft red; lin agree red; lin submit; wang approve issue; desk rec yellow; wait 720; lin downgrade; wang approve issue; lin downgrade", "! must stay lower until"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; lin assess blue; wait 2880; lin downgrade", "issued blue 2"),
    (Some(Level::Red), "lin draft; lin assess blue; lin issue; lin downgrade", "! 'lift' it"),
    (Some(Level::Red), "lin draft; lin assess advisory; lin issue; lin downgrade", "! 'lift' it"),
    // Lift, and its way out.
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; wang lift", "! still blue or above"),
    (Some(Level::Red), "desk draft yellow; lin agree yellow; lin issue; desk rec none; wait 4319; wang lift", "! must stay below blue until"),
    (Some(Level::Red), "desk draft yellow; lin agree yellow; lin issue; desk rec none; wait 4320; wang lift", "lifted yellow 2"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; wang lift anyway", "lifted yellow 2"),
    (Some(Level::Red), "lin draft; lin assess advisory; lin issue; wang lift", "lifted advisory 2"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; wang lift anyway; lin update x", "! is lifted"),
    // Past its validity.
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; wang expire", "! still valid"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; wait 10080; wang expire", "expired yellow 2"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; wait 60000", "issued yellow 1"),
    (Some(Level::Red), "lin draft; lin assess yellow; lin issue; wait 60000; lin extend", "issued yellow 2"),
    (Some(Level::Red), "lin draft; lin assess blue; lin issue; wait 40319", "issued blue 1"),
    (Some(Level::Red), "lin draft; lin assess blue; lin issue; wait 90000", "expired blue 2"),
    (Some(Level::Red), "lin draft; lin assess advisory; lin issue; wait 90000", "expired advisory 2"),
];

#[test]
fn what_may_follow_what() {
    let mut wrong = Vec::new();
    for (right, script, end) in CASES {
        let town = Town::new(*right);
        let steps: Vec<&str> = script.split("; ").collect();
        let mut got = String::new();
        for (at, step) in steps.iter().enumerate() {
            if let Err(refused) = town.step(step) {
                got = format!("! {refused}");
                if at + 1 < steps.len() {
                    got = format!("! early, at '{step}': {refused}");
                }
                break;
            }
        }
        if got.is_empty() {
            got = standing(&town.get());
        }
        let right = match end.strip_prefix("! ") {
            Some(word) => got.starts_with("! ") && got.contains(word) && !got.starts_with("! early"),
            None => got == *end,
        };
        if !right {
            wrong.push(format!("{script}\n   expected {end}\n   got      {got}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    assert!(CASES.len() >= 60);
}

fn after(right: Level, script: &str) -> Town {
    let town = Town::new(Some(right));
    for step in script.split("; ") {
        town.step(step).unwrap_or_else(|e| panic!("{step}: {e}"));
    }
    town
}

#[test]
fn recommended_assessed_and_issued_are_kept_apart() {
    let town = after(Level::Yellow, "desk draft orange; lin assess yellow; lin issue; desk rec red");
    let w = town.get();
    let levels =
        (w.recommended.as_ref().unwrap().verdict().name(), w.assessed.as_ref().unwrap().level.name(), w.issued_level.unwrap().name());
    assert_eq!(levels, ("red", "yellow", "yellow"));
    assert_eq!(w.assessed.as_ref().unwrap().recommended.unwrap().name(), "orange");
    let ids: Vec<&str> = w.revisions[0].reasons.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(ids, ["grade_matrix", "judged", "step_reason"]);
    assert_eq!(w.recommendations.iter().map(|m| m.level.name()).collect::<Vec<_>>(), ["orange", "red"]);
}

#[test]
fn a_person_cannot_say_what_the_tables_recommend_but_gives_a_case_to_grade() {
    let town = Town::new(Some(Level::Red));
    let forged =
        serde_json::json!({"act": "draft", "notice": super::notice(), "units": ["bank"], "recommended": super::recommended("red")});
    assert!(town.order("lin", "warning", None, forged).unwrap_err().to_string().contains("give the 'case'"));
    let case = serde_json::json!({
        "object": [{"id": "his", "unit": "bank", "sector": "health", "mlps": 3}],
        "evidence": [{"id": "A1", "object": "his", "tactics": ["TA0008"], "source": "net"}],
    });
    let given = serde_json::json!({"act": "draft", "notice": super::notice(), "units": ["bank"], "case": case});
    let made = town.order("lin", "warning", None, given).unwrap();
    *town.warning.borrow_mut() = made.changes[0].id.clone();
    let w = town.get();
    let recommended = w.recommended.unwrap();
    assert_eq!(recommended.verdict().name(), "yellow");
    assert!(recommended.case.is_some() && recommended.case_hash.len() == 64);
}

#[test]
fn a_rising_recommendation_makes_one_draft_and_a_decided_one_makes_none() {
    let town = after(Level::Red, "desk draft yellow; lin agree yellow; lin issue; desk rec orange");
    let drafted = |town: &Town| town.get().draft.map(|d| (d.step.name(), d.drafted_by));
    assert_eq!(drafted(&town), Some(("upgrade", "desk".to_owned())));
    town.step("desk rec orange").unwrap();
    town.step("lin discard").unwrap();
    town.step("desk rec orange").unwrap();
    assert_eq!(drafted(&town), None, "decided");
    town.step("desk rec red").unwrap();
    assert_eq!(drafted(&town).map(|d| d.0), Some("upgrade"), "higher than decided");
    town.step("lin discard").unwrap();
    town.step("desk rec blue").unwrap();
    town.step("desk rec orange").unwrap();
    assert_eq!(drafted(&town).map(|d| d.0), Some("upgrade"), "it fell and rose again");
}

#[test]
fn a_new_unit_concerned_makes_an_update_unless_somebody_decided_not_to_tell_it() {
    let town = after(Level::Red, "desk draft yellow; lin agree yellow; lin issue; desk spread yellow");
    let draft = town.get().draft.unwrap();
    assert_eq!((draft.step.name(), draft.units.len()), ("update", 3));
    town.step("lin discard").unwrap();
    town.step("desk spread yellow").unwrap();
    assert!(town.get().draft.is_none());
    town.step("lin update metro").unwrap();
    assert_eq!(town.get().last().unwrap().units, ["bank", "grid", "metro"]);
    assert_eq!(town.receipt("metro").copies[0].number, 2);
    assert_eq!(town.receipt("bank").copies.len(), 2);
}

#[test]
fn a_campaign_has_one_open_warning_and_a_new_one_after_it_is_over() {
    let town = after(Level::Red, "desk draft yellow");
    let first = town.warning.borrow().clone();
    let repeated = town.order("desk", "warning", None, super::draft("desk", "red")).unwrap();
    assert!(repeated.changes.is_empty());
    town.step("wang cancel").unwrap();
    town.step("desk draft red").unwrap();
    assert_ne!(*town.warning.borrow(), first);
}

#[test]
fn waiting_drafts_reviews_and_ends_remind_ever_less_often() {
    let town = after(Level::Red, "desk draft red; lin agree red; lin submit; wang approve issue");
    let count = |word: &str| town.shelf.messages().iter().filter(|m| m.kind == "warning" && m.title.en.contains(word)).count();
    town.wait(1439);
    assert_eq!((count("to review"), count("past its validity")), (1, 0));
    town.wait(1);
    assert_eq!((count("to review"), count("past its validity")), (1, 1));
    // After 1, 3, 7, 15 and 31 hours.
    town.wait(31 * 60);
    assert_eq!(count("past its validity"), 6);
    assert_eq!(standing(&town.get()), "issued red 1");

    let town = after(Level::Red, "desk draft red");
    town.wait(15 * 15);
    let waits: Vec<_> = town.shelf.messages().into_iter().filter(|m| m.title.en.contains("still waits")).map(|m| m.time).collect();
    let minutes: Vec<i64> = waits.iter().map(|t| t.since(super::T) / 60_000_000_000).collect();
    assert_eq!(minutes, [15, 45, 105, 225]);
}

#[test]
fn what_may_go_down_or_be_lifted_is_said_once() {
    let town = after(Level::Red, "desk draft yellow; lin agree yellow; lin issue; desk rec none");
    town.wait(9000);
    let said = |word: &str| town.shelf.messages().iter().filter(|m| m.title.en.contains(word)).count();
    assert_eq!((said("may go down"), said("may be lifted")), (1, 1));
}

#[test]
fn a_drill_is_marked_everywhere_and_never_mixes() {
    let town = Town::new(Some(Level::Red));
    let real = serde_json::json!({"act": "draft", "notice": super::notice(), "units": ["bank"], "drill": "D1"});
    assert!(town.order("lin", "warning", None, real.clone()).is_err());
    let mut drill = real;
    drill["exercise"] = true.into();
    *town.warning.borrow_mut() = town.order("lin", "warning", None, drill).unwrap().changes[0].id.clone();
    assert!(town.step("desk rec red").unwrap_err().to_string().contains("do not mix"));
    town.step("lin assess blue").unwrap();
    town.step("lin issue").unwrap();
    assert!(town.get().revisions[0].exercise && town.receipt("bank").exercise && town.receipt("bank").copies[0].exercise);
    assert!(town.shelf.messages().iter().all(|m| m.exercise && m.title.en.starts_with("[EXERCISE]") && m.title.zh.starts_with("【演练】")));
}

#[test]
fn the_desk_cuts_its_own_words_to_fit_and_refuses_a_persons() {
    let town = Town::new(Some(Level::Red));
    let long = serde_json::json!({"zh": "长".repeat(9_000), "en": "x".repeat(9_000)});
    let mut act = super::draft("desk", "yellow");
    for key in ["title", "event", "threat", "scope", "impact"] {
        act["notice"][key] = long.clone();
    }
    act["notice"]["category"] = "nonsense".into();
    act["units"] = serde_json::json!(["bank", "moon"]);
    *town.warning.borrow_mut() = town.order("desk", "warning", None, act.clone()).unwrap().changes[0].id.clone();
    let draft = town.get().draft.unwrap();
    assert_eq!((draft.notice.title.zh.chars().count(), draft.units.len(), draft.notice.category.len()), (300, 1, 0));
    act.as_object_mut().unwrap().remove("recommended");
    act.as_object_mut().unwrap().remove("campaign");
    assert!(town.order("lin", "warning", None, act).is_err());
}
