//! Carrying out acts: one act with everything it causes, on one shelf, which is one transaction.

use std::collections::VecDeque;

use event::Timestamp;
use serde_json::Value;

use crate::shelf::Entry;
use crate::{Actor, Book, Card, Desk, EFFECTS_MAX, Effects, Kind, Refusal, Shelf, ties};

/// What somebody wants done.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Word of the kind.
    pub kind: String,
    /// None: open a new one.
    pub id: Option<String>,
    /// The revision they saw; none: whatever it is now.
    pub expected: Option<u64>,
    /// The act with its fields: an object with `act`.
    pub act: Value,
    /// What the caller calls this wish: repeated, it opens nothing twice.
    pub key: Option<String>,
}

/// A matter after an act.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub kind: &'static str,
    pub id: String,
    pub revision: u64,
    pub card: Card,
    pub body: Value,
    pub opened: bool,
}

/// What one order did, itself first, then its effects in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    pub changes: Vec<Change>,
    pub messages: usize,
}

/// Does it and all its effects. On `Err` the caller's transaction must be undone.
pub fn carry_out(shelf: &dyn Shelf, book: &Book, by: &Actor, now: Timestamp, order: Order) -> Result<Outcome, Refusal> {
    let mut outcome = Outcome::default();
    let mut effects = Effects::default();
    let desk = Desk { book, shelf, by, now };
    let change = one(&desk, &order, &mut effects)?;
    outcome.changes.extend(change);
    settle(shelf, book, now, effects, &mut outcome)?;
    Ok(outcome)
}

/// Lets time pass for one matter that fell due.
pub fn lapse(shelf: &dyn Shelf, book: &Book, now: Timestamp, kind: &str, id: &str) -> Result<Outcome, Refusal> {
    let mut outcome = Outcome::default();
    let mut effects = Effects::default();
    let by = Actor::desk();
    let desk = Desk { book, shelf, by: &by, now };
    let kind = known(kind)?;
    let stored = shelf.get(kind.word, id)?.ok_or_else(|| Refusal::Missing { kind: kind.word, id: id.to_owned() })?;
    let (card, body) = (kind.lapse)(&stored.body, &desk, &mut effects)?;
    if card.due.is_some_and(|due| due <= now) {
        return Err(Refusal::Storage(format!("{} {id} is still due after it lapsed", kind.word)));
    }
    let change = Change { kind: kind.word, id: id.to_owned(), revision: stored.revision + 1, card, body, opened: false };
    put(&desk, &change, "lapse", Value::Null)?;
    outcome.changes.push(change);
    settle(shelf, book, now, effects, &mut outcome)?;
    Ok(outcome)
}

fn known(word: &str) -> Result<&'static Kind, Refusal> {
    Kind::find(word).ok_or_else(|| Refusal::because(format!("there is no kind '{word}'"), format!("没有“{word}”这一类事项")))
}

/// Effects of effects, breadth first, bounded.
fn settle(shelf: &dyn Shelf, book: &Book, now: Timestamp, first: Effects, outcome: &mut Outcome) -> Result<(), Refusal> {
    let by = Actor::desk();
    let desk = Desk { book, shelf, by: &by, now };
    let mut waiting = VecDeque::from([first]);
    let mut done = 0;
    while let Some(effects) = waiting.pop_front() {
        for message in &effects.messages {
            outcome.messages += usize::from(shelf.tell(message)?);
        }
        for then in effects.acts {
            done += 1;
            if done > EFFECTS_MAX {
                return Err(Refusal::Storage(format!("more than {EFFECTS_MAX} effects of one act")));
            }
            let order = Order { kind: then.kind.to_owned(), id: then.id, expected: None, act: then.act, key: None };
            let mut next = Effects::default();
            if let Some(change) = one(&desk, &order, &mut next)? {
                outcome.changes.push(change);
            }
            waiting.push_back(next);
        }
    }
    Ok(())
}

/// One act. None: it would open what is there already.
fn one(desk: &Desk, order: &Order, effects: &mut Effects) -> Result<Option<Change>, Refusal> {
    let kind = known(&order.kind)?;
    let word = order.act.get("act").and_then(Value::as_str).unwrap_or("").to_owned();
    let row = kind
        .act_row(&word)
        .ok_or_else(|| Refusal::because(format!("a {} has no act '{word}'", kind.word), format!("{}没有“{word}”这一操作", kind.zh)))?;
    if desk.by.role.is_some() && !row.right.is_some_and(|right| desk.by.may(right)) {
        return Err(Refusal::denied(format!("your role may not {word} a {}", kind.word), format!("您的角色无权对{}执行该操作", kind.zh)));
    }
    let change = match &order.id {
        None => {
            if !row.opens {
                return Err(Refusal::because(format!("'{word}' opens no {}", kind.word), format!("“{word}”不能新建{}", kind.zh)));
            }
            let id = (kind.name)(&order.act, desk, order.key.as_deref())?;
            if let Some(there) = desk.shelf.get(kind.word, &id)? {
                // Repeated: what it opened, unless it is somebody else's.
                let card = (kind.card)(&there.body).filter(|c| desk.by.sees(&c.units));
                let Some(card) = card else { return Err(Refusal::Missing { kind: kind.word, id }) };
                let repeated = Change { kind: kind.word, id, revision: there.revision, card, body: there.body, opened: false };
                return Ok(desk.by.role.map(|_| repeated));
            }
            let (card, body) = (kind.open)(&id, &order.act, desk, effects)?;
            if !desk.by.sees(&card.units) {
                return Err(Refusal::denied("that is outside your scope", "超出您的管辖范围"));
            }
            Change { kind: kind.word, id, revision: 1, card, body, opened: true }
        }
        Some(id) => {
            let missing = || Refusal::Missing { kind: kind.word, id: id.clone() };
            let stored = desk.shelf.get(kind.word, id)?.ok_or_else(missing)?;
            let before = (kind.card)(&stored.body).ok_or_else(|| Refusal::Storage(format!("stored {} {id} cannot be read", kind.word)))?;
            if !desk.by.sees(&before.units) {
                return Err(missing());
            }
            if row.opens && kind.acts.iter().filter(|a| a.word == word).all(|a| a.opens) {
                return Err(Refusal::because(
                    format!("'{word}' only opens a new {}", kind.word),
                    format!("“{word}”只能用于新建{}", kind.zh),
                ));
            }
            if let Some(expected) = order.expected.filter(|e| *e != stored.revision) {
                let _ = expected;
                return Err(Refusal::Conflict { revision: stored.revision });
            }
            let (card, body) = (kind.act)(&stored.body, &order.act, desk, effects)?;
            Change { kind: kind.word, id: id.clone(), revision: stored.revision + 1, card, body, opened: false }
        }
    };
    put(desk, &change, &word, without_word(&order.act))?;
    Ok(Some(change))
}

fn without_word(act: &Value) -> Value {
    let mut act = act.clone();
    if let Some(object) = act.as_object_mut() {
        object.remove("act");
    }
    act
}

fn put(desk: &Desk, change: &Change, act: &str, body: Value) -> Result<(), Refusal> {
    ties::same_world(desk, &change.card)?;
    let entry = Entry {
        kind: change.kind.to_owned(),
        id: change.id.clone(),
        revision: change.revision,
        time: desk.now,
        who: desk.by.name.clone(),
        act: act.to_owned(),
        body,
    };
    desk.shelf.put(&change.card, &change.body, &entry)
}
