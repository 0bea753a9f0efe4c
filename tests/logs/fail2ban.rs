//! fail2ban's filter tests: a line that its filter bans for is a failure from that host, at that time; a near miss is none.
//!
//! Goals: core filters 97 %, all filters 80 %, at most 2 % false failures. The lines of a filter are read in order by one `Reader`, as a
//! file is, so that an address from an earlier line of the same sshd process counts.
//!
//! A near miss is counted as a false failure only where the event is a *decisive* failed log-on: two kinds of facts are failures that
//! happened and are kept as such, but carry a code that rules which count guesses leave out, as fail2ban does:
//! `pam_failure` (PAM's own word, which sshd repeats with its own line) and `key_refused` (one of several keys a client offers for a user
//! that exists). What is left unmatched, by class, is printed below the table.

use std::collections::BTreeMap;

use event::{Event, Timestamp, field};
use proto::log::{Line, Reader};

use super::{bytes, canonical, rows, share, verbose};

const CORE: &[&str] =
    &["sshd", "dovecot", "postfix", "vsftpd", "proftpd", "pure-ftpd", "pam-generic", "apache-auth", "nginx-http-auth", "named-refused"];
/// fail2ban's own clock: 2005-08-14 12:00 in Zurich.
const REFERENCE: i64 = 1_124_013_600;

#[derive(Default)]
struct Score {
    hostile: u32,
    found: u32,
    time_wrong: u32,
    near: u32,
    false_alarms: u32,
}

/// A failure or abuse that a rule may count against its source.
fn hostile(event: &Event, host: &str) -> bool {
    event.text(field::STATUS_ID) == "2" && (event.text(field::SRC_IP) == host || event.text(field::SRC_HOSTNAME) == host)
}

#[test]
fn fail2ban_filters() {
    let Some(path) = tests::data("peers/fail2ban/tests.jsonl") else { return };
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let verbose = verbose();
    let mut readers: BTreeMap<String, Reader> = BTreeMap::new();
    let mut unmatched: BTreeMap<&str, u32> = BTreeMap::new();
    for row in rows(&path) {
        let source = row["source"].as_str().unwrap_or_default().to_owned();
        let score = scores.entry(source.clone()).or_default();
        let reader = readers.entry(format!("{source} {}", row["block"])).or_default();
        let bytes = bytes(&row);
        let line = Line { bytes: &bytes, received: Timestamp::from_secs(REFERENCE), utc_offset_secs: 0, format: None };
        let (_, event) = reader.read(&line);
        let expected = &row["expected"];
        let host = canonical(expected["host"].as_str().unwrap_or_default());
        if row["match"] == true {
            score.hostile += 1;
            let found = hostile(&event, &host);
            score.found += u32::from(found);
            if !found {
                *unmatched.entry(why_not(&source, &event)).or_default() += 1;
            }
            if !found && verbose {
                println!("missed {source}: want {host}: {}", row["input"]);
            }
            if found && !time_fits(&event, expected["time"].as_str().unwrap_or_default()) {
                score.time_wrong += 1;
                if verbose {
                    println!("time {source}: want {} got {}: {}", expected["time"], event.time, row["input"]);
                }
            }
        } else {
            score.near += 1;
            let undecided = ["pam_failure", "key_refused"].contains(&event.text(field::EVENT_CODE).as_ref());
            let failed = event.kind == event::Kind::Authentication && event.text(field::STATUS_ID) == "2";
            let wrong = failed && !undecided && event.get(field::SRC_IP).is_some();
            score.false_alarms += u32::from(wrong);
            if wrong && verbose {
                println!("false {source}: {}", row["input"]);
            }
        }
    }
    println!();
    println!("{:<18} {:>7} {:>6} {:>6} {:>6} {:>6}", "fail2ban", "hostile", "found", "time", "near", "false");
    let (mut core, mut all) = (Score::default(), Score::default());
    for (name, s) in &scores {
        println!("{name:<18} {:>7} {:>6} {:>6} {:>6} {:>6}", s.hostile, s.found, s.time_wrong, s.near, s.false_alarms);
        let sums: &mut [&mut Score] = if CORE.contains(&name.as_str()) { &mut [&mut core, &mut all] } else { &mut [&mut all] };
        for sum in sums {
            sum.hostile += s.hostile;
            sum.found += s.found;
            sum.time_wrong += s.time_wrong;
            sum.near += s.near;
            sum.false_alarms += s.false_alarms;
        }
    }
    println!(
        "core filters {:.1} % (goal 97), all {:.1} % (goal 80), false {:.1} % of near misses (goal ≤ 2)",
        share(core.found, core.hostile),
        share(all.found, all.hostile),
        share(all.false_alarms, all.near)
    );
    for (why, count) in &unmatched {
        println!("  unmatched {count}: {why}");
    }
    assert!(share(core.found, core.hostile) >= 98.5, "core filters fell");
    assert!(share(all.found, all.hostile) >= 98.5, "all filters fell");
    assert!(share(all.false_alarms, all.near) <= 2.0, "false failures rose");
    // monit's `[PDT …]`: a zone's name is not its offset.
    assert!(all.time_wrong <= 2, "times fell");
}

/// What kind of difference an unmatched hostile line is.
fn why_not(source: &str, event: &Event) -> &'static str {
    match source {
        "apache-badbots" | "apache-fakegooglebot" | "php-url-fopen" => {
            "answered web request: the user agent or target is judged by a rule, not here"
        }
        _ if event.text(field::STATUS_ID) == "1" => "success: fail2ban bans for failures of the same session before it",
        _ if event.get(field::SRC_IP).is_none() => "no address in this line nor in an earlier one of its session",
        _ => "other",
    }
}

/// fail2ban's truth is local time in Zurich; lines without a zone were read as UTC here, so they agree as written; lines with a
/// zone differ by one or two hours.
fn time_fits(event: &Event, expected: &str) -> bool {
    let Some(want) = event::Timestamp::parse_rfc3339(&format!("{}Z", expected.get(..19).unwrap_or_default())) else { return true };
    [0, 3_600, 7_200].contains(&want.since(event::Timestamp::from_secs(event.time.secs())).div_euclid(event::SECOND_NS))
}
