//! Any bytes as both sides of NTP, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::ntp::NTP, bytes));
