//! SHA-1 (RFC 3174) for Community ID, which asks for it as a name, not as protection. Short inputs only.

/// SHA-1 of at most 55 bytes (one block).
pub(crate) fn sha1_one_block(input: &[u8]) -> [u8; 20] {
    debug_assert!(input.len() <= 55);
    let mut block = [0u8; 64];
    let n = input.len().min(55);
    block[..n].copy_from_slice(&input[..n]);
    block[n] = 0x80;
    block[56..].copy_from_slice(&(n as u64 * 8).to_be_bytes());
    let mut w = [0u32; 80];
    for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    for t in 16..80 {
        w[t] = (w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16]).rotate_left(1);
    }
    let start: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut state = start;
    // A loop for each function, so that none of them asks which one is due.
    rounds(&mut state, &w[..20], 0x5a82_7999, |b, c, d| d ^ (b & (c ^ d)));
    rounds(&mut state, &w[20..40], 0x6ed9_eba1, |b, c, d| b ^ c ^ d);
    rounds(&mut state, &w[40..60], 0x8f1b_bcdc, |b, c, d| (b & c) | (d & (b | c)));
    rounds(&mut state, &w[60..], 0xca62_c1d6, |b, c, d| b ^ c ^ d);
    let mut out = [0u8; 20];
    for (slot, (x, y)) in out.chunks_exact_mut(4).zip(state.into_iter().zip(start)) {
        slot.copy_from_slice(&x.wrapping_add(y).to_be_bytes());
    }
    out
}

#[inline(always)]
fn rounds(state: &mut [u32; 5], words: &[u32], k: u32, f: impl Fn(u32, u32, u32) -> u32) {
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for word in words {
        let next = a.rotate_left(5).wrapping_add(f(b, c, d)).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
    }
    *state = [a, b, c, d, e];
}

#[cfg(test)]
mod tests {
    use super::sha1_one_block;

    #[test]
    fn rfc_3174_vectors() {
        let hex = |d: [u8; 20]| d.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(sha1_one_block(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex(sha1_one_block(b"")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        // FIPS 180-1 example of 56 bytes needs two blocks; 55 bytes is the longest that fits one.
        assert_eq!(hex(sha1_one_block(&[b'a'; 55])), "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    }
}
