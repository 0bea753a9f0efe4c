//! The collector's end of the link.

mod sink;

pub use sink::{AcceptedBatch, BatchSink, MemorySink, SinkError, Ticket, Watermark, Watermarks};
