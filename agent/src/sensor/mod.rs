//! What every sensor is: a row in `SENSORS`, a section `[sensor.<name>]` in the configuration, and a thread that polls it.
//!
//! A sensor observes and never judges; it holds no thresholds. It never panics on what it reads, never blocks longer than
//! the `wait` it is given, and states at any time what it cannot see and why (`coverage`).

pub mod file;
pub mod host;
pub mod log;
pub mod net;

use event::{Class, Event, Field, Timestamp};
use std::fmt;
use std::time::Duration;

/// Every sensor there is. `mod usb;` and one row here is all it takes to add one.
pub static SENSORS: &[&dyn SensorKind] = &[&net::NET, &log::LOG, &file::FILE, &host::HOST];

/// A kind of sensor: its words, its configuration and how it is opened.
pub trait SensorKind: Sync {
    /// Name in the configuration (`[sensor.<name>]`), in metrics and in coverage statements.
    fn name(&self) -> &'static str;
    /// One line for people.
    fn about(&self) -> &'static str;
    /// Fields its events may carry, for the field reference.
    fn fields(&self) -> &'static [Field];
    /// Its configuration section as commented TOML with the default values, without the header line.
    fn sample(&self) -> &'static str;
    /// Checks a section without opening anything; the message names the key, the value and the way out.
    fn check(&self, section: &toml::Table) -> Result<(), String>;
    /// Opens it. A sensor that can see nothing at all is an error; one that sees a part opens and says so in `coverage`.
    fn open(&self, section: &toml::Table, host: &HostFacts) -> Result<Box<dyn Sensor>, SensorError>;
}

/// An open sensor; polled in a loop by its own thread.
pub trait Sensor: Send {
    /// Looks, for at most `wait`, and hands over what it saw. Returns early when there was something.
    fn poll(&mut self, now: Timestamp, wait: Duration, out: &mut dyn Output) -> Result<(), SensorError>;
    /// What it can and cannot see right now.
    fn coverage(&self, out: &mut Vec<Coverage>);
    /// Last call before the thread ends: flush what is held (open flows, unfinished lines).
    fn close(&mut self, now: Timestamp, out: &mut dyn Output);
}

/// Where a sensor's observations go. Calls may block while the spool is behind (a sensor that must not block, such as
/// packet capture, relies on the kernel's buffer and its drop counter).
pub trait Output {
    fn event(&mut self, class: Class, event: Event);
    /// A position to resume from, made durable together with all events handed over before it. `key` is unique within the sensor.
    fn checkpoint(&mut self, key: &str, value: &[u8]);
    /// Observations that are gone, with a fixed reason word (`kernel_drop`, `line_too_long`, `watch_overflow`, …): counted, declared, never silent.
    fn lost(&mut self, class: Class, count: u64, reason: &'static str);
    /// A count of the sensor's own that is worth a metric, by a fixed word; what it counts is no event and not lost.
    fn count(&mut self, _what: &'static str, _count: u64) {}
    /// The agent as a whole, for the one sensor that reports on it. `None` where there is no agent around (replay, tests).
    fn agent(&self) -> Option<&dyn AgentView> {
        None
    }
}

/// What the host sensor's heartbeat says of the agent around it.
pub trait AgentView {
    /// The spool's account of a class: `produced = acknowledged + spooled + lost`.
    fn ledger(&self, class: Class) -> LedgerRow;
    /// What all sensors can and cannot see, as they last stated.
    fn coverage(&self) -> Vec<Coverage>;
    /// How the link to the collector stands, in a few words.
    fn link(&self) -> String;
    /// Revision of the indicators in force at the edge, 0 for none, and how many they are.
    fn indicators(&self) -> (u64, u64);
}

/// One class of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerRow {
    pub produced: u64,
    pub acknowledged: u64,
    pub spooled: u64,
    pub lost: u64,
}

/// What a sensor needs to know about the host and about what it may resume.
pub struct HostFacts {
    pub hostname: String,
    /// Checkpoints of this sensor from the spool, by key.
    pub checkpoints: Vec<(String, Vec<u8>)>,
    /// Paths of the agent's own files, the state folder first: a file or log sensor must not watch these.
    pub own_paths: Vec<std::path::PathBuf>,
    /// The collector's address and port, which packet capture leaves out.
    pub own_uplink: Option<std::net::SocketAddr>,
    pub now: Timestamp,
}

/// A statement about one subject a sensor watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    pub sensor: &'static str,
    /// Interface, file or folder.
    pub subject: String,
    pub state: CoverageState,
    /// Why not, and the way out; empty when seeing.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoverageState {
    Seeing,
    Partial,
    Blind,
    Off,
}

impl CoverageState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seeing => "seeing",
            Self::Partial => "partial",
            Self::Blind => "blind",
            Self::Off => "off",
        }
    }
}

/// A sensor that cannot go on; the thread ends, coverage says blind, the others run on.
#[derive(Debug)]
pub struct SensorError {
    pub what: String,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl SensorError {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }
    pub fn because(what: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { what: what.into(), source: Some(Box::new(source)) }
    }
}

impl fmt::Display for SensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for SensorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
