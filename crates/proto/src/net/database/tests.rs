use super::super::testing::{brief, client_hello, hex, talk};
use super::super::{Carrier, Side};

const O: Side = Side::Originator;
const R: Side = Side::Responder;
const KEYS: &[&str] = &["service.name", "user.name", "database.name", "auth_protocol", "status_id", "app.reply_code"];

fn mysql(number: u8, body: &[u8]) -> Vec<u8> {
    [&[body.len() as u8, 0, 0, number], body].concat()
}

#[test]
fn mysql_refused_let_in_and_in_tls() {
    let hello = mysql(0, b"\x0a8.0.1\0\x01\0\0\0abcdefgh\0\xff\xf7\x08");
    let mut body = hex("0da6 0f00 00000001 08");
    body.extend([0; 23]);
    body.extend(b"root\0\x04abcdshop\0mysql_native_password\0");
    let log_in = mysql(1, &body);
    let no = mysql(2, b"\xff\x15\x04#28000Access denied");
    let yes = mysql(2, &[0, 0, 0, 2, 0, 0, 0]);
    for step in [1, 7, 500] {
        let said = |answer: &[u8]| brief(&talk(Carrier::Tcp, step, &[(R, &hello), (O, &log_in), (R, answer)]), KEYS);
        assert_eq!(said(&no), ["mysql root shop mysql_native_password 2 1045"], "{step}");
        assert_eq!(said(&yes), ["mysql root shop mysql_native_password 1 -"], "{step}");
    }
    let mut tls = hex("0dae 0f00 00000001 08");
    tls.extend([0; 23]);
    let said = talk(Carrier::Tcp, 50, &[(R, &hello), (O, &mysql(1, &tls)), (O, &client_hello("db.example"))]);
    assert!(said.iter().any(|l| l.contains("tls.sni=db.example")), "{said:?}");
    let blocked = mysql(0, b"\xff\x6a\x04Host is not allowed");
    assert_eq!(brief(&talk(Carrier::Tcp, 500, &[(R, &blocked)]), KEYS), ["mysql - - - 2 1130"]);
}

#[test]
fn postgresql_refused_let_in_and_in_tls() {
    let start = |pairs: &[u8]| [&((pairs.len() + 8) as u32).to_be_bytes()[..], &[0, 3, 0, 0], pairs].concat();
    let said = |kind: u8, body: &[u8]| [&[kind][..], &((body.len() + 4) as u32).to_be_bytes(), body].concat();
    let log_in = start(b"user\0ada\0database\0shop\0\0");
    let (ask, secret) = (said(b'R', &[0, 0, 0, 3]), said(b'p', b"sesame\0"));
    let no = said(b'E', b"SFATAL\0C28P01\0Mpassword authentication failed\0\0");
    for step in [1, 7, 500] {
        let lines = talk(Carrier::Tcp, step, &[(O, &log_in), (R, &ask), (O, &secret), (R, &no)]);
        assert_eq!(brief(&lines, KEYS), ["postgresql ada shop password 2 -"], "{step}");
        assert!(
            lines[0].contains("status_detail=28P01 password") && lines[0].contains("is_cleartext=true") && !lines[0].contains("sesame")
        );
        let lines = talk(Carrier::Tcp, step, &[(O, &hex("00000008 04d2162f")), (R, b"N"), (O, &log_in), (R, &said(b'R', &[0, 0, 0, 0]))]);
        assert_eq!(brief(&lines, KEYS), ["postgresql ada shop - 1 -"], "{step}");
    }
    let lines = talk(Carrier::Tcp, 9, &[(O, &hex("00000008 04d2162f")), (R, b"S"), (O, &client_hello("pg.example"))]);
    assert!(lines.iter().any(|l| l.contains("tls.sni=pg.example")), "{lines:?}");
}

#[test]
fn sql_server_refused_and_let_in() {
    let packet = |kind: u8, body: &[u8]| [&[kind, 1][..], &((body.len() + 8) as u16).to_be_bytes(), &[0, 0, 1, 0], body].concat();
    let first = packet(0x12, &hex("00 000b 0006 01 0011 0001 ff 0f000000000002"));
    let mut body = vec![0u8; 94];
    body[4..8].copy_from_slice(&hex("04000074"));
    let mut put = |at: usize, text: &str| {
        let offset = body.len() as u16;
        body[at..at + 2].copy_from_slice(&offset.to_le_bytes());
        body[at + 2..at + 4].copy_from_slice(&(text.len() as u16).to_le_bytes());
        body.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    };
    put(36, "PC7");
    put(40, "sa");
    put(44, "secret");
    put(48, "app");
    put(68, "master");
    let length = body.len() as u32;
    body[..4].copy_from_slice(&length.to_le_bytes());
    let log_in = packet(0x10, &body);
    let no = packet(4, &hex("aa 0e00 18480000 01 0e 0300 6e006f002100 00"));
    let yes = packet(4, &hex("e3 0100 00 ad 0200 0000"));
    for step in [1, 9, 900] {
        let said = |answer: &[u8]| brief(&talk(Carrier::Tcp, step, &[(O, &first), (R, &first), (O, &log_in), (R, answer)]), KEYS);
        assert_eq!(said(&no), ["tds sa master password 2 18456"], "{step}");
        assert_eq!(said(&yes), ["tds sa master password 1 -"], "{step}");
    }
}

#[test]
fn mongodb_refused_and_let_in() {
    let bson = |elements: &[u8]| [&((elements.len() + 5) as u32).to_le_bytes()[..], elements, &[0]].concat();
    let message = |answers: u32, elements: &[u8]| {
        let body = [&[0, 0, 0, 0, 0][..], &bson(elements)].concat();
        [&((body.len() + 16) as u32).to_le_bytes()[..], &[1, 0, 0, 0], &answers.to_le_bytes(), &[0xdd, 7, 0, 0], &body].concat()
    };
    let ask =
        b"\x10saslStart\0\x01\0\0\0\x02mechanism\0\x0e\0\0\0SCRAM-SHA-256\0\x05payload\0\x0c\0\0\0\0n,,n=ada,r=x\x02$db\0\x06\0\0\0admin\0";
    let step_on = b"\x08done\0\0\x01ok\0\0\0\0\0\0\0\xf0\x3f";
    let no = b"\x01ok\0\0\0\0\0\0\0\0\0\x02errmsg\0\x03\0\0\0no\0\x10code\0\x12\0\0\0";
    let yes = b"\x08done\0\x01\x01ok\0\0\0\0\0\0\0\xf0\x3f";
    for step in [1, 900] {
        let said =
            |end: &[u8]| brief(&talk(Carrier::Tcp, step, &[(O, &message(0, ask)), (R, &message(1, step_on)), (R, &message(1, end))]), KEYS);
        assert_eq!(said(no), ["mongodb ada admin SCRAM-SHA-256 2 18"], "{step}");
        assert_eq!(said(yes), ["mongodb ada admin SCRAM-SHA-256 1 -"], "{step}");
    }
}

#[test]
fn redis_guessed_and_turned_into_a_writer_of_files() {
    for step in [1, 11, 900] {
        let said = talk(
            Carrier::Tcp,
            step,
            &[
                (O, b"*2\r\n$4\r\nAUTH\r\n$6\r\nsesame\r\n"),
                (R, b"-WRONGPASS no\r\n"),
                (O, b"*3\r\n$4\r\nAUTH\r\n$3\r\nada\r\n$6\r\nsesame\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
                (R, b"+OK\r\n$4\r\n+OK\n\r\n"),
                (O, b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$10\r\n/root/.ssh\r\n"),
                (R, b"+OK\r\n"),
                (O, b"EVAL x 0\r\n"),
                (R, b"*2\r\n:1\r\n-ERR inner\r\n"),
            ],
        );
        assert_eq!(
            brief(&said, &["service.name", "user.name", "command", "file.path", "status_id"]),
            ["redis default - - 2", "redis ada - - 1", "- - CONFIG /root/.ssh 1", "- - EVAL - 1", "- - session - -"],
            "{step}: {said:?}"
        );
        assert!(said.iter().all(|l| !l.contains("sesame")), "{said:?}");
    }
}
