//! What is usual on a control network, through the command line over TLS: listed, shown, frozen, edited, forgotten, each in the audit trail; a dry
//! run changes nothing, a viewer may look and not change, and an edit outlives a kill.

use super::*;
use collector::engine::{Engine, EngineOptions, Outcome};
use event::{AgentId, Epoch, Event, Kind, LogSource, field};
use std::sync::Arc;

/// The engine's state after a master has polled its controller for a minute.
pub fn learned(now: Timestamp) -> Vec<u8> {
    let asked = |n: i64| {
        let time = now.plus_secs(n - 120);
        let mut event = Event::new(time, Kind::NetworkActivity, 6, LogSource::new("", "ot", "modbus"))
            .with(field::SRC_IP, std::net::IpAddr::from([10, 7, 0, 30]))
            .with(field::DST_IP, std::net::IpAddr::from([10, 7, 0, 20]))
            .with(field::OT_PROTOCOL, "modbus")
            .with(field::OT_DIRECTION, "both")
            .with(field::OT_STATION, 1)
            .with(field::OT_FUNCTION_NAME, "read_holding_registers")
            .with(field::OT_OBJECT_TYPE, "holding_register")
            .with(field::OT_OBJECT_ADDRESS, n % 4 * 10)
            .with(field::OT_OBJECT_COUNT, 10)
            .with(field::UNIT_ID, "this-host");
        event.observed = time;
        event.id = EventId { agent: AgentId(0x20), epoch: Epoch(1), class: Class::Bulk, seq: n as u64 + 1 };
        Arc::new(event)
    };
    let (mut engine, _) = Engine::load(&EngineOptions::default()).expect("an engine without rules");
    engine.step(&(0..60).map(asked).collect::<Vec<_>>(), now, &mut Outcome::default());
    engine.save()
}

#[test]
fn a_baseline_is_reviewed_frozen_and_edited() -> Result<()> {
    let Some(house) = House::new()? else { return Ok(()) };
    let list = house.run(&["baseline", "list", "-o", "json"])?.is(0, &[]).json()?;
    let id = list[0]["id"].as_str().context("a station")?.to_owned();
    assert_eq!(
        (list[0]["station"].as_str(), list[0]["state"].as_str(), list[0]["entries"].as_u64()),
        (Some("10.7.0.20"), Some("learning"), Some(1))
    );
    house.run(&["baseline", "list", "--lang", "zh"])?.is(0, &["学习中", "站点", "modbus"]);
    house.run(&["baseline", "show", &id])?.is(0, &["10.7.0.30", "read_holding_registers", "holding_register 0-39", "learned"]);

    // A dry run says the same and changes nothing.
    house.run(&["baseline", "freeze", &id, "--dry-run"])?.is(0, &["frozen with 1 entries", "dry run"]);
    house.run(&["baseline", "list", "--state", "frozen"])?.is(0, &["(none)"]);
    house.run(&["baseline", "freeze", &id, "--note", "acceptance test"])?.is(0, &["frozen with 1 entries"]);
    house.run(&["baseline", "freeze", &id, "--lang", "zh"])?.is(2, &["基线已冻结"]);

    // By hand, and what makes no sense.
    let allow = ["baseline", "allow", &id, "--master", "10.7.0.31", "--function", "write_single_register"];
    house
        .run(&[&allow[..], &["--from", "7", "--to", "9", "--number", "1", "--note", "new historian"]].concat())?
        .is(0, &["allowed 10.7.0.31: write_single_register 7-9"]);
    house.run(&[&allow[..], &["--from", "9", "--to", "7"]].concat())?.is(2, &["from its first to its last"]);
    house.run(&["baseline", "allow", &id])?.is(2, &["an entry, or a master and a function"]);
    house.run(&["baseline", "allow", &id, "--entry", "D0000000000"])?.is(2, &["no entry 'D0000000000'"]);
    house.run(&["baseline", "freeze", "S0000000000"])?.is(2, &["no such thing"]);
    let shown = house.run(&["baseline", "show", &id, "-o", "json"])?.json()?;
    let by_hand = shown.as_array().into_iter().flatten().find(|e| e["state"] == "allowed").context("the allowed entry")?;
    assert_eq!((by_hand["ranges"][0][0].as_i64(), by_hand["allowed"]["note"].as_str()), (Some(7), Some("new historian")));

    // Who only looks may look.
    let made = house.run(&["token", "create", "eyes", "--role", "viewer", "--days", "1", "-o", "json"])?.json()?;
    let (server, ca) = (house.server(), house.ca.display().to_string());
    let viewer =
        |args: &[&str]| house.raw(made["token"].as_str().unwrap_or_default(), &[&["--server", &server, "--ca", &ca][..], args].concat());
    viewer(&["baseline", "list"])?.is(0, &["frozen"]);
    viewer(&["baseline", "unfreeze", &id])?.is(4, &["your role does not allow this"]);

    house.run(&["baseline", "forget", &id, "--entry", by_hand["id"].as_str().context("an id")?])?.is(0, &["forgot 10.7.0.31"]);
    house.run(&["baseline", "unfreeze", &id])?.is(0, &["learns again"]);
    house.run(&["baseline", "forget", &id])?.is(0, &["forgotten with 1 entries"]);
    house.run(&["baseline", "list"])?.is(0, &["(none)"]);
    house.run(&["audit", "list"])?.is(0, &["baseline.freeze", "acceptance test", "baseline.allow", "baseline.forget"]);
    Ok(())
}
