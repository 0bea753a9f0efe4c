//! Reading for sending: committed records in order, every missing number declared, whatever the disk has done meanwhile.

use crate::control::Hole;
use crate::lane::Reader;
use crate::record::{self, GAP, HEAD_BYTES, Owner};
use crate::spool::{Spool, fail};
use crate::{Disk, IoError, Position, Record, RecordKind};

/// Records in one answer.
const RECORDS_MAX: usize = 4096;
/// A segment that cannot be read this often in a row is declared lost: one bad sector must not stop all sending.
const READ_FAILURES_MAX: u32 = 3;

impl<D: Disk> Spool<D> {
    /// Committed records of `lane` after `after` (never before the cursor), all of one epoch, at least one if there is any, then up to
    /// about `bytes_max` payload bytes. Numbers that are gone come as gap records in their place.
    pub fn read(&mut self, lane: u8, after: Position, bytes_max: usize) -> Result<Vec<Record>, IoError> {
        let mut out = Vec::new();
        let n = usize::from(lane);
        let Some((epoch, mut next, last)) = self.lanes.get(n).and_then(|l| {
            let after = after.max(l.cursor);
            let span = l.spans.iter().find(|s| Position::new(s.epoch, s.last) > after)?;
            let last = if span.epoch == l.committed.epoch { span.last.min(l.committed.seq) } else { span.last };
            let next = if span.epoch == after.epoch { after.seq + 1 } else { 1 };
            (span.epoch <= l.committed.epoch && next <= last).then_some((span.epoch, next, last))
        }) else {
            return Ok(out);
        };
        let mut bytes = 0;
        while next <= last && out.len() < RECORDS_MAX && (out.is_empty() || bytes < bytes_max) {
            let segment = self.lanes[n].segments.iter().find(|s| s.epoch == epoch && s.last >= next);
            let gap_until = match segment.map(|s| (s.index, s.first)) {
                Some((index, first)) if first <= next => match self.read_segment(n, index, next, last, bytes_max, &mut bytes, &mut out) {
                    // No step forward: the answer is full.
                    Ok(read) if read < next => return Ok(out),
                    Ok(read) => {
                        next = read + 1;
                        continue;
                    }
                    // What was read so far is good; the failure will be met again at its own number.
                    Err(_) if !out.is_empty() => {
                        self.lanes[n].reader = None;
                        return Ok(out);
                    }
                    Err(e) => match self.unreadable(n, index) {
                        None => return Err(e),
                        Some(segment_last) => {
                            self.lanes[n].lose_in_segment(index, next, segment_last, "unreadable");
                            segment_last
                        }
                    },
                },
                Some((_, first)) => first - 1,
                None => last,
            };
            let gap_until = gap_until.min(last);
            // An eviction that is not on disk yet could be undone by a crash: what was told as gone would be there again.
            let unsaved = |h: &Hole| h.epoch == epoch && h.reason == "evicted" && h.first <= gap_until && h.last >= next;
            if self.lanes[n].fresh_holes.iter().any(unsaved) {
                return Ok(out);
            }
            next = self.declare_gap(n, epoch, next, gap_until, &mut out) + 1;
        }
        Ok(out)
    }

    /// Pushes a gap for the numbers from `first` on, as far as one reason holds; the last one.
    fn declare_gap(&self, n: usize, epoch: u64, first: u64, last: u64, out: &mut Vec<Record>) -> u64 {
        let (last, reason) = self.lanes[n].hole_at(epoch, first, last);
        let kind = RecordKind::Gap { count: last + 1 - first, reason };
        out.push(Record { lane: n as u8, epoch, seq: first, time_ns: 0, kind });
        last
    }

    fn unreadable(&mut self, n: usize, index: u64) -> Option<u64> {
        let lane = &mut self.lanes[n];
        lane.reader = None;
        let failures = if lane.unreadable.0 == index { lane.unreadable.1 + 1 } else { 1 };
        lane.unreadable = (index, failures);
        let segment = lane.segments.iter().find(|s| s.index == index)?;
        (failures >= READ_FAILURES_MAX).then_some(segment.last)
    }

    /// Reads numbers `next..=upto` of one segment, as many as fit; the last number dealt with.
    fn read_segment(
        &mut self,
        n: usize,
        index: u64,
        next: u64,
        upto: u64,
        bytes_max: usize,
        bytes: &mut usize,
        out: &mut Vec<Record>,
    ) -> Result<u64, IoError> {
        let lane = &mut self.lanes[n];
        let Some(segment) = lane.segments.iter().find(|s| s.index == index) else { return Ok(next) };
        let (end, upto, epoch, segment_last) = (segment.bytes, upto.min(segment.last), segment.epoch, segment.last);
        let owner = Owner { lane: lane.id, epoch };
        let mut reader = match lane.reader.take() {
            Some(reader) if reader.index == index && reader.seq < next => reader,
            _ => {
                let file = fail("open a segment", self.disk.open(&segment.name))?;
                Reader { index, file, offset: 0, seq: segment.first - 1 }
            }
        };
        let record_max = HEAD_BYTES + self.config.payload_bytes_max as usize + record::REASON_BYTES_MAX;
        let mut chunk = Vec::new();
        let mut jumped = false;
        while reader.seq < upto && out.len() < RECORDS_MAX && (out.is_empty() || *bytes < bytes_max) {
            // Enough for what is wanted and one longest record, so that a record that does not fit in here is a damaged one.
            let want = (bytes_max.saturating_sub(*bytes).min(1 << 20) + record_max) as u64;
            let mut want = want.min(end.saturating_sub(reader.offset));
            let found = loop {
                chunk.resize(want as usize, 0);
                let got = fail("read a segment", self.disk.read_at(&reader.file, reader.offset, &mut chunk))?;
                chunk.truncate(got);
                match record::find(&chunk, 0, owner, reader.seq) {
                    // Damage may be longer than the chunk: look through the rest of the segment.
                    None if got as u64 == want && reader.offset + want < end => want = end - reader.offset,
                    found => break found.is_some(),
                }
            };
            if !found {
                jumped = true;
                reader.seq = self.missing(n, index, reader.seq, upto, next, out, segment_last);
                break;
            }
            let mut at = 0;
            while let Some(found) = match record::read(&chunk, at, owner, reader.seq) {
                // A record cut by the end of the chunk is read again with the next one.
                None if at > 0 && record::claimed_len(&chunk, at).is_none_or(|len| at + len > chunk.len()) => None,
                None => record::find(&chunk, at, owner, reader.seq),
                found => found,
            } {
                if found.seq > upto || out.len() >= RECORDS_MAX || (!out.is_empty() && *bytes >= bytes_max) {
                    break;
                }
                if found.seq > reader.seq + 1 {
                    self.missing(n, index, reader.seq, found.seq - 1, next, out, segment_last);
                }
                (at, reader.seq) = (found.end, found.last());
                let first = found.seq.max(next);
                if reader.seq < first {
                    continue;
                }
                let kind = match found.kind {
                    GAP => RecordKind::Gap { count: reader.seq + 1 - first, reason: record::gap_reason(found.payload).into() },
                    _ => RecordKind::Data(found.payload.to_vec()),
                };
                *bytes += HEAD_BYTES + found.payload.len();
                out.push(Record { lane: n as u8, epoch, seq: first, time_ns: found.time_ns, kind });
            }
            reader.offset += at as u64;
            if at == 0 {
                let full = out.len() >= RECORDS_MAX || (!out.is_empty() && *bytes >= bytes_max);
                if !full {
                    // The next record there is lies past `upto`.
                    reader.seq = self.missing(n, index, reader.seq, upto, next, out, segment_last);
                }
                break;
            }
        }
        let read = reader.seq.max(next - 1);
        let lane = &mut self.lanes[n];
        lane.unreadable = (0, 0);
        // At the end of the active segment it waits for what comes, so that sending each commit does not read the segment from its start.
        // A reader that jumped over damage at the end has no offset to go on from.
        let more_may_come = lane.active.is_some() && lane.segments.back().is_some_and(|s| s.index == index);
        if reader.seq < segment_last || (more_may_come && !jumped) {
            lane.reader = Some(reader);
        }
        Ok(read)
    }

    /// Numbers `seq + 1..=last` are not in the file: those not known as lost are lost from now on. Declares those from `next` on.
    fn missing(&mut self, n: usize, index: u64, seq: u64, last: u64, next: u64, out: &mut Vec<Record>, segment_last: u64) -> u64 {
        let lane = &mut self.lanes[n];
        lane.lose_in_segment(index, seq + 1, last.min(segment_last), "damaged");
        let Some(epoch) = lane.segments.iter().find(|s| s.index == index).map(|s| s.epoch) else { return last };
        let mut at = next.max(seq + 1);
        while at <= last {
            at = self.declare_gap(n, epoch, at, last, out) + 1;
        }
        last
    }
}
