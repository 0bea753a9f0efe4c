//! fail2ban's filter tests: a line that its filter bans for is a failure from that host, at that time; a near miss is none.
//!
//! Goals: core filters 97 %, all filters 80 %, at most 2 % false failures. Lines whose host stands in an earlier line of the same session
//! (`Disconnecting: Too many authentication failures for git`) cannot be told from one line; they count as missed.

use std::collections::BTreeMap;

use event::{Event, field};

use super::{bytes, event, rows};

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
    let verbose = std::env::var_os("VERBOSE").is_some_and(|v| v == "1");
    for row in rows(&path) {
        let source = row["source"].as_str().unwrap_or_default().to_owned();
        let score = scores.entry(source.clone()).or_default();
        let event = event(&bytes(&row), REFERENCE);
        let expected = &row["expected"];
        let host = canonical(expected["host"].as_str().unwrap_or_default());
        if row["match"] == true {
            score.hostile += 1;
            let found = hostile(&event, &host);
            score.found += u32::from(found);
            if !found && verbose && CORE.contains(&source.as_str()) {
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
            // fail2ban lets single public-key refusals and closed connections pass; a log-on failure is what must not be invented.
            let wrong =
                event.kind == event::Kind::Authentication && event.text(field::STATUS_ID) == "2" && event.get(field::SRC_IP).is_some();
            score.false_alarms += u32::from(wrong);
            if wrong && verbose {
                println!("false {source}: {}", row["input"]);
            }
        }
    }
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
    let share = |a: u32, b: u32| f64::from(a) * 100.0 / f64::from(b.max(1));
    println!(
        "core filters {:.1} % (goal 97), all {:.1} % (goal 80), false {:.1} % of near misses (goal ≤ 2)",
        share(core.found, core.hostile),
        share(all.found, all.hostile),
        share(all.false_alarms, all.near)
    );
    assert!(share(core.found, core.hostile) >= 80.0, "core filters fell");
}

/// IPv6 in the short form we print.
fn canonical(host: &str) -> String {
    host.parse::<std::net::IpAddr>().map_or_else(
        |_| match host.split_once('.') {
            // One upstream line has `192.030.0.6`, which is no valid address.
            _ if host.split('.').count() == 4 && host.split('.').all(|p| p.parse::<u8>().is_ok()) => host.to_owned(),
            _ => host.to_owned(),
        },
        |ip| ip.to_string(),
    )
}

/// fail2ban's truth is local time in Zurich; lines without a zone were read as UTC here, so they agree as written; lines with a
/// zone differ by one or two hours.
fn time_fits(event: &Event, expected: &str) -> bool {
    let Some(want) = event::Timestamp::parse_rfc3339(&format!("{}Z", expected.get(..19).unwrap_or_default())) else { return true };
    [0, 3_600, 7_200].contains(&want.since(event::Timestamp::from_secs(event.time.secs())).div_euclid(event::SECOND_NS))
}
