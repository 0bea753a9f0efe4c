//! A scenario in event time: rows as the tools write them, through the log reader and the engine, and what a person was told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use collector::engine::{Engine, Outcome};
use event::{AgentId, Class, Epoch, Event, EventId, Severity, Timestamp, field};
use proto::log::{Line, Reader};
use rule::{Mappings, Options, RuleSet};
use serde_json::json;

use crate::rules::harness;

/// A row of the data. The label is for scoring and goes nowhere else.
pub struct Row {
    pub time: i64,
    name: String,
    ip: String,
    host: String,
    pub event_label: String,
}

/// What became of an alert over its whole life.
pub struct Told {
    pub rule: String,
    pub key: String,
    pub severity: Severity,
    /// When it was opened, and when it first was of at least medium; seconds.
    pub opened: i64,
    pub warned: Option<i64>,
    pub events: u64,
    pub techniques: Vec<String>,
    /// Rows shown as evidence in any of its states.
    pub evidence: BTreeSet<usize>,
}

pub fn rows(path: &Path) -> Vec<Row> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let mut rows: Vec<Row> = text.lines().skip(1).map(row).collect();
    rows.sort_by_key(|r| r.time);
    rows
}

/// `time,name,ip,host,short,time_label,event_label`; a name with a comma is quoted.
fn row(line: &str) -> Row {
    let (time, rest) = line.split_once(',').unwrap();
    let (name, rest) = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once("\",").unwrap(),
        None => rest.split_once(',').unwrap(),
    };
    let columns: Vec<&str> = rest.split(',').collect();
    assert_eq!(columns.len(), 5, "{line}");
    Row {
        time: time.parse::<f64>().unwrap() as i64,
        name: name.replace("\"\"", "\""),
        ip: columns[0].into(),
        host: columns[1].into(),
        event_label: columns[4].into(),
    }
}

/// The row as its tool writes it: Suricata's alerts reached Wazuh, which tells of them in its own form.
fn record(row: &Row) -> String {
    let (tool, name) = row.name.split_once(": ").unwrap();
    let time = Timestamp::from_secs(row.time).to_string();
    match (tool, name.strip_prefix("Alert - ")) {
        ("Suricata", Some(signature)) => json!({
            "timestamp": time, "rule": {"description": format!("Suricata: Alert - {signature}"), "id": "86601"},
            "agent": {"name": row.host, "ip": row.ip}, "data": {"event_type": "alert", "alert": {"signature": signature}},
        }),
        ("Wazuh", _) => json!({ "timestamp": time, "rule": {"description": name}, "agent": {"name": row.host, "ip": row.ip} }),
        ("AMiner", _) => json!({
            "AnalysisComponent": {"AnalysisComponentName": format!("AMiner: {name}")},
            "LogData": {"Timestamps": [row.time]}, "AMiner": {"ID": row.ip},
        }),
        _ => panic!("no tool of ours: {}", row.name),
    }
    .to_string()
}

fn shipped() -> Arc<RuleSet> {
    static ONCE: OnceLock<Arc<RuleSet>> = OnceLock::new();
    let load = || {
        let options = harness::options();
        let (mappings, errors) = Mappings::load(&[options.mappings.unwrap_or_default()]);
        assert_eq!(errors, []);
        let (rules, errors) = RuleSet::load(&options.rules, &mappings, &Options::default());
        assert_eq!(errors, []);
        Arc::new(rules)
    };
    Arc::clone(ONCE.get_or_init(load))
}

/// Plays the rows as one unit's, read on one host by its agent. Returns the alerts in order of opening and how many findings there were.
pub fn play(unit: &str, rows: &[Row]) -> (Vec<Told>, u64) {
    let rules = shipped();
    let names: BTreeMap<String, String> = rules
        .rules()
        .iter()
        .chain(rules.correlations().iter().map(|c| &c.meta))
        .filter_map(|m| Some((m.id.clone(), m.name.clone()?)))
        .collect();
    let (mut engine, errors) = Engine::with_rules(rules);
    assert!(errors.is_empty());
    let mut reader = Reader::new();
    let mut told: BTreeMap<(i64, String), Told> = BTreeMap::new();
    let mut out = Outcome::default();
    for (batch, part) in rows.chunks(256).enumerate() {
        let events: Vec<Arc<Event>> =
            part.iter().enumerate().map(|(n, row)| Arc::new(read(&mut reader, unit, row, batch * 256 + n))).collect();
        engine.step(&events, Timestamp::from_secs(part.last().map_or(0, |r| r.time)), &mut out);
        keep(&mut out, &names, &mut told);
    }
    engine.finish(&mut out);
    keep(&mut out, &names, &mut told);
    (told.into_values().collect(), engine.counters().findings)
}

/// As the collector has it after ingest: read by the agent's log reader, joined with the register's unit.
fn read(reader: &mut Reader, unit: &str, row: &Row, n: usize) -> Event {
    let time = Timestamp::from_secs(row.time);
    let line = record(row);
    let (class, mut event) = reader.read(&Line { bytes: line.as_bytes(), received: time, utc_offset_secs: 0, format: None });
    assert_eq!((event.source.category.as_deref(), event.time), (Some("alert"), time), "{line}");
    event.observed = time;
    event.id = EventId { agent: AgentId(1), epoch: Epoch(1), class: Class::Normal, seq: n as u64 };
    assert_eq!(class, Class::Normal);
    event.body.set(field::AGENT_ID, AgentId(1).to_string());
    event.body.set(field::DEVICE_HOSTNAME, "siem");
    event.body.set(field::RECEIVED_TIME, time.ms());
    event.body.set(field::UNIT_ID, unit);
    event
}

fn keep(out: &mut Outcome, names: &BTreeMap<String, String>, told: &mut BTreeMap<(i64, String), Told>) {
    for change in &out.changes {
        let alert = change.alert();
        let entry = told.entry((alert.opened_time, alert.id.0.clone())).or_insert_with(|| Told {
            rule: names.get(&alert.rule_id).cloned().unwrap_or_else(|| alert.rule_id.clone()),
            key: alert.group_key.values().cloned().collect::<Vec<_>>().join(" "),
            severity: alert.severity(),
            opened: Timestamp::from_ns(alert.opened_time).secs(),
            warned: None,
            events: 0,
            techniques: alert.techniques.clone(),
            evidence: BTreeSet::new(),
        });
        entry.severity = entry.severity.max(alert.severity());
        entry.events = alert.event_count;
        if alert.severity() >= Severity::Medium && entry.warned.is_none() {
            entry.warned = Some(Timestamp::from_ns(alert.updated_time).secs());
        }
        entry.evidence.extend(alert.evidence.iter().filter_map(|id| id.rsplit('-').next()?.parse::<usize>().ok()));
    }
    out.clear();
}
