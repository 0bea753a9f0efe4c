//! Writes values as JSON into a buffer that is used again for each line.
//!
//! Short things are copied in pieces of a fixed size and only the place moves by their real length: a copy of a length known to the compiler is two
//! instructions, one of any length is a call. So the buffer always has `PAD` bytes to spare behind the place, and one look at its length serves for
//! a piece of text and the value behind it.

use std::net::IpAddr;

use super::{needs_escape, write_json_text};
use crate::value::Value;
use crate::{Class, EventId, LogSource};

/// Bytes of text copied at once.
pub(super) const PIECE: usize = 48;
/// The most that a value takes which is written in place: a number, an address, a short text.
const SHORT: usize = 32;
/// Bytes behind every place that may be written over.
const PAD: usize = PIECE + 2 * SHORT;

#[derive(Default)]
pub(super) struct Pen {
    buffer: Vec<u8>,
    at: usize,
    /// What is still to come at most, besides values that are longer than `SHORT`: those make their own room.
    rest: usize,
}

impl Pen {
    /// A new line, with so much text and so many values.
    pub(super) fn begin(&mut self, text: usize, values: usize) {
        (self.at, self.rest) = (0, text + values * SHORT);
        self.room(0);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.at).unwrap_or_default()
    }

    #[inline]
    fn room(&mut self, bytes: usize) {
        let wanted = self.at + bytes + self.rest + PAD;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted.next_power_of_two(), 0);
        }
    }

    /// Some of the text between values, at most a piece, and the value behind it, if there is one. `quoted`: text whatever it is.
    #[inline]
    pub(super) fn step(&mut self, piece: &[u8; PIECE], len: u8, value: Option<(&Value, bool)>) {
        let Some(room) = place::<PAD>(&mut self.buffer, self.at) else { return };
        if let Some(place) = room.first_chunk_mut() {
            *place = *piece;
        }
        let len = usize::from(len);
        self.at += len;
        let (Some((value, quoted)), Some(room)) = (value, room.get_mut(len..).and_then(|room| room.first_chunk_mut())) else { return };
        match written(value, quoted, room) {
            Some(len) => self.at += len,
            None if quoted => self.quoted(value),
            None => self.value(value),
        }
    }

    /// Any bytes of any length.
    fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len());
        if let Some(place) = self.buffer.get_mut(self.at..self.at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.at += bytes.len();
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.buffer.get_mut(self.at) {
            *place = byte;
        }
        self.at += 1;
    }

    #[inline(never)]
    fn value(&mut self, value: &Value) {
        if let Some(len) = place(&mut self.buffer, self.at).and_then(|room| written(value, false, room)) {
            self.at += len;
            return;
        }
        match value {
            Value::Text(text) => self.text(text),
            Value::Int(n) => self.int(*n),
            Value::Bool(true) => self.put(b"true"),
            Value::Bool(false) => self.put(b"false"),
            Value::Float(x) if x.is_finite() => self.put(x.to_string().as_bytes()),
            Value::Float(_) | Value::Null => self.put(b"null"),
            Value::Ip(_) | Value::Bytes(_) => self.text(&value.to_text()),
            Value::List(list) => {
                self.byte(b'[');
                for (n, item) in list.iter().enumerate() {
                    self.room(SHORT);
                    if n > 0 {
                        self.byte(b',');
                    }
                    self.value(item);
                }
                self.room(1);
                self.byte(b']');
            }
        }
    }

    /// The value where text is wanted.
    #[inline(never)]
    fn quoted(&mut self, value: &Value) {
        match value {
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => self.text(&value.to_text()),
            _ => self.value(value),
        }
    }

    fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.room(bytes.len() + 2);
        if needs_escape_somewhere(bytes) {
            let mut escaped = String::new();
            write_json_text(text, &mut escaped);
            return self.put(escaped.as_bytes());
        }
        self.byte(b'"');
        self.put(bytes);
        self.byte(b'"');
    }

    #[inline]
    pub(super) fn int(&mut self, n: i64) {
        if let Some(room) = place(&mut self.buffer, self.at) {
            self.at += int(n, room);
        }
    }

    #[inline]
    fn number(&mut self, n: u64) {
        if let Some(room) = place(&mut self.buffer, self.at) {
            self.at += number(n, room);
        }
    }

    pub(super) fn id(&mut self, id: EventId) {
        self.room(PAD);
        let mut digits = [0u8; 16];
        for (n, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(id.agent.0 >> (60 - 4 * n) & 15) as usize];
        }
        if let Some(place) = place(&mut self.buffer, self.at) {
            *place = digits;
        }
        self.at += digits.len();
        self.byte(b'-');
        self.number(id.epoch.0);
        self.byte(b'-');
        self.byte(match id.class {
            Class::Critical => b'c',
            Class::Normal => b'n',
            Class::Bulk => b'b',
        });
        self.byte(b'-');
        self.number(id.seq);
    }

    pub(super) fn source(&mut self, source: &LogSource) {
        let start = self.at;
        for (n, word) in [&source.product, &source.category, &source.service].into_iter().enumerate() {
            self.byte(if n == 0 { b'"' } else { b'/' });
            self.put(word.as_deref().unwrap_or("*").as_bytes());
        }
        self.byte(b'"');
        let written = self.buffer.get(start + 1..self.at - 1).unwrap_or_default();
        // Words of a sensor need no escaping; those read from outside may.
        if needs_escape_somewhere(written) {
            self.at = start;
            self.text(&source.to_string());
        }
    }
}

#[inline]
fn place<const N: usize>(buffer: &mut [u8], at: usize) -> Option<&mut [u8; N]> {
    buffer.get_mut(at..)?.first_chunk_mut()
}

/// Writes what fits into a place of a known size, and says how long it is; what may be longer or must be escaped is left alone.
#[inline]
fn written(value: &Value, quoted: bool, room: &mut [u8; SHORT]) -> Option<usize> {
    match value {
        Value::Text(text) => {
            let (bytes, len) = text.short().filter(|(bytes, _)| !short_needs_escape(bytes))?;
            room[0] = b'"';
            *room.get_mut(1..)?.first_chunk_mut()? = *bytes;
            *room.get_mut(1 + len)? = b'"';
            Some(len + 2)
        }
        Value::Int(n) if !quoted => Some(int(*n, room)),
        Value::Ip(IpAddr::V4(ip)) => {
            room[0] = b'"';
            let mut at = 1;
            for byte in ip.octets() {
                let (digits, len) = DECIMAL[usize::from(byte)];
                *room.get_mut(at..)?.first_chunk_mut()? = digits;
                at += usize::from(len) + 1;
            }
            // The last point is none.
            *room.get_mut(at - 1)? = b'"';
            Some(at)
        }
        _ => None,
    }
}

#[inline]
fn int(n: i64, room: &mut [u8; SHORT]) -> usize {
    if n >= 0 {
        return number(n.unsigned_abs(), room);
    }
    let mut digits = [0; SHORT];
    let len = number(n.unsigned_abs(), &mut digits);
    room[0] = b'-';
    room.iter_mut().skip(1).zip(digits).for_each(|(place, digit)| *place = digit);
    len + 1
}

/// Two digits at a time, without the machinery of formatting: a line has two dozen numbers, most of them short.
#[inline]
fn number(n: u64, room: &mut [u8; SHORT]) -> usize {
    if n < 100 {
        let [ten, one] = PAIRS[n as usize];
        let is_short = n < 10;
        (room[0], room[1]) = (if is_short { one } else { ten }, one);
        return 2 - usize::from(is_short);
    }
    long_number(n, room)
}

fn long_number(mut n: u64, room: &mut [u8; SHORT]) -> usize {
    // Digits end at `END`; what is copied behind them is written over.
    const END: usize = 20;
    let mut digits = [0u8; 2 * END];
    let mut at = END;
    let mut two = |at: &mut usize, n: u32| {
        *at -= 2;
        if let Some(place) = place::<2>(&mut digits, *at) {
            *place = PAIRS[n as usize % PAIRS.len()];
        }
    };
    while n >= 10_000 {
        let four = (n % 10_000) as u32;
        n /= 10_000;
        two(&mut at, four % 100);
        two(&mut at, four / 100);
    }
    let mut n = n as u32;
    if n >= 100 {
        two(&mut at, n % 100);
        n /= 100;
    }
    two(&mut at, n);
    // The first pair may begin with a zero.
    at += usize::from(n < 10);
    if let (Some(digits), Some(place)) = (digits.get(at..).and_then(|d| d.first_chunk::<END>()), room.first_chunk_mut()) {
        *place = *digits;
    }
    END - at
}

/// Eight bytes at a time; what lies behind a short text needs no escaping.
#[inline]
fn short_needs_escape(bytes: &[u8; 22]) -> bool {
    let word = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b));
    (word_needs_escape(word(0)) | word_needs_escape(word(8)) | word_needs_escape(word(14))) != 0
}

/// Not zero if one of eight bytes needs escaping: below 0x20, or equal to one of three, which is zero after an exclusive or. A borrow can only come
/// from a byte that is one itself.
#[inline]
const fn word_needs_escape(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let below = word.wrapping_sub(EACH * 0x20);
    let quote = (word ^ (EACH * b'"' as u64)).wrapping_sub(EACH);
    let slash = (word ^ (EACH * b'\\' as u64)).wrapping_sub(EACH);
    let delete = (word ^ (EACH * 0x7f)).wrapping_sub(EACH);
    (below | quote | slash | delete) & !word & (EACH << 7)
}

fn needs_escape_somewhere(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().fold(0, |bad, word| bad | word_needs_escape(u64::from_le_bytes(*word))) != 0 || rest.iter().any(|b| needs_escape(*b))
}

/// `00` to `99`.
static PAIRS: [[u8; 2]; 100] = {
    let mut all = [[0; 2]; 100];
    let mut n = 0;
    while n < all.len() {
        all[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    all
};

/// A byte as decimal digits and a point, and how many digits there are.
static DECIMAL: [([u8; 4], u8); 256] = {
    let mut all = [([b'.'; 4], 0); 256];
    let mut n = 0;
    while n < all.len() {
        let (digits, len) = &mut all[n];
        let (hundreds, tens, ones) = (b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8);
        if n >= 100 {
            (*digits, *len) = ([hundreds, tens, ones, b'.'], 3);
        } else if n >= 10 {
            (*digits, *len) = ([tens, ones, b'.', b'.'], 2);
        } else {
            (*digits, *len) = ([ones, b'.', b'.', b'.'], 1);
        }
        n += 1;
    }
    all
};

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Pen)) -> String {
        let mut pen = Pen::default();
        pen.begin(0, 1);
        write(&mut pen);
        String::from_utf8(pen.bytes().to_vec()).unwrap()
    }

    #[test]
    fn numbers_and_addresses_are_those_of_the_library() {
        let mut n = 1u64;
        for _ in 0..64 {
            for n in [n - 1, n, n.wrapping_neg(), n.wrapping_mul(1_000_003)] {
                assert_eq!(written(|pen| pen.number(n)), n.to_string());
                assert_eq!(written(|pen| pen.int(n.cast_signed())), n.cast_signed().to_string());
                let ip = std::net::Ipv4Addr::from_bits(n as u32);
                assert_eq!(written(|pen| pen.value(&Value::Ip(ip.into()))), format!("\"{ip}\""));
            }
            n = n.rotate_left(1);
        }
    }

    #[test]
    fn every_byte_in_every_place_of_a_word_is_told_from_its_neighbours() {
        for (byte, other, at) in (0..=255u8).flat_map(|b| (0..=255u8).flat_map(move |o| (0..8).map(move |at| (b, o, at)))) {
            let mut word = [other; 8];
            word[at] = byte;
            assert_eq!(word_needs_escape(u64::from_le_bytes(word)) != 0, needs_escape(byte) || needs_escape(other), "{word:?}");
        }
    }

    #[test]
    fn texts_of_every_length_are_written_and_escaped_like_any_json_text() {
        for len in 0..80 {
            for odd in ["", "\"", "\\", "\n", "\u{1f}", "\u{7f}", "é", "烽"] {
                for at in 0..=len {
                    let text = format!("{}{odd}{}", "a".repeat(at), " ".repeat(len - at));
                    let mut wanted = String::new();
                    write_json_text(&text, &mut wanted);
                    assert_eq!(written(|pen| pen.value(&Value::text(&text))), wanted);
                }
            }
        }
    }
}
