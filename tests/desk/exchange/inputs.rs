//! Every file of the intelligence data set: read, or refused with a reason; against what is known of it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use event::Timestamp;
use exchange::stix::check::check;
use exchange::weakness::Weaknesses;
use indicator::{ReadOptions, Reading};
use serde_json::Value;

/// One line of the table.
struct Row {
    file: String,
    said: String,
    expected: String,
    good: bool,
}

/// Files of the fixtures of STIX that break a rule of the standard, by a word of their names. `bundle-missing-ref` names an object elsewhere, which
/// is allowed, but also another thing that is not; what is below `extensions` and some of `common` are parts of objects, which alone are no object.
const BROKEN: &[&str] = &[
    "-invalid",
    "invalid-",
    "-empty",
    "empty-",
    "-before-",
    "out-of-range",
    "wrong-type",
    "missing-geo",
    "missing-object-refs",
    "missing-selectors",
    "missing_object_id",
    "without-longitude",
    "no-name-or-hash",
    "no-protocols",
    "no-properties",
    "neither",
    "-both",
    "bad-",
    "list-length",
    "type-mismatch",
    "with-sro",
    "deprecated-objects-sro",
    "whitespace-source",
    "source-only",
    "third_party_version",
    "common/extension-map",
    "common/external-reference",
    "common/granular-marking",
    "spec/sco/extensions/",
    "interop/common/identity-shape",
    "gate-expectations",
    "artifact-payload-and-url",
    // Malware without is_family, which 2.1 asks for; OASIS's own validator refuses these too.
    "ex-3.13.4.1-note-on-sighting-of-malware",
    "bundle-minimal",
    "bundle-missing-ref",
    "bundle-with-relationship-refs",
];

/// Files that are no input but describe one: schemas, lists of types, taxonomies.
const REFERENCE: &[&str] = &[
    "stix/schemas/",
    "misp/schema.json",
    "misp/describeTypes.json",
    "misp/taxonomies/",
    "misp/warninglists/",
    "kev/known_exploited_vulnerabilities_schema.json",
    "intelmq/feeds.yaml",
    "intelmq/harmonization.conf",
    "rsit/",
    "stix/pattern-match.jsonl.gz",
];

fn files(folder: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
    let mut inside: Vec<PathBuf> = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    inside.sort();
    for path in inside {
        if path.is_dir() {
            files(&path, out)?;
        } else {
            out.push(path);
        }
    }
    Ok(())
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let raw = std::fs::read(path)?;
    if path.extension().is_none_or(|e| e != "gz") {
        return Ok(raw);
    }
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(raw.as_slice()).read_to_end(&mut out)?;
    Ok(out)
}

fn lines(bytes: &[u8]) -> Result<Vec<Value>> {
    String::from_utf8_lossy(bytes).lines().filter(|l| !l.trim().is_empty()).map(|l| Ok(serde_json::from_str(l)?)).collect()
}

fn read(bytes: &[u8]) -> Reading {
    indicator::read(bytes, &ReadOptions::default(), &mut |_| {})
}

fn told(reading: &Reading) -> String {
    let first = reading.problems.first().map(|p| format!(" ({p})")).unwrap_or_default();
    format!("{}: {} taken, {} passed over, {} refused{first}", reading.format.name(), reading.taken, reading.passed_over, reading.refused())
}

#[test]
fn every_file_is_read_or_refused_with_a_reason() -> Result<()> {
    let Some(root) = tests::data("intel") else { return Ok(()) };
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    files(&root, &mut all)?;
    for path in &all {
        let name = path.strip_prefix(&root)?.display().to_string();
        if REFERENCE.iter().any(|r| name.starts_with(r)) {
            rows.push(Row { file: name, said: "a reference, not an input".into(), expected: "-".into(), good: true });
            continue;
        }
        let row = one(&name, &bytes(path)?).with_context(|| name.clone())?;
        rows.push(row);
    }
    println!("{:<4} {:<100} {:<44} what was said of it", "", "file", "expected");
    for row in &rows {
        let said: String = row.said.chars().take(160).collect();
        println!("{:<4} {:<100} {:<44} {said}", if row.good { "ok" } else { "BAD" }, row.file, row.expected);
    }
    let bad: Vec<&str> = rows.iter().filter(|r| !r.good).map(|r| r.file.as_str()).collect();
    println!("{} files, {} not as expected", rows.len(), bad.len());
    ensure!(bad.is_empty(), "{} files: {bad:#?}", bad.len());
    Ok(())
}

fn one(name: &str, bytes: &[u8]) -> Result<Row> {
    let row = |said: String, expected: &str, good: bool| Ok(Row { file: name.to_owned(), said, expected: expected.to_owned(), good });
    let text = String::from_utf8_lossy(bytes);
    if name == "stix/pattern-syntax.jsonl" {
        return patterns(name, bytes);
    }
    if name.starts_with("stix/") || name.starts_with("attack/") || name.ends_with("stix21.json") {
        let checked = check(&text);
        let broken = name.starts_with("stix/rstix/") && BROKEN.iter().any(|b| name.contains(b));
        let said = match checked.faults.first() {
            None => format!("{} objects valid; indicators: {}", checked.objects, told(&read(bytes))),
            Some(first) => format!("refused: {} ({})", first.reason, first.object),
        };
        return row(said, if broken { "invalid" } else { "valid STIX 2.1" }, checked.faults.is_empty() != broken);
    }
    if name.ends_with("stix20.json") {
        let checked = check(&text);
        let first = checked.faults.first().map(|f| f.reason.clone()).unwrap_or_default();
        return row(
            format!("refused: {first}; indicators all the same: {}", told(&read(bytes))),
            "refused as 2.0; its indicators read",
            first.contains("2.0") && read(bytes).taken > 0,
        );
    }
    if name.starts_with("misp/events/") {
        let reading = read(bytes);
        // What holds no attribute that is meant to be looked for.
        let without = [
            "event_tags",
            "galaxy",
            "search_index",
            "sharing_groups",
            "sighting",
            "simple",
            "misp_custom_obj",
            "attribute.json",
            "attribute_del",
            "event_obj_def_param",
            "new_misp_event",
        ];
        let empty = without.iter().any(|w| name.contains(w));
        return row(told(&reading), if empty { "no indicator in it" } else { "indicators" }, (reading.taken == 0) == empty);
    }
    if name.starts_with("misp/misp-stix/") {
        let reading = read(bytes);
        return row(told(&reading), "indicators", reading.taken > 0);
    }
    if name.starts_with("kev/") {
        let mut all = Weaknesses::default();
        let read = all.read(bytes).map_err(anyhow::Error::msg)?;
        let said = format!("{} {}: {} taken, {} refused {:?}", read.kind, read.version, read.taken, read.refused, read.problems.first());
        return row(said, "1404 flaws", (read.taken, read.refused, all.exploited()) == (1404, 0, 1404));
    }
    match name {
        "idea/nemea-rc_msg.json" => {
            let line = serde_json::to_string(&serde_json::from_str::<Value>(&text)?)?;
            let (_, event) = proto::log::read(&proto::log::Line {
                bytes: line.as_bytes(),
                received: Timestamp::from_secs(1_795_000_000),
                utc_offset_secs: 0,
                format: None,
            });
            let said =
                format!("{} {} from {}", event.kind.name(), event.text(event::field::FINDING_TITLE), event.text(event::field::SRC_IP));
            let good = said == "detection_finding SSH login attempt from 1.2.3.4" && event.get(event::field::DST_IP).is_none();
            row(said, "an alert of another tool; target anonymised", good)
        }
        "taxii/medallion-default_data.json" => medallion(name, &text),
        "n6/tests.jsonl.gz" => feeds(name, bytes, "expected", |r| vec![r["input"].as_str().unwrap_or_default().to_owned()]),
        "intelmq/tests.jsonl.gz" => feeds(name, bytes, "expected_events", |r| {
            r["input"].as_array().into_iter().flatten().filter_map(|i| i["raw"].as_str().map(str::to_owned)).collect()
        }),
        _ => row(told(&read(bytes)), "nobody said", false),
    }
}

/// Patterns that are no STIX must be refused; of the valid ones those are taken that name values of an event.
fn patterns(name: &str, bytes: &[u8]) -> Result<Row> {
    let (mut taken, mut refused, mut wrong) = (0, BTreeMap::<String, usize>::new(), Vec::new());
    for case in lines(bytes)? {
        let pattern = case["pattern"].as_str().unwrap_or_default();
        let object = serde_json::json!({ "type": "indicator", "id": "indicator--x", "pattern": pattern, "pattern_type": "stix" });
        let reading = read(object.to_string().as_bytes());
        if reading.taken > 0 {
            taken += 1;
            if case["valid"] == false {
                wrong.push(pattern.to_owned());
            }
        }
        for problem in reading.problems {
            *refused.entry(problem.reason.chars().take(60).collect()).or_default() += 1;
        }
    }
    let said =
        format!("{taken} taken, {} refused for {} reasons; invalid and taken: {wrong:?}", refused.values().sum::<usize>(), refused.len());
    Ok(Row { file: name.into(), said, expected: "no invalid pattern taken".into(), good: wrong.is_empty() && taken > 0 })
}

/// What the reference server holds goes through our server and is read whole by our client.
fn medallion(name: &str, text: &str) -> Result<Row> {
    let all: Value = serde_json::from_str(text)?;
    let (mut objects, mut pulled, mut faults) = (0, 0, Vec::new());
    for collection in all["trustgroup1"]["collections"].as_array().into_iter().flatten() {
        let list = collection["objects"].as_array().cloned().unwrap_or_default();
        if list.is_empty() {
            continue;
        }
        // The reference server keeps its own notes in the objects.
        let list: Vec<Value> = list
            .into_iter()
            .map(|mut o| {
                o.as_object_mut().map(|m| m.remove("_date_added"));
                o
            })
            .collect();
        let versions: std::collections::BTreeSet<_> = list.iter().map(|o| o["id"].to_string()).collect();
        objects += versions.len();
        let pull = super::taxii::through(list)?;
        pulled += pull.len();
        faults.extend(check(&pull.bundle()).faults);
    }
    let said = format!("{objects} objects, {pulled} through server and client, {} invalid {:?}", faults.len(), faults.first());
    let good = objects > 0 && objects == pulled && faults.len() == 1 && faults.iter().all(|f| f.reason == "spec_version is missing");
    Ok(Row { file: name.into(), said, expected: "all of it; one without spec_version named".into(), good })
}

/// Feeds as other people's parsers get them: raw, as indicators where a general reader can; and the events those parsers make of them.
fn feeds(name: &str, bytes: &[u8], key: &str, raw: fn(&Value) -> Vec<String>) -> Result<Row> {
    let (mut inputs, mut readable, mut mute, mut events, mut taken, mut victims, mut refused) = (0, 0, 0, 0, 0, 0, 0);
    for record in lines(bytes)? {
        for text in raw(&record) {
            inputs += 1;
            let reading = read(text.as_bytes());
            // Nothing taken, nothing passed over and no reason given: that would be a silent loss.
            // A list of comments, or a table that is only its head, has nothing to be told of.
            let hollow = text.lines().all(|l| l.trim().is_empty() || l.starts_with('#')) || text.trim().lines().count() == 1;
            let silent = reading.taken + reading.passed_over + reading.refused() == 0 && !hollow;
            mute += usize::from(silent);
            readable += usize::from(reading.taken > 0);
        }
        let constant = record["constant_items"].as_object().cloned().unwrap_or_default();
        let list: Vec<Value> = record[key].as_array().into_iter().flatten().filter(|e| e.is_object()).cloned().collect();
        for mut event in list {
            // n6 says once for a feed what holds for all its events.
            for (name, value) in &constant {
                event.as_object_mut().map(|m| m.entry(name.clone()).or_insert_with(|| value.clone()));
            }
            events += 1;
            let reading = indicator::read(
                event.to_string().as_bytes(),
                &ReadOptions { format: indicator::Format::Events, ..ReadOptions::default() },
                &mut |_| {},
            );
            taken += reading.taken;
            victims += reading.passed_over;
            refused += reading.refused();
            mute += usize::from(reading.taken + reading.passed_over + reading.refused() == 0);
        }
    }
    let said = format!(
        "{inputs} raw feeds, {readable} readable without their own parser; {events} events: {taken} indicators, {victims} passed over (victims), {refused} refused; {mute} without a word"
    );
    Ok(Row { file: name.into(), said, expected: "read or refused, never silent".into(), good: mute == 0 && taken > 0 && readable > 0 })
}
