//! Control protocols in real captures: every command that must always alarm does, with who and which object; labelled attacks on plants are
//! named; where nobody attacks nothing is said. Prints the tables it found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use collector::replay::{ReplaySummary, Road};
use event::{Class, Event, Field, Finding, Timestamp, Value, field};

use super::harness;

fn number(event: &Event, field: Field) -> i64 {
    event.get(field).and_then(Value::as_int).unwrap_or(-1)
}

/// Whether a request must raise an alarm whoever sends it, by the protocol's own numbers.
fn always(event: &Event) -> bool {
    if event.get(field::OT_DIRECTION).and_then(Value::as_str).is_none_or(|d| d == "response" || d == "unsolicited") {
        return false;
    }
    let (function, sub) = (number(event, field::OT_FUNCTION), number(event, field::OT_SUB_FUNCTION));
    let (name, kind, program) = (event.text(field::OT_FUNCTION_NAME), event.text(field::OT_OBJECT_TYPE), event.text(field::OT_PROGRAM));
    let changes = event.get(field::OT_IS_WRITE) == Some(&Value::Bool(true));
    match &*event.text(field::OT_PROTOCOL) {
        "modbus" => matches!((function, sub), (8, 1 | 4 | 10) | (90, 0x30..=0x32 | 0x40 | 0x41)),
        "dnp3" => {
            let broadcast = number(event, field::OT_STATION) >= 0xfffd && matches!(function, 3..=6 | 13 | 14 | 18 | 21);
            matches!(function, 13..=16 | 18 | 21 | 27..=29) || function == 25 && changes || broadcast
        }
        "iec104" => {
            let odd = matches!(function, 45..=64) && !matches!(&*event.text(field::OT_CAUSE), "activation" | "deactivation");
            matches!(function, 105 | 120..=126) || odd
        }
        "s7comm" => {
            let service = matches!(&*program, "P_PROGRAM" | "_INSE" | "_DELE" | "_MODU" | "_GARB");
            matches!(function, 0x1a..=0x1f | 0x29) || function == 0x28 && service || name == "userdata_security"
        }
        "cip" => {
            let set = matches!(function, 0x02 | 0x04 | 0x10) && matches!(&*kind, "identity" | "tcp_ip_interface");
            matches!(function, 0x05 | 0x07) || set || number(event, field::OT_SUB_FUNCTION) == 0x80 && kind == "pccc"
        }
        "profinet_dcp" => name == "dcp_set" && changes,
        "bacnet" => {
            let silences = name == "device_communication_control" && event.text(field::OT_SUB_FUNCTION_NAME) != "enable";
            silences || name == "reinitialize_device"
        }
        _ => false,
    }
}

/// Captures of control protocols, by folder and name.
fn captures() -> Option<Vec<(String, std::path::PathBuf)>> {
    let mut all = Vec::new();
    for folder in ["attack-ics", "attack-lab", "ics-bacnet", "ics-dnp3", "ics-enip", "ics-iec104", "ics-modbus", "ics-profinet", "ics-s7"] {
        let path = tests::data(&format!("pcap/{folder}"))?;
        for file in std::fs::read_dir(path).ok()?.flatten() {
            all.push((format!("{folder}/{}", file.file_name().to_string_lossy()), file.path()));
        }
    }
    all.sort();
    Some(all)
}

fn events(path: &Path) -> Vec<(Class, Event)> {
    let mut all = Vec::new();
    agent::sensor::net::replay::replay(path, &mut |class, event| all.push((class, event)))
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    all
}

/// Who did what to which object, as an operator would ask.
fn sentence(event: &Event) -> String {
    let text = |f| event.text(f).into_owned();
    let either = |a, b| event.get(a).or(event.get(b)).map(|v| v.to_text().into_owned()).unwrap_or_default();
    let objects = event.get(field::OT_OBJECTS).map(|v| v.to_text().into_owned()).unwrap_or_default();
    let station = event.get(field::OT_STATION).map(|v| format!(" station {}", v.to_text())).unwrap_or_default();
    format!(
        "{} -> {}{station}: {} {} {} {} {}",
        either(field::SRC_IP, field::SRC_MAC),
        either(field::DST_IP, field::DST_MAC),
        text(field::OT_PROTOCOL),
        text(field::OT_FUNCTION_NAME),
        text(field::OT_SUB_FUNCTION_NAME),
        text(field::OT_PROGRAM),
        objects
    )
}

#[test]
fn every_command_that_must_always_alarm_does() {
    let Some(captures) = captures() else { return };
    let alerting = harness::alerting();
    let (mut table, mut silent) = (BTreeMap::<(String, String, String), usize>::new(), BTreeSet::new());
    for (name, path) in captures {
        for (_, event) in events(&path).into_iter().filter(|(_, e)| always(e)) {
            assert!(event.get(field::SRC_IP).or(event.get(field::SRC_MAC)).is_some());
            assert!(event.get(field::DST_IP).or(event.get(field::DST_MAC)).is_some());
            let sentence = sentence(&event);
            let found: BTreeSet<String> = harness::found(event).intersection(&alerting).cloned().collect();
            if found.is_empty() {
                silent.insert(format!("{name}: {sentence}"));
            }
            *table.entry((name.clone(), sentence, found.into_iter().collect::<Vec<_>>().join(" "))).or_insert(0) += 1;
        }
    }
    for ((name, sentence, found), count) in &table {
        println!("{count:>4}  {name:<66} {sentence:<90} {found}");
    }
    println!("{} commands of {} kinds", table.values().sum::<usize>(), table.len());
    assert!(silent.is_empty(), "no alert for:\n{}", silent.into_iter().collect::<Vec<_>>().join("\n"));
    assert!(table.len() > 50, "{}", table.len());
}

fn road(events: impl Iterator<Item = (Class, Event)>) -> (ReplaySummary, Vec<Finding>) {
    let mut road = Road::over(harness::engine(), 256).keeping_findings();
    for (class, event) in events {
        road.push(class, event);
    }
    road.finish_with_findings()
}

fn findings(events: impl Iterator<Item = (Class, Event)>) -> Vec<Finding> {
    road(events).1
}

struct Label {
    start: Timestamp,
    end: Timestamp,
    name: String,
    attacker: String,
    target: String,
}

/// Lines of start, end, label, and who, behind a heading.
fn labels(file: &str) -> Option<Vec<Label>> {
    let text = std::fs::read_to_string(tests::data(file)?).unwrap_or_else(|e| panic!("{file}: {e}"));
    let time = |text: &str| Timestamp::from_ms((text.parse::<f64>().unwrap_or(0.0) * 1e3) as i64);
    let rows = text.lines().skip(1).map(|line| {
        let column = |n: usize| line.split('\t').nth(n).unwrap_or_default();
        Label {
            start: time(column(0)),
            end: time(column(1)),
            name: column(2).to_owned(),
            attacker: column(3).to_owned(),
            target: column(4).to_owned(),
        }
    });
    Some(rows.collect())
}

/// Alerting rules that spoke from a label's start to five seconds after its end, and whom they name: in a row of everything from the first frame on,
/// as an engine at work meets it.
fn spoke<'f>(findings: &'f [Finding], label: &Label, counts: fn(&Finding) -> bool) -> BTreeMap<&'f str, BTreeSet<String>> {
    let (from, to) = (label.start, label.end.plus_ns(5 * event::SECOND_NS));
    let mut row = BTreeMap::<&str, BTreeSet<String>>::new();
    for finding in findings.iter().filter(|f| f.rule.alerts && (from..=to).contains(&f.time) && counts(f)) {
        let ip = |f| finding.get(f).map(|v| v.to_text().into_owned()).unwrap_or_default();
        let who = format!("{}>{}", ip(field::SRC_IP), ip(field::DST_IP));
        row.entry(finding.rule.name.as_deref().unwrap_or_default()).or_default().insert(who);
    }
    row
}

/// Whether a finding names the attack: a message of the attacker's host or card decided it, or what is found is itself the attack (a poisoned
/// ARP table, a restart under the master's address).
fn names_it(finding: &Finding) -> bool {
    let name = finding.rule.name.as_deref().unwrap_or_default();
    let shows = |f: Field, text: &str| finding.event.as_ref().is_some_and(|e| e.text(f) == text);
    let host = [field::SRC_IP, field::DST_IP].into_iter().any(|f| shows(f, "192.168.10.66"));
    let card = [field::SRC_MAC, field::DST_MAC].into_iter().any(|f| shows(f, "00:10:18:cb:8c:13"));
    host || card || name.starts_with("arp_") || name == "dnp3_warm_restart"
}

/// Whether it is new at least, and not the retelling of a window that an older message opened.
fn is_new(finding: &Finding) -> bool {
    names_it(finding) || finding.span.is_none()
}

/// A substation's own attacks: at least 80 % of them are noticed while they run, and the quiet window stays quiet. Most are named. An outstation's
/// own host that plays another outstation is noticed by its master, which sets the clock anew. Not noticed are three replays whose bytes
/// are the master's own, from its own address and card, and a flood of replays that is the first thing this (cut) file shows of its host.
#[test]
fn attacks_on_a_substation_are_noticed() {
    let file = "pcap/truth/labels/attack-ics__qut_dnp3_training_frequent_cut.attacks.tsv";
    let (Some(path), Some(labels)) = (tests::data("pcap/attack-ics/qut_dnp3_training_frequent_cut.pcap"), labels(file)) else { return };
    let findings = findings(events(&path).into_iter());
    let (mut named, mut noticed, mut attacks, mut missed) = (0, 0, 0, Vec::new());
    for label in &labels {
        if label.name == "benign_window" {
            let row = spoke(&findings, label, |_| true);
            assert!(row.is_empty(), "{row:?}");
            continue;
        }
        let (by_name, row) = (spoke(&findings, label, names_it), spoke(&findings, label, is_new));
        println!("{:<44} {:<8} {row:?}", label.name, if by_name.is_empty() { "" } else { "named" });
        attacks += 1;
        named += usize::from(!by_name.is_empty());
        if row.is_empty() { missed.push(label.name.as_str()) } else { noticed += 1 }
    }
    println!("{noticed} of {attacks} noticed, {named} of them named; not: {missed:?}");
    assert!(attacks >= 24 && noticed * 5 >= attacks * 4 && named >= 16, "{noticed} and {named} of {attacks}: not {missed:?}");
}

/// The laboratory's attacks on its controller: rules that must name them, who did it.
const LAB: &[(&str, &[&str])] = &[
    ("modbus_unauthorised_writes", &["modbus_restart_communications"]),
    ("iec104_unauthorised_commands", &["iec104_clock_set"]),
    ("s7_stop", &["s7_plc_stopped", "s7_plc_started"]),
];

#[test]
fn attacks_on_the_laboratory_controller_are_named() {
    let file = "pcap/truth/labels/attack-lab__lab_dev.events.tsv";
    let (Some(path), Some(labels)) = (tests::data("pcap/attack-lab/lab_dev.pcap"), labels(file)) else { return };
    let ot = events(&path).into_iter().filter(|(_, e)| e.source.category.as_deref() == Some("ot"));
    let findings = findings(ot);
    for label in &labels {
        let row = spoke(&findings, label, |_| true);
        println!("{:<30} {row:?}", label.name);
        if label.name == "benign_window" {
            assert!(row.is_empty(), "{row:?}");
        }
        for rule in LAB.iter().filter(|(name, _)| *name == label.name).flat_map(|(_, rules)| *rules) {
            let who = row.get(*rule).unwrap_or_else(|| panic!("{}: no {rule}", label.name));
            assert!(who.iter().all(|w| *w == format!("{}>{}", label.attacker, label.target)), "{who:?}");
        }
    }
}

/// Rules that count over time and speak on the plant below: its master asks all day for registers that its devices do not have.
const PLANT: &[&str] = &["modbus_exception_storm", "modbus_register_survey"];

/// A plant at work, and fifteen captures of offices and homes: no rule on a command speaks, nor any other but those of `PLANT`.
#[test]
fn where_nobody_attacks_no_rule_on_control_protocols_speaks() {
    let (Some(plant), Some(folder)) =
        (tests::data("pcap/attack-ics/modbusdataset__characterization_modbus_6RTU_with_operate.pcap"), tests::data("pcap/benign"))
    else {
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("the folder of benign captures").flatten().map(|f| f.path()).collect();
    files.push(plant.clone());
    files.sort();
    let mut loud = Vec::new();
    for file in files {
        let all = events(&file);
        let (read, of) = (all.len(), file.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let findings = findings(all.into_iter().filter(|(_, e)| e.source.category.as_deref() == Some("ot")));
        let rules: BTreeSet<&str> = findings.iter().filter(|f| f.rule.alerts).filter_map(|f| f.rule.name.as_deref()).collect();
        println!("{of:<62} {read:>6} events  {rules:?}");
        if rules.iter().any(|rule| file != plant || !PLANT.contains(rule)) {
            loud.push(format!("{of}: {rules:?}"));
        }
    }
    assert!(loud.is_empty(), "{loud:#?}");
}
