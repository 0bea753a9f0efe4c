//! Where frames come from: a kernel ring (Linux), trace files (pcap, pcapng), and pnet where there is no ring. The only room
//! that may use `unsafe`.
//!
//! Everything stands behind `PacketSource`: a frame is lent until the next call, loss is counted by whoever caused it, and
//! waiting is always bounded, so that an agent on a quiet link can still stop.

mod file;
mod interface;
mod portable;

#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod ring;

pub use file::{BATCH_MAX, Batch, Defect, FileSource};
pub use interface::{Interface, interfaces};

use std::net::SocketAddr;
use std::time::Duration;

use packet::Frame;

/// A source of frames.
pub trait PacketSource: Send {
    /// Name of the interface, or of the file.
    fn name(&self) -> &str;
    /// The next frame, lent until the next call; waits for one for at most `wait`. `None`: nothing came, or the file is over.
    fn next(&mut self, wait: Duration) -> Result<Option<Frame<'_>>, CaptureError>;
    /// Counters since the source was opened.
    fn stats(&mut self) -> Stats;
    /// Something to poll for readability, if the source has it.
    fn descriptor(&self) -> Option<i32> {
        None
    }
    /// Which way packets are taken: `ring`, `pnet`, `pcap`, `pcapng`.
    fn method(&self) -> &'static str;
}

/// Counters of a source, each rising only. For the ring: frames that reached the socket = `got` + `kernel_drops` + those that
/// still wait in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Frames handed to the caller.
    pub got: u64,
    /// Frames the kernel threw away because nobody read in time.
    pub kernel_drops: u64,
    /// Times the ring was full.
    pub freezes: u64,
    /// False where the method cannot count drops.
    pub counts_drops: bool,
}

/// How to open an interface.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveConfig {
    /// Kernel buffer, bytes; rounded to whole blocks, at least four.
    pub buffer_bytes: usize,
    /// Longest wait for a block to fill: the delay a single packet may have.
    pub block_wait: Duration,
    pub promiscuous: bool,
    /// TCP connection that is left out: the agent's own uplink, or it would watch itself in a loop.
    pub exclude: Option<SocketAddr>,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self { buffer_bytes: 8 << 20, block_wait: Duration::from_millis(20), promiscuous: false, exclude: None }
    }
}

/// Opens an interface with the best method there is.
pub fn open(interface: &Interface, config: &LiveConfig) -> Result<Box<dyn PacketSource>, CaptureError> {
    #[cfg(target_os = "linux")]
    match ring::RingSource::open(interface, config) {
        Ok(source) => return Ok(Box::new(source)),
        // Without the right there is none for pnet either; an interface that is gone is gone for both.
        Err(e @ (CaptureError::NotAllowed { .. } | CaptureError::Gone { .. })) => return Err(e),
        Err(_) => {}
    }
    Ok(Box::new(portable::PnetSource::open(interface, config)?))
}

/// Waits until one of the descriptors of sources is readable, or `wait` is over; true in the first case.
pub fn wait_descriptors(descriptors: &[i32], wait: Duration) -> bool {
    interface::poll_readable(descriptors, wait)
}

/// Why frames cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("not allowed to capture on {interface}: give the unit AmbientCapabilities=CAP_NET_RAW")]
    NotAllowed { interface: String },
    #[error("interface {interface} is gone or down")]
    Gone { interface: String },
    #[error("could not {what} on {interface}")]
    System { interface: String, what: &'static str, source: std::io::Error },
    #[error("could not read {path}")]
    File { path: String, source: std::io::Error },
    #[error("{path} is neither pcap nor pcapng ({reason})")]
    NoCapture { path: String, reason: &'static str },
}
