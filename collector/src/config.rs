//! The collector's configuration: one file, every key with its default, printed by `vedette print config`.
//!
//! Sections stand beside what they configure where that part has one; this file only sums them up. `SAMPLE` is the printed file and a
//! test reads it back into the defaults, so neither can lie.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use settings::{Bytes, Duration};

use crate::notify::{NotifyConfig, Setup};

/// `collector.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub data: PathBuf,
    pub rules: Vec<PathBuf>,
    pub shadow_experimental: bool,
    pub mappings: PathBuf,
    pub register: PathBuf,
    pub grading: Option<PathBuf>,
    pub desk: Option<PathBuf>,
    pub log: Log,
    pub link: Link,
    pub serve: Serve,
    pub store: Store,
    pub indicators: IndicatorPaths,
    pub notify: NotifyConfig,
    /// Sections of the channels, each checked by its own kind.
    pub channel: Vec<toml::Table>,

    pub taxii: Vec<crate::indicators::taxii::TaxiiSource>,
    pub weakness: WeaknessPaths,
    pub exchange: Exchange,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub format: LogStyle,
    pub filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStyle {
    Text,
    Json,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    pub listen: SocketAddr,
    pub enrol_listen: SocketAddr,
    pub names: Vec<String>,
    pub advertise: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    pub listen: SocketAddr,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    pub segment_rows: usize,
    pub segment_age: Duration,
    pub retention: Duration,
    pub wal_segment: Bytes,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct IndicatorPaths {
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct WeaknessPaths {
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exchange {
    pub sender: String,
}

impl Default for Exchange {
    fn default() -> Self {
        Self { sender: exchange::Sender::default().name }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: "/var/lib/vedette".into(),
            rules: vec!["/etc/vedette/rules".into()],
            shadow_experimental: false,
            mappings: "/etc/vedette/mappings".into(),
            register: "/etc/vedette/register.toml".into(),
            grading: None,
            desk: None,
            log: Log::default(),
            link: Link::default(),
            serve: Serve::default(),
            store: Store::default(),
            indicators: IndicatorPaths::default(),
            notify: NotifyConfig::default(),
            channel: Vec::new(),

            taxii: Vec::new(),
            weakness: WeaknessPaths::default(),
            exchange: Exchange::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogStyle::Text, filter: "info".into() }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 7443)),
            enrol_listen: SocketAddr::from(([0, 0, 0, 0], 7444)),
            names: Vec::new(),
            advertise: String::new(),
        }
    }
}

impl Default for Serve {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), certificate: None, key: None }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            segment_rows: 262_144,
            segment_age: Duration::secs(60),
            retention: Duration::secs(180 * 86_400),
            wal_segment: Bytes::mib(64),
        }
    }
}

/// The whole file with its defaults.
pub const SAMPLE: &str = r#"# Vedette collector. Every key is shown with its default; what is commented out has none.
# Keys may also be set by environment: VEDETTE__LINK__LISTEN sets [link] listen.

# Where everything is kept: certificate authority, events, alerts. Owned by the collector, mode 0700.
data = "/var/lib/vedette"
# Sigma rules: files or folders, read in this order.
rules = ["/etc/vedette/rules"]
# Rules of status experimental are on trial, as if they said `shadow: true`: counted and searchable, never an alert.
shadow_experimental = false
# Field mappings (Sigma, ECS, Zeek, Suricata names to ours).
mappings = "/etc/vedette/mappings"
# Units, sectors, protected objects and assets.
register = "/etc/vedette/register.toml"
# Tables warnings are graded by, and time limits and rights of the desk; without them those that ship (`vedette grade --print-tables`).
# grading = "/etc/vedette/grading.toml"
# desk = "/etc/vedette/desk.toml"

[log]
# text or json, to standard error.
format = "text"
# What to log, in tracing's words: "info", "debug", "info,collector::ingest=debug".
filter = "info"

[link]
# Where agents connect (mutual TLS 1.3; nothing is parsed before the certificate is known).
listen = "0.0.0.0:7443"
# Where new agents enrol with a one-use string.
enrol_listen = "0.0.0.0:7444"
# Further names and addresses agents may reach this host by; its own names and addresses are always in the certificate.
names = []
# Host (or host:port of enrol_listen) written into enrolment strings; empty: this host's name.
advertise = ""

[serve]
# Console, API and metrics. Plain HTTP is allowed on loopback only; elsewhere give a certificate.
listen = "127.0.0.1:8080"
# certificate = "/etc/vedette/console.pem"
# key = "/etc/vedette/console.key"

[store]
# A segment is sealed at this many events or at this age, whichever comes first.
segment_rows = 262144
segment_age = "60 s"
# Events older than this are deleted; the law asks for 180 days.
retention = "180 d"
# Size of one file of the write-ahead log.
wal_segment = "64 MiB"

[indicators]
# Indicators of compromise read at start and at a reload, besides those uploaded with `vedette indicators add`: files, or folders of files
# (STIX 2.1, MISP JSON, CSV, plain lists); a file's name is its source.
paths = []

[notify]
# Time zone of what is sent, as a distance from UTC.
time_zone = "+08:00"
# Hours in which what is yellow, blue or without a level waits, e.g. "22:00-07:00"; empty: none. Red and orange never wait.
quiet = ""
# Attempts after which a message is a dead letter (2 s apart at first, 10 minutes in the end; red at most a minute).
attempts = 40
# Address of the console, for links in messages; empty: no links.
console = ""
# The channel mail addresses of the register are reached by; empty: the first of kind mail.
mail = ""

# Channels that tell the city's own people, by level; `other` is what has no level.
[notify.city]
red = []
orange = []
yellow = []
blue = []
other = []

# Channels: as many as you need, each with a name. Secrets are read from files. Every kind also takes per_minute (the limit of its peer),
# red_reserve (how many of these only red may use) and lang ("zh" or "en"). Changes here and in [notify] are taken over at a reload.
# [[channel]]
# name = "mail"
# kind = "mail"                              # text and HTML, threaded
# server = "mx.city.example:587"
# tls = "starttls"                           # or "implicit", or "none" on loopback
# from = "烽燧 <vedette@city.example>"
# to = ["duty@city.example"]                 # the city's own; units' addresses are in the register
# user = "vedette"
# password_file = "/etc/vedette/mail.password"
#
# [[channel]]
# name = "soar"
# kind = "webhook"                           # JSON, HMAC-SHA256 over "timestamp.body"
# url = "https://soar.city.example/vedette"
# secret_file = "/etc/vedette/soar.secret"
#
# [[channel]]
# name = "alertmanager"
# kind = "alertmanager"
# url = "http://127.0.0.1:9093"
#
# [[channel]]
# name = "siem"
# kind = "syslog"
# address = "siem.city.example:6514"
# transport = "tls"                          # or "tcp", "udp"
# format = "rfc5424"                         # or "cef"
#
# [[channel]]
# name = "duty-group"
# kind = "dingtalk"                          # or "wecom", "feishu"
# url_file = "/etc/vedette/dingtalk.url"     # the address holds the token
# secret_file = "/etc/vedette/dingtalk.secret"

# Indicators from a TAXII 2.1 server; one table a collection. user with password_file, or token_file; ca where its authority is not the system's.
# [[taxii]]
# name = "city-isac"
# url = "https://intel.example/taxii2/feeds/"
# collection = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
# every = "1 h"
# token_file = "/etc/vedette/isac.token"
# tlp = "amber"

[weakness]
# Which flaws are being used, for grading: CISA's KEV (JSON or CSV) and FIRST's EPSS (CSV).
paths = []

[exchange]
# Name of this house in CAP, STIX and the rest, a domain name of yours: no blanks, commas, '<' or '&'.
sender = "vedette"
"#;

/// A configuration that contradicts itself, checked after the types.
pub fn check(config: &Config) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    match (&config.serve.certificate, &config.serve.key) {
        (Some(_), None) => problems.push(("serve.certificate", "a certificate needs its key; set serve.key too".to_owned())),
        (None, Some(_)) => problems.push(("serve.key", "a key needs its certificate; set serve.certificate too".to_owned())),
        _ => {}
    }
    if !config.serve.listen.ip().is_loopback() && config.serve.certificate.is_none() {
        let what = "is not loopback: passwords would travel in the clear; give serve.certificate and serve.key, or listen on 127.0.0.1";
        problems.push(("serve.listen", format!("value \"{}\" {what}", config.serve.listen)));
    }
    if config.link.listen == config.link.enrol_listen && config.link.listen.port() != 0 {
        let what = "is that of link.listen too; they need different ports";
        problems.push(("link.enrol_listen", format!("value \"{}\" {what}", config.link.enrol_listen)));
    }
    problems.extend(crate::indicators::taxii::problems(&config.taxii));
    if config.exchange.sender.is_empty() || config.exchange.sender.chars().any(|c| c.is_whitespace() || ",<&".contains(c)) {
        problems.push(("exchange.sender", "is a name without blanks, commas, '<' and '&', such as desk.city.example".to_owned()));
    }
    if config.rules.is_empty() {
        problems.push(("rules", "an empty list leaves nothing to detect with; name a folder of Sigma rules".to_owned()));
    }
    if let Err(told) = Setup::read(config) {
        problems.extend(told);
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_file_is_the_default() {
        let read: Config = settings::load_text("collector.toml", SAMPLE).expect("the sample is valid");
        assert_eq!(read, Config::default());
        assert!(check(&read).is_empty());
    }

    #[test]
    fn a_console_in_the_clear_is_refused() {
        let read: Config = settings::load_text("x.toml", "[serve]\nlisten = \"0.0.0.0:80\"\n").expect("well-formed");
        assert_eq!(check(&read).len(), 1);
    }
}
