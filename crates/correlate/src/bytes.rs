//! A small binary form for saved state: little-endian, lengths before contents, a checksum at the end.

use event::{AgentId, Class, Epoch, EventId, Value};

use crate::state::StateError;

#[derive(Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
    pub(crate) fn u8(&mut self, n: u8) {
        self.out.push(n);
    }
    pub(crate) fn u32(&mut self, n: u32) {
        self.raw(&n.to_le_bytes());
    }
    pub(crate) fn u64(&mut self, n: u64) {
        self.raw(&n.to_le_bytes());
    }
    pub(crate) fn i64(&mut self, n: i64) {
        self.raw(&n.to_le_bytes());
    }
    pub(crate) fn len(&mut self, n: usize) {
        self.u32(u32::try_from(n).unwrap_or(u32::MAX));
    }
    pub(crate) fn text(&mut self, text: &str) {
        self.len(text.len());
        self.raw(text.as_bytes());
    }
    pub(crate) fn id(&mut self, id: EventId) {
        self.u64(id.agent.0);
        self.u64(id.epoch.0);
        self.u8(id.class as u8);
        self.u64(id.seq);
    }
    /// Bytes and lists, which no group key or party has, are kept as their text.
    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.u8(0),
            Value::Int(n) => {
                self.u8(2);
                self.i64(*n);
            }
            Value::Float(x) => {
                self.u8(3);
                self.u64(x.to_bits());
            }
            Value::Bool(b) => {
                self.u8(4);
                self.u8(u8::from(*b));
            }
            Value::Ip(ip) => {
                self.u8(5);
                self.text(&ip.to_string());
            }
            Value::Text(_) | Value::Bytes(_) | Value::List(_) => {
                self.u8(1);
                self.text(&value.to_text());
            }
        }
    }
    /// What another writer holds, with its length before it.
    pub(crate) fn part(&mut self, part: Self) {
        self.u64(part.out.len() as u64);
        self.raw(&part.out);
    }
    /// What was written, with its checksum.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let sum = fnv(&self.out);
        self.u64(sum);
        self.out
    }
}

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks the sum at the end and leaves it out.
    pub(crate) fn checked(bytes: &'a [u8]) -> Result<Self, StateError> {
        let (rest, sum) = bytes.split_last_chunk::<8>().ok_or(StateError("too short"))?;
        if fnv(rest) != u64::from_le_bytes(*sum) {
            return Err(StateError("the checksum does not fit"));
        }
        Ok(Self { rest })
    }
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(StateError("ends early"))?;
        self.rest = rest;
        Ok(*head)
    }
    pub(crate) fn tag<const N: usize>(&mut self, expected: &[u8; N]) -> Result<(), StateError> {
        if &self.take::<N>()? == expected { Ok(()) } else { Err(StateError("not a state of this kind or version")) }
    }
    pub(crate) fn u8(&mut self) -> Result<u8, StateError> {
        Ok(u8::from_le_bytes(self.take()?))
    }
    pub(crate) fn u32(&mut self) -> Result<u32, StateError> {
        Ok(u32::from_le_bytes(self.take()?))
    }
    pub(crate) fn u64(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_le_bytes(self.take()?))
    }
    pub(crate) fn i64(&mut self) -> Result<i64, StateError> {
        Ok(i64::from_le_bytes(self.take()?))
    }
    /// A count of things that follow, each at least one byte long: never more than bytes are left.
    pub(crate) fn len(&mut self) -> Result<usize, StateError> {
        let n = self.u32()? as usize;
        if n > self.rest.len() { Err(StateError("a length is too great")) } else { Ok(n) }
    }
    /// What `Writer::part` wrote, to be read or passed over.
    pub(crate) fn part(&mut self) -> Result<Self, StateError> {
        let n = usize::try_from(self.u64()?).map_err(|_| StateError("a length is too great"))?;
        let (head, rest) = self.rest.split_at_checked(n).ok_or(StateError("ends early"))?;
        self.rest = rest;
        Ok(Self { rest: head })
    }
    pub(crate) fn text(&mut self) -> Result<Box<str>, StateError> {
        let n = self.len()?;
        let (head, rest) = self.rest.split_at_checked(n).ok_or(StateError("ends early"))?;
        self.rest = rest;
        std::str::from_utf8(head).map(Into::into).map_err(|_| StateError("text that is no text"))
    }
    pub(crate) fn id(&mut self) -> Result<EventId, StateError> {
        Ok(EventId {
            agent: AgentId(self.u64()?),
            epoch: Epoch(self.u64()?),
            class: Class::from_u8(self.u8()?).ok_or(StateError("unknown class"))?,
            seq: self.u64()?,
        })
    }
    pub(crate) fn value(&mut self) -> Result<Value, StateError> {
        Ok(match self.u8()? {
            0 => Value::Null,
            1 => Value::text(&self.text()?),
            2 => Value::Int(self.i64()?),
            3 => Value::Float(f64::from_bits(self.u64()?)),
            4 => Value::Bool(self.u8()? != 0),
            5 => Value::Ip(self.text()?.parse().map_err(|_| StateError("address that is none"))?),
            _ => return Err(StateError("unknown value")),
        })
    }
}

/// FNV-1a, 64 bit: against torn and mixed-up files, not against an adversary (who would have the disk).
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
