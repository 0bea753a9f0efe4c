//! Who listens to a rule, and what can be said of it before any finding comes.

use std::sync::Arc;

use ahash::AHashMap;
use event::RuleMeta;

use crate::episode::{Seen, party};
use crate::kind::{Judged, NO_NAME};
use crate::spec::{KEY_PARTS, Spec};

/// Rules whose listeners were asked for lately; a power of two.
const RECENT: usize = 64;
/// No party stands at this part of a key.
const NOBODY: u8 = u8::MAX;

/// A correlation that listens to a rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listener {
    pub spec: u32,
    /// Which of its rules it is: all as bits, and the first.
    pub slots: u32,
    pub slot: u32,
    pub judged: Judged,
    /// See `Kind::fixed`.
    pub fixed: Option<u64>,
    /// Parties, as bits, that say no more than the group's key does: they are no tags of an episode.
    pub known: u16,
    /// Place in `PARTIES` of each part of the key, if all of them are parties.
    parties: Option<[u8; KEY_PARTS]>,
}

impl Listener {
    fn new(at: u32, slots: u32, spec: &Spec) -> Self {
        let slot = slots.trailing_zeros();
        let first = |key: &rule::GroupKey| key.names_for(slot as usize).first().and_then(party);
        let mut parties = Some([NOBODY; KEY_PARTS]).filter(|_| spec.rule.group_by.len() <= KEY_PARTS);
        for (n, key) in spec.rule.group_by.iter().enumerate() {
            let party = first(key).and_then(|n| u8::try_from(n).ok());
            parties = parties.zip(party).map(|(mut parties, party)| {
                parties.iter_mut().skip(n).take(1).for_each(|p| *p = party);
                parties
            });
        }
        let same = |key: &&rule::GroupKey| parties.is_some() && first(key).is_some() && first(key) == party(&key.name.as_str().into());
        let known = spec.rule.group_by.iter().filter(same).filter_map(first).fold(0, |bits, n| bits | 1 << n);
        Self { spec: at, slots, slot, judged: spec.judged, fixed: spec.kind.fixed(slots), known, parties }
    }

    /// The key of the group a finding belongs to, where that is said by who is concerned.
    pub(crate) fn key(&self, seen: &Seen) -> Option<[u32; KEY_PARTS]> {
        let mut key = [NO_NAME; KEY_PARTS];
        for (part, party) in key.iter_mut().zip(self.parties?).filter(|(_, party)| *party != NOBODY) {
            *part = seen.only.get(usize::from(party)).copied().filter(|name| *name != NO_NAME)?;
        }
        Some(key)
    }
}

/// The listeners of one rule: a stretch of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Listening {
    from: u32,
    to: u32,
}

impl Listening {
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.from as usize..self.to as usize
    }
}

#[derive(Default)]
pub(crate) struct Listeners {
    all: Vec<Listener>,
    by_id: AHashMap<String, Listening>,
    /// By the address of the rule's data; holding it keeps the address from being another's.
    recent: Vec<Option<(Arc<RuleMeta>, Option<Listening>)>>,
}

impl Listeners {
    pub(crate) fn new(specs: &[Spec]) -> Self {
        let mut by_id: AHashMap<&str, Vec<(u32, u32)>> = AHashMap::new();
        let mut ids = Vec::new();
        for (spec, at) in specs.iter().zip(0..) {
            for (slot, reference) in spec.rule.rules.iter().enumerate().take(32) {
                let slots = by_id.entry(&reference.id).or_insert_with(|| {
                    ids.push(reference.id.as_str());
                    Vec::new()
                });
                match slots.iter_mut().find(|(spec, _)| *spec == at) {
                    Some((_, slots)) => *slots |= 1 << slot,
                    None => slots.push((at, 1 << slot)),
                }
            }
        }
        let mut listeners = Self { recent: vec![None; RECENT], ..Self::default() };
        for id in ids {
            let from = listeners.all.len() as u32;
            let own = by_id.get(id).into_iter().flatten();
            listeners.all.extend(own.filter_map(|(at, slots)| Some(Listener::new(*at, *slots, specs.get(*at as usize)?))));
            listeners.by_id.insert(id.to_owned(), Listening { from, to: listeners.all.len() as u32 });
        }
        listeners
    }

    pub(crate) fn find(&mut self, rule: &Arc<RuleMeta>) -> Option<Listening> {
        let place = self.recent.get_mut((Arc::as_ptr(rule) as usize >> 4) % RECENT)?;
        if let Some((known, listening)) = place
            && Arc::ptr_eq(known, rule)
        {
            return *listening;
        }
        let listening = self.by_id.get(&rule.id).copied();
        *place = Some((Arc::clone(rule), listening));
        listening
    }

    pub(crate) fn get(&self, at: usize) -> Option<Listener> {
        self.all.get(at).copied()
    }

    /// Those of one rule.
    pub(crate) fn of(&self, listening: Listening) -> &[Listener] {
        self.all.get(listening.range()).unwrap_or_default()
    }
}
