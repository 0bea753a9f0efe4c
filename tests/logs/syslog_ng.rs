//! syslog-ng's own message tests: the parts of RFC 3164 and RFC 5424 headers.
//!
//! Goal: 90 % of the messages; all with structured data. Some test flags of syslog-ng, not the format; they are listed with their reason:
//! `LP_PIGGYBACK_ERRORS` (a broken message is replaced by a report), messages read without a host name (`LP_EXPECT_HOSTNAME` off), cutting
//! of long parts, its own rule for the year of a date without one (a month far ahead is taken for this year; here for the last), `LP_SANITIZE_UTF8` and `LP_NOPARSE` (how bytes are shown), a program name without any mark behind it.

use event::Timestamp;
use proto::log::header;

use super::rows;

/// syslog-ng's clock: 8 February 2019.
const REFERENCE: i64 = 1_549_615_069;

#[test]
fn syslog_ng_headers() {
    let Some(path) = tests::data("peers/syslog-ng/tests.jsonl") else { return };
    let (mut right, mut all, mut explained) = (0_u32, 0_u32, 0_u32);
    let mut open = Vec::new();
    println!();
    for row in rows(&path) {
        all += 1;
        let line = row["input"].as_str().unwrap_or_default();
        let wrong = differences(&row, line);
        if wrong.is_empty() {
            right += 1;
        } else if let Some(why) = flag(&row, line) {
            explained += 1;
            println!("syslog-ng differs by its flags ({why}): {wrong:?}");
        } else {
            open.push(format!("{wrong:?}: {line}"));
        }
    }
    for line in &open {
        println!("syslog-ng differs: {line}");
    }
    println!(
        "syslog-ng: {right} of {all} messages agree ({:.1} %; of those that test the format {:.1} %, goal 90), {explained} differ by its own flags, {} else",
        super::share(right, all),
        super::share(right, all - explained),
        open.len()
    );
    assert_eq!(open.len(), 0, "a header is read differently");
    assert!(right >= 34, "headers fell");
}

/// Parts of the header that differ from what is expected; absent or null means "not checked".
fn differences(row: &serde_json::Value, line: &str) -> Vec<String> {
    let expected = &row["expected"];
    let offset = expected["utc_offset"].as_i64().and_then(|o| i32::try_from(o).ok()).unwrap_or(0);
    let head = header(line, Timestamp::from_secs(REFERENCE), offset);
    let mut wrong = Vec::new();
    let mut text = |name: &str, want: &serde_json::Value, got: Option<&str>| {
        let Some(want) = want.as_str() else { return };
        let got = got.unwrap_or("");
        if want != got && !(want == "-" && got.is_empty()) {
            wrong.push(format!("{name} {want:?} is {got:?}"));
        }
    };
    text("host", &expected["host"], head.host);
    text("program", if expected["app"].is_string() { &expected["app"] } else { &expected["program"] }, head.program);
    text("pid", &expected["pid"], head.pid.map(|p| p.to_string()).as_deref());
    text("msgid", &expected["msgid"], head.msgid);
    text("sd", if expected["sdata"].is_string() { &expected["sdata"] } else { &expected["sd"] }, head.structured);
    text("message", &expected["message"], Some(head.message));
    let priority = expected["pri"].as_u64().or_else(|| expected["pri"].as_str().and_then(|p| p.parse().ok()));
    if let Some(want) = priority.filter(|p| *p < 192 && head.priority.map(u64::from) != Some(*p)) {
        wrong.push(format!("priority {want} is {:?}", head.priority));
    }
    // 1 stands for "this year" in one test.
    if let Some(want) = expected["unix_sec"].as_i64().filter(|s| *s > 1 && head.time.map(Timestamp::secs) != Some(*s)) {
        wrong.push(format!("time {want} is {:?}", head.time));
    }
    wrong
}

/// The flag or habit of syslog-ng that a message tests.
fn flag(row: &serde_json::Value, line: &str) -> Option<&'static str> {
    let flags: Vec<&str> = row["flags"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
    if flags.contains(&"LP_PIGGYBACK_ERRORS") {
        return Some("a broken message is replaced by a report of its own");
    }
    if flags.contains(&"LP_SANITIZE_UTF8") || flags.contains(&"LP_NOPARSE") {
        return Some("how bytes that are no UTF-8 are shown");
    }
    if flags.contains(&"0") {
        return Some("no host name expected: the first word is the program");
    }
    if row["test"].as_str().is_some_and(|t| t.contains("too_long")) {
        return Some("long parts are cut");
    }
    if line.contains("NOV 22") || line.contains("*Oct 07") {
        return Some("a date nine months ahead is taken for this year, here for the last");
    }
    if line.ends_with(" prg0") {
        return Some("a last word without a mark is taken for the program");
    }
    None
}
