//! What people work on (事项): warnings, receipts, incidents, orders, clocks, drills. Each is a *matter*: a state that only recorded acts
//! change. Pure: no store, no channel, no clock.
//!
//! * A kind of matter is one type that implements [`Matter`] and one row of [`KINDS`]; API, command line, history, audit, revisions, scope and
//!   crash safety follow from the row.
//! * An act is checked against the state, gives the next state, and may cause [`Effects`]: acts on other matters and messages to people. All of
//!   it is one transaction of the store behind [`Shelf`]: everything or nothing, and the same acts give the same bytes on any machine.
//! * Time is an argument. A matter names the moment it falls due; whoever owns the clock calls [`lapse`] then.
//! * Who may see a matter is in its [`Card`]: the city always; a unit only where every unit concerned is its own. What one unit may learn of
//!   another's trouble is therefore written into a matter of its own (its receipt), never filtered out of somebody else's.

pub mod attack;
pub mod book;
pub mod bulletin;
pub mod campaign;
pub mod clock;
pub mod consultation;
pub mod disclose;
pub mod drill;
pub mod incident;
mod kinds;
pub mod lookup;
pub mod message;
pub mod notice;
pub mod order;
pub mod receipt;
pub mod reconcile;
pub mod register;
mod role;
pub mod route;
pub mod run;
pub mod shelf;
pub mod silence;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod tests;
pub mod ties;
pub mod warn;
pub mod when;

use event::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use warning::grade::Level;

pub use book::{Book, Flaw, Flaws, Service, ServiceLevels, Signer, Tables};
pub use kinds::{KINDS, Kind, kind};
pub use message::{Message, Recipient};
pub use notice::{Both, Notice, Pap, Revision, Tlp};
pub use role::{Permission, Role};
pub use run::{Change, Order, Outcome, carry_out, lapse};
pub use shelf::{Entry, Memory, Shelf, Stored};

/// Effects one act may have, with those of its effects.
pub const EFFECTS_MAX: usize = 20_000;
/// Bytes of a matter as JSON.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Who acts. The desk itself (a timer, an effect) is [`Actor::desk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub name: String,
    /// None: the desk itself.
    pub role: Option<Role>,
    /// Units they may see and act for; none: the whole city.
    pub units: Option<Vec<String>>,
}

impl Actor {
    pub fn desk() -> Self {
        Self { name: "desk".to_owned(), role: None, units: None }
    }
    pub fn may(&self, permission: Permission) -> bool {
        self.role.is_none_or(|role| role.may(permission))
    }
    /// Whether a matter of these units is in their scope.
    pub fn sees(&self, units: &[String]) -> bool {
        self.units.as_ref().is_none_or(|mine| !units.is_empty() && units.iter().all(|u| mine.contains(u)))
    }
}

/// What a step may look at.
pub struct Desk<'a> {
    pub book: &'a Book,
    pub shelf: &'a dyn Shelf,
    pub by: &'a Actor,
    pub now: Timestamp,
}

impl Desk<'_> {
    /// Another matter as it is now, earlier effects of the same act included.
    pub fn get<M: Matter>(&self, id: &str) -> Result<Option<M>, Refusal> {
        let Some(stored) = self.shelf.get(M::KIND, id)? else { return Ok(None) };
        serde_json::from_value(stored.body).map(Some).map_err(|e| Refusal::Storage(format!("{} {id}: {e}", M::KIND)))
    }
    /// Ids of matters of a kind that name `target` in a link, in order.
    pub fn linked(&self, kind: &str, target: &str) -> Result<Vec<String>, Refusal> {
        self.shelf.linked(kind, target)
    }
}

/// One kind of matter.
pub trait Matter: Serialize + DeserializeOwned {
    /// Fixed word, singular: `warning`.
    const KIND: &'static str;
    /// What can be done to it. As JSON, an object tagged with `act`: `#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]`.
    type Act: Serialize + DeserializeOwned;

    /// Name of the matter this act opens. The default makes it of the act, who and when; a kind of which there is one for a given thing
    /// (a unit's receipt of a warning) makes it of that thing.
    fn name(act: &Self::Act, desk: &Desk, key: Option<&str>) -> String {
        fresh_id(Self::KIND, act, desk, key)
    }
    /// A new one.
    fn open(id: &str, act: Self::Act, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal>;
    /// The next state. An `Err` changes nothing.
    fn act(&mut self, act: Self::Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal>;
    /// `card().due` has come.
    fn lapse(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        let _ = (desk, out);
        Ok(())
    }
    fn card(&self) -> Card;
}

/// `W` and 16 hex digits: first letter of the kind, hash of what opened it. Nothing in it tells how many there are.
pub fn fresh_id(kind: &str, act: &impl Serialize, desk: &Desk, key: Option<&str>) -> String {
    let time = if key.is_some() { String::new() } else { desk.now.ns().to_string() };
    let act = if key.is_some() { String::new() } else { serde_json::to_string(act).unwrap_or_default() };
    id_of(kind, &[&desk.by.name, key.unwrap_or(""), &time, &act])
}

/// The id made of these parts.
pub fn id_of(kind: &str, parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(&kind).chain(parts) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let letter = kind.chars().next().unwrap_or('x').to_ascii_uppercase();
    format!("{letter}{}", &hasher.finalize().to_hex()[..16])
}

/// What lists show, and what the store finds a matter by.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// Fixed word: `draft`, `issued`.
    pub state: &'static str,
    /// Nothing more will happen to it by itself, and lists of open things leave it out.
    pub closed: bool,
    pub level: Option<Level>,
    pub title: Both,
    /// Units concerned. Empty: the city's own business.
    pub units: Vec<String>,
    /// A drill's, never to be mixed with the real.
    pub exercise: bool,
    /// When time alone changes it next.
    pub due: Option<Timestamp>,
    /// Other things it belongs to: ids of a warning, a drill, an alert.
    pub links: Vec<String>,
}

/// What an act causes besides the next state.
#[derive(Debug, Default)]
pub struct Effects {
    pub(crate) acts: Vec<Then>,
    pub(crate) messages: Vec<Message>,
}

/// An act on another matter; the desk itself does it, right after, in the same transaction.
#[derive(Debug)]
pub(crate) struct Then {
    pub kind: &'static str,
    /// None: open a new one.
    pub id: Option<String>,
    pub act: Value,
}

impl Effects {
    /// Opens another matter; one that is there already under the same name is left as it is.
    pub fn open<M: Matter>(&mut self, act: &M::Act) {
        self.acts.push(Then { kind: M::KIND, id: None, act: serde_json::to_value(act).unwrap_or_default() });
    }
    pub fn act<M: Matter>(&mut self, id: &str, act: &M::Act) {
        self.acts.push(Then { kind: M::KIND, id: Some(id.to_owned()), act: serde_json::to_value(act).unwrap_or_default() });
    }
    /// The same where only the word of the other kind is known; the fields are checked when it is done.
    pub fn open_value(&mut self, kind: &'static str, act: Value) {
        self.acts.push(Then { kind, id: None, act });
    }
    pub fn act_value(&mut self, kind: &'static str, id: &str, act: Value) {
        self.acts.push(Then { kind, id: Some(id.to_owned()), act });
    }
    pub fn tell(&mut self, message: Message) {
        self.messages.push(message);
    }
}

/// One thing that can be done to a matter.
#[derive(Debug, Clone, Copy)]
pub struct ActRow {
    /// Word in the address: `POST /api/v1/warnings/{id}/approve`.
    pub word: &'static str,
    /// Opens a new matter: `POST /api/v1/warnings/draft`.
    pub opens: bool,
    /// None: only the desk itself does it.
    pub right: Option<Permission>,
    pub about: &'static str,
    pub about_zh: &'static str,
    pub fields: &'static [FieldRow],
}

/// A field of an act's body; forms, help and the printed contract are made of it.
#[derive(Debug, Clone, Copy)]
pub struct FieldRow {
    pub name: &'static str,
    pub required: bool,
    pub input: Input,
    pub about: &'static str,
    pub about_zh: &'static str,
}

/// Shape of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A string of one line, or of several.
    Line,
    Text,
    Number,
    /// A boolean.
    Yes,
    /// RFC 3339.
    Time,
    Choice(&'static [&'static str]),
    /// A list of strings.
    Words,
    /// `{zh, en}`, and a list of them.
    Both,
    Boths,
    /// Anything else.
    Json,
}

/// A row of a field, for the tables of the kinds.
pub const fn field(name: &'static str, required: bool, input: Input, about: &'static str, about_zh: &'static str) -> FieldRow {
    FieldRow { name, required, input, about, about_zh }
}

/// Why an act was not done; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no {kind} '{id}'")]
    Missing { kind: &'static str, id: String },
    /// Somebody was faster.
    #[error("it is at revision {revision} now; look again and repeat")]
    Conflict { revision: u64 },
    /// The actor may not.
    #[error("{0}")]
    Denied(Both),
    /// It makes no sense in this state or with these values.
    #[error("{0}")]
    Refused(Both),
    #[error("{0}")]
    Storage(String),
}

impl Refusal {
    pub fn because(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self::Refused(Both::new(zh, en))
    }
    pub fn denied(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self::Denied(Both::new(zh, en))
    }
}
