//! Metrics of the serving side. Names `vedette_serve_…`; labels are closed words (operation, status class, outcome), never a
//! path, an address or a person. Agents appear by id only in last-seen gauges, and no more of them than the registry's series limit.

use event::Timestamp;
use telemetry::{Counter, Counters, Gauge, Gauges, Metrics};

use crate::serve::Shared;
use crate::store::Scope;

pub struct ServeMetrics {
    /// By operation id and status class.
    pub requests: Counters,
    /// done, refused, paused.
    pub logins: Counters,
    pub conflicts: Counter,
    feed_items: Counter,
    feed_resyncs: Counter,
    feed_readers: Gauge,
    agents: Gauges,
    agent_last_seen: Gauges,
    reload_successful: Gauge,
    reload_time: Gauge,
    build: Gauges,
}

impl ServeMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let made = Self {
            requests: metrics.counters("serve", "requests", "requests answered", &["operation", "status"]),
            logins: metrics.counters("serve", "logins", "login attempts", &["outcome"]),
            conflicts: metrics.counter("serve", "triage_conflicts", "judgements refused because somebody was faster"),
            feed_items: metrics.counter("feed", "items", "changes told on the live feed"),
            feed_resyncs: metrics.counter("feed", "resyncs", "readers told to read the list again"),
            feed_readers: metrics.gauge("feed", "readers", "feeds that are open"),
            agents: metrics.gauges("agents", "known", "agents by liveness", &["liveness"]),
            agent_last_seen: metrics.gauges("agents", "last_seen_timestamp_seconds", "when the agent was last heard", &["agent"]),
            reload_successful: metrics.gauge("config", "last_reload_successful", "1 if the last reload was taken over"),
            reload_time: metrics.gauge(
                "config",
                "last_reload_success_timestamp_seconds",
                "when configuration and rules were last taken over",
            ),
            build: metrics.gauges("build", "info", "always 1; what runs", &["version"]),
        };
        made.build.with(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        made
    }

    /// Brings gauges up to date before a scrape.
    pub fn collect(&self, shared: &Shared, now: Timestamp) {
        let (items, resyncs, readers) = shared.feed.counts();
        self.feed_items.raise_to(items);
        self.feed_resyncs.raise_to(resyncs);
        self.feed_readers.set_int(readers);
        let mut counts = std::collections::BTreeMap::from([("alive", 0u64), ("late", 0), ("silent", 0), ("never_seen", 0), ("revoked", 0)]);
        for agent in shared.board.list(&Scope::CITY, now) {
            *counts.entry(agent.liveness.name()).or_default() += 1;
            if let Some(seen) = Timestamp::parse_rfc3339(&agent.last_seen) {
                self.agent_last_seen.with(&[&agent.id]).set_int(u64::try_from(seen.secs()).unwrap_or(0));
            }
        }
        for (liveness, n) in counts {
            self.agents.with(&[liveness]).set_int(n);
        }
    }

    /// Notes a reload (also the first load at start).
    pub fn reloaded(&self, successful: bool, now: Timestamp) {
        self.reload_successful.set(if successful { 1.0 } else { 0.0 });
        if successful {
            self.reload_time.set_int(u64::try_from(now.secs()).unwrap_or(0));
        }
    }
}
