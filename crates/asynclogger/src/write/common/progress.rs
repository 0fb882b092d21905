//! The flusher's report on one log: counters that the flusher alone writes and any thread may read.

use std::time::{Duration, Instant};

use crate::{
    EngineKind, ErrorCounts, Health, Histogram, IoMode,
    io::Cause,
    sync::{AtomicU64, Ordering},
};

/// An operation that has taken this long is reported as hung.
const HUNG_AFTER: Duration = Duration::from_secs(2);

/// A way in which a log works differently from its config.
#[derive(Clone, Copy, Debug)]
pub(in crate::write) enum Degraded {
    /// The log is written in the failover directory.
    Away,
    /// The log is written through the page cache, since the system refused direct I/O while running.
    Buffered,
    /// The log is written by `pwritev2`, since io_uring failed while running.
    Engine,
    /// The log stays in a segment that is over: the next segment cannot take its place.
    Stays,
    /// The lock was lost, and cannot be taken again.
    Unlocked,
    /// Some records are in doubt.
    Doubt,
    /// The flusher panicked once, and continued.
    Panicked,
    /// The system has less memory for the buffers of a crash-safe log than they need.
    Memory,
}

/// A counter with one writing thread.
#[derive(Debug)]
pub(in crate::write) struct Counter(AtomicU64);

impl Counter {
    pub(in crate::write) fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    pub(in crate::write) fn get(&self) -> u64 {
        // Acquire pairs with the Release in `set`: a thread that reads the count of written records, and then the count
        // of accepted records, finds the second at least as high as the first.
        self.0.load(Ordering::Acquire)
    }

    pub(in crate::write) fn add(&self, n: u64) {
        // One writer, so no RMW.
        self.set(self.0.load(Ordering::Relaxed) + n);
    }

    pub(in crate::write) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Release);
    }

    fn raise(&self, n: u64) {
        self.set(self.0.load(Ordering::Relaxed).max(n));
    }
}

/// The flusher's counters of one log.
#[derive(Debug)]
pub(in crate::write) struct Progress {
    /// Records acknowledged by the device.
    pub(in crate::write) written: Counter,
    /// Records covered by a barrier.
    pub(in crate::write) durable: Counter,
    /// Records given up.
    pub(in crate::write) lost: Counter,
    /// Bytes of the written records.
    pub(in crate::write) payload: Counter,
    /// Bytes written to files.
    pub(in crate::write) bytes: Counter,
    /// Blocks written.
    pub(in crate::write) flushes: Counter,
    /// Failed attempts.
    pub(in crate::write) errors: Counter,
    by_cause: [Counter; 7],
    panics: Counter,
    /// For each shard, the number before which all records are durable.
    durable_of: Box<[Counter]>,
    flush_time: Timing,
    write_time: Timing,
    /// The moment from which [`Counter`]s of time count.
    epoch: Instant,
    /// The start of the oldest operation in flight, in nanoseconds from `epoch`; 0: nothing is in flight.
    waiting_since: Counter,
    troubled: Counter,
    degraded: Counter,
    /// `{ buffered, io_uring }`.
    io: Counter,
}

/// Durations: sum and maximum, in nanoseconds, and a histogram.
#[derive(Debug)]
struct Timing {
    sum: Counter,
    max: Counter,
    counts: [Counter; Histogram::BUCKETS],
}

impl Timing {
    fn new() -> Timing {
        let counts = std::array::from_fn(|_| Counter::new());
        Timing { sum: Counter::new(), max: Counter::new(), counts }
    }

    fn add(&self, duration: Duration) {
        let nanos = nanos(duration);
        self.sum.add(nanos);
        self.max.raise(nanos);
        // A model repeats its schedules, and has to use the same counters each time.
        let bucket = if cfg!(loom) { 0 } else { Histogram::bucket(nanos) };
        self.counts[bucket].add(1);
    }

    /// The histogram and the maximum.
    fn get(&self) -> (Histogram, Duration) {
        let counts = std::array::from_fn(|index| self.counts[index].get());
        let sum = Duration::from_nanos(self.sum.get());
        (Histogram::new(counts, sum), Duration::from_nanos(self.max.get()))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Progress {
    pub(in crate::write) fn new(shards: usize) -> Progress {
        Progress {
            written: Counter::new(),
            durable: Counter::new(),
            lost: Counter::new(),
            payload: Counter::new(),
            bytes: Counter::new(),
            flushes: Counter::new(),
            errors: Counter::new(),
            by_cause: std::array::from_fn(|_| Counter::new()),
            panics: Counter::new(),
            durable_of: (0..shards).map(|_| Counter::new()).collect(),
            flush_time: Timing::new(),
            write_time: Timing::new(),
            epoch: Instant::now(),
            waiting_since: Counter::new(),
            troubled: Counter::new(),
            degraded: Counter::new(),
            io: Counter::new(),
        }
    }

    /// Counts a block that is as durable as the config demands, and the time since the flusher took the block.
    pub(in crate::write) fn add_flush(&self, flush: Duration) {
        self.flush_time.add(flush);
        self.flushes.add(1);
    }

    /// Counts the device's part of one write.
    pub(in crate::write) fn add_write(&self, write: Duration) {
        self.write_time.add(write);
    }

    /// Histogram and maximum of the flushes, then of the writes.
    pub(in crate::write) fn times(&self) -> ((Histogram, Duration), (Histogram, Duration)) {
        (self.flush_time.get(), self.write_time.get())
    }

    pub(in crate::write) fn count_error(&self, cause: Cause) {
        self.errors.add(1);
        self.by_cause[cause as usize].add(1);
    }

    pub(in crate::write) fn count_panic(&self) {
        self.panics.add(1);
        self.degrade(Degraded::Panicked);
    }

    pub(in crate::write) fn error_counts(&self) -> ErrorCounts {
        let of = |cause: Cause| self.by_cause[cause as usize].get();
        ErrorCounts {
            space: of(Cause::Space),
            limit: of(Cause::Limit),
            device: of(Cause::Device),
            gone: of(Cause::Gone),
            invalid: of(Cause::Invalid),
            busy: of(Cause::Busy),
            other: of(Cause::Other),
            panics: self.panics.get(),
        }
    }

    /// Sets, for each shard, the number of its durable records.
    pub(in crate::write) fn set_durable(&self, records: &[u64]) {
        for (durable, records) in self.durable_of.iter().zip(records) {
            durable.raise(*records);
        }
    }

    pub(in crate::write) fn durable_of(&self, shard: usize) -> u64 {
        self.durable_of.get(shard).map_or(0, Counter::get)
    }

    /// Sets the start of the oldest operation in flight; `None`: nothing is in flight.
    pub(in crate::write) fn set_wait(&self, since: Option<Instant>) {
        let since = since.map(|since| nanos(since.saturating_duration_since(self.epoch)).max(1));
        self.waiting_since.set(since.unwrap_or(0));
    }

    /// The time that the oldest operation has been in flight; zero if none is.
    pub(in crate::write) fn waiting(&self) -> Duration {
        match self.waiting_since.get() {
            0 => Duration::ZERO,
            since => self.epoch.elapsed().saturating_sub(Duration::from_nanos(since)),
        }
    }

    /// Sets whether an operation failed and has not succeeded since.
    pub(in crate::write) fn set_trouble(&self, troubled: bool) {
        self.troubled.set(u64::from(troubled));
    }

    /// Reports that the log works differently from its config, for this reason.
    pub(in crate::write) fn degrade(&self, reason: Degraded) {
        self.degraded.set(self.degraded.get() | 1 << reason as u64);
    }

    /// Reports that the reason no longer holds.
    pub(in crate::write) fn restore(&self, reason: Degraded) {
        self.degraded.set(self.degraded.get() & !(1 << reason as u64));
    }

    /// Whether the log works differently from its config for this reason.
    pub(in crate::write) fn is_degraded(&self, reason: Degraded) -> bool {
        self.degraded.get() & 1 << reason as u64 != 0
    }

    pub(in crate::write) fn health(&self) -> Health {
        if self.waiting() >= HUNG_AFTER {
            Health::Hung
        } else if self.troubled.get() != 0 {
            Health::Failing
        } else if self.degraded.get() != 0 {
            Health::Degraded
        } else {
            Health::Ok
        }
    }

    pub(in crate::write) fn set_io(&self, mode: IoMode, engine: EngineKind) {
        let buffered = u64::from(mode == IoMode::Buffered);
        let ring = u64::from(engine == EngineKind::IoUring);
        let (before, now) = (self.io.get(), buffered | ring << 1);
        if before != now {
            self.io.set(now);
        }
        if before & 2 > now & 2 {
            self.degrade(Degraded::Engine);
        }
    }

    pub(in crate::write) fn io(&self) -> (IoMode, EngineKind) {
        let io = self.io.get();
        let mode = if io & 1 == 0 { IoMode::Direct } else { IoMode::Buffered };
        (mode, if io & 2 == 0 { EngineKind::Pwritev2 } else { EngineKind::IoUring })
    }
}
