//! Any bytes as both sides of a DNP3 connection, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::dnp3::DNP3, bytes));
