//! The flusher's side of one log: sealed buffers become blocks, in the order of each shard; requests are
//! answered, and the file is ended.

mod account;
mod closing;
mod ending;
mod leaving;
mod reporter;
mod resting;
mod resuming;

use std::time::{Duration, Instant};

pub(crate) use self::reporter::Archiving;
pub(in crate::write) use self::resuming::Rest;
use self::{account::Account, closing::Closing, reporter::Reporter};
use super::{
    interval::Interval,
    outbox::{Happened, Outbox, Round},
    pass::Pass,
    session::Session,
};
use crate::{
    Config, Durability, Error,
    format::{BlockInfo, Kind, block},
    sync::Arc,
    write::{
        common::{BlockMemory, Degraded, Ending, fault, wall_clock},
        crash::Journal,
        segments::{Active, NextSegment, Rotator, Segment, Zone},
    },
};

/// The last drop gives up a device that takes nothing for this long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// A sealed buffer that was taken and is not in the outbox yet. The writer keeps it, so that a panic in between loses
/// no record: every step from here to the outbox can be repeated.
struct Hand {
    memory: Arc<dyn BlockMemory>,
    shard: u32,
    generation: u64,
    taken: Instant,
}

/// The flusher's side of one log.
///
/// Writes, barriers, retries, rotations and flush requests of one log overlap, and one flusher thread can serve many
/// logs. Code that waits for each step in turn would let one slow device stop all logs, and a thread for each step
/// would need locks. So a log writer belongs to one thread, shares no field and never waits: the flusher calls
/// [`advance`](LogWriter::advance) again and again, and each call takes the steps that are possible now. Each part of
/// the state has one object that remembers it between the calls: the [`Outbox`] has the parts on their way to the
/// medium, [`Active`] the file and its successor, [`Account`] the numbers of the blocks so far, [`Pass`] the request
/// that callers wait for. The log writer connects these objects, and decides the order of their turns.
pub(crate) struct LogWriter {
    session: Arc<Session>,
    active: Active,
    outbox: Outbox,
    durability: Durability,
    account: Account,
    hand: Option<Hand>,
    interval: Interval,
    pass: Option<Pass>,
    /// The latest ticket of the requests that came during trouble.
    asked: Option<u64>,
    rotator: Rotator,
    closing: Closing,
    reporter: Reporter,
    /// Kept in the writer, so that a panic before the passing on loses none of it.
    happened: Vec<Happened>,
}

impl LogWriter {
    pub(crate) fn new(
        session: Arc<Session>,
        segment: Segment,
        files: Box<dyn NextSegment>,
        config: &Config,
        zone: Zone,
        archiving: Option<Archiving>,
    ) -> LogWriter {
        let shards = session.intake().shards();
        let chunks = block::chunk_count(config.shard_capacity()) + 1;
        session.progress().set_io(segment.file().mode(), segment.file().engine());
        let kept = session.intake().account();
        let (account, journal) = (Account::new(shards, kept.clone()), Journal::new(kept));
        let mut writer = LogWriter {
            rotator: Rotator::new(&config.rotation, zone, segment.filled_since()),
            active: Active::new(segment, files),
            outbox: Outbox::new(config.durability, shards, chunks, journal),
            durability: config.durability,
            account,
            hand: None,
            interval: Interval::new(config.flush_interval),
            pass: None,
            asked: None,
            closing: Closing::new(),
            reporter: Reporter::new(session.clone(), config, archiving),
            happened: Vec::new(),
            session,
        };
        writer.outbox.begin(&writer.active);
        writer
    }

    /// Ends the file of a session that could not begin, and so took no record.
    pub(super) fn end_unused(&mut self) {
        // Without the end the file is clean, too, like the file of a process that was killed.
        let _ = self.active.segment_mut().end_unused();
    }

    /// The alignment of the file: all offsets and lengths in it are multiples of this.
    pub(crate) fn align(&self) -> usize {
        self.active.segment().align()
    }

    /// Whether a part that is put in now can be written at once.
    fn has_room(&self) -> bool {
        self.outbox.has_room() && !self.active.is_turning()
    }

    /// Whether an operation failed and was not repeated with success yet.
    pub(crate) fn is_troubled(&self) -> bool {
        self.outbox.is_troubled()
    }

    /// Whether the sealed buffer of this shard and generation is the one to write now.
    pub(crate) fn is_next(&self, shard: u32, generation: u64) -> bool {
        self.account.is_next(shard, generation) && self.hand.is_none() && self.has_room()
    }

    /// Writes a sealed buffer, which [`is_next`](LogWriter::is_next). The caller holds the only reference to it.
    pub(crate) fn write_block(
        &mut self,
        memory: Arc<dyn BlockMemory>,
        shard: u32,
        generation: u64,
    ) {
        self.hand = Some(Hand { memory, shard, generation, taken: Instant::now() });
        self.write_hand();
        // At once, so that the block is in flight while the checksums of the next one are computed. At the end of the
        // log the block waits a moment, so that the end of the file goes with it in one write.
        if self.session.gate().ending() == Ending::Open {
            self.work_outbox(Instant::now());
        }
    }

    /// Makes the buffer in hand a block, and puts it into the outbox.
    fn write_hand(&mut self) {
        let Some(hand) = &mut self.hand else {
            return;
        };
        let (shard, generation, taken) = (hand.shard, hand.generation, hand.taken);
        let valid = hand.memory.valid();
        if valid == 0 {
            // The buffer was taken for a record whose encoder did not finish it.
            self.account.pass(shard, generation);
            if let Some(Hand { memory, .. }) = self.hand.take() {
                memory.free();
            }
            return;
        }
        let scale = hand.memory.scale(self.account.reached(shard));
        // The length of the block counts if files have a limit, and follows also from the number of times.
        let counts = scale.is_some() && self.rotator.has_max_size();
        let records = if counts { hand.memory.record_count() } else { 0 };
        if self.is_left_before(BlockInfo { valid, records, scale, ..BlockInfo::default() }) {
            return;
        }
        let Some(memory) = self.hand.as_mut().and_then(|hand| Arc::get_mut(&mut hand.memory))
        else {
            return;
        };
        fault::step("encode");
        let dropped = self.session.intake().dropped_at(shard as usize);
        let mut info = self.account.block(shard, generation, dropped);
        info.scale = scale;
        let time = wall_clock();
        self.outbox.encode(&self.active, memory, &mut info, time);
        fault::step("encoded");
        if let Some(Hand { memory, .. }) = self.hand.take() {
            self.outbox.push_block(&mut self.active, memory, info, time, taken);
            self.account.add(&info);
            self.rotator.written(taken);
        }
    }

    /// Lets the outbox do all that it can. Returns whether it did anything.
    fn work_outbox(&mut self, now: Instant) -> bool {
        let mut busy = false;
        // Twice, since a waiting engine has already completed the operation that it was just given: the second round
        // frees its buffer.
        for _ in 0..2 {
            let mut round = Round {
                active: &mut self.active,
                progress: self.session.progress(),
                happened: &mut self.happened,
                now,
            };
            if !self.outbox.advance(&mut round) {
                break;
            }
            busy = true;
        }
        self.pass_on(now);
        busy
    }

    /// Passes on the events that the outbox has collected.
    fn pass_on(&mut self, now: Instant) {
        let happened = std::mem::take(&mut self.happened);
        let errors = happened.into_iter().filter_map(|happened| match happened {
            Happened::Failed(error) => Some(error),
            Happened::SegmentBegun => {
                self.rotator.begin(now);
                None
            }
            Happened::SegmentOver(segment) => {
                self.reporter.segment_over(segment);
                None
            }
        });
        // Behind the other events, because an error can end the log.
        for error in errors.collect::<Vec<_>>() {
            self.failed(&error);
        }
    }

    /// Keeps an error, answers the flush that the error belongs to, and calls the callback.
    #[cold]
    fn failed(&mut self, error: &Error) {
        let ticket = self.pass.take().and_then(|pass| pass.ticket);
        let ticket = ticket.max(std::mem::take(&mut self.asked));
        self.reporter.keep(ticket, error, self.active.segment().lineage());
        self.reporter.tell(error);
        if self.closing.ending() == Ending::Abandoned {
            // An abandoned log tries each operation once.
            self.give_up();
        }
    }

    /// Counts a panic of the flusher, which continues its work.
    pub(crate) fn panicked(&mut self, error: &Error) {
        self.session.progress().count_panic();
        self.failed(error);
    }

    /// Reports that the system has too little memory for the buffers.
    #[cold]
    pub(super) fn lacks_memory(&self, error: &Error) {
        self.session.progress().degrade(Degraded::Memory);
        self.reporter.remark(error);
    }

    /// Takes over that all buffers have their memory after all.
    #[cold]
    pub(super) fn has_memory(&self) {
        self.session.progress().restore(Degraded::Memory);
    }

    /// Does all that is due, except taking sealed buffers. Returns whether anything was done.
    pub(crate) fn advance(&mut self, now: Instant) -> bool {
        if self.is_closed() {
            return false;
        }
        let mut busy = false;
        self.closing.see(self.session.gate().ending());
        if self.hand.is_some() && self.has_room() {
            self.write_hand();
            busy = true;
        }
        if self.session.has_new_room() {
            self.outbox.hurry(now);
            self.rotator.release();
        }
        if self.is_troubled() {
            // No pass begins while writing fails, because each pass would take a buffer of each shard. But a request
            // gets an attempt at once, whatever the backoff says, and the error of that attempt.
            let ticket = self.session.gate().open_request().map(|request| request.ticket);
            if ticket > self.asked {
                self.asked = ticket;
                self.outbox.hurry(now);
                busy = true;
            }
        } else if self.pass.is_none() {
            if let Some(request) = self.session.gate().open_request() {
                let looked = self.look_at_file(now);
                self.pass = Some(Pass::begin(self.session.intake(), Some(request), looked));
                busy = true;
            } else if self.interval.is_over(now) {
                self.interval.disarm();
                let looked = self.look_at_file(now);
                self.pass = Some(Pass::begin(self.session.intake(), None, looked));
                busy = true;
            }
        }
        self.want_free_buffers();
        if self.closing.ending() == Ending::Closing && self.closing.ended().is_none() {
            busy |= self.try_to_end();
        }
        busy |= self.work_outbox(now);
        busy |= self.change_names_if_drained(now);
        if self.hand.is_none() {
            busy |= self.rotate_if_due(0, now);
        }
        self.prepare_ahead(now);
        busy |= self.advance_pass(now);
        if !self.outbox.is_troubled() && self.active.may_go_home(now) {
            self.go_home(now);
            busy = true;
        }
        match self.closing.ending() {
            Ending::Closing => busy |= self.try_to_end(),
            Ending::Abandoned => busy |= self.abandon(),
            Ending::Open | Ending::Closed => {}
        }
        busy
    }

    /// Asks for a barrier before the interval is over, if few buffers are free and others only wait for a barrier.
    fn want_free_buffers(&mut self) {
        if self.lacks_free_buffers() {
            self.outbox.want_durable(self.outbox.written());
        }
    }

    fn lacks_free_buffers(&self) -> bool {
        self.durability == Durability::OnFlush
            && self.outbox.awaits_barrier()
            && (self.session.intake().is_short() || self.outbox.lacks_slots())
    }

    /// Checks whether all that the pass waits for has happened, and then completes the pass.
    fn advance_pass(&mut self, now: Instant) -> bool {
        let Some(pass) = &mut self.pass else {
            return false;
        };
        let Some(goal) = pass.goal else {
            if !pass.sealing.look(self.account.next_generations())
                || !self.outbox.has_room()
                || self.active.is_turning()
            {
                return false;
            }
            // With many writes in flight the file could not be left when the pass began, so it was not looked at.
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
                        // With `Durability::None` the interval promises no barrier.
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
            // The next pass begins only when this one is written: otherwise a device that hangs would take a buffer of
            // each shard with each interval.
            let is_over = self.outbox.written() >= goal;
            if is_over {
                self.pass = None;
            }
            return is_over;
        };
        // If the pass holds nothing that a barrier has to cover, all before the goal is durable already.
        if self.outbox.durable() < goal || self.active.is_turning() {
            return false;
        }
        if std::mem::take(&mut pass.rotate)
            && self.active.segment().has_records()
            && self.closing.ended().is_none()
        {
            pass.is_rotating = true;
            if let Err(error) = self.rotate() {
                self.could_not_rotate(&error, now);
            }
            return true;
        }
        self.pass = None;
        match self.outbox.doubt() {
            None => self.session.gate().complete(ticket),
            // From now on every flush fails, because not all accepted records are durable.
            Some(error) => self.session.gate().fail(Some(ticket), error),
        }
        true
    }

    /// Puts in a note if some drops were reported by no block and no note.
    fn declare_drops(&mut self) -> Result<(), Error> {
        let dropped = self.session.dropped();
        if self.account.owes_note(dropped) {
            let totals = self.account.totals(dropped, false);
            self.outbox.push_totals(&mut self.active, Kind::Note, totals)?;
            self.account.note(dropped);
        }
        Ok(())
    }

    /// Puts an end in. Returns whether the system had memory for it.
    fn put_end(&mut self, session_over: bool) -> bool {
        let dropped = self.session.dropped();
        let totals = self.account.totals(dropped, session_over);
        match self.outbox.push_totals(&mut self.active, Kind::End, totals) {
            Ok(()) => {
                self.account.note(dropped);
                self.outbox.want_durable(self.outbox.next());
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// Begins the interval, unless it has begun. The caller has seen an active buffer.
    pub(crate) fn arm(&mut self, now: Instant) {
        self.interval.arm(now);
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.interval.is_armed()
    }

    /// The time until which the flusher can sleep, as far as this log is concerned.
    pub(crate) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let look =
            self.pass.as_ref().and_then(|pass| pass.sealing.look_again()).map(|look| now + look);
        let give_up =
            (self.closing.ending() == Ending::Abandoned).then(|| now + GIVE_UP_AFTER / 10);
        let may_rotate = self.closing.ended().is_none() && self.has_room();
        let rotation = self.rotator.wake_at(now).filter(|_| may_rotate);
        let next_try = match self.outbox.is_troubled() {
            true => self.outbox.next_try(),
            false => self.active.wake_at(),
        };
        // During trouble, and while a pass waits for the device, no new pass begins. So the end of the interval is no
        // reason to wake: the flusher would wake again and again.
        let waits = self.is_troubled() || self.pass.is_some();
        let interval = self.interval.ends().filter(|_| !waits);
        let others = [look, next_try, interval, give_up, rotation];
        others.into_iter().flatten().min()
    }

    /// Whether `advance` has something new to see: a request, room on the disk, a lack of buffers, an ending.
    pub(crate) fn has_news(&self) -> bool {
        let request = self.session.gate().open_request().map(|request| request.ticket);
        let unseen = self.pass.is_none() && request > self.asked;
        unseen
            || self.session.is_told_of_room()
            || self.lacks_free_buffers()
            || (!self.is_closed() && self.session.gate().ending() != self.closing.ending())
    }

    /// Whether the log is closed: its file is ended, or given up.
    pub(crate) fn is_closed(&self) -> bool {
        self.closing.is_closed()
    }
}
