//! The register: sectors, units (单位), assets, and enrolment of agents.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use ::matter::register::Contact;

use crate::BothTexts;

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
    /// The first contact in one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contact: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// Networks of the unit in CIDR form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Domain names of the unit; one stands for those below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Lets the city name it as a source when it warns others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub named: bool,
    pub agents: u64,
    pub objects: u64,
    pub assets: u64,
    pub origin: Origin,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UnitPage {
    pub items: Vec<Unit>,
}

/// Where a row was written: `file` (register.toml) or `desk` (API, import, console), which wins over the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    File,
    Desk,
}

/// A unit to create or replace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitPut {
    pub name: String,
    #[serde(default)]
    pub name_en: String,
    pub sector: String,
    /// One contact in words; `contacts` says more.
    #[serde(default)]
    pub contact: String,
    /// Whom to call; none given: those known stay.
    #[serde(default)]
    pub contacts: Option<Vec<Contact>>,
    /// None given: those known stay; so with `domains` and `named`.
    #[serde(default)]
    pub networks: Option<Vec<String>>,
    #[serde(default)]
    pub domains: Option<Vec<String>>,
    #[serde(default)]
    pub named: Option<bool>,
}

/// Whom to call, all of them; a unit's own people may write this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactsPut {
    pub contacts: Vec<Contact>,
}

/// A protected object (保护对象).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProtectedObject {
    pub id: String,
    pub unit_id: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name_en: String,
    /// MLPS level (等级保护) 1 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlps: Option<u8>,
    /// Critical information infrastructure (关键信息基础设施).
    pub cii: bool,
    /// Protection department (保护工作部门).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub protection: String,
    /// Filing number (备案编号).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filing: String,
    /// Objects it cannot work without.
    pub needs: Vec<String>,
    pub assets: u64,
    pub origin: Origin,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ObjectPage {
    pub items: Vec<ProtectedObject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A protected object to create or replace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectPut {
    pub unit_id: String,
    pub name: String,
    #[serde(default)]
    pub name_en: String,
    #[serde(default)]
    pub mlps: Option<u8>,
    #[serde(default)]
    pub cii: bool,
    #[serde(default)]
    pub protection: String,
    #[serde(default)]
    pub filing: String,
    #[serde(default)]
    pub needs: Vec<String>,
}

/// A declared asset of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Asset {
    pub id: String,
    pub name: String,
    pub unit_id: String,
    /// Protected object it belongs to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// Addresses or networks in CIDR form.
    pub addresses: Vec<String>,
    /// 1 ordinary, 2 important, 3 especially important.
    pub importance: u8,
    /// Agent id, 16 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// Ports that may be open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    pub origin: Origin,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AssetPage {
    pub items: Vec<Asset>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An asset to create or replace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetPut {
    pub name: String,
    pub unit_id: String,
    #[serde(default)]
    pub object: String,
    #[serde(default)]
    pub addresses: Vec<String>,
    #[serde(default = "one")]
    pub importance: u8,
    #[serde(default)]
    pub agent: Option<String>,
    #[serde(default)]
    pub hostname: Option<String>,
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub ports: Vec<u16>,
}

/// An object that cannot work without another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dependency {
    /// `object:needs`.
    pub id: String,
    pub object: String,
    pub unit_id: String,
    pub needs: String,
    /// Unit of what is needed; empty where that is outside the caller's scope.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub needs_unit_id: String,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DependencyPage {
    pub items: Vec<Dependency>,
    /// Objects that need each other in a circle; the city sees them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub circles: Vec<Vec<String>>,
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterImport {
    pub dry_run: bool,
    pub added: u64,
    pub changed: u64,
    /// Rows that say what is known already.
    pub unchanged: u64,
    /// Rows added or changed, the first 1,000.
    pub items: Vec<RegisterChange>,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterChange {
    /// unit, object, asset.
    pub kind: String,
    pub id: String,
    /// added, changed.
    pub change: String,
    /// Keys that change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// Something that is not as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterDifference {
    /// Stays while the difference stays.
    pub id: String,
    /// unknown (an agent on a host nobody declared), silent (a declared host that is not heard), drifted (not as declared).
    pub what: String,
    pub unit_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    pub host: String,
    /// Unknown: first heard; silent: last heard, empty for never; drifted: since it says so.
    pub since: String,
    pub changes: Vec<RegisterDrift>,
    pub text: BothTexts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<RegisterIgnored>,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterDrift {
    /// hostname, networks, os, ports.
    pub key: String,
    pub declared: String,
    pub heard: String,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterIgnored {
    pub reason: String,
    pub by: String,
    pub until: String,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DifferencePage {
    pub items: Vec<RegisterDifference>,
}

/// What to do about a difference.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DifferenceDecision {
    /// accept: the register takes over what is heard; ignore: it stands until it ends.
    pub decision: String,
    /// To ignore: why, 1 to 200 characters, and until when (RFC 3339), at most 366 days ahead.
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub until: String,
    /// To accept an unknown host: id, name, object and importance of the new asset, where they are to be other than proposed.
    #[serde(default)]
    pub asset: Option<String>,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub object: String,
    #[serde(default)]
    pub importance: Option<u8>,
}

/// Whom a warning would concern: what it touches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteQuestion {
    /// Addresses, or networks in CIDR form.
    pub addresses: Vec<String>,
    pub domains: Vec<String>,
    pub indicators: Vec<RouteIndicator>,
    /// Host names or agent ids.
    pub hosts: Vec<String>,
    pub assets: Vec<String>,
    pub objects: Vec<String>,
    pub sectors: Vec<String>,
    pub units: Vec<String>,
    /// Steps of dependency that are followed, at most 8; 8 if not said.
    pub hops: Option<u32>,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteIndicator {
    /// ipv4-addr, ipv6-addr, domain-name, url, email-addr, …
    pub r#type: String,
    pub value: String,
}

/// Units concerned, each with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteAnswer {
    pub items: Vec<RoutedUnit>,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoutedUnit {
    pub unit_id: String,
    pub unit: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name_en: String,
    pub sector: String,
    /// Nearest first.
    pub why: Vec<RouteReason>,
    /// Reasons beyond the first 32.
    pub more: u32,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteReason {
    /// named, asset, address, network, domain, sector, object, dependency.
    pub rule: String,
    /// Steps of dependency; 0: touched itself.
    pub distance: u32,
    /// From what was asked to the unit's own.
    pub path: Vec<String>,
    pub text: BothTexts,
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
