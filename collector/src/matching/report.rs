//! Findings as text: one JSON line each, one table row each, or nothing but counts.
//!
//! `{"rule":id,"title":…,"level":…,"line":n,"matches":[{"field":…,"value":…,"pattern":…}]}`; a correlation's finding has `type`, `group`,
//! `from`, `to`, `count`, `events` and `because` instead of `matches`. `file` stands before `line` where several files are read. The
//! author travels with every finding, as the licence of public rules (DRL 1.1) asks.

use std::fmt::Write;

use event::{Finding, Match, RuleMeta, Value, write_json_text};
use rule::Correlation;
use warning::AlertReason;
use warning::text::{Lang, render};

use crate::cli::Language;
use crate::cli::clean;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Jsonl,
    Table(Language),
    Count,
}

/// What a rule's findings begin with.
pub fn head(shape: Shape, meta: &RuleMeta) -> String {
    match shape {
        Shape::Count => String::new(),
        Shape::Table(lang) => {
            let title = if lang == Language::Zh && !meta.title_zh.is_empty() { &meta.title_zh } else { &meta.title };
            format!("{:<13}  {}", meta.severity.name(), clean(title))
        }
        Shape::Jsonl => {
            let mut out = String::from("{\"rule\":");
            write_json_text(&meta.id, &mut out);
            for (name, text) in [("title", &meta.title), ("title_zh", &meta.title_zh), ("author", &meta.author)] {
                if !text.is_empty() {
                    let _ = write!(out, ",\"{name}\":");
                    write_json_text(text, &mut out);
                }
            }
            let _ = write!(out, ",\"level\":\"{}\"", meta.severity.name());
            out
        }
    }
}

/// Appends a detection's finding.
pub fn finding(shape: Shape, head: &str, file: Option<&str>, line: u64, matches: &[Match], out: &mut Vec<u8>) {
    let mut text = String::with_capacity(head.len() + 96);
    match shape {
        Shape::Count => return,
        Shape::Jsonl => {
            text.push_str(head);
            place(file, Some(line), &mut text);
            text.push_str(",\"matches\":[");
            for (n, one) in matches.iter().enumerate() {
                text.push_str(if n == 0 { "{\"field\":" } else { ",{\"field\":" });
                write_json_text(&one.field, &mut text);
                text.push_str(",\"value\":");
                json_value(&one.value, &mut text);
                text.push_str(",\"pattern\":");
                write_json_text(&one.pattern, &mut text);
                text.push('}');
            }
            text.push_str("]}\n");
        }
        Shape::Table(_) => {
            let _ = write!(text, "{:<12}  {head}", at(file, Some(line)));
            for one in matches {
                let field = if one.field.is_empty() { "*" } else { &one.field };
                let _ = write!(text, "  {field}={} ({})", clean(&one.value.to_text()), clean(&one.pattern));
            }
            text.push('\n');
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// Appends a correlation's finding. `files` names the inputs where there are several.
pub fn correlated(shape: Shape, correlation: Option<&Correlation>, finding: &Finding, files: &[String], out: &mut Vec<u8>) {
    let head = head(shape, &finding.rule);
    let file = |id: &event::EventId| usize::try_from(id.agent.0).ok().and_then(|n| files.get(n.checked_sub(1)?)).map(String::as_str);
    let mut text = String::with_capacity(256);
    let reasons: Vec<AlertReason> = finding.reasons.iter().map(stored).collect();
    match shape {
        Shape::Count => return,
        Shape::Table(lang) => {
            let last = finding.evidence.last().map(|e| e.id);
            let _ = write!(text, "{:<12}  {head}", at(last.as_ref().and_then(file), last.map(|id| id.seq)));
            for (name, value) in group(correlation, finding) {
                let _ = write!(text, "  {name}={}", clean(&value.to_text()));
            }
            let lang = if lang == Language::Zh { Lang::Zh } else { Lang::En };
            for reason in &reasons {
                let _ = write!(text, "  {}", clean(&render(reason, lang)));
            }
            text.push('\n');
        }
        Shape::Jsonl => {
            text.push_str(&head);
            text.push_str(",\"type\":");
            write_json_text(correlation.map_or("", |c| c.kind.as_str()), &mut text);
            let deciding = finding.event.as_ref().map(|e| e.id);
            place(deciding.as_ref().and_then(file), deciding.map(|id| id.seq), &mut text);
            text.push_str(",\"group\":{");
            for (n, (name, value)) in group(correlation, finding).enumerate() {
                if n > 0 {
                    text.push(',');
                }
                write_json_text(name, &mut text);
                text.push(':');
                json_value(value, &mut text);
            }
            text.push('}');
            if let Some(span) = finding.span {
                let _ = write!(text, ",\"from\":\"{}\",\"to\":\"{}\"", span.from, span.to);
            }
            let _ = write!(text, ",\"count\":{},\"events\":[", finding.count);
            for (n, evidence) in finding.evidence.iter().enumerate() {
                text.push_str(if n == 0 { "{" } else { ",{" });
                let mut here = String::new();
                place(file(&evidence.id), Some(evidence.id.seq), &mut here);
                text.push_str(here.trim_start_matches(','));
                let _ = write!(text, ",\"time\":\"{}\"}}", evidence.time);
            }
            text.push_str("],\"because\":[");
            for (n, reason) in reasons.iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                write_json_text(&render(reason, Lang::En), &mut text);
            }
            text.push_str("]}\n");
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// What the correlation grouped by, under the names its rule uses.
pub fn group<'f>(correlation: Option<&'f Correlation>, finding: &'f Finding) -> impl Iterator<Item = (&'f str, &'f Value)> {
    let keys = correlation.map_or(&[][..], |c| c.group_by.as_slice());
    keys.iter().filter_map(|key| {
        let own = finding.facts.get_named(&key.name);
        let value = own.or_else(|| key.names.iter().flatten().find_map(|name| finding.facts.get_name(name)))?;
        Some((key.name.as_str(), value))
    })
}

/// A reason as it is stored, for rendering.
pub fn stored(reason: &event::Reason) -> AlertReason {
    let args = reason.args.iter().map(|(name, value)| {
        let mut text = String::new();
        json_value(value, &mut text);
        (name.to_string(), serde_json::from_str(&text).unwrap_or_default())
    });
    AlertReason { id: reason.id.to_string(), args: args.collect() }
}

fn place(file: Option<&str>, line: Option<u64>, out: &mut String) {
    if let Some(file) = file {
        out.push_str(",\"file\":");
        write_json_text(file, out);
    }
    if let Some(line) = line {
        let _ = write!(out, ",\"line\":{line}");
    }
}

fn at(file: Option<&str>, line: Option<u64>) -> String {
    match (file, line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (None, Some(line)) => line.to_string(),
        _ => String::new(),
    }
}

/// A value as JSON.
pub fn json_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Int(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Float(x) if x.is_finite() => {
            let _ = write!(out, "{x}");
        }
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::List(list) => {
            out.push('[');
            for (n, one) in list.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                json_value(one, out);
            }
            out.push(']');
        }
        other => write_json_text(&other.to_text(), out),
    }
}
