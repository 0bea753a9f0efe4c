//! Room for groups, and who goes when there is none.
//!
//! Admission is by suspicion, not by recency: how far a group has come towards what it waits for, how important the object is,
//! how long it has been at it. The least suspicious go first, a sixteenth of all at once:
//! * If the events of one agent opened more than an eighth of all groups and more than four times what the others did on
//!   average, it is being flooded, and only its own least suspicious groups go, the newest first: whoever fills the house pays, a flood at one host cannot
//!   push out what was seen at another, and what was there before the flood stays.
//! * Else the least suspicious of all go, those quiet longest first.
//!
//! What was told and goes on, and what is half way or more, goes only when nothing else is left; each kind of loss is counted.

use ahash::AHashMap;
use event::AgentId;

use crate::group::Group;
use crate::kind::NO_NAME;
use crate::spec::Spec;
use crate::windows::Windows;

/// Measured sizes with the allocator's share: a group with one episode and its index, an entry, a name.
const GROUP_BYTES: usize = 370;
const ENTRY_BYTES: usize = 40;
const NAME_BYTES: usize = 80;
/// From here on a group counts as suspicious.
const HALF_WAY: u32 = 5;

impl Windows {
    /// About how many bytes all state takes.
    pub fn bytes(&self) -> usize {
        let (groups, entries) = self.held();
        groups * GROUP_BYTES + entries * ENTRY_BYTES + self.names.len() * NAME_BYTES + self.weighed
    }

    /// `hash`: of its rule and key, see `Groups::hash`; `due`: the second in which it is looked at.
    pub(crate) fn place(&mut self, hash: u32, group: Group, due: i64) -> u32 {
        let serial = group.serial;
        let owner = group.owner as usize;
        if self.owners.len() <= owner {
            self.owners.resize(owner + 1, 0);
        }
        if let Some(count) = self.owners.get_mut(owner) {
            *count += 1;
        }
        let at = self.groups.insert(hash, group, due);
        self.due.push(due, (at, serial));
        at
    }

    pub(crate) fn remove(&mut self, at: u32) {
        let Some(group) = self.groups.remove(at) else { return };
        self.entries = self.entries.saturating_sub(group.ring.len());
        if let Some(more) = &group.more {
            self.entries = self.entries.saturating_sub(more.pending.len());
            self.weighed = self.weighed.saturating_sub(more.bytes);
        }
        if let Some(count) = self.owners.get_mut(group.owner as usize) {
            *count = count.saturating_sub(1);
        }
        self.stale += 1;
    }

    pub(crate) fn clear(&mut self) {
        self.ahead.clear();
        self.groups.clear();
        self.due.clear();
        self.owners.clear();
        self.entries = 0;
        self.weighed = 0;
        self.stale = 0;
    }

    /// Lets groups go where a limit is reached.
    pub(crate) fn make_room(&mut self) {
        let held = self.held().0;
        if held < self.limits.groups_max && self.bytes() < self.limits.bytes_max {
            return;
        }
        if held < self.limits.groups_max && self.names.len() * NAME_BYTES > self.limits.bytes_max / 4 {
            // Perhaps it is only names that nobody bears any more. Not now: those of the present finding are not borne yet.
            self.names_heavy = true;
            return;
        }
        self.let_some_go();
    }

    /// Lets a sixteenth of the groups go.
    pub(crate) fn let_some_go(&mut self) {
        let held = self.held().0;
        let count = (held / 16).max(1);
        // Rank, then who goes first among equals, then the serial so that there are no equals.
        let mut ranked: Vec<(u32, i64, u64, u32)> = Vec::new();
        let mut owners: AHashMap<AgentId, u32> = AHashMap::new();
        for (count, lane) in self.owners.iter().zip(0..).filter(|(count, _)| **count > 0) {
            *owners.entry(self.lanes.agent(lane)).or_insert(0) += count;
        }
        let loudest = owners.iter().map(|(agent, n)| (*n, *agent)).max();
        let others = owners.len().saturating_sub(1);
        let flooded = loudest.filter(|(n, _)| *n as usize > held / 8 && *n as usize * others > 4 * held.saturating_sub(*n as usize));
        if let Some((_, agent)) = flooded {
            let own = |g: &Group| self.lanes.agent(g.owner) == agent;
            ranked.extend(self.rank(&own).filter(|r| r.0 < HALF_WAY).map(|(rank, _, serial, at)| {
                // Newest first.
                (rank, -i64::try_from(serial).unwrap_or(i64::MAX), serial, at)
            }));
            self.counters.evicted_flood += ranked.len().min(count) as u64;
        }
        if ranked.is_empty() {
            ranked.extend(self.rank(&|_| true));
        }
        let count = count.min(ranked.len());
        if count < ranked.len() {
            ranked.select_nth_unstable(count);
        }
        ranked.truncate(count);
        ranked.sort_unstable();
        for (rank, _, _, at) in ranked {
            self.remove(at);
            self.counters.evicted_groups += 1;
            self.counters.evicted_suspicious += u64::from(rank >= HALF_WAY);
        }
        if self.stale > self.held().0 / 2 {
            let groups = &self.groups;
            self.due.retain(|(at, serial)| groups.wake(*at).serial == *serial);
            self.stale = 0;
        }
    }

    fn rank(&self, of: &dyn Fn(&Group) -> bool) -> impl Iterator<Item = (u32, i64, u64, u32)> {
        let mut all = Vec::new();
        for (at, group) in self.groups.iter().filter(|(_, g)| of(g)) {
            if let Some(spec) = self.specs.get(group.spec as usize) {
                let last = group.episodes.iter().map(|e| e.last).max().unwrap_or(group.arrival);
                all.push((suspicion(spec, group), last, group.serial, at));
            }
        }
        all.into_iter()
    }

    /// Finds names and lanes that nothing refers to any more.
    pub(crate) fn sweep(&mut self) {
        // Names are given again: what was gathered under them is void.
        self.ahead.clear();
        let mut used: AHashMap<u32, ()> = AHashMap::new();
        for (_, group) in self.groups.iter() {
            let Some(spec) = self.specs.get(group.spec as usize) else { continue };
            let names = &mut self.names;
            group.key.iter().filter(|n| **n != NO_NAME).for_each(|n| names.mark(*n));
            let mut mark_entry = |value: u64, lane: u32| {
                used.insert(lane, ());
                if spec.kind.names_in_value() {
                    names.mark((value >> 32) as u32);
                    names.mark((value & 0xffff_ffff) as u32);
                }
            };
            group.ring.entries.iter().for_each(|e| mark_entry(e.value, e.lane));
            used.insert(group.owner, ());
            for episode in group.episodes.iter() {
                episode.tags.as_slice().iter().for_each(|t| self.names.mark(crate::episode::tag_name(*t)));
                episode.oldest().iter().for_each(|e| {
                    used.insert(e.1, ());
                });
                for (n, note) in episode.notes().iter().enumerate().filter(|(n, _)| spec.kind.note_is_name(*n)) {
                    let _ = n;
                    self.names.mark(u32::try_from(*note).unwrap_or(NO_NAME));
                }
            }
            let Some(more) = &group.more else { continue };
            more.folded.iter().for_each(|s| {
                used.insert(s.lane, ());
            });
            for p in &more.pending {
                used.insert(p.entry.lane, ());
                self.names.mark(p.label);
                p.tags.iter().for_each(|t| self.names.mark(crate::episode::tag_name(*t)));
                if spec.kind.names_in_value() {
                    self.names.mark((p.entry.value >> 32) as u32);
                    self.names.mark((p.entry.value & 0xffff_ffff) as u32);
                }
            }
            if let Some(hit) = &more.gate.held {
                hit.labels.iter().for_each(|n| self.names.mark(*n));
                hit.tags.iter().for_each(|t| self.names.mark(crate::episode::tag_name(*t)));
                hit.evidence.iter().for_each(|e| {
                    used.insert(e.1, ());
                });
            }
            if let Some(memory) = &more.memory {
                memory.names(&mut |n| self.names.mark(n));
                memory.lanes(&mut |lane| {
                    used.insert(lane, ());
                });
            }
        }
        used.keys().for_each(|lane| self.lanes.mark(*lane));
        self.names.sweep();
        self.lanes.sweep();
    }
}

/// 0 (a stranger) to 20: progress to the threshold in eighths, importance of the object, persistence; what was told stays last.
fn suspicion(spec: &Spec, group: &Group) -> u32 {
    if let Some(memory) = group.more.as_ref().and_then(|m| m.memory.as_ref()) {
        return memory.worth() + importance(group);
    }
    let mut most = 0;
    for episode in group.episodes.iter() {
        let come = if episode.peak > 0.0 { episode.peak } else { 0.0 };
        // The first step is no progress: every stranger has made it.
        let first = if spec.kind.is_count() { 1.0 } else { 0.0 };
        let way = (spec.threshold - first).max(1.0);
        let progress = ((come - first).max(0.0) / way * 8.0).min(8.0) as u32 + u32::from(come > 0.0);
        let span = episode.last.saturating_sub(episode.first);
        let persistent = u32::from(span >= spec.rule.timespan_ns / 8);
        let told = if episode.told().is_some() { 8 } else { 0 };
        most = most.max(progress + persistent + told);
    }
    most + importance(group)
}

/// Especially important objects count as half way.
fn importance(group: &Group) -> u32 {
    match group.importance {
        3 => HALF_WAY,
        2 => 1,
        _ => 0,
    }
}
