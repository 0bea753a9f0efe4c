//! The register (单位台账) as data: units with whom to call, protected objects, declared assets, and who depends on whom.

use serde::{Deserialize, Serialize};

/// A unit (单位): a tenant of the city.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    pub id: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name_en: String,
    /// finance, energy, power, telecom, transport, …
    pub sector: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// Networks of the unit in CIDR form, to name the unit of an address nobody watches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Domain names of the unit; one stands for those below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Lets the city name it as a source when it warns others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub named: bool,
}

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    pub name: String,
    /// Place in the line: `duty`, `substitute`, `leader`, `protection`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phone: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mail: String,
    /// Names of configured channels that reach this contact, besides mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// `zh` or `en`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lang: String,
}

/// A protected object (保护对象): what the law grades.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    pub id: String,
    pub unit: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name_en: String,
    /// MLPS level (等级保护) 1 to 5; none: nobody declared it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlps: Option<u8>,
    /// Critical information infrastructure (关键信息基础设施).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cii: bool,
    /// Protection department (保护工作部门).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub protection: String,
    /// Filing number (备案编号).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filing: String,
    /// Objects it cannot work without: the power of a data centre, the telecom of a bank.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
}

/// A declared asset: found by agent id, host name or address, in this order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    pub id: String,
    pub unit: String,
    #[serde(default)]
    pub name: String,
    /// Protected object it belongs to.
    #[serde(default)]
    pub object: String,
    /// 1 ordinary, 2 important, 3 especially important.
    #[serde(default = "ordinary")]
    pub importance: u8,
    /// Agent id, 16 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Addresses or networks in CIDR form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
}

const fn ordinary() -> u8 {
    1
}
