//! Log, event store and desk together on real files: whatever moment the program dies at, each acknowledged event is there once, and the
//! engine's position never runs ahead of its alerts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use collector::store::desk::Step;
use collector::store::{CountBy, DeskStore, DiskConfig, DiskStore, EventStore, Frame, Query, Scope, SqliteDesk, Wal, WalConfig};
use event::{AgentId, Class, Epoch, Event, EventId, Kind, LogSource, Timestamp, field};

/// SplitMix64: a failing seed is in the message.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn events(frame: &Frame) -> Vec<Arc<Event>> {
    let one = |seq| {
        let mut e = Event::new(Timestamp::from_secs(seq as i64), Kind::Base, 0, LogSource::new("", "", "")).with(field::COUNT, seq);
        e.id = EventId { agent: frame.agent, epoch: frame.epoch, class: frame.class, seq };
        Arc::new(e)
    };
    (frame.first_seq..=frame.last_seq).map(one).collect()
}

struct House {
    wal: Wal,
    store: DiskStore,
    desk: SqliteDesk,
}

impl House {
    fn open(path: &Path) -> Self {
        let store = DiskStore::open(DiskConfig { thread: false, ..DiskConfig::new(path.join("events")) }).expect("store");
        let desk = SqliteDesk::open(&path.join("desk.db")).expect("desk");
        let known = store.durable().max(desk.engine().expect("engine").position);
        let config = WalConfig { segment_bytes: 600, group_wait: std::time::Duration::ZERO, begin_at: known, ..WalConfig::default() };
        let (wal, found) = Wal::open(&path.join("wal"), config).expect("log");
        assert_eq!(found.damaged, Vec::new());
        Self { wal, store, desk }
    }

    /// Reads the log on from where the store is; dies after `steps` frames if there are so many.
    fn work(&self, steps: u64, chance: &mut Chance) {
        let from = self.store.durable().min(self.desk.engine().expect("engine").position).max(self.wal.oldest());
        let mut reader = self.wal.read(from).expect("the log from where it is needed");
        for _ in 0..steps {
            let Some(entry) = reader.next().expect("a readable log") else { break };
            self.store.append(entry.next, &events(&entry.frame)).expect("append");
            self.desk.save(&Step { position: entry.next, ..Step::default() }).expect("save");
            match chance.below(6) {
                0 => self.store.seal().expect("seal"),
                1 => drop(self.store.compact(Timestamp::ZERO).expect("compact")),
                2 => {
                    let done = self.store.durable().min(self.desk.engine().expect("engine").position);
                    self.wal.release(done).expect("release");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn each_acknowledged_event_is_there_once_whenever_the_program_dies() {
    for seed in 0..8 {
        let mut chance = Chance(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let mut sent: BTreeMap<AgentId, u64> = BTreeMap::new();
        for _life in 0..6 {
            let house = House::open(folder.path());
            for (agent, last) in &sent {
                let mark = house.wal.watermarks().get(&(*agent, Class::Normal)).map(|m| m.seq);
                assert_eq!(mark, Some(*last), "seed {seed}: what was acknowledged is known after a kill");
            }
            for _ in 0..chance.below(8) {
                let agent = AgentId(1 + chance.below(3));
                let last = sent.entry(agent).or_insert(0);
                let (first_seq, last_seq) = (*last + 1, *last + 1 + chance.below(5));
                let frame = Frame {
                    agent,
                    received: Timestamp::ZERO,
                    class: Class::Normal,
                    epoch: Epoch(1),
                    first_seq,
                    last_seq,
                    bytes: Bytes::from(vec![7; 90]),
                };
                house.wal.append(frame).wait().expect("an acknowledgement");
                *last = last_seq;
            }
            let steps = chance.below(12);
            house.work(steps, &mut chance);
            // No goodbye: nothing is flushed, sealed or closed.
            std::mem::forget(house);
        }
        let house = House::open(folder.path());
        house.work(u64::MAX, &mut chance);
        let by = CountBy { keys: vec![collector::store::Header::Agent.into()], ..CountBy::default() };
        let counts = house.store.count_by(&Scope::CITY, &Query::default(), &by).expect("a count");
        let held: BTreeMap<String, u64> = counts.groups.into_iter().map(|c| (c.values[0].clone().unwrap_or_default(), c.count)).collect();
        let want: BTreeMap<String, u64> = sent.iter().map(|(a, n)| (a.to_string(), *n)).collect();
        assert_eq!(held, want, "seed {seed}");
        assert_eq!(house.desk.engine().expect("engine").position, house.store.taken(), "seed {seed}");
    }
}
