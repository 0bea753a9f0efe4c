//! Syslog: RFC 5424 messages, or CEF (Common Event Format, version 0) inside them, over UDP (RFC 5426), TCP with octet counting (RFC 6587)
//! or TLS (RFC 5425).
//!
//! UDP and TCP have no answer: written is delivered. Facility and a bound on the length are configured; severity follows the level (red 1 alert,
//! orange 2 critical, yellow 4 warning, blue 5 notice, none 6). CEF escapes by its own rule: `\` and `|` in the header; `\`, `=` and line ends
//! in the extension.

use std::path::PathBuf;

use event::Timestamp;
use matter::Message;
use serde::Deserialize;
use warning::grade::Level;

use super::by_status;
use crate::{Answer, Channel, Letter, Reader, Request, Route, Verdict, config, text};

const MESSAGES_MAX: usize = 500;
/// RFC 5424 6.3.1: an enterprise number of its own is needed for structured data; this one is for documentation (RFC 5612).
const STRUCTURED_ID: &str = "vedette@32473";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Transport {
    #[default]
    Udp,
    Tcp,
    Tls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Rfc5424,
    Cef,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// `host:port`; 514, or 6514 with TLS.
    address: String,
    #[serde(default)]
    transport: Transport,
    #[serde(default)]
    format: Format,
    /// 0 to 23; 16 is local0.
    #[serde(default = "local0")]
    facility: u8,
    /// Name of this host in the messages.
    #[serde(default = "host")]
    hostname: String,
    /// Bytes of one message; the rest is cut.
    #[serde(default = "bytes")]
    bytes_max: usize,
    #[serde(default)]
    ca: Option<PathBuf>,
}

const fn local0() -> u8 {
    16
}
fn host() -> String {
    "vedette".to_owned()
}
const fn bytes() -> usize {
    2_048
}

struct Syslog {
    route: Route,
    format: Format,
    facility: u8,
    hostname: String,
    bytes_max: usize,
}

pub(super) fn read(section: &toml::Table, _: Reader) -> Result<Box<dyn Channel>, String> {
    let config: Config = settings::section(section)?;
    let port = if config.transport == Transport::Tls { 6514 } else { 514 };
    let (host, port) =
        config::split(&config.address, port).ok_or_else(|| format!("key 'address': value \"{}\": write host:port", config.address))?;
    if config.facility > 23 {
        return Err(format!("key 'facility': value {}: 0 to 23", config.facility));
    }
    if !(480..=65_000).contains(&config.bytes_max) {
        return Err(format!("key 'bytes_max': value {}: 480 to 65000", config.bytes_max));
    }
    let hostname: String = config.hostname.chars().filter(char::is_ascii_graphic).take(255).collect();
    let route = match config.transport {
        Transport::Udp => Route::Udp { host, port },
        Transport::Tcp => Route::Tcp { host, port },
        Transport::Tls => Route::Tls { host, port, trust: config.ca },
    };
    Ok(Box::new(Syslog {
        route,
        format: config.format,
        facility: config.facility,
        hostname: if hostname.is_empty() { "-".to_owned() } else { hostname },
        bytes_max: config.bytes_max,
    }))
}

const fn severity(level: Option<Level>) -> u8 {
    match level {
        Some(Level::Red) => 1,
        Some(Level::Orange) => 2,
        Some(Level::Yellow) => 4,
        Some(Level::Blue) => 5,
        None => 6,
    }
}

/// CEF's 0 to 10.
const fn cef_severity(level: Option<Level>) -> u8 {
    match level {
        Some(Level::Red) => 10,
        Some(Level::Orange) => 8,
        Some(Level::Yellow) => 6,
        Some(Level::Blue) => 4,
        None => 2,
    }
}

/// A value of structured data: `"`, `\` and `]` escaped.
fn param(value: &str) -> String {
    text::line(value).chars().flat_map(|c| if matches!(c, '"' | '\\' | ']') { vec!['\\', c] } else { vec![c] }).collect()
}

pub(crate) fn cef_header(value: &str) -> String {
    text::line(value).chars().flat_map(|c| if matches!(c, '|' | '\\') { vec!['\\', c] } else { vec![c] }).collect()
}

pub(crate) fn cef_value(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.trim().chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '=' => out.push_str("\\="),
            '\n' => out.push_str("\\n"),
            '\r' => {}
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

impl Syslog {
    fn one(&self, message: &Message, letter: &Letter) -> Vec<u8> {
        let level = message.level;
        let marks = text::marks(level, message.exercise, letter.test);
        let title = format!("{marks}{}", text::line(message.title.pick(letter.zh)));
        let head = format!(
            "<{}>1 {} {} vedette - {} ",
            u32::from(self.facility) * 8 + u32::from(severity(level)),
            // RFC 5424 takes at most six digits of a fraction.
            Timestamp::from_us(message.time.ns().div_euclid(1_000)),
            self.hostname,
            if letter.test { "test" } else { "notice" }
        );
        let whole = match self.format {
            Format::Rfc5424 => format!(
                "{head}[{STRUCTURED_ID} key=\"{}\" level=\"{}\" kind=\"{}\" id=\"{}\" thread=\"{}\" exercise=\"{}\"] \u{feff}{title} {}",
                param(&message.key),
                level.map_or("none", Level::name),
                param(&message.kind),
                param(&message.id),
                param(&message.thread),
                message.exercise,
                text::line(message.text.pick(letter.zh)),
            ),
            Format::Cef => format!(
                "{head}- CEF:0|Vedette|Vedette|{}|{}|{}|{}|rt={} externalId={} cs1Label=level cs1={} cs2Label=thread cs2={} cs3Label=exercise cs3={} msg={}",
                env!("CARGO_PKG_VERSION"),
                cef_header(&message.kind),
                cef_header(&title),
                cef_severity(level),
                message.time.ms(),
                cef_value(&message.key),
                level.map_or("none", Level::name),
                cef_value(&message.thread),
                message.exercise,
                cef_value(message.text.pick(letter.zh)),
            ),
        };
        text::cut(&whole, self.bytes_max, letter.zh).into_bytes()
    }
}

impl Channel for Syslog {
    fn route(&self) -> &Route {
        &self.route
    }
    fn render(&self, letter: &Letter, _: Timestamp) -> Request {
        Request::Syslog(letter.messages.iter().take(MESSAGES_MAX).map(|m| self.one(m, letter)).collect())
    }
    fn classify(&self, answer: &Answer) -> Verdict {
        by_status(answer)
    }
}
