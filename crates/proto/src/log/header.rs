//! Syslog headers as they occur: RFC 5424, RFC 3164, the ISO time stamps of rsyslog, Solaris' `[ID …]`, daemons' own dates, or none.
//!
//! What a program without syslog writes into a file of its own has a stamp and then its message: a host name is only read from it
//! where a strict tag (`name[pid]`) stands behind it. The stamps themselves: `stamp`.

use event::Timestamp;

use super::stamp::{Style, embedded, stamp};

/// What stands before a message. Absent parts are `None`; `message` is the rest and at least the whole line.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Header<'a> {
    /// Facility × 8 + severity.
    pub priority: Option<u16>,
    pub time: Option<Timestamp>,
    pub host: Option<&'a str>,
    pub program: Option<&'a str>,
    pub pid: Option<i64>,
    pub msgid: Option<&'a str>,
    /// RFC 5424 structured data as written.
    pub structured: Option<&'a str>,
    pub message: &'a str,
}

impl Header<'_> {
    /// Program name for look-up: lower case, without path, instance or module (`postfix/smtpd` → `postfix`, `sshd-session` → `sshd`).
    pub(crate) fn program_word(&self) -> String {
        let name = self.program.unwrap_or("");
        let name = if name.starts_with('/') { name.rsplit('/').next().unwrap_or("") } else { name };
        let end = name.find(['/', '(', '[', ' ']).unwrap_or(name.len());
        let word: String = name[..end].chars().take(64).collect::<String>().to_ascii_lowercase();
        word.strip_suffix("-session").unwrap_or(&word).to_owned()
    }
}

/// Reads the header of a line.
pub fn header(line: &str, received: Timestamp, utc_offset_secs: i32) -> Header<'_> {
    let mut head = Header { message: line, ..Header::default() };
    let mut rest = line.trim_start_matches(['\u{feff}', ' ']);
    if let Some((priority, after)) = priority(rest) {
        head.priority = Some(priority);
        rest = after;
        if let Some(full) = versioned(after).and_then(|text| rfc5424(text, head.priority, utc_offset_secs)) {
            return full;
        }
        rest = cisco_sequence(rest);
    }
    let Some((time, after, style)) = stamp(rest, received, utc_offset_secs) else {
        head.message = rest;
        head.time = embedded(rest, utc_offset_secs);
        let (first, second) = two_words(rest);
        if !is_tag(first) && is_host(first) && is_strict_tag(second) {
            // `mail.example.com exim[7]: …`: relayed without a date.
            head.host = Some(first);
            rest = rest.get(first.len()..).unwrap_or("").trim_start();
        }
        tag(&mut head, rest);
        return head;
    };
    head.time = Some(time);
    let dated_by_month = rest.starts_with(|c: char| c.is_ascii_alphabetic());
    rest = after.trim_start();
    head.message = rest;
    if style == Style::Own {
        let (first, second) = two_words(rest);
        if is_strict_tag(first) {
            tag(&mut head, rest);
        } else if is_host(first) && is_strict_tag(second) {
            head.host = Some(first);
            rest = rest.get(first.len()..).unwrap_or("").trim_start();
            tag(&mut head, rest);
        }
        return head;
    }
    // Busybox and NetBSD: `<mail.notice> host tag:`.
    if let Some((facility, after)) = rest.strip_prefix('<').and_then(|r| r.split_once("> "))
        && facility.len() <= 20
        && facility.contains('.')
        && facility.bytes().all(|c| c.is_ascii_lowercase() || c == b'.' || c.is_ascii_digit())
    {
        rest = after;
    }
    let (first, second) = two_words(rest);
    let after_first = rest.get(first.len()..).unwrap_or("").trim_start();
    head.message = rest;
    if is_bare_pid(second) && is_host(first) {
        // `sogod [26818]: …`
        head.program = Some(first);
        head.pid = second.trim_matches(['[', ']', ':']).parse().ok();
        head.message = after_first.get(second.len()..).unwrap_or("").trim_start();
        return head;
    }
    // A host name follows, unless the next word already is the tag (`sshd[1]:` or `[sshd]:`), as some daemons and tools write it.
    if first.starts_with('[') && !first.ends_with(':') {
        // Metalog: `Nov 23 11:00:00 [sshd] …`. Behind an ISO stamp a word in brackets is a level or a thread.
        let name = first.strip_prefix('[').and_then(|f| f.strip_suffix(']')).filter(|n| is_name(n) && dated_by_month);
        if name.is_some() {
            head.program = name;
            head.message = after_first;
        }
        return head;
    }
    if !is_tag(first) && is_host(first) {
        head.host = Some(first);
        rest = after_first;
    }
    head.message = rest;
    tag(&mut head, rest);
    head
}

/// What follows `1 ` (or another version number of one or two digits) where a time stamp or `-` stands behind it.
fn versioned(text: &str) -> Option<&str> {
    let (version, rest) = text.split_once(' ')?;
    let plain = (1..=2).contains(&version.len()) && version.bytes().all(|c| c.is_ascii_digit());
    (plain && (rest.starts_with("- ") || rest.as_bytes().get(4) == Some(&b'-'))).then_some(rest)
}

/// Cisco's sequence number and clock mark: `91: *Oct 07 03:10:04: `.
fn cisco_sequence(text: &str) -> &str {
    let Some((number, rest)) = text.split_once(": ") else { return text };
    let sequence = (1..=10).contains(&number.len()) && number.bytes().all(|c| c.is_ascii_digit());
    if sequence { rest.trim_start_matches(['*', '.']) } else { text }
}

fn two_words(text: &str) -> (&str, &str) {
    let mut words = text.splitn(3, ' ').filter(|w| !w.is_empty());
    let first = words.next().unwrap_or("");
    (first, text.get(first.len()..).and_then(|r| r.trim_start().split(' ').next()).unwrap_or(""))
}

/// Could be a host name or an address; a bare number is none, nor is a punctuation mark.
fn is_host(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 255
        && word.starts_with(|c: char| c.is_alphanumeric() || c == ':')
        && !word.bytes().all(|c| c.is_ascii_digit())
        && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%' | '/' | '@'))
}

/// `name[12]` or `name[12]:`, where the name is no log level of Asterisk.
fn is_strict_tag(word: &str) -> bool {
    let bare = word.strip_suffix(':').unwrap_or(word);
    let Some((name, pid)) = bare.strip_suffix(']').and_then(|b| b.split_once('[')) else { return false };
    !pid.is_empty() && pid.bytes().all(|c| c.is_ascii_digit()) && is_name(name) && !is_level(name)
}

/// `[12]:`
fn is_bare_pid(word: &str) -> bool {
    word.strip_prefix('[').and_then(|w| w.strip_suffix("]:")).is_some_and(|w| !w.is_empty() && w.bytes().all(|c| c.is_ascii_digit()))
}

fn is_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '(' | ')' | '@' | '+' | '%'))
        && name.chars().any(|c| c.is_ascii_alphabetic())
}

/// Asterisk's `NOTICE[1234]` looks like a tag and is none.
fn is_level(name: &str) -> bool {
    matches!(name, "NOTICE" | "WARNING" | "ERROR" | "SECURITY" | "VERBOSE" | "DEBUG" | "DTMF")
}

fn priority(text: &str) -> Option<(u16, &str)> {
    let (number, rest) = text.strip_prefix('<')?.split_once('>')?;
    let n: u16 = (number.len() <= 3).then(|| number.parse().ok()).flatten()?;
    (n <= 191).then_some((n, rest))
}

/// RFC 5424 after `<pri>VERSION `.
fn rfc5424(text: &str, priority: Option<u16>, offset: i32) -> Option<Header<'_>> {
    let mut parts = text.splitn(6, ' ');
    let nil = |p: &str| p == "-";
    let time = parts.next()?;
    let time = match time {
        "-" => None,
        // A zone is required, but some senders leave it out: then it is the host's.
        _ => match stamp(time, Timestamp::ZERO, offset)? {
            (time, "", _) if text.as_bytes().get(10) == Some(&b'T') => Some(time),
            _ => return None,
        },
    };
    let mut next = || parts.next().map(|p| (!nil(p)).then_some(p));
    let (host, program, pid, msgid) = (next()?, next()?, next()?, next()?);
    let rest = parts.next().unwrap_or("-");
    let (structured, message) = structured(rest)?;
    Some(Header {
        priority,
        time,
        host,
        program,
        pid: pid.and_then(|p| p.parse().ok()),
        msgid,
        structured,
        message: message.trim_start_matches('\u{feff}'),
    })
}

/// Structured data and what follows it.
fn structured(text: &str) -> Option<(Option<&str>, &str)> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some((None, rest.strip_prefix(' ').unwrap_or(rest)));
    }
    let bytes = text.as_bytes();
    let (mut at, mut quoted) = (0, false);
    if bytes.first() != Some(&b'[') {
        return None;
    }
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b']' if !quoted && bytes.get(at + 1) != Some(&b'[') => {
                let rest = text.get(at + 1..).unwrap_or("");
                return Some((text.get(..=at), rest.strip_prefix(' ').unwrap_or(rest)));
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// `name:`, `name[1]:`, `name[1]`, `[name]:`, `[name]`.
fn is_tag(word: &str) -> bool {
    word.ends_with(':') || (word.ends_with(']') && word.contains('['))
}

/// Takes `program[pid]: ` off the message, where it stands there.
fn tag<'a>(head: &mut Header<'a>, text: &'a str) {
    let first = text.split(' ').next().unwrap_or("");
    let bare = first.trim_end_matches(':');
    if bare.is_empty() || bare.len() > 64 {
        return;
    }
    // `[sshd]:` is a name in brackets; `[error]`, `[http-nio-1]` or a date in brackets are none: those have no colon.
    let (name, pid) = if let Some(inner) = bare.strip_prefix('[').and_then(|b| b.strip_suffix(']')) {
        (inner, None)
    } else if let Some((name, pid)) = bare.split_once('[') {
        (name, pid.trim_end_matches(']').parse::<i64>().ok())
    } else {
        (bare, None)
    };
    let colon = first.ends_with(':');
    let bracketed = first.contains('[') && first.trim_end_matches(':').ends_with(']') && !first.starts_with('[');
    let plausible = is_name(name) && !is_level(name);
    if !(plausible && (colon && (!first.starts_with('[') || head.time.is_some()) || bracketed)) {
        return;
    }
    head.program = Some(name);
    head.pid = pid;
    let mut rest = text.get(first.len()..).unwrap_or("").trim_start();
    // Solaris: `[ID 800047 auth.info] message`.
    if let Some(after) = rest.strip_prefix("[ID ").and_then(|r| r.split_once("] ")) {
        rest = after.1;
    }
    head.message = rest;
}
