//! Any bytes as both sides of a Kerberos exchange, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::kerberos::KERBEROS, bytes));
