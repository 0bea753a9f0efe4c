//! How the link stands, for `/-/ready`, `status` and the heartbeat. Health is the age of the last acknowledgement, never "the
//! process is up".

use event::Timestamp;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Written by the uplink task, read by anyone.
#[derive(Debug, Default)]
pub struct UplinkStatus {
    held: Mutex<Snapshot>,
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
    /// Sequence numbers acknowledged, gaps included.
    pub acknowledged: u64,
    /// Messages from the collector of a kind this agent does not know; counted and ignored.
    pub unknown_messages: u64,
    /// Collector's clock minus this host's, in milliseconds, at the last connect (network delay included).
    pub clock_offset_ms: Option<i64>,
    pub certificate_not_after: Option<Timestamp>,
    pub renewals: u64,
}

impl UplinkStatus {
    pub fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }
    /// Nanoseconds since the collector last acknowledged anything; `None` if it never did.
    pub fn last_ack_age_ns(&self, now: Timestamp) -> Option<i64> {
        self.lock().last_ack.map(|at| now.since(at))
    }
    pub(super) fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
