//! Any bytes as both sides of DHCP, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::dhcp::DHCP, bytes));
