//! A frame as received becomes events: decoded, named, joined with the register.
//!
//! What only the collector may say (`agent.id`, `unit.*`, `object.*`, `asset.id`, `metadata.logged_time`, `clock.skew_ms`) is set here and
//! nowhere else: an agent's own words for these fields are thrown away, room for ours is made where an event is full. Numbers
//! that are gone become events of service `gap`, so that loss is seen, searched and alerted on like anything else. Agent 0 is the
//! collector itself (no certificate is ever given that id); its events are not joined again.

use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use event::{AgentId, Class, Epoch, Event, EventId, FIELDS_MAX, Field, Kind, LogSource, Name, Severity, Timestamp, Value, field};
use wire::{Batch, Row};

use crate::register::Register;
use crate::store::{Marks, Watermark};

/// One accepted batch, as the write-ahead log keeps it (`store::Frame` lends this view).
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    pub agent: AgentId,
    pub received: Timestamp,
    pub class: Class,
    pub epoch: Epoch,
    pub first_seq: u64,
    pub last_seq: u64,
    /// Wire batch as received.
    pub bytes: &'a Bytes,
}

/// What became of a frame: numbers covered = `events + damaged + declared_lost + repeated`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub events: u64,
    /// Numbers whose bytes could not be read.
    pub damaged: u64,
    /// Numbers covered by gap rows.
    pub declared_lost: u64,
    /// Numbers an earlier frame covered already; left out.
    pub repeated: u64,
}

/// Keeps the clock estimate and the host name of each agent, and how far each came; otherwise without state.
#[derive(Debug, Default)]
pub struct Normaliser {
    agents: HashMap<AgentId, Known>,
    /// The last number met, by agent and class. A batch that was cut anew after a failure brings numbers that are in the log already.
    marks: Marks,
    /// Ids of the collector's own last events: made again after a crash they come back under the same id.
    own: VecDeque<EventId>,
}

#[derive(Debug, Default)]
struct Known {
    hostname: Option<String>,
    /// Least `received − observed`, of the current minute and the one before: what was under way shortest shows the clock best.
    least: [Option<i64>; 2],
    minute: i64,
}

/// Fields that are the collector's to say.
const OURS: [Field; 9] = [
    field::AGENT_ID,
    field::UNIT_ID,
    field::UNIT_NAME,
    field::UNIT_SECTOR,
    field::OBJECT_ID,
    field::OBJECT_IMPORTANCE,
    field::ASSET_ID,
    field::RECEIVED_TIME,
    field::CLOCK_SKEW_MS,
];
/// Own ids remembered: what one snapshot interval can make again.
const OWN_MAX: usize = 1_024;
/// Skews below this are not worth a field.
const SKEW_SHOWN_MS: i64 = 1_000;

impl Normaliser {
    pub fn new() -> Self {
        Self::default()
    }

    /// One that begins in the middle of a log; `marks` is what the log holds before that place.
    pub fn resuming(marks: Marks) -> Self {
        Self { marks, ..Self::default() }
    }

    /// Numbers up to here are known already; all of them where an earlier epoch comes again.
    fn known_to(&mut self, frame: &FrameView<'_>) -> Option<u64> {
        if frame.agent == AgentId(0) {
            return None;
        }
        let now = Watermark { epoch: frame.epoch, seq: frame.last_seq };
        let mark = match self.marks.entry((frame.agent, frame.class)) {
            Entry::Vacant(slot) => {
                slot.insert(now);
                return None;
            }
            Entry::Occupied(slot) => slot.into_mut(),
        };
        let before = *mark;
        *mark = before.max(now);
        match before.epoch.cmp(&frame.epoch) {
            Ordering::Less => None,
            Ordering::Equal => Some(before.seq),
            Ordering::Greater => Some(u64::MAX),
        }
    }

    /// True the second time one of the collector's own events comes by.
    fn own_again(&mut self, id: EventId) -> bool {
        if id.agent != AgentId(0) {
            return false;
        }
        if self.own.contains(&id) {
            return true;
        }
        if self.own.len() >= OWN_MAX {
            self.own.pop_front();
        }
        self.own.push_back(id);
        false
    }

    /// Appends the events of a frame in the order of their numbers, without those an earlier frame had.
    pub fn frame(&mut self, frame: FrameView<'_>, register: &Register, out: &mut Vec<Arc<Event>>) -> Tally {
        let mut tally = Tally::default();
        let known_to = self.known_to(&frame);
        let id = |seq| EventId { agent: frame.agent, epoch: frame.epoch, class: frame.class, seq };
        // What is new of `count` numbers from `seq` on: the first, and how many.
        let fresh = |seq: u64, count: u64, tally: &mut Tally| {
            let count = count.max(1);
            let last = seq.saturating_add(count - 1);
            let from = known_to.map_or(Some(seq), |known| known.checked_add(1).map(|next| next.max(seq))).filter(|from| *from <= last);
            let left = from.map_or(0, |from| last - from + 1);
            tally.repeated += count - left.min(count);
            from.map(|from| (from, left))
        };
        let unpacked = Batch::from_bytes(frame.bytes.clone()).and_then(|b| b.unpack());
        let mut events: Vec<Event> = Vec::new();
        match &unpacked {
            Ok(unpacked) => {
                for (seq, row) in unpacked.rows() {
                    let count = if let Row::Gap { count, .. } = row { count } else { 1 };
                    let Some((seq, count)) = fresh(seq, count, &mut tally) else { continue };
                    if self.own_again(id(seq)) {
                        tally.repeated += 1;
                        continue;
                    }
                    match row {
                        Row::Event(bytes) => match wire::event::decode(bytes) {
                            Ok(mut event) => {
                                event.id = id(seq);
                                tally.events += 1;
                                events.push(event);
                            }
                            Err(_) => {
                                tally.damaged += 1;
                                events.push(gap(id(seq), 1, "damaged", frame.received));
                            }
                        },
                        Row::Gap { reason, .. } => {
                            tally.declared_lost += count;
                            events.push(gap(id(seq), count, reason, frame.received));
                        }
                    }
                }
            }
            Err(_) => {
                let count = frame.last_seq.saturating_sub(frame.first_seq).saturating_add(1);
                if let Some((seq, count)) = fresh(frame.first_seq, count, &mut tally) {
                    tally.damaged += count;
                    events.push(gap(id(seq), count, "damaged", frame.received));
                }
            }
        }
        for event in &events {
            self.learn(event, frame.received);
        }
        let known = self.agents.entry(frame.agent).or_default();
        for mut event in events {
            join(&mut event, known, register, frame.agent, frame.received);
            out.push(Arc::new(event));
        }
        tally
    }

    fn learn(&mut self, event: &Event, received: Timestamp) {
        let known = self.agents.entry(event.id.agent).or_default();
        if let Some(name) = event.get(field::DEVICE_HOSTNAME).and_then(Value::as_str)
            && known.hostname.as_deref() != Some(name)
        {
            known.hostname = Some(name.to_owned());
        }
        let minute = received.secs().div_euclid(60);
        if minute != known.minute {
            known.least = [None, if minute == known.minute + 1 { known.least[0] } else { None }];
            known.minute = minute;
        }
        let delay = received.since(event.observed);
        known.least[0] = Some(known.least[0].map_or(delay, |l| l.min(delay)));
    }
}

impl Known {
    /// Agent's clock minus ours, milliseconds.
    fn skew_ms(&self) -> Option<i64> {
        self.least.iter().flatten().min().map(|delay| -delay / 1_000_000)
    }
}

fn join(event: &mut Event, known: &Known, register: &Register, agent: AgentId, received: Timestamp) {
    if agent == AgentId(0) {
        // The engine's own, written to the log and read back: its words are ours already.
        event.body.set(field::RECEIVED_TIME, received.ms());
        return;
    }
    for ours in OURS {
        event.body.remove(&Name::Known(ours));
    }
    // Room for ours: names outside the table go first, newest first.
    while event.body.len() > FIELDS_MAX - OURS.len() - 1 {
        let names = || event.body.iter().map(|(name, _)| name);
        let Some(gone) = names().filter(|n| matches!(n, Name::Other(_))).last().or_else(|| names().last()).cloned() else { break };
        event.body.remove(&gone);
    }
    let hostname = event.get(field::DEVICE_HOSTNAME).and_then(Value::as_str).or(known.hostname.as_deref()).map(str::to_owned);
    let facts = register.host(agent, hostname.as_deref());
    event.body.set(field::AGENT_ID, agent.to_string());
    event.body.set(field::RECEIVED_TIME, received.ms());
    if event.get(field::DEVICE_HOSTNAME).is_none() {
        event.body.set_some(field::DEVICE_HOSTNAME, hostname);
    }
    if let Some(unit) = facts.unit {
        event.body.set(field::UNIT_ID, unit.id.as_str());
        event.body.set(field::UNIT_NAME, unit.name.as_str());
        event.body.set(field::UNIT_SECTOR, unit.sector.as_str());
    }
    if let Some(asset) = facts.asset {
        event.body.set(field::ASSET_ID, asset.id.as_str());
        event.body.set(field::OBJECT_IMPORTANCE, asset.importance);
        if !asset.object.is_empty() {
            event.body.set(field::OBJECT_ID, asset.object.as_str());
        }
    }
    if let Some(skew) = known.skew_ms().filter(|s| s.abs() >= SKEW_SHOWN_MS || event.source.service.as_deref() == Some("heartbeat")) {
        event.body.set(field::CLOCK_SKEW_MS, skew);
    }
}

/// Numbers that are gone, as an event under the first of them.
fn gap(id: EventId, count: u64, reason: &str, received: Timestamp) -> Event {
    let mut event = Event::new(received, Kind::ApplicationError, 1, LogSource::new("vedette", "agent", "gap"))
        .with(field::GAP_CLASS, id.class.name())
        .with(field::GAP_EPOCH, id.epoch.0)
        .with(field::GAP_FIRST, id.seq)
        .with(field::GAP_LAST, id.seq.saturating_add(count.max(1) - 1))
        .with(field::GAP_COUNT, count)
        .with(field::GAP_REASON, reason);
    event.id = id;
    event.severity = Severity::Low;
    event
}

#[cfg(test)]
mod tests {
    use wire::Packer;

    use super::*;

    fn batch(rows: &[Row<'_>]) -> Bytes {
        let mut packer = Packer::new(1);
        for row in rows {
            assert!(packer.push(*row));
        }
        packer.pack(Class::Normal, Epoch(7), 5).unwrap().to_bytes()
    }

    fn frame(bytes: &Bytes, received: i64) -> FrameView<'_> {
        let batch = Batch::from_bytes(bytes.clone()).unwrap();
        let (agent, received) = (AgentId(0xaa), Timestamp::from_secs(received));
        FrameView { agent, received, class: Class::Normal, epoch: Epoch(7), first_seq: batch.first_seq, last_seq: batch.last_seq, bytes }
    }

    fn encoded(event: &Event) -> Vec<u8> {
        let mut bytes = Vec::new();
        wire::event::encode(event, &mut bytes);
        bytes
    }

    fn register() -> Register {
        let text = "[[unit]]\nid = \"grid\"\nname = \"市电网\"\nsector = \"power\"\n[[object]]\nid = \"dispatch\"\nunit = \"grid\"\nname = \"调度\"\n[[asset]]\nid = \"scada\"\nunit = \"grid\"\nimportance = 3\nobject = \"dispatch\"\nagent = \"00000000000000aa\"\n";
        Register::parse(text, "r.toml").unwrap()
    }

    fn plain(time: i64) -> Event {
        Event::new(Timestamp::from_secs(time), Kind::NetworkActivity, 1, LogSource::new("", "network_connection", "flow"))
    }

    #[test]
    fn events_get_their_names_and_what_the_register_knows_and_gaps_become_events() {
        let liar = plain(100).with(field::UNIT_ID, "bank").with(field::AGENT_ID, "feed").with(field::SRC_PORT, 1u16);
        let bytes = [encoded(&liar), encoded(&plain(101))];
        let rows = [Row::Event(&bytes[0]), Row::Gap { count: 3, reason: "evicted" }, Row::Event(&bytes[1]), Row::Event(b"\xff\xff")];
        let mut out = Vec::new();
        let tally = Normaliser::new().frame(frame(&batch(&rows), 102), &register(), &mut out);
        assert_eq!(tally, Tally { events: 2, damaged: 1, declared_lost: 3, repeated: 0 });
        let seqs: Vec<u64> = out.iter().map(|e| e.id.seq).collect();
        assert_eq!(seqs, [5, 6, 9, 10]);
        let first = &out[0];
        assert_eq!(first.text(field::UNIT_ID), "grid");
        assert_eq!(first.text(field::AGENT_ID), "00000000000000aa");
        assert_eq!(first.get(field::OBJECT_IMPORTANCE), Some(&Value::Int(3)));
        assert_eq!(first.get(field::RECEIVED_TIME), Some(&Value::Int(102_000)));
        let gap = &out[1];
        assert_eq!((gap.text(field::GAP_REASON).as_ref(), gap.get(field::GAP_LAST)), ("evicted", Some(&Value::Int(8))));
        assert_eq!(gap.text(field::UNIT_ID), "grid", "a loss has an owner too");
        assert_eq!(out[3].text(field::GAP_REASON), "damaged");
    }

    #[test]
    fn a_batch_that_cannot_be_read_is_one_gap() {
        let whole = batch(&[Row::Gap { count: 9, reason: "x" }]);
        let half = whole.slice(..whole.len() / 2);
        let broken = FrameView { bytes: &half, ..frame(&whole, 1) };
        let mut out = Vec::new();
        assert_eq!(Normaliser::new().frame(broken, &register(), &mut out), Tally { damaged: 9, ..Tally::default() });
        assert_eq!(out[0].get(field::GAP_COUNT), Some(&Value::Int(9)));
    }

    #[test]
    fn numbers_an_earlier_frame_had_are_not_taken_twice() {
        let event = encoded(&plain(100));
        let first = batch(&[Row::Event(&event), Row::Event(&event), Row::Gap { count: 2, reason: "evicted" }]);
        // The same numbers cut anew: 5 and 6 known, the gap 7..=8 known by half of a longer one, 12 new.
        let again = batch(&[Row::Event(&event), Row::Event(&event), Row::Gap { count: 5, reason: "evicted" }, Row::Event(&event)]);
        let mut normaliser = Normaliser::new();
        let mut out = Vec::new();
        let seqs = |out: &mut Vec<Arc<Event>>| out.drain(..).map(|e| e.id.seq).collect::<Vec<_>>();
        normaliser.frame(frame(&first, 102), &register(), &mut out);
        assert_eq!(seqs(&mut out), [5, 6, 7]);
        let tally = normaliser.frame(frame(&again, 103), &register(), &mut out);
        assert_eq!(tally, Tally { events: 1, damaged: 0, declared_lost: 3, repeated: 4 });
        assert_eq!(out[0].get(field::GAP_LAST), Some(&Value::Int(11)));
        assert_eq!(seqs(&mut out), [9, 12]);
        assert_eq!(normaliser.frame(frame(&again, 104), &register(), &mut out), Tally { repeated: 8, ..Tally::default() });
        // An epoch that is over comes again; a new one counts from its own beginning.
        let older = FrameView { epoch: Epoch(6), ..frame(&again, 105) };
        assert_eq!(normaliser.frame(older, &register(), &mut out).repeated, 8);
        let newer = FrameView { epoch: Epoch(8), ..frame(&again, 105) };
        assert_eq!(normaliser.frame(newer, &register(), &mut out).repeated, 0);
        let half = first.slice(..first.len() / 2);
        let broken = FrameView { bytes: &half, first_seq: 10, last_seq: 14, epoch: Epoch(8), ..frame(&first, 106) };
        assert_eq!(normaliser.frame(broken, &register(), &mut out), Tally { damaged: 2, repeated: 3, ..Tally::default() });
    }

    #[test]
    fn an_event_of_our_own_that_was_made_again_is_stored_once() {
        let bytes = encoded(&plain(100));
        let own = batch(&[Row::Event(&bytes)]);
        let view = FrameView { agent: AgentId(0), ..frame(&own, 102) };
        let mut normaliser = Normaliser::new();
        let mut out = Vec::new();
        assert_eq!(normaliser.frame(view, &register(), &mut out).events, 1);
        assert_eq!(normaliser.frame(view, &register(), &mut out), Tally { repeated: 1, ..Tally::default() });
        let earlier = FrameView { epoch: Epoch(2), ..view };
        assert_eq!(normaliser.frame(earlier, &register(), &mut out).events, 1, "a clock set back silences nobody");
    }

    #[test]
    fn a_full_event_still_gets_its_unit() {
        let mut full = plain(1);
        for n in 0..FIELDS_MAX {
            full.body.set(Name::from(format!("f{n}").as_str()), true);
        }
        let bytes = encoded(&full);
        let mut out = Vec::new();
        Normaliser::new().frame(frame(&batch(&[Row::Event(&bytes)]), 1), &register(), &mut out);
        assert_eq!(out[0].text(field::UNIT_ID), "grid");
        assert_eq!(out[0].get_named("f0"), Some(&Value::Bool(true)));
    }

    #[test]
    fn the_skew_is_what_the_quickest_event_shows() {
        let mut normaliser = Normaliser::new();
        let mut out = Vec::new();
        let bytes = [encoded(&plain(900)), encoded(&plain(1_300))];
        normaliser.frame(frame(&batch(&[Row::Event(&bytes[0]), Row::Event(&bytes[1])]), 1_000), &register(), &mut out);
        assert_eq!(out[1].get(field::CLOCK_SKEW_MS), Some(&Value::Int(300_000)), "a backlog does not hide a clock five minutes ahead");
    }
}
