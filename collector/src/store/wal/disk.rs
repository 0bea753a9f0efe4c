//! The few things the log asks of a disk, so that a test can break each of them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A folder that holds the log's segments.
pub trait LogDisk: Send + Sync + 'static {
    /// Makes a new file for writing; fails if the name is taken.
    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>>;
    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>>;
    fn list(&self) -> io::Result<Vec<String>>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations and removals durable.
    fn sync(&self) -> io::Result<()>;
    fn path(&self) -> &Path;
}

pub trait LogFile: Send + Sync {
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads what there is, up to the length of `into`.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;
    fn length(&self) -> io::Result<u64>;
    fn cut(&self, length: u64) -> io::Result<()>;
    /// `fdatasync`.
    fn sync(&self) -> io::Result<()>;
}

/// A real folder.
pub struct Folder(PathBuf);

impl Folder {
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self(path.to_path_buf()))
    }
}

impl LogDisk for Folder {
    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).create_new(true).open(self.0.join(name))?))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(self.0.join(name))?))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.0)?.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect()
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }
    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
    fn path(&self) -> &Path {
        &self.0
    }
}

impl LogFile for File {
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        while got < into.len() {
            match FileExt::read_at(self, &mut into[got..], at + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(got)
    }
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
