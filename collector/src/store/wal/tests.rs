//! The log against a disk that tears, flips, fills up and lies.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use event::{AgentId, Class, Epoch, Timestamp};
use proptest::prelude::*;

use super::disk::{Folder, LogDisk, LogFile};
use super::*;

fn frame(agent: u64, first: u64, last: u64, size: usize) -> Frame {
    let bytes = Bytes::from(vec![(first % 251) as u8; size]);
    Frame {
        agent: AgentId(agent),
        received: Timestamp::from_secs(7),
        class: Class::Bulk,
        epoch: Epoch(3),
        first_seq: first,
        last_seq: last,
        bytes,
    }
}

fn quick() -> WalConfig {
    WalConfig { group_wait: Duration::ZERO, ..WalConfig::default() }
}

fn read_all(wal: &Wal, from: Offset) -> Vec<Frame> {
    let mut reader = wal.read(from).unwrap();
    std::iter::from_fn(|| reader.next().unwrap()).map(|e| e.frame).collect()
}

fn log_file(folder: &Path) -> std::path::PathBuf {
    let mut all: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all.pop().unwrap()
}

/// Three frames, and the file as a kill would leave it: with no closing witness.
fn three(folder: &Path) -> (Vec<Frame>, Vec<u8>, Vec<Offset>) {
    let frames: Vec<_> = (1..=3).map(|n| frame(1, n * 10, n * 10 + 9, 100 * n as usize)).collect();
    let (wal, _) = Wal::open(folder, quick()).unwrap();
    let ends: Vec<Offset> = frames.iter().map(|f| wal.append(f.clone()).wait().unwrap()).collect();
    let bytes = std::fs::read(log_file(folder)).unwrap();
    drop(wal);
    (frames, bytes, ends)
}

#[test]
fn what_the_log_held_before_any_place_is_known_also_past_released_segments() {
    let folder = tempfile::tempdir().unwrap();
    let config = WalConfig { segment_bytes: 500, ..quick() };
    let (wal, _) = Wal::open(folder.path(), config).unwrap();
    let ends: Vec<Offset> = (1..=9).map(|n| wal.append(frame(n % 2, n * 10, n * 10 + 9, 200)).wait().unwrap()).collect();
    let mark = |seq| Watermark { epoch: Epoch(3), seq };
    let held = |marks: &Marks| [0, 1].map(|agent| marks.get(&(AgentId(agent), Class::Bulk)).copied());
    let check = |wal: &Wal, from: usize| {
        for (n, end) in ends.iter().enumerate().skip(from) {
            // After frame n+1: the last even and the last odd of 1..=n+1.
            let last = n as u64 + 1;
            let (even, odd) = (last - last % 2, if last % 2 == 1 { last } else { last - 1 });
            let want = [(even > 0).then(|| mark(even * 10 + 9)), Some(mark(odd * 10 + 9))];
            assert_eq!(held(&wal.marks_before(*end).unwrap()), want, "after frame {last}");
        }
    };
    check(&wal, 0);
    assert_eq!(held(&wal.marks_before(Offset(0)).unwrap()), [None, None]);
    assert!(wal.release(ends[4]).unwrap() > 0);
    check(&wal, 5);
}

#[test]
fn what_was_acknowledged_is_read_again_with_its_watermarks() {
    let folder = tempfile::tempdir().unwrap();
    let (frames, bytes, _) = three(folder.path());
    for killed in [false, true] {
        if killed {
            std::fs::write(log_file(folder.path()), &bytes).unwrap();
        }
        let (wal, found) = Wal::open(folder.path(), quick()).unwrap();
        assert_eq!((found.frames, found.torn_bytes, found.damaged.len()), (3, 0, 0));
        assert_eq!(found.watermarks, Marks::from([((AgentId(1), Class::Bulk), Watermark { epoch: Epoch(3), seq: 39 })]));
        assert_eq!(read_all(&wal, found.oldest), frames);
        assert_eq!(wal.watermarks(), found.watermarks);
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let (frames, bytes, ends) = three(folder.path());
    let file = log_file(folder.path());
    let third_begins = bytes.len() - (ends[2].0 - ends[1].0) as usize;
    for cut in (third_begins..bytes.len()).step_by(7) {
        // Torn off, or of the right length with nothing in it.
        for zeros in [0, bytes.len() - cut] {
            let mut torn = bytes[..cut].to_vec();
            torn.extend(std::iter::repeat_n(0, zeros));
            std::fs::write(&file, torn).unwrap();
            let (wal, found) = Wal::open(folder.path(), quick()).unwrap();
            assert_eq!((found.frames, found.damaged.len(), found.end), (2, 0, ends[1]), "cut at {cut}");
            assert_eq!(found.torn_bytes, (cut - third_begins + zeros) as u64);
            assert_eq!(found.watermarks.values().next().unwrap().seq, 29);
            wal.append(frames[2].clone()).wait().unwrap();
            assert_eq!(read_all(&wal, found.oldest), frames);
        }
    }
}

#[test]
fn damage_to_what_was_acknowledged_is_an_alarm_and_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (frames, bytes, ends) = three(folder.path());
    let file = log_file(folder.path());
    let second_begins = bytes.len() - (ends[2].0 - ends[0].0) as usize;
    let third_begins = bytes.len() - (ends[2].0 - ends[1].0) as usize;
    for at in (second_begins..third_begins).step_by(11) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&file, flipped).unwrap();
        let (wal, found) = Wal::open(folder.path(), quick()).unwrap();
        assert_eq!((found.frames, found.torn_bytes), (2, 0), "flip at {at}");
        assert_eq!(found.damaged.iter().map(|d| (d.from, d.to)).collect::<Vec<_>>(), [(ends[0], ends[1])]);
        let mut reader = wal.read(found.oldest).unwrap();
        let seen: Vec<_> = std::iter::from_fn(|| reader.next().unwrap()).map(|e| e.frame).collect();
        assert_eq!((seen.len(), &seen[0], &seen[1], reader.skipped()), (2, &frames[0], &frames[2], ends[1].0 - ends[0].0));
    }
    // The last batch, after an orderly end: the witness behind it says that it had been acknowledged.
    let (wal, _) = {
        std::fs::write(&file, &bytes).unwrap();
        Wal::open(folder.path(), quick()).unwrap()
    };
    let end = wal.append(frame(2, 1, 1, 50)).wait().unwrap();
    drop(wal);
    let mut flipped = std::fs::read(&file).unwrap();
    let at = bytes.len() + 30;
    flipped[at] ^= 1;
    std::fs::write(&file, flipped).unwrap();
    let (_, found) = Wal::open(folder.path(), quick()).unwrap();
    assert_eq!((found.damaged.last().map(|d| d.to), found.torn_bytes), (Some(end), 0));
}

#[test]
fn segments_are_released_whole_and_the_watermarks_stay() {
    let folder = tempfile::tempdir().unwrap();
    let config = WalConfig { segment_bytes: 1_000, ..quick() };
    let (wal, _) = Wal::open(folder.path(), config.clone()).unwrap();
    let ends: Vec<Offset> = (1..=20).map(|n| wal.append(frame(n, n, n, 300)).wait().unwrap()).collect();
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    let before = files();
    assert!(before > 4);
    let removed = wal.release(ends[9]).unwrap();
    assert!(removed > 0 && files() == before - removed && wal.oldest() <= ends[9]);
    assert!(matches!(wal.read(Offset(0)), Err(WalError::Released { .. })));
    assert_eq!(read_all(&wal, ends[9]).len(), 10);
    wal.release(wal.end()).unwrap();
    assert_eq!(files(), 1, "the one being written stays");
    drop(wal);
    let (wal, found) = Wal::open(folder.path(), config).unwrap();
    assert_eq!(found.watermarks.len(), 20);
    assert_eq!(read_all(&wal, found.end).len(), 0);
}

#[test]
fn an_emptied_folder_goes_on_beyond_what_others_know() {
    let folder = tempfile::tempdir().unwrap();
    let config = WalConfig { begin_at: Offset(1_000_000), ..quick() };
    let (wal, found) = Wal::open(folder.path(), config).unwrap();
    assert_eq!((found.end, found.oldest), (Offset(1_000_000), Offset(1_000_000)));
    assert!(wal.append(frame(1, 1, 1, 10)).wait().unwrap() > Offset(1_000_000));
    assert_eq!(read_all(&wal, Offset(1_000_000)).len(), 1);
}

#[test]
fn a_file_whose_name_lies_beyond_every_log_is_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (frames, ..) = three(folder.path());
    for base in [u64::MAX, u64::MAX - 30] {
        let bytes = [&frame::segment_head(base)[..], &[0; 100]].concat();
        std::fs::write(folder.path().join(format!("wal-{base:016x}.log")), bytes).unwrap();
    }
    let (wal, recovery) = Wal::open(folder.path(), quick()).unwrap();
    assert_eq!((read_all(&wal, Offset(0)), recovery.damaged), (frames, vec![]));
}

#[test]
fn many_agents_share_one_sync() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) =
        Wal::open(folder.path(), WalConfig { group_wait: Duration::from_secs(60), group_bytes: 64 * 200, ..WalConfig::default() }).unwrap();
    // The group is full at the 64th frame, so nobody waits for the minute.
    let tickets: Vec<_> = (0..64).map(|n| wal.append(frame(n, 1, 1, 200 - 64))).collect();
    for t in tickets {
        t.wait().unwrap();
    }
    let stats = wal.stats();
    assert!(stats.syncs <= 2 && stats.frames == 64, "{stats:?}");
}

#[test]
fn a_reader_waits_for_what_comes_and_learns_of_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(folder.path(), quick()).unwrap();
    let mut reader = wal.read(wal.oldest()).unwrap();
    let thread = std::thread::spawn(move || {
        let mut seen = 0;
        while !reader.ended() {
            reader.wait(Duration::from_secs(60));
            while reader.next().unwrap().is_some() {
                seen += 1;
            }
        }
        seen
    });
    for n in 1..=50 {
        wal.append(frame(1, n, n, 10)).wait().unwrap();
    }
    drop(wal);
    assert_eq!(thread.join().unwrap(), 50);
}

/// A folder whose writes or syncs fail on demand.
struct Faulty {
    inner: Folder,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    /// Bytes that still fit; below zero: no limit.
    room: AtomicI64,
    sync_fails: AtomicBool,
    log: Mutex<Vec<String>>,
}

struct FaultyFile {
    inner: Box<dyn LogFile>,
    faults: Arc<Faults>,
}

impl LogDisk for Faulty {
    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        self.faults.log.lock().unwrap().push(format!("create {name}"));
        Ok(Box::new(FaultyFile { inner: self.inner.create(name)?, faults: Arc::clone(&self.faults) }))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(FaultyFile { inner: self.inner.open(name)?, faults: Arc::clone(&self.faults) }))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
    fn path(&self) -> &Path {
        self.inner.path()
    }
}

impl LogFile for FaultyFile {
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let room = self.faults.room.load(Ordering::Relaxed);
        if room >= 0 && (bytes.len() as i64) > room {
            // As a real disk: what still fits is written.
            self.inner.write_at(at, &bytes[..room as usize])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        if room >= 0 {
            self.faults.room.fetch_sub(bytes.len() as i64, Ordering::Relaxed);
        }
        self.inner.write_at(at, bytes)
    }
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(at, into)
    }
    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }
    fn cut(&self, length: u64) -> io::Result<()> {
        self.inner.cut(length)
    }
    fn sync(&self) -> io::Result<()> {
        if self.faults.sync_fails.swap(false, Ordering::Relaxed) { Err(io::Error::other("medium error")) } else { self.inner.sync() }
    }
}

fn faulty(folder: &Path, config: WalConfig) -> (Wal, WalRecovery, Arc<Faults>) {
    let faults = Arc::new(Faults { room: AtomicI64::new(-1), ..Faults::default() });
    let disk = Faulty { inner: Folder::open(folder).unwrap(), faults: Arc::clone(&faults) };
    let (wal, found) = Wal::open_on(Box::new(disk), config).unwrap();
    (wal, found, faults)
}

#[test]
fn a_full_disk_refuses_the_batch_and_keeps_the_log_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _, faults) = faulty(folder.path(), quick());
    let first = frame(1, 1, 9, 500);
    wal.append(first.clone()).wait().unwrap();
    for room in [0, 1, 11, 100, 400] {
        faults.room.store(room, Ordering::Relaxed);
        assert!(matches!(wal.append(frame(1, 10, 19, 500)).wait(), Err(WalError::Full { .. })), "room for {room}");
        assert_eq!(wal.watermarks().values().next().unwrap().seq, 9);
    }
    faults.room.store(-1, Ordering::Relaxed);
    let second = frame(1, 10, 19, 500);
    wal.append(second.clone()).wait().unwrap();
    assert_eq!(read_all(&wal, wal.oldest()), [first.clone(), second.clone()]);
    drop(wal);
    let (wal, found) = Wal::open(folder.path(), quick()).unwrap();
    assert_eq!((found.frames, found.torn_bytes, found.damaged.len()), (2, 0, 0));
    assert_eq!(read_all(&wal, found.oldest), [first, second]);
}

#[test]
fn after_a_failed_sync_the_segment_is_left_and_the_group_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _, faults) = faulty(folder.path(), quick());
    let frames: Vec<_> = (1..=3).map(|n| frame(1, n, n, 200)).collect();
    wal.append(frames[0].clone()).wait().unwrap();
    faults.sync_fails.store(true, Ordering::Relaxed);
    wal.append(frames[1].clone()).wait().unwrap();
    wal.append(frames[2].clone()).wait().unwrap();
    assert_eq!(faults.log.lock().unwrap().len(), 2, "a new segment was begun");
    assert_eq!((wal.stats().failures, read_all(&wal, wal.oldest())), (1, frames.clone()));
    drop(wal);
    let (wal, found) = Wal::open(folder.path(), quick()).unwrap();
    assert_eq!((found.frames, found.damaged.len()), (3, 0));
    assert_eq!(read_all(&wal, found.oldest), frames);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes: no panic, and every frame that comes back is one that was written, in order.
    #[test]
    fn any_damage_gives_a_part_of_what_was_written(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in any::<prop::sample::Index>(), cut_it in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let (frames, mut bytes, _) = three(folder.path());
        for (at, x) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= x;
        }
        if cut_it {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(log_file(folder.path()), bytes).unwrap();
        let (wal, found) = Wal::open(folder.path(), quick()).unwrap();
        let seen = read_all(&wal, found.oldest);
        prop_assert_eq!(seen.len() as u64, found.frames);
        let mut rest = frames.iter();
        prop_assert!(seen.iter().all(|f| rest.any(|w| w == f)));
        let more = frame(9, 1, 1, 10);
        wal.append(more.clone()).wait().unwrap();
        prop_assert_eq!(read_all(&wal, wal.oldest()).pop(), Some(more));
    }
}
