//! Frames in, events out: where `packet` (flows) and `proto` (protocols) meet. Live capture, replay and simulation all come
//! through `Pipeline::frame`; it reads no clock and does no I/O, and the same frames give the same events, always.
//!
//! - A TCP attempt is told at once when it is accepted (`open`), refused (`refuse`) or unanswered for a second (`fail`, also for
//!   a first datagram to one host); the rest of a flow is told at its end, or every `active_ns` while it goes on. Traffic counts of a flow's records add up to
//!   the flow: each record carries what was counted since the one before it (`open` carries none).
//! - Records past `records_per_second` of packet time, and anomalies past a few of one name, are counted instead of told
//!   (`flow_records_sampled`, `count`), so that a flood in the network is not a flood of events.

use std::collections::HashMap;
use std::net::IpAddr;

use super::facts::{self, Attempt, Facts, Outcome, Say};
use event::{Class, Event, Field, Kind, LogSource, SECOND_NS, Timestamp, Value, field};
use packet::{
    Anomalies, Anomaly, Body, Chunk, Decoded, EndReason, Flow, FlowConfig, FlowStats, FlowTable, FragmentStats, Fragments, Frame, Inside,
    LinkType, Observer, Report, Side, Taken, Tunnel, decode,
};
use proto::net::{Carrier, Emit, Enabled, Piece, Session, anomaly_event, arp, link};

/// Where events go.
pub type Sink<'a> = dyn FnMut(Class, Event) + 'a;

/// How a pipeline reads.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineConfig {
    pub flows: FlowConfig,
    pub protocols: Enabled,
    pub arp: bool,
    /// GOOSE, sampled values and PROFINET DCP.
    pub link: bool,
    /// False: flow records are counted and not made, for those who want to know only that a file can be read.
    pub records: bool,
    /// Flow records told in one second of packet time.
    pub records_per_second: u32,
    /// Addresses of the watched host, to tell inbound from outbound; empty where there is no such host (a tap, a file).
    pub local: Vec<IpAddr>,
    /// Facts over time (`facts.rs`), and the key of their hashes: chance on a link, fixed for a file. `None`: no facts.
    pub facts: Option<u64>,
    /// Flow records say payload bytes, and the history of datagrams too.
    pub payload: bool,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            flows: FlowConfig::default(),
            protocols: Enabled::ALL,
            arp: true,
            link: true,
            records: true,
            records_per_second: 2000,
            local: Vec::new(),
            facts: Some(0),
            payload: false,
        }
    }
}

/// Counters, each rising only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PipelineStats {
    pub frames: u64,
    pub bytes: u64,
    /// Frames that were neither IP nor ARP, or could not be read.
    pub other: u64,
    pub events: u64,
    /// Flow records that were counted instead of told.
    pub records_sampled: u64,
    /// Anomalies that were counted instead of told.
    pub anomalies_held: u64,
    /// Facts past the limit of a second, and entries that full tables of facts forgot.
    pub facts_held: u64,
    pub facts_forgotten: u64,
    pub flows: FlowStats,
    pub fragments: FragmentStats,
}

/// Frames decoded ahead.
const BATCH: usize = 16;
/// Packets inside packets are read so deep.
const TUNNELS_MAX: u8 = 4;

pub struct Pipeline {
    table: FlowTable<Session>,
    fragments: Fragments,
    ear: Ear,
    frames: u64,
    bytes: u64,
    other: u64,
}

/// Fields that the pipeline sets on top of those of the protocols.
pub static FLOW_FIELDS: &[Field] = &[
    field::SRC_IP,
    field::SRC_PORT,
    field::SRC_MAC,
    field::DST_IP,
    field::DST_PORT,
    field::DST_MAC,
    field::PROTOCOL,
    field::PROTOCOL_NUM,
    field::IP_VERSION,
    field::DIRECTION_ID,
    field::FLAG_HISTORY,
    field::COMMUNITY_ID,
    field::FLOW_UID,
    field::CONN_STATE,
    field::CONN_CLOSE,
    field::VLAN,
    field::TUNNEL_TYPE,
    field::TUNNEL_ID,
    field::TCP_FLAGS,
    field::ICMP_TYPE,
    field::ICMP_CODE,
    field::APP_NAME,
    field::BYTES,
    field::BYTES_IN,
    field::BYTES_OUT,
    field::PACKETS,
    field::PACKETS_IN,
    field::PACKETS_OUT,
    field::DURATION_MS,
    field::START_TIME,
    field::END_TIME,
    field::DEVICE_INTERFACE,
    field::DEVICE_HOSTNAME,
    field::ANOMALY_NAME,
    field::ANOMALY_DETAIL,
    field::ANOMALY_SOURCE,
    field::COUNT,
];

impl Pipeline {
    pub fn new(config: PipelineConfig) -> Self {
        Self {
            table: FlowTable::new(config.flows),
            fragments: Fragments::default(),
            ear: Ear {
                protocols: config.protocols,
                arp: config.arp.then(arp::Watch::default),
                link: config.link.then(link::Watch::default),
                local: config.local,
                payload: config.payload,
                facts: config.facts.map(|key| Box::new(Facts::new(key))),
                interfaces: Vec::new(),
                anomalies: Limiter::default(),
                records: Budget { max: config.records_per_second, ..Budget::default() },
                silent: !config.records,
                now: Timestamp::MIN,
                events: 0,
            },
            frames: 0,
            bytes: 0,
            other: 0,
        }
    }

    /// The number of an interface, for `Frame::interface`; the same name gives the same number.
    pub fn interface(&mut self, name: &str) -> u16 {
        let known = &mut self.ear.interfaces;
        let at = known.iter().position(|n| &**n == name).unwrap_or_else(|| {
            known.push(name.into());
            known.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// Addresses of the watched host, when they have changed.
    pub fn set_local(&mut self, local: Vec<IpAddr>) {
        self.ear.local = local;
    }

    /// Takes one frame.
    pub fn frame(&mut self, frame: &Frame<'_>, out: &mut Sink<'_>) {
        self.frames += 1;
        self.bytes += u64::from(frame.len);
        self.ear.now = self.table.now();
        self.read(frame, &decode(frame), TUNNELS_MAX, out);
    }

    /// Takes frames that lie ready, as `frame` does one by one.
    pub fn frames(&mut self, frames: &[Frame<'_>], out: &mut Sink<'_>) {
        for frames in frames.chunks(BATCH) {
            let mut decoded = [Decoded::NOTHING; BATCH];
            for (frame, slot) in frames.iter().zip(&mut decoded) {
                *slot = decode(frame);
            }
            self.table.warm(decoded.get(..frames.len()).unwrap_or_default());
            for (frame, decoded) in frames.iter().zip(&decoded) {
                self.frames += 1;
                self.bytes += u64::from(frame.len);
                self.ear.now = self.table.now();
                self.read(frame, decoded, TUNNELS_MAX, out);
            }
        }
    }

    /// One frame and what lies inside it.
    fn read(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>, depth: u8, out: &mut Sink<'_>) {
        let mut voice = Voice { ear: &mut self.ear, out };
        match &decoded.body {
            Body::Ip(ip) => {
                self.table.packet(frame, decoded, ip, &mut voice);
                voice.packet(ip, decoded, frame);
            }
            Body::Arp(packet) => voice.arp(packet, decoded, frame),
            Body::Other { ether_type, payload } => {
                self.other += 1;
                voice.link(*ether_type, payload, decoded, frame);
            }
            Body::None => self.other += 1,
        }
        if !decoded.anomalies.is_empty() {
            voice.decoder_anomalies(decoded, frame);
        }
        let Body::Ip(ip) = &decoded.body else { return };
        if ip.piece.is_some() {
            self.piece(frame, decoded, ip, depth, out);
        } else if let Some(inside) = packet::inside(ip) {
            self.inside(frame, decoded, &inside, depth, out);
        }
    }

    /// A packet inside another one. Its frame is as long as what is there of it, and what the snap length took.
    fn inside(&mut self, frame: &Frame<'_>, outer: &Decoded<'_>, inside: &Inside<'_>, depth: u8, out: &mut Sink<'_>) {
        let missing = frame.len.saturating_sub(u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX));
        let len = u32::try_from(inside.bytes.len()).unwrap_or(u32::MAX).saturating_add(missing);
        let inner = Frame { link: inside.link, bytes: inside.bytes, len, vlan: None, ..*frame };
        let mut decoded = decode(&inner);
        decoded.tunnel = Some(inside.tunnel);
        if depth == 0 {
            decoded = Decoded { body: outer.body, anomalies: Anomalies::of(Anomaly::TunnelDeep), ..*outer };
            return Voice { ear: &mut self.ear, out }.decoder_anomalies(&decoded, frame);
        }
        self.read(&inner, &decoded, depth - 1, out);
    }

    /// A fragment: what was cut goes on when it is whole.
    fn piece(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>, ip: &packet::Ip<'_>, depth: u8, out: &mut Sink<'_>) {
        let Some(piece) = &ip.piece else { return };
        let (whole, anomaly) = match self.fragments.take(ip, piece, decoded.tunnel.and_then(|t| t.id).unwrap_or(0), frame.time) {
            Taken::Waits => (None, None),
            Taken::Whole(bytes) => (Some(bytes), None),
            Taken::Overlaps(whole) => (whole, Some(Anomaly::FragmentOverlap)),
            Taken::Refused(anomaly) => (None, Some(anomaly)),
        };
        // What the decoder has named is named.
        if let Some(anomaly) = anomaly.filter(|a| !decoded.anomalies.contains(*a)) {
            let odd = Decoded { anomalies: Anomalies::of(anomaly), ..*decoded };
            Voice { ear: &mut self.ear, out }.decoder_anomalies(&odd, frame);
        }
        let Some(bytes) = whole else { return };
        let inner = Frame { link: LinkType::Raw, len: u32::try_from(bytes.len()).unwrap_or(u32::MAX), bytes: &bytes, ..*frame };
        let read = decode(&inner);
        let put_together =
            Decoded { src_mac: decoded.src_mac, dst_mac: decoded.dst_mac, vlan: decoded.vlan, tunnel: decoded.tunnel, ..read };
        let Body::Ip(ip) = &put_together.body else { return };
        if ip.piece.is_some() {
            return;
        }
        let mut voice = Voice { ear: &mut self.ear, out };
        self.table.whole(&inner, &put_together, ip, &mut voice);
        if !put_together.anomalies.is_empty() {
            voice.decoder_anomalies(&put_together, &inner);
        }
        if let Some(inside) = packet::inside(ip) {
            self.inside(&inner, &put_together, &inside, depth, out);
        }
    }

    /// Tells the time, so that timers run on a quiet link.
    pub fn tick(&mut self, now: Timestamp, out: &mut Sink<'_>) {
        let mut voice = Voice { ear: &mut self.ear, out };
        self.table.advance(now, &mut voice);
        voice.facts(|facts, say| facts.tick(now, say));
        voice.sampled(now);
    }

    /// When `tick` will have something to tell of an attempt that waits for its answer.
    pub fn due(&self) -> Option<Timestamp> {
        self.table.due()
    }

    /// Ends every flow and tells what was held back.
    pub fn flush(&mut self, out: &mut Sink<'_>) {
        let now = self.table.now();
        let mut voice = Voice { ear: &mut self.ear, out };
        self.table.flush(&mut voice);
        if let Some(mut watch) = voice.ear.link.take() {
            watch.end(now, &mut Plain { voice: &mut voice, vlan: None, interface: u16::MAX });
            voice.ear.link = Some(watch);
        }
        voice.sampled(now.plus_secs(1));
        for (name, count) in voice.ear.anomalies.flush() {
            let event = anomaly_event(name, "more of the same, counted", "sensor", now).with(field::COUNT, count);
            voice.tell(Class::Normal, event);
        }
    }

    pub fn stats(&self) -> PipelineStats {
        let (facts_forgotten, facts_held) = self.ear.facts.as_ref().map_or((0, 0), |f| f.lost());
        PipelineStats {
            frames: self.frames,
            bytes: self.bytes,
            other: self.other,
            events: self.ear.events,
            records_sampled: self.ear.records.total,
            anomalies_held: self.ear.anomalies.held,
            facts_held,
            facts_forgotten,
            flows: self.table.stats(),
            fragments: self.fragments.stats(),
        }
    }

    /// Newest time the pipeline has met.
    pub fn now(&self) -> Timestamp {
        self.table.now()
    }
}

/// What the observer keeps between frames.
struct Ear {
    protocols: Enabled,
    arp: Option<arp::Watch>,
    link: Option<link::Watch>,
    local: Vec<IpAddr>,
    facts: Option<Box<Facts>>,
    payload: bool,
    interfaces: Vec<Box<str>>,
    anomalies: Limiter,
    records: Budget,
    silent: bool,
    /// Time of the table, as of the frame before.
    now: Timestamp,
    events: u64,
}

/// The observer of one call.
struct Voice<'e, 'o> {
    ear: &'e mut Ear,
    out: &'e mut Sink<'o>,
}

impl Voice<'_, '_> {
    fn tell(&mut self, class: Class, event: Event) {
        self.ear.events += 1;
        if matches!(event.source.category.as_deref(), Some("dns" | "ot")) {
            self.facts(|facts, say| facts.event(&event, say));
        }
        (self.out)(class, event);
    }

    /// Lets the facts see something and tells what they say.
    fn facts(&mut self, see: impl FnOnce(&mut Facts, Say<'_>)) {
        let Some(mut facts) = self.ear.facts.take() else { return };
        see(&mut facts, &mut |event| {
            self.ear.events += 1;
            (self.out)(Class::Normal, event);
        });
        self.ear.facts = Some(facts);
    }

    /// What the facts want to know of an IP packet.
    fn packet(&mut self, ip: &packet::Ip<'_>, decoded: &Decoded<'_>, frame: &Frame<'_>) {
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
    fn flow(&mut self, flow: &Flow, report: Report, at: Timestamp) {
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

    fn arp(&mut self, packet: &packet::Arp, decoded: &Decoded<'_>, frame: &Frame<'_>) {
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

    fn link(&mut self, ether_type: u16, payload: &[u8], decoded: &Decoded<'_>, frame: &Frame<'_>) {
        let Some(mut watch) = self.ear.link.take() else { return };
        let (source, destination) = (decoded.src_mac.unwrap_or_default(), decoded.dst_mac.unwrap_or_default());
        let said = link::Frame { ether_type, payload, source, destination, time: frame.time };
        watch.frame(&said, &mut Plain { voice: self, vlan: decoded.vlan, interface: frame.interface });
        self.ear.link = Some(watch);
    }

    fn decoder_anomalies(&mut self, decoded: &Decoded<'_>, frame: &Frame<'_>) {
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
    fn sampled(&mut self, now: Timestamp) {
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

    fn tunnel(event: &mut Event, tunnel: Option<Tunnel>) {
        if let Some(tunnel) = tunnel {
            event.body.set(field::TUNNEL_TYPE, tunnel.kind.name());
            event.body.set_some(field::TUNNEL_ID, tunnel.id);
        }
    }

    fn place(&self, event: &mut Event, vlan: Option<u16>, interface: u16) {
        event.body.set_some(field::VLAN, vlan);
        event.body.set_some(field::DEVICE_INTERFACE, self.ear.interfaces.get(usize::from(interface)).map(|n| &**n));
    }

    /// Who spoke with whom, on every event of a flow.
    fn dress(&self, event: &mut Event, flow: &Flow) {
        let body = &mut event.body;
        body.reserve(DRESS_FIELDS);
        body.set(field::SRC_IP, flow.originator.0);
        body.set(field::DST_IP, flow.responder.0);
        if flow.has_ports() {
            body.set(field::SRC_PORT, flow.originator.1);
            body.set(field::DST_PORT, flow.responder.1);
        }
        body.set(field::PROTOCOL, protocol_name(flow.protocol));
        body.set(field::COMMUNITY_ID, flow.community_id());
        body.set(field::FLOW_UID, flow_uid(flow));
        body.set_some(field::DIRECTION_ID, self.direction(flow));
        self.place(event, flow.vlan, flow.interface);
        Self::tunnel(event, flow.tunnel);
    }

    /// 1 inbound, 2 outbound, 3 within the host.
    fn direction(&self, flow: &Flow) -> Option<u8> {
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

    fn record(&mut self, flow: &Flow, session: &Session, activity: u8, end: Option<EndReason>, at: Timestamp) {
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

    fn feed(&mut self, flow: &Flow, session: &mut Session, carrier: Carrier, piece: Piece<'_>) -> packet::Want {
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

/// Room for what `dress` sets, and for a record of a flow: as much as an allocator gives without looking around (a kilobyte).
const DRESS_FIELDS: usize = 12;
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
    Value::text(std::str::from_utf8(&digits[..len]).unwrap_or_default())
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
        if let Some(count) = self.voice.ear.anomalies.pass(name, time) {
            let mut event = anomaly_event(name, detail, "parser", time);
            if count > 1 {
                event.body.set(field::COUNT, count);
            }
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
struct Plain<'v, 'e, 'o> {
    voice: &'v mut Voice<'e, 'o>,
    vlan: Option<u16>,
    interface: u16,
}

impl Emit for Plain<'_, '_, '_> {
    fn event(&mut self, class: Class, mut event: Event) {
        self.voice.place(&mut event, self.vlan, self.interface);
        self.voice.tell(class, event);
    }
    fn anomaly(&mut self, name: &'static str, detail: &str, time: Timestamp) {
        if let Some(count) = self.voice.ear.anomalies.pass(name, time) {
            let mut event = anomaly_event(name, detail, "parser", time);
            if count > 1 {
                event.body.set(field::COUNT, count);
            }
            self.event(Class::Normal, event);
        }
    }
}

/// Anomalies of one name that are told in `WINDOW_NS` of packet time; the rest is counted into the next one told.
const ANOMALIES_A_WINDOW: u32 = 10;
const WINDOW_NS: i64 = 10 * SECOND_NS;

/// Bounded by the vocabulary of anomaly names.
#[derive(Default)]
struct Limiter {
    windows: HashMap<&'static str, Window>,
    held: u64,
}

struct Window {
    start: Timestamp,
    told: u32,
    held: u64,
}

impl Limiter {
    /// How many this one stands for, if it is to be told.
    fn pass(&mut self, name: &'static str, time: Timestamp) -> Option<u64> {
        let window = self.windows.entry(name).or_insert(Window { start: time, told: 0, held: 0 });
        if !(0..WINDOW_NS).contains(&time.since(window.start)) {
            (window.start, window.told) = (time, 0);
        }
        if window.told >= ANOMALIES_A_WINDOW {
            window.held += 1;
            self.held += 1;
            return None;
        }
        window.told += 1;
        Some(1 + std::mem::take(&mut window.held))
    }

    /// Names with what was held back and not yet counted in, by name.
    fn flush(&mut self) -> Vec<(&'static str, u64)> {
        let mut rest: Vec<_> =
            self.windows.iter_mut().filter(|(_, w)| w.held > 0).map(|(name, w)| (*name, std::mem::take(&mut w.held))).collect();
        rest.sort_unstable();
        rest
    }
}

/// So many a second of packet time.
#[derive(Default)]
struct Budget {
    max: u32,
    second: i64,
    used: u32,
    left_out: u64,
    total: u64,
}

impl Budget {
    fn take(&mut self, at: Timestamp) -> bool {
        if at.secs() != self.second {
            (self.second, self.used) = (at.secs(), 0);
        }
        if self.used >= self.max {
            self.left_out += 1;
            self.total += 1;
            return false;
        }
        self.used += 1;
        true
    }

    /// What was left out in a second that is over.
    fn settle(&mut self, now: Timestamp) -> Option<(Timestamp, u64)> {
        if self.left_out == 0 || now.secs() == self.second {
            return None;
        }
        Some((Timestamp::from_secs(self.second), std::mem::take(&mut self.left_out)))
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
