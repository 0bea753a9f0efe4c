#![no_main]
// Any bytes: an error or an event, and what was read writes and reads to itself.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = wire::event::decode(bytes) else { return };
    let mut again = Vec::new();
    wire::event::encode(&event, &mut again);
    let read = wire::event::decode(&again).expect("what we write we read");
    assert_eq!(event.body.len(), read.body.len());
});
