//! Alerts of other tools as evidence: Suricata's EVE records, Wazuh's `alerts.json`, AMiner's JSON. One object a line.
//!
//! An alert becomes a detection finding of product `suricata`, `wazuh` or `aminer` and category `alert`. What it says is kept as it was
//! said (title, the tool's own id, categories, level, techniques); whether that matters is for rules to say (`config/rules/partner`).
//! `alert.host` is the host the alert is about: an address where the tool gives one, else a name, so that what several tools say of one host
//! meets. Text inside an object cannot name a key, so a request cannot forge who sent it. A record that is cut or broken stays a plain line.

use event::{Class, Event, Kind, LogSource, Severity, Timestamp, Value, field};

use super::scan::address;
use super::stamp::stamp;
use super::tree::Tree;
use super::{Format, Header};

pub(crate) static EVE: Format = Format::new("eve", &["suricata"], eve).by(&["\"event_type\""]).whole();
pub(crate) static WAZUH: Format = Format::new("wazuh", &["wazuh", "ossec"], wazuh).by(&["\"rule\""]).whole();
pub(crate) static AMINER: Format = Format::new("aminer", &["aminer"], aminer).by(&["\"AnalysisComponent\""]).whole();

/// Categories and techniques kept of one alert.
const WORDS_MAX: usize = 16;
/// Bytes kept of a word.
const WORD_BYTES_MAX: usize = 128;

/// Whether a line of JSON looks like a record of one of these tools, without reading it whole.
pub fn is_partner_record(line: &str) -> bool {
    let head = &line[..line.floor_char_boundary(super::LOOK_BYTES_MAX)];
    let has = |word: &str| head.contains(word);
    !has("\"class_uid\"")
        && (has("\"AnalysisComponent\"")
            || has("\"IDEA0\"")
            || (has("\"timestamp\"") && (has("\"event_type\"") || (has("\"rule\"") && (has("\"agent\"") || has("\"manager\""))))))
}

pub(super) fn object<'a>(head: &Header<'a>) -> Option<Tree<'a>> {
    let text = head.message.trim();
    Tree::read(text.strip_prefix("@cee:").unwrap_or(text))
}

/// What all three have.
pub(super) fn alert(event: &mut Event, product: &'static str, name: &'static str, title: &str, severity: Severity) -> Class {
    event.kind = Kind::DetectionFinding;
    event.activity = 1;
    event.severity = severity;
    event.source = LogSource::new(product, "alert", "");
    event.body.set(field::PRODUCT_NAME, name);
    event.body.set(field::FINDING_TITLE, title);
    event.body.set(field::MESSAGE, title);
    if severity >= Severity::High { Class::Critical } else { Class::Normal }
}

pub(super) fn time(event: &mut Event, text: Option<&str>) {
    if let Some((time, _, _)) = text.and_then(|t| stamp(t, event.time, 0)) {
        event.time = time;
    }
}

pub(super) fn words(event: &mut Event, field: event::Field, found: &mut dyn Iterator<Item = &str>) {
    let list: Vec<Value> = found.take(WORDS_MAX).map(|w| Value::text(&w[..w.floor_char_boundary(WORD_BYTES_MAX)])).collect();
    if !list.is_empty() {
        event.body.set(field, list);
    }
}

/// An address that says something about a host.
pub(super) fn routable(text: Option<&str>) -> Option<std::net::IpAddr> {
    text.and_then(address).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// A Suricata record: `"event_type": "alert"`; records of other types keep their ends and their type.
fn eve(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let tree = object(head)?;
    let kind = tree.get("event_type")?;
    let when = tree.get("timestamp")?;
    if kind != "alert" {
        time(event, Some(when));
        event.source = LogSource::owned(Some("suricata"), Some(&kind[..kind.floor_char_boundary(32)]), None);
        event.body.set(field::PRODUCT_NAME, "Suricata");
        endpoints(event, &tree, "");
        return Some(Class::Bulk);
    }
    let class = signature(event, &tree, "")?;
    time(event, Some(when));
    let target = event.get(field::DST_IP).and_then(Value::as_ip);
    event.body.set_some(field::ALERT_HOST, routable(tree.get("alert.target.ip")).or(target).map(|ip| ip.to_string()));
    Some(class)
}

/// The signature that fired and what it fired on; `prefix` is where the record lies in the object. `None` where it names no signature.
fn signature(event: &mut Event, tree: &Tree<'_>, prefix: &str) -> Option<Class> {
    let at = |name: &str| format!("{prefix}{name}");
    let level = tree.get(&at("alert.severity")).and_then(|n| n.parse::<i64>().ok());
    let severity = match level {
        Some(1) => Severity::High,
        Some(2) => Severity::Medium,
        Some(3) => Severity::Low,
        _ => Severity::Informational,
    };
    let class = alert(event, "suricata", "Suricata", tree.get(&at("alert.signature"))?, severity);
    event.body.set_some(field::FINDING_RULE, tree.get(&at("alert.signature_id")));
    event.body.set_some(field::ALERT_LEVEL, level);
    words(event, field::ALERT_CATEGORY, &mut tree.all(&at("alert.category")));
    let techniques = [at("alert.metadata.mitre_technique_id"), at("alert.metadata.mitre_attack_technique_id")];
    words(event, field::ALERT_TECHNIQUES, &mut techniques.iter().flat_map(|path| tree.all(path)));
    event.body.set_some(field::DISPOSITION, tree.get(&at("alert.action")));
    endpoints(event, tree, prefix);
    for (field, paths) in [
        (field::HTTP_HOST, &["http.hostname"][..]),
        (field::HTTP_URL, &["http.url"]),
        (field::HTTP_METHOD, &["http.http_method"]),
        (field::HTTP_USER_AGENT, &["http.http_user_agent"]),
        (field::TLS_SNI, &["tls.sni"]),
        (field::DNS_QUERY, &["dns.rrname", "dns.query.rrname", "dns.queries.rrname"]),
    ] {
        event.body.set_some(field, paths.iter().find_map(|p| tree.get(&at(p))));
    }
    // 0 is Suricata's word for no answer.
    let status = tree.get(&at("http.status")).and_then(|n| n.parse::<u16>().ok()).filter(|n| *n > 0);
    event.body.set_some(field::HTTP_STATUS, status);
    Some(class)
}

/// The two ends, the one that began it first: an alert on an answer has them the other way round.
fn endpoints(event: &mut Event, tree: &Tree<'_>, prefix: &str) {
    let at = |name: &str| format!("{prefix}{name}");
    let end = |ip: &str, port: &str| (tree.get(&at(ip)).and_then(address), tree.get(&at(port)).and_then(|p| p.parse::<u16>().ok()));
    let (mut source, mut target) = (end("src_ip", "src_port"), end("dest_ip", "dest_port"));
    if tree.get(&at("direction")) == Some("to_client") {
        std::mem::swap(&mut source, &mut target);
    }
    event.body.set_some(field::SRC_IP, source.0);
    event.body.set_some(field::SRC_PORT, source.1);
    event.body.set_some(field::DST_IP, target.0);
    event.body.set_some(field::DST_PORT, target.1);
    event.body.set_some(field::PROTOCOL, tree.get(&at("proto")).map(str::to_ascii_lowercase));
    event.body.set_some(field::APP_NAME, tree.get(&at("app_proto")).filter(|p| *p != "failed"));
    event.body.set_some(field::COMMUNITY_ID, tree.get(&at("community_id")));
}

/// A Wazuh alert. One that relays a Suricata alert is that alert.
fn wazuh(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let tree = object(head)?;
    let title = tree.get("rule.description")?;
    let name = tree.one_of(&["agent.name", "manager.name"])?;
    let level = tree.get("rule.level").and_then(|n| n.parse::<i64>().ok());
    let severity = match level {
        Some(15..) => Severity::Critical,
        Some(12..) => Severity::High,
        Some(7..) => Severity::Medium,
        Some(4..) => Severity::Low,
        _ => Severity::Informational,
    };
    let class = match signature(event, &tree, "data.") {
        Some(class) => class,
        None => {
            let class = alert(event, "wazuh", "Wazuh", title, severity);
            event.body.set_some(field::FINDING_RULE, tree.get("rule.id"));
            event.body.set_some(field::ALERT_LEVEL, level);
            words(event, field::ALERT_CATEGORY, &mut tree.all("rule.groups"));
            words(event, field::ALERT_TECHNIQUES, &mut tree.all("rule.mitre.id"));
            event.body.set_some(field::SRC_IP, tree.one_of(&["data.srcip", "data.src_ip", "srcip"]).and_then(address));
            event.body.set_some(field::DST_IP, tree.one_of(&["data.dstip", "data.dest_ip", "dstip"]).and_then(address));
            event.body.set_some(field::USER_NAME, tree.one_of(&["data.dstuser", "dstuser"]));
            event.body.set_some(field::ACTOR_USER, tree.one_of(&["data.srcuser", "srcuser"]));
            event.body.set_some(field::HTTP_URL, tree.get("data.url"));
            class
        }
    };
    time(event, tree.one_of(&["timestamp", "@timestamp"]));
    let host = routable(tree.get("agent.ip")).map_or_else(|| name.to_owned(), |ip| ip.to_string());
    event.body.set(field::ALERT_HOST, &host[..host.floor_char_boundary(WORD_BYTES_MAX)]);
    event.body.set(field::DST_HOSTNAME, &name[..name.floor_char_boundary(WORD_BYTES_MAX)]);
    event.body.set_some(field::STATUS_DETAIL, tree.get("full_log").map(|l| &l[..l.floor_char_boundary(DETAIL_BYTES_MAX)]));
    event.body.set_some(field::LOG_NAME, tree.get("location"));
    Some(class)
}

/// Bytes kept of the line an alert was raised for; the record itself is kept whole.
const DETAIL_BYTES_MAX: usize = 1024;

/// An AMiner anomaly. It has no level: an anomaly is a fact, not a grade.
fn aminer(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let tree = object(head)?;
    let name = tree.one_of(&["AnalysisComponent.AnalysisComponentName", "AnalysisComponent.AnalysisComponentType"])?;
    let title = name.strip_prefix("AMiner: ").unwrap_or(name);
    let class = alert(event, "aminer", "AMiner", title, Severity::Informational);
    let seconds = tree.one_of(&["LogData.Timestamps", "LogData.DetectionTimestamp"]).and_then(|t| t.parse::<f64>().ok());
    if let Some(seconds) = seconds.filter(|s| (0.0..=SECONDS_MAX).contains(s)) {
        event.time = Timestamp::from_ms((seconds * 1000.0).round() as i64);
    }
    words(event, field::ALERT_CATEGORY, &mut tree.all("AnalysisComponent.AnalysisComponentType"));
    event.body.set_some(field::STATUS_DETAIL, tree.get("LogData.RawLogData").map(|l| &l[..l.floor_char_boundary(DETAIL_BYTES_MAX)]));
    event.body.set_some(field::LOG_NAME, tree.one_of(&["LogData.LogResources", "AnalysisComponent.LogResource"]));
    event.body.set_some(field::ALERT_HOST, tree.get("AMiner.ID").map(|id| &id[..id.floor_char_boundary(WORD_BYTES_MAX)]));
    Some(class)
}

/// The year 2200: what is later is no time of a log.
const SECONDS_MAX: f64 = 7_258_118_400.0;
