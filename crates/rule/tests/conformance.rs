//! The Sigma 2.1.0 texts as cases: `conformance/*.yml`, each case with the sentence it comes from.
//!
//! A case is a detection section, events it must hit and miss, or the words of the refusal. `spec: decision, …` marks what the
//! texts leave open and we fixed.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its cases fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use event::{Event, Kind, LogSource, Name, Timestamp, Value};
use rule::{Mappings, Options, RuleSet, Source};
use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    spec: String,
    detection: Yaml,
    #[serde(default)]
    placeholders: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    hit: Vec<BTreeMap<String, Yaml>>,
    #[serde(default)]
    miss: Vec<BTreeMap<String, Yaml>>,
    refused: Option<String>,
    silent: Option<String>,
}

fn value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(b) => Value::Bool(*b),
        Yaml::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap()), Value::Int),
        Yaml::String(s) => Value::text(s),
        Yaml::Sequence(list) => Value::from(list.iter().map(value).collect::<Vec<_>>()),
        Yaml::Tagged(tagged) => Value::Ip(tagged.value.as_str().unwrap().parse().unwrap()),
        Yaml::Mapping(_) => panic!("events are flat"),
    }
}

fn event(fields: &BTreeMap<String, Yaml>) -> Arc<Event> {
    let mut event = Event::new(Timestamp::ZERO, Kind::Base, 0, LogSource::new("test", "", ""));
    for (name, yaml) in fields {
        event.body.set(Name::from(name.as_str()), value(yaml));
    }
    Arc::new(event)
}

fn matches(set: &RuleSet, event: &Arc<Event>) -> bool {
    let (mut fast, mut plain) = (Vec::new(), Vec::new());
    set.detect(event, &mut fast);
    set.scan(event, &mut plain);
    assert_eq!(format!("{fast:?}"), format!("{plain:?}"), "index and plain scan differ");
    let explained = set.explain(event, "case").unwrap();
    assert_eq!(explained.matched, !fast.is_empty(), "explain differs\n{explained}");
    !fast.is_empty()
}

fn check(case: &Case) -> Result<(), String> {
    let detection = serde_yaml_ng::to_string(&BTreeMap::from([("detection", &case.detection)])).unwrap();
    let text = format!("title: Case\nid: case\nlogsource:\n  product: test\n{detection}");
    let options = Options { placeholders: case.placeholders.clone(), ..Options::default() };
    let (set, errors) = RuleSet::from_sources(&[Source { path: "case.yml".into(), text }], &Mappings::none(), &options);
    if let Some(words) = &case.refused {
        return match errors.first() {
            Some(error) if error.to_string().contains(words.as_str()) && error.line > 0 && set.rules().is_empty() => Ok(()),
            Some(error) => Err(format!("refused with other words: {error}")),
            None => Err("not refused".to_owned()),
        };
    }
    if let Some(error) = errors.first() {
        return Err(format!("refused: {error}"));
    }
    match (&case.silent, set.notices().first()) {
        (None, None) => {}
        (Some(words), Some(notice)) if notice.to_string().contains(words.as_str()) => {}
        (_, notice) => return Err(format!("notice: {notice:?}")),
    }
    for fields in &case.hit {
        if !matches(&set, &event(fields)) {
            return Err(format!("missed {fields:?}\n{}", set.explain(&event(fields), "case").unwrap()));
        }
    }
    for fields in &case.miss {
        if matches(&set, &event(fields)) {
            return Err(format!("hit {fields:?}\n{}", set.explain(&event(fields), "case").unwrap()));
        }
    }
    Ok(())
}

#[test]
fn the_specification_sentence_by_sentence() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let (mut cases, mut events) = (0, 0);
    let mut failed = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let all: Vec<Case> = serde_yaml_ng::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let here: usize = all.iter().map(|c| c.hit.len() + c.miss.len()).sum();
        println!("{name:12} {:4} cases, {here:4} events", all.len());
        cases += all.len();
        events += here;
        failed.extend(all.iter().filter_map(|c| check(c).err().map(|e| format!("{name}: {}\n  {e}", c.spec))));
    }
    println!("all          {cases:4} cases, {events:4} events, {} failed", failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(cases >= 300);
}
