//! `vedette rules …` through the real program: test files say what must be found, the difference says why it was not; coverage; check.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::bench::{Bench, config};

const RULES: &str = r#"
title: Failed login
id: 00000000-0000-4000-8000-000000000002
name: failed
status: test
logsource:
  service: sshd
detection:
  fail:
    outcome: failure
  condition: fail
level: low
tags: [attack.credential-access, attack.t1110]
---
title: Guessing
id: 00000000-0000-4000-8000-000000000003
name: guessing
status: test
tags: [attack.t1110.001]
correlation:
  type: event_count
  rules: [failed]
  group-by: [src]
  timespan: 1m
  condition:
    gte: 3
level: medium
---
title: Root login
id: 00000000-0000-4000-8000-000000000004
name: root_login
status: test
logsource:
  service: sshd
detection:
  ok:
    outcome: success
    user: root
  condition: ok
level: high
tags: [attack.t1078]
"#;

const TESTS: &str = r#"
about: what a login rule must do
rules: [../rules.yml]
tests:
  - name: three failures of one source are guessing
    start: 2026-11-23T08:00:00Z
    defaults: {service: sshd, src: 10.0.0.1}
    events:
      - {at: 0s, every: 5s, times: 3, outcome: failure}
      - {at: 2s, outcome: failure, src: 10.0.0.2}
    expect:
      - {rule: guessing, count: 1, at: 10s, where: {src: 10.0.0.1}}
    none: [root_login]
  - name: three failures far apart are nothing
    defaults: {service: sshd, src: 10.0.0.1}
    events:
      - {at: 0s, every: 1m1s, times: 3, outcome: failure}
  - name: root by another way
    defaults: {service: sshd}
    events:
      - {at: 1m, outcome: success, user: root}
    expect: [{rule: 00000000-0000-4000-8000-000000000004}]
    only: true
"#;

fn bench() -> Result<Option<Bench>> {
    let bench = Bench::new("vedette")?;
    if let Some(bench) = &bench {
        bench.write("rules.yml", RULES)?;
        bench.write("tests/login.yml", TESTS)?;
    }
    Ok(bench)
}

#[test]
fn tests_that_hold_say_so() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let said = bench.run(&["rules", "test", "tests"])?;
    said.is(0, &[])?;
    ensure!(said.out == "3 tests, 0 failed\n", "{said:?}");
    let zh = bench.run(&["rules", "test", "tests/login.yml", "--lang", "zh"])?;
    ensure!(zh.out == "共 3 个用例，0 个未通过\n", "{zh:?}");
    Ok(())
}

#[test]
fn a_test_that_fails_shows_the_difference_and_what_came_nearest() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let broken = TESTS
        .replacen("count: 1, at: 10s", "count: 1, at: 11s", 1)
        .replacen("  - name: root", "    expect: [{rule: guessing}]\n  - name: root", 1)
        .replacen("user: root}", "user: admin}", 1);
    bench.write("tests/login.yml", &broken)?;
    let said = bench.run(&["rules", "test", "tests/login.yml", "-o", "json"])?;
    said.is(1, &[])?;
    let told = said.json()?;
    ensure!(told["tests"] == 3 && told["failed"] == 3, "{told:#}");
    let cases = told["cases"].as_array().context("cases")?;
    let line = |name: &str| broken.lines().position(|l| l.contains(name)).map(|n| n + 1);
    ensure!(cases[0]["line"] == json!(line("three failures of one")) && cases[2]["line"] == json!(line("root by another")), "{told:#}");
    let first = &cases[0]["problems"][0];
    ensure!(first["kind"] == "different" && first["got"][0].as_str().is_some_and(|g| g.starts_with("at 10s")), "{first:#}");
    let second = &cases[1]["problems"][0];
    ensure!(second["kind"] == "missing" && second["nearest"]["fed"] == json!([{"rule": "failed", "found": 3}]), "{second:#}");
    let third = &cases[2]["problems"][0];
    ensure!(
        third["nearest"]["short"] == 1 && third["nearest"]["event"] == 1 && third["nearest"]["conditions"][0]["value"] == "admin",
        "{third:#}"
    );
    let text = bench.run(&["rules", "test", "tests/login.yml"])?;
    for words in [
        "FAIL tests/login.yml:",
        "- expected  guessing  ×1 at 11s src=10.0.0.1",
        "+ got       guessing  at 10s",
        "[admin]",
        "3 tests, 3 failed",
    ] {
        ensure!(text.out.contains(words), "'{words}' is not in\n{}", text.out);
    }
    Ok(())
}

#[test]
fn a_test_file_with_a_mistake_is_named_with_its_place() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    for (from, to, word) in [
        ("count: 1", "cuont: 1", "cuont"),
        ("at: 0s, every: 5s", "at: 5 apples, every: 5s", "'5 apples' is no time"),
        ("times: 3", "times: 0", "times: 0 is no count"),
        ("start: 2026-11-23T08:00:00Z", "start: today", "start 'today'"),
        ("rules: [../rules.yml]", "rules: [nosuch.yml]", "nosuch.yml"),
    ] {
        bench.write("tests/login.yml", TESTS.replacen(from, to, 1))?;
        bench.run(&["rules", "test", "tests/login.yml"])?.is(2, &[word])?;
    }
    bench.write("tests/login.yml", TESTS.replacen("none: [root_login]", "none: [nobody]", 1))?;
    let said = bench.run(&["rules", "test", "tests/login.yml"])?;
    said.is(1, &[])?;
    ensure!(said.out.contains("nobody") && said.out.contains("a rule of this id"), "{said:?}");
    bench.run(&["rules", "test", "nosuch.yml"])?.is(2, &["nosuch.yml"])
}

/// Every shipped rule's own cases, by the command a rule author has.
#[test]
fn the_shipped_cases_hold_by_the_command() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    let cases = tests::programs::root().join("tests/rules").display().to_string();
    let said = bench.run(&["rules", "test", &cases, "--rules", &config("rules"), "--mapping", &config("mappings"), "-o", "json"])?;
    said.is(0, &[])?;
    let told = said.json()?;
    ensure!(told["tests"].as_u64().is_some_and(|n| n >= 80) && told["failed"] == 0, "{}", told["tests"]);
    Ok(())
}

#[test]
fn coverage_counts_rules_and_tests_by_technique_and_prints_a_layer() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    let said = bench.run(&["rules", "coverage", "--rules", "rules.yml", "--tests", "tests", "-o", "json"])?;
    said.is(0, &["2 techniques, 2 of them with a tested rule"])?;
    let rows: Vec<Value> = said.json()?.as_array().cloned().context("rows")?;
    let short: Vec<Value> = rows.iter().map(|r| json!([r["technique"], r["rules"], r["tested"], r["fired"]])).collect();
    // The rule that only feeds the correlation raises nothing and covers nothing.
    ensure!(short == [json!(["T1078", 1, 1, null]), json!(["T1110.001", 1, 1, null])], "{rows:#?}");
    let layer = bench.run(&["rules", "coverage", "--rules", "rules.yml", "-o", "navigator"])?.json()?;
    ensure!(
        layer["domain"] == "enterprise-attack" && layer["techniques"][0]["techniqueID"] == "T1078" && layer["techniques"][0]["score"] == 1,
        "{layer:#}"
    );
    ensure!(layer["techniques"][0]["comment"] == "Root login", "{layer:#}");
    Ok(())
}

#[test]
fn check_names_every_mistake() -> Result<()> {
    let Some(bench) = bench()? else { return Ok(()) };
    bench.run(&["rules", "check", "rules.yml"])?.is(0, &["2 rules and 1 correlations in order, 0 refused"])?;
    bench.write("bad.yml", RULES.replacen("condition: ok", "condition: okk", 1).replacen("event_count", "event_cuont", 1))?;
    let said = bench.run(&["rules", "check", "bad.yml"])?;
    said.is(2, &["refused"])?;
    ensure!(said.out.contains("did you mean 'ok'") && said.out.contains("event_cuont"), "{said:?}");
    Ok(())
}
