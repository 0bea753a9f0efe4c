//! The windows of all correlation rules: which finding goes where, when something is told, when something is let go.
//!
//! State is a slab of groups; a group is a ring of entries in event-time order and its open episodes. One owner, no locks.
//! Nothing ever iterates a hash map where the order could show, so the same input gives the same output on any machine.

use std::sync::Arc;

use ahash::AHashMap;
use event::{Event, EventId, Finding, Name, RuleMeta, SECOND_NS, Timestamp, Value, field};
use rule::{Correlation, RuleError};

use crate::REFRESH_S;
use crate::ahead::{Ahead, Asked};
use crate::clock::Clock;
use crate::due::Due;
use crate::episode::{PARTIES, Seen};
use crate::group::{Group, More};
use crate::held::Groups;
use crate::kind::{Hit, Input, Judged, NO_NAME, Pending, Sample, Samples, first_value};
use crate::listen::{Listener, Listeners};
use crate::names::{Lanes, Names};
use crate::ring::Entry;
use crate::spare::Spare;
use crate::spec::{KEY_PARTS, Spec};

/// How much is kept and how long one waits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How much later than the newest of its source an event may come and still be counted exactly.
    pub lateness_s: u32,
    /// How far ahead of its arrival an event's time is believed.
    pub ahead_s: u32,
    /// Groups of all rules together; past it the least suspicious are let go, a sixteenth at once (see `room`).
    pub groups_max: usize,
    /// Entries of one group; past it older ones go, first those a newer one stands for. Never less than twice the threshold.
    pub entries_max: usize,
    /// Bytes of all state together, as estimated by `Windows::bytes`; past it groups are let go like above.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lateness_s: 10, ahead_s: 5, groups_max: 500_000, entries_max: 1_024, bytes_max: 72 * 1024 * 1024 }
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
    /// Findings whose clock was ahead, by what the collector knows of it or past what is believed.
    pub clock_ahead: u64,
    /// Entries that came when the windows they belong to were judged already (kinds that wait for the watermark).
    pub too_late: u64,
    /// Groups forgotten at a limit, and how many of them because one agent's events filled the room.
    pub evicted_groups: u64,
    pub evicted_flood: u64,
    /// Of the forgotten, those that had come half way or more to what they were waiting for.
    pub evicted_suspicious: u64,
    /// Entries let go at a group's limit, values a memory had no room for.
    pub evicted_entries: u64,
    /// Correlation findings made, and how many of them told an episode again.
    pub told: u64,
    pub retold: u64,
}

/// All correlation rules and their state.
pub struct Windows {
    pub(crate) specs: Vec<Spec>,
    pub(crate) groups: Groups,
    pub(crate) listeners: Listeners,
    /// When to look at a group again; never later than it could close.
    pub(crate) due: Due,
    pub(crate) clock: Clock,
    pub(crate) names: Names,
    pub(crate) lanes: Lanes,
    /// Groups by the lane whose event opened them.
    pub(crate) owners: Vec<u32>,
    pub(crate) serial: u64,
    pub(crate) entries: usize,
    /// Bytes of memories and tallies, as last weighed.
    pub(crate) weighed: usize,
    /// Places in `due` of groups that are gone.
    pub(crate) stale: usize,
    pub(crate) counters: Counters,
    pub(crate) limits: Limits,
    pub(crate) ahead: Ahead,
    /// There may be room among the names: they are swept before the next finding.
    pub(crate) names_heavy: bool,
    spare: Spare,
    seen: Seen,
    keys: Vec<[u32; KEY_PARTS]>,
    notes: Vec<u64>,
}

/// Groups that are fetched from memory together when they are due.
const CLOSED_AT_ONCE: usize = 32;
const LINGER_NS_MAX: i64 = 600 * SECOND_NS;

impl Windows {
    /// Gives the rules meaning. `metas` are those of the detection rules, for their titles. A rule that cannot be given meaning is
    /// named and left out.
    pub fn new(rules: &[Correlation], metas: &[Arc<RuleMeta>], limits: Limits) -> (Self, Vec<RuleError>) {
        let mut windows = Self {
            specs: Vec::new(),
            groups: Groups::default(),
            listeners: Listeners::default(),
            due: Due::default(),
            clock: Clock::default(),
            names: Names::default(),
            lanes: Lanes::default(),
            owners: Vec::new(),
            serial: 0,
            entries: 0,
            weighed: 0,
            stale: 0,
            counters: Counters::default(),
            limits,
            ahead: Ahead::default(),
            names_heavy: false,
            spare: Spare::default(),
            seen: Seen::default(),
            keys: Vec::new(),
            notes: Vec::new(),
        };
        let mut errors = Vec::new();
        let titles: AHashMap<&str, &str> =
            metas.iter().chain(rules.iter().map(|r| &r.meta)).map(|m| (m.id.as_str(), m.title.as_str())).collect();
        for rule in rules {
            match Spec::new(rule, &titles, &limits) {
                Ok(spec) => {
                    windows.specs.push(spec);
                }
                Err((what, way_out)) => {
                    errors.push(RuleError { path: rule.path.clone(), line: rule.line, column: 0, what, way_out });
                }
            }
        }
        windows.listeners = Listeners::new(&windows.specs);
        (windows, errors)
    }

    /// An event of a source was received: event time moves on, whether it matches anything or not.
    pub fn saw(&mut self, event: &Event, now: Timestamp) {
        let (time, _) = Clock::right(event.time.ns(), skew_of(event), now.ns(), self.ahead_ns());
        self.clock.saw(event.id.agent, time, now.ns());
    }

    /// Takes findings in and appends those of the correlations, those over correlations included. `now` is the time of
    /// arrival and never goes back; call it with no findings to let windows close.
    pub fn correlate(&mut self, now: Timestamp, findings: &mut Vec<Finding>) {
        self.pass(now, findings);
        if self.ahead.is_empty() {
            self.foresee(findings.iter());
        }
        self.feed(0, now, findings);
    }

    /// The same for one finding that stays where it is: appends to `told` only what the correlations say.
    pub fn hear(&mut self, finding: &Finding, now: Timestamp, told: &mut Vec<Finding>) {
        let fed = told.len();
        self.pass(now, told);
        if self.ahead.is_empty() {
            self.foresee(std::iter::once(finding).chain(told.iter().skip(fed)));
        }
        self.take(finding, now.ns(), told);
        self.feed(fed, now, told);
    }

    /// Time passes: windows close.
    fn pass(&mut self, now: Timestamp, told: &mut Vec<Finding>) {
        if self.names.wants_sweep() || self.lanes.wants_sweep() {
            self.sweep();
        }
        let mark = self.clock.mark(now.ns(), self.lateness_ns());
        self.close_due(mark, now.ns(), told);
    }

    /// Takes in all findings from a place on, and what they make the correlations say.
    fn feed(&mut self, mut at: usize, now: Timestamp, findings: &mut Vec<Finding>) {
        let mut told = Vec::new();
        while let Some(finding) = findings.get(at) {
            self.take(finding, now.ns(), &mut told);
            findings.append(&mut told);
            at += 1;
        }
    }

    /// Closes everything, as at the end of a file.
    pub fn finish(&mut self, now: Timestamp, findings: &mut Vec<Finding>) {
        let mut fed = findings.len();
        // A finding of one round opens groups that the next one closes; a chain is only so long.
        for _ in 0..=self.specs.len() {
            let mut order: Vec<(u64, u32)> = self.groups.iter().map(|(at, g)| (g.serial, at)).collect();
            order.sort_unstable();
            for (_, at) in order {
                self.look(at, i64::MAX, i64::MAX, findings);
            }
            if fed == findings.len() {
                break;
            }
            self.feed(fed, now, findings);
            fed = findings.len();
        }
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }
    /// Groups and entries held.
    pub fn held(&self) -> (usize, usize) {
        (self.groups.len(), self.entries)
    }
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }
    /// Every field that is read from an event, for who makes events only for us. Some twice.
    pub fn reads(&self) -> impl Iterator<Item = Name> {
        let keys = self.specs.iter().flat_map(|s| s.rule.group_by.iter().chain(&s.rule.fields));
        let named = keys.flat_map(|k| k.names.iter().flatten().cloned());
        // A parameter that is no field's name asks for a field that is not there.
        let said = self.specs.iter().flat_map(|s| s.rule.parameters.values().map(|v| Name::from(v.as_str())));
        let usual = [field::UNIT_ID, field::UNIT_NAME, field::UNIT_SECTOR, field::OBJECT_IMPORTANCE, field::CLOCK_SKEW_MS];
        named.chain(said).chain(PARTIES.into_iter().chain(usual).map(Name::from))
    }

    pub(crate) fn ahead_ns(&self) -> i64 {
        i64::from(self.limits.ahead_s) * SECOND_NS
    }
    pub(crate) fn lateness_ns(&self) -> i64 {
        i64::from(self.limits.lateness_s) * SECOND_NS
    }

    /// Feeds a finding to every rule that listens. A correlation's retelling feeds nobody: it is no new fact.
    fn take(&mut self, finding: &Finding, now: i64, told: &mut Vec<Finding>) {
        if std::mem::take(&mut self.names_heavy) {
            self.sweep();
            if self.bytes() >= self.limits.bytes_max / 16 * 15 {
                self.let_some_go();
            }
        }
        if finding.span.is_some() && finding.reasons.iter().any(|r| r.args.iter().any(|(n, _)| n == "again")) {
            return;
        }
        let Some(listening) = self.listeners.find(&finding.rule) else { return };
        let asked = self.ahead.recall(finding, listening, &mut self.seen);
        if asked.is_none() {
            self.seen.gather(finding, &mut self.names, &mut std::iter::empty());
        }
        self.see(finding, now);
        for (n, place) in listening.range().enumerate() {
            let Some(listener) = self.listeners.get(place) else { break };
            let asked = asked.and_then(|asked| self.ahead.asked(asked + n));
            self.enter(&listener, asked, finding, now, told);
        }
    }

    /// Reads once what all rules need, beside who is concerned.
    fn see(&mut self, finding: &Finding, now: i64) {
        let event = finding.event.as_deref();
        // A correlation's own finding was put right when its entries were taken in.
        let skew = event.filter(|_| finding.span.is_none()).and_then(skew_of);
        let (time, back) = Clock::right(finding.time.ns(), skew, now, self.ahead_ns());
        self.counters.clock_ahead += u64::from(back > 0);
        let id = event.map(|e| e.id).or_else(|| finding.evidence.last().map(|e| e.id)).unwrap_or(EventId::NONE);
        self.seen.time = time;
        self.seen.back = back;
        self.seen.lane = self.lanes.intern(id);
        self.seen.seq = id.seq;
        self.seen.weight = finding.count.max(1);
    }

    /// `asked`: what `foresee` knows of the group.
    fn enter(&mut self, listener: &Listener, asked: Option<Asked>, finding: &Finding, now: i64, told: &mut Vec<Finding>) {
        let Some(spec) = self.specs.get(listener.spec as usize) else { return };
        let slot = listener.slot as usize;
        let key = match asked {
            Some(asked) => asked.key,
            None => listener.key(&self.seen),
        };
        // Most rules group by who is concerned, and many read nothing more.
        if let (Some(key), Some(value)) = (key, listener.fixed) {
            let sample = Sample { value, mark: listener.slots, label: None };
            return self.enter_group(listener, key, asked, std::slice::from_ref(&sample), finding, now, told);
        }
        let mut keys = std::mem::take(&mut self.keys);
        let grouped = key.is_some() || {
            keys.clear();
            group_keys(&spec.rule, slot, finding, &self.seen, &mut self.names, &mut keys)
        };
        let mut samples = Samples::default();
        match listener.fixed.filter(|_| grouped) {
            Some(value) => samples.push(Sample { value, mark: listener.slots, label: None }),
            None if grouped => {
                let input = &mut Input { rule: &spec.rule, slot, slots: listener.slots, finding, names: &mut self.names };
                spec.kind.read(input, &mut samples);
            }
            None => {}
        }
        let samples = samples.as_slice();
        if samples.is_empty() {
            self.counters.ungrouped += 1;
        } else if let Some(key) = key {
            self.enter_group(listener, key, asked, samples, finding, now, told);
        } else {
            keys.iter().for_each(|key| self.enter_group(listener, *key, None, samples, finding, now, told));
        }
        self.keys = keys;
    }

    fn enter_group(
        &mut self,
        listener: &Listener,
        key: [u32; KEY_PARTS],
        asked: Option<Asked>,
        samples: &[Sample<'_>],
        finding: &Finding,
        now: i64,
        told: &mut Vec<Finding>,
    ) {
        match listener.judged {
            Judged::Memory => self.put_aside(listener.spec, key, asked, samples, now),
            _ => {
                if let Some(one) = self.put(listener, key, asked, samples, finding, now) {
                    told.push(one);
                }
            }
        }
    }

    /// The group of a key, opened where there is none.
    fn group_of(&mut self, spec: u32, key: [u32; KEY_PARTS], asked: Option<Asked>, due: i64) -> u32 {
        let there = asked.map(|a| a.at).filter(|at| self.groups.get(*at).is_some_and(|g| g.spec == spec && g.key == key));
        if let Some(at) = there {
            return at;
        }
        let hash = asked.map_or_else(|| self.groups.hash(spec, &key), |a| a.hash);
        if let Some(at) = self.groups.find_hashed(hash, spec, &key) {
            return at;
        }
        self.make_room();
        self.serial = self.serial.saturating_add(1);
        let group = Group { owner: self.seen.lane, ..Group::empty(spec, key, self.serial) };
        self.place(hash, group, second_after(due))
    }

    /// An entry for a window: put in its place, measured, told if that makes the difference.
    fn put(
        &mut self,
        listener: &Listener,
        key: [u32; KEY_PARTS],
        asked: Option<Asked>,
        samples: &[Sample<'_>],
        finding: &Finding,
        now: i64,
    ) -> Option<Finding> {
        let lateness = self.lateness_ns();
        let timespan = self.specs.get(listener.spec as usize)?.rule.timespan_ns;
        let settles = listener.judged == Judged::Settled;
        let time = self.seen.time;
        let due = if settles { time } else { time.saturating_add(timespan) };
        let group_at = self.group_of(listener.spec, key, asked, due);
        let (spec, group) = (self.specs.get_mut(listener.spec as usize)?, self.groups.get_mut(group_at)?);
        group.arrival = group.arrival.max(now);
        group.importance = group.importance.max(self.seen.importance);
        let before = group.ring.len();
        // An event whose time had to be put right may have been here under another time.
        if self.seen.back > 0 && group.ring.has(self.seen.lane, self.seen.seq) {
            self.counters.duplicates += 1;
            return None;
        }
        let at = group.episode_for(time, timespan, &self.lanes);
        let mut news = false;
        for sample in samples {
            let entry = Entry { time, seq: self.seen.seq, value: sample.value, lane: self.seen.lane, mark: sample.mark };
            let Some(place) = group.ring.insert(entry, &self.lanes, &mut self.spare) else {
                self.counters.duplicates += 1;
                continue;
            };
            self.counters.entries += 1;
            let measured = if settles {
                if group.more.as_ref().and_then(|m| m.settled).is_some_and(|settled| time <= settled) {
                    self.counters.too_late += 1;
                    group.forget_running();
                }
                None
            } else {
                group.measure(spec, place, &mut self.notes)
            };
            let episode = group.episodes.at(at)?;
            episode.add(time, &self.seen, listener.known, !news, &mut self.spare);
            news = true;
            if let Some(measured) = measured.filter(|m| *m > episode.peak) {
                episode.peak = measured;
                if !self.notes.is_empty() {
                    episode.more().notes.clone_from(&self.notes);
                }
            }
            let kept = || spec.counted_party.and_then(|n| self.seen.only.get(n)).is_some_and(|name| *name != NO_NAME);
            if let Some(label) = sample.label.as_deref().filter(|_| !kept() && episode.wants_samples())
                && let Some(name) = self.names.intern(label)
            {
                episode.keep_sample(name);
            }
        }
        let mut told = None;
        if news && spec.rising && !settles {
            let episode = group.episodes.at(at)?;
            if episode.peak >= spec.threshold && spec.holds(episode.peak) && worth_telling(episode) {
                told = spec.tell(group, at, finding.event.clone(), &self.names, &self.lanes);
            }
        }
        let dropped = group.thin(spec, lateness, &self.lanes, &mut self.spare);
        self.counters.evicted_entries += dropped as u64;
        self.entries = (self.entries + group.ring.len()).saturating_sub(before);
        if settles {
            self.due_by(group_at, second_after(time));
        } else {
            let least = group.episodes.iter().map(|e| e.last).min().map_or(i64::MIN, |last| last.saturating_add(timespan));
            if let Some(wake) = self.groups.wake_mut(group_at) {
                wake.least = least;
            }
        }
        told.map(|told| self.count_told(told))
    }

    /// An entry for a memory: waits until its time is complete.
    fn put_aside(&mut self, spec_at: u32, key: [u32; KEY_PARTS], asked: Option<Asked>, samples: &[Sample<'_>], now: i64) {
        let time = self.seen.time;
        let group_at = self.group_of(spec_at, key, asked, time);
        let (Some(spec), Some(group)) = (self.specs.get_mut(spec_at as usize), self.groups.get_mut(group_at)) else {
            return;
        };
        group.arrival = group.arrival.max(now);
        group.importance = group.importance.max(self.seen.importance);
        let more = group.more.get_or_insert_default();
        if more.memory.is_none() {
            more.memory = spec.kind.memory(&spec.rule);
        }
        let tags: Box<[u32]> = self.seen.tags.as_slice().into();
        for sample in samples {
            let entry = Entry { time, seq: self.seen.seq, value: sample.value, lane: self.seen.lane, mark: sample.mark };
            let order = |e: &Entry| (e.time, self.lanes.id(e.lane, e.seq), e.mark, e.value);
            let wanted = order(&entry);
            let at = more.pending.partition_point(|p| order(&p.entry) < wanted);
            let again = self.seen.back > 0 && more.pending.iter().any(|p| (p.entry.lane, p.entry.seq) == (entry.lane, entry.seq));
            if again || more.pending.get(at).is_some_and(|p| p.entry == entry) {
                self.counters.duplicates += 1;
                continue;
            }
            self.counters.entries += 1;
            self.entries += 1;
            self.counters.too_late += u64::from(more.settled.is_some_and(|settled| time < settled));
            let label = sample.label.as_deref().and_then(|l| self.names.intern(l)).unwrap_or(NO_NAME);
            more.pending.insert(at, Pending { entry, tags: tags.clone(), label });
        }
        // Past the limit the oldest is handed over early.
        let crowded = more.pending.len() > spec.entries_max;
        self.due_by(group_at, if crowded { i64::MIN } else { second_after(time) });
    }

    /// A group is looked at in this second, if not before.
    fn due_by(&mut self, at: u32, second: i64) {
        if let Some(wake) = self.groups.wake_mut(at).filter(|w| second < w.due) {
            wake.due = second;
            self.due.push(second, (at, wake.serial));
        }
    }

    fn count_told(&mut self, (finding, again): (Finding, bool)) -> Finding {
        if again {
            self.counters.retold += 1;
        } else {
            self.counters.told += 1;
        }
        finding
    }

    fn close_due(&mut self, mark: i64, now: i64, findings: &mut Vec<Finding>) {
        while let Some((second, mut all)) = self.due.pop(mark) {
            all.sort_unstable_by_key(|(_, serial)| *serial);
            let (groups, due) = (&mut self.groups, &mut self.due);
            let mut stale = 0;
            all.retain(|(at, serial)| {
                let Some(wake) = groups.wake_mut(*at).filter(|w| w.serial == *serial && w.due == second) else {
                    stale += 1;
                    return false;
                };
                if wake.least < mark || wake.least == i64::MAX {
                    return true;
                }
                // It has gone on since: nothing to close before that.
                wake.due = second_after(wake.least);
                due.push(wake.due, (*at, *serial));
                false
            });
            self.stale = self.stale.saturating_sub(stale);
            for some in all.chunks(CLOSED_AT_ONCE) {
                self.groups.touch_leaving(some.iter().map(|(at, _)| *at));
                some.iter().for_each(|(at, _)| self.look(*at, mark, now, findings));
            }
            self.due.give_back(all);
        }
    }

    /// Looks at a group: judges what waited for the watermark, closes episodes that no event can join any more, removes the group
    /// if nothing is left. `mark` is how far event time has come. An event from a backlog is far behind the mark, so an episode
    /// also stays open for its timespan of arrival time: what was delayed gets as much patience as its window is long.
    pub(crate) fn look(&mut self, at: u32, mark: i64, now: i64, findings: &mut Vec<Finding>) {
        let Some(group) = self.groups.get(at) else { return };
        let spec_at = group.spec as usize;
        let next = match self.specs.get(spec_at).map(|s| s.judged) {
            Some(Judged::Memory) => self.look_back(at, mark, findings),
            Some(Judged::Settled) => {
                self.settle(at, mark, findings);
                self.close(at, mark, now, findings)
            }
            Some(Judged::AtOnce) => self.close(at, mark, now, findings),
            None => None,
        };
        let Some(next) = next else { return self.remove(at) };
        let Some(wake) = self.groups.wake_mut(at) else { return };
        // Never at once again: at the earliest with the next second.
        let second = second_after(next).max(mark.div_euclid(SECOND_NS).saturating_add(1));
        wake.due = second;
        // Episodes may have gone: the next entry says anew.
        wake.least = i64::MIN;
        self.due.push(second, (at, wake.serial));
    }

    /// Judges the windows whose end the watermark has passed, in order.
    fn settle(&mut self, at: u32, mark: i64, findings: &mut Vec<Finding>) {
        let Some(group) = self.groups.get_mut(at) else { return };
        let Some(spec) = self.specs.get_mut(group.spec as usize).filter(|s| s.judged == Judged::Settled) else { return };
        let mut told = Vec::new();
        while let Some((time, measured)) = group.next_settled(spec, mark) {
            let Some(measured) = measured.filter(|m| spec.holds(*m)) else { continue };
            let Some(n) = group.episodes.iter().position(|e| e.first <= time && time <= e.last) else { continue };
            let Some(episode) = group.episodes.get_mut(n) else { continue };
            let falling = spec.rule.condition.iter().all(|b| matches!(b.operator, rule::Operator::Lt | rule::Operator::Lte));
            if !episode.reached || (falling && measured < episode.peak) || (!falling && measured > episode.peak) {
                episode.peak = measured;
            }
            episode.reached = true;
            if worth_telling(episode) {
                told.extend(spec.tell(group, n, None, &self.names, &self.lanes));
            }
        }
        for one in told {
            let finding = self.count_told(one);
            findings.push(finding);
        }
    }

    /// Closes episodes; answers when to look again, `None` if the group is done.
    fn close(&mut self, at: u32, mark: i64, now: i64, findings: &mut Vec<Finding>) -> Option<i64> {
        let lateness = self.lateness_ns();
        let mut told = Vec::new();
        let group = self.groups.get_mut(at)?;
        let spec = self.specs.get_mut(group.spec as usize)?;
        let timespan = spec.rule.timespan_ns;
        let settles = spec.judged == Judged::Settled;
        let patience = timespan.min(LINGER_NS_MAX).saturating_add(lateness);
        let lingering = group.arrival.saturating_add(patience) >= now;
        let before = group.ring.len();
        let mut n = 0;
        while let Some(episode) = group.episodes.get(n) {
            if lingering || episode.last.saturating_add(timespan) >= mark {
                n += 1;
                continue;
            }
            let holds = if settles { episode.reached } else { spec.holds(episode.peak) };
            if holds && episode.told().is_none_or(|t| episode.total > t.total || episode.peak != t.peak) {
                told.extend(spec.tell(group, n, None, &self.names, &self.lanes));
            }
            let Some(closed) = group.episodes.remove(n) else { break };
            let (from, to) = (group.ring.lower(closed.first), group.ring.upper(closed.last));
            group.ring.entries.cut(from, to, &mut self.spare);
            self.spare.keep_episode(closed);
            group.forget_running();
        }
        self.entries = (self.entries + group.ring.len()).saturating_sub(before);
        let next = group.episodes.iter().map(|e| e.last).min().map(|last| last.saturating_add(timespan));
        let next = next.map(|next| {
            let wait = group.arrival.saturating_add(patience).saturating_sub(now);
            let next = if lingering && mark != i64::MAX { next.max(mark.saturating_add(wait)) } else { next };
            // What waits for the watermark is looked at as soon as that has passed.
            if settles { group.unsettled().map_or(next, |u| u.min(next)) } else { next }
        });
        for one in told {
            let finding = self.count_told(one);
            findings.push(finding);
        }
        next
    }

    /// Hands a memory what is complete by now; answers when to look again, `None` if there is nothing worth keeping.
    fn look_back(&mut self, at: u32, mark: i64, findings: &mut Vec<Finding>) -> Option<i64> {
        let group = self.groups.get_mut(at)?;
        let spec = self.specs.get(group.spec as usize)?;
        let More { memory, pending, gate, settled, bytes, .. } = group.more.as_deref_mut()?;
        let memory = memory.as_mut()?;
        let mut hits: Vec<Hit> = Vec::new();
        while pending.len() > spec.entries_max || pending.front().is_some_and(|p| p.entry.time < mark) {
            let Some(one) = pending.pop_front() else { break };
            self.entries = self.entries.saturating_sub(1);
            // Silence that ended before this entry is noticed before it.
            memory.pass(one.entry.time.min(mark), &mut hits);
            memory.settle(&one, &mut hits);
            *settled = Some(settled.map_or(one.entry.time, |s| s.max(one.entry.time)));
        }
        // At the end of a file time stands still: nobody is silent because the file is over.
        if mark != i64::MAX {
            memory.pass(mark, &mut hits);
        }
        let mut told = Vec::new();
        hits.into_iter().for_each(|hit| gate.take(hit, &mut told));
        gate.pass(mark, &mut told);
        self.counters.evicted_entries += memory.take_forgotten();
        let weight = memory.bytes();
        self.weighed = (self.weighed + weight).saturating_sub(*bytes);
        *bytes = weight;
        let idle = pending.is_empty() && gate.held.is_none() && memory.expires() < mark;
        let next = [pending.front().map(|p| p.entry.time), memory.due(), gate.due(), Some(memory.expires())].into_iter().flatten().min();
        let key = group.key;
        for (hit, again) in told {
            if again {
                self.counters.retold += 1;
            } else {
                self.counters.told += 1;
            }
            findings.push(spec.tell_hit(&key, &hit, again, &self.names, &self.lanes));
        }
        if idle { None } else { next }
    }
}

/// Told for the first time, or again because it has doubled or gone on for long.
fn worth_telling(episode: &crate::episode::Episode) -> bool {
    let Some(told) = episode.told() else { return true };
    (told.peak > 0.0 && episode.peak >= told.peak * 2.0)
        || episode.total >= told.total.saturating_mul(2)
        || episode.last.saturating_sub(told.last) >= REFRESH_S * SECOND_NS
}

/// The keys of the groups a finding belongs to: none where a field is missing; several where the first field with a list has
/// several elements (a correlation's finding that names many hosts belongs to each of them).
fn group_keys(
    rule: &Correlation,
    slot: usize,
    finding: &Finding,
    seen: &Seen,
    names: &mut Names,
    keys: &mut Vec<[u32; KEY_PARTS]>,
) -> bool {
    keys.push([NO_NAME; KEY_PARTS]);
    let mut rest = String::new();
    for (n, part) in rule.group_by.iter().enumerate() {
        // Most rules group by who is concerned, which is known already.
        if rule.group_by.len() <= KEY_PARTS
            && let Some(name) = part.names_for(slot).first().and_then(|field| seen.only(field))
        {
            keys.iter_mut().filter_map(|k| k.get_mut(n)).for_each(|place| *place = name);
            continue;
        }
        let Some(value) = first_value(part, slot, finding) else { return false };
        if rule.group_by.len() > KEY_PARTS && n + 1 >= KEY_PARTS {
            if n + 1 > KEY_PARTS {
                rest.push('\u{1f}');
            }
            rest.push_str(&value.to_text());
            continue;
        }
        if let (Value::List(list), [only]) = (value, keys.as_slice()) {
            let only = *only;
            keys.clear();
            for element in list.iter().take(crate::episode::PARTIES_MAX).filter(|v| !matches!(v, Value::Null)) {
                let Some(name) = names.intern(element) else { return false };
                let mut key = only;
                if let Some(place) = key.get_mut(n) {
                    *place = name;
                }
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            if keys.is_empty() {
                return false;
            }
            continue;
        }
        let Some(name) = names.intern(value) else { return false };
        keys.iter_mut().filter_map(|k| k.get_mut(n)).for_each(|place| *place = name);
    }
    if !rest.is_empty() {
        let Some(name) = names.intern_text(&rest) else { return false };
        keys.iter_mut().filter_map(|k| k.last_mut()).for_each(|place| *place = name);
    }
    true
}

/// By how much the collector knows the event's clock to be off, in milliseconds.
fn skew_of(event: &Event) -> Option<i64> {
    event.get(field::CLOCK_SKEW_MS).and_then(Value::as_int)
}

/// The first whole second past a time.
pub(crate) fn second_after(time: i64) -> i64 {
    time.div_euclid(SECOND_NS).saturating_add(1)
}
