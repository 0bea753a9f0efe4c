//! Why, rules on trial and changed rules, asked of a real collector over events that were in its log when it started.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use collector::store::{Frame, Wal, WalConfig};
use event::{AgentId, Class, Epoch, Event, Kind, LogSource, Timestamp, field};
use serde_json::{Value, json};
use tests::bench::{Bench, Said};
use tests::programs::{self, Collector};

const RULES: &str = r#"
title: Failed login
title_zh: 登录失败
id: 00000000-0000-4000-8000-000000000002
name: failed
status: test
logsource:
  service: sshd
detection:
  fail:
    status_id: 2
  condition: fail
level: low
---
title: Guessing
title_zh: 口令猜测
id: 00000000-0000-4000-8000-000000000003
name: guessing
status: test
correlation:
  type: event_count
  rules: [failed]
  group-by: [src_endpoint.ip]
  timespan: 1m
  condition:
    gte: 3
level: high
tags: [attack.t1110.001]
---
title: Anybody logs in
id: 00000000-0000-4000-8000-000000000005
name: anybody
status: test
shadow: true
logsource:
  service: sshd
detection:
  ok:
    status_id: 1
  condition: ok
level: medium
"#;

/// Log-ons as an agent would have sent them an hour ago: two small bursts, one large, one success.
fn frame(start: Timestamp) -> Result<Frame> {
    let mut packer = wire::batch::Packer::new(1);
    let at = |second: i64, src: &str, status: i64| {
        let time = start.plus_secs(second);
        let mut event = Event::new(time, Kind::Authentication, 1, LogSource::new("linux", "", "sshd"))
            .with(field::SRC_IP, src.parse::<std::net::IpAddr>().expect("an address"))
            .with(field::USER_NAME, "root")
            .with(field::STATUS_ID, status);
        event.observed = time;
        event
    };
    let mut events: Vec<Event> = (0..3).map(|n| at(n, "192.0.2.1", 2)).collect();
    events.extend((100..103).map(|n| at(n, "192.0.2.2", 2)));
    events.extend((200..220).map(|n| at(n, "192.0.2.3", 2)));
    events.push(at(230, "192.0.2.3", 1));
    for event in &events {
        let mut bytes = Vec::new();
        wire::event::encode(event, &mut bytes);
        ensure!(packer.push(wire::batch::Row::Event(&bytes)), "a small batch");
    }
    let batch = packer.pack(Class::Critical, Epoch(1), 1).context("a batch")?;
    Ok(Frame {
        agent: AgentId(7),
        received: start.plus_secs(231),
        class: Class::Critical,
        epoch: Epoch(1),
        first_seq: 1,
        last_seq: events.len() as u64,
        bytes: batch.to_bytes(),
    })
}

struct World {
    collector: Collector,
    bench: Bench,
}

/// A collector whose log holds the story; its alerts are there.
#[expect(clippy::disallowed_methods, reason = "the collector looks back from the real time")]
fn world() -> Result<Option<World>> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(None) };
    let rules = bench.write("rules.yml", RULES)?;
    let register = bench.write("register.toml", "")?;
    let data = bench.path("data");
    std::fs::create_dir_all(&data)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let start = Timestamp::from_secs(i64::try_from(now)? - 3_600);
    let (wal, _) = Wal::open(&data.join("wal"), WalConfig::default())?;
    tokio::runtime::Builder::new_current_thread().build()?.block_on(wal.append(frame(start)?))?;
    wal.close();
    drop(wal);
    let Some(collector) = programs::collector_with(&data, "127.0.0.1", &rules, &register, [0, 0, 0])? else { return Ok(None) };
    Ok(Some(World { collector, bench }))
}

impl World {
    /// Runs the command line against the collector.
    fn vedette(&self, arguments: &[&str]) -> Result<Said> {
        let token = self.bench.write("token", &self.collector.admin.token)?.display().to_string();
        let server = format!("http://{}", self.collector.admin.server);
        self.bench.run(&[arguments, &["--server", &server, "--token-file", &token]].concat())
    }

    /// Asks until the answer is as wanted, or a minute has passed.
    #[expect(clippy::disallowed_methods, reason = "waits for another process")]
    fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.collector.admin.json(path)?;
            if wanted(&answer) {
                return Ok(answer);
            }
            ensure!(Instant::now() < deadline, "{path} did not become as wanted: {answer:#}");
        }
    }

    fn alerts(&self) -> Result<Vec<Value>> {
        let page = self.until("/api/v1/alerts?state=all", |p| p["items"].as_array().is_some_and(|a| a.len() == 3))?;
        Ok(page["items"].as_array().cloned().unwrap_or_default())
    }
}

#[test]
fn why_is_the_engines_own_trace_of_stored_evidence() -> Result<()> {
    let Some(world) = world()? else { return Ok(()) };
    let alerts = world.alerts()?;
    let small = alerts.iter().find(|a| a["source_ips"] == json!(["192.0.2.1"])).context("the first burst")?;
    let id = small["id"].as_str().context("an id")?;
    let told = world.vedette(&["why", id, "-o", "json"])?.json()?;
    ensure!(told["window"]["says"] == "event_count ≥ 3 / 60 s / src_endpoint.ip" && told["window"]["timespan_s"] == 60, "{told:#}");
    ensure!(told["window"]["group"] == json!({"src_endpoint.ip": "192.0.2.1"}), "{told:#}");
    ensure!(told["reproduced"] == true && told["total"] == 3 && told["missing"] == json!([]), "{told:#}");
    let events = told["events"].as_array().context("events")?;
    ensure!(events.len() == 3, "{told:#}");
    for event in events {
        let verdict = &event["rules"][0];
        ensure!(verdict["title"] == "Failed login" && verdict["matched"] == true, "{event:#}");
        ensure!(verdict["conditions"][0]["value"] == "2", "{event:#}");
    }
    for (lang, words) in [("en", ["Window", "matched again", "✓ Failed login"]), ("zh", ["关联窗口", "全部命中", "✓ 登录失败"])]
    {
        let said = world.vedette(&["why", id, "--lang", lang])?;
        said.is(0, &[])?;
        ensure!(words.iter().all(|w| said.out.contains(w)), "{lang}: {}", said.out);
    }
    world.vedette(&["why", "Anobody"])?.is(2, &[])?;
    Ok(())
}

#[test]
fn a_rule_on_trial_is_counted_and_searchable_and_raises_no_alert() -> Result<()> {
    let Some(world) = world()? else { return Ok(()) };
    let titles: Vec<Value> = world.alerts()?.iter().map(|a| a["title"].clone()).collect();
    ensure!(titles.iter().all(|t| t == "Guessing"), "{titles:?}");
    let found = world.until("/api/v1/events?q=service:shadow", |p| p["items"].as_array().is_some_and(|i| !i.is_empty()))?;
    let items = found["items"].as_array().context("items")?;
    ensure!(items.len() == 1 && items[0]["class"] == "detection_finding", "{found:#}");
    let field = |name: &str| items[0]["fields"].as_array().into_iter().flatten().find(|f| f["name"] == name).map(|f| f["value"].clone());
    ensure!(
        field("finding_info.title") == Some(json!("Anybody logs in")) && field("src_endpoint.ip") == Some(json!("192.0.2.3")),
        "{found:#}"
    );
    let metrics = world.collector.admin.get("/metrics")?.body;
    let line = "vedette_engine_shadow_findings_total{rule=\"00000000-0000-4000-8000-000000000005\"} 1";
    ensure!(metrics.lines().any(|l| l == line), "'{line}' is not in the metrics");
    let listed = world.vedette(&["rules", "list", "-o", "json"])?.json()?;
    let shadow: Vec<&Value> = listed.as_array().into_iter().flatten().filter(|r| r["shadow"] == true).map(|r| &r["title"]).collect();
    ensure!(shadow == ["Anybody logs in"], "{listed:#}");
    let shown = world.vedette(&["rules", "show", "00000000-0000-4000-8000-000000000003"])?;
    ensure!(shown.out.contains("timespan: 1m"), "{shown:?}");
    let covered = world.vedette(&["rules", "coverage", "--rules", "rules.yml", "--live", "-o", "json"])?.json()?;
    ensure!(covered[0]["technique"] == "T1110.001" && covered[0]["fired"] == 3, "{covered:#}");
    Ok(())
}

#[test]
fn a_changed_rule_is_tried_on_what_is_stored() -> Result<()> {
    let Some(world) = world()? else { return Ok(()) };
    let alerts = world.alerts()?;
    let first = alerts.iter().find(|a| a["source_ips"] == json!(["192.0.2.1"])).and_then(|a| a["id"].as_str()).context("an id")?;
    world.vedette(&["close", first, "--reason", "false_positive"])?.is(0, &[])?;
    let changed = RULES.split("---\n").nth(1).context("the correlation")?.replace("gte: 3", "gte: 10");
    world.bench.write("new.yml", &changed)?;
    let said = world.vedette(&["rules", "diff", "--since", "24h", "new.yml", "-o", "json"])?;
    said.is(1, &[])?;
    let told = said.json()?;
    ensure!(told["events"].as_u64().is_some_and(|n| n >= 27), "{told:#}");
    let figures = ["alerts_before", "alerts_after", "kept", "gained", "lost", "lost_confirmed", "lost_false"].map(|k| told[k].as_u64());
    ensure!(figures == [Some(3), Some(1), Some(1), Some(0), Some(2), Some(0), Some(1)], "{told:#}");
    ensure!(told["lost_alerts"][0]["events"].as_array().is_some_and(|e| e.len() == 3), "{told:#}");
    for (lang, words) in [("en", "alerts 3 → 1: 1 kept, 0 gained, 2 lost"), ("zh", "告警 3 → 1：保留 1，新增 0，减少 2")] {
        let said = world.vedette(&["rules", "diff", "--since", "24h", "new.yml", "--lang", lang])?;
        ensure!(said.out.contains(words), "{lang}: {}", said.out);
    }
    // The same rule changes nothing.
    world.bench.write("same.yml", RULES)?;
    world.vedette(&["rules", "diff", "same.yml"])?.is(0, &[])?;
    world.bench.write("bad.yml", changed.replace("event_count", "event_cuont"))?;
    world.vedette(&["rules", "diff", "bad.yml"])?.is(2, &["bad.yml", "event_cuont"])?;
    world.vedette(&["rules", "diff", "--since", "tomorrow", "new.yml"])?.is(2, &["--since 'tomorrow'"])?;
    let looker = world.vedette(&["token", "create", "looker", "--role", "viewer", "-o", "json"])?.json()?;
    let token = world.bench.write("looker", looker["token"].as_str().context("a token")?)?.display().to_string();
    let server = format!("http://{}", world.collector.admin.server);
    world.bench.run(&["rules", "diff", "new.yml", "--server", &server, "--token-file", &token])?.is(4, &[])?;
    Ok(())
}
