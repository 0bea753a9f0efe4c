//! What the authority did and what it refused, by reason: for metrics and for tests.

use super::Issued;
use super::journal::Why;
use agent::identity::Refusal;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since start. Conservation at the enrolment door: `connections = answered (issued + refused) + dropped`, with what is open in between.
#[derive(Debug, Default)]
pub struct Counters {
    issued: [AtomicU64; 3],
    refused: [AtomicU64; Refusal::ALL.len()],
    connections: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
}

/// Why a connection at the enrolment door ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Dropped {
    /// This address failed too often lately, or has too many connections open.
    Source,
    /// All places are taken.
    Full,
    /// No TLS 1.3 handshake.
    Tls,
    /// Not finished in time.
    Slow,
    /// Bytes that are no request, or none.
    Malformed,
    /// The peer went away.
    Gone,
}

impl Dropped {
    pub const ALL: [Self; 6] = [Self::Source, Self::Full, Self::Tls, Self::Slow, Self::Malformed, Self::Gone];
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Full => "full",
            Self::Tls => "tls",
            Self::Slow => "slow",
            Self::Malformed => "malformed",
            Self::Gone => "gone",
        }
    }
}

impl Counters {
    pub(super) fn outcome(&self, why: Why, outcome: &Result<Issued, Refusal>) {
        match outcome {
            Ok(_) => add(&self.issued, why as usize),
            Err(reason) => add(&self.refused, *reason as usize),
        }
    }
    pub(super) fn connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }
    pub(super) fn dropped(&self, why: Dropped) {
        add(&self.dropped, why as usize);
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
    pub fn issued_for(&self, why: Why) -> u64 {
        get(&self.issued, why as usize)
    }
    pub fn refused_for(&self, reason: Refusal) -> u64 {
        get(&self.refused, reason as usize)
    }
    pub fn dropped_for(&self, why: Dropped) -> u64 {
        get(&self.dropped, why as usize)
    }

    /// (family, reason, count) of everything, for metrics: `authority_<family>_total{reason}`.
    pub fn snapshot(&self) -> Vec<(&'static str, &'static str, u64)> {
        let issued = [(Why::Enrolled, "enrolled"), (Why::Renewed, "renewed"), (Why::Recovered, "recovered")];
        let mut out = vec![("enrolment_connections", "all", self.connections())];
        out.extend(issued.iter().map(|(why, name)| ("certificates_issued", *name, self.issued_for(*why))));
        out.extend(Refusal::ALL.iter().map(|r| ("requests_refused", r.name(), self.refused_for(*r))));
        out.extend(Dropped::ALL.iter().map(|d| ("enrolment_dropped", d.name(), self.dropped_for(*d))));
        out
    }
}

fn add(row: &[AtomicU64], at: usize) {
    if let Some(counter) = row.get(at) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn get(row: &[AtomicU64], at: usize) -> u64 {
    row.get(at).map_or(0, |c| c.load(Ordering::Relaxed))
}
