//! Any bytes as both sides of a QUIC conversation, in pieces; what is said is what its table promises.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::quic::QUIC, bytes));
