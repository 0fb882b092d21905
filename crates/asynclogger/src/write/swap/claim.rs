//! The right to append to a shard.

use super::{
    buffer::{Buffer, HEADER},
    pool::Pool,
    shard::{Refused, Shard},
    shards::Shards,
    times::{ANY, NOTHING, STAMPS, Source, begun},
    word::ShardWord,
};
use crate::{format::RECORD_HEADER, mem::Counter};

/// The right to append to a shard. A claim ends on drop, also when an encoder panics; then no byte of the encoder's
/// record is part of the buffer.
///
/// Two threads must never write above the same tail, and taking that right is most of the cost of a log call. A mutex
/// with the buffer inside would cost a second read-modify-write for its release, and would tie the buffer to the guard.
/// But the buffer outlives the claim: it stays with the shard, and the next claimant continues at the published tail.
/// So a claim holds only a copy of the shard's word. While the claim lasts no other thread changes the word, so its
/// release is one store. Only [`Shards`] make a claim, and they own the pool that the number in the word refers to: so
/// a claim can never reach a buffer of another pool.
pub(super) struct Claim<'a> {
    shard: &'a Shard,
    /// The number of the shard.
    number: usize,
    pool: &'a Pool,
    /// The word that the release will store. While the shard is claimed, no other thread changes its word.
    word: ShardWord,
    /// The active buffer, if the shard has one, and its tail.
    active: Option<(Buffer<'a>, usize)>,
}

/// How much of a record's room `fill` has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// All of the room is the record.
    Whole,
    /// The first bytes of the room are the record: this number of them, at least one.
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
    /// Appends a record of at most `room` bytes that `fill` writes, releases the shard and returns the record's
    /// number; `None` if `fill` made no record. If the buffer has less room, the claim and `fill` are given back. `SOURCE`
    /// says what times are taken from: it is no question here, so that records without times do not pay for it.
    #[inline(always)]
    pub(super) fn append<const SOURCE: Source, F>(
        self,
        room: usize,
        fill: F,
    ) -> Result<Option<u64>, (Claim<'a>, F)>
    where
        F: FnOnce(&mut [u8]) -> Filled,
    {
        // SAFETY: this is the claim.
        let limit = unsafe { self.shard.limit() };
        self.append_up_to::<SOURCE, F>(limit, room, fill)
    }

    /// [`append`](Claim::append), apart from the usual way of a record.
    pub(super) fn append_later<F>(self, room: usize, fill: F) -> Result<Option<u64>, (Claim<'a>, F)>
    where
        F: FnOnce(&mut [u8]) -> Filled,
    {
        self.append::<ANY, F>(room, fill)
    }

    /// [`append`](Claim::append) to a buffer that was just installed: an empty buffer takes the longest record.
    pub(super) fn append_first<F>(self, room: usize, fill: F) -> Result<Option<u64>, (Claim<'a>, F)>
    where
        F: FnOnce(&mut [u8]) -> Filled,
    {
        let capacity = self.capacity();
        self.append_up_to::<ANY, F>(capacity, room, fill)
    }

    /// Bytes of header and records for which the active buffer has memory.
    fn capacity(&self) -> usize {
        self.word.buffer().map_or(0, |number| self.pool.upto(self.pool.index(number)))
    }

    /// Goes on in the active buffer, if the buffer is to have room for a record of at most `room` bytes at all: with more
    /// memory, or in its next stage. Returns whether the record has room now. Ring the bell afterwards.
    pub(super) fn grow(&self, room: usize) -> bool {
        let (Some((_, tail)), Some(number)) = (self.active, self.word.buffer()) else {
            return false;
        };
        let mut needed = tail + RECORD_HEADER + room;
        if self.pool.counter().is_some() {
            // The column of short records is full before their buffer is, and grows with it.
            // SAFETY: this is the claim.
            let least =
                unsafe { self.shard.with_times(|times| times.least_limit(self.shard.accepted())) };
            needed = needed.max(least);
        }
        if needed > self.pool.limit() {
            return false;
        }
        let index = self.pool.index(number);
        self.pool.stages().ask(number, needed);
        let has_room = self.pool.extend(index, needed).is_ok();
        self.set_limit();
        has_room
    }

    /// Takes over how much memory the active buffer has.
    fn set_limit(&self) {
        let limit = self.word.buffer().map(|number| self.pool.limit_of(self.pool.index(number)));
        let mut limit = limit.unwrap_or(0);
        // SAFETY: this is the claim.
        unsafe {
            if self.pool.counter().is_some() {
                let number = self.shard.accepted();
                let has_room = self.shard.with_times(|times| times.set_limit(limit, number));
                limit = if has_room { limit } else { 0 };
            }
            self.shard.set_limit(limit);
        }
    }

    /// The entry for the time of a record that begins now. The inner `None`: records have no times; the outer one: the
    /// active buffer is too old.
    #[inline(always)]
    fn time<const SOURCE: Source>(&self) -> Option<Option<u32>> {
        let counter = match SOURCE {
            NOTHING => None,
            STAMPS => Some(Counter::Stamps),
            _ => self.pool.counter(),
        };
        let Some(counter) = counter else {
            return Some(None);
        };
        // SAFETY: this is the claim.
        unsafe { self.shard.with_times(|times| times.entry(counter)) }.map(Some)
    }

    /// Gives a record its time, before the record is part of the buffer.
    #[inline(always)]
    fn stamp(&self, buffer: Buffer<'_>, entry: u32) {
        let number = self.shard.accepted();
        // SAFETY: this is the claim. The column has room for the entry: the limit was not 0.
        let is_full = unsafe {
            let (place, is_last) = self.shard.with_times(|times| times.place(number));
            buffer.write_time(place, entry);
            is_last
        };
        if is_full {
            self.end_column();
        }
    }

    /// Ends the active buffer, whose column is full: the next record finds no room.
    #[cold]
    fn end_column(&self) {
        // SAFETY: this is the claim.
        unsafe { self.shard.set_limit(0) };
    }

    #[inline(always)]
    fn append_up_to<const SOURCE: Source, F>(
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
        // At the beginning of the call, which can wait for a page, or for an encoder.
        let Some(time) = self.time::<SOURCE>() else {
            return Err((self, fill));
        };
        // SAFETY: the range is above the published tail and within the limit, which is within the capacity, since the
        // limit of the shard was set with its active buffer. We hold
        // the claim of the shard whose active buffer this is, so no other thread uses these bytes.
        let bytes = unsafe { buffer.slice_mut(tail + RECORD_HEADER, room) };
        let len = match fill(bytes) {
            Filled::Whole => room,
            // The unused rest of the room belongs to the next record.
            Filled::Part(len) => len.min(room),
            Filled::Nothing => return Ok(None),
        };
        // SAFETY: as above; these bytes are in front of the record's bytes.
        let length = unsafe { buffer.slice_mut(tail, RECORD_HEADER) };
        length.copy_from_slice(&(len as u32).to_le_bytes());
        let end = tail + RECORD_HEADER + len;
        if let Some(entry) = time {
            self.stamp(buffer, entry);
        }
        buffer.publish((end - HEADER) as u32);
        let number = self.shard.count_as_claimant();
        drop(self);
        buffer.prefetch(end, len);
        Ok(Some(number))
    }

    /// Gives up the active buffer for good. Returns whether the shard had one.
    pub(super) fn seal(&mut self) -> bool {
        let Some(number) = self.word.buffer() else {
            return false;
        };
        // Before the word is released: a thread that sees the buffer of the next generation can then find this one.
        let index = self.pool.index(number);
        self.pool.seal(index, self.number as u32, self.word.generation());
        self.word = self.word.sealed();
        self.active = None;
        true
    }

    /// Makes a free buffer with room for `needed` bytes, header included, the active one. Returns whether the pool
    /// had such a buffer. A claim with an active buffer has to [`seal`](Claim::seal) it first.
    pub(super) fn take_next(&mut self, needed: usize) -> bool {
        debug_assert!(self.active.is_none(), "a buffer is sealed before the next one is taken");
        let Some(taken) = self.pool.take(needed) else {
            return false;
        };
        let index = taken.activate(self.number as u32, self.word.generation());
        self.word = self.word.with_buffer(index.number());
        let buffer = self.pool.buffer(index);
        self.active = Some((buffer, HEADER));
        if let Some(counter) = self.pool.counter() {
            let moment = counter.moment();
            // SAFETY: this is the claim, and the flusher uses the head room only of a sealed buffer.
            unsafe {
                buffer.write_scale(&begun(&moment));
                self.shard.with_times(|times| times.begin(&moment, self.shard.accepted()));
            }
        }
        self.set_limit();
        true
    }
}

impl Drop for Claim<'_> {
    #[inline]
    fn drop(&mut self) {
        self.shard.release(self.word);
    }
}
