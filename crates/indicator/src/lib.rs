//! Indicators of compromise: read from STIX 2.1, MISP, CSV and plain lists, held compactly, matched exactly.
//!
//! ```text
//! bytes ─ read ─▶ Entry ─ SetBuilder ─▶ Set ─ mark(event) ─▶ facts `threat.indicator.*`
//!                              pack ⇄ unpack (a layer on its way to an agent's edge)
//! ```
//! No I/O, no clock: the time of a match is the event's own. Nothing here panics on any bytes, and what cannot be taken is named with its
//! line and reason while the rest is taken.
//!
//! Limits: `ENTRIES_MAX` entries a set, `SOURCES_MAX` sources a value, `NEEDS_MAX` values that must meet in one event, texts of a source cut
//! at `TEXT_MAX`; what does not fit is counted in [`SetCounts`].

pub mod edge;
mod observable;
mod pack;
mod probe;
mod read;
mod set;
mod tlp;

pub use observable::{Observable, Type};
pub use pack::{Layer, PackError, pack, unpack};
pub use probe::{EventMarks, FACTS, mark};
pub use read::{Format, Problem, ReadOptions, Reading, read};
pub use set::{Census, ENTRIES_MAX, Found, SOURCES_MAX, Set, SetBuilder, SetCounts};
pub use tlp::Tlp;

use event::Timestamp;

/// Values one indicator may ask to meet in the same event.
pub const NEEDS_MAX: usize = 8;
/// Bytes of a description; labels and sources are held at a quarter.
pub const TEXT_MAX: usize = 512;

/// What is known about an indicator besides its value. Shared by all entries that say the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Meta {
    /// Who gave it: the name of the feed, the file or the producer.
    pub source: String,
    pub tlp: Tlp,
    /// 0 to 100.
    pub confidence: u8,
    pub labels: Vec<String>,
    pub description: String,
}

/// When an indicator counts: by the time of the event, `from` inclusive, `until` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// One indicator as a reader gives it: all of `needs` must be in the event.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub needs: &'a [Observable],
    pub meta: &'a Meta,
    pub valid: Validity,
}

/// The head of a text, at most `max` bytes, without control characters.
pub(crate) fn clean(text: &str, max: usize) -> String {
    let mut out = String::new();
    for c in text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > max {
            break;
        }
        out.push(c);
    }
    out
}
