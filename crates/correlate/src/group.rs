//! One group of one rule: its entries, its open episodes, and what its kind keeps beside them.

use std::collections::VecDeque;

use crate::REFRESH_S;
use crate::clock::{IDLE_NS, LAG_NS};
use crate::episode::{Episode, Episodes, keep_tag};
use crate::kind::{Full, Hit, Memory, Pending, Step, Tally};
use crate::names::Lanes;
use crate::ring::{Entry, Place, Ring};
use crate::spare::Spare;
use crate::spec::{KEY_PARTS, Spec};

/// Entries that are measured anew each time rather than kept in a running tally.
const SMALL: usize = 8;
/// Window ends that are measured after a late entry, where a window must be measured from its beginning each time.
const RESCANS_MAX: usize = 16;
const EPISODES_MAX: usize = 8;
const _: () = assert!(size_of::<Option<Group>>() == 192, "a group has outgrown its three lines");

/// Three lines of the processor's cache, and never a fourth.
#[repr(align(64))]
pub(crate) struct Group {
    pub spec: u32,
    /// Lane whose event opened it: who pays for it when there is no room.
    pub owner: u32,
    /// Rises with each group, so that equal times have an order.
    pub serial: u64,
    pub key: [u32; KEY_PARTS],
    pub arrival: i64,
    pub ring: Ring,
    pub episodes: Episodes,
    pub importance: u8,
    pub crowded: u32,
    pub more: Option<Box<More>>,
}

/// What only groups with some entries need.
#[derive(Default)]
pub(crate) struct More {
    pub running: Option<Running>,
    /// Chains of entries let go at the limit.
    pub folded: Vec<Step>,
    /// Windows that end up to here have been judged (kinds that wait for the watermark).
    pub settled: Option<i64>,
    pub memory: Option<Box<dyn Memory>>,
    pub pending: VecDeque<Pending>,
    pub gate: Gate,
    /// Size of the memory when it was last weighed.
    pub bytes: usize,
}

/// A tally of the newest window: the `held` entries before place `next`.
pub(crate) struct Running {
    tally: Box<dyn Tally>,
    held: usize,
    next: usize,
}

/// Keeps what a memory notices in quick succession together: told at once, then when it has doubled, then after `REFRESH_S`.
#[derive(Default)]
pub(crate) struct Gate {
    pub since: Option<i64>,
    pub all: u64,
    pub told: u64,
    pub held: Option<Hit>,
}

impl Group {
    pub(crate) fn empty(spec: u32, key: [u32; KEY_PARTS], serial: u64) -> Self {
        Self {
            spec,
            owner: 0,
            serial,
            key,
            arrival: i64::MIN,
            ring: Ring::default(),
            episodes: Episodes::default(),
            importance: 0,
            crowded: 0,
            more: None,
        }
    }

    /// The episode a new entry belongs to; it may make two into one. Past `EPISODES_MAX` the oldest is forgotten untold.
    pub(crate) fn episode_for(&mut self, time: i64, timespan: i64, lanes: &Lanes) -> usize {
        match &self.episodes {
            Episodes::None => {
                self.episodes = Episodes::One(Episode::new(time));
                return 0;
            }
            Episodes::One(one) if time >= one.first.saturating_sub(timespan) && time <= one.last.saturating_add(timespan) => return 0,
            _ => {}
        }
        let near = |e: &Episode| time >= e.first.saturating_sub(timespan) && time <= e.last.saturating_add(timespan);
        if let Some(at) = self.episodes.iter().position(near) {
            while let Some(other) = self.episodes.iter().skip(at + 1).position(near) {
                let other = self.episodes.remove(at + 1 + other);
                if let (Some(episode), Some(other)) = (self.episodes.get_mut(at), other) {
                    episode.merge(other, lanes);
                }
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

    /// The greatest measure of all windows that hold the entry at `place`, and what the tally has to add to it.
    pub(crate) fn measure(&mut self, spec: &mut Spec, place: Place, notes: &mut Vec<u64>) -> Option<f64> {
        let timespan = spec.rule.timespan_ns;
        if spec.rescans {
            return self.rescan(spec, place, notes);
        }
        if place.late
            && spec.reversible
            && let Some(measured) = self.slide(timespan, place)
        {
            notes.clear();
            return measured;
        }
        if place.late || self.ring.len() <= SMALL {
            if let Some(more) = &mut self.more {
                more.running = None;
            }
            return self.replay(spec, place, notes);
        }
        let newest = self.ring.newest();
        let more = self.more.get_or_insert_default();
        let running = match &mut more.running {
            Some(running) => {
                if let Some(entry) = self.ring.entries.get(place.at) {
                    running.tally.enter(entry);
                    running.held += 1;
                    running.next = self.ring.len();
                }
                running
            }
            none => {
                let mut tally = spec.kind.tally(&spec.rule);
                tally.clear(&more.folded);
                let from = self.ring.lower(newest.saturating_sub(timespan));
                self.ring.entries.iter().skip(from).for_each(|e| tally.enter(e));
                none.insert(Running { tally, held: self.ring.len() - from, next: self.ring.len() })
            }
        };
        running.shed(&self.ring, newest.saturating_sub(timespan));
        notes.clear();
        running.tally.notes(notes);
        running.tally.measure()
    }

    /// A late entry that is in the newest window: that window slides back to the ones it may have changed, and forth again, so that it
    /// costs the entries newer than it and not the window. `None` where that is not so.
    fn slide(&mut self, timespan: i64, place: Place) -> Option<Option<f64>> {
        let entries: &[Entry] = &self.ring.entries;
        let entry = entries.get(place.at).filter(|_| entries.len() > SMALL)?;
        let newest = self.ring.newest();
        let running = self.more.as_mut()?.running.as_mut().filter(|r| r.next + 1 == entries.len())?;
        if newest.saturating_sub(entry.time) > timespan / 4 {
            return None;
        }
        running.tally.enter(entry);
        running.held += 1;
        running.next += 1;
        let (first, end) = (running.next.checked_sub(running.held)?, running.next);
        let (mut from, mut to) = (first, end);
        let tally = &mut running.tally;
        let mut best = tally.measure();
        while let Some(time) = entries.get(from..to).and_then(<[Entry]>::last).map(|e| e.time) {
            while let Some(gone) = entries.get(from..to).and_then(<[Entry]>::last).filter(|e| e.time == time) {
                tally.leave(gone);
                to -= 1;
            }
            let last = to.checked_sub(1).and_then(|n| entries.get(n)).map(|e| e.time);
            let Some(last) = last.filter(|last| *last >= entry.time) else { break };
            while let Some(older) = from.checked_sub(1).and_then(|n| entries.get(n)).filter(|e| e.time >= last.saturating_sub(timespan)) {
                tally.enter(older);
                from -= 1;
            }
            if let Some(measured) = tally.measure() {
                best = Some(best.map_or(measured, |b| b.max(measured)));
            }
        }
        entries.get(to..end).into_iter().flatten().for_each(|e| tally.enter(e));
        entries.get(from..first).into_iter().flatten().for_each(|e| tally.leave(e));
        Some(best)
    }

    fn replay(&self, spec: &mut Spec, place: Place, notes: &mut Vec<u64>) -> Option<f64> {
        let entries = &self.ring.entries;
        let timespan = spec.rule.timespan_ns;
        let changed = entries.get(place.at)?.time;
        let until = changed.saturating_add(timespan);
        let mut from = self.ring.lower(changed.saturating_sub(timespan));
        let mut at = from;
        let folded: &[Step] = self.more.as_ref().map_or(&[], |m| &m.folded);
        if place.at + 1 == entries.len()
            && folded.is_empty()
            && let Some(measured) = spec.kind.few(entries.between(from, entries.len()))
        {
            notes.clear();
            return Some(measured);
        }
        let tally = &mut spec.scratch;
        tally.clear(folded);
        let mut best = None;
        while let Some(time) = entries.get(at).map(|e| e.time).filter(|t| *t <= until) {
            while let Some(entry) = entries.get(at).filter(|e| e.time == time) {
                tally.enter(entry);
                at += 1;
            }
            while let Some(gone) = entries.get(from).filter(|e| e.time < time.saturating_sub(timespan)) {
                tally.leave(gone);
                from += 1;
            }
            if time >= changed
                && let Some(measured) = tally.measure()
                && best.is_none_or(|b| measured > b)
            {
                best = Some(measured);
                notes.clear();
                tally.notes(notes);
            }
        }
        best
    }

    fn rescan(&self, spec: &mut Spec, place: Place, notes: &mut Vec<u64>) -> Option<f64> {
        let entries = &self.ring.entries;
        let timespan = spec.rule.timespan_ns;
        let changed = entries.get(place.at)?.time;
        let until = self.ring.upper(changed.saturating_add(timespan));
        // Ends of windows: the entry's own instant, those right after it, and the last.
        let mut ends: Vec<usize> = Vec::new();
        let mut at = self.ring.upper(changed);
        while at < until && ends.len() + 1 < RESCANS_MAX {
            ends.push(at);
            at = entries.get(at).map_or(until, |e| self.ring.upper(e.time));
        }
        ends.push(until);
        let mut best = None;
        for end in ends {
            let Some(time) = end.checked_sub(1).and_then(|n| entries.get(n)).map(|e| e.time) else { continue };
            let tally = &mut spec.scratch;
            tally.clear(&[]);
            entries.between(self.ring.lower(time.saturating_sub(timespan)), end).iter().for_each(|e| tally.enter(e));
            if let Some(measured) = tally.measure()
                && best.is_none_or(|b| measured > b)
            {
                best = Some(measured);
                notes.clear();
                tally.notes(notes);
            }
        }
        best
    }

    /// Time and measure of the next window whose end the watermark has passed; `None` when all are judged.
    pub(crate) fn next_settled(&mut self, spec: &Spec, mark: i64) -> Option<(i64, Option<f64>)> {
        let timespan = spec.rule.timespan_ns;
        let more = self.more.get_or_insert_default();
        let running = match &mut more.running {
            Some(running) => running,
            none => {
                let mut tally = spec.kind.tally(&spec.rule);
                tally.clear(&[]);
                let settled = more.settled.unwrap_or(i64::MIN);
                let next = if more.settled.is_some() { self.ring.upper(settled) } else { 0 };
                let from = self.ring.lower(settled.saturating_sub(timespan)).min(next);
                self.ring.entries.between(from, next).iter().for_each(|e| tally.enter(e));
                none.insert(Running { tally, held: next - from, next })
            }
        };
        let time = self.ring.entries.get(running.next).map(|e| e.time).filter(|t| *t < mark)?;
        while let Some(entry) = self.ring.entries.get(running.next).filter(|e| e.time == time) {
            running.tally.enter(entry);
            running.next += 1;
            running.held += 1;
        }
        running.shed(&self.ring, time.saturating_sub(timespan));
        more.settled = Some(time);
        Some((time, running.tally.measure()))
    }

    /// The first entry whose window is not judged yet.
    pub(crate) fn unsettled(&self) -> Option<i64> {
        let next = match &self.more {
            Some(more) => match (&more.running, more.settled) {
                (Some(running), _) => running.next,
                (None, Some(settled)) => self.ring.upper(settled),
                (None, None) => 0,
            },
            None => 0,
        };
        self.ring.entries.get(next).map(|e| e.time)
    }

    pub(crate) fn forget_running(&mut self) {
        if let Some(more) = &mut self.more {
            more.running = None;
        }
    }

    /// Lets entries go: those no window can hold any more, and those past the limit. Returns how many of the latter.
    #[inline]
    pub(crate) fn thin(&mut self, spec: &Spec, lateness: i64, lanes: &Lanes, spare: &mut Spare) -> usize {
        let surely_held = self.ring.newest().saturating_sub(spec.rule.timespan_ns);
        if self.ring.len() <= spec.entries_max && self.ring.entries.first().is_none_or(|first| first.time >= surely_held) {
            self.crowded = self.crowded.saturating_add(1);
            return 0;
        }
        self.let_go(spec, lateness, lanes, spare)
    }

    fn let_go(&mut self, spec: &Spec, lateness: i64, lanes: &Lanes, spare: &mut Spare) -> usize {
        let timespan = spec.rule.timespan_ns;
        let late = lateness.saturating_add(LAG_NS).saturating_add(IDLE_NS);
        let surely_held = self.ring.newest().saturating_sub(timespan);
        while let Some(front) = self.ring.entries.first().filter(|f| f.time < surely_held) {
            let of = self.episodes.iter().find(|e| e.first <= front.time && front.time <= e.last);
            if of.is_some_and(|e| front.time >= e.last.saturating_sub(timespan).saturating_sub(late)) {
                break;
            }
            self.let_front_go(lanes, spare);
        }
        let held = self.ring.len();
        self.crowded = self.crowded.saturating_add(1);
        if held <= spec.entries_max {
            return 0;
        }
        let newest = self.ring.newest();
        match spec.kind.full() {
            // A compaction passes over the whole ring, so at least a quarter of a ring must have come since the last one. If that
            // is not so, three quarters of the ring are different values, which is past the threshold (see `entries_max`).
            Full::OnePerValue if self.crowded as usize >= spec.entries_max / 4 => {
                self.crowded = 0;
                self.keep_one_per_value(newest.saturating_sub(late), spec.rescans, lanes, spare);
                // A fast flood of few values: exactness for what comes late gives way to remembering the others.
                if self.ring.len() > spec.entries_max / 4 * 3 {
                    self.keep_one_per_value(newest, spec.rescans, lanes, spare);
                }
            }
            Full::Added => self.add_up(lanes, spare),
            Full::OnePerValue | Full::Oldest | Full::Chains => {}
        }
        while self.ring.len() > spec.entries_max {
            let Some(gone) = self.let_front_go(lanes, spare) else { break };
            if spec.kind.full() == Full::Chains {
                let more = self.more.get_or_insert_default();
                crate::kind::fold(&mut more.folded, spec.rule.rules.len(), &gone, timespan);
            }
        }
        held - self.ring.len()
    }

    fn let_front_go(&mut self, lanes: &Lanes, spare: &mut Spare) -> Option<Entry> {
        let gone = self.ring.entries.pop_front()?;
        if let Some(running) = self.more.as_mut().and_then(|m| m.running.as_mut()) {
            running.next = running.next.saturating_sub(1);
            if running.held > running.next {
                running.tally.leave(&gone);
                running.held = running.next;
            }
        }
        if let Some(episode) = self.episodes.iter_mut().find(|e| e.first <= gone.time && gone.time <= e.last) {
            episode.keep_oldest(&gone, lanes, spare);
        }
        Some(gone)
    }

    fn keep_one_per_value(&mut self, settled: i64, first: bool, lanes: &Lanes, spare: &mut Spare) {
        self.forget_running();
        let episodes = &mut self.episodes;
        self.ring.keep_one_per_value(settled, first, &mut |gone| {
            if let Some(episode) = episodes.iter_mut().find(|e| e.first <= gone.time && gone.time <= e.last) {
                episode.keep_oldest(gone, lanes, spare);
            }
        });
    }

    /// Adds up neighbours, the older half of the ring first.
    fn add_up(&mut self, lanes: &Lanes, spare: &mut Spare) {
        self.forget_running();
        let half = self.ring.len() / 2;
        let mut kept = Vec::with_capacity(self.ring.len());
        let mut old: Option<Entry> = None;
        for (n, entry) in self.ring.entries.take().into_iter().enumerate() {
            match old.take() {
                Some(older) if n < half => {
                    if let Some(episode) = self.episodes.iter_mut().find(|e| e.first <= older.time && older.time <= e.last) {
                        episode.keep_oldest(&older, lanes, spare);
                    }
                    kept.push(crate::kind::added(&older, &entry));
                }
                Some(older) => kept.extend([older, entry]),
                None if n < half => old = Some(entry),
                None => kept.push(entry),
            }
        }
        kept.extend(old);
        self.ring.entries = kept.into();
    }
}

impl Running {
    /// Lets those leave that are older than `from`.
    fn shed(&mut self, ring: &Ring, from: i64) {
        while let Some(gone) = self.next.checked_sub(self.held).and_then(|n| ring.entries.get(n)).filter(|e| e.time < from && self.held > 0)
        {
            self.tally.leave(gone);
            self.held -= 1;
        }
    }
}

impl Gate {
    /// Takes a hit; gives those that are to be told now, each with whether it only adds to what was told.
    pub(crate) fn take(&mut self, hit: Hit, told: &mut Vec<(Hit, bool)>) {
        if self.since.is_none_or(|since| hit.time > since.saturating_add(REFRESH_S * event::SECOND_NS)) {
            told.extend(self.held.take().map(|h| (h, true)));
            *self = Self { since: Some(hit.time), all: 1, told: 1, held: None };
            told.push((hit, false));
            return;
        }
        self.all = self.all.saturating_add(1);
        match &mut self.held {
            Some(held) => held.merge(hit),
            none => *none = Some(hit),
        }
        if self.all >= self.told.saturating_mul(2) {
            self.told = self.all;
            told.extend(self.held.take().map(|h| (h, true)));
        }
    }

    /// Time has come to `mark`: what was held back too long is told.
    pub(crate) fn pass(&mut self, mark: i64, told: &mut Vec<(Hit, bool)>) {
        if self.due().is_some_and(|due| due < mark) {
            told.extend(self.held.take().map(|h| (h, true)));
        }
    }

    pub(crate) fn due(&self) -> Option<i64> {
        self.held.as_ref().and(self.since).map(|since| since.saturating_add(REFRESH_S * event::SECOND_NS))
    }
}

impl Hit {
    fn merge(&mut self, newer: Self) {
        self.from = self.from.min(newer.from);
        self.time = self.time.max(newer.time);
        self.measured = newer.measured;
        self.count = self.count.saturating_add(newer.count);
        self.notes = newer.notes;
        let room = event::EVIDENCE_MAX.saturating_sub(self.evidence.len());
        self.evidence.extend(newer.evidence.into_iter().take(room));
        let mut tags = std::mem::take(&mut self.tags).into_vec();
        newer.tags.iter().for_each(|t| keep_tag(&mut tags, *t));
        self.tags = tags.into();
        for label in newer.labels {
            if self.labels.len() < 32 && !self.labels.contains(&label) {
                self.labels.push(label);
            }
        }
    }
}
