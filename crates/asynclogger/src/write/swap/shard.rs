//! What a writing thread claims: one word, one line, one writer at a time.

use super::{
    buffer::{Buffer, HEADER},
    pool::Pool,
    word::{BufferIndex, ShardWord},
};
use crate::{
    format::{Dropped, RECORD_HEADER},
    mem::ZeroValid,
    sync::{AtomicU64, Ordering},
};

/// One shard. Its word and count share a line that only writers of this shard touch; drops, which any
/// thread may count, have a line of their own. 128: lines are fetched in pairs.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Shard {
    /// A [`ShardWord`].
    word: AtomicU64,
    /// Records accepted. Written by the holder of the claim only, so it needs no RMW.
    accepted: AtomicU64,
    drops: Drops,
}

/// Refused records, in the order of [`Dropped`].
#[repr(align(128))]
#[derive(Debug)]
struct Drops([AtomicU64; 5]);

/// Why a drop is counted: the index into [`Drops`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    Full,
    Busy,
    TooLarge,
    Empty,
    Closed,
}

// SAFETY: atomics all through; zero is a closed word and no counts.
unsafe impl ZeroValid for Shard {}

/// Why a shard cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Another writer is at it.
    Claimed,
    Closed,
}

/// What became of an attempt to seal a shard from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealAttempt {
    /// There is no active buffer (any more).
    Empty,
    /// Its active buffer is SEALED now.
    Sealed,
    /// A writer is at it: look again.
    Claimed,
}

impl Shard {
    pub(crate) fn new() -> Shard {
        Shard {
            word: AtomicU64::new(ShardWord::NEW.bits()),
            accepted: AtomicU64::new(0),
            drops: Drops(std::array::from_fn(|_| AtomicU64::new(0))),
        }
    }

    /// The word as it is. Acquire pairs with the release of a claim: what that writer published and
    /// counted is visible.
    pub(crate) fn word(&self) -> ShardWord {
        ShardWord::from_bits(self.word.load(Ordering::Acquire))
    }

    /// Records accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Counts records that were gathered elsewhere. For the flusher, of a shard that is its alone.
    pub(crate) fn count_accepted(&self, records: u64) {
        let count = self.accepted.load(Ordering::Relaxed) + records;
        self.accepted.store(count, Ordering::Relaxed);
    }

    /// Goes on to the next generation, after one that was gathered elsewhere; which that was. For the flusher,
    /// of a shard that is its alone.
    pub(crate) fn pass_generation(&self) -> u64 {
        let word = self.word();
        self.word.store(word.sealed().bits(), Ordering::Release);
        word.generation()
    }

    pub(crate) fn dropped(&self) -> Dropped {
        Dropped::from_array(self.drops.0.each_ref().map(|count| count.load(Ordering::Relaxed)))
    }

    #[cold]
    pub(crate) fn count_drop(&self, reason: Reason) {
        self.drops.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a claim whose guard was forgotten.
    #[cfg(test)]
    pub(crate) fn release_forgotten(&self) {
        self.word.store(self.word().released().bits(), Ordering::Release);
    }

    /// Claims the shard: the one read-modify-write of a log call.
    #[inline]
    pub(crate) fn claim<'a>(&'a self, pool: &'a Pool) -> Result<Claim<'a>, Refused> {
        let mut bits = self.word.load(Ordering::Relaxed);
        loop {
            let word = ShardWord::from_bits(bits);
            if !word.is_claimable() {
                return Err(if word.is_claimed() { Refused::Claimed } else { Refused::Closed });
            }
            // Acquire pairs with the Release in `Claim::drop`: the last writer's tail and count are
            // visible. A failure that leaves the word unclaimed was the flusher's doing (or nothing at
            // all): only a claimed word is busy, so it is tried again at once.
            match self.word.compare_exchange_weak(
                bits,
                word.claimed().bits(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(Claim::new(self, pool, word.claimed())),
                Err(current) => bits = current,
            }
        }
    }

    /// Whether no writer is at it. Whoever claims it after this has seen all that was done before.
    ///
    /// An RMW that changes nothing, AcqRel: of it and a claim's one comes first. If that is the claim, it is
    /// seen here, or what it has done is; if it is this, the claim's Acquire pairs with it.
    pub(crate) fn is_unclaimed(&self) -> bool {
        !ShardWord::from_bits(self.word.fetch_or(0, Ordering::AcqRel)).is_claimed()
    }

    /// Seals the active buffer unless a writer is at the shard. For the flusher.
    pub(crate) fn seal_idle(&self, pool: &Pool, shard: u32) -> SealAttempt {
        self.seal_unclaimed(pool, shard, |word| word.buffer().map(|_| word.sealed()))
    }

    /// Seals the active buffer and closes the shard, in one step: no claim succeeds after it.
    pub(crate) fn seal_and_close(&self, pool: &Pool, shard: u32) -> SealAttempt {
        self.seal_unclaimed(pool, shard, |word| {
            let sealed = if word.buffer().is_some() { word.sealed() } else { word };
            word.is_open().then_some(sealed.closed())
        })
    }

    /// By a single CAS, never by a claim: a claim that is not a writer's would make writers spill to
    /// other shards and break the order.
    fn seal_unclaimed(
        &self,
        pool: &Pool,
        shard: u32,
        next: impl Fn(ShardWord) -> Option<ShardWord>,
    ) -> SealAttempt {
        // Acquire, here and below, pairs with the Release in `Claim::drop`: `valid` is final.
        let mut bits = self.word.load(Ordering::Acquire);
        loop {
            let word = ShardWord::from_bits(bits);
            let Some(new) = next(word) else {
                return SealAttempt::Empty;
            };
            if word.is_claimed() {
                return SealAttempt::Claimed;
            }
            match self.word.compare_exchange(bits, new.bits(), Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => {
                    let Some(buffer) = word.buffer() else {
                        return SealAttempt::Empty;
                    };
                    pool.seal(buffer, shard, word.generation());
                    return SealAttempt::Sealed;
                }
                Err(current) => bits = current,
            }
        }
    }
}

/// The right to append to a shard. Given back on drop, also when an encoder panics: then nothing of its
/// record is part of the buffer.
pub(crate) struct Claim<'a> {
    shard: &'a Shard,
    pool: &'a Pool,
    /// What the word will be; while it is claimed nobody else changes it.
    word: ShardWord,
    /// The active buffer and its tail, if there is one.
    active: Option<(Buffer<'a>, usize)>,
}

impl<'a> Claim<'a> {
    #[inline]
    fn new(shard: &'a Shard, pool: &'a Pool, word: ShardWord) -> Claim<'a> {
        let active = word.buffer().map(|index| {
            let buffer = pool.buffer(index);
            (buffer, HEADER + buffer.valid_as_claimant() as usize)
        });
        Claim { shard, pool, word, active }
    }

    /// Appends a record of `len` bytes, filled in place by `fill`, releases the shard and returns the
    /// record's number; `None` if `fill` says that there is none. Without room for it, gives claim and `fill`
    /// back.
    #[inline]
    pub(crate) fn append<F>(self, len: usize, fill: F) -> Result<Option<u64>, (Claim<'a>, F)>
    where
        F: FnOnce(&mut [u8]) -> bool,
    {
        let limit = self.pool.limit();
        self.append_up_to(limit, len, fill)
    }

    /// The same, to a buffer that was just installed: it takes the longest record.
    pub(crate) fn append_first<F>(self, len: usize, fill: F) -> Result<Option<u64>, (Claim<'a>, F)>
    where
        F: FnOnce(&mut [u8]) -> bool,
    {
        let capacity = self.pool.capacity();
        self.append_up_to(capacity, len, fill)
    }

    #[inline]
    fn append_up_to<F>(
        self,
        limit: usize,
        len: usize,
        fill: F,
    ) -> Result<Option<u64>, (Claim<'a>, F)>
    where
        F: FnOnce(&mut [u8]) -> bool,
    {
        let Some((buffer, tail)) = self.active else {
            return Err((self, fill));
        };
        // No overflow: `len` is at most the longest record, the tail at most the capacity.
        let end = tail + RECORD_HEADER + len;
        if end > limit {
            return Err((self, fill));
        }
        // SAFETY: above the published tail and within the limit, which is within the capacity; we hold the claim
        // of the shard whose active buffer this is, so nobody else uses these bytes.
        let record = unsafe { buffer.slice_mut(tail, RECORD_HEADER + len) };
        let (length, bytes) = record.split_at_mut(RECORD_HEADER);
        length.copy_from_slice(&(len as u32).to_le_bytes());
        if !fill(bytes) {
            return Ok(None);
        }
        buffer.publish((end - HEADER) as u32);
        // Relaxed: a plain count, made visible by the release of the claim.
        let number = self.shard.accepted.load(Ordering::Relaxed);
        self.shard.accepted.store(number + 1, Ordering::Relaxed);
        drop(self);
        buffer.prefetch(end, len);
        Ok(Some(number))
    }

    /// Gives up the active buffer for good; whether there was one.
    pub(crate) fn seal(&mut self, shard: u32) -> bool {
        let Some(index) = self.word.buffer() else {
            return false;
        };
        // Before the word is released: who sees the next generation's buffer can find this one's.
        self.pool.seal(index, shard, self.word.generation());
        self.word = self.word.sealed();
        self.active = None;
        true
    }

    /// Makes a buffer that was taken from the pool the active one.
    pub(crate) fn install(&mut self, index: BufferIndex, owner: u32, shard: u32) {
        self.pool.activate(index, owner, shard, self.word.generation());
        self.word = self.word.with_buffer(index);
        self.active = Some((self.pool.buffer(index), HEADER));
    }
}

impl Drop for Claim<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release pairs with the Acquire of the next claim, of a seal, and of `Shard::word`.
        self.shard.word.store(self.word.released().bits(), Ordering::Release);
    }
}
