//! Warnings in the words of other houses, and what other houses say in ours. Pure: bytes in, bytes out; no socket, no clock, no store.
//!
//! | file | what it is |
//! |---|---|
//! | `cap` | an issued revision as a CAP 1.2 alert (OASIS, 1 July 2010), Chinese and English |
//! | `stix` | the same as a STIX 2.1 bundle; `stix::check` says what is wrong with a bundle from elsewhere |
//! | `misp`, `ocsf`, `csv`, `idea` | the same as a MISP event, an OCSF 1.8 finding, a table of indicators, an IDEA0 message |
//! | `taxii` | a TAXII 2.1 server and client as functions from request to answer |
//! | `weakness` | CISA's list of exploited vulnerabilities and FIRST's EPSS, for grading |
//!
//! Must stay true:
//! - The same revision gives the same bytes on any machine; ids are UUIDv5 of what they name, so that the same thing told twice is one thing to
//!   whoever receives it.
//! - Nothing is told that the revision does not say: who may see which revision is decided before (a unit's is the one in its receipt).
//! - No bytes from outside panic anything; each reader has limits and names what it refuses.

pub mod cap;
mod category;
pub mod csv;
pub mod idea;
pub mod misp;
mod name;
pub mod ocsf;
pub mod stix;
pub mod taxii;
#[cfg(test)]
mod tests;
pub mod weakness;

use event::Timestamp;
use matter::notice::Step;
use matter::{Both, Revision};

pub use category::category;
pub use name::uuid5;

/// Who speaks, where the revision itself does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Unique name of this house on the net, e.g. `desk.city.example`: no blanks, commas, `<` or `&` (CAP 1.2, 3.2.1).
    pub name: String,
    /// Seconds east of UTC that times for people are written in.
    pub offset_s: i32,
}

impl Default for Sender {
    fn default() -> Self {
        Self { name: "vedette".to_owned(), offset_s: 8 * 3600 }
    }
}

/// A revision, with what came before it in the same warning.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    pub revision: &'a Revision,
    /// Number and time of the earlier revisions the reader was told of, the first first.
    pub earlier: &'a [(u32, Timestamp)],
    pub sender: &'a Sender,
}

/// Forms a revision can be had in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Cap,
    Stix,
    Misp,
    Ocsf,
    Csv,
    Idea,
}

impl Format {
    pub const ALL: [Self; 6] = [Self::Cap, Self::Stix, Self::Misp, Self::Ocsf, Self::Csv, Self::Idea];

    /// The word in the API and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cap => "cap",
            Self::Stix => "stix",
            Self::Misp => "misp",
            Self::Ocsf => "ocsf",
            Self::Csv => "csv",
            Self::Idea => "idea",
        }
    }
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Cap => "application/cap+xml",
            Self::Stix => "application/stix+json;version=2.1",
            Self::Misp | Self::Ocsf | Self::Idea => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
    /// Ending of a file of it.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Cap => "cap.xml",
            Self::Stix => "stix.json",
            Self::Misp => "misp.json",
            Self::Ocsf => "ocsf.json",
            Self::Csv => "csv",
            Self::Idea => "idea.json",
        }
    }
    pub fn write(self, told: &Told) -> String {
        match self {
            Self::Cap => cap::write(told),
            Self::Stix => pretty(&stix::bundle(told)),
            Self::Misp => pretty(&misp::event(told)),
            Self::Ocsf => pretty(&ocsf::warning(told)),
            Self::Csv => csv::write(told),
            Self::Idea => pretty(&idea::message(told)),
        }
    }
}

fn pretty(value: &serde_json::Value) -> String {
    let mut out = serde_json::to_string_pretty(value).unwrap_or_default();
    out.push('\n');
    out
}

impl Told<'_> {
    /// When the first revision that was told was issued.
    fn begun(&self) -> Timestamp {
        self.earlier.first().map_or(self.revision.issued, |(_, time)| *time)
    }
    /// `W0123456789abcdef-2`.
    fn identifier(&self, number: u32) -> String {
        format!("{}-{number}", self.revision.warning)
    }
    fn title(&self, zh: bool) -> String {
        let title = self.revision.notice.title.pick(zh);
        match (self.revision.exercise, zh) {
            (true, true) => format!("【演练】{title}"),
            (true, false) => format!("EXERCISE: {title}"),
            _ => title.to_owned(),
        }
    }
    /// The four parts that say what it is, one a paragraph.
    fn description(&self, zh: bool) -> String {
        let notice = &self.revision.notice;
        let part = |zh_head: &str, en_head: &str, text: &Both| {
            let head = if zh { zh_head } else { en_head };
            let colon = if zh { "：" } else { ": " };
            (!text.is_empty()).then(|| format!("{head}{colon}{}", text.pick(zh)))
        };
        let parts = [
            part("事件", "Event", &notice.event),
            part("威胁方式", "Threat", &notice.threat),
            part("影响范围", "Scope", &notice.scope),
            part("影响程度", "Impact", &notice.impact),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
    /// Measures, numbered; none where there are none.
    fn instruction(&self, zh: bool) -> Option<String> {
        let measures = &self.revision.notice.measures;
        let lines: Vec<String> = measures.iter().enumerate().map(|(n, m)| format!("{}. {}", n + 1, m.pick(zh))).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
    /// `red`, or `advisory`.
    fn level(&self) -> &'static str {
        self.revision.level.map_or("advisory", warning::grade::Level::name)
    }
    /// Whether hash and signature belong to what this revision says (a receipt's may have been cut down).
    fn signed(&self) -> bool {
        self.revision.hash == hex(&self.revision.hash_now())
    }
    /// It never was what it said.
    fn withdrawn(&self) -> bool {
        self.revision.step == Step::Cancel
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// RFC 3339 with milliseconds, as STIX asks for.
fn millis(time: Timestamp) -> String {
    let text = Timestamp::from_secs(time.secs()).to_string();
    format!("{}.{:03}Z", text.trim_end_matches('Z'), time.ms().rem_euclid(1000))
}
