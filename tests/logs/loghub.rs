//! LogHub's sshd day: 2,000 lines of a server under password guessing, none of which the parsers were written from.
//!
//! Truth: host, process id and text of each line, and the template it was printed from. All lines of one template must mean the same here,
//! and a failure must have its source, from the line or from an earlier one of its session.

use std::collections::{BTreeMap, BTreeSet};

use event::{Timestamp, field};
use proto::log::{Line, Reader};

use super::{Tally, bytes, rows, share, source};

#[test]
fn loghub_sshd() {
    let Some(path) = tests::data("logs/loghub/OpenSSH_2k.jsonl.gz") else { return };
    let mut reader = Reader::new();
    let mut parts = Tally::default();
    let mut meanings: BTreeMap<String, (BTreeSet<String>, u32)> = BTreeMap::new();
    let (mut failures, mut sourced) = (0, 0);
    for row in rows(&path) {
        let bytes = bytes(&row);
        let received = Timestamp::parse_rfc3339("2016-12-11T00:00:00Z").expect("a time");
        let (_, event) = reader.read(&Line { bytes: &bytes, received, utc_offset_secs: 0, format: None });
        let expected = &row["expected"];
        let line = row["input"].as_str().unwrap_or_default();
        for (name, want, f) in [
            ("host", &expected["fields"]["Component"], field::LOG_HOST),
            ("pid", &expected["fields"]["Pid"], field::PROCESS_PID),
            ("message", &expected["content"], field::MESSAGE),
        ] {
            // LogHub trims the text.
            let right = event.text(f).trim_end() == want.as_str().unwrap_or_default();
            parts.count(name, right);
            if !right && super::verbose() {
                println!("loghub {name}: {line}");
            }
        }
        let meaning = format!("{} {} {}", event.kind.name(), event.text(field::STATUS_ID), event.text(field::EVENT_CODE));
        let template = expected["template"].as_str().unwrap_or_default().to_owned();
        let entry = meanings.entry(template).or_default();
        entry.0.insert(meaning);
        entry.1 += 1;
        if event.text(field::STATUS_ID) == "2" {
            failures += 1;
            sourced += u32::from(!source(&event).is_empty());
            if source(&event).is_empty() && super::verbose() {
                println!("loghub without source: {line}");
            }
        }
    }
    println!();
    for (template, (meanings, count)) in &meanings {
        println!("{count:>5} {:<44} {template}", meanings.iter().cloned().collect::<Vec<_>>().join(" | "));
    }
    parts.print("loghub sshd (goal 100)");
    println!("  {sourced} of {failures} failures have their source ({:.1} %)", share(sourced, failures));
    assert!(parts.percent() >= 100.0, "headers fell");
    assert_eq!(sourced, failures, "a failure without its source");
    assert!(meanings.values().all(|(m, _)| m.len() == 1), "a template means two things");
}
