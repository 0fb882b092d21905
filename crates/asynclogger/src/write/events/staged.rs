//! One event as the flusher sees it: what is staged for it, and the writer of its log.

use std::time::{Duration, Instant};

use super::{
    budget::{Budget, cost, room},
    event::Event,
};
use crate::{
    Error,
    format::RECORD_HEADER,
    sync::Arc,
    write::{
        buffer::HEADER,
        gate::Ending,
        log_writer::LogWriter,
        pool::Pool,
        shard::{Claim, Reason},
        word::{BufferIndex, BufferState},
    },
};

/// Buffers of an event: so many blocks of it may be on their way, and one more be filled.
pub(super) const BUFFERS: usize = 8;

/// From this fill on a buffer's pages are made resident ahead of the records.
const POPULATE_FROM: usize = 64 << 10;
/// After its file could not be opened again.
const RETRY: Duration = Duration::from_millis(100);

/// The event has as much staged and in flight as it may have.
#[derive(Debug)]
pub(super) struct Full;

pub(super) struct Staged {
    event: Arc<Event>,
    pub(super) writer: LogWriter,
    active: Option<BufferIndex>,
    /// Bytes of header and records in the active buffer; 0 without one.
    filled: usize,
    /// Up to this fill it needs no more memory.
    room: usize,
    /// What each buffer is counted with.
    costs: [usize; BUFFERS],
    quota: usize,
    /// Whether the worker looks after it in each round.
    pub(super) is_hot: bool,
    /// When it was looked after last, in rounds.
    pub(super) last_round: u64,
    /// When its file is tried again, after it could not be opened.
    pub(super) retry_at: Option<Instant>,
}

impl Staged {
    pub(super) fn new(event: Arc<Event>, writer: LogWriter, quota: usize) -> Staged {
        Staged {
            event,
            writer,
            active: None,
            filled: 0,
            room: 0,
            costs: [0; BUFFERS],
            quota,
            is_hot: false,
            last_round: 0,
            retry_at: None,
        }
    }

    pub(super) fn event(&self) -> &Arc<Event> {
        &self.event
    }

    fn pool(&self) -> &Arc<Pool> {
        self.event.log().pool()
    }

    /// Bytes of records that are staged, with their header.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Appends a record; whether the buffer was sealed that had no room for it.
    ///
    /// # Errors
    /// Every buffer is on its way to the file, or the quota is used up.
    #[inline]
    pub(super) fn append(&mut self, record: &[u8], budget: &mut Budget) -> Result<bool, Full> {
        let log = self.event.log();
        // Nobody else claims it, so it is not busy; and it is closed only when there is nothing to come.
        let claim = log.shards()[0].claim(log.pool()).map_err(|_| Full)?;
        if claim.append(record.len(), |room| room.copy_from_slice(record)).is_err() {
            return self.append_to_next(record, budget);
        }
        self.filled += RECORD_HEADER + record.len();
        if self.filled > self.room {
            self.grow(budget);
        }
        Ok(false)
    }

    #[cold]
    fn append_to_next(&mut self, record: &[u8], budget: &mut Budget) -> Result<bool, Full> {
        let had_one = self.active.is_some();
        self.seal(budget);
        let on_their_way: usize = self.costs.iter().sum();
        if on_their_way >= self.quota {
            return Err(Full);
        }
        let event = self.event.clone();
        let (log, pool) = (event.log(), event.log().pool());
        let index = pool.take().ok_or(Full)?;
        let mut claim: Claim<'_> = match log.shards()[0].claim(pool) {
            Ok(claim) => claim,
            Err(_) => return Err(Full),
        };
        claim.install(index, log.index(), 0);
        (self.active, self.filled, self.room) = (Some(index), HEADER, 0);
        self.costs[index as usize] = 0;
        let appended = claim.append_first(record.len(), |room| room.copy_from_slice(record));
        self.filled += RECORD_HEADER + record.len();
        self.grow(budget);
        // Not with a length that the event takes, into an empty buffer.
        appended.map(|_| had_one).map_err(|_| Full)
    }

    /// Counts the memory that the active buffer has grown into.
    #[cold]
    fn grow(&mut self, budget: &mut Budget) {
        let Some(index) = self.active else {
            return;
        };
        let (before, now) = (self.costs[index as usize], cost(self.filled));
        budget.grow(now - before);
        self.costs[index as usize] = now;
        self.room = room(now);
        if self.filled >= POPULATE_FROM {
            self.pool().populate_range(index, self.filled..self.room);
        }
    }

    /// Ends the active buffer: it is written as soon as its file is looked after.
    pub(super) fn seal(&mut self, budget: &mut Budget) {
        let log = self.event.log();
        log.shards()[0].seal_idle(log.pool(), 0);
        self.sealed(budget);
    }

    /// The active buffer may have been sealed by somebody else: a pass, or the end.
    fn sealed(&mut self, budget: &mut Budget) {
        if self.event.log().shards()[0].word().buffer().is_none()
            && let Some(index) = self.active.take()
        {
            budget.seal(self.costs[index as usize]);
            (self.filled, self.room) = (0, 0);
        }
    }

    /// Takes no more records, and ends the file once all are written.
    pub(super) fn end(&mut self, ending: Ending) {
        self.event.close();
        let log = self.event.log();
        log.close_shards(Instant::now());
        log.gate().set_ending(ending);
    }

    /// Whether its file is closed, and there is nothing to open it for.
    pub(super) fn is_asleep(&self, now: Instant) -> bool {
        let is_sealed = |index: u32| matches!(self.pool().state(index), BufferState::Sealed { .. });
        self.writer.is_suspended()
            && self.writer.is_at_rest()
            && !(0..BUFFERS as u32).any(is_sealed)
            && self.writer.wake_at(now).is_none_or(|at| now < at)
    }

    /// Counts a record that finds no room.
    pub(super) fn count_drop(&self) {
        self.event.count_drop(Reason::Full);
    }

    /// Writes what is sealed and does what is due; whether anything was done.
    ///
    /// # Errors
    /// The file was closed, and cannot be opened again now.
    pub(super) fn pump(&mut self, now: Instant, budget: &mut Budget) -> Result<bool, Error> {
        if let Err(error) = self.writer.resume(now) {
            self.retry_at = now.checked_add(RETRY);
            return Err(error);
        }
        self.retry_at = None;
        let mut busy = false;
        loop {
            let mut again = false;
            for index in 0..BUFFERS as u32 {
                if let BufferState::Sealed { shard, generation } = self.pool().state(index)
                    && self.writer.is_next(shard, generation)
                {
                    self.writer.write_sealed(index, shard, generation);
                    again = true;
                }
            }
            again |= self.writer.advance(now);
            if !again {
                break;
            }
            busy = true;
        }
        self.sealed(budget);
        self.release(budget);
        Ok(busy)
    }

    /// What was written has given its memory back.
    fn release(&mut self, budget: &mut Budget) {
        for index in 0..BUFFERS as u32 {
            let cost = self.costs[index as usize];
            if cost > 0
                && self.active != Some(index)
                && self.pool().state(index) == BufferState::Free
            {
                budget.free(cost);
                self.costs[index as usize] = 0;
            }
        }
    }

    /// It is gone, whatever it had.
    pub(super) fn give_up(&mut self, budget: &mut Budget) {
        if let Some(index) = self.active.take() {
            budget.seal(self.costs[index as usize]);
        }
        for cost in std::mem::take(&mut self.costs) {
            budget.free(cost);
        }
    }
}
