//! What is deployed beside the programs: Prometheus rules by promtool, the Grafana dashboard by a real Prometheus that scrapes a real collector.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tests::http::Client;
use tests::programs::{self, Running};

fn deploy(path: &str) -> PathBuf {
    programs::root().join("deploy").join(path)
}

#[expect(clippy::disallowed_methods, reason = "a case starts the tools it needs")]
fn promtool(args: &[&str]) -> Result<()> {
    let out = Command::new("promtool").args(args).current_dir(deploy("prometheus")).output()?;
    ensure!(
        out.status.success(),
        "promtool {}:\n{}{}",
        args.join(" "),
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}

#[test]
fn promtool_accepts_configuration_rules_and_their_tests() -> Result<()> {
    if !programs::installed("promtool") {
        tests::skip("promtool is not installed (Debian package prometheus)");
        return Ok(());
    }
    promtool(&["check", "config", "prometheus.yml"])?;
    promtool(&["check", "rules", "vedette-alerts.yml", "vedette-recording.yml"])?;
    promtool(&["test", "rules", "tests.yml"])
}

#[test]
fn the_dashboard_is_tidy() -> Result<()> {
    let dashboard = dashboard()?;
    ensure!(dashboard["uid"].as_str().is_some_and(|u| !u.is_empty()), "a stable uid");
    let panels = dashboard["panels"].as_array().context("panels")?;
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap_or_default();
        ensure!(ids.insert(panel["id"].as_i64()), "{title}: its id is there twice");
        ensure!(!title.is_empty() && panel["description"].as_str().is_some_and(|d| !d.is_empty()), "{title}: title and description");
        ensure!(panel["fieldConfig"]["defaults"]["unit"].as_str().is_some_and(|u| !u.is_empty()), "{title}: a unit");
        ensure!(panel["datasource"]["uid"] == "${datasource}", "{title}: the data source is a variable");
        for target in panel["targets"].as_array().context("targets")? {
            let expr = target["expr"].as_str().unwrap_or_default();
            ensure!(expr.contains("$job"), "{title}: no job is fixed");
            ensure!(
                !expr.contains("rate(") || expr.contains("$__rate_interval") || expr.contains("[24h]"),
                "{title}: rate() over $__rate_interval"
            );
        }
    }
    for (n, a) in panels.iter().enumerate() {
        for b in &panels[n + 1..] {
            ensure!(!overlap(&a["gridPos"], &b["gridPos"]), "{} and {} overlap", a["title"], b["title"]);
        }
    }
    Ok(())
}

fn overlap(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    let side = |p: &serde_json::Value, at: &str, size: &str| {
        (p[at].as_i64().unwrap_or(0), p[at].as_i64().unwrap_or(0) + p[size].as_i64().unwrap_or(0))
    };
    let meets = |(a0, a1): (i64, i64), (b0, b1): (i64, i64)| a0 < b1 && b0 < a1;
    meets(side(a, "x", "w"), side(b, "x", "w")) && meets(side(a, "y", "h"), side(b, "y", "h"))
}

fn dashboard() -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&fs::read_to_string(deploy("grafana/dashboards/vedette-pipeline.json"))?)?)
}

#[test]
fn a_real_prometheus_answers_every_query_of_the_dashboard() -> Result<()> {
    if !programs::installed("prometheus") || !programs::installed("promtool") {
        tests::skip("prometheus is not installed (Debian package prometheus)");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let register = dir.path().join("register.toml");
    fs::write(&register, "[[unit]]\nid = \"this-host\"\nname = \"本机\"\nsector = \"telecom\"\n")?;
    let Some(collector) = programs::collector(&dir.path().join("collector"), "127.0.0.1", &register)? else { return Ok(()) };

    // The text itself, by promtool's own rules for names and help; asked for twice, so that a request was counted.
    collector.admin.get("/metrics")?;
    let text = collector.admin.get("/metrics")?;
    ensure!(text.status == 200, "/metrics: {}", text.status);
    check_metrics(&text.body)?;
    every_metric_named_is_exported(&text.body)?;

    let [port, ..] = programs::free_ports()?;
    let config = dir.path().join("prometheus.yml");
    fs::write(
        &config,
        format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: vedette\n    static_configs:\n      - targets: [\"{}\"]\n",
            collector.admin.server
        ),
    )?;
    let _prometheus = prometheus(&config, &dir.path().join("tsdb"), port)?;
    let asked = Client { server: ([127, 0, 0, 1], port).into(), token: String::new() };
    wait_until_scraped(&asked)?;

    let mut answered = 0;
    for panel in dashboard()?["panels"].as_array().into_iter().flatten() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().unwrap_or_default().replace("$job", ".+").replace("$__rate_interval", "10s");
            let answer = query(&asked, &expr)?;
            ensure!(answer["status"] == "success", "{}: {expr}: {answer}", panel["title"]);
            // Metrics by outcome have no series before the first outcome; what is always there must answer with a value.
            let always = [
                "vedette_agents_known",
                "vedette_engine_events_total",
                "vedette_engine_behind_bytes",
                "vedette_config_last_reload_successful",
                "vedette_feed_readers",
                "vedette_serve_requests_total",
                "vedette_desk_open_alerts",
                "vedette_ingest_links",
                "vedette_ingest_bytes_total",
                "vedette_ingest_pending_batches",
                "vedette_wal_held_bytes",
                "vedette_wal_failures_total",
                "vedette_store_behind_bytes",
                "vedette_data_free_bytes",
                "vedette_correlate_groups",
                "vedette_authority_certificate_expiry_timestamp_seconds",
                "vedette_indicators_entries",
                "vedette_indicators_expired_entries",
                "vedette_indicators_agents",
                "vedette_indicators_unreadable_sources",
                "vedette_indicators_searches",
            ];
            let has = answer["data"]["result"].as_array().is_some_and(|r| !r.is_empty());
            ensure!(has || !always.iter().any(|m| expr.contains(m)), "{}: {expr} has no series", panel["title"]);
            answered += 1;
        }
    }
    println!("dashboard: {answered} queries answered by a real Prometheus");
    Ok(())
}

/// Dashboard, alert rules and recording rules name only what the collector really exports.
fn every_metric_named_is_exported(text: &str) -> Result<()> {
    // Have series only once an agent was heard, once a segment was written, and once there is a source of indicators.
    const LATER: [&str; 3] = [
        "vedette_unit_ledger_difference_events",
        "vedette_store_oldest_event_timestamp_seconds",
        "vedette_indicators_source_refused_entries",
    ];
    let mut sources = vec![fs::read_to_string(deploy("grafana/dashboards/vedette-pipeline.json"))?];
    for rules in ["vedette-alerts.yml", "vedette-recording.yml"] {
        sources.push(fs::read_to_string(deploy("prometheus").join(rules))?);
    }
    let exported: BTreeSet<&str> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut named = BTreeSet::new();
    for expr in sources.iter().flat_map(|s| s.lines()).filter(|l| l.contains("expr")) {
        named.extend(expr.split(|c| !word(c)).filter(|w| w.starts_with("vedette_") && !w.starts_with("vedette_agent_")));
    }
    for name in &named {
        let family = name.strip_suffix("_bucket").unwrap_or(name);
        ensure!(exported.contains(family) || LATER.contains(name), "{name} is used in deploy/ and not exported");
    }
    println!("deploy: {} metrics named, {} exported", named.len(), exported.len());
    ensure!(named.len() >= 30, "{named:?}");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a case starts the tools it needs")]
fn check_metrics(text: &str) -> Result<()> {
    use std::io::Write;
    let mut child =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("an input")?.write_all(text.as_bytes())?;
    let out = child.wait_with_output()?;
    ensure!(
        out.status.success(),
        "promtool check metrics:\n{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a case starts the tools it needs")]
fn prometheus(config: &std::path::Path, data: &std::path::Path, port: u16) -> Result<Running> {
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start prometheus")?;
    Ok(Running(child))
}

fn query(prometheus: &Client, expr: &str) -> Result<serde_json::Value> {
    let escaped: String =
        expr.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    let answer = prometheus.get(&format!("/api/v1/query?query={escaped}"))?;
    Ok(serde_json::from_str(&answer.body)?)
}

/// Until three scrapes are in, so that rates have two points.
fn wait_until_scraped(prometheus: &Client) -> Result<()> {
    programs::until(60, "three scrapes by Prometheus", || {
        let count = query(prometheus, "count_over_time(vedette_build_info[1m])").ok();
        let scrapes = count.as_ref().and_then(|c| c["data"]["result"][0]["value"][1].as_str()?.parse::<u32>().ok());
        Ok(scrapes.filter(|n| *n >= 3).map(|_| ()))
    })
}
