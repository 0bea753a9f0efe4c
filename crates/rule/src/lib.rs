//! Sigma 2.1: read → collect → compile → match. Stateless and clock-free, so the agent and the collector link the same crate.
//!
//! `RuleSet::load` reads detection rules, correlation rules and global filters (`read`), resolves the names they use through
//! `Mappings`, and compiles each detection item into one predicate shared by all rules that ask the same question
//! (`compile`). `RuleSet::detect` looks only at rules whose log source fits the event. Correlation rules are read, resolved
//! and ordered here and kept as [`Correlation`] for the room that has a memory.
//!
//! Invariants: a bad rule never stops the others; a rule that cannot be understood is refused with file, line and way out,
//! never loaded with another meaning; no bytes of an event make it panic; nothing here reads a clock.

mod code;
mod compile;
mod correlation;
mod document;
mod encode;
mod error;
mod explain;
mod files;
mod index;
mod item;
mod json;
mod line;
mod literal;
mod loader;
mod mapping;
mod matcher;
mod names;
mod outline;
mod plan;
mod read;
mod record;
mod regexp;
mod route;
mod scalar;
mod set;
mod text;

pub use correlation::{Bound, Correlation, GroupKey, Operator, RuleRef};
pub use error::{Notice, RuleError};
pub use explain::{Explanation, Node};
pub use json::{BadLine, Feed, LINE_BYTES_MAX, Routing, json_event};
pub use mapping::Mappings;
pub use outline::{DocumentKind, Outline};
pub use set::{Options, RuleSet, Scratch, Source};
