//! What a warning says, and one signed revision of it: the form every receipt, message and export is made of.

use std::fmt;

use event::Timestamp;
use serde::{Deserialize, Serialize};
use warning::AlertReason;
use warning::grade::Level;

use crate::disclose::Disclosed;

/// Text in both languages of the house.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Both {
    pub zh: String,
    #[serde(default)]
    pub en: String,
}

impl Both {
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }
    pub fn is_empty(&self) -> bool {
        self.zh.is_empty() && self.en.is_empty()
    }
    /// In one language; in the other where that is all there is.
    pub fn pick(&self, zh: bool) -> &str {
        match (zh, self.zh.is_empty(), self.en.is_empty()) {
            (true, false, _) | (false, _, true) => &self.zh,
            _ => &self.en,
        }
    }
}

impl fmt::Display for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pick(false))
    }
}

/// Traffic Light Protocol 2.0 (FIRST, 2022): who may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Tlp {
    #[serde(rename = "clear")]
    Clear,
    #[serde(rename = "green")]
    Green,
    #[default]
    #[serde(rename = "amber")]
    Amber,
    #[serde(rename = "amber+strict")]
    AmberStrict,
    #[serde(rename = "red")]
    Red,
}

impl Tlp {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Green => "green",
            Self::Amber => "amber",
            Self::AmberStrict => "amber+strict",
            Self::Red => "red",
        }
    }
}

/// Permissible Actions Protocol: what may be done with it (red: look only; clear: anything).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pap {
    Clear,
    Green,
    #[default]
    Amber,
    Red,
}

impl Pap {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Green => "green",
            Self::Amber => "amber",
            Self::Red => "red",
        }
    }
}

/// How sure the issuer is: CAP's Observed, Likely, Possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    Observed,
    Likely,
    #[default]
    Possible,
}

/// What a warning says (GB/T 32924-2016 5.1): nature of the event, threat mode, scope, objects concerned, impact, countermeasures.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    pub title: Both,
    /// GB/T 20986-2023 code, e.g. `01007`; empty where none fits.
    #[serde(default)]
    pub category: String,
    /// What happens.
    pub event: Both,
    /// How it works: technique, way in, indicators in words.
    #[serde(default)]
    pub threat: Both,
    /// Where it is seen or expected; never names a victim.
    #[serde(default)]
    pub scope: Both,
    #[serde(default)]
    pub impact: Both,
    /// What to do, one entry a measure.
    #[serde(default)]
    pub measures: Vec<Both>,
    /// Indicators to look for: `{type, value}` with STIX cyber-observable types (`ipv4-addr`, `domain-name`, `url`, `file:hashes.SHA-256`).
    #[serde(default)]
    pub indicators: Vec<Indicator>,
    /// ATT&CK technique ids.
    #[serde(default)]
    pub techniques: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indicator {
    pub r#type: String,
    pub value: String,
}

/// Why there is this revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// 发布
    Issue,
    /// 更新
    Update,
    /// 升级
    Upgrade,
    /// 降级
    Downgrade,
    /// 延期
    Extend,
    /// 解除
    Lift,
    /// 撤销: it was an error.
    Cancel,
    /// 到期
    Expire,
}

impl Step {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Update => "update",
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Extend => "extend",
            Self::Lift => "lift",
            Self::Cancel => "cancel",
            Self::Expire => "expire",
        }
    }
    /// After it the warning is over.
    pub const fn ends(self) -> bool {
        matches!(self, Self::Lift | Self::Cancel | Self::Expire)
    }
}

/// One revision of an issued warning: never changed, signed, chained to the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Id of the warning.
    pub warning: String,
    /// 1 for the first.
    pub number: u32,
    pub step: Step,
    /// None: an advisory (风险提示), which has no colour.
    pub level: Option<Level>,
    pub notice: Notice,
    pub certainty: Certainty,
    /// Name of the issuing body.
    pub issuer: Both,
    pub drafted_by: String,
    /// The second person, where the level asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    #[serde(with = "crate::when")]
    pub issued: Timestamp,
    /// When it is looked at again, and when it ends unless extended.
    #[serde(with = "crate::when")]
    pub review: Timestamp,
    #[serde(with = "crate::when")]
    pub expires: Timestamp,
    /// Time limits stated in it, seconds from `issued`: sign for it; first feedback.
    pub receipt_s: u32,
    pub feedback_s: u32,
    /// Units it goes to.
    pub units: Vec<String>,
    /// Sectors named in it; a sector is named only where enough of its units take part.
    #[serde(default)]
    pub sectors: Vec<String>,
    pub tlp: Tlp,
    pub pap: Pap,
    pub reasons: Vec<AlertReason>,
    /// In a unit's copy: what that unit may learn of the case beside the text, as it was known when this revision was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disclosed: Option<Box<Disclosed>>,
    #[serde(default)]
    pub exercise: bool,
    /// BLAKE3 of the revision before, hex; empty for the first.
    pub previous: String,
    /// BLAKE3 of this revision without `hash`, `key` and `signature`, as JSON with sorted keys, hex.
    pub hash: String,
    /// Id of the signing key and its Ed25519 signature of `hash` (the 32 bytes), base64.
    pub key: String,
    pub signature: String,
}

impl Revision {
    /// The bytes that are hashed: everything but hash, key and signature, keys sorted.
    pub fn canonical(&self) -> Vec<u8> {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            for key in ["hash", "key", "signature"] {
                object.remove(key);
            }
        }
        // serde_json's maps are sorted by key.
        serde_json::to_vec(&value).unwrap_or_default()
    }

    pub fn hash_now(&self) -> [u8; 32] {
        *blake3::hash(&self.canonical()).as_bytes()
    }
}
