//! One lane: its segments, its cursor, its account. Arithmetic only; the files are the business of `spool`.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::control::{Hole, Span};
use crate::ranges::Ranges;
use crate::record::{self, GAP, HEAD_BYTES};
use crate::{Ledger, Position};

/// Holes whose reasons are remembered; a forgotten one is declared as `damaged`.
const HOLES_MAX: usize = 256;
/// Ranges of losses in one segment; a segment with more is ended early.
pub const SEGMENT_LOST_MAX: usize = 1024;

/// One file of records of one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub name: String,
    pub index: u64,
    pub epoch: u64,
    pub first: u64,
    /// `first - 1` while empty.
    pub last: u64,
    /// Bytes of records, and of the file.
    pub bytes: u64,
    pub size: u64,
    /// Numbers within that are no data.
    pub lost: Ranges,
}

impl Segment {
    pub fn end(&self) -> Position {
        Position::new(self.epoch, self.last)
    }

    /// Data records after `after`, up to and including `upto`.
    pub fn data_between(&self, after: Position, upto: Position) -> u64 {
        let Some((first, last)) = self.numbers_between(after, upto) else { return 0 };
        last + 1 - first - self.lost.count_in(first, last)
    }

    /// The numbers of this segment after `after`, up to and including `upto`.
    pub fn numbers_between(&self, after: Position, upto: Position) -> Option<(u64, u64)> {
        let first = match self.epoch.cmp(&after.epoch) {
            std::cmp::Ordering::Less => return None,
            std::cmp::Ordering::Equal => self.first.max(after.seq + 1),
            std::cmp::Ordering::Greater => self.first,
        };
        let last = match self.epoch.cmp(&upto.epoch) {
            std::cmp::Ordering::Less => self.last,
            std::cmp::Ordering::Equal => self.last.min(upto.seq),
            std::cmp::Ordering::Greater => return None,
        };
        (first <= last).then_some((first, last))
    }
}

/// Where the last read ended, so that the next one need not search.
#[derive(Debug)]
pub struct Reader<F> {
    pub index: u64,
    pub file: F,
    pub offset: u64,
    /// The last number before `offset`.
    pub seq: u64,
}

#[derive(Debug)]
pub struct Lane<F> {
    pub id: u8,
    /// Numbers given out, by epoch, oldest first; `last` counts what is not committed too.
    pub spans: VecDeque<Span>,
    pub cursor: Position,
    /// The cursor the control log has.
    pub cursor_saved: Position,
    /// In a data file and synced, but not yet named by a commit record.
    pub written: Position,
    pub committed: Position,
    pub segments: VecDeque<Segment>,
    /// The last segment, open for appending.
    pub active: Option<F>,
    pub holes: VecDeque<Hole>,
    /// Holes the control log does not have yet; few, since neighbours join and each commit clears them.
    pub fresh_holes: Vec<Hole>,
    /// Encoded records that are in no file yet.
    pub pending: Vec<u8>,
    pub pending_data: u64,
    pub produced: u64,
    pub produced_committed: u64,
    pub acknowledged: u64,
    pub lost: u64,
    pub reader: Option<Reader<F>>,
    /// Segment that could not be read, and how often in a row.
    pub unreadable: (u64, u32),
}

impl<F> Lane<F> {
    pub fn new(id: u8) -> Self {
        Self {
            id,
            spans: VecDeque::new(),
            cursor: Position::START,
            cursor_saved: Position::START,
            written: Position::START,
            committed: Position::START,
            segments: VecDeque::new(),
            active: None,
            holes: VecDeque::new(),
            fresh_holes: Vec::new(),
            pending: Vec::new(),
            pending_data: 0,
            produced: 0,
            produced_committed: 0,
            acknowledged: 0,
            lost: 0,
            reader: None,
            unreadable: (0, 0),
        }
    }

    /// Last number given out.
    pub fn end(&self) -> Position {
        self.spans.back().map_or(self.cursor, |s| Position::new(s.epoch, s.last).max(self.cursor))
    }

    /// Gives out `count` numbers of `epoch`; the first.
    pub fn give(&mut self, epoch: u64, count: u64) -> u64 {
        self.produced += count;
        match self.spans.back_mut().filter(|s| s.epoch == epoch) {
            Some(span) => {
                span.last += count;
                span.last + 1 - count
            }
            None => {
                self.spans.push_back(Span { epoch, last: count });
                1
            }
        }
    }

    pub fn ledger(&self) -> Ledger {
        Ledger { produced: self.produced, acknowledged: self.acknowledged, spooled: self.spooled(), lost: self.lost }
    }

    /// Counted from what is there, not from what should be: the law must be able to fail.
    pub fn spooled(&self) -> u64 {
        let end = Position::new(u64::MAX, u64::MAX);
        self.segments.iter().map(|s| s.data_between(self.cursor, end)).sum::<u64>() + self.pending_data
    }

    pub fn acknowledge(&mut self, upto: Position) {
        let upto = upto.min(self.committed);
        if upto <= self.cursor {
            return;
        }
        self.acknowledged += self.segments.iter().map(|s| s.data_between(self.cursor, upto)).sum::<u64>();
        self.cursor = upto;
    }

    /// Numbers that are gone from now on. Neighbours with the same reason are one hole.
    pub fn add_hole(&mut self, hole: Hole) {
        if !joined(self.fresh_holes.last_mut(), &hole) {
            self.fresh_holes.push(hole.clone());
        }
        self.remember_hole(hole);
    }

    pub fn remember_hole(&mut self, hole: Hole) {
        if joined(self.holes.back_mut(), &hole) {
            return;
        }
        self.holes.push_back(hole);
        if self.holes.len() > HOLES_MAX {
            self.holes.pop_front();
        }
    }

    /// Why number `first` is gone, and up to where (at most `last`) that holds.
    pub fn hole_at(&self, epoch: u64, first: u64, last: u64) -> (u64, Cow<'static, str>) {
        if let Some(hole) = self.holes.iter().find(|h| h.epoch == epoch && h.first <= first && first <= h.last) {
            return (last.min(hole.last), hole.reason.clone());
        }
        let next = self.holes.iter().filter(|h| h.epoch == epoch && h.first > first).map(|h| h.first - 1).min();
        (last.min(next.unwrap_or(last)), Cow::Borrowed("damaged"))
    }

    pub fn is_hole(&self, epoch: u64, first: u64, last: u64) -> bool {
        let mut at = first;
        while at <= last {
            match self.holes.iter().find(|h| h.epoch == epoch && h.first <= at && at <= h.last) {
                Some(hole) => at = hole.last + 1,
                None => return false,
            }
        }
        true
    }

    /// Counts numbers of a segment as lost that were thought to be data, and remembers them.
    pub fn lose_in_segment(&mut self, index: u64, first: u64, last: u64, reason: &'static str) {
        let Some(segment) = self.segments.iter_mut().find(|s| s.index == index) else { return };
        // What is acknowledged is not lost, whatever became of its bytes.
        let Some((from, to)) = segment.numbers_between(self.cursor, segment.end()) else { return };
        let (first, last) = (first.max(from), last.min(to));
        if first > last {
            return;
        }
        let fresh = last + 1 - first - segment.lost.count_in(first, last);
        if fresh == 0 {
            return;
        }
        self.lost += fresh;
        segment.lost.add(first, last);
        let epoch = segment.epoch;
        self.add_hole(Hole { epoch, first, last, reason: Cow::Borrowed(reason) });
    }

    /// Gives up what waits in memory from byte `at` on: the numbers become a hole.
    pub fn drop_pending(&mut self, at: usize, reason: &'static str) {
        let mut first = None;
        let mut data = 0;
        for (head, _) in heads(&self.pending, at) {
            first.get_or_insert((head.epoch, head.seq));
            data += u64::from(head.kind != GAP);
        }
        self.pending.truncate(at);
        self.pending_data -= data;
        self.lost += data;
        if let Some((epoch, first)) = first {
            let last = self.end().seq;
            self.add_hole(Hole { epoch, first, last, reason: Cow::Borrowed(reason) });
        }
    }

    /// Forgets what lies behind the cursor; `epoch` is the current one.
    pub fn prune(&mut self, epoch: u64) {
        let cursor = self.cursor;
        while self.spans.front().is_some_and(|s| s.epoch != epoch && Position::new(s.epoch, s.last) <= cursor) {
            self.spans.pop_front();
        }
        self.holes.retain(|h| Position::new(h.epoch, h.last) > cursor);
    }
}

/// True if the hole is now a part of the one before it.
fn joined(back: Option<&mut Hole>, hole: &Hole) -> bool {
    let Some(back) = back.filter(|b| b.epoch == hole.epoch && b.reason == hole.reason) else { return false };
    let touches = hole.first >= back.first && hole.first <= back.last + 1;
    if touches {
        back.last = back.last.max(hole.last);
    }
    touches
}

/// What a record in memory says of itself; written by us, so not verified.
pub struct Head {
    pub epoch: u64,
    pub seq: u64,
    pub last: u64,
    pub kind: u8,
}

/// The records in `bytes` from `at` on, each with the offset after it.
pub fn heads(bytes: &[u8], mut at: usize) -> impl Iterator<Item = (Head, usize)> + '_ {
    std::iter::from_fn(move || {
        let end = at + record::claimed_len(bytes, at)?;
        let (epoch, seq) = (record::u64_at(bytes, at + 8)?, record::u64_at(bytes, at + 16)?);
        let kind = *bytes.get(at + 32)?;
        let last = if kind == GAP { seq + record::gap_count(bytes.get(at + HEAD_BYTES..end)?) - 1 } else { seq };
        at = end;
        Some((Head { epoch, seq, last, kind }, end))
    })
}
