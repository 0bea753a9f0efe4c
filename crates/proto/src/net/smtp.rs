//! SMTP (RFC 5321): log-ins, and each message with its envelope and what the server said of it. What a message says, its subject
//! too, is nobody's business here and is passed over.
//!
//! What goes on in TLS (`STARTTLS`) is read as that. Of a message the header is looked at, the rest is passed over. A password is never kept.
//!
//! Limits: a line is read to `LINE_BYTES_MAX` bytes, `PENDING_MAX` commands wait for replies, `RECEIVERS_MAX` receivers are named.

use std::collections::VecDeque;

use event::{Class, Event, Kind, LogSource, Timestamp, Value, field};

use super::login::{self, Login, Outcome};
use super::wording::{self, Lines, Tally, begins};
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want};

pub static SMTP: Protocol = Protocol {
    name: "smtp",
    about: "log-ins, envelopes of messages and the server's replies",
    fields: login::fields![
        field::COMMAND,
        field::COMMANDS,
        field::MAIL_HELO,
        field::MAIL_FROM,
        field::MAIL_TO,
        field::REPLY_CODE,
        field::SERVER_SOFTWARE,
        field::COUNT,
    ],
    anomalies: &["smtp_unknown_command"],
    probe,
    open: |_| Box::new(Smtp::default()),
};

const LINE_BYTES_MAX: usize = 1000;
const PENDING_MAX: usize = 64;
const RECEIVERS_MAX: usize = 16;
/// Messages whose commands are sent before the replies to those before them.
const MAILS_MAX: usize = 8;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    let Some(first) = bytes.first() else { return Probe::No };
    if carrier == Carrier::Udp || !matches!(first.to_ascii_uppercase(), b'2' | b'5' | b'E' | b'H' | b'L' | b'M') {
        return Probe::No;
    }
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    if begins(bytes, b"220") || begins(bytes, b"554 ") || begins(bytes, b"554-") {
        let lower = line.to_ascii_lowercase();
        let mail = wording::find(&lower, b"smtp").or_else(|| wording::find(&lower, b"mail"));
        return match (mail, line.len() > 200) {
            (Some(_), _) => Probe::Yes,
            (None, false) => Probe::Maybe,
            (None, true) => Probe::No,
        };
    }
    const COMMANDS: [&[u8]; 4] = [b"EHLO ", b"HELO ", b"LHLO ", b"MAIL FROM:"];
    match () {
        () if COMMANDS.iter().any(|c| begins(bytes, c)) => Probe::Yes,
        () if bytes.len() < 10 && COMMANDS.iter().chain(&[&b"220"[..], b"554 "]).any(|c| begins(c, bytes)) => Probe::Maybe,
        () => Probe::No,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Hello,
    Mail,
    Receiver,
    Data,
    /// The end of the message.
    Message,
    Auth,
    Secure,
    /// What ends a message that was begun.
    Close,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Commands,
    /// Lines of a log-in.
    Auth,
    /// Lines of a message.
    Body,
}

#[derive(Default)]
struct Smtp {
    lines: [Lines; 2],
    talk: Talk,
    /// Bytes of a `BDAT` part that are still to pass.
    skip: u64,
}

/// What is known of the message being sent.
#[derive(Default)]
struct Mail {
    from: Option<String>,
    to: Vec<String>,
    last: Option<(u16, String)>,
}

#[derive(Default)]
struct Talk {
    client: Option<Side>,
    mode: Mode,
    helo: Option<String>,
    /// Those begun and not yet told: commands are about the last, replies about the first.
    mails: VecDeque<Mail>,
    pending: VecDeque<Asked>,
    mechanism: Vec<u8>,
    answers: u8,
    login: Login,
    banner: Option<String>,
    tally: Tally,
    secure: bool,
    skip: u64,
}

impl Parser for Smtp {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let (at, talk) = (piece.side as usize, &mut self.talk);
        if piece.gap {
            self.lines[at].gap();
        }
        let mut bytes = piece.bytes;
        loop {
            if self.skip > 0 && talk.client == Some(piece.side) {
                let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= passed as u64;
                bytes = bytes.get(passed..).unwrap_or_default();
            }
            if bytes.is_empty() {
                break;
            }
            bytes = self.lines[at].feed(bytes, LINE_BYTES_MAX, &mut |line| {
                match talk.client {
                    Some(client) if client == piece.side => talk.said(line, piece.time, out),
                    Some(_) => talk.reply(line, piece.time, out),
                    None if line.first().is_some_and(u8::is_ascii_digit) => {
                        talk.client = Some(piece.side.other());
                        talk.reply(line, piece.time, out);
                    }
                    None => {
                        talk.client = Some(piece.side);
                        talk.said(line, piece.time, out);
                    }
                }
                !talk.secure && talk.skip == 0
            });
            self.skip = std::mem::take(&mut talk.skip);
            if talk.secure {
                return Want::Stop;
            }
            if self.skip == 0 && bytes.is_empty() {
                break;
            }
        }
        Want::Whole
    }

    fn handover(&mut self) -> Option<[Vec<u8>; 2]> {
        std::mem::take(&mut self.talk.secure).then(Default::default)
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        self.talk.end(now, out);
    }
}

impl Talk {
    fn by(&self) -> Side {
        self.client.unwrap_or(Side::Originator)
    }

    /// A line of the client: a command, an answer of a log-in, a line of a message.
    fn said(&mut self, line: &[u8], time: Timestamp, out: &mut dyn Emit) {
        match self.mode {
            Mode::Body if line == b"." => {
                self.mode = Mode::Commands;
                self.ask(Asked::Message);
            }
            Mode::Body => {}
            Mode::Auth => {
                self.mode = Mode::Commands;
                self.answer(line);
                self.ask(Asked::Auth);
            }
            Mode::Commands => self.command(line, time, out),
        }
    }

    fn command(&mut self, line: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let (word, argument) = line.split_at(memchr::memchr(b' ', line).unwrap_or(line.len()));
        let argument = argument.trim_ascii();
        if word.is_empty() || word.len() > 8 || !word.iter().all(u8::is_ascii_alphabetic) {
            if !word.is_empty() {
                out.anomaly("smtp_unknown_command", "a line that is no command", time);
            }
            return self.ask(Asked::Other);
        }
        let word = wording::text(word).to_ascii_uppercase();
        self.tally.heard(&word);
        match word.as_str() {
            "EHLO" | "HELO" | "LHLO" => {
                self.helo = Some(wording::text(argument));
                self.ask(Asked::Hello);
            }
            "MAIL" => {
                if self.mails.len() >= MAILS_MAX {
                    self.told(time, out);
                }
                self.mails.push_back(Mail { from: Some(path(argument)), ..Mail::default() });
                self.ask(Asked::Mail);
            }
            "RCPT" => {
                if self.mails.is_empty() {
                    self.mails.push_back(Mail::default());
                }
                if let Some(mail) = self.mails.back_mut().filter(|m| m.to.len() < RECEIVERS_MAX) {
                    mail.to.push(path(argument));
                }
                self.ask(Asked::Receiver);
            }
            "DATA" => self.ask(Asked::Data),
            "BDAT" => {
                let mut words = argument.split(|b| *b == b' ').filter(|w| !w.is_empty());
                let size = words.next().and_then(|w| std::str::from_utf8(w).ok()).and_then(|w| w.parse::<u64>().ok());
                // A size that no server takes is no size.
                self.skip = size.filter(|s| *s < 1 << 40).unwrap_or(0);
                let last = words.next().is_some_and(|w| w.eq_ignore_ascii_case(b"LAST"));
                self.ask(if last || size.is_none() { Asked::Message } else { Asked::Other });
            }
            "AUTH" => {
                let mut words = argument.split(|b| *b == b' ').filter(|w| !w.is_empty());
                self.mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
                self.answers = 0;
                self.login = Login { scheme: Some(login::scheme(&self.mechanism)), ..Login::default() };
                if let Some(first) = words.next() {
                    self.answer(first);
                }
                self.ask(Asked::Auth);
            }
            "STARTTLS" => self.ask(Asked::Secure),
            "RSET" | "QUIT" => self.ask(Asked::Close),
            _ => self.ask(Asked::Other),
        }
    }

    fn ask(&mut self, asked: Asked) {
        if self.pending.len() >= PENDING_MAX {
            self.pending.pop_front();
        }
        self.pending.push_back(asked);
    }

    /// One answer of a log-in: who it is; of the secret only that it was readable.
    fn answer(&mut self, line: &[u8]) {
        self.answers = self.answers.saturating_add(1);
        let Some(answer) = wording::base64(line) else { return };
        match (self.mechanism.as_slice(), self.answers) {
            (b"LOGIN", 1) => self.login.user = Some(wording::text(&answer)),
            (b"LOGIN", 2) => self.login.cleartext = true,
            (b"CRAM-MD5", _) => self.login.user = answer.split(|b| *b == b' ').next().map(wording::text),
            (b"NTLM", _) => {
                let mut talk = super::ntlm::Talk::default();
                if talk.take(&answer) && talk.login.user.is_some() {
                    self.login = talk.login;
                }
            }
            (mechanism, _) => {
                if let Some(user) = login::sasl_user(mechanism, &answer) {
                    self.login.user = Some(user);
                    self.login.cleartext = mechanism == b"PLAIN";
                }
            }
        }
    }

    fn reply(&mut self, line: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let code = match line {
            [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => return,
        };
        let text = line.get(4..).unwrap_or_default();
        if line.get(3) == Some(&b'-') {
            return;
        }
        let Some(asked) = self.pending.pop_front() else {
            if code == 220 {
                self.banner.get_or_insert_with(|| wording::text(text));
            }
            return;
        };
        let by = self.by();
        match asked {
            Asked::Data if code == 354 => self.mode = Mode::Body,
            Asked::Secure if code == 220 => self.secure = true,
            Asked::Auth if code == 334 => self.mode = Mode::Auth,
            Asked::Auth => {
                let outcome = if code == 235 { Outcome::Success } else { Outcome::Failure };
                let event = self.login.clone().event("smtp", outcome, time).with(field::REPLY_CODE, code);
                login::tell(by, event, Some(text), out);
            }
            Asked::Close => self.told(time, out),
            Asked::Mail | Asked::Receiver | Asked::Data | Asked::Message | Asked::Other => {
                // A second message was begun: the first goes no further.
                if asked == Asked::Mail && self.mails.len() > 1 && self.mails.front().is_some_and(|m| m.last.is_some()) {
                    self.told(time, out);
                }
                if let Some(mail) = self.mails.front_mut() {
                    mail.last = Some((code, wording::text(text)));
                }
                if asked == Asked::Message {
                    self.told(time, out);
                }
            }
            _ => {}
        }
    }

    /// Tells the oldest message there is, if there is one.
    fn told(&mut self, time: Timestamp, out: &mut dyn Emit) {
        let Some(mail) = self.mails.pop_front() else { return };
        let mut event = Event::new(time, Kind::EmailActivity, 1, LogSource::new("", "smtp", "smtp")).with(field::COMMAND, "message");
        let body = &mut event.body;
        body.set_some(field::MAIL_HELO, self.helo.clone());
        body.set_some(field::MAIL_FROM, mail.from);
        if !mail.to.is_empty() {
            body.set(field::MAIL_TO, mail.to.into_iter().map(Value::from).collect::<Vec<_>>());
        }
        body.set_some(field::USER_NAME, self.login.user.clone());
        let (code, text) = mail.last.map_or((None, None), |(c, t)| (Some(c), Some(t)));
        body.set(field::STATUS_ID, code.map_or(0, |c| if c < 400 { 1 } else { 2 }));
        body.set_some(field::REPLY_CODE, code);
        body.set_some(field::STATUS_DETAIL, text.filter(|t| !t.is_empty()));
        out.asked(self.by(), Class::Normal, event);
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        while !self.mails.is_empty() {
            self.told(now, out);
        }
        let by = self.by();
        if self.pending.contains(&Asked::Auth) {
            login::tell(by, self.login.clone().event("smtp", Outcome::Unknown, now), None, out);
        }
        self.pending.clear();
        let mut event = Event::new(now, Kind::EmailActivity, 99, LogSource::new("", "smtp", "smtp")).with(field::COMMAND, "session");
        event.body.set_some(field::MAIL_HELO, self.helo.take());
        event.body.set_some(field::SERVER_SOFTWARE, self.banner.take());
        wording::summary(&mut self.tally, by, event, now, out);
    }
}

/// The address of `FROM:<a@b>` or `TO:<a@b>`.
fn path(argument: &[u8]) -> String {
    let behind = memchr::memchr(b':', argument).map_or(argument, |at| argument.get(at + 1..).unwrap_or_default()).trim_ascii();
    let inner = match behind.first() {
        Some(b'<') => behind.get(1..memchr::memchr(b'>', behind).unwrap_or(behind.len())).unwrap_or_default(),
        _ => behind.split(|b| *b == b' ').next().unwrap_or_default(),
    };
    wording::text(inner)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, client_hello, talk};
    use super::*;

    const O: Side = Side::Originator;
    const R: Side = Side::Responder;

    #[test]
    fn a_message_and_its_fate() {
        for step in [1, 7, 900] {
            let said = talk(
                Carrier::Tcp,
                step,
                &[
                    (R, b"220 mx ESMTP\r\n"),
                    (O, b"EHLO pc\r\n"),
                    (R, b"250-mx\r\n250 AUTH PLAIN\r\n"),
                    (O, b"AUTH PLAIN AGFkYQBzZXNhbWU=\r\n"),
                    (R, b"535 5.7.8 no\r\n"),
                    (O, b"MAIL FROM:<a@b.c> SIZE=9\r\nRCPT TO:<d@e.f>\r\nDATA\r\n"),
                    (R, b"250 ok\r\n250 ok\r\n354 go\r\n"),
                    (O, b"Subject: hi\r\n\r\nMAIL FROM:<not@this>\r\n.\r\n"),
                    (R, b"250 queued\r\n"),
                    (O, b"MAIL FROM:<x@y>\r\nBDAT 8 LAST\r\nab\r\nQUITQUIT\r\n"),
                    (R, b"250 ok\r\n452 full\r\n221 bye\r\n"),
                ],
            );
            assert_eq!(
                brief(&said, &["command", "user.name", "smtp.mail_from", "smtp.rcpt_to", "status_id", "app.reply_code"]),
                ["- ada - - 2 535", "message ada a@b.c d@e.f 1 250", "message ada x@y - 2 452", "session - - - - -"],
                "{step}: {said:?}"
            );
            assert!(said.iter().all(|l| !l.contains("sesame")));
        }
    }

    #[test]
    fn a_log_in_by_questions_and_a_change_to_tls() {
        let hello: &[u8] = &client_hello("mx.example");
        let said = talk(
            Carrier::Tcp,
            5,
            &[
                (R, b"220 ready\r\n"),
                (O, b"EHLO pc\r\n"),
                (R, b"250 ok\r\n"),
                (O, b"AUTH LOGIN\r\n"),
                (R, b"334 VXNlcg==\r\n"),
                (O, b"YWRh\r\n"),
                (R, b"334 UGFzcw==\r\n"),
                (O, b"c2VzYW1l\r\n"),
                (R, b"235 in\r\n"),
                (O, b"STARTTLS\r\n"),
                (R, b"220 go\r\n"),
                (O, hello),
            ],
        );
        assert_eq!(brief(&said, &["user.name", "is_cleartext", "tls.sni"]), ["ada true -", "- - -", "- - mx.example"]);
    }
}
