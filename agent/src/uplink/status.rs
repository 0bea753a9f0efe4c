//! How the link stands, for `/-/ready`, `status` and the heartbeat. Health is the age of the last acknowledgement, never "the
//! process is up".

use std::sync::{Arc, PoisonError, RwLock};

use event::Timestamp;
use indicator::Set;
use tokio::sync::watch;

/// Written by the uplink task, read by anyone.
pub struct UplinkStatus {
    held: watch::Sender<Snapshot>,
    /// Indicators the collector sent, exchanged whole; empty until then.
    indicators: RwLock<Arc<Set>>,
}

/// One consistent look at the link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Connected since, by this host's clock; `None` when not connected.
    pub connected_since: Option<Timestamp>,
    pub last_ack: Option<Timestamp>,
    /// Last failure in words, with the way out; kept after the link is up again.
    pub last_error: Option<(Timestamp, String)>,
    pub connects: u64,
    pub failures: u64,
    pub batches_sent: u64,
    /// Compressed bytes of batches handed to the connection.
    pub bytes_sent: u64,
    /// Messages from the collector of a kind this agent does not know; counted and ignored.
    pub unknown_messages: u64,
    /// Policies that were not taken: not signed by the authority, older than what is in force, or of a kind not known.
    pub policies_ignored: u64,
    /// Revision of the indicators in force; 0 for none.
    pub indicators_revision: u64,
    /// Entries of it.
    pub indicators: u64,
    /// Collector's clock minus this host's, in milliseconds, at the last connect (network delay included).
    pub clock_offset_ms: Option<i64>,
    pub certificate_not_after: Option<Timestamp>,
    pub renewals: u64,
}

impl Default for UplinkStatus {
    fn default() -> Self {
        Self { held: watch::Sender::new(Snapshot::default()), indicators: RwLock::default() }
    }
}

impl UplinkStatus {
    pub fn snapshot(&self) -> Snapshot {
        self.held.borrow().clone()
    }
    /// Sees every state from now on, for those who wait for one.
    pub fn subscribe(&self) -> watch::Receiver<Snapshot> {
        self.held.subscribe()
    }
    /// Indicators in force on this host.
    pub fn indicators(&self) -> Arc<Set> {
        self.indicators.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Puts a newer set in force; one that was made late from an older revision is dropped.
    pub(super) fn arm(&self, revision: u64, set: Set) {
        let mut slot = self.indicators.write().unwrap_or_else(PoisonError::into_inner);
        if revision >= self.held.borrow().indicators_revision {
            let entries = set.len() as u64;
            *slot = Arc::new(set);
            drop(slot);
            self.update(|s| (s.indicators_revision, s.indicators) = (revision, entries));
        }
    }
    /// Nanoseconds since the collector last acknowledged anything; `None` if it never did.
    pub fn last_ack_age_ns(&self, now: Timestamp) -> Option<i64> {
        self.held.borrow().last_ack.map(|at| now.since(at))
    }
    pub(super) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        self.held.send_modify(change);
    }
}
