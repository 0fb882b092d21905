//! Models of parts alone: waiters, deferred wakes, the bell, the free stack.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed as StdRelaxed},
    time::{Duration, Instant},
};

use super::{
    Bell, HEADER, Ingest, IngestParts, Pool, SealedBuffer, Sleep,
    claim::Filled,
    free_stack::FreeStack,
    wait::{Waited, Waiters},
};
use crate::{
    Overflow,
    format::MIN_ALIGN,
    sync::{
        Arc, AtomicBool, AtomicU64, Mutex, Ordering, let_time_pass, lock,
        thread::{self, JoinHandle},
    },
};

/// An interval that is never over.
pub(in crate::write) const NEVER: Duration = Duration::from_secs(3600);

/// Checks a model at its bound of preemptions, or the higher one of `LOOM_MORE_PREEMPTIONS`.
pub(in crate::write) fn check(
    name: &str,
    preemptions: usize,
    model: impl Fn() + Send + Sync + 'static,
) {
    let more = std::env::var("LOOM_MORE_PREEMPTIONS").ok().and_then(|more| more.parse().ok());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions + more.unwrap_or(0));
    builder.max_branches = 20_000;
    let schedules = Arc::new(AtomicUsize::new(0));
    let counted = schedules.clone();
    let begun = Instant::now();
    builder.check(move || {
        counted.fetch_add(1, StdRelaxed);
        model();
    });
    println!(
        "{name}: {} schedules, {} preemptions, {:.1} s",
        schedules.load(StdRelaxed),
        builder.preemption_bound.unwrap_or(0),
        begun.elapsed().as_secs_f64()
    );
}

pub(in crate::write) fn spawn<T: Send + 'static>(
    thread: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::Builder::new().spawn(thread).expect("thread")
}

/// Buffers as a mere number, for models of the waiting alone: writers call `take`, the flusher calls `free`.
struct Buffers {
    free: AtomicU64,
    waiters: Waiters,
    /// The thread that the end of its time has to wake.
    timed: Mutex<Vec<thread::Thread>>,
}

impl Buffers {
    fn new() -> Arc<Buffers> {
        let (free, timed) = (AtomicU64::new(0), Mutex::default());
        Arc::new(Buffers { free, waiters: Waiters::new(), timed })
    }

    fn take(&self) -> bool {
        let less = |free: u64| free.checked_sub(1);
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }

    fn free(&self) {
        self.free.fetch_add(1, Ordering::Release);
        self.waiters.buffer_freed();
    }

    /// Waits as `Ingest::append_to_next` does. Returns whether it got a buffer.
    fn wait_and_take(&self, shard: usize, deadline: Option<Instant>) -> bool {
        if deadline.is_some() {
            lock(&self.timed).push(thread::current());
        }
        while !self.take() {
            let ready = || self.free.load(Ordering::Relaxed) > 0;
            if self.waiters.wait(shard, deadline, ready) == Waited::TimedOut {
                return false;
            }
        }
        self.waiters.room_at(shard);
        true
    }

    fn end_of_time(&self) {
        let timed = lock(&self.timed);
        let_time_pass();
        timed.iter().for_each(thread::Thread::unpark);
    }
}

/// (f) As many buffers as waiters at two shards: each waiter gets one.
#[test]
fn loom_waiters_are_not_stranded() {
    check("waiters are not stranded", 3, || {
        let buffers = Buffers::new();
        let (first, second) = (buffers.clone(), buffers.clone());
        let first = spawn(move || first.wait_and_take(1, None));
        let second = spawn(move || second.wait_and_take(2, None));
        buffers.free();
        buffers.free();
        assert!(first.join().expect("waiter") && second.join().expect("waiter"));
    });
}

/// (f) A writer that has room wakes the next waiter of its shard, once: a wake goes to one waiter.
#[test]
fn loom_room_wakes_the_shard() {
    check("room wakes the shard", 3, || {
        let waiters = Arc::new(Waiters::new());
        let room = Arc::new(AtomicBool::new(false));
        let wait = |waiters: &Arc<Waiters>, room: &Arc<AtomicBool>| {
            let (waiters, room) = (waiters.clone(), room.clone());
            spawn(move || {
                waiters.wait(7, None, || room.load(Ordering::Relaxed));
                waiters.room_at(7);
            })
        };
        let threads = [wait(&waiters, &room), wait(&waiters, &room)];
        room.store(true, Ordering::Relaxed);
        waiters.room_at(7);
        for thread in threads {
            thread.join().expect("waiter");
        }
    });
}

/// (f) One of two waiters gives up at some time. If it got the wake for the one buffer, it passes the wake to the
/// other: the waiter without a deadline always gets the buffer.
#[test]
fn loom_a_wake_too_late_is_passed_on() {
    check("a wake too late is passed on", 3, || {
        let buffers = Buffers::new();
        let (timed, patient) = (buffers.clone(), buffers.clone());
        let timed = spawn(move || {
            // A waiter that times out does not get the buffer; a waiter that gets it gives it back.
            if timed.wait_and_take(1, Some(Instant::now() + NEVER)) {
                timed.free();
            }
        });
        let patient = spawn(move || patient.wait_and_take(2, None));
        buffers.free();
        buffers.end_of_time();
        timed.join().expect("waiter");
        assert!(patient.join().expect("waiter"));
    });
}

/// (f) A call that must not lock leaves its wake to the flusher.
#[test]
fn loom_deferred_wakes() {
    check("deferred wakes", 3, || {
        let (buffers, bell) = (Buffers::new(), Arc::new(Bell::new().expect("bell")));
        let waiter = buffers.clone();
        let done = Arc::new(AtomicBool::new(false));
        let (tell, told) = (done.clone(), bell.clone());
        let waiter = spawn(move || {
            assert!(waiter.wait_and_take(1, None));
            tell.store(true, Ordering::Relaxed);
            told.ring(Sleep::Timed);
        });
        let (signal, rung) = (buffers.clone(), bell.clone());
        let signal = spawn(move || {
            signal.free.store(1, Ordering::Relaxed);
            signal.waiters.defer();
            rung.ring(Sleep::Timed);
        });
        // The flusher.
        while !done.load(Ordering::Relaxed) {
            buffers.waiters.pass_on();
            let news = || buffers.waiters.has_deferred() || done.load(Ordering::Relaxed);
            bell.sleep(Sleep::Idle, None, news);
        }
        signal.join().expect("signal");
        waiter.join().expect("waiter");
    });
}

/// (g) The flusher sleeps or sees the news; a ringer finds it asleep or has been seen.
#[test]
fn loom_the_bell() {
    check("the bell", 4, || {
        let bell = Arc::new(Bell::new().expect("bell"));
        let news = Arc::new(AtomicU64::new(0));
        let ring = |sleep| {
            let (bell, news) = (bell.clone(), news.clone());
            spawn(move || {
                news.fetch_add(1, Ordering::Relaxed);
                bell.ring(sleep);
            })
        };
        let ringers = [ring(Sleep::Timed), ring(Sleep::Idle)];
        while news.load(Ordering::Relaxed) < 2 {
            bell.sleep(Sleep::Idle, None, || news.load(Ordering::Relaxed) == 2);
        }
        for ringer in ringers {
            ringer.join().expect("ringer");
        }
    });
}

/// (h) No two threads get the same buffer from the free stack, and a top that was taken and put back is not
/// mistaken for an unchanged one.
#[test]
fn loom_the_free_stack() {
    check("the free stack", 4, || {
        let stack = Arc::new(FreeStack::full(3));
        let other = stack.clone();
        // Takes two, gives the first back: to a thread that read the top before, the top looks unchanged.
        let other = spawn(move || {
            let first = other.take();
            let second = other.take();
            if let Some(first) = first {
                other.push(first);
            }
            second
        });
        let mine = stack.take();
        let mut all: Vec<_> = [mine, other.join().expect("other")].into_iter().flatten().collect();
        all.extend(std::iter::from_fn(|| stack.take()));
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2], "each once");
    });
}

/// (i) When there are no callers any more, published records are copied out of a buffer while its claimant continues.
#[test]
fn loom_copy_out_of_a_held_claim() {
    check("copy out of a held claim", 3, || {
        let ingest = Ingest::new(IngestParts {
            pool: Pool::new(2, HEADER + 3 * 8, MIN_ALIGN).expect("pool"),
            bell: Arc::new(Bell::new().expect("bell")),
            num_shards: 1,
            max_record: 4,
            overflow: Overflow::Drop,
            shares_barriers: false,
            session: 1,
        });
        let ingest = ingest.expect("log");
        crate::write::common::Local::with(|local| local.set_home(ingest.id(), 0));
        ingest.append(4, |room| room.fill(1)).expect("accepted");
        let shards = ingest.shards().clone();
        drop(ingest);
        let held = shards.clone();
        // A thread that was stopped in its call, as far as the flusher can know.
        let writer = spawn(move || {
            let Ok(claim) = held.claim(0) else { return };
            let fill = |room: &mut [u8]| {
                room.fill(2);
                Filled::Whole
            };
            assert_eq!(claim.append_later(4, fill).ok(), Some(Some(1)), "there is room");
        });
        let mut found: Vec<SealedBuffer> =
            shards.copy_held().into_iter().filter_map(|held| held.copy).collect();
        if found.is_empty() {
            found.extend(shards.pool().sealed().take_next(|_, _| true));
        }
        // The number of records depends on how much was published.
        let buffer = found.pop().expect("a copy, or the buffer");
        let valid = crate::write::common::BlockMemory::valid(&buffer) as usize;
        let records = &buffer.data(HEADER + valid)[HEADER..];
        let both = [4, 0, 0, 0, 1, 1, 1, 1, 4, 0, 0, 0, 2, 2, 2, 2];
        assert!(valid >= 8 && both[..valid] == *records, "{records:?}");
        writer.join().expect("writer");
    });
}
