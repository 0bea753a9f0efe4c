use super::super::testing::{Seen, brief, hex, piece, talk};
use super::*;

const KEYS: &[&str] =
    &["ot.direction", "ot.function_name", "ot.program", "ot.object_address", "ot.access", "status_id", "ot.exception_name"];

/// A TPKT with a whole message in it.
fn packet(message: &str) -> Vec<u8> {
    let message = hex(message);
    let length = (message.len() as u16 + 7).to_be_bytes();
    [&[3, 0, length[0], length[1], 2, 0xf0, 0x80], message.as_slice()].concat()
}

const WRITE: &str = "32010000000500 0e0006 0501 120a1002000200018400 0000 00040010 0102";

fn conversation(says: &[(Side, Vec<u8>)], step: usize) -> Vec<String> {
    let says: Vec<(Side, &[u8])> = says.iter().map(|(s, m)| (*s, m.as_slice())).collect();
    talk(Carrier::Tcp, step, &says)
}

#[test]
fn connecting_writing_and_stopping_are_told_however_they_are_cut() {
    let says = [
        (Side::Originator, hex("0300001611e00000000100c0010ac1020100c2020101")),
        (Side::Responder, hex("0300001611d00001000100c0010ac1020100c2020101")),
        (Side::Originator, packet("32010000000100080000f0000001000101e0")),
        (Side::Responder, packet("320300000001000800000000f0000001000101e0")),
        (Side::Originator, packet(WRITE)),
        (Side::Responder, packet("320300000005000200010000 0501 ff")),
        (Side::Originator, packet("32010000000600100000 29000000000009 505f50524f4752414d")),
        (Side::Responder, packet("3202000000060000 0000 8104")),
    ];
    for step in [1, 9, 400] {
        let said = conversation(&says, step);
        assert_eq!(
            brief(&said, KEYS),
            [
                "both setup_communication - - session 1 -",
                "both write_var DB1 0 write 1 -",
                "both plc_stop P_PROGRAM - mode 2 application_error",
            ],
            "step {step}: {said:?}"
        );
        assert!(said[1].contains("DB1.DBB0") && said[1].contains("ot.value=258"), "{said:?}");
    }
}

#[test]
fn in_a_download_the_programmer_stays_the_source() {
    let request = "3201000000070012 0000 1a00 0100 00000000 09 5f30383030303031 50";
    let block = "3201000000080012 0000 1b00 0000 00000000 09 5f30383030303031 50";
    let said = conversation(
        &[
            (Side::Originator, packet(request)),
            (Side::Responder, packet("320300000007000100000000 1a")),
            (Side::Responder, packet(block)),
            (Side::Originator, packet("320300000008000200040000 1b00 00000000")),
        ],
        400,
    );
    assert_eq!(
        brief(&said, &["ot.function_name", "ot.program", "ot.access", "ot.is_write"]),
        ["request_download OB1 program true", "download_block OB1 program true"]
    );
    assert!(said.iter().all(|l| !l.contains("by=responder")), "{said:?}");
}

#[test]
fn program_services_name_what_they_are_for() {
    let start = "3201000000090014 0000 28 000000000000fd 0000 09 505f50524f4752414d";
    let delete = "32010000000a001a 0000 28 000000000000fd 000a 0100 3041303030303142 05 5f44454c45";
    let said = conversation(&[(Side::Originator, packet(start)), (Side::Originator, packet(delete))], 400);
    assert_eq!(brief(&said, &["ot.program", "ot.access", "ot.is_write"]), ["P_PROGRAM mode true", "_DELE program true"]);
    assert!(said[1].contains("DB1"), "{said:?}");
}

#[test]
fn user_data_is_joined_and_its_list_named() {
    let ask = "32070000000300080008 0001120411440100 ff090004001c0000";
    let answer = "32070000000300 0c0004 000112081284010000000000 ff090000";
    let clock = "32070000000400080000 0001120411470200";
    let said = conversation(&[(Side::Originator, packet(ask)), (Side::Responder, packet(answer)), (Side::Originator, packet(clock))], 400);
    assert_eq!(
        brief(&said, &["ot.direction", "ot.function_name", "ot.sub_function_name", "ot.access", "ot.object_address"]),
        ["both userdata_cpu read_szl identify 28", "request userdata_time set_clock time -"],
        "{said:?}"
    );
    assert!(said[0].contains("SZL 001c.0000"), "{said:?}");
}

#[test]
fn refused_items_and_split_messages_are_read() {
    let read = "320100000004000e0000 0401 120a10020004000184000000";
    let mut parts = packet(read);
    let second = parts.split_off(15);
    parts[3] = 15;
    parts[6] = 0;
    let second = [&[3, 0, 0, second.len() as u8 + 7, 2, 0xf0, 0x80], second.as_slice()].concat();
    let said = conversation(
        &[
            (Side::Originator, packet("32010000000100080000f0000001000101e0")),
            (Side::Originator, parts),
            (Side::Originator, second),
            (Side::Responder, packet("320300000004000200040000 0401 0a000000")),
        ],
        400,
    );
    assert_eq!(
        brief(&said, KEYS),
        ["both read_var DB1 0 read 2 object_does_not_exist", "request setup_communication - - session - -"],
        "{said:?}"
    );
}

#[test]
fn a_stream_joined_in_its_middle_knows_who_asks_and_finds_the_next_packet() {
    let answer = packet("320300000005000200010000 0501 ff");
    let said = conversation(&[(Side::Originator, answer), (Side::Responder, [&[0x55; 9], packet(WRITE).as_slice()].concat())], 400);
    assert!(said.iter().any(|l| l.contains("write_var") && l.ends_with("by=responder") && l.contains("is_write=true")), "{said:?}");
}

#[test]
fn s7comm_plus_is_recognised() {
    let said = conversation(
        &[
            (Side::Originator, packet("72010020 31 0000 04ca 0000 0001 00000120 36 0000011d00")),
            (Side::Responder, packet("72020010 32 0000 0542 0000 0002 00")),
        ],
        400,
    );
    assert_eq!(
        brief(&said, &["ot.protocol", "ot.direction", "ot.function_name"]),
        ["s7comm_plus request create_object", "s7comm_plus response set_multi_variables"],
        "{said:?}"
    );
}

#[test]
fn other_users_of_the_transport_are_left_to_others() {
    let remote_desktop = hex("030000130ee000000000000100080003000000");
    assert_eq!(probe(Carrier::Tcp, Side::Originator, &remote_desktop), Probe::Maybe);
    let manufacturing = [remote_desktop, hex("0300000b02f0800d020506")].concat();
    assert_eq!(probe(Carrier::Tcp, Side::Originator, &manufacturing), Probe::No);
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x03\0\0\x04", b"\x16\x03\x01"] {
        assert_eq!(probe(Carrier::Tcp, Side::Originator, bytes), Probe::No, "{bytes:?}");
    }
}

#[test]
fn what_waits_is_bounded() {
    let (mut seen, mut parser) = (Seen::default(), S7::default());
    for n in 0..1_000u16 {
        let mut job = packet(WRITE);
        job[11..13].copy_from_slice(&n.to_be_bytes());
        parser.feed(piece(Side::Originator, &job, 0), &mut seen);
    }
    assert_eq!(parser.waiting.len(), ot::WAITING_MAX);
    parser.end(Timestamp::ZERO, &mut seen);
    assert_eq!(seen.0.len(), 1_000);
}
