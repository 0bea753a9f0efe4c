//! Saved correlation windows from any bytes (their checksum put right): refused whole, or taken, saved to the same again, and gone on with.
#![no_main]
use correlate::{Limits, Windows};
use event::Timestamp;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let rules = fuzz::rules();
    let fresh = || Windows::new(rules.correlations(), rules.rules(), Limits { bytes_max: 64 << 10, ..Limits::default() }).0;
    let mut windows = fresh();
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let whole = [bytes, &sum.to_le_bytes()].concat();
    let now = Timestamp::from_secs(1_795_000_100);
    let before = windows.save();
    match windows.load(&whole, now) {
        Err(_) => assert_eq!(windows.save(), before, "on an error nothing is changed"),
        Ok(_) => {
            let saved = windows.save();
            let mut again = fresh();
            assert_eq!(again.load(&saved, now), Ok(0));
            assert_eq!(again.save(), saved);
        }
    }
    for n in 0..6 {
        let mut findings = Vec::new();
        rules.detect(&fuzz::sample(n), &mut findings);
        windows.saw(&fuzz::sample(n), now);
        windows.correlate(now, &mut findings);
    }
    windows.finish(now, &mut Vec::new());
});
