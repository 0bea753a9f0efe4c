//! The Linux pack beside all of SigmaHQ, on public attack commands and on quiet hosts. Prints the table by technique.
//!
//! The commands are Atomic Red Team's for Linux. They are seen in three ways, as a host's sensors would: each program that is started
//! (the matrix of events), each line as a shell reads it, and the whole as one shell's argument. A technique counts where a finding
//! on one of its commands carries its tag. The rules were written against commands with an even number; the odd ones are held out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use event::{Event, Kind, LogSource, Name, Timestamp, Value};
use rule::{Mappings, Options, RuleSet, Source};
use serde_json::Value as Json;

use super::harness;
use crate::sigma::corpus;

/// Techniques of the commands, SigmaHQ's and ours with the right tag: at least so many more times.
const TIMES: usize = 2;

struct Seen {
    technique: String,
    /// Place of the command in the list.
    number: usize,
    way: &'static str,
    event: Arc<Event>,
}

fn process(image: &str, line: &str, parent: &str) -> Arc<Event> {
    let mut event = Event::new(Timestamp::ZERO, Kind::ProcessActivity, 1, LogSource::new("linux", "process_creation", ""));
    for (name, value) in [("Image", image), ("CommandLine", line), ("ParentImage", parent), ("User", "root")] {
        event.body.set(Name::from(name), Value::text(value));
    }
    Arc::new(event)
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_default()
}

/// All commands in all three ways.
fn attacks() -> Option<Vec<Seen>> {
    let commands = corpus::lines("logs/linux-attack/atomic-linux-commands.jsonl")?;
    let numbers: BTreeMap<&str, usize> = commands.iter().enumerate().map(|(n, c)| (text(c, "guid"), n)).collect();
    let mut all = Vec::new();
    for line in corpus::lines("sigma/matrix/linux-atomic-commands.jsonl.gz")? {
        let guid = text(&line, "event_id").split('/').nth(1).and_then(|t| t.split('#').next()).unwrap_or_default();
        let number = *numbers.get(guid).expect("an event of the matrix belongs to a command");
        all.push(Seen { technique: text(&line, "technique").to_owned(), number, way: "programs", event: corpus::event(&line) });
    }
    for (number, command) in commands.iter().enumerate() {
        let technique = text(command, "technique").to_owned();
        let shell = if text(command, "shell") == "bash" { "bash" } else { "sh" };
        let whole = format!("{shell} -c {}", text(command, "command"));
        let event = process(&format!("/usr/bin/{shell}"), &whole, "/usr/bin/pwsh");
        all.push(Seen { technique: technique.clone(), number, way: "shell", event });
        for line in text(command, "command").lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let first = line.split_whitespace().next().unwrap_or_default();
            let image = if first.starts_with('/') { first.to_owned() } else { format!("/usr/bin/{first}") };
            all.push(Seen { technique: technique.clone(), number, way: "lines", event: process(&image, line, "/usr/bin/bash") });
        }
    }
    Some(all)
}

/// The pack alone, without the rules that shipped before it.
fn pack() -> &'static RuleSet {
    static ONCE: OnceLock<RuleSet> = OnceLock::new();
    ONCE.get_or_init(|| {
        let (mappings, _) = Mappings::load(&[harness::root().join("config/mappings")]);
        let (rules, errors) = RuleSet::load(&[harness::root().join("config/rules/linux")], &mappings, &Options::default());
        assert_eq!(errors, []);
        rules
    })
}

/// SigmaHQ's rules that may speak of a Linux host.
fn sigmahq() -> Option<&'static RuleSet> {
    static ONCE: OnceLock<Option<RuleSet>> = OnceLock::new();
    ONCE.get_or_init(|| {
        let wanted = |source: &LogSource| source.product.as_deref().is_none_or(|p| p == "linux");
        let sources: Vec<Source> = corpus::Corpus::read()?
            .entries
            .iter()
            .filter(|e| e.active() && wanted(&e.source))
            .map(|e| Source { path: e.path.clone(), text: e.yaml.clone() })
            .collect();
        Some(RuleSet::from_sources(&sources, &Mappings::none(), &Options::default()).0)
    })
    .as_ref()
}

/// Tags of technique of what a set finds in an event; `None` where it finds nothing.
fn tags(set: &RuleSet, event: &Arc<Event>) -> Option<BTreeSet<String>> {
    let mut findings = Vec::new();
    set.detect(event, &mut findings);
    let tag = |t: &String| t.strip_prefix("attack.").filter(|t| t.starts_with('t')).map(str::to_uppercase);
    (!findings.is_empty()).then(|| findings.iter().flat_map(|f| f.rule.tags.iter().filter_map(tag)).collect())
}

/// Whether a set names the technique of each event.
fn named(set: &RuleSet, attacks: &[Seen]) -> Vec<bool> {
    attacks.iter().map(|s| tags(set, &s.event).is_some_and(|t| t.contains(&s.technique))).collect()
}

/// Techniques named, among the commands a filter takes.
fn techniques(named: &[bool], attacks: &[Seen], take: impl Fn(&Seen) -> bool) -> BTreeSet<String> {
    attacks.iter().zip(named).filter(|(s, hit)| **hit && take(s)).map(|(s, _)| s.technique.clone()).collect()
}

#[test]
fn the_linux_pack_names_twice_the_techniques_of_the_public_rules() {
    let (Some(attacks), Some(public)) = (attacks(), sigmahq()) else { return };
    let ours = pack();
    let all: BTreeSet<&str> = attacks.iter().map(|s| s.technique.as_str()).collect();
    println!("{} techniques, {} commands; rules: SigmaHQ {}, ours {}", all.len(), 236, public.rules().len(), ours.rules().len());
    let (public, ours) = (named(public, &attacks), named(ours, &attacks));
    println!("{:34} {:>8} {:>6} {:>6}", "techniques with the right tag", "of", "public", "ours");
    let mut counts = Vec::new();
    for (way, take) in [
        ("programs started", Box::new(|s: &Seen| s.way == "programs") as Box<dyn Fn(&Seen) -> bool>),
        ("lines a shell reads", Box::new(|s: &Seen| s.way == "lines")),
        ("whole command as one argument", Box::new(|s: &Seen| s.way == "shell")),
        ("seen in any of these ways", Box::new(|_: &Seen| true)),
        ("  developed on (even numbers)", Box::new(|s: &Seen| s.number.is_multiple_of(2))),
        ("  held out (odd numbers)", Box::new(|s: &Seen| !s.number.is_multiple_of(2))),
    ] {
        let of: BTreeSet<&str> = attacks.iter().filter(|s| take(s)).map(|s| s.technique.as_str()).collect();
        let (theirs, own) = (techniques(&public, &attacks, &take), techniques(&ours, &attacks, &take));
        println!("{way:34} {:>8} {:>6} {:>6}", of.len(), theirs.len(), own.len());
        counts.push((way, theirs.len(), own.len()));
    }
    let (theirs, own) = (techniques(&public, &attacks, |_| true), techniques(&ours, &attacks, |_| true));
    for technique in &all {
        let mark = |set: &BTreeSet<String>| if set.contains(*technique) { "yes" } else { "-" };
        println!("  {technique:10} public {:3}  ours {:3}", mark(&theirs), mark(&own));
    }
    for (way, theirs, own) in counts {
        assert!(own >= TIMES * theirs, "{way}: {own} techniques, the public rules {theirs}");
    }
}

/// Quiet events: what a Debian host did for a day of builds, updates and scripts (the lane without its one per cent of attack
/// commands), and the background of a real intrusion (all users but the one that was broken into).
#[test]
fn the_linux_pack_is_silent_on_quiet_hosts() {
    let (Some(public), Some(lane), Some(sysmon)) = (sigmahq(), lane(), corpus::lines("logs/linux-attack/log4shell-jndi.sysmon-flat.jsonl"))
    else {
        return;
    };
    let background = sysmon.iter().filter(|e| e["fields"]["User"] != "tomcat").map(|e| (corpus::event(e), 1)).collect();
    for (name, events, limit) in [("lane", lane, 0), ("background of an intrusion", background, 0)] {
        let (mut total, mut theirs, mut own) = (0, 0, 0);
        let mut loud = BTreeMap::<String, usize>::new();
        for (event, count) in &events {
            total += count;
            theirs += if tags(public, event).is_some() { *count } else { 0 };
            let mut findings = Vec::new();
            pack().detect(event, &mut findings);
            own += if findings.is_empty() { 0 } else { *count };
            for finding in &findings {
                *loud.entry(finding.rule.title.clone()).or_default() += count;
            }
        }
        println!("{name}: {total} quiet events; findings on: public {theirs}, ours {own}");
        for (title, count) in &loud {
            println!("  {count:5}  {title}");
        }
        assert!(total > 0 && own <= limit, "{name}: {own}");
        assert!(own <= theirs);
    }
}

/// Distinct events of the lane, and how often each came. Attack commands in it are those of the intruder's shell.
fn lane() -> Option<Vec<(Arc<Event>, usize)>> {
    let path = tests::data("bench/sigma-lanes/linux.jsonl.zst")?;
    let file = std::fs::File::open(path).expect("the lane can be read");
    let reader = std::io::BufReader::new(zstd::Decoder::new(file).expect("zstd"));
    let mut distinct: BTreeMap<String, (Arc<Event>, usize)> = BTreeMap::new();
    for line in std::io::BufRead::lines(reader) {
        let json: Json = serde_json::from_str(&line.expect("UTF-8")).expect("a JSON line");
        let category = text(&json, "category");
        if text(&json, "product") != "linux" || category.is_empty() {
            continue;
        }
        if text(&json, "ParentCommandLine") == "bash -i" || text(&json, "ParentImage") == "/usr/sbin/sshd" {
            continue;
        }
        const KEPT: &[&str] = &["Image", "CommandLine", "ParentImage", "ParentCommandLine", "TargetFilename", "DestinationPort", "User"];
        let key = KEPT.iter().map(|k| json[*k].to_string()).collect::<Vec<_>>().join("\n") + category;
        let entry = distinct.entry(key).or_insert_with(|| {
            let fields: serde_json::Map<_, _> = json.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
            let line = serde_json::json!({"product": "linux", "category": category, "fields": fields});
            (corpus::event(&line), 0)
        });
        entry.1 += 1;
    }
    Some(distinct.into_values().collect())
}
