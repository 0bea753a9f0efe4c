//! A spool's folder of any files: it opens, accounts for what it found, takes a record and gives it back. A piece is one file: its flags
//! choose the name; with bit 7, its content becomes the payload of a control record whose checksum is right.
#![no_main]
use fuzz::pieces;
use spool::{Config, Disk, Position, SimDisk, Spool};

const NAMES: [&str; 8] = [
    "ctl-1-5.log",
    "ctl-2-18446744073709551615.log",
    "0-1-5-1.seg",
    "1-2-5-1.seg",
    "2-3-5-9.seg",
    "0-18446744073709551615-7-18446744073709551615.seg",
    "1-4-18446744073709551614-3.seg",
    "0-9-5-2.seg.bad",
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut disk = SimDisk::new(1);
    for (flags, body) in pieces(bytes).take(8) {
        let mut content = body.to_vec();
        if flags & 0x80 != 0 {
            let mut record = (body.len() as u32).to_le_bytes().to_vec();
            record.extend_from_slice(&5u64.to_le_bytes());
            record.extend_from_slice(&1u64.to_le_bytes());
            record.extend_from_slice(&[0; 8]);
            record.extend_from_slice(&[3, 0xff, 0, 0]);
            record.extend_from_slice(body);
            content = [crc32c::crc32c(&record).to_le_bytes().as_slice(), &record].concat();
        }
        let name = NAMES[usize::from(flags & 7)];
        let Ok(mut file) = disk.create(name, content.len() as u64) else { continue };
        disk.write_at(&mut file, 0, &content).expect("there is room");
        disk.sync(&mut file).expect("no faults here");
    }
    disk.sync_dir().expect("no faults here");
    let config =
        Config { bytes_max: 1 << 20, segment_bytes: 1 << 16, payload_bytes_max: 1 << 12, pending_bytes_max: 1 << 16, ..Config::default() };
    let Ok((mut spool, recovery)) = Spool::open(disk, config, 1_795_000_000) else { return };
    assert!(recovery.epoch >= 1);
    let at = spool.append(0, 1, b"one").expect("there is room");
    spool.commit().expect("no faults here");
    let records = spool.read(0, Position::new(recovery.epoch, at - 1), 1 << 16).expect("no faults here");
    assert!(records.iter().any(|r| format!("{r:?}").contains("111, 110, 101")), "{records:?}");
});
