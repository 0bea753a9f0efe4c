//! Modbus of public captures against tshark's count of requests, function by function; and what the rules make of them.

use std::collections::BTreeMap;
use std::path::Path;

use event::{Field, Value, field};
use serde_json::Value as Json;

use crate::sigma::corpus;

/// Requests the sensor told of a capture, by function code: how many, and how many were refused.
fn seen(path: &Path) -> (BTreeMap<i64, i64>, i64) {
    let mut requests = BTreeMap::new();
    let mut refused = 0;
    let result = agent::sensor::net::replay::replay(path, &mut |_, event| {
        if event.source.service.as_deref() != Some("modbus") {
            return;
        }
        let number = |f: Field| event.get(f).and_then(Value::as_int);
        let count = number(field::COUNT).unwrap_or(1);
        *requests.entry(number(field::OT_FUNCTION).unwrap_or(-1)).or_insert(0) += count;
        refused += i64::from(number(field::OT_EXCEPTION).is_some());
        assert!(event.get(field::SRC_IP).is_some() && event.get(field::OT_ACCESS).is_some());
    });
    result.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (requests, refused)
}

#[test]
fn modbus_requests_are_counted_as_tshark_counts_them() {
    let Some(truth) = corpus::lines("pcap/truth/tshark.jsonl.gz") else { return };
    let (mut wanted_all, mut met_all) = (0, 0);
    println!("{:60} {:>8} {:>8} {:>8}", "capture", "tshark", "ours", "refused");
    for row in &truth {
        let file = row["file"].as_str().unwrap_or_default();
        let Some(functions) = row["modbus_func"].as_object() else { continue };
        let Some(path) = tests::data(&format!("pcap/{file}")) else { return };
        let (requests, refused) = seen(&path);
        let mut wanted = BTreeMap::new();
        for (key, count) in functions {
            if let Some(function) = key.strip_prefix("req:").and_then(|f| f.parse::<i64>().ok()) {
                *wanted.entry(function & 0x7f).or_insert(0) += count.as_i64().unwrap_or(0);
            }
        }
        let (total, ours): (i64, i64) = (wanted.values().sum(), requests.values().sum());
        let met: i64 = wanted.iter().map(|(f, n)| *n.min(requests.get(f).unwrap_or(&0))).sum();
        println!("{file:60} {total:>8} {ours:>8} {refused:>8}");
        if met != total || ours != total {
            println!("  tshark {wanted:?}, ours {requests:?}");
        }
        wanted_all += total;
        met_all += met;
        let _: &Json = &row["modbus_exceptions"];
    }
    println!("all: {met_all} of {wanted_all} requests");
    assert!(wanted_all > 5_000);
    assert!(met_all * 1_000 >= wanted_all * 995, "{met_all} of {wanted_all}");
}
