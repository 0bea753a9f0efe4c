//! What people are told. A message is written in the same transaction as what it is about; how it travels is the channels' business.

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::grade::Level;

use crate::{Both, Permission, Revision};

/// Whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "to")]
pub enum Recipient {
    /// People of a unit, by their place in the line: `duty`, then `substitute`, `leader`, `protection`. Where a unit has nobody in that
    /// place, the next in line is told.
    Unit { unit: String, role: String },
    /// Everybody on the city's side who may do this.
    City { right: Permission },
}

/// One message to one recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The same key is never sent twice.
    pub key: String,
    pub recipient: Recipient,
    pub level: Option<Level>,
    /// Kind and id of the matter it is about. Where that kind has an act `delivered`, a channel that got through reports it there.
    pub kind: String,
    pub id: String,
    /// Messages of one thread belong together: the id of the warning, the incident, the order.
    pub thread: String,
    pub title: Both,
    pub text: Both,
    /// The warning itself, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Box<Revision>>,
    #[serde(default)]
    pub exercise: bool,
    #[serde(with = "crate::when")]
    pub time: Timestamp,
}
