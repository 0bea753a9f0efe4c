//! One flow of a capture, packet by packet: what was decoded, what the flow table made of it, which bytes a protocol reader got in which order, what
//! it said of them, and which oddities were met. `vedette-agent explain FILE --flow ID`.
//!
//! The packets of the flow go through the same decoder, table and readers as in live capture, alone in a table of their own; nothing here decides
//! anything. Oddities are told each time: the limits of a live sensor are left away.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use capture::{CaptureError, PacketSource};
use event::{Class, Event, Name, Timestamp, Value, field};
use packet::{Body, Chunk, Decoded, Flow, FlowTable, Frame, Ip, Observer, Report, Side, Transport, decode};
use proto::net::{Carrier, Emit, Enabled, Piece, Session};

use super::zeek;

/// A line of the explanation.
pub type Say<'a> = &'a mut dyn FnMut(&str);

/// Bytes of a piece that are shown.
const SHOWN_BYTES: usize = 32;

/// Every flow of a capture, a line each: id, ends, protocol, state, packets and bytes each way, Community ID.
pub fn list(path: &Path, say: Say<'_>) -> Result<(), CaptureError> {
    let mut all = zeek::Zeek::default();
    let mut line = |log: &'static str, v: serde_json::Value| {
        if log != "conn" {
            return;
        }
        let text = |key: &str| v[key].as_str().map_or_else(|| v[key].to_string(), str::to_owned);
        let service = v["service"].as_str().unwrap_or("-");
        let uid = text("uid").trim_start_matches('C').replace('x', ".");
        say(&format!(
            "{:<26} {}:{} > {}:{} {} {service} {} packets {}/{} {}",
            uid,
            text("id.orig_h"),
            text("id.orig_p"),
            text("id.resp_h"),
            text("id.resp_p"),
            text("proto"),
            text("conn_state"),
            text("orig_pkts"),
            text("resp_pkts"),
            text("community_id")
        ));
    };
    super::replay_with(path, zeek::config(), &mut |_, event| all.event(&event, &mut line))?;
    all.finish(&mut line);
    Ok(())
}

/// Who speaks with whom in the flow that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ends {
    a: (IpAddr, Option<u16>),
    b: (IpAddr, Option<u16>),
    protocol: i64,
}

/// Explains the flow of this id (`connection.uid` of its events, a `uid` of Zeek's form, or a Community ID); false if the file has none such.
pub fn flow(path: &Path, wanted: &str, say: Say<'_>) -> Result<bool, CaptureError> {
    let mut ends = None;
    super::replay_with(path, zeek::config(), &mut |_, event| {
        if ends.is_none() {
            ends = find(&event, wanted);
        }
    })?;
    let Some(ends) = ends else { return Ok(false) };
    let mut source = super::replay::open(path)?;
    let mut table = FlowTable::<Session>::new(zeek::config().flows);
    let (mut number, mut shown, mut first) = (0u64, 0u64, None);
    while let Some(frame) = source.next(Duration::ZERO)? {
        number += 1;
        let decoded = decode(&frame);
        let Body::Ip(ip) = &decoded.body else { continue };
        if !ends.hold(ip) {
            continue;
        }
        shown += 1;
        let first = *first.get_or_insert(frame.time);
        say(&headline(number, first, &frame, &decoded, ip));
        for anomaly in decoded.anomalies.iter() {
            say(&format!("        oddity     {}: {}", anomaly.name(), anomaly.about()));
        }
        table.packet(&frame, &decoded, ip, &mut Teller { say: &mut *say });
    }
    say("the end of the capture");
    table.flush(&mut Teller { say: &mut *say });
    say(&format!("{shown} packets of {number} in the file"));
    Ok(true)
}

fn find(event: &Event, wanted: &str) -> Option<Ends> {
    let is = |f| event.get(f).and_then(Value::as_str).is_some_and(|t| t == wanted || format!("C{}", t.replace('.', "x")) == wanted);
    if !is(field::FLOW_UID) && event.get(field::COMMUNITY_ID).and_then(Value::as_str) != Some(wanted) {
        return None;
    }
    let port = |f| event.get(f).and_then(Value::as_int).and_then(|p| u16::try_from(p).ok());
    let ip = |f| event.get(f).and_then(Value::as_ip);
    let protocol = event.get(field::PROTOCOL_NUM).and_then(Value::as_int)?;
    Some(Ends { a: (ip(field::SRC_IP)?, port(field::SRC_PORT)), b: (ip(field::DST_IP)?, port(field::DST_PORT)), protocol })
}

impl Ends {
    fn hold(&self, ip: &Ip<'_>) -> bool {
        let (src, dst) = ports(ip).map_or((None, None), |(s, d)| (Some(s), Some(d)));
        let is = |from: &(IpAddr, Option<u16>), to: &(IpAddr, Option<u16>)| {
            ip.src == from.0 && ip.dst == to.0 && (from.1.is_none() || src.is_none() || (from.1, to.1) == (src, dst))
        };
        i64::from(ip.protocol) == self.protocol && (is(&self.a, &self.b) || is(&self.b, &self.a))
    }
}

fn ports(ip: &Ip<'_>) -> Option<(u16, u16)> {
    match &ip.transport {
        Transport::Tcp(tcp) => Some((tcp.src_port, tcp.dst_port)),
        Transport::Udp(udp) => Some((udp.src_port, udp.dst_port)),
        Transport::Other { ports, .. } => *ports,
        Transport::Icmp(_) => None,
    }
}

fn headline(number: u64, first: Timestamp, frame: &Frame<'_>, decoded: &Decoded<'_>, ip: &Ip<'_>) -> String {
    let end = |address: IpAddr, port: Option<u16>| {
        port.map_or_else(|| address.to_string(), |p| std::net::SocketAddr::new(address, p).to_string())
    };
    let both = ports(ip);
    let mut line = format!(
        "#{number} {:+.6} s {} > {}",
        frame.time.since(first) as f64 / 1e9,
        end(ip.src, both.map(|p| p.0)),
        end(ip.dst, both.map(|p| p.1))
    );
    match &ip.transport {
        Transport::Tcp(tcp) => {
            let flags: String = [(2u8, 'S'), (16, 'A'), (8, 'P'), (1, 'F'), (4, 'R'), (32, 'U'), (64, 'E'), (128, 'C')]
                .iter()
                .filter(|(bit, _)| tcp.flags.0 & bit != 0)
                .map(|(_, letter)| *letter)
                .collect();
            line.push_str(&format!(" tcp {flags} seq {} ack {} window {} payload {}", tcp.seq, tcp.ack, tcp.window, tcp.payload.len()));
        }
        Transport::Udp(udp) => line.push_str(&format!(" udp payload {}", udp.payload.len())),
        Transport::Icmp(icmp) => line.push_str(&format!(" icmp type {} code {}", icmp.kind, icmp.code)),
        Transport::Other { .. } => line.push_str(&format!(" ip protocol {}", ip.protocol)),
    }
    line.push_str(&format!(", {} bytes", frame.len));
    if (frame.bytes.len() as u64) < u64::from(frame.len) {
        line.push_str(&format!(" ({} captured)", frame.bytes.len()));
    }
    if let Some(vlan) = decoded.vlan {
        line.push_str(&format!(", vlan {vlan}"));
    }
    line
}

/// Says what the table and the readers do.
struct Teller<'s, 'o> {
    say: &'s mut (dyn FnMut(&str) + 'o),
}

impl Teller<'_, '_> {
    fn line(&mut self, what: &str, text: &str) {
        (self.say)(&format!("        {what:<10} {text}"));
    }

    fn feed(&mut self, flow: &Flow, session: &mut Session, carrier: Carrier, piece: Piece<'_>) -> packet::Want {
        let before = session.protocol();
        let want = session.feed(carrier, Enabled::ALL, piece, &mut Spoken { teller: self });
        if session.protocol() != before {
            self.line("protocol", &format!("{}, by its content", session.protocol().unwrap_or("none")));
        }
        self.line("state", &format!("{}, history {}, reader wants {}", flow.state(), flow.history(), wish(want)));
        match want {
            proto::net::Want::More => packet::Want::More,
            proto::net::Want::Wake => packet::Want::Wake,
            proto::net::Want::Whole => packet::Want::Whole,
            proto::net::Want::Stop => packet::Want::Stop,
        }
    }
}

fn wish(want: proto::net::Want) -> &'static str {
    match want {
        proto::net::Want::More => "more",
        proto::net::Want::Wake => "more, and to be woken in a second",
        proto::net::Want::Whole => "everything to the end of the flow",
        proto::net::Want::Stop => "nothing more of this flow",
    }
}

fn arrow(side: Side) -> &'static str {
    if side == Side::Originator { "→" } else { "←" }
}

fn shown(bytes: &[u8]) -> String {
    let text: String = bytes.iter().take(SHOWN_BYTES).map(|b| if b.is_ascii_graphic() || *b == b' ' { *b as char } else { '·' }).collect();
    format!("{text}{}", if bytes.len() > SHOWN_BYTES { "…" } else { "" })
}

impl Observer<Session> for Teller<'_, '_> {
    fn report(&mut self, flow: &Flow, session: &mut Session, report: Report, at: Timestamp) {
        if let Report::Ended(_) = report {
            session.end(at, &mut Spoken { teller: self });
        }
        let word = match report {
            Report::Opened => "the attempt was accepted".to_owned(),
            Report::Refused => "the attempt was refused".to_owned(),
            Report::Unanswered => "nobody answered in time".to_owned(),
            Report::Active => "the flow goes on".to_owned(),
            Report::Ended(reason) => format!("the flow is over ({})", reason.name()),
        };
        let [o, r] = [Side::Originator, Side::Responder].map(|s| flow.count(s));
        let began = if flow.midstream() { ", joined in the middle" } else { "" };
        self.line(
            "decision",
            &format!(
                "{word}{began}: state {}, history {}, packets {}/{}, bytes {}/{}",
                flow.state(),
                flow.history(),
                o.packets,
                r.packets,
                o.bytes,
                r.bytes
            ),
        );
    }

    fn stream(&mut self, flow: &Flow, session: &mut Session, side: Side, chunk: Chunk<'_>, at: Timestamp) -> packet::Want {
        let gap = if chunk.gap { ", bytes before them are missing" } else { "" };
        self.line("stream", &format!("{} {} bytes in order{gap}: {}", arrow(side), chunk.bytes.len(), shown(chunk.bytes)));
        let side = if side == Side::Originator { proto::net::Side::Originator } else { proto::net::Side::Responder };
        self.feed(flow, session, Carrier::Tcp, Piece { side, bytes: chunk.bytes, gap: chunk.gap, time: at })
    }

    fn datagram(&mut self, flow: &Flow, session: &mut Session, side: Side, bytes: &[u8], at: Timestamp) -> packet::Want {
        self.line("datagram", &format!("{} {} bytes: {}", arrow(side), bytes.len(), shown(bytes)));
        let side = if side == Side::Originator { proto::net::Side::Originator } else { proto::net::Side::Responder };
        self.feed(flow, session, Carrier::Udp, Piece { side, bytes, gap: false, time: at })
    }

    fn wake(&mut self, _flow: &Flow, session: &mut Session, at: Timestamp) -> packet::Want {
        match session.wake(at, &mut Spoken { teller: self }) {
            proto::net::Want::More => packet::Want::More,
            proto::net::Want::Wake => packet::Want::Wake,
            proto::net::Want::Whole => packet::Want::Whole,
            proto::net::Want::Stop => packet::Want::Stop,
        }
    }
}

/// What a protocol reader says.
struct Spoken<'t, 's, 'o> {
    teller: &'t mut Teller<'s, 'o>,
}

impl Emit for Spoken<'_, '_, '_> {
    fn event(&mut self, class: Class, event: Event) {
        let fields: Vec<String> = event
            .body
            .iter()
            .map(|(name, value)| {
                let name = match name {
                    Name::Known(field) => field.name().to_owned(),
                    other => other.as_str().to_owned(),
                };
                format!("{name}={}", value.to_text().chars().take(80).collect::<String>())
            })
            .collect();
        self.teller.line("event", &format!("{} {}: {}", class.name(), event.source, fields.join(" ")));
    }
    fn anomaly(&mut self, name: &'static str, detail: &str, _time: Timestamp) {
        self.teller.line("oddity", &format!("{name}: {detail}"));
    }
}
