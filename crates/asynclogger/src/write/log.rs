//! One log as its writers see it: shards, policy, and the way of a record into a buffer.

use std::time::{Duration, Instant};

use super::{
    buffer::HEADER,
    gate::Gate,
    home::{Inside, Local, Slots},
    pool::Pool,
    progress::Progress,
    shard::{Claim, Reason, Refused, SealAttempt, Shard},
    wait::{Bell, Sleep, WaitKey, Waited, wait_key},
};
use crate::{
    Dropped, EngineKind, Error, ErrorCounts, Health, IoMode, LogError, Overflow, Position,
    format::RECORD_HEADER,
    mem::ForkCleared,
    sync::{Arc, AtomicBool, AtomicU64, Ordering, hint, is_over, thread},
};

/// Looks at a claimed word before the next shard is tried: some times what a usual record takes to be
/// copied. No more, since with more threads than processors whoever has the claim is often not running, and
/// then each look is in vain (64 of them cost 100 threads a tenth of the throughput).
const SPINS: u32 = if cfg!(loom) { 1 } else { 8 };

/// What a log is made of, apart from its shards.
pub(crate) struct LogParts {
    pub(crate) pool: Arc<Pool>,
    pub(crate) bell: Arc<Bell>,
    /// Number among the logs of the pool.
    pub(crate) index: u32,
    pub(crate) num_shards: usize,
    pub(crate) max_record: usize,
    pub(crate) overflow: Overflow,
    /// Whether buffers are free again only after a barrier, which many of them share.
    pub(crate) shares_barriers: bool,
    pub(crate) session: u64,
}

/// One log, shared by its writers and the flusher.
pub(crate) struct Log {
    /// Never used again for another log of this process: threads know their home by it.
    id: u64,
    shards: ForkCleared<Shard>,
    max_record: usize,
    session: u64,
    pool: Arc<Pool>,
    index: u32,
    overflow: Overflow,
    shares_barriers: bool,
    slots: Arc<Slots>,
    bell: Arc<Bell>,
    /// How often a writer needed a buffer and none was free.
    blocked_swaps: AtomicU64,
    /// Somebody made room on a full disk.
    room: AtomicBool,
    pub(super) gate: Gate,
    pub(super) progress: Progress,
}

impl Log {
    pub(crate) fn new(parts: LogParts) -> Result<Log, Error> {
        // 0 is the id in the empty places of the threads' caches.
        static NEXT_ID: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        Ok(Log {
            id: NEXT_ID.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            shards: ForkCleared::new(parts.num_shards, |_| Shard::new())?,
            max_record: parts.max_record,
            session: parts.session,
            pool: parts.pool,
            index: parts.index,
            overflow: parts.overflow,
            shares_barriers: parts.shares_barriers,
            slots: Arc::new(Slots::new()),
            bell: parts.bell,
            blocked_swaps: AtomicU64::new(0),
            room: AtomicBool::new(false),
            gate: Gate::new(),
            progress: Progress::new(parts.num_shards),
        })
    }

    /// Appends a record of `len` bytes, filled in place by `fill`. The whole hot path: home, claim, copy,
    /// publish, release.
    ///
    /// # Errors
    /// Refused, and counted.
    #[inline]
    pub(crate) fn append(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Position, LogError> {
        let appended = self.append_if(len, |room| {
            fill(room);
            true
        });
        // It says that there is one.
        appended.and_then(|position| position.ok_or(LogError::Closed))
    }

    /// The same, if `fill`, which runs while the shard is claimed, says that there is a record.
    ///
    /// # Errors
    /// Refused, and counted.
    #[inline]
    pub(crate) fn append_if(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> bool,
    ) -> Result<Option<Position>, LogError> {
        // One comparison for both ends: an empty record wraps around.
        if len.wrapping_sub(1) >= self.max_record {
            return Err(self.refuse_length(len));
        }
        Local::with(|local| {
            let inside = local.enter();
            let shard = self.home(&inside);
            let appended = match self.shards[shard].claim(&self.pool) {
                Ok(claim) => match claim.append(len, fill) {
                    Ok(number) => Ok((shard, number)),
                    Err((claim, fill)) => self.append_to_next(&inside, shard, claim, len, fill),
                },
                Err(refused) => self.append_elsewhere(&inside, shard, refused, len, fill),
            };
            let (shard, number) = appended?;
            let position = |number| Position { session: self.session, shard: shard as u32, number };
            Ok(number.map(position))
        })
    }

    /// [`append`](Log::append) for an encoder that is not ours: it may fork. The child comes back from it, too, with the claim: its
    /// record is refused, and the shard is closed there like all others.
    ///
    /// # Errors
    /// As [`append`](Log::append).
    pub(crate) fn append_encoded(
        &self,
        len: usize,
        encode: impl FnOnce(&mut [u8]),
    ) -> Result<Position, LogError> {
        let appended = self.append_if(len, |room| {
            encode(room);
            !self.is_forked()
        })?;
        appended.ok_or_else(|| self.refuse_forked())
    }

    /// The call of an encoder that forked comes back in the child.
    #[cold]
    fn refuse_forked(&self) -> LogError {
        self.close_shards(Instant::now());
        self.shards[0].count_drop(Reason::Closed);
        LogError::Closed
    }

    #[inline]
    fn home(&self, inside: &Inside<'_>) -> usize {
        let home = match inside.cached_home(self.id) {
            Some(home) => home,
            None => inside.find_home(self.id, &self.slots, self.shards.len() as u32),
        };
        home as usize
    }

    #[cold]
    fn refuse_length(&self, len: usize) -> LogError {
        let home = Local::with(|local| self.home(&local.enter()));
        let (reason, error) = match len {
            0 => (Reason::Empty, LogError::Empty),
            _ => (Reason::TooLarge, LogError::TooLarge { len, max: self.max_record }),
        };
        self.shards[home].count_drop(reason);
        error
    }

    /// The home is claimed by another writer, or closed.
    #[cold]
    fn append_elsewhere<F: FnOnce(&mut [u8]) -> bool>(
        &self,
        inside: &Inside<'_>,
        home: usize,
        refused: Refused,
        len: usize,
        fill: F,
    ) -> Result<(usize, Option<u64>), LogError> {
        let (shard, claim) = self.claim_any(inside, home, refused)?;
        match claim.append(len, fill) {
            Ok(number) => Ok((shard, number)),
            Err((claim, fill)) => self.append_to_next(inside, shard, claim, len, fill),
        }
    }

    /// Claims the home, or the next shard that is not busy: only then may a record overtake another.
    fn claim_any(
        &self,
        inside: &Inside<'_>,
        home: usize,
        mut refused: Refused,
    ) -> Result<(usize, Claim<'_>), LogError> {
        let count = self.shards.len();
        for step in 0..=count {
            let shard = (home + step) % count;
            for _ in 0..SPINS {
                if refused == Refused::Closed {
                    return self.drop_record(home, Reason::Closed);
                }
                hint::spin_loop();
                match self.shards[shard].claim(&self.pool) {
                    Ok(claim) => return Ok((shard, claim)),
                    Err(again) => refused = again,
                }
            }
        }
        let deadline = match self.overflow {
            _ if inside.is_nested() => return self.drop_record(home, Reason::Busy),
            Overflow::Drop => return self.drop_record(home, Reason::Busy),
            Overflow::Block => None,
            Overflow::BlockFor(timeout) => Instant::now().checked_add(timeout),
        };
        loop {
            match self.shards[home].claim(&self.pool) {
                Ok(claim) => return Ok((home, claim)),
                Err(Refused::Closed) => return self.drop_record(home, Reason::Closed),
                Err(Refused::Claimed) => thread::yield_now(),
            }
            if is_over(deadline) {
                return self.drop_record(home, Reason::Busy);
            }
        }
    }

    /// The shard's buffer has no room: seal it, and go on in the next, if need be after a wait.
    #[cold]
    fn append_to_next<'a, F: FnOnce(&mut [u8]) -> bool>(
        &'a self,
        inside: &Inside<'_>,
        shard: usize,
        mut claim: Claim<'a>,
        len: usize,
        mut fill: F,
    ) -> Result<(usize, Option<u64>), LogError> {
        let key = wait_key(self.index, shard as u32);
        let needed = HEADER + RECORD_HEADER + len;
        let mut deadline = None;
        loop {
            // Sealed even when there is no successor: what is in it must not wait for one.
            let sealed = claim.seal(shard as u32);
            let next = self.pool.take_for(needed);
            if let Some(index) = next {
                claim.install(index, self.index, shard as u32);
            }
            // The interval begins with the first buffer that is taken: an idle flusher has to know. With few left
            // a barrier has to give some back, and the flusher may wait for the interval with it.
            let is_news = sealed || (self.shares_barriers && self.pool.is_short());
            self.bell.ring(if is_news { Sleep::Timed } else { Sleep::Idle });
            if next.is_some() {
                match claim.append_first(len, fill) {
                    Ok(number) => {
                        // The others that wait here have room now.
                        self.pass_room_on(inside, key);
                        return Ok((shard, number));
                    }
                    // Not with a length that `append` let pass, into an empty buffer.
                    Err((claim, _)) => {
                        drop(claim);
                        return self.drop_record(shard, Reason::Full);
                    }
                }
            }
            drop(claim);
            self.blocked_swaps.fetch_add(1, Ordering::Relaxed);
            if !self.wait_for_buffer(inside, shard, needed, &mut deadline) {
                return self.drop_record(shard, Reason::Full);
            }
            claim = match self.claim_waiting(shard, deadline) {
                Ok(claim) => claim,
                Err(reason) => {
                    // A wake that came to us is another's now.
                    self.pool.waiters.buffer_freed();
                    return self.drop_record(shard, reason);
                }
            };
            match claim.append(len, fill) {
                Ok(number) => {
                    // Woken waiters wake the next, each after its record.
                    self.pass_room_on(inside, key);
                    return Ok((shard, number));
                }
                Err(again) => (claim, fill) = again,
            }
        }
    }

    fn pass_room_on(&self, inside: &Inside<'_>, key: WaitKey) {
        if self.is_forked() {
            // Nobody waits here, and a thread of the parent's may have held the lock.
            return;
        }
        if inside.is_nested() {
            self.pool.waiters.defer();
            self.bell.ring(Sleep::Timed);
        } else {
            self.pool.waiters.room_at(key);
        }
    }

    /// Waits until a buffer may be there for the shard; false if the policy does not allow (more) waiting.
    fn wait_for_buffer(
        &self,
        inside: &Inside<'_>,
        shard: usize,
        needed: usize,
        deadline: &mut Option<Instant>,
    ) -> bool {
        if inside.is_nested() {
            return false;
        }
        match self.overflow {
            Overflow::Drop => return false,
            Overflow::Block => {}
            Overflow::BlockFor(timeout) if deadline.is_none() => {
                *deadline = Instant::now().checked_add(timeout);
            }
            Overflow::BlockFor(_) => {}
        }
        let ready = || {
            let word = self.shards[shard].word();
            self.pool.has_room_for(needed) || word.buffer().is_some() || !word.is_open()
        };
        let key = wait_key(self.index, shard as u32);
        self.pool.waiters.wait(key, *deadline, ready) == Waited::Woken
    }

    /// Claims a shard at which this thread waited: it stays there, whoever is at it now.
    fn claim_waiting(&self, shard: usize, deadline: Option<Instant>) -> Result<Claim<'_>, Reason> {
        loop {
            for _ in 0..SPINS {
                match self.shards[shard].claim(&self.pool) {
                    Ok(claim) => return Ok(claim),
                    Err(Refused::Closed) => return Err(Reason::Closed),
                    Err(Refused::Claimed) => hint::spin_loop(),
                }
            }
            if is_over(deadline) {
                return Err(Reason::Full);
            }
            thread::yield_now();
        }
    }

    /// Closes all shards; how many are still claimed at `deadline`.
    pub(crate) fn close_shards(&self, deadline: Instant) -> usize {
        let mut claimed: Vec<usize> = (0..self.shards.len()).collect();
        loop {
            claimed.retain(|number| {
                let attempt = self.shards[*number].seal_and_close(&self.pool, *number as u32);
                attempt == SealAttempt::Claimed
            });
            if claimed.is_empty() || is_over(Some(deadline)) {
                return claimed.len();
            }
            thread::yield_now();
        }
    }

    #[cold]
    fn drop_record<T>(&self, shard: usize, reason: Reason) -> Result<T, LogError> {
        self.shards[shard].count_drop(reason);
        Err(match reason {
            Reason::Busy => LogError::Busy,
            Reason::Closed => LogError::Closed,
            _ => LogError::Full,
        })
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Number among the logs of the pool.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn max_record(&self) -> usize {
        self.max_record
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Whether this process is a forked child of the one that made the log.
    pub(crate) fn is_forked(&self) -> bool {
        self.shards.is_forked()
    }

    /// There is room on the disk again: the flusher tries at once.
    pub(super) fn tell_of_room(&self) {
        // Release pairs with the Acquire in `has_new_room`; the bell has the fence.
        self.room.store(true, Ordering::Release);
        self.bell.ring(Sleep::Timed);
    }

    /// Whether it was told of room, which it has not seen.
    pub(super) fn is_told_of_room(&self) -> bool {
        self.room.load(Ordering::Relaxed)
    }

    /// The same, and now it has.
    pub(super) fn has_new_room(&self) -> bool {
        self.is_told_of_room() && self.room.swap(false, Ordering::Acquire)
    }

    pub(crate) fn blocked_swaps(&self) -> u64 {
        self.blocked_swaps.load(Ordering::Relaxed)
    }

    /// Records accepted by all shards.
    pub(crate) fn accepted(&self) -> u64 {
        self.shards.iter().map(Shard::accepted).sum()
    }

    /// Records refused at all shards.
    pub(crate) fn dropped(&self) -> Dropped {
        self.shards
            .iter()
            .fold(Dropped::default(), |sum, shard| sum.zip(shard.dropped(), u64::wrapping_add))
    }

    /// What the flusher has done with the accepted records.
    pub(crate) fn written(&self) -> Written {
        // In this order each count covers the one before.
        let (durable, payload) = (self.progress.durable.get(), self.progress.payload.get());
        let (lost, written) = (self.progress.lost.get(), self.progress.written.get());
        Written { durable, written, lost, payload }
    }

    pub(crate) fn bytes_written(&self) -> u64 {
        self.progress.bytes.get()
    }

    pub(crate) fn flushes(&self) -> u64 {
        self.progress.flushes.get()
    }

    pub(crate) fn errors(&self) -> u64 {
        self.progress.errors.get()
    }

    /// The same, by what they mean.
    pub(crate) fn error_counts(&self) -> ErrorCounts {
        self.progress.error_counts()
    }

    pub(crate) fn health(&self) -> Health {
        if self.is_forked() { Health::Forked } else { self.progress.health() }
    }

    /// How blocks reach the file, now.
    pub(crate) fn io(&self) -> (IoMode, EngineKind) {
        self.progress.io()
    }

    /// Whether a position is of this session.
    pub(crate) fn is_ours(&self, position: &Position) -> bool {
        position.session == self.session
    }

    /// Whether a record of this session is durable.
    pub(crate) fn is_durable(&self, position: &Position) -> bool {
        let durable = self.progress.durable_of(position.shard as usize);
        self.is_ours(position) && position.number < durable
    }

    /// Sum and maximum of the flushes, then of the writes.
    pub(crate) fn flush_times(&self) -> ((Duration, Duration), (Duration, Duration)) {
        self.progress.times()
    }

    pub(crate) fn last_error(&self) -> Option<Error> {
        self.gate.last_error()
    }

    /// Bytes in the active buffer of a shard, its header included; 0 without one.
    pub(crate) fn bytes_used(&self, shard: usize) -> usize {
        let buffer = self.shards[shard].word().buffer();
        buffer.map_or(0, |index| HEADER + self.pool.buffer(index).valid() as usize)
    }
}

/// Counts of records, except the last.
pub(crate) struct Written {
    pub(crate) durable: u64,
    pub(crate) written: u64,
    pub(crate) lost: u64,
    /// Bytes of the written records.
    pub(crate) payload: u64,
}
