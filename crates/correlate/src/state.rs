//! Windows as bytes and back, so that a restart loses no evidence and new rules take over what is unchanged.
//!
//! Form: `VWIN` and a version; the clock; names and lanes by number; then per rule its id, a fingerprint of its meaning and its groups;
//! a checksum. A rule's state is found again by id and meaning, else by meaning alone: a new title or level loses nothing, a new
//! threshold does (it would be another rule's evidence).

use std::collections::VecDeque;

use event::Timestamp;

use crate::bytes::{Reader, Writer};
use crate::clock::Clock;
use crate::episode::{Episode, Episodes};
use crate::group::{Gate, Group, More};
use crate::kind::{Hit, Pending, Step, load_evidence, load_tags, save_evidence, save_tags};
use crate::names::{Lanes, Names};
use crate::ring::{Entry, Ring};
use crate::spare::Spare;
use crate::spec::Spec;
use crate::windows::Windows;

const MAGIC: &[u8; 6] = b"VWIN\x02\x00";

/// Bytes that are no saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read the saved windows: {0}")]
pub struct StateError(pub &'static str);

impl Windows {
    /// Everything needed to go on later as if nothing had happened, given the same rules.
    pub fn save(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.raw(MAGIC);
        self.clock.save(&mut w);
        w.u64(self.serial);
        self.names.save(&mut w);
        self.lanes.save(&mut w);
        let mut by_spec: Vec<Vec<(i64, &Group)>> = vec![Vec::new(); self.specs.len()];
        for (at, group) in self.groups.iter() {
            if let Some(list) = by_spec.get_mut(group.spec as usize) {
                list.push((self.groups.wake(at).due, group));
            }
        }
        w.len(self.specs.len());
        for (spec, mut groups) in self.specs.iter().zip(by_spec) {
            w.text(spec.id());
            w.u64(spec.fingerprint());
            groups.sort_unstable_by_key(|(_, g)| g.serial);
            let mut all = Writer::default();
            all.len(groups.len());
            groups.iter().for_each(|(due, g)| write_group(&mut all, *due, g));
            w.part(all);
        }
        w.finish()
    }

    /// Takes a saved state in place of the present one. Returns how many groups were left out because their rule is gone or
    /// means something else now. `now` is the time of the restart: what was not heard while nobody listened is nobody's
    /// silence. On an error nothing is changed.
    pub fn load(&mut self, bytes: &[u8], now: Timestamp) -> Result<usize, StateError> {
        let mut r = Reader::checked(bytes)?;
        r.tag(MAGIC)?;
        let clock = Clock::load(&mut r)?;
        let serial = r.u64()?;
        let names = Names::load(&mut r)?;
        let lanes = Lanes::load(&mut r)?;
        let (mut held, mut left_out) = (Vec::new(), 0);
        let mut taken = vec![false; self.specs.len()];
        let mut parts = Vec::new();
        for _ in 0..r.len()? {
            parts.push((r.text()?, r.u64()?, r.part()?));
        }
        // First those of the same id, so that one of two rules with the same meaning cannot take the other's state.
        let mut specs: Vec<Option<usize>> = vec![None; parts.len()];
        for same_id in [true, false] {
            for ((id, fingerprint, _), found) in parts.iter().zip(&mut specs).filter(|(_, found)| found.is_none()) {
                let fits = |(n, s): &(usize, &Spec)| {
                    taken.get(*n) == Some(&false) && s.fingerprint() == *fingerprint && (!same_id || s.id() == &**id)
                };
                *found = self.specs.iter().enumerate().find(fits).map(|(n, _)| n);
                if let Some(taken) = found.and_then(|n| taken.get_mut(n)) {
                    *taken = true;
                }
            }
        }
        for ((_, _, part), spec_at) in parts.into_iter().zip(specs) {
            let mut r = part;
            let count = r.len()?;
            let Some((spec_at, spec)) = spec_at.and_then(|n| Some((n, self.specs.get(n)?))) else {
                left_out += count;
                continue;
            };
            for _ in 0..count {
                held.push(read_group(&mut r, spec_at, spec)?);
            }
        }
        held.sort_by_key(|(_, g)| g.serial);
        self.clear();
        (self.clock, self.names, self.lanes, self.serial) = (clock, names, lanes, serial);
        for (due, mut group) in held {
            self.entries += group.ring.len();
            if let Some(more) = &mut group.more {
                self.entries += more.pending.len();
                if let Some(memory) = &mut more.memory {
                    memory.resumed(now.ns());
                    more.bytes = memory.bytes();
                    self.weighed += more.bytes;
                }
            }
            self.place(self.groups.hash(group.spec, &group.key), group, due);
        }
        Ok(left_out)
    }

    /// Takes over the state of windows under other rules, as far as the rules mean the same, with the numbers counted so far.
    pub fn inherit(&mut self, old: &Self) -> Result<usize, StateError> {
        let left_out = self.load(&old.save(), Timestamp::MIN)?;
        self.counters = old.counters;
        Ok(left_out)
    }
}

fn write_entry(w: &mut Writer, e: &Entry) {
    w.i64(e.time);
    w.u64(e.seq);
    w.u64(e.value);
    w.u32(e.lane);
    w.u32(e.mark);
}

fn read_entry(r: &mut Reader<'_>) -> Result<Entry, StateError> {
    Ok(Entry { time: r.i64()?, seq: r.u64()?, value: r.u64()?, lane: r.u32()?, mark: r.u32()? })
}

fn write_group(w: &mut Writer, due: i64, g: &Group) {
    w.u32(g.owner);
    w.u64(g.serial);
    g.key.iter().for_each(|n| w.u32(*n));
    w.i64(due);
    w.i64(g.arrival);
    w.u8(g.importance);
    w.u32(g.crowded);
    w.len(g.ring.len());
    g.ring.entries.iter().for_each(|e| write_entry(w, e));
    w.len(g.episodes.len());
    g.episodes.iter().for_each(|e| e.save(w));
    w.u8(u8::from(g.more.is_some()));
    let Some(more) = &g.more else { return };
    w.len(more.folded.len());
    for step in &more.folded {
        w.i64(step.start);
        w.i64(step.last);
        w.u32(step.lane);
        w.u64(step.seq);
    }
    w.u8(u8::from(more.settled.is_some()));
    w.i64(more.settled.unwrap_or(0));
    w.len(more.pending.len());
    for p in &more.pending {
        write_entry(w, &p.entry);
        save_tags(w, &p.tags);
        w.u32(p.label);
    }
    w.u8(u8::from(more.gate.since.is_some()));
    w.i64(more.gate.since.unwrap_or(0));
    w.u64(more.gate.all);
    w.u64(more.gate.told);
    w.u8(u8::from(more.gate.held.is_some()));
    if let Some(hit) = &more.gate.held {
        w.i64(hit.from);
        w.i64(hit.time);
        w.u64(hit.measured.to_bits());
        save_evidence(w, &hit.evidence);
        w.u64(hit.count);
        save_tags(w, &hit.tags);
        save_tags(w, &hit.labels);
        w.len(hit.notes.len());
        hit.notes.iter().for_each(|n| w.u64(*n));
    }
    w.u8(u8::from(more.memory.is_some()));
    if let Some(memory) = &more.memory {
        memory.save(w);
    }
}

/// With the second in which it is due.
fn read_group(r: &mut Reader<'_>, spec_at: usize, spec: &Spec) -> Result<(i64, Group), StateError> {
    let (owner, serial) = (r.u32()?, r.u64()?);
    let key = [r.u32()?, r.u32()?, r.u32()?, r.u32()?];
    let (due, arrival, importance, crowded) = (r.i64()?, r.i64()?, r.u8()?, r.u32()?);
    let mut ring = Ring::default();
    for _ in 0..r.len()? {
        let at = ring.len();
        ring.entries.insert(at, read_entry(r)?, &mut Spare::default());
    }
    let mut episodes = Episodes::default();
    for _ in 0..r.len()? {
        let at = episodes.len();
        episodes.insert(at, Episode::load(r)?);
    }
    let more = if r.u8()? == 0 { None } else { Some(Box::new(read_more(r, spec)?)) };
    Ok((due, Group { spec: spec_at as u32, owner, serial, key, arrival, ring, episodes, importance, crowded, more }))
}

fn read_more(r: &mut Reader<'_>, spec: &Spec) -> Result<More, StateError> {
    let mut more = More::default();
    for _ in 0..r.len()? {
        more.folded.push(Step { start: r.i64()?, last: r.i64()?, lane: r.u32()?, seq: r.u64()? });
    }
    let settled = r.u8()? != 0;
    more.settled = Some(r.i64()?).filter(|_| settled);
    let mut pending = VecDeque::new();
    for _ in 0..r.len()? {
        pending.push_back(Pending { entry: read_entry(r)?, tags: load_tags(r)?.into(), label: r.u32()? });
    }
    more.pending = pending;
    let since = r.u8()? != 0;
    more.gate = Gate { since: Some(r.i64()?).filter(|_| since), all: r.u64()?, told: r.u64()?, held: None };
    if r.u8()? != 0 {
        let (from, time, measured) = (r.i64()?, r.i64()?, f64::from_bits(r.u64()?));
        let (evidence, count, tags, labels) = (load_evidence(r)?, r.u64()?, load_tags(r)?.into(), load_tags(r)?);
        let notes = (0..r.len()?).map(|_| r.u64()).collect::<Result<_, _>>()?;
        more.gate.held = Some(Hit { from, time, measured, evidence, count, tags, labels, notes });
    }
    if r.u8()? != 0 {
        let mut memory = spec.kind.memory(&spec.rule).ok_or(StateError("a memory where there is none"))?;
        memory.load(r)?;
        more.memory = Some(memory);
    }
    Ok(more)
}
