//! `vedette rules test`: every case through the engine that serves; what is missing or too much is shown as a difference, with the event
//! that came nearest. Exit code 0: all hold; 1: one does not; 2: a file or rule could not be read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use event::{Class, Event, Finding, RuleMeta};
use rule::RuleSet;
use serde_json::{Value as Json, json};

use super::case::{self, Case, Expect};
use crate::cli::{Format, Global, Language, clean, exit};
use crate::engine::Engine;
use crate::explain;
use crate::replay::Road;
use crate::rulebook::{self, RuleArgs};

/// Findings shown of one rule in a difference.
const SHOWN_MAX: usize = 5;

#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Test files, or folders of them and of cases (hit.jsonl, miss.jsonl)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
}

/// How one case ended.
#[derive(Debug)]
pub struct Outcome {
    pub case: Case,
    pub problems: Vec<Problem>,
    /// Ids of the rules that spoke.
    pub spoke: Vec<String>,
}

/// One difference.
#[derive(Debug)]
pub struct Problem {
    /// `missing`, `unexpected`, `different` or `unknown_rule`.
    pub kind: &'static str,
    pub rule: String,
    pub expected: String,
    pub got: Vec<String>,
    pub nearest: Option<Json>,
}

pub fn run(args: &TestArgs, global: &Global) -> Result<u8> {
    let (outcomes, faults) = outcomes(&args.files, &args.rules)?;
    let failed = outcomes.iter().filter(|o| !o.problems.is_empty()).count();
    match global.output {
        Format::Jsonl => outcomes.iter().for_each(|o| crate::cli::write(&format!("{}\n", object(o)))),
        Format::Json => {
            let all: Vec<Json> = outcomes.iter().map(object).collect();
            crate::cli::write(&format!("{:#}\n", json!({"tests": outcomes.len(), "failed": failed, "cases": all})));
        }
        _ => crate::cli::write(&text(&outcomes, failed, global.lang.decided())),
    }
    Ok(match (faults, failed) {
        (true, _) => exit::BAD_INPUT,
        (false, 0) => exit::DONE,
        (false, _) => exit::FOUND,
    })
}

/// Runs every case; the second value says whether a rule was refused.
pub fn outcomes(files: &[PathBuf], args: &RuleArgs) -> Result<(Vec<Outcome>, bool)> {
    let mut cases = Vec::new();
    for file in files {
        cases.extend(case::read(file)?);
    }
    // Cases over the same rules share one load.
    let mut books: BTreeMap<(Vec<PathBuf>, Vec<PathBuf>), Arc<RuleSet>> = BTreeMap::new();
    let mut faults = false;
    let mut outcomes = Vec::new();
    for case in cases {
        let mut own = args.clone();
        if own.rules.is_empty() {
            own.rules.clone_from(&case.rules);
        }
        if own.mapping.is_empty() {
            own.mapping.clone_from(&case.mappings);
        }
        let own = own.or_found()?;
        let key = (own.rules.clone(), own.mapping.clone());
        let rules = match books.get(&key) {
            Some(rules) => Arc::clone(rules),
            None => {
                let book = own.load()?;
                rulebook::tell(&book.faults);
                faults |= !book.faults.is_empty();
                let rules = Arc::new(book.rules);
                let (_, errors) = Engine::with_rules(Arc::clone(&rules));
                rulebook::tell(&errors);
                faults |= !errors.is_empty();
                books.insert(key, Arc::clone(&rules));
                rules
            }
        };
        outcomes.push(judge(case, &rules));
    }
    Ok((outcomes, faults))
}

fn metas(rules: &RuleSet) -> impl Iterator<Item = &Arc<RuleMeta>> {
    rules.rules().iter().chain(rules.correlations().iter().map(|c| &c.meta))
}

fn called(meta: &RuleMeta, word: &str) -> bool {
    meta.id == word || meta.name.as_deref() == Some(word) || meta.title == word
}

fn judge(case: Case, rules: &Arc<RuleSet>) -> Outcome {
    let (engine, _) = Engine::with_rules(Arc::clone(rules));
    let mut road = Road::over(engine, 1).keeping_findings();
    for event in &case.events {
        road.push(Class::Normal, event.clone());
    }
    let (_, findings) = road.finish_with_findings();
    // An episode that goes on is told again; that is no second finding.
    let told: Vec<&Finding> = findings.iter().filter(|f| !f.reasons.iter().any(|r| r.args.iter().any(|(n, _)| n == "again"))).collect();
    let mut problems = Vec::new();
    for expect in &case.expect {
        problems.extend(missed(&case, expect, &told, rules));
    }
    let show = |list: &[&Finding]| list.iter().take(SHOWN_MAX).map(|f| shown(&case, f)).collect::<Vec<_>>();
    for word in &case.none {
        if !metas(rules).any(|m| called(m, word)) {
            problems.push(unknown(word));
            continue;
        }
        let spoke: Vec<&Finding> = told.iter().copied().filter(|f| called(&f.rule, word)).collect();
        if !spoke.is_empty() {
            let got = show(&spoke);
            problems.push(Problem { kind: "unexpected", rule: word.clone(), expected: "silence".into(), got, nearest: None });
        }
    }
    if case.only {
        let mut others: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
        for finding in told.iter().filter(|f| f.rule.alerts || f.rule.shadow) {
            if !case.expect.iter().any(|e| called(&finding.rule, &e.rule)) && !case.none.iter().any(|w| called(&finding.rule, w)) {
                others.entry(finding.rule.name.as_deref().unwrap_or(&finding.rule.id)).or_default().push(finding);
            }
        }
        for (rule, list) in others {
            problems.push(Problem {
                kind: "unexpected",
                rule: rule.to_owned(),
                expected: "silence".into(),
                got: show(&list),
                nearest: None,
            });
        }
    }
    let mut spoke: Vec<String> = told.iter().map(|f| f.rule.id.clone()).collect();
    spoke.sort();
    spoke.dedup();
    Outcome { case, problems, spoke }
}

fn unknown(word: &str) -> Problem {
    Problem {
        kind: "unknown_rule",
        rule: word.to_owned(),
        expected: "a rule of this id, name or title".into(),
        got: Vec::new(),
        nearest: None,
    }
}

fn missed(case: &Case, expect: &Expect, told: &[&Finding], rules: &RuleSet) -> Option<Problem> {
    if !metas(rules).any(|m| called(m, &expect.rule)) {
        return Some(unknown(&expect.rule));
    }
    let of_rule: Vec<&Finding> = told.iter().copied().filter(|f| called(&f.rule, &expect.rule)).collect();
    let fitting: Vec<&Finding> =
        of_rule.iter().copied().filter(|f| expect.values.iter().all(|(name, value)| holds(f, name, value))).collect();
    let count = fitting.len() as u64;
    let enough = expect.count.map_or(count > 0, |n| n == count);
    let at = expect.at.as_deref().and_then(case::duration);
    let timely = at.is_none_or(|at| fitting.first().is_some_and(|f| f.time.since(case.start) == at));
    if enough && (timely || (count == 0 && expect.count == Some(0))) {
        return None;
    }
    let mut expected = expect.count.map_or_else(|| "at least once".to_owned(), |n| format!("×{n}"));
    if let Some(at) = &expect.at {
        expected.push_str(&format!(" at {at}"));
    }
    for (name, value) in &expect.values {
        expected.push_str(&format!(" {name}={}", bare(value)));
    }
    let nearest = if of_rule.is_empty() { nearest(case, &expect.rule, told, rules) } else { None };
    Some(Problem {
        kind: if of_rule.is_empty() { "missing" } else { "different" },
        rule: expect.rule.clone(),
        expected,
        got: of_rule.iter().take(SHOWN_MAX).map(|f| shown(case, f)).collect(),
        nearest,
    })
}

fn bare(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn holds(finding: &Finding, name: &str, value: &Json) -> bool {
    let seen = finding.facts.get_named(name).or_else(|| finding.event.as_ref()?.get_named(name));
    seen.is_some_and(|v| v.to_text() == bare(value))
}

/// `at 14s  src_endpoint.ip=203.0.113.9`.
fn shown(case: &Case, finding: &Finding) -> String {
    let mut out = format!("at {}", since(finding.time.since(case.start)));
    for (name, value) in finding.facts.iter() {
        out.push_str(&format!(" {}={}", name.as_str(), clean(&value.to_text())));
    }
    for one in finding.matches.iter().take(3) {
        out.push_str(&format!(" {}={} ({})", one.field, clean(&one.value.to_text()), clean(&one.pattern)));
    }
    out
}

fn since(ns: i64) -> String {
    if ns % event::SECOND_NS == 0 { format!("{}s", ns / event::SECOND_NS) } else { format!("{}ms", ns / 1_000_000) }
}

/// What came nearest to a rule that stayed silent: for a detection the event that lacks least, for a correlation how often each rule it
/// listens to was found.
fn nearest(case: &Case, word: &str, told: &[&Finding], rules: &RuleSet) -> Option<Json> {
    if let Some(meta) = rules.rules().iter().find(|m| called(m, word)) {
        let best = |event: &Event| explain::verdicts(rules, event, Some(&meta.id)).into_iter().next();
        let fits = |v: &explain::Verdict| (!v.explanation.source_fits, v.short);
        let (n, verdict) =
            case.events.iter().enumerate().take(2_000).filter_map(|(n, e)| Some((n, best(e)?))).min_by_key(|(n, v)| (fits(v), *n))?;
        let mut out = explain::verdict_json(&verdict);
        out["event"] = json!(n + 1);
        out["at"] = json!(case.events.get(n).map(|e| since(e.time.since(case.start))));
        if !verdict.explanation.source_fits {
            out["sources"] = json!(verdict.explanation.sources);
            out["event_source"] = json!(case.events.get(n).map(|e| e.source.to_string()));
        }
        return Some(out);
    }
    let correlation = rules.correlations().iter().find(|c| called(&c.meta, word))?;
    let fed: Vec<Json> = correlation
        .rules
        .iter()
        .map(|r| {
            let name = metas(rules).find(|m| m.id == r.id).map_or(r.id.as_str(), |m| m.name.as_deref().unwrap_or(&m.title));
            json!({"rule": name, "found": told.iter().filter(|f| f.rule.id == r.id).count()})
        })
        .collect();
    Some(json!({"says": explain::says(correlation), "fed": fed}))
}

fn object(outcome: &Outcome) -> Json {
    let problems: Vec<Json> = outcome
        .problems
        .iter()
        .map(|p| json!({"kind": p.kind, "rule": p.rule, "expected": p.expected, "got": p.got, "nearest": p.nearest}))
        .collect();
    let Case { file, line, name, events, .. } = &outcome.case;
    json!({"file": file.display().to_string(), "line": line, "name": name, "events": events.len(), "ok": problems.is_empty(), "problems": problems})
}

fn text(outcomes: &[Outcome], failed: usize, lang: Language) -> String {
    let mut out = String::new();
    for outcome in outcomes.iter().filter(|o| !o.problems.is_empty()) {
        let Case { file, line, name, .. } = &outcome.case;
        let place = if *line == 0 { file.display().to_string() } else { format!("{}:{line}", file.display()) };
        out.push_str(&format!("FAIL {place}  {}\n", clean(name)));
        for problem in &outcome.problems {
            out.push_str(&format!("  - expected  {}  {}\n", clean(&problem.rule), clean(&problem.expected)));
            for got in &problem.got {
                out.push_str(&format!("  + got       {}  {got}\n", clean(&problem.rule)));
            }
            if problem.got.is_empty() && problem.kind != "unknown_rule" {
                out.push_str("  + got       nothing\n");
            }
            if let Some(nearest) = &problem.nearest {
                out.push_str(&near(nearest));
            }
        }
    }
    match lang {
        Language::Zh => out.push_str(&format!("共 {} 个用例，{failed} 个未通过\n", outcomes.len())),
        Language::En => out.push_str(&format!("{} tests, {failed} failed\n", outcomes.len())),
    }
    out
}

fn near(nearest: &Json) -> String {
    if let Some(fed) = nearest["fed"].as_array() {
        let all: Vec<String> = fed.iter().map(|f| format!("{} found {} times", bare(&f["rule"]), f["found"])).collect();
        return format!("    nearest   {}: {}\n", bare(&nearest["says"]), all.join(", "));
    }
    let mut out = format!("    nearest   event {} ({}), {} short\n", nearest["event"], bare(&nearest["at"]), nearest["short"]);
    if nearest["source_fits"] == false {
        out.push_str(&format!("    - log source is {}, the rule is about {}\n", bare(&nearest["event_source"]), nearest["sources"]));
    }
    for c in nearest["conditions"].as_array().into_iter().flatten() {
        let value = if c["present"] == true { clean(&bare(&c["value"])) } else { "no such field".to_owned() };
        out.push_str(&format!("    - {}   [{value}]\n", clean(&bare(&c["condition"]))));
    }
    out
}
