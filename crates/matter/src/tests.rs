//! The rules every kind gets for nothing, on a kind made for it.

use std::sync::Arc;

use event::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::book::{Book, DeskTables, Signer, Tables};
use crate::{ActRow, Actor, Both, Card, Desk, Effects, Matter, Memory, Order, Permission, Refusal, Role, carry_out, lapse};

/// Something to be carried to a unit: opened, done, or late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Errand {
    unit: String,
    state: String,
    #[serde(with = "crate::when")]
    until: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Act {
    Open { unit: String, copies: Vec<String> },
    Done,
    Note,
}

const fn row(word: &'static str, opens: bool, right: Option<Permission>) -> ActRow {
    ActRow { word, opens, right, about: "", about_zh: "", fields: &[] }
}
pub(crate) const ACTS: &[ActRow] =
    &[row("open", true, Some(Permission::AlertsTriage)), row("done", false, Some(Permission::AlertsTriage)), row("note", false, None)];

impl Matter for Errand {
    const KIND: &'static str = "errand";
    type Act = Act;
    fn open(_id: &str, act: Act, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal> {
        let Act::Open { unit, copies } = act else { return Err(Refusal::because("no", "不")) };
        for copy in copies {
            out.open::<Self>(&Act::Open { unit: copy, copies: Vec::new() });
        }
        if unit == "nobody" {
            return Err(Refusal::because("nobody lives there", "无此单位"));
        }
        Ok(Self { unit, state: "open".to_owned(), until: desk.now.plus_secs(60) })
    }
    fn act(&mut self, act: Act, _: &Desk, _: &mut Effects) -> Result<(), Refusal> {
        if matches!(act, Act::Done) {
            self.state = "done".to_owned();
        }
        Ok(())
    }
    fn lapse(&mut self, _: &Desk, _: &mut Effects) -> Result<(), Refusal> {
        self.state = "late".to_owned();
        Ok(())
    }
    fn card(&self) -> Card {
        let state = ["done", "late"].into_iter().find(|s| *s == self.state).unwrap_or("open");
        Card {
            state,
            closed: state == "done",
            level: None,
            title: Both::new("差事", "errand"),
            units: vec![self.unit.clone()],
            exercise: false,
            due: (state == "open").then_some(self.until),
            links: Vec::new(),
        }
    }
}

/// No secret: the hash turned round.
struct Toy;
impl Signer for Toy {
    fn key(&self) -> String {
        "toy".into()
    }
    fn sign(&self, hash: &[u8; 32]) -> String {
        hash.iter().rev().map(|b| format!("{b:02x}")).collect()
    }
    fn verify(&self, key: &str, hash: &[u8; 32], signature: &str) -> bool {
        key == "toy" && self.sign(hash) == signature
    }
}

/// A book with the shipped tables and no units.
pub(crate) fn book() -> Book {
    let read = |name: &str| std::fs::read_to_string(format!("{}/../../config/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let desk: DeskTables = toml::from_str(&read("desk.toml")).unwrap();
    Book {
        tables: Arc::new(Tables { grading: toml::from_str(&read("grading.toml")).unwrap(), desk }),
        units: Default::default(),
        objects: Default::default(),
        assets: Default::default(),
        places: Default::default(),
        signer: Arc::new(Toy),
        flaws: Arc::new(()),
        pseudonyms: [7; 32],
    }
}

fn actor(role: Role, units: Option<&[&str]>) -> Actor {
    Actor { name: "lin".into(), role: Some(role), units: units.map(|u| u.iter().map(|s| (*s).to_owned()).collect()) }
}

fn order(id: Option<&str>, act: serde_json::Value) -> Order {
    Order { kind: "errand".into(), id: id.map(str::to_owned), expected: None, act, key: None }
}

const T: Timestamp = Timestamp::from_secs(1_800_000_000);

#[test]
fn an_act_and_its_effects_are_one_transaction() {
    let (shelf, book, lin) = (Memory::default(), book(), actor(Role::Operator, None));
    let failed =
        shelf.transaction(|s| carry_out(s, &book, &lin, T, order(None, json!({"act": "open", "unit": "a", "copies": ["b", "nobody"]}))));
    assert_eq!(failed, Err(Refusal::because("nobody lives there", "无此单位")));
    assert!(shelf.all("errand").is_empty() && shelf.entries().is_empty());
    let done = carry_out(&shelf, &book, &lin, T, order(None, json!({"act": "open", "unit": "a", "copies": ["b", "c"]}))).unwrap();
    assert_eq!(done.changes.iter().map(|c| c.card.units[0].as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(shelf.entries().iter().map(|e| e.who.as_str()).collect::<Vec<_>>(), ["lin", "desk", "desk"]);
}

#[test]
fn somebody_elses_matter_is_as_if_it_were_not_there() {
    let (shelf, book) = (Memory::default(), book());
    let made =
        carry_out(&shelf, &book, &actor(Role::Operator, None), T, order(None, json!({"act": "open", "unit": "a", "copies": []}))).unwrap();
    let id = made.changes[0].id.clone();
    let other = actor(Role::SectorUser, Some(&["b"]));
    let refused = carry_out(&shelf, &book, &other, T, order(Some(&id), json!({"act": "done"}))).unwrap_err();
    let absent = carry_out(&shelf, &book, &other, T, order(Some("E0"), json!({"act": "done"}))).unwrap_err();
    assert!(matches!(refused, Refusal::Missing { .. }) && matches!(absent, Refusal::Missing { .. }));
    assert!(matches!(
        carry_out(&shelf, &book, &other, T.plus_secs(1), order(None, json!({"act": "open", "unit": "a", "copies": []}))),
        Err(Refusal::Denied(_))
    ));
    carry_out(&shelf, &book, &actor(Role::SectorUser, Some(&["a"])), T, order(Some(&id), json!({"act": "done"}))).unwrap();
}

#[test]
fn rights_words_and_fields_are_checked() {
    let (shelf, book) = (Memory::default(), book());
    let open = json!({"act": "open", "unit": "a", "copies": []});
    let viewer = carry_out(&shelf, &book, &actor(Role::Viewer, None), T, order(None, open.clone())).unwrap_err();
    assert!(matches!(viewer, Refusal::Denied(_)));
    let lin = actor(Role::Operator, None);
    let id = carry_out(&shelf, &book, &lin, T, order(None, open)).unwrap().changes[0].id.clone();
    assert!(
        matches!(carry_out(&shelf, &book, &lin, T, order(Some(&id), json!({"act": "note"}))), Err(Refusal::Denied(_))),
        "the desk's own"
    );
    assert!(carry_out(&shelf, &book, &lin, T, order(Some(&id), json!({"act": "burn"}))).is_err());
    assert!(carry_out(&shelf, &book, &lin, T, order(None, json!({"act": "open", "unit": "a", "copies": [], "more": 1}))).is_err());
    assert!(carry_out(&shelf, &book, &lin, T, order(None, json!({"act": "done"}))).is_err());
}

#[test]
fn two_who_saw_the_same_revision_do_not_overwrite_each_other() {
    let (shelf, book, lin) = (Memory::default(), book(), actor(Role::Operator, None));
    let id =
        carry_out(&shelf, &book, &lin, T, order(None, json!({"act": "open", "unit": "a", "copies": []}))).unwrap().changes[0].id.clone();
    let done = Order { expected: Some(1), ..order(Some(&id), json!({"act": "done"})) };
    assert_eq!(carry_out(&shelf, &book, &lin, T, done.clone()).unwrap().changes[0].revision, 2);
    assert_eq!(carry_out(&shelf, &book, &lin, T, done), Err(Refusal::Conflict { revision: 2 }));
}

#[test]
fn a_repeated_wish_opens_nothing_twice() {
    let (shelf, book, lin) = (Memory::default(), book(), actor(Role::Operator, None));
    let wish = Order { key: Some("k1".into()), ..order(None, json!({"act": "open", "unit": "a", "copies": []})) };
    let first = carry_out(&shelf, &book, &lin, T, wish.clone()).unwrap();
    let again = carry_out(&shelf, &book, &lin, T.plus_secs(9), wish).unwrap();
    assert_eq!((first.changes[0].id.clone(), first.changes[0].opened, again.changes[0].opened), (again.changes[0].id.clone(), true, false));
    assert_eq!(shelf.entries().len(), 1);
}

#[test]
fn time_is_an_act_of_the_desk() {
    use crate::Shelf;
    let (shelf, book, lin) = (Memory::default(), book(), actor(Role::Operator, None));
    let id =
        carry_out(&shelf, &book, &lin, T, order(None, json!({"act": "open", "unit": "a", "copies": []}))).unwrap().changes[0].id.clone();
    assert!(shelf.due(T.plus_secs(59), 10).unwrap().is_empty());
    assert_eq!(shelf.due(T.plus_secs(60), 10).unwrap(), [("errand".to_owned(), id.clone())]);
    assert_eq!(lapse(&shelf, &book, T.plus_secs(60), "errand", &id).unwrap().changes[0].card.state, "late");
    assert!(shelf.due(T.plus_secs(999), 10).unwrap().is_empty());
}
