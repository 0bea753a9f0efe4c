//! The head of an HTTP/1 message, read leniently: a line that is none does not hide the others.
//!
//! Limits: `HEADERS_MAX` lines, `METHOD_BYTES_MAX`; the caller bounds the head.

use event::Timestamp;

use super::super::Emit;
use super::METHODS;

const HEADERS_MAX: usize = 100;
const METHOD_BYTES_MAX: usize = 24;
/// Longer than any body that is ever sent.
const BODY_BYTES_MAX: u64 = 1 << 53;

/// The head of a message: its first line and where it ends.
pub(super) struct Head<'a> {
    pub(super) line: &'a [u8],
    rest: &'a [u8],
    pub(super) size: usize,
    /// A line that is no header line, or more lines than are read.
    pub(super) spoiled: bool,
    /// A request of HTTP/0.9.
    pub(super) simple: bool,
}

impl<'a> Head<'a> {
    /// `None` while its empty line is not in sight: a head that comes a byte at a time is not parsed a byte at a time.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        if memchr::memmem::find(bytes, b"\n\r\n").is_none() && memchr::memmem::find(bytes, b"\n\n").is_none() {
            return None;
        }
        let ends = memchr::memchr_iter(b'\n', bytes);
        let (mut first, mut before, mut lines, mut spoiled) = (None, 0, 0, false);
        for end in ends {
            let line = bytes.get(before..end)?.trim_ascii_end();
            if line.is_empty() && first.is_some() {
                let first = first?;
                return Some(Self {
                    line: bytes.get(..first)?.trim_ascii_end(),
                    rest: bytes.get(first + 1..before)?,
                    size: end + 1,
                    spoiled,
                    simple: false,
                });
            }
            if first.is_some() {
                lines += 1;
                spoiled |= lines > HEADERS_MAX || !header_line(line);
            }
            first.get_or_insert(end);
            before = end + 1;
        }
        None
    }

    /// A request line without a version: it is all there is of the head, unless header lines are there already.
    pub(super) fn simple(bytes: &'a [u8]) -> Option<Self> {
        let end = memchr::memchr(b'\n', bytes)?;
        let line = bytes.get(..end)?.trim_ascii_end();
        let rest = bytes.get(end + 1..)?;
        let known = METHODS.iter().any(|m| line.starts_with(m));
        let plain = known
            && memchr::memmem::find(line, b"HTTP/").is_none()
            && (rest.is_empty() || rest.starts_with(b"\r\n") || rest.starts_with(b"\n"));
        plain.then_some(Self { line, rest: &[], size: end + 1, spoiled: false, simple: true })
    }

    /// (name, value) of each header line.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.rest.split(|b| *b == b'\n').take(HEADERS_MAX).filter_map(|line| {
            let (name, value) = split_at_byte(line, b':')?;
            Some((name.trim_ascii(), value.trim_ascii()))
        })
    }
}

/// A name of visible letters and a colon, or the continuation of the line before (RFC 9112, 5).
fn header_line(line: &[u8]) -> bool {
    if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
        return true;
    }
    split_at_byte(line, b':').is_some_and(|(name, value)| {
        !name.is_empty() && name.iter().all(u8::is_ascii_graphic) && value.iter().all(|b| matches!(b, b'\t' | 0x20..=0x7e | 0x80..))
    })
}

pub(super) struct RequestLine<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) version: Option<&'static str>,
}

/// Method, target, version. Without a version it must at least be a method that there is.
pub(super) fn request_line(line: &[u8]) -> Result<RequestLine<'_>, &'static str> {
    const WHY: &str = "no request line";
    let (method, rest) = split_at_byte(line.trim_ascii(), b' ').ok_or(WHY)?;
    let (end, version) = match memchr::memmem::rfind(rest, b" HTTP/") {
        Some(end) if rest.ends_with(b"HTTP/1.0") => (end, Some("1.0")),
        Some(end) if rest.ends_with(b"HTTP/1.1") => (end, Some("1.1")),
        Some(end) => (end, None),
        None => (rest.len(), None),
    };
    let target = rest.get(..end).unwrap_or_default().trim_ascii();
    let word = method.len() <= METHOD_BYTES_MAX && method.iter().all(|b| matches!(b, b'A'..=b'Z' | b'_' | b'-'));
    let known = METHODS.iter().any(|m| m.strip_suffix(b" ") == Some(method));
    if !word || target.is_empty() || (end == rest.len() && !known) {
        return Err(WHY);
    }
    Ok(RequestLine { method, target, version })
}

/// Status of an answer's first line.
pub(super) fn status(line: &[u8]) -> Option<u16> {
    let (version, rest) = split_at_byte(line, b' ')?;
    let digits = rest.trim_ascii_start().get(..3)?;
    let number = digits.iter().try_fold(0u16, |n, b| b.is_ascii_digit().then(|| n * 10 + u16::from(b - b'0')))?;
    (version.starts_with(b"HTTP/") && number >= 100).then_some(number)
}

/// How long a body is, by the header lines that may say so.
#[derive(Default)]
pub(super) struct Length {
    pub(super) bytes: Option<u64>,
    pub(super) chunked: bool,
    /// More than one statement that differ: where two readers may not agree, a request can be smuggled past one of them.
    doubtful: bool,
    implausible: bool,
}

impl Length {
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"content-length") {
            let number = decimal(value).filter(|n| *n <= BODY_BYTES_MAX);
            self.implausible |= number.is_none();
            self.doubtful |= self.chunked || self.bytes.is_some_and(|n| Some(n) != number);
            self.bytes = self.bytes.or(number);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.doubtful |= self.bytes.is_some();
            self.chunked |= value.to_ascii_lowercase().ends_with(b"chunked");
        }
    }

    pub(super) fn tell(&self, time: Timestamp, out: &mut dyn Emit) {
        if self.implausible {
            out.anomaly("http_length_implausible", "a body length that is no number or that nobody sends; taken for none", time);
        }
        if self.doubtful {
            out.anomaly("http_length_doubtful", "a message states the length of its body in two ways", time);
        }
    }
}

fn split_at_byte(b: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let n = memchr::memchr(at, b)?;
    Some((&b[..n], &b[n + 1..]))
}

fn decimal(b: &[u8]) -> Option<u64> {
    std::str::from_utf8(b.trim_ascii()).ok()?.parse().ok()
}
