//! A disk that does its worst, the same for a seed on every machine.
//!
//! What POSIX does not promise, it does not do: bytes not yet synced are lost, kept or torn at any byte when it crashes, in any
//! combination; names not yet synced may be there or not; a failed sync drops its bytes for good although they can still be read.
//! Space is a quota; errors come by chance (`Faults`); `flip` damages what was durable.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Disk;

/// Chances of failure, in a thousand calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    pub read: u32,
    pub write: u32,
    pub sync: u32,
    pub create: u32,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

#[derive(Debug, Clone)]
enum NameChange {
    Create(String, usize),
    Remove(String),
    Rename(String, String),
}

#[derive(Debug, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
struct Inner {
    inodes: Vec<Inode>,
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    unsynced: Vec<NameChange>,
    chance: u64,
    quota: u64,
    faults: Faults,
    life: u64,
    syncs: u64,
    read_bytes: u64,
}

/// A handle; clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
    life: u64,
}

/// An open file; of no use after a crash.
#[derive(Debug)]
pub struct SimFile(usize);

impl Inner {
    fn next(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    fn fails(&mut self, in_thousand: u32) -> io::Result<()> {
        if in_thousand > 0 && self.next(1000) < u64::from(in_thousand) {
            return Err(rustix::io::Errno::IO.into());
        }
        Ok(())
    }

    fn used(&self) -> u64 {
        self.live.values().filter_map(|n| self.inodes.get(*n)).map(|i| i.live.len() as u64).sum()
    }

    fn room(&self, more: usize) -> io::Result<()> {
        if self.used() + more as u64 > self.quota { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// Puts a part of the unsynced changes on the platter: some wholly, some torn, some not.
    fn settle(&mut self, n: usize) {
        let changes = self.inodes.get_mut(n).map(|i| std::mem::take(&mut i.unsynced)).unwrap_or_default();
        for change in changes {
            let (keep, cut_from, cut_to) = (self.next(3), self.next(1 << 32), self.next(1 << 32));
            let Some(inode) = self.inodes.get_mut(n) else { return };
            match change {
                _ if keep == 0 => {}
                Change::Len(len) => inode.durable.resize(len, 0),
                Change::Write(at, bytes) => {
                    let whole = (0, bytes.len());
                    let a = cut_from as usize % (bytes.len() + 1);
                    let b = cut_to as usize % (bytes.len() + 1);
                    let (from, to) = if keep == 1 { whole } else { (a.min(b), a.max(b)) };
                    put(&mut inode.durable, at + from, bytes.get(from..to).unwrap_or_default());
                }
            }
        }
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

fn rename(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Create(name, n) => {
            names.insert(name.clone(), *n);
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to) => {
            if let Some(n) = names.remove(from) {
                names.insert(to.clone(), n);
            }
        }
    }
}

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            inodes: Vec::new(),
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            unsynced: Vec::new(),
            chance: seed,
            quota: u64::MAX,
            faults: Faults::default(),
            life: 0,
            syncs: 0,
            read_bytes: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)), life: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.lock();
        if inner.life == self.life { Ok(inner) } else { Err(io::Error::other("the machine this handle was on has crashed")) }
    }

    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }
    /// Bytes all files may have together.
    pub fn set_quota(&self, bytes: u64) {
        self.lock().quota = bytes;
    }
    pub fn used(&self) -> u64 {
        self.lock().used()
    }
    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }
    /// Bytes read from files so far.
    pub fn read_bytes(&self) -> u64 {
        self.lock().read_bytes
    }

    /// Power is cut. Older handles are dead; the one returned is the machine after the restart.
    pub fn crash(&self) -> Self {
        let mut inner = self.lock();
        for n in 0..inner.inodes.len() {
            inner.settle(n);
        }
        for change in std::mem::take(&mut inner.unsynced) {
            if inner.next(2) == 0 {
                rename(&mut inner.durable, &change);
            }
        }
        inner.live = inner.durable.clone();
        for inode in &mut inner.inodes {
            inode.live = inode.durable.clone();
        }
        let named: std::collections::BTreeSet<usize> = inner.live.values().copied().collect();
        for (n, inode) in inner.inodes.iter_mut().enumerate() {
            if !named.contains(&n) {
                *inode = Inode::default();
            }
        }
        inner.life += 1;
        Self { inner: self.inner.clone(), life: inner.life }
    }

    /// The program ends and starts again; the machine stays up, so nothing is lost.
    pub fn restart(&self) -> Self {
        let mut inner = self.lock();
        inner.life += 1;
        Self { inner: self.inner.clone(), life: inner.life }
    }

    /// Flips one bit of what is on the platter; the name of the file, if there was a byte to hit.
    pub fn flip(&self) -> Option<String> {
        let mut inner = self.lock();
        let names: Vec<(String, usize)> = inner.live.iter().map(|(name, n)| (name.clone(), *n)).collect();
        let pick = inner.next(names.len() as u64) as usize;
        let (name, n) = names.get(pick)?.clone();
        // Only bytes in use: a flip in reserved zeros proves nothing.
        let used = inner.inodes.get(n)?.durable.iter().rposition(|b| *b != 0)? + 1;
        let (at, bit) = (inner.next(used as u64) as usize, inner.next(8));
        let inode = inner.inodes.get_mut(n)?;
        *inode.durable.get_mut(at)? ^= 1 << bit;
        if let Some(byte) = inode.live.get_mut(at) {
            *byte ^= 1 << bit;
        }
        Some(name)
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&mut self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.live.keys().cloned().collect())
    }

    fn create(&mut self, name: &str, bytes: u64) -> io::Result<SimFile> {
        let mut inner = self.alive()?;
        let chance = inner.faults.create;
        inner.fails(chance)?;
        if inner.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.room(bytes as usize)?;
        let n = inner.inodes.len();
        let len = bytes as usize;
        inner.inodes.push(Inode { live: vec![0; len], durable: Vec::new(), unsynced: vec![Change::Len(len)] });
        inner.live.insert(name.to_owned(), n);
        inner.unsynced.push(NameChange::Create(name.to_owned(), n));
        Ok(SimFile(n))
    }

    fn open(&mut self, name: &str) -> io::Result<SimFile> {
        let inner = self.alive()?;
        inner.live.get(name).map(|n| SimFile(*n)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn len(&mut self, file: &SimFile) -> io::Result<u64> {
        Ok(self.alive()?.inodes.get(file.0).map_or(0, |i| i.live.len() as u64))
    }

    fn read_at(&mut self, file: &SimFile, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.alive()?;
        let chance = inner.faults.read;
        inner.fails(chance)?;
        let bytes = inner.inodes.get(file.0).and_then(|i| i.live.get(offset as usize..)).unwrap_or_default();
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        inner.read_bytes += len as u64;
        Ok(len)
    }

    fn write_at(&mut self, file: &mut SimFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.alive()?;
        let chance = inner.faults.write;
        let failed = inner.fails(chance);
        let end = offset as usize + bytes.len();
        let longer = inner.inodes.get(file.0).map_or(0, |i| end.saturating_sub(i.live.len()));
        if longer > 0 {
            inner.room(longer)?;
        }
        // A failed write may have written a part.
        let done = if failed.is_ok() { bytes.len() } else { inner.next(bytes.len() as u64 + 1) as usize };
        if let (Some(inode), Some(bytes)) = (inner.inodes.get_mut(file.0), bytes.get(..done)) {
            put(&mut inode.live, offset as usize, bytes);
            inode.unsynced.push(Change::Write(offset as usize, bytes.to_vec()));
        }
        failed
    }

    fn set_len(&mut self, file: &mut SimFile, bytes: u64) -> io::Result<()> {
        let mut inner = self.alive()?;
        if let Some(inode) = inner.inodes.get_mut(file.0) {
            inode.live.resize(bytes as usize, 0);
            inode.unsynced.push(Change::Len(bytes as usize));
        }
        Ok(())
    }

    fn sync(&mut self, file: &mut SimFile) -> io::Result<()> {
        let mut inner = self.alive()?;
        inner.syncs += 1;
        let chance = inner.faults.sync;
        if let Err(e) = inner.fails(chance) {
            inner.settle(file.0);
            return Err(e);
        }
        if let Some(inode) = inner.inodes.get_mut(file.0) {
            for change in std::mem::take(&mut inode.unsynced) {
                match change {
                    Change::Len(len) => inode.durable.resize(len, 0),
                    Change::Write(at, bytes) => put(&mut inode.durable, at, &bytes),
                }
            }
        }
        Ok(())
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        let mut inner = self.alive()?;
        let chance = inner.faults.sync;
        inner.fails(chance)?;
        for change in std::mem::take(&mut inner.unsynced) {
            rename(&mut inner.durable, &change);
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.alive()?;
        if !inner.live.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = NameChange::Rename(from.to_owned(), to.to_owned());
        rename(&mut inner.live, &change);
        inner.unsynced.push(change);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.alive()?;
        if inner.live.remove(name).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.unsynced.push(NameChange::Remove(name.to_owned()));
        Ok(())
    }
}
