//! What is usual between masters and stations of control protocols: who asks whom, with which function, on which addresses. It is learned from
//! events as long as a person lets it; a person reviews it, freezes it and edits it. What a frozen station is asked beyond its baseline becomes an
//! event of category `baseline` with who, what and which object, which a shipped rule turns into an alert, so what it is worth is decided in
//! rule text like everything else.
//!
//! A station is an address and a protocol within a unit. An entry of it is a master, the station number, a function and a kind of object, with
//! the addresses (as ranges) or the names it was seen with. A deviation is an entry too, which a person may allow.
//!
//! Pure: time is an argument. Bounded: `STATIONS_MAX` stations, `ENTRIES_MAX` entries in all, `NAMES_MAX` names an entry; what does not fit is not
//! learned and counted. `DEVIATIONS_MAX` deviations of a station are kept; the one seen longest ago goes first.

mod edit;
mod ranges;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use event::{AgentId, Class, Epoch, Event, EventId, Field, LogSource, SECOND_NS, Timestamp, Value, field};
use serde::{Deserialize, Serialize};

pub use edit::{Allow, Change, Edit, EditError};
pub use ranges::Ranges;

pub const STATIONS_MAX: usize = 4_096;
pub const ENTRIES_MAX: usize = 20_000;
pub const NAMES_MAX: usize = 128;
pub const DEVIATIONS_MAX: usize = 64;
/// The same deviation is told again after so long.
const AGAIN_NS: i64 = 300 * SECOND_NS;
/// Things that are usual, of those told with a deviation.
const USUAL_MAX: usize = 8;

/// All stations, by id.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Baselines {
    stations: BTreeMap<String, Station>,
    /// Entries of all stations together.
    entries: usize,
    /// Messages that were not learned because there was no room, since this engine began.
    #[serde(skip)]
    unlearned: u64,
    /// Number of the last event made here.
    made: u64,
}

/// A station and what it is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Station {
    pub unit: Option<String>,
    /// Address, or link address where there is none.
    pub address: String,
    pub protocol: String,
    /// Who froze it, and when; while it is frozen nothing is learned.
    pub frozen: Option<Mark>,
    pub first: i64,
    pub last: i64,
    pub entries: BTreeMap<String, Entry>,
}

/// A person's doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub by: String,
    pub at: i64,
    pub note: String,
}

/// Where an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Learned,
    /// A person allowed it.
    Allowed,
    /// Met while the station was frozen, and not allowed.
    Deviating,
}

/// What one master asks of a station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub what: What,
    pub origin: Origin,
    /// Addresses; with `any`, all.
    pub ranges: Ranges,
    pub names: BTreeSet<String>,
    pub any: bool,
    pub is_write: bool,
    pub count: u64,
    pub first: i64,
    pub last: i64,
    pub mark: Option<Mark>,
    /// When a deviation was told last, and how many were not told since.
    #[serde(default)]
    told: i64,
    #[serde(default)]
    untold: u64,
}

/// What makes an entry this one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct What {
    pub master: String,
    /// Station number: unit id, outstation, common address.
    pub number: Option<i64>,
    pub function: String,
    pub sub_function: String,
    pub object_type: String,
}

/// The objects of one message.
struct Objects {
    range: Option<(i64, i64)>,
    names: Vec<String>,
}

impl Baselines {
    /// Looks at an event; requests and commands of control protocols count. Appends what is to be said.
    pub fn observe(&mut self, event: &Event, now: Timestamp, out: &mut Vec<Arc<Event>>) {
        if event.source.category.as_deref() != Some("ot") {
            return;
        }
        let asks = event.get(field::OT_DIRECTION).and_then(Value::as_str).is_some_and(|d| matches!(d, "request" | "both"));
        let end = |ip, mac| event.get(ip).or(event.get(mac)).map(|v| v.to_text().into_owned());
        let (Some(master), Some(address), true) = (end(field::SRC_IP, field::SRC_MAC), end(field::DST_IP, field::DST_MAC), asks) else {
            return;
        };
        let text = |f| event.text(f).into_owned();
        let (protocol, unit) = (text(field::OT_PROTOCOL), event.get(field::UNIT_ID).map(|v| v.to_text().into_owned()));
        let what = What {
            master,
            number: event.get(field::OT_STATION).and_then(Value::as_int),
            function: text(field::OT_FUNCTION_NAME),
            sub_function: text(field::OT_SUB_FUNCTION_NAME),
            object_type: text(field::OT_OBJECT_TYPE),
        };
        let objects = Objects::of(event);
        let count = event.get(field::COUNT).and_then(Value::as_int).and_then(|n| u64::try_from(n).ok()).unwrap_or(1);
        let id = station_id(unit.as_deref(), &address, &protocol);
        if !self.stations.contains_key(&id) {
            if self.stations.len() >= STATIONS_MAX {
                self.unlearned += 1;
                return;
            }
            let time = event.time.ns();
            let station = Station { unit, address, protocol, frozen: None, first: time, last: time, entries: BTreeMap::new() };
            self.stations.insert(id.clone(), station);
        }
        let Some(station) = self.stations.get_mut(&id) else { return };
        station.last = station.last.max(event.time.ns());
        let (known, entry) = (entry_id(&what, false), entry_id(&what, true));
        if let Some(usual) = station.entries.get_mut(&known)
            && (station.frozen.is_none() || usual.covers(&objects))
        {
            usual.meet(event, count);
            if station.frozen.is_none() && !usual.any {
                usual.take_in(&objects);
            }
            return;
        }
        let is_new = !station.entries.contains_key(if station.frozen.is_some() { &entry } else { &known });
        if is_new && self.entries >= ENTRIES_MAX && station.frozen.is_none() {
            self.unlearned += 1;
            return;
        }
        if station.frozen.is_none() {
            self.entries += 1;
            station.entries.insert(known, Entry::new(what, Origin::Learned, event, count, &objects));
            return;
        }
        let kind = station.deviation(&what);
        let usual = station.usual(kind, &what);
        if is_new {
            self.entries += 1;
            self.entries -= station.make_room();
            station.entries.insert(entry.clone(), Entry::new(what, Origin::Deviating, event, count, &objects));
        } else if let Some(met) = station.entries.get_mut(&entry) {
            let before = met.covers(&objects);
            met.meet(event, count);
            met.take_in(&objects);
            met.untold = met.untold.saturating_add(count);
            if before && (0..AGAIN_NS).contains(&event.time.ns().saturating_sub(met.told)) {
                return;
            }
        }
        let Some(met) = station.entries.get_mut(&entry) else { return };
        met.told = event.time.ns();
        let untold = std::mem::take(&mut met.untold).max(count);
        self.made += 1;
        out.push(Arc::new(say(event, now, self.made, [&id, kind, &entry], usual, untold)));
    }

    /// Messages that were not learned because there was no room.
    pub fn unlearned(&self) -> u64 {
        self.unlearned
    }

    /// Taken over by another engine, whose counters begin at nothing.
    #[must_use]
    pub fn inherited(&self) -> Self {
        Self { unlearned: 0, ..self.clone() }
    }

    /// Stations, frozen ones of them, and deviations that nobody allowed.
    pub fn held(&self) -> [usize; 3] {
        let (frozen, deviations) = self
            .stations
            .values()
            .fold((0, 0), |(frozen, deviations), station| (frozen + usize::from(station.is_frozen()), deviations + station.deviations()));
        [self.stations.len(), frozen, deviations]
    }

    pub fn stations(&self) -> impl Iterator<Item = (&str, &Station)> {
        self.stations.iter().map(|(id, station)| (id.as_str(), station))
    }

    pub fn station(&self, id: &str) -> Option<&Station> {
        self.stations.get(id)
    }
}

impl Objects {
    fn of(event: &Event) -> Self {
        let int = |f| event.get(f).and_then(Value::as_int);
        let range =
            int(field::OT_OBJECT_ADDRESS).map(|from| (from, from.saturating_add(int(field::OT_OBJECT_COUNT).unwrap_or(1).max(1) - 1)));
        // What is polled is named by its first few only; what is commanded is named whole.
        let whole = range.is_none() || event.get(field::OT_IS_WRITE) == Some(&Value::Bool(true));
        let names = match event.get(field::OT_OBJECTS).filter(|_| whole) {
            Some(Value::List(all)) => all.iter().map(|v| v.to_text().into_owned()).collect(),
            Some(one) => vec![one.to_text().into_owned()],
            None => Vec::new(),
        };
        Self { range, names }
    }
}

impl Entry {
    fn new(what: What, origin: Origin, event: &Event, count: u64, objects: &Objects) -> Self {
        let time = event.time.ns();
        let mut entry = Self {
            what,
            origin,
            ranges: Ranges::default(),
            names: BTreeSet::new(),
            any: false,
            is_write: event.get(field::OT_IS_WRITE) == Some(&Value::Bool(true)),
            count,
            first: time,
            last: time,
            mark: None,
            told: i64::MIN,
            untold: 0,
        };
        entry.take_in(objects);
        entry
    }

    fn meet(&mut self, event: &Event, count: u64) {
        self.count = self.count.saturating_add(count);
        self.last = self.last.max(event.time.ns());
    }

    fn covers(&self, objects: &Objects) -> bool {
        let range = objects.range.is_none_or(|(from, to)| self.ranges.covers(from, to));
        self.any || range && objects.names.iter().all(|n| self.names.contains(n))
    }

    fn take_in(&mut self, objects: &Objects) {
        if let Some((from, to)) = objects.range {
            self.ranges.add(from, to);
        }
        for name in &objects.names {
            if self.names.len() >= NAMES_MAX && !self.names.contains(name) {
                // Too many to list: whatever this function names is usual.
                self.any = true;
                return;
            }
            self.names.insert(name.clone());
        }
    }
}

impl Station {
    /// What is new about a message that no entry covers.
    fn deviation(&self, what: &What) -> &'static str {
        let mut usual = self.entries.values().filter(|e| e.origin != Origin::Deviating && e.what.master == what.master).peekable();
        if usual.peek().is_none() {
            return "new_master";
        }
        if usual.any(|e| e.what == *what) { "new_address" } else { "new_function" }
    }

    /// What was usual instead, the first few.
    fn usual(&self, kind: &str, what: &What) -> Vec<Value> {
        let usual = self.entries.values().filter(|e| e.origin != Origin::Deviating);
        let all: BTreeSet<String> = match kind {
            "new_master" => usual.map(|e| e.what.master.clone()).collect(),
            "new_function" => usual.filter(|e| e.what.master == what.master).map(|e| e.what.function.clone()).collect(),
            _ => usual.filter(|e| e.what == *what).flat_map(|e| e.names.iter().cloned().chain([e.ranges.text()])).collect(),
        };
        all.into_iter().filter(|t| !t.is_empty()).take(USUAL_MAX).map(|t| Value::text(&t)).collect()
    }

    /// Forgets the deviation seen longest ago if there are too many; how many went.
    fn make_room(&mut self) -> usize {
        let deviating = self.entries.iter().filter(|(_, e)| e.origin == Origin::Deviating);
        if deviating.clone().count() < DEVIATIONS_MAX {
            return 0;
        }
        let oldest = deviating.min_by_key(|(_, e)| e.last).map(|(id, _)| id.clone());
        oldest.and_then(|id| self.entries.remove(&id)).map_or(0, |_| 1)
    }
}

fn say(event: &Event, now: Timestamp, made: u64, [id, kind, entry]: [&str; 3], usual: Vec<Value>, count: u64) -> Event {
    let mut said = event.clone();
    said.source = LogSource::new("", "baseline", "ot");
    said.observed = now;
    let body = &mut said.body;
    body.set(field::BASELINE_EVENT, event.id.to_string());
    body.set(field::BASELINE_ID, id);
    body.set(field::BASELINE_DEVIATION, kind);
    body.set(field::BASELINE_ENTRY, entry);
    if !usual.is_empty() {
        body.set(field::BASELINE_USUAL, usual);
    }
    body.set(field::COUNT, count);
    // Agent 0 is the collector itself; its own watch counts in the critical class. Both numbers only rise.
    said.id = EventId { agent: AgentId(0), epoch: Epoch(u64::try_from(now.secs()).unwrap_or(0)), class: Class::Normal, seq: made };
    said
}

/// Fields these events carry on top of those of the message.
pub static FIELDS: &[Field] =
    &[field::BASELINE_ID, field::BASELINE_DEVIATION, field::BASELINE_ENTRY, field::BASELINE_USUAL, field::BASELINE_EVENT];

fn station_id(unit: Option<&str>, address: &str, protocol: &str) -> String {
    named("S", &[unit.unwrap_or_default(), address, protocol])
}

fn entry_id(what: &What, deviating: bool) -> String {
    let number = what.number.map(|n| n.to_string()).unwrap_or_default();
    let parts = [what.master.as_str(), &number, &what.function, &what.sub_function, &what.object_type];
    named(if deviating { "D" } else { "E" }, &parts)
}

/// A letter and the first digits of a hash: the same thing has the same name on every machine.
fn named(letter: &str, parts: &[&str]) -> String {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let hex = hash.finalize().to_hex();
    format!("{letter}{}", hex.get(..10).unwrap_or_default())
}
