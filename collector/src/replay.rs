//! `vedette replay FILE…`: captures, logs and JSON lines through the very engine that serves.
//!
//! What a file is, its content says: a capture by its first bytes, JSON lines by a brace, anything else is log lines (and so are the
//! JSON records of Suricata, Wazuh and AMiner); gzip is unpacked on the way. The records' own time drives the clock, so a replay never waits and gives the same alerts every time. One record
//! from the future does not: a jump of more than `JUMP_S` is believed only if the next record is past it too.
//!
//! Each file is an agent of its own (its number from 1), each record has the number it has in its file, unless it says `agent.id` itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::{AgentId, Class, Epoch, Event, EventId, Finding, Kind, LogSource, Name, Severity, Timestamp, Value, field};
use serde_json::json;
use warning::text::{Lang, render};
use warning::{Alert, AlertState};

use crate::engine::{Engine, EngineOptions, Outcome};
use crate::register::Register;

/// What to replay and how.
#[derive(Debug, Clone, Default)]
pub struct ReplayArgs {
    pub files: Vec<PathBuf>,
    pub engine: EngineOptions,
    /// Units and assets to join by address, if wanted.
    pub register: Option<PathBuf>,
    /// Indicators of compromise looked for in every event: files, or folders of files.
    pub indicators: Vec<PathBuf>,
    /// Log format to assume instead of finding out (`syslog`, `access`, …).
    pub format: Option<String>,
    /// Print alerts as JSON lines (OCSF detection findings), newest state of each; else one line of text each.
    pub jsonl: bool,
    /// Events handed to the engine at once (0: a sensible number); changes nothing but speed.
    pub batch: usize,
}

/// Figures of a replay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReplaySummary {
    pub files: u64,
    pub bytes: u64,
    pub events: u64,
    pub findings: u64,
    /// By time of opening, then id; newest state of each.
    pub alerts: Vec<Alert>,
    /// Rules that were left out and files that were damaged, in words.
    pub problems: Vec<String>,
    /// Files that could not be read, or not to their end; each is named in `problems`.
    pub damaged: u64,
}

const JUMP_S: i64 = 3600;
const BATCH: usize = 256;
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Runs it; alerts go to `out`, progress (bytes done of all) to `progress`.
pub fn run(args: &ReplayArgs, out: &mut dyn Write, progress: &mut dyn FnMut(u64, u64)) -> anyhow::Result<ReplaySummary> {
    let (engine, problems) = Engine::load(&args.engine)?;
    let mut road = Road::new(engine, args)?;
    road.summary.problems.splice(0..0, problems);
    let total = args.files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
    for file in &args.files {
        road.file(file, args);
        progress(road.summary.bytes, total);
    }
    let summary = road.finish();
    for alert in &summary.alerts {
        writeln!(out, "{}", if args.jsonl { alert_ocsf_json(alert) } else { alert_text(alert) })?;
    }
    Ok(summary)
}

/// The way of events from files to the engine; tests use it with events of their own.
pub struct Road {
    engine: Engine,
    register: Register,
    indicators: indicator::Set,
    outcome: Outcome,
    batch: Vec<Arc<Event>>,
    batch_max: usize,
    clock: Timestamp,
    /// Looked at again when the next one is known.
    pending: Option<Event>,
    agent: AgentId,
    seq: u64,
    alerts: BTreeMap<String, Alert>,
    summary: ReplaySummary,
    /// Findings themselves, where somebody wants them.
    kept: Option<Vec<Finding>>,
}

/// Findings kept for those who want them.
const FINDINGS_MAX: usize = 100_000;

impl Road {
    fn new(engine: Engine, args: &ReplayArgs) -> anyhow::Result<Self> {
        let register = match &args.register {
            Some(path) => Register::load(path)?,
            None => Register::default(),
        };
        let known = crate::indicators::load(&args.indicators);
        let summary = ReplaySummary { problems: known.problems, damaged: u64::from(known.refused > 0), ..ReplaySummary::default() };
        Ok(Self { register, indicators: known.set, summary, ..Self::over(engine, args.batch) })
    }

    /// A road into an engine, without a register.
    pub fn over(engine: Engine, batch: usize) -> Self {
        Self {
            engine,
            register: Register::default(),
            indicators: indicator::Set::default(),
            outcome: Outcome::default(),
            batch: Vec::new(),
            batch_max: if batch == 0 { BATCH } else { batch },
            clock: Timestamp::MIN,
            pending: None,
            agent: AgentId(1),
            seq: 0,
            alerts: BTreeMap::new(),
            summary: ReplaySummary::default(),
            kept: None,
        }
    }

    /// Keeps the findings too, the first `FINDINGS_MAX` of them.
    #[must_use]
    pub fn keeping_findings(self) -> Self {
        Self { kept: Some(Vec::new()), ..self }
    }

    /// One file. What cannot be read is named in the summary; what was read before it stays, and the next file is read.
    fn file(&mut self, path: &Path, args: &ReplayArgs) {
        self.summary.files += 1;
        self.agent = AgentId(self.summary.files);
        self.seq = 0;
        if let Err(error) = self.read(path, args) {
            self.damaged(format!("{}: {error}", path.display()));
        }
        self.settle(None);
    }

    fn damaged(&mut self, what: String) {
        self.summary.damaged += 1;
        self.summary.problems.push(what);
    }

    fn read(&mut self, path: &Path, args: &ReplayArgs) -> io::Result<()> {
        let plain = File::open(path)?;
        let meta = plain.metadata()?;
        if meta.is_dir() {
            return Err(io::Error::other("it is a folder; name files"));
        }
        let mut plain = BufReader::new(plain);
        let mut reader: Box<dyn BufRead> = if plain.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        let head = reader.fill_buf()?;
        if agent::sensor::net::replay::is_capture(head) {
            drop(reader);
            self.summary.bytes += meta.len();
            let stats = agent::sensor::net::replay::replay(path, &mut |class, event| self.push(class, event)).map_err(io::Error::other)?;
            if let Some(defect) = stats.defect {
                self.damaged(format!("{}: {defect}; everything before it was replayed", path.display()));
            }
            return Ok(());
        }
        if head.is_empty() {
            self.summary.problems.push(format!("{}: it is empty", path.display()));
        }
        let modified = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        let received = Timestamp::from_secs(modified.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(0)));
        self.lines(reader, received, path, args)
    }

    fn lines(&mut self, mut reader: Box<dyn BufRead>, received: Timestamp, path: &Path, args: &ReplayArgs) -> io::Result<()> {
        let mut line = Vec::new();
        let (mut number, mut unreadable, mut long) = (0u64, 0u64, 0u64);
        let mut first = String::new();
        let mut sessions = proto::log::Reader::new();
        loop {
            line.clear();
            let read = reader
                .by_ref()
                .take(LINE_BYTES_MAX as u64)
                .read_until(b'\n', &mut line)
                .map_err(|error| io::Error::other(format!("{error}, after line {number}; everything before it was replayed")))?;
            if read == 0 {
                break;
            }
            number += 1;
            self.summary.bytes += read as u64;
            if read == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
                long += 1;
                self.summary.bytes += reader.skip_until(b'\n')? as u64;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let partner = || std::str::from_utf8(text).is_ok_and(proto::log::is_partner_record);
            if text.first() == Some(&b'{') && !partner() {
                match std::str::from_utf8(text).map_err(|e| e.to_string()).and_then(event_from_json) {
                    Ok(event) => self.push(Class::Normal, event),
                    Err(what) => {
                        unreadable += 1;
                        if unreadable == 1 {
                            first = format!("{}:{number}: {what}", path.display());
                        }
                    }
                }
            } else {
                let line = proto::log::Line { bytes: text, received, utc_offset_secs: 0, format: args.format.as_deref() };
                let (class, event) = sessions.read(&line);
                self.push(class, event);
            }
        }
        if unreadable > 0 {
            let more = if unreadable > 1 { format!(" (and {} more such lines)", unreadable - 1) } else { String::new() };
            self.damaged(format!("{first}{more}; the other lines were replayed"));
        }
        if long > 0 {
            self.summary
                .problems
                .push(format!("{}: {long} lines longer than {LINE_BYTES_MAX} bytes, their heads were read", path.display()));
        }
        Ok(())
    }

    /// Hands an event over; it reaches the engine when the next one or the end is known.
    pub fn push(&mut self, class: Class, mut event: Event) {
        self.seq += 1;
        let agent = event.get(field::AGENT_ID).and_then(Value::as_str).and_then(|t| t.parse().ok()).unwrap_or(self.agent);
        event.id = EventId { agent, epoch: Epoch(1), class, seq: self.seq };
        self.settle(Some(event));
    }

    fn settle(&mut self, next: Option<Event>) {
        let after = next.as_ref().map(|e| e.time);
        if let Some(mut event) = std::mem::replace(&mut self.pending, next) {
            let far = self.clock.plus_secs(JUMP_S);
            let believed = self.clock == Timestamp::MIN || event.time <= far || after.is_none_or(|t| t > far);
            if believed {
                self.clock = self.clock.max(event.time);
            }
            event.observed = self.clock;
            self.join(&mut event);
            indicator::mark(&self.indicators, &mut event);
            self.summary.events += 1;
            self.batch.push(Arc::new(event));
        }
        if self.batch.len() >= self.batch_max || (after.is_none() && !self.batch.is_empty()) {
            self.outcome.clear();
            self.engine.step(&self.batch, self.clock, &mut self.outcome);
            self.batch.clear();
            self.keep();
        }
    }

    /// Without an agent of its own, a record belongs to the unit whose network was spoken to, or spoke.
    fn join(&self, event: &mut Event) {
        if event.get(field::UNIT_ID).is_some() {
            return;
        }
        let ip = |f| event.get(f).and_then(Value::as_ip);
        let facts = [field::DEVICE_IP, field::DST_IP, field::SRC_IP].into_iter().filter_map(ip).map(|ip| self.register.address(ip));
        let Some(facts) = facts.into_iter().find(|f| f.unit.is_some()) else { return };
        if let Some(unit) = facts.unit {
            event.body.set(field::UNIT_ID, unit.id.as_str());
            event.body.set(field::UNIT_NAME, unit.name.as_str());
            event.body.set(field::UNIT_SECTOR, unit.sector.as_str());
        }
        if let Some(asset) = facts.asset {
            event.body.set(field::OBJECT_IMPORTANCE, asset.importance);
        }
    }

    fn keep(&mut self) {
        self.summary.findings += self.outcome.findings.len() as u64;
        if let Some(kept) = &mut self.kept {
            let room = FINDINGS_MAX.saturating_sub(kept.len());
            kept.extend(self.outcome.findings.drain(..).take(room));
        }
        for change in self.outcome.changes.drain(..) {
            let alert = change.alert().clone();
            self.alerts.insert(alert.id.0.clone(), alert);
        }
    }

    /// The end: windows close, the last state of every alert is known.
    pub fn finish(self) -> ReplaySummary {
        self.finish_with_findings().0
    }

    /// The same with the findings that were kept, in the order they were made.
    pub fn finish_with_findings(mut self) -> (ReplaySummary, Vec<Finding>) {
        self.settle(None);
        self.outcome.clear();
        self.engine.finish(&mut self.outcome);
        self.keep();
        self.summary.alerts = self.alerts.into_values().collect();
        self.summary.alerts.sort_by(|a, b| (a.opened_time, &a.id).cmp(&(b.opened_time, &b.id)));
        (self.summary, self.kept.unwrap_or_default())
    }
}

/// An event from a JSON object: flat with dotted names, or nested as OCSF writes it. Header keys are `time` (RFC 3339 or
/// milliseconds), `class_uid`, `activity_id`, `severity_id`, and `logsource` with `product`, `category` and `service` (also
/// as `metadata.log_source: "product/category/service"`); `unmapped` is taken apart; every other key is a field.
pub fn event_from_json(text: &str) -> Result<Event, String> {
    let parsed: serde_json::Value = serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?;
    let serde_json::Value::Object(map) = parsed else { return Err("not a JSON object".to_owned()) };
    let mut flat = Vec::new();
    flatten("", map, 0, &mut flat);
    let mut event = Event::new(Timestamp::ZERO, Kind::Base, 0, LogSource::default());
    let mut words = [None, None, None];
    let mut timed = false;
    // Only our own export writes the log source as three words; what it put in for OCSF's sake is no fact.
    let ours = flat.iter().any(|(name, value)| name == "metadata.log_source" && value.as_str().is_some_and(|t| t.split('/').count() >= 3));
    for (name, value) in flat {
        if ours && event::is_filler(&name, value.as_str(), value.as_i64()) {
            continue;
        }
        let name = name.strip_prefix("unmapped.").unwrap_or(&name);
        let number = || value.as_i64();
        match name {
            "time" => {
                let time = value.as_str().and_then(Timestamp::parse_rfc3339).or_else(|| number().map(Timestamp::from_ms));
                event.time = time.ok_or_else(|| format!("'time' is {value}; write RFC 3339 or milliseconds since 1970"))?;
                timed = true;
            }
            "class_uid" => event.kind = number().and_then(|n| Kind::from_class_uid(u16::try_from(n).ok()?)).unwrap_or(Kind::Base),
            "activity_id" => event.activity = number().and_then(|n| u8::try_from(n).ok()).unwrap_or(0),
            "severity_id" => event.severity = number().and_then(|n| Severity::from_u8(u8::try_from(n).ok()?)).unwrap_or_default(),
            "logsource.product" => words[0] = value.as_str().map(str::to_owned),
            "logsource.category" => words[1] = value.as_str().map(str::to_owned),
            "logsource.service" => words[2] = value.as_str().map(str::to_owned),
            "metadata.log_source" => {
                for (n, word) in value.as_str().unwrap_or_default().splitn(3, '/').enumerate().filter(|(_, w)| *w != "*") {
                    words[n] = Some(word.to_owned());
                }
            }
            "class_name" | "category_uid" | "type_uid" | "severity" | "metadata.version" | "metadata.uid" => {}
            _ => {
                let name = Name::from(name);
                let value = typed(&name, value);
                event.body.set(name, value);
            }
        }
    }
    if !timed {
        return Err("no 'time'".to_owned());
    }
    event.observed = event.time;
    event.source = LogSource::owned(words[0].as_deref(), words[1].as_deref(), words[2].as_deref());
    Ok(event)
}

fn flatten(above: &str, map: serde_json::Map<String, serde_json::Value>, depth: usize, out: &mut Vec<(String, serde_json::Value)>) {
    for (key, value) in map {
        let name = if above.is_empty() { key } else { format!("{above}.{key}") };
        match value {
            serde_json::Value::Object(inner) if depth < 8 => flatten(&name, inner, depth + 1, out),
            other => out.push((name, other)),
        }
    }
}

/// A JSON value in the shape its field has.
fn typed(name: &Name, value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null | serde_json::Value::Object(_) => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(b),
        serde_json::Value::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(0.0)), Value::Int),
        serde_json::Value::Array(list) => list.into_iter().map(|v| typed(name, v)).collect::<Vec<_>>().into(),
        serde_json::Value::String(text) => match name {
            Name::Known(f) if f.shape() == event::Shape::Ip => text.parse().map_or_else(|_| Value::text(&text), Value::Ip),
            _ => Value::from(text),
        },
    }
}

/// An alert as one OCSF detection finding (class 2004), with `src_endpoint` and `dst_endpoint` at its top although OCSF has them only
/// below `evidences`: every reader of alerts wants them there. Used by `-o jsonl`, the API and exports alike.
pub fn alert_ocsf_json(alert: &Alert) -> String {
    let ms = |ns: i64| Timestamp::from_ns(ns).ms();
    let (activity, status) = match alert.state {
        AlertState::Closed => (3, 4),
        AlertState::New => (if alert.revision > 1 { 2 } else { 1 }, 1),
        AlertState::Acknowledged | AlertState::Investigating | AlertState::Escalated => (2, 2),
    };
    let attacks: Vec<serde_json::Value> = alert.techniques.iter().map(|t| json!({ "technique": { "uid": t } })).collect();
    let reasons: Vec<serde_json::Value> = alert
        .reasons
        .iter()
        .map(|r| json!({ "id": r.id, "args": r.args, "text": render(r, Lang::En), "text_zh": render(r, Lang::Zh) }))
        .collect();
    let mut finding = json!({
        "time": ms(alert.last_time),
        "class_uid": 2004, "class_name": "detection_finding", "category_uid": 2,
        "activity_id": activity, "type_uid": 200_400 + activity, "status_id": status,
        "severity_id": alert.severity_id, "severity": alert.severity().name(),
        "metadata": { "version": "1.8.0", "uid": alert.id, "profiles": ["security_control"], "product": { "name": "Vedette", "vendor_name": "Vedette" } },
        "finding_info": {
            "uid": alert.id, "title": alert.title, "desc": alert.description,
            "analytic": { "uid": alert.rule_id, "name": alert.title, "type_id": 1 },
            "attacks": attacks,
            "first_seen_time": ms(alert.first_time), "last_seen_time": ms(alert.last_time),
            "created_time": ms(alert.opened_time), "modified_time": ms(alert.updated_time),
        },
        "attacks": attacks,
        "count": alert.event_count,
        "evidences": alert.evidence.iter().map(|id| json!({ "uid": id, "data": { "event": id } })).collect::<Vec<_>>(),
        "unmapped": {
            "rule_id": alert.rule_id, "title_zh": alert.title_zh, "reasons": reasons, "group_key": alert.group_key,
            "source_ips": alert.source_ips, "target_ips": alert.target_ips, "users": alert.users, "hosts": alert.hosts,
            "unit": alert.units.iter().map(|u| &u.id).collect::<Vec<_>>(),
            "sector": alert.units.iter().map(|u| &u.sector).collect::<Vec<_>>(),
            "finding_count": alert.finding_count, "revision": alert.revision, "tactics": alert.tactics,
        },
    });
    if let Some(map) = finding.as_object_mut() {
        if let Some(ip) = alert.source_ips.first() {
            map.insert("src_endpoint".into(), json!({ "ip": ip }));
        }
        if let Some(ip) = alert.target_ips.first() {
            map.insert("dst_endpoint".into(), json!({ "ip": ip }));
        }
        if let Some(host) = alert.hosts.first() {
            map.insert("device".into(), json!({ "hostname": host, "type_id": 0 }));
        }
    }
    finding.to_string()
}

/// One line for a terminal.
fn alert_text(alert: &Alert) -> String {
    let who = |list: &[String]| match list {
        [] => "-".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    };
    let reasons: Vec<String> = alert.reasons.iter().map(|r| render(r, Lang::En)).collect();
    format!(
        "{}  {:<13}  {}  {} -> {}  {}",
        Timestamp::from_ns(alert.first_time),
        alert.severity().name(),
        alert.title,
        who(&alert.source_ips),
        who(if alert.target_ips.is_empty() { &alert.hosts } else { &alert.target_ips }),
        reasons.join("; ")
    )
}
