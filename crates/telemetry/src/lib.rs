//! Logs and metrics of both programs: the only room that knows the `prometheus` and `tracing-subscriber` crates.
//!
//! Naming law: `<program>_<stage>_<noun>[_<unit>]`, counters end in `_total`; lower case, digits and underscores. Labels are few and closed
//! (`reason`, `class`, `sensor`); never an address, user, path or message. A metric refuses label sets past its series limit and counts
//! the refusals in `<program>_telemetry_series_refused_total`: what is counted under a refused set is in no other series.
//! There is no process-wide registry: a `Metrics` value is made at the rim and passed down.

mod logging;
mod metrics;

pub use logging::{LogError, LogFormat, Repeated, init_logging};
pub use metrics::{CONTENT_TYPE, Counter, Counters, Gauge, Gauges, Histogram, Histograms, Metrics, SERIES_MAX};
