//! Any bytes as both sides of a C37.118 connection, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::c37118::C37118, bytes));
