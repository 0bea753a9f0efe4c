//! What one unit may learn of another's trouble. Pure: every text, export and message for a unit goes through here.
//!
//! * **TLP 2.0** first: red goes to nobody but those named as recipients of the whole thing; amber+strict to the units concerned; amber to units
//!   with a need to know (concerned or matching); green to every unit; clear to anyone.
//! * **Who was hit** is a pseudonym, made of the unit and the campaign with the city's secret: the same within one campaign, unrelated across
//!   campaigns, so that nobody can put a year's warnings together. A unit that agreed to be named (`Unit::named`) is named.
//! * **A sector** is named only where at least k of its units take part, or the unit consents. `sector_k` is 3 as shipped, never below 2.
//! * **Addresses of victims** are masked; free text of a unit never leaves it by itself.
//! * **Seen elsewhere**: what another unit is told is when, and which of *its own* hosts show the same.
//!
//! Non-interference: what a unit is given depends on the campaign's public part and on its own data. [`for_unit`] of a unit that is neither
//! concerned nor matching is the same bytes with and without any other unit's data; the tests hold it to that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::campaign::normal;
use crate::lookup::{Net, Owner};
use crate::notice::Indicator;
use crate::{Book, Both, Tlp};

/// `[disclosure]` of `config/desk.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisclosureTable {
    pub source: String,
    pub effective_from: String,
    /// Units of a sector that must take part before the sector is named.
    pub sector_k: usize,
}

impl Default for DisclosureTable {
    fn default() -> Self {
        Self { source: "default".to_owned(), effective_from: "2026-11-01".to_owned(), sector_k: 3 }
    }
}

impl DisclosureTable {
    pub fn problems(&self) -> Vec<(String, String)> {
        let few = self.sector_k < 2;
        few.then(|| ("disclosure.sector_k".to_owned(), format!("{}: with less than 2 a sector names its only victim", self.sector_k)))
            .into_iter()
            .collect()
    }
}

/// Own hosts, alerts of one of them, and others hit that are shown to a unit at most.
pub const OWN_MAX: usize = 100;

/// What is known of a case, with the names.
#[derive(Debug, Clone, Default)]
pub struct Known<'a> {
    /// Id of the campaign (or warning): pseudonyms are made for it.
    pub case: &'a str,
    pub tlp: Tlp,
    /// Units that take part as victims.
    pub victims: BTreeSet<String>,
    /// Units the whole is addressed to, where TLP is red.
    pub recipients: BTreeSet<String>,
    pub indicators: &'a [Indicator],
    /// When it was first seen anywhere.
    pub first: Option<Timestamp>,
}

/// Something of the unit's own that an indicator may match: an alert, an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Host name or asset id, as the unit itself calls it.
    pub host: String,
    /// Id of an alert, where it is one.
    pub alert: String,
    /// Addresses, names, hashes, URLs it is about.
    pub values: Vec<String>,
    pub time: Option<Timestamp>,
}

/// What a unit is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Disclosed {
    /// Minutes since it was first seen elsewhere; none: not elsewhere, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere_min: Option<u64>,
    /// Pseudonyms of the others hit, or their names where they agreed, and how many more. Only for units with a need to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others_beyond: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sectors: Vec<String>,
    /// Its own hosts that show an indicator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Match>,
    /// Of those, how many are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beyond: usize,
    pub text: Both,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(n: &usize) -> bool {
    *n == 0
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Match {
    pub host: String,
    pub indicator: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<String>,
}

/// Why a unit may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    None,
    /// Its own hosts show an indicator.
    Matching,
    /// It is hit itself.
    Concerned,
}

/// Whether TLP lets it out to a unit with this need.
pub fn may_learn(tlp: Tlp, need: Need, addressed: bool) -> bool {
    match tlp {
        Tlp::Clear | Tlp::Green => true,
        Tlp::Amber => addressed || need >= Need::Matching,
        Tlp::AmberStrict => need == Need::Concerned || (addressed && need >= Need::Matching),
        Tlp::Red => addressed,
    }
}

/// `单位-3f9a2c1d`: keyed BLAKE3 of campaign and unit. Without the key nobody can tell whose it is or try names.
pub fn pseudonym(secret: &[u8; 32], case: &str, unit: &str) -> String {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(&(case.len() as u64).to_le_bytes());
    hasher.update(case.as_bytes());
    hasher.update(unit.as_bytes());
    format!("U-{}", &hasher.finalize().to_hex()[..12])
}

/// Sectors that may be named: enough of their units take part, or a unit that agreed to be named does.
pub fn sectors_named(book: &Book, victims: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<&str> {
    let k = book.tables.desk.disclosure.sector_k.max(2);
    let mut by: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    let victims: BTreeSet<String> = victims.into_iter().map(|v| v.as_ref().to_owned()).collect();
    for unit in victims.iter().filter_map(|v| book.units.get(v)) {
        let entry = by.entry(&unit.sector).or_default();
        entry.0 += 1;
        entry.1 |= unit.named;
    }
    by.into_iter().filter(|(sector, (n, named))| !sector.is_empty() && (*n >= k || *named)).map(|(sector, _)| sector).collect()
}

/// Last part of an address taken away: `10.20.30.x`, `2001:db8:1::x`.
pub fn masked(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.x")
        }
        Ok(IpAddr::V6(ip)) => {
            let s = ip.segments();
            format!("{:x}:{:x}:{:x}::x", s[0], s[1], s[2])
        }
        Err(_) => "x".to_owned(),
    }
}

/// A text for a unit with the addresses of others masked: every address that lies in a network of another registered unit or asset, and in none
/// of its own.
pub fn mask_text(book: &Book, unit: &str, text: &str) -> String {
    masked_where(text, |ip| {
        let owners: Vec<&str> = book
            .places()
            .nets
            .around(Net::of(ip))
            .flat_map(|(_, owners)| owners)
            .map(|owner| match owner {
                Owner::Unit(id) => id.as_str(),
                Owner::Asset(id) => book.assets.get(id).map_or("", |a| a.unit.as_str()),
            })
            .collect();
        !owners.is_empty() && owners.iter().all(|o| *o != unit)
    })
}

/// Every address in a text masked: what two texts have in common whichever of their addresses are.
pub fn mask_all(text: &str) -> String {
    masked_where(text, |_| true)
}

fn masked_where(text: &str, hides: impl Fn(IpAddr) -> bool) -> String {
    let part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(part) {
        out.push_str(&rest[..start]);
        let word = &rest[start..];
        let end = word.find(|c| !part(c)).unwrap_or(word.len());
        let (word, tail) = word.split_at(end);
        let bare = word.trim_end_matches(['.', ':']);
        match bare.parse::<IpAddr>() {
            Ok(ip) if hides(ip) => {
                out.push_str(&masked(bare));
                out.push_str(&word[bare.len()..]);
            }
            _ => out.push_str(word),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Own hosts that show one of the indicators, in order.
pub fn matching(indicators: &[Indicator], own: &[Own]) -> (Vec<Match>, usize) {
    let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let nets: Vec<(&Indicator, Net)> = indicators.iter().filter_map(|i| Some((i, Net::parse(&i.value)?))).collect();
    let names: BTreeMap<String, &Indicator> = indicators.iter().map(|i| (normal(&i.value), i)).collect();
    for thing in own {
        for value in &thing.values {
            let plain = normal(value);
            let hit = names.get(&plain).copied().or_else(|| by_parent(&names, &plain)).or_else(|| {
                // A host declared by its network holds an address of it.
                let own = Net::parse(value)?;
                nets.iter().find(|(_, net)| net.contains(own) || own.contains(*net)).map(|(i, _)| *i)
            });
            if let Some(indicator) = hit {
                let alerts = found.entry((thing.host.clone(), indicator.value.clone())).or_default();
                if !thing.alert.is_empty() {
                    alerts.insert(thing.alert.clone());
                }
            }
        }
    }
    let all = found.len();
    let list = found.into_iter().take(OWN_MAX).map(|((host, indicator), alerts)| Match {
        host,
        indicator,
        alerts: alerts.into_iter().take(OWN_MAX).collect(),
    });
    (list.collect(), all.saturating_sub(OWN_MAX))
}

/// A domain indicator stands for the names below it.
fn by_parent<'i>(names: &BTreeMap<String, &'i Indicator>, value: &str) -> Option<&'i Indicator> {
    if value.parse::<IpAddr>().is_ok() || value.contains('/') {
        return None;
    }
    let mut rest = value;
    while let Some((_, tail)) = rest.split_once('.') {
        if tail.contains('.')
            && let Some(found) = names.get(tail).filter(|i| i.r#type == "domain-name")
        {
            return Some(found);
        }
        rest = tail;
    }
    None
}

/// What this unit is given of the case at `now`. None: nothing at all, as if there were no case.
pub fn for_unit(book: &Book, known: &Known, unit: &str, own: &[Own], now: Timestamp) -> Option<Disclosed> {
    let (hosts, beyond) = matching(known.indicators, own);
    let concerned = known.victims.contains(unit);
    let need = match (concerned, hosts.is_empty()) {
        (true, _) => Need::Concerned,
        (false, false) => Need::Matching,
        (false, true) => Need::None,
    };
    if !may_learn(known.tlp, need, known.recipients.contains(unit)) {
        return None;
    }
    let elsewhere: BTreeSet<String> = known.victims.iter().filter(|v| *v != unit).cloned().collect();
    let mut told = Disclosed { hosts, beyond, ..Disclosed::default() };
    if need > Need::None && !elsewhere.is_empty() {
        let name = |v: &String| match book.units.get(v).filter(|u| u.named) {
            Some(unit) => unit.name.clone(),
            None => pseudonym(&book.pseudonyms, known.case, v),
        };
        told.others = elsewhere.iter().map(name).collect();
        told.others.sort();
        told.others_beyond = told.others.len().saturating_sub(OWN_MAX);
        told.others.truncate(OWN_MAX);
        told.elsewhere_min = known.first.map(|t| u64::try_from(now.since(t) / (60 * event::SECOND_NS)).unwrap_or(0));
        told.sectors = sectors_named(book, &elsewhere).into_iter().map(str::to_owned).collect();
    }
    told.text = words(&told);
    Some(told)
}

fn words(told: &Disclosed) -> Both {
    let mut zh = Vec::new();
    let mut en = Vec::new();
    if !told.others.is_empty() {
        let (place_zh, place_en) = if told.sectors.is_empty() {
            ("其他单位".to_owned(), "another unit".to_owned())
        } else {
            let sectors_zh = told.sectors.iter().map(|s| sector_zh(s)).collect::<Vec<_>>().join("、");
            (format!("{sectors_zh}行业"), format!("the {} sector", told.sectors.join(", ")))
        };
        match told.elsewhere_min {
            Some(n) => {
                zh.push(format!("{n} 分钟前首次出现于{place_zh}"));
                en.push(format!("first seen in {place_en} {n} minutes ago"));
            }
            None => {
                zh.push(format!("亦见于{place_zh}"));
                en.push(format!("also seen in {place_en}"));
            }
        }
    }
    let hosts = told.hosts.iter().map(|m| m.host.as_str()).collect::<BTreeSet<_>>().len() + told.beyond;
    if hosts > 0 {
        zh.push(format!("贵单位有 {hosts} 台主机命中所列指标"));
        en.push(format!("{hosts} of your own hosts match the indicators"));
    }
    if zh.is_empty() {
        zh.push("贵单位目前未发现命中".to_owned());
        en.push("nothing of yours matches so far".to_owned());
    }
    Both::new(zh.join("；"), en.join("; "))
}

/// A sector in Chinese; one nobody knows stays as it is.
pub fn sector_zh(sector: &str) -> &str {
    match sector {
        "finance" => "金融",
        "energy" => "能源",
        "power" => "电力",
        "telecom" => "电信",
        "transport" => "交通",
        "water" => "水务",
        "government" => "政务",
        "health" => "医疗",
        other => other,
    }
}

#[cfg(test)]
#[path = "disclose_tests.rs"]
mod tests;
