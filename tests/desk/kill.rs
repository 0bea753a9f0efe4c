//! kill -9 in the middle of drafting, issuing, signing and lifting: what was answered stands, nothing is there twice, nothing by half.
//!
//! The script goes by what it reads, as a person would: it looks where a warning stands and does the next act with the revision it saw, under a
//! key of its own. The collector is killed while an act is under way, at another act each time.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::http::Client;
use tests::programs::{self, Collector};

const UNITS: [&str; 3] = ["bank", "grid", "metro"];
const WARNINGS: usize = 2;
const KILLS: usize = 8;

fn register() -> String {
    let unit = |id: &str, sector: &str| {
        format!(
            "[[unit]]\nid = \"{id}\"\nname = \"{id}\"\nsector = \"{sector}\"\ncontacts = [{{ name = \"值班\", role = \"duty\", mail = \"duty@{id}.example\" }}]\n"
        )
    };
    [unit("bank", "finance"), unit("grid", "power"), unit("metro", "transport"), unit("this-host", "local")].concat()
}

/// The next act of warning `n`: address, headers, body; none when it is lifted and every receipt has ended.
fn next(client: &Client, n: usize) -> Result<Option<(String, String, Value)>> {
    let title = format!("第 {n} 号预警");
    let all = client.json(&format!("/api/v1/warnings?state=all&q={n}&full=true"))?;
    let found = all["items"].as_array().context("a list")?.iter().find(|w| w["title"]["zh"] == title.as_str()).cloned();
    let Some(warning) = found else {
        let draft = json!({
            "title": {"zh": title, "en": format!("warning {n}")}, "event": {"zh": "勒索软件", "en": "ransomware"},
            "measures": [{"zh": "断网核查", "en": "disconnect and check"}], "units": UNITS,
        });
        return Ok(Some(("/api/v1/warnings/draft".into(), format!("idempotency-key: draft-{n}\r\n"), draft)));
    };
    let id = warning["id"].as_str().context("an id")?;
    let act = |kind: &str, id: &str, act: &str, revision: &Value, body: Value| {
        Ok(Some((format!("/api/v1/{kind}/{id}/{act}"), format!("if-match: \"{revision}\"\r\n"), body)))
    };
    let seen = &warning["revision"];
    match warning["state"].as_str().unwrap_or("") {
        "draft" => return act("warnings", id, "assess", seen, json!({"level": "yellow", "reason": "多家单位出现同一样本"})),
        "assessing" => return act("warnings", id, "issue", seen, json!({})),
        _ => {}
    }
    let receipts = client.json(&format!("/api/v1/receipts?state=all&link={id}"))?;
    for receipt in receipts["items"].as_array().context("a list")? {
        let (rid, seen) = (receipt["id"].as_str().context("an id")?, &receipt["revision"]);
        match receipt["state"].as_str().unwrap_or("") {
            "sent" | "delivered" => return act("receipts", rid, "see", seen, json!({})),
            "seen" => return act("receipts", rid, "sign", seen, json!({"who": "王值班"})),
            "signed" | "acted" => return act("receipts", rid, "feed_back", seen, json!({"affected": "no", "who": "王值班"})),
            _ => {}
        }
    }
    if warning["state"] == "issued" {
        return act("warnings", id, "lift", seen, json!({"reason": "样本已清除", "override_reason": "演练环境"}));
    }
    Ok(None)
}

/// What must hold after every start: all of an issue or nothing of it; chains whole.
fn consistent(client: &Client, answered: &[(String, u64)]) -> Result<()> {
    for (path, revision) in answered {
        let now = client.json(path)?["revision"].as_u64().context("a revision")?;
        ensure!(now >= *revision, "{path} was answered as revision {revision} and is {now}");
        let history = client.json(&format!("{path}/history"))?;
        let numbers: Vec<u64> = history["items"].as_array().context("a list")?.iter().filter_map(|e| e["revision"].as_u64()).collect();
        ensure!(numbers == (1..=now).collect::<Vec<_>>(), "{path}: its history is {numbers:?}");
    }
    for warning in client.json("/api/v1/warnings?state=all&full=true")?["items"].as_array().context("a list")? {
        let id = warning["id"].as_str().context("an id")?;
        let revisions = warning["body"]["revisions"].as_array().cloned().unwrap_or_default();
        let issues = revisions.iter().filter(|r| r["step"] == "issue").count();
        let receipts = client.json(&format!("/api/v1/receipts?state=all&link={id}"))?;
        let units: BTreeSet<&str> = receipts["items"].as_array().context("a list")?.iter().filter_map(|r| r["units"][0].as_str()).collect();
        let issued = matches!(warning["state"].as_str(), Some("issued" | "lifted"));
        ensure!(issues == usize::from(issued), "{id} is {} and was issued {issues} times", warning["state"]);
        ensure!(units == if issued { BTreeSet::from(UNITS) } else { BTreeSet::new() }, "{id}: receipts of {units:?}");
    }
    ensure!(client.json("/api/v1/audit/verify")?["intact"] == true, "the audit chain is broken");
    Ok(())
}

#[test]
fn killed_at_any_act_no_warning_is_lost_issued_twice_or_forgotten() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("register.toml");
    std::fs::write(&path, register())?;
    let rules = dir.path().join("rules");
    std::fs::create_dir(&rules)?;
    let start = || programs::collector_with(&dir.path().join("collector"), "127.0.0.1", &rules, &path, [0, 0, 0]);
    let Some(mut running) = start()? else { return Ok(()) };
    let mut answered: Vec<(String, u64)> = Vec::new();
    let (mut acts, mut kills) = (0, 0);
    loop {
        let mut todo = None;
        for n in 0..WARNINGS {
            todo = next(&running.admin, n)?;
            if todo.is_some() {
                break;
            }
        }
        let Some((path, headers, body)) = todo else { break };
        acts += 1;
        ensure!(acts < 200, "the script does not come to an end");
        // Every third act, in turn at another kind of act, is cut off in the middle.
        if acts % 3 == 0 && kills < KILLS {
            kills += 1;
            let client = running.admin.clone();
            let under_way = std::thread::spawn(move || client.send("POST", &path, &headers, Some(&body)));
            kill(&mut running)?;
            let answer = under_way.join().ok().and_then(Result::ok);
            if let Some(answer) = answer.filter(|a| a.status == 200) {
                remember(&answer.body, &mut answered)?;
            }
            drop(running);
            running = start()?.context("it was there before")?;
            consistent(&running.admin, &answered)?;
            continue;
        }
        let answer = running.admin.send("POST", &path, &headers, Some(&body))?;
        ensure!(answer.status == 200, "{path} {body}: {} {}", answer.status, answer.body);
        remember(&answer.body, &mut answered)?;
    }
    consistent(&running.admin, &answered)?;
    let lifted = running.admin.json("/api/v1/warnings?state=lifted")?;
    ensure!(lifted["items"].as_array().is_some_and(|w| w.len() == WARNINGS) && kills == KILLS, "{kills} kills: {lifted:#}");
    println!("{acts} acts, {kills} kills in the middle of one: every answered act stands, {WARNINGS} warnings issued once each");
    Ok(())
}

fn remember(body: &str, answered: &mut Vec<(String, u64)>) -> Result<()> {
    let done: Value = serde_json::from_str(body)?;
    let matter = &done["matter"];
    let (kind, id) = (matter["kind"].as_str().context("a kind")?, matter["id"].as_str().context("an id")?);
    let path = format!("/api/v1/{kind}s/{id}");
    answered.retain(|(p, _)| *p != path);
    answered.push((path, matter["revision"].as_u64().context("a revision")?));
    Ok(())
}

/// SIGKILL, and the end of the process.
fn kill(collector: &mut Collector) -> Result<()> {
    collector.child.0.kill()?;
    collector.child.0.wait()?;
    Ok(())
}
