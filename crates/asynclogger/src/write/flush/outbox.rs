//! The outbox: parts on their way to the medium, in the order of the file, from the moment they have a place in the
//! file until they are as safe as the durability level asks for.

mod gauge;
mod parts;
mod reaction;
mod resuming;
mod safety;
mod trouble;

use std::time::Instant;

pub(in crate::write) use self::resuming::Resumed;
use self::{
    gauge::Gauge,
    parts::{OnItsWay, Parts},
    reaction::{Failed, Reaction, Situation},
    safety::Safety,
    trouble::Trouble,
};
use crate::{
    Durability, Error,
    format::{BlockInfo, ChunkEntry, Kind, Totals},
    io::{Cause, Completion, Operation},
    mem::AlignedBytes,
    sync::Arc,
    write::{
        archive::ArchivedSegment,
        common::{BlockMemory, Degraded, Progress, fault},
        crash::Journal,
        segments::{Active, Changed},
    },
};

/// Tags of the operations that do not write a part.
const BARRIER: u64 = u64::MAX;
const RESERVE: u64 = u64::MAX - 1;

/// An event that the owner of an outbox has to learn and to pass on.
pub(super) enum Happened {
    Failed(Error),
    /// The log continues in another segment.
    SegmentBegun,
    SegmentOver(ArchivedSegment),
}

/// The things that an outbox works with in one round.
pub(super) struct Round<'a> {
    pub(super) active: &'a mut Active,
    pub(super) progress: &'a Progress,
    pub(super) happened: &'a mut Vec<Happened>,
    pub(super) now: Instant,
}

impl Round<'_> {
    /// Keeps an error for the owner, and returns its cause.
    fn failed(&mut self, error: Error) -> Cause {
        let cause = cause_of(&error);
        self.happened.push(Happened::Failed(error));
        cause
    }
}

pub(super) fn cause_of(error: &Error) -> Cause {
    error.io_error().map_or(Cause::Other, Cause::of)
}

/// The state of the file space that is reserved ahead of the writes.
#[derive(Default)]
struct SpaceOrder {
    is_in_flight: bool,
    /// The reservation failed. It can have taken a part of the space, which is given back once nothing is in flight.
    is_to_undo: bool,
}

/// The parts of a log (blocks, notes, ends) on their way to the medium.
///
/// An error of the disk must not lose a record. A plain sequence of write and sync does not ensure that: the kernel
/// reports a failed sync once and forgets the error, so a second sync that succeeds proves nothing about the pages of
/// the first. So a part keeps its memory until it is as safe as the durability level asks for, and after a failure
/// parts are written again: the same bytes to the same place, or all parts that are still here to another file. After
/// a failed barrier all of them are written again. Several writes are in flight at a time and complete in any order,
/// but parts leave the outbox in the order of the file: so the durable part of a log is always a beginning of the log.
pub(super) struct Outbox {
    parts: Parts,
    safety: Safety,
    trouble: Trouble,
    space: SpaceOrder,
    gauge: Gauge,
    table: Vec<ChunkEntry>,
}

impl Outbox {
    pub(super) fn new(
        durability: Durability,
        shards: usize,
        chunks: usize,
        journal: Journal,
    ) -> Outbox {
        Outbox {
            parts: Parts::new(shards, journal),
            safety: Safety::new(durability),
            trouble: Trouble::default(),
            space: SpaceOrder::default(),
            gauge: Gauge::default(),
            table: Vec::with_capacity(chunks),
        }
    }

    /// Notes the file of the first parts.
    pub(super) fn begin(&mut self, active: &Active) {
        self.parts.note_segment(active.segment());
    }

    /// The number that the next part will have.
    pub(super) fn next(&self) -> u64 {
        self.parts.next()
    }

    /// All parts before this one are durable, or in doubt.
    pub(super) fn durable(&self) -> u64 {
        self.safety.durable()
    }

    /// All parts before this one are written.
    pub(super) fn written(&self) -> u64 {
        self.parts.written()
    }

    /// The offset in the active file at which the written parts end.
    pub(super) fn written_end(&self) -> u64 {
        self.parts.written_end()
    }

    /// The sequence that the next block will have.
    pub(super) fn next_sequence(&self) -> u64 {
        self.parts.next_sequence()
    }

    /// The error because of which some accepted records are not known to be durable, if any.
    pub(super) fn doubt(&self) -> Option<&Error> {
        self.safety.doubt()
    }

    /// Whether a part that is put in now can be written at once.
    pub(super) fn has_room(&self) -> bool {
        !self.trouble.is_there() && self.parts.has_room()
    }

    /// Whether parts fill the journal of a crash-safe log.
    pub(super) fn lacks_slots(&self) -> bool {
        self.parts.lacks_slots()
    }

    /// Whether an operation failed and was not repeated with success yet.
    pub(super) fn is_troubled(&self) -> bool {
        self.trouble.is_there()
    }

    /// Whether nothing is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.parts.is_quiet() && self.safety.waits_since().is_none() && !self.space.is_in_flight
    }

    /// Whether no part is here, nothing is in flight, and no trouble is left.
    pub(super) fn is_at_rest(&self) -> bool {
        self.is_drained() && !self.space.is_to_undo && !self.trouble.is_there()
    }

    /// Whether all parts that were put in are as safe as the durability level asks for, and durable.
    pub(super) fn is_drained(&self) -> bool {
        self.parts.is_empty() && self.is_quiet() && self.safety.durable() >= self.next()
    }

    /// Completes a block in its memory, for its place in the file. The call can be repeated.
    pub(super) fn encode(
        &mut self,
        active: &Active,
        memory: &mut dyn BlockMemory,
        info: &mut BlockInfo,
        time: i64,
    ) {
        active.segment().layout().encode_block(memory, info, time, &mut self.table);
    }

    /// Takes over a block that was just encoded.
    pub(super) fn push_block(
        &mut self,
        active: &mut Active,
        memory: Arc<dyn BlockMemory>,
        info: BlockInfo,
        time: i64,
        taken: Instant,
    ) {
        let layout = active.segment_mut().layout_mut();
        let spot = layout.spot();
        layout.place_block(&info, time);
        self.parts.push(OnItsWay::block(memory, info, time, taken, spot));
    }

    /// Puts in a note or an end.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(super) fn push_totals(
        &mut self,
        active: &mut Active,
        kind: Kind,
        totals: Totals,
    ) -> Result<(), Error> {
        let layout = active.segment_mut().layout_mut();
        let mut bytes = AlignedBytes::new(layout.align(), layout.align())?;
        layout.encode_totals(kind, totals, &mut bytes);
        let spot = layout.spot();
        layout.place_totals();
        self.parts.push(OnItsWay::totals(bytes, kind, totals, spot));
        Ok(())
    }

    /// Asks for all parts before this one to become durable, by a barrier if they need one.
    pub(super) fn want_durable(&mut self, before: u64) {
        self.safety.want(before);
    }

    /// Whether parts only wait for a barrier, and no barrier is in flight or wanted.
    pub(super) fn awaits_barrier(&self) -> bool {
        self.safety.awaits_barrier(self.written())
    }

    /// Makes the next attempt now, whatever the backoff says.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.trouble.hurry(now);
    }

    /// Leaves this segment as it is, and moves all parts that are still here to the next one.
    pub(super) fn abandon_segment(&mut self, now: Instant) {
        self.trouble.abandon_file(now);
    }

    /// The time of the next attempt, which needs no completion to begin.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.trouble.next_try().filter(|_| self.is_quiet())
    }

    /// Takes over completed operations, and begins all operations that are due. Returns whether anything was done.
    pub(super) fn advance(&mut self, round: &mut Round<'_>) -> bool {
        let mut busy = self.take_completions(round);
        if self.space.is_to_undo && self.is_quiet() {
            self.space.is_to_undo = false;
            round.active.segment_mut().trim();
        }
        busy |= self.settle(round);
        busy |= self.take_turn(round);
        busy |= self.try_again(round);
        busy |= self.submit_due(round);
        busy |= self.submit_barrier(round);
        let oldest = self.parts.oldest().into_iter().chain(self.safety.waits_since()).min();
        self.gauge.show(
            oldest,
            self.trouble.is_there(),
            round.active.segment().file(),
            round.progress,
        );
        busy
    }

    fn take_completions(&mut self, round: &mut Round<'_>) -> bool {
        let mut busy = false;
        while let Some(Completion { tag, result }) = round.active.segment_mut().file_mut().reap() {
            busy = true;
            match tag {
                BARRIER => self.barrier_over(result, round),
                RESERVE => {
                    self.space.is_in_flight = false;
                    // A failed reservation is no error: if the disk is really full, the writes will fail.
                    if result.is_err() {
                        round.active.segment_mut().stop_reserving();
                        self.space.is_to_undo = true;
                    }
                }
                number => self.write_over(number, result, round),
            }
        }
        busy
    }

    fn write_over(&mut self, number: u64, result: std::io::Result<()>, round: &mut Round<'_>) {
        let Some(part) = self.parts.land(number, result.is_ok()) else {
            return;
        };
        let (offset, submitted) = (part.offset(), part.submitted());
        self.parts.kill_point("a write has landed");
        match result {
            Ok(()) => {
                if let Some(submitted) = submitted {
                    round.progress.add_write(round.now.saturating_duration_since(submitted));
                }
                self.trouble.tried_well();
            }
            Err(error) => {
                let error = Error::io("cannot write", error);
                let path = round.active.segment().path();
                let cause = round.failed(error.at_path(path).at_offset(offset));
                self.failed(Failed::Write, cause, round);
            }
        }
    }

    fn barrier_over(&mut self, result: std::io::Result<()>, round: &mut Round<'_>) {
        let Some((before, records)) = self.safety.end_barrier() else {
            return;
        };
        match result {
            Ok(()) => {
                self.trouble.synced();
                round.active.segment_mut().prove();
                self.safety.reached(before, &records, round.progress);
                while self.parts.first() < before {
                    self.leave(round.progress);
                }
            }
            Err(error) => {
                let path = round.active.segment().path();
                let error = Error::io("cannot sync", error).at_path(path);
                // The parts that are still here are written again. Parts that have left can be lost, so they are in
                // doubt.
                self.parts.take_back();
                self.safety.begin_to_doubt(&self.parts, round.progress, error.clone());
                let cause = round.failed(error);
                self.failed(Failed::Barrier, cause, round);
            }
        }
    }

    /// Keeps the failure. The reaction to it waits until nothing is in flight any more.
    #[cold]
    fn failed(&mut self, failed: Failed, cause: Cause, round: &Round<'_>) {
        // Without parts to move another segment does not help, unless this segment cannot take the next parts.
        let movable = !self.parts.is_empty() || failed == Failed::Open;
        let proven = movable && round.active.segment().is_proven();
        let elsewhere = movable && round.active.has_elsewhere();
        self.trouble.failed(failed, round.now, |failures| Situation {
            failed,
            cause,
            failures,
            proven,
            elsewhere,
        });
    }

    /// Makes the next attempt, once it is time and nothing is in flight.
    fn try_again(&mut self, round: &mut Round<'_>) -> bool {
        if !self.is_quiet() {
            return false;
        }
        let Some(reaction) = self.trouble.begin_attempt(round.now, !self.parts.is_empty()) else {
            return false;
        };
        match reaction {
            Reaction::Again => {}
            Reaction::Buffered => {
                if round.active.segment_mut().file_mut().leave_direct().is_ok() {
                    round.progress.degrade(Degraded::Buffered);
                }
            }
            Reaction::NextSegment | Reaction::Elsewhere => {
                let elsewhere = reaction == Reaction::Elsewhere;
                if let Err(error) = self.relocate(elsewhere, round) {
                    let cause = round.failed(error);
                    self.failed(Failed::Open, cause, round);
                    self.trouble.could_not_move(reaction, round.now);
                    return true;
                }
                self.trouble.moved();
                if elsewhere {
                    round.progress.degrade(Degraded::Away);
                }
            }
        }
        if self.parts.all_written() {
            // Only the barrier failed, and no part that it was to cover is here any more.
            self.trouble.tried_well();
        }
        true
    }

    /// Submits the writes that are due, in the order of the file; during trouble only one at a time, as a test.
    fn submit_due(&mut self, round: &mut Round<'_>) -> bool {
        let mut busy = false;
        while let Some(number) = self.parts.next_due().filter(|_| !self.space.is_to_undo) {
            if self.trouble.holds() || (self.trouble.is_there() && !self.is_quiet()) {
                break;
            }
            fault::step("submit");
            let now = Instant::now();
            let Some(operation) = self.parts.launch(number, now) else {
                break;
            };
            self.gauge.begin_wait(now, round.progress);
            self.parts.kill_point("before a write");
            round.active.segment_mut().file_mut().submit(number, operation);
            self.parts.kill_point("a write in flight");
            busy = true;
        }
        if busy
            && !self.space.is_in_flight
            && !self.trouble.is_there()
            && let Some(operation) = round.active.segment_mut().due_reservation()
        {
            self.space.is_in_flight = true;
            round.active.segment_mut().file_mut().submit(RESERVE, operation);
        }
        busy
    }

    /// Submits a barrier if one is wanted and all parts that it is to cover are written.
    fn submit_barrier(&mut self, round: &mut Round<'_>) -> bool {
        if !self.safety.is_barrier_due(self.written()) || self.trouble.holds() {
            return false;
        }
        fault::step("barrier");
        let submitted = Instant::now();
        self.safety.begin_barrier(&self.parts, submitted);
        self.parts.kill_point("before a barrier");
        self.gauge.begin_wait(submitted, round.progress);
        round.active.segment_mut().file_mut().submit(BARRIER, Operation::Barrier);
        true
    }

    /// Counts the parts that are written in order, and lets those leave that need no barrier.
    fn settle(&mut self, round: &mut Round<'_>) -> bool {
        let progress = round.progress;
        let mut busy = false;
        while let Some((part, is_new)) = self.parts.pass_written() {
            busy = true;
            if is_new {
                progress.bytes.add(part.len());
                if let Some(info) = part.info() {
                    progress.payload.add(info.payload());
                    progress.written.add(u64::from(info.records));
                }
            }
        }
        if self.safety.keeps_parts() {
            return busy;
        }
        self.safety.follow_writes(&self.parts, progress);
        while self.parts.first() < self.written() {
            fault::step("leave");
            round.active.segment_mut().prove();
            self.leave(progress);
        }
        busy
    }

    /// Lets the first part leave, which is as safe as the durability level asks for, and frees its buffer.
    fn leave(&mut self, progress: &Progress) {
        if let Some(taken) = self.parts.leave().and_then(OnItsWay::free) {
            progress.add_flush(taken.elapsed());
        }
    }

    /// Continues in the next segment, once the end of this one is durable.
    fn take_turn(&mut self, round: &mut Round<'_>) -> bool {
        if !self.is_drained() || !round.active.is_turning() {
            return false;
        }
        let Some(changed) = round.active.take_turn() else {
            return false;
        };
        self.parts.kill_point("a file is over");
        self.parts.note_segment(round.active.segment());
        self.changed(changed, round);
        true
    }

    /// Notes that the log continues in another segment, and hands over the old one.
    fn changed(&mut self, changed: Changed, round: &mut Round<'_>) {
        let Changed { mut old, over, home, remark } = changed;
        old.trim();
        self.parts.begin_file();
        round.happened.push(Happened::SegmentBegun);
        round.happened.extend(remark.map(Happened::Failed));
        round.happened.extend(over.map(Happened::SegmentOver));
        if home {
            round.progress.restore(Degraded::Away);
        }
        // No later barrier covers the parts that have left into the old file.
        if self.safety.durable() < self.parts.first()
            && let Err(error) = old.sync_now()
        {
            round.failed(error.clone());
            self.safety.begin_to_doubt(&self.parts, round.progress, error);
        }
    }

    /// Moves all parts that are here to a new segment: same records, same numbers, other places.
    fn relocate(&mut self, elsewhere: bool, round: &mut Round<'_>) -> Result<(), Error> {
        if round.active.is_turning() {
            // The end of this segment has lost its use.
            self.parts.withdraw_end();
        }
        let first_sequence = self.parts.first_sequence();
        let changed = round.active.leave(first_sequence, elsewhere, round.now)?;
        self.parts.kill_point("a file for all parts");
        self.parts.move_to(round.active.segment_mut(), &mut self.table);
        self.changed(changed, round);
        Ok(())
    }
}
