//! A revision as a MISP event (MISP core format, draft 20): one attribute an indicator, levels and markings as tags.

use serde_json::{Value, json};
use warning::grade::Level;

use crate::{Told, category, uuid5};

/// `{"Event": {…}}`, as MISP exports and imports it.
pub fn event(told: &Told) -> Value {
    let revision = told.revision;
    let uuid = uuid5(&["misp", &revision.warning]);
    let seconds = revision.issued.secs().to_string();
    let tlp = revision.tlp;
    // 0 this organisation, 1 this community, 2 connected communities, 3 all.
    let distribution = match tlp {
        matter::Tlp::Clear => "3",
        matter::Tlp::Green => "2",
        matter::Tlp::Amber => "1",
        matter::Tlp::AmberStrict | matter::Tlp::Red => "0",
    };
    let org = json!({ "uuid": uuid5(&["identity", &told.sender.name]), "name": revision.issuer.pick(false), "id": "1" });
    let mut attributes: Vec<Value> = Vec::new();
    let mut add = |category: &str, kind: &str, value: &str, to_ids: bool, comment: &str| {
        attributes.push(json!({
            "uuid": uuid5(&["misp-attribute", &revision.warning, kind, value]),
            "category": category, "type": kind, "value": value, "to_ids": to_ids && !told.withdrawn(),
            "comment": comment, "distribution": "5", "timestamp": seconds, "disable_correlation": false, "deleted": false,
        }));
    };
    for indicator in &revision.notice.indicators {
        let (category, kind) = attribute(&indicator.r#type, &indicator.value);
        add(category, kind, &indicator.value, kind != "text", &indicator.r#type);
    }
    for zh in [true, false] {
        let text = [Some(told.description(zh)), told.instruction(zh)].into_iter().flatten().filter(|t| !t.is_empty());
        let text = text.collect::<Vec<_>>().join("\n");
        if !text.is_empty() {
            add("Internal reference", "comment", &text, false, if zh { "zh-CN" } else { "en-US" });
        }
    }
    let tag = |name: String| json!({ "name": name });
    let mut tags = vec![
        tag(format!("tlp:{}", tlp.name())),
        tag(format!("PAP:{}", revision.pap.name().to_uppercase())),
        tag(format!("vedette:level=\"{}\"", told.level())),
        tag(format!("vedette:step=\"{}\"", revision.step.name())),
        tag(format!("rsit:{}", category::rsit(&revision.notice.category))),
    ];
    if !revision.notice.category.is_empty() {
        tags.push(tag(format!("gb-t-20986-2023:category=\"{}\"", revision.notice.category)));
    }
    if revision.exercise {
        tags.push(tag("exercise:generic=\"comcheck\"".to_owned()));
    }
    tags.extend(revision.notice.techniques.iter().map(|t| tag(format!("mitre-attack:technique=\"{t}\""))));
    json!({ "Event": {
        "uuid": uuid, "info": told.title(false), "date": revision.issued.to_string().get(..10),
        // 1 high, 2 medium, 3 low, 4 undefined.
        "threat_level_id": match revision.level { Some(Level::Red | Level::Orange) => "1", Some(Level::Yellow) => "2", Some(Level::Blue) => "3", None => "4" },
        // 0 initial, 1 ongoing, 2 complete.
        "analysis": if revision.step.ends() { "2" } else { "1" },
        "distribution": distribution, "published": true, "timestamp": seconds, "publish_timestamp": seconds,
        "attribute_count": attributes.len().to_string(), "locked": true, "disable_correlation": false, "proposal_email_lock": false,
        "org_id": "1", "orgc_id": "1", "Org": org, "Orgc": org,
        "Tag": tags, "Attribute": attributes,
    }})
}

/// Category and type of an attribute for a STIX cyber-observable type.
fn attribute(kind: &str, value: &str) -> (&'static str, &'static str) {
    match kind {
        "ipv4-addr" | "ipv6-addr" => ("Network activity", "ip-dst"),
        "domain-name" => ("Network activity", "domain"),
        "url" => ("Network activity", "url"),
        "email-addr" => ("Payload delivery", "email-src"),
        "mutex" => ("Artifacts dropped", "mutex"),
        "file:name" => ("Payload delivery", "filename"),
        "vulnerability" => ("External analysis", "vulnerability"),
        kind if kind.starts_with("file") || matches!(kind, "md5" | "sha1" | "sha256") => match value.len() {
            32 => ("Payload delivery", "md5"),
            40 => ("Payload delivery", "sha1"),
            64 => ("Payload delivery", "sha256"),
            128 => ("Payload delivery", "sha512"),
            _ => ("Other", "text"),
        },
        _ => ("Other", "text"),
    }
}
