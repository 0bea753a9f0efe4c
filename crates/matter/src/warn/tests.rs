//! The life of a warning as tables of short scripts, and what must hold whatever people do.

mod cases;
mod chain;
mod elsewhere;
mod random;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use event::Timestamp;
use serde_json::{Value, json};
use warning::grade::Level;

use super::{Verdict, Warning};
use crate::receipt::Receipt;
use crate::register::{Object, Unit};
use crate::{Actor, Book, Kind, Matter, Memory, Order, Outcome, Refusal, Role, Shelf, carry_out, lapse};

pub(crate) const T: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A desk with three units: a bank and a grid company with critical infrastructure, a metro without.
pub(crate) struct Town {
    pub shelf: Memory,
    pub book: Book,
    pub now: Cell<Timestamp>,
    pub warning: RefCell<String>,
}

impl Town {
    /// The city may issue up to this level.
    pub(crate) fn new(right: Option<Level>) -> Self {
        let mut book = crate::tests::book();
        let tables = Arc::make_mut(&mut book.tables);
        tables.grading.authority.city = right;
        for (id, sector) in [("bank", "finance"), ("grid", "power"), ("metro", "transport")] {
            let unit = Unit { id: id.into(), name: format!("{id}单位"), name_en: id.into(), sector: sector.into(), ..Unit::default() };
            book.units.insert(id.into(), unit);
            let object = Object { id: format!("{id}-core"), unit: id.into(), name: id.into(), cii: id != "metro", ..Object::default() };
            book.objects.insert(object.id.clone(), object);
        }
        Self { shelf: Memory::default(), book, now: Cell::new(T), warning: RefCell::default() }
    }

    pub(crate) fn order(&self, who: &str, kind: &str, id: Option<&str>, act: Value) -> Result<Outcome, Refusal> {
        let units = |u: &str| Some(vec![u.to_owned()]);
        let (role, units) = match who {
            "desk" => (None, None),
            "lin" | "mei" => (Some(Role::Operator), None),
            "wang" | "zhao" => (Some(Role::ShiftLead), None),
            "ying" => (Some(Role::Viewer), None),
            unit => (Some(Role::SectorUser), units(unit)),
        };
        let by = Actor { name: who.to_owned(), role, units };
        let order = Order { kind: kind.into(), id: id.map(str::to_owned), expected: None, act, key: None };
        self.shelf.transaction(|s| carry_out(s, &self.book, &by, self.now.get(), order))
    }

    /// Time passes, with everything that falls due meanwhile.
    pub(crate) fn wait(&self, minutes: i64) {
        let until = self.now.get().plus_secs(minutes * 60);
        while let Some((due, kind, id)) = self.next().filter(|(due, ..)| *due <= until) {
            self.now.set(due.max(self.now.get()));
            self.shelf.transaction(|s| lapse(s, &self.book, self.now.get(), kind, &id)).unwrap();
        }
        self.now.set(until);
    }

    /// What falls due next.
    fn next(&self) -> Option<(Timestamp, &'static str, String)> {
        let of = |word: &str| {
            let kind = Kind::find(word).unwrap();
            let all = self.shelf.all(word).into_iter();
            all.filter_map(move |(id, body)| Some(((kind.card)(&body)?.due?, kind.word, id))).min()
        };
        of(Warning::KIND).into_iter().chain(of(Receipt::KIND)).min()
    }

    pub(crate) fn get(&self) -> Warning {
        let stored = self.shelf.get(Warning::KIND, &self.warning.borrow()).unwrap().unwrap();
        serde_json::from_value(stored.body).unwrap()
    }

    pub(crate) fn receipt(&self, unit: &str) -> Receipt {
        let id = Receipt::id(&self.warning.borrow(), unit);
        serde_json::from_value(self.shelf.get(Receipt::KIND, &id).unwrap().unwrap().body).unwrap()
    }

    /// One step of a script: `lin assess yellow`, `desk rec none`, `wait 60`.
    pub(crate) fn step(&self, step: &str) -> Result<(), Refusal> {
        let words: Vec<&str> = step.split_whitespace().collect();
        let (who, word, more) = (words[0], words.get(1).copied().unwrap_or(""), words.get(2).copied().unwrap_or(""));
        if who == "wait" {
            self.wait(word.parse().unwrap());
            return Ok(());
        }
        let id = self.warning.borrow().clone();
        if let "sign" | "feed_back" | "act_on" | "see" = word {
            let act = match word {
                "feed_back" => json!({"act": word, "affected": more, "measures": "looked", "who": who}),
                "sign" => json!({"act": word, "who": who}),
                _ => json!({ "act": word }),
            };
            return self.order(who, Receipt::KIND, Some(&Receipt::id(&id, who)), act).map(drop);
        }
        if word == "draft" {
            let made = self.order(who, Warning::KIND, None, draft(who, more))?;
            *self.warning.borrow_mut() = made.changes.iter().find(|c| c.kind == Warning::KIND).unwrap().id.clone();
            return Ok(());
        }
        self.order(who, Warning::KIND, Some(&id), act(word, more)).map(drop)
    }
}

pub(crate) fn notice() -> Value {
    json!({"title": {"zh": "勒索软件", "en": "Ransomware"}, "event": {"zh": "加密文件", "en": "Files are encrypted"},
           "measures": [{"zh": "断网", "en": "Unplug it"}]})
}

pub(crate) fn recommended(level: &str) -> Value {
    let reasons = json!([{"id": "grade_matrix", "args": {"object": "bank-core"}}]);
    json!({"level": if level == "none" { Value::Null } else { json!(level) }, "importance": "important", "damage": 2, "units": 1,
           "sectors": 1, "priority": 50, "propose_upward": false, "reasons": reasons})
}

fn draft(who: &str, recommend: &str) -> Value {
    match who {
        "desk" => {
            json!({"act": "draft", "campaign": "C1", "notice": notice(), "recommended": recommended(recommend), "units": ["bank", "grid"]})
        }
        _ if recommend == "nobody" => json!({"act": "draft", "notice": notice(), "units": []}),
        _ => json!({"act": "draft", "notice": notice(), "units": ["bank", "grid"]}),
    }
}

fn act(word: &str, more: &str) -> Value {
    match word {
        "rec" => json!({"act": "recommend", "notice": notice(), "recommended": recommended(more), "units": ["bank", "grid"]}),
        "spread" => json!({"act": "recommend", "notice": notice(), "recommended": recommended(more), "units": ["bank", "grid", "metro"]}),
        "assess" => json!({"act": "assess", "level": more, "reason": "seen it"}),
        "agree" => json!({"act": "assess", "level": more}),
        "approve" => json!({"act": "approve", "issue": more == "issue"}),
        "propose" => json!({"act": "propose", "reason": "above us", "no_advisory": more == "quietly"}),
        "answer" if more == "no" => json!({"act": "answer", "accepted": false, "reference": "2027-1"}),
        "answer" => json!({"act": "answer", "accepted": true, "level": more, "reference": "2027-1"}),
        "edit" if more == "empty" => json!({"act": "edit", "title": {"zh": "", "en": ""}}),
        "edit" if more == "moon" => json!({"act": "edit", "units": ["moon"]}),
        "edit" if more == "level" => json!({"act": "edit", "level": "red"}),
        "edit" if more == "idle" => json!({"act": "edit", "measures": []}),
        "edit" => json!({"act": "edit", "title": {"zh": more, "en": more}}),
        "update" if more == "metro" => json!({"act": "update", "reason": "more", "units": ["metro"]}),
        "update" => json!({"act": "update", "reason": "more", "event": {"zh": more, "en": more}}),
        "upgrade" => json!({"act": "upgrade", "reason": "worse", "level": more}),
        "downgrade" => json!({"act": "downgrade", "reason": "better"}),
        "lift" if more == "anyway" => json!({"act": "lift", "reason": "over", "override_reason": "the source is gone"}),
        "note" => json!({"act": "note", "text": more}),
        "submit" | "issue" => json!({ "act": word }),
        _ => json!({"act": word, "reason": "so"}),
    }
}

/// `issued yellow 2`: state, issued level, revisions.
pub(crate) fn standing(w: &Warning) -> String {
    format!("{} {} {}", w.state.name(), w.issued_level.map_or("-", Verdict::name), w.revisions.len())
}
