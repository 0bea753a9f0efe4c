//! IDEA0 messages (CESNET's Intrusion Detection Extensible Alert) as Warden, Mentat and their senders write them, one a line: an alert of
//! another tool is an event. What must be there is `Format`, `ID`, `DetectTime` and `Category`; a message of another format, or without one of
//! these, stays a plain line.
//!
//! The first address of `Source` and of `Target` is the end; one that is a range or is said to be anonymised names no host. A message of category
//! `Test` is informational whatever else it says.

use event::{Class, Event, Severity, field};

use super::partner::{alert, object, routable, time, words};
use super::scan::address;
use super::tree::Tree;
use super::{Format, Header};

pub(crate) static IDEA: Format = Format::new("idea", &["warden"], idea).by(&["\"IDEA0\""]).whole();

/// Bytes kept of a title.
const TITLE_BYTES_MAX: usize = 512;

fn idea(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let tree = object(head)?;
    if tree.get("Format")? != "IDEA0" {
        return None;
    }
    let (id, when, category) = (tree.get("ID")?, tree.get("DetectTime")?, tree.get("Category")?);
    let title = tree.one_of(&["Description", "Note"]).unwrap_or(category);
    let severity = tree.all("Category").map(severity).max().unwrap_or(Severity::Low);
    let severity = if tree.all("Category").any(|c| c == "Test") { Severity::Informational } else { severity };
    let class = alert(event, "warden", "IDEA0", &title[..title.floor_char_boundary(TITLE_BYTES_MAX)], severity);
    time(event, Some(when));
    event.body.set(field::FINDING_RULE, &id[..id.floor_char_boundary(128)]);
    words(event, field::ALERT_CATEGORY, &mut tree.all("Category"));
    let target = end(&tree, "Target");
    event.body.set_some(field::SRC_IP, end(&tree, "Source"));
    event.body.set_some(field::DST_IP, target);
    event.body.set_some(field::SRC_PORT, tree.get("Source.Port").and_then(|p| p.parse::<u16>().ok()));
    event.body.set_some(field::DST_PORT, tree.get("Target.Port").and_then(|p| p.parse::<u16>().ok()));
    event.body.set_some(field::PROTOCOL, tree.one_of(&["Target.Proto", "Source.Proto"]).map(str::to_ascii_lowercase));
    event.body.set_some(field::DST_HOSTNAME, tree.get("Target.Hostname").map(|h| &h[..h.floor_char_boundary(253)]));
    event.body.set_some(field::LOG_NAME, tree.get("Node.Name").map(|n| &n[..n.floor_char_boundary(128)]));
    event.body.set_some(field::ALERT_HOST, routable(target.map(|ip| ip.to_string()).as_deref()).map(|ip| ip.to_string()));
    Some(class)
}

/// The first address of a side that is one host and not anonymised.
fn end(tree: &Tree<'_>, side: &str) -> Option<std::net::IpAddr> {
    if tree.get(&format!("{side}.Anonymised")) == Some("true") {
        return None;
    }
    let path = [format!("{side}.IP4"), format!("{side}.IP6")];
    path.iter().flat_map(|p| tree.all(p)).find_map(address)
}

/// By the first word of a category.
fn severity(category: &str) -> Severity {
    match category.split('.').next().unwrap_or_default() {
        "Intrusion" | "Malware" | "Availability" | "Information" | "Fraud" => Severity::High,
        "Attempt" => Severity::Medium,
        "Recon" | "Vulnerable" | "Anomaly" | "Abusive" => Severity::Low,
        _ => Severity::Informational,
    }
}

#[cfg(test)]
mod tests {
    use event::{Severity, Timestamp, Value, field};

    use crate::log::{Line, is_partner_record, read};

    fn one(text: &str) -> event::Event {
        read(&Line { bytes: text.as_bytes(), received: Timestamp::from_secs(1_795_000_000), utc_offset_secs: 0, format: None }).1
    }

    #[test]
    fn a_message_is_a_detection_finding_with_its_ends() {
        let text = r#"{"Format":"IDEA0","ID":"e214d2d9","DetectTime":"2016-06-21T13:08:27Z","Category":["Attempt.Login"],"Note":"SSH login attempt","Source":[{"IP4":["192.0.2.7"],"Port":[4711]}],"Target":[{"IP4":["198.51.100.5"],"Port":["22"],"Proto":["tcp","ssh"]}],"Node":[{"Name":"cz.example.node"}]}"#;
        assert!(is_partner_record(text));
        let event = one(text);
        assert_eq!((event.severity, event.time.to_string().as_str()), (Severity::Medium, "2016-06-21T13:08:27Z"));
        let get = |f| event.get(f).map(Value::to_text);
        assert_eq!(get(field::SRC_IP).as_deref(), Some("192.0.2.7"));
        assert_eq!((get(field::DST_PORT).as_deref(), get(field::ALERT_HOST).as_deref()), (Some("22"), Some("198.51.100.5")));
        assert_eq!(get(field::FINDING_TITLE).as_deref(), Some("SSH login attempt"));
    }

    #[test]
    fn what_is_anonymised_names_no_host_and_what_is_half_a_message_is_a_line() {
        let anonymised = r#"{"Format":"IDEA0","ID":"1","DetectTime":"2016-06-21T13:08:27Z","Category":["Test","Malware"],"Target":[{"IP4":["198.51.100.0"],"Anonymised":true}]}"#;
        let event = one(anonymised);
        assert!(event.get(field::DST_IP).is_none() && event.get(field::ALERT_HOST).is_none());
        assert_eq!(event.severity, Severity::Informational);
        for half in [
            r#"{"Format":"IDEA0","ID":"1","Category":["Malware"]}"#,
            r#"{"Format":"IDEA1","ID":"1","DetectTime":"x","Category":["a"],"Note":"\"IDEA0\""}"#,
        ] {
            assert!(one(half).get(field::FINDING_TITLE).is_none(), "{half}");
        }
    }
}
