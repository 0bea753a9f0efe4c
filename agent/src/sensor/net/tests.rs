//! The pipeline on hand-made frames, and the sensor's configuration.

use std::net::SocketAddrV4;

use event::{Class, Event, Timestamp, field};
use packet::{Frame, LinkType};

use super::*;

fn ip(protocol: u8, src: SocketAddrV4, dst: SocketAddrV4, body: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    out.extend((20 + body.len() as u16).to_be_bytes());
    out.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
    out.extend(src.ip().octets());
    out.extend(dst.ip().octets());
    out.extend_from_slice(body);
    out
}

fn tcp(src: &str, dst: &str, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (src, dst): (SocketAddrV4, SocketAddrV4) = (src.parse().unwrap(), dst.parse().unwrap());
    let mut body = [src.port().to_be_bytes(), dst.port().to_be_bytes()].concat();
    body.extend(seq.to_be_bytes());
    body.extend(ack.to_be_bytes());
    body.extend([0x50, flags, 0x10, 0, 0, 0, 0, 0]);
    body.extend_from_slice(payload);
    ip(6, src, dst, &body)
}

fn udp(src: &str, dst: &str, payload: &[u8]) -> Vec<u8> {
    let (src, dst): (SocketAddrV4, SocketAddrV4) = (src.parse().unwrap(), dst.parse().unwrap());
    let mut body = [src.port().to_be_bytes(), dst.port().to_be_bytes()].concat();
    body.extend((8 + payload.len() as u16).to_be_bytes());
    body.extend([0, 0]);
    body.extend_from_slice(payload);
    ip(17, src, dst, &body)
}

struct Bench {
    pipeline: Pipeline,
    seen: Vec<(Class, Event)>,
}

/// Facts over time have tests of their own.
fn keep(seen: &mut Vec<(Class, Event)>, class: Class, event: Event) {
    if event.source.category.as_deref() != Some("network_fact") {
        seen.push((class, event));
    }
}

impl Bench {
    fn new(config: PipelineConfig) -> Self {
        Self { pipeline: Pipeline::new(config), seen: Vec::new() }
    }
    fn frame(&mut self, ms: i64, bytes: &[u8]) {
        let frame = Frame::new(Timestamp::from_ms(ms), LinkType::Ethernet, 0, bytes);
        self.pipeline.frame(&frame, &mut |class, event| keep(&mut self.seen, class, event));
    }
    fn tick(&mut self, ms: i64) {
        self.pipeline.tick(Timestamp::from_ms(ms), &mut |class, event| keep(&mut self.seen, class, event));
    }
    fn flush(&mut self) {
        self.pipeline.flush(&mut |class, event| keep(&mut self.seen, class, event));
    }
    fn services(&self) -> Vec<String> {
        self.seen.iter().map(|(c, e)| format!("{} {}/{}", c.name(), e.source.service.as_deref().unwrap_or(""), e.activity)).collect()
    }
}

const C: &str = "10.0.0.1:40000";
const S: &str = "10.0.0.2:8888";

#[test]
fn a_web_request_in_a_connection() {
    let mut b = Bench::new(PipelineConfig { local: vec!["10.0.0.2".parse().unwrap()], ..PipelineConfig::default() });
    let get = b"GET /etc/passwd HTTP/1.1\r\nHost: shop\r\n\r\n";
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let (n, m) = (get.len() as u32, ok.len() as u32);
    b.frame(0, &tcp(C, S, 100, 0, 2, b""));
    b.frame(1, &tcp(S, C, 500, 101, 0x12, b""));
    b.frame(2, &tcp(C, S, 101, 501, 0x18, get));
    b.frame(3, &tcp(S, C, 501, 101 + n, 0x18, ok));
    b.frame(4, &tcp(C, S, 101 + n, 501 + m, 0x11, b""));
    b.frame(5, &tcp(S, C, 501 + m, 102 + n, 0x11, b""));
    b.flush();
    assert_eq!(b.services(), ["normal flow/1", "normal http/3", "bulk flow/2"]);
    let (open, http, close) = (&b.seen[0].1, &b.seen[1].1, &b.seen[2].1);
    for event in [open, http, close] {
        assert_eq!(event.text(field::SRC_IP), "10.0.0.1");
        assert_eq!(event.text(field::DST_PORT), "8888");
        assert_eq!(event.text(field::DIRECTION_ID), "1");
        assert_eq!(event.text(field::FLOW_UID), open.text(field::FLOW_UID));
        assert!(event.text(field::COMMUNITY_ID).starts_with("1:"));
    }
    assert_eq!((http.text(field::HTTP_PATH), http.text(field::HTTP_STATUS)), ("/etc/passwd".into(), "200".into()));
    assert_eq!(open.get(field::BYTES), None);
    assert_eq!(close.text(field::CONN_STATE), "SF");
    assert_eq!(close.text(field::PACKETS), "6");
    assert_eq!(close.text(field::BYTES), (6 * 54 + n + m).to_string());
    assert_eq!(close.text(field::APP_NAME), "http");
    assert_eq!(close.text(field::SRC_MAC), "02:00:00:00:00:01");
}

#[test]
fn attempts_are_told_once_each_and_in_time() {
    let mut b = Bench::new(PipelineConfig::default());
    b.frame(0, &tcp("10.0.0.1:1", "10.0.0.2:22", 1, 0, 2, b""));
    b.frame(1, &tcp("10.0.0.2:22", "10.0.0.1:1", 0, 2, 0x14, b""));
    b.frame(2, &tcp("10.0.0.1:2", "10.0.0.2:23", 1, 0, 2, b""));
    b.tick(1002);
    assert_eq!(b.services(), ["normal flow/5", "normal flow/4"]);
    assert_eq!((b.seen[0].1.text(field::CONN_STATE), b.seen[1].1.text(field::CONN_STATE)), ("REJ".into(), "S0".into()));
    assert_eq!((b.seen[0].1.text(field::PACKETS), b.seen[1].1.text(field::PACKETS)), ("2".into(), "1".into()));
    b.flush();
    assert_eq!(b.seen.len(), 2, "nothing new came, so nothing is told twice");
}

#[test]
fn a_datagram_nobody_answers_is_told_in_time_and_once() {
    let mut b = Bench::new(PipelineConfig::default());
    b.frame(0, &udp("10.0.0.1:4000", "10.0.0.2:161", b"?"));
    b.frame(5, &udp("10.0.0.1:4001", "10.0.0.2:7", b"?"));
    b.frame(6, &udp("10.0.0.2:7", "10.0.0.1:4001", b"?"));
    b.tick(1002);
    assert_eq!(b.services(), ["normal flow/4"]);
    let told = &b.seen[0].1;
    assert_eq!((told.text(field::CONN_STATE), told.text(field::DST_PORT), told.time.ms()), ("S0".into(), "161".into(), 1000));
    b.flush();
    assert_eq!(b.services(), ["normal flow/4", "bulk flow/6"], "nothing new came of the first, the second was answered");
    assert_eq!((b.seen[1].1.text(field::CONN_STATE), b.seen[1].1.text(field::DST_PORT)), ("SF".into(), "7".into()));
}

#[test]
fn a_flood_is_sampled_and_the_rest_counted() {
    let mut b = Bench::new(PipelineConfig { records_per_second: 10, ..PipelineConfig::default() });
    for n in 0..1000u32 {
        b.frame(0, &tcp(&format!("10.1.{}.{}:1024", n / 250, n % 250 + 1), S, n, 0, 2, b""));
    }
    b.flush();
    let told = b.seen.iter().filter(|(_, e)| e.activity == FAIL_ACTIVITY).count();
    let counted: i64 = b
        .seen
        .iter()
        .filter(|(_, e)| e.text(field::ANOMALY_NAME) == "flow_records_sampled")
        .filter_map(|(_, e)| e.get(field::COUNT).and_then(event::Value::as_int))
        .sum();
    assert_eq!((told, counted), (10, 990));
    assert_eq!(b.pipeline.stats().records_sampled, 990);
}

const FAIL_ACTIVITY: u8 = 4;

#[test]
fn anomalies_are_limited_by_name_and_all_counted() {
    let mut b = Bench::new(PipelineConfig::default());
    for n in 0..500 {
        b.frame(n, &tcp(C, S, 0, 0, 0, b""));
    }
    b.flush();
    let odd: Vec<i64> = b
        .seen
        .iter()
        .filter(|(_, e)| e.text(field::ANOMALY_NAME) == "tcp_flags_odd")
        .map(|(_, e)| e.get(field::COUNT).and_then(event::Value::as_int).unwrap_or(1))
        .collect();
    assert_eq!((odd.len(), odd.iter().sum::<i64>()), (11, 500));
}

#[test]
fn a_dns_question_carries_its_flow() {
    let mut b = Bench::new(PipelineConfig::default());
    let q = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";
    b.frame(0, &udp("10.0.0.1:45353", "10.0.0.2:5300", q));
    assert_eq!(b.services(), ["normal dns/1"]);
    let event = &b.seen[0].1;
    assert_eq!((event.text(field::DNS_QUERY), event.text(field::DST_PORT)), ("www.example.com".into(), "5300".into()));
}

#[test]
fn the_sample_is_the_default_and_mistakes_are_told() {
    let parse = |text: &str| NetKind::config(&text.parse::<toml::Table>().unwrap());
    assert_eq!(parse(SAMPLE).unwrap(), Config::default());
    for (text, word) in [
        ("interfaces = \"eth0\"", "[\"eth0\"]"),
        ("buffer = \"1 KiB\"", "from 1 MiB"),
        ("protocols = [\"dns\", \"gopher\"]", "gopher"),
        ("snaplen = 1", "snaplen"),
        ("flows_max = 1", "flows_max"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn every_field_that_events_carry_is_declared() {
    let declared = NET.fields();
    let mut b = Bench::new(PipelineConfig { local: vec!["10.0.0.2".parse().unwrap()], ..PipelineConfig::default() });
    b.frame(0, &tcp(C, S, 0, 0, 0, b"SSH-2.0-x\r\n"));
    b.frame(0, &udp("10.0.0.1:45353", "10.0.0.2:5300", b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x00\x00\x01\x00\x01"));
    b.flush();
    for (_, event) in &b.seen {
        for (name, _) in event.body.iter() {
            let event::Name::Known(field) = name else { panic!("{name:?}") };
            assert!(declared.contains(field), "{field:?}");
        }
    }
}

#[test]
fn who_commands_is_the_source_of_an_event_whichever_side_was_heard_first() {
    // A station on an odd port is heard first, in the middle of a connection: it reports a value, then it is told to reset.
    let (station, master) = ("10.0.0.2:40001", "10.0.0.1:40000");
    let value = b"\x68\x12\0\0\0\0\x0d\x01\x03\0\x01\0\x01\0\0\0\0\x80\x3f\0";
    let reset = b"\x68\x0e\0\0\x02\0\x69\x01\x06\0\x01\0\0\0\0\x01";
    let mut b = Bench::new(PipelineConfig { local: vec!["10.0.0.1".parse().unwrap()], ..PipelineConfig::default() });
    b.frame(0, &tcp(station, master, 100, 500, 0x18, value));
    b.frame(1, &tcp(master, station, 500, 100 + value.len() as u32, 0x18, reset));
    let said: Vec<String> = b
        .seen
        .iter()
        .filter(|(_, e)| e.source.category.as_deref() == Some("ot"))
        .map(|(c, e)| {
            let parts = [field::SRC_IP, field::SRC_PORT, field::DST_IP, field::DIRECTION_ID, field::OT_FUNCTION_NAME]
                .map(|f| e.text(f).into_owned());
            format!("{} {}", c.name(), parts.join(" "))
        })
        .collect();
    assert_eq!(
        said,
        ["bulk 10.0.0.1 40000 10.0.0.2 2 measured_float", "critical 10.0.0.1 40000 10.0.0.2 2 reset_process"],
        "{:?}",
        b.services()
    );
}

#[test]
fn goose_is_told_with_its_card_and_switched_off_by_name() {
    let message = b"\x00\x01\x00\x1d\0\0\0\0\x61\x13\x80\x05LD/GB\x81\x01\x05\x85\x01\x04\x86\x01\x05\x89\x01\x00";
    let frame = [&[1, 0x0c, 0xcd, 1, 0, 1, 0, 0x16, 0x35, 6, 0xc9, 0xa5, 0x88, 0xb8][..], message].concat();
    for (link, told) in [(true, 2), (false, 0)] {
        let mut b = Bench::new(PipelineConfig { link, ..PipelineConfig::default() });
        b.frame(0, &frame);
        b.frame(1, &frame);
        b.flush();
        assert_eq!(b.seen.len(), told, "{:?}", b.services());
        assert!(b.seen.iter().all(|(_, e)| e.text(field::SRC_MAC) == "00:16:35:06:c9:a5" && e.text(field::OT_OBJECTS) == "LD/GB"));
    }
}

/// A DNS question for a name, as a datagram of its own.
fn question(name: &str) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.bytes());
    }
    out.extend([0, 0, 1, 0, 1]);
    out
}

/// Cuts an IPv4 frame of these tests into two fragments.
fn in_two(frame: &[u8], at: usize) -> [Vec<u8>; 2] {
    let (head, body) = frame.split_at(34);
    let (first, second) = body.split_at(at);
    let piece = |flags: u16, part: &[u8]| {
        let mut out = [head, part].concat();
        out[16..18].copy_from_slice(&(20 + part.len() as u16).to_be_bytes());
        out[20..22].copy_from_slice(&flags.to_be_bytes());
        out
    };
    [piece(0x2000, first), piece(at as u16 / 8, second)]
}

#[test]
fn a_question_in_fragments_is_read_once_and_its_frames_are_counted_once() {
    let whole = udp("10.0.0.1:5000", "10.0.0.2:53", &question("in.two.pieces.example"));
    for turned in [false, true] {
        let mut b = Bench::new(PipelineConfig::default());
        let [first, second] = in_two(&whole, 24);
        let order = if turned { [&second, &first] } else { [&first, &second] };
        for (n, frame) in order.into_iter().enumerate() {
            b.frame(n as i64, frame);
        }
        b.flush();
        let names: Vec<_> = b.seen.iter().map(|(_, e)| e.text(field::DNS_QUERY).into_owned()).filter(|q| !q.is_empty()).collect();
        assert_eq!(names, ["in.two.pieces.example"]);
        let stats = b.pipeline.stats();
        assert_eq!((stats.frames, stats.flows.packets, stats.fragments.whole, stats.fragments.lost), (2, 2, 1, 0));
        let packets: i64 = b.seen.iter().filter_map(|(_, e)| e.get(field::PACKETS)?.as_int()).sum();
        assert_eq!(packets, 2, "{:?}", b.seen);
    }
}

#[test]
fn a_question_in_fragments_of_ipv6_is_read() {
    let datagram = udp("10.0.0.1:5000", "10.0.0.2:53", &question("six.example"))[34..].to_vec();
    let piece = |offset: usize, more: bool, part: &[u8]| {
        let mut out = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0];
        // A destination option stands in front of the fragment header.
        out.extend((8 + 8 + part.len() as u16).to_be_bytes());
        out.extend([60, 64]);
        out.extend([0x20; 32]);
        out.extend([44, 0, 1, 4, 0, 0, 0, 0, 17, 0]);
        out.extend((offset as u16 | u16::from(more)).to_be_bytes());
        out.extend([0, 0, 0, 9]);
        out.extend_from_slice(part);
        out
    };
    let mut b = Bench::new(PipelineConfig::default());
    b.frame(0, &piece(16, false, &datagram[16..]));
    b.frame(1, &piece(0, true, &datagram[..16]));
    b.flush();
    let names: Vec<_> = b.seen.iter().map(|(_, e)| e.text(field::DNS_QUERY).into_owned()).filter(|q| !q.is_empty()).collect();
    assert_eq!(names, ["six.example"], "{:?}", b.seen);
}

#[test]
fn what_a_tunnel_carries_is_a_flow_of_its_own_that_names_the_tunnel() {
    let inner = udp("192.168.0.1:5000", "192.168.0.2:53", &question("inside.example"));
    let vxlan = |vni: u8, inner: &[u8]| udp("10.0.0.1:4000", "10.0.0.2:4789", &[&[8, 0, 0, 0, 0, 0, vni, 0], inner].concat());
    let mut b = Bench::new(PipelineConfig::default());
    b.frame(0, &vxlan(7, &inner));
    b.frame(1, &vxlan(8, &inner));
    b.frame(2, &vxlan(9, &vxlan(10, &vxlan(11, &vxlan(12, &vxlan(13, &inner))))));
    b.flush();
    let told: Vec<_> = b
        .seen
        .iter()
        .filter(|(_, e)| e.get(field::DNS_QUERY).is_some())
        .map(|(_, e)| format!("{} {} {}", e.text(field::SRC_IP), e.text(field::TUNNEL_TYPE), e.text(field::TUNNEL_ID)))
        .collect();
    assert_eq!(told, ["192.168.0.1 vxlan 7", "192.168.0.1 vxlan 8"], "the same addresses in two tunnels are two conversations");
    let deep: Vec<_> = b.seen.iter().filter(|(_, e)| e.text(field::ANOMALY_NAME) == "tunnel_deep").collect();
    assert_eq!(deep.len(), 1);
}
