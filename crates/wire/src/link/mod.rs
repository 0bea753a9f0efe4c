//! The link: its messages, and both ends as state machines without I/O.
//!
//! The agent's end is a [`Sender`], the collector's a [`Receiver`]. Both take messages, time and the results of I/O as arguments and
//! answer with what to do next, so that the live link and the simulation in `tests/road` run the same code.
//!
//! ```text
//! agent                                   collector
//!   Hello{versions, acknowledged}  ───▶
//!                                  ◀───   Hello{version, durable, window}
//!   Batch …  (critical first)      ───▶   dedupe, refuse holes, hand to the log
//!                                  ◀───   Ack{class, epoch, seq}   after fsync
//!                                  ◀───   Policy
//!   Keepalive / Close              ◀──▶
//! ```

mod receiver;
mod sender;

pub use receiver::{Accepted, Reaction, Receiver, ReceiverConfig, ReceiverStats, Session};
pub use sender::{Action, Sender, SenderConfig, SenderStats, State};

use event::{Class, Epoch};
use prost::bytes::Bytes;

pub use crate::batch::Batch;

/// Versions of the protocol this program speaks, best first.
pub const VERSIONS: &[u32] = &[1];
/// Longest message either side accepts: a full batch and its frame. The transport's decoder limit.
pub const MESSAGE_BYTES_MAX: usize = crate::batch::PACKED_BYTES_MAX + 4096;
/// Longest text in a `Close` or `Hello` that is kept.
pub const TEXT_BYTES_MAX: usize = 256;
/// Largest policy body.
pub const POLICY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A position in one lane: everything up to and including it. Ordered by epoch, then sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mark {
    pub epoch: Epoch,
    pub seq: u64,
}

impl Mark {
    /// Before everything.
    pub const START: Self = Self { epoch: Epoch(0), seq: 0 };

    pub const fn new(epoch: u64, seq: u64) -> Self {
        Self { epoch: Epoch(epoch), seq }
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.epoch.0, self.seq)
    }
}

/// One mark a class, in the order of `Class::ALL`.
pub type Marks = [Mark; Class::ALL.len()];

/// Everything that travels on the stream, both ways.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6")]
    pub body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    #[prost(message, tag = "1")]
    Hello(Hello),
    #[prost(message, tag = "2")]
    Batch(Batch),
    #[prost(message, tag = "3")]
    Ack(Ack),
    #[prost(message, tag = "4")]
    Policy(Policy),
    #[prost(message, tag = "5")]
    Close(Close),
    #[prost(message, tag = "6")]
    Keepalive(Keepalive),
}

macro_rules! into_message {
    ($($name:ident),*) => { $(impl From<$name> for Message { fn from(body: $name) -> Self { Self { body: Some(Body::$name(body)) } } })* };
}
into_message!(Hello, Batch, Ack, Policy, Close, Keepalive);

/// First message of either side.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    /// What the side speaks; the collector answers with the one chosen.
    #[prost(uint32, repeated, tag = "1")]
    pub versions: Vec<u32>,
    /// Program and version, for people.
    #[prost(string, tag = "2")]
    pub product: String,
    /// Agent: acknowledged as far as it knows. Collector: durable.
    #[prost(message, repeated, tag = "3")]
    pub lanes: Vec<LaneMark>,
    /// From the collector: packed bytes that may be in flight; 0 leaves it to the agent.
    #[prost(uint32, tag = "4")]
    pub window_bytes: u32,
}

impl Hello {
    pub fn new(versions: &[u32], product: &str, marks: &Marks, window_bytes: u32) -> Self {
        let lanes = Class::ALL.iter().zip(marks);
        let lanes = lanes.map(|(class, mark)| LaneMark { class: *class as u32, epoch: mark.epoch.0, seq: mark.seq }).collect();
        Self { versions: versions.to_vec(), product: product.to_owned(), lanes, window_bytes }
    }

    /// The marks, `START` for classes not named; unknown classes and repeats are passed over.
    pub fn marks(&self) -> Marks {
        let mut marks = Marks::default();
        for lane in self.lanes.iter().take(marks.len() * 2) {
            if let Some(mark) = marks.get_mut(lane.class as usize) {
                *mark = Mark::new(lane.epoch, lane.seq);
            }
        }
        marks
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LaneMark {
    #[prost(uint32, tag = "1")]
    pub class: u32,
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    #[prost(uint64, tag = "3")]
    pub seq: u64,
}

/// "Durable up to here."
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Ack {
    #[prost(uint32, tag = "1")]
    pub class: u32,
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// New window in packed bytes; 0 leaves it as it is.
    #[prost(uint32, tag = "4")]
    pub window_bytes: u32,
}

/// Signed settings, rules or indicators for the agent; the signature is checked by the agent's `identity`, not here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Policy {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(string, tag = "2")]
    pub kind: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub body: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub signature: Bytes,
}

impl Policy {
    /// What the authority signs. The words in front keep these bytes apart from everything else its key ever signs: a certificate begins
    /// otherwise.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = b"vedette policy 1\0".to_vec();
        out.extend_from_slice(&self.revision.to_be_bytes());
        out.extend_from_slice(&(self.kind.len() as u64).to_be_bytes());
        out.extend_from_slice(self.kind.as_bytes());
        out.extend_from_slice(&self.body);
        out
    }
}

/// Last message of either side.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Close {
    /// See [`CloseCode`]; a number not known counts as `Protocol`.
    #[prost(uint32, tag = "1")]
    pub code: u32,
    #[prost(string, tag = "2")]
    pub reason: String,
    #[prost(uint32, tag = "3")]
    pub retry_after_ms: u32,
}

impl Close {
    pub fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        let mut end = reason.len().min(TEXT_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        Self { code: code as u32, reason, retry_after_ms: 0 }
    }
}

/// Why a side closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CloseCode {
    /// The program stops or restarts.
    Shutdown = 1,
    /// A message broke the contract.
    Protocol = 2,
    /// Sequence numbers are missing and no gap declares them.
    Hole = 3,
    /// A newer connection of the same agent took over.
    Superseded = 4,
    /// The certificate is revoked.
    Revoked = 5,
    /// The collector cannot take more now (disk, load): come back later.
    Busy = 6,
    /// No common version, or a message this side does not know.
    Unsupported = 7,
    /// Nothing was heard for too long.
    Silent = 8,
}

impl CloseCode {
    pub const ALL: [Self; 8] =
        [Self::Shutdown, Self::Protocol, Self::Hole, Self::Superseded, Self::Revoked, Self::Busy, Self::Unsupported, Self::Silent];

    /// Word for logs and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Protocol => "protocol",
            Self::Hole => "hole",
            Self::Superseded => "superseded",
            Self::Revoked => "revoked",
            Self::Busy => "busy",
            Self::Unsupported => "unsupported",
            Self::Silent => "silent",
        }
    }

    pub fn from_u32(n: u32) -> Self {
        Self::ALL.into_iter().find(|c| *c as u32 == n).unwrap_or(Self::Protocol)
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Keepalive {
    #[prost(uint64, tag = "1")]
    pub nonce: u64,
    /// True in the answer.
    #[prost(bool, tag = "2")]
    pub echo: bool,
}

/// Gives one message to both ends of a link, fresh and greeted: the door for fuzzing.
pub fn drive(bytes: &[u8]) {
    let now = event::Timestamp::ZERO;
    let Ok(message) = <Message as prost::Message>::decode(bytes) else { return };
    let hello = Message::from(Hello::new(VERSIONS, "", &Marks::default(), 0));
    for greeted in [false, true] {
        let (mut out, mut receiver) = (Vec::new(), Receiver::new(ReceiverConfig::default(), &Marks::default()));
        let session = receiver.open(now, &mut out);
        let mut sender = Sender::new(SenderConfig::default(), &Marks::default(), 0);
        let _ = sender.poll(now);
        sender.connected(now, &Marks::default());
        if greeted {
            receiver.received(session, now, hello.clone(), &mut out);
            sender.received(now, hello.clone());
        }
        receiver.received(session, now, message.clone(), &mut out);
        sender.received(now, message.clone());
        while !matches!(sender.poll(now), Action::Wait(_) | Action::Read { .. }) {}
    }
}
