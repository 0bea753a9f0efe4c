//! What people and programs see: `/api/v1`, the live feed, the operator pages, metrics and health.
//!
//! | part | what it is |
//! |---|---|
//! | `gate` | the one authorisation gate: every request passes it, a route that is in no table is refused |
//! | `routes` | handlers of the rows of `api::ROUTES` |
//! | `page` | operator pages: complete without JavaScript, live with it |
//! | `feed`, `board` | what is pushed; the agents as last heard |
//! | `people` | passwords, sessions, tokens, login limits |
//!
//! It owns no state of the road: it reads the stores with the caller's scope, writes judgements, and tells the program behind
//! it through [`Backstage`]. The clock is handed in.

pub mod assets;
pub mod board;
pub mod feed;
pub mod gate;
pub mod i18n;
pub mod listen;
pub mod page;
pub mod people;
pub mod query;
pub mod reply;
pub mod routes;
pub mod sample;
pub mod taxii;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event::{AgentId, Timestamp};

use crate::metrics::ServeMetrics;
use crate::register::Register;
use crate::store::{DeskStore, EventStore, Scope};

pub use api::Role;
pub use board::Board;
pub use feed::{Feed, Item, Position};
pub use listen::run;
pub use people::ensure_first_login;
pub use routes::router;

/// Body bytes a request may have; the largest honest one is a note of 4,000 characters.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Seconds a request may take, the feed aside.
pub const REQUEST_SECONDS_MAX: u64 = 30;

/// Everything the handlers need.
pub struct Shared {
    pub events: Arc<dyn EventStore>,
    pub desk: Arc<dyn DeskStore>,
    pub office: Arc<crate::office::Office>,
    pub feed: Arc<Feed>,
    pub board: Arc<Board>,
    pub backstage: Arc<dyn Backstage>,
    /// The whole program's registry, served at `/metrics`.
    pub metrics: telemetry::Metrics,
    pub counts: ServeMetrics,
    pub ready: Arc<Ready>,
    pub config: ServeConfig,
    /// `clock::now` in production.
    pub clock: fn() -> Timestamp,
    pub logins: people::LoginLimiter,
    /// Held by whoever changes the register, from looking to writing.
    pub register_turn: std::sync::Mutex<()>,
}

/// What serving needs of the program behind it.
pub trait Backstage: Send + Sync {
    /// Rules in force, and those refused.
    fn rules(&self) -> api::RulePage;
    /// The rules in force themselves, for those who explain; none where there is no engine.
    fn rule_set(&self) -> Option<Arc<rule::RuleSet>> {
        None
    }
    /// Makes a trial of changed rules ready; one at a time.
    fn trial(&self, fresh: &[rule::Source]) -> Result<Box<crate::rules::trial::Trial>, crate::rules::trial::Refusal> {
        let _ = fresh;
        Err(crate::rules::trial::Refusal::Busy)
    }
    /// Reads configuration and rules again; on failure the old ones stay. May block.
    fn reload(&self) -> api::Reloaded;
    /// Makes a one-use enrolment string for a unit (and stores its hash), valid until `expires`.
    fn enrolment(&self, unit: &str, note: &str, by: &str, now: Timestamp, expires: Timestamp) -> Result<String, String>;
    /// Ends an agent's identity; false where it had ended already. Its link is cut within five seconds.
    fn revoke(&self, agent: AgentId, reason: &str, by: &str, now: Timestamp) -> Result<bool, String>;
    /// Looks at the baselines of control networks, or edits them (the act says true): the engine's owner does it, and an edit is durable when this
    /// returns. May block; false where there is no engine or it does not answer.
    fn baselines(&self, act: crate::pipeline::BaselineAct) -> bool {
        drop(act);
        false
    }
    /// A person judged an alert: the engine's desk wants to know.
    fn judged(&self, judgement: warning::Judgement);
    /// Links that stand now: agent and the address it speaks from.
    fn links(&self) -> Vec<(AgentId, String)>;
    /// The register was changed through the API.
    fn register_changed(&self);
    /// Somebody is about to read the metrics: bring those up to date that are counted elsewhere. One caller at a time; may block.
    fn collect(&self) {}
    /// English names of units that have one, by id; the caller's scope is applied by who shows them.
    fn unit_names_en(&self) -> std::collections::BTreeMap<String, String> {
        self.register().units().filter(|u| !u.name_en.is_empty()).map(|u| (u.id.clone(), u.name_en.clone())).collect()
    }
    /// The register in force.
    fn register(&self) -> Arc<Register>;
    /// Indicators of compromise in force.
    fn indicators(&self) -> Option<Arc<crate::indicators::Indicators>> {
        None
    }
    /// A source was added: look for it in history, and tell the agents.
    fn indicators_added(&self, _source: &str) {}
    /// A source was removed: tell the agents.
    fn indicators_changed(&self) {}
    /// Who carries messages to people; none where nothing is sent.
    fn notifier(&self) -> Option<Arc<crate::notify::Notifier>> {
        None
    }
    /// What is known of flaws (KEV, EPSS).
    fn weaknesses(&self) -> Arc<exchange::weakness::Weaknesses> {
        Arc::default()
    }
}

/// `[serve]` of the collector's configuration.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Time zone people read times in; exports and the API stay in UTC.
    pub time_zone: String,
    /// Hours a session lives.
    pub session_hours: u32,
    /// True where the listener speaks TLS (or stands behind a proxy that does): cookies are `Secure`.
    pub secure: bool,
    /// Seconds between heartbeats of the feed.
    pub heartbeat_s: u64,
    /// Where an agent finds the installer text and the collector, for the enrol page: `host:port` of the link.
    pub link_address: String,
    /// Scrape `/metrics` without a token (for a listener on loopback).
    pub open_metrics: bool,
    /// Name of this house in what it gives to others (CAP's sender, STIX's identity).
    pub sender: String,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            time_zone: "Asia/Shanghai".to_owned(),
            session_hours: 12,
            secure: false,
            heartbeat_s: 5,
            link_address: String::new(),
            open_metrics: false,
            sender: exchange::Sender::default().name,
        }
    }
}

/// What must hold before the collector calls itself ready; each part raises its own flag.
#[derive(Debug, Default)]
pub struct Ready {
    pub rules_loaded: AtomicBool,
    pub store_open: AtomicBool,
    pub listener_bound: AtomicBool,
}

impl Ready {
    pub fn set(flag: &AtomicBool) {
        flag.store(true, Ordering::Release);
    }
    /// Words for what is still missing; empty when ready.
    pub fn waiting_for(&self) -> Vec<String> {
        [("rules", &self.rules_loaded), ("store", &self.store_open), ("listener", &self.listener_bound)]
            .into_iter()
            .filter(|(_, flag)| !flag.load(Ordering::Acquire))
            .map(|(word, _)| word.to_owned())
            .collect()
    }
}

impl Shared {
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Runs blocking store work on the pool for it.
    pub(crate) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> Result<T, reply::Fail> + Send + 'static,
    ) -> Result<T, reply::Fail> {
        let shared = self.clone();
        match tokio::task::spawn_blocking(move || job(&shared)).await {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(%error, "request failed");
                Err(reply::Fail::code(api::Code::Internal))
            }
        }
    }

    /// An alert as the API shows it.
    pub(crate) fn show(alert: &warning::Alert) -> api::Alert {
        use warning::text::{Lang, render};
        api::Alert::from_stored(alert, |reason| (render(reason, Lang::En), render(reason, Lang::Zh)))
    }

    /// Writes an audit row; a failure is logged and does not undo what was done.
    pub(crate) fn audit(&self, who: &str, action: &str, subject: &str, unit: Option<&str>, detail: &str) {
        let entry = crate::store::desk::AuditEntry {
            time: self.now().ns(),
            who: who.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            unit: unit.map(str::to_owned),
            detail: detail.to_owned(),
        };
        if let Err(error) = self.desk.audit(&entry) {
            tracing::error!(%error, action, "audit row not written");
        }
    }
}

/// True if a scoped caller may see an alert: all its units lie inside. Checked here a second time; the store has filtered already.
pub(crate) fn alert_visible(scope: &Scope, alert: &warning::Alert) -> bool {
    feed::visible(scope, alert.units.iter().map(|u| u.id.as_str()))
}
