//! Runs shipped rules over events through the engine, the way `vedette replay` does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use collector::engine::{Engine, EngineOptions};
use collector::replay::{ReplayArgs, ReplaySummary, Road, event_from_json, run};
use event::Class;
use rule::{Mappings, Options, RuleSet};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn options() -> EngineOptions {
    EngineOptions { rules: vec![root().join("config/rules")], mappings: Some(root().join("config/mappings")) }
}

/// An engine over everything that ships; nothing of it may be refused.
pub fn engine() -> Engine {
    let (engine, problems) = Engine::load(&options()).unwrap_or_else(|e| panic!("{e}"));
    assert!(problems.is_empty(), "shipped rules were refused:\n{}", problems.join("\n"));
    engine
}

/// Rules of the packs that rules elsewhere listen to.
const REFERRED: [&str; 1] = ["linux/log_wiped.yml"];

/// An engine over what a case needs: the pack of its area alone, or all rules without the packs. Compiling every rule for every case
/// would take most of the time.
pub fn engine_for(path: &Path) -> Engine {
    let area = path.ancestors().nth(2).and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let base = root().join("config/rules");
    let rules = if LINE_BY_LINE.contains(&area.as_str()) {
        vec![base.join(&area)]
    } else {
        let folders = std::fs::read_dir(&base).unwrap_or_else(|e| panic!("{}: {e}", base.display())).flatten().map(|e| e.path());
        let referred = REFERRED.iter().map(|file| base.join(file));
        folders.filter(|p| !LINE_BY_LINE.iter().any(|pack| p.ends_with(pack))).chain(referred).collect()
    };
    let (engine, problems) = Engine::load(&EngineOptions { rules, ..options() }).unwrap_or_else(|e| panic!("{e}"));
    assert!(problems.is_empty(), "shipped rules were refused:\n{}", problems.join("\n"));
    engine
}

/// Steps the events of a JSON lines file and gives the summary.
pub fn step_file(path: &Path, batch: usize) -> ReplaySummary {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut road = Road::over(engine_for(path), batch);
    for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let event = event_from_json(line).unwrap_or_else(|e| panic!("{}:{}: {e}", path.display(), n + 1));
        road.push(Class::Normal, event);
    }
    road.finish()
}

/// Names of the rules that raised an alert. A rule's name is the one its cases are filed under.
pub fn fired(summary: &ReplaySummary, names: &dyn Fn(&str) -> Option<String>) -> BTreeSet<String> {
    summary.alerts.iter().filter_map(|a| names(&a.rule_id)).collect()
}

/// Rule id → name, of all that ship.
pub fn names() -> impl Fn(&str) -> Option<String> {
    let engine = engine();
    let rules = engine.rules();
    let all: Vec<(String, Option<String>, bool)> = rules
        .rules()
        .iter()
        .chain(rules.correlations().iter().map(|c| &c.meta))
        .map(|m| (m.id.clone(), m.name.clone(), m.alerts))
        .collect();
    move |id| all.iter().find(|(i, ..)| i == id).and_then(|(_, name, _)| name.clone())
}

/// Names of the rules that raise alerts.
pub fn alerting() -> BTreeSet<String> {
    let engine = engine();
    let rules = engine.rules();
    let metas = rules.rules().iter().chain(rules.correlations().iter().map(|c| &c.meta));
    metas.filter(|m| m.alerts).map(|m| m.name.clone().unwrap_or_else(|| panic!("{}: a rule without a name", m.path))).collect()
}

/// Everything that ships, loaded once: for cases of a single event, where no engine is needed.
pub fn rules() -> &'static RuleSet {
    static ONCE: OnceLock<RuleSet> = OnceLock::new();
    ONCE.get_or_init(|| {
        let (mappings, errors) = Mappings::load(&[root().join("config/mappings")]);
        assert_eq!(errors, []);
        let (rules, errors) = RuleSet::load(&[root().join("config/rules")], &mappings, &Options::default());
        assert_eq!(errors, []);
        rules
    })
}

/// Names of the detections that find something in an event.
pub fn found(event: event::Event) -> BTreeSet<String> {
    let mut findings = Vec::new();
    rules().detect(&Arc::new(event), &mut findings);
    findings.iter().filter_map(|f| f.rule.name.clone()).collect()
}

/// Names of the detections (correlations need an engine).
pub fn detections() -> BTreeSet<String> {
    rules().rules().iter().filter_map(|r| r.name.clone()).collect()
}

/// Areas whose detections say in their cases, line by line, what they find and what not.
pub const LINE_BY_LINE: &[&str] = &["linux", "ot"];

/// Folders with a case: (rule, folder).
pub fn cases() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let base = root().join("tests/rules");
    for area in std::fs::read_dir(&base).unwrap_or_else(|e| panic!("{}: {e}", base.display())).flatten().filter(|e| e.path().is_dir()) {
        for rule in std::fs::read_dir(area.path()).into_iter().flatten().flatten() {
            found.push((rule.file_name().to_string_lossy().into_owned(), rule.path()));
        }
    }
    found.sort();
    found
}

/// The cases that need an engine: all but those that are told line by line.
pub fn stepped() -> Vec<(String, PathBuf)> {
    let (alerting, detections) = (alerting(), detections());
    let lines = |folder: &Path, rule: &String| LINE_BY_LINE.iter().any(|a| area(folder) == *a) && detections.contains(rule);
    cases().into_iter().filter(|(rule, folder)| alerting.contains(rule) && !lines(folder, rule)).collect()
}

fn area(folder: &Path) -> &str {
    folder.parent().and_then(Path::file_name).and_then(|n| n.to_str()).unwrap_or_default()
}

/// Problems of one case, in words; empty if it holds.
pub fn check(rule: &str, folder: &Path, names: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    if LINE_BY_LINE.iter().any(|a| area(folder) == *a) && detections().contains(rule) {
        return check_lines(rule, folder);
    }
    let mut problems = Vec::new();
    let hit = fired(&step_file(&folder.join("hit.jsonl"), 7), names);
    if !hit.contains(rule) {
        problems.push(format!("{rule}: the hit case is not found (fired: {hit:?})"));
    }
    let miss = fired(&step_file(&folder.join("miss.jsonl"), 7), names);
    if miss.contains(rule) {
        problems.push(format!("{rule}: the miss case raises an alert"));
    }
    problems
}

/// Every line of the hit case is found by the rule, no line of the miss case is.
fn check_lines(rule: &str, folder: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for (file, wanted) in [("hit.jsonl", true), ("miss.jsonl", false)] {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        if text.trim().is_empty() {
            problems.push(format!("{}: it is empty", path.display()));
        }
        for (n, line) in text.lines().enumerate() {
            let event = event_from_json(line).unwrap_or_else(|e| panic!("{}:{}: {e}", path.display(), n + 1));
            if found(event).contains(rule) != wanted {
                problems.push(format!("{}:{}: {}", path.display(), n + 1, if wanted { "not found" } else { "found" }));
            }
        }
    }
    problems
}

/// Replays a file with the shipped rules.
pub fn replay(path: &Path) -> anyhow::Result<ReplaySummary> {
    let args = ReplayArgs { files: vec![path.to_owned()], engine: options(), ..ReplayArgs::default() };
    run(&args, &mut std::io::sink(), &mut |_, _| {})
}
