//! Indicators of other houses over TAXII 2.1, through the real programs: one `vedette serve` publishes a warning, OASIS's own server (medallion)
//! holds a collection in several pages with one invalid object, a second `vedette serve` reads both by `[[taxii]]`, and a line of a log that a real
//! agent follows becomes an alert because of either. A publisher that is gone takes nothing away.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::http::Client;
use tests::programs::{self, Collector, Running};

const PATIENCE_S: u64 = 60;
const COLLECTION: &str = "91a7b528-80eb-42ed-a74d-c6fbd5a26116";
/// More than medallion gives at a time.
const OBJECTS: usize = 250;
const PAGE: usize = 100;
const REGISTER: &str =
    "[[unit]]\nid = \"grid\"\nname = \"电网\"\nsector = \"power\"\n[[unit]]\nid = \"this-host\"\nname = \"本机\"\nsector = \"finance\"\n";

/// An address of theirs: 198.18.0.0/15 is for benchmarks.
fn theirs(n: usize) -> String {
    format!("198.18.{}.{}", n / 200, n % 200 + 1)
}

/// What medallion serves: indicators, and one object that is no STIX.
fn collection() -> Value {
    let time = "2026-11-20T08:00:00.000Z";
    let mut objects: Vec<Value> = (0..OBJECTS)
        .map(|n| {
            let id = format!("indicator--{}", exchange::uuid5(&["intel", &n.to_string()]));
            let pattern = format!("[ipv4-addr:value = '{}']", theirs(n));
            json!({
                "type": "indicator", "spec_version": "2.1", "id": id, "created": time, "modified": time, "valid_from": time,
                "indicator_types": ["malicious-activity"], "pattern": pattern, "pattern_type": "stix", "confidence": 85,
            })
        })
        .collect();
    objects[7]["pattern"] = json!("[ipv4-addr:value = ");
    let manifest: Vec<Value> = (0..)
        .zip(&objects)
        .map(|(n, o)| {
            let added = format!("2026-11-21T08:{:02}:{:02}.000000Z", n / 60, n % 60);
            json!({"id": o["id"], "date_added": added, "version": time, "media_type": "application/stix+json;version=2.1"})
        })
        .collect();
    json!({
        "/discovery": {"title": "other house", "default": "/feeds/", "api_roots": ["/feeds/"]},
        "feeds": {
            "information": {"title": "feeds", "versions": ["application/taxii+json;version=2.1"], "max_content_length": 9_765_625},
            "status": [],
            "collections": [{
                "id": COLLECTION, "title": "addresses", "can_read": true, "can_write": false,
                "media_types": ["application/stix+json;version=2.1"], "objects": objects, "manifest": manifest,
            }],
        },
    })
}

#[expect(clippy::disallowed_methods, reason = "a case starts other people's programs")]
fn medallion(dir: &Path) -> Result<Option<(Running, u16)>> {
    let Some(python) = super::exchange::python() else { return Ok(None) };
    let known = Command::new(&python).args(["-c", "import medallion"]).stderr(Stdio::null()).status();
    if !known.is_ok_and(|s| s.success()) {
        tests::skip("no medallion among the validators; `cargo xtask test` installs it");
        return Ok(None);
    }
    let (data, config) = (dir.join("medallion.data.json"), dir.join("medallion.json"));
    std::fs::write(&data, collection().to_string())?;
    let backend = json!({"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": data});
    std::fs::write(&config, json!({"backend": backend, "users": {"vedette": "geheim 1"}, "taxii": {"max_page_size": PAGE}}).to_string())?;
    let log = std::fs::File::create(dir.join("medallion.log"))?;
    let script = programs::root().join("tests/desk/medallion.py");
    let mut child = Running(Command::new(python).arg(script).arg(&config).stdout(Stdio::piped()).stderr(log).spawn()?);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().context("an output")?).read_line(&mut line)?;
    let port = line.trim().parse().with_context(|| format!("medallion said '{line}'; see {}", dir.join("medallion.log").display()))?;
    Ok(Some((child, port)))
}

/// A warning with these addresses, issued to the grid.
fn warn(house: &Collector, title: &str, addresses: &[&str]) -> Result<()> {
    let act = |path: &str, body: Value| -> Result<Value> {
        let answer = house.admin.send("POST", &format!("/api/v1/warnings/{path}"), "if-match: *\r\n", Some(&body))?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    };
    let indicators: Vec<Value> = addresses.iter().map(|a| json!({"type": "ipv4-addr", "value": a})).collect();
    let draft = json!({
        "title": {"zh": title, "en": title}, "event": {"zh": "口令爆破", "en": "Passwords are guessed"}, "tlp": "green", "certainty": "observed",
        "measures": [{"zh": "封禁来源", "en": "Block the sources"}], "indicators": indicators, "units": ["grid"],
    });
    let id = act("draft", draft)?["matter"]["id"].as_str().context("an id")?.to_owned();
    act(&format!("{id}/assess"), json!({"level": "yellow", "reason": "seen at three units"}))?;
    act(&format!("{id}/issue"), json!({})).map(drop)
}

/// Now, as a log has it: an indicator counts from when it was published.
#[expect(clippy::disallowed_methods, reason = "real programs keep real time")]
fn now() -> event::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    event::Timestamp::from_secs(i64::try_from(since.as_secs()).unwrap_or(0))
}

/// Whether a value is an indicator there, and of which source.
fn source_of(client: &Client, value: &str) -> Result<Option<String>> {
    let answer = client.post("/api/v1/indicators/check", &json!({"values": [value]}))?;
    let answer: Value = serde_json::from_str(&answer.body)?;
    Ok(answer["items"][0]["matches"][0]["source"].as_str().map(str::to_owned))
}

fn until_known(client: &Client, value: &str, source: &str) -> Result<()> {
    programs::until(PATIENCE_S, &format!("{value} of {source}"), || Ok(source_of(client, value)?.filter(|s| s == source).map(drop)))
}

#[test]
fn indicators_of_other_houses_arrive_and_find() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let register = dir.path().join("register.toml");
    std::fs::write(&register, REGISTER)?;
    let Some((_medallion, port)) = medallion(dir.path())? else { return Ok(()) };
    let Some(publisher) = programs::collector(&dir.path().join("publisher"), "127.0.0.1", &register)? else { return Ok(()) };
    warn(&publisher, "first", &["203.0.113.9", "203.0.113.10"])?;
    let reader: Value = {
        let made = publisher.admin.post("/api/v1/tokens", &json!({"name": "neighbour", "role": "viewer", "days": 1}))?;
        serde_json::from_str(&made.body)?
    };
    std::fs::write(dir.path().join("neighbour.token"), reader["token"].as_str().context("a token")?)?;
    std::fs::write(dir.path().join("medallion.password"), "geheim 1\n")?;
    let config = dir.path().join("collector.toml");
    let d = dir.path().display();
    std::fs::write(
        &config,
        format!(
            "[[taxii]]\nname = \"neighbour\"\nurl = \"http://{}/taxii2/desk/\"\ncollection = \"city\"\ntoken_file = \"{d}/neighbour.token\"\nconfidence = 80\n\
             [[taxii]]\nname = \"oasis\"\nurl = \"http://127.0.0.1:{port}/feeds/\"\ncollection = \"{COLLECTION}\"\nuser = \"vedette\"\npassword_file = \"{d}/medallion.password\"\n",
            publisher.admin.server
        ),
    )?;
    let data = dir.path().join("data");
    let mut house = programs::collector_configured(&data, &config, &register)?.context("it was there before")?;
    until_known(&house.admin, "203.0.113.9", "neighbour")?;
    until_known(&house.admin, &theirs(OBJECTS - 1), "oasis")?;
    ensure!(source_of(&house.admin, &theirs(7))?.is_none(), "an object that is no STIX is in force");
    let sources = house.admin.json("/api/v1/indicators")?;
    let entries = |name: &str| sources["items"].as_array()?.iter().find(|s| s["name"] == name)?["entries"].as_u64();
    ensure!((entries("neighbour"), entries("oasis")) == (Some(2), Some(OBJECTS as u64 - 1)), "{sources:#}");
    let asked = std::fs::read_to_string(dir.path().join("medallion.log"))?;
    let pages = asked.lines().filter(|l| l.contains("/objects/?")).count();
    ensure!(pages == OBJECTS.div_ceil(PAGE), "{pages} pages:\n{asked}");

    // In the engine: a line that would be nothing is an alert.
    let log = dir.path().join("auth.log");
    std::fs::write(&log, "")?;
    let Some(_agent) = programs::agent_on_log(dir.path(), &log, &house.enrolment("this-host")?)? else { return Ok(()) };
    let mut file = std::fs::File::options().append(true).open(&log)?;
    let mut met = |house: &Collector, n: usize, address: &str| -> Result<()> {
        writeln!(file, "{} vm sshd[{}]: Accepted publickey for ops from {address} port 4000{n} ssh2: ED25519 SHA256:x", now(), 100 + n)?;
        programs::until(PATIENCE_S, &format!("an alert about {address}"), || {
            let alerts = house.admin.json("/api/v1/alerts?state=all&limit=100")?;
            let items = alerts["items"].as_array().cloned().unwrap_or_default();
            Ok(items
                .into_iter()
                .find(|a| a["title"].as_str().is_some_and(|t| t.contains("ndicator of compromise")) && a.to_string().contains(address)))
        })
        .map(drop)
    };
    met(&house, 1, "203.0.113.10")?;
    met(&house, 2, &theirs(120))?;

    // A later warning is there after the next reading; a house that cannot be reached takes nothing away.
    warn(&publisher, "second", &["203.0.113.77"])?;
    let again = |house: &mut Collector| -> Result<()> {
        house.child.0.kill()?;
        house.child.0.wait()?;
        *house = programs::collector_configured(&data, &config, &register)?.context("it was there before")?;
        Ok(())
    };
    again(&mut house)?;
    until_known(&house.admin, "203.0.113.77", "neighbour")?;
    drop(publisher);
    again(&mut house)?;
    let log = data.with_extension("collector.log");
    programs::until(PATIENCE_S, "the complaint", || {
        Ok(std::fs::read_to_string(&log)?.contains("what it gave before stays in force").then_some(()))
    })?;
    for value in ["203.0.113.9", "203.0.113.77"] {
        ensure!(source_of(&house.admin, value)?.as_deref() == Some("neighbour"), "{value} is forgotten");
    }
    println!("{} entries of a publishing desk, {} of medallion in {pages} pages, alerts of both", 3, OBJECTS - 1);
    Ok(())
}
