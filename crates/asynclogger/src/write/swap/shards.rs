//! The shards of a log and the pool of their buffers, as the flusher sees them.

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
    write::{common::Reason, crash::LogAccount},
};

/// The shards of a log, and their pool.
///
/// The word of a shard has room for a number only, and the number must always mean a buffer of the same pool. So the
/// shards own their pool, and no other pool can be used with them. The functions here are for the flusher: they read,
/// and seal shards that no writer has claimed. Only [`Ingest`](super::Ingest) claims, and it is dropped with the last
/// caller. So a claim that is still held after that belongs to a thread that was stopped inside its call.
pub(crate) struct Shards {
    shards: ForkCleared<Shard>,
    pool: Arc<Pool>,
    bell: Arc<Bell>,
    /// The account of a crash-safe log. A manager's shared shards have none.
    account: Option<LogAccount>,
    /// How often a writer needed a buffer and none was free.
    blocked_swaps: AtomicU64,
    /// Set when there are no callers any more.
    is_left: AtomicBool,
}

/// The result of an attempt to seal a shard without a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::write) enum SealAttempt {
    /// The shard has no active buffer (any more).
    Empty,
    /// The shard's active buffer is SEALED now.
    Sealed,
    /// A writer holds the claim: look again.
    Claimed,
}

/// A shard whose claim is held though there are no callers any more: its holder is a thread that was stopped for good.
pub(in crate::write) struct Held {
    pub(in crate::write) shard: usize,
    /// All buffers before this generation are sealed; the copy is of this generation.
    pub(in crate::write) generation: u64,
    /// The number of the buffer that was copied.
    buffer: Option<u32>,
    /// A copy of the records that the thread had published; `None` without such records, or without memory for them.
    pub(in crate::write) copy: Option<SealedBuffer>,
}

impl Shards {
    pub(super) fn new(pool: Pool, bell: Arc<Bell>, count: usize) -> Result<Shards, Error> {
        Ok(Shards {
            shards: ForkCleared::new(count, |_| Shard::new())?,
            account: pool.account(),
            pool: Arc::new(pool),
            bell,
            blocked_swaps: AtomicU64::new(0),
            is_left: AtomicBool::new(false),
        })
    }

    /// The shards of a dead process: all of them are closed, and ended at these generations.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub(in crate::write) fn adopted(
        pool: Pool,
        bell: Arc<Bell>,
        ends: &[u64],
        dropped: &[Dropped],
        account: LogAccount,
    ) -> Result<Shards, Error> {
        let shard = |number: usize| {
            let dropped = dropped.get(number).copied().unwrap_or_default();
            Shard::ended(ends.get(number).copied().unwrap_or(0), dropped)
        };
        Ok(Shards {
            shards: ForkCleared::new(ends.len(), shard)?,
            pool: Arc::new(pool),
            bell,
            account: Some(account),
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

    /// The account of a crash-safe log.
    pub(in crate::write) fn account(&self) -> Option<&LogAccount> {
        self.account.as_ref()
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Whether this process is a forked child of the process that made the shards.
    pub(crate) fn is_forked(&self) -> bool {
        self.shards.is_forked()
    }

    /// The number of buffers that a shard has sealed.
    pub(in crate::write) fn generation(&self, number: usize) -> u64 {
        self.at(number).word().generation()
    }

    /// Whether a shard is closed: it takes no more records.
    pub(in crate::write) fn is_closed(&self, number: usize) -> bool {
        !self.at(number).word().is_open()
    }

    /// Whether a writer holds the claim of a shard.
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
        // In a forked child this counts nothing: the map is the parent's.
        if let Some(account) = &self.account {
            account.count_drop(number, reason);
        }
    }

    /// The number of buffers that all shards have sealed.
    pub(in crate::write) fn swaps(&self) -> u64 {
        (0..self.len()).map(|number| self.generation(number)).sum()
    }

    pub(crate) fn blocked_swaps(&self) -> u64 {
        self.blocked_swaps.load(Ordering::Relaxed)
    }

    pub(super) fn count_blocked_swap(&self) {
        self.blocked_swaps.fetch_add(1, Ordering::Relaxed);
    }

    /// The current counters of each shard.
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

    /// Seals a shard's active buffer unless a writer holds the claim.
    pub(in crate::write) fn seal_idle(&self, number: usize) -> SealAttempt {
        self.seal_unclaimed(number, |word| word.buffer().map(|_| word.sealed()))
    }

    /// Seals the active buffer and closes the shard, in one step: no claim succeeds afterwards.
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

    /// Closes all shards in a forked child, where no thread waits to be woken.
    pub(super) fn close_in_child(&self) {
        (0..self.len()).for_each(|number| {
            self.seal_and_close(number);
        });
    }

    /// Closes all shards, and wakes the writers that wait for a buffer. Returns how many shards are still claimed at
    /// `deadline`.
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

    /// Records that there are no callers any more.
    pub(super) fn leave(&self) {
        // Release pairs with the Acquire in `copy_held`: all that the last callers did is visible there.
        self.is_left.store(true, Ordering::Release);
    }

    /// Closes the shards, and copies the published records of the shards that are still claimed. Their claims are held
    /// by threads that were stopped inside a call for good. As long as there are callers a claim can be that of a
    /// running call, so nothing is closed or copied.
    ///
    /// If a shard is held, the shards and their buffers stay for ever: the stopped thread could still store into them.
    pub(in crate::write) fn copy_held(self: &Arc<Shards>) -> Vec<Held> {
        if !self.is_left.load(Ordering::Acquire) {
            return Vec::new();
        }
        let is_held = |number: &usize| self.seal_and_close(*number) == SealAttempt::Claimed;
        let held = (0..self.len()).filter(is_held).map(|shard| {
            let word = self.at(shard).word();
            let generation = word.generation();
            let Some(buffer) = word.buffer() else {
                return Held { shard, generation, buffer: None, copy: None };
            };
            let number = shard as u32;
            let active = BufferState::Active { shard: number, generation };
            if self.pool.state(self.pool.index(buffer)) != active {
                // The thread had sealed the buffer, and the word does not say so yet: the flusher finds the buffer.
                return Held { shard, generation: generation + 1, buffer: None, copy: None };
            }
            // SAFETY: a caller borrows the `Ingest` for as long as it has a claim, and the `Ingest` is gone. So this
            // claim is of a thread that never returned from its call, and no thread seals the buffer any more.
            let copy = unsafe { SealedBuffer::copy_of(&self.pool, buffer, number, generation) };
            Held { shard, generation, buffer: Some(buffer), copy }
        });
        let held: Vec<_> = held.collect();
        if !held.is_empty() {
            std::mem::forget(self.clone());
        }
        held
    }

    /// Notes that the records of a copied buffer are with their events, in memory that outlives the process.
    pub(in crate::write) fn forget_copied(&self, held: &Held) {
        if let (Some(map), Some(buffer)) = (self.pool.map(), held.buffer) {
            map.disown(buffer);
        }
    }

    /// Claims a shard and never releases it, like a thread that is stopped inside its call.
    #[cfg(test)]
    pub(crate) fn claim_for_ever(&self, number: usize) {
        std::mem::forget(self.claim(number).expect("nobody else is at it"));
    }

    /// Seals and claims a shard for ever, like a thread that is stopped between the seal and the end of its claim.
    #[cfg(test)]
    pub(crate) fn seal_and_claim_for_ever(&self, number: usize) {
        let mut claim = self.claim(number).expect("nobody else is at it");
        claim.seal();
        std::mem::forget(claim);
    }

    /// Releases a claim that was held for ever, as if its thread continued after all.
    #[cfg(test)]
    pub(crate) fn release_forgotten(&self, number: usize) {
        self.at(number).release(self.at(number).word());
    }
}
