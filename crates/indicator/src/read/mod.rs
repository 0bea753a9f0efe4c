//! Readers: bytes of a feed in, entries out, one at a time.
//!
//! A bad entry is named with its line and reason and left out; the others load. Only what is no feed at all (not text, not JSON where JSON
//! was said, an empty file) gives nothing. Limits: `LINE_MAX` bytes a line, `PROBLEMS_MAX` problems told (the rest counted), nesting as
//! `serde_json` bounds it; memory stays within a small multiple of the input.

mod csv;
mod foreign;
mod list;
mod misp;
mod pattern;
mod stix;
#[cfg(test)]
mod tests;

use event::Timestamp;

use crate::{Entry, Meta, Observable, TEXT_MAX, Tlp, Validity, clean};

/// Longest line of a list or a CSV.
pub(crate) const LINE_MAX: usize = 64 * 1024;
/// Problems told one by one.
pub(crate) const PROBLEMS_MAX: usize = 1_000;

/// How the bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// By their looks: JSON with `objects` is STIX, with the keys of IntelMQ or n6 their events, other JSON is MISP, a line of column names is CSV, else a list.
    #[default]
    Auto,
    Stix,
    Misp,
    Csv,
    List,
    /// Events of IntelMQ or n6, one JSON object a line or a list of them.
    Events,
}

impl Format {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Stix => "stix",
            Self::Misp => "misp",
            Self::Csv => "csv",
            Self::List => "list",
            Self::Events => "events",
        }
    }
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Auto, Self::Stix, Self::Misp, Self::Csv, Self::List, Self::Events].into_iter().find(|f| f.name() == name)
    }
}

/// What holds where the feed itself does not say.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    pub format: Format,
    pub source: String,
    pub tlp: Option<Tlp>,
    pub confidence: Option<u8>,
    pub expires: Option<Timestamp>,
    /// Columns of a CSV without a line of names.
    pub columns: Vec<String>,
}

impl ReadOptions {
    fn meta(&self) -> Meta {
        Meta {
            source: clean(&self.source, TEXT_MAX / 4),
            tlp: self.tlp.unwrap_or_default(),
            confidence: self.confidence.unwrap_or(CONFIDENCE).min(100),
            ..Meta::default()
        }
    }
    fn valid(&self) -> Validity {
        Validity { from: None, until: self.expires }
    }
}

/// Confidence of what does not say.
const CONFIDENCE: u8 = 50;

/// An entry that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// Line, from 1; 0 where the whole file is meant.
    pub line: u64,
    /// The head of what was there.
    pub value: String,
    pub reason: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: '{}': {}", self.line, self.value, self.reason)
    }
}

/// What reading came to.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    pub format: Format,
    pub taken: u64,
    /// Entries that were no value to look for (comments of a MISP event, objects of a bundle that are not indicators).
    pub passed_over: u64,
    pub problems: Vec<Problem>,
    /// Problems past `PROBLEMS_MAX`.
    pub problems_beyond: u64,
}

impl Reading {
    fn problem(&mut self, line: u64, value: &str, reason: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { line, value: clean(value, 120), reason: reason.into() });
        } else {
            self.problems_beyond += 1;
        }
    }
    /// Entries that were refused.
    pub fn refused(&self) -> u64 {
        self.problems.len() as u64 + self.problems_beyond
    }
}

/// Where entries go, with what was counted on the way.
pub(crate) struct Sink<'a> {
    out: &'a mut dyn FnMut(Entry<'_>),
    pub(crate) reading: Reading,
}

impl Sink<'_> {
    fn take(&mut self, needs: &[Observable], meta: &Meta, valid: Validity) {
        self.reading.taken += 1;
        (self.out)(Entry { needs, meta, valid });
    }
}

/// Reads a feed; each entry is handed out as it is met.
pub fn read(bytes: &[u8], options: &ReadOptions, out: &mut dyn FnMut(Entry<'_>)) -> Reading {
    let mut sink = Sink { out, reading: Reading::default() };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = bytes.get(..error.valid_up_to()).map_or(1, |b| 1 + count_lines(b));
            sink.reading.problem(line, "", "the file is not UTF-8 text from here on; convert it first");
            std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
    };
    let format = match options.format {
        Format::Auto => guess(text),
        said => said,
    };
    sink.reading.format = format;
    match format {
        Format::Stix => stix::read(text, options, &mut sink),
        Format::Misp => misp::read(text, options, &mut sink),
        Format::Events => foreign::read(text, options, &mut sink),
        Format::Csv => csv::read(text, options, &mut sink),
        Format::List | Format::Auto => list::read(text, options, &mut sink),
    }
    sink.reading
}

fn guess(text: &str) -> Format {
    let head = text.trim_start();
    if head.starts_with(['{', '[']) {
        let mut end = head.len().min(64 * 1024);
        while !head.is_char_boundary(end) {
            end -= 1;
        }
        let head = head.get(..end).unwrap_or(head);
        if foreign::looks_like(head) {
            return Format::Events;
        }
        let stix = head.contains("\"objects\"") || head.contains("\"bundle\"") || head.contains("\"pattern\"");
        return if stix { Format::Stix } else { Format::Misp };
    }
    let first = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with(['#', ';']) && !l.starts_with("//"));
    if first.is_some_and(csv::is_header) { Format::Csv } else { Format::List }
}

pub(crate) fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

/// Line of a part of the text that was borrowed from it.
pub(crate) fn line_of(text: &str, part: &str) -> u64 {
    let at = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    text.as_bytes().get(..at).map_or(0, |b| 1 + count_lines(b))
}

/// A time as feeds write it: RFC 3339, a date, seconds or milliseconds since 1970.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        return Some(time);
    }
    if text.len() >= 9 && text.bytes().all(|b| b.is_ascii_digit()) {
        let n: i64 = text.parse().ok()?;
        return Some(if n > 100_000_000_000 { Timestamp::from_ms(n) } else { Timestamp::from_secs(n) });
    }
    let date = text.get(..10)?;
    let rest = text.get(10..).unwrap_or_default().trim();
    if rest.is_empty() {
        return Timestamp::parse_rfc3339(&format!("{date}T00:00:00Z"));
    }
    Timestamp::parse_rfc3339(&format!("{date}T{}Z", rest.trim_end_matches('Z').trim_end_matches("UTC").trim_end()))
}
