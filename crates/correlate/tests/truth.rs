//! The truth table of correlations: what arrives when, and what must have been told in the end. Cases are data
//! (`truth/*.truth`); a case is
//!
//! ```text
//! case  what it is about
//! rule  TYPE rules=a,b by=src span=60 gte=3 field=port …   further words are parameters of the type; `name=` for chains
//! limit groups=1000 entries=64
//! ev    TIME RULE [@ARRIVAL] [id=N] src=1 user=x …          seconds; it arrives when it happens, or later with `@`
//! flood COUNT RULE FROM TO host=7                           as many sources never seen before, evenly spread
//! tick  TIME                                               nothing arrives, time passes
//! order any                                                the events hold in any order of arrival
//! tells GROUP FROM..TO MEASURE                             newest telling of each episode; none written: nothing is told
//! count duplicates=2 ungrouped=1                           counters at the end
//! ```
//! Every case is run as it stands, and again with a restart (saved, dropped, loaded) before every single line: nothing that is told
//! may differ. With `order any` it is run in reverse and in twenty shuffled orders as well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use correlate::{Counters, Limits, Windows};
use event::{
    AgentId, Class, Epoch, Event, EventId, Evidence, Fields, Finding, Kind, LogSource, Name, RuleMeta, SECOND_NS, Severity, Timestamp,
    Value, field,
};
use rule::{Bound, Correlation, GroupKey, Operator, RuleRef};

#[derive(Default)]
struct Case {
    place: String,
    about: String,
    rules: Vec<Correlation>,
    limits: Limits,
    steps: Vec<Step>,
    any_order: bool,
    tells: BTreeSet<String>,
    counts: BTreeMap<String, u64>,
}

#[derive(Clone)]
enum Step {
    Seen { arrival: f64, finding: Box<Finding> },
    Tick(f64),
}

#[test]
fn every_case_of_the_truth_table_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/truth");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().map(|e| e.path()).collect();
    files.sort();
    let cases: Vec<Case> = files.iter().flat_map(|f| read(f)).collect();
    let wrong: Vec<String> = cases.iter().filter_map(|c| check(c).err()).collect();
    println!("{} cases, {} wrong", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 60, "the truth table has shrunk to {} cases", cases.len());
}

fn check(case: &Case) -> Result<(), String> {
    let fail = |what: &str, got: &BTreeSet<String>| {
        Err(format!("{}: {} ({what})\n  expected {:?}\n  got      {:?}", case.place, case.about, case.tells, got))
    };
    let (told, counters) = run(case, &case.steps, false);
    let got = settled(&told);
    if got != case.tells {
        return fail("as it stands", &got);
    }
    for (name, wanted) in &case.counts {
        let got = counter(&counters, name);
        if got != *wanted {
            return Err(format!("{}: {}: {name} is {got}, expected {wanted}", case.place, case.about));
        }
    }
    let (again, _) = run(case, &case.steps, true);
    if text(&again) != text(&told) {
        return fail("restarted before every line", &settled(&again));
    }
    if case.any_order {
        let mut order = case.steps.clone();
        order.reverse();
        let mut chance = 7u64;
        for n in 0..21 {
            let (told, _) = run(case, &order, false);
            let got = settled(&told);
            if got != case.tells {
                return fail(&format!("order {n}"), &got);
            }
            for at in (1..order.len()).rev() {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                order.swap(at, (chance >> 33) as usize % (at + 1));
            }
        }
    }
    Ok(())
}

fn run(case: &Case, steps: &[Step], restarted: bool) -> (Vec<Finding>, Counters) {
    let open = || {
        let (windows, errors) = Windows::new(&case.rules, &[], case.limits);
        assert!(errors.is_empty(), "{}: {errors:?}", case.place);
        windows
    };
    let mut windows = open();
    let mut told = Vec::new();
    let mut now = Timestamp::MIN;
    // A thousand restarts of a flood would tell no more than some.
    let every = if steps.len() > 1_000 { steps.len() / 8 } else { 1 };
    for (n, step) in steps.iter().enumerate() {
        if restarted && n % every == 0 {
            let saved = windows.save();
            windows = open();
            assert_eq!(windows.load(&saved, Timestamp::MIN), Ok(0), "{}", case.place);
        }
        let mut findings = Vec::new();
        let at = |s: f64| Timestamp::from_ms((s * 1000.0).round() as i64);
        match step {
            Step::Tick(time) => now = now.max(at(*time)),
            Step::Seen { arrival, finding } => {
                now = now.max(at(*arrival));
                if let Some(event) = &finding.event {
                    windows.saw(event, now);
                }
                findings.push(Finding::clone(finding));
            }
        }
        windows.correlate(now, &mut findings);
        told.extend(findings.into_iter().filter(|f| f.span.is_some()));
    }
    let counters = windows.counters();
    let mut findings = Vec::new();
    windows.finish(now, &mut findings);
    told.extend(findings);
    (told, counters)
}

fn counter(c: &Counters, name: &str) -> u64 {
    match name {
        "entries" => c.entries,
        "duplicates" => c.duplicates,
        "ungrouped" => c.ungrouped,
        "clock_ahead" => c.clock_ahead,
        "too_late" => c.too_late,
        "told" => c.told,
        "retold" => c.retold,
        "evicted_suspicious" => c.evicted_suspicious,
        other => panic!("no counter '{other}'"),
    }
}

fn text(told: &[Finding]) -> Vec<String> {
    told.iter().map(|f| format!("{} {:?} {:?} {:?} {}", f.time, f.span, f.reasons, f.facts, f.count)).collect()
}

/// Newest telling of each episode: rule (where it is not alone), group, span, measure.
fn settled(told: &[Finding]) -> BTreeSet<String> {
    let mut newest: Vec<(&Finding, String)> = Vec::new();
    for f in told {
        let group: Vec<String> = f.rule.group_by.iter().map(|g| f.facts.get_named(g).map_or_else(String::new, short)).collect();
        let group = if group.is_empty() { "-".to_owned() } else { group.join(",") };
        let group = if f.rule.id == f.rule.title { group } else { format!("{}:{group}", f.rule.id) };
        let span = f.span.unwrap();
        newest.retain(|(old, g)| *g != group || old.span.unwrap().to < span.from || old.span.unwrap().from > span.to);
        newest.push((f, group));
    }
    let one = |(f, group): &(&Finding, String)| {
        let span = f.span.unwrap();
        let second = |t: Timestamp| t.ms() as f64 / 1000.0;
        format!("{group} {}..{} {}", second(span.from), second(span.to), f.get(field::FACT_COUNT).map_or_else(String::new, short))
    };
    newest.iter().map(one).collect()
}

fn short(value: &Value) -> String {
    let text = value.to_text();
    text.strip_prefix("10.0.0.").unwrap_or(&text).to_owned()
}

fn long(name: &str) -> &str {
    match name {
        "src" => "src_endpoint.ip",
        "dst" => "dst_endpoint.ip",
        "port" => "dst_endpoint.port",
        "user" => "user.name",
        "host" => "device.hostname",
        "agent" => "agent.id",
        "unit" => "unit.id",
        "sector" => "unit.sector",
        "bytes" => "traffic.bytes",
        "importance" => "object.importance",
        "skew" => "clock.skew_ms",
        other => other,
    }
}

fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    let mut seq = 0;
    for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let place = format!("{}:{}", path.file_name().unwrap().to_string_lossy(), n + 1);
        if word == "case" {
            cases.push(Case { place, about: rest.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a file begins with a case");
        let words: Vec<&str> = rest.split_whitespace().collect();
        match word {
            "rule" => case.rules.push(rule(&words)),
            "limit" => {
                for (key, value) in words.iter().filter_map(|w| w.split_once('=')) {
                    let value: usize = value.parse().unwrap();
                    match key {
                        "groups" => case.limits.groups_max = value,
                        "entries" => case.limits.entries_max = value,
                        other => panic!("{place}: no limit '{other}'"),
                    }
                }
            }
            "ev" => {
                seq += 1;
                case.steps.push(seen(&words, seq));
            }
            "flood" => {
                let [count, rule, from, to, more @ ..] = words.as_slice() else { panic!("{place}: flood COUNT RULE FROM TO …") };
                let (count, from, to): (u32, f64, f64) = (count.parse().unwrap(), from.parse().unwrap(), to.parse().unwrap());
                for k in 0..count {
                    seq += 1;
                    let time = (from + (to - from) * f64::from(k) / f64::from(count)).to_string();
                    let source = format!("src=11.{}.{}.{}", k >> 16, k >> 8 & 255, k & 255);
                    let words: Vec<&str> = [time.as_str(), rule].into_iter().chain([source.as_str()]).chain(more.iter().copied()).collect();
                    case.steps.push(seen(&words, seq));
                }
            }
            "tick" => case.steps.push(Step::Tick(rest.parse().unwrap())),
            "order" => case.any_order = true,
            "tells" => {
                case.tells.insert(words.join(" "));
            }
            "count" => {
                case.counts.extend(words.iter().filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_owned(), v.parse().unwrap())));
            }
            other => panic!("{place}: no word '{other}'"),
        }
    }
    // One rule needs no name in front of its groups.
    for case in &mut cases {
        if let [only] = case.rules.as_mut_slice() {
            let mut meta = RuleMeta::clone(&only.meta);
            meta.title = meta.id.clone();
            only.meta = Arc::new(meta);
        }
    }
    cases
}

fn rule(words: &[&str]) -> Correlation {
    let mut rule = Correlation {
        meta: meta(words[0]),
        kind: words[0].into(),
        rules: Vec::new(),
        timespan_ns: 0,
        group_by: Vec::new(),
        condition: Vec::new(),
        fields: Vec::new(),
        parameters: BTreeMap::new(),
        generate: false,
        path: "t.yml".into(),
        line: 1,
    };
    let mut group_by = String::new();
    let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, value) in words[1..].iter().filter_map(|w| w.split_once('=')) {
        let bound =
            [Operator::Lt, Operator::Lte, Operator::Gt, Operator::Gte, Operator::Eq, Operator::Neq].into_iter().find(|o| o.word() == key);
        match key {
            "name" => rule.meta = meta(value),
            "rules" => rule.rules = value.split(',').map(|r| RuleRef { id: r.into(), correlation: false }).collect(),
            "by" => group_by = value.to_owned(),
            "span" => rule.timespan_ns = value.parse::<i64>().unwrap() * SECOND_NS,
            "field" => rule.fields = value.split(',').map(|f| key_of(f, &[])).collect(),
            // alias=host:dst,src — the field for each rule in turn.
            "alias" => {
                let (name, fields) = value.split_once(':').unwrap();
                aliases.insert(name.into(), fields.split(',').map(str::to_owned).collect());
            }
            _ if bound.is_some() => {
                rule.condition.extend(bound.map(|operator| Bound { operator, value: value.parse().unwrap() }));
            }
            _ => {
                rule.parameters.insert(key.into(), value.into());
            }
        }
    }
    rule.group_by = group_by.split(',').filter(|g| !g.is_empty()).map(|g| key_of(g, aliases.get(g).map_or(&[], Vec::as_slice))).collect();
    rule
}

fn key_of(name: &str, by_rule: &[String]) -> GroupKey {
    let usual = vec![Name::from(long(name))];
    let names = (0..32).map(|n| by_rule.get(n).map_or_else(|| usual.clone(), |f| vec![Name::from(long(f))])).collect();
    GroupKey { name: long(name).into(), names }
}

fn meta(id: &str) -> Arc<RuleMeta> {
    Arc::new(RuleMeta {
        id: id.into(),
        name: None,
        title: String::new(),
        title_zh: String::new(),
        description: String::new(),
        severity: Severity::Medium,
        techniques: vec![],
        tactics: vec![],
        tags: vec![],
        author: String::new(),
        path: String::new(),
        shadow: false,
        alerts: true,
        group_by: vec![],
    })
}

fn seen(words: &[&str], seq: u64) -> Step {
    let time: f64 = words[0].parse().unwrap();
    let mut arrival = time;
    let mut event = Event::new(Timestamp::from_ms((time * 1000.0).round() as i64), Kind::NetworkActivity, 1, LogSource::default());
    event.id = EventId { agent: AgentId(1), epoch: Epoch(1), class: Class::Normal, seq };
    let mut rule = RuleMeta::clone(&meta(words[1]));
    for word in &words[2..] {
        if let Some(at) = word.strip_prefix('@') {
            arrival = at.parse().unwrap();
            continue;
        }
        let (key, value) = word.split_once('=').unwrap();
        match key {
            "id" => event.id.seq = 1_000_000 + value.parse::<u64>().unwrap(),
            "from" => event.id.agent = AgentId(value.parse().unwrap()),
            "tactic" => rule.tactics = value.split(',').map(str::to_owned).collect(),
            _ => {
                let value = match (key, value) {
                    (_, "null") => Value::Null,
                    ("src" | "dst", short) if !short.contains('.') => format!("10.0.0.{short}").as_str().into(),
                    (_, list) if list.contains(';') => list.split(';').map(Value::text).collect::<Vec<_>>().into(),
                    (_, text) => text.parse::<i64>().map_or_else(|_| Value::text(text), Value::from),
                };
                event.body.set(Name::from(long(key)), value);
            }
        }
    }
    let evidence = vec![Evidence { id: event.id, time: event.time }];
    let (time, event) = (event.time, Some(Arc::new(event)));
    let finding = Finding {
        rule: Arc::new(rule),
        time,
        event,
        facts: Fields::new(),
        span: None,
        matches: vec![],
        reasons: vec![],
        evidence,
        count: 1,
    };
    Step::Seen { arrival, finding: Box::new(finding) }
}
