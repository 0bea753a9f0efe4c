//! Messages built by simple-dns (an independent writer), and broken ones by hand.

use simple_dns::rdata::{A, CNAME, RData, TXT};
use simple_dns::{CLASS, Name as DnsName, Packet, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};

use super::super::testing::{Seen, piece, talk};
use super::*;

fn query(name: &str, kind: TYPE) -> Packet<'_> {
    let mut p = Packet::new_query(0x1234);
    p.questions.push(Question::new(DnsName::new(name).unwrap(), QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
    p
}

fn reply<'a>(name: &'a str, kind: TYPE, answers: Vec<RData<'a>>) -> Packet<'a> {
    let mut p = query(name, kind).into_reply();
    let owner = DnsName::new(name).unwrap();
    p.answers.extend(answers.into_iter().map(|r| ResourceRecord::new(owner.clone(), CLASS::IN, 60, r)));
    p
}

#[test]
fn a_question_and_its_answer() {
    let q = query("www.Example.co.uk", TYPE::A).build_bytes_vec_compressed().unwrap();
    let a = reply(
        "www.Example.co.uk",
        TYPE::A,
        vec![RData::CNAME(CNAME(DnsName::new("edge.example.net").unwrap())), RData::A(A { address: 0x0a00_0001 })],
    )
    .build_bytes_vec_compressed()
    .unwrap();
    assert_eq!(talk(Carrier::Udp, 0, &[(Side::Originator, &q), (Side::Responder, &a)]), [
        "dns/1 query.packet_uid=4660 query.hostname=www.example.co.uk query.type=A query.class=IN query.domain=example.co.uk query.length=17 query.label_length_max=7 query.entropy=0",
        "dns/2 query.packet_uid=4660 query.hostname=www.example.co.uk query.type=A query.class=IN query.domain=example.co.uk rcode_id=0 rcode=NoError status_id=1 duration=0 answers.rdata=edge.example.net, 10.0.0.1 answers.length=22",
    ].map(|s| s.replace("answers.length=22", &format!("answers.length={}", 4 + a_len(&a)))));
}

/// Length of the CNAME data as the writer compressed it.
fn a_len(message: &[u8]) -> usize {
    let marker = message.windows(4).position(|w| w == [0, 5, 0, 1]).unwrap();
    usize::from(be16(message, marker + 8).unwrap())
}

#[test]
fn over_tcp_messages_are_found_however_they_are_cut() {
    let q = query("a.example.com", TYPE::TXT).build_bytes_vec().unwrap();
    let mut txt = TXT::new();
    txt.add_string("hello world").unwrap();
    let a = reply("a.example.com", TYPE::TXT, vec![RData::TXT(txt)]).build_bytes_vec().unwrap();
    let framed = |m: &[u8]| [&(m.len() as u16).to_be_bytes()[..], m].concat();
    let two = [framed(&q), framed(&q)].concat();
    for step in [1, 2, 7, 13, 1000] {
        let said = talk(Carrier::Tcp, step, &[(Side::Originator, &two), (Side::Responder, &framed(&a))]);
        assert_eq!(said.len(), 3, "{step} {said:?}");
        assert!(said[2].contains("answers.rdata=hello world answers.length=12"), "{}", said[2]);
        assert!(!said[2].contains("query.length"), "the query was seen, so its shape is not told twice");
    }
}

#[test]
fn nxdomain_and_an_answer_alone() {
    let mut p = reply("x.example.org", TYPE::AAAA, vec![]);
    *p.rcode_mut() = RCODE::NameError;
    let said = talk(Carrier::Udp, 0, &[(Side::Responder, &p.build_bytes_vec().unwrap())]);
    assert!(said[0].contains("rcode=NXDomain status_id=2") && said[0].contains("query.length=13"), "{said:?}");
}

#[test]
fn a_pointer_loop_and_lying_counts_end_the_reading() {
    let mut q = query("loop.example.com", TYPE::A).build_bytes_vec().unwrap();
    q[5] = 2;
    q.extend([0xc0, q.len() as u8]);
    let said = talk(Carrier::Udp, 0, &[(Side::Originator, &q)]);
    assert_eq!(said.len(), 2);
    assert!(said[0].contains("loop.example.com") && said[1].starts_with("anomaly dns_malformed"));
    let mut a = reply("x.example.org", TYPE::A, vec![RData::A(A { address: 1 })]).build_bytes_vec().unwrap();
    (a[6], a[7]) = (0x1f, 0xff);
    let said = talk(Carrier::Udp, 0, &[(Side::Responder, &a)]);
    assert!(said[0].contains("answers.rdata=0.0.0.1") && said[1].starts_with("anomaly"), "{said:?}");
}

#[test]
fn every_prefix_of_a_message_is_survived() {
    let a = reply("www.example.com", TYPE::A, vec![RData::A(A { address: 1 }), RData::A(A { address: 2 })]).build_bytes_vec().unwrap();
    for n in 0..a.len() {
        let mut dns = Dns::default();
        let mut seen = super::super::testing::Seen::default();
        dns.message(&a[..n], Timestamp::ZERO, &mut seen);
        assert!(seen.0.iter().any(|l| l.starts_with("anomaly")), "{n}");
    }
}

#[test]
fn other_traffic_is_not_taken_for_dns() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH\r\n",
        &[0; 40],
        &[0xff; 40],
        &[0x80, 0x60, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        assert_eq!(probe(Carrier::Udp, Side::Originator, bytes), Probe::No, "{bytes:?}");
        assert_ne!(probe(Carrier::Tcp, Side::Originator, bytes), Probe::Yes, "{bytes:?}");
    }
}

#[test]
fn domains_and_entropy() {
    for (name, domain) in [
        ("a.b.example.com", "example.com"),
        ("example.com", "example.com"),
        ("localhost", "localhost"),
        ("www.gov.cn", "www.gov.cn"),
        ("a.www.gov.cn", "www.gov.cn"),
        ("x.youtube.de", "youtube.de"),
        ("", ""),
    ] {
        assert_eq!(registered_domain(name), domain, "{name}");
    }
    assert_eq!(entropy(b"aabb.example.com", 11), 1.0);
    assert_eq!(entropy(b"abcdefgh.example.com", 11), 3.0);
    assert_eq!(entropy(b"example.com", 11), 0.0);
}

#[test]
fn a_refusal_may_repeat_nothing() {
    let said = talk(Carrier::Udp, 0, &[(Side::Responder, &[0x30, 0x40, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0])]);
    assert!(said.len() == 1 && said[0].contains("rcode=FormError"), "{said:?}");
    assert_eq!(probe(Carrier::Udp, Side::Responder, &[0x30, 0x40, 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0]), Probe::No);
}

#[test]
fn an_operation_that_does_not_exist_is_named() {
    let mut message = b"\0\x01\x48\0\0\x01\0\0\0\0\0\0\x08suricata\x02io\0\0\x01\0\x01".to_vec();
    let said = talk(Carrier::Udp, 0, &[(Side::Originator, &message)]);
    assert!(said[0].starts_with("anomaly dns_invalid_opcode") && said[1].contains("query.hostname=suricata.io"), "{said:?}");
    message.push(0);
    assert_eq!(probe(Carrier::Udp, Side::Originator, &message), Probe::No);
}

#[test]
fn after_a_hole_reading_goes_on_at_a_whole_message() {
    let message = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
    let framed = [&(message.len() as u16).to_be_bytes()[..], message].concat();
    let mut seen = Seen::default();
    let mut dns = Dns { carrier: Carrier::Tcp, ..Dns::default() };
    dns.feed(piece(Side::Originator, &framed, 0), &mut seen);
    dns.feed(Piece { gap: true, ..piece(Side::Originator, &framed[5..], 0) }, &mut seen);
    dns.feed(piece(Side::Originator, &framed, 0), &mut seen);
    assert_eq!(seen.0.len(), 2, "{:?}", seen.0);
}
