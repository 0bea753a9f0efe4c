//! The classic pcap format: a header of 24 bytes, then records of 16 bytes and what they announce. Read in large pieces, each byte looked at once:
//! a replay spends its time on packets, not on finding them.

use std::io::{ErrorKind, Read};

/// What is read at once; also what the buffer grows by for a long record.
const BUFFER_BYTES: usize = 256 << 10;
const RECORD_HEADER: usize = 16;
pub(super) const HEADER_BYTES: usize = 24;

pub(super) struct Legacy<R> {
    reader: R,
    buffer: Vec<u8>,
    /// What is read and not yet handed out.
    start: usize,
    end: usize,
    /// Bytes of the file before `start`.
    before: u64,
    big_endian: bool,
    over: bool,
}

/// How a file's first bytes say it is to be read: byte order, nanoseconds, link type. `None`: not one of the four classic kinds.
pub(super) fn header(head: &[u8]) -> Option<(bool, bool, u32)> {
    let (big_endian, nanoseconds) = match head.first_chunk::<4>()? {
        [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
        [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
        [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
        [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
        _ => return None,
    };
    let link = *head.get(20..)?.first_chunk::<4>()?;
    Some((big_endian, nanoseconds, if big_endian { u32::from_be_bytes(link) } else { u32::from_le_bytes(link) }))
}

/// One record and where its bytes lie in `Legacy::bytes`.
pub(super) struct Record {
    pub seconds: u32,
    pub fraction: u32,
    pub len: u32,
    pub start: usize,
    pub bytes: usize,
}

/// Why there is no further record.
pub(super) enum Stop {
    End,
    Cut,
    Oversize,
    ReadError,
}

impl<R: Read> Legacy<R> {
    /// `reader` stands behind the header.
    pub(super) fn new(reader: R, big_endian: bool) -> Self {
        Self { reader, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0, before: HEADER_BYTES as u64, big_endian, over: false }
    }

    /// Byte offset of the record that comes next.
    pub(super) fn offset(&self) -> u64 {
        self.before
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    #[inline]
    pub(super) fn next(&mut self, record_bytes_max: usize) -> Result<Record, Stop> {
        if self.end - self.start < RECORD_HEADER {
            self.fill(RECORD_HEADER)?;
        }
        let head = self.buffer.get(self.start..).and_then(|b| b.first_chunk::<RECORD_HEADER>()).ok_or(Stop::Cut)?;
        let record = self.record(head);
        if record.bytes > record_bytes_max {
            return Err(Stop::Oversize);
        }
        let whole = RECORD_HEADER + record.bytes;
        if self.end - self.start < whole {
            self.fill(whole)?;
        }
        // Filling may have moved it.
        let record = Record { start: self.start + RECORD_HEADER, ..record };
        self.start += whole;
        self.before += whole as u64;
        Ok(record)
    }

    /// Takes the next record if it lies whole in the buffer: its header and its bytes.
    #[inline]
    pub(super) fn ready(&mut self, record_bytes_max: usize) -> Option<Record> {
        let head = self.buffer.get(self.start..self.end)?.first_chunk::<RECORD_HEADER>()?;
        let record = self.record(head);
        let whole = RECORD_HEADER + record.bytes;
        if record.bytes > record_bytes_max || self.end - self.start < whole {
            return None;
        }
        self.start += whole;
        self.before += whole as u64;
        Some(record)
    }

    #[inline]
    fn record(&self, head: &[u8; RECORD_HEADER]) -> Record {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *head;
        let word = |bytes: [u8; 4]| if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        Record {
            seconds: word([a, b, c, d]),
            fraction: word([e, f, g, h]),
            len: word([m, n, o, p]),
            start: self.start + RECORD_HEADER,
            bytes: word([i, j, k, l]) as usize,
        }
    }

    /// Makes sure that so many bytes lie ready.
    #[cold]
    fn fill(&mut self, need: usize) -> Result<(), Stop> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if need > self.buffer.len() {
            self.buffer.resize(need.next_multiple_of(BUFFER_BYTES), 0);
        }
        while self.end < need && !self.over {
            match self.reader.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(0) => self.over = true,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Stop::ReadError),
            }
        }
        match (self.end >= need, self.end) {
            (true, _) => Ok(()),
            (false, 0) => Err(Stop::End),
            (false, _) => Err(Stop::Cut),
        }
    }
}
