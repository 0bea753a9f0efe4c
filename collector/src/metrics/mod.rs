//! Metrics of the serving side. Names `vedette_serve_…`; labels are closed words (operation, status class, outcome), never a
//! path, an address or a person. Agents appear by id only in last-seen gauges, and no more of them than the registry's series limit;
//! units by the id the register gives them, with sums only: whose ledger does not add up, who is silent.
//!
//! `pipeline` counts what the engine's thread does, `stages` reads what other stages count on their own, `indicators` what is known of
//! indicators and how far the agents are with it.

mod indicators;
mod pipeline;
mod stages;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use event::Timestamp;
use telemetry::{Counter, Counters, Gauge, Gauges, Metrics};

pub use indicators::IndicatorMetrics;
pub use pipeline::PipelineMetrics;
pub use stages::{Sources, StageMetrics};

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
    /// One column of `Sums` each.
    units: [Gauges; 5],
    rules: Gauges,
    indicators: IndicatorMetrics,
    /// One scrape at a time, and the units that were ever shown: a unit that is gone shows zero.
    scrape: Mutex<BTreeSet<String>>,
}

/// What a unit's agents say together.
type Sums = [u64; 5];

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
            units: [
                ("agents", "agents of a unit"),
                ("silent_agents", "agents of a unit that are silent"),
                ("spooled_events", "events that wait in the spools of a unit's agents"),
                ("declared_lost_events", "events the agents of a unit declared lost since their epoch began"),
                ("ledger_difference_events", "events by which the ledgers of a unit's agents do not add up"),
            ]
            .map(|(noun, help)| metrics.gauges("unit", noun, help, &["unit"])),
            rules: metrics.gauges("rules", "known", "rules in force and rules refused at load", &["state"]),
            indicators: IndicatorMetrics::new(metrics),
            scrape: Mutex::default(),
        };
        made.build.with(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        made
    }

    /// Brings gauges up to date before a scrape. Blocks on the desk's database.
    pub fn collect(&self, shared: &Shared, now: Timestamp) {
        let mut shown = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        shared.backstage.collect();
        let (items, resyncs, readers) = shared.feed.counts();
        self.feed_items.raise_to(items);
        self.feed_resyncs.raise_to(resyncs);
        self.feed_readers.set_int(readers);
        let rules = shared.backstage.rules();
        self.rules.with(&["in_force"]).set_int(rules.items.len() as u64);
        self.rules.with(&["refused"]).set_int(rules.faults.len() as u64);
        let agents = shared.board.list(&Scope::CITY, now);
        if let Some(all) = shared.backstage.indicators() {
            self.indicators.collect(&all, &agents, now);
        }
        self.fleet(&agents, &mut shown);
    }

    fn fleet(&self, agents: &[api::Agent], shown: &mut BTreeSet<String>) {
        let mut counts = BTreeMap::from([("alive", 0u64), ("late", 0), ("silent", 0), ("never_seen", 0), ("revoked", 0)]);
        let mut units: BTreeMap<&str, Sums> = shown.iter().map(|unit| (unit.as_str(), Sums::default())).collect();
        for agent in agents {
            *counts.entry(agent.liveness.name()).or_default() += 1;
            if let Some(seen) = Timestamp::parse_rfc3339(&agent.last_seen) {
                self.agent_last_seen.with(&[&agent.id]).set_int(u64::try_from(seen.secs()).unwrap_or(0));
            }
            let sum = |column: fn(&api::LedgerRow) -> u64| agent.ledger.iter().fold(0u64, |sum, row| sum.saturating_add(column(row)));
            let add = [
                1,
                u64::from(agent.liveness.name() == "silent"),
                sum(|row| row.spooled),
                sum(|row| row.lost),
                sum(|row| row.produced.abs_diff(row.acknowledged.saturating_add(row.spooled).saturating_add(row.lost))),
            ];
            let unit = units.entry(&agent.unit_id).or_default();
            unit.iter_mut().zip(add).for_each(|(n, more)| *n = n.saturating_add(more));
        }
        for (liveness, n) in counts {
            self.agents.with(&[liveness]).set_int(n);
        }
        let mut seen = BTreeSet::new();
        for (unit, sums) in units {
            self.units.iter().zip(sums).for_each(|(gauge, n)| gauge.with(&[unit]).set_int(n));
            if seen.len() < telemetry::SERIES_MAX {
                seen.insert(unit.to_owned());
            }
        }
        *shown = seen;
    }

    /// Notes a reload (also the first load at start).
    pub fn reloaded(&self, successful: bool, now: Timestamp) {
        self.reload_successful.set(if successful { 1.0 } else { 0.0 });
        if successful {
            self.reload_time.set_int(u64::try_from(now.secs()).unwrap_or(0));
        }
    }
}

/// Bytes free for this program and in all on the file system of a folder.
pub fn disk_space(folder: &Path) -> Option<(u64, u64)> {
    let fs = rustix::fs::statvfs(folder).ok()?;
    Some((fs.f_bavail.saturating_mul(fs.f_frsize), fs.f_blocks.saturating_mul(fs.f_frsize)))
}
