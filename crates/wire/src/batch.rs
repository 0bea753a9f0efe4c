//! A batch: one contiguous run of sequence numbers of one (agent, epoch, class), packed with zstd.
//!
//! Rows follow one another without numbers: an event row stands for the next number, a gap row for the next `count`
//! numbers. The declared raw length is checked against the limit and against the zstd frame before a byte is allocated, and
//! again after unpacking; rows must use up exactly `first_seq..=last_seq`.

use event::{Class, Epoch};
use prost::Message as _;
use prost::bytes::Bytes;

use crate::pb::{self, Item, Malformed, Reader};

/// Unpacked bytes of one batch.
pub const RAW_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Packed bytes of one batch; zstd of incompressible rows is a little longer than the rows.
pub const PACKED_BYTES_MAX: usize = RAW_BYTES_MAX + RAW_BYTES_MAX / 128 + 1024;
/// Rows of one batch.
pub const ROWS_MAX: usize = 4096;
/// Bytes of a gap's reason; a longer one is cut.
pub const REASON_BYTES_MAX: usize = 64;
/// zstd level an agent uses unless told otherwise: level 3 saves a tenth of the bytes for a third more time.
pub const LEVEL_DEFAULT: i32 = 1;

/// Message `Batch` of `proto/link.proto`: what the link carries and what the collector's log keeps as received.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Batch {
    /// Delivery class: 0 critical, 1 normal, 2 bulk.
    #[prost(uint32, tag = "1")]
    pub class: u32,
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// First and last sequence number covered, gaps included.
    #[prost(uint64, tag = "3")]
    pub first_seq: u64,
    #[prost(uint64, tag = "4")]
    pub last_seq: u64,
    #[prost(uint32, tag = "5")]
    pub rows: u32,
    /// Length of the rows before packing.
    #[prost(uint32, tag = "6")]
    pub raw_bytes: u32,
    /// zstd frame of a `Rows` message.
    #[prost(bytes = "bytes", tag = "7")]
    pub packed: Bytes,
}

/// A batch that breaks the contract. Retrying the same bytes gives the same error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("batch is not protobuf")]
    Malformed,
    #[error("class {0} does not exist")]
    Class(u32),
    #[error("sequence {first}..{last} is no range (numbers count from 1)")]
    Range { first: u64, last: u64 },
    #[error("{0} rows, limit 4096")]
    Rows(u64),
    #[error("{0} raw bytes, limit 4194304")]
    RawBytes(u64),
    #[error("{0} packed bytes, limit 4228096")]
    PackedBytes(usize),
    #[error("raw length says {declared}, the data say {found}")]
    LyingLength { declared: u64, found: u64 },
    #[error("rows are not zstd")]
    Zstd,
    #[error("rows end at {ends}, the batch says {declared}")]
    Uncovered { ends: u64, declared: u64 },
}

impl From<Malformed> for BatchError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// One row: an event's bytes (see `wire::event`), or numbers that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row<'a> {
    Event(&'a [u8]),
    Gap { count: u64, reason: &'a str },
}

impl Row<'_> {
    /// How many sequence numbers the row stands for.
    pub const fn count(&self) -> u64 {
        match self {
            Self::Event(_) => 1,
            Self::Gap { count, .. } => *count,
        }
    }
}

/// Collects rows and packs them. Holds its buffers and the compressor from batch to batch.
pub struct Packer {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    raw: Vec<u8>,
    rows: u32,
    numbers: u64,
}

impl Packer {
    /// `level` 1 to 3; others are clamped (higher ones would cost an agent memory).
    pub fn new(level: i32) -> Self {
        Self { compressor: zstd::bulk::Compressor::new(level.clamp(1, 3)).ok(), raw: Vec::new(), rows: 0, numbers: 0 }
    }

    pub const fn rows(&self) -> u32 {
        self.rows
    }
    pub fn raw_bytes(&self) -> usize {
        self.raw.len()
    }
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a row; false, and nothing added, if the batch is full (pack it and push again).
    #[must_use]
    pub fn push(&mut self, row: Row<'_>) -> bool {
        if self.rows as usize >= ROWS_MAX {
            return false;
        }
        let before = self.raw.len();
        pb::put_message(&mut self.raw, ROWS_ROW, |out| match row {
            Row::Event(bytes) => pb::put_bytes(out, ROW_EVENT, bytes),
            Row::Gap { count, reason } => pb::put_message(out, ROW_GAP, |out| {
                pb::put_uint(out, GAP_COUNT, count);
                pb::put_bytes(out, GAP_REASON, cut(reason, REASON_BYTES_MAX).as_bytes());
            }),
        });
        if self.raw.len() > RAW_BYTES_MAX || row.count() == 0 {
            self.raw.truncate(before);
            return false;
        }
        self.rows += 1;
        self.numbers = self.numbers.saturating_add(row.count());
        true
    }

    /// Packs the rows collected so far, the first of which has number `first_seq`, and starts anew. `None` if there are none.
    pub fn pack(&mut self, class: Class, epoch: Epoch, first_seq: u64) -> Option<Batch> {
        if self.rows == 0 {
            return None;
        }
        let packed = match &mut self.compressor {
            Some(compressor) => compressor.compress(&self.raw),
            None => zstd::bulk::compress(&self.raw, LEVEL_DEFAULT),
        };
        let batch = packed.ok().map(|packed| Batch {
            class: u32::from(class as u8),
            epoch: epoch.0,
            first_seq,
            last_seq: first_seq.saturating_add(self.numbers - 1),
            rows: self.rows,
            raw_bytes: self.raw.len() as u32,
            packed: packed.into(),
        });
        self.raw.clear();
        self.raw.shrink_to(256 * 1024);
        (self.rows, self.numbers) = (0, 0);
        batch
    }
}

/// The rows of a batch, unpacked and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    pub class: Class,
    pub epoch: Epoch,
    pub first_seq: u64,
    pub last_seq: u64,
    raw: Vec<u8>,
}

impl Unpacked {
    /// The rows, each with its first sequence number.
    pub fn rows(&self) -> impl Iterator<Item = (u64, Row<'_>)> {
        let mut reader = Reader::new(&self.raw);
        let mut seq = self.first_seq;
        std::iter::from_fn(move || {
            // `unpack` has walked the same bytes: an error cannot come here, and would end the walk.
            let row = next_row(&mut reader).ok()??;
            let at = seq;
            seq = seq.saturating_add(row.count());
            Some((at, row))
        })
    }
}

impl Batch {
    /// The batch as bytes: what the collector's log keeps.
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// Reads a batch back from its bytes; rows are not looked at yet.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, BatchError> {
        Self::decode(bytes).map_err(|_| BatchError::Malformed)
    }

    /// Checks what can be checked without unpacking.
    pub fn check_header(&self) -> Result<Class, BatchError> {
        let class = u8::try_from(self.class).ok().and_then(Class::from_u8).ok_or(BatchError::Class(self.class))?;
        if self.first_seq == 0 || self.last_seq < self.first_seq || self.last_seq == u64::MAX {
            return Err(BatchError::Range { first: self.first_seq, last: self.last_seq });
        }
        if self.rows == 0 || self.rows as usize > ROWS_MAX {
            return Err(BatchError::Rows(u64::from(self.rows)));
        }
        if self.raw_bytes == 0 || self.raw_bytes as usize > RAW_BYTES_MAX {
            return Err(BatchError::RawBytes(u64::from(self.raw_bytes)));
        }
        if self.packed.len() > PACKED_BYTES_MAX {
            return Err(BatchError::PackedBytes(self.packed.len()));
        }
        Ok(class)
    }

    /// Unpacks and checks all of it: header, lengths, rows, coverage. Events inside are not decoded.
    pub fn unpack(&self) -> Result<Unpacked, BatchError> {
        let class = self.check_header()?;
        let declared = u64::from(self.raw_bytes);
        // The frame's own word comes before the allocation; a frame without it is not ours.
        match zstd::zstd_safe::get_frame_content_size(&self.packed) {
            Ok(Some(found)) if found == declared => {}
            Ok(Some(found)) => return Err(BatchError::LyingLength { declared, found }),
            _ => return Err(BatchError::Zstd),
        }
        let raw = zstd::bulk::decompress(&self.packed, self.raw_bytes as usize).map_err(|_| BatchError::Zstd)?;
        if raw.len() as u64 != declared {
            return Err(BatchError::LyingLength { declared, found: raw.len() as u64 });
        }
        let mut reader = Reader::new(&raw);
        let (mut rows, mut next) = (0u64, self.first_seq);
        while let Some(row) = next_row(&mut reader)? {
            rows += 1;
            next = next.checked_add(row.count()).ok_or(BatchError::Uncovered { ends: u64::MAX, declared: self.last_seq })?;
        }
        if rows != u64::from(self.rows) {
            return Err(BatchError::Rows(rows));
        }
        if next - 1 != self.last_seq {
            return Err(BatchError::Uncovered { ends: next - 1, declared: self.last_seq });
        }
        Ok(Unpacked { class, epoch: Epoch(self.epoch), first_seq: self.first_seq, last_seq: self.last_seq, raw })
    }
}

const ROWS_ROW: u32 = 1;
const ROW_EVENT: u32 = 1;
const ROW_GAP: u32 = 2;
const GAP_COUNT: u32 = 1;
const GAP_REASON: u32 = 2;

fn next_row<'a>(reader: &mut Reader<'a>) -> Result<Option<Row<'a>>, Malformed> {
    match reader.next()? {
        None => Ok(None),
        Some((ROWS_ROW, Item::Bytes(bytes))) => read_row(bytes).map(Some),
        Some(_) => Err(Malformed),
    }
}

/// A row this program does not know would be a number it cannot account for: an error, not a skip.
fn read_row(bytes: &[u8]) -> Result<Row<'_>, Malformed> {
    let mut reader = Reader::new(bytes);
    let row = match reader.next()? {
        Some((ROW_EVENT, Item::Bytes(event))) => Row::Event(event),
        Some((ROW_GAP, Item::Bytes(gap))) => read_gap(gap)?,
        _ => return Err(Malformed),
    };
    match reader.next()? {
        None => Ok(row),
        Some(_) => Err(Malformed),
    }
}

fn read_gap(bytes: &[u8]) -> Result<Row<'_>, Malformed> {
    let (mut count, mut reason) = (0, "");
    let mut reader = Reader::new(bytes);
    while let Some((field, item)) = reader.next()? {
        match (field, item) {
            (GAP_COUNT, Item::Varint(n)) => count = n,
            (GAP_REASON, Item::Bytes(text)) => reason = cut(std::str::from_utf8(text).map_err(|_| Malformed)?, REASON_BYTES_MAX),
            _ => {}
        }
    }
    if count == 0 { Err(Malformed) } else { Ok(Row::Gap { count, reason }) }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Batch {
        let mut packer = Packer::new(1);
        assert!(packer.push(Row::Event(b"one")));
        assert!(packer.push(Row::Gap { count: 7, reason: "evicted" }));
        assert!(packer.push(Row::Event(b"")));
        packer.pack(Class::Bulk, Epoch(5), 100).unwrap()
    }

    #[test]
    fn rows_come_back_with_their_numbers() {
        let batch = Batch::from_bytes(sample().to_bytes()).unwrap();
        assert_eq!((batch.first_seq, batch.last_seq, batch.rows), (100, 108, 3));
        let open = batch.unpack().unwrap();
        let rows: Vec<_> = open.rows().collect();
        assert_eq!(rows, [(100, Row::Event(b"one")), (101, Row::Gap { count: 7, reason: "evicted" }), (108, Row::Event(b""))]);
    }

    #[test]
    fn lies_are_refused() {
        let batch = sample();
        let lie = |change: fn(&mut Batch)| {
            let mut bad = batch.clone();
            change(&mut bad);
            bad.unpack().unwrap_err()
        };
        assert_eq!(lie(|b| b.class = 3), BatchError::Class(3));
        assert_eq!(lie(|b| b.first_seq = 0), BatchError::Range { first: 0, last: 108 });
        assert_eq!(lie(|b| b.last_seq = 99), BatchError::Range { first: 100, last: 99 });
        assert_eq!(lie(|b| b.last_seq = 109), BatchError::Uncovered { ends: 108, declared: 109 });
        assert_eq!(lie(|b| b.rows = 2), BatchError::Rows(3));
        assert_eq!(lie(|b| b.rows = 5_000), BatchError::Rows(5_000));
        assert_eq!(lie(|b| b.raw_bytes += 1), BatchError::LyingLength { declared: 27, found: 26 });
        assert_eq!(lie(|b| b.raw_bytes = u32::MAX), BatchError::RawBytes(u64::from(u32::MAX)));
        assert_eq!(lie(|b| b.packed = Bytes::from_static(b"not zstd")), BatchError::Zstd);
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let zeros = vec![0u8; 64 * 1024 * 1024];
        let bomb = zstd::bulk::compress(&zeros, 3).unwrap();
        let mut batch = sample();
        batch.packed = bomb.into();
        assert_eq!(batch.unpack(), Err(BatchError::LyingLength { declared: 26, found: 64 * 1024 * 1024 }));
        batch.raw_bytes = 64 * 1024 * 1024;
        assert_eq!(batch.unpack(), Err(BatchError::RawBytes(64 * 1024 * 1024)));
    }

    #[test]
    fn a_full_packer_says_so_and_keeps_what_it_has() {
        let mut packer = Packer::new(1);
        for _ in 0..ROWS_MAX {
            assert!(packer.push(Row::Event(b"x")));
        }
        assert!(!packer.push(Row::Event(b"x")));
        assert_eq!(packer.pack(Class::Normal, Epoch(1), 1).unwrap().unpack().unwrap().rows().count(), ROWS_MAX);
        assert!(packer.push(Row::Event(&vec![1; RAW_BYTES_MAX - 100])));
        assert!(!packer.push(Row::Event(&[1; 200])));
        assert!(!packer.push(Row::Gap { count: 0, reason: "" }), "a gap of nothing is no row");
        assert_eq!(packer.pack(Class::Normal, Epoch(1), 1).unwrap().rows, 1);
        assert!(packer.pack(Class::Normal, Epoch(1), 1).is_none());
    }

    #[test]
    fn no_cut_or_flipped_byte_panics() {
        let bytes = sample().to_bytes();
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bad = bytes.to_vec();
                bad[at] ^= flip;
                if let Ok(batch) = Batch::from_bytes(bad.into()) {
                    let _ = batch.unpack();
                }
                if let Ok(batch) = Batch::from_bytes(bytes.slice(..at)) {
                    let _ = batch.unpack();
                }
            }
        }
    }
}
