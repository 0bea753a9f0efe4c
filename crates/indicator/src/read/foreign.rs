//! Events of IntelMQ (`source.ip`, `classification.type`) and of n6 (`address`, `category`): one JSON object a line, or a list of them.
//!
//! Such an event tells of attackers or of victims, by its class. Only an attacker's values are indicators; an infected, vulnerable or
//! otherwise struck host is passed over, for looking for it would raise alarms about its owner.

use serde_json::{Map, Value};

use super::{ReadOptions, Sink, time};
use crate::{Meta, Observable, Tlp};

/// IntelMQ's classification types and n6's categories whose source does harm.
const HOSTILE: &[&str] = &[
    "blacklist",
    "brute-force",
    "burglary",
    "c2-server",
    "command-execution",
    "ddos",
    "dga-domain",
    "exploit",
    "ids-alert",
    "malware",
    "malware-configuration",
    "malware-distribution",
    "masquerade",
    "phishing",
    "scanner",
    "sniffing",
    "social-engineering",
    "spam",
    "tor",
    "application-compromise",
    "bl-other",
    "bl-spam",
    "cnc",
    "dos-attacker",
    "malurl",
    "phish",
    "scam",
    "scanning",
    "server-exploit",
    "spam-url",
    "proxy",
    "leak",
    "flow-anomaly",
    "flow",
    "fraud",
    "malware-action",
    "webinject",
];

/// By keys that only these have.
pub(super) fn looks_like(head: &str) -> bool {
    let has = |word: &str| head.contains(word);
    has("\"classification.type\"")
        || has("\"classification.taxonomy\"")
        || (has("\"category\"") && has("\"confidence\"") && (has("\"restriction\"") || has("\"address\"") || has("\"rid\"")))
}

pub(super) fn read(text: &str, options: &ReadOptions, sink: &mut Sink<'_>) {
    if text.trim_start().starts_with('[') {
        match serde_json::from_str::<Vec<Value>>(text) {
            Ok(list) => list.iter().enumerate().for_each(|(n, event)| one(n as u64 + 1, event, options, sink)),
            Err(error) => sink.reading.problem(error.line() as u64, "", format!("this is no list of events: {error}")),
        }
        return;
    }
    // One object over several lines is one event.
    if let Ok(event) = serde_json::from_str::<Value>(text) {
        return one(1, &event, options, sink);
    }
    for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        match serde_json::from_str::<Value>(line) {
            Ok(event) => one(n as u64 + 1, &event, options, sink),
            Err(error) => sink.reading.problem(n as u64 + 1, line, format!("the line is no JSON: {error}")),
        }
    }
}

fn one(line: u64, event: &Value, options: &ReadOptions, sink: &mut Sink<'_>) {
    let Some(map) = event.as_object() else { return sink.reading.problem(line, "", "this is not an event") };
    let said = |keys: &[&str]| keys.iter().find_map(|k| map.get(*k).and_then(Value::as_str)).unwrap_or_default();
    let class = said(&["classification.type", "category"]);
    if class.is_empty() {
        return sink.reading.problem(line, "", "it has no classification.type and no category: attacker or victim?");
    }
    if !HOSTILE.contains(&class) {
        sink.reading.passed_over += 1;
        return;
    }
    let base = options.meta();
    let description = said(&["malware.name", "event_description.text", "name", "classification.identifier"]);
    let source = said(&["feed.name", "source"]);
    let meta = Meta {
        source: if base.source.is_empty() { crate::clean(source, 128) } else { base.source },
        tlp: Tlp::parse(said(&["tlp"])).or_else(|| restriction(said(&["restriction"]))).unwrap_or(base.tlp),
        confidence: confidence(map).unwrap_or(base.confidence),
        labels: vec![class.to_owned()],
        description: crate::clean(description, crate::TEXT_MAX),
    };
    let mut valid = options.valid();
    valid.until = time(said(&["expires"])).or(valid.until);
    let mut found = 0;
    let mut take = |value: &str, parse: fn(&str) -> Result<Observable, &'static str>| {
        if value.is_empty() {
            return;
        }
        found += 1;
        match parse(value) {
            Ok(observable) => sink.take(&[observable], &meta, valid),
            Err(why) => sink.reading.problem(line, value, why),
        }
    };
    // What names it most closely: a URL before the host that serves it, for many share a host.
    let url = said(&["source.url", "url"]);
    if url.is_empty() {
        take(said(&["source.fqdn", "fqdn"]), Observable::domain);
        take(said(&["source.ip", "source.network", "ip_network"]), Observable::address);
        for address in map.get("address").and_then(Value::as_array).into_iter().flatten() {
            take(address["ip"].as_str().unwrap_or_default(), Observable::address);
        }
    } else {
        take(url, Observable::url);
    }
    for key in ["malware.hash.md5", "malware.hash.sha1", "malware.hash.sha256", "md5", "sha1", "sha256"] {
        take(said(&[key]), Observable::hash);
    }
    if found == 0 {
        sink.reading.passed_over += 1;
    }
}

/// n6: who may be told.
fn restriction(word: &str) -> Option<Tlp> {
    match word {
        "public" => Some(Tlp::Green),
        "need-to-know" => Some(Tlp::Amber),
        "internal" => Some(Tlp::Red),
        _ => None,
    }
}

/// IntelMQ says a percentage, n6 a word.
fn confidence(map: &Map<String, Value>) -> Option<u8> {
    if let Some(accuracy) = map.get("feed.accuracy").and_then(Value::as_f64).filter(|a| (0.0..=100.0).contains(a)) {
        return Some(accuracy.round() as u8);
    }
    match map.get("confidence").and_then(Value::as_str)? {
        "low" => Some(15),
        "medium" => Some(50),
        "high" => Some(85),
        _ => None,
    }
}
