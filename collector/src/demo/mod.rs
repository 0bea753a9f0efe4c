//! (stub)
pub mod story;
