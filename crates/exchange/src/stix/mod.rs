//! A revision as a STIX 2.1 bundle (OASIS, 10 June 2021): the issuer's identity, a report in English with its Chinese in a language-content, an
//! indicator for each value with what it indicates, attack-patterns, a course-of-action for each measure, a note with the time limits, and the
//! marking of TLP 2.0. All carry deterministic ids, so that a later revision is a later version of the same objects; a withdrawn warning
//! revokes them.

pub mod check;
mod pattern;
mod tables;

use event::Timestamp;
use serde_json::{Map, Value, json};

use crate::{Told, millis, uuid5};
pub use pattern::pattern;

/// When what never changes (identity of a name, attack-pattern of an id) was made.
const FIXED: &str = "2026-01-01T00:00:00.000Z";
const TLP_EXTENSION: &str = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";

/// Id of the marking of a level; fixed by OASIS.
pub const fn marking_id(tlp: matter::Tlp) -> &'static str {
    match tlp {
        matter::Tlp::Clear => "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
        matter::Tlp::Green => "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
        matter::Tlp::Amber => "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
        matter::Tlp::AmberStrict => "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
        matter::Tlp::Red => "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
    }
}

/// The marking itself, as OASIS published it.
pub fn marking(tlp: matter::Tlp) -> Value {
    json!({
        "type": "marking-definition", "spec_version": "2.1", "id": marking_id(tlp), "created": "2022-10-01T00:00:00.000Z",
        "name": format!("TLP:{}", tlp.name().to_uppercase()),
        "extensions": { TLP_EXTENSION: { "extension_type": "property-extension", "tlp_2_0": tlp.name() } },
    })
}

/// The whole bundle.
pub fn bundle(told: &Told) -> Value {
    let id = uuid5(&["bundle", &told.revision.hash, &told.identifier(told.revision.number)]);
    json!({ "type": "bundle", "id": format!("bundle--{id}"), "objects": objects(told) })
}

/// The objects of a revision: the marking first, the report last.
pub fn objects(told: &Told) -> Vec<Value> {
    let revision = told.revision;
    let notice = &revision.notice;
    let identity = format!("identity--{}", uuid5(&["identity", &told.sender.name, &revision.issuer.zh, &revision.issuer.en]));
    let maker = Maker { told, identity: &identity };
    let mut out = vec![
        marking(revision.tlp),
        json!({
            "type": "identity", "spec_version": "2.1", "id": identity, "created": FIXED, "modified": FIXED,
            "name": if revision.issuer.is_empty() { told.sender.name.as_str() } else { revision.issuer.pick(false) },
            "identity_class": "organization", "description": revision.issuer.pick(true),
        }),
    ];
    let mut patterns = Vec::new();
    for technique in &notice.techniques {
        let id = format!("attack-pattern--{}", uuid5(&["attack-pattern", technique]));
        out.push(json!({
            "type": "attack-pattern", "spec_version": "2.1", "id": id, "created": FIXED, "modified": FIXED, "name": technique,
            "external_references": [{
                "source_name": "mitre-attack", "external_id": technique,
                "url": format!("https://attack.mitre.org/techniques/{}/", technique.replace('.', "/")),
            }],
        }));
        patterns.push(id);
    }
    let mut named: Vec<String> = patterns.clone();
    let mut unsaid = Vec::new();
    for indicator in &notice.indicators {
        let Some(pattern) = pattern(&indicator.r#type, &indicator.value) else {
            unsaid.push(format!("{} {}", indicator.r#type, indicator.value));
            continue;
        };
        let of = [&revision.warning, indicator.r#type.as_str(), &indicator.value];
        let mut object = maker.object("indicator", &of);
        let id = text(&object, "id");
        object.insert("name".into(), json!(indicator.value));
        object.insert("description".into(), json!(told.title(false)));
        object.insert("indicator_types".into(), json!(["malicious-activity"]));
        object.insert("pattern".into(), json!(pattern));
        object.insert("pattern_type".into(), json!("stix"));
        object.insert("valid_from".into(), json!(millis(told.begun())));
        // The end must lie after the beginning; what is over ends now.
        let end = if revision.step.ends() { revision.issued } else { revision.expires };
        if end > told.begun() {
            object.insert("valid_until".into(), json!(millis(end)));
        }
        object.insert("confidence".into(), json!(confidence(told)));
        out.push(Value::Object(object));
        for pattern in &patterns {
            let mut link = maker.object("relationship", &[&id, "indicates", pattern]);
            link.insert("relationship_type".into(), json!("indicates"));
            link.insert("source_ref".into(), json!(id));
            link.insert("target_ref".into(), json!(pattern));
            named.push(text(&link, "id"));
            out.push(Value::Object(link));
        }
        named.push(id);
    }
    for measure in &notice.measures {
        let mut object = maker.object("course-of-action", &[&revision.warning, &measure.zh, &measure.en]);
        object.insert("name".into(), json!(head(measure.pick(false), 120)));
        object.insert(
            "description".into(),
            json!(if measure.en.is_empty() { measure.zh.clone() } else { format!("{}\n{}", measure.en, measure.zh) }),
        );
        named.push(text(&object, "id"));
        out.push(Value::Object(object));
    }
    let report_id = format!("report--{}", uuid5(&["report", &revision.warning]));
    let mut note = maker.object("note", &[&revision.warning, "limits"]);
    note.insert("abstract".into(), json!("Time limits of this warning / 时限要求"));
    note.insert("content".into(), json!(limits(told, &unsaid)));
    note.insert("object_refs".into(), json!([report_id]));
    named.push(text(&note, "id"));
    out.push(Value::Object(note));
    // A report refers to at least one object.
    named.push(identity.clone());
    let mut report = maker.object("report", &[&revision.warning]);
    report.insert("name".into(), json!(told.title(false)));
    report.insert("description".into(), json!(join(&told.description(false), told.instruction(false))));
    report.insert("report_types".into(), json!(["threat-report"]));
    report.insert("published".into(), json!(millis(told.begun())));
    report.insert("confidence".into(), json!(confidence(told)));
    report.insert("lang".into(), json!("en"));
    // So that people on both sides speak of it by the same name.
    let name = json!({ "source_name": told.sender.name, "external_id": told.identifier(revision.number) });
    report.insert("external_references".into(), json!([name]));
    report.insert("object_refs".into(), json!(named));
    let modified = text(&report, "modified");
    out.push(Value::Object(report));
    let mut chinese = maker.object("language-content", &[&revision.warning, "zh"]);
    chinese.remove("lang");
    chinese.insert("object_ref".into(), json!(report_id));
    chinese.insert("object_modified".into(), json!(modified));
    let description = join(&told.description(true), told.instruction(true));
    chinese.insert("contents".into(), json!({ "zh": { "name": told.title(true), "description": description } }));
    out.push(Value::Object(chinese));
    out
}

struct Maker<'a> {
    told: &'a Told<'a>,
    identity: &'a str,
}

impl Maker<'_> {
    /// What all objects of a revision have.
    fn object(&self, kind: &str, of: &[&str]) -> Map<String, Value> {
        let told = self.told;
        let parts: Vec<&str> = std::iter::once(kind).chain(of.iter().copied()).collect();
        let mut labels = vec![format!("level:{}", told.level()), format!("step:{}", told.revision.step.name())];
        if told.revision.exercise {
            labels.push("exercise".to_owned());
        }
        let mut object = Map::new();
        object.insert("type".into(), json!(kind));
        object.insert("spec_version".into(), json!("2.1"));
        object.insert("id".into(), json!(format!("{kind}--{}", uuid5(&parts))));
        object.insert("created_by_ref".into(), json!(self.identity));
        object.insert("created".into(), json!(millis(told.begun())));
        object.insert("modified".into(), json!(millis(told.revision.issued)));
        if told.withdrawn() {
            object.insert("revoked".into(), json!(true));
        }
        object.insert("labels".into(), json!(labels));
        object.insert("object_marking_refs".into(), json!([marking_id(told.revision.tlp)]));
        object
    }
}

/// Indicators of a source as a bundle of their own: (type, value), with what is common to all.
pub fn indicators(sender: &str, source: &str, tlp: matter::Tlp, since: Timestamp, values: &[(String, String)]) -> Value {
    let identity = format!("identity--{}", uuid5(&["identity", sender, "", ""]));
    let mut objects = vec![
        marking(tlp),
        json!({
            "type": "identity", "spec_version": "2.1", "id": identity, "created": FIXED, "modified": FIXED,
            "name": sender, "identity_class": "organization",
        }),
    ];
    for (kind, value) in values {
        let Some(pattern) = pattern(kind, value) else { continue };
        objects.push(json!({
            "type": "indicator", "spec_version": "2.1", "id": format!("indicator--{}", uuid5(&["source", source, kind, value])),
            "created_by_ref": identity, "created": millis(since), "modified": millis(since), "name": value,
            "indicator_types": ["malicious-activity"], "pattern": pattern, "pattern_type": "stix", "valid_from": millis(since),
            "object_marking_refs": [marking_id(tlp)],
        }));
    }
    let id = uuid5(&["bundle", sender, source, &since.to_string(), &values.len().to_string()]);
    json!({ "type": "bundle", "id": format!("bundle--{id}"), "objects": objects })
}

fn confidence(told: &Told) -> u8 {
    match told.revision.certainty {
        matter::notice::Certainty::Observed => 90,
        matter::notice::Certainty::Likely => 70,
        matter::notice::Certainty::Possible => 40,
    }
}

fn limits(told: &Told, unsaid: &[String]) -> String {
    let revision = told.revision;
    let after = |s: u32| crate::cap::local(revision.issued.plus_secs(i64::from(s)), told.sender.offset_s);
    let mut out = if revision.step.ends() {
        format!("Over since / 已于 {} ({})", after(0), revision.step.name())
    } else {
        format!(
            "Sign for it by / 签收截止 {}\nFirst feedback by / 首次反馈截止 {}\nEnds unless extended / 有效期至 {}",
            after(revision.receipt_s),
            after(revision.feedback_s),
            crate::cap::local(revision.expires, told.sender.offset_s)
        )
    };
    for value in unsaid {
        out.push_str("\nAlso look for / 另需排查: ");
        out.push_str(value);
    }
    out
}

fn text(object: &Map<String, Value>, key: &str) -> String {
    object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn join(description: &str, instruction: Option<String>) -> String {
    match instruction {
        Some(instruction) => format!("{description}\n{instruction}"),
        None => description.to_owned(),
    }
}

fn head(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}
