//! The office: where matters are acted on. It takes an act, carries it out with all its effects in one transaction of the desk store, tells
//! the feed and rings for the channels; and lets time pass for what falls due.
//!
//! Pure rules are in `matter`; here are the lock (the store's one writer), the snapshot of register and tables, and the key.

pub mod chores;
pub mod drills;
mod key;
#[cfg(test)]
mod tests;
mod version;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result};
use event::Timestamp;
use matter::book::DeskTables;
use matter::campaign::News;
use matter::{Actor, Book, Change, Kind, Order, Outcome, Refusal, Signer, Tables, carry_out, lapse};
use tracing::{error, warn};

pub use key::{SigningKey, secret};

use crate::register::Register;
use crate::serve::{Feed, Item};
use crate::store::DeskStore;

/// The tables of `config/desk.toml` that ship.
pub const TABLES: &str = include_str!("../../../config/desk.toml");
/// Matters looked at in one go when they fall due.
const DUE_BATCH: usize = 200;
/// Alerts taken in within one transaction.
const FOLLOW_BATCH: usize = 500;

/// Shared by everybody who acts.
pub struct Office {
    desk: Arc<dyn DeskStore>,
    feed: Arc<Feed>,
    book: RwLock<Arc<Book>>,
    /// Rung after each act that left a message.
    pub bell: Arc<tokio::sync::Notify>,
}

impl Office {
    pub fn new(desk: Arc<dyn DeskStore>, feed: Arc<Feed>, book: Book) -> Self {
        Self { desk, feed, book: RwLock::new(Arc::new(book)), bell: Arc::default() }
    }

    /// The snapshot in force.
    pub fn book(&self) -> Arc<Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Register or tables changed.
    pub fn exchange(&self, book: Book) {
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
    }

    /// Carries out an act with its effects; durable when this returns.
    pub fn act(&self, by: &Actor, now: Timestamp, order: Order) -> Result<Outcome, Refusal> {
        let book = self.book();
        let mut outcome = Outcome::default();
        self.desk.transact(&mut |shelf| {
            outcome = carry_out(shelf, &book, by, now, order.clone())?;
            Ok(())
        })?;
        self.tell(&outcome);
        Ok(outcome)
    }

    /// What an act would do; nothing is kept.
    pub fn preview(&self, by: &Actor, now: Timestamp, order: Order) -> Result<Outcome, Refusal> {
        let book = self.book();
        let mut outcome = None;
        let undone = self.desk.transact(&mut |shelf| {
            outcome = Some(carry_out(shelf, &book, by, now, order.clone())?);
            Err(Refusal::Storage("a preview is never kept".to_owned()))
        });
        match (outcome, undone) {
            (Some(outcome), _) => Ok(outcome),
            (None, Err(why)) => Err(why),
            (None, Ok(())) => Ok(Outcome::default()),
        }
    }

    /// Lets time pass for everything that is due; says how many. One that cannot be moved is logged and left for the next round.
    pub fn tick(&self, now: Timestamp) -> usize {
        let due = match self.desk.matters_due(now, DUE_BATCH) {
            Ok(due) => due,
            Err(error) => {
                error!(%error, "what is due is not known");
                return 0;
            }
        };
        let book = self.book();
        let mut moved = 0;
        for (kind, id) in due {
            let mut outcome = Outcome::default();
            let done = self.desk.transact(&mut |shelf| {
                outcome = lapse(shelf, &book, now, &kind, &id)?;
                Ok(())
            });
            match done {
                Ok(()) => {
                    moved += 1;
                    self.tell(&outcome);
                }
                Err(error) => warn!(kind, id, %error, "due, and not moved"),
            }
        }
        moved
    }

    /// Takes changed alerts in, a batch at a time; says how many. An alert nothing can be made of is logged and left behind, so that it does not
    /// hold up the others.
    pub fn follow(&self, now: Timestamp) -> usize {
        match self.desk.waiting() {
            Ok(0) => return 0,
            Ok(_) => {}
            Err(error) => {
                error!(%error, "whether alerts wait is not known");
                return 0;
            }
        }
        match self.take(now, FOLLOW_BATCH, false) {
            Ok(n) => n,
            Err(error) => {
                warn!(%error, "a batch of alerts was not taken in; trying one");
                self.take(now, 1, false).unwrap_or_else(|error| {
                    error!(%error, "an alert was not taken in");
                    self.take(now, 1, true).unwrap_or(0)
                })
            }
        }
    }

    fn take(&self, now: Timestamp, limit: usize, skip: bool) -> Result<usize, Refusal> {
        let book = self.book();
        let mut outcome = Outcome::default();
        let taken = self.desk.follow(limit, &mut |shelf, changed| {
            if skip {
                return Ok(Vec::new());
            }
            let news: Vec<News> = changed.iter().map(|c| News { alert: &c.alert, placed: c.place.clone(), drill: None }).collect();
            let done = matter::campaign::follow(shelf, &book, now, &news)?;
            outcome = done.outcome;
            Ok(done.placed.into_iter().chain(done.hidden).collect())
        })?;
        self.tell(&outcome);
        Ok(taken)
    }

    fn tell(&self, outcome: &Outcome) {
        for change in &outcome.changes {
            self.feed.publish(item(change));
        }
        if outcome.messages > 0 {
            self.bell.notify_one();
        }
    }
}

/// What the feed tells of a change: which matter, and how it stands.
fn item(change: &Change) -> Item {
    let told = api::FeedEvent::Matter {
        matter: change.kind.to_owned(),
        id: change.id.clone(),
        revision: change.revision,
        state: change.card.state.to_owned(),
        level: change.card.level.map(|l| l.name().to_owned()),
        exercise: change.card.exercise,
    };
    Item { name: "matter", data: serde_json::to_string(&told).unwrap_or_default().into(), units: change.card.units.clone(), alert: None }
}

/// Grading and desk tables: of these files, or those that ship.
pub fn tables(grading: Option<&Path>, desk: Option<&Path>) -> Result<Tables> {
    let grading = crate::grading::tables(grading).context("the grading tables")?;
    let layers = match desk {
        Some(path) => settings::Layers::new().file(path),
        None => settings::Layers::new().text("desk.toml", TABLES),
    };
    let desk = layers.load::<DeskTables>().context("the desk's tables")?;
    let problems: Vec<_> = desk.value.problems().into_iter().map(|(key, what)| desk.document.problem(&key, what)).collect();
    if !problems.is_empty() {
        return Err(settings::Errors { problems }).context("the desk's tables");
    }
    Ok(Tables { grading, desk: desk.value })
}

/// The book of a register; no flaw is known to it until its `flaws` are set.
pub fn book(register: &Register, tables: Arc<Tables>, signer: Arc<dyn Signer>, pseudonyms: [u8; 32]) -> Book {
    let all = register.all().clone();
    Book {
        tables,
        units: all.units,
        objects: all.objects,
        assets: all.assets,
        places: Default::default(),
        signer,
        flaws: Arc::new(()),
        pseudonyms,
    }
}

/// The kind of a folder in the API.
pub fn kind_of(plural: &str) -> Option<&'static Kind> {
    matter::KINDS.iter().find(|k| k.plural == plural)
}
