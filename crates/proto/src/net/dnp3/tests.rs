use super::super::testing::{Seen, brief, piece, talk};
use super::super::{Enabled, Session};
use super::*;

const KEYS: &[&str] = &[
    "ot.direction",
    "ot.function_name",
    "ot.master",
    "ot.station",
    "ot.object_type",
    "ot.object_address",
    "ot.mode",
    "status_id",
    "ot.exception_name",
];

/// A whole message in one segment.
fn ask(function: u8, sequence: u8, objects: &[u8]) -> Vec<u8> {
    link::frame(0xc4, 10, 1, &[&[0xc0, 0xc0 | sequence, function][..], objects].concat())
}

fn answer(sequence: u8, indications: [u8; 2], objects: &[u8]) -> Vec<u8> {
    link::frame(0x44, 1, 10, &[&[0xc0, 0xc0 | sequence, 129, indications[0], indications[1]][..], objects].concat())
}

/// Operates point 3: latch on, once, 100 ms on and off, with this status.
fn relay(status: u8) -> Vec<u8> {
    vec![12, 1, 0x28, 1, 0, 3, 0, 3, 1, 100, 0, 0, 0, 100, 0, 0, 0, status]
}

#[test]
fn who_operated_which_breaker_is_told_however_it_is_cut() {
    let (select, operate) = (ask(3, 1, &relay(0)), ask(4, 2, &relay(0)));
    let (selected, refused) = (answer(1, [0, 0], &relay(0)), answer(2, [0, 0], &relay(2)));
    for step in [1, 7, 400] {
        let says: &[(Side, &[u8])] =
            &[(Side::Originator, &select), (Side::Responder, &selected), (Side::Originator, &operate), (Side::Responder, &refused)];
        let said = talk(Carrier::Tcp, step, says);
        assert_eq!(
            brief(&said, KEYS),
            ["both select 1 10 g12v1 3 select 1 -", "both operate 1 10 g12v1 3 operate 2 no_select"],
            "step {step}: {said:?}"
        );
        assert!(said[1].contains("ot.sub_function_name=latch_on") && said[1].contains("g12v1:3") && said[1].contains("ot.is_write=true"));
    }
}

#[test]
fn the_master_is_the_source_where_the_outstation_is_met_first() {
    let (report, restart) = (link::frame(0x44, 1, 10, &[0xc0, 0xf0, 130, 0x80, 0]), ask(13, 5, &[]));
    let said = talk(Carrier::Tcp, 400, &[(Side::Originator, &report), (Side::Responder, &restart)]);
    assert!(said.iter().all(|l| l.ends_with("by=responder")), "{said:?}");
    assert!(said[0].contains("ot.indications=[device_restart]") || said[0].contains("device_restart"), "{said:?}");
    assert_eq!(brief(&said, KEYS), ["unsolicited unsolicited_response 1 10 - - - 1 -", "request cold_restart 1 10 - - - - -"], "{said:?}");
}

#[test]
fn segments_are_put_together_and_a_lost_one_is_seen() {
    let message = [&[0xc1, 2][..], &[110, 200, 0x17, 1, 4], &[7; 200]].concat();
    let parts = |numbers: &[u8]| -> Vec<Vec<u8>> {
        let chunks: Vec<&[u8]> = message.chunks(80).collect();
        numbers
            .iter()
            .map(|n| {
                let n = usize::from(*n);
                let head = u8::from(n == 0) << 6 | u8::from(n + 1 == chunks.len()) << 7 | n as u8;
                link::frame(0xc4, 10, 1, &[&[head][..], chunks[n]].concat())
            })
            .collect()
    };
    let say = |numbers: &[u8]| talk(Carrier::Udp, 0, &parts(numbers).iter().map(|p| (Side::Originator, p.as_slice())).collect::<Vec<_>>());
    assert_eq!(brief(&say(&[0, 1, 2]), KEYS), ["request write 1 10 g110v200 4 - - -"]);
    assert_eq!(say(&[0, 2]), ["anomaly dnp3_segment_lost the next segment has another number"]);
    assert!(say(&[1, 2]).is_empty());
}

#[test]
fn a_stream_is_joined_in_its_middle_and_wrong_checksums_are_passed_over() {
    let (first, mut wrong, last) = (ask(1, 0, &[60, 2, 6]), ask(13, 1, &[]), ask(14, 2, &[]));
    wrong[11] ^= 1;
    let bytes = [&first[5..], &wrong, &last].concat();
    let said = talk(Carrier::Tcp, 400, &[(Side::Originator, &bytes)]);
    assert!(said[0].starts_with("anomaly dnp3_bad_crc"), "{said:?}");
    assert_eq!(said.last().map(|l| l.contains("ot.function_name=warm_restart")), Some(true), "{said:?}");
    assert!(!said.iter().any(|l| l.contains("cold_restart")), "{said:?}");
}

#[test]
fn polls_are_counted_and_commands_are_not() {
    let (mut seen, mut parser) = (Seen::default(), Dnp3::default());
    for n in 0..90 {
        let sequence = (n % 16) as u8;
        parser.feed(piece(Side::Originator, &ask(1, sequence, &[60, 2, 6]), n * 1_000), &mut seen);
        parser.feed(piece(Side::Responder, &answer(sequence, [0, 0], &[]), n * 1_000 + 9), &mut seen);
    }
    for _ in 0..3 {
        parser.feed(piece(Side::Originator, &ask(6, 1, &relay(0)), 95_000), &mut seen);
    }
    parser.end(Timestamp::from_ms(99_000), &mut seen);
    let said = brief(&seen.0, &["ot.function_name", "count", "ot.response_ms"]);
    let command = "direct_operate_no_ack - -";
    assert_eq!(said, ["read 1 9", "read 60 9", command, command, command, "read 29 9"]);
}

#[test]
fn what_waits_and_what_is_put_together_is_bounded() {
    let (mut seen, mut parser) = (Seen::default(), Dnp3::default());
    for station in 0..100u16 {
        parser.feed(piece(Side::Originator, &link::frame(0xc4, station, 1, &[0x40, 0xc0, 1]), 0), &mut seen);
        parser.feed(piece(Side::Originator, &link::frame(0xc4, station, 1, &[0xc0, 0xc0, 1, 60, 1, 6]), 0), &mut seen);
    }
    assert!(parser.waiting.len() <= ot::WAITING_MAX && parser.assemblies[0].len() <= ASSEMBLIES_MAX);
    let long = [&[0x40u8][..], &[0xc0; 249]].concat();
    for n in 0..200u8 {
        let mut part = long.clone();
        part[0] = if n == 0 { 0x40 } else { n & 0x3f };
        parser.feed(piece(Side::Originator, &link::frame(0xc4, 7, 1, &part), 0), &mut seen);
    }
    assert!(parser.assemblies[0].iter().all(|a| a.bytes.len() <= MESSAGE_BYTES_MAX));
    assert_eq!(seen.0.iter().filter(|l| l.starts_with("anomaly dnp3_message_too_long")).count(), 1);
}

#[test]
fn files_clocks_and_restart_bits_are_told_apart() {
    let mut open = vec![70, 3, 0x5b, 1, 35, 0, 26, 0, 9, 0];
    open.extend_from_slice(&[0; 16]);
    open.extend_from_slice(&[2, 0, 0, 4, 1, 0]);
    open.extend_from_slice(b"setup.cfg");
    let says = [ask(25, 1, &open), ask(2, 2, &[50, 1, 7, 1, 1, 2, 3, 4, 5, 6]), ask(2, 3, &[80, 1, 0, 7, 7, 0])];
    let says: Vec<(Side, &[u8])> = says.iter().map(|m| (Side::Originator, m.as_slice())).collect();
    let said = talk(Carrier::Tcp, 400, &says);
    assert_eq!(
        brief(&said, &["ot.access", "ot.is_write", "ot.object_type", "ot.program"]),
        ["file true g70v3 setup.cfg", "time false g50v1 -", "session false g80v1 -"],
        "{said:?}"
    );
}

#[test]
fn other_bytes_are_not_taken_for_it() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x05\x01\x00", b"\x05\x64\x05\xc0\x01\x00\x0c\x00\xff\xff", b""] {
        let mut session = Session::default();
        session.feed(Carrier::Tcp, Enabled::ALL, piece(Side::Originator, bytes, 0), &mut Seen::default());
        assert_ne!(session.protocol(), Some("dnp3"), "{bytes:?}");
    }
}
