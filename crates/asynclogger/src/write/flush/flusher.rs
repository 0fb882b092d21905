//! The flusher: the one thread that writes the files of a log.
//!
//! The flusher scans the states of the buffers, and has no queue of sealed ones. A queue could change their order: the
//! flusher seals a buffer by CAS, and before it has put the buffer into the queue, a writer can fill the next buffer of
//! the shard and put that one in first.

use std::time::Instant;

use super::{
    growing::{Growing, Grown},
    log_writer::LogWriter,
    thread::{FlusherThread, NotStarted, Round, Rounds, Stop},
};
use crate::{
    Error,
    sync::Arc,
    write::{
        common::fault,
        swap::{Prefault, Shards, Sleep},
    },
};

/// Starts the thread that writes the records of these shards. With `prefault` the thread first makes all buffers
/// resident.
///
/// # Errors
/// If the system gives no thread. Then the log's file is clean, like the file of a session without records.
pub(crate) fn start_flusher(
    shards: Arc<Shards>,
    writer: LogWriter,
    prefault: bool,
) -> Result<FlusherThread, Error> {
    let bell = shards.bell().clone();
    let started = FlusherThread::start(bell, Worker::new(shards, writer, prefault));
    started.map_err(|NotStarted { error, work }| {
        if let Some(Worker { writer: Some(mut writer), .. }) = work {
            writer.end_unused();
        }
        error
    })
}

/// The work of a logger's flusher.
pub(super) struct Worker {
    shards: Arc<Shards>,
    /// `None` once the log is closed.
    writer: Option<LogWriter>,
    resident: Prefault,
    prefault: bool,
    growing: Growing,
}

impl Worker {
    pub(super) fn new(shards: Arc<Shards>, writer: LogWriter, prefault: bool) -> Worker {
        let resident = Prefault::new(shards.pool().clone());
        Worker { shards, writer: Some(writer), resident, prefault, growing: Growing::default() }
    }

    /// Allocates the next part of the memory of a crash-safe log. Returns whether there was one.
    fn grow(&mut self) -> bool {
        let (Some(writer), pool) = (&self.writer, self.shards.pool()) else {
            return false;
        };
        match self.growing.advance(Instant::now(), || pool.grow()) {
            Grown::Nothing => return false,
            Grown::Some => {}
            Grown::All => writer.has_memory(),
            Grown::Failed(error) => writer.lacks_memory(&pool.lacks_room(error)),
        }
        true
    }

    /// Begins the interval if there is an active buffer.
    fn arm(&mut self, now: Instant) {
        if let Some(writer) = &mut self.writer
            && self.shards.pool().has_active()
        {
            writer.arm(now);
        }
    }

    pub(super) fn sleep(&mut self, stop: &Stop) {
        let now = Instant::now();
        self.arm(now);
        let wake_at = self.writer.as_ref().and_then(|writer| {
            [writer.wake_at(now), self.growing.wake_at()].into_iter().flatten().min()
        });
        let is_armed = self.writer.as_ref().is_none_or(LogWriter::is_armed);
        self.shards.bell().sleep(Sleep::of(is_armed), wake_at, || self.has_news(stop));
    }

    /// Whether there is work. The flusher asks this between the announcement of a sleep and the sleep.
    fn has_news(&self, stop: &Stop) -> bool {
        let pool = self.shards.pool();
        let is_armed = self.writer.as_ref().is_some_and(LogWriter::is_armed);
        let of_writer = match &self.writer {
            None => stop.is_asked(),
            Some(writer) => {
                pool.has_sealed(|shard, generation| writer.is_next(shard, generation))
                    || (!writer.is_armed() && pool.has_active())
                    || writer.has_news()
            }
        };
        of_writer || pool.waiters().has_deferred() || self.resident.is_due(is_armed)
    }
}

impl Rounds for Worker {
    fn begin(&mut self) {
        if self.prefault {
            self.resident.all();
        }
    }

    fn round(&mut self, stop: &Stop) -> Round {
        fault::step("round");
        self.shards.pool().waiters().pass_on();
        let mut progress = false;
        if let Some(writer) = &mut self.writer {
            progress = write_sealed(&self.shards, writer);
            progress |= writer.advance(Instant::now());
            if writer.is_closed() {
                self.writer = None;
            }
        }
        if progress {
            return Round::Busy;
        }
        if self.writer.is_none() && stop.is_asked() { Round::Over } else { Round::Idle }
    }

    fn idle(&mut self, stop: &Stop) {
        // First, because a log with an active buffer will need the next one to be resident.
        self.arm(Instant::now());
        let is_armed = self.writer.as_ref().is_some_and(LogWriter::is_armed);
        if !self.resident.next(is_armed) && !self.grow() {
            self.sleep(stop);
        }
    }

    #[cold]
    fn panicked(&mut self, error: &Error) {
        if let Some(writer) = &mut self.writer {
            writer.panicked(error);
        }
    }
}

/// Writes every sealed buffer whose turn it is. Returns whether there was one.
fn write_sealed(shards: &Shards, writer: &mut LogWriter) -> bool {
    let mut progress = false;
    let mut sealed = shards.pool().sealed();
    while let Some(buffer) = sealed.take_next(|shard, generation| writer.is_next(shard, generation))
    {
        let (shard, generation) = (buffer.shard(), buffer.generation());
        writer.write_block(Arc::new(buffer), shard, generation);
        progress = true;
    }
    progress
}
