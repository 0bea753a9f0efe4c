//! Lines of JSON as events: for `vedette match`, where fields are taken as they are named.
//!
//! An object's members are fields; members of an inner object are fields under their path (`a.b`). The log source comes from the
//! members `product`, `category`, `service` (or `logsource.product`, …) unless the caller says otherwise.

use event::{Event, Kind, LogSource, Match, Name, Timestamp, Value};
use serde_json::Value as Json;

use crate::matcher::Scratch;
use crate::set::RuleSet;

/// Bytes of one line; longer ones are refused.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Where a line's log source comes from.
#[derive(Debug, Clone)]
pub struct Routing {
    /// Words that hold whatever the event says; those left out are read from the event.
    pub given: LogSource,
    /// Read words from the event at all.
    pub from_event: bool,
}

impl Default for Routing {
    fn default() -> Self {
        Self { given: LogSource::default(), from_event: true }
    }
}

/// A line that is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {what}")]
pub struct BadLine {
    /// Byte of the line, from 1.
    pub column: usize,
    pub what: &'static str,
}

impl RuleSet {
    /// Room for one thread's work on lines; reused from line to line, it grows to the largest line met.
    pub fn scratch(&self) -> Scratch {
        Scratch::new(&self.program)
    }

    /// Replaces `out` by the numbers (into `rules()`, ascending) of the rules a line matches.
    pub fn matches_json(&self, line: &[u8], routing: &Routing, scratch: &mut Scratch, out: &mut Vec<u32>) -> Result<(), BadLine> {
        let _ = scratch;
        out.clear();
        let event = std::sync::Arc::new(json_event(line, routing, Timestamp::ZERO)?);
        let mut findings = Vec::new();
        self.detect(&event, &mut findings);
        out.extend(findings.iter().filter_map(|f| Some(u32::try_from(self.rules().iter().position(|m| m.id == f.rule.id)?).unwrap_or(0))));
        Ok(())
    }

    /// The conditions that made a rule match a line, as `detect` puts them into a finding; empty where it does not match.
    pub fn reasons_json(&self, line: &[u8], routing: &Routing, rule: u32, scratch: &mut Scratch) -> Result<Vec<Match>, BadLine> {
        let _ = scratch;
        let event = std::sync::Arc::new(json_event(line, routing, Timestamp::ZERO)?);
        let mut findings = Vec::new();
        self.detect(&event, &mut findings);
        let id = self.rules().get(rule as usize).map(|m| m.id.as_str()).unwrap_or_default();
        Ok(findings.into_iter().find(|f| f.rule.id == id).map(|f| f.matches).unwrap_or_default())
    }
}

/// The line as an event, for what looks at events over time; all fields are kept, within an event's limits.
pub fn json_event(line: &[u8], routing: &Routing, time: Timestamp) -> Result<Event, BadLine> {
    if line.len() > LINE_BYTES_MAX {
        return Err(BadLine { column: LINE_BYTES_MAX, what: "the line is too long" });
    }
    let json: Json = serde_json::from_slice(line).map_err(|e| BadLine { column: e.column(), what: "not JSON" })?;
    let Json::Object(fields) = &json else { return Err(BadLine { column: 1, what: "not a JSON object" }) };
    let word = |name: &str, given: &Option<std::borrow::Cow<'static, str>>| {
        let read = || json.get(name).or_else(|| json.get("logsource")?.get(name)).and_then(Json::as_str).map(str::to_owned);
        given.as_deref().map(str::to_owned).or_else(|| if routing.from_event { read() } else { None })
    };
    let (product, category, service) =
        (word("product", &routing.given.product), word("category", &routing.given.category), word("service", &routing.given.service));
    let source = LogSource::owned(product.as_deref(), category.as_deref(), service.as_deref());
    let mut event = Event::new(time, Kind::Base, 0, source);
    let mut path = String::new();
    for (name, value) in fields {
        set(&mut event, &mut path, name, value);
    }
    Ok(event)
}

fn set(event: &mut Event, path: &mut String, name: &str, value: &Json) {
    let before = path.len();
    if before > 0 {
        path.push('.');
    }
    path.push_str(name);
    match value {
        Json::Object(inner) => inner.iter().for_each(|(n, v)| set(event, path, n, v)),
        _ => event.body.set(Name::from(path.as_str()), convert(value)),
    }
    path.truncate(before);
}

fn convert(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(0.0)), Value::Int),
        Json::String(s) => Value::text(s),
        Json::Array(list) => Value::from(list.iter().map(convert).collect::<Vec<_>>()),
        Json::Object(_) => Value::List(Box::default()),
    }
}
