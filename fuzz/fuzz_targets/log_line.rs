//! Any bytes as lines of a log: no crash, one event a line with its text, memory of sessions within its bound, and the reader without
//! memory agrees with the one with memory on everything but the source.
#![no_main]
use event::{Timestamp, Value, field};
use proto::log::{Line, Reader, SESSIONS_MAX, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::new();
    let received = Timestamp::from_secs(1_795_431_600);
    for bytes in bytes.split(|c| *c == b'\n') {
        let line = Line { bytes, received, utc_offset_secs: 28_800, format: None };
        let (class, event) = reader.read(&line);
        let (alone_class, alone) = read(&line);
        assert_eq!(event.body.get(field::RAW_DATA), Some(&Value::lossy(bytes)));
        assert_eq!((class, event.kind, event.time, &event.source), (alone_class, alone.kind, alone.time, &alone.source));
        assert!(event.body.len() >= alone.body.len());
    }
    assert!(reader.sessions().len() <= SESSIONS_MAX);
});
