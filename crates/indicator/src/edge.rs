//! How layers reach an agent: bodies of signed policy messages, cut by the collector and put together again on the host.
//!
//! ```text
//! manifest  'M' │ count u16 │ digest 32 × count            the layers in force, by SHA-256
//! chunk     'C' │ digest 32 │ total u64 │ at u64 │ bytes    a part of one layer
//! ```
//! Numbers are little endian. Every message is signed by itself, so the manifest of a later revision ends an older one whatever order
//! chunks come in; a layer an agent already holds is not sent to it again. What is older than what is held is refused: nobody takes an
//! agent back to a set from before an indicator was known. Limits: `EDGE_BYTES_MAX` packed bytes and `LAYERS_MAX` layers in all.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::{PackError, Set, SetBuilder, unpack};

/// Kind of the policy messages that carry indicators.
pub const POLICY_KIND: &str = "indicators";
/// Packed bytes of all layers on an agent.
pub const EDGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Entries of all layers on an agent: about 5 MB of its memory.
pub const EDGE_ENTRIES_MAX: u64 = 100_000;
const LAYERS_MAX: usize = 512;
/// Bytes of one chunk.
const CHUNK: usize = 512 * 1024;

/// SHA-256 of a packed layer.
pub type LayerId = [u8; 32];

pub fn layer_id(layer: &[u8]) -> LayerId {
    Sha256::digest(layer).into()
}

/// The body that says which layers are in force.
pub fn manifest_body(layers: &[LayerId]) -> Vec<u8> {
    let layers = layers.get(..LAYERS_MAX).unwrap_or(layers);
    let mut out = vec![b'M'];
    out.extend_from_slice(&u16::try_from(layers.len()).unwrap_or(0).to_le_bytes());
    layers.iter().for_each(|id| out.extend_from_slice(id));
    out
}

/// The bodies that carry a layer.
pub fn chunk_bodies(layer: &[u8]) -> Vec<Vec<u8>> {
    let id = layer_id(layer);
    let body = |(n, part): (usize, &[u8])| {
        let mut out = vec![b'C'];
        out.extend_from_slice(&id);
        out.extend_from_slice(&(layer.len() as u64).to_le_bytes());
        out.extend_from_slice(&((n * CHUNK) as u64).to_le_bytes());
        out.extend_from_slice(part);
        out
    };
    layer.chunks(CHUNK).enumerate().map(body).collect()
}

/// Why a body was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    #[error("not a body of indicators")]
    Malformed,
    #[error("older than what is in force")]
    Older,
    #[error("more than an agent holds")]
    TooLarge,
    #[error("a part of a layer no manifest names")]
    Unasked,
    #[error("a layer is not what its digest says")]
    Digest,
}

/// What is put together on the agent.
#[derive(Debug, Default)]
pub struct Assembler {
    revision: u64,
    wanted: Vec<LayerId>,
    layers: BTreeMap<LayerId, Vec<u8>>,
    whole: BTreeMap<LayerId, bool>,
    /// The revision that was handed out last.
    given: u64,
}

/// All layers of a revision, ready to be made a set of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complete {
    pub revision: u64,
    pub layers: Vec<Vec<u8>>,
}

impl Complete {
    /// The set of all layers; a layer that cannot be read refuses the whole.
    pub fn build(&self) -> Result<Set, PackError> {
        let mut builder = SetBuilder::new();
        for layer in &self.layers {
            unpack(layer, &mut builder)?;
        }
        Ok(builder.build())
    }
}

impl Assembler {
    /// One that takes nothing older than `revision`, which an earlier run of the agent had.
    pub fn resuming(revision: u64) -> Self {
        Self { revision, ..Self::default() }
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes the body of a message whose signature was found good. All layers, once the last one is there.
    pub fn take(&mut self, revision: u64, body: &[u8]) -> Result<Option<Complete>, EdgeError> {
        match body.split_first() {
            Some((b'M', rest)) => self.manifest(revision, rest)?,
            Some((b'C', rest)) => self.chunk(rest)?,
            _ => return Err(EdgeError::Malformed),
        }
        if self.given == self.revision || !self.wanted.iter().all(|id| self.whole.contains_key(id)) {
            return Ok(None);
        }
        self.given = self.revision;
        let layers = self.wanted.iter().filter_map(|id| self.layers.get(id).cloned()).collect();
        Ok(Some(Complete { revision: self.revision, layers }))
    }

    fn manifest(&mut self, revision: u64, rest: &[u8]) -> Result<(), EdgeError> {
        let (count, rest) = rest.split_first_chunk::<2>().ok_or(EdgeError::Malformed)?;
        let (ids, left) = rest.as_chunks::<32>();
        if !left.is_empty() || ids.len() != usize::from(u16::from_le_bytes(*count)) {
            return Err(EdgeError::Malformed);
        }
        if ids.len() > LAYERS_MAX {
            return Err(EdgeError::TooLarge);
        }
        if revision < self.revision {
            return Err(EdgeError::Older);
        }
        self.revision = revision;
        self.wanted = ids.to_vec();
        self.layers.retain(|id, _| ids.contains(id));
        self.whole.retain(|id, _| ids.contains(id));
        Ok(())
    }

    fn chunk(&mut self, rest: &[u8]) -> Result<(), EdgeError> {
        let (id, rest) = rest.split_first_chunk::<32>().ok_or(EdgeError::Malformed)?;
        let (total, rest) = rest.split_first_chunk::<8>().ok_or(EdgeError::Malformed)?;
        let (at, part) = rest.split_first_chunk::<8>().ok_or(EdgeError::Malformed)?;
        let (total, at) = (u64::from_le_bytes(*total), u64::from_le_bytes(*at));
        if !self.wanted.contains(id) {
            return Err(EdgeError::Unasked);
        }
        let held: usize = self.layers.values().map(Vec::len).sum();
        if total > EDGE_BYTES_MAX as u64 || held.saturating_add(part.len()) > EDGE_BYTES_MAX {
            return Err(EdgeError::TooLarge);
        }
        if self.whole.contains_key(id) {
            return Ok(());
        }
        let layer = self.layers.entry(*id).or_default();
        // A part that was sent again by a newer connection begins anew.
        if at == 0 {
            layer.clear();
        }
        if layer.len() as u64 != at {
            return Ok(());
        }
        layer.extend_from_slice(part);
        if (layer.len() as u64) < total {
            return Ok(());
        }
        if layer_id(layer) != *id {
            self.layers.remove(id);
            return Err(EdgeError::Digest);
        }
        self.whole.insert(*id, true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ReadOptions, pack, read};

    fn layer(text: &str) -> Vec<u8> {
        let mut builder = SetBuilder::new();
        read(text.as_bytes(), &ReadOptions::default(), &mut |e| builder.add(e));
        pack(&builder.build()).bytes
    }

    #[test]
    fn layers_are_put_together_and_only_what_is_new_need_be_sent() {
        let (one, two) = (layer("192.0.2.1\n"), layer("evil.example\n"));
        let mut agent = Assembler::default();
        assert_eq!(agent.take(5, &manifest_body(&[layer_id(&one)])), Ok(None));
        let done = agent.take(5, &chunk_bodies(&one)[0]).unwrap().expect("all is there");
        assert_eq!(done.build().unwrap().len(), 1);
        assert_eq!(agent.take(6, &manifest_body(&[layer_id(&one), layer_id(&two)])), Ok(None));
        let done = agent.take(6, &chunk_bodies(&two)[0]).unwrap().expect("the first one was kept");
        assert_eq!((done.revision, done.build().unwrap().len()), (6, 2));
        let done = agent.take(7, &manifest_body(&[])).unwrap().expect("nothing is in force now");
        assert_eq!(done.build().unwrap().len(), 0);
        assert_eq!(agent.take(6, &manifest_body(&[layer_id(&one)])), Err(EdgeError::Older));
        assert_eq!(agent.take(7, &chunk_bodies(&one)[0]), Err(EdgeError::Unasked));
    }

    #[test]
    fn what_lies_is_refused_and_what_comes_twice_changes_nothing() {
        let one: Vec<u8> = (0..CHUNK * 2 + 7).map(|n| (n % 251) as u8).collect();
        let parts = chunk_bodies(&one);
        assert_eq!(parts.len(), 3);
        let mut agent = Assembler::resuming(9);
        assert_eq!(agent.take(8, &manifest_body(&[layer_id(&one)])), Err(EdgeError::Older));
        agent.take(9, &manifest_body(&[layer_id(&one)])).unwrap();
        for part in [&parts[0], &parts[1], &parts[1], &parts[0], &parts[1]] {
            assert_eq!(agent.take(9, part), Ok(None));
        }
        let mut wrong = parts[2].clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(agent.take(9, &wrong), Err(EdgeError::Digest));
        for part in &parts[..2] {
            agent.take(9, part).unwrap();
        }
        assert_eq!(agent.take(9, &parts[2]).unwrap().map(|c| c.layers), Some(vec![one]));
        let mut huge = parts[0].clone();
        huge[33..41].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(agent.take(9, &huge), Err(EdgeError::TooLarge));
        assert_eq!(agent.take(9, b""), Err(EdgeError::Malformed));
    }
}
