//! Windows event records as JSON → flat events with the log sources `thor.yml` gives them.

use std::sync::Arc;

use event::{Event, Kind, LogSource, Name, Timestamp, Value};
use serde_json::Value as Json;

use super::corpus::convert;

/// A log source entry of thor.yml.
#[derive(Default)]
struct Entry {
    category: Option<String>,
    service: Option<String>,
    /// Values of `conditions`, by field.
    conditions: Vec<(String, Vec<String>)>,
    /// The service the events come from (`rewrite`).
    from: Option<String>,
    fields: Vec<(String, String)>,
    channels: Vec<String>,
}

pub struct Thor(Vec<Entry>);

impl Thor {
    /// Reads the fixed layout of the file: entries at 4 blanks, their keys at 8, what those hold at 12 and deeper.
    pub fn read(text: &str) -> Self {
        let mut all = Vec::new();
        let mut section = String::new();
        for line in text.lines().skip_while(|l| !l.starts_with("logsources:")).skip(1) {
            let bare = line.split(" #").next().unwrap_or("").trim();
            if bare.is_empty() || bare.starts_with('#') {
                continue;
            }
            let (key, value) = bare.split_once(':').map_or((bare, ""), |(k, v)| (k, v.trim()));
            let unquoted = |s: &str| s.trim_matches(['\'', '"']).to_owned();
            match line.len() - line.trim_start().len() {
                4 => all.push(Entry::default()),
                8 => {
                    section = key.to_owned();
                    let Some(entry) = all.last_mut() else { continue };
                    match key {
                        "category" => entry.category = Some(unquoted(value)),
                        "service" => entry.service = Some(unquoted(value)),
                        _ => {}
                    }
                }
                _ => {
                    let Some(entry) = all.last_mut() else { continue };
                    match (section.as_str(), bare.strip_prefix("- ")) {
                        ("sources", Some(source)) => {
                            entry.channels.extend(unquoted(source).strip_prefix("WinEventLog:").map(str::to_owned))
                        }
                        ("conditions", Some(item)) => {
                            if let Some((_, values)) = entry.conditions.last_mut() {
                                values.push(unquoted(item));
                            }
                        }
                        ("conditions", None) => {
                            entry.conditions.push((key.to_owned(), if value.is_empty() { Vec::new() } else { vec![unquoted(value)] }))
                        }
                        ("rewrite", None) if key == "service" => entry.from = Some(unquoted(value)),
                        ("fieldmappings", None) => entry.fields.push((key.to_owned(), unquoted(value))),
                        _ => {}
                    }
                }
            }
        }
        Self(all)
    }

    /// The record once for each log source it belongs to.
    pub fn events(&self, record: &Json) -> Vec<Arc<Event>> {
        let fields = flatten(record);
        let text = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.to_text().into_owned());
        let channel = text("Channel").unwrap_or_default();
        let service = self.0.iter().find(|e| e.channels.contains(&channel)).and_then(|e| e.service.clone());
        let make = |category: Option<&str>, more: &[(String, String)]| {
            let mut event = Event::new(Timestamp::ZERO, Kind::Base, 0, LogSource::owned(Some("windows"), category, service.as_deref()));
            for (name, value) in &fields {
                event.body.set(Name::from(name.as_str()), value.clone());
            }
            for (sigma, own) in more {
                if let (None, Some(value)) = (event.get_named(sigma), event.get_named(own).cloned()) {
                    event.body.set(Name::from(sigma.as_str()), value);
                }
            }
            Arc::new(event)
        };
        let mut all = vec![make(None, &[])];
        for entry in self.0.iter().filter(|e| e.category.is_some() && e.from.is_some() && e.from == service) {
            if entry.conditions.iter().all(|(field, values)| text(field).is_some_and(|v| values.contains(&v))) {
                all.push(make(entry.category.as_deref(), &entry.fields));
            }
        }
        all
    }
}

/// `System` and `EventData` (or `UserData`) as flat fields, named as the Sigma specification says: attributes linked by an
/// underscore, blanks stripped.
fn flatten(record: &Json) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    let event = record.get("Event").unwrap_or(record);
    for (name, value) in event["System"].as_object().into_iter().flatten() {
        match value.get("#attributes").and_then(Json::as_object) {
            Some(attributes) => {
                if let Some(text) = value.get("#text") {
                    out.push((name.clone(), convert(text)));
                }
                out.extend(attributes.iter().map(|(a, v)| (format!("{name}_{a}"), convert(v))));
            }
            None => out.push((name.clone(), convert(value))),
        }
    }
    for part in ["EventData", "UserData"] {
        leaves(&event[part], &mut out);
    }
    out
}

fn leaves(part: &Json, out: &mut Vec<(String, Value)>) {
    for (name, value) in part.as_object().into_iter().flatten().filter(|(n, _)| *n != "#attributes") {
        match value {
            Json::Object(inner) if inner.contains_key("#text") => out.push((name.replace(' ', ""), convert(&inner["#text"]))),
            Json::Object(_) => leaves(value, out),
            _ => out.push((name.replace(' ', ""), convert(value))),
        }
    }
}
