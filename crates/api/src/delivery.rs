//! Notification: channels, and the log of what was delivered to whom.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::BothTexts;

/// One message to one recipient on one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    pub id: String,
    /// queued, failed (will be tried again), sent, dead.
    pub state: String,
    pub channel: String,
    /// Whom: a contact's name, or `city:` and the right its recipients have.
    pub contact: String,
    /// Mail address, where there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Empty: the city's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    pub exercise: bool,
    /// Kind and id of what it is about.
    pub kind: String,
    pub about: String,
    pub title: BothTexts,
    pub attempts: u32,
    pub queued: String,
    /// When it is tried next; empty where that is not for a time to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// When it was delivered or given up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ended: String,
    /// Seconds from the message to its confirmed delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Why it failed or was given up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Key it went under: Message-ID, Idempotency-Key. The same for all that went in one digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Each attempt, in the answer about one delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Attempt>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    pub began: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ended: String,
    pub outcome: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryPage {
    pub items: Vec<Delivery>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A configured channel. Nothing secret is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    pub name: String,
    /// mail, webhook, alertmanager, syslog, wecom, dingtalk, feishu.
    pub kind: String,
    /// host:port it goes to.
    pub peer: String,
    /// Requests in a minute at most, and how many of these only red may use.
    pub per_minute: u32,
    pub red_reserve: u32,
    /// Levels the city's own people are told of here.
    pub city: Vec<String>,
    /// Messages not delivered yet, red ones among them.
    pub waiting: u64,
    pub waiting_red: u64,
    /// Messages delivered and given up, as far as the log goes.
    pub sent: u64,
    pub dead: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_sent: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_failed: String,
    /// Why the last attempt failed; empty where it did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChannelPage {
    pub items: Vec<Channel>,
}

/// Whom a test goes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelTest {
    /// A mail address, on a mail channel; the channel's own first recipient otherwise.
    #[serde(default)]
    pub to: Option<String>,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChannelTested {
    pub channel: String,
    /// sent, failed (might work later), rejected (never as configured).
    pub outcome: String,
    pub seconds: f64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
