//! What the pipeline hears of flows and protocols, put into events: who spoke with whom on each of them, records of flows, anomalies as far
//! as the limits let them pass.

use std::net::IpAddr;

use event::{Class, Event, Kind, LogSource, Timestamp, Value, field};
use packet::{Body, Chunk, Decoded, EndReason, Flow, Frame, Observer, Report, Side, Tunnel};
use proto::net::{Carrier, Emit, Enabled, Piece, Session, anomaly_event, arp, link};

use super::facts::{self, Attempt, Facts, Outcome, Say};
use super::limits::{Budget, Limiter};
use super::pipeline::Sink;

/// What the observer keeps between frames.
pub(super) struct Ear {
    pub(super) protocols: Enabled,
    pub(super) arp: Option<arp::Watch>,
    pub(super) link: Option<link::Watch>,
    pub(super) local: Vec<IpAddr>,
    pub(super) facts: Option<Box<Facts>>,
    pub(super) payload: bool,
    pub(super) interfaces: Vec<Box<str>>,
    pub(super) anomalies: Limiter,
    pub(super) records: Budget,
    pub(super) silent: bool,
    /// Time of the table, as of the frame before.
    pub(super) now: Timestamp,
    pub(super) events: u64,
}

/// The observer of one call.
pub(super) struct Voice<'e, 'o> {
    pub(super) ear: &'e mut Ear,
    pub(super) out: &'e mut Sink<'o>,
}

impl Voice<'_, '_> {
    pub(super) fn tell(&mut self, class: Class, event: Event) {
        self.ear.events += 1;
        if matches!(event.source.category.as_deref(), Some("dns" | "ot")) {
            self.facts(|facts, say| facts.event(&event, say));
        }
        (self.out)(class, event);
    }

    /// Lets the facts see something and tells what they say.
    pub(super) fn facts(&mut self, see: impl FnOnce(&mut Facts, Say<'_>)) {
        let Ear { facts: Some(facts), events, .. } = &mut *self.ear else { return };
        let out = &mut *self.out;
        see(facts, &mut |event| {
            *events += 1;
            out(Class::Normal, event);
        });
    }

    /// What the facts want to know of an IP packet.
    pub(super) fn packet(&mut self, ip: &packet::Ip<'_>, decoded: &Decoded<'_>, frame: &Frame<'_>) {
        let (icmp_kind, port, is_attempt) = match &ip.transport {
            packet::Transport::Tcp(tcp) => (0, Some(tcp.dst_port), tcp.flags.syn() && !tcp.flags.ack()),
            packet::Transport::Udp(udp) => (0, Some(udp.dst_port), false),
            packet::Transport::Icmp(icmp) => (icmp.kind, None, false),
            packet::Transport::Other { .. } => (0, None, false),
        };
        let seen = facts::Packet {
            time: frame.time,
            src: ip.src,
            dst: ip.dst,
            protocol: ip.protocol,
            icmp_kind,
            port,
            card: decoded.src_mac,
            is_attempt,
            bytes: frame.len,
        };
        self.facts(|facts, say| {
            facts.packet(&seen, say);
            if let packet::Transport::Icmp(icmp) = &ip.transport
                && icmp.v6
                && matches!(icmp.kind, 135 | 136)
            {
                facts.nd(icmp.kind, ip.src, icmp.payload, frame.time, say);
            }
        });
    }

    /// What the facts want to know of a flow; before the report is told, so that what is counted is not yet taken.
    pub(super) fn flow(&mut self, flow: &Flow, report: Report, at: Timestamp) {
        let outcome = match report {
            Report::Opened => Some(Outcome::Opened),
            Report::Refused | Report::Unanswered => Some(Outcome::Failed),
            Report::Ended(_) if flow.protocol == 17 && flow.has_ports() && flow.state() == "SF" => Some(Outcome::Opened),
            _ => None,
        };
        let ((src, _), (dst, port)) = (flow.originator, flow.responder);
        let attempt = outcome.map(|outcome| Attempt { time: at, src, dst, port, protocol: flow.protocol, outcome });
        let (sent, back) = (flow.unreported(Side::Originator).bytes, flow.unreported(Side::Responder).bytes);
        self.facts(|facts, say| {
            if let Some(attempt) = &attempt {
                facts.attempt(attempt, flow.start, say);
            }
            if report != Report::Opened {
                facts.volume(src, dst, sent, back, at, say);
            }
            if let (Some(card), true) = (flow.macs[0], facts::is_inside(src)) {
                facts.device(card, Some(src), at, say);
            }
        });
    }

    pub(super) fn arp(&mut self, packet: &packet::Arp, decoded: &Decoded<'_>, frame: &Frame<'_>) {
        let Some(mut watch) = self.ear.arp.take() else { return };
        let packet = arp::Packet {
            operation: packet.operation,
            sender_mac: packet.sender_mac,
            sender_ip: packet.sender_ip,
            target_mac: packet.target_mac,
            target_ip: packet.target_ip,
            frame_mac: decoded.src_mac,
        };
        if matches!(packet.operation, 1 | 2) {
            self.facts(|facts, say| facts.claim(packet.sender_mac, packet.sender_ip.into(), "arp", frame.time, say));
        }
        let mut emit = Plain { voice: self, vlan: decoded.vlan, interface: frame.interface };
        watch.packet(&packet, frame.time, &mut emit);
        self.ear.arp = Some(watch);
    }

    pub(super) fn link(&mut self, ether_type: u16, payload: &[u8], decoded: &Decoded<'_>, frame: &Frame<'_>) {
        let Some(mut watch) = self.ear.link.take() else { return };
        let (source, destination) = (decoded.src_mac.unwrap_or_default(), decoded.dst_mac.unwrap_or_default());
        let said = link::Frame { ether_type, payload, source, destination, time: frame.time };
        watch.frame(&said, &mut Plain { voice: self, vlan: decoded.vlan, interface: frame.interface });
        self.ear.link = Some(watch);
    }

    pub(super) fn decoder_anomalies(&mut self, decoded: &Decoded<'_>, frame: &Frame<'_>) {
        for anomaly in decoded.anomalies.iter() {
            let Some(count) = self.ear.anomalies.pass(anomaly.name(), frame.time) else { continue };
            let mut event = anomaly_event(anomaly.name(), anomaly.about(), "decoder", frame.time);
            if let Body::Ip(ip) = &decoded.body {
                event.body.set(field::SRC_IP, ip.src);
                event.body.set(field::DST_IP, ip.dst);
                event.body.set(field::PROTOCOL, protocol_name(ip.protocol));
                let ports = match &ip.transport {
                    packet::Transport::Tcp(t) => Some((t.src_port, t.dst_port)),
                    packet::Transport::Udp(u) => Some((u.src_port, u.dst_port)),
                    packet::Transport::Other { ports, .. } => *ports,
                    packet::Transport::Icmp(_) => None,
                };
                event.body.set_some(field::SRC_PORT, ports.map(|p| p.0));
                event.body.set_some(field::DST_PORT, ports.map(|p| p.1));
                if let packet::Transport::Tcp(tcp) = &ip.transport {
                    event.body.set(field::TCP_FLAGS, tcp.flags.0);
                }
            }
            event.body.set_some(field::SRC_MAC, decoded.src_mac.map(Value::mac));
            self.place(&mut event, decoded.vlan, frame.interface);
            Self::tunnel(&mut event, decoded.tunnel);
            if count > 1 {
                event.body.set(field::COUNT, count);
            }
            self.tell(Class::Normal, event);
        }
    }

    /// Says how many flow records were left out in the second that is over.
    pub(super) fn sampled(&mut self, now: Timestamp) {
        if let Some((second, count)) = self.ear.records.settle(now) {
            let about = "flow records past the limit of a second, counted instead of told";
            let event = anomaly_event("flow_records_sampled", about, "sensor", second).with(field::COUNT, count);
            self.tell(Class::Normal, event);
        }
        let lost = self.ear.facts.as_mut().map_or([None; 2], |facts| facts.declare(now));
        for (name, about, count) in lost.into_iter().flatten() {
            self.tell(Class::Normal, anomaly_event(name, about, "sensor", now).with(field::COUNT, count));
        }
    }

    pub(super) fn tunnel(event: &mut Event, tunnel: Option<Tunnel>) {
        if let Some(tunnel) = tunnel {
            event.body.set(field::TUNNEL_TYPE, tunnel.kind.name());
            event.body.set_some(field::TUNNEL_ID, tunnel.id);
        }
    }

    pub(super) fn place(&self, event: &mut Event, vlan: Option<u16>, interface: u16) {
        event.body.set_some(field::VLAN, vlan);
        event.body.set_some(field::DEVICE_INTERFACE, self.ear.interfaces.get(usize::from(interface)).map(|n| &**n));
    }

    /// A parser's anomaly, if the limit lets it be told.
    fn oddity(&mut self, name: &'static str, detail: &str, time: Timestamp) -> Option<Event> {
        let count = self.ear.anomalies.pass(name, time)?;
        let mut event = anomaly_event(name, detail, "parser", time);
        if count > 1 {
            event.body.set(field::COUNT, count);
        }
        Some(event)
    }

    /// Who spoke with whom, on every event of a flow. No parser sets these itself.
    pub(super) fn dress(&self, event: &mut Event, flow: &Flow) {
        let body = &mut event.body;
        // No more than is needed: past a kilobyte an allocator looks around.
        let more = [
            !self.ear.local.is_empty(),
            !self.ear.interfaces.is_empty(),
            flow.vlan.is_some(),
            flow.tunnel.is_some(),
            flow.tunnel.is_some(),
        ];
        body.reserve(DRESS_FIELDS + more.into_iter().map(usize::from).sum::<usize>());
        body.put(field::SRC_IP, flow.originator.0);
        body.put(field::DST_IP, flow.responder.0);
        if flow.has_ports() {
            body.put(field::SRC_PORT, flow.originator.1);
            body.put(field::DST_PORT, flow.responder.1);
        }
        body.put(field::PROTOCOL, protocol_name(flow.protocol));
        body.put(field::COMMUNITY_ID, flow.community_id());
        body.put(field::FLOW_UID, flow_uid(flow));
        body.set_some(field::DIRECTION_ID, self.direction(flow));
        self.place(event, flow.vlan, flow.interface);
        Self::tunnel(event, flow.tunnel);
    }

    /// 1 inbound, 2 outbound, 3 within the host.
    pub(super) fn direction(&self, flow: &Flow) -> Option<u8> {
        let local = |ip: IpAddr| self.ear.local.contains(&ip) || ip.is_loopback();
        if self.ear.local.is_empty() {
            return None;
        }
        match (local(flow.originator.0), local(flow.responder.0)) {
            (true, true) => Some(3),
            (true, false) => Some(2),
            (false, true) => Some(1),
            (false, false) => None,
        }
    }

    pub(super) fn record(&mut self, flow: &Flow, session: &Session, activity: u8, end: Option<EndReason>, at: Timestamp) {
        // By the table's time: that of a flow which ends may lie long before it.
        let now = self.ear.now;
        self.sampled(now);
        if !self.ear.records.take(now) {
            return;
        }
        if self.ear.silent {
            self.ear.events += 1;
            return;
        }
        let mut event = Event::new(at, Kind::NetworkActivity, activity, LogSource::new("", "network_connection", "flow"));
        event.body.reserve(RECORD_FIELDS);
        // In the order in which a line of JSON has them: the writer then has nothing to sort.
        let body = &mut event.body;
        if let Some(name) = session.protocol() {
            body.put(field::APP_NAME, name);
        }
        body.put(field::COMMUNITY_ID, flow.community_id());
        body.set_some(field::DIRECTION_ID, self.direction(flow));
        if flow.protocol == 6 || self.ear.payload {
            body.put(field::FLAG_HISTORY, flow.history());
        }
        body.put(field::PROTOCOL, protocol_name(flow.protocol));
        body.put(field::PROTOCOL_NUM, flow.protocol);
        body.put(field::IP_VERSION, if flow.is_ipv6() { 6u8 } else { 4 });
        if flow.protocol == 6 {
            body.put(field::TCP_FLAGS, flow.tcp_flags());
        }
        body.put(field::FLOW_UID, flow_uid(flow));
        let told = activity != OPEN;
        for (ip, mac, port, (address, number), link) in [
            (field::DST_IP, field::DST_MAC, field::DST_PORT, flow.responder, flow.macs[1]),
            (field::SRC_IP, field::SRC_MAC, field::SRC_PORT, flow.originator, flow.macs[0]),
        ] {
            if told && ip == field::SRC_IP {
                body.put(field::DURATION_MS, flow.last.since(flow.start).max(0) / 1_000_000);
                body.put(field::END_TIME, flow.last.ms());
            }
            body.put(ip, address);
            if let Some(link) = link {
                body.put(mac, Value::mac(link));
            }
            if flow.has_ports() {
                body.put(port, number);
            }
        }
        if told {
            let (o, r) = (flow.unreported(Side::Originator), flow.unreported(Side::Responder));
            body.put(field::START_TIME, flow.start.ms());
            body.put(field::BYTES, o.bytes + r.bytes);
            body.put(field::BYTES_IN, r.bytes);
            body.put(field::BYTES_OUT, o.bytes);
            body.put(field::PACKETS, o.packets + r.packets);
            body.put(field::PACKETS_IN, r.packets);
            body.put(field::PACKETS_OUT, o.packets);
        }
        if self.ear.payload {
            body.put(field::PAYLOAD_IN, flow.payload(Side::Responder));
            body.put(field::PAYLOAD_OUT, flow.payload(Side::Originator));
        }
        if let Some(reason) = end {
            body.put(field::CONN_CLOSE, reason.name());
        }
        if let Some((kind, code)) = flow.icmp {
            body.put(field::ICMP_CODE, code);
            body.put(field::ICMP_TYPE, kind);
        }
        body.put(field::CONN_STATE, flow.state());
        self.place(&mut event, flow.vlan, flow.interface);
        Self::tunnel(&mut event, flow.tunnel);
        let class = if matches!(activity, OPEN | FAIL | REFUSE) { Class::Normal } else { Class::Bulk };
        self.tell(class, event);
    }

    pub(super) fn feed(&mut self, flow: &Flow, session: &mut Session, carrier: Carrier, piece: Piece<'_>) -> packet::Want {
        let protocols = self.ear.protocols;
        let mut emit = OfFlow { voice: self, flow };
        let want = want(session.feed(carrier, protocols, piece, &mut emit));
        if piece.side == proto::net::Side::Originator
            && let Some(protocol) = session.protocol().filter(|p| CONTROL.contains(p))
            && let Some(facts) = &mut self.ear.facts
        {
            facts.request(flow.originator.0, flow.responder.0, flow.responder.1, protocol, piece.time);
        }
        want
    }
}

/// What `dress` always sets, and room for a record of a flow: as much as an allocator gives without looking around (a kilobyte).
const DRESS_FIELDS: usize = 7;
const RECORD_FIELDS: usize = 25;

/// `<start in microseconds, hex>.<number of the flow, hex>`.
fn flow_uid(flow: &Flow) -> Value {
    let mut digits = [0u8; 33];
    let mut len = 0;
    for n in [(flow.start.ns() / 1000).cast_unsigned(), flow.serial] {
        if len > 0 {
            digits[len] = b'.';
            len += 1;
        }
        let count = (64 - n.leading_zeros()).div_ceil(4).max(1);
        for at in (0..count).rev() {
            digits[len] = b"0123456789abcdef"[(n >> (4 * at) & 15) as usize];
            len += 1;
        }
    }
    Value::ascii(&digits[..len])
}

/// Protocols in which a master polls.
const CONTROL: [&str; 8] = ["modbus", "dnp3", "iec104", "s7comm", "enip", "opcua", "bacnet", "c37118"];

/// OCSF `activity_id` of network_activity.
const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const RESET: u8 = 3;
const FAIL: u8 = 4;
const REFUSE: u8 = 5;
const TRAFFIC: u8 = 6;

impl Observer<Session> for Voice<'_, '_> {
    fn report(&mut self, flow: &Flow, session: &mut Session, report: Report, at: Timestamp) {
        self.flow(flow, report, at);
        match report {
            Report::Opened => self.record(flow, session, OPEN, None, at),
            Report::Refused => self.record(flow, session, REFUSE, None, at),
            Report::Unanswered => self.record(flow, session, FAIL, None, at),
            Report::Active => self.record(flow, session, TRAFFIC, None, at),
            Report::Ended(reason) => {
                session.end(at, &mut OfFlow { voice: self, flow });
                // A refused or unanswered attempt has been told; only what came after it is new.
                let attempt_only = flow.waits_for_answer() || flow.state() == "REJ";
                let nothing_new = flow.unreported(Side::Originator).packets + flow.unreported(Side::Responder).packets == 0;
                if attempt_only && nothing_new {
                    return;
                }
                let activity = match (flow.protocol, flow.state()) {
                    (6, "RSTO" | "RSTR" | "RSTRH") => RESET,
                    (6, _) if attempt_only => TRAFFIC,
                    (6, _) if reason == EndReason::Rst => RESET,
                    (6, _) => CLOSE,
                    _ => TRAFFIC,
                };
                self.record(flow, session, activity, Some(reason), at);
            }
        }
    }

    fn stream(&mut self, flow: &Flow, session: &mut Session, side: Side, chunk: Chunk<'_>, at: Timestamp) -> packet::Want {
        let piece = Piece { side: proto_side(side), bytes: chunk.bytes, gap: chunk.gap, time: at };
        self.feed(flow, session, Carrier::Tcp, piece)
    }

    fn datagram(&mut self, flow: &Flow, session: &mut Session, side: Side, bytes: &[u8], at: Timestamp) -> packet::Want {
        self.feed(flow, session, Carrier::Udp, Piece { side: proto_side(side), bytes, gap: false, time: at })
    }

    fn wake(&mut self, flow: &Flow, session: &mut Session, at: Timestamp) -> packet::Want {
        want(session.wake(at, &mut OfFlow { voice: self, flow }))
    }
}

fn proto_side(side: Side) -> proto::net::Side {
    match side {
        Side::Originator => proto::net::Side::Originator,
        Side::Responder => proto::net::Side::Responder,
    }
}

fn want(want: proto::net::Want) -> packet::Want {
    match want {
        proto::net::Want::More => packet::Want::More,
        proto::net::Want::Wake => packet::Want::Wake,
        proto::net::Want::Whole => packet::Want::Whole,
        proto::net::Want::Stop => packet::Want::Stop,
    }
}

/// Adds the flow to whatever a parser says.
struct OfFlow<'v, 'e, 'o, 'f> {
    voice: &'v mut Voice<'e, 'o>,
    flow: &'f Flow,
}

impl Emit for OfFlow<'_, '_, '_, '_> {
    fn event(&mut self, class: Class, mut event: Event) {
        self.voice.dress(&mut event, self.flow);
        self.voice.tell(class, event);
    }
    fn asked(&mut self, by: proto::net::Side, class: Class, mut event: Event) {
        self.voice.dress(&mut event, self.flow);
        if by == proto::net::Side::Responder {
            turn(&mut event, self.flow);
        }
        self.voice.tell(class, event);
    }
    fn anomaly(&mut self, name: &'static str, detail: &str, time: Timestamp) {
        if let Some(event) = self.voice.oddity(name, detail, time) {
            self.event(Class::Normal, event);
        }
    }
}

/// Makes the responder the source: for conversations where the side that asks did not open the flow, or the opening was not seen.
fn turn(event: &mut Event, flow: &Flow) {
    let body = &mut event.body;
    body.set(field::SRC_IP, flow.responder.0);
    body.set(field::DST_IP, flow.originator.0);
    if flow.has_ports() {
        body.set(field::SRC_PORT, flow.responder.1);
        body.set(field::DST_PORT, flow.originator.1);
    }
    match body.get(field::DIRECTION_ID).and_then(Value::as_int) {
        Some(1) => body.set(field::DIRECTION_ID, 2),
        Some(2) => body.set(field::DIRECTION_ID, 1),
        _ => {}
    }
}

/// Adds place only: ARP has no flow.
pub(super) struct Plain<'v, 'e, 'o> {
    pub(super) voice: &'v mut Voice<'e, 'o>,
    pub(super) vlan: Option<u16>,
    pub(super) interface: u16,
}

impl Emit for Plain<'_, '_, '_> {
    fn event(&mut self, class: Class, mut event: Event) {
        self.voice.place(&mut event, self.vlan, self.interface);
        self.voice.tell(class, event);
    }
    fn anomaly(&mut self, name: &'static str, detail: &str, time: Timestamp) {
        if let Some(event) = self.voice.oddity(name, detail, time) {
            self.event(Class::Normal, event);
        }
    }
}

/// Name of an IP protocol, as flow records write it.
pub(super) fn protocol_name(number: u8) -> Value {
    Value::from(match number {
        1 => "icmp",
        2 => "igmp",
        4 => "ipip",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        41 => "ipv6",
        46 => "rsvp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "icmpv6",
        88 => "eigrp",
        89 => "ospf",
        103 => "pim",
        112 => "vrrp",
        115 => "l2tp",
        132 => "sctp",
        136 => "udplite",
        other => return Value::from(format!("ip{other}")),
    })
}
