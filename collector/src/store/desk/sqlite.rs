//! The database itself: opening, migrations, one writer, several readers.
//!
//! SQLite in WAL mode with `synchronous=FULL`: a commit is on disk when it returns. One connection writes, behind a lock; readers have
//! their own, so a long list never holds up the engine. In memory (tests) there is one connection for both.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use event::{AgentId, Event, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use warning::{Alert, AlertId};

use super::{
    AgentRow, AlertCounts, AlertPage, AlertQuery, AttemptRow, AuditEntry, AuditReport, AuditRow, CertificateRow, DecisionRow, DeliveryEnd,
    DeliveryQuery, DeliveryRow, DeskError, DeskStore, EngineState, EnrolmentRow, MatterPage, MatterQuery, MatterRow, Note, Person,
    RegisterRow, Scope, SessionRow, Step, Taker, TokenRow, Triage, alerts, audit, deliveries, fleet, follow, matters, people,
};

pub struct SqliteDesk {
    path: String,
    file: Option<PathBuf>,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

/// Reader connections kept open.
const READERS_MAX: usize = 8;

/// Each step once, in order; `user_version` counts those done. Never edit one that has shipped: add the next.
const MIGRATIONS: &[&str] = &[
    r"
CREATE TABLE alert (
  id TEXT PRIMARY KEY, rule TEXT NOT NULL, severity INTEGER NOT NULL, state TEXT NOT NULL, owner TEXT,
  first_time INTEGER NOT NULL, last_time INTEGER NOT NULL, revision INTEGER NOT NULL, words TEXT NOT NULL, body TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX alert_time ON alert(last_time DESC, id DESC);
CREATE INDEX alert_state ON alert(state, severity);
CREATE TABLE alert_unit (alert TEXT NOT NULL, unit TEXT NOT NULL, PRIMARY KEY (unit, alert)) WITHOUT ROWID;
CREATE INDEX alert_unit_alert ON alert_unit(alert);
CREATE TABLE alert_ip (alert TEXT NOT NULL, ip TEXT NOT NULL, PRIMARY KEY (ip, alert)) WITHOUT ROWID;
CREATE INDEX alert_ip_alert ON alert_ip(alert);
CREATE TABLE evidence (alert TEXT NOT NULL, event TEXT NOT NULL, time INTEGER NOT NULL, unit TEXT, bytes BLOB NOT NULL, PRIMARY KEY (alert, event)) WITHOUT ROWID;
CREATE TABLE note (number INTEGER PRIMARY KEY, alert TEXT NOT NULL, time INTEGER NOT NULL, who TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX note_alert ON note(alert);
CREATE TABLE engine (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL, snapshot_position INTEGER, snapshot BLOB);
CREATE TABLE agent (id TEXT PRIMARY KEY, link TEXT, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE unit (id TEXT PRIMARY KEY, link TEXT, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE asset (id TEXT PRIMARY KEY, link TEXT, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE enrolment (id TEXT PRIMARY KEY, link TEXT, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE certificate (id TEXT PRIMARY KEY, link TEXT, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX certificate_agent ON certificate(link);
CREATE TABLE person (id TEXT PRIMARY KEY, link TEXT, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE session (id TEXT PRIMARY KEY, link TEXT, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX session_person ON session(link);
CREATE TABLE token (id TEXT PRIMARY KEY, link TEXT, body TEXT NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX token_hash ON token(link);
CREATE TABLE audit (number INTEGER PRIMARY KEY, time INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL, unit TEXT, detail TEXT NOT NULL, hash BLOB NOT NULL);
CREATE INDEX audit_unit ON audit(unit, number);
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
",
    matters::SCHEMA,
    fleet::SCHEMA,
    deliveries::SCHEMA,
    follow::SCHEMA,
];

impl SqliteDesk {
    /// Opens or makes the database in a file.
    pub fn open(path: &Path) -> Result<Self, DeskError> {
        let connection = connect(path).map_err(|source| DeskError::Database { path: path.display().to_string(), source })?;
        Self::with(connection, path.display().to_string(), Some(path.to_path_buf()))
    }

    /// A desk that is gone when it is dropped: tests, replays.
    pub fn in_memory() -> Result<Self, DeskError> {
        let connection = Connection::open_in_memory().map_err(|source| DeskError::Database { path: "in memory".into(), source })?;
        Self::with(connection, "in memory".into(), None)
    }

    fn with(connection: Connection, path: String, file: Option<PathBuf>) -> Result<Self, DeskError> {
        let desk = Self { path, file, writer: Mutex::new(connection), readers: Mutex::default() };
        let done: u32 = desk.read_on_writer(|c| c.query_row("PRAGMA user_version", [], |r| r.get(0)))?;
        let done = done as usize;
        if done > MIGRATIONS.len() {
            return Err(DeskError::Refused(format!(
                "database {} was written by a newer program (schema {done}, this one knows {}): run the newer program",
                desk.path,
                MIGRATIONS.len()
            )));
        }
        for (at, step) in MIGRATIONS.iter().enumerate().skip(done) {
            desk.write(|tx| {
                tx.execute_batch(step)?;
                tx.pragma_update(None, "user_version", at as i64 + 1)?;
                Ok(())
            })?;
        }
        Ok(desk)
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, fault: Fault) -> DeskError {
        match fault {
            Fault::Sql(source) => DeskError::Database { path: self.path.clone(), source },
            Fault::Desk(e) => *e,
        }
    }

    fn read_on_writer<T>(&self, f: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, DeskError> {
        f(&self.writer()).map_err(|e| self.fault(Fault::Sql(e)))
    }

    /// One transaction: all of it or nothing.
    pub(super) fn write<T>(&self, f: impl FnOnce(&Transaction) -> Result<T, Fault>) -> Result<T, DeskError> {
        let mut connection = self.writer();
        let run = || {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = f(&tx)?;
            tx.commit()?;
            Ok(answer)
        };
        run().map_err(|e| self.fault(e))
    }

    /// A read on a snapshot of its own.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, DeskError> {
        let Some(file) = &self.file else { return f(&self.writer()).map_err(|e| self.fault(e)) };
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => connect(file).map_err(|e| self.fault(Fault::Sql(e)))?,
        };
        let answer = connection.unchecked_transaction().map_err(Fault::Sql).and_then(|tx| f(&tx)).map_err(|e| self.fault(e));
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_MAX {
            readers.push(connection);
        }
        answer
    }
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// What can go wrong within a transaction; both roll it back.
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Desk(Box<DeskError>),
}

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sql(e)
    }
}

impl From<DeskError> for Fault {
    fn from(e: DeskError) -> Self {
        Self::Desk(Box::new(e))
    }
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|e| DeskError::Refused(format!("cannot be written as JSON: {e}")).into())
}

pub(super) fn from_json<T: DeserializeOwned>(what: &'static str, name: &str, body: &str) -> Result<T, Fault> {
    serde_json::from_str(body).map_err(|e| DeskError::Damaged { what, name: name.to_owned(), reason: e.to_string() }.into())
}

/// A table of the shape `(id, link, body)`; `link` is what rows are found by besides their id (unit, agent, person, hash).
pub(super) struct Table(pub(super) &'static str);

impl Table {
    pub(super) fn put<T: Serialize>(&self, c: &Connection, id: &str, link: Option<&str>, row: &T) -> Result<(), Fault> {
        let sql = format!("INSERT INTO {0}(id, link, body) VALUES (?1, ?2, ?3) ON CONFLICT(id) DO UPDATE SET link = ?2, body = ?3", self.0);
        c.prepare_cached(&sql)?.execute((id, link, to_json(row)?))?;
        Ok(())
    }
    pub(super) fn get<T: DeserializeOwned>(&self, c: &Connection, id: &str) -> Result<Option<T>, Fault> {
        self.one(c, "id", id)
    }
    pub(super) fn by_link<T: DeserializeOwned>(&self, c: &Connection, link: &str) -> Result<Option<T>, Fault> {
        self.one(c, "link", link)
    }
    fn one<T: DeserializeOwned>(&self, c: &Connection, column: &str, value: &str) -> Result<Option<T>, Fault> {
        let sql = format!("SELECT body FROM {} WHERE {column} = ?1", self.0);
        let body: Option<String> = c.prepare_cached(&sql)?.query_row([value], |r| r.get(0)).optional()?;
        body.map(|b| from_json(self.0, value, &b)).transpose()
    }
    /// All rows the scope allows by their link, by id.
    pub(super) fn all<T: DeserializeOwned>(&self, c: &Connection, allowed: impl Fn(&str, Option<&str>) -> bool) -> Result<Vec<T>, Fault> {
        let mut statement = c.prepare_cached(&format!("SELECT id, link, body FROM {} ORDER BY id", self.0))?;
        let mut rows = statement.query([])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, link): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            if allowed(&id, link.as_deref()) {
                out.push(from_json(self.0, &id, &row.get::<_, String>(2)?)?);
            }
        }
        Ok(out)
    }
    pub(super) fn remove(&self, c: &Connection, id: &str) -> Result<bool, Fault> {
        Ok(c.prepare_cached(&format!("DELETE FROM {} WHERE id = ?1", self.0))?.execute([id])? > 0)
    }
    pub(super) fn remove_by_link(&self, c: &Connection, link: &str) -> Result<usize, Fault> {
        Ok(c.prepare_cached(&format!("DELETE FROM {} WHERE link = ?1", self.0))?.execute([link])?)
    }
}

impl DeskStore for SqliteDesk {
    fn save(&self, step: &Step) -> Result<Vec<Alert>, DeskError> {
        self.write(|tx| alerts::save(tx, step))
    }
    fn engine(&self) -> Result<EngineState, DeskError> {
        self.read(alerts::engine)
    }
    fn alert(&self, scope: &Scope, id: &AlertId) -> Result<Option<Alert>, DeskError> {
        self.read(|c| alerts::alert(c, scope, id))
    }
    fn alerts(&self, scope: &Scope, query: &AlertQuery) -> Result<AlertPage, DeskError> {
        self.read(|c| alerts::alerts(c, scope, query))
    }
    fn alert_counts(&self, scope: &Scope) -> Result<AlertCounts, DeskError> {
        self.read(|c| alerts::counts(c, scope))
    }
    fn evidence(&self, scope: &Scope, id: &AlertId) -> Result<Vec<Arc<Event>>, DeskError> {
        self.read(|c| alerts::evidence(c, scope, id))
    }
    fn notes(&self, scope: &Scope, id: &AlertId) -> Result<Vec<Note>, DeskError> {
        self.read(|c| alerts::notes(c, scope, id))
    }
    fn waiting(&self) -> Result<u64, DeskError> {
        self.read(follow::waiting)
    }
    fn follow(&self, limit: usize, take: &mut Taker) -> Result<usize, matter::Refusal> {
        let mut refused = None;
        let done = self.write(|tx| match follow::follow(tx, limit, take)? {
            Ok(n) => Ok(n),
            Err(why) => {
                refused = Some(why);
                Err(Fault::Desk(Box::new(DeskError::Refused(String::new()))))
            }
        });
        match (refused, done) {
            (Some(why), _) => Err(why),
            (None, done) => done.map_err(|e| matter::Refusal::Storage(e.to_string())),
        }
    }
    fn place(&self, alert: &AlertId) -> Result<Option<String>, DeskError> {
        self.read(|c| follow::place(c, &alert.0))
    }
    fn judged_before(&self, scope: &Scope, alert: &Alert, limit: usize) -> Result<Vec<Alert>, DeskError> {
        self.read(|c| follow::judged_before(c, scope, alert, limit, |other| alerts::view(c, scope, other)))
    }
    fn put_undo(&self, token: &str, who: &str, now: Timestamp, oldest: Timestamp, body: &str) -> Result<(), DeskError> {
        self.write(|tx| follow::put_undo(tx, token, who, now.ns(), oldest.ns(), body))
    }
    fn take_undo(&self, token: &str, who: &str, oldest: Timestamp) -> Result<String, DeskError> {
        self.write(|tx| follow::take_undo(tx, token, who, oldest.ns()))
    }
    fn triage(&self, scope: &Scope, triage: &Triage) -> Result<Alert, DeskError> {
        self.write(|tx| alerts::triage(tx, scope, triage))
    }
    fn add_note(&self, scope: &Scope, id: &AlertId, who: &str, text: &str, now: Timestamp) -> Result<Note, DeskError> {
        self.write(|tx| alerts::add_note(tx, scope, id, who, text, now))
    }

    fn transact(&self, f: &mut dyn FnMut(&dyn matter::Shelf) -> Result<(), matter::Refusal>) -> Result<(), matter::Refusal> {
        Self::transact(self, f)
    }
    fn matter(&self, scope: &Scope, kind: &str, id: &str) -> Result<Option<MatterRow>, DeskError> {
        self.read(|c| matters::one(c, scope, kind, id))
    }
    fn matters(&self, scope: &Scope, query: &MatterQuery) -> Result<MatterPage, DeskError> {
        self.read(|c| matters::list(c, scope, query))
    }
    fn matter_history(&self, kind: &str, id: &str) -> Result<Vec<matter::Entry>, DeskError> {
        self.read(|c| matters::history(c, kind, id))
    }
    fn matter_counts(&self, scope: &Scope, kind: &str, exercise: bool) -> Result<Vec<(String, bool, u8, u64)>, DeskError> {
        self.read(|c| matters::counts(c, scope, kind, exercise))
    }
    fn matters_due(&self, now: Timestamp, limit: usize) -> Result<Vec<(String, String)>, DeskError> {
        self.read(|c| matters::due(c, now, limit))
    }
    fn next_due(&self) -> Result<Option<Timestamp>, DeskError> {
        self.read(matters::next_due)
    }
    fn messages(&self, after: u64, limit: usize) -> Result<Vec<(u64, matter::Message)>, DeskError> {
        self.read(|c| matters::messages(c, after, limit))
    }

    fn untaken_messages(&self, limit: usize) -> Result<Vec<(u64, matter::Message)>, DeskError> {
        self.read(|c| deliveries::untaken(c, limit))
    }
    fn untaken_red(&self, after: u64, limit: usize) -> Result<Vec<(u64, matter::Message)>, DeskError> {
        self.read(|c| deliveries::untaken_red(c, after, limit))
    }
    fn take_messages(&self, through: Option<u64>, rows: &[DeliveryRow]) -> Result<Vec<DeliveryRow>, DeskError> {
        self.write(|tx| deliveries::take(tx, through, rows))
    }
    fn open_deliveries(&self, limit: usize) -> Result<Vec<DeliveryRow>, DeskError> {
        self.read(|c| deliveries::open(c, limit))
    }
    fn begin_attempt(&self, numbers: &[u64], parcel: &str, channel: &str, attempts: u32, now: Timestamp) -> Result<(), DeskError> {
        self.write(|tx| deliveries::begin(tx, numbers, parcel, channel, attempts, now))
    }
    fn end_attempt(&self, what: &DeliveryEnd) -> Result<(), DeskError> {
        self.write(|tx| deliveries::end(tx, what))
    }
    fn attempts_since(&self, since: Timestamp) -> Result<Vec<AttemptRow>, DeskError> {
        self.read(|c| deliveries::attempts_since(c, since))
    }
    fn attempts_of(&self, parcel: &str) -> Result<Vec<AttemptRow>, DeskError> {
        self.read(|c| deliveries::attempts_of(c, parcel))
    }
    fn deliveries(&self, query: &DeliveryQuery) -> Result<Vec<DeliveryRow>, DeskError> {
        self.read(|c| deliveries::list(c, query))
    }
    fn deliveries_of(&self, numbers: &[u64], limit: usize) -> Result<Vec<DeliveryRow>, DeskError> {
        self.read(|c| deliveries::some(c, numbers, limit))
    }
    fn delivery(&self, id: &str) -> Result<Option<DeliveryRow>, DeskError> {
        self.read(|c| deliveries::one(c, id))
    }
    fn retry_delivery(&self, id: &str, now: Timestamp) -> Result<Option<DeliveryRow>, DeskError> {
        self.write(|tx| deliveries::again(tx, id, now))
    }
    fn delivery_counts(&self) -> Result<Vec<(String, String, u64)>, DeskError> {
        self.read(deliveries::counts)
    }
    fn messages_of(&self, numbers: &[u64]) -> Result<Vec<(u64, matter::Message)>, DeskError> {
        self.read(|c| deliveries::messages_of(c, numbers))
    }
    fn prune_deliveries(&self, before: Timestamp, limit: usize) -> Result<usize, DeskError> {
        self.write(|tx| deliveries::prune(tx, before, limit))
    }

    fn put_agents(&self, agents: &[AgentRow]) -> Result<(), DeskError> {
        if agents.is_empty() {
            return Ok(());
        }
        self.write(|tx| agents.iter().try_for_each(|agent| fleet::AGENT.put(tx, &agent.id, agent.unit.as_deref(), agent)))
    }
    fn agent(&self, scope: &Scope, id: AgentId) -> Result<Option<AgentRow>, DeskError> {
        let row: Option<AgentRow> = self.read(|c| fleet::AGENT.get(c, &id.to_string()))?;
        Ok(row.filter(|a| scope.allows(a.unit.as_deref())))
    }
    fn agents(&self, scope: &Scope) -> Result<Vec<AgentRow>, DeskError> {
        self.read(|c| fleet::AGENT.all(c, |_, unit| scope.allows(unit)))
    }
    fn remove_agent(&self, id: AgentId) -> Result<bool, DeskError> {
        self.write(|tx| fleet::AGENT.remove(tx, &id.to_string()))
    }
    fn register_rows(&self) -> Result<Vec<RegisterRow>, DeskError> {
        self.read(fleet::register_rows)
    }
    fn put_register(&self, rows: &[RegisterRow], audit: &[AuditEntry]) -> Result<(), DeskError> {
        self.write(|tx| {
            rows.iter().try_for_each(|row| fleet::put_register(tx, row))?;
            audit.iter().try_for_each(|entry| audit::append(tx, entry).map(drop))
        })
    }
    fn decisions(&self, scope: &Scope) -> Result<Vec<DecisionRow>, DeskError> {
        self.read(|c| fleet::DECISION.all(c, |_, unit| scope.allows(unit)))
    }
    fn put_decision(&self, decision: &DecisionRow, audit: &AuditEntry) -> Result<(), DeskError> {
        self.write(|tx| {
            fleet::DECISION.put(tx, &decision.id, Some(&decision.unit), decision)?;
            audit::append(tx, audit).map(drop)
        })
    }

    fn put_enrolment(&self, token: &EnrolmentRow) -> Result<(), DeskError> {
        self.write(|tx| fleet::ENROLMENT.put(tx, &token.hash, token.unit.as_deref(), token))
    }
    fn enrolments(&self, scope: &Scope) -> Result<Vec<EnrolmentRow>, DeskError> {
        self.read(|c| fleet::ENROLMENT.all(c, |_, unit| scope.allows(unit)))
    }
    fn take_enrolment(&self, hash: &str, pin: &str, agent: AgentId, now: Timestamp) -> Result<EnrolmentRow, DeskError> {
        self.write(|tx| fleet::take_enrolment(tx, hash, pin, agent, now))
    }
    fn put_certificate(&self, certificate: &CertificateRow) -> Result<(), DeskError> {
        self.write(|tx| fleet::CERTIFICATE.put(tx, &certificate.serial, Some(&certificate.agent), certificate))
    }
    fn certificates(&self, agent: Option<AgentId>) -> Result<Vec<CertificateRow>, DeskError> {
        let agent = agent.map(|a| a.to_string());
        self.read(|c| fleet::CERTIFICATE.all(c, |_, link| agent.as_deref().is_none_or(|a| link == Some(a))))
    }
    fn revoke(&self, agent: AgentId, reason: &str, now: Timestamp) -> Result<Vec<String>, DeskError> {
        self.write(|tx| fleet::revoke(tx, agent, reason, now))
    }

    fn put_person(&self, person: &Person) -> Result<(), DeskError> {
        self.write(|tx| people::PERSON.put(tx, &person.name, None, person))
    }
    fn person(&self, name: &str) -> Result<Option<Person>, DeskError> {
        self.read(|c| people::PERSON.get(c, name))
    }
    fn people(&self) -> Result<Vec<Person>, DeskError> {
        self.read(|c| people::PERSON.all(c, |_, _| true))
    }
    fn put_session(&self, session: &SessionRow) -> Result<(), DeskError> {
        self.write(|tx| people::put_session(tx, session))
    }
    fn session(&self, hash: &str, now: Timestamp) -> Result<Option<SessionRow>, DeskError> {
        let row: Option<SessionRow> = self.read(|c| people::SESSION.get(c, hash))?;
        Ok(row.filter(|s| s.expires > now.ns()))
    }
    fn end_session(&self, hash: &str) -> Result<bool, DeskError> {
        self.write(|tx| people::SESSION.remove(tx, hash))
    }
    fn end_sessions_of(&self, person: &str) -> Result<usize, DeskError> {
        self.write(|tx| people::SESSION.remove_by_link(tx, person))
    }
    fn put_token(&self, token: &TokenRow) -> Result<(), DeskError> {
        self.write(|tx| people::TOKEN.put(tx, &token.id, Some(&token.hash), token))
    }
    fn token(&self, hash: &str, now: Timestamp) -> Result<Option<TokenRow>, DeskError> {
        let Some(row) = self.read(|c| people::token(c, hash, now))? else { return Ok(None) };
        if row.last_used.is_none_or(|t| now.ns() - t >= people::USE_NOTED_EVERY_NS) {
            return self.write(|tx| people::note_use(tx, hash, now));
        }
        Ok(Some(row))
    }
    fn tokens(&self) -> Result<Vec<TokenRow>, DeskError> {
        self.read(|c| people::TOKEN.all(c, |_, _| true))
    }
    fn revoke_token(&self, id: &str) -> Result<bool, DeskError> {
        self.write(|tx| people::revoke_token(tx, id))
    }

    fn audit(&self, entry: &AuditEntry) -> Result<u64, DeskError> {
        self.write(|tx| audit::append(tx, entry))
    }
    fn audit_log(&self, scope: &Scope, before: Option<u64>, limit: usize) -> Result<Vec<AuditRow>, DeskError> {
        self.read(|c| audit::log(c, scope, before, limit))
    }
    fn audit_verify(&self) -> Result<AuditReport, DeskError> {
        self.read(audit::verify)
    }
    fn setting(&self, key: &str) -> Result<Option<String>, DeskError> {
        self.read(|c| Ok(c.prepare_cached("SELECT value FROM setting WHERE key = ?1")?.query_row([key], |r| r.get(0)).optional()?))
    }
    fn put_setting(&self, key: &str, value: &str) -> Result<(), DeskError> {
        self.write(|tx| {
            tx.prepare_cached("INSERT INTO setting(key, value) VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET value = ?2")?
                .execute((key, value))?;
            Ok(())
        })
    }
}
