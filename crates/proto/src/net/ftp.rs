//! FTP control connections (RFC 959, 2228, 2428): log-ins and what was done with which file, each command with its reply.
//!
//! A connection that goes on in TLS (`AUTH TLS`) is read as that. Commands that only prepare a transfer are counted and told at the end. A password
//! is never kept.
//!
//! Limits: a line is read to `LINE_BYTES_MAX` bytes, `PENDING_MAX` commands wait for replies.

use std::collections::VecDeque;

use event::{Class, Event, Kind, LogSource, Timestamp, field};

use super::login::{self, Login, Outcome};
use super::wording::{self, Lines, Tally, begins};
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want};

pub static FTP: Protocol = Protocol {
    name: "ftp",
    about: "log-ins, files sent, fetched, deleted and renamed, with the server's replies",
    fields: login::fields![
        field::COMMAND,
        field::COMMANDS,
        field::FILE_PATH,
        field::FILE_TARGET,
        field::REPLY_CODE,
        field::SERVER_SOFTWARE,
        field::COUNT,
    ],
    anomalies: &["ftp_command_too_long"],
    probe,
    open: |_| Box::new(Ftp::default()),
};

const LINE_BYTES_MAX: usize = 512;
const PENDING_MAX: usize = 16;
/// No command has more letters.
const COMMAND_BYTES_MAX: usize = 8;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    let Some(first) = bytes.first() else { return Probe::No };
    if carrier == Carrier::Udp || !matches!(first.to_ascii_uppercase(), b'2' | b'U' | b'A' | b'P') {
        return Probe::No;
    }
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let ended = line.len() < bytes.len();
    if begins(bytes, b"220") {
        // Mail servers greet with the same number.
        return match (wording::find(&line.to_ascii_lowercase(), b"ftp"), line.len() > 200) {
            (Some(_), _) => Probe::Yes,
            (None, false) => Probe::Maybe,
            (None, true) => Probe::No,
        };
    }
    let words = line.trim_ascii().split(|b| *b == b' ').filter(|w| !w.is_empty()).count();
    match () {
        () if begins(bytes, b"USER ") && ended => {
            if words == 2 {
                Probe::Yes
            } else {
                Probe::No
            }
        }
        () if begins(bytes, b"AUTH TLS") || begins(bytes, b"AUTH SSL") || begins(bytes, b"PORT ") || begins(bytes, b"PASV\r") => Probe::Yes,
        () if bytes.len() < 9 && [&b"220"[..], b"USER ", b"AUTH TLS", b"PORT ", b"PASV\r"].iter().any(|w| begins(w, bytes)) => Probe::Maybe,
        () if begins(bytes, b"USER ") && bytes.len() < LINE_BYTES_MAX => Probe::Maybe,
        () => Probe::No,
    }
}

struct Pending {
    command: String,
    argument: String,
}

#[derive(Default)]
struct Ftp {
    lines: [Lines; 2],
    talk: Talk,
}

/// All but the cutting into lines.
#[derive(Default)]
struct Talk {
    client: Option<Side>,
    pending: VecDeque<Pending>,
    login: Login,
    banner: Option<String>,
    rename: String,
    /// The reply goes on until a line begins with this code and a blank.
    multi: Option<u16>,
    tally: Tally,
    secure: bool,
    done: bool,
}

impl Parser for Ftp {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let (at, talk) = (piece.side as usize, &mut self.talk);
        if piece.gap {
            self.lines[at].gap();
        }
        self.lines[at].feed(piece.bytes, LINE_BYTES_MAX, &mut |line| {
            if reply_code(line).is_some() || talk.client.is_some_and(|c| c != piece.side) {
                talk.reply(piece.side, line, piece.time, out);
            } else {
                talk.command(piece.side, line, piece.time, out);
            }
            !talk.secure && !talk.done
        });
        if self.talk.secure || self.talk.done { Want::Stop } else { Want::Whole }
    }

    fn handover(&mut self) -> Option<[Vec<u8>; 2]> {
        std::mem::take(&mut self.talk.secure).then(Default::default)
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        self.talk.end(now, out);
    }
}

fn reply_code(line: &[u8]) -> Option<u16> {
    match line {
        [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9'] | [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ' | b'-', ..] => {
            Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => None,
    }
}

impl Talk {
    fn command(&mut self, side: Side, line: &[u8], time: Timestamp, out: &mut dyn Emit) {
        // Telnet's urgent mark stands before ABOR.
        let line = line.trim_ascii_start();
        let (word, argument) = line.split_at(memchr::memchr(b' ', line).unwrap_or(line.len()));
        if word.is_empty() || !word.iter().all(u8::is_ascii_alphabetic) {
            return;
        }
        self.client.get_or_insert(side);
        let argument = wording::text(argument.trim_ascii());
        if word.len() > COMMAND_BYTES_MAX {
            out.anomaly("ftp_command_too_long", "no command has so many letters", time);
        }
        let command = wording::text(word.get(..word.len().min(COMMAND_BYTES_MAX)).unwrap_or_default()).to_ascii_uppercase();
        self.tally.heard(&command);
        match command.as_str() {
            "USER" => self.login = Login { user: Some(argument.clone()), scheme: Some("password"), ..Login::default() },
            "PASS" => self.login.cleartext = true,
            "RNFR" => self.rename.clone_from(&argument),
            _ => {}
        }
        let argument = if command == "PASS" || command == "ACCT" { String::new() } else { argument };
        if self.pending.len() >= PENDING_MAX {
            self.pending.pop_front();
        }
        self.pending.push_back(Pending { command, argument });
    }

    fn reply(&mut self, side: Side, line: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let code = reply_code(line);
        if let Some(multi) = self.multi {
            if code == Some(multi) && line.get(3) != Some(&b'-') {
                self.multi = None;
                self.replied(multi, line, time, out);
            }
            return;
        }
        let Some(code) = code else {
            // POP3 has the same first command.
            self.done |= begins(line, b"+OK") || begins(line, b"-ERR");
            return;
        };
        self.client.get_or_insert(side.other());
        if line.get(3) == Some(&b'-') {
            self.multi = Some(code);
            if code == 220 {
                self.greeted(line);
            }
            return;
        }
        self.replied(code, line, time, out);
    }

    fn greeted(&mut self, line: &[u8]) {
        if self.banner.is_none() {
            self.banner = Some(wording::text(line.get(4..).unwrap_or_default().trim_ascii())).filter(|b| !b.is_empty());
        }
    }

    fn replied(&mut self, code: u16, line: &[u8], time: Timestamp, out: &mut dyn Emit) {
        if code < 200 {
            return;
        }
        let by = self.client.unwrap_or(Side::Originator);
        let Some(pending) = self.pending.pop_front() else {
            if code == 220 {
                self.greeted(line);
            }
            return;
        };
        let text = line.get(4..).unwrap_or_default();
        match pending.command.as_str() {
            "USER" | "PASS" | "ACCT" => {
                let outcome = match code {
                    // Nothing more is asked for: 230, or 232 behind a security exchange.
                    200..=299 => Outcome::Success,
                    300..=399 => return,
                    _ => Outcome::Failure,
                };
                let event = self.login.clone().event("ftp", outcome, time).with(field::REPLY_CODE, code);
                login::tell(by, event, Some(text), out);
            }
            "AUTH" if matches!(code, 234 | 334) => self.secure = true,
            command => {
                let activity = match command {
                    "STOR" | "STOU" | "APPE" => 1,
                    "RETR" => 2,
                    "DELE" | "RMD" | "XRMD" => 4,
                    "RNTO" => 5,
                    "MKD" | "XMKD" | "SITE" => 99,
                    _ => return,
                };
                let mut event = Event::new(time, Kind::FtpActivity, activity, LogSource::new("", "ftp", "ftp"));
                let body = &mut event.body;
                body.set(field::COMMAND, command);
                if command == "RNTO" {
                    body.set(field::FILE_PATH, std::mem::take(&mut self.rename));
                    body.set(field::FILE_TARGET, pending.argument);
                } else {
                    body.set(field::FILE_PATH, pending.argument);
                }
                body.set(field::REPLY_CODE, code);
                body.set(field::STATUS_ID, if code < 400 { 1 } else { 2 });
                body.set_some(field::USER_NAME, self.login.user.clone());
                out.asked(by, Class::Normal, event);
            }
        }
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.done {
            return;
        }
        let by = self.client.unwrap_or(Side::Originator);
        // A log-in whose answer never came.
        if self.pending.iter().any(|p| p.command == "PASS") {
            login::tell(by, self.login.clone().event("ftp", Outcome::Unknown, now), None, out);
        }
        self.pending.clear();
        let mut event = Event::new(now, Kind::FtpActivity, 99, LogSource::new("", "ftp", "ftp")).with(field::COMMAND, "session");
        event.body.set_some(field::SERVER_SOFTWARE, self.banner.take());
        event.body.set_some(field::USER_NAME, self.login.user.take());
        wording::summary(&mut self.tally, by, event, now, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, client_hello, talk};
    use super::*;

    const O: Side = Side::Originator;
    const R: Side = Side::Responder;

    #[test]
    fn guessing_and_a_stolen_file() {
        for step in [1, 6, 500] {
            let said = talk(
                Carrier::Tcp,
                step,
                &[
                    (R, b"220-Welcome\r\n220 pure ftpd\r\n"),
                    (O, b"USER ada\r\n"),
                    (R, b"331 Password?\r\n"),
                    (O, b"PASS hunter2\r\n"),
                    (R, b"530 Login incorrect.\r\n"),
                    (O, b"user ada\r\npass sesame\r\n"),
                    (R, b"331 Password?\r\n230-Hello\r\n 230 not the end\r\n230 in\r\n"),
                    (O, b"RETR /etc/passwd\r\n"),
                    (R, b"150 Opening\r\n226 Done\r\n"),
                    (O, b"RNFR a\r\nRNTO b\r\n"),
                    (R, b"350 go on\r\n550 no\r\n"),
                ],
            );
            assert_eq!(
                brief(&said, &["command", "user.name", "service.name", "status_id", "is_cleartext", "file.path", "app.reply_code"]),
                [
                    "- ada ftp 2 true - 530",
                    "- ada ftp 1 true - 230",
                    "RETR ada - 1 - /etc/passwd 226",
                    "RNTO ada - 2 - a 550",
                    "session ada - - - - -"
                ],
                "{step}"
            );
            assert!(said.iter().all(|l| !l.contains("hunter2") && !l.contains("sesame")), "a password was kept: {said:?}");
        }
    }

    #[test]
    fn what_goes_on_in_tls_is_read_as_tls() {
        let hello: &[u8] = &client_hello("files.example");
        let said = talk(Carrier::Tcp, 99, &[(R, b"220 FTP\r\n"), (O, b"AUTH TLS\r\n"), (R, b"234 go\r\n"), (O, hello)]);
        assert!(said.iter().any(|l| l.contains("tls.sni=files.example")), "{said:?}");
    }

    #[test]
    fn a_mailbox_is_no_ftp() {
        let said = talk(Carrier::Tcp, 99, &[(O, b"USER ada\r\n"), (R, b"+OK\r\n"), (O, b"PASS x\r\n"), (R, b"-ERR\r\n")]);
        assert!(said.is_empty(), "{said:?}");
    }
}
