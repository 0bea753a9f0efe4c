//! One agent as the link sees it, across its connections: the receiving state machine, the batches on their way to the log, and
//! the sessions to be told.
//!
//! Must stay true:
//! - A lane has at most one batch in the log's hands at a time. If it fails, nothing after it has been stored, so the marks of the
//!   log never jump over a lost batch, whatever the log does with its queue. Agents and lanes still share group commits.
//! - Batches waiting here hold permits for their bytes; when those run out the session stops reading, and HTTP/2 flow control
//!   slows the agent down. Nothing is dropped for lack of room.
//! - The receiver outlives connections; after a failure of the log it is made anew from what it knows to be durable.

use super::connection::Connection;
use super::counters::{Counters, Reason};
use super::sink::{AcceptedBatch, BatchSink, SinkError};
use crate::authority::Clock;
use bytes::Bytes;
use event::{AgentId, Class, Timestamp};
use prost::Message as _;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use wire::link::{Accepted, CloseCode, Marks, Message, Reaction, Receiver, ReceiverConfig, ReceiverStats, Session};

/// Messages queued for an agent that does not read them; past it the connection is cut.
pub(super) const OUTBOUND_MAX: usize = 1024;

/// The policy in force, encoded once for all agents.
#[derive(Debug, Default)]
pub struct Published {
    /// The message that names the layers; empty until there is one.
    pub manifest: Option<Bytes>,
    /// The messages of each layer.
    pub layers: Vec<(indicator::edge::LayerId, Vec<Bytes>)>,
}

impl Published {
    fn messages(&self) -> impl Iterator<Item = &Bytes> {
        self.manifest.iter().chain(self.layers.iter().flat_map(|(_, parts)| parts))
    }
}

/// Room for the bytes of one message, in the agent's share and in everyone's; given back when dropped.
pub(super) struct Room {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

pub(super) type Outbound = mpsc::Sender<Result<Bytes, tonic::Status>>;

/// What all agents share.
pub(super) struct Shared {
    pub(super) sink: Arc<dyn BatchSink>,
    pub(super) counters: Counters,
    pub(super) clock: Clock,
    pub(super) receiver: ReceiverConfig,
    pub(super) room: Arc<Semaphore>,
    pub(super) room_per_agent_kib: usize,
    /// What every agent is told when it connects.
    pub(super) policy: Mutex<Arc<Published>>,
}

pub(super) struct Peer {
    pub(super) agent: AgentId,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    inner: Mutex<Inner>,
}

struct Inner {
    receiver: Receiver,
    open: Option<Open>,
    lanes: [Lane; Class::ALL.len()],
    /// Batches in the log's hands.
    storing: usize,
    /// The log failed; until nothing is in its hands any more.
    failed: bool,
    /// Durable marks, kept beside the receiver's because those of a failed receiver stand still.
    durable: Marks,
    last_ack: Option<Timestamp>,
    skew_ms: Option<i64>,
    product: String,
    /// Counts of receivers that were replaced.
    earlier: ReceiverStats,
}

struct Open {
    session: Session,
    connection: Arc<Connection>,
    outbound: Outbound,
    /// Both sides have said Hello.
    greeted: bool,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<(Accepted, Room)>,
    busy: bool,
}

/// An agent's connection as shown to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSnapshot {
    pub agent: AgentId,
    pub address: std::net::SocketAddr,
    pub since: Timestamp,
    pub last_ack: Option<Timestamp>,
    /// Message bytes received on this connection.
    pub bytes: u64,
    /// Since the collector's start, over all connections.
    pub batches: u64,
    pub events: u64,
    pub duplicates: u64,
    pub lost_declared: u64,
    /// Batches handed to the log and not yet durable.
    pub pending: usize,
    /// Agent's clock minus the collector's at connect, network delay included. Measured, never a reason to refuse.
    pub skew_ms: Option<i64>,
    /// Program and version as the agent states them: for people, never for decisions.
    pub product: String,
    pub certificate_not_after: Timestamp,
}

impl Peer {
    pub(super) fn new(agent: AgentId, durable: Marks, shared: Arc<Shared>) -> Arc<Self> {
        let inner = Inner {
            receiver: Receiver::new(shared.receiver.clone(), &durable),
            open: None,
            lanes: Default::default(),
            storing: 0,
            failed: false,
            durable,
            last_ack: None,
            skew_ms: None,
            product: String::new(),
            earlier: ReceiverStats::default(),
        };
        let room = Arc::new(Semaphore::new(shared.room_per_agent_kib));
        Arc::new(Self { agent, shared, room, inner: Mutex::new(inner) })
    }

    /// Waits until there is room for a message of so many bytes.
    pub(super) async fn room(&self, bytes: usize) -> Option<Room> {
        let kib = u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX);
        let own =
            self.room.clone().acquire_many_owned(kib.min(u32::try_from(self.shared.room_per_agent_kib).unwrap_or(u32::MAX))).await.ok()?;
        let all = self.shared.room.clone().acquire_many_owned(kib).await.ok()?;
        Some(Room { _own: own, _all: all })
    }

    /// A new stream; an older one is told and ended.
    pub(super) fn open(self: &Arc<Self>, connection: Arc<Connection>, outbound: Outbound, skew_ms: Option<i64>) -> Session {
        let mut inner = self.lock();
        let mut out = Vec::new();
        let session = inner.receiver.open((self.shared.clock)(), &mut out);
        self.react(&mut inner, out, None);
        inner.open = Some(Open { session, connection, outbound, greeted: false });
        inner.skew_ms = skew_ms;
        session
    }

    pub(super) fn received(self: &Arc<Self>, session: Session, message: Message, room: Room) {
        let mut inner = self.lock();
        let hello = matches!(message.body, Some(wire::link::Body::Hello(_)));
        if let Some(wire::link::Body::Hello(hello)) = &message.body {
            inner.product = hello.product.chars().filter(|c| !c.is_control()).take(64).collect();
        }
        let mut out = Vec::new();
        inner.receiver.received(session, (self.shared.clock)(), message, &mut out);
        self.react(&mut inner, out, Some(room));
        if let Some(open) = inner.open.as_mut().filter(|o| hello && !o.greeted && o.session == session) {
            open.greeted = true;
            let published = self.shared.policy.lock().unwrap_or_else(PoisonError::into_inner).clone();
            send_all(open.outbound.clone(), published.messages().cloned().collect());
        }
    }

    /// Tells an agent that is connected what is new.
    pub(super) fn tell(&self, messages: &[Bytes]) -> bool {
        let inner = self.lock();
        let Some(open) = inner.open.as_ref().filter(|o| o.greeted) else { return false };
        send_all(open.outbound.clone(), messages.to_vec());
        true
    }

    /// Does what time asks for; says how long until the next look, in nanoseconds.
    pub(super) fn poll(self: &Arc<Self>) -> Option<i64> {
        let mut inner = self.lock();
        let mut out = Vec::new();
        let now = (self.shared.clock)();
        let next = inner.receiver.poll(now, &mut out);
        self.react(&mut inner, out, None);
        next.map(|at| at.since(now))
    }

    /// Ends the open stream, if there is one, telling the agent why.
    pub(super) fn close(self: &Arc<Self>, code: CloseCode, reason: &str) -> bool {
        let mut inner = self.lock();
        let mut out = Vec::new();
        inner.receiver.close(code, reason.to_owned(), 0, &mut out);
        let any = !out.is_empty();
        self.react(&mut inner, out, None);
        any
    }

    /// The stream is gone.
    pub(super) fn closed(&self, session: Session) {
        let mut inner = self.lock();
        inner.receiver.closed(session);
        inner.open.take_if(|o| o.session == session);
    }

    pub(super) fn snapshot(&self) -> Option<LinkSnapshot> {
        let inner = self.lock();
        let open = inner.open.as_ref()?;
        let stats = inner.receiver.stats();
        Some(LinkSnapshot {
            agent: self.agent,
            address: open.connection.address,
            since: open.connection.since,
            last_ack: inner.last_ack,
            bytes: open.connection.bytes.load(std::sync::atomic::Ordering::Relaxed),
            batches: stats.batches + inner.earlier.batches,
            events: stats.events + inner.earlier.events,
            duplicates: stats.duplicates + inner.earlier.duplicates,
            lost_declared: stats.lost_declared + inner.earlier.lost_declared,
            pending: inner.receiver.pending(),
            skew_ms: inner.skew_ms,
            product: inner.product.clone(),
            certificate_not_after: open.connection.name.not_after,
        })
    }

    fn react(self: &Arc<Self>, inner: &mut Inner, reactions: Vec<Reaction>, mut room: Option<Room>) {
        let counters = &self.shared.counters;
        for reaction in reactions {
            match reaction {
                Reaction::Send(session, message) => {
                    let Some(open) = inner.open.as_ref().filter(|o| o.session == session) else { continue };
                    if open.outbound.try_send(Ok(Bytes::from(message.encode_to_vec()))).is_err() && !open.outbound.is_closed() {
                        counters.refuse(Reason::NotReading);
                        open.connection.cut();
                    }
                }
                Reaction::End(session, code, reason) => {
                    if let Some(open) = inner.open.take_if(|o| o.session == session) {
                        counters.refuse(code.into());
                        tracing::info!(agent = %self.agent, code = code.name(), reason = %printable(&reason), "link closed");
                        open.connection.end.notify_one();
                    }
                }
                Reaction::Store(accepted) => {
                    counters.batches.add(1);
                    counters.events.add(accepted.events);
                    counters.lost_declared.add(accepted.lost);
                    let class = accepted.class;
                    // Each message brings its room, and at most one batch comes out of a message.
                    if let (Some(room), Some(lane)) = (room.take(), inner.lanes.get_mut(class as usize)) {
                        lane.waiting.push_back((accepted, room));
                        self.store_next(inner, class);
                    }
                }
                Reaction::Regressed { class, held, acknowledged } => {
                    counters.regressions.add(1);
                    if let Some(mark) = inner.durable.get_mut(class as usize) {
                        *mark = acknowledged;
                    }
                    tracing::error!(
                        agent = %self.agent, class = class.name(), %held, %acknowledged,
                        "events once acknowledged are not in the log: was it restored from an old backup?"
                    );
                }
            }
        }
    }

    /// Hands the next waiting batch of a lane to the log, if none of that lane is with it.
    fn store_next(self: &Arc<Self>, inner: &mut Inner, class: Class) {
        let Some(lane) = inner.lanes.get_mut(class as usize) else { return };
        if lane.busy || inner.failed {
            return;
        }
        let Some((accepted, room)) = lane.waiting.pop_front() else { return };
        lane.busy = true;
        inner.storing += 1;
        let mark = wire::Mark { epoch: accepted.epoch, seq: accepted.last_seq };
        let ticket = self.shared.sink.accept(AcceptedBatch {
            agent: self.agent,
            received: (self.shared.clock)(),
            class,
            epoch: accepted.epoch,
            first_seq: accepted.first_seq,
            last_seq: accepted.last_seq,
            bytes: accepted.bytes,
        });
        let peer = self.clone();
        tokio::spawn(async move {
            let outcome = ticket.await;
            peer.stored(class, mark, outcome);
            drop(room);
        });
    }

    fn stored(self: &Arc<Self>, class: Class, mark: wire::Mark, outcome: Result<(), SinkError>) {
        let mut inner = self.lock();
        let mut out = Vec::new();
        inner.storing -= 1;
        if let Some(lane) = inner.lanes.get_mut(class as usize) {
            lane.busy = false;
        }
        match outcome {
            Ok(()) => {
                self.shared.counters.durable.add(1);
                if let Some(durable) = inner.durable.get_mut(class as usize) {
                    *durable = mark.max(*durable);
                }
                inner.last_ack = Some((self.shared.clock)());
                inner.receiver.durable(class, mark.epoch, mark.seq, &mut out);
            }
            Err(error) => {
                self.shared.counters.refuse(Reason::Store);
                tracing::error!(agent = %self.agent, class = class.name(), %error, "batch not stored; the agent keeps it");
                inner.failed = true;
                inner.lanes.iter_mut().for_each(|lane| lane.waiting.clear());
                inner.receiver.failed(&mut out);
            }
        }
        self.react(&mut inner, out, None);
        if inner.failed && inner.storing == 0 {
            let stats = inner.receiver.stats();
            inner.earlier.batches += stats.batches;
            inner.earlier.events += stats.events;
            inner.earlier.duplicates += stats.duplicates;
            inner.earlier.lost_declared += stats.lost_declared;
            inner.failed = false;
            inner.receiver = Receiver::new(self.shared.receiver.clone(), &inner.durable);
            // A stream opened meanwhile belongs to the old receiver.
            if let Some(open) = inner.open.take() {
                open.connection.end.notify_one();
            }
        }
        self.store_next(&mut inner, class);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Policy on its way: behind what is queued already, and bounded well below the queue's length (`indicator::edge::EDGE_BYTES_MAX`),
/// so that acknowledgements find room. The bytes are shared by all agents.
fn send_all(outbound: Outbound, messages: Vec<Bytes>) {
    if messages.is_empty() {
        return;
    }
    tokio::spawn(async move {
        for message in messages {
            if outbound.send(Ok(message)).await.is_err() {
                return;
            }
        }
    });
}

/// A reason may quote the peer: no control characters, not endless.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
