//! Sleeping and waking: the flusher sleeps without work, writers sleep without a buffer.
//!
//! Both use the same protocol. The sleeper announces itself, passes a SeqCst fence, looks again, and sleeps. The waker
//! stores its news, passes a SeqCst fence, reads the announcement, and wakes the sleeper. One of the two fences comes
//! first, so either the sleeper sees the news or the waker sees the sleeper.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

#[cfg(not(loom))]
use crate::io::Alarm;
#[cfg(loom)]
use crate::sync::Alarm;
use crate::{
    Error,
    sync::{
        Arc, AtomicBool, AtomicU32, AtomicUsize, Mutex, Ordering, fence, is_over, lock, park_until,
        thread::{self, Thread},
    },
};

/// How soundly the flusher sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Sleep {
    /// Not at all.
    Awake,
    /// The flush interval runs: sealed buffers and requests wake the flusher.
    Timed,
    /// The interval has not begun: a thread that takes a buffer wakes the flusher, too.
    Idle,
}

impl Sleep {
    /// The sleep of a flusher whose interval has begun (`is_armed`) or has not. Other deadlines of the sleep do not
    /// count: a rotation in an hour is no reason to leave records in memory for an hour.
    pub(in crate::write) fn of(is_armed: bool) -> Sleep {
        if is_armed { Sleep::Timed } else { Sleep::Idle }
    }
}

/// Wakes the flusher.
#[derive(Debug)]
pub(crate) struct Bell {
    sleep: AtomicU32,
    /// Rung by the engine's completions, too.
    alarm: Alarm,
}

impl Bell {
    /// # Errors
    /// If the system gives the process no descriptor.
    pub(crate) fn new() -> Result<Bell, Error> {
        Ok(Bell { sleep: AtomicU32::new(Sleep::Awake as u32), alarm: Alarm::new()? })
    }

    /// The alarm, which wakes the flusher however soundly it sleeps.
    #[cfg(not(loom))]
    pub(crate) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    /// A model has no files, so no engine needs the alarm.
    #[cfg(loom)]
    pub(crate) fn alarm(&self) -> &crate::io::Alarm {
        unreachable!("no model opens a file")
    }

    /// Wakes the flusher if it sleeps at least as soundly as `sleep`. The caller stores its news before.
    pub(crate) fn ring(&self, sleep: Sleep) {
        // Pairs with the fence in `sleep`.
        fence(Ordering::SeqCst);
        let asleep = self.sleep.load(Ordering::Relaxed);
        if asleep < sleep as u32 || asleep == Sleep::Awake as u32 {
            return;
        }
        // One of many ringers does the wake. If the word has changed since, another ringer does it, or the flusher
        // woke by itself: its next look, after its next fence, finds our news.
        let (awake, relaxed) = (Sleep::Awake as u32, Ordering::Relaxed);
        if self.sleep.compare_exchange(asleep, awake, relaxed, relaxed).is_ok() {
            self.alarm.ring();
        }
    }

    /// Sleeps on the flusher's thread, as soundly as `sleep`, until the bell rings or `deadline` comes. Does not sleep
    /// if `news` says that there is work.
    pub(crate) fn sleep(
        &self,
        sleep: Sleep,
        deadline: Option<Instant>,
        news: impl FnOnce() -> bool,
    ) {
        self.sleep.store(sleep as u32, Ordering::Relaxed);
        // Pairs with the fence in `ring`.
        fence(Ordering::SeqCst);
        if !news() {
            self.alarm.sleep(deadline);
        }
        self.sleep.store(Sleep::Awake as u32, Ordering::Relaxed);
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Try again; after the record, wake the next waiter of the shard.
    Woken,
    /// The time is over.
    TimedOut,
}

/// The writers that wait for a buffer, each at its shard.
///
/// Each shard has its own queue, because the writers of a shard share its active buffer: one buffer serves all of them
/// in turn, and a writer of another shard cannot use it. A condition variable would wake all waiters, or it would wake
/// one whose time can be over: then the buffer lies idle while other writers sleep.
///
/// A freed buffer wakes one waiter of the shard that waits longest. A writer that gets a buffer for a shard, and each
/// woken writer after its record, wakes the next waiter of that shard: all of them in turn can use the buffer. So no
/// waiter is forgotten, and no more threads run than find room: waking all of them cost five sixths of the throughput
/// with 100 threads.
#[derive(Debug)]
pub(crate) struct Waiters {
    /// The number of waiters in the queues, so that a call without waiters need not lock them.
    waiting: AtomicUsize,
    queues: Mutex<Queues>,
    /// Set by a call that has news for the waiters and must not lock: the flusher passes the news on.
    deferred: AtomicBool,
}

#[derive(Debug, Default)]
struct Queues {
    by_shard: BTreeMap<usize, VecDeque<Arc<Waiter>>>,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiter {
    thread: Thread,
    woken: AtomicBool,
    arrival: u64,
}

impl Waiters {
    pub(crate) fn new() -> Waiters {
        Waiters {
            waiting: AtomicUsize::new(0),
            queues: Mutex::new(Queues::default()),
            deferred: AtomicBool::new(false),
        }
    }

    /// Waits at a shard until woken, or not at all if `ready` holds after the announcement.
    pub(crate) fn wait(
        &self,
        shard: usize,
        deadline: Option<Instant>,
        ready: impl FnOnce() -> bool,
    ) -> Waited {
        let me = self.announce(shard);
        // Pairs with the fence in `any`.
        fence(Ordering::SeqCst);
        if ready() {
            // If a wake came meanwhile, it is not lost: this writer takes the room that the wake is about.
            self.withdraw(shard, &me);
            return Waited::Woken;
        }
        // Acquire pairs with the Release in `wake`.
        while !me.woken.load(Ordering::Acquire) {
            if is_over(deadline) {
                if !self.withdraw(shard, &me) {
                    // Woken after all, but too late: another waiter gets the wake.
                    self.buffer_freed();
                }
                return Waited::TimedOut;
            }
            park_until(deadline);
        }
        Waited::Woken
    }

    fn announce(&self, shard: usize) -> Arc<Waiter> {
        let mut queues = lock(&self.queues);
        queues.arrivals += 1;
        let me = Arc::new(Waiter {
            thread: thread::current(),
            woken: AtomicBool::new(false),
            arrival: queues.arrivals,
        });
        queues.by_shard.entry(shard).or_default().push_back(me.clone());
        self.waiting.fetch_add(1, Ordering::Relaxed);
        me
    }

    /// Takes the waiter out of its queue. Returns whether it was still there.
    fn withdraw(&self, shard: usize, me: &Arc<Waiter>) -> bool {
        let mut queues = lock(&self.queues);
        let Some(queue) = queues.by_shard.get_mut(&shard) else {
            return false;
        };
        let Some(at) = queue.iter().position(|waiter| Arc::ptr_eq(waiter, me)) else {
            return false;
        };
        queue.remove(at);
        if queue.is_empty() {
            queues.by_shard.remove(&shard);
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Whether any writer waits. The caller stores its news before.
    fn any(&self) -> bool {
        // Pairs with the fence in `wait`.
        fence(Ordering::SeqCst);
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Wakes one waiter of the shard that waits longest: a buffer is free.
    pub(crate) fn buffer_freed(&self) {
        if self.any() {
            let mut queues = lock(&self.queues);
            let longest = queues
                .by_shard
                .iter()
                .filter_map(|(shard, queue)| Some((queue.front()?.arrival, *shard)))
                .min();
            if let Some((_, shard)) = longest {
                self.wake_first(&mut queues, shard);
            }
        }
    }

    /// Wakes the next waiter of a shard that has room.
    pub(crate) fn room_at(&self, shard: usize) {
        if self.any() {
            self.wake_first(&mut lock(&self.queues), shard);
        }
    }

    /// Leaves [`room_at`](Waiters::room_at) to the flusher. For a call that interrupted another call on its thread: the
    /// interrupted call can hold the lock. Ring the bell afterwards.
    pub(crate) fn defer(&self) {
        // Release pairs with the Acquire in `pass_on`; the bell has the fence.
        self.deferred.store(true, Ordering::Release);
    }

    /// Whether deferred news waits to be passed on.
    pub(crate) fn has_deferred(&self) -> bool {
        self.deferred.load(Ordering::Relaxed)
    }

    /// Passes deferred news on, on the flusher's thread: the first waiter of every shard looks again.
    pub(crate) fn pass_on(&self) {
        if self.has_deferred() && self.deferred.swap(false, Ordering::Acquire) && self.any() {
            self.wake_each();
        }
    }

    /// Wakes the first waiter of every shard, so that each looks again whether its own condition holds.
    pub(crate) fn look_again(&self) {
        if self.any() {
            self.wake_each();
        }
    }

    fn wake_each(&self) {
        let mut queues = lock(&self.queues);
        let shards: Vec<_> = queues.by_shard.keys().copied().collect();
        for shard in shards {
            self.wake_first(&mut queues, shard);
        }
    }

    /// Wakes all waiters, because the log is closed.
    pub(crate) fn wake_all(&self) {
        if self.any() {
            let mut queues = lock(&self.queues);
            while let Some(shard) = queues.by_shard.keys().next().copied() {
                self.wake_first(&mut queues, shard);
            }
        }
    }

    fn wake_first(&self, queues: &mut Queues, shard: usize) -> bool {
        let Some(queue) = queues.by_shard.get_mut(&shard) else {
            return false;
        };
        let first = queue.pop_front();
        if queue.is_empty() {
            queues.by_shard.remove(&shard);
        }
        let Some(first) = first else {
            return false;
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        // Release pairs with the Acquire in `wait`.
        first.woken.store(true, Ordering::Release);
        first.thread.unpark();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::AtomicU64;
    use std::time::Duration;

    #[test]
    fn a_waiter_that_is_ready_does_not_sleep() {
        let waiters = Waiters::new();
        assert_eq!(waiters.wait(1, None, || true), Waited::Woken);
        assert_eq!(waiters.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let waiters = Waiters::new();
        let deadline = Instant::now() + Duration::from_millis(2);
        assert_eq!(waiters.wait(1, Some(deadline), || false), Waited::TimedOut);
        assert!(Instant::now() >= deadline);
        assert_eq!(waiters.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_freed_buffer_wakes_one_and_the_chain_wakes_the_shard() {
        let waiters = Waiters::new();
        let woken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for key in [7, 7, 7, 9] {
                // One after the other, so that shard 7 waits longest.
                let before = waiters.waiting.load(Ordering::SeqCst);
                let (waiters, woken) = (&waiters, &woken);
                scope.spawn(move || {
                    waiters.wait(key, None, || false);
                    woken.fetch_add(1, Ordering::SeqCst);
                    if key == 7 {
                        waiters.room_at(7);
                    }
                });
                while waiters.waiting.load(Ordering::SeqCst) == before {
                    std::thread::yield_now();
                }
            }
            waiters.buffer_freed();
            while woken.load(Ordering::SeqCst) < 3 {
                std::thread::yield_now();
            }
            assert_eq!(waiters.waiting.load(Ordering::SeqCst), 1, "shard 9 still waits");
            waiters.pass_on();
            assert_eq!(waiters.waiting.load(Ordering::SeqCst), 1, "there was no deferred news");
            waiters.defer();
            waiters.pass_on();
        });
        assert_eq!(woken.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn a_close_wakes_every_waiter_of_every_shard() {
        let waiters = Waiters::new();
        let deadline = Instant::now().checked_add(Duration::from_secs(60));
        std::thread::scope(|scope| {
            let waiters = &waiters;
            let wait = move |shard| waiters.wait(shard, deadline, || false);
            let all = [7, 7, 9, 9].map(|shard| scope.spawn(move || wait(shard)));
            while waiters.waiting.load(Ordering::SeqCst) < all.len() {
                std::thread::yield_now();
            }
            waiters.wake_all();
            for waiter in all {
                assert_eq!(waiter.join().expect("a thread"), Waited::Woken);
            }
        });
    }

    #[cfg(not(any(loom, miri)))]
    #[test]
    fn a_flusher_sleeps_until_the_bell_rings() {
        let bell = Bell::new().expect("a bell");
        let rings = AtomicBool::new(false);
        bell.sleep(Sleep::Idle, None, || true);
        std::thread::scope(|scope| {
            let flusher = scope.spawn(|| {
                bell.sleep(Sleep::Timed, None, || false);
                rings.load(Ordering::SeqCst)
            });
            let is_asleep = || bell.sleep.load(Ordering::SeqCst) == Sleep::Timed as u32;
            while !is_asleep() && !flusher.is_finished() {
                std::thread::yield_now();
            }
            bell.ring(Sleep::Idle);
            assert!(is_asleep(), "news that are no reason to wake");
            rings.store(true, Ordering::SeqCst);
            bell.ring(Sleep::Timed);
            assert!(flusher.join().expect("a thread"));
        });
    }
}
