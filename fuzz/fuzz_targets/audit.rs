//! Any bytes as records of the audit trail, some of one act: one event a record with its text, memory of acts within its bound.
#![no_main]
use event::{Timestamp, Value, field};
use proto::log::{ACTS_MAX, Line, Reader};

libfuzzer_sys::fuzz_target!(|records: Vec<(u8, Vec<u8>)>| {
    const KINDS: &[&str] = &["SYSCALL", "EXECVE", "CWD", "PATH", "PROCTITLE", "SOCKADDR", "USER_LOGIN", "ADD_USER", "AVC"];
    let mut reader = Reader::new();
    for (kind, bytes) in &records {
        let name = KINDS[usize::from(*kind) % KINDS.len()];
        let mut line = format!("type={name} msg=audit(1795431600.123:{}): ", kind >> 4).into_bytes();
        line.extend_from_slice(bytes);
        let (_, event) = reader.read(&Line { bytes: &line, received: Timestamp::ZERO, utc_offset_secs: 0, format: None });
        assert_eq!(event.body.get(field::RAW_DATA), Some(&Value::lossy(&line)));
    }
    assert!(reader.acts().len() <= ACTS_MAX);
});
