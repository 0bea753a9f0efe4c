//! The table as its observer sees it, from hand-made frames.

use std::fmt::Write;

use event::Timestamp;

use super::*;
use crate::testing::{eth_tcp, eth_udp};
use crate::{Body, Frame, LinkType, decode};

#[derive(Default)]
struct Log(String);

impl Observer<()> for Log {
    fn report(&mut self, flow: &Flow, (): &mut (), report: Report, _: Timestamp) {
        let (o, r) = (flow.unreported(Side::Originator), flow.unreported(Side::Responder));
        let word = match report {
            Report::Ended(reason) => format!("end {}", reason.name()),
            other => format!("{other:?}").to_lowercase(),
        };
        let _ = writeln!(self.0, "{} {word} {} {} {}+{}", flow.originator.1, flow.state(), flow.history(), o.packets, r.packets);
    }
    fn stream(&mut self, flow: &Flow, (): &mut (), side: Side, chunk: Chunk<'_>, _: Timestamp) -> Want {
        let mark = if side == Side::Originator { '>' } else { '<' };
        let gap = if chunk.gap { "|" } else { "" };
        let _ = writeln!(self.0, "{}{mark}{gap}{}", flow.originator.1, String::from_utf8_lossy(chunk.bytes));
        Want::More
    }
    fn datagram(&mut self, _: &Flow, (): &mut (), _: Side, _: &[u8], _: Timestamp) -> Want {
        Want::Wake
    }
    fn wake(&mut self, flow: &Flow, (): &mut (), at: Timestamp) -> Want {
        let _ = writeln!(self.0, "{} wake {}", flow.originator.1, at.ms());
        Want::Stop
    }
}

struct Bench {
    table: FlowTable<()>,
    log: Log,
}

const C: &str = "10.0.0.1:40000";
const S: &str = "10.0.0.2:80";

impl Bench {
    fn new(config: FlowConfig) -> Self {
        Self { table: FlowTable::new(config), log: Log::default() }
    }
    fn frame(&mut self, ms: i64, interface: u16, bytes: &[u8]) {
        let frame = Frame { interface, ..Frame::new(Timestamp::from_ms(ms), LinkType::Ethernet, 0, bytes) };
        let decoded = decode(&frame);
        let Body::Ip(ip) = decoded.body else { panic!("not ip") };
        self.table.packet(&frame, &decoded, &ip, &mut self.log);
    }
    fn tcp(&mut self, ms: i64, src: &str, dst: &str, seq: u32, ack: u32, flags: u8, payload: &[u8]) {
        self.frame(ms, 0, &eth_tcp(src, dst, seq, ack, flags, payload));
    }
    fn said(&mut self) -> String {
        std::mem::take(&mut self.log.0)
    }
    fn flush(&mut self) -> String {
        self.table.flush(&mut self.log);
        assert!(self.table.is_empty());
        let stats = self.table.stats();
        assert_eq!(stats.flows_begun, stats.flows_ended);
        self.said()
    }
}

#[test]
fn a_whole_connection() {
    let mut b = Bench::new(FlowConfig::default());
    b.tcp(0, C, S, 100, 0, 2, b"");
    b.tcp(1, S, C, 500, 101, 0x12, b"");
    assert_eq!(b.said(), "40000 opened S1 Sh 1+1\n");
    b.tcp(2, C, S, 101, 501, 0x10, b"");
    b.tcp(3, C, S, 101, 501, 0x18, b"GET");
    b.tcp(4, S, C, 501, 104, 0x18, b"OK");
    b.tcp(5, C, S, 104, 503, 0x11, b"");
    b.tcp(6, S, C, 503, 105, 0x11, b"");
    b.tcp(7, C, S, 105, 504, 0x10, b"");
    assert_eq!(b.said(), "40000>GET\n40000<OK\n");
    b.tcp(4000, "10.0.0.9:9", "10.0.0.8:7", 0, 0, 2, b"");
    assert_eq!(b.said(), "40000 end fin SF ShADdFf 5+3\n");
}

#[test]
fn attempts_and_their_outcomes() {
    let mut b = Bench::new(FlowConfig::default());
    b.tcp(0, "10.0.0.1:1", S, 1, 0, 2, b"");
    b.tcp(1, S, "10.0.0.1:1", 0, 2, 0x14, b"");
    assert_eq!(b.said(), "1 refused REJ Sr 1+1\n");
    b.tcp(2, "10.0.0.1:2", S, 1, 0, 2, b"");
    b.tcp(500, "10.0.0.1:2", S, 1, 0, 2, b"");
    assert_eq!(b.said(), "");
    b.table.advance(Timestamp::from_ms(1003), &mut b.log);
    assert_eq!(b.said(), "2 unanswered S0 S 2+0\n");
    b.tcp(1100, "10.0.0.1:3", S, 1, 0, 2, b"");
    b.tcp(1101, S, "10.0.0.1:3", 9, 2, 0x12, b"");
    b.tcp(1102, "10.0.0.1:3", S, 2, 0, 4, b"");
    assert_eq!(b.said(), "3 opened S1 Sh 1+1\n");
    assert_eq!(b.flush(), "1 end rst REJ Sr 0+0\n3 end rst RSTO ShR 2+1\n2 end end S0 S 0+0\n");
}

#[test]
fn a_new_attempt_on_a_closed_flow_is_a_new_flow() {
    let mut b = Bench::new(FlowConfig::default());
    b.tcp(0, C, S, 1, 0, 2, b"");
    b.tcp(1, S, C, 0, 2, 0x14, b"");
    b.tcp(2, C, S, 77, 0, 2, b"");
    assert_eq!(b.said(), "40000 refused REJ Sr 1+1\n40000 end reused REJ Sr 0+0\n");
    assert_eq!(b.flush(), "40000 unanswered S0 S 1+0\n40000 end end S0 S 0+0\n");
}

#[test]
fn midstream_is_picked_up_and_the_service_port_is_the_responder() {
    let mut b = Bench::new(FlowConfig::default());
    b.tcp(0, S, C, 500, 100, 0x18, b"answer");
    b.tcp(1, C, S, 100, 506, 0x18, b"ask");
    assert_eq!(b.said(), "40000<answer\n40000>ask\n");
    assert_eq!(b.flush(), "40000 end end OTH ^dD 1+1\n");
}

#[test]
fn the_same_packet_on_a_second_interface_is_counted_apart() {
    let mut b = Bench::new(FlowConfig::default());
    let syn = eth_tcp(C, S, 1, 0, 2, b"");
    b.frame(0, 1, &syn);
    b.frame(0, 2, &syn);
    b.frame(5000, 2, &syn);
    assert_eq!(b.table.stats().seen_elsewhere, 1);
    assert_eq!(b.flush(), "40000 unanswered S0 S 1+0\n40000 end end S0 S 1+0\n");
}

#[test]
fn a_flood_of_attempts_pushes_out_attempts_and_no_connection() {
    let mut b = Bench::new(FlowConfig { flows_max: 100, ..FlowConfig::default() });
    b.tcp(0, C, S, 100, 0, 2, b"");
    b.tcp(0, S, C, 500, 101, 0x12, b"");
    for n in 0..10_000u32 {
        b.tcp(1, &format!("10.1.{}.{}:{}", n >> 8 & 255, n & 255, 2000 + n), S, n, 0, 2, b"");
    }
    let stats = b.table.stats();
    assert_eq!((b.table.len(), stats.evicted, stats.evicted_half_open), (100, 9_901, 9_901));
    b.said();
    b.tcp(2, C, S, 101, 501, 0x18, b"still here");
    assert_eq!(b.said(), "40000>still here\n");
}

#[test]
fn a_quiet_udp_flow_ends_and_wakes_come_on_time() {
    let mut b = Bench::new(FlowConfig::default());
    b.frame(0, 0, &eth_udp("10.0.0.1:5000", "10.0.0.2:53", b"q"));
    b.frame(10, 0, &eth_udp("10.0.0.2:53", "10.0.0.1:5000", b"a"));
    b.table.advance(Timestamp::from_ms(2000), &mut b.log);
    assert_eq!(b.said(), "5000 wake 1000\n");
    b.table.advance(Timestamp::from_ms(31_000), &mut b.log);
    assert_eq!(b.said(), "5000 end idle SF Dd 1+1\n");
}

#[test]
fn a_datagram_without_an_answer_is_told_after_a_second_and_once() {
    let mut b = Bench::new(FlowConfig::default());
    b.frame(0, 0, &eth_udp("10.0.0.1:5000", "10.0.0.2:161", b""));
    b.frame(10, 0, &eth_udp("10.0.0.1:5001", "10.0.0.2:162", b""));
    b.frame(20, 0, &eth_udp("10.0.0.2:162", "10.0.0.1:5001", b""));
    // Nobody in particular is asked.
    b.frame(30, 0, &eth_udp("10.0.0.1:5002", "239.255.255.250:1900", b""));
    b.frame(40, 0, &eth_udp("10.0.0.1:5003", "255.255.255.255:67", b""));
    assert_eq!(b.table.due(), Some(Timestamp::from_ms(1000)));
    b.table.advance(Timestamp::from_ms(999), &mut b.log);
    assert_eq!(b.said(), "");
    b.table.advance(Timestamp::from_ms(1500), &mut b.log);
    assert_eq!(b.said(), "5000 unanswered S0 D 1+0\n");
    b.frame(2_000, 0, &eth_udp("10.0.0.1:5000", "10.0.0.2:161", b""));
    b.frame(2_100, 0, &eth_udp("10.0.0.2:161", "10.0.0.1:5000", b""));
    b.table.advance(Timestamp::from_ms(4_000), &mut b.log);
    assert_eq!(b.said(), "");
    b.frame(4_100, 0, &eth_udp("10.0.0.1:5004", "10.0.0.2:163", b""));
    let said = b.flush();
    let ends: Vec<_> = said.lines().collect();
    assert_eq!(
        ends,
        [
            "5001 end end SF Dd 1+1",
            "5002 end end S0 D 1+0",
            "5003 end end S0 D 1+0",
            "5000 end end SF Dd 1+1",
            "5004 unanswered S0 D 1+0",
            "5004 end end S0 D 0+0",
        ]
    );
}

#[test]
fn a_long_flow_is_reported_on_its_way_and_the_parts_add_up() {
    let mut b = Bench::new(FlowConfig { idle_udp_ns: 1000 * event::SECOND_NS, ..FlowConfig::default() });
    for n in 0..8 {
        b.frame(n * 100_000, 0, &eth_udp("10.0.0.1:5000", "10.0.0.2:5001", b"x"));
    }
    let said = b.flush();
    let records: Vec<_> = said.lines().filter(|l| !l.contains("wake")).collect();
    assert_eq!(records, ["5000 unanswered S0 D 1+0", "5000 active S0 D 4+0", "5000 end end S0 D 3+0"]);
}

#[test]
fn time_that_jumps_back_neither_stops_timers_nor_ends_everything() {
    let mut b = Bench::new(FlowConfig::default());
    b.frame(100_000_000, 0, &eth_udp("10.0.0.1:5000", "10.0.0.2:53", b"q"));
    b.frame(99_999_000, 0, &eth_udp("10.0.0.1:5000", "10.0.0.2:53", b"q"));
    b.said();
    b.frame(5_000, 0, &eth_udp("10.0.0.3:5001", "10.0.0.2:53", b"q"));
    assert_eq!(b.table.len(), 2);
    b.table.advance(Timestamp::from_ms(40_000), &mut b.log);
    assert_eq!(b.table.len(), 0);
}

/// An observer that asks to be woken again and again must not be asked once for each second of a jump.
#[test]
fn a_jump_of_years_wakes_once() {
    #[derive(Default)]
    struct Eager(u32);
    impl Observer<()> for Eager {
        fn report(&mut self, _: &Flow, (): &mut (), _: Report, _: Timestamp) {}
        fn stream(&mut self, _: &Flow, (): &mut (), _: Side, _: Chunk<'_>, _: Timestamp) -> Want {
            Want::More
        }
        fn datagram(&mut self, _: &Flow, (): &mut (), _: Side, _: &[u8], _: Timestamp) -> Want {
            Want::Wake
        }
        fn wake(&mut self, _: &Flow, (): &mut (), _: Timestamp) -> Want {
            self.0 += 1;
            Want::Wake
        }
    }
    let mut table = FlowTable::<()>::new(FlowConfig { idle_udp_ns: i64::MAX, ..FlowConfig::default() });
    let mut eager = Eager::default();
    let bytes = eth_udp("10.0.0.1:5000", "10.0.0.2:53", b"q");
    let frame = Frame::new(Timestamp::from_secs(1), LinkType::Ethernet, 0, &bytes);
    let decoded = decode(&frame);
    let Body::Ip(ip) = decoded.body else { panic!() };
    table.packet(&frame, &decoded, &ip, &mut eager);
    for year in 1..4 {
        table.advance(Timestamp::from_secs(year * 31_000_000), &mut eager);
    }
    assert_eq!(eager.0, 3);
}
