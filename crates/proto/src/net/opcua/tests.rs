use super::super::testing::{Seen, brief, hex, piece, talk};
use super::*;

const KEYS: &[&str] = &["ot.direction", "ot.function_name", "ot.access", "status_id", "ot.exception_name", "ot.identity_type"];

/// Header of a request: no token, time, handle, nothing else.
const ASKS: &str = "0000 0000000000000000 01000000 00000000 ffffffff 00000000 000000";
/// Header of an answer with its result.
fn answers(status: &str) -> String {
    format!("0000000000000000 01000000 {status}")
}

fn chunk(kind: &str, body: &str) -> Vec<u8> {
    let body = hex(body);
    [kind.as_bytes(), &(body.len() as u32 + 8).to_le_bytes(), &body].concat()
}

fn message(request: u8, service: u16, body: &str) -> Vec<u8> {
    let [a, b] = service.to_le_bytes();
    chunk("MSGF", &format!("01000000 01000000 01000000 {request:02x}000000 0100{a:02x}{b:02x} {body}"))
}

fn open(policy: &str) -> Vec<u8> {
    let length = (policy.len() as u32).to_le_bytes();
    let digits: String = length.iter().chain(policy.as_bytes()).map(|b| format!("{b:02x}")).collect();
    chunk("OPNF", &format!("00000000 {digits} ffffffff ffffffff 01000000 01000000 0100be01 {ASKS}"))
}

fn conversation(says: &[(Side, Vec<u8>)], step: usize) -> Vec<String> {
    let says: Vec<(Side, &[u8])> = says.iter().map(|(s, m)| (*s, m.as_slice())).collect();
    talk(Carrier::Tcp, step, &says)
}

#[test]
fn channel_identity_write_and_refusal_are_told_however_they_are_cut() {
    let anonymous = format!("{ASKS} ffffffff ffffffff ffffffff ffffffff 01004101 01 04000000 00000000");
    let named = format!("{ASKS} ffffffff ffffffff ffffffff ffffffff 01004401 01 0b000000 ffffffff 03000000 626f62");
    let write = format!("{ASKS} 01000000 03 0200 05000000 56616c7665 0d000000 ffffffff 00");
    let says = [
        (Side::Originator, open("http://opcfoundation.org/UA/SecurityPolicy#None")),
        (
            Side::Responder,
            chunk("OPNF", &format!("01000000 ffffffff ffffffff ffffffff 01000000 01000000 0100c101 {}", answers("00000000"))),
        ),
        (Side::Originator, message(2, 467, &anonymous)),
        (Side::Responder, message(2, 397, &answers("00002180"))),
        (Side::Originator, message(3, 467, &named)),
        (Side::Responder, message(3, 470, &answers("00000000"))),
        (Side::Originator, message(4, 673, &write)),
        (Side::Responder, message(4, 676, &answers("00000000"))),
    ];
    for step in [1, 13, 4_000] {
        let said = conversation(&says, step);
        assert_eq!(
            brief(&said, KEYS),
            [
                "both open_secure_channel session 1 - -",
                "both activate_session session 2 bad_identity_token_rejected anonymous",
                "both activate_session session 1 - user_name",
                "both write write 1 - -",
            ],
            "step {step}: {said:?}"
        );
        assert!(said[0].contains("#None") && said[2].contains("user.name=bob") && said[3].contains("ns=2;s=Valve"), "{said:?}");
    }
}

#[test]
fn what_is_encrypted_is_counted_and_long_chunks_are_passed_over() {
    let mut long = chunk("MSGF", &"00".repeat(20_000));
    long[20] = 9;
    let says = [
        (Side::Originator, open("http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256")),
        (Side::Originator, long.clone()),
        (Side::Originator, long),
    ];
    for step in [700, 50_000] {
        let said = conversation(&says, step);
        assert_eq!(
            brief(&said, &["ot.function_name", "count"]),
            ["open_secure_channel 1", "encrypted_message 1", "encrypted_message 1"],
            "step {step}: {said:?}"
        );
    }
}

#[test]
fn a_stream_joined_in_its_middle_and_spoiled_bytes() {
    let read = format!(
        "{ASKS} 0000000000000000 00000000 02000000 0100d007 0d000000 ffffffff 0000ffffffff 0101d107 0d000000 ffffffff 0000ffffffff"
    );
    let says = [
        (Side::Originator, message(9, 634, &answers("00000000"))),
        (Side::Responder, message(10, 631, &read)),
        (Side::Responder, b"what is this about?".to_vec()),
        (Side::Responder, message(11, 631, &read)),
    ];
    let said = conversation(&says, 4_000);
    assert!(said[0].contains("ot.direction=response") && said[0].ends_with("by=responder"), "{said:?}");
    assert!(said[1].starts_with("anomaly opcua_out_of_sync"), "{said:?}");
    assert!(said[2].contains("i=2000") && said[2].contains("ns=1;i=2001"), "{said:?}");
}

#[test]
fn what_waits_is_bounded_and_others_are_left_alone() {
    let (mut seen, mut parser) = (Seen::default(), OpcUa::default());
    for n in 0..=255u8 {
        parser.feed(piece(Side::Originator, &message(n, 673, ASKS), 0), &mut seen);
    }
    assert_eq!(parser.waiting.len(), ot::WAITING_MAX);
    for bytes in [&b"HELO mail.example\r\n"[..], b"MSGFxxxx\0\0\0\x7f", b"ACK\0\0\0\0\0\0"] {
        assert_eq!(probe(Carrier::Tcp, Side::Originator, bytes), Probe::No, "{bytes:?}");
    }
}
