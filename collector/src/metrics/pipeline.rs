//! Metrics of the engine's thread. The counters of the engine itself rise in the engine (which may be swapped for a fresh one at a
//! reload) and are followed here by their difference, at most once a second.

use event::{SECOND_NS, Severity, Timestamp};
use telemetry::{Counter, Counters, Gauge, Histogram, Metrics};

use crate::engine::{Engine, EngineCounters};

/// Counters of the thread, all in events but for `changes`.
pub struct PipelineMetrics {
    pub events: Counter,
    pub damaged: Counter,
    pub declared_lost: Counter,
    pub repeated: Counter,
    pub findings: Counters,
    pub shadow_findings: Counters,
    pub changes: Counters,
    pub step_seconds: Histogram,
    pub arrival_lag_seconds: Histogram,
    pub behind_bytes: Gauge,
    pub snapshot_bytes: Gauge,
    stages: [Counter; 11],
    held: [Gauge; 6],
    last: EngineCounters,
    looked: Timestamp,
}

impl PipelineMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let correlate = |noun, help| metrics.counter("correlate", noun, help);
        let desk = |noun, help| metrics.counter("desk", noun, help);
        let findings = metrics.counters("engine", "findings", "Findings, by severity.", &["severity"]);
        let changes = metrics.counters("desk", "changes", "Alerts opened and updated.", &["change"]);
        // There from the start, so that the first one is a rise and not a new series.
        Severity::ALL.iter().for_each(|severity| drop(findings.with(&[severity.name()])));
        ["opened", "updated"].iter().for_each(|change| drop(changes.with(&[change])));
        let evicted = metrics.counters("correlate", "evicted", "State let go at a limit: groups, and entries of a group.", &["what"]);
        Self {
            events: metrics.counter("engine", "events", "Events the engine took in."),
            damaged: metrics.counter("engine", "damaged_records", "Records that could not be decoded; each left an event in its place."),
            declared_lost: metrics.counter("engine", "declared_lost_events", "Events that agents declared lost."),
            repeated: metrics.counter("engine", "repeated_events", "Events that were in the log already and were not counted again."),
            findings,
            shadow_findings: metrics.counters(
                "engine",
                "shadow_findings",
                "Findings of rules on trial, which raise no alert, by rule id.",
                &["rule"],
            ),
            changes,
            step_seconds: metrics.histogram(
                "engine",
                "step_seconds",
                "Time of one step with its writes.",
                &[0.001, 0.005, 0.02, 0.1, 0.5, 2.0],
            ),
            arrival_lag_seconds: metrics.histogram(
                "engine",
                "arrival_lag_seconds",
                "Age of the newest event of a batch when the batch arrived: the agents' delay and backlog.",
                &[0.05, 0.25, 1.0, 5.0, 30.0, 300.0, 3_600.0],
            ),
            behind_bytes: metrics.gauge("engine", "behind_bytes", "Bytes of the write-ahead log the engine has not read yet."),
            snapshot_bytes: metrics.gauge("engine", "snapshot_bytes", "Size of the engine's last saved state."),
            stages: [
                correlate("entries", "Entries windows took in."),
                correlate("duplicates", "Findings a window had already."),
                correlate("ungrouped_findings", "Findings without a field their correlation groups or counts by."),
                correlate("clock_ahead_events", "Events of a clock that was ahead by more than the tolerance."),
                evicted.with(&["groups"]),
                evicted.with(&["entries"]),
                correlate("findings", "Findings correlations made."),
                desk("silent_findings", "Findings of rules that raise no alert of their own."),
                desk("joined_findings", "Findings that joined an open alert."),
                desk("let_go_alerts", "Open alerts let go because there were too many."),
                metrics.counter("baseline", "unlearned_messages", "Messages of control protocols that no baseline had room for."),
            ],
            held: [
                metrics.gauge("correlate", "groups", "Groups in windows."),
                metrics.gauge("correlate", "entries_held", "Entries in windows."),
                metrics.gauge("desk", "joinable_alerts", "Alerts a finding can still join."),
                metrics.gauge("baseline", "stations", "Stations of control protocols that have a baseline."),
                metrics.gauge("baseline", "frozen_stations", "Stations whose baseline a person froze."),
                metrics.gauge("baseline", "deviations", "What frozen stations were asked beyond their baselines and nobody allowed."),
            ],
            last: EngineCounters::default(),
            looked: Timestamp::MIN,
        }
    }

    /// Brings what the engine counts up to date, at most once a second.
    pub(crate) fn follow(&mut self, engine: &Engine, now: Timestamp) {
        if now.since(self.looked).abs() < SECOND_NS {
            return;
        }
        self.looked = now;
        let counters = engine.counters();
        for ((counter, now), before) in self.stages.iter().zip(row(&counters)).zip(row(&self.last)) {
            counter.add(now.saturating_sub(before));
        }
        self.last = counters;
        let (groups, entries, open) = engine.held();
        let [stations, frozen, deviations] = engine.baselines_held();
        for (gauge, n) in self.held.iter().zip([groups, entries, open, stations, frozen, deviations]) {
            gauge.set_int(n as u64);
        }
    }

    /// A fresh engine took over and counts from zero.
    pub(crate) fn begin_anew(&mut self) {
        self.last = EngineCounters::default();
    }
}

/// In the order of `stages`.
fn row(c: &EngineCounters) -> [u64; 11] {
    let (w, d) = (&c.windows, &c.desk);
    [
        w.entries,
        w.duplicates,
        w.ungrouped,
        w.clock_ahead,
        w.evicted_groups,
        w.evicted_entries,
        w.told,
        d.silent,
        d.joined,
        d.let_go,
        c.unlearned,
    ]
}
