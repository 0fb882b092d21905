//! A shard, which a writing thread claims: one word, one cache line, one writer at a time.

use super::{times::Times, word::ShardWord};
use crate::{
    Dropped,
    mem::ZeroValid,
    sync::{AtomicU64, Ordering, UnsafeCell},
    write::common::Drops,
};

/// One shard: the word that a writing thread claims, and the shard's counts.
///
/// A shared tail that all writers add to would need no claim, but leaves holes: a writer that has reserved its range
/// can be killed before it fills the range. (A shared tail left holes in 36 of 120 killed processes.) So a shard has
/// one writer at a time. Then no record below the published tail is ever half written, a sealed buffer has no late
/// writers, and the memory of a process is a valid log at every moment that the process can be killed. The price is
/// that a second writer finds the shard busy: so a log has several shards, and each thread has a home.
///
/// Word, count and limit share a line that only writers of this shard touch. The drops have a line of their own, because any
/// thread can count them. The alignment is 128 bytes because lines are fetched in pairs.
#[repr(C, align(128))]
#[derive(Debug)]
pub(super) struct Shard {
    /// A [`ShardWord`].
    word: AtomicU64,
    /// Records accepted. Only the holder of the claim writes the count, so it needs no read-modify-write.
    accepted: AtomicU64,
    limit: Limit,
    times: TimesCell,
    pub(super) drops: Apart,
}

/// The times of the active buffer, if records have times. Only the holder of the claim uses them.
#[derive(Debug)]
struct TimesCell(UnsafeCell<Times>);

// SAFETY: as for `Limit`.
unsafe impl Sync for TimesCell {}

/// Refused records, on a line of their own.
#[repr(align(128))]
#[derive(Debug)]
pub(super) struct Apart(pub(super) Drops);

/// Bytes of header and records for which the active buffer has room. Only the holder of the claim uses the limit.
///
/// Not an atomic: the load of an atomic is an instruction of its own, and this load is an operand of a comparison.
#[derive(Debug)]
struct Limit(UnsafeCell<usize>);

// SAFETY: one thread at a time uses the cell, and the claim orders these uses: its beginning acquires what the end of the
// claim before has released.
unsafe impl Sync for Limit {}

// SAFETY: the other fields are atomics; zero is a closed word, counts of nothing, no room, and no times.
unsafe impl ZeroValid for Shard {}

/// Why a shard cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Another writer holds the claim.
    Claimed,
    Closed,
}

/// Why a shard could not be sealed from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotSealed {
    /// The word needs no change (any more).
    Nothing,
    /// A writer holds the claim.
    Claimed,
}

impl Shard {
    pub(super) fn new() -> Shard {
        Shard {
            word: AtomicU64::new(ShardWord::NEW.bits()),
            accepted: AtomicU64::new(0),
            limit: Limit(UnsafeCell::new(0)),
            times: TimesCell(UnsafeCell::new(Times::NONE)),
            drops: Apart(Drops::new()),
        }
    }

    /// The shard of a dead process, which ended at this generation.
    pub(super) fn ended(generation: u64, dropped: Dropped) -> Shard {
        Shard {
            word: AtomicU64::new(ShardWord::ended(generation).bits()),
            accepted: AtomicU64::new(0),
            limit: Limit(UnsafeCell::new(0)),
            times: TimesCell(UnsafeCell::new(Times::NONE)),
            drops: Apart(Drops::of(dropped)),
        }
    }

    /// The current word. Acquire pairs with the release of a claim: the records and counts of that writer are visible.
    pub(super) fn word(&self) -> ShardWord {
        ShardWord::from_bits(self.word.load(Ordering::Acquire))
    }

    /// Records accepted so far.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Counts one more record, and returns its number. Only for the holder of the claim.
    #[inline]
    pub(super) fn count_as_claimant(&self) -> u64 {
        // Relaxed: a plain count, made visible by the release of the claim.
        let number = self.accepted.load(Ordering::Relaxed);
        self.accepted.store(number + 1, Ordering::Relaxed);
        number
    }

    /// Uses the times of the active buffer.
    ///
    /// # Safety
    /// Only for the holder of the claim.
    #[inline(always)]
    pub(super) unsafe fn with_times<T>(&self, with: impl FnOnce(&mut Times) -> T) -> T {
        // SAFETY: no other thread uses the cell during the claim, and `with` has no way to it but its argument.
        self.times.0.with_mut(|times| with(unsafe { &mut *times }))
    }

    /// Bytes of header and records for which the active buffer has room.
    ///
    /// # Safety
    /// Only for the holder of the claim.
    #[inline]
    pub(super) unsafe fn limit(&self) -> usize {
        // SAFETY: no other thread uses the cell during the claim.
        self.limit.0.with(|limit| unsafe { *limit })
    }

    /// Sets the limit of the active buffer.
    ///
    /// # Safety
    /// Only for the holder of the claim.
    pub(super) unsafe fn set_limit(&self, limit: usize) {
        // SAFETY: no other thread uses the cell during the claim.
        self.limit.0.with_mut(|place| unsafe { *place = limit });
    }

    /// Claims the shard, by the one read-modify-write of a log call. Returns the claimed word.
    #[inline]
    pub(super) fn claim(&self) -> Result<ShardWord, Refused> {
        let mut bits = self.word.load(Ordering::Relaxed);
        loop {
            let word = ShardWord::from_bits(bits);
            if !word.is_claimable() {
                return Err(if word.is_claimed() { Refused::Claimed } else { Refused::Closed });
            }
            // Acquire pairs with the Release in `release`: the last writer's tail and count are
            // visible. If the exchange fails and the word is still unclaimed, the flusher has changed the word, or
            // the failure is spurious: only a claimed word is busy, so the claim is tried again at once.
            match self.word.compare_exchange_weak(
                bits,
                word.claimed().bits(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(word.claimed()),
                Err(current) => bits = current,
            }
        }
    }

    /// Ends a claim, with the word as its holder has changed it.
    #[inline]
    pub(super) fn release(&self, word: ShardWord) {
        // Release pairs with the Acquire of the next claim, of a seal, and of `word`.
        self.word.store(word.released().bits(), Ordering::Release);
    }

    /// Changes the word unless a writer holds the claim, and returns the word as it was before.
    ///
    /// The change is a single CAS, never a claim: a claim by any other thread than a writer would make writers spill to
    /// other shards, and break the order.
    pub(super) fn change_unclaimed(
        &self,
        next: impl Fn(ShardWord) -> Option<ShardWord>,
    ) -> Result<ShardWord, NotSealed> {
        // Acquire, here and below, pairs with the Release in `release`: `valid` is final.
        let mut bits = self.word.load(Ordering::Acquire);
        loop {
            let word = ShardWord::from_bits(bits);
            let Some(new) = next(word) else {
                return Err(NotSealed::Nothing);
            };
            if word.is_claimed() {
                return Err(NotSealed::Claimed);
            }
            match self.word.compare_exchange(bits, new.bits(), Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => return Ok(word),
                Err(current) => bits = current,
            }
        }
    }
}
