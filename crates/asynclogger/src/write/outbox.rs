//! What is on its way to the medium: parts in the order of the file, from the moment they have a place in
//! it until they are as safe as the durability level asks for.
//!
//! Several writes are in flight, and complete in any order; parts leave in theirs. A part that failed is
//! written again, same place, same bytes, or all that are here move to another segment. After a failed
//! barrier that is all of them: the kernel forgets an error once it has told it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    buffer::SealedBuffer,
    fault,
    files::NextSegment,
    progress::{Degraded, Progress},
    reaction::{Failed, Reaction, Situation, backoff, react},
    segment::Segment,
};
use crate::{
    Durability, Error,
    format::{BlockInfo, ChunkEntry, Kind, Totals},
    io::{Cause, Completion, Operation},
    mem::AlignedBytes,
    sync::Arc,
};

/// Writes in flight: enough that the device never waits for the next one's checksums, and few enough that
/// their order is nearly the file's.
const MAX_WRITES: usize = 8;
const MAX_BYTES: u64 = 24 << 20;

/// The first wait before a segment that could not be opened is tried again.
const BACKOFF_OPEN: Duration = Duration::from_millis(20);
/// How often the way back from the other directory is tried.
const HOME_EVERY: Duration = Duration::from_secs(5);

/// Tags of operations that are no part's write.
const BARRIER: u64 = u64::MAX;
const RESERVE: u64 = u64::MAX - 1;

/// One contiguous write.
struct Part {
    body: Body,
    offset: u64,
    len: u64,
    state: State,
    submitted: Option<Instant>,
    /// Counted as written: once, however often it is written.
    counted: bool,
}

enum Body {
    Block { buffer: Arc<SealedBuffer>, info: BlockInfo, time: i64, taken: Instant },
    Totals { bytes: Arc<AlignedBytes>, kind: Kind, totals: Totals },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be written, for the first time or again.
    Due,
    InFlight,
    Written,
}

/// Something failed and was not made good yet.
struct Trouble {
    reaction: Reaction,
    failures: u32,
    /// When the next attempt may be made.
    at: Instant,
    /// An attempt is being made.
    trying: bool,
}

/// Who is told of what happens.
pub(super) struct Told<'a> {
    pub(super) progress: &'a Progress,
    pub(super) errors: &'a mut Vec<Error>,
}

impl Told<'_> {
    /// Counts an error, and keeps it for whoever asked; what it means.
    fn error(&mut self, error: Error) -> Cause {
        let cause = error.io_error().map_or(Cause::Other, Cause::of);
        self.progress.count_error(cause);
        self.errors.push(error);
        cause
    }
}

pub(super) struct Outbox {
    segment: Segment,
    files: Box<dyn NextSegment>,
    durability: Durability,
    parts: VecDeque<Part>,
    /// Number of the first of them; all before are as safe as they will be.
    first: u64,
    /// All parts before this one are written.
    written: u64,
    /// All parts before this one are durable, unless they are in doubt.
    durable: u64,
    in_flight: usize,
    bytes_in_flight: u64,
    /// Up to which part a barrier is wanted, and up to which the one in flight covers.
    wanted: u64,
    barrier: Option<(u64, Vec<u64>)>,
    trouble: Option<Trouble>,
    /// Barriers that failed since the last good one.
    failed_barriers: u32,
    /// Records, by shard, in the parts before `written`.
    records: Vec<u64>,
    /// Where the log goes on once this segment's end is durable.
    turn: Option<Segment>,
    /// When the way back to the log's own directory is tried, if it is in the other.
    home_at: Option<Instant>,
    /// Records that left before a barrier that failed (`Durability::None`), and its error: no later
    /// barrier can vouch for them.
    doubtful: Option<(u64, Error)>,
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
            segment,
            files,
            durability,
            parts: VecDeque::new(),
            first: 0,
            written: 0,
            durable: 0,
            in_flight: 0,
            bytes_in_flight: 0,
            wanted: 0,
            barrier: None,
            trouble: None,
            failed_barriers: 0,
            records: vec![0; shards],
            turn: None,
            home_at: None,
            doubtful: None,
            table: Vec::with_capacity(chunks),
        }
    }

    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Number that the next part will have.
    pub(super) fn next(&self) -> u64 {
        self.first + self.parts.len() as u64
    }

    /// All parts before this one are durable, or in doubt.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// All parts before this one are written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn doubt(&self) -> Option<&Error> {
        self.doubtful.as_ref().map(|(_, error)| error)
    }

    /// Whether a part that is put in now can be written at once.
    pub(super) fn has_room(&self) -> bool {
        self.trouble.is_none()
            && self.turn.is_none()
            && self.in_flight < MAX_WRITES
            && (self.in_flight == 0 || self.bytes_in_flight < MAX_BYTES)
    }

    /// Whether nothing is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight == 0 && self.barrier.is_none()
    }

    /// Completes a block in its buffer, for its place in the file. It can be done again.
    pub(super) fn encode(&mut self, buffer: &mut SealedBuffer, info: &mut BlockInfo, time: i64) {
        self.segment.encode_block(buffer, info, time, &mut self.table);
    }

    /// Takes over a block that was just encoded.
    pub(super) fn push_block(
        &mut self,
        buffer: SealedBuffer,
        info: BlockInfo,
        time: i64,
        taken: Instant,
    ) {
        let offset = self.segment.offset();
        self.segment.place_block(&info, time);
        let body = Body::Block { buffer: Arc::new(buffer), info, time, taken };
        self.push(body, offset, info.block_len());
    }

    /// Puts in a note or an end.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub(super) fn push_totals(&mut self, kind: Kind, totals: Totals) -> Result<(), Error> {
        let align = self.segment.align();
        let mut bytes = AlignedBytes::new(align, align)?;
        self.segment.encode_totals(kind, totals, &mut bytes);
        let offset = self.segment.offset();
        self.segment.place_totals();
        self.push(Body::Totals { bytes: Arc::new(bytes), kind, totals }, offset, align as u64);
        Ok(())
    }

    fn push(&mut self, body: Body, offset: u64, len: u64) {
        let (state, submitted) = (State::Due, None);
        self.parts.push_back(Part { body, offset, len, state, submitted, counted: false });
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
        self.written > self.durable && self.wanted <= self.durable && self.barrier.is_none()
    }

    /// Makes the next attempt now, whatever the backoff says.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Some(trouble) = &mut self.trouble {
            trouble.at = trouble.at.min(now);
        }
    }

    /// When something is to be done though nothing completes.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match &self.trouble {
            Some(trouble) => (!trouble.trying && self.is_quiet()).then_some(trouble.at),
            None => self.home_at,
        }
    }

    /// Gives back space that was taken ahead: nothing more comes.
    pub(super) fn trim(&mut self) {
        self.segment.trim();
    }

    /// Takes over what has completed, and begins what can be begun; whether anything was done.
    pub(super) fn advance(&mut self, now: Instant, mut told: Told<'_>) -> bool {
        let told = &mut told;
        let mut busy = false;
        while let Some(Completion { tag, result }) = self.segment.reap() {
            busy = true;
            match tag {
                BARRIER => self.barrier_over(result, now, told),
                RESERVE => {
                    self.in_flight -= 1;
                    // Space that is not there ahead is not there yet: the writes will tell.
                    if result.is_err() {
                        self.segment.stop_reserving();
                    }
                }
                number => self.write_over(number, result, now, told),
            }
        }
        busy |= self.settle(told.progress);
        busy |= self.take_the_turn(told.progress);
        busy |= self.try_again(now, told);
        busy |= self.submit_due(told.progress);
        busy |= self.submit_barrier();
        self.tell(told.progress);
        busy
    }

    /// Whether the way back to the log's own directory is to be tried now.
    pub(super) fn may_go_home(&self, now: Instant) -> bool {
        self.home_at.is_some_and(|at| now >= at) && self.trouble.is_none() && self.turn.is_none()
    }

    /// Opens a segment in the log's own directory again. If that succeeds, put this one's end in: the
    /// log goes on there once that is durable.
    pub(super) fn go_home(&mut self, now: Instant, first_sequence: u64) -> bool {
        self.home_at = now.checked_add(HOME_EVERY);
        let Ok(segment) = self.files.home(&self.segment, first_sequence) else {
            return false;
        };
        (self.turn, self.home_at) = (Some(segment), None);
        true
    }

    fn take_the_turn(&mut self, progress: &Progress) -> bool {
        if self.parts.is_empty()
            && self.is_quiet()
            && self.durable == self.first
            && let Some(next) = self.turn.take()
        {
            let mut old = std::mem::replace(&mut self.segment, next);
            old.trim();
            progress.restore(Degraded::Away);
            return true;
        }
        false
    }

    fn part_mut(&mut self, number: u64) -> Option<&mut Part> {
        let at = number.checked_sub(self.first)?;
        self.parts.get_mut(usize::try_from(at).ok()?)
    }

    fn write_over(
        &mut self,
        number: u64,
        result: std::io::Result<()>,
        now: Instant,
        told: &mut Told<'_>,
    ) {
        self.in_flight -= 1;
        let Some(part) = self.part_mut(number) else {
            return;
        };
        let (len, offset, submitted) = (part.len, part.offset, part.submitted);
        part.state = if result.is_ok() { State::Written } else { State::Due };
        self.bytes_in_flight -= len;
        match result {
            Ok(()) => {
                if let Some(submitted) = submitted {
                    told.progress.add_write(now.saturating_duration_since(submitted));
                }
                self.tried_well();
            }
            Err(error) => {
                let error = Error::io("cannot write", error);
                let cause = told.error(error.at_path(self.segment.path()).at_offset(offset));
                self.failed(Failed::Write, cause, now);
            }
        }
    }

    /// What was tried works: the rest goes on.
    fn tried_well(&mut self) {
        if self.trouble.as_ref().is_some_and(|trouble| trouble.trying) {
            self.trouble = None;
        }
    }

    /// Keeps what failed; what is done about it is done when nothing is in flight any more.
    #[cold]
    fn failed(&mut self, failed: Failed, cause: Cause, now: Instant) {
        let tried = match &self.trouble {
            // Of several that were in flight together the first one counts.
            Some(trouble) if !trouble.trying => return,
            Some(trouble) => trouble.failures,
            None => 0,
        };
        let failures = match failed {
            Failed::Barrier => self.failed_barriers,
            Failed::Write | Failed::Open => tried + 1,
        };
        // With nothing to move, another segment is no help.
        let proven = self.segment.is_proven() && !self.parts.is_empty();
        let elsewhere = self.files.has_elsewhere() && !self.parts.is_empty();
        let situation = Situation { failed, cause, failures, proven, elsewhere };
        let (reaction, wait) = react(situation);
        let at = now.checked_add(wait).unwrap_or(now);
        self.trouble = Some(Trouble { reaction, failures, at, trying: false });
    }

    /// Makes the next attempt, once it is time and nothing is in flight.
    fn try_again(&mut self, now: Instant, told: &mut Told<'_>) -> bool {
        let quiet = self.is_quiet();
        let Some(trouble) = &mut self.trouble else {
            return false;
        };
        if trouble.trying || !quiet || now < trouble.at {
            return false;
        }
        trouble.trying = true;
        match trouble.reaction {
            Reaction::Again => {}
            Reaction::Buffered => {
                if self.segment.leave_direct() {
                    told.progress.degrade(Degraded::Buffered);
                }
            }
            reaction @ (Reaction::NextSegment | Reaction::Elsewhere) => {
                let elsewhere = reaction == Reaction::Elsewhere;
                if let Err(error) = self.relocate(elsewhere, told) {
                    let cause = told.error(error);
                    self.failed(Failed::Open, cause, now);
                    // The old file may have another name by now: there is no way back to it. But from
                    // another directory that fails, too, there is.
                    if let Some(trouble) = &mut self.trouble
                        && (elsewhere || trouble.reaction == Reaction::Again)
                    {
                        trouble.reaction = if elsewhere { Reaction::Again } else { reaction };
                        trouble.at = now + backoff(BACKOFF_OPEN, trouble.failures);
                    }
                    return true;
                }
                if elsewhere {
                    self.home_at = now.checked_add(HOME_EVERY);
                    told.progress.degrade(Degraded::Away);
                }
            }
        }
        if self.parts.iter().all(|part| part.state == State::Written) {
            // It was the barrier alone, and of what it did not cover nothing is here any more.
            self.trouble = None;
        }
        true
    }

    /// Moves all that is here to a new segment: same records, same numbers, other places.
    fn relocate(&mut self, elsewhere: bool, told: &mut Told<'_>) -> Result<(), Error> {
        let first_sequence = self.parts.iter().find_map(|part| match &part.body {
            Body::Block { info, .. } => Some(info.sequence),
            Body::Totals { .. } => None,
        });
        let next_sequence = self.parts.iter().find_map(|part| match &part.body {
            Body::Totals { totals, .. } => Some(totals.next_sequence),
            Body::Block { .. } => None,
        });
        // Of the first part: of a block its own, of totals that of the block behind it.
        let first_sequence = first_sequence.or(next_sequence).unwrap_or_default();
        let next = match self.turn.take() {
            // The end of this segment is of no use any more.
            Some(next) => {
                self.parts.pop_back();
                next
            }
            None => self.files.next(&self.segment, first_sequence, elsewhere)?,
        };
        let mut old = std::mem::replace(&mut self.segment, next);
        old.trim();
        self.take_back();
        // No later barrier covers what has left into the old file.
        if self.durable < self.first
            && let Err(error) = old.sync_now()
        {
            told.error(error.clone());
            self.begin_to_doubt(told.progress, error);
        }
        for part in &mut self.parts {
            part.offset = self.segment.offset();
            match &mut part.body {
                Body::Block { buffer, info, time, .. } => {
                    // Nobody else has it: nothing is in flight.
                    if let Some(buffer) = Arc::get_mut(buffer) {
                        self.segment.encode_block(buffer, info, *time, &mut self.table);
                    }
                    self.segment.place_block(info, *time);
                }
                Body::Totals { bytes, kind, totals } => {
                    if let Some(bytes) = Arc::get_mut(bytes) {
                        self.segment.encode_totals(*kind, *totals, bytes);
                    }
                    self.segment.place_totals();
                }
            }
        }
        Ok(())
    }

    /// Nothing that is here is written any more.
    fn take_back(&mut self) {
        let here = usize::try_from(self.written - self.first).unwrap_or(usize::MAX);
        for (at, part) in self.parts.iter_mut().enumerate() {
            if at < here
                && let Body::Block { info, .. } = &part.body
            {
                self.records[info.shard as usize] -= u64::from(info.records);
            }
            if part.state == State::Written {
                part.state = State::Due;
            }
        }
        self.written = self.first;
    }

    /// Submits what is due, in the order of the file; while there is trouble, one to try.
    fn submit_due(&mut self, progress: &Progress) -> bool {
        let mut busy = false;
        for at in 0..self.parts.len() {
            let room = match &self.trouble {
                None => self.in_flight < MAX_WRITES && self.fits(self.parts[at].len),
                Some(trouble) => trouble.trying && self.is_quiet(),
            };
            if !room {
                break;
            }
            if self.parts[at].state != State::Due {
                continue;
            }
            fault::step("submit");
            let part = &mut self.parts[at];
            let offset = part.offset;
            let operation = match &part.body {
                Body::Block { buffer, .. } => {
                    Operation::Write { bytes: buffer.clone(), offset }
                }
                Body::Totals { bytes, .. } => Operation::Write { bytes: bytes.clone(), offset },
            };
            let submitted = Instant::now();
            (part.state, part.submitted) = (State::InFlight, Some(submitted));
            self.in_flight += 1;
            self.bytes_in_flight += part.len;
            // An engine that waits for the device is in there meanwhile.
            progress.begin_wait(submitted);
            self.segment.submit(self.first + at as u64, operation);
            busy = true;
        }
        if busy
            && self.trouble.is_none()
            && let Some(operation) = self.segment.due_reservation()
        {
            self.in_flight += 1;
            self.segment.submit(RESERVE, operation);
        }
        busy
    }

    fn fits(&self, len: u64) -> bool {
        self.bytes_in_flight == 0 || self.bytes_in_flight + len <= MAX_BYTES
    }

    /// Submits a barrier if one is wanted and all that it is to cover is written.
    fn submit_barrier(&mut self) -> bool {
        let blocked = self.trouble.as_ref().is_some_and(|trouble| !trouble.trying);
        if self.wanted <= self.durable
            || self.written < self.wanted
            || self.barrier.is_some()
            || blocked
        {
            return false;
        }
        fault::step("barrier");
        self.barrier = Some((self.written, self.records.clone()));
        self.segment.submit(BARRIER, Operation::Barrier);
        true
    }

    fn barrier_over(
        &mut self,
        result: std::io::Result<()>,
        now: Instant,
        told: &mut Told<'_>,
    ) {
        let Some((covered, records)) = self.barrier.take() else {
            return;
        };
        let progress = told.progress;
        match result {
            Ok(()) => {
                self.failed_barriers = 0;
                self.tried_well();
                self.segment.prove();
                self.durable = self.durable.max(covered);
                let doubtful = self.doubtful.as_ref().map_or(0, |(records, _)| *records);
                if doubtful == 0 {
                    progress.set_durable(&records);
                }
                progress.durable.set(records.iter().sum::<u64>() - doubtful);
                while self.first < covered {
                    self.leave(progress);
                }
            }
            Err(error) => {
                self.failed_barriers += 1;
                let error = Error::io("cannot sync", error).at_path(self.segment.path());
                // What is still here is written again; of what is not, nobody can vouch.
                self.take_back();
                self.begin_to_doubt(progress, error.clone());
                let cause = told.error(error);
                self.failed(Failed::Barrier, cause, now);
            }
        }
    }

    /// Nobody can vouch for what has left and is not durable.
    fn begin_to_doubt(&mut self, progress: &Progress, error: Error) {
        let gone = self.records.iter().sum::<u64>() - progress.durable.get();
        if gone > 0 {
            self.doubtful = Some((gone, error));
            progress.degrade(Degraded::Doubt);
        }
        self.durable = self.durable.max(self.first);
    }

    /// Counts what is written in order, and lets go what needs no barrier.
    fn settle(&mut self, progress: &Progress) -> bool {
        let mut busy = false;
        while let Some(part) = self.part_mut(self.written)
            && part.state == State::Written
        {
            let (len, count) = (part.len, !std::mem::replace(&mut part.counted, true));
            let info = part.info();
            if let Some(info) = info {
                self.records[info.shard as usize] += u64::from(info.records);
            }
            if count {
                progress.bytes.add(len);
                if let Some(info) = info {
                    progress.payload.add(info.payload());
                    progress.written.add(u64::from(info.records));
                }
            }
            self.written += 1;
            busy = true;
        }
        if self.durability != Durability::OnFlush {
            let synced = self.durability == Durability::Dsync;
            if synced && self.durable < self.written {
                self.durable = self.written;
                self.segment.prove();
                progress.set_durable(&self.records);
                progress.durable.set(self.records.iter().sum());
            }
            while self.first < self.written {
                fault::step("leave");
                self.segment.prove();
                self.leave(progress);
            }
        }
        busy
    }

    /// The first part is as safe as it has to be: its buffer is free.
    fn leave(&mut self, progress: &Progress) {
        let Some(part) = self.parts.pop_front() else {
            return;
        };
        self.first += 1;
        if let Body::Block { buffer, taken, .. } = part.body {
            progress.add_flush(taken.elapsed());
            // The engine has given its reference back with the completion.
            if let Some(buffer) = Arc::into_inner(buffer) {
                buffer.free();
            }
        }
    }

    /// Tells how it goes, for whoever asks.
    fn tell(&self, progress: &Progress) {
        let oldest = self.parts.iter().filter(|part| part.state == State::InFlight);
        progress.set_wait(oldest.filter_map(|part| part.submitted).min());
        progress.set_trouble(self.trouble.is_some());
        progress.set_io(self.segment.mode(), self.segment.engine());
    }
}

impl Part {
    fn info(&self) -> Option<BlockInfo> {
        match &self.body {
            Body::Block { info, .. } => Some(*info),
            Body::Totals { .. } => None,
        }
    }
}
