//! A model of the collector: one receiver an agent, and a log of frames with group commit on a simulated disk.

use event::{Class, Epoch, Timestamp};
use spool::{Disk, SimDisk};
use wire::link::{Accepted, Batch, CloseCode, Mark, Marks, Message, Reaction, Receiver, ReceiverConfig, Session};

const LOG: &str = "log";
const MAGIC: u64 = 0x7ead_1e55_0f1a_6e00;

/// One batch in the log: agent, then the batch as accepted.
pub struct Frame {
    pub agent: usize,
    pub batch: Batch,
}

pub struct Collector {
    pub disk: SimDisk,
    file: <SimDisk as Disk>::File,
    /// End of what is written; of what is synced.
    written: u64,
    synced: u64,
    /// Written, not yet synced.
    waiting: Vec<(usize, Class, Epoch, u64)>,
    pub receivers: Vec<Receiver>,
    agents: usize,
    /// Highest mark ever acknowledged, by agent and class: outlives every crash, as the agents do.
    pub promised: Vec<Marks>,
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(MAGIC, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(5))
}

fn frames(bytes: &[u8]) -> (Vec<Frame>, u64) {
    let word = |at: usize| bytes.get(at..at + 8).map(|b| u64::from_le_bytes(b.try_into().expect("eight")));
    let (mut out, mut at) = (Vec::new(), 0usize);
    while let (Some(len), Some(sum), Some(agent)) = (word(at), word(at + 8), word(at + 16)) {
        let Some(body) = bytes.get(at + 16..at + 24 + len as usize).filter(|_| len < 1 << 20) else { break };
        if len == 0 || checksum(body) != sum {
            break;
        }
        let batch = Batch::from_bytes(body[8..].to_vec().into()).expect("a frame that was written whole");
        out.push(Frame { agent: agent as usize, batch });
        at += 24 + len as usize;
    }
    (out, at as u64)
}

impl Collector {
    pub fn new(disk: SimDisk, agents: usize) -> Self {
        let mut first = disk.clone();
        let mut file = first.create(LOG, 0).expect("an empty disk");
        first.sync(&mut file).and_then(|()| first.sync_dir()).expect("a healthy disk");
        Self::open(disk, agents, vec![Marks::default(); agents])
    }

    fn read(disk: &mut SimDisk, upto: u64) -> (Vec<Frame>, u64) {
        let file = disk.open(LOG).expect("the log is there");
        let len = disk.len(&file).expect("alive").min(upto);
        let mut bytes = vec![0; len as usize];
        disk.read_at(&file, 0, &mut bytes).expect("alive");
        frames(&bytes)
    }

    /// Reads the log as a starting collector does, cuts the torn end, and gives each agent a receiver with the marks found.
    pub fn open(disk: SimDisk, agents: usize, promised: Vec<Marks>) -> Self {
        Self::open_upto(disk, agents, promised, u64::MAX)
    }

    fn open_upto(mut disk: SimDisk, agents: usize, promised: Vec<Marks>, upto: u64) -> Self {
        let (found, end) = Self::read(&mut disk, upto);
        let mut marks = vec![Marks::default(); agents];
        for frame in &found {
            marks[frame.agent][frame.batch.class as usize] = Mark::new(frame.batch.epoch, frame.batch.last_seq);
        }
        for (agent, (held, promised)) in marks.iter().zip(&promised).enumerate() {
            for (held, promised) in held.iter().zip(promised) {
                assert!(held >= promised, "agent {agent}: acknowledged {promised}, the log holds only {held}");
            }
        }
        let mut file = disk.open(LOG).expect("the log is there");
        disk.set_len(&mut file, end).and_then(|()| disk.sync(&mut file)).expect("cutting needs no space");
        let config = ReceiverConfig { window_bytes: 16 * 1024, batches_max: 64, keepalive_ns: 2_000_000_000, product: "sim".into() };
        let receivers = marks.iter().map(|m| Receiver::new(config.clone(), m)).collect();
        Self { disk, file, written: end, synced: end, waiting: Vec::new(), receivers, agents, promised }
    }

    /// Power is cut.
    pub fn crash(self) -> Self {
        let disk = self.disk.crash();
        Self::open(disk, self.agents, self.promised)
    }

    /// All frames that are durable.
    pub fn held(&mut self) -> Vec<Frame> {
        Self::read(&mut self.disk, self.synced).0
    }

    /// Appends to the log; false if the disk is full.
    pub fn store(&mut self, agent: usize, accepted: &Accepted) -> bool {
        let mut body = (agent as u64).to_le_bytes().to_vec();
        body.extend_from_slice(&accepted.bytes);
        let mut frame = (accepted.bytes.len() as u64).to_le_bytes().to_vec();
        frame.extend_from_slice(&checksum(&body).to_le_bytes());
        frame.extend_from_slice(&body);
        if self.disk.write_at(&mut self.file, self.written, &frame).is_err() {
            return false;
        }
        self.written += frame.len() as u64;
        self.waiting.push((agent, accepted.class, accepted.epoch, accepted.last_seq));
        true
    }

    /// Group commit: syncs and reports to the receivers; their reactions by agent.
    pub fn sync(&mut self, out: &mut Vec<(usize, Reaction)>) {
        self.disk.sync(&mut self.file).expect("the collector's disk is slow or full here, never failing");
        self.synced = self.written;
        for (agent, class, epoch, last) in std::mem::take(&mut self.waiting) {
            let mut reactions = Vec::new();
            self.receivers[agent].durable(class, epoch, last, &mut reactions);
            self.promise(agent, &reactions);
            out.extend(reactions.into_iter().map(|r| (agent, r)));
        }
    }

    /// Remembers what was acknowledged.
    pub fn promise(&mut self, agent: usize, reactions: &[Reaction]) {
        for reaction in reactions {
            let mut keep = |class: usize, mark: Mark| {
                let promised = &mut self.promised[agent][class];
                *promised = mark.max(*promised);
            };
            match reaction {
                Reaction::Send(_, Message { body: Some(wire::link::Body::Ack(ack)) }) => {
                    keep(ack.class as usize, Mark::new(ack.epoch, ack.seq))
                }
                Reaction::Send(_, Message { body: Some(wire::link::Body::Hello(hello)) }) => {
                    hello.marks().into_iter().enumerate().for_each(|(class, mark)| keep(class, mark));
                }
                Reaction::Regressed { .. } => panic!("agent {agent}: the agent was promised more than the log holds: {reaction:?}"),
                Reaction::End(_, CloseCode::Hole, reason) => panic!("agent {agent}: {reason}"),
                Reaction::End(_, CloseCode::Protocol, reason) if !reason.starts_with("agent closed") => panic!("agent {agent}: {reason}"),
                _ => {}
            }
        }
    }

    /// The log could not write: everything waiting is refused, the log is cut to what is durable and opened anew.
    pub fn fail(mut self, out: &mut Vec<(usize, Reaction)>) -> Self {
        for (agent, receiver) in self.receivers.iter_mut().enumerate() {
            let mut reactions = Vec::new();
            receiver.failed(&mut reactions);
            out.extend(reactions.into_iter().map(|r| (agent, r)));
        }
        Self::open_upto(self.disk, self.agents, self.promised, self.synced)
    }

    pub fn open_session(&mut self, agent: usize, now: Timestamp, out: &mut Vec<Reaction>) -> Session {
        self.receivers[agent].open(now, out)
    }
}
