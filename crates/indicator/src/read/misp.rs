//! MISP JSON (core format): an event, a list of events, a search answer, or bare attributes; objects' attributes too.
//!
//! Taken are attributes with `to_ids` (or where it is not said); composite ones (`domain|ip`, `filename|sha256`, `ip-dst|port`) give the part
//! that is looked for, `domain|ip` both. Types that are no value here (comment, regkey, yara, …) are passed over; a value that does not fit
//! its type is a problem.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ReadOptions, Sink, line_of, time};
use crate::{Meta, Observable, Tlp};

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow, default, rename = "Event")]
    event: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "Attribute")]
    attributes: Option<&'a RawValue>,
    /// A list, or a single one.
    #[serde(borrow, default, rename = "Object")]
    objects: Option<&'a RawValue>,
    #[serde(default, rename = "Tag")]
    tags: Vec<Tag>,
    #[serde(default)]
    info: String,
    #[serde(default, rename = "Orgc")]
    orgc: Option<Org>,
    /// A bare attribute has these.
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    value: Option<String>,
}

#[derive(Deserialize)]
struct Tag {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Org {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Attribute {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    to_ids: Option<bool>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    first_seen: Option<String>,
    #[serde(default)]
    last_seen: Option<String>,
    #[serde(default, rename = "Tag")]
    tags: Vec<Tag>,
}

const DEPTH_MAX: usize = 8;

pub(super) fn read(text: &str, options: &ReadOptions, sink: &mut Sink<'_>) {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => {
            walk(text, raw, &options.meta(), options, sink, 0);
            let reading = &sink.reading;
            if reading.taken + reading.passed_over + reading.refused() == 0 {
                sink.reading.problem(0, text.trim(), "there is no attribute in it");
            }
        }
        Err(error) => sink.reading.problem(error.line() as u64, "", format!("this is not MISP JSON: {error}")),
    }
}

fn walk(text: &str, raw: &RawValue, base: &Meta, options: &ReadOptions, sink: &mut Sink<'_>, depth: usize) {
    let bad = |sink: &mut Sink<'_>, reason: String| {
        sink.reading.problem(line_of(text, raw.get()), raw.get().get(..80).unwrap_or_default(), reason)
    };
    if depth > DEPTH_MAX {
        return bad(sink, "nested too deeply".into());
    }
    if raw.get().trim_start().starts_with('[') {
        match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
            Ok(list) => list.into_iter().for_each(|one| walk(text, one, base, options, sink, depth + 1)),
            Err(error) => bad(sink, format!("not a list: {error}")),
        }
        return;
    }
    let outer: Outer<'_> = match serde_json::from_str(raw.get()) {
        Ok(outer) => outer,
        Err(error) => return bad(sink, format!("not read: {error}")),
    };
    if outer.kind.is_some() && outer.value.is_some() {
        return attribute(text, raw, base, options, sink);
    }
    let mut meta = base.clone();
    tag(&outer.tags, &mut meta);
    if !outer.info.is_empty() {
        meta.description = outer.info;
    }
    if let Some(org) = outer.orgc.filter(|_| meta.source.is_empty()) {
        meta.source = org.name;
    }
    for inner in outer.event.into_iter().chain(outer.response).chain(outer.attributes).chain(outer.objects) {
        walk(text, inner, &meta, options, sink, depth + 1);
    }
}

/// TLP from its tag, the other tags as labels.
fn tag(tags: &[Tag], meta: &mut Meta) {
    if let Some(tlp) = tags.iter().filter(|t| t.name.to_ascii_lowercase().starts_with("tlp:")).filter_map(|t| Tlp::parse(&t.name)).max() {
        meta.tlp = tlp;
    }
    let labels = tags.iter().filter(|t| !t.name.to_ascii_lowercase().starts_with("tlp:")).map(|t| t.name.clone());
    meta.labels.extend(labels);
    meta.labels.truncate(16);
}

fn attribute(text: &str, raw: &RawValue, base: &Meta, options: &ReadOptions, sink: &mut Sink<'_>) {
    let line = line_of(text, raw.get());
    let it: Attribute = match serde_json::from_str(raw.get()) {
        Ok(it) => it,
        Err(error) => {
            return sink.reading.problem(line, raw.get().get(..80).unwrap_or_default(), format!("the attribute cannot be read: {error}"));
        }
    };
    if it.deleted || it.to_ids == Some(false) {
        sink.reading.passed_over += 1;
        return;
    }
    let (first, second) = it.value.split_once('|').unwrap_or((&it.value, ""));
    let read: Result<Vec<Vec<Observable>>, &'static str> = match it.kind.as_str() {
        "ip-src" | "ip-dst" | "ip-src|port" | "ip-dst|port" => Observable::address(first).map(|o| vec![vec![o]]),
        "domain" | "hostname" | "hostname|port" => Observable::domain(first).map(|o| vec![vec![o]]),
        "domain|ip" => Observable::domain(first).and_then(|d| Ok(vec![vec![d], vec![Observable::address(second)?]])),
        "url" | "uri" | "link" => Observable::url(&it.value).map(|o| vec![vec![o]]),
        "md5" | "sha1" | "sha256" => Observable::hash(first).map(|o| vec![vec![o]]),
        "filename|md5" | "filename|sha1" | "filename|sha256" => Observable::hash(second).map(|o| vec![vec![o]]),
        "email" | "email-src" | "email-dst" | "email-reply-to" => Observable::email(&it.value).map(|o| vec![vec![o]]),
        _ => {
            sink.reading.passed_over += 1;
            return;
        }
    };
    let mut valid = options.valid();
    let _ = it.last_seen;
    if let Some(from) = it.first_seen.as_deref().and_then(time) {
        valid.from = Some(from);
    }
    match read {
        Ok(alternatives) => {
            let mut meta = base.clone();
            tag(&it.tags, &mut meta);
            if !it.comment.is_empty() {
                meta.description = it.comment;
            }
            alternatives.iter().for_each(|needs| sink.take(needs, &meta, valid));
        }
        Err(reason) => sink.reading.problem(line, &it.value, reason),
    }
}
