//! Looking at files: what is in scope, what a file is like, what its content hashes to. Reads only; never follows a link, never opens what is
//! not a regular file.

use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::baseline::{Entry, FileType};
use crate::sensor::log::glob;

const DEPTH_MAX: usize = 24;

/// Which paths are watched. A pattern covers what it names and, where that is a folder, everything below it.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub paths: Vec<String>,
    pub exclude: Vec<String>,
    pub own: Vec<PathBuf>,
}

impl Scope {
    pub fn covers(&self, path: &Path) -> bool {
        let Some(text) = path.to_str() else { return self.paths.iter().any(|p| path.starts_with(p)) && !self.is_own(path) };
        self.paths.iter().any(|p| covered(p, text)) && !self.exclude.iter().any(|p| glob::path_matches(p, path)) && !self.is_own(path)
    }

    /// True if the path is one a pattern names directly, not something below it.
    pub fn names(&self, path: &Path) -> bool {
        self.paths.iter().any(|p| glob::path_matches(p, path))
    }

    fn is_own(&self, path: &Path) -> bool {
        self.own.iter().any(|own| path.starts_with(own))
    }
}

/// The first parts of the path match all parts of the pattern.
fn covered(pattern: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    pattern.split('/').all(|p| parts.next().is_some_and(|part| p == part || (glob::is_pattern(p) && glob::matches(p, part))))
}

/// What a file is like, without its content (but with a link's target). `None` if it is not there.
pub fn look(path: &Path) -> io::Result<Option<Entry>> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(error),
    };
    let kind = match meta.file_type() {
        t if t.is_file() => FileType::File,
        t if t.is_dir() => FileType::Folder,
        t if t.is_symlink() => FileType::Link,
        _ => FileType::Other,
    };
    let target = if kind == FileType::Link { std::fs::read_link(path).ok() } else { None };
    let ns = |secs: i64, part: i64| secs.saturating_mul(event::SECOND_NS).saturating_add(part);
    let folder = kind == FileType::Folder;
    Ok(Some(Entry {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        // Size and times of a folder change with what is in it, which has entries of its own.
        size: if folder { 0 } else { meta.size() },
        modified_ns: if folder { 0 } else { ns(meta.mtime(), meta.mtime_nsec()) },
        changed_ns: if folder { 0 } else { ns(meta.ctime(), meta.ctime_nsec()) },
        device: meta.dev(),
        inode: meta.ino(),
        sha256: target.map(|t| Sha256::digest(t.as_os_str().as_bytes()).into()),
    }))
}

/// SHA-256 of a regular file's content, and the bytes read. `None` where it is longer than `bytes_max` by now.
pub fn hash(path: &Path, bytes_max: u64, buffer: &mut [u8]) -> io::Result<(Option<[u8; 32]>, u64)> {
    let mut file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("no longer a regular file"));
    }
    let mut hasher = Sha256::new();
    let mut total = 0u64;
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok((Some(hasher.finalize().into()), total)),
            Ok(n) => {
                total += n as u64;
                if total > bytes_max {
                    return Ok((None, total));
                }
                hasher.update(&buffer[..n]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A walk's result: paths in scope, whether all fitted, and folders that could not be read.
#[derive(Debug, Default)]
pub struct Walk {
    pub paths: Vec<PathBuf>,
    pub whole: bool,
    pub refused: Vec<(PathBuf, String)>,
}

/// Everything in scope that is there now, at most `max` paths.
pub fn walk(scope: &Scope, max: usize) -> Walk {
    let mut walk = Walk { whole: true, ..Walk::default() };
    for pattern in &scope.paths {
        let (named, whole) = glob::expand(pattern, max);
        walk.whole &= whole;
        for path in named {
            below(scope, path, max, &mut walk);
        }
        // A broken link exists for us, though not for one who follows it.
        if !glob::is_pattern(pattern) && std::fs::symlink_metadata(pattern).is_ok() {
            below(scope, PathBuf::from(pattern), max, &mut walk);
        }
    }
    walk.paths.sort();
    walk.paths.dedup();
    walk
}

/// A path and all below it, as far as in scope.
pub fn below(scope: &Scope, path: PathBuf, max: usize, walk: &mut Walk) {
    let mut stack = vec![(path, 0)];
    while let Some((path, depth)) = stack.pop() {
        if !scope.covers(&path) {
            continue;
        }
        if walk.paths.len() >= max || depth > DEPTH_MAX {
            walk.whole = false;
            return;
        }
        let folder = std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir());
        if folder {
            match std::fs::read_dir(&path) {
                Ok(entries) => stack.extend(entries.flatten().map(|e| (e.path(), depth + 1))),
                Err(error) => walk.refused.push((path.clone(), error.to_string())),
            }
        }
        walk.paths.push(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_names_and_all_below() {
        let scope = Scope {
            paths: vec!["/etc/passwd".into(), "/etc/cron*".into(), "/home/*/.ssh".into()],
            exclude: vec!["*.swp".into()],
            own: vec!["/etc/cron.d/own".into()],
        };
        for (path, yes) in [
            ("/etc/passwd", true),
            ("/etc/passwd-", false),
            ("/etc", false),
            ("/etc/crontab", true),
            ("/etc/cron.d/x/y", true),
            ("/etc/cron.d/x.swp", false),
            ("/etc/cron.d/own/z", false),
            ("/home/ann/.ssh/authorized_keys", true),
            ("/home/ann/x", false),
        ] {
            assert_eq!(scope.covers(Path::new(path)), yes, "{path}");
        }
        assert!(scope.names(Path::new("/etc/cron.d")) && !scope.names(Path::new("/etc/cron.d/x")));
    }
}
