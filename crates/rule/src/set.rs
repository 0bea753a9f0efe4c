//! The rule set.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use event::{Event, Finding, RuleMeta};

use crate::correlation::Correlation;
use crate::error::{Notice, RuleError};
use crate::mapping::Mappings;

/// How rules are loaded.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Values of placeholders, by name without the percent signs; a rule with a placeholder that has none stays silent.
    pub placeholders: BTreeMap<String, Vec<String>>,
}

/// One file's text and the path to name in messages.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: String,
    pub text: String,
}

/// All rules of one load.
#[derive(Debug, Default)]
pub struct RuleSet {
    correlations: Vec<Correlation>,
    notices: Vec<Notice>,
    metas: Vec<Arc<RuleMeta>>,
}

impl RuleSet {
    /// Reads rule files and folders (`*.yml`, `*.yaml`, sorted by path). What is wrong is listed; the rest is loaded.
    pub fn load<P: AsRef<Path>>(_paths: &[P], _mappings: &Mappings, _options: &Options) -> (Self, Vec<RuleError>) {
        (Self::default(), Vec::new())
    }

    /// The same from texts already read.
    pub fn from_sources(_sources: &[Source], _mappings: &Mappings, _options: &Options) -> (Self, Vec<RuleError>) {
        (Self::default(), Vec::new())
    }

    /// Appends a finding for each rule that matches, in rule order.
    pub fn detect(&self, _event: &Arc<Event>, _out: &mut Vec<Finding>) {}

    /// Correlation rules, each after those it refers to.
    pub fn correlations(&self) -> &[Correlation] {
        &self.correlations
    }

    /// Detection rules, by path and place in the file.
    pub fn rules(&self) -> &[Arc<RuleMeta>] {
        &self.metas
    }

    /// What the authors should know: rules that stay silent, attributes with no effect.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }
}
