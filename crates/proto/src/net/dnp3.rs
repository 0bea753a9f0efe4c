//! DNP3 (IEEE 1815-2012) over TCP and UDP: link frames, transport segments, application messages; requests joined with their answers.
//!
//! One event says which master asked what of which outstation, of which points, and how it went. A message without an answer is told after
//! a second; those that get none (direct operate without acknowledgement, freezes without one, broadcasts) at once. Equal reads, confirmations and
//! reports are counted (see `ot`). A message of several points is one event: the first point in `ot.object_address`, all in `ot.objects`.
//!
//! Limits: a message is at most `MESSAGE_BYTES_MAX` bytes (what is longer is read as far as that, and an anomaly), `ASSEMBLIES_MAX` station
//! pairs of a connection may be amidst a message. A frame with a wrong checksum is an
//! anomaly and not read, as stations do; reading goes on at the next frame, and starts at the first one wherever a stream is joined.

mod link;
mod objects;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use event::{Event, Timestamp, Value, field};

use self::link::{Frame, Front};
use self::objects::{Objects, control_name, status_name};
use super::ot::{self, Asked, Teller, Waiting};
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want};

pub static DNP3: Protocol = Protocol {
    name: "dnp3",
    about: "DNP3 over TCP and UDP: requests with their answers, reports, points and internal indications",
    fields: &[
        field::OT_PROTOCOL,
        field::OT_FUNCTION,
        field::OT_FUNCTION_NAME,
        field::OT_SUB_FUNCTION,
        field::OT_SUB_FUNCTION_NAME,
        field::OT_STATION,
        field::OT_MASTER,
        field::OT_OBJECT_TYPE,
        field::OT_OBJECT_ADDRESS,
        field::OT_OBJECT_COUNT,
        field::OT_OBJECTS,
        field::OT_VALUE,
        field::OT_VALUES,
        field::OT_DIRECTION,
        field::OT_ACCESS,
        field::OT_IS_WRITE,
        field::OT_EXCEPTION,
        field::OT_EXCEPTION_NAME,
        field::OT_INDICATIONS,
        field::OT_MODE,
        field::OT_PROGRAM,
        field::OT_TRANSACTION,
        field::OT_RESPONSE_MS,
        field::STATUS_ID,
        field::COUNT,
    ],
    anomalies: &["dnp3_bad_crc", "dnp3_malformed", "dnp3_out_of_sync", "dnp3_message_too_long", "dnp3_segment_lost"],
    probe,
    open: |_| Box::new(Dnp3::default()),
};

/// The standard asks for 2,048 bytes; devices may agree on more.
const MESSAGE_BYTES_MAX: usize = 4_096;
const HELD_BYTES_MAX: usize = 2 * link::FRAME_BYTES_MAX;
const ASSEMBLIES_MAX: usize = 8;
/// Addresses from here on mean every station.
const BROADCAST: u16 = 0xfffd;

fn probe(_: Carrier, _: Side, bytes: &[u8]) -> Probe {
    if link::find(bytes).is_some() {
        return Probe::Yes;
    }
    match bytes {
        [0x05] => Probe::Maybe,
        [0x05, 0x64, ..] if bytes.len() < 10 => Probe::Maybe,
        _ => Probe::No,
    }
}

/// A message of which segments have come.
struct Assembly {
    source: u16,
    destination: u16,
    next: u8,
    bytes: Vec<u8>,
    too_long: bool,
}

#[derive(Default)]
struct Dnp3 {
    held: [Held; 2],
    /// A frame of the side has been met: bytes between frames are odd from then on.
    met: [bool; 2],
    assemblies: [VecDeque<Assembly>; 2],
    /// By master, outstation and sequence.
    waiting: Waiting<(u16, u16, u8)>,
    teller: Teller,
}

impl Parser for Dnp3 {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.held[at].clear();
            self.assemblies[at].clear();
            self.met[at] = false;
        }
        let mut held = std::mem::take(&mut self.held[at]);
        for part in piece.bytes.chunks(link::FRAME_BYTES_MAX) {
            held.add(part, HELD_BYTES_MAX);
            loop {
                match link::front(held.bytes()) {
                    Front::Frame(frame, length) => {
                        held.eat(length);
                        self.met[at] = true;
                        self.frame(piece.side, &frame, piece.time, out);
                    }
                    Front::Skip(length, why) => {
                        held.eat(length);
                        if let Some(why) = why {
                            out.anomaly(why, "frame passed over", piece.time);
                        } else if std::mem::take(&mut self.met[at]) {
                            out.anomaly("dnp3_out_of_sync", "bytes between frames", piece.time);
                        }
                    }
                    Front::Wait => break,
                }
            }
        }
        self.held[at] = held;
        Want::Whole
    }

    fn wake(&mut self, now: Timestamp, out: &mut dyn Emit) -> Want {
        self.waiting.wake(now, &mut self.teller, out)
    }

    fn end(&mut self, _: Timestamp, out: &mut dyn Emit) {
        self.waiting.end(&mut self.teller, out);
    }
}

impl Dnp3 {
    fn frame(&mut self, side: Side, frame: &Frame, time: Timestamp, out: &mut dyn Emit) {
        match (frame.primary, frame.function) {
            (true, 3 | 4) => self.segment(side, frame, time, out),
            // A station passes such a frame over; what it wanted is told all the same.
            (true, function) if !frame.data.is_empty() => {
                out.anomaly("dnp3_malformed", &format!("user data under link function {function}"), time);
                self.segment(side, frame, time, out);
            }
            (true, function @ (0 | 1 | 2 | 9)) => {
                let by = if frame.master { side } else { side.other() };
                let name = match function {
                    0 => "link_reset",
                    1 => "link_reset_user",
                    2 => "link_test",
                    _ => "link_request_status",
                };
                let mut event = ot::event("dnp3", if frame.master { "request" } else { "unsolicited" }, name, time);
                stations(&mut event, frame.master, frame.source, frame.destination);
                ot::purpose(&mut event, "session", false);
                let key = [0x100 | u32::from(function), pair(frame.source, frame.destination), 0, 0];
                self.teller.poll(key, by, event, out);
            }
            _ => {}
        }
    }

    /// Puts transport segments together (clause 8): FIN, FIR, sequence in the first byte.
    fn segment(&mut self, side: Side, frame: &Frame, time: Timestamp, out: &mut dyn Emit) {
        let Some((head, data)) = frame.data.split_first() else { return };
        let (last, first, sequence) = (head & 0x80 != 0, head & 0x40 != 0, head & 0x3f);
        let assemblies = &mut self.assemblies[side as usize];
        let known = assemblies.iter().position(|a| (a.source, a.destination) == (frame.source, frame.destination));
        let mut assembly = match known.and_then(|at| assemblies.remove(at)) {
            _ if first => {
                Assembly { source: frame.source, destination: frame.destination, next: sequence, bytes: Vec::new(), too_long: false }
            }
            Some(assembly) if assembly.next == sequence => assembly,
            Some(_) => return out.anomaly("dnp3_segment_lost", "the next segment has another number", time),
            // The beginning was not seen.
            None => return,
        };
        assembly.next = (sequence + 1) & 0x3f;
        let room = MESSAGE_BYTES_MAX.saturating_sub(assembly.bytes.len());
        if data.len() > room && !std::mem::replace(&mut assembly.too_long, true) {
            out.anomaly("dnp3_message_too_long", "read as far as the limit", time);
        }
        assembly.bytes.extend_from_slice(&data[..data.len().min(room)]);
        if last {
            return self.message(side, frame, &assembly.bytes, time, out);
        }
        if assemblies.len() >= ASSEMBLIES_MAX {
            assemblies.pop_front();
            out.anomaly("dnp3_segment_lost", "too many stations amidst a message", time);
        }
        assemblies.push_back(assembly);
    }

    fn message(&mut self, side: Side, frame: &Frame, message: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let &[control, function, ref rest @ ..] = message else {
            return out.anomaly("dnp3_malformed", "no function", time);
        };
        let sequence = control & 0x0f;
        if function >= 129 {
            return self.answer(side, frame, sequence, function, rest, time, out);
        }
        // A confirmation is a master's, but where the link layer says otherwise.
        let by = if function == 0 && !frame.master { side.other() } else { side };
        let mut event = ot::event("dnp3", "request", function_name(function), time);
        stations(&mut event, by == side, frame.source, frame.destination);
        event.body.set(field::OT_FUNCTION, function);
        event.body.set(field::OT_TRANSACTION, sequence);
        let objects = Objects::read(rest, matches!(function, 2..=6 | 25..=33));
        let (access, is_write) = purpose(function, &objects);
        ot::purpose(&mut event, access, is_write);
        event.body.set_some(field::OT_MODE, mode(function));
        let key = [u32::from(function), pair(frame.source, frame.destination), fold(&objects.names), 0];
        put(&mut event, objects);
        if matches!(function, 0 | 6 | 8 | 10 | 12) || frame.destination >= BROADCAST {
            return self.teller.poll(key, by, event, out);
        }
        let id = (frame.source, frame.destination, sequence);
        self.waiting.ask(Asked { id, by, time, key, event }, &mut self.teller, out);
    }

    fn answer(&mut self, side: Side, frame: &Frame, sequence: u8, function: u8, rest: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let Some((indications, rest)) = rest.split_first_chunk::<2>() else {
            return out.anomaly("dnp3_malformed", "an answer without indications", time);
        };
        let indications = u16::from_le_bytes(*indications);
        let id = (frame.destination, frame.source, sequence);
        let asked = if function == 129 { self.waiting.take(|a| a.id == id) } else { None };
        // The request has named what it is about.
        let objects = if asked.is_some() { Objects::read_unnamed(rest, true) } else { Objects::read(rest, true) };
        let refusal = objects.refusal.map(|s| (u32::from(s), status_name(s))).or_else(|| refusal(indications));
        if let Some(Asked { mut event, time: asked, key, by, .. }) = asked {
            ot::answered(&mut event, asked, time);
            ot::outcome(&mut event, refusal);
            indicate(&mut event, indications);
            return self.teller.poll(key, by, event, out);
        }
        let mut event = ot::event("dnp3", if function == 130 { "unsolicited" } else { "response" }, function_name(function), time);
        stations(&mut event, false, frame.source, frame.destination);
        event.body.set(field::OT_FUNCTION, function);
        event.body.set(field::OT_TRANSACTION, sequence);
        ot::purpose(&mut event, "read", false);
        ot::outcome(&mut event, refusal);
        let first = objects.first.map_or(0, |(g, v)| u32::from(g) << 8 | u32::from(v));
        put(&mut event, objects);
        indicate(&mut event, indications);
        let key = [u32::from(function), pair(frame.source, frame.destination), first, u32::from(indications)];
        self.teller.poll(key, side.other(), event, out);
    }
}

fn stations(event: &mut Event, from_master: bool, source: u16, destination: u16) {
    let (master, station) = if from_master { (source, destination) } else { (destination, source) };
    event.body.set(field::OT_MASTER, master);
    event.body.set(field::OT_STATION, station);
}

fn put(event: &mut Event, objects: Objects) {
    let body = &mut event.body;
    body.set_some(field::OT_OBJECT_TYPE, objects.first.map(|(group, variation)| objects::type_name(group, variation)));
    body.set_some(field::OT_OBJECT_ADDRESS, objects.address);
    if objects.count > 0 {
        body.set(field::OT_OBJECT_COUNT, objects.count);
    }
    body.set_some(field::OT_SUB_FUNCTION, objects.control);
    body.set_some(field::OT_SUB_FUNCTION_NAME, objects.control.map(control_name));
    body.set_some(field::OT_PROGRAM, objects.file.as_ref().map(|(name, _)| name.as_str()));
    ot::objects(event, objects.names);
    ot::values(event, &objects.values);
}

/// Internal indications (clause 4.2.2.6.2), as `ot.indications` names them; the place is the bit, first octet in the low byte.
pub const INDICATIONS: [&str; 14] = [
    "broadcast",
    "class_1_events",
    "class_2_events",
    "class_3_events",
    "need_time",
    "local_control",
    "device_trouble",
    "device_restart",
    "no_func_code_support",
    "object_unknown",
    "parameter_error",
    "event_buffer_overflow",
    "already_executing",
    "config_corrupt",
];

fn indicate(event: &mut Event, bits: u16) {
    let set = (0..).zip(INDICATIONS).filter(|(n, _)| bits >> n & 1 != 0).map(|(_, name)| Value::text(name));
    let set: Vec<Value> = set.collect();
    if !set.is_empty() {
        event.body.set(field::OT_INDICATIONS, set);
    }
}

/// An indication that says the request was refused; its code is its bit.
fn refusal(indications: u16) -> Option<(u32, &'static str)> {
    let refusing = (0..).zip(INDICATIONS).find(|(n, _)| matches!(n, 8 | 9 | 10 | 12) && indications >> n & 1 != 0);
    refusing.map(|(n, name)| (1 << n, name))
}

fn pair(source: u16, destination: u16) -> u32 {
    u32::from(source) << 16 | u32::from(destination)
}

/// Equal objects, equal number (FNV-1a): polls are told apart by it.
fn fold(names: &[String]) -> u32 {
    let bytes = names.iter().flat_map(|name| name.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

/// What a function is for. Clearing the restart bit (g80) and setting the clock are a master's daily work.
fn purpose(function: u8, objects: &Objects) -> (&'static str, bool) {
    match function {
        0 | 32 | 33 => ("session", false),
        1 if objects.first.is_some_and(|(group, _)| group == 70) => ("file", false),
        2 if objects.first.is_some_and(|(group, _)| group == 70) => ("file", true),
        1 | 7 | 8 | 11 | 12 => ("read", false),
        2 if objects.time => ("time", false),
        2 if objects.first == Some((80, 1)) => ("session", false),
        2 | 9 | 10 => ("write", true),
        3 => ("control", false),
        4..=6 => ("control", true),
        13 | 14 => ("restart", true),
        15..=18 => ("mode", true),
        20..=22 => ("configure", function == 21),
        23 | 24 => ("time", false),
        25 => ("file", objects.file.as_ref().is_none_or(|(_, changes)| *changes)),
        27 => ("file", true),
        26 | 28..=30 => ("file", false),
        _ => ("configure", true),
    }
}

const fn mode(function: u8) -> Option<&'static str> {
    Some(match function {
        3 => "select",
        4 => "operate",
        5 => "direct",
        6 => "direct_unacknowledged",
        _ => return None,
    })
}

const fn function_name(function: u8) -> &'static str {
    match function {
        0 => "confirm",
        1 => "read",
        2 => "write",
        3 => "select",
        4 => "operate",
        5 => "direct_operate",
        6 => "direct_operate_no_ack",
        7 => "immediate_freeze",
        8 => "immediate_freeze_no_ack",
        9 => "freeze_and_clear",
        10 => "freeze_and_clear_no_ack",
        11 => "freeze_at_time",
        12 => "freeze_at_time_no_ack",
        13 => "cold_restart",
        14 => "warm_restart",
        15 => "initialize_data",
        16 => "initialize_application",
        17 => "start_application",
        18 => "stop_application",
        19 => "save_configuration",
        20 => "enable_unsolicited",
        21 => "disable_unsolicited",
        22 => "assign_class",
        23 => "delay_measurement",
        24 => "record_current_time",
        25 => "open_file",
        26 => "close_file",
        27 => "delete_file",
        28 => "get_file_information",
        29 => "authenticate_file",
        30 => "abort_file",
        31 => "activate_configuration",
        32 => "authenticate_request",
        33 => "authenticate_request_no_ack",
        129 => "response",
        130 => "unsolicited_response",
        131 => "authenticate_response",
        _ => "other",
    }
}
