//! What closed episodes leave behind, for those that open next: the last given back is the first taken, so it is still near the processor,
//! where the allocator's would have to be fetched from memory. Nothing of their contents stays.

use crate::episode::{Episode, ManyTags, More, Tags};
use crate::ring::Entry;

/// Of each kind.
const SPARE_MAX: usize = 512;
/// What has grown larger is not kept.
const ENTRIES_MAX: usize = 8;
const TAGS_MAX: usize = 32;

#[derive(Default)]
#[expect(clippy::vec_box, reason = "the boxes are what is given on")]
pub(crate) struct Spare {
    rings: Vec<Vec<Entry>>,
    tags: Vec<Box<ManyTags>>,
    mores: Vec<Box<More>>,
}

impl Spare {
    pub(crate) fn ring(&mut self) -> Vec<Entry> {
        self.rings.pop().unwrap_or_else(|| Vec::with_capacity(4))
    }
    pub(crate) fn tags(&mut self) -> Box<ManyTags> {
        self.tags.pop().unwrap_or_default()
    }
    pub(crate) fn more(&mut self) -> Box<More> {
        self.mores.pop().unwrap_or_default()
    }

    pub(crate) fn keep_ring(&mut self, mut ring: Vec<Entry>) {
        if ring.capacity() > 0 && ring.capacity() <= ENTRIES_MAX && self.rings.len() < SPARE_MAX {
            ring.clear();
            self.rings.push(ring);
        }
    }

    pub(crate) fn keep_episode(&mut self, mut episode: Episode) {
        if let Some(mut more) = episode.more.take().filter(|_| self.mores.len() < SPARE_MAX) {
            more.told = None;
            more.oldest.clear();
            more.notes.clear();
            self.mores.push(more);
        }
        if let Tags::Many(mut many) = episode.tags
            && many.capacity() <= TAGS_MAX
            && self.tags.len() < SPARE_MAX
        {
            many.clear();
            self.tags.push(many);
        }
    }
}
