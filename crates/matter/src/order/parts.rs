//! The parts of an order and the acts that make them.

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::grade::Level;

use crate::{Both, Refusal, ties};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Issued,
    Delivered,
    Acknowledged,
    Feedback,
    Verified,
    Closed,
}

/// Who said yes, and for whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signed {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    /// The city entered it for the unit (after a call).
    #[serde(default)]
    pub for_unit: bool,
}

/// What the unit found and did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub round: u32,
    #[serde(default)]
    pub for_unit: bool,
    /// After the deadline.
    #[serde(default)]
    pub late: bool,
    pub affected: Affected,
    /// Objects concerned.
    pub objects: u32,
    #[serde(default)]
    pub measures: Vec<String>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
    #[serde(default)]
    pub evidence: String,
    /// Empty: none.
    #[serde(default)]
    pub help: String,
}

/// How the unit is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Affected {
    No,
    Exposed,
    Attacked,
    Damaged,
}

/// What an agent can look at by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "check", rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// Nothing listens there any more. `address`: host name or address of the host.
    PortClosed { address: String, port: u16 },
    /// The file has this SHA-256 (64 hex digits) again.
    FileRestored { host: String, path: String, hash: String },
    /// The package has this version or a newer one.
    PackageUpdated { host: String, name: String, version: String },
}

/// What an agent's facts say of one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckResult {
    /// Place in `checks`, from 0.
    pub check: usize,
    pub holds: Holds,
    /// When the agent saw it.
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
    /// What it saw.
    #[serde(default)]
    pub detail: Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    Yes,
    No,
    /// No agent there, or it does not report that.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub how: How,
    #[serde(default)]
    pub note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Manual,
    Agent,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    /// False: done. True: taken back, with the reason in `note`.
    pub withdrawn: bool,
    #[serde(default)]
    pub note: String,
}

/// A limit that passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overdue {
    pub what: Owed,
    pub round: u32,
    #[serde(with = "crate::when")]
    pub since: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    Acknowledgement,
    Feedback,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reopened {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    Issue(Issue),
    Delivered {
        #[serde(default)]
        channel: String,
        #[serde(default)]
        unit: String,
    },
    Acknowledge {},
    FeedBack {
        affected: Affected,
        #[serde(default)]
        objects: u32,
        #[serde(default)]
        measures: Vec<String>,
        #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
        done_at: Option<Timestamp>,
        #[serde(default)]
        evidence: String,
        #[serde(default)]
        help: String,
    },
    Checked {
        results: Vec<CheckResult>,
    },
    Verify {
        #[serde(default)]
        note: String,
    },
    Extend {
        #[serde(with = "crate::when")]
        deadline: Timestamp,
        reason: String,
    },
    Reopen {
        reason: String,
        #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
    },
    Close {
        #[serde(default)]
        note: String,
    },
    Withdraw {
        reason: String,
    },
    /// The desk's own, to a set: one of its orders was closed or opened again.
    Member {
        order: String,
        closed: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    pub units: Vec<String>,
    pub title: Both,
    pub todo: Vec<Both>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// None: the highest of what it is linked to, else blue's limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    #[serde(default)]
    pub exercise: bool,
    /// Who issued it, where the desk opens it for a set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issued_by: String,
}

impl Check {
    pub(super) fn sound(&self) -> Result<(), Refusal> {
        let line = |value: &str, en: &str, zh: &str| ties::text(value, 1024, en, zh).map(|_| ());
        match self {
            Self::PortClosed { address, port } => {
                line(address, "address", "地址")?;
                if *port == 0 {
                    return Err(Refusal::because("port 0 is no port", "端口不能为 0"));
                }
                Ok(())
            }
            Self::FileRestored { host, path, hash } => {
                line(host, "host", "主机")?;
                line(path, "path", "路径")?;
                if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(Refusal::because("'hash' is a SHA-256: 64 hex digits", "“hash”须为 SHA-256，64 位十六进制"));
                }
                Ok(())
            }
            Self::PackageUpdated { host, name, version } => {
                line(host, "host", "主机")?;
                line(name, "name", "软件包")?;
                line(version, "version", "版本")
            }
        }
    }

    /// In words.
    pub fn about(&self) -> Both {
        match self {
            Self::PortClosed { address, port } => {
                Both::new(format!("{address} 的端口 {port} 已关闭"), format!("port {port} of {address} is closed"))
            }
            Self::FileRestored { host, path, .. } => Both::new(format!("{host} 的 {path} 已恢复"), format!("{path} of {host} is restored")),
            Self::PackageUpdated { host, name, version } => {
                Both::new(format!("{host} 的 {name} 已升级到 {version}"), format!("{name} of {host} is at {version} or newer"))
            }
        }
    }
}
