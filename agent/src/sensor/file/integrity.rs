//! Decides what changed. Gets notices ("something happened at this path"), looks when a path has been quiet, compares with the baseline and
//! gives changes. Time is an argument; the file system is the real one.
//!
//! Everything that may have changed goes one way, whether a notice, a rescan or a restart found it: into `dirty`, and from there, quiet and within the
//! byte budget, into `examine`. A rename is a path that went and one that came with the same inode, size and time in the same look.
//!
//! Limits: `files_max` entries, `DIRTY_MAX` paths waiting (past it: forget them, look at everything, declare `watch_overflow`),
//! `hash_bytes_max` a file, `bytes_per_second` of reading, `REPORTED_MAX` changes between two writings of the baseline.

use event::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::baseline::{Baseline, Entry, FileType, short_hash};
use super::scan::{self, Scope, Walk};

const DIRTY_MAX: usize = 16_384;
/// Fits a checkpoint of 4 KiB, 16 bytes each.
pub const REPORTED_MAX: usize = 250;
/// A path that is never quiet is looked at after this time all the same.
const PATIENCE_NS: i64 = 5 * event::SECOND_NS;
const READ_BYTES: usize = 32 * 1024;

#[derive(Debug, Clone)]
pub struct Limits {
    pub files_max: usize,
    pub hash_bytes_max: u64,
    pub bytes_per_second: u64,
    pub quiet_ns: i64,
}

/// One change: what the path was like and is like.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub path: PathBuf,
    /// New path of a renamed file.
    pub target: Option<PathBuf>,
    pub before: Option<Entry>,
    pub after: Option<Entry>,
}

impl Change {
    /// `created`, `deleted`, `renamed`, or which of `content`, `mode`, `owner` differ. Empty: nothing worth telling.
    pub fn what(&self) -> Vec<&'static str> {
        match (&self.before, &self.after, &self.target) {
            (_, _, Some(_)) => vec!["renamed"],
            (None, Some(_), None) => vec!["created"],
            (Some(_), None, None) => vec!["deleted"],
            (Some(a), Some(b), None) => {
                let content = match (a.sha256, b.sha256) {
                    (Some(x), Some(y)) => x != y,
                    _ => a.size != b.size || a.modified_ns != b.modified_ns,
                };
                let checks =
                    [("content", content || a.kind != b.kind), ("mode", a.mode != b.mode), ("owner", (a.uid, a.gid) != (b.uid, b.gid))];
                checks.into_iter().filter(|(_, differs)| *differs).map(|(word, _)| word).collect()
            }
            (None, None, None) => Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    first: Timestamp,
    last: Timestamp,
}

pub struct Integrity {
    pub scope: Scope,
    limits: Limits,
    pub baseline: Baseline,
    dirty: BTreeMap<PathBuf, Wait>,
    /// The first look at everything: what is found is what is, not a change.
    learning: bool,
    /// Reported in an earlier life after the baseline was written: path, and what it was reported to be.
    known: BTreeSet<(u64, u64)>,
    /// Reported in this life after the baseline was written.
    pub reported: Vec<(u64, u64)>,
    budget: u64,
    budget_at: Option<Timestamp>,
    pub walk_note: Option<String>,
    pub refused: BTreeMap<PathBuf, String>,
    /// Folders that were not known before and need a watch.
    pub new_folders: Vec<PathBuf>,
    buffer: Vec<u8>,
}

impl Integrity {
    /// With `baseline: None` the first look is learnt and not told.
    pub fn new(scope: Scope, limits: Limits, baseline: Option<Baseline>, known: BTreeSet<(u64, u64)>) -> Self {
        Self {
            scope,
            limits,
            learning: baseline.is_none(),
            baseline: baseline.unwrap_or_default(),
            dirty: BTreeMap::new(),
            known,
            reported: Vec::new(),
            budget: 0,
            budget_at: None,
            walk_note: None,
            refused: BTreeMap::new(),
            new_folders: Vec::new(),
            buffer: vec![0; READ_BYTES],
        }
    }

    /// Something happened at the path. False if too much waits already: rescan.
    pub fn notice(&mut self, path: PathBuf, now: Timestamp) -> bool {
        if !self.scope.covers(&path) {
            return true;
        }
        if self.dirty.len() >= DIRTY_MAX && !self.dirty.contains_key(&path) {
            self.dirty.clear();
            return false;
        }
        self.dirty.entry(path).and_modify(|w| w.last = now).or_insert(Wait { first: now, last: now });
        true
    }

    /// Looks at everything in scope and marks what differs from the baseline.
    pub fn rescan(&mut self, now: Timestamp) {
        let walk = scan::walk(&self.scope, self.limits.files_max);
        self.walk_note =
            (!walk.whole).then(|| format!("more than {} files; raise sensor.file.files_max or name fewer paths", self.limits.files_max));
        self.refused = walk.refused.iter().take(64).cloned().collect();
        let seen: BTreeSet<&PathBuf> = walk.paths.iter().collect();
        let due = now.minus_ns(self.limits.quiet_ns);
        let wait = Wait { first: due, last: due };
        for path in &walk.paths {
            let same = match (self.baseline.entries.get(path), scan::look(path)) {
                (Some(old), Ok(Some(new))) => same_but_hash(old, &new),
                _ => false,
            };
            if !same {
                self.dirty.entry(path.clone()).or_insert(wait);
            }
        }
        if walk.whole {
            let gone: Vec<PathBuf> = self.baseline.entries.keys().filter(|p| !seen.contains(p)).cloned().collect();
            for path in gone {
                // No longer in scope is no deletion.
                if self.scope.covers(&path) {
                    self.dirty.entry(path).or_insert(wait);
                } else {
                    self.baseline.entries.remove(&path);
                }
            }
        }
    }

    /// True while the first look is not through.
    pub fn is_learning(&self) -> bool {
        self.learning
    }
    pub fn waiting(&self) -> usize {
        self.dirty.len()
    }

    /// When `examine` has something to do next; `None` if nothing waits.
    pub fn due(&self) -> Option<Timestamp> {
        self.dirty.values().map(|w| self.due_of(w)).min()
    }

    fn due_of(&self, wait: &Wait) -> Timestamp {
        wait.last.plus_ns(self.limits.quiet_ns).min(wait.first.plus_ns(PATIENCE_NS))
    }

    /// Looks at the paths that are due and gives what changed, as far as byte budget and room for reports go.
    pub fn examine(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        self.refill(now);
        let due: Vec<PathBuf> = self.dirty.iter().filter(|(_, w)| self.due_of(w) <= now).map(|(p, _)| p.clone()).collect();
        let mut gone: Vec<(PathBuf, Entry)> = Vec::new();
        let mut came: Vec<(PathBuf, Entry)> = Vec::new();
        // Bytes that will be read for the paths in `came`.
        let mut planned = 0u64;
        for path in due {
            let room = self.learning || self.reported.len() + changes.len() + gone.len() + came.len() < REPORTED_MAX;
            if self.budget <= planned || !room {
                break;
            }
            let Some(wait) = self.dirty.remove(&path) else { continue };
            let Ok(new) = scan::look(&path) else {
                self.refused.insert(path, "cannot be looked at".to_owned());
                continue;
            };
            let old = self.baseline.entries.get(&path).copied();
            if new.is_none_or(|n| n.kind != FileType::Folder) && old.is_some_and(|o| o.kind == FileType::Folder) {
                let children: Vec<PathBuf> = self.baseline.under(&path).map(|(p, _)| p.clone()).collect();
                for child in children {
                    self.dirty.entry(child).or_insert(wait);
                }
            }
            match (old, new) {
                (None, None) => {}
                (Some(old), None) => gone.push((path, old)),
                (None, Some(new)) => {
                    if new.kind == FileType::Folder {
                        self.enter(&path, wait);
                    }
                    if new.kind == FileType::File && new.size <= self.limits.hash_bytes_max {
                        planned = planned.saturating_add(new.size.max(1));
                    }
                    came.push((path, new));
                }
                (Some(old), Some(new)) => self.compare(path, old, new, now, changes),
            }
        }
        self.settle(gone, came, now, changes);
        if self.learning && self.dirty.is_empty() {
            self.learning = false;
        }
    }

    /// A folder that was not there: what is in it came with it, perhaps before anyone watched it.
    fn enter(&mut self, path: &Path, wait: Wait) {
        if self.scope.names(path) {
            self.new_folders.push(path.to_owned());
        }
        let mut walk = Walk { whole: true, ..Walk::default() };
        scan::below(&self.scope, path.to_owned(), self.limits.files_max, &mut walk);
        for child in walk.paths {
            if child != path && !self.baseline.entries.contains_key(&child) {
                self.dirty.entry(child).or_insert(wait);
            }
        }
    }

    fn compare(&mut self, path: PathBuf, old: Entry, new: Entry, now: Timestamp, changes: &mut Vec<Change>) {
        if same_but_hash(&old, &new) {
            return;
        }
        // Owner and mode alone change no content, but a stat cannot tell that alone, so the content is read whenever anything differs.
        let Some(new) = self.with_hash(&path, new, now) else { return };
        self.baseline.entries.insert(path.clone(), new);
        self.tell(Change { path, target: None, before: Some(old), after: Some(new) }, changes);
    }

    /// Joins what went and what came into renames; the rest are deletions and creations.
    fn settle(&mut self, mut gone: Vec<(PathBuf, Entry)>, came: Vec<(PathBuf, Entry)>, now: Timestamp, changes: &mut Vec<Change>) {
        for (path, new) in came {
            let moved = gone.iter().position(|(_, old)| {
                (old.device, old.inode, old.kind, old.size, old.modified_ns) == (new.device, new.inode, new.kind, new.size, new.modified_ns)
            });
            if let Some(at) = moved {
                let (from, old) = gone.swap_remove(at);
                let new = Entry { sha256: old.sha256, ..new };
                self.baseline.entries.remove(&from);
                self.insert(path.clone(), new);
                self.tell(Change { path: from, target: Some(path), before: Some(old), after: Some(new) }, changes);
                continue;
            }
            let Some(new) = self.with_hash(&path, new, now) else { continue };
            if self.insert(path.clone(), new) && !self.learning {
                self.tell(Change { path, target: None, before: None, after: Some(new) }, changes);
            }
        }
        for (path, old) in gone {
            self.baseline.entries.remove(&path);
            self.tell(Change { path, target: None, before: Some(old), after: None }, changes);
        }
    }

    fn insert(&mut self, path: PathBuf, entry: Entry) -> bool {
        if self.baseline.entries.len() >= self.limits.files_max && !self.baseline.entries.contains_key(&path) {
            self.walk_note = Some(format!("more than {} files; raise sensor.file.files_max or name fewer paths", self.limits.files_max));
            return false;
        }
        self.baseline.entries.insert(path, entry);
        true
    }

    /// The entry with its content's hash. `None` if the file changed while it was read: it is looked at again.
    fn with_hash(&mut self, path: &Path, entry: Entry, now: Timestamp) -> Option<Entry> {
        if entry.kind != FileType::File || entry.size > self.limits.hash_bytes_max {
            return Some(entry);
        }
        match scan::hash(path, self.limits.hash_bytes_max, &mut self.buffer) {
            Ok((sha256, bytes)) => {
                self.budget = self.budget.saturating_sub(bytes.max(1));
                match scan::look(path) {
                    Ok(Some(after)) if after.same_stat(&entry) => {
                        self.refused.remove(path);
                        Some(Entry { sha256, ..entry })
                    }
                    _ => {
                        self.dirty.insert(path.to_owned(), Wait { first: now, last: now });
                        None
                    }
                }
            }
            Err(error) => {
                if error.kind() == std::io::ErrorKind::NotFound {
                    self.dirty.insert(path.to_owned(), Wait { first: now, last: now });
                    return None;
                }
                if self.refused.len() < 64 {
                    self.refused.insert(path.to_owned(), error.to_string());
                }
                Some(entry)
            }
        }
    }

    fn tell(&mut self, change: Change, changes: &mut Vec<Change>) {
        if change.what().is_empty() {
            return;
        }
        let path = change.target.as_ref().unwrap_or(&change.path);
        let key = (path_hash(path), change.after.as_ref().map_or(0, Entry::digest));
        if self.known.remove(&key) {
            return;
        }
        self.reported.push(key);
        changes.push(change);
    }

    fn refill(&mut self, now: Timestamp) {
        let rate = self.limits.bytes_per_second;
        let passed = self.budget_at.map_or(event::SECOND_NS, |at| now.since(at)).clamp(0, event::SECOND_NS);
        let add = u128::from(rate) * u128::from(passed.unsigned_abs()) / 1_000_000_000;
        self.budget = self.budget.saturating_add(u64::try_from(add).unwrap_or(rate)).min(rate);
        self.budget_at = Some(now);
    }
}

/// The stat is the same. A link's target is part of what a look gives.
fn same_but_hash(old: &Entry, new: &Entry) -> bool {
    old.same_stat(new) && (new.kind != FileType::Link || old.sha256 == new.sha256)
}

fn path_hash(path: &Path) -> u64 {
    use std::os::unix::ffi::OsStrExt;
    short_hash(path.as_os_str().as_bytes())
}
