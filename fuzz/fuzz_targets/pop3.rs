//! Any bytes as both sides of a POP3 connection, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::mailbox::POP3, bytes));
