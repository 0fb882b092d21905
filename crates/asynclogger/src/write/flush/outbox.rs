//! What is on its way to the medium: parts in the order of the file, from the moment they have a place in
//! it until they are as safe as the durability level asks for.
//!
//! Several writes are in flight, and complete in any order; parts leave in theirs. A part that failed is
//! written again, same place, same bytes, or all that are here move to another segment. After a failed
//! barrier that is all of them: the kernel forgets an error once it has told it.

mod barrier;
mod moving;
mod parts;
mod reaction;
mod trouble;

pub(in crate::write) use self::reaction::backoff;

use std::time::{Duration, Instant};

use self::{
    parts::{Part, Parts},
    reaction::{Failed, Reaction, Situation},
    trouble::Trouble,
};
use crate::{
    Durability, EngineKind, Error, IoMode,
    format::{BlockInfo, ChunkEntry, Kind, Totals},
    io::{Cause, Completion},
    mem::AlignedBytes,
    sync::Arc,
    write::{
        common::{BlockMemory, Degraded, Progress, fault},
        segments::{Active, NextSegment, Over, Segment},
    },
};

/// How often the way back from the other directory is tried.
const HOME_EVERY: Duration = Duration::from_secs(5);

/// Tags of operations that are no part's write.
const BARRIER: u64 = u64::MAX;
const RESERVE: u64 = u64::MAX - 1;

/// A barrier in flight, and what it covers.
struct Barrier {
    /// All parts before this one.
    before: u64,
    /// Records in them, by shard.
    records: Vec<u64>,
    submitted: Instant,
}

/// Records that left before a barrier that failed, and whose buffers are in use again
/// ([`Durability::None`]): no later barrier can vouch for them.
struct Doubt {
    records: u64,
    error: Error,
}

/// Who is told of what happens.
pub(super) struct Told<'a> {
    pub(super) progress: &'a Progress,
    pub(super) errors: &'a mut Vec<Error>,
    /// Segments that are over.
    pub(super) over: &'a mut Vec<Over>,
}

impl Told<'_> {
    /// Keeps an error for whoever asked; what it means.
    fn error(&mut self, error: Error) -> Cause {
        let cause = cause_of(&error);
        self.errors.push(error);
        cause
    }
}

pub(super) fn cause_of(error: &Error) -> Cause {
    error.io_error().map_or(Cause::Other, Cause::of)
}

pub(super) struct Outbox {
    active: Active,
    durability: Durability,
    parts: Parts,
    /// Sequence that the next block will have.
    next_sequence: u64,
    /// Where in the file the parts end that are written.
    written_end: u64,
    /// All parts before this one are durable, unless they are in doubt.
    durable: u64,
    /// Up to which part a barrier is wanted.
    wanted: u64,
    barrier: Option<Barrier>,
    /// Space is being taken ahead.
    reserving: bool,
    /// That failed. It may have taken a part, which is to be given back once nothing is in flight.
    trims: bool,
    trouble: Trouble,
    doubt: Option<Doubt>,
    /// When the way back to the log's own directory is tried, if it is in the other.
    home_at: Option<Instant>,
    table: Vec<ChunkEntry>,
    told: Option<Manner>,
}

impl Outbox {
    pub(super) fn new(
        segment: Segment,
        files: Box<dyn NextSegment>,
        durability: Durability,
        shards: usize,
        chunks: usize,
    ) -> Outbox {
        Outbox {
            active: Active::new(segment, files),
            durability,
            parts: Parts::new(shards),
            next_sequence: 0,
            written_end: 0,
            durable: 0,
            wanted: 0,
            barrier: None,
            reserving: false,
            trims: false,
            trouble: Trouble::default(),
            doubt: None,
            home_at: None,
            table: Vec::with_capacity(chunks),
            told: None,
        }
    }

    pub(super) fn segment(&self) -> &Segment {
        self.active.segment()
    }

    /// Number that the next part will have.
    pub(super) fn next(&self) -> u64 {
        self.parts.next()
    }

    /// All parts before this one are durable, or in doubt.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// All parts before this one are written.
    pub(super) fn written(&self) -> u64 {
        self.parts.written()
    }

    /// Why not all that was accepted is durable, if so.
    pub(super) fn doubt(&self) -> Option<&Error> {
        self.doubt.as_ref().map(|doubt| &doubt.error)
    }

    /// Whether a part that is put in now can be written at once.
    pub(super) fn has_room(&self) -> bool {
        !self.trouble.is_there() && !self.active.is_turning() && self.parts.has_room()
    }

    /// Whether something failed and was not made good yet.
    pub(super) fn is_troubled(&self) -> bool {
        self.trouble.is_there() || self.active.turn_at().is_some()
    }

    /// Whether nothing is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.parts.is_quiet() && self.barrier.is_none() && !self.reserving
    }

    /// Completes a block in its memory, for its place in the file. It can be done again.
    pub(super) fn encode(&mut self, memory: &mut dyn BlockMemory, info: &mut BlockInfo, time: i64) {
        self.active.segment().encode_block(memory, info, time, &mut self.table);
    }

    /// Takes over a block that was just encoded.
    pub(super) fn push_block(
        &mut self,
        memory: Arc<dyn BlockMemory>,
        info: BlockInfo,
        time: i64,
        taken: Instant,
    ) {
        let segment = self.active.segment_mut();
        let offset = segment.offset();
        segment.place_block(&info, time);
        self.next_sequence = info.sequence + 1;
        self.parts.push(Part::block(memory, info, time, taken, offset));
    }

    /// Puts in a note or an end.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub(super) fn push_totals(&mut self, kind: Kind, totals: Totals) -> Result<(), Error> {
        let segment = self.active.segment_mut();
        let mut bytes = AlignedBytes::new(segment.align(), segment.align())?;
        segment.encode_totals(kind, totals, &mut bytes);
        let offset = segment.offset();
        segment.place_totals();
        self.parts.push(Part::totals(bytes, kind, totals, offset));
        Ok(())
    }

    /// Makes the next attempt now, whatever the backoff says.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.trouble.hurry(now);
        self.active.hurry();
    }

    /// When something is to be done though nothing completes.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        if self.trouble.is_there() {
            return self.trouble.next_try().filter(|_| self.is_quiet());
        }
        self.active.turn_at().into_iter().chain(self.home_at).min()
    }

    /// Gives back what was taken ahead, space and the next file: nothing more comes.
    pub(super) fn tidy_up(&mut self) {
        self.active.discard_prepared();
        self.active.segment_mut().trim();
    }

    /// Takes over what has completed, and begins what can be begun; whether anything was done.
    pub(super) fn advance(&mut self, now: Instant, mut told: Told<'_>) -> bool {
        let told = &mut told;
        let mut busy = false;
        while let Some(Completion { tag, result }) = self.active.segment_mut().reap() {
            busy = true;
            match tag {
                BARRIER => self.barrier_over(result, now, told),
                RESERVE => {
                    self.reserving = false;
                    // Space that is not there ahead is not there yet: the writes will tell.
                    if result.is_err() {
                        self.active.segment_mut().stop_reserving();
                        self.trims = true;
                    }
                }
                number => self.write_over(number, result, now, told),
            }
        }
        if self.trims && self.is_quiet() {
            self.trims = false;
            self.active.segment_mut().trim();
        }
        busy |= self.settle(told.progress);
        busy |= self.take_turn(now, told);
        busy |= self.try_again(now, told);
        busy |= self.submit_due(told.progress);
        busy |= self.submit_barrier(told.progress);
        self.tell(told.progress);
        busy
    }

    fn write_over(
        &mut self,
        number: u64,
        result: std::io::Result<()>,
        now: Instant,
        told: &mut Told<'_>,
    ) {
        let Some(part) = self.parts.land(number, result.is_ok()) else {
            return;
        };
        let offset = part.offset();
        match result {
            Ok(()) => {
                if let Some(submitted) = part.submitted() {
                    told.progress.add_write(now.saturating_duration_since(submitted));
                }
                self.trouble.tried_well();
            }
            Err(error) => {
                let error = Error::io("cannot write", error);
                let cause = told.error(error.at_path(self.segment().path()).at_offset(offset));
                self.failed(Failed::Write, cause, now);
            }
        }
    }

    /// Keeps what failed; what is done about it is done when nothing is in flight any more.
    #[cold]
    fn failed(&mut self, failed: Failed, cause: Cause, now: Instant) {
        // With nothing to move, another segment is no help.
        let movable = !self.parts.is_empty();
        let proven = movable && self.segment().is_proven();
        let elsewhere = movable && self.active.has_elsewhere();
        self.trouble.failed(failed, now, |failures| Situation {
            failed,
            cause,
            failures,
            proven,
            elsewhere,
        });
    }

    /// Makes the next attempt, once it is time and nothing is in flight.
    fn try_again(&mut self, now: Instant, told: &mut Told<'_>) -> bool {
        if !self.is_quiet() {
            return false;
        }
        let Some(reaction) = self.trouble.begin_attempt(now) else {
            return false;
        };
        match reaction {
            Reaction::Again => {}
            Reaction::Buffered => {
                if self.active.segment_mut().leave_direct() {
                    told.progress.degrade(Degraded::Buffered);
                }
            }
            Reaction::NextSegment | Reaction::Elsewhere => {
                let elsewhere = reaction == Reaction::Elsewhere;
                if let Err(error) = self.relocate(elsewhere, told) {
                    let cause = told.error(error);
                    self.failed(Failed::Open, cause, now);
                    self.trouble.could_not_move(reaction, now);
                    return true;
                }
                if elsewhere {
                    self.home_at = now.checked_add(HOME_EVERY);
                    told.progress.degrade(Degraded::Away);
                }
            }
        }
        if self.parts.all_written() {
            // It was the barrier alone, and of what it did not cover nothing is here any more.
            self.trouble.tried_well();
        }
        true
    }

    /// Submits what is due, in the order of the file; while there is trouble, one to try.
    fn submit_due(&mut self, progress: &Progress) -> bool {
        let mut busy = false;
        while let Some(number) = self.parts.next_due().filter(|_| !self.trims) {
            if self.trouble.holds() || (self.trouble.is_there() && !self.is_quiet()) {
                break;
            }
            fault::step("submit");
            let now = Instant::now();
            let Some(operation) = self.parts.launch(number, now) else {
                break;
            };
            // An engine that waits for the device is in there meanwhile.
            self.begin_wait(progress, now);
            self.active.segment_mut().submit(number, operation);
            busy = true;
        }
        if busy
            && !self.reserving
            && !self.trouble.is_there()
            && let Some(operation) = self.active.segment_mut().due_reservation()
        {
            self.reserving = true;
            self.active.segment_mut().submit(RESERVE, operation);
        }
        busy
    }

    fn begin_wait(&mut self, progress: &Progress, now: Instant) {
        if self.told.is_none_or(|told| told.oldest.is_none()) {
            progress.set_wait(Some(now));
            self.told = None;
        }
    }

    /// Counts what is written in order, and lets go what needs no barrier.
    fn settle(&mut self, progress: &Progress) -> bool {
        let mut busy = false;
        while let Some((part, is_new)) = self.parts.pass_written() {
            busy = true;
            self.written_end = part.offset() + part.len();
            if is_new {
                progress.bytes.add(part.len());
                if let Some(info) = part.info() {
                    progress.payload.add(info.payload());
                    progress.written.add(u64::from(info.records));
                }
            }
        }
        if self.durability == Durability::OnFlush {
            return busy;
        }
        if self.durability == Durability::Dsync && self.durable < self.written() {
            self.durable = self.written();
            self.tell_durable(progress, self.parts.records());
        }
        while self.parts.first() < self.written() {
            fault::step("leave");
            self.active.segment_mut().prove();
            self.leave(progress);
        }
        busy
    }

    /// The first part is as safe as it has to be: its buffer is free.
    fn leave(&mut self, progress: &Progress) {
        if let Some(taken) = self.parts.leave().and_then(Part::free) {
            progress.add_flush(taken.elapsed());
        }
    }

    /// Tells how it goes, for whoever asks, when that has changed.
    fn tell(&mut self, progress: &Progress) {
        let barrier = self.barrier.as_ref().map(|barrier| barrier.submitted);
        let now = Manner {
            oldest: self.parts.oldest().into_iter().chain(barrier).min(),
            is_troubled: self.is_troubled(),
            mode: self.segment().mode(),
            engine: self.segment().engine(),
        };
        if self.told != Some(now) {
            self.told = Some(now);
            progress.set_wait(now.oldest);
            progress.set_trouble(now.is_troubled);
            progress.set_io(now.mode, now.engine);
        }
    }
}

/// How it goes.
#[derive(Clone, Copy, PartialEq)]
struct Manner {
    /// Since when the oldest operation is in flight.
    oldest: Option<Instant>,
    is_troubled: bool,
    mode: IoMode,
    engine: EngineKind,
}
