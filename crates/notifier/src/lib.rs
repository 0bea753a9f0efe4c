//! How a message leaves the house: what each channel makes of it, what its answer means, and in which order messages go.
//!
//! Pure: no socket, no clock, no file. A channel is a file in `kind/` with its `Config`, `render` and `classify`, and one row of [`CHANNELS`];
//! routing, order, coalescing, retries, delivery log and metrics are the same for all. The program that sends has the sockets
//! (`collector/src/notify`).
//!
//! * A [`Letter`] is one message, or a digest of several, to one recipient. The same letter under the same key gives the same request but for
//!   the time a signature needs: a receiver that has seen the key may drop the second (delivery is at least once).
//! * `classify` reads outside bytes: it never panics, and what it does not understand is tried again, not taken for delivered.
//! * Secrets are read from files and are of a type that never prints.
//!
//! Limits: answers are read up to [`ANSWER_BYTES_MAX`]; each channel cuts what it sends to what its peer takes, on a character's border, and
//! says that it did.

mod config;
mod kind;
pub mod queue;
pub mod smtp;
pub mod text;

use std::net::IpAddr;
use std::path::PathBuf;

use event::Timestamp;
use matter::Message;
use settings::Secret;

pub use config::{Common, Configured, Reader, open};
pub use kind::CHANNELS;
pub use queue::{Delivery, Limits, Parcel, Queue, Settled};
pub use text::Zone;

/// Bytes of an answer that are looked at.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Characters of an answer that are kept as a reason.
pub const REASON_CHARS_MAX: usize = 300;

/// One kind of channel.
pub struct ChannelKind {
    /// `kind = "…"` in the configuration.
    pub word: &'static str,
    pub about: &'static str,
    pub about_zh: &'static str,
    /// What its peer takes, unless the configuration says otherwise.
    pub limits: Limits,
    /// Whether a recipient is an address of its own (mail) or the channel is the recipient.
    pub addressed: bool,
    /// Reads its section. The error has one line a problem, each beginning with `key 'name': ` where a key is to blame.
    pub(crate) read: Read,
}

type Read = fn(&toml::Table, Reader) -> Result<Box<dyn Channel>, String>;

/// One configured channel.
pub trait Channel: Send + Sync {
    /// Where its requests go.
    fn route(&self) -> &Route;
    /// Who is told on this channel where the city is; empty: the channel itself.
    fn city(&self) -> &[String] {
        &[]
    }
    fn render(&self, letter: &Letter, now: Timestamp) -> Request;
    fn classify(&self, answer: &Answer) -> Verdict;
}

/// What is to be told, to whom and how.
#[derive(Debug, Clone)]
pub struct Letter<'a> {
    /// At least one; the most serious first. More than one: a digest.
    pub messages: &'a [&'a Message],
    /// Messages the digest stands for beyond those listed.
    pub more: usize,
    /// The same in every attempt.
    pub key: &'a str,
    /// A mail address; empty where the channel is the recipient.
    pub to: &'a str,
    /// Chinese first; otherwise English first.
    pub zh: bool,
    pub zone: Zone,
    /// A test of the channel, and said so.
    pub test: bool,
    /// Where the console is, for a link; empty: none.
    pub console: &'a str,
}

/// How a request travels.
#[derive(Debug, Clone, PartialEq)]
pub enum Route {
    Http {
        secure: bool,
        host: String,
        port: u16,
        authority: String,
        trust: Option<PathBuf>,
    },
    Smtp {
        host: String,
        port: u16,
        tls: MailTls,
        trust: Option<PathBuf>,
        login: Option<Login>,
        hello: String,
    },
    Udp {
        host: String,
        port: u16,
    },
    Tcp {
        host: String,
        port: u16,
    },
    /// TCP with TLS.
    Tls {
        host: String,
        port: u16,
        trust: Option<PathBuf>,
    },
}

impl Route {
    pub fn host_port(&self) -> (&str, u16) {
        match self {
            Self::Http { host, port, .. }
            | Self::Smtp { host, port, .. }
            | Self::Udp { host, port }
            | Self::Tcp { host, port }
            | Self::Tls { host, port, .. } => (host, *port),
        }
    }
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// In the clear; on loopback only, or where a person says so.
    None,
    /// Plain first, then STARTTLS; a server without it is refused.
    #[default]
    Starttls,
    /// TLS from the first byte (port 465).
    Implicit,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    pub user: String,
    pub password: Secret,
}

/// What goes over the wire.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// A POST.
    Http { path: String, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// Lines end in CRLF; dots are not stuffed yet.
    Mail { from: String, to: String, data: Vec<u8> },
    /// Syslog messages, without framing.
    Syslog(Vec<Vec<u8>>),
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<'a> {
    Http {
        status: u16,
        retry_after: Option<&'a str>,
        body: &'a [u8],
    },
    /// The reply that decided, and whether the whole session or this one mail is refused.
    Smtp {
        code: u16,
        text: &'a str,
    },
    /// Written, and the peer does not answer by design (syslog).
    Written,
    /// No connection, no TLS, no answer in time.
    Broken(&'a str),
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// Later again; after so many seconds, or as the back-off has it.
    Retry {
        after_s: Option<u32>,
        reason: String,
    },
    /// Never with this content and configuration.
    Reject {
        reason: String,
    },
}

impl Verdict {
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { after_s: None, reason: bounded(&reason.into()) }
    }
    pub fn retry_after(after_s: u32, reason: impl Into<String>) -> Self {
        Self::Retry { after_s: Some(after_s.min(RETRY_AFTER_S_MAX)), reason: bounded(&reason.into()) }
    }
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::Reject { reason: bounded(&reason.into()) }
    }
}

/// A peer cannot silence a channel for longer than this.
pub const RETRY_AFTER_S_MAX: u32 = 3_600;

/// Printable, one line, cut.
pub fn bounded(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARS_MAX).collect::<String>().trim().to_owned()
}

/// Whether a host is this machine.
pub fn loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// HMAC-SHA256.
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests;
