//! The register: units (单位), their sectors and contacts, and declared assets, read from `config/register.toml`.
//!
//! A snapshot never changes under its readers; a reload makes a new one. Which unit an agent belongs to is decided by its
//! enrolment; only an agent without that is placed by its declared asset, and an asset of another unit is never believed on a
//! host name alone, because a host name is the agent's own claim.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;

use crate::store::Network;
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
    #[serde(default = "ordinary")]
    pub importance: u8,
    /// Agent id, 16 hex digits.
    #[serde(default)]
    pub agent: Option<String>,
    #[serde(default)]
    pub hostname: Option<String>,
    /// Addresses or networks in CIDR form.
    #[serde(default)]
    pub networks: Vec<String>,
}

const fn ordinary() -> u8 {
    1
}

/// A register that cannot be used: one line a problem, each with file, line, value and way out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RegisterError(pub String);

/// What the register says about one host.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostFacts<'a> {
    pub unit: Option<&'a Unit>,
    pub asset: Option<&'a Asset>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    unit: Vec<Unit>,
    #[serde(default)]
    asset: Vec<Asset>,
}

/// A read-only snapshot.
#[derive(Debug, Clone, Default)]
pub struct Register {
    units: BTreeMap<String, Unit>,
    assets: Vec<Asset>,
    by_agent: HashMap<AgentId, usize>,
    by_hostname: HashMap<String, usize>,
    /// Longest prefix first.
    asset_networks: Vec<(Network, usize)>,
    unit_networks: Vec<(Network, String)>,
    enrolled: HashMap<AgentId, String>,
}

impl Register {
    pub fn load(path: &Path) -> Result<Self, RegisterError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|e| RegisterError(format!("{origin}: cannot be read: {e}; copy config/register.toml there or name another file")))?;
        Self::parse(&text, &origin)
    }

    /// `origin` is the file name used in messages.
    pub fn parse(text: &str, origin: &str) -> Result<Self, RegisterError> {
        let file: File = settings::load_text(origin, text).map_err(|e| RegisterError(e.to_string()))?;
        let mut register = Self::default();
        let mut problems = Vec::new();
        let mut refuse = |table: &str, n: usize, (key, what): (&str, String)| {
            problems.push(format!("{origin}:{}: key '{key}': {what}", line_of(text, table, n, key)));
        };
        for (n, unit) in file.unit.into_iter().enumerate() {
            register.put_unit(unit).unwrap_or_else(|why| refuse("[[unit]]", n, why));
        }
        for (n, asset) in file.asset.into_iter().enumerate() {
            register.put_asset(asset).unwrap_or_else(|why| refuse("[[asset]]", n, why));
        }
        if problems.is_empty() { Ok(register) } else { Err(RegisterError(problems.join("\n"))) }
    }

    /// Adds a unit; on refusal the key at fault and why.
    pub fn put_unit(&mut self, unit: Unit) -> Result<(), (&'static str, String)> {
        if unit.id.trim().is_empty() {
            return Err(("id", "is empty; give the unit a short fixed name such as 'grid-east'".into()));
        }
        if unit.sector.trim().is_empty() {
            return Err(("sector", "is empty; one word such as finance, energy, power, telecom or transport".into()));
        }
        if self.units.contains_key(&unit.id) {
            return Err(("id", format!("'{}' is there twice; every unit has its own", unit.id)));
        }
        for text in &unit.networks {
            self.unit_networks.push((network(text).map_err(|what| ("networks", what))?, unit.id.clone()));
        }
        self.unit_networks.sort_by_key(|(n, _)| std::cmp::Reverse(n.prefix));
        self.units.insert(unit.id.clone(), unit);
        Ok(())
    }

    /// Puts a unit in the place of the one with its id, or adds it; on refusal the key at fault and why.
    pub fn replace_unit(&mut self, unit: Unit) -> Result<(), (&'static str, String)> {
        self.units.remove(&unit.id);
        self.unit_networks.retain(|(_, id)| *id != unit.id);
        self.put_unit(unit)
    }

    /// Adds an asset of a unit that is there; on refusal the key at fault and why.
    pub fn put_asset(&mut self, asset: Asset) -> Result<(), (&'static str, String)> {
        if asset.id.trim().is_empty() || self.assets.iter().any(|a| a.id == asset.id) {
            return Err(("id", format!("'{}' is empty or there twice; every asset has its own", asset.id)));
        }
        if !self.units.contains_key(&asset.unit) {
            let known: Vec<&str> = self.units.keys().take(10).map(String::as_str).collect();
            return Err(("unit", format!("'{}' is no unit of this file; there are {}", asset.unit, known.join(", "))));
        }
        if !(1..=3).contains(&asset.importance) {
            return Err(("importance", format!("{} is not 1 (ordinary), 2 (important) or 3 (especially important)", asset.importance)));
        }
        let at = self.assets.len();
        if let Some(agent) = &asset.agent {
            let id: AgentId = agent.parse().map_err(|e: event::IdError| ("agent", e.to_string()))?;
            if self.by_agent.insert(id, at).is_some() {
                return Err(("agent", format!("'{agent}' is declared for two assets; remove one")));
            }
        }
        if let Some(name) = &asset.hostname
            && self.by_hostname.insert(name.to_lowercase(), at).is_some()
        {
            return Err(("hostname", format!("'{name}' is declared for two assets; remove one")));
        }
        for text in &asset.networks {
            self.asset_networks.push((network(text).map_err(|what| ("networks", what))?, at));
        }
        self.asset_networks.sort_by_key(|(n, _)| std::cmp::Reverse(n.prefix));
        self.assets.push(asset);
        Ok(())
    }

    /// Says which unit an agent was enrolled for.
    pub fn assign(&mut self, agent: AgentId, unit: &str) {
        self.enrolled.insert(agent, unit.to_owned());
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

    /// What is known of an agent's host. `hostname` is the agent's claim.
    pub fn host(&self, agent: AgentId, hostname: Option<&str>) -> HostFacts<'_> {
        let enrolled = self.enrolled.get(&agent).and_then(|id| self.units.get(id));
        let declared = self.by_agent.get(&agent).and_then(|at| self.assets.get(*at));
        let named = hostname.and_then(|h| self.by_hostname.get(&h.to_lowercase())).and_then(|at| self.assets.get(*at));
        // A name is believed only where nothing better is known and nothing better speaks against it.
        let named = named.filter(|a| a.agent.is_none());
        let asset = declared.or(named).filter(|a| enrolled.is_none_or(|u| u.id == a.unit));
        HostFacts { unit: enrolled.or_else(|| self.units.get(&asset?.unit)), asset }
    }

    /// What is known of an address, the narrowest network first.
    pub fn address(&self, ip: IpAddr) -> HostFacts<'_> {
        let asset = self.asset_networks.iter().find(|(n, _)| n.contains(ip)).and_then(|(_, at)| self.assets.get(*at));
        let by_network = || self.unit_networks.iter().find(|(n, _)| n.contains(ip)).and_then(|(_, id)| self.units.get(id));
        HostFacts { unit: asset.and_then(|a| self.units.get(&a.unit)).or_else(by_network), asset }
    }
}

/// `10.1.0.0/16`, or one address.
fn network(text: &str) -> Result<Network, String> {
    let single = || text.parse::<IpAddr>().ok().map(|address| Network { address, prefix: if address.is_ipv4() { 32 } else { 128 } });
    Network::parse(text).or_else(single).ok_or_else(|| format!("'{text}' is no address or network; write e.g. 10.1.0.0/16"))
}

/// Line of a key in the `n`-th table with this header; of the header itself where the key is not written there.
fn line_of(text: &str, header: &str, n: usize, key: &str) -> usize {
    let lines = || text.lines().map(str::trim_start).enumerate();
    let Some((at, _)) = lines().filter(|(_, line)| line.starts_with(header)).nth(n) else { return 0 };
    let mut inside = lines().skip(at + 1).take_while(|(_, line)| !line.starts_with("[["));
    let found = inside.find(|(_, line)| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')));
    1 + found.map_or(at, |(line, _)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CITY: &str = r#"
[[unit]]
id = "grid"
name = "市电网公司"
sector = "power"
networks = ["10.1.0.0/16"]

[[unit]]
id = "bank"
name = "市商业银行"
sector = "finance"

[[asset]]
id = "grid-scada"
unit = "grid"
importance = 3
object = "dispatch"
agent = "00000000000000aa"
networks = ["10.1.2.0/24"]

[[asset]]
id = "bank-web"
unit = "bank"
hostname = "web1"
"#;

    #[test]
    fn a_host_is_found_by_agent_then_by_name_and_enrolment_decides_the_unit() {
        let mut register = Register::parse(CITY, "register.toml").unwrap();
        let facts = register.host(AgentId(0xaa), None);
        assert_eq!((facts.unit.unwrap().id.as_str(), facts.asset.unwrap().importance), ("grid", 3));
        assert_eq!(register.host(AgentId(1), Some("WEB1")).asset.unwrap().id, "bank-web");
        register.assign(AgentId(2), "grid");
        let liar = register.host(AgentId(2), Some("web1"));
        assert_eq!((liar.unit.unwrap().id.as_str(), liar.asset), ("grid", None), "a host name does not move an agent to another unit");
        assert_eq!(register.host(AgentId(3), Some("other")), HostFacts::default());
    }

    #[test]
    fn an_address_is_found_by_its_narrowest_network() {
        let register = Register::parse(CITY, "register.toml").unwrap();
        assert_eq!(register.address("10.1.2.9".parse().unwrap()).asset.unwrap().id, "grid-scada");
        let wide = register.address("10.1.9.9".parse().unwrap());
        assert_eq!((wide.unit.unwrap().id.as_str(), wide.asset), ("grid", None));
        assert_eq!(register.address("192.0.2.1".parse().unwrap()), HostFacts::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let text = CITY.replace("unit = \"bank\"\nhostname", "unit = \"bnak\"\nhostname").replace("importance = 3", "importance = 9");
        let error = Register::parse(&text, "register.toml").unwrap_err().to_string();
        assert!(error.contains("register.toml:16:") && error.contains("9 is not 1 (ordinary)"), "{error}");
        assert!(error.contains("register.toml:23:") && error.contains("'bnak' is no unit of this file; there are bank, grid"), "{error}");
        let error = Register::parse("[[unit]]\nid = \"a\"\nname = \"a\"\nsecter = \"x\"\n", "r.toml").unwrap_err().to_string();
        assert!(error.contains("r.toml:") && error.contains("secter"), "{error}");
    }

    #[test]
    fn the_shipped_register_loads() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/register.toml");
        let register = Register::load(&path).unwrap();
        let sectors: std::collections::BTreeSet<&str> = register.units().map(|u| u.sector.as_str()).collect();
        assert_eq!(sectors.len(), 5);
    }
}
