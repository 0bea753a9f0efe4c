//! Reading the log by offset: durable frames in order, past and to come.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::disk::LogFile;
use super::frame::{self, Parsed, SEGMENT_HEAD};
use super::{Frame, Marks, Offset, Shared, WalError};

/// A frame with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub offset: Offset,
    /// The offset after it: the position to note once it has been worked on.
    pub next: Offset,
    pub frame: Frame,
}

pub struct WalReader {
    shared: Arc<Shared>,
    offset: u64,
    chunk: Bytes,
    /// Offset of the chunk's first byte.
    chunk_at: u64,
    skipped: u64,
    /// Marks met on the way, for a reader that only gathers them; what it skips was or will be counted by the one that works.
    marks: Option<Marks>,
}

const CHUNK_BYTES: usize = 1024 * 1024;

impl WalReader {
    pub(super) fn new(shared: Arc<Shared>, from: Offset) -> Result<Self, WalError> {
        {
            let published = shared.published();
            let oldest = published.segments.keys().next().copied().unwrap_or(0);
            if from.0 < oldest {
                return Err(WalError::Released { from, oldest: Offset(oldest) });
            }
        }
        Ok(Self { shared, offset: from.0, chunk: Bytes::new(), chunk_at: from.0, skipped: 0, marks: None })
    }

    /// A reader that gathers marks from the begin of a segment on.
    pub(super) fn gathering(shared: Arc<Shared>, base: Offset) -> Result<Self, WalError> {
        Ok(Self { marks: Some(Marks::new()), ..Self::new(shared, base)? })
    }

    pub(super) fn gather(&mut self, frame: &Frame) {
        if let Some(marks) = &mut self.marks {
            super::raise(marks, frame);
        }
    }

    pub(super) fn gathered(self) -> Marks {
        self.marks.unwrap_or_default()
    }

    fn skip(&mut self, bytes: u64) {
        self.skipped += bytes;
        if self.marks.is_none() {
            self.shared.counters.skipped.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Where the next frame will be read.
    pub fn position(&self) -> Offset {
        Offset(self.offset)
    }

    /// Bytes in which no frame could be read: damage, declared at open and counted here.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next durable frame, or none for now.
    #[expect(clippy::should_implement_trait, reason = "none means 'not yet' here, and an error is no item")]
    pub fn next(&mut self) -> Result<Option<Entry>, WalError> {
        loop {
            let Some((base, file, limit)) = self.place() else { return Ok(None) };
            let bytes = self.fill(base, file.as_ref(), limit, CHUNK_BYTES)?;
            let mut parsed = frame::parse(&bytes, self.offset);
            if parsed == Parsed::Short && (bytes.len() as u64) < limit - self.offset {
                let want = frame::length_of(&bytes).unwrap_or(CHUNK_BYTES).max(CHUNK_BYTES);
                self.chunk = Bytes::new();
                let bytes = self.fill(base, file.as_ref(), limit, want)?;
                parsed = frame::parse(&bytes, self.offset);
            }
            match parsed {
                Parsed::Data { frame, length, .. } => {
                    let offset = Offset(self.offset);
                    self.offset += length as u64;
                    return Ok(Some(Entry { offset, next: Offset(self.offset), frame }));
                }
                Parsed::Marks { marks, length, .. } => {
                    if let Some(gathered) = &mut self.marks {
                        super::merge(gathered, &marks);
                    }
                    self.offset += length as u64;
                }
                Parsed::Short | Parsed::Bad => {
                    let rest = usize::try_from(limit - self.offset).unwrap_or(usize::MAX);
                    self.chunk = Bytes::new();
                    let bytes = self.fill(base, file.as_ref(), limit, rest)?;
                    let skip = frame::resync(&bytes, self.offset, 1).unwrap_or(rest) as u64;
                    self.chunk = Bytes::new();
                    self.offset += skip;
                    self.skip(skip);
                }
            }
        }
    }

    /// Waits until there is a frame to read, at most `timeout`; false if there is none, or there will never be one.
    pub fn wait(&self, timeout: Duration) -> bool {
        let published = self.shared.published();
        let waited = self.shared.advanced.wait_timeout_while(published, timeout, |p| p.durable <= self.offset && !p.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.durable > self.offset
    }

    /// True if the log is closed and all of it has been read.
    pub fn ended(&self) -> bool {
        let published = self.shared.published();
        published.closed && published.durable <= self.offset
    }

    /// The segment of the current offset and how far it may be read.
    fn place(&mut self) -> Option<(u64, Arc<dyn LogFile>, u64)> {
        let published = self.shared.published();
        if self.offset >= published.durable {
            return None;
        }
        let Some((base, file)) = published.segments.range(..=self.offset).next_back() else {
            // Released under the reader, or the folder was emptied: go on where the log does.
            let begin = published.segments.keys().next().copied().unwrap_or(published.durable);
            let lost = begin.saturating_sub(self.offset);
            let again = published
                .segments
                .first_key_value()
                .map(|(b, f)| (*b, Arc::clone(f), published.segments.range(b + 1..).next().map_or(published.durable, |(b, _)| *b)));
            drop(published);
            self.skip(lost);
            self.offset = begin;
            return again;
        };
        let limit = published.segments.range(self.offset + 1..).next().map_or(published.durable, |(b, _)| *b);
        Some((*base, Arc::clone(file), limit))
    }

    /// At least the frame's head at the current offset, from the chunk or the file; not past `limit`.
    fn fill(&mut self, base: u64, file: &dyn LogFile, limit: u64, want: usize) -> Result<Bytes, WalError> {
        let have = self.offset.checked_sub(self.chunk_at).and_then(|at| usize::try_from(at).ok()).filter(|at| *at < self.chunk.len());
        if let Some(at) = have {
            let whole = frame::length_of(&self.chunk.slice(at..)).is_some_and(|n| at + n <= self.chunk.len());
            if whole {
                return Ok(self.chunk.slice(at..));
            }
        }
        let room = usize::try_from(limit - self.offset).unwrap_or(usize::MAX);
        let mut bytes = vec![0; want.min(room)];
        let name = super::recover::segment_name(base);
        let got = file
            .read_at(self.offset - base + SEGMENT_HEAD as u64, &mut bytes)
            .map_err(|e| WalError::io("read", &self.shared.disk.path().join(name), &e))?;
        bytes.truncate(got);
        self.chunk = bytes.into();
        self.chunk_at = self.offset;
        Ok(self.chunk.clone())
    }
}
