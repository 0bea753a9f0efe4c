//! Looking ahead: what the findings that come next will need is fetched from memory for all of them at once.
//!
//! Groups lie all over memory, which is slow to answer and answers many questions in the time of one. So who is concerned is gathered for
//! several findings first; then all their places in the table are read, then all groups, then what these point to. Nothing is decided
//! here: who was gathered and does not come is forgotten, who comes ungathered is gathered then, and the same is told either way.

use std::sync::Arc;

use event::{Event, Finding};

use crate::episode::Seen;
use crate::listen::Listening;
use crate::spec::KEY_PARTS;
use crate::windows::Windows;

/// Findings looked at in advance, and groups they may go to.
pub(crate) const AHEAD_MAX: usize = 32;
const ASKED_MAX: usize = 8 * AHEAD_MAX;
const NOWHERE: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct Ahead {
    gathered: Vec<Gathered>,
    /// How many of them were gathered this time, and how many have come.
    count: usize,
    next: usize,
    asked: Vec<Asked>,
}

/// What was gathered of a finding.
#[derive(Default)]
struct Gathered {
    /// Holding the event keeps its address from being another's.
    event: Option<Arc<Event>>,
    seen: Seen,
    listening: Listening,
    /// Where its groups begin in `asked`, one for each rule that listens.
    asked: usize,
}

/// A group that was looked up; `key` is `None` where it takes more than a look at who is concerned.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub key: Option<[u32; KEY_PARTS]>,
    pub hash: u32,
    /// Where it was, if it was there.
    pub at: u32,
}

impl Ahead {
    pub(crate) fn is_empty(&self) -> bool {
        self.next >= self.count
    }
    pub(crate) fn clear(&mut self) {
        self.gathered.iter_mut().take(self.count).for_each(|g| g.event = None);
        (self.count, self.next) = (0, 0);
        self.asked.clear();
    }

    /// Gives back what was gathered of a finding that these listen to; answers where its groups begin in `asked`.
    pub(crate) fn recall(&mut self, finding: &Finding, listening: Listening, seen: &mut Seen) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let event = finding.event.as_ref().filter(|_| plain(finding))?;
        let gathered = self.gathered.get_mut(self.next)?;
        // One event may be found by several rules.
        if gathered.listening != listening || !gathered.event.as_ref().is_some_and(|known| Arc::ptr_eq(known, event)) {
            return None;
        }
        gathered.event = None;
        self.next += 1;
        std::mem::swap(seen, &mut gathered.seen);
        Some(gathered.asked)
    }

    pub(crate) fn asked(&self, at: usize) -> Option<Asked> {
        self.asked.get(at).copied()
    }
}

/// Whether all that is read of it is its event.
fn plain(finding: &Finding) -> bool {
    finding.span.is_none() && finding.facts.is_empty()
}

impl Windows {
    /// Says which findings will be given to `correlate` next, in this order. Changes nothing but how long that takes; of many the first
    /// `AHEAD_MAX` are looked at.
    pub fn foresee<'f>(&mut self, coming: impl Iterator<Item = &'f Finding>) {
        self.ahead.clear();
        let mut heard: [Option<(&Finding, &Arc<Event>, Listening)>; AHEAD_MAX] = [None; AHEAD_MAX];
        let mut sought = Vec::with_capacity(4 * AHEAD_MAX);
        for (finding, place) in coming.take(AHEAD_MAX).zip(&mut heard) {
            let Some(event) = finding.event.as_ref().filter(|_| plain(finding)) else { continue };
            let Some(listening) = self.listeners.find(&finding.rule) else { continue };
            *place = Some((finding, event, listening));
            crate::episode::seek(event, &self.names, &mut sought);
        }
        self.names.touch(sought.iter().flatten());
        let mut sought = sought.iter();
        for (finding, event, listening) in heard.into_iter().flatten() {
            if self.ahead.gathered.len() <= self.ahead.count {
                self.ahead.gathered.push(Gathered::default());
            }
            let Ahead { gathered, count, asked, .. } = &mut self.ahead;
            let Some(one) = gathered.get_mut(*count) else { break };
            *count += 1;
            one.event = Some(Arc::clone(event));
            one.listening = listening;
            one.asked = asked.len();
            one.seen.gather(finding, &mut self.names, &mut sought);
            for listener in self.listeners.of(listening) {
                let key = listener.key(&one.seen);
                let hash = key.map_or(0, |key| self.groups.hash(listener.spec, &key));
                asked.push(Asked { key, hash, at: listener.spec });
            }
            if asked.len() >= ASKED_MAX {
                break;
            }
        }
        let asked = &mut self.ahead.asked;
        std::hint::black_box(asked.iter().fold(0, |sum, a| sum ^ self.groups.peek(a.hash)));
        for one in asked.iter_mut() {
            let spec = std::mem::replace(&mut one.at, NOWHERE);
            if let Some(key) = &one.key {
                one.at = self.groups.find_hashed(one.hash, spec, key).unwrap_or(NOWHERE);
            }
        }
        self.groups.touch(self.ahead.asked.iter().map(|a| a.at).filter(|at| *at != NOWHERE));
    }
}
