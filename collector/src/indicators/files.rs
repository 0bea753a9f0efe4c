//! Indicator files for commands that work here and ask no server: `check`, `replay`, `match`. Read by the very reader the collector uses;
//! what cannot be taken is named with file, line and reason.

use std::path::PathBuf;

use indicator::{ReadOptions, Set, SetBuilder};

use super::{PROBLEMS_SHOWN, SOURCES_MAX, Source, read, shelf};

/// What reading files came to.
#[derive(Default)]
pub struct Loaded {
    pub set: Set,
    pub files: u64,
    /// Entries that were refused, and files that could not be read.
    pub refused: u64,
    /// The first of them of each file: `file:line: 'value': reason`.
    pub problems: Vec<String>,
}

/// Reads files, and the files of folders, as far as `SOURCES_MAX`. A file's name is its source.
pub fn load(paths: &[PathBuf]) -> Loaded {
    let mut builder = SetBuilder::new();
    let mut loaded = Loaded::default();
    for path in shelf::files(paths) {
        loaded.files += 1;
        let shown = path.display().to_string();
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let options = ReadOptions { source: name.clone(), ..ReadOptions::default() };
        let source = read(Source { name, path, ..Source::default() }, &options, &mut |entry| builder.add(entry));
        loaded.refused += source.refused;
        for problem in &source.problems {
            let place = if problem.line == 0 { shown.clone() } else { format!("{shown}:{}", problem.line) };
            let value = if problem.value == shown || problem.value.is_empty() { String::new() } else { format!("'{}': ", problem.value) };
            loaded.problems.push(format!("{place}: {value}{}", problem.reason));
        }
        let more = source.refused.saturating_sub(source.problems.len() as u64);
        if more > 0 {
            loaded.problems.push(format!("{shown}: and {more} more entries refused; the first {PROBLEMS_SHOWN} are named"));
        }
        if source.entries == 0 && source.refused == 0 {
            loaded.refused += 1;
            loaded.problems.push(format!("{shown}: there is no indicator in it; STIX 2.1, MISP JSON, CSV and plain lists are read"));
        }
    }
    if loaded.files as usize >= SOURCES_MAX {
        loaded.problems.push(format!("{SOURCES_MAX} files were read; further ones are left"));
    }
    loaded.set = builder.build();
    loaded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_taken_is_named_with_file_line_and_reason() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("good.txt"), "evil.example\n192.0.2.1\n127.0.0.1\n").unwrap();
        std::fs::write(at("empty.txt"), "# nothing\n").unwrap();
        let loaded = load(&[dir.path().to_owned(), at("nosuch.csv")]);
        assert_eq!((loaded.set.len(), loaded.files, loaded.refused), (2, 3, 3));
        let said = loaded.problems.join("\n");
        for words in ["good.txt:3: '127.0.0.1': a loopback", "empty.txt: there is no indicator in it", "nosuch.csv: cannot open"] {
            assert!(said.contains(words), "'{words}' in:\n{said}");
        }
    }
}
