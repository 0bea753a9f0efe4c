//! Rule and mapping files from disk; the only place of this crate that touches it.

use std::path::{Path, PathBuf};

use crate::error::RuleError;
use crate::read;
use crate::set::Source;

/// Limits of one load.
const FILES_MAX: usize = 100_000;
const FOLDER_DEPTH_MAX: usize = 16;

/// Reads `*.yml` and `*.yaml` from files and folders, sorted by path. What cannot be read is an error with its path.
pub(crate) fn read_sources<P: AsRef<Path>>(paths: &[P]) -> (Vec<Source>, Vec<RuleError>) {
    let mut errors = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        walk(path.as_ref(), 0, &mut files, &mut errors);
    }
    files.sort();
    files.dedup();
    let mut sources = Vec::new();
    for path in files {
        let shown = path.display().to_string();
        let refused = |what: String, way: &str| RuleError { path: shown.clone(), line: 0, column: 0, what, way_out: way.into() };
        match std::fs::metadata(&path).map(|m| m.len()) {
            Ok(bytes) if bytes > read::FILE_BYTES_MAX as u64 => {
                errors.push(refused(format!("the file has {bytes} bytes, more than {}", read::FILE_BYTES_MAX), "split it"));
                continue;
            }
            _ => {}
        }
        match std::fs::read(&path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => sources.push(Source { path: shown, text }),
                Err(_) => errors.push(refused("the file is not UTF-8".into(), "save it as UTF-8")),
            },
            Err(e) => errors.push(refused(format!("cannot be read: {e}"), "check path and permissions")),
        }
    }
    (sources, errors)
}

fn walk(path: &Path, depth: usize, files: &mut Vec<PathBuf>, errors: &mut Vec<RuleError>) {
    let mut refused = |what: String, way: &str| {
        errors.push(RuleError { path: path.display().to_string(), line: 0, column: 0, what, way_out: way.into() });
    };
    if !path.is_dir() {
        if depth == 0 || path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            if files.len() < FILES_MAX {
                files.push(path.to_owned());
            } else {
                refused(format!("left out: more than {FILES_MAX} files"), "load fewer");
            }
        }
        return;
    }
    if depth >= FOLDER_DEPTH_MAX {
        return refused(format!("left out: folders nested deeper than {FOLDER_DEPTH_MAX}"), "a link that leads into itself?");
    }
    match std::fs::read_dir(path) {
        Ok(entries) => {
            let mut inside: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
            inside.sort();
            for entry in inside {
                walk(&entry, depth + 1, files, errors);
            }
        }
        Err(e) => refused(format!("cannot be read: {e}"), "check path and permissions"),
    }
}
