//! For tests of kinds: a small city on a shelf in memory, people of each place, and time that passes when told to.

use event::Timestamp;
use serde_json::{Value, json};

use crate::book::Book;
use crate::register::{Contact, Object, Unit};
use crate::{Actor, Change, Memory, Message, Order, Outcome, Recipient, Refusal, Role, Shelf, carry_out, lapse};

/// 2026-11-23T00:00:00Z.
pub(crate) const T: Timestamp = Timestamp::from_secs(1_795_392_000);

pub(crate) struct Stage {
    pub shelf: Memory,
    pub book: Book,
    pub now: Timestamp,
}

/// A shift lead of the city.
pub(crate) fn lead() -> Actor {
    Actor { name: "lin".into(), role: Some(Role::ShiftLead), units: None }
}

pub(crate) fn operator() -> Actor {
    Actor { name: "ma".into(), role: Some(Role::Operator), units: None }
}

/// Somebody of a unit.
pub(crate) fn of(unit: &str) -> Actor {
    Actor { name: format!("{unit}-duty"), role: Some(Role::SectorLead), units: Some(vec![unit.to_owned()]) }
}

impl Stage {
    /// Units `bank` (with a CII object), `grid` (CII), `clinic` (MLPS 3), `office` (a government body).
    pub fn new() -> Self {
        let mut book = crate::tests::book();
        for (id, sector) in [("bank", "finance"), ("grid", "power"), ("clinic", "health"), ("office", "government")] {
            let contacts = ["duty", "substitute", "leader", "protection"].into_iter().map(|role| Contact {
                name: format!("{id} {role}"),
                role: role.into(),
                phone: "0510-1".into(),
                ..Contact::default()
            });
            let unit =
                Unit {
                    id: id.into(), name: format!("{id} 单位"), sector: sector.into(), contacts: contacts.collect(), ..Unit::default()
                };
            book.units.insert(id.into(), unit);
        }
        for (id, unit, mlps, cii) in
            [("core", "bank", 4, true), ("dispatch", "grid", 4, true), ("his", "clinic", 3, false), ("portal", "office", 3, false)]
        {
            let object = Object { id: id.into(), unit: unit.into(), name: id.into(), mlps: Some(mlps), cii, ..Object::default() };
            book.objects.insert(id.into(), object);
        }
        Self { shelf: Memory::default(), book, now: T }
    }

    pub fn act(&self, by: &Actor, kind: &str, id: Option<&str>, act: Value) -> Result<Outcome, Refusal> {
        let order = Order { kind: kind.into(), id: id.map(str::to_owned), expected: None, act, key: None };
        self.shelf.transaction(|shelf| carry_out(shelf, &self.book, by, self.now, order))
    }

    /// Opens one; it must work.
    pub fn open(&self, by: &Actor, kind: &str, act: Value) -> String {
        self.act(by, kind, None, act).unwrap().changes[0].id.clone()
    }

    /// Does something that must work; the state shown after it.
    pub fn does(&self, by: &Actor, kind: &str, id: &str, act: Value) -> Change {
        self.act(by, kind, Some(id), act).unwrap().changes.remove(0)
    }

    /// What a refusal says in English.
    pub fn refused(&self, by: &Actor, kind: &str, id: Option<&str>, act: Value) -> String {
        self.act(by, kind, id, act).unwrap_err().to_string()
    }

    pub fn body(&self, kind: &str, id: &str) -> Value {
        self.shelf.get(kind, id).unwrap().unwrap().body
    }

    pub fn state(&self, kind: &str, id: &str) -> &'static str {
        (crate::Kind::find(kind).unwrap().card)(&self.body(kind, id)).unwrap().state
    }

    /// Lets seconds pass, and everything that falls due meanwhile happen when it does.
    pub fn pass(&mut self, secs: i64) {
        let until = self.now.plus_secs(secs);
        while let Some((kind, id)) = self.shelf.due(until, 1).unwrap().into_iter().next() {
            let body = self.body(&kind, &id);
            let due = (crate::Kind::find(&kind).unwrap().card)(&body).unwrap().due.unwrap();
            self.now = due.max(self.now);
            self.shelf.transaction(|shelf| lapse(shelf, &self.book, self.now, &kind, &id)).unwrap();
        }
        self.now = until;
    }

    /// Messages since the last call: minutes since `T`, to whom, English title.
    pub fn told(&self, from: usize) -> Vec<String> {
        self.shelf.messages().iter().skip(from).map(line).collect()
    }
}

fn line(message: &Message) -> String {
    let to = match &message.recipient {
        Recipient::Unit { unit, role } => format!("{unit}/{role}"),
        Recipient::City { .. } => "city".to_owned(),
    };
    format!("{} {to}: {}", message.time.since(T) / 60 / event::SECOND_NS, message.title.en)
}

/// An order to the clinic, red.
pub(crate) fn order() -> Value {
    json!({"act": "issue", "units": ["clinic"], "title": {"zh": "关闭端口", "en": "Close the port"},
        "todo": [{"zh": "关闭 6379", "en": "Close 6379"}], "level": "red"})
}
