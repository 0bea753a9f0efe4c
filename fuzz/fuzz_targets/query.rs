//! The one-line query language from any text: no panic, errors point into the text, a filter can be asked.
#![no_main]

use collector::store::parse_query;
use event::{Event, Kind, LogSource, Timestamp, field};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match parse_query(text, Timestamp::from_secs(1_789_000_000)) {
        Ok(query) => {
            let event = Event::new(Timestamp::from_secs(1_788_999_999), Kind::Authentication, 1, LogSource::new("linux", "", "sshd"))
                .with(field::USER_NAME, "root")
                .with(field::RAW_DATA, text);
            let _ = query.matches(&event);
        }
        Err(e) => assert!(e.column >= 1 && e.column <= text.chars().count().max(1) + 1, "{e}"),
    }
});
