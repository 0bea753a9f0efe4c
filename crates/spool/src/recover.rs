//! Opening: the files are walked, and what they say is the truth. There is no index to disagree with.
//!
//! 1. The control log gives cursors, checkpoints, declared holes, and the last committed number of each (lane, epoch).
//! 2. Each segment is walked. Records past the commit point are cut: they and the checkpoints after them were never durable
//!    together, and their source will hand them over again. Where the end of the control log itself is damaged, the last commit record may
//!    be missing, and then they are kept: rather twice than never.
//! 3. What was committed and is not there is damage: recorded, counted, declared.
//! 4. A new control file with a snapshot of all that begins the new epoch.

use std::collections::BTreeMap;

use crate::control::{Hole, Span, State};
use crate::lane::{Lane, Segment};
use crate::record::{self, CONTROL_LANE, NUMBER_MAX, Owner};
use crate::spool::{Spool, fail};
use crate::{Config, Damage, Disk, IoError, LANES, OpenError, Position, Recovery};

/// Epochs of unsent records a lane remembers; past it the oldest are given up (an agent that restarts for weeks without a collector).
const SPANS_MAX: usize = 1024;
/// Damage reports kept for people; the account counts all.
const DAMAGE_MAX: usize = 256;
/// Unreadable blocks are read as zeros, so that a bad sector costs its records only.
const BLOCK_BYTES: usize = 4096;
const BLOCK_TRIES: u32 = 4;

/// A name of ours.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Segment { lane: usize, index: u64, epoch: u64, first: u64 },
    Control { index: u64, epoch: u64 },
    Bad,
}

fn parse(name: &str) -> Option<Name> {
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let number = |text: &str| digits(text).filter(|n| *n <= NUMBER_MAX);
    if name.ends_with(".bad") {
        return Some(Name::Bad);
    }
    let (stem, extension) = name.rsplit_once('.')?;
    let parts: Vec<&str> = stem.split('-').collect();
    match (extension, parts.as_slice()) {
        ("log", ["ctl", index, epoch]) => Some(Name::Control { index: number(index)?, epoch: number(epoch)? }),
        ("seg", [lane, index, epoch, first]) => {
            let lane = usize::try_from(number(lane)?).ok().filter(|l| *l < LANES)?;
            let first = number(first).filter(|n| *n > 0)?;
            Some(Name::Segment { lane, index: number(index)?, epoch: number(epoch)?, first })
        }
        _ => None,
    }
}

impl<D: Disk> Spool<D> {
    /// Opens or begins a spool. `now_secs` is unix time: the new epoch is that, or one more than the last, whichever is higher.
    pub fn open(mut disk: D, config: Config, now_secs: u64) -> Result<(Self, Recovery), OpenError> {
        let segment = u64::from(config.segment_bytes);
        let too_long = u64::from(config.payload_bytes_max) * 2 > segment || config.payload_bytes_max > config.pending_bytes_max / 2;
        if config.bytes_max < segment * 8 || too_long || config.critical_bytes > config.bytes_max / 2 {
            return Err(OpenError::Config { bytes_max: config.bytes_max, segment_bytes: config.segment_bytes });
        }
        let mut names: Vec<(String, Name)> = Vec::new();
        for name in fail("list files", disk.list())? {
            if let Some(parsed) = parse(&name) {
                names.push((name, parsed));
            }
        }
        let mut spool = Self {
            disk,
            config,
            epoch: now_secs.max(1),
            lanes: std::array::from_fn(|n| Lane::new(n as u8)),
            control: None,
            control_older: Vec::new(),
            checkpoints: BTreeMap::new(),
            fresh_checkpoints: BTreeMap::new(),
            doomed: Vec::new(),
            next_index: 1,
            dir_dirty: true,
        };
        let mut recovery = Recovery::default();
        let log = spool.read_control(&names, &mut recovery)?;
        for (name, parsed) in &names {
            match parsed {
                Name::Segment { index, epoch, .. } | Name::Control { index, epoch } => {
                    spool.next_index = spool.next_index.max(index + 1);
                    spool.epoch = spool.epoch.max(epoch + 1);
                }
                Name::Bad => {
                    // One life long is enough to look at it.
                    spool.doomed.push((name.clone(), 0));
                }
            }
        }
        for (n, state) in log.state.lanes.iter().enumerate() {
            spool.epoch = spool.epoch.max(state.spans.keys().last().map_or(0, |e| e + 1)).max(state.cursor.epoch + 1);
            spool.read_lane(n, &names, &log, &mut recovery)?;
        }
        spool.checkpoints = log.state.checkpoints;
        recovery.checkpoints = spool.checkpoints.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        recovery.records = spool.lanes.iter().map(Lane::spooled).sum();
        recovery.epoch = spool.epoch;
        spool.roll_control(true)?;
        spool.free_all();
        Ok((spool, recovery))
    }

    fn free_all(&mut self) {
        for lane in &mut self.lanes {
            lane.prune(0);
        }
        self.remove_doomed();
    }

    /// The whole file; what cannot be read is zeros, and the file is then left as it is.
    fn read_file(&mut self, name: &str) -> Result<Contents<D::File>, IoError> {
        let file = fail("open a file", self.disk.open(name))?;
        let size = fail("measure a file", self.disk.len(&file))?;
        // A file we did not write this long is not read past the length we could have given it.
        let mut bytes = vec![0; size.min(u64::from(self.config.segment_bytes).max(64 << 20)) as usize];
        let mut whole = true;
        if self.disk.read_at(&file, 0, &mut bytes).is_err() {
            for (at, block) in bytes.chunks_mut(BLOCK_BYTES).enumerate() {
                let offset = (at * BLOCK_BYTES) as u64;
                if !(0..BLOCK_TRIES).any(|_| self.disk.read_at(&file, offset, block).is_ok()) {
                    block.fill(0);
                    whole = false;
                }
            }
        }
        Ok(Contents { file, bytes, size, whole })
    }

    fn read_control(&mut self, names: &[(String, Name)], recovery: &mut Recovery) -> Result<Log, IoError> {
        let mut files: Vec<(u64, u64, &String)> = names
            .iter()
            .filter_map(|(name, parsed)| if let Name::Control { index, epoch } = parsed { Some((*index, *epoch, name)) } else { None })
            .collect();
        files.sort_unstable();
        let mut log = Log { state: State::default(), found: false, clean: true, epoch: 0 };
        for (_, epoch, name) in files {
            let Contents { bytes, size, whole, .. } = self.read_file(name)?;
            self.control_older.push((name.clone(), size));
            let owner = Owner { lane: CONTROL_LANE, epoch };
            let (mut at, mut seq, mut damaged) = (0, 0, !whole);
            while let Some(found) = record::find(&bytes, at, owner, seq) {
                damaged |= found.at != at || found.seq != seq + 1 || !log.state.apply(found.payload);
                (at, seq) = (found.end, found.seq);
            }
            let rest = bytes.get(at..).is_none_or(record::is_zero);
            if seq > 0 {
                (log.clean, log.epoch) = (true, epoch);
            }
            log.found |= seq > 0;
            // Garbage at the end may be the torn next record, or the last one damaged: no telling.
            log.clean &= rest && !damaged;
            recovery.control_damaged |= damaged;
        }
        let segments = names.iter().any(|(_, n)| matches!(n, Name::Segment { .. }));
        log.clean &= log.found;
        recovery.control_damaged |= segments && !log.found;
        Ok(log)
    }

    fn read_lane(&mut self, n: usize, names: &[(String, Name)], log: &Log, recovery: &mut Recovery) -> Result<(), IoError> {
        let state = log.state.lanes.get(n).cloned().unwrap_or_default();
        let mut files: Vec<(u64, u64, u64, &String)> = names
            .iter()
            .filter_map(|(name, parsed)| match parsed {
                Name::Segment { lane, index, epoch, first } if *lane == n => Some((*index, *epoch, *first, name)),
                _ => None,
            })
            .collect();
        files.sort_unstable();
        let lane = &mut self.lanes[n];
        lane.cursor = state.cursor;
        if !log.found
            && let Some((_, epoch, first, _)) = files.first()
        {
            // Without a control log the oldest record is where we are.
            lane.cursor = Position::new(*epoch, first - 1);
        }
        for hole in &state.holes {
            lane.remember_hole(hole.clone());
        }
        let mut spans = state.spans.clone();
        let cursor = lane.cursor;
        for (at, (index, epoch, first, name)) in files.iter().enumerate() {
            // A file begun later took over from its first number on, whatever this one still holds after a failed write.
            let later = files.iter().skip(at + 1).filter(|next| next.1 == *epoch).map(|next| next.2);
            let next_first = later.min().unwrap_or(u64::MAX);
            let committed = match spans.get(epoch) {
                Some(last) => *last,
                None if *epoch == cursor.epoch => cursor.seq,
                None => 0,
            };
            // Only the last life can have more than the log says; the ones before were bounded by the snapshot that followed.
            let upto = if log.clean || *epoch < log.epoch { committed } else { u64::MAX };
            let Contents { mut file, bytes, size, whole } = self.read_file(name)?;
            let owner = Owner { lane: n as u8, epoch: *epoch };
            let mut walk = record::walk(&bytes, owner, *first, upto.min(next_first - 1));
            // Numbers that were given up are gone even where a failed write left them: nothing that counts follows them in the file.
            let given_up = |h: &&Hole| h.epoch == *epoch && matches!(&*h.reason, "evicted" | "full" | "refused");
            let left = state.holes.iter().filter(given_up).filter_map(|h| {
                let (from, to) = (h.first.max(*first), h.last.min(walk.last));
                (from <= to && walk.lost.count_in(from, to) < to + 1 - from).then_some(from)
            });
            if let Some(from) = left.min() {
                walk = record::walk(&bytes, owner, *first, from - 1);
            }
            let used = walk.bytes as u64;
            if walk.last == 0 {
                let expected = committed >= *first && next_first > *first && Position::new(*epoch, *first) > cursor;
                if expected && !(whole && record::is_zero(&bytes)) {
                    // Kept aside until the next start, for whoever wants to look.
                    let _ = self.disk.rename(name, &format!("{name}.bad"));
                } else {
                    recovery.torn_bytes += used_bytes(&bytes) as u64;
                    self.doomed.push(((*name).clone(), size));
                }
                continue;
            }
            let torn = used_bytes(bytes.get(walk.bytes..).unwrap_or_default()) as u64;
            let mut segment_size = size;
            if whole && size > used && self.disk.set_len(&mut file, used).and_then(|()| self.disk.sync(&mut file)).is_ok() {
                segment_size = used;
            }
            recovery.torn_bytes += torn;
            let segment = Segment {
                name: (*name).clone(),
                index: *index,
                epoch: *epoch,
                first: *first,
                last: walk.last,
                bytes: used,
                size: segment_size,
                lost: walk.lost,
            };
            let unsent = segment.numbers_between(cursor, segment.end());
            let lane = &mut self.lanes[n];
            if unsent.is_none_or(|(first, last)| lane.is_hole(*epoch, first, last)) {
                // Acknowledged, or evicted, and not yet removed when the program ended.
                self.doomed.push((segment.name, segment_size));
                continue;
            }
            let span = spans.entry(*epoch).or_insert(0);
            *span = (*span).max(walk.last);
            for (first, last) in walk.holes.iter() {
                lane.report(name, *epoch, first, last, recovery);
            }
            lane.segments.push_back(segment);
        }
        let lane = &mut self.lanes[n];
        spans.retain(|epoch, last| *last > 0 && Position::new(*epoch, *last) > cursor);
        lane.spans = spans.iter().map(|(epoch, last)| Span { epoch: *epoch, last: *last }).collect();
        // Kept past the commit point, so produced too.
        let behind = |epoch: u64| if epoch == cursor.epoch { cursor.seq } else { 0 };
        let known = |epoch: &u64| state.spans.get(epoch).copied().unwrap_or(0).max(behind(*epoch));
        let kept = spans.iter().map(|(epoch, last)| last.saturating_sub(known(epoch))).fold(0, u64::saturating_add);
        lane.report_between(recovery);
        while lane.spans.len() > SPANS_MAX {
            lane.fold_oldest(&mut self.doomed);
        }
        let lane = &mut self.lanes[n];
        lane.produced = state.produced.saturating_add(kept);
        lane.acknowledged = state.acknowledged;
        if !log.found {
            lane.produced = lane.spans.iter().map(|s| s.last).fold(0, u64::saturating_add).saturating_sub(lane.behind_cursor());
        }
        let spooled = lane.spooled();
        lane.produced = lane.produced.max(lane.acknowledged + spooled);
        lane.produced_committed = lane.produced;
        lane.lost = lane.produced - lane.acknowledged - spooled;
        (lane.written, lane.committed) = (lane.end(), lane.end());
        Ok(())
    }
}

/// A file as it was read.
struct Contents<F> {
    file: F,
    bytes: Vec<u8>,
    size: u64,
    /// All of it could be read.
    whole: bool,
}

/// What the control log said.
struct Log {
    state: State,
    /// At least one good record.
    found: bool,
    /// It ends where it should: the last commit record is known to be the last.
    clean: bool,
    /// Of its newest file with a good record.
    epoch: u64,
}

/// Bytes up to the last one that is not zero.
fn used_bytes(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1)
}

impl<F> Lane<F> {
    fn behind_cursor(&self) -> u64 {
        self.spans.iter().filter(|s| s.epoch == self.cursor.epoch).map(|_| self.cursor.seq).sum()
    }

    /// Numbers that were committed, are not there and were not declared: declared from now on.
    fn report(&mut self, file: &str, epoch: u64, first: u64, last: u64, recovery: &mut Recovery) {
        if first > last || self.is_hole(epoch, first, last) || Position::new(epoch, last) <= self.cursor {
            return;
        }
        if recovery.damaged.len() < DAMAGE_MAX {
            recovery.damaged.push(Damage { file: file.to_owned(), lane: self.id, epoch, first, last });
        }
        self.remember_hole(Hole { epoch, first, last, reason: "damaged".into() });
    }

    /// The same for numbers between segments and after the last one.
    fn report_between(&mut self, recovery: &mut Recovery) {
        for span in self.spans.clone() {
            let mut next = if span.epoch == self.cursor.epoch { self.cursor.seq + 1 } else { 1 };
            let segments: Vec<(u64, u64)> = self.segments.iter().filter(|s| s.epoch == span.epoch).map(|s| (s.first, s.last)).collect();
            for (first, last) in segments {
                self.report("", span.epoch, next, first - 1, recovery);
                next = next.max(last + 1);
            }
            self.report("", span.epoch, next, span.last, recovery);
        }
    }

    /// Gives up the oldest epoch whole. Its loss shows in the account; the collector is not told number by number.
    fn fold_oldest(&mut self, doomed: &mut Vec<(String, u64)>) {
        let Some(span) = self.spans.pop_front() else { return };
        while let Some(segment) = self.segments.pop_front_if(|s| s.epoch <= span.epoch) {
            doomed.push((segment.name, segment.size));
        }
        self.cursor = Position::new(span.epoch, span.last);
    }
}

impl From<IoError> for OpenError {
    fn from(e: IoError) -> Self {
        Self::Io { what: e.what, source: e.source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_ours() {
        assert_eq!(parse("2-0000000007-1763856000-41.seg"), Some(Name::Segment { lane: 2, index: 7, epoch: 1_763_856_000, first: 41 }));
        assert_eq!(parse("ctl-0000000001-9.log"), Some(Name::Control { index: 1, epoch: 9 }));
        for name in [
            "lock",
            "3-1-1-1.seg",
            "0-1-1-0.seg",
            "0-1-1.seg",
            "ctl-1.log",
            "ctl-+1-1.log",
            "0-1-1-1.seg~",
            "-1-1-1.seg",
            "x",
            "ctl-18446744073709551615-1.log",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
