//! Names that are the same wherever they are made: UUID version 5 (RFC 9562, 5.5).

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

/// Of what this house names. Fixed for good: another value would rename everything ever told.
const SPACE: [u8; 16] = *b"vedette/exchange";

/// The UUID of these parts in the house's own space.
pub fn uuid5(parts: &[&str]) -> String {
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(&SPACE);
    for part in parts {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    written(digest.finish().as_ref())
}

fn written(sum: &[u8]) -> String {
    let mut bytes = [0u8; 16];
    for (to, from) in bytes.iter_mut().zip(sum) {
        *to = *from;
    }
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = crate::hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_is_a_uuid_of_version_5_and_its_parts_do_not_run_together() {
        let name = super::uuid5(&["report", "W1"]);
        assert_eq!((name.len(), name.as_bytes()[14], matches!(name.as_bytes()[19], b'8' | b'9' | b'a' | b'b')), (36, b'5', true), "{name}");
        assert_ne!(super::uuid5(&["ab", "c"]), super::uuid5(&["a", "bc"]));
        assert_eq!(name, super::uuid5(&["report", "W1"]));
    }
}
