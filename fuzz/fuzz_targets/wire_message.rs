#![no_main]
// Any message to either end of an open link: a reaction, never a panic.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    wire::link::drive(bytes);
});
