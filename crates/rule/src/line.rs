//! One pass over a line of JSON: which members it has and where their values stand. Values are read, and texts unescaped, only where
//! some rule asks for them.
//!
//! Decisions: a path of names is joined by dots, whether written so or nested; the last of two members of the same name counts;
//! an array is a list, arrays and objects inside it add their values to the list under their own path; an object is a field that
//! is there and equals nothing. Lenient where the meaning is plain: control characters in texts are themselves, an unknown escape
//! is itself, half a surrogate pair is U+FFFD. Anything else that is not JSON refuses the line with its column.

use crate::json::{BadLine, LINE_BYTES_MAX};
use crate::names::{NameTable, hash};
use crate::record::{Places, Record};
use crate::scalar::{Header, List, Scalar};

/// Objects and arrays inside each other.
const DEPTH_MAX: usize = 64;
/// Buffers larger than this are given back after the line.
const KEEP_BYTES_MAX: usize = 1 << 20;
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    True,
    False,
    Int,
    Float,
    Text,
    /// Text with escapes, in the line as written.
    Escaped,
    /// The same unescaped, in the arena.
    Decoded,
    List,
    Object,
}

/// A stretch of the line, or of the arena.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: u32,
    to: u32,
    arena: bool,
}

#[derive(Debug, Clone, Copy)]
struct Raw {
    key: Span,
    hash: u64,
    from: u32,
    to: u32,
    /// The next element of the same list.
    next: u32,
    kind: Kind,
    /// An element of a list.
    listed: bool,
    /// Part of the message, so keywords are sought in it.
    said: bool,
}

/// What one pass found; reused from line to line.
#[derive(Debug, Default)]
pub(crate) struct Members {
    raws: Vec<Raw>,
    arena: String,
    /// The last element of the list that begins at a raw, while it grows.
    tails: Vec<(u32, u32)>,
}

impl Members {
    /// Reads the line's structure.
    pub fn read(&mut self, line: &str) -> Result<(), BadLine> {
        self.raws.clear();
        self.arena.clear();
        if self.arena.capacity() > KEEP_BYTES_MAX {
            self.arena = String::new();
        }
        if self.raws.capacity() > KEEP_BYTES_MAX / size_of::<Raw>() {
            self.raws = Vec::new();
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(BadLine { column: LINE_BYTES_MAX, what: "the line is too long" });
        }
        let mut reader = Reader { bytes: line.as_bytes(), line, at: 0, members: self };
        reader.blanks();
        if reader.peek() != Some(b'{') {
            return Err(reader.bad("not a JSON object"));
        }
        reader.object(None, false, 0)?;
        reader.blanks();
        if reader.peek().is_some() {
            return Err(reader.bad("something follows the object"));
        }
        Ok(())
    }

    /// The words of the log source: members `product`, `category`, `service`, or the same inside `logsource`. Texts only.
    pub fn words<'t>(&'t self, line: &'t str) -> [Option<&'t str>; 3] {
        let mut own = [None; 3];
        let mut inner = [None; 3];
        for raw in self.raws.iter().filter(|r| !r.listed && matches!(r.kind, Kind::Text)) {
            let place = match raw.key.to - raw.key.from {
                7 | 8 => &mut own,
                17 | 18 => &mut inner,
                _ => continue,
            };
            let at = match self.span(line, raw.key) {
                "product" | "logsource.product" => 0,
                "category" | "logsource.category" => 1,
                "service" | "logsource.service" => 2,
                _ => continue,
            };
            if let Some(place) = place.get_mut(at) {
                *place = Some(self.span(line, Span { from: raw.from, to: raw.to, arena: false })).filter(|t| !t.is_empty());
            }
        }
        [0, 1, 2].map(|n: usize| own.get(n).copied().flatten().or(inner.get(n).copied().flatten()))
    }

    /// Gives names to the members that `wanted` asks for (all: keeps the rest too, for keywords) and unescapes what is kept.
    /// Members named in `quiet` are no part of the message.
    pub fn bind(&mut self, line: &str, wanted: &NameTable, all: bool, quiet: &NameTable, places: &mut Places) {
        places.begin();
        self.tails.clear();
        for at in 0..self.raws.len() {
            let Some(raw) = self.raws.get(at).copied() else { return };
            let name = self.span(line, raw.key);
            let number = wanted.find_hashed(name, raw.hash);
            let said = all && !matches!(raw.kind, Kind::List | Kind::Object) && quiet.find_hashed(name, raw.hash).is_none();
            if number.is_none() && !said {
                continue;
            }
            let here = u32::try_from(at).unwrap_or(NONE);
            let mut now = Raw { said, ..raw };
            if raw.kind == Kind::Escaped {
                let from = self.arena.len();
                unescape(line.get(raw.from as usize..raw.to as usize).unwrap_or_default(), &mut self.arena);
                now = Raw { kind: Kind::Decoded, from: from as u32, to: self.arena.len() as u32, ..now };
            }
            if (raw.kind, raw.said) != (now.kind, said)
                && let Some(place) = self.raws.get_mut(at)
            {
                *place = now;
            }
            let Some(number) = number else { continue };
            let head = if raw.listed { places.get(number).filter(|h| self.raws.get(*h as usize).is_some_and(Raw::is_list)) } else { None };
            match head {
                None => places.set(number, here),
                Some(head) => {
                    let tail = match self.tails.iter_mut().find(|(h, _)| *h == head) {
                        Some((_, tail)) => std::mem::replace(tail, here),
                        None => {
                            self.tails.push((head, here));
                            head
                        }
                    };
                    if let Some(raw) = self.raws.get_mut(tail as usize) {
                        raw.next = here;
                    }
                }
            }
        }
    }

    /// Hands over the members that `wanted` has a number for, each as often as it stands there. False, and perhaps not all of them, where one
    /// of them is a list, an object, or still has its escapes: then `bind` tells.
    pub fn plain<'t>(&'t self, line: &'t str, wanted: &NameTable, mut each: impl FnMut(u32, Scalar<'t>)) -> bool {
        for raw in &self.raws {
            let Some(number) = wanted.find_hashed(self.span(line, raw.key), raw.hash) else { continue };
            if raw.listed || matches!(raw.kind, Kind::List | Kind::Object | Kind::Escaped) {
                return false;
            }
            each(number, self.scalar(line, raw));
        }
        true
    }

    fn scalar<'t>(&'t self, line: &'t str, raw: &Raw) -> Scalar<'t> {
        let text = || self.span(line, Span { from: raw.from, to: raw.to, arena: raw.kind == Kind::Decoded });
        match raw.kind {
            Kind::Null => Scalar::Null,
            Kind::True => Scalar::Bool(true),
            Kind::False => Scalar::Bool(false),
            Kind::Int => text().parse().map_or_else(|_| Scalar::Float(text().parse().unwrap_or(0.0)), Scalar::Int),
            Kind::Float => Scalar::Float(text().parse().unwrap_or(0.0)),
            Kind::Text | Kind::Escaped | Kind::Decoded => Scalar::Text(text()),
            Kind::List | Kind::Object => Scalar::List(List::Values(&[])),
        }
    }

    /// Every name in the order first met, for building a typed event.
    pub fn names<'t>(&'t self, line: &'t str) -> impl Iterator<Item = &'t str> {
        self.raws.iter().map(move |r| self.span(line, r.key))
    }

    fn span<'t>(&'t self, line: &'t str, span: Span) -> &'t str {
        let text = if span.arena { self.arena.as_str() } else { line };
        text.get(span.from as usize..span.to as usize).unwrap_or_default()
    }
}

impl Raw {
    fn is_list(&self) -> bool {
        self.listed || self.kind == Kind::List
    }
}

/// A line whose members are found and named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineRecord<'e> {
    pub line: &'e str,
    pub members: &'e Members,
    pub places: &'e Places,
}

impl<'e> LineRecord<'e> {
    fn scalar(&self, raw: &Raw) -> Scalar<'e> {
        self.members.scalar(self.line, raw)
    }

    pub fn get(&self, name: u32) -> Option<Scalar<'e>> {
        let at = self.places.get(name)?;
        let raw = self.members.raws.get(at as usize)?;
        Some(if raw.is_list() { Scalar::List(List::Chain(*self, at)) } else { self.scalar(raw) })
    }

    /// The element of a list at a place, and the place of the next; the head of a list is none itself.
    pub fn element(&self, at: u32) -> Option<(Option<Scalar<'e>>, u32)> {
        let raw = self.members.raws.get(at as usize)?;
        let own = raw.listed && !matches!(raw.kind, Kind::List | Kind::Object);
        Some((own.then(|| self.scalar(raw)), raw.next))
    }
}

impl Record for LineRecord<'_> {
    fn value(&self, name: u32) -> Option<Scalar<'_>> {
        self.get(name)
    }

    fn header(&self, _: Header) -> Option<Scalar<'_>> {
        None
    }

    fn message<'r>(&'r self, look: &mut dyn FnMut(Scalar<'r>) -> bool) {
        for raw in self.members.raws.iter().filter(|r| r.said) {
            if look(self.scalar(raw)) {
                return;
            }
        }
    }
}

struct Reader<'l, 'm> {
    bytes: &'l [u8],
    line: &'l str,
    at: usize,
    members: &'m mut Members,
}

impl Reader<'_, '_> {
    fn bad(&self, what: &'static str) -> BadLine {
        BadLine { column: self.at + 1, what }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// An object's members under the path of the object.
    fn object(&mut self, path: Option<Span>, listed: bool, depth: usize) -> Result<(), BadLine> {
        if depth >= DEPTH_MAX {
            return Err(self.bad("nested too deeply"));
        }
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.bad("a name was expected"));
            }
            let (from, to, escaped) = self.text()?;
            let key = self.key(path, from, to, escaped);
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.bad("':' was expected"));
            }
            self.at += 1;
            self.blanks();
            let hash = hash(self.members.span(self.line, key).as_bytes());
            self.value(key, hash, listed, depth)?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.bad("',' or '}' was expected")),
            }
            self.blanks();
        }
    }

    /// The whole path of a member.
    fn key(&mut self, path: Option<Span>, from: usize, to: usize, escaped: bool) -> Span {
        if path.is_none() && !escaped {
            return Span { from: from as u32, to: to as u32, arena: false };
        }
        let start = self.members.arena.len();
        if let Some(path) = path {
            if path.arena {
                self.members.arena.extend_from_within(path.from as usize..path.to as usize);
            } else {
                self.members.arena.push_str(self.line.get(path.from as usize..path.to as usize).unwrap_or_default());
            }
            self.members.arena.push('.');
        }
        let own = self.line.get(from..to).unwrap_or_default();
        if escaped {
            unescape(own, &mut self.members.arena);
        } else {
            self.members.arena.push_str(own);
        }
        Span { from: start as u32, to: self.members.arena.len() as u32, arena: true }
    }

    fn value(&mut self, key: Span, hash: u64, listed: bool, depth: usize) -> Result<(), BadLine> {
        let start = self.at;
        let (kind, from, to) = match self.peek() {
            Some(b'"') => {
                let (from, to, escaped) = self.text()?;
                (if escaped { Kind::Escaped } else { Kind::Text }, from, to)
            }
            Some(b'-' | b'0'..=b'9') => (self.number()?, start, self.at),
            Some(b'{') => {
                self.push(key, hash, Kind::Object, 0, 0, listed);
                return self.object(Some(key), listed, depth + 1);
            }
            Some(b'[') => {
                self.push(key, hash, Kind::List, 0, 0, listed);
                return self.array(key, hash, depth + 1);
            }
            Some(b't') => (self.literal(b"true", Kind::True)?, 0, 0),
            Some(b'f') => (self.literal(b"false", Kind::False)?, 0, 0),
            Some(b'n') => (self.literal(b"null", Kind::Null)?, 0, 0),
            _ => return Err(self.bad("a value was expected")),
        };
        self.push(key, hash, kind, from, to, listed);
        Ok(())
    }

    fn push(&mut self, key: Span, hash: u64, kind: Kind, from: usize, to: usize, listed: bool) {
        self.members.raws.push(Raw { key, hash, from: from as u32, to: to as u32, next: NONE, kind, listed, said: false });
    }

    fn array(&mut self, key: Span, hash: u64, depth: usize) -> Result<(), BadLine> {
        if depth >= DEPTH_MAX {
            return Err(self.bad("nested too deeply"));
        }
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(key, hash, true, depth)?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.bad("',' or ']' was expected")),
            }
            self.blanks();
        }
    }

    /// A text between quotes: where its content begins and ends, and whether it holds escapes.
    fn text(&mut self) -> Result<(usize, usize, bool), BadLine> {
        let from = self.at + 1;
        let mut at = from;
        let mut escaped = false;
        loop {
            at = stop(self.bytes, at).ok_or_else(|| self.bad("a text does not end"))?;
            if self.bytes.get(at) == Some(&b'"') {
                self.at = at + 1;
                return Ok((from, at, escaped));
            }
            escaped = true;
            at += 2;
        }
    }

    fn literal(&mut self, word: &'static [u8], kind: Kind) -> Result<Kind, BadLine> {
        if !self.bytes.get(self.at..).is_some_and(|r| r.starts_with(word)) {
            return Err(self.bad("a value was expected"));
        }
        self.at += word.len();
        Ok(kind)
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<Kind, BadLine> {
        let minus = self.peek() == Some(b'-');
        if minus {
            self.at += 1;
        }
        let zero = self.peek() == Some(b'0');
        let digits = self.digits();
        if digits == 0 || zero && digits > 1 {
            return Err(self.bad("not a number"));
        }
        let mut kind = if minus && zero { Kind::Float } else { Kind::Int };
        if self.peek() == Some(b'.') {
            self.at += 1;
            kind = Kind::Float;
            if self.digits() == 0 {
                return Err(self.bad("not a number"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            kind = Kind::Float;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.bad("not a number"));
            }
        }
        Ok(kind)
    }
}

/// The place of the next quote or backslash.
fn stop(bytes: &[u8], mut at: usize) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const QUOTES: u64 = LOW * b'"' as u64;
    const SLASHES: u64 = LOW * b'\\' as u64;
    let mut rest = bytes.get(at..)?;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let (q, s) = (word ^ QUOTES, word ^ SLASHES);
        let hit = ((q.wrapping_sub(LOW) & !q) | (s.wrapping_sub(LOW) & !s)) & HIGH;
        if hit != 0 {
            return Some(at + (hit.trailing_zeros() / 8) as usize);
        }
        at += 8;
        rest = tail;
    }
    rest.iter().position(|b| matches!(b, b'"' | b'\\')).map(|n| at + n)
}

/// Appends a JSON text without its escapes.
fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = tail.chars();
        chars.next();
        let Some(c) = chars.next() else {
            out.push('\\');
            return;
        };
        rest = chars.as_str();
        match c {
            '"' | '\\' | '/' => out.push(c),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => match hex(rest) {
                None => out.push_str("\\u"),
                Some((high @ 0xd800..=0xdbff, after)) => {
                    rest = after;
                    let low = after.strip_prefix("\\u").and_then(hex).filter(|(l, _)| (0xdc00..=0xdfff).contains(l));
                    match low {
                        Some((low, after)) => {
                            rest = after;
                            out.push(char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}'));
                        }
                        None => out.push('\u{fffd}'),
                    }
                }
                Some((code, after)) => {
                    rest = after;
                    out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                }
            },
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    out.push_str(rest);
}

fn hex(text: &str) -> Option<(u32, &str)> {
    let (four, rest) = text.split_at_checked(4)?;
    if !four.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some((u32::from_str_radix(four, 16).ok()?, rest))
}
