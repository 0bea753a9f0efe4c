//! A correlation rule as `crates/correlate` receives it: references resolved, field names mapped, the type kept as a word.
//!
//! `rule` keeps the word and its place in the file; what `value_count` or `temporal_ordered` means, and whether a word is
//! known at all, is for `correlate` to say (it answers with a `RuleError` at `path`, `line`).

use std::collections::BTreeMap;
use std::sync::Arc;

use event::{Name, RuleMeta};

/// A Sigma correlation rule, ready to be given meaning.
#[derive(Debug, Clone)]
pub struct Correlation {
    /// `alerts` is false where the rule only feeds another correlation (see `RuleSet`).
    pub meta: Arc<RuleMeta>,
    /// The `type` word: `event_count`, `value_count`, `temporal`, `temporal_ordered`, `value_sum`, `value_avg`, `value_percentile`, …
    pub kind: String,
    /// Rules it listens to, in the order written; a finding belongs to one if `finding.rule.id == rules[i].id`.
    pub rules: Vec<RuleRef>,
    pub timespan_ns: i64,
    /// What findings are grouped by, in the order written; empty: one group.
    pub group_by: Vec<GroupKey>,
    /// All must hold; empty where a temporal rule has no condition.
    pub condition: Vec<Bound>,
    /// Fields of the condition (`field:`), whose values are counted or summed; several: the tuple of their values.
    pub fields: Vec<GroupKey>,
    /// Further keys of the correlation section that Sigma 2.1 does not define (`percentile: 95`, …), numbers and texts as text.
    pub parameters: BTreeMap<String, String>,
    /// The `generate` attribute: the referenced rules raise alerts of their own as well.
    pub generate: bool,
    /// Where it was read, for messages.
    pub path: String,
    pub line: u32,
}

/// A rule a correlation refers to, resolved from id or name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRef {
    /// `RuleMeta::id` of the referenced rule.
    pub id: String,
    /// True where the referenced rule is a correlation itself; it stands before this one in `RuleSet::correlations`.
    pub correlation: bool,
}

/// A field to group by or to count, with the names to look under for each referenced rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupKey {
    /// Field or alias as written; the name under which a finding of this correlation carries the value in its `facts`.
    pub name: String,
    /// For `rules[i]`: names to try in order with `Finding::get_name`; the first present one counts.
    pub names: Vec<Vec<Name>>,
}

impl GroupKey {
    /// Names to try for a finding of `rules[rule]`.
    pub fn names_for(&self, rule: usize) -> &[Name] {
        self.names.get(rule).map_or(&[], Vec::as_slice)
    }
}

/// One bound of a correlation condition: the measured number must stand in this relation to `value`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    pub operator: Operator,
    pub value: f64,
}

impl Bound {
    pub fn holds(&self, measured: f64) -> bool {
        match self.operator {
            Operator::Lt => measured < self.value,
            Operator::Lte => measured <= self.value,
            Operator::Gt => measured > self.value,
            Operator::Gte => measured >= self.value,
            Operator::Eq => measured == self.value,
            Operator::Neq => measured != self.value,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    Lt,
    Lte,
    Gt,
    Gte,
    Eq,
    Neq,
}

impl Operator {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Eq => "eq",
            Self::Neq => "neq",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Lt, Self::Lte, Self::Gt, Self::Gte, Self::Eq, Self::Neq].into_iter().find(|o| o.word() == word)
    }
}
