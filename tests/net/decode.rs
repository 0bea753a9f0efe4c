//! Every frame of every capture by both ways of decoding: the short one reads what the long one reads.

use std::time::Duration;

use capture::{FileSource, PacketSource};
use packet::{decode, decode_slowly};

#[test]
fn both_ways_of_decoding_read_the_same_in_every_capture() {
    let Some(root) = tests::data("pcap") else { return };
    let manifest = std::fs::read_to_string(root.join("MANIFEST.tsv")).expect("the manifest is text");
    let mut frames = 0u64;
    for name in manifest.lines().skip(1).filter_map(|l| l.split('\t').next()) {
        let Ok(mut source) = FileSource::open(&root.join(name)) else { continue };
        while let Ok(Some(frame)) = source.next(Duration::ZERO) {
            frames += 1;
            let (short, long) = (format!("{:?}", decode(&frame)), format!("{:?}", decode_slowly(&frame)));
            assert_eq!(short, long, "{name}, frame {frames} of all");
        }
    }
    println!("{frames} frames");
    assert!(frames > 200_000);
}
