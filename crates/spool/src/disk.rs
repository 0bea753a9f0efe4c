//! The few things a spool asks of a disk, so that a simulated one can do its worst (`sim`), and the real one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// One flat folder. Contract, as POSIX gives it: bytes are durable after `sync` of their file, names after `sync_dir`; a failed `sync`
/// means the bytes written since the last good one may be gone although they can still be read.
pub trait Disk {
    type File;
    /// Names in the folder, in any order.
    fn list(&mut self) -> io::Result<Vec<String>>;
    /// A new file of `bytes` zeros whose space is reserved: `StorageFull` comes here, not at a later write.
    fn create(&mut self, name: &str, bytes: u64) -> io::Result<Self::File>;
    fn open(&mut self, name: &str) -> io::Result<Self::File>;
    fn len(&mut self, file: &Self::File) -> io::Result<u64>;
    /// Reads until `buf` is full or the file ends; the count read.
    fn read_at(&mut self, file: &Self::File, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    fn write_at(&mut self, file: &mut Self::File, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&mut self, file: &mut Self::File, bytes: u64) -> io::Result<()>;
    /// Makes the file's bytes and length durable.
    fn sync(&mut self, file: &mut Self::File) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&mut self) -> io::Result<()>;
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// A folder of the file system, locked for this process.
#[derive(Debug)]
pub struct RealDisk {
    folder: PathBuf,
    handle: File,
    _lock: File,
}

/// Name of the lock file; it stays empty.
const LOCK: &str = "lock";

impl RealDisk {
    /// Opens the folder, making it (mode 0700) if it is not there. `WouldBlock`: another process has it.
    pub fn open(folder: impl AsRef<Path>) -> io::Result<Self> {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        let folder = folder.as_ref().to_owned();
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(LOCK))?;
        lock.try_lock().map_err(|e| match e {
            std::fs::TryLockError::WouldBlock => io::Error::from(io::ErrorKind::WouldBlock),
            std::fs::TryLockError::Error(e) => e,
        })?;
        let handle = File::open(&folder)?;
        Ok(Self { folder, handle, _lock: lock })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Disk for RealDisk {
    type File = File;

    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            // A name that is not UTF-8 is not ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&mut self, name: &str, bytes: u64) -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.folder.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        if let Err(e) = reserve(&file, bytes) {
            drop(file);
            let _ = std::fs::remove_file(&path);
            return Err(e);
        }
        Ok(file)
    }

    fn open(&mut self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.folder.join(name))
    }

    fn len(&mut self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn read_at(&mut self, file: &File, mut offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match file.read_at(&mut buf[done..], offset) {
                Ok(0) => break,
                Ok(n) => {
                    done += n;
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_at(&mut self, file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn set_len(&mut self, file: &mut File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn sync(&mut self, file: &mut File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.folder.join(name))
    }
}

/// Reserves blocks and sets the length. Where the file system cannot reserve, zeros are written.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
            let zeros = [0u8; 16 * 1024];
            let mut at = 0;
            while at < bytes {
                let part = zeros.get(..(bytes - at).min(zeros.len() as u64) as usize).unwrap_or(&zeros);
                file.write_all_at(part, at)?;
                at += part.len() as u64;
            }
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}
