//! Frames of the write-ahead log from any bytes: no panic, what is read encodes to the same bytes again.
#![no_main]

use bytes::Bytes;
use collector::store::wal::frame::{Parsed, encode, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<8>() else { return };
    let offset = u64::from_le_bytes(*head);
    let bytes = Bytes::copy_from_slice(rest);
    if let Parsed::Data { frame, synced, length } = parse(&bytes, offset) {
        let mut again = Vec::new();
        encode(&frame, offset, synced, &mut again);
        assert_eq!(parse(&Bytes::from(again), offset), Parsed::Data { frame, synced, length });
    }
});
