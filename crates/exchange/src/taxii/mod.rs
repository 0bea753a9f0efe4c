//! TAXII 2.1 (OASIS, 10 June 2021), both ends without a socket: `serve` makes an answer of a request and of what a caller may see, `Pull` reads
//! a collection of another server page by page.

mod pull;
mod serve;

pub use pull::{Bounds, Fault, Next, Pull};
pub use serve::{Answer, Collection, OBJECTS_MAX, Record, Request, Shelf, records, serve};

/// Of all TAXII answers.
pub const MEDIA_TYPE: &str = "application/taxii+json;version=2.1";
/// Of the objects in them.
pub const STIX_MEDIA_TYPE: &str = "application/stix+json;version=2.1";
