//! The rule set: rules by log source, and the two ways to ask it.
//!
//! `detect` looks up the rules whose log source fits (one look-up for a source met before) and remembers answers within
//! the event; `scan` asks every rule from scratch. Both give the same findings in the same order; a test
//! holds them to it. The set is shared between threads as it is: the room for one event's answers comes from a pool.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use event::{Event, Evidence, Finding, LogSource, Reason, RuleMeta};

use crate::compile::{Expr, Program, Selection};
use crate::correlation::Correlation;
use crate::error::{Notice, RuleError};
use crate::files::read_sources;
use crate::loader::Loader;
use crate::mapping::Mappings;
use crate::matcher::{Looker, Scratch};
use crate::read;

/// Rooms kept for later events; more threads than that make their own.
const POOL_MAX: usize = 64;
/// Log sources whose rules are remembered; more are looked up each time.
const PLANS_MAX: usize = 4096;

/// How rules are loaded.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Values of placeholders, by name without the percent signs; a rule with a placeholder that has none stays silent.
    pub placeholders: BTreeMap<String, Vec<String>>,
    /// Rules of `status: experimental` are on trial unless they say `shadow: false`.
    pub shadow_experimental: bool,
}

/// One file's text and the path to name in messages.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: String,
    pub text: String,
}

/// A detection rule, compiled.
#[derive(Debug)]
pub(crate) struct Rule {
    pub meta: Arc<RuleMeta>,
    /// Log sources of events it is about: its own, then what aliases add.
    pub sources: Vec<LogSource>,
    pub selections: Vec<Selection>,
    pub condition: Expr,
    /// Why it never speaks, if so.
    pub silent: Option<String>,
}

/// All rules of one load.
#[derive(Debug, Default)]
pub struct RuleSet {
    pub(crate) rules: Vec<Rule>,
    pub(crate) metas: Vec<Arc<RuleMeta>>,
    pub(crate) program: Program,
    pub(crate) index: Index,
    pub(crate) correlations: Vec<Correlation>,
    pub(crate) notices: Vec<Notice>,
    pool: Mutex<Vec<Scratch>>,
}

impl RuleSet {
    /// Reads rule files and folders (`*.yml`, `*.yaml`, sorted by path). What is wrong is listed; the rest is loaded.
    pub fn load<P: AsRef<Path>>(paths: &[P], mappings: &Mappings, options: &Options) -> (Self, Vec<RuleError>) {
        let (sources, mut errors) = read_sources(paths);
        let (set, more) = Self::from_sources(&sources, mappings, options);
        errors.extend(more);
        (set, errors)
    }

    /// The same from texts already read.
    pub fn from_sources(sources: &[Source], mappings: &Mappings, options: &Options) -> (Self, Vec<RuleError>) {
        let mut errors = Vec::new();
        let mut documents = Vec::new();
        for source in sources {
            for result in read::read(&source.path, &source.text) {
                match result {
                    Ok(document) => documents.push(document),
                    Err(error) => errors.push(error),
                }
            }
        }
        let (set, more) = Loader::new(mappings, options).load(documents);
        errors.extend(more);
        (set, errors)
    }

    /// Appends a finding for each rule that matches, in rule order.
    pub fn detect(&self, event: &Arc<Event>, out: &mut Vec<Finding>) {
        let fitting = self.index.find(&event.source);
        if fitting.is_empty() {
            return;
        }
        let mut scratch = self.pool.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(|| Scratch::new(&self.program));
        let mut looker = Looker::new(&self.program, &mut scratch, event, false);
        for number in fitting.iter() {
            if let Some(rule) = self.rules.get(*number as usize)
                && looker.holds(&rule.condition, &rule.selections)
            {
                out.push(finding(rule, event, &mut looker));
            }
        }
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOL_MAX {
            pool.push(scratch);
        }
    }

    /// The same by asking every rule from scratch: slow, and the measure `detect` is held to.
    pub fn scan(&self, event: &Arc<Event>, out: &mut Vec<Finding>) {
        let mut scratch = Scratch::new(&self.program);
        for rule in self.rules.iter().filter(|r| r.silent.is_none() && r.fits(&event.source)) {
            let mut looker = Looker::new(&self.program, &mut scratch, event, true);
            if looker.holds(&rule.condition, &rule.selections) {
                out.push(finding(rule, event, &mut looker));
            }
        }
    }

    /// Correlation rules, each after those it refers to.
    pub fn correlations(&self) -> &[Correlation] {
        &self.correlations
    }

    /// Detection rules, by path and place in the file.
    pub fn rules(&self) -> &[Arc<RuleMeta>] {
        &self.metas
    }

    /// Rules that are asked about events of a log source.
    pub fn rules_for(&self, source: &LogSource) -> Vec<&Arc<RuleMeta>> {
        self.index.find(source).iter().filter_map(|n| self.metas.get(*n as usize)).collect()
    }

    /// What the authors should know: rules that stay silent, attributes with no effect.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Distinct questions the rules ask: each is decided at most once an event.
    pub fn predicate_count(&self) -> usize {
        self.program.predicates.len()
    }
}

impl Rule {
    pub fn fits(&self, source: &LogSource) -> bool {
        self.sources.iter().any(|s| s.covers(source))
    }
}

fn finding(rule: &Rule, event: &Arc<Event>, looker: &mut Looker<'_, '_>) -> Finding {
    let mut matches = Vec::new();
    looker.collect(&rule.condition, &rule.selections, &mut matches);
    let mut reason = Reason::new("matched").arg("conditions", matches.len());
    if let Some(first) = matches.first() {
        reason = reason.arg("field", first.field.as_str()).arg("value", first.value.clone()).arg("pattern", first.pattern.as_str());
    }
    Finding {
        rule: Arc::clone(&rule.meta),
        time: event.time,
        event: Some(Arc::clone(event)),
        facts: event::Fields::new(),
        span: None,
        matches,
        reasons: vec![reason],
        evidence: vec![Evidence { id: event.id, time: event.time }],
        count: 1,
    }
}

/// Rules by log source: words are numbers, 0 is "any" and every word no rule names.
#[derive(Debug, Default)]
pub(crate) struct Index {
    words: HashMap<Box<str>, u32>,
    rules: HashMap<[u32; 3], Vec<u32>>,
    /// Rules to ask, by the words of an event, as met so far.
    plans: RwLock<HashMap<[u32; 3], Arc<[u32]>>>,
}

impl Index {
    pub fn add(&mut self, source: &LogSource, rule: u32) {
        let mut number = |word: Option<&str>| match word {
            None => 0,
            Some(word) => {
                let next = u32::try_from(self.words.len()).unwrap_or(u32::MAX - 1) + 1;
                *self.words.entry(word.into()).or_insert(next)
            }
        };
        let key = [number(source.product.as_deref()), number(source.category.as_deref()), number(source.service.as_deref())];
        self.rules.entry(key).or_default().push(rule);
    }

    /// Rules whose source covers this one, ascending, each once.
    fn find(&self, source: &LogSource) -> Arc<[u32]> {
        let number = |word: Option<&str>| word.and_then(|w| self.words.get(w).copied()).unwrap_or(0);
        let key = [number(source.product.as_deref()), number(source.category.as_deref()), number(source.service.as_deref())];
        if let Some(plan) = self.plans.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(plan);
        }
        let mut all = Vec::new();
        for mask in 0..8u8 {
            // Each word as it is or as "any"; a word that is none already is taken once.
            let part = [0, 1, 2].map(|n: usize| if mask >> n & 1 == 1 { key.get(n).copied().unwrap_or(0) } else { 0 });
            if (0..3).all(|n| mask >> n & 1 == 0 || part.get(n) != Some(&0)) {
                all.extend(self.rules.get(&part).into_iter().flatten());
            }
        }
        all.sort_unstable();
        all.dedup();
        let plan: Arc<[u32]> = all.into();
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        if plans.len() < PLANS_MAX {
            plans.insert(key, Arc::clone(&plan));
        }
        plan
    }
}
