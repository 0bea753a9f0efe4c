//! Follows paths across rename, copytruncate, truncation, deletion, inode reuse and link switches. Pure: a file system behind a trait, time as
//! an argument, lines and checkpoints into a sink. One call of `step` is one look at every file.
//!
//! Per path there is at most one live file (what the path names now) and up to `OLD_MAX` old ones (what it named before), which are read until they
//! were at their end twice and `linger` has passed: writers go on in the old file until they reopen. After the lines of a look comes a
//! checkpoint with the marks of all of them, so a resumed follower neither loses a line nor gives one twice.
//!
//! What cannot be had is declared through `Sink::lost`: `truncated` (the file was cut and no copy of the rest was found), `copytruncate_window` (the
//! copy was found and read; what was written between the copy and the cut is gone and cannot be counted), `rotated_unseen` (a file that
//! was being read is nowhere any more after a restart), `line_too_long`. A count of 1 stands for one such occasion.
//!
//! Limits: `files_max` paths, `OLD_MAX` old files each, one buffer of lines a file between two checkpoints.

use event::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use super::files::{Files, Handle, Identity};
use super::glob;
use super::tail::{self, LineAt, Look, Mark, Role, Saved, Tail};

const OLD_MAX: usize = 16;
const COPIES_MAX: usize = 64;

/// What to follow and how.
#[derive(Debug, Clone)]
pub struct Rules {
    pub paths: Vec<String>,
    pub exclude: Vec<String>,
    /// Files that are there at first sight are read from their start rather than from their end.
    pub from_start: bool,
    pub line_max: usize,
    pub files_max: usize,
    /// How often patterns are looked up again.
    pub rescan_ns: i64,
    /// How long a rotated file is read on at least.
    pub linger_ns: i64,
    /// The agent's own files.
    pub own: Vec<PathBuf>,
}

impl Rules {
    /// Compressed: its content cannot be read as lines.
    fn packed(&self, path: &Path) -> bool {
        path.extension().and_then(|e| e.to_str()).is_some_and(|e| matches!(e, "gz" | "xz" | "bz2" | "zst" | "lz4" | "zip"))
    }
}

/// Where lines, checkpoints and losses go. `checkpoint` covers all lines given before it.
pub trait Sink {
    fn line(&mut self, path: &Path, line: &LineAt<'_>);
    fn checkpoint(&mut self, path: &Path, value: &[u8]);
    fn lost(&mut self, path: &Path, count: u64, reason: &'static str);
}

struct Old<H> {
    tail: Tail<H>,
    since: Timestamp,
    /// A copy, not the file itself: nobody writes to it, so it ends at its end.
    copy: bool,
}

struct Follow<H> {
    live: Option<Tail<H>>,
    old: Vec<Old<H>>,
    /// Why the path cannot be read now; empty if it can.
    trouble: String,
    /// What last happened to it, for the coverage statement.
    note: String,
    changed: bool,
    /// It was open at some time; if it was not, its first opening follows the rule for first sight.
    seen: bool,
}

impl<H> Default for Follow<H> {
    fn default() -> Self {
        Self { live: None, old: Vec::new(), trouble: String::new(), note: String::new(), changed: false, seen: false }
    }
}

/// State of one path for a coverage statement.
pub struct PathState<'a> {
    pub path: &'a Path,
    pub open: bool,
    pub trouble: &'a str,
    pub note: &'a str,
}

pub struct Follower<F: Files> {
    files: F,
    rules: Rules,
    follows: BTreeMap<PathBuf, Follow<F::Handle>>,
    /// Paths that match and are left alone, with the reason.
    aside: BTreeMap<PathBuf, &'static str>,
    /// More paths matched than may be followed.
    pub too_many: bool,
    saved: BTreeMap<PathBuf, Saved>,
    /// Newest time in a checkpoint of an earlier life; files born later appeared while the agent was away.
    saved_at_ns: Option<i64>,
    scanned_at: Option<Timestamp>,
    first: bool,
    /// Files known to be copies of what was read: never read from their start.
    copies: VecDeque<Identity>,
    buffer: Vec<u8>,
}

impl<F: Files> Follower<F> {
    /// `checkpoints` as an earlier life gave them to the sink, by path.
    pub fn new(files: F, rules: Rules, checkpoints: &[(String, Vec<u8>)]) -> Self {
        let saved: BTreeMap<PathBuf, Saved> =
            checkpoints.iter().filter_map(|(path, value)| Some((PathBuf::from(path), tail::decode(value)?))).collect();
        let saved_at_ns = saved.values().map(|s| s.at_ns).max();
        let buffer = tail::buffer(rules.line_max);
        Self {
            files,
            rules,
            follows: BTreeMap::new(),
            aside: BTreeMap::new(),
            too_many: false,
            saved,
            saved_at_ns,
            scanned_at: None,
            first: true,
            copies: VecDeque::new(),
            buffer,
        }
    }

    /// One look at every file. True if there is more to read right now.
    pub fn step(&mut self, now: Timestamp, sink: &mut dyn Sink) -> bool {
        let due = self.scanned_at.is_none_or(|at| now.since(at) >= self.rules.rescan_ns || now < at);
        if due {
            self.rescan(now, sink);
            self.scanned_at = Some(now);
        }
        let paths: Vec<PathBuf> = self.follows.keys().cloned().collect();
        let mut more = false;
        for path in paths {
            let Some(mut follow) = self.follows.remove(&path) else { continue };
            self.refresh(&path, &mut follow, now, sink);
            more |= self.read(&path, &mut follow, now, sink);
            save(&path, &mut follow, now, sink);
            self.follows.insert(path, follow);
        }
        more
    }

    /// Looks patterns up at the next step, whatever the time.
    pub fn rescan_soon(&mut self) {
        self.scanned_at = None;
    }

    pub fn states(&self) -> impl Iterator<Item = PathState<'_>> {
        self.follows.iter().map(|(path, f)| PathState { path, open: f.live.is_some(), trouble: &f.trouble, note: &f.note })
    }
    pub fn aside(&self) -> impl Iterator<Item = (&Path, &'static str)> {
        self.aside.iter().map(|(path, why)| (path.as_path(), *why))
    }
    /// Patterns that name nothing at present.
    pub fn unmatched(&self) -> impl Iterator<Item = &str> {
        let named =
            |p: &&String| !self.follows.iter().any(|(path, f)| glob::path_matches(p, path) && (f.live.is_some() || !f.trouble.is_empty()));
        self.rules.paths.iter().filter(named).map(String::as_str)
    }

    fn wanted(&self, path: &Path) -> bool {
        self.rules.paths.iter().any(|p| glob::path_matches(p, path))
            && !self.rules.exclude.iter().any(|p| glob::path_matches(p, path))
            && !self.rules.own.iter().any(|own| path.starts_with(own))
    }

    fn rescan(&mut self, now: Timestamp, sink: &mut dyn Sink) {
        let first = std::mem::replace(&mut self.first, false);
        self.aside.clear();
        self.too_many = false;
        let mut found: Vec<PathBuf> = Vec::new();
        for pattern in &self.rules.paths {
            let (paths, whole) = self.files.matching(pattern, self.rules.files_max);
            self.too_many |= !whole;
            found.extend(paths);
        }
        // A path of an earlier life that names nothing now may still have its file beside it, under another name.
        found.extend(self.saved.keys().cloned());
        found.sort();
        found.dedup();
        found.retain(|path| self.wanted(path) && !self.follows.contains_key(path));
        // First those that are exactly where they were: they say which files are taken before anyone searches for a lost one.
        let (exact, rest): (Vec<_>, Vec<_>) = found.into_iter().partition(|path| self.is_where_it_was(path));
        for path in exact.into_iter().chain(rest) {
            if self.follows.len() >= self.rules.files_max {
                self.too_many = true;
                break;
            }
            self.admit(path, first, now, sink);
        }
        if first {
            for path in std::mem::take(&mut self.saved).into_keys() {
                // No longer configured: forget it, or it would be carried on for ever.
                sink.checkpoint(&path, b"");
            }
        }
        let gone: Vec<PathBuf> = self
            .follows
            .iter()
            .filter(|(path, f)| f.live.is_none() && f.old.is_empty() && f.trouble.is_empty() && self.files.stat(path).is_err())
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.follows.remove(&path);
            sink.checkpoint(&path, b"");
        }
    }

    fn is_where_it_was(&self, path: &Path) -> bool {
        let Some(mark) = self.saved.get(path).and_then(|s| s.live.as_ref()) else { return false };
        self.files.stat(path).is_ok_and(|s| s.identity == mark.identity)
    }

    /// Takes up a path that was not followed.
    fn admit(&mut self, path: PathBuf, first: bool, now: Timestamp, sink: &mut dyn Sink) {
        if let Some(saved) = self.saved.remove(&path) {
            let follow = self.resume(&path, &saved, now, sink);
            self.follows.insert(path, follow);
            return;
        }
        let Ok(stat) = self.files.stat(&path) else { return };
        if !stat.regular {
            self.aside.insert(path, "not a regular file");
            return;
        }
        if let Some(holder) = self.holder(stat.identity) {
            // Followed under another name. If that name means something else by now, the file was renamed within what we follow: it keeps its place.
            let still_there = self.files.stat(&holder).is_ok_and(|s| s.identity == stat.identity);
            if still_there {
                self.aside.insert(path, "another name of a file that is followed");
                return;
            }
            let tail = self.follows.get_mut(&holder).and_then(|f| take(f, stat.identity));
            let mut follow =
                Follow { live: tail, changed: true, note: format!("was {}", holder.display()), seen: true, ..Follow::default() };
            save(&path, &mut follow, now, sink);
            self.follows.insert(path, follow);
            if let Some(other) = self.follows.get_mut(&holder) {
                other.changed = true;
                save(&holder, other, now, sink);
            }
            return;
        }
        if self.copies.contains(&stat.identity) || self.is_copy(&path) {
            let mut follow =
                Follow { note: "a copy of a file that is followed; only what is added to it is read".to_owned(), ..Follow::default() };
            self.open(&path, &mut follow, false);
            save(&path, &mut follow, now, sink);
            self.follows.insert(path, follow);
            return;
        }
        let appeared_later = !first || self.saved_at_ns.is_some_and(|at| stat.identity.born_ns > at);
        let from_start = self.rules.from_start || appeared_later;
        let mut follow = Follow::default();
        self.open(&path, &mut follow, from_start);
        save(&path, &mut follow, now, sink);
        self.follows.insert(path, follow);
    }

    /// Path whose live or old file this is.
    fn holder(&self, identity: Identity) -> Option<PathBuf> {
        let has = |f: &Follow<F::Handle>| {
            f.live.as_ref().is_some_and(|t| t.mark.identity == identity)
                || f.old.iter().any(|o| !o.copy && o.tail.mark.identity == identity)
        };
        self.follows.iter().find(|(_, f)| has(f)).map(|(path, _)| path.clone())
    }

    /// True if the path looks like a rotated copy: its name begins with a followed one's, and it has that one's content up to where we are.
    fn is_copy(&self, path: &Path) -> bool {
        let Some(name) = path.to_str() else { return false };
        self.follows.iter().any(|(other, f)| {
            let beside = other.to_str().is_some_and(|o| name.len() > o.len() && name.starts_with(o));
            beside && f.live.as_ref().is_some_and(|t| t.mark.offset > 0 && self.proves(path, &t.mark).is_some())
        })
    }

    /// Opens the path if its content is what the mark says.
    fn proves(&self, path: &Path, mark: &Mark) -> Option<Tail<F::Handle>> {
        let handle = self.files.open(path).ok()?;
        let stat = handle.stat().ok().filter(|s| s.regular)?;
        Tail::resume(handle, stat.identity, mark).ok().flatten()
    }

    fn resume(&mut self, path: &Path, saved: &Saved, now: Timestamp, sink: &mut dyn Sink) -> Follow<F::Handle> {
        let mut follow = Follow { changed: true, ..Follow::default() };
        for (mark, copy) in &saved.old {
            self.recover(path, mark, *copy, &mut follow, now, sink);
        }
        let Some(mark) = &saved.live else { return follow };
        let here = self.files.stat(path).ok();
        if here.is_some_and(|s| s.identity == mark.identity)
            && let Some(tail) = self.proves(path, mark)
        {
            follow.live = Some(tail);
            follow.seen = true;
            return follow;
        }
        self.recover(path, mark, false, &mut follow, now, sink);
        if here.is_none_or(|s| s.identity != mark.identity) {
            let until_ns = here.map_or(i64::MAX, |s| s.identity.born_ns);
            let unseen = self.unseen(path, mark, until_ns);
            follow.old.extend(unseen.into_iter().map(|tail| Old { tail, since: now, copy: false }));
        }
        if here.is_some() {
            follow.note = "replaced while the agent was away; read from its start".to_owned();
            self.open(path, &mut follow, true);
        }
        follow
    }

    /// Looks beside the path for the rest of a file that is no longer under it.
    fn recover(&mut self, path: &Path, mark: &Mark, copy: bool, follow: &mut Follow<F::Handle>, now: Timestamp, sink: &mut dyn Sink) {
        follow.seen = true;
        if !copy && self.holder(mark.identity).is_some_and(|holder| holder != path) {
            return;
        }
        let beside = self.files.siblings(path);
        let exact = beside.iter().find(|p| self.files.stat(p).is_ok_and(|s| s.identity == mark.identity));
        if let Some(tail) = exact.and_then(|p| self.proves(p, mark)) {
            follow.old.push(Old { tail, since: now, copy });
            return;
        }
        if mark.offset > 0
            && let Some(tail) = beside.iter().find_map(|p| self.proves(p, mark))
        {
            self.remember_copy(tail.mark.identity);
            follow.old.push(Old { tail, since: now, copy: true });
            follow.changed = true;
            sink.lost(path, 1, "copytruncate_window");
            return;
        }
        // A file that was empty when last seen has nothing to be missed.
        if mark.head_len > 0 {
            sink.lost(path, 1, "rotated_unseen");
        }
    }

    /// Files that came and went under the path without being seen: beside it, born after the file that was read and before the one that is there
    /// now, and not beginning like the former (that would be a copy of it). Where the file system tells no births, none are found.
    fn unseen(&self, path: &Path, former: &Mark, until_ns: i64) -> Vec<Tail<F::Handle>> {
        if former.identity.born_ns == 0 {
            return Vec::new();
        }
        let mut found: Vec<Tail<F::Handle>> = Vec::new();
        for beside in self.files.siblings(path) {
            if self.rules.packed(&beside) {
                continue;
            }
            let Ok(handle) = self.files.open(&beside) else { continue };
            let Ok(stat) = handle.stat() else { continue };
            let between = stat.identity.born_ns > former.identity.born_ns && stat.identity.born_ns < until_ns;
            let known = self.copies.contains(&stat.identity) || self.holder(stat.identity).is_some();
            if !stat.regular || !between || known {
                continue;
            }
            let head = Mark { identity: stat.identity, head_len: former.head_len, head: former.head, ..Mark::default() };
            if former.head_len > 0
                && let Ok(handle) = self.files.open(&beside)
                && matches!(Tail::resume(handle, stat.identity, &head), Ok(Some(_)))
            {
                continue;
            }
            found.push(Tail::from_start(handle, stat.identity));
        }
        found.sort_by_key(|tail| tail.mark.identity.born_ns);
        found.truncate(OLD_MAX);
        found
    }

    fn remember_copy(&mut self, identity: Identity) {
        if self.copies.len() >= COPIES_MAX {
            self.copies.pop_front();
        }
        self.copies.push_back(identity);
    }

    fn open(&self, path: &Path, follow: &mut Follow<F::Handle>, from_start: bool) {
        let opened = self.files.open(path).and_then(|handle| {
            let stat = handle.stat()?;
            if !stat.regular {
                return Err(io::Error::other("not a regular file"));
            }
            if from_start { Ok(Tail::from_start(handle, stat.identity)) } else { Tail::from_end(handle, stat.identity) }
        });
        match opened {
            Ok(tail) => {
                follow.trouble.clear();
                follow.live = Some(tail);
                follow.changed = true;
                follow.seen = true;
            }
            Err(error) => follow.trouble = trouble(&error),
        }
    }

    /// Compares what the path names now with what is being read.
    fn refresh(&mut self, path: &Path, follow: &mut Follow<F::Handle>, now: Timestamp, sink: &mut dyn Sink) {
        let named = match self.files.stat(path) {
            Ok(stat) if stat.regular => Some(stat.identity),
            Ok(_) => {
                follow.trouble = "not a regular file".to_owned();
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                follow.trouble.clear();
                None
            }
            Err(error) => {
                follow.trouble = trouble(&error);
                return;
            }
        };
        if let (Some(live), Some(named)) = (&follow.live, named)
            && live.mark.identity == named
        {
            follow.trouble.clear();
            return;
        }
        if let Some(tail) = follow.live.take() {
            let former = tail.mark.clone();
            follow.old.push(Old { tail, since: now, copy: false });
            follow.changed = true;
            let until_ns = named.map_or(i64::MAX, |n| n.born_ns);
            let held: Vec<Identity> = follow.old.iter().map(|o| o.tail.mark.identity).collect();
            let mut unseen = self.unseen(path, &former, until_ns);
            unseen.retain(|t| !held.contains(&t.mark.identity));
            follow.old.extend(unseen.into_iter().map(|tail| Old { tail, since: now, copy: false }));
        }
        let Some(named) = named else { return };
        if let Some(at) = follow.old.iter().position(|o| !o.copy && o.tail.mark.identity == named) {
            // Back under its name (renamed away and back): go on where we were.
            follow.live = Some(follow.old.remove(at).tail);
            return;
        }
        if self.holder(named).is_some() {
            return;
        }
        if follow.seen {
            follow.note = "a new file under this name; read from its start".to_owned();
        }
        let from_start = follow.seen || self.rules.from_start;
        self.open(path, follow, from_start);
        while follow.old.len() > OLD_MAX {
            let mut old = follow.old.remove(0);
            while let Ok(Look::More) = looks(path, &mut old.tail, &mut self.buffer, self.rules.line_max, sink, &mut follow.changed) {}
            finish(path, &mut old, &mut self.buffer, self.rules.line_max, sink);
        }
    }

    /// Reads the old files to their ends and the live one as far as the budget goes.
    fn read(&mut self, path: &Path, follow: &mut Follow<F::Handle>, now: Timestamp, sink: &mut dyn Sink) -> bool {
        let line_max = self.rules.line_max;
        let mut at = 0;
        while let Some(old) = follow.old.get_mut(at) {
            match looks(path, &mut old.tail, &mut self.buffer, line_max, sink, &mut follow.changed) {
                // A checkpoint first, then on with it.
                Ok(Look::More) => return true,
                Ok(Look::End { .. }) => {
                    // Not before patterns were looked up again: it may have become another followed path, which takes it over as it is.
                    let looked_up = self.scanned_at.is_some_and(|at| at > old.since);
                    let lingered = old.copy || (looked_up && now.since(old.since) >= self.rules.linger_ns);
                    if old.tail.ends >= 2 && lingered {
                        let mut old = follow.old.remove(at);
                        finish(path, &mut old, &mut self.buffer, line_max, sink);
                        follow.changed = true;
                    } else {
                        at += 1;
                    }
                }
                Ok(Look::Replaced) | Err(_) => {
                    follow.old.remove(at);
                    follow.changed = true;
                    sink.lost(path, 1, "truncated");
                }
            }
        }
        // Lines of the live file wait for those before them only while there is a backlog in an old one.
        let Some(live) = &mut follow.live else { return false };
        match looks(path, live, &mut self.buffer, line_max, sink, &mut follow.changed) {
            Ok(Look::More) => true,
            Ok(Look::End { .. }) => false,
            Ok(Look::Replaced) => {
                self.replaced(path, follow, now, sink);
                true
            }
            Err(error) => {
                follow.trouble = trouble(&error);
                false
            }
        }
    }

    /// The live file was cut or overwritten in place: what was not read may be in a copy beside it; the file itself begins anew.
    fn replaced(&mut self, path: &Path, follow: &mut Follow<F::Handle>, now: Timestamp, sink: &mut dyn Sink) {
        let Some(live) = follow.live.take() else { return };
        let mark = live.mark.clone();
        let copy = self.files.siblings(path).iter().filter(|_| mark.offset > 0).find_map(|p| self.proves(p, &mark));
        match copy {
            Some(tail) => {
                self.remember_copy(tail.mark.identity);
                follow.old.push(Old { tail, since: now, copy: true });
                sink.lost(path, 1, "copytruncate_window");
                follow.note = "copied and truncated; the rest was read from the copy, what came between copy and cut is gone".to_owned();
            }
            None => {
                sink.lost(path, 1, "truncated");
                follow.note = "truncated or overwritten; read from its start, what was not yet read is gone".to_owned();
            }
        }
        let identity = live.mark.identity;
        follow.live = Some(Tail::from_start(live.handle, identity));
        follow.changed = true;
    }
}

fn trouble(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "permission denied; add the agent's user to the group that owns the file, or give it CAP_DAC_READ_SEARCH".to_owned()
        }
        _ => error.to_string(),
    }
}

fn take<H>(follow: &mut Follow<H>, identity: Identity) -> Option<Tail<H>> {
    if follow.live.as_ref().is_some_and(|t| t.mark.identity == identity) {
        return follow.live.take();
    }
    let at = follow.old.iter().position(|o| !o.copy && o.tail.mark.identity == identity)?;
    Some(follow.old.remove(at).tail)
}

fn looks<H: Handle>(
    path: &Path,
    tail: &mut Tail<H>,
    buffer: &mut [u8],
    line_max: usize,
    sink: &mut dyn Sink,
    changed: &mut bool,
) -> io::Result<Look> {
    let before = (tail.mark.offset, tail.mark.head_len);
    let look = tail.look(buffer, line_max, &mut |line| give(path, &line, sink))?;
    *changed |= before != (tail.mark.offset, tail.mark.head_len);
    Ok(look)
}

fn finish<H: Handle>(path: &Path, old: &mut Old<H>, buffer: &mut [u8], line_max: usize, sink: &mut dyn Sink) {
    // A file that can no longer be read has nothing more to give; its marks go with the next checkpoint.
    let _ = old.tail.finish(buffer, line_max, &mut |line| give(path, &line, sink));
}

fn give(path: &Path, line: &LineAt<'_>, sink: &mut dyn Sink) {
    if line.cut {
        sink.lost(path, 1, "line_too_long");
    }
    if !line.bytes.is_empty() {
        sink.line(path, line);
    }
}

fn save<H: Handle>(path: &Path, follow: &mut Follow<H>, now: Timestamp, sink: &mut dyn Sink) {
    if !std::mem::take(&mut follow.changed) {
        return;
    }
    let mut marks: Vec<(&Mark, Role)> = follow.old.iter().map(|o| (&o.tail.mark, if o.copy { Role::Copy } else { Role::Old })).collect();
    marks.extend(follow.live.as_ref().map(|t| (&t.mark, Role::Live)));
    sink.checkpoint(path, &tail::encode(now.ns(), &marks));
}
