//! Any bytes as KEV or EPSS: a table or a reason, and what was taken can be asked for.
#![no_main]

use exchange::weakness::{PROBLEMS_MAX, Weaknesses};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut all = Weaknesses::default();
    match all.read(bytes) {
        Ok(read) => assert!(read.taken > 0 && read.problems.len() <= PROBLEMS_MAX && all.len() <= read.taken),
        Err(why) => assert!(!why.is_empty() && all.is_empty()),
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        all.get(text);
    }
});
