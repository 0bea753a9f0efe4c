use super::super::testing::{brief, hex, talk};
use super::*;

fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = (message.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(message);
    out
}

/// An SMB 2 message: command, whether an answer, status, number, tree, body in hexadecimal.
fn two(command: u16, answer: bool, status: u32, id: u64, tree: u32, body: &str) -> Vec<u8> {
    let mut m = b"\xfeSMB\x40\0\0\0".to_vec();
    m.extend_from_slice(&status.to_le_bytes());
    m.extend_from_slice(&command.to_le_bytes());
    m.extend_from_slice(&[1, 0]);
    m.extend_from_slice(&u32::from(answer).to_le_bytes());
    m.extend_from_slice(&[0; 4]);
    m.extend_from_slice(&id.to_le_bytes());
    m.extend_from_slice(&[0; 4]);
    m.extend_from_slice(&tree.to_le_bytes());
    m.extend_from_slice(&[0; 24]);
    m.extend_from_slice(&hex(body));
    m
}

const FID: &str = "0100000000000000 0200000000000000";

#[test]
fn a_file_is_put_on_a_share() {
    let share = "5c005c00610043005c004300 2400";
    let name = "78002e006500780065 00";
    let open = format!(
        "3900 00 00 02000000 0000000000000000 0000000000000000 9f011200 80000000 00000000 05000000 44000000 7800 0a00 00000000 00000000 {name}"
    );
    let opened = format!(
        "5900 0000 02000000 {} 0000000000000000 0000000000000000 80000000 00000000 {FID} 00000000 00000000",
        "0000000000000000".repeat(4)
    );
    let says: Vec<(Side, Vec<u8>)> = vec![
        (Side::Originator, two(3, false, 0, 1, 0, &format!("0900 0000 4800 0e00 {share}"))),
        (Side::Responder, two(3, true, 0, 1, 5, "1000 01 00 00000000 00000000 00000000")),
        (Side::Originator, two(5, false, 0, 2, 5, &open)),
        (Side::Responder, two(5, true, 0, 2, 5, &opened)),
        (
            Side::Originator,
            two(9, false, 0, 3, 5, &format!("3100 7000 04000000 0000000000000000 {FID} 00000000 00000000 00000000 4d5a9000")),
        ),
        (Side::Responder, two(9, true, 0, 3, 5, "1100 0000 04000000 00000000 00000000")),
        (Side::Originator, two(17, false, 0, 4, 5, &format!("2100 01 0d 01000000 6000 0000 00000000 {FID} 01"))),
        (Side::Responder, two(17, true, 0, 4, 5, "0200")),
        (Side::Originator, two(6, false, 0, 5, 5, &format!("1800 0000 00000000 {FID}"))),
        (Side::Responder, two(6, true, 0, 5, 5, "3c00")),
        (Side::Originator, two(5, false, 0, 6, 5, &open)),
        (Side::Responder, two(5, true, 0xc000_0022, 6, 5, "0900 0000 00000000 00")),
    ];
    let framed: Vec<(Side, Vec<u8>)> = says.iter().map(|(s, m)| (*s, framed(m))).collect();
    let framed: Vec<(Side, &[u8])> = framed.iter().map(|(s, m)| (*s, m.as_slice())).collect();
    for step in [1, 5, 64, 1000] {
        let said = talk(Carrier::Tcp, step, &framed);
        assert_eq!(
            brief(&said, &["command", "share", "share_type", "file.path", "status_id", "status_detail", "traffic.bytes_out"]),
            [
                r"tree_connect \\aC\C$ disk - 1 - -",
                r"create \\aC\C$ - x.exe 1 - -",
                r"delete \\aC\C$ - x.exe 1 - -",
                r"write \\aC\C$ - x.exe 1 - 4",
                r"open \\aC\C$ - x.exe 2 STATUS_ACCESS_DENIED -",
                "session - - - - - -",
            ],
            "{step}"
        );
        assert!(said.last().is_some_and(|l| l.contains("count=12")), "{said:?}");
    }
}

#[test]
fn a_refused_log_in_has_its_user() {
    let mut blob = b"NTLMSSP\0\x03\0\0\0".to_vec();
    for (length, offset) in [(0u16, 64u32), (0, 64), (2, 64), (6, 66), (0, 72), (0, 72)] {
        blob.extend_from_slice(&length.to_le_bytes());
        blob.extend_from_slice(&length.to_le_bytes());
        blob.extend_from_slice(&offset.to_le_bytes());
    }
    blob.extend_from_slice(&[1, 0, 0, 0]);
    blob.extend_from_slice(b"D\0b\0o\0b\0");
    let mut ask = two(1, false, 0, 7, 0, "1900 00 01 00000000 00000000 5800 4800 0000000000000000");
    ask.extend_from_slice(&blob);
    let (ask, answer) = (framed(&ask), framed(&two(1, true, 0xc000_006d, 7, 0, "0900 0000 0000 0000 00")));
    let said = talk(Carrier::Tcp, 11, &[(Side::Originator, &ask), (Side::Responder, &answer)]);
    assert_eq!(
        brief(&said[..1], &["user.name", "user.domain", "auth_protocol", "service.name", "status_id", "status_detail"]),
        ["bob D NTLM smb 2 STATUS_LOGON_FAILURE"]
    );
}

#[test]
fn chained_commands_of_old_are_each_counted() {
    // Session set-up with names, tree connection behind it.
    let m = hex("ff534d42 73 00000000 18 0100 0000 0000000000000000 0000 0000 0100 0000 0200
        0d 75 00 4900 ffff 0200 0100 00000000 0000 0000 00000000 00000000 0c00 626f6200 444f4d00 57696e00
        04 ff 00 0000 0000 0100 0d00 00 5c5c735c4950432400 49504300");
    let mut said = talk(Carrier::Tcp, 9, &[(Side::Originator, &framed(&m))]);
    let last = said.pop().unwrap_or_default();
    assert!(last.contains("app.commands=smb1_session_setup_andx 1, smb1_tree_connect_andx 1"), "{last}");
    assert_eq!(brief(&said, &["user.name", "user.domain", "status_id"]), ["bob DOM 0"]);
}
