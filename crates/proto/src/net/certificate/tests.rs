//! A certificate made with OpenSSL for these tests, whole and spoiled.

use event::{Kind, LogSource, Timestamp};

use super::super::hello::tests::{client_hello_message, server_hello_message};
use super::super::testing::{hex as bytes, talk};
use super::super::{Carrier, Side};
use super::*;

const DER: &str = "
    3082020f308201b6a00302010202040badcafe300a06082a8648ce3d040302303b310b300906035504061302434e31153013060355040a0c0c566564
    6574746520546573743115301306035504030c0c676174652e6578616d706c65301e170d3236313132333138323234365a170d333631313230313832
    3234365a303b310b300906035504061302434e31153013060355040a0c0c5665646574746520546573743115301306035504030c0c676174652e6578
    616d706c653059301306072a8648ce3d020106082a8648ce3d030107034200043176b8cbaf1eaced683e18c78b77e2d3bef09044b0185e77fdacf1bd
    849090fc8d64aeb64c84c763ca3b70408c66594263b248997acdb0267603265c7e516c7aa381a73081a4301d0603551d0e041604140e98a7d9c10f8e
    cce88a0ab2a233c332c81aef8b301f0603551d230418301680140e98a7d9c10f8ecce88a0ab2a233c332c81aef8b300f0603551d130101ff04053003
    0101ff30510603551d11044a3048820c676174652e6578616d706c65820e2a2e676174652e6578616d706c658704c0000207871020010db800000000
    000000000000000781106f707340676174652e6578616d706c65300a06082a8648ce3d040302034700304402207f1e6ca2d9207ae660fe0e47b7c456
    9db052836fb078451c7fd94032b73a6e5e022047f5d45d75aa6afb1caf55d8ccb5f0f2be7f91a72e7a7cbb7dd7d6ed3f3c60fd
";

/// A Certificate message of so many certificates.
fn list(ders: &[&[u8]]) -> Vec<u8> {
    let len = |n: usize| [(n >> 16) as u8, (n >> 8) as u8, n as u8];
    let all: Vec<u8> = ders.iter().flat_map(|der| [&len(der.len())[..], der].concat()).collect();
    [&len(all.len())[..], &all].concat()
}

#[test]
fn facts_of_a_certificate() {
    let der = bytes(DER);
    let certificate = Certificate::first_of(&list(&[&der, &der, b"x"])).unwrap();
    let mut event = Event::new(Timestamp::ZERO, Kind::NetworkActivity, 6, LogSource::new("", "tls", "tls"));
    certificate.describe(&mut event);
    let said: Vec<String> =
        event.body.iter().map(|(n, v)| format!("{}={}", n.as_str().trim_start_matches("tls.certificate."), v.to_text())).collect();
    assert_eq!(
        said,
        [
            "subject=C=CN, O=Vedette Test, CN=gate.example",
            "issuer=C=CN, O=Vedette Test, CN=gate.example",
            "created_time=1795458166000",
            "expiration_time=2110818166000",
            "san_names=gate.example, *.gate.example, 192.0.2.7, 2001:db8::7, ops@gate.example",
            "serial_number=0badcafe",
            "sha256=abaf889adebebf9776eb77f3ef412c19b85fd702c7e76c7b0a8478136ce5c010",
            "is_self_signed=true",
            "chain_length=3",
            "key=ec 256",
        ]
    );
}

#[test]
fn any_cut_is_survived() {
    let whole = list(&[&bytes(DER)]);
    assert!((0..whole.len()).all(|n| Certificate::first_of(&whole[..n]).is_none()));
}

/// The server's is told, a client's own is not, and one that cannot be read is named.
#[test]
fn certificates_of_both_sides() {
    let message = |kind: u8, body: &[u8]| [&[kind, 0][..], &(body.len() as u16).to_be_bytes(), body].concat();
    let record = |body: &[u8]| [&[22, 3, 3][..], &(body.len() as u16).to_be_bytes(), body].concat();
    let certificate = message(11, &list(&[&bytes(DER)]));
    let (hello, server) = (record(&client_hello_message()), record(&server_hello_message(0xc02f, None)));
    let done = [20, 3, 3, 0, 1, 1];
    let clients = [record(&certificate), done.to_vec()].concat();
    let said = talk(Carrier::Tcp, 9000, &[(Side::Originator, &hello), (Side::Responder, &server), (Side::Originator, &clients)]);
    assert!(said.len() == 1 && !said[0].contains("certificate"), "{said:?}");
    let servers = [server.clone(), record(&certificate)].concat();
    let said = talk(Carrier::Tcp, 100, &[(Side::Originator, &hello), (Side::Responder, &servers)]);
    assert!(said.len() == 1 && said[0].contains("tls.certificate.serial_number=0badcafe"), "{said:?}");
    let spoiled = [server, record(&message(11, &list(&[&bytes(DER)[..200]])))].concat();
    let said = talk(Carrier::Tcp, 100, &[(Side::Originator, &hello), (Side::Responder, &spoiled)]);
    assert!(said[0].starts_with("anomaly tls_malformed a certificate"), "{said:?}");
}
