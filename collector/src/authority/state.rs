//! The register in memory: what the journal's records add up to. Pure: a record in, a state out.

use super::KEYS_MAX;
use super::journal::{Record, Why};
use agent::identity::Refusal;
use agent::identity::message::{from_hex, hex};
use event::{AgentId, Timestamp};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// An agent as the register knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentEntry {
    pub agent: AgentId,
    pub unit: Option<String>,
    pub enrolled: Timestamp,
    /// Last certificate: issued, valid until, and on which occasion.
    pub issued: Timestamp,
    pub not_after: Timestamp,
    pub serial: String,
    pub why: Why,
    /// SHA-256 of the public keys it may come with, newest last; at most `KEYS_MAX`.
    pub keys: VecDeque<[u8; 32]>,
    /// Since the last renewal over the link.
    pub recoveries: u32,
    pub revoked: Option<Revocation>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub at: Timestamp,
    pub by: String,
    pub reason: String,
}

/// A token that can still be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEntry {
    /// Hash of the token, hex: names it without being it.
    pub id: String,
    pub unit: Option<String>,
    pub agent: Option<AgentId>,
    pub made: Timestamp,
    pub until: Timestamp,
    pub by: String,
}

/// What enrolment needs to know of a token.
pub(super) struct TokenView {
    pub unit: Option<String>,
    pub agent: Option<AgentId>,
    /// By which agent and key it was used.
    pub used: Option<(AgentId, [u8; 32])>,
}

#[derive(Debug, Clone)]
struct Token {
    entry: TokenEntry,
    used: Option<(AgentId, [u8; 32])>,
    withdrawn: bool,
}

/// A token is remembered for a day after its end, to say "run out" or "used" rather than "unknown".
const TOKEN_MEMORY_SECS: i64 = 86_400;

#[derive(Debug, Default)]
pub(super) struct State {
    tokens: HashMap<[u8; 32], Token>,
    agents: BTreeMap<AgentId, AgentEntry>,
    keys: HashMap<[u8; 32], AgentId>,
}

/// What of these records still matters: the fewest that give the same state.
pub fn compact(records: &[Record], now: Timestamp) -> Vec<Record> {
    State::replay(records, now).records()
}

impl State {
    pub(super) fn replay(records: &[Record], now: Timestamp) -> Self {
        let mut state = Self::default();
        records.iter().for_each(|r| state.apply(r));
        state.forget_old_tokens(now);
        state
    }

    /// Records whose replay gives this state again.
    pub(super) fn records(&self) -> Vec<Record> {
        let tokens = self.tokens.values().map(|t| Record::Token {
            token: t.entry.id.clone(),
            unit: t.entry.unit.clone(),
            agent: t.entry.agent.map(|a| a.to_string()),
            at: t.entry.made.secs(),
            until: t.entry.until.secs(),
            by: t.entry.by.clone(),
            used: t.used.map(|(agent, key)| (agent.to_string(), hex(&key))),
            withdrawn: t.withdrawn,
        });
        let agents = self.agents.values().flat_map(|a| {
            let agent = Record::Agent {
                agent: a.agent.to_string(),
                unit: a.unit.clone(),
                enrolled: a.enrolled.secs(),
                at: a.issued.secs(),
                until: a.not_after.secs(),
                serial: a.serial.clone(),
                why: a.why,
                keys: a.keys.iter().map(|k| hex(k)).collect(),
                recoveries: a.recoveries,
            };
            let revoked = a.revoked.as_ref().map(|r| Record::Revoked {
                agent: a.agent.to_string(),
                at: r.at.secs(),
                by: r.by.clone(),
                reason: r.reason.clone(),
            });
            std::iter::once(agent).chain(revoked)
        });
        tokens.chain(agents).collect()
    }

    /// Takes a record in. One whose ids cannot be read changes nothing: the journal's checksum says it was written so.
    pub(super) fn apply(&mut self, record: &Record) {
        let id = |text: &str| text.parse::<AgentId>().ok();
        match record {
            Record::Invited { token, unit, agent, at, until, by } => {
                self.put_token((token, unit, agent.as_deref().and_then(id), *at, *until, by), None, false);
            }
            Record::Token { token, unit, agent, at, until, by, used, withdrawn } => {
                let used = used.as_ref().and_then(|(agent, key)| Some((id(agent)?, from_hex(key)?)));
                self.put_token((token, unit, agent.as_deref().and_then(id), *at, *until, by), used, *withdrawn);
            }
            Record::Withdrawn { token, .. } => {
                if let Some(token) = from_hex(token).and_then(|h| self.tokens.get_mut(&h)) {
                    token.withdrawn = true;
                }
            }
            Record::Issued { agent, key, serial, at, until, why, token, unit } => {
                let (Some(agent), Some(key)) = (id(agent), from_hex(key)) else { return };
                if let Some(token) = token.as_deref().and_then(from_hex).and_then(|h| self.tokens.get_mut(&h)) {
                    token.used = Some((agent, key));
                }
                self.issued(agent, key, serial, Timestamp::from_secs(*at), Timestamp::from_secs(*until), *why, unit);
            }
            Record::Agent { agent, unit, enrolled, at, until, serial, why, keys, recoveries } => {
                let Some(agent) = id(agent) else { return };
                let keys: VecDeque<_> = keys.iter().filter_map(|k| from_hex(k)).collect();
                self.keys.extend(keys.iter().map(|k| (*k, agent)));
                let entry = AgentEntry {
                    agent,
                    unit: unit.clone(),
                    enrolled: Timestamp::from_secs(*enrolled),
                    issued: Timestamp::from_secs(*at),
                    not_after: Timestamp::from_secs(*until),
                    serial: serial.clone(),
                    why: *why,
                    keys,
                    recoveries: *recoveries,
                    revoked: None,
                };
                self.agents.insert(agent, entry);
            }
            Record::Revoked { agent, at, by, reason } => {
                if let Some(entry) = id(agent).and_then(|a| self.agents.get_mut(&a)) {
                    entry.revoked = Some(Revocation { at: Timestamp::from_secs(*at), by: by.clone(), reason: reason.clone() });
                }
            }
            Record::Moved { agent, unit, .. } => {
                if let Some(entry) = id(agent).and_then(|a| self.agents.get_mut(&a)) {
                    entry.unit = unit.clone();
                }
            }
        }
    }

    fn put_token(
        &mut self,
        (id, unit, agent, at, until, by): (&str, &Option<String>, Option<AgentId>, i64, i64, &str),
        used: Option<(AgentId, [u8; 32])>,
        withdrawn: bool,
    ) {
        let Some(hash) = from_hex(id) else { return };
        let (made, until) = (Timestamp::from_secs(at), Timestamp::from_secs(until));
        let entry = TokenEntry { id: id.to_owned(), unit: unit.clone(), agent, made, until, by: by.to_owned() };
        self.tokens.insert(hash, Token { entry, used, withdrawn });
    }

    fn issued(&mut self, agent: AgentId, key: [u8; 32], serial: &str, at: Timestamp, until: Timestamp, why: Why, unit: &Option<String>) {
        let entry = self.agents.entry(agent).or_insert_with(|| AgentEntry {
            agent,
            unit: None,
            enrolled: at,
            issued: at,
            not_after: until,
            serial: String::new(),
            why,
            keys: VecDeque::new(),
            recoveries: 0,
            revoked: None,
        });
        (entry.issued, entry.not_after, entry.why) = (at, until, why);
        entry.serial = serial.to_owned();
        match why {
            Why::Enrolled => {
                // A new beginning: keys of an earlier life are forgotten, a revocation is lifted (an operator made the token).
                for old in entry.keys.drain(..) {
                    self.keys.remove(&old);
                }
                entry.revoked = None;
                entry.recoveries = 0;
                if unit.is_some() {
                    entry.unit = unit.clone();
                }
            }
            Why::Renewed => entry.recoveries = 0,
            Why::Recovered => entry.recoveries = entry.recoveries.saturating_add(1),
        }
        entry.keys.retain(|k| *k != key);
        entry.keys.push_back(key);
        self.keys.insert(key, agent);
        while entry.keys.len() > KEYS_MAX {
            if let Some(oldest) = entry.keys.pop_front() {
                self.keys.remove(&oldest);
            }
        }
    }

    /// Whether a token may be used, by whom it was if it was.
    pub(super) fn check_token(&self, hash: &[u8; 32], now: Timestamp) -> Result<TokenView, Refusal> {
        let token = self.tokens.get(hash).filter(|t| !t.withdrawn).ok_or(Refusal::TokenUnknown)?;
        if now >= token.entry.until {
            return Err(if token.used.is_some() { Refusal::TokenUsed } else { Refusal::TokenExpired });
        }
        Ok(TokenView { unit: token.entry.unit.clone(), agent: token.entry.agent, used: token.used })
    }

    /// Tokens that can still be used, oldest first.
    pub(super) fn tokens(&self, now: Timestamp) -> Vec<TokenEntry> {
        let mut open: Vec<_> = self.tokens.values().filter(|t| t.is_open(now)).map(|t| t.entry.clone()).collect();
        open.sort_by(|a, b| (a.made, &a.id).cmp(&(b.made, &b.id)));
        open
    }

    pub(super) fn open_tokens(&self, now: Timestamp) -> usize {
        self.tokens.values().filter(|t| t.is_open(now)).count()
    }

    pub(super) fn forget_old_tokens(&mut self, now: Timestamp) {
        self.tokens.retain(|_, t| now < t.entry.until.plus_secs(TOKEN_MEMORY_SECS));
    }

    pub(super) fn agents(&self) -> &BTreeMap<AgentId, AgentEntry> {
        &self.agents
    }
    pub(super) fn agent(&self, agent: AgentId) -> Option<&AgentEntry> {
        self.agents.get(&agent)
    }
    /// The agent a key belongs to.
    pub(super) fn owner(&self, key: &[u8; 32]) -> Option<AgentId> {
        self.keys.get(key).copied()
    }
}

impl Token {
    fn is_open(&self, now: Timestamp) -> bool {
        self.used.is_none() && !self.withdrawn && now < self.entry.until
    }
}
