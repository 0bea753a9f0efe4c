//! Documents → predicates. Each detection item becomes one predicate, shared by all rules that ask the same question of the
//! same field; a rule is then a small tree over predicate numbers.
//!
//! Field names are resolved here, once, to the list of names to try in an event; needles are folded once (`item`).

use std::collections::HashMap;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use event::LogSource;

use crate::correlation::Operator;
use crate::document::{Condition, Detections, Item, Modifier, Place, Search, TimePart};
use crate::error::RuleError;
use crate::mapping::Mappings;
use crate::record::Names;
use crate::regexp::Expression;
use crate::scalar::{Cidr, Header};
use crate::set::Options;
use crate::text::{self, Form, Pattern, Piece};

/// From this many values on, a list is one look-up instead of a loop.
const LIST_MIN: usize = 6;

/// Where a field is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Candidate {
    /// A name of `Program::names`.
    Body(u32),
    Header(Header),
}

/// A field as a rule names it, with the names to try in an event.
#[derive(Debug)]
pub(crate) struct Slot {
    pub label: String,
    pub candidates: Vec<Candidate>,
}

/// One question to an event.
#[derive(Debug)]
pub(crate) struct Predicate {
    /// None: keywords, asked of every value.
    pub slot: Option<u32>,
    /// All tests must hold, not just one.
    pub all: bool,
    /// `neq`: the field is there and no test holds.
    pub negate: bool,
    pub tests: Vec<Test>,
    /// Built when first asked: most lists are answered by an index and never need it.
    quick: OnceLock<Quick>,
    /// How many more times rules ask it.
    pub uses: u32,
    cost: u32,
}

/// A list of like tests as one look-up; the answer is the number of the test.
#[derive(Debug)]
pub(crate) enum Quick {
    No,
    Exact(HashMap<Box<str>, usize>, Form),
    Contains(Box<AhoCorasick>, Form),
}

#[derive(Debug)]
pub(crate) struct Test {
    pub kind: TestKind,
    /// For people: `contains 'passwd'`.
    pub shown: Box<str>,
}

#[derive(Debug)]
pub(crate) enum TestKind {
    Text {
        pattern: Pattern,
        form: Form,
    },
    Number {
        int: Option<i64>,
        float: f64,
        text: Box<str>,
    },
    Bool(bool),
    Null,
    Exists(bool),
    Compare {
        operator: Operator,
        int: Option<i64>,
        float: f64,
    },
    Time {
        part: TimePart,
        operator: Operator,
        value: i64,
    },
    Cidr(Cidr),
    Regex(Expression),
    FieldRef {
        slot: u32,
        relation: Relation,
        form: Form,
    },
    /// A placeholder without values; the rule that holds it stays silent.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Equals,
    Contains,
    StartsWith,
    EndsWith,
}

/// A rule's logic over predicate numbers.
#[derive(Debug)]
pub(crate) enum Expr {
    Predicate(u32),
    Selection(u32),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
}

#[derive(Debug)]
pub(crate) struct Selection {
    pub name: String,
    pub expr: Expr,
}

/// All slots and predicates of a rule set.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub names: Names,
    pub slots: Vec<Slot>,
    pub predicates: Vec<Predicate>,
}

/// The logic of one rule.
#[derive(Debug, Default)]
pub(crate) struct Logic {
    pub selections: Vec<Selection>,
    pub condition: Option<Expr>,
    /// Placeholders without values.
    pub missing: Vec<String>,
}

/// Collects predicates while rules are loaded.
pub(crate) struct Builder<'a> {
    pub program: Program,
    mappings: &'a Mappings,
    pub(crate) options: &'a Options,
    slots: HashMap<(String, Vec<Candidate>), u32>,
    predicates: HashMap<String, u32>,
}

impl<'a> Builder<'a> {
    pub fn new(mappings: &'a Mappings, options: &'a Options) -> Self {
        Self { program: Program::default(), mappings, options, slots: HashMap::new(), predicates: HashMap::new() }
    }

    /// Adds a detection section to a rule: its selections, and its condition linked to the present one by AND.
    pub fn add(
        &mut self,
        place: &Place,
        source: &LogSource,
        detections: &Detections,
        prefix: &str,
        logic: &mut Logic,
    ) -> Result<(), RuleError> {
        let first = logic.selections.len();
        for (name, search) in &detections.named {
            let expr = self.search(place, source, name, search, &mut logic.missing)?;
            logic.selections.push(Selection { name: format!("{prefix}{name}"), expr });
        }
        let names: Vec<&str> = detections.named.iter().map(|(n, _)| n.as_str()).collect();
        let mut any = Vec::new();
        for condition in &detections.conditions {
            any.push(self.condition(place, &names, first, condition, &logic.selections)?);
        }
        let expr = self.link(any, false, &logic.selections);
        logic.condition = Some(match logic.condition.take() {
            Some(before) => Expr::And(vec![before, expr]),
            None => expr,
        });
        Ok(())
    }

    fn condition(
        &self,
        place: &Place,
        names: &[&str],
        first: usize,
        condition: &Condition,
        selections: &[Selection],
    ) -> Result<Expr, RuleError> {
        let number = |at: usize| Expr::Selection(u32::try_from(first + at).unwrap_or(u32::MAX));
        let list = |l: &[Condition]| l.iter().map(|c| self.condition(place, names, first, c, selections)).collect::<Result<Vec<_>, _>>();
        let here = |what: String, way: String| place.error(&["detection", "condition"], what, way);
        Ok(match condition {
            Condition::And(l) => self.link(list(l)?, true, selections),
            Condition::Or(l) => self.link(list(l)?, false, selections),
            Condition::Not(c) => Expr::Not(Box::new(self.condition(place, names, first, c, selections)?)),
            Condition::Name(name) => match names.iter().position(|n| n == name) {
                Some(at) => number(at),
                None => {
                    let way = match crate::error::nearest(name, names.iter().copied()) {
                        Some(near) => format!("did you mean '{near}'?"),
                        None => format!("searches are: {}", names.join(", ")),
                    };
                    return Err(here(format!("the condition names '{name}', which is no search of this rule"), way));
                }
            },
            Condition::Of { all, pattern } => {
                let glob = pattern.as_deref().map(|p| {
                    let mut pieces = Vec::new();
                    for (n, part) in p.split('*').enumerate() {
                        if n > 0 {
                            text::push(&mut pieces, Piece::Any);
                        }
                        if !part.is_empty() {
                            text::push(&mut pieces, Piece::Text(part.to_owned()));
                        }
                    }
                    Pattern::new(&pieces, Form::Cased)
                });
                // "Same as 1/all of them, but restricted": names with an underscore are left out unless asked for by it.
                let hidden_too = pattern.as_deref().is_some_and(|p| p.starts_with('_'));
                let fits = |n: &str| (hidden_too || !n.starts_with('_')) && glob.as_ref().is_none_or(|g| g.matches(n));
                let all_of: Vec<Expr> = names.iter().enumerate().filter(|(_, n)| fits(n)).map(|(at, _)| number(at)).collect();
                if all_of.is_empty() {
                    let pattern = pattern.as_deref().unwrap_or("them");
                    return Err(here(format!("no search is named like '{pattern}'"), format!("searches are: {}", names.join(", "))));
                }
                self.link(all_of, *all, selections)
            }
        })
    }

    /// Links by AND or OR, cheapest first; one alone stays itself.
    fn link(&self, mut list: Vec<Expr>, and: bool, selections: &[Selection]) -> Expr {
        if list.len() == 1 {
            return list.swap_remove(0);
        }
        list.sort_by_key(|e| self.cost(e, selections));
        if and { Expr::And(list) } else { Expr::Or(list) }
    }

    fn cost(&self, expr: &Expr, selections: &[Selection]) -> u32 {
        match expr {
            Expr::Predicate(n) => self.program.predicates.get(*n as usize).map_or(1, |p| p.cost),
            Expr::Selection(n) => selections.get(*n as usize).map_or(1, |s| self.cost(&s.expr, selections)),
            // AND ends with the first that fails, most often the cheapest; the others count for a part.
            Expr::And(l) => {
                l.first().map_or(0, |e| self.cost(e, selections))
                    + l.iter().skip(1).map(|e| self.cost(e, selections) / 8).fold(0, u32::saturating_add)
            }
            Expr::Or(l) => l.iter().map(|e| self.cost(e, selections)).fold(0, u32::saturating_add),
            Expr::Not(e) => self.cost(e, selections),
        }
    }

    fn search(
        &mut self,
        place: &Place,
        source: &LogSource,
        name: &str,
        search: &Search,
        missing: &mut Vec<String>,
    ) -> Result<Expr, RuleError> {
        Ok(match search {
            Search::All(items) => {
                let list =
                    items.iter().map(|i| self.item(place, source, name, i, missing).map(Expr::Predicate)).collect::<Result<_, _>>()?;
                self.link(list, true, &[])
            }
            Search::Any(list) => {
                let list = list.iter().map(|s| self.search(place, source, name, s, missing)).collect::<Result<_, _>>()?;
                self.link(list, false, &[])
            }
        })
    }

    pub(crate) fn slot(&mut self, source: &LogSource, field: &str) -> u32 {
        let mut candidates: Vec<Candidate> = Vec::new();
        for name in self.mappings.names(source, field) {
            // The body first: a field of the same name is the event's own.
            let header = Header::from_name(name.as_str());
            candidates.push(Candidate::Body(self.program.names.insert(&name)));
            candidates.extend(header.map(Candidate::Header));
        }
        let program = &mut self.program;
        *self.slots.entry((field.to_owned(), candidates.clone())).or_insert_with(|| {
            program.slots.push(Slot { label: field.to_owned(), candidates });
            u32::try_from(program.slots.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn item(&mut self, place: &Place, source: &LogSource, search: &str, item: &Item, missing: &mut Vec<String>) -> Result<u32, RuleError> {
        let slot = item.field.as_deref().map(|f| self.slot(source, f));
        let mut key = format!("{slot:?} {:?} {:?}", item.modifiers, item.values);
        if item.modifiers.contains(&Modifier::FieldRef) {
            // The other field's names depend on the rule's log source too.
            key.push_str(&source.to_string());
        }
        if let Some(known) = self.predicates.get(&key) {
            if let Some(predicate) = self.program.predicates.get_mut(*known as usize) {
                predicate.uses += 1;
            }
            return Ok(*known);
        }
        let label = item.field.as_deref().unwrap_or("keywords");
        let here = |(what, way): (String, String)| {
            let field: String = item.field.as_deref().unwrap_or("").chars().take(80).collect();
            place.error(&["detection", search, &field], format!("'{label}': {what}"), way)
        };
        let (plan, tests, unknown) = self.tests(source, item).map_err(here)?;
        let silent = !unknown.is_empty();
        missing.extend(unknown);
        let cost = cost(slot, &tests);
        self.program.predicates.push(Predicate { slot, all: plan.all, negate: plan.negate, tests, quick: OnceLock::new(), uses: 0, cost });
        let number = u32::try_from(self.program.predicates.len() - 1).unwrap_or(u32::MAX);
        if !silent {
            self.predicates.insert(key, number);
        }
        Ok(number)
    }
}

impl Predicate {
    /// The tests as one look-up, where they are alike and any of them will do.
    pub fn quick(&self) -> &Quick {
        if self.tests.len() < LIST_MIN {
            return &Quick::No;
        }
        self.quick.get_or_init(|| if self.all || self.negate { Quick::No } else { quick(&self.tests) })
    }
}

fn quick(tests: &[Test]) -> Quick {
    if tests.len() < LIST_MIN {
        return Quick::No;
    }
    let mut one_form = None;
    let mut exact = HashMap::new();
    let mut parts = Vec::new();
    for (n, test) in tests.iter().enumerate() {
        let TestKind::Text { pattern, form } = &test.kind else { return Quick::No };
        if *one_form.get_or_insert(*form) != *form {
            return Quick::No;
        }
        match pattern {
            Pattern::Equals(t) => drop(exact.entry(t.clone()).or_insert(n)),
            Pattern::Contains(t) if !t.needle().is_empty() => parts.push(t.needle()),
            _ => return Quick::No,
        }
    }
    let Some(form) = one_form else { return Quick::No };
    if parts.is_empty() {
        return Quick::Exact(exact, form);
    }
    if parts.len() < tests.len() {
        return Quick::No;
    }
    match AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&parts) {
        Ok(all) => Quick::Contains(Box::new(all), form),
        Err(_) => Quick::No,
    }
}

fn cost(slot: Option<u32>, tests: &[Test]) -> u32 {
    let one = |t: &Test| match &t.kind {
        TestKind::Text { pattern: Pattern::Contains(_), .. } => 4,
        TestKind::Text { pattern: Pattern::Glob(_), .. } => 8,
        TestKind::Text { .. } => 2,
        TestKind::Regex(_) => 40,
        TestKind::Cidr(_) | TestKind::FieldRef { .. } | TestKind::Time { .. } => 4,
        _ => 1,
    };
    let all = tests.iter().map(one).fold(0, u32::saturating_add);
    if slot.is_none() { all.saturating_mul(16).saturating_add(64) } else { all }
}
