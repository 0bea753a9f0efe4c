use super::super::testing::{brief, hex, talk};
use super::*;

const BIND_SVCCTL: &str = "05000b03 10000000 48000000 01000000 b810b810 00000000 01000000 00000100
    81bb7a36 449 8f135 ad3298f038001003 02000000 045d888aeb1cc9119fe808002b10486002000000";
const ACK: &str = "05000c03 10000000 44000000 01000000 b810b810 01000000 0d005c706970 655c6e747376637300 00 01000000 00000000 045d888aeb1cc9119fe808002b10486002000000";

fn request(call: u8, opnum: u8) -> Vec<u8> {
    hex(&format!("05000003 10000000 1c000000 {call:02x}000000 04000000 0000 {opnum:02x}00 00000000"))
}

fn answer(call: u8, kind: u8) -> Vec<u8> {
    hex(&format!("0500{kind:02x}03 10000000 1c000000 {call:02x}000000 04000000 0000 0000 05000000"))
}

#[test]
fn a_service_is_made_over_the_wire() {
    let (bind, ack) = (hex(BIND_SVCCTL), hex(ACK));
    let (create, made, start, refused) = (request(2, 12), answer(2, 2), request(3, 19), answer(3, 3));
    for step in [1, 7, 1000] {
        let said = talk(
            Carrier::Tcp,
            step,
            &[
                (Side::Originator, &bind),
                (Side::Responder, &ack),
                (Side::Originator, &create),
                (Side::Responder, &made),
                (Side::Originator, &start),
                (Side::Responder, &refused),
            ],
        );
        assert_eq!(
            brief(&said, &["command", "dce_rpc.interface", "dce_rpc.operation", "status_id", "app.reply_code"]),
            ["bind svcctl - 1 -", "call svcctl CreateServiceW 1 -", "call svcctl StartServiceW 2 5"],
            "{step}"
        );
    }
}

#[test]
fn an_unknown_interface_has_its_uuid() {
    let mut bind = hex(BIND_SVCCTL);
    bind[32] = 0;
    let said = talk(Carrier::Tcp, 99, &[(Side::Originator, &bind), (Side::Responder, &hex(ACK))]);
    assert_eq!(brief(&said, &["dce_rpc.interface"]), ["367abb00-9844-35f1-ad32-98f038001003"]);
}
