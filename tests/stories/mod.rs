//! Time lines: what arrives in which order, and what a person is told in the end. One file a story:
//! rules, events in order of arrival (a relative second, then `name=value` pairs), and the alerts expected.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use collector::engine::Engine;
use collector::replay::{Road, event_from_json};
use event::{Class, Timestamp};
use rule::{Mappings, Options, RuleSet, Source};

/// The door: every story in this folder is told as it stands there.
#[test]
fn every_story_ends_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stories");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().flatten().map(|e| e.path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "story"));
    files.sort();
    assert!(files.len() >= 8, "the stories are gone from {}", folder.display());
    let wrong: Vec<String> = files.iter().filter_map(|f| tell(f).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub fn tell(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let part = |from: &str, to: &str| {
        let rest = text.split_once(from).map(|(_, rest)| rest).ok_or(format!("{}: no '{}'", path.display(), from.trim()))?;
        Ok::<&str, String>(rest.split_once(to).map_or(rest, |(part, _)| part))
    };
    let (rules, events, expected) =
        (part("== rules\n", "== events\n")?, part("== events\n", "== alerts\n")?, part("== alerts\n", "\u{0}")?);
    let source = Source { path: path.display().to_string(), text: rules.to_owned() };
    let mut told = Vec::new();
    for batch in [1, 3, 1000] {
        let (set, errors) = RuleSet::from_sources(std::slice::from_ref(&source), &Mappings::none(), &Options::default());
        let (engine, more) = Engine::with_rules(set);
        if let Some(error) = errors.iter().chain(&more).next() {
            return Err(error.to_string());
        }
        let mut road = Road::over(engine, batch);
        for line in events.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
            road.push(Class::Normal, event_from_json(&record(line)).map_err(|e| format!("{}: '{line}': {e}", path.display()))?);
        }
        let mut got = String::new();
        for a in road.finish().alerts {
            let second = |ns: i64| Timestamp::from_ns(ns).ms() as f64 / 1000.0;
            let key: Vec<String> = a.group_key.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let _ =
                writeln!(got, "{} {} {}..{} events={}", a.title, key.join(","), second(a.first_time), second(a.last_time), a.event_count);
        }
        // Alerts opened at the same instant have no order a person would see.
        let mut lines: Vec<&str> = got.lines().collect();
        lines.sort_unstable();
        told.push(lines.join("\n"));
    }
    if told.iter().any(|t| *t != told[0]) {
        return Err(format!("{}: batches of 1, 3 and 1000 differ", path.display()));
    }
    let mut lines: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines.sort_unstable();
    let expected = lines.join("\n");
    if told[0] == expected { Ok(()) } else { Err(format!("{}:\nexpected\n{expected}\ngot\n{}", path.display(), told[0])) }
}

/// `12.5 kind=a src=10.0.0.1` as JSON.
fn record(line: &str) -> String {
    let mut words = line.split_whitespace();
    let ms = (words.next().unwrap_or_default().parse::<f64>().unwrap_or(-1.0) * 1000.0) as i64;
    let mut map = serde_json::Map::new();
    map.insert("time".into(), ms.into());
    map.insert("logsource".into(), serde_json::json!({ "category": "story" }));
    for (name, value) in words.filter_map(|w| w.split_once('=')) {
        let name = match name {
            "src" => "src_endpoint.ip",
            "dst" => "dst_endpoint.ip",
            "port" => "dst_endpoint.port",
            "user" => "user.name",
            "agent" => "agent.id",
            other => other,
        };
        map.insert(name.into(), value.parse::<i64>().map_or_else(|_| value.into(), Into::into));
    }
    serde_json::Value::Object(map).to_string()
}
