//! An indicator that becomes known today, and events of three days ago that held it: added through the command line over TLS to a running
//! collector, it raises an alert with the old events behind it, marked as found later.

use super::*;
use event::{AgentId, Epoch, Event, Kind, LogSource, field};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NAME: &str = "c2.beacon.example";
const RULE: &str = "0c4a1d1e-7c55-4c1a-9d0e-6a3f1a8f5b03";

/// Three hosts that asked for a name nobody knew then, and one that asked for another; they lie in a sealed segment.
pub fn looked_up_three_days_ago(now: Timestamp) -> Vec<Arc<Event>> {
    let asked = |n: u64, name: &str| {
        let time = now.plus_secs(-3 * 86_400 + n as i64);
        let mut event = Event::new(time, Kind::DnsActivity, 1, LogSource::new("", "dns", "dns"))
            .with(field::DNS_QUERY, name)
            .with(field::SRC_IP, format!("10.44.0.{n}").parse::<std::net::IpAddr>().expect("an address"))
            .with(field::DEVICE_HOSTNAME, format!("teller-{n}"))
            .with(field::UNIT_ID, "this-host");
        event.id = EventId { agent: AgentId(0x77), epoch: Epoch(1), class: Class::Normal, seq: n };
        Arc::new(event)
    };
    (1..=3).map(|n| asked(n, NAME)).chain([asked(4, "www.beacon.example.org")]).collect()
}

fn until(house: &House, args: &[&str], wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    #[expect(clippy::disallowed_methods, reason = "waits for another process")]
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = house.run(args)?.json()?;
        if wanted(&answer) {
            return Ok(answer);
        }
        #[expect(clippy::disallowed_methods, reason = "waits for another process")]
        let late = Instant::now() > deadline;
        ensure!(!late, "{args:?} did not become as wanted: {answer:#}");
    }
}

fn alerts(house: &House) -> Result<Vec<Value>> {
    let all = house.run(&["alerts", "-n", "1000", "-o", "json"])?.json()?;
    Ok(all.as_array().into_iter().flatten().filter(|a| a["rule_id"] == RULE).cloned().collect())
}

#[test]
fn an_indicator_added_today_raises_an_alert_from_what_is_stored() -> Result<()> {
    let Some(house) = House::new()? else { return Ok(()) };
    ensure!(alerts(&house)?.is_empty(), "nothing is known yet");
    let feed = |name: &str, text: &str| -> Result<String> {
        let path = house.ca.with_file_name(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let searched = |source: &str| {
        let row = |list: &Value| list.as_array().into_iter().flatten().find(|s| s["name"] == source).cloned().unwrap_or_default();
        until(&house, &["indicators", "list", "-o", "json"], |list| row(list)["search"]["state"] == "complete")
            .map(|list| row(&list)["search"].clone())
    };

    // The parent of the name: what is below it counts.
    let path = feed("certs.txt", "beacon.example\n203.0.113.200\n")?;
    house.run(&["indicators", "add", &path, "--confidence", "90", "--tlp", "green"])?.is(0, &["certs"]);
    let search = searched("certs")?;
    ensure!(search["found"] == 3, "{search:#}");
    // The search counts as complete when its alerts are saved: they are there now.
    let found = alerts(&house)?;
    ensure!(found.len() == 1, "{found:#?}");
    let alert = &found[0];
    ensure!(alert["title"] == "Indicator of compromise found in history" && alert["severity"] == "high", "{alert:#}");
    ensure!(alert["evidence"].as_array().map(Vec::len) == Some(3), "{alert:#}");
    // At the events' own time, opened now.
    let day = |key: &str| alert[key].as_str().unwrap_or("").get(..10).unwrap_or("").to_owned();
    ensure!(!day("first_time").is_empty() && day("last_time") < day("opened_time"), "{alert:#}");
    let id = alert["id"].as_str().context("an id")?;
    let why = house.run(&["why", id, "-o", "json"])?.json()?;
    let events = why["events"].as_array().context("events")?;
    ensure!(events.len() == 3 && why["missing"] == serde_json::json!([]), "{why:#}");
    for event in events {
        let text = event.to_string();
        ensure!([NAME, "in_history", "teller-", "beacon.example"].iter().all(|w| text.contains(w)), "{event:#}");
    }
    house.run(&["alert", id, "--lang", "zh"])?.is(0, &["历史数据中发现失陷指标", "beacon.example"]);

    // A name nobody ever asked for: the search is complete, and looked at nothing.
    let path = feed("other.txt", "never.example\n198.51.100.7\n")?;
    house.run(&["indicators", "add", &path])?.is(0, &["other"]);
    let search = searched("other")?;
    ensure!(search["found"] == 0 && search["looked"] == 0, "{search:#}");
    ensure!(alerts(&house)?.len() == 1);
    Ok(())
}
