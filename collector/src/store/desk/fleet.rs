//! Agents, units, assets, enrolment tokens and certificates.

use event::{AgentId, Timestamp};
use rusqlite::Transaction;

use super::sqlite::{Fault, Table};
use super::{CertificateRow, DeskError, EnrolmentRow};

pub(super) const AGENT: Table = Table("agent");
pub(super) const UNIT: Table = Table("unit");
pub(super) const ASSET: Table = Table("asset");
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
