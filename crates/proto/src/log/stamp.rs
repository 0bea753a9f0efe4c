//! Time stamps at the start of a line, in the forms syslog daemons and programs write.
//!
//! RFC 3164 has no year and no zone: the year is the received time's, one less where the date would lie more than a day ahead.
//! Stamps without a zone are local time of the host (`offset`, seconds east of UTC). Nothing here is guessed: a form that does not
//! fit gives `None`, and the line keeps the time it was read at.

use event::Timestamp;

/// Who writes a stamp of that form, and so what may follow it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Style {
    /// A syslog daemon: the host name follows.
    Syslog,
    /// A program with a log file of its own: its message follows; a host name only where a strict tag stands behind it.
    Own,
}

pub(super) type Stamp<'a> = (Timestamp, &'a str, Style);

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A stamp at the start of the text, what follows it, and its style.
pub(super) fn stamp(text: &str, received: Timestamp, offset: i32) -> Option<Stamp<'_>> {
    if let Some(inner) = text.strip_prefix('[') {
        return bracketed(inner, received, offset);
    }
    iso(text, offset)
        .or_else(|| bsd(text, received, offset).map(|(t, r)| (t, r, Style::Syslog)))
        .or_else(|| year_first(text, received, offset))
        .or_else(|| own_forms(text, received, offset).map(|(t, r)| (t, r, Style::Own)))
        .or_else(|| long(text, offset).or_else(|| day_first(text, offset)).map(|(t, r)| (t, r, Style::Own)))
}

/// `[…] `, `[…]: `, `[…][`: any stamp in brackets, also an epoch (`[1387288694]`) or one with a zone name (`[PDT Apr 16 21:05:29]`).
fn bracketed(inner: &str, received: Timestamp, offset: i32) -> Option<Stamp<'_>> {
    let (body, rest) = inner.split_at_checked(inner.find(']')?)?;
    let rest = rest.get(1..)?.trim_start_matches(':');
    if body.len() > 48 {
        return None;
    }
    if body.len() == 10 && body.bytes().all(|c| c.is_ascii_digit()) {
        return Some((Timestamp::from_secs(body.parse().ok()?), rest, Style::Own));
    }
    let (time, left, _) = stamp(body, received, offset).or_else(|| {
        let (zone, date) = body.split_once(' ')?;
        (zone.len() <= 5 && zone.bytes().all(|c| c.is_ascii_uppercase())).then(|| stamp(date, received, offset)).flatten()
    })?;
    (left.trim().is_empty()).then_some((time, rest, Style::Own))
}

/// Date and clock as RFC 3339 wants them: the hour may have one digit, the fraction a comma.
fn at(year: i32, month: usize, day: &str, clock: &str, offset: i32) -> Option<Timestamp> {
    let zero = if clock.as_bytes().get(1) == Some(&b':') { "0" } else { "" };
    let clock = clock.replace(',', ".");
    Timestamp::parse_rfc3339(&format!("{year:04}-{month:02}-{day:0>2}T{zero}{clock}Z")).map(|t| t.plus_secs(-i64::from(offset)))
}

/// The year a date without one belongs to. 29 February read in another year is the last leap year's.
fn without_year(month: usize, day: &str, clock: &str, received: Timestamp, offset: i32) -> Option<Timestamp> {
    let this_year: i32 = received.plus_secs(i64::from(offset)).to_string().get(..4)?.parse().ok()?;
    match at(this_year, month, day, clock, offset) {
        Some(t) if t.since(received) <= 86_400 * event::SECOND_NS => Some(t),
        _ => (1..=4).find_map(|back| at(this_year - back, month, day, clock, offset)),
    }
}

fn month(text: &str) -> Option<usize> {
    MONTHS.iter().position(|m| text.eq_ignore_ascii_case(m)).map(|m| m + 1)
}

/// Length of `hh:mm:ss[.fff]` or `h:mm:ss` at the start.
fn clock_len(text: &str) -> Option<usize> {
    let b = text.as_bytes();
    let hour = b.iter().take_while(|c| c.is_ascii_digit()).count();
    let rest = b.get(hour..hour + 6)?;
    let shape = matches!(hour, 1 | 2) && rest[0] == b':' && rest[3] == b':' && [1, 2, 4, 5].iter().all(|i| rest[*i].is_ascii_digit());
    if !shape {
        return None;
    }
    let mut end = hour + 6;
    if matches!(b.get(end), Some(b'.' | b',')) && b.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end += 1;
        end += b.get(end..)?.iter().take_while(|c| c.is_ascii_digit()).count();
    }
    Some(end)
}

/// Seconds east of UTC of `Z`, `+08:00`, `-0400`, ` +08:00`, ` UTC` at the start, and its length.
fn zone(text: &str) -> Option<(i32, usize)> {
    let blanks = usize::from(text.starts_with(' '));
    let t = text.get(blanks..)?;
    if t.starts_with('Z') {
        return Some((0, blanks + 1));
    }
    if t.starts_with("UTC") || t.starts_with("GMT") {
        return Some((0, blanks + 3));
    }
    let sign = match t.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours: i32 = t.get(1..3)?.parse().ok()?;
    let colon = usize::from(t.as_bytes().get(3) == Some(&b':'));
    let minutes: i32 = t.get(3 + colon..5 + colon)?.parse().ok()?;
    (hours <= 14 && minutes < 60 && !t.as_bytes().get(5 + colon).is_some_and(u8::is_ascii_digit))
        .then_some((sign * (hours * 3_600 + minutes * 60), blanks + 5 + colon))
}

/// `2026-11-23T08:00:00.1+08:00`, `2026-11-23 08:00:00,123` (local time where there is no zone), `2026/11/23 08:00:00`, `2026.11.23 …`.
fn iso(text: &str, offset: i32) -> Option<Stamp<'_>> {
    let b = text.as_bytes();
    let separator = *b.get(4)?;
    if !matches!(separator, b'-' | b'/' | b'.') || *b.get(7)? != separator {
        return None;
    }
    let (year, m) = (text.get(..4)?.parse::<i32>().ok()?, text.get(5..7)?.parse::<usize>().ok()?);
    let day = text.get(8..10)?;
    let mut rest = text.get(10..)?;
    let t_form = rest.starts_with(['T', 't']);
    rest = if t_form { rest.get(1..)? } else { rest.strip_prefix(' ')?.trim_start_matches(' ') };
    let end = clock_len(rest)?;
    let (clock, mut rest) = rest.split_at_checked(end)?;
    let mut zoned = None;
    if let Some((seconds, len)) = zone(rest) {
        zoned = Some(seconds);
        rest = rest.get(len..)?;
    }
    if !rest.is_empty() && !rest.starts_with([' ', '\t', ':']) {
        return None;
    }
    let style = if t_form && !rest.starts_with(':') { Style::Syslog } else { Style::Own };
    Some((at(year, m, day, clock, zoned.unwrap_or(offset))?, rest.trim_start_matches(':'), style))
}

/// `Nov  3 08:00:00`, RFC 3164, with an optional fraction, and a year before or after the clock.
fn bsd(text: &str, received: Timestamp, offset: i32) -> Option<(Timestamp, &str)> {
    let m = month(text.get(..3)?)?;
    let rest = text.get(3..)?.strip_prefix(' ')?.trim_start();
    let (day, rest) = rest.split_once(' ')?;
    day.parse::<u32>().ok().filter(|d| (1..=31).contains(d))?;
    let rest = rest.trim_start();
    let (mut year, rest) = match rest.split_once(' ') {
        Some((y, r)) if y.len() == 4 && y.bytes().all(|c| c.is_ascii_digit()) => (y.parse::<i32>().ok(), r),
        _ => (None, rest),
    };
    let (clock, mut rest) = rest.split_at_checked(clock_len(rest)?)?;
    if !rest.is_empty() && !rest.starts_with([' ', ':']) {
        return None;
    }
    if year.is_none()
        && let Some((y, r)) = rest.strip_prefix(' ').and_then(|r| r.split_once(' '))
        && y.len() == 4
        && (y.starts_with("19") || y.starts_with("20"))
        && y.bytes().all(|c| c.is_ascii_digit())
    {
        year = y.parse().ok();
        rest = r;
    }
    let time = match year {
        Some(year) => at(year, m, day, clock, offset)?,
        None => without_year(m, day, clock, received, offset)?,
    };
    Some((time, rest.trim_start_matches(':')))
}

/// `2015 Nov 13 13:40:01`
fn year_first(text: &str, received: Timestamp, offset: i32) -> Option<Stamp<'_>> {
    let year: i32 = text.get(..4)?.parse().ok()?;
    let (_, rest) = bsd(text.get(4..)?.strip_prefix(' ')?, received, offset)?;
    let head = text.get(5..text.len().checked_sub(rest.len())?)?;
    let mut parts = head.split_ascii_whitespace();
    let (m, day, clock) = (month(parts.next()?)?, parts.next()?, parts.next()?);
    Some((at(year, m, day, clock.trim_end_matches(':'), offset)?, rest, Style::Syslog))
}

/// `Fri Jan 19 12:20:33 2007`, ctime(3), also with a zone name before the year.
fn long(text: &str, offset: i32) -> Option<(Timestamp, &str)> {
    let mut parts = text.split_ascii_whitespace();
    let weekday = parts.next()?;
    if !["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&weekday) {
        return None;
    }
    let (m, day, clock, mut year) = (month(parts.next()?)?, parts.next()?, parts.next()?, parts.next()?);
    if year.len() <= 4 && year.bytes().all(|c| c.is_ascii_uppercase()) {
        year = parts.next()?;
    }
    day.parse::<u32>().ok()?;
    clock_len(clock).filter(|n| *n == clock.len())?;
    let number = year.parse::<i32>().ok().filter(|_| year.len() == 4)?;
    let end = text.find(year).map(|at| at + year.len())?;
    Some((at(number, m, day, clock, offset)?, text.get(end..)?))
}

/// `23-Aug-2013 10:32:56.621` (BIND), `22-Jan-2013 22:28:21 +0200` (PHP).
fn day_first(text: &str, offset: i32) -> Option<(Timestamp, &str)> {
    let (date, rest) = text.split_once(' ').filter(|(d, _)| d.len() <= 11)?;
    let mut parts = date.split('-');
    let (day, m, year) = (parts.next()?, month(parts.next()?)?, parts.next()?.parse::<i32>().ok()?);
    day.parse::<u32>().ok()?;
    let (clock, mut rest) = rest.split_at_checked(clock_len(rest)?)?;
    let mut zoned = offset;
    if let Some((seconds, len)) = zone(rest) {
        zoned = seconds;
        rest = rest.get(len..)?;
    }
    Some((at(year, m, day, clock, zoned)?, rest))
}

/// Forms of single programs: MySQL `130324  0:04:00`, DirectAdmin `2014:07:02-00:17:45: `, Squid `1386543323.000 `, FreeSWITCH
/// `08-03 07:56:53.026292 `, Murmur `<W>2015-11-29 16:38:01.818 `, game servers `L 01/01/2014 - 01:25:17: `.
fn own_forms(text: &str, received: Timestamp, offset: i32) -> Option<(Timestamp, &str)> {
    let b = text.as_bytes();
    let digits = b.iter().take(11).take_while(|c| c.is_ascii_digit()).count();
    let split_clock = |rest: &'_ str| clock_len(rest).map(|n| rest.split_at(n)).map(|(c, r)| (c.len(), r.len()));
    if let Some(rest) = text.strip_prefix('<') {
        let (level, rest) = rest.split_once('>')?;
        let (time, rest, _) = (level.len() == 1 && level.bytes().all(|c| c.is_ascii_uppercase())).then(|| iso(rest, offset)).flatten()?;
        return Some((time, rest));
    }
    if let Some(rest) = text.strip_prefix("L ") {
        let (date, rest) = rest.split_once(" - ")?;
        let (clock, _) = split_clock(rest)?;
        let mut parts = date.split('/');
        let (m, day, year) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?.parse().ok()?);
        return Some((at(year, m, day, rest.get(..clock)?, offset)?, rest.get(clock..)?.trim_start_matches(':')));
    }
    match digits {
        6 => {
            let rest = text.get(6..)?.strip_prefix(' ')?.trim_start();
            let (clock, _) = split_clock(rest)?;
            let (year, m) = (text.get(..2)?.parse::<i32>().ok()?, text.get(2..4)?.parse().ok()?);
            Some((at(2_000 + year, m, text.get(4..6)?, rest.get(..clock)?, offset)?, rest.get(clock..)?))
        }
        4 if b.get(4) == Some(&b':') && b.get(7) == Some(&b':') && b.get(10) == Some(&b'-') => {
            let rest = text.get(11..)?;
            let (clock, _) = split_clock(rest)?;
            let (year, m) = (text.get(..4)?.parse().ok()?, text.get(5..7)?.parse().ok()?);
            Some((at(year, m, text.get(8..10)?, rest.get(..clock)?, offset)?, rest.get(clock..)?.trim_start_matches(':')))
        }
        10 if b.get(10) == Some(&b'.') && b.get(14) == Some(&b' ') => {
            let millis: i64 = text.get(11..14)?.parse().ok()?;
            let secs: i64 = text.get(..10)?.parse().ok()?;
            Some((Timestamp::from_ms(secs * 1_000 + millis), text.get(14..)?))
        }
        2 if b.get(2) == Some(&b'-') && b.get(5) == Some(&b' ') => {
            let rest = text.get(6..)?;
            let (clock, _) = split_clock(rest)?;
            let m = text.get(..2)?.parse().ok().filter(|m| (1..=12).contains(m))?;
            Some((without_year(m, text.get(3..5)?, rest.get(..clock)?, received, offset)?, rest.get(clock..)?))
        }
        _ => None,
    }
}

/// A time inside the line's head, for lines that are key and value pairs: `t=2026-…`, `time="2026-…"`, `<co ts="2026-…"`, `{"time":"2026-…"`,
/// Tine's `78017 00cff -- none -- - 2026-… `. The message stays whole.
pub(super) fn embedded(text: &str, offset: i32) -> Option<Timestamp> {
    let start = ["t=\"", "t=", "time=\"", "time=", "<co ts=\"", "{\"time\":\"", "{\"timestamp\":\"", "{\"@timestamp\":\""]
        .iter()
        .find_map(|m| text.strip_prefix(m));
    let rest = start.or_else(|| super::scan::after(text, " -- - ").filter(|_| text.as_bytes().get(5) == Some(&b' ')))?;
    let end = rest.find(['"', ',']).unwrap_or(rest.len());
    iso(rest.get(..end)?, offset).map(|(time, ..)| time)
}
