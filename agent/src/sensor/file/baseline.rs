//! What watched files were like: a sorted index in memory, and its file in the state folder.
//!
//! The file is text, one line an entry, sealed by a hash over all lines, written beside and renamed over. Its generation rises with each
//! writing, so that a note of what was reported since belongs to exactly one file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Above this size the file is not read.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    File,
    Folder,
    Link,
    Other,
}

impl FileType {
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Link => "link",
            Self::Other => "other",
        }
    }
    const fn letter(self) -> char {
        match self {
            Self::File => 'f',
            Self::Folder => 'd',
            Self::Link => 'l',
            Self::Other => 'o',
        }
    }
    fn from_letter(letter: &str) -> Option<Self> {
        [Self::File, Self::Folder, Self::Link, Self::Other].into_iter().find(|t| letter.len() == 1 && letter.starts_with(t.letter()))
    }
}

/// What one file is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub kind: FileType,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub modified_ns: i64,
    pub changed_ns: i64,
    pub device: u64,
    pub inode: u64,
    /// Of a file its content, of a link its target; `None` for folders, for files above the size limit and for those that cannot be read.
    pub sha256: Option<[u8; 32]>,
}

impl Entry {
    /// True if nothing that a stat shows differs: then the content is taken to be the same without reading it.
    pub fn same_stat(&self, other: &Self) -> bool {
        Self { sha256: None, ..*self } == Self { sha256: None, ..*other }
    }

    /// What an event would say about it, in eight bytes; never 0, which stands for "not there".
    pub fn digest(&self) -> u64 {
        let mut text = format!("{} {:o} {} {} {} ", self.kind.letter(), self.mode, self.uid, self.gid, self.size);
        text.push_str(&hex(&self.sha256));
        short_hash(text.as_bytes()).max(1)
    }
}

pub fn short_hash(bytes: &[u8]) -> u64 {
    let mut first = [0u8; 8];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

pub fn hex(hash: &Option<[u8; 32]>) -> String {
    let Some(hash) = hash else { return "-".to_owned() };
    hash.iter().fold(String::with_capacity(64), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<Option<[u8; 32]>> {
    if text == "-" {
        return Some(None);
    }
    let mut out = [0u8; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (n, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(n * 2..n * 2 + 2)?, 16).ok()?;
    }
    Some(Some(out))
}

/// Everything known, sorted by path.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Baseline {
    pub generation: u64,
    pub entries: BTreeMap<PathBuf, Entry>,
}

/// There is a file, but it cannot be trusted.
#[derive(Debug, PartialEq, Eq)]
pub struct Damaged(pub String);

impl Baseline {
    /// Paths under a folder, itself excluded.
    pub fn under<'a>(&'a self, folder: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a Entry)> {
        // `a/b` and all below it are not contiguous with `a-b` between them in the order of text, but they are in the order of parts.
        self.entries
            .range(folder.to_path_buf()..)
            .skip_while(move |(p, _)| p.as_path() == folder)
            .take_while(move |(p, _)| p.starts_with(folder))
    }

    /// Reads the file; `None` where there is none yet.
    pub fn load(path: &Path) -> Result<Option<Self>, Damaged> {
        let damaged = |what: &str| Damaged(what.to_owned());
        match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Damaged(error.to_string())),
            Ok(meta) if meta.len() > FILE_BYTES_MAX => return Err(damaged("too long")),
            Ok(_) => {}
        }
        Self::from_bytes(&std::fs::read(path).map_err(|error| Damaged(error.to_string()))?).map(Some)
    }

    /// Reads what `to_bytes` wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Damaged> {
        let damaged = |what: &str| Damaged(what.to_owned());
        let split = bytes.len().checked_sub(70).ok_or_else(|| damaged("too short"))?;
        let (body, seal) = bytes.split_at(split);
        if seal != format!("seal {}\n", blake3::hash(body).to_hex()).as_bytes() {
            return Err(damaged("its seal does not fit"));
        }
        let mut lines = body.split(|b| *b == b'\n').filter(|l| !l.is_empty());
        let head = lines.next().and_then(|l| std::str::from_utf8(l).ok());
        let generation =
            head.and_then(|l| l.strip_prefix("vedette integrity v1 ")?.parse().ok()).ok_or_else(|| damaged("another format"))?;
        let mut entries = BTreeMap::new();
        for line in lines {
            let (path, entry) = parse(line).ok_or_else(|| damaged("a line cannot be read"))?;
            entries.insert(path, entry);
        }
        Ok(Self { generation, entries })
    }

    /// The whole file: a head, a line an entry, a seal over all of it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = format!("vedette integrity v1 {}\n", self.generation).into_bytes();
        for (path, e) in &self.entries {
            let _ = write!(
                body,
                "{} {:o} {} {} {} {} {} {} {} {} ",
                e.kind.letter(),
                e.mode,
                e.uid,
                e.gid,
                e.size,
                e.modified_ns,
                e.changed_ns,
                e.device,
                e.inode,
                hex(&e.sha256)
            );
            escape(path, &mut body);
            body.push(b'\n');
        }
        let seal = format!("seal {}\n", blake3::hash(&body).to_hex());
        body.extend_from_slice(seal.as_bytes());
        body
    }

    /// Writes the file so that it is either the old or the new one whole.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let beside = path.with_extension("new");
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&self.to_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        if let Some(folder) = path.parent() {
            std::fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

fn parse(line: &[u8]) -> Option<(PathBuf, Entry)> {
    let mut parts = line.splitn(11, |b| *b == b' ');
    let mut word = || std::str::from_utf8(parts.next()?).ok();
    let kind = FileType::from_letter(word()?)?;
    let mode = u32::from_str_radix(word()?, 8).ok()?;
    let (uid, gid, size) = (word()?.parse().ok()?, word()?.parse().ok()?, word()?.parse().ok()?);
    let (modified_ns, changed_ns) = (word()?.parse().ok()?, word()?.parse().ok()?);
    let (device, inode) = (word()?.parse().ok()?, word()?.parse().ok()?);
    let sha256 = unhex(word()?)?;
    let path = unescape(parts.next()?)?;
    Some((path, Entry { kind, mode, uid, gid, size, modified_ns, changed_ns, device, inode, sha256 }))
}

fn escape(path: &Path, out: &mut Vec<u8>) {
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\n' | b'\\' => out.extend_from_slice(format!("\\{byte:02x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
}

fn unescape(text: &[u8]) -> Option<PathBuf> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if *byte == b'\\' {
            let code = std::str::from_utf8(text.get(at + 1..at + 3)?).ok()?;
            out.push(u8::from_str_radix(code, 16).ok()?);
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(&out)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("integrity.baseline");
        assert_eq!(Baseline::load(&path), Ok(None));
        let entry = Entry {
            kind: FileType::File,
            mode: 0o644,
            uid: 1,
            gid: 2,
            size: 3,
            modified_ns: -4,
            changed_ns: 5,
            device: 6,
            inode: 7,
            sha256: Some([0xab; 32]),
        };
        let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"/etc/a b\nc\\d\xff"));
        let entries = [(odd, entry), ("/etc".into(), Entry { kind: FileType::Folder, sha256: None, ..entry })].into();
        let baseline = Baseline { generation: 9, entries };
        baseline.save(&path).unwrap();
        assert_eq!(Baseline::load(&path), Ok(Some(baseline)));
        let mut bytes = std::fs::read(&path).unwrap();
        for at in [0, 30, bytes.len() - 2] {
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert!(Baseline::load(&path).is_err());
            bytes[at] ^= 1;
        }
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(Baseline::load(&path).is_err());
    }

    #[test]
    fn under_a_folder_is_by_parts_not_by_text() {
        let entry = Entry {
            kind: FileType::File,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            modified_ns: 0,
            changed_ns: 0,
            device: 0,
            inode: 0,
            sha256: None,
        };
        let entries = ["/a/b", "/a/b-c", "/a/b/x", "/a/b/y/z", "/a/c"].into_iter().map(|p| (PathBuf::from(p), entry)).collect();
        let baseline = Baseline { generation: 0, entries };
        let under: Vec<&str> = baseline.under(Path::new("/a/b")).map(|(p, _)| p.to_str().unwrap()).collect();
        assert_eq!(under, ["/a/b/x", "/a/b/y/z"]);
    }
}
