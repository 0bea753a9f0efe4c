//! MS SQL Server (MS-TDS) and Sybase: log-in and answer. A log-in inside TLS has an outcome all the same, if what follows it is readable.

use event::{Timestamp, field};

use super::super::frames::{Frames, Shape};
use super::super::login::{Outcome, more};
use super::super::ot::{le16, le32};
use super::super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, be16, ntlm, wording};
use super::{Entry, HEAD_BYTES, fields};

pub static TDS: Protocol = Protocol {
    name: "tds",
    about: "log-ins with their database and outcome",
    fields: fields![],
    anomalies: &[],
    probe,
    open: |_| Box::new(Tds::default()),
};

const HEADER_BYTES: usize = 8;

static SHAPE: Shape = Shape {
    header: HEADER_BYTES,
    keep: HEAD_BYTES,
    length: |b| {
        let length = usize::from(be16(b, 2)?);
        (matches!(b.first()?, 1..=4 | 6..=8 | 14..=18) && length >= HEADER_BYTES).then_some(length)
    },
    sync: |_| None,
};

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match (carrier, bytes) {
        (Carrier::Udp, _) => Probe::No,
        // The first question: an option of version, where it lies and that it is six bytes long.
        (_, [0x12, 0 | 1, _, _, 0, 0, _, 0, 0, 0, _, 0, 6, ..]) => Probe::Yes,
        // A log-in of version 7 that names its own length.
        (_, [0x10, 0 | 1, h, l, 0, 0, _, _, a, b, 0, 0, _, _, 0, 0x70..=0x74, ..]) => {
            let (outer, inner) = (u16::from_be_bytes([*h, *l]), u16::from_le_bytes([*a, *b]));
            if usize::from(outer) <= usize::from(inner) + HEADER_BYTES && inner > 36 { Probe::Yes } else { Probe::No }
        }
        (
            _,
            [0x12 | 0x10, 0 | 1, _, _, 0, 0, ..] | [0x12 | 0x10, 0 | 1, _, _, 0] | [0x12 | 0x10, 0 | 1, _, _] | [0x12 | 0x10, 0 | 1, _],
        ) if bytes.len() < 16 => Probe::Maybe,
        (_, [0x12 | 0x10] | [0x12 | 0x10, 0 | 1]) => Probe::Maybe,
        _ => Probe::No,
    }
}

#[derive(Default)]
struct Tds {
    frames: [Frames; 2],
    client: Option<Side>,
    entry: Entry,
    /// A log-in was sent, readable or not.
    asked: bool,
    done: bool,
}

impl Parser for Tds {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        if piece.gap {
            self.done = true;
        }
        let client = *self.client.get_or_insert(piece.side);
        let mut frames = std::mem::take(&mut self.frames[piece.side as usize]);
        let in_step = frames.feed(&SHAPE, piece.bytes, &mut |head, _| {
            let (kind, body) = (head.first().copied().unwrap_or(0), head.get(HEADER_BYTES..).unwrap_or_default());
            match kind {
                0x10 if piece.side == client => {
                    self.asked = true;
                    let _ = self.log_in(body);
                }
                // SSPI goes on.
                0x11 if piece.side == client => {
                    self.ntlm(body);
                }
                // TLS within the first question: the log-in is inside.
                0x12 if body.first() == Some(&22) => self.asked = true,
                4 if piece.side != client && self.asked => self.answer(body, piece.time, out),
                _ => {}
            }
            !self.done
        });
        self.frames[piece.side as usize] = frames;
        // A log-in in TLS lies in records of its own, without a header around them.
        if !in_step && self.asked && !self.entry.told {
            self.frames[piece.side as usize] = Frames::default();
            return more(!self.done);
        }
        more(!self.done && in_step)
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.asked && !self.entry.told {
            self.tell(Outcome::Unknown, None, None, now, out);
        }
    }
}

impl Tds {
    fn log_in(&mut self, body: &[u8]) -> Option<()> {
        let text = |at: usize| {
            let (offset, count) = (usize::from(le16(body, at)?), usize::from(le16(body, at + 2)?));
            Some(wording::utf16(body.get(offset..offset.checked_add(2 * count)?)?)).filter(|t| !t.is_empty())
        };
        let login = &mut self.entry.login;
        login.host = text(36);
        login.user = text(40);
        self.entry.client = text(48);
        self.entry.database = text(68);
        login.scheme = Some("password");
        // The password is only turned about, as anybody can turn it back.
        login.cleartext = le16(body, 46)? > 0;
        let (offset, length) = (usize::from(le16(body, 78)?), usize::from(le16(body, 80)?));
        let sspi = body.get(offset..offset.checked_add(length)?)?.to_vec();
        self.ntlm(&sspi);
        Some(())
    }

    fn ntlm(&mut self, bytes: &[u8]) {
        let mut talk = ntlm::Talk::default();
        if talk.take(bytes) {
            let host = self.entry.login.host.take();
            self.entry.login = talk.login;
            self.entry.login.host = self.entry.login.host.take().or(host);
        }
    }

    fn answer(&mut self, body: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let mut rest = body;
        let mut refusal = None;
        while let Some(token) = rest.first() {
            let Some(length) = le16(rest, 1).map(usize::from) else { break };
            let content = rest.get(3..(3 + length).min(rest.len())).unwrap_or_default();
            match token {
                // Acknowledgement.
                0xad => {
                    self.done = true;
                    return self.tell(Outcome::Success, None, None, time, out);
                }
                // Error: number, state, class, text.
                0xaa if refusal.is_none() => {
                    let count = usize::from(le16(content, 6).unwrap_or(0));
                    let text = wording::utf16(content.get(8..(8 + 2 * count).min(content.len())).unwrap_or_default());
                    refusal = Some((le32(content, 0).map(i64::from), text));
                }
                0xab | 0xe3 | 0xed | 0xaa | 0xe5 => {}
                _ => break,
            }
            rest = rest.get(3 + length..).unwrap_or_default();
        }
        if let Some((code, text)) = refusal {
            self.done = true;
            self.tell(Outcome::Failure, code, Some(text.as_bytes()), time, out);
        }
    }

    fn tell(&mut self, outcome: Outcome, code: Option<i64>, text: Option<&[u8]>, time: Timestamp, out: &mut dyn Emit) {
        self.entry.tell("tds", self.client.unwrap_or(Side::Originator), outcome, code, text, time, out);
    }
}
