//! An event as one OCSF JSON object: for people, for `-o jsonl`, for export. Written by hand so that this crate depends on nothing.
//!
//! Dotted names become nested objects; fields OCSF does not have go under `unmapped` with their dotted name as the key.

mod plain;

use std::fmt::Write;

use crate::fields::{Home, Name};
use crate::ocsf::{self, Map, Node};
use crate::value::Value;
use crate::{Event, Shape, field};

/// The event as one line of OCSF 1.8 JSON, keys in a fixed order: header first, then fields by name. A field stands at its OCSF place where
/// the event's class has that place and the value fits it, else under `unmapped`.
pub fn ocsf_json(event: &Event) -> String {
    let mut out = Vec::with_capacity(1000);
    if plain::write(event, &mut out) { String::from_utf8(out).unwrap_or_default() } else { tree(event) }
}

/// As `ocsf_json`, at the end of bytes that are there already: for writers of many lines.
pub fn write_ocsf_json(event: &Event, out: &mut Vec<u8>) {
    if !plain::write(event, out) {
        out.extend_from_slice(tree(event).as_bytes());
    }
}

/// The line of any event, by way of a tree.
fn tree(event: &Event) -> String {
    let mut out = String::with_capacity(1024);
    let class = event.kind.class_uid();
    let _ = write!(
        out,
        "{{\"time\":{},\"class_uid\":{class},\"class_name\":\"{}\",\"category_uid\":{},\"activity_id\":{},\"type_uid\":{},\"severity_id\":{},\"severity\":\"{}\",\"metadata\":{{\"version\":\"1.8.0\",\"uid\":\"{}\"",
        event.time.ms(),
        event.kind.name(),
        event.kind.category_uid(),
        event.activity,
        u32::from(class) * 100 + u32::from(event.activity),
        event.severity as u8,
        event.severity,
        event.id
    );
    let mut root = Map::new();
    let mut unmapped = Map::new();
    for (name, value) in event.body.iter() {
        match name {
            Name::Known(f) if f.home() == Home::Ocsf && ocsf::belongs(event.kind, *f, value) => {
                insert(&mut root, f.name(), value, f.shape());
            }
            _ => {
                unmapped.insert(name.as_str(), Node::Leaf(value));
            }
        }
    }
    let log = event.get(field::LOG_PATH).or_else(|| event.get(field::LOG_NAME)).map(Value::to_text);
    ocsf::complete(event.kind, log, &mut root);
    let mut metadata = match root.remove("metadata") {
        Some(Node::Branch(map)) => map,
        _ => Map::new(),
    };
    // The product is what wrote the record; where nothing says, that is us.
    let product = match metadata.remove("product") {
        Some(Node::Branch(map)) => map,
        _ => Map::from([("name", Node::Text(ocsf::US.into())), ("vendor_name", Node::Text(ocsf::US.into()))]),
    };
    out.push_str(",\"product\":");
    write_node(&Node::Branch(product), &mut out);
    members(&metadata, &mut out);
    out.push_str(",\"log_source\":");
    write_json_text(&event.source.to_string(), &mut out);
    out.push('}');
    members(&root, &mut out);
    if !unmapped.is_empty() {
        out.push_str(",\"unmapped\":");
        write_node(&Node::Branch(unmapped), &mut out);
    }
    out.push('}');
    out
}

/// Further members of an object that has some already.
fn members(map: &Map, out: &mut String) {
    for (key, node) in map {
        out.push(',');
        write_json_text(key, out);
        out.push(':');
        write_node(node, out);
    }
}

fn insert<'a>(map: &mut Map<'a>, path: &'a str, value: &'a Value, shape: Shape) {
    match path.split_once('.') {
        None => {
            // A text field may hold a number or a word of logic (a user id): OCSF wants the text.
            let node = match value {
                Value::Int(_) | Value::Float(_) | Value::Bool(_) if shape == Shape::Text => Node::Text(value.to_text()),
                _ => Node::Leaf(value),
            };
            map.insert(path, node);
        }
        Some((head, rest)) => {
            let child = map.entry(head).or_insert_with(|| Node::Branch(Map::new()));
            if let Node::Branch(inner) = child {
                insert(inner, rest, value, shape);
            }
        }
    }
}

fn write_node(node: &Node, out: &mut String) {
    match node {
        Node::Leaf(value) => write_value(value, out),
        Node::Text(text) => write_json_text(text, out),
        Node::Int(n) => {
            let _ = write!(out, "{n}");
        }
        Node::Words(words) => {
            out.push('[');
            for (n, word) in words.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_json_text(word, out);
            }
            out.push(']');
        }
        Node::Branch(map) => {
            out.push('{');
            for (n, (key, child)) in map.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_json_text(key, out);
                out.push(':');
                write_node(child, out);
            }
            out.push('}');
        }
    }
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Int(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Float(x) if x.is_finite() => {
            let _ = write!(out, "{x}");
        }
        Value::Float(_) => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::List(list) => {
            out.push('[');
            for (n, item) in list.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Text(text) => write_json_text(text, out),
        Value::Ip(_) | Value::Bytes(_) => write_json_text(&value.to_text(), out),
    }
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f)
}

/// Writes a JSON string with its quotes; every control character is escaped.
pub fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    if !text.bytes().any(needs_escape) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, LogSource, Timestamp};

    #[test]
    fn names_nest_and_our_own_go_under_unmapped() {
        let event = Event::new(Timestamp::from_ms(1_500), Kind::NetworkActivity, 6, LogSource::new("", "network_connection", ""))
            .with(field::SRC_IP, "10.0.0.1".parse::<std::net::IpAddr>().unwrap())
            .with(field::SRC_PORT, 22u16)
            .with(field::UNIT_ID, "bank\n1");
        assert_eq!(
            ocsf_json(&event),
            r#"{"time":1500,"class_uid":4001,"class_name":"network_activity","category_uid":4,"activity_id":6,"type_uid":400106,"severity_id":1,"severity":"informational","metadata":{"version":"1.8.0","uid":"0000000000000000-0-n-0","product":{"name":"Vedette","vendor_name":"Vedette"},"log_source":"*/network_connection/*"},"src_endpoint":{"ip":"10.0.0.1","port":22},"unmapped":{"unit.id":"bank\n1"}}"#
        );
    }
}
