//! The audit trail against what two public readers make of the same records (go-libaudit, laurel), field by field.

use event::{Event, Field, Timestamp, Value, field};
use proto::log::{Line, Reader};
use serde_json::Value as Json;

use crate::sigma::corpus;

/// The records of one act, each read in order with the memory of those before it.
fn read(lines: &Json) -> Vec<Event> {
    let mut reader = Reader::new();
    let line = |l: &Json| {
        let bytes = l.as_str().unwrap_or_default().as_bytes().to_owned();
        reader.read(&Line { bytes: &bytes, received: Timestamp::from_secs(1_700_000_000), utc_offset_secs: 0, format: None }).1
    };
    lines.as_array().into_iter().flatten().map(line).collect()
}

/// The first of the events that has the field.
fn first(events: &[Event], f: Field) -> String {
    events.iter().find_map(|e| e.get(f)).map(|v| v.to_text().into_owned()).unwrap_or_default()
}

#[derive(Default)]
struct Score {
    checked: usize,
    wrong: Vec<String>,
}

impl Score {
    fn compare(&mut self, what: &str, wanted: Option<&str>, got: &str) {
        let Some(wanted) = wanted.filter(|w| !matches!(*w, "" | "unset" | "4294967295" | "(none)")) else { return };
        self.checked += 1;
        if wanted != got {
            self.wrong.push(format!("{what}: {got:?}, not {wanted:?}"));
        }
    }
}

#[test]
fn audit_records_say_what_public_readers_say() {
    let (Some(go), Some(laurel)) = (corpus::lines("peers/auditd/go-libaudit.jsonl"), corpus::lines("peers/auditd/laurel.jsonl")) else {
        return;
    };
    let mut score = Score::default();
    for case in go.iter().filter(|c| c["suite"] == "aucoalesce") {
        let events = read(&case["input"]);
        let wanted = &case["expected"];
        let name = case["name"].as_str().unwrap_or_default();
        let process = &wanted["process"];
        for (key, f) in [
            ("pid", field::PROCESS_PID),
            ("ppid", field::PARENT_PID),
            ("exe", field::PROCESS_PATH),
            ("name", field::PROCESS_NAME),
            ("cwd", field::PROCESS_CWD),
        ] {
            score.compare(&format!("{name}: {key}"), process[key].as_str(), &first(&events, f));
        }
        score.compare(&format!("{name}: auid"), wanted["user"]["ids"]["auid"].as_str(), &first(&events, field::ACTOR_UID));
        score.compare(&format!("{name}: uid"), wanted["user"]["ids"]["uid"].as_str(), &first(&events, field::USER_UID));
        score.compare(&format!("{name}: session"), wanted["session"].as_str(), &first(&events, field::SESSION_UID));
        let result = wanted["result"].as_str().map(|r| if r == "success" { "1" } else { "2" });
        score.compare(&format!("{name}: result"), result, &first(&events, field::STATUS_ID));
        let line = process["args"].as_array().map(|a| a.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" "));
        let started = events.iter().find(|e| e.kind == event::Kind::ProcessActivity);
        let got = started.map(|e| e.text(field::PROCESS_CMD_LINE).into_owned()).unwrap_or_default();
        score.compare(&format!("{name}: arguments"), line.as_deref(), &got);
        if let (Some(event), Some(time)) = (events.first(), wanted["@timestamp"].as_str().and_then(Timestamp::parse_rfc3339)) {
            score.compare(&format!("{name}: time"), Some(&time.to_string()), &event.time.to_string());
        }
    }
    for case in &laurel {
        let events = read(&case["input"]);
        for wanted in case["expected"].as_array().into_iter().flatten() {
            let name = case["file"].as_str().unwrap_or_default();
            let id = format!("audit({})", wanted["ID"].as_str().unwrap_or_default());
            let of: Vec<Event> = events.iter().filter(|e| e.text(field::RAW_DATA).contains(&id)).cloned().collect();
            let number = |v: &Json| v.as_i64().map(|n| n.to_string());
            let call = &wanted["SYSCALL"];
            score.compare(&format!("{name}: pid"), number(&call["pid"]).as_deref(), &first(&of, field::PROCESS_PID));
            score.compare(&format!("{name}: ppid"), number(&call["ppid"]).as_deref(), &first(&of, field::PARENT_PID));
            score.compare(&format!("{name}: exe"), call["exe"].as_str(), &first(&of, field::PROCESS_PATH));
            score.compare(&format!("{name}: user"), call["AUID"].as_str(), &first(&of, field::ACTOR_USER));
            let line = wanted["EXECVE"]["ARGV"].as_array().map(|a| a.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" "));
            // A long line goes on in further records.
            let starts = of.iter().filter(|e| e.text(field::EVENT_CODE) == "EXECVE");
            let got: String = starts.map(|e| e.text(field::PROCESS_CMD_LINE).into_owned()).collect();
            score.compare(&format!("{name}: arguments"), line.as_deref(), &got);
        }
    }
    println!("audit records: {} values compared, {} differ", score.checked, score.wrong.len());
    for wrong in &score.wrong {
        println!("  {}", wrong.chars().take(300).collect::<String>());
    }
    assert!(score.checked > 200, "{}", score.checked);
    assert!(score.wrong.is_empty());
}

/// A real trail, in the file's own form: the program starts in it are events that Sigma's process rules see.
#[test]
fn program_starts_of_a_real_trail_are_seen() {
    let Some(path) = tests::data("logs/linux-attack/arp-cache.auditd.log") else { return };
    let text = std::fs::read_to_string(path).expect("the log can be read");
    let mut reader = Reader::new();
    let mut starts = Vec::new();
    for line in text.lines() {
        let line = Line { bytes: line.as_bytes(), received: Timestamp::from_secs(1_700_000_000), utc_offset_secs: 0, format: None };
        let (_, event) = reader.read(&line);
        assert_eq!(event.body.get(field::RAW_DATA), Some(&Value::lossy(line.bytes)));
        if event.kind == event::Kind::ProcessActivity {
            let all = [field::PROCESS_PATH, field::PROCESS_CMD_LINE, field::PROCESS_PID, field::ACTOR_UID];
            starts.push(all.map(|f| event.text(f).into_owned()).join(" | "));
        }
    }
    assert_eq!(starts, ["/usr/sbin/arp | arp -a | 1631 | 1000", "/bin/grep | grep -v ^? | 1632 | 1000"]);
}
