use super::super::testing::{Seen, brief, hex, piece, talk};
use super::*;

const KEYS: &[&str] =
    &["ot.direction", "ot.function_name", "ot.object_type", "ot.object_address", "ot.access", "status_id", "ot.exception_name"];

fn conversation(says: &[(Side, &str)]) -> Vec<String> {
    let says: Vec<(Side, Vec<u8>)> = says.iter().map(|(s, m)| (*s, hex(m))).collect();
    let says: Vec<(Side, &[u8])> = says.iter().map(|(s, m)| (*s, m.as_slice())).collect();
    talk(Carrier::Udp, 0, &says)
}

#[test]
fn a_restart_a_write_and_a_refusal_are_told() {
    let said = conversation(&[
        (Side::Originator, "810a001d0124000d013dff0003011409001d0a0077697265736861726b"),
        (Side::Responder, "810a00110108000d013d5001149105911a"),
        (Side::Originator, "810a00150104 0005 02 0f 0c00800001 1955 3e 9101 3f"),
        (Side::Responder, "810a0009 0100 20 02 0f"),
        (Side::Originator, "810a0010 0104 0005 03 11 0a0005 1901 01"),
    ]);
    assert_eq!(
        brief(&said, KEYS),
        [
            "both reinitialize_device - - restart 2 error",
            "both write_property analog_value 1 write 1 -",
            "request device_communication_control - - mode - -",
        ],
        "{said:?}"
    );
    assert!(
        said[0].contains("coldstart") && said[1].contains("analog_value:1.85") && said[2].contains("sub_function_name=disable"),
        "{said:?}"
    );
}

#[test]
fn questions_and_reports_are_counted_and_tables_told() {
    let who = "810b000c 0120ffff00ff 1008";
    let said = conversation(&[
        (Side::Originator, who),
        (Side::Originator, who),
        (Side::Responder, "810a001a 0128ffff00000d013dfe 1000 c40200003d 2201e0 9100"),
        (Side::Originator, "81010004"),
    ]);
    assert_eq!(
        brief(&said, &["ot.function_name", "ot.direction", "ot.station", "count"]),
        ["who_is request - 1", "i_am unsolicited 61 1", "write_broadcast_distribution_table request - -", "who_is request - 1",],
        "{said:?}"
    );
}

#[test]
fn what_ends_too_early_is_an_anomaly_and_what_waits_is_bounded() {
    assert_eq!(conversation(&[(Side::Originator, "810a0005 01")]), ["anomaly bacnet_malformed it ends too early"]);
    let (mut seen, mut parser) = (Seen::default(), Bacnet::default());
    for n in 0..=255u8 {
        let mut ask = hex("810a00110104 0005 00 0c 0c00800001 1955");
        ask[8] = n;
        parser.feed(piece(Side::Originator, &ask, 0), &mut seen);
    }
    assert_eq!(parser.waiting.len(), ot::WAITING_MAX);
    assert_eq!(probe(Carrier::Tcp, Side::Originator, &hex("81010004")), Probe::No);
    let wrong = conversation(&[(Side::Originator, "810a0011 0104 0005 01 14 0906 1d08004162736f6c3638")]);
    assert!(wrong[0].starts_with("anomaly bacnet_malformed the length") && wrong[1].contains("reinitialize_device"), "{wrong:?}");
    assert_eq!(probe(Carrier::Udp, Side::Originator, &hex("8101000400")), Probe::No);
}
