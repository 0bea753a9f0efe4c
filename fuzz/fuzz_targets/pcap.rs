//! Any bytes as a capture file.
#![no_main]
use capture::{FileSource, PacketSource};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(mut source) = FileSource::from_reader("fuzz".into(), bytes) else { return };
    while let Ok(Some(frame)) = source.next(std::time::Duration::ZERO) {
        assert!(frame.bytes.len() <= bytes.len());
    }
});
