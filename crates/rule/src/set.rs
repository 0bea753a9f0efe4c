//! The rule set: rules by log source, and the two ways to ask it.
//!
//! `detect` looks up the plan of the event's log source (`route`) and asks only the rules its witnesses wake; `scan` asks every rule
//! from scratch. Both give the same findings in the same order; tests hold them to it. The set is shared between
//! threads as it is: the room for one event's answers comes from a pool, or is the caller's `Scratch`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use event::{Event, Evidence, Finding, LogSource, Reason, RuleMeta};

use crate::code::Code;
use crate::compile::{Expr, Program, Selection};
use crate::correlation::Correlation;
use crate::error::{Notice, RuleError};
use crate::files::read_sources;
use crate::line::Members;
use crate::loader::Loader;
use crate::mapping::Mappings;
use crate::matcher::{Answers, Looker};
use crate::read;
use crate::record::{EventRecord, Places, Record};
use crate::route::{Recent, Route, Router};

/// Rooms kept for later events; more threads than that make their own.
const POOL_MAX: usize = 64;

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
    /// The condition as steps; None where it is too long for them.
    pub code: Option<Code>,
    /// Why it never speaks, if so.
    pub silent: Option<String>,
}

/// All rules of one load.
#[derive(Debug, Default)]
pub struct RuleSet {
    pub(crate) rules: Vec<Rule>,
    pub(crate) metas: Vec<Arc<RuleMeta>>,
    pub(crate) program: Program,
    pub(crate) router: Router,
    pub(crate) correlations: Vec<Correlation>,
    pub(crate) notices: Vec<Notice>,
    /// Tells this set's scratch from another's.
    identity: Arc<()>,
    pool: Mutex<Vec<Scratch>>,
}

/// Room for one thread's work, reused from event to event; it grows to the largest event met, within limits.
#[derive(Debug, Default)]
pub struct Scratch {
    identity: Arc<()>,
    pub(crate) answers: Answers,
    pub(crate) places: Places,
    /// Where the fields of a feed stand.
    pub(crate) fed: Places,
    pub(crate) members: Members,
    pub(crate) recent: Recent,
}

impl Scratch {
    /// Events looked at, and rules woken by them: how well witnesses are chosen, for benches.
    pub fn woken(&self) -> (u64, u64) {
        self.answers.counted()
    }
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
        let key = self.router.key_of(&event.source);
        if !self.router.may_fit(key) {
            return;
        }
        let mut scratch = self.pool.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(|| self.scratch());
        let Scratch { answers, places, recent, .. } = &mut scratch;
        let route = recent.route(key, &self.router, &self.rules, &self.program);
        places.bind(event, &self.program.names);
        let record = EventRecord { event, places };
        self.pass(&route, answers, &record, |number, rule, looker| {
            let _ = number;
            out.push(finding(rule, event, looker));
        });
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOL_MAX {
            pool.push(scratch);
        }
    }

    /// Hands each rule of the route that holds to `found`, ascending.
    pub(crate) fn pass<'s, R: Record>(
        &'s self,
        route: &'s Route,
        answers: &'s mut Answers,
        record: &R,
        mut found: impl FnMut(u32, &Rule, &mut Looker<'_, '_, R>),
    ) {
        let mut looker = Looker::new(&self.program, answers, record, false);
        let mut one = |number: u32, looker: &mut Looker<'_, '_, R>| {
            if let Some(rule) = self.rules.get(number as usize)
                && rule.holds(looker)
            {
                found(number, rule, looker);
            }
        };
        match route {
            Route::Planned(plan) => {
                looker.wake(plan);
                let mut at = 0;
                while let Some(number) = looker.woken(at) {
                    at += 1;
                    one(number, &mut looker);
                }
            }
            Route::Listed(rules) => rules.iter().for_each(|number| one(*number, &mut looker)),
        }
    }

    /// The same as `detect` by asking every rule from scratch: slow, and the measure `detect` is held to.
    pub fn scan(&self, event: &Arc<Event>, out: &mut Vec<Finding>) {
        let mut places = Places::new(self.program.names.count);
        places.bind(event, &self.program.names);
        let record = EventRecord { event, places: &places };
        self.plainly(&event.source, &record, |_, rule, looker| out.push(finding(rule, event, looker)));
    }

    /// Every rule about the source, asked from scratch.
    pub(crate) fn plainly<R: Record>(&self, source: &LogSource, record: &R, mut found: impl FnMut(u32, &Rule, &mut Looker<'_, '_, R>)) {
        let mut answers = Answers::new(&self.program, 0);
        for (number, rule) in self.rules.iter().enumerate().filter(|(_, r)| r.silent.is_none() && r.fits(source)) {
            let mut looker = Looker::new(&self.program, &mut answers, record, true);
            if looker.holds(&rule.condition, &rule.selections) {
                found(u32::try_from(number).unwrap_or(u32::MAX), rule, &mut looker);
            }
        }
    }

    /// Room for one thread's work on events of this set.
    pub fn scratch(&self) -> Scratch {
        Scratch {
            identity: Arc::clone(&self.identity),
            answers: Answers::new(&self.program, self.rules.len()),
            places: Places::new(self.program.names.count),
            ..Scratch::default()
        }
    }

    /// Makes room of another set fit for this one.
    pub(crate) fn own<'c>(&self, scratch: &'c mut Scratch) -> &'c mut Scratch {
        if !Arc::ptr_eq(&scratch.identity, &self.identity) {
            *scratch = self.scratch();
        }
        scratch
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
        self.router.rules(self.router.key_of(source)).iter().filter_map(|n| self.metas.get(*n as usize)).collect()
    }

    /// What the authors should know: rules that stay silent, attributes with no effect.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Events answered without a plan since the set was loaded, because sources were too many (see `route`).
    pub fn unplanned(&self) -> u64 {
        self.router.unplanned()
    }

    /// Distinct questions the rules ask: each is decided at most once an event.
    pub fn predicate_count(&self) -> usize {
        self.program.predicates.len()
    }
}

impl Rule {
    fn holds<R: Record>(&self, looker: &mut Looker<'_, '_, R>) -> bool {
        match &self.code {
            Some(code) => code.run(|predicate| looker.decide(predicate)),
            None => looker.holds(&self.condition, &self.selections),
        }
    }

    pub fn fits(&self, source: &LogSource) -> bool {
        self.sources.iter().any(|s| s.covers(source))
    }
}

fn finding<R: Record>(rule: &Rule, event: &Arc<Event>, looker: &mut Looker<'_, '_, R>) -> Finding {
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
