//! What is found when the log is opened: frames, watermarks, a torn tail to cut, damage to declare.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{LogDisk, LogFile};
use super::frame::{self, Parsed, SEGMENT_HEAD};
use super::{Damage, Marks, Offset, WalError, WalRecovery};

/// No log grows this long; a file whose name says it begins past it is not ours.
const OFFSET_MAX: u64 = u64::MAX >> 8;

/// Name of the segment that begins at `base`.
pub(crate) fn segment_name(base: u64) -> String {
    format!("wal-{base:016x}.log")
}

fn segment_base(name: &str) -> Option<u64> {
    let hex = name.strip_prefix("wal-")?.strip_suffix(".log")?;
    (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok()).flatten().filter(|base| *base <= OFFSET_MAX)
}

/// The log as found: its segments by base, the one to write on in, and where.
pub(crate) struct Found {
    pub(crate) segments: BTreeMap<u64, Arc<dyn LogFile>>,
    pub(crate) end: u64,
    pub(crate) marks: Marks,
    pub(crate) recovery: WalRecovery,
}

struct Scan {
    base: u64,
    /// Ranges of the log without a whole frame.
    bad: Vec<(u64, u64)>,
    end: u64,
}

pub(crate) fn recover(disk: &dyn LogDisk) -> Result<Found, WalError> {
    let io = |action: &'static str| move |e: std::io::Error| WalError::io(action, disk.path(), &e);
    let mut bases: Vec<u64> = disk.list().map_err(io("list"))?.iter().filter_map(|n| segment_base(n)).collect();
    bases.sort_unstable();
    let mut found = Found {
        segments: BTreeMap::new(),
        end: bases.first().copied().unwrap_or(0),
        marks: Marks::new(),
        recovery: WalRecovery::default(),
    };
    let mut scans: Vec<Scan> = Vec::new();
    let mut durable = 0u64;
    for (at, &base) in bases.iter().enumerate() {
        let next = bases.get(at + 1).copied();
        let name = segment_name(base);
        let file: Arc<dyn LogFile> = disk.open(&name).map_err(io("open"))?.into();
        let bytes = read_whole(file.as_ref()).map_err(io("read"))?;
        let whole_head = frame::is_segment_head(&bytes, base);
        if !whole_head && next.is_none() && no_frames(&bytes, base) {
            // The crash came while this segment was made; nothing can have been acknowledged from it.
            disk.remove(&name).and_then(|()| disk.sync()).map_err(io("remove"))?;
            found.recovery.torn_bytes += bytes.len() as u64;
            continue;
        }
        // Its existence says that all before it had been synced.
        durable = durable.max(base);
        if !whole_head {
            found.recovery.damaged.push(Damage { segment: name.clone(), from: Offset(base), to: Offset(base) });
        }
        // What lies past the next segment's begin was written again there after a failed sync.
        let room = next.map_or(usize::MAX, |n| usize::try_from(n - base).unwrap_or(usize::MAX));
        let body = bytes.slice(SEGMENT_HEAD.min(bytes.len())..);
        let body = body.slice(..body.len().min(room));
        let mut scan = Scan { base, bad: Vec::new(), end: base + body.len() as u64 };
        walk(&body, base, &mut scan, &mut found, &mut durable);
        if let Some(next) = next
            && scan.end < next
        {
            scan.bad.push((scan.end, next));
        }
        found.end = scan.end;
        found.segments.insert(base, file);
        scans.push(scan);
    }
    let last_base = scans.last().map(|s| s.base);
    for scan in &scans {
        for &(from, to) in &scan.bad {
            if from >= durable && Some(scan.base) == last_base {
                found.recovery.torn_bytes += found.end.saturating_sub(from);
                let file = found.segments.get(&scan.base);
                if let Some(file) = file {
                    file.cut(from - scan.base + SEGMENT_HEAD as u64).and_then(|()| file.sync()).map_err(io("cut the torn tail of"))?;
                }
                found.end = from;
                break;
            }
            found.recovery.damaged.push(Damage { segment: segment_name(scan.base), from: Offset(from), to: Offset(to) });
        }
    }
    // Frames past the cut were counted by the walk: count again without them, which only a torn tail costs.
    if found.recovery.torn_bytes > 0 {
        recount(&mut found)?;
    }
    found.recovery.watermarks = found.marks.clone();
    found.recovery.oldest = Offset(found.segments.keys().next().copied().unwrap_or(found.end));
    found.recovery.end = Offset(found.end);
    Ok(found)
}

fn walk(body: &Bytes, base: u64, scan: &mut Scan, found: &mut Found, durable: &mut u64) {
    let mut at = 0;
    while at < body.len() {
        let offset = base + at as u64;
        match frame::parse(&body.slice(at..), offset) {
            Parsed::Data { frame, synced, length } => {
                *durable = (*durable).max(synced);
                found.recovery.frames += 1;
                super::raise(&mut found.marks, &frame);
                at += length;
            }
            Parsed::Marks { marks, synced, length } => {
                *durable = (*durable).max(synced);
                super::merge(&mut found.marks, &marks);
                at += length;
            }
            Parsed::Short | Parsed::Bad => {
                let next = frame::resync(body, base, at + 1).unwrap_or(body.len());
                scan.bad.push((offset, base + next as u64));
                at = next;
            }
        }
    }
}

fn recount(found: &mut Found) -> Result<(), WalError> {
    let damaged = std::mem::take(&mut found.recovery.damaged);
    let torn = found.recovery.torn_bytes;
    let (mut durable, segments) = (0, found.segments.clone());
    found.marks = Marks::new();
    found.recovery.frames = 0;
    for (&base, file) in &segments {
        let bytes = read_whole(file.as_ref()).map_err(|e| WalError::io("read", std::path::Path::new(&segment_name(base)), &e))?;
        let next = segments.range(base + 1..).next().map_or(found.end, |(b, _)| *b);
        let body = bytes.slice(SEGMENT_HEAD.min(bytes.len())..);
        let body = body.slice(..body.len().min(usize::try_from(next.saturating_sub(base)).unwrap_or(usize::MAX)));
        let mut scan = Scan { base, bad: Vec::new(), end: base };
        walk(&body, base, &mut scan, found, &mut durable);
    }
    found.recovery.damaged = damaged;
    found.recovery.torn_bytes = torn;
    Ok(())
}

fn no_frames(bytes: &Bytes, base: u64) -> bool {
    if bytes.len() <= SEGMENT_HEAD {
        return true;
    }
    frame::resync(&bytes.slice(SEGMENT_HEAD..), base, 0).is_none()
}

fn read_whole(file: &dyn LogFile) -> std::io::Result<Bytes> {
    let length = usize::try_from(file.length()?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    let got = file.read_at(0, &mut bytes)?;
    bytes.truncate(got);
    Ok(bytes.into())
}
