//! Feeds of indicators from any bytes, in every format; what comes of them is asked and packed and comes back.
#![no_main]

use indicator::{Format, ReadOptions, SetBuilder, pack, read, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for format in [Format::Auto, Format::Stix, Format::Misp, Format::Csv, Format::List, Format::Events] {
        let mut builder = SetBuilder::new();
        let reading = read(bytes, &ReadOptions { format, ..ReadOptions::default() }, &mut |e| builder.add(e));
        let set = builder.build();
        assert!(set.counts().entries + set.counts().replaced + set.counts().refused >= reading.taken);
        let layer = pack(&set);
        assert_eq!(unpack(&layer.bytes, &mut SetBuilder::new()), Ok(layer.entries));
    }
});
