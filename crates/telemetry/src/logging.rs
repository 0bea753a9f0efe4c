//! Logging to standard error: constant lower-case messages, data in fields.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line for people; colours only on a terminal and without `NO_COLOR`.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Logging could not be set up.
#[derive(Debug, PartialEq, Eq)]
pub enum LogError {
    /// The filter is not `level` or `target=level,…`; holds the filter and what is wrong.
    Filter(String, String),
    /// A subscriber is there already.
    Taken,
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Filter(filter, why) => {
                write!(f, "log filter \"{filter}\" cannot be read: {why}; write for example \"info\" or \"info,agent::uplink=debug\"")
            }
            Self::Taken => f.write_str("logging is set up already"),
        }
    }
}

impl std::error::Error for LogError {}

/// Sends what `tracing` is told to standard error. `filter` is a level or a list of `target=level`; the environment variable
/// `<PROGRAM>_LOG` (`VEDETTE_AGENT_LOG`) beats it.
pub fn init_logging(program: &str, format: LogFormat, filter: &str) -> Result<(), LogError> {
    let variable = format!("{}_LOG", program.to_ascii_uppercase().replace('-', "_"));
    let filter = std::env::var(variable).unwrap_or_else(|_| filter.to_owned());
    let parsed = EnvFilter::try_new(&filter).map_err(|error| LogError::Filter(filter, error.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    let done = match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.compact().with_ansi(colour).with_target(false).try_init()
        }
    };
    done.map_err(|_| LogError::Taken)
}

/// A condition that repeats: told when it first happens and then at most once an interval, with how often it was held back.
#[derive(Debug)]
pub struct Repeated {
    every_ns: i64,
    told_ns: Option<i64>,
    held: u64,
}

impl Repeated {
    pub const fn every_secs(secs: i64) -> Self {
        Self { every_ns: secs.saturating_mul(1_000_000_000), told_ns: None, held: 0 }
    }

    /// It happened at `now_ns`. `Some(n)` means: tell it now, `n` were held back since it was last told.
    pub fn hit(&mut self, now_ns: i64) -> Option<u64> {
        // A clock that went back tells rather than keeps silent.
        let quiet = self.told_ns.is_some_and(|told| now_ns >= told && now_ns.saturating_sub(told) < self.every_ns);
        if quiet {
            self.held = self.held.saturating_add(1);
            return None;
        }
        self.told_ns = Some(now_ns);
        Some(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_condition_is_told_once_an_interval() {
        let mut full = Repeated::every_secs(10);
        let second = 1_000_000_000;
        let told: Vec<Option<u64>> = [0, 1, 9, 10, 11, 25, 3].iter().map(|t| full.hit(t * second)).collect();
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1), Some(0)]);
    }

    #[test]
    fn a_bad_filter_names_itself_and_the_way_out() {
        let error = init_logging("telemetry-test", LogFormat::Text, "info,=,x=loud").unwrap_err();
        assert!(error.to_string().starts_with("log filter \"info,=,x=loud\" cannot be read: "), "{error}");
        assert!(error.to_string().contains("write for example \"info\""), "{error}");
    }
}
