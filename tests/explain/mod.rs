//! `vedette explain` through the real program: parse → fields → each rule, the nearest miss first.

mod served;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::bench::{Bench, config};

fn arguments<'a>(rules: &'a str, mappings: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["explain", "--rules", rules, "--mapping", mappings], more].concat()
}

#[test]
fn a_line_is_parsed_and_every_rule_of_its_source_answers() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    let (rules, mappings) = (config("rules"), config("mappings"));
    let line = "Nov 23 11:00:00 web1 sshd[7]: Failed password for root from 192.0.2.1 port 4242 ssh2";
    let said = bench.run(&arguments(&rules, &mappings, &["--line", line, "-o", "json"]))?;
    said.is(1, &[])?;
    let told = said.json()?;
    ensure!(told["event"]["log_source"] == "linux/*/sshd" && told["event"]["fields"]["src_endpoint.ip"] == "192.0.2.1", "{told:#}");
    let listed = told["rules"].as_array().context("rules")?;
    let shorts: Vec<u64> = listed.iter().filter_map(|r| r["short"].as_u64()).collect();
    ensure!(shorts.is_sorted() && shorts.first() == Some(&0) && shorts.len() == listed.len(), "{shorts:?}");
    let hit = &listed[0];
    ensure!(
        hit["matched"] == true && hit["conditions"].as_array().is_some_and(|c| !c.is_empty() && c.iter().all(|c| c["holds"] == true)),
        "{hit:#}"
    );
    ensure!(
        listed
            .iter()
            .any(|r| r["feeds"].as_array().is_some_and(|f| f.iter().any(|f| f["says"].as_str().is_some_and(|s| s.contains("count"))))),
        "{listed:#?}"
    );
    for (lang, words) in [("en", ["parsed as", "asked", "counts towards"]), ("zh", ["解析为", "共询问", "计入"])] {
        let said = bench.run(&arguments(&rules, &mappings, &["--line", line, "--lang", lang]))?;
        said.is(1, &[])?;
        ensure!(words.iter().all(|w| said.out.contains(w)), "{lang}: {}", said.out);
    }
    // The same through standard input, and with the parser named.
    let piped = bench
        .feed(&arguments(&rules, &mappings, &["--line", "-", "--parser", "sshd", "-o", "jsonl"]), format!("{line}\n{line}\n").as_bytes())?;
    ensure!(piped.lines()?.len() == 2, "{piped:?}");
    Ok(())
}

#[test]
fn a_record_that_misses_shows_what_it_lacks() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    bench.write(
        "r.yml",
        "title: Far\nid: 00000000-0000-4000-8000-000000000001\nlogsource:\n  category: process_creation\ndetection:\n  s:\n    Image|endswith: /nc\n    User: root\n  condition: s\nlevel: high\n---\ntitle: Near\nid: 00000000-0000-4000-8000-000000000002\nlogsource:\n  category: process_creation\ndetection:\n  s:\n    CommandLine|contains: shadow\n  no:\n    User: backup\n  condition: s and not no\nlevel: low\n",
    )?;
    let record = json!({"category": "process_creation", "CommandLine": "cat /etc/shadow", "User": "backup"}).to_string();
    let said = bench.run(&["explain", "--rules", "r.yml", "--event", &record, "-o", "json"])?;
    said.is(0, &[])?;
    let told = said.json()?;
    let titles: Vec<&Value> = told["rules"].as_array().context("rules")?.iter().map(|r| &r["title"]).collect();
    ensure!(titles == ["Near", "Far"], "{told:#}");
    ensure!(told["rules"][0]["short"] == 1 && told["rules"][0]["conditions"][0]["value"] == "backup", "{told:#}");
    ensure!(told["rules"][1]["short"] == 2 && told["rules"][1]["conditions"][0]["present"] == false, "{told:#}");
    let text = bench.run(&["explain", "--rules", "r.yml", "--event", &record])?;
    ensure!(text.out.contains("✗ Near") && text.out.contains("2 conditions short") && text.out.contains("[no such field]"), "{}", text.out);
    let ecs = json!({"event": {"category": "process", "type": "start"}, "CommandLine": "cat /etc/shadow"}).to_string();
    bench.run(&["explain", "--rules", "r.yml", "--event", &ecs])?.is(1, &[])?;
    for (arguments, word) in [
        (vec!["explain", "--rules", "r.yml", "--event", "{"], "not JSON"),
        (vec!["explain", "--rules", "r.yml", "--event", "[]"], "no JSON object"),
        (vec!["explain", "--rules", "r.yml", "--rule", "nosuch", "--event", "{}"], "no detection rule has this id or name"),
        (vec!["explain", "--rules", "r.yml"], "--line"),
        (vec!["explain", "--rules", "nosuch", "--event", "{}"], "nosuch"),
    ] {
        bench.run(&arguments)?.is(2, &[word])?;
    }
    Ok(())
}
