//! A registry and its counters, gauges and histograms, with a limit on series.

use prometheus::core::Collector;
use prometheus::{Encoder, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Label sets one metric may have, unless the registry is made with another limit.
pub const SERIES_MAX: usize = 200;
/// Content type of `Metrics::render`: the Prometheus text format 0.0.4.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of one program; a cheap handle.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    program: &'static str,
    series_max: usize,
    registry: Registry,
    made: Mutex<BTreeMap<String, Made>>,
    refused: IntCounter,
}

#[derive(Clone)]
enum Made {
    Counters(Counters),
    Gauges(Gauges),
    Histograms(Histograms),
}

/// A number that only rises.
#[derive(Clone)]
pub struct Counter(IntCounter);

impl Counter {
    pub fn inc(&self) {
        self.0.inc();
    }
    pub fn add(&self, n: u64) {
        self.0.inc_by(n);
    }
    pub fn get(&self) -> u64 {
        self.0.get()
    }
    /// Brings the counter up to a total that is kept elsewhere; a smaller total changes nothing.
    pub fn raise_to(&self, total: u64) {
        self.0.inc_by(total.saturating_sub(self.0.get()));
    }
}

/// A number that goes up and down.
#[derive(Clone)]
pub struct Gauge(prometheus::Gauge);

impl Gauge {
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }
    /// Sets a whole number; exact up to 2^53.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub fn set_int(&self, value: u64) {
        self.0.set(value as f64);
    }
    pub fn add(&self, by: f64) {
        self.0.add(by);
    }
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

/// A distribution in fixed buckets.
#[derive(Clone)]
pub struct Histogram(prometheus::Histogram);

impl Histogram {
    pub fn observe(&self, value: f64) {
        self.0.observe(value);
    }
    pub fn count(&self) -> u64 {
        self.0.get_sample_count()
    }
}

/// Series given out so far, the way to make one, and where a refused label set counts.
struct Family<V, S> {
    vec: V,
    labels: usize,
    series_max: usize,
    refused: IntCounter,
    given: Mutex<BTreeMap<Box<[Box<str>]>, S>>,
}

impl<V, S: Clone> Family<V, S> {
    fn with(&self, values: &[&str], make: impl Fn(&V, &[&str]) -> Option<S>, detached: impl Fn() -> Option<S>) -> Option<S> {
        let key: Box<[Box<str>]> = values.iter().map(|v| (*v).into()).collect();
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = given.get(&key) {
            return Some(series.clone());
        }
        if values.len() != self.labels || given.len() >= self.series_max {
            self.refused.inc();
            return detached();
        }
        let series = make(&self.vec, values)?;
        given.insert(key, series.clone());
        Some(series)
    }
}

macro_rules! family {
    ($(#[$doc:meta])* $name:ident, $one:ident, $vec:ty, $lone:expr) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Arc<Family<$vec, $one>>);

        impl $name {
            /// The series of these label values, in the order the labels were declared. Keep it where it is used often: this looks it up under a lock.
            /// Past the limit, or with the wrong number of values, a series that is not exported.
            pub fn with(&self, values: &[&str]) -> $one {
                let lone = || $lone.ok().map($one);
                match self.0.with(values, |vec, v| vec.get_metric_with_label_values(v).ok().map($one), lone) {
                    Some(series) => series,
                    None => lone().expect("a literal name and no labels are valid"),
                }
            }
        }
    };
}

family!(
    /// Counters that differ in their labels.
    Counters, Counter, IntCounterVec, IntCounter::new("refused", "refused")
);
family!(
    /// Gauges that differ in their labels.
    Gauges, Gauge, prometheus::GaugeVec, prometheus::Gauge::new("refused", "refused")
);
family!(
    /// Histograms that differ in their labels.
    Histograms, Histogram, prometheus::HistogramVec, prometheus::Histogram::with_opts(HistogramOpts::new("refused", "refused"))
);

impl Metrics {
    /// `program` is the first word of every name: `vedette_agent`, `vedette`.
    pub fn new(program: &'static str) -> Self {
        Self::with_series_max(program, SERIES_MAX)
    }

    pub fn with_series_max(program: &'static str, series_max: usize) -> Self {
        let registry = Registry::new();
        let name = clean(&format!("{program}_telemetry_series_refused_total"));
        let refused =
            IntCounter::new(name, "label sets refused because their metric has too many already").expect("a cleaned name is valid");
        registry.register(Box::new(refused.clone())).expect("the first metric cannot clash");
        Self { inner: Arc::new(Inner { program, series_max, registry, made: Mutex::new(BTreeMap::new()), refused }) }
    }

    /// A counter `<program>_<stage>_<noun>_total`. Asked for twice, the same one is given.
    pub fn counter(&self, stage: &str, noun: &str, help: &str) -> Counter {
        self.counters(stage, noun, help, &[]).with(&[])
    }

    pub fn counters(&self, stage: &str, noun: &str, help: &str, labels: &[&str]) -> Counters {
        let name = self.name(stage, &format!("{noun}_total"));
        let made = self.made(&name, || {
            let vec = IntCounterVec::new(Opts::new(&name, help), labels).ok()?;
            Some((Made::Counters(Counters(self.family(vec.clone(), labels))), Box::new(vec)))
        });
        match made {
            Some(Made::Counters(counters)) => counters,
            _ => Counters(self.closed(IntCounterVec::new(Opts::new("refused", "refused"), &[]).expect("literal"))),
        }
    }

    /// A gauge `<program>_<stage>_<noun>`; the noun ends in its unit (`bytes`, `seconds`, `ratio`) where it has one.
    pub fn gauge(&self, stage: &str, noun: &str, help: &str) -> Gauge {
        self.gauges(stage, noun, help, &[]).with(&[])
    }

    pub fn gauges(&self, stage: &str, noun: &str, help: &str, labels: &[&str]) -> Gauges {
        let name = self.name(stage, noun);
        let made = self.made(&name, || {
            let vec = prometheus::GaugeVec::new(Opts::new(&name, help), labels).ok()?;
            Some((Made::Gauges(Gauges(self.family(vec.clone(), labels))), Box::new(vec)))
        });
        match made {
            Some(Made::Gauges(gauges)) => gauges,
            _ => Gauges(self.closed(prometheus::GaugeVec::new(Opts::new("refused", "refused"), &[]).expect("literal"))),
        }
    }

    /// A histogram `<program>_<stage>_<noun>`; buckets are upper limits, rising.
    pub fn histogram(&self, stage: &str, noun: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.histograms(stage, noun, help, buckets, &[]).with(&[])
    }

    pub fn histograms(&self, stage: &str, noun: &str, help: &str, buckets: &[f64], labels: &[&str]) -> Histograms {
        let name = self.name(stage, noun);
        let made = self.made(&name, || {
            let options = HistogramOpts::new(&name, help).buckets(buckets.to_vec());
            let vec = prometheus::HistogramVec::new(options, labels).ok()?;
            Some((Made::Histograms(Histograms(self.family(vec.clone(), labels))), Box::new(vec)))
        });
        match made {
            Some(Made::Histograms(histograms)) => histograms,
            _ => Histograms(self.closed(prometheus::HistogramVec::new(HistogramOpts::new("refused", "refused"), &[]).expect("literal"))),
        }
    }

    /// All series in the text format 0.0.4, sorted by name.
    pub fn render(&self) -> String {
        let mut out = Vec::with_capacity(8 * 1024);
        // Writing to memory fails only for a metric without series, which is left out.
        let _ = TextEncoder::new().encode(&self.inner.registry.gather(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Name and help of every metric, sorted: for the printed reference and for the test of the naming law.
    pub fn names(&self) -> Vec<String> {
        let made = self.inner.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.keys().cloned().collect()
    }

    fn name(&self, stage: &str, rest: &str) -> String {
        clean(&format!("{}_{stage}_{rest}", self.inner.program))
    }

    fn made(&self, name: &str, make: impl FnOnce() -> Option<(Made, Box<dyn Collector>)>) -> Option<Made> {
        let mut made = self.inner.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = made.get(name) {
            return Some(found.clone());
        }
        let (handle, collector) = make()?;
        self.inner.registry.register(collector).ok()?;
        made.insert(name.to_owned(), handle.clone());
        Some(handle)
    }

    fn family<V, S>(&self, vec: V, labels: &[&str]) -> Arc<Family<V, S>> {
        let series_max = if labels.is_empty() { 1 } else { self.inner.series_max };
        Arc::new(Family { vec, labels: labels.len(), series_max, refused: self.inner.refused.clone(), given: Mutex::default() })
    }

    /// A family that refuses everything: what a clash of names (a fault in the program) leads to, counted instead of a panic.
    fn closed<V, S>(&self, vec: V) -> Arc<Family<V, S>> {
        Arc::new(Family { vec, labels: 0, series_max: 0, refused: self.inner.refused.clone(), given: Mutex::default() })
    }
}

/// Lower case, digits, underscores: what is not becomes an underscore.
fn clean(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else if c.is_ascii_uppercase() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let metrics = Metrics::new("vedette_agent");
        metrics.counters("edge", "events_dropped", "events dropped", &["reason"]).with(&["rate"]).add(3);
        metrics.gauge("spool", "bytes", "bytes on disk").set_int(7);
        metrics.histogram("spool", "commit_seconds", "time of a commit", &[0.1, 1.0]).observe(0.5);
        assert_eq!(
            metrics.render(),
            "\
# HELP vedette_agent_edge_events_dropped_total events dropped
# TYPE vedette_agent_edge_events_dropped_total counter
vedette_agent_edge_events_dropped_total{reason=\"rate\"} 3
# HELP vedette_agent_spool_bytes bytes on disk
# TYPE vedette_agent_spool_bytes gauge
vedette_agent_spool_bytes 7
# HELP vedette_agent_spool_commit_seconds time of a commit
# TYPE vedette_agent_spool_commit_seconds histogram
vedette_agent_spool_commit_seconds_bucket{le=\"0.1\"} 0
vedette_agent_spool_commit_seconds_bucket{le=\"1\"} 1
vedette_agent_spool_commit_seconds_bucket{le=\"+Inf\"} 1
vedette_agent_spool_commit_seconds_sum 0.5
vedette_agent_spool_commit_seconds_count 1
# HELP vedette_agent_telemetry_series_refused_total label sets refused because their metric has too many already
# TYPE vedette_agent_telemetry_series_refused_total counter
vedette_agent_telemetry_series_refused_total 0
"
        );
    }

    #[test]
    fn series_past_the_limit_are_refused_and_counted() {
        let metrics = Metrics::with_series_max("p", 3);
        let family = metrics.counters("s", "n", "h", &["who"]);
        for who in ["a", "b", "c", "d", "e", "a"] {
            family.with(&[who]).inc();
        }
        family.with(&["a", "too many"]).inc();
        let text = metrics.render();
        assert_eq!(text.lines().filter(|l| l.starts_with("p_s_n_total")).count(), 3);
        assert!(text.contains("p_s_n_total{who=\"a\"} 2\n"), "{text}");
        assert!(text.contains("p_telemetry_series_refused_total 3\n"), "{text}");
    }

    #[test]
    fn the_same_metric_twice_is_the_same_and_a_clash_is_no_panic() {
        let metrics = Metrics::new("p");
        metrics.counter("s", "n", "h").inc();
        metrics.counter("s", "n", "h").inc();
        assert_eq!(metrics.counter("s", "n", "h").get(), 2);
        metrics.gauge("s", "n_total", "h").set(9.0);
        metrics.counter("s", "bad name ü", "h").inc();
        let text = metrics.render();
        assert!(text.contains("p_s_n_total 2\n") && text.contains("p_s_bad_name___total 1\n"), "{text}");
        assert!(!text.contains("p_telemetry_series_refused_total 0\n"), "{text}");
    }

    #[test]
    fn a_counter_follows_a_total_kept_elsewhere() {
        let counter = Metrics::new("p").counter("s", "n", "h");
        counter.raise_to(5);
        counter.raise_to(3);
        counter.raise_to(9);
        assert_eq!(counter.get(), 9);
    }
}
