//! ARP packets of any content, in a row.
#![no_main]
use packet::{Body, Frame, LinkType, decode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut pipeline = agent::sensor::net::Pipeline::new(Default::default());
    for body in bytes.chunks(28) {
        let frame = [&[2u8; 12][..], &[8, 6], body].concat();
        let frame = Frame::new(event::Timestamp::ZERO, LinkType::Ethernet, 0, &frame);
        assert!(!matches!(decode(&frame).body, Body::Ip(_)));
        pipeline.frame(&frame, &mut |_, _| ());
    }
});
