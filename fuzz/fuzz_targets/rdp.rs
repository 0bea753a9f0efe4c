//! Any bytes as both sides of an RDP connection, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::rdp::RDP, bytes));
