//! Shipped rules: each has a hit and a miss under its own name, and real captures name the attacks they hold.

mod engine;
pub mod harness;
mod linux;
mod ot;
mod real;

/// The door: every case of every rule, and no rule without one.
#[test]
fn every_shipped_rule_hits_its_hit_and_misses_its_miss() {
    let names = harness::names();
    let cases = harness::cases();
    let covered: std::collections::BTreeSet<String> = cases.iter().map(|(rule, _)| rule.clone()).collect();
    let alerting = harness::alerting();
    let bare: Vec<&String> = alerting.difference(&covered).collect();
    assert!(bare.is_empty(), "rules without tests/rules/<area>/<name>/{{hit,miss}}.jsonl: {bare:?}");
    let known = &harness::detections() | &alerting;
    let stray: Vec<&String> = covered.difference(&known).collect();
    assert!(stray.is_empty(), "cases without a rule: {stray:?}");
    let problems: Vec<String> = cases.iter().flat_map(|(rule, folder)| harness::check(rule, folder, &names)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The same input gives byte-identical alerts, run again and however it is cut into batches (every fourth case, for time).
#[test]
fn the_same_input_gives_the_same_bytes() {
    let text = |path: &std::path::Path, batch| {
        let summary = harness::step_file(path, batch);
        summary.alerts.iter().map(collector::replay::alert_ocsf_json).collect::<Vec<_>>().join("\n")
    };
    for (rule, folder) in harness::stepped().into_iter().step_by(4) {
        let file = folder.join("hit.jsonl");
        let first = text(&file, 1);
        assert!(!first.is_empty(), "{rule}");
        for batch in [1, 7, 1000] {
            assert_eq!(text(&file, batch), first, "{rule}, batches of {batch}");
        }
    }
}
