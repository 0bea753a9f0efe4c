//! The audit trail: append-only, each entry bound to the one before by its hash.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    pub number: u64,
    pub time: String,
    pub actor: String,
    /// What was done: a fixed word.
    pub action: String,
    /// To what.
    pub object: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    pub detail: String,
    /// Hash of this entry, which covers the hash of the one before.
    pub hash: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    pub items: Vec<AuditEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Whether the chain holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditProof {
    pub intact: bool,
    pub entries: u64,
    /// Hash of the newest entry: write it down elsewhere to prove that nothing was cut off.
    pub head: String,
    /// First entry that does not fit, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}
