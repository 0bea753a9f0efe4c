//! Metrics of the stages that keep their own counters: link port, authority, write-ahead log, event store, desk, rules, disk. They
//! are read when Prometheus asks. Labels are closed words (reason, severity, state, class, what a certificate is for).

use std::path::PathBuf;
use std::sync::Arc;

use event::{Class, Severity, Timestamp};
use telemetry::{Counter, Counters, Gauge, Gauges, Histogram, Metrics};

use crate::authority::Authority;
use crate::ingest::Links;
use crate::store::{DeskStore, DiskStore, EventStore, Scope, Wal};

/// What is looked at.
pub struct Sources {
    pub links: Arc<Links>,
    pub authority: Arc<Authority>,
    pub wal: Arc<Wal>,
    pub events: Arc<DiskStore>,
    pub desk: Arc<dyn DeskStore>,
    /// Folder of everything kept: its file system may fill.
    pub data: PathBuf,
    /// When the console's own certificate ends, if it has one.
    pub console_until: Option<Timestamp>,
}

/// Where a counter of a stage shows: stage, noun, help; the stage's own word for it.
type Row = (&'static str, &'static str, &'static str);

const INGEST: [Row; 10] = [
    ("connections", "connections", "TCP connections at the link port"),
    ("established", "established_connections", "TLS connections of known agents"),
    ("sessions", "sessions", "streams opened by agents"),
    ("messages", "messages", "messages received from agents"),
    ("bytes", "bytes", "bytes received from agents, as sent"),
    ("batches", "batches", "batches taken from agents"),
    ("events", "events", "events taken from agents"),
    ("lost_declared", "declared_lost_events", "sequence numbers agents declared gone"),
    ("durable", "durable_batches", "batches on disk and acknowledged"),
    ("regressions", "regressions", "times an agent had been acknowledged more than the log holds: a restored backup"),
];

pub struct StageMetrics {
    ingest: Vec<(&'static str, Counter)>,
    refused: Counters,
    links: Gauge,
    pending: Gauge,
    authority: Vec<(&'static str, Counters)>,
    certificates: Gauges,
    wal: [Counter; 6],
    wal_held: Gauge,
    wal_sync_seconds: Histogram,
    store: [Counter; 4],
    store_gauges: [Gauge; 5],
    store_oldest: Gauges,
    alerts: Gauges,
    open_alerts: Gauges,
    disk_free: Gauge,
    disk_size: Gauge,
    memory: Gauge,
}

impl StageMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let wal = |noun, help| metrics.counter("wal", noun, help);
        let store = |noun, help| metrics.counter("store", noun, help);
        let kept = |noun, help| metrics.gauge("store", noun, help);
        let authority = |family, noun, help, labels: &[&str]| (family, metrics.counters("authority", noun, help, labels));
        Self {
            ingest: INGEST.iter().map(|(word, noun, help)| (*word, metrics.counter("ingest", noun, help))).collect(),
            refused: metrics.counters("ingest", "refused", "connections and messages refused or ended, by reason", &["reason"]),
            links: metrics.gauge("ingest", "links", "agents connected now"),
            pending: metrics.gauge("ingest", "pending_batches", "batches taken and not yet on disk"),
            authority: vec![
                authority("enrolment_connections", "enrolment_connections", "connections at the enrolment port", &[]),
                authority("certificates_issued", "certificates_issued", "certificates given to agents", &["why"]),
                authority("requests_refused", "requests_refused", "requests for a certificate refused", &["reason"]),
                authority(
                    "enrolment_dropped",
                    "enrolment_dropped",
                    "connections at the enrolment port that ended without an answer",
                    &["reason"],
                ),
            ],
            certificates: metrics.gauges(
                "authority",
                "certificate_expiry_timestamp_seconds",
                "when a certificate ends: the authority's own, the console's, the first to end among connected agents",
                &["certificate"],
            ),
            wal: [
                wal("frames", "frames written to the write-ahead log"),
                wal("bytes", "bytes written to the write-ahead log"),
                wal("syncs", "fdatasync calls that came back well"),
                wal("failures", "writes and syncs that failed"),
                wal("refused_frames", "frames not taken: queue full, disk refused, closing"),
                wal("skipped_bytes", "bytes of the log in which no frame could be read"),
            ],
            wal_held: metrics.gauge("wal", "held_bytes", "bytes of log kept because engine or store still need them"),
            wal_sync_seconds: metrics.histogram(
                "wal",
                "sync_seconds",
                "time of one fdatasync; agents wait for it",
                &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0],
            ),
            store: [
                store("seals", "times events in memory were written to segments"),
                store("seal_failures", "times they could not be written"),
                store("compactions", "times small segments were joined"),
                store("removed_segments", "segments removed: joined into others, or past retention"),
            ],
            store_gauges: [
                kept("behind_bytes", "bytes of the log that are not in segments yet"),
                kept("memory_events", "events in memory that are not in segments yet"),
                kept("segments", "segment files"),
                kept("segment_events", "events in segment files"),
                kept("segment_bytes", "bytes of segment files"),
            ],
            store_oldest: metrics.gauges(
                "store",
                "oldest_event_timestamp_seconds",
                "time of the oldest event held in segments, by class",
                &["class"],
            ),
            alerts: metrics.gauges("desk", "alerts", "alerts kept, by state", &["state"]),
            open_alerts: metrics.gauges("desk", "open_alerts", "alerts that are not closed, by severity", &["severity"]),
            disk_free: metrics.gauge("data", "free_bytes", "bytes free on the file system of the data folder"),
            disk_size: metrics.gauge("data", "size_bytes", "size of the file system of the data folder"),
            memory: metrics.gauge("process", "resident_memory_bytes", "memory of the collector"),
        }
    }

    /// To be given to the log, which feeds it.
    pub fn sync_seconds(&self) -> Histogram {
        self.wal_sync_seconds.clone()
    }

    /// Brings everything up to date before a scrape. Not to be run twice at the same time: totals are raised by difference.
    pub fn collect(&self, from: &Sources) {
        self.collect_links(from);
        self.collect_store(from);
        if let Ok(counts) = from.desk.alert_counts(&Scope::CITY) {
            for state in ["new", "acknowledged", "investigating", "escalated", "closed"] {
                self.alerts.with(&[state]).set_int(counts.by_state.get(state).copied().unwrap_or(0));
            }
            for severity in Severity::ALL {
                let n = counts.open_by_severity.get(&(severity as u8)).copied().unwrap_or(0);
                self.open_alerts.with(&[severity.name()]).set_int(n);
            }
        }
        if let Some((free, size)) = super::disk_space(&from.data) {
            self.disk_free.set_int(free);
            self.disk_size.set_int(size);
        }
        if let Some(bytes) = resident_bytes() {
            self.memory.set_int(bytes);
        }
    }

    fn collect_links(&self, from: &Sources) {
        for (family, reason, n) in from.links.counters().snapshot() {
            if family == "refused" {
                self.refused.with(&[reason]).raise_to(n);
            } else if let Some((_, counter)) = self.ingest.iter().find(|(word, _)| *word == family) {
                counter.raise_to(n);
            }
        }
        for (family, reason, n) in from.authority.counters().snapshot() {
            if let Some((_, counters)) = self.authority.iter().find(|(word, _)| *word == family) {
                let values: &[&str] = if reason == "all" { &[] } else { &[reason] };
                counters.with(values).raise_to(n);
            }
        }
        let links = from.links.snapshot();
        self.links.set_int(links.len() as u64);
        self.pending.set_int(links.iter().map(|l| l.pending as u64).sum());
        let first = links.iter().map(|l| l.certificate_not_after).min();
        let ends = [("authority", Some(from.authority.ca().not_after())), ("console", from.console_until), ("agents_earliest", first)];
        for (what, end) in ends {
            if let Some(end) = end {
                self.certificates.with(&[what]).set_int(u64::try_from(end.secs()).unwrap_or(0));
            }
        }
    }

    fn collect_store(&self, from: &Sources) {
        let wal = from.wal.stats();
        let rows = [wal.frames, wal.bytes, wal.syncs, wal.failures, wal.refused, wal.skipped_bytes];
        self.wal.iter().zip(rows).for_each(|(counter, n)| counter.raise_to(n));
        let end = from.wal.end().0;
        self.wal_held.set_int(end.saturating_sub(from.wal.oldest().0));
        let store = from.events.stats();
        let rows = [store.seals, store.seal_failures, store.compactions, store.removed_segments];
        self.store.iter().zip(rows).for_each(|(counter, n)| counter.raise_to(n));
        let rows = [
            end.saturating_sub(from.events.durable().0),
            store.memory_rows as u64,
            store.segments as u64,
            store.segment_rows,
            store.segment_bytes,
        ];
        self.store_gauges.iter().zip(rows).for_each(|(gauge, n)| gauge.set_int(n));
        for class in Class::ALL {
            if let Some(oldest) = store.oldest.get(&class) {
                self.store_oldest.with(&[class.name()]).set_int(u64::try_from(oldest.secs()).unwrap_or(0));
            }
        }
    }
}

/// `VmRSS` of this process.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
