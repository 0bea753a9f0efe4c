//! Findings over time: counts, different values, sums, sequences, spread, first sights, baselines, silence. Findings go in, findings
//! come out; nothing here knows an alert.
//!
//! What is promised, because the Sigma specification is silent on it:
//! * **Event time.** A window is a stretch of event time `[end − timespan, end]`, both ends included: two events exactly the
//!   timespan apart are together. Windows slide; they start at no round time (but the periods of `deviation`).
//! * **Order of arrival does not matter** within the allowed lateness: entries lie in order of their own time, and each entry
//!   that comes late is counted into every window it belongs to. What is later still is counted as far as its window is held.
//! * **Equal times** are in order, whichever came first, because many logs have whole seconds; one event never fills two steps in a row.
//! * **At once.** Where more events can only make the condition truer (`gte`, `gt` of a count, a sum, a sequence), a finding is made
//!   when the condition is first reached, never at the end of the window. Other conditions of these (`lt`, `lte`, `eq`, `neq`,
//!   ranges) are judged on the greatest window when the episode closes. What can fall again (an average, a percentile) is judged window by
//!   window when the watermark has passed its end. A group that never had an event has no windows.
//! * **Episodes.** Entries of a group that follow each other by at most the timespan are one episode. An episode is told once
//!   when it is reached, then again only when what it measures or holds has doubled, when it has gone on for
//!   `REFRESH_S` since it was last told, and when it closes with more than was told. The `count` of a retelling is what was added.
//! * **A wrong clock** cannot empty a window: a clock the collector knows to be ahead (`clock.skew_ms`) is taken back by as much; what is
//!   still ahead of arrival by more than the tolerance is held at arrival plus the tolerance. The finding says so (`clock_ahead`).
//! * **Duplicates** (the same event id, rule and time) count once.
//! * **A finding without a group-by field** belongs to no group and is counted in `ungrouped`; so is one without a counted field.
//!   Values are the same if a person would write them the same.
//! * **Cost**: O(1) amortised for an entry in order; for a late one, the entries newer than it. `percentile` O(log n); `spread` and
//!   `stages` measure their window of at most 256 edges anew.
//! * **Bounded**: groups, bytes, entries a group, episodes a group, parties a finding. Who goes at a limit is in `room`.

mod ahead;
mod bytes;
mod clock;
mod due;
mod episode;
mod group;
mod held;
mod kind;
mod listen;
mod names;
mod ring;
mod room;
mod spare;
mod spec;
mod state;
mod windows;

#[cfg(test)]
mod tests;

pub use state::StateError;
pub use windows::{Counters, Limits, Windows};

/// Every correlation type: its word in a rule's `type:`, and one line about it.
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    kind::KINDS.iter().map(|k| (k.word(), k.about()))
}

/// Seconds of event time after which an episode that goes on is told again.
pub const REFRESH_S: i64 = 300;
