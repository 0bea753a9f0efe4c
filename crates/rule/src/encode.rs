//! The encoding modifiers: UTF-16, Base64 and its three offsets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// UTF-16 bytes of `text`; `utf16` alone (`mark`) is little-endian behind a byte order mark.
pub(crate) fn utf16(text: &str, big: bool, mark: bool) -> Vec<u8> {
    let mut out = if mark { vec![0xff, 0xfe] } else { Vec::new() };
    for unit in text.encode_utf16() {
        out.extend(if big { unit.to_be_bytes() } else { unit.to_le_bytes() });
    }
    out
}

/// Bytes as text, one character a byte (Latin-1): how a UTF-16 pattern is sought in text.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// What of `bytes` stays the same in Base64 whatever stands around it, for each of the three positions it can have within a
/// group of three bytes. The first and the last character that also depend on a neighbour are cut; empty rests are left out.
pub(crate) fn base64_offsets(bytes: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    for (offset, head) in [(0usize, 0usize), (1, 2), (2, 3)] {
        let mut shifted = vec![b' '; offset];
        shifted.extend_from_slice(bytes);
        let coded = STANDARD.encode(&shifted);
        // One byte left over: two characters and `==`, the second of them unstable; two left over: three and `=`, the third unstable.
        let tail = match shifted.len() % 3 {
            0 => 0,
            1 => 3,
            _ => 2,
        };
        if let Some(stable) = coded.get(head..coded.len().saturating_sub(tail)).filter(|s| !s.is_empty()) {
            out.push(stable.to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf16_as_the_appendix_shows_it() {
        assert_eq!(utf16("cmd", false, false), [0x63, 0, 0x6d, 0, 0x64, 0]);
        assert_eq!(utf16("cmd", true, false), [0, 0x63, 0, 0x6d, 0, 0x64]);
        assert_eq!(utf16("cmd", false, true), [0xff, 0xfe, 0x63, 0, 0x6d, 0, 0x64, 0]);
    }

    /// Each needle at each position with every neighbour that can touch its first and last character is found.
    #[test]
    fn a_value_is_found_wherever_it_stands() {
        for needle in ["ab", "abc", "http", "/bin/sh", "\u{e9}t\u{e9}"] {
            let stable = base64_offsets(needle.as_bytes());
            for before in 0..7usize {
                for left in [0u8, 0x55, 0xff] {
                    for right in [&[][..], &[0u8][..], &[0xff][..], &[0u8, 0xff][..], &[0xff, 0x80, 1][..]] {
                        let mut whole = vec![left; before];
                        whole.extend_from_slice(needle.as_bytes());
                        whole.extend_from_slice(right);
                        let coded = base64(&whole);
                        assert!(stable.iter().any(|s| coded.contains(s)), "{needle} at {before} in {coded}");
                    }
                }
            }
        }
    }

    #[test]
    fn offsets_as_the_reference_computes_them() {
        assert_eq!(base64_offsets(b"foobar"), ["Zm9vYmFy", "Zvb2Jhc", "mb29iYX"]);
        assert_eq!(base64_offsets(b"/bin/bash"), ["L2Jpbi9iYXNo", "9iaW4vYmFza", "vYmluL2Jhc2"]);
    }
}
