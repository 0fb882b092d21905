//! What is on its way to the medium: parts in the order of the file, from the moment they have a place in
//! it until they are as safe as the durability level asks for.
//!
//! Several writes are in flight, and complete in any order; parts leave in theirs. A part that failed is
//! written again, same place, same bytes, or all that are here move to another segment. After a failed
//! barrier that is all of them: the kernel forgets an error once it has told it.

use std::time::{Duration, Instant};

use super::{
    active::{Active, Changed, Over, Standing},
    buffer::SealedBuffer,
    fault,
    files::NextSegment,
    parts::{Part, Parts},
    progress::{Degraded, Progress},
    reaction::{Failed, Reaction, Situation},
    segment::Segment,
    trouble::Trouble,
};
use crate::{
    Durability, Error,
    format::{BlockInfo, ChunkEntry, Kind, Totals},
    io::{Cause, Completion, Operation},
    mem::AlignedBytes,
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

    /// Completes a block in its buffer, for its place in the file. It can be done again.
    pub(super) fn encode(&mut self, buffer: &mut SealedBuffer, info: &mut BlockInfo, time: i64) {
        self.active.segment().encode_block(buffer, info, time, &mut self.table);
    }

    /// Takes over a block that was just encoded.
    pub(super) fn push_block(
        &mut self,
        buffer: SealedBuffer,
        info: BlockInfo,
        time: i64,
        taken: Instant,
    ) {
        let segment = self.active.segment_mut();
        let offset = segment.offset();
        segment.place_block(&info, time);
        self.next_sequence = info.sequence + 1;
        self.parts.push(Part::block(buffer, info, time, taken, offset));
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

    /// Wants all parts before this one to be durable, by a barrier if that is what it takes.
    pub(super) fn want_durable(&mut self, before: u64) {
        if self.durability == Durability::Dsync {
            return;
        }
        self.wanted = self.wanted.max(before);
    }

    /// Parts that wait for nothing but a barrier, with none on its way.
    pub(super) fn awaits_barrier(&self) -> bool {
        self.written() > self.durable && self.wanted <= self.durable && self.barrier.is_none()
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

    /// Whether the way back to the log's own directory is to be tried now.
    pub(super) fn may_go_home(&self, now: Instant) -> bool {
        self.home_at.is_some_and(|at| now >= at)
            && !self.trouble.is_there()
            && !self.active.is_turning()
    }

    /// Opens a segment in the log's own directory again. If that succeeds, put this one's end in: the
    /// log goes on there once that is durable.
    pub(super) fn go_home(&mut self, now: Instant) -> bool {
        self.home_at = now.checked_add(HOME_EVERY);
        let begun = self.active.begin_turn_home(self.next_sequence).is_ok();
        if begun {
            self.home_at = None;
        }
        begun
    }

    /// Whether the next file is ready.
    pub(super) fn is_prepared(&self) -> bool {
        self.active.is_prepared()
    }

    /// Makes the next file ready.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn prepare(&mut self) -> Result<(), Error> {
        self.active.prepare()
    }

    /// The end of this segment was put in: the log goes on in the next one once that is durable.
    pub(super) fn begin_turn(&mut self) {
        self.active.begin_turn();
    }

    /// Whether a change of segments is going on.
    pub(super) fn is_turning(&self) -> bool {
        self.active.is_turning()
    }

    /// What has become of the active file.
    pub(super) fn standing(&self) -> Standing {
        self.active.standing(self.written_end)
    }

    /// Leaves this segment as it is, with all that is not as safe as it has to be.
    pub(super) fn abandon_segment(&mut self, now: Instant) {
        self.trouble.force(Reaction::NextSegment, now);
    }

    /// Goes on in the next segment, once all of this one is durable.
    fn take_turn(&mut self, now: Instant, told: &mut Told<'_>) -> bool {
        let over = self.parts.is_empty() && self.is_quiet() && self.durable == self.next();
        if !over || !self.active.is_turning() {
            return false;
        }
        match self.active.take_turn(self.next_sequence, now) {
            Ok(None) => false,
            Ok(Some(changed)) => {
                self.changed(changed, told);
                true
            }
            Err(error) => {
                told.error(error);
                true
            }
        }
    }

    /// The log goes on in another segment.
    fn changed(&mut self, changed: Changed, told: &mut Told<'_>) {
        let Changed { mut old, over, home } = changed;
        old.trim();
        self.written_end = 0;
        told.over.extend(over);
        if home {
            told.progress.restore(Degraded::Away);
        }
        // No later barrier covers what has left into the old file.
        if self.durable < self.parts.first()
            && let Err(error) = old.sync_now()
        {
            told.error(error.clone());
            self.begin_to_doubt(told.progress, error);
        }
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

    /// Moves all that is here to a new segment: same records, same numbers, other places.
    fn relocate(&mut self, elsewhere: bool, told: &mut Told<'_>) -> Result<(), Error> {
        let first_sequence = self.parts.first_sequence().unwrap_or(self.next_sequence);
        if self.active.is_turning() {
            // The end of this segment is of no use any more.
            self.parts.withdraw_end();
        }
        let changed = self.active.leave(first_sequence, elsewhere)?;
        self.parts.move_to(self.active.segment_mut(), &mut self.table);
        self.changed(changed, told);
        Ok(())
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
            progress.begin_wait(now);
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

    /// Submits a barrier if one is wanted and all that it is to cover is written.
    fn submit_barrier(&mut self, progress: &Progress) -> bool {
        if self.wanted <= self.durable
            || self.written() < self.wanted
            || self.barrier.is_some()
            || self.trouble.holds()
        {
            return false;
        }
        fault::step("barrier");
        let (before, records) = (self.written(), self.parts.records().to_vec());
        let submitted = Instant::now();
        self.barrier = Some(Barrier { before, records, submitted });
        progress.begin_wait(submitted);
        self.active.segment_mut().submit(BARRIER, Operation::Barrier);
        true
    }

    fn barrier_over(&mut self, result: std::io::Result<()>, now: Instant, told: &mut Told<'_>) {
        let Some(Barrier { before, records, .. }) = self.barrier.take() else {
            return;
        };
        let progress = told.progress;
        match result {
            Ok(()) => {
                self.trouble.synced();
                self.active.segment_mut().prove();
                self.durable = self.durable.max(before);
                self.tell_durable(progress, &records);
                while self.parts.first() < before {
                    self.leave(progress);
                }
            }
            Err(error) => {
                let error = Error::io("cannot sync", error).at_path(self.segment().path());
                // What is still here is written again; of what is not, nobody can vouch.
                self.parts.take_back();
                self.begin_to_doubt(progress, error.clone());
                let cause = told.error(error);
                self.failed(Failed::Barrier, cause, now);
            }
        }
    }

    fn tell_durable(&self, progress: &Progress, records: &[u64]) {
        let doubtful = self.doubt.as_ref().map_or(0, |doubt| doubt.records);
        if doubtful == 0 {
            progress.set_durable(records);
        }
        progress.durable.set(records.iter().sum::<u64>() - doubtful);
    }

    /// Nobody can vouch for what has left and is not durable.
    fn begin_to_doubt(&mut self, progress: &Progress, error: Error) {
        let left: u64 = self.parts.records().iter().sum();
        let records = left - progress.durable.get();
        if records > 0 {
            self.doubt = Some(Doubt { records, error });
            progress.degrade(Degraded::Doubt);
        }
        self.durable = self.durable.max(self.parts.first());
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

    /// Tells how it goes, for whoever asks.
    fn tell(&self, progress: &Progress) {
        let barrier = self.barrier.as_ref().map(|barrier| barrier.submitted);
        progress.set_wait(self.parts.oldest().into_iter().chain(barrier).min());
        progress.set_trouble(self.trouble.is_there());
        progress.set_io(self.segment().mode(), self.segment().engine());
    }
}
