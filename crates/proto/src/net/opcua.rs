//! OPC UA over its binary TCP (OPC 10000-6): channels with their security policy, sessions with their identity, services with their answers.
//!
//! Service, nodes and result are read where the channel is not encrypted; of an encrypted one its policy and its opening are told, and that
//! there were messages. Reads, browsing and publishing are counted (see `ot`). Of a message in chunks the first is read.
//!
//! Limits: a chunk is read to `CHUNK_BYTES_MAX` bytes, the rest of a longer one is passed over; `NAMED_MAX` nodes
//! are named. What is no chunk is an anomaly; reading goes on at the next piece that begins with one.

mod body;
#[cfg(test)]
mod tests;

use event::{Timestamp, field};

use self::body::{Cursor, service_name};
use super::ot::{self, Asked, Teller, Waiting, le32};
use super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want};

pub static OPCUA: Protocol = Protocol {
    name: "opcua",
    about: "OPC UA channels, sessions, services and nodes where they are not encrypted",
    fields: &[
        field::OT_PROTOCOL,
        field::OT_FUNCTION,
        field::OT_FUNCTION_NAME,
        field::OT_OBJECTS,
        field::OT_OBJECT_COUNT,
        field::OT_DIRECTION,
        field::OT_ACCESS,
        field::OT_IS_WRITE,
        field::OT_EXCEPTION,
        field::OT_EXCEPTION_NAME,
        field::OT_SECURITY_POLICY,
        field::OT_IDENTITY_TYPE,
        field::USER_NAME,
        field::OT_TRANSACTION,
        field::OT_RESPONSE_MS,
        field::STATUS_ID,
        field::COUNT,
    ],
    anomalies: &["opcua_malformed", "opcua_out_of_sync"],
    probe,
    open: |_| Box::new(OpcUa::default()),
};

const HEADER_BYTES: usize = 8;
/// What is looked at of a chunk.
const CHUNK_BYTES_MAX: usize = 8 << 10;
/// Servers allow 64 KiB and more; what claims beyond this is no chunk.
const CHUNK_CLAIM_MAX: usize = 16 << 20;

/// Kind and whole length of the chunk these bytes begin, if they do.
fn chunk(bytes: &[u8]) -> Option<([u8; 3], u8, usize)> {
    let &[a, b, c, last, ..] = bytes else { return None };
    let kind = [a, b, c];
    let length = usize::try_from(le32(bytes, 4)?).ok()?;
    let known = matches!(&kind, b"HEL" | b"ACK" | b"ERR" | b"RHE" | b"OPN" | b"CLO" | b"MSG") && matches!(last, b'F' | b'C' | b'A');
    (known && (HEADER_BYTES + 4..=CHUNK_CLAIM_MAX).contains(&length)).then_some((kind, last, length))
}

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    let begins = |kind: &[u8; 4]| kind.starts_with(bytes.get(..bytes.len().min(4)).unwrap_or_default());
    if carrier == Carrier::Udp {
        Probe::No
    } else if chunk(bytes).is_some() {
        Probe::Yes
    } else if bytes.len() < HEADER_BYTES && [b"HELF", b"ACKF", b"OPNF", b"CLOF", b"MSGF", b"MSGC"].into_iter().any(begins) {
        Probe::Maybe
    } else {
        Probe::No
    }
}

#[derive(Default)]
struct OpcUa {
    held: [Held; 2],
    met: [bool; 2],
    /// Bytes of a long chunk that are still to be passed over.
    passed: [usize; 2],
    /// A message of which chunks are still to come.
    amidst: [bool; 2],
    /// By request number and type of its body.
    waiting: Waiting<(u32, u32)>,
    teller: Teller,
}

impl Parser for OpcUa {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.held[at].clear();
            (self.met[at], self.passed[at], self.amidst[at]) = (false, 0, false);
        }
        let mut held = std::mem::take(&mut self.held[at]);
        for part in piece.bytes.chunks(CHUNK_BYTES_MAX) {
            let part = part.get(self.passed[at].min(part.len())..).unwrap_or_default();
            self.passed[at] = self.passed[at].saturating_sub(piece.bytes.len().min(CHUNK_BYTES_MAX));
            held.add(part, 2 * CHUNK_BYTES_MAX);
            while held.bytes().len() >= HEADER_BYTES {
                let Some((kind, last, length)) = chunk(held.bytes()) else {
                    if std::mem::take(&mut self.met[at]) {
                        out.anomaly("opcua_out_of_sync", "bytes between chunks", piece.time);
                    }
                    held.clear();
                    break;
                };
                let Some(bytes) = held.bytes().get(..length.min(CHUNK_BYTES_MAX)) else { break };
                self.met[at] = true;
                let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
                if self.chunk(piece.side, kind, last, body, piece.time, out).is_none() {
                    out.anomaly("opcua_malformed", "a chunk ends too early", piece.time);
                }
                self.passed[at] = length.saturating_sub(held.bytes().len());
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

impl OpcUa {
    fn chunk(&mut self, side: Side, kind: [u8; 3], last: u8, body: &[u8], time: Timestamp, out: &mut dyn Emit) -> Option<()> {
        let mut cursor = Cursor(body);
        match &kind {
            b"HEL" | b"RHE" | b"ACK" => {}
            b"ERR" => {
                let mut event = ot::event("opcua", "response", "error", time);
                ot::purpose(&mut event, "session", false);
                let status = cursor.u32()?;
                ot::outcome(&mut event, Some((status, body::status_name(status))));
                self.teller.single(side.other(), event, out);
            }
            b"OPN" => {
                cursor.u32()?;
                let policy = String::from_utf8_lossy(cursor.bytes()?).into_owned();
                cursor.bytes()?;
                cursor.bytes()?;
                // An opening is encrypted wherever there is a policy.
                if !policy.is_empty() && !policy.ends_with("None") {
                    let mut event = ot::event("opcua", "request", "open_secure_channel", time);
                    event.body.set(field::OT_SECURITY_POLICY, policy);
                    ot::purpose(&mut event, "session", false);
                    self.teller.poll([1, 0, 0, 0], side, event, out);
                    return Some(());
                }
                cursor.u32()?;
                let request = cursor.u32()?;
                self.message(side, request, Some(policy), cursor, time, out)?;
            }
            _ => {
                let first = !std::mem::replace(&mut self.amidst[side as usize], last == b'C');
                if !first {
                    return Some(());
                }
                cursor.u32()?;
                cursor.u32()?;
                cursor.u32()?;
                let request = cursor.u32()?;
                // Signed channels are readable too: without encryption every body begins with a type the standard numbers.
                let known = |n: u32| n == 397 || service_name(n).is_some() || body::answer_of(n).and_then(service_name).is_some();
                let plain = Cursor(cursor.0).node().and_then(|n| n.standard()).is_some_and(known);
                if plain {
                    self.message(side, request, None, cursor, time, out)?;
                } else {
                    let mut event = ot::event("opcua", "request", "encrypted_message", time);
                    ot::purpose(&mut event, "session", false);
                    self.teller.poll([2, 0, 0, 0], Side::Originator, event, out);
                }
            }
        }
        Some(())
    }

    fn message(
        &mut self,
        side: Side,
        request: u32,
        policy: Option<String>,
        mut cursor: Cursor<'_>,
        time: Timestamp,
        out: &mut dyn Emit,
    ) -> Option<()> {
        let service = cursor.node()?.standard()?;
        let Some(name) = service_name(service) else {
            return self.answer(side, request, service, cursor, time, out);
        };
        let mut event = ot::event("opcua", "request", name, time);
        event.body.set(field::OT_FUNCTION, service);
        event.body.set(field::OT_TRANSACTION, request);
        event.body.set_some(field::OT_SECURITY_POLICY, policy);
        let (access, is_write) = body::purpose(service);
        ot::purpose(&mut event, access, is_write);
        body::describe(&mut event, service, cursor);
        let mut key = [service, 0, 0, 0];
        // Answers of publishing come when there is something to publish.
        if service == 826 {
            key[3] = 2;
            self.teller.poll(key, side, event, out);
            return Some(());
        }
        self.waiting.ask(Asked { id: (request, service), by: side, time, key, event }, &mut self.teller, out);
        Some(())
    }

    fn answer(&mut self, side: Side, request: u32, kind: u32, mut cursor: Cursor<'_>, time: Timestamp, out: &mut dyn Emit) -> Option<()> {
        // Time and handle, then the result.
        cursor.take(12)?;
        let status = cursor.u32()?;
        let refusal = (status >= 0x8000_0000).then(|| (status, body::status_name(status)));
        if let Some(Asked { id: (_, service), mut event, time: asked, key, by }) = self.waiting.take(|a| a.by != side && a.id.0 == request)
        {
            ot::answered(&mut event, asked, time);
            ot::outcome(&mut event, refusal);
            // Channels, sessions and calls are told one by one.
            if matches!(service, 446 | 461 | 467 | 712) {
                self.teller.single(by, event, out)
            } else {
                self.teller.poll(key, by, event, out)
            }
            return Some(());
        }
        let name = body::answer_of(kind).and_then(service_name).unwrap_or(if kind == 397 { "service_fault" } else { "other" });
        let mut event = ot::event("opcua", "response", name, time);
        event.body.set(field::OT_FUNCTION, kind);
        event.body.set(field::OT_TRANSACTION, request);
        ot::purpose(&mut event, "read", false);
        ot::outcome(&mut event, refusal);
        self.teller.poll([0x1_0000 | kind, 0, 0, 0], side.other(), event, out);
        Some(())
    }
}
