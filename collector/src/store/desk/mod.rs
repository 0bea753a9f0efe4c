//! The desk: alerts with their evidence, the register's live side, people, and the audit chain, in one SQLite database.
//!
//! Promises: the engine's position, its snapshot and the alerts of a step change in one transaction (`save`), so a crash at any point
//! neither loses nor doubles an alert; a triage write names the revision it saw and is refused if somebody was faster; evidence is copied
//! in full, so retention of events cannot eat it; every audit row carries the hash of the one before it.
//! The engine owns what an alert says; people own `state`, `owner` and `close_reason`: a save never overwrites those.

mod alerts;
mod audit;
mod deliveries;
mod fleet;
mod follow;
mod matters;
mod people;
mod sqlite;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use event::{AgentId, Event, Timestamp};
use matter::register::{Row, RowKind};
use serde::{Deserialize, Serialize};
use warning::{Alert, AlertId, AlertState, CloseReason};

pub use deliveries::{AttemptRow, DeliveryEnd, DeliveryQuery, DeliveryRow};
pub use follow::{Changed, Taker};
pub use matters::{MatterPage, MatterQuery, MatterRow, level_number};
pub use sqlite::SqliteDesk;

use super::{Offset, Scope};

/// Why a judgement is refused.
pub const CLOSE_NEEDS_REASON: &str = "to close an alert, say why (confirmed, authorised_activity, …)";
pub const REASON_ONLY_CLOSING: &str = "a reason goes with closing only";

/// Rows of one answer at most, whatever is asked.
pub const ROWS_MAX: usize = 1_000;

pub trait DeskStore: Send + Sync {
    // The engine's side.
    /// Alerts opened or changed by one step, the events behind them and the engine's new position: all or nothing. Returns the alerts as
    /// stored (people's fields merged, revision risen). A step at or before the stored position changes no alert, so a replay is harmless.
    fn save(&self, step: &Step) -> Result<Vec<Alert>, DeskError>;
    /// Where the engine stands and what to start it from.
    fn engine(&self) -> Result<EngineState, DeskError>;

    // Alerts.
    fn alert(&self, scope: &Scope, id: &AlertId) -> Result<Option<Alert>, DeskError>;
    fn alerts(&self, scope: &Scope, query: &AlertQuery) -> Result<AlertPage, DeskError>;
    /// Alerts by state and by severity.
    fn alert_counts(&self, scope: &Scope) -> Result<AlertCounts, DeskError>;
    /// The events behind an alert, as they were when it was saved; oldest first.
    fn evidence(&self, scope: &Scope, id: &AlertId) -> Result<Vec<Arc<Event>>, DeskError>;
    fn notes(&self, scope: &Scope, id: &AlertId) -> Result<Vec<Note>, DeskError>;
    /// A person's judgement; writes its audit row in the same transaction.
    fn triage(&self, scope: &Scope, triage: &Triage) -> Result<Alert, DeskError>;
    fn add_note(&self, scope: &Scope, id: &AlertId, who: &str, text: &str, now: Timestamp) -> Result<Note, DeskError>;

    // From alerts to the desk.
    /// Changed alerts nobody has taken in yet.
    fn waiting(&self) -> Result<u64, DeskError>;
    /// Hands up to `limit` changed alerts to `take`, in order, and keeps in one transaction what it made of them, where each alert went and the
    /// new position; says how many. Nothing is kept where it refuses.
    fn follow(&self, limit: usize, take: &mut Taker) -> Result<usize, matter::Refusal>;
    /// Campaign or silence an alert went to. The caller has seen that it may be told.
    fn place(&self, alert: &AlertId) -> Result<Option<String>, DeskError>;
    /// Closed alerts of the same rule about the same values, newest first, as far as the scope sees them.
    fn judged_before(&self, scope: &Scope, alert: &Alert, limit: usize) -> Result<Vec<Alert>, DeskError>;
    /// Keeps what undoes something, under a token; those from before `oldest` are let go.
    fn put_undo(&self, token: &str, who: &str, now: Timestamp, oldest: Timestamp, body: &str) -> Result<(), DeskError>;
    /// Uses it up: once, by the same person, not if it is from before `oldest`.
    fn take_undo(&self, token: &str, who: &str, oldest: Timestamp) -> Result<String, DeskError>;

    // Matters: what people work on.
    /// One transaction over matters: kept if `f` returns `Ok`, else nothing of it.
    fn transact(&self, f: &mut dyn FnMut(&dyn matter::Shelf) -> Result<(), matter::Refusal>) -> Result<(), matter::Refusal>;
    fn matter(&self, scope: &Scope, kind: &str, id: &str) -> Result<Option<MatterRow>, DeskError>;
    fn matters(&self, scope: &Scope, query: &MatterQuery) -> Result<MatterPage, DeskError>;
    /// What was done with a matter, oldest first; the newest `ROWS_MAX` acts. The caller has seen that the matter is in scope.
    fn matter_history(&self, kind: &str, id: &str) -> Result<Vec<matter::Entry>, DeskError>;
    /// (state, closed, level 0 to 4, how many), of the real or the drills'.
    fn matter_counts(&self, scope: &Scope, kind: &str, exercise: bool) -> Result<Vec<(String, bool, u8, u64)>, DeskError>;
    /// (kind, id) of matters that fell due, the longest due first.
    fn matters_due(&self, now: Timestamp, limit: usize) -> Result<Vec<(String, String)>, DeskError>;
    /// When the next one falls due.
    fn next_due(&self) -> Result<Option<Timestamp>, DeskError>;
    /// Messages with a number above `after`, in order.
    fn messages(&self, after: u64, limit: usize) -> Result<Vec<(u64, matter::Message)>, DeskError>;

    // The delivery log.
    /// The next messages nobody has made deliveries of.
    fn untaken_messages(&self, limit: usize) -> Result<Vec<(u64, matter::Message)>, DeskError>;
    /// Red ones among them, with a number above `after`.
    fn untaken_red(&self, after: u64, limit: usize) -> Result<Vec<(u64, matter::Message)>, DeskError>;
    /// Writes deliveries, those of all messages up to `through` where it is given, in one transaction; gives the new ones as stored.
    fn take_messages(&self, through: Option<u64>, rows: &[DeliveryRow]) -> Result<Vec<DeliveryRow>, DeskError>;
    /// Deliveries not ended, the most serious first, then the oldest.
    fn open_deliveries(&self, limit: usize) -> Result<Vec<DeliveryRow>, DeskError>;
    /// An attempt begins; durable when this returns.
    fn begin_attempt(&self, numbers: &[u64], parcel: &str, channel: &str, attempts: u32, now: Timestamp) -> Result<(), DeskError>;
    fn end_attempt(&self, what: &DeliveryEnd) -> Result<(), DeskError>;
    fn attempts_since(&self, since: Timestamp) -> Result<Vec<AttemptRow>, DeskError>;
    fn attempts_of(&self, parcel: &str) -> Result<Vec<AttemptRow>, DeskError>;
    /// Newest first.
    fn deliveries(&self, query: &DeliveryQuery) -> Result<Vec<DeliveryRow>, DeskError>;
    /// Of these numbers, the most serious first, then the oldest.
    fn deliveries_of(&self, numbers: &[u64], limit: usize) -> Result<Vec<DeliveryRow>, DeskError>;
    fn delivery(&self, id: &str) -> Result<Option<DeliveryRow>, DeskError>;
    /// A dead letter is queued again; none where it is not dead.
    fn retry_delivery(&self, id: &str, now: Timestamp) -> Result<Option<DeliveryRow>, DeskError>;
    /// (channel, state, how many).
    fn delivery_counts(&self) -> Result<Vec<(String, String, u64)>, DeskError>;
    fn messages_of(&self, numbers: &[u64]) -> Result<Vec<(u64, matter::Message)>, DeskError>;
    /// Lets go deliveries that ended before that, at most `limit`.
    fn prune_deliveries(&self, before: Timestamp, limit: usize) -> Result<usize, DeskError>;

    // Fleet and register.
    /// All of them in one transaction.
    fn put_agents(&self, agents: &[AgentRow]) -> Result<(), DeskError>;
    fn agent(&self, scope: &Scope, id: AgentId) -> Result<Option<AgentRow>, DeskError>;
    fn agents(&self, scope: &Scope) -> Result<Vec<AgentRow>, DeskError>;
    fn remove_agent(&self, id: AgentId) -> Result<bool, DeskError>;
    /// Rows of the register written through the API, units first, by id.
    fn register_rows(&self) -> Result<Vec<RegisterRow>, DeskError>;
    /// Writes rows with their audit entries: all of it or nothing.
    fn put_register(&self, rows: &[RegisterRow], audit: &[AuditEntry]) -> Result<(), DeskError>;
    /// What people decided about differences between register and agents, by id; those that ended included.
    fn decisions(&self, scope: &Scope) -> Result<Vec<DecisionRow>, DeskError>;
    /// Writes a decision with its audit entry.
    fn put_decision(&self, decision: &DecisionRow, audit: &AuditEntry) -> Result<(), DeskError>;

    // Enrolment and certificates.
    fn put_enrolment(&self, token: &EnrolmentRow) -> Result<(), DeskError>;
    fn enrolments(&self, scope: &Scope) -> Result<Vec<EnrolmentRow>, DeskError>;
    /// Uses a token up: exactly one call gets it; the same key (`pin`) may repeat its own call until the token expires.
    fn take_enrolment(&self, hash: &str, pin: &str, agent: AgentId, now: Timestamp) -> Result<EnrolmentRow, DeskError>;
    fn put_certificate(&self, certificate: &CertificateRow) -> Result<(), DeskError>;
    fn certificates(&self, agent: Option<AgentId>) -> Result<Vec<CertificateRow>, DeskError>;
    /// Revokes all certificates of an agent; returns their serials.
    fn revoke(&self, agent: AgentId, reason: &str, now: Timestamp) -> Result<Vec<String>, DeskError>;

    // People.
    fn put_person(&self, person: &Person) -> Result<(), DeskError>;
    fn person(&self, name: &str) -> Result<Option<Person>, DeskError>;
    fn people(&self) -> Result<Vec<Person>, DeskError>;
    fn put_session(&self, session: &SessionRow) -> Result<(), DeskError>;
    /// The session of a token's hash, if it has not expired.
    fn session(&self, hash: &str, now: Timestamp) -> Result<Option<SessionRow>, DeskError>;
    fn end_session(&self, hash: &str) -> Result<bool, DeskError>;
    /// Ends all sessions of a person; returns how many.
    fn end_sessions_of(&self, person: &str) -> Result<usize, DeskError>;
    fn put_token(&self, token: &TokenRow) -> Result<(), DeskError>;
    /// The API token of a hash, if it has neither expired nor been revoked; notes its use (to the minute).
    fn token(&self, hash: &str, now: Timestamp) -> Result<Option<TokenRow>, DeskError>;
    fn tokens(&self) -> Result<Vec<TokenRow>, DeskError>;
    fn revoke_token(&self, id: &str) -> Result<bool, DeskError>;

    // Audit and settings.
    /// Appends to the chain; returns the row's number.
    fn audit(&self, entry: &AuditEntry) -> Result<u64, DeskError>;
    /// Newest first, before `before` where given. A limited scope sees rows about its units.
    fn audit_log(&self, scope: &Scope, before: Option<u64>, limit: usize) -> Result<Vec<AuditRow>, DeskError>;
    /// Recomputes the whole chain and names the first row that does not fit.
    fn audit_verify(&self) -> Result<AuditReport, DeskError>;
    fn setting(&self, key: &str) -> Result<Option<String>, DeskError>;
    fn put_setting(&self, key: &str, value: &str) -> Result<(), DeskError>;
}

/// What one engine step changed.
#[derive(Debug, Clone, Default)]
pub struct Step<'a> {
    /// Alerts as the engine has them now.
    pub alerts: &'a [Alert],
    /// Events named in the alerts' `evidence`, as far as they are at hand.
    pub evidence: &'a [Arc<Event>],
    /// Offset of the log after the frames this step took in.
    pub position: Offset,
    /// The engine's state at `position`, where it is time for a snapshot.
    pub snapshot: Option<&'a [u8]>,
}

/// Where the engine stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineState {
    /// All steps up to here are saved.
    pub position: Offset,
    /// The last snapshot and its position: start from here, read the log from here; steps up to `position` change nothing again.
    pub snapshot: Option<(Offset, Vec<u8>)>,
}

/// Which alerts; empty lists do not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertQuery {
    pub states: Vec<AlertState>,
    /// Lowest `severity_id`.
    pub severity_min: Option<u8>,
    pub rule: Option<String>,
    pub unit: Option<String>,
    /// An address that is source or target.
    pub ip: Option<String>,
    /// Part of title, rule, address, host or user, ASCII case aside.
    pub text: Option<String>,
    /// `last_time` at or after, nanoseconds.
    pub since: Option<i64>,
    /// `last_time` before, nanoseconds.
    pub until: Option<i64>,
    pub owner: Option<String>,
    pub limit: usize,
    /// `AlertPage::next` of the page before.
    pub after: Option<AlertCursor>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertCursor {
    pub last_time: i64,
    pub id: AlertId,
}

/// Newest `last_time` first, then by id falling.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertPage {
    pub alerts: Vec<Alert>,
    pub next: Option<AlertCursor>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertCounts {
    pub by_state: BTreeMap<String, u64>,
    /// Of those not closed.
    pub open_by_severity: BTreeMap<u8, u64>,
}

/// A person's judgement of an alert.
#[derive(Debug, Clone)]
pub struct Triage {
    pub alert: AlertId,
    /// The revision the person saw.
    pub expected_revision: u64,
    pub state: AlertState,
    /// Required if `state` is closed, refused otherwise.
    pub reason: Option<CloseReason>,
    /// `Some(None)` takes the owner away.
    pub owner: Option<Option<String>>,
    pub note: Option<String>,
    pub who: String,
    pub now: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub alert: AlertId,
    /// Nanoseconds since 1970 UTC.
    pub time: i64,
    pub who: String,
    pub text: String,
}

/// An enrolled agent and what it last said. Times are nanoseconds since 1970 UTC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentRow {
    /// 16 hex digits.
    pub id: String,
    pub unit: Option<String>,
    pub host: String,
    pub first_seen: i64,
    pub last_seen: i64,
    pub version: String,
    pub addresses: Vec<String>,
    pub coverage: serde_json::Value,
    pub ledger: serde_json::Value,
    /// Anything else worth showing.
    #[serde(default)]
    pub facts: serde_json::Value,
}

/// A row of the register written through the API; it wins over the file's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRow {
    pub kind: RowKind,
    pub id: String,
    /// Unit it belongs to, also where it is removed.
    pub unit: Option<String>,
    /// None: removed, whatever the file says.
    pub row: Option<Row>,
    /// Written by an older version, which knew less of it: the file's row is fuller, where there is one.
    pub old: bool,
}

/// A difference between register and agents that a person lets stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRow {
    /// The difference.
    pub id: String,
    pub unit: String,
    pub reason: String,
    /// Nanoseconds since 1970 UTC; after it the difference shows again.
    pub until: i64,
    pub who: String,
    pub time: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentRow {
    /// Hash of the token, hex; the token itself is never stored.
    pub hash: String,
    pub unit: Option<String>,
    pub label: String,
    pub created_by: String,
    pub created: i64,
    pub expires: i64,
    pub used: Option<i64>,
    pub used_by: Option<String>,
    /// Hash of the key that used it.
    pub pin: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRow {
    pub serial: String,
    pub agent: String,
    pub fingerprint: String,
    pub not_before: i64,
    pub not_after: i64,
    pub revoked: Option<i64>,
    pub reason: String,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub name: String,
    /// argon2 in PHC form.
    pub password_hash: String,
    pub role: String,
    /// Units they may see; none: the whole city.
    pub units: Option<Vec<String>>,
    pub disabled: bool,
    pub must_change: bool,
    pub created: i64,
    pub last_login: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Hash of the session token, hex.
    pub hash: String,
    pub person: String,
    pub created: i64,
    pub expires: i64,
    #[serde(default)]
    pub address: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    pub id: String,
    /// Hash of the token, hex.
    pub hash: String,
    pub label: String,
    pub role: String,
    pub units: Option<Vec<String>>,
    pub created_by: String,
    pub created: i64,
    pub expires: Option<i64>,
    pub last_used: Option<i64>,
    pub revoked: bool,
}

/// Something a person or the program did that must be answered for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub time: i64,
    pub who: String,
    /// Fixed word: `alert.triage`, `person.create`, …
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// Unit it concerns, for scoped readers.
    pub unit: Option<String>,
    pub detail: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    pub number: u64,
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// BLAKE3 of this row with the hash before it, hex.
    pub hash: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    pub rows: u64,
    /// Hash of the newest row: note it elsewhere, and a cut tail is seen too.
    pub head: String,
    /// First row that does not fit, and why.
    pub broken: Option<(u64, String)>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person").field("name", &self.name).field("role", &self.role).field("units", &self.units).finish_non_exhaustive()
    }
}

impl Person {
    pub fn scope(&self) -> Scope {
        Scope { units: self.units.as_ref().map(|u| u.iter().cloned().collect()) }
    }
}

impl TokenRow {
    pub fn scope(&self) -> Scope {
        Scope { units: self.units.as_ref().map(|u| u.iter().cloned().collect()) }
    }
}

/// Why the desk refused.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Somebody was faster: the alert as it is now.
    #[error("alert {} was changed by somebody else (now at revision {}); look again and repeat", .0.id.0, .0.revision)]
    Conflict(Box<Alert>),
    #[error("no {what} '{name}'")]
    Missing { what: &'static str, name: String },
    #[error("{0}")]
    Refused(String),
    #[error("database {path}: {source}")]
    Database { path: String, source: rusqlite::Error },
    #[error("stored {what} '{name}' cannot be read: {reason}")]
    Damaged { what: &'static str, name: String, reason: String },
}
