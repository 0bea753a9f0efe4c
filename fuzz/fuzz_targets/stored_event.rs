//! A stored event from any bytes: refused, or an event that is written and read to the same, and shown.
#![no_main]
use collector::store::codec::{decode_event, encode_event};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = decode_event(bytes) else { return };
    let again = encode_event(&event);
    let read = decode_event(&again).expect("what we write we read");
    assert_eq!(encode_event(&read), again);
    serde_json::from_str::<serde_json::Value>(&event::ocsf_json(&event)).expect("an export is JSON");
});
