//! Any bytes as both sides of a MySQL connection, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::database::MYSQL, bytes));
