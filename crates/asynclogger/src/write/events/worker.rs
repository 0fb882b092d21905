//! The flusher of a manager: sorts sealed buffers, writes the logs of the events, answers requests.

mod endings;
mod files;
mod flushes;
mod passes;
mod sorting;
mod stuck;
#[cfg(all(test, not(loom)))]
mod tests;

use std::time::{Duration, Instant};

use self::{
    endings::{Endings, begin_end},
    files::{Files, have_news},
    flushes::Flushes,
    passes::{After, Passes},
    sorting::Sorting,
    stuck::{Stuck, Waiting},
};
use super::{
    memory::{Memory, Shares},
    shared::Shared,
    sorter::Sorter,
};
use crate::{
    Error,
    sync::{Arc, Ordering},
    write::{
        common::Ending,
        flush::{FlusherThread, Growing, Grown, NotStarted, Round, Rounds, Stop},
        swap::Sleep,
    },
};

/// If the work for one event takes this long, the shared buffers come next. Such work opens or renames a file, for
/// example, and the callers' buffers must not wait for many of these steps.
const LONG: Duration = Duration::from_millis(1);

/// Starts the flusher of a manager. At most `max_open` files of events are open at a time.
///
/// # Errors
/// If the system has no memory or no thread for it.
pub(crate) fn start_flusher(
    shared: Arc<Shared>,
    shares: Shares,
    max_open: usize,
) -> Result<FlusherThread, Error> {
    let bell = shared.bell.clone();
    let map = shared.shards.pool().map().cloned();
    let memory = Memory::new(&shares, map.as_ref())?;
    let worker = Worker::new(shared, memory, max_open);
    FlusherThread::start(bell, worker).map_err(|NotStarted { error, .. }| error)
}

/// The work of a manager's flusher.
///
/// Records go from `sorting` through the `sorter` to the events, whose `files` write them. A request that concerns all
/// records up to now waits for a pass (`passes`), and a flush then waits for its events, too (`flushes`). `stuck` acts
/// when memory does not come back, and `endings` when events or the manager are closed.
struct Worker {
    shared: Arc<Shared>,
    sorting: Sorting,
    sorter: Sorter,
    files: Files,
    passes: Passes,
    flushes: Flushes,
    stuck: Stuck,
    endings: Endings,
    growing: Growing,
}

impl Worker {
    fn new(shared: Arc<Shared>, memory: Memory, max_open: usize) -> Worker {
        Worker {
            sorting: Sorting::new(&shared),
            sorter: Sorter::new(shared.clone(), memory),
            files: Files::new(shared.clone(), max_open),
            passes: Passes::default(),
            flushes: Flushes::default(),
            stuck: Stuck::default(),
            endings: Endings::default(),
            growing: Growing::default(),
            shared,
        }
    }

    /// Takes over new events, and orders for single events. Returns whether any event was new.
    fn take_orders(&mut self) -> bool {
        if !self.shared.orders.is_any() {
            return false;
        }
        self.passes.take_orders(&self.shared);
        // After the orders: an event that has to be closed was new before.
        self.sorter.adopt()
    }

    fn sort(&mut self) -> bool {
        self.sorting.sort(&mut self.sorter, &mut self.stuck)
    }

    fn arm(&mut self, now: Instant) {
        let (sorting, sorter) = (&self.sorting, &self.sorter);
        let holds_something = || sorter.memory.has_gathered() || sorting.has_active();
        self.passes.arm(now, self.shared.config.flush_interval, holds_something);
    }

    /// If a pass is over, continues with the work that waited for it. Returns whether a pass was over.
    fn advance_pass(&mut self, now: Instant) -> bool {
        let generations = self.sorting.generations();
        let Some(after) = self.passes.advance(generations) else {
            return false;
        };
        let After { interval, flush, events, sorted, close } = after;
        if interval {
            self.sorter.expire_all(now);
        }
        if let Some(request) = flush {
            self.flushes.begin(request, &mut self.sorter);
        }
        for (event, ticket) in events {
            self.flushes.begin_one(event, ticket, &mut self.sorter);
        }
        if let Some(ticket) = sorted {
            self.sorter.count();
            self.shared.sorted.complete(ticket);
        }
        for number in close {
            begin_end(number, Ending::Closing, &mut self.sorter);
        }
        true
    }

    /// Works on the events that have something to do. Returns whether anything was done.
    fn pump(&mut self, now: Instant) -> bool {
        let Worker { sorting, sorter, files, stuck, .. } = self;
        let mut looked = now;
        files.pump(now, sorter, |sorter| {
            let before = std::mem::replace(&mut looked, Instant::now());
            looked.saturating_duration_since(before) >= LONG && sorting.sort(sorter, stuck)
        })
    }

    fn advance_stuck(&mut self, now: Instant) -> bool {
        let Worker { shared, sorter, passes, flushes, stuck, endings, .. } = self;
        let is_abandoned = endings.is_abandoned();
        stuck.advance(now, sorter, Waiting { shared, flushes, passes, is_abandoned })
    }

    /// Allocates the next part of the memory of a crash-safe manager. Returns whether there was one.
    fn grow(&mut self, now: Instant) -> bool {
        if self.is_closed() {
            return false;
        }
        let (pool, arena) = (self.shared.shards.pool(), self.sorter.memory.arena());
        let grow_map = || pool.map().map_or(Ok(false), |map| map.grow());
        // First the buffers, since callers can wait for them.
        let grown = self.growing.advance(now, || Ok(pool.grow()? || arena.grow()? || grow_map()?));
        let lacks_memory = match grown {
            Grown::Nothing => return false,
            Grown::Some => return true,
            Grown::All => false,
            Grown::Failed(error) => {
                self.shared.tell(&pool.lacks_room(error));
                true
            }
        };
        // Relaxed: news, no data.
        self.shared.lacks_memory.store(lacks_memory, Ordering::Relaxed);
        true
    }

    fn is_closed(&self) -> bool {
        self.shared.gate.ending() == Ending::Closed
    }

    /// Whether there is work. The flusher asks this between the announcement of a sleep and the sleep.
    fn has_news(&self, stop: &Stop) -> bool {
        let Worker { shared, sorting, sorter, passes, flushes, endings, .. } = self;
        sorting.has_sealed()
            || (!passes.is_armed() && sorting.has_active())
            || shared.shards.pool().waiters().has_deferred()
            || shared.orders.is_any()
            || have_news(sorter)
            || passes.has_requests(shared, flushes.request(shared))
            || endings.has_something_to_do(shared, sorting, sorter)
            || (self.is_closed() && stop.is_asked())
    }
}

impl Rounds for Worker {
    fn round(&mut self, stop: &Stop) -> Round {
        let mut busy = self.take_orders();
        self.shared.shards.pool().waiters().pass_on();
        busy |= self.sort();
        let now = Instant::now();
        self.arm(now);
        let flush = self.flushes.request(&self.shared);
        busy |= self.passes.begin(now, &self.shared, flush);
        busy |= self.advance_pass(now);
        busy |= self.pump(now);
        busy |= self.advance_stuck(now);
        busy |= self.flushes.answer(&self.shared, &self.sorter);
        busy |= self.endings.advance(&self.shared, &mut self.sorting, &mut self.sorter);
        if busy {
            return Round::Busy;
        }
        if self.is_closed() && stop.is_asked() { Round::Over } else { Round::Idle }
    }

    fn idle(&mut self, stop: &Stop) {
        let now = Instant::now();
        self.arm(now);
        let gives_up_at = self.stuck.gives_up_at(self.endings.is_abandoned());
        let files = self.files.wake_at(now, &self.sorter);
        if self.grow(now) {
            return;
        }
        let next_try = self.growing.wake_at().filter(|_| !self.is_closed());
        let deadlines = [self.passes.wake_at(now), gives_up_at, files, next_try];
        let wake_at = deadlines.into_iter().flatten().min();
        let sleep = Sleep::of(self.passes.is_armed());
        self.shared.bell.sleep(sleep, wake_at, || self.has_news(stop));
    }

    #[cold]
    fn panicked(&mut self, error: &Error) {
        for staged in self.sorter.all_mut().filter(|staged| staged.is_hot) {
            staged.writer.panicked(error);
        }
    }
}
