//! What a writing thread claims: one word, one line, one writer at a time.

use super::word::ShardWord;
use crate::{
    mem::ZeroValid,
    sync::{AtomicU64, Ordering},
    write::common::Drops,
};

/// One shard.
///
/// One writer at a time, and not a tail that all of them add to: then nothing below the published tail is ever
/// half written, a sealed buffer has no late writers, and whatever moment a process is killed at, its memory is a
/// valid log. (A shared tail left holes in 36 of 120 killed processes.) The price is that a second writer finds
/// the shard busy, which is why there are several, and why each thread has its own.
///
/// Word and count share a line that only writers of this shard touch; drops, which any thread may count, have a
/// line of their own. 128: lines are fetched in pairs.
#[repr(C, align(128))]
#[derive(Debug)]
pub(super) struct Shard {
    /// A [`ShardWord`].
    word: AtomicU64,
    /// Records accepted. Written by the holder of the claim only, so it needs no RMW.
    accepted: AtomicU64,
    pub(super) drops: Apart,
}

/// Refused records, on a line of their own.
#[repr(align(128))]
#[derive(Debug)]
pub(super) struct Apart(pub(super) Drops);

// SAFETY: atomics all through; zero is a closed word and no counts.
unsafe impl ZeroValid for Shard {}

/// Why a shard cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Another writer is at it.
    Claimed,
    Closed,
}

/// Why a shard could not be sealed from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotSealed {
    /// There is nothing to be done (any more).
    Nothing,
    /// A writer is at it.
    Claimed,
}

impl Shard {
    pub(super) fn new() -> Shard {
        Shard {
            word: AtomicU64::new(ShardWord::NEW.bits()),
            accepted: AtomicU64::new(0),
            drops: Apart(Drops::new()),
        }
    }

    /// The word as it is. Acquire pairs with the release of a claim: what that writer published and
    /// counted is visible.
    pub(super) fn word(&self) -> ShardWord {
        ShardWord::from_bits(self.word.load(Ordering::Acquire))
    }

    /// Records accepted so far.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Counts one more; the number that it has. For the holder of the claim.
    #[inline]
    pub(super) fn count_as_claimant(&self) -> u64 {
        // Relaxed: a plain count, made visible by the release of the claim.
        let number = self.accepted.load(Ordering::Relaxed);
        self.accepted.store(number + 1, Ordering::Relaxed);
        number
    }

    /// Claims the shard: the one read-modify-write of a log call. The word that it has now.
    #[inline]
    pub(super) fn claim(&self) -> Result<ShardWord, Refused> {
        let mut bits = self.word.load(Ordering::Relaxed);
        loop {
            let word = ShardWord::from_bits(bits);
            if !word.is_claimable() {
                return Err(if word.is_claimed() { Refused::Claimed } else { Refused::Closed });
            }
            // Acquire pairs with the Release in `release`: the last writer's tail and count are
            // visible. A failure that leaves the word unclaimed was the flusher's doing (or nothing at
            // all): only a claimed word is busy, so it is tried again at once.
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

    /// Ends a claim, with what its holder has made of the word.
    #[inline]
    pub(super) fn release(&self, word: ShardWord) {
        // Release pairs with the Acquire of the next claim, of a seal, and of `word`.
        self.word.store(word.released().bits(), Ordering::Release);
    }

    /// Changes the word unless a writer is at it; what it was.
    ///
    /// By a single CAS, never by a claim: a claim that is not a writer's would make writers spill to
    /// other shards and break the order.
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
