//! Findings over time: counts, different values, sequences. Findings go in, findings come out; nothing here knows an alert.
//!
//! What is promised, because the Sigma specification is silent on it:
//! * **Event time.** A window is a stretch of event time `[end − timespan, end]`, both ends included: two events exactly the
//!   timespan apart are together. Windows slide; they start at no round time.
//! * **Order of arrival does not matter** within the allowed lateness: entries lie in order of their own time, and each entry
//!   that comes late is counted into every window it belongs to. What is later still is counted as far as its window is held.
//! * **At once.** Where the condition can only become truer with more events (`gte`, `gt`), a finding is made when the
//!   condition is first reached, never at the end of the window. Other conditions (`lt`, `lte`, `eq`, `neq`) are judged when
//!   the episode closes. A group that never had an event has no windows: absence of everything is for `watch`, not for here.
//! * **Episodes.** Entries of a group that follow each other by at most the timespan are one episode. An episode is told once
//!   when it is reached, then again only when what it measures or holds has doubled, when it has gone on for
//!   `REFRESH_S` since it was last told, and when it closes with more than was told. The `count` of a retelling is what was added.
//! * **A wrong clock** cannot empty a window: times ahead of arrival by more than the tolerance are held at arrival plus the
//!   tolerance, and the finding says so (`clock_ahead`).
//! * **Duplicates** (the same event id, rule and time) count once.
//! * **A finding without a group-by field** belongs to no group and is counted in `ungrouped`; so is one without a counted field.
//! * **Bounded**: groups, entries a group, entries in all, episodes a group, parties a finding. Past the group limit the
//!   groups that have come least far and were quiet longest go first, so a flood of strangers does not push out the slow one.

mod bytes;
mod clock;
mod episode;
mod kind;
mod ring;
mod state;
mod windows;

#[cfg(test)]
mod tests;

pub use kind::{KINDS, Kind};
pub use state::StateError;
pub use windows::{Counters, Limits, Windows};

/// Seconds of event time after which an episode that goes on is told again.
pub const REFRESH_S: i64 = 300;
