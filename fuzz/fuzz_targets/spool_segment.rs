#![no_main]
// Any bytes as a segment file: good records or none, never past the end.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (used, _) = spool::walk_segment(bytes);
    assert!(used <= bytes.len());
});
