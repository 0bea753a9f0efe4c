//! Any bytes as frames of the control protocols straight on Ethernet: `kind:u8 length:u16le bytes` a frame, bit 7 another card.
#![no_main]

use event::Timestamp;
use fuzz::{Listener, pieces};
use proto::net::link::{Frame, GOOSE, PROFINET, SAMPLED_VALUES, Watch};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (mut watch, mut out) = (Watch::default(), Listener(None));
    for (at, (kind, payload)) in pieces(bytes).enumerate() {
        let ether_type = [GOOSE, SAMPLED_VALUES, PROFINET, 0x88cc][usize::from(kind & 3)];
        let time = Timestamp::from_ms(at as i64 * 700);
        watch.frame(&Frame { ether_type, payload, source: [kind >> 7; 6], destination: [1; 6], time }, &mut out);
    }
    watch.end(Timestamp::from_secs(3600), &mut out);
});
