//! Holds the code against `proto/link.proto`: every message and field there is encoded by the code with that number and type.

use prost::Message as _;

use crate::link::{Ack, Batch, Close, Hello, Keepalive, LaneMark, Message, Policy};
use crate::pb::{Item, Reader};

const PROTO: &str = include_str!("../proto/link.proto");

/// (name, type, number) of the fields of one message, in the order of the file.
fn fields(message: &str) -> Vec<(String, String, u32)> {
    let start = PROTO.find(&format!("\nmessage {message} {{")).unwrap_or_else(|| panic!("no message {message}"));
    let body = &PROTO[start..];
    let body = &body[..body.find("\n}").expect("it ends")];
    body.lines()
        .filter_map(|line| line.trim().strip_suffix(';'))
        .map(|line| {
            let (left, number) = line.split_once(" = ").expect("a field has a number");
            let (kind, name) = left.rsplit_once(' ').expect("a field has a type");
            (name.to_owned(), kind.to_owned(), number.parse().expect("a number"))
        })
        .collect()
}

/// What a message with every field set looks like on the wire: number and protobuf wire type.
fn written(bytes: &[u8]) -> Vec<(u32, &'static str)> {
    let mut reader = Reader::new(bytes);
    let mut out = Vec::new();
    while let Some((number, item)) = reader.next().expect("well formed") {
        let wire = match item {
            Item::Varint(_) => "varint",
            Item::Fixed64(_) => "fixed64",
            Item::Fixed32(_) => "fixed32",
            Item::Bytes(_) => "bytes",
        };
        if out.last() != Some(&(number, wire)) {
            out.push((number, wire));
        }
    }
    out
}

fn wire_type(kind: &str) -> &'static str {
    match kind.trim_start_matches("repeated ") {
        // Repeated numbers are packed.
        _ if kind == "repeated uint32" => "bytes",
        "uint32" | "uint64" | "sint64" | "bool" => "varint",
        "sfixed64" | "double" => "fixed64",
        _ => "bytes",
    }
}

fn check(message: &str, bytes: &[u8]) {
    let expected: Vec<_> = fields(message).into_iter().map(|(_, kind, number)| (number, wire_type(&kind))).collect();
    assert_eq!(written(bytes), expected, "message {message}");
}

#[test]
fn every_message_of_the_link_is_written_as_the_contract_says() {
    let lane = LaneMark { class: 1, epoch: 2, seq: 3 };
    check("LaneMark", &lane.encode_to_vec());
    check("Hello", &Hello { versions: vec![1], product: "p".into(), lanes: vec![lane], window_bytes: 1 }.encode_to_vec());
    check("Ack", &Ack { class: 1, epoch: 1, seq: 1, window_bytes: 1 }.encode_to_vec());
    let blob = prost::bytes::Bytes::from_static(b"b");
    check("Policy", &Policy { revision: 1, kind: "k".into(), body: blob.clone(), signature: blob.clone() }.encode_to_vec());
    check("Close", &Close { code: 1, reason: "r".into(), retry_after_ms: 1 }.encode_to_vec());
    check("Keepalive", &Keepalive { nonce: 1, echo: true }.encode_to_vec());
    let batch = Batch { class: 1, epoch: 1, first_seq: 1, last_seq: 1, rows: 1, raw_bytes: 1, packed: blob };
    check("Batch", &batch.encode_to_vec());
    let bodies: [Message; 6] = [
        Hello::default().into(),
        Batch::default().into(),
        Ack::default().into(),
        Policy::default().into(),
        Close::default().into(),
        Keepalive::default().into(),
    ];
    check("Message", &bodies.iter().flat_map(prost::Message::encode_to_vec).collect::<Vec<_>>());
}

#[test]
fn every_event_field_is_written_as_the_contract_says() {
    use event::{Event, FIELDS_MAX, Kind, LogSource, Name, Timestamp, Value, field};
    let mut event = Event::new(Timestamp::from_secs(1), Kind::DnsActivity, 1, LogSource::new("a", "b", "c"));
    event.observed = Timestamp::from_secs(2);
    for n in 0..=FIELDS_MAX {
        event.body.set(Name::from(format!("f{n}").as_str()), true);
    }
    let mut bytes = Vec::new();
    crate::event::encode(&event, &mut bytes);
    check("Event", &bytes);

    let shapes = [
        Value::Null,
        Value::from("t"),
        Value::from(1),
        Value::from(0.5),
        Value::from(true),
        Value::Ip([127, 0, 0, 1].into()),
        Value::Bytes([1].into()),
        Value::from(vec![Value::Null]),
    ];
    // A field by number, then one by name for each shape: all of `Field`, once.
    let mut seen = Vec::new();
    for (name, value) in [(Name::from(field::MESSAGE), None)].into_iter().chain(shapes.map(|v| (Name::from("x"), Some(v)))) {
        let mut event = Event::new(Timestamp::ZERO, Kind::Base, 0, LogSource::default());
        event.body.set(name, value.unwrap_or(Value::Null));
        let mut bytes = Vec::new();
        crate::event::encode(&event, &mut bytes);
        let mut reader = Reader::new(&bytes);
        while let Some((number, item)) = reader.next().expect("well formed") {
            if let (9, Item::Bytes(field)) = (number, item) {
                seen.extend(written(field));
            }
        }
    }
    seen.sort_unstable();
    seen.dedup();
    let expected: Vec<_> = fields("Field").into_iter().map(|(_, kind, number)| (number, wire_type(&kind))).collect();
    assert_eq!(seen, expected);
    assert_eq!(fields("Value"), fields("Field")[2..], "the two share their numbers");
}

#[test]
fn rows_are_written_as_the_contract_says() {
    assert_eq!(fields("Rows"), [("row".into(), "repeated Row".into(), 1)]);
    assert_eq!(fields("Row"), [("event".into(), "Event".into(), 1), ("gap".into(), "Gap".into(), 2)]);
    assert_eq!(fields("Gap"), [("count".into(), "uint64".into(), 1), ("reason".into(), "string".into(), 2)]);
    let mut packer = crate::Packer::new(1);
    assert!(packer.push(crate::Row::Event(b"e")) && packer.push(crate::Row::Gap { count: 2, reason: "r" }));
    let batch = packer.pack(event::Class::Normal, event::Epoch(1), 1).expect("rows");
    let raw = zstd::bulk::decompress(&batch.packed, 100).expect("zstd");
    assert_eq!(raw, [0x0a, 3, 0x0a, 1, b'e', 0x0a, 7, 0x12, 5, 0x08, 2, 0x12, 1, b'r']);
}
