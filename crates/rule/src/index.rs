//! All texts rules seek in one field, as one structure: what the field holds names the rules worth a look.
//!
//! Exact texts by hash; beginnings and ends by their eight outer bytes (shorter ones by their own length); contained texts by one
//! four-byte piece each, the one fewest others share, sought through a bitmap at every place of the text; networks by prefix
//! length; number bounds in order. Every find is verified, so a hash never decides. An index may say "perhaps"; it never
//! leaves out a rule that matches.

use std::collections::HashMap;
use std::net::IpAddr;

use memchr::memmem;

use crate::names::hash;
use crate::scalar::{Cidr, Scalar};
use crate::text::Form;

/// How a text stands in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    Whole,
    Start,
    End,
    Part,
}

/// A text to seek, for a witness; `sure`: finding it decides the question.
#[derive(Debug, Clone, Copy)]
struct Needle {
    from: u32,
    to: u32,
    /// Where in the needle its piece stands.
    offset: u32,
    witness: u32,
    sure: bool,
}

/// Keys → runs of needles, open addressing.
#[derive(Debug, Default)]
struct Runs {
    slots: Vec<(u64, u32, u32)>,
    shift: u32,
}

const K: u64 = 0x9e37_79b9_7f4a_7c15;

impl Runs {
    /// `needles` in the order of their keys.
    fn new(keys: &[u64]) -> Self {
        let distinct = keys.chunk_by(|a, b| a == b).count();
        if distinct == 0 {
            return Self::default();
        }
        let size = (distinct * 2).next_power_of_two().max(4);
        let mut runs = Self { slots: vec![(0, 0, 0); size], shift: 64 - size.trailing_zeros() };
        let mut from = 0u32;
        for run in keys.chunk_by(|a, b| a == b) {
            let to = from + u32::try_from(run.len()).unwrap_or(0);
            let key = run.first().copied().unwrap_or(0);
            let mut slot = (key.wrapping_mul(K) >> runs.shift) as usize;
            while runs.slots.get(slot).is_some_and(|s| s.2 != 0) {
                slot = (slot + 1) & (size - 1);
            }
            if let Some(s) = runs.slots.get_mut(slot) {
                *s = (key, from, to);
            }
            from = to;
        }
        runs
    }

    fn find(&self, key: u64) -> Option<(u32, u32)> {
        let mut slot = (key.wrapping_mul(K) >> self.shift.min(63)) as usize;
        loop {
            let (known, from, to) = *self.slots.get(slot)?;
            if to == 0 {
                return None;
            }
            if known == key {
                return Some((from, to));
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

/// Needles of one stand with the runs of their keys.
#[derive(Debug, Default)]
struct Table {
    runs: Runs,
    needles: Vec<Needle>,
    /// Lengths below eight that occur (bit n), and bit 8 for the others.
    lengths: u16,
}

impl Table {
    fn new(mut keyed: Vec<(u64, Needle)>) -> Self {
        keyed.sort_by_key(|(key, n)| (*key, n.from));
        let lengths = keyed.iter().fold(0, |all, (_, n)| all | 1 << (n.to - n.from).min(8));
        let keys: Vec<u64> = keyed.iter().map(|(k, _)| *k).collect();
        Self { runs: Runs::new(&keys), needles: keyed.into_iter().map(|(_, n)| n).collect(), lengths }
    }

    fn of(&self, key: u64) -> &[Needle] {
        self.runs.find(key).and_then(|(from, to)| self.needles.get(from as usize..to as usize)).unwrap_or(&[])
    }
}

/// What the witnesses of a plan seek in one field, in one form of its text.
#[derive(Debug, Default)]
pub(crate) struct FieldIndex {
    /// None: the whole message.
    pub slot: Option<u32>,
    pub form: Option<Form>,
    texts: String,
    whole: Table,
    starts: Table,
    ends: Table,
    parts: Table,
    /// A bit for each hash a piece of `parts` has.
    bitmap: Vec<u64>,
    bitmap_shift: u32,
    /// Contained texts of one to three bytes.
    tiny: Vec<Needle>,
    nets: Vec<Net>,
    at_least: Vec<(f64, u32)>,
    at_most: Vec<(f64, u32)>,
    /// Witnesses that only need the field to be there.
    present: Vec<u32>,
}

#[derive(Debug)]
struct Net {
    mask: u128,
    v4: bool,
    by_bits: HashMap<u128, Vec<u32>>,
}

/// Collects an index.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    texts: Vec<(Stand, String, u32, bool)>,
    nets: Vec<(Cidr, u32)>,
    at_least: Vec<(f64, u32)>,
    at_most: Vec<(f64, u32)>,
    present: Vec<u32>,
}

impl IndexBuilder {
    /// Every value that holds `text` so is reported for `witness`; an empty text only asks for the field.
    pub fn text(&mut self, stand: Stand, text: &str, witness: u32, sure: bool) {
        if text.is_empty() && stand != Stand::Whole {
            self.present.push(witness);
        } else {
            self.texts.push((stand, text.to_owned(), witness, sure));
        }
    }

    pub fn net(&mut self, net: Cidr, witness: u32) {
        self.nets.push((net, witness));
    }

    /// Values of `bound` or more, for a witness that looks again.
    pub fn at_least(&mut self, bound: f64, witness: u32) {
        self.at_least.push((bound, witness));
    }

    pub fn at_most(&mut self, bound: f64, witness: u32) {
        self.at_most.push((bound, witness));
    }

    pub fn present(&mut self, witness: u32) {
        self.present.push(witness);
    }

    pub fn build(mut self, slot: Option<u32>, form: Form) -> FieldIndex {
        let mut index = FieldIndex { slot, ..FieldIndex::default() };
        self.texts.sort_by(|a, b| a.1.cmp(&b.1));
        let shared = shares(&self.texts);
        let (mut whole, mut starts, mut ends, mut parts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut before: Option<(u32, u32)> = None;
        for (stand, text, witness, sure) in &self.texts {
            // The same text is kept once.
            let (from, to) = match before {
                Some((from, to)) if index.texts.get(from as usize..to as usize) == Some(text) => (from, to),
                _ => {
                    let from = u32::try_from(index.texts.len()).unwrap_or(u32::MAX);
                    index.texts.push_str(text);
                    (from, u32::try_from(index.texts.len()).unwrap_or(u32::MAX))
                }
            };
            before = Some((from, to));
            let mut needle = Needle { from, to, offset: 0, witness: *witness, sure: *sure };
            let bytes = text.as_bytes();
            match stand {
                Stand::Whole => whole.push((hash(bytes), needle)),
                Stand::Start => starts.push((outer(bytes.iter(), bytes.len()), needle)),
                Stand::End => ends.push((outer(bytes.iter().rev(), bytes.len()), needle)),
                Stand::Part => match piece(bytes, &shared) {
                    Some((offset, key)) => {
                        needle.offset = offset;
                        parts.push((u64::from(key), needle));
                    }
                    None => index.tiny.push(needle),
                },
            }
        }
        let bits = (parts.len() * 24).next_power_of_two().clamp(256, 1 << 17);
        if !parts.is_empty() {
            index.bitmap = vec![0; bits / 64];
            index.bitmap_shift = 32 - bits.trailing_zeros();
            for (key, _) in &parts {
                let bit = (*key as u32).wrapping_mul(GRAM_K) >> index.bitmap_shift;
                if let Some(word) = index.bitmap.get_mut((bit >> 6) as usize) {
                    *word |= 1 << (bit & 63);
                }
            }
        }
        index.whole = Table::new(whole);
        index.starts = Table::new(starts);
        index.ends = Table::new(ends);
        index.parts = Table::new(parts);
        for (net, witness) in self.nets {
            let (v4, bits, mask) = net.parts();
            let at = match index.nets.iter().position(|n| n.v4 == v4 && n.mask == mask) {
                Some(at) => at,
                None => {
                    index.nets.push(Net { mask, v4, by_bits: HashMap::new() });
                    index.nets.len() - 1
                }
            };
            if let Some(n) = index.nets.get_mut(at) {
                n.by_bits.entry(bits).or_default().push(witness);
            }
        }
        self.at_least.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.at_most.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.present.sort_unstable();
        self.present.dedup();
        index.at_least = self.at_least;
        index.at_most = self.at_most;
        index.present = self.present;
        let texts =
            [&index.whole, &index.starts, &index.ends, &index.parts].iter().any(|t| !t.needles.is_empty()) || !index.tiny.is_empty();
        index.form = texts.then_some(form);
        index
    }
}

const GRAM_K: u32 = 0x9e37_79b1;

/// Four-byte pieces by how many of the contained texts have them.
fn shares(texts: &[(Stand, String, u32, bool)]) -> HashMap<u32, u32> {
    let mut shared = HashMap::new();
    for (_, text, ..) in texts.iter().filter(|t| t.0 == Stand::Part) {
        for four in text.as_bytes().windows(4) {
            *shared.entry(gram(four)).or_insert(0) += 1;
        }
    }
    shared
}

fn gram(four: &[u8]) -> u32 {
    four.first_chunk::<4>().map_or(0, |c| u32::from_le_bytes(*c))
}

/// The piece of a text that few other texts have and that common words of logs do not hold; None: too short to have one.
fn piece(bytes: &[u8], shared: &HashMap<u32, u32>) -> Option<(u32, u32)> {
    const COMMON: &str = concat!(
        "c:\\windows\\system32\\ \\program files (x86)\\ c:\\users\\appdata\\local\\ \\microsoft\\windows\\currentversion\\ ",
        ".exe .dll http://https://www. /usr/bin/ /usr/local/lib/ /usr/sbin/ /bin/sh /etc/ /home/ /root/ /var/log/ system.management. ",
        "hklm\\software\\ powershell.exe cmd.exe -command --version name= type= user = file message python3 lib/ .com .org root"
    );
    let places = bytes.windows(4).enumerate();
    let (offset, four) = places.min_by_key(|(at, four)| {
        let common = memmem::find(COMMON.as_bytes(), four).is_some();
        let blanks = four.iter().filter(|b| matches!(b, b' ' | b'0'..=b'9')).count();
        (u32::from(common) * 8 + shared.get(&gram(four)).copied().unwrap_or(0).min(32) + blanks as u32 * 2, *at)
    })?;
    Some((u32::try_from(offset).ok()?, gram(four)))
}

/// The outer bytes as a number, with their count where they are fewer than eight.
fn outer<'b>(bytes: impl Iterator<Item = &'b u8>, len: usize) -> u64 {
    let packed = bytes.take(8).fold(0u64, |all, b| all << 8 | u64::from(*b));
    if len < 8 { packed | (len as u64) << 56 } else { packed }
}

impl FieldIndex {
    /// Witnesses that ask for the field only.
    pub fn present(&self) -> &[u32] {
        &self.present
    }

    /// Hands each witness a text speaks for to `hit`, with whether that decides it.
    pub fn look(&self, text: &str, hit: &mut impl FnMut(u32, bool)) {
        let bytes = text.as_bytes();
        let verified = |n: &Needle, place: Option<&[u8]>| {
            let needle = self.texts.as_bytes().get(n.from as usize..n.to as usize);
            place.is_some() && place == needle
        };
        if !self.whole.needles.is_empty() {
            for n in self.whole.of(hash(bytes)) {
                if verified(n, Some(bytes)) {
                    hit(n.witness, n.sure);
                }
            }
        }
        if self.starts.lengths != 0 {
            let mut key = 0u64;
            for (at, byte) in bytes.iter().take(8).enumerate() {
                key = key << 8 | u64::from(*byte);
                let count = at + 1;
                if self.starts.lengths >> count & 1 == 1 {
                    for n in self.starts.of(if count < 8 { key | (count as u64) << 56 } else { key }) {
                        if verified(n, bytes.get(..(n.to - n.from) as usize)) {
                            hit(n.witness, n.sure);
                        }
                    }
                }
            }
        }
        if self.ends.lengths != 0 {
            let mut key = 0u64;
            for (at, byte) in bytes.iter().rev().take(8).enumerate() {
                key = key << 8 | u64::from(*byte);
                let count = at + 1;
                if self.ends.lengths >> count & 1 == 1 {
                    for n in self.ends.of(if count < 8 { key | (count as u64) << 56 } else { key }) {
                        let place = bytes.len().checked_sub((n.to - n.from) as usize).and_then(|from| bytes.get(from..));
                        if verified(n, place) {
                            hit(n.witness, n.sure);
                        }
                    }
                }
            }
        }
        if !self.bitmap.is_empty() {
            let bitmap = self.bitmap.as_slice();
            let shift = self.bitmap_shift;
            for (at, four) in bytes.windows(4).enumerate() {
                let key = gram(four);
                let bit = key.wrapping_mul(GRAM_K) >> shift;
                if bitmap.get((bit >> 6) as usize).is_some_and(|word| word >> (bit & 63) & 1 == 1) {
                    for n in self.parts.of(u64::from(key)) {
                        let from = at.checked_sub(n.offset as usize);
                        let place = from.and_then(|from| bytes.get(from..)?.get(..(n.to - n.from) as usize));
                        if verified(n, place) {
                            hit(n.witness, n.sure);
                        }
                    }
                }
            }
        }
        for n in &self.tiny {
            if let Some(needle) = self.texts.as_bytes().get(n.from as usize..n.to as usize)
                && memmem::find(bytes, needle).is_some()
            {
                hit(n.witness, n.sure);
            }
        }
    }

    /// The same for what is no matter of text: networks, number bounds.
    pub fn weigh(&self, scalar: Scalar<'_>, hit: &mut impl FnMut(u32, bool)) {
        if !self.nets.is_empty()
            && let Some(ip) = scalar.ip()
        {
            self.nets_of(ip, hit);
        }
        if (!self.at_least.is_empty() || !self.at_most.is_empty())
            && let Some(x) = scalar.number()
        {
            for (_, witness) in self.at_least.iter().take_while(|(bound, _)| *bound <= x) {
                hit(*witness, false);
            }
            for (_, witness) in self.at_most.iter().rev().take_while(|(bound, _)| *bound >= x) {
                hit(*witness, false);
            }
        }
    }

    pub fn weighs(&self) -> bool {
        !self.nets.is_empty() || !self.at_least.is_empty() || !self.at_most.is_empty()
    }

    fn nets_of(&self, ip: IpAddr, hit: &mut impl FnMut(u32, bool)) {
        let (v4, bits) = crate::scalar::number(ip);
        for net in self.nets.iter().filter(|n| n.v4 == v4) {
            for witness in net.by_bits.get(&(bits & net.mask)).into_iter().flatten() {
                hit(*witness, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(index: &FieldIndex, text: &str) -> Vec<u32> {
        let mut all = Vec::new();
        index.look(text, &mut |w, _| all.push(w));
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Every way to stand, every short text over three letters, against the plain question.
    #[test]
    fn an_index_finds_what_a_loop_finds() {
        let mut words = vec![String::new()];
        for at in 0..364 {
            for c in ['a', 'b', 'é'] {
                words.push(format!("{}{c}", words[at]));
            }
        }
        let mut builder = IndexBuilder::default();
        let stands = [Stand::Whole, Stand::Start, Stand::End, Stand::Part];
        let needles: Vec<(Stand, String)> = words
            .iter()
            .step_by(7)
            .flat_map(|w| stands.map(|s| (s, format!("{w}xyz{w}"))))
            .chain(words.iter().flat_map(|w| stands.map(|s| (s, w.clone()))))
            .collect();
        for (n, (stand, text)) in needles.iter().enumerate() {
            builder.text(*stand, text, n as u32, true);
        }
        let index = builder.build(Some(0), Form::Folded);
        for text in words.iter().step_by(5).map(|w| format!("b{w}xyz{w}é")).chain(words.iter().step_by(3).cloned()) {
            let mut wanted: Vec<u32> = index.present().to_vec();
            for (n, (stand, needle)) in needles.iter().enumerate() {
                let holds = match stand {
                    Stand::Whole => text == *needle,
                    Stand::Start => text.starts_with(needle),
                    Stand::End => text.ends_with(needle),
                    Stand::Part => text.contains(needle),
                };
                if holds {
                    wanted.push(n as u32);
                }
            }
            wanted.sort_unstable();
            wanted.dedup();
            let mut got = found(&index, &text);
            got.extend(index.present());
            got.sort_unstable();
            got.dedup();
            assert_eq!(got, wanted, "{text}");
        }
    }
}
