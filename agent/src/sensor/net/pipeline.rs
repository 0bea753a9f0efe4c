//! Frames in, events out: where `packet` (flows) and `proto` (protocols) meet. Live capture, replay and simulation all come
//! through `Pipeline::frame`; it reads no clock and does no I/O, and the same frames give the same events, always.
//!
//! - A TCP attempt is told at once when it is accepted (`open`), refused (`refuse`) or unanswered for a second (`fail`, also for
//!   a first datagram to one host); the rest of a flow is told at its end, or every `active_ns` while it goes on. Traffic counts of a flow's records add up to
//!   the flow: each record carries what was counted since the one before it (`open` carries none).
//! - Records past `records_per_second` of packet time, and anomalies past a few of one name, are counted instead of told
//!   (`flow_records_sampled`, `count`), so that a flood in the network is not a flood of events.

use std::net::IpAddr;

use event::{Class, Event, Field, Timestamp, field};
use packet::{
    Anomalies, Anomaly, Body, Decoded, FlowConfig, FlowStats, FlowTable, FragmentStats, Fragments, Frame, Inside, LinkType, Taken, decode,
    decode_into,
};
use proto::net::{Enabled, Session, anomaly_event, arp, link};

use super::facts::Facts;
use super::limits::{Budget, Limiter};
use super::voice::{Ear, Plain, Voice};

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
const BATCH: usize = packet::WARM_MAX;
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
                records: Budget::new(config.records_per_second),
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
        self.read(frame, &decode(frame), None, TUNNELS_MAX, out);
    }

    /// Takes frames that lie ready, as `frame` does one by one.
    pub fn frames(&mut self, frames: &[Frame<'_>], out: &mut Sink<'_>) {
        for frames in frames.chunks(BATCH) {
            let mut decoded = [Decoded::NOTHING; BATCH];
            for (frame, place) in frames.iter().zip(&mut decoded) {
                decode_into(frame, place);
            }
            let hashes = self.table.warm(decoded.get(..frames.len()).unwrap_or_default());
            for ((frame, decoded), hash) in frames.iter().zip(&decoded).zip(hashes) {
                self.frames += 1;
                self.bytes += u64::from(frame.len);
                self.ear.now = self.table.now();
                self.read(frame, decoded, Some(hash), TUNNELS_MAX, out);
            }
        }
    }

    /// One frame and what lies inside it; `hash` is the table's, where it is known already.
    fn read(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>, hash: Option<u32>, depth: u8, out: &mut Sink<'_>) {
        let mut voice = Voice { ear: &mut self.ear, out };
        match &decoded.body {
            Body::Ip(ip) => {
                match hash {
                    Some(hash) => self.table.packet_of(hash, frame, decoded, ip, &mut voice),
                    None => self.table.packet(frame, decoded, ip, &mut voice),
                }
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
        self.read(&inner, &decoded, None, depth - 1, out);
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
