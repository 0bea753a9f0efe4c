//! What agent and collector say to each other: events as bytes, batches of them, the messages of the link, and both
//! ends of the link as state machines. Bytes in, bytes out: no socket, no file, no clock.
//!
//! `proto/link.proto` is the contract; a test holds the code against it. Events are written and read by hand (`event`),
//! because every event of a city passes there; the messages around them are plain prost structs (`link`).
//!
//! Must stay true:
//! - A batch is one contiguous run of sequence numbers of one (agent, epoch, class): each row stands for the next
//!   number, a gap row for the next `count` numbers. A hole inside a batch cannot be written down.
//! - Nothing read here can panic, recurse deeper than `event::DEPTH_MAX`, or allocate more than a declared and checked
//!   length (`batch::RAW_BYTES_MAX`).

pub mod batch;
#[cfg(test)]
mod contract;
pub mod event;
pub mod link;
mod pb;

pub use batch::{Batch, BatchError, Packer, Row};
pub use event::DecodeError;
pub use link::{Mark, Message};
