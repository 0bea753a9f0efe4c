//! How the link stands, for `/-/ready`, `status` and the heartbeat. Health is the age of the last acknowledgement, never "the
//! process is up".

use event::Timestamp;
use tokio::sync::watch;

/// Written by the uplink task, read by anyone.
#[derive(Debug)]
pub struct UplinkStatus {
    held: watch::Sender<Snapshot>,
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
    /// Policies received; this agent takes none yet.
    pub policies_ignored: u64,
    /// Collector's clock minus this host's, in milliseconds, at the last connect (network delay included).
    pub clock_offset_ms: Option<i64>,
    pub certificate_not_after: Option<Timestamp>,
    pub renewals: u64,
}

impl Default for UplinkStatus {
    fn default() -> Self {
        Self { held: watch::Sender::new(Snapshot::default()) }
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
    /// Nanoseconds since the collector last acknowledged anything; `None` if it never did.
    pub fn last_ack_age_ns(&self, now: Timestamp) -> Option<i64> {
        self.held.borrow().last_ack.map(|at| now.since(at))
    }
    pub(super) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        self.held.send_modify(change);
    }
}
