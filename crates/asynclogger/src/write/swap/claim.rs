//! The right to append to a shard.

use super::{
    buffer::{Buffer, HEADER},
    pool::Pool,
    shard::{Refused, Shard},
    shards::Shards,
    word::ShardWord,
};
use crate::format::RECORD_HEADER;

/// The right to append to a shard. Given back on drop, also when an encoder panics: then nothing of its
/// record is part of the buffer.
///
/// A guard and not a lock with the buffer inside, because what it stands for outlives it: the buffer stays the
/// shard's, and the next claimant goes on where this one published. All that the claim holds is a copy of the
/// word, which nobody else changes meanwhile, so that releasing it is one store and no read-modify-write. It is
/// made by [`Shards`] alone, which have the pool that the word's number is of: a claim with another pool's buffers
/// cannot be written.
pub(super) struct Claim<'a> {
    shard: &'a Shard,
    /// Which of the shards it is.
    number: usize,
    pool: &'a Pool,
    /// What the word will be; while it is claimed nobody else changes it.
    word: ShardWord,
    /// The active buffer and its tail, if there is one.
    active: Option<(Buffer<'a>, usize)>,
}

/// What there is of a record in the room that was made for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// All of the room is the record.
    Whole,
    /// So many bytes of it, and at least one.
    Part(usize),
    /// There is no record.
    Nothing,
}

impl Shards {
    /// Claims a shard.
    #[inline]
    pub(super) fn claim(&self, number: usize) -> Result<Claim<'_>, Refused> {
        let (shard, pool) = (self.at(number), &**self.pool());
        let word = shard.claim()?;
        let active = word.buffer().map(|index| {
            let buffer = pool.place(index);
            (buffer, HEADER + buffer.valid_as_claimant() as usize)
        });
        Ok(Claim { shard, number, pool, word, active })
    }
}

impl<'a> Claim<'a> {
    /// Appends a record for which there have to be `room` bytes, releases the shard and returns the record's
    /// number; `None` if `fill`, which writes to them, says that there is none. Without room for it, gives claim
    /// and `fill` back.
    #[inline(always)]
    pub(super) fn append<F>(self, room: usize, fill: F) -> Result<Option<u64>, (Claim<'a>, F)>
    where
        F: FnOnce(&mut [u8]) -> Filled,
    {
        let limit = self.pool.limit();
        self.append_up_to(limit, room, fill)
    }

    /// The same, to a buffer that was just installed: it takes the longest record.
    pub(super) fn append_first<F>(self, room: usize, fill: F) -> Result<Option<u64>, (Claim<'a>, F)>
    where
        F: FnOnce(&mut [u8]) -> Filled,
    {
        let capacity = self.pool.capacity();
        self.append_up_to(capacity, room, fill)
    }

    #[inline(always)]
    fn append_up_to<F>(
        self,
        limit: usize,
        room: usize,
        fill: F,
    ) -> Result<Option<u64>, (Claim<'a>, F)>
    where
        F: FnOnce(&mut [u8]) -> Filled,
    {
        let Some((buffer, tail)) = self.active else {
            return Err((self, fill));
        };
        // No overflow: `room` is at most the longest record, the tail at most the capacity.
        if tail + RECORD_HEADER + room > limit {
            return Err((self, fill));
        }
        // SAFETY: above the published tail and within the limit, which is within the capacity; we hold the claim
        // of the shard whose active buffer this is, so nobody else uses these bytes.
        let bytes = unsafe { buffer.slice_mut(tail + RECORD_HEADER, room) };
        let len = match fill(bytes) {
            Filled::Whole => room,
            // What is not used of the room belongs to the next record.
            Filled::Part(len) => len.min(room),
            Filled::Nothing => return Ok(None),
        };
        // SAFETY: as above, and in front of the record's bytes.
        let length = unsafe { buffer.slice_mut(tail, RECORD_HEADER) };
        length.copy_from_slice(&(len as u32).to_le_bytes());
        let end = tail + RECORD_HEADER + len;
        buffer.publish((end - HEADER) as u32);
        let number = self.shard.count_as_claimant();
        drop(self);
        buffer.prefetch(end, len);
        Ok(Some(number))
    }

    /// Gives up the active buffer for good; whether there was one.
    pub(super) fn seal(&mut self) -> bool {
        let Some(number) = self.word.buffer() else {
            return false;
        };
        // Before the word is released: who sees the next generation's buffer can find this one's.
        let index = self.pool.index(number);
        self.pool.seal(index, self.number as u32, self.word.generation());
        self.word = self.word.sealed();
        self.active = None;
        true
    }

    /// Makes a free buffer with room for so many bytes, header included, the active one; whether there was one.
    /// Whoever has an active buffer seals it before.
    pub(super) fn take_next(&mut self, needed: usize) -> bool {
        debug_assert!(self.active.is_none(), "a buffer is sealed before the next one is taken");
        let Some(taken) = self.pool.take(needed) else {
            return false;
        };
        let index = taken.activate(self.number as u32, self.word.generation());
        self.word = self.word.with_buffer(index.number());
        self.active = Some((self.pool.buffer(index), HEADER));
        true
    }
}

impl Drop for Claim<'_> {
    #[inline]
    fn drop(&mut self) {
        self.shard.release(self.word);
    }
}
