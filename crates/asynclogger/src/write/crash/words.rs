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
/// The first words of a log: the bounds of its journal, and which record of whereabouts is the current one.
const LOG_FRONT: usize = 4;

/// Words of the name of an event, of the name of its file, and of what stands in front of both.
pub(super) const NAME: usize = 1024 / 8;
pub(super) const BASE: usize = 256 / 8;
pub(super) const IDENTITY: usize = 8 + NAME + BASE;
/// Words of a piece's owner.
pub(super) const PIECE: usize = 3;

/// The words of one log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogPlaces {
    base: usize,
    shards: usize,
    slots: usize,
}

impl LogPlaces {
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn shards(&self) -> usize {
        self.shards
    }

    pub(super) fn bounds(&self) -> usize {
        self.base
    }

    pub(super) fn current(&self) -> usize {
        self.base + 1
    }

    pub(super) fn whereabouts(&self, which: usize) -> Range<usize> {
        let start = self.base + LOG_FRONT + which * WHEREABOUTS;
        start..start + WHEREABOUTS
    }

    pub(super) fn drops(&self, shard: usize) -> Range<usize> {
        let start = self.whereabouts(2).start + shard * DROP_REASONS;
        start..start + DROP_REASONS
    }

    pub(super) fn track(&self, shard: usize) -> Range<usize> {
        let start = self.drops(self.shards).start + shard * TRACK;
        start..start + TRACK
    }

    /// The slot of the journal's entry with this number. The count of slots is a power of two, so numbers can wrap.
    pub(super) fn entry(&self, number: u32) -> Range<usize> {
        let slot = number as usize % self.slots.max(1);
        let start = self.track(self.shards).start + slot * ENTRY;
        start..start + ENTRY
    }

    /// All words of the log.
    pub(super) fn all(&self) -> Range<usize> {
        self.base..self.track(self.shards).start + self.slots * ENTRY
    }
}

/// The words of a map by their use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    buffers: usize,
    pieces: usize,
    logs: usize,
    shards: usize,
    slots: usize,
}

impl Places {
    pub(super) fn of(head: &MapHead) -> Places {
        Places {
            buffers: head.buffers as usize,
            pieces: head.pieces as usize,
            logs: head.logs as usize,
            shards: head.shards as usize,
            slots: head.slots as usize,
        }
    }

    pub(super) fn owner(&self, buffer: usize) -> usize {
        buffer
    }

    /// How far the records of a shared buffer are sorted.
    pub(super) fn sorted(&self, buffer: usize) -> usize {
        self.buffers + buffer
    }

    pub(super) fn piece(&self, piece: usize) -> Range<usize> {
        let start = 2 * self.buffers + piece * PIECE;
        start..start + PIECE
    }

    /// The identity of an event.
    pub(super) fn identity(&self, log: usize) -> Range<usize> {
        let start = self.piece(self.pieces).start + log * (IDENTITY + self.of_one().all().len());
        start..start + IDENTITY
    }

    fn of_one(&self) -> LogPlaces {
        // A manager sorts its records into one sequence for each event.
        LogPlaces {
            base: 0,
            shards: if self.logs > 0 { 1 } else { self.shards },
            slots: self.slots,
        }
    }

    /// The words of a log: of a manager's with this number, or of the only one.
    pub(super) fn log(&self, log: usize) -> LogPlaces {
        let base =
            if self.logs > 0 { self.identity(log).end } else { self.piece(self.pieces).start };
        LogPlaces { base, ..self.of_one() }
    }

    /// The number of all words.
    pub(super) fn len(&self) -> usize {
        match self.logs.checked_sub(1) {
            Some(last) => self.log(last).all().end,
            None => self.log(0).all().end,
        }
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

/// Stores one word.
pub(super) fn store_one(memory: &SharedMemory, at: usize, value: u64) {
    if let Some(word) = word(memory, at) {
        // Release: no store of the program moves behind a later one, so a killed process has made a beginning of them.
        word.store(value, Ordering::Release);
    }
}

/// Stores words one behind the other.
pub(super) fn store(memory: &SharedMemory, at: Range<usize>, values: &[u64]) {
    debug_assert_eq!(at.len(), values.len());
    at.zip(values).for_each(|(at, value)| store_one(memory, at, *value));
}

/// Loads words one behind the other; an empty list in a forked child.
pub(super) fn load(memory: &SharedMemory, at: Range<usize>) -> Vec<u64> {
    // Relaxed: the process that stored them is dead, or is this thread.
    let words = memory.words().get(at).into_iter().flatten();
    words.map(|word| word.load(Ordering::Relaxed)).collect()
}

/// Loads one word; 0 in a forked child.
pub(super) fn load_one(memory: &SharedMemory, at: usize) -> u64 {
    word(memory, at).map_or(0, |word| word.load(Ordering::Relaxed))
}

/// Bytes as words, zeroes behind them.
pub(super) fn pack(bytes: &[u8], words: usize) -> Vec<u64> {
    let mut packed = vec![0; words];
    for (word, chunk) in packed.iter_mut().zip(bytes.chunks(8)) {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_le_bytes(bytes);
    }
    packed
}

/// The first `len` bytes of words.
pub(super) fn unpack(words: &[u64], len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}
