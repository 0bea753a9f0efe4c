//! Any bytes as both sides of an IEC 60870-5-104 connection, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::iec104::IEC104, bytes));
