//! HPACK (RFC 7541): header fields of HTTP/2 out of their compressed block.
//!
//! One `Hpack` a direction, fed with every block of it in order; a block that was missed makes what follows unreadable, and then it
//! says so for good. The code of Huffman is canonical, so its lengths are the whole table.
//! Limits: `TABLE_BYTES_MAX` of dynamic table whatever the peers agree on, `FIELDS_MAX` fields handed out a block (more are followed
//! for the table's sake), strings bounded by their block.

use std::collections::VecDeque;

/// Both ends start with this (RFC 9113, 6.5.2).
const TABLE_BYTES_START: usize = 4096;
const TABLE_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 128;

/// Name and value.
pub(super) type Header = (Vec<u8>, Vec<u8>);

pub(super) struct Hpack {
    table: VecDeque<Header>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for Hpack {
    fn default() -> Self {
        Self { table: VecDeque::new(), bytes: 0, bytes_max: TABLE_BYTES_START }
    }
}

impl Hpack {
    /// The fields of a whole block; `None` if it cannot be read, and then nothing after it can.
    pub(super) fn read(&mut self, block: &[u8]) -> Option<Vec<Header>> {
        let mut fields = Vec::new();
        let mut at = 0;
        while let Some(first) = block.get(at).copied() {
            let (field, keep) = match first {
                0x80.. => (self.entry(integer(block, &mut at, 7)?)?, false),
                0x40.. => (self.literal(block, &mut at, 6)?, true),
                0x20.. => {
                    let size = integer(block, &mut at, 5)?;
                    if size > TABLE_BYTES_MAX {
                        return None;
                    }
                    self.bytes_max = size;
                    self.shrink();
                    continue;
                }
                _ => (self.literal(block, &mut at, 4)?, false),
            };
            if keep {
                self.bytes += field.0.len() + field.1.len() + 32;
                self.table.push_front(field.clone());
                self.shrink();
            }
            if fields.len() < FIELDS_MAX {
                fields.push(field);
            }
        }
        Some(fields)
    }

    fn literal(&self, block: &[u8], at: &mut usize, bits: u8) -> Option<Header> {
        let index = integer(block, at, bits)?;
        let name = if index == 0 { string(block, at)? } else { self.entry(index)?.0 };
        Some((name, string(block, at)?))
    }

    fn entry(&self, index: usize) -> Option<Header> {
        let index = index.checked_sub(1)?;
        match STATIC.get(index) {
            Some((name, value)) => Some((name.to_vec(), value.to_vec())),
            None => self.table.get(index - STATIC.len()).cloned(),
        }
    }

    fn shrink(&mut self) {
        while self.bytes > self.bytes_max
            && let Some((name, value)) = self.table.pop_back()
        {
            self.bytes -= name.len() + value.len() + 32;
        }
    }
}

/// A number in the last `bits` of a byte, and more bytes where they do not suffice.
fn integer(b: &[u8], at: &mut usize, bits: u8) -> Option<usize> {
    let mask = (1usize << bits) - 1;
    let mut number = usize::from(*b.get(*at)?) & mask;
    *at += 1;
    if number < mask {
        return Some(number);
    }
    for shift in [0, 7, 14, 21] {
        let byte = *b.get(*at)?;
        *at += 1;
        number += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn string(b: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    let coded = *b.get(*at)? & 0x80 != 0;
    let len = integer(b, at, 7)?;
    let bytes = b.get(*at..*at + len)?;
    *at += len;
    if coded { huffman(bytes) } else { Some(bytes.to_vec()) }
}

/// First code of each length, how many there are, and where their symbols begin in `SYMBOLS`.
struct Codes {
    first: [u32; 31],
    count: [u32; 31],
    begin: [u16; 31],
    symbols: [u8; 256],
}

static CODES: Codes = {
    let mut codes = Codes { first: [0; 31], count: [0; 31], begin: [0; 31], symbols: [0; 256] };
    let (mut code, mut placed, mut len) = (0u32, 0usize, 1usize);
    while len <= 30 {
        codes.first[len] = code;
        codes.begin[len] = placed as u16;
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == len {
                codes.symbols[placed] = symbol as u8;
                placed += 1;
                codes.count[len] += 1;
            }
            symbol += 1;
        }
        code = (code + codes.count[len]) << 1;
        len += 1;
    }
    codes
};

/// Text in the code of RFC 7541, Appendix B; `None` if it holds what is no symbol or is badly padded.
fn huffman(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() * 8 / 5);
    let (mut code, mut len) = (0u32, 0usize);
    for byte in bytes {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            len += 1;
            if len > 30 {
                return None;
            }
            let nth = code.wrapping_sub(CODES.first[len]);
            if nth < CODES.count[len] {
                out.push(CODES.symbols[usize::from(CODES.begin[len]) + nth as usize]);
                (code, len) = (0, 0);
            }
        }
    }
    // Padding is the begin of a code of ones.
    (len < 8 && code == (1 << len) - 1).then_some(out)
}

/// RFC 7541, Appendix A.
static STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// Bits of each byte's code (RFC 7541, Appendix B).
static LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10,
    10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6,
    7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23,
    21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22,
    22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27,
    26,
];

#[cfg(test)]
mod tests {
    use super::super::super::testing::hex;
    use super::*;

    fn lines(fields: Option<Vec<Header>>) -> Vec<String> {
        fields.unwrap().iter().map(|(n, v)| format!("{}: {}", String::from_utf8_lossy(n), String::from_utf8_lossy(v))).collect()
    }

    /// RFC 7541, C.4: requests in Huffman's code, over one table.
    #[test]
    fn examples_of_the_rfc() {
        let mut hpack = Hpack::default();
        let first = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
        assert_eq!(lines(hpack.read(&hex("828684418cf1e3c2e5f23a6ba0ab90f4ff"))), first);
        assert_eq!(lines(hpack.read(&hex("828684be5886a8eb10649cbf")))[3..], [":authority: www.example.com", "cache-control: no-cache"]);
        let third = hpack.read(&hex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"));
        assert_eq!(lines(third)[3..], [":authority: www.example.com", "custom-key: custom-value"]);
        assert_eq!(hpack.bytes, 164);
    }

    #[test]
    fn the_table_is_bounded_and_nonsense_ends_it() {
        let mut hpack = Hpack::default();
        let field = [&[0x40, 1, b'a', 0x7f, 0xb9, 6][..], &[b'v'; 952]].concat();
        assert!((0..100).all(|_| hpack.read(&field).is_some()));
        assert!(hpack.bytes <= TABLE_BYTES_START && hpack.table.len() == 4);
        assert!(hpack.read(&[0x20]).is_some() && hpack.table.is_empty());
        for bad in [
            &[0x80][..],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[0xfe],
            &[0x3f, 0xff, 0xff, 0x7f],
            &[0, 0x81, 0],
            &[0, 0x84, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(Hpack::default().read(bad).is_none(), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_blocks_are_survived_within_bounds(blocks in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..200), 1..20)) {
            let mut hpack = Hpack::default();
            for block in blocks {
                hpack.read(&block);
                proptest::prop_assert!(hpack.bytes <= TABLE_BYTES_MAX);
                let sum: usize = hpack.table.iter().map(|(n, v)| n.len() + v.len() + 32).sum();
                proptest::prop_assert_eq!(sum, hpack.bytes);
            }
        }
    }
}
