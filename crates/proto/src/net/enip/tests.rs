use super::super::testing::{Seen, brief, hex, piece, talk};
use super::*;

const KEYS: &[&str] = &[
    "ot.protocol",
    "ot.direction",
    "ot.function_name",
    "ot.object_type",
    "ot.object_address",
    "ot.access",
    "status_id",
    "ot.exception_name",
];

fn message(command: u16, context: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[..2].copy_from_slice(&command.to_le_bytes());
    bytes[2..4].copy_from_slice(&(body.len() as u16).to_le_bytes());
    bytes[4] = 7;
    bytes[12] = context;
    bytes.extend_from_slice(body);
    bytes
}

/// An unconnected message.
fn unconnected(context: u8, cip: &[u8]) -> Vec<u8> {
    let head = [0, 0, 0, 0, 5, 0, 2, 0, 0, 0, 0, 0, 0xb2, 0, cip.len() as u8, 0];
    message(0x6f, context, &[&head, cip].concat())
}

/// A message of a connection, with its number.
fn connected(number: u8, cip: &[u8]) -> Vec<u8> {
    let head = [0, 0, 0, 0, 0, 0, 2, 0, 0xa1, 0, 4, 0, 9, 9, 9, 9, 0xb1, 0, cip.len() as u8 + 2, 0, number, 0];
    message(0x70, 0, &[&head, cip].concat())
}

fn conversation(says: &[(Side, Vec<u8>)], step: usize) -> Vec<String> {
    let says: Vec<(Side, &[u8])> = says.iter().map(|(s, m)| (*s, m.as_slice())).collect();
    talk(Carrier::Tcp, step, &says)
}

/// Reset, type 1, of the identity object.
const RESET: &[u8] = &[0x05, 2, 0x20, 1, 0x24, 1, 1];

#[test]
fn a_session_a_reset_and_a_tag_are_told_however_they_are_cut() {
    let tag = hex("4d 04 91 05 56616c7665 00  c300 0100 2a00");
    let says = [
        (Side::Originator, message(0x65, 1, &[1, 0, 0, 0])),
        (Side::Responder, message(0x65, 1, &[1, 0, 0, 0])),
        (Side::Originator, unconnected(2, RESET)),
        (Side::Responder, unconnected(2, &[0x85, 0, 0x10, 0])),
        (Side::Originator, connected(3, &tag)),
        (Side::Responder, connected(3, &[0xcd, 0, 0, 0])),
    ];
    for step in [1, 11, 900] {
        let said = conversation(&says, step);
        assert_eq!(
            brief(&said, KEYS),
            [
                "enip both register_session - - session 1 -",
                "cip both reset identity 1 restart 2 device_state_conflict",
                "cip both write_tag tag - write 1 -",
            ],
            "step {step}: {said:?}"
        );
        assert!(said[2].contains("Valve") && said[2].contains("ot.value=42") && said[2].contains("is_write=true"), "{said:?}");
    }
}

#[test]
fn services_within_services_are_told_each() {
    let read = hex("4c 02 206b 2401 0100");
    let mut multiple = hex("0a 02 2002 2401 0200 0600 0e00");
    multiple.extend_from_slice(&read);
    multiple.extend_from_slice(RESET);
    let mut send = hex("52 02 2006 2401 0a0e");
    send.extend_from_slice(&[multiple.len() as u8, 0]);
    send.extend_from_slice(&multiple);
    send.extend_from_slice(&[1, 0, 1, 0]);
    let answer = hex("8a 00 1e 00 0200 0600 0c00 cc000000c300 85000800");
    let said = conversation(&[(Side::Originator, unconnected(4, &send)), (Side::Responder, unconnected(4, &answer))], 900);
    assert_eq!(
        brief(&said, &["ot.direction", "ot.function_name", "ot.object_type", "status_id"]),
        [
            "request unconnected_send connection_manager -",
            "both multiple_service_packet message_router 2",
            "both read_tag symbol 1",
            "both reset identity 2",
        ],
        "{said:?}"
    );
}

#[test]
fn commands_of_older_controllers_are_named() {
    // Change mode to remote program: PCCC 0f, function 80h.
    let mode = hex("4b 02 2067 2401 07 0100 04030201 0f00 0100 80 01");
    let said = conversation(&[(Side::Originator, unconnected(5, &mode))], 900);
    assert_eq!(
        brief(&said, &["ot.function_name", "ot.sub_function", "ot.sub_function_name", "ot.access", "ot.is_write"]),
        ["execute_pccc 128 change_mode mode true"],
        "{said:?}"
    );
}

#[test]
fn the_address_of_a_device_and_its_identity() {
    let set = hex("10 03 20f5 2401 3005 0102");
    let list = message(0x63, 0, &[]);
    let said = conversation(&[(Side::Originator, list), (Side::Originator, unconnected(6, &set))], 900);
    assert_eq!(
        brief(&said, &["ot.protocol", "ot.function_name", "ot.object_type", "ot.access", "ot.is_write"]),
        ["enip list_identity - identify false", "cip set_attribute_single tcp_ip_interface configure true"],
        "{said:?}"
    );
    assert!(said[1].contains("tcp_ip_interface:1.5"), "{said:?}");
}

#[test]
fn cyclic_data_is_recognised_and_counted() {
    let io = hex("0200 0280 0800 11223344 01000000 b100 0600 0100 00000000");
    let says: Vec<(Side, &[u8])> = (0..5).map(|_| (Side::Originator, io.as_slice())).collect();
    let said = talk(Carrier::Udp, 0, &says);
    assert_eq!(brief(&said, &["ot.function_name", "ot.object_address", "count"]), ["cyclic_io 1144201745 1", "cyclic_io 1144201745 4"]);
}

#[test]
fn the_asking_side_is_the_source_where_an_answer_is_met_first() {
    let said = conversation(&[(Side::Originator, connected(2, &[0xcc, 0, 0, 0])), (Side::Responder, connected(3, RESET))], 900);
    assert!(said.iter().all(|l| l.ends_with("by=responder")), "{said:?}");
}

#[test]
fn spoiled_bytes_are_an_anomaly_and_reading_goes_on() {
    let says = [(Side::Originator, unconnected(1, RESET)), (Side::Originator, vec![0x55; 40]), (Side::Originator, unconnected(2, RESET))];
    let said = conversation(&says, 900);
    assert_eq!(said.iter().filter(|l| l.contains("reset")).count(), 2, "{said:?}");
    assert!(said.iter().any(|l| l.starts_with("anomaly enip_out_of_sync")), "{said:?}");
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n\r\n\r\n\r\n\r\n"[..], &[0; 40], b"SSH-2.0-x\r\n"] {
        assert_eq!(probe(Carrier::Tcp, Side::Originator, bytes), Probe::No, "{bytes:?}");
    }
}

#[test]
fn what_waits_is_bounded() {
    let (mut seen, mut parser) = (Seen::default(), Enip::default());
    for n in 0..1_000u16 {
        let mut ask = unconnected(0, RESET);
        ask[12..14].copy_from_slice(&n.to_le_bytes());
        parser.feed(piece(Side::Originator, &ask, 0), &mut seen);
    }
    assert_eq!(parser.waiting.len(), ot::WAITING_MAX);
    parser.end(Timestamp::ZERO, &mut seen);
    assert_eq!(seen.0.len(), 1_000);
}
