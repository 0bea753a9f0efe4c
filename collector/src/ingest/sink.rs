//! The border between the link and what keeps: a batch goes in, a ticket comes out, and the batch is acknowledged to the
//! agent only after the ticket says it is durable.

use bytes::Bytes;
use event::{AgentId, Class, Epoch, Timestamp};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

/// A batch that passed the door: from a known agent, next in its lane, not seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedBatch {
    /// From the peer's certificate, never from the message.
    pub agent: AgentId,
    /// By the collector's clock.
    pub received: Timestamp,
    pub class: Class,
    pub epoch: Epoch,
    pub first_seq: u64,
    pub last_seq: u64,
    /// The wire batch as received, still compressed.
    pub bytes: Bytes,
}

/// Resolves once the batch survives power loss, or with the reason it never will.
pub type Ticket = Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send>>;

/// The keeper could not keep it; the connection ends and the agent sends again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("batch not kept: {0}")]
pub struct SinkError(pub String);

/// Takes batches and makes them durable. Batches of one (agent, class) must become durable in the order they were given, and
/// after one has failed, no later one of the same call order may succeed before it was given again.
///
/// Must not block: what waits, waits in the ticket. The bytes in unresolved tickets are bounded by `[link] in_flight_*`.
pub trait BatchSink: Send + Sync + 'static {
    fn accept(&self, batch: AcceptedBatch) -> Ticket;
}

/// The last durable position of a lane: everything up to and including it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Watermark {
    pub epoch: Epoch,
    pub seq: u64,
}

/// What is durable already, asked once per agent after start: the recovery of the write-ahead log in production.
pub trait Watermarks: Send + Sync + 'static {
    fn watermark(&self, agent: AgentId, class: Class) -> Option<Watermark>;
}

/// Keeps everything in memory: for tests and demonstrations. Durable at once.
#[derive(Debug, Default)]
pub struct MemorySink {
    held: Mutex<MemoryHeld>,
}

#[derive(Debug, Default)]
struct MemoryHeld {
    batches: Vec<AcceptedBatch>,
    watermarks: BTreeMap<(AgentId, Class), Watermark>,
}

impl MemorySink {
    /// Everything accepted so far, in order.
    pub fn batches(&self) -> Vec<AcceptedBatch> {
        self.lock().batches.clone()
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, MemoryHeld> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl BatchSink for MemorySink {
    fn accept(&self, batch: AcceptedBatch) -> Ticket {
        let mut held = self.lock();
        held.watermarks.insert((batch.agent, batch.class), Watermark { epoch: batch.epoch, seq: batch.last_seq });
        held.batches.push(batch);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Watermarks for MemorySink {
    fn watermark(&self, agent: AgentId, class: Class) -> Option<Watermark> {
        self.lock().watermarks.get(&(agent, class)).copied()
    }
}
