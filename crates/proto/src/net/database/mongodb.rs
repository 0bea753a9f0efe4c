//! MongoDB: SASL log-ins in `OP_MSG` and `OP_QUERY` (its wire protocol, and the Authentication specification of its drivers).

use event::{Timestamp, field};

use super::super::frames::{Frames, Shape};
use super::super::login::{self, Outcome};
use super::super::ot::le32;
use super::super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, wording};
use super::{Entry, HEAD_BYTES, fields};

pub static MONGODB: Protocol = Protocol {
    name: "mongodb",
    about: "log-ins with their database and outcome",
    fields: fields![],
    anomalies: &[],
    probe,
    open: |_| Box::new(MongoDb::default()),
};

const REPLY: u32 = 1;
const QUERY: u32 = 2004;
const MESSAGE: u32 = 2013;
const MESSAGE_BYTES_MAX: usize = 48_000_000;

static SHAPE: Shape = Shape {
    header: 16,
    keep: HEAD_BYTES,
    length: |b| {
        let length = le32(b, 0)? as usize;
        let known = matches!(le32(b, 12)?, REPLY | 2001..=2007 | 2012 | MESSAGE);
        (known && (16..=MESSAGE_BYTES_MAX).contains(&length)).then_some(length)
    },
    sync: |b| (b.len() >= 16).then(|| (SHAPE.length)(b)).flatten().map(|_| 0),
};

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match (carrier, bytes) {
        (Carrier::Udp, _) => Probe::No,
        (_, [_, _, _, 0..=2, _, _, _, _, _, _, _, _, 0xd4 | 0xdd, 7, 0, 0, ..]) if (SHAPE.length)(bytes).is_some_and(|l| l > 26) => {
            Probe::Yes
        }
        (_, [_, _, _, 0..=2, ..]) if (4..16).contains(&bytes.len()) && (26..1 << 16).contains(&le32(bytes, 0).unwrap_or(0)) => Probe::Maybe,
        _ => Probe::No,
    }
}

#[derive(Default)]
struct MongoDb {
    frames: [Frames; 2],
    client: Option<Side>,
    entry: Entry,
    /// A log-in is going on.
    open: bool,
}

/// What matters of one document.
#[derive(Default)]
struct Document<'b> {
    /// Name of its first element: the command.
    command: &'b [u8],
    mechanism: &'b [u8],
    payload: &'b [u8],
    database: &'b [u8],
    user: &'b [u8],
    text: &'b [u8],
    ok: Option<bool>,
    finished: Option<bool>,
    code: Option<i64>,
}

impl Parser for MongoDb {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.frames[at].gap();
        }
        let mut frames = std::mem::take(&mut self.frames[at]);
        let in_step = frames.feed(&SHAPE, piece.bytes, &mut |head, _| {
            let _ = self.message(piece.side, head, piece.time, out);
            true
        });
        self.frames[at] = frames;
        login::more(in_step)
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if std::mem::take(&mut self.open) {
            self.tell(Outcome::Unknown, None, None, now, out);
        }
    }
}

impl MongoDb {
    fn message(&mut self, side: Side, head: &[u8], time: Timestamp, out: &mut dyn Emit) -> Option<()> {
        let body = head.get(16..)?;
        let (document, is_answer) = match le32(head, 12)? {
            // Flags, then a section of one document.
            MESSAGE if body.get(4) == Some(&0) => (read(body.get(5..)?), le32(head, 8)? != 0),
            QUERY => {
                let name = wording::until_zero(body.get(4..)?);
                (read(body.get(4 + name.len() + 1 + 8..)?), false)
            }
            REPLY => (read(body.get(20..)?), true),
            _ => return None,
        };
        if is_answer {
            self.client.get_or_insert(side.other());
            self.answer(&document, time, out);
        } else {
            self.client = Some(side);
            self.request(&document);
        }
        Some(())
    }

    fn request(&mut self, document: &Document<'_>) {
        let login = &mut self.entry.login;
        match document.command {
            b"saslStart" => {
                login.scheme = Some(login::scheme(document.mechanism));
                login.user = login::sasl_user(document.mechanism, document.payload);
                login.cleartext = document.mechanism == b"PLAIN";
            }
            b"authenticate" => {
                login.scheme = Some(if document.mechanism.is_empty() { "MONGODB-CR" } else { login::scheme(document.mechanism) });
                login.user = Some(wording::text(document.user));
            }
            _ => return,
        }
        self.entry.database = Some(wording::text(document.database));
        self.open = true;
    }

    fn answer(&mut self, document: &Document<'_>, time: Timestamp, out: &mut dyn Emit) {
        if !self.open || document.finished == Some(false) && document.ok != Some(false) {
            return;
        }
        let Some(ok) = document.ok else { return };
        self.open = false;
        let outcome = if ok { Outcome::Success } else { Outcome::Failure };
        self.tell(outcome, document.code, Some(document.text), time, out);
    }

    fn tell(&mut self, outcome: Outcome, code: Option<i64>, text: Option<&[u8]>, time: Timestamp, out: &mut dyn Emit) {
        self.entry.tell("mongodb", self.client.unwrap_or(Side::Originator), outcome, code, text, time, out);
    }
}

/// Reads the outer elements of a BSON document, as far as they are there.
fn read(bytes: &[u8]) -> Document<'_> {
    let mut document = Document::default();
    let mut rest = bytes.get(4..).unwrap_or_default();
    while let Some((kind, tail)) = rest.split_first().filter(|(k, _)| **k != 0) {
        let name = wording::until_zero(tail);
        if document.command.is_empty() {
            document.command = name;
        }
        let Some(value) = tail.get(name.len() + 1..) else { break };
        let length = || le32(value, 0).and_then(|n| usize::try_from(n).ok());
        let size = match kind {
            1 | 9 | 0x11 | 0x12 => Some(8),
            2 | 0x0d => length().and_then(|n| n.checked_add(4)),
            3 | 4 => length(),
            5 => length().and_then(|n| n.checked_add(5)),
            7 => Some(12),
            8 => Some(1),
            0x0a => Some(0),
            0x10 => Some(4),
            _ => None,
        };
        let Some(content) = size.and_then(|n| value.get(..n.min(value.len()))) else { break };
        let text = || wording::until_zero(content.get(4..).unwrap_or_default());
        let truth = || match kind {
            1 => Some(content.iter().any(|b| *b != 0)),
            8 | 0x10 | 0x12 => Some(content.first() != Some(&0)),
            _ => None,
        };
        match name {
            b"mechanism" => document.mechanism = text(),
            b"payload" if *kind == 5 => document.payload = content.get(5..).unwrap_or_default(),
            b"$db" => document.database = text(),
            b"user" if *kind == 2 => document.user = text(),
            b"errmsg" => document.text = text(),
            b"ok" => document.ok = truth(),
            b"done" => document.finished = truth(),
            b"code" => document.code = le32(content, 0).map(i64::from),
            _ => {}
        }
        rest = value.get(content.len()..).unwrap_or_default();
    }
    document
}
