//! Typed values and the flat table of an event.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::fields::{Field, Name};
use crate::limit::{FIELDS_MAX, LIST_MAX, TEXT_BYTES_MAX};
use crate::text::Text;

/// One typed value. Text is cut at `TEXT_BYTES_MAX`, lists at `LIST_MAX`, both at construction through `From`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A field that is present and says "nothing" (JSON `null`); Sigma tells it from an absent field.
    Null,
    Text(Text),
    Int(i64),
    Float(f64),
    Bool(bool),
    Ip(IpAddr),
    Bytes(Box<[u8]>),
    List(Box<[Value]>),
}

impl Value {
    #[inline]
    pub fn text(text: &str) -> Self {
        Self::Text(cut(text).into())
    }

    /// Text from bytes that should be UTF-8; what is not becomes U+FFFD.
    pub fn lossy(bytes: &[u8]) -> Self {
        let head = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
        Self::text(&String::from_utf8_lossy(head))
    }

    /// A MAC address in the usual form `aa:bb:cc:dd:ee:ff`.
    pub fn mac(mac: [u8; 6]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b':'; 17];
        for (two, byte) in text.chunks_mut(3).zip(mac) {
            if let [high, low, ..] = two {
                *high = DIGITS[usize::from(byte >> 4)];
                *low = DIGITS[usize::from(byte & 15)];
            }
        }
        Self::ascii(&text)
    }

    /// Text from ASCII, as a writer of digits makes it; of anything else the highest bits are dropped. For what is longer than a number or two,
    /// `text` is as good.
    pub fn ascii(bytes: &[u8]) -> Self {
        Text::ascii(bytes).map_or_else(|| Self::lossy(bytes), Self::Text)
    }

    /// A bit of its own for each kind of value.
    #[inline]
    pub(crate) const fn bit(&self) -> u8 {
        match self {
            Self::Null => 1,
            Self::Text(_) => 1 << 1,
            Self::Int(_) => 1 << 2,
            Self::Float(_) => 1 << 3,
            Self::Bool(_) => 1 << 4,
            Self::Ip(_) => 1 << 5,
            Self::Bytes(_) => 1 << 6,
            Self::List(_) => 1 << 7,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(t) = self { Some(t) } else { None }
    }
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(n) = self { Some(*n) } else { None }
    }
    pub fn as_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Text(t) => t.parse().ok(),
            _ => None,
        }
    }
    /// A number, whatever its type; text is read as a decimal number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Float(x) => Some(*x),
            Self::Text(t) => t.trim().parse().ok(),
            _ => None,
        }
    }

    /// The value as a person writes it; bytes as hex, list elements joined by a comma and a space.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed(""),
            Self::Text(t) => Cow::Borrowed(t),
            Self::Int(n) => Cow::Owned(n.to_string()),
            Self::Float(x) => Cow::Owned(x.to_string()),
            Self::Bool(b) => Cow::Borrowed(if *b { "true" } else { "false" }),
            Self::Ip(ip) => Cow::Owned(ip.to_string()),
            Self::Bytes(b) => {
                let mut hex = String::with_capacity(b.len() * 2);
                for byte in b.iter() {
                    hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
                    hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
                }
                Cow::Owned(hex)
            }
            Self::List(l) => Cow::Owned(l.iter().map(Self::to_text).collect::<Vec<_>>().join(", ")),
        }
    }
}

const _: () = assert!(size_of::<Value>() == 24);

#[inline]
fn cut(text: &str) -> &str {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let mut end = TEXT_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl From<&str> for Value {
    #[inline]
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        if text.len() <= TEXT_BYTES_MAX { Self::Text(text.into()) } else { Self::text(&text) }
    }
}
impl From<Cow<'_, str>> for Value {
    fn from(text: Cow<'_, str>) -> Self {
        Self::text(&text)
    }
}
impl From<IpAddr> for Value {
    #[inline]
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}
impl From<bool> for Value {
    #[inline]
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}
impl From<f64> for Value {
    #[inline]
    fn from(x: f64) -> Self {
        Self::Float(x)
    }
}
impl From<u64> for Value {
    /// Counters past `i64::MAX` are held at it.
    #[inline]
    fn from(n: u64) -> Self {
        Self::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }
}
impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Self::from(n as u64)
    }
}
macro_rules! int_value {
    ($($t:ty),*) => { $(impl From<$t> for Value { #[inline] fn from(n: $t) -> Self { Self::Int(i64::from(n)) } })* };
}
int_value!(i64, i32, u32, u16, u8);
impl From<Vec<Value>> for Value {
    fn from(mut list: Vec<Value>) -> Self {
        list.truncate(LIST_MAX);
        Self::List(list.into())
    }
}
impl From<Vec<String>> for Value {
    fn from(list: Vec<String>) -> Self {
        list.into_iter().map(Value::from).collect::<Vec<_>>().into()
    }
}

/// The flat field table of an event: a short vector in the order the fields were set; look-up is a scan, which for
/// the 10 to 40 fields of an event beats a map.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    entries: Vec<(Name, Value)>,
    /// Of the fields of the table a bit each by their number, several to a bit: where it is not set, nothing need be looked up.
    marks: [u64; 2],
    refused: u32,
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        (&self.entries, self.refused) == (&other.entries, other.refused)
    }
}

impl Fields {
    pub const fn new() -> Self {
        Self { entries: Vec::new(), marks: [0; 2], refused: 0 }
    }

    /// Room for so many fields, for a reader that has counted them.
    pub fn with_capacity(fields: usize) -> Self {
        Self { entries: Vec::with_capacity(fields.min(FIELDS_MAX)), marks: [0; 2], refused: 0 }
    }

    /// Sets a field, replacing an earlier value. Past `FIELDS_MAX` entries the field is refused and counted.
    pub fn set(&mut self, name: impl Into<Name>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        let slot = match &name {
            Name::Known(field) if !self.may_have(*field) => None,
            Name::Known(field) => self.entries.iter_mut().find(|(n, _)| matches!(n, Name::Known(f) if f == field)),
            Name::Other(_) => self.entries.iter_mut().find(|(n, _)| *n == name),
        };
        if let Some(slot) = slot {
            slot.1 = value;
        } else if self.entries.len() < FIELDS_MAX {
            if let Name::Known(field) = name {
                self.mark(field);
            }
            self.entries.push((name, value));
        } else {
            self.refused = self.refused.saturating_add(1);
        }
    }

    /// Sets a field of an event that is being made and is known not to have it yet: nothing is looked up.
    pub fn put(&mut self, field: Field, value: impl Into<Value>) {
        debug_assert!(self.get(field).is_none(), "{field:?} is set twice");
        if self.entries.len() < FIELDS_MAX {
            self.mark(field);
            self.entries.push((Name::Known(field), value.into()));
        } else {
            self.refused = self.refused.saturating_add(1);
        }
    }

    /// Makes room for so many more fields at once.
    pub fn reserve(&mut self, fields: usize) {
        self.entries.reserve_exact(fields.min(FIELDS_MAX));
    }

    /// Sets a field only if there is something to say.
    pub fn set_some(&mut self, name: impl Into<Name>, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    pub fn get(&self, field: Field) -> Option<&Value> {
        if !self.may_have(field) {
            return None;
        }
        self.entries.iter().find(|(n, _)| matches!(n, Name::Known(f) if *f == field)).map(|(_, v)| v)
    }

    #[inline]
    const fn bit(field: Field) -> (usize, u64) {
        let at = field.number();
        ((at >> 6 & 1) as usize, 1 << (at & 63))
    }

    #[inline]
    const fn may_have(&self, field: Field) -> bool {
        let (word, bit) = Self::bit(field);
        self.marks[word] & bit != 0
    }

    #[inline]
    const fn mark(&mut self, field: Field) {
        let (word, bit) = Self::bit(field);
        self.marks[word] |= bit;
    }

    pub fn get_name(&self, name: &Name) -> Option<&Value> {
        match name {
            Name::Known(field) => self.get(*field),
            Name::Other(_) => self.entries.iter().find(|(n, _)| n == name).map(|(_, v)| v),
        }
    }

    pub fn get_named(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(n, _)| n.as_str() == name).map(|(_, v)| v)
    }

    pub fn remove(&mut self, name: &Name) -> Option<Value> {
        let at = self.entries.iter().position(|(n, _)| n == name)?;
        Some(self.entries.remove(at).1)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Name, &Value)> {
        self.entries.iter().map(|(n, v)| (n, v))
    }
    pub(crate) fn as_slice(&self) -> &[(Name, Value)] {
        &self.entries
    }
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// Fields that did not fit.
    pub fn refused(&self) -> u32 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::field;

    #[test]
    fn a_field_is_set_once_and_found_by_either_name() {
        let mut fields = Fields::new();
        fields.set(field::SRC_PORT, 22u16);
        fields.set(field::SRC_PORT, 23u16);
        fields.set(Name::from("CommandLine"), "id");
        assert_eq!(fields.len(), 2);
        assert_eq!(fields.get(field::SRC_PORT), Some(&Value::Int(23)));
        assert_eq!(fields.get_named("src_endpoint.port"), Some(&Value::Int(23)));
        assert_eq!(fields.get_named("CommandLine").and_then(Value::as_str), Some("id"));
    }

    #[test]
    fn limits_cut_and_count() {
        assert_eq!(Value::text(&"é".repeat(TEXT_BYTES_MAX)).as_str().unwrap().len(), TEXT_BYTES_MAX);
        let mut fields = Fields::new();
        for n in 0..FIELDS_MAX + 3 {
            fields.set(Name::from(format!("f{n}").as_str()), true);
        }
        assert_eq!((fields.len(), fields.refused()), (FIELDS_MAX, 3));
    }
}
