#![no_main]
// Any bytes: an error, or rows that use up exactly the numbers the batch declares.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(batch) = wire::Batch::from_bytes(bytes.to_vec().into()) else { return };
    let Ok(open) = batch.unpack() else { return };
    assert_eq!(open.rows().map(|(_, row)| row.count()).sum::<u64>(), open.last_seq - open.first_seq + 1);
});
