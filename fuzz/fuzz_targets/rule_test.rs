//! Any text as a file of rule tests: an error with its place, or tests; never a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // `file:` would read this machine's disk.
    if let Ok(text) = std::str::from_utf8(data)
        && !text.contains("file")
    {
        let _ = collector::rules::case::parse(Path::new("t.yml"), text);
    }
});
