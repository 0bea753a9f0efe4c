//! Whatever people do, in whatever order: two persons behind every orange and red, old revisions untouched, receipts never lost.

use std::collections::BTreeMap;

use proptest::prelude::*;
use warning::grade::Level;

use super::Town;
use crate::warn::{State, accord, verify};
use crate::{Permission, Revision, Role};

#[rustfmt::skip]
const STEPS: &[&str] = &[
    "lin assess blue", "lin assess yellow", "lin assess orange", "lin assess red", "wang assess orange", "wang assess none", "mei agree red",
    "lin edit x", "wang edit y", "lin edit moon", "lin submit", "wang submit", "wang approve", "zhao approve", "wang approve issue",
    "zhao approve issue", "lin issue", "wang issue", "desk issue", "desk approve", "wang return", "lin discard", "lin propose", "wang propose",
    "wang answer red", "wang answer no", "lin update x", "wang update metro", "lin upgrade orange", "wang upgrade red", "lin downgrade",
    "wang downgrade", "lin extend", "wang lift", "wang lift anyway", "wang cancel", "wang expire", "lin note x", "desk rec none", "desk rec blue",
    "desk rec yellow", "desk rec orange", "desk rec red", "desk spread red", "bank sign", "bank feed_back no", "grid feed_back damaged",
    "grid see", "metro sign", "metro act_on", "wait 10", "wait 130", "wait 1500", "wait 5000", "wait 20000",
    // Longer ways, so that the later states are reached often.
    "lin assess orange; lin submit; wang approve issue", "lin assess red; mei submit; zhao approve issue", "mei assess yellow; mei issue",
    "lin assess red; lin propose; wang answer red; lin submit; zhao approve issue", "bank feed_back no; grid feed_back no; wait 3000; lin downgrade",
    "wang approve issue; desk rec yellow; wait 1440; lin downgrade; zhao approve issue", "lin assess none; wait 4400; wang lift",
];

fn check(right: Option<Level>, first: &str, steps: &[usize]) {
    let town = Town::new(right);
    town.step(first).unwrap();
    let mut known: Vec<Revision> = Vec::new();
    let mut copies: BTreeMap<String, Vec<Revision>> = BTreeMap::new();
    let mut told: Vec<String> = Vec::new();
    for at in steps {
        let step = STEPS[*at % STEPS.len()];
        for part in step.split("; ") {
            let _ = town.step(part);
        }
        let w = town.get();
        assert_eq!(&w.revisions[..known.len()], &known[..], "{step}: an old revision changed");
        known.clone_from(&w.revisions);
        verify(&w, &town.book).unwrap();
        for unit in w.last().map(|r| r.units.clone()).unwrap_or_default() {
            let receipt = town.receipt(&unit);
            assert_eq!(receipt.copies.last().map(|c| c.number), w.last().map(|r| r.number), "{step}: {unit} was not told");
            receipt.verify(&town.book).unwrap();
            accord(&w, &receipt).unwrap();
            let before = copies.insert(unit.clone(), receipt.copies.clone()).unwrap_or_default();
            assert_eq!(&receipt.copies[..before.len()], &before[..], "{step}");
        }
        assert!(told.iter().all(|u| w.last().is_some_and(|r| r.units.contains(u))), "{step}: a unit fell out");
        told = w.last().map(|r| r.units.clone()).unwrap_or_default();
        assert_eq!(town.shelf.all("receipt").len(), told.len());
        let open = matches!(w.state, State::Draft | State::Assessing | State::Approving | State::Issued);
        assert!(w.sensible().iter().all(|word| crate::warn::ACTS.iter().any(|a| a.word == *word && a.right.is_some())));
        assert_eq!(w.due().is_some(), open, "{step}: something open must wake up");
    }
    let roles: BTreeMap<&str, Role> =
        [("lin", Role::Operator), ("mei", Role::Operator), ("wang", Role::ShiftLead), ("zhao", Role::ShiftLead)].into();
    for revision in &known {
        let second = revision.level >= Some(Level::Orange) && !revision.step.ends() && revision.step.name() != "extend";
        if second {
            let approved = revision.approved_by.as_deref().expect("nobody approved it");
            assert_ne!(approved, revision.drafted_by);
            assert!(roles[approved].may(Permission::WarningsRelease));
            assert!(persons_before(&town, revision, approved), "one person alone: {revision:?}");
        }
        let may = right.is_none_or(|r| revision.level > Some(r)) && revision.level.is_some();
        if may && right != Some(Level::Red) {
            assert!(town.shelf.entries().iter().any(|e| e.act == "answer"), "above the right, and nobody granted it");
        }
    }
}

/// Somebody else than who approved assessed, edited or submitted it.
fn persons_before(town: &Town, revision: &Revision, approved: &str) -> bool {
    let hands = ["assess", "edit", "submit", "upgrade", "update", "downgrade"];
    town.shelf.entries().iter().any(|e| e.time <= revision.issued && hands.contains(&e.act.as_str()) && e.who != approved)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nothing_people_do_breaks_the_rules(
        right in prop_oneof![Just(None), Just(Some(Level::Yellow)), Just(Some(Level::Red))],
        first in prop_oneof![Just("lin draft"), Just("desk draft yellow"), Just("desk draft red"), Just("wang draft")],
        steps in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
    ) {
        let steps: Vec<usize> = steps.iter().map(|i| i.index(STEPS.len())).collect();
        check(right, first, &steps);
    }
}

#[test]
fn a_usual_night_goes_through_all_of_it() {
    let at = |step: &str| STEPS.iter().position(|s| *s == step).unwrap();
    let night = [
        "lin assess orange",
        "lin submit",
        "zhao approve issue",
        "bank sign",
        "desk rec red",
        "wait 130",
        "mei agree red",
        "lin submit",
        "wang approve issue",
    ];
    check(Some(Level::Red), "desk draft yellow", &night.map(at));
}
