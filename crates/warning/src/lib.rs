//! The desk: findings grouped into alerts for a person. Grading and the life of a warning join it here later.
//! Knows no store, no channel and no clock.

mod alert;

pub use alert::{Alert, AlertId, AlertReason, AlertState, CloseReason, UnitRef};
