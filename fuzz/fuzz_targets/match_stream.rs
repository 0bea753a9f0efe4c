//! Any bytes as the input of `vedette match`: nothing panics, numbers rise, and plain lines come out as they went in.
#![no_main]

use std::io::Cursor;

use collector::matching::input::Lines;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(mut lines) = Lines::new(Box::new(Cursor::new(data.to_vec()))) else { return };
    let (mut next, mut whole, mut long) = (1, Vec::new(), 0);
    while let Ok(Some(chunk)) = lines.next(Vec::new()) {
        assert!(chunk.first_line >= next);
        next = chunk.first_line + chunk.bytes.iter().filter(|b| **b == b'\n').count() as u64;
        whole.extend_from_slice(&chunk.bytes);
        long += chunk.long.len();
    }
    let bare = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let packed = data.starts_with(&[0x1f, 0x8b]) || data.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let array = bare.iter().take(4096).find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
    if !packed && !array && long == 0 {
        assert_eq!(whole, bare);
    }
});
