//! One frame of the log, as bytes.
//!
//! ```text
//! segment  = "VEDWAL01" base:u64 crc:u32 0:u32  frame*            (little endian; crc over the 16 bytes before it)
//! frame    = "VWF1" length:u32 crc:u32 body                        (length of body; CRC32C over offset:u64 and body)
//! body     = kind:u8 class:u8 0:u16 agent:u64 epoch:u64 first:u64 last:u64 received:i64 synced:u64 payload
//! ```
//! The offset is part of the checksum, so a frame copied or left over at another place is no frame. `synced` is the offset known to be on
//! disk when the frame was written: what is broken before the highest `synced` had been acknowledged (an alarm), what is broken after it
//! was never acknowledged (a torn tail). A frame of kind `MARKS` opens each segment and carries all watermarks of what came before, so that
//! released segments are not needed to know what has been taken.

use bytes::Bytes;
use event::{AgentId, Class, Epoch, Timestamp};

use super::{Frame, Marks, Watermark};

pub(crate) const SEGMENT_HEAD: usize = 24;
pub(crate) const FRAME_HEAD: usize = 12;
pub(crate) const BODY_HEAD: usize = 52;
/// Payload of one frame at most.
pub const PAYLOAD_MAX: usize = 16 * 1024 * 1024;
/// Watermarks in one segment's head at most (two million agents): what is beyond is kept in memory and lost only with the oldest segment.
const MARKS_MAX: usize = 600_000;
const MARK_BYTES: usize = 25;

const SEGMENT_MAGIC: &[u8; 8] = b"VEDWAL01";
pub(crate) const FRAME_MAGIC: &[u8; 4] = b"VWF1";
const DATA: u8 = 0;
const MARKS: u8 = 1;

/// What lies at an offset.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// A data frame and its length in the log.
    Data {
        frame: Frame,
        synced: u64,
        length: usize,
    },
    Marks {
        marks: Marks,
        synced: u64,
        length: usize,
    },
    /// The bytes end within a frame that could be whole.
    Short,
    /// No frame here.
    Bad,
}

pub(crate) fn segment_head(base: u64) -> [u8; SEGMENT_HEAD] {
    let mut head = [0; SEGMENT_HEAD];
    head[..8].copy_from_slice(SEGMENT_MAGIC);
    head[8..16].copy_from_slice(&base.to_le_bytes());
    let crc = crc32c::crc32c(&head[..16]);
    head[16..20].copy_from_slice(&crc.to_le_bytes());
    head
}

pub(crate) fn is_segment_head(bytes: &[u8], base: u64) -> bool {
    bytes.get(..SEGMENT_HEAD) == Some(&segment_head(base))
}

/// Appends a data frame that will lie at `offset`.
pub fn encode(frame: &Frame, offset: u64, synced: u64, out: &mut Vec<u8>) {
    let meta = Meta {
        kind: DATA,
        class: frame.class as u8,
        agent: frame.agent.0,
        epoch: frame.epoch.0,
        first: frame.first_seq,
        last: frame.last_seq,
        received: frame.received.ns(),
        synced,
    };
    put(&meta, &frame.bytes, offset, out);
}

pub(crate) fn encode_marks(marks: &Marks, offset: u64, synced: u64, out: &mut Vec<u8>) {
    let mut payload = Vec::with_capacity(marks.len().min(MARKS_MAX) * MARK_BYTES);
    for ((agent, class), mark) in marks.iter().take(MARKS_MAX) {
        payload.extend_from_slice(&agent.0.to_le_bytes());
        payload.push(*class as u8);
        payload.extend_from_slice(&mark.epoch.0.to_le_bytes());
        payload.extend_from_slice(&mark.seq.to_le_bytes());
    }
    let meta = Meta { kind: MARKS, class: 0, agent: 0, epoch: 0, first: 0, last: 0, received: 0, synced };
    put(&meta, &payload, offset, out);
}

struct Meta {
    kind: u8,
    class: u8,
    agent: u64,
    epoch: u64,
    first: u64,
    last: u64,
    received: i64,
    synced: u64,
}

fn put(meta: &Meta, payload: &[u8], offset: u64, out: &mut Vec<u8>) {
    let length = u32::try_from(BODY_HEAD + payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(FRAME_MAGIC);
    out.extend_from_slice(&length.to_le_bytes());
    let crc_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let body_at = out.len();
    out.extend_from_slice(&[meta.kind, meta.class, 0, 0]);
    for word in [meta.agent, meta.epoch, meta.first, meta.last, meta.received as u64, meta.synced] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(payload);
    let crc = checksum(offset, &out[body_at..]);
    out[crc_at..body_at].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(offset: u64, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&offset.to_le_bytes()), body)
}

/// Length in the log of the frame that begins here, by its own word.
pub(crate) fn length_of(bytes: &[u8]) -> Option<usize> {
    if bytes.get(..4)? != FRAME_MAGIC {
        return None;
    }
    let length = word32(bytes, 4)? as usize;
    (BODY_HEAD..=BODY_HEAD + PAYLOAD_MAX).contains(&length).then_some(FRAME_HEAD + length)
}

/// Reads the frame at the begin of `bytes`, which lies at `offset` of the log.
pub fn parse(bytes: &Bytes, offset: u64) -> Parsed {
    if bytes.len() < FRAME_HEAD {
        return if FRAME_MAGIC.starts_with(&bytes[..bytes.len().min(4)]) { Parsed::Short } else { Parsed::Bad };
    }
    let Some(length) = length_of(bytes) else { return Parsed::Bad };
    let Some(body) = bytes.get(FRAME_HEAD..length) else { return Parsed::Short };
    if word32(bytes, 8) != Some(checksum(offset, body)) {
        return Parsed::Bad;
    }
    read_body(bytes, body, length).unwrap_or(Parsed::Bad)
}

fn read_body(bytes: &Bytes, body: &[u8], length: usize) -> Option<Parsed> {
    let synced = word64(body, 44)?;
    match *body.first()? {
        DATA => {
            let frame = Frame {
                agent: AgentId(word64(body, 4)?),
                received: Timestamp::from_ns(word64(body, 36)? as i64),
                class: Class::from_u8(*body.get(1)?)?,
                epoch: Epoch(word64(body, 12)?),
                first_seq: word64(body, 20)?,
                last_seq: word64(body, 28)?,
                bytes: bytes.slice(FRAME_HEAD + BODY_HEAD..length),
            };
            Some(Parsed::Data { frame, synced, length })
        }
        MARKS => {
            let mut marks = Marks::new();
            for mark in body.get(BODY_HEAD..)?.chunks_exact(MARK_BYTES) {
                let class = Class::from_u8(*mark.get(8)?)?;
                marks.insert((AgentId(word64(mark, 0)?), class), Watermark { epoch: Epoch(word64(mark, 9)?), seq: word64(mark, 17)? });
            }
            Some(Parsed::Marks { marks, synced, length })
        }
        _ => None,
    }
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn word64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Where the next whole frame begins after a broken place: index into `bytes`, which lies at `offset`.
pub(crate) fn resync(bytes: &Bytes, offset: u64, from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(step) = bytes.get(at..)?.windows(4).position(|w| w == FRAME_MAGIC) {
        at += step;
        if matches!(parse(&bytes.slice(at..), offset + at as u64), Parsed::Data { .. } | Parsed::Marks { .. }) {
            return Some(at);
        }
        at += 1;
    }
    None
}
