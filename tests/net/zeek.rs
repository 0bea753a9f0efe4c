//! Zeek's logs out of our events beside Zeek's own baselines of the same captures: field names are Zeek's, values are compared and every class of
//! difference is printed.

use std::collections::{BTreeMap, BTreeSet};

use agent::sensor::net::zeek::{self, Zeek};
use serde_json::Value as Json;

use crate::sigma::corpus;

/// What is compared of a log: fields that make a line this one, and fields that are compared then.
struct Log {
    name: &'static str,
    keys: &'static [&'static str],
    compared: &'static [&'static str],
    /// Least percent of Zeek's lines met, and of the values compared in them.
    floors: [u64; 2],
}

const ID: [&str; 4] = ["id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"];

const LOGS: &[Log] = &[
    Log {
        name: "conn",
        keys: &["proto"],
        compared: &["service", "orig_bytes", "resp_bytes", "conn_state", "orig_pkts", "resp_pkts"],
        floors: [70, 80],
    },
    Log { name: "dns", keys: &["trans_id", "query"], compared: &["qtype", "qtype_name", "rcode", "rcode_name"], floors: [90, 90] },
    Log {
        name: "http",
        keys: &["method", "uri"],
        compared: &["host", "version", "user_agent", "referrer", "status_code", "trans_depth", "request_body_len", "response_body_len"],
        floors: [65, 80],
    },
    Log { name: "ssl", keys: &[], compared: &["version", "cipher", "server_name"], floors: [75, 95] },
    Log { name: "ssh", keys: &[], compared: &["client", "server", "version"], floors: [100, 60] },
    Log { name: "dnp3", keys: &["fc_request", "fc_reply"], compared: &["iin"], floors: [90, 100] },
];

type Line = BTreeMap<String, String>;

/// Zeek's lines of one baseline: `-` is left out, as Zeek's JSON does.
fn lines(text: &str) -> (Vec<String>, Vec<Line>) {
    let mut names = Vec::new();
    let mut all = Vec::new();
    for line in text.lines() {
        if let Some(fields) = line.strip_prefix("#fields\t") {
            names = fields.split('\t').map(str::to_owned).collect();
        } else if !line.starts_with('#') && !names.is_empty() {
            let pairs = names.iter().cloned().zip(line.split('\t').map(str::to_owned));
            all.push(pairs.filter(|(_, v)| v != "-" && v != "(empty)").collect());
        }
    }
    (names, all)
}

fn ours(path: &std::path::Path) -> BTreeMap<&'static str, Vec<Line>> {
    let (mut zeek, mut all) = (Zeek::default(), BTreeMap::<&'static str, Vec<Line>>::new());
    let mut keep = |log: &'static str, line: Json| {
        let text = |v: &Json| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let line = line.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect();
        all.entry(log).or_default().push(line);
    };
    let result = agent::sensor::net::replay_with(path, zeek::config(), &mut |_, event| zeek.event(&event, &mut keep));
    result.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    zeek.finish(&mut keep);
    all
}

#[derive(Default)]
struct Tally {
    files: usize,
    lines: u64,
    met: u64,
    extra: u64,
    /// Field: values compared, the same, and examples of others.
    fields: BTreeMap<&'static str, (u64, u64, Vec<String>)>,
    missed: Vec<String>,
    /// Why lines are not met → how many.
    classes: BTreeMap<&'static str, u64>,
}

/// Why Zeek has a line and we have none, by what the capture holds.
fn class(file: &str) -> &'static str {
    match file {
        f if f.starts_with("encap/") => "within a tunnel",
        f if f.starts_with("proto-quic/") => "QUIC",
        f if f.contains("http_09") => "HTTP/0.9, a request without a version",
        f if f.contains("connect") || f.contains("proxy") => "behind a CONNECT or a change of protocol",
        f if f.contains("starttls") => "TLS behind a STARTTLS",
        _ => "other",
    }
}

#[test]
fn our_logs_are_zeeks_logs() {
    let Some(truth) = corpus::lines("pcap/truth/repo_truth.jsonl.gz") else { return };
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for row in truth.iter().filter(|r| r["kind"] == "zeek") {
        let (file, source) = (row["file"].as_str().unwrap_or_default(), row["source"].as_str().unwrap_or_default());
        let name = source.rsplit('/').next().and_then(|n| n.strip_suffix(".log")).unwrap_or_default();
        let (names, wanted) = lines(row["text"].as_str().unwrap_or_default());
        known.entry(name.to_owned()).or_default().extend(names);
        let Some(log) = LOGS.iter().find(|l| l.name == name) else { continue };
        // One baseline a capture and log: others are of scripts that read it otherwise (other ports, other limits).
        if wanted.is_empty() || !seen.insert((file.to_owned(), name.to_owned())) {
            continue;
        }
        let Some(path) = tests::data(&format!("pcap/{file}")) else { return };
        let mut met = ours(&path).remove(log.name).unwrap_or_default();
        let tally = tallies.entry(log.name).or_default();
        tally.files += 1;
        for line in &wanted {
            tally.lines += 1;
            let same = |mine: &Line| ID.iter().chain(log.keys).all(|k| line.get(*k) == mine.get(*k));
            // Of several alike, the one that agrees most.
            let agreeing = |mine: &Line| log.compared.iter().filter(|k| line.get(**k) == mine.get(**k)).count();
            let best = met.iter().enumerate().filter(|(_, m)| same(m)).max_by_key(|(_, m)| agreeing(m)).map(|(at, _)| at);
            let Some(at) = best else {
                let key: Vec<_> = ID.iter().chain(log.keys).map(|k| line.get(*k).map_or("-", String::as_str)).collect();
                *tally.classes.entry(class(file)).or_default() += 1;
                tally.missed.push(format!("{file}: {}", key.join(" ")));
                continue;
            };
            let mine = met.swap_remove(at);
            tally.met += 1;
            for field in log.compared.iter().filter(|f| line.contains_key(**f)) {
                let (all, same, odd) = tally.fields.entry(field).or_default();
                *all += 1;
                if line.get(*field) == mine.get(*field) {
                    *same += 1;
                } else {
                    odd.push(format!("{file}: Zeek {} ours {}", line[*field], mine.get(*field).map_or("-", String::as_str)));
                }
            }
        }
        tally.extra += met.len() as u64;
    }
    let examples = if std::env::var_os("VEDETTE_AGREEMENT_EXAMPLES").is_some() { usize::MAX } else { 3 };
    for (name, tally) in &tallies {
        println!("\n{name}.log: {} captures, {} of {} lines met, {} of ours more", tally.files, tally.met, tally.lines, tally.extra);
        for (why, count) in &tally.classes {
            println!("    {count:>4} not met: {why}");
        }
        for missed in tally.missed.iter().take(examples) {
            println!("    not met: {missed}");
        }
        for (field, (all, same, odd)) in &tally.fields {
            println!("    {field:<20} {same:>5} of {all:<5}");
            for example in odd.iter().take(examples) {
                println!("        {example}");
            }
        }
    }
    // Names: each that we write stands in one of Zeek's own headings of that log (the Community ID and VLAN come with policy scripts).
    for (log, fields) in zeek::FIELDS {
        let Some(theirs) = known.get(*log).filter(|k| !k.is_empty()) else { continue };
        for field in fields.iter().filter(|f| !matches!(**f, "community_id" | "vlan")) {
            assert!(theirs.contains(*field), "{log}.{field} is none of Zeek's: {theirs:?}");
        }
    }
    for log in LOGS {
        let tally = tallies.get(log.name).unwrap_or_else(|| panic!("no baseline of {}", log.name));
        assert!(tally.met * 100 >= tally.lines * log.floors[0], "{}: {} of {} lines", log.name, tally.met, tally.lines);
        let (all, same) = tally.fields.values().fold((0, 0), |(all, same), f| (all + f.0, same + f.1));
        println!("{}.log: {same} of {all} values the same", log.name);
        assert!(same * 100 >= all * log.floors[1], "{}: {same} of {all} values", log.name);
    }
}
