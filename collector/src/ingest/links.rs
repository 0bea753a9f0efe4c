//! All agents on the link: who is connected, since when, how far; and the hand on the switch.

use super::LinkConfig;
use super::connection::Connection;
use super::counters::Counters;
use super::peer::{LinkSnapshot, Peer, Published, Shared};
use super::sink::{BatchSink, Watermarks};
use crate::authority::{Authority, Clock};
use event::{AgentId, Class};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use wire::link::{CloseCode, Marks};

/// Connections an agent may have at once: the one in use, and the one that is about to take over.
const CONNECTIONS_PER_AGENT: usize = 2;
/// Time for a last message to reach the agent before its connection is cut.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// The live registry. One entry per agent that ever connected since start, so it is bounded by the register of the authority.
pub struct Links {
    pub(super) authority: Arc<Authority>,
    pub(super) shared: Arc<Shared>,
    watermarks: Arc<dyn Watermarks>,
    book: Mutex<HashMap<AgentId, Entry>>,
}

struct Entry {
    peer: Arc<Peer>,
    /// Oldest first.
    connections: VecDeque<Arc<Connection>>,
}

impl Links {
    pub fn new(
        authority: Arc<Authority>,
        sink: Arc<dyn BatchSink>,
        watermarks: Arc<dyn Watermarks>,
        config: &LinkConfig,
        clock: Clock,
    ) -> Arc<Self> {
        let kib = |bytes: usize| bytes.div_ceil(1024).clamp(agent::uplink::codec::MESSAGE_BYTES_MAX.div_ceil(1024), Semaphore::MAX_PERMITS);
        let shared = Shared {
            sink,
            counters: Counters::default(),
            clock,
            receiver: config.receiver.clone(),
            room: Arc::new(Semaphore::new(kib(config.in_flight_bytes))),
            room_per_agent_kib: kib(config.in_flight_bytes_per_agent),
            policy: Mutex::default(),
        };
        Arc::new(Self { authority, shared: Arc::new(shared), watermarks, book: Mutex::default() })
    }

    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Every agent whose stream is open, by id.
    pub fn snapshot(&self) -> Vec<LinkSnapshot> {
        let peers: Vec<_> = self.lock().values().map(|e| e.peer.clone()).collect();
        let mut open: Vec<_> = peers.iter().filter_map(|p| p.snapshot()).collect();
        open.sort_by_key(|s| s.agent);
        open
    }

    /// One agent's open stream.
    pub fn get(&self, agent: AgentId) -> Option<LinkSnapshot> {
        let peer = self.lock().get(&agent).map(|e| e.peer.clone());
        peer.and_then(|p| p.snapshot())
    }

    /// Puts a policy in force: agents that are connected are told what is new, others everything when they connect. How many were told.
    /// Call it within a runtime.
    pub fn publish(&self, fresh: Published) -> usize {
        let fresh = Arc::new(fresh);
        let before = std::mem::replace(&mut *self.shared.policy.lock().unwrap_or_else(PoisonError::into_inner), fresh.clone());
        let known: Vec<_> = before.layers.iter().map(|(id, _)| *id).collect();
        let parts = fresh.layers.iter().filter(|(id, _)| !known.contains(id)).flat_map(|(_, parts)| parts);
        let messages: Vec<_> = fresh.manifest.iter().chain(parts).cloned().collect();
        let peers: Vec<_> = self.lock().values().map(|e| e.peer.clone()).collect();
        peers.iter().filter(|p| p.tell(&messages)).count()
    }

    /// Ends an agent's connections; true if there were any. It may come back unless it is revoked.
    pub fn cut(&self, agent: AgentId, code: CloseCode, reason: &str) -> bool {
        let Some((peer, connections)) = self.lock().get(&agent).map(|e| (e.peer.clone(), e.connections.clone())) else { return false };
        peer.close(code, reason);
        let any = !connections.is_empty();
        connections.into_iter().for_each(cut_after_grace);
        any
    }

    /// Cuts everyone for whom `which` holds.
    pub fn cut_where(&self, which: impl Fn(AgentId) -> bool, code: CloseCode, reason: &str) {
        let agents: Vec<_> = self.lock().iter().filter(|(_, e)| !e.connections.is_empty()).map(|(a, _)| *a).collect();
        for agent in agents.into_iter().filter(|a| which(*a)) {
            self.cut(agent, code, reason);
        }
    }

    /// A TLS connection of a known agent came up. The oldest goes if there are too many.
    pub(super) fn joined(&self, connection: &Arc<Connection>) {
        let mut book = self.lock();
        let entry = self.entry(&mut book, connection.name.agent);
        entry.connections.retain(|c| !c.is_cut());
        entry.connections.push_back(connection.clone());
        while entry.connections.len() > CONNECTIONS_PER_AGENT {
            if let Some(oldest) = entry.connections.pop_front() {
                oldest.cut();
            }
        }
    }

    pub(super) fn left(&self, connection: &Arc<Connection>) {
        if let Some(entry) = self.lock().get_mut(&connection.name.agent) {
            entry.connections.retain(|c| !Arc::ptr_eq(c, connection));
        }
    }

    /// The agent behind a connection that opens its stream; its older connections go.
    pub(super) fn streaming(&self, connection: &Arc<Connection>) -> Arc<Peer> {
        let mut book = self.lock();
        let entry = self.entry(&mut book, connection.name.agent);
        for older in entry.connections.iter().take_while(|c| !Arc::ptr_eq(c, connection)) {
            cut_after_grace(older.clone());
        }
        entry.peer.clone()
    }

    fn entry<'a>(&self, book: &'a mut HashMap<AgentId, Entry>, agent: AgentId) -> &'a mut Entry {
        book.entry(agent).or_insert_with(|| {
            let mut marks = Marks::default();
            for (class, mark) in Class::ALL.into_iter().zip(&mut marks) {
                if let Some(held) = self.watermarks.watermark(agent, class) {
                    *mark = wire::Mark { epoch: held.epoch, seq: held.seq };
                }
            }
            Entry { peer: Peer::new(agent, marks, self.shared.clone()), connections: VecDeque::new() }
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AgentId, Entry>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a last message through, then cuts for certain.
pub(super) fn cut_after_grace(connection: Arc<Connection>) {
    tokio::spawn(async move {
        tokio::time::sleep(GRACE).await;
        connection.cut();
    });
}
