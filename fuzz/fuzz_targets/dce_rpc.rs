//! Any bytes as both sides of a DCE/RPC connection, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::dcerpc::DCERPC, bytes));
