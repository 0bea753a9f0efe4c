//! Finding the owner: address → asset or unit by the longest prefix, domain → unit by the longest suffix, host or agent → asset, object → who
//! needs it. Made of the register once and shared; a look-up costs no more than there are different prefix lengths.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::OnceLock;

use crate::Book;
use crate::register::{Asset, Object, Unit};

/// A network, or one address; IPv4 as `::ffff:0:0/96` of IPv6, so that there is one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Net {
    base: u128,
    bits: u8,
}

impl Net {
    /// `10.1.0.0/16`, `2001:db8::/32`, or one address. Bits of the host are cleared.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (address, bits) = match text.split_once('/') {
            None => (text.parse::<IpAddr>().ok()?, None),
            Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits)),
        };
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => whole,
            Some(bits) => bits.parse::<u8>().ok().filter(|b| *b <= whole && !bits.starts_with('+'))?,
        };
        let bits = if address.is_ipv4() { bits + 96 } else { bits };
        Some(Self { base: wide(address) & mask(bits), bits })
    }
    pub fn of(address: IpAddr) -> Self {
        Self { base: wide(address), bits: 128 }
    }
    pub fn contains(&self, other: Self) -> bool {
        self.bits <= other.bits && other.base & mask(self.bits) == self.base
    }
    /// One address, not a range.
    pub const fn is_one(&self) -> bool {
        self.bits == 128
    }
}

/// An IPv4 address that comes as IPv6 is the same address.
fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => Ipv6Addr::to_bits(v6),
    }
}

const fn mask(bits: u8) -> u128 {
    if bits == 0 { 0 } else { u128::MAX << (128 - bits as u32) }
}

/// Networks with what they belong to.
#[derive(Debug, Clone)]
pub struct Nets<T> {
    by_bits: BTreeMap<u8, HashMap<u128, Vec<T>>>,
}

impl<T> Default for Nets<T> {
    fn default() -> Self {
        Self { by_bits: BTreeMap::new() }
    }
}

impl<T> Nets<T> {
    pub fn insert(&mut self, net: Net, owner: T) {
        self.by_bits.entry(net.bits).or_default().entry(net.base).or_default().push(owner);
    }
    /// Networks that hold all of this one, the narrowest first, each with its owners.
    pub fn around(&self, net: Net) -> impl Iterator<Item = (Net, &[T])> {
        self.by_bits.range(..=net.bits).rev().filter_map(move |(bits, table)| {
            let base = net.base & mask(*bits);
            table.get(&base).map(|owners| (Net { base, bits: *bits }, owners.as_slice()))
        })
    }
    /// Networks inside this one, itself aside, in order.
    pub fn inside(&self, net: Net) -> Vec<(Net, &[T])> {
        let wider = |bits: &u8| *bits > net.bits;
        let mut found: Vec<(Net, &[T])> = self
            .by_bits
            .iter()
            .filter(|(bits, _)| wider(bits))
            .flat_map(|(bits, table)| table.iter().map(|(base, owners)| (Net { base: *base, bits: *bits }, owners.as_slice())))
            .filter(|(one, _)| net.contains(*one))
            .collect();
        found.sort_by_key(|(one, _)| *one);
        found
    }
}

/// Whose a network is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Id of the asset.
    Asset(String),
    /// Id of the unit.
    Unit(String),
}

/// The register, to be asked.
#[derive(Debug, Clone, Default)]
pub struct Index {
    pub nets: Nets<Owner>,
    /// Lower-case domain → units.
    domains: BTreeMap<String, BTreeSet<String>>,
    /// Host name or agent id, lower case → assets.
    hosts: BTreeMap<String, BTreeSet<String>>,
    /// Unit → its assets.
    assets: BTreeMap<String, BTreeSet<String>>,
    /// Object → objects that need it.
    needed_by: BTreeMap<String, BTreeSet<String>>,
}

impl Index {
    pub fn of(units: &BTreeMap<String, Unit>, objects: &BTreeMap<String, Object>, assets: &BTreeMap<String, Asset>) -> Self {
        let mut index = Self::default();
        for asset in assets.values() {
            index.assets.entry(asset.unit.clone()).or_default().insert(asset.id.clone());
            for net in asset.networks.iter().filter_map(|n| Net::parse(n)) {
                index.nets.insert(net, Owner::Asset(asset.id.clone()));
            }
            for name in asset.hostname.iter().chain(&asset.agent) {
                index.hosts.entry(name.to_lowercase()).or_default().insert(asset.id.clone());
            }
        }
        for unit in units.values() {
            for net in unit.networks.iter().filter_map(|n| Net::parse(n)) {
                index.nets.insert(net, Owner::Unit(unit.id.clone()));
            }
            for domain in &unit.domains {
                index.domains.entry(domain.to_lowercase()).or_default().insert(unit.id.clone());
            }
        }
        for object in objects.values() {
            for need in object.needs.iter().filter(|n| **n != object.id) {
                index.needed_by.entry(need.clone()).or_default().insert(object.id.clone());
            }
        }
        index
    }

    /// Assets of a host name or agent id.
    pub fn host(&self, name: &str) -> impl Iterator<Item = &str> {
        self.hosts.get(&name.to_lowercase()).into_iter().flatten().map(String::as_str)
    }
    /// Assets of a unit, by id.
    pub fn assets_of(&self, unit: &str) -> impl Iterator<Item = &str> {
        self.assets.get(unit).into_iter().flatten().map(String::as_str)
    }
    /// The longest registered domain this name is or lies below, with its units.
    pub fn domain(&self, name: &str) -> Option<(&str, &BTreeSet<String>)> {
        let name = name.trim_end_matches('.').to_lowercase();
        let mut rest = name.as_str();
        loop {
            if let Some((domain, units)) = self.domains.get_key_value(rest) {
                return Some((domain, units));
            }
            rest = rest.split_once('.')?.1;
        }
    }
    /// Objects that need this one, directly.
    pub fn needed_by(&self, object: &str) -> impl Iterator<Item = &str> {
        self.needed_by.get(object).into_iter().flatten().map(String::as_str)
    }
}

/// The index of a book, made when it is first asked.
#[derive(Debug, Default)]
pub struct Places(OnceLock<Index>);

impl Book {
    /// The register, to be asked: address → unit, domain → unit, object → who needs it.
    pub fn places(&self) -> &Index {
        self.places.0.get_or_init(|| Index::of(&self.units, &self.objects, &self.assets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_network_wins_in_both_families() {
        let mut nets = Nets::default();
        for (text, owner) in [("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.2.3", 3), ("2001:db8::/32", 4), ("0.0.0.0/0", 5)] {
            nets.insert(Net::parse(text).unwrap(), owner);
        }
        let narrowest = |text: &str| nets.around(Net::parse(text).unwrap()).next().map(|(_, owners)| owners[0]);
        for (address, owner) in [
            ("10.1.2.3", Some(3)),
            ("10.1.2.4", Some(2)),
            ("10.9.9.9", Some(1)),
            ("192.0.2.1", Some(5)),
            ("::ffff:10.1.2.3", Some(3)),
            ("2001:db8::1", Some(4)),
            ("2001:db9::1", None),
        ] {
            assert_eq!(narrowest(address), owner, "{address}");
        }
        assert_eq!(nets.inside(Net::parse("10.0.0.0/8").unwrap()).len(), 2);
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "x", "10.0.0.0/+8", "::/129"] {
            assert_eq!(Net::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_domain_stands_for_those_below_it_and_no_others() {
        let unit = |id: &str, domain: &str| Unit { id: id.into(), domains: vec![domain.into()], ..Unit::default() };
        let units = [unit("bank", "bank.example"), unit("branch", "Branch.Bank.Example")].map(|u| (u.id.clone(), u)).into();
        let index = Index::of(&units, &BTreeMap::new(), &BTreeMap::new());
        let owner = |name: &str| index.domain(name).map(|(_, units)| units.iter().next().unwrap().clone());
        assert_eq!(owner("WWW.bank.example."), Some("bank".into()));
        assert_eq!(owner("a.branch.bank.example"), Some("branch".into()));
        assert_eq!((owner("notbank.example"), owner("example"), owner("")), (None, None, None));
    }
}
