//! Revisions: immutable, chained, signed; what was changed is found and named.

use warning::grade::Level;

use super::Town;
use crate::warn::{Warning, accord, verify};
use crate::{Shelf, notice};

const LIFE: &str = "desk draft red; lin agree red; lin submit; wang approve issue; bank sign; bank feed_back no; grid feed_back attacked; \
                    desk spread yellow; wait 720; wang discard; lin downgrade; wang approve issue; wait 1440; lin downgrade; wang approve issue; \
                    lin extend; desk rec none; wait 4320; wang lift";

fn lived() -> Town {
    let town = Town::new(Some(Level::Red));
    for step in LIFE.split("; ") {
        town.step(step).unwrap_or_else(|e| panic!("{step}: {e}"));
    }
    town
}

#[test]
fn a_whole_life_verifies_and_every_receipt_with_it() {
    let town = lived();
    let w = town.get();
    let steps: Vec<&str> = w.revisions.iter().map(|r| r.step.name()).collect();
    assert_eq!(steps, ["issue", "downgrade", "downgrade", "extend", "lift"]);
    verify(&w, &town.book).unwrap();
    for unit in ["bank", "grid"] {
        let receipt = town.receipt(unit);
        assert_eq!((receipt.copies.len(), receipt.state.name()), (5, "ended"));
        receipt.verify(&town.book).unwrap();
        accord(&w, &receipt).unwrap();
    }
}

#[test]
fn a_tail_cut_off_whole_is_seen_in_the_receipts() {
    let town = lived();
    let mut cut = town.get();
    cut.revisions.pop();
    cut.state = crate::warn::State::Issued;
    verify(&cut, &town.book).unwrap();
    assert_eq!(accord(&cut, &town.receipt("bank")).unwrap_err().number, 5);
    let mut lost = town.receipt("bank");
    lost.copies.remove(3);
    assert_eq!(accord(&town.get(), &lost).unwrap_err().number, 4);
}

#[test]
fn the_same_acts_give_the_same_bytes() {
    let (one, two) = (lived(), lived());
    assert_eq!(one.shelf.all("warning"), two.shelf.all("warning"));
    assert_eq!(one.shelf.all("receipt"), two.shelf.all("receipt"));
    assert_eq!(one.shelf.messages(), two.shelf.messages());
    assert_eq!(one.shelf.entries(), two.shelf.entries());
}

#[test]
fn a_change_is_found_and_its_revision_named() {
    let town = lived();
    type Change = fn(&mut Warning);
    let changes: &[(&str, u32, Change)] = &[
        ("level", 1, |w| w.revisions[0].level = Some(Level::Blue)),
        ("text", 2, |w| w.revisions[1].notice.event.zh.push('x')),
        ("time", 3, |w| w.revisions[2].issued = w.revisions[2].issued.plus_secs(1)),
        ("second person", 1, |w| w.revisions[0].approved_by = None),
        ("units", 4, |w| w.revisions[3].units.clear()),
        ("signature", 5, |w| w.revisions[4].signature.clear()),
        ("key", 5, |w| w.revisions[4].key = "other".into()),
        ("one left out", 3, |w| drop(w.revisions.remove(1))),
        ("two swapped", 2, |w| w.revisions.swap(0, 1)),
        ("the last left out", 4, |w| drop(w.revisions.pop())),
        ("all left out", 0, |w| w.revisions.clear()),
        ("the first left out", 2, |w| drop(w.revisions.remove(0))),
        ("of another warning", 1, |w| w.id = "W0".into()),
        ("state", 5, |w| w.state = crate::warn::State::Issued),
        ("issued level", 5, |w| w.issued_level = None),
        ("an end in the middle", 2, |w| w.revisions[0].step = notice::Step::Lift),
    ];
    for (what, number, change) in changes {
        let mut w = town.get();
        change(&mut w);
        let broken = verify(&w, &town.book).expect_err(what);
        // A changed revision does not hash to what the next one follows; the first to show it is named.
        assert!(broken.number == *number || broken.number + 1 == *number, "{what}: {broken:?}");
        assert_eq!(broken.id, w.id);
        assert!(!broken.why.zh.is_empty() && !broken.why.en.is_empty());
    }
    let mut receipt = town.receipt("grid");
    receipt.copies[1].notice.title.en = "nothing".into();
    assert_eq!(receipt.verify(&town.book).unwrap_err().number, 2);
    receipt = town.receipt("grid");
    receipt.unit = "bank".into();
    assert!(receipt.verify(&town.book).is_err());
}

#[test]
fn a_unit_learns_of_no_other_unit() {
    let town = lived();
    let id = town.warning.borrow().clone();
    for (unit, other) in [("bank", "grid"), ("grid", "bank")] {
        let receipt = town.receipt(unit);
        let body = serde_json::to_string(&receipt).unwrap();
        assert!(!body.contains(&format!("\"{other}")), "{body}");
        for entry in town.shelf.entries().iter().filter(|e| e.id == receipt.id) {
            assert!(!serde_json::to_string(entry).unwrap().contains(&format!("\"{other}")), "{entry:?}");
        }
        for message in town.shelf.messages().iter().filter(|m| m.id == receipt.id && matches!(&m.recipient, crate::Recipient::Unit { .. }))
        {
            assert!(!serde_json::to_string(message).unwrap().contains(&format!("\"{other}")));
        }
        // Nor of the warning: it is the city's.
        assert!(town.order(unit, "warning", Some(&id), serde_json::json!({"act": "note", "text": "x"})).is_err());
    }
    assert_eq!(town.shelf.linked("receipt", &id).unwrap().len(), 2);
}
