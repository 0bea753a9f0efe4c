//! The server: discovery, one API root (`desk`), its collections, their objects, manifests, single objects and versions.
//!
//! Must stay true:
//! - What exists for a caller is what [`Shelf`] shows that caller; a collection outside it and one that is not there get the same bytes.
//! - Objects come in the order they were added (then by id and version); a page ends with a token that names the last one, so that what is
//!   added meanwhile is neither skipped nor told twice.
//! - Nothing is written through it: POST and DELETE are refused.
//!
//! Limits: `PAGE_MAX` objects a page, `OBJECTS_MAX` objects a collection (the newest are kept), `WORDS_MAX` words in a filter.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::Timestamp;
use serde_json::{Value, json};

use super::{MEDIA_TYPE, STIX_MEDIA_TYPE};

/// Objects of a page, where the caller names no limit and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;
/// Objects looked at of one collection.
pub const OBJECTS_MAX: usize = 200_000;
/// Words of one filter.
const WORDS_MAX: usize = 100;
/// The API root.
const ROOT: &str = "desk";

/// A request, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    /// Below `/taxii2/`, without it: `desk/collections/`.
    pub path: &'a str,
    /// As it stands behind the question mark.
    pub query: &'a str,
    pub accept: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Besides `content-type`, which is always that of TAXII.
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// What one caller may see.
pub trait Shelf {
    fn title(&self) -> String;
    fn collections(&self) -> Vec<Collection>;
    /// Objects of one of those, in any order.
    fn records(&self, collection: &str) -> Vec<Record>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// A UUID.
    pub id: String,
    /// A name people can write instead.
    pub alias: String,
    pub title: String,
    pub description: String,
}

/// One version of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub added: Timestamp,
    pub object: Value,
}

/// Objects that came at one time.
pub fn records(added: Timestamp, objects: Vec<Value>) -> impl Iterator<Item = Record> {
    objects.into_iter().map(move |object| Record { added, object })
}

impl Record {
    fn id(&self) -> &str {
        self.object["id"].as_str().unwrap_or_default()
    }
    fn kind(&self) -> &str {
        self.object["type"].as_str().unwrap_or_default()
    }
    fn version(&self) -> String {
        let said = self.object["modified"].as_str().or_else(|| self.object["created"].as_str());
        said.map_or_else(|| micros(self.added), str::to_owned)
    }
}

/// The answer to a request. The caller has been identified; one who is nobody never comes here.
pub fn serve(request: &Request, shelf: &dyn Shelf) -> Answer {
    if !accepts(request.accept) {
        return error(406, "this server speaks TAXII 2.1", &format!("send Accept: {MEDIA_TYPE}"));
    }
    let parts: Vec<&str> = request.path.split('/').filter(|p| !p.is_empty()).collect();
    let known = matches!(
        parts.as_slice(),
        [] | [ROOT]
            | [ROOT, "collections"]
            | [ROOT, "collections", _]
            | [ROOT, "collections", _, "manifest" | "objects"]
            | [ROOT, "collections", _, "objects", _]
            | [ROOT, "collections", _, "objects", _, "versions"]
    );
    if !known {
        return missing();
    }
    match parts.as_slice() {
        [] if request.method == "GET" => ok(&json!({
            "title": shelf.title(), "description": "graded warnings of this desk, one collection for each audience",
            "default": format!("/taxii2/{ROOT}/"), "api_roots": [format!("/taxii2/{ROOT}/")],
        })),
        [_] if request.method == "GET" => ok(&json!({ "title": shelf.title(), "versions": [MEDIA_TYPE], "max_content_length": 0 })),
        [_, _] if request.method == "GET" => {
            let all: Vec<Value> = shelf.collections().iter().map(described).collect();
            ok(&if all.is_empty() { json!({}) } else { json!({ "collections": all }) })
        }
        [_, _, name, rest @ ..] => match shelf.collections().into_iter().find(|c| c.id == *name || c.alias == *name) {
            None => missing(),
            Some(_) if request.method != "GET" => error(403, "nothing can be written here", "this collection is for reading"),
            Some(collection) => of_collection(request, shelf, &collection, rest),
        },
        _ => error(405, "only GET is answered here", "nothing can be written to this server"),
    }
}

fn of_collection(request: &Request, shelf: &dyn Shelf, collection: &Collection, rest: &[&str]) -> Answer {
    if rest.is_empty() {
        return ok(&described(collection));
    }
    let filter = match Filter::read(request.query) {
        Ok(filter) => filter,
        Err(why) => return error(400, "a parameter cannot be read", &why),
    };
    let mut all = sorted(shelf.records(&collection.id));
    if let [_, id, ..] = rest {
        all.retain(|(_, r)| r.id() == *id);
        if all.is_empty() {
            return missing();
        }
    }
    let versions_only = rest.len() == 3;
    let chosen = if versions_only { all } else { filter.chosen(all) };
    let (page, more) = filter.page(chosen);
    let mut headers = Vec::new();
    if let (Some((first, _)), Some((last, _))) = (page.first(), page.last()) {
        headers.push(("x-taxii-date-added-first", micros(first.0)));
        headers.push(("x-taxii-date-added-last", micros(last.0)));
    }
    let next = page.last().filter(|_| more).map(|(key, _)| token(key));
    let list: Vec<Value> = page
        .into_iter()
        .map(|(_, r)| match rest {
            ["manifest"] => json!({ "id": r.id(), "date_added": micros(r.added), "version": r.version(), "media_type": STIX_MEDIA_TYPE }),
            _ if versions_only => json!(r.version()),
            _ => r.object,
        })
        .collect();
    let mut body = serde_json::Map::new();
    if let Some(next) = next {
        body.insert("more".into(), json!(true));
        body.insert("next".into(), json!(next));
    }
    if !list.is_empty() {
        body.insert(if versions_only { "versions" } else { "objects" }.into(), json!(list));
    }
    Answer { headers, ..ok(&Value::Object(body)) }
}

/// Added, id, version: the order of a collection.
type Key = (Timestamp, String, String);

/// In order, each version of an object once, as it first came.
fn sorted(records: Vec<Record>) -> Vec<(Key, Record)> {
    let mut all: Vec<(Key, Record)> = records.into_iter().map(|r| ((r.added, r.id().to_owned(), r.version()), r)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let mut seen = BTreeSet::new();
    all.retain(|((_, id, version), _)| seen.insert((id.clone(), version.clone())));
    let over = all.len().saturating_sub(OBJECTS_MAX);
    all.drain(..over);
    all
}

#[derive(Default)]
struct Filter {
    after: Option<Timestamp>,
    limit: Option<usize>,
    next: Option<Key>,
    ids: Vec<String>,
    types: Vec<String>,
    versions: Vec<String>,
    specs: Vec<String>,
}

impl Filter {
    fn read(query: &str) -> Result<Self, String> {
        let mut out = Self::default();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name), decode(value));
            let words = || -> Result<Vec<String>, String> {
                let list: Vec<String> = value.split(',').filter(|w| !w.is_empty()).map(str::to_owned).collect();
                if list.is_empty() || list.len() > WORDS_MAX { Err(format!("{name} has 1 to {WORDS_MAX} values")) } else { Ok(list) }
            };
            match name.as_str() {
                "added_after" => {
                    out.after = Some(Timestamp::parse_rfc3339(&value).ok_or("added_after is no time such as 2026-11-23T12:00:00.000Z")?)
                }
                "limit" => out.limit = Some(value.parse().ok().filter(|n| *n > 0).ok_or("limit is a whole number above 0")?),
                "next" => out.next = Some(position(&value).ok_or("next is not of this server")?),
                "match[id]" => out.ids = words()?,
                "match[type]" => out.types = words()?,
                "match[version]" => out.versions = words()?,
                "match[spec_version]" => out.specs = words()?,
                _ => return Err(format!("there is no parameter '{}'", name.chars().take(40).collect::<String>())),
            }
        }
        Ok(out)
    }

    fn chosen(&self, all: Vec<(Key, Record)>) -> Vec<(Key, Record)> {
        let mut ends: BTreeMap<String, (String, String)> = BTreeMap::new();
        for ((_, id, version), _) in &all {
            let (first, last) = ends.entry(id.clone()).or_insert_with(|| (version.clone(), version.clone()));
            if version < first {
                first.clone_from(version);
            }
            if version > last {
                last.clone_from(version);
            }
        }
        let one = |list: &[String], word: &str| list.is_empty() || list.iter().any(|w| w == word);
        let version = |id: &str, version: &str| {
            let (first, last) = ends.get(id).map_or(("", ""), |(f, l)| (f, l));
            let words = self.versions.iter().map(String::as_str);
            let mut words = words.chain(self.versions.is_empty().then_some("last"));
            words.any(|word| match word {
                "all" => true,
                "first" => version == first,
                "last" => version == last,
                time => version == time,
            })
        };
        let keep = |key: &Key, r: &Record| {
            self.after.is_none_or(|after| key.0 > after)
                && one(&self.ids, r.id())
                && one(&self.types, r.kind())
                && one(&self.specs, r.object["spec_version"].as_str().unwrap_or("2.1"))
                && version(&key.1, &key.2)
        };
        all.into_iter().filter(|(key, r)| keep(key, r)).collect()
    }

    /// A page, and whether there is more behind it.
    fn page(&self, chosen: Vec<(Key, Record)>) -> (Vec<(Key, Record)>, bool) {
        let limit = self.limit.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX);
        let mut rest = chosen.into_iter().skip_while(|(key, _)| self.next.as_ref().is_some_and(|at| key <= at));
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let more = rest.next().is_some();
        (page, more)
    }
}

fn token(key: &Key) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}\n{}\n{}", key.0.ns(), key.1, key.2))
}

fn position(token: &str) -> Option<Key> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let mut parts = text.splitn(3, '\n');
    Some((Timestamp::from_ns(parts.next()?.parse().ok()?), parts.next()?.to_owned(), parts.next()?.to_owned()))
}

/// `%5B` and `+`; what is no code stays as it is.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'+' => out.push(b' '),
            b'%' => {
                let ahead: Vec<u8> = bytes.clone().take(2).collect();
                let code = std::str::from_utf8(&ahead).ok().filter(|h| h.len() == 2).and_then(|h| u8::from_str_radix(h, 16).ok());
                match code {
                    Some(code) => {
                        out.push(code);
                        bytes.nth(1);
                    }
                    None => out.push(b),
                }
            }
            b => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Nothing said, anything, or TAXII in this version.
fn accepts(accept: Option<&str>) -> bool {
    let Some(accept) = accept.filter(|a| !a.trim().is_empty()) else { return true };
    accept.split(',').any(|choice| {
        let mut parts = choice.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let version = parts.find_map(|p| p.strip_prefix("version=")).map(|v| v.trim_matches('"'));
        match media.as_str() {
            "*/*" | "application/*" => true,
            "application/taxii+json" => version.is_none_or(|v| v == "2.1"),
            _ => false,
        }
    })
}

fn described(collection: &Collection) -> Value {
    json!({
        "id": collection.id, "alias": collection.alias, "title": collection.title, "description": collection.description,
        "can_read": true, "can_write": false, "media_types": [STIX_MEDIA_TYPE],
    })
}

fn ok(body: &Value) -> Answer {
    Answer { status: 200, headers: Vec::new(), body: body.to_string() }
}

fn missing() -> Answer {
    error(404, "there is nothing here, or it is not for this caller", "look at the collections of the API root")
}

fn error(status: u16, title: &str, description: &str) -> Answer {
    let body = json!({ "title": title, "description": description, "http_status": status.to_string() });
    Answer { status, headers: Vec::new(), body: body.to_string() }
}

/// Six digits of a second, as TAXII's servers write `date_added`.
fn micros(time: Timestamp) -> String {
    let text = Timestamp::from_secs(time.secs()).to_string();
    format!("{}.{:06}Z", text.trim_end_matches('Z'), time.ns().rem_euclid(1_000_000_000) / 1_000)
}
