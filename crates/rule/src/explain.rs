//! Why a rule matched an event, or why not: the rule's tree with an answer at each node.

use std::fmt;
use std::sync::Arc;

use event::{Event, RuleMeta, Value};

use crate::compile::{Expr, Predicate};
use crate::matcher::{Answers, Looker};
use crate::record::{EventRecord, Places, Record};
use crate::scalar::cut;
use crate::set::{Rule, RuleSet};

/// Bytes of a value shown, and patterns shown of a list.
const SHOWN_MAX: usize = 160;
const PATTERNS_MAX: usize = 8;

/// The answer of one rule to one event.
#[derive(Debug, Clone)]
pub struct Explanation {
    pub rule: Arc<RuleMeta>,
    pub matched: bool,
    /// The rule is about events of this log source.
    pub source_fits: bool,
    /// Log sources the rule is about, as text.
    pub sources: Vec<String>,
    /// Why the rule never speaks, if so.
    pub silent: Option<String>,
    pub tree: Node,
}

/// One step of a rule's logic.
#[derive(Debug, Clone)]
pub struct Node {
    /// `and`, `or`, `not`, the name of a search, or a condition such as `src_endpoint.port is '22'`.
    pub label: String,
    pub holds: bool,
    /// For a condition: the value the event has; None where it has no such field.
    pub value: Option<Value>,
    pub children: Vec<Node>,
}

impl RuleSet {
    /// Why the rule of this id or name matches the event, or why not; None if there is no such rule.
    pub fn explain(&self, event: &Event, rule: &str) -> Option<Explanation> {
        let rule = self.rules.iter().find(|r| r.meta.id == rule || r.meta.name.as_deref() == Some(rule))?;
        let mut answers = Answers::new(&self.program, 0);
        let mut places = Places::new(self.program.names.count);
        places.bind(event, &self.program.names);
        let record = EventRecord { event, places: &places };
        let mut looker = Looker::new(&self.program, &mut answers, &record, false);
        let tree = self.node(rule, &rule.condition, &mut looker);
        let source_fits = rule.fits(&event.source);
        Some(Explanation {
            rule: Arc::clone(&rule.meta),
            matched: tree.holds && source_fits && rule.silent.is_none(),
            source_fits,
            sources: rule.sources.iter().map(ToString::to_string).collect(),
            silent: rule.silent.clone(),
            tree,
        })
    }

    fn node<R: Record>(&self, rule: &Rule, expr: &Expr, looker: &mut Looker<'_, '_, R>) -> Node {
        let holds = looker.holds(expr, &rule.selections);
        let mut list = |label: &str, all: &[Expr]| Node {
            label: label.to_owned(),
            holds,
            value: None,
            children: all.iter().map(|e| self.node(rule, e, looker)).collect(),
        };
        match expr {
            Expr::And(all) => list("and", all),
            Expr::Or(all) => list("or", all),
            Expr::Not(inner) => list("not", std::slice::from_ref(inner)),
            Expr::Selection(n) => match rule.selections.get(*n as usize) {
                Some(selection) => list(&selection.name, std::slice::from_ref(&selection.expr)),
                None => list("?", &[]),
            },
            Expr::Predicate(n) => match self.program.predicates.get(*n as usize) {
                Some(predicate) => {
                    let value = predicate.slot.and_then(|s| looker.see(s)).map(|s| s.owned(SHOWN_MAX));
                    Node { label: self.label(predicate), holds, value, children: Vec::new() }
                }
                None => list("?", &[]),
            },
        }
    }

    fn label(&self, predicate: &Predicate) -> String {
        let field = predicate.slot.and_then(|s| self.program.slots.get(s as usize)).map_or("message", |s| s.label.as_str());
        let link = if predicate.all { " and " } else { " or " };
        let mut patterns: Vec<String> = Vec::new();
        for test in &predicate.tests {
            let shown = cut(&test.shown, SHOWN_MAX).to_owned();
            // One value in several encodings reads the same.
            if patterns.last() != Some(&shown) {
                patterns.push(shown);
            }
        }
        let more = patterns.len().saturating_sub(PATTERNS_MAX);
        patterns.truncate(PATTERNS_MAX);
        let more = if more > 0 { format!("{link}{more} more") } else { String::new() };
        format!("{field} {}{more}", patterns.join(link))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} ({})", if self.matched { "matched" } else { "no match" }, self.rule.title, self.rule.id)?;
        if !self.source_fits {
            writeln!(f, "  - the rule is about {}", self.sources.join(", "))?;
        }
        if let Some(why) = &self.silent {
            writeln!(f, "  - the rule stays silent: {why}")?;
        }
        self.tree.write(f, 1)
    }
}

impl Node {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        write!(f, "{:indent$}{} {}", "", if self.holds { "+" } else { "-" }, self.label, indent = depth * 2)?;
        if self.children.is_empty() {
            match &self.value {
                Some(value) => write!(f, "   [{}]", cut(&value.to_text(), SHOWN_MAX).escape_debug())?,
                None if self.label.starts_with("message ") => {}
                None => write!(f, "   [no such field]")?,
            }
        }
        writeln!(f)?;
        self.children.iter().try_for_each(|c| c.write(f, depth + 1))
    }
}
