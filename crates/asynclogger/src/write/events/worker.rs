//! The flusher of a manager: sorts what is sealed, writes the logs of the events, answers requests.

mod endings;
mod requests;
mod stuck;

use std::{
    any::Any,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use self::{requests::Flush, stuck::Stuck};
use super::{
    crowd::Crowd,
    event::Hold,
    memory::{Memory, Shares},
    shared::Shared,
    sorter::{Hand, Sorter},
    staged::{RETRY, Staged},
};
use crate::{
    Error, Overflow,
    sync::{Arc, Ordering},
    write::{
        common::{Local, OwnThread, Request, own_thread},
        flush::Sealing,
        swap::{Pool, Sleep},
    },
};

/// Shared buffers that are sorted before the files are looked after again.
const SORTED_AT_ONCE: usize = 4;
/// After looking after one event for so long, the shared buffers come first.
const LONG: Duration = Duration::from_millis(1);
/// After a panic.
const PAUSE: Duration = Duration::from_millis(10);

/// A handle to the flusher's thread.
pub(crate) struct EventsFlusher {
    shared: Arc<Shared>,
    thread: OwnThread,
}

impl EventsFlusher {
    /// Starts the thread. `max_open`: of so many events the files are open at a time.
    ///
    /// # Errors
    /// If the system does not give us one.
    pub(crate) fn start(
        shared: Arc<Shared>,
        shares: Shares,
        max_open: usize,
    ) -> Result<EventsFlusher, Error> {
        let worker = Worker::new(shared.clone(), Memory::new(&shares)?, max_open);
        let thread = OwnThread::flusher(move || worker.run())?;
        Ok(EventsFlusher { shared, thread })
    }

    /// Ends the thread once the manager is closed. `wait`: until it has ended.
    pub(crate) fn stop(&mut self, wait: bool) {
        // Release pairs with the Acquire in `Worker::round`; the bell has the fence.
        self.shared.stop.store(true, Ordering::Release);
        self.shared.bell.ring(Sleep::Timed);
        self.thread.end(wait);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Busy,
    Idle,
    Over,
}

/// What is done when a pass over the shared buffers is over: all that was logged before is sorted then.
#[derive(Default)]
struct After {
    /// The interval is over.
    interval: bool,
    flush: Option<Request>,
    sorted: Option<u64>,
    close: Vec<u32>,
}

struct Worker {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    sorter: Sorter,
    /// Of each shard, the generation that is sorted next.
    generations: Vec<u64>,
    hand: Option<Hand>,
    crowd: Crowd,
    stuck: Stuck,
    /// Events to be closed, for the next pass.
    closes: Vec<u32>,
    pass: Option<(Sealing, After)>,
    /// When what is in memory has been there for an interval.
    deadline: Option<Instant>,
    flushes: Vec<Flush>,
    /// When quiet events have something to do: a rotation that is due.
    wakes: BTreeSet<(Instant, u32)>,
    max_open: usize,
    round: u64,
    /// The last handle is gone.
    is_abandoned: bool,
    /// And what stopped threads had published is sorted.
    is_held_sorted: bool,
}

impl Worker {
    fn new(shared: Arc<Shared>, memory: Memory, max_open: usize) -> Worker {
        let shards = &shared.shards;
        Worker {
            pool: shards.pool().clone(),
            sorter: Sorter::new(shared.clone(), memory),
            generations: vec![0; shards.len()],
            hand: None,
            crowd: Crowd::new(shared.config.overflow == Overflow::Drop),
            stuck: Stuck::default(),
            closes: Vec::new(),
            pass: None,
            deadline: None,
            flushes: Vec::new(),
            wakes: BTreeSet::new(),
            max_open: max_open.max(1),
            round: 0,
            is_abandoned: false,
            is_held_sorted: false,
            shared,
        }
    }

    fn run(mut self) {
        Local::with(|local| {
            local.become_flusher();
            let _inside = local.enter();
            loop {
                match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                    Ok(Round::Over) => return,
                    Ok(Round::Busy | Round::Idle) => {}
                    // A bug of ours. What it was about is still there, so the work goes on.
                    Err(panic) => {
                        self.panicked(&*panic);
                        let until = Instant::now().checked_add(PAUSE);
                        self.shared.bell.sleep(Sleep::Timed, until, || false);
                    }
                }
            }
        });
    }

    #[cold]
    fn panicked(&mut self, panic: &(dyn Any + Send)) {
        let error = own_thread::panicked("the flusher", panic);
        for staged in self.sorter.all_mut().filter(|staged| staged.is_hot) {
            staged.writer.panicked(&error);
        }
    }

    fn turn(&mut self) -> Round {
        let round = self.round();
        if round == Round::Idle {
            self.sleep();
        }
        round
    }

    fn round(&mut self) -> Round {
        self.round += 1;
        let mut busy = self.take_orders();
        self.pool.waiters().pass_on();
        busy |= self.sort();
        let now = Instant::now();
        self.arm(now);
        busy |= self.begin_pass(now);
        busy |= self.advance_pass(now);
        busy |= self.pump(now);
        busy |= self.advance_stuck(now);
        busy |= self.answer_flushes();
        busy |= self.end_if_asked();
        if busy {
            return Round::Busy;
        }
        // Acquire pairs with the Release in `stop`.
        let stop = self.is_closed() && self.shared.stop.load(Ordering::Acquire);
        if stop { Round::Over } else { Round::Idle }
    }

    /// Takes over events that are new, and numbers of those to close; whether there were any new ones.
    fn take_orders(&mut self) -> bool {
        if !self.shared.has_orders() {
            return false;
        }
        self.closes.append(&mut self.shared.take_closes());
        // Behind that: what is to be closed was new before.
        self.sorter.adopt()
    }

    /// Sorts sealed buffers, each shard's in their order; whether there was anything to sort.
    fn sort(&mut self) -> bool {
        let mut busy = false;
        for _ in 0..SORTED_AT_ONCE {
            if self.hand.is_none() {
                self.hand = self.next_sealed();
                if let Some(hand) = &self.hand
                    && self.crowd.is_dense(|| self.pool.free_count(), self.pool.len())
                {
                    self.sorter.hold_loudest(hand, &mut self.crowd);
                }
            }
            let Some(hand) = &mut self.hand else {
                self.stuck.is_over();
                break;
            };
            let before = hand.at;
            let is_sorted = self.sorter.sort(hand);
            busy |= is_sorted || hand.at > before;
            if !is_sorted {
                // It waits for a device.
                self.stuck.waits(hand.at > before);
                break;
            }
            self.stuck.is_over();
            if let Some(Hand { buffer, .. }) = self.hand.take() {
                self.generations[buffer.shard() as usize] += 1;
                buffer.give_back();
            }
        }
        self.crowd.ease(|| self.pool.free_count(), self.pool.len());
        busy
    }

    fn next_sealed(&self) -> Option<Hand> {
        let is_next = |shard, generation| self.is_next(shard, generation);
        let buffer = self.pool.sealed().take_next(is_next)?;
        Some(Hand { buffer, at: crate::write::swap::HEADER })
    }

    /// Whether a shared buffer is the one to sort next.
    fn is_next(&self, shard: u32, generation: u64) -> bool {
        self.generations[shard as usize] == generation
    }

    /// Looks after the events that have something to do; whether anything was done.
    fn pump(&mut self, now: Instant) -> bool {
        while let Some((at, number)) = self.wakes.first().copied().filter(|(at, _)| *at <= now) {
            self.wakes.remove(&(at, number));
            self.sorter.heat(number);
        }
        let (mut busy, mut looked) = (false, now);
        let mut at = 0;
        while let Some(number) = self.sorter.hot.get(at).copied() {
            let Pumped { did, rests } = self.pump_event(number, now);
            busy |= did;
            if did {
                let before = std::mem::replace(&mut looked, Instant::now());
                if looked.saturating_duration_since(before) >= LONG {
                    // A file was opened, or renamed, say; callers' buffers must not wait for many such.
                    busy |= self.sort();
                }
            }
            if rests {
                self.sorter.hot.swap_remove(at);
            } else {
                at += 1;
            }
        }
        busy
    }

    fn pump_event(&mut self, number: u32, now: Instant) -> Pumped {
        let waits = Pumped { did: false, rests: false };
        let is_suspended = match self.sorter.get_mut(number) {
            None => return Pumped { did: false, rests: true },
            Some(staged) if staged.is_asleep(now) && !staged.event().is_held_for(Hold::Quota) => {
                staged.is_hot = false;
                return Pumped { did: false, rests: true };
            }
            Some(staged) if staged.retry_at.is_some_and(|at| now < at) => return waits,
            Some(staged) => staged.writer.is_suspended(),
        };
        if is_suspended && !self.make_room_for_a_file() {
            return waits;
        }
        let round = self.round;
        let Some((staged, memory)) = self.sorter.with_memory(number) else {
            return Pumped { did: false, rests: true };
        };
        staged.last_round = round;
        let pumped = staged.pump(now);
        if is_suspended && !staged.writer.is_suspended() {
            self.shared.open_files.fetch_add(1, Ordering::Relaxed);
        }
        if staged.writer.is_closed() {
            self.let_go(number);
            return Pumped { did: true, rests: true };
        }
        let did = pumped.unwrap_or(false);
        let rests = !did && staged.is_at_rest();
        if staged.event().is_held_for(Hold::Quota) {
            if memory.is_within_quota(staged.event().pieces()) {
                staged.event().resume(Hold::Quota);
            } else if rests && self.sorter.has_gathered(number) {
                // That is all it has: nothing comes back unless it is written.
                self.sorter.seal(number);
                return Pumped { did: true, rests: false };
            }
        }
        let Some((staged, memory)) = self.sorter.with_memory(number) else {
            return Pumped { did, rests: true };
        };
        if rests {
            staged.is_hot = false;
            if let Some(at) = staged.writer.wake_at(now) {
                self.wakes.insert((at, number));
            }
        } else if memory.is_wanted() || staged.event().is_held_for(Hold::Quota) {
            staged.writer.want_memory();
        }
        Pumped { did, rests }
    }

    /// An event is closed: its file, and the right to it, are given up.
    fn let_go(&mut self, number: u32) {
        if let Some(staged) = self.sorter.remove(number) {
            if !staged.writer.is_suspended() {
                self.shared.open_files.fetch_sub(1, Ordering::Relaxed);
            }
            let event = staged.event().clone();
            drop(staged);
            self.shared.closed(event);
        }
    }

    /// Sees to it that one more file can be opened: those that were not used for the longest time give
    /// their descriptors back, some at a time. Whether it can.
    fn make_room_for_a_file(&mut self) -> bool {
        if self.shared.open_files.load(Ordering::Relaxed) < self.max_open {
            return true;
        }
        let events = self.sorter.all_mut();
        let mut resting: Vec<_> =
            events.filter(|staged| !staged.writer.is_suspended() && staged.is_at_rest()).collect();
        resting.sort_unstable_by_key(|staged| staged.last_round);
        for staged in resting.into_iter().take((self.max_open / 4).max(1)) {
            staged.writer.suspend();
            self.shared.open_files.fetch_sub(1, Ordering::Relaxed);
        }
        self.shared.open_files.load(Ordering::Relaxed) < self.max_open
    }

    /// Begins the interval, if there is anything in memory and it has not begun.
    fn arm(&mut self, now: Instant) {
        if self.deadline.is_none() && self.holds_something() {
            let interval = self.shared.config.flush_interval;
            self.deadline = Some(now.checked_add(interval).unwrap_or(now));
        }
    }

    fn holds_something(&self) -> bool {
        self.sorter.memory.has_gathered() || self.pool.has_active()
    }

    fn sleep(&mut self) {
        let now = Instant::now();
        self.arm(now);
        let look = self.pass.as_ref().and_then(|(pass, _)| pass.look_again());
        let hot = self.sorter.hot.iter().filter_map(|number| {
            let staged = self.sorter.get(*number)?;
            // Closed, and looked after: so many are open that it has to wait for one of them.
            let waits_for_a_file = || staged.writer.is_suspended().then_some(now + RETRY);
            staged.retry_at.or_else(waits_for_a_file).or_else(|| staged.writer.wake_at(now))
        });
        let wake = self.wakes.first().map(|(at, _)| *at);
        let deadline = self.deadline.filter(|_| self.pass.is_none());
        let all = [look.map(|look| now + look), wake, deadline, self.gives_up_at()];
        let wake_at = all.into_iter().flatten().chain(hot).min();
        let sleep = Sleep::of(self.deadline.is_some());
        self.shared.bell.sleep(sleep, wake_at, || self.has_news());
    }

    /// Looked at between the announcement of a sleep and the sleep.
    fn has_news(&self) -> bool {
        let is_next = |shard, generation| self.is_next(shard, generation);
        let sealed = (self.hand.is_none() && self.pool.has_sealed(is_next))
            || (self.deadline.is_none() && self.pool.has_active());
        let mut hot = self.sorter.hot.iter().filter_map(|number| self.sorter.get(*number));
        let of_events = hot.any(Staged::has_news);
        sealed
            || self.pool.waiters().has_deferred()
            || self.shared.has_orders()
            || of_events
            || self.has_requests()
            || self.has_ending_to_do()
            || (self.is_closed() && self.shared.stop.load(Ordering::Acquire))
    }
}

/// How looking after an event went.
struct Pumped {
    did: bool,
    /// Whether it has nothing to do until somebody says so.
    rests: bool,
}
