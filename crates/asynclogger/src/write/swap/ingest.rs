//! The way of a record from its caller into a buffer: home, claim, overflow policy, and the swap of a full buffer.

use std::{cell::Cell, time::Instant};

use super::{
    buffer::HEADER,
    claim::{Claim, Filled},
    home::{Slots, find_home},
    pool::Pool,
    record_writer::RecordWriter,
    shard::Refused,
    shards::Shards,
    times::{ANY, NOTHING, Source},
    wait::{Bell, Sleep, Waited},
};
use crate::{
    Error, LogError, Overflow, Position,
    format::RECORD_HEADER,
    mem::Counter,
    sync::{Arc, hint, is_over, thread, thread_local},
    write::common::{Inside, Local, Reason},
};

/// How often a caller looks at a claimed word before it tries the next shard: together a few times as long as the copy
/// of a usual record. More looks do harm: with more threads than processors the holder of the claim is often not
/// running, and then each look is in vain (64 looks cost 100 threads a tenth of the throughput).
const SPINS: u32 = if cfg!(loom) { 1 } else { 8 };

// Memory for the records of encoders, kept for the next one.
thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The parts of the callers' side of a log.
pub(crate) struct IngestParts {
    pub(crate) pool: Pool,
    pub(crate) bell: Arc<Bell>,
    pub(crate) num_shards: usize,
    pub(crate) max_record: usize,
    pub(crate) overflow: Overflow,
    /// Whether buffers become free only after a barrier, which many of them share.
    pub(crate) shares_barriers: bool,
    /// The session that positions name.
    pub(crate) session: u64,
}

/// The callers' side of a log. It is dropped when the last caller is gone.
pub(crate) struct Ingest {
    /// The key by which threads know their home. No other log of this process ever has the same id.
    id: u64,
    shards: Arc<Shards>,
    max_record: usize,
    /// The same for a log without times, and for one with times of [`Counter::Stamps`]; else 0.
    pub(super) max_untimed: usize,
    pub(super) max_stamped: usize,
    session: u64,
    overflow: Overflow,
    shares_barriers: bool,
    /// Whether encoders write to memory of their thread: if the buffers outlive the process, or records have times.
    encodes_apart: bool,
    slots: Arc<Slots>,
}

impl Ingest {
    /// # Errors
    /// If there is no memory for the shards.
    pub(crate) fn new(parts: IngestParts) -> Result<Ingest, Error> {
        // Id 0 marks the empty places of the threads' caches.
        static NEXT_ID: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let counter = parts.pool.counter();
        let max_if = |holds| if holds { parts.max_record } else { 0 };
        Ok(Ingest {
            encodes_apart: parts.pool.map().is_some() || counter.is_some(),
            id: NEXT_ID.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            shards: Arc::new(Shards::new(parts.pool, parts.bell, parts.num_shards)?),
            max_record: parts.max_record,
            max_untimed: max_if(counter.is_none()),
            max_stamped: max_if(counter == Some(Counter::Stamps)),
            session: parts.session,
            overflow: parts.overflow,
            shares_barriers: parts.shares_barriers,
            slots: Arc::new(Slots::new()),
        })
    }

    /// Whether a call on this thread may wait for this log.
    pub(in crate::write) fn may_wait(&self, inside: &Inside<'_>) -> bool {
        inside.may_wait(self.id)
    }

    /// The shards of this log, for the flusher.
    pub(crate) fn shards(&self) -> &Arc<Shards> {
        &self.shards
    }

    /// The longest record that is accepted, in bytes.
    pub(crate) fn max_record(&self) -> usize {
        self.max_record
    }

    /// Appends a record of `len` bytes, which `fill` writes in place.
    ///
    /// # Errors
    /// The record was refused, and counted.
    pub(crate) fn append(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Position, LogError> {
        if len.wrapping_sub(1) >= self.max_record {
            return Err(self.refuse_length(len, self.max_record));
        }
        let appended = self.append_usual::<ANY>(len, |room| {
            fill(room);
            Filled::Whole
        });
        appended.and_then(|position| position.ok_or(LogError::Closed))
    }

    /// Appends a record of at most `max` bytes, which `encode` writes behind `front`.
    ///
    /// # Errors
    /// The record was refused, and counted. `encode` was called only if it wrote too much, or nothing.
    #[inline]
    pub(crate) fn append_with<const N: usize>(
        &self,
        front: [u8; N],
        max: usize,
        encode: impl FnOnce(&mut RecordWriter<'_>),
    ) -> Result<Position, LogError> {
        if self.encodes_apart {
            return self.append_encoded(&front, max, encode);
        }
        let mut wanted = 0;
        let is_callers = Local::with(Local::is_callers);
        let appended = self.append_some(N.saturating_add(max), |room| {
            let (place, rest) = room.split_at_mut(N);
            place.copy_from_slice(&front);
            let mut writer = RecordWriter::new(rest);
            Local::with(|local| local.encode(self.id, is_callers, || encode(&mut writer)));
            wanted = writer.wanted();
            // An encoder is the user's code, so it can fork. Then the child returns from it, too, with the claim.
            let is_over = wanted == 0 || wanted > max || self.shards.is_forked();
            if is_over { Filled::Nothing } else { Filled::Part(N + wanted) }
        })?;
        appended.ok_or_else(|| self.refuse_encoded(wanted, max))
    }

    /// Appends a record that `encode` first writes to memory of this thread. An encoder can fork, and the child does not
    /// have the buffers of a log that is to outlive its process. And a record with a time is so rarely encoded in place that
    /// the code for it would only be in the way of the others.
    #[cold]
    fn append_encoded(
        &self,
        front: &[u8],
        max: usize,
        encode: impl FnOnce(&mut RecordWriter<'_>),
    ) -> Result<Position, LogError> {
        if front.len() + max > self.max_record {
            return Err(self.refuse_length(front.len() + max, self.max_record));
        }
        // An encoder within an encoder finds nothing there, and neither does one in the destructor of a thread-local.
        let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
        if scratch.len() < max {
            scratch.resize(max, 0);
        }
        let is_callers = Local::with(Local::is_callers);
        let mut writer = RecordWriter::new(&mut scratch[..max]);
        Local::with(|local| local.encode(self.id, is_callers, || encode(&mut writer)));
        let wanted = writer.wanted();
        let appended = if wanted == 0 || wanted > max {
            Err(self.refuse_length(wanted, max))
        } else {
            self.append(front.len() + wanted, |room| {
                let (place, rest) = room.split_at_mut(front.len());
                place.copy_from_slice(front);
                rest.copy_from_slice(&scratch[..wanted]);
            })
        };
        let _ = SCRATCH.try_with(|place| place.set(scratch));
        appended
    }

    /// Refuses the record of an encoder that wrote nothing or too much, or that forked: then this is the child.
    #[cold]
    fn refuse_encoded(&self, wanted: usize, max: usize) -> LogError {
        if !self.shards.is_forked() {
            return self.refuse_length(wanted, max);
        }
        // The end of the claim has opened the shard in this child: now it is closed like all others.
        self.shards.close_in_child();
        self.shards.count_drop(0, Reason::Closed);
        LogError::Closed
    }

    /// Appends a record of at most `room` bytes. `fill` runs while the shard is claimed, and returns how much of the
    /// room the record has; if it made no record, nothing is counted.
    ///
    /// # Errors
    /// The record was refused, and counted.
    #[inline(always)]
    fn append_some(
        &self,
        room: usize,
        fill: impl FnOnce(&mut [u8]) -> Filled,
    ) -> Result<Option<Position>, LogError> {
        // One comparison checks both ends: the length of an empty record wraps around.
        if room.wrapping_sub(1) >= self.max_untimed {
            return Err(self.refuse_length(room, self.max_record));
        }
        self.append_usual::<NOTHING>(room, fill)
    }

    /// [`append_some`](Ingest::append_some) of a length that is accepted.
    #[inline(always)]
    pub(super) fn append_usual<const SOURCE: Source>(
        &self,
        room: usize,
        fill: impl FnOnce(&mut [u8]) -> Filled,
    ) -> Result<Option<Position>, LogError> {
        // By value: then all that the closure needs is in registers.
        Local::with(move |local| {
            let inside = local.enter_log_call();
            let home = self.home(&inside);
            let (shard, number) = match self.shards.claim(home) {
                Ok(claim) => match claim.append::<SOURCE, _>(room, fill) {
                    Ok(number) => (home, number),
                    Err((claim, fill)) => self.append_to_next(&inside, home, claim, room, fill)?,
                },
                Err(refused) => self.append_elsewhere(&inside, home, refused, room, fill)?,
            };
            let position = |number| Position { session: self.session, shard: shard as u32, number };
            Ok(number.map(position))
        })
    }

    #[inline]
    fn home(&self, inside: &Inside<'_>) -> usize {
        match inside.cached_home(self.id) {
            Some(home) => home,
            None => find_home(inside, self.id, &self.slots, self.shards.len()),
        }
    }

    #[cold]
    fn refuse_length(&self, len: usize, max: usize) -> LogError {
        let home = Local::with(|local| self.home(&local.enter_log_call()));
        let (reason, error) = match len {
            0 => (Reason::Empty, LogError::Empty),
            _ => (Reason::TooLarge, LogError::TooLarge { len, max }),
        };
        self.shards.count_drop(home, reason);
        error
    }

    /// Appends a record whose home is claimed by another writer, or closed.
    #[cold]
    fn append_elsewhere<F: FnOnce(&mut [u8]) -> Filled>(
        &self,
        inside: &Inside<'_>,
        home: usize,
        refused: Refused,
        room: usize,
        fill: F,
    ) -> Result<(usize, Option<u64>), LogError> {
        let (shard, claim) = self.claim_any(inside, home, refused)?;
        match claim.append_later(room, fill) {
            Ok(number) => Ok((shard, number)),
            Err((claim, fill)) => self.append_to_next(inside, shard, claim, room, fill),
        }
    }

    /// Claims the home, or the next shard that is not busy. Only a record that leaves its home can overtake an earlier
    /// one of its thread.
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
                match self.shards.claim(shard) {
                    Ok(claim) => return Ok((shard, claim)),
                    Err(again) => refused = again,
                }
            }
        }
        let deadline = match self.overflow {
            _ if !inside.may_wait(self.id) => return self.drop_record(home, Reason::Busy),
            Overflow::Drop => return self.drop_record(home, Reason::Busy),
            Overflow::Block => None,
            Overflow::BlockFor(timeout) => Instant::now().checked_add(timeout),
        };
        loop {
            match self.shards.claim(home) {
                Ok(claim) => return Ok((home, claim)),
                Err(Refused::Closed) => return self.drop_record(home, Reason::Closed),
                Err(Refused::Claimed) => thread::yield_now(),
            }
            if is_over(deadline) {
                return self.drop_record(home, Reason::Busy);
            }
        }
    }

    /// Appends a record for which the shard's buffer has no room: seals the buffer and continues in the next one, after
    /// a wait if no buffer is free.
    #[cold]
    fn append_to_next<'a, F: FnOnce(&mut [u8]) -> Filled>(
        &'a self,
        inside: &Inside<'_>,
        shard: usize,
        mut claim: Claim<'a>,
        room: usize,
        mut fill: F,
    ) -> Result<(usize, Option<u64>), LogError> {
        let needed = HEADER + RECORD_HEADER + room;
        let mut deadline = None;
        loop {
            if claim.grow(room) {
                // The flusher makes more of the buffer resident.
                self.shards.bell().ring(Sleep::Timed);
                match claim.append_later(room, fill) {
                    Ok(number) => {
                        self.pass_room_on(inside, shard);
                        return Ok((shard, number));
                    }
                    // Cannot happen: the buffer has grown for this record.
                    Err(again) => (claim, fill) = again,
                }
            }
            // Sealed even without a successor: the records in the buffer must not wait for one.
            let sealed = claim.seal();
            let has_next = claim.take_next(needed);
            // The interval begins with the first buffer that is taken, so an idle flusher has to be woken. With few
            // free buffers a barrier has to free more, and without this news the flusher would delay the barrier to
            // the end of the interval.
            let pool = self.shards.pool();
            // Waiters to pass news on to: the take can have deferred some.
            let is_news = sealed
                || (self.shares_barriers && pool.is_short())
                || pool.waiters().has_deferred();
            self.shards.bell().ring(if is_news { Sleep::Timed } else { Sleep::Idle });
            if has_next {
                match claim.append_first(room, fill) {
                    Ok(number) => {
                        // The other writers that wait at this shard have room now.
                        self.pass_room_on(inside, shard);
                        return Ok((shard, number));
                    }
                    // Cannot happen: `append` has checked the length, and the buffer is empty.
                    Err((claim, _)) => {
                        drop(claim);
                        return self.drop_record(shard, Reason::Full);
                    }
                }
            }
            drop(claim);
            self.shards.count_blocked_swap();
            if !self.wait_for_buffer(inside, shard, needed, &mut deadline) {
                return self.drop_record(shard, Reason::Full);
            }
            claim = match self.claim_waiting(shard, deadline) {
                Ok(claim) => claim,
                Err(reason) => {
                    // This writer has been woken and uses no buffer, so another waiter gets the wake.
                    self.shards.pool().waiters().buffer_freed();
                    return self.drop_record(shard, reason);
                }
            };
            match claim.append_later(room, fill) {
                Ok(number) => {
                    // Each woken waiter wakes the next one after its record.
                    self.pass_room_on(inside, shard);
                    return Ok((shard, number));
                }
                Err(again) => (claim, fill) = again,
            }
        }
    }

    fn pass_room_on(&self, inside: &Inside<'_>, shard: usize) {
        if self.shards.is_forked() {
            // No thread waits in a forked child, and a thread of the parent can have held the lock during the fork.
            return;
        }
        if !inside.may_wait(self.id) {
            self.shards.pool().waiters().defer();
            self.shards.bell().ring(Sleep::Timed);
        } else {
            self.shards.pool().waiters().room_at(shard);
        }
    }

    /// Waits until the shard can have a buffer; `false` if the policy does not allow (more) waiting.
    fn wait_for_buffer(
        &self,
        inside: &Inside<'_>,
        shard: usize,
        needed: usize,
        deadline: &mut Option<Instant>,
    ) -> bool {
        if !inside.may_wait(self.id) {
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
            let word = self.shards.at(shard).word();
            self.shards.pool().has_room_for(needed) || word.buffer().is_some() || !word.is_open()
        };
        self.shards.pool().waiters().wait(shard, *deadline, ready) == Waited::Woken
    }

    /// Claims the shard at which this thread has waited. If another writer holds the claim, the thread waits for it
    /// and does not try other shards.
    fn claim_waiting(&self, shard: usize, deadline: Option<Instant>) -> Result<Claim<'_>, Reason> {
        loop {
            for _ in 0..SPINS {
                match self.shards.claim(shard) {
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

    #[cold]
    fn drop_record<T>(&self, shard: usize, reason: Reason) -> Result<T, LogError> {
        self.shards.count_drop(shard, reason);
        Err(match reason {
            Reason::Busy => LogError::Busy,
            Reason::Closed => LogError::Closed,
            _ => LogError::Full,
        })
    }

    #[cfg(test)]
    pub(in crate::write) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Ingest {
    /// No call borrows the `Ingest` any more, so only a thread that never returned from its call still holds a claim.
    fn drop(&mut self) {
        self.shards.leave();
    }
}
