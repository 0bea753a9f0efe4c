//! Tells matters that a unit's people were reached, on a thread of its own: each is a transaction at the desk, and a digest may stand for
//! thousands. Nobody waits for it; what is left at a stop is left (the delivery log has it).
//!
//! A matter is told once: that it was reached by a second channel too is in the log. Remembered are [`KNOWN_MAX`] of them, then all are forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use event::Timestamp;
use matter::{Actor, Kind, Order};
use tracing::{debug, warn};

use crate::office::Office;
use crate::store::desk::DeliveryRow;

/// Matters that wait to be told.
const WAITING_MAX: usize = 50_000;
const KNOWN_MAX: usize = 100_000;

struct Reached {
    kind: &'static str,
    id: String,
    channel: String,
}

/// Where deliveries are reported.
pub struct Noted {
    waiting: SyncSender<Reached>,
    known: BTreeSet<(&'static str, String)>,
}

impl Noted {
    /// Starts the thread; it ends when this is dropped and what waits is told.
    pub fn start(office: Arc<Office>, clock: fn() -> Timestamp) -> std::io::Result<Self> {
        let (waiting, inbox) = sync_channel(WAITING_MAX);
        std::thread::Builder::new().name("notify-noted".into()).spawn(move || run(&office, clock, &inbox))?;
        Ok(Self { waiting, known: BTreeSet::new() })
    }

    /// These were delivered on a channel.
    pub fn delivered(&mut self, channel: &str, rows: &[DeliveryRow]) {
        for row in rows.iter().filter(|r| !r.unit.is_empty()) {
            let Some(kind) = Kind::find(&row.kind).filter(|k| k.act_row("delivered").is_some()) else { continue };
            // An act that tells the unit something new about the same matter is a message of its own, and its delivery told again.
            if !self.known.insert((kind.word, format!("{}\n{}", row.about, row.message))) {
                continue;
            }
            if self.known.len() > KNOWN_MAX {
                self.known.clear();
            }
            match self.waiting.try_send(Reached { kind: kind.word, id: row.about.clone(), channel: channel.to_owned() }) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full(left)) => {
                    warn!(kind = left.kind, id = left.id, "too many deliveries at once to note each at its matter")
                }
            }
        }
    }
}

fn run(office: &Office, clock: fn() -> Timestamp, inbox: &Receiver<Reached>) {
    while let Ok(Reached { kind, id, channel }) = inbox.recv() {
        let act = serde_json::json!({"act": "delivered", "channel": channel});
        let order = Order { kind: kind.to_owned(), id: Some(id.clone()), expected: None, act, key: None };
        if let Err(error) = office.act(&Actor::desk(), clock(), order) {
            debug!(kind, id, %error, "a delivery is not noted at its matter");
        }
    }
}
