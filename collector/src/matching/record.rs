//! What a record says about itself besides its fields: when it was, and which log source it is of.
//!
//! **Time**: the field named by `--time-field`, else the first of `TIME_FIELDS` that can be read: RFC 3339, the same with a blank and
//! without a zone (taken as UTC), or a number since 1970 in s, ms, µs or ns, told apart by its size.
//! **Log source**: Sigma's own words (`product`, `category`, `service`, at the top or under `logsource`), or those of ECS and
//! Winlogbeat (`host.os.type`, `event.category` and `event.type`, `event.dataset`, `winlog.channel`). Which of the two a stream speaks
//! is found out from its first records, because looking for both in every line would cost more than matching it.

use event::{Event, LogSource, Timestamp};
use serde_json::Value;

/// Usual names of a record's time, in the order they are tried.
pub const TIME_FIELDS: &[&str] = &[
    "@timestamp",
    "time",
    "timestamp",
    "UtcTime",
    "TimeCreated",
    "SystemTime",
    "EventTime",
    "eventTime",
    "event.created",
    "ts",
    "_time",
    "date",
];

/// How the records name their log source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Form {
    /// Found out from the first records.
    #[default]
    Auto,
    /// `product`, `category`, `service`, at the top or under `logsource`.
    Sigma,
    /// `host.os.type`, `event.category` + `event.type`, `event.dataset`, `winlog.channel`.
    Ecs,
    /// Not looked for: what --product, --category and --service say holds.
    None,
}

/// A member by its path: whole (`"a.b": …`) or step by step.
pub fn member<'v>(record: &'v Value, path: &str) -> Option<&'v Value> {
    let map = record.as_object()?;
    if let Some(value) = map.get(path) {
        return Some(value);
    }
    let mut at = 0;
    while let Some(dot) = path.get(at..).and_then(|rest| rest.find('.')) {
        let (head, tail) = (path.get(..at + dot)?, path.get(at + dot + 1..)?);
        if let Some(found) = map.get(head).and_then(|inner| member(inner, tail)) {
            return Some(found);
        }
        at += dot + 1;
    }
    None
}

/// When an event made of a record was, by its fields; None where it does not say, or not in a way that can be read.
pub fn time(event: &Event, named: Option<&str>) -> Option<Timestamp> {
    let read = |name: &str| match event.get_named(name)? {
        event::Value::Text(text) => text_instant(text),
        event::Value::Int(n) => unix(*n),
        event::Value::Float(x) => seconds(*x),
        _ => None,
    };
    match named {
        Some(name) => read(name),
        None => TIME_FIELDS.iter().find_map(|name| read(name)),
    }
}

fn text_instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    Timestamp::parse_rfc3339(text)
        .or_else(|| Timestamp::parse_rfc3339(&format!("{text}Z")))
        .or_else(|| text.parse::<i64>().ok().and_then(unix))
        .or_else(|| text.parse::<f64>().ok().and_then(seconds))
}

/// Digits say the unit: seconds until the year 5138, then milliseconds, microseconds, nanoseconds.
fn unix(n: i64) -> Option<Timestamp> {
    let scale = match n.unsigned_abs() {
        0..=99_999_999_999 => event::SECOND_NS,
        100_000_000_000..=99_999_999_999_999 => 1_000_000,
        100_000_000_000_000..=99_999_999_999_999_999 => 1_000,
        _ => 1,
    };
    n.checked_mul(scale).map(Timestamp::from_ns)
}

fn seconds(x: f64) -> Option<Timestamp> {
    // Whole seconds and the rest apart: a double holds microseconds of today, and no more.
    let whole = x.floor();
    if !x.is_finite() || whole.abs() > 99_999_999_999.0 {
        return (x.abs() < 9e18).then(|| unix(x as i64)).flatten();
    }
    (whole as i64).checked_mul(event::SECOND_NS)?.checked_add(((x - whole) * 1e6).round() as i64 * 1_000).map(Timestamp::from_ns)
}

/// True if the record names any word in Sigma's own way.
pub fn speaks_sigma(record: &Value) -> bool {
    ["product", "category", "service"].iter().any(|word| {
        record.get(word).is_some_and(Value::is_string) || record.get("logsource").and_then(|l| l.get(word)).is_some_and(Value::is_string)
    })
}

/// True if the record names its source in ECS.
pub fn speaks_ecs(record: &Value) -> bool {
    ecs(record) != LogSource::default()
}

/// Log source of a record in the Elastic Common Schema.
pub fn ecs(record: &Value) -> LogSource {
    let text = |path: &str| member(record, path).and_then(Value::as_str);
    let has = |path: &str, word: &str| match member(record, path) {
        Some(Value::String(one)) => one.eq_ignore_ascii_case(word),
        Some(Value::Array(list)) => list.iter().any(|v| v.as_str().is_some_and(|t| t.eq_ignore_ascii_case(word))),
        _ => false,
    };
    let channel = text("winlog.channel").and_then(|c| CHANNELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(c)).map(|(_, s)| *s));
    let dataset = text("event.dataset").and_then(|d| DATASETS.iter().find(|(name, ..)| *name == d));
    let product = match text("host.os.type").or_else(|| text("host.os.family")) {
        Some("windows") => Some("windows"),
        Some("macos" | "darwin") => Some("macos"),
        Some("linux" | "debian" | "redhat" | "ubuntu" | "suse") => Some("linux"),
        _ if member(record, "winlog").is_some() || channel.is_some() => Some("windows"),
        _ => dataset.map(|(_, product, _)| *product),
    };
    let service = channel.or_else(|| dataset.map(|(.., service)| *service));
    let category = CATEGORIES
        .iter()
        .find(|(category, kind, _)| has("event.category", category) && (kind.is_empty() || has("event.type", kind)))
        .map(|(.., word)| *word);
    let word = |w: Option<&'static str>| w.filter(|w| !w.is_empty());
    LogSource::owned(word(product), word(category), word(service))
}

/// `event.category`, `event.type` → Sigma's category; the first row that fits.
const CATEGORIES: &[(&str, &str, &str)] = &[
    ("process", "start", "process_creation"),
    ("process", "end", "process_termination"),
    ("process", "access", "process_access"),
    ("network", "protocol", "dns_query"),
    ("network", "", "network_connection"),
    ("registry", "", "registry_event"),
    ("file", "creation", "file_event"),
    ("file", "deletion", "file_delete"),
    ("file", "change", "file_change"),
    ("file", "access", "file_access"),
    ("driver", "", "driver_load"),
    ("library", "", "image_load"),
    ("web", "", "webserver"),
];
/// `winlog.channel` → service.
const CHANNELS: &[(&str, &str)] = &[
    ("Security", "security"),
    ("System", "system"),
    ("Application", "application"),
    ("Microsoft-Windows-Sysmon/Operational", "sysmon"),
    ("Microsoft-Windows-PowerShell/Operational", "powershell"),
    ("Windows PowerShell", "powershell-classic"),
    ("Microsoft-Windows-TaskScheduler/Operational", "taskscheduler"),
    ("Microsoft-Windows-Windows Defender/Operational", "windefend"),
    ("Microsoft-Windows-WMI-Activity/Operational", "wmi"),
    ("Microsoft-Windows-NTLM/Operational", "ntlm"),
    ("Microsoft-Windows-Bits-Client/Operational", "bits-client"),
    ("Microsoft-Windows-CodeIntegrity/Operational", "codeintegrity-operational"),
    ("Microsoft-Windows-DriverFrameworks-UserMode/Operational", "driver-framework"),
    ("Microsoft-Windows-AppLocker/EXE and DLL", "applocker"),
    ("DNS Server", "dns-server"),
];
/// `event.dataset` → product, service.
const DATASETS: &[(&str, &str, &str)] = &[
    ("system.auth", "linux", "auth"),
    ("system.syslog", "linux", "syslog"),
    ("auditd.log", "linux", "auditd"),
    ("zeek.dns", "zeek", "dns"),
    ("zeek.http", "zeek", "http"),
    ("zeek.smb_files", "zeek", "smb_files"),
    ("zeek.rdp", "zeek", "rdp"),
    ("zeek.x509", "zeek", "x509"),
    ("zeek.dce_rpc", "zeek", "dce_rpc"),
    ("zeek.kerberos", "zeek", "kerberos"),
    ("aws.cloudtrail", "aws", "cloudtrail"),
    ("azure.signinlogs", "azure", "signinlogs"),
    ("azure.auditlogs", "azure", "auditlogs"),
    ("azure.activitylogs", "azure", "activitylogs"),
    ("gcp.audit", "gcp", "gcp.audit"),
    ("okta.system", "okta", "okta"),
    ("o365.audit", "m365", "audit"),
    ("github.audit", "github", "audit"),
    ("kubernetes.audit_logs", "kubernetes", "audit"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_time_is_read_in_every_usual_shape() {
        let of = |record: Value, named: Option<&str>| {
            let event = rule::json_event(record.to_string().as_bytes(), &rule::Routing::default(), Timestamp::ZERO).expect("a record");
            time(&event, named).map(|t| t.to_string())
        };
        let at = |value: Value| of(json!({ "ts": value }), None);
        let noon = Some("2026-11-23T12:00:00Z".to_owned());
        for value in [
            json!("2026-11-23T12:00:00Z"),
            json!("2026-11-23T20:00:00+08:00"),
            json!("2026-11-23 12:00:00"),
            json!("2026-11-23T12:00:00"),
            json!(1_795_435_200),
            json!(1_795_435_200_000_i64),
            json!(1_795_435_200_000_000_i64),
            json!(1_795_435_200_000_000_000_i64),
            json!("1795435200"),
            json!(1_795_435_200.0),
        ] {
            assert_eq!(at(value.clone()), noon, "{value}");
        }
        assert_eq!(at(json!("2026-11-23 12:12:44.485")).as_deref(), Some("2026-11-23T12:12:44.485Z"));
        assert_eq!(at(json!(1_795_435_200.123_456)).as_deref(), Some("2026-11-23T12:00:00.123456Z"));
        for value in [json!("yesterday"), json!(null), json!({}), json!(1e300), json!("")] {
            assert_eq!(at(value.clone()), None, "{value}");
        }
        let record = json!({"UtcTime": "nonsense", "a": {"b": {"c": "2026-11-23T12:00:00Z"}}, "ts": 1_795_435_200.5});
        assert_eq!(of(record.clone(), None).as_deref(), Some("2026-11-23T12:00:00.500Z"), "the first that can be read");
        assert_eq!(of(record.clone(), Some("a.b.c")), noon);
        assert_eq!(of(record, Some("UtcTime")), None, "the one that is named, or none");
    }

    #[test]
    fn a_log_source_is_told_in_sigma_or_in_ecs() {
        assert!(speaks_sigma(&json!({"product": "linux"})) && speaks_sigma(&json!({"logsource": {"service": "sshd"}})));
        assert!(!speaks_sigma(&json!({"service": {"name": "x"}})));
        let source = |v: Value| ecs(&v).to_string();
        let exec = json!({"host": {"os": {"type": "windows"}}, "event": {"category": ["process"], "type": ["start"]}});
        assert_eq!(source(exec), "windows/process_creation/*");
        assert_eq!(source(json!({"winlog": {"channel": "Security", "event_id": 4624}})), "windows/*/security");
        assert_eq!(source(json!({"event.dataset": "system.auth"})), "linux/*/auth");
        assert_eq!(source(json!({"message": "x"})), "*/*/*");
        assert!(!speaks_ecs(&json!({"message": "x"})));
    }
}
