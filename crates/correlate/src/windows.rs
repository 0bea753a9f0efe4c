//! The windows of all correlation rules: which finding goes where, when something is told, when something is let go.
//!
//! State is a slab of groups; a group is a ring of entries in event-time order and its open episodes. One owner, no locks.
//! Nothing ever iterates a hash map where the order could show, so the same input gives the same output on any machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;
use event::{Event, EventId, Evidence, Finding, Name, Reason, RuleMeta, Span, Timestamp, Value, field};
use rule::{Correlation, GroupKey, Operator, RuleError};

use crate::REFRESH_S;
use crate::clock::{Clock, IDLE_NS, LAG_NS};
use crate::episode::{Episode, OLDEST_MAX, PARTIES, cut};
use crate::kind::{self, Kind, Measured, Step};
use crate::ring::{Entry, Ring};

/// How much is kept and how long one waits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How much later than the newest of its source an event may come and still be counted exactly.
    pub lateness_s: u32,
    /// How far ahead of its arrival an event's time is believed.
    pub ahead_s: u32,
    /// Groups of one rule; past it those that have come least far, then those quiet longest, are let go (a sixteenth at once).
    pub groups_max: usize,
    /// Entries of one group; past it older ones go, first those a newer one stands for. Never less than twice the threshold.
    pub entries_max: usize,
    /// Entries of all groups together; past it groups of the fullest rule are let go like above.
    pub entries_total_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lateness_s: 10, ahead_s: 5, groups_max: 100_000, entries_max: 1_024, entries_total_max: 2_000_000 }
    }
}

/// What happened, in numbers that only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Entries taken in.
    pub entries: u64,
    pub duplicates: u64,
    /// Findings without a group-by or counted field.
    pub ungrouped: u64,
    /// Events whose clock was ahead by more than the tolerance.
    pub clock_ahead: u64,
    /// Groups let go at a limit.
    pub evicted_groups: u64,
    /// Entries let go at a group's limit.
    pub evicted_entries: u64,
    /// Correlation findings made, and how many of them told an episode again.
    pub told: u64,
    pub retold: u64,
}

pub(crate) struct Spec {
    pub rule: Correlation,
    pub kind: &'static dyn Kind,
    meta: Arc<RuleMeta>,
    titles: Vec<String>,
    facts: Vec<Name>,
    counted: Vec<Name>,
    /// Reached from here on, if more can only help; else the condition is judged when an episode closes.
    threshold: Option<u64>,
    entries_max: usize,
    pub groups: AHashMap<Box<str>, usize>,
}

pub(crate) struct Group {
    pub spec: usize,
    /// Rises with each group, so that equal times have an order.
    pub serial: u64,
    pub key: Box<str>,
    pub values: Vec<Value>,
    pub ring: Ring,
    pub folded: Vec<Step>,
    pub episodes: Vec<Episode>,
    pub arrival: i64,
    pub crowded: usize,
}

/// All correlation rules and their state.
pub struct Windows {
    pub(crate) specs: Vec<Spec>,
    pub(crate) groups: Vec<Option<Group>>,
    free: Vec<usize>,
    /// Rule id → rules that listen to it, with the slots it has there.
    listeners: AHashMap<String, Vec<(usize, u32)>>,
    /// When to look at a group again, in event time; never later than it could close.
    pub(crate) due: BTreeMap<(i64, u64), usize>,
    pub(crate) clock: Clock,
    pub(crate) serial: u64,
    pub(crate) entries: usize,
    counters: Counters,
    limits: Limits,
}

const EPISODES_MAX: usize = 8;
const LINGER_NS_MAX: i64 = 600 * event::SECOND_NS;

impl Windows {
    /// Gives the rules meaning. `metas` are those of the detection rules, for their titles. A rule that cannot be given meaning is
    /// named and left out.
    pub fn new(rules: &[Correlation], metas: &[Arc<RuleMeta>], limits: Limits) -> (Self, Vec<RuleError>) {
        let mut windows = Self {
            specs: Vec::new(),
            groups: Vec::new(),
            free: Vec::new(),
            listeners: AHashMap::new(),
            due: BTreeMap::new(),
            clock: Clock::default(),
            serial: 0,
            entries: 0,
            counters: Counters::default(),
            limits,
        };
        let mut errors = Vec::new();
        let titles: AHashMap<&str, &str> =
            metas.iter().chain(rules.iter().map(|r| &r.meta)).map(|m| (m.id.as_str(), m.title.as_str())).collect();
        for rule in rules {
            match Spec::new(rule, &titles, &limits) {
                Ok(spec) => {
                    let at = windows.specs.len();
                    for (slot, reference) in spec.rule.rules.iter().enumerate().take(32) {
                        let listening = windows.listeners.entry(reference.id.clone()).or_default();
                        match listening.iter_mut().find(|(spec, _)| *spec == at) {
                            Some((_, slots)) => *slots |= 1 << slot,
                            None => listening.push((at, 1 << slot)),
                        }
                    }
                    windows.specs.push(spec);
                }
                Err((what, way_out)) => {
                    errors.push(RuleError { path: rule.path.clone(), line: rule.line, column: 0, what, way_out });
                }
            }
        }
        (windows, errors)
    }

    /// An event of a source was received: event time moves on, whether it matches anything or not.
    pub fn saw(&mut self, event: &Event, now: Timestamp) {
        let time = event.time.ns().min(now.ns().saturating_add(self.ahead_ns()));
        self.clock.saw(event.id.agent, time, now.ns());
    }

    /// Takes findings in and appends those of the correlations, those over correlations included. `now` is the time of
    /// arrival and never goes back; call it with no findings to let windows close.
    pub fn correlate(&mut self, now: Timestamp, findings: &mut Vec<Finding>) {
        self.close_due(now.ns(), findings);
        let mut at = 0;
        while at < findings.len() {
            self.take(at, now.ns(), findings);
            at += 1;
        }
    }

    /// Closes everything, as at the end of a file.
    pub fn finish(&mut self, now: Timestamp, findings: &mut Vec<Finding>) {
        let mut order: Vec<(u64, usize)> = self.groups.iter().enumerate().filter_map(|(n, g)| Some((g.as_ref()?.serial, n))).collect();
        order.sort_unstable();
        let mut fed = findings.len();
        for (_, at) in order {
            self.close_group(at, i64::MAX, i64::MAX, findings);
        }
        while fed < findings.len() {
            self.take(fed, now.ns(), findings);
            fed += 1;
        }
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }
    /// Groups and entries held.
    pub fn held(&self) -> (usize, usize) {
        (self.groups.len() - self.free.len(), self.entries)
    }
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.free.clear();
        self.due.clear();
        self.entries = 0;
        self.specs.iter_mut().for_each(|s| s.groups.clear());
    }

    fn ahead_ns(&self) -> i64 {
        i64::from(self.limits.ahead_s) * event::SECOND_NS
    }
    fn lateness_ns(&self) -> i64 {
        i64::from(self.limits.lateness_s) * event::SECOND_NS
    }

    /// Feeds `findings[at]` to every rule that listens. A correlation's retelling feeds nobody: it is no new fact.
    fn take(&mut self, at: usize, now: i64, findings: &mut Vec<Finding>) {
        let Some(finding) = findings.get(at) else { return };
        let retold = finding.span.is_some() && finding.reasons.iter().any(|r| r.args.iter().any(|(n, _)| n == "again"));
        let Some(listening) = self.listeners.get(&finding.rule.id).filter(|_| !retold) else { return };
        for (spec, slots) in listening.clone() {
            let Some(finding) = findings.get(at) else { return };
            if let Some(told) = self.enter(spec, slots, finding, now) {
                findings.push(told);
            }
        }
    }

    fn enter(&mut self, spec_at: usize, slots: u32, finding: &Finding, now: i64) -> Option<Finding> {
        let (ahead_ns, lateness) = (self.ahead_ns(), self.lateness_ns());
        let spec = self.specs.get_mut(spec_at)?;
        let slot = slots.trailing_zeros() as usize;
        let mut values = Vec::with_capacity(spec.rule.group_by.len());
        let mut key = String::new();
        for part in &spec.rule.group_by {
            let Some(value) = first_value(part, slot, finding) else {
                self.counters.ungrouped += 1;
                return None;
            };
            let text = value.to_text();
            let text = cut(&text);
            key.push_str(&text.len().to_string());
            key.push(':');
            key.push_str(text);
            values.push(match value {
                Value::Text(_) | Value::List(_) | Value::Bytes(_) => Value::text(text),
                other => other.clone(),
            });
        }
        let Some(samples) = spec.kind.samples(&spec.rule, slot, finding) else {
            self.counters.ungrouped += 1;
            return None;
        };
        let stated = finding.time.ns();
        let time = stated.min(now.saturating_add(ahead_ns));
        let ahead = if time < stated { stated.saturating_sub(now) } else { 0 };
        if ahead > 0 {
            self.counters.clock_ahead += 1;
        }
        let id = finding.event.as_ref().map(|e| e.id).or_else(|| finding.evidence.last().map(|e| e.id)).unwrap_or(EventId::NONE);
        let timespan = spec.rule.timespan_ns;
        let group_at = match spec.groups.get(key.as_str()) {
            Some(at) => *at,
            None => {
                self.make_room(spec_at);
                self.open(spec_at, key.into(), values, time.saturating_add(timespan))
            }
        };
        let (spec, group) = (self.specs.get(spec_at)?, self.groups.get_mut(group_at)?.as_mut()?);
        group.arrival = group.arrival.max(now);
        let at = group.episode_for(time, timespan);
        let mut news = false;
        for n in 0..samples.len().max(1) {
            let sample = samples.get(n);
            let value = sample.map_or(u64::from(slots), |s| crate::bytes::fnv(s.as_bytes()));
            let Some(place) = group.ring.insert(Entry { time, id, slots, value, previous: i64::MIN }, timespan) else {
                self.counters.duplicates += 1;
                continue;
            };
            self.entries += 1;
            self.counters.entries += 1;
            let steps = spec.rule.rules.len();
            let measured = spec.kind.measure(Measured { ring: &group.ring, at: place, timespan, steps, folded: &group.folded });
            let episode = group.episodes.get_mut(at)?;
            episode.add(Evidence { id, time: Timestamp::from_ns(time) }, finding, sample, ahead, !news);
            episode.peak = episode.peak.max(measured);
            news = true;
        }
        if !news {
            return None;
        }
        let episode = group.episodes.get_mut(at)?;
        let telling = match spec.threshold {
            Some(threshold) if episode.peak >= threshold => !episode.told() || episode.worth_retelling(),
            _ => false,
        };
        let told = telling.then(|| {
            let told = spec.tell(group, at, finding.event.clone());
            if told.1 {
                self.counters.retold += 1
            } else {
                self.counters.told += 1
            }
            told.0
        });
        let dropped = group.thin(spec, timespan, lateness);
        self.entries -= dropped.0 + dropped.1;
        self.counters.evicted_entries += dropped.1 as u64;
        told
    }

    fn open(&mut self, spec: usize, key: Box<str>, values: Vec<Value>, due: i64) -> usize {
        self.serial += 1;
        let group = Group {
            spec,
            serial: self.serial,
            key: key.clone(),
            values,
            ring: Ring::default(),
            folded: Vec::new(),
            episodes: Vec::new(),
            arrival: i64::MIN,
            crowded: 0,
        };
        self.place(group, due, key)
    }

    pub(crate) fn place(&mut self, group: Group, due: i64, key: Box<str>) -> usize {
        let (spec, serial) = (group.spec, group.serial);
        let at = match self.free.pop() {
            Some(at) => {
                self.groups[at] = Some(group);
                at
            }
            None => {
                self.groups.push(Some(group));
                self.groups.len() - 1
            }
        };
        self.due.insert((due, serial), at);
        if let Some(spec) = self.specs.get_mut(spec) {
            spec.groups.insert(key, at);
        }
        at
    }

    fn remove(&mut self, at: usize) {
        let Some(group) = self.groups.get_mut(at).and_then(Option::take) else { return };
        self.entries -= group.ring.len();
        if let Some(spec) = self.specs.get_mut(group.spec) {
            spec.groups.remove(&group.key);
        }
        self.free.push(at);
    }

    /// Lets groups go where a limit is reached: those that have come least far, then those quiet longest.
    fn make_room(&mut self, spec: usize) {
        let full = self.specs.get(spec).is_some_and(|s| s.groups.len() >= self.limits.groups_max);
        let victim = if full {
            spec
        } else if self.entries >= self.limits.entries_total_max {
            let mut held = vec![0usize; self.specs.len()];
            for group in self.groups.iter().flatten() {
                held[group.spec] += group.ring.len();
            }
            held.iter().enumerate().max_by_key(|(n, held)| (**held, usize::MAX - n)).map_or(spec, |(n, _)| n)
        } else {
            return;
        };
        let mut ranked: Vec<(u64, i64, u64, usize)> = self
            .groups
            .iter()
            .enumerate()
            .filter_map(|(n, g)| Some((n, g.as_ref().filter(|g| g.spec == victim)?)))
            .map(|(n, g)| {
                let peak = g.episodes.iter().map(|e| e.peak).max().unwrap_or(0);
                let last = g.episodes.iter().map(|e| e.last).max().unwrap_or(i64::MIN);
                (peak, last, g.serial, n)
            })
            .collect();
        let count = (ranked.len() / 16).max(1).min(ranked.len());
        if count < ranked.len() {
            ranked.select_nth_unstable(count);
        }
        ranked.truncate(count);
        for (_, _, _, at) in ranked {
            self.remove(at);
            self.counters.evicted_groups += 1;
        }
    }

    fn close_due(&mut self, now: i64, findings: &mut Vec<Finding>) {
        let mark = self.clock.mark(now, self.lateness_ns());
        while let Some(entry) = self.due.first_entry().filter(|e| e.key().0 < mark) {
            let (due_serial, at) = (entry.key().1, *entry.get());
            entry.remove();
            if self.groups.get(at).and_then(Option::as_ref).is_none_or(|g| g.serial != due_serial) {
                continue;
            }
            self.close_group(at, mark, now, findings);
        }
    }

    /// Closes the episodes of a group that no event can join any more; removes the group if none is left. `mark` is how far
    /// event time has come. An event from a backlog is far behind the mark, so an episode also stays open for its timespan
    /// of arrival time: what was delayed gets as much patience as its window is long.
    fn close_group(&mut self, at: usize, mark: i64, now: i64, findings: &mut Vec<Finding>) {
        let lateness = self.lateness_ns();
        let Some(group) = self.groups.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(spec) = self.specs.get(group.spec) else { return };
        let timespan = spec.rule.timespan_ns;
        let patience = timespan.min(LINGER_NS_MAX).saturating_add(lateness);
        let lingering = group.arrival.saturating_add(patience) >= now;
        let mut n = 0;
        while let Some(episode) = group.episodes.get(n) {
            if lingering || episode.last.saturating_add(timespan) >= mark {
                n += 1;
                continue;
            }
            let holds = match spec.threshold {
                Some(threshold) => episode.peak >= threshold,
                None => spec.rule.condition.iter().all(|b| b.holds(episode.peak as f64)),
            };
            if holds && episode.total > episode.told_total {
                let told = spec.tell(group, n, None);
                if told.1 {
                    self.counters.retold += 1
                } else {
                    self.counters.told += 1
                }
                findings.push(told.0);
            }
            let closed = group.episodes.remove(n);
            let (from, to) = (group.ring.lower(closed.first), group.ring.upper(closed.last));
            self.entries -= to - from;
            group.ring.entries.drain(from..to);
        }
        if group.episodes.is_empty() {
            self.remove(at);
            return;
        }
        let next = group.episodes.iter().map(|e| e.last).min().unwrap_or(mark).saturating_add(timespan);
        let next = if lingering {
            next.max(mark.saturating_add(group.arrival.saturating_add(patience).saturating_sub(now)).saturating_add(1))
        } else {
            next
        };
        let serial = group.serial;
        self.due.insert((next.max(mark), serial), at);
    }
}

impl Spec {
    fn new(rule: &Correlation, titles: &AHashMap<&str, &str>, limits: &Limits) -> Result<Self, kind::Refusal> {
        let Some(kind) = kind::find(&rule.kind) else {
            let known: Vec<&str> = kind::KINDS.iter().map(|k| k.word()).collect();
            return Err((format!("correlation type '{}' is not known here", rule.kind), format!("one of {}", known.join(", "))));
        };
        kind.check(rule)?;
        if rule.timespan_ns <= 0 {
            return Err(("a timespan of nothing".into(), "write e.g. `timespan: 5m`".into()));
        }
        let threshold = match rule.condition.as_slice() {
            [] => kind.default_threshold(rule),
            bounds => bounds
                .iter()
                .map(|b| match b.operator {
                    Operator::Gte => Some(b.value.ceil().max(1.0) as u64),
                    Operator::Gt => Some(b.value.floor().max(0.0) as u64 + 1),
                    Operator::Lt | Operator::Lte | Operator::Eq | Operator::Neq => None,
                })
                .collect::<Option<Vec<u64>>>()
                .and_then(|all| all.into_iter().max()),
        };
        if threshold.is_some_and(|t| t > 1_000_000) {
            return Err(("a threshold above 1000000".into(), "count over a shorter timespan".into()));
        }
        let mut meta = RuleMeta::clone(&rule.meta);
        if meta.group_by.is_empty() {
            meta.group_by = rule.group_by.iter().map(|k| k.name.clone()).collect();
        }
        let named = |keys: &[GroupKey]| keys.iter().map(|k| Name::from(k.name.as_str())).collect();
        Ok(Self {
            kind,
            meta: Arc::new(meta),
            titles: rule.rules.iter().map(|r| titles.get(r.id.as_str()).map_or_else(|| r.id.clone(), |t| (*t).to_owned())).collect(),
            facts: named(&rule.group_by),
            counted: named(&rule.fields),
            threshold,
            entries_max: limits.entries_max.max(threshold.unwrap_or(0) as usize * 2),
            rule: rule.clone(),
            groups: AHashMap::new(),
        })
    }

    /// Text that changes when saved groups would no longer mean the same.
    pub(crate) fn fingerprint(&self) -> u64 {
        let r = &self.rule;
        crate::bytes::fnv(
            format!("{} {:?} {} {:?} {:?} {:?}", r.kind, r.rules, r.timespan_ns, r.group_by, r.condition, r.fields).as_bytes(),
        )
    }

    /// Makes the finding of an episode; true if the episode was told before.
    fn tell(&self, group: &mut Group, at: usize, event: Option<Arc<Event>>) -> (Finding, bool) {
        let episode = &mut group.episodes[at];
        let again = episode.told();
        let mut reason = self.kind.reason(&self.rule, &self.titles, episode.peak, self.threshold.unwrap_or(0));
        if again {
            reason = reason.arg("again", true);
        }
        let mut reasons = vec![reason];
        if episode.ahead > 0 {
            reasons.push(Reason::new("clock_ahead").arg("seconds", episode.ahead / event::SECOND_NS));
        }
        let mut facts = event::Fields::new();
        for (name, value) in self.facts.iter().zip(&group.values) {
            facts.set(name.clone(), value.clone());
        }
        facts.set(field::FACT_COUNT, episode.peak);
        let mut some = |name: Name, values: Vec<Value>| {
            if facts.get_name(&name).is_none() && !values.is_empty() {
                match <[Value; 1]>::try_from(values) {
                    Ok([one]) => facts.set(name, one),
                    Err(many) => facts.set(name, many),
                }
            }
        };
        for (n, party) in PARTIES.iter().enumerate() {
            let shape = |t: &str| match party.shape() {
                event::Shape::Ip => t.parse().map_or_else(|_| Value::text(t), Value::Ip),
                _ => Value::text(t),
            };
            some((*party).into(), episode.parties.iter().filter(|(k, _)| usize::from(*k) == n).map(|(_, t)| shape(t)).collect());
        }
        for (n, name) in [field::UNIT_ID, field::UNIT_NAME, field::UNIT_SECTOR].into_iter().enumerate() {
            some(name.into(), episode.units.iter().map(|u| Value::text(&u[n])).collect());
        }
        let samples: Vec<Value> = episode.samples.iter().map(|s| Value::text(s)).collect();
        if let [counted] = self.counted.as_slice() {
            some(counted.clone(), samples.clone());
        }
        if !samples.is_empty() {
            facts.set(field::FACT_VALUES, samples);
        }
        let mut evidence = episode.oldest.clone();
        let (from, to) = (group.ring.lower(episode.first), group.ring.upper(episode.last));
        let newest = group.ring.entries.range(from..to).rev().map(|e| Evidence { id: e.id, time: Timestamp::from_ns(e.time) });
        let last = evidence.last().map(|e| (e.time, e.id));
        let mut newer: Vec<Evidence> =
            newest.take_while(|e| last.is_none_or(|l| (e.time, e.id) > l)).take(event::EVIDENCE_MAX - OLDEST_MAX).collect();
        newer.reverse();
        newer.dedup();
        evidence.extend(newer);
        let time = event.as_ref().map_or(episode.last, |e| e.time.ns().min(episode.last));
        let finding = Finding {
            rule: Arc::clone(&self.meta),
            time: Timestamp::from_ns(time),
            event,
            facts,
            span: Some(Span { from: Timestamp::from_ns(episode.first), to: Timestamp::from_ns(episode.last) }),
            matches: Vec::new(),
            reasons,
            evidence,
            count: episode.weight - episode.told_weight,
        };
        episode.told_total = episode.total;
        episode.told_weight = episode.weight;
        episode.told_peak = episode.peak;
        episode.told_last = episode.last;
        (finding, again)
    }
}

impl Episode {
    fn worth_retelling(&self) -> bool {
        self.peak >= self.told_peak.saturating_mul(2)
            || self.total >= self.told_total.saturating_mul(2)
            || self.last.saturating_sub(self.told_last) >= REFRESH_S * event::SECOND_NS
    }
}

impl Group {
    /// The episode a new entry belongs to; it may make two into one. Past `EPISODES_MAX` the oldest is forgotten untold.
    fn episode_for(&mut self, time: i64, timespan: i64) -> usize {
        let near = |e: &Episode| time >= e.first.saturating_sub(timespan) && time <= e.last.saturating_add(timespan);
        if let Some(at) = self.episodes.iter().position(near) {
            while let Some(other) = self.episodes.iter().skip(at + 1).position(near) {
                let other = self.episodes.remove(at + 1 + other);
                self.episodes[at].merge(other);
            }
            return at;
        }
        if self.episodes.len() >= EPISODES_MAX {
            self.episodes.remove(0);
        }
        let at = self.episodes.partition_point(|e| e.first < time);
        self.episodes.insert(at, Episode::new(time));
        at
    }

    /// Lets entries go: those no window can hold any more, and those past the limit. Returns how many of each.
    fn thin(&mut self, spec: &Spec, timespan: i64, lateness: i64) -> (usize, usize) {
        let late = lateness.saturating_add(LAG_NS).saturating_add(IDLE_NS);
        let before = self.ring.len();
        while let Some(front) = self.ring.entries.front() {
            let of = self.episodes.iter().find(|e| e.first <= front.time && front.time <= e.last);
            if of.is_some_and(|e| front.time >= e.last.saturating_sub(timespan).saturating_sub(late)) {
                break;
            }
            self.ring.entries.pop_front();
        }
        let held = self.ring.len();
        self.crowded += 1;
        if held > spec.entries_max {
            // A compaction passes over the whole ring, so at least a quarter of a ring must have come since the last one. If that
            // is not so, three quarters of the ring are different values, which is past the threshold (see `entries_max`).
            if spec.kind.counts_values() && self.crowded >= spec.entries_max / 4 {
                self.crowded = 0;
                let newest = self.ring.newest().map_or(i64::MIN, |e| e.time);
                self.ring.compact(newest.saturating_sub(late));
                // A fast flood of few values: exactness for what comes late gives way to remembering the others.
                if self.ring.len() > spec.entries_max / 4 * 3 {
                    self.ring.compact(newest);
                }
            }
            while self.ring.len() > spec.entries_max {
                let Some(gone) = self.ring.entries.pop_front() else { break };
                if spec.kind.is_sequence() {
                    kind::fold(&mut self.folded, spec.rule.rules.len(), &gone, timespan);
                }
            }
        }
        (before - held, held - self.ring.len())
    }
}

/// The first present value of a key for the rule in `slot`; null counts as absent.
pub(crate) fn first_value<'a>(key: &GroupKey, slot: usize, finding: &'a Finding) -> Option<&'a Value> {
    key.names_for(slot).iter().find_map(|name| finding.get_name(name)).filter(|v| !matches!(v, Value::Null))
}
