//! What the authority must not forget: a list of records, appended durably and read back at start.
//!
//! `FileJournal` keeps one line a record: CRC-32C of the rest in eight hex digits, a space, JSON. Each append is one write and
//! one fdatasync; a line torn by a crash at the very end is cut off and reported, because its append was never confirmed.
//! Damage anywhere else is an error with file and line: a lost revocation would let a stolen key back in. At start the file
//! is rewritten without what no longer matters, so it grows with the fleet and not with time.

use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// One durable fact. Times are seconds since 1970 UTC; digests and ids are lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// A token was made. Only its hash is ever written.
    Invited { token: String, unit: Option<String>, agent: Option<String>, at: i64, until: i64, by: String },
    /// A token was taken back before use.
    Withdrawn { token: String, at: i64, by: String },
    /// A certificate was issued; when `token` is there, this is also its use.
    Issued { agent: String, key: String, serial: String, at: i64, until: i64, why: Why, token: Option<String>, unit: Option<String> },
    /// The agent's certificates are void from now on.
    Revoked { agent: String, at: i64, by: String, reason: String },
    /// The agent belongs to another unit from now on.
    Moved { agent: String, unit: Option<String>, at: i64, by: String },
    /// A token as it stood when the journal was rewritten; `used` is the agent and key that used it.
    Token {
        token: String,
        unit: Option<String>,
        agent: Option<String>,
        at: i64,
        until: i64,
        by: String,
        used: Option<(String, String)>,
        withdrawn: bool,
    },
    /// An agent as it stood when the journal was rewritten; keys are newest last.
    Agent {
        agent: String,
        unit: Option<String>,
        enrolled: i64,
        at: i64,
        until: i64,
        serial: String,
        why: Why,
        keys: Vec<String>,
        recoveries: u32,
    },
}

/// Occasion of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    Enrolled,
    Renewed,
    Recovered,
}

/// The journal cannot be read or written; the text names file and line and the way out.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "{}:{line} is damaged ({what}): restore the file from a backup; deleting the line forgets a certificate or a revocation",
        path.display()
    )]
    Damaged { path: PathBuf, line: usize, what: &'static str },
    #[error("{} cannot be written any more since an earlier failure; free space or repair the disk, then restart", path.display())]
    Broken { path: PathBuf },
}

/// Where records live. One writer: the authority.
pub trait AuthorityStore: Send + Sync + 'static {
    /// All records in the order they were appended.
    fn load(&self) -> Result<Vec<Record>, JournalError>;
    /// All or nothing, and durable when it returns.
    fn append(&self, records: &[Record]) -> Result<(), JournalError>;
    /// Replaces everything in one step.
    fn rewrite(&self, records: &[Record]) -> Result<(), JournalError>;
}

/// For tests: forgets with the process, not with the authority (share it by `Arc`).
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Vec<Record>>);

impl AuthorityStore for MemoryJournal {
    fn load(&self) -> Result<Vec<Record>, JournalError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
    fn append(&self, records: &[Record]) -> Result<(), JournalError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(records);
        Ok(())
    }
    fn rewrite(&self, records: &[Record]) -> Result<(), JournalError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = records.to_vec();
        Ok(())
    }
}

impl<S: AuthorityStore> AuthorityStore for std::sync::Arc<S> {
    fn load(&self) -> Result<Vec<Record>, JournalError> {
        (**self).load()
    }
    fn append(&self, records: &[Record]) -> Result<(), JournalError> {
        (**self).append(records)
    }
    fn rewrite(&self, records: &[Record]) -> Result<(), JournalError> {
        (**self).rewrite(records)
    }
}

/// The journal in a file.
pub struct FileJournal {
    path: PathBuf,
    /// `None` once an append has failed: what the file then ends with is unknown, and a failed fsync cannot be repeated.
    file: Mutex<Option<File>>,
    torn_bytes: u64,
}

impl FileJournal {
    /// Opens or creates the file and cuts off a torn last line.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let fail = |what| move |source| JournalError::File { what, path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(fail("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fail("read"))?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let torn_bytes = (bytes.len() - whole) as u64;
        if torn_bytes > 0 {
            file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(fail("cut"))?;
            tracing::warn!(path = %path.display(), torn_bytes, "authority journal ended in a torn line, which was cut off");
        }
        sync_parent(path).map_err(fail("sync the folder of"))?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(Some(file)), torn_bytes })
    }

    /// Bytes of an unconfirmed last line that were cut off on opening.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    fn fail(&self, what: &'static str) -> impl FnOnce(std::io::Error) -> JournalError {
        let path = self.path.clone();
        move |source| JournalError::File { what, path, source }
    }
}

impl AuthorityStore for FileJournal {
    fn load(&self) -> Result<Vec<Record>, JournalError> {
        read_journal(&self.path, &std::fs::read(&self.path).map_err(self.fail("read"))?)
    }

    fn append(&self, records: &[Record]) -> Result<(), JournalError> {
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = slot.as_mut() else { return Err(JournalError::Broken { path: self.path.clone() }) };
        let written = file.write_all(&lines(records)).and_then(|()| file.sync_data());
        if written.is_err() {
            *slot = None;
        }
        written.map_err(self.fail("write"))
    }

    fn rewrite(&self, records: &[Record]) -> Result<(), JournalError> {
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let beside = self.path.with_extension("new");
        match std::fs::remove_file(&beside) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(self.fail("clear the way beside")(e)),
            _ => {}
        }
        let mut file =
            OpenOptions::new().append(true).create_new(true).mode(0o600).open(&beside).map_err(self.fail("create a file beside"))?;
        file.write_all(&lines(records)).and_then(|()| file.sync_all()).map_err(self.fail("rewrite"))?;
        std::fs::rename(&beside, &self.path).map_err(self.fail("replace"))?;
        sync_parent(&self.path).map_err(self.fail("sync the folder of"))?;
        *slot = Some(file);
        Ok(())
    }
}

/// Reads the lines of a journal; `path` is for the error.
pub fn read_journal(path: &Path, text: &[u8]) -> Result<Vec<Record>, JournalError> {
    let damaged = |line: usize, what| JournalError::Damaged { path: path.to_owned(), line: line + 1, what };
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    if body.is_empty() {
        return Ok(Vec::new());
    }
    body.split(|b| *b == b'\n')
        .enumerate()
        .map(|(at, line)| {
            let (head, json) = line.split_first_chunk::<9>().ok_or_else(|| damaged(at, "too short"))?;
            let sum = head.strip_suffix(b" ").and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u32::from_str_radix(h, 16).ok());
            if sum != Some(crc32c::crc32c(json)) {
                return Err(damaged(at, "its checksum does not fit"));
            }
            serde_json::from_slice(json).map_err(|_| damaged(at, "a record this version does not know"))
        })
        .collect()
}

fn lines(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() * 256);
    for record in records {
        let json = serde_json::to_vec(record).expect("a record is plain text and numbers");
        out.extend_from_slice(format!("{:08x} ", crc32c::crc32c(&json)).as_bytes());
        out.extend_from_slice(&json);
        out.push(b'\n');
    }
    out
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: i64) -> Record {
        Record::Revoked { agent: format!("{n:016x}"), at: n, by: "test".into(), reason: "gestohlen \n \"x\" 失窃".into() }
    }

    #[test]
    fn a_torn_tail_at_every_length_loses_only_the_unconfirmed_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authority.log");
        FileJournal::open(&path).unwrap().append(&[record(1), record(2)]).unwrap();
        let confirmed = std::fs::read(&path).unwrap();
        FileJournal::open(&path).unwrap().append(&[record(3)]).unwrap();
        let all = std::fs::read(&path).unwrap();
        for cut in confirmed.len()..all.len() {
            std::fs::write(&path, &all[..cut]).unwrap();
            let journal = FileJournal::open(&path).unwrap();
            assert_eq!(journal.torn_bytes(), (cut - confirmed.len()) as u64);
            assert_eq!(journal.load().unwrap(), [record(1), record(2)], "cut at {cut}");
            journal.append(&[record(4)]).unwrap();
            assert_eq!(journal.load().unwrap(), [record(1), record(2), record(4)]);
        }
    }

    #[test]
    fn a_flipped_bit_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authority.log");
        FileJournal::open(&path).unwrap().append(&[record(1), record(2), record(3)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let second = whole.iter().position(|b| *b == b'\n').unwrap() + 20;
        let mut bad = whole.clone();
        bad[second] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let error = FileJournal::open(&path).unwrap().load().unwrap_err();
        assert!(matches!(&error, JournalError::Damaged { line: 2, .. }), "{error}");
    }

    #[test]
    fn a_rewrite_replaces_everything_and_appends_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authority.log");
        let journal = FileJournal::open(&path).unwrap();
        journal.append(&[record(1), record(2)]).unwrap();
        journal.rewrite(&[record(2)]).unwrap();
        journal.append(&[record(3)]).unwrap();
        assert_eq!(FileJournal::open(&path).unwrap().load().unwrap(), [record(2), record(3)]);
    }
}
