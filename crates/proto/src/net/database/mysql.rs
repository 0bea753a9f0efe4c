//! MySQL and MariaDB: greeting, log-in, answer (protocol documentation of MySQL, "Connection Phase").

use event::{Timestamp, field};

use super::super::frames::{Frames, Shape};
use super::super::login::{Outcome, more};
use super::super::ot::{le16, le24, le32};
use super::super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, wording};
use super::{Entry, HEAD_BYTES, fields};

pub static MYSQL: Protocol = Protocol {
    name: "mysql",
    about: "log-ins with their database and outcome",
    fields: fields![],
    anomalies: &[],
    probe,
    open: |_| Box::new(MySql::default()),
};

static SHAPE: Shape = Shape { header: 4, keep: HEAD_BYTES, length: |b| Some(4 + le24(b, 0)? as usize), sync: |_| None };

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match (carrier, bytes) {
        (Carrier::Udp, _) => Probe::No,
        // A greeting of version 10 that begins with the server's version.
        (_, [_, 0 | 1, 0, 0, 0x0a, b'1'..=b'9', b'0'..=b'9' | b'.', ..]) => Probe::Yes,
        // A host that is not let in: an error between 1000 and 2000, in words.
        (_, [_, 0, 0, 0, 0xff, _, 3..=7, b'#' | b'A'..=b'Z', ..]) => Probe::Yes,
        (_, [_, 0, 0, 0, 0x0a | 0xff, ..] | [_, 0, 0, 0] | [_, 0, 0] | [_, 0] | [_]) if bytes.len() < 8 => Probe::Maybe,
        _ => Probe::No,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Step {
    #[default]
    Greeting,
    Login,
    Answer,
    Secure,
    Done,
}

#[derive(Default)]
struct MySql {
    frames: [Frames; 2],
    step: Step,
    server: Option<Side>,
    entry: Entry,
}

impl Parser for MySql {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.step = Step::Done;
        }
        let server = *self.server.get_or_insert(piece.side);
        let mut frames = std::mem::take(&mut self.frames[at]);
        frames.feed(&SHAPE, piece.bytes, &mut |head, _| {
            let body = head.get(4..).unwrap_or_default();
            if piece.side == server {
                self.said(body, piece.time, out);
            } else {
                self.asked(body);
            }
            !matches!(self.step, Step::Done | Step::Secure)
        });
        self.frames[at] = frames;
        more(!matches!(self.step, Step::Done | Step::Secure))
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.step == Step::Answer && !self.entry.told {
            self.tell(Outcome::Unknown, None, None, now, out);
        }
    }

    fn handover(&mut self) -> Option<[Vec<u8>; 2]> {
        (self.step == Step::Secure).then(Default::default)
    }
}

impl MySql {
    fn said(&mut self, body: &[u8], time: Timestamp, out: &mut dyn Emit) {
        match (self.step, body) {
            (Step::Greeting, [0x0a, rest @ ..]) => {
                self.entry.server = Some(wording::text(wording::until_zero(rest)));
                self.step = Step::Login;
            }
            (_, [0xff, rest @ ..]) => {
                let text = rest.get(2..).unwrap_or_default();
                let text = if text.first() == Some(&b'#') { text.get(6..).unwrap_or_default() } else { text };
                self.tell(Outcome::Failure, le16(rest, 0).map(i64::from), Some(text), time, out);
                self.step = Step::Done;
            }
            (Step::Answer, [0, ..]) => {
                self.tell(Outcome::Success, None, None, time, out);
                self.step = Step::Done;
            }
            // Another way to prove oneself, or more of this one.
            (Step::Answer, [0xfe, rest @ ..]) if !rest.is_empty() => self.scheme(wording::until_zero(rest)),
            (Step::Answer, [0xfe]) => self.entry.login.scheme = Some("mysql_old_password"),
            _ => {}
        }
    }

    fn asked(&mut self, body: &[u8]) {
        if self.step == Step::Login {
            let _ = self.log_in(body);
        }
    }

    fn log_in(&mut self, body: &[u8]) -> Option<()> {
        const CONNECT_WITH_DB: u32 = 8;
        const PROTOCOL_41: u32 = 0x200;
        const SSL: u32 = 0x800;
        const SECURE: u32 = 0x8000;
        const PLUGIN: u32 = 0x8_0000;
        const LENENC: u32 = 0x20_0000;
        let capabilities = u32::from(le16(body, 0)?);
        if capabilities & SSL != 0 && body.len() <= 32 {
            self.step = Step::Secure;
            return Some(());
        }
        self.step = Step::Answer;
        if capabilities & PROTOCOL_41 == 0 {
            self.entry.login.user = Some(wording::text(wording::until_zero(body.get(5..)?)));
            self.entry.login.scheme = Some("mysql_old_password");
            return Some(());
        }
        let capabilities = le32(body, 0)?;
        let mut rest = body.get(32..)?;
        let text = |rest: &mut &[u8]| {
            let text = wording::until_zero(rest).to_vec();
            *rest = rest.get(text.len() + 1..).unwrap_or_default();
            text
        };
        self.entry.login.user = Some(wording::text(&text(&mut rest)));
        self.entry.login.scheme = Some("mysql_native_password");
        if capabilities & (SECURE | LENENC) != 0 {
            let length = usize::from(*rest.first()?);
            rest = rest.get(1 + length..)?;
        } else {
            text(&mut rest);
        }
        if capabilities & CONNECT_WITH_DB != 0 {
            self.entry.database = Some(wording::text(&text(&mut rest)));
        }
        if capabilities & PLUGIN != 0 {
            let name = text(&mut rest);
            self.scheme(&name);
        }
        Some(())
    }

    fn scheme(&mut self, plugin: &[u8]) {
        let login = &mut self.entry.login;
        login.scheme = Some(match plugin {
            b"mysql_native_password" => "mysql_native_password",
            b"caching_sha2_password" => "caching_sha2_password",
            b"sha256_password" => "sha256_password",
            b"mysql_clear_password" => "mysql_clear_password",
            b"client_ed25519" => "client_ed25519",
            b"" => return,
            _ => "other",
        });
        login.cleartext |= plugin == b"mysql_clear_password";
    }

    fn tell(&mut self, outcome: Outcome, code: Option<i64>, text: Option<&[u8]>, time: Timestamp, out: &mut dyn Emit) {
        let client = self.server.map_or(Side::Originator, Side::other);
        self.entry.tell("mysql", client, outcome, code, text, time, out);
    }
}
