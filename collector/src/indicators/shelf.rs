//! Uploads at rest. Two files a source: the feed as it was given, and what was said about it; the second is written last and by a rename, so
//! a feed without it is one that was never taken.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use event::Timestamp;
use indicator::{Format, ReadOptions, Tlp};
use serde::{Deserialize, Serialize};

use super::{FEED_BYTES_MAX, Refused, SOURCES_MAX};

/// What was said about an upload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    pub source: String,
    #[serde(default)]
    pub format: String,
    #[serde(default)]
    pub tlp: Option<Tlp>,
    #[serde(default)]
    pub confidence: Option<u8>,
    #[serde(default)]
    pub expires_ns: Option<i64>,
    #[serde(default)]
    pub columns: Vec<String>,
    #[serde(default)]
    pub added_ns: i64,
    #[serde(default)]
    pub by: String,
    /// Stored events were searched for it to the end.
    #[serde(default)]
    pub searched: bool,
    /// Name of the feed's file; given by the shelf.
    #[serde(default)]
    pub feed: String,
}

impl Upload {
    pub fn options(&self) -> ReadOptions {
        ReadOptions {
            format: Format::from_name(&self.format).unwrap_or_default(),
            source: self.source.clone(),
            tlp: self.tlp,
            confidence: self.confidence,
            expires: self.expires_ns.map(Timestamp::from_ns),
            columns: self.columns.clone(),
        }
    }
}

/// A source's name is a file's name too.
pub fn check_name(name: &str) -> Result<(), Refused> {
    let good = !name.is_empty()
        && name.len() <= 64
        && !name.starts_with('.')
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'));
    if good {
        return Ok(());
    }
    Err(Refused(
        "a source has 1 to 64 letters, digits, '.', '-' or '_', and does not begin with '.'".into(),
        "来源名应为 1 至 64 个字母、数字、“.”、“-”或“_”，且不以“.”开头".into(),
    ))
}

/// Configured files: those named, and those right in folders named, by name.
pub(super) fn files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut inside: Vec<_> = fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
            inside.retain(|p| !p.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')));
            inside.sort();
            out.extend(inside);
        } else {
            out.push(path.clone());
        }
        out.truncate(SOURCES_MAX);
    }
    out
}

/// A file's bytes, bounded; the error is for people.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|e| format!("cannot open: {e}"))?;
    let mut out = Vec::new();
    file.take(FEED_BYTES_MAX + 1).read_to_end(&mut out).map_err(|e| format!("cannot read: {e}"))?;
    if out.len() as u64 > FEED_BYTES_MAX {
        return Err(format!("larger than {} MiB; split it", FEED_BYTES_MAX >> 20));
    }
    Ok(out)
}

/// Uploads and their feeds, by name.
pub(super) fn uploads(folder: &Path) -> Vec<(Upload, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut all: Vec<_> = entries
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .filter_map(|p| serde_json::from_slice::<Upload>(&bytes(&p).ok()?).ok())
        .filter(|u| check_name(&u.source).is_ok() && check_name(&u.feed).is_ok())
        .map(|u| {
            let path = folder.join(&u.feed);
            (u, path)
        })
        .collect();
    all.sort_by(|a, b| a.0.source.cmp(&b.0.source));
    all.truncate(SOURCES_MAX);
    all
}

pub(super) fn put(folder: &Path, upload: &Upload, bytes: &[u8]) -> Result<(), Refused> {
    let old = uploads(folder).into_iter().find(|(u, _)| u.source == upload.source).map(|(_, path)| path);
    let feed = format!("{}.{:x}.feed", upload.source.get(..32).unwrap_or(&upload.source), upload.added_ns);
    let whole = Upload { feed: feed.clone(), ..upload.clone() };
    let made = fs::create_dir_all(folder)
        .and_then(|()| write(&folder.join(&feed), bytes))
        .and_then(|()| replace(folder, &whole))
        .and_then(|()| File::open(folder)?.sync_all());
    made.map_err(|e| trouble("write", folder, &e))?;
    if let Some(old) = old.filter(|p| *p != folder.join(&feed)) {
        let _ = fs::remove_file(old);
    }
    Ok(())
}

pub(super) fn mark_searched(folder: &Path, source: &str) -> std::io::Result<()> {
    match uploads(folder).into_iter().find(|(u, _)| u.source == source) {
        Some((upload, _)) => replace(folder, &Upload { searched: true, ..upload }),
        None => Ok(()),
    }
}

pub(super) fn remove(folder: &Path, source: &str) -> Result<bool, Refused> {
    let Some((_, feed)) = uploads(folder).into_iter().find(|(u, _)| u.source == source) else { return Ok(false) };
    fs::remove_file(folder.join(format!("{source}.json"))).map_err(|e| trouble("remove", folder, &e))?;
    let _ = fs::remove_file(feed);
    Ok(true)
}

fn replace(folder: &Path, upload: &Upload) -> std::io::Result<()> {
    let path = folder.join(format!("{}.json", upload.source));
    let fresh = folder.join(format!(".{}.new", upload.source));
    write(&fresh, &serde_json::to_vec_pretty(upload).unwrap_or_default())?;
    fs::rename(fresh, path)
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn trouble(what: &str, folder: &Path, error: &std::io::Error) -> Refused {
    let folder = folder.display();
    Refused(format!("cannot {what} in {folder}: {error}"), format!("无法写入 {folder}：{error}"))
}
