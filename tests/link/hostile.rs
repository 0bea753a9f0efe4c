//! What strangers and broken agents send: refused, counted, and the collector goes on.

use super::*;
use agent::identity::tls;
use agent::uplink::codec::MESSAGE_BYTES_MAX;
use agent::uplink::connect::dial;
use bytes::Bytes;
use collector::authority::{Dropped, GuardConfig};
use collector::ingest::Reason;
use prost::Message as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::link::{Body, CloseCode, Hello, Message, VERSIONS};

/// Bytes of no protocol that is spoken here.
fn garbage() -> Vec<Vec<u8>> {
    let mut chance = 0x9e37_79b9_u32;
    let mut noise = |len: usize| {
        let next = || {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (chance >> 24) as u8
        };
        std::iter::repeat_with(next).take(len).collect::<Vec<u8>>()
    };
    vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        b"VDE1\0\x08\x01\0\x02ab\0\x01c".to_vec(),
        vec![0; 4096],
        vec![0xff; 4096],
        // A TLS record that says it is long and is not; a handshake of nonsense.
        [&[0x16, 3, 1, 0x3f, 0xff][..], &noise(300)].concat(),
        [&[0x16, 3, 3, 0, 0x40, 1, 0, 0, 0x3c][..], &noise(0x3c)].concat(),
        noise(16_384),
    ]
}

/// Writes, says that this was all, and reads until the other side ends it.
async fn knock(address: SocketAddr, bytes: &[u8]) {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    // The collector may refuse before it was all said: then writing fails, which is as good.
    let _ = tcp.write_all(bytes).await;
    let _ = tcp.shutdown().await;
    let mut rest = Vec::new();
    let _ = tcp.read_to_end(&mut rest).await;
}

#[test]
fn garbage_to_both_ports_leaves_them_standing_and_is_counted() {
    run(async {
        let collector = Collector::with(|_, door| door.guard.failures_max = 1_000).await;
        let all = garbage();
        for bytes in &all {
            knock(collector.link, bytes).await;
            knock(collector.door, bytes).await;
        }
        let links = collector.links.counters();
        assert_eq!(links.connections.get(), all.len() as u64);
        assert_eq!(links.refused(Reason::NotTls) + links.refused(Reason::Gone), all.len() as u64, "{:?}", links.snapshot());
        assert_eq!(links.established.get() + links.messages.get(), 0);
        let door = collector.authority.counters();
        assert_eq!((door.connections(), door.dropped_for(Dropped::Tls)), (all.len() as u64, all.len() as u64));
        let (identity, spool) = (collector.enrolled("a").await, Spool::new());
        let agent = collector.agent("a", identity, &spool);
        spool.add(Class::Normal, 1, 10);
        spool.all_acknowledged().await;
        agent.stop().await;
    });
}

#[test]
fn what_is_no_request_inside_tls_is_dropped_and_counted() {
    run(async {
        let collector = Collector::with(|_, door| door.guard.failures_max = 1_000).await;
        let config = Arc::new(tls::enrolment(collector.authority.ca().pin()).unwrap());
        let mut requests = garbage();
        requests.retain(|bytes| bytes.len() >= 6);
        requests.push(b"VDE1\xff\xff".to_vec());
        for bytes in &requests {
            let tcp = TcpStream::connect(collector.door).await.unwrap();
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let mut stream = tokio_rustls::TlsConnector::from(config.clone()).connect(name, tcp).await.unwrap();
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            assert!(rest.is_empty() || bytes.starts_with(b"VDE1"), "an answer to {bytes:?}");
        }
        let counters = collector.authority.counters();
        let dropped = counters.dropped_for(Dropped::Malformed) + counters.dropped_for(Dropped::Gone);
        assert_eq!(dropped, requests.len() as u64, "{:?}", counters.snapshot());
        collector.enrolled("a").await;
    });
}

#[test]
fn a_source_that_fails_too_often_must_wait() {
    run(async {
        let guard = GuardConfig { failures_max: 3, ..GuardConfig::default() };
        let collector = Collector::with(|_, door| door.guard = guard).await;
        let invitation = collector.invite();
        for _ in 0..3 {
            knock(collector.door, b"GET / HTTP/1.1\r\n\r\n").await;
        }
        assert!(enrol(&collector.state_dir("a"), &invitation, false).await.is_err(), "before the handshake");
        assert_eq!(collector.authority.counters().dropped_for(Dropped::Source), 1);
        collector.time.set(21 * 60);
        let invitation = collector.invite();
        enrol(&collector.state_dir("a"), &invitation, false).await.unwrap();
    });
}

#[test]
fn a_slow_stranger_is_dropped_and_holds_up_no_one() {
    run(async {
        let collector = Collector::with(|_, door| door.time_max = std::time::Duration::from_millis(300)).await;
        let mut slow = TcpStream::connect(collector.door).await.unwrap();
        slow.write_all(&[0x16, 3, 1, 2]).await.unwrap();
        collector.enrolled("a").await;
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).await.unwrap();
        assert_eq!(collector.authority.counters().dropped_for(Dropped::Slow), 1);
    });
}

/// A TLS 1.3 client that trusts the collector and shows what it is told to show.
fn client(
    collector: &Collector,
    chain: Option<(Vec<u8>, Vec<u8>)>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(collector.authority.ca().certificate().clone()).unwrap();
    let builder =
        ClientConfig::builder_with_provider(tls::provider()).with_protocol_versions(versions).unwrap().with_root_certificates(roots);
    let mut config = match chain {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
            builder.with_client_auth_cert(vec![CertificateDer::from(certificate)], key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Says HTTP/2's first words to the link port; gives the bytes that came back inside TLS.
async fn greet(collector: &Collector, config: ClientConfig) -> Vec<u8> {
    let tcp = TcpStream::connect(collector.link).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut answer = Vec::new();
    // In TLS 1.3 the client's handshake ends before the collector has judged its certificate.
    match tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).into_fallible().await {
        Ok(mut stream) => {
            let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
            let _ = stream.read_to_end(&mut answer).await;
        }
        Err((_, mut tcp)) => {
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
    }
    answer
}

#[test]
fn without_a_certificate_of_ours_no_byte_is_parsed() {
    run(async {
        let collector = Collector::start().await;
        let stranger = Collector::start().await;
        let counters = collector.links.counters();
        let tls13: &[_] = &[&rustls::version::TLS13];
        let ours = collector.enrolled("a").await;
        let pair = |name: &str| {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
            let mut params = rcgen::CertificateParams::default();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            (params, key)
        };

        assert!(greet(&collector, client(&collector, None, tls13)).await.is_empty());
        assert_eq!(counters.refused(Reason::NoCertificate), 1);

        // An agent of another collector, well formed in every respect.
        let foreign = stranger.enrolled("x").await;
        let key = std::fs::read_to_string(stranger.state_dir("x").join(agent::identity::FILE)).unwrap();
        let key =
            rcgen::KeyPair::from_pem(&key[key.find("-----BEGIN PRIVATE").unwrap()..=key.find("KEY-----\n-----BEGIN CERT").unwrap() + 7]);
        let foreign_key = key.unwrap().serialize_der();
        assert!(greet(&collector, client(&collector, Some((foreign.certificate.clone(), foreign_key)), tls13)).await.is_empty());
        assert_eq!(counters.refused(Reason::Foreign), 1);

        // Self-signed in the name of a known agent.
        let (mut params, key) = pair(&ours.agent.to_string());
        params.subject_alt_names = vec![rcgen::SanType::URI(format!("vedette://agent/{}", ours.agent).try_into().unwrap())];
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let forged = params.self_signed(&key).unwrap().der().to_vec();
        assert!(greet(&collector, client(&collector, Some((forged, key.serialize_der())), tls13)).await.is_empty());
        assert_eq!(counters.refused(Reason::Foreign), 2);

        // A server certificate of our own authority.
        let (_, key) = pair("server");
        let server = collector.authority.ca().sign_server(&["localhost".into()], &key, DAY, now()).unwrap();
        assert!(greet(&collector, client(&collector, Some((server.certificate.to_vec(), key.serialize_der())), tls13)).await.is_empty());
        assert_eq!(counters.refused(Reason::NotAgent), 1);

        // Signed by our authority, but the register has never heard of it: a lost register, or a stolen CA key.
        let (_, key) = pair("ghost");
        let ghost = collector.authority.ca().sign_agent(AgentId(0x6057), &key, DAY, now()).unwrap();
        assert!(greet(&collector, client(&collector, Some((ghost.certificate.to_vec(), key.serialize_der())), tls13)).await.is_empty());
        // A known agent's name on a key that is not its own.
        let double = collector.authority.ca().sign_agent(ours.agent, &key, DAY, now()).unwrap();
        assert!(greet(&collector, client(&collector, Some((double.certificate.to_vec(), key.serialize_der())), tls13)).await.is_empty());
        assert_eq!(counters.refused(Reason::Unknown), 2);

        // The old version of TLS.
        assert!(greet(&collector, client(&collector, None, &[&rustls::version::TLS12])).await.is_empty());
        assert_eq!(counters.refused(Reason::NotTls), 1);

        assert_eq!((counters.connections.get(), counters.established.get(), counters.messages.get()), (7, 0, 0));
    });
}

/// The next message of the collector that is not an acknowledgement.
async fn heard(link: &mut agent::uplink::connect::Link) -> Option<Body> {
    loop {
        match link.incoming.message().await {
            Ok(Some(bytes)) => match Message::decode(bytes).unwrap().body {
                Some(Body::Ack(_) | Body::Keepalive(_)) => {}
                body => return body,
            },
            Ok(None) | Err(_) => return None,
        }
    }
}

async fn closed_with(link: &mut agent::uplink::connect::Link) -> CloseCode {
    match heard(link).await {
        Some(Body::Close(close)) => CloseCode::from_u32(close.code),
        other => panic!("no goodbye but {other:?}"),
    }
}

async fn greeted(collector: &Collector, identity: &Identity) -> agent::uplink::connect::Link {
    let mut link = dial(&collector.link.to_string(), identity, now()).await.unwrap();
    let hello: Message = Hello::new(VERSIONS, "test", &Marks::default(), 0).into();
    link.outgoing.send(hello.encode_to_vec().into()).await.unwrap();
    assert!(matches!(heard(&mut link).await, Some(Body::Hello(_))));
    link
}

#[test]
fn an_agent_that_talks_nonsense_is_cut_and_may_come_back() {
    run(async {
        let collector = Collector::start().await;
        let identity = collector.enrolled("a").await;
        let counters = collector.links.counters();

        let mut link = greeted(&collector, &identity).await;
        link.outgoing.send(Bytes::from_static(b"\xff\xff\xff\xffthis is no message")).await.unwrap();
        assert_eq!(closed_with(&mut link).await, CloseCode::Protocol);
        assert_eq!(counters.refused(Reason::Malformed), 1);

        // Longer than anything may be: refused by its length, before it is gathered.
        let mut link = greeted(&collector, &identity).await;
        link.outgoing.send(Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1])).await.unwrap();
        assert_eq!(closed_with(&mut link).await, CloseCode::Protocol);
        assert_eq!(counters.refused(Reason::Oversize), 1);

        // A batch whose numbers do not follow.
        let mut packer = wire::Packer::new(1);
        assert!(packer.push(wire::Row::Event(b"event")));
        let batch = packer.pack(Class::Normal, event::Epoch(1), 7).unwrap();
        let mut link = greeted(&collector, &identity).await;
        link.outgoing.send(Message::from(batch.clone()).encode_to_vec().into()).await.unwrap();
        assert_eq!(closed_with(&mut link).await, CloseCode::Hole);

        // A batch that lies about its length.
        let mut link = greeted(&collector, &identity).await;
        let lie = wire::Batch { first_seq: 1, last_seq: 1, raw_bytes: 4_000_000, ..batch };
        link.outgoing.send(Message::from(lie).encode_to_vec().into()).await.unwrap();
        assert_eq!(closed_with(&mut link).await, CloseCode::Protocol);

        assert!(collector.sink.rows().is_empty());
        let spool = Spool::new();
        let agent = collector.agent("a", identity, &spool);
        spool.add(Class::Normal, 1, 10);
        spool.all_acknowledged().await;
        agent.stop().await;
    });
}

#[test]
fn what_one_agent_sends_is_never_anothers() {
    run(async {
        let collector = Collector::start().await;
        let (a, b) = (collector.enrolled("a").await, collector.enrolled("b").await);
        let mut packer = wire::Packer::new(1);
        assert!(packer.push(wire::Row::Event(format!("agent: {}", b.agent).as_bytes())));
        let batch = packer.pack(Class::Normal, event::Epoch(1), 1).unwrap();
        let mut link = dial(&collector.link.to_string(), &a, now()).await.unwrap();
        // The greeting may claim to be anyone; there is no field to claim it in, and free text is only text.
        let hello: Message = Hello::new(VERSIONS, &format!("CN={}", b.agent), &Marks::default(), 0).into();
        link.outgoing.send(hello.encode_to_vec().into()).await.unwrap();
        link.outgoing.send(Message::from(batch).encode_to_vec().into()).await.unwrap();
        let acknowledged = loop {
            match Message::decode(link.incoming.message().await.unwrap().unwrap()).unwrap().body {
                Some(Body::Ack(ack)) => break ack,
                other => assert!(matches!(other, Some(Body::Hello(_))), "{other:?}"),
            }
        };
        assert_eq!((acknowledged.epoch, acknowledged.seq), (1, 1));
        let owners: Vec<_> = collector.sink.rows().into_keys().map(|(agent, ..)| agent).collect();
        assert_eq!(owners, [a.agent]);
        assert!(collector.links.get(b.agent).is_none());
    });
}

#[test]
fn a_connection_carries_one_stream() {
    run(async {
        let collector = Collector::start().await;
        let identity = collector.enrolled("a").await;
        let mut first = greeted(&collector, &identity).await;
        let mut second = greeted(&collector, &identity).await;
        assert_eq!(closed_with(&mut first).await, CloseCode::Superseded);
        let close: Message = wire::link::Close::new(CloseCode::Shutdown, "done").into();
        second.outgoing.send(close.encode_to_vec().into()).await.unwrap();
        assert!(heard(&mut second).await.is_none(), "the collector ends the stream of an agent that says goodbye");
        assert!(collector.links.snapshot().is_empty());
    });
}
