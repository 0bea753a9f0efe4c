//! All indicators in force: built once, never changed, exchanged whole.
//!
//! A look-up is a word of a bloom filter (12 bits an entry, small enough for the processor's cache), then a slot of an open table
//! (32 bits of the hash, place of the entry), then the bytes themselves: no answer is ever given by a hash alone. Absent values, which is
//! nearly all of them, end at the filter. The cost does not depend on how many entries there are.
//!
//! Bytes an entry: 16 (record) + 10 (slot at 80 % load) + 1.5 (filter) + 1 to 3 and the value. Meta is kept once for all entries that
//! say the same. `bytes()` says the sum.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use ahash::RandomState;
use event::{SECOND_NS, Timestamp};

use crate::observable::{Observable, Type, show};
use crate::{Entry, Meta, NEEDS_MAX, TEXT_MAX, Tlp, Validity, clean};

/// Entries of one set; further ones are refused and counted.
pub const ENTRIES_MAX: usize = 20_000_000;
/// Sources that may name the same value; further ones are refused and counted.
pub const SOURCES_MAX: usize = 8;
/// Bytes of all values together.
const ARENA_MAX: usize = u32::MAX as usize - 4_096;
/// Different metas; entries past it get the one of their source without labels and description.
const METAS_MAX: usize = 1_000_000;

#[derive(Clone, Copy)]
struct Record {
    /// Where the value lies in the arena.
    at: u32,
    meta: u32,
    /// Seconds since 1970; 0: ever since.
    from: u32,
    /// Exclusive; `u32::MAX`: for good.
    until: u32,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    print: u32,
    /// Index of the record plus one; 0: free.
    entry: u32,
}

/// What was taken and what was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SetCounts {
    pub entries: u64,
    /// The same value by the same source once more: the later one counts.
    pub replaced: u64,
    /// Past `ENTRIES_MAX`, the room for values, or `SOURCES_MAX`.
    pub refused: u64,
    /// Entries whose labels and description were left off, past the bound of different metas.
    pub plain: u64,
}

/// What a set holds at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// In the order of `Tlp::ALL`.
    pub by_tlp: [u64; Tlp::ALL.len()],
    /// Entries whose validity has ended.
    pub expired: u64,
}

/// One indicator an event or a value met.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub kind: Type,
    pub value: String,
    pub meta: Arc<Meta>,
    pub valid: Validity,
    /// Order in which it was read: for ties.
    pub(crate) entry: u32,
}

/// Indicators on their way into a set.
pub struct SetBuilder {
    records: Vec<Record>,
    arena: Vec<u8>,
    metas: Vec<Arc<Meta>>,
    known: HashMap<Arc<Meta>, u32>,
    needs: HashMap<u32, Box<[Observable]>>,
    counts: SetCounts,
}

impl Default for SetBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl SetBuilder {
    pub fn new() -> Self {
        Self {
            records: Vec::new(),
            arena: Vec::new(),
            metas: Vec::new(),
            known: HashMap::new(),
            needs: HashMap::new(),
            counts: SetCounts::default(),
        }
    }

    /// Takes an entry, or counts why not.
    pub fn add(&mut self, entry: Entry<'_>) {
        let Some((key, others)) = entry.needs.split_first() else { return };
        let fits = self.records.len() < ENTRIES_MAX && self.arena.len() < ARENA_MAX && others.len() < NEEDS_MAX;
        let (Ok(at), Ok(index), true) = (u32::try_from(self.arena.len()), u32::try_from(self.records.len()), fits) else {
            self.counts.refused += 1;
            return;
        };
        let meta = self.meta(entry.meta);
        self.arena.push(key.kind as u8);
        if key.kind.width().is_none() {
            self.arena.extend_from_slice(&u16::try_from(key.bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
        }
        self.arena.extend_from_slice(key.bytes.get(..usize::from(u16::MAX)).unwrap_or(&key.bytes));
        let from = entry.valid.from.map_or(0, |t| seconds(t.secs()));
        // A second that has begun still counts.
        let until = entry.valid.until.map_or(u32::MAX, |t| seconds(t.plus_ns(SECOND_NS - 1).secs()));
        self.records.push(Record { at, meta, from, until });
        if !others.is_empty() {
            self.needs.insert(index, others.into());
        }
    }

    fn meta(&mut self, meta: &Meta) -> u32 {
        if let Some(known) = self.known.get(meta) {
            return *known;
        }
        let mut fresh = Meta {
            source: clean(&meta.source, TEXT_MAX / 4),
            tlp: meta.tlp,
            confidence: meta.confidence.min(100),
            labels: meta.labels.iter().take(16).map(|l| clean(l, TEXT_MAX / 4)).collect(),
            description: clean(&meta.description, TEXT_MAX),
        };
        if self.metas.len() >= METAS_MAX {
            self.counts.plain += 1;
            fresh.labels.clear();
            fresh.description.clear();
            if self.metas.len() >= 2 * METAS_MAX {
                return 0;
            }
        }
        if let Some(known) = self.known.get(&fresh) {
            return *known;
        }
        let fresh = Arc::new(fresh);
        let index = u32::try_from(self.metas.len()).unwrap_or(0);
        self.metas.push(fresh.clone());
        self.known.insert(fresh, index);
        index
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The finished set. What was said twice by one source counts as said last.
    pub fn build(mut self) -> Set {
        self.records.shrink_to_fit();
        self.arena.shrink_to_fit();
        let mut set = Set {
            slots: vec![Slot::default(); (self.records.len() * 5 / 4 + 8).max(16)].into(),
            bloom: vec![0u64; (self.records.len() * 12 / 64 + 1).max(2)].into(),
            records: self.records.into(),
            arena: self.arena.into(),
            metas: self.metas.into(),
            needs: self.needs,
            nets: [0; 3],
            kinds: [0; 11],
            counts: self.counts,
            state: RandomState::with_seeds(0x7665_6465, 0x7474_6500, 0x696e_6469, 0x6361_746f),
        };
        for index in 0..u32::try_from(set.records.len()).unwrap_or(u32::MAX) {
            set.place(index);
        }
        set
    }
}

/// Seconds that fit the record: before 1970 is ever, past 2106 is for good.
fn seconds(secs: i64) -> u32 {
    if secs < 0 { 0 } else { u32::try_from(secs).unwrap_or(u32::MAX) }
}

/// The indicators in force.
pub struct Set {
    slots: Box<[Slot]>,
    bloom: Box<[u64]>,
    records: Box<[Record]>,
    arena: Box<[u8]>,
    metas: Box<[Arc<Meta>]>,
    /// What else must be in the event, of the few entries that ask for more than one value.
    needs: HashMap<u32, Box<[Observable]>>,
    /// Lengths of networks that are there: one bit each, IPv4 in the first word, IPv6 in the two others.
    nets: [u64; 3],
    /// Entries by type.
    kinds: [u64; 11],
    counts: SetCounts,
    state: RandomState,
}

impl Default for Set {
    fn default() -> Self {
        SetBuilder::new().build()
    }
}

impl Set {
    pub fn counts(&self) -> SetCounts {
        self.counts
    }
    pub fn len(&self) -> usize {
        usize::try_from(self.counts.entries).unwrap_or(usize::MAX)
    }
    pub fn is_empty(&self) -> bool {
        self.counts.entries == 0
    }
    /// Entries of a type.
    pub fn of_type(&self, kind: Type) -> u64 {
        self.kinds.get(kind as usize).copied().unwrap_or(0)
    }
    /// Counts all entries; a walk over the table, about a millisecond for a hundred thousand.
    pub fn census(&self, now: Timestamp) -> Census {
        let mut census = Census::default();
        for record in self.placed().filter_map(|index| self.record(index)) {
            let tlp = self.metas.get(record.meta as usize).map_or(Tlp::default(), |m| m.tlp);
            if let Some(n) = census.by_tlp.get_mut(tlp as usize) {
                *n += 1;
            }
            census.expired += u64::from(record.until != u32::MAX && i64::from(record.until) <= now.secs());
        }
        census
    }
    pub(crate) fn has(&self, kinds: &[Type]) -> bool {
        kinds.iter().any(|k| self.of_type(*k) > 0)
    }

    /// Bytes the set holds.
    pub fn bytes(&self) -> usize {
        let metas: usize = self
            .metas
            .iter()
            .map(|m| size_of::<Meta>() + 24 + m.source.len() + m.description.len() + m.labels.iter().map(|l| l.len() + 24).sum::<usize>())
            .sum();
        let needs: usize = self.needs.values().map(|n| 32 + n.iter().map(|o| o.bytes.len() + 24).sum::<usize>()).sum();
        size_of_val(&*self.slots) + size_of_val(&*self.bloom) + size_of_val(&*self.records) + self.arena.len() + metas + needs
    }

    /// Every entry, in the order it was read.
    pub fn iter(&self) -> impl Iterator<Item = Found> + '_ {
        self.slots.iter().filter_map(|s| s.entry.checked_sub(1)).filter_map(|i| self.found(i))
    }

    /// What is known of a value at any time: exact, and the networks and domains above it.
    pub fn about(&self, value: &Observable) -> Vec<Found> {
        let mut hits = Vec::new();
        match value.kind {
            Type::Domain => self.domain(&value.bytes, &mut |i| hits.push(i)),
            Type::Ipv4 | Type::Ipv6 => {
                if let Ok(ip) = show(value.kind, &value.bytes).parse() {
                    self.address(ip, &mut |i| hits.push(i));
                }
            }
            kind => self.exact(kind, &value.bytes, &mut |i| hits.push(i)),
        }
        hits.into_iter().filter_map(|i| self.found(i)).collect()
    }

    pub(crate) fn found(&self, index: u32) -> Option<Found> {
        let record = self.record(index)?;
        let (kind, bytes) = self.value(record)?;
        let meta = self.metas.get(record.meta as usize)?.clone();
        let valid = Validity {
            from: (record.from > 0).then(|| Timestamp::from_secs(record.from.into())),
            until: (record.until < u32::MAX).then(|| Timestamp::from_secs(record.until.into())),
        };
        Some(Found { kind, value: show(kind, bytes), meta, valid, entry: index })
    }

    /// The parts of an entry, for packing.
    #[expect(clippy::type_complexity, reason = "read apart at its one use")]
    pub(crate) fn parts(&self, index: u32) -> Option<(Observable, &[Observable], &Arc<Meta>, u32, u32)> {
        let record = self.record(index)?;
        let (kind, bytes) = self.value(record)?;
        let needs = self.needs.get(&index).map_or(&[][..], |n| n);
        Some((Observable { kind, bytes: bytes.into() }, needs, self.metas.get(record.meta as usize)?, record.from, record.until))
    }
    pub(crate) fn placed(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().filter_map(|s| s.entry.checked_sub(1))
    }

    /// The entry counts at this time.
    pub(crate) fn valid_at(&self, index: u32, time: Timestamp) -> bool {
        let secs = time.secs();
        self.record(index).is_some_and(|r| secs >= i64::from(r.from) && (r.until == u32::MAX || secs < i64::from(r.until)))
    }
    pub(crate) fn needs(&self, index: u32) -> &[Observable] {
        if self.needs.is_empty() { &[] } else { self.needs.get(&index).map_or(&[], |n| n) }
    }
    pub(crate) fn confidence(&self, index: u32) -> u8 {
        self.record(index).and_then(|r| self.metas.get(r.meta as usize)).map_or(0, |m| m.confidence)
    }

    /// Entries of exactly this value.
    pub(crate) fn exact(&self, kind: Type, bytes: &[u8], hit: &mut impl FnMut(u32)) {
        let hash = self.hash(kind, bytes);
        if !self.may_hold(hash) {
            return;
        }
        let print = print(hash);
        let mut at = self.start(hash);
        while let Some(slot) = self.slots.get(at) {
            let Some(index) = slot.entry.checked_sub(1) else { return };
            if slot.print == print && self.record(index).and_then(|r| self.value(r)) == Some((kind, bytes)) {
                hit(index);
            }
            at = self.next(at);
        }
    }

    /// Entries of a name and of every name above it, at the borders of labels.
    pub(crate) fn domain(&self, name: &[u8], hit: &mut impl FnMut(u32)) {
        let mut rest = name;
        loop {
            self.exact(Type::Domain, rest, hit);
            let Some(dot) = rest.iter().position(|b| *b == b'.') else { return };
            rest = rest.get(dot + 1..).unwrap_or_default();
        }
    }

    /// Entries of an address and of the networks around it.
    pub(crate) fn address(&self, ip: std::net::IpAddr, hit: &mut impl FnMut(u32)) {
        let ip = ip.to_canonical();
        let lengths = match ip {
            std::net::IpAddr::V4(v4) => {
                self.exact(Type::Ipv4, &v4.octets(), hit);
                u128::from(self.nets[0])
            }
            std::net::IpAddr::V6(v6) => {
                self.exact(Type::Ipv6, &v6.octets(), hit);
                u128::from(self.nets[1]) | u128::from(self.nets[2]) << 64
            }
        };
        let mut left = lengths;
        while left != 0 {
            let len = left.trailing_zeros();
            left &= left - 1;
            let (kind, key) = crate::observable::net_key(ip, u8::try_from(len).unwrap_or(u8::MAX));
            self.exact(kind, key.as_slice(), hit);
        }
    }

    fn record(&self, index: u32) -> Option<&Record> {
        self.records.get(index as usize)
    }

    fn value(&self, record: &Record) -> Option<(Type, &[u8])> {
        let (kind, rest) = self.arena.get(record.at as usize..)?.split_first()?;
        let kind = Type::from_number(*kind)?;
        let (len, rest) = match kind.width() {
            Some(width) => (width, rest),
            None => rest.split_first_chunk::<2>().map(|(len, rest)| (usize::from(u16::from_le_bytes(*len)), rest))?,
        };
        Some((kind, rest.get(..len)?))
    }

    fn hash(&self, kind: Type, bytes: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write_u8(kind as u8);
        hasher.write(bytes);
        hasher.finish()
    }

    fn start(&self, hash: u64) -> usize {
        scale(hash, self.slots.len())
    }
    fn next(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }
    fn may_hold(&self, hash: u64) -> bool {
        let bits = bits(hash);
        self.bloom.get(scale(hash.rotate_left(23), self.bloom.len())).is_some_and(|word| word & bits == bits)
    }

    /// Puts a record into the table.
    fn place(&mut self, index: u32) {
        let Some((kind, bytes)) = self.record(index).and_then(|r| self.value(r)) else { return };
        let hash = self.hash(kind, bytes);
        let (print, lone) = (print(hash), self.needs(index).is_empty());
        let bytes = bytes.to_vec();
        let mut same = 0;
        let mut at = self.start(hash);
        while let Some(slot) = self.slots.get(at).copied() {
            let Some(other) = slot.entry.checked_sub(1) else { break };
            if slot.print == print && self.record(other).and_then(|r| self.value(r)) == Some((kind, bytes.as_slice())) {
                same += 1;
                if lone && self.needs(other).is_empty() && self.source(other) == self.source(index) {
                    self.counts.replaced += 1;
                    if let Some(slot) = self.slots.get_mut(at) {
                        slot.entry = index + 1;
                    }
                    return;
                }
            }
            at = self.next(at);
        }
        if same >= SOURCES_MAX {
            self.counts.refused += 1;
            return;
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot { print, entry: index + 1 };
        }
        let word = scale(hash.rotate_left(23), self.bloom.len());
        if let Some(word) = self.bloom.get_mut(word) {
            *word |= bits(hash);
        }
        match (kind, bytes.first()) {
            (Type::Net4, Some(len)) => self.nets[0] |= 1 << (len & 63),
            (Type::Net6, Some(len)) => self.nets[1 + usize::from(*len >= 64)] |= 1 << (len & 63),
            _ => {}
        }
        if let Some(count) = self.kinds.get_mut(kind as usize) {
            *count += 1;
        }
        self.counts.entries += 1;
    }

    fn source(&self, index: u32) -> Option<&str> {
        self.metas.get(self.record(index)?.meta as usize).map(|m| m.source.as_str())
    }
}

/// The hash's high bits as a place in a table of `len`.
fn scale(hash: u64, len: usize) -> usize {
    usize::try_from((u128::from(hash) * len as u128) >> 64).unwrap_or(0)
}
fn print(hash: u64) -> u32 {
    (hash & u64::from(u32::MAX)) as u32
}
/// Four bits of a word of the filter.
fn bits(hash: u64) -> u64 {
    1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63) | 1 << (hash >> 18 & 63)
}
