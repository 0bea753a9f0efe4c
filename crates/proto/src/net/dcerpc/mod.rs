//! DCE/RPC (C706, MS-RPCE) over TCP and over SMB's named pipes: interfaces bound to, operations called, how they were answered, who asked.
//!
//! What is sealed stays unread; interface and number of the operation are readable all the same. Equal calls of one connection are counted
//! (see `ot`): a domain member calls the same few operations all day.
//!
//! Limits: `CONTEXTS_MAX` interfaces and `CALLS_MAX` open calls a conversation; `HEAD_BYTES` of a fragment are looked at.

mod interface;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use event::{Event, Kind, LogSource, Timestamp, Value, field};

use super::frames::{Frames, Shape};
use super::login::{self, Outcome};
use super::ot::{Teller, le16};
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, ntlm};

pub static DCERPC: Protocol = Protocol {
    name: "dce_rpc",
    about: "interfaces bound to, operations called and how they were answered",
    fields: login::fields![
        field::COMMAND,
        field::RPC_INTERFACE,
        field::RPC_UUID,
        field::RPC_OPNUM,
        field::RPC_OPERATION,
        field::REPLY_CODE,
        field::NTLM_SERVER,
        field::NTLM_SERVER_DOMAIN,
        field::COUNT,
    ],
    anomalies: &["dce_rpc_out_of_sync"],
    probe,
    open: |_| Box::new(DceRpc::default()),
};

const HEADER_BYTES: usize = 16;
const HEAD_BYTES: usize = 4 << 10;
const CONTEXTS_MAX: usize = 32;
const CALLS_MAX: usize = 16;

/// Types of fragments.
const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const BIND: u8 = 11;
const BIND_ACK: u8 = 12;
const BIND_NAK: u8 = 13;
const ALTER: u8 = 14;
const ALTER_RESPONSE: u8 = 15;
const AUTH3: u8 = 16;

static SHAPE: Shape = Shape {
    header: HEADER_BYTES,
    keep: HEAD_BYTES,
    length: |b| {
        let length = usize::from(get16(b, 8)?);
        (is_fragment(b) && length >= HEADER_BYTES).then_some(length)
    },
    sync: |b| (b.len() >= HEADER_BYTES && is_fragment(b)).then_some(0),
};

/// Version 5.0 or 5.1, a type there is, a data representation there is.
pub(crate) fn is_fragment(b: &[u8]) -> bool {
    matches!(b, [5, 0 | 1, 0..=19, _, 0x00 | 0x01 | 0x10 | 0x11, 0..=3, 0, 0, ..])
}

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match (carrier, bytes) {
        (Carrier::Udp, _) => Probe::No,
        // The first and last fragment of a binding; joined later, a request or an answer.
        (_, [5, 0 | 1, BIND | ALTER | BIND_ACK | ALTER_RESPONSE | REQUEST | RESPONSE, _, 0x10 | 0, 0, 0, 0, ..])
            if bytes.len() >= HEADER_BYTES && get16(bytes, 8).is_some_and(|l| usize::from(l) >= HEADER_BYTES + 8) =>
        {
            Probe::Yes
        }
        (_, [5]) => Probe::Maybe,
        (_, [5, 0 | 1, rest @ ..]) if bytes.len() < HEADER_BYTES && rest.first().is_none_or(|t| matches!(*t, 0 | 2 | 11..=15)) => {
            Probe::Maybe
        }
        _ => Probe::No,
    }
}

fn get16(b: &[u8], at: usize) -> Option<u16> {
    let little = b.get(4)? & 0x10 != 0;
    let n = le16(b, at)?;
    Some(if little { n } else { n.swap_bytes() })
}

fn get32(b: &[u8], at: usize) -> Option<u32> {
    let little = b.get(4)? & 0x10 != 0;
    let n = super::ot::le32(b, at)?;
    Some(if little { n } else { n.swap_bytes() })
}

type Uuid = [u8; 16];

struct Call {
    number: u32,
    uuid: Option<Uuid>,
    opnum: u16,
}

/// One association: over TCP the connection, over SMB one open pipe.
#[derive(Default)]
pub(crate) struct Conversation {
    contexts: Vec<(u16, Uuid)>,
    calls: VecDeque<Call>,
    /// Interfaces of a binding that waits for its answer.
    bound: Vec<Uuid>,
    talk: ntlm::Talk,
    /// A log-in whose first call has not been answered.
    open: bool,
    teller: Teller<16>,
    client: Option<Side>,
}

impl Conversation {
    /// Takes the head of one fragment. `dress` adds what the carrier knows (share, pipe).
    pub(crate) fn fragment(&mut self, side: Side, b: &[u8], time: Timestamp, dress: &dyn Fn(&mut Event), out: &mut dyn Emit) {
        if !is_fragment(b) {
            return;
        }
        let (Some(kind), Some(flags), Some(number)) = (b.get(2).copied(), b.get(3).copied(), get32(b, 12)) else { return };
        match kind {
            BIND | ALTER => {
                self.client = Some(side);
                self.bound.clear();
                let mut at = 28;
                for _ in 0..usize::from(b.get(24).copied().unwrap_or(0)).min(CONTEXTS_MAX) {
                    let (Some(id), Some(transfers)) = (get16(b, at), b.get(at + 2)) else { break };
                    let Some(uuid) = b.get(at + 4..at + 20).and_then(|u| Uuid::try_from(u).ok()) else { break };
                    at += 24 + 20 * usize::from(*transfers);
                    if let Some(context) = self.contexts.iter_mut().find(|c| c.0 == id) {
                        context.1 = uuid;
                    } else if self.contexts.len() < CONTEXTS_MAX {
                        self.contexts.push((id, uuid));
                    }
                    // The same interface is offered once a transfer syntax.
                    if !self.bound.contains(&uuid) {
                        self.bound.push(uuid);
                    }
                }
                // A binding altered may carry the end of a log-in.
                self.open = self.talk.take(b) && self.talk.login.user.is_some();
            }
            BIND_ACK | ALTER_RESPONSE | BIND_NAK => {
                self.talk.take(b);
                if std::mem::take(&mut self.open) {
                    let result = if kind == BIND_NAK { Outcome::Failure } else { Outcome::Success };
                    self.log_in(result, side.other(), time, dress, out);
                }
                let outcome = if kind == BIND_NAK { 2 } else { 1 };
                for uuid in std::mem::take(&mut self.bound) {
                    let mut event = describe("bind", Some(uuid), None, time);
                    event.body.set(field::STATUS_ID, outcome);
                    if kind == BIND_NAK {
                        event.body.set_some(field::REPLY_CODE, get16(b, 16));
                    }
                    dress(&mut event);
                    self.teller.poll([u32::from(kind), key(uuid), 0, 0], side.other(), event, out);
                }
            }
            AUTH3 => self.open = self.talk.take(b),
            // Only the first fragment of a call names it anew; the others repeat it.
            REQUEST if flags & 1 != 0 => {
                self.client = Some(side);
                let (Some(context), Some(opnum)) = (get16(b, 20), get16(b, 22)) else { return };
                let uuid = self.contexts.iter().find(|c| c.0 == context).map(|c| c.1);
                self.calls.push_back(Call { number, uuid, opnum });
                if self.calls.len() > CALLS_MAX
                    && let Some(call) = self.calls.pop_front()
                {
                    self.tell(call, None, side, time, dress, out);
                }
            }
            RESPONSE | FAULT if flags & 1 != 0 => {
                let refusal = if kind == FAULT { Some(get32(b, 24).unwrap_or(0)) } else { None };
                if std::mem::take(&mut self.open) {
                    // 5: access denied. Any other answer is one to somebody who is let in.
                    self.log_in(if refusal == Some(5) { Outcome::Failure } else { Outcome::Success }, side.other(), time, dress, out);
                }
                if let Some(at) = self.calls.iter().position(|c| c.number == number)
                    && let Some(call) = self.calls.remove(at)
                {
                    self.tell(call, Some(refusal), side.other(), time, dress, out);
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, call: Call, answer: Option<Option<u32>>, by: Side, time: Timestamp, dress: &dyn Fn(&mut Event), out: &mut dyn Emit) {
        let mut event = describe("call", call.uuid, Some(call.opnum), time);
        let refusal = answer.flatten();
        event.body.set(field::STATUS_ID, answer.map_or(0, |a| if a.is_some() { 2 } else { 1 }));
        event.body.set_some(field::REPLY_CODE, refusal);
        let user = self.talk.login.user.as_deref().filter(|u| !u.is_empty());
        event.body.set_some(field::USER_NAME, user.map(Value::from));
        dress(&mut event);
        self.teller.poll(
            [u32::from(call.opnum), call.uuid.map_or(0, key), refusal.unwrap_or(0), u32::from(answer.is_some())],
            by,
            event,
            out,
        );
    }

    fn log_in(&mut self, outcome: Outcome, by: Side, time: Timestamp, dress: &dyn Fn(&mut Event), out: &mut dyn Emit) {
        let mut event = self.talk.login.clone().event("dce_rpc", outcome, time);
        self.talk.put(&mut event);
        dress(&mut event);
        login::tell(by, event, None, out);
    }

    pub(crate) fn end(&mut self, now: Timestamp, dress: &dyn Fn(&mut Event), out: &mut dyn Emit) {
        let by = self.client.unwrap_or(Side::Originator);
        if std::mem::take(&mut self.open) {
            self.log_in(Outcome::Unknown, by, now, dress, out);
        }
        while let Some(call) = self.calls.pop_front() {
            self.tell(call, None, by, now, dress, out);
        }
        self.teller.end(out);
    }
}

fn key(uuid: Uuid) -> u32 {
    super::wording::key(&uuid)
}

fn describe(command: &'static str, uuid: Option<Uuid>, opnum: Option<u16>, time: Timestamp) -> Event {
    let mut event = Event::new(time, Kind::NetworkActivity, 6, LogSource::new("", "dce_rpc", "dce_rpc")).with(field::COMMAND, command);
    if let Some(uuid) = uuid {
        let text = interface::text(uuid);
        let known = interface::find(&text);
        event.body.set(field::RPC_INTERFACE, known.map_or(&*text, |i| i.name));
        if let (Some(known), Some(opnum)) = (known, opnum) {
            event.body.set_some(field::RPC_OPERATION, known.operation(opnum));
        }
        event.body.set(field::RPC_UUID, text);
    }
    event.body.set_some(field::RPC_OPNUM, opnum);
    event
}

#[derive(Default)]
struct DceRpc {
    frames: [Frames; 2],
    conversation: Conversation,
    met: bool,
}

impl Parser for DceRpc {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.frames[at].gap();
        }
        let (conversation, met) = (&mut self.conversation, &mut self.met);
        let in_step = self.frames[at].feed(&SHAPE, piece.bytes, &mut |head, _| {
            *met = true;
            conversation.fragment(piece.side, head, piece.time, &|_| {}, out);
            true
        });
        if !in_step && self.met {
            out.anomaly("dce_rpc_out_of_sync", "bytes between fragments", piece.time);
        }
        Want::Whole
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        self.conversation.end(now, &|_| {}, out);
    }
}
