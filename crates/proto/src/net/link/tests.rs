use super::super::testing::{Seen, brief, hex};
use super::*;

const MAC: [u8; 6] = [0, 0x16, 0x35, 6, 0xc9, 0xa5];
const OTHER: [u8; 6] = [0, 0x10, 0x18, 0xcb, 0x8c, 0x13];

/// A GOOSE message of one block with this state number.
fn message(state: u8, simulated: u8) -> Vec<u8> {
    hex(&format!(
        "0001002a00000000 6120 8005 4c442f4742 8102 03e8 8203 4c4431 8501 {state:02x} 8601 05 8701 {simulated:02x} 8801 01 8901 00"
    ))
}

fn watch(frames: &[(u16, [u8; 6], Vec<u8>, i64)]) -> Vec<String> {
    let (mut seen, mut watch) = (Seen::default(), Watch::default());
    for (ether_type, source, payload, ms) in frames {
        let frame = Frame { ether_type: *ether_type, payload, source: *source, destination: [1; 6], time: Timestamp::from_ms(*ms) };
        watch.frame(&frame, &mut seen);
    }
    watch.end(Timestamp::from_ms(100_000), &mut seen);
    seen.0
}

#[test]
fn a_block_its_states_and_a_second_publisher_are_told() {
    let goose = |mac, state, ms| (GOOSE, mac, message(state, 0), ms);
    let said = watch(&[
        goose(MAC, 4, 0),
        goose(MAC, 4, 1_000),
        goose(MAC, 5, 2_000),
        goose(OTHER, 6, 2_100),
        goose(MAC, 5, 2_200),
        goose(MAC, 4, 2_300),
        goose(MAC, 4, 2_400),
        goose(MAC, 1, 2_500),
        goose(MAC, 90, 2_600),
        goose(MAC, 30, 90_000),
    ]);
    assert_eq!(
        brief(&said, &["ot.objects", "ot.value", "count", "ot.exception_name"]),
        [
            "LD/GB 4 1 -",
            "LD/GB 5 2 -",
            "LD/GB 6 1 second_source",
            "LD/GB 5 1 second_source",
            "LD/GB 4 1 state_number_back",
            "LD/GB 1 2 -",
            "LD/GB 90 1 -",
            "LD/GB 30 1 -",
        ],
        "{said:?}"
    );
    assert!(said[2].contains("00:10:18:cb:8c:13"), "{said:?}");
}

#[test]
fn repetitions_are_counted_and_simulation_is_named() {
    let mut frames: Vec<_> = (0..150).map(|n| (GOOSE, MAC, message(4, 0), n * 1_000)).collect();
    frames.push((GOOSE, MAC, message(5, 1), 150_000));
    let said = watch(&frames);
    assert_eq!(brief(&said, &["count", "ot.exception_name"]), ["1 -", "60 -", "60 -", "30 simulation"], "{said:?}");
}

#[test]
fn a_name_and_an_address_set_are_told() {
    // Set the address: option 1.2, qualifier, address, mask, gateway.
    let set = "fefd 04 00 00000007 0000 0012 0102 000e 0001 c0a80205 ffffff00 c0a80201";
    let name = "fefd 04 00 00000008 0000 000a 0202 0006 0000 706c6331";
    let identify = "fefe 05 00 01000001 0001 0008 0202 0004 706c6331";
    let cyclic = "8000 00000000";
    let said = watch(&[identify, set, name, cyclic].map(|text| (PROFINET, MAC, hex(text), 0)));
    assert_eq!(
        brief(&said, &["ot.function_name", "ot.sub_function_name", "ot.access", "ot.is_write", "ot.direction"]),
        [
            "dcp_identify station_name identify false request",
            "dcp_set ip_address configure true request",
            "dcp_set station_name configure true request",
        ],
        "{said:?}"
    );
    assert!(said[0].contains("name plc1"), "{said:?}");
    assert!(said[1].contains("ip 192.168.2.5") && said[2].contains("name plc1"), "{said:?}");
}

#[test]
fn sampled_values_are_known_by_name_and_blocks_are_bounded() {
    let value = hex("4000001e00000000 6014 800101 a20f 300d 8004 4d553031 8202 0001 8301 01");
    let said = watch(&[(SAMPLED_VALUES, MAC, value.clone(), 0), (SAMPLED_VALUES, OTHER, value, 1)]);
    assert_eq!(brief(&said, &["ot.protocol", "ot.objects", "ot.exception_name"]), ["sv MU01 -", "sv MU01 second_source"], "{said:?}");
    let (mut seen, mut watch) = (Seen::default(), Watch::default());
    for n in 0..2 * BLOCKS_MAX {
        let mut payload = message(1, 0);
        payload[12..14].copy_from_slice(&(n as u16).to_be_bytes());
        watch.frame(&Frame { ether_type: GOOSE, payload: &payload, source: MAC, destination: MAC, time: Timestamp::ZERO }, &mut seen);
    }
    let held: usize = watch.blocks.iter().map(HashMap::len).sum();
    assert_eq!((held, watch.order.len()), (BLOCKS_MAX, BLOCKS_MAX));
}

#[test]
fn what_does_not_parse_is_an_anomaly() {
    let said = watch(&[
        (GOOSE, MAC, hex("0001"), 0),
        (SAMPLED_VALUES, MAC, hex("0001001000000000 6002 8001"), 0),
        (PROFINET, MAC, hex("fefd04"), 0),
    ]);
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said.iter().all(|l| l.starts_with("anomaly link_ot_malformed")), "{said:?}");
}
