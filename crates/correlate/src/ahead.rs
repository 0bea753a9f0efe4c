//! Looking ahead: what the findings that come next will need is fetched from memory for all of them at once.
//!
//! Groups lie all over memory, which is slow to answer and answers many questions in the time of one. So who is concerned is gathered for
//! several findings first; then all their places in the table are read, then all groups, then what these point to. Nothing is decided
//! here: who was gathered and does not come is forgotten, who comes ungathered is gathered then, and the same is told either way.

use std::collections::VecDeque;
use std::sync::Arc;

use event::{Event, Finding, Name};

use crate::episode::{PARTIES, Seen};
use crate::kind::NO_NAME;
use crate::spec::KEY_PARTS;
use crate::windows::Windows;

/// Findings looked at in advance, and groups they may go to.
pub(crate) const AHEAD_MAX: usize = 32;
const ASKED_MAX: usize = 8 * AHEAD_MAX;

#[derive(Default)]
pub(crate) struct Ahead {
    /// Holding the event keeps its address from being another's.
    gathered: VecDeque<(Arc<Event>, Seen)>,
    spare: Vec<Seen>,
    /// Hash, rule, key.
    asked: Vec<(u32, u32, [u32; KEY_PARTS])>,
    places: Vec<u32>,
}

impl Ahead {
    pub(crate) fn is_empty(&self) -> bool {
        self.gathered.is_empty()
    }
    pub(crate) fn clear(&mut self) {
        self.spare.extend(self.gathered.drain(..).map(|(_, seen)| seen));
    }

    /// Gives back what was gathered of a finding.
    pub(crate) fn recall(&mut self, finding: &Finding, seen: &mut Seen) -> bool {
        let Some(event) = finding.event.as_ref().filter(|_| plain(finding)) else { return false };
        let Some((_, gathered)) = self.gathered.front_mut().filter(|(known, _)| Arc::ptr_eq(known, event)) else { return false };
        std::mem::swap(seen, gathered);
        self.spare.extend(self.gathered.pop_front().map(|(_, used)| used));
        true
    }
}

/// Whether all that is read of it is its event.
fn plain(finding: &Finding) -> bool {
    finding.span.is_none() && finding.facts.is_empty()
}

impl Windows {
    /// Says which findings will be given to `correlate` next, in this order. Changes nothing but how long that takes; of many the first
    /// `AHEAD_MAX` are looked at.
    pub fn foresee<'f>(&mut self, coming: impl Iterator<Item = &'f Finding> + Clone) {
        self.ahead.clear();
        self.ahead.asked.clear();
        let Ahead { places, .. } = &mut self.ahead;
        places.clear();
        let bodies = coming.clone().take(AHEAD_MAX).filter_map(|f| f.event.as_ref()).flat_map(|e| e.body.iter());
        let party = |name: &Name| matches!(name, Name::Known(field) if PARTIES.contains(field));
        places.extend(bodies.filter(|(name, _)| party(name)).map(|(_, value)| self.names.place(value)));
        self.names.touch(places);
        for finding in coming.take(AHEAD_MAX) {
            let Some(event) = finding.event.as_ref().filter(|_| plain(finding)) else { continue };
            let Some(listening) = self.listeners.get(&finding.rule.id) else { continue };
            let mut seen = self.ahead.spare.pop().unwrap_or_default();
            seen.gather(finding, &mut self.names);
            for (at, slots) in listening.iter() {
                let Some(spec) = self.specs.get(*at as usize) else { continue };
                let slot = slots.trailing_zeros() as usize;
                let mut key = [NO_NAME; KEY_PARTS];
                let known = spec.rule.group_by.iter().zip(&mut key).all(|(part, key)| {
                    let name = part.names_for(slot).first().and_then(|field| seen.only(field));
                    *key = name.unwrap_or(NO_NAME);
                    name.is_some()
                });
                if known && self.ahead.asked.len() < ASKED_MAX {
                    self.ahead.asked.push((self.groups.hash(*at, &key), *at, key));
                }
            }
            self.ahead.gathered.push_back((Arc::clone(event), seen));
        }
        let Ahead { asked, places, .. } = &mut self.ahead;
        std::hint::black_box(asked.iter().fold(0, |sum, (hash, ..)| sum ^ self.groups.peek(*hash)));
        places.clear();
        places.extend(asked.iter().filter_map(|(hash, spec, key)| self.groups.find_hashed(*hash, *spec, key)));
        self.groups.touch(places.iter().copied());
    }
}
