//! What was declared against what is heard (资产核对): agents on hosts nobody declared, declared hosts nobody hears, and hosts that are not what
//! was declared. Pure: the board's facts and the register go in, differences come out, in order of unit and subject.
//!
//! * An agent belongs to the asset that names its id; else to one of its unit that names its host; else to one of its unit that holds one of its
//!   addresses. An asset of another unit is never believed: a host name is the agent's own claim.
//! * Only an asset that names an agent or a host is expected to speak; a network of controllers is not.
//! * An id is made of the subject and of what differs, so the same difference keeps its id, and one that changes is a new one: what a person
//!   decided about the old does not hide the new.
//!
//! Limits: those of the register and of the board; texts an agent says are cut to [`TEXT_MAX`] characters.

use std::collections::{BTreeMap, BTreeSet};

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::lookup::Net;
use crate::register::{Asset, good_key};
use crate::{Both, id_of};

/// Seconds without a word after which a declared host is silent here; the alarm for a lost agent is a rule's and much quicker.
pub const SILENT_AFTER_S: i64 = 3_600;
/// Characters of a text an agent says.
pub const TEXT_MAX: usize = 253;
/// Addresses and ports of one agent that are looked at.
pub const LIST_MAX: usize = 64;

/// An agent as heard.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heard {
    /// 16 hex digits.
    pub agent: String,
    /// Unit it was enrolled for.
    pub unit: String,
    pub host: String,
    pub addresses: Vec<String>,
    /// Empty: it did not say.
    pub os: String,
    /// None: it did not say.
    pub ports: Option<Vec<u16>>,
    pub first_seen: Option<Timestamp>,
    pub last_seen: Option<Timestamp>,
    /// When host, addresses or system last became what they are.
    pub changed: Option<Timestamp>,
    /// Its identity has ended: it speaks no more, and nobody waits for it.
    pub revoked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An agent on a host nobody declared (未登记资产).
    Unknown,
    /// A declared host that is not heard (失联资产).
    Silent,
    /// A host that is not what was declared (变更资产).
    Drifted,
}

impl What {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Silent => "silent",
            Self::Drifted => "drifted",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// `D` and 16 hex digits.
    pub id: String,
    pub what: What,
    pub unit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Host as heard, or as declared where nothing is heard.
    pub host: String,
    /// Unknown: first heard. Silent: last heard; none: never. Drifted: since it says so.
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    pub changes: Vec<Drift>,
    pub text: Both,
}

/// What is not as declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Drift {
    /// `hostname`, `networks`, `os`, `ports`: a key of the asset.
    pub key: String,
    pub declared: String,
    pub heard: String,
}

/// Every difference, by unit, kind of difference and subject.
pub fn differences(assets: &BTreeMap<String, Asset>, heard: &[Heard], now: Timestamp) -> Vec<Difference> {
    let units = ByUnit::of(assets);
    let mut out = Vec::new();
    let mut spoke: BTreeMap<&str, Timestamp> = BTreeMap::new();
    let mut order: Vec<&Heard> = heard.iter().filter(|h| !h.revoked).collect();
    order.sort_by(|a, b| (&a.unit, &a.agent).cmp(&(&b.unit, &b.agent)));
    for agent in order {
        match units.asset_of(agent) {
            Some(asset) => {
                if let Some(seen) = agent.last_seen {
                    let latest = spoke.entry(&asset.id).or_insert(seen);
                    *latest = (*latest).max(seen);
                    out.extend(drifted(asset, agent));
                }
            }
            // Enrolled and never heard: there is nothing to declare yet.
            None if agent.last_seen.is_none() => {}
            None => out.push(unknown(agent)),
        }
    }
    for asset in assets.values().filter(|a| a.agent.is_some() || a.hostname.is_some()) {
        let last = spoke.get(asset.id.as_str()).copied();
        if last.is_none_or(|seen| now.since(seen) > SILENT_AFTER_S * event::SECOND_NS) {
            out.push(silent(asset, last));
        }
    }
    out.sort_by(|a, b| (&a.unit, a.what, &a.asset, &a.agent, &a.id).cmp(&(&b.unit, b.what, &b.asset, &b.agent, &b.id)));
    out
}

/// Assets of each unit by what they may be recognised by.
struct ByUnit<'a> {
    agents: BTreeMap<&'a str, &'a Asset>,
    hosts: BTreeMap<(&'a str, String), &'a Asset>,
    /// Networks of a unit's assets, the narrowest first.
    networks: BTreeMap<&'a str, Vec<(Net, &'a Asset)>>,
}

impl<'a> ByUnit<'a> {
    fn of(assets: &'a BTreeMap<String, Asset>) -> Self {
        let mut made = Self { agents: BTreeMap::new(), hosts: BTreeMap::new(), networks: BTreeMap::new() };
        for asset in assets.values() {
            if let Some(agent) = &asset.agent {
                made.agents.insert(agent, asset);
            }
            if let Some(host) = &asset.hostname {
                made.hosts.insert((&asset.unit, host.to_lowercase()), asset);
            }
            let nets = asset.networks.iter().filter_map(|n| Net::parse(n));
            made.networks.entry(&asset.unit).or_default().extend(nets.map(|net| (net, asset)));
        }
        made
    }

    fn asset_of(&self, heard: &Heard) -> Option<&'a Asset> {
        if let Some(asset) = self.agents.get(heard.agent.as_str()).filter(|a| a.unit == heard.unit) {
            return Some(asset);
        }
        // An asset that names another agent is that agent's.
        let free = |asset: &&&'a Asset| asset.agent.is_none();
        if let Some(asset) = self.hosts.get(&(heard.unit.as_str(), heard.host.to_lowercase())).filter(free) {
            return Some(asset);
        }
        let nets = self.networks.get(heard.unit.as_str())?;
        let addresses: Vec<Net> = heard.addresses.iter().take(LIST_MAX).filter_map(|a| Net::parse(a)).collect();
        let holding = nets.iter().filter(|(net, asset)| asset.agent.is_none() && addresses.iter().any(|a| net.contains(*a)));
        // Narrowest first, then by id: the same answer every time.
        holding
            .max_by(|(a, x), (b, y)| {
                if a.contains(*b) && a != b {
                    std::cmp::Ordering::Less
                } else if b.contains(*a) && a != b {
                    std::cmp::Ordering::Greater
                } else {
                    y.id.cmp(&x.id)
                }
            })
            .map(|(_, asset)| *asset)
    }
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect()
}

fn unknown(heard: &Heard) -> Difference {
    let host = cut(&heard.host);
    let shown = if host.is_empty() { heard.agent.clone() } else { host.clone() };
    Difference {
        id: id_of("difference", &["unknown", &heard.unit, &heard.agent, &host.to_lowercase()]),
        what: What::Unknown,
        unit: heard.unit.clone(),
        asset: None,
        agent: Some(heard.agent.clone()),
        since: heard.first_seen,
        changes: Vec::new(),
        text: Both::new(format!("主机 {shown} 未登记"), format!("host {shown} is declared nowhere")),
        host,
    }
}

fn silent(asset: &Asset, last: Option<Timestamp>) -> Difference {
    let id = &asset.id;
    let agent = asset.agent.clone().unwrap_or_default();
    let host = asset.hostname.clone().unwrap_or_default();
    Difference {
        id: id_of("difference", &["silent", &asset.unit, id, &agent, &host.to_lowercase(), if last.is_some() { "heard" } else { "never" }]),
        what: What::Silent,
        unit: asset.unit.clone(),
        asset: Some(id.clone()),
        agent: asset.agent.clone(),
        host,
        since: last,
        changes: Vec::new(),
        text: match last {
            Some(_) => Both::new(format!("资产 {id} 已失联"), format!("asset {id} is heard no more")),
            None => Both::new(format!("资产 {id} 已登记但从未上报"), format!("asset {id} is declared and was never heard")),
        },
    }
}

fn drifted(asset: &Asset, heard: &Heard) -> Option<Difference> {
    let mut changes = Vec::new();
    let mut differs = |key: &str, declared: String, said: String| changes.push(Drift { key: key.to_owned(), declared, heard: said });
    let host = cut(&heard.host);
    if let Some(declared) = asset.hostname.as_ref().filter(|d| !host.is_empty() && !d.eq_ignore_ascii_case(&host)) {
        differs("hostname", declared.clone(), host.clone());
    }
    let declared: Vec<Net> = asset.networks.iter().filter_map(|n| Net::parse(n)).collect();
    let said: BTreeSet<&String> = heard.addresses.iter().take(LIST_MAX).filter(|a| Net::parse(a).is_some()).collect();
    let outside = |a: &&&String| Net::parse(a).is_some_and(|one| !declared.iter().any(|net| net.contains(one)));
    if !declared.is_empty() && !said.is_empty() && said.iter().all(|a| outside(&a)) {
        let list: Vec<&str> = said.iter().map(|a| a.as_str()).collect();
        differs("networks", asset.networks.join(", "), list.join(", "));
    }
    let os = cut(&heard.os);
    if !asset.os.is_empty() && !os.is_empty() && !asset.os.eq_ignore_ascii_case(&os) {
        differs("os", asset.os.clone(), os);
    }
    if let Some(open) = heard.ports.as_ref().filter(|_| !asset.ports.is_empty()) {
        let more: BTreeSet<u16> = open.iter().take(LIST_MAX).filter(|p| !asset.ports.contains(p)).copied().collect();
        if !more.is_empty() {
            let list = |ports: &mut dyn Iterator<Item = u16>| ports.map(|p| p.to_string()).collect::<Vec<_>>().join(", ");
            differs("ports", list(&mut asset.ports.iter().copied().collect::<BTreeSet<_>>().into_iter()), list(&mut more.into_iter()));
        }
    }
    if changes.is_empty() {
        return None;
    }
    let said: Vec<String> = changes.iter().map(|c| format!("{}={}", c.key, c.heard)).collect();
    let mut parts = vec!["drifted", &asset.unit, &asset.id, &heard.agent];
    parts.extend(said.iter().map(String::as_str));
    let keys: Vec<&str> = changes.iter().map(|c| c.key.as_str()).collect();
    let keys = keys.join(", ");
    Some(Difference {
        id: id_of("difference", &parts),
        what: What::Drifted,
        unit: asset.unit.clone(),
        asset: Some(asset.id.clone()),
        agent: Some(heard.agent.clone()),
        host,
        since: heard.changed.or(heard.first_seen),
        text: Both::new(format!("资产 {} 与登记不符：{keys}", asset.id), format!("asset {} is not as declared: {keys}", asset.id)),
        changes,
    })
}

/// The row that makes the difference go away: an unknown host declared, a drifted one as it is heard. None for a silent one: there is nothing to
/// take over; remove the asset, or ignore the difference.
///
/// A new asset is named after the host (`taken` says which names are); its importance is ordinary until somebody says more.
pub fn accepted(difference: &Difference, asset: Option<&Asset>, heard: &Heard, taken: impl Fn(&str) -> bool) -> Option<Asset> {
    let singles = || -> Vec<String> {
        let set: BTreeSet<&String> = heard.addresses.iter().take(LIST_MAX).filter(|a| Net::parse(a).is_some_and(|n| n.is_one())).collect();
        set.into_iter().cloned().collect()
    };
    match (difference.what, asset) {
        (What::Silent, _) | (What::Drifted, None) => None,
        (What::Unknown, _) => {
            let host = cut(&heard.host);
            let short = host.split('.').next().unwrap_or("").to_owned();
            let names = [short, host.clone(), format!("agent-{}", heard.agent)];
            let id = names.into_iter().find(|n| good_key(n) && !taken(n)).unwrap_or_else(|| difference.id.clone());
            Some(Asset {
                id,
                unit: heard.unit.clone(),
                importance: 1,
                agent: Some(heard.agent.clone()),
                hostname: (!host.is_empty()).then_some(host),
                networks: singles(),
                os: cut(&heard.os).chars().take(crate::register::NAME_MAX).collect(),
                ..Asset::default()
            })
        }
        (What::Drifted, Some(asset)) => {
            let mut asset = asset.clone();
            for change in &difference.changes {
                match change.key.as_str() {
                    "hostname" => asset.hostname = Some(change.heard.clone()),
                    "os" => asset.os = change.heard.chars().take(crate::register::NAME_MAX).collect(),
                    "ports" => asset.ports = heard.ports.iter().flatten().take(LIST_MAX).copied().collect(),
                    // Single addresses are replaced by what is heard; networks somebody wrote stay.
                    _ => {
                        asset.networks.retain(|n| Net::parse(n).is_some_and(|n| !n.is_one()));
                        asset.networks.extend(singles());
                        asset.networks.truncate(LIST_MAX);
                    }
                }
            }
            Some(asset)
        }
    }
}

#[cfg(test)]
mod tests;
