use super::super::testing::{Seen, brief, hex, piece, talk};
use super::super::{Enabled, Session};
use super::*;

const KEYS: &[&str] =
    &["ot.direction", "ot.function_name", "ot.station", "ot.object_address", "ot.mode", "ot.cause", "ot.exception_name", "ot.value"];

/// An I frame around an ASDU.
fn frame(asdu: &str) -> Vec<u8> {
    let asdu = hex(asdu);
    [&[0x68, asdu.len() as u8 + 4, 0, 0, 2, 0], asdu.as_slice()].concat()
}

const SELECT: &str = "2d 01 06 00 0d 91 1a2700 81";
const EXECUTE: &str = "2d 01 06 00 0d 91 1a2700 01";

#[test]
fn a_command_is_told_at_once_and_its_confirmation_too() {
    let start = hex("680407000000");
    for step in [1, 5, 300] {
        let (select, execute) = (frame(SELECT), frame(EXECUTE));
        let (selected, executed) = (frame("2d 01 07 00 0d 91 1a2700 81"), frame("2d 01 07 00 0d 91 1a2700 01"));
        let said = talk(
            Carrier::Tcp,
            step,
            &[
                (Side::Originator, &start),
                (Side::Originator, &select),
                (Side::Responder, &selected),
                (Side::Originator, &execute),
                (Side::Responder, &executed),
            ],
        );
        assert_eq!(
            brief(&said, KEYS),
            [
                "request startdt_activation - - - - - -",
                "request single_command 37133 10010 select activation - 1",
                "response single_command 37133 10010 select activation_confirmation - 1",
                "request single_command 37133 10010 execute activation - 1",
                "response single_command 37133 10010 execute activation_confirmation - 1",
            ],
            "step {step}: {said:?}"
        );
        assert!(said[3].contains("ot.is_write=true") && said[4].contains("ot.is_write=false"));
    }
}

#[test]
fn refusals_have_their_reason() {
    let says = [
        (Side::Originator, frame(EXECUTE)),
        (Side::Responder, frame("2d 01 47 00 0d 91 1a2700 01")),
        (Side::Originator, frame(SELECT)),
        (Side::Responder, frame("2d 01 47 00 0d 91 1a2700 81")),
        (Side::Originator, frame("2e 01 06 00 0d 91 983a00 02")),
        (Side::Responder, frame("2e 01 6f 00 0d 91 983a00 02")),
    ];
    let says: Vec<(Side, &[u8])> = says.iter().map(|(s, m)| (*s, m.as_slice())).collect();
    let said = talk(Carrier::Tcp, 300, &says);
    let answers: Vec<String> = said.iter().filter(|l| l.contains("ot.direction=response")).cloned().collect();
    assert_eq!(
        brief(&answers, &["ot.function_name", "ot.cause", "ot.exception_name", "status_id"]),
        [
            "single_command negative_confirmation no_select 2",
            "single_command negative_confirmation negative_confirmation 2",
            "double_command unknown_object_address unknown_object_address 2",
        ],
        "{said:?}"
    );
}

#[test]
fn the_controlling_station_is_the_source_where_values_are_met_first() {
    let value = frame("0d 01 03 00 0d 91 010000 0000803f 00");
    let said = talk(Carrier::Tcp, 300, &[(Side::Originator, &value), (Side::Responder, &frame("69 01 06 00 0d 91 000000 01"))]);
    assert!(said.iter().all(|l| l.ends_with("by=responder")), "{said:?}");
    assert_eq!(brief(&said, &KEYS[..2]), ["unsolicited measured_float", "request reset_process"], "{said:?}");
}

#[test]
fn garbage_is_passed_over_and_never_taken_for_a_command() {
    let bytes = [&hex("6804430000000a0a68081a1a1a1a1a1a1a1a")[..], &frame(SELECT), &hex("0000")[..], &frame(EXECUTE)].concat();
    let said = talk(Carrier::Tcp, 300, &[(Side::Originator, &bytes)]);
    let commands: Vec<_> = said.iter().filter(|l| l.contains("single_command")).collect();
    assert_eq!(commands.len(), 2, "{said:?}");
    assert!(said.iter().any(|l| l.starts_with("anomaly iec104_malformed type 26 in 4 octets")), "{said:?}");
    assert!(said.iter().any(|l| l.starts_with("anomaly iec104_out_of_sync")), "{said:?}");
}

#[test]
fn a_stream_joined_in_its_middle_is_read_from_the_next_frame() {
    let mut session = Session::default();
    let mut seen = Seen::default();
    for bytes in [hex("00"), frame(SELECT)[9..].to_vec(), frame(SELECT)] {
        session.feed(Carrier::Tcp, Enabled::ALL, piece(Side::Originator, &bytes, 0), &mut seen);
    }
    assert_eq!(session.protocol(), Some("iec104"));
    assert!(seen.0.iter().any(|l| l.contains("single_command")), "{:?}", seen.0);
}

#[test]
fn sequences_and_selects_are_bounded() {
    let (mut seen, mut parser) = (Seen::default(), Iec104::default());
    for n in 0..1_000u16 {
        let mut select = frame(SELECT);
        select[12..14].copy_from_slice(&n.to_le_bytes());
        parser.feed(piece(Side::Originator, &select, 0), &mut seen);
    }
    assert_eq!((parser.selected.len(), seen.0.len()), (SELECTED_MAX, 1_000));
    let many = format!("01 ff 14 00 0100 010000 {}", "01".repeat(127));
    let said = talk(Carrier::Tcp, 300, &[(Side::Responder, &frame(&many))]);
    assert_eq!(brief(&said, &["ot.object_count", "ot.object_address", "count"]), ["127 1 1"], "{said:?}");
}

#[test]
fn other_bytes_are_not_taken_for_it() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"hello, world\n", b"\x68\x0e\0\0\0\0\x2d\x02\x06\0\x01\0\x01\0\0\x01", b"\x68\x04\x02\0\0\0"]
    {
        assert_eq!(probe(Carrier::Tcp, Side::Originator, bytes), Probe::No, "{bytes:?}");
    }
    assert_eq!(probe(Carrier::Tcp, Side::Originator, b"\x68"), Probe::Maybe);
}
