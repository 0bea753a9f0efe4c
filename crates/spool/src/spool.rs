//! The queue itself: appending, committing, evicting, acknowledging. Opening is in `recover`, reading in `read`.

use std::collections::BTreeMap;
use std::io;

use crate::control::{self, CHECKPOINT_BYTES_MAX, Hole, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::lane::{Lane, SEGMENT_LOST_MAX, Segment, heads};
use crate::record::{self, CONTROL, CONTROL_LANE, DATA, GAP, HEAD_BYTES};
use crate::{AppendError, CheckpointError, Config, Disk, IoError, LANES, Ledger, Position};

/// Control files are this long unless a snapshot needs more.
const CONTROL_BYTES: u64 = 256 * 1024;
/// Segments evicted for one new file before giving up: another process may be filling the disk.
const EVICTIONS_MAX: usize = 8;

pub(crate) struct Control<F> {
    pub file: F,
    pub name: String,
    pub size: u64,
    pub offset: u64,
    pub seq: u64,
}

/// See the head of the crate.
pub struct Spool<D: Disk> {
    pub(crate) disk: D,
    pub(crate) config: Config,
    pub(crate) epoch: u64,
    pub(crate) lanes: [Lane<D::File>; LANES],
    /// `None` after a failed write: the next record begins a new file.
    pub(crate) control: Option<Control<D::File>>,
    /// Older control files still there, oldest first: name and size.
    pub(crate) control_older: Vec<(String, u64)>,
    pub(crate) checkpoints: BTreeMap<String, Vec<u8>>,
    pub(crate) fresh_checkpoints: BTreeMap<String, Vec<u8>>,
    /// Files to be removed: name and size.
    pub(crate) doomed: Vec<(String, u64)>,
    pub(crate) next_index: u64,
    pub(crate) dir_dirty: bool,
}

pub(crate) fn fail<T>(what: &'static str, result: io::Result<T>) -> Result<T, IoError> {
    result.map_err(|source| IoError { what, source })
}

impl<D: Disk> Spool<D> {
    /// Epoch of the records appended in this life of the spool.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Adds a record to a lane and returns its number. In memory until `commit`; commits by itself when `pending_bytes_max` is reached,
    /// so commit after each group that must become durable together with its checkpoint.
    pub fn append(&mut self, lane: u8, time_ns: i64, payload: &[u8]) -> Result<u64, AppendError> {
        self.lanes.get(usize::from(lane)).ok_or(AppendError::Lane(lane))?;
        if payload.len() > self.config.payload_bytes_max as usize {
            let seq = self.declare(lane, time_ns, 1, "oversize")?;
            return Err(AppendError::Oversize { seq, bytes: payload.len(), bytes_max: self.config.payload_bytes_max });
        }
        self.push(lane, time_ns, DATA, 1, payload)
    }

    /// Declares `count` observations gone before they became records (`reason`: one word, cut at 64 bytes). They get numbers, so that
    /// the collector hears of them in order; the first number is returned. A count of 0 is taken as 1.
    pub fn declare(&mut self, lane: u8, time_ns: i64, count: u64, reason: &str) -> Result<u64, AppendError> {
        let count = count.clamp(1, 1 << 48);
        self.push(lane, time_ns, GAP, count, &record::gap_payload(count, reason))
    }

    fn push(&mut self, id: u8, time_ns: i64, kind: u8, count: u64, payload: &[u8]) -> Result<u64, AppendError> {
        let bytes = HEAD_BYTES + payload.len();
        let room = self.make_memory(id, bytes);
        let epoch = self.epoch;
        let lane = self.lanes.get_mut(usize::from(id)).ok_or(AppendError::Lane(id))?;
        let seq = lane.give(epoch, count);
        if kind == GAP || !room {
            lane.lost += count;
        }
        if !room {
            lane.add_hole(Hole { epoch, first: seq, last: seq + count - 1, reason: "refused".into() });
            return Err(AppendError::Refused { seq });
        }
        record::put(&mut lane.pending, id, kind, epoch, seq, time_ns, payload);
        lane.pending_data += u64::from(kind == DATA);
        Ok(seq)
    }

    /// Memory for `bytes` more: by a commit, else by giving up what waits in lower lanes.
    fn make_memory(&mut self, lane: u8, bytes: usize) -> bool {
        let max = self.config.pending_bytes_max as usize;
        if self.pending_bytes() + bytes <= max {
            return true;
        }
        // What went wrong is said by the caller's own next commit.
        let _ = self.commit();
        for lower in (usize::from(lane) + 1..LANES).rev() {
            if self.pending_bytes() + bytes <= max {
                return true;
            }
            self.lanes[lower].drop_pending(0, "refused");
        }
        self.pending_bytes() + bytes <= max
    }

    /// A position to resume from: durable together with all records before it. An empty value removes the key.
    pub fn checkpoint(&mut self, key: &str, value: &[u8]) -> Result<(), CheckpointError> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(CheckpointError::Key(key.len()));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(CheckpointError::Value(value.len()));
        }
        let bytes: usize = self.checkpoints.iter().chain(&self.fresh_checkpoints).map(|(k, v)| k.len() + v.len()).sum();
        if !value.is_empty() && bytes + key.len() + value.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError::Full(CHECKPOINT_BYTES_MAX));
        }
        self.fresh_checkpoints.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    /// True if `commit` has something to do.
    pub fn is_dirty(&self) -> bool {
        let lane =
            |l: &Lane<D::File>| !l.pending.is_empty() || l.end() != l.committed || l.cursor != l.cursor_saved || !l.fresh_holes.is_empty();
        !self.fresh_checkpoints.is_empty() || self.lanes.iter().any(lane)
    }

    /// Bytes in memory, waiting for `commit`.
    pub fn pending_bytes(&self) -> usize {
        self.lanes.iter().map(|l| l.pending.len()).sum()
    }

    /// Makes all appended records and checkpoints durable, as one. After an error nothing is lost: call again.
    pub fn commit(&mut self) -> Result<(), IoError> {
        if !self.is_dirty() {
            return Ok(());
        }
        for lane in 0..LANES {
            self.write_lane(lane)?;
        }
        self.write_control(true)?;
        self.free();
        Ok(())
    }

    /// Acknowledged up to `upto`. Durable with the next commit; a lost cursor only means re-sending.
    pub fn acknowledge(&mut self, lane: u8, upto: Position) {
        if let Some(lane) = self.lanes.get_mut(usize::from(lane)) {
            lane.acknowledge(upto);
        }
    }

    /// Acknowledged up to here, a lane.
    pub fn cursors(&self) -> [Position; LANES] {
        std::array::from_fn(|n| self.lanes[n].cursor)
    }
    /// Last number given out, a lane.
    pub fn ends(&self) -> [Position; LANES] {
        std::array::from_fn(|n| self.lanes[n].end())
    }
    /// Account of each lane over the life of the spool.
    pub fn ledger(&self) -> [Ledger; LANES] {
        std::array::from_fn(|n| self.lanes[n].ledger())
    }
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        let segments: u64 = self.lanes.iter().flat_map(|l| &l.segments).map(|s| s.size).sum();
        let control = self.control.as_ref().map_or(0, |c| c.size);
        segments + control + self.control_older.iter().chain(&self.doomed).map(|(_, size)| size).sum::<u64>()
    }

    // ---- data segments ----

    /// Writes and syncs what waits in memory for a lane. A write or sync that fails poisons the segment: its bytes since the last good
    /// sync may be gone even where they can still be read, so the records go to a new segment instead.
    fn write_lane(&mut self, n: usize) -> Result<(), IoError> {
        for attempt in 0..2 {
            let lane = &mut self.lanes[n];
            if lane.pending.is_empty() {
                lane.written = lane.end();
                return Ok(());
            }
            let safe = lane.segments.back().map(|s| (s.index, s.last, s.bytes, s.lost.clone()));
            let pending = std::mem::take(&mut lane.pending);
            let result = self.write_pending(n, &pending);
            let lane = &mut self.lanes[n];
            lane.pending = pending;
            match result {
                Ok(None) => lane.pending.clear(),
                Ok(Some(at)) => {
                    lane.drop_pending(at, "full");
                    lane.pending.clear();
                }
                Err(e) => {
                    self.roll_back(n, safe);
                    if attempt == 1 {
                        return Err(e);
                    }
                    continue;
                }
            }
            lane.pending.shrink_to(self.config.pending_bytes_max as usize / 4);
            lane.pending_data = 0;
            lane.written = lane.end();
            return Ok(());
        }
        Ok(())
    }

    /// `Some(at)`: from byte `at` on there was no space.
    fn write_pending(&mut self, n: usize, pending: &[u8]) -> Result<Option<usize>, IoError> {
        let mut at = 0;
        while let Some((head, _)) = heads(pending, at).next() {
            if self.lanes[n].active.is_none() && !self.begin_segment(n, head.epoch, head.seq)? {
                break;
            }
            let lane = &mut self.lanes[n];
            let (Some(segment), Some(file)) = (lane.segments.back_mut(), lane.active.as_mut()) else { break };
            let mut end = at;
            let (mut last, mut lost) = (segment.last, segment.lost.clone());
            for (head, next) in heads(pending, at) {
                if segment.bytes + (next - at) as u64 > segment.size || lost.len() >= SEGMENT_LOST_MAX {
                    break;
                }
                lost.add(last + 1, head.seq - 1);
                if head.kind == GAP {
                    lost.add(head.seq, head.last);
                }
                (end, last) = (next, head.last);
            }
            if end == at {
                self.seal(n)?;
                continue;
            }
            fail("write a segment", self.disk.write_at(file, segment.bytes, pending.get(at..end).unwrap_or_default()))?;
            segment.bytes += (end - at) as u64;
            (segment.last, segment.lost) = (last, lost);
            at = end;
        }
        if let Some(file) = &mut self.lanes[n].active {
            fail("sync a segment", self.disk.sync(file))?;
        }
        Ok((at < pending.len()).then_some(at))
    }

    /// Ends the active segment and gives back the space it did not use.
    fn seal(&mut self, n: usize) -> Result<(), IoError> {
        let lane = &mut self.lanes[n];
        if let (Some(mut file), Some(segment)) = (lane.active.take(), lane.segments.back_mut()) {
            if self.disk.set_len(&mut file, segment.bytes).is_ok() {
                segment.size = segment.bytes;
            }
            fail("sync a segment", self.disk.sync(&mut file))?;
        }
        Ok(())
    }

    /// Undoes what a failed write left: new segments go, the one before is ended at its last good sync.
    fn roll_back(&mut self, n: usize, safe: Option<(u64, u64, u64, crate::ranges::Ranges)>) {
        let lane = &mut self.lanes[n];
        let file = lane.active.take();
        let keep = safe.as_ref().map_or(0, |s| s.0);
        let mut began = false;
        while lane.segments.back().is_some_and(|s| safe.is_none() || s.index > keep) {
            if let Some(segment) = lane.segments.pop_back() {
                self.doomed.push((segment.name, segment.size));
                began = true;
            }
        }
        if let (Some((index, last, bytes, lost)), Some(segment)) = (safe, lane.segments.back_mut())
            && segment.index == index
        {
            (segment.last, segment.bytes, segment.lost) = (last, bytes, lost);
            if let Some(mut file) = file.filter(|_| !began)
                && self.disk.set_len(&mut file, bytes).is_ok()
            {
                segment.size = bytes;
            }
        }
        lane.reader = None;
        self.remove_doomed();
    }

    /// A new segment for lane `n`; false if there is no space for it.
    fn begin_segment(&mut self, n: usize, epoch: u64, first: u64) -> Result<bool, IoError> {
        let size = u64::from(self.config.segment_bytes);
        loop {
            let critical: u64 = self.lanes[0].segments.iter().map(|s| s.size).sum();
            let reserved = if n == 0 { 0 } else { self.config.critical_bytes.saturating_sub(critical) };
            if self.bytes() + size + reserved <= self.config.bytes_max {
                break;
            }
            if !self.evict(n)? {
                return Ok(false);
            }
        }
        for _ in 0..=EVICTIONS_MAX {
            let index = self.next_index;
            self.next_index += 1;
            let name = segment_name(n, index, epoch, first);
            match self.disk.create(&name, size) {
                Ok(file) => {
                    let lane = &mut self.lanes[n];
                    lane.active = Some(file);
                    let lost = crate::ranges::Ranges::default();
                    lane.segments.push_back(Segment { name, index, epoch, first, last: first - 1, bytes: 0, size, lost });
                    self.dir_dirty = true;
                    return Ok(true);
                }
                Err(e) if is_full(&e) => {
                    if !self.evict(n)? {
                        return Ok(false);
                    }
                }
                Err(source) => return Err(IoError { what: "create a segment", source }),
            }
        }
        Ok(false)
    }

    /// Gives up the oldest segment of the lowest lane that is not above lane `n`; the hole is on disk before the file goes.
    fn evict(&mut self, n: usize) -> Result<bool, IoError> {
        if !self.take_victim(n) {
            return Ok(false);
        }
        self.write_control(false)?;
        self.remove_doomed();
        Ok(true)
    }

    fn take_victim(&mut self, n: usize) -> bool {
        let committed = |l: &Lane<D::File>| l.segments.front().is_some_and(|s| s.end() <= l.committed);
        let Some(lane) = self.lanes.iter_mut().skip(n).rev().find(|l| committed(l)) else { return false };
        let Some(segment) = lane.segments.pop_front() else { return false };
        if lane.segments.is_empty() {
            lane.active = None;
        }
        lane.reader.take_if(|r| r.index == segment.index);
        if let Some((first, last)) = segment.numbers_between(lane.cursor, segment.end()) {
            lane.lost += last + 1 - first - segment.lost.count_in(first, last);
            lane.add_hole(Hole { epoch: segment.epoch, first, last, reason: "evicted".into() });
        }
        self.doomed.push((segment.name, segment.size));
        true
    }

    pub(crate) fn remove_doomed(&mut self) {
        let disk = &mut self.disk;
        self.doomed.retain(|(name, _)| match disk.remove(name) {
            Ok(()) => false,
            Err(e) => e.kind() != io::ErrorKind::NotFound,
        });
    }

    /// Drops what is acknowledged; the control log has the cursor already, so a file that comes back after a crash is known as old.
    fn free(&mut self) {
        for lane in &mut self.lanes {
            while lane.segments.front().is_some_and(|s| s.end() <= lane.cursor) && !(lane.segments.len() == 1 && lane.active.is_some()) {
                if let Some(segment) = lane.segments.pop_front() {
                    lane.reader.take_if(|r| r.index == segment.index);
                    self.doomed.push((segment.name, segment.size));
                }
            }
            lane.prune(self.epoch);
        }
        self.remove_doomed();
    }

    // ---- control log ----

    /// Writes one control record. With `commit` it names what is written as committed; without, it only saves cursors and holes.
    pub(crate) fn write_control(&mut self, commit: bool) -> Result<(), IoError> {
        if self.dir_dirty {
            fail("sync the folder", self.disk.sync_dir())?;
            self.dir_dirty = false;
        }
        let mut payload = Vec::new();
        for lane in &self.lanes {
            lane.put_state(&mut payload, commit);
            lane.fresh_holes.iter().for_each(|h| control::put_hole(&mut payload, lane.id, h));
        }
        if commit {
            self.fresh_checkpoints.iter().for_each(|(k, v)| control::put_checkpoint(&mut payload, k, v));
        }
        match self.control.take_if(|c| c.offset + (HEAD_BYTES + payload.len()) as u64 > c.size) {
            Some(full) => self.control_older.push((full.name, full.size)),
            None if self.control.is_some() => {}
            None => return self.roll_control(commit),
        }
        let Some(mut control) = self.control.take() else { return self.roll_control(commit) };
        let mut bytes = Vec::new();
        record::put(&mut bytes, CONTROL_LANE, CONTROL, self.epoch, control.seq + 1, 0, &payload);
        let result = self.disk.write_at(&mut control.file, control.offset, &bytes).and_then(|()| self.disk.sync(&mut control.file));
        if let Err(source) = result {
            // The record may or may not be there: either is fine, but nothing may follow it in this file.
            self.control_older.push((control.name, control.size));
            return Err(IoError { what: "write the control log", source });
        }
        control.offset += bytes.len() as u64;
        control.seq += 1;
        self.control = Some(control);
        self.controlled(commit);
        Ok(())
    }

    /// Begins a new control file with a snapshot of everything.
    pub(crate) fn roll_control(&mut self, commit: bool) -> Result<(), IoError> {
        let mut payload = Vec::new();
        control::put_snapshot(&mut payload);
        let empty = BTreeMap::new();
        let fresh = if commit { &self.fresh_checkpoints } else { &empty };
        self.checkpoints.iter().filter(|(k, _)| !fresh.contains_key(*k)).for_each(|(k, v)| control::put_checkpoint(&mut payload, k, v));
        fresh.iter().for_each(|(k, v)| control::put_checkpoint(&mut payload, k, v));
        for lane in &self.lanes {
            let upto = if commit { lane.written } else { lane.committed };
            lane.spans.iter().filter(|s| s.epoch < upto.epoch).for_each(|s| control::put_span(&mut payload, lane.id, *s));
            lane.holes.iter().for_each(|h| control::put_hole(&mut payload, lane.id, h));
            lane.put_state(&mut payload, commit);
        }
        let mut bytes = Vec::new();
        record::put(&mut bytes, CONTROL_LANE, CONTROL, self.epoch, 1, 0, &payload);
        let size = CONTROL_BYTES.min(u64::from(self.config.segment_bytes)).max(bytes.len() as u64 * 4);
        let (name, mut file) = self.create_control(size)?;
        let mut write = || {
            self.disk.write_at(&mut file, 0, &bytes)?;
            self.disk.sync(&mut file)?;
            self.disk.sync_dir()
        };
        if let Err(source) = write() {
            self.control_older.push((name, size));
            return Err(IoError { what: "begin a control log", source });
        }
        self.dir_dirty = false;
        self.control = Some(Control { file, name, size, offset: bytes.len() as u64, seq: 1 });
        // The one before stays, in case this snapshot is damaged one day.
        let older = self.control_older.len().saturating_sub(1);
        self.doomed.extend(self.control_older.drain(..older));
        self.remove_doomed();
        self.controlled(commit);
        Ok(())
    }

    fn create_control(&mut self, size: u64) -> Result<(String, D::File), IoError> {
        for _ in 0..=EVICTIONS_MAX {
            let name = control_name(self.next_index, self.epoch);
            self.next_index += 1;
            match self.disk.create(&name, size) {
                Ok(file) => return Ok((name, file)),
                // The hole cannot be written first, there being no place for it: after a crash it is found instead, as `damaged`.
                Err(e) if is_full(&e) && self.take_victim(0) => self.remove_doomed(),
                Err(source) => return Err(IoError { what: "create a control log", source }),
            }
        }
        Err(IoError { what: "create a control log", source: io::ErrorKind::StorageFull.into() })
    }

    fn controlled(&mut self, commit: bool) {
        for lane in &mut self.lanes {
            lane.cursor_saved = lane.cursor;
            lane.fresh_holes.clear();
            if commit {
                lane.committed = lane.written;
                lane.produced_committed = lane.produced;
            }
        }
        if commit {
            for (key, value) in std::mem::take(&mut self.fresh_checkpoints) {
                if value.is_empty() {
                    self.checkpoints.remove(&key);
                } else {
                    self.checkpoints.insert(key, value);
                }
            }
        }
    }
}

impl<F> Lane<F> {
    fn put_state(&self, out: &mut Vec<u8>, commit: bool) {
        let (upto, produced) = if commit { (self.written, self.produced) } else { (self.committed, self.produced_committed) };
        control::put_lane(out, self.id, upto, self.cursor, produced, self.acknowledged);
    }
}

pub(crate) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

pub(crate) fn segment_name(lane: usize, index: u64, epoch: u64, first: u64) -> String {
    format!("{lane}-{index:010}-{epoch}-{first}.seg")
}

pub(crate) fn control_name(index: u64, epoch: u64) -> String {
    format!("ctl-{index:010}-{epoch}.log")
}
