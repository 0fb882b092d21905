//! The flusher: the one thread that writes the files of a log.
//!
//! There is no queue of sealed buffers: it scans the buffers' states. A queue would reorder: the flusher
//! seals a buffer by CAS, and before it has put it into the queue, a writer fills and puts the next.

use std::time::Instant;

use super::{
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

/// Starts the thread that writes what comes to these shards. `prefault`: it makes all buffers resident first.
///
/// # Errors
/// If the system does not give us one; the log's file is clean then, as of a session without records.
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

/// What runs on the thread.
pub(super) struct Worker {
    shards: Arc<Shards>,
    /// `None` once the log is closed.
    writer: Option<LogWriter>,
    resident: Prefault,
    prefault: bool,
}

impl Worker {
    pub(super) fn new(shards: Arc<Shards>, writer: LogWriter, prefault: bool) -> Worker {
        let resident = Prefault::new(shards.pool().clone());
        Worker { shards, writer: Some(writer), resident, prefault }
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
        let wake_at = self.writer.as_ref().and_then(|writer| writer.wake_at(now));
        let is_armed = self.writer.as_ref().is_none_or(LogWriter::is_armed);
        self.shards.bell().sleep(Sleep::of(is_armed), wake_at, || self.has_news(stop));
    }

    /// Looked at between the announcement of a sleep and the sleep.
    fn has_news(&self, stop: &Stop) -> bool {
        let pool = self.shards.pool();
        let of_writer = match &self.writer {
            None => stop.is_asked(),
            Some(writer) => {
                pool.has_sealed(|shard, generation| writer.is_next(shard, generation))
                    || (!writer.is_armed() && pool.has_active())
                    || writer.has_news()
            }
        };
        of_writer || pool.waiters().has_deferred()
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
        // First: a log with an active buffer will need the next one.
        self.arm(Instant::now());
        let is_armed = self.writer.as_ref().is_some_and(LogWriter::is_armed);
        if !self.resident.next(is_armed) {
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

/// Writes every sealed buffer whose turn it is; whether there was one.
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
