//! Any bytes as STIX 2.1: what is wrong is named, never a panic, and the same bytes give the same answer.
#![no_main]

use exchange::stix::check::{FAULTS_MAX, check};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let said = check(text);
    assert!(said.faults.len() <= FAULTS_MAX);
    assert_eq!(said, check(text));
});
