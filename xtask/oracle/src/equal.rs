//! Do both find the same? Every event of a lane; every difference has to be one the specification's text explains.

use std::collections::{BTreeMap, BTreeSet};

use event::LogSource;
use rule::Routing;

use crate::{RuleText, lane, ours, peer, rules};

/// Sentences that make a difference right, with what a rule's text says where they apply.
const KEYWORDS: &str = "keywords are \"strings that are applied to the full log message\": contained in it, not equal to a value";
const ROUTING: &str =
    "the log source \"describes the log data on which the detection is meant to be applied to\": the event does not name it";
const BASE64: &str = "base64offset: \"might appear somewhere in a base64-encoded string\": found whatever stands behind it";
const LINES: &str = "`*` is \"an unbounded length wildcard\": a line end is a character too";
const DASHES: &str = "windash \"converts the aforementioned characters interchangeably\": a value written with `/` is found behind `-` too";
/// Every so many events the plain scan is asked as well.
const SCAN_EVERY: usize = 20;

pub fn equal(lane_name: &str, which: &str) {
    let (texts, lane) = (rules(which), lane(lane_name));
    let (set, engine) = (ours(&texts), peer::engine(&texts));
    let by_id: BTreeMap<&str, &RuleText> = set.rules().iter().map(|m| m.id.as_str()).zip(&texts).collect();
    let (mut scratch, mut hits, mut plain) = (set.scratch(), Vec::new(), Vec::new());
    let mut differences: BTreeMap<(&str, &str, &str), (usize, usize)> = BTreeMap::new();
    let (mut pairs, mut scanned, mut unequal) = (0, 0, 0);
    let events: Vec<&Vec<u8>> = lane.iter().collect();
    let mut known: BTreeMap<&[u8], ()> = BTreeMap::new();
    for (number, line) in events.iter().enumerate() {
        set.matches_json(line, &Routing::default(), &mut scratch, &mut hits).expect("an event");
        if number % SCAN_EVERY == 0 || known.insert(shape(line), ()).is_none() {
            set.scan_json(line, &Routing::default(), &mut plain).expect("an event");
            scanned += 1;
            if plain != hits {
                unequal += 1;
                println!("plain scan differs on event {number}: {plain:?} {hits:?}");
            }
        }
        let mine: BTreeSet<&str> = hits.iter().filter_map(|n| set.rules().get(*n as usize)).map(|m| m.id.as_str()).collect();
        let theirs: BTreeSet<String> = peer::matches(&engine, line).into_iter().collect();
        pairs += mine.len();
        let json: serde_json::Value = serde_json::from_slice(line).expect("an event");
        let source = LogSource::owned(json["product"].as_str(), json["category"].as_str(), json["service"].as_str());
        for id in mine.iter().filter(|id| !theirs.contains(**id)) {
            let Some((id, rule)) = by_id.get_key_value(*id) else { continue };
            let yaml = rule.yaml.as_str();
            let matches = set.reasons_json(line, &Routing::default(), number_of(&set, id), &mut scratch).expect("an event");
            let why = if matches.iter().any(|m| m.field.is_empty()) {
                KEYWORDS
            } else if matches.iter().any(|m| m.pattern.contains("windash") && m.pattern.contains(['/', '\u{2013}', '\u{2014}', '\u{2015}']))
            {
                DASHES
            } else if yaml.contains("base64offset") {
                BASE64
            } else if line.windows(2).any(|w| w == b"\\n") && yaml.contains('*') {
                LINES
            } else {
                "unexplained"
            };
            let entry = differences.entry(("only ours", id, why)).or_insert((0, number));
            entry.0 += 1;
        }
        for id in theirs.iter().filter(|id| !mine.contains(id.as_str())) {
            let Some((id, rule)) = by_id.get_key_value(id.as_str()) else { continue };
            let why = if rule.source.covers(&source) { "unexplained" } else { ROUTING };
            let entry = differences.entry(("only rsigma", id, why)).or_insert((0, number));
            entry.0 += 1;
        }
    }
    println!(
        "{lane_name}, {} rules: {} events, {pairs} matches; plain scan asked on {scanned}, {unequal} differ",
        texts.len(),
        events.len()
    );
    let mut reasons: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    for ((side, _, why), (count, _)) in &differences {
        let entry = reasons.entry((side, why)).or_default();
        entry.0 += 1;
        entry.1 += count;
    }
    for ((side, why), (rules, count)) in &reasons {
        println!("  {side:11} {rules:4} rules {count:7} times  {why}");
    }
    for ((side, id, why), (count, first)) in differences.iter().filter(|(k, _)| k.2 != ROUTING) {
        println!("    {side} {id} {count} times, first event {first}: {why}");
    }
    let unexplained: usize = differences.iter().filter(|(k, _)| k.2 == "unexplained").map(|(_, v)| v.0).sum();
    println!("FIGURE scan_differences {unequal}");
    println!("FIGURE unexplained {unexplained}");
}

fn number_of(set: &rule::RuleSet, id: &str) -> u32 {
    set.rules().iter().position(|m| m.id == id).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX)
}

/// The names of an event's members: one event of each shape is always scanned.
fn shape(line: &[u8]) -> &[u8] {
    line.get(..line.len().min(48)).unwrap_or(line)
}
