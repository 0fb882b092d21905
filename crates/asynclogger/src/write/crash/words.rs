//! The places of the words in a map.

use std::ops::Range;

use crate::{
    format::{DROP_REASONS, MapHead, checksum::crc32c},
    mem::SharedMemory,
    sync::{GlobalAtomicU64, Ordering},
    write::common::fault,
};

/// Words of a shard's track: next generation, next record, declared drops, their checksum.
pub(super) const TRACK: usize = 3 + DROP_REASONS;
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

    /// The word of a buffer's owner; its checksum is the next one.
    pub(super) fn owner(&self, buffer: usize) -> usize {
        self.owners() + 2 * buffer
    }

    pub(super) fn drops(&self, shard: usize) -> usize {
        self.owner(self.buffers) + shard * DROP_REASONS
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

/// Bits of a shard's number in the word of an owner.
const SHARD_BITS: u32 = 18;
/// Bits 0 and 1 say that there is an owner: two, so that no changed bit makes a free buffer of an owned one.
const OWNED: u64 = 3;
const GENERATION_AT: u32 = 2 + SHARD_BITS;

/// The word of a buffer that belongs to a shard, in this generation.
pub(super) fn owner_word(shard: u32, generation: u64) -> u64 {
    generation << GENERATION_AT | u64::from(shard) << 2 | OWNED
}

/// The shard and the generation of such a word; `None`: the buffer is free. `check` was stored before the word.
///
/// # Errors
/// The word is damaged.
pub(super) fn owner_of(word: u64, check: u64) -> Result<Option<(u32, u64)>, Damaged> {
    if word == 0 {
        return Ok(None);
    }
    if check != checked(&[word]) {
        return Err(Damaged);
    }
    let shard = (word >> 2) as u32 & ((1 << SHARD_BITS) - 1);
    Ok(Some((shard, word >> GENERATION_AT)))
}

/// A word that no process has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// A checksum of words. That of zeroes is not 0, so words that were never stored do not pass.
pub(super) fn checked(words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    u64::from(crc32c(&bytes)) | 1 << 63
}

/// The bits of an entry's number. Numbers wrap, and are more than there are slots.
const NUMBER_BITS: u32 = 24;

/// The number without the bits that the map has no room for.
pub(super) fn wrapped(number: u32) -> u32 {
    number & ((1 << NUMBER_BITS) - 1)
}

/// The word of the journal's bounds: both numbers, and a checksum of them.
pub(super) fn bounds_word(first: u32, next: u32) -> u64 {
    let numbers = u64::from(wrapped(first)) << NUMBER_BITS | u64::from(wrapped(next));
    let sum = crc32c(&numbers.to_le_bytes());
    u64::from((sum >> 16) ^ (sum & 0xFFFF)) << (2 * NUMBER_BITS) | numbers
}

/// The numbers of such a word; of 0 at first.
///
/// # Errors
/// The word is damaged.
pub(super) fn bounds_of(word: u64) -> Result<(u32, u32), Damaged> {
    let (first, next) = (wrapped((word >> NUMBER_BITS) as u32), wrapped(word as u32));
    if word == 0 || word == bounds_word(first, next) { Ok((first, next)) } else { Err(Damaged) }
}

/// The word for which record of whereabouts is the current one.
pub(super) fn current_word(which: usize) -> u64 {
    if which == 0 { 0 } else { u64::MAX }
}

/// The record of such a word.
///
/// # Errors
/// The word is damaged.
pub(super) fn current_of(word: u64) -> Result<usize, Damaged> {
    match word {
        0 => Ok(0),
        u64::MAX => Ok(1),
        _ => Err(Damaged),
    }
}

/// The step in which drops are counted: a changed bit makes no multiple of this prime number.
pub(super) const DROP: u64 = 65_521;

/// The count of drops in such a word.
///
/// # Errors
/// The word is damaged.
pub(super) fn drops_of(word: u64) -> Result<u64, Damaged> {
    if word.is_multiple_of(DROP) { Ok(word / DROP) } else { Err(Damaged) }
}

/// The word at a place; `None` in a forked child, which has no map.
pub(super) fn word(memory: &SharedMemory, at: usize) -> Option<&GlobalAtomicU64> {
    memory.words().get(at)
}

/// Stores words one behind the other.
pub(super) fn store(memory: &SharedMemory, at: Range<usize>, values: &[u64]) {
    debug_assert_eq!(at.len(), values.len());
    let last = values.len().saturating_sub(1);
    for (number, (word, value)) in
        memory.words().get(at).into_iter().flatten().zip(values).enumerate()
    {
        if number <= 1 || number == last {
            fault::kill_point("words of the account");
        }
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

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    /// Each bit of each word that stands alone is checked: the whole account depends on it.
    #[test]
    fn every_changed_bit_of_a_word_is_found() {
        for (first, next) in [(0, 1), (5, 9), (0xFF_FFFF, 3), (1 << 20, (1 << 20) + 700)] {
            let word = bounds_word(first, next);
            assert_eq!(bounds_of(word), Ok((first, next)));
            assert!((0..64).all(|bit| bounds_of(word ^ 1 << bit) == Err(Damaged)));
        }
        assert_eq!(bounds_of(0), Ok((0, 0)));
        assert!((0..64).all(|bit| bounds_of(1 << bit) == Err(Damaged)));
        for (shard, generation) in [(0, 0), (3, 77), ((1 << SHARD_BITS) - 1, (1 << 44) - 1)] {
            let word = owner_word(shard, generation);
            let check = checked(&[word]);
            assert_eq!(owner_of(word, check), Ok(Some((shard, generation))));
            for bit in 0..64 {
                assert_eq!(owner_of(word ^ 1 << bit, check), Err(Damaged));
                assert_eq!(owner_of(word, check ^ 1 << bit), Err(Damaged));
            }
            assert_eq!(owner_of(0, check), Ok(None));
        }
        for which in [0, 1] {
            let word = current_word(which);
            assert_eq!(current_of(word), Ok(which));
            assert!((0..64).all(|bit| current_of(word ^ 1 << bit) == Err(Damaged)));
        }
        for count in [0, 1, 1_000_000, 1 << 47] {
            assert_eq!(drops_of(count * DROP), Ok(count));
            assert!((0..64).all(|bit| drops_of((count * DROP) ^ (1 << bit)) == Err(Damaged)));
        }
    }
}
