//! Agents as the API shows them: alive or not, what they see and what not, and whether their sums add up.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// 16 hex digits, from its certificate.
    pub id: String,
    pub host: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sector: String,
    pub liveness: Liveness,
    /// Whether a link stands right now.
    pub connected: bool,
    /// Address it speaks from, while connected.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remote: String,
    /// Last heartbeat by the collector's clock; empty if there was none.
    pub last_seen: String,
    /// Seconds since then, rounded down; absent if never seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_s: Option<i64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub os: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kernel: String,
    pub addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_s: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<i64>,
    /// Processor time since start, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<i64>,
    /// Its clock minus the collector's, estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
    /// Which set of indicators of compromise is in force at its edge: when the collector sent it, nanoseconds since 1970; 0: none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indicator_revision: Option<i64>,
    /// How many they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indicators: Option<i64>,
    pub coverage: Vec<Coverage>,
    pub ledger: Vec<LedgerRow>,
    /// Whether every row of the ledger adds up.
    pub ledger_balanced: bool,
}

/// Whether it is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// Heard within three heartbeats.
    Alive,
    /// A few heartbeats are missing.
    Late,
    /// Nothing for a minute or more: on its own a reason to look.
    Silent,
    /// Enrolled and never heard.
    NeverSeen,
    /// Its certificate is revoked.
    Revoked,
}

impl Liveness {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Late => "late",
            Self::Silent => "silent",
            Self::NeverSeen => "never_seen",
            Self::Revoked => "revoked",
        }
    }
}

/// What a sensor sees of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Coverage {
    pub sensor: String,
    /// Interface, file or folder.
    pub subject: String,
    /// seeing, partial, blind, off.
    pub state: String,
    /// Why not, and the way out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// One delivery class: produced = acknowledged + spooled + lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerRow {
    pub class: String,
    pub produced: u64,
    pub acknowledged: u64,
    pub spooled: u64,
    pub lost: u64,
}

impl LedgerRow {
    pub fn balanced(&self) -> bool {
        Some(self.produced) == self.acknowledged.checked_add(self.spooled).and_then(|n| n.checked_add(self.lost))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentPage {
    pub items: Vec<Agent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    pub total: u64,
    pub now: String,
}
