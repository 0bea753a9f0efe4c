//! What the follower needs of a file system, and the real one. The tests have another, in memory, in which rotation can be done step by step.

use std::io;
use std::path::{Path, PathBuf};

use super::glob;

/// Which file it is. A number of an inode is used again after a deletion; with the time of birth (statx, where the file system has it) it is
/// nearly a name. The follower compares content besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
    /// Nanoseconds since 1970; 0 where the file system does not tell.
    pub born_ns: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub identity: Identity,
    pub size: u64,
    pub regular: bool,
}

/// A file system, as far as following logs goes.
pub trait Files {
    type Handle: Handle;
    /// Follows links. `NotFound` where nothing is.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    fn open(&self, path: &Path) -> io::Result<Self::Handle>;
    /// Paths that match a pattern, sorted, at most `max`; false if there are more.
    fn matching(&self, pattern: &str, max: usize) -> (Vec<PathBuf>, bool);
    /// Other files in the folder of `path` whose names begin with its name, sorted, at most 64: where a rotated log may have gone.
    fn siblings(&self, path: &Path) -> Vec<PathBuf>;
}

/// An open file.
pub trait Handle {
    fn stat(&self) -> io::Result<Stat>;
    /// Reads up to the buffer's length; 0 means the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// The file system of the host.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostFiles;

fn stat_of(meta: &std::fs::Metadata) -> Stat {
    use std::os::unix::fs::MetadataExt;
    let born = meta.created().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    let born_ns = born.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    Stat { identity: Identity { device: meta.dev(), inode: meta.ino(), born_ns }, size: meta.len(), regular: meta.is_file() }
}

impl Files for HostFiles {
    type Handle = std::fs::File;

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        std::fs::metadata(path).map(|meta| stat_of(&meta))
    }

    fn open(&self, path: &Path) -> io::Result<std::fs::File> {
        use std::os::unix::fs::OpenOptionsExt;
        // A named pipe put in a log's place must not hold the thread.
        std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
    }

    fn matching(&self, pattern: &str, max: usize) -> (Vec<PathBuf>, bool) {
        glob::expand(pattern, max)
    }

    fn siblings(&self, path: &Path) -> Vec<PathBuf> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else { return Vec::new() };
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut found: Vec<PathBuf> = entries
            .take(4096)
            .flatten()
            .filter(|e| e.file_name().to_str().is_some_and(|n| n != name && n.starts_with(name)))
            .map(|e| e.path())
            .take(64)
            .collect();
        found.sort();
        found
    }
}

impl Handle for std::fs::File {
    fn stat(&self) -> io::Result<Stat> {
        self.metadata().map(|meta| stat_of(&meta))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }
}
