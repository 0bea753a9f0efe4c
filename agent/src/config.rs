//! The agent's configuration: sums up what stands beside the parts it configures, and is checked whole before anything is opened.
//!
//! `print config` writes it from here and from the sensors' own samples; a test reads that back and compares it with the defaults.

use serde::Deserialize;
use settings::{Bytes, Document, Errors, Layers, Problem};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::edge;
use crate::sensor::{SENSORS, SensorKind};

pub const CONFIG_PATH: &str = "/etc/vedette/agent.toml";
pub const STATE_PATH: &str = "/var/lib/vedette-agent";
/// Environment variables that begin with this and two underscores set a key: `VEDETTE_AGENT__SPOOL__BYTES_MAX`.
pub const ENVIRONMENT: &str = "VEDETTE_AGENT";

#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub state: PathBuf,
    pub hostname: String,
    pub log: LogConfig,
    pub collector: CollectorConfig,
    pub spool: SpoolConfig,
    pub metrics: MetricsConfig,
    pub edge: edge::Config,
    /// Sections of the sensors, each checked by its own sensor.
    pub sensor: BTreeMap<String, toml::Table>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state: STATE_PATH.into(),
            hostname: String::new(),
            log: LogConfig::default(),
            collector: CollectorConfig::default(),
            spool: SpoolConfig::default(),
            metrics: MetricsConfig::default(),
            edge: edge::Config::default(),
            sensor: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    pub level: String,
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Deserialize, PartialEq, Default)]
#[serde(deny_unknown_fields, default)]
pub struct CollectorConfig {
    pub address: String,
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolConfig {
    pub bytes_max: Bytes,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self { bytes_max: Bytes::mib(256) }
    }
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    pub listen: String,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9465".to_owned() }
    }
}

/// Where the metrics are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    Off,
    Loopback(SocketAddr),
    Unix(PathBuf),
}

impl Listen {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err("a socket's path begins with a slash".to_owned()) };
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::Loopback(address)),
            Ok(_) => Err("not a loopback address; an agent opens no port to others, use 127.0.0.1 or a unix socket".to_owned()),
            Err(_) => Err("write \"127.0.0.1:9465\", \"unix:/run/vedette-agent/metrics.sock\" or \"off\"".to_owned()),
        }
    }
}

impl Config {
    /// Reads file, environment and flags, and checks everything. Without a path the usual one is read if it is there.
    pub fn load(path: Option<&Path>, state: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Errors> {
        let usual = Path::new(CONFIG_PATH);
        let path = path.or_else(|| usual.exists().then_some(usual));
        let mut layers = Layers::new();
        if let Some(path) = path {
            layers = layers.file(path);
        }
        Self::from_layers(layers.environment(ENVIRONMENT, environment).flag("--state", "state", state.map(|p| p.display().to_string())))
    }

    pub fn from_layers(layers: Layers) -> Result<Self, Errors> {
        let loaded = layers.load::<Self>()?;
        let problems = loaded.value.problems(&loaded.document);
        if problems.is_empty() { Ok(loaded.value) } else { Err(Errors { problems }) }
    }

    fn problems(&self, document: &Document) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut say = |key: &str, message: String| problems.push(document.problem(key, message));
        if !self.state.is_absolute() {
            say("state", format!("value \"{}\": a path that begins with a slash", self.state.display()));
        }
        if self.spool.bytes_max.0 < spool::BYTES_MIN {
            say("spool.bytes_max", format!("value {}: at least {}", self.spool.bytes_max, Bytes(spool::BYTES_MIN)));
        }
        if let Err(why) = Listen::parse(&self.metrics.listen) {
            say("metrics.listen", format!("value \"{}\": {why}", self.metrics.listen));
        }
        if !self.collector.address.is_empty() && crate::identity::message::split_host_port(&self.collector.address).is_none() {
            say("collector.address", format!("value \"{}\": write host:port", self.collector.address));
        }
        for name in self.sensor.keys() {
            if !SENSORS.iter().any(|kind| kind.name() == name) {
                let near = settings::did_you_mean(name, SENSORS.iter().map(|k| k.name()));
                let way = near.map_or_else(
                    || format!("sensors: {}", SENSORS.iter().map(|k| k.name()).collect::<Vec<_>>().join(", ")),
                    |near| format!("did you mean '{near}'?"),
                );
                say(&format!("sensor.{name}"), format!("no such sensor; {way}"));
            }
        }
        for kind in SENSORS {
            let name = kind.name();
            let section = match self.section(*kind) {
                Ok(section) => section.unwrap_or_default(),
                Err(message) => {
                    say(&format!("sensor.{name}.enabled"), message);
                    continue;
                }
            };
            let Err(message) = kind.check(&section) else { continue };
            for line in message.lines() {
                // A sensor says `key 'paths': …` of its own section; here it gets its full name and its place.
                let told = line.strip_prefix("key '").and_then(|rest| rest.split_once("': "));
                match told {
                    Some((key, message)) => say(&format!("sensor.{name}.{key}"), message.to_owned()),
                    None => say(&format!("sensor.{name}"), line.to_owned()),
                }
            }
        }
        problems
    }

    /// The section of a sensor without the word that switches it; `None` if it is switched off.
    pub fn section(&self, kind: &dyn SensorKind) -> Result<Option<toml::Table>, String> {
        let mut section = self.sensor.get(kind.name()).cloned().unwrap_or_default();
        match section.remove("enabled") {
            None | Some(toml::Value::Boolean(true)) => Ok(Some(section)),
            Some(toml::Value::Boolean(false)) => Ok(None),
            Some(other) => Err(format!("value {other} does not fit: expected true or false")),
        }
    }

    /// Sections a reload does not change, as far as they differ: all but the edge and the sensors.
    pub fn fixed_keys_that_differ(&self, fresh: &Self) -> Vec<&'static str> {
        let all = [
            ("state", self.state != fresh.state),
            ("hostname", self.hostname != fresh.hostname),
            ("log", self.log != fresh.log),
            ("collector", self.collector != fresh.collector),
            ("spool", self.spool != fresh.spool),
            ("metrics", self.metrics != fresh.metrics),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    pub fn spool_folder(&self) -> PathBuf {
        self.state.join("spool")
    }
}

const HEAD: &str = r#"# Vedette agent. Every key stands here with its default; a file may leave out all of them.
# Printed by `vedette-agent print config`, checked by `vedette-agent check`. A key can also be set by an environment variable:
# VEDETTE_AGENT__SPOOL__BYTES_MAX="1 GiB" sets spool.bytes_max. Sizes: "64 MiB", "500 kB". Times: "250 ms", "5 s", "10 min".

# Identity, spool and baselines; only the agent's user may read it.
state = "/var/lib/vedette-agent"
# Name of this host in its events; empty takes the kernel's.
hostname = ""

[log]
# error, warn, info, debug, trace, or a list of target=level. VEDETTE_AGENT_LOG beats it.
level = "info"
# text or json, to standard error.
format = "text"

[collector]
# host:port; empty takes the one learnt at enrolment.
address = ""

[spool]
# What was seen waits here, on disk, until the collector has it. When it is full the oldest of the least precious class goes first, and is declared.
bytes_max = "256 MiB"

[metrics]
# Prometheus metrics for this host alone: a loopback address, "unix:/run/vedette-agent/metrics.sock" or "off".
listen = "127.0.0.1:9465"
"#;

/// The commented configuration with all defaults.
pub fn print() -> String {
    let mut out = format!("{HEAD}\n[edge]\n{}", edge::SAMPLE);
    for kind in SENSORS {
        let switch = if kind.sample().lines().any(|l| l.starts_with("enabled")) { "" } else { "enabled = true\n" };
        out.push_str(&format!("\n# {}\n[sensor.{}]\n{switch}{}", kind.about(), kind.name(), kind.sample()));
    }
    out
}

/// The field reference as Markdown.
pub fn print_fields() -> String {
    let mut out = String::from(
        "# Fields of events\n\nPrinted by `vedette-agent print fields`. Home `OCSF` are attribute paths of OCSF 1.8; `Vedette` are ours and are exported under `unmapped`.\n\n| no | field | shape | home | meaning | sensors |\n|---|---|---|---|---|---|\n",
    );
    for field in event::Field::all() {
        let sensors: Vec<&str> = SENSORS.iter().filter(|k| k.fields().contains(&field)).map(|k| k.name()).collect();
        out.push_str(&format!(
            "| {} | `{}` | {:?} | {} | {} | {} |\n",
            field.number(),
            field.name(),
            field.shape(),
            if field.home() == event::Home::Ocsf { "OCSF" } else { "Vedette" },
            field.about().replace('|', "\\|"),
            sensors.join(" ")
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str) -> String {
        Config::from_layers(Layers::new().text("agent.toml", text)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_printed_is_the_defaults() {
        let printed = print();
        let config = Config::from_layers(Layers::new().text("printed", &printed)).unwrap();
        assert_eq!(Config { sensor: BTreeMap::new(), ..config.clone() }, Config::default());
        let section = |name: &str| config.section(*SENSORS.iter().find(|k| k.name() == name).unwrap()).unwrap().unwrap();
        assert_eq!(settings::section::<crate::sensor::log::Config>(&section("log")).unwrap(), Default::default());
        assert_eq!(settings::section::<crate::sensor::file::Config>(&section("file")).unwrap(), Default::default());
        assert_eq!(settings::section::<crate::sensor::host::Config>(&section("host")).unwrap(), Default::default());
    }

    #[test]
    fn the_file_in_the_repository_is_what_is_printed() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/agent.toml");
        assert!(std::fs::read_to_string(path).unwrap() == print(), "config/agent.toml is not what is printed: run cargo xtask gen");
    }

    #[test]
    fn all_that_is_wrong_is_told_with_places() {
        let text = "\
[spool]
bytes_max = \"1 MiB\"
[metrics]
listen = \"0.0.0.0:9465\"
[sensor.lgo]
[sensor.log]
enabled = \"yes\"
[sensor.file]
files_max = 0
paths = [\"etc\", \"/a/**\"]
[sensor.host]
heartbeet = \"5 s\"
";
        assert_eq!(
            says(text),
            "\
agent.toml:2:1: key 'spool.bytes_max': value 1 MiB: at least 8 MiB
agent.toml:4:1: key 'metrics.listen': value \"0.0.0.0:9465\": not a loopback address; an agent opens no port to others, use 127.0.0.1 or a unix socket
agent.toml:5:9: key 'sensor.lgo': no such sensor; did you mean 'log'?
agent.toml:7:1: key 'sensor.log.enabled': value \"yes\" does not fit: expected true or false
agent.toml:10:1: key 'sensor.file.paths': value \"etc\": a path begins with a slash
agent.toml:10:1: key 'sensor.file.paths': value \"/a/**\": '**' is not supported; name each level with '*'
agent.toml:9:1: key 'sensor.file.files_max': value 0: from 1 to 10000
agent.toml:12:1: key 'sensor.host.heartbeet': no such key; did you mean 'heartbeat'?"
        );
    }

    #[test]
    fn where_metrics_may_be_served() {
        assert_eq!(Listen::parse("off"), Ok(Listen::Off));
        assert_eq!(Listen::parse("unix:/run/x"), Ok(Listen::Unix("/run/x".into())));
        assert!(matches!(Listen::parse("[::1]:1"), Ok(Listen::Loopback(_))));
        for bad in ["", "unix:x", "10.0.0.1:1", "localhost"] {
            assert!(Listen::parse(bad).is_err(), "{bad}");
        }
    }
}
