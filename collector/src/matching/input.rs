//! Bytes of a stream as chunks of whole lines: plain, gzip or zstd, found out by the first bytes; lines of JSON or one array of objects.
//!
//! A chunk is about `CHUNK_BYTES`, ends at a line's end and knows the number of its first line. Of an array each element is made
//! one line, and its number is its place in the array. A line longer than `LINE_BYTES_MAX` is left out whole and named.
//! Memory: one chunk and one line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes read at once.
pub const CHUNK_BYTES: usize = 1 << 20;
/// Longest line.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// Whole lines.
#[derive(Debug, Default)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    /// Number of the first line, from 1.
    pub first_line: u64,
    /// Bytes of the input this stands for, as they lie on disk (packed, if the input is).
    pub consumed: u64,
    /// Lines left out before or in this chunk because they are too long, by number.
    pub long: Vec<u64>,
}

/// A stream being read.
pub struct Lines {
    source: Box<dyn Read + Send>,
    taken: std::sync::Arc<std::sync::atomic::AtomicU64>,
    told: u64,
    rest: Vec<u8>,
    line: u64,
    array: Option<Array>,
    /// Inside a line that is too long.
    skipping: bool,
    ended: bool,
}

/// Where the stream comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Stdin,
    File(PathBuf),
}

impl Input {
    /// `-` is standard input.
    pub fn from_path(path: &Path) -> Self {
        if path == Path::new("-") { Self::Stdin } else { Self::File(path.to_owned()) }
    }

    /// For messages.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Bytes on disk, where that is known.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Stdin => 0,
            Self::File(path) => path.metadata().map_or(0, |m| if m.is_file() { m.len() } else { 0 }),
        }
    }

    pub fn open(&self) -> io::Result<Lines> {
        let raw: Box<dyn Read + Send> = match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => {
                let file = File::open(path)?;
                if file.metadata()?.is_dir() {
                    return Err(io::Error::other("it is a folder; name files"));
                }
                Box::new(file)
            }
        };
        Lines::new(raw)
    }
}

/// Counts what is taken from the disk, under whatever unpacks it.
struct Counted<R> {
    inner: R,
    taken: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.taken.fetch_add(read as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(read)
    }
}

impl Lines {
    /// Finds out how the bytes are packed and whether they are one array.
    pub fn new(raw: Box<dyn Read + Send>) -> io::Result<Self> {
        let taken = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let mut raw = BufReader::with_capacity(CHUNK_BYTES, Counted { inner: raw, taken: taken.clone() });
        let head = raw.fill_buf()?;
        let source: Box<dyn Read + Send> = if head.starts_with(&[0x1f, 0x8b]) {
            Box::new(flate2::bufread::MultiGzDecoder::new(raw))
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(zstd::stream::read::Decoder::with_buffer(raw)?)
        } else {
            Box::new(raw)
        };
        let mut lines = Self { source, taken, told: 0, rest: Vec::new(), line: 1, array: None, skipping: false, ended: false };
        let mut head = vec![0; 4096];
        let mut read = 0;
        while read < head.len() {
            match lines.source.read(head.get_mut(read..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        head.truncate(read);
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
        if text.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
            let mut array = Array::default();
            array.feed(text, &mut lines.rest);
            lines.array = Some(array);
        } else {
            lines.rest = text.to_vec();
        }
        Ok(lines)
    }

    /// The next whole lines, into a buffer that is given back used. None at the end.
    pub fn next(&mut self, mut buffer: Vec<u8>) -> io::Result<Option<Chunk>> {
        let mut chunk = Chunk { first_line: self.line, ..Chunk::default() };
        buffer.clear();
        std::mem::swap(&mut buffer, &mut self.rest);
        let mut block = Vec::new();
        loop {
            if !self.ended && buffer.len() < CHUNK_BYTES {
                let wanted = CHUNK_BYTES - buffer.len();
                self.ended = !match &mut self.array {
                    None => fill(&mut self.source, &mut buffer, wanted)?,
                    Some(array) => {
                        block.clear();
                        let more = fill(&mut self.source, &mut block, wanted)?;
                        array.feed(&block, &mut buffer);
                        more
                    }
                };
            }
            if self.skipping {
                match memchr::memchr(b'\n', &buffer) {
                    Some(end) => {
                        buffer.drain(..=end);
                        self.skipping = false;
                        self.line += 1;
                        chunk.first_line = self.line;
                    }
                    None => buffer.clear(),
                }
                if !self.ended && buffer.len() < CHUNK_BYTES {
                    continue;
                }
            }
            match memchr::memrchr(b'\n', &buffer) {
                _ if self.ended => break,
                Some(end) => {
                    self.rest.clear();
                    self.rest.extend_from_slice(buffer.get(end + 1..).unwrap_or_default());
                    buffer.truncate(end + 1);
                    break;
                }
                None if buffer.len() >= LINE_BYTES_MAX => {
                    chunk.long.push(self.line);
                    self.skipping = true;
                }
                // A long line: read on.
                None => {
                    let more = match &mut self.array {
                        None => fill(&mut self.source, &mut buffer, CHUNK_BYTES)?,
                        Some(array) => {
                            block.clear();
                            let more = fill(&mut self.source, &mut block, CHUNK_BYTES)?;
                            array.feed(&block, &mut buffer);
                            more
                        }
                    };
                    self.ended = !more;
                }
            }
        }
        self.line += memchr::memchr_iter(b'\n', &buffer).count() as u64;
        let taken = self.taken.load(std::sync::atomic::Ordering::Relaxed);
        chunk.consumed = taken.saturating_sub(self.told);
        self.told = taken;
        chunk.bytes = buffer;
        if chunk.bytes.is_empty() && chunk.long.is_empty() && self.ended { Ok(None) } else { Ok(Some(chunk)) }
    }

    /// Whether an array was cut off before its end.
    pub fn cut(&self) -> bool {
        self.ended && self.array.as_ref().is_some_and(|a| a.depth > 0)
    }
}

/// Appends up to `wanted` bytes; false at the end of the stream.
fn fill(source: &mut dyn Read, buffer: &mut Vec<u8>, wanted: usize) -> io::Result<bool> {
    let before = buffer.len();
    source.take(wanted as u64).read_to_end(buffer)?;
    Ok(buffer.len() - before == wanted)
}

/// Takes one array apart: every element of the outermost brackets becomes a line.
#[derive(Debug, Default)]
struct Array {
    depth: u32,
    text: bool,
    escaped: bool,
}

impl Array {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if self.text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.text = false,
                    _ => {}
                }
                // A raw line end inside a text is no JSON; as a blank the element stays one line and is refused or read as it is.
                out.push(if byte == b'\n' { b' ' } else { byte });
                continue;
            }
            match byte {
                b'[' | b'{' => {
                    self.depth = self.depth.saturating_add(1);
                    if self.depth > 1 {
                        out.push(byte);
                    }
                }
                b']' | b'}' => {
                    if self.depth > 1 {
                        out.push(byte);
                    }
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 && out.last().is_some_and(|b| *b != b'\n') {
                        out.push(b'\n');
                    }
                }
                b',' if self.depth == 1 => out.push(b'\n'),
                b'\n' | b'\r' | b'\t' | b' ' => {
                    if self.depth > 1 {
                        out.push(b' ');
                    }
                }
                b'"' => {
                    self.text = true;
                    out.push(byte);
                }
                _ => out.push(byte),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(bytes: &[u8]) -> (Vec<(u64, String)>, Vec<u64>) {
        let mut lines = Lines::new(Box::new(io::Cursor::new(bytes.to_vec()))).expect("opens");
        let (mut out, mut long) = (Vec::new(), Vec::new());
        while let Some(chunk) = lines.next(Vec::new()).expect("reads") {
            long.extend(&chunk.long);
            for (n, line) in chunk.bytes.split(|b| *b == b'\n').enumerate() {
                if !line.is_empty() {
                    out.push((chunk.first_line + n as u64, String::from_utf8_lossy(line).into_owned()));
                }
            }
        }
        (out, long)
    }

    #[test]
    fn lines_keep_their_numbers_however_they_are_packed() {
        let mut text = String::new();
        for n in 0..60_000 {
            text.push_str(&format!("{{\"n\":{n},\"filler\":\"{}\"}}\n{}", "x".repeat(n % 90), if n % 7 == 0 { "\n" } else { "" }));
        }
        let truth: Vec<(u64, String)> =
            text.lines().enumerate().filter(|(_, l)| !l.is_empty()).map(|(n, l)| (n as u64 + 1, l.to_owned())).collect();
        assert_eq!(all(text.as_bytes()).0, truth);
        assert_eq!(all(text.trim_end().as_bytes()).0, truth, "no line end at the end");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).expect("packs");
        assert_eq!(all(&packed.finish().expect("packs")).0, truth);
        assert_eq!(all(&zstd::stream::encode_all(text.as_bytes(), 1).expect("packs")).0, truth);
    }

    #[test]
    fn an_array_gives_a_line_an_element() {
        let (lines, _) = all(br#"  [ {"a": "x,]}\"" , "b":
              [1, {"c": 2}]},
            {"d":4}
        ] "#);
        let texts: Vec<(u64, serde_json::Value)> =
            lines.iter().map(|(n, l)| (*n, serde_json::from_str(l).expect("an element is JSON"))).collect();
        assert_eq!(texts, [(1, serde_json::json!({"a": "x,]}\"", "b": [1, {"c": 2}]})), (2, serde_json::json!({"d": 4}))]);
        assert_eq!(all(b"[]").0, []);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_come_out_as_they_went_in_or_as_an_error(data: Vec<u8>, cut in 0usize..6) {
            let heads: [&[u8]; 6] = [b"", b"[", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf", b"{\"a\":1}\n"];
            let bytes = [heads[cut], &data].concat();
            let Ok(mut lines) = Lines::new(Box::new(io::Cursor::new(bytes.clone()))) else { return Ok(()) };
            let mut whole = Vec::new();
            while let Ok(Some(chunk)) = lines.next(Vec::new()) {
                whole.extend_from_slice(&chunk.bytes);
            }
            if cut == 5 {
                proptest::prop_assert_eq!(whole, bytes);
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_named() {
        let mut bytes = b"{\"a\":1}\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', LINE_BYTES_MAX + CHUNK_BYTES));
        bytes.extend(b"\n{\"b\":2}\n{\"c\":3}");
        let (lines, long) = all(&bytes);
        assert_eq!(lines, [(1, "{\"a\":1}".to_owned()), (3, "{\"b\":2}".to_owned()), (4, "{\"c\":3}".to_owned())]);
        assert_eq!(long, [2]);
    }
}
