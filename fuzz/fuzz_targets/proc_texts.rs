//! Files of /proc and /etc as the kernel, a container or an intruder may leave them: read without a panic, what is told stays bounded.
#![no_main]
use agent::privilege::Rights;
use agent::sensor::host::facts::{Identity, Usage};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let usage = Usage::parse(text, text);
    assert_eq!(usage.memory_bytes % 1024, if usage.memory_bytes == u64::MAX { 1023 } else { 0 });
    let told = Identity::parse(text, text, text);
    assert!(told.os.chars().count() <= 128 && told.os_version.chars().count() <= 128);
    assert!(told.machine.is_empty() || told.machine.len() == 32);
    let _ = Rights::parse(text);
});
