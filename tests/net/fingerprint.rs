//! JA4 and HASSH over all captures, against what other tools say of them: FoxIO's own programs, nDPI, Arkime, Suricata.
//!
//! Each truth is a value in a file; it is met if the pipeline says it of that file. Where nDPI departs from FoxIO's definition the
//! class of the difference is named. Floors as in `agreement`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use agent::sensor::net::replay;
use event::field;
use serde_json::Value as Json;

use super::agreement::{Row, lines};

/// Fingerprints heard in one file.
#[derive(Default)]
struct Heard {
    ja4: BTreeSet<String>,
    hassh: BTreeSet<String>,
}

fn listen(path: &Path) -> Heard {
    let mut heard = Heard::default();
    let read = replay(path, &mut |_, event| {
        heard.ja4.extend([field::TLS_JA4, field::TLS_JA4_O].into_iter().filter_map(|f| event.get(f)).map(|v| v.to_text().into_owned()));
        let hassh = [field::SSH_HASSH, field::SSH_HASSH_SERVER];
        heard.hassh.extend(hassh.into_iter().filter_map(|f| event.get(f)).map(|v| v.to_text().into_owned()));
    });
    read.expect("the capture opens");
    heard
}

/// Words of letters, digits and low lines.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| !w.is_empty())
}

/// `t13d1516h2_8daaf6152771_e5627efa2ab1`: JA4 of a client over TCP, QUIC or DTLS.
fn is_ja4(word: &str) -> bool {
    let parts: Vec<&str> = word.split('_').collect();
    let [a, b, c] = parts[..] else { return false };
    let hash = |h: &str| h.len() == 12 && h.bytes().all(|b| b.is_ascii_hexdigit());
    a.len() == 10 && a.starts_with(['t', 'q', 'd']) && matches!(a.as_bytes()[3], b'd' | b'i') && hash(b) && hash(c)
}

/// What follows a mark up to the end of the word, for each mark in the text.
fn after<'t>(text: &'t str, mark: &'static str) -> impl Iterator<Item = &'t str> {
    text.split(mark).skip(1).filter_map(|rest| words(rest).next())
}

/// nDPI always writes `d` where FoxIO writes `i` for a client that names no server, and the first two letters of the ALPN where FoxIO
/// writes the first and the last.
fn as_ndpi(value: &str) -> (String, String) {
    let (head, rest) = value.split_at(10);
    (format!("{}?{}", &head[..3], &head[4..8]), rest.to_owned())
}

fn ndpi_reason(value: &str, file: &str, heard: &Heard) -> &'static str {
    match value {
        _ if heard.ja4.iter().any(|h| as_ndpi(h) == as_ndpi(value)) => "nDPI writes d for i, or another letter of the ALPN",
        _ if value.starts_with('d') => "DTLS (not read)",
        _ if file.starts_with("encap/") || file.contains("capwap") => "inside a tunnel",
        _ => "other",
    }
}

#[test]
fn fingerprints_agree_with_other_tools() {
    let (Some(root), Some(truths)) = (tests::data("pcap"), tests::data("pcap/truth/repo_truth.jsonl.gz")) else { return };
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut heard: BTreeMap<String, Heard> = BTreeMap::new();
    let (mut values, mut met) = (BTreeSet::new(), BTreeSet::new());
    let mut pairs = BTreeSet::new();
    for line in lines(&truths) {
        let json: Json = serde_json::from_str(&line).expect("the truth is JSON");
        let [file, kind, text] = ["file", "kind", "text"].map(|k| json[k].as_str().unwrap_or_default().to_owned());
        let ja4: Vec<&str> = match kind.as_str() {
            "ndpi" => after(&text, "[JA4: ").filter(|w| is_ja4(w)).collect(),
            _ => words(&text).filter(|w| is_ja4(w)).collect::<BTreeSet<_>>().into_iter().collect(),
        };
        let hassh: Vec<String> = match kind.as_str() {
            "ndpi" => ["[HASSH-C: ", "[HASSH-S: "].into_iter().flat_map(|m| after(&text, m)).map(str::to_ascii_lowercase).collect(),
            _ if text.contains("hassh") => words(&text[text.find("hassh").unwrap_or(0)..])
                .filter(|w| w.len() == 32 && w.bytes().all(|b| b.is_ascii_hexdigit()))
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        if ja4.is_empty() && hassh.is_empty() {
            continue;
        }
        let heard = heard.entry(file.clone()).or_insert_with(|| listen(&root.join(&file)));
        for value in ja4 {
            let found = heard.ja4.contains(value);
            let row = match kind.as_str() {
                "ja4" => {
                    values.insert(value.to_owned());
                    if found {
                        met.insert(value.to_owned());
                    }
                    if !pairs.insert((file.clone(), value.to_owned())) {
                        continue;
                    }
                    rows.entry("ja4 foxio (file, value)").or_default()
                }
                "ndpi" => rows.entry("ja4 ndpi").or_default(),
                _ => rows.entry("ja4 arkime, suricata").or_default(),
            };
            row.truths += 1;
            row.met += i64::from(found);
            if !found {
                let why = match kind.as_str() {
                    "ndpi" => ndpi_reason(value, &file, heard),
                    _ if value.starts_with('d') => "DTLS (not read)",
                    _ if file.contains("openvpn") => "TLS within OpenVPN (not read)",
                    _ if file.starts_with("encap/") => "inside a tunnel",
                    _ => "other",
                };
                row.miss(why, 1, || format!("{file} {value} heard {:?}", heard.ja4));
            }
        }
        for value in hassh {
            let row = rows.entry("hassh").or_default();
            row.truths += 1;
            let found = heard.hassh.contains(&value);
            row.met += i64::from(found);
            if !found {
                row.miss("other", 1, || format!("{file} {value} heard {:?}", heard.hassh));
            }
        }
    }
    let row = rows.entry("ja4 foxio, distinct values").or_default();
    (row.truths, row.met) = (values.len() as i64, met.len() as i64);
    super::agreement::print(&rows);
    for (name, floor) in [
        ("ja4 foxio, distinct values", 1.0),
        ("ja4 foxio (file, value)", 1.0),
        ("ja4 ndpi", 0.61),
        ("ja4 arkime, suricata", 0.78),
        ("hassh", 1.0),
    ] {
        let row = rows.get(name).unwrap_or_else(|| panic!("no truth for {name}"));
        assert!(row.share() >= floor, "{name}: {:.4} is below the floor {floor}", row.share());
        assert!(row.own_share() >= 1.0, "{name}: a difference without a named reason");
    }
}
