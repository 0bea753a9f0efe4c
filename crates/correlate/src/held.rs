//! The groups held: each at a place that does not move, found by rule and key.
//!
//! Groups lie in blocks, so that one is opened and forgotten without a word to the allocator and those opened together lie together. The
//! table beside them holds only a hash and a place: one look into memory finds a group, the group itself says whether it is the one.
//! Open addressing, at most three quarters full; a removal closes the gap, so there are no tombstones.
//!
//! When a group is looked at again, and whether that look could change anything, stands in a list of its own (`Wake`): most groups that
//! fall due have gone on meanwhile, and are put off without a word to the group, which lies far away.

use ahash::RandomState;

use crate::group::Group;
use crate::spec::KEY_PARTS;

/// Groups of a block.
const BLOCK: usize = 256;
const EMPTY: u32 = u32::MAX;

/// When the group at a place is looked at again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wake {
    /// Of the group, so that who asks for one that is gone is not answered by the next.
    pub serial: u64,
    /// Second of event time.
    pub due: i64,
    /// As long as the watermark has not passed this, a look finds nothing to close; `i64::MIN`: only a look can tell.
    pub least: i64,
}

const NOBODY: Wake = Wake { serial: u64::MAX, due: i64::MIN, least: i64::MIN };

pub(crate) struct Groups {
    blocks: Vec<Vec<Option<Group>>>,
    /// By place.
    wakes: Vec<Wake>,
    free: Vec<u32>,
    len: usize,
    /// Hash and place; a power of two of them.
    table: Vec<(u32, u32)>,
    /// Different in every process, odd.
    secrets: [u64; 2],
}

impl Default for Groups {
    fn default() -> Self {
        let random = RandomState::new();
        Self {
            blocks: Vec::new(),
            wakes: Vec::new(),
            free: Vec::new(),
            len: 0,
            table: Vec::new(),
            secrets: [1, 2].map(|n| random.hash_one(n) | 1),
        }
    }
}

impl Groups {
    pub(crate) fn len(&self) -> usize {
        self.len
    }
    pub(crate) fn get(&self, at: u32) -> Option<&Group> {
        self.blocks.get(at as usize / BLOCK)?.get(at as usize % BLOCK)?.as_ref()
    }
    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut Group> {
        self.blocks.get_mut(at as usize / BLOCK)?.get_mut(at as usize % BLOCK)?.as_mut()
    }
    pub(crate) fn wake(&self, at: u32) -> Wake {
        self.wakes.get(at as usize).copied().unwrap_or(NOBODY)
    }
    pub(crate) fn wake_mut(&mut self, at: u32) -> Option<&mut Wake> {
        self.wakes.get_mut(at as usize)
    }
    /// Every group and its place, in the order of places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Group)> {
        let all = self.blocks.iter().flatten().zip(0u32..);
        all.filter_map(|(group, at)| Some((at, group.as_ref()?)))
    }

    #[cfg(test)]
    pub(crate) fn find(&self, spec: u32, key: &[u32; KEY_PARTS]) -> Option<u32> {
        self.find_hashed(self.hash(spec, key), spec, key)
    }

    /// Reads the place in the table where a hash would lie, for the memory to fetch it.
    pub(crate) fn peek(&self, hash: u32) -> u32 {
        self.table.get(hash as usize & self.table.len().wrapping_sub(1)).map_or(0, |p| p.0)
    }

    /// Reads a little of each group and of what it points to, for the memory to fetch it: first of all, then of all.
    pub(crate) fn touch(&self, places: impl Iterator<Item = u32> + Clone) {
        let held = || places.clone().filter_map(|at| self.get(at));
        let near = held().fold(0i64, |sum, g| {
            let episode = g.episodes.first().map_or(0, |e| e.last ^ i64::from(e.tags.as_slice().last().copied().unwrap_or(0)));
            sum ^ g.arrival ^ episode
        });
        let far = held().fold(0i64, |sum, g| {
            let oldest = g.episodes.first().and_then(|e| e.oldest().last()).map_or(0, |o| o.0);
            sum ^ g.ring.newest() ^ g.ring.entries.first().map_or(0, |e| e.time) ^ oldest
        });
        std::hint::black_box(near ^ far);
    }

    /// The same for groups that are about to go, with their places in the table.
    pub(crate) fn touch_leaving(&self, places: impl Iterator<Item = u32> + Clone) {
        self.touch(places.clone());
        let table = places.filter_map(|at| self.get(at)).fold(0, |sum, g| sum ^ self.peek(self.hash(g.spec, &g.key)));
        std::hint::black_box(table);
    }

    pub(crate) fn find_hashed(&self, hash: u32, spec: u32, key: &[u32; KEY_PARTS]) -> Option<u32> {
        let mask = self.table.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        loop {
            let (known, at) = *self.table.get(slot)?;
            if at == EMPTY {
                return None;
            }
            if known == hash && self.get(at).is_some_and(|g| g.spec == spec && g.key == *key) {
                return Some(at);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Takes a group in whose key is not held yet, to be looked at in the second `due`.
    pub(crate) fn insert(&mut self, hash: u32, group: Group, due: i64) -> u32 {
        let wake = Wake { serial: group.serial, due, least: i64::MIN };
        if (self.len + 1) * 4 > self.table.len() * 3 {
            self.grow();
        }
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                let at = self.blocks.last().map_or(0, Vec::len) + self.blocks.len().saturating_sub(1) * BLOCK;
                if at.is_multiple_of(BLOCK) {
                    self.blocks.push(Vec::with_capacity(BLOCK));
                }
                if let Some(block) = self.blocks.last_mut() {
                    block.push(None);
                }
                at as u32
            }
        };
        if let Some(place) = self.blocks.get_mut(at as usize / BLOCK).and_then(|b| b.get_mut(at as usize % BLOCK)) {
            *place = Some(group);
        }
        if self.wakes.len() <= at as usize {
            self.wakes.resize(at as usize + 1, NOBODY);
        }
        if let Some(place) = self.wakes.get_mut(at as usize) {
            *place = wake;
        }
        self.len += 1;
        self.enter(hash, at);
        at
    }

    pub(crate) fn remove(&mut self, at: u32) -> Option<Group> {
        let group = self.blocks.get_mut(at as usize / BLOCK)?.get_mut(at as usize % BLOCK)?.take()?;
        self.leave(self.hash(group.spec, &group.key), at);
        if let Some(wake) = self.wakes.get_mut(at as usize) {
            *wake = NOBODY;
        }
        self.free.push(at);
        self.len -= 1;
        Some(group)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Two multiplications with secrets: the numbers of names are ours, who sends events chooses none of them.
    pub(crate) fn hash(&self, spec: u32, key: &[u32; KEY_PARTS]) -> u32 {
        let [a, b, c, d] = key.map(u64::from);
        let fold = |a: u64, b: u64| {
            let wide = u128::from(a) * u128::from(b);
            wide as u64 ^ (wide >> 64) as u64
        };
        let [first, second] = self.secrets;
        let half = fold(a << 32 ^ b ^ first, c << 32 ^ d ^ second);
        (fold(half ^ u64::from(spec), first ^ second.rotate_left(32)) >> 16) as u32
    }

    fn enter(&mut self, hash: u32, at: u32) {
        let mask = self.table.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        while let Some(place) = self.table.get_mut(slot) {
            if place.1 == EMPTY {
                *place = (hash, at);
                return;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn leave(&mut self, hash: u32, at: u32) {
        let mask = self.table.len().wrapping_sub(1);
        let mut gap = hash as usize & mask;
        while self.table.get(gap).is_some_and(|p| p.1 != EMPTY && p.1 != at) {
            gap = (gap + 1) & mask;
        }
        if self.table.get(gap).is_none_or(|p| p.1 == EMPTY) {
            return;
        }
        let mut next = gap;
        loop {
            next = (next + 1) & mask;
            let Some((known, other)) = self.table.get(next).copied().filter(|p| p.1 != EMPTY) else { break };
            // Those behind the gap that would be found before it move into it.
            let home = known as usize & mask;
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(gap) & mask) {
                if let Some(place) = self.table.get_mut(gap) {
                    *place = (known, other);
                }
                gap = next;
            }
        }
        if let Some(place) = self.table.get_mut(gap) {
            *place = (0, EMPTY);
        }
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(64);
        let old = std::mem::replace(&mut self.table, vec![(0, EMPTY); size]);
        for (hash, at) in old.into_iter().filter(|p| p.1 != EMPTY) {
            self.enter(hash, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    proptest::proptest! {
        #[test]
        fn a_group_is_found_where_a_map_would_have_it(steps in proptest::collection::vec((0u8..3, 0u32..90, 0u32..3), 0..900)) {
            let (mut groups, mut map) = (Groups::default(), BTreeMap::new());
            for (n, (what, part, spec)) in steps.into_iter().enumerate() {
                let key = [part, part / 7, 0, 0];
                proptest::prop_assert_eq!(groups.find(spec, &key), map.get(&(spec, key)).copied());
                match map.get(&(spec, key)).copied() {
                    Some(at) if what == 0 => {
                        let gone = groups.remove(at).expect("it is held");
                        proptest::prop_assert_eq!((gone.spec, gone.key), (spec, key));
                        map.remove(&(spec, key));
                    }
                    None if what > 0 => {
                        let hash = groups.hash(spec, &key);
                        map.insert((spec, key), groups.insert(hash, Group::empty(spec, key, n as u64), n as i64));
                    }
                    _ => {}
                }
                proptest::prop_assert_eq!(groups.len(), map.len());
            }
            for ((spec, key), at) in &map {
                proptest::prop_assert_eq!(groups.find(*spec, key), Some(*at));
            }
            proptest::prop_assert_eq!(groups.iter().count(), map.len());
        }
    }
}
