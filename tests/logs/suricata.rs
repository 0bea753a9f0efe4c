//! Suricata's own records: every alert says what its record says, live and replayed; records that are cut or full of nulls are lines.

use event::{Kind, Timestamp, field};
use serde_json::Value as Json;

use super::{Tally, event, rows};
use crate::rules::harness;

#[test]
fn every_recorded_alert_keeps_what_it_says() {
    let mut tally = Tally::default();
    for (name, count) in [("honeypot-2018", 44), ("wrccdc-2017", 161)] {
        let Some(path) = tests::data(&format!("logs/suricata/{name}.alerts.jsonl.gz")) else { return };
        let rows = rows(&path);
        assert_eq!(rows.len(), count, "{name}");
        for row in &rows {
            let line = row.to_string();
            let e = event(line.as_bytes(), 1_795_431_600);
            let text = |json: &Json| json.as_str().map_or_else(|| json.to_string(), str::to_owned);
            tally.count("class", (e.kind, e.source.to_string().as_str()) == (Kind::DetectionFinding, "suricata/alert/*"));
            tally.field("signature", &e, &[field::FINDING_TITLE], &text(&row["alert"]["signature"]), &line);
            tally.field("signature id", &e, &[field::FINDING_RULE], &text(&row["alert"]["signature_id"]), &line);
            tally.field("category", &e, &[field::ALERT_CATEGORY], row["alert"]["category"].as_str().unwrap_or_default(), &line);
            tally.field("severity", &e, &[field::ALERT_LEVEL], &text(&row["alert"]["severity"]), &line);
            tally.field("source", &e, &[field::SRC_IP], &text(&row["src_ip"]), &line);
            tally.field("target", &e, &[field::DST_IP], &text(&row["dest_ip"]), &line);
            tally.field("protocol", &e, &[field::PROTOCOL], &text(&row["proto"]).to_lowercase(), &line);
            let stamp = text(&row["timestamp"]);
            let (clock, zone) = stamp.split_at_checked(26).unwrap_or_default();
            let zone = if zone.is_empty() { "Z".to_owned() } else { format!("{}:{}", &zone[..3], &zone[3..]) };
            tally.count("time", Timestamp::parse_rfc3339(&format!("{clock}{zone}")) == Some(e.time));
        }
        let summary = harness::replay(&path).unwrap_or_else(|e| panic!("{e:#}"));
        assert_eq!((summary.events, summary.damaged), (count as u64, 0), "{name}: {:?}", summary.problems);
    }
    tally.print("Suricata");
    assert_eq!(tally.percent(), 100.0);
}

#[test]
fn odd_files_lose_no_line() {
    for (name, lines) in
        [("alertify_input", None), ("jsonparse_eve", None), ("jsonparse_eve_broken1", Some(1)), ("jsonparse_eve_nulls", None)]
    {
        let Some(path) = tests::data(&format!("logs/suricata/fever/{name}.json")) else { return };
        let bytes = std::fs::read(&path).unwrap();
        let events: Vec<_> = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| event(l, 1_795_431_600)).collect();
        let plain = events.iter().filter(|e| e.source.product.as_deref() != Some("suricata")).count();
        println!("{name}: {} records, {plain} plain lines", events.len());
        assert_eq!(plain, lines.unwrap_or(0), "{name}");
        let summary = harness::replay(&path).unwrap_or_else(|e| panic!("{e:#}"));
        assert_eq!(summary.events + u64::from(summary.damaged > 0), events.len() as u64, "{name}: {:?}", summary.problems);
    }
}
