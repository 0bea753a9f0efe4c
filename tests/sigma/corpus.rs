//! The public rules and events, read once for all cases.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, OnceLock};

use event::{Event, Kind, LogSource, Name, Timestamp, Value};
use rule::{Mappings, Options, RuleSet, Source};
use serde_json::Value as Json;

/// One rule file of the repository.
pub struct Entry {
    pub path: String,
    pub id: String,
    pub title: String,
    pub yaml: String,
    pub source: LogSource,
    /// YAML documents in the file.
    pub documents: usize,
}

impl Entry {
    pub fn active(&self) -> bool {
        !self.path.starts_with("deprecated/") && !self.path.starts_with("unsupported/")
    }
}

pub struct Corpus {
    pub entries: Vec<Entry>,
    /// All active rules.
    pub set: RuleSet,
    titles: BTreeMap<String, String>,
}

impl Corpus {
    pub fn read() -> Option<&'static Self> {
        static ONCE: OnceLock<Option<Corpus>> = OnceLock::new();
        ONCE.get_or_init(|| {
            let entries: Vec<Entry> = lines("sigma/all-rules.jsonl.gz")?
                .iter()
                .map(|line| {
                    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
                    let source = LogSource::owned(line["product"].as_str(), line["category"].as_str(), line["service"].as_str());
                    let documents = line["docs"].as_u64().map_or(1, |n| n as usize);
                    Entry { path: text("path"), id: text("id"), title: text("title"), yaml: text("yaml"), source, documents }
                })
                .collect();
            let active: Vec<&Entry> = entries.iter().filter(|e| e.active()).collect();
            let sources: Vec<Source> = active.iter().map(|e| Source { path: e.path.clone(), text: e.yaml.clone() }).collect();
            let (set, _) = RuleSet::from_sources(&sources, &Mappings::none(), &Options::default());
            let titles = active.iter().map(|e| (e.id.clone(), e.title.clone())).collect();
            Some(Corpus { entries, set, titles })
        })
        .as_ref()
    }

    /// Rules the matrix holds an event against: all whose log source fits, save the folders it leaves out.
    pub fn candidates(&self, event: &Event) -> BTreeSet<&str> {
        let outside = |e: &&Entry| e.path.starts_with("rules-placeholder/") || e.path.starts_with("rules-compliance/");
        let fits = |e: &&Entry| e.active() && e.source.covers(&event.source);
        self.entries.iter().filter(fits).filter(|e| !outside(e)).map(|e| e.id.as_str()).collect()
    }

    pub fn title(&self, id: &str) -> &str {
        self.titles.get(id).map_or("", String::as_str)
    }
}

/// The lines of a JSON file, gzip or plain; None (and a SKIPPED line) where this machine has no data.
pub fn lines(path: &str) -> Option<Vec<Json>> {
    let bytes = std::fs::read(tests::data(path)?).expect("the data can be read");
    let mut text = String::new();
    if path.ends_with(".gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("gzip of UTF-8");
    } else {
        text = String::from_utf8(bytes).expect("UTF-8");
    }
    Some(text.lines().filter(|l| !l.trim().is_empty()).map(|l| serde_json::from_str(l).expect("a JSON line")).collect())
}

/// An event of the matrix: product, category, service and flat fields.
pub fn event(line: &Json) -> Arc<Event> {
    let source = LogSource::owned(line["product"].as_str(), line["category"].as_str(), line["service"].as_str());
    let mut event = Event::new(Timestamp::ZERO, Kind::Base, 0, source);
    for (name, value) in line["fields"].as_object().into_iter().flatten() {
        event.body.set(Name::from(name.as_str()), convert(value));
    }
    Arc::new(event)
}

pub fn convert(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(0.0)), Value::Int),
        Json::String(s) => Value::text(s),
        Json::Array(list) => Value::from(list.iter().map(convert).collect::<Vec<_>>()),
        Json::Object(_) => Value::text(&value.to_string()),
    }
}
