//! Any bytes as frames of any link type, through flows and protocols.
#![no_main]
use agent::sensor::net::{Pipeline, PipelineConfig};
use packet::{Frame, LinkType};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut pipeline = Pipeline::new(PipelineConfig::default());
    for (link, time, bytes) in fuzz::frames(bytes) {
        let link = LinkType::from_pcap([1, 0, 101, 113, 276, 9, 104][usize::from(link % 7)]);
        let frame = Frame::new(time, link, 0, bytes);
        // The short way of decoding reads what the long one reads.
        assert_eq!(format!("{:?}", packet::decode(&frame)), format!("{:?}", packet::decode_slowly(&frame)));
        pipeline.frame(&frame, &mut |_, _| ());
    }
    pipeline.flush(&mut |_, _| ());
});
