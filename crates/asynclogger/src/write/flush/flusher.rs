//! The flusher: the one thread that writes the files of a log.
//!
//! There is no queue of sealed buffers: it scans the buffers' states. A queue would reorder: the flusher
//! seals a buffer by CAS, and before it has put it into the queue, a writer fills and puts the next.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use super::log_writer::LogWriter;
use crate::{
    Error,
    sync::{Arc, AtomicBool, Mutex, Ordering, lock},
    write::{
        common::{Local, OwnThread, fault, own_thread},
        swap::{Bell, Prefault, Shards, Sleep},
    },
};

/// The pauses after a panic: the first one, doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A handle to the flusher of a log.
pub(crate) struct Flusher {
    /// Whether it is to end with its log.
    stop: Arc<AtomicBool>,
    bell: Arc<Bell>,
    thread: OwnThread,
}

impl Flusher {
    /// Starts the thread that writes what comes to these shards. `prefault`: it makes all buffers resident first.
    ///
    /// # Errors
    /// If the system does not give us one; the log's file is clean then, as of a session without records.
    pub(crate) fn start(
        shards: Arc<Shards>,
        writer: LogWriter,
        prefault: bool,
    ) -> Result<Flusher, Error> {
        let (stop, bell) = (Arc::new(AtomicBool::new(false)), shards.bell().clone());
        let worker = Worker::new(shards, writer, stop.clone(), prefault);
        // Where it is left if there is no thread to take it.
        let place = Arc::new(Mutex::new(Some(worker)));
        let taken = place.clone();
        let started = OwnThread::flusher(move || {
            let worker = lock(&taken).take();
            if let Some(worker) = worker {
                worker.run();
            }
        });
        match started {
            Ok(thread) => Ok(Flusher { stop, bell, thread }),
            Err(error) => {
                if let Some(Worker { writer: Some(mut writer), .. }) = lock(&place).take() {
                    writer.end_unused();
                }
                Err(error)
            }
        }
    }

    /// Ends the thread once the log is closed. `wait`: until it has ended; never on the thread itself.
    pub(crate) fn stop(&mut self, wait: bool) {
        // Release pairs with the Acquire in `Worker::round`; the bell has the fence.
        self.stop.store(true, Ordering::Release);
        self.bell.ring(Sleep::Timed);
        self.thread.end(wait);
    }
}

/// How a round of the flusher's work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Something was done; there may be more.
    Busy,
    /// Nothing was to be done.
    Idle,
    /// The log is closed, and nobody needs the thread any more.
    Over,
}

/// What runs on the thread.
pub(super) struct Worker {
    shards: Arc<Shards>,
    /// `None` once the log is closed.
    writer: Option<LogWriter>,
    stop: Arc<AtomicBool>,
    resident: Prefault,
    prefault: bool,
}

impl Worker {
    pub(super) fn new(
        shards: Arc<Shards>,
        writer: LogWriter,
        stop: Arc<AtomicBool>,
        prefault: bool,
    ) -> Worker {
        let resident = Prefault::new(shards.pool().clone());
        Worker { shards, writer: Some(writer), stop, resident, prefault }
    }

    /// All of the thread is "inside": a signal handler or callback that logs here neither waits for this
    /// thread nor locks what it holds.
    fn run(self) {
        Local::with(|local| {
            local.become_flusher();
            let _inside = local.enter();
            self.work();
        });
    }

    pub(super) fn work(mut self) {
        if self.prefault {
            self.resident.all();
        }
        let mut pause = PAUSE_MIN;
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(Round::Over) => return,
                Ok(Round::Busy | Round::Idle) => pause = PAUSE_MIN,
                // A bug of ours. What it was about is still there, so the work goes on, with a pause: it
                // may happen again at once.
                Err(panic) => {
                    self.panicked(&*panic);
                    let until = Instant::now().checked_add(pause);
                    self.shards.bell().sleep(Sleep::Timed, until, || false);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// A round, and what is done when there was nothing to do.
    fn turn(&mut self) -> Round {
        let round = self.round();
        if round == Round::Idle {
            // First: a log with an active buffer will need the next one.
            self.arm(Instant::now());
            let is_armed = self.writer.as_ref().is_some_and(LogWriter::is_armed);
            if !self.resident.next(is_armed) {
                self.sleep();
            }
        }
        round
    }

    #[cold]
    pub(super) fn panicked(&mut self, panic: &(dyn Any + Send)) {
        let error = own_thread::panicked("the flusher", panic);
        if let Some(writer) = &mut self.writer {
            writer.panicked(&error);
        }
    }

    /// Does once what is to be done now.
    pub(super) fn round(&mut self) -> Round {
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
        // Acquire pairs with the Release in `stop`.
        let stop = self.writer.is_none() && self.stop.load(Ordering::Acquire);
        if stop { Round::Over } else { Round::Idle }
    }

    /// Begins the interval if there is an active buffer.
    fn arm(&mut self, now: Instant) {
        if let Some(writer) = &mut self.writer
            && self.shards.pool().has_active()
        {
            writer.arm(now);
        }
    }

    pub(super) fn sleep(&mut self) {
        let now = Instant::now();
        self.arm(now);
        let wake_at = self.writer.as_ref().and_then(|writer| writer.wake_at(now));
        let is_armed = self.writer.as_ref().is_none_or(LogWriter::is_armed);
        self.shards.bell().sleep(Sleep::of(is_armed), wake_at, || self.has_news());
    }

    /// Looked at between the announcement of a sleep and the sleep.
    fn has_news(&self) -> bool {
        let pool = self.shards.pool();
        let of_writer = match &self.writer {
            None => self.stop.load(Ordering::Relaxed),
            Some(writer) => {
                pool.has_sealed(|shard, generation| writer.is_next(shard, generation))
                    || (!writer.is_armed() && pool.has_active())
                    || writer.has_news()
            }
        };
        of_writer || pool.waiters().has_deferred()
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
