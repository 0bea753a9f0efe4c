//! A layer: the indicators of one source as bytes, on their way to an agent's edge or at rest.
//!
//! `VIND1\0`, then one zstd frame of: count of metas and the metas (JSON), count of entries and the entries (meta, from, until, how many values,
//! each: type, length, bytes). Numbers are little endian. Unpacking is bounded by `UNPACKED_MAX` whatever the frame promises, and takes nothing on
//! trust: a value of a wrong width ends it.

use std::collections::HashMap;
use std::io::Read;

use crate::observable::{Observable, Type};
use crate::set::{Set, SetBuilder};
use crate::{Entry, Meta, NEEDS_MAX, Validity};
use event::Timestamp;

const MAGIC: &[u8] = b"VIND1\0";
/// Bytes of a layer when unpacked: 1 M entries need about 40 MB.
const UNPACKED_MAX: u64 = 256 << 20;
const LEVEL: i32 = 3;

/// A packed layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub bytes: Vec<u8>,
    /// Entries in it.
    pub entries: u64,
    /// Entries left off because their marking keeps them at the centre.
    pub kept_back: u64,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PackError {
    #[error("not a layer of indicators")]
    Magic,
    #[error("the layer cannot be decompressed")]
    Zstd,
    #[error("the layer is larger than {UNPACKED_MAX} bytes unpacked")]
    TooLarge,
    #[error("the layer ends early or holds what it may not")]
    Damaged,
}

/// Packs a set for the units' hosts: without what its marking keeps at the centre.
pub fn pack(set: &Set) -> Layer {
    let mut metas: Vec<&Meta> = Vec::new();
    let mut numbers: HashMap<*const Meta, u32> = HashMap::new();
    let (mut body, mut entries, mut kept_back) = (Vec::new(), 0u64, 0);
    for index in set.placed() {
        let Some((key, others, meta, from, until)) = set.parts(index) else { continue };
        if !meta.tlp.reaches_units() {
            kept_back += 1;
            continue;
        }
        let number = *numbers.entry(std::sync::Arc::as_ptr(meta)).or_insert_with(|| {
            metas.push(meta);
            u32::try_from(metas.len() - 1).unwrap_or(0)
        });
        for n in [number, from, until] {
            body.extend_from_slice(&n.to_le_bytes());
        }
        body.push(u8::try_from(1 + others.len()).unwrap_or(u8::MAX));
        for value in std::iter::once(&key).chain(others) {
            body.push(value.kind as u8);
            body.extend_from_slice(&u16::try_from(value.bytes.len()).unwrap_or(0).to_le_bytes());
            body.extend_from_slice(&value.bytes);
        }
        entries += 1;
    }
    let head = serde_json::to_vec(&metas).unwrap_or_default();
    let mut plain = u32::try_from(head.len()).unwrap_or(0).to_le_bytes().to_vec();
    plain.extend_from_slice(&head);
    plain.extend_from_slice(&body);
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&zstd::bulk::compress(&plain, LEVEL).unwrap_or_default());
    Layer { bytes, entries, kept_back }
}

/// Adds the entries of a layer to a set in the making; how many.
pub fn unpack(bytes: &[u8], builder: &mut SetBuilder) -> Result<u64, PackError> {
    let frame = bytes.strip_prefix(MAGIC).ok_or(PackError::Magic)?;
    let mut plain = Vec::new();
    let reader = zstd::stream::read::Decoder::with_buffer(frame).map_err(|_| PackError::Zstd)?;
    reader.take(UNPACKED_MAX + 1).read_to_end(&mut plain).map_err(|_| PackError::Zstd)?;
    if plain.len() as u64 > UNPACKED_MAX {
        return Err(PackError::TooLarge);
    }
    parse(&plain, builder).ok_or(PackError::Damaged)
}

fn parse(plain: &[u8], builder: &mut SetBuilder) -> Option<u64> {
    let (len, rest) = plain.split_first_chunk::<4>()?;
    let (head, mut rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    let metas: Vec<Meta> = serde_json::from_slice(head).ok()?;
    let mut count = 0;
    while !rest.is_empty() {
        let mut number = || {
            let (n, after) = rest.split_first_chunk::<4>()?;
            rest = after;
            Some(u32::from_le_bytes(*n))
        };
        let (meta, from, until) = (number()?, number()?, number()?);
        let (values, after) = rest.split_first()?;
        rest = after;
        let mut needs = Vec::new();
        if *values == 0 || usize::from(*values) > NEEDS_MAX {
            return None;
        }
        for _ in 0..*values {
            let ([kind, l0, l1], after) = rest.split_first_chunk::<3>()?;
            let (bytes, after) = after.split_at_checked(usize::from(u16::from_le_bytes([*l0, *l1])))?;
            rest = after;
            needs.push(Observable::raw(Type::from_number(*kind)?, bytes)?);
        }
        let valid = Validity {
            from: (from > 0).then(|| Timestamp::from_secs(from.into())),
            until: (until < u32::MAX).then(|| Timestamp::from_secs(until.into())),
        };
        builder.add(Entry { needs: &needs, meta: metas.get(meta as usize)?, valid });
        count += 1;
    }
    Some(count)
}
