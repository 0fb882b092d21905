//! What the flusher tells of one log: counters that it alone writes and anybody may read.

use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};

/// A counter with one writing thread.
#[derive(Debug)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    pub(super) fn get(&self) -> u64 {
        // Acquire pairs with the Release in `set`: who reads a count of records written, and then one
        // of records accepted, finds the second at least as high as the first.
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn add(&self, n: u64) {
        // One writer, so no RMW.
        self.set(self.0.load(Ordering::Relaxed) + n);
    }

    pub(super) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Release);
    }

    fn raise(&self, n: u64) {
        self.set(self.0.load(Ordering::Relaxed).max(n));
    }
}

/// The flusher's counters of one log.
#[derive(Debug)]
pub(super) struct Progress {
    /// Records acknowledged by the device.
    pub(super) written: Counter,
    /// Records covered by a barrier.
    pub(super) durable: Counter,
    /// Records given up.
    pub(super) lost: Counter,
    /// Bytes of the written records.
    pub(super) payload: Counter,
    /// Bytes written to files.
    pub(super) bytes: Counter,
    /// Blocks written.
    pub(super) flushes: Counter,
    /// Failed attempts.
    pub(super) errors: Counter,
    flush_time: Timing,
    write_time: Timing,
}

/// Sum and maximum, in nanoseconds.
#[derive(Debug)]
struct Timing {
    sum: Counter,
    max: Counter,
}

impl Timing {
    fn new() -> Timing {
        Timing { sum: Counter::new(), max: Counter::new() }
    }

    fn add(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum.add(nanos);
        self.max.raise(nanos);
    }

    fn get(&self) -> (Duration, Duration) {
        (Duration::from_nanos(self.sum.get()), Duration::from_nanos(self.max.get()))
    }
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress {
            written: Counter::new(),
            durable: Counter::new(),
            lost: Counter::new(),
            payload: Counter::new(),
            bytes: Counter::new(),
            flushes: Counter::new(),
            errors: Counter::new(),
            flush_time: Timing::new(),
            write_time: Timing::new(),
        }
    }

    /// Counts one block: all of its way, and the device's part of it.
    pub(super) fn add_flush(&self, flush: Duration, write: Duration) {
        self.flush_time.add(flush);
        self.write_time.add(write);
        self.flushes.add(1);
    }

    /// Sum and maximum of the flushes, then of the writes.
    pub(super) fn times(&self) -> ((Duration, Duration), (Duration, Duration)) {
        (self.flush_time.get(), self.write_time.get())
    }
}
