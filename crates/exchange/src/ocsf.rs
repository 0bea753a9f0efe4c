//! Findings of the desk as OCSF 1.8: a revision as a detection finding (2004), an incident as an incident finding (2005). An alert's line is
//! made where alerts are (`vedette replay -o jsonl` and the API give the same one).

use event::Timestamp;
use serde_json::{Value, json};
use warning::grade::Level;

use crate::Told;

/// `observable.type_id` of OCSF for a STIX cyber-observable type.
fn observable(kind: &str) -> u8 {
    match kind {
        "ipv4-addr" | "ipv6-addr" => 2,
        "domain-name" => 1,
        "url" => 6,
        "email-addr" => 5,
        "file:name" => 7,
        kind if kind.starts_with("file:hashes") => 8,
        _ => 99,
    }
}

fn product() -> Value {
    json!({ "name": "Vedette", "vendor_name": "Vedette" })
}

fn severity(level: Option<Level>) -> (u8, &'static str) {
    match level {
        Some(Level::Red) => (5, "Critical"),
        Some(Level::Orange) => (4, "High"),
        Some(Level::Yellow) => (3, "Medium"),
        Some(Level::Blue) => (2, "Low"),
        None => (1, "Informational"),
    }
}

fn attacks(techniques: &[String]) -> Vec<Value> {
    techniques.iter().map(|t| json!({ "technique": { "uid": t } })).collect()
}

/// A revision as a detection finding: created, updated, closed.
pub fn warning(told: &Told) -> Value {
    let revision = told.revision;
    let notice = &revision.notice;
    let (activity, status) = match (revision.step.ends(), revision.number) {
        (true, _) => (3, 4),
        (false, 1) => (1, 1),
        (false, _) => (2, 2),
    };
    let (severity_id, severity) = severity(revision.level);
    let observables: Vec<Value> =
        notice.indicators.iter().map(|i| json!({ "name": i.r#type, "type_id": observable(&i.r#type), "value": i.value })).collect();
    let mut labels =
        vec![format!("level:{}", told.level()), format!("tlp:{}", revision.tlp.name()), format!("pap:{}", revision.pap.name())];
    if revision.exercise {
        labels.push("exercise".to_owned());
    }
    let mut finding = json!({
        "time": revision.issued.ms(),
        "class_uid": 2004, "class_name": "detection_finding", "category_uid": 2,
        "activity_id": activity, "type_uid": 200_400 + activity, "status_id": status,
        "severity_id": severity_id, "severity": severity,
        "confidence_id": match revision.certainty {
            matter::notice::Certainty::Observed => 3,
            matter::notice::Certainty::Likely => 2,
            matter::notice::Certainty::Possible => 1,
        },
        "is_alert": true,
        "message": told.title(false),
        "metadata": {
            "version": "1.8.0", "uid": told.identifier(revision.number), "correlation_uid": revision.warning,
            "profiles": ["security_control"], "product": product(), "labels": labels,
        },
        "finding_info": {
            "uid": revision.warning, "title": told.title(false), "desc": told.description(false),
            "created_time": told.begun().ms(), "modified_time": revision.issued.ms(),
            "types": [crate::category(&notice.category).en], "attacks": attacks(&notice.techniques),
        },
        "unmapped": {
            "title_zh": told.title(true), "desc_zh": told.description(true),
            "step": revision.step.name(), "revision": revision.number, "category": notice.category,
            "units": revision.units, "sectors": revision.sectors, "reasons": revision.reasons,
            "deadline_ack": revision.issued.plus_secs(i64::from(revision.receipt_s)).ms(),
            "deadline_feedback": revision.issued.plus_secs(i64::from(revision.feedback_s)).ms(),
        },
    });
    let Some(map) = finding.as_object_mut() else { return finding };
    if !observables.is_empty() {
        map.insert("observables".to_owned(), json!(observables));
    }
    if let Some(instruction) = told.instruction(false) {
        map.insert("remediation".to_owned(), json!({ "desc": instruction }));
    }
    finding
}

/// What an incident finding says.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident<'a> {
    pub id: &'a str,
    pub title: &'a str,
    pub description: &'a str,
    /// Fixed word of its state: `suspected`, `confirmed`, `handling`, `recovered`, `closed`.
    pub state: &'a str,
    /// GB/T 20986-2023: 1 (特别重大) to 4 (一般); none while nobody has graded it.
    pub grade: Option<u8>,
    pub opened: Timestamp,
    pub changed: Timestamp,
    /// Who works on it; empty: the desk.
    pub owner: &'a str,
    /// Alerts that belong to it.
    pub alerts: &'a [String],
    pub techniques: &'a [String],
    pub exercise: bool,
}

/// An incident as an incident finding.
pub fn incident(incident: &Incident) -> Value {
    let (activity, status) = match incident.state {
        "closed" => (3, 5),
        "recovered" => (2, 4),
        "confirmed" | "handling" => (2, 2),
        _ => (1, 1),
    };
    let (severity_id, severity) = match incident.grade {
        Some(1) => (5, "Critical"),
        Some(2) => (4, "High"),
        Some(3) => (3, "Medium"),
        Some(4) => (2, "Low"),
        _ => (0, "Unknown"),
    };
    // What it is made of: its alerts, or itself where there are none yet.
    let finding = |uid: &str| json!({ "uid": uid, "title": incident.title, "attacks": attacks(incident.techniques) });
    let mut findings: Vec<Value> = incident.alerts.iter().map(|a| finding(a)).collect();
    if findings.is_empty() {
        findings.push(finding(incident.id));
    }
    let mut out = json!({
        "time": incident.changed.ms(),
        "class_uid": 2005, "class_name": "incident_finding", "category_uid": 2,
        "activity_id": activity, "type_uid": 200_500 + activity, "status_id": status,
        "severity_id": severity_id, "severity": severity,
        "message": incident.title, "desc": incident.description,
        "start_time": incident.opened.ms(),
        "finding_info_list": findings,
        "metadata": {
            "version": "1.8.0", "uid": incident.id, "product": product(),
            "labels": if incident.exercise { json!(["exercise"]) } else { json!(["real"]) },
        },
        "unmapped": { "state": incident.state, "grade": incident.grade },
    });
    let (key, who) = if incident.owner.is_empty() { ("assignee_group", "desk") } else { ("assignee", incident.owner) };
    out[key] = json!({ "name": who });
    out
}
