//! `vedette explain`: one line or record through the parser and the rules, and what each rule made of it.
//!
//! Every rule of the event's log source is asked by the engine itself (`RuleSet::explain`). One that matched shows the conditions that
//! made it; one that did not shows the fewest conditions that would have to change, and the list begins with the rule that lacks least:
//! the nearest miss. What a rule feeds into is said too, because one event of eight is no alert yet.
//!
//! Limits: `EVENTS_MAX` lines of standard input; conditions shown a rule are `CONDITIONS_MAX`.

use std::fmt::Write as _;
use std::io::{BufRead, Read};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use event::{Event, LogSource, RuleMeta, Timestamp, Value};
use rule::{Correlation, Explanation, Node, RuleSet};
use serde_json::{Value as Json, json};

use crate::cli::{Format, Global, Language, clean, exit};
use crate::matching::{ecs_source, json_value, speaks_sigma};
use crate::rulebook::{self, RuleArgs};

/// Lines of standard input that are explained.
const EVENTS_MAX: usize = 1_000;
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Conditions shown of one rule.
const CONDITIONS_MAX: usize = 24;

/// Say what a line or record becomes and what every rule makes of it: matched, or the nearest miss
///
///   vedette explain --line 'Nov 23 11:00:00 web1 sshd[7]: Failed password for root from 192.0.2.1 port 22 ssh2'
///   vedette explain --event '{"product":"linux","category":"process_creation","CommandLine":"cat /etc/shadow"}' -o json
/// Exit code: 0 no rule matched, 1 one did, 2 bad input.
#[derive(Debug, Clone, Args)]
#[command(verbatim_doc_comment)]
pub struct ExplainArgs {
    /// A log line as a program wrote it; - reads lines from standard input
    #[arg(long, value_name = "TEXT", conflicts_with = "event", required_unless_present = "event")]
    line: Option<String>,
    /// An event as JSON: ours, Sigma's names, or ECS; - reads one a line from standard input
    #[arg(long, value_name = "JSON")]
    event: Option<String>,
    /// Format of the line (sshd, sudo, access, …) in place of finding out
    #[arg(long, value_name = "NAME", default_value = "auto")]
    parser: String,
    /// Log source of the event, whatever it says itself: product
    #[arg(long, value_name = "WORD")]
    product: Option<String>,
    /// Likewise its category
    #[arg(long, value_name = "WORD")]
    category: Option<String>,
    /// Likewise its service
    #[arg(long, value_name = "WORD")]
    service: Option<String>,
    /// Only this rule, by id or name; also if it is about another log source
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// How many rules that did not match are shown, nearest first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5)]
    misses: usize,
    #[command(flatten)]
    rules: RuleArgs,
}

/// What one rule made of an event.
#[derive(Debug)]
pub struct Verdict {
    pub explanation: Explanation,
    /// Conditions that would have to change for the rule to match; 0 where it matched.
    pub short: usize,
    /// Those conditions; for a match, the ones that made it.
    pub conditions: Vec<Condition>,
}

/// One condition of a verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub label: String,
    pub holds: bool,
    /// The value seen; None where the event has no such field.
    pub value: Option<Value>,
}

/// Asks every rule of the event's log source (or the one named): matches first, then the nearest misses, then by severity and title.
pub fn verdicts(rules: &RuleSet, event: &Event, only: Option<&str>) -> Vec<Verdict> {
    let asked: Vec<String> = match only {
        Some(one) => vec![one.to_owned()],
        None => rules.rules_for(&event.source).iter().map(|m| m.id.clone()).collect(),
    };
    let mut all: Vec<Verdict> = asked.iter().filter_map(|id| rules.explain(event, id)).map(verdict).collect();
    all.sort_by(|a, b| {
        let key = |v: &Verdict| (!v.explanation.matched, v.short, std::cmp::Reverse(v.explanation.rule.severity as u8));
        key(a).cmp(&key(b)).then_with(|| a.explanation.rule.title.cmp(&b.explanation.rule.title))
    });
    all
}

fn verdict(explanation: Explanation) -> Verdict {
    let mut needed = Vec::new();
    let short = needs(&explanation.tree, true, &mut needed);
    let mut conditions: Vec<&Node> = needed;
    if short == 0 {
        conditions.clear();
        made(&explanation.tree, &mut conditions);
    }
    let conditions = conditions
        .into_iter()
        .take(CONDITIONS_MAX)
        .map(|n| Condition { label: n.label.clone(), holds: n.holds, value: n.value.clone() })
        .collect();
    Verdict { explanation, short, conditions }
}

/// The fewest leaves that would have to change for `node` to be as wanted; they are appended to `out`.
fn needs<'n>(node: &'n Node, wanted: bool, out: &mut Vec<&'n Node>) -> usize {
    if node.holds == wanted {
        return 0;
    }
    if node.children.is_empty() {
        out.push(node);
        return 1;
    }
    if node.label == "not" {
        return node.children.iter().map(|c| needs(c, !wanted, out)).sum();
    }
    // To make an `or` true, or an `and` false, one child is enough: the one that lacks least.
    if (node.label == "or") == wanted {
        let mut best: Option<(usize, Vec<&Node>)> = None;
        for child in &node.children {
            let mut mine = Vec::new();
            let cost = needs(child, wanted, &mut mine);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, mine));
            }
        }
        let (cost, mine) = best.unwrap_or_default();
        out.extend(mine);
        return cost;
    }
    node.children.iter().map(|c| needs(c, wanted, out)).sum()
}

/// The leaves that made a node true, those under a `not` left out.
fn made<'n>(node: &'n Node, out: &mut Vec<&'n Node>) {
    if !node.holds || node.label == "not" {
        return;
    }
    if node.children.is_empty() {
        out.push(node);
    }
    node.children.iter().for_each(|c| made(c, out));
}

pub fn command(args: &ExplainArgs, global: &Global) -> ExitCode {
    match run(args, global) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(exit::BAD_INPUT)
        }
    }
}

fn run(args: &ExplainArgs, global: &Global) -> Result<u8> {
    ensure!(!matches!(global.output, Format::Csv | Format::Navigator | Format::Count), "explain prints text, json or jsonl");
    let book = args.rules.or_found()?.load()?;
    rulebook::tell(&book.faults);
    let rules = &book.rules;
    if let Some(word) = &args.rule {
        let known = rules.rules().iter().any(|m| m.id == *word || m.name.as_deref() == Some(word));
        ensure!(known, "--rule '{word}': no detection rule has this id or name");
    }
    let given = LogSource::owned(args.product.as_deref(), args.category.as_deref(), args.service.as_deref());
    let mut events = Vec::new();
    match (&args.line, &args.event) {
        (Some(text), _) => {
            let mut reader = proto::log::Reader::new();
            let format = Some(args.parser.as_str()).filter(|p| *p != "auto");
            for line in texts(text)? {
                let line = proto::log::Line { bytes: line.as_bytes(), received: crate::clock::now(), utc_offset_secs: 0, format };
                events.push(reader.read(&line).1);
            }
        }
        (None, Some(text)) => {
            for line in texts(text)? {
                events.push(record(&line)?);
            }
        }
        (None, None) => bail!("give --line or --event"),
    }
    ensure!(!events.is_empty(), "nothing to explain: standard input is empty");
    let mut matched = false;
    let mut out = String::new();
    let mut all = Vec::new();
    for mut event in events {
        for (word, slot) in [
            (&given.product, &mut event.source.product),
            (&given.category, &mut event.source.category),
            (&given.service, &mut event.source.service),
        ] {
            if word.is_some() {
                slot.clone_from(word);
            }
        }
        let verdicts = verdicts(rules, &event, args.rule.as_deref());
        matched |= verdicts.iter().any(|v| v.explanation.matched);
        match global.output {
            Format::Table => text(&event, &verdicts, rules, args, global.lang.decided(), &mut out),
            _ => all.push(object(&event, &verdicts, rules, args)),
        }
    }
    match global.output {
        Format::Jsonl => all.iter().for_each(|v| out.push_str(&format!("{v}\n"))),
        Format::Table => {}
        _ => out = format!("{:#}\n", if let [one] = all.as_slice() { one.clone() } else { Json::Array(all) }),
    }
    crate::cli::write(&out);
    let code = if book.faults.is_empty() { u8::from(matched) } else { exit::BAD_INPUT };
    Ok(code)
}

/// The text itself, or the lines of standard input.
fn texts(text: &str) -> Result<Vec<String>> {
    if text != "-" {
        return Ok(vec![text.to_owned()]);
    }
    let mut lines = Vec::new();
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).context("cannot read standard input")?;
        if read == 0 {
            return Ok(lines);
        }
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
        if !line.trim().is_empty() {
            ensure!(lines.len() < EVENTS_MAX, "more than {EVENTS_MAX} lines; `vedette match` reads streams");
            lines.push(line);
        }
    }
}

/// A record in any of the ways we read: our own (it has `class_uid`, or a log source and `time`), Sigma's names, ECS.
pub fn record(text: &str) -> Result<Event> {
    let json: Json = serde_json::from_str(text).context("--event is not JSON")?;
    ensure!(json.is_object(), "--event is no JSON object");
    let ours = json.get("class_uid").is_some() || json.get("logsource").is_some() || json.pointer("/metadata/log_source").is_some();
    if ours && json.get("time").is_some() {
        return crate::replay::event_from_json(text).map_err(|what| anyhow::anyhow!("--event: {what}"));
    }
    let routing =
        if speaks_sigma(&json) { rule::Routing::default() } else { rule::Routing { given: ecs_source(&json), from_event: false } };
    let mut event = rule::json_event(text.as_bytes(), &routing, Timestamp::ZERO).context("--event")?;
    if let Some(time) = crate::matching::time_of(&event, None) {
        event.time = time;
        event.observed = time;
    }
    Ok(event)
}

/// Correlations that listen to a rule, in words.
fn feeds<'r>(rules: &'r RuleSet, meta: &RuleMeta) -> Vec<&'r Correlation> {
    rules.correlations().iter().filter(|c| c.rules.iter().any(|r| r.id == meta.id)).collect()
}

/// `event_count >= 8 within 60 s by src_endpoint.ip`.
pub fn says(correlation: &Correlation) -> String {
    let mut out = correlation.kind.clone();
    for bound in &correlation.condition {
        let sign = match bound.operator.word() {
            "gt" => ">",
            "gte" => "≥",
            "lt" => "<",
            "lte" => "≤",
            "eq" => "=",
            _ => "≠",
        };
        let _ = write!(out, " {sign} {}", bound.value);
    }
    let names = |keys: &[rule::GroupKey]| keys.iter().map(|k| k.name.clone()).collect::<Vec<_>>().join(", ");
    if !correlation.fields.is_empty() {
        let _ = write!(out, " ({})", names(&correlation.fields));
    }
    let _ = write!(out, " / {} s", correlation.timespan_ns / event::SECOND_NS);
    if !correlation.group_by.is_empty() {
        let _ = write!(out, " / {}", names(&correlation.group_by));
    }
    out
}

fn shown<'v>(verdicts: &'v [Verdict], args: &ExplainArgs) -> impl Iterator<Item = &'v Verdict> {
    let misses = args.misses;
    let hits = verdicts.iter().filter(|v| v.explanation.matched).count();
    verdicts.iter().take(hits.saturating_add(misses))
}

fn value_json(value: &Value) -> Json {
    let mut text = String::new();
    json_value(value, &mut text);
    serde_json::from_str(&text).unwrap_or_default()
}

/// A verdict as data.
pub fn verdict_json(verdict: &Verdict) -> Json {
    let Verdict { explanation, short, conditions } = verdict;
    let meta = &explanation.rule;
    json!({
        "rule": meta.id, "name": meta.name, "title": meta.title, "title_zh": meta.title_zh, "level": meta.severity.name(), "path": meta.path,
        "matched": explanation.matched, "source_fits": explanation.source_fits, "silent": explanation.silent, "short": short,
        "conditions": conditions.iter().map(|c| json!({
            "condition": c.label, "holds": c.holds, "present": c.value.is_some(), "value": c.value.as_ref().map(value_json),
        })).collect::<Vec<_>>(),
    })
}

fn object(event: &Event, verdicts: &[Verdict], rules: &RuleSet, args: &ExplainArgs) -> Json {
    let fields: serde_json::Map<String, Json> = event.body.iter().map(|(n, v)| (n.as_str().to_owned(), value_json(v))).collect();
    let listed: Vec<Json> = shown(verdicts, args)
        .map(|v| {
            let mut one = verdict_json(v);
            let fed = feeds(rules, &v.explanation.rule);
            one["feeds"] = fed.iter().map(|c| json!({"rule": c.meta.id, "title": c.meta.title, "says": says(c)})).collect();
            one
        })
        .collect();
    json!({
        "event": {"time": event.time.to_string(), "class": event.kind.name(), "log_source": event.source.to_string(), "fields": fields},
        "asked": verdicts.len(), "matched": verdicts.iter().filter(|v| v.explanation.matched).count(), "rules": listed,
    })
}

fn text(event: &Event, verdicts: &[Verdict], rules: &RuleSet, args: &ExplainArgs, lang: Language, out: &mut String) {
    let zh = lang == Language::Zh;
    let say = |en: &'static str, chinese: &'static str| if zh { chinese } else { en };
    let _ = writeln!(out, "{}  {}  {}  {}", say("parsed as", "解析为"), event.source, event.kind.name(), event.time);
    for (name, value) in event.body.iter() {
        let _ = writeln!(out, "  {:<28} {}", name.as_str(), clean(&value.to_text()));
    }
    let hits = verdicts.iter().filter(|v| v.explanation.matched).count();
    if zh {
        let _ = writeln!(out, "规则  共询问 {} 条，命中 {hits} 条", verdicts.len());
    } else {
        let _ = writeln!(out, "rules  {} asked, {hits} matched", verdicts.len());
    }
    if verdicts.is_empty() {
        let _ = writeln!(out, "  {} {}", say("no rule is about", "没有规则针对"), event.source);
    }
    for verdict in shown(verdicts, args) {
        let Verdict { explanation, short, conditions } = verdict;
        let meta = &explanation.rule;
        let title = if zh && !meta.title_zh.is_empty() { &meta.title_zh } else { &meta.title };
        let name = meta.name.as_deref().unwrap_or(&meta.id);
        let mark = if explanation.matched { "✓" } else { "✗" };
        let _ = write!(out, "{mark} {}  ({name}, {})", clean(title), meta.severity.name());
        match (explanation.matched, short, zh) {
            (true, ..) | (false, 0, _) => {}
            (_, 1, false) => out.push_str("  1 condition short"),
            (_, n, false) => drop(write!(out, "  {n} conditions short")),
            (_, n, true) => drop(write!(out, "  差 {n} 个条件")),
        }
        out.push('\n');
        if !explanation.source_fits {
            let _ = writeln!(out, "    {} {}", say("the rule is about", "该规则针对"), explanation.sources.join(", "));
        }
        if let Some(why) = &explanation.silent {
            let _ = writeln!(out, "    {} {}", say("the rule stays silent:", "该规则不生效："), clean(why));
        }
        for c in conditions {
            let _ = write!(out, "    {} {}", if c.holds { "+" } else { "-" }, clean(&c.label));
            match &c.value {
                Some(value) => drop(writeln!(out, "   [{}]", clean(&value.to_text()))),
                None if c.label.starts_with("message ") => out.push('\n'),
                None => drop(writeln!(out, "   [{}]", say("no such field", "没有该字段"))),
            }
        }
        if explanation.matched {
            for c in feeds(rules, meta) {
                let title = if zh && !c.meta.title_zh.is_empty() { &c.meta.title_zh } else { &c.meta.title };
                let _ = writeln!(out, "    {} {}: {}", say("counts towards", "计入"), clean(title), says(c));
            }
        }
    }
    let left = verdicts.len().saturating_sub(hits.saturating_add(args.misses));
    if left > 0 {
        if zh {
            let _ = writeln!(out, "另有 {left} 条相差更远（用 -n 显示）");
        } else {
            let _ = writeln!(out, "{left} more, further off (-n shows them)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rule::{Mappings, Options, Source};

    const RULE: &str = "title: t\nid: 5c0d62a5-6a0e-4f4c-8a43-2f3b7a3d6a01\nlogsource:\n  category: x\ndetection:\n  a:\n    f: 1\n    g: 2\n  b:\n    h|contains:\n      - one\n      - two\n  no:\n    k: 9\n  condition: (a or b) and not no\n";

    fn asked(event: &[(&str, &str)]) -> (usize, Vec<String>, bool) {
        let source = Source { path: "r.yml".into(), text: RULE.into() };
        let (set, errors) = RuleSet::from_sources(&[source], &Mappings::none(), &Options::default());
        assert_eq!(errors, []);
        let mut one = Event::new(Timestamp::ZERO, event::Kind::Base, 0, LogSource::new("", "x", ""));
        for (name, value) in event {
            one.body.set(*name, *value);
        }
        let all = verdicts(&set, &one, None);
        let v = all.first().expect("the rule is asked");
        (v.short, v.conditions.iter().map(|c| c.label.split(' ').next().unwrap_or("").to_owned()).collect(), v.explanation.matched)
    }

    #[test]
    fn the_nearest_miss_is_the_fewest_conditions_that_would_have_to_change() {
        assert_eq!(asked(&[("f", "1")]).0, 1, "g, or h: one condition either way");
        assert_eq!(asked(&[]), (1, vec!["h".to_owned()], false), "h alone is nearer than f and g together");
        assert_eq!(asked(&[("h", "xtwo"), ("k", "9")]), (1, vec!["k".to_owned()], false), "the exclusion stands in the way");
        assert_eq!(asked(&[("k", "9")]).0, 2);
        assert_eq!(asked(&[("f", "1"), ("g", "2")]), (0, vec!["f".to_owned(), "g".to_owned()], true));
    }
}
