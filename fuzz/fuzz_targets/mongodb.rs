//! Any bytes as both sides of a MongoDB connection, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::database::MONGODB, bytes));
