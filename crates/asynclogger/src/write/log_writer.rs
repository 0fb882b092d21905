//! The flusher's side of one log: sealed buffers become blocks, in the order of each shard; requests are
//! answered; failures are kept and tried again.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use super::{
    buffer::SealedBuffer,
    gate::Ending,
    log::Log,
    segment::{Segment, wall_clock},
    shard::SealAttempt,
    word::BufferIndex,
};
use crate::{
    Config, Dropped, Durability, Error, ErrorKind,
    config::ErrorCallback,
    format::{BlockInfo, ChunkEntry, Kind, Totals, block},
    sync::Arc,
};

/// The first wait before a failed write is repeated; doubled each time.
const BACKOFF_MIN: Duration = Duration::from_millis(1);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// The first wait before a claimed shard is looked at again, while a flush is pending; doubled each time.
const LOOK_MIN: Duration = Duration::from_micros(50);
const LOOK_MAX: Duration = Duration::from_millis(1);

/// What is known of a shard.
#[derive(Clone, Default)]
struct Track {
    /// Its buffers are written strictly by this.
    next_generation: u64,
    next_record: u64,
    /// Drops that its blocks have told of.
    declared: Dropped,
}

/// A block whose bytes are final and that is not on the medium yet.
struct Prepared {
    buffer: SealedBuffer,
    info: BlockInfo,
    time: i64,
    taken: Instant,
}

/// A sealing pass over all shards, and what it waits for.
struct Pass {
    /// Who asked: up to this ticket, or the interval.
    ticket: Option<u64>,
    /// Each shard's buffers below this generation have to be written.
    targets: Vec<u64>,
    /// Shards that were claimed: looked at again.
    claimed: Vec<u32>,
    look_again: Duration,
}

struct Retry {
    at: Instant,
    backoff: Duration,
}

pub(crate) struct LogWriter {
    log: Arc<Log>,
    segment: Segment,
    durability: Durability,
    flush_interval: Duration,
    on_error: Option<ErrorCallback>,
    tracks: Vec<Track>,
    /// The session so far.
    next_sequence: u64,
    records: u64,
    payload: u64,
    /// Drops that a note or an end has told of.
    noted: Dropped,
    /// The block that has to be written before any other: its place is taken.
    stuck: Option<Prepared>,
    retry: Option<Retry>,
    pass: Option<Pass>,
    /// When what is in the buffers has been there for an interval.
    deadline: Option<Instant>,
    /// Whether something was written since the last barrier.
    unsynced: bool,
    /// Records written before a barrier that failed, whose buffers are in use again, and its error: no
    /// later barrier can vouch for them, since the kernel forgets an error once it has told it.
    doubtful: Option<(u64, Error)>,
    /// The ending that `advance` knows of.
    ending: Ending,
    table: Vec<ChunkEntry>,
}

impl LogWriter {
    pub(crate) fn new(log: Arc<Log>, segment: Segment, config: &Config) -> LogWriter {
        let shards = log.shards().len();
        LogWriter {
            segment,
            durability: config.durability,
            flush_interval: config.flush_interval,
            on_error: config.on_error.clone(),
            tracks: vec![Track::default(); shards],
            next_sequence: 0,
            records: 0,
            payload: 0,
            noted: Dropped::default(),
            stuck: None,
            retry: None,
            pass: None,
            deadline: None,
            unsynced: true,
            doubtful: None,
            ending: Ending::Open,
            table: Vec::with_capacity(block::chunk_count(log.pool().capacity()) + 1),
            log,
        }
    }

    /// The number of the log in its pool.
    pub(crate) fn index(&self) -> u32 {
        self.log.index()
    }

    /// Whether a sealed buffer of this generation is the one to write now.
    pub(crate) fn is_next(&self, shard: u32, generation: u64, now: Instant) -> bool {
        let track = self.tracks.get(shard as usize);
        track.is_some_and(|track| track.next_generation == generation)
            && self.stuck.is_none()
            && self.may_write(now)
    }

    fn may_write(&self, now: Instant) -> bool {
        self.retry.as_ref().is_none_or(|retry| now >= retry.at)
    }

    /// Writes a sealed buffer that [`is_next`](LogWriter::is_next).
    pub(crate) fn write_sealed(&mut self, index: BufferIndex, shard: u32, generation: u64) {
        if let Some(buffer) = self.log.pool().take_sealed(index) {
            self.write_buffer(buffer, shard, generation);
        }
    }

    fn write_buffer(&mut self, buffer: SealedBuffer, shard: u32, generation: u64) {
        let taken = Instant::now();
        let track = &mut self.tracks[shard as usize];
        if buffer.valid() == 0 {
            // Taken for a record that its encoder did not finish.
            track.next_generation = generation + 1;
            buffer.free();
            return;
        }
        let info = BlockInfo {
            sequence: self.next_sequence,
            generation,
            first_record: track.next_record,
            shard,
            dropped: self.log.shards()[shard as usize].dropped(),
            ..BlockInfo::default()
        };
        let time = wall_clock();
        let (buffer, info) = self.prepare(buffer, info, time);
        self.write_prepared(Prepared { buffer, info, time, taken });
    }

    /// Completes the block in place: header, padding, table, head and tail. Nothing touches the buffer
    /// from its checksums until it is on the medium.
    fn prepare(
        &mut self,
        mut buffer: SealedBuffer,
        mut info: BlockInfo,
        time: i64,
    ) -> (SealedBuffer, BlockInfo) {
        info.set_lengths(buffer.valid(), self.segment.align());
        let (head_len, data_len) = (info.head_len as usize, info.data_len as usize);
        buffer.finish_data(info.data_len + info.tail_len, data_len);
        info.records = block::build_table(buffer.data(data_len), info.valid, &mut self.table);
        let prefix = self.segment.prefix(0, time);
        info.encode(Kind::Head, &prefix, &self.table, buffer.head_mut(head_len));
        let prefix = self.segment.prefix((head_len + data_len) as u64, time);
        let tail = buffer.tail_mut(data_len, info.tail_len as usize);
        info.encode(Kind::Tail, &prefix, &self.table, tail);
        (buffer, info)
    }

    fn write_prepared(&mut self, prepared: Prepared) -> bool {
        let info = &prepared.info;
        let rest = (info.data_len + info.tail_len) as usize;
        let block = prepared.buffer.block(info.head_len as usize, rest);
        let started = Instant::now();
        match self.segment.write_block(block, info, prepared.time) {
            Ok(()) => {
                self.account(prepared, started.elapsed());
                true
            }
            Err(error) => {
                self.stuck = Some(prepared);
                self.failed(error);
                false
            }
        }
    }

    fn account(&mut self, written: Prepared, write_time: Duration) {
        let Prepared { buffer, info, taken, .. } = written;
        let track = &mut self.tracks[info.shard as usize];
        track.next_generation = info.generation + 1;
        track.next_record += u64::from(info.records);
        track.declared = info.dropped;
        self.next_sequence += 1;
        self.records += u64::from(info.records);
        self.payload += info.payload();
        self.retry = None;
        self.unsynced = true;
        let progress = &self.log.progress;
        progress.bytes.add(info.block_len());
        progress.payload.add(info.payload());
        progress.written.add(u64::from(info.records));
        if self.durability == Durability::Dsync {
            progress.durable.set(self.records);
        }
        buffer.free();
        progress.add_flush(taken.elapsed(), write_time);
    }

    /// Keeps an error: counts it, answers the flush that it belongs to, and sets the time of the next try.
    #[cold]
    fn failed(&mut self, error: Error) {
        self.log.progress.errors.add(1);
        let ticket = self.pass.take().and_then(|pass| pass.ticket);
        self.log.gate.fail(ticket, &error);
        let backoff = self.retry.take().map_or(BACKOFF_MIN, |retry| retry.backoff * 2);
        let backoff = backoff.min(BACKOFF_MAX);
        self.retry = Some(Retry { at: Instant::now() + backoff, backoff });
        self.tell(&error);
    }

    /// Tells the user's callback, whose panics are its own.
    fn tell(&self, error: &Error) {
        if let Some(callback) = &self.on_error {
            let _ = catch_unwind(AssertUnwindSafe(|| callback(error)));
        }
    }

    /// Does what is due apart from sealed buffers; whether anything was done.
    pub(crate) fn advance(&mut self, now: Instant) -> bool {
        let mut progress = false;
        self.ending = self.log.gate.ending();
        if self.pass.is_none() {
            if let Some(ticket) = self.log.gate.open_request() {
                // Who asks gets an attempt, whatever the backoff says.
                if let Some(retry) = &mut self.retry {
                    retry.at = now;
                }
                self.begin_pass(Some(ticket));
                progress = true;
            } else if self.deadline.is_some_and(|deadline| now >= deadline) {
                self.deadline = None;
                self.begin_pass(None);
                progress = true;
            }
        }
        if self.may_write(now)
            && let Some(stuck) = self.stuck.take()
        {
            progress |= self.write_prepared(stuck);
        }
        if self.pass.is_some() && self.may_write(now) {
            progress |= self.advance_pass();
        }
        match self.ending {
            Ending::Closing if self.may_write(now) => progress |= self.try_to_end(),
            Ending::Abandoned => {
                self.abandon();
                progress = true;
            }
            _ => {}
        }
        progress
    }

    fn begin_pass(&mut self, ticket: Option<u64>) {
        let mut pass =
            Pass { ticket, targets: Vec::new(), claimed: Vec::new(), look_again: LOOK_MIN };
        for (number, shard) in self.log.shards().iter().enumerate() {
            // Read before the attempt: the buffer that is active now is below the next generation.
            let active = shard.word().generation();
            let target = match shard.seal_idle(self.log.pool(), number as u32) {
                SealAttempt::Sealed | SealAttempt::Empty => shard.word().generation(),
                // The interval leaves a claimed shard alone: its writer is alive.
                SealAttempt::Claimed if ticket.is_none() => 0,
                SealAttempt::Claimed => {
                    pass.claimed.push(number as u32);
                    active + 1
                }
            };
            pass.targets.push(target);
        }
        self.pass = Some(pass);
    }

    /// Looks whether all that the pass waits for has happened, and completes it then.
    fn advance_pass(&mut self) -> bool {
        let Some(mut pass) = self.pass.take() else {
            return false;
        };
        let (log, targets) = (&self.log, &mut pass.targets);
        pass.claimed.retain(|number| {
            let shard = &log.shards()[*number as usize];
            let target = &mut targets[*number as usize];
            if shard.seal_idle(log.pool(), *number) != SealAttempt::Claimed {
                *target = shard.word().generation();
                return false;
            }
            // Claimed again, or still: but has the buffer of then been sealed?
            shard.word().generation() < *target
        });
        let written = |(track, target): (&Track, &u64)| track.next_generation >= *target;
        if !pass.claimed.is_empty() || !self.tracks.iter().zip(&pass.targets).all(written) {
            pass.look_again = (pass.look_again * 2).min(LOOK_MAX);
            self.pass = Some(pass);
            return false;
        }
        let ticket = pass.ticket;
        self.pass = Some(pass);
        let result = self.declare_drops().and_then(|()| match ticket {
            Some(_) => self.barrier(),
            None => Ok(()),
        });
        match result {
            Ok(()) => {
                self.pass = None;
                self.retry = None;
                if let Some(ticket) = ticket {
                    match &self.doubtful {
                        None => self.log.gate.complete(ticket),
                        // True for every flush from now on: not all that was accepted is durable.
                        Some((_, error)) => self.log.gate.fail(Some(ticket), error),
                    }
                }
            }
            Err(error) => self.failed(error),
        }
        true
    }

    /// Writes a note if there are drops that no block and no note has told of.
    fn declare_drops(&mut self) -> Result<(), Error> {
        let declared = self
            .tracks
            .iter()
            .fold(Dropped::default(), |sum, track| sum.zip(track.declared, u64::wrapping_add));
        let dropped = self.log.dropped();
        if dropped == declared.zip(self.noted, u64::max) {
            return Ok(());
        }
        let totals = self.totals(dropped, false);
        self.segment.write_totals(Kind::Note, totals)?;
        self.note_written(dropped);
        Ok(())
    }

    fn totals(&self, dropped: Dropped, session_over: bool) -> Totals {
        Totals {
            next_sequence: self.next_sequence,
            records: self.records,
            payload: self.payload,
            dropped,
            session_over,
            ..Totals::default()
        }
    }

    fn note_written(&mut self, dropped: Dropped) {
        self.noted = dropped;
        self.unsynced = true;
        self.log.progress.bytes.add(self.segment.align() as u64);
    }

    fn barrier(&mut self) -> Result<(), Error> {
        if self.unsynced && self.durability != Durability::Dsync {
            let durable = self.log.progress.durable.get();
            self.segment.barrier().inspect_err(|error| {
                self.doubtful = Some((self.records - durable, error.clone()));
            })?;
        }
        self.unsynced = false;
        let doubtful = self.doubtful.as_ref().map_or(0, |(records, _)| *records);
        self.log.progress.durable.set(self.records - doubtful);
        Ok(())
    }

    /// Ends the file once every shard is closed and all their buffers are written.
    fn try_to_end(&mut self) -> bool {
        let drained = self.stuck.is_none()
            && self.log.shards().iter().zip(&self.tracks).all(|(shard, track)| {
                let word = shard.word();
                !word.is_open() && track.next_generation == word.generation()
            });
        if !drained {
            return false;
        }
        let dropped = self.log.dropped();
        // 0, unless somebody wrote over the lengths in a buffer's memory.
        self.log.progress.lost.set(self.log.accepted().saturating_sub(self.records));
        let totals = self.totals(dropped, true);
        let result = self.segment.write_totals(Kind::End, totals).and_then(|()| {
            self.note_written(dropped);
            self.barrier()
        });
        match result {
            Ok(()) => self.end(),
            Err(error) => self.failed(error),
        }
        true
    }

    fn end(&mut self) {
        self.ending = Ending::Closed;
        self.log.gate.set_closed(self.doubtful.take().map(|(_, error)| error));
    }

    /// The last handle is gone: nobody can hold a borrow any more, so a claim that is still held is a
    /// thread's that will not return. What is published is copied out and written, each thing is tried
    /// once, and what the device does not take is counted as lost.
    fn abandon(&mut self) {
        self.retry = None;
        self.pass = None;
        let pool = self.log.pool().clone();
        let mut leak = false;
        let mut copies = Vec::new();
        for (number, shard) in self.log.shards().iter().enumerate() {
            let number = number as u32;
            if shard.seal_and_close(&pool, number) == SealAttempt::Claimed {
                leak = true;
                let word = shard.word();
                if let Some(copy) = word.buffer().and_then(|index| pool.copy_published(index)) {
                    copies.push((copy, number, word.generation()));
                }
            }
        }
        let mut alive = self.stuck.take().is_none_or(|stuck| self.write_prepared(stuck));
        while alive && let Some((index, shard, generation)) = self.next_sealed() {
            // Not the buffer of a held claim: that one is ACTIVE, and written as a copy.
            self.write_sealed(index, shard, generation);
            alive = self.stuck.is_none();
        }
        for (copy, shard, generation) in copies {
            let in_order = self.tracks[shard as usize].next_generation == generation;
            if alive && in_order {
                self.write_buffer(copy, shard, generation);
                alive = self.stuck.is_none();
            }
        }
        if leak {
            // The stopped thread may yet store into these.
            std::mem::forget((self.log.clone(), pool));
        }
        let lost = self.log.accepted().saturating_sub(self.log.progress.written.get());
        self.log.progress.lost.set(lost);
        if alive {
            let totals = self.totals(self.log.dropped(), lost == 0);
            let ended = self.segment.write_totals(Kind::End, totals);
            alive = ended.is_ok() && self.barrier().is_ok();
        }
        if lost > 0 || !alive {
            let what = format!("the logger was dropped; {lost} records could not be written");
            self.tell(&Error::new(ErrorKind::Io, what).at_path(self.segment.path()));
        }
        self.end();
    }

    fn next_sealed(&self) -> Option<(BufferIndex, u32, u64)> {
        use super::word::BufferState;
        let pool = self.log.pool();
        (0..pool.len() as u32).find_map(|index| match pool.state(index) {
            BufferState::Sealed { shard, generation }
                if pool.owner(index) == self.index()
                    && self.tracks[shard as usize].next_generation == generation =>
            {
                Some((index, shard, generation))
            }
            _ => None,
        })
    }

    /// Begins the interval, if this log has an active buffer and it has not begun.
    pub(crate) fn arm(&mut self, now: Instant) {
        if self.deadline.is_none() {
            // The config bounds the interval, so this does not overflow.
            self.deadline = Some(now.checked_add(self.flush_interval).unwrap_or(now));
        }
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.deadline.is_some()
    }

    /// Until when the flusher may sleep, as far as this log is concerned.
    pub(crate) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let look = self.pass.as_ref().filter(|pass| !pass.claimed.is_empty());
        let look = look.map(|pass| now + pass.look_again);
        // One that is over has been used, or there was nothing to repeat.
        let retry = self.retry.as_ref().map(|retry| retry.at).filter(|at| *at > now);
        [look, retry, self.deadline].into_iter().flatten().min()
    }

    /// Whether there is a request that `advance` has not seen.
    pub(crate) fn has_news(&self) -> bool {
        let unseen = self.pass.is_none() && self.log.gate.open_request().is_some();
        unseen || self.log.gate.ending() != self.ending
    }

    /// Whether the file is ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.ending == Ending::Closed
    }
}
