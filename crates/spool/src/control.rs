//! The control log: cursors, commit points, declared holes and checkpoints.
//!
//! One file at a time, of records like any other (`record`). Each record is one commit: what was appended to the data segments
//! counts only from the moment the commit record that names its last number is on disk, so records of all lanes and the
//! checkpoints given after them become durable together. A file begins with a snapshot of everything, which is why older
//! files can go; one older file is kept in case the snapshot is damaged later.
//!
//! Entries of a record's payload, each led by a tag byte, little endian:
//! ```text
//! 0 snapshot       forget checkpoints, spans and holes read so far
//! 1 lane           u8 lane, u64 epoch, last, cursor epoch, cursor seq, produced, acknowledged
//! 2 span           u8 lane, u64 epoch, last
//! 3 hole           u8 lane, u64 epoch, first, last, u8 length, reason
//! 4 checkpoint     u8 length, key, u16 length, value (empty: removed)
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::record::{NUMBER_MAX, REASON_BYTES_MAX, u64_at};
use crate::{LANES, Position};

pub const KEY_BYTES_MAX: usize = 255;
pub const VALUE_BYTES_MAX: usize = 4096;
/// All keys and values together.
pub const CHECKPOINT_BYTES_MAX: usize = 1024 * 1024;

/// Numbers of one epoch in one lane: 1 to `last` were committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub epoch: u64,
    pub last: u64,
}

/// Numbers that are gone, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    pub epoch: u64,
    pub first: u64,
    pub last: u64,
    pub reason: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneState {
    pub cursor: Position,
    pub produced: u64,
    pub acknowledged: u64,
    /// By epoch; those wholly behind the cursor are left out in time.
    pub spans: BTreeMap<u64, u64>,
    pub holes: Vec<Hole>,
}

/// What the control log says, replayed from its records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub lanes: [LaneState; LANES],
    pub checkpoints: BTreeMap<String, Vec<u8>>,
}

pub fn put_snapshot(out: &mut Vec<u8>) {
    out.push(0);
}

pub fn put_lane(out: &mut Vec<u8>, lane: u8, committed: Position, cursor: Position, produced: u64, acknowledged: u64) {
    out.extend_from_slice(&[1, lane]);
    for n in [committed.epoch, committed.seq, cursor.epoch, cursor.seq, produced, acknowledged] {
        out.extend_from_slice(&n.to_le_bytes());
    }
}

pub fn put_span(out: &mut Vec<u8>, lane: u8, span: Span) {
    out.extend_from_slice(&[2, lane]);
    out.extend_from_slice(&span.epoch.to_le_bytes());
    out.extend_from_slice(&span.last.to_le_bytes());
}

pub fn put_hole(out: &mut Vec<u8>, lane: u8, hole: &Hole) {
    out.extend_from_slice(&[3, lane]);
    for n in [hole.epoch, hole.first, hole.last] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    let reason = hole.reason.as_bytes();
    let reason = reason.get(..REASON_BYTES_MAX).unwrap_or(reason);
    out.push(reason.len() as u8);
    out.extend_from_slice(reason);
}

pub fn put_checkpoint(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(&[4, key.len() as u8]);
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
}

impl State {
    /// Applies one record; false if it says what this program does not know (the rest of it is passed over).
    pub fn apply(&mut self, mut payload: &[u8]) -> bool {
        while !payload.is_empty() {
            match self.entry(payload) {
                Some(rest) => payload = rest,
                None => return false,
            }
        }
        true
    }

    fn entry<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let number = |at: usize| u64_at(bytes, at).filter(|n| *n <= NUMBER_MAX);
        let lane = |at: usize| bytes.get(at).map(|n| usize::from(*n)).filter(|n| *n < LANES);
        match bytes.first()? {
            0 => {
                self.checkpoints.clear();
                for lane in &mut self.lanes {
                    lane.spans.clear();
                    lane.holes.clear();
                }
                bytes.get(1..)
            }
            1 => {
                let state = self.lanes.get_mut(lane(1)?)?;
                let n = |at: usize| number(2 + 8 * at);
                let (epoch, last) = (n(0)?, n(1)?);
                (state.cursor, state.produced, state.acknowledged) = (Position::new(n(2)?, n(3)?), n(4)?, n(5)?);
                if last > 0 {
                    state.spans.insert(epoch, last);
                }
                state.prune();
                bytes.get(50..)
            }
            2 => {
                let state = self.lanes.get_mut(lane(1)?)?;
                state.spans.insert(number(2)?, number(10)?);
                bytes.get(18..)
            }
            3 => {
                let state = self.lanes.get_mut(lane(1)?)?;
                let end = 27 + usize::from(*bytes.get(26)?);
                let reason = String::from_utf8_lossy(bytes.get(27..end)?).into_owned().into();
                let (epoch, first, last) = (number(2)?, number(10)?, number(18)?);
                if first > last {
                    return None;
                }
                state.holes.push(Hole { epoch, first, last, reason });
                bytes.get(end..)
            }
            4 => {
                let key_end = 2 + usize::from(*bytes.get(1)?);
                let key = String::from_utf8_lossy(bytes.get(2..key_end)?).into_owned();
                let len = u16::from_le_bytes(bytes.get(key_end..key_end + 2)?.try_into().ok()?);
                let end = key_end + 2 + usize::from(len);
                let value = bytes.get(key_end + 2..end)?;
                if value.is_empty() {
                    self.checkpoints.remove(&key);
                } else {
                    self.checkpoints.insert(key, value.to_vec());
                }
                bytes.get(end..)
            }
            _ => None,
        }
    }
}

impl LaneState {
    fn prune(&mut self) {
        let cursor = self.cursor;
        self.spans.retain(|epoch, last| Position::new(*epoch, *last) > cursor);
        self.holes.retain(|h| Position::new(h.epoch, h.last) > cursor);
    }
}
