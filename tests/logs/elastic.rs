//! Elastic's pipeline tests (Apache-2.0 data sets): the fields of an ECS document against those of the event.
//!
//! Goal: 95 %. Old documents are flat ECS 1.x; `-` for an unknown user is "none" here. Of an address list in front of an access line
//! (`$http_x_forwarded_for`) ECS takes the first public address, which the client may write itself; here it is the last, written by the
//! nearest proxy. Events of several lines are left out.

use event::field;

use super::{Tally, bytes, canonical, event, rows, source, verbose};

const CLAIMED: &[&str] =
    &["system.auth", "system.syslog", "apache.access", "apache.error", "nginx.access", "nginx.error", "haproxy.log", "postgresql.log"];

#[test]
fn elastic_documents() {
    let Some(path) = tests::data("peers/elastic/parse-tests.jsonl.gz") else { return };
    let (mut fields, mut sets) = (Tally::default(), Tally::default());
    for row in rows(&path) {
        let set = row["dataset"].as_str().unwrap_or_default();
        if row["licence"] != "Apache-2.0" || !CLAIMED.contains(&set) || row["multiline"] == true {
            continue;
        }
        let line = row["input"].as_str().unwrap_or_default();
        let event = event(&bytes(&row), 1_577_836_800);
        let expected = &row["expected"];
        for (key, ours) in [
            ("user.name", &[field::USER_NAME, field::ACTOR_USER][..]),
            ("process.name", &[field::LOG_PROGRAM]),
            ("process.pid", &[field::PROCESS_PID]),
            ("host.hostname", &[field::LOG_HOST]),
            ("source.port", &[field::SRC_PORT]),
            ("destination.ip", &[field::DST_IP]),
            ("destination.port", &[field::DST_PORT]),
            ("http.request.method", &[field::HTTP_METHOD]),
            ("http.response.status_code", &[field::HTTP_STATUS]),
            ("url.original", &[field::HTTP_URL]),
            ("user_agent.original", &[field::HTTP_USER_AGENT]),
        ] {
            let want = match &expected[key] {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Number(n) => n.to_string(),
                _ => continue,
            };
            if want == "-" || want.is_empty() {
                continue;
            }
            let right = ours.iter().any(|f| event.text(*f) == want);
            sets.count(set, right);
            fields.field(key, &event, ours, &want, line);
        }
        if let Some(want) = expected["source.ip"].as_str() {
            let right = source(&event) == canonical(want);
            sets.count(set, right);
            fields.count("source.ip", right);
            if !right && verbose() {
                println!("elastic source.ip: want {want} got {}: {line}", source(&event));
            }
        }
        if let Some(want) = expected["event.outcome"].as_str() {
            let right = event.text(field::STATUS_ID) == if want == "success" { "1" } else { "2" };
            sets.count(set, right);
            fields.count("event.outcome", right);
            if !right && verbose() {
                println!("elastic outcome: want {want}: {line}");
            }
        }
    }
    fields.print("elastic by field (goal 95)");
    sets.print("elastic by data set");
    println!("  all fields {:.1} %", fields.percent());
    assert!(fields.percent() >= 98.0, "fields fell");
}
