//! The agent's end of the link. Knows no socket and no spool: `poll` says what to do next, the caller does it and reports back.
//!
//! ```text
//! loop { match sender.poll(now) {
//!     Connect                   => dial; then connected(now, spool ends) or disconnected(now)
//!     Send(message)             => write it to the stream
//!     Read{class, after, bytes} => read the spool after the mark; offer(now, batch) or nothing(class)
//!     Acknowledge{class, upto}  => spool.acknowledge
//!     Policy(policy)            => hand to the agent
//!     Disconnect{reason}        => drop the stream, then disconnected(now)
//!     Wait(until)               => sleep until then, a message (received), or new records (wake)
//! } }
//! ```
//!
//! Must stay true:
//! - What is in flight is bounded in packed bytes and in batches. Class 0 is asked for first and keeps the last quarter of the
//!   window to itself, so it overtakes a backlog of any length after at most what is already in flight.
//! - A mark of the collector that lies beyond what this spool ever held is not believed: taking it for an acknowledgement would
//!   delete records nobody has. The link is closed and the fault shown (a cloned or restored agent).
//! - Back-off grows until something was acknowledged, not until a connection was made.

use std::collections::VecDeque;

use event::{Class, Timestamp};

use super::{Ack, Batch, Body, Close, CloseCode, Hello, Keepalive, Mark, Marks, Message, POLICY_BYTES_MAX, Policy, VERSIONS};

const LANES: usize = Class::ALL.len();
/// Messages waiting to be written: greetings, echoes, closes. Past it the other side floods us and the link is closed.
const OUTBOX_MAX: usize = 64;

/// Limits and times of the agent's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderConfig {
    /// Packed bytes that may be unacknowledged.
    pub window_bytes: u32,
    /// Batches that may be unacknowledged.
    pub window_batches: u32,
    /// Spool bytes to ask for at a time: small enough that critical records wait for little.
    pub batch_bytes: u32,
    /// Nothing heard for this long: ask; for three times as long: the link is dead.
    pub keepalive_ns: i64,
    /// First delay after a failure; doubled each time up to `backoff_max_ns`, then cut by chance to between half and all of it.
    pub backoff_min_ns: i64,
    pub backoff_max_ns: i64,
    /// Program and version, for the greeting.
    pub product: String,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            window_bytes: 1024 * 1024,
            window_batches: 32,
            batch_bytes: 128 * 1024,
            keepalive_ns: 10_000_000_000,
            backoff_min_ns: 500_000_000,
            backoff_max_ns: 60_000_000_000,
            product: String::new(),
        }
    }
}

/// What the caller is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Connect,
    Send(Message),
    /// Read committed records of `class` after `after`, all of one epoch, about `bytes_max` bytes.
    Read {
        class: Class,
        after: Mark,
        bytes_max: u32,
    },
    Acknowledge {
        class: Class,
        upto: Mark,
    },
    Policy(Policy),
    /// Drop the stream (what `Send` gave before may still be flushed) and call `disconnected`.
    Disconnect {
        code: CloseCode,
        reason: String,
    },
    /// Nothing to do before this time unless something happens; `None`: until something happens.
    Wait(Option<Timestamp>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Until the time to connect.
    Waiting,
    /// The caller dials.
    Connecting,
    /// Hello sent, not yet answered.
    Greeting,
    Streaming,
    /// `Disconnect` is due or done.
    Closing,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderStats {
    pub connects: u64,
    pub batches: u64,
    pub rows: u64,
    pub packed_bytes: u64,
    pub acks: u64,
    /// Batches sent more than once, after a cut.
    pub resent_batches: u64,
    pub closes: u64,
}

#[derive(Debug, Default)]
struct Lane {
    /// As far as this agent knows.
    acknowledged: Mark,
    /// Last number sent on this connection.
    sent: Mark,
    /// Highest number ever sent by this process, to count re-sending.
    sent_max: Mark,
    /// Highest number the spool ever gave out.
    end: Mark,
    in_flight: VecDeque<(Mark, u32)>,
    /// The spool had nothing more; `wake` clears it.
    drained: bool,
}

/// See the head of the file.
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    state: State,
    lanes: [Lane; LANES],
    window_bytes: u32,
    outbox: VecDeque<Action>,
    connect_at: Timestamp,
    heard_at: Timestamp,
    asked: bool,
    failures: u32,
    chance: u64,
    stats: SenderStats,
}

impl Sender {
    /// `acknowledged` is the spool's cursor a lane; `seed` decides the jitter.
    pub fn new(config: SenderConfig, acknowledged: &Marks, seed: u64) -> Self {
        let mut lanes: [Lane; LANES] = Default::default();
        for (lane, mark) in lanes.iter_mut().zip(acknowledged) {
            (lane.acknowledged, lane.sent, lane.sent_max, lane.end) = (*mark, *mark, *mark, *mark);
        }
        let window_bytes = config.window_bytes;
        Self {
            config,
            state: State::Waiting,
            lanes,
            window_bytes,
            outbox: VecDeque::new(),
            connect_at: Timestamp::MIN,
            heard_at: Timestamp::MIN,
            asked: false,
            failures: 0,
            chance: seed,
            stats: SenderStats::default(),
        }
    }

    pub const fn state(&self) -> State {
        self.state
    }
    pub const fn stats(&self) -> SenderStats {
        self.stats
    }
    /// Unacknowledged packed bytes.
    pub fn in_flight_bytes(&self) -> u64 {
        self.lanes.iter().flat_map(|l| &l.in_flight).map(|(_, bytes)| u64::from(*bytes)).sum()
    }

    /// The stream is open. `ends` is the last number the spool ever gave out a lane.
    pub fn connected(&mut self, now: Timestamp, ends: &Marks) {
        if self.state != State::Connecting {
            return;
        }
        self.state = State::Greeting;
        self.stats.connects += 1;
        (self.heard_at, self.asked) = (now, false);
        self.window_bytes = self.config.window_bytes;
        for (lane, end) in self.lanes.iter_mut().zip(ends) {
            lane.in_flight.clear();
            lane.drained = false;
            lane.sent = lane.acknowledged;
            lane.end = lane.end.max(*end);
        }
        let marks = std::array::from_fn(|n| self.lanes[n].acknowledged);
        let hello = Hello::new(VERSIONS, &self.config.product, &marks, 0);
        self.outbox.clear();
        self.outbox.push_back(Action::Send(hello.into()));
    }

    /// The stream ended, could not be opened, or was dropped after `Disconnect`.
    pub fn disconnected(&mut self, now: Timestamp) {
        if self.state == State::Waiting {
            return;
        }
        self.state = State::Waiting;
        // What the collector said is kept; what we wanted to say is moot.
        self.outbox.retain(|a| matches!(a, Action::Acknowledge { .. } | Action::Policy(_)));
        for lane in &mut self.lanes {
            lane.in_flight.clear();
        }
        let delay = self.delay();
        self.failures = self.failures.saturating_add(1);
        self.connect_at = self.connect_at.max(now.plus_ns(delay));
    }

    fn delay(&mut self) -> i64 {
        let max = self.config.backoff_max_ns.max(1);
        let full = self.config.backoff_min_ns.max(1).saturating_mul(1i64 << self.failures.min(30)).min(max);
        // splitmix64: small, and the same for a seed on every machine.
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        full / 2 + (z % (full as u64 / 2 + 1)) as i64
    }

    /// New records of `class` were committed to the spool.
    pub fn wake(&mut self, class: Class) {
        self.lanes[class as usize].drained = false;
    }

    /// Answer to `Read`: the spool has nothing after the mark.
    pub fn nothing(&mut self, class: Class) {
        self.lanes[class as usize].drained = true;
    }

    /// Answer to `Read`: the rows after the mark. A batch that does not follow what was sent is passed over (the connection changed
    /// meanwhile) and read again.
    pub fn offer(&mut self, batch: Batch) {
        let Some(lane) = self.lanes.get_mut(batch.class as usize) else { return };
        let follows = if batch.epoch == lane.sent.epoch.0 { lane.sent.seq + 1 } else { 1 };
        if self.state != State::Streaming || batch.epoch < lane.sent.epoch.0 || batch.first_seq != follows {
            return;
        }
        let last = Mark::new(batch.epoch, batch.last_seq);
        let bytes = u32::try_from(batch.packed.len()).unwrap_or(u32::MAX);
        self.stats.batches += 1;
        self.stats.rows += u64::from(batch.rows);
        self.stats.packed_bytes += u64::from(bytes);
        if Mark::new(batch.epoch, batch.first_seq) <= lane.sent_max {
            self.stats.resent_batches += 1;
        }
        lane.sent = last;
        lane.sent_max = lane.sent_max.max(last);
        lane.end = lane.end.max(last);
        lane.in_flight.push_back((last, bytes));
        self.outbox.push_back(Action::Send(batch.into()));
    }

    /// A message from the collector.
    pub fn received(&mut self, now: Timestamp, message: Message) {
        if !matches!(self.state, State::Greeting | State::Streaming) {
            return;
        }
        (self.heard_at, self.asked) = (now, false);
        match (message.body, self.state) {
            (Some(Body::Hello(hello)), State::Greeting) => self.greeted(&hello),
            (Some(Body::Ack(ack)), State::Streaming) => self.acknowledged(&ack),
            (Some(Body::Policy(policy)), State::Streaming) if policy.body.len() <= POLICY_BYTES_MAX => {
                self.outbox.push_back(Action::Policy(policy));
            }
            (Some(Body::Keepalive(ask)), _) if !ask.echo => {
                self.outbox.push_back(Action::Send(Keepalive { nonce: ask.nonce, echo: true }.into()));
            }
            (Some(Body::Keepalive(_)), _) => {}
            (Some(Body::Close(close)), _) => {
                self.connect_at = now.plus_ns(i64::from(close.retry_after_ms) * 1_000_000);
                self.end(
                    CloseCode::from_u32(close.code),
                    format!("collector closed: {}", Close::new(CloseCode::Shutdown, close.reason).reason),
                );
            }
            (None, _) => self.close(CloseCode::Unsupported, "message of an unknown kind".into()),
            (Some(_), _) => self.close(CloseCode::Protocol, "message out of turn".into()),
        }
        if self.outbox.len() > OUTBOX_MAX {
            self.close(CloseCode::Protocol, "too many messages at once".into());
        }
    }

    fn greeted(&mut self, hello: &Hello) {
        if !hello.versions.iter().any(|v| VERSIONS.contains(v)) {
            return self.close(CloseCode::Unsupported, format!("no common version: ours {VERSIONS:?}"));
        }
        let marks = hello.marks();
        for (class, mark) in Class::ALL.into_iter().zip(marks) {
            let lane = &mut self.lanes[class as usize];
            if mark > lane.end {
                let known = lane.end;
                let reason = format!(
                    "collector holds {} up to {mark}, this spool never went past {known}: is this agent's identity in use twice, or its state restored?",
                    class.name()
                );
                return self.close(CloseCode::Hole, reason);
            }
            if mark > lane.acknowledged {
                lane.acknowledged = mark;
                self.outbox.push_back(Action::Acknowledge { class, upto: mark });
            }
            lane.sent = lane.acknowledged;
        }
        if hello.window_bytes > 0 {
            self.window_bytes = hello.window_bytes.min(self.config.window_bytes);
        }
        self.state = State::Streaming;
    }

    fn acknowledged(&mut self, ack: &Ack) {
        let Some(class) = u8::try_from(ack.class).ok().and_then(Class::from_u8) else {
            return self.close(CloseCode::Protocol, format!("acknowledgement for class {}", ack.class));
        };
        let mark = Mark::new(ack.epoch, ack.seq);
        let lane = &mut self.lanes[class as usize];
        if mark > lane.sent {
            let reason = format!("acknowledged {mark} of {} but only {} was sent", class.name(), lane.sent);
            return self.close(CloseCode::Protocol, reason);
        }
        if ack.window_bytes > 0 {
            self.window_bytes = ack.window_bytes.min(self.config.window_bytes);
        }
        while lane.in_flight.front().is_some_and(|(last, _)| *last <= mark) {
            lane.in_flight.pop_front();
        }
        if mark > lane.acknowledged {
            lane.acknowledged = mark;
            self.failures = 0;
            self.stats.acks += 1;
            // One pending acknowledgement a class is enough: the later one says it all.
            self.outbox.retain(|a| !matches!(a, Action::Acknowledge { class: c, .. } if *c == class));
            self.outbox.push_back(Action::Acknowledge { class, upto: mark });
        }
    }

    /// Ends the link in an orderly way: the program stops.
    pub fn shutdown(&mut self) {
        if matches!(self.state, State::Greeting | State::Streaming) {
            self.close(CloseCode::Shutdown, "agent stops".into());
        }
    }

    fn close(&mut self, code: CloseCode, reason: String) {
        let close = Close::new(code, reason.clone());
        self.outbox.retain(|a| matches!(a, Action::Acknowledge { .. } | Action::Policy(_)));
        self.outbox.push_back(Action::Send(close.into()));
        self.end(code, reason);
    }

    fn end(&mut self, code: CloseCode, reason: String) {
        self.state = State::Closing;
        self.stats.closes += 1;
        self.outbox.push_back(Action::Disconnect { code, reason });
    }

    /// What to do now. Call again after each action until it says `Wait`.
    pub fn poll(&mut self, now: Timestamp) -> Action {
        if let Some(action) = self.outbox.pop_front() {
            return action;
        }
        match self.state {
            State::Waiting if now >= self.connect_at => {
                self.state = State::Connecting;
                Action::Connect
            }
            State::Waiting => Action::Wait(Some(self.connect_at)),
            State::Connecting | State::Closing => Action::Wait(None),
            State::Greeting | State::Streaming => self.poll_open(now),
        }
    }

    fn poll_open(&mut self, now: Timestamp) -> Action {
        let ask_at = self.heard_at.plus_ns(self.config.keepalive_ns);
        let dead_at = self.heard_at.plus_ns(self.config.keepalive_ns.saturating_mul(3));
        if now >= dead_at {
            self.close(CloseCode::Silent, "nothing heard from the collector".into());
            return self.poll(now);
        }
        if now >= ask_at && !self.asked {
            self.asked = true;
            return Action::Send(Keepalive { nonce: now.ns() as u64, echo: false }.into());
        }
        if self.state == State::Streaming
            && let Some(read) = self.next_read()
        {
            return read;
        }
        Action::Wait(Some(if self.asked { dead_at } else { ask_at }))
    }

    fn next_read(&self) -> Option<Action> {
        let bytes = self.in_flight_bytes();
        let batches: usize = self.lanes.iter().map(|l| l.in_flight.len()).sum();
        let (window, count) = (u64::from(self.window_bytes), self.config.window_batches.max(1) as usize);
        Class::ALL.into_iter().find_map(|class| {
            let lane = &self.lanes[class as usize];
            // With nothing in flight one batch always goes, however small the window.
            let fits = match class {
                Class::Critical => bytes < window && batches < count,
                _ => bytes < window - window / 4 && batches < count - count / 4,
            };
            (!lane.drained && (fits || batches == 0)).then_some(Action::Read {
                class,
                after: lane.sent,
                bytes_max: self.config.batch_bytes,
            })
        })
    }
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
