//! STIX 2.1 bundles (OASIS, 10 June 2021): the `indicator` objects with patterns of type `stix`.
//!
//! Taken: `pattern`, `valid_from`, `valid_until`, `confidence`, `labels`, `indicator_types`, `name`, `description`, `revoked`,
//! `created_by_ref` (the name of that identity becomes the source) and TLP markings. A revoked indicator is passed over.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ReadOptions, Sink, line_of, pattern, time};
use crate::{Meta, Tlp};

#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(borrow, default)]
    objects: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    definition: Option<Definition>,
}

#[derive(Deserialize)]
struct Definition {
    #[serde(default)]
    tlp: Option<String>,
}

#[derive(Deserialize)]
struct Indicator {
    #[serde(default)]
    pattern: String,
    #[serde(default = "stix_word")]
    pattern_type: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    indicator_types: Vec<String>,
    #[serde(default)]
    confidence: Option<u8>,
    #[serde(default)]
    valid_from: Option<String>,
    #[serde(default)]
    valid_until: Option<String>,
    #[serde(default)]
    created_by_ref: Option<String>,
    #[serde(default)]
    object_marking_refs: Vec<String>,
    #[serde(default)]
    revoked: bool,
}

fn stix_word() -> String {
    "stix".into()
}

pub(super) fn read(text: &str, options: &ReadOptions, sink: &mut Sink<'_>) {
    let objects = match serde_json::from_str::<Bundle<'_>>(text) {
        Ok(bundle) => bundle.objects,
        // A bare list of objects, as a TAXII envelope's cousins send it.
        Err(error) => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(objects) => objects,
            Err(_) => {
                sink.reading.problem(error.line() as u64, "", format!("this is not a STIX bundle: {error}"));
                return;
            }
        },
    };
    // A single object has no `objects`.
    let single = objects.is_empty().then(|| serde_json::from_str::<&RawValue>(text).ok()).flatten();
    let mut names: HashMap<String, String> = HashMap::new();
    let mut markings: HashMap<String, Tlp> = HashMap::new();
    let mut indicators = Vec::new();
    for raw in objects.into_iter().chain(single) {
        match serde_json::from_str::<Head>(raw.get()) {
            Ok(head) => match head.kind.as_str() {
                "indicator" => indicators.push((raw, head)),
                "identity" => drop(names.insert(head.id, head.name)),
                "marking-definition" => {
                    let said = head.definition.and_then(|d| d.tlp).and_then(|t| Tlp::parse(&t)).or_else(|| Tlp::parse(&head.name));
                    if let Some(tlp) = said {
                        markings.insert(head.id, tlp);
                    }
                }
                _ => sink.reading.passed_over += 1,
            },
            Err(error) => {
                sink.reading.problem(line_of(text, raw.get()), raw.get().get(..80).unwrap_or_default(), format!("not an object: {error}"))
            }
        }
    }
    for (raw, head) in indicators {
        if let Err((value, reason)) = one(raw, options, &names, &markings, sink) {
            let value = if value.is_empty() { head.id } else { value };
            sink.reading.problem(line_of(text, raw.get()), &value, reason);
        }
    }
}

fn one(
    raw: &RawValue,
    options: &ReadOptions,
    names: &HashMap<String, String>,
    markings: &HashMap<String, Tlp>,
    sink: &mut Sink<'_>,
) -> Result<(), (String, String)> {
    let it: Indicator = serde_json::from_str(raw.get()).map_err(|e| (String::new(), format!("the indicator cannot be read: {e}")))?;
    if it.revoked {
        sink.reading.passed_over += 1;
        return Ok(());
    }
    if it.pattern_type != "stix" {
        return Err((it.pattern, format!("a pattern of type {} is not taken, only stix", crate::clean(&it.pattern_type, 40))));
    }
    let alternatives = pattern::read(&it.pattern).map_err(|e| (it.pattern.clone(), format!("the pattern is not understood: {e}")))?;
    let mut valid = options.valid();
    for (slot, said) in [(&mut valid.from, &it.valid_from), (&mut valid.until, &it.valid_until)] {
        if let Some(said) = said {
            *slot = Some(time(said).ok_or_else(|| (said.clone(), "this is not a time".to_owned()))?);
        }
    }
    let base = options.meta();
    // The closest of several markings counts.
    let marked = it.object_marking_refs.iter().filter_map(|id| Tlp::of_marking(id).or_else(|| markings.get(id).copied())).max();
    let meta = Meta {
        source: if base.source.is_empty() {
            it.created_by_ref.and_then(|id| names.get(&id).cloned()).unwrap_or_default()
        } else {
            base.source
        },
        tlp: marked.unwrap_or(base.tlp),
        confidence: it.confidence.unwrap_or(base.confidence).min(100),
        labels: it.indicator_types.into_iter().chain(it.labels).take(16).collect(),
        description: if it.name.is_empty() { it.description } else { it.name },
    };
    for needs in &alternatives {
        sink.take(needs, &meta, valid);
    }
    Ok(())
}
