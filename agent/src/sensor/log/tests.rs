//! Rotation, step by step, on a file system in memory in which inode numbers are used again; and the same on real files.

use super::files::{Files, Handle, HostFiles, Identity, Stat};
use super::follower::{Follower, Rules, Sink};
use super::tail::LineAt;
use event::Timestamp;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

#[derive(Default)]
struct Disk {
    names: BTreeMap<PathBuf, Name>,
    next: u64,
    born: i64,
    refuse: Vec<PathBuf>,
}

#[derive(Clone)]
enum Name {
    File(Rc<Inode>),
    Link(PathBuf),
}

struct Inode {
    identity: Identity,
    data: RefCell<Vec<u8>>,
}

/// Shared between the writer (the test) and the follower.
#[derive(Clone, Default)]
struct Mem(Rc<RefCell<Disk>>);

impl Mem {
    fn create(&self, path: &str) {
        let mut disk = self.0.borrow_mut();
        disk.next += 1;
        disk.born += 1;
        let identity = Identity { device: 1, inode: disk.next, born_ns: disk.born };
        disk.names.insert(path.into(), Name::File(Rc::new(Inode { identity, data: RefCell::default() })));
    }
    /// A new file with the inode number of the last one, on a file system without birth times.
    fn create_reusing(&self, path: &str, identity: Identity) {
        self.0.borrow_mut().names.insert(path.into(), Name::File(Rc::new(Inode { identity, data: RefCell::default() })));
    }
    fn inode(&self, path: &Path) -> Option<Rc<Inode>> {
        let disk = self.0.borrow();
        match disk.names.get(path)? {
            Name::File(inode) => Some(inode.clone()),
            Name::Link(to) => match disk.names.get(to)? {
                Name::File(inode) => Some(inode.clone()),
                Name::Link(_) => None,
            },
        }
    }
    fn append(&self, path: &str, text: &str) {
        self.append_bytes(path, text.as_bytes());
    }
    fn append_bytes(&self, path: &str, bytes: &[u8]) {
        if self.inode(Path::new(path)).is_none() {
            self.create(path);
        }
        self.inode(Path::new(path)).unwrap().data.borrow_mut().extend_from_slice(bytes);
    }
    fn rename(&self, from: &str, to: &str) {
        let mut disk = self.0.borrow_mut();
        let name = disk.names.remove(Path::new(from)).unwrap();
        disk.names.insert(to.into(), name);
    }
    fn remove(&self, path: &str) {
        self.0.borrow_mut().names.remove(Path::new(path));
    }
    fn truncate(&self, path: &str) {
        self.inode(Path::new(path)).unwrap().data.borrow_mut().clear();
    }
    fn copy(&self, from: &str, to: &str) {
        let data = self.inode(Path::new(from)).unwrap().data.borrow().clone();
        self.create(to);
        *self.inode(Path::new(to)).unwrap().data.borrow_mut() = data;
    }
    fn link(&self, path: &str, to: &str) {
        self.0.borrow_mut().names.insert(path.into(), Name::Link(to.into()));
    }
}

impl Handle for Rc<Inode> {
    fn stat(&self) -> io::Result<Stat> {
        Ok(Stat { identity: self.identity, size: self.data.borrow().len() as u64, regular: true })
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let data = self.data.borrow();
        let rest = data.get(usize::try_from(offset).unwrap()..).unwrap_or(&[]);
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

impl Files for Mem {
    type Handle = Rc<Inode>;
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.inode(path).ok_or_else(|| io::ErrorKind::NotFound.into()).and_then(|i| i.stat())
    }
    fn open(&self, path: &Path) -> io::Result<Rc<Inode>> {
        if self.0.borrow().refuse.iter().any(|p| p == path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.inode(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn matching(&self, pattern: &str, max: usize) -> (Vec<PathBuf>, bool) {
        let disk = self.0.borrow();
        let all: Vec<PathBuf> = disk.names.keys().filter(|p| super::glob::path_matches(pattern, p)).cloned().collect();
        let whole = all.len() <= max;
        (all.into_iter().take(max).collect(), whole)
    }
    fn siblings(&self, path: &Path) -> Vec<PathBuf> {
        let path = path.to_str().unwrap();
        self.0.borrow().names.keys().filter(|p| p.to_str().unwrap() != path && p.to_str().unwrap().starts_with(path)).cloned().collect()
    }
}

/// Keeps what a spool would: lines and checkpoints, in one order.
#[derive(Default, Clone)]
struct Kept {
    lines: Vec<String>,
    offsets: Vec<u64>,
    checkpoints: BTreeMap<String, Vec<u8>>,
    lost: Vec<&'static str>,
}

impl Sink for Kept {
    fn line(&mut self, _path: &Path, line: &LineAt<'_>) {
        self.lines.push(String::from_utf8_lossy(line.bytes).into_owned());
        self.offsets.push(line.offset);
    }
    fn checkpoint(&mut self, path: &Path, value: &[u8]) {
        let key = path.to_str().unwrap().to_owned();
        if value.is_empty() {
            self.checkpoints.remove(&key)
        } else {
            self.checkpoints.insert(key, value.to_vec())
        };
    }
    fn lost(&mut self, _path: &Path, _count: u64, reason: &'static str) {
        self.lost.push(reason);
    }
}

fn rules(paths: &[&str]) -> Rules {
    Rules {
        paths: paths.iter().map(|p| (*p).to_owned()).collect(),
        exclude: vec!["*.gz".into()],
        from_start: false,
        line_max: 256,
        files_max: 64,
        rescan_ns: 10 * event::SECOND_NS,
        linger_ns: 15 * event::SECOND_NS,
        own: vec!["/own".into()],
    }
}

/// A disk, a follower on it and what it gave.
struct Bench {
    mem: Mem,
    paths: Vec<&'static str>,
    follower: Follower<Mem>,
    kept: Kept,
    now: i64,
}

impl Bench {
    fn new(paths: &[&'static str]) -> Self {
        let mem = Mem::default();
        let follower = Follower::new(mem.clone(), rules(paths), &[]);
        Self { mem, paths: paths.to_vec(), follower, kept: Kept::default(), now: 1_000 }
    }
    /// One look, a second later.
    fn look(&mut self) -> &mut Self {
        self.now += 1;
        while self.follower.step(Timestamp::from_secs(self.now), &mut self.kept) {}
        self
    }
    /// Looks until every lingering file is closed.
    fn settle(&mut self) -> &mut Self {
        for _ in 0..40 {
            self.look();
        }
        self
    }
    /// The process dies; a new one begins with what is on the disk.
    fn kill(&mut self) -> &mut Self {
        let checkpoints: Vec<(String, Vec<u8>)> = self.kept.checkpoints.clone().into_iter().collect();
        self.follower = Follower::new(self.mem.clone(), rules(&self.paths), &checkpoints);
        self
    }
    fn lines(&self) -> Vec<&str> {
        self.kept.lines.iter().map(String::as_str).collect()
    }
}

const LOG: &str = "/l/a.log";

fn started() -> Bench {
    let mut bench = Bench::new(&[LOG]);
    bench.mem.append(LOG, "before the agent\n");
    bench.look();
    bench
}

#[test]
fn what_was_there_before_is_left_and_what_comes_is_read() {
    let mut b = started();
    b.mem.append(LOG, "one\r\ntwo\n\nthr");
    b.look();
    assert_eq!(b.lines(), ["one", "two"]);
    b.mem.append(LOG, "ee\n");
    b.look();
    assert_eq!(b.lines(), ["one", "two", "three"]);
    assert_eq!(b.kept.offsets, [17, 22, 27]);
    assert!(b.kept.lost.is_empty());
}

#[test]
fn a_start_in_the_middle_of_a_line_leaves_its_rest_out() {
    let mut b = Bench::new(&[LOG]);
    b.mem.append(LOG, "half a li");
    b.look();
    b.mem.append(LOG, "ne\nwhole\n");
    b.look();
    assert_eq!(b.lines(), ["whole"]);
}

#[test]
fn a_file_that_appears_later_is_read_from_its_start() {
    let mut b = Bench::new(&["/l/*.log"]);
    b.mem.append("/l/b.log", "old\n");
    b.look();
    b.mem.append("/l/c.log", "first\n");
    b.settle();
    assert_eq!(b.lines(), ["first"]);
}

#[test]
fn a_file_that_appeared_while_the_agent_was_away_is_read_from_its_start() {
    let mut b = Bench::new(&["/l/*.log"]);
    b.mem.append("/l/b.log", "old\n");
    b.look();
    b.mem.0.borrow_mut().born = 5_000 * event::SECOND_NS;
    b.mem.append("/l/c.log", "first\n");
    b.kill().look();
    assert_eq!(b.lines(), ["first"]);
}

#[test]
fn rename_and_create() {
    let mut b = started();
    b.mem.append(LOG, "one\ntwo\n");
    b.mem.rename(LOG, "/l/a.log.1");
    b.mem.append(LOG, "three\n");
    b.look();
    assert_eq!(b.lines(), ["one", "two", "three"]);
    b.mem.append("/l/a.log.1", "late\n");
    b.look();
    b.settle();
    b.mem.append(LOG, "four\n");
    b.look();
    assert_eq!(b.lines(), ["one", "two", "three", "late", "four"]);
    assert!(b.kept.lost.is_empty());
}

#[test]
fn rename_without_a_new_file_yet() {
    let mut b = started();
    b.mem.rename(LOG, "/l/a.log.1");
    b.mem.append("/l/a.log.1", "one\n");
    b.look();
    b.mem.append(LOG, "two\n");
    b.look();
    assert_eq!(b.lines(), ["one", "two"]);
}

#[test]
fn an_unfinished_line_of_a_rotated_file_ends_with_it() {
    let mut b = started();
    b.mem.append(LOG, "no line end");
    b.look();
    b.mem.rename(LOG, "/l/a.log.1");
    b.mem.append(LOG, "next\n");
    b.settle();
    assert_eq!(b.lines(), ["next", "no line end"]);
}

#[test]
fn copytruncate_reads_the_rest_from_the_copy() {
    let mut b = started();
    b.mem.append(LOG, "one\n");
    b.look();
    b.mem.append(LOG, "two\n");
    b.mem.copy(LOG, "/l/a.log.1");
    b.mem.truncate(LOG);
    b.mem.append(LOG, "three\n");
    b.settle();
    let mut lines = b.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "three", "two"]);
    assert_eq!(b.kept.lost, ["copytruncate_window"]);
}

#[test]
fn truncated_to_nothing_and_to_shorter() {
    let mut b = started();
    b.mem.append(LOG, "one is a rather long line\n");
    b.look();
    b.mem.truncate(LOG);
    b.look();
    b.mem.append(LOG, "two\n");
    b.look();
    b.mem.truncate(LOG);
    b.mem.append(LOG, "3\n");
    b.look();
    assert_eq!(b.lines(), ["one is a rather long line", "two", "3"]);
    assert_eq!(b.kept.lost, ["truncated", "truncated"]);
}

#[test]
fn truncated_and_regrown_longer_between_two_looks() {
    let mut b = started();
    b.mem.append(LOG, "one\n");
    b.look();
    b.mem.truncate(LOG);
    b.mem.append(LOG, "a new beginning that is longer than all before\nand more\n");
    b.look();
    assert_eq!(b.lines(), ["one", "a new beginning that is longer than all before", "and more"]);
    assert_eq!(b.kept.lost, ["truncated"]);
}

#[test]
fn overwritten_with_the_same_length() {
    let mut b = started();
    b.mem.append(LOG, "one\n");
    b.look();
    b.mem.truncate(LOG);
    b.mem.append(LOG, "before the agent\nuno\n");
    b.look();
    assert_eq!(b.lines(), ["one", "before the agent", "uno"]);
}

#[test]
fn an_inode_number_used_again_while_the_agent_was_away() {
    let mut b = started();
    b.mem.append(LOG, "one\n");
    b.look();
    let identity = b.mem.inode(Path::new(LOG)).unwrap().identity;
    b.mem.remove(LOG);
    b.mem.create_reusing(LOG, identity);
    b.mem.append(LOG, "another file with the very same number, and longer\n");
    b.kill().look();
    assert_eq!(b.lines(), ["one", "another file with the very same number, and longer"]);
    assert_eq!(b.kept.lost, ["rotated_unseen"]);
}

#[test]
fn deleted_and_made_again() {
    let mut b = started();
    b.mem.append(LOG, "one\n");
    b.mem.remove(LOG);
    b.look();
    b.settle();
    b.mem.append(LOG, "two\n");
    b.settle();
    assert_eq!(b.lines(), ["one", "two"]);
}

#[test]
fn deleted_while_it_is_held_open_is_still_read() {
    let mut b = started();
    let inode = b.mem.inode(Path::new(LOG)).unwrap();
    b.mem.remove(LOG);
    b.look();
    inode.data.borrow_mut().extend_from_slice(b"written after the deletion\n");
    b.look();
    assert_eq!(b.lines(), ["written after the deletion"]);
}

#[test]
fn two_files_with_the_same_header_are_two_files() {
    let mut b = Bench::new(&["/l/*.log"]);
    b.look();
    let header = format!("{}\n", "#fields ts uid id ".repeat(10));
    for name in ["/l/x.log", "/l/xy.log"] {
        b.mem.append(name, &header);
    }
    b.settle();
    b.mem.append("/l/x.log", "x1\n");
    b.mem.append("/l/xy.log", "y1\n");
    b.look();
    assert_eq!(b.lines().iter().filter(|l| l.starts_with("#fields")).count(), 2);
    assert_eq!(&b.lines()[2..], ["x1", "y1"]);
}

#[test]
fn empty_files_are_not_taken_for_each_other() {
    let mut b = Bench::new(&["/l/*.log"]);
    b.mem.create("/l/a.log");
    b.mem.create("/l/b.log");
    b.look();
    b.mem.rename("/l/a.log", "/l/a.log.1");
    b.mem.create("/l/a.log");
    b.kill().look();
    b.mem.append("/l/a.log", "a\n");
    b.mem.append("/l/b.log", "b\n");
    b.look();
    assert_eq!(b.lines(), ["a", "b"]);
    assert!(b.kept.lost.is_empty());
}

#[test]
fn a_link_that_is_switched() {
    let mut b = Bench::new(&["/l/current"]);
    b.mem.append("/d/1", "old\n");
    b.mem.link("/l/current", "/d/1");
    b.look();
    b.mem.append("/d/1", "one\n");
    b.mem.append("/d/2", "two\n");
    b.mem.link("/l/current", "/d/2");
    b.look();
    b.mem.append("/d/1", "late\n");
    b.look();
    assert_eq!(b.lines(), ["one", "two", "late"]);
}

#[test]
fn two_names_of_one_file_give_each_line_once() {
    let mut b = Bench::new(&["/l/*.log"]);
    b.mem.append("/l/a.log", "old\n");
    b.mem.link("/l/b.log", "/l/a.log");
    b.look();
    b.mem.append("/l/a.log", "one\n");
    b.settle();
    assert_eq!(b.lines(), ["one"]);
    assert_eq!(b.follower.aside().count(), 1);
}

#[test]
fn renamed_within_what_is_followed_keeps_its_place() {
    let mut b = Bench::new(&["/l/*"]);
    b.mem.append("/l/a", "old\n");
    b.look();
    b.mem.append("/l/a", "one\n");
    b.look();
    b.mem.rename("/l/a", "/l/a.1");
    b.mem.append("/l/a", "two\n");
    b.settle();
    b.mem.append("/l/a.1", "three\n");
    b.settle();
    assert_eq!(b.lines(), ["one", "two", "three"]);
}

#[test]
fn a_copy_within_what_is_followed_is_not_read_again() {
    let mut b = Bench::new(&["/l/*"]);
    b.mem.append("/l/a", "old old old\n");
    b.look();
    b.mem.append("/l/a", "one\n");
    b.look();
    b.mem.append("/l/a", "two\n");
    b.mem.copy("/l/a", "/l/a.1");
    b.mem.truncate("/l/a");
    b.mem.append("/l/a", "three\n");
    b.settle();
    b.kill().settle();
    let mut lines = b.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "three", "two"]);
}

#[test]
fn rotated_while_the_agent_was_away() {
    let mut b = started();
    b.mem.append(LOG, "one\n");
    b.look();
    b.mem.append(LOG, "two\n");
    b.mem.rename(LOG, "/l/a.log.1");
    b.mem.append(LOG, "three\n");
    b.kill().look();
    assert_eq!(b.lines(), ["one", "two", "three"]);
    assert!(b.kept.lost.is_empty());
}

#[test]
fn rotated_and_gone_while_the_agent_was_away_is_declared() {
    let mut b = started();
    b.mem.append(LOG, "one\n");
    b.look();
    b.mem.remove(LOG);
    b.mem.append(LOG, "three\n");
    b.kill().look();
    assert_eq!(b.lines(), ["one", "three"]);
    assert_eq!(b.kept.lost, ["rotated_unseen"]);
}

#[test]
fn a_long_line_gives_its_head_and_the_next_is_whole() {
    let mut b = started();
    for _ in 0..1024 {
        b.mem.append(LOG, &"x".repeat(1024));
    }
    b.look();
    b.kill().look();
    b.mem.append(LOG, "tail of it\nnext\n");
    b.look();
    assert_eq!(b.lines(), [&"x".repeat(256), "next"]);
    assert_eq!(b.kept.lost, ["line_too_long"]);
}

#[test]
fn a_line_of_exactly_the_limit_is_whole() {
    let mut b = started();
    b.mem.append(LOG, &format!("{}\n{}\n", "y".repeat(256), "z".repeat(257)));
    b.look();
    assert_eq!(b.lines(), ["y".repeat(256), "z".repeat(256)]);
    assert_eq!(b.kept.lost, ["line_too_long"]);
}

#[test]
fn a_flood_of_short_lines_is_checkpointed_in_small_groups() {
    let mut b = started();
    b.mem.append(LOG, &"x\n".repeat(20_000));
    b.now += 1;
    let mut groups = Vec::new();
    let mut before = 0;
    while b.follower.step(Timestamp::from_secs(b.now), &mut b.kept) {
        groups.push(b.kept.lines.len() - before);
        before = b.kept.lines.len();
        // Killed between two groups: the next life goes on exactly there.
        if groups.len() == 3 {
            b.kill();
        }
    }
    assert!(groups.iter().all(|n| *n <= 512), "{groups:?}");
    assert_eq!(b.kept.lines.len(), 20_000);
}

#[test]
fn zeros_before_a_line_and_bytes_that_are_no_text() {
    let mut b = started();
    b.mem.append_bytes(LOG, &[0; 100_000]);
    b.mem.append_bytes(LOG, b"one\n\xff\xfe\x00two\n");
    b.look();
    assert_eq!(b.lines(), ["one", "\u{fffd}\u{fffd}\0two"]);
    assert!(b.kept.lost.is_empty());
}

#[test]
fn no_right_to_read_is_said_and_granted_later_is_read_by_the_rule_for_first_sight() {
    let mut b = Bench::new(&[LOG]);
    b.mem.append(LOG, "old\n");
    b.mem.0.borrow_mut().refuse.push(LOG.into());
    b.look();
    assert!(b.follower.states().next().unwrap().trouble.starts_with("permission denied; "));
    b.mem.0.borrow_mut().refuse.clear();
    b.look();
    b.mem.append(LOG, "new\n");
    b.look();
    assert_eq!(b.lines(), ["new"]);
}

#[test]
fn more_files_than_the_limit_is_said() {
    let mut b = Bench::new(&["/l/*"]);
    for n in 0..70 {
        b.mem.append(&format!("/l/{n:02}"), "x\n");
    }
    b.look();
    assert!(b.follower.too_many);
    assert_eq!(b.follower.states().count(), 64);
}

#[test]
fn own_files_and_excluded_ones_are_not_followed() {
    let mut b = Bench::new(&["/own/*", "/l/*"]);
    b.mem.append("/own/log", "x\n");
    b.mem.append("/l/a.gz", "x\n");
    b.look();
    assert_eq!(b.follower.states().count(), 0);
}

/// Numbers from a seed (xorshift), so that a failure can be done again.
struct Dice(u64);
impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Any order of writing, rotating, looking, committing and dying: every line written is kept exactly once.
#[test]
fn no_line_lost_and_none_twice_whatever_the_order() {
    for seed in 1..=2_000u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let glob = seed % 2 == 0;
        // A log is rotated in one way: renamed, or copied and truncated.
        let renamed = seed % 4 < 2;
        let mut b = Bench::new(if glob { &["/l/*"] } else { &[LOG] });
        b.mem.append(LOG, "start\n");
        b.look();
        let mut durable = b.kept.clone();
        let mut written: Vec<String> = Vec::new();
        let mut rotation = 0;
        let mut story = String::new();
        for _ in 0..dice.roll(60) {
            match dice.roll(12) {
                0..=4 => {
                    for _ in 0..=dice.roll(3) {
                        let line = format!("line {} {}", written.len(), "-".repeat(dice.roll(40) as usize));
                        b.mem.append(LOG, &format!("{line}\n"));
                        written.push(line);
                    }
                    story.push('w');
                }
                5 if renamed => {
                    rotation += 1;
                    b.mem.rename(LOG, &format!("{LOG}.{rotation}"));
                    b.mem.create(LOG);
                    story.push('R');
                }
                6 if renamed => {
                    // The writer goes on in the old file for a while.
                    rotation += 1;
                    let to = format!("{LOG}.{rotation}");
                    b.mem.rename(LOG, &to);
                    let line = format!("line {} late", written.len());
                    b.mem.append(&to, &format!("{line}\n"));
                    written.push(line);
                    b.mem.create(LOG);
                    story.push('L');
                }
                5..=7 if !renamed => {
                    // Something was read of it: what is written to an empty file, copied and cut between two looks leaves no trace.
                    let line = format!("line {} seen before the copy", written.len());
                    b.mem.append(LOG, &format!("{line}\n"));
                    written.push(line);
                    b.look();
                    rotation += 1;
                    let line = format!("line {} unread at the copy", written.len());
                    b.mem.append(LOG, &format!("{line}\n"));
                    written.push(line);
                    b.mem.copy(LOG, &format!("{LOG}.{rotation}"));
                    b.mem.truncate(LOG);
                    // Found at the next look; a second cut before it would be past finding.
                    b.look();
                    durable = b.kept.clone();
                    story.push('C');
                }
                5..=9 => {
                    b.look();
                    story.push('s');
                }
                10 => {
                    durable = b.kept.clone();
                    story.push('c');
                }
                _ => {
                    b.kept = durable.clone();
                    b.kill();
                    story.push('K');
                }
            }
        }
        b.settle();
        let mut got = b.kept.lines.clone();
        got.sort();
        written.sort();
        let missing: Vec<_> = written.iter().filter(|l| !got.contains(l)).collect();
        let twice: Vec<_> = got.windows(2).filter(|w| w[0] == w[1]).collect();
        assert_eq!(got, written, "seed {seed}, story {story}\nmissing {missing:?}\ntwice {twice:?}");
    }
}

#[test]
fn real_files_rotate_the_same_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let pattern = path.to_str().unwrap().to_owned();
    let append = |path: &Path, text: &str| {
        use std::io::Write;
        std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    let mut kept = Kept::default();
    let mut now = 1_000;
    let mut look = |follower: &mut Follower<HostFiles>, kept: &mut Kept| {
        now += 1;
        while follower.step(Timestamp::from_secs(now), kept) {}
    };
    let new = |kept: &Kept| Follower::new(HostFiles, rules(&[&pattern]), &kept.checkpoints.clone().into_iter().collect::<Vec<_>>());
    append(&path, "before\n");
    let mut follower = new(&kept);
    look(&mut follower, &mut kept);
    append(&path, "one\n");
    std::fs::rename(&path, dir.path().join("a.log.1")).unwrap();
    append(&path, "two\n");
    look(&mut follower, &mut kept);
    append(&path, "three\n");
    std::fs::copy(&path, dir.path().join("a.log.2")).unwrap();
    std::fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    look(&mut follower, &mut kept);
    append(&path, "four\n");
    follower = new(&kept);
    look(&mut follower, &mut kept);
    look(&mut follower, &mut kept);
    assert_eq!(kept.lines, ["one", "two", "three", "four"]);
    assert_eq!(kept.lost, ["copytruncate_window"]);
}
