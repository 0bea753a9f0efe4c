//! The campaign through the engine and the rules that ship: each step is seen, and an ordinary day raises nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use event::{AgentId, Epoch, EventId};

use super::*;
use crate::engine::{Engine, EngineOptions, Outcome};
use crate::register::Register;

fn config(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(path)
}

fn city() -> (Vec<Host>, Register) {
    let register = Register::load(&config("register.toml")).unwrap();
    let mut units: Vec<_> =
        register.units().map(|u| (u.sector.clone(), u.id.clone(), u.networks.first().cloned().unwrap_or_default())).collect();
    units.sort();
    let hosts = crate::demo::hosts(units.iter().map(|(sector, id, network)| (id.as_str(), sector.as_str(), network.as_str())));
    (hosts, register)
}

/// Titles of the alerts that are opened in these seconds.
fn play(seconds: std::ops::Range<i64>) -> BTreeSet<String> {
    let (city, register) = city();
    let options = EngineOptions { rules: vec![config("rules")], mappings: Some(config("mappings")) };
    let (mut engine, faults) = Engine::load(&options).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    let begin = Timestamp::parse_rfc3339("2026-11-23T08:00:00Z").unwrap();
    let mut out = Outcome::default();
    let mut seq = 0;
    for at in seconds {
        let now = begin.plus_secs(at);
        let mut batch = Vec::new();
        for (n, host) in city.iter().enumerate() {
            for (class, mut event) in second(&city, n, at, now, Day::Attack) {
                seq += 1;
                let unit = register.unit(&host.unit).unwrap();
                event.id = EventId { agent: AgentId(n as u64 + 1), epoch: Epoch(1), class, seq };
                event.body.set(field::UNIT_ID, unit.id.as_str());
                event.body.set(field::UNIT_NAME, unit.name.as_str());
                event.body.set(field::UNIT_SECTOR, unit.sector.as_str());
                batch.push(Arc::new(event));
            }
        }
        engine.step(&batch, now, &mut out);
    }
    engine.finish(&mut out);
    out.changes.iter().map(|change| change.alert().title.clone()).collect()
}

#[test]
fn the_city_has_at_least_sixty_hosts_in_30_units_of_five_sectors() {
    let (city, _) = city();
    let count = |key: fn(&Host) -> &String| city.iter().map(key).collect::<BTreeSet<_>>().len();
    assert_eq!((count(|h| &h.unit), count(|h| &h.sector)), (30, 5));
    assert!(city.len() >= 60 && count(|h| &h.name) == city.len(), "{}", city.len());
}

#[test]
fn every_step_of_the_campaign_is_seen_by_the_rules_that_ship() {
    let seen = play(0..STORY_SECS);
    let wanted = [
        "Port scan of one host",
        "One source attacks several units",
        "SSH password guessing",
        "SSH password guessed: failures, then success",
        "One account is guessed at several units",
        "System service definition changed",
        "SSH key file changed",
        "A victim attacks others",
        "The same planted file in several sectors",
        "DNS tunnel: data hidden in names",
        "The same tunnel domain in several sectors",
    ];
    for title in wanted {
        assert!(seen.contains(title), "no '{title}' among {seen:#?}");
    }
    assert!(seen.len() >= 15, "{seen:#?}");
}

#[test]
fn an_ordinary_day_and_what_comes_after_the_last_run_raise_nothing() {
    let after = STORY_SECS * RUNS_MAX;
    assert_eq!(play(after..after + 700), BTreeSet::new());
    assert_eq!(scene(after), None);
}

#[test]
fn the_story_is_the_same_each_time_and_its_lines_are_typed() {
    let (city, _) = city();
    let now = Timestamp::parse_rfc3339("2026-11-23T08:00:00Z").unwrap();
    let all =
        |second: i64| -> Vec<(Class, Event)> { (0..city.len()).flat_map(|n| super::second(&city, n, second, now, Day::Attack)).collect() };
    assert_eq!(all(110), all(110));
    let failed = |e: &Event| e.kind == Kind::Authentication && e.text(field::STATUS_ID) == "2" && e.text(field::SRC_IP) == "203.0.113.66";
    assert!(all(110).iter().any(|(_, e)| failed(e)));
    assert!(all(190).iter().any(|(_, e)| e.kind == Kind::AccountChange));
    assert!(all(441).iter().any(|(_, e)| e.kind == Kind::HttpActivity && e.text(field::HTTP_USER_AGENT) == "sqlmap/1.8"));
    assert!(all(5).iter().all(|(_, e)| e.text(field::SRC_IP) != "203.0.113.66"));
    assert!(city.iter().any(|host| mute(host, 510)) && !city.iter().any(|host| mute(host, 499)));
}
