//! Log-ins to mailboxes: POP3 (RFC 1939, 5034) and IMAP (RFC 9051), and the change to TLS of both.
//!
//! Users and outcomes are told, commands counted; messages are not looked at. A password is never kept. Limits: a line is read to
//! `LINE_BYTES_MAX` bytes; one log-in is open at a time.

use event::{Event, Kind, LogSource, Timestamp, field};

use super::login::{self, Login, Outcome};
use super::wording::{self, Lines, Tally, begins};
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want};

pub static POP3: Protocol = Protocol {
    name: "pop3",
    about: "log-ins to a mailbox",
    fields: login::fields![field::COMMAND, field::COMMANDS, field::SERVER_SOFTWARE, field::COUNT],
    anomalies: &[],
    probe: probe_pop3,
    open: |_| Box::new(Mailbox::new(Dialect::Pop3)),
};

pub static IMAP: Protocol = Protocol {
    name: "imap",
    about: "log-ins to a mailbox",
    fields: login::fields![field::COMMAND, field::COMMANDS, field::SERVER_SOFTWARE, field::COUNT],
    anomalies: &[],
    probe: probe_imap,
    open: |_| Box::new(Mailbox::new(Dialect::Imap)),
};

const LINE_BYTES_MAX: usize = 1000;

fn probe_pop3(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match carrier {
        Carrier::Udp => Probe::No,
        // Redis says `+OK` too, and ends the line there.
        Carrier::Tcp if bytes.starts_with(b"+OK ") => Probe::Yes,
        Carrier::Tcp if bytes.len() < 4 && b"+OK ".starts_with(bytes) => Probe::Maybe,
        Carrier::Tcp => Probe::No,
    }
}

fn probe_imap(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    const GREETINGS: [&[u8]; 3] = [b"* OK ", b"* PREAUTH ", b"* BYE "];
    match carrier {
        Carrier::Udp => Probe::No,
        Carrier::Tcp if GREETINGS.iter().any(|g| begins(bytes, g)) => Probe::Yes,
        Carrier::Tcp if bytes.len() < 10 && GREETINGS.iter().any(|g| begins(g, bytes)) => Probe::Maybe,
        Carrier::Tcp => Probe::No,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Pop3,
    Imap,
}

struct Mailbox {
    dialect: Dialect,
    lines: [Lines; 2],
    client: Side,
    login: Login,
    /// A log-in waits for its answer: the tag it has in IMAP.
    open: Option<Vec<u8>>,
    /// The same for the change to TLS.
    securing: Option<Vec<u8>>,
    mechanism: Vec<u8>,
    /// How many lines of the log-in are still to come from the client, however they are asked for.
    answers: u8,
    /// Arguments of IMAP's LOGIN that follow as literals.
    literals: u8,
    banner: Option<String>,
    tally: Tally,
    secure: bool,
}

impl Mailbox {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            lines: Default::default(),
            client: Side::Originator,
            login: Login::default(),
            open: None,
            securing: None,
            mechanism: Vec::new(),
            answers: 0,
            literals: 0,
            banner: None,
            tally: Tally::default(),
            secure: false,
        }
    }

    const fn service(&self) -> &'static str {
        match self.dialect {
            Dialect::Pop3 => "pop3",
            Dialect::Imap => "imap",
        }
    }

    fn said(&mut self, line: &[u8]) {
        if self.literals > 0 {
            return self.literal(line);
        }
        if self.answers > 0 {
            return self.answer(line);
        }
        let mut words = line.split(|b| *b == b' ').filter(|w| !w.is_empty());
        let tag = if self.dialect == Dialect::Imap { words.next().unwrap_or_default().to_vec() } else { Vec::new() };
        let word = words.next().unwrap_or_default();
        if word.is_empty() || word.len() > 16 || !word.iter().all(u8::is_ascii_alphabetic) {
            return;
        }
        let word = wording::text(word).to_ascii_uppercase();
        self.tally.heard(&word);
        match word.as_str() {
            "USER" => self.login = Login { user: words.next().map(wording::text), scheme: Some("password"), ..Login::default() },
            "PASS" => {
                self.login.cleartext = true;
                self.open = Some(tag);
            }
            "APOP" => {
                self.login = Login { user: words.next().map(wording::text), scheme: Some("APOP"), ..Login::default() };
                self.open = Some(tag);
            }
            "LOGIN" => {
                self.login = Login { scheme: Some("password"), cleartext: true, ..Login::default() };
                let argument = line.get(tag.len() + 1..).and_then(|l| l.trim_ascii_start().get(5..)).unwrap_or_default().trim_ascii();
                self.open = Some(tag);
                match argument.first() {
                    Some(b'{') => self.literals = 2,
                    Some(b'"') => {
                        let inner = argument.get(1..).unwrap_or_default();
                        self.login.user = inner.split(|b| *b == b'"').next().map(wording::text);
                    }
                    _ => self.login.user = argument.split(|b| *b == b' ').next().map(wording::text),
                }
            }
            "AUTH" | "AUTHENTICATE" => {
                self.mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
                if self.mechanism.is_empty() {
                    return;
                }
                self.login = Login { scheme: Some(login::scheme(&self.mechanism)), ..Login::default() };
                self.answers = if self.mechanism == b"LOGIN" { 2 } else { 1 };
                self.open = Some(tag);
                if let Some(first) = words.next() {
                    self.answer(first);
                }
            }
            "STLS" | "STARTTLS" => self.securing = Some(tag),
            _ => {}
        }
    }

    /// A literal of IMAP: the first is the user, the second the secret.
    fn literal(&mut self, line: &[u8]) {
        self.literals -= 1;
        if self.literals == 1 {
            self.login.user = line.split(|b| *b == b' ').next().map(wording::text);
            // The second may stand on this line already.
            self.literals = u8::from(line.ends_with(b"}"));
        }
    }

    fn answer(&mut self, line: &[u8]) {
        self.answers -= 1;
        let Some(answer) = wording::base64(line) else { return };
        match (self.mechanism.as_slice(), self.answers) {
            (b"LOGIN", 1) => self.login.user = Some(wording::text(&answer)),
            (b"LOGIN", _) => self.login.cleartext = true,
            (b"CRAM-MD5", _) => self.login.user = answer.split(|b| *b == b' ').next().map(wording::text),
            (mechanism, _) => {
                if let Some(user) = login::sasl_user(mechanism, &answer) {
                    self.login.user = Some(user);
                    self.login.cleartext = mechanism == b"PLAIN";
                }
            }
        }
    }

    fn reply(&mut self, line: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let (tag, rest) = match self.dialect {
            Dialect::Pop3 => (&[][..], line),
            Dialect::Imap => line.split_at(memchr::memchr(b' ', line).unwrap_or(line.len())),
        };
        let rest = rest.trim_ascii_start();
        let good = begins(rest, b"+OK") || begins(rest, b"OK");
        let bad = begins(rest, b"-ERR") || begins(rest, b"NO") || begins(rest, b"BAD");
        if self.dialect == Dialect::Imap && tag == b"*" {
            if begins(rest, b"OK") {
                self.greeted(rest.get(3..).unwrap_or_default());
            }
            return;
        }
        if !good && !bad {
            return;
        }
        if self.securing.as_deref() == Some(tag) {
            self.securing = None;
            self.secure = good;
        } else if self.open.as_deref() == Some(tag) {
            (self.open, self.answers, self.literals) = (None, 0, 0);
            let outcome = if good { Outcome::Success } else { Outcome::Failure };
            let text = rest.get(memchr::memchr(b' ', rest).unwrap_or(rest.len())..);
            login::tell(self.client, self.login.clone().event(self.service(), outcome, time), text, out);
        } else if self.dialect == Dialect::Pop3 && good {
            self.greeted(rest.get(4..).unwrap_or_default());
        }
    }

    fn greeted(&mut self, text: &[u8]) {
        self.banner.get_or_insert_with(|| wording::text(text));
    }
}

impl Parser for Mailbox {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let mut lines = std::mem::take(&mut self.lines);
        let reader = &mut lines[piece.side as usize];
        if piece.gap {
            reader.gap();
        }
        reader.feed(piece.bytes, LINE_BYTES_MAX, &mut |line| {
            let server = match self.dialect {
                Dialect::Pop3 => begins(line, b"+OK ") || begins(line, b"-ERR"),
                Dialect::Imap => line.starts_with(b"* "),
            };
            if server {
                self.client = piece.side.other();
            }
            if piece.side == self.client {
                self.said(line);
            } else {
                self.reply(line, piece.time, out);
            }
            !self.secure
        });
        self.lines = lines;
        if self.secure { Want::Stop } else { Want::Whole }
    }

    fn handover(&mut self) -> Option<[Vec<u8>; 2]> {
        std::mem::take(&mut self.secure).then(Default::default)
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.open.take().is_some() {
            login::tell(self.client, self.login.clone().event(self.service(), Outcome::Unknown, now), None, out);
        }
        let service = self.service();
        let mut event = Event::new(now, Kind::NetworkActivity, 6, LogSource::new("", service, service)).with(field::COMMAND, "session");
        event.body.set_some(field::SERVER_SOFTWARE, self.banner.take());
        event.body.set_some(field::USER_NAME, self.login.user.take());
        wording::summary(&mut self.tally, self.client, event, now, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, talk};
    use super::*;

    const O: Side = Side::Originator;
    const R: Side = Side::Responder;
    const KEYS: &[&str] = &["user.name", "service.name", "auth_protocol", "status_id"];

    #[test]
    fn pop3() {
        for step in [1, 300] {
            let said = talk(
                Carrier::Tcp,
                step,
                &[
                    (R, b"+OK Dovecot\r\n"),
                    (O, b"USER ada\r\n"),
                    (R, b"+OK\r\n"),
                    (O, b"PASS sesame\r\n"),
                    (R, b"-ERR no\r\n"),
                    (O, b"AUTH PLAIN\r\n"),
                    (R, b"+ \r\n"),
                    (O, b"AGJvYgBzZXNhbWU=\r\n"),
                    (R, b"+OK in\r\n"),
                ],
            );
            assert_eq!(brief(&said, KEYS), ["ada pop3 password 2", "bob pop3 PLAIN 1", "bob - - -"], "{step}");
            assert!(said.iter().all(|l| !l.contains("sesame")));
        }
    }

    #[test]
    fn imap() {
        for step in [1, 300] {
            let said = talk(
                Carrier::Tcp,
                step,
                &[
                    (R, b"* OK ready\r\n"),
                    (O, b"a1 LOGIN \"ada\" \"sesame\"\r\n"),
                    (R, b"* note\r\na1 NO [AUTHENTICATIONFAILED] no\r\n"),
                    (O, b"a2 login {3}\r\n"),
                    (R, b"+ go\r\n"),
                    (O, b"bob {6}\r\nsesame\r\n"),
                    (R, b"a2 OK in\r\n"),
                ],
            );
            assert_eq!(brief(&said, KEYS), ["ada imap password 2", "bob imap password 1", "bob - - -"], "{step}");
            assert!(said.iter().all(|l| !l.contains("sesame")));
        }
    }
}
