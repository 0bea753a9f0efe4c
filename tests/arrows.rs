//! The floors of the house: which crate may use which. Arrows point down only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// (crate, floor, crates of ours it may use in its `[dependencies]`).
const FLOORS: &[(&str, u8, &[&str])] = &[
    ("event", 1, &[]),
    ("spool", 1, &[]),
    ("settings", 1, &[]),
    ("telemetry", 1, &[]),
    ("packet", 2, &["event"]),
    ("proto", 2, &["event"]),
    ("rule", 2, &["event"]),
    ("warning", 2, &["event"]),
    ("wire", 2, &["event"]),
    ("indicator", 2, &["event"]),
    ("capture", 3, &["event", "packet"]),
    ("correlate", 3, &["event", "rule"]),
    ("matter", 3, &["event", "warning"]),
    ("exchange", 4, &["event", "warning", "matter", "indicator"]),
    ("api", 4, &["event", "warning", "matter"]),
    ("notifier", 4, &["event", "settings", "warning", "matter"]),
    ("agent", 4, &["event", "spool", "settings", "telemetry", "packet", "proto", "rule", "wire", "indicator", "capture"]),
    // `agent` is here as a library for one thing: `vedette replay` reads traces through the agent's own net pipeline.
    (
        "collector",
        5,
        &[
            "event",
            "spool",
            "settings",
            "telemetry",
            "packet",
            "proto",
            "rule",
            "correlate",
            "warning",
            "matter",
            "notifier",
            "exchange",
            "wire",
            "indicator",
            "capture",
            "api",
            "agent",
        ],
    ),
];

fn manifest(dir: &Path) -> toml::Table {
    let path = dir.join("Cargo.toml");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).parse().expect("a manifest is TOML")
}

#[test]
fn arrows_point_down_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let floors: BTreeMap<&str, (u8, &[&str])> = FLOORS.iter().map(|(n, f, uses)| (*n, (*f, *uses))).collect();
    let mut seen = BTreeSet::new();
    let mut dirs = vec![root.join("agent"), root.join("collector")];
    dirs.extend(std::fs::read_dir(root.join("crates")).expect("crates/ is there").map(|e| e.expect("readable").path()));
    for dir in dirs.iter().filter(|d| d.join("Cargo.toml").exists()) {
        let table = manifest(dir);
        let name = table["package"]["name"].as_str().expect("a package has a name").to_owned();
        let (floor, allowed) =
            *floors.get(name.as_str()).unwrap_or_else(|| panic!("crate '{name}' has no floor: add a row to FLOORS and to ARCHITECTURE.md"));
        let empty = toml::Table::new();
        let used = table.get("dependencies").and_then(toml::Value::as_table).unwrap_or(&empty);
        for dep in used.keys().filter(|d| floors.contains_key(d.as_str())) {
            assert!(allowed.contains(&dep.as_str()), "{name} uses {dep}, which its floor does not allow");
            assert!(
                floors[dep.as_str()].0 < floor,
                "{name} (floor {floor}) uses {dep} (floor {}): arrows point down",
                floors[dep.as_str()].0
            );
        }
        seen.insert(name);
    }
    let listed: BTreeSet<String> = FLOORS.iter().map(|(n, ..)| (*n).to_owned()).collect();
    assert_eq!(seen, listed, "FLOORS and the folders differ");
}

#[test]
fn unsafe_code_lives_in_capture_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    let mut stack = vec![root.join("agent"), root.join("collector"), root.join("crates"), root.join("xtask"), root.join("tests")];
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(&dir).expect("readable folder") {
            let path = entry.expect("readable entry").path();
            if path.is_dir() {
                stack.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.starts_with(root.join("crates/capture")) {
                let text = std::fs::read_to_string(&path).expect("source is UTF-8");
                if text.lines().any(|l| l.contains("allow(unsafe_code)") || l.contains("expect(unsafe_code"))
                    && !path.ends_with("arrows.rs")
                {
                    found.push(path);
                }
            }
        }
    }
    assert!(found.is_empty(), "unsafe outside crates/capture: {found:?}");
}
