//! Our own representation of what a rule file says, free of any parser's types: what `read` makes and `compile` takes.

use std::collections::BTreeMap;

use event::{LogSource, Severity};

use crate::correlation::Operator;
use crate::error::{Notice, RuleError};

/// Where a document stands, and its text, so that a later stage can still point at a line.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub path: String,
    /// Line of the file the text begins at, from 1.
    pub first_line: u32,
    pub text: String,
}

impl Place {
    /// Line of the first line that says something.
    pub fn line(&self) -> u32 {
        let blank = self.text.lines().take_while(|l| l.trim().is_empty() || l.trim_start().starts_with('#')).count();
        self.first_line.saturating_add(u32::try_from(blank).unwrap_or(0))
    }

    /// Line and column of the innermost of `words` found when each is sought after the one before: at the beginning of a
    /// line (a key), else anywhere (a value, or a map written in one line).
    pub fn locate(&self, words: &[&str]) -> (u32, u32) {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut found = (self.line(), 0);
        let mut from = 0usize;
        for word in words.iter().filter(|w| !w.is_empty()) {
            let says = |line: &&str| !line.trim_start().starts_with('#');
            let rest = || lines.iter().enumerate().skip(from).filter(|(_, l)| says(l));
            let hit = rest().find(|(_, l)| bare(l).starts_with(word)).or_else(|| rest().find(|(_, l)| l.contains(word)));
            let Some((at, line)) = hit else { break };
            let column = line.find(word).and_then(|c| line.get(..c)).map_or(0, |before| before.chars().count());
            from = at;
            found = (self.first_line.saturating_add(u32::try_from(at).unwrap_or(0)), u32::try_from(column).unwrap_or(0).saturating_add(1));
        }
        found
    }

    pub fn error(&self, words: &[&str], what: impl Into<String>, way_out: impl Into<String>) -> RuleError {
        let (line, column) = self.locate(words);
        RuleError { path: self.path.clone(), line, column, what: what.into(), way_out: way_out.into() }
    }

    pub fn notice(&self, words: &[&str], what: impl Into<String>, way_out: impl Into<String>) -> Notice {
        self.error(words, what, way_out)
    }
}

/// A line without what may stand before a key.
fn bare(line: &str) -> &str {
    line.trim_start_matches([' ', '-', '\'', '"', '\t'])
}

/// What all kinds of documents say about themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub id: Option<String>,
    pub name: Option<String>,
    pub title: String,
    pub title_zh: String,
    pub description: String,
    pub author: String,
    pub taxonomy: Option<String>,
    pub level: Option<Severity>,
    pub tags: Vec<String>,
    /// Custom attribute `alerts`.
    pub alerts: Option<bool>,
    /// Custom attribute `shadow`.
    pub shadow: Option<bool>,
    /// `status: experimental`.
    pub experimental: bool,
    /// Custom attribute `group_by`.
    pub group_by: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Document {
    pub place: Place,
    pub head: Head,
    pub body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Rule { source: LogSource, detections: Detections },
    Filter { source: LogSource, targets: Targets, detections: Detections },
    Correlation(RawCorrelation),
}

#[derive(Debug)]
pub(crate) enum Targets {
    Any,
    Named(Vec<String>),
}

/// A detection section: named searches and the conditions over them (a list of conditions is linked by OR).
#[derive(Debug)]
pub(crate) struct Detections {
    pub named: Vec<(String, Search)>,
    pub conditions: Vec<Condition>,
}

/// One search identifier's content.
#[derive(Debug)]
pub(crate) enum Search {
    All(Vec<Item>),
    Any(Vec<Search>),
}

/// One `field|modifier: value(s)` entry, or keywords where there is no field.
#[derive(Debug)]
pub(crate) struct Item {
    pub field: Option<String>,
    pub modifiers: Vec<Modifier>,
    pub values: Vec<Literal>,
}

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TimePart {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modifier {
    Contains,
    StartsWith,
    EndsWith,
    All,
    Exists,
    Cased,
    Neq,
    WinDash,
    Re,
    IgnoreCase,
    MultiLine,
    DotAll,
    Base64,
    Base64Offset,
    Utf16Le,
    Utf16Be,
    Utf16,
    Compare(Operator),
    Time(TimePart),
    Cidr,
    Expand,
    FieldRef,
}

/// Every modifier of Sigma 2.1 and its word; `wide` is another word for `utf16le`.
pub(crate) const MODIFIERS: &[(&str, Modifier)] = &[
    ("contains", Modifier::Contains),
    ("startswith", Modifier::StartsWith),
    ("endswith", Modifier::EndsWith),
    ("all", Modifier::All),
    ("exists", Modifier::Exists),
    ("cased", Modifier::Cased),
    ("neq", Modifier::Neq),
    ("windash", Modifier::WinDash),
    ("re", Modifier::Re),
    ("i", Modifier::IgnoreCase),
    ("m", Modifier::MultiLine),
    ("s", Modifier::DotAll),
    ("base64", Modifier::Base64),
    ("base64offset", Modifier::Base64Offset),
    ("utf16le", Modifier::Utf16Le),
    ("wide", Modifier::Utf16Le),
    ("utf16be", Modifier::Utf16Be),
    ("utf16", Modifier::Utf16),
    ("lt", Modifier::Compare(Operator::Lt)),
    ("lte", Modifier::Compare(Operator::Lte)),
    ("gt", Modifier::Compare(Operator::Gt)),
    ("gte", Modifier::Compare(Operator::Gte)),
    ("minute", Modifier::Time(TimePart::Minute)),
    ("hour", Modifier::Time(TimePart::Hour)),
    ("day", Modifier::Time(TimePart::Day)),
    ("week", Modifier::Time(TimePart::Week)),
    ("month", Modifier::Time(TimePart::Month)),
    ("year", Modifier::Time(TimePart::Year)),
    ("cidr", Modifier::Cidr),
    ("expand", Modifier::Expand),
    ("fieldref", Modifier::FieldRef),
];

impl Modifier {
    pub fn word(self) -> &'static str {
        MODIFIERS.iter().find(|(_, m)| *m == self).map_or("", |(w, _)| w)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Name(String),
    /// `1 of` (all = false) or `all of`; no pattern: `them`.
    Of {
        all: bool,
        pattern: Option<String>,
    },
}

/// A correlation section as written.
#[derive(Debug)]
pub(crate) struct RawCorrelation {
    pub kind: String,
    pub rules: Vec<String>,
    pub timespan_ns: i64,
    pub group_by: Vec<String>,
    pub fields: Vec<String>,
    pub condition: Vec<(Operator, f64)>,
    /// alias → rule id or name → field
    pub aliases: BTreeMap<String, BTreeMap<String, String>>,
    pub parameters: BTreeMap<String, String>,
    pub generate: bool,
}
