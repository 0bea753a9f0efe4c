//! A control network's baseline on a real capture: learned while nobody attacks, frozen by a person, and then every stranger at the controller is told
//! with who, what and which object, while the operator station that always asks stays silent.

use std::collections::BTreeMap;
use std::sync::Arc;

use collector::baseline::{Edit, Mark};
use collector::engine::{Engine, EngineOptions, Outcome};
use event::{AgentId, Epoch, Event, EventId, SECOND_NS, Timestamp, field};

use crate::rules::harness;

#[test]
fn who_leaves_a_frozen_baseline_is_named_with_what_and_where() {
    let (Some(path), Some(truth)) =
        (tests::data("pcap/attack-lab/lab_dev.pcap"), tests::data("pcap/truth/labels/attack-lab__lab_dev.events.tsv"))
    else {
        return;
    };
    let truth = std::fs::read_to_string(truth).expect("the labels");
    let end = truth.lines().find(|l| l.contains("benign_window")).and_then(|l| l.split('\t').nth(1)).and_then(|t| t.parse::<f64>().ok());
    let end = Timestamp::from_ns((end.expect("the quiet window") * 1e9) as i64);
    let mut events = Vec::new();
    agent::sensor::net::replay(&path, &mut |class, event| {
        let id = EventId { agent: AgentId(1), epoch: Epoch(1), class, seq: events.len() as u64 + 1 };
        let mut event = Event { id, ..event };
        event.observed = event.time;
        events.push(Arc::new(event));
    })
    .expect("the capture");
    let rules = vec![harness::root().join("config/rules/ot")];
    let (mut engine, problems) = Engine::load(&EngineOptions { rules, ..harness::options() }).expect("the rules");
    assert!(problems.is_empty(), "{problems:?}");
    let (quiet, rest): (Vec<_>, Vec<_>) = events.into_iter().partition(|e| e.time < end);
    let mut out = Outcome::default();
    engine.step(&quiet, end, &mut out);

    let mark = Mark::new("li", "after the acceptance test", end);
    let stations: Vec<String> = engine.baselines().stations().map(|(id, _)| id.to_owned()).collect();
    for id in &stations {
        let station = engine.baselines().station(id).expect("a station").clone();
        println!("{id} {} {}", station.address, station.protocol);
        for entry in station.entries.values() {
            println!("    {:>4} {}", entry.count, entry.text());
        }
        engine.baselines().edit(id, &Edit::Freeze, mark.clone()).expect("it freezes");
    }
    assert_eq!(stations.len(), 2, "Modbus and IEC 104 of the controller");

    out.clear();
    engine.step(&rest, rest.last().map_or(end, |e| e.time).max(end.plus_ns(300 * SECOND_NS)), &mut out);
    println!("\ndeviations:");
    let (mut who, mut said) = (BTreeMap::<(String, String), usize>::new(), 0);
    for finding in out.findings.iter().filter(|f| f.rule.name.as_deref() == Some("ot_baseline_deviation")) {
        let event = finding.event.as_ref().expect("the event");
        let text = |f| event.text(f).into_owned();
        println!(
            "    {} {} -> {} {} {} {} {} (usual: {})",
            text(field::BASELINE_DEVIATION),
            text(field::SRC_IP),
            text(field::DST_IP),
            text(field::OT_PROTOCOL),
            text(field::OT_FUNCTION_NAME),
            text(field::OT_OBJECT_TYPE),
            text(field::OT_OBJECTS),
            text(field::BASELINE_USUAL)
        );
        assert_eq!(text(field::DST_IP), "10.66.0.20");
        *who.entry((text(field::SRC_IP), text(field::OT_PROTOCOL))).or_insert(0) += 1;
        said += 1;
    }
    println!("{said} deviations by {who:?}");
    let by = |ip: &str, protocol: &str| who.contains_key(&(ip.to_owned(), protocol.to_owned()));
    assert!(by("10.66.0.66", "modbus") && by("10.66.0.66", "iec104") && by("10.66.0.150", "modbus"), "{who:?}");
    assert!(who.keys().all(|(ip, _)| ip != "10.66.0.30"), "the operator station asks as always: {who:?}");
    // S7 was not spoken while it learned: that station begins to learn, which is what a person sees in the list.
    assert_eq!(
        engine.baselines().stations().filter(|(_, s)| !s.is_frozen()).map(|(_, s)| s.protocol.clone()).collect::<Vec<_>>(),
        ["s7comm"]
    );
}
