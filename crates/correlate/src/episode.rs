//! A run of entries of one group that never pauses for longer than the timespan: what is told, and how far it has come.
//!
//! Who is concerned is kept as tags: which field in the top four bits, the name's number (`Names`) below. Most groups never see a
//! second entry, so whatever is needed only for telling lies behind one pointer.

use event::{Event, Evidence, Field, Finding, Name, Timestamp, Value, field};

use crate::bytes::{Reader, Writer};
use crate::kind::NO_NAME;
use crate::names::{Lanes, Names, Sought, cut};
use crate::ring::Entry;
use crate::spare::Spare;
use crate::state::StateError;

/// Evidence kept from the beginning; as much again is taken from the newest entries when it is told.
pub(crate) const OLDEST_MAX: usize = event::EVIDENCE_MAX / 2;
/// Values of one party field, and samples of what was counted.
pub(crate) const PARTIES_MAX: usize = 32;

/// Fields whose values are gathered over all entries, so that a finding names everybody concerned and not only the last.
pub(crate) const PARTIES: [Field; 7] =
    [field::SRC_IP, field::DST_IP, field::USER_NAME, field::ACTOR_USER, field::DEVICE_HOSTNAME, field::AGENT_ID, field::DEVICE_IP];

/// What a field is to an episode.
#[derive(Clone, Copy)]
enum Part {
    /// Place in `PARTIES`.
    Party(usize),
    /// Id, name, sector.
    Unit(usize),
    Importance,
}

fn part(name: &Name) -> Option<Part> {
    let Name::Known(name) = name else { return None };
    Some(match *name {
        field::SRC_IP => Part::Party(0),
        field::DST_IP => Part::Party(1),
        field::USER_NAME => Part::Party(2),
        field::ACTOR_USER => Part::Party(3),
        field::DEVICE_HOSTNAME => Part::Party(4),
        field::AGENT_ID => Part::Party(5),
        field::DEVICE_IP => Part::Party(6),
        field::UNIT_ID => Part::Unit(0),
        field::UNIT_NAME => Part::Unit(1),
        field::UNIT_SECTOR => Part::Unit(2),
        field::OBJECT_IMPORTANCE => Part::Importance,
        _ => return None,
    })
}

/// Place of a field in `PARTIES`.
pub(crate) fn party(name: &Name) -> Option<usize> {
    if let Some(Part::Party(n)) = part(name) { Some(n) } else { None }
}

/// Looks up the parties of an event whose names are quickly sought; `Seen::gather` takes them in the same order.
pub(crate) fn seek<'e>(event: &'e Event, names: &Names, out: &mut Vec<Option<Sought<'e>>>) {
    for (name, value) in event.body.iter() {
        if party(name).is_some() {
            out.push(names.seek(value));
        }
    }
}
/// A unit's id, name and sector together; a sample of what is counted.
pub(crate) const UNIT: u32 = 7;
pub(crate) const SAMPLE: u32 = 8;
/// Between the three parts of a unit's name.
const PART: char = '\u{1f}';

const KIND_SHIFT: u32 = 28;

pub(crate) fn tag(kind: u32, name: u32) -> u32 {
    kind << KIND_SHIFT | name & ((1 << KIND_SHIFT) - 1)
}
pub(crate) fn tag_kind(tag: u32) -> u32 {
    tag >> KIND_SHIFT
}
pub(crate) fn tag_name(tag: u32) -> u32 {
    tag & ((1 << KIND_SHIFT) - 1)
}

/// How many tags of each kind there are, so that a full kind costs nothing more.
pub(crate) type TagCounts = [u8; SAMPLE as usize + 1];

/// Tags of an episode: the few that nearly all have lie in place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tags {
    Few([u32; TAGS_FEW], u8),
    Many(Box<ManyTags>),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ManyTags {
    counts: TagCounts,
    list: Vec<u32>,
}

const TAGS_FEW: usize = 9;
/// No tag of any kind.
const NO_TAG: u32 = u32::MAX;

impl Tags {
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::Few(few, count) => few.get(..usize::from(*count)).unwrap_or_default(),
            Self::Many(many) => &many.list,
        }
    }

    /// Whether there is room for another one of a kind.
    fn wants(&self, kind: u32) -> bool {
        match self {
            Self::Few(..) => true,
            Self::Many(many) => many.counts.get(kind as usize).is_some_and(|c| usize::from(*c) < PARTIES_MAX),
        }
    }

    /// Adds a tag; past `PARTIES_MAX` of its kind it is left out.
    fn keep(&mut self, tag: u32) {
        self.keep_all(&[tag], 0, &mut Spare::default());
    }

    /// Adds tags but those of the kinds whose bits are set.
    fn keep_all(&mut self, tags: &[u32], without: u16, spare: &mut Spare) {
        let wanted = |tag: &&u32| without >> tag_kind(**tag) & 1 == 0;
        if let Self::Few(few, count) = self {
            let mut full = false;
            if *count == 0 {
                // A new episode: those of one finding are different from each other.
                let mut wanted = tags.iter().filter(wanted);
                for (place, tag) in few.iter_mut().zip(wanted.by_ref()) {
                    *place = *tag;
                    *count += 1;
                }
                if wanted.next().is_none() {
                    return;
                }
            }
            for tag in tags.iter().filter(wanted) {
                // All are looked at, which is quicker than to stop.
                if few.iter().fold(false, |known, t| known | (*t == *tag)) {
                    continue;
                }
                match few.get_mut(usize::from(*count)) {
                    Some(place) => {
                        *place = *tag;
                        *count += 1;
                    }
                    None => full = true,
                }
            }
            if !full {
                return;
            }
            let mut many = spare.tags();
            few.iter().for_each(|t| many.keep(*t));
            *self = Self::Many(many);
        }
        if let Self::Many(many) = self {
            tags.iter().filter(wanted).for_each(|t| many.keep(*t));
        }
    }
}

impl ManyTags {
    pub(crate) fn capacity(&self) -> usize {
        self.list.capacity()
    }
    pub(crate) fn clear(&mut self) {
        self.counts = TagCounts::default();
        self.list.clear();
    }
    fn keep(&mut self, tag: u32) {
        let count = self.counts.get_mut(tag_kind(tag) as usize).filter(|c| usize::from(**c) < PARTIES_MAX);
        if let Some(count) = count.filter(|_| !self.list.contains(&tag)) {
            *count += 1;
            if self.list.capacity() == 0 {
                self.list.reserve_exact(2 * TAGS_FEW);
            }
            self.list.push(tag);
        }
    }
}

/// Adds a tag; past `PARTIES_MAX` of its kind it is left out.
pub(crate) fn keep_tag(tags: &mut Vec<u32>, tag: u32) {
    let full = || tags.len() >= PARTIES_MAX && tags.iter().filter(|t| tag_kind(**t) == tag_kind(tag)).count() >= PARTIES_MAX;
    if !tags.contains(&tag) && !full() {
        if tags.capacity() == 0 {
            tags.reserve_exact(8);
        }
        tags.push(tag);
    }
}

/// Names in the order first met, of one kind.
pub(crate) fn named(tags: &[u32], kind: u32) -> impl Iterator<Item = u32> {
    tags.iter().filter(move |t| tag_kind(**t) == kind).map(|t| tag_name(*t))
}

/// What every rule needs of a finding, read once.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By the collector's clock, and by how much it was taken back.
    pub time: i64,
    pub back: i64,
    pub lane: u32,
    pub seq: u64,
    pub weight: u64,
    pub importance: u8,
    pub tags: Vec<u32>,
    /// The name of each party where there is exactly one, else `NO_NAME`.
    pub only: [u32; PARTIES.len()],
    text: String,
}

impl Seen {
    /// The one name of a party field, if the finding has exactly one.
    pub(crate) fn only(&self, field: &Name) -> Option<u32> {
        self.only.get(party(field)?).copied().filter(|name| *name != NO_NAME)
    }

    /// Reads everybody concerned. What the finding itself states (`facts`) goes before what its event says. `sought`: what `seek` made of
    /// its event; nothing: it is sought now.
    pub(crate) fn gather<'s>(&mut self, finding: &Finding, names: &mut Names, sought: &mut impl Iterator<Item = &'s Option<Sought<'s>>>) {
        self.tags.clear();
        self.importance = 0;
        self.only = [NO_NAME; PARTIES.len()];
        let mut stated = [false; PARTIES.len() + 1];
        let mut unit: [Option<&Value>; 3] = [None; 3];
        let body = finding.event.as_ref().map(|e| e.body.iter());
        let facts = finding.facts.iter().map(|f| (true, f));
        for (fact, (name, value)) in facts.chain(body.into_iter().flatten().map(|f| (false, f))) {
            match part(name) {
                Some(Part::Party(n)) => {
                    let sought = if fact { None } else { sought.next().and_then(Option::as_ref) };
                    let stated = stated.get_mut(n);
                    if !fact && stated.as_deref() == Some(&true) {
                        continue;
                    }
                    if let Some(stated) = stated {
                        *stated |= fact;
                    }
                    if let Value::List(_) = value {
                        each(value, &mut |v| {
                            if let Some(name) = names.intern(v) {
                                keep_tag(&mut self.tags, tag(n as u32, name));
                            }
                        });
                    } else if !matches!(value, Value::Null) {
                        let name = if let Some(sought) = sought { names.found(sought) } else { names.intern(value) };
                        if let (Some(name), Some(only)) = (name, self.only.get_mut(n)) {
                            keep_tag(&mut self.tags, tag(n as u32, name));
                            *only = name;
                        }
                    }
                }
                Some(Part::Unit(n)) => {
                    let [.., stated] = &mut stated;
                    if fact || !*stated {
                        *stated |= fact;
                        if let Some(unit) = unit.get_mut(n) {
                            *unit = Some(value);
                        }
                    }
                }
                Some(Part::Importance) => {
                    self.importance = value.as_int().and_then(|n| u8::try_from(n).ok()).unwrap_or(0).min(3);
                }
                None => {}
            }
        }
        let [Some(id), name, sector] = unit else { return };
        let mut n = 0;
        let text = &mut self.text;
        each(id, &mut |id| {
            text.clear();
            push_part(text, Some(id), 0);
            for part in [name, sector] {
                text.push(PART);
                push_part(text, part, n);
            }
            if let Some(name) = names.intern_text(text) {
                keep_tag(&mut self.tags, tag(UNIT, name));
            }
            n += 1;
        });
    }
}

/// The `n`-th of a list, or the one there is.
fn push_part(text: &mut String, value: Option<&Value>, n: usize) {
    let value = if let Some(Value::List(list)) = value { list.get(n) } else { value };
    if let Some(value) = value {
        text.push_str(cut(&value.to_text(), 160));
    }
}

/// Sets the facts that tags stand for: parties, units.
pub(crate) fn tell_tags(tags: &[u32], names: &Names, some: &mut dyn FnMut(Name, Vec<Value>)) {
    for (n, party) in PARTIES.iter().enumerate() {
        let shape = |name: u32| match (party.shape(), names.get(name)) {
            (event::Shape::Ip, Value::Ip(ip)) => Value::Ip(ip),
            (_, Value::Text(t)) => Value::Text(t),
            (_, other) => Value::text(&other.to_text()),
        };
        some((*party).into(), named(tags, n as u32).map(shape).collect());
    }
    let units: Vec<String> = named(tags, UNIT).map(|n| names.get(n).to_text().into_owned()).collect();
    for (n, name) in [field::UNIT_ID, field::UNIT_NAME, field::UNIT_SECTOR].into_iter().enumerate() {
        let parts: Vec<&str> = units.iter().map(|u| u.split(PART).nth(n).unwrap_or("")).collect();
        if parts.iter().any(|p| !p.is_empty()) {
            some(name.into(), parts.into_iter().map(Value::text).collect());
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Episode {
    pub first: i64,
    pub last: i64,
    /// Entries ever, whether still held or not.
    pub total: u64,
    /// Events behind them: a correlation's finding stands for many.
    pub weight: u64,
    /// Greatest measure of any window; for bounds from above, the one that held last.
    pub peak: f64,
    /// A window held, for kinds that are judged window by window.
    pub reached: bool,
    /// How far the furthest clock was ahead, in seconds; 0 where none was.
    pub ahead_s: u32,
    pub tags: Tags,
    pub more: Option<Box<More>>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct More {
    pub told: Option<Told>,
    /// Earliest of the entries that are no longer held, in order.
    pub oldest: Vec<(i64, u32, u64)>,
    /// What the tally had to add at the peak.
    pub notes: Vec<u64>,
}

/// How it stood when it was told last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Told {
    pub total: u64,
    pub weight: u64,
    pub peak: f64,
    pub last: i64,
}

impl Episode {
    pub(crate) fn new(time: i64) -> Self {
        Self {
            first: time,
            last: time,
            total: 0,
            weight: 0,
            peak: 0.0,
            reached: false,
            ahead_s: 0,
            tags: Tags::Few([NO_TAG; TAGS_FEW], 0),
            more: None,
        }
    }

    pub(crate) fn told(&self) -> Option<Told> {
        self.more.as_ref().and_then(|m| m.told)
    }
    pub(crate) fn notes(&self) -> &[u64] {
        self.more.as_ref().map_or(&[], |m| &m.notes)
    }
    pub(crate) fn oldest(&self) -> &[(i64, u32, u64)] {
        self.more.as_ref().map_or(&[], |m| &m.oldest)
    }
    pub(crate) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// Counts an entry in; `first` of its finding, which may give several. `known`: kinds of tags that the group's key says.
    pub(crate) fn add(&mut self, time: i64, seen: &Seen, known: u16, first: bool, spare: &mut Spare) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        if first {
            self.total = self.total.saturating_add(1);
            self.weight = self.weight.saturating_add(seen.weight);
            self.ahead_s = self.ahead_s.max(u32::try_from(seen.back / event::SECOND_NS).unwrap_or(u32::MAX));
            self.tags.keep_all(&seen.tags, known, spare);
        }
    }

    pub(crate) fn wants_samples(&self) -> bool {
        self.tags.wants(SAMPLE)
    }
    pub(crate) fn keep_sample(&mut self, name: u32) {
        self.tags.keep(tag(SAMPLE, name));
    }

    /// An entry is let go: it may be among the earliest.
    pub(crate) fn keep_oldest(&mut self, gone: &Entry, lanes: &Lanes, spare: &mut Spare) {
        let order = |e: &(i64, u32, u64)| (e.0, lanes.id(e.1, e.2));
        let entry = (gone.time, gone.lane, gone.seq);
        let oldest = &mut self.more.get_or_insert_with(|| spare.more()).oldest;
        if oldest.last().is_none_or(|last| last.0 < gone.time) {
            if oldest.len() < OLDEST_MAX {
                oldest.push(entry);
            }
            return;
        }
        let at = oldest.partition_point(|e| order(e) < order(&entry));
        if at < OLDEST_MAX && oldest.get(at) != Some(&entry) {
            oldest.insert(at, entry);
            oldest.truncate(OLDEST_MAX);
        }
    }

    /// Two episodes turn out to be one: an entry in between came late.
    pub(crate) fn merge(&mut self, other: Self, lanes: &Lanes) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.total = self.total.saturating_add(other.total);
        self.weight = self.weight.saturating_add(other.weight);
        if other.peak > self.peak || (!self.reached && other.reached) {
            self.peak = other.peak;
            if !other.notes().is_empty() {
                let notes = other.notes().to_vec();
                self.more().notes = notes;
            }
        }
        self.reached |= other.reached;
        self.ahead_s = self.ahead_s.max(other.ahead_s);
        self.tags.keep_all(other.tags.as_slice(), 0, &mut Spare::default());
        if let Some(theirs) = other.told() {
            let ours = self.told();
            self.more().told = Some(ours.map_or(theirs, |ours| Told {
                total: ours.total.saturating_add(theirs.total),
                weight: ours.weight.saturating_add(theirs.weight),
                peak: ours.peak.max(theirs.peak),
                last: ours.last.max(theirs.last),
            }));
        }
        for (time, lane, seq) in other.oldest() {
            self.keep_oldest(&Entry { time: *time, seq: *seq, value: 0, lane: *lane, mark: 0 }, lanes, &mut Spare::default());
        }
    }

    /// The first and the newest events behind it; `held` are its entries still in the ring, in order.
    pub(crate) fn evidence<'a>(&self, held: impl DoubleEndedIterator<Item = &'a Entry> + Clone, lanes: &Lanes) -> Vec<Evidence> {
        let one = |time: i64, lane: u32, seq: u64| Evidence { id: lanes.id(lane, seq), time: Timestamp::from_ns(time) };
        let mut all: Vec<Evidence> = self.oldest().iter().map(|(t, l, s)| one(*t, *l, *s)).collect();
        all.extend(held.clone().take(2 * OLDEST_MAX).map(|e| one(e.time, e.lane, e.seq)));
        all.sort_unstable_by_key(|e| (e.time, e.id));
        all.dedup();
        all.truncate(OLDEST_MAX);
        let last = all.last().map(|e| (e.time, e.id));
        let newest = held.rev().map(|e| one(e.time, e.lane, e.seq)).take_while(|e| last.is_none_or(|l| (e.time, e.id) > l));
        let mut tail: Vec<Evidence> = Vec::new();
        for e in newest {
            if tail.last() != Some(&e) {
                tail.push(e);
            }
            if tail.len() >= event::EVIDENCE_MAX - OLDEST_MAX {
                break;
            }
        }
        tail.reverse();
        all.extend(tail);
        all
    }

    pub(crate) fn save(&self, w: &mut Writer) {
        w.i64(self.first);
        w.i64(self.last);
        w.u64(self.total);
        w.u64(self.weight);
        w.u64(self.peak.to_bits());
        w.u8(u8::from(self.reached));
        w.u32(self.ahead_s);
        crate::kind::save_tags(w, self.tags.as_slice());
        w.u8(u8::from(self.more.is_some()));
        let Some(more) = &self.more else { return };
        w.u8(u8::from(more.told.is_some()));
        if let Some(told) = more.told {
            w.u64(told.total);
            w.u64(told.weight);
            w.u64(told.peak.to_bits());
            w.i64(told.last);
        }
        crate::kind::save_evidence(w, &more.oldest);
        w.len(more.notes.len());
        more.notes.iter().for_each(|n| w.u64(*n));
    }

    pub(crate) fn load(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut e = Self::new(r.i64()?);
        e.last = r.i64()?;
        (e.total, e.weight) = (r.u64()?, r.u64()?);
        e.peak = f64::from_bits(r.u64()?);
        e.reached = r.u8()? != 0;
        e.ahead_s = r.u32()?;
        for tag in crate::kind::load_tags(r)? {
            e.tags.keep(tag);
        }
        if r.u8()? != 0 {
            let mut more = More::default();
            if r.u8()? != 0 {
                more.told = Some(Told { total: r.u64()?, weight: r.u64()?, peak: f64::from_bits(r.u64()?), last: r.i64()? });
            }
            more.oldest = crate::kind::load_evidence(r)?;
            more.notes = (0..r.len()?).map(|_| r.u64()).collect::<Result<_, _>>()?;
            e.more = Some(Box::new(more));
        }
        Ok(e)
    }
}

/// The open episodes of a group, the oldest first: one, nearly always.
#[derive(Debug, Default)]
pub(crate) enum Episodes {
    #[default]
    None,
    One(Episode),
    Many(Vec<Episode>),
}

impl Episodes {
    /// The `n`-th.
    pub(crate) fn at(&mut self, n: usize) -> Option<&mut Episode> {
        if let Self::One(one) = self { Some(one).filter(|_| n == 0) } else { self.get_mut(n) }
    }
    pub(crate) fn insert(&mut self, at: usize, episode: Episode) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(episode),
            Self::One(one) if at == 0 => Self::Many(vec![episode, one]),
            Self::One(one) => Self::Many(vec![one, episode]),
            Self::Many(mut many) => {
                many.insert(at.min(many.len()), episode);
                Self::Many(many)
            }
        };
    }
    pub(crate) fn remove(&mut self, at: usize) -> Option<Episode> {
        match self {
            Self::Many(many) => (at < many.len()).then(|| many.remove(at)),
            _ if at > 0 => None,
            one => match std::mem::take(one) {
                Self::One(episode) => Some(episode),
                _ => None,
            },
        }
    }
}

impl std::ops::Deref for Episodes {
    type Target = [Episode];
    fn deref(&self) -> &[Episode] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl std::ops::DerefMut for Episodes {
    fn deref_mut(&mut self) -> &mut [Episode] {
        match self {
            Self::None => &mut [],
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(many) => many,
        }
    }
}

/// Each value of a field that may be a list.
fn each(value: &Value, to: &mut dyn FnMut(&Value)) {
    match value {
        Value::Null => {}
        Value::List(list) => list.iter().take(PARTIES_MAX).filter(|v| !matches!(v, Value::Null)).for_each(to),
        one => to(one),
    }
}
