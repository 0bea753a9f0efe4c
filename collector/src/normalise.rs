//! A frame as received becomes events: decoded, named, joined with the register.

use std::sync::Arc;

use event::{AgentId, Class, Epoch, Event, Timestamp};

use crate::register::Register;

/// One accepted batch, as the write-ahead log keeps it (`store::Frame` lends this view).
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    pub agent: AgentId,
    pub received: Timestamp,
    pub class: Class,
    pub epoch: Epoch,
    pub first_seq: u64,
    pub last_seq: u64,
    /// Wire batch as received.
    pub bytes: &'a [u8],
}

/// What became of a frame: `records = events + damaged`, and gaps beside them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub events: u64,
    /// Records that could not be decoded; each leaves an event of service `damaged` in its place.
    pub damaged: u64,
    /// Sequence numbers covered by gap records.
    pub declared_lost: u64,
}

/// Keeps the clock estimate of each agent; otherwise without state.
#[derive(Default)]
pub struct Normaliser {}

impl Normaliser {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn frame(&mut self, _frame: FrameView<'_>, _register: &Register, _out: &mut Vec<Arc<Event>>) -> Tally {
        Tally::default()
    }
}
