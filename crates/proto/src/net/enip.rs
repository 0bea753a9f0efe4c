//! EtherNet/IP (ODVA, The CIP Networks Library volume 2, chapter 2) over TCP and UDP with CIP (volume 1) and PCCC inside.
//!
//! Encapsulation commands are events of the service `enip`, CIP requests of the service `cip`: one event a request with its answer, also those inside
//! unconnected sends and multiple-service packets, each with class, instance and attribute or the tag named. Cyclic I/O is counted a
//! connection; reads are counted (see `ot`). Requests without an answer are told after a second.
//!
//! Limits: a message is at most `MESSAGE_BYTES_MAX` bytes, `DEPTH_MAX` services lie within
//! each other, `MULTIPLE_MAX` side by side. What is no message is an anomaly; reading goes on at the next one that begins a piece.

mod cip;
#[cfg(test)]
mod tests;

use event::{Timestamp, field};

use self::cip::{Answer, Request};
use super::ot::{self, Asked, Teller, Waiting, le16, le32};
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want};

pub static ENIP: Protocol = Protocol {
    name: "enip",
    about: "EtherNet/IP sessions and CIP requests with their answers, PCCC, cyclic I/O recognised",
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
    anomalies: &["enip_malformed", "enip_out_of_sync"],
    probe,
    open: |carrier| Box::new(Enip { datagrams: carrier == Carrier::Udp, ..Enip::default() }),
};

const HEADER_BYTES: usize = 24;
/// Large forward opens allow 64 KiB; controllers stay far below.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
const HELD_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
const DEPTH_MAX: u8 = 4;
const MULTIPLE_MAX: usize = 64;
const ITEMS_MAX: usize = 8;
/// Service under which an unconnected send waits: tags are read with the same number.
const CARRIER: u8 = 0xff;

struct Header {
    command: u16,
    length: usize,
    session: u32,
    status: u32,
    context: u64,
}

/// The encapsulation header (2-3.1), if these bytes can begin one.
fn header(bytes: &[u8]) -> Option<Header> {
    let header = Header {
        command: le16(bytes, 0)?,
        length: usize::from(le16(bytes, 2)?),
        session: le32(bytes, 4)?,
        status: le32(bytes, 8)?,
        context: bytes.get(12..20)?.try_into().ok().map(u64::from_le_bytes)?,
    };
    let length = header.length;
    let good = match header.command {
        0x00 => true,
        0x04 | 0x63 | 0x64 => length == 0 || length >= 6,
        0x65 => length == 4 || length == 0 && header.status != 0,
        0x66 => length == 0,
        0x6f | 0x70 => length >= 6 + 2 || header.status != 0,
        0x72 | 0x73 => true,
        _ => false,
    };
    (good && header.status <= 0xffff && HEADER_BYTES + length <= MESSAGE_BYTES_MAX && le32(bytes, 20)? == 0).then_some(header)
}

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    if carrier == Carrier::Udp && is_cyclic(bytes) {
        return Probe::Yes;
    }
    match header(bytes) {
        // A NOP is all zero: it proves nothing.
        Some(Header { command: 0, .. }) => Probe::No,
        Some(header) if bytes.len() >= HEADER_BYTES + header.length || carrier == Carrier::Tcp => Probe::Yes,
        Some(_) => Probe::No,
        None if carrier == Carrier::Tcp && bytes.len() < HEADER_BYTES => match bytes {
            [0x04 | 0x63..=0x66 | 0x6f | 0x70] | [0x04 | 0x63..=0x66 | 0x6f | 0x70, 0, ..] => Probe::Maybe,
            _ => Probe::No,
        },
        None => Probe::No,
    }
}

/// Cyclic I/O is a bare packet of two items: a sequenced address and connected data.
fn is_cyclic(bytes: &[u8]) -> bool {
    bytes.starts_with(&[2, 0, 0x02, 0x80, 8, 0])
        && le16(bytes, 14) == Some(0xb1)
        && le16(bytes, 16).is_some_and(|n| bytes.len() == 18 + usize::from(n))
}

/// What joins an answer with its request: the sender's context, or the number within a connection.
type Token = (u32, u64, u16);

#[derive(Default)]
struct Enip {
    datagrams: bool,
    held: [Held; 2],
    met: [bool; 2],
    /// By token and service.
    waiting: Waiting<(Token, u8)>,
    teller: Teller,
}

impl Parser for Enip {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if self.datagrams && is_cyclic(piece.bytes) {
            self.cyclic(piece, out);
            return Want::More;
        }
        if piece.gap || self.datagrams {
            self.held[at].clear();
            self.met[at] = false;
        }
        let mut held = std::mem::take(&mut self.held[at]);
        for part in piece.bytes.chunks(MESSAGE_BYTES_MAX) {
            held.add(part, HELD_BYTES_MAX);
            while held.bytes().len() >= HEADER_BYTES {
                let Some(header) = header(held.bytes()) else {
                    if std::mem::take(&mut self.met[at]) {
                        out.anomaly("enip_out_of_sync", "bytes between messages", piece.time);
                    }
                    // No start bytes to look for: the next piece begins a message, as devices send them.
                    held.clear();
                    break;
                };
                let whole = HEADER_BYTES + header.length;
                let Some(body) = held.bytes().get(HEADER_BYTES..whole) else { break };
                self.met[at] = true;
                self.message(piece.side, &header, body, piece.time, out);
                held.eat(whole);
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

impl Enip {
    fn cyclic(&mut self, piece: Piece<'_>, out: &mut dyn Emit) {
        let mut event = ot::event("enip", "unsolicited", "cyclic_io", piece.time);
        let connection = le32(piece.bytes, 6).unwrap_or(0);
        event.body.set(field::OT_OBJECT_TYPE, "connection");
        event.body.set(field::OT_OBJECT_ADDRESS, connection);
        ot::purpose(&mut event, "read", false);
        self.teller.poll([0x1000, connection, 0, 0], piece.side, event, out);
    }

    fn message(&mut self, side: Side, header: &Header, body: &[u8], time: Timestamp, out: &mut dyn Emit) {
        if matches!(header.command, 0x6f | 0x70) && header.status == 0 {
            return self.carried(side, header, body, time, out);
        }
        let token = (header.session, header.context, header.command);
        let service = u8::try_from(header.command).unwrap_or(0);
        // An answer is told by what waits for it; where nothing does, by what only answers carry.
        let fits = |(_, context, command): Token| command == header.command && context == header.context;
        if let Some(Asked { mut event, time: asked, key, by, .. }) = self.waiting.take(|a| a.by != side && fits(a.id.0)) {
            ot::answered(&mut event, asked, time);
            ot::outcome(&mut event, (header.status != 0).then(|| (header.status, encapsulation_error(header.status))));
            if key[0] == 0x165 {
                self.teller.single(by, event, out)
            } else {
                self.teller.poll(key, by, event, out)
            }
            return;
        }
        let answers = header.status != 0 || matches!(header.command, 0x04 | 0x63 | 0x64) && !body.is_empty();
        let mut event = ot::event("enip", if answers { "response" } else { "request" }, command_name(header.command), time);
        event.body.set(field::OT_FUNCTION, header.command);
        ot::purpose(&mut event, if matches!(header.command, 0x04 | 0x63 | 0x64) { "identify" } else { "session" }, false);
        let key = [0x100 | u32::from(header.command), 0, 0, 0];
        if answers || matches!(header.command, 0x00 | 0x66 | 0x72 | 0x73) {
            return self.teller.poll(key, if answers { side.other() } else { side }, event, out);
        }
        self.waiting.ask(Asked { id: (token, service), by: side, time, key, event }, &mut self.teller, out);
    }

    /// The common packet format (2-6): items with an address and with data.
    fn carried(&mut self, side: Side, header: &Header, body: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let count = le16(body, 6).unwrap_or(0);
        let mut rest = body.get(8..).unwrap_or_default();
        for _ in 0..usize::from(count).min(ITEMS_MAX) {
            let (Some(kind), Some(length)) = (le16(rest, 0), le16(rest, 2)) else {
                return out.anomaly("enip_malformed", "an item without a length", time);
            };
            let Some(item) = rest.get(4..4 + usize::from(length)) else {
                return out.anomaly("enip_malformed", "an item goes past the end", time);
            };
            rest = rest.get(4 + usize::from(length)..).unwrap_or_default();
            match kind {
                0xb2 => self.service(side, (header.session, header.context, 0), item, time, out),
                0xb1 => {
                    // The two directions of a connection have identifiers of their own; the session and the number are shared.
                    let (Some(number), Some(content)) = (le16(item, 0), item.get(2..)) else { continue };
                    self.service(side, (header.session, u64::MAX, number), content, time, out);
                }
                _ => {}
            }
        }
    }

    /// A CIP message: requests have no high bit in the service, answers do.
    fn service(&mut self, side: Side, token: Token, bytes: &[u8], time: Timestamp, out: &mut dyn Emit) {
        match bytes.first() {
            None => {}
            Some(service) if service & 0x80 == 0 => self.request(side, token, bytes, time, DEPTH_MAX, out),
            Some(_) => self.answer(side, token, bytes, time, DEPTH_MAX, out),
        }
    }

    fn request(&mut self, side: Side, token: Token, bytes: &[u8], time: Timestamp, depth: u8, out: &mut dyn Emit) {
        let Some(request) = Request::read(bytes) else {
            return out.anomaly("enip_malformed", "a CIP request without a path", time);
        };
        let mut event = ot::event("cip", "request", request.name(), time);
        event.body.set(field::OT_TRANSACTION, token.2);
        request.put(&mut event);
        let key = request.key();
        let service = if request.is_carrier() { CARRIER } else { request.service };
        self.waiting.ask(Asked { id: (token, service), by: side, time, key, event }, &mut self.teller, out);
        let Some(depth) = depth.checked_sub(1) else { return };
        for inner in request.inner(MULTIPLE_MAX) {
            self.request(side, token, inner, time, depth, out);
        }
    }

    fn answer(&mut self, side: Side, token: Token, bytes: &[u8], time: Timestamp, depth: u8, out: &mut dyn Emit) {
        let Some(answer) = Answer::read(bytes) else {
            return out.anomaly("enip_malformed", "a CIP answer without a status", time);
        };
        // An unconnected send that went through is answered by the answer of what it carried.
        if answer.service != 0x52
            && let Some(Asked { event, key, by, .. }) = self.waiting.take(|a| a.by != side && a.id == (token, CARRIER))
        {
            self.teller.poll(key, by, event, out);
        }
        let service = if answer.service == 0x52 { CARRIER } else { answer.service };
        let of = |(its, asked): (Token, u8)| its == token && (asked == answer.service || asked == service);
        if let Some(Asked { mut event, time: asked, key, by, .. }) = self.waiting.take(|a| a.by != side && of(a.id)) {
            ot::answered(&mut event, asked, time);
            ot::outcome(&mut event, answer.refusal());
            answer.put(&mut event);
            self.teller.poll(key, by, event, out);
        } else {
            let mut event = ot::event("cip", "response", cip::service_name(answer.service, None), time);
            event.body.set(field::OT_FUNCTION, answer.service);
            event.body.set(field::OT_TRANSACTION, token.2);
            ot::purpose(&mut event, "read", false);
            ot::outcome(&mut event, answer.refusal());
            answer.put(&mut event);
            self.teller.poll([0x200 | u32::from(answer.service), 0, 0, 0], side.other(), event, out);
        }
        let Some(depth) = depth.checked_sub(1) else { return };
        for inner in answer.inner(MULTIPLE_MAX) {
            self.answer(side, token, inner, time, depth, out);
        }
    }
}

const fn command_name(command: u16) -> &'static str {
    match command {
        0x00 => "nop",
        0x04 => "list_services",
        0x63 => "list_identity",
        0x64 => "list_interfaces",
        0x65 => "register_session",
        0x66 => "unregister_session",
        0x6f => "send_rr_data",
        0x70 => "send_unit_data",
        0x72 => "indicate_status",
        0x73 => "cancel",
        _ => "other",
    }
}

const fn encapsulation_error(status: u32) -> &'static str {
    match status {
        0x01 => "invalid_command",
        0x02 => "insufficient_memory",
        0x03 => "incorrect_data",
        0x64 => "invalid_session",
        0x65 => "invalid_length",
        0x69 => "unsupported_protocol_version",
        _ => "other",
    }
}
