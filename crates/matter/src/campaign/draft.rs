//! The text a draft begins with, in both languages: from `[[playbook]]` by technique and tactic, and from what the campaign has seen.
//!
//! It never names a victim: units are counted only where at least k take part, sectors are named by the rule of [`crate::disclose`], addresses in
//! it are those of the attacker, outside every registered network. Who writes the warning edits all of it.

use std::collections::BTreeSet;

use warning::grade::Case;

use super::{Campaign, Direction, playbook, table};
use crate::disclose::{sector_zh, sectors_named};
use crate::notice::Indicator;
use crate::{Book, Both, Notice};

const INDICATORS_MAX: usize = 32;

/// What a draft about this case says.
pub fn notice(campaign: &Campaign, case: &Case, book: &Book) -> Notice {
    let row = playbook(&book.tables.desk.playbook, &campaign.techniques, &campaign.tactics);
    let what = row.map_or_else(|| campaign.rules.values().next().cloned().unwrap_or_default(), |r| r.event.clone());
    let units: BTreeSet<&str> = case.object.iter().map(|o| o.unit.as_str()).filter(|u| !u.is_empty()).collect();
    let scope = scope(book, &units);
    let techniques = campaign.techniques.join("、");
    let threat = row.map(|r| r.threat.clone()).unwrap_or_default();
    let threat = if techniques.is_empty() {
        threat
    } else {
        Both::new(
            format!("{}（ATT&CK：{techniques}；方向：{}）", threat.zh, direction(campaign.group.direction).zh),
            format!("{} (ATT&CK: {}; {})", threat.en, campaign.techniques.join(", "), direction(campaign.group.direction).en),
        )
    };
    Notice {
        title: Both::new(format!("关于{}的预警", what.zh), format!("Warning: {}", what.en)),
        category: row.map(|r| r.category.clone()).unwrap_or_default(),
        event: Both::new(format!("监测到{}。", what.zh), format!("Seen: {}.", what.en)),
        threat,
        scope,
        impact: row.map(|r| r.impact.clone()).unwrap_or_default(),
        measures: row.map(|r| r.measures.iter().take(table::MEASURES_MAX).cloned().collect()).unwrap_or_default(),
        indicators: indicators(campaign),
        techniques: campaign.techniques.clone(),
    }
}

fn scope(book: &Book, units: &BTreeSet<&str>) -> Both {
    let k = book.tables.desk.disclosure.sector_k.max(2);
    let named = sectors_named(book, units);
    let (zh, en) = if named.is_empty() {
        ("本市".to_owned(), "the city".to_owned())
    } else {
        (
            format!("本市{}行业", named.iter().map(|s| sector_zh(s)).collect::<Vec<_>>().join("、")),
            format!("the {} sector of the city", named.join(", ")),
        )
    };
    if units.len() >= k {
        Both::new(format!("{zh}多家单位"), format!("several units of {en}"))
    } else {
        Both::new(format!("{zh}个别单位"), format!("single units of {en}"))
    }
}

/// Only what is the attacker's: addresses from or to the outside, and values of threat intelligence.
fn indicators(campaign: &Campaign) -> Vec<Indicator> {
    let outside = matches!(campaign.group.direction, Some(Direction::Inbound | Direction::Outbound));
    let from = campaign.from.iter().filter(|_| outside);
    let mut list: Vec<Indicator> =
        campaign.indicators.iter().chain(from).map(|v| Indicator { r#type: kind(v).to_owned(), value: v.clone() }).collect();
    list.sort();
    list.dedup();
    list.truncate(INDICATORS_MAX);
    list
}

/// STIX cyber-observable type of a value.
fn kind(value: &str) -> &'static str {
    let hex = |n: usize| value.len() == n && value.bytes().all(|b| b.is_ascii_hexdigit());
    match value.parse::<std::net::IpAddr>() {
        Ok(ip) if ip.is_ipv4() => "ipv4-addr",
        Ok(_) => "ipv6-addr",
        Err(_) if value.contains("://") => "url",
        Err(_) if value.contains('@') => "email-addr",
        Err(_) if hex(64) => "file:hashes.SHA-256",
        Err(_) if hex(40) => "file:hashes.SHA-1",
        Err(_) if hex(32) => "file:hashes.MD5",
        Err(_) => "domain-name",
    }
}

fn direction(direction: Option<Direction>) -> Both {
    match direction {
        Some(Direction::Inbound) => Both::new("由外向内", "from outside"),
        Some(Direction::Outbound) => Both::new("由内向外", "to the outside"),
        Some(Direction::Across) => Both::new("单位之间", "between units"),
        Some(Direction::Inside) => Both::new("单位内部", "within a unit"),
        Some(Direction::Local) => Both::new("主机本地", "on hosts"),
        None => Both::new("多个方向", "in several directions"),
    }
}
