//! What an event must be like: a small tree of tests on named fields. One meaning for memory and for segments.
//!
//! A test compares the text of a value, as `Value::to_text` writes it, without regard to ASCII case; a list fits if one of its
//! elements fits. Ranges compare numbers, networks compare addresses. A field the event does not have fits no test; `Not` of that
//! fits. Depth and width are bounded by `TESTS_MAX` where a filter is read from text.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use event::{Event, EventId, Field, Name, Value};

/// Tests in one filter that is read from text.
pub const TESTS_MAX: usize = 1_000;

/// A condition on an event.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Filter {
    #[default]
    All,
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Is(Key, Test),
    /// Any text, address or list in the body contains this; folded.
    Text(String),
    /// Any of these; sorted, each once (`Filter::ids`).
    Ids(Vec<EventId>),
}

/// What a test looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Header(Header),
    Body(Name),
}

/// The parts of an event's header that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Header {
    /// `class_name`: OCSF class by name.
    ClassName,
    /// `class_uid`: OCSF class by number.
    ClassUid,
    /// `activity_id`.
    Activity,
    /// `severity_id`: 1 to 5.
    Severity,
    /// `logsource.product`, `.category`, `.service`.
    Product,
    Category,
    Service,
    /// `metadata.agent`: agent id of the event's id, 16 hex digits.
    Agent,
    /// `metadata.lane`: critical, normal, bulk.
    Lane,
}

/// A test of one value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Exists,
    /// Folded text.
    Eq(String),
    /// Folded texts.
    In(BTreeSet<String>),
    Prefix(String),
    Suffix(String),
    Contains(String),
    /// `*` any run, `?` any one character; folded.
    Glob(String),
    /// Both ends inclusive.
    Range {
        min: Option<f64>,
        max: Option<f64>,
    },
    Net(Network),
}

/// An address range by prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    pub address: IpAddr,
    pub prefix: u8,
}

impl Header {
    pub const ALL: [Self; 9] = [
        Self::ClassName,
        Self::ClassUid,
        Self::Activity,
        Self::Severity,
        Self::Product,
        Self::Category,
        Self::Service,
        Self::Agent,
        Self::Lane,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::ClassName => "class_name",
            Self::ClassUid => "class_uid",
            Self::Activity => "activity_id",
            Self::Severity => "severity_id",
            Self::Product => "logsource.product",
            Self::Category => "logsource.category",
            Self::Service => "logsource.service",
            Self::Agent => "metadata.agent",
            Self::Lane => "metadata.lane",
        }
    }
}

impl From<Field> for Key {
    fn from(field: Field) -> Self {
        Self::Body(Name::Known(field))
    }
}

impl From<Header> for Key {
    fn from(header: Header) -> Self {
        Self::Header(header)
    }
}

impl From<&str> for Key {
    /// A header word where there is one, else a field of the body.
    fn from(name: &str) -> Self {
        Header::ALL.into_iter().find(|h| h.name() == name).map_or_else(|| Self::Body(Name::from(name)), Self::Header)
    }
}

impl Key {
    pub fn name(&self) -> &str {
        match self {
            Self::Header(h) => h.name(),
            Self::Body(n) => n.as_str(),
        }
    }

    /// The value an event has, as text, each element of a list on its own.
    pub fn texts<'a>(&self, event: &'a Event, mut each: impl FnMut(Cow<'a, str>)) {
        match self {
            Self::Header(h) => {
                if let Some(text) = header_text(*h, event) {
                    each(text);
                }
            }
            Self::Body(name) => match event.body.get_name(name) {
                Some(Value::List(list)) => list.iter().for_each(|v| each(v.to_text())),
                Some(value) => each(value.to_text()),
                None => {}
            },
        }
    }
}

/// Text of a header part; none where the log source does not say.
pub fn header_text(header: Header, event: &Event) -> Option<Cow<'_, str>> {
    Some(match header {
        Header::ClassName => Cow::Borrowed(event.kind.name()),
        Header::ClassUid => Cow::Owned(event.kind.class_uid().to_string()),
        Header::Activity => Cow::Owned(event.activity.to_string()),
        Header::Severity => Cow::Owned((event.severity as u8).to_string()),
        Header::Product => Cow::Borrowed(event.source.product.as_deref()?),
        Header::Category => Cow::Borrowed(event.source.category.as_deref()?),
        Header::Service => Cow::Borrowed(event.source.service.as_deref()?),
        Header::Agent => Cow::Owned(event.id.agent.to_string()),
        Header::Lane => Cow::Borrowed(event.id.class.name()),
    })
}

/// The form in which texts are compared.
pub fn fold(text: &str) -> String {
    text.to_ascii_lowercase()
}

impl Filter {
    pub fn eq(key: impl Into<Key>, value: impl AsRef<str>) -> Self {
        Self::Is(key.into(), Test::Eq(fold(value.as_ref())))
    }
    /// One of many values: the look-up of indicators.
    pub fn any_of<S: AsRef<str>>(key: impl Into<Key>, values: impl IntoIterator<Item = S>) -> Self {
        Self::Is(key.into(), Test::In(values.into_iter().map(|v| fold(v.as_ref())).collect()))
    }
    pub fn contains(key: impl Into<Key>, part: &str) -> Self {
        Self::Is(key.into(), Test::Contains(fold(part)))
    }
    pub fn prefix(key: impl Into<Key>, head: &str) -> Self {
        Self::Is(key.into(), Test::Prefix(fold(head)))
    }
    pub fn at_least(key: impl Into<Key>, min: f64) -> Self {
        Self::Is(key.into(), Test::Range { min: Some(min), max: None })
    }
    pub fn ids(ids: impl IntoIterator<Item = EventId>) -> Self {
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Self::Ids(ids)
    }
    pub fn exists(key: impl Into<Key>) -> Self {
        Self::Is(key.into(), Test::Exists)
    }
    pub fn text(part: &str) -> Self {
        Self::Text(fold(part))
    }
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, f) | (f, Self::All) => f,
            (Self::And(mut a), Self::And(b)) => {
                a.extend(b);
                Self::And(a)
            }
            (Self::And(mut a), f) => {
                a.push(f);
                Self::And(a)
            }
            (f, g) => Self::And(vec![f, g]),
        }
    }
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Or(mut a), f) => {
                a.push(f);
                Self::Or(a)
            }
            (f, g) => Self::Or(vec![f, g]),
        }
    }

    pub fn matches(&self, event: &Event) -> bool {
        match self {
            Self::All => true,
            Self::And(all) => all.iter().all(|f| f.matches(event)),
            Self::Or(any) => any.iter().any(|f| f.matches(event)),
            Self::Not(f) => !f.matches(event),
            Self::Ids(ids) => ids.binary_search(&event.id).is_ok(),
            Self::Is(Key::Header(h), test) => match header_text(*h, event) {
                Some(text) => test.on_text(&text),
                None => false,
            },
            Self::Is(Key::Body(name), test) => event.body.get_name(name).is_some_and(|v| test.on_value(v)),
            Self::Text(part) => event.body.iter().any(|(_, v)| text_within(v, part)),
        }
    }
}

fn text_within(value: &Value, part: &str) -> bool {
    match value {
        Value::Text(t) => contains_folded(t, part),
        Value::Ip(ip) => contains_folded(&ip.to_string(), part),
        Value::List(list) => list.iter().any(|v| text_within(v, part)),
        _ => false,
    }
}

impl Test {
    pub fn on_value(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Exists, _) => true,
            (_, Value::List(list)) => list.iter().any(|v| self.on_value(v)),
            (Self::Range { .. }, Value::Int(n)) => self.on_int(*n),
            (Self::Range { .. }, Value::Float(x)) => self.on_number(*x),
            (Self::Net(net), Value::Ip(ip)) => net.contains(*ip),
            (_, Value::Text(text)) => self.on_text(text),
            _ => self.on_text(&value.to_text()),
        }
    }

    pub fn on_int(&self, n: i64) -> bool {
        match self {
            Self::Exists => true,
            Self::Range { min, max } => min.is_none_or(|m| cmp_int(n, m).is_ge()) && max.is_none_or(|m| cmp_int(n, m).is_le()),
            _ => self.on_text(&n.to_string()),
        }
    }

    fn on_number(&self, x: f64) -> bool {
        match self {
            Self::Range { min, max } => !x.is_nan() && min.is_none_or(|m| x >= m) && max.is_none_or(|m| x <= m),
            _ => false,
        }
    }

    pub fn on_text(&self, text: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Eq(want) => text.eq_ignore_ascii_case(want),
            Self::In(set) => {
                if text.bytes().any(|c| c.is_ascii_uppercase()) {
                    set.contains(&fold(text))
                } else {
                    set.contains(text)
                }
            }
            Self::Prefix(head) => text.as_bytes().get(..head.len()).is_some_and(|t| t.eq_ignore_ascii_case(head.as_bytes())),
            Self::Suffix(tail) => text
                .len()
                .checked_sub(tail.len())
                .and_then(|at| text.as_bytes().get(at..))
                .is_some_and(|t| t.eq_ignore_ascii_case(tail.as_bytes())),
            Self::Contains(part) => contains_folded(text, part),
            Self::Glob(pattern) => glob(pattern.as_bytes(), fold(text).as_bytes()),
            Self::Range { .. } => {
                text.trim().parse::<i64>().map_or_else(|_| text.trim().parse().is_ok_and(|x| self.on_number(x)), |n| self.on_int(n))
            }
            Self::Net(net) => text.parse().is_ok_and(|ip| net.contains(ip)),
        }
    }
}

/// `n` against `x` without losing the low bits of large integers.
fn cmp_int(n: i64, x: f64) -> std::cmp::Ordering {
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if x.is_nan() || x >= EDGE {
        return std::cmp::Ordering::Less;
    }
    if x < -EDGE {
        return std::cmp::Ordering::Greater;
    }
    let whole = x.floor();
    n.cmp(&(whole as i64)).then(if x > whole { std::cmp::Ordering::Less } else { std::cmp::Ordering::Equal })
}

/// True if `text` contains the folded `part`, ASCII case aside.
pub fn contains_folded(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let Some((&first, rest)) = part.split_first() else { return true };
    if text.len() < part.len() {
        return false;
    }
    let last_start = text.len() - part.len();
    let upper = first.to_ascii_uppercase();
    let mut at = 0;
    while at <= last_start {
        let Some(step) = text[at..=last_start].iter().position(|&c| c == first || c == upper) else { return false };
        at += step;
        if text[at + 1..at + part.len()].eq_ignore_ascii_case(rest) {
            return true;
        }
        at += 1;
    }
    false
}

/// `*` and `?` over bytes of folded text (`?` takes one UTF-8 character); linear with one point of return.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => {
                t += 1;
                while text.get(t).is_some_and(|c| c & 0xc0 == 0x80) {
                    t += 1;
                }
                p += 1;
                continue;
            }
            Some(c) if *c == text[t] => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        let Some((bp, bt)) = back else { return false };
        back = Some((bp, bt + 1));
        p = bp;
        t = bt + 1;
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

impl Network {
    /// Reads `10.0.0.0/8` or `fd00::/8`; the prefix must fit the family.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, prefix })
    }

    /// An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                shift(u128::from(net.to_bits()), 32 - self.prefix) == shift(u128::from(ip.to_bits()), 32 - self.prefix)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => shift(net.to_bits(), 128 - self.prefix) == shift(ip.to_bits(), 128 - self.prefix),
            _ => false,
        }
    }
}

fn shift(bits: u128, by: u8) -> u128 {
    bits.checked_shr(u32::from(by)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Kind, LogSource, Timestamp, field};

    #[test]
    fn tests_say_what_they_mean() {
        let e = Event::new(Timestamp::ZERO, Kind::Authentication, 1, LogSource::new("linux", "", "sshd"))
            .with(field::USER_NAME, "Root")
            .with(field::SRC_IP, "10.0.0.1".parse::<IpAddr>().unwrap())
            .with(field::SRC_PORT, 22_000u16)
            .with(field::DNS_ANSWERS, vec!["10.9.9.9".to_owned(), "b.example".to_owned()]);
        let yes = [
            Filter::eq(field::USER_NAME, "ROOT"),
            Filter::eq(field::SRC_IP, "10.0.0.1"),
            Filter::eq("class_name", "authentication"),
            Filter::eq("logsource.service", "SSHD"),
            Filter::at_least(field::SRC_PORT, 22_000.0),
            Filter::Is(field::SRC_IP.into(), Test::Net(Network::parse("10.0.0.0/8").unwrap())),
            Filter::Is(field::DNS_ANSWERS.into(), Test::Net(Network::parse("10.9.0.0/16").unwrap())),
            Filter::contains(field::DNS_ANSWERS, "EXAMP"),
            Filter::Is(field::USER_NAME.into(), Test::Glob("r?*t".into())),
            Filter::text("b.EX"),
            Filter::Not(Box::new(Filter::exists(field::FILE_PATH))),
            Filter::any_of(field::USER_NAME, ["x", "root"]),
        ];
        for f in &yes {
            assert!(f.matches(&e), "{f:?}");
        }
        let no = [
            Filter::eq(field::FILE_PATH, ""),
            Filter::at_least(field::SRC_PORT, 22_000.5),
            Filter::Is(field::SRC_IP.into(), Test::Net(Network::parse("::/0").unwrap())),
            Filter::eq("logsource.category", ""),
            Filter::prefix(field::USER_NAME, "rooty"),
        ];
        for f in &no {
            assert!(!f.matches(&e), "{f:?}");
        }
    }

    #[test]
    fn globs_and_parts() {
        for (pattern, text, want) in [
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*", "", true),
            ("?", "é", true),
            ("?", "", false),
            ("*a*b", "xaxxb", true),
            ("a", "ab", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
        assert!(contains_folded("ABC/EtC/passwd", "etc/p") && !contains_folded("et", "etc") && contains_folded("", ""));
    }
}
