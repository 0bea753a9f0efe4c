//! The vocabulary of the house: what was seen (`Event`), what matched (`Finding`), and the words both need.
//!
//! No I/O, no clock, no dependency. Every other room speaks in these types, so a limit or a name set here holds
//! everywhere. Field names are the Open Cybersecurity Schema Framework's (OCSF 1.8) where it has one; names it does not have
//! are marked `Home::Vedette` in the field table and travel under `unmapped` in an OCSF export.

mod fields;
mod finding;
mod id;
mod json;
mod limit;
mod ocsf;
mod severity;
mod source;
mod text;
mod time;
mod value;

pub use fields::{Field, Home, Kind, Name, Shape, field};
pub use finding::{Evidence, Finding, Match, Reason, RuleMeta, Span};
pub use id::{AgentId, Class, Epoch, EventId, IdError};
pub use json::{ocsf_json, write_json_text, write_ocsf_json};
pub use limit::{EVIDENCE_MAX, FIELDS_MAX, LIST_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};
pub use ocsf::is_filler;
pub use severity::{Level, Severity};
pub use source::LogSource;
pub use text::Text;
pub use time::{SECOND_NS, Timestamp};
pub use value::{Fields, Value};

use std::borrow::Cow;

/// Room for the fields of nearly every event at once: growing by doubling would move them three times, and past a kilobyte allocators slow down.
const USUAL_FIELDS: usize = 25;

/// One thing that was seen on a watched host: a header that every stage may read, and a flat table of typed fields.
///
/// `id` is given when the event enters the spool (or the replay); `time` is when the thing happened by the best clock the
/// sensor had (a packet's own time, a log line's own time, else the moment of observation).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: EventId,
    /// When it happened, nanoseconds UTC.
    pub time: Timestamp,
    /// When the agent saw it, nanoseconds UTC by the agent's wall clock; equals `time` for packets.
    pub observed: Timestamp,
    /// OCSF class.
    pub kind: Kind,
    /// OCSF `activity_id` within the class.
    pub activity: u8,
    pub severity: Severity,
    pub source: LogSource,
    pub body: Fields,
}

impl Event {
    /// A new event without an identity; the spool gives it one.
    pub fn new(time: Timestamp, kind: Kind, activity: u8, source: LogSource) -> Self {
        Self {
            id: EventId::NONE,
            time,
            observed: time,
            kind,
            activity,
            severity: Severity::Informational,
            source,
            body: Fields::with_capacity(USUAL_FIELDS),
        }
    }

    /// Sets a field and returns the event, for building in one expression.
    #[must_use]
    pub fn with(mut self, field: Field, value: impl Into<Value>) -> Self {
        self.body.set(field, value);
        self
    }

    pub fn get(&self, field: Field) -> Option<&Value> {
        self.body.get(field)
    }

    /// The value of a field named by text, whether the table knows the name or not.
    pub fn get_named(&self, name: &str) -> Option<&Value> {
        self.body.get_named(name)
    }

    /// Text of a field, or an empty string: for titles and tables, never for decisions.
    pub fn text(&self, field: Field) -> Cow<'_, str> {
        self.get(field).map_or(Cow::Borrowed(""), Value::to_text)
    }
}
