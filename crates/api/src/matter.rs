//! Matters: warnings, receipts, incidents, orders and the rest of what people work on. One shape for all; what each kind holds is in `body`.

use ::matter::{ActRow, Input, KINDS, Kind, Permission};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::alert::BothTexts;

/// One matter. `ETag` is its revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Matter {
    pub kind: String,
    pub id: String,
    pub revision: u64,
    /// Fixed word of its kind.
    pub state: String,
    /// Nothing more will happen to it by itself.
    pub closed: bool,
    /// blue, yellow, orange, red.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    pub title: BothTexts,
    pub units: Vec<String>,
    /// A drill's.
    pub exercise: bool,
    pub opened: String,
    pub updated: String,
    /// When time alone changes it next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    pub links: Vec<String>,
    /// Words of the acts the caller's role has; the state may still refuse one. Not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<String>,
    /// What the kind holds. In lists only with `full=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub body: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MatterPage {
    pub items: Vec<Matter>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One act on a matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MatterEntry {
    /// Revision this act made.
    pub revision: u64,
    pub time: String,
    pub by: String,
    pub act: String,
    #[schema(value_type = Object)]
    pub body: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MatterHistory {
    pub items: Vec<MatterEntry>,
}

/// What an act did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MatterOutcome {
    pub matter: Matter,
    pub opened: bool,
    /// Only said what it would do.
    pub dry_run: bool,
    /// Matters changed with it, this one included.
    pub changed: u64,
    /// Messages that went into the queue.
    pub messages: u64,
}

/// An address of matters: what the router mounts, the gate asks and the document prints.
pub struct MatterRoute {
    pub method: crate::Method,
    pub path: String,
    pub permission: Permission,
    pub kind: &'static Kind,
    pub what: MatterWhat,
}

#[derive(Debug, Clone, Copy)]
pub enum MatterWhat {
    List,
    One,
    History,
    /// Opens a new one.
    Open(&'static ActRow),
    Act(&'static ActRow),
}

impl MatterWhat {
    /// For logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "listMatters",
            Self::One => "getMatter",
            Self::History => "listMatterHistory",
            Self::Open(_) => "openMatter",
            Self::Act(_) => "actOnMatter",
        }
    }
}

/// Every address, from the table of kinds. What only the desk itself does has none.
pub fn matter_routes() -> Vec<MatterRoute> {
    use crate::Method::{Get, Post};
    let mut all = Vec::new();
    for kind in KINDS {
        let base = format!("/api/v1/{}", kind.plural);
        let mut row = |method, path: String, permission, what| all.push(MatterRoute { method, path, permission, kind, what });
        row(Get, base.clone(), kind.read, MatterWhat::List);
        row(Get, format!("{base}/{{id}}"), kind.read, MatterWhat::One);
        row(Get, format!("{base}/{{id}}/history"), kind.read, MatterWhat::History);
        for act in kind.acts {
            let Some(right) = act.right else { continue };
            let (path, what) = if act.opens {
                (format!("{base}/{}", act.word), MatterWhat::Open(act))
            } else {
                (format!("{base}/{{id}}/{}", act.word), MatterWhat::Act(act))
            };
            row(Post, path, right, what);
        }
    }
    all
}

/// Permission and name of a matter's address as matched.
pub fn find_matter(method: &str, path: &str) -> Option<(Permission, &'static str)> {
    let method = if method == "HEAD" { "GET" } else { method };
    let rest = path.strip_prefix("/api/v1/")?;
    let kind = KINDS.iter().find(|k| rest.strip_prefix(k.plural).is_some_and(|r| r.is_empty() || r.starts_with('/')))?;
    let rest = rest.strip_prefix(kind.plural)?;
    match (method, rest.trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice()) {
        ("GET", [""]) => Some((kind.read, MatterWhat::List.name())),
        ("GET", ["{id}"]) => Some((kind.read, MatterWhat::One.name())),
        ("GET", ["{id}", "history"]) => Some((kind.read, MatterWhat::History.name())),
        ("POST", [word]) => kind.acts.iter().find(|a| a.opens && a.word == *word).and_then(|a| Some((a.right?, "openMatter"))),
        ("POST", ["{id}", word]) => kind.acts.iter().find(|a| !a.opens && a.word == *word).and_then(|a| Some((a.right?, "actOnMatter"))),
        _ => None,
    }
}

/// A field's shape in words.
pub const fn shape(input: Input) -> &'static str {
    match input {
        Input::Line | Input::Text => "text",
        Input::Number => "number",
        Input::Yes => "true or false",
        Input::Time => "RFC 3339 time",
        Input::Choice(_) => "one of a few words",
        Input::Words => "list of texts",
        Input::Both => "{zh, en}",
        Input::Boths => "list of {zh, en}",
        Input::Json => "JSON",
    }
}
