//! Records as they lie in a file, and the walk over a file that may be torn or damaged.
//!
//! ```text
//! 0  u32 CRC32C of all that follows    16 u64 sequence number      33 u8  lane (0xff: control)
//! 4  u32 payload length                24 i64 time, nanoseconds    34 u16 zero
//! 8  u64 epoch                         32 u8  kind                 36 payload
//! ```
//! Little endian. A gap's payload is a u64 count and the reason. Zeros are no record: they are the reserved rest of a file.

use crate::ranges::Ranges;

pub const HEAD_BYTES: usize = 36;
pub const DATA: u8 = 1;
pub const GAP: u8 = 2;
pub const CONTROL: u8 = 3;
pub const CONTROL_LANE: u8 = 0xff;
/// No epoch and no sequence number is greater (nine million years of seconds, nine hundred of ten thousand records a second): what says
/// so is damage, and sums of numbers cannot overflow.
pub const NUMBER_MAX: u64 = (1 << 48) - 1;
/// A reason is a word, not a story.
pub const REASON_BYTES_MAX: usize = 64;

/// One record in a buffer, its checksum verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// Offset in the buffer, and the offset after it.
    pub at: usize,
    pub end: usize,
    pub epoch: u64,
    pub seq: u64,
    pub time_ns: i64,
    pub kind: u8,
    pub payload: &'a [u8],
}

impl Found<'_> {
    /// The last number the record stands for.
    pub fn last(&self) -> u64 {
        match self.kind {
            GAP => self.seq.saturating_add(gap_count(self.payload).max(1) - 1),
            _ => self.seq,
        }
    }
}

pub fn put(out: &mut Vec<u8>, lane: u8, kind: u8, epoch: u64, seq: u64, time_ns: i64, payload: &[u8]) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&time_ns.to_le_bytes());
    out.extend_from_slice(&[kind, lane, 0, 0]);
    out.extend_from_slice(payload);
    let crc = crc32c::crc32c(&out[at + 4..]);
    out[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

pub fn gap_payload(count: u64, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = count.to_le_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    payload
}

pub fn gap_count(payload: &[u8]) -> u64 {
    u64_at(payload, 0).unwrap_or(1)
}

pub fn gap_reason(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload.get(8..).unwrap_or_default()).into_owned()
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Total length of the record that claims to begin at `at`, unverified.
pub fn claimed_len(bytes: &[u8], at: usize) -> Option<usize> {
    Some(HEAD_BYTES + u32_at(bytes, at + 4)? as usize)
}

/// Whose records a buffer holds; a record of anything else is damage or a leftover.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    pub lane: u8,
    pub epoch: u64,
}

/// The record at `at`, if there is a good one with a number above `above`.
pub fn read(bytes: &[u8], at: usize, owner: Owner, above: u64) -> Option<Found<'_>> {
    // Cheap tests first: the search through damage comes here for every offset.
    if u64_at(bytes, at + 8)? != owner.epoch || bytes.get(at + 33..at + 36)? != [owner.lane, 0, 0] {
        return None;
    }
    let (kind, seq) = (*bytes.get(at + 32)?, u64_at(bytes, at + 16)?);
    let end = at.checked_add(claimed_len(bytes, at)?)?;
    if seq <= above
        || seq > NUMBER_MAX
        || !(DATA..=CONTROL).contains(&kind)
        || crc32c::crc32c(bytes.get(at + 4..end)?) != u32_at(bytes, at)?
    {
        return None;
    }
    let payload = bytes.get(at + HEAD_BYTES..end)?;
    if kind == GAP && (payload.len() < 8 || !(1..=NUMBER_MAX - seq + 1).contains(&gap_count(payload))) {
        return None;
    }
    Some(Found { at, end, epoch: owner.epoch, seq, time_ns: u64_at(bytes, at + 24)? as i64, kind, payload })
}

/// The next good record at or after `at`.
pub fn find(bytes: &[u8], mut at: usize, owner: Owner, above: u64) -> Option<Found<'_>> {
    while at + HEAD_BYTES <= bytes.len() {
        if let Some(found) = read(bytes, at, owner, above) {
            return Some(found);
        }
        if is_zero(bytes.get(at..)?) {
            return None;
        }
        at += 1;
    }
    None
}

pub fn is_zero(bytes: &[u8]) -> bool {
    // In words: this runs over reserved space of megabytes. The first byte that is not zero ends it.
    let (head, words, tail) = (bytes.len() % 16, bytes.chunks_exact(16), bytes.chunks_exact(16).remainder());
    debug_assert_eq!(head, tail.len());
    words.into_iter().all(|w| w.iter().fold(0, |a, b| a | b) == 0) && tail.iter().all(|b| *b == 0)
}

/// What a walk over a whole file found.
#[derive(Debug, Default)]
pub struct Walk {
    /// Offset after the last good record that counts.
    pub bytes: usize,
    /// Last number, 0 if there is no record.
    pub last: u64,
    /// Numbers up to `last` that are no data: gap records and holes.
    pub lost: Ranges,
    /// Holes alone.
    pub holes: Ranges,
    /// Nothing but zeros after the last good record.
    pub clean: bool,
    /// Records that were good but past `upto`.
    pub beyond: u64,
}

/// Walks a segment whose first number is `first`, leaving out what is past number `upto`.
pub fn walk(bytes: &[u8], owner: Owner, first: u64, upto: u64) -> Walk {
    let mut walk = Walk::default();
    let (mut at, mut above) = (0, first.saturating_sub(1));
    while let Some(found) = find(bytes, at, owner, above) {
        let last = found.last();
        if last > upto {
            walk.beyond += 1;
            walk.clean = true;
            return walk;
        }
        if found.seq > above + 1 {
            walk.lost.add(above + 1, found.seq - 1);
            walk.holes.add(above + 1, found.seq - 1);
        }
        if found.kind == GAP {
            walk.lost.add(found.seq, last);
        }
        (at, above) = (found.end, last);
        (walk.bytes, walk.last) = (found.end, last);
    }
    walk.clean = bytes.get(at..).is_none_or(is_zero);
    walk
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner { lane: 1, epoch: 7 };

    fn sample() -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, 1, DATA, 7, 1, 10, b"alpha");
        put(&mut out, 1, GAP, 7, 2, 11, &gap_payload(3, "oversize"));
        put(&mut out, 1, DATA, 7, 5, 12, b"");
        out.extend_from_slice(&[0; 100]);
        out
    }

    #[test]
    fn a_good_file_is_walked_to_its_end() {
        let walk = walk(&sample(), OWNER, 1, u64::MAX);
        assert_eq!((walk.last, walk.bytes, walk.clean), (5, 3 * HEAD_BYTES + 5 + 16, true));
        assert_eq!(walk.lost.iter().collect::<Vec<_>>(), [(2, 4)]);
        assert_eq!(walk.holes.len(), 0);
    }

    #[test]
    fn any_flipped_bit_costs_at_most_its_own_record() {
        let good = sample();
        for bit in 0..(good.len() - 100) * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let walk = walk(&bad, OWNER, 1, u64::MAX);
            let hit = match bit / 8 {
                n if n < HEAD_BYTES + 5 => 0,
                n if n < 2 * HEAD_BYTES + 5 + 16 => 1,
                _ => 2,
            };
            let (last, holes): (u64, &[(u64, u64)]) = [(5, &[(1, 1)][..]), (5, &[(2, 4)][..]), (4, &[][..])][hit];
            assert_eq!((walk.last, &walk.holes.iter().collect::<Vec<_>>()[..]), (last, holes), "bit {bit}");
        }
    }

    #[test]
    fn any_cut_leaves_whole_records() {
        let good = sample();
        for at in 0..good.len() {
            let walk = walk(&good[..at], OWNER, 1, u64::MAX);
            assert!(walk.bytes <= at && matches!(walk.last, 0 | 1 | 4 | 5));
        }
    }

    #[test]
    fn records_of_another_lane_or_epoch_do_not_count() {
        assert_eq!(walk(&sample(), Owner { lane: 2, epoch: 7 }, 1, u64::MAX).last, 0);
        assert_eq!(walk(&sample(), Owner { lane: 1, epoch: 8 }, 1, u64::MAX).last, 0);
        assert_eq!(walk(&sample(), OWNER, 1, 4).last, 4, "past the commit point");
    }
}
