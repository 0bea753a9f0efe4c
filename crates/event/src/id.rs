//! Who saw it and which one it was: (agent, epoch, class, sequence) names an event for good.

use std::fmt;
use std::str::FromStr;

/// An enrolled agent; taken from its certificate, never from a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AgentId(pub u64);

/// One life of an agent's spool: rises with each start, so a sequence number is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// Delivery class, and the lane of the spool an event travels in. Sequence numbers count within a lane, so a critical
/// event can overtake a backlog and each lane is still acknowledged without a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Class {
    /// Heartbeats, ledger, gaps, authentication, integrity: evicted last, sent first.
    Critical = 0,
    #[default]
    Normal = 1,
    /// Flows and plain log text: evicted first.
    Bulk = 2,
}

impl Class {
    pub const ALL: [Self; 3] = [Self::Critical, Self::Normal, Self::Bulk];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::Critical),
            1 => Some(Self::Normal),
            2 => Some(Self::Bulk),
            _ => None,
        }
    }
}

/// Name of one event: unique over all agents and for good. Text form `<agent:16 hex>-<epoch>-<c|n|b>-<seq>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventId {
    pub agent: AgentId,
    pub epoch: Epoch,
    pub class: Class,
    /// From 1 upward within (agent, epoch, class); 0 means "not yet given".
    pub seq: u64,
}

impl EventId {
    pub const NONE: Self = Self { agent: AgentId(0), epoch: Epoch(0), class: Class::Normal, seq: 0 };
}

/// Text that is no id; keeps the text for the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdError(pub String);

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not an id (agent: 16 hex digits; event: agent-epoch-c|n|b-number)", self.0)
    }
}

impl std::error::Error for IdError {}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for AgentId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 16 || !text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(IdError(text.chars().take(80).collect()));
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| IdError(text.to_owned()))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lane = match self.class {
            Class::Critical => 'c',
            Class::Normal => 'n',
            Class::Bulk => 'b',
        };
        write!(f, "{}-{}-{lane}-{}", self.agent, self.epoch.0, self.seq)
    }
}

impl FromStr for EventId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError(text.chars().take(80).collect());
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or_else(bad);
        let agent = next()?.parse().map_err(|_| bad())?;
        let epoch = Epoch(next()?.parse().map_err(|_| bad())?);
        let class = match next()? {
            "c" => Class::Critical,
            "n" => Class::Normal,
            "b" => Class::Bulk,
            _ => return Err(bad()),
        };
        let seq = next()?.parse().map_err(|_| bad())?;
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self { agent, epoch, class, seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_there_and_back() {
        let id = EventId { agent: AgentId(0xab), epoch: Epoch(7), class: Class::Bulk, seq: 99 };
        assert_eq!(id.to_string(), "00000000000000ab-7-b-99");
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        for text in ["", "xyz", "00000000000000ab-7-q-99", "00000000000000ab-7-b-99-1", "00000000000000AB-7-b-9"] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
