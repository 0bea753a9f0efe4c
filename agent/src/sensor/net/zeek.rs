//! Events of the net sensor as Zeek's logs: conn, dns, http, ssl, ssh, modbus, dnp3, in JSON with Zeek's field names, so that what reads Zeek reads
//! these. Fields that the sensor does not know are left out, never guessed; `FIELDS` lists what is written.
//!
//! One line of conn.log a flow: records of a flow that is told several times are added up, at most `FLOWS_MAX` at a time (the oldest is written as it
//! stands, and counted). Replay with `config()`: it says payload bytes, and no flow is told in parts. Equal polls of a control
//! protocol are counted by the sensor: they are written as often as they were, at the time of the event that stands for them.

use std::collections::{HashMap, VecDeque};

use event::{Event, Field, SECOND_NS, Value, field};
use proto::net::dnp3::INDICATIONS;
use proto::net::dns::type_number;
use serde_json::{Map, Value as Json, json};

use super::PipelineConfig;

/// Flows that are added up at a time.
const FLOWS_MAX: usize = 1_000_000;
/// Times an event is written that stands for many.
const COUNT_MAX: i64 = 1_000_000;

/// Logs and the fields of each that may be written, in Zeek's order.
pub static FIELDS: &[(&str, &[&str])] = &[
    (
        "conn",
        &[
            "ts",
            "uid",
            "id.orig_h",
            "id.orig_p",
            "id.resp_h",
            "id.resp_p",
            "proto",
            "service",
            "duration",
            "orig_bytes",
            "resp_bytes",
            "conn_state",
            "history",
            "orig_pkts",
            "resp_pkts",
            "community_id",
            "vlan",
        ],
    ),
    (
        "dns",
        &[
            "ts",
            "uid",
            "id.orig_h",
            "id.orig_p",
            "id.resp_h",
            "id.resp_p",
            "proto",
            "trans_id",
            "query",
            "qclass",
            "qclass_name",
            "qtype",
            "qtype_name",
            "rcode",
            "rcode_name",
            "answers",
        ],
    ),
    (
        "http",
        &[
            "ts",
            "uid",
            "id.orig_h",
            "id.orig_p",
            "id.resp_h",
            "id.resp_p",
            "trans_depth",
            "method",
            "host",
            "uri",
            "referrer",
            "version",
            "user_agent",
            "request_body_len",
            "response_body_len",
            "status_code",
        ],
    ),
    ("ssl", &["ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "version", "cipher", "server_name"]),
    ("ssh", &["ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "version", "client", "server"]),
    ("modbus", &["ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "tid", "unit", "func", "pdu_type", "exception"]),
    ("dnp3", &["ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "fc_request", "fc_reply", "iin"]),
];

/// How a pipeline reads for these logs.
pub fn config() -> PipelineConfig {
    let mut config = PipelineConfig { records_per_second: u32::MAX, payload: true, facts: None, ..PipelineConfig::default() };
    config.flows.flows_max = FLOWS_MAX;
    config.flows.active_ns = 366 * 86_400 * SECOND_NS;
    config
}

/// Where lines go: the log's name, and its line.
pub type Lines<'a> = &'a mut dyn FnMut(&'static str, Json);

/// Turns events into lines.
#[derive(Default)]
pub struct Zeek {
    flows: HashMap<String, Conn>,
    order: VecDeque<String>,
    /// Requests of an HTTP connection so far; forgotten with it.
    depth: HashMap<String, u64>,
    /// Flows written before they were over.
    pub cut: u64,
}

struct Conn {
    line: Map<String, Json>,
    bytes: [i64; 2],
    packets: [i64; 2],
}

impl Zeek {
    pub fn event(&mut self, event: &Event, out: Lines<'_>) {
        match (event.source.category.as_deref(), event.source.service.as_deref()) {
            (Some("network_connection"), Some("flow")) => self.flow(event, out),
            (Some("dns"), _) => out("dns", dns(event)),
            (Some("http"), _) => self.http(event, out),
            (Some("tls"), _) => out("ssl", ssl(event)),
            // What is judged of a log-in later is no line of its own.
            (_, Some("ssh")) if event.get(field::SERVICE_NAME).is_none() => out("ssh", ssh(event)),
            (Some("ot"), Some("modbus")) => times(event, &modbus(event), "modbus", out),
            (Some("ot"), Some("dnp3")) => times(event, &[dnp3(event)], "dnp3", out),
            _ => {}
        }
    }

    /// The end: flows that were told only as attempts.
    pub fn finish(&mut self, out: Lines<'_>) {
        for uid in std::mem::take(&mut self.order) {
            if let Some(conn) = self.flows.remove(&uid) {
                out("conn", conn.done());
            }
        }
    }

    fn flow(&mut self, event: &Event, out: Lines<'_>) {
        let uid = event.text(field::FLOW_UID).into_owned();
        if !self.flows.contains_key(&uid) {
            if self.flows.len() >= FLOWS_MAX {
                self.make_room(out);
            }
            self.order.push_back(uid.clone());
        }
        let conn = self.flows.entry(uid.clone()).or_insert_with(|| Conn { line: Map::new(), bytes: [0; 2], packets: [0; 2] });
        conn.take(event);
        if event.get(field::CONN_CLOSE).is_some() {
            self.depth.remove(&uid);
            if let Some(conn) = self.flows.remove(&uid) {
                out("conn", conn.done());
            }
            // What is gone from the front of the line need not stand in it.
            while self.order.front().is_some_and(|uid| !self.flows.contains_key(uid)) {
                self.order.pop_front();
            }
        }
    }

    fn make_room(&mut self, out: Lines<'_>) {
        while let Some(uid) = self.order.pop_front() {
            if let Some(conn) = self.flows.remove(&uid) {
                self.cut += 1;
                self.depth.remove(&uid);
                return out("conn", conn.done());
            }
        }
    }

    fn http(&mut self, event: &Event, out: Lines<'_>) {
        let mut line = head(event);
        let uid = event.text(field::FLOW_UID).into_owned();
        let depth = if self.depth.contains_key(&uid) || self.depth.len() < FLOWS_MAX { self.depth.entry(uid).or_default() } else { &mut 0 };
        *depth += 1;
        line.insert("trans_depth".into(), json!(*depth));
        for (name, of) in [
            ("method", field::HTTP_METHOD),
            ("host", field::HTTP_HOST),
            ("uri", field::HTTP_URL),
            ("referrer", field::HTTP_REFERRER),
            ("version", field::HTTP_VERSION),
            ("user_agent", field::HTTP_USER_AGENT),
            ("request_body_len", field::HTTP_BODY_LENGTH),
            ("response_body_len", field::HTTP_LENGTH),
            ("status_code", field::HTTP_STATUS),
        ] {
            put(&mut line, name, event, of);
        }
        // Without a length stated nothing follows such a request.
        if matches!(&*event.text(field::HTTP_METHOD), "GET" | "HEAD" | "OPTIONS" | "DELETE" | "CONNECT" | "TRACE") {
            line.entry("request_body_len").or_insert_with(|| json!(0));
        }
        out("http", Json::Object(line));
    }
}

impl Conn {
    fn take(&mut self, event: &Event) {
        let line = &mut self.line;
        if line.is_empty() {
            *line = head(event);
        }
        let text = |f: Field| event.text(f).into_owned();
        let word = match &*text(field::PROTOCOL) {
            "icmpv6" => "icmp",
            known @ ("tcp" | "udp" | "icmp") => known,
            _ => "unknown_transport",
        }
        .to_owned();
        if let (true, Some(kind)) = (word == "icmp", int(event, field::ICMP_TYPE)) {
            let code = int(event, field::ICMP_CODE).unwrap_or(0);
            line.insert("id.orig_p".into(), json!(kind));
            line.insert("id.resp_p".into(), json!(counterpart(kind, text(field::PROTOCOL) == "icmpv6").unwrap_or(code)));
        }
        line.entry("id.orig_p").or_insert_with(|| json!(0));
        line.entry("id.resp_p").or_insert_with(|| json!(0));
        line.insert("proto".into(), json!(word));
        if let Some(app) = event.get(field::APP_NAME).and_then(Value::as_str) {
            let service = match (app, word.as_str()) {
                ("tls", _) => "ssl".to_owned(),
                ("dnp3", carrier) => format!("dnp3_{carrier}"),
                (other, _) => other.to_owned(),
            };
            line.insert("service".into(), json!(service));
        }
        for (at, (bytes, packets)) in
            [(field::PAYLOAD_OUT, field::PACKETS_OUT), (field::PAYLOAD_IN, field::PACKETS_IN)].into_iter().enumerate()
        {
            // Payload is said as it is then, packets since they were said last.
            if let (Some(held), Some(count)) = (self.bytes.get_mut(at), self.packets.get_mut(at)) {
                *held = (*held).max(int(event, bytes).unwrap_or(0));
                *count += int(event, packets).unwrap_or(0);
            }
        }
        if let Some(ms) = int(event, field::DURATION_MS) {
            line.insert("duration".into(), json!(ms as f64 / 1e3));
        }
        put(line, "conn_state", event, field::CONN_STATE);
        put(line, "history", event, field::FLAG_HISTORY);
        put(line, "community_id", event, field::COMMUNITY_ID);
        put(line, "vlan", event, field::VLAN);
    }

    fn done(mut self) -> Json {
        let known = matches!(self.line.get("proto").and_then(Json::as_str), Some("tcp" | "udp"));
        // Zeek says neither of a conversation of one packet without an end.
        if self.packets[0] + self.packets[1] > 1 && known {
            self.line.insert("orig_bytes".into(), json!(self.bytes[0]));
            self.line.insert("resp_bytes".into(), json!(self.bytes[1]));
        } else {
            self.line.remove("duration");
        }
        self.line.insert("orig_pkts".into(), json!(self.packets[0]));
        self.line.insert("resp_pkts".into(), json!(self.packets[1]));
        Json::Object(self.line)
    }
}

/// The type that answers this one, which Zeek writes as the other port.
fn counterpart(kind: i64, v6: bool) -> Option<i64> {
    match (kind, v6) {
        (8, false) => Some(0),
        (0, false) => Some(8),
        (13, false) => Some(14),
        (15, false) => Some(16),
        (17, false) => Some(18),
        (128, true) => Some(129),
        (129, true) => Some(128),
        (133, true) => Some(134),
        (135, true) => Some(136),
        (136, true) => Some(135),
        _ => None,
    }
}

/// `ts`, `uid` and `id` of an event of a flow.
fn head(event: &Event) -> Map<String, Json> {
    let mut line = Map::new();
    let uid = event.text(field::FLOW_UID).into_owned();
    let start = uid.split('.').next().and_then(|us| i64::from_str_radix(us, 16).ok());
    let is_flow = event.source.service.as_deref() == Some("flow");
    let us = start.filter(|_| is_flow).unwrap_or(event.time.ns() / 1_000);
    line.insert("ts".into(), json!(us as f64 / 1e6));
    line.insert("uid".into(), json!(format!("C{}", uid.replace('.', "x"))));
    for (name, of) in
        [("id.orig_h", field::SRC_IP), ("id.orig_p", field::SRC_PORT), ("id.resp_h", field::DST_IP), ("id.resp_p", field::DST_PORT)]
    {
        put(&mut line, name, event, of);
    }
    line
}

fn int(event: &Event, of: Field) -> Option<i64> {
    event.get(of).and_then(Value::as_int)
}

fn put(line: &mut Map<String, Json>, name: &str, event: &Event, of: Field) {
    let value = match event.get(of) {
        None | Some(Value::Null) => return,
        Some(Value::Int(n)) => json!(n),
        Some(Value::Float(x)) => json!(x),
        Some(Value::Bool(b)) => json!(b),
        Some(Value::List(all)) => json!(all.iter().map(|v| v.to_text()).collect::<Vec<_>>()),
        Some(text) => json!(text.to_text()),
    };
    line.insert(name.to_owned(), value);
}

fn upper(event: &Event, of: Field) -> Option<Json> {
    event.get(of).map(|v| json!(v.to_text().to_ascii_uppercase()))
}

fn insert(line: &mut Map<String, Json>, name: &str, value: Option<Json>) {
    if let Some(value) = value {
        line.insert(name.to_owned(), value);
    }
}

fn dns(event: &Event) -> Json {
    let mut line = head(event);
    put(&mut line, "proto", event, field::PROTOCOL);
    put(&mut line, "trans_id", event, field::DNS_ID);
    put(&mut line, "query", event, field::DNS_QUERY);
    if event.get(field::DNS_CLASS).and_then(Value::as_str) == Some("IN") {
        line.insert("qclass".into(), json!(1));
        line.insert("qclass_name".into(), json!("C_INTERNET"));
    }
    let kind = event.text(field::DNS_TYPE);
    insert(&mut line, "qtype", type_number(&kind).map(|n| json!(n)));
    // Zeek writes the type of all types as an asterisk.
    let name = if kind == "ANY" { "*" } else { &*kind };
    insert(&mut line, "qtype_name", (!kind.is_empty()).then(|| json!(name)));
    put(&mut line, "rcode", event, field::DNS_RCODE_ID);
    insert(&mut line, "rcode_name", upper(event, field::DNS_RCODE));
    put(&mut line, "answers", event, field::DNS_ANSWERS);
    Json::Object(line)
}

fn ssl(event: &Event) -> Json {
    let mut line = head(event);
    let version = match &*event.text(field::TLS_VERSION) {
        "TLS 1.3" => "TLSv13",
        "TLS 1.2" => "TLSv12",
        "TLS 1.1" => "TLSv11",
        "TLS 1.0" => "TLSv10",
        "SSLv3" => "SSLv3",
        _ => "",
    };
    // Without an answer Zeek knows no version; ours is then what the client offered.
    if !version.is_empty() && event.get(field::TLS_CIPHER).is_some() {
        line.insert("version".into(), json!(version));
    }
    put(&mut line, "cipher", event, field::TLS_CIPHER);
    put(&mut line, "server_name", event, field::TLS_SNI);
    Json::Object(line)
}

fn ssh(event: &Event) -> Json {
    let mut line = head(event);
    let both = [field::SSH_CLIENT, field::SSH_SERVER].map(|f| event.text(f).into_owned());
    let old = both.iter().any(|b| b.starts_with("SSH-1.") && !b.starts_with("SSH-1.99"));
    if both.iter().all(|b| !b.is_empty()) {
        line.insert("version".into(), json!(if old { 1 } else { 2 }));
    }
    put(&mut line, "client", event, field::SSH_CLIENT);
    put(&mut line, "server", event, field::SSH_SERVER);
    Json::Object(line)
}

/// A request and its answer are two lines.
fn modbus(event: &Event) -> Vec<Json> {
    let mut line = head(event);
    put(&mut line, "tid", event, field::OT_TRANSACTION);
    put(&mut line, "unit", event, field::OT_STATION);
    insert(&mut line, "func", upper(event, field::OT_FUNCTION_NAME));
    let with = |word: &str, exception: bool| {
        let mut line = line.clone();
        line.insert("pdu_type".into(), json!(word));
        if exception && let Some(name) = upper(event, field::OT_EXCEPTION_NAME) {
            let func = line.get("func").and_then(Json::as_str).unwrap_or_default();
            line.insert("func".into(), json!(format!("{func}_EXCEPTION")));
            line.insert("exception".into(), name);
        }
        Json::Object(line)
    };
    match &*event.text(field::OT_DIRECTION) {
        "request" => vec![with("REQ", false)],
        "both" => vec![with("REQ", false), with("RESP", true)],
        _ => vec![with("RESP", true)],
    }
}

fn dnp3(event: &Event) -> Json {
    let mut line = head(event);
    let direction = event.text(field::OT_DIRECTION);
    let name = upper(event, field::OT_FUNCTION_NAME);
    match &*direction {
        "request" => insert(&mut line, "fc_request", name),
        "both" => {
            insert(&mut line, "fc_request", name);
            line.insert("fc_reply".into(), json!("RESPONSE"));
        }
        _ => insert(&mut line, "fc_reply", name),
    }
    if direction != "request" {
        let set = event.get(field::OT_INDICATIONS).map(|v| v.to_text().into_owned()).unwrap_or_default();
        let bits = (0u32..)
            .zip(INDICATIONS)
            .filter(|(_, name)| set.contains(name))
            .map(|(n, _)| if n < 8 { 1u32 << (n + 8) } else { 1 << (n - 8) });
        line.insert("iin".into(), json!(bits.sum::<u32>()));
    }
    Json::Object(line)
}

/// Writes lines as often as the event stands for.
fn times(event: &Event, lines: &[Json], log: &'static str, out: Lines<'_>) {
    let count = int(event, field::COUNT).unwrap_or(1).clamp(1, COUNT_MAX);
    for _ in 0..count {
        lines.iter().for_each(|line| out(log, line.clone()));
    }
}
