//! Any bytes as both sides of an LDAP connection, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::converse(&proto::net::ldap::LDAP, bytes));
