//! Indicators without a server: `match` and `replay` look for them, `check` says what is wrong with their files.

use super::*;

const FEED: &str = "value,confidence,valid_until,description\nevil.example,90,,beacon\n192.0.2.66,50,2026-01-01T00:00:00Z,old\n203.0.113.0/24,40,,scanner\n";

#[test]
fn match_finds_what_any_stream_holds_of_them() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    bench.write("feed.csv", FEED)?;
    let records = [
        json!({"product": "linux", "dns": {"question": {"name": "a.Evil.example."}}, "@timestamp": "2026-11-23T12:00:00Z"}),
        json!({"product": "linux", "QueryName": "notevil.example", "@timestamp": "2026-11-23T12:00:01Z"}),
        json!({"product": "linux", "DestinationIp": "192.0.2.66", "@timestamp": "2026-11-23T12:00:02Z"}),
        json!({"product": "linux", "DestinationIp": "192.0.2.66", "@timestamp": "2025-12-24T12:00:02Z"}),
        json!({"product": "linux", "destination.ip": "203.0.113.77"}),
    ];
    bench.write("e.jsonl", text(&records))?;
    // Without rules: those that ship for indicators. The third line is past its indicator's validity, the fifth says no time.
    let said = bench.run(&["match", "--indicators", "feed.csv", "e.jsonl", "-o", "jsonl"])?;
    said.is(1, &["5 events, 3 findings"])?;
    let told: Vec<(Value, Value)> = said.lines()?.iter().map(|l| (l["line"].clone(), l["level"].clone())).collect();
    ensure!(told == [(json!(1), json!("high")), (json!(4), json!("medium")), (json!(5), json!("medium"))], "{told:?}");
    let first = &said.lines()?[0];
    ensure!(first["matches"].to_string().contains("evil.example"), "{first:#}");

    // With rules of one's own: the facts are fields like any other.
    bench.write("own.yml", "title: Beacon\nid: 00000000-0000-4000-8000-0000000000aa\nlogsource:\n  product: linux\ndetection:\n  it:\n    threat.indicator.description: beacon\n    threat.indicator.field: dns.question.name\n  condition: it\n")?;
    let said = bench.run(&["match", "--rules", "own.yml", "--indicators", "feed.csv", "e.jsonl", "-o", "jsonl"])?;
    said.is(1, &[])?;
    ensure!(of(&said, "line")? == [json!(1)], "{said:?}");
    // Without the indicators, the same rule finds nothing.
    bench.run(&["match", "--rules", "own.yml", "e.jsonl"])?.is(0, &[])?;
    bench.run(&["match", "e.jsonl"])?.is(2, &["--rules"])?;
    bench.write("bad.txt", "evil.example\n127.0.0.1\n")?;
    bench.run(&["match", "--indicators", "bad.txt", "e.jsonl"])?.is(2, &["bad.txt:2: '127.0.0.1'", "5 events, 1 findings"])?;
    Ok(())
}

#[test]
fn replay_looks_for_them_in_recorded_input() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    bench.write("feed.csv", FEED)?;
    let line = |name: &str| json!({"time": "2026-11-23T12:00:00Z", "class_uid": 4003, "query.hostname": name}).to_string();
    bench.write("e.jsonl", format!("{}\n{}\n", line("x.evil.example"), line("example.org")))?;
    let rules = config("rules/indicator");
    let run = |more: &[&str]| bench.run(&[&["replay", "e.jsonl", "--rules", &rules, "-o", "jsonl"][..], more].concat());
    run(&[])?.is(0, &["2 events, 0 findings"])?;
    let said = run(&["--indicators", "feed.csv"])?;
    said.is(1, &["2 events, 1 findings, 1 alerts"])?;
    let alert = said.json()?;
    ensure!(alert["finding_info"]["title"] == "Sure indicator of compromise seen", "{alert:#}");
    ensure!(alert["unmapped"]["group_key"]["threat.indicator.value"] == "evil.example", "{alert:#}");
    run(&["--indicators", "nosuch.csv"])?.is(2, &["nosuch.csv: cannot open", "2 events, 0 findings"])?;
    Ok(())
}

#[test]
fn check_names_file_line_and_reason() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    bench.write("feeds/good.csv", FEED)?;
    let (rules, mappings, register) = (config("rules"), config("mappings"), config("register.toml"));
    let run = |more: &[&str]| {
        let all = ["check", "--rules", &rules, "--mappings", &mappings, "--register", &register, "--data", "data", "--indicators", "feeds"];
        bench.run(&[&all[..], more].concat())
    };
    let said = run(&[])?;
    said.is(0, &[])?;
    ensure!(said.out.contains("3 indicators of 1 files"), "{said:?}");
    bench.write("feeds/bad.txt", "evil.example\n0.0.0.0/0\nlocalhost\n")?;
    bench.write("feeds/cut.json", "{\"type\": \"bundle\", \"objects\": [{\"type\"")?;
    run(&[])?.is(2, &["feeds/bad.txt:2: '0.0.0.0/0': the network is wider than /8", "feeds/bad.txt:3: 'localhost'", "feeds/cut.json"])?;
    let said = run(&["--deep", "-o", "json"])?;
    said.is(1, &[])?;
    let rows = said.json()?;
    let row = rows.as_array().into_iter().flatten().find(|r| r["check"] == "indicators").context("a row")?;
    ensure!(row["good"] == false && row.to_string().contains("bad.txt:2"), "{row:#}");
    Ok(())
}
