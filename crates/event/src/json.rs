//! An event as one OCSF JSON object: for people, for `-o jsonl`, for export. Written by hand so that this crate depends on nothing.
//!
//! Dotted names become nested objects; fields OCSF does not have go under `unmapped` with their dotted name as the key. What stands where depends
//! only on which fields there are, so it is worked out once for each kind of event (`shape`) and kept; a line is then the text of its shape with the
//! values put in (`pen`).

mod pen;
mod shape;

use std::cell::RefCell;
use std::fmt::Write;

use crate::Event;

thread_local! {
    static SHAPES: RefCell<shape::Shapes> = RefCell::new(shape::Shapes::new());
}

/// The event as one line of OCSF 1.8 JSON, keys in a fixed order: header first, then fields by name. A field stands at its OCSF place where
/// the event's class has that place and the value fits it, else under `unmapped`.
pub fn ocsf_json(event: &Event) -> String {
    let mut out = Vec::new();
    write_ocsf_json(event, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// As `ocsf_json`, at the end of bytes that are there already: for writers of many lines.
pub fn write_ocsf_json(event: &Event, out: &mut Vec<u8>) {
    SHAPES.with_borrow_mut(|shapes| out.extend_from_slice(shapes.line(event)));
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
    use crate::{Kind, LogSource, Timestamp, field};

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
