//! Wazuh's rule tests: the program is recognised, and the class of the event agrees with the groups of the rule that fires.
//!
//! Rule ids are not ours; groups are compared by what they mean. Each line is a session of its own upstream, so there is no state.
//! Lines of cloud services and Windows have no goal: they must give one event with their text.

use event::{Event, Kind, Value, field};

use super::{Tally, bytes, event, rows, verbose};

/// Wazuh's decoder, and the log sources (service or category) that mean the same here.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("sshd", &["sshd"]),
    ("kernel", &["kernel"]),
    ("web-accesslog", &["webserver"]),
    ("auditd", &["auditd"]),
    ("named", &["named"]),
    ("smtpd", &["smtpd"]),
    ("dovecot", &["dovecot"]),
    ("apache-errorlog", &["webserver"]),
    ("nginx-errorlog", &["webserver"]),
    ("proftpd", &["proftpd"]),
    ("pam", &["pam", "su"]),
    ("openldap", &["slapd", "apps"]),
    ("doas", &["sudo"]),
    ("smbd", &["smbd", "apps", "samba"]),
    ("postfix-reject", &["postfix"]),
    ("cimserver", &["apps", "cimserver"]),
    ("systemd", &["systemd"]),
    ("sudo", &["sudo"]),
    ("su", &["su"]),
    ("NetworkManager", &["networkmanager"]),
    ("macOS_screensharingd", &["screensharing", "apps", "screensharingd"]),
    ("macOS_tccd", &["tccd"]),
    ("macOS_securityd", &["securityd"]),
    ("macOS_loginwindow", &["loginwindow"]),
    ("macOS_sessionlogoutd", &["sessionlogoutd"]),
    ("windows-date-format", &["exim"]),
    ("oscap", &["oscap"]),
];

fn failed(e: &Event) -> bool {
    e.text(field::STATUS_ID) == "2"
}

/// What a group means of an event, where it means something of one line.
fn fits(group: &str, e: &Event) -> Option<bool> {
    let logon = e.kind == Kind::Authentication;
    Some(match group {
        "authentication_failed" | "authentication_failures" | "invalid_login" => failed(e) && (logon || e.kind == Kind::SshActivity),
        "authentication_success" => logon && e.text(field::STATUS_ID) == "1",
        "access_denied" => failed(e),
        "accesslog" => e.kind == Kind::HttpActivity,
        "firewall_drop" => e.kind == Kind::NetworkActivity && e.activity == 5,
        "spam" => failed(e) && e.kind == Kind::EmailActivity,
        _ => return None,
    })
}

#[test]
fn wazuh_rules() {
    let Some(path) = tests::data("peers/wazuh/tests.jsonl") else { return };
    let (mut programs, mut classes) = (Tally::default(), Tally::default());
    let mut lines = 0_u32;
    for row in rows(&path) {
        let bytes = bytes(&row);
        let line = row["input"].as_str().unwrap_or_default();
        let event = event(&bytes, 1_750_000_000);
        assert_eq!(event.body.get(field::RAW_DATA), Some(&Value::lossy(&bytes)), "the text is kept");
        lines += 1;
        let decoder = row["decoder"].as_str().unwrap_or_default();
        let Some((_, ours)) = PROGRAMS.iter().find(|(d, _)| *d == decoder) else { continue };
        if row["expect_match"] == false {
            continue;
        }
        let word = |w: &Option<std::borrow::Cow<'static, str>>| w.as_deref().unwrap_or("").to_owned();
        let right = ours.contains(&word(&event.source.service).as_str()) || ours.contains(&word(&event.source.category).as_str());
        programs.count(decoder, right);
        if !right && verbose() {
            println!("wazuh {decoder} is {}: {line}", event.source);
        }
        for group in row["rule_groups"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
            if let Some(right) = fits(group, &event) {
                classes.count(group, right);
                if !right && verbose() {
                    println!("wazuh group {group} is {} {}: {line}", event.kind.name(), event.text(field::STATUS_ID));
                }
            }
        }
    }
    programs.print("wazuh program (goal 95)");
    classes.print("wazuh class of event (goal 85)");
    println!("  {lines} lines of all kinds read; {:.1} % programs, {:.1} % classes", programs.percent(), classes.percent());
    println!("  not told from one line: groups of rules that count over time, or that judge a web request (attack, sqlinjection, recon)");
    assert!(programs.percent() >= 100.0, "programs fell");
    assert!(classes.percent() >= 97.0, "classes fell");
}
