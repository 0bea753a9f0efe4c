//! Certificates as a peer shows them: read without harm, and a name only from what is exactly ours.
#![no_main]

use agent::identity::certificate::{is_authority, read};

libfuzzer_sys::fuzz_target!(|der: &[u8]| {
    if let Ok(name) = read(der) {
        let uri = format!("vedette://agent/{}", name.agent);
        assert!(der.windows(uri.len()).any(|w| w == uri.as_bytes()), "the name stands in the certificate");
        assert!(!is_authority(der), "an agent's certificate is no authority's");
    }
});
