//! Log parsers against the recorded truth of others: fail2ban, CrowdSec, Wazuh, Elastic, syslog-ng, LogHub, Suricata.
//!
//! Each case prints a table; the floors are what the parsers reach, so that a step back is seen. Goals are named beside them.
//! `VERBOSE=1` prints every line that differs.

mod auditd;
mod crowdsec;
mod elastic;
mod fail2ban;
mod loghub;
mod sessions;
mod suricata;
mod syslog_ng;
mod wazuh;

use std::collections::BTreeMap;

use event::{Event, Field, Timestamp, field};
use proto::log::{Line, Reader};

/// JSON lines of a recorded file, `.gz` or plain.
fn rows(path: &std::path::Path) -> Vec<serde_json::Value> {
    use std::io::Read;
    let bytes = std::fs::read(path).expect("the file is there");
    let mut text = String::new();
    if path.extension().is_some_and(|e| e == "gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("gzip of UTF-8");
    } else {
        text = String::from_utf8(bytes).expect("UTF-8");
    }
    text.lines().map(|l| serde_json::from_str(l).expect("a JSON object a line")).collect()
}

/// The bytes of a recorded input (`latin-1-bytes` where the original line was not UTF-8).
fn bytes(row: &serde_json::Value) -> Vec<u8> {
    let text = row["input"].as_str().unwrap_or_default();
    if row["encoding"] == "latin-1-bytes" {
        text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
    } else {
        text.as_bytes().to_vec()
    }
}

/// One line, read at a reference time in UTC, by a reader that has read nothing before: these data hold single lines.
fn event(bytes: &[u8], reference: i64) -> Event {
    Reader::new().read(&Line { bytes, received: Timestamp::from_secs(reference), utc_offset_secs: 0, format: None }).1
}

fn verbose() -> bool {
    std::env::var_os("VERBOSE").is_some_and(|v| v == "1")
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) * 100.0 / f64::from(whole.max(1))
}

/// IPv6 in the short form we print, IPv4 mapped into IPv6 as IPv4.
fn canonical(host: &str) -> String {
    host.parse::<std::net::IpAddr>().map_or_else(
        |_| host.to_owned(),
        |ip| match ip {
            std::net::IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, std::net::IpAddr::V4).to_string(),
            std::net::IpAddr::V4(_) => ip.to_string(),
        },
    )
}

/// The event's source as text: the address, else the name.
fn source(event: &Event) -> String {
    if event.get(field::SRC_IP).is_some() { event.text(field::SRC_IP).into_owned() } else { event.text(field::SRC_HOSTNAME).into_owned() }
}

/// Right and all, by name.
#[derive(Default)]
struct Tally(BTreeMap<String, (u32, u32)>);

impl Tally {
    fn count(&mut self, name: &str, right: bool) {
        let entry = self.0.entry(name.to_owned()).or_default();
        entry.0 += u32::from(right);
        entry.1 += 1;
    }
    /// Counts a text field against what is wanted; says the difference where asked.
    fn field(&mut self, name: &str, event: &Event, fields: &[Field], want: &str, line: &str) {
        let right = fields.iter().any(|f| event.text(*f) == want);
        if !right && verbose() {
            println!("{name}: want {want:?} got {:?}: {line}", fields.iter().map(|f| event.text(*f)).collect::<Vec<_>>());
        }
        self.count(name, right);
    }
    fn sum(&self) -> (u32, u32) {
        self.0.values().fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }
    fn percent(&self) -> f64 {
        let (right, all) = self.sum();
        share(right, all)
    }
    fn print(&self, title: &str) {
        println!("\n{title:<34} {:>6} {:>6} {:>7}", "right", "of", "%");
        for (name, (right, all)) in &self.0 {
            println!("{name:<34} {right:>6} {all:>6} {:>7.1}", share(*right, *all));
        }
    }
}
