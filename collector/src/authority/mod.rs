//! Who may speak to this collector: the certificate authority, one-use enrolment tokens, the register of agent keys, and
//! revocation.
//!
//! Must stay true:
//! - A certificate is issued only for a key that signed its own request, and only against a token nobody else used, a
//!   certificate still valid, or a key already known. Token, certificate and agent go into the journal as one record before the
//!   certificate leaves; a token is therefore used once or not at all, whatever crashes.
//! - The same key asking again with its own token within the token's life gets a certificate again: an agent whose connection
//!   broke before the answer need not be enrolled anew. Any other key is refused.
//! - A token is stored as SHA-256 only; it has 256 random bits, so a plain hash is enough.
//! - An agent that the register does not know is refused even with a valid certificate: a lost register must not bring
//!   revoked agents back.
//! - A question at the door (`admit`) never waits for a disk.
//!
//! Limits: `tokens_max` open tokens, `agents_max` agents, `KEYS_MAX` keys an agent, `recoveries_max` recoveries in a row.

mod ca;
mod counters;
mod door;
mod guard;
mod journal;
mod names;
mod state;
mod tls;

pub use ca::{Ca, CaError};
pub use counters::{Counters, Dropped};
pub use door::{DoorConfig, serve as serve_enrolment};
pub use guard::{Guard, GuardConfig, Pass, Turned};
pub use journal::{AuthorityStore, FileJournal, JournalError, MemoryJournal, Record, Why, read_journal};
pub use names::{host_addresses, host_name, server_names};
pub use state::{AgentEntry, Revocation, TokenEntry, compact};
pub use tls::ServerCertificate;

use agent::identity::certificate::RequestKey;
use agent::identity::message::{Invitation, hex, join_host_port, split_host_port};
use agent::identity::{Refusal, certificate};
use event::{AgentId, Timestamp};
use sha2::{Digest, Sha256};
use state::State;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::broadcast;

/// Where time comes from: `collector::clock::now` in the program, a value of the test's choosing in tests.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// `[authority]` of the collector's configuration.
#[derive(Debug, Clone)]
pub struct AuthorityConfig {
    /// Folder of `ca.key`, `ca.crt` and `authority.log`.
    pub dir: PathBuf,
    /// Address agents enrol at, `host:port`, as it stands in enrolment lines.
    pub advertise: String,
    /// Port agents stream to, on the same host.
    pub link_port: u16,
    /// Further names and addresses of this collector as agents dial it; host name, its addresses and `localhost` are there anyway.
    pub names: Vec<String>,
    pub agent_validity_secs: i64,
    pub server_validity_secs: i64,
    pub token_ttl_secs: i64,
    pub tokens_max: usize,
    pub agents_max: usize,
    /// Recoveries of a run-out certificate in a row, without a renewal in between.
    pub recoveries_max: u32,
}

impl Default for AuthorityConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/var/lib/vedette/authority"),
            advertise: "localhost:7444".into(),
            link_port: 7443,
            names: Vec::new(),
            agent_validity_secs: 7 * 86_400,
            server_validity_secs: 90 * 86_400,
            token_ttl_secs: 30 * 60,
            tokens_max: 10_000,
            agents_max: 100_000,
            recoveries_max: 8,
        }
    }
}

/// What an operator asks for.
#[derive(Debug, Clone, Default)]
pub struct NewToken {
    /// Unit the agent is to belong to.
    pub unit: Option<String>,
    /// Gives this agent a new key instead of making a new agent (a reinstalled host keeps its history); lifts a revocation.
    pub agent: Option<AgentId>,
    /// Lifetime; the configured one if `None`, at most a day.
    pub ttl_secs: Option<i64>,
    /// Who asks, for the journal.
    pub by: String,
}

/// A certificate on its way to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub agent: AgentId,
    /// DER.
    pub certificate: Vec<u8>,
    pub not_after: Timestamp,
}

/// Failures of the authority itself; what it refuses to strangers is a `Refusal`.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{limit} open enrolment tokens already: wait until some run out, withdraw some, or raise [authority] tokens_max")]
    Tokens { limit: usize },
    #[error("[link] advertise = \"{value}\" is not host:port")]
    Advertise { value: String },
    #[error("[link] names has \"{value}\", which is neither a host name nor an address")]
    Name { value: String },
    #[error("there is no agent {0}")]
    NoAgent(AgentId),
    #[error("there is no open token {0}")]
    NoToken(String),
    #[error("rustls: {0}")]
    Tls(#[from] rustls::Error),
}

/// The authority. Shared by the two ports and the console; all methods take `&self`, those that write the journal block
/// for a disk sync and belong on a blocking thread.
pub struct Authority {
    config: AuthorityConfig,
    ca: Ca,
    server_names: Vec<String>,
    /// Held from check to journal to memory: one writer at a time.
    writer: Mutex<Box<dyn AuthorityStore>>,
    /// Never held across a disk operation.
    state: RwLock<State>,
    revocations: broadcast::Sender<AgentId>,
    counters: Counters,
}

/// Keys an agent may be known by at once: the current one, and those it may fall back to after a failed renewal.
pub const KEYS_MAX: usize = 3;
/// Longest name of a unit, person or reason kept.
const TEXT_BYTES_MAX: usize = 256;
const TOKEN_TTL_SECS_MAX: i64 = 86_400;

impl Authority {
    /// Opens the authority in `config.dir` with its journal beside the CA; makes both on first start.
    pub fn open(config: AuthorityConfig, now: Timestamp) -> Result<Arc<Self>, AuthorityError> {
        let ca = Ca::open(&config.dir, now)?;
        let journal = FileJournal::open(&config.dir.join("authority.log"))?;
        Self::with_parts(config, ca, Box::new(journal), now)
    }

    /// The same with another journal.
    pub fn open_with(config: AuthorityConfig, store: impl AuthorityStore, now: Timestamp) -> Result<Arc<Self>, AuthorityError> {
        let ca = Ca::open(&config.dir, now)?;
        Self::with_parts(config, ca, Box::new(store), now)
    }

    fn with_parts(config: AuthorityConfig, ca: Ca, store: Box<dyn AuthorityStore>, now: Timestamp) -> Result<Arc<Self>, AuthorityError> {
        let (host, _) = split_host_port(&config.advertise).ok_or_else(|| AuthorityError::Advertise { value: config.advertise.clone() })?;
        let server_names = names::server_names(host, &config.names).map_err(|value| AuthorityError::Name { value })?;
        let records = store.load()?;
        let state = State::replay(&records, now);
        let kept = state.records();
        if kept.len() < records.len() {
            store.rewrite(&kept)?; // the file grows with the fleet, not with time
        }
        tracing::info!(agents = state.agents().len(), pin = %hex(&ca.pin()), "authority ready");
        let (revocations, _) = broadcast::channel(1024);
        Ok(Arc::new(Self {
            config,
            ca,
            server_names,
            writer: Mutex::new(store),
            state: RwLock::new(state),
            revocations,
            counters: Counters::default(),
        }))
    }

    pub fn ca(&self) -> &Ca {
        &self.ca
    }
    pub fn config(&self) -> &AuthorityConfig {
        &self.config
    }
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
    /// Names and addresses in the link server's certificate.
    pub fn names(&self) -> &[String] {
        &self.server_names
    }

    /// Makes a one-use token and the line to carry it. Blocks for the journal.
    pub fn invite(&self, request: NewToken, now: Timestamp) -> Result<Invitation, AuthorityError> {
        let secret = ca::random::<32>()?;
        let token = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, secret);
        let writer = self.writer();
        if let Some(agent) = request.agent
            && self.read().agent(agent).is_none()
        {
            return Err(AuthorityError::NoAgent(agent));
        }
        self.write().forget_old_tokens(now);
        if self.read().open_tokens(now) >= self.config.tokens_max {
            return Err(AuthorityError::Tokens { limit: self.config.tokens_max });
        }
        let ttl = request.ttl_secs.unwrap_or(self.config.token_ttl_secs).clamp(1, TOKEN_TTL_SECS_MAX);
        let record = Record::Invited {
            token: hex(&token_hash(&token)),
            unit: request.unit.as_deref().map(short),
            agent: request.agent.map(|a| a.to_string()),
            at: now.secs(),
            until: now.plus_secs(ttl).secs(),
            by: short(&request.by),
        };
        self.record(&**writer, record)?;
        Ok(Invitation { address: self.config.advertise.clone(), pin: self.ca.pin(), token })
    }

    /// Takes an unused token back; `token` is its id as listed (hash, hex). Blocks for the journal.
    pub fn withdraw(&self, token: &str, by: &str, now: Timestamp) -> Result<(), AuthorityError> {
        let writer = self.writer();
        if !self.read().tokens(now).iter().any(|t| t.id == token) {
            return Err(AuthorityError::NoToken(short(token)));
        }
        self.record(&**writer, Record::Withdrawn { token: token.to_owned(), at: now.secs(), by: short(by) })
    }

    /// Tokens that can still be used.
    pub fn tokens(&self, now: Timestamp) -> Vec<TokenEntry> {
        self.read().tokens(now)
    }

    /// Serves a stranger with a token. The token is looked up before the signing request is even looked at. Blocks for the journal.
    pub fn enrol(&self, token: &str, csr: &[u8], now: Timestamp) -> Result<Issued, Refusal> {
        let outcome = self.try_enrol(token, csr, now);
        self.counters.outcome(Why::Enrolled, &outcome);
        outcome
    }

    fn try_enrol(&self, token: &str, csr: &[u8], now: Timestamp) -> Result<Issued, Refusal> {
        let hash = token_hash(token);
        self.read().check_token(&hash, now)?;
        let key = request_key(csr)?;
        let writer = self.writer();
        let (agent, unit) = {
            let state = self.read();
            let token = state.check_token(&hash, now)?;
            if let Some((agent, used_by)) = token.used {
                if used_by != key.key {
                    return Err(Refusal::TokenUsed);
                }
                if state.agent(agent).is_none_or(|a| a.revoked.is_some()) {
                    return Err(Refusal::Revoked);
                }
                (agent, token.unit)
            } else {
                match (state.owner(&key.key), token.agent) {
                    (Some(owner), Some(wanted)) if wanted != owner => return Err(Refusal::BadKey),
                    (Some(owner), None) if state.agent(owner).is_some_and(|a| a.revoked.is_some()) => return Err(Refusal::Revoked),
                    (Some(owner), _) => (owner, token.unit),
                    (None, Some(wanted)) => (wanted, token.unit),
                    (None, None) if state.agents().len() >= self.config.agents_max => return Err(Refusal::Busy),
                    (None, None) => (self.new_id(&state)?, token.unit),
                }
            }
        };
        self.issue(&**writer, agent, &key, Why::Enrolled, Some(&hash), unit, now)
    }

    /// Gives a known key a new certificate after the old one ran out. The key is looked up before the request is looked at.
    /// Blocks for the journal.
    pub fn recover(&self, print: &[u8; 32], csr: &[u8], now: Timestamp) -> Result<Issued, Refusal> {
        let outcome = self.try_recover(print, csr, now);
        self.counters.outcome(Why::Recovered, &outcome);
        outcome
    }

    fn try_recover(&self, print: &[u8; 32], csr: &[u8], now: Timestamp) -> Result<Issued, Refusal> {
        self.read().owner(print).ok_or(Refusal::KeyUnknown)?;
        let key = request_key(csr)?;
        if key.key != *print {
            return Err(Refusal::BadKey);
        }
        let writer = self.writer();
        let agent = {
            let state = self.read();
            let agent = state.owner(print).ok_or(Refusal::KeyUnknown)?;
            let entry = state.agent(agent).ok_or(Refusal::AgentUnknown)?;
            if entry.revoked.is_some() {
                return Err(Refusal::Revoked);
            }
            if entry.recoveries >= self.config.recoveries_max {
                return Err(Refusal::RecoveryLimit);
            }
            agent
        };
        self.issue(&**writer, agent, &key, Why::Recovered, None, None, now)
    }

    /// Gives an agent that is connected right now a certificate for its next key. Blocks for the journal.
    pub fn renew(&self, agent: AgentId, csr: &[u8], now: Timestamp) -> Result<Issued, Refusal> {
        let outcome = self.try_renew(agent, csr, now);
        self.counters.outcome(Why::Renewed, &outcome);
        outcome
    }

    fn try_renew(&self, agent: AgentId, csr: &[u8], now: Timestamp) -> Result<Issued, Refusal> {
        let key = request_key(csr)?;
        let writer = self.writer();
        {
            let state = self.read();
            let entry = state.agent(agent).ok_or(Refusal::AgentUnknown)?;
            if entry.revoked.is_some() {
                return Err(Refusal::Revoked);
            }
            if state.owner(&key.key).is_some_and(|owner| owner != agent) {
                return Err(Refusal::BadKey);
            }
        }
        self.issue(&**writer, agent, &key, Why::Renewed, None, None, now)
    }

    /// Whether the holder of this certificate may speak. `name` was read from a certificate rustls has verified.
    pub fn admit(&self, name: &certificate::Name) -> Result<(), Refusal> {
        let state = self.read();
        let entry = state.agent(name.agent).ok_or(Refusal::AgentUnknown)?;
        if entry.revoked.is_some() {
            return Err(Refusal::Revoked);
        }
        if !entry.keys.contains(&name.key) {
            return Err(Refusal::KeyUnknown);
        }
        Ok(())
    }

    pub fn is_revoked(&self, agent: AgentId) -> bool {
        self.read().agent(agent).is_none_or(|a| a.revoked.is_some())
    }

    /// Voids an agent's certificates; its live connection is cut. True if it was not revoked before. Blocks for the journal.
    ///
    /// # Errors
    /// The agent is unknown; or the journal cannot be written: the revocation is then in force, but only until a restart.
    pub fn revoke(&self, agent: AgentId, reason: &str, by: &str, now: Timestamp) -> Result<bool, AuthorityError> {
        let writer = self.writer();
        match self.read().agent(agent) {
            None => return Err(AuthorityError::NoAgent(agent)),
            Some(entry) if entry.revoked.is_some() => return Ok(false),
            Some(_) => {}
        }
        let record = Record::Revoked { agent: agent.to_string(), at: now.secs(), by: short(by), reason: short(reason) };
        self.write().apply(&record);
        let _ = self.revocations.send(agent); // no link server, nothing to cut
        tracing::warn!(%agent, by, "agent revoked");
        writer.append(&[record])?;
        Ok(true)
    }

    /// Agents as they are revoked. A receiver that lags must ask `is_revoked` for each agent it serves.
    pub fn revocations(&self) -> broadcast::Receiver<AgentId> {
        self.revocations.subscribe()
    }

    /// Gives an agent to another unit. Blocks for the journal.
    pub fn assign(&self, agent: AgentId, unit: Option<&str>, by: &str, now: Timestamp) -> Result<(), AuthorityError> {
        let writer = self.writer();
        if self.read().agent(agent).is_none() {
            return Err(AuthorityError::NoAgent(agent));
        }
        self.record(&**writer, Record::Moved { agent: agent.to_string(), unit: unit.map(short), at: now.secs(), by: short(by) })
    }

    /// All agents ever enrolled, by id.
    pub fn agents(&self) -> Vec<AgentEntry> {
        self.read().agents().values().cloned().collect()
    }

    pub fn agent(&self, agent: AgentId) -> Option<AgentEntry> {
        self.read().agent(agent).cloned()
    }

    pub fn unit_of(&self, agent: AgentId) -> Option<String> {
        self.read().agent(agent).and_then(|a| a.unit.clone())
    }

    fn issue(
        &self,
        writer: &dyn AuthorityStore,
        agent: AgentId,
        key: &RequestKey,
        why: Why,
        token: Option<&[u8; 32]>,
        unit: Option<String>,
        now: Timestamp,
    ) -> Result<Issued, Refusal> {
        let internal = |error: &dyn std::fmt::Display| {
            tracing::error!(%agent, %error, "certificate not issued");
            Refusal::Internal
        };
        let signed = self.ca.sign_agent(agent, &key.public, self.config.agent_validity_secs, now).map_err(|e| internal(&e))?;
        let record = Record::Issued {
            agent: agent.to_string(),
            key: hex(&key.key),
            serial: hex(&signed.serial),
            at: now.secs(),
            until: signed.not_after.secs(),
            why,
            token: token.map(|t| hex(t)),
            unit,
        };
        self.record(writer, record).map_err(|e| internal(&e))?;
        tracing::info!(%agent, ?why, not_after = %signed.not_after, "certificate issued");
        Ok(Issued { agent, certificate: signed.certificate.to_vec(), not_after: signed.not_after })
    }

    /// Journal first, memory after: what was not recorded did not happen.
    fn record(&self, writer: &dyn AuthorityStore, record: Record) -> Result<(), AuthorityError> {
        writer.append(std::slice::from_ref(&record))?;
        self.write().apply(&record);
        Ok(())
    }

    fn new_id(&self, state: &State) -> Result<AgentId, Refusal> {
        // Ids are random, so that one says nothing about the size of the fleet; a clash is as good as impossible.
        for _ in 0..16 {
            let id = AgentId(u64::from_be_bytes(ca::random::<8>().map_err(|_| Refusal::Internal)?));
            if id.0 != 0 && state.agent(id).is_none() {
                return Ok(id);
            }
        }
        Err(Refusal::Internal)
    }

    fn writer(&self) -> MutexGuard<'_, Box<dyn AuthorityStore>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("pin", &hex(&self.ca.pin())).finish_non_exhaustive()
    }
}

fn request_key(csr: &[u8]) -> Result<RequestKey, Refusal> {
    certificate::read_request(csr).ok_or(Refusal::BadKey)
}

fn token_hash(token: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"vedette enrolment token 1\0");
    hasher.update(token.as_bytes());
    hasher.finalize().into()
}

/// Cut to what is kept, at a character border.
fn short(text: &str) -> String {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default().to_owned()
}

/// The address agents stream to, as shown to operators.
pub fn link_address(config: &AuthorityConfig) -> String {
    split_host_port(&config.advertise).map_or_else(String::new, |(host, _)| join_host_port(host, config.link_port))
}

/// True if there is an authority in this folder already.
pub fn exists(dir: &Path) -> bool {
    dir.join("ca.crt").exists()
}

#[cfg(test)]
mod tests;
