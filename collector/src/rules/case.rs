//! Rule tests as files: sequences of events with relative time, and what the rules must make of them.
//!
//! ```yaml
//! about: one line for people
//! rules: [../../config/rules]            # beside this file; else what --rules says
//! mappings: [../../config/mappings]
//! tests:
//!   - name: eight failures in a minute are guessing
//!     start: 2026-11-23T08:00:00Z        # what `at` counts from
//!     defaults: {logsource: {product: linux, service: sshd}, src_endpoint.ip: 203.0.113.9}
//!     events:
//!       - {at: 0s, every: 2s, times: 8, status_id: 2, user.name: root}
//!       - {at: 40s, line: 'sshd[7]: Accepted password for root from 203.0.113.9 port 22 ssh2', parser: sshd}
//!       - {file: more.jsonl}             # records with their own time
//!     arrival: time                      # or written: events arrive as they stand here, late ones late
//!     expect:
//!       - {rule: ssh_guessing, count: 1, at: 14s, where: {src_endpoint.ip: 203.0.113.9}}
//!     none: [port_scan]                  # must stay silent
//!     only: true                         # and so must every other rule that raises alerts
//! ```
//! A test without `expect` and `none` says that nothing may be raised. A folder with `hit.jsonl` and `miss.jsonl` is a test of the rule of
//! its own name: the first must raise it, the second must not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use event::{Event, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// Events of one test.
pub const EVENTS_MAX: usize = 200_000;
const FILE_BYTES_MAX: u64 = 64 << 20;
const FOLDER_DEPTH_MAX: usize = 16;

/// One test, ready to run.
#[derive(Debug)]
pub struct Case {
    pub file: PathBuf,
    /// Line the test begins at; 0 for a folder.
    pub line: usize,
    pub name: String,
    pub rules: Vec<PathBuf>,
    pub mappings: Vec<PathBuf>,
    pub start: Timestamp,
    pub events: Vec<Event>,
    pub expect: Vec<Expect>,
    pub none: Vec<String>,
    pub only: bool,
}

/// A finding that must be made.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Id, name or title.
    pub rule: String,
    /// How often; at least once if not said. A correlation that goes on counts once.
    #[serde(default)]
    pub count: Option<u64>,
    /// Event time of the first one, from the start.
    #[serde(default)]
    pub at: Option<String>,
    /// Values of its group, of what it states, or of its event.
    #[serde(default, rename = "where")]
    pub values: BTreeMap<String, Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "about")]
    _about: String,
    #[serde(default)]
    rules: Vec<PathBuf>,
    #[serde(default)]
    mappings: Vec<PathBuf>,
    tests: Vec<Test>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    name: String,
    #[serde(default, rename = "about")]
    _about: String,
    #[serde(default)]
    start: Option<String>,
    #[serde(default)]
    defaults: Map<String, Json>,
    events: Vec<Map<String, Json>>,
    #[serde(default)]
    arrival: Arrival,
    #[serde(default)]
    expect: Vec<Expect>,
    #[serde(default)]
    none: Vec<String>,
    #[serde(default)]
    only: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Arrival {
    #[default]
    Time,
    Written,
}

/// The tests of a file, or of every file and case folder below a folder.
pub fn read(path: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    if path.is_dir() {
        walk(path, 0, &mut cases)?;
        ensure!(!cases.is_empty(), "{}: no tests in it (files with 'tests:', folders with hit.jsonl and miss.jsonl)", path.display());
    } else {
        cases = file(path)?;
    }
    Ok(cases)
}

fn walk(folder: &Path, depth: usize, cases: &mut Vec<Case>) -> Result<()> {
    ensure!(depth < FOLDER_DEPTH_MAX, "{}: folders nested deeper than {FOLDER_DEPTH_MAX}", folder.display());
    let mut inside: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .with_context(|| folder.display().to_string())?;
    inside.sort();
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    for (file, hit) in [("hit.jsonl", true), ("miss.jsonl", false)] {
        let path = folder.join(file);
        if path.is_file() {
            let mut case = Case {
                line: 0,
                name: format!("{name} {}", if hit { "hit" } else { "miss" }),
                rules: Vec::new(),
                mappings: Vec::new(),
                start: Timestamp::ZERO,
                events: records(&path)?,
                expect: Vec::new(),
                none: Vec::new(),
                only: false,
                file: path,
            };
            case.start = case.events.first().map_or(Timestamp::ZERO, |e| e.time);
            if hit {
                case.expect.push(Expect { rule: name.clone(), ..Expect::default() });
            } else {
                case.none.push(name.clone());
            }
            cases.push(case);
        }
    }
    for path in inside {
        if path.is_dir() {
            walk(&path, depth + 1, cases)?;
        } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml") && says_tests(&path) {
            cases.extend(file(&path)?);
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    let bytes = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
    ensure!(bytes <= FILE_BYTES_MAX, "{}: {bytes} bytes, more than {FILE_BYTES_MAX}; split it", path.display());
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn says_tests(path: &Path) -> bool {
    text(path).is_ok_and(|t| t.lines().any(|l| l.starts_with("tests:")))
}

fn file(path: &Path) -> Result<Vec<Case>> {
    parse(path, &text(path)?)
}

/// The tests of a text; `path` is for messages and for what the text names beside it.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Case>> {
    let read: File = serde_yaml_ng::from_str(text).map_err(|e| {
        let at = e.location().map_or_else(String::new, |l| format!("{}:{}: ", l.line(), l.column()));
        anyhow::anyhow!("{}:{at}{e}", path.display())
    })?;
    let beside = |paths: &[PathBuf]| -> Vec<PathBuf> { paths.iter().map(|p| path.parent().unwrap_or(Path::new(".")).join(p)).collect() };
    let (rules, mappings) = (beside(&read.rules), beside(&read.mappings));
    let mut from = 0;
    read.tests
        .into_iter()
        .map(|test| {
            // The line its name stands in, sought after the one before.
            let found = text.lines().enumerate().skip(from).find(|(_, l)| l.contains("name:") && l.contains(test.name.as_str()));
            let line = found.map_or(from, |(n, _)| n + 1);
            from = line;
            let name = test.name.clone();
            case(path, line, test, &rules, &mappings).with_context(|| format!("{}:{line}: test '{name}'", path.display()))
        })
        .collect()
}

fn case(path: &Path, line: usize, test: Test, rules: &[PathBuf], mappings: &[PathBuf]) -> Result<Case> {
    let start = match &test.start {
        None => Timestamp::from_secs(1_767_225_600),
        Some(text) => Timestamp::parse_rfc3339(text).with_context(|| format!("start '{text}' is no RFC 3339 time"))?,
    };
    let mut events: Vec<Event> = Vec::new();
    let mut reader = proto::log::Reader::new();
    for (n, entry) in test.events.into_iter().enumerate() {
        let made = expand(path, start, &test.defaults, entry, &mut reader).with_context(|| format!("event {}", n + 1))?;
        ensure!(events.len() + made.len() <= EVENTS_MAX, "more than {EVENTS_MAX} events");
        events.extend(made);
    }
    if test.arrival == Arrival::Time {
        events.sort_by_key(|e| e.time);
    }
    for expect in &test.expect {
        if let Some(at) = &expect.at {
            duration(at).with_context(|| format!("expect {}: at '{at}' is no time from the start (14s, 1m30s, 500ms)", expect.rule))?;
        }
    }
    let only = test.only || (test.expect.is_empty() && test.none.is_empty());
    Ok(Case {
        file: path.to_owned(),
        line,
        name: test.name,
        rules: rules.to_vec(),
        mappings: mappings.to_vec(),
        start,
        events,
        expect: test.expect,
        none: test.none,
        only,
    })
}

/// One entry as the events it stands for.
fn expand(
    path: &Path,
    start: Timestamp,
    defaults: &Map<String, Json>,
    mut entry: Map<String, Json>,
    reader: &mut proto::log::Reader,
) -> Result<Vec<Event>> {
    let mut time = |key: &str| -> Result<Option<i64>> {
        match entry.remove(key) {
            None => Ok(None),
            Some(Json::Number(n)) => Ok(Some((n.as_f64().unwrap_or(0.0) * 1e9) as i64)),
            Some(Json::String(text)) => {
                Ok(Some(duration(&text).with_context(|| format!("{key}: '{text}' is no time (14s, 1m30s, 500ms)"))?))
            }
            Some(other) => bail!("{key}: {other} is no time (14s, 1m30s, 500ms)"),
        }
    };
    let (at, every) = (time("at")?, time("every")?);
    let times = match entry.remove("times") {
        None => 1,
        Some(n) => n.as_u64().filter(|n| *n > 0).with_context(|| format!("times: {n} is no count"))?,
    };
    ensure!(times as usize <= EVENTS_MAX, "times: more than {EVENTS_MAX}");
    ensure!(times == 1 || every.is_some(), "times needs 'every'");
    let word = |entry: &mut Map<String, Json>, key: &str| -> Result<Option<String>> {
        match entry.remove(key) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => bail!("{key}: {other} is no text"),
        }
    };
    if let Some(name) = word(&mut entry, "file")? {
        ensure!(entry.is_empty() && at.is_none(), "'file' stands alone: its records have their own fields and times");
        return records(&path.parent().unwrap_or(Path::new(".")).join(name));
    }
    let (line, parser) = (word(&mut entry, "line")?, word(&mut entry, "parser")?);
    let mut out = Vec::new();
    for n in 0..times {
        let offset = at.unwrap_or(0).saturating_add(every.unwrap_or(0).saturating_mul(i64::try_from(n).unwrap_or(i64::MAX)));
        let when = Timestamp::from_ns(start.ns().saturating_add(offset));
        let event = match &line {
            Some(text) => {
                let line = proto::log::Line {
                    bytes: text.as_bytes(),
                    received: when,
                    utc_offset_secs: 0,
                    format: parser.as_deref().filter(|p| *p != "auto"),
                };
                let (_, mut event) = reader.read(&line);
                if at.is_some() {
                    event.time = when;
                }
                for (name, value) in &entry {
                    event.body.set(event::Name::from(name.as_str()), plain(value));
                }
                event
            }
            None => {
                let mut record = defaults.clone();
                record.extend(entry.clone());
                record.insert("time".to_owned(), Json::String(when.to_string()));
                crate::explain::record(&Json::Object(record).to_string())?
            }
        };
        out.push(event);
    }
    Ok(out)
}

/// Records of a JSON lines file, each with its own time.
fn records(path: &Path) -> Result<Vec<Event>> {
    let text = text(path)?;
    let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    lines
        .map(|(n, line)| {
            let place = || format!("{}:{}", path.display(), n + 1);
            ensure!(n < EVENTS_MAX, "{}: more than {EVENTS_MAX} lines", path.display());
            crate::explain::record(line).with_context(place)
        })
        .collect()
}

fn plain(value: &Json) -> event::Value {
    match value {
        Json::String(text) => event::Value::text(text),
        Json::Number(n) => n.as_i64().map_or_else(|| event::Value::Float(n.as_f64().unwrap_or(0.0)), event::Value::Int),
        Json::Bool(b) => event::Value::Bool(*b),
        Json::Null => event::Value::Null,
        Json::Array(list) => event::Value::from(list.iter().map(plain).collect::<Vec<_>>()),
        Json::Object(_) => event::Value::text(&value.to_string()),
    }
}

/// `1m30s`, `500ms`, `2h`, `1d`, `-5s` as nanoseconds.
pub fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.trim().strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.trim()),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let (scale, unit) =
            [("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000), ("d", 86_400_000_000_000)]
                .into_iter()
                .find(|(unit, _)| rest.starts_with(unit))
                .map(|(unit, scale)| (scale, unit))?;
        rest = rest.get(unit.len()..)?;
        total = total.checked_add(number.checked_mul(scale)?)?;
    }
    Some(sign * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_digits_and_units() {
        for (text, seconds) in [("0s", 0.0), ("14s", 14.0), ("1m30s", 90.0), ("500ms", 0.5), ("-5s", -5.0), ("2h", 7200.0), ("1d", 86400.0)]
        {
            assert_eq!(duration(text), Some((seconds * 1e9) as i64), "{text}");
        }
        for text in ["", "-", "5", "s", "5 s", "5x", "99999999999999999999s", "９s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
