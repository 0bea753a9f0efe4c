//! Packets around an event, sent along as evidence where this host's own configuration asks for it: `evidence` under `[sensor.net]`. Off while that
//! list is empty. Nothing that comes over the link can switch it on: the signed policy has no word for it, and there is no query.
//!
//! A line of the list is a log source and, if wanted, a field with its value: `ot ot.is_write=true`, `anomaly`, `ot/modbus ot.function_name=diagnostics`.
//! When an event fits, the packets of its flow that came last and those that come next become one event of category `packet_evidence`, its packets
//! as a pcap file in base64.
//!
//! Limits: `RING_BYTES` of packets kept, `SNAP_BYTES` of each, `BEFORE` and `AFTER` around the event, `PER_FLOW` times a flow, `evidence_per_hour`
//! times an hour of packet time; what is past a limit is counted in the next one told (`evidence.held`).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use base64::Engine as _;
use event::{Event, Field, Kind, LogSource, SECOND_NS, Timestamp, Value, field};
use packet::{Body, Frame, LinkType, Transport, decode};

const RING_BYTES: usize = 1 << 20;
const SNAP_BYTES: usize = 256;
const BEFORE: usize = 8;
const AFTER: usize = 8;
/// Packets that come later do not belong to it.
const WAIT_NS: i64 = 5 * SECOND_NS;
const PER_FLOW: u32 = 2;
const OPEN_MAX: usize = 64;
const FLOWS_MAX: usize = 4096;

pub static FIELDS: &[Field] = &[field::EVIDENCE_FOR, field::EVIDENCE_PCAP, field::EVIDENCE_HELD];

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    text: String,
    category: String,
    service: Option<String>,
    value: Option<(Field, String)>,
}

impl std::str::FromStr for When {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let way_out = "write a category, perhaps a service, perhaps a field and its value: \"ot/modbus ot.is_write=true\"";
        let mut words = text.split_whitespace();
        let source = words.next().ok_or_else(|| format!("value \"{text}\": {way_out}"))?;
        let (category, service) = source.split_once('/').map_or((source, None), |(c, s)| (c, Some(s.to_owned())));
        let value = match words.next().map(|w| w.split_once('=').ok_or(w)) {
            None => None,
            Some(Err(word)) => return Err(format!("value \"{text}\": '{word}' is no field with a value; {way_out}")),
            Some(Ok((name, value))) => {
                let field = Field::from_name(name)
                    .ok_or_else(|| format!("value \"{text}\": there is no field '{name}'; config/fields.md lists them"))?;
                Some((field, value.to_owned()))
            }
        };
        if words.next().is_some() {
            return Err(format!("value \"{text}\": {way_out}"));
        }
        Ok(Self { text: text.to_owned(), category: category.to_owned(), service, value })
    }
}

impl When {
    fn fits(&self, event: &Event) -> bool {
        let source = &event.source;
        source.category.as_deref() == Some(&*self.category)
            && self.service.as_deref().is_none_or(|s| source.service.as_deref() == Some(s))
            && self.value.as_ref().is_none_or(|(field, value)| event.text(*field) == value.as_str())
    }
}

/// Two ends of a flow in order, and the protocol.
type Ends = (u8, (IpAddr, u16), (IpAddr, u16));

struct Kept {
    time: Timestamp,
    ends: Ends,
    len: u32,
    link: u32,
    bytes: Box<[u8]>,
}

/// Evidence that waits for the packets after its event.
struct Open {
    ends: Ends,
    due: Timestamp,
    after: usize,
    event: Event,
    packets: Vec<(Timestamp, u32, u32, Box<[u8]>)>,
}

pub(super) struct Evidence {
    when: Vec<When>,
    per_hour: u32,
    ring: VecDeque<Kept>,
    ring_bytes: usize,
    open: Vec<Open>,
    flows: HashMap<Ends, u32>,
    hour: i64,
    told: u32,
    held: u64,
    ready: Vec<Event>,
}

impl Evidence {
    /// `None` where nothing is asked for.
    pub(super) fn new(when: Vec<When>, per_hour: u32) -> Option<Self> {
        (!when.is_empty()).then(|| Self {
            when,
            per_hour,
            ring: VecDeque::new(),
            ring_bytes: 0,
            open: Vec::new(),
            flows: HashMap::new(),
            hour: i64::MIN,
            told: 0,
            held: 0,
            ready: Vec::new(),
        })
    }

    /// Keeps a packet for a while; before the pipeline gets it.
    pub(super) fn frame(&mut self, frame: &Frame<'_>) {
        let (Some(ends), Some(link)) = (ends_of(frame), link_number(frame.link)) else { return };
        let bytes: Box<[u8]> = frame.bytes.get(..frame.bytes.len().min(SNAP_BYTES)).unwrap_or_default().into();
        for open in self.open.iter_mut().filter(|o| o.ends == ends) {
            open.packets.push((frame.time, frame.len, link, bytes.clone()));
            open.after = open.after.saturating_sub(1);
        }
        self.ring_bytes += bytes.len() + size_of::<Kept>();
        self.ring.push_back(Kept { time: frame.time, ends, len: frame.len, link, bytes });
        while self.ring_bytes > RING_BYTES
            && let Some(old) = self.ring.pop_front()
        {
            self.ring_bytes -= old.bytes.len() + size_of::<Kept>();
        }
        self.close(frame.time);
    }

    /// Looks at an event that the pipeline told.
    pub(super) fn event(&mut self, event: &Event) {
        let Some(when) = self.when.iter().find(|w| w.fits(event)) else { return };
        let Some(ends) = ends_of_event(event) else { return };
        if self.open.iter().any(|o| o.ends == ends) {
            return;
        }
        let hour = event.time.secs().div_euclid(3600);
        if hour != self.hour {
            (self.hour, self.told) = (hour, 0);
            self.flows.clear();
        }
        let room = self.flows.len() < FLOWS_MAX || self.flows.contains_key(&ends);
        if self.told >= self.per_hour || self.open.len() >= OPEN_MAX || !room || self.flows.get(&ends).is_some_and(|n| *n >= PER_FLOW) {
            self.held += 1;
            return;
        }
        self.told += 1;
        *self.flows.entry(ends).or_insert(0) += 1;
        let mut packets: Vec<_> = self.ring.iter().rev().filter(|k| k.ends == ends).take(BEFORE).collect();
        packets.reverse();
        let packets = packets.into_iter().map(|k| (k.time, k.len, k.link, k.bytes.clone())).collect();
        let mut told = Event::new(event.time, Kind::NetworkActivity, 99, LogSource::new("", "packet_evidence", "net"))
            .with(field::EVIDENCE_FOR, format!("{}: {}", when.text, event.source));
        for same in [field::SRC_IP, field::SRC_PORT, field::DST_IP, field::DST_PORT, field::PROTOCOL, field::FLOW_UID, field::COMMUNITY_ID]
        {
            told.body.set_some(same, event.get(same).cloned());
        }
        self.open.push(Open { ends, due: event.time.plus_ns(WAIT_NS), after: AFTER, event: told, packets });
    }

    /// Evidence that is whole. `now` is packet time, or the clock on a quiet link.
    pub(super) fn take(&mut self, now: Timestamp) -> impl Iterator<Item = Event> {
        self.close(now);
        std::mem::take(&mut self.ready).into_iter()
    }

    /// The end: what waits goes as it is.
    pub(super) fn end(&mut self) -> impl Iterator<Item = Event> {
        self.take(Timestamp::MAX)
    }

    fn close(&mut self, now: Timestamp) {
        let mut at = 0;
        while let Some(open) = self.open.get(at) {
            if open.after > 0 && now < open.due {
                at += 1;
                continue;
            }
            let Open { mut event, packets, .. } = self.open.swap_remove(at);
            event.body.set(field::PACKETS, packets.len());
            event.body.set(field::EVIDENCE_PCAP, base64::engine::general_purpose::STANDARD.encode(pcap(&packets)));
            if self.held > 0 {
                event.body.set(field::EVIDENCE_HELD, std::mem::take(&mut self.held));
            }
            self.ready.push(event);
        }
    }
}

/// A pcap file with times in nanoseconds; its link type is that of the first packet, others are left out.
fn pcap(packets: &[(Timestamp, u32, u32, Box<[u8]>)]) -> Vec<u8> {
    let link = packets.first().map_or(1, |p| p.2);
    let mut out = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, SNAP_BYTES as u32, link] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for (time, len, _, bytes) in packets.iter().filter(|p| p.2 == link) {
        let (secs, nanos) = (time.ns().div_euclid(SECOND_NS), time.ns().rem_euclid(SECOND_NS));
        for word in [secs as u32, nanos as u32, bytes.len() as u32, *len] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(bytes);
    }
    out
}

fn link_number(link: LinkType) -> Option<u32> {
    match link {
        LinkType::Ethernet => Some(1),
        LinkType::Raw => Some(101),
        LinkType::LinuxSll => Some(113),
        LinkType::LinuxSll2 => Some(276),
        _ => None,
    }
}

fn in_order(protocol: u8, a: (IpAddr, u16), b: (IpAddr, u16)) -> Ends {
    if a <= b { (protocol, a, b) } else { (protocol, b, a) }
}

fn ends_of(frame: &Frame<'_>) -> Option<Ends> {
    let decoded = decode(frame);
    let Body::Ip(ip) = &decoded.body else { return None };
    let (src, dst) = match &ip.transport {
        Transport::Tcp(tcp) => (tcp.src_port, tcp.dst_port),
        Transport::Udp(udp) => (udp.src_port, udp.dst_port),
        Transport::Other { ports, .. } => ports.unwrap_or_default(),
        Transport::Icmp(_) => (0, 0),
    };
    Some(in_order(ip.protocol, (ip.src, src), (ip.dst, dst)))
}

fn ends_of_event(event: &Event) -> Option<Ends> {
    let ip = |f| event.get(f).and_then(Value::as_ip);
    let port = |f| event.get(f).and_then(Value::as_int).and_then(|p| u16::try_from(p).ok()).unwrap_or(0);
    let protocol = match &*event.text(field::PROTOCOL) {
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "icmpv6" => 58,
        _ => return None,
    };
    Some(in_order(protocol, (ip(field::SRC_IP)?, port(field::SRC_PORT)), (ip(field::DST_IP)?, port(field::DST_PORT))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: u32, port: u16, bytes: &mut Vec<u8>) -> Timestamp {
        *bytes = vec![0u8; 60];
        bytes[12..14].copy_from_slice(&[8, 0]);
        bytes[14] = 0x45;
        bytes[16..18].copy_from_slice(&46u16.to_be_bytes());
        bytes[22..24].copy_from_slice(&[60, 6]);
        bytes[26..30].copy_from_slice(&[10, 0, 0, 1]);
        bytes[30..34].copy_from_slice(&[10, 0, 0, 2]);
        bytes[34..38].copy_from_slice(&[(port >> 8) as u8, port as u8, 1, 246]);
        bytes[46..48].copy_from_slice(&[0x50, 0x18]);
        Timestamp::from_ms(1_700_000_000_000 + i64::from(n) * 10)
    }

    fn written(time: Timestamp, port: u16) -> Event {
        Event::new(time, Kind::NetworkActivity, 6, LogSource::new("", "ot", "modbus"))
            .with(field::SRC_IP, IpAddr::from([10, 0, 0, 1]))
            .with(field::SRC_PORT, port)
            .with(field::DST_IP, IpAddr::from([10, 0, 0, 2]))
            .with(field::DST_PORT, 502)
            .with(field::PROTOCOL, "tcp")
            .with(field::OT_IS_WRITE, true)
    }

    fn run(evidence: &mut Evidence, frames: u32, port: u16, event_at: u32) -> Vec<Event> {
        let (mut told, mut bytes) = (Vec::new(), Vec::new());
        for n in 0..frames {
            let time = frame(n, port, &mut bytes);
            evidence.frame(&Frame::new(time, LinkType::Ethernet, 60, &bytes));
            if n == event_at {
                evidence.event(&written(time, port));
            }
            told.extend(evidence.take(time));
        }
        told
    }

    #[test]
    fn packets_before_and_after_are_a_pcap_that_reads_again() {
        let mut evidence = Evidence::new(vec!["ot ot.is_write=true".parse().unwrap()], 60).unwrap();
        let told = run(&mut evidence, 100, 40_000, 50);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].get(field::PACKETS), Some(&Value::Int((BEFORE + AFTER) as i64)));
        let file = base64::engine::general_purpose::STANDARD.decode(told[0].text(field::EVIDENCE_PCAP).as_bytes()).unwrap();
        let mut source = capture::FileSource::from_reader("evidence".to_owned(), file.as_slice()).unwrap();
        let mut times = Vec::new();
        while let Some(frame) = capture::PacketSource::next(&mut source, std::time::Duration::ZERO).unwrap() {
            assert_eq!(frame.bytes.len(), 60);
            times.push(frame.time.ms());
        }
        // The event's own packet is the last of those before.
        assert_eq!((times.len(), times[0], times[BEFORE - 1]), (16, 1_700_000_000_430, 1_700_000_000_500));
    }

    #[test]
    fn flows_and_hours_have_their_share_and_the_rest_is_counted() {
        let mut evidence = Evidence::new(vec!["ot".parse().unwrap()], 3).unwrap();
        for _ in 0..4 {
            run(&mut evidence, 30, 40_000, 10);
        }
        assert_eq!((evidence.told, evidence.held), (PER_FLOW, 2));
        let told = run(&mut evidence, 30, 40_001, 10);
        assert_eq!(told[0].get(field::EVIDENCE_HELD), Some(&Value::Int(2)));
        assert!(run(&mut evidence, 30, 40_002, 10).is_empty());
        assert!(evidence.ring_bytes <= RING_BYTES);
    }

    #[test]
    fn without_a_list_there_is_nothing_and_a_bad_line_is_named() {
        assert!(Evidence::new(Vec::new(), 60).is_none());
        for (bad, word) in
            [("", "write a category"), ("ot ot.is_writ=1", "there is no field 'ot.is_writ'"), ("ot loud", "'loud'"), ("ot a=b c", "")]
        {
            let error = bad.parse::<When>().unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let when: When = "ot/modbus ot.is_write=true".parse().unwrap();
        assert!(when.fits(&written(Timestamp::ZERO, 1)));
        assert!(!"ot/dnp3".parse::<When>().unwrap().fits(&written(Timestamp::ZERO, 1)));
    }
}
