//! A bloom filter over the (field, value) pairs of one row group: is this indicator surely absent?
//!
//! One filter for all entity fields (addresses, hosts, users, names, hashes) and for event ids, over folded text, so it agrees with
//! `Test::Eq`. Blocks of 256 bits, eight bits a value, as Parquet's; about 16 bits a distinct value, one wrong yes in some 600.
//! The hash is written down here and never changes: the bits lie on disk.

use event::{EventId, Field, field};

const BITS_PER_VALUE: usize = 16;
const BLOCK_BYTES: usize = 32;

/// Fields whose values are in the filter.
pub(crate) const FIELDS: &[Field] = &[
    field::SRC_IP,
    field::DST_IP,
    field::DEVICE_IP,
    field::DEVICE_HOSTNAME,
    field::SRC_HOSTNAME,
    field::DST_HOSTNAME,
    field::USER_NAME,
    field::ACTOR_USER,
    field::PROCESS_USER,
    field::DNS_QUERY,
    field::DNS_ANSWERS,
    field::TLS_SNI,
    field::TLS_JA3,
    field::TLS_JA4,
    field::HTTP_HOST,
    field::FILE_SHA256,
    field::RESULT_SHA256,
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bloom(Vec<u8>);

/// Collects hashes while rows are written.
#[derive(Default)]
pub(crate) struct Builder(Vec<u64>);

impl Builder {
    pub(crate) fn add(&mut self, hash: u64) {
        if self.0.last() != Some(&hash) {
            self.0.push(hash);
        }
    }

    pub(crate) fn finish(&mut self) -> Bloom {
        self.0.sort_unstable();
        self.0.dedup();
        let blocks = (self.0.len() * BITS_PER_VALUE).div_ceil(BLOCK_BYTES * 8).max(1);
        let mut bloom = Bloom(vec![0; blocks * BLOCK_BYTES]);
        for hash in self.0.drain(..) {
            let at = bloom.block(hash);
            for (n, mask) in masks(hash).into_iter().enumerate() {
                if let Some(word) = bloom.0.get_mut(at + n * 4..at + n * 4 + 4) {
                    word.iter_mut().zip(mask.to_le_bytes()).for_each(|(b, m)| *b |= m);
                }
            }
        }
        bloom
    }
}

impl Bloom {
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn block(&self, hash: u64) -> usize {
        let blocks = (self.0.len() / BLOCK_BYTES) as u64;
        (((hash >> 32) * blocks) >> 32) as usize * BLOCK_BYTES
    }

    /// False: surely absent. A damaged filter rules nothing out.
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        let at = self.block(hash);
        let Some(block) = self.0.get(at..at + BLOCK_BYTES) else { return true };
        masks(hash).into_iter().zip(block.chunks_exact(4)).all(|(mask, word)| mask.to_le_bytes().iter().zip(word).all(|(m, b)| b & m == *m))
    }
}

fn masks(hash: u64) -> [u32; 8] {
    const SALT: [u32; 8] = [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];
    SALT.map(|s| 1 << ((hash as u32).wrapping_mul(s) >> 27))
}

/// Hash of a field's folded text.
pub(crate) fn value_hash(field: Field, text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325 ^ u64::from(field.number()), |h, c| {
            (h ^ u64::from(c.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
        })
        .mix()
}

/// Hash of the run of 256 numbers an event id lies in.
pub(crate) fn id_hash(id: EventId) -> u64 {
    (id.agent.0.mix() ^ id.epoch.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (id.seq >> 8).mix().rotate_left(17)).mix()
}

trait Mix {
    fn mix(self) -> u64;
}

impl Mix for u64 {
    fn mix(mut self) -> u64 {
        self = (self ^ (self >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self = (self ^ (self >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        self ^ (self >> 33)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let mut builder = Builder::default();
        for n in 0..20_000 {
            builder.add(value_hash(field::SRC_IP, &format!("Host-{n}")));
        }
        let bloom = builder.finish();
        assert!((0..20_000).all(|n| bloom.may_hold(value_hash(field::SRC_IP, &format!("hOST-{n}")))));
        let wrong = (20_000..120_000).filter(|n| bloom.may_hold(value_hash(field::SRC_IP, &format!("host-{n}")))).count();
        assert!(wrong < 400, "{wrong} of 100000");
        assert!(bloom.bytes().len() <= 20_000 * 2 + BLOCK_BYTES);
    }
}
