//! Which values of an event are looked up, and what a match writes on it.
//!
//! Looked up: addresses of both ends and of forwarding proxies, names asked for, told (SNI, Host), and answered, URLs as host and target,
//! hashes of files and programs, mail addresses; under our names and under those JSON inputs bring. The host's own address is no match: it
//! is in every event.

use std::net::IpAddr;

use event::{Event, Name, Timestamp, Value, field};

use crate::observable::{Type, unhex, url_key};
use crate::set::Set;
use crate::{Found, Observable};

/// Every fact a match may write.
pub const FACTS: [event::Field; 10] = [
    field::INDICATOR_VALUE,
    field::INDICATOR_TYPE,
    field::INDICATOR_SOURCE,
    field::INDICATOR_CONFIDENCE,
    field::INDICATOR_TLP,
    field::INDICATOR_LABELS,
    field::INDICATOR_DESCRIPTION,
    field::INDICATOR_FIELD,
    field::INDICATOR_COUNT,
    field::INDICATOR_IN_HISTORY,
];

/// Values of one event that are looked up, lists included; the rest of an overlong list is left.
const VALUES_MAX: usize = 64;
/// Indicators told apart in one event.
const HITS_MAX: usize = 32;

/// What marking an event came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventMarks {
    /// The surest indicator, if any.
    pub best: Option<Found>,
    pub count: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Ip,
    Domain,
    /// An address or a name.
    Host,
    Url,
    Hash,
    Email,
}

/// What a field holds, if it is looked up.
fn look(name: &Name) -> Option<Look> {
    Some(match name {
        Name::Known(f) => match *f {
            field::SRC_IP | field::DST_IP | field::HTTP_X_FORWARDED_FOR => Look::Ip,
            field::DNS_QUERY | field::SRC_HOSTNAME | field::DST_HOSTNAME => Look::Domain,
            field::TLS_SNI | field::HTTP_HOST | field::DNS_ANSWERS => Look::Host,
            field::HTTP_URL => Look::Url,
            field::FILE_SHA256 | field::RESULT_SHA256 => Look::Hash,
            _ => return None,
        },
        Name::Other(name) => match &**name {
            "file.hash.md5"
            | "file.hash.sha1"
            | "process.hash.md5"
            | "process.hash.sha1"
            | "process.hash.sha256"
            | "md5"
            | "sha1"
            | "sha256"
            | "Hashes" => Look::Hash,
            "email.from" | "email.to" | "email.cc" | "email.reply_to" | "email.from.address" | "email.to.address" => Look::Email,
            "destination.ip" | "source.ip" | "DestinationIp" | "SourceIp" => Look::Ip,
            "dns.question.name" | "QueryName" | "destination.domain" | "url.domain" | "DestinationHostname" => Look::Host,
            "url.full" | "url.original" => Look::Url,
            _ => return None,
        },
    })
}

/// Looks the event's values up and writes the facts of the surest match on it. The time is the event's own.
pub fn mark(set: &Set, event: &mut Event) -> EventMarks {
    if set.is_empty() {
        return EventMarks::default();
    }
    let hits = hits(set, event);
    let Some((best, at)) = hits.iter().max_by_key(|(i, _)| (set.confidence(*i), std::cmp::Reverse(*i))).cloned() else {
        return EventMarks::default();
    };
    let Some(found) = set.found(best) else { return EventMarks::default() };
    let body = &mut event.body;
    body.set(field::INDICATOR_VALUE, found.value.as_str());
    body.set(field::INDICATOR_TYPE, found.kind.name());
    body.set(field::INDICATOR_CONFIDENCE, found.meta.confidence);
    body.set(field::INDICATOR_TLP, found.meta.tlp.name());
    body.set(field::INDICATOR_FIELD, at.as_str());
    body.set(field::INDICATOR_COUNT, hits.len());
    // Who said it and what about it stays where its marking keeps it; the event travels to the unit's own people.
    if found.meta.tlp.reaches_units() {
        body.set(field::INDICATOR_SOURCE, found.meta.source.as_str());
        if !found.meta.labels.is_empty() {
            body.set(field::INDICATOR_LABELS, found.meta.labels.clone());
        }
        if !found.meta.description.is_empty() {
            body.set(field::INDICATOR_DESCRIPTION, found.meta.description.as_str());
        }
    }
    EventMarks { best: Some(found), count: hits.len() }
}

/// Entries the event meets at its own time, with the field that holds the value; each entry once.
fn hits(set: &Set, event: &Event) -> Vec<(u32, Name)> {
    let mut out: Vec<(u32, Name)> = Vec::new();
    let mut left = VALUES_MAX;
    let mut scratch = Vec::new();
    for (name, value) in event.body.iter() {
        let Some(look) = look(name) else { continue };
        let mut take = |index: u32| {
            if out.len() < HITS_MAX && !out.iter().any(|(i, _)| *i == index) && whole(set, index, event, event.time) {
                out.push((index, name.clone()));
            }
        };
        let mut one = |value: &Value| {
            if left > 0 {
                left -= 1;
                probe(set, look, value, event, &mut scratch, &mut take);
            }
        };
        match value {
            Value::List(list) => list.iter().for_each(one),
            value => one(value),
        }
    }
    out
}

fn probe(set: &Set, look: Look, value: &Value, event: &Event, scratch: &mut Vec<u8>, hit: &mut impl FnMut(u32)) {
    let text = match value {
        Value::Ip(ip) => {
            return if matches!(look, Look::Ip | Look::Host) {
                set.address(*ip, hit)
            };
        }
        Value::Text(text) => text.trim(),
        Value::Bytes(bytes) if look == Look::Hash => return hash_bytes(set, bytes, hit),
        _ => return,
    };
    match look {
        Look::Ip => {
            if let Ok(ip) = text.parse::<IpAddr>() {
                set.address(ip, hit);
            }
        }
        Look::Domain => name(set, text, scratch, hit),
        Look::Host => {
            let bare = text.trim_start_matches('[');
            let bare = bare.split_once(']').map_or(bare, |(ip, _)| ip);
            let host = bare.rsplit_once(':').filter(|(h, p)| !h.contains(':') && p.parse::<u16>().is_ok()).map_or(bare, |(h, _)| h);
            match host.parse::<IpAddr>() {
                Ok(ip) => set.address(ip, hit),
                Err(_) => name(set, host, scratch, hit),
            }
        }
        Look::Url => {
            if !set.has(&[Type::Url]) {
                return;
            }
            scratch.clear();
            let (scheme, authority, target) = match text.split_once("://") {
                Some((scheme, rest)) => {
                    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                    let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
                    (scheme, authority.rsplit('@').next().unwrap_or(authority), target)
                }
                None => match event.get(field::HTTP_HOST).and_then(Value::as_str) {
                    Some(host) => ("http", host.trim(), text),
                    None => return,
                },
            };
            if url_key(scheme, authority, target, scratch).is_some() {
                set.exact(Type::Url, scratch, hit);
            }
        }
        Look::Hash => {
            // Sysmon's way: MD5=…,SHA256=…
            for part in text.split([',', ';', ' ']).take(8) {
                let part = part.rsplit('=').next().unwrap_or(part);
                if matches!(part.len(), 32 | 40 | 64)
                    && let Some(bytes) = unhex(part)
                {
                    hash_bytes(set, &bytes, hit);
                }
            }
        }
        Look::Email => {
            let address = text.rsplit_once('<').map_or(text, |(_, a)| a.trim_end_matches('>'));
            lower(address, scratch);
            set.exact(Type::Email, scratch, hit);
            if let Some((_, host)) = address.rsplit_once('@') {
                name(set, host, scratch, hit);
            }
        }
    }
}

fn hash_bytes(set: &Set, bytes: &[u8], hit: &mut impl FnMut(u32)) {
    let kind = match bytes.len() {
        16 => Type::Md5,
        20 => Type::Sha1,
        32 => Type::Sha256,
        _ => return,
    };
    set.exact(kind, bytes, hit);
}

fn name(set: &Set, text: &str, scratch: &mut Vec<u8>, hit: &mut impl FnMut(u32)) {
    if text.len() <= 255 && set.has(&[Type::Domain]) {
        lower(text.trim_end_matches('.'), scratch);
        set.domain(scratch, hit);
    }
}

fn lower(text: &str, out: &mut Vec<u8>) {
    out.clear();
    out.extend(text.bytes().map(|b| b.to_ascii_lowercase()));
}

/// In force at the event's time, and everything else it asks for is in the event too.
fn whole(set: &Set, index: u32, event: &Event, time: Timestamp) -> bool {
    set.valid_at(index, time) && set.needs(index).iter().all(|need| holds(event, need))
}

/// True if a looked-up value of the event is this one. Built anew for the few indicators that ask for several values.
fn holds(event: &Event, need: &Observable) -> bool {
    let mut builder = crate::SetBuilder::new();
    let meta = crate::Meta::default();
    builder.add(crate::Entry { needs: std::slice::from_ref(need), meta: &meta, valid: crate::Validity::default() });
    let set = builder.build();
    !hits(&set, event).is_empty()
}
