//! The client: one collection of another server, page by page, as a state machine. Whoever owns a socket sends what `request` says and hands the
//! answer in.
//!
//! Must stay true: it ends. Pages, bytes and objects are bounded, a page that comes again ends it, and a server that asks for patience is asked
//! again a bounded number of times.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::MEDIA_TYPE;
use crate::stix::check::{Checked, check};

/// How much of a collection is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub pages_max: u32,
    pub bytes_max: usize,
    pub objects_max: usize,
    /// Objects asked for at a time.
    pub page: u32,
    /// Times a server may ask to be asked again.
    pub waits_max: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { pages_max: 10_000, bytes_max: 256 * 1024 * 1024, objects_max: 2_000_000, page: 1_000, waits_max: 10 }
    }
}

/// A collection that is being read.
#[derive(Debug)]
pub struct Pull {
    objects_url: String,
    after: Option<String>,
    next: Option<String>,
    /// Hashes of pages with where each leads: a server may name every page alike (medallion does), but not give one twice.
    seen: BTreeSet<[u8; 32]>,
    bounds: Bounds,
    pages: u32,
    waits: u32,
    bytes: usize,
    objects: Vec<Box<RawValue>>,
}

/// What to do after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send the next request.
    Ask,
    /// Send the same request again after this many seconds.
    Wait(u64),
    /// Everything is there.
    Done,
}

/// Why it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the server refused the credentials (status {0}); set user and password_file, or token_file")]
    Denied(u16),
    #[error("there is no such collection for this account (status 404); look at <api root>/collections/")]
    Missing,
    #[error("the server answered with status {0}")]
    Status(u16),
    #[error("the answer is '{0}', not TAXII 2.1; is the address that of an API root?")]
    MediaType(String),
    #[error("the answer is no TAXII envelope: {0}")]
    Envelope(String),
    #[error("the server's pages go in a circle")]
    Circle,
    #[error("the server says there is more and not where")]
    NoNext,
    #[error("more than {0} {1}")]
    TooMuch(usize, &'static str),
    #[error("the server asked for patience {0} times")]
    Patience(u32),
}

/// A page and where it leads.
fn page(step: &str, body: &[u8]) -> [u8; 32] {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    hash.update(step.as_bytes());
    hash.update(b"\n");
    hash.update(body);
    hash.finish().as_ref().try_into().unwrap_or_default()
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    more: bool,
    #[serde(default)]
    next: Option<String>,
    #[serde(borrow, default)]
    objects: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    id: String,
}

/// Seconds one waits at most because a server says so.
const WAIT_MAX_S: u64 = 600;

impl Pull {
    /// `root` is an API root, `after` a moment in RFC 3339 from which on it is read.
    pub fn new(root: &str, collection: &str, after: Option<String>, bounds: Bounds) -> Self {
        Self {
            objects_url: format!("{}/collections/{}/objects/", root.trim_end_matches('/'), encode(collection)),
            after,
            next: None,
            seen: BTreeSet::new(),
            bounds,
            pages: 0,
            waits: 0,
            bytes: 0,
            objects: Vec::new(),
        }
    }

    /// The address to get, with `Accept: application/taxii+json;version=2.1`.
    pub fn request(&self) -> String {
        let mut url = format!("{}?limit={}", self.objects_url, self.bounds.page);
        if let Some(after) = &self.after {
            url.push_str(&format!("&added_after={}", encode(after)));
        }
        if let Some(next) = &self.next {
            url.push_str(&format!("&next={}", encode(next)));
        }
        url
    }

    /// Takes an answer. `last` is `X-TAXII-Date-Added-Last`, for servers that page by time.
    pub fn answer(
        &mut self,
        status: u16,
        media_type: &str,
        retry_after: Option<&str>,
        last: Option<&str>,
        body: &[u8],
    ) -> Result<Next, Fault> {
        match status {
            200 | 206 => {}
            401 | 403 => return Err(Fault::Denied(status)),
            404 => return Err(Fault::Missing),
            429 | 503 => {
                self.waits += 1;
                if self.waits > self.bounds.waits_max {
                    return Err(Fault::Patience(self.waits));
                }
                let said = retry_after.and_then(|s| s.trim().parse::<u64>().ok());
                return Ok(Next::Wait(said.unwrap_or(30).clamp(1, WAIT_MAX_S)));
            }
            other => return Err(Fault::Status(other)),
        }
        let media: String = media_type.to_ascii_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
        if !media.starts_with(MEDIA_TYPE) && !media.starts_with("application/taxii+json") {
            return Err(Fault::MediaType(media.chars().take(60).collect()));
        }
        self.pages += 1;
        self.bytes = self.bytes.saturating_add(body.len());
        if self.pages > self.bounds.pages_max {
            return Err(Fault::TooMuch(self.bounds.pages_max as usize, "pages"));
        }
        if self.bytes > self.bounds.bytes_max {
            return Err(Fault::TooMuch(self.bounds.bytes_max, "bytes"));
        }
        let envelope: Envelope = serde_json::from_slice(body).map_err(|e| Fault::Envelope(e.to_string()))?;
        if self.objects.len() + envelope.objects.len() > self.bounds.objects_max {
            return Err(Fault::TooMuch(self.bounds.objects_max, "objects"));
        }
        let got = envelope.objects.len();
        self.objects.extend(envelope.objects.into_iter().map(ToOwned::to_owned));
        if !envelope.more {
            return Ok(Next::Done);
        }
        let step = match (envelope.next.filter(|n| !n.is_empty()), last) {
            (Some(next), _) => {
                self.next = Some(next.clone());
                next
            }
            (None, Some(last)) if got > 0 => {
                self.next = None;
                self.after = Some(last.to_owned());
                format!("after {last}")
            }
            _ => return Err(Fault::NoNext),
        };
        if self.seen.insert(page(&step, body)) { Ok(Next::Ask) } else { Err(Fault::Circle) }
    }

    /// How many objects are there so far.
    pub fn len(&self) -> usize {
        self.objects.len()
    }
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The same without the objects that are no valid STIX 2.1, and what is wrong with those.
    pub fn sound(&self) -> (String, Checked) {
        let checked = check(&self.bundle());
        let faulty: BTreeSet<&str> = checked.faults.iter().map(|f| f.object.as_str()).collect();
        // An object without an id cannot be told from others: it says so itself.
        let good = |raw: &RawValue| {
            let head = serde_json::from_str::<Head>(raw.get());
            head.is_ok_and(|h| !h.id.is_empty() && !faulty.contains(h.id.as_str()))
        };
        let text = if checked.faults.is_empty() { self.bundle() } else { self.written(good) };
        (text, checked)
    }

    /// What was read, as a bundle that the readers of indicators know.
    pub fn bundle(&self) -> String {
        self.written(|_| true)
    }

    fn written(&self, keep: impl Fn(&RawValue) -> bool) -> String {
        let id = crate::uuid5(&["pull", &self.objects_url]);
        let mut out = format!("{{\"type\":\"bundle\",\"id\":\"bundle--{id}\",\"objects\":[");
        for (n, object) in self.objects.iter().filter(|o| keep(o)).enumerate() {
            out.push_str(if n == 0 { "\n" } else { ",\n" });
            out.push_str(object.get());
        }
        out.push_str("\n]}\n");
        out
    }
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}
