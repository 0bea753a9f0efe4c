//! `vedette match` through the real program: what is found is told with line, fields and pattern, in input order, whatever the packing.

mod indicators;

use std::io::Write;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::bench::{Bench, Said, config};

const RULES: &str = r#"
title: Shadow file read
title_zh: 读取 shadow 文件
id: 00000000-0000-4000-8000-000000000001
status: test
author: Somebody
logsource:
  product: linux
  category: process_creation
detection:
  read:
    Image|endswith: /cat
    CommandLine|contains: /etc/shadow
  condition: read
level: high
---
title: Failed login
id: 00000000-0000-4000-8000-000000000002
name: failed
status: test
logsource:
  product: linux
  service: sshd
detection:
  fail:
    outcome: failure
  condition: fail
level: low
---
title: Guessing
id: 00000000-0000-4000-8000-000000000003
status: test
correlation:
  type: event_count
  rules: [failed]
  group-by: [src]
  timespan: 1m
  condition:
    gte: 3
level: medium
"#;

fn bench() -> Result<Option<Bench>> {
    let bench = Bench::new("vedette")?;
    if let Some(bench) = &bench {
        bench.write("rules.yml", RULES)?;
    }
    Ok(bench)
}

fn cat(n: u32) -> Value {
    json!({"product": "linux", "category": "process_creation", "Image": "/usr/bin/cat", "CommandLine": format!("cat /etc/SHADOW {n}"), "UtcTime": "2026-11-23 12:00:00"})
}

fn fail(src: &str, second: u32) -> Value {
    json!({"product": "linux", "service": "sshd", "outcome": "failure", "src": src, "@timestamp": format!("2026-11-23T12:00:{second:02}Z")})
}

fn text(records: &[Value]) -> String {
    records.iter().map(|r| format!("{r}\n")).collect()
}

fn of(said: &Said, name: &str) -> Result<Vec<Value>> {
    Ok(said.lines()?.iter().map(|l| l[name].clone()).collect())
}

#[test]
fn a_finding_tells_rule_line_fields_and_pattern() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    bench.write("e.jsonl", format!("{}\n\n{}\n", json!({"product": "linux", "Image": "/bin/cat"}), cat(1)))?;
    let said = bench.run(&["match", "--rules", "rules.yml", "e.jsonl", "-o", "jsonl"])?;
    said.is(1, &["2 events, 1 findings"])?;
    let told = said.json()?;
    ensure!(
        told == json!({
            "rule": "00000000-0000-4000-8000-000000000001", "title": "Shadow file read", "title_zh": "读取 shadow 文件", "author": "Somebody",
            "level": "high", "line": 3,
            "matches": [
                {"field": "Image", "value": "/usr/bin/cat", "pattern": "endswith '/cat'"},
                {"field": "CommandLine", "value": "cat /etc/SHADOW 1", "pattern": "contains '/etc/shadow'"},
            ],
        }),
        "{told:#}"
    );
    bench.run(&["match", "--rules", "rules.yml", "-o", "jsonl"])?.is(0, &["0 events, 0 findings"])?;
    let table = bench.run(&["match", "--rules", "rules.yml", "e.jsonl", "--lang", "zh"])?;
    ensure!(table.out.starts_with("3             high           读取 shadow 文件  Image=/usr/bin/cat (endswith '/cat')"), "{table:?}");
    let count = bench.run(&["match", "--rules", "rules.yml", "e.jsonl", "-o", "count"])?;
    ensure!(count.out == "1\thigh\t00000000-0000-4000-8000-000000000001\tShadow file read\n", "{count:?}");
    Ok(())
}

/// Thousands of lines over many chunks: the same findings in the same order for any packing and any number of threads.
#[test]
fn order_is_the_inputs_whatever_the_packing_and_the_threads() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let mut records = Vec::new();
    for n in 0..12_000 {
        let filler = "x".repeat(n % 400);
        records.push(json!({"product": "linux", "category": "process_creation", "Image": "/bin/ls", "filler": filler}));
        if n % 97 == 0 {
            records.push(cat(n as u32));
        }
        if n % 1_000 < 3 {
            records.push(fail(&format!("10.0.0.{}", n / 1_000), (n % 60) as u32));
        }
    }
    let plain = text(&records);
    bench.write("plain.jsonl", &plain)?;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(plain.as_bytes())?;
    bench.write("packed.gz", packed.finish()?)?;
    bench.write("array.json", serde_json::to_string_pretty(&records)?)?;
    let first = bench.run(&["match", "--rules", "rules.yml", "plain.jsonl", "-o", "jsonl", "--threads", "1"])?;
    first.is(1, &[])?;
    let lines: Vec<u64> = of(&first, "line")?.iter().filter_map(Value::as_u64).collect();
    let plain_rule: Vec<u64> = first.lines()?.iter().filter(|l| l["type"].is_null()).filter_map(|l| l["line"].as_u64()).collect();
    ensure!(plain_rule.len() == 124 && plain_rule.is_sorted(), "{plain_rule:?}");
    let guessed: Vec<Value> = first.lines()?.into_iter().filter(|l| l["type"] == "event_count").collect();
    ensure!(guessed.len() == 12, "{guessed:?}");
    ensure!(lines.len() >= 124, "{lines:?}");
    for (file, threads) in [("plain.jsonl", "2"), ("plain.jsonl", "5"), ("packed.gz", "3"), ("array.json", "2")] {
        let said = bench.run(&["match", "--rules", "rules.yml", file, "-o", "jsonl", "--threads", threads])?;
        ensure!(said.out == first.out, "{file} with {threads} threads says something else");
    }
    let piped = bench.feed(&["match", "--rules", "rules.yml", "-", "-o", "jsonl"], plain.as_bytes())?;
    ensure!(piped.out == first.out, "standard input says something else");
    Ok(())
}

#[test]
fn a_correlation_tells_its_group_and_its_events_by_line() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let records = [fail("10.0.0.1", 1), fail("10.0.0.2", 2), fail("10.0.0.1", 3), cat(1), fail("10.0.0.1", 5), fail("10.0.0.2", 50)];
    bench.write("a.jsonl", text(&records))?;
    let said = bench.run(&["match", "--rules", "rules.yml", "a.jsonl", "-o", "jsonl"])?;
    said.is(1, &["6 events, 2 findings"])?;
    let told = said.lines()?;
    ensure!(told.iter().map(|t| t["title"].as_str()).eq([Some("Shadow file read"), Some("Guessing")]), "{told:?}");
    let guessing = &told[1];
    ensure!(guessing["type"] == "event_count" && guessing["line"] == 5 && guessing["count"] == 3, "{guessing:#}");
    ensure!(guessing["group"] == json!({"src": "10.0.0.1"}), "{guessing:#}");
    let lines: Vec<u64> = guessing["events"].as_array().context("events")?.iter().filter_map(|e| e["line"].as_u64()).collect();
    ensure!(lines == [1, 3, 5], "{guessing:#}");
    ensure!(guessing["from"] == "2026-11-23T12:00:01Z" && guessing["to"] == "2026-11-23T12:00:05Z", "{guessing:#}");
    // A time that is not among the usual names, and one that is missing.
    let renamed = text(&records).replace("@timestamp", "when");
    let said = bench.feed(&["match", "--rules", "rules.yml", "-o", "jsonl"], renamed.as_bytes())?;
    said.is(1, &["5 matches for correlations say no time", "--time-field"])?;
    let said = bench.feed(&["match", "--rules", "rules.yml", "-o", "jsonl", "--time-field", "when"], renamed.as_bytes())?;
    ensure!(said.lines()?.len() == 2, "{said:?}");
    // Several files: each event names its own.
    bench.write("b.jsonl", text(&[fail("10.0.0.2", 51)]))?;
    let said = bench.run(&["match", "--rules", "rules.yml", "a.jsonl", "b.jsonl", "-o", "json"])?;
    let all = said.json()?;
    let last = all.as_array().and_then(|a| a.last()).context("findings")?;
    ensure!(last["file"] == "b.jsonl" && last["line"] == 1 && last["events"][0]["file"] == "a.jsonl", "{last:#}");
    Ok(())
}

#[test]
fn what_cannot_be_read_is_counted_and_named_and_the_exit_code_says_so() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let mut lines = vec!["{\"product\":\"linux\"".to_owned(), "no json".into(), "[1]".into(), "{}".into(), "\"text\"".into()];
    lines.extend((0..20).map(|n| format!("broken {n}")));
    lines.push(cat(1).to_string());
    bench.write("e.jsonl", lines.join("\n"))?;
    let said = bench.run(&["match", "--rules", "rules.yml", "e.jsonl", "nosuch", "-o", "jsonl"])?;
    said.is(
        2,
        &["e.jsonl:1: ", "e.jsonl:2: ", "e.jsonl:3: ", "24 lines could not be read", "nosuch: No such file", "2 events, 1 findings"],
    )?;
    ensure!(of(&said, "line")? == [26], "{said:?}");
    ensure!(said.err.lines().count() < 12, "every bad line is printed: {}", said.err);
    bench.write("cut.json", format!("[{},\n{}", cat(1), cat(2)))?;
    let said = bench.run(&["match", "--rules", "rules.yml", "cut.json", "-o", "jsonl"])?;
    said.is(2, &["cut.json: the array ends before its closing bracket"])?;
    ensure!(of(&said, "line")? == [1, 2], "{said:?}");
    bench.write("bad.yml", RULES.replacen("endswith", "endwith", 1))?;
    let said = bench.run(&["match", "--rules", "bad.yml", "e.jsonl"])?;
    said.is(2, &["bad.yml:", "did you mean 'endswith'?"])?;
    bench.run(&["match", "--rules", "nosuch.yml", "e.jsonl"])?.is(2, &["nosuch.yml", "--rules"])?;
    bench.run(&["match", "--rules", "rules.yml", "-o", "csv"])?.is(2, &["table, json, jsonl or count"])?;
    Ok(())
}

#[test]
fn the_log_source_is_the_events_or_the_options() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let command = "cat /etc/shadow";
    let ecs = json!({"host": {"os": {"type": "linux"}}, "event": {"category": ["process"], "type": "start"}, "process": {"executable": "/bin/cat", "command_line": command}});
    let nested = json!({"logsource": {"product": "linux", "category": "process_creation"}, "Image": "/bin/cat", "CommandLine": command});
    let bare = json!({"Image": "/bin/cat", "CommandLine": command});
    bench.write("map.yml", "fields:\n  Image: process.executable\n  CommandLine: process.command_line\n")?;
    let run = |more: &[&str], record: &Value| {
        let mut all = vec!["match", "--rules", "rules.yml", "-o", "jsonl"];
        all.extend(more);
        bench.feed(&all, record.to_string().as_bytes())
    };
    let said = run(&["--mapping", "map.yml"], &ecs)?;
    said.is(1, &["1 findings"])?;
    ensure!(said.json()?["matches"][0]["field"] == "Image", "{said:?}");
    run(&[], &nested)?.is(1, &["1 findings"])?;
    run(&[], &bare)?.is(2, &["the events name no log source", "--product"])?;
    run(&["--product", "linux", "--category", "process_creation"], &bare)?.is(1, &["1 findings"])?;
    run(&["--product", "windows"], &nested)?.is(0, &["0 findings"])?;
    run(&["--source", "none", "--product", "windows"], &nested)?.is(0, &["0 findings"])?;
    Ok(())
}

#[test]
fn figures_are_given_for_programs_and_for_people() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let records: Vec<Value> = (0..500).map(cat).collect();
    let said = bench.feed(&["match", "--rules", "rules.yml", "-o", "count", "--stats=json"], text(&records).as_bytes())?;
    let figures: Value = serde_json::from_str(said.err.lines().last().context("a line of figures")?)?;
    ensure!(figures["events"] == 500 && figures["findings"] == 500 && figures["rules"] == 2 && figures["correlations"] == 1, "{figures:#}");
    ensure!(figures["bytes"] == text(&records).len() && figures["cpu_seconds"].is_number(), "{figures:#}");
    ensure!(
        figures["by_rule"]
            == json!([{"rule": "00000000-0000-4000-8000-000000000001", "title": "Shadow file read", "level": "high", "findings": 500}]),
        "{figures:#}"
    );
    bench.feed(&["match", "--rules", "rules.yml", "-o", "count", "--stats"], text(&records).as_bytes())?.is(1, &["events_per_second"])?;
    Ok(())
}

/// The shipped rules through `match` find what their hit cases hold.
#[test]
fn shipped_rules_match_their_own_cases() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let hit = tests::programs::root().join("tests/rules/access/ssh_guessed/hit.jsonl").display().to_string();
    let said = bench.run(&["match", "--rules", &config("rules"), "--mapping", &config("mappings"), &hit, "-o", "jsonl"])?;
    said.is(1, &[])?;
    let titles = of(&said, "title")?;
    ensure!(titles.iter().any(|t| t.as_str().is_some_and(|t| t.contains("SSH"))), "{titles:?}");
    Ok(())
}
