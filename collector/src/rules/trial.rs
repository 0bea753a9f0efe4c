//! A changed rule on stored history: the rules it touches run twice, as they are in force and as they would be, and their alerts are
//! compared. Pure but for reading rule files: history comes in through `step`, in the order it was received.
//!
//! What runs: the changed documents, every correlation above them, everything those listen to, and the filters; both sides through
//! `Engine`, so that grouping and windows are the real ones. Two alerts are the same if rule and group agree and their times overlap.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event::{AgentId, Event, Timestamp, field};
use rule::{DocumentKind, Mappings, Options, Outline, RuleError, RuleSet, Source};
use warning::Alert;

use crate::engine::{Engine, Outcome};
use crate::store::{EventStore, Filter, Query, Scope, StoreError};

/// Alerts one side may raise; past it the trial stops counting and says so.
pub const ALERTS_MAX: usize = 100_000;
/// Events of one stretch of history held at once; a busier stretch is cut smaller.
const STRETCH_EVENTS: usize = 50_000;
/// Past this, events of a single second are left out and counted.
const SECOND_EVENTS_MAX: usize = 500_000;
const PAGE: usize = 10_000;

/// Why there is no trial.
#[derive(Debug)]
pub enum Refusal {
    /// Another one runs.
    Busy,
    /// The rules that were sent cannot be loaded.
    Faults(Vec<RuleError>),
    /// Nothing was sent.
    Empty,
}

/// The right to be the one trial that runs; given back when dropped.
#[derive(Debug)]
pub struct Turn(Arc<AtomicBool>);

impl Turn {
    pub fn take(flag: &Arc<AtomicBool>) -> Option<Self> {
        (!flag.swap(true, Ordering::AcqRel)).then(|| Self(Arc::clone(flag)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Both sides, ready for history.
pub struct Trial {
    before: Side,
    after: Side,
    /// Id, title and role of the rules whose alerts are compared.
    pub rules: Vec<(String, String, &'static str)>,
    pub events: u64,
    _turn: Turn,
}

struct Side {
    engine: Engine,
    outcome: Outcome,
    alerts: std::collections::BTreeMap<String, Alert>,
}

/// What differs.
#[derive(Debug, Default)]
pub struct Difference {
    pub before: Vec<Alert>,
    pub after: Vec<Alert>,
    pub kept: usize,
    pub gained: Vec<Alert>,
    pub lost: Vec<Alert>,
}

impl Trial {
    /// Reads the rules in force from their files and puts `fresh` beside them.
    pub fn new(paths: &[PathBuf], mappings: Option<&PathBuf>, fresh: &[Source], options: &Options, turn: Turn) -> Result<Self, Refusal> {
        let (sources, _) = Source::read(paths);
        let mappings = mappings.filter(|m| m.exists()).map_or_else(Mappings::none, |m| Mappings::load(std::slice::from_ref(m)).0);
        Self::over(&sources, &mappings, fresh, options, turn)
    }

    /// The same from texts at hand.
    pub fn over(current: &[Source], mappings: &Mappings, fresh: &[Source], options: &Options, turn: Turn) -> Result<Self, Refusal> {
        let current: Vec<Outline> = current.iter().flat_map(Source::documents).collect();
        let fresh: Vec<Outline> = fresh.iter().flat_map(Source::documents).collect();
        if fresh.is_empty() {
            return Err(Refusal::Empty);
        }
        let replaced = |old: &Outline| fresh.iter().any(|new| same(old, new));
        // Everything as it would be.
        let future: Vec<&Outline> = current.iter().filter(|o| !replaced(o)).chain(&fresh).collect();
        let past: Vec<&Outline> = current.iter().collect();
        let changed: BTreeSet<&str> =
            fresh.iter().map(Outline::key).chain(current.iter().filter(|o| replaced(o)).map(Outline::key)).collect();
        let filters = fresh.iter().any(|f| f.kind == DocumentKind::Filter);
        let side = |documents: &[&Outline]| -> (Vec<Source>, BTreeSet<String>) {
            let (wanted, judged) = closure(documents, &changed, filters);
            (documents.iter().zip(&wanted).filter(|(_, w)| **w).map(|(d, _)| d.source.clone()).collect(), judged)
        };
        let (after_sources, mut judged) = side(&future);
        let (before_sources, more) = side(&past);
        judged.extend(more);
        let own: BTreeSet<&str> = fresh.iter().map(|f| f.source.path.as_str()).collect();
        let load = |sources: &[Source]| {
            let (rules, mut errors) = RuleSet::from_sources(sources, mappings, options);
            let (engine, more) = Engine::with_rules(rules);
            errors.extend(more);
            (engine, errors)
        };
        let (after, errors) = load(&after_sources);
        // A filter that names rules which are not part of the trial is none of its business.
        let faults: Vec<RuleError> = errors.into_iter().filter(|e| own.contains(e.path.as_str())).collect();
        if !faults.is_empty() {
            return Err(Refusal::Faults(faults));
        }
        let (before, _) = load(&before_sources);
        let metas = |engine: &Engine| -> Vec<(String, String)> {
            let rules = engine.rules();
            let all = rules.rules().iter().chain(rules.correlations().iter().map(|c| &c.meta));
            all.filter(|m| judged.contains(&m.id)).map(|m| (m.id.clone(), m.title.clone())).collect()
        };
        let mut rules: Vec<(String, String, &'static str)> = Vec::new();
        for (id, title) in metas(&after).into_iter().chain(metas(&before)) {
            if rules.iter().all(|(known, ..)| *known != id) {
                let role = match (fresh.iter().any(|f| f.key() == id), current.iter().any(|c| c.key() == id)) {
                    (true, true) => "changed",
                    (true, false) => "new",
                    _ => "feeds",
                };
                rules.push((id, title, role));
            }
        }
        Ok(Self { before: Side::new(before), after: Side::new(after), rules, events: 0, _turn: turn })
    }

    /// Events in the order they were received.
    pub fn step(&mut self, batch: &[Arc<Event>]) {
        let Some(now) = batch.iter().map(|e| received(e)).max() else { return };
        self.events += batch.len() as u64;
        self.before.step(batch, now);
        self.after.step(batch, now);
    }

    /// The end of history.
    pub fn finish(mut self) -> Difference {
        let judged: BTreeSet<&str> = self.rules.iter().map(|(id, ..)| id.as_str()).collect();
        let before = self.before.finish(&judged);
        let after = self.after.finish(&judged);
        let alike = |a: &Alert, b: &Alert| {
            a.rule_id == b.rule_id && a.group_key == b.group_key && a.first_time <= b.last_time && b.first_time <= a.last_time
        };
        let missing = |of: &[Alert], from: &[Alert]| -> Vec<Alert> {
            let mut by_key: std::collections::HashMap<(&str, String), Vec<&Alert>> = std::collections::HashMap::new();
            for alert in from {
                by_key.entry((alert.rule_id.as_str(), key(alert))).or_default().push(alert);
            }
            let here = |a: &Alert| by_key.get(&(a.rule_id.as_str(), key(a))).is_some_and(|l| l.iter().any(|b| alike(a, b)));
            of.iter().filter(|a| !here(a)).cloned().collect()
        };
        let (gained, lost) = (missing(&after, &before), missing(&before, &after));
        Difference { kept: before.len() - lost.len(), gained, lost, before, after }
    }
}

fn key(alert: &Alert) -> String {
    alert.group_key.iter().map(|(k, v)| format!("{k}\u{1f}{v}\u{1e}")).collect()
}

impl Side {
    fn new(engine: Engine) -> Self {
        Self { engine, outcome: Outcome::default(), alerts: std::collections::BTreeMap::new() }
    }

    fn step(&mut self, batch: &[Arc<Event>], now: Timestamp) {
        self.outcome.clear();
        self.engine.step(batch, now, &mut self.outcome);
        self.keep();
    }

    fn keep(&mut self) {
        for change in self.outcome.changes.drain(..) {
            let alert = change.alert();
            if self.alerts.len() < ALERTS_MAX || self.alerts.contains_key(&alert.id.0) {
                self.alerts.insert(alert.id.0.clone(), alert.clone());
            }
        }
    }

    fn finish(&mut self, judged: &BTreeSet<&str>) -> Vec<Alert> {
        self.outcome.clear();
        self.engine.finish(&mut self.outcome);
        self.keep();
        let mut all: Vec<Alert> = std::mem::take(&mut self.alerts).into_values().filter(|a| judged.contains(a.rule_id.as_str())).collect();
        all.sort_by(|a, b| (a.first_time, &a.id).cmp(&(b.first_time, &b.id)));
        all
    }
}

/// True if a document takes the place of another: the same id, or where either has none, the same name.
fn same(old: &Outline, new: &Outline) -> bool {
    match (&old.id, &new.id) {
        (Some(a), Some(b)) => a == b,
        _ => old.name.is_some() && old.name == new.name || old.key() == new.key(),
    }
}

/// Which documents a trial needs, and the ids of rules whose alerts may differ: the changed ones and the correlations above them.
fn closure(documents: &[&Outline], changed: &BTreeSet<&str>, filters: bool) -> (Vec<bool>, BTreeSet<String>) {
    let mut judged: Vec<bool> = documents.iter().map(|d| filters || changed.contains(d.key())).collect();
    let names = |a: &Outline, b: &Outline| a.refers.iter().any(|word| b.is_called(word));
    // Upwards: who listens to what differs.
    loop {
        let more: Vec<usize> = documents
            .iter()
            .enumerate()
            .filter(|(n, d)| judged.get(*n) == Some(&false) && d.kind == DocumentKind::Correlation)
            .filter(|(_, d)| documents.iter().zip(&judged).any(|(o, j)| *j && names(d, o)))
            .map(|(n, _)| n)
            .collect();
        if more.is_empty() {
            break;
        }
        for n in more {
            if let Some(slot) = judged.get_mut(n) {
                *slot = true;
            }
        }
    }
    // Downwards: what those listen to.
    let mut wanted = judged.clone();
    loop {
        let more: Vec<usize> = documents
            .iter()
            .enumerate()
            .filter(|(n, _)| wanted.get(*n) == Some(&false))
            .filter(|(_, d)| documents.iter().zip(&wanted).any(|(o, w)| *w && names(o, d)))
            .map(|(n, _)| n)
            .collect();
        if more.is_empty() {
            break;
        }
        for n in more {
            if let Some(slot) = wanted.get_mut(n) {
                *slot = true;
            }
        }
    }
    for (slot, document) in wanted.iter_mut().zip(documents) {
        *slot |= document.kind == DocumentKind::Filter;
    }
    let ids = documents.iter().zip(&judged).filter(|(_, j)| **j).map(|(d, _)| d.key().to_owned()).collect();
    (wanted, ids)
}

fn received(event: &Event) -> Timestamp {
    event.get(field::RECEIVED_TIME).and_then(event::Value::as_int).map_or(event.observed, Timestamp::from_ms)
}

/// Walks stored history from old to new in stretches small enough to hold, each in the order of receipt. `each` gets the events and how far
/// time has come; it ends the walk by answering false. Gives the number of events left out.
pub fn history(
    store: &dyn EventStore,
    scope: &Scope,
    from: Timestamp,
    to: Timestamp,
    mut each: impl FnMut(&[Arc<Event>], Timestamp) -> bool,
) -> Result<u64, StoreError> {
    const LEAST: i64 = event::SECOND_NS;
    let mut left_out = 0;
    let mut at = from;
    let mut stretch = 600 * event::SECOND_NS;
    while at < to {
        let end = Timestamp::from_ns(at.ns().saturating_add(stretch)).min(to);
        let most = if stretch <= LEAST { SECOND_EVENTS_MAX } else { STRETCH_EVENTS };
        let mut events = Vec::new();
        let mut query = Query::new(at, end, Filter::All, PAGE);
        let mut whole = true;
        loop {
            let page = store.search(scope, &query)?;
            events.extend(page.events);
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
            if events.len() >= most {
                whole = false;
                break;
            }
        }
        if !whole && stretch > LEAST {
            stretch = (stretch / 4).max(LEAST);
            continue;
        }
        if !whole {
            left_out += 1;
        }
        // What the engine made itself it will make again.
        events.retain(|e| e.id.agent != AgentId(0));
        events.sort_by_key(|e| (received(e), e.id));
        at = end;
        if events.len() * 8 < STRETCH_EVENTS {
            stretch = stretch.saturating_mul(2).min(86_400 * event::SECOND_NS);
        }
        if !each(&events, at) {
            break;
        }
    }
    Ok(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Class, Epoch, EventId, Kind, LogSource};

    const RULES: &str = "title: fail\nid: 00000000-0000-4000-8000-000000000001\nname: fail\nlogsource:\n  category: x\ndetection:\n  s:\n    kind: fail\n  condition: s\n---\ntitle: guessing\nid: 00000000-0000-4000-8000-000000000002\nname: guessing\ncorrelation:\n  type: event_count\n  rules: [fail]\n  group-by: [src]\n  timespan: 1m\n  condition:\n    gte: 3\n---\ntitle: other\nid: 00000000-0000-4000-8000-000000000003\nlogsource:\n  category: x\ndetection:\n  s:\n    kind: other\n  condition: s\n";

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    fn trial(fresh: &str) -> Result<Trial, Refusal> {
        let turn = Turn::take(&Arc::default()).expect("nobody else");
        Trial::over(&[source("rules.yml", RULES)], &Mappings::none(), &[source("new.yml", fresh)], &Options::default(), turn)
    }

    fn events() -> Vec<Arc<Event>> {
        let fail = |second: i64, kind: &str, src: &str| {
            let mut event = Event::new(Timestamp::from_secs(1_000 + second), Kind::Base, 0, LogSource::new("", "x", ""));
            event.body.set("kind", kind);
            event.body.set("src", src);
            event.id = EventId { agent: AgentId(1), epoch: Epoch(1), class: Class::Normal, seq: second as u64 + 1 };
            Arc::new(event)
        };
        let mut all: Vec<_> = (0..3).map(|n| fail(n, "fail", "a")).collect();
        all.extend((10..16).map(|n| fail(n, "fail", "b")));
        all.push(fail(20, "other", "a"));
        all
    }

    #[test]
    fn a_threshold_raised_loses_the_small_one_and_keeps_the_other() {
        let fresh = RULES.split("---\n").nth(1).expect("the correlation").replace("gte: 3", "gte: 5");
        let mut trial = trial(&fresh).expect("loads");
        assert_eq!(trial.rules.iter().map(|(_, t, r)| (t.as_str(), *r)).collect::<Vec<_>>(), [("guessing", "changed")]);
        trial.step(&events());
        assert_eq!(trial.events, 10);
        let difference = trial.finish();
        assert_eq!((difference.before.len(), difference.after.len(), difference.kept), (2, 1, 1));
        assert_eq!((difference.gained.len(), difference.lost.len()), (0, 1));
        assert_eq!(difference.lost[0].group_key.values().map(String::as_str).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_changed_detection_is_judged_by_the_correlations_above_it() {
        let fresh = RULES.split("---\n").next().expect("the rule").replace("kind: fail", "kind: [fail, other]");
        let mut wider = trial(&fresh).expect("loads");
        let roles: BTreeSet<(&str, &str)> = wider.rules.iter().map(|(_, t, r)| (t.as_str(), *r)).collect();
        assert_eq!(roles, [("fail", "changed"), ("guessing", "feeds")].into());
        wider.step(&events());
        let difference = wider.finish();
        assert_eq!((difference.gained.len(), difference.lost.len(), difference.kept), (0, 0, 2));
    }

    #[test]
    fn a_new_rule_only_gains_and_a_broken_one_is_refused() {
        let new = "title: b fails\nid: 00000000-0000-4000-8000-000000000009\nlogsource:\n  category: x\ndetection:\n  s:\n    src: b\n  condition: s\ngroup_by: [src]\n";
        let mut fresh = trial(new).expect("loads");
        assert_eq!(fresh.rules.iter().map(|(.., r)| *r).collect::<Vec<_>>(), ["new"]);
        fresh.step(&events());
        let difference = fresh.finish();
        assert_eq!((difference.before.len(), difference.lost.len(), difference.gained.len()), (0, 0, 1));
        assert!(
            matches!(trial(&new.replace("condition: s", "condition: t")), Err(Refusal::Faults(f)) if f.len() == 1 && f[0].path == "new.yml")
        );
        assert!(matches!(trial("# nothing\n"), Err(Refusal::Empty)));
    }

    #[test]
    fn one_trial_at_a_time() {
        let flag = Arc::default();
        let turn = Turn::take(&flag);
        assert!(turn.is_some() && Turn::take(&flag).is_none());
        drop(turn);
        assert!(Turn::take(&flag).is_some());
    }
}
