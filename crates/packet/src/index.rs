//! From a hash to the slot of what it is the hash of: open addressing over eight bytes an entry. Finds flows by their ends, and facts by whom they
//! are about.
//!
//! An entry is the upper part of a keyed hash and a slot number; whether the slot is the right one is asked of the slot itself, which is needed
//! anyway. So a look-up costs one line of memory here, however many flows there are. The hash has a random key: who chooses addresses
//! cannot choose collisions. Load stays at or under three quarters; a removal closes its hole, so that a flood leaves no graves behind.

/// A slot number under a hash; all ones: free.
type Entry = u64;
const FREE: Entry = u64::MAX;
const LEAST: usize = 1024;

/// Slot numbers under hashes.
pub struct Index {
    entries: Vec<Entry>,
    len: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    pub const fn new() -> Self {
        Self { entries: Vec::new(), len: 0 }
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    /// The first slot under this hash that `is` says yes to.
    #[inline]
    pub fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.entries.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        loop {
            let entry = *self.entries.get(at)?;
            if entry == FREE {
                return None;
            }
            if (entry >> 32) as u32 == hash && is(entry as u32) {
                return Some(entry as u32);
            }
            at = (at + 1) & mask;
        }
    }

    /// The slot at the very place of this hash, if it may be the right one: for a look ahead, which must be cheap and may be wrong.
    #[inline]
    pub fn glance(&self, hash: u32) -> Option<u32> {
        let entry = *self.entries.get(hash as usize & self.entries.len().wrapping_sub(1))?;
        ((entry >> 32) as u32 == hash).then_some(entry as u32)
    }

    /// Puts a slot under a hash; `find` gives slots of one hash in the order in which they were put in, unless one was taken out.
    pub fn insert(&mut self, hash: u32, slot: u32) {
        if (self.len + 1) * 4 > self.entries.len() * 3 {
            self.grow();
        }
        self.place(u64::from(hash) << 32 | u64::from(slot));
        self.len += 1;
    }

    /// Takes out the entry of this slot.
    pub fn remove(&mut self, hash: u32, slot: u32) {
        let mask = self.entries.len().wrapping_sub(1);
        let gone = u64::from(hash) << 32 | u64::from(slot);
        let mut at = hash as usize & mask;
        loop {
            match self.entries.get(at) {
                Some(entry) if *entry == gone => break,
                Some(entry) if *entry != FREE => at = (at + 1) & mask,
                _ => return,
            }
        }
        self.len -= 1;
        // What comes behind moves up as long as it does not pass its own place.
        let mut hole = at;
        loop {
            at = (at + 1) & mask;
            let Some(entry) = self.entries.get(at).copied().filter(|e| *e != FREE) else { break };
            let home = (entry >> 32) as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                if let Some(slot) = self.entries.get_mut(hole) {
                    *slot = entry;
                }
                hole = at;
            }
        }
        if let Some(slot) = self.entries.get_mut(hole) {
            *slot = FREE;
        }
    }

    fn place(&mut self, entry: Entry) {
        let mask = self.entries.len().wrapping_sub(1);
        let mut at = (entry >> 32) as usize & mask;
        while let Some(slot) = self.entries.get_mut(at) {
            if *slot == FREE {
                *slot = entry;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let larger = vec![FREE; (self.entries.len() * 2).max(LEAST)];
        for entry in std::mem::replace(&mut self.entries, larger) {
            if entry != FREE {
                self.place(entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list, with hashes that collide and run over the end.
        #[test]
        fn it_holds_what_was_put_in_and_not_taken_out(
            steps in prop::collection::vec((any::<bool>(), prop_oneof![0u32..4, 1020u32..1024, any::<u32>()], 0u32..64), 0..400)
        ) {
            let mut index = Index::new();
            let mut model: Vec<(u32, u32)> = Vec::new();
            for (add, hash, slot) in steps {
                if add && !model.contains(&(hash, slot)) {
                    index.insert(hash, slot);
                    model.push((hash, slot));
                } else {
                    index.remove(hash, slot);
                    model.retain(|m| *m != (hash, slot));
                }
                prop_assert_eq!(index.len(), model.len());
                for (hash, slot) in &model {
                    prop_assert_eq!(index.find(*hash, |s| s == *slot), Some(*slot));
                }
                prop_assert_eq!(index.find(hash, |s| s == 99), None);
            }
        }
    }

    #[test]
    fn a_million_come_and_go_in_the_room_of_the_most_at_once() {
        let mut index = Index::new();
        for n in 0..1_000_000u32 {
            index.insert(n.wrapping_mul(0x9e37_79b9), n);
            if n >= 500 {
                index.remove((n - 500).wrapping_mul(0x9e37_79b9), n - 500);
            }
        }
        assert_eq!((index.len(), index.entries.len()), (500, LEAST));
    }
}
