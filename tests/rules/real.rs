//! Real captures with known truth: the attacks in them are named, quiet ones stay quiet. Prints the table it found.

use std::collections::BTreeMap;
use std::path::Path;

use super::harness;

/// Capture, and the rules of which at least one must name the attack in it.
const ATTACKS: &[(&str, &[&str])] = &[
    ("attack-scan/brosimplescan__port_scan.pcap", &["port_scan_vertical"]),
    ("attack-scan/curatedpcaps__nmap_80_w_service_detection.pcap", &["scanner_user_agent"]),
    ("attack-scan/curatedpcaps__udp_0_1000_20190821.pcap", &["udp_port_scan"]),
    ("attack-scan/ndpi__synscan.pcap", &["port_scan_vertical"]),
    ("attack-scan/pcaps__portscan.pcap", &["port_scan_vertical"]),
    ("attack-scan/sgr__hs-arpScan.pcap", &["arp_sweep"]),
    ("attack-scan/sgr__hs-tcp_synPingSweepRand.pcap", &["port_scan_horizontal"]),
    ("attack-scan/sgr__portScan_1_to_10000.pcapng", &["port_scan_vertical"]),
    ("attack-scan/zeek__nmap-vsn.pcap", &["arp_sweep"]),
    ("attack-bruteforce/zeek__sshguess.pcap", &["ssh_connections_many"]),
    ("attack-arp/642__arpspoofing.pcap", &["arp_spoofing"]),
    ("attack-arp/sgr__na-arpSpoofing.pcap", &["arp_poisoning_steady"]),
    ("attack-flood/packetcaptures__pkt.TCP.DOMINATE.syn.ecn.cwr.pcap", &["syn_flood"]),
    ("attack-flood/packetcaptures__pkt.TCP.synflood.spoofed.pcap", &["syn_flood"]),
    ("attack-dnstunnel/ndpi__bad-dns-traffic.pcap", &["dns_tunnel"]),
    ("attack-dnstunnel/ndpi__dns_exfiltration.pcap", &["dns_tunnel_resolver"]),
    ("attack-bruteforce/pcapattack__CA_kerbrute_passwordspray_kerberos_AS-REQ.pcapng", &["wire_login_spraying"]),
    ("attack-exploit/malcolm__PrintNightmare.pcap", &["printer_driver_added_remotely"]),
    ("attack-exploit/malcolm__eternalblue-success-unpatched-win7.pcap", &["smb1_exploit_shape"]),
    ("attack-exploit/malcolm__eternalromance-success-2008r2.pcap", &["smb1_exploit_shape"]),
    ("attack-exploit/pcapattack__LM_psexec_smb_dcerpc_epm_svcctl.pcapng", &["service_made_remotely"]),
    ("attack-exploit/pcapattack__DCShadow_add_primarygroupid_512_to_std_account.pcapng", &["domain_controller_added"]),
    ("attack-exploit/pcapattack__CA_masterkey_rpc_protectedstorage.pcapng", &["domain_secrets_read"]),
    ("attack-exploit/pcapattack__zerologon_mimikatz_ntlm_privacy_scan_and_exploit_encrypted.pcapng", &["zerologon"]),
];

/// Captures with single failed logons, backscatter and leaks: their own source says nobody must be woken.
const QUIET: &[&str] = &[
    "attack-bruteforce/zeek__psql-login-fail.pcap",
    "attack-arp/sv__arp-encap.pcap",
    "attack-arp/zeek__arp-leak.pcap",
    "attack-dnstunnel/dnstunneling__26may_benign.pcap",
];

/// Label of the laboratory capture, rule that must name it, who did it, and by when: seconds after the attack's end (most are named
/// while they run; a UDP probe counts as unanswered a second after it).
const LAB: &[(&str, &str, &str, i64)] = &[
    ("arp_sweep", "arp_sweep", "10.66.0.66", 1),
    ("port_scan_syn", "port_scan_vertical", "10.66.0.66", 1),
    ("port_scan_connect_slow", "port_scan_vertical", "10.66.0.66", 1),
    ("port_scan_sX", "stealth_scan", "10.66.0.66", 1),
    ("port_scan_udp", "udp_port_scan", "10.66.0.66", 2),
    ("ssh_brute_force", "ssh_connections_many", "10.66.0.66", 1),
    ("arp_spoof", "arp_takeover", "", 1),
    ("syn_flood", "syn_flood", "", 1),
    ("dns_tunnel_iodine", "dns_tunnel", "10.66.0.40", 1),
    ("dns_exfil", "dns_tunnel", "10.66.0.40", 1),
];

/// Prints what each capture of a folder gives; rule names with alert counts.
fn table(folder: &str) -> Option<BTreeMap<String, BTreeMap<String, usize>>> {
    let folder = tests::data(folder)?;
    let names = harness::names();
    let mut files: Vec<_> = std::fs::read_dir(&folder).ok()?.flatten().map(|e| e.path()).collect();
    files.sort();
    let mut table = BTreeMap::new();
    for file in files {
        table.insert(label(&file), row(&file, &names));
    }
    Some(table)
}

fn label(file: &Path) -> String {
    file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn row(file: &Path, names: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, usize> {
    let summary = harness::replay(file).unwrap_or_else(|e| panic!("{}: {e:#}", file.display()));
    let mut row = BTreeMap::new();
    for alert in &summary.alerts {
        *row.entry(names(&alert.rule_id).unwrap_or_default()).or_insert(0) += 1;
    }
    println!("{:<60} {:>6} events  {row:?}", label(file), summary.events);
    row
}

#[test]
fn attacks_in_real_captures_are_named() {
    let names = harness::names();
    let mut missed = Vec::new();
    for (path, rules) in ATTACKS {
        let Some(file) = tests::data(&format!("pcap/{path}")) else { return };
        let row = row(&file, &names);
        if !rules.iter().any(|r| row.contains_key(*r)) {
            missed.push(format!("{path}: none of {rules:?} in {row:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn benign_captures_stay_quiet() {
    let names = harness::names();
    let Some(mut table) = table("pcap/benign") else { return };
    for path in QUIET {
        let Some(file) = tests::data(&format!("pcap/{path}")) else { return };
        table.insert((*path).to_owned(), row(&file, &names));
    }
    let loud: Vec<_> = table.iter().filter(|(_, row)| !row.is_empty()).collect();
    assert!(loud.is_empty(), "{loud:#?}");
}

/// Twelve hosts, labelled attacks: each network attack is named by its rule while it runs, and before the first of them nothing is said.
#[test]
fn the_laboratory_attacks_are_named_while_they_run() {
    let (Some(file), Some(labels)) =
        (tests::data("pcap/attack-lab/lab_dev.pcap"), tests::data("pcap/truth/labels/attack-lab__lab_dev.events.tsv"))
    else {
        return;
    };
    let names = harness::names();
    let summary = harness::replay(&file).unwrap_or_else(|e| panic!("{e:#}"));
    let labels = std::fs::read_to_string(labels).unwrap();
    let ns = |text: &str| (text.parse::<f64>().unwrap_or(0.0) * 1e9) as i64;
    let mut missed = Vec::new();
    for (label, rule, attacker, after_s) in LAB {
        let Some(line) = labels.lines().find(|l| l.split('\t').nth(2) == Some(label)) else { panic!("no label {label}") };
        let mut columns = line.split('\t');
        let (start, end) = (ns(columns.next().unwrap_or("")), ns(columns.next().unwrap_or("")));
        let named = summary.alerts.iter().find(|a| {
            names(&a.rule_id).as_deref() == Some(rule)
                && a.opened_time >= start
                && a.opened_time <= end + after_s * event::SECOND_NS
                && (attacker.is_empty() || a.source_ips.iter().any(|ip| ip == attacker))
        });
        match named {
            Some(a) => println!("{label:<24} {rule:<22} {:.2} s after it began", (a.opened_time - start) as f64 / 1e9),
            None => missed.push(format!("{label}: no {rule} by '{attacker}' while it ran")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    let first = labels.lines().filter(|l| l.contains("arp_sweep")).filter_map(|l| l.split('\t').next()).map(ns).min().unwrap_or(0);
    assert!(summary.alerts.iter().all(|a| a.opened_time >= first), "an alert before the first attack");
}
