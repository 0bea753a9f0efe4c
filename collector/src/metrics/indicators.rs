//! Metrics of the indicators of compromise: what is in force by type, by source, by TLP; what has expired and what could not be taken;
//! what was hit; and how far the agents' edges are with it. Labels are closed words, but for the sources: those are names operators
//! chose, as many as the registry's series limit takes, and one that is gone shows zero.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use event::{SECOND_NS, Timestamp};
use indicator::{Tlp, Type};
use telemetry::{Counter, Counters, Gauge, Gauges, Metrics};

use crate::indicators::{Census, Indicators, SearchState};

pub struct IndicatorMetrics {
    types: Gauges,
    tlps: Gauges,
    source_entries: Gauges,
    source_refused: Gauges,
    sources: Gauge,
    unreadable: Gauge,
    expired: Gauge,
    over_limit: Gauge,
    bytes: Gauge,
    events: Counters,
    hits: Counter,
    searches: Gauges,
    agents: Gauges,
    edge_entries: Gauge,
    edge_left: Gauge,
    published: Gauge,
    oldest: Gauge,
    held: Mutex<Held>,
}

/// What the last scrape found, so that not every scrape counts millions of entries again.
#[derive(Default)]
struct Held {
    /// Which reading of the sources was counted, and when.
    counted: Option<(u64, Timestamp)>,
    census: Census,
    shown: BTreeSet<String>,
}

/// Expired entries are counted again after so long; a new reading of the sources is counted at once.
const COUNT_EVERY_NS: i64 = 60 * SECOND_NS;

impl IndicatorMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let gauge = |noun, help| metrics.gauge("indicators", noun, help);
        let gauges = |noun, help, labels: &[&str]| metrics.gauges("indicators", noun, help, labels);
        Self {
            types: gauges("entries", "indicators in force, by type", &["type"]),
            tlps: gauges("tlp_entries", "indicators in force, by TLP", &["tlp"]),
            source_entries: gauges("source_entries", "entries taken from a source", &["source"]),
            source_refused: gauges(
                "source_refused_entries",
                "entries of a source that could not be taken; `vedette indicators list` says why",
                &["source"],
            ),
            sources: gauge("sources", "sources read"),
            unreadable: gauge("unreadable_sources", "sources of which nothing could be taken"),
            expired: gauge("expired_entries", "indicators whose validity has ended: they match no event of today; to the minute"),
            over_limit: gauge("over_limit_entries", "entries that found no room"),
            bytes: gauge("resident_bytes", "memory of the indicators"),
            events: metrics.counters("indicators", "events", "events that held an indicator, by the type of the surest", &["type"]),
            hits: metrics.counter("indicators", "hits", "indicators met in events"),
            searches: gauges("searches", "searches of history since the start, by state", &["state"]),
            agents: gauges("agents", "agents that are heard, by the indicators at their edge: current, older, none", &["set"]),
            edge_entries: gauge("edge_entries", "indicators sent to agents"),
            edge_left: gauge("edge_left_out_sources", "sources not sent to agents because they do not fit; they are matched here"),
            published: gauge("published_timestamp_seconds", "when indicators were last sent to agents"),
            oldest: gauge("edge_oldest_timestamp_seconds", "when the oldest set of indicators at an edge was sent"),
            held: Mutex::default(),
        }
    }

    /// Brings everything up to date before a scrape.
    pub fn collect(&self, all: &Indicators, agents: &[api::Agent], now: Timestamp) {
        self.in_force(all, now);
        let (by_type, hits) = all.hits();
        for kind in Type::ALL {
            let n = Type::ALL.iter().zip(by_type).filter(|(k, _)| k.name() == kind.name()).map(|(_, n)| n).sum();
            self.events.with(&[kind.name()]).raise_to(n);
        }
        self.hits.raise_to(hits);
        let states = all.search_states();
        for state in [SearchState::Running, SearchState::Complete, SearchState::Bounded, SearchState::Failed] {
            self.searches.with(&[state.name()]).set_int(states.iter().filter(|s| **s == state).count() as u64);
        }
        self.edges(all, agents);
    }

    fn in_force(&self, all: &Indicators, now: Timestamp) {
        let book = all.book();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let due = held.counted.is_none_or(|(reading, at)| reading != book.reading || now.since(at).abs() >= COUNT_EVERY_NS);
        if due {
            held.counted = Some((book.reading, now));
            held.census = book.set.census(now);
        }
        for kind in Type::ALL {
            let n = Type::ALL.into_iter().filter(|k| k.name() == kind.name()).map(|k| book.set.of_type(k)).sum();
            self.types.with(&[kind.name()]).set_int(n);
        }
        for (tlp, n) in Tlp::ALL.into_iter().zip(held.census.by_tlp) {
            self.tlps.with(&[tlp.name()]).set_int(n);
        }
        self.expired.set_int(held.census.expired);
        self.over_limit.set_int(book.set.counts().refused);
        self.bytes.set_int(book.set.bytes() as u64);
        self.sources.set_int(book.sources.len() as u64);
        self.unreadable.set_int(book.sources.iter().filter(|s| s.entries == 0 && s.refused > 0).count() as u64);
        let mut gone = std::mem::take(&mut held.shown);
        for source in &book.sources {
            gone.remove(&source.name);
            self.source(&source.name, source.entries, source.refused);
            if held.shown.len() < telemetry::SERIES_MAX {
                held.shown.insert(source.name.clone());
            }
        }
        for name in gone {
            self.source(&name, 0, 0);
            if held.shown.len() < telemetry::SERIES_MAX {
                held.shown.insert(name);
            }
        }
    }

    fn source(&self, name: &str, entries: u64, refused: u64) {
        self.source_entries.with(&[name]).set_int(entries);
        self.source_refused.with(&[name]).set_int(refused);
    }

    /// How far those are that are heard: what a heartbeat says is in force there, against what was sent last.
    fn edges(&self, all: &Indicators, agents: &[api::Agent]) {
        let armed = all.armed();
        let (mut current, mut older, mut none, mut oldest) = (0u64, 0u64, 0u64, armed.revision);
        for agent in agents.iter().filter(|a| matches!(a.liveness, api::Liveness::Alive | api::Liveness::Late)) {
            match agent.indicator_revision.map_or(0, i64::unsigned_abs) {
                0 => none += 1,
                revision if revision < armed.revision => {
                    older += 1;
                    oldest = oldest.min(revision);
                }
                _ => current += 1,
            }
        }
        for (set, n) in [("current", current), ("older", older), ("none", none)] {
            self.agents.with(&[set]).set_int(n);
        }
        // A revision is the clock's nanoseconds when it was sent.
        let seconds = |revision: u64| revision / SECOND_NS.unsigned_abs();
        self.published.set_int(seconds(armed.revision));
        self.oldest.set_int(seconds(oldest));
        self.edge_entries.set_int(armed.entries);
        self.edge_left.set_int(armed.sources_left as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Armed;
    use crate::serve::Board;
    use crate::store::Scope;

    fn agent(n: u64, revision: Option<i64>, liveness: api::Liveness) -> api::Agent {
        let board = Board::default();
        board.enrolled(event::AgentId(n), "", None, false);
        api::Agent { indicator_revision: revision, liveness, ..board.list(&Scope::CITY, Timestamp::ZERO).remove(0) }
    }

    #[test]
    fn what_is_in_force_by_type_source_and_tlp_and_how_far_the_edges_are() {
        let dir = tempfile::tempdir().unwrap();
        let feed = dir.path().join("feed.csv");
        std::fs::write(
            &feed,
            "value,tlp,valid_until\n192.0.2.1,green,\n198.51.100.0/24,red,\nevil.example,,2020-01-01T00:00:00Z\nlocalhost,,\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("bad.txt"), "127.0.0.1\n").unwrap();
        let all = Indicators::open(&dir.path().join("none"), &[feed, dir.path().join("bad.txt")]);
        all.arm(Armed { revision: 9_000_000_000, entries: 2, ..Armed::default() });
        let metrics = Metrics::new("vedette");
        let made = IndicatorMetrics::new(&metrics);
        use api::Liveness::{Alive, Late, Silent};
        let agents =
            [agent(1, Some(9_000_000_000), Alive), agent(2, Some(7_000_000_000), Late), agent(3, None, Alive), agent(4, Some(1), Silent)];
        made.collect(&all, &agents, Timestamp::from_secs(1_800_000_000));
        let text = metrics.render();
        for line in [
            "entries{type=\"ipv4-addr\"} 2",
            "entries{type=\"domain-name\"} 1",
            "tlp_entries{tlp=\"green\"} 1",
            "tlp_entries{tlp=\"red\"} 1",
            "tlp_entries{tlp=\"amber\"} 1",
            "expired_entries 1",
            "source_entries{source=\"feed\"} 3",
            "source_refused_entries{source=\"feed\"} 1",
            "unreadable_sources 1",
            "sources 2",
            "agents{set=\"current\"} 1",
            "agents{set=\"older\"} 1",
            "agents{set=\"none\"} 1",
            "published_timestamp_seconds 9",
            "edge_oldest_timestamp_seconds 7",
            "events_total{type=\"url\"} 0",
        ] {
            assert!(text.contains(&format!("vedette_indicators_{line}\n")), "{line}\n{text}");
        }
        std::fs::remove_file(dir.path().join("bad.txt")).unwrap();
        std::fs::remove_file(dir.path().join("feed.csv")).unwrap();
        all.reload();
        made.collect(&all, &agents, Timestamp::from_secs(1_800_000_000));
        let text = metrics.render();
        assert!(text.contains("vedette_indicators_source_entries{source=\"feed\"} 0\n"), "{text}");
        assert!(text.contains("vedette_indicators_expired_entries 0\n"), "a new reading is counted at once: {text}");
    }
}
