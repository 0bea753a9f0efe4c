//! A whole event, or some of its fields, as compact bytes at rest: evidence copies in the desk, and what has no column in a segment.
//!
//! Not the wire format: this one carries the id and any field name, and stays readable for as long as the records are kept. First byte:
//! version. Integers are LEB128 (signed ones zigzag). Limits at decode: those of `event`, lists nested at most `DEPTH_MAX`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use event::{
    AgentId, Class, Epoch, Event, EventId, FIELDS_MAX, Field, Fields, Kind, LIST_MAX, LogSource, Name, Severity, Timestamp, Value,
};

const VERSION: u8 = 1;
const DEPTH_MAX: usize = 4;

/// Bytes that are no stored event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored event is damaged at byte {at}")]
pub struct CodecError {
    pub at: usize,
}

pub fn encode_event(event: &Event) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.push(VERSION);
    put_int(event.time.ns(), &mut out);
    put_int(event.observed.since(event.time), &mut out);
    put(u64::from(event.kind.class_uid()), &mut out);
    out.push(event.activity);
    out.push(event.severity as u8);
    for word in [&event.source.product, &event.source.category, &event.source.service] {
        put_text(word.as_deref().unwrap_or(""), &mut out);
    }
    put(event.id.agent.0, &mut out);
    put(event.id.epoch.0, &mut out);
    out.push(event.id.class as u8);
    put(event.id.seq, &mut out);
    for (name, value) in event.body.iter() {
        put_field(name, value, &mut out);
    }
    out
}

pub fn decode_event(bytes: &[u8]) -> Result<Event, CodecError> {
    let mut r = Reader { bytes, at: 0 };
    read_event(&mut r).ok_or(CodecError { at: r.at })
}

fn read_event(r: &mut Reader) -> Option<Event> {
    if r.byte()? != VERSION {
        return None;
    }
    let time = Timestamp::from_ns(r.int()?);
    let observed = time.plus_ns(r.int()?);
    let kind = Kind::from_class_uid(u16::try_from(r.varint()?).ok()?)?;
    let activity = r.byte()?;
    let severity = Severity::from_u8(r.byte()?)?;
    let (product, category, service) = (r.text()?, r.text()?, r.text()?);
    let source = LogSource::owned(Some(product), Some(category), Some(service));
    let id = EventId { agent: AgentId(r.varint()?), epoch: Epoch(r.varint()?), class: Class::from_u8(r.byte()?)?, seq: r.varint()? };
    let mut event = Event { id, time, observed, kind, activity, severity, source, body: Fields::new() };
    read_fields(r, &mut event.body)?;
    Some(event)
}

/// Appends one field, to be read back by `decode_fields`.
pub(crate) fn put_field(name: &Name, value: &Value, out: &mut Vec<u8>) {
    match name {
        Name::Known(field) => put(u64::from(field.number()) << 1, out),
        Name::Other(text) => {
            put((text.len() as u64) << 1 | 1, out);
            out.extend_from_slice(text.as_bytes());
        }
    }
    put_value(value, out);
}

/// Sets the fields written by `put_field`.
pub(crate) fn decode_fields(bytes: &[u8], body: &mut Fields) -> Result<(), CodecError> {
    let mut r = Reader { bytes, at: 0 };
    read_fields(&mut r, body).ok_or(CodecError { at: r.at })
}

fn read_fields(r: &mut Reader, body: &mut Fields) -> Option<()> {
    let mut left = FIELDS_MAX;
    while r.at < r.bytes.len() {
        left = left.checked_sub(1)?;
        let word = r.varint()?;
        let name = if word & 1 == 0 {
            let number = u16::try_from(word >> 1).ok()?;
            // A field of a newer program keeps its number as a name.
            Field::from_number(number).map_or_else(|| Name::Other(format!("field.{number}").into()), Name::Known)
        } else {
            let text = r.take(usize::try_from(word >> 1).ok()?)?;
            Name::from(std::str::from_utf8(text).ok()?)
        };
        let value = r.value(0)?;
        body.set(name, value);
    }
    Some(())
}

fn put_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0),
        Value::Text(t) => {
            out.push(1);
            put_text(t, out);
        }
        Value::Int(n) => {
            out.push(2);
            put_int(*n, out);
        }
        Value::Float(x) => {
            out.push(3);
            out.extend_from_slice(&x.to_le_bytes());
        }
        Value::Bool(b) => out.push(if *b { 4 } else { 5 }),
        Value::Ip(IpAddr::V4(ip)) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
        Value::Ip(IpAddr::V6(ip)) => {
            out.push(7);
            out.extend_from_slice(&ip.octets());
        }
        Value::Bytes(b) => {
            out.push(8);
            put(b.len() as u64, out);
            out.extend_from_slice(b);
        }
        Value::List(list) => {
            out.push(9);
            put(list.len() as u64, out);
            list.iter().for_each(|v| put_value(v, out));
        }
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn put_int(n: i64, out: &mut Vec<u8>) {
    put(((n << 1) ^ (n >> 63)) as u64, out);
}

fn put(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let part = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(part)
    }
    fn varint(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }
    fn int(&mut self) -> Option<i64> {
        let n = self.varint()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }
    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.varint()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }
    fn value(&mut self, depth: usize) -> Option<Value> {
        Some(match self.byte()? {
            0 => Value::Null,
            1 => Value::text(self.text()?),
            2 => Value::Int(self.int()?),
            3 => Value::Float(f64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            4 => Value::Bool(true),
            5 => Value::Bool(false),
            6 => Value::Ip(Ipv4Addr::from(<[u8; 4]>::try_from(self.take(4)?).ok()?).into()),
            7 => Value::Ip(Ipv6Addr::from(<[u8; 16]>::try_from(self.take(16)?).ok()?).into()),
            8 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?.into())
            }
            9 if depth < DEPTH_MAX => {
                let count = usize::try_from(self.varint()?).ok().filter(|n| *n <= LIST_MAX)?;
                let mut list = Vec::with_capacity(count.min(64));
                for _ in 0..count {
                    list.push(self.value(depth + 1)?);
                }
                Value::List(list.into())
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::field;

    #[test]
    fn an_event_comes_back_whole_and_any_cut_is_refused_or_shorter() {
        let mut event = Event::new(Timestamp::from_ns(-5), Kind::DnsActivity, 2, LogSource::new("linux", "", "dns"))
            .with(field::SRC_IP, "fd00::1".parse::<IpAddr>().unwrap())
            .with(field::DNS_ANSWERS, vec!["a".to_owned(), "b".to_owned()])
            .with(field::DNS_ENTROPY, 3.25)
            .with(field::IS_REMOTE, false)
            .with(field::BYTES, i64::MIN);
        event.body.set(Name::from("其他"), Value::Bytes(vec![0, 255].into()));
        event.body.set(Name::from("none"), Value::Null);
        event.observed = Timestamp::from_secs(9);
        event.id = EventId { agent: AgentId(u64::MAX), epoch: Epoch(7), class: Class::Bulk, seq: u64::MAX };
        let bytes = encode_event(&event);
        assert_eq!(decode_event(&bytes).unwrap(), event);
        for cut in 0..bytes.len() {
            if let Ok(short) = decode_event(&bytes[..cut]) {
                assert!(short.body.len() < event.body.len());
            }
        }
    }
}
