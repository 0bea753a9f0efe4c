//! Any bytes as both sides of an HTTP/2 conversation, in pieces; what is said is what its table promises.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::http2::HTTP2, bytes));
