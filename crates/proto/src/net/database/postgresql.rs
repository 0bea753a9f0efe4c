//! PostgreSQL, version 3 of its protocol: start, proof, answer (its documentation, "Message Flow").

use event::{Timestamp, field};

use super::super::frames::{Frames, Shape};
use super::super::login::{Outcome, more};
use super::super::ot::le32;
use super::super::{Carrier, Emit, Held, Parser, Piece, Probe, Protocol, Side, Want, login, wording};
use super::{Entry, HEAD_BYTES, fields};

pub static POSTGRESQL: Protocol = Protocol {
    name: "postgresql",
    about: "log-ins with their database and outcome",
    fields: fields![],
    anomalies: &[],
    probe,
    open: |_| Box::new(PostgreSql::default()),
};

const START_BYTES_MAX: usize = 10_000;
const VERSION_3: [u8; 3] = [0, 3, 0];
const TLS: [u8; 4] = [0x04, 0xd2, 0x16, 0x2f];
const GSS: [u8; 4] = [0x04, 0xd2, 0x16, 0x30];

/// Messages behind the start: a letter and a length.
static SHAPE: Shape = Shape {
    header: 5,
    keep: HEAD_BYTES,
    length: |b| {
        let length = le32(b, 1)?.swap_bytes() as usize;
        (b.first()?.is_ascii_alphanumeric() && (4..1 << 30).contains(&length)).then_some(1 + length)
    },
    sync: |_| None,
};

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match (carrier, bytes) {
        (Carrier::Udp, _) => Probe::No,
        (_, [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f | 0x30, ..]) => Probe::Yes,
        (_, [0, 0, 0..=0x27, _, 0, 3, 0, 0..=2, name @ ..]) => match name {
            [b'a'..=b'z' | b'_', ..] => Probe::Yes,
            [] => Probe::Maybe,
            _ => Probe::No,
        },
        (_, [0, 0, 0..=0x27, ..] | [0, 0] | [0]) if bytes.len() < 9 => {
            let rest = bytes.get(4..).unwrap_or_default();
            let begins = [&TLS[..], &GSS, &[0, 3, 0, 0], &[0, 3, 0, 2]].iter().any(|w| w.starts_with(rest));
            if begins { Probe::Maybe } else { Probe::No }
        }
        _ => Probe::No,
    }
}

#[derive(Default)]
struct PostgreSql {
    /// The client's bytes up to its start; afterwards both sides speak in messages.
    start: Held,
    started: bool,
    /// The server is to answer an offer of encryption with one letter.
    offered: Option<[u8; 4]>,
    frames: [Frames; 2],
    client: Option<Side>,
    entry: Entry,
    done: bool,
    secure: bool,
}

impl Parser for PostgreSql {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let client = *self.client.get_or_insert(piece.side);
        if piece.gap {
            self.done = true;
        }
        let mut bytes = piece.bytes;
        if piece.side == client && !self.started {
            if !self.start.add(bytes, START_BYTES_MAX) {
                return Want::Stop;
            }
            while let Some(length) = le32(self.start.bytes(), 0).map(|n| n.swap_bytes() as usize) {
                if !(8..=START_BYTES_MAX).contains(&length) {
                    return Want::Stop;
                }
                let Some(message) = self.start.bytes().get(4..length).map(<[u8]>::to_vec) else { break };
                self.start.eat(length);
                if let Some(offer) = [TLS, GSS].into_iter().find(|o| message == *o) {
                    self.offered = Some(offer);
                } else if message.starts_with(&VERSION_3) {
                    self.start_up(message.get(4..).unwrap_or_default());
                    self.started = true;
                    break;
                } else {
                    return Want::Stop;
                }
            }
            return login::more(!self.done);
        }
        if piece.side != client
            && let Some(offer) = self.offered
            && let Some((answer, rest)) = bytes.split_first()
        {
            self.offered = None;
            match answer {
                b'S' if offer == TLS => self.secure = true,
                b'G' => self.done = true,
                b'N' => bytes = rest,
                _ => {}
            }
        }
        if self.secure {
            return Want::Stop;
        }
        let mut frames = std::mem::take(&mut self.frames[piece.side as usize]);
        let in_step = frames.feed(&SHAPE, bytes, &mut |head, _| {
            let body = head.get(5..).unwrap_or_default();
            match head.first() {
                // What follows a demand for a password is one; SASL names its mechanism.
                Some(b'p') if piece.side == client && self.entry.login.scheme == Some("SASL") => {
                    self.entry.login.scheme = Some(login::scheme(wording::until_zero(body)));
                }
                Some(kind) if piece.side != client => self.said(*kind, body, piece.time, out),
                _ => {}
            }
            !self.done
        });
        self.frames[piece.side as usize] = frames;
        more(!self.done && in_step)
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.started && !self.entry.told {
            self.tell(Outcome::Unknown, None, now, out);
        }
    }

    fn handover(&mut self) -> Option<[Vec<u8>; 2]> {
        self.secure.then(Default::default)
    }
}

impl PostgreSql {
    fn start_up(&mut self, pairs: &[u8]) {
        let mut parts = pairs.split(|b| *b == 0);
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let value = Some(wording::text(value));
            match name {
                b"user" => self.entry.login.user = value,
                b"database" => self.entry.database = value,
                b"application_name" => self.entry.client = value,
                b"" => break,
                _ => {}
            }
        }
    }

    fn said(&mut self, kind: u8, body: &[u8], time: Timestamp, out: &mut dyn Emit) {
        match kind {
            b'R' => {
                let number = le32(body, 0).map_or(u32::MAX, u32::swap_bytes);
                let login = &mut self.entry.login;
                match number {
                    0 => {
                        self.tell(Outcome::Success, None, time, out);
                        self.done = true;
                    }
                    3 => (login.scheme, login.cleartext) = (Some("password"), true),
                    5 => login.scheme = Some("md5"),
                    7 => login.scheme = Some("GSSAPI"),
                    9 => login.scheme = Some("SSPI"),
                    10 => login.scheme = Some("SASL"),
                    _ => {}
                }
            }
            b'E' => {
                let text = body.split(|b| *b == 0).find_map(|f| f.strip_prefix(b"M"));
                let code = body.split(|b| *b == 0).find_map(|f| f.strip_prefix(b"C"));
                let detail = [code.unwrap_or_default(), b" ", text.unwrap_or_default()].concat();
                self.tell(Outcome::Failure, Some(&detail), time, out);
                self.done = true;
            }
            _ => {}
        }
    }

    fn tell(&mut self, outcome: Outcome, text: Option<&[u8]>, time: Timestamp, out: &mut dyn Emit) {
        self.entry.tell("postgresql", self.client.unwrap_or(Side::Originator), outcome, None, text, time, out);
    }
}
