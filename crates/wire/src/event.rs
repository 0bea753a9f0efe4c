//! An event as protobuf bytes and back: message `Event` of `proto/link.proto`, written and read by hand.
//!
//! The identity is not inside: (agent, epoch, class, sequence) comes from the certificate and the batch. A field is named by
//! its number in the table of crate `event`; a number the reader does not know becomes `field.<n>`, a class it does not
//! know becomes `base_event` with the number kept in `class_uid`. So an old collector keeps what a new agent sends.
//!
//! Limits are those of crate `event` (fields, text, list, name), plus `DEPTH_MAX` for lists in lists. What is past a
//! limit is cut or refused and counted in the event; only bytes that are no protobuf are an error.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use event::{Event, EventId, FIELDS_MAX, Field, Fields, Kind, LIST_MAX, LogSource, NAME_BYTES_MAX, Name, Severity, TEXT_BYTES_MAX};
use event::{Timestamp, Value};

use crate::pb::{self, Item, Malformed, Reader};

/// Lists within lists are read to this depth; deeper ones become `Value::Null`.
pub const DEPTH_MAX: usize = 4;

/// Bytes that are no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("event bytes are not protobuf")]
    Malformed,
    #[error("field {0} of an event has the wrong wire type")]
    WireType(u32),
    #[error("an address has {0} bytes, not 4 or 16")]
    Address(usize),
}

impl From<Malformed> for DecodeError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Field numbers of `Event`.
mod tag {
    pub const TIME: u32 = 1;
    pub const OBSERVED: u32 = 2;
    pub const KIND: u32 = 3;
    pub const ACTIVITY: u32 = 4;
    pub const SEVERITY: u32 = 5;
    pub const PRODUCT: u32 = 6;
    pub const CATEGORY: u32 = 7;
    pub const SERVICE: u32 = 8;
    pub const FIELD: u32 = 9;
    pub const REFUSED: u32 = 10;
}

/// Field numbers of `Field` and `Value`, which share them.
mod value_tag {
    pub const NUMBER: u32 = 1;
    pub const NAME: u32 = 2;
    pub const NULL: u32 = 3;
    pub const TEXT: u32 = 4;
    pub const INT: u32 = 5;
    pub const FLOAT: u32 = 6;
    pub const BOOL: u32 = 7;
    pub const IP: u32 = 8;
    pub const BYTES: u32 = 9;
    pub const LIST: u32 = 10;
    /// In `List`.
    pub const VALUE: u32 = 1;
}

/// Fields a collector adds to an event it has read.
const JOINED: usize = 10;
/// Name under which the number of an unknown class is kept.
const UNKNOWN_CLASS: &str = "class_uid";

/// Appends an event to `out`. The identity is left out.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    pb::put_tag(out, tag::TIME, pb::FIXED64);
    out.extend_from_slice(&event.time.ns().to_le_bytes());
    // Wrapping: any two instants come back exactly, however far apart.
    pb::put_uint(out, tag::OBSERVED, pb::zigzag(event.observed.ns().wrapping_sub(event.time.ns())));
    pb::put_uint(out, tag::KIND, u64::from(event.kind.class_uid()));
    pb::put_uint(out, tag::ACTIVITY, u64::from(event.activity));
    pb::put_uint(out, tag::SEVERITY, event.severity as u64);
    let words = [(tag::PRODUCT, &event.source.product), (tag::CATEGORY, &event.source.category), (tag::SERVICE, &event.source.service)];
    for (field, word) in words {
        if let Some(word) = word {
            pb::put_bytes(out, field, word.as_bytes());
        }
    }
    for (name, value) in event.body.iter() {
        pb::put_message(out, tag::FIELD, |out| {
            match (name, unknown_number(name)) {
                (Name::Known(field), _) => pb::put_uint(out, value_tag::NUMBER, u64::from(field.number())),
                (Name::Other(_), Some(number)) => pb::put_uint(out, value_tag::NUMBER, u64::from(number)),
                (Name::Other(name), None) => pb::put_bytes(out, value_tag::NAME, name.as_bytes()),
            }
            put_value(out, value, 1);
        });
    }
    pb::put_uint(out, tag::REFUSED, u64::from(event.body.refused()));
}

/// `field.<n>` is a number this program does not know and goes out as a number again.
fn unknown_number(name: &Name) -> Option<u16> {
    let Name::Other(name) = name else { return None };
    let digits = name.strip_prefix("field.")?;
    let number = digits.parse().ok().filter(|n| *n != 0)?;
    (!digits.starts_with(['0', '+']) && Field::from_number(number).is_none()).then_some(number)
}

fn put_value(out: &mut Vec<u8>, value: &Value, depth: usize) {
    match value {
        Value::Null => pb::put_uint(out, value_tag::NULL, 1),
        Value::Text(text) => pb::put_bytes(out, value_tag::TEXT, text.as_bytes()),
        Value::Int(n) => {
            pb::put_tag(out, value_tag::INT, pb::VARINT);
            pb::put_varint(out, pb::zigzag(*n));
        }
        Value::Float(x) => {
            pb::put_tag(out, value_tag::FLOAT, pb::FIXED64);
            out.extend_from_slice(&x.to_le_bytes());
        }
        Value::Bool(b) => {
            pb::put_tag(out, value_tag::BOOL, pb::VARINT);
            out.push(u8::from(*b));
        }
        Value::Ip(IpAddr::V4(ip)) => pb::put_bytes(out, value_tag::IP, &ip.octets()),
        Value::Ip(IpAddr::V6(ip)) => pb::put_bytes(out, value_tag::IP, &ip.octets()),
        Value::Bytes(bytes) => pb::put_bytes(out, value_tag::BYTES, bytes),
        Value::List(_) if depth > DEPTH_MAX => pb::put_uint(out, value_tag::NULL, 1),
        Value::List(list) => pb::put_message(out, value_tag::LIST, |out| {
            for value in list.iter().take(LIST_MAX) {
                pb::put_message(out, value_tag::VALUE, |out| put_value(out, value, depth + 1));
            }
        }),
    }
}

/// A field's name as it lies in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRef<'a> {
    Known(Field),
    /// A number this program does not know.
    Number(u16),
    Text(&'a [u8]),
}

impl NameRef<'_> {
    pub fn to_name(self) -> Name {
        match self {
            Self::Known(field) => Name::Known(field),
            Self::Number(number) => Name::Other(format!("field.{number}").into()),
            Self::Text(text) => Name::from(&*String::from_utf8_lossy(&text[..text.len().min(NAME_BYTES_MAX)])),
        }
    }
}

/// A value as it lies in the bytes; nothing is copied until `to_value`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    Null,
    /// Should be UTF-8; `to_value` puts U+FFFD where it is not.
    Text(&'a [u8]),
    Int(i64),
    Float(f64),
    Bool(bool),
    Ip(IpAddr),
    Bytes(&'a [u8]),
    /// A `List` message.
    List(&'a [u8]),
}

impl ValueRef<'_> {
    pub fn to_value(self) -> Result<Value, DecodeError> {
        self.at_depth(1)
    }

    fn at_depth(self, depth: usize) -> Result<Value, DecodeError> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Value::text(text),
                Err(_) => Value::lossy(bytes),
            },
            Self::Int(n) => Value::Int(n),
            Self::Float(x) => Value::Float(x),
            Self::Bool(b) => Value::Bool(b),
            Self::Ip(ip) => Value::Ip(ip),
            Self::Bytes(bytes) => Value::Bytes(bytes[..bytes.len().min(TEXT_BYTES_MAX)].into()),
            Self::List(_) if depth > DEPTH_MAX => Value::Null,
            Self::List(bytes) => {
                let mut list = Vec::new();
                let mut reader = Reader::new(bytes);
                while let Some((field, item)) = reader.next()? {
                    if let (value_tag::VALUE, Item::Bytes(bytes)) = (field, item)
                        && list.len() < LIST_MAX
                    {
                        list.push(read_field(bytes)?.1.at_depth(depth + 1)?);
                    }
                }
                Value::List(list.into())
            }
        })
    }
}

/// An event as it lies in the bytes: the header read, the fields still to be walked.
#[derive(Debug, Clone)]
pub struct EventView<'a> {
    pub time: Timestamp,
    pub observed: Timestamp,
    pub class_uid: u32,
    pub activity: u8,
    pub severity: Severity,
    pub product: &'a [u8],
    pub category: &'a [u8],
    pub service: &'a [u8],
    /// Fields the sender could not fit into its event.
    pub refused: u32,
    /// Fields in the bytes, names that come twice counted twice.
    pub count: usize,
    bytes: &'a [u8],
}

impl<'a> EventView<'a> {
    /// Reads the header. Scalars of the wrong wire type are errors; unknown fields are skipped, as protobuf asks.
    pub fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self {
            time: Timestamp::ZERO,
            observed: Timestamp::ZERO,
            class_uid: 0,
            activity: 0,
            severity: Severity::Informational,
            product: b"",
            category: b"",
            service: b"",
            refused: 0,
            count: 0,
            bytes,
        };
        let mut delta = 0i64;
        let mut reader = Reader::new(bytes);
        while let Some((field, item)) = reader.next()? {
            match (field, item) {
                (tag::FIELD, Item::Bytes(_)) => view.count += 1,
                (tag::TIME, Item::Fixed64(n)) => view.time = Timestamp::from_ns(n as i64),
                (tag::OBSERVED, Item::Varint(n)) => delta = pb::unzigzag(n),
                (tag::KIND, Item::Varint(n)) => view.class_uid = u32::try_from(n).unwrap_or(u32::MAX),
                (tag::ACTIVITY, Item::Varint(n)) => view.activity = u8::try_from(n).unwrap_or(u8::MAX),
                (tag::SEVERITY, Item::Varint(n)) => {
                    view.severity = u8::try_from(n).ok().and_then(Severity::from_u8).unwrap_or_default();
                }
                (tag::PRODUCT, Item::Bytes(word)) => view.product = word,
                (tag::CATEGORY, Item::Bytes(word)) => view.category = word,
                (tag::SERVICE, Item::Bytes(word)) => view.service = word,
                (tag::REFUSED, Item::Varint(n)) => view.refused = u32::try_from(n).unwrap_or(u32::MAX),
                (1..=tag::REFUSED, _) => return Err(DecodeError::WireType(field)),
                _ => {}
            }
        }
        view.observed = Timestamp::from_ns(view.time.ns().wrapping_add(delta));
        Ok(view)
    }

    /// The fields in order, not copied. At most `FIELDS_MAX` are worth reading; the iterator itself does not count.
    pub fn fields(&self) -> impl Iterator<Item = Result<(NameRef<'a>, ValueRef<'a>), DecodeError>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        let mut ended = false;
        std::iter::from_fn(move || {
            while !ended {
                match reader.next() {
                    Ok(Some((tag::FIELD, Item::Bytes(bytes)))) => return Some(read_field(bytes)),
                    Ok(Some(_)) => {}
                    Ok(None) => ended = true,
                    Err(e) => {
                        ended = true;
                        return Some(Err(e.into()));
                    }
                }
            }
            None
        })
    }
}

/// Reads one `Field` or `Value` message: the last value in it counts; without one it is `Null`.
fn read_field(bytes: &[u8]) -> Result<(NameRef<'_>, ValueRef<'_>), DecodeError> {
    let mut name = NameRef::Text(b"");
    let mut value = ValueRef::Null;
    let mut reader = Reader::new(bytes);
    while let Some((field, item)) = reader.next()? {
        match (field, item) {
            (value_tag::NUMBER, Item::Varint(n)) => {
                let number = u16::try_from(n).unwrap_or(u16::MAX);
                name = Field::from_number(number).map_or(NameRef::Number(number), NameRef::Known);
            }
            (value_tag::NAME, Item::Bytes(text)) => name = NameRef::Text(text),
            (value_tag::NULL, Item::Varint(_)) => value = ValueRef::Null,
            (value_tag::TEXT, Item::Bytes(text)) => value = ValueRef::Text(text),
            (value_tag::INT, Item::Varint(n)) => value = ValueRef::Int(pb::unzigzag(n)),
            (value_tag::FLOAT, Item::Fixed64(n)) => value = ValueRef::Float(f64::from_bits(n)),
            (value_tag::BOOL, Item::Varint(n)) => value = ValueRef::Bool(n != 0),
            (value_tag::IP, Item::Bytes(octets)) => value = ValueRef::Ip(read_ip(octets)?),
            (value_tag::BYTES, Item::Bytes(bytes)) => value = ValueRef::Bytes(bytes),
            (value_tag::LIST, Item::Bytes(bytes)) => value = ValueRef::List(bytes),
            (1..=value_tag::LIST, _) => return Err(DecodeError::WireType(field)),
            _ => {}
        }
    }
    Ok((name, value))
}

fn read_ip(octets: &[u8]) -> Result<IpAddr, DecodeError> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Ok(Ipv4Addr::from(v4).into());
    }
    let v6: [u8; 16] = octets.try_into().map_err(|_| DecodeError::Address(octets.len()))?;
    Ok(Ipv6Addr::from(v6).into())
}

/// Reads one event. Its identity is `EventId::NONE`; the caller knows it from the batch.
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    let view = EventView::read(bytes)?;
    // Room for what the collector joins, too.
    let mut body = Fields::with_capacity(view.count + JOINED);
    for field in view.fields() {
        let (name, value) = field?;
        // Past the limit the table only counts; do not copy what it will refuse.
        if body.len() < FIELDS_MAX {
            body.set(name.to_name(), value.to_value()?);
        } else {
            body.set(name.to_name(), Value::Null);
        }
    }
    let kind = u16::try_from(view.class_uid).ok().and_then(Kind::from_class_uid);
    if kind.is_none() {
        body.set(Name::from(UNKNOWN_CLASS), u64::from(view.class_uid));
    }
    Ok(Event {
        id: EventId::NONE,
        time: view.time,
        observed: view.observed,
        kind: kind.unwrap_or(Kind::Base),
        activity: view.activity,
        severity: view.severity,
        source: LogSource { product: word(view.product), category: word(view.category), service: word(view.service) },
        body,
    })
}

/// Words our sensors use for log sources: those cost no allocation.
const WORDS: &[&str] = &[
    "agent",
    "anomaly",
    "apache",
    "arp",
    "coverage",
    "cron",
    "dns",
    "file_event",
    "fim",
    "flow",
    "gap",
    "heartbeat",
    "http",
    "linux",
    "network_connection",
    "nginx",
    "pam",
    "sshd",
    "su",
    "sudo",
    "syslog",
    "systemd",
    "tls",
    "useradd",
    "vedette",
    "webserver",
];

fn word(bytes: &[u8]) -> Option<Cow<'static, str>> {
    if bytes.is_empty() {
        return None;
    }
    if let Ok(at) = WORDS.binary_search_by(|w| w.as_bytes().cmp(bytes)) {
        return WORDS.get(at).map(|w| Cow::Borrowed(*w));
    }
    Some(Cow::Owned(String::from_utf8_lossy(&bytes[..bytes.len().min(NAME_BYTES_MAX)]).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::field;

    pub(super) fn ssh_failure() -> Event {
        let mut event =
            Event::new(Timestamp::from_ns(1_763_856_000_123_456_789), Kind::Authentication, 1, LogSource::new("linux", "", "sshd"))
                .with(field::STATUS_ID, 2)
                .with(field::USER_NAME, "root")
                .with(field::SRC_IP, IpAddr::from([203, 0, 113, 7]))
                .with(field::DST_IP, "2001:db8::1".parse::<IpAddr>().unwrap())
                .with(field::SRC_PORT, 51_022u16)
                .with(field::IS_REMOTE, true)
                .with(field::DNS_ENTROPY, 3.25)
                .with(field::DNS_ANSWERS, vec![Value::from("192.0.2.1"), Value::Null, Value::from(vec![Value::from(-1)])])
                .with(field::RAW_DATA, "Nov 23 08:00:00 grid-7 sshd[811]: Failed password for root from 203.0.113.7 port 51022 ssh2 中文");
        event.observed = event.time.plus_ns(-7);
        event.severity = Severity::High;
        event.body.set(Name::from("EventID"), Value::Bytes([0, 255].into()));
        event
    }

    fn round(event: &Event) -> Event {
        let mut bytes = Vec::new();
        encode(event, &mut bytes);
        decode(&bytes).unwrap()
    }

    #[test]
    fn every_shape_comes_back() {
        assert_eq!(round(&ssh_failure()), ssh_failure());
        let mut extremes = Event::new(Timestamp::MIN, Kind::Base, 255, LogSource::default());
        extremes.observed = Timestamp::MAX;
        extremes.body.set(field::BYTES, i64::MIN);
        extremes.body.set(field::COUNT, i64::MAX);
        extremes.body.set(field::RAW_DATA, "");
        assert_eq!(round(&extremes), extremes);
    }

    #[test]
    fn every_field_and_class_of_the_tables_comes_back() {
        let fields: Vec<_> = Field::all().collect();
        for (part, kind) in fields.chunks(100).zip(Kind::ALL.iter().cycle()) {
            let mut event = Event::new(Timestamp::ZERO, *kind, 0, LogSource::owned(Some("某产品"), None, None));
            for field in part {
                event.body.set(*field, field.name());
            }
            assert_eq!(round(&event), event);
        }
        for kind in Kind::ALL {
            let event = Event::new(Timestamp::ZERO, *kind, 3, LogSource::default());
            assert_eq!(round(&event), event);
        }
    }

    #[test]
    fn what_a_newer_agent_sends_is_kept_and_sent_on() {
        let mut bytes = Vec::new();
        pb::put_uint(&mut bytes, tag::KIND, 9_999);
        pb::put_message(&mut bytes, tag::FIELD, |out| {
            pb::put_uint(out, value_tag::NUMBER, 60_001);
            put_value(out, &Value::from("new"), 1);
        });
        pb::put_bytes(&mut bytes, 99, b"a field of the event we do not know");
        let event = decode(&bytes).unwrap();
        assert_eq!(event.kind, Kind::Base);
        assert_eq!(event.get_named("field.60001"), Some(&Value::from("new")));
        assert_eq!(event.get_named("class_uid"), Some(&Value::Int(9_999)));
        assert_eq!(round(&event), event, "an unknown number is a number again on the next hop");
    }

    #[test]
    fn limits_hold_against_a_hostile_sender() {
        let mut bytes = Vec::new();
        for n in 0..FIELDS_MAX as u64 + 10 {
            pb::put_message(&mut bytes, tag::FIELD, |out| pb::put_uint(out, value_tag::NUMBER, 10_000 + n));
        }
        let event = decode(&bytes).unwrap();
        assert_eq!((event.body.len(), event.body.refused()), (FIELDS_MAX, 10));

        let mut deep = Vec::new();
        put_value(&mut deep, &Value::from(1), 1);
        for _ in 0..2_000 {
            let inner = std::mem::take(&mut deep);
            pb::put_message(&mut deep, value_tag::LIST, |out| pb::put_bytes(out, value_tag::VALUE, &inner));
        }
        let mut bytes = Vec::new();
        pb::put_bytes(&mut bytes, tag::FIELD, &deep);
        let event = decode(&bytes).unwrap();
        let mut value = event.get_named("").unwrap();
        let mut depth = 0;
        while let Value::List(list) = value {
            (value, depth) = (&list[0], depth + 1);
        }
        assert_eq!((depth, value), (DEPTH_MAX, &Value::Null));

        let mut bytes = Vec::new();
        pb::put_message(&mut bytes, tag::FIELD, |out| pb::put_bytes(out, value_tag::TEXT, "é".repeat(TEXT_BYTES_MAX).as_bytes()));
        assert_eq!(decode(&bytes).unwrap().get_named("").unwrap().as_str().unwrap().len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn errors_name_what_is_wrong() {
        assert_eq!(decode(&[0x09]), Err(DecodeError::Malformed));
        assert_eq!(decode(&[0x08, 0x01]), Err(DecodeError::WireType(1)));
        let mut bytes = Vec::new();
        pb::put_message(&mut bytes, tag::FIELD, |out| pb::put_bytes(out, value_tag::IP, &[1, 2, 3]));
        assert_eq!(decode(&bytes), Err(DecodeError::Address(3)));
    }

    #[test]
    fn the_words_are_sorted() {
        assert!(WORDS.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn no_cut_or_flipped_byte_panics() {
        let mut bytes = Vec::new();
        encode(&ssh_failure(), &mut bytes);
        for at in 0..bytes.len() {
            let _ = decode(&bytes[..at]);
            for flip in [1, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] ^= flip;
                // What decodes must also encode and decode to itself: nothing half-read gets in.
                if let Ok(event) = decode(&bad) {
                    let again = round(&event);
                    assert_eq!(format!("{:?}", round(&again)), format!("{again:?}"));
                }
            }
        }
    }
}
