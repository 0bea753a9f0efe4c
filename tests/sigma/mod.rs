//! The matcher against public truth: every SigmaHQ rule loads, the rule repository's own regression events are found, and the
//! list of matching rules of 2,495 real events is met exactly. Field names in these events are Sigma's own, so no mapping is used.

pub mod corpus;
mod evtx;
mod proof;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::{Event, Finding};
use rule::{Mappings, Options, RuleSet, Source};
use serde_json::Value as Json;

use corpus::{Corpus, Entry};

/// All active rules load; of the deprecated and unsupported ones, those in a syntax Sigma 2 removed are refused with a reason.
#[test]
fn every_public_rule_loads_or_says_why_not() {
    let Some(corpus) = Corpus::read() else { return };
    let (active, old): (Vec<&Entry>, Vec<&Entry>) = corpus.entries.iter().partition(|e| e.active());
    let (set, errors) = load(&active);
    println!(
        "active rules: {} files, {} loaded, {} refused, {} predicates",
        active.len(),
        set.rules().len(),
        errors.len(),
        set.predicate_count()
    );
    let mut notices: BTreeMap<String, usize> = BTreeMap::new();
    for notice in set.notices() {
        *notices.entry(notice.what.split(':').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    for (what, count) in &notices {
        println!("  notice  {count:5}  {what}");
    }
    let (old_set, old_errors) = load(&old);
    let documents: usize = old.iter().map(|e| e.documents).sum();
    println!(
        "deprecated and unsupported: {} files, {documents} documents, {} loaded, {} refused",
        old.len(),
        old_set.rules().len(),
        old_errors.len()
    );
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for error in &old_errors {
        *reasons.entry(error.way_out.as_str()).or_default() += 1;
        assert!(error.line > 0 && !error.what.is_empty() && !error.way_out.is_empty(), "{error}");
    }
    for (reason, count) in &reasons {
        println!("  refused {count:5}  {reason}");
    }
    assert_eq!(errors, [], "active rules that do not load");
    assert_eq!(set.rules().len(), active.len());
    assert_eq!(old_set.rules().len() + old_errors.len(), documents);
    // What stays silent waits for placeholder values, nothing else.
    let expanding = active.iter().filter(|e| e.yaml.contains("|expand")).count();
    assert_eq!(set.notices().len(), expanding);
}

fn load(entries: &[&Entry]) -> (RuleSet, Vec<rule::RuleError>) {
    let sources: Vec<Source> = entries.iter().map(|e| Source { path: e.path.clone(), text: e.yaml.clone() }).collect();
    RuleSet::from_sources(&sources, &Mappings::none(), &Options::default())
}

/// Rules for which upstream counts one match where more of the file's events hold the rule's values, as anyone can read: three files
/// whose path contains `\\AppData\\Roaming\\AnyDesk\\user.conf`, and so on. With the count the text gives.
const COUNTED_BY_HAND: &[(&str, u64)] = &[
    ("0b9ad457-2554-44c1-82c2-d56a99c42377", 3),
    ("8fbf3271-1ef6-4e94-8210-03c2317947f6", 3),
    ("c7dcacd0-cc59-4004-b0a4-1d6cdebe6f3e", 2),
];

/// The rule repository's own tests: each rule finds as many of its events as upstream counts, or at least one where it counts none.
#[test]
fn upstream_regression_events_are_found() {
    let Some(corpus) = Corpus::read() else { return };
    let (Some(events), Some(truth), Some(thor)) =
        (corpus::lines("sigma/regression/events.jsonl.gz"), corpus::lines("sigma/regression/truth.jsonl"), tests::data("sigma/thor.yml"))
    else {
        return;
    };
    let thor = evtx::Thor::read(&std::fs::read_to_string(thor).expect("thor.yml"));
    let events: BTreeMap<String, Json> = events.into_iter().map(|e| (e["event_id"].as_str().unwrap_or_default().to_owned(), e)).collect();
    let (mut passed, mut counted) = (0, 0);
    let mut failed = Vec::new();
    for test in &truth {
        let id = test["rule_id"].as_str().expect("rule_id");
        let mut hits = 0;
        for event_id in test["event_ids"].as_array().expect("event_ids") {
            let event = &events[event_id.as_str().expect("event id")];
            // An event belongs to every log source thor.yml gives it; the rule has to fit one.
            let found = thor.events(&event["event"]).into_iter().any(|event| detect(&corpus.set, &event).contains(id));
            hits += u64::from(found);
        }
        let by_hand = COUNTED_BY_HAND.iter().find(|(rule, _)| *rule == id).map(|(_, count)| *count);
        let exact = by_hand.or(test["match_count"].as_u64());
        let wanted = exact.or(test["min_match"].as_u64()).unwrap_or(1);
        if exact.map_or(hits >= wanted, |count| hits == count) {
            passed += 1;
            counted += u64::from(exact.is_some());
        } else {
            failed.push(format!("{id} {}: {hits} of {wanted}", test["rule_path"]));
        }
    }
    println!("regression: {} tests, {passed} passed, {counted} of them by an exact count, {} failed", truth.len(), failed.len());
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(truth.len(), 98);
}

/// Every rule two other engines agree on fires, what the specification's text gives one of them right in (`only_rsigma`: the
/// keyword rules) fires too, and no other rule does. Index and plain scan give the same findings.
#[test]
fn the_matrix_of_events_and_rules_is_met_exactly() {
    let Some(corpus) = Corpus::read() else { return };
    let mut problems = Vec::new();
    let mut total = [0usize; 6];
    let mut why: BTreeMap<&str, usize> = BTreeMap::new();
    println!("{:24} {:>7} {:>9} {:>8} {:>7} {:>6} {:>6}", "events", "events", "checks", "matches", "single", "missed", "extra");
    for name in
        ["linux-atomic-commands", "linux-auditd", "linux-exec", "linux-syslog", "linux-sysmon", "webserver", "windows-regression", "zeek"]
    {
        let Some(lines) = corpus::lines(&format!("sigma/matrix/{name}.jsonl.gz")) else { return };
        let mut row = [lines.len(), 0, 0, 0, 0, 0];
        for line in &lines {
            let event = corpus::event(line);
            let candidates = corpus.candidates(&event);
            if candidates.len() as u64 != line["candidates"].as_u64().unwrap_or(0) {
                problems.push(format!(
                    "{name} {}: {} candidates, the list says {}",
                    line["event_id"],
                    candidates.len(),
                    line["candidates"]
                ));
            }
            let found: BTreeSet<String> = detect(&corpus.set, &event).into_iter().filter(|id| candidates.contains(id.as_str())).collect();
            let ids = |key: &str| {
                line[key].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect::<BTreeSet<String>>()
            };
            let (agreed, single) = (ids("matches"), ids("only_rsigma"));
            let wanted: BTreeSet<String> = agreed.union(&single).cloned().collect();
            row[1] += candidates.len();
            row[2] += agreed.len();
            row[3] += single.len();
            for id in wanted.difference(&found) {
                row[4] += 1;
                problems.push(format!("{name} {}: missed {id} {}", line["event_id"], corpus.title(id)));
            }
            for id in found.difference(&wanted) {
                row[5] += 1;
                problems.push(format!("{name} {}: extra {id} {}", line["event_id"], corpus.title(id)));
            }
            let (mut by_index, mut by_scan) = (Vec::new(), Vec::new());
            corpus.set.detect(&event, &mut by_index);
            for finding in by_index.iter().filter(|f| single.contains(&f.rule.id)) {
                let keyword = finding.matches.iter().any(|m| m.field.is_empty());
                let insensitive = corpus.entries.iter().any(|e| e.id == finding.rule.id && e.yaml.contains("|re|i:"));
                *why.entry(match (keyword, insensitive) {
                    (true, _) => "keywords: \"strings that are applied to the full log message\", so contained in it, not equal to a field",
                    (false, true) => "re|i: \"to enable case-insensitive matching\", a modifier the other engine does not know",
                    (false, false) => "unexplained",
                })
                .or_default() += 1;
            }
            corpus.set.scan(&event, &mut by_scan);
            assert_eq!(shape(&by_index), shape(&by_scan), "{name} {}", line["event_id"]);
        }
        println!("{name:24} {:>7} {:>9} {:>8} {:>7} {:>6} {:>6}", row[0], row[1], row[2], row[3], row[4], row[5]);
        total.iter_mut().zip(row).for_each(|(t, r)| *t += r);
    }
    println!("{:24} {:>7} {:>9} {:>8} {:>7} {:>6} {:>6}", "all", total[0], total[1], total[2], total[3], total[4], total[5]);
    println!("pairs only one of the two other engines has, and the sentence that makes it right:");
    for (reason, count) in &why {
        println!("  {count:4}  {reason}");
    }
    assert!(!why.contains_key("unexplained"));
    for problem in problems.iter().take(60) {
        println!("{problem}");
    }
    assert_eq!(problems.len(), 0, "see above");
}

/// What findings say, one line each, for comparing two ways to them.
fn shape(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{} {:?} {:?}", f.rule.id, f.matches, f.reasons)).collect()
}

fn detect(set: &RuleSet, event: &Arc<Event>) -> BTreeSet<String> {
    let mut out = Vec::new();
    set.detect(event, &mut out);
    out.into_iter().map(|f| f.rule.id.clone()).collect()
}

fn mappings_folder() -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.map(|p| p.join("config/mappings")).find(|p| p.is_dir()).expect("config/mappings")
}

/// With the shipped mappings every public rule still loads, and what it finds without them it finds with them.
#[test]
fn shipped_mappings_load_and_take_nothing_away() {
    let (mappings, errors) = Mappings::load(&[mappings_folder()]);
    assert_eq!(errors, []);
    assert!(mappings.known().count() > 200);
    let Some(corpus) = Corpus::read() else { return };
    let active: Vec<Source> = corpus
        .entries
        .iter()
        .filter(|e| e.active() && !e.path.contains("windows"))
        .map(|e| Source { path: e.path.clone(), text: e.yaml.clone() })
        .collect();
    let (mapped, errors) = RuleSet::from_sources(&active, &mappings, &Options::default());
    assert_eq!(errors, []);
    let mut added = 0;
    for name in ["linux-auditd", "linux-exec", "linux-syslog", "webserver", "zeek"] {
        let Some(lines) = corpus::lines(&format!("sigma/matrix/{name}.jsonl.gz")) else { return };
        for line in &lines {
            let event = corpus::event(line);
            let (plain, with) = (detect(&corpus.set, &event), detect(&mapped, &event));
            assert!(plain.is_subset(&with), "{name} {}: {plain:?} {with:?}", line["event_id"]);
            added += with.len() - plain.len();
        }
    }
    println!("findings the shipped mappings add on events in Sigma's own words: {added}");
}

/// The examples of the specification, its site, pySigma and hayabusa: whole documents load, fragments are refused as such.
#[test]
fn correlation_and_filter_examples_load() {
    let Some(folder) = tests::data("sigma/correlation") else { return };
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("folder").map(|e| e.expect("entry").path()).collect();
    files.sort();
    let (mut correlations, mut refused) = (0, BTreeMap::<String, usize>::new());
    let mut kinds = BTreeSet::new();
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut text = std::fs::read_to_string(file).expect("text");
        // Examples refer to rules that are not shown beside them: stand-ins make the references good.
        let mut known: BTreeSet<String> = text.lines().filter_map(|l| Some(l.trim().strip_prefix("name:")?.trim().to_owned())).collect();
        let category = text.lines().find_map(|l| l.trim().strip_prefix("category:")).map_or("process_creation", str::trim).to_owned();
        let mut in_rules = false;
        let mut stand_ins = String::new();
        for line in text.lines() {
            let bare = line.trim().split(" #").next().unwrap_or("").trim();
            match bare.strip_prefix("- ") {
                Some(word) if in_rules && known.insert(word.to_owned()) => {
                    stand_ins.push_str(&format!(
                        "\n---\ntitle: '{word}'\nname: '{word}'\nlogsource: {{product: windows, category: {category}, service: dns}}\ndetection: {{s: {{A: 1}}, condition: s}}\n"
                    ));
                }
                Some(_) => {}
                None => in_rules = bare == "rules:",
            }
        }
        text.push_str(&stand_ins);
        let (set, errors) = RuleSet::from_sources(&[Source { path: name.clone(), text }], &Mappings::none(), &Options::default());
        correlations += set.correlations().len();
        kinds.extend(set.correlations().iter().map(|c| c.kind.clone()));
        for error in errors {
            println!("  {error}");
            *refused.entry(error.what).or_default() += 1;
        }
    }
    println!("{} example files: {correlations} correlations of {} kinds, refused: {refused:?}", files.len(), kinds.len());
    assert_eq!((correlations, kinds.len()), (23, 7), "{kinds:?}");
    // Four of the files are fragments of a page.
    assert_eq!(refused.values().sum::<usize>(), 4);
}

/// The same events as our own sensors would say them: our field names, our log sources. With the shipped mappings the public
/// rules find in them what they find in Sigma's words.
#[test]
fn public_rules_fire_on_our_own_events() {
    let Some(corpus) = Corpus::read() else { return };
    let (mappings, _) = Mappings::load(&[mappings_folder()]);
    let rules: Vec<Source> = corpus
        .entries
        .iter()
        .filter(|e| e.active() && !e.path.contains("windows"))
        .map(|e| Source { path: e.path.clone(), text: e.yaml.clone() })
        .collect();
    let (mapped, errors) = RuleSet::from_sources(&rules, &mappings, &Options::default());
    assert_eq!(errors, []);
    const WEB: &[(&str, &str)] = &[
        ("c-ip", "src_endpoint.ip"),
        ("cs-method", "http_request.http_method"),
        ("cs-host", "http_request.url.hostname"),
        ("cs-uri", "http_request.url.url_string"),
        ("cs-uri-query", ""),
        ("cs-uri-stem", "http_request.url.path"),
        ("cs-user-agent", "http_request.user_agent"),
        ("c-useragent", ""),
        ("cs-referer", "http_request.referrer"),
        ("cs-username", "user.name"),
        ("sc-status", "http_response.code"),
    ];
    const PROCESS: &[(&str, &str)] = &[
        ("Image", "process.file.path"),
        ("CommandLine", "process.cmd_line"),
        ("CurrentDirectory", "process.working_directory"),
        ("ProcessId", "process.pid"),
        ("User", "process.user.name"),
        ("ParentImage", "process.parent_process.file.path"),
        ("ParentCommandLine", "process.parent_process.cmd_line"),
        ("ParentProcessId", "process.parent_process.pid"),
    ];
    const DNS: &[(&str, &str)] = &[
        ("query", "query.hostname"),
        ("qtype_name", "query.type"),
        ("record_type", "query.type"),
        ("answer", "answers.rdata"),
        ("answers", "answers.rdata"),
        ("rcode_name", "rcode"),
        ("id.orig_h", "src_endpoint.ip"),
        ("id.orig_p", "src_endpoint.port"),
        ("id.resp_h", "dst_endpoint.ip"),
        ("id.resp_p", "dst_endpoint.port"),
    ];
    const LOG: &[(&str, &str)] = &[("message", "raw_data"), ("program", "log.program")];
    let ours = |product: &'static str, category: &'static str, service: &'static str| event::LogSource::new(product, category, service);
    for (file, category, table, source) in [
        ("webserver", "webserver", WEB, ours("", "http", "http")),
        ("webserver", "webserver", WEB, ours("nginx", "webserver", "")),
        ("linux-atomic-commands", "process_creation", PROCESS, ours("linux", "process_creation", "")),
        ("linux-atomic-commands", "process_creation", PROCESS, ours("linux", "", "sudo")),
        ("linux-exec", "process_creation", PROCESS, ours("linux", "", "auditd")),
        ("zeek", "dns", DNS, ours("", "dns", "dns")),
        ("linux-syslog", "", LOG, ours("linux", "", "")),
    ] {
        let Some(lines) = corpus::lines(&format!("sigma/matrix/{file}.jsonl.gz")) else { return };
        let (mut events, mut pairs) = (0, 0);
        for line in &lines {
            let theirs = corpus::event(line);
            let about_dns = category == "dns" && line["service"] == "dns";
            if theirs.source.category.as_deref().unwrap_or("") != category && !about_dns {
                continue;
            }
            let mut source = source.clone();
            if file == "linux-syslog" {
                source.service = theirs.source.service.clone();
            }
            let mut event = Event::new(theirs.time, event::Kind::Base, 0, source);
            for (name, value) in theirs.body.iter() {
                match table.iter().find(|(sigma, _)| *sigma == name.as_str()) {
                    Some((_, "")) => {}
                    Some((_, own)) => {
                        let value =
                            value.as_str().and_then(|t| t.parse::<std::net::IpAddr>().ok()).map_or_else(|| value.clone(), event::Value::Ip);
                        event.body.set(event::Name::from(*own), value);
                    }
                    None => event.body.set(name.clone(), value.clone()),
                }
            }
            let wanted: BTreeSet<String> = detect(&corpus.set, &theirs);
            let found = detect(&mapped, &Arc::new(event));
            assert!(wanted.is_subset(&found), "{file} {}: {wanted:?} but {found:?}", line["event_id"]);
            events += 1;
            pairs += wanted.len();
        }
        println!("{file:24} as {source}: {events} events, {pairs} findings, all found");
        assert!(events > 0);
    }
}
