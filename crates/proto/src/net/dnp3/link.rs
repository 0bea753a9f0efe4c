//! The data link layer of DNP3 (IEEE 1815-2012, clause 9): frames out of a stream of bytes, their checksums taken off.
//!
//! A frame is `05 64`, length, control, destination, source, checksum, then up to 250 bytes of user data with a checksum behind each
//! sixteen. Reading starts anywhere: bytes in front of a header whose checksum is right are passed over.

/// The longest frame: a header of 10 bytes, 250 bytes of data and 16 checksums.
pub(super) const FRAME_BYTES_MAX: usize = 292;
const HEADER_BYTES: usize = 10;
const START: [u8; 2] = [0x05, 0x64];

/// A frame with right checksums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// From a master.
    pub master: bool,
    /// From the side that began the exchange of the link layer.
    pub primary: bool,
    pub function: u8,
    pub destination: u16,
    pub source: u16,
    pub data: Vec<u8>,
}

/// What stands at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    Frame(Frame, usize),
    /// So many bytes are no frame; why, unless they are only in between.
    Skip(usize, Option<&'static str>),
    /// More bytes are needed.
    Wait,
}

/// CRC-16/DNP: polynomial 3D65h mirrored, begun with 0, inverted at the end.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(0u16, |crc, b| crc >> 8 ^ CHECKSUMS[usize::from(crc as u8 ^ b)])
}

/// What each byte does to the checksum, eight steps at once.
static CHECKSUMS: [u16; 256] = {
    let mut all = [0; 256];
    let mut n = 0;
    while n < all.len() {
        let (mut crc, mut step) = (n as u16, 0);
        while step < 8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0xa6bc } else { crc >> 1 };
            step += 1;
        }
        all[n] = crc;
        n += 1;
    }
    all
};

/// Bytes with their checksum behind them, as far as it is right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (content, sum) = bytes.split_last_chunk::<2>()?;
    (checksum(content) == u16::from_le_bytes(*sum)).then_some(content)
}

/// Whether these bytes begin with a header whose checksum is right.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    bytes.starts_with(&START) && bytes.get(2).is_some_and(|n| *n >= 5) && bytes.get(..HEADER_BYTES).and_then(checked).is_some()
}

/// Where the first header begins.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = memchr::memchr(START[0], bytes.get(from..)?) {
        if bytes.get(from + at..).is_some_and(is_header) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Reads what stands at the front.
pub(super) fn front(bytes: &[u8]) -> Front {
    let start = bytes.iter().enumerate().position(|(at, b)| *b == START[0] && bytes.get(at + 1).is_none_or(|b| *b == START[1]));
    match start {
        Some(0) => {}
        Some(skip) => return Front::Skip(skip, None),
        None if bytes.is_empty() => return Front::Wait,
        None => return Front::Skip(bytes.len(), None),
    }
    let Some(header) = bytes.get(..HEADER_BYTES) else { return Front::Wait };
    let Some(&[_, _, length, control, d0, d1, s0, s1]) = checked(header).and_then(|h| h.first_chunk::<8>()) else {
        return Front::Skip(2, Some("dnp3_bad_crc"));
    };
    let Some(data_bytes) = usize::from(length).checked_sub(5) else { return Front::Skip(HEADER_BYTES, Some("dnp3_malformed")) };
    let whole = HEADER_BYTES + data_bytes + 2 * data_bytes.div_ceil(16);
    let Some(blocks) = bytes.get(HEADER_BYTES..whole) else { return Front::Wait };
    let mut data = Vec::with_capacity(data_bytes);
    for block in blocks.chunks(18) {
        let Some(content) = checked(block) else { return Front::Skip(HEADER_BYTES, Some("dnp3_bad_crc")) };
        data.extend_from_slice(content);
    }
    let frame = Frame {
        master: control & 0x80 != 0,
        primary: control & 0x40 != 0,
        function: control & 0x0f,
        destination: u16::from_le_bytes([d0, d1]),
        source: u16::from_le_bytes([s0, s1]),
        data,
    };
    Front::Frame(frame, whole)
}

/// A frame as a station would send it, for the tests.
#[cfg(test)]
pub(super) fn frame(control: u8, destination: u16, source: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x05, 0x64, data.len() as u8 + 5, control];
    bytes.extend_from_slice(&destination.to_le_bytes());
    bytes.extend_from_slice(&source.to_le_bytes());
    bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
    for block in data.chunks(16) {
        bytes.extend_from_slice(block);
        bytes.extend_from_slice(&checksum(block).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(checksum(b"123456789"), 0xea82);
        assert!(is_header(&frame(0xc0, 1, 12, &[])));
    }

    #[test]
    fn frames_are_found_behind_anything_and_waited_for() {
        let bytes = frame(0xc4, 10, 1, &[0xc0; 40]);
        let Front::Frame(read, whole) = front(&bytes) else { panic!("a frame") };
        assert_eq!((whole, read.data.len(), read.destination, read.source, read.master), (bytes.len(), 40, 10, 1, true));
        for cut in 0..bytes.len() {
            assert_eq!(front(&bytes[..cut]), Front::Wait, "{cut}");
        }
        let behind = [b"\x05xx\x05".as_slice(), &bytes].concat();
        assert_eq!((front(&behind), find(&behind)), (Front::Skip(4, None), Some(4)));
        assert!(bytes.len() <= FRAME_BYTES_MAX);
    }

    #[test]
    fn one_wrong_bit_anywhere_is_seen() {
        let bytes = frame(0xc4, 10, 1, &[0xc0; 40]);
        for at in 2..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x10;
            assert!(matches!(front(&wrong), Front::Skip(_, Some("dnp3_bad_crc"))), "{at}");
        }
    }
}
