//! Web, names, TLS and SSH against the logs that Zeek's own tests keep, the events that Suricata's own tests demand, and
//! the protocols that nDPI finds by content.
//!
//! A truth is a line of a log (the columns below) or a value demanded of an event; it is met if the pipeline says the same of that
//! file as often. Zeek masks time and ids in these logs, so lines are compared as sets. Every class of difference is named.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;

use agent::sensor::net::replay;
use event::{Event, Value, field};
use serde_json::Value as Json;

use super::agreement::{Counter, Row, lines, print};

/// (log, row, columns).
const LOGS: &[(&str, &str, &[&str])] = &[
    ("http.log", "zeek http", &["method", "host", "uri", "status_code"]),
    ("dns.log", "zeek dns", &["query"]),
    ("ssl.log", "zeek ssl", &["server_name", "version", "cipher"]),
    ("x509.log", "zeek x509", &["certificate.serial"]),
    ("quic.log", "zeek quic", &["server_name"]),
    ("ssh.log", "zeek ssh", &["client", "server"]),
];

/// Keys of Suricata's events whose values are compared.
const KEYS: &[(&str, &str)] = &[
    ("http.hostname", "suricata http"),
    ("http.http_method", "suricata http"),
    ("http.url", "suricata http"),
    ("http.http_user_agent", "suricata http"),
    ("tls.sni", "suricata tls"),
    ("tls.version", "suricata tls"),
    ("tls.ja3.hash", "suricata tls"),
    ("tls.ja4", "suricata tls"),
    ("dns.queries[0].rrname", "suricata dns"),
    ("dns.rrname", "suricata dns"),
    ("ssh.client.hassh.hash", "suricata ssh"),
];

#[derive(Default)]
struct Heard {
    /// Row → lines.
    lines: HashMap<&'static str, Counter>,
    /// Key of Suricata's → values.
    values: HashMap<&'static str, Counter>,
    /// Ends of a flow, lower first → names of what it spoke.
    flows: HashMap<Ends, Vec<String>>,
}

type Ends = [(IpAddr, u16); 2];

fn ends(a: (IpAddr, u16), b: (IpAddr, u16)) -> Ends {
    if a <= b { [a, b] } else { [b, a] }
}

fn listen(path: &Path) -> Heard {
    let mut heard = Heard::default();
    replay(path, &mut |_, event| heard.take(&event)).expect("the capture opens");
    heard
}

impl Heard {
    fn take(&mut self, event: &Event) {
        let text = |f| event.get(f).map_or_else(|| "-".to_owned(), |v| v.to_text().into_owned());
        let mut line = |row: &'static str, parts: &[String]| *self.lines.entry(row).or_default().entry(parts.join(" ")).or_default() += 1;
        match event.source.service.as_deref() {
            Some("http") => {
                let host = without_port(&text(field::HTTP_HOST)).to_owned();
                line("zeek http", &[text(field::HTTP_METHOD), host, text(field::HTTP_URL), text(field::HTTP_STATUS)]);
            }
            Some("dns") => line("zeek dns", &[text(field::DNS_QUERY)]),
            Some(service @ ("tls" | "quic")) => {
                let version = text(field::TLS_VERSION);
                line(
                    "zeek ssl",
                    &[
                        text(field::TLS_SNI),
                        version.replace("TLS 1.", "TLSv1").replace(' ', "-").replace("draft-", "draft"),
                        text(field::TLS_CIPHER),
                    ],
                );
                if service == "quic" {
                    line("zeek quic", &[text(field::TLS_SNI)]);
                }
                if event.get(field::TLS_CERT_SERIAL).is_some() {
                    line("zeek x509", &[serial(&text(field::TLS_CERT_SERIAL))]);
                }
            }
            Some("ssh") if event.get(field::SERVICE_NAME).is_none() => {
                line("zeek ssh", &[text(field::SSH_CLIENT), text(field::SSH_SERVER)])
            }
            Some("flow") => {
                let ip = |f| event.get(f).and_then(Value::as_ip);
                let port = |f| event.get(f).and_then(Value::as_int).and_then(|n| u16::try_from(n).ok());
                if let (Some(a), Some(b), Some(p), Some(q), Some(app)) =
                    (ip(field::SRC_IP), ip(field::DST_IP), port(field::SRC_PORT), port(field::DST_PORT), event.get(field::APP_NAME))
                {
                    self.flows.entry(ends((a, p), (b, q))).or_default().push(app.to_text().into_owned());
                }
            }
            _ => {}
        }
        for (key, field) in [
            ("http.hostname", field::HTTP_HOST),
            ("http.http_method", field::HTTP_METHOD),
            ("http.url", field::HTTP_URL),
            ("http.http_user_agent", field::HTTP_USER_AGENT),
            ("tls.sni", field::TLS_SNI),
            ("tls.version", field::TLS_VERSION),
            ("tls.ja3.hash", field::TLS_JA3),
            ("tls.ja4", field::TLS_JA4),
            ("dns.queries[0].rrname", field::DNS_QUERY),
            ("dns.rrname", field::DNS_QUERY),
            ("ssh.client.hassh.hash", field::SSH_HASSH),
        ] {
            if event.get(field).is_some() {
                let value = text(field);
                let value = if key == "http.hostname" { without_port(&value) } else { &value };
                *self.values.entry(key).or_default().entry(value.to_ascii_lowercase()).or_default() += 1;
            }
        }
    }
}

/// Zeek and Suricata leave the port out, mostly.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn serial(hex: &str) -> String {
    hex.trim_start_matches('0').to_ascii_uppercase()
}

/// Lines of a log by its columns, if it states them and has those asked for.
fn log_lines(text: &str, row: &str, columns: &[&str]) -> Option<Counter> {
    let names: Vec<&str> = text.lines().find_map(|l| l.strip_prefix("#fields\t"))?.split('\t').collect();
    let at: Option<Vec<usize>> = columns.iter().map(|c| names.iter().position(|n| n == c)).collect();
    let at = at?;
    let mut out = Counter::new();
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let cells: Vec<&str> = line.split('\t').collect();
        let mut parts: Vec<String> = at.iter().map(|n| cells.get(*n).copied().unwrap_or("-").to_owned()).collect();
        match row {
            "zeek http" => {
                parts[1] = without_port(&parts[1]).to_owned();
                // Zeek writes 0 for an answer without a head.
                parts[3] = if parts[3] == "0" { "-".to_owned() } else { parts[3].clone() };
            }
            "zeek x509" => parts[0] = serial(&parts[0]),
            _ => {}
        }
        *out.entry(parts.join(" ")).or_default() += 1;
    }
    Some(out)
}

/// Ends of a flow that nDPI names by its content, nDPI's name and ours.
fn ndpi_flow(line: &str) -> Option<(Ends, &str, &'static str)> {
    let (ends_text, rest) = line.split_once(" [")?;
    let (_, name) = rest.split_once("proto: ")?;
    let name = name.split(']').next()?.split('/').nth(1)?.split('.').next()?;
    let app = match name {
        "DNS" | "MDNS" | "LLMNR" => "dns",
        "HTTP" => "http",
        "TLS" | "DoH_DoT" => "tls",
        "QUIC" => "quic",
        "SSH" => "ssh",
        _ => return None,
    };
    if !rest.contains("[Confidence: DPI]") {
        return None;
    }
    let words: Vec<&str> = ends_text.split_whitespace().collect();
    let [_, "TCP" | "UDP", a, _, b] = words[..] else { return None };
    let end = |text: &str| {
        let (ip, port) = text.rsplit_once(':')?;
        Some((ip.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?))
    };
    Some((ends(end(a)?, end(b)?), name, app))
}

fn ndpi_reason(file: &str, name: &str) -> &'static str {
    match name {
        _ if file.starts_with("encap/") || file.contains("capwap") => "inside a tunnel",
        "QUIC" => "QUIC without its Initial packets, or Google's own of the server's side: nothing to know it by but habits",
        _ => "other",
    }
}

fn zeek_reason(row: &str, file: &str, key: &str) -> &'static str {
    match row {
        "zeek x509" => "a certificate further up the chain, or of a protocol that turns to TLS later (the server's own is told)",
        "zeek http" if key.starts_with("- - - -") => "an empty line of Zeek's for what followed a request without a head",
        "zeek http" if key.starts_with("- - - ") => "an answer without a request, paired otherwise",
        "zeek http" if file.ends_with("no-uri.pcap") => "no target: Zeek writes (empty), here what stands there",
        "zeek http" if file.contains("nflog") => "a link type that is not read",
        "zeek http" if file.ends_with("http-09-content-length-confusion.pcap") => "answers without requests, told apart otherwise",
        "zeek ssl" if file.contains("webrtc") => "DTLS (not read)",
        "zeek ssl" if key.starts_with("- - -") => "a handshake without an answer: Zeek says nothing, here the version offered",
        "zeek http" if file.contains("zeek__gtp") => "Zeek writes a target with its escapes undone",
        _ if file.starts_with("encap/") => "inside a tunnel",
        _ => "other",
    }
}

fn suricata_reason(file: &str, key: &str, value: &str) -> &'static str {
    match key {
        _ if file.starts_with("encap/") || file.contains("vxlan") || file.contains("geneve") => "inside a tunnel",
        "tls.version" if value == "tlsv1" => "TLS 1.0 by another name",
        _ => "other",
    }
}

#[test]
fn protocols_agree_with_zeek_and_suricata() {
    let (Some(root), Some(truths)) = (tests::data("pcap"), tests::data("pcap/truth/repo_truth.jsonl.gz")) else { return };
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut heard: BTreeMap<String, Heard> = BTreeMap::new();
    for line in lines(&truths) {
        let json: Json = serde_json::from_str(&line).expect("the truth is JSON");
        let [file, kind, source, text] = ["file", "kind", "source", "text"].map(|k| json[k].as_str().unwrap_or_default().to_owned());
        if kind == "zeek" {
            for (log, row, columns) in LOGS.iter().filter(|(log, ..)| source.ends_with(&format!("/{log}"))) {
                let _ = log;
                let Some(truth) = log_lines(&text, row, columns) else { continue };
                let heard = heard.entry(file.clone()).or_insert_with(|| listen(&root.join(&file)));
                let lines = heard.lines.get(row).cloned().unwrap_or_default();
                rows.entry(row).or_default().compare(&file, &truth, &lines, |key| zeek_reason(row, &file, key));
            }
        }
        if kind == "ndpi" {
            for (ends, name, app) in text.lines().filter_map(ndpi_flow) {
                let heard = heard.entry(file.clone()).or_insert_with(|| listen(&root.join(&file)));
                let row = rows.entry("ndpi protocol of a flow").or_default();
                let found = heard.flows.get(&ends).is_some_and(|names| names.iter().any(|n| n == app));
                row.truths += 1;
                row.met += i64::from(found);
                if !found {
                    row.miss(ndpi_reason(&file, name), 1, || format!("{file} {ends:?} {name} heard {:?}", heard.flows.get(&ends)));
                }
            }
        }
        if kind == "suricata" {
            for line in text.lines() {
                let Some((key, value)) = line.trim().split_once(": ") else { continue };
                let Some((key, row)) = KEYS.iter().find(|(k, _)| *k == key.trim_matches('"')) else { continue };
                let value = value.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
                let heard = heard.entry(file.clone()).or_insert_with(|| listen(&root.join(&file)));
                let found = heard.values.get(key).is_some_and(|v| v.contains_key(&value));
                let row = rows.entry(row).or_default();
                row.truths += 1;
                row.met += i64::from(found);
                if !found {
                    row.miss(suricata_reason(&file, key, &value), 1, || format!("{file} {key} {value} heard {:?}", heard.values.get(key)));
                }
            }
        }
    }
    print(&rows);
    for (name, floor, own) in FLOORS {
        let (share, own_share) = rows.get(name).map_or((0.0, 0.0), |r| (r.share(), r.own_share()));
        assert!(share >= *floor, "{name}: {share:.4} of the truths met is below the floor {floor}");
        assert!(own_share >= *own, "{name}: {own_share:.4} of those without a named reason is below the floor {own}");
    }
}

/// (row, least share of all truths, least share of those without a named reason).
const FLOORS: &[(&str, f64, f64)] = &[
    ("zeek http", 0.75, 1.0),
    ("zeek dns", 1.0, 1.0),
    ("zeek ssl", 0.94, 1.0),
    ("zeek x509", 0.4, 1.0),
    ("zeek quic", 1.0, 1.0),
    ("zeek ssh", 1.0, 1.0),
    ("ndpi protocol of a flow", 0.99, 1.0),
    ("suricata http", 1.0, 1.0),
    ("suricata tls", 0.95, 1.0),
    ("suricata dns", 1.0, 1.0),
    ("suricata ssh", 1.0, 1.0),
];
