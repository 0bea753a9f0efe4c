//! The rule set: rules by log source, filters applied, correlations resolved and ordered, and the two ways to ask it.
//!
//! `detect` looks up the rules whose log source fits (at most eight look-ups, whatever the number of rules) and remembers
//! answers within the event; `scan` asks every rule from scratch. Both give the same findings in the same order; a test
//! holds them to it. The set is shared between threads as it is: the room for one event's answers comes from a pool.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use event::{Event, Evidence, Finding, LogSource, Name, Reason, RuleMeta, Severity};

use crate::compile::{Builder, Expr, Logic, Program, Selection};
use crate::correlation::{Bound, Correlation, GroupKey, RuleRef};
use crate::document::{Body, Document, Head, Place, RawCorrelation, Targets};
use crate::error::{Notice, RuleError};
use crate::mapping::Mappings;
use crate::matcher::{Looker, Scratch};
use crate::read;

/// Limits of one load.
const FILES_MAX: usize = 100_000;
const FOLDER_DEPTH_MAX: usize = 16;
/// Rooms kept for later events; more threads than that make their own.
const POOL_MAX: usize = 64;
/// Taxonomies the shipped mappings know.
const TAXONOMIES: &[&str] = &["sigma", "ecs", "zeek", "suricata", "ocsf"];

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
    metas: Vec<Arc<RuleMeta>>,
    pub(crate) program: Program,
    index: Index,
    correlations: Vec<Correlation>,
    notices: Vec<Notice>,
    pool: Mutex<Vec<Box<Scratch>>>,
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
        let mut loader = Loader { mappings, builder: Builder::new(mappings, options), errors, notices: Vec::new(), known: HashMap::new() };
        let set = loader.load(documents);
        (set, loader.errors)
    }

    /// Appends a finding for each rule that matches, in rule order.
    pub fn detect(&self, event: &Arc<Event>, out: &mut Vec<Finding>) {
        let mut fitting = Vec::new();
        self.index.find(&event.source, &mut fitting);
        if fitting.is_empty() {
            return;
        }
        let mut scratch =
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(|| Box::new(Scratch::new(&self.program)));
        let mut looker = Looker::new(&self.program, &mut scratch, event, false);
        for number in fitting {
            if let Some(rule) = self.rules.get(number as usize)
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
        let mut fitting = Vec::new();
        self.index.find(source, &mut fitting);
        fitting.iter().filter_map(|n| self.metas.get(*n as usize)).collect()
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

/// Rules by log source: words are numbers, 0 is "any".
#[derive(Debug, Default)]
struct Index {
    words: HashMap<Box<str>, u32>,
    rules: HashMap<[u32; 3], Vec<u32>>,
}

impl Index {
    fn add(&mut self, source: &LogSource, rule: u32) {
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
    fn find(&self, source: &LogSource, out: &mut Vec<u32>) {
        let number = |word: Option<&str>| word.and_then(|w| self.words.get(w).copied()).unwrap_or(0);
        let (product, category, service) =
            (number(source.product.as_deref()), number(source.category.as_deref()), number(source.service.as_deref()));
        for p in [0, product].into_iter().take(1 + usize::from(product > 0)) {
            for c in [0, category].into_iter().take(1 + usize::from(category > 0)) {
                for s in [0, service].into_iter().take(1 + usize::from(service > 0)) {
                    if let Some(rules) = self.rules.get(&[p, c, s]) {
                        out.extend_from_slice(rules);
                    }
                }
            }
        }
        out.sort_unstable();
        out.dedup();
    }
}

/// A document by the names it can be referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Rule(usize),
    Correlation(usize),
}

struct Loader<'a> {
    mappings: &'a Mappings,
    builder: Builder<'a>,
    errors: Vec<RuleError>,
    notices: Vec<Notice>,
    /// Ids and names, with the path that gave them.
    known: HashMap<String, (Known, String)>,
}

/// A rule before its metadata is fixed.
struct Draft {
    place: Place,
    head: Head,
    source: LogSource,
    logic: Logic,
}

struct RawRule {
    place: Place,
    head: Head,
    raw: RawCorrelation,
}

impl Loader<'_> {
    fn load(&mut self, documents: Vec<Document>) -> RuleSet {
        let mut drafts: Vec<Draft> = Vec::new();
        let mut filters = Vec::new();
        let mut raws = Vec::new();
        for document in documents {
            let Document { place, head, body } = document;
            match body {
                Body::Rule { source, detections } => {
                    if let Some(word) = head.taxonomy.as_deref().filter(|t| !TAXONOMIES.contains(t)) {
                        let what = format!("taxonomy '{word}' is not known: its field names are taken as they are");
                        self.notices.push(place.notice(&["taxonomy"], what, "add a mapping file for it"));
                    }
                    let mut logic = Logic::default();
                    let known = Known::Rule(drafts.len());
                    let added = self.builder.add(&place, &source, &detections, "", &mut logic);
                    match added.and_then(|()| self.register(&place, &head, known)) {
                        Ok(()) => drafts.push(Draft { place, head, source, logic }),
                        Err(error) => self.errors.push(error),
                    }
                }
                Body::Filter { source, targets, detections } => filters.push((place, head, source, targets, detections)),
                Body::Correlation(raw) => match self.register(&place, &head, Known::Correlation(raws.len())) {
                    Ok(()) => raws.push(RawRule { place, head, raw }),
                    Err(error) => self.errors.push(error),
                },
            }
        }
        for (place, head, source, targets, detections) in filters {
            self.filter(&place, &head, &source, &targets, &detections, &mut drafts);
        }
        let (correlations, spoken) = self.correlations(&raws, &drafts);
        let mut set = RuleSet::default();
        for (at, draft) in drafts.into_iter().enumerate() {
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            let fed = spoken.get(&Known::Rule(at).key()).copied();
            let meta = Arc::new(self.meta(&draft.place, &draft.head, &draft.source, fed));
            let sources = self.mappings.sources(&draft.source);
            let silent = (!draft.logic.missing.is_empty()).then(|| {
                let mut names = draft.logic.missing.clone();
                names.sort();
                names.dedup();
                format!("placeholders without values: {}", names.join(", "))
            });
            if let Some(why) = &silent {
                self.notices.push(draft.place.notice(
                    &["detection"],
                    format!("the rule stays silent: {why}"),
                    "give them values in the settings",
                ));
            } else {
                for source in &sources {
                    set.index.add(source, number);
                }
            }
            set.metas.push(Arc::clone(&meta));
            let condition = draft.logic.condition.unwrap_or(Expr::Or(Vec::new()));
            set.rules.push(Rule { meta, sources, selections: draft.logic.selections, condition, silent });
        }
        set.program = std::mem::take(&mut self.builder.program);
        set.correlations = correlations;
        set.notices = std::mem::take(&mut self.notices);
        set
    }

    /// Ids and names are unique over all rules and correlations.
    fn register(&mut self, place: &Place, head: &Head, known: Known) -> Result<(), RuleError> {
        for (key, word) in [("id", &head.id), ("name", &head.name)] {
            if let Some(word) = word {
                if word.is_empty() {
                    return Err(place.error(&[key], format!("the {key} is empty"), "leave it out or fill it"));
                }
                if let Some((_, path)) = self.known.get(word) {
                    return Err(place.error(&[key], format!("{key} '{word}' is taken by a rule of {path}"), "ids and names are unique"));
                }
            }
        }
        if head.id.is_none() && head.name.is_none() && self.known.contains_key(&head.title) {
            return Err(place.error(&["title"], "a rule without id and name needs a title of its own", "add 'id:'"));
        }
        for word in [&head.id, &head.name].into_iter().flatten() {
            self.known.insert(word.clone(), (known, place.path.clone()));
        }
        if head.id.is_none() && head.name.is_none() {
            self.known.insert(head.title.clone(), (known, place.path.clone()));
        }
        Ok(())
    }

    /// Links the filter's condition to each rule it is for by AND (`not selection` excludes, `selection` narrows).
    fn filter(
        &mut self,
        place: &Place,
        head: &Head,
        source: &LogSource,
        targets: &Targets,
        detections: &crate::document::Detections,
        drafts: &mut [Draft],
    ) {
        let mut alone = Logic::default();
        if let Err(error) = self.builder.add(place, source, detections, "", &mut alone) {
            self.errors.push(error);
            return;
        }
        if !alone.missing.is_empty() {
            self.notices.push(place.notice(
                &["filter"],
                format!("the filter is not applied: no value for {}", alone.missing.join(", ")),
                "give it in the settings",
            ));
            return;
        }
        let mut chosen = Vec::new();
        match targets {
            Targets::Any => chosen.extend((0..drafts.len()).filter(|at| drafts.get(*at).is_some_and(|d| source.covers(&d.source)))),
            Targets::Named(list) => {
                for word in list {
                    match self.known.get(word) {
                        Some((Known::Rule(at), _)) if drafts.get(*at).is_some_and(|d| source.covers(&d.source)) => chosen.push(*at),
                        Some((Known::Rule(_), _)) => {
                            self.errors.push(place.error(
                                &["filter", "rules", word],
                                format!("'{word}' has another log source than the filter"),
                                "widen the filter's log source",
                            ));
                        }
                        Some((Known::Correlation(_), _)) => {
                            self.errors.push(place.error(
                                &["filter", "rules", word],
                                format!("'{word}' is a correlation"),
                                "filter the rules it refers to",
                            ));
                        }
                        None => self.errors.push(place.error(
                            &["filter", "rules", word],
                            format!("the filter names '{word}', which is not loaded"),
                            "use the rule's id or name",
                        )),
                    }
                }
            }
        }
        chosen.sort_unstable();
        chosen.dedup();
        for at in chosen {
            if let Some(draft) = drafts.get_mut(at) {
                let source = draft.source.clone();
                // It compiled once; another log source only changes names.
                if let Err(error) = self.builder.add(place, &source, detections, &format!("{}: ", head.title), &mut draft.logic) {
                    self.errors.push(error);
                }
            }
        }
    }

    /// Resolves references, refuses circles, orders. Also says of each rule referred to whether it still speaks for itself.
    fn correlations(&mut self, raws: &[RawRule], drafts: &[Draft]) -> (Vec<Correlation>, HashMap<(u8, usize), bool>) {
        let mut resolved: Vec<Option<Vec<Known>>> = Vec::new();
        for raw in raws {
            let mut all = Some(Vec::new());
            for word in &raw.raw.rules {
                match self.known.get(word) {
                    Some((known, _)) => {
                        if let Some(list) = &mut all {
                            list.push(*known);
                        }
                    }
                    None => {
                        self.errors.push(raw.place.error(
                            &["correlation", "rules", word],
                            format!("refers to '{word}', which is not loaded"),
                            "use the rule's id or name",
                        ));
                        all = None;
                    }
                }
            }
            resolved.push(all);
        }
        // Take those whose references are all taken, until nothing moves; what is left stands in a circle or behind a refused one.
        let mut order: Vec<usize> = Vec::new();
        let mut taken = vec![false; raws.len()];
        loop {
            let before = order.len();
            for (at, list) in resolved.iter().enumerate() {
                let ready = |k: &Known| if let Known::Correlation(n) = k { taken.get(*n).copied().unwrap_or(false) } else { true };
                if taken.get(at) == Some(&false) && list.as_ref().is_some_and(|l| l.iter().all(ready)) {
                    order.push(at);
                    if let Some(t) = taken.get_mut(at) {
                        *t = true;
                    }
                }
            }
            if order.len() == before {
                break;
            }
        }
        for ((raw, list), _) in raws.iter().zip(&resolved).zip(&taken).filter(|((_, l), t)| l.is_some() && !**t) {
            let refused =
                list.iter().flatten().any(|k| matches!(k, Known::Correlation(n) if resolved.get(*n).is_some_and(Option::is_none)));
            let what = if refused { "refers to a correlation that was refused" } else { "refers to itself, directly or in a circle" };
            self.errors.push(raw.place.error(
                &["correlation", "rules"],
                what,
                "correlations may only refer to rules before them in a chain",
            ));
        }
        let mut spoken: HashMap<(u8, usize), bool> = HashMap::new();
        for at in &order {
            if let (Some(raw), Some(Some(list))) = (raws.get(*at), resolved.get(*at)) {
                for known in list {
                    *spoken.entry(known.key()).or_insert(false) |= raw.raw.generate;
                }
            }
        }
        let mut done: Vec<Correlation> = Vec::new();
        let mut place_of: HashMap<usize, usize> = HashMap::new();
        for at in order {
            let (Some(raw), Some(Some(list))) = (raws.get(at), resolved.get(at)) else { continue };
            let rules = list
                .iter()
                .map(|k| match k {
                    Known::Rule(n) => RuleRef { id: drafts.get(*n).map(|d| id(&d.head)).unwrap_or_default(), correlation: false },
                    Known::Correlation(n) => RuleRef { id: raws.get(*n).map(|r| id(&r.head)).unwrap_or_default(), correlation: true },
                })
                .collect();
            let key = |name: &String| {
                let names = list.iter().zip(&raw.raw.rules).map(|(known, word)| {
                    let head = match known {
                        Known::Rule(n) => drafts.get(*n).map(|d| &d.head),
                        Known::Correlation(n) => raws.get(*n).map(|r| &r.head),
                    };
                    let alias = raw.raw.aliases.get(name);
                    let words = [Some(word), head.and_then(|h| h.id.as_ref()), head.and_then(|h| h.name.as_ref())];
                    let field = words.into_iter().flatten().find_map(|w| alias?.get(w)).unwrap_or(name);
                    match known {
                        Known::Rule(n) => drafts.get(*n).map(|d| self.mappings.names(&d.source, field)).unwrap_or_default(),
                        // A correlation carries what it grouped by as facts under the name it was grouped by.
                        Known::Correlation(n) => {
                            let mut all = vec![Name::from(field.as_str())];
                            let inner = place_of.get(n).and_then(|d| done.get(*d));
                            let same = inner
                                .iter()
                                .flat_map(|c| &c.group_by)
                                .filter(|k| k.name == *field)
                                .flat_map(|k| k.names.iter().flatten().cloned());
                            for name in same.chain(self.mappings.names(&LogSource::default(), field)) {
                                if !all.contains(&name) {
                                    all.push(name);
                                }
                            }
                            all
                        }
                    }
                });
                GroupKey { name: name.clone(), names: names.collect() }
            };
            let correlation = Correlation {
                meta: Arc::new(self.meta(&raw.place, &raw.head, &LogSource::default(), spoken.get(&Known::Correlation(at).key()).copied())),
                kind: raw.raw.kind.clone(),
                rules,
                timespan_ns: raw.raw.timespan_ns,
                group_by: raw.raw.group_by.iter().map(key).collect(),
                condition: raw.raw.condition.iter().map(|(operator, value)| Bound { operator: *operator, value: *value }).collect(),
                fields: raw.raw.fields.iter().map(key).collect(),
                parameters: raw.raw.parameters.clone(),
                generate: raw.raw.generate,
                path: raw.place.path.clone(),
                line: raw.place.line(),
            };
            place_of.insert(at, done.len());
            done.push(correlation);
        }
        (done, spoken)
    }

    /// `fed`: a correlation refers to it, and whether it still raises alerts of its own (`generate`). An explicit
    /// `alerts:` wins.
    fn meta(&self, place: &Place, head: &Head, source: &LogSource, fed: Option<bool>) -> RuleMeta {
        let mut techniques = Vec::new();
        let mut tactics = Vec::new();
        for tag in &head.tags {
            if let Some(word) = tag.strip_prefix("attack.") {
                let numbered = |c: char| word.strip_prefix(c).is_some_and(|r| r.starts_with(|d: char| d.is_ascii_digit()));
                if numbered('t') || numbered('T') {
                    techniques.push(word.to_ascii_uppercase());
                } else if !['g', 's', 'm', 'c', 'G', 'S', 'M', 'C'].into_iter().any(numbered) {
                    tactics.push(word.to_owned());
                }
            }
        }
        let group_by = head.group_by.iter().map(|name| {
            let names = self.mappings.names(source, name);
            let ours = names.iter().find(|n| matches!(n, Name::Known(_)));
            ours.map_or_else(|| name.clone(), |n| n.as_str().to_owned())
        });
        RuleMeta {
            id: id(head),
            name: head.name.clone(),
            title: head.title.clone(),
            title_zh: head.title_zh.clone(),
            description: head.description.trim().to_owned(),
            // A rule whose author states no level is worth a look.
            severity: head.level.unwrap_or(Severity::Medium),
            techniques,
            tactics,
            tags: head.tags.clone(),
            author: head.author.clone(),
            path: place.path.clone(),
            alerts: head.alerts.unwrap_or(fed.unwrap_or(true)),
            group_by: group_by.collect(),
        }
    }
}

impl Known {
    fn key(self) -> (u8, usize) {
        match self {
            Self::Rule(n) => (0, n),
            Self::Correlation(n) => (1, n),
        }
    }
}

fn id(head: &Head) -> String {
    head.id.clone().or_else(|| head.name.clone()).unwrap_or_else(|| head.title.clone())
}

/// Reads `*.yml` and `*.yaml` from files and folders, sorted by path. What cannot be read is an error with its path.
pub(crate) fn read_sources<P: AsRef<Path>>(paths: &[P]) -> (Vec<Source>, Vec<RuleError>) {
    let mut errors = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        walk(path.as_ref(), 0, &mut files, &mut errors);
    }
    files.sort();
    files.dedup();
    let mut sources = Vec::new();
    for path in files {
        let shown = path.display().to_string();
        let refused = |what: String, way: &str| RuleError { path: shown.clone(), line: 0, column: 0, what, way_out: way.into() };
        match std::fs::metadata(&path).map(|m| m.len()) {
            Ok(bytes) if bytes > read::FILE_BYTES_MAX as u64 => {
                errors.push(refused(format!("the file has {bytes} bytes, more than {}", read::FILE_BYTES_MAX), "split it"));
                continue;
            }
            _ => {}
        }
        match std::fs::read(&path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => sources.push(Source { path: shown, text }),
                Err(_) => errors.push(refused("the file is not UTF-8".into(), "save it as UTF-8")),
            },
            Err(e) => errors.push(refused(format!("cannot be read: {e}"), "check path and permissions")),
        }
    }
    (sources, errors)
}

fn walk(path: &Path, depth: usize, files: &mut Vec<PathBuf>, errors: &mut Vec<RuleError>) {
    let mut refused = |what: String, way: &str| {
        errors.push(RuleError { path: path.display().to_string(), line: 0, column: 0, what, way_out: way.into() });
    };
    if !path.is_dir() {
        if depth == 0 || path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            if files.len() < FILES_MAX {
                files.push(path.to_owned());
            } else {
                refused(format!("left out: more than {FILES_MAX} files"), "load fewer");
            }
        }
        return;
    }
    if depth >= FOLDER_DEPTH_MAX {
        return refused(format!("left out: folders nested deeper than {FOLDER_DEPTH_MAX}"), "a link that leads into itself?");
    }
    match std::fs::read_dir(path) {
        Ok(entries) => {
            let mut inside: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
            inside.sort();
            for entry in inside {
                walk(&entry, depth + 1, files, errors);
            }
        }
        Err(e) => refused(format!("cannot be read: {e}"), "check path and permissions"),
    }
}
