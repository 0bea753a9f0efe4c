//! A saved desk from any JSON (its checksum put right): refused, or taken and gone on with.
#![no_main]
use event::Timestamp;
use warning::{Desk, DeskLimits};

libfuzzer_sys::fuzz_target!(|json: &[u8]| {
    let whole = [blake3::hash(json).as_bytes().as_slice(), json].concat();
    let Ok(mut desk) = Desk::load(DeskLimits { open_max: 32, ..DeskLimits::default() }, &whole) else { return };
    let rules = fuzz::rules();
    let mut changes = Vec::new();
    for n in 0..6 {
        let now = Timestamp::from_secs(1_795_000_100 + n as i64);
        let mut findings = Vec::new();
        rules.detect(&fuzz::sample(n), &mut findings);
        desk.assess(now, &findings, &mut changes);
        desk.tick(now, &mut changes);
    }
    let saved = desk.save();
    assert!(Desk::load(DeskLimits { open_max: 32, ..DeskLimits::default() }, &saved).is_ok_and(|d| d.save() == saved));
    desk.finish(Timestamp::MAX, &mut changes);
});
