//! Control protocols straight on Ethernet: GOOSE and sampled values (IEC 61850-8-1 annex C and -9-2), PROFINET DCP (IEC 61158-6-10).
//!
//! A control block is told when it is first met, with each new state number, and once a minute with how many messages there were. What a
//! subscriber cannot see is told at once, by name: another card that publishes the same block (`second_source`), a state
//! number that goes back (`state_number_back`), a block that says it is simulated (`simulation`). DCP requests that set are told one by one.
//!
//! Limits: `BLOCKS_MAX` control blocks are remembered; past it the one met first is forgotten and would be new again. Names are cut
//! at `NAME_BYTES_MAX`. What does not parse is an anomaly. Nothing here panics on any bytes.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use event::{Class, Event, Field, SECOND_NS, Timestamp, Value, field};

use super::ot;
use super::{Emit, be16};

/// Fields its events carry.
pub static FIELDS: &[Field] = &[
    field::OT_PROTOCOL,
    field::OT_FUNCTION,
    field::OT_FUNCTION_NAME,
    field::OT_SUB_FUNCTION,
    field::OT_SUB_FUNCTION_NAME,
    field::OT_OBJECT_TYPE,
    field::OT_OBJECTS,
    field::OT_VALUE,
    field::OT_DIRECTION,
    field::OT_ACCESS,
    field::OT_IS_WRITE,
    field::OT_EXCEPTION_NAME,
    field::OT_TRANSACTION,
    field::SRC_MAC,
    field::DST_MAC,
    field::COUNT,
];

/// Ether types read here.
pub const GOOSE: u16 = 0x88b8;
pub const SAMPLED_VALUES: u16 = 0x88ba;
pub const PROFINET: u16 = 0x8892;

const BLOCKS_MAX: usize = 512;
const NAME_BYTES_MAX: usize = 128;
const TOLD_NS: i64 = 60 * SECOND_NS;
/// After so long a silence nothing is said of where the numbers were before.
const QUIET_NS: i64 = 60 * SECOND_NS;

/// A frame that carries neither IP nor ARP.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub ether_type: u16,
    pub payload: &'a [u8],
    pub source: [u8; 6],
    pub destination: [u8; 6],
    pub time: Timestamp,
}

/// Remembers what is published on a link.
#[derive(Default)]
pub struct Watch {
    /// Of GOOSE and of sampled values, by name.
    blocks: [HashMap<Box<[u8]>, Block>; 2],
    order: VecDeque<Name>,
}

/// Ether type and name of a block.
type Name = (u16, Box<[u8]>);

struct Block {
    source: [u8; 6],
    state: u32,
    told: Timestamp,
    last: Timestamp,
    more: i64,
}

/// A message of a control block.
struct Published<'a> {
    name: &'a [u8],
    /// State number of GOOSE; sampled values have none.
    state: u32,
    simulated: bool,
}

impl Watch {
    pub fn frame(&mut self, frame: &Frame<'_>, out: &mut dyn Emit) {
        let read = match frame.ether_type {
            GOOSE => goose(frame.payload).map(|p| self.published("goose", &p, frame, out)),
            SAMPLED_VALUES => sampled(frame.payload).map(|p| self.published("sv", &p, frame, out)),
            PROFINET => dcp(frame, out),
            _ => Some(()),
        };
        if read.is_none() {
            out.anomaly("link_ot_malformed", &format!("ether type {:04x}", frame.ether_type), frame.time);
        }
    }

    fn published(&mut self, service: &'static str, message: &Published<'_>, frame: &Frame<'_>, out: &mut dyn Emit) {
        let name = message.name.get(..NAME_BYTES_MAX).unwrap_or(message.name);
        let mut say = |count: i64, odd: Option<&'static str>| {
            let mut event = ot::event(service, "unsolicited", "publish", frame.time);
            event.body.set(field::OT_OBJECT_TYPE, "control_block");
            ot::objects(&mut event, vec![String::from_utf8_lossy(name).into_owned()]);
            if service == "goose" {
                event.body.set(field::OT_VALUE, f64::from(message.state));
            }
            event.body.set_some(field::OT_EXCEPTION_NAME, odd);
            event.body.set(field::COUNT, count);
            ot::purpose(&mut event, "read", false);
            cards(&mut event, frame);
            out.event(if odd.is_some() { Class::Normal } else { Class::Bulk }, event);
        };
        let Some(block) = self.blocks[at(frame.ether_type)].get_mut(name) else {
            if self.order.len() >= BLOCKS_MAX
                && let Some((ether_type, oldest)) = self.order.pop_front()
            {
                self.blocks[at(ether_type)].remove(&oldest);
            }
            self.order.push_back((frame.ether_type, name.into()));
            let block = Block { source: frame.source, state: message.state, told: frame.time, last: frame.time, more: 0 };
            self.blocks[at(frame.ether_type)].insert(name.into(), block);
            return say(1, message.simulated.then_some("simulation"));
        };
        block.more += 1;
        let quiet = !(0..QUIET_NS).contains(&frame.time.since(std::mem::replace(&mut block.last, frame.time)));
        let second = std::mem::replace(&mut block.source, frame.source) != frame.source;
        let before = std::mem::replace(&mut block.state, message.state);
        let odd = if second {
            Some("second_source")
        } else if message.state < before && message.state > 1 && !quiet {
            // A publisher that starts anew starts at one and may have come far when it is heard again; the number wraps at its end.
            (before - message.state < u32::MAX / 2).then_some("state_number_back")
        } else {
            None
        };
        let due = !(0..TOLD_NS).contains(&frame.time.since(block.told));
        if odd.is_some() || message.state != before || due {
            block.told = frame.time;
            let count = std::mem::take(&mut block.more);
            say(count, odd.or(message.simulated.then_some("simulation")));
        }
    }

    /// Says how many messages there were since they were last told.
    pub fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        for key in std::mem::take(&mut self.order) {
            let Some(block) = self.blocks[at(key.0)].remove(&key.1).filter(|b| b.more > 0) else { continue };
            let mut event = ot::event(if key.0 == GOOSE { "goose" } else { "sv" }, "unsolicited", "publish", now);
            event.body.set(field::OT_OBJECT_TYPE, "control_block");
            ot::objects(&mut event, vec![String::from_utf8_lossy(&key.1).into_owned()]);
            event.body.set(field::COUNT, block.more);
            ot::purpose(&mut event, "read", false);
            event.body.set(field::SRC_MAC, Value::mac(block.source));
            out.event(Class::Bulk, event);
        }
    }
}

/// Where `Watch::blocks` has those of an ether type.
fn at(ether_type: u16) -> usize {
    usize::from(ether_type == SAMPLED_VALUES)
}

fn cards(event: &mut Event, frame: &Frame<'_>) {
    event.body.set(field::SRC_MAC, Value::mac(frame.source));
    event.body.set(field::DST_MAC, Value::mac(frame.destination));
}

/// One element of BER: tag, content, rest. Lengths of up to two bytes, as these protocols use.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let &[tag, length, ref rest @ ..] = bytes else { return None };
    let (length, rest) = match (length, rest) {
        (0..=0x7f, _) => (usize::from(length), rest),
        (0x81, [a, rest @ ..]) => (usize::from(*a), rest),
        (0x82, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
        _ => return None,
    };
    // What a cut frame has of it.
    let (content, rest) = rest.split_at(length.min(rest.len()));
    Some((tag, content, rest))
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(5).fold(0u32, |n, b| n << 8 | u32::from(*b))
}

/// APPID, length, two reserved words, then the message.
fn goose(payload: &[u8]) -> Option<Published<'_>> {
    let (0x61, mut rest, _) = element(payload.get(8..)?)? else { return None };
    let (mut name, mut state, mut simulated) = (None, None, false);
    while let Some((tag, content, tail)) = element(rest) {
        match tag {
            0x80 => name = Some(content),
            0x85 => state = Some(number(content)),
            0x87 => simulated = content.iter().any(|b| *b != 0),
            _ => {}
        }
        rest = tail;
    }
    Some(Published { name: name?, state: state?, simulated })
}

/// The first ASDU's identifier.
fn sampled(payload: &[u8]) -> Option<Published<'_>> {
    let (0x60, mut rest, _) = element(payload.get(8..)?)? else { return None };
    while let Some((tag, content, tail)) = element(rest) {
        if tag == 0xa2 {
            let (0x30, asdu, _) = element(content)? else { return None };
            let (0x80, name, _) = element(asdu)? else { return None };
            return Some(Published { name, state: 0, simulated: false });
        }
        rest = tail;
    }
    None
}

/// The discovery and configuration protocol: who is there, and from now on your name and address are these. Cyclic frames are passed over.
fn dcp(frame: &Frame<'_>, out: &mut dyn Emit) -> Option<()> {
    let bytes = frame.payload;
    if !(0xfefc..=0xfeff).contains(&be16(bytes, 0)?) {
        return Some(());
    }
    let (&service, &kind) = (bytes.get(2)?, bytes.get(3)?);
    let transaction = u32::from(be16(bytes, 4)?) << 16 | u32::from(be16(bytes, 6)?);
    let length = usize::from(be16(bytes, 10)?);
    let blocks = bytes.get(12..)?;
    let mut blocks = blocks.get(..length).unwrap_or(blocks);
    let name = match service {
        3 => "dcp_get",
        4 => "dcp_set",
        5 => "dcp_identify",
        6 => "dcp_hello",
        _ => "dcp_other",
    };
    let request = kind & 1 == 0;
    let mut event = ot::event("profinet_dcp", if request { "request" } else { "response" }, name, frame.time);
    event.body.set(field::OT_FUNCTION, service);
    event.body.set(field::OT_TRANSACTION, transaction);
    let mut objects = Vec::new();
    let mut first = None;
    for _ in 0..ot::NAMED_MAX {
        let &[option, sub, a, b, ref rest @ ..] = blocks else { break };
        let length = usize::from(u16::from_be_bytes([a, b]));
        let value = rest.get(..length).unwrap_or(rest);
        first.get_or_insert((option, sub));
        // What is set has a qualifier of two bytes in front, what is answered its state; what is looked for has nothing.
        let value = if service == 5 && request { value } else { value.get(2..).unwrap_or_default() };
        match (option, sub, value) {
            (1, 2, &[a, b, c, d, ..]) => objects.push(format!("ip {a}.{b}.{c}.{d}")),
            (2, 2, name) if !name.is_empty() => {
                objects.push(format!("name {}", String::from_utf8_lossy(name.get(..NAME_BYTES_MAX).unwrap_or(name))));
            }
            _ => {}
        }
        blocks = rest.get(length + length % 2..).unwrap_or_default();
    }
    if let Some((option, sub)) = first {
        event.body.set(field::OT_SUB_FUNCTION, u16::from(option) << 8 | u16::from(sub));
        event.body.set(field::OT_SUB_FUNCTION_NAME, option_name(option, sub));
    }
    ot::objects(&mut event, objects);
    let sets = service == 4 && request;
    // To let a lamp blink changes nothing.
    let blinks = first == Some((5, 3));
    ot::purpose(&mut event, if service == 4 { "configure" } else { "identify" }, sets && !blinks);
    cards(&mut event, frame);
    out.event(if sets { Class::Critical } else { Class::Normal }, event);
    Some(())
}

const fn option_name(option: u8, sub: u8) -> &'static str {
    match (option, sub) {
        (1, 1) => "mac_address",
        (1, 2 | 3) => "ip_address",
        (2, 1) => "station_type",
        (2, 2) => "station_name",
        (2, 3) => "device_id",
        (2, _) => "device",
        (3, _) => "dhcp",
        (5, 1) => "start",
        (5, 2) => "stop",
        (5, 3) => "signal",
        (5, 4) => "response",
        (5, 5 | 6) => "factory_reset",
        (0xff, _) => "all",
        _ => "other",
    }
}
