//! Any text as a JSON line to replay: refused with words, or an event whose export is JSON and is read again.
#![no_main]
use collector::replay::event_from_json;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match event_from_json(text) {
        Ok(event) => {
            let export = event::ocsf_json(&event);
            let again = event_from_json(&export).expect("what we export we read");
            assert_eq!((event.time.ms(), event.kind, event.activity), (again.time.ms(), again.kind, again.activity));
        }
        Err(what) => assert!(!what.is_empty()),
    }
});
