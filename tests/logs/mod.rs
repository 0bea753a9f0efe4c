//! Log parsers against the recorded truth of others: fail2ban, CrowdSec, Wazuh, Elastic, syslog-ng.
//!
//! Each case prints a table; the floors are what the parsers reach, so that a step back is seen. Goals are named beside them.

mod fail2ban;

use event::{Event, Timestamp};
use proto::log::{Line, read};

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

/// One line, read at a reference time in UTC.
fn event(bytes: &[u8], reference: i64) -> Event {
    read(&Line { bytes, received: Timestamp::from_secs(reference), utc_offset_secs: 0, format: None }).1
}
