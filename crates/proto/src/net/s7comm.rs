//! S7comm (Siemens S7-300/400 and compatible) over ISO transport on TCP (RFC 1006, ISO 8073 class 0); S7comm-plus recognised by its function.
//!
//! The protocol is not published; the layout is that of the open libraries and of tshark's dissector, checked against captures. One event
//! says who asked what of which controller and how it went; the source is always the side that asks, also in a download, where the controller
//! fetches the blocks itself. Reads and cyclic data are counted (see `ot`); an item of a read or write is named as engineers do (`DB3.DBX4.2`).
//!
//! Limits: a message is at most `MESSAGE_BYTES_MAX` bytes, `NAMED_MAX` items are named. What does not parse is an
//! anomaly; reading goes on at the next bytes that begin a TPKT with S7 inside.

mod items;
#[cfg(test)]
mod tests;

use event::{Timestamp, field};

use self::items::{Items, block_name};
use super::ot::{self, Asked, Teller, Waiting};
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want, be16};

pub static S7COMM: Protocol = Protocol {
    name: "s7comm",
    about: "S7comm jobs with their answers, user data, S7comm-plus by function",
    fields: &[
        field::OT_PROTOCOL,
        field::OT_FUNCTION,
        field::OT_FUNCTION_NAME,
        field::OT_SUB_FUNCTION,
        field::OT_SUB_FUNCTION_NAME,
        field::OT_OBJECT_TYPE,
        field::OT_OBJECT_ADDRESS,
        field::OT_OBJECT_COUNT,
        field::OT_OBJECTS,
        field::OT_VALUE,
        field::OT_VALUES,
        field::OT_PROGRAM,
        field::OT_DIRECTION,
        field::OT_ACCESS,
        field::OT_IS_WRITE,
        field::OT_EXCEPTION,
        field::OT_EXCEPTION_NAME,
        field::OT_TRANSACTION,
        field::OT_RESPONSE_MS,
        field::STATUS_ID,
        field::COUNT,
    ],
    anomalies: &["s7comm_malformed", "s7comm_out_of_sync", "s7comm_message_too_long"],
    probe,
    open: |_| Box::new(S7::default()),
};

/// A PDU is negotiated to at most 960 bytes by devices known; more comes in parts.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
const HELD_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
/// Packets of a connection's start that the probe looks through for the first with S7 inside.
const PROBE_PACKETS_MAX: usize = 4;

/// What stands at the front: a TPKT with a COTP header.
enum Front<'b> {
    /// Data: its content, whether it is the last part, and the length of all.
    Data(&'b [u8], bool, usize),
    /// Connection request, confirmation, disconnect.
    Other(usize),
    Wait,
    No,
}

fn front(bytes: &[u8]) -> Front<'_> {
    if !b"\x03\0".starts_with(&bytes[..bytes.len().min(2)]) {
        return Front::No;
    }
    let Some(whole) = be16(bytes, 2).map(usize::from) else { return Front::Wait };
    if !(7..=MESSAGE_BYTES_MAX).contains(&whole) {
        return Front::No;
    }
    let (Some(length), Some(kind)) = (bytes.get(4).map(|n| usize::from(*n)), bytes.get(5)) else { return Front::Wait };
    if 5 + length > whole {
        return Front::No;
    }
    match (kind & 0xf0, length) {
        (0xf0, 2) => match (bytes.get(6), bytes.get(7..whole)) {
            (Some(number), Some(content)) => Front::Data(content, number & 0x80 != 0, whole),
            _ => Front::Wait,
        },
        (0xe0 | 0xd0 | 0x80 | 0x70, 4..) if bytes.len() >= whole => Front::Other(whole),
        (0xe0 | 0xd0 | 0x80 | 0x70, 4..) => Front::Wait,
        _ => Front::No,
    }
}

fn is_message(content: &[u8]) -> bool {
    matches!(content, [0x32, 1 | 2 | 3 | 7, ..] if content.len() >= 10) || matches!(content, [0x72, 1..=3 | 0xfe, ..] if content.len() >= 4)
}

fn probe(carrier: Carrier, _: Side, mut bytes: &[u8]) -> Probe {
    if carrier == Carrier::Udp {
        return Probe::No;
    }
    for _ in 0..PROBE_PACKETS_MAX {
        match front(bytes) {
            Front::Data(content, ..) if is_message(content) => return Probe::Yes,
            // An acknowledgement without content.
            Front::Data([], _, whole) | Front::Other(whole) => bytes = bytes.get(whole..).unwrap_or_default(),
            Front::Wait => return Probe::Maybe,
            _ => return Probe::No,
        }
    }
    Probe::No
}

#[derive(Default)]
struct S7 {
    held: [Held; 2],
    /// Parts of a message that COTP has split.
    parts: [Held; 2],
    met: [bool; 2],
    /// The side that asks, once something told.
    asks: Option<Side>,
    /// By reference, function (of user data its group, with a bit above) and the side that sent it: a controller sends jobs too.
    waiting: Waiting<(u16, u16, Side)>,
    teller: Teller,
}

impl Parser for S7 {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.held[at].clear();
            self.parts[at].clear();
            self.met[at] = false;
        }
        let mut held = std::mem::take(&mut self.held[at]);
        for part in piece.bytes.chunks(MESSAGE_BYTES_MAX) {
            held.add(part, HELD_BYTES_MAX);
            loop {
                if held.bytes().is_empty() {
                    break;
                }
                let length = match front(held.bytes()) {
                    Front::Data(content, last, length) => {
                        self.met[at] = true;
                        self.data(piece.side, content, last, piece.time, out);
                        length
                    }
                    Front::Other(length) => length,
                    Front::Wait => break,
                    Front::No => {
                        if std::mem::take(&mut self.met[at]) {
                            out.anomaly("s7comm_out_of_sync", "bytes between packets", piece.time);
                        }
                        let rest = held.bytes().get(1..).unwrap_or_default();
                        1 + rest.iter().position(|b| *b == 3).unwrap_or(rest.len())
                    }
                };
                held.eat(length);
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

impl S7 {
    fn data(&mut self, side: Side, content: &[u8], last: bool, time: Timestamp, out: &mut dyn Emit) {
        let at = side as usize;
        if last && self.parts[at].bytes().is_empty() {
            return self.message(side, content, time, out);
        }
        if !self.parts[at].add(content, MESSAGE_BYTES_MAX) {
            return out.anomaly("s7comm_message_too_long", "parts past the limit are left out", time);
        }
        if last {
            let whole = std::mem::take(&mut self.parts[at]);
            self.message(side, whole.bytes(), time, out);
        }
    }

    fn message(&mut self, side: Side, message: &[u8], time: Timestamp, out: &mut dyn Emit) {
        match message {
            [] => {}
            [0x72, ..] => self.plus(side, message, time, out),
            &[0x32, kind @ (1 | 2 | 3 | 7), _, _, r0, r1, p0, p1, d0, d1, ref rest @ ..] => {
                let reference = u16::from_be_bytes([r0, r1]);
                let (error, rest) = match (kind, rest) {
                    (2 | 3, &[class, code, ref rest @ ..]) => (u16::from_be_bytes([class, code]), rest),
                    _ => (0, rest),
                };
                let (parameters, data) = (usize::from(u16::from_be_bytes([p0, p1])), usize::from(u16::from_be_bytes([d0, d1])));
                if rest.len() < parameters + data {
                    out.anomaly("s7comm_malformed", "lengths go past the end", time);
                }
                let (parameters, rest) = rest.split_at(parameters.min(rest.len()));
                let data = &rest[..data.min(rest.len())];
                match kind {
                    1 => self.job(side, reference, parameters, data, time, out),
                    7 => self.user_data(side, reference, parameters, data, time, out),
                    _ => self.answer(side, reference, error, parameters, data, time, out),
                }
            }
            _ => out.anomaly("s7comm_malformed", "neither S7comm nor S7comm-plus", time),
        }
    }

    /// The side that asks: it is not always the one that sends a job.
    fn asking(&mut self, sure: Option<Side>, guess: Side) -> Side {
        if let Some(side) = sure {
            self.asks = Some(side);
        }
        *self.asks.get_or_insert(guess)
    }

    fn job(&mut self, side: Side, reference: u16, parameters: &[u8], data: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let Some(function) = parameters.first().copied() else {
            return out.anomaly("s7comm_malformed", "a job without a function", time);
        };
        // In a download the controller asks for each block.
        let fetches = matches!(function, 0x1b | 0x1c);
        let by = self.asking((!fetches).then_some(side), side.other());
        let mut event = ot::event("s7comm", "request", function_name(function), time);
        event.body.set(field::OT_FUNCTION, function);
        event.body.set(field::OT_TRANSACTION, reference);
        let mut key = [u32::from(function), 0, 0, 0];
        match function {
            0x04 | 0x05 => {
                let items = Items::read(parameters.get(1..).unwrap_or_default(), if function == 5 { data } else { &[] });
                key[1] = items.number;
                items.put(&mut event);
            }
            0x1a..=0x1f => {
                let name = parameters.get(8).and_then(|n| parameters.get(9..9 + usize::from(*n)));
                event.body.set_some(field::OT_PROGRAM, name.map(block_name));
            }
            0x28 => {
                let argument = be16(parameters, 8).map_or(0, usize::from);
                let name = parameters.get(10 + argument).and_then(|n| parameters.get(11 + argument..11 + argument + usize::from(*n)));
                let argument = parameters.get(10..10 + argument).unwrap_or_default();
                event.body.set_some(field::OT_PROGRAM, name.map(text));
                let blocks: Vec<String> =
                    argument.get(2..).unwrap_or_default().chunks_exact(8).take(ot::NAMED_MAX).map(block_name).collect();
                if name.is_some_and(|n| matches!(n, b"_INSE" | b"_INS2" | b"_DELE")) {
                    ot::objects(&mut event, blocks);
                }
            }
            0x29 => {
                let name = parameters.get(6).and_then(|n| parameters.get(7..7 + usize::from(*n)));
                event.body.set_some(field::OT_PROGRAM, name.map(text));
            }
            _ => {}
        }
        let program = event.text(field::OT_PROGRAM).into_owned();
        let (access, is_write) = purpose(function, &program);
        ot::purpose(&mut event, access, is_write);
        let id = (reference, u16::from(function), side);
        self.waiting.ask(Asked { id, by, time, key, event }, &mut self.teller, out);
    }

    fn answer(&mut self, side: Side, reference: u16, error: u16, parameters: &[u8], data: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let function = parameters.first().copied();
        let fits = |(of, asked, by): (u16, u16, Side)| by != side && of == reference && function.is_none_or(|f| asked == u16::from(f));
        let mut refusal = (error != 0).then(|| (u32::from(error), items::error_name(error)));
        if refusal.is_none() && matches!(function, Some(4 | 5)) {
            refusal = items::refusal(parameters.get(1).copied().unwrap_or(0), data, function == Some(4));
        }
        if let Some(Asked { mut event, time: asked, key, .. }) = self.waiting.take(|a| fits(a.id)) {
            let by = self.asking(None, side.other());
            ot::answered(&mut event, asked, time);
            ot::outcome(&mut event, refusal);
            return self.teller.poll(key, by, event, out);
        }
        let fetched = matches!(function, Some(0x1b | 0x1c));
        let by = self.asking(None, if fetched { side } else { side.other() });
        let mut event = ot::event("s7comm", "response", function.map_or("other", function_name), time);
        event.body.set_some(field::OT_FUNCTION, function);
        event.body.set(field::OT_TRANSACTION, reference);
        ot::purpose(&mut event, function.map_or("session", |f| purpose(f, "").0), false);
        ot::outcome(&mut event, refusal);
        self.teller.poll([0x200 | u32::from(function.unwrap_or(0)), 0, 0, 0], by, event, out);
    }

    /// User data: `00 01 12`, length, method, type and group, sub-function, sequence; answers carry an error code.
    fn user_data(&mut self, side: Side, reference: u16, parameters: &[u8], data: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let &[_, _, _, _, _, kind, sub, sequence, ref rest @ ..] = parameters else {
            return out.anomaly("s7comm_malformed", "user data without a group", time);
        };
        let (kind, group) = (kind >> 4, kind & 0x0f);
        let function = 0x100 | u16::from(group);
        let error = be16(rest, 2).unwrap_or(0);
        let refusal = (kind == 8 && error != 0).then(|| (u32::from(error), items::error_name(error)));
        if kind == 8
            && let Some(Asked { mut event, time: asked, key, .. }) = self.waiting.take(|a| a.id == (reference, function, side.other()))
        {
            let by = self.asking(None, side.other());
            ot::answered(&mut event, asked, time);
            ot::outcome(&mut event, refusal);
            return self.teller.poll(key, by, event, out);
        }
        let (direction, by) = match kind {
            4 => ("request", self.asking(Some(side), side)),
            8 => ("response", self.asking(None, side.other())),
            _ => ("unsolicited", self.asking(None, side.other())),
        };
        let mut event = ot::event("s7comm", direction, items::group_name(group), time);
        event.body.set(field::OT_SUB_FUNCTION, sub);
        event.body.set(field::OT_SUB_FUNCTION_NAME, items::sub_name(group, sub));
        event.body.set(field::OT_TRANSACTION, reference);
        let (access, is_write) = items::purpose(group, sub);
        ot::purpose(&mut event, access, is_write && kind == 4);
        let mut key = [0x400 | u32::from(group) << 4 | u32::from(kind), u32::from(sub), 0, 0];
        // A status list is named by its number and index.
        if (group, sub, kind) == (4, 1, 4)
            && let (Some(list), Some(index)) = (be16(data, 4), be16(data, 6))
        {
            event.body.set(field::OT_OBJECT_TYPE, "system_status_list");
            event.body.set(field::OT_OBJECT_ADDRESS, list);
            ot::objects(&mut event, vec![format!("SZL {list:04x}.{index:04x}")]);
            key[2] = u32::from(list) << 16 | u32::from(index);
        }
        // Further parts of one answer are asked for with its number; nothing of it is lost by counting.
        if kind == 4 && sequence == 0 {
            let id = (reference, function, side);
            return self.waiting.ask(Asked { id, by, time, key, event }, &mut self.teller, out);
        }
        if kind == 8 {
            ot::outcome(&mut event, refusal);
        }
        key[3] = 2;
        self.teller.poll(key, by, event, out);
    }

    /// S7comm-plus: version, length, then operation and function in the clear (the rest is packed, later versions sign it).
    fn plus(&mut self, side: Side, message: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let &[_, version, _, _, ref body @ ..] = message else {
            return out.anomaly("s7comm_malformed", "S7comm-plus without a header", time);
        };
        // From version 3 on a signature stands in front.
        let body = if version == 3 && body.first() == Some(&0x20) { body.get(33..).unwrap_or_default() } else { body };
        let (operation, function) = (body.first().copied().unwrap_or(0), be16(body, 3).unwrap_or(0));
        let (direction, by) = match operation {
            0x31 => ("request", self.asking(Some(side), side)),
            0x32 => ("response", self.asking(None, side.other())),
            _ => ("unsolicited", self.asking(None, side.other())),
        };
        let name = if operation == 0x33 { "notification" } else { items::plus_name(function) };
        let mut event = ot::event("s7comm", direction, name, time);
        event.body.set(field::OT_PROTOCOL, "s7comm_plus");
        let (access, is_write) = items::plus_purpose(function);
        ot::purpose(&mut event, access, is_write && operation == 0x31);
        if matches!(operation, 0x31 | 0x32) {
            event.body.set(field::OT_FUNCTION, function);
            event.body.set_some(field::OT_TRANSACTION, be16(body, 7));
        }
        self.teller.poll([0x800 | u32::from(operation), u32::from(function), 0, 0], by, event, out);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a job is for. Of the program services only those that touch the program or its running are writes.
fn purpose(function: u8, program: &str) -> (&'static str, bool) {
    match function {
        0x04 => ("read", false),
        0x05 => ("write", true),
        0x1a..=0x1c => ("program", true),
        0x1d..=0x1f => ("program", false),
        0x28 if program == "P_PROGRAM" => ("mode", true),
        0x28 => ("program", true),
        0x29 => ("mode", true),
        0xf0 => ("session", false),
        _ => ("configure", false),
    }
}

const fn function_name(function: u8) -> &'static str {
    match function {
        0x00 => "cpu_services",
        0x04 => "read_var",
        0x05 => "write_var",
        0x1a => "request_download",
        0x1b => "download_block",
        0x1c => "download_ended",
        0x1d => "start_upload",
        0x1e => "upload",
        0x1f => "end_upload",
        0x28 => "pi_service",
        0x29 => "plc_stop",
        0xf0 => "setup_communication",
        _ => "other",
    }
}
