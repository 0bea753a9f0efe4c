//! The desk: findings grouped into alerts for a person. Grading and the life of a warning join it here later.
//! Knows no store, no channel and no clock.

mod alert;
mod desk;
pub mod text;

pub use alert::{Alert, AlertId, AlertReason, AlertState, CloseReason, UnitRef};
pub use desk::{Change, Desk, DeskCounters, DeskLimits, Judgement, PARTIES_MAX, REASONS_MAX, StateError};
pub use text::{Lang, REASONS, ReasonText, render};
