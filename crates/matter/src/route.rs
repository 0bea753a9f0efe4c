//! Who must be told (分发): from what something touches — addresses, domains, indicators, hosts, assets, objects, sectors — to units, each with
//! its reasons. Pure; the same question of the same register gives the same answer in the same order.
//!
//! | rule | the unit is concerned because |
//! |---|---|
//! | `named` | it is named |
//! | `asset` | an asset of its own is named, by id, host name or agent |
//! | `address` | an address lies in a network of an asset of its own, the narrowest network counting |
//! | `network` | an address lies in a network of its own |
//! | `domain` | a name is or lies below a domain of its own |
//! | `sector` | it belongs to a sector that is named |
//! | `object` | an object of its own is touched, by name or through one of its assets |
//! | `dependency` | an object of its own needs a touched one, directly or through others |
//!
//! What a unit may read of the reasons is not decided here: the path of a dependency names others' objects and is the city's to see.
//!
//! Limits: [`TERMS_MAX`] terms of a question (more are refused), [`WHY_MAX`] reasons a unit (more are counted), [`HOPS_MAX`] steps of dependency.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::lookup::{Net, Owner};
use crate::notice::Indicator;
use crate::{Book, Both, Refusal};

/// Terms of one question, all lists together.
pub const TERMS_MAX: usize = 10_000;
/// Reasons kept for one unit.
pub const WHY_MAX: usize = 32;
/// Steps from the touched object to one that needs it.
pub const HOPS_MAX: u32 = 8;
/// Words of the rules.
pub const RULES: [&str; 8] = ["named", "asset", "address", "network", "domain", "sector", "object", "dependency"];

/// What something touches; empty lists say nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Concern {
    /// Addresses, or networks in CIDR form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// STIX types: `ipv4-addr`, `ipv6-addr`, `domain-name`, `url`, `email-addr`; others touch nobody by themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indicators: Vec<Indicator>,
    /// Host names or agent ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// Steps of dependency that are followed; none: [`HOPS_MAX`], which is also the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hops: Option<u32>,
}

/// A unit to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routed {
    pub unit: String,
    /// Nearest first.
    pub why: Vec<Why>,
    /// Reasons beyond [`WHY_MAX`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u32,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Why {
    /// Steps of dependency; 0: touched itself.
    pub distance: u32,
    /// One of [`RULES`].
    pub rule: String,
    /// From the term of the question to the unit: `10.30.2.7`, `grid-scada`, `dispatch-automation`, `idc-power`, …
    pub path: Vec<String>,
    pub text: Both,
}

const fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Concern {
    pub fn terms(&self) -> usize {
        self.addresses.len()
            + self.domains.len()
            + self.indicators.len()
            + self.hosts.len()
            + self.assets.len()
            + self.objects.len()
            + self.sectors.len()
            + self.units.len()
    }
    /// Refused where it asks too much or an address is none. Names that are not in the register are no error: they touch nobody.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.terms() > TERMS_MAX {
            let n = self.terms();
            return Err(Refusal::because(
                format!("{n} terms; at most {TERMS_MAX}: give networks in place of single addresses, or ask in parts"),
                format!("条件 {n} 项，上限 {TERMS_MAX}：请用网段代替单个地址，或分次查询"),
            ));
        }
        match self.addresses.iter().find(|a| Net::parse(a).is_none()) {
            None => Ok(()),
            Some(bad) => {
                let shown: String = bad.chars().filter(|c| !c.is_control()).take(64).collect();
                Err(Refusal::because(
                    format!("'{shown}' is no address or network; write e.g. 10.1.0.0/16"),
                    format!("“{shown}”不是地址或网段，请写成例如 10.1.0.0/16"),
                ))
            }
        }
    }
}

/// The units concerned, by id, each with its reasons. Terms that make no sense touch nobody; [`Concern::check`] names them.
pub fn concerned(book: &Book, concern: &Concern) -> Vec<Routed> {
    let mut search = Search { book, units: BTreeMap::new(), objects: BTreeMap::new() };
    for unit in &concern.units {
        search.unit(unit, "named", vec![unit.clone()], Both::new("被点名", "it is named"));
    }
    for sector in &concern.sectors {
        let text = Both::new(format!("属于行业 {sector}"), format!("it belongs to sector {sector}"));
        for unit in book.units_of_sector(sector) {
            search.unit(&unit.id, "sector", vec![sector.clone(), unit.id.clone()], text.clone());
        }
    }
    for text in &concern.addresses {
        search.address(text, text);
    }
    for name in &concern.domains {
        search.domain(name, name);
    }
    for Indicator { r#type, value } in &concern.indicators {
        match r#type.as_str() {
            "ipv4-addr" | "ipv6-addr" => search.address(value, value),
            "domain-name" => search.domain(value, value),
            "email-addr" => search.domain(value.rsplit_once('@').map_or("", |(_, domain)| domain), value),
            "url" => {
                let host = host_of(value);
                search.address(host, value);
                search.domain(host, value);
            }
            _ => {}
        }
    }
    for name in &concern.hosts {
        let assets: Vec<&str> = book.places().host(name).collect();
        for asset in assets {
            search.asset(asset, "asset", vec![name.clone()]);
        }
    }
    for asset in &concern.assets {
        search.asset(asset, "asset", Vec::new());
    }
    for object in &concern.objects {
        search.object(object, Vec::new());
    }
    search.dependencies(concern.hops.unwrap_or(HOPS_MAX).min(HOPS_MAX));
    search.done()
}

/// Host of a URL, without port, brackets and whoever logs in.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[') {
        Some(v6) => v6.split_once(']').map_or("", |(inside, _)| inside),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

struct Search<'a> {
    book: &'a Book,
    units: BTreeMap<String, BTreeSet<Why>>,
    /// Touched objects and how they were reached, the first way found.
    objects: BTreeMap<String, Vec<String>>,
}

impl Search<'_> {
    fn unit(&mut self, unit: &str, rule: &str, path: Vec<String>, text: Both) {
        self.near(unit, 0, rule, path, text);
    }

    fn near(&mut self, unit: &str, distance: u32, rule: &str, path: Vec<String>, text: Both) {
        if self.book.units.contains_key(unit) {
            self.units.entry(unit.to_owned()).or_default().insert(Why { distance, rule: rule.to_owned(), path, text });
        }
    }

    /// `term` is what was asked, `text` the address in it.
    fn address(&mut self, text: &str, term: &str) {
        let Some(net) = Net::parse(text) else { return };
        let nets = &self.book.places().nets;
        let narrowest = nets.around(net).next();
        let inside = if net.is_one() { Vec::new() } else { nets.inside(net) };
        for owner in narrowest.into_iter().chain(inside).flat_map(|(_, owners)| owners) {
            match owner {
                Owner::Asset(asset) => self.asset(asset, "address", vec![term.to_owned()]),
                Owner::Unit(unit) => {
                    let said = Both::new(format!("{term} 在本单位网段内"), format!("{term} lies in a network of its own"));
                    self.unit(unit, "network", vec![term.to_owned(), unit.clone()], said);
                }
            }
        }
    }

    fn domain(&mut self, name: &str, term: &str) {
        let Some((domain, units)) = self.book.places().domain(name) else { return };
        for unit in units {
            let said = Both::new(format!("{term} 属于本单位域名 {domain}"), format!("{term} belongs to its domain {domain}"));
            self.unit(unit, "domain", vec![term.to_owned(), domain.to_owned(), unit.clone()], said);
        }
    }

    fn asset(&mut self, id: &str, rule: &str, mut path: Vec<String>) {
        let Some(asset) = self.book.assets.get(id) else { return };
        let text = match path.first() {
            Some(term) => Both::new(format!("{term} 是资产 {id}"), format!("{term} is its asset {id}")),
            None => Both::new(format!("资产 {id} 被点名"), format!("its asset {id} is named")),
        };
        path.push(id.to_owned());
        self.unit(&asset.unit, rule, path.clone(), text);
        if !asset.object.is_empty() {
            self.object(&asset.object, path);
        }
    }

    fn object(&mut self, id: &str, mut path: Vec<String>) {
        let Some(object) = self.book.objects.get(id) else { return };
        path.push(id.to_owned());
        if !self.objects.contains_key(id) {
            self.objects.insert(id.to_owned(), path.clone());
            let text = Both::new(format!("保护对象 {id} 受到影响"), format!("its object {id} is touched"));
            self.unit(&object.unit, "object", path, text);
        }
    }

    /// Who cannot work without a touched object: breadth first from all of them at once, so that each is found at its smallest distance.
    fn dependencies(&mut self, hops: u32) {
        let mut seen: BTreeSet<String> = self.objects.keys().cloned().collect();
        let mut front: VecDeque<(String, Vec<String>)> = self.objects.keys().map(|id| (id.clone(), vec![id.clone()])).collect();
        while let Some((at, path)) = front.pop_front() {
            let distance = u32::try_from(path.len()).unwrap_or(u32::MAX);
            if distance > hops {
                continue;
            }
            let needing: Vec<String> = self.book.places().needed_by(&at).map(str::to_owned).collect();
            for id in needing {
                let Some(object) = self.book.objects.get(&id) else { continue };
                if !seen.insert(id.clone()) {
                    continue;
                }
                let mut path = path.clone();
                path.push(id.clone());
                let touched = path.first().map_or("", String::as_str);
                let said = if distance == 1 {
                    Both::new(format!("保护对象 {id} 依赖 {touched}"), format!("its object {id} needs {touched}"))
                } else {
                    Both::new(
                        format!("保护对象 {id} 经 {} 级间接依赖 {touched}", distance),
                        format!("its object {id} needs {touched}, {distance} steps away"),
                    )
                };
                let unit = object.unit.clone();
                self.near(&unit, distance, "dependency", path.clone(), said);
                front.push_back((id, path));
            }
        }
    }

    fn done(self) -> Vec<Routed> {
        let routed = self.units.into_iter().map(|(unit, why)| {
            let more = u32::try_from(why.len().saturating_sub(WHY_MAX)).unwrap_or(u32::MAX);
            Routed { unit, why: why.into_iter().take(WHY_MAX).collect(), more }
        });
        routed.collect()
    }
}

#[cfg(test)]
mod tests;
