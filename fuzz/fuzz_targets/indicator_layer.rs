//! A packed layer of indicators from any bytes: refused or taken, bounded, never a panic.
#![no_main]

use indicator::{SetBuilder, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut builder = SetBuilder::new();
    if unpack(bytes, &mut builder).is_ok() {
        let set = builder.build();
        assert!(set.iter().count() <= set.len());
    }
});
