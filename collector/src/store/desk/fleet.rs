//! Agents, the register's written rows, enrolment tokens and certificates.

use event::{AgentId, Timestamp};
use matter::register::{Asset, Contact, NAME_MAX, Row, RowKind, Unit};
use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};

use super::sqlite::{Fault, Table, from_json};
use super::{CertificateRow, DeskError, EnrolmentRow, RegisterRow};

/// Objects, and what people let stand of differences.
pub(super) const SCHEMA: &str = r"
CREATE TABLE object (id TEXT PRIMARY KEY, link TEXT, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE decision (id TEXT PRIMARY KEY, link TEXT, body TEXT NOT NULL) WITHOUT ROWID;
";

pub(super) const AGENT: Table = Table("agent");
const UNIT: Table = Table("unit");
const OBJECT: Table = Table("object");
const ASSET: Table = Table("asset");
pub(super) const DECISION: Table = Table("decision");
pub(super) const ENROLMENT: Table = Table("enrolment");
pub(super) const CERTIFICATE: Table = Table("certificate");

pub(super) fn take_enrolment(tx: &Transaction, hash: &str, pin: &str, agent: AgentId, now: Timestamp) -> Result<EnrolmentRow, Fault> {
    let refused = |why: &str| Fault::from(DeskError::Refused(format!("enrolment token {why}; ask for a new one: vedette agents invite")));
    let Some(mut row) = ENROLMENT.get::<EnrolmentRow>(tx, hash)? else { return Err(refused("is not known")) };
    if now.ns() >= row.expires {
        return Err(refused("has expired"));
    }
    if row.used.is_some() {
        // The answer may have been lost on the way: the same key may ask again and gets the same agent.
        return if row.pin.as_deref() == Some(pin) { Ok(row) } else { Err(refused("has been used by another key")) };
    }
    row.used = Some(now.ns());
    row.used_by = Some(agent.to_string());
    row.pin = Some(pin.to_owned());
    ENROLMENT.put(tx, hash, row.unit.as_deref(), &row)?;
    Ok(row)
}

pub(super) fn revoke(tx: &Transaction, agent: AgentId, reason: &str, now: Timestamp) -> Result<Vec<String>, Fault> {
    let agent = agent.to_string();
    let mut serials = Vec::new();
    for mut row in CERTIFICATE.all::<CertificateRow>(tx, |_, link| link == Some(agent.as_str()))? {
        if row.revoked.is_none() {
            row.revoked = Some(now.ns());
            reason.clone_into(&mut row.reason);
            CERTIFICATE.put(tx, &row.serial, Some(&agent), &row)?;
            serials.push(row.serial);
        }
    }
    Ok(serials)
}

const fn table(kind: RowKind) -> Table {
    match kind {
        RowKind::Unit => UNIT,
        RowKind::Object => OBJECT,
        RowKind::Asset => ASSET,
    }
}

/// A row of the register as it is stored.
#[derive(Serialize, Deserialize)]
struct Body {
    /// None: removed.
    row: Option<Row>,
}

/// Rows of units as first stored: name, sector and one line of contact.
#[derive(Deserialize)]
struct OldUnit {
    name: String,
    sector: String,
    #[serde(default)]
    contact: String,
}

/// Rows of assets as first stored.
#[derive(Deserialize)]
struct OldAsset {
    unit: Option<String>,
    name: String,
    importance: u8,
    addresses: Vec<String>,
}

pub(super) fn put_register(tx: &Transaction, row: &RegisterRow) -> Result<(), Fault> {
    table(row.kind).put(tx, &row.id, row.unit.as_deref(), &Body { row: row.row.clone() })
}

pub(super) fn register_rows(c: &Connection) -> Result<Vec<RegisterRow>, Fault> {
    let mut out = Vec::new();
    for kind in RowKind::ALL {
        let mut statement = c.prepare_cached(&format!("SELECT id, link, body FROM {} ORDER BY id", table(kind).0))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, unit, body): (String, Option<String>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            out.push(read_row(kind, id, unit, &body)?);
        }
    }
    Ok(out)
}

fn read_row(kind: RowKind, id: String, unit: Option<String>, body: &str) -> Result<RegisterRow, Fault> {
    let value: serde_json::Value = from_json(kind.name(), &id, body)?;
    if value.get("row").is_some() {
        let Body { row } = from_json(kind.name(), &id, body)?;
        return Ok(RegisterRow { kind, id, unit, row, old: false });
    }
    let row = match kind {
        RowKind::Unit => {
            let old: OldUnit = from_json(kind.name(), &id, body)?;
            let contact =
                |name: String| Contact { name: name.chars().take(2 * NAME_MAX).collect(), role: "duty".into(), ..Contact::default() };
            let contacts = Some(old.contact).filter(|c| !c.trim().is_empty()).map(contact).into_iter().collect();
            Row::Unit(Unit { id: id.clone(), name: old.name, sector: old.sector, contacts, ..Unit::default() })
        }
        _ => {
            let old: OldAsset = from_json(kind.name(), &id, body)?;
            Row::Asset(Asset {
                id: id.clone(),
                unit: old.unit.unwrap_or_default(),
                name: old.name,
                importance: old.importance.clamp(1, 3),
                networks: old.addresses,
                ..Asset::default()
            })
        }
    };
    Ok(RegisterRow { kind, id, unit, row: Some(row), old: true })
}
