//! Windows as bytes and back, so that a restart loses no evidence. Groups of a rule whose meaning has changed are left out.
//!
//! Form: `VWIN` and a version; the clock; then per rule its id, a fingerprint of its meaning and its groups; a checksum.

use event::Timestamp;

use crate::bytes::{Reader, Writer};
use crate::clock::Clock;
use crate::episode::Episode;
use crate::kind::Step;
use crate::ring::{Entry, Ring};
use crate::windows::{Group, Windows};

const MAGIC: &[u8; 6] = b"VWIN\x01\x00";

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
        let due: ahash::AHashMap<u64, i64> = self.due.keys().map(|(time, serial)| (*serial, *time)).collect();
        w.len(self.specs.len());
        for (n, spec) in self.specs.iter().enumerate() {
            w.text(&spec.rule.meta.id);
            w.u64(spec.fingerprint());
            let mut groups: Vec<&Group> = self.groups.iter().flatten().filter(|g| g.spec == n).collect();
            groups.sort_unstable_by_key(|g| g.serial);
            w.len(groups.len());
            for g in groups {
                w.u64(g.serial);
                w.i64(due.get(&g.serial).copied().unwrap_or(i64::MIN));
                w.i64(g.arrival);
                w.u64(g.crowded as u64);
                w.text(&g.key);
                w.len(g.values.len());
                g.values.iter().for_each(|v| w.value(v));
                w.len(g.ring.len());
                for e in &g.ring.entries {
                    w.i64(e.time);
                    w.id(e.id);
                    w.u32(e.slots);
                    w.u64(e.value);
                    w.i64(e.previous);
                }
                w.len(g.folded.len());
                for s in &g.folded {
                    w.i64(s.start);
                    w.i64(s.last);
                    w.id(s.id);
                }
                w.len(g.episodes.len());
                g.episodes.iter().for_each(|e| e.save(&mut w));
            }
        }
        w.finish()
    }

    /// Takes a saved state in place of the present one. Returns how many groups were left out because their rule is gone or
    /// means something else now. On an error nothing is changed.
    pub fn load(&mut self, bytes: &[u8], _now: Timestamp) -> Result<usize, StateError> {
        let mut r = Reader::checked(bytes)?;
        r.tag(MAGIC)?;
        let clock = Clock::load(&mut r)?;
        let serial = r.u64()?;
        let (mut held, mut left_out) = (Vec::new(), 0);
        for _ in 0..r.len()? {
            let (id, fingerprint) = (r.text()?, r.u64()?);
            let spec = self.specs.iter().position(|s| *s.rule.meta.id == *id && s.fingerprint() == fingerprint);
            for _ in 0..r.len()? {
                let (due, group) = read_group(&mut r, spec.unwrap_or(0))?;
                if spec.is_some() { held.push((due, group)) } else { left_out += 1 }
            }
        }
        self.clear();
        self.clock = clock;
        self.serial = serial;
        for (due, group) in held {
            self.entries += group.ring.len();
            let key = group.key.clone();
            self.place(group, due, key);
        }
        Ok(left_out)
    }
}

fn read_group(r: &mut Reader<'_>, spec: usize) -> Result<(i64, Group), StateError> {
    let (serial, due, arrival, crowded, key) = (r.u64()?, r.i64()?, r.i64()?, r.u64()?, r.text()?);
    let mut group = Group {
        spec,
        serial,
        key,
        values: Vec::new(),
        ring: Ring::default(),
        folded: Vec::new(),
        episodes: Vec::new(),
        arrival,
        crowded: usize::try_from(crowded).unwrap_or(0),
    };
    for _ in 0..r.len()? {
        group.values.push(r.value()?);
    }
    for _ in 0..r.len()? {
        let entry = Entry { time: r.i64()?, id: r.id()?, slots: r.u32()?, value: r.u64()?, previous: r.i64()? };
        group.ring.entries.push_back(entry);
    }
    for _ in 0..r.len()? {
        group.folded.push(Step { start: r.i64()?, last: r.i64()?, id: r.id()? });
    }
    for _ in 0..r.len()? {
        group.episodes.push(Episode::load(r)?);
    }
    Ok((due, group))
}
