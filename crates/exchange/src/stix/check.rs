//! What is wrong with STIX 2.1 from elsewhere, object by object, in words (OASIS STIX 2.1, 10 June 2021).
//!
//! Checked: what each type must have, identifiers and what they may name, times and their order, ranges, lists that may not be empty, markings
//! and their selectors, external references of CVE and CAPEC, the matrix of relationships, who may write a new version, languages. Not
//! checked: open vocabularies (any word is allowed there), custom objects and properties, hashes' values, patterns beyond being there (the
//! reader of indicators says what it does not understand).
//!
//! Limits: `FAULTS_MAX` faults told, the rest counted; nesting as `serde_json` bounds it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use event::Timestamp;
use serde_json::{Map, Value};

use super::tables::{COUNTRIES, Class, MATRIX, REFERENCES, TIMES, TYPES};

/// Faults told one by one.
pub const FAULTS_MAX: usize = 1_000;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Id of the object; its type, or empty, where it has none.
    pub object: String,
    pub reason: String,
}

/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    pub objects: usize,
    pub faults: Vec<Fault>,
    /// Faults past `FAULTS_MAX`.
    pub beyond: u64,
}

impl Checked {
    fn fault(&mut self, object: &str, reason: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { object: object.chars().take(100).collect(), reason: reason.into() });
        } else {
            self.beyond += 1;
        }
    }
}

/// A bundle, a TAXII envelope, a list of objects, or one object.
pub fn check(text: &str) -> Checked {
    let mut out = Checked::default();
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            out.fault("", format!("this is not JSON: {error}"));
            return out;
        }
    };
    let objects: Vec<&Value> = match &value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) if map.get("type").and_then(Value::as_str) == Some("bundle") => {
            identifier(map.get("id"), "bundle", &mut |reason| out.fault("bundle", reason));
            match map.get("spec_version").and_then(Value::as_str) {
                None => {}
                Some(version) => {
                    out.fault("bundle", format!("this is STIX {version}; only 2.1 is taken, in which a bundle has no spec_version"))
                }
            }
            map.get("objects").and_then(Value::as_array).map(|l| l.iter().collect()).unwrap_or_default()
        }
        Value::Object(map) if !map.contains_key("type") && map.contains_key("objects") => {
            map.get("objects").and_then(Value::as_array).map(|l| l.iter().collect()).unwrap_or_default()
        }
        other => vec![other],
    };
    out.objects = objects.len();
    let mut makers: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut by_id: BTreeMap<&str, &Map<String, Value>> = BTreeMap::new();
    for object in &objects {
        let Value::Object(map) = object else {
            out.fault("", "this is not an object");
            continue;
        };
        one(map, &mut out);
        let Some(id) = map.get("id").and_then(Value::as_str) else { continue };
        let maker = map.get("created_by_ref").and_then(Value::as_str);
        if *makers.entry(id).or_insert(maker) != maker {
            out.fault(id, "a new version by another than who created it");
        }
        by_id.insert(id, map);
    }
    for object in by_id.values().filter(|o| o.get("type").and_then(Value::as_str) == Some("language-content")) {
        language(object, &by_id, &mut out);
    }
    out
}

/// What a translation must have in common with what it translates.
fn language(object: &Map<String, Value>, by_id: &BTreeMap<&str, &Map<String, Value>>, out: &mut Checked) {
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
    let Some(target) = object.get("object_ref").and_then(Value::as_str).and_then(|r| by_id.get(r)) else { return };
    for said in object.get("contents").and_then(Value::as_object).into_iter().flat_map(|m| m.values()).filter_map(Value::as_object) {
        for (name, value) in said {
            match (target.get(name), value) {
                (None, _) | (Some(Value::String(_)), Value::String(_)) | (Some(Value::Object(_)), Value::Object(_)) => {}
                (Some(Value::Array(there)), Value::Array(here)) if there.len() == here.len() => {}
                (Some(Value::Array(_)), Value::Array(_)) => {
                    out.fault(id, format!("the translation of {name} has another number of entries"))
                }
                _ => out.fault(id, format!("the translation of {name} is of another kind than the property")),
            }
        }
    }
}

fn one(map: &Map<String, Value>, out: &mut Checked) {
    let Some(kind) = map.get("type").and_then(Value::as_str) else {
        out.fault("", "it has no type: this is no STIX object");
        return;
    };
    let name = map.get("id").and_then(Value::as_str).unwrap_or(kind).to_owned();
    let mut fault = |reason: String| out.fault(&name, reason);
    if kind.len() < 3 || !kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        fault(format!("'{}' is no type", kind.chars().take(40).collect::<String>()));
        return;
    }
    identifier(map.get("id"), kind, &mut fault);
    let row = TYPES.iter().find(|t| t.name == kind);
    let class = row.map_or(Class::Custom, |t| t.class);
    let common: &[&str] = match class {
        Class::Domain | Class::Relationship | Class::Meta => &["spec_version", "created", "modified"],
        Class::Marking => &["spec_version", "created"],
        Class::Observable | Class::Custom => &[],
    };
    for needed in common.iter().chain(row.map_or(&[][..], |t| t.required)) {
        match map.get(*needed) {
            None => fault(format!("{needed} is missing")),
            Some(Value::String(text)) if text.trim().is_empty() => fault(format!("{needed} is empty")),
            Some(_) => {}
        }
    }
    if let Some(version) = map.get("spec_version").and_then(Value::as_str).filter(|v| *v != "2.1") {
        fault(format!("spec_version '{}' is not 2.1", version.chars().take(10).collect::<String>()));
    }
    for (property, value) in map {
        properties(kind, property, value, &mut fault);
    }
    times(map, &mut fault);
    for marking in map.get("granular_markings").and_then(Value::as_array).into_iter().flatten() {
        granular(map, marking, &mut fault);
    }
    special(kind, map, &mut fault);
}

fn identifier(value: Option<&Value>, kind: &str, fault: &mut dyn FnMut(String)) {
    match value.and_then(Value::as_str) {
        None => fault("it has no id".to_owned()),
        Some(id) => match split(id) {
            Some((of, _)) if of == kind => {}
            Some((of, _)) => fault(format!("its id is one of a {of}, not of a {kind}")),
            None => fault(format!("'{}' is no identifier: {kind}-- and a UUID", id.chars().take(80).collect::<String>())),
        },
    }
}

/// Type and UUID of an identifier.
fn split(id: &str) -> Option<(&str, &str)> {
    let (kind, uuid) = id.split_once("--")?;
    let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
    let good = parts == [8, 4, 4, 4, 12] && uuid.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    (good && !kind.is_empty()).then_some((kind, uuid))
}

/// What a property's own name demands of it, in any object.
fn properties(kind: &str, property: &str, value: &Value, fault: &mut dyn FnMut(String)) {
    // What somebody added means what they say.
    let custom = property.starts_with("x_");
    if !custom && (property.ends_with("_ref") || property.ends_with("_refs")) {
        let list: Vec<&Value> = match (property.ends_with("_refs"), value) {
            (true, Value::Array(list)) => list.iter().collect(),
            (false, Value::String(_)) => vec![value],
            _ => return fault(format!("{property} is not {}", if property.ends_with('s') { "a list" } else { "one identifier" })),
        };
        if list.is_empty() {
            fault(format!("{property} is empty"));
        }
        let may = REFERENCES.iter().find(|(k, p, _)| *k == kind && *p == property).map(|(_, _, may)| *may);
        for target in list {
            match target.as_str().and_then(split) {
                None => fault(format!("{property} names what is no identifier")),
                Some((of, _)) if may.is_some_and(|m| !m.contains(&of)) => fault(format!("{property} may not name a {of}")),
                Some(_) => {}
            }
        }
        return;
    }
    match (property, value) {
        ("confidence", v) if v.as_u64().is_none_or(|n| n > 100) => fault("confidence is not a whole number from 0 to 100".to_owned()),
        ("revoked" | "defanged" | "is_family" | "summary", v) if !v.is_boolean() => fault(format!("{property} is not true or false")),
        ("labels" | "aliases" | "protocols" | "roles" | "sectors" | "goals", Value::Array(list)) if list.is_empty() => {
            fault(format!("{property} is empty; leave it out"));
        }
        ("external_references", Value::Array(list)) => list.iter().for_each(|r| reference(r, fault)),
        ("kill_chain_phases", Value::Array(list)) => {
            for phase in list {
                for part in ["kill_chain_name", "phase_name"] {
                    if phase[part].as_str().is_none_or(|t| t.trim().is_empty()) {
                        fault(format!("a kill chain phase has no {part}"));
                    }
                }
            }
        }
        ("extensions", Value::Object(map)) => {
            for (name, extension) in map {
                if extension.as_object().is_none_or(Map::is_empty) {
                    fault(format!("the extension {} says nothing", name.chars().take(60).collect::<String>()));
                }
            }
        }
        ("external_references" | "kill_chain_phases" | "granular_markings" | "labels", v) if !v.is_array() => {
            fault(format!("{property} is not a list"));
        }
        (name, v) if TIMES.contains(&name) && v.as_str().and_then(Timestamp::parse_rfc3339).is_none() => {
            fault(format!("{property} is not a time such as 2026-11-23T12:00:00.000Z"));
        }
        _ => {}
    }
}

fn reference(value: &Value, fault: &mut dyn FnMut(String)) {
    let source = value["source_name"].as_str().unwrap_or_default().trim();
    if source.is_empty() {
        return fault("an external reference does not name its source".to_owned());
    }
    let told = |key: &str| value[key].as_str().is_some_and(|t| !t.trim().is_empty());
    if !["description", "url", "external_id"].into_iter().any(told) {
        fault(format!("the external reference to {source} says nothing else"));
    }
    let Some(id) = value["external_id"].as_str() else { return };
    let digits = |text: &str, least: usize| text.len() >= least && text.bytes().all(|b| b.is_ascii_digit());
    let good = match source {
        "cve" => id
            .strip_prefix("CVE-")
            .and_then(|r| r.split_once('-'))
            .is_some_and(|(year, n)| year.len() == 4 && digits(year, 4) && digits(n, 4)),
        "capec" => id.strip_prefix("CAPEC-").is_some_and(|n| digits(n, 1)),
        _ => true,
    };
    if !good {
        fault(format!("'{}' is no id of {source}", id.chars().take(40).collect::<String>()));
    }
}

fn times(map: &Map<String, Value>, fault: &mut dyn FnMut(String)) {
    let time = |key: &str| map.get(key).and_then(Value::as_str).and_then(Timestamp::parse_rfc3339);
    for (first, last, same) in [
        ("created", "modified", true),
        ("valid_from", "valid_until", false),
        ("first_seen", "last_seen", true),
        ("first_observed", "last_observed", true),
        ("analysis_started", "analysis_ended", true),
        ("start", "end", true),
    ] {
        if let (Some(a), Some(b)) = (time(first), time(last))
            && (b < a || (b == a && !same))
        {
            fault(format!("{last} is before {first}"));
        }
    }
}

fn granular(map: &Map<String, Value>, marking: &Value, fault: &mut dyn FnMut(String)) {
    match (marking.get("marking_ref"), marking.get("lang")) {
        (Some(_), Some(_)) => fault("a granular marking has both marking_ref and lang".to_owned()),
        (None, None) => fault("a granular marking has neither marking_ref nor lang".to_owned()),
        _ => {}
    }
    let selectors = marking["selectors"].as_array().map(Vec::as_slice).unwrap_or_default();
    if selectors.is_empty() {
        fault("a granular marking selects nothing".to_owned());
    }
    for selector in selectors.iter().filter_map(Value::as_str) {
        let mut parts = selector.split('.');
        let first = parts.next().and_then(|p| map.get(p));
        let found = parts.try_fold(first, |at, part| {
            let at = at?;
            Some(match part.strip_prefix('[').and_then(|p| p.strip_suffix(']')) {
                Some(index) => index.parse::<usize>().ok().and_then(|n| at.get(n)),
                None => at.get(part),
            })
        });
        if found.flatten().is_none() {
            fault(format!("the selector '{}' names nothing here", selector.chars().take(60).collect::<String>()));
        }
    }
}

fn special(kind: &str, map: &Map<String, Value>, fault: &mut dyn FnMut(String)) {
    let has = |key: &str| map.contains_key(key);
    let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default();
    let count = |key: &str, least: u64| map.get(key).is_none_or(|v| v.as_u64().is_some_and(|n| (least..=999_999_999).contains(&n)));
    match kind {
        "ipv4-addr" | "ipv6-addr" => {
            let (ip, length) = text("value").split_once('/').map_or((text("value"), None), |(ip, l)| (ip, Some(l)));
            let v4 = kind == "ipv4-addr";
            let good = ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4() == v4)
                && length.is_none_or(|l| l.parse::<u8>().is_ok_and(|l| l <= if v4 { 32 } else { 128 }));
            if !good {
                fault("value is no address of this family, and no network".to_owned());
            }
        }
        "file" if !has("name") && !has("hashes") => fault("a file has a name or hashes".to_owned()),
        "artifact" if has("payload_bin") == has("url") => fault("an artifact has either payload_bin or url".to_owned()),
        "network-traffic" if map.get("protocols").and_then(Value::as_array).is_none_or(Vec::is_empty) => {
            fault("protocols is missing or empty".to_owned());
        }
        "process" | "user-account" | "windows-registry-key" | "x509-certificate" => {
            let common = ["type", "spec_version", "id", "object_marking_refs", "granular_markings", "defanged"];
            if map.keys().all(|k| common.contains(&k.as_str())) {
                fault(format!("a {kind} without any property"));
            }
        }
        "location" => {
            let number = |key: &str, max: f64| map.get(key).is_none_or(|v| v.as_f64().is_some_and(|n| n.abs() <= max));
            if has("latitude") != has("longitude") {
                fault("latitude and longitude come together".to_owned());
            }
            if !number("latitude", 90.0) || !number("longitude", 180.0) {
                fault("latitude is -90 to 90, longitude -180 to 180".to_owned());
            }
            if !has("region") && !has("country") && !has("latitude") {
                fault("a location has a region, a country or a latitude and longitude".to_owned());
            }
            let country = text("country");
            if has("country") && !(country.len() == 2 && COUNTRIES.split(' ').any(|c| c.eq_ignore_ascii_case(country))) {
                fault("country is no code of ISO 3166-1 (two letters)".to_owned());
            }
        }
        "observed-data" => {
            if has("objects") == has("object_refs") {
                fault("observed-data has either objects or object_refs".to_owned());
            }
            if !count("number_observed", 1) {
                fault("number_observed is 1 to 999999999".to_owned());
            }
            for inner in map.get("objects").and_then(Value::as_object).into_iter().flat_map(|m| m.values()) {
                let of = inner["type"].as_str().unwrap_or_default();
                if TYPES.iter().any(|t| t.name == of && t.class != Class::Observable) {
                    fault(format!("objects may hold observables only, not a {of}"));
                }
            }
        }
        "malware" if map.get("is_family") == Some(&Value::Bool(true)) && text("name").is_empty() => fault("a family has a name".to_owned()),
        "malware-analysis" if !has("result") && !has("analysis_sco_refs") => {
            fault("an analysis has a result or analysis_sco_refs".to_owned())
        }
        "opinion" if !["strongly-disagree", "disagree", "neutral", "agree", "strongly-agree"].contains(&text("opinion")) => {
            fault("opinion is strongly-disagree, disagree, neutral, agree or strongly-agree".to_owned());
        }
        "grouping" if map.get("name").is_some_and(|n| n.as_str().is_none_or(|t| t.trim().is_empty())) => fault("name is empty".to_owned()),
        "marking-definition" if !(has("extensions") || has("definition") && has("definition_type")) => {
            fault("a marking has a definition_type and a definition, or an extension".to_owned());
        }
        "sighting" if !count("count", 0) => fault("count is 0 to 999999999".to_owned()),
        "relationship" => {
            let verb = text("relationship_type");
            if !verb.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
                fault("relationship_type is of small letters, digits and hyphens".to_owned());
            }
            let ends = (split(text("source_ref")), split(text("target_ref")));
            if let (Some((source, _)), Some((target, _))) = ends
                && let Some((_, from, to)) = MATRIX.iter().find(|(v, ..)| *v == verb)
            {
                let standard = |k: &str| TYPES.iter().any(|t| t.name == k);
                if (standard(source) && !from.contains(&source)) || (standard(target) && !to.contains(&target)) {
                    fault(format!("a {source} does not {verb} a {target}"));
                }
            }
        }
        _ => {}
    }
}
