//! A log's saved place from any bytes: refused, or a place that is written and read to the same.
#![no_main]
use agent::sensor::log::tail::{Mark, Role, decode, encode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(saved) = decode(bytes) else { return };
    let old = saved.old.iter().map(|(mark, copy)| (mark, if *copy { Role::Copy } else { Role::Old }));
    let marks: Vec<(&Mark, Role)> = old.chain(saved.live.iter().map(|mark| (mark, Role::Live))).collect();
    assert_eq!(decode(&encode(saved.at_ns, &marks)).as_ref(), Some(&saved));
});
