//! Any bytes as both sides of an S7comm connection, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::s7comm::S7COMM, bytes));
