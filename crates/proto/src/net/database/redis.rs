//! Redis (RESP 2 and 3): log-ins, the commands that change the server itself, counts of all others.
//!
//! Replies are joined with commands by their order. Limits: `WORDS_MAX` words and `WORD_BYTES_MAX` bytes of each are looked at, longer ones are
//! passed over; `PENDING_MAX` commands wait for replies; replies in more than one line count by their first.

use std::collections::VecDeque;

use event::{Class, Event, Kind, LogSource, Timestamp, field};

use super::super::login::{Login, Outcome};
use super::super::wording::{self, Lines, Tally};
use super::super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want};
use super::{Entry, fields};

pub static REDIS: Protocol = Protocol {
    name: "redis",
    about: "log-ins, commands that change the server itself, counts of all others",
    fields: fields![field::COMMAND, field::COMMANDS, field::FILE_PATH, field::COUNT],
    anomalies: &[],
    probe,
    open: |_| Box::new(Redis::default()),
};

const LINE_BYTES_MAX: usize = 512;
const WORDS_MAX: usize = 6;
const WORD_BYTES_MAX: usize = 256;
const PENDING_MAX: usize = 128;

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    const INLINE: [&[u8]; 2] = [b"PING\r\n", b"INFO\r\n"];
    let Some((first, rest)) = bytes.split_first() else { return Probe::No };
    match first {
        _ if carrier == Carrier::Udp => Probe::No,
        // `*3\r\n$7\r\n`: a list of texts.
        b'*' => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            match rest.get(digits..).unwrap_or_default() {
                _ if digits > 5 => Probe::No,
                [] => Probe::Maybe,
                [b'\r'] | [b'\r', b'\n'] if digits > 0 => Probe::Maybe,
                [b'\r', b'\n', b'$', ..] if digits > 0 => Probe::Yes,
                _ => Probe::No,
            }
        }
        b'P' | b'p' | b'I' | b'i' => match () {
            () if INLINE.iter().any(|c| wording::begins(bytes, c)) => Probe::Yes,
            () if bytes.len() < 6 && INLINE.iter().any(|c| wording::begins(c, bytes)) => Probe::Maybe,
            () => Probe::No,
        },
        _ => Probe::No,
    }
}

#[derive(Default)]
struct Redis {
    lines: [Lines; 2],
    skip: [u64; 2],
    talk: Talk,
}

enum Asked {
    LogIn(Login),
    Matters { command: String, path: Option<String> },
    Other,
}

#[derive(Default)]
struct Talk {
    client: Option<Side>,
    /// Words of a command that are still to come, and those that came.
    wanted: u64,
    words: Vec<Vec<u8>>,
    /// The next line is a word of so many bytes.
    length: Option<u64>,
    /// Lines of a reply that belong to what was begun.
    inner: u64,
    pending: VecDeque<Asked>,
    tally: Tally,
    skip: u64,
}

impl Parser for Redis {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            // Nobody can say which reply belongs to which command any more.
            self.lines[at].gap();
            (self.talk.wanted, self.talk.length, self.talk.inner, self.skip[at]) = (0, None, 0, 0);
            self.talk.pending.clear();
        }
        let client = *self.talk.client.get_or_insert(piece.side);
        let mut bytes = piece.bytes;
        loop {
            let passed = usize::try_from(self.skip[at]).unwrap_or(usize::MAX).min(bytes.len());
            self.skip[at] -= passed as u64;
            bytes = bytes.get(passed..).unwrap_or_default();
            if bytes.is_empty() {
                return Want::Whole;
            }
            let talk = &mut self.talk;
            bytes = self.lines[at].feed(bytes, LINE_BYTES_MAX, &mut |line| {
                if piece.side == client {
                    talk.said(line, piece.time, out)
                } else {
                    talk.reply(line, piece.time, out)
                }
                talk.skip == 0
            });
            self.skip[at] = std::mem::take(&mut talk.skip);
        }
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        let by = self.talk.client.unwrap_or(Side::Originator);
        while let Some(asked) = self.talk.pending.pop_front() {
            told(asked, None, by, now, out);
        }
        let event = Event::new(now, Kind::NetworkActivity, 6, LogSource::new("", "redis", "redis")).with(field::COMMAND, "session");
        wording::summary(&mut self.talk.tally, by, event, now, out);
    }
}

fn number(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

impl Talk {
    fn said(&mut self, line: &[u8], time: Timestamp, out: &mut dyn Emit) {
        if self.length.take().is_some() {
            return self.word(line, time, out);
        }
        match line.first() {
            Some(b'*') if self.wanted == 0 => {
                self.wanted = number(line.get(1..).unwrap_or_default()).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
                self.words.clear();
            }
            Some(b'$') if self.wanted > 0 => {
                let length = number(line.get(1..).unwrap_or_default()).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
                if length > WORD_BYTES_MAX as u64 || self.words.len() >= WORDS_MAX {
                    // Long ones may hold line ends: they are passed over by their length.
                    self.skip = length.saturating_add(2).min(1 << 40);
                    self.word(&[], time, out);
                } else {
                    self.length = Some(length);
                }
            }
            Some(_) if self.wanted == 0 => {
                self.words = line.split(|b| *b == b' ').filter(|w| !w.is_empty()).take(WORDS_MAX).map(<[u8]>::to_vec).collect();
                self.command(time, out);
            }
            _ => {}
        }
    }

    fn word(&mut self, word: &[u8], time: Timestamp, out: &mut dyn Emit) {
        self.wanted = self.wanted.saturating_sub(1);
        if self.words.len() < WORDS_MAX {
            self.words.push(word.to_vec());
        }
        if self.wanted == 0 {
            self.command(time, out);
        }
    }

    fn command(&mut self, time: Timestamp, out: &mut dyn Emit) {
        let words = std::mem::take(&mut self.words);
        let Some(first) =
            words.first().filter(|w| !w.is_empty() && w.len() <= 32 && w.iter().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b)))
        else {
            return;
        };
        let name = wording::text(first).to_ascii_uppercase();
        self.tally.heard(&name);
        let word = |at: usize| words.get(at).map(|w| wording::text(w)).unwrap_or_default();
        let sub = word(1).to_ascii_uppercase();
        let asked = match name.as_str() {
            "AUTH" => Asked::LogIn(login(if words.len() > 2 { word(1) } else { "default".to_owned() })),
            "HELLO" => match words.iter().position(|w| w.eq_ignore_ascii_case(b"AUTH")) {
                Some(at) => Asked::LogIn(login(word(at + 1))),
                None => Asked::Other,
            },
            "CONFIG" if sub == "SET" => {
                Asked::Matters { command: format!("CONFIG SET {}", word(2)), path: Some(word(3)).filter(|p| p.starts_with('/')) }
            }
            "MODULE" if sub == "LOAD" || sub == "LOADEX" => Asked::Matters { command: format!("MODULE {sub}"), path: Some(word(2)) },
            "SLAVEOF" | "REPLICAOF" => Asked::Matters { command: format!("{name} {} {}", word(1), word(2)), path: None },
            "SCRIPT" | "ACL" | "DEBUG" | "CONFIG" | "FUNCTION"
                if matches!(sub.as_str(), "FLUSH" | "LOAD" | "SETUSER" | "DELUSER" | "SEGFAULT" | "REWRITE") =>
            {
                Asked::Matters { command: format!("{name} {sub}"), path: None }
            }
            "EVAL" | "EVALSHA" | "FLUSHALL" | "FLUSHDB" | "SHUTDOWN" | "SAVE" | "BGSAVE" | "MIGRATE" | "MONITOR" => {
                Asked::Matters { command: name, path: None }
            }
            _ => Asked::Other,
        };
        if self.pending.len() >= PENDING_MAX
            && let Some(oldest) = self.pending.pop_front()
        {
            told(oldest, None, self.client.unwrap_or(Side::Originator), time, out);
        }
        self.pending.push_back(asked);
    }

    fn reply(&mut self, line: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let Some((kind, rest)) = line.split_first() else { return };
        let count = number(rest).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let inner = self.inner > 0;
        self.inner = self.inner.saturating_sub(1);
        match kind {
            b'$' | b'=' | b'!' if number(rest) != Some(-1) => self.skip = count.saturating_add(2).min(1 << 40),
            b'*' | b'~' | b'>' => self.inner = self.inner.saturating_add(count),
            b'%' | b'|' => self.inner = self.inner.saturating_add(count.saturating_mul(2)),
            b'+' | b'-' | b':' | b'$' | b'_' | b'#' | b',' | b'(' => {}
            _ => return,
        }
        // What is pushed and what describes a reply is none.
        if inner || matches!(kind, b'>' | b'|') {
            return;
        }
        if let Some(asked) = self.pending.pop_front() {
            let good = !matches!(kind, b'-' | b'!');
            told(asked, Some((good, rest)), self.client.unwrap_or(Side::Originator), time, out);
        }
    }
}

fn login(user: String) -> Login {
    Login { user: Some(user), scheme: Some("password"), cleartext: true, ..Login::default() }
}

fn told(asked: Asked, answer: Option<(bool, &[u8])>, by: Side, time: Timestamp, out: &mut dyn Emit) {
    let (outcome, text) = match answer {
        None => (Outcome::Unknown, None),
        Some((true, _)) => (Outcome::Success, None),
        Some((false, text)) => (Outcome::Failure, Some(text)),
    };
    match asked {
        Asked::LogIn(login) => Entry { login, ..Entry::default() }.tell("redis", by, outcome, None, text, time, out),
        Asked::Matters { command, path } => {
            let mut event = Event::new(time, Kind::NetworkActivity, 6, LogSource::new("", "redis", "redis")).with(field::COMMAND, command);
            event.body.set_some(field::FILE_PATH, path);
            event.body.set(field::STATUS_ID, answer.map_or(0, |a| if a.0 { 1 } else { 2 }));
            event.body.set_some(field::STATUS_DETAIL, text.map(wording::text));
            out.asked(by, Class::Normal, event);
        }
        Asked::Other => {}
    }
}
