//! In which order letters leave, and when: one queue over all channels. Pure: time and chance are arguments, storage is the caller's.
//!
//! * A delivery (one message to one recipient on one channel) waits until it is put into a [`Parcel`]: alone, or with others as a digest. A
//!   parcel never changes again, so every attempt carries the same key, also after a crash ([`Queue::restore`]).
//! * **Limits** are exact: never more than `most` attempts in any `window_s` seconds, and the last `reserve` of them are for red alone. A robot
//!   that is silenced for ten minutes after its 21st message never gets a 21st.
//! * **Red first.** Red has a lane of its own on every channel: a hanging request of lower rank, a thousand waiting ones or a window they used
//!   up do not delay it. In each lane one parcel is under way at a time, the most serious first, then the oldest.
//! * **Coalescing** only where slots are short (or where it loses nothing, [`Limits::whole`]): what waits and is not serious (yellow, blue, none) becomes one digest for its recipient;
//!   orange joins orange, red joins red, and only if there are more of them than slots.
//! * A parcel that fails waits longer each time (doubling from `first_s`, held at a ceiling, a quarter of it chance) and is a dead letter after
//!   `attempts_max`, or at once where the peer says never. Where a peer names a time, the whole channel is silent until then.
//!
//! Invariant: every delivery added is waiting, under way, sent or dead, exactly one of them; nothing sent is ever given out again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use event::Timestamp;
use warning::grade::Level;

use crate::Verdict;

/// Deliveries held; more stay in the store until there is room.
pub const HELD_MAX: usize = 50_000;

/// What a channel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub window_s: u32,
    /// Attempts in any such window.
    pub most: u32,
    /// Of these, kept for red.
    pub reserve: u32,
    /// Messages of one digest.
    pub digest_max: usize,
    /// A request carries every message in full, so what waits for one recipient goes together, slots or not.
    pub whole: bool,
}

impl Limits {
    pub const fn per_minute(most: u32, reserve: u32) -> Self {
        Self { window_s: 60, most, reserve, digest_max: 200, whole: false }
    }
    pub const fn whole(self) -> Self {
        Self { whole: true, ..self }
    }
}

/// How patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub attempts_max: u32,
    pub first_s: u32,
    pub ceiling_s: u32,
    /// The same for red.
    pub red_ceiling_s: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts_max: 40, first_s: 2, ceiling_s: 600, red_ceiling_s: 60 }
    }
}

/// How serious: 0 none, 1 blue … 4 red.
pub type Rank = u8;
pub const RED: Rank = 4;

pub const fn rank(level: Option<Level>) -> Rank {
    match level {
        None => 0,
        Some(Level::Blue) => 1,
        Some(Level::Yellow) => 2,
        Some(Level::Orange) => 3,
        Some(Level::Red) => RED,
    }
}

/// One message to one recipient on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Row in the store, rising with age.
    pub number: u64,
    /// Public id; the key of the parcel where it goes alone.
    pub id: String,
    pub rank: Rank,
    /// Deliveries of the same target may share a digest.
    pub target: String,
    /// Not before this (quiet hours); the epoch: at once.
    pub not_before: Timestamp,
}

/// What one request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    pub key: String,
    pub channel: String,
    pub target: String,
    pub rank: Rank,
    /// Numbers of its deliveries, the most serious first, then the oldest.
    pub members: Vec<u64>,
    /// Attempts begun, this one included once it is under way.
    pub attempts: u32,
    pub not_before: Timestamp,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    Sent(Parcel),
    /// Will be tried again at `parcel.not_before`.
    Failed {
        parcel: Parcel,
        reason: String,
    },
    Dead {
        parcel: Parcel,
        reason: String,
    },
    /// Nothing of that key is under way.
    Unknown,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    patience: Patience,
    lines: BTreeMap<String, Line>,
    held: usize,
}

/// One channel's.
#[derive(Debug, Default)]
struct Line {
    /// None: not configured now; what waits, waits.
    limits: Option<Limits>,
    /// By falling seriousness, then age.
    waiting: BTreeMap<(std::cmp::Reverse<Rank>, u64), Delivery>,
    /// Parcels to be tried again, by falling seriousness, then oldest member.
    again: BTreeMap<(std::cmp::Reverse<Rank>, u64), Parcel>,
    /// Under way: red, and the rest.
    under_way: [Option<Parcel>; 2],
    /// When attempts of the last window began.
    used: VecDeque<Timestamp>,
    silent_until: Option<Timestamp>,
}

impl Queue {
    pub fn new(patience: Patience) -> Self {
        Self { patience, ..Self::default() }
    }

    /// The channels there are now. What waits for one that is gone waits until it is back.
    pub fn configure(&mut self, patience: Patience, channels: impl IntoIterator<Item = (String, Limits)>) {
        self.patience = patience;
        self.lines.values_mut().for_each(|l| l.limits = None);
        for (name, limits) in channels {
            self.lines.entry(name).or_default().limits = Some(limits);
        }
    }

    /// Takes a delivery; false where there is no room, and nothing is taken. For red there is always room.
    pub fn add(&mut self, channel: &str, delivery: Delivery) -> bool {
        if self.held >= HELD_MAX && delivery.rank != RED {
            return false;
        }
        let line = self.lines.entry(channel.to_owned()).or_default();
        let new = line.waiting.insert((std::cmp::Reverse(delivery.rank), delivery.number), delivery).is_none();
        self.held += usize::from(new);
        true
    }

    /// Takes back a parcel that was under way or failed before a restart.
    pub fn restore(&mut self, parcel: Parcel) {
        self.held += parcel.members.len();
        let first = parcel.members.iter().copied().min().unwrap_or(0);
        self.lines.entry(parcel.channel.clone()).or_default().again.insert((std::cmp::Reverse(parcel.rank), first), parcel);
    }

    /// An attempt before a restart: the peer has counted it.
    pub fn remember(&mut self, channel: &str, began: Timestamp) {
        let used = &mut self.lines.entry(channel.to_owned()).or_default().used;
        let at = used.partition_point(|t| *t <= began);
        used.insert(at, began);
    }

    /// The next parcel that may go now, the most serious of all channels; it is under way until it is settled.
    pub fn next(&mut self, now: Timestamp) -> Option<Parcel> {
        let mut best: Option<(Rank, &String)> = None;
        for (name, line) in &mut self.lines {
            line.forget(now);
            if let Some(rank) = line.ready(now)
                && best.is_none_or(|(b, _)| rank > b)
            {
                best = Some((rank, name));
            }
        }
        let name = best?.1.clone();
        self.lines.get_mut(&name)?.take(&name, now)
    }

    /// When something may be ready next, if nothing else happens; none: nothing waits for time to pass.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        self.lines.values().filter_map(|l| l.due(now)).min()
    }

    pub fn settle(&mut self, channel: &str, key: &str, verdict: &Verdict, now: Timestamp, chance: u64) -> Settled {
        let patience = self.patience;
        let Some(line) = self.lines.get_mut(channel) else { return Settled::Unknown };
        let Some(slot) = line.under_way.iter_mut().find(|s| s.as_ref().is_some_and(|p| p.key == key)) else { return Settled::Unknown };
        let Some(mut parcel) = slot.take() else { return Settled::Unknown };
        let count = parcel.members.len();
        match verdict {
            Verdict::Done => {
                self.held -= count;
                Settled::Sent(parcel)
            }
            Verdict::Reject { reason } => {
                self.held -= count;
                Settled::Dead { parcel, reason: reason.clone() }
            }
            Verdict::Retry { reason, .. } if parcel.attempts >= patience.attempts_max => {
                self.held -= count;
                Settled::Dead { parcel, reason: format!("{reason} ({} attempts)", patience.attempts_max) }
            }
            Verdict::Retry { after_s, reason } => {
                if let Some(after) = after_s {
                    let until = now.plus_secs(i64::from(*after));
                    line.silent_until = line.silent_until.max(Some(until));
                    parcel.not_before = until;
                } else {
                    parcel.not_before = now.plus_ns(patience.wait_ns(parcel.attempts, parcel.rank, chance));
                }
                let first = parcel.members.iter().copied().min().unwrap_or(0);
                line.again.insert((std::cmp::Reverse(parcel.rank), first), parcel.clone());
                Settled::Failed { parcel, reason: reason.clone() }
            }
        }
    }

    /// Deliveries held: waiting, to be tried again, under way.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Waiting deliveries by channel and rank, those to be tried again included.
    pub fn waiting(&self) -> Vec<(&str, [usize; 5])> {
        let count = |line: &Line| {
            let mut by = [0; 5];
            line.waiting.values().for_each(|d| by[usize::from(d.rank.min(RED))] += 1);
            line.again.values().for_each(|p| by[usize::from(p.rank.min(RED))] += p.members.len());
            by
        };
        self.lines.iter().map(|(name, line)| (name.as_str(), count(line))).collect()
    }

    /// Numbers of all deliveries held.
    pub fn held_numbers(&self) -> BTreeSet<u64> {
        let of = |line: &Line| -> Vec<u64> {
            let packed = line.again.values().chain(line.under_way.iter().flatten()).flat_map(|p| p.members.iter().copied());
            line.waiting.values().map(|d| d.number).chain(packed).collect()
        };
        self.lines.values().flat_map(of).collect()
    }
}

impl Patience {
    fn wait_ns(self, attempts: u32, rank: Rank, chance: u64) -> i64 {
        let ceiling = if rank == RED { self.red_ceiling_s } else { self.ceiling_s };
        let doubled = u64::from(self.first_s) << attempts.saturating_sub(1).min(20);
        let whole_ns = doubled.min(u64::from(ceiling)).saturating_mul(1_000_000_000);
        // Three quarters for sure, up to another half by chance.
        let spread = whole_ns / 2;
        i64::try_from(whole_ns * 3 / 4 + if spread == 0 { 0 } else { chance % spread }).unwrap_or(i64::MAX)
    }
}

impl Line {
    fn forget(&mut self, now: Timestamp) {
        let Some(limits) = self.limits else { return };
        let window = i64::from(limits.window_s) * event::SECOND_NS;
        // A clock set back: what lies in the future counts as now.
        self.used.iter_mut().for_each(|t| *t = (*t).min(now));
        while self.used.front().is_some_and(|t| now.since(*t) >= window) {
            self.used.pop_front();
        }
    }

    /// Free slots of a lane.
    fn free(&self, limits: Limits, red: bool) -> usize {
        let most = if red { limits.most } else { limits.most.saturating_sub(limits.reserve) };
        (most as usize).saturating_sub(self.used.len())
    }

    /// The rank of what could go now.
    fn ready(&self, now: Timestamp) -> Option<Rank> {
        let limits = self.limits?;
        if self.silent_until.is_some_and(|until| until > now) {
            return None;
        }
        let red = self.under_way[0].is_none() && self.free(limits, true) > 0 && self.any_ready(now, true);
        if red {
            return Some(RED);
        }
        let rest = self.under_way[1].is_none() && self.free(limits, false) > 0;
        if !rest {
            return None;
        }
        let waiting = self.waiting.values().find(|d| d.rank != RED && d.not_before <= now).map(|d| d.rank);
        waiting.max(self.again.values().find(|p| p.rank != RED && p.not_before <= now).map(|p| p.rank))
    }

    fn any_ready(&self, now: Timestamp, red: bool) -> bool {
        let of_lane = |rank: Rank| (rank == RED) == red;
        self.again.values().take_while(|p| !red || p.rank == RED).any(|p| of_lane(p.rank) && p.not_before <= now)
            || self.waiting.values().take_while(|d| !red || d.rank == RED).any(|d| of_lane(d.rank) && d.not_before <= now)
    }

    fn take(&mut self, name: &str, now: Timestamp) -> Option<Parcel> {
        let limits = self.limits?;
        let rank = self.ready(now)?;
        let red = rank == RED;
        let again = self.again.iter().find(|(_, p)| p.rank == rank && p.not_before <= now).map(|(k, _)| *k);
        let mut parcel = match again {
            Some(key) => self.again.remove(&key)?,
            None => self.pack(name, rank, self.free(limits, red), limits, now)?,
        };
        parcel.attempts += 1;
        self.used.push_back(now);
        self.under_way[usize::from(!red)] = Some(parcel.clone());
        Some(parcel)
    }

    /// A new parcel of this rank: one delivery, or a digest where slots are short.
    fn pack(&mut self, name: &str, rank: Rank, free: usize, limits: Limits, now: Timestamp) -> Option<Parcel> {
        let serious = rank >= 3;
        let ready = |d: &Delivery| d.not_before <= now && if serious { d.rank == rank } else { d.rank < 3 };
        let first = self.waiting.values().find(|d| d.rank == rank && ready(d))?.clone();
        let short = limits.whole || self.waiting.values().filter(|d| ready(d)).take(free + 1).count() > free;
        let keys: Vec<_> = if short {
            let fellow = |d: &Delivery| ready(d) && d.target == first.target;
            self.waiting.iter().filter(|(_, d)| fellow(d)).map(|(k, _)| *k).take(limits.digest_max.max(1)).collect()
        } else {
            vec![(std::cmp::Reverse(first.rank), first.number)]
        };
        let members: Vec<Delivery> = keys.iter().filter_map(|k| self.waiting.remove(k)).collect();
        let key = match members.as_slice() {
            [one] => one.id.clone(),
            many => {
                let mut hasher = blake3::Hasher::new();
                for member in many {
                    hasher.update(member.id.as_bytes()).update(b"\n");
                }
                format!("G{}", &hasher.finalize().to_hex()[..16])
            }
        };
        Some(Parcel {
            key,
            channel: name.to_owned(),
            target: first.target,
            rank,
            members: members.iter().map(|m| m.number).collect(),
            attempts: 0,
            not_before: Timestamp::from_ns(0),
        })
    }

    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let limits = self.limits?;
        let window = i64::from(limits.window_s) * event::SECOND_NS;
        let mut soonest: Option<Timestamp> = None;
        for red in [true, false] {
            if self.under_way[usize::from(!red)].is_some() {
                continue;
            }
            let of_lane = |rank: Rank| (rank == RED) == red;
            let waiting = self.waiting.values().filter(|d| of_lane(d.rank)).map(|d| d.not_before);
            let again = self.again.values().filter(|p| of_lane(p.rank)).map(|p| p.not_before);
            let Some(mut at) = soonest_of(again.chain(waiting), now) else { continue };
            if self.free(limits, red) == 0 {
                // A slot comes free when enough of the oldest attempts have left the window.
                let most = if red { limits.most } else { limits.most.saturating_sub(limits.reserve) } as usize;
                let Some(leaves) = self.used.len().checked_sub(most).and_then(|n| self.used.get(n)) else { continue };
                at = at.max(leaves.plus_ns(window));
            }
            at = at.max(self.silent_until.unwrap_or(at)).max(now);
            soonest = Some(soonest.map_or(at, |s| s.min(at)));
        }
        soonest
    }
}

/// The earliest, looked for no further than the first that has come.
fn soonest_of(times: impl Iterator<Item = Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let mut soonest: Option<Timestamp> = None;
    for at in times {
        if at <= now {
            return Some(now);
        }
        soonest = Some(soonest.map_or(at, |s| s.min(at)));
    }
    soonest
}

/// Hours in which people are not called for what can wait: yellow, blue and what has no level. Never red, never orange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// Minutes of the local day; `from` may be later than `to` (over midnight).
    pub from_min: u32,
    pub to_min: u32,
}

impl Quiet {
    /// `22:00-07:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let minute = |t: &str| {
            let (h, m) = t.trim().split_once(':')?;
            let (h, m): (u32, u32) = (h.parse().ok()?, m.parse().ok()?);
            (h < 24 && m < 60 && t.trim().len() == 5).then_some(h * 60 + m)
        };
        let (from_min, to_min) = (minute(from)?, minute(to)?);
        (from_min != to_min).then_some(Self { from_min, to_min })
    }

    /// The earliest time a message of this rank may go.
    pub fn not_before(self, rank: Rank, zone: crate::Zone, now: Timestamp) -> Timestamp {
        if rank >= 3 {
            return Timestamp::from_ns(0);
        }
        let minute = zone.minute(now);
        let within = if self.from_min < self.to_min {
            (self.from_min..self.to_min).contains(&minute)
        } else {
            minute >= self.from_min || minute < self.to_min
        };
        if !within {
            return Timestamp::from_ns(0);
        }
        let ahead = (self.to_min + 1_440 - minute) % 1_440;
        let at_minute = now.secs().div_euclid(60) * 60;
        Timestamp::from_secs(at_minute + i64::from(ahead) * 60)
    }
}

/// Channels that something waits for although they are not configured now.
pub fn missing(queue: &Queue) -> BTreeSet<&str> {
    queue
        .lines
        .iter()
        .filter(|(_, l)| l.limits.is_none() && !(l.waiting.is_empty() && l.again.is_empty()))
        .map(|(n, _)| n.as_str())
        .collect()
}
