//! The desk: findings grouped into alerts for a person. Grading: which level a warning about a case should have, and why.
//! Knows no store, no channel and no clock.

mod alert;
mod desk;
pub mod grade;
pub mod text;

pub use alert::{Alert, AlertId, AlertReason, AlertState, CloseReason, UnitRef};
pub use desk::{Change, Desk, DeskCounters, DeskLimits, Judgement, PARTIES_MAX, REASONS_MAX, StateError};
pub use text::{Lang, REASONS, ReasonText, render};
