//! The parts that loom lacks or that do not fit this crate: parking beside mutexes, time, and accesses to
//! bytes.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, Ordering},
};

/// Threads whose parking is independent of mutexes.
///
/// loom's `unpark` also ends a wait for a mutex, and loom's mutex forgets an earlier unpark.
pub(crate) mod thread {
    // Outside the models only: a salvager opens files.
    use loom::sync::Notify;
    pub(crate) use loom::thread::{Builder, JoinHandle, yield_now};
    use std::sync::Arc;
    pub(crate) use std::thread::scope;

    #[derive(Clone, Debug, Default)]
    pub(crate) struct Thread(Arc<Notify>);

    loom::thread_local! {
        static ME: Thread = Thread::default();
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            self.0.notify();
        }
    }

    pub(crate) fn current() -> Thread {
        ME.with(Thread::clone)
    }

    /// Parks this thread; can return early, once per thread.
    pub(crate) fn park() {
        current().0.wait();
    }
}

/// `std::thread_local`, in the one form that this crate uses.
macro_rules! local {
    ($(static $name:ident: $type:ty = const $init:block;)*) => {
        loom::thread_local! { $(static $name: $type = $init;)* }
    };
}
pub(crate) use local as thread_local;

/// A spin hint that does nothing. loom's `spin_loop` yields to the other threads, so a spin would always
/// succeed. The spins of this crate give up, and the models have to cover the code that runs then.
pub(crate) mod hint {
    pub(crate) fn spin_loop() {}
}

loom::lazy_static! {
    /// Whether the deadlines of this model have passed. One thread of the model sets this at some time.
    static ref OVER: AtomicBool = AtomicBool::new(false);
}

/// Whether `deadline` is set and has passed in this model.
pub(crate) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some() && OVER.load(Ordering::Relaxed)
}

/// Makes [`is_over`] true for every deadline from now on. The caller has to unpark the parked threads.
#[cfg(test)]
pub(crate) fn let_time_pass() {
    OVER.store(true, Ordering::Relaxed);
}

/// Parks this thread. With a near deadline the thread polls instead, after letting all others run. A far
/// deadline does not pass in a model, except by [`let_time_pass`].
pub(crate) fn park_until(deadline: Option<Instant>) {
    if deadline.is_some_and(is_near) { thread::yield_now() } else { thread::park() }
}

fn is_near(deadline: Instant) -> bool {
    deadline.saturating_duration_since(Instant::now()) < Duration::from_secs(60)
}

/// The alarm that wakes the flusher; in a model, a `Notify`.
#[derive(Debug, Default)]
pub(crate) struct Alarm(loom::sync::Notify);

impl Alarm {
    pub(crate) fn new() -> Result<Alarm, crate::Error> {
        Ok(Alarm::default())
    }

    pub(crate) fn ring(&self) {
        self.0.notify();
    }

    /// Waits for a ring, with deadlines as in [`park_until`].
    pub(crate) fn sleep(&self, deadline: Option<Instant>) {
        if deadline.is_some_and(is_near) { thread::yield_now() } else { self.0.wait() }
    }
}

/// Tells loom which thread reads and writes which bytes of a buffer, so that loom finds a race.
#[derive(Debug)]
pub(crate) struct Watch(Box<[UnsafeCell<()>]>);

/// Number of bytes that one cell watches.
const UNIT: usize = 8;

// SAFETY: the cells hold nothing, so no access to them can be a race on memory; they exist for loom, which
// panics when two threads race.
unsafe impl Sync for Watch {}

impl Watch {
    pub(crate) fn new(len: usize) -> Watch {
        Watch((0..len.div_ceil(UNIT)).map(|_| UnsafeCell::new(())).collect())
    }

    /// Tells loom that this thread reads these bytes now.
    pub(crate) fn read(&self, bytes: Range<usize>) {
        self.cells(bytes).for_each(|cell| cell.with(|_| ()));
    }

    /// Tells loom that this thread writes these bytes now.
    pub(crate) fn write(&self, bytes: Range<usize>) {
        self.cells(bytes).for_each(|cell| cell.with_mut(|_| ()));
    }

    fn cells(&self, bytes: Range<usize>) -> impl Iterator<Item = &UnsafeCell<()>> {
        let end = bytes.end.div_ceil(UNIT).min(self.0.len());
        self.0[(bytes.start / UNIT).min(end)..end].iter()
    }
}
