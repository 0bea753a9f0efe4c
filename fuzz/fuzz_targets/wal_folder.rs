//! Segments of the write-ahead log of any bytes, their heads and the checksums of their frames put right or not: what opening finds stays
//! within them. A piece is one frame's body (bit 0), or raw bytes; bit 1 begins the next segment.
#![no_main]
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use collector::store::wal::disk::{LogDisk, LogFile};
use collector::store::wal::survey;

#[derive(Clone)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl LogFile for Bytes {
    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let held = self.0.lock().expect("one thread");
        let from = held.get(usize::try_from(at).unwrap_or(usize::MAX)..).unwrap_or_default();
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        Ok(n)
    }
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().expect("one thread").len() as u64)
    }
    fn cut(&self, length: u64) -> io::Result<()> {
        self.0.lock().expect("one thread").truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

struct Memory(BTreeMap<String, Bytes>);

impl LogDisk for Memory {
    fn create(&self, _: &str) -> io::Result<Box<dyn LogFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(self.0.get(name).ok_or(io::ErrorKind::NotFound)?.clone()))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn path(&self) -> &Path {
        Path::new("memory")
    }
}

fn head(base: u64) -> Vec<u8> {
    let mut head = [b"VEDWAL01".as_slice(), &base.to_le_bytes()].concat();
    head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
    head.extend_from_slice(&[0; 4]);
    head
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first_chunk::<8>() else { return };
    let mut base = u64::from_le_bytes(*first);
    let (mut files, mut file) = (BTreeMap::new(), head(base));
    let mut total = 0;
    for (flags, body) in fuzz::pieces(rest).take(64) {
        if flags & 2 != 0 {
            let next = base.wrapping_add(file.len() as u64 - 24);
            files.insert(format!("wal-{base:016x}.log"), Bytes(Arc::new(Mutex::new(std::mem::replace(&mut file, head(next))))));
            base = next;
        }
        if flags & 1 != 0 {
            let offset = base.wrapping_add(file.len() as u64 - 24);
            file.extend_from_slice(b"VWF1");
            file.extend_from_slice(&(body.len() as u32).to_le_bytes());
            file.extend_from_slice(&crc32c::crc32c_append(crc32c::crc32c(&offset.to_le_bytes()), body).to_le_bytes());
        }
        file.extend_from_slice(body);
        total += 1;
    }
    files.insert(format!("wal-{base:016x}.log"), Bytes(Arc::new(Mutex::new(file))));
    let Ok(found) = survey(&Memory(files)) else { return };
    assert!(found.frames <= total + bytes.len() as u64 / 64);
});
