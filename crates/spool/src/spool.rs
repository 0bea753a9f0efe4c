//! (interface; bodies in memory)
use crate::*;
use std::collections::VecDeque;

/// See the head of the crate.
pub struct Spool<D: Disk> {
    _disk: D,
    config: Config,
    epoch: u64,
    lanes: [(VecDeque<Record>, Position, Ledger, u64, usize); LANES],
    checkpoints: Vec<(String, Vec<u8>)>,
}

impl<D: Disk> Spool<D> {
    /// Opens or begins a spool. `now_secs` is unix time: the new epoch is that or one more than the last, whichever is higher.
    pub fn open(disk: D, config: Config, now_secs: u64) -> Result<(Self, Recovery), OpenError> {
        let epoch = now_secs.max(1);
        Ok((
            Self { _disk: disk, config, epoch, lanes: Default::default(), checkpoints: Vec::new() },
            Recovery { epoch, ..Recovery::default() },
        ))
    }
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
    /// Adds a record to a lane and returns its number. In memory until `commit`.
    pub fn append(&mut self, lane: u8, time_ns: i64, payload: &[u8]) -> Result<u64, AppendError> {
        let (epoch, max) = (self.epoch, self.config.payload_bytes_max);
        let (records, _, ledger, seq, _) = self.lanes.get_mut(usize::from(lane)).ok_or(AppendError::Lane(lane))?;
        *seq += 1;
        ledger.produced += 1;
        let oversize = payload.len() > max as usize;
        let kind = if oversize { RecordKind::Gap { count: 1, reason: "oversize".into() } } else { RecordKind::Data(payload.to_vec()) };
        records.push_back(Record { lane, epoch, seq: *seq, time_ns, kind });
        if oversize {
            ledger.lost += 1;
            return Err(AppendError::Oversize { seq: *seq, bytes: payload.len(), bytes_max: max });
        }
        ledger.spooled += 1;
        Ok(*seq)
    }
    /// Declares `count` observations gone before they became records (`reason`: one word, cut at 64 bytes). They get numbers, so that
    /// the collector hears of them in order; the first number is returned.
    pub fn declare(&mut self, lane: u8, time_ns: i64, count: u64, reason: &str) -> Result<u64, AppendError> {
        let epoch = self.epoch;
        let (records, _, ledger, seq, _) = self.lanes.get_mut(usize::from(lane)).ok_or(AppendError::Lane(lane))?;
        let first = *seq + 1;
        *seq += count;
        ledger.produced += count;
        ledger.lost += count;
        records.push_back(Record { lane, epoch, seq: first, time_ns, kind: RecordKind::Gap { count, reason: reason.to_owned().into() } });
        Ok(first)
    }
    /// A position to resume from: durable together with all records before it. An empty value removes the key.
    pub fn checkpoint(&mut self, key: &str, value: &[u8]) -> Result<(), CheckpointError> {
        self.checkpoints.retain(|(k, _)| k != key);
        self.checkpoints.push((key.to_owned(), value.to_vec()));
        Ok(())
    }
    /// True if `commit` has something to do.
    pub fn is_dirty(&self) -> bool {
        self.lanes.iter().any(|l| l.4 < l.0.len())
    }
    /// Bytes waiting for `commit`.
    pub fn pending_bytes(&self) -> usize {
        0
    }
    /// Makes all appended records and checkpoints durable. After an error nothing is lost: call again.
    pub fn commit(&mut self) -> Result<(), IoError> {
        for lane in &mut self.lanes {
            lane.4 = lane.0.len();
        }
        Ok(())
    }
    /// Committed records of `lane` after `after` (never before the cursor), all of one epoch, at least one if there is any, then up to
    /// about `bytes_max` payload bytes.
    pub fn read(&mut self, lane: u8, after: Position, bytes_max: usize) -> Result<Vec<Record>, IoError> {
        let Some((records, cursor, _, _, committed)) = self.lanes.get(usize::from(lane)) else { return Ok(Vec::new()) };
        let after = after.max(*cursor);
        let mut bytes = 0;
        Ok(records
            .iter()
            .take(*committed)
            .filter(|r| r.position() > after)
            .take_while(|r| {
                let go = bytes < bytes_max;
                bytes += if let RecordKind::Data(p) = &r.kind { p.len() } else { 0 };
                go
            })
            .cloned()
            .collect())
    }
    /// The collector has everything of `lane` up to `upto`. Durable with the next commit; a lost cursor only means re-sending.
    pub fn acknowledge(&mut self, lane: u8, upto: Position) {
        let Some((records, cursor, ledger, _, committed)) = self.lanes.get_mut(usize::from(lane)) else { return };
        while let Some(r) = records.front().filter(|r| r.position() <= upto) {
            if matches!(r.kind, RecordKind::Data(_)) {
                ledger.acknowledged += 1;
                ledger.spooled -= 1;
            }
            *committed -= 1;
            records.pop_front();
        }
        *cursor = upto.max(*cursor);
    }
    /// Acknowledged up to here, a lane.
    pub fn cursors(&self) -> [Position; LANES] {
        std::array::from_fn(|n| self.lanes[n].1)
    }
    /// Last number given out, a lane.
    pub fn ends(&self) -> [Position; LANES] {
        std::array::from_fn(|n| Position { epoch: self.epoch, seq: self.lanes[n].3 })
    }
    pub fn ledger(&self) -> [Ledger; LANES] {
        std::array::from_fn(|n| self.lanes[n].2)
    }
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        0
    }
}
