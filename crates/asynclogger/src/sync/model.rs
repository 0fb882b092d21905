//! What loom lacks, or has otherwise than we need it: parking beside mutexes, time, and bytes.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, Ordering},
};

/// Threads whose parking is a thing of its own.
///
/// loom's `unpark` also ends a wait for a mutex, and a mutex forgets an unpark that came before.
pub(crate) mod thread {
    use loom::sync::Notify;
    pub(crate) use loom::thread::{Builder, JoinHandle, yield_now};
    use std::sync::Arc;

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

    /// May return early, once a thread.
    pub(crate) fn park() {
        current().0.wait();
    }
}

/// `std::thread_local` as it is used here.
macro_rules! local {
    ($(static $name:ident: $type:ty = const $init:block;)*) => {
        loom::thread_local! { $(static $name: $type = $init;)* }
    };
}
pub(crate) use local as thread_local;

/// loom's `spin_loop` is a yield: it lets the other go on, and a spin would never be in vain. Ours have
/// an end, and what comes after them is to be seen, too.
pub(crate) mod hint {
    pub(crate) fn spin_loop() {}
}

loom::lazy_static! {
    /// Whether the deadlines of this model are over. One thread of it says so, at some time.
    static ref OVER: AtomicBool = AtomicBool::new(false);
}

/// Whether there is a deadline and it is over.
pub(crate) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some() && OVER.load(Ordering::Relaxed)
}

/// From now on [`is_over`] says so; who is parked has to be unparked by the caller.
#[cfg(test)]
pub(crate) fn let_time_pass() {
    OVER.store(true, Ordering::Relaxed);
}

/// Parks this thread. A deadline that is near is a thing to be polled: all others go first. One that is
/// far is not reached in a model, unless by [`let_time_pass`].
pub(crate) fn park_until(deadline: Option<Instant>) {
    if deadline.is_some_and(is_near) { thread::yield_now() } else { thread::park() }
}

fn is_near(deadline: Instant) -> bool {
    deadline.saturating_duration_since(Instant::now()) < Duration::from_secs(60)
}

/// What wakes the flusher: in a model, a notice.
#[derive(Debug, Default)]
pub(crate) struct Alarm(loom::sync::Notify);

impl Alarm {
    pub(crate) fn new() -> Result<Alarm, crate::Error> {
        Ok(Alarm::default())
    }

    pub(crate) fn ring(&self) {
        self.0.notify();
    }

    /// As [`park_until`].
    pub(crate) fn sleep(&self, deadline: Option<Instant>) {
        if deadline.is_some_and(is_near) { thread::yield_now() } else { self.0.wait() }
    }
}

/// Tells loom who reads and writes which bytes of a buffer, so that it finds two who race.
#[derive(Debug)]
pub(crate) struct Watch(Box<[UnsafeCell<()>]>);

/// Bytes that are watched as one.
const UNIT: usize = 8;

// SAFETY: nothing is in the cells; loom, which panics when two threads race, is what they are for.
unsafe impl Sync for Watch {}

impl Watch {
    pub(crate) fn new(len: usize) -> Watch {
        Watch((0..len.div_ceil(UNIT)).map(|_| UnsafeCell::new(())).collect())
    }

    /// Somebody reads these bytes now.
    pub(crate) fn read(&self, bytes: Range<usize>) {
        self.cells(bytes).for_each(|cell| cell.with(|_| ()));
    }

    /// Somebody writes these bytes now.
    pub(crate) fn write(&self, bytes: Range<usize>) {
        self.cells(bytes).for_each(|cell| cell.with_mut(|_| ()));
    }

    fn cells(&self, bytes: Range<usize>) -> impl Iterator<Item = &UnsafeCell<()>> {
        let end = bytes.end.div_ceil(UNIT).min(self.0.len());
        self.0[(bytes.start / UNIT).min(end)..end].iter()
    }
}
