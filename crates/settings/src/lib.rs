//! Loads a configuration: a TOML file, over it environment variables, over them flags, into a checked serde type.
//!
//! Laws: unknown keys are errors (every config type says `#[serde(deny_unknown_fields)]`); a problem names file, line, column, key and value and
//! the way out; as many problems as can be found are reported at once; a secret never prints. Nothing here reads the environment or the
//! arguments itself: the caller passes them, so that a test can.
//!
//! How all problems are found with plain serde: the document is kept as a tree with positions; where deserialising fails, the offending
//! entry is taken out of the tree, and deserialising is tried again, at most `PROBLEMS_MAX` times.
//!
//! Limits: a file of at most 1 MiB, 50 problems. Config types must not use `#[serde(flatten)]` or untagged enums: they lose positions.

mod document;
mod problem;
mod units;

pub use document::{Document, Place};
pub use problem::{Errors, Problem, did_you_mean};
pub use units::{Bytes, Duration, Secret};

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// A configuration file above this size is refused.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Problems reported at once.
pub const PROBLEMS_MAX: usize = 50;

/// Loads one file, without environment and flags.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, Errors> {
    Layers::new().file(path).load().map(|loaded| loaded.value)
}

/// Checks text that is already there; `name` stands where the path would.
pub fn load_text<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Errors> {
    Layers::new().text(name, text).load().map(|loaded| loaded.value)
}

/// Reads a section that was kept as a bare table (a sensor's, a channel's). The message has one line a problem, each beginning with
/// `key 'name': `, so that the caller can put the section's place in front (`Document::place`).
pub fn section<T: DeserializeOwned>(table: &toml::Table) -> Result<T, String> {
    let text = toml::to_string(table).map_err(|error| error.to_string())?;
    Layers::new().text("", &text).load().map(|loaded| loaded.value).map_err(|errors| {
        let lines: Vec<String> = errors.problems.iter().map(Problem::without_place).collect();
        lines.join("\n")
    })
}

/// What was loaded: the value, and where each key stood, for checks that come after the types.
#[derive(Debug)]
pub struct Loaded<T> {
    pub value: T,
    pub document: Document,
}

/// The layers of a configuration, lowest first: file, environment, flags.
#[derive(Debug, Default)]
pub struct Layers {
    file: Option<PathBuf>,
    text: Option<(String, String)>,
    overrides: Vec<Override>,
}

/// One value from outside the file.
#[derive(Debug, Clone)]
pub(crate) struct Override {
    /// Where it came from, as a person would look for it: `environment variable X`, `flag --x`.
    pub origin: String,
    pub key: String,
    pub text: String,
}

impl Layers {
    pub fn new() -> Self {
        Self::default()
    }

    /// The file to read; it must exist.
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        self.file = Some(path.to_owned());
        self
    }

    /// Text in place of a file.
    #[must_use]
    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.text = Some((name.to_owned(), text.to_owned()));
        self
    }

    /// Takes variables that begin with `<prefix>__`: `VEDETTE_AGENT__SPOOL__DIR` with prefix `VEDETTE_AGENT` sets `spool.dir`.
    #[must_use]
    pub fn environment(mut self, prefix: &str, variables: impl Iterator<Item = (String, String)>) -> Self {
        let head = format!("{prefix}__");
        let mut found: Vec<Override> = variables
            .filter_map(|(name, text)| {
                let key = name.strip_prefix(&head)?.to_ascii_lowercase().replace("__", ".");
                Some(Override { origin: format!("environment variable {name}"), key, text })
            })
            .collect();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        self.overrides.extend(found);
        self
    }

    /// A value from the command line, if it was given.
    #[must_use]
    pub fn flag(mut self, flag: &str, key: &str, value: Option<impl Into<String>>) -> Self {
        if let Some(value) = value {
            self.overrides.push(Override { origin: format!("flag {flag}"), key: key.to_owned(), text: value.into() });
        }
        self
    }

    /// Reads and checks all layers; either a whole value or all problems.
    pub fn load<T: DeserializeOwned>(self) -> Result<Loaded<T>, Errors> {
        let (name, text) = match (self.text, self.file) {
            (Some(pair), _) => pair,
            (None, Some(path)) => (path.display().to_string(), read(&path)?),
            (None, None) => (String::new(), String::new()),
        };
        document::load(name, text, self.overrides)
    }
}

fn read(path: &Path) -> Result<String, Errors> {
    let at = Place { file: path.display().to_string(), line: 0, column: 0 };
    let fail = |what: String| Errors::one(Problem { place: at.clone(), key: String::new(), message: what });
    let size = std::fs::metadata(path)
        .map_err(|error| fail(format!("cannot be read: {error}; give another with -c or create it from 'print config'")))?;
    if size.is_dir() {
        return Err(fail("is a folder; name the file itself".to_owned()));
    }
    if size.len() > FILE_BYTES_MAX {
        return Err(fail(format!("is {} bytes long; a configuration has at most {FILE_BYTES_MAX}", size.len())));
    }
    let bytes = std::fs::read(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(good).filter(|b| **b == b'\n').count();
        let place = Place { file: at.file.clone(), line, column: 1 };
        Errors::one(Problem { place, key: String::new(), message: "not UTF-8 text; save the file as UTF-8".to_owned() })
    })
}

#[cfg(test)]
mod tests;
