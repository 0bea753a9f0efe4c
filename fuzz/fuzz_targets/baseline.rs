//! A baseline of watched files from any bytes (its seal put right): refused, or taken and written to the same again.
#![no_main]
use agent::sensor::file::baseline::Baseline;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let sealed = [body, format!("seal {}\n", blake3::hash(body).to_hex()).as_bytes()].concat();
    let Ok(baseline) = Baseline::from_bytes(&sealed) else { return };
    assert_eq!(Baseline::from_bytes(&baseline.to_bytes()).as_ref(), Ok(&baseline));
});
