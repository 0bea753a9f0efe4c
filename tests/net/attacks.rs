//! Attacks in real captures through the agent's sensors and the engine with every rule that ships, as `vedette replay` does it. Prints a table:
//! which attack, named by what, whether who and against whom are right, how long after its beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use collector::replay::ReplaySummary;
use event::SECOND_NS;
use warning::Alert;

use crate::rules::harness;
use crate::sigma::corpus;

/// An attack of the laboratory: the rules of which one must name it, and by when after its beginning.
struct Attack {
    label: &'static str,
    rules: &'static [&'static str],
    within_s: i64,
    /// Why it may take longer than ten seconds, or why the attacker is a link address.
    note: &'static str,
}

const fn attack(label: &'static str, rules: &'static [&'static str]) -> Attack {
    Attack { label, rules, within_s: 10, note: "" }
}

const LAB: &[Attack] = &[
    attack("arp_sweep", &["arp_sweep"]),
    attack("port_scan_syn", &["port_scan_vertical"]),
    attack("port_scan_connect_slow", &["port_scan_vertical"]),
    attack("port_scan_sX", &["stealth_scan"]),
    attack("port_scan_udp", &["udp_port_scan"]),
    attack("ssh_brute_force", &["ssh_connections_burst", "ssh_connections_many"]),
    attack("modbus_unauthorised_writes", &["modbus_restart_communications", "modbus_unit_sweep", "modbus_second_writer"]),
    attack(
        "iec104_unauthorised_commands",
        &["iec104_second_master", "iec104_clock_set", "iec104_command_sweep", "control_network_new_pair"],
    ),
    attack("s7_stop", &["s7_plc_stopped", "s7_plc_started"]),
    Attack {
        note: "who poisons lies about its address: named by its link address",
        ..attack("arp_spoof", &["arp_takeover", "arp_spoofing"])
    },
    Attack {
        note: "sources are forged: named by the link address, and the address it claimed",
        ..attack("syn_flood", &["syn_flood_card"])
    },
    attack("udp_flood", &["udp_flood", "udp_flood_fast"]),
    attack("icmp_flood", &["icmp_flood"]),
    Attack {
        note: "the tunnel's server is known by its domain; the host asks its resolver",
        ..attack("dns_tunnel_iodine", &["dns_null_questions", "dns_tunnel", "dns_random_names"])
    },
    Attack { note: "as above", ..attack("dns_exfil", &["dns_tunnel", "dns_random_names", "dns_bulk_queries"]) },
    attack("new_device", &["control_network_new_device"]),
    attack("new_device_pair_ot", &["control_network_new_pair"]),
    Attack { within_s: 60, note: "an interval is known after eight calls, here forty seconds", ..attack("beaconing", &["beacon"]) },
];

/// A line of the file of labels.
struct Label {
    start: i64,
    end: i64,
    name: String,
    attacker: String,
    target: String,
}

fn labels(path: &Path) -> Vec<Label> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let ns = |text: &str| (text.parse::<f64>().unwrap_or(0.0) * 1e9) as i64;
    let rows = text.lines().skip(1).map(|line| {
        let column = |n: usize| line.split('\t').nth(n).unwrap_or_default();
        Label {
            start: ns(column(0)),
            end: ns(column(1)),
            name: column(2).to_owned(),
            attacker: column(3).to_owned(),
            target: column(4).to_owned(),
        }
    });
    rows.collect()
}

/// Link address of each address, as the hosts themselves said first.
fn cards(path: &Path) -> BTreeMap<String, String> {
    let mut cards = BTreeMap::new();
    let result = agent::sensor::net::replay(path, &mut |_, event| {
        if event.source.service.as_deref() == Some("new_device") {
            let text = |f| event.text(f).into_owned();
            cards.entry(text(event::field::SRC_IP)).or_insert(text(event::field::SRC_MAC));
        }
    });
    result.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    cards
}

fn replayed(path: &Path) -> ReplaySummary {
    harness::replay(path).unwrap_or_else(|e| panic!("{}: {e:#}", path.display()))
}

fn rules_of(alerts: &[Alert], names: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, usize> {
    let mut row = BTreeMap::new();
    for alert in alerts {
        *row.entry(names(&alert.rule_id).unwrap_or_default()).or_insert(0) += 1;
    }
    row
}

/// Whether an alert names somebody: among its parties, or as what makes its findings one.
fn names_party(alert: &Alert, parties: &[String], who: &str) -> bool {
    parties.iter().chain(alert.group_key.values()).any(|p| p == who)
}

#[test]
fn every_attack_of_the_laboratory_is_named_with_who_and_against_whom() {
    let (Some(file), Some(truth)) =
        (tests::data("pcap/attack-lab/lab_dev.pcap"), tests::data("pcap/truth/labels/attack-lab__lab_dev.events.tsv"))
    else {
        return;
    };
    let (names, labels, cards, summary) = (harness::names(), labels(&truth), cards(&file), replayed(&file));
    println!("{:<30} {:<28} {:>8} {:<9} {:<7} note", "attack", "named by", "after s", "attacker", "target");
    let mut wrong = Vec::new();
    for attack in LAB {
        let label = labels.iter().find(|l| l.name == attack.label).unwrap_or_else(|| panic!("no label {}", attack.label));
        let card = cards.get(&label.attacker).cloned().unwrap_or_default();
        let said = summary.alerts.iter().filter(|a| {
            let rule = names(&a.rule_id).unwrap_or_default();
            attack.rules.contains(&&*rule) && (label.start..=label.end + 10 * SECOND_NS).contains(&a.opened_time)
        });
        let judged = said.map(|a| {
            let who = if names_party(a, &a.source_ips, &label.attacker) {
                "address"
            } else if names_party(a, &a.source_ips, &card) {
                "card"
            } else {
                ""
            };
            let network = label.target.contains('/');
            // A tunnel's far end is behind the resolver that is asked: the domain names it.
            let domain = a.group_key.contains_key("query.domain");
            let whom = network || domain || names_party(a, &a.target_ips, &label.target) || a.rule_id.is_empty();
            (a, who, whom)
        });
        let best =
            judged.max_by_key(|(a, who, whom)| (usize::from(!who.is_empty()) + usize::from(*whom), std::cmp::Reverse(a.opened_time)));
        let Some((alert, who, whom)) = best else {
            println!("{:<30} not named", attack.label);
            wrong.push(format!("{}: none of {:?}", attack.label, attack.rules));
            continue;
        };
        let after = (alert.opened_time - label.start) as f64 / 1e9;
        let rule = names(&alert.rule_id).unwrap_or_default();
        println!("{:<30} {rule:<28} {after:>8.2} {who:<9} {:<7} {}", attack.label, if whom { "yes" } else { "-" }, attack.note);
        // A new device is itself what is told; nobody is attacked yet.
        if who.is_empty() || !(whom || attack.label == "new_device") || after > attack.within_s as f64 {
            wrong.push(format!(
                "{}: {rule} after {after:.2} s, by {:?} against {:?} ({:?})",
                attack.label, alert.source_ips, alert.target_ips, alert.group_key
            ));
        }
    }
    let first = labels.iter().filter(|l| l.name != "benign_window").map(|l| l.start).min().unwrap_or(0);
    let early: Vec<_> = summary.alerts.iter().filter(|a| a.opened_time < first).map(|a| a.title.as_str()).collect();
    println!("\nalerts before the first attack: {}", early.len());
    println!("\nall alerts, and when they were opened:");
    for alert in &summary.alerts {
        let at = (alert.opened_time - first) as f64 / 1e9;
        let few = |all: &[String]| {
            format!("{}{}", all.iter().take(2).cloned().collect::<Vec<_>>().join(","), if all.len() > 2 { "…" } else { "" })
        };
        let running: Vec<_> =
            labels.iter().filter(|l| (l.start..=l.end + 2 * SECOND_NS).contains(&alert.opened_time)).map(|l| l.name.as_str()).collect();
        println!(
            "{at:>8.2} {:<30} {:<24} -> {:<24} during {running:?}",
            names(&alert.rule_id).unwrap_or_default(),
            few(&alert.source_ips),
            few(&alert.target_ips)
        );
    }
    assert!(early.is_empty(), "{early:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Captures in which nobody attacks, single failed logons, one probe of one port: nobody must be woken.
const QUIET: &[&str] = &[
    "attack-bruteforce/zeek__psql-login-fail.pcap",
    "proto-db/zeek__mysql8-navicat-login-failed.pcap",
    "attack-scan/curatedpcaps__nmap_80_vanilla.pcap",
    "attack-arp/sv__arp-encap.pcap",
    "attack-arp/zeek__arp-leak.pcap",
    "attack-dnstunnel/dnstunneling__26may_benign.pcap",
];

#[test]
fn nobody_is_woken_where_nobody_attacks() {
    let Some(folder) = tests::data("pcap/benign") else { return };
    let names = harness::names();
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("the folder of benign captures").flatten().map(|f| f.path()).collect();
    files.sort();
    assert!(files.len() >= 15, "{} benign captures", files.len());
    files.extend(QUIET.iter().filter_map(|f| tests::data(&format!("pcap/{f}"))));
    let mut loud = Vec::new();
    for file in &files {
        let summary = replayed(file);
        let rules = rules_of(&summary.alerts, &names);
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name:<60} {:>6} events  {rules:?}", summary.events);
        if !rules.is_empty() {
            loud.push(format!("{name}: {rules:?}"));
        }
    }
    assert!(loud.is_empty(), "{}", loud.join("\n"));
}

/// What Zeek's own scripts notice in these captures, and which of our rules say the same.
const NOTICES: &[(&str, &[&str])] = &[
    ("Scan::Port_Scan", &["port_scan_vertical"]),
    ("Scan::Address_Scan", &["port_scan_horizontal"]),
    ("SSH::Password_Guessing", &["ssh_connections_many"]),
];

#[test]
fn what_zeek_notices_in_scans_and_guessing_is_noticed() {
    let Some(truth) = corpus::lines("pcap/truth/repo_truth.jsonl.gz") else { return };
    let names = harness::names();
    let (mut compared, mut missed) = (0, Vec::new());
    for row in truth.iter().filter(|r| r["kind"] == "zeek" && r["source"].as_str().is_some_and(|s| s.ends_with("notice.log"))) {
        let file = row["file"].as_str().unwrap_or_default();
        if !(file.starts_with("attack-scan/") || file.starts_with("attack-bruteforce/")) {
            continue;
        }
        let Some(path) = tests::data(&format!("pcap/{file}")) else { return };
        let summary = replayed(&path);
        let hosts = hosts(&path);
        for line in row["text"].as_str().unwrap_or_default().lines().filter(|l| !l.starts_with('#')) {
            let Some((note, rules)) = NOTICES.iter().find(|(note, _)| line.contains(note)) else { continue };
            // The one who is noticed is the first address of the line; the same baseline folder also holds notices of other captures.
            let words = line.split(|c: char| c.is_whitespace() || c == ',');
            let who = words.into_iter().find(|w| w.parse::<std::net::IpAddr>().is_ok()).unwrap_or_default().to_owned();
            if !hosts.contains(&who) {
                println!("{file:<50} {note:<24} {who:<16} not a host of this capture");
                continue;
            }
            compared += 1;
            let same =
                summary.alerts.iter().find(|a| rules.contains(&&*names(&a.rule_id).unwrap_or_default()) && a.source_ips.contains(&who));
            let said = same.map(|a| format!("{} -> {:?}", names(&a.rule_id).unwrap_or_default(), a.target_ips)).unwrap_or_default();
            println!("{file:<50} {note:<24} {who:<16} {said}");
            if same.is_none() {
                missed.push(format!("{file}: {note} {who}"));
            }
        }
    }
    assert!(compared >= 2 && missed.is_empty(), "{compared} compared, missed {missed:?}");
}

fn hosts(path: &Path) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    let result = agent::sensor::net::replay(path, &mut |_, event| {
        hosts.extend([event::field::SRC_IP, event::field::DST_IP].iter().map(|f| event.text(*f).into_owned()));
    });
    result.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    hosts
}
