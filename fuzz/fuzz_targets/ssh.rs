//! Any bytes as both sides of a SSH conversation, in pieces; what is said is what its table promises.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::ssh::SSH, bytes));
