//! What parsers of words and tables share: lines of bounded length, counts of what was said, text in the encodings old protocols use.
//!
//! Limits: a line is read to the length its parser gives, the rest of a longer one is passed over; `WORDS_MAX` different words are counted a
//! session, further ones under `other`; text is cut at `TEXT_BYTES_MAX`.

use std::borrow::Cow;

use event::{Event, Timestamp, Value, field};

use super::{Emit, Held, Side};

/// Different words counted a session.
const WORDS_MAX: usize = 64;
/// What is kept of a name, a path, an answer.
pub(crate) const TEXT_BYTES_MAX: usize = 512;

/// Adds a decimal number; formatting would do the same in some hundred steps, and parsers name very many points.
pub(crate) fn push_number(text: &mut String, n: u64) {
    if n >= 10 {
        push_number(text, n / 10);
    }
    text.push(char::from(b'0' + (n % 10) as u8));
}

/// Cuts one direction into lines.
#[derive(Default)]
pub(crate) struct Lines {
    held: Held,
    /// The line is longer than is read: what follows up to its end is passed over.
    long: bool,
}

impl Lines {
    /// Forgets an unfinished line: bytes are missing.
    pub(crate) fn gap(&mut self) {
        self.held.clear();
        self.long = true;
    }

    /// Gives each line without its end to `each`, cut at `max`, and stops early if that says so; the bytes behind the line it stopped
    /// at are returned.
    pub(crate) fn feed<'b>(&mut self, mut bytes: &'b [u8], max: usize, each: &mut dyn FnMut(&[u8]) -> bool) -> &'b [u8] {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (bytes.get(..end).unwrap_or_default(), bytes.get(end + 1..).unwrap_or_default());
            bytes = rest;
            if std::mem::take(&mut self.long) {
                self.held.clear();
                continue;
            }
            let go_on = if self.held.bytes().is_empty() {
                each(cut(line, max))
            } else {
                let room = max.saturating_sub(self.held.bytes().len());
                self.held.add(cut(line, room), max);
                let go_on = each(trim_end(self.held.bytes()));
                self.held.clear();
                go_on
            };
            if !go_on {
                return bytes;
            }
        }
        if !self.long {
            let room = max.saturating_sub(self.held.bytes().len());
            self.held.add(bytes.get(..bytes.len().min(room)).unwrap_or_default(), max);
            if bytes.len() > room {
                // What fits is a line; the rest of it says nothing more.
                let go_on = each(trim_end(self.held.bytes()));
                self.held.clear();
                self.long = true;
                if !go_on {
                    return &[];
                }
            }
        }
        &[]
    }
}

fn cut(line: &[u8], max: usize) -> &[u8] {
    trim_end(line.get(..line.len().min(max)).unwrap_or_default())
}

fn trim_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// How often each word was said in a session.
#[derive(Default)]
pub(crate) struct Tally {
    words: Vec<(Cow<'static, str>, u64)>,
}

impl Tally {
    pub(crate) fn say(&mut self, word: &'static str) {
        self.count(word, || Cow::Borrowed(word));
    }

    /// A word that came from the wire; it is kept only if it is new.
    pub(crate) fn heard(&mut self, word: &str) {
        self.count(word, || Cow::Owned(word.to_owned()));
    }

    fn count(&mut self, word: &str, keep: impl FnOnce() -> Cow<'static, str>) {
        if let Some((_, n)) = self.words.iter_mut().find(|(w, _)| w == word) {
            *n += 1;
        } else if self.words.len() < WORDS_MAX {
            self.words.push((keep(), 1));
        } else if let Some((_, n)) = self.words.iter_mut().find(|(w, _)| w == "other") {
            *n += 1;
        } else {
            self.words.push((Cow::Borrowed("other"), 1));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Puts the counts into an event, the most frequent first, and forgets them.
    pub(crate) fn put(&mut self, event: &mut Event) {
        let mut words = std::mem::take(&mut self.words);
        words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        event.body.set(field::COUNT, words.iter().map(|w| w.1).sum::<u64>());
        event.body.set(field::COMMANDS, words.iter().map(|(w, n)| Value::from(format!("{w} {n}"))).collect::<Vec<_>>());
    }
}

/// Tells what was said in a session, if anything was.
pub(crate) fn summary(tally: &mut Tally, by: Side, mut event: Event, time: Timestamp, out: &mut dyn Emit) {
    if !tally.is_empty() {
        event.time = time;
        tally.put(&mut event);
        out.asked(by, event::Class::Bulk, event);
    }
}

/// Text as it is, cut.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..bytes.len().min(TEXT_BYTES_MAX)).unwrap_or_default()).into_owned()
}

/// Text up to the first zero.
pub(crate) fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.get(..memchr::memchr(0, bytes).unwrap_or(bytes.len())).unwrap_or_default()
}

/// Little-endian UTF-16, cut, without zeros at its end.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).take(TEXT_BYTES_MAX).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.trim_end_matches('\0').to_owned()
}

/// Base64 with or without padding; nothing if it holds anything else.
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for c in text.iter().take_while(|c| **c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = (bits + 6, held << 6 | u32::from(value));
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
        }
    }
    Some(out)
}

/// The position of one text in another.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}

/// Whether bytes begin with a word in any case.
pub(crate) fn begins(bytes: &[u8], word: &[u8]) -> bool {
    bytes.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// A number of a text, for keys of equal messages.
pub(crate) fn key(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        for step in 1..9 {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            for part in b"one\r\ntwo\n\nfour is too long\r\nfive\r\nrest".chunks(step) {
                lines.feed(part, 6, &mut |line| {
                    seen.push(String::from_utf8_lossy(line).into_owned());
                    true
                });
            }
            assert_eq!(seen, ["one", "two", "", "four i", "five"], "{step}");
            assert_eq!(lines.held.bytes(), b"rest");
        }
    }

    #[test]
    fn behind_a_gap_reading_begins_at_the_next_line() {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        lines.feed(b"begun", 80, &mut |_| true);
        lines.gap();
        lines.feed(b"of a line\nwhole\n", 80, &mut |line| {
            seen.push(line.to_vec());
            true
        });
        assert_eq!(seen, [b"whole"]);
    }

    #[test]
    fn encodings() {
        assert_eq!(base64(b"AHVzZXIAcGFzcw==").as_deref(), Some(&b"\0user\0pass"[..]));
        assert_eq!(base64(b"a b"), None);
        assert_eq!(utf16(b"I\0P\0C\0$\0\0\0"), "IPC$");
    }
}
