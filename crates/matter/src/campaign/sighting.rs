//! An alert as the desk takes it in: who is concerned, from where, in which direction, an attempt or more.
//!
//! * A [`Sighting`] is made once, of the alert and the register as it was then, and is what the recorded act holds: replayed years later it
//!   gives the same bytes though the register has changed.
//! * Every party that the register knows counts as concerned, source or target: the host that a beacon leaves is hit, and so is the one it
//!   was reached from.
//! * What is no asset of anybody counts as its unit's unknown object; a unit is named by the alert, else by the networks of the register.
//! * Bounded: 16 objects, 8 addresses, 16 techniques, 8 flaws an alert; more is left out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::{Alert, AlertState, CloseReason};

use crate::attack::{self, Tactic};
use crate::book::Flaw;
use crate::lookup::{Net, Owner};
use crate::register::Asset;
use crate::{Book, Both};

pub const SPOTS_MAX: usize = 16;
pub const FROM_MAX: usize = 8;
pub const TECHNIQUES_MAX: usize = 16;
pub const FLAWS_MAX: usize = 8;
const TEXT_MAX: usize = 160;

/// One alert as it stands now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighting {
    pub alert: String,
    pub rule: String,
    pub title: Both,
    pub severity: u8,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub techniques: Vec<String>,
    /// Ids: `TA0011`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tactics: Vec<String>,
    /// Value of an indicator of compromise behind it, normalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indicator: Option<String>,
    /// Addresses the attack comes from, or goes out to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    pub direction: Direction,
    /// Nothing was reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attempt: bool,
    /// About nothing but what everybody uses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignored: bool,
    pub judged: Judged,
    pub spots: Vec<Spot>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Flaws it names that a list of exploited ones knew then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flaws: Vec<Flaw>,
    #[serde(with = "crate::when")]
    pub first: Timestamp,
    #[serde(with = "crate::when")]
    pub last: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exercise: bool,
    /// Id of the drill, where it is one's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub drill: String,
}

/// A protected object concerned. `unit:ID` is what a unit has not declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spot {
    pub object: String,
    pub unit: String,
    pub sector: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From outside the city's networks.
    Inbound,
    /// To the outside.
    Outbound,
    /// Between units.
    Across,
    /// Within one unit.
    Inside,
    /// On a host.
    Local,
}

impl Direction {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Across => "across",
            Self::Inside => "inside",
            Self::Local => "local",
        }
    }
}

/// What people said of the alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    #[default]
    Open,
    /// Escalated, or closed as confirmed.
    Confirmed,
    /// False, authorised, expected or a duplicate: no evidence of anything.
    Dismissed,
}

/// Makes sightings of alerts: the register asked by host name, agent and address ([`crate::lookup`]), and what everybody uses. Made once for a
/// batch.
pub struct Intake<'b> {
    book: &'b Book,
    ignored_networks: Vec<Net>,
    ignored_names: BTreeSet<String>,
}

impl<'b> Intake<'b> {
    pub fn of(book: &'b Book) -> Self {
        let ignored = &book.tables.desk.campaign.ignored;
        let ignored_networks = ignored.iter().filter_map(|n| Net::parse(n)).collect();
        let ignored_names = ignored.iter().filter(|n| Net::parse(n).is_none()).map(|n| normal(n)).collect();
        Self { book, ignored_networks, ignored_names }
    }

    fn asset(&self, name: &str) -> Option<&'b Asset> {
        let places = self.book.places();
        let of_address = || {
            let around = places.nets.around(Net::of(name.parse().ok()?));
            around.flat_map(|(_, owners)| owners).find_map(|owner| match owner {
                Owner::Asset(id) => Some(id.as_str()),
                Owner::Unit(_) => None,
            })
        };
        let id = places.host(name).next().or_else(of_address)?;
        self.book.assets.get(id)
    }
    /// Unit whose network it lies in.
    fn unit(&self, address: &str) -> Option<&'b str> {
        match self.book.places().nets.around(Net::of(address.parse().ok()?)).find_map(|(_, owners)| owners.first())? {
            Owner::Unit(id) => Some(id),
            Owner::Asset(id) => self.book.assets.get(id).map(|a| a.unit.as_str()),
        }
    }
    fn ours(&self, address: &str) -> bool {
        self.unit(address).is_some() || address.parse().is_ok_and(private)
    }
    /// Whether it is something everybody uses.
    pub fn common(&self, value: &str) -> bool {
        let value = normal(value);
        if let Ok(ip) = value.parse::<IpAddr>() {
            return self.ignored_networks.iter().any(|net| net.contains(Net::of(ip)));
        }
        let mut rest = value.as_str();
        loop {
            if self.ignored_names.contains(rest) {
                return true;
            }
            match rest.split_once('.') {
                Some((_, tail)) => rest = tail,
                None => return false,
            }
        }
    }

    /// What the desk takes in of an alert.
    /// `drill`: whose exercise it belongs to.
    pub fn sighting(&self, alert: &Alert, drill: Option<&str>) -> Sighting {
        let table = &self.book.tables.desk.campaign;
        let techniques: Vec<String> = alert.techniques.iter().map(|t| short(t).to_ascii_uppercase()).take(TECHNIQUES_MAX).collect();
        let control = attack::of_control(&techniques);
        let mut tactics: Vec<String> = Vec::new();
        for id in alert.tactics.iter().filter_map(|t| Tactic::find(t)).map(|t| t.id(control)) {
            if tactics.len() < TECHNIQUES_MAX && !tactics.iter().any(|t| t == id) {
                tactics.push(id.to_owned());
            }
        }
        let indicator = alert.group_key.get("threat.indicator.value").map(|v| normal(v));
        let (outside, inside): (Vec<&String>, Vec<&String>) = alert.source_ips.iter().partition(|ip| !self.ours(ip));
        let away: Vec<&String> = alert.target_ips.iter().filter(|ip| !self.ours(ip)).collect();
        let spots = self.spots(alert);
        let units: BTreeSet<&str> = spots.iter().map(|s| s.unit.as_str()).filter(|u| !u.is_empty()).collect();
        let all_common = !away.is_empty() && away.iter().all(|ip| self.common(ip));
        let (direction, from) = match (outside.is_empty(), inside.is_empty(), away.is_empty()) {
            (false, ..) => (Direction::Inbound, outside),
            (true, _, false) => (Direction::Outbound, away),
            (true, false, true) => {
                let own: BTreeSet<&str> = alert.source_ips.iter().chain(&alert.target_ips).filter_map(|ip| self.unit(ip)).collect();
                (if own.len() > 1 || units.len() > 1 { Direction::Across } else { Direction::Inside }, inside)
            }
            (true, true, true) => (Direction::Local, Vec::new()),
        };
        let from: Vec<String> = from.into_iter().map(|ip| normal(ip)).filter(|ip| !self.common(ip)).take(FROM_MAX).collect();
        let ignored = match &indicator {
            Some(value) => self.common(value),
            None => from.is_empty() && all_common,
        };
        Sighting {
            alert: alert.id.0.clone(),
            rule: short(&alert.rule_id),
            title: Both::new(short(if alert.title_zh.is_empty() { &alert.title } else { &alert.title_zh }), short(&alert.title)),
            severity: alert.severity_id,
            attempt: alert.severity_id < table.severity_min
                || table.watchers.contains(&alert.rule_id)
                || (!techniques.is_empty() && techniques.iter().all(|t| table.attempts.iter().any(|a| a == t || a == attack::parent(t)))),
            techniques,
            tactics,
            indicator: indicator.filter(|v| !self.common(v)),
            from,
            direction,
            ignored,
            judged: judged(alert),
            spots,
            hosts: alert.hosts.iter().take(FROM_MAX).map(|h| short(h)).collect(),
            flaws: alert.flaws.iter().filter_map(|cve| self.book.flaws.known(cve)).take(FLAWS_MAX).collect(),
            first: Timestamp::from_ns(alert.first_time),
            last: Timestamp::from_ns(alert.last_time),
            exercise: drill.is_some(),
            drill: drill.unwrap_or_default().to_owned(),
        }
    }

    fn spots(&self, alert: &Alert) -> Vec<Spot> {
        let mut spots: BTreeSet<Spot> = BTreeSet::new();
        for name in alert.hosts.iter().chain(&alert.source_ips).chain(&alert.target_ips) {
            if let Some(asset) = self.asset(name) {
                spots.insert(self.spot(&asset.unit, Some(&asset.object)));
            }
        }
        let unknown: Vec<&str> = alert.units.iter().map(|u| u.id.as_str()).filter(|u| spots.iter().all(|s| s.unit != **u)).collect();
        for unit in unknown {
            spots.insert(self.spot(unit, None));
        }
        if spots.is_empty() {
            let of = alert.target_ips.iter().chain(&alert.source_ips).find_map(|ip| self.unit(ip));
            spots.insert(self.spot(of.unwrap_or(""), None));
        }
        // Where the list is cut, the objects that weigh most stay.
        let mut spots: Vec<Spot> = spots.into_iter().collect();
        spots.sort_by_key(|s| std::cmp::Reverse(self.weight(s)));
        spots.truncate(SPOTS_MAX);
        spots.sort();
        spots
    }

    fn spot(&self, unit: &str, object: Option<&str>) -> Spot {
        let object = object.filter(|o| self.book.objects.contains_key(*o)).map_or_else(|| unknown_object(unit), str::to_owned);
        Spot { object, unit: unit.to_owned(), sector: self.book.sector_of(unit).to_owned() }
    }

    fn weight(&self, spot: &Spot) -> u8 {
        self.book.graded(&spot.object).map_or(0, |o| self.book.tables.grading.importance_of(&o) as u8)
    }

    /// Whether it may take one of the places kept free: an especially important object, or a critical alert.
    pub fn grave(&self, sighting: &Sighting) -> bool {
        !sighting.attempt && (sighting.severity >= 5 || sighting.spots.iter().any(|s| self.weight(s) >= 3))
    }
}

/// Stands for what a unit has not declared.
pub fn unknown_object(unit: &str) -> String {
    format!("unit:{unit}")
}

fn judged(alert: &Alert) -> Judged {
    match (alert.state, alert.close_reason) {
        (AlertState::Escalated, _) | (AlertState::Closed, Some(CloseReason::Confirmed)) => Judged::Confirmed,
        (AlertState::Closed, Some(_)) => Judged::Dismissed,
        _ => Judged::Open,
    }
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

/// One spelling for each indicator: refanged, lower case where case says nothing, IPv6 as its /64.
pub fn normal(value: &str) -> String {
    let text = short(value.trim()).replace("[.]", ".").replace("hxxp", "http");
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => match ip.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => {
                let s = ip.segments();
                std::net::Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0).to_string()
            }
        },
        Ok(ip) => ip.to_string(),
        // The path of an URL keeps its case.
        Err(_) => match text.split_once("://").and_then(|(scheme, rest)| {
            let (host, path) = rest.split_once('/')?;
            Some(format!("{}://{}/{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase()))
        }) {
            Some(url) => url,
            None => text.trim_end_matches('.').to_ascii_lowercase(),
        },
    }
}

fn private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || (ip.segments()[0] & 0xfe00) == 0xfc00
                || (ip.segments()[0] & 0xffc0) == 0xfe80
        }
    }
}
