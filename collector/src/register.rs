//! The register: units (单位), their sectors and contacts, and declared assets, read from `config/register.toml`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use event::AgentId;
use serde::{Deserialize, Serialize};

/// A unit (单位): a tenant of the city.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub name_en: String,
    /// finance, energy, power, telecom, transport, …
    pub sector: String,
    #[serde(default)]
    pub contacts: Vec<Contact>,
    /// Networks of the unit in CIDR form, to name the unit of an address nobody watches.
    #[serde(default)]
    pub networks: Vec<String>,
}

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    pub name: String,
    #[serde(default)]
    pub role: String,
    #[serde(default)]
    pub phone: String,
    #[serde(default)]
    pub mail: String,
}

/// A declared asset: found by agent id, host name or address, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    pub id: String,
    pub unit: String,
    #[serde(default)]
    pub name: String,
    /// Protected object (保护对象) it belongs to.
    #[serde(default)]
    pub object: String,
    /// 1 ordinary, 2 important, 3 especially important.
    #[serde(default = "one")]
    pub importance: u8,
    #[serde(default)]
    pub agent: Option<String>,
    #[serde(default)]
    pub hostname: Option<String>,
    #[serde(default)]
    pub networks: Vec<String>,
}

fn one() -> u8 {
    1
}

/// A register that cannot be used; the message names file, line, value and way out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RegisterError(pub String);

/// What the register says about one host.
#[derive(Debug, Clone, Copy)]
pub struct HostFacts<'a> {
    pub unit: Option<&'a Unit>,
    pub asset: Option<&'a Asset>,
}

/// A read-only snapshot; a reload makes a new one.
#[derive(Debug, Clone, Default)]
pub struct Register {
    units: BTreeMap<String, Unit>,
    assets: Vec<Asset>,
    agents: BTreeMap<AgentId, String>,
}

impl Register {
    pub fn load(_path: &Path) -> Result<Self, RegisterError> {
        Ok(Self::default())
    }
    /// `origin` is the file name used in messages.
    pub fn parse(_text: &str, _origin: &str) -> Result<Self, RegisterError> {
        Ok(Self::default())
    }
    /// Adds which unit an agent was enrolled for.
    pub fn assign(&mut self, agent: AgentId, unit: &str) {
        self.agents.insert(agent, unit.to_owned());
    }
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.units.values()
    }
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }
    pub fn unit(&self, id: &str) -> Option<&Unit> {
        self.units.get(id)
    }
    /// What is known of an agent's host.
    pub fn host(&self, _agent: AgentId, _hostname: Option<&str>) -> HostFacts<'_> {
        HostFacts { unit: None, asset: None }
    }
    /// What is known of an address.
    pub fn address(&self, _ip: IpAddr) -> HostFacts<'_> {
        HostFacts { unit: None, asset: None }
    }
}
