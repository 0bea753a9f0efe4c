//! The store behind the office keeps what the rules of `matter` promise, and forgets nothing of it.

use matter::Signer;

use super::*;

#[test]
fn a_key_signs_alike_after_a_restart_and_old_keys_still_check() {
    let folder = tempfile::tempdir().unwrap();
    let first = SigningKey::open(folder.path()).unwrap();
    let signature = first.sign(&[5; 32]);
    let again = SigningKey::open(folder.path()).unwrap();
    assert_eq!((again.key(), again.sign(&[5; 32])), (first.key(), signature.clone()));
    std::fs::remove_file(folder.path().join("signing.key")).unwrap();
    let next = SigningKey::open(folder.path()).unwrap();
    assert_ne!(next.key(), first.key());
    assert!(next.verify(&first.key(), &[5; 32], &signature));
    assert!(!next.verify(&first.key(), &[6; 32], &signature) && !next.verify(&next.key(), &[5; 32], &signature));
}

#[test]
fn a_secret_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pseudonyms.key");
    assert_eq!(secret(&path).unwrap(), secret(&path).unwrap());
}

#[test]
fn the_tables_that_ship_are_read() {
    let tables = tables(None, None).unwrap();
    assert_eq!(tables.desk.service.red.receipt_min, 15);
}

/// An alert of the sample city that names a flaw, by somebody outside.
fn about_a_flaw(n: usize, technique: &str) -> warning::Alert {
    let mut alert = crate::serve::sample::alert(n, T);
    alert.rule_id = format!("rule-{n}");
    (alert.techniques, alert.tactics) = (vec![technique.to_owned()], Vec::new());
    (alert.severity_id, alert.flaws, alert.evidence) = (4, vec!["CVE-2024-3400".into()], Vec::new());
    alert.units = vec![warning::UnitRef { id: "bank".into(), name: "bank".into(), sector: "finance".into() }];
    (alert.hosts, alert.source_ips, alert.target_ips) = (vec!["db".into()], vec!["203.0.113.9".into()], Vec::new());
    alert
}

const T: Timestamp = Timestamp::from_secs(1_795_392_000);

#[test]
fn what_is_known_to_be_exploited_is_in_what_the_office_recommends() {
    use matter::register::{Asset, Object, Unit};

    use crate::store::SqliteDesk;
    use crate::store::desk::{MatterQuery, Step};
    use crate::store::{Offset, Scope};
    let mut lists = exchange::weakness::Weaknesses::default();
    lists.read(br#"{"catalogVersion": "2026.11.23", "vulnerabilities": [{"cveID": "CVE-2024-3400", "dueDate": "2024-04-19", "knownRansomwareCampaignUse": "Known"}]}"#).unwrap();
    lists.read(b"#model_version:v2025.03.14,score_date:2026-11-23\ncve,epss,percentile\nCVE-2024-3400,0.944,0.999\n").unwrap();
    let recommended = |known: bool, technique: &str| {
        let folder = tempfile::tempdir().unwrap();
        let unit = Unit { id: "bank".into(), name: "bank".into(), sector: "finance".into(), ..Unit::default() };
        let object = Object { id: "core".into(), unit: "bank".into(), name: "core".into(), mlps: Some(4), cii: true, ..Object::default() };
        let asset = Asset { id: "db".into(), unit: "bank".into(), object: "core".into(), hostname: Some("db".into()), ..Asset::default() };
        let book = Book {
            tables: Arc::new(tables(None, None).unwrap()),
            units: [(unit.id.clone(), unit)].into(),
            objects: [(object.id.clone(), object)].into(),
            assets: [(asset.id.clone(), asset)].into(),
            places: Default::default(),
            signer: Arc::new(SigningKey::open(folder.path()).unwrap()),
            flaws: if known { Arc::new(lists.clone()) } else { Arc::new(()) },
            pseudonyms: [1; 32],
        };
        let desk = Arc::new(SqliteDesk::in_memory().unwrap());
        let office = Office::new(desk.clone(), Arc::new(Feed::new(0, 16)), book);
        desk.save(&Step { alerts: &[about_a_flaw(1, technique)], evidence: &[], position: Offset(1), snapshot: None }).unwrap();
        assert_eq!(office.follow(T), 1);
        let query = |kind: &str| MatterQuery { kind: kind.into(), limit: 10, ..MatterQuery::default() };
        let said = desk.matters(&Scope::CITY, &query("campaign")).unwrap().matters.remove(0).body["recommended"].clone();
        let drafts = desk.matters(&Scope::CITY, &query("warning")).unwrap().matters.len();
        let english = said["reasons"].as_array().unwrap().iter().map(|r| serde_json::from_value(r.clone()).unwrap());
        let english: Vec<String> = english.map(|r: warning::AlertReason| warning::render(&r, warning::Lang::En)).collect();
        (said["level"].clone(), drafts, english.join("\n"))
    };
    let used = "CVE-2024-3400, named at core, is on CISA's list of exploited flaws (EPSS 94.4 %)";
    let (level, drafts, reasons) = recommended(true, "T9999");
    assert!((level.as_str(), drafts) == (Some("yellow"), 1) && reasons.contains(used), "{level} {drafts}\n{reasons}");
    let (level, drafts, reasons) = recommended(false, "T9999");
    assert!(level.is_null() && drafts == 0 && !reasons.contains("CISA"), "{level} {drafts}\n{reasons}");
    // An attempt that names it: the reason stands there, no level comes of it.
    let (level, drafts, reasons) = recommended(true, "T1190");
    assert!(level.is_null() && drafts == 0 && reasons.contains(used), "{level} {drafts}\n{reasons}");
}
