//! One simulated world: its clock, its agents, its links and its faults.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use event::{Class, Epoch, Timestamp};
use spool::{Config, Faults, OpenError, Position, RecordKind, SimDisk, Spool};
use wire::link::{Action, Mark, Marks, Message, Reaction, Sender, SenderConfig, Session};
use wire::{Packer, Row};

use super::collector::Collector;
use super::{Chance, Seen};

const MS: u64 = 1_000_000;
const AGENTS: usize = 2;
/// Faults stop here; from then on everything must come to rest.
const CHAOS_MS: u64 = 5_000;
const END_MS: u64 = 400_000;

fn small() -> Config {
    Config { bytes_max: 48 * 1024, segment_bytes: 4096, critical_bytes: 12 * 1024, payload_bytes_max: 512, pending_bytes_max: 4096 }
}

#[derive(Debug, Clone, PartialEq)]
enum Happening {
    /// The source has new lines.
    Lines(usize),
    Commit(usize),
    /// The agent's link has a deadline.
    Agent(usize),
    Dialled(usize, bool),
    ToCollector(u64, Message),
    ToAgent(u64, Message),
    /// One end learns that the connection is gone.
    CollectorSees(u64),
    AgentSees(u64),
    Sync,
    Keepalives,
    Fault,
}

struct Connection {
    agent: usize,
    session: Option<Session>,
    /// Last delivery each way: the stream keeps its order.
    to_collector: u64,
    to_agent: u64,
    /// Half open: what is sent this way vanishes.
    mute_to_collector: bool,
    mute_to_agent: bool,
    cut: bool,
}

struct Agent {
    disk: SimDisk,
    spool: Option<Spool<SimDisk>>,
    sender: Sender,
    packer: Packer,
    connection: Option<u64>,
    /// Next line of the source, and what number each line was given.
    line: u64,
    lines_max: u64,
    given: Vec<BTreeMap<(u64, u64), u64>>,
    lives: u64,
    /// Position of the last checkpoint a commit succeeded with.
    safe: u64,
}

struct World {
    now: u64,
    order: u64,
    happenings: BinaryHeap<Reverse<(u64, u64, usize)>>,
    what: BTreeMap<usize, Happening>,
    chance: Chance,
    agents: Vec<Agent>,
    collector: Option<Collector>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    seen: Seen,
    seed: u64,
    sync_due: bool,
    slow: u64,
}

fn marks(positions: [Position; spool::LANES]) -> Marks {
    positions.map(|p| Mark::new(p.epoch, p.seq))
}

fn payload(agent: usize, line: u64) -> Vec<u8> {
    let len = 16 + (line * 37 % 90) as usize;
    let mut bytes = Vec::with_capacity(len);
    bytes.extend_from_slice(&(agent as u64).to_le_bytes());
    bytes.extend_from_slice(&line.to_le_bytes());
    bytes.resize(len, line as u8);
    bytes
}

fn lane(line: u64) -> u8 {
    [1, 2, 2, 0, 2, 1, 2][(line % 7) as usize]
}

fn sender_config() -> SenderConfig {
    SenderConfig {
        window_bytes: 16 * 1024,
        window_batches: 16,
        batch_bytes: 1500,
        keepalive_ns: 2_000_000_000,
        backoff_min_ns: 50_000_000,
        backoff_max_ns: 2_000_000_000,
        product: "sim".into(),
    }
}

/// Runs one world to its end and checks it.
pub fn run(seed: u64) -> Seen {
    let mut chance = Chance(seed);
    let collector = Collector::new(SimDisk::new(seed ^ 0xc011), AGENTS);
    let mut world = World {
        now: 0,
        order: 0,
        happenings: BinaryHeap::new(),
        what: BTreeMap::new(),
        agents: Vec::new(),
        collector: Some(collector),
        connections: BTreeMap::new(),
        next_connection: 1,
        seen: Seen::default(),
        seed,
        sync_due: false,
        slow: chance.between(5, 20),
        chance,
    };
    for n in 0..AGENTS {
        let disk = SimDisk::new(seed ^ (0xa6e7 + n as u64));
        let lines_max = world.chance.between(100, 400);
        world.agents.push(Agent {
            disk,
            spool: None,
            sender: Sender::new(sender_config(), &Marks::default(), 0),
            packer: Packer::new(1),
            connection: None,
            line: 0,
            lines_max,
            given: vec![BTreeMap::new(); spool::LANES],
            lives: 0,
            safe: 0,
        });
        world.start_agent(n);
        world.later(n as u64, Happening::Lines(n));
        world.later(50, Happening::Commit(n));
    }
    world.later(100, Happening::Fault);
    world.later(500, Happening::Keepalives);
    world.go();
    world.check_end()
}

impl World {
    fn later(&mut self, ms: u64, what: Happening) {
        self.at(self.now + ms * MS, what);
    }

    fn at(&mut self, time: u64, what: Happening) {
        self.order += 1;
        let key = self.order as usize;
        self.happenings.push(Reverse((time, self.order, key)));
        self.what.insert(key, what);
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_ns(self.now as i64)
    }

    fn chaos(&self) -> bool {
        self.now < CHAOS_MS * MS
    }

    fn go(&mut self) {
        while let Some(Reverse((time, _, key))) = self.happenings.pop() {
            self.now = time;
            let Some(what) = self.what.remove(&key) else { continue };
            if !self.chaos() && self.at_rest() {
                return;
            }
            assert!(time < END_MS * MS, "seed {}: not at rest after {END_MS} ms: {}", self.seed, self.state());
            self.happen(what);
        }
    }

    fn state(&self) -> String {
        self.agents
            .iter()
            .map(|a| format!("{:?} {:?} line {}/{}; ", a.sender.state(), a.spool.as_ref().map(Spool::ledger), a.line, a.lines_max))
            .collect()
    }

    fn at_rest(&self) -> bool {
        self.collector.is_some()
            && self.agents.iter().all(|a| {
                let quiet = |s: &Spool<SimDisk>| !s.is_dirty() && s.cursors() == s.ends();
                a.line >= a.lines_max && a.spool.as_ref().is_some_and(quiet)
            })
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Lines(n) => {
                self.append_lines(n);
                let ms = self.chance.between(5, 60);
                self.later(ms, Happening::Lines(n));
            }
            Happening::Commit(n) => {
                self.commit(n);
                self.later(50, Happening::Commit(n));
            }
            Happening::Agent(n) => self.drive(n),
            Happening::Dialled(n, ok) => self.dialled(n, ok),
            Happening::ToCollector(c, message) => self.arrive(c, message),
            Happening::ToAgent(c, message) => {
                if let Some(n) = self.connections.get(&c).filter(|c| !c.cut).map(|c| c.agent)
                    && self.agents[n].connection == Some(c)
                {
                    let now = self.time();
                    self.agents[n].sender.received(now, message);
                    self.drive(n);
                }
            }
            Happening::CollectorSees(c) => {
                if let Some(Connection { agent, session: Some(session), .. }) = self.connections.get(&c)
                    && let Some(collector) = &mut self.collector
                {
                    collector.receivers[*agent].closed(*session);
                }
                self.connections.remove(&c);
            }
            Happening::AgentSees(c) => {
                if let Some(n) = (0..AGENTS).find(|n| self.agents[*n].connection == Some(c)) {
                    let now = self.time();
                    self.agents[n].connection = None;
                    self.agents[n].sender.disconnected(now);
                    self.drive(n);
                }
            }
            Happening::Sync => self.sync(),
            Happening::Keepalives => {
                let now = self.time();
                for n in 0..AGENTS {
                    let mut reactions = Vec::new();
                    if let Some(collector) = &mut self.collector {
                        collector.receivers[n].poll(now, &mut reactions);
                    }
                    self.react(n, reactions);
                }
                self.later(500, Happening::Keepalives);
            }
            Happening::Fault => {
                self.fault();
                let ms = self.chance.between(20, 400);
                self.later(ms, Happening::Fault);
            }
        }
    }

    // ---- the agent ----

    fn start_agent(&mut self, n: usize) {
        let now_secs = 1_000 + self.now / 1_000_000_000;
        let agent = &mut self.agents[n];
        let (spool, recovery) = match Spool::open(agent.disk.clone(), small(), now_secs) {
            Ok(opened) => opened,
            Err(OpenError::Io { .. }) => {
                // The service manager tries again, on a disk that somebody has looked at.
                agent.disk.set_faults(Faults::default());
                agent.disk.set_quota(u64::MAX);
                agent.disk = agent.disk.crash();
                Spool::open(agent.disk.clone(), small(), now_secs).expect("a healthy disk")
            }
            Err(e) => panic!("seed {}: {e}", self.seed),
        };
        let at = recovery
            .checkpoints
            .iter()
            .find(|(key, _)| key == "line")
            .map_or(0, |(_, v)| u64::from_le_bytes(v[..].try_into().expect("eight")));
        assert!(at >= agent.safe, "seed {}, agent {n}: checkpoint {at} after a commit at {}", self.seed, agent.safe);
        // Numbers past the recovered end were never committed: their lines come again, or were declared.
        let ends = spool.ends();
        for (given, end) in agent.given.iter_mut().zip(ends) {
            let kept = |(e, s): &(u64, u64)| Position::new(*e, *s) <= end;
            given.retain(|id, _| kept(id));
        }
        self.seen.reread += agent.given.iter().flat_map(|g| g.values()).filter(|line| **line >= at).count() as u64;
        agent.line = at;
        agent.lives += 1;
        agent.sender = Sender::new(sender_config(), &marks(spool.cursors()), self.seed ^ agent.lives);
        agent.spool = Some(spool);
        self.drive(n);
    }

    fn append_lines(&mut self, n: usize) {
        let count = self.chance.between(1, 12);
        let agent = &mut self.agents[n];
        let Some(spool) = &mut agent.spool else { return };
        for _ in 0..count {
            if agent.line >= agent.lines_max {
                break;
            }
            let line = agent.line;
            let lane = lane(line);
            let mut bytes = payload(n, line);
            if line.is_multiple_of(97) {
                bytes.resize(600, 0);
            }
            let seq = match spool.append(lane, self.now as i64, &bytes) {
                Ok(seq) | Err(spool::AppendError::Oversize { seq, .. } | spool::AppendError::Refused { seq }) => seq,
                Err(e) => panic!("{e}"),
            };
            agent.given[usize::from(lane)].insert((spool.epoch(), seq), line);
            agent.line += 1;
            self.seen.lines += 1;
        }
        spool.checkpoint("line", &agent.line.to_le_bytes()).expect("small");
    }

    fn commit(&mut self, n: usize) {
        let agent = &mut self.agents[n];
        let Some(spool) = &mut agent.spool else { return };
        if spool.commit().is_ok() {
            agent.safe = agent.line;
            for class in Class::ALL {
                agent.sender.wake(class);
            }
        }
        for (lane, ledger) in spool.ledger().iter().enumerate() {
            assert!(ledger.balances(), "seed {}, agent {n}, lane {lane}: {ledger:?}", self.seed);
        }
        self.drive(n);
    }

    /// Does what the agent's link asks for, until it waits.
    fn drive(&mut self, n: usize) {
        let now = self.time();
        loop {
            let agent = &mut self.agents[n];
            let Some(spool) = &mut agent.spool else { return };
            match agent.sender.poll(now) {
                Action::Connect => {
                    let (ok, ms) = (self.collector.is_some(), self.chance.between(1, 40));
                    self.later(ms, Happening::Dialled(n, ok));
                }
                Action::Send(message) => self.send_to_collector(n, message),
                Action::Read { class, after, bytes_max } => {
                    let records = spool.read(class as u8, Position::new(after.epoch.0, after.seq), bytes_max as usize).unwrap_or_default();
                    let Some(first) = records.first() else {
                        agent.sender.nothing(class);
                        continue;
                    };
                    for record in &records {
                        let row = match &record.kind {
                            RecordKind::Data(bytes) => Row::Event(bytes),
                            RecordKind::Gap { count, reason } => Row::Gap { count: *count, reason },
                        };
                        if !agent.packer.push(row) {
                            break;
                        }
                    }
                    let batch = agent.packer.pack(class, Epoch(first.epoch), first.seq).expect("a row");
                    agent.sender.offer(batch);
                }
                Action::Acknowledge { class, upto } => spool.acknowledge(class as u8, Position::new(upto.epoch.0, upto.seq)),
                Action::Policy(_) => {}
                Action::Disconnect { code, reason } => {
                    assert!(!matches!(code, wire::link::CloseCode::Hole), "seed {}, agent {n}: {reason}", self.seed);
                    agent.sender.disconnected(now);
                    if let Some(c) = agent.connection.take() {
                        let ms = self.chance.between(1, 30);
                        self.later(ms, Happening::CollectorSees(c));
                    }
                }
                Action::Wait(until) => {
                    if let Some(until) = until {
                        self.at((until.ns() as u64).max(self.now + MS), Happening::Agent(n));
                    }
                    return;
                }
            }
        }
    }

    fn dialled(&mut self, n: usize, ok: bool) {
        let now = self.time();
        let agent = &mut self.agents[n];
        let Some(spool) = &agent.spool else { return };
        if agent.sender.state() != wire::link::State::Connecting {
            return;
        }
        if !ok || self.collector.is_none() {
            agent.sender.disconnected(now);
            return self.drive(n);
        }
        let c = self.next_connection;
        self.next_connection += 1;
        agent.connection = Some(c);
        agent.sender.connected(now, &marks(spool.ends()));
        let connection = Connection {
            agent: n,
            session: None,
            to_collector: self.now,
            to_agent: self.now,
            mute_to_collector: false,
            mute_to_agent: false,
            cut: false,
        };
        self.connections.insert(c, connection);
        let mut reactions = Vec::new();
        let session = self.collector.as_mut().map(|collector| collector.open_session(n, now, &mut reactions));
        self.react(n, reactions);
        if let Some(connection) = self.connections.get_mut(&c) {
            connection.session = session;
        }
        self.drive(n);
    }

    fn send_to_collector(&mut self, n: usize, message: Message) {
        let Some(c) = self.agents[n].connection else { return };
        let (delay, twice) = (self.chance.between(MS, 30 * MS), self.chaos() && self.chance.one_in(50));
        let Some(connection) = self.connections.get_mut(&c).filter(|c| !c.cut && !c.mute_to_collector) else { return };
        connection.to_collector = connection.to_collector.max(self.now + delay) + 1;
        let at = connection.to_collector;
        if twice && matches!(message.body, Some(wire::link::Body::Batch(_))) {
            self.seen.doubled += 1;
            self.at(at, Happening::ToCollector(c, message.clone()));
        }
        self.at(at, Happening::ToCollector(c, message));
    }

    // ---- the collector ----

    fn arrive(&mut self, c: u64, message: Message) {
        let now = self.time();
        let Some(Connection { agent, session: Some(session), cut: false, .. }) = self.connections.get(&c) else { return };
        let (n, session) = (*agent, *session);
        let Some(collector) = &mut self.collector else { return };
        let mut reactions = Vec::new();
        collector.receivers[n].received(session, now, message, &mut reactions);
        collector.promise(n, &reactions);
        self.react(n, reactions);
    }

    fn react(&mut self, n: usize, reactions: Vec<Reaction>) {
        for reaction in reactions {
            match reaction {
                Reaction::Send(session, message) => {
                    let delay = self.chance.between(MS, 30 * MS);
                    let found = self.connections.iter_mut().find(|(_, c)| c.agent == n && c.session == Some(session));
                    if let Some((c, connection)) = found.filter(|(_, c)| !c.cut && !c.mute_to_agent) {
                        connection.to_agent = connection.to_agent.max(self.now + delay) + 1;
                        let (c, at) = (*c, connection.to_agent);
                        self.at(at, Happening::ToAgent(c, message));
                    }
                }
                Reaction::Store(accepted) => {
                    let Some(collector) = &mut self.collector else { return };
                    if !collector.store(n, &accepted) {
                        return self.log_failed();
                    }
                    if !self.sync_due {
                        self.sync_due = true;
                        self.later(self.slow, Happening::Sync);
                    }
                }
                Reaction::End(session, ..) => {
                    let found = self.connections.iter().find(|(_, c)| c.agent == n && c.session == Some(session));
                    if let Some((c, connection)) = found.map(|(c, connection)| (*c, connection)) {
                        let at = connection.to_agent.max(self.now) + MS;
                        self.at(at, Happening::AgentSees(c));
                    }
                }
                Reaction::Regressed { .. } => {}
            }
        }
    }

    fn sync(&mut self) {
        self.sync_due = false;
        let mut reactions = Vec::new();
        if let Some(collector) = &mut self.collector {
            collector.sync(&mut reactions);
        }
        reactions.into_iter().for_each(|(n, reaction)| self.react(n, vec![reaction]));
    }

    fn log_failed(&mut self) {
        self.seen.log_failures += 1;
        let Some(collector) = self.collector.take() else { return };
        self.count(&collector);
        let mut reactions = Vec::new();
        self.collector = Some(collector.fail(&mut reactions));
        reactions.into_iter().for_each(|(n, reaction)| self.react(n, vec![reaction]));
        // The sessions of the receivers that are gone are no longer anybody's.
        self.connections.values_mut().for_each(|c| c.session = None);
    }

    fn count(&mut self, collector: &Collector) {
        self.seen.duplicates_refused += collector.receivers.iter().map(|r| r.stats().duplicates).sum::<u64>();
    }

    // ---- what goes wrong ----

    fn cut(&mut self, c: u64) {
        if let Some(connection) = self.connections.get_mut(&c) {
            connection.cut = true;
            let (a, b) = (self.chance.between(1, 100), self.chance.between(1, 100));
            self.later(a, Happening::AgentSees(c));
            self.later(b, Happening::CollectorSees(c));
        }
    }

    fn fault(&mut self) {
        let n = self.chance.below(AGENTS as u64) as usize;
        if !self.chaos() {
            // Calm: everything is mended and running.
            for n in 0..AGENTS {
                self.agents[n].disk.set_faults(Faults::default());
                self.agents[n].disk.set_quota(u64::MAX);
                if self.agents[n].spool.is_none() {
                    self.start_agent(n);
                }
            }
            self.slow = 5;
            if let Some(collector) = &self.collector {
                collector.disk.set_quota(u64::MAX);
            }
            return;
        }
        match self.chance.below(16) {
            0..3 => {
                self.seen.agent_crashes += 1;
                self.agents[n].spool = None;
                self.agents[n].disk = self.agents[n].disk.crash();
                if let Some(c) = self.agents[n].connection.take() {
                    let ms = self.chance.between(1, 3_000);
                    self.later(ms, Happening::CollectorSees(c));
                }
                self.start_agent(n);
            }
            3..5 => {
                self.seen.collector_crashes += 1;
                if let Some(collector) = self.collector.take() {
                    self.count(&collector);
                    self.collector = Some(collector.crash());
                    let all: Vec<u64> = self.connections.keys().copied().collect();
                    all.iter().for_each(|c| self.cut(*c));
                    self.connections.values_mut().for_each(|c| c.session = None);
                }
            }
            5..8 => {
                if let Some(c) = self.agents[n].connection {
                    self.seen.cuts += 1;
                    self.cut(c);
                }
            }
            8..10 => {
                if let Some(connection) = self.agents[n].connection.and_then(|c| self.connections.get_mut(&c)) {
                    self.seen.half_open += 1;
                    if self.chance.one_in(2) {
                        connection.mute_to_agent = true;
                    } else {
                        connection.mute_to_collector = true;
                    }
                }
            }
            10 => {
                self.seen.full_disks += 1;
                let used = self.agents[n].disk.used();
                self.agents[n].disk.set_quota(used + self.chance.below(6_000));
            }
            11 => {
                self.seen.failing_disks += 1;
                let (write, sync, create) = (self.chance.below(200), self.chance.below(400), self.chance.below(300));
                self.agents[n].disk.set_faults(Faults { read: 0, write: write as u32, sync: sync as u32, create: create as u32 });
            }
            12..14 => {
                self.agents[n].disk.set_faults(Faults::default());
                self.agents[n].disk.set_quota(u64::MAX);
            }
            14 => self.slow = self.chance.between(5, 1_500),
            _ => {
                if let Some(collector) = &self.collector {
                    let quota = if self.chance.one_in(2) { collector.disk.used() + self.chance.below(4_000) } else { u64::MAX };
                    collector.disk.set_quota(quota);
                }
            }
        }
    }

    // ---- the end ----

    fn check_end(mut self) -> Seen {
        let seed = self.seed;
        let mut collector = self.collector.take().expect("calm");
        self.count(&collector);
        let frames = collector.held();
        let mut at = [Marks::default(); AGENTS];
        let mut stored = [[0u64; spool::LANES]; AGENTS];
        let mut gone = [[0u64; spool::LANES]; AGENTS];
        let mut lines: Vec<BTreeMap<u64, u64>> = vec![BTreeMap::new(); AGENTS];
        let mut declared: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); AGENTS];
        for frame in &frames {
            let (n, lane) = (frame.agent, frame.batch.class as usize);
            let open = frame.batch.unpack().expect("stored batches are good");
            let mark = &mut at[n][lane];
            // Neither twice nor with a hole.
            let follows = if open.epoch == mark.epoch { mark.seq + 1 } else { 1 };
            assert!(
                open.epoch >= mark.epoch && open.first_seq == follows,
                "seed {seed}, agent {n}, lane {lane}: {} after {mark}",
                open.first_seq
            );
            *mark = Mark { epoch: open.epoch, seq: open.last_seq };
            for (seq, row) in open.rows() {
                let given = &self.agents[n].given[lane];
                match row {
                    Row::Event(bytes) => {
                        stored[n][lane] += 1;
                        let line = given
                            .get(&(open.epoch.0, seq))
                            .unwrap_or_else(|| panic!("seed {seed}: agent {n} never gave {}:{seq}", open.epoch.0));
                        assert_eq!(bytes, payload(n, *line), "seed {seed}, agent {n}, line {line}");
                        *lines[n].entry(*line).or_default() += 1;
                    }
                    Row::Gap { count, .. } => {
                        gone[n][lane] += count;
                        declared[n].extend(given.range((open.epoch.0, seq)..(open.epoch.0, seq + count)).map(|(_, line)| *line));
                    }
                }
            }
        }
        for (n, agent) in self.agents.iter().enumerate() {
            let spool = agent.spool.as_ref().expect("calm");
            for (lane, ledger) in spool.ledger().iter().enumerate() {
                let ctx = format!("seed {seed}, agent {n}, lane {lane}: {ledger:?}, stored {}, gaps {}", stored[n][lane], gone[n][lane]);
                assert!(ledger.balances() && ledger.spooled == 0, "{ctx}");
                assert_eq!(stored[n][lane] + gone[n][lane], ledger.produced, "{ctx}");
                // What was stored and then evicted before the acknowledgement came is lost in the agent's books only.
                assert!(ledger.acknowledged <= stored[n][lane], "{ctx}");
                self.seen.declared_lost += gone[n][lane];
                self.seen.stored += stored[n][lane];
            }
            for line in 0..agent.lines_max {
                assert!(
                    lines[n].contains_key(&line) || declared[n].contains(&line),
                    "seed {seed}, agent {n}: line {line} is neither stored nor declared"
                );
            }
        }
        self.seen
    }
}
