//! How far event time has come: per source its newest event, over all the one that is furthest behind, less the lateness.
//!
//! A source that has been quiet for `IDLE_NS` does not hold the others back, and one that lags by more than `LAG_NS` (a backlog
//! after an outage) does so only by that much; its events are still counted, see `Windows`. The mark never goes back.
//!
//! A host's clock: the collector estimates by how much an agent's clock is off (`clock.skew_ms`, from the events that were under
//! way shortest). What is ahead is taken back by that much; what is behind is not touched, because a backlog looks the
//! same. What is still ahead of its arrival after that is one bad record: it is held at arrival plus the tolerance.

use ahash::AHashMap;
use event::AgentId;

use crate::bytes::{Reader, Writer};
use crate::state::StateError;

pub(crate) const IDLE_NS: i64 = 30_000_000_000;
pub(crate) const LAG_NS: i64 = 60_000_000_000;
/// A clock that is ahead by less is left alone.
const SKEW_NS: i64 = 1_000_000_000;
const SOURCES_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy)]
struct Source {
    newest: i64,
    arrival: i64,
}

/// The watermark: no event older than it is expected any more.
#[derive(Debug)]
pub(crate) struct Clock {
    sources: AHashMap<AgentId, Source>,
    mark: i64,
    computed: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { sources: AHashMap::new(), mark: i64::MIN, computed: i64::MIN }
    }
}

impl Clock {
    /// Event time by the collector's clock, and by how much it was taken back (nanoseconds, 0: not at all).
    pub(crate) fn right(time: i64, skew_ms: Option<i64>, now: i64, ahead: i64) -> (i64, i64) {
        let skew = skew_ms.unwrap_or(0).saturating_mul(1_000_000);
        let shifted = if skew >= SKEW_NS { time.saturating_sub(skew) } else { time };
        let right = shifted.min(now.saturating_add(ahead));
        let back = time.saturating_sub(right);
        (right, back)
    }

    pub(crate) fn saw(&mut self, agent: AgentId, time: i64, now: i64) {
        if let Some(source) = self.sources.get_mut(&agent) {
            source.newest = source.newest.max(time);
            source.arrival = source.arrival.max(now);
            return;
        }
        if self.sources.len() >= SOURCES_MAX {
            self.sources.retain(|_, s| now.saturating_sub(s.arrival) <= IDLE_NS);
            if self.sources.len() >= SOURCES_MAX {
                return;
            }
        }
        self.sources.insert(agent, Source { newest: time, arrival: now });
    }

    /// The mark at `now`; worked out anew at most once a second of `now`.
    pub(crate) fn mark(&mut self, now: i64, lateness: i64) -> i64 {
        if now.saturating_sub(self.computed) < event::SECOND_NS && self.computed != i64::MIN {
            return self.mark;
        }
        self.computed = now;
        let active = self.sources.values().filter(|s| now.saturating_sub(s.arrival) <= IDLE_NS);
        let (least, most) = active.fold((i64::MAX, i64::MIN), |(lo, hi), s| (lo.min(s.newest), hi.max(s.newest)));
        let reached = if least == i64::MAX { now } else { least.max(most.saturating_sub(LAG_NS)) };
        self.mark = self.mark.max(reached.saturating_sub(lateness));
        self.mark
    }

    pub(crate) fn save(&self, w: &mut Writer) {
        w.i64(self.mark);
        w.i64(self.computed);
        let mut all: Vec<_> = self.sources.iter().collect();
        all.sort_unstable_by_key(|(agent, _)| **agent);
        w.len(all.len());
        for (agent, source) in all {
            w.u64(agent.0);
            w.i64(source.newest);
            w.i64(source.arrival);
        }
    }

    pub(crate) fn load(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let (mark, computed) = (r.i64()?, r.i64()?);
        let mut sources = AHashMap::new();
        for _ in 0..r.len()? {
            sources.insert(AgentId(r.u64()?), Source { newest: r.i64()?, arrival: r.i64()? });
        }
        Ok(Self { sources, mark, computed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = event::SECOND_NS;

    #[test]
    fn a_clock_ahead_is_taken_back_and_one_bad_record_is_held() {
        assert_eq!(Clock::right(400 * S, Some(300_000), 101 * S, 5 * S), (100 * S, 300 * S), "as far as it is known to be ahead");
        assert_eq!(Clock::right(100 * S, Some(-300_000), 401 * S, 5 * S), (100 * S, 0), "behind may be a backlog");
        assert_eq!(Clock::right(100 * S, Some(900), 101 * S, 5 * S), (100 * S, 0));
        assert_eq!(Clock::right(86_400 * S, None, 100 * S, 5 * S), (105 * S, 86_295 * S));
        assert_eq!(Clock::right(i64::MAX, Some(i64::MAX), i64::MIN, 5 * S).0, 5 * S + i64::MIN);
    }

    #[test]
    fn the_slowest_active_source_sets_the_mark_but_only_so_far() {
        let mut clock = Clock::default();
        clock.saw(AgentId(1), 1000 * S, 1000 * S);
        clock.saw(AgentId(2), 980 * S, 1000 * S);
        assert_eq!(clock.mark(1000 * S, 10 * S), 970 * S);
        clock.saw(AgentId(1), 2000 * S, 2000 * S);
        clock.saw(AgentId(2), 1000 * S, 2000 * S);
        assert_eq!(clock.mark(2000 * S, 10 * S), 1930 * S, "a backlog holds back by a minute at most");
        clock.saw(AgentId(1), 2040 * S, 2040 * S);
        assert_eq!(clock.mark(2040 * S, 10 * S), 2030 * S, "a quiet source holds nobody back");
        assert_eq!(clock.mark(5000 * S, 10 * S), 4990 * S, "time passes when nothing arrives");
        clock.saw(AgentId(3), 100 * S, 5001 * S);
        assert_eq!(clock.mark(5001 * S, 10 * S), 4990 * S, "never back");
    }
}
