//! What came in at the link port, and what was turned away and why.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection or a message was refused or ended. One word each for metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// Before the handshake: this source failed too often or has too many handshakes open.
    Source,
    /// Before the handshake: too many handshakes at once, or `connections_max` reached.
    Full,
    /// No TLS 1.3 handshake: another protocol, another version, garbage.
    NotTls,
    /// The handshake took too long.
    Slow,
    NoCertificate,
    /// A certificate of another authority.
    Foreign,
    Expired,
    Revoked,
    /// Not in the register, or with a key that is not its own (any more).
    Unknown,
    /// Not an agent's certificate, or one that cannot be read.
    NotAgent,
    /// The peer went away during the handshake.
    Gone,
    /// A connection that opened no stream in time.
    Unused,
    /// A second stream on one connection, or a path that is no service of ours.
    NotOurs,
    /// A message over the limit.
    Oversize,
    /// A message that is not protobuf, or breaks HTTP/2.
    Malformed,
    /// The agent does not read what it is told.
    NotReading,
    /// The write-ahead log refused a batch.
    Store,
    /// Sessions ended by `wire`'s close codes.
    Shutdown,
    Protocol,
    Hole,
    Superseded,
    Busy,
    Unsupported,
    Silent,
    /// The agent ended the stream, or the network did.
    Ended,
}

impl Reason {
    pub const ALL: [Self; 25] = [
        Self::Source,
        Self::Full,
        Self::NotTls,
        Self::Slow,
        Self::NoCertificate,
        Self::Foreign,
        Self::Expired,
        Self::Revoked,
        Self::Unknown,
        Self::NotAgent,
        Self::Gone,
        Self::Unused,
        Self::NotOurs,
        Self::Oversize,
        Self::Malformed,
        Self::NotReading,
        Self::Store,
        Self::Shutdown,
        Self::Protocol,
        Self::Hole,
        Self::Superseded,
        Self::Busy,
        Self::Unsupported,
        Self::Silent,
        Self::Ended,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Full => "full",
            Self::NotTls => "not_tls",
            Self::Slow => "slow",
            Self::NoCertificate => "no_certificate",
            Self::Foreign => "foreign_certificate",
            Self::Expired => "expired_certificate",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown_agent",
            Self::NotAgent => "not_an_agent",
            Self::Gone => "gone",
            Self::Unused => "unused",
            Self::NotOurs => "not_ours",
            Self::Oversize => "oversize",
            Self::Malformed => "malformed",
            Self::NotReading => "not_reading",
            Self::Store => "store",
            Self::Shutdown => "shutdown",
            Self::Protocol => "protocol",
            Self::Hole => "hole",
            Self::Superseded => "superseded",
            Self::Busy => "busy",
            Self::Unsupported => "unsupported",
            Self::Silent => "silent",
            Self::Ended => "ended",
        }
    }
}

impl From<wire::link::CloseCode> for Reason {
    fn from(code: wire::link::CloseCode) -> Self {
        use wire::link::CloseCode as C;
        match code {
            C::Shutdown => Self::Shutdown,
            C::Protocol => Self::Protocol,
            C::Hole => Self::Hole,
            C::Superseded => Self::Superseded,
            C::Revoked => Self::Revoked,
            C::Busy => Self::Busy,
            C::Unsupported => Self::Unsupported,
            C::Silent => Self::Silent,
        }
    }
}

/// Counters of the link port since start. `connections = established + refused before` plus the handshakes now going on.
#[derive(Debug, Default)]
pub struct Counters {
    refused: [AtomicU64; Reason::ALL.len()],
    /// TCP connections accepted.
    pub connections: Count,
    /// TLS connections of known agents.
    pub established: Count,
    pub sessions: Count,
    pub messages: Count,
    pub bytes: Count,
    pub batches: Count,
    pub events: Count,
    /// Sequence numbers declared gone by gap rows.
    pub lost_declared: Count,
    /// Batches reported durable.
    pub durable: Count,
    /// Sequence numbers an agent had acknowledged that the log does not hold: a restored backup.
    pub regressions: Count,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(super) fn refuse(&self, reason: Reason) {
        if let Some(counter) = self.refused.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused.get(reason as usize).map_or(0, |c| c.load(Ordering::Relaxed))
    }

    /// (family, reason, count) of everything, for metrics: `ingest_<family>_total{reason}`.
    pub fn snapshot(&self) -> Vec<(&'static str, &'static str, u64)> {
        let plain = [
            ("connections", &self.connections),
            ("established", &self.established),
            ("sessions", &self.sessions),
            ("messages", &self.messages),
            ("bytes", &self.bytes),
            ("batches", &self.batches),
            ("events", &self.events),
            ("lost_declared", &self.lost_declared),
            ("durable", &self.durable),
            ("regressions", &self.regressions),
        ];
        let plain = plain.into_iter().map(|(name, count)| (name, "all", count.get()));
        plain.chain(Reason::ALL.iter().map(|r| ("refused", r.name(), self.refused(*r)))).collect()
    }
}
