//! The text a draft begins with, in both languages: from `[[playbook]]` by the technique and tactic of the gravest evidence, the one that decides
//! the recommended level, and from what the campaign has seen. It is written anew with each recommendation until a person has had a hand in it.
//!
//! It never names a victim: units are counted only where at least k take part, sectors are named by the rule of [`crate::disclose`], addresses in
//! it are those of the attacker, outside every registered network. Who writes the warning edits all of it.

use std::collections::BTreeSet;

use warning::grade::{Case, Evidence};

use super::{Campaign, Direction, Playbook, playbook, table};
use crate::attack::Tactic;
use crate::disclose::{sector_zh, sectors_named};
use crate::notice::Indicator;
use crate::{Book, Both, Notice};

const INDICATORS_MAX: usize = 32;
const TECHNIQUES_MAX: usize = 12;

/// What a draft about this case says: of the evidence that decides its level, whichever group heard it first.
pub fn notice(campaign: &Campaign, case: &Case, book: &Book) -> Notice {
    let shown = book.tables.grading.gravest(case);
    let rows = &book.tables.desk.playbook;
    let row = shown
        .iter()
        .find_map(|(_, named, evidence)| said_of(rows, named, evidence))
        .or_else(|| playbook(rows, &campaign.techniques, &campaign.tactics));
    let what = row.map_or_else(|| rule_title(campaign, shown.first().map(|(.., evidence)| *evidence)), |r| r.event.clone());
    let units: BTreeSet<&str> = case.object.iter().map(|o| o.unit.as_str()).filter(|u| !u.is_empty()).collect();
    let scope = scope(book, &units);
    let techniques = techniques(campaign, &shown);
    let threat = row.map(|r| r.threat.clone()).unwrap_or_default();
    let threat = if techniques.is_empty() {
        threat
    } else {
        let direction = direction(campaign.group.direction);
        Both::new(
            format!("{}（ATT&CK：{}；方向：{}）", threat.zh, techniques.join("、"), direction.zh),
            format!("{} (ATT&CK: {}; {})", threat.en, techniques.join(", "), direction.en),
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
        techniques,
    }
}

/// The row of a piece of evidence: by the technique or tactic that gave its degree first.
fn said_of<'t>(rows: &'t [Playbook], named: &str, evidence: &Evidence) -> Option<&'t Playbook> {
    let is_tactic = named.starts_with("TA");
    let mut techniques = evidence.techniques.clone();
    // A tactic of control systems is shown by a technique of control systems.
    let control = Tactic::find(named).is_some_and(|t| t.ics == named);
    techniques.sort_by_key(|t| control != t.starts_with("T0"));
    let mut tactics = Vec::new();
    if is_tactic {
        tactics.push(named.to_owned())
    } else {
        techniques.insert(0, named.to_owned())
    }
    tactics.extend(evidence.tactics.iter().filter(|t| *t != named).cloned());
    let by_named = || playbook(rows, &[], &tactics[..usize::from(is_tactic)]);
    playbook(rows, &techniques, &[]).or_else(by_named).or_else(|| playbook(rows, &[], &tactics))
}

/// Title of the rule that saw it, else of any rule of the group.
fn rule_title(campaign: &Campaign, evidence: Option<&Evidence>) -> Both {
    let of = evidence.and_then(|e| campaign.rules.get(e.source.split('@').next()?));
    of.or_else(|| campaign.rules.values().next()).cloned().unwrap_or_default()
}

/// Techniques of the gravest evidence first, then what else the group has seen.
fn techniques(campaign: &Campaign, shown: &[(u8, String, &Evidence)]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for technique in shown.iter().flat_map(|(.., e)| &e.techniques).chain(&campaign.techniques) {
        if all.len() < TECHNIQUES_MAX && !all.contains(technique) {
            all.push(technique.clone());
        }
    }
    all
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
