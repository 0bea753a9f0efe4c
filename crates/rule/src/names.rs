//! Words → numbers: field names, log source words. Built once, asked for every member of every event.
//!
//! The hash is fast and unkeyed: the words of the table come from the rules, so who writes events cannot make its chains longer.

const K: u64 = 0x9e37_79b9_7f4a_7c15;

/// A hash of bytes, eight at a time.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut h = bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        h = (h ^ u64::from_le_bytes(*word)).wrapping_mul(K);
        h ^= h >> 29;
    }
    let mut tail = 0u64;
    for byte in rest {
        tail = tail << 8 | u64::from(*byte);
    }
    h = (h ^ tail).wrapping_mul(K);
    h ^ h >> 32
}

/// A set of words, each with a number.
#[derive(Debug, Default, Clone)]
pub(crate) struct NameTable {
    /// Place in `entries` plus one, by hash; a power of two, at most half full.
    slots: Vec<u32>,
    entries: Vec<(u64, u32, Box<str>)>,
}

impl NameTable {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a word unless it is there; the number it has.
    pub fn insert(&mut self, word: &str, number: u32) -> u32 {
        if let Some(known) = self.find(word) {
            return known;
        }
        self.entries.push((hash(word.as_bytes()), number, word.into()));
        if self.entries.len() * 2 > self.slots.len() {
            self.slots = vec![0; (self.entries.len() * 4).next_power_of_two()];
            for at in 0..self.entries.len() {
                self.place(at);
            }
        } else {
            self.place(self.entries.len() - 1);
        }
        number
    }

    fn place(&mut self, at: usize) {
        let mask = self.slots.len().wrapping_sub(1);
        let Some((hash, ..)) = self.entries.get(at) else { return };
        let mut slot = *hash as usize & mask;
        while self.slots.get(slot).is_some_and(|s| *s != 0) {
            slot = (slot + 1) & mask;
        }
        if let Some(s) = self.slots.get_mut(slot) {
            *s = u32::try_from(at + 1).unwrap_or(u32::MAX);
        }
    }

    pub fn find(&self, word: &str) -> Option<u32> {
        self.find_hashed(word, hash(word.as_bytes()))
    }

    /// The same where the hash is known.
    pub fn find_hashed(&self, word: &str, hash: u64) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        loop {
            let at = *self.slots.get(slot)?;
            if at == 0 {
                return None;
            }
            let (known, number, text) = self.entries.get(at as usize - 1)?;
            if *known == hash && **text == *word {
                return Some(*number);
            }
            slot = (slot + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_and_strangers_are_not() {
        let mut table = NameTable::default();
        assert_eq!(table.find("a"), None);
        for n in 0..1_000u32 {
            assert_eq!(table.insert(&format!("field.{n}"), n), n);
        }
        assert_eq!(table.insert("field.7", 5_000), 7);
        assert!((0..1_000).all(|n| table.find(&format!("field.{n}")) == Some(n)));
        assert_eq!((table.find("field.1000"), table.find(""), table.len()), (None, None, 1_000));
    }
}
