//! Where matters lie. A shelf is one transaction: what is put is seen by later reads of the same act, and kept together or not at all.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use event::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::disclose::Own;
use crate::{Card, Message, Refusal};

/// A matter as it lies there.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Rises by one with each act; what `If-Match` compares.
    pub revision: u64,
    pub body: Value,
}

/// One act as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub kind: String,
    pub id: String,
    /// The revision this act made.
    pub revision: u64,
    #[serde(with = "crate::when")]
    pub time: Timestamp,
    pub who: String,
    /// Word of the act; `lapse` where time alone did it.
    pub act: String,
    /// Its fields.
    pub body: Value,
}

pub trait Shelf {
    fn get(&self, kind: &str, id: &str) -> Result<Option<Stored>, Refusal>;
    /// Ids of matters of a kind whose card names `target` among its links or is about that unit, in order.
    fn linked(&self, kind: &str, target: &str) -> Result<Vec<String>, Refusal>;
    /// Writes the state after an act, and the act.
    fn put(&self, card: &Card, body: &Value, entry: &Entry) -> Result<(), Refusal>;
    /// Queues a message; one whose key is known is left out. True if it is new.
    fn tell(&self, message: &Message) -> Result<bool, Refusal>;
    /// Up to `limit` matters that fell due, the longest due first.
    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<(String, String)>, Refusal>;
    /// The newest alerts of a unit, as far as its own people see them; at most `limit`. What a unit is told of its own is made of these.
    fn own(&self, unit: &str, limit: usize) -> Result<Vec<Own>, Refusal> {
        let _ = (unit, limit);
        Ok(Vec::new())
    }
}

/// A shelf in memory, for tests, stories and `replay`.
#[derive(Default)]
pub struct Memory {
    inner: RefCell<Inner>,
}

#[derive(Default, Clone)]
struct Inner {
    matters: BTreeMap<(String, String), (u64, Value, Option<Timestamp>)>,
    links: BTreeSet<(String, String, String)>,
    entries: Vec<Entry>,
    keys: BTreeSet<String>,
    messages: Vec<Message>,
    own: BTreeMap<String, Vec<Own>>,
}

impl Memory {
    pub fn entries(&self) -> Vec<Entry> {
        self.inner.borrow().entries.clone()
    }
    /// Messages queued so far, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.inner.borrow().messages.clone()
    }
    /// All matters of a kind by id.
    pub fn all(&self, kind: &str) -> Vec<(String, Value)> {
        self.inner
            .borrow()
            .matters
            .iter()
            .filter(|((k, _), _)| k == kind)
            .map(|((_, id), (_, body, _))| (id.clone(), body.clone()))
            .collect()
    }
    /// Gives a unit something of its own, newest last.
    pub fn see(&self, unit: &str, own: Own) {
        self.inner.borrow_mut().own.entry(unit.to_owned()).or_default().push(own);
    }
    /// Runs one transaction: what an `Err` did is undone.
    pub fn transaction<T>(&self, f: impl FnOnce(&Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let before = self.inner.borrow().clone();
        let answer = f(self);
        if answer.is_err() {
            *self.inner.borrow_mut() = before;
        }
        answer
    }
}

impl Shelf for Memory {
    fn get(&self, kind: &str, id: &str) -> Result<Option<Stored>, Refusal> {
        let inner = self.inner.borrow();
        Ok(inner
            .matters
            .get(&(kind.to_owned(), id.to_owned()))
            .map(|(revision, body, _)| Stored { revision: *revision, body: body.clone() }))
    }
    fn linked(&self, kind: &str, target: &str) -> Result<Vec<String>, Refusal> {
        let inner = self.inner.borrow();
        let from = (kind.to_owned(), target.to_owned(), String::new());
        Ok(inner.links.range(from..).take_while(|(k, t, _)| k == kind && t == target).map(|(_, _, id)| id.clone()).collect())
    }
    fn put(&self, card: &Card, body: &Value, entry: &Entry) -> Result<(), Refusal> {
        let mut inner = self.inner.borrow_mut();
        inner.matters.insert((entry.kind.clone(), entry.id.clone()), (entry.revision, body.clone(), card.due));
        inner.links.retain(|(k, _, id)| !(*k == entry.kind && *id == entry.id));
        for target in card.links.iter().chain(&card.units) {
            inner.links.insert((entry.kind.clone(), target.clone(), entry.id.clone()));
        }
        inner.entries.push(entry.clone());
        Ok(())
    }
    fn tell(&self, message: &Message) -> Result<bool, Refusal> {
        let mut inner = self.inner.borrow_mut();
        let new = inner.keys.insert(message.key.clone());
        if new {
            inner.messages.push(message.clone());
        }
        Ok(new)
    }
    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<(String, String)>, Refusal> {
        let inner = self.inner.borrow();
        let mut due: Vec<_> =
            inner.matters.iter().filter_map(|(name, (_, _, due))| due.filter(|d| *d <= now).map(|d| (d, name.clone()))).collect();
        due.sort();
        Ok(due.into_iter().take(limit).map(|(_, name)| name).collect())
    }
    fn own(&self, unit: &str, limit: usize) -> Result<Vec<Own>, Refusal> {
        Ok(self.inner.borrow().own.get(unit).into_iter().flat_map(|all| all.iter().rev().take(limit)).cloned().collect())
    }
}
