//! The client's side of SMTP (RFC 5321) as a state machine: bytes in, bytes out, no socket.
//!
//! One session sends one mail: greeting, EHLO, STARTTLS where asked for (RFC 3207: what was learnt before is forgotten), AUTH PLAIN or LOGIN
//! (RFC 4954), MAIL, RCPT, DATA, QUIT. Delivered is what got a 250 after its final dot, and nothing else: a connection that breaks before
//! that is tried again with the same Message-ID.
//!
//! Limits: a reply line of at most 2,048 bytes (the RFC allows 512), 100 lines a reply. What a server says before it is asked is an error, so
//! nothing injected before TLS is believed after it.

use base64::Engine;

use crate::{Login, MailTls};

const LINE_BYTES_MAX: usize = 2_048;
const LINES_MAX: usize = 100;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes, then read on.
    Write(Vec<u8>),
    /// Read more.
    Read,
    /// Start TLS on this connection, then call [`Session::secured`].
    StartTls,
    /// The reply that decided; write the bytes (QUIT) as a courtesy and close.
    End { code: u16, text: String, farewell: Vec<u8> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Hello,
    StartTls,
    Auth,
    LoginUser,
    LoginPassword,
    From,
    To,
    Data,
    Body,
    Ended,
}

/// One session.
pub struct Session<'a> {
    state: State,
    tls: MailTls,
    secure: bool,
    login: Option<&'a Login>,
    hello: &'a str,
    from: &'a str,
    to: &'a str,
    data: &'a [u8],
    buffer: Vec<u8>,
    lines: Vec<String>,
}

impl<'a> Session<'a> {
    pub fn new(tls: MailTls, login: Option<&'a Login>, hello: &'a str, from: &'a str, to: &'a str, data: &'a [u8]) -> Self {
        let (buffer, lines) = (Vec::new(), Vec::new());
        Self { state: State::Greeting, tls, secure: tls == MailTls::Implicit, login, hello, from, to, data, buffer, lines }
    }

    /// TLS is up.
    pub fn secured(&mut self) -> Step {
        self.secure = true;
        self.buffer.clear();
        self.lines.clear();
        self.state = State::Hello;
        self.say(&format!("EHLO {}", self.hello))
    }

    /// Bytes that arrived. Never panics, whatever they are.
    pub fn read(&mut self, bytes: &[u8]) -> Step {
        self.buffer.extend_from_slice(bytes);
        loop {
            let Some(end) = self.buffer.iter().position(|b| *b == b'\n') else {
                if self.buffer.len() > LINE_BYTES_MAX {
                    return self.end(554, "the server's line is too long");
                }
                return Step::Read;
            };
            if end > LINE_BYTES_MAX {
                return self.end(554, "the server's line is too long");
            }
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let Some((code, last, rest)) = reply(&line) else { return self.end(421, "what answers is no mail server") };
            if self.lines.len() >= LINES_MAX {
                return self.end(554, "the server's reply is too long");
            }
            self.lines.push(rest.to_owned());
            if !last {
                continue;
            }
            if !self.buffer.is_empty() {
                return self.end(421, "the server speaks before it is asked");
            }
            let lines = std::mem::take(&mut self.lines);
            return self.replied(code, &lines);
        }
    }

    fn replied(&mut self, code: u16, lines: &[String]) -> Step {
        let text = lines.join(" ");
        let wanted = match self.state {
            State::Greeting | State::StartTls => code == 220,
            State::Hello | State::From | State::Body => code == 250,
            State::Auth => matches!(code, 235 | 334),
            State::LoginUser => code == 334,
            State::LoginPassword => code == 235,
            State::To => matches!(code, 250 | 251),
            State::Data => code == 354,
            State::Ended => false,
        };
        if !wanted {
            // A server that never liked us is not a mail that was refused.
            let code = if self.state == State::Greeting && code >= 500 { 421 } else { code };
            return self.end(if (200..400).contains(&code) { 421 } else { code }, &text);
        }
        match self.state {
            State::Greeting => {
                self.state = State::Hello;
                self.say(&format!("EHLO {}", self.hello))
            }
            State::Hello => self.greeted(lines),
            State::StartTls => Step::StartTls,
            // AUTH LOGIN asks for the user first, then for the password.
            State::Auth if code == 334 => {
                self.state = State::LoginUser;
                let user = self.login.map(|l| base64(l.user.as_bytes())).unwrap_or_default();
                self.say(&user)
            }
            State::LoginUser => {
                self.state = State::LoginPassword;
                let password = self.login.map(|l| base64(l.password.expose().as_bytes())).unwrap_or_default();
                self.say(&password)
            }
            State::Auth | State::LoginPassword => {
                self.state = State::From;
                self.say(&format!("MAIL FROM:<{}>", self.from))
            }
            State::From => {
                self.state = State::To;
                self.say(&format!("RCPT TO:<{}>", self.to))
            }
            State::To => {
                self.state = State::Data;
                self.say("DATA")
            }
            State::Data => {
                self.state = State::Body;
                Step::Write(stuffed(self.data))
            }
            State::Body => self.end(code, &text),
            State::Ended => Step::Read,
        }
    }

    fn greeted(&mut self, lines: &[String]) -> Step {
        let offers = |word: &str| lines.iter().any(|l| l.split_ascii_whitespace().next().is_some_and(|w| w.eq_ignore_ascii_case(word)));
        if self.tls == MailTls::Starttls && !self.secure {
            if !offers("STARTTLS") {
                return self.end(454, "the server offers no STARTTLS; use tls = \"implicit\", or \"none\" on loopback");
            }
            self.state = State::StartTls;
            return self.say("STARTTLS");
        }
        let Some(login) = self.login else {
            self.state = State::From;
            return self.say(&format!("MAIL FROM:<{}>", self.from));
        };
        let mechanisms: Vec<String> = lines
            .iter()
            .filter_map(|l| l.to_ascii_uppercase().strip_prefix("AUTH").map(|rest| rest.replace('=', " ")))
            .flat_map(|rest| rest.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        self.state = State::Auth;
        if mechanisms.iter().any(|m| m == "PLAIN") {
            let plain = format!("\0{}\0{}", login.user, login.password.expose());
            return self.say(&format!("AUTH PLAIN {}", base64(plain.as_bytes())));
        }
        if mechanisms.iter().any(|m| m == "LOGIN") {
            return self.say("AUTH LOGIN");
        }
        self.end(454, "the server offers neither AUTH PLAIN nor AUTH LOGIN")
    }

    fn say(&self, line: &str) -> Step {
        Step::Write(format!("{line}\r\n").into_bytes())
    }

    fn end(&mut self, code: u16, text: &str) -> Step {
        self.state = State::Ended;
        Step::End { code, text: crate::bounded(text), farewell: b"QUIT\r\n".to_vec() }
    }
}

/// (code, last line of the reply, text).
fn reply(line: &str) -> Option<(u16, bool, &str)> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let code = digits.parse().ok().filter(|c| (200..600).contains(c))?;
    match rest.as_bytes().first() {
        None => Some((code, true, "")),
        Some(b' ') => Some((code, true, rest.get(1..)?)),
        Some(b'-') => Some((code, false, rest.get(1..)?)),
        Some(_) => None,
    }
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Dots at the start of a line doubled, and the final dot.
pub fn stuffed(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 8);
    let mut at_start = true;
    for b in data {
        if at_start && *b == b'.' {
            out.push(b'.');
        }
        at_start = *b == b'\n';
        out.push(*b);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
