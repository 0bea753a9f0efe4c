//! Bodies of indicator policy from any bytes, cut anywhere: taken or refused, bounded, never a panic.
#![no_main]

use indicator::edge::Assembler;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|messages: Vec<(u64, Vec<u8>)>| {
    let mut agent = Assembler::default();
    for (revision, body) in messages {
        if let Ok(Some(complete)) = agent.take(revision, &body) {
            let _ = complete.build();
        }
    }
});
