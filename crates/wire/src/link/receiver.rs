//! The collector's end of the link: one `Receiver` an agent, living longer than any connection, so that what one connection
//! handed to the log is known to the next one before it is durable.
//!
//! ```text
//! let mut receiver = Receiver::new(config, log's marks for the agent);   // once an agent
//! let session = receiver.open(now, &mut out);                            // each connection; an older one is closed
//! receiver.received(session, now, message, &mut out);                    // each message
//! receiver.durable(class, epoch, last_seq, &mut out);                    // the log has it on disk
//! receiver.failed(&mut out);                                             // the log could not
//! ```
//! Reactions are to be done in order: `Send` goes to the session named, `Store` to the log.
//!
//! Must stay true:
//! - `Store` batches of a lane are contiguous and disjoint: each number of an (epoch, class) is handed over once. A batch that is
//!   partly known is cut, one that is wholly known is dropped, counted and acknowledged again.
//! - A hole that no gap row declares is refused and closes the link: acknowledging past it would lose events silently.
//! - Nothing is acknowledged before `durable`, and only as far as everything before it is durable too.
//! - After `failed` the log must refuse every later batch of the agent until it was reopened and its marks read again (a new
//!   `Receiver`): otherwise a batch after the failed one would be stored twice.

use std::collections::VecDeque;

use event::{Class, Epoch, Timestamp};
use prost::bytes::Bytes;

use super::{Ack, Batch, Body, Close, CloseCode, Hello, Keepalive, Mark, Marks, Message, Policy, VERSIONS};
use crate::batch::{Packer, Row};

const LANES: usize = Class::ALL.len();

/// Limits and times of the collector's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// Window told to the agent: packed bytes it may have unacknowledged.
    pub window_bytes: u32,
    /// Batches handed to the log and not yet durable; more means the agent ignores its window. The link is closed.
    pub batches_max: u32,
    /// Nothing heard for this long: ask; for three times as long: closed.
    pub keepalive_ns: i64,
    /// Program and version, for the greeting.
    pub product: String,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self { window_bytes: 1024 * 1024, batches_max: 256, keepalive_ns: 10_000_000_000, product: String::new() }
    }
}

/// Names one connection of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub u64);

/// A batch to be made durable. The rows were checked; the events in them were not decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub class: Class,
    pub epoch: Epoch,
    pub first_seq: u64,
    pub last_seq: u64,
    /// Event rows.
    pub events: u64,
    /// Numbers that gap rows declare gone.
    pub lost: u64,
    /// The batch as bytes (`Batch::from_bytes`): as received, or cut where a part was known.
    pub bytes: Bytes,
}

/// What the caller is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Reaction {
    Send(Session, Message),
    Store(Accepted),
    /// End the session after what was sent is flushed.
    End(Session, CloseCode, String),
    /// The agent has an acknowledgement for more than the log holds: this collector lost events it had promised (a restored backup).
    /// The mark moves on, since the agent no longer has them; say it loudly.
    Regressed {
        class: Class,
        held: Mark,
        acknowledged: Mark,
    },
}

/// Counts since the start, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiverStats {
    pub sessions: u64,
    pub batches: u64,
    pub events: u64,
    pub lost_declared: u64,
    /// Numbers dropped because they were known.
    pub duplicates: u64,
    pub holes: u64,
    pub malformed: u64,
    pub regressions: u64,
}

#[derive(Debug, Default)]
struct Lane {
    /// Handed to the log up to here.
    accepted: Mark,
    durable: Mark,
    /// Handed over and not yet durable: last number, and whether the log has reported it.
    pending: VecDeque<(Mark, bool)>,
}

#[derive(Debug)]
struct Open {
    session: Session,
    greeted: bool,
    heard_at: Timestamp,
    asked: bool,
}

/// See the head of the file.
pub struct Receiver {
    config: ReceiverConfig,
    lanes: [Lane; LANES],
    open: Option<Open>,
    next_session: u64,
    failed: bool,
    stats: ReceiverStats,
}

impl Receiver {
    /// `durable` is what the log holds of the agent.
    pub fn new(config: ReceiverConfig, durable: &Marks) -> Self {
        let mut lanes: [Lane; LANES] = Default::default();
        for (lane, mark) in lanes.iter_mut().zip(durable) {
            (lane.accepted, lane.durable) = (*mark, *mark);
        }
        Self { config, lanes, open: None, next_session: 1, failed: false, stats: ReceiverStats::default() }
    }

    pub const fn stats(&self) -> ReceiverStats {
        self.stats
    }

    /// Durable marks a lane.
    pub fn marks(&self) -> Marks {
        std::array::from_fn(|n| self.lanes[n].durable)
    }

    /// The session that is open, if any.
    pub fn session(&self) -> Option<Session> {
        self.open.as_ref().map(|o| o.session)
    }

    /// Batches handed to the log and not yet durable.
    pub fn pending(&self) -> usize {
        self.lanes.iter().map(|l| l.pending.len()).sum()
    }

    /// A new connection; an older one of the same agent is closed.
    pub fn open(&mut self, now: Timestamp, out: &mut Vec<Reaction>) -> Session {
        if self.open.is_some() {
            self.close(CloseCode::Superseded, "a newer connection took over".into(), 0, out);
        }
        let session = Session(self.next_session);
        self.next_session += 1;
        self.stats.sessions += 1;
        self.open = Some(Open { session, greeted: false, heard_at: now, asked: false });
        session
    }

    /// The connection is gone.
    pub fn closed(&mut self, session: Session) {
        self.open.take_if(|o| o.session == session);
    }

    /// Ends the open connection: revocation, shutdown, overload.
    pub fn close(&mut self, code: CloseCode, reason: String, retry_after_ms: u32, out: &mut Vec<Reaction>) {
        if let Some(open) = self.open.take() {
            let mut close = Close::new(code, reason);
            close.retry_after_ms = retry_after_ms;
            let reason = close.reason.clone();
            out.push(Reaction::Send(open.session, close.into()));
            out.push(Reaction::End(open.session, code, reason));
        }
    }

    /// A message of the agent. Those of a session that is no longer open are passed over: its stream is being torn down.
    pub fn received(&mut self, session: Session, now: Timestamp, message: Message, out: &mut Vec<Reaction>) {
        let Some(open) = self.open.as_mut().filter(|o| o.session == session) else { return };
        (open.heard_at, open.asked) = (now, false);
        match (message.body, open.greeted) {
            (Some(Body::Hello(hello)), false) => self.greeted(&hello, out),
            (Some(Body::Batch(batch)), true) => self.batch(batch, out),
            (Some(Body::Keepalive(ask)), _) if !ask.echo => {
                out.push(Reaction::Send(session, Keepalive { nonce: ask.nonce, echo: true }.into()));
            }
            (Some(Body::Keepalive(_)), _) => {}
            (Some(Body::Close(close)), _) => {
                let reason = Close::new(CloseCode::Shutdown, format!("agent closed: {}", close.reason)).reason;
                self.open = None;
                out.push(Reaction::End(session, CloseCode::from_u32(close.code), reason));
            }
            (None, _) => self.refuse(CloseCode::Unsupported, "message of an unknown kind".into(), out),
            (Some(_), _) => self.refuse(CloseCode::Protocol, "message out of turn".into(), out),
        }
    }

    fn refuse(&mut self, code: CloseCode, reason: String, out: &mut Vec<Reaction>) {
        match code {
            CloseCode::Hole => self.stats.holes += 1,
            _ => self.stats.malformed += 1,
        }
        self.close(code, reason, 0, out);
    }

    fn greeted(&mut self, hello: &Hello, out: &mut Vec<Reaction>) {
        let Some(version) = VERSIONS.iter().find(|v| hello.versions.contains(v)) else {
            return self.refuse(
                CloseCode::Unsupported,
                format!("no common version: ours {VERSIONS:?}, theirs {:?}", head(&hello.versions)),
                out,
            );
        };
        if self.failed {
            return self.close(CloseCode::Busy, "the collector's log takes nothing".into(), 5_000, out);
        }
        for (class, mark) in Class::ALL.into_iter().zip(hello.marks()) {
            let lane = &mut self.lanes[class as usize];
            if mark > lane.accepted {
                out.push(Reaction::Regressed { class, held: lane.durable, acknowledged: mark });
                self.stats.regressions += 1;
                // What is pending lies before the mark; its reports still come and are harmless.
                (lane.accepted, lane.durable) = (mark, mark);
                lane.pending.clear();
            }
        }
        let answer = Hello::new(&[*version], &self.config.product, &self.marks(), self.config.window_bytes);
        if let Some(open) = &mut self.open {
            open.greeted = true;
            out.push(Reaction::Send(open.session, answer.into()));
        }
    }

    fn batch(&mut self, batch: Batch, out: &mut Vec<Reaction>) {
        let open = match batch.unpack() {
            Ok(open) => open,
            Err(e) => return self.refuse(CloseCode::Protocol, format!("bad batch: {e}"), out),
        };
        let lane = &mut self.lanes[open.class as usize];
        let (epoch, first, last) = (open.epoch, open.first_seq, open.last_seq);
        let known = if epoch == lane.accepted.epoch { lane.accepted.seq } else { 0 };
        if epoch < lane.accepted.epoch || (epoch == lane.accepted.epoch && last <= known) {
            self.stats.duplicates += last - first + 1;
            return self.acknowledge(open.class, out);
        }
        if first > known + 1 {
            let reason = format!(
                "{} {}:{first} follows {}: numbers between are missing and not declared",
                open.class.name(),
                epoch.0,
                lane.accepted
            );
            return self.refuse(CloseCode::Hole, reason, out);
        }
        if lane.pending.len() >= self.config.batches_max as usize {
            return self.refuse(CloseCode::Protocol, format!("more than {} batches in flight", self.config.batches_max), out);
        }
        let batch = if first <= known {
            self.stats.duplicates += known + 1 - first;
            match tail(&open, known) {
                Some(batch) => batch,
                None => return self.refuse(CloseCode::Protocol, "batch cannot be cut".into(), out),
            }
        } else {
            batch
        };
        let mut accepted =
            Accepted { class: open.class, epoch, first_seq: batch.first_seq, last_seq: last, events: 0, lost: 0, bytes: batch.to_bytes() };
        for (seq, row) in open.rows() {
            match row {
                Row::Event(_) => accepted.events += u64::from(seq > known),
                Row::Gap { count, .. } => accepted.lost += (seq + count - 1).saturating_sub(known.max(seq - 1)),
            }
        }
        self.stats.batches += 1;
        self.stats.events += accepted.events;
        self.stats.lost_declared += accepted.lost;
        lane.accepted = Mark { epoch, seq: last };
        lane.pending.push_back((lane.accepted, false));
        out.push(Reaction::Store(accepted));
    }

    /// The log has everything of the batch that ended at (epoch, last_seq) on disk.
    pub fn durable(&mut self, class: Class, epoch: Epoch, last_seq: u64, out: &mut Vec<Reaction>) {
        let lane = &mut self.lanes[class as usize];
        let mark = Mark { epoch, seq: last_seq };
        if let Some(entry) = lane.pending.iter_mut().find(|(last, _)| *last == mark) {
            entry.1 = true;
        }
        let mut moved = false;
        while let Some((last, true)) = lane.pending.front().copied() {
            lane.pending.pop_front();
            lane.durable = last;
            moved = true;
        }
        if moved {
            self.acknowledge(class, out);
        }
    }

    fn acknowledge(&self, class: Class, out: &mut Vec<Reaction>) {
        let mark = self.lanes[class as usize].durable;
        if let Some(open) = self.open.as_ref().filter(|o| o.greeted) {
            let ack = Ack { class: class as u32, epoch: mark.epoch.0, seq: mark.seq, window_bytes: self.config.window_bytes };
            out.push(Reaction::Send(open.session, ack.into()));
        }
    }

    /// The log failed: nothing pending will be acknowledged, the agent is sent away and every later greeting is answered with
    /// "busy", until a new `Receiver` is made from the reopened log.
    pub fn failed(&mut self, out: &mut Vec<Reaction>) {
        self.failed = true;
        for lane in &mut self.lanes {
            lane.pending.clear();
            lane.accepted = lane.durable;
        }
        self.close(CloseCode::Busy, "the collector's log failed".into(), 5_000, out);
    }

    /// Changes the window; told to the agent with the next acknowledgement of each class, and now for class 0.
    pub fn set_window(&mut self, window_bytes: u32, out: &mut Vec<Reaction>) {
        if self.config.window_bytes != window_bytes {
            self.config.window_bytes = window_bytes;
            self.acknowledge(Class::Critical, out);
        }
    }

    /// Sends a policy, if an agent is there to hear it; false otherwise.
    pub fn policy(&self, policy: Policy, out: &mut Vec<Reaction>) -> bool {
        let Some(open) = self.open.as_ref().filter(|o| o.greeted) else { return false };
        out.push(Reaction::Send(open.session, policy.into()));
        true
    }

    /// Does what time asks for, and says when to call again.
    pub fn poll(&mut self, now: Timestamp, out: &mut Vec<Reaction>) -> Option<Timestamp> {
        let keepalive_ns = self.config.keepalive_ns;
        let open = self.open.as_mut()?;
        let ask_at = open.heard_at.plus_ns(keepalive_ns);
        let dead_at = open.heard_at.plus_ns(keepalive_ns.saturating_mul(3));
        if now >= dead_at {
            self.close(CloseCode::Silent, "nothing heard from the agent".into(), 0, out);
            return None;
        }
        if now >= ask_at && !open.asked {
            open.asked = true;
            out.push(Reaction::Send(open.session, Keepalive { nonce: now.ns() as u64, echo: false }.into()));
        }
        Some(if open.asked { dead_at } else { ask_at })
    }
}

fn head(versions: &[u32]) -> &[u32] {
    &versions[..versions.len().min(8)]
}

/// The part of a batch after number `known`.
fn tail(open: &crate::batch::Unpacked, known: u64) -> Option<Batch> {
    let mut packer = Packer::new(crate::batch::LEVEL_DEFAULT);
    for (seq, row) in open.rows() {
        let rest = match row {
            Row::Event(_) if seq <= known => continue,
            Row::Gap { count, reason } => match (seq + count - 1).checked_sub(known.max(seq - 1)).filter(|n| *n > 0) {
                Some(count) => Row::Gap { count, reason },
                None => continue,
            },
            Row::Event(_) => row,
        };
        if !packer.push(rest) {
            return None;
        }
    }
    packer.pack(open.class, open.epoch, known + 1)
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
