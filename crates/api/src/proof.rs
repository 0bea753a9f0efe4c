//! Whether what was issued is what was signed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::alert::BothTexts;

/// Every chain recomputed: the city's of all warnings and receipts, a unit's of its own receipts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WarningProof {
    pub intact: bool,
    /// How many were looked at.
    pub warnings: u64,
    pub revisions: u64,
    pub receipts: u64,
    pub copies: u64,
    /// The first broken revision of each chain that does not hold; at most 1,000.
    pub broken: Vec<BrokenRevision>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokenRevision {
    /// warning or receipt.
    pub kind: String,
    pub id: String,
    /// 0: the chain as a whole.
    pub number: u32,
    pub why: BothTexts,
}
