//! Mappings: names of Sigma's taxonomy, ECS, Zeek and Suricata → our field names, and log source aliases.

use std::path::Path;

use event::{LogSource, Name};

use crate::error::RuleError;

/// What `config/mappings/*.yml` say. An event's own field name always wins over a mapped one.
#[derive(Debug, Clone, Default)]
pub struct Mappings {}

impl Mappings {
    /// No mapping at all: rules speak the events' own names.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads mapping files and folders (`*.yml`, `*.yaml`, sorted by path).
    pub fn load<P: AsRef<Path>>(_paths: &[P]) -> (Self, Vec<RuleError>) {
        (Self::default(), Vec::new())
    }

    /// Names to try, in order, for the field `name` in a rule for `source`; the name itself comes first.
    pub fn names(&self, _source: &LogSource, name: &str) -> Vec<Name> {
        vec![Name::from(name)]
    }

    /// Log sources of events that a rule for `source` is about: itself first, then what aliases add.
    pub fn sources(&self, source: &LogSource) -> Vec<LogSource> {
        vec![source.clone()]
    }
}
