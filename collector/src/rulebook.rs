//! Rules and mappings for commands that work here and ask no server: found, loaded, and what is wrong with them said.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use rule::{Mappings, Options, RuleError, RuleSet};

/// Faults named one by one; the others are counted.
const NAMED_MAX: usize = 10;

/// Where the rules lie.
#[derive(Debug, Clone, Default, Args)]
pub struct RuleArgs {
    /// Sigma rules and correlations, a file or folder; may be given several times [default: /etc/vedette/rules, else config/rules]
    #[arg(long, value_name = "PATH")]
    pub rules: Vec<PathBuf>,
    /// Field mappings, a file or folder; may be given several times [default: /etc/vedette/mappings, else config/mappings]
    #[arg(long, visible_alias = "mappings", value_name = "PATH")]
    pub mapping: Vec<PathBuf>,
}

/// A loaded set, and the documents that were refused.
#[derive(Debug)]
pub struct Book {
    pub rules: RuleSet,
    pub faults: Vec<RuleError>,
}

impl RuleArgs {
    /// With what is installed, or lies in the clone, in place of what is not named.
    pub fn or_found(&self) -> Result<Self> {
        let rules = if self.rules.is_empty() { found("rules").into_iter().collect() } else { self.rules.clone() };
        ensure!(
            !rules.is_empty(),
            "no rules: name them with --rules, or run this in the clone (config/rules) or after an installation (/etc/vedette/rules)"
        );
        let mapping = if self.mapping.is_empty() { found("mappings").into_iter().collect() } else { self.mapping.clone() };
        Ok(Self { rules, mapping })
    }

    /// Loads; a path that is not there is an error, a rule that is refused is a fault beside the others.
    pub fn load(&self) -> Result<Book> {
        self.load_with(false, &Options::default())
    }

    /// `open`: a mapping may lead to any name, for events of any shape.
    pub fn load_with(&self, open: bool, options: &Options) -> Result<Book> {
        let (mappings, mut faults) = self.mappings(open)?;
        for path in &self.rules {
            ensure!(path.exists(), "{}: there is no such file or folder of rules; name one with --rules", path.display());
        }
        let (rules, more) = RuleSet::load(&self.rules, &mappings, options);
        faults.extend(more);
        Ok(Book { rules, faults })
    }

    pub fn mappings(&self, open: bool) -> Result<(Mappings, Vec<RuleError>)> {
        for path in &self.mapping {
            ensure!(path.exists(), "{}: there is no such file or folder of mappings; name one with --mapping", path.display());
        }
        Ok(match (self.mapping.is_empty(), open) {
            (true, _) => (Mappings::none(), Vec::new()),
            (false, true) => Mappings::load_open(&self.mapping),
            (false, false) => Mappings::load(&self.mapping),
        })
    }
}

/// Names the first faults on standard error and counts the others.
pub fn tell(faults: &[impl std::fmt::Display]) {
    for fault in faults.iter().take(NAMED_MAX) {
        eprintln!("{fault}");
    }
    if faults.len() > NAMED_MAX {
        eprintln!("and {} more; `vedette check` names them all", faults.len() - NAMED_MAX);
    }
}

/// The installed one, else the one of a clone.
pub fn found(name: &str) -> Option<PathBuf> {
    [Path::new("/etc/vedette").join(name), Path::new("config").join(name)].into_iter().find(|p| p.exists())
}
