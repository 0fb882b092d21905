//! The flusher: the one thread that writes files, for all logs of a pool.
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
        common::{OwnThread, fault, own_thread},
        swap::{Bell, BufferIndex, BufferState, Local, Pool, Sleep},
    },
};

/// The pauses after a panic: the first one, doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What others tell the flusher, apart from what is in the pool and in the logs.
#[derive(Default)]
pub(super) struct Orders {
    /// Logs that it has not taken over yet.
    pub(super) new: Mutex<Vec<LogWriter>>,
    /// Whether it is to end with its last log.
    pub(super) stop: AtomicBool,
}

/// A handle to the flusher of a pool.
pub(crate) struct Flusher {
    orders: Arc<Orders>,
    bell: Arc<Bell>,
    thread: OwnThread,
}

impl Flusher {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system does not give us one.
    pub(crate) fn start(
        pool: Arc<Pool>,
        bell: Arc<Bell>,
        prefault: bool,
    ) -> Result<Flusher, Error> {
        let orders = Arc::new(Orders::default());
        let worker = Worker::new(pool, bell.clone(), orders.clone(), prefault);
        let thread = OwnThread::flusher(move || worker.run())?;
        Ok(Flusher { orders, bell, thread })
    }

    /// Hands a log over. Its records can be written from now on.
    pub(crate) fn adopt(&self, writer: LogWriter) {
        lock(&self.orders.new).push(writer);
        self.bell.ring(Sleep::Timed);
    }

    /// Ends the thread once its last log is closed. `wait`: until it has ended; never on the thread itself.
    pub(crate) fn stop(&mut self, wait: bool) {
        // Release pairs with the Acquire in `Worker::round`; the bell has the fence.
        self.orders.stop.store(true, Ordering::Release);
        self.bell.ring(Sleep::Timed);
        self.thread.end(wait);
    }

    /// Forgets the thread: this is a forked child, which does not have it.
    pub(crate) fn forget(&mut self) {
        self.thread.forget();
    }
}

/// How a round of the flusher's work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Something was done; there may be more.
    Busy,
    /// Nothing was to be done.
    Idle,
    /// The last log is closed, and there will be no other.
    Over,
}

/// What runs on the thread.
pub(super) struct Worker {
    pool: Arc<Pool>,
    bell: Arc<Bell>,
    orders: Arc<Orders>,
    writers: Vec<LogWriter>,
    /// Which buffers were made resident.
    resident: Vec<bool>,
    prefault: bool,
}

impl Worker {
    pub(super) fn new(
        pool: Arc<Pool>,
        bell: Arc<Bell>,
        orders: Arc<Orders>,
        prefault: bool,
    ) -> Worker {
        // A model has no pages to think of.
        let resident = vec![cfg!(loom); pool.len()];
        Worker { pool, bell, orders, writers: Vec::new(), resident, prefault }
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
            (0..self.pool.len() as u32).for_each(|index| self.populate(index));
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
                    self.bell.sleep(Instant::now().checked_add(pause), || false);
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
            if !self.populate_next() {
                self.sleep();
            }
        }
        round
    }

    #[cold]
    pub(super) fn panicked(&mut self, panic: &(dyn Any + Send)) {
        let error = own_thread::panicked("the flusher", panic);
        for writer in &mut self.writers {
            writer.panicked(&error);
        }
    }

    /// Does once what is to be done now.
    pub(super) fn round(&mut self) -> Round {
        self.writers.append(&mut lock(&self.orders.new));
        fault::step("round");
        self.pool.waiters().pass_on();
        let mut progress = self.write_sealed();
        let now = Instant::now();
        for writer in &mut self.writers {
            progress |= writer.advance(now);
        }
        self.writers.retain(|writer| !writer.is_closed());
        if progress {
            return Round::Busy;
        }
        // Acquire pairs with the Release in `stop`.
        let stop = self.writers.is_empty() && self.orders.stop.load(Ordering::Acquire);
        if stop { Round::Over } else { Round::Idle }
    }

    /// Writes every sealed buffer whose turn it is; whether there was one.
    fn write_sealed(&mut self) -> bool {
        let mut progress = false;
        for index in 0..self.pool.len() as u32 {
            if let Some((writer, shard, generation)) = self.writable(index) {
                self.writers[writer].write_sealed(index, shard, generation);
                progress = true;
            }
        }
        progress
    }

    /// If a buffer is sealed and the next of its shard: whose it is.
    fn writable(&self, index: BufferIndex) -> Option<(usize, u32, u64)> {
        let BufferState::Sealed { shard, generation } = self.pool.state(index) else {
            return None;
        };
        let writer = self.writer_of(index)?;
        let is_next = self.writers[writer].is_next(shard, generation);
        is_next.then_some((writer, shard, generation))
    }

    fn writer_of(&self, index: BufferIndex) -> Option<usize> {
        let owner = self.pool.owner(index);
        self.writers.iter().position(|writer| writer.index() == owner)
    }

    /// Makes the buffers resident that writers are at or will take next; whether there was one. So no
    /// caller pays for a page, except in the first moments of the first buffers.
    fn populate_next(&mut self) -> bool {
        let wanted = |index: &BufferIndex| {
            !self.resident[*index as usize]
                && matches!(self.pool.state(*index), BufferState::Active { .. })
        };
        let any_active = |_: &BufferIndex| self.writers.iter().any(LogWriter::is_armed);
        let next = self.pool.next_free().filter(any_active);
        let next = next.filter(|index| !self.resident[*index as usize]);
        let Some(index) = next.or_else(|| (0..self.pool.len() as u32).find(wanted)) else {
            return false;
        };
        self.populate(index);
        true
    }

    fn populate(&mut self, index: BufferIndex) {
        // Refused by old kernels, and when memory is short: then callers pay for their pages.
        let _ = self.pool.populate(index);
        self.resident[index as usize] = true;
    }

    /// Begins the interval of every log that has an active buffer.
    fn arm(&mut self, now: Instant) {
        for index in 0..self.pool.len() as u32 {
            if let BufferState::Active { .. } = self.pool.state(index)
                && let Some(writer) = self.writer_of(index)
            {
                self.writers[writer].arm(now);
            }
        }
    }

    pub(super) fn sleep(&mut self) {
        let now = Instant::now();
        self.arm(now);
        let wake_at = self.writers.iter().filter_map(|writer| writer.wake_at(now)).min();
        self.bell.sleep(wake_at, || self.has_news());
    }

    /// Looked at between the announcement of a sleep and the sleep.
    fn has_news(&self) -> bool {
        let in_pool = (0..self.pool.len() as u32).any(|index| match self.pool.state(index) {
            BufferState::Sealed { .. } => self.writable(index).is_some(),
            BufferState::Active { .. } => {
                self.writer_of(index).is_some_and(|writer| !self.writers[writer].is_armed())
            }
            _ => false,
        });
        in_pool
            || self.pool.waiters().has_deferred()
            || self.writers.iter().any(LogWriter::has_news)
            || !lock(&self.orders.new).is_empty()
            || (self.writers.is_empty() && self.orders.stop.load(Ordering::Relaxed))
    }
}
