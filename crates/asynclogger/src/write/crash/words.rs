//! The places of the words in a map.

use std::ops::Range;

use crate::{
    format::{
        DROP_REASONS, MapHead,
        checksum::{crc32c, crc32c_append},
    },
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

    /// The word of a buffer's owner; its checksum is the next one.
    pub(super) fn owner(&self, buffer: usize) -> usize {
        2 * buffer
    }

    /// How far the records of a shared buffer are sorted.
    pub(super) fn sorted(&self, buffer: usize) -> usize {
        2 * self.buffers + buffer
    }

    pub(super) fn piece(&self, piece: usize) -> Range<usize> {
        let start = 3 * self.buffers + piece * PIECE;
        start..start + PIECE
    }

    /// The identity of an event.
    pub(super) fn identity(&self, log: usize) -> Range<usize> {
        let start = self.piece(self.pieces).start + log * (IDENTITY + self.of_one().all().len());
        start..start + IDENTITY
    }

    /// The number of words up to the end of the first `logs` events of a manager; all words of a logger.
    pub(super) fn upto(&self, logs: usize) -> usize {
        if logs < self.logs { self.identity(logs).start } else { self.len() }
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
    // Without an allocation: a signal handler that interrupted one can log, and then change the owner of a buffer.
    let sum = words.iter().fold(0, |sum, word| crc32c_append(sum, &word.to_le_bytes()));
    u64::from(sum) | 1 << 63
}

/// The bits of an entry's number. Numbers wrap, and are more than there are slots.
const NUMBER_BITS: u32 = 24;

/// The number without the bits that the map has no room for.
pub(super) fn wrapped(number: u32) -> u32 {
    number & ((1 << NUMBER_BITS) - 1)
}

/// The word of the journal's bounds, at this place: both numbers, and a checksum of them and of the place.
pub(super) fn bounds_word(first: u32, next: u32, at: usize) -> u64 {
    let numbers = u64::from(wrapped(first)) << NUMBER_BITS | u64::from(wrapped(next));
    let sum = sum_at(numbers, at);
    u64::from((sum >> 16) ^ (sum & 0xFFFF)) << (2 * NUMBER_BITS) | numbers
}

/// The numbers of such a word; of 0 at first.
///
/// # Errors
/// The word is damaged.
pub(super) fn bounds_of(word: u64, at: usize) -> Result<(u32, u32), Damaged> {
    let (first, next) = (wrapped((word >> NUMBER_BITS) as u32), wrapped(word as u32));
    let is_one = word == 0 || word == bounds_word(first, next, at);
    if is_one { Ok((first, next)) } else { Err(Damaged) }
}

/// A checksum of a value and of its place: two words that have changed places do not pass.
fn sum_at(value: u64, at: usize) -> u32 {
    crc32c_append(crc32c(&value.to_le_bytes()), &(at as u64).to_le_bytes())
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

/// A word that stands alone, as a multiple of a prime number and a remainder that its place gives: no one or two changed
/// bits make another such word, nor does a word from elsewhere, or 0.
#[inline]
fn multiple_word(value: u64, prime: u64, at: usize) -> u64 {
    value.wrapping_mul(prime).wrapping_add(remainder(prime, at))
}

fn multiple_of(word: u64, prime: u64, at: usize) -> Result<u64, Damaged> {
    let is_one = word % prime == remainder(prime, at);
    if is_one { Ok(word / prime) } else { Err(Damaged) }
}

#[inline]
fn remainder(prime: u64, at: usize) -> u64 {
    1 + at as u64 % (prime - 1)
}

/// The word, at this place, of a count of less than 2^48.
pub(super) fn count_word(count: u64, at: usize) -> u64 {
    multiple_word(count, DROP, at)
}

/// The count of such a word.
///
/// # Errors
/// The word is damaged.
pub(super) fn count_of(word: u64, at: usize) -> Result<u64, Damaged> {
    multiple_of(word, DROP, at)
}

/// The greatest prime number for which a move has room.
const MOVE: u64 = 509;
/// The bits of the number of a move. Numbers wrap after 16,777,216 moves. A wrapped number would be mistaken for an older
/// one only if a block got no record during exactly so many moves; a block is written long before.
const SERIAL_BITS: u32 = 24;

/// The number of a move without the bits that a word has no room for.
pub(in crate::write) fn wrapped_serial(serial: u32) -> u32 {
    serial & ((1 << SERIAL_BITS) - 1)
}

/// The word, at this place, of a move of records: up to which byte, at most 2^30, and the number of the move.
#[inline]
pub(super) fn move_word(to: u32, serial: u32, at: usize) -> u64 {
    let both = u64::from(to) << SERIAL_BITS | u64::from(wrapped_serial(serial));
    multiple_word(both, MOVE, at)
}

/// Both numbers of such a word.
///
/// # Errors
/// The word is damaged.
pub(super) fn move_of(word: u64, at: usize) -> Result<(u32, u32), Damaged> {
    let both = multiple_of(word, MOVE, at)?;
    let to = u32::try_from(both >> SERIAL_BITS).map_err(|_| Damaged)?;
    Ok((to, wrapped_serial(both as u32)))
}

/// Bits 0 and 1 of the word of a piece's owner, or of an event's number, say that there is one: as in [`owner_word`].
const ENTERED: u64 = 3;

/// The word, at this place of the map, of a piece that belongs to a log, and has this `place` in the log.
pub(super) fn piece_word(log: u32, place: u64, at: usize) -> u64 {
    let sum = crc32c_append(sum_at(place, at), &log.to_le_bytes());
    u64::from(sum) << 32 | u64::from(log) << 2 | ENTERED
}

/// The log of such a word; `None`: the piece is free.
///
/// # Errors
/// The word, or the word of the `place`, is damaged.
pub(super) fn piece_of(word: u64, place: u64, at: usize) -> Result<Option<u32>, Damaged> {
    let log = (word as u32) >> 2;
    match word {
        0 => Ok(None),
        _ if word == piece_word(log, place, at) => Ok(Some(log)),
        _ => Err(Damaged),
    }
}

/// The word of an event's number.
pub(super) fn number_word(number: u32) -> u64 {
    u64::from(number) << 2 | ENTERED
}

/// The number of such a word, which a checksum covers.
pub(super) fn number_of(word: u64) -> Option<u32> {
    (word & ENTERED == ENTERED).then(|| u32::try_from(word >> 2).ok())?
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

/// Stores one word.
pub(super) fn store_one(memory: &SharedMemory, at: usize, value: u64) {
    fault::kill_point("a word of the account");
    put(memory, at, value);
}

fn put(memory: &SharedMemory, at: usize, value: u64) {
    if let Some(word) = word(memory, at) {
        // Release: no store of the program moves behind a later one, so a killed process has made a beginning of them.
        word.store(value, Ordering::Release);
    }
}

/// Stores words one behind the other.
pub(super) fn store(memory: &SharedMemory, at: Range<usize>, values: &[u64]) {
    debug_assert_eq!(at.len(), values.len());
    let Some((last, front)) = values.split_last() else {
        return;
    };
    // A process can be killed in front of the first two words and the last: between others nothing else is different.
    for (number, (at, value)) in at.clone().zip(front).enumerate() {
        match number {
            0 | 1 => store_one(memory, at, *value),
            _ => put(memory, at, *value),
        }
    }
    store_one(memory, at.end - 1, *last);
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

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    /// Each bit of each word that stands alone is checked: the whole account depends on it.
    #[test]
    fn every_changed_bit_of_a_word_is_found() {
        for (first, next) in [(0, 1), (5, 9), (0xFF_FFFF, 3), (1 << 20, (1 << 20) + 700)] {
            let word = bounds_word(first, next, 7);
            assert_eq!(bounds_of(word, 7), Ok((first, next)));
            assert_eq!(bounds_of(word, 8), Err(Damaged));
            assert!((0..64).all(|bit| bounds_of(word ^ 1 << bit, 7) == Err(Damaged)));
        }
        assert_eq!(bounds_of(0, 7), Ok((0, 0)));
        assert!((0..64).all(|bit| bounds_of(1 << bit, 7) == Err(Damaged)));
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
        let flips = || (0..64).flat_map(|a| (0..64).map(move |b| 1_u64 << a | 1 << b));
        for at in [0, 7, 65_521, 1 << 24] {
            for count in [0, 1, 7_777, (1 << 44) - 1] {
                let word = count_word(count, at);
                assert_eq!(count_of(word, at), Ok(count));
                assert!(flips().all(|flip| count_of(word ^ flip, at) == Err(Damaged)));
                assert_eq!(count_of(word, at + 1), Err(Damaged));
            }
            for (to, serial) in [(0, 0), (8, 1), (1 << 30, (1 << 24) - 1), (65_000, 0)] {
                let word = move_word(to, serial, at);
                assert_eq!(move_of(word, at), Ok((to, serial)));
                assert!(flips().all(|flip| move_of(word ^ flip, at) == Err(Damaged)));
                assert_eq!(move_of(word, at + 3), Err(Damaged));
            }
            assert_eq!((count_of(0, at), move_of(0, at)), (Err(Damaged), Err(Damaged)));
        }
        for (log, place) in [(0, 0), ((1 << 20) - 1, u64::MAX), (5, 77 << 20)] {
            let word = piece_word(log, place, 9);
            assert_eq!(piece_of(word, place, 9), Ok(Some(log)));
            assert_eq!(piece_of(word, place, 12), Err(Damaged));
            for bit in 0..64 {
                assert_eq!(piece_of(word ^ 1 << bit, place, 9), Err(Damaged));
                assert_eq!(piece_of(word, place ^ 1 << bit, 9), Err(Damaged));
            }
        }
        for count in [0, 1, 1_000_000, 1 << 47] {
            assert_eq!(drops_of(count * DROP), Ok(count));
            assert!((0..64).all(|bit| drops_of((count * DROP) ^ (1 << bit)) == Err(Damaged)));
        }
    }
}
