//! Any pattern against any path: it ends soon, and a name without wildcards matches itself alone.
#![no_main]
use agent::sensor::log::glob::{is_pattern, matches, path_matches, refuse};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (pattern, name) = text.split_once('\n').unwrap_or((text, text));
    let _ = (refuse(pattern), path_matches(pattern, std::path::Path::new(name)));
    if !is_pattern(pattern) {
        assert_eq!(matches(pattern, name), pattern == name);
    }
});
