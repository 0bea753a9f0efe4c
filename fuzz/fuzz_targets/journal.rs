//! The authority's journal from any bytes, a line a record (its checksum put right): refused with its line, or replayed, and what is kept
//! of it replays to itself.
#![no_main]
use std::path::Path;

use collector::authority::{compact, read_journal};
use event::Timestamp;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut journal = Vec::new();
    for line in bytes.split(|b| *b == b'\n') {
        journal.extend_from_slice(format!("{:08x} ", crc32c::crc32c(line)).as_bytes());
        journal.extend_from_slice(line);
        journal.push(b'\n');
    }
    let _ = read_journal(Path::new("raw"), bytes);
    let Ok(records) = read_journal(Path::new("authority.log"), &journal) else { return };
    let now = Timestamp::from_secs(1_795_000_000);
    let sorted = |mut records: Vec<_>| {
        records.sort_by_key(|r| format!("{r:?}"));
        records
    };
    let kept = sorted(compact(&records, now));
    assert_eq!(sorted(compact(&kept, now)), kept);
});
