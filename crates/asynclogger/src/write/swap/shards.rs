//! The shards of a log and the pool that their buffers are of, as the flusher sees them.

use std::time::Instant;

use super::{
    buffer::HEADER,
    pool::Pool,
    sealed::SealedBuffer,
    shard::{NotSealed, Shard},
    wait::{Bell, Sleep},
    word::{BufferState, ShardWord},
};
use crate::{
    Dropped, Error, ShardStats,
    mem::ForkCleared,
    sync::{Arc, AtomicBool, AtomicU64, Ordering, is_over, thread},
    write::common::Reason,
};

/// The shards of a log, and their pool.
///
/// They own it, so that a shard and a buffer of another pool cannot come together: the word of a shard has room
/// for a number only, and that means a buffer of this pool. What can be done here is what the flusher may do:
/// read, and seal what nobody has claimed. Claiming is the business of [`Ingest`](super::Ingest), which is gone
/// when the last caller is; that is how it is known that a claim which is still held is nobody's.
pub(crate) struct Shards {
    shards: ForkCleared<Shard>,
    pool: Arc<Pool>,
    bell: Arc<Bell>,
    /// How often a writer needed a buffer and none was free.
    blocked_swaps: AtomicU64,
    /// There are no callers any more.
    is_left: AtomicBool,
}

/// What became of an attempt to seal a shard from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::write) enum SealAttempt {
    /// There is no active buffer (any more).
    Empty,
    /// Its active buffer is SEALED now.
    Sealed,
    /// A writer is at it: look again.
    Claimed,
}

/// A shard whose claim is held though there are no callers any more: by a thread that was stopped for good.
pub(in crate::write) struct Held {
    pub(in crate::write) shard: usize,
    /// Up to which its buffers are sealed; the copy is of this one.
    pub(in crate::write) generation: u64,
    /// What it had published; `None` if that is nothing, or there is no memory for it.
    pub(in crate::write) copy: Option<SealedBuffer>,
}

impl Shards {
    pub(super) fn new(pool: Pool, bell: Arc<Bell>, count: usize) -> Result<Shards, Error> {
        Ok(Shards {
            shards: ForkCleared::new(count, |_| Shard::new())?,
            pool: Arc::new(pool),
            bell,
            blocked_swaps: AtomicU64::new(0),
            is_left: AtomicBool::new(false),
        })
    }

    #[inline]
    pub(super) fn at(&self, number: usize) -> &Shard {
        &self.shards[number]
    }

    #[inline]
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Whether this process is a forked child of the one that made them.
    pub(crate) fn is_forked(&self) -> bool {
        self.shards.is_forked()
    }

    /// How many buffers a shard has sealed.
    pub(in crate::write) fn generation(&self, number: usize) -> u64 {
        self.at(number).word().generation()
    }

    /// Whether a shard is closed: nothing is added to it any more.
    pub(in crate::write) fn is_closed(&self, number: usize) -> bool {
        !self.at(number).word().is_open()
    }

    /// Whether a writer is at a shard.
    pub(in crate::write) fn is_claimed(&self, number: usize) -> bool {
        self.at(number).word().is_claimed()
    }

    /// Records accepted by all shards.
    pub(crate) fn accepted(&self) -> u64 {
        self.shards.iter().map(Shard::accepted).sum()
    }

    /// Records refused at one shard.
    pub(in crate::write) fn dropped_at(&self, number: usize) -> Dropped {
        self.at(number).drops.0.get()
    }

    /// Records refused at all shards.
    pub(crate) fn dropped(&self) -> Dropped {
        let all = (0..self.len()).map(|number| self.dropped_at(number));
        all.fold(Dropped::default(), |sum, of_one| sum.zip(of_one, u64::wrapping_add))
    }

    #[cold]
    pub(super) fn count_drop(&self, number: usize, reason: Reason) {
        self.at(number).drops.0.count(reason);
    }

    /// How many buffers all shards have sealed.
    pub(in crate::write) fn swaps(&self) -> u64 {
        (0..self.len()).map(|number| self.generation(number)).sum()
    }

    pub(crate) fn blocked_swaps(&self) -> u64 {
        self.blocked_swaps.load(Ordering::Relaxed)
    }

    pub(super) fn count_blocked_swap(&self) {
        self.blocked_swaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Each shard, now.
    pub(crate) fn stats(&self) -> Vec<ShardStats> {
        let capacity = self.pool.capacity();
        let stats = self.shards.iter().enumerate().map(|(shard_id, shard)| {
            let active = shard.word().buffer();
            let bytes_used =
                active.map_or(0, |number| HEADER + self.pool.place(number).valid() as usize);
            ShardStats {
                shard_id,
                write_count: shard.accepted(),
                bytes_used,
                capacity,
                utilization_pct: 100.0 * bytes_used as f64 / capacity as f64,
            }
        });
        stats.collect()
    }

    /// Seals a shard's active buffer unless a writer is at it.
    pub(in crate::write) fn seal_idle(&self, number: usize) -> SealAttempt {
        self.seal_unclaimed(number, |word| word.buffer().map(|_| word.sealed()))
    }

    /// Seals the active buffer and closes the shard, in one step: no claim succeeds after it.
    pub(super) fn seal_and_close(&self, number: usize) -> SealAttempt {
        self.seal_unclaimed(number, |word| {
            let sealed = if word.buffer().is_some() { word.sealed() } else { word };
            word.is_open().then_some(sealed.closed())
        })
    }

    fn seal_unclaimed(
        &self,
        number: usize,
        next: impl Fn(ShardWord) -> Option<ShardWord>,
    ) -> SealAttempt {
        match self.at(number).change_unclaimed(next) {
            Err(NotSealed::Nothing) => SealAttempt::Empty,
            Err(NotSealed::Claimed) => SealAttempt::Claimed,
            Ok(before) => {
                let Some(buffer) = before.buffer() else {
                    return SealAttempt::Empty;
                };
                self.pool.seal(self.pool.index(buffer), number as u32, before.generation());
                SealAttempt::Sealed
            }
        }
    }

    /// Closes all shards in a forked child, which has nobody to wake.
    pub(super) fn close_in_child(&self) {
        (0..self.len()).for_each(|number| {
            self.seal_and_close(number);
        });
    }

    /// Closes all shards, and wakes who waits for a buffer of them; how many are still claimed at `deadline`.
    pub(crate) fn close(&self, deadline: Instant) -> usize {
        let mut claimed: Vec<usize> = (0..self.len()).collect();
        loop {
            claimed.retain(|number| self.seal_and_close(*number) == SealAttempt::Claimed);
            if claimed.is_empty() || is_over(Some(deadline)) {
                break;
            }
            thread::yield_now();
        }
        self.bell.ring(Sleep::Timed);
        self.pool.waiters().wake_all();
        claimed.len()
    }

    /// There are no callers any more.
    pub(super) fn leave(&self) {
        // Release pairs with the Acquire in `copy_held`: what the last callers did is seen.
        self.is_left.store(true, Ordering::Release);
    }

    /// Closes the shards, and copies what is published in the buffers of those that are claimed all the same:
    /// by threads that were stopped inside a call for good, if there are no callers any more. As long as there are
    /// some, a claim may be that of one, and nothing is copied.
    ///
    /// If there is such a thread, the shards and their buffers stay for ever: it may yet store into them.
    pub(in crate::write) fn copy_held(self: &Arc<Shards>) -> Vec<Held> {
        if !self.is_left.load(Ordering::Acquire) {
            return Vec::new();
        }
        let is_held = |number: &usize| self.seal_and_close(*number) == SealAttempt::Claimed;
        let held = (0..self.len()).filter(is_held).map(|shard| {
            let word = self.at(shard).word();
            let generation = word.generation();
            let Some(buffer) = word.buffer() else {
                return Held { shard, generation, copy: None };
            };
            let number = shard as u32;
            let active = BufferState::Active { shard: number, generation };
            if self.pool.state(self.pool.index(buffer)) != active {
                // It had sealed the buffer, and the word does not say so yet: the flusher finds it.
                return Held { shard, generation: generation + 1, copy: None };
            }
            // SAFETY: a caller borrows the `Ingest` for as long as it has a claim, and that is gone: this claim is
            // of a thread that never returned from its call, so nobody seals the buffer any more.
            let copy = unsafe { SealedBuffer::copy_of(&self.pool, buffer, number, generation) };
            Held { shard, generation, copy }
        });
        let held: Vec<_> = held.collect();
        if !held.is_empty() {
            std::mem::forget(self.clone());
        }
        held
    }

    /// Claims a shard and never gives it back, as a thread that is stopped inside its call.
    #[cfg(test)]
    pub(crate) fn claim_for_ever(&self, number: usize) {
        std::mem::forget(self.claim(number).ok().expect("nobody else is at it"));
    }

    /// The same, as a thread that is stopped between sealing its buffer and the end of its claim.
    #[cfg(test)]
    pub(crate) fn seal_and_claim_for_ever(&self, number: usize) {
        let mut claim = self.claim(number).ok().expect("nobody else is at it");
        claim.seal();
        std::mem::forget(claim);
    }

    /// The thread goes on after all.
    #[cfg(test)]
    pub(crate) fn release_forgotten(&self, number: usize) {
        self.at(number).release(self.at(number).word());
    }
}
