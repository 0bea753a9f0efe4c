//! One value of an event as the matcher sees it: borrowed, typed, with its text form, its date parts and its address.

use std::fmt::Write;
use std::net::IpAddr;

use event::{Event, Timestamp, Value};

use crate::document::TimePart;
use crate::line::LineRecord;

/// A value borrowed from an event, or a word of its header.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scalar<'e> {
    Null,
    Text(&'e str),
    Int(i64),
    Float(f64),
    Bool(bool),
    Ip(IpAddr),
    Bytes(&'e [u8]),
    List(List<'e>),
}

/// The elements of a list, as their form of event keeps them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum List<'e> {
    Values(&'e [Value]),
    /// The members of a line that belong to it, from the first on.
    Chain(LineRecord<'e>, u32),
}

impl<'e> List<'e> {
    pub fn iter(self) -> impl Iterator<Item = Scalar<'e>> {
        let (values, chain) = match self {
            Self::Values(values) => (values, None),
            Self::Chain(record, at) => ([].as_slice(), Some((record, at))),
        };
        let mut next = chain;
        let elements = std::iter::from_fn(move || {
            let (record, at) = next?;
            let (scalar, after) = record.element(at)?;
            next = Some((record, after));
            Some(scalar)
        });
        values.iter().map(Scalar::from).chain(elements.flatten())
    }
}

impl<'e> From<&'e Value> for Scalar<'e> {
    fn from(value: &'e Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Text(t) => Self::Text(t),
            Value::Int(n) => Self::Int(*n),
            Value::Float(x) => Self::Float(*x),
            Value::Bool(b) => Self::Bool(*b),
            Value::Ip(ip) => Self::Ip(*ip),
            Value::Bytes(b) => Self::Bytes(b),
            Value::List(l) => Self::List(List::Values(l)),
        }
    }
}

impl<'e> Scalar<'e> {
    /// The value's text; what is not text is written into `room`. None for null (it has no text) and for lists.
    pub fn text<'r>(self, room: &'r mut String) -> Option<&'r str>
    where
        'e: 'r,
    {
        room.clear();
        match self {
            Self::Null | Self::List(_) => return None,
            Self::Text(t) => return Some(t),
            Self::Bool(b) => return Some(if b { "true" } else { "false" }),
            Self::Int(n) => write!(room, "{n}").ok()?,
            // Zero has no sign: -0.0 is the number 0.
            Self::Float(x) => write!(room, "{}", x + 0.0).ok()?,
            Self::Ip(ip) => write!(room, "{ip}").ok()?,
            Self::Bytes(bytes) => bytes.iter().try_for_each(|b| write!(room, "{b:02x}")).ok()?,
        }
        Some(room.as_str())
    }

    pub fn number(self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(n as f64),
            Self::Float(x) => Some(x),
            Self::Text(t) => t.trim().parse().ok().filter(|x: &f64| x.is_finite()),
            _ => None,
        }
    }

    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(ip),
            // A zone (`fe80::1%eth0`) names a link, not an address.
            Self::Text(t) => t.trim().split('%').next()?.parse().ok(),
            _ => None,
        }
    }

    /// The number a time modifier extracts. Text: the digits of an ISO 8601 date as written, no zone conversion (the
    /// specification warns of it). A number: Unix time in s, ms, µs or ns by its size, UTC.
    pub fn time_part(self, part: TimePart) -> Option<i64> {
        let date = match self {
            Self::Text(t) => Date::read(t)?,
            Self::Int(n) => Date::read(&unix(n).to_string())?,
            Self::Float(x) if x.is_finite() => Date::read(&unix(x as i64).to_string())?,
            _ => return None,
        };
        date.part(part)
    }

    /// The value again as an owned one, texts cut at `bytes`.
    pub fn owned(self, bytes: usize) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text(t) => Value::text(cut(t, bytes)),
            Self::Int(n) => Value::Int(n),
            Self::Float(x) => Value::Float(x),
            Self::Bool(b) => Value::Bool(b),
            Self::Ip(ip) => Value::Ip(ip),
            Self::Bytes(b) => Value::Bytes(b.get(..bytes).unwrap_or(b).into()),
            Self::List(l) => Value::List(l.iter().take(16).map(|v| v.owned(bytes)).collect()),
        }
    }
}

pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

fn unix(n: i64) -> Timestamp {
    match n.unsigned_abs() {
        0..=99_999_999_999 => Timestamp::from_secs(n),
        100_000_000_000..=99_999_999_999_999 => Timestamp::from_ms(n),
        100_000_000_000_000..=99_999_999_999_999_999 => Timestamp::from_us(n),
        _ => Timestamp::from_ns(n),
    }
}

struct Date {
    year: i64,
    month: i64,
    day: i64,
    time: Option<(i64, i64)>,
}

impl Date {
    /// Reads `YYYY-MM-DD`, then optionally `T` or a space and `hh:mm`; what follows is not looked at.
    fn read(text: &str) -> Option<Self> {
        let b = text.trim_start().as_bytes();
        let num = |from: usize, to: usize| {
            b.get(from..to)?.iter().try_fold(0i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
        };
        let (y, dash1, m, dash2, d) = (num(0, 4)?, *b.get(4)?, num(5, 7)?, *b.get(7)?, num(8, 10)?);
        if dash1 != dash2 || !matches!(dash1, b'-' | b'/') || !(1..=12).contains(&m) || !(1..=31).contains(&d) {
            return None;
        }
        let time = match b.get(10) {
            Some(b'T' | b't' | b' ') if b.get(13) == Some(&b':') => match (num(11, 13), num(14, 16)) {
                (Some(h @ 0..=23), Some(min @ 0..=59)) => Some((h, min)),
                _ => None,
            },
            _ => None,
        };
        Some(Self { year: y, month: m, day: d, time })
    }

    fn part(&self, part: TimePart) -> Option<i64> {
        match part {
            TimePart::Minute => self.time.map(|t| t.1),
            TimePart::Hour => self.time.map(|t| t.0),
            TimePart::Day => Some(self.day),
            TimePart::Week => Some(self.iso_week()),
            TimePart::Month => Some(self.month),
            TimePart::Year => Some(self.year),
        }
    }

    /// Week by ISO 8601: weeks begin on Monday, week 1 holds the first Thursday.
    fn iso_week(&self) -> i64 {
        let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let month_days = usize::try_from(self.month - 1).ok().and_then(|m| before.get(m)).copied().unwrap_or(0);
        let ordinal = month_days + self.day + i64::from(self.month > 2 && leap(self.year));
        // Days since 0000-12-31, which was a Sunday.
        let days = |y: i64| 365 * (y - 1) + (y - 1).div_euclid(4) - (y - 1).div_euclid(100) + (y - 1).div_euclid(400);
        let weekday = (days(self.year) + ordinal - 1).rem_euclid(7) + 1;
        let weeks = |y: i64| {
            let jan1 = days(y).rem_euclid(7) + 1;
            if jan1 == 4 || (jan1 == 3 && leap(y)) { 53 } else { 52 }
        };
        match (ordinal - weekday + 10) / 7 {
            w if w < 1 => weeks(self.year - 1),
            w if w > weeks(self.year) => 1,
            w => w,
        }
    }
}

/// A network in CIDR notation. An IPv4-mapped IPv6 address is taken for the IPv4 address it holds, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    v4: bool,
    bits: u128,
    mask: u128,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or a single address.
    pub fn read(text: &str) -> Option<Self> {
        let (address, length) = text.trim().split_once('/').map_or((text.trim(), None), |(a, l)| (a, Some(l)));
        let address: IpAddr = address.parse().ok()?;
        let (v4, bits) = number(address);
        let mapped = v4 && address.is_ipv6();
        let most: u32 = if v4 { 32 } else { 128 };
        let length: u32 = match length {
            None => most,
            Some(l) if l.len() <= 3 && l.bytes().all(|c| c.is_ascii_digit()) => {
                let l: u32 = l.parse().ok()?;
                if mapped { l.checked_sub(96)? } else { l }
            }
            Some(_) => return None,
        };
        if length > most {
            return None;
        }
        let mask = if length == 0 { 0 } else { u128::MAX << (most - length) };
        let mask = if v4 { mask & u128::from(u32::MAX) } else { mask };
        Some(Self { v4, bits: bits & mask, mask })
    }

    /// Whether it is IPv4, its bits, and which of them count.
    pub fn parts(&self) -> (bool, u128, u128) {
        (self.v4, self.bits, self.mask)
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        let (v4, bits) = number(ip);
        v4 == self.v4 && bits & self.mask == self.bits
    }
}

pub(crate) fn number(ip: IpAddr) -> (bool, u128) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (true, u128::from(u32::from(ip))),
        IpAddr::V6(ip) => (false, u128::from(ip)),
    }
}

/// What an event's header says, reachable under the OCSF name as long as the body has no field of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Header {
    Activity,
    ClassUid,
    ClassName,
    CategoryUid,
    TypeUid,
    SeverityId,
    Severity,
    Time,
}

/// The header's words.
pub(crate) const HEADER: &[(&str, Header)] = &[
    ("activity_id", Header::Activity),
    ("class_uid", Header::ClassUid),
    ("class_name", Header::ClassName),
    ("category_uid", Header::CategoryUid),
    ("type_uid", Header::TypeUid),
    ("severity_id", Header::SeverityId),
    ("severity", Header::Severity),
    ("time", Header::Time),
];

impl Header {
    pub fn from_name(name: &str) -> Option<Self> {
        HEADER.iter().find(|(n, _)| *n == name).map(|(_, h)| *h)
    }

    pub fn of(self, event: &Event) -> Scalar<'static> {
        match self {
            Self::Activity => Scalar::Int(i64::from(event.activity)),
            Self::ClassUid => Scalar::Int(i64::from(event.kind.class_uid())),
            Self::ClassName => Scalar::Text(event.kind.name()),
            Self::CategoryUid => Scalar::Int(i64::from(event.kind.category_uid())),
            Self::TypeUid => Scalar::Int(i64::from(event.kind.class_uid()) * 100 + i64::from(event.activity)),
            Self::SeverityId => Scalar::Int(event.severity as i64),
            Self::Severity => Scalar::Text(event.severity.name()),
            Self::Time => Scalar::Int(event.time.ms()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let hit = |net: &str, ip: &str| Cidr::read(net).unwrap().contains(ip.parse().unwrap());
        assert!(hit("10.0.0.0/8", "10.255.0.1") && !hit("10.0.0.0/8", "11.0.0.1"));
        assert!(hit("10.0.0.0/8", "::ffff:10.1.2.3") && hit("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(hit("0.0.0.0/0", "1.2.3.4") && !hit("0.0.0.0/0", "2001:db8::1") && hit("::/0", "2001:db8::1"));
        assert!(hit("2001:db8::/33", "2001:db8:7fff::1") && !hit("2001:db8::/33", "2001:db8:8000::1"));
        assert!(hit("192.168.1.7", "192.168.1.7") && hit("192.168.1.7/16", "192.168.9.9"));
        for bad in ["10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/+8", "", "x/8", "10.0.0.0/"] {
            assert_eq!(Cidr::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn weeks_of_the_calendar() {
        // ISO 8601 examples: years that begin and end inside a week of their neighbour.
        for (date, week) in [
            ("2005-01-01", 53),
            ("2005-01-02", 53),
            ("2005-12-31", 52),
            ("2006-01-02", 1),
            ("2007-12-31", 1),
            ("2008-12-28", 52),
            ("2008-12-29", 1),
            ("2010-01-03", 53),
            ("2026-11-23", 48),
            ("2024-02-29", 9),
        ] {
            assert_eq!(Scalar::Text(date).time_part(TimePart::Week), Some(week), "{date}");
        }
    }

    #[test]
    fn parts_of_dates() {
        let part = |t: &'static str, p| Scalar::Text(t).time_part(p);
        assert_eq!(part("2025-11-28 08:30:20.964", TimePart::Hour), Some(8));
        assert_eq!(part("2025-11-28T23:59:20+08:00", TimePart::Minute), Some(59));
        assert_eq!(
            (part("2025-11-28", TimePart::Hour), part("08:30", TimePart::Hour), part("2025-13-01", TimePart::Year)),
            (None, None, None)
        );
        assert_eq!(Scalar::Int(1_795_420_800).time_part(TimePart::Year), Some(2026));
        assert_eq!(Scalar::Int(1_795_420_800_000).time_part(TimePart::Month), Some(11));
    }
}
