//! Syslog headers as they occur: RFC 5424, RFC 3164, the ISO time stamps of rsyslog, Solaris' `[ID …]`, daemons' own dates, or none.
//!
//! RFC 3164 has no year and no zone: the year is the received time's, one less where the date would lie more than a day ahead.

use event::Timestamp;

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
        if let Some(version) = after.strip_prefix("1 ") {
            if let Some(full) = rfc5424(version, head.priority) {
                return full;
            }
        }
    }
    let Some((time, after)) = stamp(rest, received, utc_offset_secs) else {
        head.message = rest;
        tag(&mut head, rest);
        return head;
    };
    head.time = Some(time);
    rest = after.trim_start();
    // A host name follows, unless the next word already is the tag (`sshd[1]:` or `[sshd]:`), as some daemons and tools write it.
    let first = rest.split(' ').next().unwrap_or("");
    if !is_tag(first) && !first.is_empty() {
        head.host = Some(first);
        rest = rest.get(first.len()..).unwrap_or("").trim_start();
    }
    head.message = rest;
    tag(&mut head, rest);
    head
}

fn priority(text: &str) -> Option<(u16, &str)> {
    let (number, rest) = text.strip_prefix('<')?.split_once('>')?;
    let n: u16 = (number.len() <= 3).then(|| number.parse().ok()).flatten()?;
    (n <= 191).then_some((n, rest))
}

/// RFC 5424 after `<pri>1 `.
fn rfc5424(text: &str, priority: Option<u16>) -> Option<Header<'_>> {
    let mut parts = text.splitn(6, ' ');
    let nil = |p: &str| p == "-";
    let time = parts.next()?;
    let time = if nil(time) { None } else { Some(Timestamp::parse_rfc3339(time)?) };
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
            b']' if !quoted => {
                if bytes.get(at + 1) != Some(&b'[') {
                    let rest = text.get(at + 1..).unwrap_or("");
                    return Some((text.get(..=at), rest.strip_prefix(' ').unwrap_or(rest)));
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// A time stamp at the start of the text, and what follows it.
fn stamp(text: &str, received: Timestamp, offset: i32) -> Option<(Timestamp, &str)> {
    iso(text, offset).or_else(|| bsd(text, received, offset)).or_else(|| long(text, offset)).or_else(|| named(text, offset))
}

/// `2026-11-23T08:00:00.1+08:00` or `2026-11-23 08:00:00,123` (local time where there is no zone).
fn iso(text: &str, offset: i32) -> Option<(Timestamp, &str)> {
    let b = text.as_bytes();
    if b.len() < 19 || b.get(4) != Some(&b'-') || b.get(13) != Some(&b':') || b.get(16) != Some(&b':') {
        return None;
    }
    let mut end = 19;
    if matches!(b.get(end), Some(b'.' | b',')) {
        end += 1;
        while b.get(end).is_some_and(u8::is_ascii_digit) {
            end += 1;
        }
    }
    let body = text.get(..end)?.replace(',', ".");
    let (zone, end) = match b.get(end) {
        Some(b'Z') => ("Z".to_owned(), end + 1),
        Some(b'+' | b'-') => {
            let z = text.get(end..end + 6).filter(|z| z.as_bytes()[3] == b':');
            match z {
                Some(z) => (z.to_owned(), end + 6),
                None => {
                    let z = text.get(end..end + 5)?;
                    (format!("{}:{}", z.get(..3)?, z.get(3..)?), end + 5)
                }
            }
        }
        _ => (String::new(), end),
    };
    if b.get(end).is_some_and(|c| !matches!(c, b' ' | b'\t' | b':')) {
        return None;
    }
    let time = if zone.is_empty() {
        Timestamp::parse_rfc3339(&format!("{body}Z"))?.plus_secs(-i64::from(offset))
    } else {
        Timestamp::parse_rfc3339(&format!("{body}{zone}"))?
    };
    Some((time, text.get(end..)?))
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn month(text: &str) -> Option<usize> {
    MONTHS.iter().position(|m| text.eq_ignore_ascii_case(m)).map(|m| m + 1)
}

/// `Nov  3 08:00:00`, RFC 3164, with an optional fraction or year.
fn bsd(text: &str, received: Timestamp, offset: i32) -> Option<(Timestamp, &str)> {
    let m = month(text.get(..3)?)?;
    let rest = text.get(3..)?.strip_prefix(' ')?.trim_start();
    let (day, rest) = rest.split_once(' ')?;
    let day: u32 = day.parse().ok().filter(|d| (1..=31).contains(d))?;
    let rest = rest.trim_start();
    let (year, rest) = match rest.split_once(' ') {
        Some((y, r)) if y.len() == 4 && y.bytes().all(|c| c.is_ascii_digit()) => (y.parse::<i32>().ok(), r),
        _ => (None, rest),
    };
    let clock_end = rest.find([' ', ':']).map_or(rest.len(), |_| rest.find(' ').unwrap_or(rest.len()));
    let clock = rest.get(..clock_end)?.trim_end_matches(':');
    let (hms, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    if hms.len() != 8 || !fraction.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let at = |year: i32| {
        let dot = if fraction.is_empty() { "" } else { "." };
        Timestamp::parse_rfc3339(&format!("{year:04}-{m:02}-{day:02}T{hms}{dot}{fraction}Z")).map(|t| t.plus_secs(-i64::from(offset)))
    };
    let time = match year {
        Some(year) => at(year)?,
        None => {
            let this_year: i32 = received.plus_secs(i64::from(offset)).to_string().get(..4)?.parse().ok()?;
            // 29 February read in another year is the last leap year's.
            match at(this_year) {
                Some(t) if t.since(received) <= 86_400 * event::SECOND_NS => t,
                _ => (1..=4).find_map(|back| at(this_year - back))?,
            }
        }
    };
    Some((time, rest.get(clock_end..).unwrap_or("")))
}

/// `Fri Jan 19 12:20:33 2007`, ctime(3).
fn long(text: &str, offset: i32) -> Option<(Timestamp, &str)> {
    let mut parts = text.split_ascii_whitespace();
    let weekday = parts.next()?;
    if weekday.len() != 3 || !["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&weekday) {
        return None;
    }
    let (m, day, clock, year) = (month(parts.next()?)?, parts.next()?, parts.next()?, parts.next()?);
    let day: u32 = day.parse().ok()?;
    let time = Timestamp::parse_rfc3339(&format!("{year}-{m:02}-{day:02}T{clock}Z"))?.plus_secs(-i64::from(offset));
    let end = text.find(year).map(|at| at + year.len())?;
    Some((time, text.get(end..)?))
}

/// `23-Aug-2013 10:32:56.621`, BIND's own.
fn named(text: &str, offset: i32) -> Option<(Timestamp, &str)> {
    let (date, rest) = text.split_once(' ')?;
    let mut parts = date.split('-');
    let (day, m, year) = (parts.next()?, month(parts.next()?)?, parts.next()?);
    let day: u32 = day.parse().ok()?;
    let end = rest.find(' ').unwrap_or(rest.len());
    let time = Timestamp::parse_rfc3339(&format!("{year}-{m:02}-{day:02}T{}Z", &rest[..end]))?.plus_secs(-i64::from(offset));
    Some((time, rest.get(end..)?))
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
    // `[sshd]:` (a name in brackets), but not `[error]` or a date in brackets: those need the colon.
    let (name, pid) = if let Some(inner) = bare.strip_prefix('[').and_then(|b| b.strip_suffix(']')) {
        (inner, None)
    } else if let Some((name, pid)) = bare.split_once('[') {
        (name, pid.trim_end_matches(']').parse::<i64>().ok())
    } else {
        (bare, None)
    };
    let colon = first.ends_with(':');
    let bracketed = first.contains('[') && first.trim_end_matches(':').ends_with(']') && !first.starts_with('[');
    let plausible = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '(' | ')' | '@' | '+'))
        && name.chars().any(|c| c.is_ascii_alphabetic());
    if !(plausible && (colon || bracketed || (first.starts_with('[') && head.time.is_some() && !name.contains('.')))) {
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
