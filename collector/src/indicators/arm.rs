//! Indicators on their way to agents: each source is a layer, packed once, signed by the authority, told to everyone who is or will be connected.
//!
//! An agent is small, so it is told `indicator::edge::EDGE_ENTRIES_MAX` entries at most: sources in the order in which they were added, newest
//! first, as long as they fit whole. What does not fit is matched at the collector, where everything is.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use event::Timestamp;
use indicator::Layer;
use indicator::edge::{EDGE_BYTES_MAX, EDGE_ENTRIES_MAX, POLICY_KIND, chunk_bodies, layer_id, manifest_body};
use prost::Message as _;
use wire::link::{Message, Policy};

use super::Indicators;
use crate::authority::Authority;
use crate::ingest::{Links, Published};

/// What arming came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Armed {
    pub revision: u64,
    /// Agents told at once.
    pub agents: usize,
    pub entries: u64,
    /// Sources that did not fit, and entries whose marking keeps them at the centre.
    pub sources_left: usize,
    pub kept_back: u64,
}

/// Packs and publishes.
pub struct Armoury {
    authority: Arc<Authority>,
    links: Arc<Links>,
    /// Layers of uploads by their file, whose name is new with every upload.
    packed: Mutex<HashMap<PathBuf, Arc<Layer>>>,
}

impl Armoury {
    pub fn new(authority: Arc<Authority>, links: Arc<Links>) -> Self {
        Self { authority, links, packed: Mutex::default() }
    }

    /// Tells the agents what is in force. Revisions are nanoseconds of the clock, so they rise over restarts too.
    pub fn publish(&self, all: &Indicators, now: Timestamp) -> Result<Armed, crate::authority::CaError> {
        let book = all.book();
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sources: Vec<_> = book.sources.iter().filter(|s| s.entries > 0).collect();
        sources.sort_by(|a, b| b.added.cmp(&a.added).then_with(|| a.name.cmp(&b.name)));
        let mut armed = Armed { revision: now.ns().unsigned_abs(), ..Armed::default() };
        let mut layers: Vec<Arc<Layer>> = Vec::new();
        let mut bytes = 0;
        for source in &sources {
            let held = packed.get(&source.path).filter(|_| !source.configured).cloned();
            let layer = match held {
                Some(layer) => layer,
                None if armed.entries + source.entries <= EDGE_ENTRIES_MAX => Arc::new(indicator::pack(&all.of(source))),
                None => {
                    armed.sources_left += 1;
                    continue;
                }
            };
            packed.insert(source.path.clone(), layer.clone());
            if armed.entries + layer.entries > EDGE_ENTRIES_MAX || bytes + layer.bytes.len() > EDGE_BYTES_MAX {
                armed.sources_left += 1;
                continue;
            }
            armed.kept_back += layer.kept_back;
            if layer.entries > 0 {
                armed.entries += layer.entries;
                bytes += layer.bytes.len();
                layers.push(layer);
            }
        }
        packed.retain(|path, _| sources.iter().any(|s| s.path == *path));
        drop(packed);
        let sign = |body: Vec<u8>| -> Result<Bytes, crate::authority::CaError> {
            let mut policy =
                Policy { revision: armed.revision, kind: POLICY_KIND.to_owned(), body: Bytes::from(body), signature: Bytes::new() };
            policy.signature = self.authority.ca().sign_policy(&policy.signed_bytes())?.into();
            Ok(Bytes::from(Message::from(policy).encode_to_vec()))
        };
        let ids: Vec<_> = layers.iter().map(|l| layer_id(&l.bytes)).collect();
        let mut published = Published { manifest: Some(sign(manifest_body(&ids))?), layers: Vec::new() };
        for (id, layer) in ids.iter().zip(&layers) {
            let parts = chunk_bodies(&layer.bytes).into_iter().map(sign).collect::<Result<_, _>>()?;
            published.layers.push((*id, parts));
        }
        armed.agents = self.links.publish(published);
        all.arm(armed);
        Ok(armed)
    }
}
