//! The short way to the same line for what a network sensor says most: who spoke with whom, how much, which name was asked for.
//!
//! A plan made once says for each field where it stands; an event's fields are put in that order and written in one pass, without a tree and
//! without memory of their own. What is not in the plan (another class, another object, a value that does not fit its OCSF place)
//! makes `write` say no before a byte is written, and the tree in `json.rs` does it. That both give the same bytes is held by a test here: every
//! field, with values of every shape.

use std::net::IpAddr;
use std::sync::LazyLock;

use crate::fields::{Field, Home, Kind, Name, Shape, field};
use crate::value::Value;
use crate::{Event, EventId};

/// Fields of one event that go this way; more of them take the other.
const SLOTS_MAX: usize = 48;

struct Row {
    /// Place among all fields of the plan.
    order: u16,
    /// The object it stands in, 0 at the top.
    group: u8,
    /// `,"src_endpoint":{"ip":`: what stands in front of the value if the object before is another one.
    first: String,
    /// `,"ip":`
    key: String,
    fit: Fit,
}

#[derive(Clone, Copy)]
enum Fit {
    Text,
    Mac,
    Int,
    Port,
    Version,
    Direction,
    Status,
    Ip,
}

const GROUPS: &[(&str, &str)] = &[
    ("connection_info", "\"connection_info\":{"),
    ("device", "\"device\":{"),
    ("dst_endpoint", "\"dst_endpoint\":{"),
    ("query", "\"query\":{"),
    ("src_endpoint", "\"src_endpoint\":{"),
    ("traffic", "\"traffic\":{"),
];
const CONNECTION: u8 = 1;
const DEVICE: u8 = 2;
const TARGET: u8 = 3;
const QUERY: u8 = 4;
const SOURCE: u8 = 5;
const TOPS: &[&str] =
    &["app_name", "count", "duration", "end_time", "message", "rcode", "rcode_id", "start_time", "status_detail", "status_id"];

struct Plan {
    rows: Vec<Option<Row>>,
}

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let mut all: Vec<Field> = Field::all().filter(|f| f.home() == Home::Ocsf).collect();
    // As nested maps order them: part by part.
    all.sort_by(|a, b| a.name().split('.').cmp(b.name().split('.')));
    let most = all.iter().map(|f| usize::from(f.number())).max().unwrap_or(0);
    let mut rows: Vec<Option<Row>> = (0..=most).map(|_| None).collect();
    for (order, field) in all.into_iter().enumerate() {
        if let Some(slot) = rows.get_mut(usize::from(field.number())) {
            *slot = row(field, order as u16);
        }
    }
    Plan { rows }
});

static ZERO: Value = Value::Int(0);
static UNKNOWN: LazyLock<Value> = LazyLock::new(|| Value::text("unknown"));

fn row(field: Field, order: u16) -> Option<Row> {
    let name = field.name();
    let (group, open, last) = match name.split_once('.') {
        None if TOPS.contains(&name) => (0, "", name),
        None => return None,
        Some((top, last)) => {
            let at = GROUPS.iter().position(|(group, _)| *group == top)?;
            // Of a device the host and the interface only: what else it has brings further objects.
            if last.contains('.') || top == "device" && !matches!(last, "hostname" | "interface_name") {
                return None;
            }
            (at as u8 + 1, GROUPS.get(at)?.1, last)
        }
    };
    let fit = match (field.shape(), last) {
        (Shape::Text, "mac") => Fit::Mac,
        (Shape::Text, _) => Fit::Text,
        (Shape::Ip, _) => Fit::Ip,
        (Shape::Int, "port") => Fit::Port,
        (Shape::Int, "protocol_ver_id") => Fit::Version,
        (Shape::Int, "direction_id") => Fit::Direction,
        (Shape::Int, "status_id") => Fit::Status,
        // The slow way knows which codes there are.
        (Shape::Int, "rcode_id") => Fit::Int,
        (Shape::Int, _) => Fit::Int,
        _ => return None,
    };
    let first = if group == 0 { format!(",\"{last}\":") } else { format!(",{open}\"{last}\":") };
    Some(Row { order, group, first, key: format!(",\"{last}\":"), fit })
}

impl Fit {
    fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text, Value::Text(_)) | (Self::Ip, Value::Ip(_)) | (Self::Int, Value::Int(_)) => true,
            (Self::Mac, Value::Text(text)) => is_mac(text.as_bytes()),
            (Self::Port, Value::Int(n)) => (0..=65_535).contains(n),
            (Self::Version, Value::Int(n)) => matches!(n, 0 | 4 | 6 | 99),
            (Self::Direction, Value::Int(n)) => matches!(n, 0..=4 | 99),
            (Self::Status, Value::Int(n)) => matches!(n, 0..=2 | 99),
            _ => false,
        }
    }
}

/// Six bytes in hexadecimal with one colon or hyphen between two.
fn is_mac(text: &[u8]) -> bool {
    let fits = |(n, c): (usize, &u8)| if n % 3 == 2 { matches!(c, b':' | b'-') } else { c.is_ascii_hexdigit() };
    text.len() == 17 && text.iter().enumerate().all(fits)
}

/// A list of bounded length in its order, on the stack.
struct Line<T: Copy> {
    items: [T; SLOTS_MAX],
    len: usize,
}

impl<T: Copy> Line<T> {
    fn insert(&mut self, item: T, after: impl Fn(&T) -> bool) -> bool {
        if self.len == SLOTS_MAX {
            return false;
        }
        let mut at = self.len;
        while at > 0 && after(&self.items[at - 1]) {
            self.items[at] = self.items[at - 1];
            at -= 1;
        }
        self.items[at] = item;
        self.len += 1;
        true
    }
    fn as_slice(&self) -> &[T] {
        &self.items[..self.len]
    }
}

/// Writes the event's line if it is one of these; false, and nothing written, if not.
pub(super) fn write(event: &Event, out: &mut Vec<u8>) -> bool {
    let dns = event.kind == Kind::DnsActivity;
    if !dns && event.kind != Kind::NetworkActivity {
        return false;
    }
    let Some(placeholder) = PLAN.rows.get(usize::from(field::SRC_IP.number())).and_then(Option::as_ref) else { return false };
    let mut rest: Line<(&str, &Value)> = Line { items: [("", &ZERO); SLOTS_MAX], len: 0 };
    let mut line: Line<(&Row, &Value)> = Line { items: [(placeholder, &ZERO); SLOTS_MAX], len: 0 };
    let (mut named, mut groups) = ([false; 2], 0u8);
    let mut directed = false;
    for (name, value) in event.body.iter() {
        let kept = match name {
            Name::Known(f) if f.home() == Home::Ocsf => {
                let Some(row) = PLAN.rows.get(usize::from(f.number())).and_then(Option::as_ref) else { return false };
                if !row.fit.takes(value) || !dns && row.group == QUERY {
                    return false;
                }
                match *f {
                    field::SRC_IP | field::SRC_HOSTNAME => named[0] = true,
                    field::DST_IP | field::DST_HOSTNAME | field::DST_SVC_NAME => named[1] = true,
                    field::DIRECTION_ID => directed = true,
                    field::DNS_RCODE | field::DNS_RCODE_ID
                        if !dns || !matches!(value, Value::Text(_) | Value::Int(0..=11 | 16..=25 | 99)) =>
                    {
                        return false;
                    }
                    _ => {}
                }
                groups |= 1 << row.group;
                line.insert((row, value), |(other, _)| other.order > row.order)
            }
            _ => rest.insert((name.as_str(), value), |(other, _)| *other > name.as_str()),
        };
        if !kept {
            return false;
        }
    }
    // Without an end, or with one that has no name, OCSF wants more said.
    let has = |group: u8| groups & 1 << group != 0;
    if !has(SOURCE) && !has(TARGET) || has(SOURCE) && !named[0] || has(TARGET) && !named[1] {
        return false;
    }
    let mut add = |field: Field, value| {
        let Some(row) = PLAN.rows.get(usize::from(field.number())).and_then(Option::as_ref) else { return false };
        line.insert((row, value), |(other, _)| other.order > row.order)
    };
    if has(CONNECTION) && !directed && !add(field::DIRECTION_ID, &ZERO) {
        return false;
    }
    if has(QUERY) && event.get(field::DNS_QUERY).is_none() && !add(field::DNS_QUERY, &UNKNOWN) {
        return false;
    }
    head(event, has(DEVICE), out);
    let mut open = 0;
    for (row, value) in line.as_slice() {
        if row.group == open {
            put(&row.key, out);
        } else {
            close(open, out);
            open = row.group;
            put(&row.first, out);
        }
        write_value(value, out);
    }
    close(open, out);
    for (n, (name, value)) in rest.as_slice().iter().enumerate() {
        put(if n == 0 { ",\"unmapped\":{" } else { "," }, out);
        write_text(name, out);
        out.push(b':');
        write_value(value, out);
    }
    put(if rest.len > 0 { "}}" } else { "}" }, out);
    true
}

fn put(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

fn close(group: u8, out: &mut Vec<u8>) {
    match group {
        0 => {}
        DEVICE => put(",\"type_id\":0}", out),
        _ => out.push(b'}'),
    }
}

fn head(event: &Event, host: bool, out: &mut Vec<u8>) {
    put("{\"time\":", out);
    write_int(event.time.ms(), out);
    let class = event.kind.class_uid();
    put(
        match event.kind {
            Kind::DnsActivity => ",\"class_uid\":4003,\"class_name\":\"dns_activity\",\"category_uid\":4,\"activity_id\":",
            _ => ",\"class_uid\":4001,\"class_name\":\"network_activity\",\"category_uid\":4,\"activity_id\":",
        },
        out,
    );
    write_int(event.activity.into(), out);
    put(",\"type_uid\":", out);
    write_int(i64::from(class) * 100 + i64::from(event.activity), out);
    put(",\"severity_id\":", out);
    write_int(event.severity as i64, out);
    put(",\"severity\":\"", out);
    put(event.severity.name(), out);
    put("\",\"metadata\":{\"version\":\"1.8.0\",\"uid\":\"", out);
    write_id(event.id, out);
    put("\",\"product\":{\"name\":\"Vedette\",\"vendor_name\":\"Vedette\"}", out);
    if host {
        put(",\"profiles\":[\"host\"]", out);
    }
    put(",\"log_source\":", out);
    let source = &event.source;
    let start = out.len();
    for (n, word) in [&source.product, &source.category, &source.service].into_iter().enumerate() {
        out.push(if n == 0 { b'"' } else { b'/' });
        put(word.as_deref().unwrap_or("*"), out);
    }
    out.push(b'"');
    // Words of a sensor need no escaping; those read from outside may.
    if out[start + 1..out.len() - 1].iter().any(|b| super::needs_escape(*b)) {
        out.truncate(start);
        write_text(&source.to_string(), out);
    }
    out.push(b'}');
}

fn write_id(id: EventId, out: &mut Vec<u8>) {
    let mut digits = [0u8; 16];
    for (n, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(id.agent.0 >> (60 - 4 * n) & 15) as usize];
    }
    out.extend_from_slice(&digits);
    out.push(b'-');
    write_number(id.epoch.0, out);
    put(
        match id.class {
            crate::Class::Critical => "-c-",
            crate::Class::Normal => "-n-",
            crate::Class::Bulk => "-b-",
        },
        out,
    );
    write_number(id.seq, out);
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => write_bytes(text.as_bytes(), text, out),
        Value::Int(n) => write_int(*n, out),
        Value::Ip(IpAddr::V4(ip)) => {
            out.push(b'"');
            for (n, byte) in ip.octets().into_iter().enumerate() {
                if n > 0 {
                    out.push(b'.');
                }
                write_number(byte.into(), out);
            }
            out.push(b'"');
        }
        Value::Bool(b) => put(if *b { "true" } else { "false" }, out),
        // The rest is rare and may take its time.
        _ => {
            let mut text = String::new();
            super::write_value(value, &mut text);
            put(&text, out);
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_bytes(text.as_bytes(), text, out);
}

/// `text` is asked only where something must be escaped.
#[inline]
fn write_bytes(bytes: &[u8], text: impl AsRef<str>, out: &mut Vec<u8>) {
    if bytes.iter().any(|b| super::needs_escape(*b)) {
        let mut escaped = String::new();
        super::write_json_text(text.as_ref(), &mut escaped);
        return put(&escaped, out);
    }
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
}

fn write_int(n: i64, out: &mut Vec<u8>) {
    if n < 0 {
        out.push(b'-');
    }
    write_number(n.unsigned_abs(), out);
}

/// Two digits at a time, without the machinery of formatting: a line has two dozen numbers.
fn write_number(mut n: u64, out: &mut Vec<u8>) {
    if n < 10 {
        return out.push(b'0' + n as u8);
    }
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    while n >= 10 {
        let two = (n % 100) as u8;
        n /= 100;
        at -= 2;
        digits[at] = b'0' + two / 10;
        digits[at + 1] = b'0' + two % 10;
    }
    if n > 0 {
        at -= 1;
        digits[at] = b'0' + n as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::super::{ocsf_json, tree};
    use super::*;
    use crate::{LogSource, Timestamp};

    /// Every field there is, one at a time and in pairs with others, with values that fit and that do not: both ways give the same line.
    #[test]
    fn both_ways_give_the_same_line() {
        let ip = Value::Ip("10.0.0.1".parse().unwrap());
        let values = [
            Value::Int(7),
            Value::Int(70_000),
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
            Value::Int(100),
            Value::Int(-5),
            Value::text("a \"word\"\n\u{7f}é"),
            Value::text("02:00:00:00:00:01"),
            ip.clone(),
            Value::Ip("2001:db8::1".parse().unwrap()),
            Value::Bool(true),
            Value::Float(1.5),
            Value::Null,
            Value::List(vec![Value::Int(1), Value::text("x")].into()),
        ];
        let mut short = 0;
        for kind in [Kind::NetworkActivity, Kind::DnsActivity, Kind::HttpActivity] {
            for with_ends in [false, true] {
                for f in Field::all() {
                    for value in &values {
                        let mut event = Event::new(Timestamp::from_ms(1_700_000_000_123), kind, 6, LogSource::new("", "dns", "dns"));
                        event.id.seq = u64::MAX;
                        if with_ends {
                            event.body.set(field::SRC_IP, "10.1.2.3".parse::<std::net::IpAddr>().unwrap());
                            event.body.set(field::DST_IP, ip.clone());
                            event.body.set(field::PROTOCOL, "tcp");
                            event.body.set(Name::from("Other \"name\""), 1u8);
                        }
                        event.body.set(f, value.clone());
                        event.body.set(field::UNIT_ID, "u");
                        short += u32::from(write(&event, &mut Vec::new()));
                        assert_eq!(ocsf_json(&event), tree(&event));
                    }
                }
            }
        }
        assert!(short > 300, "the short way is hardly taken: {short}");
    }

    #[test]
    fn words_from_outside_are_escaped_in_the_log_source() {
        let source = LogSource::owned(Some("a\"b"), None, Some("c"));
        let event = Event::new(Timestamp::ZERO, Kind::NetworkActivity, 1, source).with(field::SRC_IP, Value::Ip("::1".parse().unwrap()));
        assert_eq!(ocsf_json(&event), tree(&event));
    }
}
