//! A revision as an IDEA0 message (CESNET, Intrusion Detection Extensible Alert): for those who run Warden or Mentat. Reading IDEA0 is the
//! log parsers' work, for an alert of another tool is an event.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::{Told, category, uuid5};

/// One message. Indicators are its sources: addresses by family, names and URLs as they are.
pub fn message(told: &Told) -> Value {
    let revision = told.revision;
    let mut source: Map<String, Value> = Map::new();
    let mut hashes = Vec::new();
    for indicator in &revision.notice.indicators {
        let key = match indicator.r#type.as_str() {
            "ipv4-addr" | "ipv6-addr" => {
                let host = indicator.value.split('/').next().unwrap_or_default();
                match host.parse::<IpAddr>() {
                    Ok(ip) if ip.is_ipv4() => "IP4",
                    Ok(_) => "IP6",
                    Err(_) => continue,
                }
            }
            "domain-name" => "Hostname",
            "url" => "URL",
            "email-addr" => "Email",
            kind if kind.starts_with("file:hashes") => {
                hashes.push(json!(indicator.value));
                continue;
            }
            _ => continue,
        };
        if let Some(list) = source.entry(key).or_insert_with(|| json!([])).as_array_mut() {
            list.push(json!(indicator.value));
        }
    }
    let mut categories = vec![category::idea(&revision.notice.category)];
    if revision.exercise {
        categories.push("Test");
    }
    let mut message = json!({
        "Format": "IDEA0",
        "ID": uuid5(&["idea", &revision.warning, &revision.number.to_string()]),
        "CreateTime": revision.issued.to_string(), "DetectTime": told.begun().to_string(),
        "CeaseTime": revision.expires.to_string(),
        "Category": categories,
        "Description": told.title(false),
        "Note": told.description(false),
        "Node": [{ "Name": node(&told.sender.name), "Type": ["Correlation"], "SW": ["Vedette"] }],
    });
    let Some(map) = message.as_object_mut() else { return message };
    if !source.is_empty() {
        map.insert("Source".to_owned(), json!([source]));
    }
    if !hashes.is_empty() {
        map.insert("Attach".to_owned(), json!(hashes.iter().map(|h| json!({ "Hash": [h] })).collect::<Vec<_>>()));
    }
    if revision.number > 1 {
        let earlier = told.earlier.iter().filter(|(n, _)| *n < revision.number);
        map.insert("PredID".to_owned(), earlier.map(|(n, _)| json!(uuid5(&["idea", &revision.warning, &n.to_string()]))).collect());
    }
    message
}

/// The largest domain first, words of letters, digits and underscores: `desk.city.example` is `example.city.desk`.
fn node(sender: &str) -> String {
    let words: Vec<String> = sender
        .rsplit('.')
        .map(|w| w.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect::<String>())
        .filter(|w| !w.is_empty())
        .collect();
    words.join(".")
}
