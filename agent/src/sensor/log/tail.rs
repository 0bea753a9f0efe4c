//! One file being read: where the reader is, and the proof that the file is still the one it was.
//!
//! The proof is content, not only the inode number: a hash of the first bytes (`head`, at most 1 KiB, growing with the file) and a hash of the
//! last 64 bytes before the offset (`guard`). Both are read again on every look; the guard comes with the very read that brings the data, so
//! bytes are never taken from a file that was swapped between a check and a read. What fails the proof is a new generation, read from 0.
//!
//! Nothing of an unfinished line is kept in memory: it is read again when its end comes. A line above the limit gives its head and is
//! skipped to its end, so a line of any length costs one buffer.

use std::io;

use super::files::{Handle, Identity};

/// Bytes of the head fingerprint.
const HEAD_BYTES: u64 = 1024;
/// Bytes of the tail guard.
const GUARD_BYTES: u64 = 64;
/// Room in the buffer beyond one line of the greatest length.
const CHUNK_BYTES: usize = 64 * 1024;

/// Lines handed over in one look, so that the events between two checkpoints stay few however short the lines are.
const LINES_MAX: usize = 512;

/// What a checkpoint holds of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mark {
    pub identity: Identity,
    pub head_len: u64,
    pub head: u64,
    /// First byte that was not handed over: always the start of a line, or inside one that is being skipped.
    pub offset: u64,
    /// Hash of the last `min(64, offset)` bytes before the offset.
    pub guard: u64,
    /// Inside a line whose rest is not wanted.
    pub skipping: bool,
}

/// What a look at a file gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Lines were read, or bytes skipped; there may be more.
    More,
    /// Read to the end as it was. `advanced`: the mark moved.
    End { advanced: bool },
    /// The file is no longer the one that was read: truncated, or its content replaced.
    Replaced,
}

/// A line with the offset of its first byte. `cut`: the line is longer than the limit and this is its head.
pub struct LineAt<'a> {
    pub offset: u64,
    pub bytes: &'a [u8],
    pub cut: bool,
}

pub struct Tail<H> {
    pub handle: H,
    pub mark: Mark,
    /// Bytes after the offset in which no line ends, so far.
    scanned: u64,
    /// Looks in a row that ended at the end of the file.
    pub ends: u32,
    /// Zero bytes dropped at the start of lines: the hole a writer leaves that does not append after a copytruncate.
    pub zeros: u64,
}

/// The buffer all files are read through.
pub fn buffer(line_max: usize) -> Vec<u8> {
    vec![0; GUARD_BYTES as usize + line_max + CHUNK_BYTES]
}

impl<H: Handle> Tail<H> {
    /// Reads a file from its first byte.
    pub fn from_start(handle: H, identity: Identity) -> Self {
        Self { handle, mark: Mark { identity, ..Mark::default() }, scanned: 0, ends: 0, zeros: 0 }
    }

    /// Reads what is written from now on; the rest of a line that is being written now is left out.
    pub fn from_end(handle: H, identity: Identity) -> io::Result<Self> {
        let mut tail = Self::from_start(handle, identity);
        let size = tail.handle.stat()?.size;
        let mut last = [0u8; GUARD_BYTES as usize];
        let keep = GUARD_BYTES.min(size);
        let got = read_full(&tail.handle, &mut last[..keep as usize], size - keep)?;
        if got as u64 != keep {
            return Ok(tail);
        }
        tail.mark.offset = size;
        tail.mark.guard = hash(&last[..got]);
        tail.mark.skipping = got > 0 && last[got - 1] != b'\n';
        tail.take_head(size)?;
        Ok(tail)
    }

    /// Goes on at a mark, if the file proves to be the marked one. `None` if not; the identity is not compared here.
    pub fn resume(handle: H, identity: Identity, mark: &Mark) -> io::Result<Option<Self>> {
        let tail = Self { handle, mark: Mark { identity, ..mark.clone() }, scanned: 0, ends: 0, zeros: 0 };
        let size = tail.handle.stat()?.size;
        let same = size >= mark.offset && tail.head_holds()? && tail.guard_holds()?;
        Ok(same.then_some(tail))
    }

    fn head_holds(&self) -> io::Result<bool> {
        let mut bytes = [0u8; HEAD_BYTES as usize];
        let want = self.mark.head_len.min(HEAD_BYTES) as usize;
        let got = read_full(&self.handle, &mut bytes[..want], 0)?;
        Ok(got == want && (want == 0 || hash(&bytes[..got]) == self.mark.head))
    }

    fn guard_holds(&self) -> io::Result<bool> {
        let mut bytes = [0u8; GUARD_BYTES as usize];
        let want = self.mark.offset.min(GUARD_BYTES);
        let got = read_full(&self.handle, &mut bytes[..want as usize], self.mark.offset - want)?;
        Ok(got as u64 == want && (want == 0 || hash(&bytes[..got]) == self.mark.guard))
    }

    fn take_head(&mut self, size: u64) -> io::Result<()> {
        let mut bytes = [0u8; HEAD_BYTES as usize];
        let want = size.min(HEAD_BYTES) as usize;
        let got = read_full(&self.handle, &mut bytes[..want], 0)?;
        self.mark.head_len = got as u64;
        self.mark.head = if got == 0 { 0 } else { hash(&bytes[..got]) };
        Ok(())
    }

    /// Reads at most one buffer and hands over the lines that end in it.
    pub fn look(&mut self, buffer: &mut [u8], line_max: usize, line: &mut dyn FnMut(LineAt<'_>)) -> io::Result<Look> {
        let size = self.handle.stat()?.size;
        if size < self.mark.offset + self.scanned || !self.head_holds()? {
            return Ok(Look::Replaced);
        }
        if size > self.mark.head_len && self.mark.head_len < HEAD_BYTES {
            self.take_head(size)?;
        }
        let guard_len = self.mark.offset.min(GUARD_BYTES) as usize;
        let got = read_full(&self.handle, buffer, self.mark.offset - guard_len as u64)?;
        if got < guard_len || (guard_len > 0 && hash(&buffer[..guard_len]) != self.mark.guard) {
            return Ok(Look::Replaced);
        }
        let data = &buffer[guard_len..got];
        let (taken, enough) = self.take_lines(data, line_max, line);
        let full = enough || got == buffer.len();
        if taken > 0 {
            let end = guard_len + taken;
            self.mark.offset += taken as u64;
            let keep = self.mark.offset.min(GUARD_BYTES) as usize;
            self.mark.guard = hash(&buffer[end - keep..end]);
        }
        // Where it was enough, what is left was not looked at.
        self.scanned = if enough { 0 } else { (data.len() - taken) as u64 };
        if full {
            self.ends = 0;
            return Ok(Look::More);
        }
        self.ends = if taken > 0 { 0 } else { self.ends.saturating_add(1) };
        Ok(Look::End { advanced: taken > 0 })
    }

    /// Hands over what ends in `data`; gives how many bytes are done with, and whether it stopped because that was enough for once.
    fn take_lines(&mut self, data: &[u8], line_max: usize, line: &mut dyn FnMut(LineAt<'_>)) -> (usize, bool) {
        let mut at = 0;
        let mut lines = 0;
        let mut known = usize::try_from(self.scanned).unwrap_or(0).min(data.len());
        while at < data.len() {
            if lines >= LINES_MAX {
                return (at, true);
            }
            let rest = &data[at..];
            if self.mark.skipping {
                match rest.iter().position(|b| *b == b'\n') {
                    Some(end) => {
                        at += end + 1;
                        self.mark.skipping = false;
                    }
                    None => at = data.len(),
                }
                known = at;
                continue;
            }
            if rest[0] == 0 {
                let run = rest.iter().position(|b| *b != 0).unwrap_or(rest.len());
                self.zeros = self.zeros.saturating_add(run as u64);
                at += run;
                known = known.max(at);
                continue;
            }
            lines += 1;
            let offset = self.mark.offset + at as u64;
            let from = known.saturating_sub(at).min(rest.len());
            match rest[from..].iter().position(|b| *b == b'\n').map(|n| n + from) {
                Some(end) if end <= line_max => {
                    line(LineAt { offset, bytes: trimmed(&rest[..end]), cut: false });
                    at += end + 1;
                }
                Some(end) => {
                    line(LineAt { offset, bytes: &rest[..line_max], cut: true });
                    at += end + 1;
                }
                None if rest.len() > line_max => {
                    line(LineAt { offset, bytes: &rest[..line_max], cut: true });
                    self.mark.skipping = true;
                    at = data.len();
                }
                None => break,
            }
            known = at;
        }
        (at, false)
    }

    /// The file will not be written again: what stands after its last line end is a line too.
    pub fn finish(&mut self, buffer: &mut [u8], line_max: usize, line: &mut dyn FnMut(LineAt<'_>)) -> io::Result<()> {
        let got = read_full(&self.handle, &mut buffer[..line_max], self.mark.offset)?;
        if got > 0 && !self.mark.skipping {
            line(LineAt { offset: self.mark.offset, bytes: trimmed(&buffer[..got]), cut: false });
        }
        self.mark.offset += got as u64;
        Ok(())
    }

    /// Bytes of an unfinished line that wait for its end.
    pub fn waiting(&self) -> u64 {
        self.scanned
    }
}

/// Without a carriage return at its end.
fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn read_full<H: Handle>(handle: &H, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match handle.read_at(&mut buffer[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// 64 bits of BLAKE3: a writer of the log could forge it at will anyhow; against chance it is ample.
fn hash(bytes: &[u8]) -> u64 {
    let whole = blake3::hash(bytes);
    let mut first = [0u8; 8];
    first.copy_from_slice(&whole.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// What a saved mark is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The path named it before.
    Old,
    /// The path names it.
    Live,
    /// It is a copy of what the path named before.
    Copy,
}

/// Marks as text, oldest file first, the followed one last: `v1 <unix ns>` and a line each.
pub fn encode(at_ns: i64, marks: &[(&Mark, Role)]) -> Vec<u8> {
    use std::fmt::Write;
    let mut out = format!("v1 {at_ns}");
    for (m, role) in marks {
        let _ = write!(
            out,
            "\n{} {} {} {} {:x} {} {:x} {} {}",
            m.identity.device,
            m.identity.inode,
            m.identity.born_ns,
            m.head_len,
            m.head,
            m.offset,
            m.guard,
            u8::from(m.skipping),
            *role as u8
        );
    }
    out.into_bytes()
}

/// Marks of one path as they were saved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Saved {
    pub at_ns: i64,
    pub live: Option<Mark>,
    /// Oldest first; true for a copy.
    pub old: Vec<(Mark, bool)>,
}

/// Reads what `encode` wrote; `None` for anything else.
pub fn decode(bytes: &[u8]) -> Option<Saved> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    let mut saved = Saved { at_ns: lines.next()?.strip_prefix("v1 ")?.parse().ok()?, ..Saved::default() };
    for line in lines.take(16) {
        let mut words = line.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (device, inode) = (number()?, number()?);
        let born_ns = words.next()?.parse().ok()?;
        let head_len = words.next()?.parse().ok()?;
        let head = u64::from_str_radix(words.next()?, 16).ok()?;
        let offset = words.next()?.parse().ok()?;
        let guard = u64::from_str_radix(words.next()?, 16).ok()?;
        let skipping = words.next()? == "1";
        let mark = Mark { identity: Identity { device, inode, born_ns }, head_len, head, offset, guard, skipping };
        match words.next()? {
            "1" => saved.live = Some(mark),
            role => saved.old.push((mark, role == "2")),
        }
    }
    Some(saved)
}
