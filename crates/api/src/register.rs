//! The register: sectors, units (单位), assets, and enrolment of agents.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A sector (行业): finance, energy, power, telecom, transport, …
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sector {
    pub id: String,
    pub name: String,
    pub name_zh: String,
    pub units: u64,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SectorPage {
    pub items: Vec<Sector>,
}

/// A unit (单位): the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unit {
    pub id: String,
    pub name: String,
    /// For English readers, where the register has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name_en: String,
    pub sector: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contact: String,
    pub agents: u64,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UnitPage {
    pub items: Vec<Unit>,
}

/// A unit to create or replace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitPut {
    pub name: String,
    pub sector: String,
    #[serde(default)]
    pub contact: String,
}

/// A declared asset of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Asset {
    pub id: String,
    pub name: String,
    pub unit_id: String,
    pub addresses: Vec<String>,
    /// 1 ordinary, 2 important, 3 especially important.
    pub importance: u8,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AssetPage {
    pub items: Vec<Asset>,
}

/// An asset to create or replace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetPut {
    pub name: String,
    pub unit_id: String,
    #[serde(default)]
    pub addresses: Vec<String>,
    #[serde(default = "one")]
    pub importance: u8,
}

/// Asks for a one-use enrolment string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEnrolToken {
    /// Unit the agent will belong to.
    pub unit_id: String,
    /// Minutes it may be used, 1 to 10,080 (a week); 30 if not said.
    #[serde(default = "half_an_hour")]
    pub minutes: u32,
    /// What it is for; kept in the audit.
    #[serde(default)]
    pub note: String,
}

/// Ends an agent's identity for good: its link is cut and its certificate is not taken again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Why, in words; kept in the audit. 1 to 200 characters.
    pub reason: String,
}

/// The string to give to `vedette-agent enrol`; shown once, never stored in clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolToken {
    /// `vedette1:<host:port>:<ca sha256>:<token>`.
    pub enrolment: String,
    pub unit_id: String,
    pub expires: String,
}

const fn one() -> u8 {
    1
}
const fn half_an_hour() -> u32 {
    30
}
