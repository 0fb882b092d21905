//! The flusher's side of one log: sealed buffers become blocks, in the order of each shard; requests are
//! answered, and the file is ended.

mod ending;
mod leaving;
mod resting;
mod telling;

use std::time::{Duration, Instant};

use super::{
    outbox::{Outbox, Told, cause_of},
    pass::Pass,
};
use crate::{
    Config, Dropped, Durability, Error, WhenFull,
    config::ErrorCallback,
    format::{BlockInfo, Kind, Totals, block},
    sync::Arc,
    write::{
        archive::{ArchiveSettings, ArchivedSegment, Archivist, Lineage},
        common::{BlockMemory, Ending, fault},
        segments::{NextSegment, Over, Rotator, Segment, Zone, wall_clock},
        swap::{BufferIndex, Log},
    },
};

/// The last drop gives up a device that takes nothing for so long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// Between flushes, how often the active file is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is known of a shard: of its buffers that are on their way.
#[derive(Clone, Default)]
struct Track {
    /// Its buffers are written strictly by this.
    next_generation: u64,
    next_record: u64,
    /// Drops that its blocks have told of.
    declared: Dropped,
}

/// A sealed buffer that was taken and is not on its way yet. Kept here, so that nothing of it is lost whatever
/// happens meanwhile: what is done with it can be done again.
struct Hand {
    memory: Arc<dyn BlockMemory>,
    shard: u32,
    generation: u64,
    taken: Instant,
}

/// What a stopped thread had published: of which shard, and of which generation.
type HeldCopy = (Arc<dyn BlockMemory>, u32, u64);

/// Who looks after archived segments, and what has to be known of the log for that.
#[derive(Clone)]
pub(crate) struct Archiving {
    pub(crate) archivist: Arc<Archivist>,
    pub(crate) settings: Arc<ArchiveSettings>,
}

pub(crate) struct LogWriter {
    log: Arc<Log>,
    outbox: Outbox,
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
    hand: Option<Hand>,
    pass: Option<Pass>,
    /// Who asked while there was trouble, up to this ticket.
    asked: Option<u64>,
    /// When what is in the buffers has been there for an interval.
    deadline: Option<Instant>,
    /// The part after the end, once that was put in.
    ended: Option<u64>,
    /// Copies of what stopped threads had published, for the last drop.
    copies: Option<Vec<HeldCopy>>,
    /// Shards that were claimed at the last drop, and the generation that their claimants were at: threads
    /// that do not go on, but may yet store into the buffers.
    held: Vec<(usize, u64)>,
    /// The ending that `advance` knows of.
    ending: Ending,
    rotator: Rotator,
    /// The segment that the rotator knows of.
    lineage: Lineage,
    /// When the active file was looked for last.
    looked: Instant,
    /// `None` in models.
    archiving: Option<Archiving>,
    /// Whether the oldest archived segment is deleted when the disk is full.
    makes_room: bool,
    errors: Vec<Error>,
    over: Vec<Over>,
}

impl LogWriter {
    pub(crate) fn new(
        log: Arc<Log>,
        segment: Segment,
        files: Box<dyn NextSegment>,
        config: &Config,
        zone: Zone,
        archiving: Option<Archiving>,
    ) -> LogWriter {
        let shards = log.shards().len();
        let chunks = block::chunk_count(log.pool().capacity()) + 1;
        log.progress().set_io(segment.mode(), segment.engine());
        LogWriter {
            rotator: Rotator::new(&config.rotation, zone, segment.filled_since()),
            lineage: segment.lineage(),
            looked: Instant::now(),
            outbox: Outbox::new(segment, files, config.durability, shards, chunks),
            durability: config.durability,
            flush_interval: config.flush_interval,
            on_error: config.on_error.clone(),
            tracks: vec![Track::default(); shards],
            next_sequence: 0,
            records: 0,
            payload: 0,
            noted: Dropped::default(),
            hand: None,
            pass: None,
            asked: None,
            deadline: None,
            ended: None,
            copies: None,
            held: Vec::new(),
            ending: Ending::Open,
            archiving,
            makes_room: config.retention.when_full == WhenFull::DeleteOldest,
            errors: Vec::new(),
            over: Vec::new(),
            log,
        }
    }

    /// What offsets and lengths in its file are multiples of.
    pub(crate) fn align(&self) -> usize {
        self.outbox.segment().align()
    }

    /// The number of the log in its pool.
    pub(crate) fn index(&self) -> u32 {
        self.log.index()
    }

    /// Whether a sealed buffer of this generation is the one to write now.
    pub(crate) fn is_next(&self, shard: u32, generation: u64) -> bool {
        let track = self.tracks.get(shard as usize);
        track.is_some_and(|track| track.next_generation == generation)
            && self.hand.is_none()
            && self.outbox.has_room()
    }

    /// Writes a sealed buffer that [`is_next`](LogWriter::is_next).
    pub(crate) fn write_sealed(&mut self, index: BufferIndex, shard: u32, generation: u64) {
        if let Some(buffer) = self.log.pool().take_sealed(index) {
            self.write_block(Arc::new(buffer), shard, generation);
        }
    }

    /// Writes what is sealed of this generation, which [`is_next`](LogWriter::is_next). Nobody else has it.
    pub(crate) fn write_block(
        &mut self,
        memory: Arc<dyn BlockMemory>,
        shard: u32,
        generation: u64,
    ) {
        self.hand = Some(Hand { memory, shard, generation, taken: Instant::now() });
        self.write_hand();
        // At once: it is on its way while the next one's checksums are computed. At the end it waits a moment:
        // the end of the file goes with it.
        if self.log.gate().ending() == Ending::Open {
            self.work_outbox(Instant::now());
        }
    }

    /// Makes the buffer in hand a block, and puts it into the outbox.
    fn write_hand(&mut self) {
        let Some(hand) = &mut self.hand else {
            return;
        };
        let (shard, generation, taken) = (hand.shard, hand.generation, hand.taken);
        let track = &mut self.tracks[shard as usize];
        let valid = hand.memory.valid();
        if valid == 0 {
            // Taken for a record that its encoder did not finish.
            track.next_generation = generation + 1;
            if let Some(Hand { mut memory, .. }) = self.hand.take()
                && let Some(memory) = Arc::get_mut(&mut memory)
            {
                memory.free();
            }
            return;
        }
        if self.is_left_before(valid) {
            return;
        }
        let Some(memory) = self.hand.as_mut().and_then(|hand| Arc::get_mut(&mut hand.memory))
        else {
            return;
        };
        let track = &mut self.tracks[shard as usize];
        fault::step("encode");
        let mut info = BlockInfo {
            sequence: self.next_sequence,
            generation,
            first_record: track.next_record,
            shard,
            dropped: self.log.shards()[shard as usize].dropped(),
            ..BlockInfo::default()
        };
        let time = wall_clock();
        self.outbox.encode(memory, &mut info, time);
        fault::step("encoded");
        if let Some(Hand { memory, .. }) = self.hand.take() {
            self.outbox.push_block(memory, info, time, taken);
            track.next_generation = generation + 1;
            track.next_record += u64::from(info.records);
            track.declared = info.dropped;
            self.next_sequence += 1;
            self.records += u64::from(info.records);
            self.payload += info.payload();
            self.rotator.written(taken);
        }
    }

    /// Lets the outbox do what it can; whether it did anything.
    fn work_outbox(&mut self, now: Instant) -> bool {
        let mut busy = false;
        // Again, since an engine that waits has completed what it was just given: its buffer is free now.
        for _ in 0..2 {
            let (errors, over) = (&mut self.errors, &mut self.over);
            let told = Told { progress: self.log.progress(), errors, over };
            if !self.outbox.advance(now, told) {
                break;
            }
            busy = true;
        }
        let lineage = self.outbox.segment().lineage();
        if lineage != self.lineage {
            self.lineage = lineage;
            self.rotator.begin(now);
        }
        self.hand_over();
        for error in std::mem::take(&mut self.errors) {
            self.failed(&error);
        }
        busy
    }

    /// Hands segments that are over to the archivist.
    fn hand_over(&mut self) {
        let active = self.lineage;
        for Over { settings, file, lineage } in self.over.drain(..) {
            if let Some(Archiving { archivist, .. }) = &self.archiving {
                archivist.archived(ArchivedSegment { settings, file, lineage, active });
            }
        }
    }

    /// Does what is due apart from sealed buffers; whether anything was done.
    pub(crate) fn advance(&mut self, now: Instant) -> bool {
        if self.is_closed() {
            return false;
        }
        let mut busy = false;
        if self.ending != Ending::Abandoned {
            self.ending = self.log.gate().ending();
        }
        if self.hand.is_some() && self.outbox.has_room() {
            self.write_hand();
            busy = true;
        }
        if self.log.has_new_room() {
            self.outbox.hurry(now);
            self.rotator.release();
        }
        if self.outbox.is_troubled() {
            // Nothing is sealed for what cannot be written: each pass would take a buffer of each shard.
            // But who asks gets an attempt, whatever the backoff says, and its error.
            let ticket = self.log.gate().open_request().map(|request| request.ticket);
            if ticket > self.asked {
                self.asked = ticket;
                self.outbox.hurry(now);
                busy = true;
            }
        } else if self.pass.is_none() {
            if let Some(request) = self.log.gate().open_request() {
                let looked = self.look_at_file(now);
                self.pass = Some(Pass::begin(&self.log, Some(request), looked));
                busy = true;
            } else if self.deadline.is_some_and(|deadline| now >= deadline) {
                self.deadline = None;
                let looked = self.look_at_file(now);
                self.pass = Some(Pass::begin(&self.log, None, looked));
                busy = true;
            }
        }
        self.want_free_buffers();
        if self.ending == Ending::Closing && self.ended.is_none() {
            busy |= self.try_to_end();
        }
        busy |= self.work_outbox(now);
        if self.hand.is_none() {
            busy |= self.rotate_if_due(0, now);
        }
        self.prepare_ahead(now);
        busy |= self.advance_pass();
        if self.outbox.may_go_home(now) {
            self.go_home(now);
            busy = true;
        }
        match self.ending {
            Ending::Closing => busy |= self.try_to_end(),
            Ending::Abandoned => busy |= self.abandon(),
            Ending::Open | Ending::Closed => {}
        }
        busy
    }

    /// With buffers that wait for nothing but a barrier, and few free ones, does not wait for the interval.
    fn want_free_buffers(&mut self) {
        if self.lacks_free_buffers() {
            self.outbox.want_durable(self.outbox.written());
        }
    }

    fn lacks_free_buffers(&self) -> bool {
        self.durability == Durability::OnFlush
            && self.outbox.awaits_barrier()
            && self.log.pool().is_short()
    }

    /// Looks whether all that the pass waits for has happened, and completes it then.
    fn advance_pass(&mut self) -> bool {
        let Some(pass) = &mut self.pass else {
            return false;
        };
        let Some(goal) = pass.goal else {
            let next = self.tracks.iter().map(|track| track.next_generation);
            if !pass.look(&self.log, next) || !self.outbox.has_room() {
                return false;
            }
            // With many writes in flight it could not be left when the pass began.
            if !std::mem::replace(&mut pass.looked, true) {
                self.look_at_file(Instant::now());
                return true;
            }
            let noted = self.declare_drops();
            let goal = self.outbox.next();
            match noted {
                Ok(()) => {
                    if let Some(pass) = &mut self.pass {
                        pass.goal = Some(goal);
                        // The interval is no promise with `None`.
                        if pass.ticket.is_some() || self.durability == Durability::OnFlush {
                            self.outbox.want_durable(goal);
                        }
                    }
                }
                Err(error) => self.failed(&error),
            }
            return true;
        };
        let Some(ticket) = pass.ticket else {
            // Only then may the next one begin: a device that hangs must not be given a buffer of each
            // shard with each interval.
            let is_over = self.outbox.written() >= goal;
            if is_over {
                self.pass = None;
            }
            return is_over;
        };
        // The note may hold nothing that a barrier has to cover: then there is none to wait for.
        if self.outbox.durable() < goal || self.outbox.is_turning() {
            return false;
        }
        if std::mem::take(&mut pass.rotate)
            && self.outbox.segment().has_records()
            && self.ended.is_none()
        {
            if let Err(error) = self.rotate() {
                self.failed(&error);
            }
            return true;
        }
        self.pass = None;
        match self.outbox.doubt() {
            None => self.log.gate().complete(ticket),
            // True for every flush from now on: not all that was accepted is durable.
            Some(error) => self.log.gate().fail(Some(ticket), error),
        }
        true
    }

    /// Puts in a note if there are drops that no block and no note has told of.
    fn declare_drops(&mut self) -> Result<(), Error> {
        if !self.has_undeclared_drops() {
            return Ok(());
        }
        let dropped = self.log.dropped();
        let totals = self.totals(dropped, false);
        self.outbox.push_totals(Kind::Note, totals)?;
        self.noted = dropped;
        Ok(())
    }

    /// Whether there are drops that no block and no note has told of.
    fn has_undeclared_drops(&self) -> bool {
        let declared = self
            .tracks
            .iter()
            .fold(Dropped::default(), |sum, track| sum.zip(track.declared, u64::wrapping_add));
        self.log.dropped() != declared.zip(self.noted, u64::max)
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

    /// Puts an end in; whether there was memory for it.
    fn put_end(&mut self, session_over: bool) -> bool {
        let dropped = self.log.dropped();
        let totals = self.totals(dropped, session_over);
        match self.outbox.push_totals(Kind::End, totals) {
            Ok(()) => {
                self.noted = dropped;
                self.outbox.want_durable(self.outbox.next());
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
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
        let look = self.pass.as_ref().and_then(Pass::look_again).map(|look| now + look);
        let give_up = (self.ending == Ending::Abandoned).then(|| now + GIVE_UP_AFTER / 10);
        let may_rotate = self.ended.is_none() && self.outbox.has_room();
        let rotation = self.rotator.wake_at(now).filter(|_| may_rotate);
        // With trouble the interval has to wait for its end.
        let deadline = self.deadline.filter(|_| !self.outbox.is_troubled());
        let others = [look, self.outbox.wake_at(), deadline, give_up, rotation];
        others.into_iter().flatten().min()
    }

    /// Whether there is a request that `advance` has not seen.
    pub(crate) fn has_news(&self) -> bool {
        let request = self.log.gate().open_request().map(|request| request.ticket);
        let unseen = self.pass.is_none() && request > self.asked;
        unseen
            || self.log.is_told_of_room()
            || self.lacks_free_buffers()
            || (!self.is_closed() && self.log.gate().ending() != self.ending)
    }

    /// Whether the file is ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.ending == Ending::Closed
    }
}
