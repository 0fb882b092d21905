//! The places of the words in a map.

use std::ops::Range;

use crate::{
    format::{DROP_REASONS, MapHead},
    mem::SharedMemory,
    sync::{GlobalAtomicU64, Ordering},
};

/// Words of a shard's track: next generation, next record, declared drops.
pub(super) const TRACK: usize = 2 + DROP_REASONS;
/// Words of an entry of the journal.
pub(super) const ENTRY: usize = 20;
/// Words of one record of a segment's whereabouts; there are two.
pub(super) const WHEREABOUTS: usize = 9;

/// The first words: the bounds of the journal, and which record of whereabouts is the current one.
pub(super) const BOUNDS: usize = 0;
pub(super) const CURRENT: usize = 1;
const FIXED: usize = 8;

/// The words of a map by their use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    shards: usize,
    buffers: usize,
    slots: usize,
}

impl Places {
    pub(super) fn of(head: &MapHead) -> Places {
        Places {
            shards: head.shards as usize,
            buffers: head.buffers as usize,
            slots: head.slots as usize,
        }
    }

    pub(super) fn whereabouts(&self, which: usize) -> Range<usize> {
        let start = FIXED + which * WHEREABOUTS;
        start..start + WHEREABOUTS
    }

    fn owners(&self) -> usize {
        FIXED + 2 * WHEREABOUTS
    }

    pub(super) fn owner(&self, buffer: usize) -> usize {
        self.owners() + buffer
    }

    pub(super) fn drops(&self, shard: usize) -> usize {
        self.owners() + self.buffers + shard * DROP_REASONS
    }

    pub(super) fn track(&self, shard: usize) -> Range<usize> {
        let start = self.drops(self.shards) + shard * TRACK;
        start..start + TRACK
    }

    /// The slot of the journal's entry with this number. The count of slots is a power of two, so numbers can wrap.
    pub(super) fn entry(&self, number: u32) -> Range<usize> {
        let slot = number as usize % self.slots.max(1);
        let start = self.track(self.shards).start + slot * ENTRY;
        start..start + ENTRY
    }

    /// The number of all words.
    pub(super) fn len(&self) -> usize {
        self.track(self.shards).start + self.slots * ENTRY
    }
}

/// Bits of a shard's number in the word of an owner. Bit 0 says that there is an owner.
const SHARD_BITS: u32 = 18;
const GENERATION_AT: u32 = 1 + SHARD_BITS;

/// The word of a buffer that belongs to a shard, in this generation.
pub(super) fn owner_word(shard: u32, generation: u64) -> u64 {
    generation << GENERATION_AT | u64::from(shard) << 1 | 1
}

/// The shard and the generation of such a word; `None`: the buffer is free.
pub(super) fn owner_of(word: u64) -> Option<(u32, u64)> {
    let shard = (word >> 1) as u32 & ((1 << SHARD_BITS) - 1);
    (word & 1 == 1).then_some((shard, word >> GENERATION_AT))
}

/// The word at a place; `None` in a forked child, which has no map.
pub(super) fn word(memory: &SharedMemory, at: usize) -> Option<&GlobalAtomicU64> {
    memory.words().get(at)
}

/// Stores words one behind the other.
pub(super) fn store(memory: &SharedMemory, at: Range<usize>, values: &[u64]) {
    debug_assert_eq!(at.len(), values.len());
    for (word, value) in memory.words().get(at).into_iter().flatten().zip(values) {
        // Release: no store of the program moves behind a later one, so a killed process has made a beginning of them.
        word.store(*value, Ordering::Release);
    }
}

/// Loads words one behind the other; an empty list in a forked child.
pub(super) fn load(memory: &SharedMemory, at: Range<usize>) -> Vec<u64> {
    // Relaxed: the process that stored them is dead, or is this thread.
    let words = memory.words().get(at).into_iter().flatten();
    words.map(|word| word.load(Ordering::Relaxed)).collect()
}
