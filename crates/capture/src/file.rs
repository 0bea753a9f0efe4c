//! Capture files: classic pcap, read by `legacy`, and pcapng (and odd kinds of pcap), read as a stream by pcap-parser.
//!
//! No length in a file is trusted: a record past `RECORD_BYTES_MAX` ends the reading. A file that is cut or broken gives
//! every frame before the break and then states a `Defect` with its byte offset; that is no error.

mod legacy;

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::time::Duration;

use event::{SECOND_NS, Timestamp};
use packet::{Frame, LinkType};
use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

use self::legacy::{Legacy, Record, Stop};
use crate::{CaptureError, PacketSource, Stats};

const BUFFER_BYTES: usize = 128 << 10;
const RECORD_BYTES_MAX: usize = 4 << 20;
/// Type of a pcapng section header, the same in either byte order; its own length is read in the order it states further on.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Type and twice the length around every pcapng block.
const BLOCK_FRAME_BYTES: u32 = 12;
/// Interfaces of one pcapng section that are kept; frames of further ones have an unknown link type.
const INTERFACES_MAX: usize = 4096;

/// Where and why reading ended before the end of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// Fixed word: `cut` (the file ends within a record), `oversize` (a record claims more than 4 MiB), `malformed`,
    /// `read_error`.
    pub name: &'static str,
    /// Byte offset of the record that could not be read.
    pub offset: u64,
}

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.name {
            "cut" => "the file ends within a record",
            "oversize" => "a record claims more than 4 MiB",
            "read_error" => "the file cannot be read any further",
            _ => "malformed",
        };
        write!(f, "{what}, at byte {}", self.offset)
    }
}

/// Frames that lie ready one behind the other, lent until the next call.
pub struct Batch<'a> {
    frames: [Frame<'a>; BATCH_MAX],
    len: usize,
}

/// So many frames are handed out at once where the file allows it.
pub const BATCH_MAX: usize = 16;

impl<'a> Batch<'a> {
    pub fn frames(&self) -> &[Frame<'a>] {
        self.frames.get(..self.len).unwrap_or_default()
    }
}

/// A capture file.
pub struct FileSource<'r> {
    name: String,
    reader: Reader<'r>,
    /// Bytes of the record handed out last, consumed at the next call.
    pending: usize,
    kind: Kind,
    got: u64,
    over: bool,
    defect: Option<Defect>,
    last: Timestamp,
}

enum Reader<'r> {
    Legacy(Legacy<Box<dyn Read + Send + 'r>>),
    Blocks(Box<dyn PcapReaderIterator + Send + 'r>),
}

enum Kind {
    Unknown,
    Pcap { link: LinkType, nanoseconds: bool },
    PcapNg { big_endian: bool, interfaces: Vec<Port> },
}

#[derive(Clone, Copy)]
struct Port {
    link: LinkType,
    resolution: Option<u64>,
    offset: i64,
}

/// A frame found in the reader's buffer.
#[derive(Clone, Copy)]
struct Found {
    time: Timestamp,
    link: LinkType,
    len: u32,
    start: usize,
    bytes: usize,
}

impl Found {
    const NOTHING: Self = Self { time: Timestamp::ZERO, link: LinkType::Raw, len: 0, start: 0, bytes: 0 };

    #[inline]
    fn of(record: &Record, link: LinkType, nanoseconds: bool) -> Self {
        let fraction = i64::from(record.fraction) * if nanoseconds { 1 } else { 1_000 };
        let time = Timestamp::from_ns((i64::from(record.seconds) * SECOND_NS).saturating_add(fraction));
        Self { time, link, len: record.len, start: record.start, bytes: record.bytes }
    }
}

impl FileSource<'static> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|source| CaptureError::File { path: name.clone(), source })?;
        FileSource::from_reader(name, file)
    }
}

impl<'r> FileSource<'r> {
    /// Reads from anything; `name` is for messages.
    pub fn from_reader(name: String, reader: impl Read + Send + 'r) -> Result<Self, CaptureError> {
        let no = |reason| CaptureError::NoCapture { path: name.clone(), reason };
        let mut reader = Fill(reader);
        let mut head = vec![0; legacy::HEADER_BYTES];
        let held = reader.read(&mut head).map_err(|source| CaptureError::File { path: name.clone(), source })?;
        head.truncate(held);
        let (reader, kind) = match legacy::header(&head) {
            Some((big_endian, nanoseconds, link)) => {
                let reader: Box<dyn Read + Send + 'r> = Box::new(reader);
                (Reader::Legacy(Legacy::new(reader, big_endian)), Kind::Pcap { link: LinkType::from_pcap(link), nanoseconds })
            }
            None => {
                let blocks = create_reader(BUFFER_BYTES, Fill(Cursor::new(head).chain(reader))).map_err(|e| match e {
                    PcapError::Eof => no("it is empty"),
                    PcapError::Incomplete(_) | PcapError::UnexpectedEof => no("it ends within its header"),
                    PcapError::ReadError => no("it cannot be read"),
                    _ => no("its first bytes are not a capture header"),
                })?;
                (Reader::Blocks(blocks), Kind::Unknown)
            }
        };
        Ok(Self { name, reader, pending: 0, kind, got: 0, over: false, defect: None, last: Timestamp::ZERO })
    }

    /// What was wrong with the file, known once `next` has said `None`.
    pub fn defect(&self) -> Option<&Defect> {
        self.defect.as_ref()
    }

    /// Bytes of the file that have been read.
    pub fn offset(&self) -> u64 {
        match &self.reader {
            Reader::Legacy(legacy) => legacy.offset(),
            Reader::Blocks(blocks) => blocks.consumed() as u64,
        }
    }

    fn stop(&mut self, name: &'static str) {
        self.over = true;
        self.defect = Some(Defect { name, offset: self.offset() });
    }

    /// The next frames that can be had without reading on; none at the end of the file. The same frames in the same order as by `next`.
    pub fn next_batch(&mut self) -> Batch<'_> {
        let mut found: [Found; BATCH_MAX] = [Found::NOTHING; BATCH_MAX];
        let mut len = 0;
        let first = if matches!(self.reader, Reader::Legacy(_)) { self.find_record() } else { self.find() };
        if let Some(first) = first {
            // Only the first may move what lies in the buffer.
            for (slot, next) in found.iter_mut().zip(std::iter::once(first).chain(std::iter::from_fn(|| self.find_ready()))) {
                *slot = next;
                len += 1;
            }
        }
        self.got += len as u64;
        let held = match &self.reader {
            Reader::Legacy(legacy) => legacy.bytes(),
            Reader::Blocks(blocks) => blocks.data(),
        };
        let frames = found.map(|found| {
            let bytes = held.get(found.start..found.start + found.bytes).unwrap_or_default();
            Frame::new(found.time, found.link, found.len, bytes)
        });
        Batch { frames, len }
    }

    /// The next frame of a classic file if it lies ready.
    #[inline]
    fn find_ready(&mut self) -> Option<Found> {
        let (Reader::Legacy(legacy), Kind::Pcap { link, nanoseconds }, false) = (&mut self.reader, &self.kind, self.over) else {
            return None;
        };
        legacy.ready(RECORD_BYTES_MAX).map(|record| Found::of(&record, *link, *nanoseconds))
    }

    /// The next frame of a classic file; `None` at the end.
    #[inline]
    fn find_record(&mut self) -> Option<Found> {
        let (Reader::Legacy(legacy), Kind::Pcap { link, nanoseconds }, false) = (&mut self.reader, &self.kind, self.over) else {
            return None;
        };
        match legacy.next(RECORD_BYTES_MAX) {
            Ok(record) => return Some(Found::of(&record, *link, *nanoseconds)),
            Err(Stop::End) => self.over = true,
            Err(Stop::Cut) => self.stop("cut"),
            Err(Stop::Oversize) => self.stop("oversize"),
            Err(Stop::ReadError) => self.stop("read_error"),
        }
        None
    }

    /// Reads on to the next frame of a file of blocks; `None` at the end.
    fn find(&mut self) -> Option<Found> {
        loop {
            if self.over {
                return None;
            }
            let Reader::Blocks(reader) = &mut self.reader else { return None };
            if self.pending > 0 {
                reader.consume(std::mem::take(&mut self.pending));
            }
            let base = reader.data().as_ptr() as usize;
            let here = reader.data().len();
            if self.kind.is_short_block(reader.data()) {
                self.stop("malformed");
                continue;
            }
            match reader.next() {
                Ok((size, block)) => {
                    // A record of no bytes would be read for ever.
                    if size == 0 {
                        self.stop("malformed");
                        continue;
                    }
                    self.pending = size;
                    if let Some(found) = self.kind.block(&block, base, &mut self.last) {
                        return Some(found);
                    }
                }
                Err(PcapError::Eof) => self.over = true,
                Err(PcapError::Incomplete(_) | PcapError::BufferTooSmall) => {
                    if here >= RECORD_BYTES_MAX {
                        self.stop("oversize");
                    } else if reader.reader_exhausted() {
                        self.end_within(here);
                    } else {
                        if here >= BUFFER_BYTES / 2 {
                            reader.grow((here * 2).max(BUFFER_BYTES * 2));
                        }
                        if reader.refill().is_err() {
                            self.stop("read_error");
                        } else if reader.data().len() == here && reader.reader_exhausted() {
                            self.end_within(here);
                        }
                    }
                }
                Err(PcapError::UnexpectedEof) => self.end_within(here),
                Err(PcapError::ReadError) => self.stop("read_error"),
                Err(_) => self.stop("malformed"),
            }
        }
    }

    fn end_within(&mut self, held: usize) {
        if held == 0 { self.over = true } else { self.stop("cut") }
    }
}

impl PacketSource for FileSource<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    /// Never waits. Once it has said `None` the file is over.
    fn next(&mut self, _wait: Duration) -> Result<Option<Frame<'_>>, CaptureError> {
        let found = if matches!(self.reader, Reader::Legacy(_)) { self.find_record() } else { self.find() };
        let Some(found) = found else { return Ok(None) };
        self.got += 1;
        let held = match &self.reader {
            Reader::Legacy(legacy) => legacy.bytes(),
            Reader::Blocks(blocks) => blocks.data(),
        };
        let bytes = held.get(found.start..found.start + found.bytes).unwrap_or_default();
        Ok(Some(Frame::new(found.time, found.link, found.len, bytes)))
    }

    fn stats(&mut self) -> Stats {
        Stats { got: self.got, counts_drops: true, ..Stats::default() }
    }

    fn method(&self) -> &'static str {
        if matches!(self.kind, Kind::PcapNg { .. }) { "pcapng" } else { "pcap" }
    }
}

impl Kind {
    /// True if a pcapng block claims to be shorter than its own frame: the library subtracts that from the claim for some kinds unchecked.
    fn is_short_block(&self, bytes: &[u8]) -> bool {
        let Self::PcapNg { big_endian, .. } = *self else { return false };
        let Some(([a, b, c, d, len @ ..], _)) = bytes.split_first_chunk::<8>() else { return false };
        let section = [*a, *b, *c, *d] == SECTION;
        !section && (if big_endian { u32::from_be_bytes(*len) } else { u32::from_le_bytes(*len) }) < BLOCK_FRAME_BYTES
    }

    fn block(&mut self, block: &PcapBlockOwned<'_>, base: usize, last: &mut Timestamp) -> Option<Found> {
        let place = |data: &[u8]| (data.as_ptr() as usize).saturating_sub(base);
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let link = LinkType::from_pcap(header.network.0.cast_unsigned());
                *self = Self::Pcap { link, nanoseconds: header.is_nanosecond_precision() };
                None
            }
            PcapBlockOwned::Legacy(record) => {
                let Self::Pcap { link, nanoseconds } = *self else { return None };
                let fraction = i64::from(record.ts_usec) * if nanoseconds { 1 } else { 1_000 };
                let time = Timestamp::from_ns((i64::from(record.ts_sec) * SECOND_NS).saturating_add(fraction));
                let bytes = record.data.len().min(record.caplen as usize);
                Some(Found { time, link, len: record.origlen, start: place(record.data), bytes })
            }
            PcapBlockOwned::NG(Block::SectionHeader(section)) => {
                *self = Self::PcapNg { big_endian: section.big_endian(), interfaces: Vec::new() };
                None
            }
            PcapBlockOwned::NG(block) => {
                let Self::PcapNg { interfaces, .. } = self else { return None };
                match block {
                    Block::InterfaceDescription(i) => {
                        if interfaces.len() < INTERFACES_MAX {
                            let link = LinkType::from_pcap(i.linktype.0.cast_unsigned());
                            interfaces.push(Port { link, resolution: i.ts_resolution(), offset: i.ts_offset() });
                        }
                        None
                    }
                    Block::EnhancedPacket(p) => {
                        let port = interfaces.get(p.if_id as usize).copied().unwrap_or(Port::UNKNOWN);
                        let ticks = u64::from(p.ts_high) << 32 | u64::from(p.ts_low);
                        *last = port.time(ticks);
                        let data = p.packet_data();
                        Some(Found { time: *last, link: port.link, len: p.origlen, start: place(data), bytes: data.len() })
                    }
                    Block::SimplePacket(p) => {
                        // It has no time of its own; the time of the frame before it is the best there is.
                        let port = interfaces.first().copied().unwrap_or(Port::UNKNOWN);
                        let data = p.packet_data();
                        Some(Found { time: *last, link: port.link, len: p.origlen, start: place(data), bytes: data.len() })
                    }
                    _ => None,
                }
            }
        }
    }
}

impl Port {
    const UNKNOWN: Self = Self { link: LinkType::Other(u16::MAX), resolution: None, offset: 0 };

    fn time(self, ticks: u64) -> Timestamp {
        let per_second = self.resolution.filter(|r| *r > 0).unwrap_or(1_000_000);
        let ns = i128::from(ticks) * i128::from(SECOND_NS) / i128::from(per_second) + i128::from(self.offset) * i128::from(SECOND_NS);
        Timestamp::from_ns(ns.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }
}

/// Fills as much as is asked for, so that a first read from a pipe or a slow disk is not taken for a short file.
struct Fill<R>(R);

impl<R: Read> Read for Fill<R> {
    fn read(&mut self, mut space: &mut [u8]) -> std::io::Result<usize> {
        let mut total = 0;
        while !space.is_empty() {
            match self.0.read(space) {
                Ok(0) => break,
                Ok(n) => {
                    total += n;
                    space = space.split_at_mut(n).1;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if total == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcap(magic: [u8; 4], records: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
        let big = magic[0] == 0xa1;
        let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let half = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut out = magic.to_vec();
        out.extend([half(2), half(4)].concat());
        out.extend([word(0), word(0), word(65_535), word(1)].concat());
        for (sec, frac, len, bytes) in records {
            out.extend([word(*sec), word(*frac), word(bytes.len() as u32), word(*len)].concat());
            out.extend_from_slice(bytes);
        }
        out
    }

    /// Time, length on the wire, and bytes.
    type Seen = (i64, u32, Vec<u8>);

    fn read(bytes: &[u8]) -> (Vec<Seen>, Option<Defect>) {
        let mut source = FileSource::from_reader("test".into(), bytes).unwrap();
        let mut out = Vec::new();
        while let Some(f) = source.next(Duration::ZERO).unwrap() {
            out.push((f.time.ns(), f.len, f.bytes.to_vec()));
        }
        assert_eq!(source.stats().got, out.len() as u64);
        (out, source.defect().cloned())
    }

    #[test]
    fn byte_orders_and_nanoseconds() {
        for (magic, ns) in [
            ([0xd4, 0xc3, 0xb2, 0xa1], 5_000),
            ([0xa1, 0xb2, 0xc3, 0xd4], 5_000),
            ([0x4d, 0x3c, 0xb2, 0xa1], 5),
            ([0xa1, 0xb2, 0x3c, 0x4d], 5),
        ] {
            let (frames, defect) = read(&pcap(magic, &[(7, 5, 60, b"abc"), (8, 5, 3, b"def")]));
            assert_eq!(frames[0], (7 * SECOND_NS + ns, 60, b"abc".to_vec()), "{magic:x?}");
            assert_eq!((frames.len(), defect), (2, None));
        }
    }

    #[test]
    fn a_cut_file_gives_what_is_whole_and_says_where_it_ends() {
        let whole = pcap([0xd4, 0xc3, 0xb2, 0xa1], &[(1, 0, 3, b"abc"), (2, 0, 4, b"defg")]);
        for cut in 24 + 19 + 1..whole.len() {
            let (frames, defect) = read(&whole[..cut]);
            assert_eq!((frames.len(), defect), (1, Some(Defect { name: "cut", offset: 43 })), "{cut}");
        }
    }

    #[test]
    fn a_record_that_claims_gigabytes_ends_the_reading() {
        let mut bytes = pcap([0xd4, 0xc3, 0xb2, 0xa1], &[(1, 0, 3, b"abc")]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f]);
        bytes.extend(vec![0; 5 << 20]);
        let (frames, defect) = read(&bytes);
        assert_eq!((frames.len(), defect.unwrap().offset), (1, 43));
    }

    #[test]
    fn batches_give_the_same_frames() {
        let big = vec![7u8; 300_000];
        let records: Vec<(u32, u32, u32, &[u8])> =
            (0..5000u32).map(|n| (n, n, 60, if n % 700 == 699 { &big[..] } else { &big[..(n % 90) as usize] })).collect();
        let bytes = pcap([0xd4, 0xc3, 0xb2, 0xa1], &records);
        for cut in [bytes.len(), bytes.len() - 5, 1000] {
            let bytes = &bytes[..cut];
            let (one, defect) = read(bytes);
            let mut source = FileSource::from_reader("test".into(), bytes).unwrap();
            let mut many: Vec<Seen> = Vec::new();
            loop {
                let batch = source.next_batch();
                if batch.frames().is_empty() {
                    break;
                }
                many.extend(batch.frames().iter().map(|f| (f.time.ns(), f.len, f.bytes.to_vec())));
            }
            assert!(one == many, "{cut}");
            assert_eq!((source.defect().cloned(), source.stats().got), (defect, many.len() as u64));
        }
    }

    #[test]
    fn large_records_are_read_whole() {
        let big = vec![7u8; 300_000];
        let (frames, defect) = read(&pcap([0xd4, 0xc3, 0xb2, 0xa1], &[(1, 0, 3, b"abc"), (2, 0, 300_000, &big), (3, 0, 1, b"z")]));
        assert_eq!((frames.len(), frames[1].2.len(), defect), (3, 300_000, None));
    }

    #[test]
    fn pcapng_sections_change_link_and_resolution() {
        let block = |kind: u32, body: &[u8]| {
            let len = (12 + body.len()) as u32;
            [&kind.to_le_bytes()[..], &len.to_le_bytes(), body, &len.to_le_bytes()].concat()
        };
        let section = block(0x0a0d_0d0a, &[&0x1a2b_3c4du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat());
        let idb = |link: u16, resol: u8| {
            block(1, &[&link.to_le_bytes()[..], &[0; 2], &[0; 4], &[9, 0, 1, 0, resol, 0, 0, 0, 0, 0, 0, 0]].concat())
        };
        let epb = |ticks: u32, data: &[u8; 4]| {
            block(6, &[&[0u8; 4][..], &[0; 4], &ticks.to_le_bytes(), &[4, 0, 0, 0, 60, 0, 0, 0], data].concat())
        };
        let bytes = [section.clone(), idb(1, 6), epb(5, b"abcd"), section, idb(101, 9), epb(5, b"efgh")].concat();
        let mut source = FileSource::from_reader("test".into(), bytes.as_slice()).unwrap();
        let mut seen = Vec::new();
        while let Some(f) = source.next(Duration::ZERO).unwrap() {
            seen.push((f.time.ns(), f.link, f.len, f.bytes.to_vec()));
        }
        assert_eq!(seen, [(5_000, LinkType::Ethernet, 60, b"abcd".to_vec()), (5, LinkType::Raw, 60, b"efgh".to_vec())]);
        assert_eq!((source.method(), source.defect()), ("pcapng", None));
    }

    #[test]
    fn a_block_shorter_than_its_frame_ends_the_reading_whatever_its_kind() {
        for kind in [0x8000_0001u32, 1, 6, 10, 0xbad] {
            for (big, claim) in [(false, 0u32), (false, 4), (true, 11)] {
                let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
                let mut bytes = [word(0x0a0d_0d0a), word(28), word(0x1a2b_3c4d)].concat();
                bytes.extend(if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] });
                bytes.extend([&[0xff; 8][..], &word(28), &word(kind), &word(claim), &[0; 60]].concat());
                assert_eq!(read(&bytes), (Vec::new(), Some(Defect { name: "malformed", offset: 28 })), "{kind:x} {claim}");
            }
        }
    }

    #[test]
    fn what_is_no_capture_is_refused_in_words() {
        for bytes in [&b""[..], b"\xd4\xc3", b"hello, this is no capture at all"] {
            let error = FileSource::from_reader("x".into(), bytes).err().unwrap().to_string();
            assert!(error.starts_with("x is neither pcap nor pcapng"), "{error}");
        }
    }
}
