//! Telnet (RFC 854): log-ins by their prompts. What is typed afterwards is not looked at, and a password is never kept.
//!
//! The protocol itself knows no log-in, so the outcome is read from the words: a prompt that comes again or a word of refusal is a failure, a
//! greeting or a shell's prompt a success. Limits: `TEXT_BYTES` of the last line are looked at; reading stops behind `TRIES_MAX` log-ins
//! or a success.

use event::{Timestamp, field};

use super::login::{self, Login, Outcome};
use super::wording;
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want};

pub static TELNET: Protocol = Protocol {
    name: "telnet",
    about: "log-ins by their prompts",
    fields: login::fields![],
    anomalies: &[],
    probe,
    open: |_| Box::new(Telnet::default()),
};

const TEXT_BYTES: usize = 256;
const TRIES_MAX: u32 = 1000;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match (carrier, bytes) {
        (Carrier::Udp, _) => Probe::No,
        // An offer or a demand of an option there is.
        (_, [0xff, 0xfb..=0xfe, 0..=0x31, ..]) => Probe::Yes,
        (_, [0xff] | [0xff, 0xfb..=0xfe]) => Probe::Maybe,
        _ => Probe::No,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Idle,
    /// The server asked who; what the client types is the user.
    User,
    Password,
    /// A password was sent; the next words of the server tell.
    Waiting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Skip {
    #[default]
    No,
    /// Behind the escape.
    Command,
    /// Behind an option's command.
    Option,
    /// Within a subnegotiation, and behind an escape there.
    Sub,
    SubEnd,
}

#[derive(Default)]
struct Telnet {
    skip: [Skip; 2],
    /// The last line of the server, lower case.
    text: Vec<u8>,
    typed: Vec<u8>,
    state: State,
    login: Login,
    server: Option<Side>,
    tries: u32,
    done: bool,
}

impl Parser for Telnet {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        for byte in piece.bytes {
            let skip = &mut self.skip[piece.side as usize];
            *skip = match (*skip, byte) {
                (Skip::No, 0xff) => Skip::Command,
                (Skip::No, byte) => {
                    self.byte(piece.side, *byte, piece.time, out);
                    continue;
                }
                (Skip::Command, 0xfb..=0xfe) => Skip::Option,
                (Skip::Command, 0xfa) => Skip::Sub,
                (Skip::Sub, 0xff) => Skip::SubEnd,
                (Skip::Sub, _) => Skip::Sub,
                (Skip::SubEnd, 0xf0) => Skip::No,
                (Skip::SubEnd, _) => Skip::Sub,
                (Skip::Command | Skip::Option, _) => Skip::No,
            };
        }
        if self.server == Some(piece.side) {
            self.judge(piece.time, out);
        }
        login::more(!self.done)
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        if self.state == State::Waiting {
            self.tell(Outcome::Unknown, now, out);
        }
    }
}

impl Telnet {
    fn byte(&mut self, side: Side, byte: u8, time: Timestamp, out: &mut dyn Emit) {
        // The side that asks for the user is the server.
        if self.server.is_none() || self.server == Some(side) {
            if byte == b'\n' {
                if self.server.is_some() {
                    self.judge(time, out);
                }
                self.text.clear();
            } else if self.text.len() < TEXT_BYTES {
                self.text.push(byte.to_ascii_lowercase());
            }
            if byte == b':' && self.server.is_none() && asks_user(&self.text) {
                self.server = Some(side);
            }
            return;
        }
        match (self.state, byte) {
            (State::User, b'\r' | b'\n') => {
                self.login = Login { user: Some(wording::text(self.typed.trim_ascii())), scheme: Some("password"), ..Login::default() };
                self.typed.clear();
                self.state = State::Idle;
            }
            (State::User, 8 | 127) => {
                self.typed.pop();
            }
            (State::User, 1..) if self.typed.len() < TEXT_BYTES => self.typed.push(byte),
            (State::Password, b'\r' | b'\n') => {
                self.login.cleartext = true;
                self.state = State::Waiting;
                self.text.clear();
            }
            _ => {}
        }
    }

    /// What the server's last line means.
    fn judge(&mut self, time: Timestamp, out: &mut dyn Emit) {
        const REFUSALS: [&[u8]; 7] = [b"incorrect", b"fail", b"invalid", b"denied", b"bad ", b"wrong", b"error"];
        const WELCOMES: [&[u8]; 4] = [b"last login", b"welcome", b"logged in", b"successful"];
        let line = self.text.trim_ascii();
        let has = |words: &[&[u8]]| words.iter().any(|w| wording::find(line, w).is_some());
        if self.state == State::Waiting {
            let outcome = match line.last() {
                _ if has(&REFUSALS) || asks_user(line) || asks_password(line) => Outcome::Failure,
                Some(b'$' | b'#' | b'>' | b'%') => Outcome::Success,
                _ if has(&WELCOMES) => Outcome::Success,
                _ => return,
            };
            self.tell(outcome, time, out);
            self.done = outcome == Outcome::Success || self.tries >= TRIES_MAX;
            self.state = State::Idle;
        }
        if asks_user(self.text.trim_ascii()) {
            self.state = State::User;
            self.typed.clear();
        } else if asks_password(self.text.trim_ascii()) {
            self.state = State::Password;
        }
    }

    fn tell(&mut self, outcome: Outcome, time: Timestamp, out: &mut dyn Emit) {
        self.tries += 1;
        let client = self.server.map_or(Side::Originator, Side::other);
        login::tell(client, self.login.clone().event("telnet", outcome, time), None, out);
        self.login.cleartext = false;
    }
}

fn asks_user(line: &[u8]) -> bool {
    [&b"login:"[..], b"username:", b"user:", b"user name:", b"account:"].iter().any(|p| line.ends_with(p))
        && !line.starts_with(b"last login")
}

fn asks_password(line: &[u8]) -> bool {
    [&b"password:"[..], b"passwd:", b"passcode:"].iter().any(|p| line.ends_with(p)) || line.starts_with(b"password for")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{brief, talk};
    use super::*;

    #[test]
    fn a_guess_and_a_log_in() {
        let (o, r) = (Side::Originator, Side::Responder);
        for step in [1, 100] {
            let said = talk(
                Carrier::Tcp,
                step,
                &[
                    (r, b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0Debian\r\nhost login: "),
                    (o, b"\xff\xfb\x18adx\x7fa\r\n"),
                    (r, b"ada\r\nPassword: "),
                    (o, b"hunter2\r\n"),
                    (r, b"\r\nLogin incorrect\r\nhost login: "),
                    (o, b"root\r\0"),
                    (r, b"root\r\nPassword: "),
                    (o, b"sesame\r\0"),
                    (r, b"\r\nLinux host 6.1\r\nroot@host:~# "),
                ],
            );
            assert_eq!(brief(&said, &["user.name", "status_id", "is_cleartext"]), ["ada 2 true", "root 1 true"], "{step}: {said:?}");
            assert!(said.iter().all(|l| !l.contains("sesame") && !l.contains("hunter")));
        }
    }
}
